//! A model's side that fails: what is tried again, and what ends the run.

use std::thread;

use codex_test_support::{
    AgentScripts, Faults, Item, Reply, ScriptedModel, TestEnv, json_lines, marker, run,
};
use serde_json::Value;

use super::fixture::{
    calls, completed, exec, exec_json, model, model_with, output_of, says, shell, told,
};

const RETRIES: &str = "request_max_retries = 2\nstream_max_retries = 2\n";

#[test]
fn a_stream_that_was_cut_is_asked_for_again_and_its_command_runs_once() {
    // Cut at every place: before, in the middle of, and after the call.
    for frames in 0..9 {
        let env = TestEnv::new();
        let append = || {
            calls(vec![
                Item::message("Now."),
                shell("c1", "echo once >> log.txt"),
            ])
        };
        let script = vec![append().cut_after(frames), append(), says("Done.")];
        let server = model_with(&env, script, RETRIES);
        let events = exec_json(&env, &["--profile", "workspace-write", "go"]);
        assert_eq!(env.read("log.txt"), "once\n", "cut after {frames} frames");
        assert_eq!(completed(&events, "command_execution").len(), 1);
        let messages: Vec<Value> = completed(&events, "agent_message");
        let texts: Vec<&str> = messages
            .iter()
            .map(|m| m["text"].as_str().unwrap())
            .collect();
        assert_eq!(texts, ["Now.", "Done."], "cut after {frames} frames");
        server.assert_finished();
        assert!(
            events.iter().any(|e| e["type"] == "error"),
            "the retry is told"
        );
    }
}

#[test]
fn a_busy_provider_is_asked_again() {
    let env = TestEnv::new();
    let busy =
        || Reply::error_json(429, "rate_limit_error", "slow down").header("retry-after", "0");
    let server = model_with(&env, vec![busy(), busy(), says("Done.")], RETRIES);
    let events = exec_json(&env, &["go"]);
    assert_eq!(completed(&events, "agent_message")[0]["text"], "Done.");
    server.assert_finished();
    assert_eq!(server.turns()[0].bytes, server.turns()[2].bytes);
}

#[test]
fn runs_beside_one_another_come_through_faults_each_with_its_own_work() {
    let names: Vec<String> = (0..6).map(|n| format!("worker-{n}")).collect();
    let scripts = names.iter().fold(AgentScripts::new(), |scripts, name| {
        let work =
            (0..3).map(|n| calls(vec![shell(&n.to_string(), &format!("echo {n} >> {name}"))]));
        scripts.agent(
            name,
            work.chain([says(&format!("Done by {name}."))]).collect(),
        )
    });
    let faults = Faults {
        percent: 40,
        ..Faults::seeded(11)
    };
    let server = ScriptedModel::start_many(scripts.faults(faults));
    let env = TestEnv::new();
    env.write_config(format!(
        "model = \"m\"\nmodel_provider = \"test\"\n[model_providers.test]\nbase_url = \"{}\"\n\
         env_key = \"TEST_KEY\"\nwire_api = \"responses\"\n{RETRIES}",
        server.base_url()
    ));
    thread::scope(|scope| {
        for name in &names {
            let env = &env;
            scope.spawn(move || {
                let task = format!("{} do your part", marker(name));
                let flags = ["--json", "--ephemeral", "--profile", "workspace-write"];
                let output = run(exec(env, &flags).arg(task));
                assert_eq!(output.code, Some(0), "{name}: {output:#?}");
                assert!(
                    output.stdout.contains(&format!("Done by {name}.")),
                    "{output:#?}"
                );
            });
        }
    });
    server.assert_finished();
    assert!(!server.faults().is_empty());
    for name in &names {
        assert_eq!(env.read(name), "0\n1\n2\n", "{name}: {:?}", server.faults());
        assert_eq!(server.turns_of(name).len(), 4);
    }
}

/// What is told of a run whose model answers this.
#[track_caller]
fn failure(reply: Reply) -> String {
    let env = TestEnv::new();
    let _server = model(&env, vec![reply]);
    let output = run(&mut exec(&env, &["--json", "go"]));
    let error = told(&output, 1);
    let events = json_lines(&output.stdout);
    assert!(
        events.iter().any(|e| e["type"] == "turn.failed"),
        "{events:#?}"
    );
    assert_eq!(completed(&events, "agent_message"), Vec::<Value>::new());
    error
}

#[test]
fn what_a_provider_says_wrongly_ends_the_run() {
    let garbage = b"event: response.created\ndata: {\"type\": \"resp\n\n".to_vec();
    let error = failure(says("x").insert_bytes(0, garbage));
    assert!(error.contains("malformed"), "{error}");
    let error = failure(Reply::text(200, "{\"not\": "));
    assert!(error.contains("127.0.0.1"), "{error}");
    let error = failure(Reply::html(502));
    assert!(
        error.contains("502") && !error.contains("<html>"),
        "{error}"
    );
    let error = failure(Reply::html(200));
    assert!(!error.contains("<html>"), "{error}");
    let error = failure(Reply::error_json(
        401,
        "authentication_error",
        "no such key",
    ));
    assert!(
        error.contains("401") && error.contains("TEST_KEY"),
        "{error}"
    );
    let error = failure(Reply::error_json(
        400,
        "invalid_request_error",
        "context too long",
    ));
    assert!(error.contains("context too long"), "{error}");
    let error = failure(Reply::raw("SSH-2.0-OpenSSH_9.2\r\n"));
    assert!(error.contains("127.0.0.1"), "{error}");
    let error = failure(says("x").fails("server_error", "overheated"));
    assert!(error.contains("overheated"), "{error}");
}

#[test]
fn an_answer_that_ran_out_of_tokens_is_shown_and_fails_the_turn() {
    let env = TestEnv::new();
    let _server = model(&env, vec![says("half of").out_of_tokens()]);
    let output = run(&mut exec(&env, &["--json", "go"]));
    assert!(told(&output, 1).contains("output tokens"), "{output:#?}");
    let events = json_lines(&output.stdout);
    assert_eq!(completed(&events, "agent_message")[0]["text"], "half of");
    assert_eq!(events.last().unwrap()["type"], "error");
    assert!(
        events.iter().any(|e| e["type"] == "turn.failed"),
        "{events:#?}"
    );
}

#[test]
fn control_characters_of_a_provider_do_not_reach_the_terminal() {
    let env = TestEnv::new();
    let script = vec![calls(vec![
        Item::message("\u{1b}]0;title\u{7}hello \u{202e}x"),
        shell("c1", "printf '\\033[2Jwiped'"),
    ])];
    let _server = model(&env, [script, vec![says("Done.")]].concat());
    let output = run(&mut exec(&env, &["go"]));
    assert_eq!(output.code, Some(0), "{output:#?}");
    for bad in ['\u{1b}', '\u{7}', '\u{202e}'] {
        assert!(!output.stderr.contains(bad), "{output:#?}");
    }
    assert!(output.stderr.contains("wiped"), "{output:#?}");
}

#[test]
fn an_answer_split_anywhere_is_the_same_answer() {
    for size in [1, 7] {
        let env = TestEnv::new();
        let script = vec![
            calls(vec![shell("c1", "echo grüße 世界")]).chunk_size(size),
            says("Grüße, 世界 🦀").chunk_size(size),
        ];
        let server = model(&env, script);
        let events = exec_json(&env, &["go"]);
        assert_eq!(
            completed(&events, "agent_message")[0]["text"],
            "Grüße, 世界 🦀"
        );
        assert!(output_of(&server, 1, "c1").contains("grüße 世界"));
    }
}
