//! Where a setting comes from, and what is wrong with it.

use std::fmt;
use std::sync::Arc;

/// A place in a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The file, as people see it: `~` stands for the home directory.
    pub(crate) file: Arc<str>,
    /// From 1.
    pub(crate) line: usize,
    /// In characters, from 1.
    pub(crate) column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// Where a setting comes from. Displays as `codex config show --origin` prints it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A flag of its own, `--profile` say.
    Flag(&'static str),
    /// `-c key=value`.
    Override,
    /// This environment variable.
    Environment(&'static str),
    /// The session that is resumed.
    Session,
    /// A project's file.
    Project(Place),
    /// The person's file.
    User(Place),
    /// The managed file.
    Managed(Place),
    /// Nothing set it.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => f.write_str(flag),
            Self::Override => f.write_str("-c"),
            Self::Environment(name) => write!(f, "environment ({name})"),
            Self::Session => f.write_str("session"),
            Self::Project(place) => write!(f, "project ({place})"),
            Self::User(place) => write!(f, "user ({place})"),
            Self::Managed(place) => write!(f, "managed ({place})"),
            Self::Default => f.write_str("default"),
        }
    }
}

impl Origin {
    /// Where an error about the setting points to.
    pub(super) fn whereabouts(&self) -> String {
        match self {
            Self::Project(at) | Self::User(at) | Self::Managed(at) => {
                format!("{}:{}:{}", at.file, at.line, at.column)
            }
            Self::Environment(name) => (*name).to_owned(),
            Self::Session => "the resumed session".to_owned(),
            Self::Flag(flag) => (*flag).to_owned(),
            Self::Override => "-c".to_owned(),
            Self::Default => "the default".to_owned(),
        }
    }
}

/// Configuration that cannot be used. One line: where, what is wrong, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ConfigError {
    /// What a file says.
    #[error("{}:{}:{}: {what}", at.file, at.line, at.column)]
    InFile {
        /// Where in it.
        at: Place,
        /// What is wrong with it.
        what: String,
    },
    /// A file that cannot be read.
    #[error("{file}: {what}")]
    File {
        /// Which, as people see it.
        file: Arc<str>,
        /// Why, and what to do.
        what: String,
    },
    /// A setting from elsewhere.
    #[error("{whereabouts}: {what}")]
    Setting {
        /// The flag, the variable or the place.
        whereabouts: String,
        /// What is wrong with it.
        what: String,
    },
}

impl ConfigError {
    /// About a setting that came from `origin`.
    pub(super) fn about(origin: &Origin, what: String) -> Self {
        Self::Setting {
            whereabouts: origin.whereabouts(),
            what,
        }
    }
}
