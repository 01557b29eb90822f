//! Answers that don't come: what is tried again, how often, and what people are told.

use std::net::TcpListener;
use std::time::Duration;

use codex_model::MAX_RESPONSE_BYTES;
use codex_protocol::model::{Item, Model, ModelErrorKind, ModelEvent, Prompt};
use codex_test_support::{Item as Scripted, Reply, ScriptedModel};

use crate::{Answer, KEY, ask, model, prompt, provider};

fn question() -> Prompt {
    prompt(vec![Item::user("look")])
}

fn good() -> Reply {
    Reply::responses(vec![
        Scripted::reasoning("rs_1", "Hm.", "gAAA"),
        Scripted::message("Looking."),
        Scripted::function_call("call_1", "shell", r#"{"command":"ls"}"#),
    ])
}

#[track_caller]
fn assert_good(answer: &Answer) {
    assert_eq!(answer.error, None);
    assert_eq!(
        (answer.text.as_str(), answer.reasoning.as_str()),
        ("Looking.", "Hm.")
    );
    assert_eq!(answer.items.len(), 3, "{:?}", answer.items);
}

/// What comes of this first reply, when the second is a good one.
async fn recovers(first: Reply) -> Answer {
    let server = ScriptedModel::start(vec![first, good()]);
    let mut provider = provider(&server);
    provider.stream_idle_timeout = Duration::from_secs(20);
    let answer = ask(&model(provider), question()).await;
    server.assert_finished();
    let turns = server.turns();
    assert_eq!(turns[0].bytes, turns[1].bytes, "the request changed");
    answer
}

/// The error that this reply ends in at once.
async fn refused(reply: Reply) -> codex_protocol::model::ModelError {
    let server = ScriptedModel::start(vec![reply]);
    let answer = ask(&model(provider(&server)), question()).await;
    assert_eq!(answer.retries, []);
    assert_eq!(server.requests().len(), 1);
    answer.failed()
}

#[tokio::test]
async fn streams_that_break_off_are_asked_for_again() {
    let mut attempts = tokio::task::JoinSet::new();
    for frames in [0, 1, 5, 9, 20] {
        attempts.spawn(recovers(good().cut_after(frames)));
        attempts.spawn(recovers(good().end_after(frames)));
    }
    for bytes in [1, 700, 2500] {
        attempts.spawn(recovers(good().cut_after_bytes(bytes)));
    }
    attempts.spawn(recovers(
        good().insert_bytes(6, "data: {\"type\":\"resp\n\n"),
    ));
    attempts.spawn(recovers(good().insert_bytes(6, "data: garbage\n\n")));
    attempts.spawn(recovers(good().fails("server_error", "Boom.")));
    let mut count = 0;
    while let Some(answer) = attempts.join_next().await {
        let answer = answer.unwrap();
        assert_good(&answer);
        let [(attempt, delay, reason)] = answer.retries.as_slice() else {
            panic!("{:?}", answer.retries);
        };
        assert_eq!(*attempt, 2);
        assert!((100..=200).contains(delay), "{delay}");
        assert!(!reason.is_empty());
        count += 1;
    }
    assert_eq!(count, 16);
}

#[tokio::test]
async fn a_stalled_stream_is_given_up_and_asked_for_again() {
    let stalled = good().stall_after(6, Duration::from_secs(3600));
    let silent = good().delay(Duration::from_secs(3600));
    for first in [stalled, silent] {
        let server = ScriptedModel::start(vec![first, good()]);
        let mut provider = provider(&server);
        provider.stream_idle_timeout = Duration::from_millis(300);
        let answer = ask(&model(provider), question()).await;
        assert_good(&answer);
        assert_eq!(answer.retries.len(), 1);
        assert!(
            answer.retries[0].2.contains("silent for 300ms"),
            "{:?}",
            answer.retries
        );
    }
}

#[tokio::test]
async fn statuses_that_pass_are_tried_again_after_the_wait_that_is_asked_for() {
    for status in [408, 409, 429, 500, 502, 503, 504, 529] {
        let first = Reply::error_json(status, "some_error", "Not now.").header("retry-after", "0");
        let answer = recovers(first).await;
        assert_good(&answer);
        assert_eq!(
            answer.retries,
            [(2, 0, format!("status {status}: Not now."))]
        );
    }
    for (name, value, delay) in [
        ("retry-after", "1", 1000),
        ("retry-after-ms", "7", 7),
        ("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT", 0),
    ] {
        let first = Reply::error_json(429, "rate_limit_exceeded", "m").header(name, value);
        let answer = recovers(first).await;
        assert_good(&answer);
        assert_eq!(answer.retries[0].1, delay, "{name}: {value}");
    }
    let hinted = Reply::error_json(429, "tokens", "Please try again in 20ms.");
    assert_eq!(recovers(hinted).await.retries[0].1, 20);
}

#[tokio::test]
async fn a_gateways_page_is_shown_by_its_title() {
    let answer = recovers(Reply::html(502).header("retry-after", "0")).await;
    assert_good(&answer);
    assert_eq!(answer.retries[0].2, "status 502: 502 Bad Gateway");
}

#[tokio::test]
async fn retries_end() {
    let server = ScriptedModel::start(vec![
        Reply::error_json(500, "server_error", "One.").header("retry-after", "0"),
        good().cut_after(3),
        Reply::error_json(429, "rate_limit_exceeded", "Slow down.").header("retry-after", "0"),
        Reply::error_json(503, "server_error", "Two.").header("retry-after", "0"),
        good(),
    ]);
    let mut provider = provider(&server);
    provider.request_max_retries = 2;
    provider.stream_max_retries = 1;
    let answer = ask(&model(provider), question()).await;
    let attempts: Vec<u32> = answer.retries.iter().map(|retry| retry.0).collect();
    assert_eq!(attempts, [2, 3, 4]);
    let error = answer.failed();
    assert_eq!(error.kind, ModelErrorKind::Server);
    assert!(
        error
            .message
            .ends_with("status 503: Two. (after 4 attempts); try again later"),
        "{}",
        error.message
    );
    assert_eq!(server.remaining(), 1);
}

#[tokio::test]
async fn a_longer_wait_than_anyone_sits_through_is_named() {
    let reply =
        Reply::error_json(429, "rate_limit_exceeded", "Full.").header("retry-after", "3600");
    let error = refused(reply).await;
    assert_eq!(error.kind, ModelErrorKind::RateLimit);
    assert!(
        error.message.contains("wait for 3600 seconds"),
        "{}",
        error.message
    );
}

#[tokio::test]
async fn what_waiting_does_not_mend_is_not_tried_again() {
    for (reply, kind, words) in [
        (
            Reply::error_json(401, "invalid_api_key", format!("Incorrect API key: {KEY}.")),
            ModelErrorKind::Auth,
            "status 401: Incorrect API key: [REDACTED].; set SCRIPTED_API_KEY to a key",
        ),
        (
            Reply::error_json(403, "permission_error", "Not you."),
            ModelErrorKind::Auth,
            "set SCRIPTED_API_KEY",
        ),
        (
            Reply::error_json(404, "model_not_found", "No such model."),
            ModelErrorKind::Rejected,
            "No such model.; check the model's name (-m), and base_url of [model_providers.scripted]",
        ),
        (
            Reply::error_json(400, "invalid_request_error", "Unknown parameter: 'x'."),
            ModelErrorKind::Rejected,
            "status 400: Unknown parameter: 'x'.",
        ),
        (
            Reply::error_json(400, "context_length_exceeded", "Too long."),
            ModelErrorKind::ContextTooLong,
            "/compact",
        ),
        (
            Reply::error_json(429, "insufficient_quota", "No money."),
            ModelErrorKind::RateLimit,
            "billing",
        ),
        (
            Reply::error_json(429, "usage_limit_reached", "No more."),
            ModelErrorKind::RateLimit,
            "billing",
        ),
        (
            good().fails("insufficient_quota", "No money."),
            ModelErrorKind::RateLimit,
            "the response failed (insufficient_quota): No money.",
        ),
        (
            Reply::text(302, "").header("location", "https://elsewhere.example/"),
            ModelErrorKind::Rejected,
            "a redirect",
        ),
        (
            Reply::html(200),
            ModelErrorKind::Protocol,
            "a document (text/html) instead of a stream",
        ),
        (
            Reply::error_json(200, "invalid_request_error", "Said with 200."),
            ModelErrorKind::Rejected,
            "Said with 200.",
        ),
        (
            Reply::raw("SSH-2.0-OpenSSH_9.9\r\n"),
            ModelErrorKind::Protocol,
            "HTTP/1.1",
        ),
    ] {
        let error = refused(reply).await;
        assert_eq!(error.kind, kind, "{}", error.message);
        assert!(
            error.message.contains(words),
            "{} lacks {words}",
            error.message
        );
        assert!(
            error.message.starts_with("scripted (http://127.0.0.1:"),
            "{}",
            error.message
        );
    }
}

#[tokio::test]
async fn an_errors_text_is_capped_and_obeyed_by_no_terminal() {
    let text = format!("\u{1b}[2Jbad\r\n{}", "x".repeat(100_000));
    let error = refused(Reply::text(400, text).header("x-request-id", "req\t7")).await;
    assert!(
        error.message.contains("status 400: [2Jbad xxx"),
        "{:.200}",
        error.message
    );
    assert!(error.message.len() < 2500);
    assert!(!error.message.contains(char::is_control));
    let error = refused(Reply::text(400, "short").header("x-request-id", "req_7")).await;
    assert!(
        error.message.contains("short [request req_7]"),
        "{}",
        error.message
    );
}

#[tokio::test]
async fn a_missing_key_is_named_and_nothing_is_sent() {
    let server = ScriptedModel::start(vec![good()]);
    let mut provider = provider(&server);
    provider.key = None;
    provider.key_variables.push("OTHER_KEY".to_owned());
    let error = ask(&model(provider), question()).await.failed();
    assert_eq!(error.kind, ModelErrorKind::Auth);
    assert!(
        error
            .message
            .ends_with("; set SCRIPTED_API_KEY or OTHER_KEY"),
        "{}",
        error.message
    );
    assert_eq!(server.requests().len(), 0);
}

#[tokio::test]
async fn a_server_that_is_not_there() {
    let server = ScriptedModel::start(vec![]);
    // Its port is free again, and nobody else's for the moment.
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let mut provider = provider(&server);
    provider.base_url = format!("http://{free}/v1");
    provider.start_command = Some("scripted serve".to_owned());
    provider.request_max_retries = 1;
    let answer = ask(&model(provider), question()).await;
    assert_eq!(answer.retries.len(), 1);
    let error = answer.failed();
    assert_eq!(error.kind, ModelErrorKind::Network);
    let expect = format!(
        "{free} refused the connection (after 2 attempts); start it with `scripted serve`, or set \
         base_url of [model_providers.scripted] to where it listens"
    );
    assert!(error.message.ends_with(&expect), "{}", error.message);
}

#[tokio::test]
async fn an_answer_without_end_is_given_up() {
    let comments = ": filler filler filler filler filler filler filler filler\n".repeat(1000);
    let much = comments.repeat(MAX_RESPONSE_BYTES / comments.len() + 1);
    let line = format!("data: {}", "x".repeat(17 * 1024 * 1024));
    for bytes in [much, line] {
        let error = refused(good().insert_bytes(2, bytes)).await;
        assert_eq!(error.kind, ModelErrorKind::Protocol);
        assert!(error.message.contains("larger than"), "{}", error.message);
    }
}

#[tokio::test]
async fn dropping_the_stream_ends_the_wait_and_the_request() {
    let server = ScriptedModel::start(vec![
        Reply::error_json(503, "server_error", "m").header("retry-after", "50"),
        good(),
    ]);
    let model = model(provider(&server));
    let mut stream = model.stream(question());
    let first = stream.next().await;
    assert!(matches!(
        first,
        Some(Ok(ModelEvent::Retrying {
            delay_ms: 50_000,
            ..
        }))
    ));
    let waiting = tokio::time::timeout(Duration::from_millis(50), stream.next()).await;
    assert!(waiting.is_err(), "the wait is kept to");
    drop(stream);
    assert_eq!(server.requests().len(), 1);
}
