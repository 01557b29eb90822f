//! What a session tells its front end, in the shape of Codex's `exec --json` events.
//!
//! Source of the shape: the published `@openai/codex-sdk` types (`ThreadEvent`, `ThreadItem`).
//! `policy_decision` is ours beside them.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::Usage;

/// One event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum Event {
    /// A session began or goes on.
    #[serde(rename = "thread.started")]
    ThreadStarted {
        /// The session's id.
        thread_id: String,
    },
    /// A turn began.
    #[serde(rename = "turn.started")]
    TurnStarted {},
    /// A turn ended well.
    #[serde(rename = "turn.completed")]
    TurnCompleted {
        /// Tokens of the whole turn.
        usage: Usage,
    },
    /// A turn ended early.
    #[serde(rename = "turn.failed")]
    TurnFailed {
        /// Why.
        error: ErrorMessage,
    },
    /// A step began.
    #[serde(rename = "item.started")]
    ItemStarted {
        /// The step.
        item: ThreadItem,
    },
    /// A step went on.
    #[serde(rename = "item.updated")]
    ItemUpdated {
        /// The step as it stands.
        item: ThreadItem,
    },
    /// A step ended.
    #[serde(rename = "item.completed")]
    ItemCompleted {
        /// The step as it ended.
        item: ThreadItem,
    },
    /// The session waits for a person's answer. It goes back by the question's id, to whoever runs
    /// the session.
    #[serde(rename = "approval.requested")]
    ApprovalRequested {
        /// The question.
        approval: ApprovalRequest,
    },
    /// The session waits no more.
    #[serde(rename = "approval.resolved")]
    ApprovalResolved {
        /// The question's id.
        id: String,
        /// How it came about.
        resolution: Resolution,
    },
    /// Something failed that the turn may survive.
    #[serde(rename = "error")]
    Error {
        /// What.
        message: String,
    },
}

/// A question to a person, as a front end gets it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalRequest {
    /// Its id, unique in the run.
    pub id: String,
    /// What is attempted.
    pub operation: String,
    /// On what, masked as in the log.
    pub target: String,
    /// Why it is asked, and what would allow it for good.
    pub reason: String,
    /// What a yes for the session or for good would cover. Without it every yes is for this once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lasting: Option<String>,
    /// After how many seconds it counts as not answered, which is a denial.
    pub seconds: u64,
}

/// How a question came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resolution {
    /// It was answered.
    Answered,
    /// Nobody answered: that is a denial.
    Unanswered,
    /// Whoever asked has ended; an answer would come too late.
    Withdrawn,
}

/// An error's text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorMessage {
    /// What failed, on what, why, and what to do next.
    pub message: String,
}

/// A step of a turn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ThreadItem {
    /// Its id, unique in the session.
    pub id: String,
    /// What it is.
    #[serde(flatten)]
    pub details: ItemDetails,
}

/// How far a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It goes on.
    InProgress,
    /// It did what it was meant to.
    Completed,
    /// It did not.
    Failed,
    /// The gate, or a person, did not allow it.
    Declined,
}

/// What a patch did to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// Made it.
    Add,
    /// Removed it.
    Delete,
    /// Changed it.
    Update,
}

/// A file that a patch touched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileChange {
    /// Which.
    pub path: String,
    /// How.
    pub kind: ChangeKind,
}

/// A line of the model's plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TodoItem {
    /// What is to be done.
    pub text: String,
    /// Whether it is.
    pub completed: bool,
}

/// What a step is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ItemDetails {
    /// What the model said.
    AgentMessage {
        /// The text.
        text: String,
    },
    /// What the model thought, as far as it shows.
    Reasoning {
        /// The text.
        text: String,
    },
    /// A command.
    CommandExecution {
        /// As the model gave it.
        command: String,
        /// What it printed, both streams in order, cut to size.
        aggregated_output: String,
        /// Its exit code, once it ended by itself.
        #[serde(skip_serializing_if = "Option::is_none")]
        exit_code: Option<i32>,
        /// How far it is.
        status: Status,
    },
    /// A patch.
    FileChange {
        /// The files it touched.
        changes: Vec<FileChange>,
        /// How far it is.
        status: Status,
    },
    /// A call of an MCP server's tool.
    McpToolCall {
        /// The server.
        server: String,
        /// The tool.
        tool: String,
        /// What it was given.
        arguments: Value,
        /// What it gave.
        result: Option<Value>,
        /// What went wrong.
        error: Option<ErrorMessage>,
        /// How far it is.
        status: Status,
    },
    /// A search of the web.
    WebSearch {
        /// What was searched for.
        query: String,
    },
    /// The model's plan.
    TodoList {
        /// Its lines.
        items: Vec<TodoItem>,
    },
    /// Something failed that the turn survives.
    Error {
        /// What.
        message: String,
    },
    /// A denial or an approval.
    PolicyDecision {
        /// What was attempted.
        operation: String,
        /// On what, masked as in the log.
        target: String,
        /// `allowed` or `denied`.
        decision: String,
        /// Why.
        reason: String,
        /// Which rule said so.
        rule: String,
        /// How it is known.
        evidence: String,
        /// Where it stands in the log.
        audit_seq: Option<u64>,
    },
}

/// Whatever takes events: a printer, a writer of JSON lines, a terminal interface.
pub trait EventSink: Send + Sync {
    /// Takes one event. Called in order, and never for long.
    fn emit(&self, event: Event);
}
