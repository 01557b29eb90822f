//! The environment a test's programs get, and how they are run.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use codex_test_support::{NOBODY, TestEnv, json_lines, run, run_for, run_with_stdin};
use serde_json::json;

use crate::fails;

fn shell(env: &TestEnv, script: &str) -> Command {
    let mut command = env.command(Path::new("/bin/sh"));
    command.args(["-c", script]);
    command
}

#[test]
fn commands_see_the_test_s_directories_and_no_other_variable() {
    let env = TestEnv::new();
    let output = run(env.command(Path::new("/usr/bin/env")).arg("-0"));
    assert_eq!(output.code, Some(0));
    let mut variables: Vec<&str> = output.stdout.split_terminator('\0').collect();
    variables.sort_unstable();
    assert_eq!(
        variables,
        [
            format!("CODEX_HOME={}/.codex", env.home().display()),
            format!("HOME={}", env.home().display()),
            "LANG=C.UTF-8".to_owned(),
            format!("PATH={}", std::env::var("PATH").unwrap()),
        ]
    );
    let output = run(&mut shell(&env, "pwd; cat"));
    assert_eq!(output.stdout, format!("{}\n", env.workspace().display()));
}

#[test]
fn files_are_written_and_read_where_they_belong() {
    let env = TestEnv::new();
    let path = env.write("src/deep/main.rs", "fn main() {}\n");
    assert_eq!(path, env.workspace().join("src/deep/main.rs"));
    assert_eq!(env.read("src/deep/main.rs"), "fn main() {}\n");
    env.write_config("model = \"m\"\n");
    let config = fs::read_to_string(env.home().join(".codex/config.toml")).unwrap();
    assert_eq!(config, "model = \"m\"\n");
    assert!(env.write_home(".ssh/id", "key").starts_with(env.home()));
    for outside in ["../x", "/etc/x", "a/../../x"] {
        assert!(fails(|| drop(env.write(outside, ""))), "{outside}");
    }
    let root = env.root().to_owned();
    drop(env);
    assert!(!root.exists());
}

#[test]
fn audit_lines_come_from_every_log_in_order() {
    let env = TestEnv::new();
    assert!(env.audit_lines().is_empty());
    let audit = env.codex_home().join("audit");
    fs::create_dir(&audit).unwrap();
    fs::write(audit.join("b.jsonl"), "{\"seq\":3}\n").unwrap();
    fs::write(audit.join("a.jsonl"), "{\"seq\":1}\n{\"seq\":2}\n").unwrap();
    fs::write(audit.join("head"), "not a record").unwrap();
    let expected = [1, 2, 3].map(|seq| json!({ "seq": seq }));
    assert_eq!(env.audit_lines(), expected);
    fs::write(audit.join("c.jsonl"), "{\"seq\":").unwrap();
    assert!(fails(|| drop(env.audit_lines())));
}

#[test]
fn json_lines_name_the_bad_line() {
    assert_eq!(json_lines("1\n{\"a\":2}\n"), [json!(1), json!({ "a": 2 })]);
    let panic = std::panic::catch_unwind(|| json_lines("1\nx\n")).unwrap_err();
    let message = panic.downcast_ref::<String>().unwrap();
    assert!(message.starts_with("line 2 is not JSON"), "{message}");
}

#[test]
fn run_gives_code_signal_and_both_outputs() {
    let env = TestEnv::new();
    let output = run(&mut shell(&env, "echo out; echo err >&2; exit 7"));
    assert_eq!((output.code, output.signal), (Some(7), None));
    assert_eq!((&*output.stdout, &*output.stderr), ("out\n", "err\n"));

    let output = run(&mut shell(&env, "kill -TERM $$"));
    assert_eq!((output.code, output.signal), (None, Some(15)));

    // More than a pipe holds, on both, while input is fed: nobody waits for nobody.
    let megabyte = "x".repeat(1 << 20);
    let output = run_with_stdin(&mut shell(&env, "tee /dev/stderr"), megabyte.as_str());
    assert_eq!(output.stdout, megabyte);
    assert_eq!(output.stderr, megabyte);

    // Input that nobody reads.
    let output = run_with_stdin(&mut shell(&env, "exit 3"), megabyte);
    assert_eq!(output.code, Some(3));
}

/// A loop in the background that shows that it lives.
const TICKING: &str = "while :; do echo tick >> ticks; sleep 0.02; done &";

/// Whether nothing ticks any more.
fn is_still(env: &TestEnv) -> bool {
    let before = env.read("ticks").len();
    assert!(before > 0);
    std::thread::sleep(Duration::from_millis(500));
    env.read("ticks").len() == before
}

#[test]
fn time_s_end_kills_the_whole_group() {
    let env = TestEnv::new();
    let output = run_for(
        &mut shell(&env, &format!("echo begun; {TICKING} wait")),
        Duration::from_millis(500),
    );
    assert!(output.timed_out && !output.left_running);
    assert_eq!(output.signal, Some(9));
    assert_eq!(output.stdout, "begun\n");
    assert!(is_still(&env));
}

#[test]
fn what_outlives_the_program_is_told_and_killed() {
    let env = TestEnv::new();
    let output = run_for(
        &mut shell(&env, &format!("{TICKING} exit 4")),
        Duration::from_millis(500),
    );
    assert_eq!(output.code, Some(4));
    assert!(output.left_running && !output.timed_out);
    assert!(is_still(&env));
}

#[test]
fn an_unprivileged_environment_belongs_to_nobody_or_says_why_not() {
    let probe = TestEnv::new();
    let uid = run(&mut shell(&probe, "id -u")).stdout;
    let env = match TestEnv::unprivileged() {
        Ok(env) => env,
        Err(reason) => {
            assert_ne!(uid.trim(), "0", "{reason}");
            assert!(reason.to_string().contains(&format!("uid {}", uid.trim())));
            return;
        }
    };
    assert_eq!(uid.trim(), "0");

    let output = run(&mut shell(
        &env,
        "id -u; id -g; id -G; pwd; echo $CODEX_HOME; echo new > made; echo more >> sub/given",
    ));
    assert_eq!(output.code, Some(2), "sub/ does not exist yet");
    env.write("sub/given", "text\n");
    env.write_config("# theirs\n");
    let output = run(&mut shell(
        &env,
        "id -u; id -g; id -G; echo more >> sub/given; touch sub/made \"$CODEX_HOME/made\"; \
         echo > \"$CODEX_HOME/config.toml\"; cat /etc/shadow",
    ));
    let id = NOBODY.to_string();
    assert_eq!(output.stdout, format!("{id}\n{id}\n{id}\n"));
    assert_ne!(output.code, Some(0), "/etc/shadow was read");
    assert_eq!(env.read("sub/given"), "text\nmore\n");
    assert!(env.codex_home().join("made").exists());

    // A program from a directory that only root may enter.
    let closed = probe.root().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    let program = closed.join("own-id");
    let copied = run(Command::new("cp").arg("/usr/bin/id").arg(&program));
    assert_eq!(copied.code, Some(0));
    for _ in 0..2 {
        let output = run(env.command_as_nobody(&program).arg("-u"));
        assert_eq!((output.code, &*output.stdout), (Some(0), "65534\n"));
    }
    assert!(fails(|| drop(probe.command_as_nobody(&program))));
}
