//! Requests as they are written.

use codex_protocol::model::{Content, Item, Native, Prompt, ReasoningEffort};
use codex_protocol::tool::{ToolCall, ToolInput, ToolSpec};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::Chat;
use super::request::body;
use crate::provider::{Provider, WireApi};
use crate::wire::samples::{self, assert_prefix_is_stable};

fn written(prompt: &Prompt, name: &str, base_url: &str) -> Value {
    let provider = Provider::new(name, base_url, WireApi::Chat);
    serde_json::from_slice(&body(prompt, &provider).unwrap()).unwrap()
}

fn messages(items: Vec<Item>) -> Value {
    let prompt = Prompt {
        items,
        ..Prompt::default()
    };
    written(&prompt, "local", "http://127.0.0.1:1/v1")["messages"].take()
}

fn native(wire: &str, value: Value) -> Option<Native> {
    Some(Native {
        wire: wire.to_owned(),
        value,
    })
}

fn said(text: &str) -> Item {
    Item::Assistant {
        text: text.to_owned(),
        native: None,
    }
}

fn call(id: &str, arguments: &str) -> Item {
    Item::ToolCall {
        call: ToolCall {
            call_id: id.to_owned(),
            name: "shell".to_owned(),
            arguments: arguments.to_owned(),
            text: false,
        },
        native: None,
    }
}

fn output(id: &str) -> Item {
    Item::ToolOutput {
        call_id: id.to_owned(),
        output: "done".to_owned(),
        success: true,
        text: false,
    }
}

fn called(id: &str, arguments: &str) -> Value {
    json!({ "id": id, "type": "function", "function": { "name": "shell", "arguments": arguments } })
}

fn full() -> Prompt {
    Prompt {
        model: "m".to_owned(),
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
        max_output_tokens: Some(100),
    }
}

#[test]
fn the_whole_request() {
    let mut expect = json!({
        "model": "m",
        "stream": true,
        "stream_options": { "include_usage": true },
        "max_tokens": 100,
        "response_format": { "type": "json_schema", "json_schema": {
            "name": "output", "schema": { "type": "object" }, "strict": true,
        } },
        "tool_choice": "auto",
        "tools": [
            { "type": "function", "function": { "name": "shell", "description": "Runs.",
              "parameters": { "type": "object" } } },
            { "type": "function", "function": { "name": "apply_patch", "description": "Patches.",
              "parameters": { "type": "object", "properties": { "input": { "type": "string" } },
                              "required": ["input"], "additionalProperties": false } } },
        ],
        "messages": [
            { "role": "system", "content": "Be brief." },
            { "role": "user", "content": "hi" },
        ],
    });
    assert_eq!(
        written(&full(), "local", "http://127.0.0.1:11434/v1"),
        expect
    );

    expect.as_object_mut().unwrap().shift_remove("max_tokens");
    expect["max_completion_tokens"] = json!(100);
    expect["reasoning_effort"] = json!("low");
    expect["store"] = json!(false);
    expect["prompt_cache_key"] = json!("session-1");
    for (name, base_url) in [
        ("openai", "http://127.0.0.1:1/v1"),
        ("own", "https://api.openai.com/v1"),
        ("own", "https://API.openai.com:443"),
        ("azure", "https://me.openai.azure.com/openai/v1"),
    ] {
        assert_eq!(written(&full(), name, base_url), expect, "{base_url}");
    }
    for base_url in [
        "https://api.openai.com.example/v1",
        "https://example/api.openai.com/v1",
    ] {
        let body = written(&full(), "own", base_url);
        assert_eq!(body["max_tokens"], 100, "{base_url}");
    }
}

#[test]
fn what_is_not_asked_for_is_absent() {
    let prompt = Prompt {
        model: "m".to_owned(),
        ..Prompt::default()
    };
    assert_eq!(
        written(&prompt, "local", "http://127.0.0.1:1"),
        json!({ "model": "m", "stream": true, "stream_options": { "include_usage": true },
                "messages": [] })
    );
}

#[test]
fn a_turn_becomes_one_message_that_its_outputs_follow() {
    let items = vec![
        Item::user("hi"),
        said("Looking."),
        call("a", "{ \"n\": 1 }"),
        said("And here."),
        call("b", ""),
        output("a"),
        output("b"),
        call("c", "{}"),
        output("c"),
        said("Done."),
        Item::User {
            content: vec![
                Content::Text {
                    text: "what is this".to_owned(),
                },
                Content::Image {
                    media_type: "image/png".to_owned(),
                    data: "AAAA".to_owned(),
                },
            ],
        },
    ];
    assert_eq!(
        messages(items),
        json!([
            { "role": "user", "content": "hi" },
            { "role": "assistant", "content": "Looking.\n\nAnd here.",
              "tool_calls": [called("a", "{ \"n\": 1 }"), called("b", "{}")] },
            { "role": "tool", "tool_call_id": "a", "content": "done" },
            { "role": "tool", "tool_call_id": "b", "content": "done" },
            { "role": "assistant", "content": null, "tool_calls": [called("c", "{}")] },
            { "role": "tool", "tool_call_id": "c", "content": "done" },
            { "role": "assistant", "content": "Done." },
            { "role": "user", "content": [
                { "type": "text", "text": "what is this" },
                { "type": "image_url", "image_url": { "url": "data:image/png;base64,AAAA" } },
            ] },
        ])
    );
}

#[test]
fn own_fields_go_back_and_foreign_reasoning_is_dropped() {
    let reasoning = |wire: &str, value| Item::Reasoning {
        text: "hm".to_owned(),
        native: native(wire, value),
    };
    let signed = Item::ToolCall {
        call: ToolCall {
            call_id: "a".to_owned(),
            name: "shell".to_owned(),
            arguments: "{}".to_owned(),
            text: false,
        },
        native: native(
            "chat",
            json!({ "extra_content": { "s": 1 }, "index": 4, "id": "other" }),
        ),
    };
    let items = vec![
        reasoning("messages", json!({ "type": "thinking" })),
        reasoning(
            "chat",
            json!({ "reasoning_content": "hm", "content": "x", "role": "user",
                                  "null": null, "reasoning_details": [{ "data": "g" }] }),
        ),
        reasoning("chat", json!({ "reasoning_content": "again" })),
        Item::Reasoning {
            text: "hm".to_owned(),
            native: None,
        },
        signed,
        output("a"),
        // Without anything said or called, there is no message that it could be of.
        reasoning("chat", json!({ "reasoning_content": "lost" })),
        Item::user("go on"),
        said(""),
        said("Yes."),
    ];
    let mut sent = called("a", "{}");
    sent["extra_content"] = json!({ "s": 1 });
    assert_eq!(
        messages(items),
        json!([
            { "role": "assistant", "content": null, "reasoning_content": "hm",
              "reasoning_details": [{ "data": "g" }], "tool_calls": [sent] },
            { "role": "tool", "tool_call_id": "a", "content": "done" },
            { "role": "user", "content": "go on" },
            { "role": "assistant", "content": "Yes." },
        ])
    );
}

#[test]
fn what_servers_would_refuse_is_rewritten() {
    let long = "x".repeat(41);
    let call = |id: &str, name: &str, arguments: &str, text| Item::ToolCall {
        call: ToolCall {
            call_id: id.to_owned(),
            name: name.to_owned(),
            arguments: arguments.to_owned(),
            text,
        },
        native: native(
            "responses",
            json!({ "type": "function_call", "id": "fc_1" }),
        ),
    };
    let written = messages(vec![
        call(&long, "functions.shell:0", "{\"a", false),
        call("b", "apply_patch", "*** \"Begin\"", true),
        call("c", &"é".repeat(40), "[]", false),
        output(&long),
        Item::User { content: vec![] },
    ]);
    let calls = &written[0]["tool_calls"];
    let id = calls[0]["id"].as_str().unwrap();
    assert!(id.len() <= 40 && id.starts_with("call_"), "{id}");
    assert_eq!(written[1]["tool_call_id"], id);
    assert_eq!(calls[0]["function"]["name"], "functions_shell_0");
    assert_eq!(
        calls[0]["function"]["arguments"],
        "{\"INVALID_JSON\":\"{\\\"a\"}"
    );
    assert_eq!(
        calls[1]["function"]["arguments"],
        "{\"input\":\"*** \\\"Begin\\\"\"}"
    );
    assert_eq!(calls[2]["function"]["name"], "_".repeat(32));
    assert_eq!(
        calls[2]["function"]["arguments"],
        "{\"INVALID_JSON\":\"[]\"}"
    );
    assert!(calls[0].get("fc_1").is_none() && calls[0]["type"] == "function");
    assert_eq!(written[2], json!({ "role": "user", "content": "" }));
}

proptest! {
    /// A request is made when the person or a tool has spoken: a turn of the model's that goes on
    /// is one message, which grows.
    #[test]
    fn the_prefix_is_stable(
        mut prompt in samples::prompt(),
        answered in any::<bool>(),
        more in prop::collection::vec(samples::item(), 0..4),
    ) {
        prompt.items.push(if answered { output("c") } else { Item::user("go on") });
        assert_prefix_is_stable(&Chat, WireApi::Chat, &prompt, &more, "]}");
    }

    #[test]
    fn calls_are_valid_and_no_field_is_written_twice(prompt in samples::prompt()) {
        let provider = Provider::new("openai", "http://127.0.0.1", WireApi::Chat);
        let bytes = body(&prompt, &provider).unwrap();
        let body: Value = serde_json::from_slice(&bytes).unwrap();
        // Reading drops repeated fields.
        prop_assert_eq!(body.to_string().len(), bytes.len());
        for message in body["messages"].as_array().unwrap() {
            for call in message["tool_calls"].as_array().into_iter().flatten() {
                let arguments = call["function"]["arguments"].as_str().unwrap();
                prop_assert!(serde_json::from_str::<Value>(arguments).unwrap().is_object());
            }
        }
    }
}
