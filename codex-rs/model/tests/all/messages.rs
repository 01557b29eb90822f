//! The Messages wire against the scripted server.

use std::time::Duration;

use codex_model::{HttpModel, Provider, WireApi};
use codex_protocol::model::{
    Item, Model, ModelError, ModelErrorKind, ModelEvent, Prompt, ReasoningEffort, StopReason, Usage,
};
use codex_test_support::{Item as Scripted, Reply, ScriptedModel};
use serde_json::json;

use crate::{Answer, KEY, ask, model, prompt, provider};

fn claude(server: &ScriptedModel) -> Provider {
    Provider {
        key: provider(server).key,
        key_variables: vec!["SCRIPTED_API_KEY".to_owned()],
        ..Provider::new("scripted", server.base_url(), WireApi::Messages)
    }
}

fn to(server: &ScriptedModel) -> HttpModel {
    model(claude(server))
}

fn asks(items: Vec<Item>) -> Prompt {
    Prompt {
        model: "claude-sonnet-4-5".to_owned(),
        ..prompt(items)
    }
}

fn question() -> Prompt {
    asks(vec![Item::user("look")])
}

fn first_turn() -> Vec<Scripted> {
    vec![
        Scripted::reasoning("unused", "I should look.", "c2lnbmF0dXJl"),
        Scripted::other(json!({ "type": "redacted_thinking", "data": "ZGF0YQ==" })),
        Scripted::message("Looking, grüße 🦀."),
        Scripted::function_call("toolu_1", "shell", r#"{"command":"ls -la"}"#),
        Scripted::function_call("toolu_2", "apply_patch", r#"{"input":"*** Begin Patch"}"#),
    ]
}

fn good() -> Reply {
    Reply::messages(first_turn())
}

fn calls(answer: &Answer) -> Vec<(&str, &str, &str)> {
    answer
        .items
        .iter()
        .filter_map(|item| match item {
            Item::ToolCall { call, .. } => Some((
                call.call_id.as_str(),
                call.name.as_str(),
                call.arguments.as_str(),
            )),
            _ => None,
        })
        .collect()
}

#[track_caller]
fn assert_good(answer: &Answer) {
    assert_eq!(answer.error, None);
    assert_eq!(answer.text, "Looking, grüße 🦀.");
    assert_eq!(answer.reasoning, "I should look.");
    assert_eq!(
        calls(answer),
        [
            ("toolu_1", "shell", r#"{"command":"ls -la"}"#),
            ("toolu_2", "apply_patch", r#"{"input":"*** Begin Patch"}"#),
        ]
    );
    let usage = Usage {
        input_tokens: 120,
        cached_input_tokens: 40,
        output_tokens: 30,
        reasoning_output_tokens: 0,
    };
    let stop = StopReason::Done;
    assert_eq!(
        answer.completed,
        Some(ModelEvent::Completed { usage, stop })
    );
}

#[tokio::test]
async fn a_turn_with_parallel_calls_and_the_request_after_it() {
    let server = ScriptedModel::start(vec![
        good(),
        Reply::messages(vec![Scripted::message("Done.")]),
    ]);
    let model = to(&server);
    assert_eq!(model.endpoint(), format!("{}/messages", server.base_url()));
    let mut items = vec![Item::user("look")];
    let first = ask(&model, asks(items.clone())).await;
    assert_eq!(first.retries, []);
    assert_good(&first);

    items.extend(first.items);
    for (call_id, success) in [("toolu_1", true), ("toolu_2", false)] {
        items.push(Item::ToolOutput {
            call_id: call_id.to_owned(),
            output: "total 0".to_owned(),
            success,
            text: false,
        });
    }
    items.push(Item::user("go on"));
    assert_eq!(ask(&model, asks(items)).await.text, "Done.");
    server.assert_finished();

    let turns = server.turns();
    for turn in &turns {
        assert_eq!(turn.path, "/v1/messages");
        assert_eq!(turn.header("x-api-key"), Some(KEY));
        assert_eq!(turn.header("authorization"), None);
        assert_eq!(turn.header("anthropic-version"), Some("2023-06-01"));
        assert_eq!(turn.body["max_tokens"], 32_000);
        assert_eq!(
            turn.body["thinking"],
            json!({ "type": "enabled", "budget_tokens": 4096 })
        );
    }
    let messages = turns[1].body["messages"].as_array().unwrap();
    assert_eq!(messages.len(), 3);
    assert_eq!(
        messages[1],
        json!({ "role": "assistant", "content": [
            { "type": "thinking", "thinking": "I should look.", "signature": "c2lnbmF0dXJl" },
            { "type": "redacted_thinking", "data": "ZGF0YQ==" },
            { "type": "text", "text": "Looking, grüße 🦀." },
            { "type": "tool_use", "id": "toolu_1", "name": "shell",
              "input": { "command": "ls -la" } },
            { "type": "tool_use", "id": "toolu_2", "name": "apply_patch",
              "input": { "input": "*** Begin Patch" } },
        ] })
    );
    assert_eq!(
        messages[2],
        json!({ "role": "user", "content": [
            { "type": "tool_result", "tool_use_id": "toolu_1", "content": "total 0" },
            { "type": "tool_result", "tool_use_id": "toolu_2", "content": "total 0",
              "is_error": true },
            { "type": "text", "text": "go on" },
        ] })
    );
    // The cache's prefix: all of the first request up to the end of its last message.
    let prefix = turns[0].bytes.strip_suffix(b"]}]}").unwrap();
    assert!(turns[1].bytes.starts_with(prefix));
}

#[tokio::test]
async fn a_base_url_without_a_version() {
    let server = ScriptedModel::start(vec![good()]);
    let mut provider = claude(&server);
    provider.base_url = server.root_url();
    assert_good(&ask(&model(provider), question()).await);
    server.assert_finished();
}

#[tokio::test]
async fn pieces_of_one_byte_give_the_same() {
    let server = ScriptedModel::start(vec![good(), good().chunk_size(1)]);
    let model = to(&server);
    let whole = ask(&model, question()).await;
    assert_good(&whole);
    assert_eq!(ask(&model, question()).await, whole);
}

/// What comes of this first reply, when the second is a good one.
async fn recovers(first: Reply) -> Answer {
    let server = ScriptedModel::start(vec![first, good()]);
    let answer = ask(&to(&server), question()).await;
    server.assert_finished();
    assert_good(&answer);
    let turns = server.turns();
    assert_eq!(turns[0].bytes, turns[1].bytes, "the request changed");
    assert_eq!(answer.retries.len(), 1, "{:?}", answer.retries);
    answer
}

#[tokio::test]
async fn streams_that_break_off_are_asked_for_again() {
    let mut attempts = tokio::task::JoinSet::new();
    for reply in [
        good().cut_after(0),
        good().cut_after(3),
        good().cut_after(12),
        good().cut_after_bytes(2000),
        good().end_after(0),
        good().end_after(5),
        good().end_after(20),
        good().insert_bytes(6, "data: {\"type\":\"content_bl\n\n"),
        good().insert_event(
            6,
            "content_block_delta",
            &json!({ "type": "content_block_delta", "index": 99,
                     "delta": { "type": "text_delta", "text": "astray" } }),
        ),
        good().fails("overloaded_error", "Overloaded"),
    ] {
        attempts.spawn(recovers(reply));
    }
    assert_eq!(attempts.join_all().await.len(), 10);
}

#[tokio::test]
async fn only_the_last_event_makes_an_answer() {
    let mut frames = 0;
    loop {
        let server = ScriptedModel::start(vec![good().end_after(frames)]);
        let mut provider = claude(&server);
        provider.stream_max_retries = 0;
        let answer = ask(&model(provider), question()).await;
        if answer.completed.is_some() {
            assert_good(&answer);
            break;
        }
        let error = answer.failed();
        assert_eq!(error.kind, ModelErrorKind::Network, "{}", error.message);
        frames += 1;
        assert!(frames < 1000, "the answer never ends");
    }
    assert!(frames > 20, "{frames}");
}

#[tokio::test]
async fn a_stalled_stream_is_given_up_and_asked_for_again() {
    let stalled = good().stall_after(6, Duration::from_secs(3600));
    let server = ScriptedModel::start(vec![stalled, good()]);
    let mut provider = claude(&server);
    provider.stream_idle_timeout = Duration::from_millis(300);
    let answer = ask(&model(provider), question()).await;
    assert_good(&answer);
    assert!(
        answer.retries[0].2.contains("silent for 300ms"),
        "{:?}",
        answer.retries
    );
}

#[tokio::test]
async fn limits_on_requests_and_overload_pass() {
    let limited =
        Reply::error_json(429, "rate_limit_error", "Slow down.").header("retry-after", "1");
    assert_eq!(
        recovers(limited).await.retries,
        [(2, 1000, "status 429: Slow down.".to_owned())]
    );
    let overloaded =
        Reply::error_json(529, "overloaded_error", "Overloaded").header("retry-after", "0");
    assert_eq!(
        recovers(overloaded).await.retries,
        [(2, 0, "status 529: Overloaded".to_owned())]
    );
}

async fn refused(reply: Reply) -> ModelError {
    let server = ScriptedModel::start(vec![reply]);
    let answer = ask(&to(&server), question()).await;
    assert_eq!(answer.retries, []);
    answer.failed()
}

#[tokio::test]
async fn what_waiting_does_not_mend_is_not_tried_again() {
    for (status, code, text, kind) in [
        (
            401,
            "authentication_error",
            "invalid x-api-key",
            ModelErrorKind::Auth,
        ),
        (404, "not_found_error", "model: x", ModelErrorKind::Rejected),
        (
            400,
            "invalid_request_error",
            "max_tokens: wrong",
            ModelErrorKind::Rejected,
        ),
        (
            400,
            "invalid_request_error",
            "prompt is too long: 9 > 8",
            ModelErrorKind::ContextTooLong,
        ),
        (
            413,
            "request_too_large",
            "Too large",
            ModelErrorKind::ContextTooLong,
        ),
    ] {
        let error = refused(Reply::error_json(status, code, text)).await;
        assert_eq!(error.kind, kind, "{}", error.message);
        assert!(error.message.contains(text), "{}", error.message);
    }
    let mut provider = claude(&ScriptedModel::start(vec![]));
    provider.key = None;
    let error = ask(&model(provider), question()).await.failed();
    assert_eq!(error.kind, ModelErrorKind::Auth);
    assert!(
        error.message.contains("SCRIPTED_API_KEY"),
        "{}",
        error.message
    );
}

#[tokio::test]
async fn answers_that_end_early() {
    // A limit cuts the last call, though its block ends in good order.
    let server = ScriptedModel::start(vec![
        Reply::messages(vec![
            Scripted::reasoning("unused", "Hm.", "c2ln"),
            Scripted::function_call("toolu_1", "shell", r#"{"command":"rm -r ./bui"#),
        ])
        .out_of_tokens(),
    ]);
    let answer = ask(&to(&server), question()).await;
    assert_eq!(answer.stop(), Some(StopReason::Length));
    assert_eq!(calls(&answer), []);
    assert_eq!(answer.reasoning, "Hm.");

    // The script's ends know no refusal: it comes in place of the events that follow the text.
    let refusal = json!({ "type": "message_delta", "delta": { "stop_reason": "refusal" } });
    let last = json!({ "type": "message_stop" });
    let server = ScriptedModel::start(vec![
        Reply::messages(vec![])
            .insert_event(1, "message_delta", &refusal)
            .insert_event(2, "message_stop", &last),
    ]);
    let answer = ask(&to(&server), question()).await;
    assert_eq!(answer.stop(), Some(StopReason::Filtered));
    assert_eq!(answer.items, []);
}

#[tokio::test]
async fn unknown_events_and_blocks_are_no_harm() {
    let new = json!({ "type": "brand_new", "x": { "y": [1, null] } });
    let server = ScriptedModel::start(vec![
        Reply::messages(vec![Scripted::other(new.clone()), Scripted::message("Hi.")])
            .insert_event(1, "brand_new", &json!({ "type": "brand_new" }))
            .insert_bytes(3, ": keep-alive\n\n"),
        Reply::messages(vec![Scripted::message("Done.")]),
    ]);
    let model = to(&server);
    let answer = ask(&model, question()).await;
    assert_eq!((answer.text.as_str(), answer.items.len()), ("Hi.", 2));
    let mut items = vec![Item::user("look")];
    items.extend(answer.items);
    items.push(Item::user("go on"));
    let next = Prompt {
        effort: Some(ReasoningEffort::None),
        ..asks(items)
    };
    assert_eq!(ask(&model, next).await.text, "Done.");
    let turns = server.turns();
    assert_eq!(turns[1].body["messages"][1]["content"][0], new);
    assert!(turns[1].body.get("thinking").is_none());
}
