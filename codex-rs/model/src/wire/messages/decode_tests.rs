//! Streams of the wire, as the API and the servers that imitate it send them.

use codex_http::sse::SseEvent;
use codex_protocol::model::{Item, ModelErrorKind, ModelEvent, Native, StopReason, Usage};
use codex_protocol::tool::ToolCall;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::Messages;
use crate::fault::{Fault, Retry};
use crate::wire::samples::{decode, decode_events};

/// Plays events given as JSON.
fn play(events: &[Value]) -> Result<Vec<ModelEvent>, Fault> {
    let stream: String = events
        .iter()
        .map(|event| {
            format!(
                "event: {}\ndata: {event}\n\n",
                event["type"].as_str().unwrap()
            )
        })
        .collect();
    decode(&Messages, &stream)
}

fn start(index: u64, block: Value) -> Value {
    json!({ "type": "content_block_start", "index": index, "content_block": block })
}

fn delta(index: u64, delta: Value) -> Value {
    json!({ "type": "content_block_delta", "index": index, "delta": delta })
}

fn said(index: u64, text: &str) -> Value {
    delta(index, json!({ "type": "text_delta", "text": text }))
}

fn thought(index: u64, text: &str) -> Value {
    delta(index, json!({ "type": "thinking_delta", "thinking": text }))
}

fn signed(index: u64, signature: &str) -> Value {
    delta(
        index,
        json!({ "type": "signature_delta", "signature": signature }),
    )
}

fn piece(index: u64, json: &str) -> Value {
    delta(
        index,
        json!({ "type": "input_json_delta", "partial_json": json }),
    )
}

fn stop(index: u64) -> Value {
    json!({ "type": "content_block_stop", "index": index })
}

fn ends(reason: impl Into<Value>) -> Value {
    json!({ "type": "message_delta", "delta": { "stop_reason": reason.into() } })
}

fn last() -> Value {
    json!({ "type": "message_stop" })
}

fn text() -> Value {
    json!({ "type": "text", "text": "" })
}

fn thinking() -> Value {
    json!({ "type": "thinking", "thinking": "", "signature": "" })
}

fn tool(id: &str) -> Value {
    json!({ "type": "tool_use", "id": id, "name": "shell", "input": {} })
}

fn native(value: Value) -> Option<Native> {
    Some(Native {
        wire: "messages".to_owned(),
        value,
    })
}

fn message(text: &str) -> ModelEvent {
    ModelEvent::Item(Item::Assistant {
        text: text.to_owned(),
        native: None,
    })
}

fn reasoning(text: &str, own: Option<Value>) -> ModelEvent {
    ModelEvent::Item(Item::Reasoning {
        text: text.to_owned(),
        native: own.and_then(native),
    })
}

fn call(id: &str, arguments: &str, own: Option<Value>) -> ModelEvent {
    ModelEvent::Item(Item::ToolCall {
        call: ToolCall {
            call_id: id.to_owned(),
            name: "shell".to_owned(),
            arguments: arguments.to_owned(),
            text: false,
        },
        native: own.and_then(native),
    })
}

fn end(stop: StopReason) -> ModelEvent {
    ModelEvent::Completed {
        usage: Usage::default(),
        stop,
    }
}

/// Without the deltas.
fn items(events: &[Value]) -> Vec<ModelEvent> {
    let mut events = play(events).unwrap();
    events.retain(|event| {
        !matches!(
            event,
            ModelEvent::TextDelta(_) | ModelEvent::ReasoningDelta(_)
        )
    });
    events
}

#[test]
fn a_turn_with_thinking_a_message_and_usage() {
    let usage = json!({ "input_tokens": 5, "cache_read_input_tokens": 20,
        "cache_creation_input_tokens": 100, "output_tokens": 1 });
    let redacted = json!({ "type": "redacted_thinking", "data": "ZGF0YQ==" });
    let events = play(&[
        json!({ "type": "message_start", "message": { "content": [], "usage": usage } }),
        start(0, thinking()),
        json!({ "type": "ping" }),
        thought(0, "On"),
        thought(0, "e."),
        signed(0, "c2ln"),
        stop(0),
        start(1, redacted.clone()),
        stop(1),
        start(2, thinking()),
        thought(2, "Two."),
        signed(2, "b3RoZXI="),
        stop(2),
        start(3, text()),
        said(3, "He"),
        json!({ "type": "invented_since", "index": "not a number" }),
        delta(3, json!({ "type": "citations_delta", "citation": {} })),
        said(3, "llo"),
        stop(3),
        json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn" },
                "usage": { "output_tokens": 30, "input_tokens": 0,
                           "output_tokens_details": { "thinking_tokens": 10 } } }),
        last(),
    ]);
    let thought = |text: &str| ModelEvent::ReasoningDelta(text.to_owned());
    let said = |text: &str| ModelEvent::TextDelta(text.to_owned());
    let own = |text: &str, signature: &str| {
        Some(json!({ "type": "thinking", "thinking": text, "signature": signature }))
    };
    assert_eq!(
        events.unwrap(),
        [
            thought("On"),
            thought("e."),
            thought("\n\n"),
            thought("Two."),
            said("He"),
            said("llo"),
            reasoning("One.", own("One.", "c2ln")),
            reasoning("", Some(redacted)),
            reasoning("Two.", own("Two.", "b3RoZXI=")),
            message("Hello"),
            ModelEvent::Completed {
                usage: Usage {
                    input_tokens: 125,
                    cached_input_tokens: 20,
                    output_tokens: 30,
                    reasoning_output_tokens: 10,
                },
                stop: StopReason::Done,
            },
        ]
    );
}

#[test]
fn calls_are_assembled_from_interleaved_fragments() {
    let begun = json!({ "type": "tool_use", "id": "c3", "name": "shell", "input": { "n": 3 } });
    let with_more = json!({ "type": "tool_use", "id": "c4", "name": "shell", "input": {},
                            "caller": { "type": "direct" } });
    let mut whole = with_more.clone();
    whole["input"] = json!({ "n": 4 });
    let events = items(&[
        start(1, tool("c1")),
        start(2, tool("c2")),
        piece(1, ""),
        piece(2, "{\"n\""),
        piece(1, "{ \"n\":"),
        piece(2, ":2}"),
        stop(2),
        piece(1, "1}"),
        stop(1),
        start(3, begun),
        stop(3),
        start(4, with_more),
        piece(4, "{\"n\":4}"),
        stop(4),
        start(5, tool("c5")),
        stop(5),
        start(6, tool("c6")),
        piece(6, "{\"broken"),
        stop(6),
        ends("tool_use"),
        last(),
    ]);
    assert_eq!(
        events,
        [
            call("c1", "{ \"n\":1}", None),
            call("c2", "{\"n\":2}", None),
            call("c3", "{\"n\":3}", None),
            call("c4", "{\"n\":4}", Some(whole)),
            call("c5", "{}", None),
            // Not JSON, but all that the model wrote: the tool says so.
            call("c6", "{\"broken", None),
            end(StopReason::Done),
        ]
    );
}

#[test]
fn blocks_that_hold_something_else_than_usual() {
    let server = json!({ "type": "server_tool_use", "id": "s", "name": "x", "input": {} });
    let mut whole = server.clone();
    whole["input"] = json!({ "q": 1 });
    let events = play(&[
        start(0, json!({ "type": "text", "text": "Whole." })),
        stop(0),
        start(1, server),
        piece(1, "{\"q\":1}"),
        stop(1),
        // A piece that nobody understands: what it was added to cannot be returned.
        start(2, json!({ "type": "new_thing" })),
        delta(2, json!({ "type": "new_delta", "x": 1 })),
        stop(2),
        start(3, thinking()),
        thought(3, "Unsigned."),
        stop(3),
        start(
            4,
            json!({ "type": "thinking", "thinking": "", "signature": "" }),
        ),
        stop(4),
        start(
            5,
            json!({ "type": "text", "text": "", "citations": [], "x": 1 }),
        ),
        said(5, "More."),
        stop(5),
        start(6, text()),
        said(6, "\n\n"),
        stop(6),
        last(),
    ]);
    let events = events.unwrap();
    assert_eq!(events[0], ModelEvent::TextDelta("Whole.".to_owned()));
    assert_eq!(
        events[4..],
        [
            message("Whole."),
            reasoning("", Some(whole)),
            reasoning("Unsigned.", None),
            ModelEvent::Item(Item::Assistant {
                text: "More.".to_owned(),
                native: native(json!({ "type": "text", "text": "More.", "x": 1 })),
            }),
            end(StopReason::Done),
        ]
    );
}

#[test]
fn stop_reasons() {
    for (reason, expect) in [
        (json!("end_turn"), StopReason::Done),
        (json!("tool_use"), StopReason::Done),
        (json!("stop_sequence"), StopReason::Done),
        (Value::Null, StopReason::Done),
        (json!("max_tokens"), StopReason::Length),
        (json!("model_context_window_exceeded"), StopReason::Length),
        (json!("pause_turn"), StopReason::Length),
        (json!("invented_since"), StopReason::Length),
        (json!("refusal"), StopReason::Filtered),
    ] {
        assert_eq!(items(&[ends(reason), last()]), [end(expect)]);
    }
}

#[test]
fn what_stays_of_a_message_that_broke_off() {
    let whole = [start(0, tool("c0")), piece(0, "{}"), stop(0)];
    // The API ends the block that a limit cut, too.
    let cut = |pieces: &str| [start(1, tool("c1")), piece(1, pieces), stop(1)];
    let with =
        |more: &[Value], reason: &str| items(&[&whole, more, &[ends(reason), last()]].concat());
    for pieces in ["", "{\"a\":", "{\"a\":1}"] {
        assert_eq!(
            with(&cut(pieces), "max_tokens"),
            [call("c0", "{}", None), end(StopReason::Length)],
            "{pieces}"
        );
    }
    // Even what was not ended: a message as far as it came, and no call.
    let open = [
        start(1, tool("c1")),
        piece(1, "{}"),
        start(2, text()),
        said(2, "Hal"),
    ];
    assert_eq!(
        with(&open, "max_tokens"),
        [
            call("c0", "{}", None),
            message("Hal"),
            end(StopReason::Length)
        ]
    );
    let text_after = [start(1, text()), said(1, "No"), stop(1)];
    assert_eq!(
        with(&text_after, "refusal"),
        [message("No"), end(StopReason::Filtered)]
    );
}

#[test]
fn no_message_ends_in_thinking_that_goes_back() {
    let signed_thinking = |index| {
        vec![
            start(index, thinking()),
            thought(index, "Hm."),
            signed(index, "c2ln"),
            stop(index),
        ]
    };
    let redacted = vec![
        start(1, json!({ "type": "redacted_thinking", "data": "x" })),
        stop(1),
    ];
    let truncated = vec![start(2, tool("c")), piece(2, "{\"a"), stop(2)];
    for reason in ["max_tokens", "end_turn"] {
        let events = [
            signed_thinking(0),
            redacted.clone(),
            vec![ends(reason), last()],
        ]
        .concat();
        assert_eq!(items(&events)[0], reasoning("Hm.", None), "{reason}");
        assert_eq!(items(&events).len(), 2);
    }
    let events = [
        signed_thinking(0),
        truncated,
        vec![ends("max_tokens"), last()],
    ]
    .concat();
    assert_eq!(
        items(&events),
        [reasoning("Hm.", None), end(StopReason::Length)]
    );
}

#[test]
fn no_unfinished_block_of_a_complete_message_passes() {
    for events in [
        vec![
            start(0, tool("c")),
            piece(0, "{}"),
            ends("tool_use"),
            last(),
        ],
        vec![start(0, text()), said(0, "a"), ends("end_turn"), last()],
        // An id or a name is missing.
        vec![
            start(0, json!({ "type": "tool_use", "id": "c", "name": "" })),
            stop(0),
            last(),
        ],
        vec![
            start(0, json!({ "type": "tool_use", "name": "n" })),
            stop(0),
            last(),
        ],
        // Pieces without a place.
        vec![said(0, "a")],
        vec![start(0, text()), stop(0), said(0, "a")],
        vec![start(0, text()), said(1, "a")],
        vec![stop(0)],
        vec![start(0, text()), start(0, text())],
        vec![start(0, json!({ "text": "a" }))],
        // Pieces in the wrong place.
        vec![start(0, tool("c")), said(0, "a")],
        vec![start(0, text()), piece(0, "{}")],
        vec![start(0, text()), thought(0, "a")],
        vec![start(0, text()), signed(0, "a")],
        vec![start(0, text()), delta(0, json!({ "text": "a" }))],
        vec![
            start(0, text()),
            delta(0, json!({ "type": "text_delta", "text": 1 })),
        ],
    ] {
        let fault = play(&events).unwrap_err();
        assert_eq!(
            (fault.kind, fault.retry),
            (ModelErrorKind::Protocol, Retry::After(None)),
            "{events:?}"
        );
    }
}

#[test]
fn failures() {
    let error = |kind: &str, text: &str| {
        json!({ "type": "error", "error": { "type": kind, "message": text },
                "request_id": "req_1" })
    };
    let passes = Retry::After(None);
    for (event, kind, retry) in [
        (
            error("overloaded_error", "Overloaded"),
            ModelErrorKind::Server,
            passes,
        ),
        (error("api_error", "m"), ModelErrorKind::Server, passes),
        (error("timeout_error", "m"), ModelErrorKind::Server, passes),
        (
            error("rate_limit_error", "m"),
            ModelErrorKind::RateLimit,
            passes,
        ),
        (
            error("authentication_error", "m"),
            ModelErrorKind::Auth,
            Retry::Never,
        ),
        (
            error("billing_error", "m"),
            ModelErrorKind::RateLimit,
            Retry::Never,
        ),
        (
            error("invalid_request_error", "m"),
            ModelErrorKind::Rejected,
            Retry::Never,
        ),
        (
            error("invalid_request_error", "prompt is too long: 9 > 8"),
            ModelErrorKind::ContextTooLong,
            Retry::Never,
        ),
        (json!({ "type": "error" }), ModelErrorKind::Server, passes),
    ] {
        let fault = play(&[start(0, tool("c")), event.clone()]).unwrap_err();
        assert_eq!((fault.kind, fault.retry), (kind, retry), "{event}");
    }
}

#[test]
fn malformed_and_cut_streams() {
    for stream in [
        "data: {\"type\":\"message_st\n\n",
        "data: {\"type\":\"content_block_start\",\"index\":0}\n\n",
        "data: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":7}\n\n",
        "data: {\"type\":\"content_block_delta\",\"delta\":{}}\n\n",
        "data: {\"type\":\"content_block_stop\",\"index\":-1}\n\n",
        "data: 7\n\n",
        &format!("data: {}\n\n", "[".repeat(10_000)),
    ] {
        let fault = decode(&Messages, stream).unwrap_err();
        assert_eq!(
            (fault.kind, fault.retry),
            (ModelErrorKind::Protocol, Retry::After(None)),
            "{stream:.200}"
        );
    }
    for stream in [
        "",
        "data:\n\n",
        "data: [DONE]\n\n",
        "event: ping\ndata: {\"type\": \"ping\"}\n\n",
        "event: message_delta\ndata: {\"delta\":{\"stop_reason\":\"end_turn\"}}\n\n",
    ] {
        assert_eq!(
            decode(&Messages, stream).unwrap_err(),
            Fault::cut(),
            "{stream}"
        );
    }
}

#[test]
fn an_event_without_a_type_is_named_by_its_line() {
    let stream = "event: content_block_start\n\
                  data: {\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"a\"}}\n\n\
                  event: content_block_stop\ndata: {\"index\":0}\n\n\
                  event: message_stop\ndata: {}\n\n";
    assert_eq!(
        decode(&Messages, stream).unwrap(),
        [
            ModelEvent::TextDelta("a".to_owned()),
            message("a"),
            end(StopReason::Done)
        ]
    );
}

/// Any JSON, with the names and words that the decoder looks at.
fn value() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(vec![
        "",
        "text",
        "thinking",
        "redacted_thinking",
        "tool_use",
        "server_tool_use",
        "text_delta",
        "thinking_delta",
        "signature_delta",
        "input_json_delta",
        "end_turn",
        "max_tokens",
        "refusal",
        "overloaded_error",
        "{}",
        "x",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-1i64..3).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word.prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 6, |inner| {
        let name = prop::sample::select(vec![
            "type",
            "index",
            "content_block",
            "delta",
            "message",
            "usage",
            "input_tokens",
            "id",
            "name",
            "input",
            "text",
            "thinking",
            "signature",
            "partial_json",
            "stop_reason",
            "error",
            "citations",
            "data",
        ]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((name, inner), 0..6).prop_map(|fields| Value::Object(
                fields
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value))
                    .collect()
            )),
        ]
    })
}

/// An event that a decoder accepts often enough to reach its end.
fn plausible() -> impl Strategy<Value = Value> {
    let block = prop_oneof![
        Just(text()),
        Just(thinking()),
        Just(tool("c")),
        Just(json!({ "type": "redacted_thinking", "data": "x" })),
    ];
    let change = prop_oneof![
        Just(json!({ "type": "text_delta", "text": "a" })),
        Just(json!({ "type": "thinking_delta", "thinking": "a" })),
        Just(json!({ "type": "signature_delta", "signature": "a" })),
        prop::sample::select(vec!["{", "}", "\"a\":1", "{}"])
            .prop_map(|json| json!({ "type": "input_json_delta", "partial_json": json })),
        value(),
    ];
    let reason = prop::sample::select(vec!["end_turn", "max_tokens", "refusal", "pause_turn"]);
    prop_oneof![
        4 => (0u64..3, block).prop_map(|(index, block)| start(index, block)),
        4 => (0u64..3, change).prop_map(|(index, change)| delta(index, change)),
        3 => (0u64..3).prop_map(stop),
        1 => reason.prop_map(ends),
        1 => Just(last()),
    ]
}

fn event() -> impl Strategy<Value = SseEvent> {
    let kind = prop::sample::select(vec![
        "message",
        "error",
        "ping",
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]);
    let data = prop_oneof![
        8 => plausible().prop_map(|value| value.to_string()),
        8 => value().prop_map(|value| value.to_string()),
        1 => ".{0,20}",
    ];
    (kind, data).prop_map(|(kind, data)| SseEvent {
        event: kind.to_owned(),
        data,
        id: String::new(),
    })
}

fn check(out: &[ModelEvent]) -> Result<(), TestCaseError> {
    let first = out
        .iter()
        .position(|event| matches!(event, ModelEvent::Item(_)))
        .unwrap_or(out.len() - 1);
    let rest = &out[first..out.len() - 1];
    for event in rest {
        let ModelEvent::Item(item) = event else {
            return Err(TestCaseError::fail("a delta after an item"));
        };
        if let Item::ToolCall { call, .. } = item {
            prop_assert!(!call.call_id.is_empty() && !call.name.is_empty());
            if !matches!(
                out.last(),
                Some(ModelEvent::Completed {
                    stop: StopReason::Done,
                    ..
                })
            ) {
                prop_assert!(
                    serde_json::from_str::<Value>(&call.arguments)
                        .unwrap()
                        .is_object()
                );
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn any_events_are_read_without_panic(events in prop::collection::vec(event(), 0..8)) {
        if let Ok(out) = decode_events(&Messages, &events) {
            check(&out)?;
        }
    }

    #[test]
    fn plausible_streams_keep_what_decoders_promise(
        mut events in prop::collection::vec(plausible(), 0..12),
    ) {
        events.push(last());
        if let Ok(out) = play(&events) {
            check(&out)?;
        }
    }

    #[test]
    fn no_stream_that_is_cut_gives_an_answer(cut in 0usize..7) {
        let events = [
            start(0, tool("c")),
            piece(0, "{}"),
            stop(0),
            start(1, text()),
            said(1, "x"),
            stop(1),
            ends("tool_use"),
        ];
        prop_assert_eq!(play(&events[..=cut.min(6)]), Err(Fault::cut()));
    }
}
