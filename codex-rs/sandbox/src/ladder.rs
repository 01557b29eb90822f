//! The rungs that a machine can stand on, from all that codex knows how to use down to nothing,
//! as capabilities. The documentation's table and the tests of each rung are made from them.

use crate::capability::Capabilities;

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
