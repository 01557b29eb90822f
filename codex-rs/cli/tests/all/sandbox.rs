//! `codex sandbox`: exit codes, reports, and what a command in it cannot do. Every attempt first
//! succeeds under the trusted profile, which confines nothing.

use std::fs;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use codex_test_support::{RunOutput, TestEnv, json_lines, run, run_with_stdin};
use serde_json::{Value, json};

use super::fixture::{
    binary, codex, denied, each_user, eventually, is_running, marked_seconds, of_operation,
    run_codex, told,
};

/// Runs a script with bash under a profile.
#[track_caller]
fn bash(env: &TestEnv, profile: &str, script: &str) -> RunOutput {
    run_codex(
        env,
        &["sandbox", "--profile", profile, "--", "bash", "-c", script],
    )
}

#[test]
fn the_exit_code_is_the_commands_own_or_says_what_happened() {
    let env = TestEnv::new();
    let missing = env.workspace().join("nowhere");
    let text = env.write("text.txt", "no program");
    let cases: [(&[&str], i32); 8] = [
        (&["true"], 0),
        (&["bash", "-c", "exit 7"], 7),
        (&["bash", "-c", "kill -9 $$"], 137),
        (&["bash", "-c", "kill -TERM $$"], 143),
        (&["tar", "--version"], 126),
        (&[text.to_str().unwrap()], 126),
        (&["no-such-program"], 127),
        (&[missing.to_str().unwrap()], 127),
    ];
    for (command, code) in cases {
        let output = run_codex(&env, &[&["sandbox", "--"], command].concat());
        assert_eq!(output.code, Some(code), "{command:?}: {output:#?}");
        assert_eq!(output.stdout, "");
        if code == 127 {
            told(&output, 127);
        }
    }
    let output = run_codex(&env, &["sandbox", "--timeout", "0.3", "--", "sleep", "30"]);
    let error = told(&output, 124);
    assert!(error.contains("its time was up (--timeout)"), "{error}");
    let output = run_codex(&env, &["sandbox", "--max-procs", "0", "--", "true"]);
    assert_eq!(output.code, Some(2), "{output:#?}");
    assert!(output.stderr.contains("'--max-procs <N>'"), "{output:#?}");
    let output = run_codex(&env, &["sandbox"]);
    assert_eq!(output.code, Some(2), "{output:#?}");
}

#[test]
fn a_script_without_rights_to_execute_is_denied_and_one_with_them_runs() {
    use std::os::unix::fs::PermissionsExt as _;
    let env = TestEnv::new();
    let script = env.write("script.sh", "#!/bin/sh\necho ran\n");
    let arguments = [
        "sandbox",
        "--profile",
        "workspace-write",
        "--",
        "./script.sh",
    ];
    assert_eq!(run_codex(&env, &arguments).code, Some(126));
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let output = run_codex(&env, &arguments);
    assert_eq!(
        (output.code, output.stdout.as_str()),
        (Some(0), "ran\n"),
        "{output:#?}"
    );
}

#[test]
fn streams_pass_through() {
    let env = TestEnv::new();
    let arguments = ["sandbox", "--", "bash", "-c", "cat; echo to-stderr >&2"];
    let output = run_with_stdin(&mut codex(&env, &arguments), "through\n");
    assert_eq!(output.code, Some(0));
    assert_eq!(output.stdout, "through\n");
    assert_eq!(
        output.stderr, "to-stderr\n",
        "nothing was denied, nothing is reported"
    );
}

#[test]
fn the_report_names_what_was_denied_and_what_would_allow_it() {
    let env = TestEnv::new();
    let log = env.codex_home().join("audit/audit.jsonl");
    let output = run_codex(&env, &["sandbox", "--", "tar", "--version"]);
    for part in [
        "denied process_spawn",
        "tar",
        "--allow-exec",
        log.to_str().unwrap(),
    ] {
        assert!(output.stderr.contains(part), "{part} in {output:#?}");
    }
    let output = run_codex(
        &env,
        &["sandbox", "--report", "none", "--", "tar", "--version"],
    );
    assert_eq!((output.code, output.stderr.as_str()), (Some(126), ""));

    let output = run_codex(
        &env,
        &["sandbox", "--report", "json", "--", "tar", "--version"],
    );
    assert_eq!(output.code, Some(126));
    let report = json_lines(&output.stderr).pop().unwrap();
    let record = denied(&env).pop().unwrap();
    // The run's end is signed.
    let last = env.audit_lines().pop().unwrap();
    assert_eq!(last["operation"], "checkpoint");
    assert_eq!(
        report,
        json!({
            "type": "sandbox.report", "v": 1, "profile": "Offline", "level": report["level"], "exit": 126,
            "denied": [{
                "operation": "process_spawn", "target": record["target"], "reason": record["reason"],
                "rule": "exec.unlisted", "evidence": "declared", "count": 1, "seq": record["seq"],
            }],
            "audit": { "path": log, "first_seq": record["seq"], "last_seq": last["seq"] },
        })
    );
    assert!(["full", "partial", "minimum"].contains(&report["level"].as_str().unwrap()));

    let output = run_codex(
        &env,
        &["sandbox", "--report", "json", "--", "bash", "-c", "exit 3"],
    );
    let report = json_lines(&output.stderr).pop().unwrap();
    assert_eq!(report["exit"], 3);
    assert_eq!(report["denied"], json!([]));
    assert_eq!(
        report["audit"]["last_seq"],
        env.audit_lines().last().unwrap()["seq"]
    );
}

#[test]
fn a_run_is_recorded_with_intent_and_outcome() {
    let env = TestEnv::new();
    assert_eq!(bash(&env, "offline", "exit 5").code, Some(5));
    let records = of_operation(&env, "process_spawn");
    assert_eq!(records.len(), 2, "{records:#?}");
    assert_eq!(records[0]["detail"]["phase"], "intent");
    assert_eq!(
        records[0]["detail"]["argv"],
        json!(["bash", "-c", "exit 5"])
    );
    assert_eq!(records[1]["detail"]["phase"], "outcome");
    assert_eq!(records[1]["detail"]["intent"], records[0]["seq"]);
    assert_eq!(records[1]["detail"]["outcome"], json!({ "status": 5 }));
    for record in &records {
        assert_eq!(record["decision"], "allowed");
        assert_eq!(record["profile"], "Offline");
    }
}

#[test]
fn offline_neither_writes_nor_reads_secrets_nor_starts_unlisted_programs() {
    for env in each_user() {
        env.write("mine.txt", "mine\n");
        env.write("mode.txt", "x\n");
        env.write(".env", "hidden content\n");
        env.write_home(".ssh/key", "hidden content\n");
        env.write_home(".netrc", "hidden content\n");
        let attempts = [
            "echo x > new.txt",
            "echo x >> mine.txt",
            "mkdir made",
            "mv mine.txt other.txt && mv other.txt mine.txt",
            "ln -s mine.txt link",
            "rm -f link new.txt && rmdir made && touch x && rm x",
            "echo x > \"$HOME/left.txt\"",
            "chmod 600 mode.txt",
            "touch -d 2001-01-01 mode.txt",
            "cat \"$HOME/.ssh/key\"",
            "cat \"$HOME/.netrc\"",
            "cat .env",
            "tar --version",
            "cp /usr/bin/tar copy && ./copy --version",
        ];
        for attempt in attempts {
            let free = bash(&env, "trusted", attempt);
            assert_eq!(free.code, Some(0), "{attempt} without a sandbox: {free:#?}");
        }
        fs::remove_file(env.home().join("left.txt")).unwrap();
        fs::remove_file(env.workspace().join("copy")).unwrap();
        env.write("mine.txt", "mine\n");
        for attempt in attempts {
            let held = bash(&env, "offline", attempt);
            assert_ne!(held.code, Some(0), "{attempt}: {held:#?}");
            assert!(!held.stdout.contains("hidden"), "{attempt}: {held:#?}");
        }
        assert_eq!(env.read("mine.txt"), "mine\n");
        let mut left: Vec<_> = fs::read_dir(env.workspace())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        left.sort();
        assert_eq!(left, [".env", "mine.txt", "mode.txt"]);
        assert!(!env.home().join("left.txt").exists());
        let harmless = bash(
            &env,
            "offline",
            "cat mine.txt | wc -l > /dev/null && git --version",
        );
        assert_eq!(harmless.code, Some(0), "{harmless:#?}");
    }
}

#[test]
fn the_program_itself_is_denied_for_every_user() {
    for env in each_user() {
        let output = run_codex(&env, &["sandbox", "--", "tar", "--version"]);
        assert_eq!(output.code, Some(126), "{output:#?}");
        assert_eq!(denied(&env).len(), 1);
    }
}

#[test]
fn no_confined_profile_reaches_the_hosts_loopback() {
    for env in each_user() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let attempt = format!("exec 3<>/dev/tcp/127.0.0.1/{port}");
        let free = bash(&env, "trusted", &attempt);
        assert_eq!(free.code, Some(0), "{free:#?}");
        listener.accept().expect("the connection came");
        for profile in ["offline", "workspace-write"] {
            let held = bash(&env, profile, &attempt);
            assert_ne!(held.code, Some(0), "{profile}: {held:#?}");
            let none = listener.accept().map(drop).unwrap_err();
            assert_eq!(none.kind(), ErrorKind::WouldBlock, "{profile}");
        }
    }
}

#[test]
fn workspace_write_writes_in_the_workspace_and_its_own_temporary_directory() {
    for env in each_user() {
        env.write_home(".ssh/key", "hidden content\n");
        let output = bash(
            &env,
            "workspace-write",
            "set -e; echo in > in.txt; mkdir -p a/b; mv in.txt a/b; echo t > \"$TMPDIR/t\"; cat \"$TMPDIR/t\"; echo \"$TMPDIR\"",
        );
        assert_eq!(output.code, Some(0), "{output:#?}");
        assert_eq!(env.read("a/b/in.txt"), "in\n");
        let temp = output.stdout.lines().last().unwrap();
        assert!(
            output.stdout.starts_with("t\n") && temp.starts_with('/'),
            "{output:#?}"
        );
        assert!(!Path::new(temp).exists(), "{temp} is removed at the end");

        let outside = env.home().join("out.txt");
        let attempts = [
            "echo x > \"$HOME/out.txt\"",
            "ln -s \"$HOME\" way; echo x > way/out.txt",
            "cp \"$HOME/.ssh/key\" stolen",
            "ln \"$HOME/.ssh/key\" stolen",
            "mv \"$HOME/.ssh\" stolen",
            "cat \"$HOME/.ssh/key\"",
        ];
        for attempt in attempts {
            let held = bash(&env, "workspace-write", attempt);
            assert_ne!(held.code, Some(0), "{attempt}: {held:#?}");
            assert!(!held.stdout.contains("hidden"), "{held:#?}");
        }
        assert!(!outside.exists());
        let free = |attempt: &str| {
            let free = bash(&env, "trusted", attempt);
            assert_eq!(free.code, Some(0), "{attempt} without a sandbox: {free:#?}");
        };
        free("rm -rf way stolen");
        for attempt in attempts {
            free(attempt);
            free("rm -f way; test -e \"$HOME/.ssh\" || mv stolen \"$HOME/.ssh\"; rm -f stolen");
        }
    }
}

#[test]
fn commands_write_no_protected_paths_of_their_workspace() {
    let env = TestEnv::new();
    env.write(".git/HEAD", "ref: refs/heads/main\n");
    let attempt = "mkdir -p .git/hooks && echo x > .git/hooks/pre-commit";
    for profile in ["offline", "workspace-write"] {
        assert_ne!(bash(&env, profile, attempt).code, Some(0));
        assert!(!env.workspace().join(".git/hooks/pre-commit").exists());
    }
    let seen = env.audit_lines().into_iter().any(|record| {
        record["rule"] == "fs.protected"
            && record["evidence"] == "observed"
            && record["target"]
                .as_str()
                .is_some_and(|t| t.ends_with(".git/hooks/pre-commit"))
    });
    assert!(seen, "{:?}", env.audit_lines());
}

#[test]
fn the_environment_is_scrubbed() {
    let env = TestEnv::new();
    let planted = [
        ("FOO_TOKEN", "planted-1"),
        ("OPENAI_API_KEY", "planted-2"),
        ("LD_LIBRARY_PATH", "/planted-3"),
        ("BASH_ENV", "/planted-4"),
        ("NODE_OPTIONS", "planted-5"),
        ("GIT_SSH_COMMAND", "planted-6"),
        ("PAGER", "planted-7"),
        ("UNKNOWN_SETTING", "planted-8"),
        ("AWS_PROFILE", "planted-9"),
    ];
    let list = |arguments: &[&str]| {
        let arguments = [&["sandbox"], arguments, &["--", "env"]].concat();
        let mut command = codex(&env, &arguments);
        command
            .envs(planted)
            .env("LC_ALL", "C")
            .env("NO_COLOR", "1");
        let output = run(&mut command);
        assert_eq!(output.code, Some(0), "{output:#?}");
        output.stdout
    };
    for profile in ["offline", "workspace-write", "trusted"] {
        let shown = list(&["--profile", profile]);
        assert!(!shown.contains("planted"), "{profile}: {shown}");
        for passed in ["PATH=", "HOME=", "LC_ALL=C\n", "NO_COLOR=1\n"] {
            assert!(shown.contains(passed), "{profile}: {passed} in {shown}");
        }
    }
    let shown = list(&["--pass-env", "UNKNOWN_*"]);
    assert!(shown.contains("UNKNOWN_SETTING=planted-8\n"), "{shown}");
    assert_eq!(shown.matches("planted").count(), 1, "{shown}");
    let shown = list(&["--pass-env", "*"]);
    assert!(
        !shown.contains("FOO_TOKEN") && !shown.contains("BASH_ENV"),
        "{shown}"
    );
    let shown = list(&["--pass-env", "FOO_TOKEN"]);
    assert!(
        shown.contains("FOO_TOKEN=planted-1\n"),
        "a full name is meant: {shown}"
    );
}

#[test]
fn everything_that_a_command_started_ends_with_it() {
    for env in each_user() {
        for profile in ["offline", "workspace-write", "trusted"] {
            let (plain, apart) = (marked_seconds(300), marked_seconds(300));
            let setsid = if profile == "offline" { "" } else { "setsid " };
            let script = format!(
                "(sleep {plain} >/dev/null 2>&1 &); ({setsid}sleep {apart} >/dev/null 2>&1 </dev/null &); exit 4"
            );
            let output = bash(&env, profile, &script);
            assert_eq!(output.code, Some(4), "{profile}: {output:#?}");
            eventually(profile, || !is_running(&plain) && !is_running(&apart));
        }
        let (plain, apart) = (marked_seconds(300), marked_seconds(300));
        let script = format!("(setsid sleep {apart} &); sleep {plain}");
        let arguments = [
            "sandbox",
            "--profile",
            "workspace-write",
            "--timeout",
            "0.5",
            "--",
            "bash",
            "-c",
            &script,
        ];
        let output = run_codex(&env, &arguments);
        assert_eq!(output.code, Some(124), "{output:#?}");
        eventually("after the time-out", || {
            !is_running(&plain) && !is_running(&apart)
        });
    }
}

#[test]
fn a_terminated_or_killed_sandbox_ends_its_command() {
    for signal in ["TERM", "KILL"] {
        let env = TestEnv::new();
        let (plain, apart) = (marked_seconds(300), marked_seconds(300));
        let script = format!("(setsid sleep {apart} &); sleep {plain}");
        let arguments = [
            "sandbox",
            "--profile",
            "workspace-write",
            "--",
            "bash",
            "-c",
            &script,
        ];
        let place = env.root().join("run");
        let mut run = super::fixture::Started::new(&mut codex(&env, &arguments), &place);
        eventually("both run", || is_running(&plain) && is_running(&apart));
        run.signal(signal);
        assert_eq!(run.code(), (signal == "TERM").then_some(143));
        eventually(signal, || !is_running(&plain) && !is_running(&apart));
    }
}

#[test]
fn no_descriptor_is_inherited() {
    let env = TestEnv::new();
    let secret = env.write("secret.txt", "x");
    let script = format!(
        "exec 7<{0} 9>>{0}; exec \"$@\" ls -l /proc/self/fd",
        secret.display()
    );
    let list = |prefix: &[&str]| {
        let mut command: Command = env.command(Path::new("/bin/bash"));
        command.args(["-c", &script, "bash"]).args(prefix);
        let output = run(&mut command);
        assert_eq!(output.code, Some(0), "{output:#?}");
        output.stdout
    };
    let free = list(&["env"]);
    assert!(free.contains(" 7 -> ") && free.contains(" 9 -> "), "{free}");
    let binary = binary().to_str().unwrap();
    for profile in ["offline", "workspace-write", "trusted"] {
        let held = list(&[binary, "sandbox", "--profile", profile, "--"]);
        assert!(!held.contains("secret.txt"), "{profile}: {held}");
        // Its own three, and the directory that ls reads.
        assert_eq!(held.matches(" -> ").count(), 4, "{profile}: {held}");
    }
}

#[test]
fn the_kernel_holds_the_command_without_privileges() {
    for env in each_user() {
        let output = bash(&env, "offline", "cat /proc/self/status");
        assert_eq!(output.code, Some(0), "{output:#?}");
        let field = |name: &str| -> String {
            let line = output.stdout.lines().find(|line| line.starts_with(name));
            line.and_then(|l| l.split_whitespace().nth(1))
                .expect(name)
                .to_owned()
        };
        assert_eq!(field("NoNewPrivs:"), "1");
        // 2 is SECCOMP_MODE_FILTER of linux/seccomp.h.
        assert_eq!(field("Seccomp:"), "2");
        for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
            assert_eq!(field(set), "0000000000000000", "{set}");
        }
        if field("Uid:") == "0" {
            assert_eq!(field("CapBnd:"), "0000000000000000");
        }
    }
}

#[test]
fn net_read_only_runs_and_connects_to_nothing_but_its_proxy() {
    let env = TestEnv::new();
    let attempt = "echo ran; echo x > /dev/tcp/192.0.2.1/80";
    let output = bash(&env, "net-read-only", attempt);
    assert_eq!(output.stdout, "ran\n", "{output:?}");
    assert_ne!(output.code, Some(0));
    let seen = env.audit_lines().into_iter().any(|record| {
        record["operation"] == "network_access"
            && record["target"] == "192.0.2.1:80"
            && record["decision"] == "denied"
            && record["evidence"] == "observed"
    });
    assert!(seen, "{:?}", env.audit_lines());
}

/// Asks the proxy of the run, as its variables name it, by a socket of bash's own.
const BY_PROXY: &str = r#"
way=${http_proxy#http://}; login=${way%@*}; place=${way#*@}
exec 3<>"/dev/tcp/${place%:*}/${place#*:}"
printf '%s http://%s/page HTTP/1.1\r\nHost: %s\r\nProxy-Authorization: Basic %s\r\nConnection: close\r\n\r\n' \
    "$1" "$2" "$2" "$(printf %s "$login" | base64 -w0)" >&3
cat <&3
"#;

#[test]
fn a_granted_host_is_read_through_the_proxy_and_not_directly() {
    let env = TestEnv::new();
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = server.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in server.incoming() {
            let mut stream = stream.unwrap();
            let mut asked = [0; 1024];
            let _ = std::io::Read::read(&mut stream, &mut asked);
            let answer =
                "HTTP/1.1 200 OK\r\nContent-Length: 8\r\nConnection: close\r\n\r\nthe page";
            let _ = std::io::Write::write_all(&mut stream, answer.as_bytes());
        }
    });
    let sandboxed = |script: &str, method: &str| {
        run_codex(
            &env,
            &[
                "sandbox",
                "--profile",
                "net-read-only",
                "--allow-host",
                &host,
                "--allow-private-host",
                &host,
                "--",
                "bash",
                "-c",
                script,
                "bash",
                method,
                &host,
            ],
        )
    };
    let read = sandboxed(BY_PROXY, "GET");
    assert!(read.stdout.ends_with("the page"), "{read:?}");
    let written = sandboxed(BY_PROXY, "POST");
    assert!(written.stdout.starts_with("HTTP/1.1 403"), "{written:?}");
    let direct = sandboxed("exec 3<>\"/dev/tcp/${2%:*}/${2#*:}\"", "GET");
    assert_ne!(direct.code, Some(0), "{direct:?}");
    let records = env.audit_lines();
    let seen = |decision: &str, evidence: &str, target: &str| {
        records.iter().any(|record| {
            record["operation"] == "network_access"
                && record["decision"] == decision
                && record["evidence"] == evidence
                && record["target"] == target
        })
    };
    assert!(
        seen("allowed", "declared", &format!("GET http://{host}/page")),
        "{records:#?}"
    );
    assert!(
        seen("denied", "declared", &format!("POST http://{host}/page")),
        "{records:#?}"
    );
    assert!(seen("denied", "observed", &host), "{records:#?}");
}

#[test]
fn without_a_log_nothing_runs() {
    for env in each_user() {
        let file = env.write("file", "x");
        let places = [
            file.join("audit.jsonl"),
            env.workspace(),
            "/dev/full".into(),
        ];
        for place in places {
            let place = place.to_str().unwrap();
            let command = ["bash", "-c", "echo ran; echo ran > ran.txt"];
            let arguments = [
                "sandbox",
                "--profile",
                "trusted",
                "--audit-log",
                place,
                "--",
            ];
            let output = run_codex(&env, &[&arguments[..], &command].concat());
            let error = told(&output, 3);
            assert!(error.contains(place), "{error}");
            assert_eq!(output.stdout, "");
        }
        assert!(!env.workspace().join("ran.txt").exists());

        let server = super::fixture::model(&env, vec![super::fixture::says("x")]);
        let place = file.join("audit.jsonl");
        let output = run(&mut super::fixture::exec(
            &env,
            &["--audit-log", place.to_str().unwrap(), "hi"],
        ));
        told(&output, 3);
        assert_eq!(server.requests().len(), 0, "the model is not asked");
    }
}

#[test]
fn the_log_is_kept_where_it_is_told() {
    let env = TestEnv::new();
    let flag = env.root().join("flag/audit.jsonl");
    let variable = env.root().join("variable/audit.jsonl");
    let mut command = codex(&env, &["sandbox", "--", "true"]);
    command.env("CODEX_AUDIT_LOG", &variable);
    assert_eq!(run(&mut command).code, Some(0));
    command = codex(
        &env,
        &[
            "sandbox",
            "--audit-log",
            flag.to_str().unwrap(),
            "--",
            "true",
        ],
    );
    command.env("CODEX_AUDIT_LOG", &variable);
    assert_eq!(run(&mut command).code, Some(0));
    for log in [&flag, &variable] {
        let lines: Vec<Value> = json_lines(&fs::read_to_string(log).unwrap());
        assert_eq!(lines.len(), 3, "intent, outcome, checkpoint: {log:?}");
    }
    assert_eq!(env.audit_lines().len(), 0);
    // A command cannot read it, wherever it is.
    let script = format!("cat {}", flag.display());
    let arguments = [
        "sandbox",
        "--audit-log",
        flag.to_str().unwrap(),
        "--",
        "bash",
        "-c",
        &script,
    ];
    assert_ne!(run_codex(&env, &arguments).code, Some(0));
}

#[test]
fn verbose_names_the_level() {
    let env = TestEnv::new();
    let quiet = run_codex(&env, &["sandbox", "--", "true"]);
    assert_eq!((quiet.code, quiet.stderr.as_str()), (Some(0), ""));
    let verbose = run_codex(&env, &["-v", "sandbox", "--", "true"]);
    assert_eq!(verbose.code, Some(0));
    assert!(verbose.stderr.contains("level full"), "{verbose:#?}");
}
