//! Platforms for which nothing is built yet: nothing can be enforced, so nothing starts.

use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::capability::Capabilities;
use crate::plan::Plan;
use crate::spawn::Streams;

pub(crate) fn probe() -> Capabilities {
    Capabilities::NONE
}

/// A helper process, of which there are none here.
#[derive(Debug)]
pub(crate) enum Helper {}

impl Helper {
    pub(crate) fn wait(&mut self, _: bool) {
        match *self {}
    }
}

pub(crate) fn start_helper(_: &Path, _: BorrowedFd<'_>, _: Streams) -> io::Result<Helper> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(crate) fn copy_as_helper(_: UnixStream, _: &Plan) -> io::Result<Option<Helper>> {
    Ok(None)
}

pub(crate) fn send_command(
    control: &mut UnixStream,
    command: &[u8],
    _: &[crate::landlock::Ruleset],
) -> io::Result<()> {
    io::Write::write_all(control, command)
}

/// Refuses: there is no helper here.
#[must_use]
pub fn run_helper() -> ExitCode {
    ExitCode::FAILURE
}

/// A path that starts this binary.
#[must_use]
pub fn this_binary() -> PathBuf {
    std::env::current_exe().unwrap_or_default()
}
