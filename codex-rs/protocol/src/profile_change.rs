//! A change of the profile while a session goes on: what an interactive front end sends when the
//! person raises or lowers it, and the answer.

use serde::{Deserialize, Serialize};

use crate::policy::Policy;
use crate::record::RecordError;
use crate::security_profile::SecurityProfile;

/// How long a changed profile holds. Never beyond the session: a resumed one starts from what its
/// own command line and configuration say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Until {
    /// The turn that follows.
    EndOfTurn,
    /// All turns of the session.
    EndOfSession,
}

impl Until {
    /// As the log says it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EndOfTurn => "end of turn",
            Self::EndOfSession => "end of session",
        }
    }
}

/// What the front end sends, between turns. Only a front end that a person sits at may: nothing
/// that comes from the workspace, the model or a tool's output is one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProfileChange {
    /// The profile that the person chose.
    pub profile: SecurityProfile,
    /// How long it holds.
    pub until: Until,
    /// The front end that the person chose it in, as the log is to name it: `tui`, or a client's
    /// own name.
    pub front_end: String,
}

/// Why the profile stays as it is.
#[derive(Debug, thiserror::Error)]
pub enum NotChanged {
    /// Another layer bounds the session: an administrator's, say.
    #[error(
        "the profile stays {stays}: {wanted} is beyond the bound that an administrator or the caller set, which leaves {leaves}"
    )]
    Beyond {
        /// What was chosen.
        wanted: SecurityProfile,
        /// What the bound would leave of it.
        leaves: SecurityProfile,
        /// What holds.
        stays: SecurityProfile,
    },
    /// This machine does not enforce what the profile requires.
    #[error("the profile stays {stays}: {why}")]
    CannotEnforce {
        /// What holds.
        stays: SecurityProfile,
        /// What is missing, and what to do.
        why: String,
    },
    /// A tool has rights of its own that would not change with the session's.
    #[error(
        "the profile stays {stays}: agents that the model may start here keep the rights that they began with; end the session, and start one with --profile {}",
        .wanted.flag()
    )]
    HeldElsewhere {
        /// What was chosen.
        wanted: SecurityProfile,
        /// What holds.
        stays: SecurityProfile,
    },
    /// The log cannot be written; the run must end.
    #[error(transparent)]
    NoRecord(#[from] RecordError),
}

impl ProfileChange {
    /// The rights after the change: the run's own layer with the other profile, its grants and
    /// places as they were. The layers around it go on bounding it.
    ///
    /// # Errors
    /// [`NotChanged::Beyond`] where they leave less than what was chosen.
    pub fn apply(&self, policy: &Policy) -> Result<Policy, NotChanged> {
        let mut own = policy.own().clone();
        own.profile = self.profile;
        let changed = policy.with_own(own);
        match changed.profile() {
            leaves if leaves == self.profile => Ok(changed),
            leaves => Err(NotChanged::Beyond {
                wanted: self.profile,
                leaves,
                stays: policy.profile(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Layer, Places};

    fn layer(profile: SecurityProfile) -> Layer {
        Layer::new(profile, Places::default())
    }

    fn to(profile: SecurityProfile) -> ProfileChange {
        ProfileChange {
            profile,
            until: Until::EndOfSession,
            front_end: "test".to_owned(),
        }
    }

    #[test]
    fn no_change_reaches_beyond_an_outer_layer() {
        for bound in SecurityProfile::ALL {
            for begun in SecurityProfile::ALL {
                let policy = Policy::new(layer(bound)).narrow(layer(begun));
                for wanted in SecurityProfile::ALL {
                    let changed = to(wanted).apply(&policy);
                    let within = bound.narrow(wanted) == wanted;
                    assert_eq!(changed.is_ok(), within, "{bound} {begun} {wanted}");
                    if let Ok(changed) = changed {
                        assert_eq!(changed.profile(), wanted);
                        assert_eq!(changed.layers().next(), policy.layers().next());
                    }
                }
            }
        }
    }

    #[test]
    fn the_message_has_one_shape() {
        let text = r#"{"profile":"WorkspaceWrite","until":"end_of_turn","front_end":"tui"}"#;
        let read: ProfileChange = serde_json::from_str(text).unwrap();
        assert_eq!(read.profile, SecurityProfile::WorkspaceWrite);
        assert_eq!(read.until, Until::EndOfTurn);
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
        for wrong in [
            r#"{"profile":"WorkspaceWrite","until":"for_ever","front_end":"tui"}"#,
            r#"{"profile":"WorkspaceWrite","front_end":"tui"}"#,
            r#"{"profile":"WorkspaceWrite","until":"end_of_turn","front_end":"tui","grants":[]}"#,
        ] {
            assert!(
                serde_json::from_str::<ProfileChange>(wrong).is_err(),
                "{wrong}"
            );
        }
    }
}
