//! What is written down of a request, and the receipt that lets it happen.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ids::{AgentType, SessionId, TaskId};
use crate::operation::{Evidence, Operation, Outcome};
use crate::security_profile::SecurityProfile;

/// On whose behalf something is attempted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The conversation.
    pub session_id: SessionId,
    /// The unit of work.
    pub task_id: TaskId,
    /// The main agent, or a sub-agent's type.
    pub agent_type: AgentType,
    /// The profile in force.
    pub profile: SecurityProfile,
}

/// One thing to write down. Not masked yet: masking is the log's work, so that nobody can forget
/// it.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// On whose behalf.
    pub subject: Subject,
    /// What was attempted.
    pub operation: Operation,
    /// On what.
    pub target: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Why.
    pub reason: String,
    /// Which rule said so.
    pub rule: String,
    /// How the log knows.
    pub evidence: Evidence,
    /// The process that attempted it.
    pub pid: Option<u32>,
    /// That process's program.
    pub exe: Option<String>,
    /// How many times, where one record stands for several.
    pub count: Option<u64>,
    /// What else is known: an object.
    pub detail: Option<Value>,
}

/// What the sandbox saw a command's processes try.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// What was attempted.
    pub operation: Operation,
    /// On what.
    pub target: String,
    /// Which rule decided.
    pub rule: String,
    /// Why, and what would allow it.
    pub reason: String,
    /// The process.
    pub pid: Option<u32>,
    /// Its program.
    pub exe: Option<String>,
    /// How many times.
    pub count: u64,
}

/// One thing to record of a running command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Observation {
    /// It was refused.
    Denied(Attempt),
    /// So many more refusals of this operation by this rule, whose targets were too many to name;
    /// the attempt's is the first of them.
    DeniedMore(Attempt),
    /// Files were written, which was allowed.
    Wrote {
        /// How often.
        count: u64,
        /// The first of them.
        first: Vec<String>,
        /// Which rule allowed the first.
        rule: String,
        /// Why.
        reason: String,
    },
}

/// Proof that an entry was taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The record's sequence number; `None` where the policy of the log leaves such an entry out,
    /// as it does allowed reads.
    pub seq: Option<u64>,
}

/// A record that could not be written. Whoever gets one must not act.
#[derive(Clone, Debug, thiserror::Error)]
#[error(
    "the audit log '{path}' cannot be written: {cause}; nothing is done without a record: free space or fix permissions there, or name another file with --audit-log"
)]
pub struct RecordError {
    /// The log's path.
    pub path: String,
    /// What the system said.
    pub cause: String,
}

/// Whatever writes entries to the log. Only the `audit` crate implements it for real.
pub trait Recorder: Send + Sync {
    /// Appends `entry` and says where it stands.
    ///
    /// # Errors
    /// When it cannot be written.
    fn append(&self, entry: &Entry) -> Result<Receipt, RecordError>;

    /// The text as the log would show it: home directories and secrets masked, control
    /// characters escaped. Whatever shows a target or a reason to anyone shows this.
    fn mask(&self, text: &str) -> String;
}

/// Something whose intent stands in the log. What acts takes nothing less.
#[derive(Debug)]
pub struct Recorded<T> {
    inner: T,
    receipt: Receipt,
}

impl<T> Recorded<T> {
    /// Only the gate makes one, after the recorder said yes.
    pub(crate) fn new(inner: T, receipt: Receipt) -> Self {
        Self { inner, receipt }
    }

    /// What was recorded.
    pub fn get(&self) -> &T {
        &self.inner
    }

    /// The record's sequence number, if one was written.
    pub fn seq(&self) -> Option<u64> {
        self.receipt.seq
    }
}
