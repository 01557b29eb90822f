//! What the helper tells codex.

use codex_protocol::record::Observation;
use serde::{Deserialize, Serialize};

use crate::spawn::Outcome;

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
