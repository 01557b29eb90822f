//! Each fault does what it says, and nothing else.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use codex_test_support::{Item, Reply, ScriptedModel, sse};
use serde_json::json;

use crate::client::{Response, connect, exchange, post, post_text, take_apart};

fn crabs() -> Reply {
    Reply::responses(vec![Item::message("🦀🦀🦀🦀🦀🦀🦀🦀")])
}

fn ask(reply: Reply) -> Response {
    let model = ScriptedModel::start(vec![reply]);
    post(&model, "/v1/responses", &json!({ "stream": true }))
}

#[test]
fn a_cut_leaves_whole_events_and_an_unfinished_body() {
    for count in [0, 1, 4] {
        let cut = ask(crabs().cut_after(count));
        assert_eq!(cut.status, 200);
        assert_eq!(cut.events().len(), count);
        assert!(!cut.whole);
    }
}

#[test]
fn a_cut_after_bytes_is_exact_to_the_byte() {
    let all = ask(crabs()).body();
    for count in [0, 1, 100, all.len() - 1] {
        let cut = ask(crabs().cut_after_bytes(count));
        assert_eq!(cut.body(), all[..count]);
        assert!(!cut.whole);
    }
}

#[test]
fn a_cut_of_a_plain_body_falls_short_of_its_declared_length() {
    let reply = Reply::error_json(500, "server_error", "half").cut_after_bytes(5);
    let model = ScriptedModel::start(vec![reply]);
    let cut = post(&model, "/v1/responses", &json!({}));
    assert_eq!(cut.status, 500);
    assert_eq!(cut.body(), b"{\"err");
    assert!(!cut.whole);
}

#[test]
fn an_early_end_is_well_formed_http() {
    let ended = ask(crabs().end_after(3));
    assert_eq!(ended.events().len(), 3);
    assert!(ended.whole);
}

#[test]
fn chunks_split_events_and_characters() {
    let plain = ask(crabs());
    assert_eq!(plain.chunks.len(), plain.events().len());
    for size in [1, 7, 1000] {
        let split = ask(crabs().chunk_size(size));
        assert_eq!(split.body(), plain.body());
        assert!(split.whole);
        let (last, others) = split.chunks.split_last().unwrap();
        assert!(others.iter().all(|chunk| chunk.len() == size));
        assert!(last.len() <= size);
    }
    let split = ask(crabs().chunk_size(7));
    assert!(
        split
            .chunks
            .iter()
            .any(|chunk| std::str::from_utf8(chunk).is_err()),
        "no character was split"
    );
    let cut = ask(crabs().chunk_size(7).cut_after_bytes(20));
    assert_eq!(
        cut.chunks.iter().map(Vec::len).collect::<Vec<_>>(),
        [7, 7, 6]
    );
    assert!(!cut.whole);
}

#[test]
fn a_stall_lets_the_first_events_through_and_then_goes_on() {
    let pause = Duration::from_millis(300);
    let model = ScriptedModel::start(vec![crabs().stall_after(2, pause)]);
    let mut stream = connect(&model);
    let begun = Instant::now();
    stream
        .write_all(post_text("/v1/responses", "{\"stream\":true}").as_bytes())
        .unwrap();
    let mut bytes = Vec::new();
    while !String::from_utf8_lossy(&bytes).contains("event: response.output_item.added") {
        let mut buffer = [0; 4096];
        let read = stream.read(&mut buffer).unwrap();
        assert!(read > 0, "closed in the middle");
        bytes.extend_from_slice(&buffer[..read]);
    }
    // The third event is never early; how late it is, is the machine's matter.
    assert!(begun.elapsed() >= pause);
    stream.read_to_end(&mut bytes).unwrap();
    let response = take_apart(&bytes);
    assert!(response.whole);
    assert_eq!(
        response.events().last().unwrap().json()["type"],
        "response.completed"
    );
}

#[test]
fn a_stall_sends_what_comes_before_it() {
    let model = ScriptedModel::start(vec![crabs().stall_after(2, Duration::from_secs(3600))]);
    let mut stream = connect(&model);
    stream
        .write_all(post_text("/v1/responses", "{\"stream\":true}").as_bytes())
        .unwrap();
    let mut bytes = Vec::new();
    // Ends although the stall does not: two events come before it.
    while bytes
        .windows(4)
        .filter(|window| window == b"\n\n\r\n")
        .count()
        < 2
    {
        let mut buffer = [0; 4096];
        let read = stream.read(&mut buffer).unwrap();
        assert!(read > 0, "closed in the middle");
        bytes.extend_from_slice(&buffer[..read]);
    }
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.contains("event: response.in_progress"));
    assert!(!text.contains("event: response.output_item.added"));
}

#[test]
fn a_delay_comes_before_the_head() {
    let delay = Duration::from_millis(200);
    let begun = Instant::now();
    assert_eq!(ask(crabs().delay(delay)).status, 200);
    assert!(begun.elapsed() >= delay);
}

#[test]
fn status_headers_and_body_can_be_set_on_any_reply() {
    let changed = ask(crabs()
        .status(503)
        .header("Retry-After", "2")
        .header("Content-Type", "text/weird")
        .body("later"));
    assert_eq!(changed.status, 503);
    assert!(
        changed
            .head
            .starts_with("HTTP/1.1 503 Service Unavailable\r\n")
    );
    assert!(changed.head.contains("Retry-After: 2"));
    assert!(changed.head.contains("Content-Type: text/weird"));
    assert!(!changed.head.contains("text/plain"));
    assert_eq!(changed.text(), "later");
    assert!(changed.whole);
}

#[test]
fn a_gateway_page_is_html() {
    let page = ask(Reply::html(502));
    assert_eq!(page.status, 502);
    assert!(page.head.contains("content-type: text/html"));
    assert!(page.text().contains("<h1>502 Bad Gateway</h1>"));
}

#[test]
fn raw_bytes_replace_the_response() {
    let model = ScriptedModel::start(vec![Reply::raw(*b"\x16\x03\x01\0\xff").chunk_size(2)]);
    let bytes = exchange(&model, &post_text("/v1/responses", "{}"));
    assert_eq!(bytes, b"\x16\x03\x01\0\xff");
}

#[test]
fn inserted_events_and_bytes_stand_where_they_were_put() {
    let unknown = json!({ "type": "response.future", "new": true });
    let reply = crabs()
        .insert_event(1, "response.future", &unknown)
        .insert_bytes(0, *b": hello\n\n")
        .insert_event(usize::MAX, "", &json!({ "late": 1 }));
    let response = ask(reply);
    assert!(response.text().starts_with(": hello\n\n"));
    let events = response.events();
    assert_eq!(events[1].name.as_deref(), Some("response.future"));
    assert_eq!(events[1].json(), unknown);
    let last = events.last().unwrap();
    assert_eq!((&last.name, last.json()), (&None, json!({ "late": 1 })));

    let garbled = ask(crabs()
        .insert_bytes(1, *b"data: {\"type\":\n\n")
        .cut_after(2));
    let events = sse::parse(&garbled.text());
    assert_eq!(events.len(), 2);
    assert_eq!(events[1].data, "{\"type\":");
}
