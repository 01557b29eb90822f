//! The chat completions stream, as OpenAI and the local servers that follow it send it.

use serde_json::{Value, json};

use super::{CREATED, Ending, Stream};
use crate::item::{Kind, pieces};
use crate::sse::Event;

pub(super) fn events(stream: &Stream<'_>) -> Vec<Event> {
    // The counts come only when the request asks for them; then every other chunk has a null.
    let counted = stream.request["stream_options"]["include_usage"] == json!(true);
    let mut out = Vec::new();
    let mut delta = |delta: Value, finish: Value| {
        let choices = json!([{
            "index": 0, "delta": delta, "logprobs": null, "finish_reason": finish,
        }]);
        let mut data = chunk(stream, choices);
        if counted {
            data["usage"] = Value::Null;
        }
        out.push(Event::unnamed(data.to_string()));
    };

    let speaks = stream
        .items
        .iter()
        .any(|item| matches!(item.kind, Kind::Message { .. }));
    let content = if speaks { json!("") } else { Value::Null };
    delta(
        json!({ "role": "assistant", "content": content, "refusal": null }),
        Value::Null,
    );

    let mut calls = 0;
    for item in stream.items {
        match &item.kind {
            Kind::Message { text } => {
                for piece in pieces(text) {
                    delta(json!({ "content": piece }), Value::Null);
                }
            }
            Kind::Reasoning { summary, .. } => {
                for piece in pieces(summary) {
                    delta(json!({ "reasoning_content": piece }), Value::Null);
                }
            }
            Kind::FunctionCall {
                call_id,
                name,
                arguments,
            } => {
                let first = json!([{
                    "index": calls, "id": call_id, "type": "function",
                    "function": { "name": name, "arguments": "" },
                }]);
                delta(json!({ "tool_calls": first }), Value::Null);
                for piece in pieces(arguments) {
                    let next = json!([{ "index": calls, "function": { "arguments": piece } }]);
                    delta(json!({ "tool_calls": next }), Value::Null);
                }
                calls += 1;
            }
            // `Wire::lacks` keeps these away.
            Kind::CustomToolCall { .. } | Kind::Other(_) => {}
        }
    }

    match stream.ending {
        Ending::Complete if stream.calls_a_tool() => delta(json!({}), json!("tool_calls")),
        Ending::Complete => delta(json!({}), json!("stop")),
        Ending::OutOfTokens => delta(json!({}), json!("length")),
        Ending::Failed { code, message } => {
            let error = json!({
                "error": { "message": message, "type": code, "param": null, "code": code },
            });
            out.push(Event::unnamed(error.to_string()));
            return out;
        }
    }
    if counted {
        let mut data = chunk(stream, json!([]));
        data["usage"] = usage(stream);
        out.push(Event::unnamed(data.to_string()));
    }
    out.push(Event::unnamed("[DONE]"));
    out
}

fn chunk(stream: &Stream<'_>, choices: Value) -> Value {
    json!({
        "id": stream.id("chatcmpl-", 0),
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": stream.model(),
        "service_tier": "default",
        "system_fingerprint": "fp_scripted",
        "choices": choices,
    })
}

fn usage(stream: &Stream<'_>) -> Value {
    let counts = stream.usage;
    json!({
        "prompt_tokens": counts.input_tokens,
        "completion_tokens": counts.output_tokens,
        "total_tokens": counts.input_tokens + counts.output_tokens,
        "prompt_tokens_details": { "cached_tokens": counts.cached_tokens, "audio_tokens": 0 },
        "completion_tokens_details": {
            "reasoning_tokens": counts.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    })
}
