//! A network of the command's own: a process in a network namespace that makes sockets there.
//!
//! The namespace has a loopback and nothing else, so that what a command starts can be reached by
//! what it starts, and nothing leads out, whatever is sent. The process shares our memory and our
//! descriptors: a socket that it makes is at once ours to give away.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use super::super::check;
use super::task::Errno;

/// How long we wait for it: it only makes sockets.
const PATIENCE: Duration = Duration::from_secs(2);

/// `SOCK_TYPE_MASK`, header `linux/net.h`.
pub(super) const TYPE: i32 = 0xf;

/// Its stack: it calls the kernel and little else.
const STACK: usize = 64 << 10;

/// What it is asked.
#[derive(Clone, Copy)]
#[repr(C)]
struct Question {
    /// 1: is this address taken? 0: make a socket.
    probes: i32,
    domain: i32,
    kind: i32,
    protocol: i32,
    address: [u8; ADDRESS],
    length: u32,
}

/// An IPv6 address with its port: `struct sockaddr_in6`.
pub(super) const ADDRESS: usize = 28;

/// It did not answer: what it says later belongs to no question any more, so it is given up.
pub(super) struct Lost;

/// The process, and how it is reached.
pub(super) struct Maker {
    pid: i32,
    ours: UnixDatagram,
    _theirs: UnixDatagram,
    _stack: Vec<u128>,
    /// The descriptor that it serves, where it finds it.
    _descriptor: Box<RawFd>,
}

impl Maker {
    /// Starts it. Fails where a user may not make namespaces.
    pub(super) fn start() -> io::Result<Self> {
        let (ours, theirs) = UnixDatagram::pair()?;
        ours.set_read_timeout(Some(PATIENCE))?;
        let mut descriptor = Box::new(theirs.as_raw_fd());
        let mut stack = vec![0_u128; STACK / size_of::<u128>()];
        let flags = libc::CLONE_VM
            | libc::CLONE_FILES
            | libc::CLONE_NEWUSER
            | libc::CLONE_NEWNET
            | libc::SIGCHLD;
        // SAFETY: the stack grows down from its end; it and the descriptor's number live as long
        // as the process, which is ended when they are dropped. It touches nothing else of ours,
        // and works only while we wait for its answer.
        let pid = unsafe {
            let top = stack.as_mut_ptr_range().end;
            libc::clone(serve, top.cast(), flags, (&raw mut *descriptor).cast())
        };
        check(pid.into())?;
        let maker = Self {
            pid,
            ours,
            _theirs: theirs,
            _stack: stack,
            _descriptor: descriptor,
        };
        match maker.answer()? {
            0 => Ok(maker),
            errno => Err(io::Error::from_raw_os_error(-errno)),
        }
    }

    pub(super) fn pid(&self) -> i32 {
        self.pid
    }

    /// Makes a socket in the private network.
    pub(super) fn socket(
        &self,
        domain: i32,
        kind: i32,
        protocol: i32,
    ) -> Result<Result<OwnedFd, Errno>, Lost> {
        let question = Question {
            probes: 0,
            domain,
            kind: kind | libc::SOCK_CLOEXEC,
            protocol,
            address: [0; ADDRESS],
            length: 0,
        };
        // SAFETY: it has just been made in the table of descriptors that we share, for us.
        let owned = |fd| unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(self.ask(&question)?.map(owned))
    }

    /// Whether something in the private network has taken this address, so that there is somebody
    /// to reach.
    pub(super) fn is_taken(&self, domain: i32, kind: i32, address: &[u8]) -> Result<bool, Lost> {
        let mut question = Question {
            probes: 1,
            domain,
            kind: kind | libc::SOCK_CLOEXEC,
            protocol: 0,
            address: [0; ADDRESS],
            length: 0,
        };
        for (to, from) in question.address.iter_mut().zip(address) {
            *to = *from;
        }
        question.length = u32::try_from(address.len().min(ADDRESS)).unwrap_or_default();
        Ok(self.ask(&question)? == Err(libc::EADDRINUSE))
    }

    fn ask(&self, question: &Question) -> Result<Result<i32, Errno>, Lost> {
        // SAFETY: the structure holds numbers without gaps between them.
        let bytes = unsafe {
            std::slice::from_raw_parts((&raw const *question).cast::<u8>(), size_of::<Question>())
        };
        let answered = self.ours.send(bytes).and_then(|_| self.answer());
        match answered {
            Ok(result) if result >= 0 => Ok(Ok(result)),
            Ok(errno) => Ok(Err(-errno)),
            Err(_) => Err(Lost),
        }
    }

    fn answer(&self) -> io::Result<i32> {
        let mut answer = [0; 4];
        match self.ours.recv(&mut answer)? {
            4 => Ok(i32::from_ne_bytes(answer)),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

impl Drop for Maker {
    fn drop(&mut self) {
        // SAFETY: the calls take numbers; it is our child until it is waited for here.
        unsafe {
            libc::kill(self.pid, libc::SIGKILL);
            libc::waitpid(self.pid, std::ptr::null_mut(), 0);
        }
    }
}

/// What the process does: it answers until it is ended. Calls to the kernel only.
extern "C" fn serve(descriptor: *mut libc::c_void) -> i32 {
    // SAFETY: the number stays where it is for as long as this process lives. The structures
    // outlive the calls that fill or read them.
    unsafe {
        let fd = *descriptor.cast::<RawFd>();
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        let mut result = raise_loopback();
        loop {
            let length = size_of::<i32>();
            if libc::send(fd, (&raw const result).cast(), length, 0) != length.cast_signed() {
                return 1;
            }
            let mut question: Question = std::mem::zeroed();
            let length = size_of::<Question>();
            if libc::recv(fd, (&raw mut question).cast(), length, 0) != length.cast_signed() {
                return 1;
            }
            result = libc::socket(question.domain, question.kind, question.protocol);
            if result < 0 {
                result = -*libc::__errno_location();
            } else if question.probes == 1 {
                result = probe(result, &question);
            }
        }
    }
}

/// Takes the address, if nobody has, and leaves it again.
unsafe fn probe(socket: RawFd, question: &Question) -> i32 {
    // SAFETY: the caller's socket and structure outlive the calls.
    unsafe {
        if question.kind & TYPE == libc::SOCK_STREAM {
            let (yes, length) = (1_i32, size_of::<i32>() as libc::socklen_t);
            // What has only just stopped listening is gone. Sockets for datagrams that have this
            // set do not collide, so that one would not be found.
            let (level, name) = (libc::SOL_SOCKET, libc::SO_REUSEADDR);
            libc::setsockopt(socket, level, name, (&raw const yes).cast(), length);
        }
        let bound = libc::bind(socket, question.address.as_ptr().cast(), question.length);
        let result = match bound {
            0 => 0,
            _ => -*libc::__errno_location(),
        };
        libc::close(socket);
        result
    }
}

/// `struct ifreq` as far as it is used: netdevice(7).
#[repr(C)]
struct InterfaceFlags {
    name: [u8; libc::IFNAMSIZ],
    flags: i16,
    rest: [u8; 22],
}

unsafe fn raise_loopback() -> i32 {
    let mut request = InterfaceFlags {
        name: [0; libc::IFNAMSIZ],
        flags: (libc::IFF_UP | libc::IFF_RUNNING) as i16,
        rest: [0; 22],
    };
    request.name[0] = b'l';
    request.name[1] = b'o';
    // SAFETY: the structure has the kernel's layout and outlives the call.
    unsafe {
        let socket = libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
        if socket < 0 {
            return -*libc::__errno_location();
        }
        let raised = libc::ioctl(socket, libc::SIOCSIFFLAGS as libc::Ioctl, &raw mut request);
        let result = match raised {
            0 => 0,
            _ => -*libc::__errno_location(),
        };
        libc::close(socket);
        result
    }
}
