//! The person's own proxy, for callers that speak HTTP over the connection themselves.

use std::fmt;

use crate::HttpError;
use crate::connect::connect;
use crate::proxy::ProxySettings;
use crate::tls::{Tls, TrustRoots};
use crate::url::Endpoint;
use crate::wire::BoxedStream;

/// Reaches hosts through the person's own proxy, where the settings name one for them.
pub struct Upstream {
    settings: ProxySettings,
    tls: Tls,
}

/// A connection through a proxy.
pub struct Through {
    /// The connection: a tunnel's inside, where one was asked for, else the proxy's own port, which
    /// takes requests with an absolute URL.
    pub stream: BoxedStream,
    /// The value of `Proxy-Authorization` for requests on the proxy's own port.
    pub authorization: Option<String>,
}

impl Upstream {
    /// Proxies as `settings` name them; one that is itself reached over TLS proves who it is by
    /// `roots`.
    #[must_use]
    pub fn new(settings: ProxySettings, roots: TrustRoots) -> Self {
        Self {
            settings,
            tls: Tls::new(roots),
        }
    }

    /// Whether `host` is reached through a proxy; `https` chooses the setting. Neither resolves nor
    /// connects.
    ///
    /// # Errors
    /// When the setting cannot be used.
    pub fn serves(&self, https: bool, host: &str, port: u16) -> Result<bool, HttpError> {
        let target = endpoint(https, host, port);
        self.settings
            .proxy_for(&target)
            .map(|proxy| proxy.is_some())
    }

    /// Connects to the proxy for `host`, and through it where `tunnel` says so; `None` where there
    /// is no proxy for it.
    ///
    /// # Errors
    /// When the setting cannot be used, or the proxy is not reached or refuses.
    pub async fn connect(
        &self,
        https: bool,
        host: &str,
        port: u16,
        tunnel: bool,
    ) -> Result<Option<Through>, HttpError> {
        let target = endpoint(https, host, port);
        let Some(proxy) = self.settings.proxy_for(&target)? else {
            return Ok(None);
        };
        let mut stream = connect(&proxy.endpoint, None, &self.tls).await?;
        let authorization = match tunnel {
            true => {
                proxy.open_tunnel(&target, &mut stream).await?;
                None
            }
            false => proxy
                .credentials
                .as_ref()
                .map(|secret| secret.expose().to_owned()),
        };
        Ok(Some(Through {
            stream,
            authorization,
        }))
    }
}

fn endpoint(https: bool, host: &str, port: u16) -> Endpoint {
    Endpoint {
        https,
        host: host.to_owned(),
        port,
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
