//! The rungs that a machine can stand on, from all that codex knows how to use down to nothing,
//! as capabilities. The documentation's table and the tests of each rung are made from them.

use crate::capability::Capabilities;
use crate::measure::Platform;

/// A kind of machine.
#[derive(Clone, Copy, Debug)]
pub struct Rung {
    /// What it has, or lacks.
    pub name: &'static str,
    /// What a probe finds there.
    pub capabilities: Capabilities,
}

const fn with_landlock(name: &'static str, landlock_abi: u32) -> Rung {
    Rung {
        name,
        capabilities: Capabilities {
            landlock_abi,
            ..FULL
        },
    }
}

/// The newest interface of Landlock that codex was run with.
const NEWEST_ABI: u32 = 7;

/// All that codex knows how to use.
pub const FULL: Capabilities = Capabilities {
    landlock_abi: NEWEST_ABI,
    seccomp: true,
    user_notification: true,
    network_namespace: true,
    ..Capabilities::NONE
};

/// Linux, from the top down. Kernel versions: landlock(7).
pub const RUNGS: &[Rung] = &[
    with_landlock("Landlock ABI 7 (Linux 6.15)", NEWEST_ABI),
    with_landlock("Landlock ABI 6 (Linux 6.12)", 6),
    with_landlock("Landlock ABI 5 (Linux 6.10)", 5),
    with_landlock("Landlock ABI 4 (Linux 6.7)", 4),
    with_landlock("Landlock ABI 3 (Linux 6.2)", 3),
    with_landlock("Landlock ABI 2 (Linux 5.19)", 2),
    with_landlock("Landlock ABI 1 (Linux 5.13)", 1),
    Rung {
        name: "no user or network namespaces",
        capabilities: Capabilities {
            network_namespace: false,
            ..FULL
        },
    },
    Rung {
        name: "no user notification",
        capabilities: Capabilities {
            user_notification: false,
            ..FULL
        },
    },
    with_landlock("seccomp without Landlock", 0),
    Rung {
        name: "Landlock without seccomp",
        capabilities: Capabilities {
            seccomp: false,
            ..FULL
        },
    },
    Rung {
        name: "neither Landlock nor seccomp",
        capabilities: Capabilities::NONE,
    },
];

/// A machine of another system, with these of its features.
const fn elsewhere(platform: Platform, name: &'static str, has: [bool; 3]) -> Rung {
    let [seatbelt, app_container, job_object] = has;
    Rung {
        name,
        capabilities: Capabilities {
            platform,
            seatbelt,
            app_container,
            job_object,
            ..Capabilities::NONE
        },
    }
}

/// macOS, from the top down.
pub const MACOS: &[Rung] = &[
    elsewhere(Platform::MacOs, "Seatbelt", [true, false, false]),
    elsewhere(Platform::MacOs, "no Seatbelt", [false, false, false]),
];

/// Windows, from the top down.
pub const WINDOWS: &[Rung] = &[
    elsewhere(
        Platform::Windows,
        "AppContainer and Job Object (Windows 8)",
        [false, true, true],
    ),
    elsewhere(
        Platform::Windows,
        "Job Object and a token of low integrity",
        [false, false, true],
    ),
    elsewhere(Platform::Windows, "neither", [false, false, false]),
];
