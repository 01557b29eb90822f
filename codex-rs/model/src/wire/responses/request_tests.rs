//! Requests as they are written.

use super::request::body;
use crate::provider::{Provider, WireApi};
use crate::wire::responses::Responses;
use crate::wire::samples::{self, assert_prefix_is_stable};
use codex_protocol::model::{Content, Item, Native, Prompt, ReasoningEffort};
use codex_protocol::tool::{ToolCall, ToolInput, ToolSpec};
use proptest::prelude::*;
use serde_json::{Value, json};

fn written(prompt: &Prompt) -> Value {
    let text = samples::body(&Responses, WireApi::Responses, prompt);
    serde_json::from_str(&text).unwrap()
}

fn input(items: Vec<Item>) -> Value {
    written(&Prompt {
        items,
        ..Prompt::default()
    })["input"]
        .take()
}

fn native(wire: &str, value: Value) -> Option<Native> {
    Some(Native {
        wire: wire.to_owned(),
        value,
    })
}

fn call(text: bool, native: Option<Native>) -> Item {
    Item::ToolCall {
        call: ToolCall {
            call_id: "c1".to_owned(),
            name: "shell".to_owned(),
            arguments: "{}".to_owned(),
            text,
        },
        native,
    }
}

fn output(text: bool) -> Item {
    Item::ToolOutput {
        call_id: "c1".to_owned(),
        output: "done".to_owned(),
        success: true,
        text,
    }
}

#[test]
fn the_whole_request() {
    let prompt = Prompt {
        model: "gpt-5".to_owned(),
        instructions: "Be brief.".to_owned(),
        items: vec![Item::user("hi")],
        tools: vec![
            ToolSpec {
                name: "shell".to_owned(),
                description: "Runs.".to_owned(),
                input: ToolInput::Json(json!({ "type": "object" })),
            },
            ToolSpec {
                name: "apply_patch".to_owned(),
                description: "Patches.".to_owned(),
                input: ToolInput::Text,
            },
        ],
        effort: Some(ReasoningEffort::Low),
        output_schema: Some(json!({ "type": "object" })),
        cache_key: "session-1".to_owned(),
        max_output_tokens: Some(3),
    };
    assert_eq!(
        written(&prompt),
        json!({
            "model": "gpt-5",
            "instructions": "Be brief.",
            "tools": [
                { "type": "function", "name": "shell", "description": "Runs.",
                  "parameters": { "type": "object" }, "strict": false },
                { "type": "custom", "name": "apply_patch", "description": "Patches." },
            ],
            "tool_choice": "auto",
            "parallel_tool_calls": true,
            "reasoning": { "effort": "low", "summary": "auto" },
            "store": false,
            "stream": true,
            "include": ["reasoning.encrypted_content"],
            "prompt_cache_key": "session-1",
            "text": { "format": {
                "type": "json_schema", "name": "output", "schema": { "type": "object" },
                "strict": true,
            } },
            "max_output_tokens": 16,
            "input": [{ "type": "message", "role": "user",
                        "content": [{ "type": "input_text", "text": "hi" }] }],
        })
    );
}

#[test]
fn what_is_not_asked_for_is_absent() {
    let body = written(&Prompt {
        model: "gpt-4.1".to_owned(),
        ..Prompt::default()
    });
    for field in ["reasoning", "text", "max_output_tokens", "prompt_cache_key"] {
        assert!(body.get(field).is_none(), "{field}");
    }
    assert_eq!(body["include"], json!([]));
}

#[test]
fn a_provider_without_text_tools_gets_a_function() {
    let mut provider = Provider::new("p", "http://h", WireApi::Responses);
    provider.text_tools = false;
    let prompt = Prompt {
        tools: vec![ToolSpec {
            name: "apply_patch".to_owned(),
            description: String::new(),
            input: ToolInput::Text,
        }],
        ..Prompt::default()
    };
    let body: Value = serde_json::from_slice(&body(&prompt, &provider).unwrap()).unwrap();
    assert_eq!(body["tools"][0]["type"], "function");
    assert_eq!(body["tools"][0]["parameters"]["required"], json!(["input"]));
}

#[test]
fn own_items_go_back_as_they_came() {
    let message = json!({
        "id": "msg_1", "type": "message", "status": "completed", "role": "assistant",
        "phase": "final_answer", "new_field": { "kept": [1, null] },
        "content": [{ "type": "output_text", "text": "hi", "annotations": [], "logprobs": [] }],
    });
    let reasoning = json!({
        "id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": "gAAA",
    });
    let mut received = reasoning.clone();
    received["status"] = json!(null);
    received["content"] = json!(null);
    let function = json!({
        "id": "fc_1", "type": "function_call", "call_id": "c1", "name": "shell",
        "arguments": "{ }",
    });
    let mut called = function.clone();
    called["status"] = json!("completed");
    let items = vec![
        Item::Reasoning {
            text: String::new(),
            native: native("responses", received),
        },
        Item::Assistant {
            text: "hi".to_owned(),
            native: native("responses", message.clone()),
        },
        call(false, native("responses", called)),
        output(false),
    ];
    assert_eq!(
        input(items),
        json!([
            reasoning,
            message,
            function,
            { "type": "function_call_output", "call_id": "c1", "output": "done" },
        ])
    );
}

#[test]
fn foreign_items_are_translated_and_foreign_reasoning_is_dropped() {
    let items = vec![
        Item::Reasoning {
            text: "hm".to_owned(),
            native: native("messages", json!({ "type": "thinking" })),
        },
        Item::Reasoning {
            text: "hm".to_owned(),
            native: None,
        },
        // Stored nowhere, and without its content: a dangling reference.
        Item::Reasoning {
            text: "hm".to_owned(),
            native: native("responses", json!({ "type": "reasoning", "id": "rs_1" })),
        },
        Item::Assistant {
            text: String::new(),
            native: None,
        },
        Item::Assistant {
            text: "hi".to_owned(),
            native: native("chat", json!({ "role": "assistant" })),
        },
        call(false, native("messages", json!({ "type": "tool_use" }))),
        output(false),
        call(true, None),
        output(true),
        Item::User {
            content: vec![Content::Image {
                media_type: "image/png".to_owned(),
                data: "AAAA".to_owned(),
            }],
        },
    ];
    assert_eq!(
        input(items),
        json!([
            { "type": "message", "role": "assistant", "content": "hi" },
            { "type": "function_call", "call_id": "c1", "name": "shell", "arguments": "{}" },
            { "type": "function_call_output", "call_id": "c1", "output": "done" },
            { "type": "custom_tool_call", "call_id": "c1", "name": "shell", "input": "{}" },
            { "type": "custom_tool_call_output", "call_id": "c1", "output": "done" },
            { "type": "message", "role": "user", "content": [{
                "type": "input_image", "image_url": "data:image/png;base64,AAAA",
                "detail": "auto",
            }] },
        ])
    );
}

proptest! {
    #[test]
    fn the_prefix_is_stable(
        prompt in samples::prompt(),
        more in prop::collection::vec(samples::item(), 0..4),
    ) {
        assert_prefix_is_stable(&Responses, WireApi::Responses, &prompt, &more, "]}");
    }
}
