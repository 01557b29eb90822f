//! Settings that are one word of a few.

use codex_protocol::model::ReasoningEffort;
use codex_protocol::security_profile::SecurityProfile;

macro_rules! words {
    ($(#[$outer:meta])* $name:ident {
        $($(#[$inner:meta])* $variant:ident = $word:literal,)+
    }) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum $name {
            $($(#[$inner])* $variant,)+
        }

        impl $name {
            /// Every word, in the order of the variants.
            pub(crate) const WORDS: &'static [&'static str] = &[$($word,)+];

            /// As configuration spells it.
            #[allow(dead_code, reason = "not every setting is shown or set by its type")]
            #[must_use]
            pub(crate) const fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }

            /// What `word` spells.
            #[must_use]
            pub(crate) fn from_word(word: &str) -> Option<Self> {
                match word {
                    $($word => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

words! {
    /// When a person is asked.
    ApprovalPolicy {
        /// Before everything that is not known to be harmless.
        Untrusted = "untrusted",
        /// Where the gate says so.
        OnRequest = "on-request",
        /// Never: what would ask is denied.
        Never = "never",
    }
}

impl ApprovalPolicy {
    /// Words of Codex's that are read as one of ours.
    pub(super) const ALIASES: &'static [(&'static str, &'static str)] =
        &[("on-failure", "on-request")];

    /// Whether nothing happens under `self` that could not happen under `other`.
    ///
    /// The order is partial. `untrusted` and `never` both let through less than `on-request`:
    /// the one asks more often, the other denies what would ask. Between the two there is no
    /// order: under `never` harmless-looking commands that `untrusted` asks about run unasked,
    /// and under `untrusted` a person can allow what `never` denies.
    #[must_use]
    pub(super) fn within(self, other: Self) -> bool {
        self == other || other == Self::OnRequest
    }
}

/// A word that is no approval policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected untrusted, on-request or never")]
pub(crate) struct UnknownApprovalPolicy;

impl std::str::FromStr for ApprovalPolicy {
    type Err = UnknownApprovalPolicy;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let alias = Self::ALIASES.iter().find(|(alias, _)| *alias == text);
        Self::from_word(alias.map_or(text, |(_, word)| word)).ok_or(UnknownApprovalPolicy)
    }
}

words! {
    /// How much of each act the audit log keeps. The order is from less to more.
    AuditDetail {
        /// What was decided.
        Minimal = "minimal",
        /// And all that is known of it.
        Normal = "normal",
        /// And longer texts, and what codex itself was allowed to read.
        Full = "full",
    }
}

words! {
    /// Which reads of commands the audit log records. The order is from less to more.
    AuditReads {
        /// None; secrets are unreadable all the same.
        Off = "off",
        /// Those that were refused.
        Denied = "denied",
    }
}

words! {
    /// The protocol that a model provider speaks.
    WireApi {
        /// OpenAI's Responses.
        Responses = "responses",
        /// Chat Completions.
        Chat = "chat",
        /// Anthropic's Messages.
        Messages = "messages",
    }
}

words! {
    /// How much a model is told about its work.
    Instructions {
        /// Everything.
        Full = "full",
        /// What small models can follow.
        Short = "short",
        /// Nothing.
        None = "none",
    }
}

words! {
    /// How tools are described to a model.
    ToolSchema {
        /// With every parameter.
        Full = "full",
        /// With required parameters only.
        Compact = "compact",
    }
}

words! {
    /// Search by the model's provider. Off in Offline whatever stands here.
    WebSearch {
        /// No search.
        Disabled = "disabled",
        /// From the provider's index.
        Cached = "cached",
        /// From the web as it is.
        Live = "live",
    }
}

words! {
    /// Where a command's variables start from, before patterns.
    Inherit {
        /// codex's own list; never all there are.
        All = "all",
        /// Of that list, what a shell cannot do without.
        Core = "core",
        /// Nothing.
        None = "none",
    }
}

words! {
    /// What the person said about a project.
    TrustLevel {
        /// It is theirs.
        Trusted = "trusted",
        /// It is not.
        Untrusted = "untrusted",
    }
}

words! {
    /// How a model sums up its reasoning.
    ReasoningSummary {
        /// As the provider likes.
        Auto = "auto",
        /// In short.
        Concise = "concise",
        /// At length.
        Detailed = "detailed",
        /// Not at all.
        None = "none",
    }
}

words! {
    /// How long a model's answers are.
    Verbosity {
        /// Short.
        Low = "low",
        /// Usual.
        Medium = "medium",
        /// Long.
        High = "high",
    }
}

/// The words of [`ReasoningEffort`].
pub(super) const EFFORTS: &[&str] = &["none", "minimal", "low", "medium", "high", "xhigh"];

/// The effort that `word` spells.
pub(super) fn effort(word: &str) -> Option<ReasoningEffort> {
    Some(match word {
        "none" => ReasoningEffort::None,
        "minimal" => ReasoningEffort::Minimal,
        "low" => ReasoningEffort::Low,
        "medium" => ReasoningEffort::Medium,
        "high" => ReasoningEffort::High,
        "xhigh" => ReasoningEffort::Xhigh,
        _ => return None,
    })
}

/// Codex's `sandbox_mode`.
pub(super) const SANDBOX_MODES: &[&str] = &["read-only", "workspace-write", "danger-full-access"];

/// The sandbox mode that gives `profile`, if there is one.
pub(super) fn sandbox_mode(profile: SecurityProfile) -> Option<&'static str> {
    SANDBOX_MODES
        .iter()
        .copied()
        .find(|mode| SecurityProfile::from_sandbox_mode(mode) == Some(profile))
}

/// The built-in profiles as the command line spells them.
pub(super) const PROFILES: &[&str] = &["offline", "workspace-write", "net-read-only", "trusted"];
/// As the log spells them.
pub(super) const PROFILE_ALIASES: &[(&str, &str)] = &[
    ("Offline", "offline"),
    ("WorkspaceWrite", "workspace-write"),
    ("NetReadOnly", "net-read-only"),
    ("Trusted", "trusted"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_their_types_agree() {
        for word in EFFORTS {
            assert!(effort(word).is_some(), "{word}");
        }
        for (profile, word) in SecurityProfile::ALL.into_iter().zip(PROFILES) {
            assert_eq!(profile.flag(), *word);
        }
        for ((camel, flag), profile) in PROFILE_ALIASES.iter().zip(SecurityProfile::ALL) {
            assert_eq!((*camel, *flag), (profile.name(), profile.flag()));
        }
        assert_eq!(sandbox_mode(SecurityProfile::NetReadOnly), None);
        assert_eq!(sandbox_mode(SecurityProfile::Offline), Some("read-only"));
    }

    #[test]
    fn approval_policies_are_ordered_in_part() {
        use ApprovalPolicy::{Never, OnRequest, Untrusted};
        for (a, b, expected) in [
            (Never, OnRequest, true),
            (Untrusted, OnRequest, true),
            (OnRequest, Never, false),
            (OnRequest, Untrusted, false),
            (Never, Untrusted, false),
            (Untrusted, Never, false),
            (Never, Never, true),
        ] {
            assert_eq!(a.within(b), expected, "{a:?} {b:?}");
        }
        assert_eq!("on-failure".parse(), Ok(OnRequest));
        assert!("sometimes".parse::<ApprovalPolicy>().is_err());
    }
}
