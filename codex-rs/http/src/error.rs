//! What can go wrong between a URL and the last byte of its response.

use std::error::Error as _;
use std::io;
use std::time::Duration;

/// A request that did not give a complete response.
///
/// Targets are `host:port`, nothing more: no variant ever holds a header value,
/// a URL's query or its user name and password.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The URL can't be requested. The reason never quotes the URL.
    #[error("the URL can't be used: {reason}; give one like https://host/path")]
    BadUrl {
        /// What is wrong with it.
        reason: String,
    },
    /// A request header can't be sent.
    #[error("the request header `{name}` can't be sent: {reason}")]
    BadHeader {
        /// The header's name.
        name: String,
        /// What is wrong, without the value.
        reason: &'static str,
    },
    /// The proxy setting for this URL can't be used.
    #[error(
        "the proxy setting can't be used: {reason}; set it to http://host:port, \
         or list the target in NO_PROXY"
    )]
    BadProxy {
        /// What is wrong, without the setting itself.
        reason: String,
    },
    /// The host name has no address, or no name server answered.
    #[error("can't find the address of {target}: {source}; check the host name and the network")]
    Dns {
        /// `host:port`.
        target: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// Every address of the target refused the connection.
    #[error("{target} refused the connection; check that the server runs and the port is right")]
    Refused {
        /// `host:port`.
        target: String,
    },
    /// The target can't be reached for another reason than a refusal.
    #[error("can't connect to {target}: {source}; check the network")]
    Connect {
        /// `host:port`.
        target: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// Address look-up, connection, proxy tunnel and TLS handshake together
    /// took longer than the request's connect timeout.
    #[error("no connection to {target} within {after:?}; check the network or the proxy setting")]
    ConnectTimeout {
        /// `host:port`.
        target: String,
        /// The timeout that ran out.
        after: Duration,
    },
    /// The proxy answered, but did not open a tunnel.
    #[error(
        "the proxy {proxy} refused a tunnel to {target} with status {status}{}",
        if *status == 407 { "; put user:password@ into the proxy setting" } else { "" }
    )]
    ProxyRefused {
        /// The proxy's `host:port`.
        proxy: String,
        /// `host:port`.
        target: String,
        /// The proxy's HTTP status.
        status: u16,
    },
    /// No trusted root certificate could be loaded, so no `https` URL can be used.
    #[error(
        "can't load trusted root certificates: {reason}; install the system's CA certificates \
         (often the package ca-certificates) or point SSL_CERT_FILE at a PEM bundle"
    )]
    Roots {
        /// What was tried and failed.
        reason: String,
    },
    /// The TLS handshake failed: the certificate is not trusted, is for another
    /// name, or the peer does not speak TLS.
    #[error(
        "the TLS handshake with {target} failed: {source}; check the host, or behind a \
         TLS-inspecting proxy point SSL_CERT_FILE at its CA bundle"
    )]
    Tls {
        /// `host:port`.
        target: String,
        /// What the TLS library or the connection said.
        source: io::Error,
    },
    /// Not one byte moved in either direction for this long.
    #[error("{target} was silent for {after:?}; try again, or allow a longer idle time")]
    IdleTimeout {
        /// `host:port`.
        target: String,
        /// The timeout that ran out.
        after: Duration,
    },
    /// The connection ended in the middle of a response, or before one began.
    #[error("the connection to {target} ended before the response was complete; try again")]
    Cut {
        /// `host:port`.
        target: String,
    },
    /// The peer sent something that is not HTTP/1.1.
    #[error("{target} did not answer in valid HTTP/1.1: {reason}; check that the URL is right")]
    Protocol {
        /// `host:port`.
        target: String,
        /// What the parser objects to; never quotes what was received.
        reason: String,
    },
}

impl HttpError {
    /// Whether the same request may succeed when it is simply sent again. The
    /// caller still has to know that sending it twice does no harm.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Dns { .. }
            | Self::Refused { .. }
            | Self::Connect { .. }
            | Self::ConnectTimeout { .. }
            | Self::IdleTimeout { .. }
            | Self::Cut { .. } => true,
            Self::Tls { source, .. } => is_cut(source.kind()),
            Self::ProxyRefused { status, .. } => *status >= 500,
            Self::BadUrl { .. }
            | Self::BadHeader { .. }
            | Self::BadProxy { .. }
            | Self::Roots { .. }
            | Self::Protocol { .. } => false,
        }
    }

    /// Sorts an error of the HTTP layer into "the connection ended" and "the
    /// peer speaks something else".
    pub(crate) fn from_hyper(error: &hyper::Error, target: &str) -> Self {
        let io = error
            .source()
            .and_then(|source| source.downcast_ref::<io::Error>());
        let cut = error.is_incomplete_message()
            || error.is_canceled()
            || error.is_closed()
            || io.is_some_and(|io| is_cut(io.kind()));
        if cut {
            return Self::Cut {
                target: target.to_owned(),
            };
        }
        match io {
            // The decoder reports malformed bodies as these two kinds; any other
            // kind comes from the socket.
            Some(io)
                if !matches!(
                    io.kind(),
                    io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput
                ) =>
            {
                Self::Connect {
                    target: target.to_owned(),
                    source: copy(io),
                }
            }
            Some(io) => Self::Protocol {
                target: target.to_owned(),
                reason: io.to_string(),
            },
            None => Self::Protocol {
                target: target.to_owned(),
                reason: error.to_string(),
            },
        }
    }
}

/// Whether this kind means that the other side, or the network, went away.
fn is_cut(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::NotConnected
    )
}

/// The operating system's error again: `io::Error` can't be cloned.
fn copy(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}
