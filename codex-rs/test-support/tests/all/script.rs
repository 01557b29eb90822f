//! The script's order, what is kept of requests, and what does not fit it.

use std::io::{Read, Write};
use std::time::Duration;

use codex_test_support::{Answered, Item, Reply, ScriptedModel};
use serde_json::json;

use crate::client::{connect, exchange, get, post, post_text, take_apart};
use crate::fails;

const LONG: Duration = Duration::from_secs(30);

fn says(text: &str) -> Reply {
    Reply::responses(vec![Item::message(text)])
}

#[test]
fn replies_come_in_order_and_requests_are_kept() {
    let model = ScriptedModel::start(vec![says("one"), says("two")]);
    model.push(Reply::error_json(429, "rate_limit_error", "slow down").header("Retry-After", "7"));
    for text in ["one", "two"] {
        let response = post(
            &model,
            "/v1/responses?client=x",
            &json!({ "model": "m", "stream": true, "input": text }),
        );
        assert_eq!(response.status, 200);
        assert!(response.text().contains(&format!("\"text\":\"{text}\"")));
    }
    let limited = post(&model, "/v1/responses", &json!({ "stream": true }));
    assert_eq!(limited.status, 429);
    assert!(limited.head.contains("Retry-After: 7"));
    assert_eq!(
        limited.json(),
        json!({
            "error": {
                "message": "slow down", "type": "rate_limit_error", "param": null, "code": null,
            },
        })
    );

    model.assert_finished();
    let turns = model.turns();
    assert_eq!(turns.len(), 3);
    assert_eq!(turns[1].method, "POST");
    assert_eq!(turns[1].path, "/v1/responses");
    assert_eq!(turns[1].query, "client=x");
    assert_eq!(turns[1].header("content-type"), Some("application/json"));
    assert_eq!(turns[1].body["input"], "two");
    assert_eq!(turns[1].answered, Answered::Script(1));
}

#[test]
fn a_request_beyond_the_script_gets_500_and_is_kept() {
    let model = ScriptedModel::start(vec![says("only")]);
    post(&model, "/v1/responses", &json!({ "stream": true }));
    let extra = post(
        &model,
        "/v1/responses",
        &json!({ "stream": true, "input": "?" }),
    );
    assert_eq!(extra.status, 500);
    assert!(extra.text().contains("all of its 1 replies were given"));
    let requests = model.requests();
    assert_eq!(requests[1].answered, Answered::BeyondScript);
    assert_eq!(requests[1].body["input"], "?");
    assert_eq!(model.turns().len(), 1);
    assert!(fails(|| model.assert_finished()));
}

#[test]
fn the_model_list_takes_no_reply() {
    let model = ScriptedModel::start(vec![says("kept")]);
    let list = get(&model, "/v1/models");
    assert_eq!(list.status, 200);
    assert!(list.head.contains("content-type: application/json"));
    assert_eq!(list.json()["object"], "list");
    assert_eq!(list.json()["data"][0]["id"], "scripted-large");
    assert_eq!(model.remaining(), 1);
    assert_eq!(model.requests()[0].answered, Answered::Models);
}

#[test]
fn a_request_that_does_not_fit_leaves_the_reply_for_the_next() {
    let model = ScriptedModel::start(vec![says("kept")]);
    let stream = json!({ "stream": true });
    assert_eq!(post(&model, "/v1/chat/completions", &stream).status, 404);
    assert_eq!(get(&model, "/v1/responses").status, 405);
    assert_eq!(post(&model, "/v1/responses", &json!({})).status, 400);
    let garbled = exchange(&model, &post_text("/v1/responses", "{\"stream\":"));
    assert_eq!(take_apart(&garbled).status, 400);
    assert_eq!(model.remaining(), 1);
    assert_eq!(post(&model, "/v1/responses", &stream).status, 200);
    assert_eq!(model.requests().len(), 5);
    assert!(fails(|| model.assert_finished()));
}

#[test]
fn errors_take_the_shape_of_the_wire_asked() {
    let model = ScriptedModel::start(vec![Reply::error_json(529, "overloaded_error", "busy")]);
    let busy = post(&model, "/v1/messages", &json!({ "stream": true }));
    assert_eq!(busy.status, 529);
    assert_eq!(
        busy.json(),
        json!({ "type": "error", "error": { "type": "overloaded_error", "message": "busy" } })
    );
}

#[test]
fn a_connection_carries_several_requests() {
    let model = ScriptedModel::start(vec![says("one"), says("two")]);
    let mut stream = connect(&model);
    for _ in 0..2 {
        let request =
            post_text("/v1/responses", "{\"stream\":true}").replace("Connection: close\r\n", "");
        stream.write_all(request.as_bytes()).unwrap();
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"\r\n0\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            bytes.push(byte[0]);
        }
        assert!(take_apart(&bytes).whole);
    }
    model.assert_finished();
}

#[test]
fn a_chunked_request_and_an_expectation_are_understood() {
    let model = ScriptedModel::start(vec![says("yes")]);
    let bytes = exchange(
        &model,
        "POST /v1/responses HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\
         Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n\
         7\r\n{\"strea\r\n8;x=y\r\nm\":true}\r\n0\r\n\r\n",
    );
    let rest = bytes
        .strip_prefix(b"HTTP/1.1 100 Continue\r\n\r\n")
        .unwrap();
    assert_eq!(take_apart(rest).status, 200);
    assert_eq!(model.turns()[0].body, json!({ "stream": true }));
}

#[test]
fn what_is_not_http_is_told_so_and_not_kept() {
    let model = ScriptedModel::start(vec![says("kept")]);
    for garbage in [
        "hello\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nno colon\r\n\r\n".to_owned(),
        "POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n".to_owned(),
        // Exactly the limit of 65,536 bytes, so that the server leaves no byte unread: closing
        // then would reset the connection and could take the answer with it.
        format!("GET / HTTP/1.1\r\nx: {}", "y".repeat(64 * 1024 - 19)),
    ] {
        let answer = String::from_utf8(exchange(&model, &garbage)).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    }
    assert!(model.requests().is_empty());
    assert_eq!(model.remaining(), 1);
}

#[test]
fn waiting_for_turns_ends_when_they_came() {
    let model = ScriptedModel::start(vec![says("late").delay(LONG)]);
    let mut stream = connect(&model);
    stream
        .write_all(post_text("/v1/responses", "{\"stream\":true}").as_bytes())
        .unwrap();
    let turns = model.wait_for_turns(1, LONG);
    assert_eq!(turns.len(), 1);
    assert!(fails(|| drop(
        model.wait_for_turns(2, Duration::from_millis(1))
    )));
    // The reply is still held back: nothing has come.
    stream.set_nonblocking(true).unwrap();
    assert!(stream.read(&mut [0]).is_err());
}
