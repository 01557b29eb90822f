//! The format of recordings, made by `--record` or by hand, and played by `--replay`.
//!
//! A recording is NDJSON: one line is one response of the model. Only `v` and `items` are
//! required.
//!
//! ```text
//! {"v":1,"items":[{"type":"tool_call","call_id":"call_1","name":"shell","arguments":"{\"command\":\"true\"}"}]}
//! {"v":1,"expects":["call_1"],"items":[{"type":"assistant","text":"done"}],"usage":{"input_tokens":9}}
//! ```
//!
//! - `v`: the format's version, [`VERSION`].
//! - `expects`: which calls' outputs must have come in since the model last spoke, in any order,
//!   and no others. Each is a call's id, or `{"call_id":…,"tool":…,"success":…}` to ask for the
//!   tool's name and for how it went too. Without `expects` nothing is asked; `[]` asks for none.
//! - `items`: what the model puts out: `{"type":"assistant","text":…}`,
//!   `{"type":"reasoning","text":…}`, and `{"type":"tool_call","call_id":…,"name":…,"arguments":…}`
//!   with `"text":true` for a call of a text tool. Recorded ones also hold `native`, the
//!   provider's own form.
//! - `usage`: `input_tokens`, `cached_input_tokens`, `output_tokens`, `reasoning_output_tokens`;
//!   what is missing is 0.
//! - `stop`: `done` (the default), `length` or `filtered`.

use codex_protocol::model::{Item, StopReason, Usage};
use serde::{Deserialize, Serialize};

/// The version of the format.
pub const VERSION: u32 = 1;

/// The bytes that one line may take: half of what a response may, most of which is not its items.
pub const MAX_LINE_BYTES: usize = 16 * 1024 * 1024;

/// The bytes that a recording may take. It is read into memory before it is played.
pub const MAX_RECORDING_BYTES: usize = 128 * 1024 * 1024;

/// One response.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Line {
    pub(crate) v: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expects: Option<Vec<Expected>>,
    pub(crate) items: Vec<Item>,
    #[serde(default)]
    pub(crate) usage: Usage,
    #[serde(default, skip_serializing_if = "Stop::is_done")]
    pub(crate) stop: Stop,
}

/// A call whose output must have come in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Expected {
    Id(String),
    Call(ExpectedCall),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExpectedCall {
    pub(crate) call_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tool: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) success: Option<bool>,
}

/// [`StopReason`] in the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Stop {
    #[default]
    Done,
    Length,
    Filtered,
}

impl Stop {
    fn is_done(&self) -> bool {
        *self == Self::Done
    }
}

impl From<StopReason> for Stop {
    fn from(stop: StopReason) -> Self {
        match stop {
            StopReason::Done => Self::Done,
            StopReason::Length => Self::Length,
            StopReason::Filtered => Self::Filtered,
        }
    }
}

impl From<Stop> for StopReason {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Done => Self::Done,
            Stop::Length => Self::Length,
            Stop::Filtered => Self::Filtered,
        }
    }
}

/// An output that came in since the model last spoke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answered {
    pub(crate) call_id: String,
    /// The tool that was called, where the conversation has the call.
    pub(crate) tool: Option<String>,
    pub(crate) success: bool,
}

/// The outputs that came in since the model last spoke.
pub(crate) fn answered(items: &[Item]) -> Vec<Answered> {
    let news = items
        .iter()
        .rposition(|item| !matches!(item, Item::User { .. } | Item::ToolOutput { .. }))
        .map_or(0, |last| last + 1);
    let tool = |id: &str| {
        items.iter().rev().find_map(|item| match item {
            Item::ToolCall { call, .. } if call.call_id == id => Some(call.name.clone()),
            _ => None,
        })
    };
    items[news..]
        .iter()
        .filter_map(|item| match item {
            Item::ToolOutput {
                call_id, success, ..
            } => Some(Answered {
                call_id: call_id.clone(),
                tool: tool(call_id),
                success: *success,
            }),
            _ => None,
        })
        .collect()
}
