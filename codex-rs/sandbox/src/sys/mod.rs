//! The platform's side. One selection point; the same names and signatures behind it.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
use linux as platform;

#[cfg(target_os = "macos")]
mod macos;
#[cfg(target_os = "macos")]
use macos as platform;

#[cfg(windows)]
mod windows;
#[cfg(windows)]
use windows as platform;
#[cfg(windows)]
use windows::family;

#[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
mod unsupported;
#[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
use unsupported as platform;

#[cfg(unix)]
mod unix;
#[cfg(unix)]
use unix as family;

pub(crate) use family::{
    Control, Handlers, Lines, close, control_pair, is_shared, lend, private_directory,
    private_file, receiver, sender,
};
pub(crate) use platform::{Helper, copy_as_helper, probe, send_command, start_helper};

pub use family::{Receiver, Sender};
pub use platform::{run_helper, this_binary};
