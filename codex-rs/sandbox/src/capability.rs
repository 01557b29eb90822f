//! What this machine can enforce, found by trying the calls, not by reading version numbers.

use serde::Serialize;

/// The kernel features that plans build on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Capabilities {
    /// The version of Landlock's interface, as the kernel gives it; 0 where there is none.
    pub landlock_abi: u32,
    /// Whether system calls can be filtered, with errors as answers.
    pub seccomp: bool,
    /// Whether system calls can be handed to a supervisor that may look into the caller.
    pub user_notification: bool,
    /// Whether an ordinary process can make a network of its own.
    pub network_namespace: bool,
}

impl Capabilities {
    /// A machine that can enforce nothing.
    pub const NONE: Self = Self {
        landlock_abi: 0,
        seccomp: false,
        user_notification: false,
        network_namespace: false,
    };

    /// Whether a supervisor can be had: it needs Landlock as the wall behind it.
    #[must_use]
    pub fn supervises(self) -> bool {
        self.landlock_abi > 0 && self.seccomp && self.user_notification
    }
}

/// Asks the kernel.
#[must_use]
pub fn probe() -> Capabilities {
    crate::sys::probe()
}
