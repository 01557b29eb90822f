//! The conversation, and the trait behind which every provider's wire stands.
//!
//! Items are wire-neutral. What one provider needs back unchanged (encrypted reasoning,
//! signatures, unknown fields) travels in [`Native`], which other wires ignore.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::tool::{BoxFuture, ToolCall, ToolSpec};

/// A provider's own form of an item, to be sent back as it came.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Native {
    /// The wire it belongs to: `responses`, `chat` or `messages`.
    pub wire: String,
    /// The item as received.
    pub value: Value,
}

/// A part of a message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Content {
    /// Plain text.
    Text {
        /// The text.
        text: String,
    },
    /// An image.
    Image {
        /// Its media type, `image/png` say.
        media_type: String,
        /// The bytes, in base64.
        data: String,
    },
}

/// One thing that was said, thought, called or answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Item {
    /// What the person, or codex on the person's behalf, said.
    User {
        /// Its parts.
        content: Vec<Content>,
    },
    /// What the model said.
    Assistant {
        /// The text.
        text: String,
        /// As the provider sent it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        native: Option<Native>,
    },
    /// What the model thought, as far as it shows.
    Reasoning {
        /// The summary or text that may be shown; often empty.
        text: String,
        /// As the provider sent it, to be returned with the next request.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        native: Option<Native>,
    },
    /// A call of a tool.
    ToolCall {
        /// The call.
        #[serde(flatten)]
        call: ToolCall,
        /// As the provider sent it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        native: Option<Native>,
    },
    /// What a call gave.
    ToolOutput {
        /// Which call.
        call_id: String,
        /// What the model is told.
        output: String,
        /// Whether the call did what it was meant to.
        success: bool,
        /// Whether it answers a call of a text tool.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        text: bool,
    },
}

impl Item {
    /// A message of the person's.
    pub fn user(text: impl Into<String>) -> Self {
        Self::User {
            content: vec![Content::Text { text: text.into() }],
        }
    }
}

/// How much a model is asked to think.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReasoningEffort {
    /// Not at all.
    None,
    /// As little as possible.
    Minimal,
    /// Little.
    Low,
    /// The provider's usual.
    Medium,
    /// Much.
    High,
    /// As much as there is.
    Xhigh,
}

/// One request to a model. Everything but `items` stays the same over a session, and `items`
/// only grows, so that a provider's prompt cache keeps its hits.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prompt {
    /// The model's name.
    pub model: String,
    /// What the model is told about its work.
    pub instructions: String,
    /// The conversation.
    pub items: Vec<Item>,
    /// The tools it can call.
    pub tools: Vec<ToolSpec>,
    /// How much it should think.
    pub effort: Option<ReasoningEffort>,
    /// A JSON Schema that the last message must fit.
    pub output_schema: Option<Value>,
    /// A key that stays the same over a session, for providers that route by it.
    pub cache_key: String,
    /// The most output tokens that one answer may take, if limited.
    pub max_output_tokens: Option<u64>,
}

/// Tokens that a request took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Tokens read, the cached ones included.
    pub input_tokens: u64,
    /// Of these, read from the provider's cache.
    pub cached_input_tokens: u64,
    /// Tokens written, the reasoning included.
    pub output_tokens: u64,
    /// Of these, reasoning.
    pub reasoning_output_tokens: u64,
}

impl Usage {
    /// Adds another request's tokens.
    pub fn add(&mut self, other: Self) {
        self.input_tokens = self.input_tokens.saturating_add(other.input_tokens);
        self.cached_input_tokens = self
            .cached_input_tokens
            .saturating_add(other.cached_input_tokens);
        self.output_tokens = self.output_tokens.saturating_add(other.output_tokens);
        self.reasoning_output_tokens = self
            .reasoning_output_tokens
            .saturating_add(other.reasoning_output_tokens);
    }

    /// Tokens read and written.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.input_tokens.saturating_add(self.output_tokens)
    }
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// It is complete, or waits for tool outputs.
    Done,
    /// It reached the limit on output tokens.
    Length,
    /// The provider withheld it.
    Filtered,
}

/// What comes of a request, in order. A stream ends with exactly one `Completed`, or with an
/// error.
#[derive(Clone, Debug, PartialEq)]
pub enum ModelEvent {
    /// A piece of the message being written.
    TextDelta(String),
    /// A piece of the reasoning being shown.
    ReasoningDelta(String),
    /// An item is complete, and so is the answer that it is of: after the first one only items
    /// and `Completed` come.
    Item(Item),
    /// The request failed in a way that passes, and is made again. Every delta of this request
    /// is void; no item is, because items are handed out only when the answer is complete.
    Retrying {
        /// What failed.
        reason: String,
        /// Which attempt comes next, from 2.
        attempt: u32,
        /// How long it waits, in milliseconds.
        delay_ms: u64,
    },
    /// The answer is complete.
    Completed {
        /// Tokens taken; zero where the provider does not say.
        usage: Usage,
        /// Why it ended.
        stop: StopReason,
    },
}

/// Why a request failed for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelErrorKind {
    /// No key, or one that is not accepted.
    Auth,
    /// Too many requests, or no quota left, after all retries.
    RateLimit,
    /// The conversation is longer than the model's window.
    ContextTooLong,
    /// The provider does not accept the request.
    Rejected,
    /// The provider failed, after all retries.
    Server,
    /// It could not be reached, or the stream broke, after all retries.
    Network,
    /// It sent what is not of the protocol.
    Protocol,
    /// A recording does not fit the conversation any more.
    Replay,
}

/// A failed request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ModelError {
    /// What kind of failure.
    pub kind: ModelErrorKind,
    /// What failed, where, why, and what to do next. Never holds a key.
    pub message: String,
}

/// An answer as it comes in. Dropping it ends the request.
pub trait ModelStream: Send {
    /// The next event; `None` after `Completed`.
    fn next(&mut self) -> BoxFuture<'_, Option<Result<ModelEvent, ModelError>>>;
}

/// Something that answers prompts.
pub trait Model: Send + Sync {
    /// The provider's name in the configuration.
    fn provider(&self) -> &str;

    /// Where requests go, without credentials or query.
    fn endpoint(&self) -> &str;

    /// Starts a request. Nothing is sent before the first `next`.
    fn stream(&self, prompt: Prompt) -> Box<dyn ModelStream + '_>;
}
