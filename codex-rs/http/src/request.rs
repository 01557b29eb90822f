//! What to send.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::uri::PathAndQuery;

use crate::url::Endpoint;
use crate::{HttpError, Secret};

/// The `User-Agent` of a request that sets none itself: `codex/<version>`.
pub const USER_AGENT: &str = concat!("codex/", env!("CARGO_PKG_VERSION"));

/// How long look-up, connection, proxy tunnel and TLS handshake may take
/// together, unless the request says otherwise. Long enough for a few lost
/// packets (retransmitted after 1, 2 and 4 seconds, RFC 6298).
pub const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long both directions may be silent, unless the request says otherwise.
/// Reasoning models send nothing for minutes; five minutes is also what a
/// provider's `stream_idle_timeout_ms` defaults to.
pub const DEFAULT_IDLE_TIMEOUT: Duration = Duration::from_secs(300);

/// The longest timeout that is taken as given; keeps clock arithmetic in range.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Headers that the client sets itself: a second opinion on where a message
/// ends or whom it is for is how requests get smuggled.
const OWN_HEADERS: [HeaderName; 8] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::CONNECTION,
    header::UPGRADE,
    header::TE,
    header::TRAILER,
    header::PROXY_AUTHORIZATION,
];

/// What to do with the resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Method {
    /// Fetch it.
    Get,
    /// Fetch only its headers.
    Head,
    /// Ask what can be done with it.
    Options,
    /// Hand it a body.
    Post,
    /// Replace it.
    Put,
    /// Remove it.
    Delete,
}

impl Method {
    fn to_hyper(self) -> hyper::Method {
        match self {
            Self::Get => hyper::Method::GET,
            Self::Head => hyper::Method::HEAD,
            Self::Options => hyper::Method::OPTIONS,
            Self::Post => hyper::Method::POST,
            Self::Put => hyper::Method::PUT,
            Self::Delete => hyper::Method::DELETE,
        }
    }
}

/// One request. Cloning is cheap (the body is shared), so that a caller can
/// send the same request again. `Debug` shows the method and `host:port` only.
#[derive(Clone)]
pub struct Request {
    pub(crate) endpoint: Endpoint,
    pub(crate) connect_timeout: Duration,
    pub(crate) idle_timeout: Duration,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
}

impl Request {
    /// A request without headers and body, with the default timeouts.
    ///
    /// # Errors
    /// [`HttpError::BadUrl`] when `url` is not an absolute `http` or `https`
    /// URL in ASCII, or holds a user name.
    pub fn new(method: Method, url: &str) -> Result<Self, HttpError> {
        let (uri, endpoint) = Endpoint::parse(url)?;
        Ok(Self {
            endpoint,
            connect_timeout: DEFAULT_CONNECT_TIMEOUT,
            idle_timeout: DEFAULT_IDLE_TIMEOUT,
            method,
            uri,
            headers: HeaderMap::new(),
            body: Bytes::new(),
        })
    }

    /// Sets a header, replacing an earlier one of that name.
    ///
    /// # Errors
    /// [`HttpError::BadHeader`] when the name or value can't be sent, or the
    /// name is one that the client sets itself.
    pub fn header(self, name: &str, value: &str) -> Result<Self, HttpError> {
        self.insert(name, value, false)
    }

    /// Sets a header whose value is a secret: it is marked so that no layer
    /// below prints it.
    ///
    /// # Errors
    /// As for [`Request::header`]; the error never holds the value.
    pub fn secret_header(self, name: &str, value: &Secret) -> Result<Self, HttpError> {
        self.insert(name, value.expose(), true)
    }

    fn insert(mut self, name: &str, value: &str, secret: bool) -> Result<Self, HttpError> {
        let bad = |reason| HttpError::BadHeader {
            name: name.escape_debug().to_string(),
            reason,
        };
        let parsed: HeaderName = name
            .parse()
            .map_err(|_| bad("the name holds a character that is not allowed"))?;
        if OWN_HEADERS.contains(&parsed) {
            return Err(bad("the client sets it itself"));
        }
        let mut value = HeaderValue::from_str(value)
            .map_err(|_| bad("the value holds a line break or a character outside ASCII"))?;
        value.set_sensitive(secret);
        self.headers.insert(parsed, value);
        Ok(self)
    }

    /// Sets the body, in bytes as sent.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Limits look-up, connection, proxy tunnel and TLS handshake together. At
    /// most a week counts.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout.min(LONGEST_TIMEOUT);
        self
    }

    /// Limits the time without any byte in either direction, while waiting for
    /// the headers and for each chunk of the body. At most a week counts.
    #[must_use]
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = timeout.min(LONGEST_TIMEOUT);
        self
    }

    /// The message for the connection. `proxied` is set when a proxy, not the
    /// target, reads it: then the request line holds the whole URL (RFC 9112,
    /// section 3.2.2) and the proxy's credentials go along.
    pub(crate) fn message(
        &self,
        proxied: Option<Option<&Secret>>,
    ) -> Result<hyper::Request<Payload>, HttpError> {
        let mut message = hyper::Request::new(Payload(Some(self.body.clone())));
        *message.method_mut() = self.method.to_hyper();
        *message.uri_mut() = match proxied {
            Some(_) => self.uri.clone(),
            None => {
                let path = self.uri.path_and_query().cloned();
                Uri::from(path.unwrap_or_else(|| PathAndQuery::from_static("/")))
            }
        };
        let headers = message.headers_mut();
        let host =
            HeaderValue::from_str(&self.endpoint.host_header()).map_err(|_| HttpError::BadUrl {
                reason: "its host can't be sent in a header".to_owned(),
            })?;
        headers.insert(header::HOST, host);
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
        if let Some(Some(credentials)) = proxied {
            headers.insert(header::PROXY_AUTHORIZATION, sensitive(credentials)?);
        }
        // hyper leaves the length out for an empty body, but servers may insist
        // on one where a body is expected (RFC 9110, section 8.6).
        if self.body.is_empty() && matches!(self.method, Method::Post | Method::Put) {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        for (name, value) in &self.headers {
            headers.insert(name, value.clone());
        }
        Ok(message)
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request({:?} {})", self.method, self.endpoint)
    }
}

fn sensitive(secret: &Secret) -> Result<HeaderValue, HttpError> {
    let mut value = HeaderValue::from_str(secret.expose()).map_err(|_| HttpError::BadProxy {
        reason: "its user name or password can't be sent".to_owned(),
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// A body that is sent in one piece.
pub(crate) struct Payload(Option<Bytes>);

impl Body for Payload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(Bytes::is_empty)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}
