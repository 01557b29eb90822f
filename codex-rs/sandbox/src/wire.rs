//! How a plan travels to the helper: JSON in which paths keep every byte.

use std::path::PathBuf;

use codex_protocol::record::Observation;
use codex_protocol::secrets::PathPattern;
use serde::{Deserialize, Serialize};

use crate::spawn::Outcome;

/// A [`PathPattern`] on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PatternText {
    #[serde(with = "path")]
    parent: PathBuf,
    name: String,
    #[serde(with = "optional_path")]
    except: Option<PathBuf>,
}

impl From<&PathPattern> for PatternText {
    fn from(p: &PathPattern) -> Self {
        Self {
            parent: p.parent.clone(),
            name: p.name.clone(),
            except: p.except.clone(),
        }
    }
}

impl From<&PatternText> for PathPattern {
    fn from(p: &PatternText) -> Self {
        Self {
            parent: p.parent.clone(),
            name: p.name.clone(),
            except: p.except.clone(),
        }
    }
}

/// What the helper tells the one who started it: JSON objects, one a line. The last says how it
/// ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "message", rename_all = "snake_case")]
pub(crate) enum Message {
    /// Something to record.
    Observed {
        /// What.
        observation: Observation,
    },
    /// It could not be confined or started.
    Failed {
        /// What was being done.
        step: String,
        /// The system's error number.
        errno: i32,
    },
    /// It ended, and so did all that it started.
    Ended {
        /// How.
        outcome: Outcome,
    },
}

/// Paths as operating system strings, which serde keeps whole also where they are not UTF-8.
pub(crate) mod path {
    use std::ffi::OsString;
    use std::path::{Path, PathBuf};

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
        match path.to_str() {
            Some(text) => text.serialize(to),
            None => path.as_os_str().serialize(to),
        }
    }

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Text(String),
        Native(OsString),
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<PathBuf, D::Error> {
        Ok(match Either::deserialize(from)? {
            Either::Text(text) => text.into(),
            Either::Native(native) => native.into(),
        })
    }
}

mod optional_path {
    use std::path::PathBuf;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct One(#[serde(with = "super::path")] PathBuf);

    pub(crate) fn serialize<S: Serializer>(
        path: &Option<PathBuf>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        path.as_ref().map(|p| One(p.clone())).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<PathBuf>, D::Error> {
        Ok(Option::<One>::deserialize(from)?.map(|One(p)| p))
    }
}
