//! A prompt as the body of a request.

use std::borrow::Cow;

use codex_protocol::model::{Content, Item, Native, Prompt, ReasoningEffort};
use codex_protocol::tool::{ToolCall, ToolSpec};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

use super::{CALL_FIELDS, MESSAGE_FIELDS, NAME, is_object, made_up_id};
use crate::provider::Provider;
use crate::wire::parameters;

/// The longest id of a call that OpenAI accepts (its error text).
const LONGEST_ID: usize = 40;

/// The longest name of a function that OpenAI accepts (its description of the API).
const LONGEST_NAME: usize = 64;

pub(super) fn body(prompt: &Prompt, provider: &Provider) -> Result<Vec<u8>, serde_json::Error> {
    let openai = is_openai(provider);
    // OpenAI's reasoning models refuse the older of the names; servers that imitate the API know
    // it best, and many of them no other.
    let limit = prompt.max_output_tokens.map(|limit| limit.max(1));
    serde_json::to_vec(&Body {
        model: &prompt.model,
        stream: true,
        stream_options: StreamOptions {
            include_usage: true,
        },
        max_completion_tokens: limit.filter(|_| openai),
        max_tokens: limit.filter(|_| !openai),
        reasoning_effort: prompt.effort.filter(|_| openai),
        store: openai.then_some(false),
        prompt_cache_key: if openai { &prompt.cache_key } else { "" },
        response_format: prompt.output_schema.as_ref().map(|schema| ResponseFormat {
            kind: "json_schema",
            json_schema: JsonSchema {
                name: "output",
                schema,
                strict: true,
            },
        }),
        tool_choice: (!prompt.tools.is_empty()).then_some("auto"),
        tools: prompt.tools.iter().map(Tool::of).collect(),
        messages: messages(prompt),
    })
}

/// Whether fields that only OpenAI has can be sent: servers that imitate it may refuse them.
fn is_openai(provider: &Provider) -> bool {
    let url = &provider.base_url;
    let after_scheme = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
    let authority = after_scheme.split('/').next().unwrap_or_default();
    let host = authority.split(':').next().unwrap_or_default();
    let host = host.to_ascii_lowercase();
    provider.name == "openai" || host == "api.openai.com" || host.ends_with(".openai.azure.com")
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    stream: bool,
    stream_options: StreamOptions,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_effort: Option<ReasoningEffort>,
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<bool>,
    #[serde(skip_serializing_if = "str::is_empty")]
    prompt_cache_key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<ResponseFormat<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tool<'a>>,
    /// The last field: only its end changes from turn to turn.
    messages: Vec<Message<'a>>,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

#[derive(Serialize)]
struct ResponseFormat<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    json_schema: JsonSchema<'a>,
}

#[derive(Serialize)]
struct JsonSchema<'a> {
    name: &'static str,
    schema: &'a Value,
    strict: bool,
}

#[derive(Serialize)]
struct Tool<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    description: &'a str,
    parameters: Cow<'a, Value>,
}

impl<'a> Tool<'a> {
    fn of(tool: &'a ToolSpec) -> Self {
        Self {
            kind: "function",
            function: Function {
                name: &tool.name,
                description: &tool.description,
                parameters: parameters(&tool.input),
            },
        }
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum Message<'a> {
    Neutral(Neutral<'a>),
    Assistant(Turn<'a>),
}

#[derive(Serialize)]
#[serde(tag = "role", rename_all = "lowercase")]
enum Neutral<'a> {
    System {
        content: &'a str,
    },
    User {
        content: Said<'a>,
    },
    Tool {
        tool_call_id: Cow<'a, str>,
        content: &'a str,
    },
}

#[derive(Serialize)]
#[serde(untagged)]
enum Said<'a> {
    Text(&'a str),
    Parts(Vec<Part<'a>>),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Part<'a> {
    Text { text: &'a str },
    ImageUrl { image_url: ImageUrl },
}

#[derive(Serialize)]
struct ImageUrl {
    url: String,
}

/// The conversation. A message depends on its items alone, and once one of the person's or a
/// tool's follows, it stays the same while the conversation grows.
fn messages(prompt: &Prompt) -> Vec<Message<'_>> {
    let mut messages = Vec::new();
    if !prompt.instructions.is_empty() {
        messages.push(Message::Neutral(Neutral::System {
            content: &prompt.instructions,
        }));
    }
    let mut turn = Turn::default();
    for item in &prompt.items {
        let neutral = match item {
            Item::Assistant { text, .. } => {
                turn.texts.extend((!text.is_empty()).then_some(&**text));
                continue;
            }
            // Nobody else's reasoning can be given back to this provider.
            Item::Reasoning { native, .. } => {
                turn.fields.extend(fields(native, MESSAGE_FIELDS));
                continue;
            }
            Item::ToolCall { call, native } => {
                turn.calls.push(Call {
                    call,
                    fields: fields(native, CALL_FIELDS).collect(),
                });
                continue;
            }
            Item::User { content } => Neutral::User {
                content: Said::of(content),
            },
            Item::ToolOutput {
                call_id, output, ..
            } => Neutral::Tool {
                tool_call_id: id(call_id),
                content: output,
            },
        };
        messages.extend(std::mem::take(&mut turn).message());
        messages.push(Message::Neutral(neutral));
    }
    messages.extend(turn.message());
    messages
}

impl<'a> Said<'a> {
    /// One text as a string, which every server takes; not all take a list.
    fn of(content: &'a [Content]) -> Self {
        match content {
            [] => Self::Text(""),
            [Content::Text { text }] => Self::Text(text),
            parts => Self::Parts(parts.iter().map(Part::of).collect()),
        }
    }
}

impl<'a> Part<'a> {
    fn of(content: &'a Content) -> Self {
        match content {
            Content::Text { text } => Self::Text { text },
            Content::Image { media_type, data } => Self::ImageUrl {
                image_url: ImageUrl {
                    url: format!("data:{media_type};base64,{data}"),
                },
            },
        }
    }
}

/// What the model said, thought and called between two messages of others: one message, because
/// all of a message's calls must be answered right after it.
#[derive(Default)]
struct Turn<'a> {
    texts: Vec<&'a str>,
    /// What its reasoning holds in this wire's own form.
    fields: Vec<(&'a String, &'a Value)>,
    calls: Vec<Call<'a>>,
}

impl<'a> Turn<'a> {
    /// The message, unless it would say nothing: reasoning alone is none.
    fn message(self) -> Option<Message<'a>> {
        let says_something = !self.texts.is_empty() || !self.calls.is_empty();
        says_something.then_some(Message::Assistant(self))
    }
}

impl Serialize for Turn<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("role", "assistant")?;
        // Some servers refuse a message without the field, even where it has calls.
        let text = (!self.texts.is_empty()).then(|| self.texts.join("\n\n"));
        map.serialize_entry("content", &text)?;
        let mut written: Vec<&str> = Vec::new();
        for (name, value) in &self.fields {
            // Two pieces of reasoning in one turn: the first is the one beside the text.
            if !written.contains(&name.as_str()) {
                map.serialize_entry(name, value)?;
                written.push(name);
            }
        }
        if !self.calls.is_empty() {
            map.serialize_entry("tool_calls", &self.calls)?;
        }
        map.end()
    }
}

struct Call<'a> {
    call: &'a ToolCall,
    fields: Vec<(&'a String, &'a Value)>,
}

#[derive(Serialize)]
struct Called<'a> {
    name: Cow<'a, str>,
    arguments: Cow<'a, str>,
}

impl Serialize for Call<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &id(&self.call.call_id))?;
        map.serialize_entry("type", "function")?;
        map.serialize_entry(
            "function",
            &Called {
                name: name(&self.call.name),
                arguments: arguments(self.call),
            },
        )?;
        for (name, value) in &self.fields {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// What of an item's form on this wire goes back beside what is written anyway.
fn fields<'a>(
    native: &'a Option<Native>,
    own: &'static [&'static str],
) -> impl Iterator<Item = (&'a String, &'a Value)> {
    let native = native.as_ref().filter(|native| native.wire == NAME);
    let fields = native.and_then(|native| native.value.as_object());
    let fields = fields.into_iter().flat_map(Map::iter);
    fields.filter(move |(name, value)| !value.is_null() && !own.contains(&name.as_str()))
}

/// A call's id as it is sent, in a call and in its output alike.
fn id(call_id: &str) -> Cow<'_, str> {
    if call_id.len() <= LONGEST_ID {
        Cow::Borrowed(call_id)
    } else {
        Cow::Owned(made_up_id(call_id))
    }
}

/// A function's name in the characters that OpenAI accepts. A model may have called what was
/// never offered to it, and the conversation must not fail from then on.
fn name(name: &str) -> Cow<'_, str> {
    let name = &name[..name.floor_char_boundary(LONGEST_NAME)];
    let good = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.is_empty() {
        Cow::Borrowed("_")
    } else if name.chars().all(good) {
        Cow::Borrowed(name)
    } else {
        Cow::Owned(name.replace(|c| !good(c), "_"))
    }
}

/// A call's arguments as the text of an object. Local servers parse it and refuse the whole
/// conversation if it is none, which is how a model may have written it.
fn arguments(call: &ToolCall) -> Cow<'_, str> {
    if call.text {
        Cow::Owned(json!({ "input": call.arguments }).to_string())
    } else if is_object(&call.arguments) {
        Cow::Borrowed(&call.arguments)
    } else if call.arguments.trim().is_empty() {
        Cow::Borrowed("{}")
    } else {
        Cow::Owned(json!({ "INVALID_JSON": call.arguments }).to_string())
    }
}
