//! What a wire is. To add one: a module here, and its line in [`wire_for`].

pub(crate) mod chat;
pub(crate) mod messages;
pub(crate) mod responses;
#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod stream_tests;

use std::borrow::Cow;

use codex_http::sse::SseEvent;
use codex_protocol::model::{ModelEvent, Prompt};
use codex_protocol::tool::ToolInput;
use serde_json::{Value, json};

use crate::fault::Fault;
use crate::provider::{Provider, WireApi};

/// How a key is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyHeader {
    /// The header's name, in lower case.
    pub(crate) name: &'static str,
    /// What stands before the key.
    pub(crate) prefix: &'static str,
}

/// One provider API, as pure functions. Sending, retries, time and limits are the engine's.
pub(crate) trait Wire: Send + Sync {
    /// What is appended to the base URL, without a slash before it.
    fn path(&self) -> &'static str;

    /// The same, where it depends on the base URL.
    fn path_under(&self, _base_url: &str) -> &'static str {
        self.path()
    }

    /// How the key is sent.
    fn key_header(&self) -> KeyHeader;

    /// Headers of every request, such as the API's version.
    fn headers(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }

    /// The request's body. What the conversation's growth changes comes last, and an item is
    /// written the same whatever follows it, so that the provider's prompt cache keeps its hits.
    ///
    /// # Errors
    /// When something of the prompt cannot be written as JSON.
    fn body(&self, prompt: &Prompt, provider: &Provider) -> Result<Vec<u8>, serde_json::Error>;

    /// A decoder for one response.
    fn decoder(&self) -> Box<dyn Decoder>;
}

/// The state of one response's stream.
///
/// What it appends: deltas as they come, [`ModelEvent::Item`] for whole items only, and one
/// [`ModelEvent::Completed`] as the last thing. Never [`ModelEvent::Retrying`]. The engine keeps
/// items back until `Completed`, and asks nothing more after it or after an error. The engine
/// also limits the bytes of a response, so a decoder may keep what it was given.
pub(crate) trait Decoder: Send {
    /// Takes the next event.
    ///
    /// # Errors
    /// When the event reports a failure, or is not of this wire.
    fn event(&mut self, event: &SseEvent, out: &mut Vec<ModelEvent>) -> Result<(), Fault>;

    /// The stream ended in the way HTTP wants it, without `Completed`.
    ///
    /// # Errors
    /// [`Fault::cut`], unless the wire allows an answer to end like this.
    fn end(&mut self, out: &mut Vec<ModelEvent>) -> Result<(), Fault> {
        let _ = out;
        Err(Fault::cut())
    }
}

/// The wire of that name, if it is built in.
pub(crate) fn wire_for(api: WireApi) -> Option<&'static dyn Wire> {
    match api {
        WireApi::Responses => Some(&responses::Responses),
        WireApi::Chat => Some(&chat::Chat),
        WireApi::Messages => Some(&messages::Messages),
    }
}

/// What a tool takes, as the JSON Schema of an object: a text tool becomes a function with one
/// string, `input`, for providers that have no text tools.
pub(crate) fn parameters(input: &ToolInput) -> Cow<'_, Value> {
    match input {
        ToolInput::Json(schema) => Cow::Borrowed(schema),
        ToolInput::Text => Cow::Owned(json!({
            "type": "object",
            "properties": { "input": { "type": "string" } },
            "required": ["input"],
            "additionalProperties": false,
        })),
    }
}
