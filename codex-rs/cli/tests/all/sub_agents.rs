//! `codex exec --sub-agents`: a model that starts agents of its own.

use std::fs;
use std::path::Path;
use std::time::Duration;

use codex_test_support::{Item, Reply, TestEnv, json_lines, marker, run};
use serde_json::{Value, json};

use super::agents_run::crowd;
use super::fixture::{
    Started, denied, eventually, exec, exec_json, is_running, marked_seconds, of_operation,
    outputs, patch, says, session_files, shell, told, within,
};

fn call(id: &str, name: &str, arguments: Value) -> Reply {
    Reply::responses(vec![Item::function_call(id, name, arguments.to_string())])
}

fn spawn(id: &str, name: &str, agent_type: &str, more: Value) -> Reply {
    let mut arguments = json!({ "agent_type": agent_type, "name": name, "task": marker(name) });
    let fields = arguments.as_object_mut().unwrap();
    fields.extend(more.as_object().unwrap().clone());
    call(id, "spawn_agent", arguments)
}

#[test]
fn a_model_hands_a_part_of_its_task_to_an_agent_and_gets_its_changes() {
    let env = TestEnv::new();
    env.write("f.txt", "old\n");
    let server = crowd(
        &env,
        &[
            (
                "lead",
                vec![
                    spawn("s", "helper", "code", json!({})),
                    call("w", "wait_agent", json!({})),
                    Reply::responses(vec![shell("look", "cat f.txt")]),
                    says("All done."),
                ],
            ),
            (
                "helper",
                vec![
                    Reply::responses(vec![patch("p", "*** Update File: f.txt\n@@\n-old\n+new\n")]),
                    says("Changed f.txt."),
                ],
            ),
        ],
    );
    let task = marker("lead");
    let events = exec_json(
        &env,
        &["--sub-agents", "--profile", "workspace-write", &task],
    );
    assert_eq!(env.read("f.txt"), "new\n");
    let last = server.turns_of("lead").pop().unwrap();
    let answers = outputs(&last);
    let of = |id: &str| answers.iter().find(|(i, _)| i == id).unwrap().1.clone();
    assert!(of("s").contains("started main/helper"), "{}", of("s"));
    let report = of("w");
    for part in [
        "main/helper (completed)",
        "merged: f.txt",
        "Changed f.txt.",
        "whole conversation: session",
    ] {
        assert!(report.contains(part), "{part}: {report}");
    }
    assert!(of("look").contains("new"));
    let helper = events.iter().filter(|e| e["agent"] == "main/helper");
    assert!(helper.clone().count() > 3 && helper.clone().all(|e| e["parent"] == "main"));
    let of_main = events.iter().rfind(|e| e["agent"].is_null()).unwrap();
    assert_eq!(of_main["type"], "turn.completed");
    let mut types: Vec<Value> = of_operation(&env, "file_write")
        .iter()
        .map(|r| r["agent_type"].clone())
        .collect();
    // What git wrote for the main agent aside.
    types.retain(|agent_type| agent_type != "main");
    assert_eq!(types, ["code"]);
    assert_eq!(session_files(&env).len(), 2);
    let names: Vec<&Value> = last.body["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| &t["name"])
        .collect();
    assert!(names.contains(&&json!("spawn_agent")) && names.contains(&&json!("close_agent")));

    // The newest of the person's own sessions is the lead's.
    server.push_to("lead", says("Still here."));
    let again = exec_json(&env, &["resume", "--last", "go on"]);
    assert_eq!(again[0]["thread_id"], events[0]["thread_id"]);
}

#[test]
fn no_command_steers_where_codex_makes_an_agents_directory() {
    let env = TestEnv::new();
    env.write("f.txt", "old\n");
    let outside = env.root().join("outside");
    fs::create_dir(&outside).unwrap();
    let link = format!(
        "for name in agents helper; do ln -s {0} \"$TMPDIR/$name\" && ls -d \"$TMPDIR/$name\"; done",
        outside.display()
    );
    let tries = "for name in other ../other; do touch \"$TMPDIR/../$name\" 2>/dev/null && echo WROTE; done; echo tried";
    let server = crowd(
        &env,
        &[
            (
                "lead",
                vec![
                    Reply::responses(vec![shell("link", &link)]),
                    spawn("s", "helper", "code", json!({})),
                    call("w", "wait_agent", json!({})),
                    says("All done."),
                ],
            ),
            (
                "helper",
                vec![
                    Reply::responses(vec![shell("try", tries)]),
                    Reply::responses(vec![patch("p", "*** Update File: f.txt\n@@\n-old\n+new\n")]),
                    says("Changed f.txt."),
                ],
            ),
        ],
    );
    let task = marker("lead");
    exec_json(
        &env,
        &["--sub-agents", "--profile", "workspace-write", &task],
    );
    let last = server.turns_of("lead").pop().unwrap();
    let linked = outputs(&last).into_iter().find(|(id, _)| id == "link");
    assert!(linked.unwrap().1.contains("/agents"), "the links were made");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    assert_eq!(env.read("f.txt"), "new\n");
    let helper = server.turns_of("helper").pop().unwrap();
    let tried = outputs(&helper).into_iter().find(|(id, _)| id == "try");
    let tried = tried.unwrap().1;
    assert!(
        tried.contains("tried") && !tried.contains("WROTE"),
        "{tried}"
    );
}

#[test]
fn an_agents_agent_that_writes_has_its_changes_taken_over_twice() {
    let env = TestEnv::new();
    env.write("f.txt", "old\n");
    let server = crowd(
        &env,
        &[
            (
                "lead",
                vec![
                    spawn("s", "mid", "general", json!({})),
                    call("w", "wait_agent", json!({})),
                    says("All done."),
                ],
            ),
            (
                "mid",
                vec![
                    spawn(
                        "s",
                        "helper",
                        "code",
                        // Without these it would get all that is left.
                        json!({ "max_turns": 9, "max_tokens": 100_000 }),
                    ),
                    call("w", "wait_agent", json!({})),
                    says("It is done."),
                ],
            ),
            (
                "helper",
                vec![
                    Reply::responses(vec![patch("p", "*** Update File: f.txt\n@@\n-old\n+new\n")]),
                    says("Changed f.txt."),
                ],
            ),
        ],
    );
    let task = marker("lead");
    exec_json(
        &env,
        &["--sub-agents", "--profile", "workspace-write", &task],
    );
    let answers = outputs(&server.turns_of("mid").pop().unwrap());
    assert!(answers[1].1.contains("merged: f.txt"), "{answers:?}");
    assert_eq!(env.read("f.txt"), "new\n");
}

#[test]
fn the_place_of_agents_is_no_right_that_an_agent_can_be_given() {
    let env = TestEnv::new();
    env.write("f.txt", "old\n");
    let server = crowd(
        &env,
        &[
            (
                "lead",
                vec![
                    spawn("s", "helper", "code", json!({})),
                    call("w", "wait_agent", json!({})),
                ],
            ),
            (
                "helper",
                vec![Reply::responses(vec![shell("pwd", "pwd")]), says("done")],
            ),
            ("x", vec![says("never asked")]),
        ],
    );
    let place = env.root().join("run");
    let task = marker("lead");
    let mut command = exec(
        &env,
        &["--sub-agents", "--profile", "workspace-write", &task],
    );
    let mut started = Started::new(&mut command, &place);
    eventually("the helper says where it works", || {
        server.turns_of("helper").len() == 2
    });
    let answers = outputs(&server.turns_of("helper")[1]);
    let work = answers[0].1.lines().find(|line| line.ends_with("/work"));
    let own = Path::new(work.unwrap()).parent().unwrap();
    let root = own.parent().unwrap();
    for path in [root, own] {
        let more = json!({ "allow_write": [path] });
        server.push_to("lead", spawn("asks", "x", "general", more));
    }
    server.push_to("lead", says("I stay as I am."));
    assert_eq!(started.code(), Some(0));
    let rights: Vec<Value> = denied(&env)
        .iter()
        .filter(|r| r["rule"] == "agent.rights")
        .map(|r| r["detail"]["right"].clone())
        .collect();
    assert_eq!(rights, ["write", "write"]);
    assert!(server.turns_of("x").is_empty());
}

#[test]
fn a_model_that_asks_for_more_than_it_has_is_refused_with_a_record_for_each_right() {
    let env = TestEnv::new();
    env.write("f.txt", "old\n");
    let wider = [
        ("profile", json!({ "profile": "workspace-write" })),
        ("host", json!({ "hosts": ["example.com"] })),
        ("read", json!({ "allow_read": ["~/.ssh/id_ed25519"] })),
        ("write", json!({ "allow_write": ["f.txt"] })),
        ("program", json!({ "allow_exec": ["/usr/bin/python3"] })),
        ("variable", json!({ "pass_env": ["TEST_KEY"] })),
        ("turns", json!({ "max_turns": 1000 })),
        ("tokens", json!({ "max_tokens": 200_000_000 })),
        ("time", json!({ "timeout_secs": 86_400 })),
    ];
    let mut lead: Vec<Reply> = wider
        .iter()
        .map(|(kind, more)| spawn(kind, "x", "general", more.clone()))
        .collect();
    lead.push(spawn("unknown", "x", "general", json!({ "sudo": true })));
    lead.push(says("I stay as I am."));
    let server = crowd(&env, &[("lead", lead), ("x", vec![])]);
    let task = marker("lead");
    exec_json(
        &env,
        &[
            "--sub-agents",
            "--max-tokens",
            "1000000",
            "--timeout",
            "600",
            &task,
        ],
    );
    let records = denied(&env);
    let rights: Vec<&str> = records
        .iter()
        .map(|r| r["detail"]["right"].as_str().unwrap())
        .collect();
    let expected: Vec<&str> = wider.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(rights, expected, "{records:#?}");
    for record in &records {
        assert_eq!(record["operation"], "agent_spawn");
        assert_eq!(record["rule"], "agent.rights");
    }
    let last = server.turns_of("lead").pop().unwrap();
    for (id, text) in outputs(&last) {
        let expected = if id == "unknown" {
            "unknown field `sudo`"
        } else {
            "denied: "
        };
        assert!(text.contains(expected), "{id}: {text}");
    }
    assert!(server.turns_of("x").is_empty());
}

#[test]
fn a_run_that_reaches_hosts_says_what_its_agents_cannot_do() {
    for (profile, warned) in [("offline", false), ("net-read-only", true)] {
        let env = TestEnv::new();
        let _server = crowd(&env, &[("lead", vec![says("done")])]);
        let task = marker("lead");
        let output = run(&mut exec(
            &env,
            &["--sub-agents", "--profile", profile, &task],
        ));
        assert_eq!(output.code, Some(0), "{output:#?}");
        let told = output.stderr.contains("start no command");
        assert_eq!(told, warned, "{output:#?}");
    }
}

#[test]
fn a_recorded_run_with_agents_plays_again() {
    let env = TestEnv::new();
    env.write("f.txt", "old\n");
    let recordings = env.root().join("recordings");
    fs::create_dir(&recordings).unwrap();
    let server = crowd(
        &env,
        &[
            (
                "lead",
                vec![
                    spawn("s", "helper", "code", json!({})),
                    call("w", "wait_agent", json!({})),
                    says("All done."),
                ],
            ),
            (
                "helper",
                vec![
                    Reply::responses(vec![patch("p", "*** Update File: f.txt\n@@\n-old\n+new\n")]),
                    says("Changed f.txt."),
                ],
            ),
        ],
    );
    let directory = recordings.to_str().unwrap();
    let task = marker("lead");
    let usual = ["--sub-agents", "--profile", "workspace-write", &task];
    exec_json(&env, &[&["--record", directory][..], &usual].concat());
    assert_eq!(env.read("f.txt"), "new\n");
    drop(server);
    env.write("f.txt", "old\n");
    exec_json(&env, &[&["--replay", directory][..], &usual].concat());
    assert_eq!(env.read("f.txt"), "new\n");

    let file = recordings.join("main.ndjson");
    let file = file.to_str().unwrap();
    let output = run(&mut exec(&env, &[&["--record", file][..], &usual].concat()));
    let error = told(&output, 2);
    assert!(error.contains("is not a directory"), "{error}");
}

#[test]
fn without_the_flag_no_tool_for_agents_is_offered() {
    let env = TestEnv::new();
    let server = crowd(&env, &[("lead", vec![says("hello")])]);
    exec_json(&env, &[&marker("lead")]);
    let tools = server.turns_of("lead")[0].body["tools"].to_string();
    assert!(
        !tools.contains("spawn_agent") && !tools.contains("send_message"),
        "{tools}"
    );
}

#[test]
fn ctrl_c_reaches_the_agents_of_a_model_and_what_they_started() {
    let env = TestEnv::new();
    let mark = marked_seconds(30);
    let _server = crowd(
        &env,
        &[
            (
                "lead",
                vec![
                    spawn("s", "helper", "general", json!({})),
                    call("w", "wait_agent", json!({})),
                ],
            ),
            (
                "helper",
                vec![Reply::responses(vec![shell("c", &format!("sleep {mark}"))])],
            ),
        ],
    );
    let place = env.root().join("run");
    let mut started = Started::new(
        &mut exec(&env, &["--json", "--sub-agents", &marker("lead")]),
        &place,
    );
    eventually("the agent's command runs", || is_running(&mark));
    started.signal("INT");
    assert_eq!(started.code(), Some(130));
    within(Duration::from_secs(5), "the command is gone", || {
        !is_running(&mark)
    });
    let events = json_lines(&fs::read_to_string(place.with_extension("out")).unwrap());
    let states: Vec<&Value> = events
        .iter()
        .filter(|e| e["type"] == "agent.state")
        .map(|e| &e["state"])
        .collect();
    assert_eq!(states, ["running", "interrupted", "closed"]);
    let records = of_operation(&env, "agent_spawn");
    assert!(
        records.iter().any(|r| r["rule"] == "agent.cancel"),
        "{records:#?}"
    );
    let mut wait = run(&mut super::fixture::codex(&env, &["audit", "verify"]));
    assert_eq!(wait.code.take(), Some(0), "{wait:#?}");
}
