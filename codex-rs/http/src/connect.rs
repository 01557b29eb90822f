//! From an endpoint to a byte stream that reaches it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::net::TcpStream;

use crate::HttpError;
use crate::proxy::Proxy;
use crate::tls::Tls;
use crate::url::Endpoint;
use crate::wire::BoxedStream;

/// How long one address may take before the next is tried beside it: the
/// "Connection Attempt Delay" that RFC 8305, section 8, recommends.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Addresses of one host that are tried. A resolver may return any number.
const ADDRESS_LIMIT: usize = 16;

/// Connects to `target`, through `proxy` when there is one. An `http` URL is
/// sent to the proxy itself, an `https` one through a tunnel.
pub(crate) async fn connect(
    target: &Endpoint,
    proxy: Option<&Proxy>,
    tls: &Tls,
) -> Result<BoxedStream, HttpError> {
    let stream = match proxy {
        None => tcp(target).await?,
        Some(proxy) => {
            let mut stream = tcp(&proxy.endpoint).await?;
            if proxy.endpoint.https {
                let name = proxy.endpoint.to_string();
                stream = tls.wrap(&proxy.endpoint.host, &name, stream).await?;
            }
            if target.https {
                proxy.open_tunnel(target, &mut stream).await?;
            }
            stream
        }
    };
    if target.https {
        tls.wrap(&target.host, &target.to_string(), stream).await
    } else {
        Ok(stream)
    }
}

async fn tcp(endpoint: &Endpoint) -> Result<BoxedStream, HttpError> {
    let addresses = match endpoint.host.parse::<IpAddr>() {
        Ok(ip) => vec![SocketAddr::new(ip, endpoint.port)],
        Err(_) => resolve(endpoint).await?,
    };
    let stream = race(addresses).await.map_err(|source| {
        let target = endpoint.to_string();
        match source.kind() {
            io::ErrorKind::ConnectionRefused => HttpError::Refused { target },
            _ => HttpError::Connect { target, source },
        }
    })?;
    // Requests are written whole; waiting to fill a packet only delays them.
    // A socket that can't be told so still works.
    let _ = stream.set_nodelay(true);
    Ok(Box::new(stream))
}

async fn resolve(endpoint: &Endpoint) -> Result<Vec<SocketAddr>, HttpError> {
    let failed = |source| HttpError::Dns {
        target: endpoint.to_string(),
        source,
    };
    let found: Vec<SocketAddr> = tokio::net::lookup_host((endpoint.host.as_str(), endpoint.port))
        .await
        .map_err(failed)?
        .take(ADDRESS_LIMIT)
        .collect();
    if found.is_empty() {
        return Err(failed(io::Error::new(
            io::ErrorKind::NotFound,
            "the name has no address",
        )));
    }
    Ok(interleave(found))
}

/// Alternates the two address families, the resolver's first choice first, so
/// that a network with broken IPv6 costs one attempt delay and not one for
/// every IPv6 address (RFC 8305, section 4).
fn interleave(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (same, other): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|address| address.is_ipv6() == first_is_v6);
    let mut other = other.into_iter();
    let mut order = Vec::new();
    for address in same {
        order.push(address);
        order.extend(other.next());
    }
    order.extend(other);
    order
}

/// The first connection that stands. A refusal outranks other errors: it says
/// that the host is there.
async fn race(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut waiting = addresses.into_iter();
    let mut attempts = FuturesUnordered::new();
    let mut failure = io::Error::new(io::ErrorKind::AddrNotAvailable, "no address to try");
    loop {
        attempts.extend(waiting.next().map(TcpStream::connect));
        tokio::select! {
            Some(result) = attempts.next() => match result {
                Ok(stream) => return Ok(stream),
                Err(error) => {
                    if failure.kind() != io::ErrorKind::ConnectionRefused {
                        failure = error;
                    }
                }
            },
            () = tokio::time::sleep(ATTEMPT_DELAY), if waiting.len() > 0 => {}
            else => return Err(failure),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_alternate_from_the_first() {
        let addresses = |text: &str| -> Vec<SocketAddr> {
            text.split(' ')
                .map(|ip| SocketAddr::new(ip.parse().unwrap(), 1))
                .collect()
        };
        for (from, expect) in [
            ("::1 ::2 ::3 1.1.1.1", "::1 1.1.1.1 ::2 ::3"),
            ("1.1.1.1 ::1 ::2 ::3", "1.1.1.1 ::1 ::2 ::3"),
            ("1.1.1.1", "1.1.1.1"),
        ] {
            assert_eq!(interleave(addresses(from)), addresses(expect));
        }
    }

    #[tokio::test]
    async fn a_later_address_is_used_when_the_first_refuses() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let refusing = {
            let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            gone.local_addr().unwrap()
        };
        let good = listener.local_addr().unwrap();
        let stream = race(vec![refusing, good]).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), good);
        let error = race(vec![refusing, refusing]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }
}
