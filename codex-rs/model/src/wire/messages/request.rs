//! A prompt as the body of a request.
//!
//! Prompt caching: the system prompt and the last tool are marked, and the `cache_control` beside
//! `messages` has the API mark the last block by itself. So no mark moves through the
//! conversation, every request is the one before it and more, and three of the four marks that
//! the API allows are taken. Servers that imitate the API cache by prefix anyway.

use std::borrow::Cow;

use codex_protocol::model::{Content, Item, Native, Prompt, ReasoningEffort};
use codex_protocol::tool::{ToolCall, ToolSpec};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

use super::NAME;
use crate::wire::parameters;

/// `max_tokens`, which the API requires, where the prompt sets no limit: the most that Claude
/// Opus 4 takes, and every model since takes more.
const DEFAULT_MAX_TOKENS: u64 = 32_000;

/// The least `budget_tokens` that the API accepts (its documentation of extended thinking).
const LEAST_BUDGET: u64 = 1024;

/// The longest tool name that the API accepts (its error text's pattern).
const LONGEST_NAME: usize = 128;

/// Claude models that don't think, and refuse requests that ask for it.
const NOT_THINKING: &[&str] = &[
    "claude-2",
    "claude-instant",
    "claude-3-5",
    "claude-3-haiku",
    "claude-3-opus",
    "claude-3-sonnet",
];

/// Claude models that take a budget of tokens to think in. Claude 4.6 prefers, and every model
/// after it requires, `adaptive` thinking with an effort. `-2` begins the date of Claude 4's own
/// names.
const BUDGETED: &[&str] = &[
    "claude-3-7",
    "claude-opus-4-0",
    "claude-opus-4-1",
    "claude-opus-4-2",
    "claude-opus-4-5",
    "claude-sonnet-4-0",
    "claude-sonnet-4-2",
    "claude-sonnet-4-5",
    "claude-haiku-4-5",
];

pub(super) fn body(prompt: &Prompt) -> Result<Vec<u8>, serde_json::Error> {
    let max_tokens = prompt.max_output_tokens.unwrap_or(DEFAULT_MAX_TOKENS);
    let max_tokens = max_tokens.max(1);
    let (thinking, effort) = thinking(&prompt.model, prompt.effort, max_tokens);
    let format = prompt.output_schema.as_ref().map(|schema| Format {
        kind: "json_schema",
        schema,
    });
    let last_tool = prompt.tools.len().saturating_sub(1);
    serde_json::to_vec(&Body {
        model: &prompt.model,
        max_tokens,
        stream: true,
        thinking,
        output_config: (effort.is_some() || format.is_some())
            .then_some(OutputConfig { effort, format }),
        cache_control: MARK,
        tools: prompt
            .tools
            .iter()
            .enumerate()
            .map(|(index, tool)| Tool::of(tool, index == last_tool))
            .collect(),
        system: says_something(&prompt.instructions).then_some([System {
            kind: "text",
            text: &prompt.instructions,
            cache_control: MARK,
        }]),
        messages: messages(&prompt.items),
    })
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    max_tokens: u64,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<Thinking>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_config: Option<OutputConfig<'a>>,
    cache_control: CacheControl,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    system: Option<[System<'a>; 1]>,
    /// The last field: only its end changes from turn to turn.
    messages: Vec<Message<'a>>,
}

#[derive(Clone, Copy, Serialize)]
struct CacheControl {
    #[serde(rename = "type")]
    kind: &'static str,
}

const MARK: CacheControl = CacheControl { kind: "ephemeral" };

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Thinking {
    Enabled {
        budget_tokens: u64,
    },
    Adaptive {
        /// Newer models leave the text out unless it is asked for.
        display: &'static str,
    },
}

#[derive(Serialize)]
struct OutputConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    effort: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<Format<'a>>,
}

#[derive(Serialize)]
struct Format<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    schema: &'a Value,
}

#[derive(Serialize)]
struct System<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    text: &'a str,
    cache_control: CacheControl,
}

#[derive(Serialize)]
struct Tool<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'a str,
    input_schema: Cow<'a, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<CacheControl>,
}

impl<'a> Tool<'a> {
    fn of(tool: &'a ToolSpec, marked: bool) -> Self {
        Self {
            name: &tool.name,
            description: &tool.description,
            input_schema: parameters(&tool.input),
            cache_control: marked.then_some(MARK),
        }
    }
}

/// How the model is told to think, by the way that it takes: a budget, or an effort.
fn thinking(
    model: &str,
    effort: Option<ReasoningEffort>,
    max_tokens: u64,
) -> (Option<Thinking>, Option<&'static str>) {
    // A gateway's names have the vendor before them.
    let name = model.rsplit('/').next().unwrap_or(model);
    let is_of = |families: &[&str]| families.iter().any(|family| name.starts_with(family));
    let Some(effort) = effort.filter(|_| !is_of(NOT_THINKING)) else {
        return (None, None);
    };
    // Others than Claude imitate the API as it was first.
    if !name.starts_with("claude-") || is_of(BUDGETED) {
        let budget = match effort {
            ReasoningEffort::None => return (None, None),
            ReasoningEffort::Minimal => LEAST_BUDGET,
            ReasoningEffort::Low => 4096,
            ReasoningEffort::Medium => 8192,
            ReasoningEffort::High => 16_384,
            ReasoningEffort::Xhigh => 24_576,
        };
        // The budget is a part of `max_tokens`: a quarter is left for the answer.
        let budget_tokens = budget.min(max_tokens - max_tokens / 4);
        let enabled = (budget_tokens >= LEAST_BUDGET && budget_tokens < max_tokens)
            .then_some(Thinking::Enabled { budget_tokens });
        return (enabled, None);
    }
    let adaptive = Some(Thinking::Adaptive {
        display: "summarized",
    });
    match effort {
        // Some of these models always think, and refuse to be told otherwise.
        ReasoningEffort::None => (None, Some("low")),
        ReasoningEffort::Minimal | ReasoningEffort::Low => (adaptive, Some("low")),
        ReasoningEffort::Medium => (adaptive, Some("medium")),
        ReasoningEffort::High => (adaptive, Some("high")),
        ReasoningEffort::Xhigh => (adaptive, Some("max")),
    }
}

/// Whether the API accepts this as the text of a block.
fn says_something(text: &str) -> bool {
    !text.trim().is_empty()
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Role {
    User,
    Assistant,
}

#[derive(Serialize)]
struct Message<'a> {
    role: Role,
    content: Vec<Block<'a>>,
}

/// Adds a block: neighbours of one role become one message, for roles must alternate.
fn push<'a>(messages: &mut Vec<Message<'a>>, role: Role, block: Block<'a>) {
    if messages.last().is_none_or(|last| last.role != role) {
        messages.push(Message {
            role,
            content: Vec::new(),
        });
    }
    if let Some(Message { content, .. }) = messages.last_mut() {
        // The outputs of calls must come before everything else. A message that lacks them is
        // refused, so none that was accepted is changed by this.
        let other = content.iter().position(|block| !block.is_result());
        let at = other.filter(|_| block.is_result()).unwrap_or(content.len());
        content.insert(at, block);
    }
}

fn messages(items: &[Item]) -> Vec<Message<'_>> {
    let mut messages = Vec::new();
    let mut push = |role, block| push(&mut messages, role, block);
    for item in items {
        match item {
            Item::User { content } => {
                for part in content {
                    if let Some(part) = Neutral::of(part) {
                        push(Role::User, Block::Neutral(part));
                    }
                }
            }
            Item::ToolOutput {
                call_id,
                output,
                success,
                ..
            } => push(
                Role::User,
                Block::Neutral(Neutral::ToolResult {
                    tool_use_id: id(call_id),
                    content: output,
                    is_error: !success,
                }),
            ),
            Item::Assistant { text, .. } if !says_something(text) => {}
            Item::Assistant { text, native } => push(
                Role::Assistant,
                own(native, "text").unwrap_or(Block::Neutral(Neutral::Text { text })),
            ),
            // Nobody else's reasoning can be given back to this provider.
            Item::Reasoning { native, .. } => {
                if let Some(block) = own_reasoning(native) {
                    push(Role::Assistant, block);
                }
            }
            Item::ToolCall { call, native } => push(
                Role::Assistant,
                own(native, "tool_use").unwrap_or_else(|| {
                    Block::Neutral(Neutral::ToolUse {
                        id: id(&call.call_id),
                        name: name(&call.name),
                        input: input(call),
                    })
                }),
            ),
        }
    }
    messages
}

enum Block<'a> {
    /// This wire's own form of it, as it came.
    Own(&'a Map<String, Value>),
    Neutral(Neutral<'a>),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Neutral<'a> {
    Text {
        text: &'a str,
    },
    Image {
        source: Source<'a>,
    },
    ToolUse {
        id: Cow<'a, str>,
        name: Cow<'a, str>,
        input: Value,
    },
    ToolResult {
        tool_use_id: Cow<'a, str>,
        #[serde(skip_serializing_if = "str::is_empty")]
        content: &'a str,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        is_error: bool,
    },
}

#[derive(Serialize)]
struct Source<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    media_type: &'a str,
    data: &'a str,
}

impl<'a> Neutral<'a> {
    fn of(content: &'a Content) -> Option<Self> {
        match content {
            Content::Text { text } => says_something(text).then_some(Self::Text { text }),
            Content::Image { media_type, data } => Some(Self::Image {
                source: Source {
                    kind: "base64",
                    media_type,
                    data,
                },
            }),
        }
    }
}

impl Block<'_> {
    fn is_result(&self) -> bool {
        matches!(self, Self::Neutral(Neutral::ToolResult { .. }))
    }
}

impl Serialize for Block<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let own = match self {
            Self::Own(own) => own,
            Self::Neutral(neutral) => return neutral.serialize(serializer),
        };
        let is_call = own.get("type").is_some_and(|kind| kind == "tool_use");
        let mut map = serializer.serialize_map(Some(own.len()))?;
        for (field, value) in *own {
            match value {
                // As its output names it.
                Value::String(call_id) if is_call && field == "id" => {
                    map.serialize_entry(field, &id(call_id))?;
                }
                value => map.serialize_entry(field, value)?,
            }
        }
        map.end()
    }
}

fn native(native: &Option<Native>) -> Option<(&Map<String, Value>, &str)> {
    let native = native.as_ref().filter(|native| native.wire == NAME)?;
    let map = native.value.as_object()?;
    Some((map, map.get("type")?.as_str()?))
}

fn own<'a>(own: &'a Option<Native>, kind: &str) -> Option<Block<'a>> {
    let (map, is) = native(own)?;
    (is == kind).then_some(Block::Own(map))
}

/// Thinking, and blocks invented since. Thinking without a signature is refused.
fn own_reasoning(own: &Option<Native>) -> Option<Block<'_>> {
    let (map, kind) = native(own)?;
    let signature = || map.get("signature").and_then(Value::as_str);
    let returns = kind != "thinking" || signature().is_some_and(|text| !text.is_empty());
    returns.then_some(Block::Own(map))
}

/// An id, or a name, in the characters that the API accepts. Its own always are; other providers'
/// may have others, `functions.shell:0` say.
fn accepted(text: &str) -> Cow<'_, str> {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if text.is_empty() {
        Cow::Borrowed("_")
    } else if text.chars().all(good) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(text.replace(|c| !good(c), "_"))
    }
}

fn id(call_id: &str) -> Cow<'_, str> {
    accepted(call_id)
}

fn name(name: &str) -> Cow<'_, str> {
    accepted(&name[..name.floor_char_boundary(LONGEST_NAME)])
}

/// A call's arguments as the object that the API requires. What is none, because the model wrote
/// it wrongly, is given back in the way that Anthropic's documentation gives for that.
fn input(call: &ToolCall) -> Value {
    if call.text {
        return json!({ "input": call.arguments });
    }
    match serde_json::from_str(&call.arguments) {
        Ok(object @ Value::Object(_)) => object,
        _ if call.arguments.trim().is_empty() => json!({}),
        _ => json!({ "INVALID_JSON": call.arguments }),
    }
}
