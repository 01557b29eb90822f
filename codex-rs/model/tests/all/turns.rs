//! Answers that come, whole and in pieces.

use std::time::Duration;

use codex_http::{Client, ClientOptions, Secret, TrustRoots};
use codex_model::{Provider, SetupError, WireApi, http_model};
use codex_protocol::model::{Content, Item, Model, ModelEvent, StopReason, Usage};
use codex_test_support::{Item as Scripted, Reply, ScriptedModel};
use serde_json::json;

use crate::schema::assert_valid_request;
use crate::{KEY, ask, model, prompt, provider};

fn first_turn() -> Vec<Scripted> {
    vec![
        Scripted::reasoning("rs_1", "I should look.", "gAAA-encrypted"),
        Scripted::message("Looking, grüße 🦀."),
        Scripted::function_call("call_1", "shell", r#"{"command":"ls -la"}"#),
        Scripted::custom_tool_call("call_2", "apply_patch", "*** Begin Patch\n*** End Patch"),
        Scripted::other(json!({ "type": "program", "id": "prog_1", "call_id": "p1",
            "code": "1", "fingerprint": "f", "status": "completed" })),
    ]
}

fn output(call_id: &str, text: bool) -> Item {
    Item::ToolOutput {
        call_id: call_id.to_owned(),
        output: "total 0".to_owned(),
        success: true,
        text,
    }
}

#[tokio::test]
async fn a_turn_with_tool_calls_and_the_request_after_it() {
    let server = ScriptedModel::start(vec![
        Reply::responses(first_turn()),
        Reply::responses(vec![Scripted::message("Done.")]),
    ]);
    let model = model(provider(&server));
    assert_eq!(model.provider(), "scripted");
    assert_eq!(model.endpoint(), format!("{}/responses", server.base_url()));

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
    assert_eq!(first.text, "Looking, grüße 🦀.");
    assert_eq!(first.reasoning, "I should look.");
    let usage = Usage {
        input_tokens: 120,
        cached_input_tokens: 40,
        output_tokens: 30,
        reasoning_output_tokens: 10,
    };
    let stop = StopReason::Done;
    assert_eq!(first.completed, Some(ModelEvent::Completed { usage, stop }));
    let calls: Vec<_> = first
        .items
        .iter()
        .filter_map(|item| match item {
            Item::ToolCall { call, .. } => Some((
                call.call_id.as_str(),
                call.name.as_str(),
                call.arguments.as_str(),
                call.text,
            )),
            _ => None,
        })
        .collect();
    assert_eq!(
        calls,
        [
            ("call_1", "shell", r#"{"command":"ls -la"}"#, false),
            (
                "call_2",
                "apply_patch",
                "*** Begin Patch\n*** End Patch",
                true
            ),
        ]
    );

    items.extend(first.items);
    items.extend([
        output("call_1", false),
        output("call_2", true),
        Item::user("go on"),
    ]);
    let second = ask(&model, prompt(items)).await;
    assert_eq!(second.text, "Done.");
    server.assert_finished();

    let turns = server.turns();
    for turn in &turns {
        assert_eq!(
            turn.header("authorization"),
            Some(&*format!("Bearer {KEY}"))
        );
        assert_eq!(turn.header("content-type"), Some("application/json"));
        assert_eq!(turn.header("accept"), Some("text/event-stream"));
        assert_valid_request(&turn.body);
    }
    let input = turns[1].body["input"].as_array().unwrap();
    let kinds: Vec<_> = input
        .iter()
        .map(|item| item["type"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        [
            "message",
            "reasoning",
            "message",
            "function_call",
            "custom_tool_call",
            "program",
            "function_call_output",
            "custom_tool_call_output",
            "message",
        ]
    );
    assert_eq!(input[1]["encrypted_content"], "gAAA-encrypted");
    assert_eq!(input[1]["id"], "rs_1");
    assert_eq!(input[6]["call_id"], "call_1");
    assert_eq!(input[7]["call_id"], "call_2");
    // The cache's prefix: all of the first request up to the end of its items.
    let prefix = turns[0].bytes.strip_suffix(b"]}").unwrap();
    assert!(turns[1].bytes.starts_with(prefix));
}

#[tokio::test]
async fn every_request_fits_the_published_description() {
    let server = ScriptedModel::start(vec![Reply::responses(vec![]), Reply::responses(vec![])]);
    let model = model(provider(&server));
    let mut rich = prompt(vec![
        Item::Reasoning {
            text: "foreign".to_owned(),
            native: None,
        },
        Item::Assistant {
            text: "foreign".to_owned(),
            native: None,
        },
        Item::ToolCall {
            call: codex_protocol::tool::ToolCall {
                call_id: "toolu_1".to_owned(),
                name: "shell".to_owned(),
                arguments: "{}".to_owned(),
                text: false,
            },
            native: None,
        },
        output("toolu_1", false),
        Item::User { content: vec![] },
    ]);
    rich.output_schema = Some(json!({ "type": "object", "additionalProperties": false }));
    rich.max_output_tokens = Some(1);
    let mut bare = prompt(vec![]);
    bare.effort = None;
    bare.tools.clear();
    bare.cache_key.clear();
    for prompt in [rich, bare] {
        assert_eq!(ask(&model, prompt).await.stop(), Some(StopReason::Done));
    }
    for turn in server.turns() {
        assert_valid_request(&turn.body);
    }
}

#[tokio::test]
async fn pieces_of_one_byte_give_the_same() {
    let server = ScriptedModel::start(vec![
        Reply::responses(first_turn()),
        Reply::responses(first_turn()).chunk_size(1),
    ]);
    let model = model(provider(&server));
    let whole = ask(&model, prompt(vec![Item::user("look")])).await;
    let mut pieces = ask(&model, prompt(vec![Item::user("look")])).await;
    // The scripted server makes ids from the number of the turn; the contents are the same.
    let strip = |items: &mut Vec<Item>| {
        for item in items {
            match item {
                Item::Assistant { native, .. }
                | Item::Reasoning { native, .. }
                | Item::ToolCall { native, .. } => *native = None,
                _ => {}
            }
        }
    };
    let mut whole = whole;
    strip(&mut whole.items);
    strip(&mut pieces.items);
    assert_eq!(whole.items.len(), 5);
    assert_eq!(pieces, whole);
}

#[tokio::test]
async fn unknown_events_comments_and_end_marks_are_ignored() {
    let reply = Reply::responses(vec![Scripted::message("Hi.")])
        .insert_event(
            0,
            "response.brand_new",
            &json!({ "type": "response.brand_new", "x": [1] }),
        )
        .insert_bytes(3, ": keep-alive\n\n")
        .insert_event(4, "", &json!({ "no": "type" }))
        .insert_bytes(5, "data: [DONE]\n\n");
    let server = ScriptedModel::start(vec![reply]);
    let answer = ask(&model(provider(&server)), prompt(vec![Item::user("hi")])).await;
    assert_eq!((answer.text.as_str(), answer.items.len()), ("Hi.", 1));
    assert_eq!(answer.retries, []);
}

#[tokio::test]
async fn an_answer_that_reached_its_limit() {
    let server = ScriptedModel::start(vec![
        Reply::responses(vec![Scripted::message("Half of")]).out_of_tokens(),
    ]);
    let answer = ask(&model(provider(&server)), prompt(vec![Item::user("hi")])).await;
    assert_eq!(answer.stop(), Some(StopReason::Length));
    assert_eq!(answer.items.len(), 1);
}

#[tokio::test]
async fn a_dropped_wait_loses_nothing() {
    let server = ScriptedModel::start(vec![
        Reply::responses(first_turn())
            .chunk_size(40)
            .delay(Duration::from_millis(30))
            .stall_after(4, Duration::from_millis(30)),
    ]);
    let model = model(provider(&server));
    let mut stream = model.stream(prompt(vec![Item::user("look")]));
    let (mut text, mut items, mut dropped) = (String::new(), 0, 0);
    loop {
        // Whoever selects over several futures drops this one all the time.
        match tokio::time::timeout(Duration::from_millis(1), stream.next()).await {
            Err(_) => dropped += 1,
            Ok(Some(event)) => match event.unwrap() {
                ModelEvent::TextDelta(delta) => text.push_str(&delta),
                ModelEvent::Item(_) => items += 1,
                _ => {}
            },
            Ok(None) => break,
        }
    }
    assert!(dropped > 0);
    assert_eq!((text.as_str(), items), ("Looking, grüße 🦀.", 5));
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn nothing_is_sent_before_the_first_event_is_asked_for() {
    let server = ScriptedModel::start(vec![]);
    let model = model(provider(&server));
    let stream = model.stream(prompt(vec![Item::user("hi")]));
    tokio::time::sleep(Duration::from_millis(50)).await;
    drop(stream);
    assert_eq!(server.requests().len(), 0);
}

#[tokio::test]
async fn headers_and_query_of_the_provider() {
    let server = ScriptedModel::start(vec![Reply::responses(vec![Scripted::message("Hi.")])]);
    let mut provider = provider(&server);
    provider.base_url.push('/');
    // Credentials in a header of one's own make the key unnecessary, and win over it.
    provider.key = None;
    provider.headers = vec![
        ("Authorization".to_owned(), Secret::new("Custom abcdefgh")),
        ("x-team".to_owned(), Secret::new("blue")),
    ];
    provider.query = vec![
        ("api-version".to_owned(), Secret::new("2026-01-01")),
        ("k&y".to_owned(), Secret::new("a b/ü")),
    ];
    let model = model(provider);
    assert_eq!(model.endpoint(), format!("{}/responses", server.base_url()));
    let answer = ask(&model, prompt(vec![Item::user("hi")])).await;
    assert_eq!(answer.text, "Hi.");
    let turn = &server.turns()[0];
    assert_eq!(turn.header("authorization"), Some("Custom abcdefgh"));
    assert_eq!(turn.header("x-team"), Some("blue"));
    assert_eq!(turn.query, "api-version=2026-01-01&k%26y=a%20b%2F%C3%BC");
}

#[tokio::test]
async fn plain_http_needs_no_tls() {
    let server = ScriptedModel::start(vec![Reply::responses(vec![Scripted::message("Hi.")])]);
    let client = Client::new(ClientOptions {
        roots: TrustRoots {
            file: Some("/nonexistent/roots.pem".into()),
            dir: None,
        },
        ..ClientOptions::default()
    });
    let model = http_model(provider(&server), client.clone()).unwrap();
    let answer = ask(&model, prompt(vec![Item::user("hi")])).await;
    assert_eq!(answer.text, "Hi.");
}

#[test]
fn providers_that_cannot_be_used() {
    let setup = |provider| {
        http_model(provider, Client::new(ClientOptions::default()))
            .err()
            .unwrap()
    };
    let new = |url: &str| Provider::new("own", url, WireApi::Responses);
    for url in [
        "",
        "example.com",
        "ftp://host/v1",
        "http://user:secret@host/v1",
        "http://h/v1?key=secret",
        "http://h/v1#x",
    ] {
        let error = setup(new(url));
        assert!(matches!(error, SetupError::BaseUrl { .. }), "{url}");
        let text = error.to_string();
        assert!(text.contains("base_url of provider `own`"), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }
    let mut provider = new("http://h");
    provider
        .headers
        .push(("x".to_owned(), Secret::new("secret\n")));
    let error = setup(provider);
    assert!(matches!(error, SetupError::Header { .. }));
    assert!(!error.to_string().contains("secret"));
}
