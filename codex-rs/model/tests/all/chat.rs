//! The chat wire against a scripted server.

use std::time::Duration;

use codex_http::Secret;
use codex_model::{HttpModel, Provider, WireApi};
use codex_protocol::model::{
    Content, Item, Model, ModelErrorKind, ModelEvent, Native, Prompt, StopReason, Usage,
};
use codex_protocol::tool::ToolCall;
use codex_test_support::{Item as Scripted, Reply, ScriptedModel};
use serde_json::{Value, json};

use crate::schema::check;
use crate::{Answer, KEY, ask, model, prompt};

fn chat(server: &ScriptedModel) -> HttpModel {
    chat_as("local", server)
}

fn chat_as(name: &str, server: &ScriptedModel) -> HttpModel {
    let mut provider = Provider::new(name, server.base_url(), WireApi::Chat);
    provider.key = Some(Secret::new(KEY));
    provider.stream_idle_timeout = Duration::from_secs(20);
    model(provider)
}

fn question() -> Prompt {
    prompt(vec![Item::user("look")])
}

/// Text, and two calls beside one another.
fn calling() -> Reply {
    Reply::chat(vec![
        Scripted::reasoning("", "I should look.", ""),
        Scripted::message("Looking, grüße 🦀."),
        Scripted::function_call("call_1", "shell", r#"{"command":"ls -la"}"#),
        Scripted::function_call("call_2", "apply_patch", r#"{"input":"*** Begin"}"#),
    ])
}

fn call(call_id: &str, name: &str, arguments: &str) -> Item {
    Item::ToolCall {
        call: ToolCall {
            call_id: call_id.to_owned(),
            name: name.to_owned(),
            arguments: arguments.to_owned(),
            text: false,
        },
        native: None,
    }
}

fn output(call_id: &str) -> Item {
    Item::ToolOutput {
        call_id: call_id.to_owned(),
        output: "total 0".to_owned(),
        success: true,
        text: false,
    }
}

/// What `calling` says.
#[track_caller]
fn assert_calling(answer: &Answer) {
    assert_eq!(answer.error, None);
    assert_eq!(answer.text, "Looking, grüße 🦀.");
    assert_eq!(answer.reasoning, "I should look.");
    assert_eq!(
        answer.items,
        [
            Item::Reasoning {
                text: "I should look.".to_owned(),
                native: Some(Native {
                    wire: "chat".to_owned(),
                    value: json!({ "reasoning_content": "I should look." }),
                }),
            },
            Item::Assistant {
                text: "Looking, grüße 🦀.".to_owned(),
                native: None,
            },
            call("call_1", "shell", r#"{"command":"ls -la"}"#),
            call("call_2", "apply_patch", r#"{"input":"*** Begin"}"#),
        ]
    );
    let usage = Usage {
        input_tokens: 120,
        cached_input_tokens: 40,
        output_tokens: 30,
        reasoning_output_tokens: 10,
    };
    let stop = StopReason::Done;
    assert_eq!(
        answer.completed,
        Some(ModelEvent::Completed { usage, stop })
    );
}

/// Asserts that `body` is a `CreateChatCompletionRequest`, and what the schema leaves out: that
/// each call is answered right after it.
#[track_caller]
fn assert_valid_request(body: &Value) {
    let fits = |name: &str, value: &Value| {
        let schema = json!({ "$ref": format!("#/components/schemas/{name}") });
        if let Err(why) = check(&schema, value, "") {
            panic!("not a valid {name}: {why}\n{value:#}");
        }
    };
    fits("CreateChatCompletionRequest", body);
    let mut open: Vec<&str> = Vec::new();
    for message in body["messages"].as_array().unwrap() {
        // The alternatives overlap: ask for the very one.
        let role = message["role"].as_str().unwrap();
        fits(
            match role {
                "system" => "ChatCompletionRequestSystemMessage",
                "user" => "ChatCompletionRequestUserMessage",
                "assistant" => "ChatCompletionRequestAssistantMessage",
                "tool" => "ChatCompletionRequestToolMessage",
                other => panic!("a message of the role {other}"),
            },
            message,
        );
        if role == "tool" {
            let id = message["tool_call_id"].as_str().unwrap();
            let at = open.iter().position(|open| *open == id);
            open.remove(at.unwrap_or_else(|| panic!("{id} answers no call\n{body:#}")));
            continue;
        }
        assert!(open.is_empty(), "{open:?} are not answered\n{body:#}");
        for call in message["tool_calls"].as_array().into_iter().flatten() {
            fits("ChatCompletionMessageToolCall", call);
            open.push(call["id"].as_str().unwrap());
        }
    }
    assert!(open.is_empty(), "{open:?} are not answered\n{body:#}");
    for tool in body["tools"].as_array().into_iter().flatten() {
        fits("ChatCompletionTool", tool);
    }
}

#[tokio::test]
async fn a_turn_with_parallel_calls_and_the_request_after_it() {
    let server = ScriptedModel::start(vec![
        calling(),
        Reply::chat(vec![Scripted::message("Done.")]),
    ]);
    let model = chat(&server);
    assert_eq!(
        model.endpoint(),
        format!("{}/chat/completions", server.base_url())
    );
    let mut items = vec![Item::User {
        content: vec![
            Content::Text {
                text: "look".to_owned(),
            },
            Content::Image {
                media_type: "image/png".to_owned(),
                data: "iVBORw0=".to_owned(),
            },
        ],
    }];
    let first = ask(&model, prompt(items.clone())).await;
    assert_eq!(first.retries, []);
    assert_calling(&first);

    items.extend(first.items);
    items.extend([output("call_1"), output("call_2"), Item::user("go on")]);
    let second = ask(&model, prompt(items)).await;
    assert_eq!(second.text, "Done.");
    server.assert_finished();

    let turns = server.turns();
    for turn in &turns {
        assert_eq!(
            turn.header("authorization"),
            Some(&*format!("Bearer {KEY}"))
        );
        assert_valid_request(&turn.body);
    }
    let messages = turns[1].body["messages"].as_array().unwrap();
    let roles: Vec<_> = messages
        .iter()
        .map(|message| message["role"].as_str().unwrap())
        .collect();
    assert_eq!(
        roles,
        ["system", "user", "assistant", "tool", "tool", "user"]
    );
    assert_eq!(messages[2]["reasoning_content"], "I should look.");
    assert_eq!(messages[2]["tool_calls"].as_array().unwrap().len(), 2);
    // The cache's prefix: all of the first request up to the end of its messages.
    let prefix = turns[0].bytes.strip_suffix(b"]}").unwrap();
    assert!(turns[1].bytes.starts_with(prefix));
}

#[tokio::test]
async fn every_request_fits_the_published_description() {
    let replies = || Reply::chat(vec![Scripted::message("Hi.")]);
    let server = ScriptedModel::start((0..4).map(|_| replies()).collect());
    let mut rich = prompt(vec![
        Item::Reasoning {
            text: "foreign".to_owned(),
            native: None,
        },
        Item::Assistant {
            text: "Looking.".to_owned(),
            native: None,
        },
        call("toolu_1", "shell", "not JSON"),
        Item::Assistant {
            text: "And more.".to_owned(),
            native: None,
        },
        call(&"long".repeat(20), "functions.shell:0", ""),
        output("toolu_1"),
        output(&"long".repeat(20)),
        Item::User { content: vec![] },
    ]);
    rich.output_schema = Some(json!({ "type": "object", "additionalProperties": false }));
    rich.max_output_tokens = Some(0);
    let mut bare = question();
    bare.instructions.clear();
    bare.effort = None;
    bare.tools.clear();
    bare.cache_key.clear();
    for prompt in [rich, bare] {
        for name in ["openai", "local"] {
            let answer = ask(&chat_as(name, &server), prompt.clone()).await;
            assert_eq!(answer.stop(), Some(StopReason::Done));
        }
    }
    let turns = server.turns();
    assert_eq!(turns.len(), 4);
    for turn in &turns {
        assert_valid_request(&turn.body);
    }
    assert_eq!(turns[0].body["max_completion_tokens"], 1);
    assert_eq!(turns[1].body["max_tokens"], 1);
}

#[tokio::test]
async fn pieces_of_one_byte_give_the_same() {
    let server = ScriptedModel::start(vec![calling().chunk_size(1)]);
    let answer = ask(&chat(&server), question()).await;
    assert_eq!(answer.retries, []);
    assert_calling(&answer);
}

#[tokio::test]
async fn comments_and_unknown_events_are_ignored() {
    let reply = calling()
        .insert_bytes(0, ": OPENROUTER PROCESSING\n\n")
        .insert_event(2, "ping", &json!({ "any": "thing" }))
        .insert_event(
            3,
            "",
            &json!({ "choices": [], "prompt_filter_results": [] }),
        );
    let server = ScriptedModel::start(vec![reply]);
    assert_calling(&ask(&chat(&server), question()).await);
}

/// Lengths of `calling` around its own, in frames.
const FRAMES: std::ops::Range<usize> = 20..60;

#[tokio::test]
async fn an_answer_is_complete_with_its_reason_and_not_before() {
    // However many frames come before the stream ends: retried, or the very same answer.
    let (mut retried, mut whole) = (0, 0);
    for frames in FRAMES {
        let server = ScriptedModel::start(vec![calling().end_after(frames), calling()]);
        let answer = ask(&chat(&server), question()).await;
        assert_eq!(answer.items.len(), 4, "{frames} frames");
        assert_eq!(answer.text, "Looking, grüße 🦀.");
        assert_eq!(
            answer.items[3],
            call("call_2", "apply_patch", r#"{"input":"*** Begin"}"#)
        );
        if answer.retries.is_empty() {
            whole += 1;
        } else {
            assert_eq!(whole, 0, "{frames} frames");
            retried += 1;
        }
    }
    assert!(retried > 0 && whole > 2, "{retried} {whole}");
}

#[tokio::test]
async fn streams_that_break_are_asked_for_again() {
    let mut attempts = tokio::task::JoinSet::new();
    for first in [
        calling().cut_after(0),
        calling().cut_after(9),
        calling().cut_after_bytes(900),
        calling().end_after(1),
        calling().insert_bytes(5, "data: {\"choices\":[{\"del\n\n"),
        calling().insert_bytes(5, "data: garbage\n\n"),
        calling().fails("server_error", "Boom."),
        Reply::error_json(429, "rate_limit_exceeded", "Not now.").header("retry-after", "0"),
        Reply::error_json(503, "unavailable", "Loading model").header("retry-after", "0"),
    ] {
        attempts.spawn(async move {
            let server = ScriptedModel::start(vec![first, calling()]);
            let answer = ask(&chat(&server), question()).await;
            server.assert_finished();
            let turns = server.turns();
            assert_eq!(turns[0].bytes, turns[1].bytes, "the request changed");
            answer
        });
    }
    let mut count = 0;
    while let Some(answer) = attempts.join_next().await {
        let answer = answer.unwrap();
        assert_eq!(answer.retries.len(), 1, "{:?}", answer.retries);
        assert_calling(&answer);
        count += 1;
    }
    assert_eq!(count, 9);
}

#[tokio::test]
async fn a_stalled_stream_is_given_up_and_asked_for_again() {
    let stalled = calling().stall_after(12, Duration::from_secs(3600));
    let server = ScriptedModel::start(vec![stalled, calling()]);
    let mut provider = Provider::new("local", server.base_url(), WireApi::Chat);
    provider.stream_idle_timeout = Duration::from_millis(300);
    let answer = ask(&model(provider), question()).await;
    assert_eq!(answer.retries.len(), 1);
    assert_calling(&answer);
}

#[tokio::test]
async fn an_answer_that_reached_its_limit_calls_nothing() {
    let server = ScriptedModel::start(vec![calling().out_of_tokens()]);
    let answer = ask(&chat(&server), question()).await;
    assert_eq!(answer.stop(), Some(StopReason::Length));
    assert_eq!(answer.items.len(), 2, "{:?}", answer.items);
}

#[tokio::test]
async fn errors_are_told() {
    for (reply, kind, words) in [
        (
            Reply::error_json(404, "not_found_error", "model 'x' not found"),
            ModelErrorKind::Rejected,
            "model 'x' not found",
        ),
        (
            Reply::error_json(400, "exceed_context_size_error", "too long"),
            ModelErrorKind::ContextTooLong,
            "too long",
        ),
        (
            calling().fails("invalid_prompt", "not this"),
            ModelErrorKind::Rejected,
            "not this",
        ),
    ] {
        let server = ScriptedModel::start(vec![reply]);
        let error = ask(&chat(&server), question()).await.failed();
        assert_eq!(error.kind, kind);
        assert!(error.message.contains(words), "{}", error.message);
    }
}
