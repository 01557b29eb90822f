//! Commands that go on between calls: started, spoken to, stopped, and ended with the session.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use codex_test_support::{Item, Reply, ScriptedModel, TestEnv, json_lines};
use serde_json::{Value, json};

use super::fixture::{
    Started, calls, completed, denied, eventually, exec, exec_json, is_running, marked_seconds,
    model, of_operation, output_of, outputs, says, shell, within,
};

/// Long enough for a loaded machine; calls return as soon as there is something.
const WAIT: u64 = 20_000;

fn start(call_id: &str, command: &str) -> Item {
    let arguments = json!({ "command": command, "wait_ms": WAIT });
    Item::function_call(call_id, "start_command", arguments.to_string())
}

/// The same, without a wait for what it prints.
fn start_silent(call_id: &str, command: &str) -> Item {
    let arguments = json!({ "command": command, "wait_ms": 0 });
    Item::function_call(call_id, "start_command", arguments.to_string())
}

fn write(call_id: &str, arguments: Value) -> Item {
    Item::function_call(call_id, "write_stdin", arguments.to_string())
}

fn stop(call_id: &str, id: &str) -> Item {
    Item::function_call(call_id, "stop_command", json!({ "id": id }).to_string())
}

/// Runs a script of answers, each making these calls, under workspace-write.
#[track_caller]
fn played(env: &TestEnv, answers: Vec<Vec<Item>>) -> (ScriptedModel, Vec<Value>) {
    let script: Vec<Reply> = answers
        .into_iter()
        .map(calls)
        .chain([says("Done.")])
        .collect();
    let server = model(env, script);
    let events = exec_json(env, &["--profile", "workspace-write", "go"]);
    (server, events)
}

/// What the call got back.
#[track_caller]
fn told(server: &ScriptedModel, call_id: &str) -> String {
    let last = server.turns().pop().expect("a request");
    let found = outputs(&last).into_iter().find(|(id, _)| id == call_id);
    found.unwrap_or_else(|| panic!("no output of {call_id}")).1
}

/// The outcomes in the log of the processes that were started.
fn outcomes(env: &TestEnv) -> Vec<Value> {
    let mut found: Vec<Value> = of_operation(env, "process_spawn")
        .iter()
        .map(|record| record["detail"]["outcome"].clone())
        .collect();
    found.retain(|outcome| !outcome.is_null());
    found
}

const ECHO: &str = "echo ready; while read -r line; do echo \"got $line\"; done; echo over; exit 3";

#[test]
fn a_loop_reads_its_input_and_ends_when_it_is_closed() {
    let env = TestEnv::new();
    let (server, events) = played(
        &env,
        vec![
            vec![start("c1", ECHO), start("c2", "echo two; cat")],
            vec![
                write(
                    "w1",
                    json!({ "id": "item_0", "chars": "a\n", "wait_ms": WAIT }),
                ),
                write(
                    "w2",
                    json!({ "id": "item_1", "chars": "é to cat\n", "wait_ms": WAIT }),
                ),
            ],
            vec![write(
                "w3",
                json!({ "id": "item_0", "chars": "c\n", "close": true, "wait_ms": WAIT }),
            )],
            vec![
                write("w4", json!({ "id": "item_0", "chars": "d\n" })),
                write("r1", json!({ "id": "item_1", "chars": "", "wait_ms": 0 })),
                write("big", json!({ "id": "item_1", "chars": "x".repeat(5000) })),
                stop("s1", "item_1"),
            ],
        ],
    );
    assert_eq!(told(&server, "c1"), "command item_0 is running\nready\n");
    assert_eq!(told(&server, "c2"), "command item_1 is running\ntwo\n");
    assert_eq!(told(&server, "w1"), "command item_0 is running\ngot a\n");
    assert_eq!(told(&server, "w2"), "command item_1 is running\né to cat\n");
    // What it prints last may come with this answer or the next.
    let ended = told(&server, "w3");
    assert!(ended.contains("\ngot c\n"), "{ended}");
    let after = told(&server, "w4");
    if ended.contains("exit code 3") {
        assert!(after.contains("no command 'item_0' any more"), "{after}");
    } else {
        assert!(after.contains("exit code 3"), "{after}");
    }
    assert_eq!(told(&server, "r1"), "command item_1 is running\n");
    assert!(told(&server, "big").contains("4096 bytes"));
    assert_eq!(
        told(&server, "s1"),
        "command item_1 has ended: ended by codex\n"
    );

    let items = completed(&events, "command_execution");
    let of = |id: &str| items.iter().find(|i| i["id"] == id).unwrap();
    assert_eq!(of("item_0")["exit_code"], 3);
    assert_eq!(
        of("item_0")["aggregated_output"],
        "ready\ngot a\ngot c\nover\n"
    );
    assert_eq!(of("item_1")["status"], "failed");
    assert!(
        events.iter().any(|e| e["type"] == "item.updated"
            && e["item"]["id"] == "item_0"
            && e["item"]["status"] == "in_progress"
            && e["item"]["aggregated_output"] == "ready\n"),
        "{events:#?}"
    );
    let mut ends = outcomes(&env);
    ends.sort_by_key(Value::to_string);
    assert_eq!(ends, [json!("ended"), json!({ "exited": 3 })]);
    let given: Vec<Value> = of_operation(&env, "process_spawn")
        .iter()
        .filter(|record| record["detail"]["phase"] == "input")
        .map(|record| record["detail"]["input"]["chars"].clone())
        .collect();
    // The log shows control characters escaped, and nothing that was not given to a command.
    assert_eq!(given, ["a\\u{a}", "é to cat\\u{a}", "c\\u{a}"]);
}

#[test]
fn stopping_ends_the_whole_tree() {
    let env = TestEnv::new();
    let (one, two) = (marked_seconds(60), marked_seconds(60));
    let script = format!("(setsid sleep {one} &); trap '' TERM INT HUP; echo up; sleep {two}");
    env.write("marks", format!("{one}\n{two}\n"));
    // The marks are in a file, so that the one who looks does not find itself.
    let look = "grep -lzxFf marks /proc/[0-9]*/cmdline";
    let both = format!("until [ $({look} | wc -l) = 2 ]; do sleep 0.05; done; echo both");
    let (server, _) = played(
        &env,
        vec![
            vec![start("c1", &script)],
            vec![
                shell("before", &both),
                stop("s1", "item_0"),
                shell("after", &format!("{look} || echo none")),
            ],
        ],
    );
    assert_eq!(told(&server, "c1"), "command item_0 is running\nup\n");
    assert!(told(&server, "before").ends_with("both\n"));
    assert!(told(&server, "s1").contains("ended by codex"));
    assert!(
        told(&server, "after").ends_with("none\n"),
        "{}",
        told(&server, "after")
    );
}

#[test]
fn there_is_a_limit_and_an_end_makes_room() {
    let env = TestEnv::new();
    let many = (0..9)
        .map(|n| start_silent(&format!("c{n}"), "cat"))
        .collect();
    let (server, _) = played(
        &env,
        vec![
            many,
            vec![
                write(
                    "w",
                    json!({ "id": "item_0", "chars": "", "close": true, "wait_ms": WAIT }),
                ),
                start("c9", "true"),
                start("c10", "true"),
            ],
            vec![write("u", json!({ "id": "nobody", "chars": "" }))],
        ],
    );
    for n in 0..8 {
        assert!(told(&server, &format!("c{n}")).contains(" is running"));
    }
    let full = told(&server, "c8");
    assert!(
        full.contains("8 commands") && full.contains("item_7"),
        "{full}"
    );
    assert!(told(&server, "w").contains("exit code 0"));
    assert!(told(&server, "c9").contains("exit code 0"));
    assert!(told(&server, "c10").contains("exit code 0"));
    let unknown = told(&server, "u");
    assert!(
        unknown.contains("'nobody'") && unknown.contains("item_1"),
        "{unknown}"
    );
    // The ninth was not even asked for; all that started have an end in the log.
    assert_eq!(outcomes(&env).len(), 10);
}

#[test]
fn what_is_printed_without_end_and_what_is_never_read_are_bounded() {
    let env = TestEnv::new();
    let (server, events) = played(
        &env,
        vec![
            vec![
                start(
                    "c1",
                    "yes 0123456789abcdef | head -c 3000000; echo END; exec cat",
                ),
                start_silent("c2", "sleep 60"),
            ],
            vec![
                write(
                    "deaf",
                    json!({ "id": "item_1", "chars": "x".repeat(4096), "wait_ms": 0 }),
                ),
                shell("wait", "sleep 1"),
                stop("s1", "item_0"),
            ],
        ],
    );
    for id in ["c1", "s1"] {
        assert!(told(&server, id).len() < 17_000);
    }
    let items = completed(&events, "command_execution");
    let whole = items.iter().find(|i| i["id"] == "item_0").unwrap();
    let whole = whole["aggregated_output"].as_str().unwrap();
    assert!(
        whole.contains("bytes left out; the whole is in "),
        "{whole:.100}"
    );
    assert!(whole.len() < 17_000);
    assert!(told(&server, "deaf").contains("item_1 is running"));
}

#[test]
fn a_denied_or_missing_program_is_told_and_not_kept() {
    let env = TestEnv::new();
    let list = |id: &str, program: &str| {
        let arguments = json!({ "command": [program], "wait_ms": WAIT });
        Item::function_call(id, "start_command", arguments.to_string())
    };
    let tool = env.write("tool.sh", "#!/bin/sh\n");
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
    let script = vec![
        calls(vec![
            list("missing", "no-such-program"),
            list("denied", tool.to_str().unwrap()),
        ]),
        calls(vec![write("w", json!({ "id": "item_1", "chars": "" }))]),
        says("Done."),
    ];
    let server = model(&env, script);
    let events = exec_json(&env, &["go"]);
    assert!(told(&server, "missing").contains("no-such-program"));
    assert!(
        told(&server, "denied").starts_with("denied: "),
        "{}",
        told(&server, "denied")
    );
    assert!(told(&server, "w").contains("none is at work"));
    let items = completed(&events, "command_execution");
    assert_eq!(items[0]["status"], "failed");
    assert_eq!(items[1]["status"], "declined");
    assert_eq!(denied(&env).len(), 1);
    assert_eq!(outcomes(&env), Vec::<Value>::new());
}

#[test]
fn they_end_with_the_session_and_a_resumed_one_says_so() {
    let env = TestEnv::new();
    let seconds = marked_seconds(60);
    let (server, events) = played(
        &env,
        vec![vec![start("c1", &format!("echo up; sleep {seconds}"))]],
    );
    assert!(!is_running(&seconds));
    assert_eq!(outcomes(&env), [json!("ended")]);
    assert_eq!(
        completed(&events, "command_execution")[0]["status"],
        "failed"
    );
    server.push(calls(vec![
        write("w", json!({ "id": "item_0", "chars": "x" })),
        start("c2", "echo new"),
    ]));
    server.push(says("Done."));
    exec_json(
        &env,
        &["--profile", "workspace-write", "resume", "--last", "go on"],
    );
    let gone = told(&server, "w");
    assert!(
        gone.contains("no command 'item_0' any more") && gone.contains("start it again"),
        "{gone}"
    );
    assert!(
        !told(&server, "c2").contains("item_0 "),
        "ids are not used twice"
    );
}

#[test]
fn they_end_on_ctrl_c_and_when_codex_is_killed() {
    for signal in ["INT", "KILL"] {
        let env = TestEnv::new();
        let (apart, seconds) = (marked_seconds(60), marked_seconds(60));
        let command = format!("(setsid sleep {apart} &); sleep {seconds}");
        let script = vec![
            calls(vec![start_silent("c1", &command)]),
            says("late").delay(Duration::from_secs(50)),
            calls(vec![write("w", json!({ "id": "item_0", "chars": "" }))]),
            says("Went on."),
        ];
        let server = model(&env, script);
        let place = env.root().join("run");
        let arguments = ["--json", "--profile", "workspace-write", "wait"];
        let mut run = Started::new(&mut exec(&env, &arguments), &place);
        eventually("both run", || is_running(&apart) && is_running(&seconds));
        server.wait_for_turns(2, Duration::from_secs(20));

        run.signal(signal);

        assert_eq!(run.code(), (signal == "INT").then_some(130));
        within(Duration::from_secs(5), "both are gone", || {
            !is_running(&apart) && !is_running(&seconds)
        });
        if signal == "INT" {
            assert_eq!(outcomes(&env), [json!("ended")]);
            let events = json_lines(&fs::read_to_string(place.with_extension("out")).unwrap());
            assert_eq!(completed(&events, "command_execution").len(), 1);
        }
        exec_json(
            &env,
            &["--profile", "workspace-write", "resume", "--last", "go on"],
        );
        assert!(output_of(&server, 3, "w").contains("any more: none is at work"));
    }
}
