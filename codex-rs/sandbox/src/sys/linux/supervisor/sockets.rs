//! Sockets: made in a private network, connected on the task's behalf.

use std::ffi::CString;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use codex_protocol::request::{
    NetworkAccess, Requested as _, SocketKind, Transport, UnixAddress, UnixSocket, WriteKind,
};
use rustix::fs::{Access, FileType, Mode, OFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use super::Supervisor;
use super::address::{self, Address, Internet};
use super::listener::Answer;
use super::maker::Maker;
use super::paths::{Held, Place, type_of};
use super::task::{Errno, Task, number};

/// How long a connection is waited for before others get their turn.
const TURN: Duration = Duration::from_millis(5);

/// `SOCK_TYPE_MASK`, header `linux/net.h`.
const TYPE: i32 = 0xf;

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
    maker: Option<Maker>,
    /// It was tried and cannot be had.
    failed: bool,
}

impl Sockets {
    fn maker(&mut self) -> Option<&Maker> {
        if self.maker.is_none() && !self.failed {
            self.maker = Maker::start().ok();
            self.failed = self.maker.is_none();
        }
        self.maker.as_ref()
    }

    pub(super) fn is_maker(&self, pid: i32) -> bool {
        self.maker.as_ref().is_some_and(|maker| maker.pid() == pid)
    }
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
        let Some(maker) = self.sockets.maker() else {
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
            file: maker.socket(domain, kind, protocol)?,
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
        let address = address::read(task, at, length)?;
        self.still_waits()?;
        match address {
            Address::Internet(internet) => self.connect_internet(task, fd, &internet),
            Address::Unspecified => {
                let socket = task.copy(fd)?;
                let bytes = libc::AF_UNSPEC.to_ne_bytes();
                connect(&socket, &[&bytes[..], &[0; 12]].concat())?;
                Ok(Answer::Value(0))
            }
            Address::File(path) => self.connect_file(task, fd, path),
            Address::Abstract(name) => self.refuse_unix(task, UnixAddress::Abstract(name)),
            Address::Unnamed => Err(libc::EINVAL),
            Address::Other(_) => Err(libc::EAFNOSUPPORT),
        }
    }

    fn connect_internet(&mut self, task: Task, fd: i32, to: &Internet) -> Result<Answer, Errno> {
        let socket = task.copy(fd)?;
        let kind = socket_type(&socket)?;
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
        let taken = loopback
            && self
                .sockets
                .maker()
                .is_some_and(|maker| maker.is_taken(to.domain, kind & TYPE, &to.bytes));
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
        let flags = rustix::fs::fcntl_getfl(socket).map_err(number)?;
        if flags.contains(OFlags::NONBLOCK) {
            connect(socket, address)?;
            return Ok(Answer::Value(0));
        }
        let before = sockopt::socket_timeout(socket, sockopt::Timeout::Send);
        let set = |time| sockopt::set_socket_timeout(socket, sockopt::Timeout::Send, time);
        set(Some(TURN)).map_err(number)?;
        let connected = connect(socket, address);
        set(before.unwrap_or_default()).map_err(number)?;
        match connected {
            Ok(()) => Ok(Answer::Value(0)),
            Err(libc::EAGAIN | libc::EINPROGRESS | libc::EALREADY) => Ok(Answer::Later),
            Err(errno) => Err(errno),
        }
    }

    fn connect_file(&mut self, task: Task, fd: i32, path: Vec<u8>) -> Result<Answer, Errno> {
        let text = CString::new(path).map_err(|_| libc::EINVAL)?;
        let held = match self.finder(task).followed(libc::AT_FDCWD, &text)? {
            Place::Named(named, None) => return Err(named.missing()),
            Place::Held(held) => held,
            Place::Named(named, Some(stat)) => {
                let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let file = rustix::fs::openat(&named.directory, &named.name, flags, Mode::empty());
                Held {
                    file: file.map_err(number)?,
                    path: named.path,
                    stat,
                }
            }
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
        let mut bytes = (libc::AF_UNIX as u16).to_ne_bytes().to_vec();
        bytes.extend(held.link().into_bytes());
        bytes.push(0);
        let socket = task.copy(fd)?;
        self.connect_now(&socket, &bytes)
    }

    fn refuse_unix(&mut self, task: Task, address: UnixAddress) -> Result<Answer, Errno> {
        let request = UnixSocket { address };
        self.permit(task, request.view(), libc::EACCES)?;
        Err(libc::EACCES)
    }

    /// In the private network every address is free, and the kernel binds. A socket's file is made
    /// here, by the very text that was judged, so that others read that as the socket's name.
    pub(super) fn bind(
        &mut self,
        task: Task,
        fd: i32,
        at: u64,
        length: u64,
    ) -> Result<Answer, Errno> {
        let address = address::read(task, at, length)?;
        self.still_waits()?;
        match address {
            Address::File(path) => {
                let text = CString::new(path).map_err(|_| libc::EINVAL)?;
                let named = self
                    .finder(task)
                    .named(libc::AT_FDCWD, &text, libc::EADDRINUSE)?;
                if named.stat()?.is_some() {
                    return Err(libc::EADDRINUSE);
                }
                let request = UnixSocket {
                    address: UnixAddress::Path(named.path.clone()),
                };
                self.permit(task, request.view(), libc::EACCES)?;
                self.permit_write(task, named.path, WriteKind::Link)?;
                let socket = task.copy(fd)?;
                let mut bytes = (libc::AF_UNIX as u16).to_ne_bytes().to_vec();
                // The longest path has no room for a closing zero, and needs none.
                bytes.extend_from_slice(text.as_bytes());
                if bytes.len() < size_of::<libc::sockaddr_un>() {
                    bytes.push(0);
                }
                self.with_umask_of(task);
                rustix::process::fchdir(task.base(libc::AT_FDCWD)?).map_err(number)?;
                let bound = bind(&socket, &bytes);
                rustix::process::chdir("/").map_err(number)?;
                bound?;
                Ok(Answer::Value(0))
            }
            Address::Abstract(name) => self.refuse_unix(task, UnixAddress::Abstract(name)),
            _ => Ok(Answer::Continue),
        }
    }

    /// A message with an address. The kernel sends it: from a socket in the private network it
    /// gets nowhere else, and unix sockets that take addresses are not made.
    pub(super) fn send(
        &mut self,
        task: Task,
        fd: i32,
        at: u64,
        length: u64,
    ) -> Result<Answer, Errno> {
        let to = match address::read(task, at, length)? {
            Address::Internet(internet) => Some(internet),
            Address::Unspecified => address::unspecified_as_ipv4(task, at, length),
            _ => None,
        };
        self.still_waits()?;
        if let Some(to) = to {
            let kind = socket_type(&task.copy(fd)?)?;
            self.permit_internet(task, &to, kind)?;
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
                self.send(task, fd, name, length.into())?;
            }
        }
        Ok(Answer::Continue)
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

fn bind(socket: &OwnedFd, address: &[u8]) -> Result<(), Errno> {
    let length = libc::socklen_t::try_from(address.len()).map_err(|_| libc::EINVAL)?;
    // SAFETY: the bytes outlive the call, which reads as many as it is told.
    let bound = unsafe { libc::bind(socket.as_raw_fd(), address.as_ptr().cast(), length) };
    match bound {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()
            .raw_os_error()
            .unwrap_or(libc::EIO)),
    }
}

fn connect(socket: &OwnedFd, address: &[u8]) -> Result<(), Errno> {
    let length = libc::socklen_t::try_from(address.len()).map_err(|_| libc::EINVAL)?;
    // SAFETY: the bytes outlive the call, which reads as many as it is told.
    let connected = unsafe { libc::connect(socket.as_raw_fd(), address.as_ptr().cast(), length) };
    match connected {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()
            .raw_os_error()
            .unwrap_or(libc::EIO)),
    }
}
