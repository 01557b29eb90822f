//! What was recorded plays again, and says so where it no longer fits.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use codex_model::{RecordedModel, Replay, SetupError};
use codex_protocol::model::{Item, Model, ModelErrorKind, StopReason};
use codex_test_support::{Item as Scripted, Reply, ScriptedModel, json_lines};

use crate::{ask, model, prompt, provider};

/// A file that the test can look into.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

fn replay(text: &str) -> Result<Replay, SetupError> {
    Replay::read("test.ndjson", text.as_bytes())
}

fn output(call_id: &str, success: bool) -> Item {
    Item::ToolOutput {
        call_id: call_id.to_owned(),
        output: "anything".to_owned(),
        success,
        text: false,
    }
}

fn call(call_id: &str, name: &str) -> Item {
    Item::ToolCall {
        call: codex_protocol::tool::ToolCall {
            call_id: call_id.to_owned(),
            name: name.to_owned(),
            arguments: "{}".to_owned(),
            text: false,
        },
        native: None,
    }
}

#[tokio::test]
async fn a_recording_plays_what_was_recorded() {
    let server = ScriptedModel::start(vec![
        Reply::error_json(503, "server_error", "m").header("retry-after", "0"),
        Reply::responses(vec![Scripted::message("lost")]).cut_after(7),
        Reply::responses(vec![
            Scripted::reasoning("rs_1", "Hm.", "gAAA"),
            Scripted::message("Looking."),
            Scripted::function_call("call_1", "shell", r#"{"command":"ls"}"#),
            Scripted::custom_tool_call("call_2", "apply_patch", "*** Begin Patch"),
        ]),
        Reply::responses(vec![Scripted::message("Done.")]).out_of_tokens(),
    ]);
    let file = Shared::default();
    let recorded = RecordedModel::new(Box::new(model(provider(&server))), "f", file.clone());
    assert_eq!(recorded.provider(), "scripted");

    let mut items = vec![Item::user("look")];
    let mut first = ask(&recorded, prompt(items.clone())).await;
    assert_eq!(first.retries.len(), 2);
    first.retries.clear();
    items.extend(first.items.clone());
    items.extend([
        output("call_1", true),
        output("call_2", false),
        Item::user("and?"),
    ]);
    let second = ask(&recorded, prompt(items.clone())).await;
    assert_eq!(second.stop(), Some(StopReason::Length));

    let lines = json_lines(&file.text());
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["v"], 1);
    assert_eq!(lines[0]["expects"], serde_json::json!([]));
    assert_eq!(
        lines[1]["expects"],
        serde_json::json!([
            { "call_id": "call_1", "tool": "shell" },
            { "call_id": "call_2", "tool": "apply_patch" },
        ])
    );

    let replay = replay(&file.text()).unwrap();
    assert_eq!((replay.provider(), replay.endpoint()), ("replay", "replay"));
    assert_eq!(ask(&replay, prompt(vec![Item::user("look")])).await, first);
    // Outputs may come in another order, and go another way than they did.
    let last = items.len() - 1;
    items.swap(last - 2, last - 1);
    assert_eq!(ask(&replay, prompt(items.clone())).await, second);

    let over = ask(&replay, prompt(items)).await.failed();
    assert_eq!(over.kind, ModelErrorKind::Replay);
    assert!(
        over.message
            .contains("test.ndjson has 2 responses, and the conversation asks for one more"),
        "{}",
        over.message
    );
}

#[tokio::test]
async fn a_replay_that_no_longer_fits_says_where() {
    let said = r#"{"v":1,"items":[{"type":"assistant","text":"a"}]}"#;
    let second = |line: &str| replay(&format!("{said}\n\n{line}\n")).unwrap();
    let answers = |expects: &str| {
        second(&format!(
            r#"{{"v":1,"expects":{expects},"items":[{{"type":"assistant","text":"b"}}]}}"#
        ))
    };
    let calls = |call: &str| {
        second(&format!(
            r#"{{"v":1,"items":[{{"type":"tool_call","call_id":"c","arguments":"x",{call}}}]}}"#
        ))
    };
    for (replay, why) in [
        (
            answers(r#"["call_1"]"#),
            "it answers the output of call_1, and the newest outputs are of call_9",
        ),
        (
            answers("[]"),
            "it answers the output of no call, and the newest outputs are of call_9",
        ),
        (
            answers(r#"["call_8","call_9"]"#),
            "it answers the output of call_8, call_9, and",
        ),
        (
            answers(r#"[{"call_id":"call_9","tool":"apply_patch"}]"#),
            "call call_9 was of the tool apply_patch, and is now of shell",
        ),
        (
            answers(r#"[{"call_id":"call_9","success":true}]"#),
            "call call_9 succeeded when it was recorded, and failed now",
        ),
        (
            calls(r#""name":"browser""#),
            "it calls the tool browser, which is not offered; offered are: shell, apply_patch",
        ),
        (
            calls(r#""name":"shell","text":true"#),
            "it calls the tool shell with plain text, and the tool takes JSON",
        ),
    ] {
        assert_eq!(ask(&replay, prompt(vec![])).await.text, "a");
        let items = vec![call("call_9", "shell"), output("call_9", false)];
        let error = ask(&replay, prompt(items)).await.failed();
        assert_eq!(error.kind, ModelErrorKind::Replay);
        let expect = format!("the recording test.ndjson does not fit at line 3: {why}");
        assert!(error.message.starts_with(&expect), "{}", error.message);
    }
    // Outputs that the model has already answered are not new.
    let none = answers("[]");
    ask(&none, prompt(vec![])).await;
    let spoke = Item::Assistant {
        text: "b".to_owned(),
        native: None,
    };
    let items = vec![call("call_9", "shell"), output("call_9", true), spoke];
    assert_eq!(ask(&none, prompt(items)).await.text, "b");
}

#[test]
fn only_complete_and_valid_lines_are_played() {
    let good = r#"{"v":1,"items":[]}"#;
    for (text, why) in [
        ("", "it holds no response"),
        ("\n \n", "it holds no response"),
        (
            r#"{"v":1,"items":[{"type":"assis"#,
            "line 1: it is not a complete response",
        ),
        (r#"{"v":2,"items":[]}"#, "line 1: its format has version 2"),
        (r#"{"v":1,"item":[]}"#, "unknown field `item`"),
        (r#"{"v":1,"items":[],"stop":"never"}"#, "line 1"),
        (
            r#"{"v":1,"items":[{"type":"user","content":[]}]}"#,
            "what a model does not say",
        ),
        (
            r#"{"v":1,"items":[{"type":"tool_call","call_id":"","name":"n","arguments":""}]}"#,
            "without a call_id",
        ),
        (
            r#"{"v":1,"items":[{"type":"tool_call","call_id":"c","name":"n","arguments":""},{"type":"tool_call","call_id":"c","name":"n","arguments":""}]}"#,
            "two calls with the call_id c",
        ),
    ] {
        let error = replay(text).err().unwrap().to_string();
        assert!(error.contains(why), "{error}");
        if error.contains("line 1") {
            let error = replay(&format!("{good}\n{text}\n"))
                .err()
                .unwrap()
                .to_string();
            assert!(error.contains("line 2"), "{error}");
        }
    }
    let long = format!(
        "{}\n",
        " ".repeat(codex_model::recording::MAX_LINE_BYTES + 1)
    );
    assert!(
        replay(&long)
            .err()
            .unwrap()
            .to_string()
            .contains("longer than")
    );
    // A last line without its line feed is whole if its JSON is.
    assert!(replay(good).is_ok());
    assert!(replay(&format!("{good}\r\n{good}\r\n")).is_ok());
}

#[test]
fn a_recording_that_is_not_there() {
    let directory = tempfile::tempdir().unwrap();
    let error = Replay::open(&directory.path().join("none.ndjson"))
        .err()
        .unwrap();
    assert!(matches!(error, SetupError::Unreadable { .. }), "{error}");
    let path = directory.path().join("one.ndjson");
    std::fs::write(&path, "{\"v\":1,\"items\":[]}\n").unwrap();
    assert!(Replay::open(&path).is_ok());
}

#[tokio::test]
async fn a_recording_that_cannot_be_written_fails_the_request() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let inner = replay(r#"{"v":1,"items":[{"type":"assistant","text":"a"}]}"#).unwrap();
    let recorded = RecordedModel::new(Box::new(inner), "full.ndjson", Full);
    let answer = ask(&recorded, prompt(vec![])).await;
    let error = answer.error.unwrap();
    assert_eq!(error.kind, ModelErrorKind::Replay);
    assert!(
        error
            .message
            .starts_with("the recording full.ndjson can't be written")
    );
}

#[tokio::test]
async fn the_budgets_turn_plays() {
    let text = include_str!("../../../xtask/data/one_command.replay.ndjson");
    let replay = replay(text).unwrap();
    let mut items = vec![Item::user("run true")];
    let first = ask(&replay, prompt(items.clone())).await;
    items.extend(first.items.clone());
    items.push(output("call_1", true));
    let second = ask(&replay, prompt(items)).await;
    assert_eq!(second.text, "done");
    assert!(matches!(&first.items[0], Item::ToolCall { call, .. }
        if call.name == "shell" && call.arguments == r#"{"command":"true"}"#));
}
