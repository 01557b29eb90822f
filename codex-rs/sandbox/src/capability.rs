//! What this machine can enforce, found by trying the calls, not by reading version numbers.

use serde::Serialize;

use crate::measure::Platform;

/// The features of the operating system that plans build on.
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
    /// The system that these are of. Features of others are absent.
    pub platform: Platform,
    /// macOS: whether a profile can be applied.
    #[serde(skip_serializing_if = "is_absent")]
    pub seatbelt: bool,
    /// Windows: whether a process can be started in a container.
    #[serde(skip_serializing_if = "is_absent")]
    pub app_container: bool,
    /// Windows: whether processes can be held together and ended together.
    #[serde(skip_serializing_if = "is_absent")]
    pub job_object: bool,
}

fn is_absent(feature: &bool) -> bool {
    !feature
}

impl Capabilities {
    /// A machine that can enforce nothing.
    pub const NONE: Self = Self {
        landlock_abi: 0,
        seccomp: false,
        user_notification: false,
        network_namespace: false,
        platform: Platform::Linux,
        seatbelt: false,
        app_container: false,
        job_object: false,
    };

    /// Whether a supervisor can be had. Landlock is the wall behind it; where there is none, it is
    /// asked about reads too, and alone keeps files apart.
    #[must_use]
    pub fn supervises(self) -> bool {
        self.seccomp && self.user_notification
    }

    /// What was found, in words, of the features that count on this platform.
    #[must_use]
    pub fn found(self) -> Vec<(&'static str, String)> {
        let word = |has: bool| if has { "yes" } else { "no" }.to_owned();
        match self.platform {
            Platform::Linux => vec![
                ("Landlock ABI", self.landlock_abi.to_string()),
                ("seccomp filters", word(self.seccomp)),
                ("user notification", word(self.user_notification)),
                ("network namespaces", word(self.network_namespace)),
            ],
            Platform::MacOs => vec![("Seatbelt", word(self.seatbelt))],
            Platform::Windows => vec![
                ("AppContainers", word(self.app_container)),
                ("Job Objects", word(self.job_object)),
            ],
        }
    }

    /// Whether the machine can confine a command in any way at all.
    #[must_use]
    pub fn confine_something(self) -> bool {
        match self.platform {
            Platform::Linux => self.landlock_abi > 0 || self.seccomp,
            Platform::MacOs => self.seatbelt,
            Platform::Windows => self.app_container || self.job_object,
        }
    }
}

/// Asks the kernel.
#[must_use]
pub fn probe() -> Capabilities {
    crate::sys::probe()
}
