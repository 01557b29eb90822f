//! The three wires, read back as a client would.

use codex_test_support::sse::Event;
use codex_test_support::{Item, Reply, ScriptedModel, Usage};
use serde_json::{Value, json};

use crate::client::post;
use crate::fails;

const ARGUMENTS: &str = r#"{"command":["echo","grüße 🦀"]}"#;

fn items() -> Vec<Item> {
    vec![
        Item::reasoning("rs_7", "Let me think.", "c2VjcmV0"),
        Item::message("Grüße aus 世界 🦀."),
        Item::function_call("call_1", "shell", ARGUMENTS),
        Item::function_call("call_2", "read", "{}"),
    ]
}

fn stream(reply: Reply, path: &str, body: &Value) -> Vec<Event> {
    let model = ScriptedModel::start(vec![reply]);
    let response = post(&model, path, body);
    assert_eq!(response.status, 200);
    assert!(
        response
            .head
            .contains("content-type: text/event-stream; charset=utf-8")
    );
    assert!(response.whole);
    response.events()
}

fn responses(reply: Reply) -> Vec<Value> {
    let body = json!({ "model": "gpt-x", "stream": true });
    let events = stream(reply, "/v1/responses", &body);
    for (number, event) in events.iter().enumerate() {
        let data = event.json();
        assert_eq!(event.name.as_deref(), data["type"].as_str());
        assert_eq!(data["sequence_number"], number);
    }
    events.iter().map(Event::json).collect()
}

/// The events of one type, and their field joined.
fn joined(events: &[Value], kind: &str, index: usize) -> (usize, String) {
    let parts: Vec<&str> = events
        .iter()
        .filter(|event| event["type"] == kind && event["output_index"] == index)
        .map(|event| event["delta"].as_str().unwrap())
        .collect();
    (parts.len(), parts.concat())
}

#[test]
fn responses_deltas_done_events_and_items_agree() {
    let mut all = items();
    all.push(Item::custom_tool_call(
        "call_3",
        "apply_patch",
        "*** Begin Patch\n",
    ));
    all.push(Item::other(
        json!({ "id": "ws_1", "type": "web_search_call", "status": "completed" }),
    ));
    let events = responses(Reply::responses(all));

    let kinds: Vec<&str> = events
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect();
    assert_eq!(kinds[..2], ["response.created", "response.in_progress"]);
    assert_eq!(kinds.last(), Some(&"response.completed"));
    assert_eq!(events[0]["response"]["status"], "in_progress");
    assert_eq!(events[0]["response"]["usage"], Value::Null);

    // Every item: added, pieces, the text whole, done; and once more in the final response.
    let completed = &events.last().unwrap()["response"];
    let output = completed["output"].as_array().unwrap();
    assert_eq!(output.len(), 6);
    for (index, item) in output.iter().enumerate() {
        let of_item: Vec<&Value> = events
            .iter()
            .filter(|event| event["output_index"] == index)
            .collect();
        let (first, last) = (of_item[0], of_item[of_item.len() - 1]);
        assert_eq!(first["type"], "response.output_item.added");
        assert_eq!(first["item"]["type"], item["type"]);
        assert_eq!(last["type"], "response.output_item.done");
        assert_eq!(&last["item"], item);
        for event in &of_item[1..of_item.len() - 1] {
            assert_eq!(event["item_id"], item["id"]);
        }
    }
    let whole = |kind: &str, field: &str| {
        let event = events.iter().find(|event| event["type"] == kind).unwrap();
        event[field].as_str().unwrap().to_owned()
    };
    for (index, kind, field, in_item) in [
        (
            0,
            "response.reasoning_summary_text",
            "text",
            "/summary/0/text",
        ),
        (1, "response.output_text", "text", "/content/0/text"),
        (
            2,
            "response.function_call_arguments",
            "arguments",
            "/arguments",
        ),
        (4, "response.custom_tool_call_input", "input", "/input"),
    ] {
        let (count, text) = joined(&events, &format!("{kind}.delta"), index);
        assert!(count > 1, "{kind} came in one piece");
        assert_eq!(text, whole(&format!("{kind}.done"), field));
        assert_eq!(output[index].pointer(in_item).unwrap(), &json!(text));
    }
    assert_eq!(output[0]["id"], "rs_7");
    assert_eq!(output[0]["encrypted_content"], "c2VjcmV0");
    assert_eq!(output[1]["content"][0]["text"], "Grüße aus 世界 🦀.");
    assert_eq!(output[2]["call_id"], "call_1");
    assert_eq!(output[2]["name"], "shell");
    assert_eq!(output[2]["arguments"], ARGUMENTS);
    assert_eq!(output[5]["type"], "web_search_call");

    assert_eq!(completed["status"], "completed");
    assert_eq!(completed["model"], "gpt-x");
    assert_eq!(
        completed["usage"],
        json!({
            "input_tokens": 120,
            "input_tokens_details": { "cached_tokens": 40, "cache_write_tokens": 0 },
            "output_tokens": 30,
            "output_tokens_details": { "reasoning_tokens": 10 },
            "total_tokens": 150,
        })
    );
}

#[test]
fn responses_can_end_early_or_fail() {
    let short = responses(Reply::responses(vec![Item::message("cut o")]).out_of_tokens());
    let last = short.last().unwrap();
    assert_eq!(last["type"], "response.incomplete");
    assert_eq!(last["response"]["status"], "incomplete");
    assert_eq!(
        last["response"]["incomplete_details"]["reason"],
        "max_output_tokens"
    );
    assert_eq!(last["response"]["usage"]["total_tokens"], 150);

    let failed = responses(Reply::responses(vec![]).fails("server_error", "it broke"));
    let last = failed.last().unwrap();
    assert_eq!(last["type"], "response.failed");
    assert_eq!(
        last["response"]["error"],
        json!({ "code": "server_error", "message": "it broke" })
    );
}

fn chat(reply: Reply, body: &Value) -> Vec<Value> {
    let mut events = stream(reply, "/v1/chat/completions", body);
    assert!(events.iter().all(|event| event.name.is_none()));
    assert_eq!(events.pop().unwrap().data, "[DONE]");
    events.iter().map(Event::json).collect()
}

#[test]
fn chat_pieces_join_and_usage_comes_last_when_asked() {
    let body = json!({
        "model": "local", "stream": true, "stream_options": { "include_usage": true },
    });
    let usage = Usage {
        input_tokens: 9,
        cached_tokens: 4,
        output_tokens: 5,
        reasoning_tokens: 2,
    };
    let chunks = chat(Reply::chat(items()).usage(usage), &body);
    for chunk in &chunks {
        assert_eq!(chunk["object"], "chat.completion.chunk");
        assert_eq!(chunk["id"], chunks[0]["id"]);
        assert_eq!(chunk["model"], "local");
    }
    let (last, deltas) = chunks.split_last().unwrap();
    assert_eq!(last["choices"], json!([]));
    assert_eq!(last["usage"]["prompt_tokens"], 9);
    assert_eq!(last["usage"]["prompt_tokens_details"]["cached_tokens"], 4);
    assert_eq!(last["usage"]["completion_tokens"], 5);
    assert_eq!(
        last["usage"]["completion_tokens_details"]["reasoning_tokens"],
        2
    );
    assert_eq!(last["usage"]["total_tokens"], 14);
    assert!(deltas.iter().all(|chunk| chunk["usage"].is_null()));

    assert_eq!(deltas[0]["choices"][0]["delta"]["role"], "assistant");
    let text = |field: &str| -> Vec<&str> {
        deltas
            .iter()
            .filter_map(|chunk| chunk["choices"][0]["delta"][field].as_str())
            .filter(|piece| !piece.is_empty())
            .collect()
    };
    assert!(text("content").len() > 1);
    assert_eq!(text("content").concat(), "Grüße aus 世界 🦀.");
    assert_eq!(text("reasoning_content").concat(), "Let me think.");

    let calls: Vec<&Value> = deltas
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"]["tool_calls"].get(0))
        .collect();
    for (index, id, name, arguments) in [
        (0, "call_1", "shell", ARGUMENTS),
        (1, "call_2", "read", "{}"),
    ] {
        let of_call: Vec<&&Value> = calls.iter().filter(|call| call["index"] == index).collect();
        assert_eq!(of_call[0]["id"], id);
        assert_eq!(of_call[0]["type"], "function");
        assert_eq!(of_call[0]["function"]["name"], name);
        assert!(of_call[1..].iter().all(|call| call.get("id").is_none()));
        let joined: String = of_call
            .iter()
            .map(|call| call["function"]["arguments"].as_str().unwrap())
            .collect();
        assert_eq!(joined, arguments);
    }
    let finish: Vec<&str> = deltas
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["finish_reason"].as_str())
        .collect();
    assert_eq!(finish, ["tool_calls"]);
}

#[test]
fn chat_counts_are_not_sent_unasked_and_the_finish_tells_why() {
    let body = json!({ "stream": true });
    let said = vec![Item::message("Yes.")];
    for (reply, reason) in [
        (Reply::chat(said.clone()), "stop"),
        (Reply::chat(said).out_of_tokens(), "length"),
    ] {
        let chunks = chat(reply, &body);
        assert!(chunks.iter().all(|chunk| chunk.get("usage").is_none()));
        let last = chunks.last().unwrap();
        assert_eq!(last["choices"][0]["finish_reason"], reason);
    }
    let failing = Reply::chat(vec![]).fails("server_error", "it broke");
    let events = stream(failing, "/v1/chat/completions", &body);
    let last = events.last().unwrap().json();
    assert_eq!(last["error"]["message"], "it broke");
}

fn messages(reply: Reply) -> Vec<Value> {
    let body = json!({ "model": "claude-x", "stream": true });
    let events = stream(reply, "/v1/messages", &body);
    for event in &events {
        assert_eq!(event.name.as_deref(), event.json()["type"].as_str());
    }
    events.iter().map(Event::json).collect()
}

#[test]
fn messages_blocks_start_grow_and_stop() {
    let events = messages(Reply::messages(items()));
    let message = &events[0]["message"];
    assert_eq!(events[0]["type"], "message_start");
    assert_eq!(message["model"], "claude-x");
    assert_eq!(message["content"], json!([]));
    assert_eq!(message["usage"]["input_tokens"], 80);
    assert_eq!(message["usage"]["cache_read_input_tokens"], 40);
    assert_eq!(
        events
            .iter()
            .filter(|event| event["type"] == "ping")
            .count(),
        1
    );

    let block = |index: usize| -> Vec<&Value> {
        events
            .iter()
            .filter(|event| event["index"] == index)
            .collect()
    };
    let grown = |index: usize, kind: &str, field: &str| -> String {
        block(index)
            .iter()
            .filter(|event| event["delta"]["type"] == kind)
            .map(|event| event["delta"][field].as_str().unwrap())
            .collect()
    };
    for index in 0..4 {
        let events = block(index);
        assert_eq!(events[0]["type"], "content_block_start");
        assert_eq!(events[events.len() - 1]["type"], "content_block_stop");
        assert!(
            events[1..events.len() - 1]
                .iter()
                .all(|event| event["type"] == "content_block_delta")
        );
    }
    assert_eq!(block(0)[0]["content_block"]["type"], "thinking");
    assert_eq!(grown(0, "thinking_delta", "thinking"), "Let me think.");
    assert_eq!(grown(0, "signature_delta", "signature"), "c2VjcmV0");
    assert_eq!(
        block(1)[0]["content_block"],
        json!({ "type": "text", "text": "" })
    );
    assert!(block(1).len() > 3);
    assert_eq!(grown(1, "text_delta", "text"), "Grüße aus 世界 🦀.");
    assert_eq!(
        block(2)[0]["content_block"],
        json!({ "type": "tool_use", "id": "call_1", "name": "shell", "input": {} })
    );
    assert_eq!(grown(2, "input_json_delta", "partial_json"), ARGUMENTS);
    assert_eq!(grown(3, "input_json_delta", "partial_json"), "{}");

    let [.., delta, stop] = &events[..] else {
        panic!("no end");
    };
    assert_eq!(delta["type"], "message_delta");
    assert_eq!(delta["delta"]["stop_reason"], "tool_use");
    assert_eq!(delta["usage"]["output_tokens"], 30);
    assert_eq!(stop["type"], "message_stop");
}

#[test]
fn messages_end_for_their_reason_or_in_an_error() {
    let said = vec![Item::message("Yes.")];
    for (reply, reason) in [
        (Reply::messages(said.clone()), "end_turn"),
        (Reply::messages(said.clone()).out_of_tokens(), "max_tokens"),
    ] {
        let events = messages(reply);
        assert_eq!(events[events.len() - 2]["delta"]["stop_reason"], reason);
    }
    let events = messages(Reply::messages(said).fails("overloaded_error", "busy"));
    assert_eq!(
        events.last(),
        Some(&json!({
            "type": "error", "error": { "type": "overloaded_error", "message": "busy" },
        }))
    );
}

#[test]
fn a_wire_refuses_items_it_does_not_have() {
    let patch = || vec![Item::custom_tool_call("call_1", "apply_patch", "x")];
    assert!(fails(|| drop(Reply::chat(patch()))));
    assert!(fails(|| drop(Reply::messages(patch()))));
}
