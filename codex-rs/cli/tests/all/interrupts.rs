//! Runs that end in the middle: Ctrl-C and a killed codex.

use std::fs;
use std::time::Duration;

use codex_test_support::{TestEnv, json_lines};
use serde_json::Value;

use super::fixture::{
    Started, calls, eventually, exec, exec_json, is_running, kinds, marked_seconds, model,
    output_of, says, session_files, shell, within,
};

/// Each call of a session and whether it is answered.
fn calls_of(lines: &[Value]) -> Vec<(String, bool)> {
    let items: Vec<&Value> = lines.iter().map(|line| &line["item"]).collect();
    let answered = |id: &Value| {
        items
            .iter()
            .any(|i| i["type"] == "tool_output" && i["call_id"] == *id)
    };
    items
        .iter()
        .filter(|i| i["type"] == "tool_call")
        .map(|i| {
            (
                i["call_id"].as_str().unwrap().to_owned(),
                answered(&i["call_id"]),
            )
        })
        .collect()
}

#[test]
fn an_interrupted_run_ends_its_command_and_can_go_on() {
    for signal in ["INT", "TERM"] {
        let env = TestEnv::new();
        let seconds = marked_seconds(30);
        let script = vec![
            calls(vec![
                shell("c1", &format!("sleep {seconds}")),
                shell("c2", "echo never > never.txt"),
            ]),
            says("Went on."),
        ];
        let server = model(&env, script);
        let place = env.root().join("run");
        let arguments = ["--json", "--profile", "workspace-write", "wait"];
        let mut run = Started::new(&mut exec(&env, &arguments), &place);
        eventually("the command runs", || is_running(&seconds));

        run.signal(signal);

        assert_eq!(run.code(), Some(130));
        within(Duration::from_secs(5), "the command is gone", || {
            !is_running(&seconds)
        });
        assert!(!env.workspace().join("never.txt").exists());
        let events = json_lines(&fs::read_to_string(place.with_extension("out")).unwrap());
        assert!(
            kinds(&events).contains(&"turn.failed".to_owned()),
            "{events:#?}"
        );
        let files = session_files(&env);
        let lines = json_lines(&fs::read_to_string(&files[0]).unwrap());
        assert_eq!(
            calls_of(&lines),
            [("c1".to_owned(), true), ("c2".to_owned(), true)]
        );

        let again = exec_json(&env, &["resume", "--last", "go on"]);
        assert_eq!(again[0]["thread_id"], events[0]["thread_id"]);
        assert_eq!(again.last().unwrap()["type"], "turn.completed");
        assert!(output_of(&server, 1, "c1").contains("interrupted"));
    }
}

#[test]
fn an_interrupted_wait_for_the_model_ends_at_once() {
    let env = TestEnv::new();
    let server = model(&env, vec![says("late").delay(Duration::from_secs(50))]);
    let mut run = Started::new(&mut exec(&env, &["wait"]), &env.root().join("run"));
    server.wait_for_turns(1, Duration::from_secs(20));
    run.signal("INT");
    assert_eq!(run.code(), Some(130));
}

#[test]
fn a_killed_codex_leaves_no_command_and_a_session_to_go_on_with() {
    let env = TestEnv::new();
    let (seconds, apart) = (marked_seconds(60), marked_seconds(60));
    let script = vec![
        calls(vec![shell(
            "c1",
            &format!("(setsid sleep {apart} &); sleep {seconds}"),
        )]),
        says("Went on."),
    ];
    let server = model(&env, script);
    let arguments = ["--profile", "workspace-write", "wait"];
    let mut run = Started::new(&mut exec(&env, &arguments), &env.root().join("run"));
    eventually("both commands run", || {
        is_running(&seconds) && is_running(&apart)
    });

    run.signal("KILL");

    assert_eq!(run.code(), None);
    within(Duration::from_secs(5), "the commands are gone", || {
        !is_running(&seconds) && !is_running(&apart)
    });
    let again = exec_json(&env, &["resume", "--last", "go on"]);
    assert_eq!(again.last().unwrap()["type"], "turn.completed");
    assert!(output_of(&server, 1, "c1").contains("interrupted"));
}
