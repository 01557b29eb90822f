//! The OpenAI Responses API's stream (API reference, "Streaming events").

use serde_json::{Value, json};

use super::{CREATED, Ending, Stream};
use crate::item::{Kind, pieces};
use crate::sse::Event;

/// The real API pads deltas with a random text of this field against traffic analysis.
const OBFUSCATION: &str = "hQ3vLm";

/// Events numbered in the order they are sent.
#[derive(Default)]
struct Numbered {
    events: Vec<Event>,
}

impl Numbered {
    /// Adds an event of type `kind`; `fields` is the rest of its object.
    fn push(&mut self, kind: &str, fields: Value) {
        let mut data = json!({ "type": kind, "sequence_number": self.events.len() });
        if let (Value::Object(data), Value::Object(fields)) = (&mut data, fields) {
            data.extend(fields);
        }
        self.events.push(Event::typed(&data));
    }
}

pub(super) fn events(stream: &Stream<'_>) -> Vec<Event> {
    let mut out = Numbered::default();
    let begun = response(stream, "in_progress", &[]);
    out.push("response.created", json!({ "response": begun }));
    out.push("response.in_progress", json!({ "response": begun }));

    let mut output = Vec::new();
    for (index, item) in stream.items.iter().enumerate() {
        output.push(push_item(&mut out, stream, index, &item.kind));
    }

    let (kind, status) = match stream.ending {
        Ending::Complete => ("response.completed", "completed"),
        Ending::OutOfTokens => ("response.incomplete", "incomplete"),
        Ending::Failed { .. } => ("response.failed", "failed"),
    };
    out.push(
        kind,
        json!({ "response": response(stream, status, &output) }),
    );
    out.events
}

fn response(stream: &Stream<'_>, status: &str, output: &[Value]) -> Value {
    let (mut error, mut incomplete) = (Value::Null, Value::Null);
    let mut usage = Value::Null;
    if status != "in_progress" {
        match stream.ending {
            Ending::Complete => {}
            Ending::OutOfTokens => incomplete = json!({ "reason": "max_output_tokens" }),
            Ending::Failed { code, message } => {
                error = json!({ "code": code, "message": message });
            }
        }
        if !matches!(stream.ending, Ending::Failed { .. }) {
            let counts = stream.usage;
            usage = json!({
                "input_tokens": counts.input_tokens,
                "input_tokens_details": {
                    "cached_tokens": counts.cached_tokens, "cache_write_tokens": 0,
                },
                "output_tokens": counts.output_tokens,
                "output_tokens_details": { "reasoning_tokens": counts.reasoning_tokens },
                "total_tokens": counts.input_tokens + counts.output_tokens,
            });
        }
    }
    json!({
        "id": stream.id("resp_", 0),
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "background": false,
        "error": error,
        "incomplete_details": incomplete,
        "instructions": stream.request["instructions"],
        "max_output_tokens": null,
        "max_tool_calls": null,
        "model": stream.model(),
        "output": output,
        "parallel_tool_calls": true,
        "previous_response_id": null,
        "prompt_cache_key": null,
        "reasoning": { "effort": "medium", "summary": "auto" },
        "safety_identifier": null,
        "service_tier": "default",
        "store": false,
        "temperature": 1.0,
        "text": { "format": { "type": "text" }, "verbosity": "medium" },
        "tool_choice": "auto",
        "tools": [],
        "top_logprobs": 0,
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": usage,
        "user": null,
        "metadata": {},
    })
}

/// Sends one output item and gives its finished form.
fn push_item(out: &mut Numbered, stream: &Stream<'_>, index: usize, kind: &Kind) -> Value {
    let (begun, done) = match kind {
        Kind::Message { text } => {
            let item = |status: &str, content: Value| {
                json!({
                    "id": stream.id("msg_", index), "type": "message", "status": status,
                    "content": content, "role": "assistant",
                })
            };
            (
                item("in_progress", json!([])),
                item("completed", json!([output_text(text)])),
            )
        }
        Kind::FunctionCall {
            call_id,
            name,
            arguments,
        } => {
            let item = |status: &str, arguments: &str| {
                json!({
                    "id": stream.id("fc_", index), "type": "function_call", "status": status,
                    "arguments": arguments, "call_id": call_id, "name": name,
                })
            };
            (item("in_progress", ""), item("completed", arguments))
        }
        Kind::CustomToolCall {
            call_id,
            name,
            input,
        } => {
            let item = |status: &str, input: &str| {
                json!({
                    "id": stream.id("ctc_", index), "type": "custom_tool_call", "status": status,
                    "call_id": call_id, "input": input, "name": name,
                })
            };
            (item("in_progress", ""), item("completed", input))
        }
        Kind::Reasoning {
            id,
            summary,
            encrypted_content,
        } => {
            let item = |summary: Value| {
                json!({
                    "id": id, "type": "reasoning", "encrypted_content": encrypted_content,
                    "summary": summary,
                })
            };
            let whole = match summary.as_str() {
                "" => json!([]),
                text => json!([summary_text(text)]),
            };
            (item(json!([])), item(whole))
        }
        Kind::Other(value) => (value.clone(), value.clone()),
    };

    out.push(
        "response.output_item.added",
        json!({ "output_index": index, "item": begun }),
    );
    let id = &done["id"];
    match kind {
        Kind::Message { text } => push_text(out, id, index, text),
        Kind::FunctionCall { arguments, .. } => {
            for delta in pieces(arguments) {
                out.push(
                    "response.function_call_arguments.delta",
                    json!({
                        "item_id": id, "output_index": index, "delta": delta,
                        "obfuscation": OBFUSCATION,
                    }),
                );
            }
            out.push(
                "response.function_call_arguments.done",
                json!({ "item_id": id, "output_index": index, "arguments": arguments }),
            );
        }
        Kind::CustomToolCall { input, .. } => {
            for delta in pieces(input) {
                out.push(
                    "response.custom_tool_call_input.delta",
                    json!({
                        "item_id": id, "output_index": index, "delta": delta,
                        "obfuscation": OBFUSCATION,
                    }),
                );
            }
            out.push(
                "response.custom_tool_call_input.done",
                json!({ "item_id": id, "output_index": index, "input": input }),
            );
        }
        Kind::Reasoning { summary, .. } if !summary.is_empty() => {
            push_summary(out, id, index, summary);
        }
        Kind::Reasoning { .. } | Kind::Other(_) => {}
    }
    out.push(
        "response.output_item.done",
        json!({ "output_index": index, "item": done }),
    );
    done
}

fn push_text(out: &mut Numbered, id: &Value, index: usize, text: &str) {
    out.push(
        "response.content_part.added",
        json!({
            "item_id": id, "output_index": index, "content_index": 0, "part": output_text(""),
        }),
    );
    for delta in pieces(text) {
        out.push(
            "response.output_text.delta",
            json!({
                "item_id": id, "output_index": index, "content_index": 0, "delta": delta,
                "logprobs": [], "obfuscation": OBFUSCATION,
            }),
        );
    }
    out.push(
        "response.output_text.done",
        json!({
            "item_id": id, "output_index": index, "content_index": 0, "text": text,
            "logprobs": [],
        }),
    );
    out.push(
        "response.content_part.done",
        json!({
            "item_id": id, "output_index": index, "content_index": 0, "part": output_text(text),
        }),
    );
}

fn push_summary(out: &mut Numbered, id: &Value, index: usize, summary: &str) {
    out.push(
        "response.reasoning_summary_part.added",
        json!({
            "item_id": id, "output_index": index, "summary_index": 0, "part": summary_text(""),
        }),
    );
    for delta in pieces(summary) {
        out.push(
            "response.reasoning_summary_text.delta",
            json!({
                "item_id": id, "output_index": index, "summary_index": 0, "delta": delta,
                "obfuscation": OBFUSCATION,
            }),
        );
    }
    out.push(
        "response.reasoning_summary_text.done",
        json!({ "item_id": id, "output_index": index, "summary_index": 0, "text": summary }),
    );
    out.push(
        "response.reasoning_summary_part.done",
        json!({
            "item_id": id, "output_index": index, "summary_index": 0,
            "part": summary_text(summary),
        }),
    );
}

fn output_text(text: &str) -> Value {
    json!({ "type": "output_text", "annotations": [], "logprobs": [], "text": text })
}

fn summary_text(text: &str) -> Value {
    json!({ "type": "summary_text", "text": text })
}
