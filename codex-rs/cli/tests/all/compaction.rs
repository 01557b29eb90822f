//! Conversations that come near the model's window, where not all goes well.

use codex_test_support::{Item, Reply, TestEnv, Usage, json_lines, run};
use serde_json::Value;

use super::fixture::{
    calls, completed, exec, exec_json, model_with, output_of, outputs, says, session_files, shell,
    told,
};

const SMALL: &str = "request_max_retries = 0\nstream_max_retries = 0\n\n\
                     [models.m]\ncontext_window = 20000\n";

fn full() -> Usage {
    Usage {
        input_tokens: 19_000,
        ..Usage::default()
    }
}

fn notices(events: &[Value]) -> Vec<String> {
    completed(events, "error")
        .iter()
        .map(|item| item["message"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_conversation_that_the_provider_finds_too_long_is_summarized_once_and_asked_again() {
    let env = TestEnv::new();
    let too_long = || Reply::error_json(400, "context_length_exceeded", "too long");
    let script = vec![
        calls(vec![shell("c1", "echo found")]),
        too_long(),
        says("The summary."),
        says("Done."),
        too_long(),
        says("Another."),
        too_long(),
    ];
    let server = model_with(&env, script, SMALL);

    let events = exec_json(&env, &["the task"]);
    let notices = notices(&events);
    assert_eq!(notices.len(), 1, "{notices:?}");
    assert!(notices[0].contains("replaced by a summary"), "{notices:?}");
    assert_eq!(
        completed(&events, "agent_message").len(),
        1,
        "the summary is not shown as a message"
    );
    let turns = server.turns();
    assert_eq!(turns[3].body["input"].as_array().unwrap().len(), 1);
    let text = turns[3].body["input"].to_string();
    assert!(
        text.contains("the task") && text.contains("The summary."),
        "{text}"
    );

    let again = run(&mut exec(&env, &["resume", "--last", "more"]));
    told(&again, 1);
    server.assert_finished();
}

#[test]
fn without_a_summary_the_oldest_outputs_are_dropped_and_it_is_said() {
    let env = TestEnv::new();
    let script = vec![
        calls(vec![shell("c1", "yes | head -c 9000")]),
        calls(vec![
            shell("c2", "yes | head -c 9000"),
            shell("c3", "yes | head -c 9000"),
        ])
        .usage(full()),
        Reply::error_json(500, "server_error", "no summary today"),
        says("Done."),
    ];
    let server = model_with(&env, script, SMALL);

    let output = run(exec(&env, &["--json"]).arg("the task"));

    assert_eq!(output.code, Some(0), "{output:#?}");
    let events = json_lines(&output.stdout);
    let notices = notices(&events);
    assert_eq!(notices.len(), 1, "{notices:?}");
    assert!(notices[0].contains("dropped"), "{notices:?}");
    server.assert_finished();
    assert!(output_of(&server, 3, "c1").contains("was dropped"));
    assert_eq!(
        outputs(&server.turns()[3]).len(),
        3,
        "every call keeps an output"
    );
    let lines = json_lines(&std::fs::read_to_string(&session_files(&env)[0]).unwrap());
    assert_eq!(lines.iter().filter(|l| l["type"] == "compacted").count(), 1);
}

#[test]
fn a_prompt_larger_than_the_window_is_cut_with_a_notice() {
    let env = TestEnv::new();
    let script = vec![
        Reply::responses(vec![Item::message("Part of a long text.")]),
        says("Done."),
    ];
    let server = model_with(&env, script, SMALL);

    let events = exec_json(&env, &[&"word ".repeat(20_000)]);

    assert_eq!(notices(&events).len(), 1);
    server.assert_finished();
    for turn in server.turns() {
        assert!(turn.bytes.len() < 60_000, "{}", turn.bytes.len());
        let text = turn.body["input"].to_string();
        assert!(
            text.contains("longer than the model's window allows"),
            "{text}"
        );
    }
}
