//! From rights and capabilities to what will be enforced.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::time::Duration;

use codex_protocol::policy::Policy;
use codex_protocol::security_profile::SecurityProfile;
use serde::{Deserialize, Serialize};

use crate::capability::Capabilities;
use crate::landlock::{self, Ruleset};
use crate::report::{self, Level, Missing, Report};
use crate::seccomp::{self, Filter};
use crate::survey::Survey;

/// What a command is confined by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confinement {
    /// One ruleset for each layer of the policy: the kernel enforces all of them.
    pub rulesets: Vec<Ruleset>,
    /// The system calls that are refused.
    pub filter: Filter,
}

/// Limits on a command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// How long it may run.
    pub timeout: Option<Duration>,
    /// How much private memory each of its processes may have, in bytes (`RLIMIT_DATA`).
    pub memory: Option<u64>,
}

/// How the command stands to the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Terminal {
    /// It shares the caller's, as a command that a person typed.
    Shared,
    /// It has none: a session of its own.
    None,
}

/// Everything that the helper needs to confine a command, apart from the command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// `None` under the Trusted profile alone.
    pub confinement: Option<Confinement>,
    /// The command's whole environment.
    pub environment: Vec<(OsString, OsString)>,
    /// Limits.
    pub limits: Limits,
    /// The terminal.
    pub terminal: Terminal,
    /// The one address outside that the command may connect to over TCP: the egress proxy's.
    pub proxy: Option<SocketAddr>,
}

/// What a run asks for beyond its policy.
#[derive(Clone, Debug)]
pub struct Wishes {
    /// The environment to scrub: normally our own.
    pub environment: Vec<(OsString, OsString)>,
    /// Variables that are set whatever the scrubbing leaves, the private temporary directory say.
    pub set: Vec<(OsString, OsString)>,
    /// Limits.
    pub limits: Limits,
    /// The terminal.
    pub terminal: Terminal,
    /// The level that the person accepts where it is lower than the profile requires.
    pub accept: Option<Level>,
    /// Where the run's egress proxy listens, on loopback. A policy that reaches hosts is refused
    /// without one.
    pub proxy: Option<SocketAddr>,
}

/// Why a profile cannot be enforced here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CannotEnforce {
    /// The machine lacks too much.
    #[error("the {profile} profile needs level {required} and this machine reaches {level}: without {}; use --accept-level {level} to run all the same", features(.missing))]
    Level {
        /// The profile.
        profile: SecurityProfile,
        /// What it requires.
        required: Level,
        /// What there is.
        level: Level,
        /// What is missing.
        missing: Vec<Missing>,
    },
    /// A path was denied under a profile that confines nothing.
    #[error(
        "--deny-read cannot be enforced under the Trusted profile, which confines nothing; choose another profile, or leave it out"
    )]
    DenyUnderTrusted,
    /// Hosts are to be reached, and no proxy was started that would let through reads alone.
    #[error("{what} cannot be enforced: no egress proxy was started for this run")]
    NoProxy {
        /// The profile or grant.
        what: String,
    },
    /// Hosts are to be reached, and nothing here lets a command connect to the proxy and nowhere
    /// else. A port that Landlock allows is allowed at every address, so that is no way.
    #[error(
        "{what} cannot be enforced on this machine: letting a command reach the egress proxy and nothing else needs a supervisor of its connections, which is not there; use the offline or workspace-write profile without granted hosts"
    )]
    NoSupervisor {
        /// The profile or grant.
        what: String,
    },
}

/// Whether connections of the command can be let through to one address and refused to all others.
/// The static filter cannot: it sees no addresses.
fn lets_through_one_address(_: Capabilities) -> bool {
    false
}

fn features(missing: &[Missing]) -> String {
    let parts: Vec<String> = missing
        .iter()
        .map(|m| format!("{} {}", m.feature, m.consequence))
        .collect();
    parts.join("; without ")
}

/// Plans the confinement of a command under `policy` on a machine with these capabilities. Pure.
///
/// # Errors
/// When the machine reaches a lower level than the profile requires and the person accepts, or
/// when hosts are to be reached and the way to the proxy alone cannot be enforced. Never a plan
/// that enforces less than the report says.
pub fn plan(
    policy: &Policy,
    capabilities: Capabilities,
    survey: &Survey,
    wishes: Wishes,
) -> Result<(Plan, Report), CannotEnforce> {
    let profile = policy.profile();
    if policy.reaches_hosts() {
        let what = match policy
            .layers()
            .any(|l| l.profile == SecurityProfile::NetReadOnly)
        {
            true => "the NetReadOnly profile".to_owned(),
            false => "the grant of a host".to_owned(),
        };
        if wishes.proxy.is_none() {
            return Err(CannotEnforce::NoProxy { what });
        }
        if !lets_through_one_address(capabilities) {
            return Err(CannotEnforce::NoSupervisor { what });
        }
    }
    if profile == SecurityProfile::Trusted
        && policy.layers().any(|l| l.denied_reads().next().is_some())
    {
        return Err(CannotEnforce::DenyUnderTrusted);
    }
    let environment = scrub(policy, wishes.environment, wishes.set);
    let (confinement, report) = if profile == SecurityProfile::Trusted {
        (
            None,
            Report {
                level: Level::Full,
                missing: Vec::new(),
            },
        )
    } else {
        let mut report = report::assess(profile, capabilities);
        if survey.incomplete {
            report.add(report::UNSEEN_FILES);
        }
        let required = wishes
            .accept
            .map_or(report::REQUIRED, |a| a.min(report::REQUIRED));
        if report.level < required {
            let Report { level, missing } = report;
            return Err(CannotEnforce::Level {
                profile,
                required,
                level,
                missing,
            });
        }
        let confined = policy
            .layers()
            .filter(|l| l.profile != SecurityProfile::Trusted);
        let abi = capabilities.landlock_abi;
        let rulesets = match abi {
            0 => Vec::new(),
            _ => confined
                .map(|layer| landlock::ruleset(layer, survey, abi))
                .collect(),
        };
        let filter = if capabilities.seccomp {
            seccomp::filter(profile)
        } else {
            Filter::default()
        };
        (Some(Confinement { rulesets, filter }), report)
    };
    let plan = Plan {
        confinement,
        environment,
        limits: wishes.limits,
        terminal: wishes.terminal,
        proxy: wishes.proxy.filter(|_| policy.reaches_hosts()),
    };
    Ok((plan, report))
}

fn scrub(
    policy: &Policy,
    ours: Vec<(OsString, OsString)>,
    set: Vec<(OsString, OsString)>,
) -> Vec<(OsString, OsString)> {
    let is_set = |name: &OsString| set.iter().any(|(n, _)| n == name);
    let mut kept: Vec<_> = ours
        .into_iter()
        .filter(|(name, _)| {
            !is_set(name) && name.to_str().is_some_and(|n| policy.passes_variable(n))
        })
        .collect();
    kept.extend(set);
    kept
}
