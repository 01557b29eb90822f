//! The peak memory of a command.
//!
//! `getrusage(RUSAGE_CHILDREN)` gives the largest resident set that any one process had, among the
//! children that were waited for and the descendants that those waited for: the biggest member of
//! the process tree, not the sum. It covers the whole life of the caller, and between fork and exec
//! a child shares its parent's pages, so each measurement is made by a fresh, small process: this
//! program again, with the hidden task [`TASK`]. Its own size is the floor of the method; budget
//! measures it with `true` and prints it.

use std::ffi::OsString;
use std::process::{Command, Stdio};

use crate::failure::Failure;

/// The hidden task: `xtask measure-peak PROGRAM [ARGUMENT…]` prints bytes.
pub(crate) const TASK: &str = "measure-peak";

/// Runs `command`, prints the peak in bytes; whether the command succeeded.
pub(crate) fn run(command: &[OsString]) -> Result<bool, Failure> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(Failure::Usage(format!("{TASK} needs a command")));
    };
    let status = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .map_err(|source| Failure::Start {
            command: program.display().to_string(),
            source,
        })?;
    match of_children() {
        Some(bytes) => println!("{bytes}"),
        None => {
            return Err(Failure::Unsupported(
                "the peak memory of a child cannot be asked on this system; measure it on Unix"
                    .to_owned(),
            ));
        }
    }
    Ok(status.success())
}

#[cfg(unix)]
fn of_children() -> Option<u64> {
    use nix::sys::resource::{UsageWho, getrusage};
    /// getrusage(2): kilobytes on Linux and the BSDs, bytes on Apple's systems.
    const UNIT: u64 = if cfg!(target_vendor = "apple") {
        1
    } else {
        1024
    };
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).ok()?;
    u64::try_from(usage.max_rss()).ok().map(|peak| peak * UNIT)
}

#[cfg(not(unix))]
fn of_children() -> Option<u64> {
    None
}
