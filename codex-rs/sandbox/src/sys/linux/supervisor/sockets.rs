//! Sockets: made in a private network, connected on the task's behalf.

use std::ffi::CString;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use codex_protocol::request::{
    NetworkAccess, Requested as _, SocketKind, Transport, UnixAddress, UnixSocket, WriteKind,
};
use rustix::fs::{Access, FileType, OFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use super::Supervisor;
use super::address::{self, Address, Internet};
use super::listener::Answer;
use super::maker::{Lost, Maker, TYPE};
use super::paths::{Place, type_of};
use super::task::{Errno, Task, number};
use super::turn;

/// `SO_NETNS_COOKIE`, header `asm-generic/socket.h`: Linux 5.14.
const SO_NETNS_COOKIE: i32 = 71;

/// How many messages of one call are looked at. What they say is for the record: nothing that is
/// sent gets out of the private network.
const MESSAGES: u64 = 64;

/// Families by name, for records: socket(2).
const FAMILIES: &[(i32, &str)] = &[
    (libc::AF_UNIX, "AF_UNIX"),
    (libc::AF_INET, "AF_INET"),
    (libc::AF_INET6, "AF_INET6"),
    (libc::AF_NETLINK, "AF_NETLINK"),
    (libc::AF_PACKET, "AF_PACKET"),
    (libc::AF_ALG, "AF_ALG"),
    (libc::AF_BLUETOOTH, "AF_BLUETOOTH"),
    (libc::AF_CAN, "AF_CAN"),
    (libc::AF_KEY, "AF_KEY"),
    (libc::AF_VSOCK, "AF_VSOCK"),
    (libc::AF_XDP, "AF_XDP"),
    (libc::AF_RDS, "AF_RDS"),
    (libc::AF_TIPC, "AF_TIPC"),
];

/// The private network, from when the first socket is asked for.
#[derive(Default)]
pub(super) struct Sockets {
    /// Who makes sockets there, and what its network is told by.
    maker: Option<(Maker, u64)>,
    /// It was tried and cannot be had, or was lost.
    failed: bool,
}

impl Sockets {
    /// Asks the maker. `None` where there is none.
    fn ask<T>(&mut self, question: impl FnOnce(&Maker) -> Result<T, Lost>) -> Option<T> {
        if self.maker.is_none() && !self.failed {
            self.maker = start();
            self.failed = self.maker.is_none();
        }
        let (maker, _) = self.maker.as_ref()?;
        let answer = question(maker).ok();
        if answer.is_none() {
            self.maker = None;
            self.failed = true;
        }
        answer
    }

    /// Whether a socket for TCP or UDP is one of the private network's. What was put in the place of
    /// one to reach the proxy is not, and leads nowhere but there.
    fn holds(&self, socket: &OwnedFd) -> bool {
        let own = self.maker.as_ref().map(|(_, network)| *network);
        own.is_some() && network(socket) == own
    }

    pub(super) fn is_maker(&self, pid: i32) -> bool {
        self.maker
            .as_ref()
            .is_some_and(|(maker, _)| maker.pid() == pid)
    }
}

fn start() -> Option<(Maker, u64)> {
    let maker = Maker::start().ok()?;
    let socket = maker
        .socket(libc::AF_INET, libc::SOCK_DGRAM, 0)
        .ok()?
        .ok()?;
    let network = network(&socket)?;
    Some((maker, network))
}

/// What tells a socket's network from others.
fn network(socket: &OwnedFd) -> Option<u64> {
    let mut cookie = 0_u64;
    let mut length = size_of::<u64>() as libc::socklen_t;
    let descriptor = socket.as_raw_fd();
    // SAFETY: the number and its length outlive the call, which writes no more than that.
    let got = unsafe {
        libc::getsockopt(
            descriptor,
            libc::SOL_SOCKET,
            SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    (got == 0).then_some(cookie)
}

impl Supervisor<'_> {
    pub(super) fn socket(
        &mut self,
        task: Task,
        domain: i32,
        kind: i32,
        protocol: i32,
    ) -> Result<Answer, Errno> {
        let plain = match (domain, kind & TYPE) {
            (libc::AF_INET | libc::AF_INET6, libc::SOCK_STREAM) => {
                matches!(protocol, 0 | libc::IPPROTO_TCP | libc::IPPROTO_MPTCP)
            }
            (libc::AF_INET | libc::AF_INET6, libc::SOCK_DGRAM) => {
                matches!(protocol, 0 | libc::IPPROTO_UDP)
            }
            _ => false,
        };
        if !plain {
            return self.refuse_socket(task, "socket", domain, kind);
        }
        let made = self
            .sockets
            .ask(|maker| maker.socket(domain, kind, protocol));
        let Some(made) = made else {
            // Without a network of its own there is none.
            let request = NetworkAccess {
                host: String::from("an address that was not named yet"),
                port: 0,
                transport: transport(kind),
            };
            self.permit(task, request.view(), libc::EACCES)?;
            return Err(libc::EACCES);
        };
        Ok(Answer::Descriptor {
            file: made?,
            close_on_exec: kind & libc::SOCK_CLOEXEC != 0,
        })
    }

    pub(super) fn refuse_socket(
        &mut self,
        task: Task,
        call: &str,
        domain: i32,
        kind: i32,
    ) -> Result<Answer, Errno> {
        let name = FAMILIES.iter().find(|(family, _)| *family == domain);
        let mut argument = name.map_or_else(
            || format!("family {domain}"),
            |(_, name)| (*name).to_owned(),
        );
        match kind & TYPE {
            libc::SOCK_RAW => argument.push_str(", SOCK_RAW"),
            libc::SOCK_DGRAM if domain == libc::AF_UNIX => argument.push_str(", SOCK_DGRAM"),
            _ => {}
        }
        let request = SocketKind {
            call: call.to_owned(),
            kind: argument,
        };
        let errno = match domain {
            // Resolvers then go on without it.
            libc::AF_NETLINK => libc::EAFNOSUPPORT,
            _ => libc::EACCES,
        };
        self.permit(task, request.view(), errno)?;
        Err(errno)
    }

    pub(super) fn connect(
        &mut self,
        task: Task,
        fd: i32,
        at: u64,
        length: u64,
    ) -> Result<Answer, Errno> {
        let (address, bytes) = address::read(task, at, length)?;
        self.still_waits()?;
        match address {
            Address::Internet(internet) => self.connect_internet(task, fd, &internet),
            Address::Unspecified => {
                let socket = self.copy(task, fd)?;
                self.stays_inside(task, "connect", &socket)?;
                self.connect_now(&socket, &bytes)
            }
            Address::File(path) => self.connect_file(task, fd, path),
            Address::Abstract(name) => self.refuse_unix(task, UnixAddress::Abstract(name)),
            Address::Unnamed => Err(libc::EINVAL),
            Address::Other(_) => Err(libc::EAFNOSUPPORT),
        }
    }

    /// Refuses to give another end to a socket that leads to the proxy: it would lead anywhere.
    fn stays_inside(&mut self, task: Task, call: &str, socket: &OwnedFd) -> Result<(), Errno> {
        let domain = sockopt::socket_domain(socket).map_err(number)?;
        let of_network = matches!(domain, AddressFamily::INET | AddressFamily::INET6);
        if !of_network || self.sockets.holds(socket) {
            return Ok(());
        }
        let what = "a socket outside the private network".to_owned();
        self.refuse(task, call, Some(what), libc::EPERM).map(drop)
    }

    fn connect_internet(&mut self, task: Task, fd: i32, to: &Internet) -> Result<Answer, Errno> {
        let socket = self.copy(task, fd)?;
        let kind = socket_type(&socket)?;
        self.stays_inside(task, "connect", &socket)?;
        if self.rules.proxy == Some(SocketAddr::new(to.ip.to_canonical(), to.port))
            && kind & TYPE == libc::SOCK_STREAM
        {
            return self.connect_to_proxy(task, fd, &socket, to);
        }
        self.permit_internet(task, to, kind)?;
        self.connect_now(&socket, &to.bytes)
    }

    /// Puts a socket that is connected to the egress proxy, outside the private network, in the
    /// place of the task's. It is the only one there is that leads out, and leads nowhere else.
    fn connect_to_proxy(
        &self,
        task: Task,
        fd: i32,
        socket: &OwnedFd,
        to: &Internet,
    ) -> Result<Answer, Errno> {
        // Made anew where a turn was not enough: then nothing was given away.
        let (family, kind) = match to.domain {
            libc::AF_INET6 => (AddressFamily::INET6, SocketType::STREAM),
            _ => (AddressFamily::INET, SocketType::STREAM),
        };
        let out = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, None);
        let out = out.map_err(number)?;
        if let Answer::Later = self.connect_now(&out, &to.bytes)? {
            return Ok(Answer::Later);
        }
        if let Ok(no_delay) = sockopt::tcp_nodelay(socket) {
            sockopt::set_tcp_nodelay(&out, no_delay).map_err(number)?;
        }
        let flags = rustix::fs::fcntl_getfl(socket).map_err(number)?;
        if flags.contains(OFlags::NONBLOCK) {
            rustix::fs::fcntl_setfl(&out, OFlags::NONBLOCK).map_err(number)?;
        }
        let close_on_exec = task.closes_on_exec(fd);
        self.listener
            .replace(self.current, &out, fd, close_on_exec)?;
        Ok(Answer::Value(0))
    }

    /// Refuses what is not in the private network, or that nothing there answers to.
    fn permit_internet(&mut self, task: Task, to: &Internet, kind: i32) -> Result<(), Errno> {
        let loopback = to.is_loopback();
        let is_taken = |maker: &Maker| maker.is_taken(to.domain, kind & TYPE, &to.bytes);
        let taken = loopback && self.sockets.ask(is_taken) == Some(true);
        if taken {
            return Ok(());
        }
        let request = NetworkAccess {
            host: to.ip.to_string(),
            port: to.port,
            transport: transport(kind),
        };
        let errno = match loopback {
            true => libc::ECONNREFUSED,
            false => libc::ENETUNREACH,
        };
        self.permit(task, request.view(), errno)?;
        Err(errno)
    }

    /// Connects the task's own socket to an address that was copied. Waits no longer than a turn.
    fn connect_now(&self, socket: &OwnedFd, address: &[u8]) -> Result<Answer, Errno> {
        match turn::take(|| connect(socket, address)) {
            Ok(()) => Ok(Answer::Value(0)),
            Err(libc::EINTR) => Ok(Answer::Later),
            Err(errno) => Err(errno),
        }
    }

    fn connect_file(&mut self, task: Task, fd: i32, path: Vec<u8>) -> Result<Answer, Errno> {
        let text = CString::new(path).map_err(|_| libc::EINVAL)?;
        let held = match self.finder(task).followed(libc::AT_FDCWD, &text)? {
            Place::Named(named, None) => return Err(named.missing()),
            Place::Held(held) => held,
            Place::Named(named, Some(stat)) => named.hold(stat)?,
        };
        if type_of(&held.stat) != FileType::Socket {
            // Whoever may not write to it does not hear that it is none.
            rustix::fs::access(held.link(), Access::WRITE_OK).map_err(number)?;
            return Err(libc::ECONNREFUSED);
        }
        let request = UnixSocket {
            address: UnixAddress::Path(held.path.clone()),
        };
        self.permit(task, request.view(), libc::EACCES)?;
        // By the very file that was judged.
        let socket = self.copy(task, fd)?;
        self.connect_now(&socket, &unix_address(held.link().as_bytes()))
    }

    fn refuse_unix(&mut self, task: Task, address: UnixAddress) -> Result<Answer, Errno> {
        let request = UnixSocket { address };
        self.permit(task, request.view(), libc::EACCES)?;
        Err(libc::EACCES)
    }

    /// In the private network every address is free. A socket's file is made by the very text that
    /// was judged, so that others read that as the socket's name.
    pub(super) fn bind(
        &mut self,
        task: Task,
        fd: i32,
        at: u64,
        length: u64,
    ) -> Result<Answer, Errno> {
        let (address, bytes) = address::read(task, at, length)?;
        self.still_waits()?;
        match address {
            Address::File(path) => self.bind_file(task, fd, path),
            Address::Abstract(name) => self.refuse_unix(task, UnixAddress::Abstract(name)),
            _ => {
                let socket = self.copy(task, fd)?;
                self.stays_inside(task, "bind", &socket)?;
                bind(&socket, &bytes)?;
                Ok(Answer::Value(0))
            }
        }
    }

    fn bind_file(&mut self, task: Task, fd: i32, path: Vec<u8>) -> Result<Answer, Errno> {
        let mut text = CString::new(path).map_err(|_| libc::EINVAL)?;
        let finder = self.finder(task);
        let named = finder.named(libc::AT_FDCWD, &text, libc::EADDRINUSE)?;
        if named.stat()?.is_some() {
            return Err(libc::EADDRINUSE);
        }
        if !finder.takes_as_given(&text) {
            // The kernel would take it for another place than was judged.
            let directory = format!("/proc/self/fd/{}/", named.directory.as_raw_fd());
            let place = [directory.as_bytes(), named.name.as_bytes()].concat();
            text = CString::new(place).map_err(|_| libc::EINVAL)?;
        }
        let request = UnixSocket {
            address: UnixAddress::Path(named.path.clone()),
        };
        self.permit(task, request.view(), libc::EACCES)?;
        self.permit_write(task, named.path.clone(), WriteKind::Link)?;
        let socket = self.copy(task, fd)?;
        self.with_umask_of(task);
        rustix::process::fchdir(task.base(libc::AT_FDCWD)?).map_err(number)?;
        let bound = bind(&socket, &unix_address(text.as_bytes()));
        rustix::process::chdir("/").map_err(number)?;
        bound?;
        Ok(Answer::Value(0))
    }

    /// A message with an address. The kernel sends it: from a socket in the private network it
    /// gets nowhere else, and unix sockets that take addresses are not made.
    pub(super) fn send(
        &mut self,
        task: Task,
        fd: i32,
        at: u64,
        length: u64,
        flags: i32,
    ) -> Result<Answer, Errno> {
        let (address, _) = address::read(task, at, length)?;
        let to = match address {
            Address::Internet(internet) => Some(internet),
            Address::Unspecified => address::unspecified_as_ipv4(task, at, length),
            _ => None,
        };
        self.still_waits()?;
        if let Some(to) = to {
            let kind = socket_type(&self.copy(task, fd)?)?;
            self.permit_internet(task, &to, kind)?;
        }
        if flags & libc::MSG_FASTOPEN != 0 {
            // It connects as well, to whatever stands there then.
            return Err(libc::EOPNOTSUPP);
        }
        Ok(Answer::Continue)
    }

    /// `sendmsg` and `sendmmsg`: `count` headers of `step` bytes, each beginning with the address
    /// and length of its address (`struct msghdr`, recvmsg(2)).
    pub(super) fn send_messages(
        &mut self,
        task: Task,
        fd: i32,
        at: u64,
        count: u64,
        flags: i32,
    ) -> Result<Answer, Errno> {
        let step = size_of::<libc::mmsghdr>() as u64;
        for n in 0..count.min(MESSAGES) {
            let mut header = [0; 12];
            let at = at.checked_add(n * step).ok_or(libc::EFAULT)?;
            task.read(at, &mut header)?;
            let (name, length) = header.split_at(8);
            let name = u64::from_ne_bytes(name.try_into().unwrap_or_default());
            let length = u32::from_ne_bytes(length.try_into().unwrap_or_default());
            if name != 0 && length != 0 {
                self.send(task, fd, name, length.into(), flags)?;
            }
        }
        match flags & libc::MSG_FASTOPEN {
            0 => Ok(Answer::Continue),
            _ => Err(libc::EOPNOTSUPP),
        }
    }
}

fn transport(kind: i32) -> Transport {
    match kind & TYPE {
        libc::SOCK_DGRAM => Transport::Udp,
        _ => Transport::Tcp,
    }
}

fn socket_type(socket: &OwnedFd) -> Result<i32, Errno> {
    let kind = sockopt::socket_type(socket).map_err(number)?;
    i32::try_from(kind.as_raw()).map_err(|_| libc::EINVAL)
}

/// `struct sockaddr_un` of a path. The longest has no room for a closing zero, and needs none.
fn unix_address(path: &[u8]) -> Vec<u8> {
    let mut bytes = (libc::AF_UNIX as u16).to_ne_bytes().to_vec();
    bytes.extend_from_slice(path);
    if bytes.len() < size_of::<libc::sockaddr_un>() {
        bytes.push(0);
    }
    bytes
}

fn bind(socket: &OwnedFd, address: &[u8]) -> Result<(), Errno> {
    // SAFETY: see `with_address`.
    with_address(socket, address, |fd, at, length| unsafe {
        libc::bind(fd, at, length)
    })
}

fn connect(socket: &OwnedFd, address: &[u8]) -> Result<(), Errno> {
    // SAFETY: see `with_address`.
    with_address(socket, address, |fd, at, length| unsafe {
        libc::connect(fd, at, length)
    })
}

/// Makes a call that reads an address: the bytes outlive it, and it is told how many there are.
fn with_address(
    socket: &OwnedFd,
    address: &[u8],
    call: impl FnOnce(i32, *const libc::sockaddr, libc::socklen_t) -> i32,
) -> Result<(), Errno> {
    let length = libc::socklen_t::try_from(address.len()).map_err(|_| libc::EINVAL)?;
    match call(socket.as_raw_fd(), address.as_ptr().cast(), length) {
        0 => Ok(()),
        _ => {
            let error = std::io::Error::last_os_error();
            Err(error.raw_os_error().unwrap_or(libc::EIO))
        }
    }
}
