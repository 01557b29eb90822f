//! The platform's side. One selection point; the same names and signatures behind it.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
use linux as platform;

#[cfg(not(target_os = "linux"))]
mod unsupported;
#[cfg(not(target_os = "linux"))]
use unsupported as platform;

pub(crate) use platform::{Helper, copy_as_helper, probe, start_helper};

pub use platform::{run_helper, this_binary};
