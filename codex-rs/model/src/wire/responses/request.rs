//! A prompt as the body of a request.

use std::borrow::Cow;

use codex_protocol::model::{Content, Item, Native, Prompt, ReasoningEffort};
use codex_protocol::tool::{ToolInput, ToolSpec};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::NAME;
use crate::provider::Provider;
use crate::wire::parameters;

/// The least `max_output_tokens` that the API accepts (its published description).
const LEAST_OUTPUT_TOKENS: u64 = 16;

/// Families of OpenAI's models that do not reason and refuse requests that ask for reasoning.
const NOT_REASONING: &[&str] = &["gpt-3.5", "gpt-4", "chatgpt-4o"];

pub(super) fn body(prompt: &Prompt, provider: &Provider) -> Result<Vec<u8>, serde_json::Error> {
    let reasons = !NOT_REASONING
        .iter()
        .any(|family| prompt.model.starts_with(family));
    serde_json::to_vec(&Body {
        model: &prompt.model,
        instructions: &prompt.instructions,
        tools: prompt
            .tools
            .iter()
            .map(|tool| Tool::of(tool, provider.text_tools))
            .collect(),
        tool_choice: "auto",
        parallel_tool_calls: true,
        reasoning: prompt.effort.map(|effort| Reasoning {
            effort,
            summary: "auto",
        }),
        store: false,
        stream: true,
        include: if reasons {
            &["reasoning.encrypted_content"]
        } else {
            &[]
        },
        prompt_cache_key: &prompt.cache_key,
        text: prompt.output_schema.as_ref().map(|schema| Text {
            format: Format {
                kind: "json_schema",
                name: "output",
                schema,
                strict: true,
            },
        }),
        max_output_tokens: prompt
            .max_output_tokens
            .map(|limit| limit.max(LEAST_OUTPUT_TOKENS)),
        input: prompt.items.iter().filter_map(Input::of).collect(),
    })
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    instructions: &'a str,
    tools: Vec<Tool<'a>>,
    tool_choice: &'static str,
    parallel_tool_calls: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<Reasoning>,
    store: bool,
    stream: bool,
    include: &'static [&'static str],
    #[serde(skip_serializing_if = "str::is_empty")]
    prompt_cache_key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_output_tokens: Option<u64>,
    /// The last field: only its end changes from turn to turn.
    input: Vec<Input<'a>>,
}

#[derive(Serialize)]
struct Reasoning {
    effort: ReasoningEffort,
    summary: &'static str,
}

#[derive(Serialize)]
struct Text<'a> {
    format: Format<'a>,
}

#[derive(Serialize)]
struct Format<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    name: &'static str,
    schema: &'a Value,
    strict: bool,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Tool<'a> {
    Function {
        name: &'a str,
        description: &'a str,
        parameters: Cow<'a, Value>,
        /// Strict schemas would have to require every property, which tools' do not.
        strict: bool,
    },
    Custom {
        name: &'a str,
        description: &'a str,
    },
}

impl<'a> Tool<'a> {
    fn of(tool: &'a ToolSpec, text_tools: bool) -> Self {
        let (name, description) = (tool.name.as_str(), tool.description.as_str());
        match &tool.input {
            ToolInput::Text if text_tools => Self::Custom { name, description },
            input => Self::Function {
                name,
                description,
                parameters: parameters(input),
                strict: false,
            },
        }
    }
}

/// One item of the conversation.
enum Input<'a> {
    /// This wire's own form of it.
    Own(Own<'a>),
    Neutral(Neutral<'a>),
}

impl Serialize for Input<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Own(own) => own.serialize(serializer),
            Self::Neutral(neutral) => neutral.serialize(serializer),
        }
    }
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Neutral<'a> {
    Message {
        role: &'static str,
        content: Said<'a>,
    },
    FunctionCall {
        call_id: &'a str,
        name: &'a str,
        arguments: &'a str,
    },
    CustomToolCall {
        call_id: &'a str,
        name: &'a str,
        input: &'a str,
    },
    FunctionCallOutput {
        call_id: &'a str,
        output: &'a str,
    },
    CustomToolCallOutput {
        call_id: &'a str,
        output: &'a str,
    },
}

#[derive(Serialize)]
#[serde(untagged)]
enum Said<'a> {
    Parts(Vec<Part<'a>>),
    Text(&'a str),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Part<'a> {
    InputText {
        text: &'a str,
    },
    InputImage {
        image_url: String,
        detail: &'static str,
    },
}

impl<'a> Input<'a> {
    /// The item's form, or `None` where it says nothing to this provider. Depends on the item
    /// alone, so that it stays the same while the conversation grows.
    fn of(item: &'a Item) -> Option<Self> {
        let neutral = match item {
            Item::User { content } => Neutral::Message {
                role: "user",
                content: Said::Parts(content.iter().map(Part::of).collect()),
            },
            Item::Assistant { text, native } => match own(native) {
                Some(own) => return Some(Self::Own(own)),
                None if text.is_empty() => return None,
                None => Neutral::Message {
                    role: "assistant",
                    content: Said::Text(text),
                },
            },
            // Nobody else's reasoning can be given back to this provider.
            Item::Reasoning { native, .. } => {
                return own(native).filter(Own::stands_alone).map(Self::Own);
            }
            Item::ToolCall { call, native } => match own(native) {
                Some(own) => return Some(Self::Own(own)),
                None if call.text => Neutral::CustomToolCall {
                    call_id: &call.call_id,
                    name: &call.name,
                    input: &call.arguments,
                },
                None => Neutral::FunctionCall {
                    call_id: &call.call_id,
                    name: &call.name,
                    arguments: &call.arguments,
                },
            },
            Item::ToolOutput {
                call_id,
                output,
                text,
                ..
            } if *text => Neutral::CustomToolCallOutput { call_id, output },
            Item::ToolOutput {
                call_id, output, ..
            } => Neutral::FunctionCallOutput { call_id, output },
        };
        Some(Self::Neutral(neutral))
    }
}

impl<'a> Part<'a> {
    fn of(content: &'a Content) -> Self {
        match content {
            Content::Text { text } => Self::InputText { text },
            Content::Image { media_type, data } => Self::InputImage {
                image_url: format!("data:{media_type};base64,{data}"),
                detail: "auto",
            },
        }
    }
}

/// An item as it came, minus what the API refuses on the way back: fields that are null, and the
/// status of everything but messages.
struct Own<'a>(&'a Map<String, Value>);

fn own(native: &Option<Native>) -> Option<Own<'_>> {
    let native = native.as_ref().filter(|native| native.wire == NAME)?;
    native.value.as_object().map(Own)
}

impl Own<'_> {
    /// Whether it can be returned to a provider that stored nothing: reasoning without its
    /// content is a mere reference, which is refused.
    fn stands_alone(&self) -> bool {
        let filled = |field: &str| match self.0.get(field) {
            Some(Value::String(text)) => !text.is_empty(),
            Some(Value::Array(parts)) => !parts.is_empty(),
            _ => false,
        };
        self.kind() != Some("reasoning") || filled("encrypted_content") || filled("content")
    }

    fn kind(&self) -> Option<&str> {
        self.0.get("type").and_then(Value::as_str)
    }
}

impl Serialize for Own<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let keeps_status = self.kind() == Some("message");
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in self.0 {
            if !value.is_null() && (name != "status" || keeps_status) {
                map.serialize_entry(name, value)?;
            }
        }
        map.end()
    }
}
