//! Arbitrary conversations, and the laws that every wire keeps.

use codex_http::sse::{SseEvent, SseParser};
use codex_protocol::model::{Content, Item, ModelEvent, Native, Prompt, ReasoningEffort};
use codex_protocol::tool::{ToolCall, ToolInput, ToolSpec};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::Wire;
use crate::fault::Fault;
use crate::provider::{Provider, WireApi};

/// Text with what JSON must escape.
fn text() -> impl Strategy<Value = String> {
    "[a-zé\"\\\\\n\u{1}🦀 {}]{0,12}"
}

/// An item's own form on a wire: what the wires send, and what they might.
fn native() -> impl Strategy<Value = Option<Native>> {
    let value = prop_oneof![
        text().prop_map(|text| json!({
            "type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
            "content": [{ "type": "output_text", "text": text, "annotations": [], "logprobs": [] }],
        })),
        text().prop_map(|text| json!({
            "type": "reasoning", "id": "rs_1", "summary": [], "content": null, "status": null,
            "encrypted_content": text,
        })),
        Just(json!({ "type": "reasoning", "id": "rs_2", "summary": [] })),
        Just(json!({ "type": "web_search_call", "id": "ws_1", "status": "completed" })),
        Just(json!("not an object")),
    ];
    let wire = prop_oneof![Just("responses"), Just("chat"), Just("messages")];
    prop::option::of((wire, value).prop_map(|(wire, value)| Native {
        wire: wire.to_owned(),
        value,
    }))
}

fn content() -> impl Strategy<Value = Content> {
    prop_oneof![
        3 => text().prop_map(|text| Content::Text { text }),
        1 => "[A-Za-z0-9+/]{0,8}".prop_map(|data| Content::Image {
            media_type: "image/png".to_owned(),
            data,
        }),
    ]
}

pub(crate) fn item() -> impl Strategy<Value = Item> {
    prop_oneof![
        prop::collection::vec(content(), 0..3).prop_map(|content| Item::User { content }),
        (text(), native()).prop_map(|(text, native)| Item::Assistant { text, native }),
        (text(), native()).prop_map(|(text, native)| Item::Reasoning { text, native }),
        (
            "[a-z0-9_]{1,8}",
            "[a-z]{1,6}",
            text(),
            any::<bool>(),
            native()
        )
            .prop_map(|(call_id, name, arguments, text, native)| Item::ToolCall {
                call: ToolCall {
                    call_id,
                    name,
                    arguments,
                    text
                },
                native,
            }),
        ("[a-z0-9_]{1,8}", text(), any::<bool>(), any::<bool>()).prop_map(
            |(call_id, output, success, text)| Item::ToolOutput {
                call_id,
                output,
                success,
                text
            }
        ),
    ]
}

pub(crate) fn prompt() -> impl Strategy<Value = Prompt> {
    let tool = ("[a-z_]{1,8}", text(), any::<bool>()).prop_map(|(name, description, plain)| {
        let input = if plain {
            ToolInput::Text
        } else {
            ToolInput::Json(json!({ "type": "object", "properties": {} }))
        };
        ToolSpec {
            name,
            description,
            input,
        }
    });
    let effort = prop::option::of(prop_oneof![
        Just(ReasoningEffort::None),
        Just(ReasoningEffort::High)
    ]);
    (
        (text(), text(), prop::collection::vec(item(), 0..8)),
        prop::collection::vec(tool, 0..3),
        (effort, any::<bool>(), prop::option::of(0..100_000u64)),
    )
        .prop_map(
            |((model, instructions, items), tools, (effort, schema, max))| Prompt {
                model,
                instructions,
                items,
                tools,
                effort,
                output_schema: schema.then(|| json!({ "type": "object" })),
                cache_key: "session".to_owned(),
                max_output_tokens: max,
            },
        )
}

/// A body as text, which must be one JSON document.
#[track_caller]
pub(crate) fn body(wire: &dyn Wire, api: WireApi, prompt: &Prompt) -> String {
    let provider = Provider::new("sample", "http://127.0.0.1", api);
    let bytes = wire.body(prompt, &provider).unwrap();
    serde_json::from_slice::<Value>(&bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

/// Asserts that the request with `more` items begins with the bytes of the one without them, up
/// to the end of its items. `closing` is what stands behind the items.
#[track_caller]
pub(crate) fn assert_prefix_is_stable(
    wire: &dyn Wire,
    api: WireApi,
    prompt: &Prompt,
    more: &[Item],
    closing: &str,
) {
    let before = body(wire, api, prompt);
    let mut grown = prompt.clone();
    grown.items.extend_from_slice(more);
    let after = body(wire, api, &grown);
    let prefix = before
        .strip_suffix(closing)
        .unwrap_or_else(|| panic!("the request does not end with {closing}: {before}"));
    assert!(
        after.starts_with(prefix),
        "the request changed before its new items:\n{before}\n{after}"
    );
}

/// Plays a whole stream.
pub(crate) fn decode(wire: &dyn Wire, stream: &str) -> Result<Vec<ModelEvent>, Fault> {
    let mut events = Vec::new();
    SseParser::default()
        .push(stream.as_bytes(), &mut events)
        .unwrap();
    decode_events(wire, &events)
}

/// Plays events, as the engine does.
pub(crate) fn decode_events(
    wire: &dyn Wire,
    events: &[SseEvent],
) -> Result<Vec<ModelEvent>, Fault> {
    let mut decoder = wire.decoder();
    let mut out = Vec::new();
    let completed = |out: &[ModelEvent]| matches!(out.last(), Some(ModelEvent::Completed { .. }));
    for event in events {
        decoder.event(event, &mut out)?;
        if completed(&out) {
            return Ok(out);
        }
    }
    decoder.end(&mut out)?;
    assert!(completed(&out), "a stream ended well without Completed");
    Ok(out)
}
