//! Addresses of sockets, as a task hands them to the kernel.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::maker::ADDRESS;
use super::task::{Errno, Task};

/// `struct sockaddr_storage`, socket(7).
const LONGEST: u64 = 128;

/// Where the path begins in `struct sockaddr_un`, unix(7).
const PATH_AT: usize = 2;

/// What an address names.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// An IP address and port, with its bytes.
    Internet(Internet),
    /// A file.
    File(Vec<u8>),
    /// A name in the abstract namespace.
    Abstract(Vec<u8>),
    /// A unix address without a name.
    Unnamed,
    /// None: it dissolves a connection.
    Unspecified,
    /// Another family.
    Other(u16),
}

/// An address of IPv4 or IPv6.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Internet {
    pub(super) ip: IpAddr,
    pub(super) port: u16,
    /// The family it was given as.
    pub(super) domain: i32,
    /// As the kernel takes it.
    pub(super) bytes: Vec<u8>,
}

impl Internet {
    /// Whether it means this very machine. The unspecified address does when connected to.
    pub(super) fn is_loopback(&self) -> bool {
        let ip = self.ip.to_canonical();
        ip.is_loopback() || ip.is_unspecified()
    }
}

/// Copies the address out of the task's memory: what is acted on is the copy.
pub(super) fn read(task: Task, address: u64, length: u64) -> Result<(Address, Vec<u8>), Errno> {
    if length > LONGEST {
        return Err(libc::EINVAL);
    }
    let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
    task.read(address, &mut bytes)?;
    Ok((parse(&bytes)?, bytes))
}

fn parse(bytes: &[u8]) -> Result<Address, Errno> {
    let family = match bytes.first_chunk::<2>() {
        Some(family) => u16::from_ne_bytes(*family),
        None => return Err(libc::EINVAL),
    };
    match i32::from(family) {
        libc::AF_UNSPEC => Ok(Address::Unspecified),
        libc::AF_UNIX => Ok(unix(bytes)),
        libc::AF_INET => internet(bytes, libc::AF_INET).ok_or(libc::EINVAL),
        libc::AF_INET6 => internet(bytes, libc::AF_INET6).ok_or(libc::EINVAL),
        _ => Ok(Address::Other(family)),
    }
}

fn unix(bytes: &[u8]) -> Address {
    let path = bytes.get(PATH_AT..).unwrap_or_default();
    match path.first() {
        None => Address::Unnamed,
        Some(0) => Address::Abstract(path.get(1..).unwrap_or_default().to_vec()),
        Some(_) => Address::File(path.split(|b| *b == 0).next().unwrap_or_default().to_vec()),
    }
}

/// Layouts of `struct sockaddr_in` and `sockaddr_in6`: ip(7), ipv6(7).
fn internet(bytes: &[u8], domain: i32) -> Option<Address> {
    let port = u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?);
    let (ip, length): (IpAddr, usize) = if domain == libc::AF_INET {
        let ip: [u8; 4] = bytes.get(4..8)?.try_into().ok()?;
        (Ipv4Addr::from(ip).into(), 16)
    } else {
        let ip: [u8; 16] = bytes.get(8..24)?.try_into().ok()?;
        (Ipv6Addr::from(ip).into(), ADDRESS)
    };
    let mut bytes = bytes.to_vec();
    bytes.truncate(length);
    Some(Address::Internet(Internet {
        ip,
        port,
        domain,
        bytes,
    }))
}

/// An address without a family that is sent to counts as one of IPv4 (`udp_sendmsg`,
/// `net/ipv4/udp.c`).
pub(super) fn unspecified_as_ipv4(task: Task, address: u64, length: u64) -> Option<Internet> {
    let mut bytes = vec![0; usize::try_from(length.min(LONGEST)).ok()?];
    task.read(address, &mut bytes).ok()?;
    match internet(&bytes, libc::AF_INET)? {
        Address::Internet(internet) => Some(internet),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_the_kernel_reads_them() {
        let mut v4 = vec![2, 0, 0x01, 0xbb, 93, 184, 216, 34];
        v4.resize(16, 0);
        let Ok(Address::Internet(address)) = parse(&v4) else {
            panic!("no address");
        };
        assert_eq!(
            (address.ip.to_string().as_str(), address.port),
            ("93.184.216.34", 443)
        );
        assert!(!address.is_loopback());
        let mut mapped = vec![10, 0, 0, 53, 0, 0, 0, 0];
        mapped.extend("::ffff:127.0.0.53".parse::<Ipv6Addr>().unwrap().octets());
        mapped.extend([0; 4]);
        let Ok(Address::Internet(address)) = parse(&mapped) else {
            panic!("no address");
        };
        assert!(address.is_loopback());
        assert_eq!(
            parse(b"\x01\0/run/a\0junk"),
            Ok(Address::File(b"/run/a".to_vec()))
        );
        assert_eq!(
            parse(b"\x01\0\0name"),
            Ok(Address::Abstract(b"name".to_vec()))
        );
        assert_eq!(parse(b"\x01\0"), Ok(Address::Unnamed));
        assert_eq!(parse(&[1]), Err(libc::EINVAL));
        assert_eq!(parse(&[2, 0, 1]), Err(libc::EINVAL));
    }
}
