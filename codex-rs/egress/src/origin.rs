//! Connections to hosts: resolved after the policy said yes, pinned, verified, and used again by
//! the client's connection that opened them.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use codex_protocol::request::NetworkRead;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::address;
use crate::session::Session;

/// Idle connections to hosts that one connection of a client keeps.
const KEPT: usize = 16;
/// How long a connection whose answer has just been read may take to be free again.
const SETTLING: Duration = Duration::from_millis(50);

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

/// Connects to an address that was checked, and no other. `None` of a name is never looked up
/// twice: what was checked is what is connected to.
pub(crate) async fn pinned(
    session: &Session,
    read: &NetworkRead,
) -> Result<Vec<SocketAddr>, Unreached> {
    let literal = read.host.parse::<IpAddr>().ok();
    let addresses = match literal {
        Some(ip) => vec![ip],
        None => session
            .resolver
            .resolve(&read.host)
            .await
            .map_err(|error| Unreached::Failed(format!("its name was not found: {error}")))?,
    };
    let pinned = address::pin(
        addresses,
        read.port,
        literal.is_some(),
        session.allow_private,
    )
    .map_err(Unreached::Address)?;
    // The proxy must not be made to ask itself.
    match pinned.contains(&session.address) {
        true => Err(Unreached::Address("that is the proxy itself")),
        false => Ok(pinned),
    }
}

/// The first of the addresses that takes a connection.
pub(crate) async fn tcp(addresses: &[SocketAddr]) -> Result<TcpStream, Unreached> {
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

type Sender = SendRequest<Incoming>;

async fn open(
    session: &Session,
    read: &NetworkRead,
    addresses: &[SocketAddr],
) -> Result<Sender, Unreached> {
    let stream = tcp(addresses).await?;
    let failed = |error: hyper::Error| Unreached::Failed(error.to_string());
    let mut builder = http1::Builder::new();
    builder.max_buf_size(64 << 10);
    if !read.https {
        let (sender, connection) = builder
            .handshake(TokioIo::new(stream))
            .await
            .map_err(failed)?;
        tokio::spawn(connection);
        return Ok(sender);
    }
    let name = ServerName::try_from(read.host.clone())
        .map_err(|error| Unreached::Failed(error.to_string()))?;
    let stream = session
        .tls()
        .map_err(Unreached::Failed)?
        .connect(name, stream)
        .await
        .map_err(|error| Unreached::Failed(format!("TLS: {error}")))?;
    let (sender, connection) = builder
        .handshake(TokioIo::new(stream))
        .await
        .map_err(failed)?;
    tokio::spawn(connection);
    Ok(sender)
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
                let at = idle.iter().position(|(k, s)| k == key && s.is_ready());
                let at = at.or_else(|| idle.iter().position(|(k, _)| k == key))?;
                idle.swap_remove(at).1
            };
            if sender.is_ready() {
                return Some(sender);
            }
            // A stream of another request may still run on it: that one keeps the connection
            // alive, and this one opens its own.
            if let Ok(Ok(())) = tokio::time::timeout(SETTLING, sender.ready()).await {
                return Some(sender);
            }
        }
    }

    fn keep(&self, key: Key, sender: Sender) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|(_, sender)| !sender.is_closed());
        if idle.len() < KEPT {
            idle.push((key, sender));
        }
    }

    /// Sends `request` to the addresses that were checked for it.
    pub(crate) async fn send(
        &self,
        session: &Session,
        read: &NetworkRead,
        addresses: &[SocketAddr],
        mut request: Request<Incoming>,
    ) -> Result<Response<Incoming>, Unreached> {
        let key = Key {
            https: read.https,
            host: read.host.clone(),
            port: read.port,
        };
        let mut kept = self.kept(&key).await;
        loop {
            let reused = kept.is_some();
            let mut sender = match kept.take() {
                Some(sender) => sender,
                None => {
                    tokio::time::timeout(session.limits.connect, open(session, read, addresses))
                        .await
                        .map_err(|_| Unreached::Slow)??
                }
            };
            let sent = sender.try_send_request(request);
            match tokio::time::timeout(session.limits.answer, sent).await {
                Err(_) => return Err(Unreached::Slow),
                Ok(Ok(response)) => {
                    self.keep(key, sender);
                    return Ok(response);
                }
                // The host closed the connection before it took the request: nothing was sent.
                Ok(Err(mut error)) if reused && error.message().is_some() => {
                    match error.take_message() {
                        Some(unsent) => request = unsent,
                        None => return Err(Unreached::Failed(error.into_error().to_string())),
                    }
                }
                Ok(Err(error)) => return Err(Unreached::Failed(error.into_error().to_string())),
            }
        }
    }
}
