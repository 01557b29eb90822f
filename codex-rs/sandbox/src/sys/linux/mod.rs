//! Linux: Landlock, seccomp, and a helper process that ends what a command started.
#![allow(unsafe_code)]

mod execve;
mod handover;
mod landlock;
mod numbers;
mod population;
mod probe;
mod seccomp;
mod setup;
mod supervisor;
mod tree;
mod watcher;

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Mutex, PoisonError};

use crate::capability::Capabilities;
use crate::plan::Plan;
use crate::spawn::{HELPER_ARGUMENT, Streams};

pub(crate) use handover::send_command;
pub use watcher::run_helper;

pub(crate) fn probe() -> Capabilities {
    probe::capabilities()
}

/// A path that starts this very binary, also after its file was replaced or removed.
#[must_use]
pub fn this_binary() -> PathBuf {
    PathBuf::from("/proc/self/exe")
}

/// While the control socket can be inherited, no other helper may be started: it would inherit
/// it too.
static INHERITABLE: Mutex<()> = Mutex::new(());

/// A helper process.
#[derive(Debug)]
pub(crate) enum Helper {
    /// This binary, started again.
    Started(Child),
    /// A copy of this process.
    Copy(i32),
}

impl Helper {
    /// Waits until it has ended, and ends what it could not if it was killed. `leaving` says that it
    /// has reported the end of everything.
    pub(crate) fn wait(&mut self, leaving: bool) {
        match self {
            // It was started by us and is waited for once, so there is nothing that can fail.
            Self::Started(child) => drop(child.wait()),
            // A copy that leaves only has its memory taken down, which a run of one command need
            // not wait for: the kernel reaps it when we end.
            Self::Copy(pid) => {
                let options = if leaving { libc::WNOHANG } else { 0 };
                // SAFETY: the call takes numbers and a null pointer for a status nobody needs.
                unsafe { libc::waitpid(*pid, std::ptr::null_mut(), options) };
            }
        }
        if !leaving {
            tree::end_orphans();
        }
    }
}

/// Makes a copy of this process the helper for `plan`, whose command shares our streams. `None`
/// where this process has more than one thread.
pub(crate) fn copy_as_helper(control: UnixStream, plan: &Plan) -> io::Result<Option<Helper>> {
    tree::adopt_orphans()?;
    Ok(watcher::fork_helper(control, plan)?.map(Helper::Copy))
}

/// Starts `helper` with its end of the control socket.
///
/// Without a `pre_exec` hook the standard library can start it without copying our memory, so
/// the socket is passed by lifting its close-on-exec flag for the moment.
pub(crate) fn start_helper(
    helper: &Path,
    control: BorrowedFd<'_>,
    streams: Streams,
) -> io::Result<Helper> {
    tree::adopt_orphans()?;
    let fd = control.as_raw_fd();
    let mut command = Command::new(helper);
    command.arg(HELPER_ARGUMENT).arg(fd.to_string()).env_clear();
    command
        .stdin(streams.stdin)
        .stdout(streams.stdout)
        .stderr(streams.stderr);
    let _alone = INHERITABLE.lock().unwrap_or_else(PoisonError::into_inner);
    set_inheritable(fd, true)?;
    let child = command.spawn();
    set_inheritable(fd, false)?;
    child.map(Helper::Started)
}

fn set_inheritable(fd: i32, yes: bool) -> io::Result<()> {
    // SAFETY: the descriptor is borrowed from its owner; the call touches no memory.
    check(unsafe { libc::fcntl(fd, libc::F_SETFD, if yes { 0 } else { libc::FD_CLOEXEC }) }.into())
        .map(drop)
}

/// A system call's result as Rust spells it.
fn check(result: i64) -> io::Result<i64> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}
