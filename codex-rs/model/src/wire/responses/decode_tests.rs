//! Streams of the wire, as the API and the servers that imitate it send them.

use codex_http::sse::SseEvent;
use codex_protocol::model::{Item, ModelErrorKind, ModelEvent, Native, StopReason, Usage};
use codex_protocol::tool::ToolCall;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::Responses;
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
    decode(&Responses, &stream)
}

fn added(index: u64, item: Value) -> Value {
    json!({ "type": "response.output_item.added", "output_index": index, "item": item })
}

fn done(index: u64, item: Value) -> Value {
    json!({ "type": "response.output_item.done", "output_index": index, "item": item })
}

fn piece(index: u64, delta: &str) -> Value {
    json!({ "type": "response.function_call_arguments.delta", "output_index": index,
            "item_id": format!("fc_{index}"), "delta": delta })
}

fn ended(kind: &str, response: Value) -> Value {
    json!({ "type": kind, "response": response })
}

fn completed() -> Value {
    ended("response.completed", json!({ "status": "completed" }))
}

fn incomplete(reason: &str) -> Value {
    ended(
        "response.incomplete",
        json!({ "incomplete_details": { "reason": reason } }),
    )
}

fn function(index: u64, status: Option<&str>, arguments: Option<&str>) -> Value {
    let mut item = json!({ "type": "function_call", "id": format!("fc_{index}"),
                           "call_id": format!("call_{index}"), "name": "shell" });
    if let Some(status) = status {
        item["status"] = json!(status);
    }
    if let Some(arguments) = arguments {
        item["arguments"] = json!(arguments);
    }
    item
}

fn message(status: &str, text: &str) -> Value {
    json!({ "type": "message", "id": "msg_0", "role": "assistant", "status": status,
            "content": [{ "type": "output_text", "text": text }] })
}

fn native(value: Value) -> Option<Native> {
    Some(Native {
        wire: "responses".to_owned(),
        value,
    })
}

fn call(index: u64, arguments: &str, own: Value) -> ModelEvent {
    ModelEvent::Item(Item::ToolCall {
        call: ToolCall {
            call_id: format!("call_{index}"),
            name: "shell".to_owned(),
            arguments: arguments.to_owned(),
            text: false,
        },
        native: native(own),
    })
}

fn end(stop: StopReason) -> ModelEvent {
    ModelEvent::Completed {
        usage: Usage::default(),
        stop,
    }
}

#[test]
fn a_turn_with_reasoning_a_message_and_usage() {
    let reasoning = json!({ "type": "reasoning", "id": "rs_0", "encrypted_content": "gAAA",
        "summary": [{ "type": "summary_text", "text": "One." },
                    { "type": "summary_text", "text": "Two." }] });
    let part = json!({ "type": "response.reasoning_summary_part.added" });
    let thought = |text| json!({ "type": "response.reasoning_summary_text.delta", "delta": text });
    let said = |text| json!({ "type": "response.output_text.delta", "delta": text });
    let usage = json!({ "input_tokens": 1, "input_tokens_details": { "cached_tokens": 2 },
        "output_tokens": 3, "output_tokens_details": { "reasoning_tokens": 4 } });
    let events = play(&[
        json!({ "type": "response.created", "response": {} }),
        part.clone(),
        thought("One."),
        part,
        thought("Two."),
        done(0, reasoning.clone()),
        said("He"),
        json!({ "type": "response.invented_since", "delta": { "not": "text" } }),
        said("llo"),
        done(1, message("completed", "Hello")),
        ended("response.completed", json!({ "usage": usage })),
    ]);
    let text = |text: &str| ModelEvent::TextDelta(text.to_owned());
    let thought = |text: &str| ModelEvent::ReasoningDelta(text.to_owned());
    assert_eq!(
        events.unwrap(),
        [
            thought("One."),
            thought("\n\n"),
            thought("Two."),
            text("He"),
            text("llo"),
            ModelEvent::Item(Item::Reasoning {
                text: "One.\n\nTwo.".to_owned(),
                native: native(reasoning),
            }),
            ModelEvent::Item(Item::Assistant {
                text: "Hello".to_owned(),
                native: native(message("completed", "Hello")),
            }),
            ModelEvent::Completed {
                usage: Usage {
                    input_tokens: 1,
                    cached_input_tokens: 2,
                    output_tokens: 3,
                    reasoning_output_tokens: 4,
                },
                stop: StopReason::Done,
            },
        ]
    );
}

#[test]
fn calls_are_assembled_from_interleaved_fragments() {
    let begun = |index| added(index, function(index, Some("in_progress"), Some("")));
    // The item repeats its arguments, or they come at their end, or in pieces only.
    let whole = |index| {
        json!({ "type": "response.function_call_arguments.done",
        "output_index": index, "arguments": "{\"n\":1}" })
    };
    let events = play(&[
        begun(0),
        begun(1),
        begun(2),
        piece(1, "{\"n\""),
        piece(0, "{\"n\""),
        piece(2, "{\"n\""),
        piece(2, ":2}"),
        piece(0, ":0"),
        whole(1),
        piece(0, "}"),
        done(2, function(2, Some("completed"), None)),
        done(1, function(1, None, Some(""))),
        done(0, function(0, Some("completed"), Some("{\"n\":0}"))),
        completed(),
    ]);
    let expect = |index, status, arguments: &str| {
        call(index, arguments, function(index, status, Some(arguments)))
    };
    assert_eq!(
        events.unwrap(),
        [
            expect(2, Some("completed"), "{\"n\":2}"),
            expect(1, None, "{\"n\":1}"),
            expect(0, Some("completed"), "{\"n\":0}"),
            end(StopReason::Done),
        ]
    );
}

#[test]
fn items_are_found_by_id_where_there_is_no_index() {
    let item = function(7, Some("in_progress"), None);
    let events = play(&[
        json!({ "type": "response.output_item.added", "item": item }),
        json!({ "type": "response.function_call_arguments.delta", "item_id": "fc_7",
                "delta": "{}" }),
        json!({ "type": "response.function_call_arguments.delta", "item_id": "other",
                "delta": "stray" }),
        json!({ "type": "response.output_item.done", "item": function(7, Some("completed"), None) }),
        completed(),
    ]);
    let own = function(7, Some("completed"), Some("{}"));
    assert_eq!(events.unwrap(), [call(7, "{}", own), end(StopReason::Done)]);
}

#[test]
fn text_tools_refusals_and_new_kinds_of_items() {
    let custom = json!({ "type": "custom_tool_call", "id": "ctc", "call_id": "call_0",
        "name": "apply_patch", "input": "*** Begin" });
    let refusal = json!({ "type": "message", "role": "assistant", "status": "completed",
        "content": [{ "type": "refusal", "refusal": "No." }] });
    let new = json!({ "type": "invented_since", "id": "x", "status": "completed" });
    let events = play(&[
        json!({ "type": "response.refusal.delta", "delta": "No." }),
        done(0, refusal.clone()),
        done(1, custom.clone()),
        done(2, new.clone()),
        completed(),
    ]);
    assert_eq!(
        events.unwrap(),
        [
            ModelEvent::TextDelta("No.".to_owned()),
            ModelEvent::Item(Item::Assistant {
                text: "No.".to_owned(),
                native: native(refusal),
            }),
            ModelEvent::Item(Item::ToolCall {
                call: ToolCall {
                    call_id: "call_0".to_owned(),
                    name: "apply_patch".to_owned(),
                    arguments: "*** Begin".to_owned(),
                    text: true,
                },
                native: native(custom),
            }),
            ModelEvent::Item(Item::Reasoning {
                text: String::new(),
                native: native(new),
            }),
            end(StopReason::Done),
        ]
    );
}

#[test]
fn items_that_only_the_last_event_holds() {
    let own = function(0, Some("completed"), Some("{}"));
    let output = json!({ "output": [message("completed", "a"), own] });
    let events = play(&[
        added(0, message("in_progress", "")),
        added(1, function(0, Some("in_progress"), None)),
        ended("response.completed", output),
    ]);
    let items = events.unwrap();
    assert_eq!(items.len(), 3);
    assert_eq!(items[1], call(0, "{}", own));
}

#[test]
fn no_unfinished_item_of_a_complete_response_passes() {
    for events in [
        vec![
            added(0, function(0, None, None)),
            piece(0, "{}"),
            completed(),
        ],
        vec![
            done(0, function(0, Some("incomplete"), Some("{\"a"))),
            completed(),
        ],
        vec![
            done(0, function(0, Some("in_progress"), Some("{\"a"))),
            completed(),
        ],
    ] {
        let fault = play(&events).unwrap_err();
        assert_eq!(
            (fault.kind, fault.retry),
            (ModelErrorKind::Protocol, Retry::After(None))
        );
    }
}

#[test]
fn what_stays_of_a_response_that_broke_off() {
    let reasoning = |id: &str| json!({ "type": "reasoning", "id": id, "encrypted_content": "e" });
    let whole = function(1, Some("completed"), Some("{}"));
    let events = play(&[
        done(0, reasoning("rs_0")),
        done(1, whole.clone()),
        done(2, message("incomplete", "Hel")),
        done(3, function(3, None, Some("{}"))),
        done(4, reasoning("rs_1")),
        done(5, function(5, Some("incomplete"), Some("{\"a"))),
        incomplete("max_output_tokens"),
    ]);
    assert_eq!(
        events.unwrap(),
        [
            ModelEvent::Item(Item::Reasoning {
                text: String::new(),
                native: native(reasoning("rs_0")),
            }),
            call(1, "{}", whole),
            ModelEvent::Item(Item::Assistant {
                text: "Hel".to_owned(),
                native: None,
            }),
            end(StopReason::Length),
        ]
    );
    for (reason, stop) in [
        ("max_output_tokens", StopReason::Length),
        ("content_filter", StopReason::Filtered),
        ("invented_since", StopReason::Length),
    ] {
        assert_eq!(play(&[incomplete(reason)]).unwrap(), [end(stop)]);
    }
}

#[test]
fn failures() {
    let failed = |code: &str| {
        let error = json!({ "code": code, "message": "Please try again in 2s." });
        ended("response.failed", json!({ "error": error }))
    };
    let passes = Retry::After(Some(std::time::Duration::from_secs(2)));
    for (event, kind, retry) in [
        (failed("server_error"), ModelErrorKind::Server, passes),
        (
            failed("rate_limit_exceeded"),
            ModelErrorKind::RateLimit,
            passes,
        ),
        (
            failed("context_length_exceeded"),
            ModelErrorKind::ContextTooLong,
            Retry::Never,
        ),
        (
            failed("insufficient_quota"),
            ModelErrorKind::RateLimit,
            Retry::Never,
        ),
        (
            json!({ "type": "error", "code": "invalid_prompt", "message": "m", "param": null }),
            ModelErrorKind::Rejected,
            Retry::Never,
        ),
        (
            json!({ "type": "error", "error": { "type": "server_error", "message": "m" } }),
            ModelErrorKind::Server,
            Retry::After(None),
        ),
        (
            json!({ "type": "response.failed" }),
            ModelErrorKind::Server,
            Retry::After(None),
        ),
    ] {
        let fault = play(std::slice::from_ref(&event)).unwrap_err();
        assert_eq!((fault.kind, fault.retry), (kind, retry), "{event}");
    }
}

#[test]
fn malformed_streams() {
    let call = "data: {\"type\":\"response.output_item.done\",\"item\":";
    for stream in [
        "data: {\"type\":\"response.cre\n\n",
        "data: {\"type\":\"response.output_text.delta\"}\n\n",
        "data: {\"type\":\"response.output_text.delta\",\"delta\":1}\n\n",
        "data: 7\n\n",
        "data: {\"type\":\"response.output_item.done\"}\n\n",
        &format!("{call}{{}}}}\n\n"),
        &format!("{call}{{\"type\":\"function_call\",\"name\":\"n\"}}}}\n\n"),
        &format!("{call}{{\"type\":\"function_call\",\"call_id\":\"c\",\"name\":\"\"}}}}\n\n"),
        &format!("data: {}\n\n", "[".repeat(10_000)),
    ] {
        let fault = decode(&Responses, stream).unwrap_err();
        assert_eq!(
            (fault.kind, fault.retry),
            (ModelErrorKind::Protocol, Retry::After(None)),
            "{stream:.200}"
        );
    }
    for stream in [
        "",
        "data: [DONE]\n\n",
        "data:\n\n",
        "event: ping\ndata: {}\n\n",
    ] {
        assert_eq!(
            decode(&Responses, stream).unwrap_err(),
            Fault::cut(),
            "{stream}"
        );
    }
}

#[test]
fn an_event_without_a_type_is_named_by_its_line() {
    let stream = "event: response.output_text.delta\ndata: {\"delta\":\"a\"}\n\n\
                  event: response.completed\ndata: {\"response\":{}}\n\n";
    assert_eq!(
        decode(&Responses, stream).unwrap(),
        [ModelEvent::TextDelta("a".to_owned()), end(StopReason::Done)]
    );
}

/// Any JSON, with the names and words that the decoder looks at.
fn value() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(vec![
        "",
        "message",
        "function_call",
        "custom_tool_call",
        "reasoning",
        "completed",
        "incomplete",
        "in_progress",
        "max_output_tokens",
        "server_error",
        "{}",
        "x",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3i64..4).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word.prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 6, |inner| {
        let name = prop::sample::select(vec![
            "type",
            "item",
            "response",
            "output",
            "id",
            "call_id",
            "name",
            "arguments",
            "input",
            "status",
            "content",
            "summary",
            "text",
            "refusal",
            "usage",
            "input_tokens",
            "error",
            "code",
            "incomplete_details",
            "reason",
            "delta",
            "output_index",
            "item_id",
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

fn event() -> impl Strategy<Value = SseEvent> {
    let kind = prop::sample::select(vec![
        "message",
        "error",
        "response.completed",
        "response.incomplete",
        "response.failed",
        "response.output_item.added",
        "response.output_item.done",
        "response.output_text.delta",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.custom_tool_call_input.delta",
        "response.reasoning_summary_part.added",
    ]);
    let data = prop_oneof![
        8 => value().prop_map(|value| value.to_string()),
        1 => ".{0,20}",
    ];
    (kind, data).prop_map(|(kind, data)| SseEvent {
        event: kind.to_owned(),
        data,
        id: String::new(),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn any_events_are_read_without_panic(events in prop::collection::vec(event(), 0..8)) {
        if let Ok(out) = decode_events(&Responses, &events) {
            let items = out.iter().position(|event| matches!(event, ModelEvent::Item(_)));
            if let Some(first) = items {
                let rest = &out[first..out.len() - 1];
                prop_assert!(rest.iter().all(|event| matches!(event, ModelEvent::Item(_))));
            }
            for event in &out {
                if let ModelEvent::Item(Item::ToolCall { call, .. }) = event {
                    prop_assert!(!call.call_id.is_empty() && !call.name.is_empty());
                }
            }
        }
    }

    #[test]
    fn no_stream_that_is_cut_gives_an_answer(cut in 0usize..6) {
        let events = [
            added(0, function(0, Some("in_progress"), Some(""))),
            piece(0, "{}"),
            done(0, function(0, Some("completed"), Some("{}"))),
            json!({ "type": "response.output_text.delta", "delta": "x" }),
            done(1, message("completed", "x")),
            completed(),
        ];
        prop_assert_eq!(play(&events[..cut]), Err(Fault::cut()));
    }
}
