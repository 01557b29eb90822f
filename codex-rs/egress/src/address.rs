//! Which addresses may be reached, and how names become addresses.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;

/// Addresses of one host that are looked at. A resolver may return any number.
const ADDRESS_LIMIT: usize = 16;

/// Turns a name into addresses. Only asked once the policy said yes.
pub trait Resolver: Send + Sync {
    /// The addresses of `host`.
    fn resolve<'a>(
        &'a self,
        host: &'a str,
    ) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>>;
}

/// The platform's resolver.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

impl Resolver for SystemResolver {
    fn resolve<'a>(
        &'a self,
        host: &'a str,
    ) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((host, 0)).await?;
            Ok(found.take(ADDRESS_LIMIT).map(|a| a.ip()).collect())
        })
    }
}

/// Whether an address is one of the public internet, by the IANA special-purpose registries.
/// What carries an IPv4 address inside (mapped, NAT64, 6to4, Teredo) is none, whatever it carries:
/// no server is published under such an address.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(matches!(a, 0 | 10 | 127 | 224..)
        || (a == 100 && (64..128).contains(&b))
        || (a == 169 && b == 254)
        || (a == 172 && (16..32).contains(&b))
        || (a == 192 && b == 168)
        || (a == 192 && b == 0 && (c == 0 || c == 2))
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (b == 18 || b == 19))
        || (a == 198 && b == 51 && c == 100)
        || (a == 203 && b == 0 && c == 113)
        // Metadata of a cloud (Azure's wire server) at a public address.
        || address == Ipv4Addr::new(168, 63, 129, 16))
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    // Only 2000::/3 is given out (RFC 4291): that leaves out loopback, mapped, NAT64 (64:ff9b::/96
    // and its local sister), unique local, link-local and multicast.
    (0x2000..0x4000).contains(&a)
        // 2001::/23 holds Teredo, ORCHID and benchmarks; 2001:db8::/32 and 3fff::/20 are examples.
        && !(a == 0x2001 && (b < 0x200 || b == 0xdb8))
        && a != 0x2002
        && !(a == 0x3fff && b < 0x1000)
}

/// The addresses to connect to, or why none: a name that leads to one address that is not public
/// is refused whole, so that a mixed answer gains nothing. `literal` was typed or approved as such.
pub(crate) fn pin(
    addresses: Vec<IpAddr>,
    port: u16,
    literal: bool,
    allow_private: bool,
) -> Result<Vec<SocketAddr>, &'static str> {
    if addresses.is_empty() {
        return Err("the name has no address");
    }
    let reachable = |ip: &IpAddr| !ip.is_multicast() && !ip.is_unspecified();
    if !addresses.iter().all(reachable)
        || !(literal || allow_private || addresses.iter().all(|ip| is_public(*ip)))
    {
        return Err(
            "the name leads to a private, loopback, link-local or reserved address (--allow-private-host lets it, where that is how your network serves the host)",
        );
    }
    Ok(addresses
        .into_iter()
        .take(ADDRESS_LIMIT)
        .map(|ip| SocketAddr::new(ip, port))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_public_internet_is_public() {
        for private in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.8.8.8",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "168.63.129.16",
            "::",
            "::1",
            "::ffff:8.8.8.8",
            "::127.0.0.1",
            "64:ff9b::808:808",
            "64:ff9b:1::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "3fff::1",
            "100::1",
            "5f00::1",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
        for public in [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.0.1",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00::1",
            "2001:4860::8888",
        ] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }

    #[test]
    fn one_private_address_among_public_ones_refuses_the_name() {
        let mixed: Vec<IpAddr> = ["1.1.1.1", "10.0.0.1"].map(|a| a.parse().unwrap()).into();
        assert!(pin(mixed.clone(), 443, false, false).is_err());
        assert_eq!(pin(mixed, 443, false, true).map(|a| a.len()), Ok(2));
        assert!(pin(Vec::new(), 443, false, true).is_err());
        let multicast = vec!["224.0.0.1".parse().unwrap()];
        assert!(pin(multicast, 443, true, true).is_err());
    }
}
