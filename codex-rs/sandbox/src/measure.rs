//! What profiles want of a machine, what enforces it, and what to do where it is missing. Data:
//! `codex doctor`, the documentation and the reports use the same words.

use codex_protocol::security_profile::SecurityProfile;

use crate::elsewhere;

/// The systems that plans are made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Platform {
    /// Landlock and seccomp.
    Linux,
    /// Seatbelt.
    MacOs,
    /// `AppContainer` and Job Objects.
    Windows,
}

impl Platform {
    /// Every one of them.
    pub const ALL: [Self; 3] = [Self::Linux, Self::MacOs, Self::Windows];

    /// Its name, as [`std::env::consts::OS`] spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Linux => "linux",
            Self::MacOs => "macos",
            Self::Windows => "windows",
        }
    }
}

/// What is said of platforms on which the escape tests never ran.
pub const NOT_RUN: &str = "not run on this platform";

/// Operating systems and processors, as [`std::env::consts`] names them, on which the escape
/// tests were run.
const RUN_ON: &[(&str, &str)] = &[("linux", "x86_64")];

/// Whether what is enforced was tried on this system and processor: what was not is only built
/// and type-checked, and says [`NOT_RUN`] wherever it is reported.
#[must_use]
pub fn was_run_on(os: &str, processor: &str) -> bool {
    RUN_ON.contains(&(os, processor))
}

/// Something that profiles want of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measure {
    /// Where.
    pub platform: Platform,
    /// What provides it, in the words of [`Missing::feature`](crate::report::Missing::feature).
    pub feature: &'static str,
    /// What it is wanted for.
    pub wanted: &'static str,
    /// The profiles that want it.
    pub profiles: &'static [SecurityProfile],
    /// What to do where it is missing.
    pub remedy: &'static str,
    /// The feature without which this one enforces nothing.
    pub through: Option<&'static str>,
}

const CONFINED: &[SecurityProfile] = &[
    SecurityProfile::Offline,
    SecurityProfile::WorkspaceWrite,
    SecurityProfile::NetReadOnly,
];

const WRITING: &[SecurityProfile] = &[SecurityProfile::WorkspaceWrite];

const fn on(
    platform: Platform,
    feature: &'static str,
    wanted: &'static str,
    profiles: &'static [SecurityProfile],
    remedy: &'static str,
) -> Measure {
    Measure {
        platform,
        feature,
        wanted,
        profiles,
        remedy,
        through: None,
    }
}

/// `.env` files are found by looking, and closed by what closes files at all.
const fn look(platform: Platform, through: &'static str) -> Measure {
    Measure {
        through: Some(through),
        ..on(
            platform,
            "a look at the whole workspace",
            ".env files of the workspace are not read",
            CONFINED,
            "name a smaller directory with -C DIR, or name such files with --deny-read",
        )
    }
}

const fn on_linux(
    feature: &'static str,
    wanted: &'static str,
    profiles: &'static [SecurityProfile],
    remedy: &'static str,
) -> Measure {
    on(Platform::Linux, feature, wanted, profiles, remedy)
}

const fn untried(platform: Platform) -> Measure {
    on(
        platform,
        elsewhere::UNTRIED.feature,
        "what is planned was seen to hold",
        CONFINED,
        "run .github/workflows/security-tests.yml on this platform; until then accept the level with --accept-level minimum, or work in a virtual machine with Linux",
    )
}

/// Every measure. Kernel versions: landlock(7); the level itself comes from trying the calls.
pub const MEASURES: &[Measure] = &[
    on_linux(
        "Landlock",
        "files outside are not written, secrets not read, in Offline only listed programs start",
        CONFINED,
        "use Linux 5.13 or newer with 'landlock' among the modules in /sys/kernel/security/lsm; in a container, let its seccomp profile pass the landlock_* calls",
    ),
    on_linux(
        "seccomp filters",
        "nothing is reached over the network, and privileged calls of the kernel are refused",
        CONFINED,
        "use a kernel with CONFIG_SECCOMP_FILTER; in a container or under another sandbox, let it pass the seccomp call",
    ),
    on_linux(
        "Landlock's refer right (ABI 2)",
        "files can be moved between directories that may be written",
        CONFINED,
        "use Linux 5.19 or newer",
    ),
    on_linux(
        "Landlock's truncate right (ABI 3)",
        "files that may not be written are not emptied",
        CONFINED,
        "use Linux 6.2 or newer",
    ),
    on_linux(
        "Landlock's device control right (ABI 5)",
        "devices that may be read get no control codes",
        CONFINED,
        "use Linux 6.10 or newer",
    ),
    on_linux(
        "Landlock's scopes (ABI 6)",
        "processes outside the sandbox are not signalled",
        CONFINED,
        "use Linux 6.12 or newer",
    ),
    on_linux(
        "a supervisor of system calls",
        "what the kernel denies to a command is recorded, and only listed programs start, however they are named",
        CONFINED,
        "use Linux 5.14 or newer with kernel.yama.ptrace_scope below 2; inside another supervisor of system calls (codex itself, say) there is none",
    ),
    on_linux(
        "subtracted paths",
        "protected paths of the workspace are not written, metadata of other files not changed",
        WRITING,
        "as for the supervisor, which subtracts them; until then review .git/hooks and .git/config, or use the Offline profile",
    ),
    on_linux(
        "a network of the command's own",
        "servers that a command starts can be reached by what it starts, and refused connections are recorded with their destination",
        CONFINED,
        "let ordinary users make namespaces: user.max_user_namespaces and user.max_net_namespaces above 0, kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0 where there are such settings",
    ),
    look(Platform::Linux, "Landlock"),
    on(
        Platform::MacOs,
        "Seatbelt",
        "files outside are not written, secrets not read, nothing reached over the network, in Offline only listed programs start",
        CONFINED,
        "start codex outside of another sandbox: a process that is in one cannot enter another",
    ),
    on(
        Platform::MacOs,
        "a log of the system without gaps",
        "what the kernel denies to a command is recorded",
        CONFINED,
        "use an account that may administer the machine; that the log drops messages under load is macOS's own",
    ),
    on(
        Platform::MacOs,
        "a loopback of its own",
        "a test suite can talk to its own server",
        WRITING,
        "nothing: macOS has none; run such tests yourself",
    ),
    on(
        Platform::MacOs,
        "the end of orphans",
        "whatever a command starts ends with it",
        CONFINED,
        "look for what is left with ps; it is still confined",
    ),
    on(
        Platform::MacOs,
        "a judge of git's settings",
        "git works, and none of its settings that name programs change",
        WRITING,
        "make repositories, worktrees and upstreams yourself",
    ),
    untried(Platform::MacOs),
    on(
        Platform::Windows,
        "AppContainers",
        "files outside are neither read nor written, and nothing is reached over the network",
        CONFINED,
        "use Windows 8 or newer, and an account that may make container profiles",
    ),
    on(
        Platform::Windows,
        "Job Objects",
        "whatever a command starts ends with it",
        CONFINED,
        "start codex outside of a job that allows no other in it",
    ),
    on(
        Platform::Windows,
        "an event trace",
        "what the kernel denies to a command is recorded",
        CONFINED,
        "nothing on this machine: a later version of codex brings it",
    ),
    on(
        Platform::Windows,
        "a list of programs",
        "in Offline only listed programs start",
        CONFINED,
        "nothing on this machine: use Linux, in the Windows Subsystem for Linux say",
    ),
    on(
        Platform::Windows,
        "entries for names that do not exist",
        "protected paths are not written whether or not they exist",
        WRITING,
        "look at what a command made before you open the workspace in an editor",
    ),
    look(Platform::Windows, "AppContainers"),
    look(Platform::MacOs, "Seatbelt"),
    untried(Platform::Windows),
];

/// The measure that the feature belongs to.
#[must_use]
pub fn find(platform: Platform, feature: &str) -> Option<&'static Measure> {
    MEASURES
        .iter()
        .find(|m| (m.platform, m.feature) == (platform, feature))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capability::Capabilities;
    use crate::ladder::{MACOS, RUNGS, WINDOWS};
    use crate::report;

    #[test]
    fn whatever_can_be_missing_is_explained_for_the_profiles_that_want_it() {
        let kernels = [RUNGS, MACOS, WINDOWS].into_iter().flatten();
        let kernels = kernels.map(|r| r.capabilities);
        for capabilities in kernels.chain([Capabilities::NONE]) {
            for &profile in CONFINED {
                for missing in report::assess(profile, capabilities).missing {
                    let measure = find(capabilities.platform, missing.feature)
                        .unwrap_or_else(|| panic!("{} has no line in MEASURES", missing.feature));
                    assert!(
                        measure.profiles.contains(&profile),
                        "{} for {profile}",
                        missing.feature
                    );
                }
            }
        }
        for platform in Platform::ALL {
            assert!(find(platform, report::UNSEEN_FILES.feature).is_some());
        }
    }

    #[test]
    fn features_have_one_line_each() {
        for (at, measure) in MEASURES.iter().enumerate() {
            let first = MEASURES
                .iter()
                .position(|m| (m.platform, m.feature) == (measure.platform, measure.feature));
            assert_eq!(first, Some(at), "{}", measure.feature);
            for text in [measure.wanted, measure.remedy] {
                assert!(!text.is_empty() && !text.ends_with('.'), "{text}");
            }
        }
    }

    #[test]
    fn only_what_was_run_is_said_to_be() {
        assert!(was_run_on("linux", "x86_64"));
        for (os, processor) in [
            ("macos", "aarch64"),
            ("windows", "x86_64"),
            ("linux", "riscv64"),
        ] {
            assert!(!was_run_on(os, processor), "{os} {processor}");
        }
    }
}
