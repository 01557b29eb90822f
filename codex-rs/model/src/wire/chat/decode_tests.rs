//! Streams of the wire, as the API and the servers that imitate it send them.

use codex_http::sse::SseEvent;
use codex_protocol::model::{Item, ModelErrorKind, ModelEvent, Native, StopReason, Usage};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::Chat;
use crate::fault::{Fault, Retry};
use crate::wire::samples::{decode, decode_events};

/// A chunk with a piece of the answer.
fn delta(delta: Value) -> Value {
    json!({ "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 7, "model": "m",
            "choices": [{ "index": 0, "delta": delta, "finish_reason": null }] })
}

fn finish(reason: &str) -> Value {
    json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": reason }] })
}

/// Plays chunks, without an end mark.
fn play(chunks: &[Value]) -> Result<Vec<ModelEvent>, Fault> {
    let stream: String = chunks
        .iter()
        .map(|chunk| format!("data: {chunk}\n\n"))
        .collect();
    decode(&Chat, &stream)
}

/// Plays an answer that ends well.
#[track_caller]
fn answer(mut chunks: Vec<Value>) -> Vec<ModelEvent> {
    chunks.push(finish("stop"));
    play(&chunks).unwrap()
}

/// The calls of an answer that ends well and consists of these fragments.
#[track_caller]
fn calls(fragments: Vec<Value>) -> Vec<(String, String, String)> {
    let chunks = fragments
        .into_iter()
        .map(|fragment| delta(json!({ "tool_calls": [fragment] })));
    let items = answer(chunks.collect()).into_iter();
    items
        .filter_map(|event| match event {
            ModelEvent::Item(Item::ToolCall { call, native: None }) if !call.text => {
                Some((call.call_id, call.name, call.arguments))
            }
            ModelEvent::Completed {
                stop: StopReason::Done,
                ..
            } => None,
            other => panic!("{other:?}"),
        })
        .collect()
}

fn fragment(index: u64, id: &str, name: &str, arguments: &str) -> Value {
    json!({ "index": index, "id": id, "type": "function",
            "function": { "name": name, "arguments": arguments } })
}

fn more(index: u64, arguments: &str) -> Value {
    json!({ "index": index, "function": { "arguments": arguments } })
}

fn text(text: &str) -> ModelEvent {
    ModelEvent::TextDelta(text.to_owned())
}

fn thought(text: &str) -> ModelEvent {
    ModelEvent::ReasoningDelta(text.to_owned())
}

fn assistant(text: &str) -> ModelEvent {
    ModelEvent::Item(Item::Assistant {
        text: text.to_owned(),
        native: None,
    })
}

fn reasoning(text: &str, own: Value) -> ModelEvent {
    ModelEvent::Item(Item::Reasoning {
        text: text.to_owned(),
        native: (!own.is_null()).then(|| Native {
            wire: "chat".to_owned(),
            value: own,
        }),
    })
}

fn end(stop: StopReason) -> ModelEvent {
    ModelEvent::Completed {
        usage: Usage::default(),
        stop,
    }
}

#[test]
fn a_turn_with_reasoning_text_and_usage() {
    let usage = json!({ "prompt_tokens": 4, "completion_tokens": 3, "total_tokens": 7,
        "prompt_tokens_details": { "cached_tokens": 2 },
        "completion_tokens_details": { "reasoning_tokens": 1 } });
    let expect = [
        thought("Hm"),
        thought("."),
        text("He"),
        text("llo"),
        reasoning("Hm.", json!({ "reasoning_content": "Hm." })),
        assistant("Hello"),
        ModelEvent::Completed {
            usage: Usage {
                input_tokens: 4,
                cached_input_tokens: 2,
                output_tokens: 3,
                reasoning_output_tokens: 1,
            },
            stop: StopReason::Done,
        },
    ];
    let chunks = [
        delta(json!({ "role": "assistant", "content": "", "refusal": null })),
        delta(json!({ "reasoning_content": "Hm", "content": null })),
        delta(json!({ "reasoning_content": "." })),
        delta(json!({ "content": "He" })),
        delta(json!({ "content": "llo" })),
    ];
    // The counts come by themselves at the end, or within the last choice.
    let mut apart = chunks.to_vec();
    apart.extend([finish("stop"), json!({ "choices": [], "usage": usage })]);
    assert_eq!(play(&apart).unwrap(), expect);
    let mut within = chunks.to_vec();
    let mut last = finish("stop");
    last["usage"] = usage.clone();
    within.push(last);
    assert_eq!(play(&within).unwrap(), expect);
    let mut in_choice = chunks.to_vec();
    let mut last = finish("stop");
    last["choices"][0]["usage"] = usage;
    in_choice.push(last);
    assert_eq!(play(&in_choice).unwrap(), expect);
}

#[test]
fn text_in_every_shape() {
    let own = |field: &str| json!({ field: "a" });
    for (chunk, expect) in [
        (json!({ "content": "a" }), vec![text("a"), assistant("a")]),
        (json!({ "refusal": "a" }), vec![text("a"), assistant("a")]),
        (
            json!({ "content": [{ "type": "text", "text": "a" }] }),
            vec![text("a"), assistant("a")],
        ),
        (
            json!({ "content": [{ "type": "thinking", "thinking": [{ "type": "text", "text": "a" }] }] }),
            vec![thought("a"), reasoning("a", Value::Null)],
        ),
        (
            json!({ "reasoning": "a" }),
            vec![thought("a"), reasoning("a", own("reasoning"))],
        ),
        (
            json!({ "reasoning_text": "a" }),
            vec![thought("a"), reasoning("a", own("reasoning_text"))],
        ),
        (
            json!({ "reasoning": "a", "reasoning_content": "a" }),
            vec![
                thought("a"),
                reasoning("a", json!({ "reasoning": "a", "reasoning_content": "a" })),
            ],
        ),
        (
            json!({ "content": "", "annotations": [], "obfuscation": "xyz" }),
            vec![],
        ),
        (Value::Null, vec![]),
    ] {
        let mut expect = expect;
        expect.push(end(StopReason::Done));
        assert_eq!(answer(vec![delta(chunk.clone())]), expect, "{chunk}");
    }
}

#[test]
fn unknown_fields_are_kept_for_the_next_request() {
    let detail =
        |text: &str| json!({ "type": "reasoning.text", "text": text, "format": "f", "index": 0 });
    let signed = json!({ "type": "reasoning.text", "signature": "sig", "index": 0, "text": null });
    let sealed = json!({ "type": "reasoning.encrypted", "data": "gAAA", "index": 1 });
    let events = answer(vec![
        delta(json!({ "reasoning_details": [detail("a")], "x_new": "1", "n": 1 })),
        delta(json!({ "reasoning_details": [detail("b"), signed], "x_new": "2", "n": 2 })),
        delta(json!({ "reasoning_details": [sealed], "extra_content": { "a": { "b": 1 } } })),
        delta(json!({ "extra_content": { "c": 2 }, "nothing": null })),
    ]);
    let own = json!({
        "reasoning_details": [
            { "type": "reasoning.text", "text": "ab", "format": "f", "index": 0, "signature": "sig" },
            sealed,
        ],
        "x_new": "12",
        "n": 2,
        "extra_content": { "a": { "b": 1 }, "c": 2 },
    });
    assert_eq!(events, [reasoning("", own), end(StopReason::Done)]);

    let mut call = fragment(0, "c", "shell", "{}");
    call["extra_content"] = json!({ "google": { "thought_signature": "s" } });
    let events = answer(vec![delta(json!({ "tool_calls": [call] }))]);
    let ModelEvent::Item(Item::ToolCall { native, .. }) = &events[0] else {
        panic!("{events:?}");
    };
    assert_eq!(
        native.as_ref().unwrap().value,
        json!({ "extra_content": { "google": { "thought_signature": "s" } } })
    );
}

#[test]
fn calls_are_put_together_however_they_are_cut() {
    let call = |id: &str, name: &str, arguments: &str| {
        (id.to_owned(), name.to_owned(), arguments.to_owned())
    };
    let two = [call("a", "f", "{\"n\":1}"), call("b", "g", "{\"n\":2}")];
    for (why, fragments) in [
        (
            "OpenAI",
            vec![
                fragment(0, "a", "f", ""),
                more(0, "{\"n\""),
                more(0, ":1}"),
                fragment(1, "b", "g", ""),
                more(1, "{\"n\":"),
                more(1, "2}"),
            ],
        ),
        (
            "interleaved",
            vec![
                fragment(0, "a", "f", "{"),
                fragment(1, "b", "g", "{"),
                more(1, "\"n\":2"),
                more(0, "\"n\":1"),
                more(1, "}"),
                more(0, "}"),
            ],
        ),
        (
            "whole",
            vec![
                fragment(0, "a", "f", "{\"n\":1}"),
                fragment(1, "b", "g", "{\"n\":2}"),
            ],
        ),
        (
            "whole, all with one index",
            vec![
                fragment(0, "a", "f", "{\"n\":1}"),
                fragment(0, "b", "g", "{\"n\":2}"),
            ],
        ),
        (
            "cut, all with one index",
            vec![
                fragment(0, "a", "f", ""),
                more(0, "{\"n\":1}"),
                fragment(0, "b", "g", ""),
                more(0, "{\"n\":2}"),
            ],
        ),
        (
            "id and name repeated",
            vec![
                fragment(0, "a", "f", "{\"n\""),
                fragment(0, "a", "f", ":1}"),
                fragment(1, "b", "g", "{\"n\":"),
                fragment(1, "b", "g", "2}"),
            ],
        ),
        (
            "an id for each fragment",
            vec![
                fragment(0, "a", "f", ""),
                fragment(0, "x", "", "{\"n\""),
                fragment(0, "y", "", ":1}"),
                fragment(1, "b", "g", ""),
                fragment(1, "z", "", "{\"n\":2}"),
            ],
        ),
        (
            "arguments repeated at the end, and space behind them",
            vec![
                fragment(0, "a", "f", "{\"n\""),
                more(0, ":1}"),
                fragment(0, "a", "f", "{\"n\":1}"),
                fragment(0, "a", "f", ""),
                fragment(1, "b", "g", "{\"n\":2}"),
                more(1, ""),
            ],
        ),
        (
            "an empty object first",
            vec![
                fragment(0, "a", "f", "{}"),
                more(0, "{\"n\""),
                more(0, ":1}"),
                fragment(1, "b", "g", "{}"),
                fragment(1, "b", "g", "{\"n\":2}"),
            ],
        ),
        (
            "a name in pieces, and an id that comes late",
            vec![
                json!({ "index": 0, "function": { "name": "f", "arguments": null } }),
                fragment(0, "a", "", "{\"n\":1}"),
                json!({ "index": 1, "id": "b", "function": { "name": "g" } }),
                more(1, "{\"n\":2}"),
            ],
        ),
        (
            "no index",
            vec![
                json!({ "id": "a", "function": { "name": "f", "arguments": "{\"n\":" } }),
                json!({ "function": { "arguments": "1}" } }),
                json!({ "id": "b", "function": { "name": "g" } }),
                json!({ "id": "b", "function": { "arguments": "{\"n\":2}" } }),
            ],
        ),
        (
            "arguments that are an object",
            vec![
                json!({ "index": 0, "id": "a", "function": { "name": "f", "arguments": { "n": 1 } } }),
                json!({ "id": "b", "function": { "name": "g", "arguments": { "n": 2 } } }),
            ],
        ),
    ] {
        assert_eq!(calls(fragments), two, "{why}");
    }
    let pieces = vec![
        fragment(0, "a", "apply_", ""),
        fragment(0, "a", "patch", ""),
        more(0, "{}"),
    ];
    assert_eq!(calls(pieces), [call("a", "apply_patch", "{}")]);
    let bare = vec![fragment(0, "a", "f", ""), fragment(0, "b", "g", " ")];
    assert_eq!(calls(bare), [call("a", "f", "{}"), call("b", "g", "{}")]);
    // What is no JSON is the model's mistake, which its tool tells it.
    let braces = "{\"a\":\"}\\\"}{\",\"b\":{}}";
    let odd = vec![
        fragment(0, "a", "f", braces),
        fragment(0, "b", "f", "{\"a"),
        more(0, "}"),
    ];
    assert_eq!(
        calls(odd),
        [call("a", "f", braces), call("b", "f", "{\"a}")]
    );
}

#[test]
fn calls_without_ids_get_some() {
    let bare = |arguments: &str| json!({ "function": { "name": "f", "arguments": arguments } });
    let fragments = || {
        vec![
            bare("{\"n\":1}"),
            bare("{\"n\":2}"),
            fragment(5, "", "f", "{}"),
            fragment(6, "", "f", "{}"),
        ]
    };
    let first = calls(fragments());
    let ids: std::collections::BTreeSet<&str> = first.iter().map(|(id, ..)| id.as_str()).collect();
    assert_eq!(ids.len(), 4, "{first:?}");
    assert!(
        ids.iter()
            .all(|id| id.len() == 21 && id.starts_with("call_")),
        "{ids:?}"
    );
    assert_eq!(calls(fragments()), first, "the same stream, the same ids");
    let other = answer(vec![
        json!({ "id": "chatcmpl-2" }),
        delta(json!({ "tool_calls": [bare("{\"n\":1}")] })),
    ]);
    let ModelEvent::Item(Item::ToolCall { call, .. }) = &other[0] else {
        panic!("{other:?}");
    };
    assert!(
        !ids.contains(call.call_id.as_str()),
        "another answer, other ids"
    );
    let same = calls(vec![
        fragment(0, "a", "f", "{}"),
        fragment(1, "a", "g", "{}"),
    ]);
    assert_eq!(same[0].0, "a");
    assert_ne!(same[1].0, "a");
}

#[test]
fn the_older_form_of_a_call() {
    let chunks = [
        delta(json!({ "function_call": { "name": "f", "arguments": "" } })),
        delta(json!({ "function_call": { "arguments": "{\"n\":1}" } })),
        finish("function_call"),
    ];
    let events = play(&chunks).unwrap();
    let ModelEvent::Item(Item::ToolCall { call, .. }) = &events[0] else {
        panic!("{events:?}");
    };
    assert_eq!(
        (call.name.as_str(), call.arguments.as_str()),
        ("f", "{\"n\":1}")
    );
}

#[test]
fn finish_reasons() {
    for (reasons, stop) in [
        (vec!["stop"], StopReason::Done),
        (vec!["tool_calls"], StopReason::Done),
        (vec!["function_call"], StopReason::Done),
        (vec!["STOP"], StopReason::Done),
        (vec!["eos"], StopReason::Done),
        (vec!["", "stop", ""], StopReason::Done),
        (vec!["tool_calls", "stop"], StopReason::Done),
        (vec!["length"], StopReason::Length),
        (vec!["length", "stop"], StopReason::Length),
        (vec!["stop", "length"], StopReason::Length),
        (vec!["content_filter"], StopReason::Filtered),
    ] {
        let mut chunks = vec![
            delta(json!({ "content": "a" })),
            delta(json!({ "tool_calls": [fragment(0, "c", "f", "{}")] })),
        ];
        chunks.extend(reasons.iter().map(|reason| finish(reason)));
        let events = play(&chunks).unwrap();
        assert_eq!(events.last(), Some(&end(stop)), "{reasons:?}");
        // No call of an answer that broke off passes, for nothing says whether it is whole.
        let items = events
            .iter()
            .filter(|event| matches!(event, ModelEvent::Item(_)));
        let expect = if stop == StopReason::Done { 2 } else { 1 };
        assert_eq!(items.count(), expect, "{reasons:?}");
    }
    for reason in [
        "error",
        "abort",
        "insufficient_system_resource",
        "network_error",
    ] {
        let fault = play(&[delta(json!({ "content": "a" })), finish(reason)]).unwrap_err();
        assert_eq!(
            (fault.kind, fault.retry),
            (ModelErrorKind::Server, Retry::After(None)),
            "{reason}"
        );
    }
}

#[test]
fn the_end_mark_ends_an_answer_and_nothing_else_does_before_its_reason() {
    let done = format!(
        "data: {}\n\ndata: [DONE]\n\ndata: {{\"error\":\"late\"}}\n\n",
        finish("stop")
    );
    assert_eq!(decode(&Chat, &done).unwrap(), [end(StopReason::Done)]);
    assert_eq!(decode(&Chat, "data: [DONE]\n\n"), Err(Fault::cut()));
    assert_eq!(decode(&Chat, ""), Err(Fault::cut()));
    let usage = json!({ "choices": [], "usage": { "prompt_tokens": 1 } });
    assert_eq!(
        play(&[delta(json!({ "content": "a" })), usage]),
        Err(Fault::cut())
    );
}

#[test]
fn failures_within_the_stream() {
    use ModelErrorKind as Kind;
    let passes = Retry::After(None);
    for (stream, kind, retry, words) in [
        (
            r#"data: {"error":{"message":"m","type":"server_error","code":null}}"#,
            Kind::Server,
            passes,
            "m",
        ),
        (
            r#"data: {"error":"it broke"}"#,
            Kind::Server,
            passes,
            "it broke",
        ),
        (
            r#"data: {"error":{"message":"too fast","code":429}}"#,
            Kind::RateLimit,
            passes,
            "too fast",
        ),
        (
            r#"data: {"error":{"message":"bad","type":"BadRequestError","code":400}}"#,
            Kind::Rejected,
            Retry::Never,
            "bad",
        ),
        (
            r#"data: {"object":"error","message":"old vLLM","type":"E","code":400}"#,
            Kind::Rejected,
            Retry::Never,
            "old vLLM",
        ),
        (
            r#"data: {"error":{"message":"m","code":"context_length_exceeded"}}"#,
            Kind::ContextTooLong,
            Retry::Never,
            "m",
        ),
        (
            r#"data: {"error":{"code":502,"message":"up"},"choices":[{"delta":{},"finish_reason":"error"}]}"#,
            Kind::Server,
            passes,
            "up",
        ),
        (
            "event: error\ndata: {\"error\":{\"message\":\"Model unloaded\"}}",
            Kind::Server,
            passes,
            "Model unloaded",
        ),
        (
            "event: error\ndata: plain words",
            Kind::Server,
            passes,
            "plain words",
        ),
    ] {
        let fault = decode(&Chat, &format!("{stream}\n\n")).unwrap_err();
        assert_eq!((fault.kind, fault.retry), (kind, retry), "{stream}");
        assert!(fault.reason.contains(words), "{}", fault.reason);
    }
}

#[test]
fn what_is_not_of_the_wire() {
    let nameless = delta(json!({ "tool_calls": [{ "index": 0, "id": "c", "function": {} }] }));
    let stray = delta(json!({ "tool_calls": [{ "function": { "arguments": "{}" } }] }));
    let crowd: Vec<Value> = (0..129).map(|at| fragment(at, "", "f", "{}")).collect();
    for chunk in [
        json!("text"),
        json!([1]),
        json!({ "choices": {} }),
        delta(json!({ "content": 7 })),
        delta(json!({ "tool_calls": {} })),
        delta(json!({ "tool_calls": [7] })),
        nameless,
        stray,
        delta(json!({ "tool_calls": crowd })),
    ] {
        let fault = play(&[chunk.clone(), finish("stop")]).unwrap_err();
        assert_eq!(fault.kind, ModelErrorKind::Protocol, "{chunk}");
        assert_eq!(fault.retry, Retry::After(None), "{chunk}");
    }
    assert_eq!(
        decode(&Chat, "data: {\"choi\n\n").unwrap_err().kind,
        ModelErrorKind::Protocol
    );
}

#[test]
fn unknown_chunks_and_other_choices_are_ignored() {
    let mut second = delta(json!({ "content": "second" }));
    second["choices"][0]["index"] = json!(1);
    let events = answer(vec![
        json!({ "prompt_filter_results": [], "choices": [] }),
        json!({ "choices": null, "usage": null, "timings": {} }),
        json!({}),
        second,
        json!({ "choices": [{ "delta": { "content": "first" } }] }),
    ]);
    assert_eq!(
        events,
        [text("first"), assistant("first"), end(StopReason::Done)]
    );
}

#[test]
fn unknown_fields_are_limited_but_long_reasoning_is_not() {
    let nested = vec![json!([]); 200_000];
    let wide = delta(json!({ "x": nested }));
    let chunks = vec![wide; 9];
    let fault = play(&chunks).unwrap_err();
    assert_eq!(
        (fault.kind, fault.retry),
        (ModelErrorKind::Protocol, Retry::Never)
    );

    let piece = "x".repeat(1000);
    let long = delta(json!({ "reasoning": piece, "reasoning_details":
        [{ "type": "reasoning.text", "text": piece, "format": "f", "index": 0 }] }));
    let events = answer(vec![long; 6000]);
    let ModelEvent::Item(Item::Reasoning { text, native }) = &events[6000] else {
        panic!("no reasoning");
    };
    assert_eq!(text.len(), 6_000_000);
    let own = &native.as_ref().unwrap().value;
    assert_eq!(own["reasoning_details"].as_array().unwrap().len(), 1);
    assert_eq!(own["reasoning_details"][0]["text"], json!(text));
}

/// Any JSON, with the names and words that the decoder looks at.
fn value() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(vec![
        "", "stop", "length", "error", "{}", "{", "}", "f", "a", "\\\"", "é",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-2i64..3).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word.prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 32, 6, |inner| {
        let name = prop::sample::select(vec![
            "id",
            "choices",
            "delta",
            "finish_reason",
            "usage",
            "index",
            "content",
            "refusal",
            "reasoning",
            "reasoning_content",
            "reasoning_details",
            "tool_calls",
            "function",
            "function_call",
            "name",
            "arguments",
            "type",
            "text",
            "thinking",
            "object",
            "prompt_tokens",
            "prompt_tokens_details",
            "cached_tokens",
            "extra_content",
        ]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((name, inner), 0..6).prop_map(|fields| {
                let fields = fields
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value));
                Value::Object(fields.collect())
            }),
        ]
    })
}

fn event() -> impl Strategy<Value = SseEvent> {
    let data = prop_oneof![
        3 => value().prop_map(|value| value.to_string()),
        3 => value().prop_map(|value| delta(value).to_string()),
        3 => value().prop_map(|value| delta(json!({ "tool_calls": [value] })).to_string()),
        2 => Just(finish("stop").to_string()),
        1 => ".{0,20}",
        1 => Just("[DONE]".to_owned()),
    ];
    let kind = prop_oneof![20 => Just("message"), 1 => Just("error")];
    (kind, data).prop_map(|(kind, data)| SseEvent {
        event: kind.to_owned(),
        data,
        id: String::new(),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn any_chunks_are_read_without_panic(events in prop::collection::vec(event(), 0..8)) {
        if let Ok(out) = decode_events(&Chat, &events) {
            let is_item = |event: &ModelEvent| matches!(event, ModelEvent::Item(_));
            if let Some(first) = out.iter().position(is_item) {
                prop_assert!(out[first..out.len() - 1].iter().all(is_item));
            }
            let mut ids = std::collections::BTreeSet::new();
            for event in &out {
                if let ModelEvent::Item(Item::ToolCall { call, .. }) = event {
                    prop_assert!(!call.name.is_empty() && !call.arguments.is_empty());
                    prop_assert!(!call.call_id.is_empty() && ids.insert(&call.call_id));
                }
            }
        }
    }

    #[test]
    fn arguments_come_through_however_they_are_cut(
        argument in "[a-z{}\"\\\\\n é🦀]{0,20}",
        cuts in prop::collection::vec(1usize..6, 0..20),
    ) {
        let whole = json!({ "input": argument, "deep": [{ "a": {} }, "}"] }).to_string();
        let mut fragments = vec![fragment(0, "a", "f", "")];
        let mut rest = whole.as_str();
        for cut in cuts {
            let at = rest.floor_char_boundary(cut);
            fragments.push(more(0, &rest[..at]));
            rest = &rest[at..];
        }
        fragments.push(more(0, rest));
        prop_assert_eq!(calls(fragments), [("a".to_owned(), "f".to_owned(), whole)]);
    }

    #[test]
    fn no_stream_that_is_cut_gives_an_answer(cut in 0usize..5) {
        let chunks = [
            delta(json!({ "role": "assistant", "content": "" })),
            delta(json!({ "content": "x" })),
            delta(json!({ "tool_calls": [fragment(0, "c", "f", "")] })),
            delta(json!({ "tool_calls": [more(0, "{}")] })),
            finish("tool_calls"),
        ];
        prop_assert_eq!(play(&chunks[..cut]), Err(Fault::cut()));
    }
}
