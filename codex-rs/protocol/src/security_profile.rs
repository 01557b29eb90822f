//! The four profiles.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What an agent and its commands may do unless something narrower or an explicit grant says
/// otherwise.
///
/// The default is the narrowest. Serialized under its CamelCase name, which is also how logs
/// and documentation spell it; the command line uses [`SecurityProfile::flag`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SecurityProfile {
    /// Reads files except secrets; writes nothing, reaches no network, starts only listed programs.
    #[default]
    Offline,
    /// As `Offline`, and writes inside the workspace and starts any program inside the sandbox.
    WorkspaceWrite,
    /// As `Offline`, and reads the network through the egress proxy and starts any program.
    NetReadOnly,
    /// Not confined. What codex itself asks the gate, and every start of a program, is recorded.
    Trusted,
}

impl SecurityProfile {
    /// Every profile, narrowest first.
    pub const ALL: [Self; 4] = [
        Self::Offline,
        Self::WorkspaceWrite,
        Self::NetReadOnly,
        Self::Trusted,
    ];

    /// The name in logs, reasons and documentation.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Offline => "Offline",
            Self::WorkspaceWrite => "WorkspaceWrite",
            Self::NetReadOnly => "NetReadOnly",
            Self::Trusted => "Trusted",
        }
    }

    /// The name on the command line and in configuration.
    #[must_use]
    pub fn flag(self) -> &'static str {
        match self {
            Self::Offline => "offline",
            Self::WorkspaceWrite => "workspace-write",
            Self::NetReadOnly => "net-read-only",
            Self::Trusted => "trusted",
        }
    }

    /// The widest profile that allows nothing which either of the two forbids.
    ///
    /// `WorkspaceWrite` and `NetReadOnly` each allow what the other forbids, so together they
    /// leave `Offline`.
    #[must_use]
    pub fn narrow(self, other: Self) -> Self {
        match (self, other) {
            (Self::Trusted, narrower) | (narrower, Self::Trusted) => narrower,
            (a, b) if a == b => a,
            _ => Self::Offline,
        }
    }

    /// What Codex's `sandbox_mode` calls this profile's nearest relative.
    #[must_use]
    pub fn from_sandbox_mode(mode: &str) -> Option<Self> {
        match mode {
            "read-only" => Some(Self::Offline),
            "workspace-write" => Some(Self::WorkspaceWrite),
            "danger-full-access" => Some(Self::Trusted),
            _ => None,
        }
    }
}

impl fmt::Display for SecurityProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A word that names no built-in profile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is not a profile; the profiles are offline, workspace-write, net-read-only and trusted"
)]
pub struct UnknownProfile(pub String);

impl FromStr for SecurityProfile {
    type Err = UnknownProfile;

    /// Reads a profile in either spelling, without regard to case.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|p| text.eq_ignore_ascii_case(p.flag()) || text.eq_ignore_ascii_case(p.name()))
            .ok_or_else(|| UnknownProfile(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_default_is_offline() {
        assert_eq!(SecurityProfile::default(), SecurityProfile::Offline);
        // And it means it: nothing is narrower, so narrowing by the default leaves the default.
        for other in SecurityProfile::ALL {
            assert_eq!(
                SecurityProfile::default().narrow(other),
                SecurityProfile::Offline
            );
        }
    }

    #[test]
    fn both_spellings_are_read() {
        for profile in SecurityProfile::ALL {
            assert_eq!(profile.name().parse(), Ok(profile));
            assert_eq!(profile.flag().parse(), Ok(profile));
        }
        assert!("readonly".parse::<SecurityProfile>().is_err());
    }

    #[test]
    fn narrowing_is_commutative_and_idempotent() {
        for a in SecurityProfile::ALL {
            assert_eq!(a.narrow(a), a);
            for b in SecurityProfile::ALL {
                assert_eq!(a.narrow(b), b.narrow(a));
            }
        }
    }
}
