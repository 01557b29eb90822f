//! TLS, set up when the first `https` URL is used.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::HttpError;
use crate::wire::BoxedStream;

/// Which certificate authorities are trusted.
///
/// With both fields `None`, the platform's: on machines whose owner inspects
/// TLS, only that store knows the owner's authority, which is why no list is
/// built in. (The platform's search itself honours `SSL_CERT_FILE` and
/// `SSL_CERT_DIR`.) A set field replaces the platform's store, as with OpenSSL.
#[derive(Clone, Debug, Default)]
pub struct TrustRoots {
    /// A file of PEM certificates: the value of `SSL_CERT_FILE`.
    pub file: Option<PathBuf>,
    /// A directory of PEM files under OpenSSL's hashed names: the value of
    /// `SSL_CERT_DIR`.
    pub dir: Option<PathBuf>,
}

/// The TLS set-up of one client. Empty until it is used.
#[derive(Debug)]
pub(crate) struct Tls {
    roots: TrustRoots,
    config: OnceLock<Arc<ClientConfig>>,
}

impl Tls {
    pub(crate) fn new(roots: TrustRoots) -> Self {
        Self {
            roots,
            config: OnceLock::new(),
        }
    }

    /// Wraps `stream`, proving that the peer is `host`. `target` is for errors.
    pub(crate) async fn wrap(
        &self,
        host: &str,
        target: &str,
        stream: BoxedStream,
    ) -> Result<BoxedStream, HttpError> {
        let config = self.config()?;
        let name = ServerName::try_from(host.to_owned()).map_err(|_| HttpError::BadUrl {
            reason: "its host is not a name that a certificate can prove".to_owned(),
        })?;
        let stream = TlsConnector::from(config)
            .connect(name, stream)
            .await
            .map_err(|source| HttpError::Tls {
                target: target.to_owned(),
                source,
            })?;
        Ok(Box::new(stream))
    }

    /// A failure is not kept: the next request tries again, since the person may
    /// install certificates meanwhile.
    fn config(&self) -> Result<Arc<ClientConfig>, HttpError> {
        if let Some(config) = self.config.get() {
            return Ok(Arc::clone(config));
        }
        let mut store = RootCertStore::empty();
        let (added, _) = store.add_parsable_certificates(self.roots.load()?);
        if added == 0 {
            return Err(HttpError::Roots {
                reason: "found no usable certificate".to_owned(),
            });
        }
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| HttpError::Roots {
                reason: error.to_string(),
            })?
            .with_root_certificates(store)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::clone(self.config.get_or_init(|| Arc::new(config))))
    }
}

impl TrustRoots {
    fn load(&self) -> Result<Vec<CertificateDer<'static>>, HttpError> {
        let result = if self.file.is_some() || self.dir.is_some() {
            rustls_native_certs::load_certs_from_paths(self.file.as_deref(), self.dir.as_deref())
        } else {
            rustls_native_certs::load_native_certs()
        };
        // A store with one unreadable file among many is still a store.
        match result.errors.first() {
            Some(error) if result.certs.is_empty() => Err(HttpError::Roots {
                reason: error.to_string(),
            }),
            _ => Ok(result.certs),
        }
    }
}
