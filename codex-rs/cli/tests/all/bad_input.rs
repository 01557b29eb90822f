//! What is typed or configured wrongly: one line that says so, and the exit code of its kind.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use codex_test_support::{TestEnv, run};
use serde_json::json;

use super::fixture::{
    codex, denied, exec, exec_json, model, output_of, patch, run_codex, says, told, told_alone,
};

#[test]
fn an_unknown_profile_is_refused() {
    let env = TestEnv::new();
    for command in [
        &["sandbox", "--", "true"][..],
        &["policy", "show"],
        &["exec", "x"],
    ] {
        let output = run_codex(&env, &[&["--profile", "sudo"], command].concat());
        let error = told_alone(&output, 2);
        assert!(
            error.contains("sudo") && error.contains("workspace-write"),
            "{error}"
        );
    }
    assert_eq!(env.audit_lines().len(), 0);
}

#[test]
fn a_broken_configuration_is_named_with_line_and_column() {
    let env = TestEnv::new();
    env.write_config("model = \"m\"\nprofile = = 3\n");
    for command in [
        &["sandbox", "--", "true"][..],
        &["config", "show"],
        &["audit", "verify"],
    ] {
        let error = told_alone(&run_codex(&env, command), 2);
        assert!(error.contains("config.toml:2:11"), "{error}");
    }
    env.write_config("model = 3\n");
    let error = told_alone(&run_codex(&env, &["config", "show"]), 2);
    assert!(
        error.contains("config.toml:1") && error.contains("model"),
        "{error}"
    );
    env.write_home(".codex/config.toml", b"model = \"\xff\"\n");
    told_alone(&run_codex(&env, &["config", "show"]), 2);
}

#[test]
fn a_missing_key_or_model_is_explained() {
    let env = TestEnv::new();
    let server = model(&env, vec![says("x")]);
    let error = told_alone(&run(exec(&env, &["hi"]).env_remove("TEST_KEY")), 2);
    assert!(
        error.contains("TEST_KEY") && error.contains("codex demo"),
        "{error}"
    );
    assert_eq!(server.requests().len(), 0);
    let error = told_alone(&run(&mut exec(&env, &["--provider", "nobody", "hi"])), 2);
    assert!(
        error.contains("nobody") && error.contains("test"),
        "{error}"
    );
    env.write_config("model_provider = \"openai\"\n");
    let error = told_alone(&run(&mut exec(&env, &["hi"])), 2);
    assert!(error.contains("OPENAI_API_KEY"), "{error}");
}

#[test]
fn a_server_that_is_down_is_named() {
    let env = TestEnv::new();
    let server = model(&env, vec![]);
    let address = server.address().to_string();
    drop(server);
    let output = run(&mut exec(&env, &["hi"]));
    let error = told(&output, 1);
    assert!(
        error.contains(&address) && error.contains("refused"),
        "{error}"
    );
    assert_eq!(output.stdout, "");
}

#[test]
fn a_workspace_has_to_be_there_and_to_be_narrow() {
    let env = TestEnv::new();
    let file = env.write("file", "x");
    for (place, code) in [
        (env.root().join("nowhere"), 2),
        (file, 2),
        ("/".into(), 3),
        (env.home(), 3),
        (env.root().to_owned(), 3),
        (env.codex_home(), 3),
    ] {
        let place = place.to_str().unwrap();
        for command in [&["sandbox", "--", "true"][..], &["exec", "x"]] {
            let output = run_codex(&env, &[&["-C", place], command].concat());
            let error = told_alone(&output, code);
            assert!(error.contains(place), "{error}");
        }
    }
    assert_eq!(env.audit_lines().len(), 0);
}

#[test]
fn an_unknown_setting_warns_once_and_stops_nothing() {
    let env = TestEnv::new();
    env.write_config("from_the_future = true\n");
    let output = run_codex(
        &env,
        &["-c", "also_unknown=1", "sandbox", "--", "echo", "ran"],
    );
    assert_eq!(
        (output.code, output.stdout.as_str()),
        (Some(0), "ran\n"),
        "{output:#?}"
    );
    for key in ["also_unknown", "from_the_future"] {
        assert_eq!(output.stderr.matches(key).count(), 1, "{output:#?}");
    }
    for line in output.stderr.lines() {
        assert!(line.starts_with("codex: warning: "), "{line}");
    }
}

#[test]
fn a_setting_without_a_value_is_a_usage_error() {
    let env = TestEnv::new();
    for setting in ["novalue", "=x", "profile=sudo"] {
        told_alone(&run_codex(&env, &["-c", setting, "config", "show"]), 2);
    }
}

#[test]
fn a_patch_that_does_not_apply_is_told_to_the_model() {
    let env = TestEnv::new();
    env.write("a.txt", "real line\n");
    let body = "*** Update File: a.txt\n@@\n-imagined line\n+x\n";
    let missing = "*** Update File: no.txt\n@@\n-x\n+y\n";
    let script = vec![
        codex_test_support::Reply::responses(vec![patch("p1", body), patch("p2", missing)]),
        says("It did not fit."),
    ];
    let server = model(&env, script);
    exec_json(&env, &["--profile", "workspace-write", "go"]);
    assert!(output_of(&server, 1, "p1").contains("a.txt"));
    assert!(output_of(&server, 1, "p2").contains("no.txt"));
    assert_eq!(env.read("a.txt"), "real line\n");
    assert_eq!(denied(&env).len(), 0);
}

#[test]
fn files_that_flags_name_have_to_be_usable() {
    let env = TestEnv::new();
    let _server = model(&env, vec![says("x")]);
    let garbage = env.write("garbage.ndjson", "{\"v\": 1, \"items\": [\n");
    let empty = env.write("empty.ndjson", "");
    let garbage = garbage.to_str().unwrap();
    let cases: [(&[&str], &str); 6] = [
        (
            &["--replay", "/nowhere/turn.ndjson"],
            "/nowhere/turn.ndjson",
        ),
        (&["--replay", garbage], "line 1"),
        (&["--replay", empty.to_str().unwrap()], "empty.ndjson"),
        (
            &["--record", "/nowhere/turn.ndjson"],
            "/nowhere/turn.ndjson",
        ),
        (
            &["--output-schema", "/nowhere/schema.json"],
            "/nowhere/schema.json",
        ),
        (&["--output-schema", garbage], "garbage.ndjson"),
    ];
    for (flags, named) in cases {
        let output = run(exec(&env, flags).arg("hi"));
        let error = told_alone(&output, 2);
        assert!(error.contains(named), "{error}");
    }
    assert!(
        told(&run(&mut exec(&env, &["--image", "/nowhere.png", "hi"])), 2).contains("/nowhere.png")
    );
}

#[test]
fn a_key_file_that_others_read_is_refused() {
    let env = TestEnv::new();
    let server = model(&env, vec![says("x")]);
    let auth = env.write_home(
        ".codex/auth",
        json!({ "TEST_KEY": "abc-secret" }).to_string(),
    );
    fs::set_permissions(&auth, fs::Permissions::from_mode(0o644)).unwrap();
    let error = told_alone(&run(exec(&env, &["hi"]).env_remove("TEST_KEY")), 2);
    assert!(
        error.contains("chmod 600") && error.contains("auth"),
        "{error}"
    );
    fs::set_permissions(&auth, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&auth, "TEST_KEY=abc-secret").unwrap();
    let error = told_alone(&run(exec(&env, &["hi"]).env_remove("TEST_KEY")), 2);
    assert!(
        error.contains("line 1") && !error.contains("abc-secret"),
        "{error}"
    );
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn unknown_words_of_the_audit_commands_are_named() {
    let env = TestEnv::new();
    let error = told_alone(
        &run_codex(&env, &["audit", "show", "--operation", "nonsense"]),
        2,
    );
    assert!(
        error.contains("nonsense") && error.contains("file_read"),
        "{error}"
    );
    let error = told_alone(
        &run_codex(&env, &["audit", "show", "--since", "yesteryear"]),
        2,
    );
    assert!(error.contains("yesteryear"), "{error}");
    let error = told_alone(
        &run_codex(&env, &["audit", "verify", "--expect-head", "xyz"]),
        2,
    );
    assert!(error.contains("xyz"), "{error}");
}

/// A log of three runs.
fn with_log() -> (TestEnv, std::path::PathBuf) {
    let env = TestEnv::new();
    for _ in 0..3 {
        assert_eq!(run_codex(&env, &["sandbox", "--", "true"]).code, Some(0));
    }
    let log = env.codex_home().join("audit/audit.jsonl");
    (env, log)
}

#[test]
fn a_changed_log_is_found_out() {
    let (env, log) = with_log();
    let whole = fs::read_to_string(&log).unwrap();
    let lines: Vec<&str> = whole.lines().collect();
    let edited = whole.replacen("Offline profile", "Offline_profile", 3);
    let joined =
        |kept: &[usize]| -> String { kept.iter().map(|at| format!("{}\n", lines[*at])).collect() };
    let all: Vec<usize> = (0..lines.len()).collect();
    let dropped: Vec<usize> = all.iter().copied().filter(|at| *at != 2).collect();
    let mut swapped = all.clone();
    swapped.swap(3, 4);
    let cases = [
        (edited, "line 1"),
        (joined(&dropped), "line 3"),
        (joined(&swapped), "line 4"),
        (
            format!("{}garbage\n", joined(&all)),
            &*format!("line {}", lines.len() + 1),
        ),
    ];
    for (text, named) in cases {
        fs::write(&log, text).unwrap();
        let output = run_codex(&env, &["audit", "verify"]);
        assert_eq!(output.code, Some(1), "{named}: {output:#?}");
        assert!(output.stdout.contains(named), "{named}: {output:#?}");
        let output = run_codex(&env, &["audit", "verify", "--json"]);
        let report: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
        assert_eq!(
            (report["v"].clone(), report["whole"].clone()),
            (json!(1), json!(false))
        );
    }
    fs::write(&log, &whole).unwrap();
    assert_eq!(run_codex(&env, &["audit", "verify"]).code, Some(0));
}

#[test]
fn a_shortened_log_is_found_out_by_what_was_kept_elsewhere() {
    let (env, log) = with_log();
    let last = env.audit_lines().pop().unwrap();
    let head = last["hash"].as_str().unwrap();
    let seq = last["seq"].to_string();
    let check = |env: &TestEnv| run_codex(env, &["audit", "verify", "--expect-head", head]).code;
    assert_eq!(check(&env), Some(0));
    let whole = fs::read_to_string(&log).unwrap();
    let shorter: String = whole.lines().take(4).map(|l| format!("{l}\n")).collect();
    fs::write(&log, shorter).unwrap();
    assert_eq!(check(&env), Some(1));
    assert_eq!(
        run_codex(&env, &["audit", "verify", "--min-seq", &seq]).code,
        Some(1)
    );
    fs::remove_file(&log).unwrap();
    assert_eq!(
        run_codex(&env, &["audit", "verify", "--min-seq", &seq]).code,
        Some(1)
    );
}

#[test]
fn what_reads_our_output_may_stop_reading() {
    let (env, _) = with_log();
    let mut command = env.command(std::path::Path::new("/bin/bash"));
    command.args(["-c", "set -o pipefail; \"$@\" | head -n 1", "bash"]);
    command
        .arg(super::fixture::binary())
        .args(["policy", "show"]);
    let output = run(&mut command);
    assert_eq!(output.stdout.lines().count(), 1);
    assert_eq!(output.stderr, "", "a closed pipe is quiet");
}

#[test]
fn what_was_typed_wrongly_never_panics() {
    let env = TestEnv::new();
    let long = "x".repeat(100_000);
    let cases: [&[&str]; 8] = [
        &["--nonsense"],
        &["exec", "--max-turns", "-1", "x"],
        &["exec", "--timeout", "nan", "x"],
        &["sandbox", "--timeout", "0", "--", "true"],
        &["policy", "check", "connect", "nohost"],
        &["policy", "check", "read", "a\u{1b}[31m/../../\u{7}"],
        &["-C", &long, "sandbox", "--", "true"],
        &["sandbox", "--allow-read", &long, "--", "true"],
    ];
    for arguments in cases {
        let output = run(&mut codex(&env, arguments));
        assert_eq!(output.code, Some(2), "{:.60?}: {output:.600?}", arguments);
        assert!(!output.stderr.contains("panicked") && !output.stderr.contains('\u{1b}'));
    }
}

#[test]
fn looking_for_a_local_server_is_recorded_and_ends_in_advice() {
    let env = TestEnv::new();
    // Port 1 is reserved and nothing listens there.
    let tables = ["ollama", "lmstudio", "llamacpp"]
        .map(|name| format!("[model_providers.{name}]\nbase_url = \"http://127.0.0.1:1/v1\"\n"));
    env.write_config(tables.concat());
    let output = run_codex(&env, &["exec", "hello"]);
    assert_eq!(output.code, Some(2), "{output:#?}");
    assert!(output.stderr.contains("OPENAI_API_KEY"), "{output:#?}");
    assert!(output.stderr.contains("codex demo"), "{output:#?}");
    let asked = super::fixture::of_operation(&env, "model_request");
    assert_eq!(asked.len(), 3, "{asked:?}");
    assert!(
        asked[0]["target"].as_str().unwrap().contains("127.0.0.1:1"),
        "{asked:?}"
    );
}
