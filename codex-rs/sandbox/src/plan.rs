//! From rights and capabilities to what will be enforced.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use codex_protocol::policy::Policy;
use codex_protocol::security_profile::SecurityProfile;
use codex_protocol::wire;
use serde::{Deserialize, Serialize};

use crate::appcontainer::Container;
use crate::capability::Capabilities;
use crate::elsewhere;
use crate::landlock::{self, Ruleset};
use crate::report::{self, Level, Missing, Report};
use crate::seatbelt::Unspeakable;
use crate::seccomp::{self, Filter, Watching};
use crate::survey::Survey;

/// What a command is confined by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confinement {
    /// One ruleset for each layer of the policy: the kernel enforces all of them.
    pub rulesets: Vec<Ruleset>,
    /// How many more of them come with the command: see [`Programs`].
    pub beside: usize,
    /// The system calls that are refused or asked about.
    pub filter: Filter,
    /// How what is asked about is decided. `None` where there is no supervisor.
    pub supervision: Option<Supervision>,
    /// On macOS: the text of a Seatbelt profile.
    pub seatbelt: Option<String>,
    /// On Windows: the container, the token and the job.
    pub container: Option<Container>,
}

/// What a supervisor decides by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Supervision {
    /// The rights.
    pub policy: Policy,
    /// Files of the workspace that often hold secrets and were there at the start.
    #[serde(with = "wire::paths")]
    pub env_files: Vec<PathBuf>,
    /// The directory that stands in for the shared memory that is everybody's (`/dev/shm`).
    #[serde(with = "wire::optional_path")]
    pub shared_memory: Option<PathBuf>,
    /// How many processes and threads there may be at one time.
    pub tasks: Option<u64>,
    /// The one address outside that the command may connect to over TCP: the egress proxy's.
    pub proxy: Option<SocketAddr>,
    /// Whether Landlock stands behind it. Without, what is read is opened on the command's behalf too.
    pub walled: bool,
}

/// Limits on a command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// How long it may run.
    pub timeout: Option<Duration>,
    /// How much private memory each of its processes may have, in bytes (`RLIMIT_DATA`).
    pub memory: Option<u64>,
    /// How many processes and threads there may be at one time: a further one is refused. If nothing
    /// is said, a command that has more than [`TASKS`] is ended.
    pub tasks: Option<u64>,
}

/// A confined command that has more processes and threads at one time is ended, unless another limit
/// is given: more than a large build needs, and few enough that the machine stays usable.
///
/// They are counted now and then. To be asked about each would make a shell's `fork` fail with
/// `EINTR` when a child of it ends at that moment, which it never does otherwise.
pub const TASKS: u64 = 4096;

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
    /// Whether refused reads are to be seen too.
    pub audit_reads: bool,
    /// The directory that stands in for `/dev/shm`.
    pub shared_memory: Option<PathBuf>,
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
    /// The machine can confine nothing at all, so no accepted level lets a command start.
    #[error(
        "the {0} profile cannot confine a command on this machine, so none is started; 'codex doctor' says what is missing and what to do"
    )]
    Nothing(SecurityProfile),
    /// A path cannot be named in the system's own language for profiles.
    #[error(transparent)]
    Unspeakable(#[from] Unspeakable),
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
        // The static filter cannot: it sees no addresses.
        if !(capabilities.supervises() && capabilities.network_namespace) {
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
        if !capabilities.confine_something() {
            return Err(CannotEnforce::Nothing(profile));
        }
        let elsewhere = elsewhere::confinement(policy, capabilities, survey, wishes.limits)?;
        let confinement = elsewhere.unwrap_or_else(|| {
            let supervision = Supervision {
                policy: policy.clone(),
                env_files: survey.env_files.clone(),
                shared_memory: wishes.shared_memory,
                tasks: wishes.limits.tasks,
                proxy: wishes.proxy.filter(|_| policy.reaches_hosts()),
                walled: capabilities.landlock_abi > 0,
            };
            on_linux(
                policy,
                capabilities,
                survey,
                wishes.audit_reads,
                supervision,
            )
        });
        (Some(confinement), report)
    };
    let plan = Plan {
        confinement,
        environment,
        limits: wishes.limits,
        terminal: wishes.terminal,
    };
    Ok((plan, report))
}

/// What a command that may start only listed programs is confined by beside its plan. Looking for
/// them and making rules of them takes as long as all else, and a helper need not wait for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Programs {
    /// One ruleset for each layer of the policy that has a list.
    pub rulesets: Vec<Ruleset>,
    /// The programs of the list that are there.
    pub listed: Vec<PathBuf>,
    /// The trees of programs that are there.
    pub trees: Vec<PathBuf>,
}

/// What is made of the listed programs that `policy` names, on a machine with these capabilities.
#[must_use]
pub fn programs(policy: &Policy, capabilities: Capabilities) -> Programs {
    let abi = capabilities.landlock_abi;
    let mut programs = Programs::default();
    for layer in policy.layers().filter(|layer| landlock::has_list(layer)) {
        programs.listed.clone_from(&layer.places.listed_programs);
        programs.trees.clone_from(&layer.places.listed_trees);
        if abi > 0 {
            programs.rulesets.push(landlock::programs(layer, abi));
        }
    }
    programs
}

fn on_linux(
    policy: &Policy,
    capabilities: Capabilities,
    survey: &Survey,
    audit_reads: bool,
    supervision: Supervision,
) -> Confinement {
    let confined = policy
        .layers()
        .filter(|l| l.profile != SecurityProfile::Trusted);
    let abi = capabilities.landlock_abi;
    let supervised = capabilities.supervises();
    let confined: Vec<_> = confined.filter(|_| abi > 0).collect();
    let rulesets = confined
        .iter()
        .map(|layer| landlock::files(layer, survey, abi, supervised));
    let beside = confined
        .iter()
        .filter(|layer| landlock::has_list(layer))
        .count();
    let watching = Watching {
        supervisor: supervised,
        reads: audit_reads || abi == 0,
        processes: supervision.tasks.is_some(),
    };
    let filter = match capabilities.seccomp {
        true => seccomp::filter(policy.profile(), watching),
        false => Filter::default(),
    };
    Confinement {
        rulesets: rulesets.collect(),
        beside,
        filter,
        supervision: supervised.then_some(supervision),
        seatbelt: None,
        container: None,
    }
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
