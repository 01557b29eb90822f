//! The stream of a response as model events.

use codex_http::sse::SseEvent;
use codex_protocol::model::{Item, ModelEvent, Native, StopReason, Usage};
use codex_protocol::tool::ToolCall;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::NAME;
use crate::error_body::ErrorBody;
use crate::fault::Fault;
use crate::wire::Decoder;

/// The state of one response.
#[derive(Default)]
pub(super) struct ResponsesDecoder {
    /// Items that began and did not end.
    open: Vec<Open>,
    done: Vec<Done>,
    /// Whether reasoning was shown, so that its next part begins a paragraph.
    reasoned: bool,
}

/// An item that began and did not end, with the pieces of its arguments.
struct Open {
    place: Place,
    pieces: String,
}

/// Which item an event is about. Servers differ in which of the two they send, and some change
/// an item's id while it is streamed.
#[derive(Deserialize)]
struct Place {
    output_index: Option<u64>,
    item_id: Option<String>,
}

impl Place {
    fn is(&self, other: &Self) -> bool {
        match (self.output_index, other.output_index) {
            (Some(own), Some(other)) => own == other,
            _ => self.item_id.is_some() && self.item_id == other.item_id,
        }
    }
}

struct Done {
    item: Item,
    status: Status,
}

/// What an item says of itself.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Status {
    Completed,
    /// Nothing: reasoning never does, and some servers' other items don't.
    Unsaid,
    Unfinished,
}

#[derive(Deserialize)]
struct Head {
    #[serde(rename = "type")]
    kind: Option<String>,
}

#[derive(Deserialize)]
struct Delta {
    delta: String,
}

#[derive(Deserialize)]
struct PieceEvent {
    #[serde(flatten)]
    place: Place,
    delta: String,
}

#[derive(Deserialize)]
struct WholeEvent {
    #[serde(flatten)]
    place: Place,
    #[serde(alias = "input")]
    arguments: Option<String>,
}

#[derive(Deserialize)]
struct ItemEvent {
    output_index: Option<u64>,
    item: Value,
}

impl ItemEvent {
    fn place(&self) -> Place {
        Place {
            output_index: self.output_index,
            item_id: self.item["id"].as_str().map(str::to_owned),
        }
    }
}

#[derive(Deserialize)]
struct EndEvent {
    response: Ended,
}

#[derive(Deserialize)]
struct Ended {
    #[serde(default)]
    output: Option<Vec<Value>>,
    #[serde(default)]
    usage: Value,
    #[serde(default)]
    incomplete_details: Value,
}

impl Decoder for ResponsesDecoder {
    fn event(&mut self, event: &SseEvent, out: &mut Vec<ModelEvent>) -> Result<(), Fault> {
        let data = event.data.trim();
        // The end mark of the older API, which some servers send here too.
        if data.is_empty() || data == "[DONE]" {
            return Ok(());
        }
        let head: Head = parse("an event", data)?;
        match head.kind.as_deref().unwrap_or(&event.event) {
            kind @ ("response.output_text.delta" | "response.refusal.delta") => {
                let Delta { delta } = parse(kind, data)?;
                out.push(ModelEvent::TextDelta(delta));
            }
            kind @ ("response.reasoning_summary_text.delta" | "response.reasoning_text.delta") => {
                let Delta { delta } = parse(kind, data)?;
                self.reasoned = true;
                out.push(ModelEvent::ReasoningDelta(delta));
            }
            "response.reasoning_summary_part.added" if self.reasoned => {
                out.push(ModelEvent::ReasoningDelta("\n\n".to_owned()));
            }
            kind @ "response.output_item.added" => {
                let event: ItemEvent = parse(kind, data)?;
                self.open.push(Open {
                    place: event.place(),
                    pieces: String::new(),
                });
            }
            kind @ ("response.function_call_arguments.delta"
            | "response.custom_tool_call_input.delta") => {
                let event: PieceEvent = parse(kind, data)?;
                if let Some(open) = self.find(&event.place) {
                    open.pieces.push_str(&event.delta);
                }
            }
            kind @ ("response.function_call_arguments.done"
            | "response.custom_tool_call_input.done") => {
                let event: WholeEvent = parse(kind, data)?;
                if let (Some(open), Some(whole)) = (self.find(&event.place), event.arguments) {
                    open.pieces = whole;
                }
            }
            kind @ "response.output_item.done" => {
                let event: ItemEvent = parse(kind, data)?;
                let place = event.place();
                let at = self.open.iter().position(|open| open.place.is(&place));
                let pieces = at.map(|at| self.open.remove(at).pieces);
                self.done
                    .push(done(event.item, pieces.unwrap_or_default())?);
            }
            kind @ "response.completed" => {
                let EndEvent { response } = parse(kind, data)?;
                self.complete(response, StopReason::Done, out)?;
            }
            kind @ "response.incomplete" => {
                let EndEvent { response } = parse(kind, data)?;
                let stop = match response.incomplete_details["reason"].as_str() {
                    Some("content_filter") => StopReason::Filtered,
                    // `max_output_tokens`, or a limit invented since.
                    _ => StopReason::Length,
                };
                self.complete(response, stop, out)?;
            }
            kind @ ("response.failed" | "response.cancelled") => {
                let event: Value = parse(kind, data)?;
                let error = ErrorBody::from_value(&event["response"]["error"]);
                return Err(Fault::reported("the response failed", &error));
            }
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

impl ResponsesDecoder {
    fn find(&mut self, place: &Place) -> Option<&mut Open> {
        self.open.iter_mut().find(|open| open.place.is(place))
    }

    fn complete(
        &mut self,
        response: Ended,
        stop: StopReason,
        out: &mut Vec<ModelEvent>,
    ) -> Result<(), Fault> {
        let output = response.output.unwrap_or_default();
        // The last event repeats every item; some servers send some of them nowhere else.
        if output.len() > self.done.len() {
            self.open.clear();
            self.done = output
                .into_iter()
                .map(|item| done(item, String::new()))
                .collect::<Result<_, _>>()?;
        }
        let mut done = std::mem::take(&mut self.done);
        if stop == StopReason::Done {
            let unfinished = |done: &Done| {
                done.status == Status::Unfinished && matches!(done.item, Item::ToolCall { .. })
            };
            if !self.open.is_empty() || done.iter().any(unfinished) {
                return Err(Fault::malformed(
                    "the response is complete, but one of its items is not",
                ));
            }
        } else {
            retain_finished(&mut done);
        }
        out.extend(done.into_iter().map(|done| ModelEvent::Item(done.item)));
        out.push(ModelEvent::Completed {
            usage: usage(&response.usage),
            stop,
        });
        Ok(())
    }
}

/// What of a response that broke off can stay in the conversation: no call that is not whole, a
/// message as far as it came, and no reasoning whose item is missing, which the API would refuse.
fn retain_finished(done: &mut Vec<Done>) {
    done.retain_mut(|done| match &mut done.item {
        Item::Assistant { native, .. } => {
            if done.status != Status::Completed {
                *native = None;
            }
            true
        }
        Item::ToolCall { .. } => done.status == Status::Completed,
        _ => done.status != Status::Unfinished,
    });
    while matches!(
        done.last(),
        Some(Done {
            item: Item::Reasoning { .. },
            ..
        })
    ) {
        done.pop();
    }
}

/// Reads an event whose kind is known.
fn parse<T: DeserializeOwned>(kind: &str, data: &str) -> Result<T, Fault> {
    serde_json::from_str(data)
        .map_err(|error| Fault::malformed(format!("{kind} of the stream is malformed: {error}")))
}

/// An item that ended. `pieces` are its arguments as they were streamed, for servers that do not
/// repeat them.
fn done(mut value: Value, pieces: String) -> Result<Done, Fault> {
    let text_field = |value: &Value, field: &str| {
        let text = value[field].as_str().map(str::to_owned);
        text.filter(|text| !text.is_empty())
            .ok_or_else(|| Fault::malformed(format!("a tool call of the stream has no {field}")))
    };
    let kind = value["type"].as_str().unwrap_or_default().to_owned();
    let status = match &value["status"] {
        Value::Null => Status::Unsaid,
        Value::String(status) if status == "completed" => Status::Completed,
        _ => Status::Unfinished,
    };
    let item = match kind.as_str() {
        "message" => Item::Assistant {
            text: joined(&value["content"], &["text", "refusal"], ""),
            native: native(value),
        },
        "function_call" | "custom_tool_call" => {
            let text = kind == "custom_tool_call";
            let field = if text { "input" } else { "arguments" };
            let call = ToolCall {
                call_id: text_field(&value, "call_id")?,
                name: text_field(&value, "name")?,
                arguments: match &value[field] {
                    Value::String(whole) if !whole.is_empty() => whole.clone(),
                    object @ Value::Object(_) => object.to_string(),
                    _ => pieces,
                },
                text,
            };
            value[field] = Value::String(call.arguments.clone());
            Item::ToolCall {
                call,
                native: native(value),
            }
        }
        "" => {
            return Err(Fault::malformed("an item of the stream has no type"));
        }
        // Reasoning, and whatever was invented since: reasoning that is followed by an item which
        // does not come back is refused, so those go back as they came.
        _ => {
            let mut text = joined(&value["summary"], &["text"], "\n\n");
            if text.is_empty() && kind == "reasoning" {
                text = joined(&value["content"], &["text"], "\n\n");
            }
            Item::Reasoning {
                text,
                native: native(value),
            }
        }
    };
    Ok(Done { item, status })
}

fn native(value: Value) -> Option<Native> {
    Some(Native {
        wire: NAME.to_owned(),
        value,
    })
}

/// The texts of a list of parts.
fn joined(parts: &Value, fields: &[&str], separator: &str) -> String {
    let parts = parts.as_array().map(Vec::as_slice).unwrap_or_default();
    let texts: Vec<&str> = parts
        .iter()
        .filter_map(|part| fields.iter().find_map(|field| part[*field].as_str()))
        .collect();
    texts.join(separator)
}

fn usage(value: &Value) -> Usage {
    let count = |value: &Value| value.as_u64().unwrap_or(0);
    Usage {
        input_tokens: count(&value["input_tokens"]),
        cached_input_tokens: count(&value["input_tokens_details"]["cached_tokens"]),
        output_tokens: count(&value["output_tokens"]),
        reasoning_output_tokens: count(&value["output_tokens_details"]["reasoning_tokens"]),
    }
}
