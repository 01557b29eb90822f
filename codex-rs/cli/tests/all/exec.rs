//! `codex exec`: events, sessions, prompts, limits and recordings.

use std::fs;

use codex_test_support::{Item, Reply, TestEnv, json_lines, run, run_with_stdin};
use serde_json::{Value, json};

use super::fixture::{
    KEY, calls, completed, denied, exec, exec_json, files_below, kinds, model, output_of, outputs,
    patch, says, session_files, shell, told,
};

/// The texts of the user's messages in a request.
fn user_texts(body: &Value) -> Vec<String> {
    body["input"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|item| item["role"] == "user")
        .flat_map(|item| item["content"].as_array().unwrap())
        .filter_map(|part| part["text"].as_str().map(str::to_owned))
        .collect()
}

#[test]
fn a_turn_is_told_in_events_and_asked_for_in_requests() {
    let env = TestEnv::new();
    let script = vec![
        calls(vec![shell("c1", "echo one; echo two >&2; exit 3")]),
        says("All seen."),
    ];
    let server = model(&env, script);

    let events = exec_json(&env, &["look around"]);

    assert_eq!(
        kinds(&events),
        [
            "thread.started",
            "turn.started",
            "item.started command_execution",
            "item.completed command_execution",
            "item.completed agent_message",
            "turn.completed",
        ]
    );
    let id = events[0]["thread_id"].as_str().unwrap();
    assert!(!id.is_empty());
    assert_eq!(events[2]["item"]["status"], "in_progress");
    let command = &events[3]["item"];
    assert_eq!(command["id"], events[2]["item"]["id"]);
    assert_eq!(command["command"], "echo one; echo two >&2; exit 3");
    assert_eq!(command["aggregated_output"], "one\ntwo\n");
    assert_eq!(command["exit_code"], 3);
    assert_eq!(command["status"], "failed");
    assert_eq!(events[4]["item"]["text"], "All seen.");
    // Two requests of the scripted model's 120 (40 cached) and 30 (10 reasoning) tokens.
    assert_eq!(
        events[5]["usage"],
        json!({ "input_tokens": 240, "cached_input_tokens": 80, "output_tokens": 60, "reasoning_output_tokens": 20 })
    );

    server.assert_finished();
    let turns = server.turns();
    assert_eq!(
        turns[0].header("authorization"),
        Some(&*format!("Bearer {KEY}"))
    );
    assert_eq!(turns[0].body["model"], "m");
    assert!(
        user_texts(&turns[0].body)
            .iter()
            .any(|t| t == "look around")
    );
    let answers = outputs(&turns[1]);
    assert_eq!(answers.len(), 1);
    assert_eq!(answers[0].0, "c1");
    assert!(answers[0].1.contains("one\ntwo\n"), "{answers:?}");
    assert!(
        answers[0].1.contains('3'),
        "the exit code is told: {answers:?}"
    );
    // What providers cache is the unchanged beginning.
    let first: Vec<String> = turns[0].body["input"]
        .as_array()
        .unwrap()
        .iter()
        .map(Value::to_string)
        .collect();
    let beginning = format!("\"input\":[{}", first.join(","));
    for turn in &turns {
        let text = String::from_utf8(turn.bytes.clone()).unwrap();
        assert!(text.contains(&beginning), "{beginning} in {text}");
    }
    for field in ["model", "instructions", "tools"] {
        assert_eq!(
            turns[0].body[field].to_string(),
            turns[1].body[field].to_string()
        );
    }
}

#[test]
fn a_session_goes_on_by_id_and_as_the_newest() {
    let env = TestEnv::new();
    let script = vec![
        calls(vec![shell("c1", "echo first")]),
        says("One."),
        says("Two."),
        says("Three."),
    ];
    let server = model(&env, script);
    let first = exec_json(&env, &["begin"]);
    let id = first[0]["thread_id"].as_str().unwrap();
    let second = exec_json(&env, &["resume", "--last", "go on"]);
    let third = exec_json(&env, &["resume", id, "and on"]);

    for events in [&second, &third] {
        assert_eq!(events[0]["thread_id"], id);
    }
    assert_eq!(completed(&third, "agent_message")[0]["text"], "Three.");
    let turns = server.turns();
    let last = &turns[3].body;
    let said = user_texts(last);
    let at = |text: &str| said.iter().position(|s| s == text).expect(text);
    assert!(at("begin") < at("go on") && at("go on") < at("and on"));
    assert_eq!(output_of(&server, 3, "c1"), output_of(&server, 1, "c1"));
    let text = last.to_string();
    assert!(text.contains("One.") && text.contains("Two."), "{text}");
    // Items are numbered through the whole session.
    let numbers = |events: &[Value]| -> Vec<String> {
        completed(events, "agent_message")
            .iter()
            .map(|i| i["id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_ne!(numbers(&first), numbers(&second));
    assert_ne!(numbers(&second), numbers(&third));
    assert_eq!(session_files(&env).len(), 1);
}

#[test]
fn an_unknown_session_is_a_usage_error() {
    let env = TestEnv::new();
    let _server = model(&env, vec![says("no")]);
    let error = told(&run(&mut exec(&env, &["resume", "nope", "go on"])), 2);
    assert!(error.contains("nope"), "{error}");
    let error = told(&run(&mut exec(&env, &["resume", "--last", "go on"])), 2);
    assert!(error.contains("no session"), "{error}");
}

#[test]
fn people_get_the_last_message_alone_on_stdout() {
    let env = TestEnv::new();
    let script = vec![
        calls(vec![Item::message("I look."), shell("c1", "echo seen")]),
        says("The last word."),
    ];
    let _server = model(&env, script);
    let file = env.workspace().join("last.txt");
    let output = run(&mut exec(&env, &["-o", file.to_str().unwrap(), "look"]));
    assert_eq!(output.code, Some(0), "{output:#?}");
    assert_eq!(output.stdout, "The last word.\n");
    assert_eq!(fs::read_to_string(file).unwrap(), "The last word.");
    for shown in ["I look.", "$ echo seen", "seen", "Offline"] {
        assert!(output.stderr.contains(shown), "{shown} in {output:#?}");
    }
    assert!(!output.stderr.contains("The last word."), "{output:#?}");
    assert!(
        !output.stderr.contains('\u{1b}'),
        "no colour without a terminal"
    );
}

#[test]
fn a_last_message_that_cannot_be_kept_is_told_before_anything_is_asked() {
    let env = TestEnv::new();
    let server = model(&env, vec![says("never asked for")]);
    let missing = env.workspace().join("missing/last.txt");
    for place in [missing, env.workspace()] {
        let output = run(&mut exec(&env, &["-o", place.to_str().unwrap(), "look"]));
        let error = told(&output, 2);
        assert!(error.contains("cannot be written to"), "{error}");
    }
    assert_eq!(server.remaining(), 1);
    let kept = env.write("kept.txt", "what was there");
    let output = run(&mut exec(&env, &["-o", kept.to_str().unwrap(), " "]));
    let error = told(&output, 2);
    assert!(error.contains("the task is empty"), "{error}");
    assert_eq!(env.read("kept.txt"), "what was there");
}

#[test]
fn the_prompt_comes_from_the_argument_or_stdin_or_both() {
    let env = TestEnv::new();
    let server = model(&env, vec![says("1"), says("2"), says("3"), says("4")]);
    let prompts: [(&[&str], &str); 4] = [
        (&["-"], "from stdin\n"),
        (&[], "piped\n"),
        (&["review this"], "diff --git"),
        (&["just this"], ""),
    ];
    for (arguments, stdin) in prompts {
        let output = run_with_stdin(&mut exec(&env, arguments), stdin);
        assert_eq!(output.code, Some(0), "{output:#?}");
    }
    let said: Vec<String> = server
        .turns()
        .iter()
        .map(|turn| user_texts(&turn.body).pop().unwrap())
        .collect();
    assert_eq!(said[0].trim(), "from stdin");
    assert_eq!(said[1].trim(), "piped");
    assert!(said[2].starts_with("review this\n") && said[2].contains("diff --git"));
    assert_eq!(said[3], "just this");

    for stdin in ["", " \n"] {
        let output = run_with_stdin(&mut exec(&env, &[]), stdin);
        assert!(told(&output, 2).contains("task"), "{output:#?}");
    }
    assert_eq!(server.requests().len(), 4);
}

#[test]
fn an_ephemeral_run_leaves_no_session() {
    let env = TestEnv::new();
    let _server = model(
        &env,
        vec![calls(vec![shell("c1", "echo x")]), says("Done.")],
    );
    let events = exec_json(&env, &["--ephemeral", "do"]);
    assert_eq!(completed(&events, "agent_message")[0]["text"], "Done.");
    assert_eq!(session_files(&env), Vec::<std::path::PathBuf>::new());
    assert!(
        !env.audit_lines().is_empty(),
        "the log is kept all the same"
    );
}

#[test]
fn a_limit_on_model_requests_ends_the_turn() {
    let env = TestEnv::new();
    let script = vec![
        calls(vec![shell("c1", "echo 1")]),
        calls(vec![shell("c2", "echo 2")]),
        says("never asked for"),
    ];
    let server = model(&env, script);
    let output = run(&mut exec(&env, &["--json", "--max-turns", "2", "go"]));
    let error = told(&output, 1);
    assert!(error.contains("2 model requests (--max-turns)"), "{error}");
    let events = json_lines(&output.stdout);
    let failed = events.iter().find(|e| e["type"] == "turn.failed").unwrap();
    assert!(
        failed["error"]["message"]
            .as_str()
            .unwrap()
            .contains("--max-turns")
    );
    assert!(!kinds(&events).contains(&"turn.completed".to_owned()));
    assert_eq!(server.remaining(), 1);
}

#[test]
fn a_limit_on_tokens_ends_the_turn() {
    let env = TestEnv::new();
    let server = model(&env, vec![calls(vec![shell("c1", "echo 1")]), says("no")]);
    // One reply of the scripted model is 150 tokens.
    let output = run(&mut exec(&env, &["--max-tokens", "150", "go"]));
    assert!(told(&output, 1).contains("--max-tokens"), "{output:#?}");
    assert_eq!(server.remaining(), 1);
}

#[test]
fn a_time_limit_ends_the_turn_and_its_command() {
    let env = TestEnv::new();
    let seconds = super::fixture::marked_seconds(50);
    let _server = model(
        &env,
        vec![calls(vec![shell("c1", &format!("sleep {seconds}"))])],
    );
    let output = run(&mut exec(&env, &["--json", "--timeout", "1", "wait"]));
    assert!(told(&output, 1).contains("--timeout"), "{output:#?}");
    assert_eq!(
        json_lines(&output.stdout)
            .iter()
            .filter(|e| e["type"] == "turn.failed")
            .count(),
        1
    );
    super::fixture::eventually("the command is gone", || {
        !super::fixture::is_running(&seconds)
    });
}

#[test]
fn a_recording_plays_the_same_turn_again() {
    let env = TestEnv::new();
    let recording = env.root().join("turn.ndjson");
    let recording = recording.to_str().unwrap();
    let script = vec![
        calls(vec![shell("c1", "echo recorded")]),
        says("As before."),
    ];
    let server = model(&env, script);
    let first = exec_json(&env, &["--record", recording, "go"]);
    server.assert_finished();
    assert_eq!(fs::read_to_string(recording).unwrap().lines().count(), 2);
    assert!(!fs::read_to_string(recording).unwrap().contains(KEY));
    drop(server);

    let again = exec_json(&env, &["--replay", recording, "go"]);

    assert_eq!(kinds(&again), kinds(&first));
    for kind in ["command_execution", "agent_message"] {
        assert_eq!(completed(&again, kind), completed(&first, kind));
    }
    assert_eq!(
        completed(&again, "command_execution")[0]["aggregated_output"],
        "recorded\n"
    );
}

#[test]
fn a_recording_that_does_not_fit_names_its_line() {
    let env = TestEnv::new();
    let line = |expects: Value, items: Value| {
        json!({ "v": 1, "expects": expects, "items": items }).to_string()
    };
    let call = |name: &str| json!([{ "type": "tool_call", "call_id": "a", "name": name, "arguments": "{\"command\": \"echo x\"}" }]);
    let end = json!([{ "type": "assistant", "text": "End." }]);
    let cases = [
        (
            line(json!([]), call("shell")),
            line(json!(["other"]), end.clone()),
            "line 2",
        ),
        (
            line(json!([]), call("no_such_tool")),
            line(json!(["a"]), end),
            "line 1",
        ),
    ];
    for (first, second, named) in cases {
        let file = env.write("turn.ndjson", format!("{first}\n{second}\n"));
        let output = run(&mut exec(&env, &["--replay", file.to_str().unwrap(), "go"]));
        let error = told(&output, 1);
        assert!(
            error.contains(named) && error.contains("turn.ndjson"),
            "{error}"
        );
    }
    // One response too few.
    let file = env.write(
        "short.ndjson",
        format!("{}\n", line(json!([]), call("shell"))),
    );
    let output = run(&mut exec(&env, &["--replay", file.to_str().unwrap(), "go"]));
    assert!(told(&output, 1).contains("one more"), "{output:#?}");
}

#[test]
fn a_denied_call_is_told_recorded_and_survived() {
    let env = TestEnv::new();
    let script = vec![
        calls(vec![patch("p1", "*** Add File: new.txt\n+text\n")]),
        says("I could not."),
    ];
    let server = model(&env, script);
    let events = exec_json(&env, &["add a file"]);

    let decisions = completed(&events, "policy_decision");
    assert_eq!(decisions.len(), 1, "{events:#?}");
    let decision = &decisions[0];
    assert_eq!(decision["operation"], "file_write");
    assert_eq!(decision["decision"], "denied");
    assert_eq!(decision["evidence"], "declared");
    assert_eq!(decision["rule"], "fs.read-only");
    let records = denied(&env);
    assert_eq!(records.len(), 1);
    for field in [
        "operation",
        "target",
        "decision",
        "reason",
        "rule",
        "evidence",
    ] {
        assert_eq!(records[0][field], decision[field], "{field}");
    }
    assert_eq!(records[0]["seq"], decision["audit_seq"]);
    let changes = completed(&events, "file_change");
    assert_eq!(changes[0]["status"], "declined");
    assert_eq!(
        changes[0]["changes"],
        json!([{ "path": "new.txt", "kind": "add" }])
    );
    assert_eq!(
        completed(&events, "agent_message")[0]["text"],
        "I could not."
    );
    let told = output_of(&server, 1, "p1");
    assert!(
        told.contains("denied") && told.contains("workspace-write"),
        "{told}"
    );
    assert_eq!(
        files_below(&env.workspace()),
        Vec::<std::path::PathBuf>::new()
    );
}

#[test]
fn wrong_calls_are_answered_and_the_turn_goes_on() {
    let env = TestEnv::new();
    let script = vec![
        calls(vec![
            Item::function_call("bad", "shell", "{\"command\": \"echo"),
            Item::function_call("wrong", "shell", "{\"cmd\": 1}"),
            Item::function_call("unknown", "make_coffee", "{}"),
            shell("good", "echo fine"),
            Item::custom_tool_call("patch", "apply_patch", "no patch at all"),
        ]),
        says("Done."),
    ];
    let server = model(&env, script);
    let events = exec_json(&env, &["go"]);
    assert_eq!(completed(&events, "agent_message")[0]["text"], "Done.");
    let answers = outputs(&server.turns()[1]);
    let ids: Vec<&str> = answers.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(ids, ["bad", "wrong", "unknown", "good", "patch"]);
    let texts: Vec<&str> = answers.iter().map(|(_, text)| text.as_str()).collect();
    assert!(texts[0].contains("arguments"), "{texts:?}");
    assert!(texts[1].contains("command"), "{texts:?}");
    assert!(
        texts[2].contains("make_coffee") && texts[2].contains("shell"),
        "{texts:?}"
    );
    assert!(texts[3].contains("fine"), "{texts:?}");
    assert!(texts[4].contains("nothing was changed"), "{texts:?}");
}

#[test]
fn parallel_calls_are_answered_in_their_order() {
    let env = TestEnv::new();
    let script = vec![
        calls(vec![
            shell("slow", "sleep 0.3; echo slow"),
            shell("quick", "echo quick"),
            shell("third", "echo third"),
        ]),
        says("Done."),
    ];
    let server = model(&env, script);
    let events = exec_json(&env, &["go"]);
    let ran: Vec<String> = completed(&events, "command_execution")
        .iter()
        .map(|i| i["aggregated_output"].as_str().unwrap().trim().to_owned())
        .collect();
    assert_eq!(ran, ["slow", "quick", "third"]);
    let answers = outputs(&server.turns()[1]);
    let ids: Vec<&str> = answers.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(ids, ["slow", "quick", "third"]);
}

#[test]
fn the_key_shows_nowhere() {
    let env = TestEnv::new();
    let script = vec![
        calls(vec![shell(
            "c1",
            "env; cat /proc/$PPID/environ | tr '\\0' '\\n'; true",
        )]),
        Reply::error_json(401, "invalid_request_error", format!("bad key {KEY}")),
    ];
    let server = model(&env, script);
    let output = run(&mut exec(&env, &["--json", "-v", "go"]));
    told(&output, 1);
    let answer = output_of(&server, 1, "c1");
    assert!(answer.contains("PATH="), "the command did run: {answer}");
    assert!(!answer.contains(KEY), "{answer}");
    assert!(!answer.contains("TEST_KEY"), "{answer}");
    for text in [&output.stdout, &output.stderr] {
        assert!(!text.contains(KEY), "{text}");
    }
    let left: Vec<_> = files_below(env.root())
        .into_iter()
        .filter(|file| String::from_utf8_lossy(&fs::read(file).unwrap()).contains(KEY))
        .collect();
    assert_eq!(left, Vec::<std::path::PathBuf>::new());
    assert_eq!(session_files(&env).len(), 1);
}

#[test]
fn a_key_that_a_file_holds_is_used() {
    use std::os::unix::fs::PermissionsExt as _;
    let env = TestEnv::new();
    let server = model(&env, vec![says("Hello.")]);
    let auth = env.write_home(
        ".codex/auth",
        json!({ "TEST_KEY": "from-the-file" }).to_string(),
    );
    fs::set_permissions(&auth, fs::Permissions::from_mode(0o600)).unwrap();
    let output = run(exec(&env, &["hi"]).env_remove("TEST_KEY"));
    assert_eq!(output.code, Some(0), "{output:#?}");
    assert_eq!(
        server.turns()[0].header("authorization"),
        Some("Bearer from-the-file")
    );
}

#[test]
fn the_built_in_provider_honours_its_variables() {
    let env = TestEnv::new();
    let server = codex_test_support::ScriptedModel::start(vec![says("Hello.")]);
    let mut command = super::fixture::codex(&env, &["exec", "-m", "some-model", "hi"]);
    command
        .env("OPENAI_API_KEY", KEY)
        .env("OPENAI_BASE_URL", server.base_url());
    let output = run(&mut command);
    assert_eq!(output.code, Some(0), "{output:#?}");
    assert_eq!(output.stdout, "Hello.\n");
    assert_eq!(server.turns()[0].body["model"], "some-model");
}
