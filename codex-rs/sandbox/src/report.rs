//! How much of what a profile wants a machine enforces.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use codex_protocol::security_profile::SecurityProfile;

use crate::capability::Capabilities;
use crate::elsewhere;

/// How much of a profile is enforced. The order is from little to all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Some of what keeps files, programs or the network apart is not enforced.
    Minimum,
    /// Files, programs and the network are kept apart; something beside them, named in the
    /// report, is not.
    Partial,
    /// All of it.
    Full,
}

impl Level {
    /// The word on the command line and in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Minimum => "minimum",
            Self::Partial => "partial",
            Self::Full => "full",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Level {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Minimum, Self::Partial, Self::Full]
            .into_iter()
            .find(|l| l.as_str() == text)
            .ok_or_else(|| {
                format!("'{text}' is not a level; the levels are full, partial and minimum")
            })
    }
}

/// Something a profile wants and this machine does not enforce.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// What is missing, in the kernel's terms.
    pub feature: &'static str,
    /// What a command can therefore do.
    pub consequence: &'static str,
    /// The highest level that a machine without it reaches.
    pub level: Level,
}

/// What a plan amounts to on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// How much is enforced.
    pub level: Level,
    /// What is not.
    pub missing: Vec<Missing>,
}

impl Report {
    /// Adds something that is missing, and lowers the level accordingly.
    pub(crate) fn add(&mut self, missing: Missing) {
        self.level = self.level.min(missing.level);
        self.missing.push(missing);
    }
}

/// What is missing where a workspace is larger than what is looked at before a command.
pub const UNSEEN_FILES: Missing = Missing {
    feature: "a look at the whole workspace",
    consequence: ".env files beyond the first entries looked at can be read by commands",
    level: Level::Partial,
};

/// The level that a confined profile requires unless the person accepts a lower one.
pub const REQUIRED: Level = Level::Partial;

/// What a confined profile lacks on a machine with these capabilities.
///
/// Landlock's rights by version: kernel documentation, `userspace-api/landlock.rst`.
#[must_use]
pub fn assess(profile: SecurityProfile, capabilities: Capabilities) -> Report {
    let missing = elsewhere::missing(profile, capabilities)
        .unwrap_or_else(|| missing_on_linux(profile, capabilities));
    let level = missing.iter().map(|m| m.level).min().unwrap_or(Level::Full);
    Report { level, missing }
}

fn missing_on_linux(profile: SecurityProfile, capabilities: Capabilities) -> Vec<Missing> {
    let abi = capabilities.landlock_abi;
    let supervised = capabilities.supervises();
    let wanted = [
        (
            abi >= 1,
            Missing {
                feature: "Landlock",
                consequence: match supervised {
                    true => {
                        "nothing stands behind the supervisor, which alone keeps files apart, and a program that is changed while it is looked at starts though it is not listed"
                    }
                    false => "commands read secrets, write files and start programs as they like",
                },
                level: Level::Minimum,
            },
        ),
        (
            capabilities.seccomp,
            Missing {
                feature: "seccomp filters",
                consequence: "commands reach the network and the kernel's privileged calls",
                level: Level::Minimum,
            },
        ),
        (
            abi >= 2,
            Missing {
                feature: "Landlock's refer right (ABI 2)",
                consequence: "commands cannot move files between directories, even where they may write",
                level: Level::Partial,
            },
        ),
        (
            abi >= 3,
            Missing {
                feature: "Landlock's truncate right (ABI 3)",
                consequence: match supervised {
                    true => {
                        "nothing stands behind the supervisor, which keeps files that may not be written from being emptied"
                    }
                    false => "commands can empty files that they may not write",
                },
                level: match supervised {
                    true => Level::Partial,
                    false => Level::Minimum,
                },
            },
        ),
        (
            abi >= 5,
            Missing {
                feature: "Landlock's device control right (ABI 5)",
                consequence: "commands can send control codes to devices that they may read",
                level: Level::Partial,
            },
        ),
        (
            abi >= 6,
            Missing {
                feature: "Landlock's scopes (ABI 6)",
                consequence: match supervised {
                    true => {
                        "nothing stands behind the supervisor, which keeps processes outside the sandbox from being signalled"
                    }
                    false => "commands can signal processes of the same user outside the sandbox",
                },
                level: Level::Partial,
            },
        ),
    ];
    let mut missing: Vec<Missing> = wanted
        .into_iter()
        .filter(|(has, _)| !has)
        .map(|(_, m)| m)
        .collect();
    if !capabilities.supervises() {
        missing.push(Missing {
            feature: "a supervisor of system calls",
            consequence: "what the kernel denies to a command is not recorded, a listed loader starts unlisted programs, and servers cannot be started",
            level: Level::Partial,
        });
        if profile == SecurityProfile::WorkspaceWrite {
            missing.push(Missing {
                feature: "subtracted paths",
                consequence: "commands can write protected paths of their workspace, and change the metadata of the user's files",
                level: Level::Partial,
            });
        }
    } else if !capabilities.network_namespace {
        missing.push(Missing {
            feature: "a network of the command's own",
            consequence: "commands cannot reach servers that they start, and refused connections are recorded without their destination",
            level: Level::Partial,
        });
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_missing_part_lowers_the_level() {
        let level = |landlock_abi, seccomp, user_notification, network_namespace| {
            let capabilities = Capabilities {
                landlock_abi,
                seccomp,
                user_notification,
                network_namespace,
                ..Capabilities::NONE
            };
            assess(SecurityProfile::Offline, capabilities).level
        };
        assert_eq!(level(7, true, true, true), Level::Full);
        assert_eq!(level(7, true, true, false), Level::Partial);
        assert_eq!(level(7, true, false, true), Level::Partial);
        assert_eq!(level(5, true, true, true), Level::Partial);
        assert_eq!(level(3, true, true, true), Level::Partial);
        // The supervisor, which truncates on the command's behalf, makes up for that right.
        assert_eq!(level(2, true, true, true), Level::Partial);
        assert_eq!(level(2, true, false, true), Level::Minimum);
        assert_eq!(level(0, true, true, true), Level::Minimum);
        assert_eq!(level(7, false, false, true), Level::Minimum);
        let missing = |profile| assess(profile, Capabilities::NONE).missing.len();
        assert_eq!(missing(SecurityProfile::Offline), 7);
        assert_eq!(missing(SecurityProfile::WorkspaceWrite), 8);
    }
}
