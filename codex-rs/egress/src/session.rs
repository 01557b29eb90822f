//! What all connections of one proxy share.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use codex_http::Upstream;
use codex_protocol::permission::Permissions;
use codex_protocol::record::RecordError;
use tokio::sync::watch;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::address::{Resolver, SystemResolver};
use crate::approval::Questions;
use crate::authority::Authority;
use crate::environment::Pass;
use crate::lookup::Lookup;
use crate::traffic::Pace;

/// Why a proxy could not start.
#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    /// The listener cannot be used.
    #[error("the egress proxy cannot listen on {address}: {cause}")]
    Listen {
        /// Where.
        address: String,
        /// What the system said.
        cause: io::Error,
    },
    /// A certificate cannot be made.
    #[error("the egress proxy cannot make a certificate: {0}")]
    Certificate(String),
    /// The system gives no random bytes.
    #[error("the egress proxy got no random bytes from the system")]
    Random,
    /// No certificate authority is trusted, so no host could prove who it is.
    #[error(
        "the egress proxy found no trusted certificate ({0}): install the system's CA certificates or set SSL_CERT_FILE"
    )]
    Roots(String),
    /// The file of certificates cannot be written.
    #[error("the egress proxy cannot write its certificates in '{}': {cause}", .directory.display())]
    Bundle {
        /// Where.
        directory: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
}

/// What one proxy spends at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections of clients at once; further ones wait.
    pub connections: usize,
    /// Streams at once on one HTTP/2 connection.
    pub streams: u32,
    /// Requests in one session.
    pub requests: u64,
    /// Requests a second, once a burst is used up; those that come faster wait.
    pub rate: u32,
    /// Requests that may come at once.
    pub burst: u32,
    /// Bytes of what a named read sends by POST.
    pub request_bytes: u64,
    /// Bytes of one answer's body.
    pub response_bytes: u64,
    /// Until a host's address is found, connected to, and its TLS stands.
    pub connect: Duration,
    /// Until a request's head has come, or a TLS handshake of a client has ended.
    pub head: Duration,
    /// Until a person has answered whether a host may be read. Then it counts as no.
    pub approval: Duration,
    /// Until a host begins to answer.
    pub answer: Duration,
    /// Without a byte from a host that answers, and in either direction of a tunnel.
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            streams: 64,
            requests: 1_000_000,
            rate: 500,
            burst: 2_000,
            // git sends what it has in pieces of 1 MiB (http.postBuffer).
            request_bytes: 4 << 20,
            response_bytes: 16 << 30,
            connect: Duration::from_secs(20),
            head: Duration::from_secs(30),
            // Most clients give up sooner; their next try finds the question open, or answered.
            approval: Duration::from_secs(120),
            answer: Duration::from_secs(120),
            idle: Duration::from_secs(120),
        }
    }
}

/// How a proxy reaches hosts, and where it leaves its files.
pub struct Options {
    /// A directory of this run alone: the file of certificates, and package managers' caches.
    pub directory: PathBuf,
    /// What clients have to show; `None` lets everybody in who reaches the listener.
    pub pass: Option<Pass>,
    /// How names become addresses.
    pub resolver: Arc<dyn Resolver>,
    /// Whether any name may lead to a private address. For tests: the policy can name single hosts,
    /// and an address that was granted as such may be reached either way.
    pub allow_private: bool,
    /// The authorities that hosts are proved by; `None` for the platform's, which honours
    /// `SSL_CERT_FILE`.
    pub roots: Option<Vec<CertificateDer<'static>>>,
    /// The person's own proxy, through which hosts are reached where its settings say so. It looks
    /// names up itself, so their addresses are not checked.
    pub upstream: Option<Upstream>,
    /// What is spent at most.
    pub limits: Limits,
}

impl Options {
    /// The platform's resolver and authorities, and no private addresses.
    #[must_use]
    pub fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            pass: None,
            resolver: Arc::new(SystemResolver),
            allow_private: false,
            roots: None,
            upstream: None,
            limits: Limits::default(),
        }
    }
}

pub(crate) struct Session {
    pub(crate) permissions: Arc<Permissions>,
    pub(crate) pass: Option<Pass>,
    pub(crate) resolver: Arc<dyn Resolver>,
    pub(crate) lookup: Lookup,
    pub(crate) allow_private: bool,
    pub(crate) upstream: Option<Upstream>,
    pub(crate) limits: Limits,
    pub(crate) pace: Pace,
    pub(crate) questions: Questions,
    /// The first record that could not be written: nothing is let through after it.
    pub(crate) lost: watch::Sender<Option<RecordError>>,
    pub(crate) authority: Authority,
    pub(crate) roots: Vec<CertificateDer<'static>>,
    pub(crate) address: SocketAddr,
    tls: OnceLock<TlsConnector>,
}

impl Session {
    pub(crate) fn new(
        address: SocketAddr,
        permissions: Arc<Permissions>,
        options: Options,
    ) -> Result<Self, EgressError> {
        let roots = match options.roots {
            Some(roots) => roots,
            None => {
                let found = rustls_native_certs::load_native_certs();
                if let (true, Some(error)) = (found.certs.is_empty(), found.errors.first()) {
                    return Err(EgressError::Roots(error.to_string()));
                }
                found.certs
            }
        };
        Ok(Self {
            permissions,
            pass: options.pass,
            resolver: options.resolver,
            lookup: Lookup::default(),
            allow_private: options.allow_private,
            upstream: options.upstream,
            limits: options.limits,
            questions: Questions::default(),
            pace: Pace::new(options.limits.rate, options.limits.burst),
            lost: watch::Sender::new(None),
            authority: Authority::new()?,
            roots,
            address,
            tls: OnceLock::new(),
        })
    }

    /// Notes that a record could not be written.
    pub(crate) fn lose(&self, error: RecordError) {
        self.lost.send_if_modified(|lost| {
            let first = lost.is_none();
            if first {
                *lost = Some(error);
            }
            first
        });
    }

    /// The client's side of TLS to hosts, set up for the first of them.
    pub(crate) fn tls(&self) -> Result<TlsConnector, String> {
        if let Some(tls) = self.tls.get() {
            return Ok(tls.clone());
        }
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(self.roots.iter().cloned());
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(store)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let made = TlsConnector::from(Arc::new(config));
        Ok(self.tls.get_or_init(|| made).clone())
    }
}
