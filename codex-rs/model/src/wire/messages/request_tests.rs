//! Requests as they are written.

use super::Messages;
use crate::provider::WireApi;
use crate::wire::samples::{self, assert_prefix_is_stable};
use codex_protocol::model::{Content, Item, Native, Prompt, ReasoningEffort};
use codex_protocol::tool::{ToolCall, ToolInput, ToolSpec};
use proptest::prelude::*;
use serde_json::{Value, json};

fn written(prompt: &Prompt) -> Value {
    let text = samples::body(&Messages, WireApi::Messages, prompt);
    serde_json::from_str(&text).unwrap()
}

fn messages(items: Vec<Item>) -> Value {
    written(&Prompt {
        items,
        ..Prompt::default()
    })["messages"]
        .take()
}

fn native(wire: &str, value: Value) -> Option<Native> {
    Some(Native {
        wire: wire.to_owned(),
        value,
    })
}

fn reasoning(wire: &str, value: Value) -> Item {
    Item::Reasoning {
        text: "hm".to_owned(),
        native: native(wire, value),
    }
}

fn said(text: &str) -> Item {
    Item::Assistant {
        text: text.to_owned(),
        native: None,
    }
}

fn call(call_id: &str, arguments: &str, text: bool) -> Item {
    Item::ToolCall {
        call: ToolCall {
            call_id: call_id.to_owned(),
            name: "shell".to_owned(),
            arguments: arguments.to_owned(),
            text,
        },
        native: None,
    }
}

fn output(call_id: &str, output: &str, success: bool) -> Item {
    Item::ToolOutput {
        call_id: call_id.to_owned(),
        output: output.to_owned(),
        success,
        text: false,
    }
}

#[test]
fn the_whole_request() {
    let tool = |name: &str, input| ToolSpec {
        name: name.to_owned(),
        description: "Does.".to_owned(),
        input,
    };
    let prompt = Prompt {
        model: "claude-sonnet-4-5".to_owned(),
        instructions: "Be brief.".to_owned(),
        items: vec![Item::user("hi")],
        tools: vec![
            tool("shell", ToolInput::Json(json!({ "type": "object" }))),
            tool("apply_patch", ToolInput::Text),
        ],
        effort: Some(ReasoningEffort::Medium),
        output_schema: Some(json!({ "type": "object" })),
        cache_key: "session-1".to_owned(),
        max_output_tokens: None,
    };
    let mark = json!({ "type": "ephemeral" });
    assert_eq!(
        written(&prompt),
        json!({
            "model": "claude-sonnet-4-5",
            "max_tokens": 32_000,
            "stream": true,
            "thinking": { "type": "enabled", "budget_tokens": 8192 },
            "output_config": { "format": { "type": "json_schema",
                                           "schema": { "type": "object" } } },
            "cache_control": mark,
            "tools": [
                { "name": "shell", "description": "Does.", "input_schema": { "type": "object" } },
                { "name": "apply_patch", "description": "Does.", "input_schema": {
                    "type": "object", "properties": { "input": { "type": "string" } },
                    "required": ["input"], "additionalProperties": false,
                }, "cache_control": mark },
            ],
            "system": [{ "type": "text", "text": "Be brief.", "cache_control": mark }],
            "messages": [{ "role": "user", "content": [{ "type": "text", "text": "hi" }] }],
        })
    );
}

#[test]
fn what_is_not_asked_for_is_absent() {
    let body = written(&Prompt {
        instructions: " \n".to_owned(),
        max_output_tokens: Some(0),
        ..Prompt::default()
    });
    for field in ["thinking", "output_config", "tools", "system"] {
        assert!(body.get(field).is_none(), "{field}");
    }
    assert_eq!(body["max_tokens"], 1);
}

#[test]
fn thinking_by_model_and_effort() {
    use ReasoningEffort::{High, Low, Medium, Minimal, None as No, Xhigh};
    let budget = |tokens: u64| json!({ "type": "enabled", "budget_tokens": tokens });
    let adaptive = json!({ "type": "adaptive", "display": "summarized" });
    let null = Value::Null;
    for (model, effort, limit, thinking, level) in [
        ("claude-sonnet-4-5", None, None, null.clone(), null.clone()),
        ("claude-opus-5", None, None, null.clone(), null.clone()),
        (
            "claude-sonnet-4-5",
            Some(No),
            None,
            null.clone(),
            null.clone(),
        ),
        (
            "claude-sonnet-4-5-20250929",
            Some(Minimal),
            None,
            budget(1024),
            null.clone(),
        ),
        (
            "claude-opus-4-20250514",
            Some(Low),
            None,
            budget(4096),
            null.clone(),
        ),
        (
            "claude-opus-4-1",
            Some(Medium),
            None,
            budget(8192),
            null.clone(),
        ),
        (
            "claude-haiku-4-5",
            Some(High),
            None,
            budget(16_384),
            null.clone(),
        ),
        (
            "claude-3-7-sonnet-20250219",
            Some(Xhigh),
            None,
            budget(24_000),
            null.clone(),
        ),
        (
            "other-model",
            Some(Xhigh),
            Some(100_000),
            budget(24_576),
            null.clone(),
        ),
        (
            "other-model",
            Some(High),
            Some(2000),
            budget(1500),
            null.clone(),
        ),
        (
            "other-model",
            Some(High),
            Some(1366),
            budget(1025),
            null.clone(),
        ),
        (
            "other-model",
            Some(High),
            Some(1025),
            null.clone(),
            null.clone(),
        ),
        (
            "other-model",
            Some(High),
            Some(1),
            null.clone(),
            null.clone(),
        ),
        (
            "claude-3-5-haiku-latest",
            Some(High),
            None,
            null.clone(),
            null.clone(),
        ),
        (
            "claude-opus-4-6",
            Some(Minimal),
            None,
            adaptive.clone(),
            json!("low"),
        ),
        (
            "anthropic/claude-opus-4-7",
            Some(Low),
            None,
            adaptive.clone(),
            json!("low"),
        ),
        (
            "claude-sonnet-4-6",
            Some(Medium),
            None,
            adaptive.clone(),
            json!("medium"),
        ),
        (
            "claude-opus-5-5",
            Some(High),
            Some(5),
            adaptive.clone(),
            json!("high"),
        ),
        (
            "claude-sonnet-5",
            Some(Xhigh),
            None,
            adaptive.clone(),
            json!("max"),
        ),
        ("claude-opus-5", Some(No), None, null.clone(), json!("low")),
    ] {
        let body = written(&Prompt {
            model: model.to_owned(),
            effort,
            max_output_tokens: limit,
            ..Prompt::default()
        });
        let shown = (&body["thinking"], &body["output_config"]["effort"]);
        assert_eq!(shown, (&thinking, &level), "{model} {effort:?} {limit:?}");
    }
}

#[test]
fn neighbours_of_one_role_become_one_message() {
    let items = vec![
        Item::user("one"),
        Item::User { content: vec![] },
        Item::User {
            content: vec![
                Content::Text {
                    text: " \n".to_owned(),
                },
                Content::Image {
                    media_type: "image/png".to_owned(),
                    data: "AAAA".to_owned(),
                },
            ],
        },
        said("two"),
        said("  "),
        call("c1", r#"{"b":1,"a":[2]}"#, false),
        call("c2", "", false),
        Item::user("three"),
        output("c1", "out", true),
        output("c2", "", false),
        said("four"),
    ];
    assert_eq!(
        messages(items),
        json!([
            { "role": "user", "content": [
                { "type": "text", "text": "one" },
                { "type": "image", "source": { "type": "base64", "media_type": "image/png",
                                               "data": "AAAA" } },
            ] },
            { "role": "assistant", "content": [
                { "type": "text", "text": "two" },
                { "type": "tool_use", "id": "c1", "name": "shell",
                  "input": { "b": 1, "a": [2] } },
                { "type": "tool_use", "id": "c2", "name": "shell", "input": {} },
            ] },
            { "role": "user", "content": [
                { "type": "tool_result", "tool_use_id": "c1", "content": "out" },
                { "type": "tool_result", "tool_use_id": "c2", "is_error": true },
                { "type": "text", "text": "three" },
            ] },
            { "role": "assistant", "content": [{ "type": "text", "text": "four" }] },
        ])
    );
}

#[test]
fn own_blocks_go_back_as_they_came_and_foreign_reasoning_does_not() {
    let thinking = json!({ "type": "thinking", "thinking": "", "signature": "c2ln",
                           "new_field": [1, null] });
    let redacted = json!({ "type": "redacted_thinking", "data": "ZGF0YQ==" });
    let new = json!({ "type": "invented_since", "content": { "x": null } });
    let text = json!({ "type": "text", "text": "hi", "phase": "x" });
    let tool = json!({ "type": "tool_use", "id": "toolu_1", "name": "shell", "input": { "a": 1 },
                       "caller": { "type": "direct" } });
    let items = vec![
        reasoning("messages", redacted.clone()),
        reasoning("responses", json!({ "type": "reasoning", "id": "rs" })),
        reasoning("chat", thinking.clone()),
        reasoning(
            "messages",
            json!({ "type": "thinking", "thinking": "x", "signature": "" }),
        ),
        reasoning("messages", json!({ "type": "thinking", "thinking": "x" })),
        reasoning("messages", json!({ "thinking": "x" })),
        reasoning("messages", json!("thinking")),
        Item::Reasoning {
            text: "hm".to_owned(),
            native: None,
        },
        reasoning("messages", thinking.clone()),
        reasoning("messages", new.clone()),
        Item::Assistant {
            text: "hi".to_owned(),
            native: native("messages", text.clone()),
        },
        Item::Assistant {
            text: "ho".to_owned(),
            native: native("messages", json!({ "type": "message" })),
        },
        Item::ToolCall {
            call: ToolCall {
                call_id: "toolu_1".to_owned(),
                name: "shell".to_owned(),
                arguments: r#"{"a":1}"#.to_owned(),
                text: false,
            },
            native: native("messages", tool.clone()),
        },
    ];
    let content = json!([
        redacted, thinking, new, text, { "type": "text", "text": "ho" }, tool
    ]);
    assert_eq!(
        messages(items),
        json!([{ "role": "assistant", "content": content }])
    );
}

#[test]
fn calls_of_other_wires_and_broken_ones_are_made_acceptable() {
    let long = "n".repeat(200);
    let named = |id: &str, name: &str, arguments: &str| Item::ToolCall {
        call: ToolCall {
            call_id: id.to_owned(),
            name: name.to_owned(),
            arguments: arguments.to_owned(),
            text: false,
        },
        native: native("chat", json!({ "type": "tool_use", "id": "no" })),
    };
    let own = json!({ "type": "tool_use", "id": "own:1", "name": "n", "input": {}, "x": 1 });
    let items = vec![
        call("functions.shell:0", "*** Begin", true),
        named("", &long, "{\"cut"),
        named("c3", "a b", "[1]"),
        Item::ToolCall {
            call: ToolCall {
                call_id: "own:1".to_owned(),
                name: "n".to_owned(),
                arguments: "{}".to_owned(),
                text: false,
            },
            native: native("messages", own),
        },
        output("functions.shell:0", "a", true),
        output("", "b", true),
        output("c3", "c", true),
        output("own:1", "d", true),
    ];
    let use_of = |id: &str, name: &str, input: Value| json!({ "type": "tool_use", "id": id, "name": name, "input": input });
    let result =
        |id: &str, text: &str| json!({ "type": "tool_result", "tool_use_id": id, "content": text });
    assert_eq!(
        messages(items),
        json!([
            { "role": "assistant", "content": [
                use_of("functions_shell_0", "shell", json!({ "input": "*** Begin" })),
                use_of("_", &"n".repeat(128), json!({ "INVALID_JSON": "{\"cut" })),
                use_of("c3", "a_b", json!({ "INVALID_JSON": "[1]" })),
                { "type": "tool_use", "id": "own_1", "name": "n", "input": {}, "x": 1 },
            ] },
            { "role": "user", "content": [
                result("functions_shell_0", "a"),
                result("_", "b"),
                result("c3", "c"),
                result("own_1", "d"),
            ] },
        ])
    );
}

/// What may follow a prompt that was accepted: outputs come before all else that is the user's.
fn acceptable(more: Vec<Item>) -> Vec<Item> {
    let mut called = false;
    more.into_iter()
        .filter(|item| {
            called |= matches!(item, Item::ToolCall { .. });
            called || !matches!(item, Item::ToolOutput { .. })
        })
        .collect()
}

proptest! {
    #[test]
    fn the_prefix_is_stable(
        prompt in samples::prompt(),
        more in prop::collection::vec(samples::item(), 0..4),
    ) {
        let empty = written(&prompt)["messages"] == json!([]);
        let closing = if empty { "]}" } else { "]}]}" };
        let more = acceptable(more);
        assert_prefix_is_stable(&Messages, WireApi::Messages, &prompt, &more, closing);
    }

    #[test]
    fn every_request_has_the_form_that_the_api_asks_for(prompt in samples::prompt()) {
        let body = written(&prompt);
        let limit = body["max_tokens"].as_u64().unwrap();
        prop_assert!(limit >= 1);
        if let Some(budget) = body["thinking"]["budget_tokens"].as_u64() {
            prop_assert!((1024..limit).contains(&budget));
        }
        let marks = body.to_string().matches("\"cache_control\":").count();
        prop_assert!(marks <= 4);
        let mut role = "";
        for message in body["messages"].as_array().unwrap() {
            prop_assert_ne!(message["role"].as_str().unwrap(), role);
            role = message["role"].as_str().unwrap();
            let content = message["content"].as_array().unwrap();
            prop_assert!(!content.is_empty());
            let results: Vec<bool> =
                content.iter().map(|block| block["type"] == "tool_result").collect();
            prop_assert!(results.is_sorted_by(|a, b| a >= b), "outputs first: {content:?}");
            for block in content {
                prop_assert!(block["type"].is_string());
                if block["type"] == "tool_use" {
                    prop_assert!(block["input"].is_object());
                }
            }
        }
    }
}
