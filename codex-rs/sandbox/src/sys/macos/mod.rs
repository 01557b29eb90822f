//! macOS: Seatbelt, and a helper process that ends what a command started.
//!
//! Not run on this platform: type-checked only.
#![allow(unsafe_code)]

mod log;
mod seatbelt;
mod tree;
mod watcher;

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Mutex, PoisonError};

use crate::capability::Capabilities;
use crate::measure::Platform;
use crate::plan::Plan;
use crate::spawn::{HELPER_ARGUMENT, Streams};

pub use watcher::run_helper;

pub(crate) fn probe() -> Capabilities {
    Capabilities {
        platform: Platform::MacOs,
        seatbelt: seatbelt::can_be_entered(),
        ..Capabilities::NONE
    }
}

/// A path that starts this binary.
#[must_use]
pub fn this_binary() -> PathBuf {
    std::env::current_exe().unwrap_or_default()
}

/// While the control socket can be inherited, no other helper may be started: it would inherit
/// it too.
static INHERITABLE: Mutex<()> = Mutex::new(());

/// A helper process: this binary, started again.
#[derive(Debug)]
pub(crate) struct Helper(Child);

impl Helper {
    /// Waits until it has ended.
    pub(crate) fn wait(&mut self, _leaving: bool) {
        // It was started by us and is waited for once, so there is nothing that can fail.
        drop(self.0.wait());
    }
}

/// A copy of this process could not go on safely here: the system's libraries have threads and
/// locks of their own. So the binary is always started again.
pub(crate) fn copy_as_helper(_: UnixStream, _: &Plan) -> io::Result<Option<Helper>> {
    Ok(None)
}

/// Starts `helper` with its end of the control socket.
pub(crate) fn start_helper(
    helper: &Path,
    control: BorrowedFd<'_>,
    streams: Streams,
) -> io::Result<Helper> {
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
    child.map(Helper)
}

/// Sends the command. There are no rulesets beside it here.
pub(crate) fn send_command(
    control: &mut UnixStream,
    command: &[u8],
    _: &[crate::landlock::Ruleset],
) -> io::Result<()> {
    io::Write::write_all(control, command)
}

fn set_inheritable(fd: i32, yes: bool) -> io::Result<()> {
    // SAFETY: the descriptor is borrowed from its owner; the call touches no memory.
    check(unsafe { libc::fcntl(fd, libc::F_SETFD, if yes { 0 } else { libc::FD_CLOEXEC }) })
        .map(drop)
}

/// A system call's result as Rust spells it.
fn check(result: i32) -> io::Result<i32> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}
