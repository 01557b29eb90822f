//! The Anthropic Messages API's stream (API documentation, "Streaming messages").

use serde_json::{Value, json};

use super::{Ending, Stream};
use crate::item::{Kind, pieces};
use crate::sse::Event;

pub(super) fn events(stream: &Stream<'_>) -> Vec<Event> {
    let mut out = Vec::new();
    let mut push = |data: Value| out.push(Event::typed(&data));

    let mut usage = input_usage(stream);
    usage["output_tokens"] = json!(1);
    usage["service_tier"] = json!("standard");
    push(json!({
        "type": "message_start",
        "message": {
            "id": stream.id("msg_", 0), "type": "message", "role": "assistant",
            "model": stream.model(), "content": [], "stop_reason": null, "stop_sequence": null,
            "usage": usage,
        },
    }));

    for (index, item) in stream.items.iter().enumerate() {
        let (block, deltas) = block(&item.kind);
        push(json!({ "type": "content_block_start", "index": index, "content_block": block }));
        if index == 0 {
            push(json!({ "type": "ping" }));
        }
        for delta in deltas {
            push(json!({ "type": "content_block_delta", "index": index, "delta": delta }));
        }
        push(json!({ "type": "content_block_stop", "index": index }));
    }

    let stop_reason = match stream.ending {
        Ending::Complete if stream.calls_a_tool() => "tool_use",
        Ending::Complete => "end_turn",
        Ending::OutOfTokens => "max_tokens",
        Ending::Failed { code, message } => {
            push(json!({ "type": "error", "error": { "type": code, "message": message } }));
            return out;
        }
    };
    let mut usage = input_usage(stream);
    usage["output_tokens"] = json!(stream.usage.output_tokens);
    push(json!({
        "type": "message_delta",
        "delta": { "stop_reason": stop_reason, "stop_sequence": null },
        "usage": usage,
    }));
    push(json!({ "type": "message_stop" }));
    out
}

/// This API counts cached tokens beside `input_tokens`, not within them.
fn input_usage(stream: &Stream<'_>) -> Value {
    let counts = stream.usage;
    json!({
        "input_tokens": counts.input_tokens.saturating_sub(counts.cached_tokens),
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": counts.cached_tokens,
    })
}

/// A content block as it starts, and what is added to it.
fn block(kind: &Kind) -> (Value, Vec<Value>) {
    match kind {
        Kind::Message { text } => (
            json!({ "type": "text", "text": "" }),
            pieces(text)
                .into_iter()
                .map(|piece| json!({ "type": "text_delta", "text": piece }))
                .collect(),
        ),
        Kind::FunctionCall {
            call_id,
            name,
            arguments,
        } => (
            json!({ "type": "tool_use", "id": call_id, "name": name, "input": {} }),
            // The real stream begins every tool call with an empty piece.
            std::iter::once("")
                .chain(pieces(arguments))
                .map(|piece| json!({ "type": "input_json_delta", "partial_json": piece }))
                .collect(),
        ),
        Kind::Reasoning {
            summary,
            encrypted_content,
            ..
        } => {
            let mut deltas: Vec<Value> = pieces(summary)
                .into_iter()
                .map(|piece| json!({ "type": "thinking_delta", "thinking": piece }))
                .collect();
            deltas.push(json!({ "type": "signature_delta", "signature": encrypted_content }));
            (
                json!({ "type": "thinking", "thinking": "", "signature": "" }),
                deltas,
            )
        }
        Kind::Other(value) => (value.clone(), Vec::new()),
        // `Wire::lacks` keeps these away.
        Kind::CustomToolCall { .. } => (Value::Null, Vec::new()),
    }
}
