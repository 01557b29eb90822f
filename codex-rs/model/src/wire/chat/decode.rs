//! The stream of an answer as model events.

use codex_http::sse::SseEvent;
use codex_protocol::model::{Item, ModelErrorKind, ModelEvent, Native, StopReason, Usage};
use serde_json::{Map, Value, json};

use super::calls::Calls;
use super::{CALL_FIELDS, MESSAGE_FIELDS, NAME};
use crate::error_body::ErrorBody;
use crate::fault::{Advice, Fault, Retry};
use crate::wire::Decoder;

/// Fields in which servers stream reasoning, in the order in which they are shown: a server that
/// sends several sends the same in each.
const REASONING: &[&str] = &["reasoning_content", "reasoning", "reasoning_text"];

/// Fields of a list's entry that come in pieces: of OpenRouter's `reasoning_details` and
/// LiteLLM's `thinking_blocks`. Others, such as `format`, come whole with every piece.
const IN_PIECES: &[&str] = &["text", "summary", "data", "thinking", "signature"];

/// The bytes, as JSON and without growing texts, that the unknown fields of one answer may take.
/// Honest ones take some hundred kilobytes; parsed, JSON may be forty times as large.
const MOST_EXTRA_BYTES: usize = 2 * 1024 * 1024;

/// The state of one answer.
#[derive(Default)]
pub(super) struct ChatDecoder {
    /// Tells this answer from others.
    seed: String,
    text: String,
    reasoning: String,
    /// What goes back with the message: its fields that belong to no item.
    extra: Map<String, Value>,
    extra_bytes: usize,
    calls: Calls,
    finish: Option<StopReason>,
    usage: Usage,
}

impl Decoder for ChatDecoder {
    fn event(&mut self, event: &SseEvent, out: &mut Vec<ModelEvent>) -> Result<(), Fault> {
        let data = event.data.trim();
        if data.is_empty() {
            return Ok(());
        }
        if data == "[DONE]" {
            return self.end(out);
        }
        let parsed: Result<Value, _> = serde_json::from_str(data);
        if event.event == "error" {
            let body = ErrorBody::parse(data.as_bytes());
            return Err(reported(&body, &parsed.unwrap_or_default()));
        }
        let chunk = parsed.map_err(|error| {
            Fault::malformed(format!("a chunk of the stream is malformed: {error}"))
        })?;
        if !chunk.is_object() {
            return Err(Fault::malformed("a chunk of the stream is no object"));
        }
        if !chunk["error"].is_null() || chunk["object"] == "error" {
            return Err(reported(&ErrorBody::from_value(&chunk), &chunk));
        }
        self.chunk(&chunk, out)
    }

    /// Not every server sends the end mark, but all say why they finish.
    fn end(&mut self, out: &mut Vec<ModelEvent>) -> Result<(), Fault> {
        let Some(stop) = self.finish else {
            return Err(Fault::cut());
        };
        let state = std::mem::take(self);
        if !state.reasoning.is_empty() || !state.extra.is_empty() {
            out.push(ModelEvent::Item(Item::Reasoning {
                text: state.reasoning,
                native: (!state.extra.is_empty()).then(|| Native {
                    wire: NAME.to_owned(),
                    value: Value::Object(state.extra),
                }),
            }));
        }
        if !state.text.is_empty() {
            out.push(ModelEvent::Item(Item::Assistant {
                text: state.text,
                native: None,
            }));
        }
        // Nothing marks a call's end, so of an answer that broke off none can be trusted.
        if stop == StopReason::Done {
            // A conversation grows, so even an answer that repeats another follows a longer prompt.
            let seed = format!("{}/{}", state.seed, state.usage.input_tokens);
            let calls = state.calls.finish(&seed)?;
            out.extend(calls.into_iter().map(ModelEvent::Item));
        }
        out.push(ModelEvent::Completed {
            usage: state.usage,
            stop,
        });
        Ok(())
    }
}

impl ChatDecoder {
    fn chunk(&mut self, chunk: &Value, out: &mut Vec<ModelEvent>) -> Result<(), Fault> {
        if self.seed.is_empty() {
            let id = chunk["id"].as_str().unwrap_or_default();
            self.seed = format!("{id}/{}", chunk["created"]);
        }
        if chunk["usage"].is_object() {
            self.usage = usage(&chunk["usage"]);
        }
        let choices = match &chunk["choices"] {
            Value::Array(choices) => choices.as_slice(),
            Value::Null => &[],
            _ => {
                return Err(Fault::malformed(
                    "the choices of a chunk of the stream are no list",
                ));
            }
        };
        // One was asked for.
        let Some(choice) = choices
            .iter()
            .find(|choice| choice["index"].as_u64().unwrap_or(0) == 0)
        else {
            return Ok(());
        };
        if choice["usage"].is_object() {
            self.usage = usage(&choice["usage"]);
        }
        if let Some(delta) = choice["delta"].as_object() {
            self.delta(delta, out)?;
        }
        if let Some(reason) = choice["finish_reason"]
            .as_str()
            .filter(|reason| !reason.is_empty())
        {
            let stop = stop(reason)?;
            // Some servers send a plain `stop` after the reason that counts.
            if self.finish.is_none_or(|finish| finish == StopReason::Done) {
                self.finish = Some(stop);
            }
        }
        Ok(())
    }

    fn delta(
        &mut self,
        delta: &Map<String, Value>,
        out: &mut Vec<ModelEvent>,
    ) -> Result<(), Fault> {
        let shown = REASONING.iter().find_map(|field| {
            let text = delta.get(*field)?.as_str()?;
            (!text.is_empty()).then_some(text)
        });
        if let Some(text) = shown {
            self.reason(text, out);
        }
        match delta.get("content") {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) => self.say(text, out),
            Some(Value::Array(parts)) => self.parts(parts, out),
            Some(_) => {
                return Err(Fault::malformed(
                    "the content of a chunk of the stream is no text",
                ));
            }
        }
        if let Some(text) = delta.get("refusal").and_then(Value::as_str) {
            self.say(text, out);
        }
        match delta.get("tool_calls") {
            None | Some(Value::Null) => {}
            Some(Value::Array(fragments)) => {
                for fragment in fragments {
                    let Some(fields) = fragment.as_object() else {
                        return Err(Fault::malformed("a tool call of the stream is no object"));
                    };
                    let mut extra = Map::new();
                    for (name, value) in unknown(fields, CALL_FIELDS) {
                        self.keep(merge(&mut extra, name, value))?;
                    }
                    self.calls.add(fragment, extra)?;
                }
            }
            Some(_) => return Err(Fault::malformed("the tool calls of the stream are no list")),
        }
        for (name, value) in unknown(delta, MESSAGE_FIELDS) {
            let added = merge(&mut self.extra, name, value);
            self.keep(added)?;
        }
        if let Some(call) = delta.get("function_call").filter(|call| call.is_object()) {
            // The form before there were tools.
            self.calls
                .add(&json!({ "index": 0, "function": call }), Map::new())?;
        }
        Ok(())
    }

    /// Content as a list, which Mistral's reasoning models send.
    fn parts(&mut self, parts: &[Value], out: &mut Vec<ModelEvent>) {
        for part in parts {
            if let Some(text) = part["text"].as_str() {
                self.say(text, out);
            }
            for thought in part["thinking"].as_array().into_iter().flatten() {
                if let Some(text) = thought["text"].as_str() {
                    self.reason(text, out);
                }
            }
        }
    }

    fn say(&mut self, text: &str, out: &mut Vec<ModelEvent>) {
        if !text.is_empty() {
            self.text.push_str(text);
            out.push(ModelEvent::TextDelta(text.to_owned()));
        }
    }

    fn reason(&mut self, text: &str, out: &mut Vec<ModelEvent>) {
        if !text.is_empty() {
            self.reasoning.push_str(text);
            out.push(ModelEvent::ReasoningDelta(text.to_owned()));
        }
    }

    /// Counts what was kept of unknown fields.
    fn keep(&mut self, bytes: usize) -> Result<(), Fault> {
        self.extra_bytes = self.extra_bytes.saturating_add(bytes);
        if self.extra_bytes <= MOST_EXTRA_BYTES {
            return Ok(());
        }
        Err(Fault::new(
            ModelErrorKind::Protocol,
            format!("the unknown fields of the answer are larger than {MOST_EXTRA_BYTES} bytes"),
            Retry::Never,
            Advice::BaseUrl,
        ))
    }
}

fn unknown<'a>(
    fields: &'a Map<String, Value>,
    known: &'static [&'static str],
) -> impl Iterator<Item = (&'a String, &'a Value)> {
    let fields = fields.iter();
    fields.filter(|(name, value)| !value.is_null() && !known.contains(&name.as_str()))
}

/// Adds a delta's field to what came before, as OpenAI's own libraries do: texts and lists grow,
/// and pieces of a list's entry with one `index` are one entry. Gives the bytes that were added,
/// but for those of a text that grew.
fn merge(fields: &mut Map<String, Value>, name: &str, value: &Value) -> usize {
    match (fields.get_mut(name), value) {
        (Some(Value::String(text)), Value::String(piece)) => {
            text.push_str(piece);
            0
        }
        (Some(Value::Object(own)), Value::Object(new)) => {
            let added = new.iter().map(|(name, value)| set(own, name, value));
            added.sum()
        }
        (Some(Value::Array(list)), Value::Array(more)) => more
            .iter()
            .map(|entry| match (list.last_mut(), entry) {
                (Some(Value::Object(last)), Value::Object(piece)) if continues(last, piece) => {
                    let added = piece.iter().map(|(name, value)| grow(last, name, value));
                    added.sum()
                }
                _ => {
                    list.push(entry.clone());
                    entry.to_string().len()
                }
            })
            .sum(),
        _ => set(fields, name, value),
    }
}

/// Whether an entry of a list is the next piece of the one before.
fn continues(last: &Map<String, Value>, piece: &Map<String, Value>) -> bool {
    piece.get("index").is_some_and(Value::is_u64)
        && last.get("index") == piece.get("index")
        && last.get("type") == piece.get("type")
}

/// Adds a field to an entry of a list.
fn grow(entry: &mut Map<String, Value>, name: &str, value: &Value) -> usize {
    match (entry.get_mut(name), value) {
        (_, Value::Null) => 0,
        (Some(Value::String(text)), Value::String(piece)) if IN_PIECES.contains(&name) => {
            text.push_str(piece);
            0
        }
        _ => set(entry, name, value),
    }
}

/// Sets a field, which costs nothing where it has that value already.
fn set(fields: &mut Map<String, Value>, name: &str, value: &Value) -> usize {
    if fields.get(name) == Some(value) {
        return 0;
    }
    fields.insert(name.to_owned(), value.clone());
    name.len() + value.to_string().len()
}

/// A failure that the stream itself reports. Some servers put the HTTP status into it that they
/// could not send any more.
fn reported(body: &ErrorBody, chunk: &Value) -> Fault {
    let code = chunk["error"]["code"]
        .as_u64()
        .or_else(|| chunk["code"].as_u64());
    match code.and_then(|code| u16::try_from(code).ok()) {
        Some(status @ 400..600) => Fault::status(status, body, None),
        _ => Fault::reported("the stream reports an error", body),
    }
}

/// What a finish reason means. Beside OpenAI's own: Mistral's and Gemini's, then the failures of
/// OpenRouter, DeepSeek, Zhipu and vLLM. Whatever else there is ends an answer well.
fn stop(reason: &str) -> Result<StopReason, Fault> {
    Ok(match reason.to_ascii_lowercase().as_str() {
        "length" | "max_tokens" | "model_length" => StopReason::Length,
        "content_filter" | "safety" | "recitation" => StopReason::Filtered,
        "error" | "insufficient_system_resource" | "network_error" | "abort" => {
            return Err(Fault::new(
                ModelErrorKind::Server,
                format!("the answer broke off: {reason}"),
                Retry::After(None),
                Advice::Later,
            ));
        }
        _ => StopReason::Done,
    })
}

fn usage(value: &Value) -> Usage {
    let count = |value: &Value| value.as_u64().unwrap_or(0);
    let cached = &value["prompt_tokens_details"]["cached_tokens"];
    Usage {
        input_tokens: count(&value["prompt_tokens"]),
        cached_input_tokens: match cached {
            // DeepSeek's name for it.
            Value::Null => count(&value["prompt_cache_hit_tokens"]),
            cached => count(cached),
        },
        output_tokens: count(&value["completion_tokens"]),
        reasoning_output_tokens: count(&value["completion_tokens_details"]["reasoning_tokens"]),
    }
}
