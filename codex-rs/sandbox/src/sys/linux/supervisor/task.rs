//! A task as the supervisor sees it: its memory, its directories, its descriptors.

use std::ffi::CString;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::process::{PidfdFlags, PidfdGetfdFlags};

/// An error number, as the task gets it.
pub(super) type Errno = i32;

/// The kernel's limit on a path with its closing zero: `PATH_MAX`, header `linux/limits.h`.
pub(super) const PATH_MAX: usize = 4096;

/// Smallest page of any supported machine: a read never crosses such a border, beyond which the
/// task may have no memory.
const PAGE: usize = 4096;

/// `AT_FDCWD` as the low half of an argument.
const HERE: i32 = libc::AT_FDCWD;

/// `PIDFD_THREAD`, header `linux/pidfd.h`: Linux 6.9.
const PIDFD_THREAD: u32 = libc::O_EXCL.cast_unsigned();

pub(super) fn number(error: rustix::io::Errno) -> Errno {
    error.raw_os_error()
}

/// A thread that waits for an answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Task {
    pub(super) tid: i32,
}

impl Task {
    /// Reads `buffer.len()` bytes at `address`.
    pub(super) fn read(self, address: u64, buffer: &mut [u8]) -> Result<(), Errno> {
        let mut done = 0;
        while done < buffer.len() {
            let at = address.checked_add(done as u64).ok_or(libc::EFAULT)?;
            let rest = buffer.get_mut(done..).unwrap_or_default();
            match self.read_some(at, rest)? {
                0 => return Err(libc::EFAULT),
                n => done += n,
            }
        }
        Ok(())
    }

    fn read_some(self, address: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        let address = usize::try_from(address).map_err(|_| libc::EFAULT)?;
        let local = libc::iovec {
            iov_base: buffer.as_mut_ptr().cast(),
            iov_len: buffer.len(),
        };
        let remote = libc::iovec {
            iov_base: std::ptr::without_provenance_mut(address),
            iov_len: buffer.len(),
        };
        // SAFETY: the kernel writes at most `buffer.len()` bytes to `buffer`; the other address
        // is the task's, and only read.
        let read = unsafe {
            libc::process_vm_readv(self.tid, &raw const local, 1, &raw const remote, 1, 0)
        };
        usize::try_from(read).map_err(|_| {
            match std::io::Error::last_os_error().raw_os_error() {
                Some(libc::EFAULT) => libc::EFAULT,
                // A task that does not let itself be read gets nothing done.
                _ => libc::EPERM,
            }
        })
    }

    /// Reads text up to its closing zero, at most `limit` bytes with it.
    pub(super) fn text(
        self,
        address: u64,
        limit: usize,
        too_long: Errno,
    ) -> Result<CString, Errno> {
        if address == 0 {
            return Err(libc::EFAULT);
        }
        let mut text = Vec::new();
        // Most paths are short: the first read is.
        let mut step = 256;
        while text.len() < limit {
            let at = address.checked_add(text.len() as u64).ok_or(libc::EFAULT)?;
            let in_page = PAGE - (at % PAGE as u64) as usize;
            let mut chunk = [0; PAGE];
            let chunk = chunk.get_mut(..step.min(in_page)).unwrap_or_default();
            self.read(at, chunk)?;
            step = PAGE;
            if let Some(end) = chunk.iter().position(|b| *b == 0) {
                text.extend_from_slice(chunk.get(..end).unwrap_or_default());
                return match text.len() < limit {
                    true => CString::new(text).map_err(|_| libc::EFAULT),
                    false => Err(too_long),
                };
            }
            text.extend_from_slice(chunk);
        }
        Err(too_long)
    }

    /// Reads a path.
    pub(super) fn path(self, address: u64) -> Result<CString, Errno> {
        self.text(address, PATH_MAX, libc::ENAMETOOLONG)
    }

    /// The directory that relative paths start from: the one behind `at`, or the current one.
    pub(super) fn base(self, at: i32) -> Result<OwnedFd, Errno> {
        match at {
            HERE => self.open(&format!("/proc/{}/cwd", self.tid)),
            fd => self.file(fd),
        }
    }

    /// What is behind the task's descriptor, without the right to use it.
    pub(super) fn file(self, fd: i32) -> Result<OwnedFd, Errno> {
        if fd < 0 {
            return Err(libc::EBADF);
        }
        self.open(&format!("/proc/{}/fd/{fd}", self.tid))
            .map_err(|errno| match errno {
                libc::ENOENT => libc::EBADF,
                other => other,
            })
    }

    fn open(self, path: &str) -> Result<OwnedFd, Errno> {
        rustix::fs::openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map_err(number)
    }

    /// A copy of the task's descriptor itself, with all the rights it has.
    pub(super) fn copy(self, fd: i32) -> Result<OwnedFd, Errno> {
        if fd < 0 {
            return Err(libc::EBADF);
        }
        let pid = rustix::process::Pid::from_raw(self.tid).ok_or(libc::ESRCH)?;
        let thread = PidfdFlags::from_bits_retain(PIDFD_THREAD);
        let process = rustix::process::pidfd_open(pid, thread)
            // Kernels before 6.9 know no descriptors of threads, and threads share descriptors.
            .or_else(|_| {
                let leader = self.process().and_then(rustix::process::Pid::from_raw);
                rustix::process::pidfd_open(leader.unwrap_or(pid), PidfdFlags::empty())
            })
            .map_err(number)?;
        rustix::process::pidfd_getfd(process.as_fd(), fd, PidfdGetfdFlags::empty()).map_err(number)
    }

    /// The process that the thread belongs to.
    pub(super) fn process(self) -> Option<i32> {
        self.status("Tgid:")?.parse().ok()
    }

    /// The mask that modes of new files are subject to.
    pub(super) fn umask(self) -> Option<u32> {
        u32::from_str_radix(&self.status("Umask:")?, 8).ok()
    }

    /// The process that a descriptor of the task stands for: pidfd_open(2).
    pub(super) fn process_behind(self, fd: i32) -> Option<i32> {
        let text = fs::read_to_string(format!("/proc/{}/fdinfo/{fd}", self.tid)).ok()?;
        let pid = text.lines().find_map(|line| line.strip_prefix("Pid:"))?;
        pid.trim().parse().ok().filter(|pid| *pid > 0)
    }

    pub(super) fn status(self, name: &str) -> Option<String> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.tid)).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.trim().to_owned())
    }

    /// Whether it has the controlling terminal that we have.
    pub(super) fn shares_our_terminal(self) -> bool {
        let session = |pid: i32| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            // The name may hold anything; session and terminal are the fourth and fifth after it
            // (proc_pid_stat(5)).
            let (_, rest) = stat.rsplit_once(')')?;
            let mut fields = rest.split_ascii_whitespace().skip(3);
            let session: i32 = fields.next()?.parse().ok()?;
            let terminal: i32 = fields.next()?.parse().ok()?;
            (terminal != 0).then_some((session, terminal))
        };
        let own = session(std::process::id().cast_signed());
        own.is_some() && session(self.tid) == own
    }

    /// Whether the descriptor is closed when the task starts a program.
    pub(super) fn closes_on_exec(self, fd: i32) -> bool {
        let text = fs::read_to_string(format!("/proc/{}/fdinfo/{fd}", self.tid));
        let text = text.unwrap_or_default();
        let flags = text.lines().find_map(|line| line.strip_prefix("flags:"));
        let flags = flags.and_then(|flags| i32::from_str_radix(flags.trim(), 8).ok());
        // What cannot be known is not passed on.
        flags.is_none_or(|flags| flags & libc::O_CLOEXEC != 0)
    }

    /// The program that it runs.
    pub(super) fn program(self) -> Option<PathBuf> {
        fs::read_link(format!("/proc/{}/exe", self.tid)).ok()
    }
}
