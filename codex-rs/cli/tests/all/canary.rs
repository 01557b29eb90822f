//! A known secret is pushed through every operation of the real binary, each time another one, and
//! is then looked for in every byte that a run leaves or says.
//!
//! The session's file holds the conversation as the model and the person wrote it: it is what a
//! resumed session goes on from, for its owner only, and unreadable inside the sandbox. What never
//! was part of the conversation, such as the provider's key and variables, is not in it either.

use std::fs;

use codex_test_support::{Item, Reply, RunOutput, TestEnv, run};
use serde_json::{Value, json};

use super::fixture::{KEY, calls, codex, exec, files_below, model, read_file, says, shell};

/// A secret that only the words around it tell.
fn named(place: &str) -> String {
    format!("hunter2-canary-{place}")
}

/// A secret that its form tells, as it can stand in a file's name.
fn shaped(place: &str) -> String {
    format!("ghp_{:x<36}", format!("canary{place}"))
}

/// Every byte of every file below CODEX_HOME but for the sessions, and what was said.
#[track_caller]
fn assert_unseen(env: &TestEnv, outputs: &[&RunOutput]) {
    let mut places: Vec<(String, String)> = Vec::new();
    for file in files_below(&env.codex_home()) {
        let name = file.display().to_string();
        if name.ends_with("config.toml") || name.contains("/sessions/") {
            continue;
        }
        let text = String::from_utf8_lossy(&fs::read(&file).unwrap()).into_owned();
        places.push((name, text));
    }
    for output in outputs {
        places.push(("stdout".to_owned(), output.stdout.clone()));
        places.push(("stderr".to_owned(), output.stderr.clone()));
    }
    for (name, text) in places {
        let found = text.find("canary").or_else(|| text.find(KEY));
        if let Some(at) = found {
            let from = text.floor_char_boundary(at.saturating_sub(300));
            let to = text.floor_char_boundary(at + 300);
            panic!("{name}: …{}…", &text[from..to]);
        }
    }
}

fn call(id: &str, tool: &str, arguments: Value) -> Item {
    Item::function_call(id, tool, arguments.to_string())
}

/// Calls of every tool with a secret in each place that has a form or a name for one.
fn every_call() -> Vec<Item> {
    let patch = format!(
        "*** Begin Patch\n*** Add File: {}.txt\n+password = \"{}\"\n*** End Patch\n",
        shaped("patch"),
        named("content")
    );
    vec![
        shell("flag", &format!("true --token {}", named("flag"))),
        shell("equals", &format!("true --password={}", named("equals"))),
        shell("assigned", &format!("API_TOKEN={} true", named("assigned"))),
        shell(
            "exported",
            &format!("export DB_PASSWORD='{}'; true", named("exported")),
        ),
        shell(
            "header",
            &format!("true -H 'Authorization: Bearer {}'", named("header")),
        ),
        shell(
            "credentials",
            &format!("true https://ada:{}@h.example/", named("credentials")),
        ),
        shell(
            "query",
            &format!(
                "true 'https://h.example/?a=b&access_token={}&c=d'",
                named("query")
            ),
        ),
        call(
            "list",
            "shell",
            json!({ "command": ["tar", "--token", named("list")] }),
        ),
        call(
            "started",
            "start_command",
            json!({ "command": format!("true --secret {}", named("started")) }),
        ),
        read_file("name", json!({ "path": format!("{}.txt", shaped("name")) })),
        read_file(
            "denied",
            json!({ "path": format!("~/.ssh/{}", shaped("denied")) }),
        ),
        call(
            "dir",
            "list_dir",
            json!({ "path": format!("~/.ssh/{}", shaped("dir")) }),
        ),
        call(
            "search",
            "search",
            json!({ "pattern": shaped("pattern"), "path": format!("~/.aws/{}", shaped("search")) }),
        ),
        call(
            "write",
            "write_file",
            json!({ "path": format!("{}.txt", shaped("write")), "content": named("written") }),
        ),
        call(
            "edit",
            "edit_file",
            json!({ "path": format!(".git/{}", shaped("edit")), "old_string": "a", "new_string": "b" }),
        ),
        Item::custom_tool_call("patch", "apply_patch", patch),
        call(
            "unknown",
            &format!("tool_{}", shaped("tool")),
            json!({ "password": named("argument") }),
        ),
    ]
}

#[test]
fn no_secret_of_a_turn_reaches_the_log_or_what_people_and_programs_are_told() {
    for json in [true, false] {
        let env = TestEnv::new();
        let failed = format!(
            "wrong key {KEY}; Authorization: Bearer {}; https://a:{}@h.example/",
            named("answered"),
            named("url")
        );
        let _server = model(
            &env,
            vec![
                calls(every_call()),
                says("Done."),
                Reply::error_json(400, "invalid_request_error", failed),
            ],
        );
        let form: &[&str] = if json { &["--json"] } else { &[] };
        let ran = run(exec(&env, form)
            .arg("go")
            .env("MY_API_TOKEN", named("variable")));
        assert_eq!(ran.code, Some(0), "{ran:#?}");
        let refused = run(exec(&env, form).arg("again"));
        assert_eq!(refused.code, Some(1), "{refused:#?}");
        assert_unseen(&env, &[&ran, &refused]);

        let log = env.audit_lines();
        let operations = |name: &str| log.iter().filter(|r| r["operation"] == name).count();
        assert!(operations("process_spawn") >= 9, "{log:#?}");
        let (read, written) = (operations("file_read"), operations("file_write"));
        assert!(read >= 3 && written >= 2, "{read} {written}");
        assert!(operations("model_request") >= 2);

        let sessions: String = files_below(&env.codex_home().join("sessions"))
            .iter()
            .map(|file| fs::read_to_string(file).unwrap())
            .collect();
        assert!(
            sessions.contains(&named("flag")),
            "the conversation as it was"
        );
        for never in [KEY, &named("variable")] {
            assert!(!sessions.contains(never), "{never}");
        }
    }
}

#[test]
fn no_secret_of_a_sandboxed_command_reaches_the_log_or_the_report() {
    let env = TestEnv::new();
    let runs: Vec<RunOutput> = [
        vec!["--", "tar", "--token", &named("argument")],
        vec!["--report", "json", "--", "tar", &shaped("shape")],
        vec!["--", &format!("./{}", shaped("program"))],
        vec![
            "--allow-read",
            &format!("/srv/{}", shaped("read")),
            "--",
            "true",
        ],
        vec![
            "--allow-write",
            &format!("/srv/{}", shaped("write")),
            "--",
            "true",
        ],
        vec!["--pass-env", "MY_API_TOKEN", "--", "true"],
        vec![
            "--",
            "env",
            &format!("API_KEY={}", named("assigned")),
            "true",
        ],
        vec!["--", "true", "-u", &format!("ada:{}", named("user"))],
    ]
    .iter()
    .map(|arguments| {
        let mut command = codex(&env, &["sandbox"]);
        run(command
            .args(arguments)
            .env("MY_API_TOKEN", named("variable")))
    })
    .collect();
    assert!(env.audit_lines().len() > 12);
    assert_unseen(&env, &runs.iter().collect::<Vec<_>>());
    // Whoever reads it gets no more than the log holds.
    for arguments in [
        &["audit", "show"][..],
        &["audit", "show", "--json"],
        &["audit", "tail"],
        &["audit", "explain", "1"],
        &["audit", "export", "--format", "csv"],
        &["audit", "export", "--format", "ocsf"],
    ] {
        let output = run(&mut codex(&env, arguments));
        assert_eq!(output.code, Some(0), "{output:#?}");
        assert_unseen(&env, &[&output]);
    }
}
