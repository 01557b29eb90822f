//! The kernel's side of the conversation: notifications of system calls, and answers to them.
//!
//! Structures and codes: kernel header `linux/seccomp.h`, manual `seccomp_unotify(2)`.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use super::super::check;

/// A system call that waits for an answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Notification {
    /// What the answer is addressed by.
    pub(super) id: u64,
    /// The thread that made the call.
    pub(super) tid: i32,
    /// The kind of entry it came through (`AUDIT_ARCH_*`).
    pub(super) architecture: u32,
    /// The call's number.
    pub(super) number: i32,
    /// Its arguments.
    pub(super) arguments: [u64; 6],
}

/// What a call is answered.
#[derive(Debug)]
pub(super) enum Answer {
    /// The kernel carries it out as the task made it. Only where that cannot be raced into
    /// something that is not allowed.
    Continue,
    /// It was carried out, with this result.
    Value(i64),
    /// It failed with this error number.
    Errno(i32),
    /// It was carried out, and this is the descriptor that it gave.
    Descriptor {
        /// Ours, of which the task gets a copy.
        file: OwnedFd,
        /// Whether the task's copy is closed when it starts a program.
        close_on_exec: bool,
    },
    /// Not now: it would have blocked us, so it is tried again.
    Later,
}

/// The descriptor through which a filtered tree of processes asks.
#[derive(Debug)]
pub(super) struct Listener(OwnedFd);

impl Listener {
    pub(super) fn new(fd: OwnedFd) -> Self {
        Self(fd)
    }

    pub(super) fn descriptor(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// Takes the next notification. `None` where its task has gone meanwhile.
    pub(super) fn receive(&self) -> io::Result<Option<Notification>> {
        // SAFETY: the structure holds numbers alone; the kernel wants it zeroed.
        let mut raw: libc::seccomp_notif = unsafe { std::mem::zeroed() };
        let (descriptor, code) = (self.0.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV);
        // SAFETY: the structure outlives the call, which fills it.
        let received = check(unsafe { libc::ioctl(descriptor, code, &raw mut raw) }.into());
        match received {
            Ok(_) => Ok(Some(Notification {
                id: raw.id,
                tid: raw.pid.cast_signed(),
                architecture: raw.data.arch,
                number: raw.data.nr,
                arguments: raw.data.args,
            })),
            Err(e) if matches!(e.raw_os_error(), Some(libc::ENOENT | libc::EINTR)) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Whether the task still waits. What was read of its memory before a yes was its own: its
    /// number cannot have passed to another process.
    pub(super) fn waits(&self, id: u64) -> bool {
        let (descriptor, code) = (self.0.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_ID_VALID);
        // SAFETY: the number outlives the call, which reads it.
        unsafe { libc::ioctl(descriptor, code, &raw const id) == 0 }
    }

    /// Answers. A task that has gone needs no answer, so that is no failure.
    pub(super) fn answer(&self, id: u64, answer: &Answer) {
        let mut response = libc::seccomp_notif_resp {
            id,
            val: 0,
            error: 0,
            flags: 0,
        };
        match answer {
            Answer::Continue => response.flags = libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32,
            Answer::Value(value) => response.val = *value,
            Answer::Errno(errno) => response.error = -errno,
            Answer::Descriptor {
                file,
                close_on_exec,
            } => match self.give(id, file, *close_on_exec) {
                Ok(()) => return,
                Err(errno) => response.error = -errno,
            },
            Answer::Later => return,
        }
        let (descriptor, code) = (self.0.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND);
        // SAFETY: the structure outlives the call.
        unsafe { libc::ioctl(descriptor, code, &raw mut response) };
    }

    /// Gives the task a copy of `file` and answers with its number, in one step.
    fn give(&self, id: u64, file: &OwnedFd, close_on_exec: bool) -> Result<(), i32> {
        let flags = if close_on_exec { libc::O_CLOEXEC } else { 0 };
        let request = libc::seccomp_notif_addfd {
            id,
            flags: libc::SECCOMP_ADDFD_FLAG_SEND as u32,
            srcfd: file.as_raw_fd().cast_unsigned(),
            newfd: 0,
            newfd_flags: flags.cast_unsigned(),
        };
        self.add(&request)
    }

    /// Puts a copy of `file` in the place of the task's descriptor `number`.
    pub(super) fn replace(
        &self,
        id: u64,
        file: &OwnedFd,
        number: i32,
        close_on_exec: bool,
    ) -> Result<(), i32> {
        let flags = if close_on_exec { libc::O_CLOEXEC } else { 0 };
        let request = libc::seccomp_notif_addfd {
            id,
            flags: libc::SECCOMP_ADDFD_FLAG_SETFD as u32,
            srcfd: file.as_raw_fd().cast_unsigned(),
            newfd: number.cast_unsigned(),
            newfd_flags: flags.cast_unsigned(),
        };
        self.add(&request)
    }

    fn add(&self, request: &libc::seccomp_notif_addfd) -> Result<(), i32> {
        let (descriptor, code) = (self.0.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_ADDFD);
        // SAFETY: the structure outlives the call, which reads it.
        let added = check(unsafe { libc::ioctl(descriptor, code, &raw const *request) }.into());
        added
            .map(drop)
            .map_err(|e| e.raw_os_error().unwrap_or(libc::EIO))
    }
}
