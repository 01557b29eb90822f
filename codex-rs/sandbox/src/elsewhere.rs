//! Plans and reports for the systems other than Linux. Pure, as everything that decides.
//!
//! What these enforce was never tried: see [`NOT_RUN`](crate::measure::NOT_RUN). That itself is
//! reported as missing, and no level above the lowest is claimed.

use codex_protocol::policy::Policy;
use codex_protocol::security_profile::SecurityProfile;

use crate::appcontainer;
use crate::capability::Capabilities;
use crate::landlock;
use crate::measure::Platform;
use crate::plan::{CannotEnforce, Confinement, Limits};
use crate::report::{Level, Missing};
use crate::seatbelt;
use crate::seatbelt_log;
use crate::seccomp::Filter;
use crate::survey::Survey;

/// What every platform lacks on which the escape tests were never run.
pub const UNTRIED: Missing = Missing {
    feature: "escape tests that were run on this platform",
    consequence: "whether what is planned holds was never tried",
    level: Level::Minimum,
};

/// Seatbelt.
const SEATBELT: Missing = Missing {
    feature: "Seatbelt",
    consequence: "commands read secrets, write files, start programs and reach the network as they like",
    level: Level::Minimum,
};

/// What macOS cannot do at all, or this version does not do there.
const ON_MACOS: [Missing; 4] = [
    Missing {
        feature: "a log of the system without gaps",
        consequence: "what the kernel denies to a command is recorded as far as the system's log shows it: to administrators, and not all under load",
        level: Level::Partial,
    },
    Missing {
        feature: "a loopback of its own",
        consequence: "servers that a command starts cannot be reached by what it starts: refused, not let out",
        level: Level::Partial,
    },
    Missing {
        feature: "the end of orphans",
        consequence: "a process that leaves its session and its parent outlives the command, still confined",
        level: Level::Partial,
    },
    Missing {
        feature: "a judge of git's settings",
        consequence: "commands cannot make repositories or worktrees, nor let git note a branch's upstream: refused, not let through",
        level: Level::Partial,
    },
];

/// AppContainers.
const CONTAINER: Missing = Missing {
    feature: "AppContainers",
    consequence: "commands read secrets and reach the network; they write only what is marked for low integrity",
    level: Level::Minimum,
};

/// Job Objects.
const JOB: Missing = Missing {
    feature: "Job Objects",
    consequence: "what a command starts outlives it, and nothing limits it",
    level: Level::Minimum,
};

/// What Windows cannot do at all, or this version does not do there.
const ON_WINDOWS: [Missing; 3] = [
    Missing {
        feature: "an event trace",
        consequence: "what the kernel denies to a command is not recorded",
        level: Level::Partial,
    },
    Missing {
        feature: "a list of programs",
        consequence: "in Offline commands start any program of the system; in every profile files outside the workspace and the system are unreadable",
        level: Level::Minimum,
    },
    Missing {
        feature: "entries for names that do not exist",
        consequence: "commands can make protected files of the workspace that are not there yet",
        level: Level::Partial,
    },
];

/// What a confined profile lacks on a machine with these capabilities; `None` for Linux.
pub(crate) fn missing(profile: SecurityProfile, found: Capabilities) -> Option<Vec<Missing>> {
    let mut missing = match found.platform {
        Platform::Linux => return None,
        Platform::MacOs => {
            let wanted = [(found.seatbelt, SEATBELT)];
            let lacking = wanted.into_iter().filter(|(has, _)| !has).map(|(_, m)| m);
            lacking.chain(ON_MACOS).collect::<Vec<_>>()
        }
        Platform::Windows => {
            let wanted = [(found.app_container, CONTAINER), (found.job_object, JOB)];
            let lacking = wanted.into_iter().filter(|(has, _)| !has).map(|(_, m)| m);
            lacking.chain(ON_WINDOWS).collect()
        }
    };
    if profile != SecurityProfile::WorkspaceWrite {
        // They speak of what is written.
        missing.retain(|m| {
            ![
                "a judge of git's settings",
                "entries for names that do not exist",
                "a loopback of its own",
            ]
            .contains(&m.feature)
        });
    }
    missing.push(UNTRIED);
    Some(missing)
}

/// What confines a command there; `None` for Linux.
pub(crate) fn confinement(
    policy: &Policy,
    found: Capabilities,
    survey: &Survey,
    limits: Limits,
) -> Result<Option<Confinement>, CannotEnforce> {
    let mut confinement = Confinement {
        rulesets: Vec::new(),
        beside: 0,
        filter: Filter::default(),
        supervision: None,
        seatbelt: None,
        container: None,
    };
    match found.platform {
        Platform::Linux => return Ok(None),
        Platform::MacOs => {
            let run = seatbelt::Run {
                tag: seatbelt_log::TAG.to_owned(),
                proxy: None,
            };
            let with_list = policy.layers().filter(|layer| landlock::has_list(layer));
            confinement.beside = with_list.count();
            confinement.seatbelt = Some(seatbelt::profile(policy, survey, &run)?);
        }
        Platform::Windows => {
            confinement.container = Some(appcontainer::container(
                policy,
                survey,
                limits,
                found.app_container,
            ));
        }
    }
    Ok(Some(confinement))
}
