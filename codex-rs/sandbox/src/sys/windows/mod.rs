//! Windows: AppContainers, tokens, Job Objects, and a helper process that holds them.
//!
//! Not run on Windows: type-checked, and what Wine has of it tried there.
#![allow(unsafe_code)]

mod container;
pub(super) mod family;
mod job;
mod process;
mod token;
mod watcher;

use std::io;
use std::os::windows::io::{AsRawHandle, RawHandle};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Mutex, PoisonError};

use windows_sys::Win32::Foundation::{HANDLE_FLAG_INHERIT, SetHandleInformation};

use crate::capability::Capabilities;
use crate::measure::Platform;
use crate::plan::Plan;
use crate::spawn::{HELPER_ARGUMENT, Streams};
use family::Control;

pub use watcher::run_helper;

pub(crate) fn probe() -> Capabilities {
    Capabilities {
        platform: Platform::Windows,
        app_container: container::available(),
        job_object: job::Job::new(None, 0).is_ok(),
        ..Capabilities::NONE
    }
}

/// A path that starts this binary.
#[must_use]
pub fn this_binary() -> PathBuf {
    std::env::current_exe().unwrap_or_default()
}

/// While the control pipes can be inherited, no other helper may be started: it would inherit
/// them too.
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

/// There is no copying of processes here.
pub(crate) fn copy_as_helper(_: Control, _: &Plan) -> io::Result<Option<Helper>> {
    Ok(None)
}

/// What a helper keeps of our environment: where the system is, and where container profiles are.
const KEPT: [&str; 3] = ["SystemRoot", "LOCALAPPDATA", "USERPROFILE"];

/// Starts `helper` with its end of the control pipes.
pub(crate) fn start_helper(
    helper: &Path,
    control: &Control,
    streams: Streams,
) -> io::Result<Helper> {
    let (Some(reader), Some(writer)) = (&control.reader, &control.writer) else {
        return Err(io::ErrorKind::BrokenPipe.into());
    };
    let handles = [reader.as_raw_handle(), writer.as_raw_handle()];
    let mut command = Command::new(helper);
    command.arg(HELPER_ARGUMENT).env_clear();
    for handle in handles {
        command.arg(handle.addr().to_string());
    }
    for name in KEPT {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
        .stdin(streams.stdin)
        .stdout(streams.stdout)
        .stderr(streams.stderr);
    let _alone = INHERITABLE.lock().unwrap_or_else(PoisonError::into_inner);
    for handle in handles {
        set_inheritable(handle, true)?;
    }
    let child = command.spawn();
    for handle in handles {
        set_inheritable(handle, false)?;
    }
    child.map(Helper)
}

/// Sends the command. There are no rulesets beside it here.
pub(crate) fn send_command(
    control: &mut Control,
    command: &[u8],
    _: &[crate::landlock::Ruleset],
) -> io::Result<()> {
    io::Write::write_all(control, command)
}

fn set_inheritable(handle: RawHandle, yes: bool) -> io::Result<()> {
    let flags = if yes { HANDLE_FLAG_INHERIT } else { 0 };
    // SAFETY: the handle is borrowed from its owner; the call touches no memory.
    check(unsafe { SetHandleInformation(handle, HANDLE_FLAG_INHERIT, flags) })
}

/// A call's result as Rust spells it.
fn check(result: i32) -> io::Result<()> {
    if result == 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// An error code that a call returned.
fn error(code: u32) -> io::Error {
    io::Error::from_raw_os_error(code.cast_signed())
}

/// Text with a NUL at its end, as the system takes it.
fn wide(text: &std::ffi::OsStr) -> io::Result<Vec<u16>> {
    use std::os::windows::ffi::OsStrExt as _;
    let mut units: Vec<u16> = text.encode_wide().collect();
    if units.contains(&0) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    units.push(0);
    Ok(units)
}
