//! What this machine can enforce, found by trying the calls, not by reading version numbers.

use serde::Serialize;

/// The kernel features that plans build on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Capabilities {
    /// The version of Landlock's interface, as the kernel gives it; 0 where there is none.
    pub landlock_abi: u32,
    /// Whether system calls can be filtered, with errors as answers.
    pub seccomp: bool,
}

impl Capabilities {
    /// A machine that can enforce nothing.
    pub const NONE: Self = Self {
        landlock_abi: 0,
        seccomp: false,
    };
}

/// Asks the kernel.
#[must_use]
pub fn probe() -> Capabilities {
    crate::sys::probe()
}
