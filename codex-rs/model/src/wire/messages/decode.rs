//! The stream of a message as model events.

use codex_http::sse::SseEvent;
use codex_protocol::model::{Item, ModelEvent, Native, StopReason, Usage};
use codex_protocol::tool::ToolCall;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::NAME;
use crate::error_body::ErrorBody;
use crate::fault::Fault;
use crate::wire::Decoder;

/// The state of one message.
#[derive(Default)]
pub(super) struct MessagesDecoder {
    blocks: Vec<Block>,
    counts: Counts,
    stop: Option<String>,
    /// Whether thinking was shown, so that the next block of it begins a paragraph.
    reasoned: bool,
}

/// A content block.
struct Block {
    index: u64,
    kind: Kind,
    /// As it began, without what its pieces add up to.
    own: Map<String, Value>,
    /// Its text, its thinking or its input, as far as it came.
    pieces: String,
    stopped: bool,
    /// Whether all of its pieces were understood.
    understood: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Thinking,
    ToolUse,
    /// `redacted_thinking`, the provider's own tools, and whatever was invented since.
    Other,
}

/// Cumulative counts: the first event and the last give them, some servers with zeros in one.
#[derive(Default)]
struct Counts {
    input: u64,
    cache_read: u64,
    cache_written: u64,
    output: u64,
    thinking: u64,
}

impl Counts {
    fn take(&mut self, usage: &Value) {
        let take = |count: &mut u64, value: &Value| {
            *count = value.as_u64().unwrap_or(0).max(*count);
        };
        take(&mut self.input, &usage["input_tokens"]);
        take(&mut self.cache_read, &usage["cache_read_input_tokens"]);
        take(
            &mut self.cache_written,
            &usage["cache_creation_input_tokens"],
        );
        take(&mut self.output, &usage["output_tokens"]);
        let details = &usage["output_tokens_details"];
        take(&mut self.thinking, &details["thinking_tokens"]);
    }

    /// The API counts what the cache read and wrote beside `input_tokens`, not within.
    fn usage(&self) -> Usage {
        let cached = self.cache_read.saturating_add(self.cache_written);
        Usage {
            input_tokens: self.input.saturating_add(cached),
            cached_input_tokens: self.cache_read,
            output_tokens: self.output,
            reasoning_output_tokens: self.thinking,
        }
    }
}

#[derive(Deserialize)]
struct Head {
    #[serde(rename = "type")]
    kind: Option<String>,
}

#[derive(Deserialize)]
struct StartEvent {
    index: u64,
    content_block: Map<String, Value>,
}

#[derive(Deserialize)]
struct DeltaEvent {
    index: u64,
    delta: Map<String, Value>,
}

#[derive(Deserialize)]
struct StopEvent {
    index: u64,
}

impl Decoder for MessagesDecoder {
    fn event(&mut self, event: &SseEvent, out: &mut Vec<ModelEvent>) -> Result<(), Fault> {
        let data = event.data.trim();
        // The end mark of OpenAI's older API, which some servers send here too.
        if data.is_empty() || data == "[DONE]" {
            return Ok(());
        }
        let head: Head = parse("an event", data)?;
        match head.kind.as_deref().unwrap_or(&event.event) {
            kind @ "message_start" => {
                let event: Value = parse(kind, data)?;
                self.counts.take(&event["message"]["usage"]);
            }
            kind @ "content_block_start" => {
                let StartEvent {
                    index,
                    content_block,
                } = parse(kind, data)?;
                self.start(index, content_block, out)?;
            }
            kind @ "content_block_delta" => {
                let DeltaEvent { index, delta } = parse(kind, data)?;
                self.delta(index, &delta, out)?;
            }
            kind @ "content_block_stop" => {
                let StopEvent { index } = parse(kind, data)?;
                self.open(index)?.stopped = true;
            }
            kind @ "message_delta" => {
                let event: Value = parse(kind, data)?;
                self.counts.take(&event["usage"]);
                if let Some(reason) = event["delta"]["stop_reason"].as_str() {
                    self.stop = Some(reason.to_owned());
                }
            }
            "message_stop" => self.complete(out)?,
            kind @ "error" => {
                let event: Value = parse(kind, data)?;
                let error = ErrorBody::from_value(&event);
                return Err(Fault::reported("the stream reports an error", &error));
            }
            _ => {}
        }
        Ok(())
    }
}

impl MessagesDecoder {
    fn open(&mut self, index: u64) -> Result<&mut Block, Fault> {
        let mut open = self.blocks.iter_mut().rev();
        open.find(|block| block.index == index && !block.stopped)
            .ok_or_else(|| {
                Fault::malformed(format!(
                    "the stream adds to block {index}, which is not open"
                ))
            })
    }

    fn start(
        &mut self,
        index: u64,
        mut own: Map<String, Value>,
        out: &mut Vec<ModelEvent>,
    ) -> Result<(), Fault> {
        if self.open(index).is_ok() {
            return Err(Fault::malformed(format!(
                "the stream begins block {index} twice"
            )));
        }
        let (kind, field) = match own.get("type").and_then(Value::as_str) {
            None | Some("") => {
                return Err(Fault::malformed("a block of the stream has no type"));
            }
            Some("text") => (Kind::Text, "text"),
            Some("thinking") => (Kind::Thinking, "thinking"),
            Some("tool_use") => (Kind::ToolUse, ""),
            Some(_) => (Kind::Other, ""),
        };
        // Blocks begin empty, yet some servers begin them with all that they hold.
        let begun = match own.get_mut(field).map(Value::take) {
            Some(Value::String(text)) => text,
            _ => String::new(),
        };
        self.blocks.push(Block {
            index,
            kind,
            own,
            pieces: String::new(),
            stopped: false,
            understood: true,
        });
        self.grow(index, begun, out)
    }

    fn delta(
        &mut self,
        index: u64,
        delta: &Map<String, Value>,
        out: &mut Vec<ModelEvent>,
    ) -> Result<(), Fault> {
        let text = |field: &str| {
            let text = delta.get(field).and_then(Value::as_str);
            text.map(str::to_owned).ok_or_else(|| {
                Fault::malformed(format!(
                    "a piece of the stream's block {index} has no {field}"
                ))
            })
        };
        let block = self.open(index)?;
        let (piece, fits) = match delta.get("type").and_then(Value::as_str) {
            Some("text_delta") => (text("text")?, block.kind == Kind::Text),
            Some("thinking_delta") => (text("thinking")?, block.kind == Kind::Thinking),
            Some("input_json_delta") => (
                text("partial_json")?,
                matches!(block.kind, Kind::ToolUse | Kind::Other),
            ),
            Some("signature_delta") => {
                block
                    .own
                    .insert("signature".to_owned(), Value::String(text("signature")?));
                (String::new(), block.kind == Kind::Thinking)
            }
            // Citations, and whatever was invented since: a block that is known is whole without.
            Some(_) => {
                block.understood = false;
                return Ok(());
            }
            None => (String::new(), false),
        };
        if !fits {
            return Err(Fault::malformed(format!(
                "a piece of the stream does not fit its block {index}"
            )));
        }
        self.grow(index, piece, out)
    }

    fn grow(&mut self, index: u64, piece: String, out: &mut Vec<ModelEvent>) -> Result<(), Fault> {
        if piece.is_empty() {
            return Ok(());
        }
        let reasoned = self.reasoned;
        let block = self.open(index)?;
        let begins = block.pieces.is_empty();
        block.pieces.push_str(&piece);
        match block.kind {
            Kind::Text => out.push(ModelEvent::TextDelta(piece)),
            Kind::Thinking => {
                if begins && reasoned {
                    out.push(ModelEvent::ReasoningDelta("\n\n".to_owned()));
                }
                out.push(ModelEvent::ReasoningDelta(piece));
                self.reasoned = true;
            }
            Kind::ToolUse | Kind::Other => {}
        }
        Ok(())
    }

    fn complete(&mut self, out: &mut Vec<ModelEvent>) -> Result<(), Fault> {
        let stop = match self.stop.as_deref() {
            None | Some("end_turn" | "tool_use" | "stop_sequence") => StopReason::Done,
            Some("refusal") => StopReason::Filtered,
            // `max_tokens`, `model_context_window_exceeded`, `pause_turn` (of tools that the
            // provider runs, which are never asked for), or a limit invented since.
            Some(_) => StopReason::Length,
        };
        let blocks = std::mem::take(&mut self.blocks);
        if stop == StopReason::Done && blocks.iter().any(|block| !block.stopped) {
            return Err(Fault::malformed(
                "the message is complete, but one of its blocks is not",
            ));
        }
        let count = blocks.len();
        let mut items = Vec::new();
        for (at, block) in blocks.into_iter().enumerate() {
            items.extend(block.item(stop, at + 1 == count)?);
        }
        forget_last_thinking(&mut items);
        out.extend(items.into_iter().map(ModelEvent::Item));
        out.push(ModelEvent::Completed {
            usage: self.counts.usage(),
            stop,
        });
        Ok(())
    }
}

/// The API refuses messages that end in thinking, as an answer does that broke off in it.
fn forget_last_thinking(items: &mut Vec<Item>) {
    let is_thinking = |own: &Native| {
        let kind = own.value["type"].as_str();
        matches!(kind, Some("thinking" | "redacted_thinking"))
    };
    let mut at = items.len();
    while at > 0 {
        at -= 1;
        let Item::Reasoning { text, native } = &mut items[at] else {
            return;
        };
        if native.as_ref().is_some_and(is_thinking) {
            *native = None;
        }
        match (native, text.is_empty()) {
            (None, true) => {
                items.remove(at);
            }
            (None, false) => {}
            (Some(_), _) => return,
        }
    }
}

impl Block {
    /// What of it goes into the conversation, if anything. `last` says whether it is the
    /// message's last block: the one that a limit cut short, though the API ends it in good order.
    fn item(mut self, stop: StopReason, last: bool) -> Result<Option<Item>, Fault> {
        let broke_off = stop != StopReason::Done;
        Ok(match self.kind {
            // The API refuses blank texts.
            Kind::Text if self.pieces.trim().is_empty() => None,
            Kind::Text => {
                // They are incomplete without their pieces, and not required.
                self.own.shift_remove("citations");
                Some(Item::Assistant {
                    text: self.pieces.clone(),
                    native: self.native("text", &["type", "text"]),
                })
            }
            Kind::Thinking => {
                let signature = self.own.get("signature").and_then(Value::as_str);
                let signed = signature.is_some_and(|text| !text.is_empty());
                let text = self.pieces.clone();
                let native = if signed {
                    self.native("thinking", &[])
                } else {
                    None
                };
                (native.is_some() || !text.is_empty()).then_some(Item::Reasoning { text, native })
            }
            Kind::ToolUse => {
                let whole = self.stopped && !(broke_off && last) && stop != StopReason::Filtered;
                let input = self.input();
                if !whole || (broke_off && input.is_none()) {
                    return Ok(None);
                }
                let call = ToolCall {
                    call_id: self.required("id")?,
                    name: self.required("name")?,
                    arguments: match (&input, self.pieces.is_empty()) {
                        (Some(input), true) => input.to_string(),
                        _ => self.pieces.clone(),
                    },
                    text: false,
                };
                let native = input.and_then(|input| {
                    self.own.insert("input".to_owned(), input);
                    self.native("", &["type", "id", "name", "input"])
                });
                Some(Item::ToolCall { call, native })
            }
            Kind::Other => {
                if !self.pieces.is_empty() {
                    match self.input() {
                        Some(input) => self.own.insert("input".to_owned(), input),
                        None => return Ok(None),
                    };
                }
                let native = self.understood.then(|| self.native("", &[])).flatten();
                native.map(|native| Item::Reasoning {
                    text: String::new(),
                    native: Some(native),
                })
            }
        })
    }

    /// A call's input, if it is the object that it has to be.
    fn input(&self) -> Option<Value> {
        if !self.pieces.trim().is_empty() {
            let input = serde_json::from_str(&self.pieces).ok();
            return input.filter(Value::is_object);
        }
        let begun = self.own.get("input").filter(|input| input.is_object());
        Some(begun.cloned().unwrap_or_else(|| Map::new().into()))
    }

    fn required(&self, field: &str) -> Result<String, Fault> {
        let text = self.own.get(field).and_then(Value::as_str);
        text.filter(|text| !text.is_empty())
            .map(str::to_owned)
            .ok_or_else(|| Fault::malformed(format!("a tool call of the stream has no {field}")))
    }

    /// The block as the provider wants it back, its pieces in `field`. There is none of a block
    /// that is not whole, nor of one whose fields are but the `plain` ones, which the item holds.
    fn native(self, field: &str, plain: &[&str]) -> Option<Native> {
        let is_plain =
            |(name, value): (&String, &Value)| value.is_null() || plain.contains(&name.as_str());
        if !self.stopped || self.own.iter().all(is_plain) {
            return None;
        }
        let mut value = self.own;
        if !field.is_empty() {
            value.insert(field.to_owned(), Value::String(self.pieces));
        }
        Some(Native {
            wire: NAME.to_owned(),
            value: Value::Object(value),
        })
    }
}

/// Reads an event whose kind is known.
fn parse<T: DeserializeOwned>(kind: &str, data: &str) -> Result<T, Fault> {
    serde_json::from_str(data)
        .map_err(|error| Fault::malformed(format!("{kind} of the stream is malformed: {error}")))
}
