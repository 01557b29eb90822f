//! A long scripted task: many calls, two compactions, a cut stream, a kill in the middle and a
//! resume. It ends with the right files, and every request begins with the one before it.

use std::fs;
use std::time::Duration;

use codex_test_support::{Received, TestEnv, Usage, json_lines};
use serde_json::{Value, json};

use super::fixture::{
    Started, calls, completed, eventually, exec, exec_json, files_below, is_running,
    marked_seconds, model_with, patch, says, session_files, shell,
};

/// Answers of the task, each with calls that make two files.
const STEPS: usize = 32;

/// The steps whose answers say that the window is full: a summary is asked for after them.
const FULL: [usize; 2] = [9, 25];

/// The step whose stream is cut the first time.
const CUT: usize = 4;

/// The step in whose command codex is killed.
const KILLED: usize = 16;

fn step(number: usize) -> Vec<codex_test_support::Item> {
    vec![
        patch(
            &format!("p{number}"),
            &format!("*** Add File: made/p{number:02}.txt\n+patch {number}\n"),
        ),
        shell(
            &format!("s{number}"),
            &format!("echo shell {number} > made/s{number:02}.txt"),
        ),
    ]
}

/// What every request has in the same form, and its items one by one, as bytes.
fn serialized(request: &Received) -> (String, Vec<String>) {
    let body = &request.body;
    let fixed = ["model", "instructions", "tools"].map(|field| body[field].to_string());
    let items = body["input"].as_array().unwrap();
    (
        fixed.join("\n"),
        items.iter().map(Value::to_string).collect(),
    )
}

/// Asserts that each request begins with the one before, but right after a summary. Gives how
/// often a conversation began anew.
fn restarts(turns: &[Received]) -> usize {
    let mut found = 0;
    for (at, pair) in turns.windows(2).enumerate() {
        let (fixed, before) = serialized(&pair[0]);
        let (fixed_after, after) = serialized(&pair[1]);
        assert_eq!(fixed, fixed_after, "request {}", at + 1);
        if after.starts_with(&before) {
            continue;
        }
        let asked = before.last().unwrap();
        assert!(
            asked.contains("will be replaced by your summary"),
            "request {} does not begin with the one before it: {asked}",
            at + 1
        );
        assert!(after[0].contains("<summary>"), "{after:?}");
        found += 1;
    }
    found
}

#[test]
fn a_long_task_survives_compactions_a_cut_stream_and_a_kill() {
    let env = TestEnv::new();
    env.write(".git/HEAD", "ref: refs/heads/main\n");
    env.write("AGENTS.md", "Put everything into made/.\n");
    let seconds = marked_seconds(60);
    let mut script = Vec::new();
    for number in 0..STEPS {
        let mut items = step(number);
        if number == KILLED {
            items.push(shell("killed", &format!("sleep {seconds}")));
        }
        let mut reply = calls(items);
        if number == CUT {
            script.push(reply.clone().cut_after(3));
        }
        if FULL.contains(&number) {
            reply = reply.usage(Usage {
                input_tokens: 95_000,
                ..Usage::default()
            });
        }
        script.push(reply);
        if FULL.contains(&number) {
            script.push(says(&format!("Steps 0 to {number} are done.")));
        }
    }
    script.push(says("All files are made."));
    let replies = script.len();
    let server = model_with(
        &env,
        script,
        "request_max_retries = 1\nstream_max_retries = 1\n\n[models.m]\ncontext_window = 100000\n",
    );

    let place = env.root().join("run");
    let arguments = ["--json", "--profile", "workspace-write", "make the files"];
    let mut run = Started::new(&mut exec(&env, &arguments), &place);
    eventually("the command runs", || is_running(&seconds));
    run.signal("KILL");
    assert_eq!(run.code(), None, "it was killed");
    let first = json_lines(&fs::read_to_string(place.with_extension("out")).unwrap());
    let second = exec_json(
        &env,
        &["--profile", "workspace-write", "resume", "--last", "go on"],
    );

    server.assert_finished();
    let turns = server.wait_for_turns(replies, Duration::from_secs(1));
    assert_eq!(restarts(&turns), FULL.len());
    let notes = "Put everything into made/.";
    for turn in &turns {
        let (_, items) = serialized(turn);
        assert!(items[0].contains(notes), "the notes stay: {}", items[0]);
        let calls = items.iter().filter(|i| i.contains("_call\"")).count();
        let outputs = items
            .iter()
            .filter(|i| i.contains("_call_output\""))
            .count();
        assert_eq!(calls, outputs, "every call has its output");
    }
    for (events, summary) in [(&first, "first"), (&second, "second")] {
        let told = completed(events, "error");
        assert_eq!(told.len(), 1, "the {summary} compaction is told: {told:#?}");
    }
    assert_eq!(
        completed(&second, "agent_message")[0]["text"],
        "All files are made."
    );
    let lines = json_lines(&fs::read_to_string(&session_files(&env)[0]).unwrap());
    assert_eq!(
        lines.iter().filter(|l| l["type"] == "compacted").count(),
        FULL.len()
    );
    let called = lines
        .iter()
        .filter(|l| l["item"]["type"] == "tool_call")
        .count();
    assert!(called >= 60, "{called} calls");

    let mut expected = Vec::new();
    for number in 0..STEPS {
        expected.push((format!("p{number:02}.txt"), format!("patch {number}\n")));
        expected.push((format!("s{number:02}.txt"), format!("shell {number}\n")));
    }
    expected.sort();
    let made: Vec<(String, String)> = files_below(&env.workspace().join("made"))
        .iter()
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect();
    assert_eq!(json!(made), json!(expected));
}
