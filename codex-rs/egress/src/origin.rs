//! Connections to hosts: resolved after the policy said yes, pinned, verified, and used again by
//! the client's connection that opened them.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use codex_http::{BoxedStream, HttpError};
use codex_protocol::hosts::READ_METHODS;
use codex_protocol::request::NetworkRead;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{self, HeaderValue};
use hyper::rt::{Read, Write};
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::address;
use crate::body::Reply;
use crate::session::Session;

/// Idle connections to hosts that one connection of a client keeps: one for each of its streams.
const KEPT: usize = 64;
/// How long a connection whose answer has just been read may take to be free again.
const SETTLING: Duration = Duration::from_millis(50);
/// Bytes that are read from a host at once, at most. Larger buffers are slower: each would be mapped
/// anew (mallopt(3), M_MMAP_THRESHOLD).
const READ_SIZE: usize = 64 << 10;

/// Why a host was not reached.
#[derive(Debug)]
pub(crate) enum Unreached {
    /// Its address may not be reached.
    Address(&'static str),
    /// It does not answer, or does not prove who it is.
    Failed(String),
    /// It took too long.
    Slow,
}

/// How a host is reached.
#[derive(Clone, Debug)]
pub(crate) enum Way {
    /// At one of these addresses, which were checked.
    Direct(Vec<SocketAddr>),
    /// Through the person's own proxy, which looks the name up itself.
    Upstream,
}

/// How the host of `read` is reached. What was checked is what is connected to.
pub(crate) async fn way(session: &Session, read: &NetworkRead) -> Result<Way, Unreached> {
    if let Some(upstream) = &session.upstream {
        // A tunnel is for TLS, whatever runs in it.
        let https = read.https || read.method == "CONNECT";
        match upstream.serves(https, &read.host, read.port) {
            Ok(true) => return Ok(Way::Upstream),
            Ok(false) => {}
            Err(error) => return Err(Unreached::Failed(of_upstream(&error))),
        }
    }
    let literal = read.host.parse::<IpAddr>().ok();
    let addresses = match literal {
        Some(ip) => vec![ip],
        None => session
            .lookup
            .resolve(&*session.resolver, &read.host)
            .await
            .map_err(|error| Unreached::Failed(format!("its name was not found: {error}")))?,
    };
    let policy = session.permissions.policy();
    let private = session.allow_private || policy.may_be_private(&read.host, read.port);
    let pinned = address::pin(addresses, read.port, literal.is_some(), private)
        .map_err(Unreached::Address)?;
    // The proxy must not be made to ask itself.
    match pinned.contains(&session.address) {
        true => Err(Unreached::Address("that is the proxy itself")),
        false => Ok(Way::Direct(pinned)),
    }
}

/// A connection for a tunnel.
pub(crate) async fn tunnel(
    session: &Session,
    read: &NetworkRead,
    way: &Way,
) -> Result<BoxedStream, Unreached> {
    match way {
        Way::Direct(addresses) => Ok(Box::new(tcp(addresses).await?)),
        Way::Upstream => through(session, read, true).await.map(|(stream, _)| stream),
    }
}

/// What a client is told of the person's proxy: not where it is.
fn of_upstream(error: &HttpError) -> String {
    let why = match error {
        HttpError::ProxyRefused { status, .. } => format!("refused with status {status}"),
        HttpError::BadProxy { .. } => "has an address that cannot be used".to_owned(),
        HttpError::Tls { .. } => "did not prove who it is".to_owned(),
        _ => "was not reached".to_owned(),
    };
    format!("the proxy of the person who started codex (HTTPS_PROXY, HTTP_PROXY) {why}")
}

/// A connection to the person's proxy, or through it, and the credentials for requests on the
/// proxy's own port.
async fn through(
    session: &Session,
    read: &NetworkRead,
    tunnel: bool,
) -> Result<(BoxedStream, Option<String>), Unreached> {
    let unset = || Unreached::Failed("there is no proxy for it".to_owned());
    let upstream = session.upstream.as_ref().ok_or_else(unset)?;
    let through = upstream
        .connect(tunnel, &read.host, read.port, tunnel)
        .await
        .map_err(|error| Unreached::Failed(of_upstream(&error)))?
        .ok_or_else(unset)?;
    Ok((through.stream, through.authorization))
}

/// The first of the addresses that takes a connection.
async fn tcp(addresses: &[SocketAddr]) -> Result<TcpStream, Unreached> {
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                // Only latency is lost where it cannot be set.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error) => failure = error,
        }
    }
    Err(Unreached::Failed(format!("no connection: {failure}")))
}

/// A connection on which requests are sent.
struct Sender {
    requests: SendRequest<Reply>,
    /// On the port of the person's proxy, which takes absolute URLs and these credentials.
    forwarded: Option<Option<String>>,
}

async fn open(session: &Session, read: &NetworkRead, way: &Way) -> Result<Sender, Unreached> {
    if let (Way::Upstream, false) = (way, read.https) {
        let (stream, authorization) = through(session, read, false).await?;
        return Ok(Sender {
            forwarded: Some(authorization),
            ..handshake(TokioIo::new(stream)).await?
        });
    }
    if let (Way::Direct(addresses), false) = (way, read.https) {
        return handshake(TokioIo::new(tcp(addresses).await?)).await;
    }
    let name = ServerName::try_from(read.host.clone())
        .map_err(|error| Unreached::Failed(error.to_string()))?;
    let tls = session.tls().map_err(Unreached::Failed)?;
    let unproven = |error: io::Error| Unreached::Failed(format!("TLS: {error}"));
    match way {
        Way::Direct(addresses) => {
            let stream = tls.connect(name, buffered(tcp(addresses).await?)).await;
            handshake(TokioIo::new(stream.map_err(unproven)?)).await
        }
        Way::Upstream => {
            let stream = buffered(through(session, read, true).await?.0);
            let stream = tls.connect(name, stream).await;
            handshake(TokioIo::new(stream.map_err(unproven)?)).await
        }
    }
}

/// Below TLS, which by itself asks for 4 KiB at a time: a quarter of a record.
fn buffered<S: AsyncRead>(stream: S) -> BufReader<S> {
    BufReader::with_capacity(READ_SIZE, stream)
}

async fn handshake(
    stream: impl Read + Write + Unpin + Send + 'static,
) -> Result<Sender, Unreached> {
    let (requests, connection) = http1::Builder::new()
        .max_buf_size(READ_SIZE)
        .handshake(stream)
        .await
        .map_err(|error| Unreached::Failed(error.to_string()))?;
    tokio::spawn(connection);
    Ok(Sender {
        requests,
        forwarded: None,
    })
}

/// The request as the person's proxy takes it on its own port.
fn forwarded(request: &mut Request<Reply>, read: &NetworkRead, authorization: Option<&str>) {
    let host = match read.host.contains(':') {
        true => format!("[{}]", read.host),
        false => read.host.clone(),
    };
    let path = request.uri().path_and_query().map_or("/", |p| p.as_str());
    if let Ok(uri) = format!("http://{host}:{}{path}", read.port).parse::<Uri>() {
        *request.uri_mut() = uri;
    }
    if let Some(Ok(mut value)) = authorization.map(HeaderValue::from_str) {
        value.set_sensitive(true);
        request
            .headers_mut()
            .insert(header::PROXY_AUTHORIZATION, value);
    }
}

/// The same request once more, where it reads and so has no body.
fn copy_of_read(request: &Request<Reply>) -> Option<Request<Reply>> {
    if !READ_METHODS.contains(&request.method().as_str()) {
        return None;
    }
    let mut copy = Request::new(Reply::Text(None));
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    Some(copy)
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    https: bool,
    host: String,
    port: u16,
}

/// The connections to hosts that one connection of a client opened.
#[derive(Default)]
pub(crate) struct Origins {
    idle: Mutex<Vec<(Key, Sender)>>,
}

impl Origins {
    /// A kept connection that is free, or will be in a moment.
    async fn kept(&self, key: &Key) -> Option<Sender> {
        loop {
            let mut sender = {
                let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
                let at = idle
                    .iter()
                    .position(|(k, s)| k == key && s.requests.is_ready());
                let at = at.or_else(|| idle.iter().position(|(k, _)| k == key))?;
                idle.swap_remove(at).1
            };
            if sender.requests.is_ready() {
                return Some(sender);
            }
            // A stream of another request may still run on it: that one keeps the connection
            // alive, and this one opens its own.
            if let Ok(Ok(())) = tokio::time::timeout(SETTLING, sender.requests.ready()).await {
                return Some(sender);
            }
        }
    }

    fn keep(&self, key: Key, sender: Sender) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|(_, sender)| !sender.requests.is_closed());
        if idle.len() < KEPT {
            idle.push((key, sender));
        }
    }

    /// Sends `request` on the way that was found for it.
    pub(crate) async fn send(
        &self,
        session: &Session,
        read: &NetworkRead,
        way: &Way,
        mut request: Request<Reply>,
    ) -> Result<Response<Incoming>, Unreached> {
        let key = Key {
            https: read.https,
            host: read.host.clone(),
            port: read.port,
        };
        let mut kept = self.kept(&key).await;
        let mut again = kept.as_ref().and_then(|_| copy_of_read(&request));
        loop {
            let reused = kept.is_some();
            let mut sender = match kept.take() {
                Some(sender) => sender,
                None => tokio::time::timeout(session.limits.connect, open(session, read, way))
                    .await
                    .map_err(|_| Unreached::Slow)??,
            };
            if let Some(authorization) = &sender.forwarded {
                forwarded(&mut request, read, authorization.as_deref());
            }
            let sent = sender.requests.try_send_request(request);
            match tokio::time::timeout(session.limits.answer, sent).await {
                Err(_) => return Err(Unreached::Slow),
                Ok(Ok(response)) => {
                    self.keep(key, sender);
                    return Ok(response);
                }
                Ok(Err(mut error)) => {
                    let unsent = error.take_message();
                    let error = error.into_error();
                    // A host closes a connection that it kept whenever it likes. What was not sent,
                    // or reads and had no answer (RFC 9110, section 9.2.2), is sent on a new one.
                    let closed = error.is_incomplete_message() || error.is_closed();
                    let repeated = unsent.or_else(|| again.take().filter(|_| closed));
                    match repeated.filter(|_| reused) {
                        Some(repeated) => request = repeated,
                        None => return Err(Unreached::Failed(error.to_string())),
                    }
                }
            }
        }
    }
}
