//! What holds for the streams of every wire, from bytes to events.

use codex_http::sse::SseParser;
use codex_protocol::model::ModelEvent;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::chat::Chat;
use super::messages::Messages;
use super::responses::Responses;
use super::{Wire, samples};

/// What bytes in these pieces give: the events before a fault, and whether there was one. A limit
/// of a few kilobytes an event keeps the cases small.
fn play(wire: &dyn Wire, pieces: &[&[u8]]) -> (Vec<ModelEvent>, Result<(), String>) {
    let mut parser = SseParser::new(4 << 10);
    let mut decoder = wire.decoder();
    let mut out = Vec::new();
    for piece in pieces {
        let mut events = Vec::new();
        let parsed = parser.push(piece, &mut events);
        for event in &events {
            if let Err(fault) = decoder.event(event, &mut out) {
                return (out, Err(format!("{fault:?}")));
            }
            if matches!(out.last(), Some(ModelEvent::Completed { .. })) {
                return (out, Ok(()));
            }
        }
        if let Err(error) = parsed {
            return (out, Err(error.to_string()));
        }
    }
    let ended = decoder.end(&mut out);
    (out, ended.map_err(|fault| format!("{fault:?}")))
}

fn wires() -> [(Box<dyn Wire>, Vec<u8>); 3] {
    let stream = |events: &[Value], named: bool| {
        let mut text = String::new();
        for event in events {
            if named {
                text += &format!("event: {}\n", event["type"].as_str().unwrap_or_default());
            }
            text += &format!("data: {event}\n\n");
        }
        text.into_bytes()
    };
    let responses = [
        json!({ "type": "response.created", "response": { "id": "r" } }),
        json!({ "type": "response.output_text.delta", "item_id": "m", "output_index": 0, "delta": "é\u{1f980} hi" }),
        json!({ "type": "response.output_item.done", "output_index": 0, "item": { "type": "message", "id": "m",
            "role": "assistant", "status": "completed", "content": [{ "type": "output_text", "text": "é\u{1f980} hi" }] } }),
        json!({ "type": "response.output_item.added", "output_index": 1, "item": { "type": "function_call",
            "id": "f", "call_id": "c", "name": "shell", "arguments": "" } }),
        json!({ "type": "response.function_call_arguments.delta", "item_id": "f", "output_index": 1, "delta": "{\"command\":" }),
        json!({ "type": "response.function_call_arguments.delta", "item_id": "f", "output_index": 1, "delta": "\"ls\"}" }),
        json!({ "type": "response.output_item.done", "output_index": 1, "item": { "type": "function_call", "id": "f",
            "call_id": "c", "name": "shell", "arguments": "{\"command\":\"ls\"}", "status": "completed" } }),
        json!({ "type": "response.completed", "response": { "id": "r", "status": "completed",
            "usage": { "input_tokens": 3, "output_tokens": 4 } } }),
    ];
    let call =
        |fields: Value| json!({ "choices": [{ "index": 0, "delta": { "tool_calls": [fields] } }] });
    let chat = [
        json!({ "choices": [{ "index": 0, "delta": { "role": "assistant", "content": "é\u{1f980} hi" } }] }),
        call(
            json!({ "index": 0, "id": "c", "type": "function", "function": { "name": "shell", "arguments": "" } }),
        ),
        call(json!({ "index": 0, "function": { "arguments": "{\"command\":" } })),
        call(json!({ "index": 0, "function": { "arguments": "\"ls\"}" } })),
        json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": "tool_calls" }] }),
        json!({ "choices": [], "usage": { "prompt_tokens": 3, "completion_tokens": 4 } }),
    ];
    let delta = |index: u64, delta: Value| json!({ "type": "content_block_delta", "index": index, "delta": delta });
    let messages = [
        json!({ "type": "message_start", "message": { "id": "m", "role": "assistant", "usage": { "input_tokens": 3 } } }),
        json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } }),
        delta(0, json!({ "type": "text_delta", "text": "é\u{1f980} hi" })),
        json!({ "type": "content_block_stop", "index": 0 }),
        json!({ "type": "content_block_start", "index": 1, "content_block": { "type": "tool_use", "id": "c", "name": "shell", "input": {} } }),
        delta(
            1,
            json!({ "type": "input_json_delta", "partial_json": "{\"command\":" }),
        ),
        delta(
            1,
            json!({ "type": "input_json_delta", "partial_json": "\"ls\"}" }),
        ),
        json!({ "type": "content_block_stop", "index": 1 }),
        json!({ "type": "message_delta", "delta": { "stop_reason": "tool_use" }, "usage": { "output_tokens": 4 } }),
        json!({ "type": "message_stop" }),
    ];
    let mut chat = stream(&chat, false);
    chat.extend_from_slice(b"data: [DONE]\n\n");
    [
        (
            Box::new(Responses) as Box<dyn Wire>,
            stream(&responses, true),
        ),
        (Box::new(Chat), chat),
        (Box::new(Messages), stream(&messages, true)),
    ]
}

#[test]
fn the_streams_are_whole() {
    for (wire, stream) in wires() {
        let text = String::from_utf8(stream).unwrap();
        let out = samples::decode(&*wire, &text).unwrap();
        let items = out.iter().filter(|e| matches!(e, ModelEvent::Item(_)));
        assert_eq!(items.count(), 2, "{out:?}");
    }
}

/// Nesting that a recursive reader would overflow the stack with, and fields without an end.
#[test]
fn deep_and_endless_events_are_faults() {
    let (open, close) = ("[".repeat(100_000), "]".repeat(100_000));
    for (wire, _) in wires() {
        for deep in [
            format!("data: {{\"type\":\"x\",\"a\":{open}{close}}}\n\n"),
            format!("data: {open}\n\n"),
            format!("data: {{\"choices\":{open}{close}}}\n\n"),
        ] {
            let mut parser = SseParser::default();
            let mut events = Vec::new();
            parser.push(deep.as_bytes(), &mut events).unwrap();
            let mut out = Vec::new();
            let mut decoder = wire.decoder();
            assert!(decoder.event(&events[0], &mut out).is_err() || decoder.end(&mut out).is_err());
            assert_eq!(out, []);
        }
        let endless = [b"data: {\"a\":\"".as_slice(), &b"x".repeat(8 << 10)].concat();
        let (out, ended) = play(&*wire, &[&endless]);
        assert_eq!(out, []);
        assert!(ended.is_err(), "an event beyond the limit is a fault");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_bytes_in_any_pieces_give_the_same(
        which in 0usize..3,
        mutations in prop::collection::vec(
            (any::<prop::sample::Index>(), 0..4u8, prop::collection::vec(any::<u8>(), 0..6)),
            0..4,
        ),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..10),
    ) {
        let (wire, mut stream) = wires().into_iter().nth(which).unwrap();
        for (at, kind, bytes) in mutations {
            let at = at.index(stream.len() + 1);
            let end = (at + bytes.len()).min(stream.len());
            match kind {
                0 => drop(stream.splice(at..end, bytes)),
                1 => drop(stream.splice(at..at, bytes)),
                2 => drop(stream.drain(at..end)),
                _ => {
                    // A part that comes again.
                    let again = stream[at..(at + 200).min(stream.len())].to_vec();
                    drop(stream.splice(at..at, again));
                }
            }
        }
        let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        places.extend([0, stream.len()]);
        places.sort_unstable();
        let pieces: Vec<&[u8]> = places.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect();
        let whole = play(&*wire, &[&stream]);
        prop_assert_eq!(play(&*wire, &pieces), whole);
    }
}
