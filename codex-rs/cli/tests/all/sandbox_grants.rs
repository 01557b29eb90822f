//! Grants: each widens one thing for one run, and is recorded.

use std::fs;

use codex_test_support::{RunOutput, TestEnv, run};
use serde_json::Value;

use super::fixture::{exec, model, of_operation, run_codex, says, told_alone};

/// Runs a script with bash in the sandbox with these flags.
#[track_caller]
fn bash(env: &TestEnv, flags: &[&str], script: &str) -> RunOutput {
    run_codex(
        env,
        &[&["sandbox"], flags, &["--", "bash", "-c", script]].concat(),
    )
}

/// The targets of the log's `profile_change` records.
fn changes(env: &TestEnv) -> Vec<String> {
    let records = of_operation(env, "profile_change");
    for record in &records {
        assert_eq!(record["decision"], "allowed");
        assert_eq!(record["evidence"], "declared");
    }
    let target = |record: &Value| record["target"].as_str().unwrap().to_owned();
    records.iter().map(target).collect()
}

#[test]
fn a_write_grant_opens_one_path() {
    let env = TestEnv::new();
    fs::create_dir(env.root().join("out")).unwrap();
    fs::create_dir(env.workspace().join("target")).unwrap();
    let out = env.root().join("out");
    let flags = [
        "--allow-write",
        out.to_str().unwrap(),
        "--allow-write",
        "target",
    ];
    let output = bash(&env, &flags, "echo x > ../out/x && echo y > target/y");
    assert_eq!(output.code, Some(0), "{output:#?}");
    assert_eq!(fs::read_to_string(out.join("x")).unwrap(), "x\n");
    assert_eq!(env.read("target/y"), "y\n");
    assert_ne!(bash(&env, &flags, "echo x > beside.txt").code, Some(0));
    assert_ne!(
        bash(&env, &[], "echo x > target/z").code,
        Some(0),
        "it was for one run"
    );
    let recorded = changes(&env);
    assert_eq!(recorded.len(), 4, "{recorded:?}");
    assert_eq!(recorded[0], format!("write {}", out.display()));
    assert_eq!(
        recorded[1],
        format!("write {}", env.workspace().join("target").display())
    );
}

#[test]
fn a_write_grant_does_not_open_what_is_protected_in_it() {
    let env = TestEnv::new();
    let workspace = env.workspace();
    let flags = ["--allow-write", workspace.to_str().unwrap()];
    let output = bash(&env, &flags, "echo x > fine.txt");
    assert_eq!(output.code, Some(0), "{output:#?}");
    let mut check = env.command(std::path::Path::new(env!("CARGO_BIN_EXE_codex")));
    check
        .args(["policy", "check"])
        .args(flags)
        .args(["write", ".vscode/tasks.json"]);
    let output = codex_test_support::run(&mut check);
    assert_eq!(output.code, Some(3), "{output:#?}");
    assert!(output.stdout.contains("fs.protected"), "{output:#?}");
}

#[test]
fn a_read_grant_opens_a_secret_and_a_denial_closes_a_file() {
    let env = TestEnv::new();
    env.write_home(".ssh/key", "the secret\n");
    env.write_home(".ssh/other", "another\n");
    env.write("open.txt", "open\n");
    let key = env.home().join(".ssh/key");
    let flags = ["--allow-read", key.to_str().unwrap()];
    let output = bash(&env, &flags, "cat \"$HOME/.ssh/key\"");
    assert_eq!(
        (output.code, output.stdout.as_str()),
        (Some(0), "the secret\n"),
        "{output:#?}"
    );
    assert!(!output.stderr.contains("there is nothing"), "{output:#?}");
    let slip = ["--allow-read", "~/.ssh/kye"];
    let output = bash(&env, &slip, "true");
    assert_eq!(output.code, Some(0), "{output:#?}");
    let warned = "codex: warning: there is nothing at '~/.ssh/kye'";
    assert!(output.stderr.contains(warned), "{output:#?}");
    let output = bash(&env, &flags, "cat \"$HOME/.ssh/other\"");
    assert_ne!(output.code, Some(0), "{output:#?}");

    assert_eq!(bash(&env, &[], "cat open.txt").code, Some(0));
    for profile in ["offline", "workspace-write"] {
        let flags = ["--profile", profile, "--deny-read", "open.txt"];
        let output = bash(&env, &flags, "cat open.txt");
        assert_ne!(output.code, Some(0), "{profile}: {output:#?}");
        assert_eq!(output.stdout, "", "{profile}");
    }
    let recorded = changes(&env);
    assert_eq!(recorded[0], "read [HOME]/.ssh/key");
    let denied = format!("deny read {}", env.workspace().join("open.txt").display());
    assert_eq!(
        recorded.iter().filter(|r| **r == denied).count(),
        2,
        "{recorded:?}"
    );
}

#[test]
fn a_denied_read_holds_under_trusted_as_well() {
    let env = TestEnv::new();
    env.write("open.txt", "open\n");
    let flags = ["--profile", "trusted", "--deny-read", "open.txt"];
    let output = bash(&env, &flags, "cat open.txt");
    // Either it is enforced, or the run is refused as one that cannot be.
    assert_ne!(output.code, Some(0), "{output:#?}");
    assert_eq!(output.stdout, "");
}

#[test]
fn a_passed_variable_is_recorded_with_who_passed_it() {
    let env = TestEnv::new();
    env.write_config("[profiles.work]\nextends = \"offline\"\npass_env = [\"BAR\"]\n");
    let flags = ["--profile", "work", "--pass-env", "FOO_*"];
    let output = bash(&env, &flags, "true");
    assert_eq!(output.code, Some(0), "{output:#?}");
    assert_eq!(changes(&env), ["variable BAR", "variable FOO_*"]);
    let records = of_operation(&env, "profile_change");
    for (record, source) in records
        .iter()
        .zip(["the person's configuration", "the command line"])
    {
        let reason = record["reason"].as_str().unwrap();
        assert!(
            reason.ends_with(&format!("granted by {source}")),
            "{reason}"
        );
    }
}

#[test]
fn cargos_settings_are_taken_along_with_a_record_or_a_warning() {
    let env = TestEnv::new();
    env.write_config("[audit]\ndetail = \"full\"\n");
    env.write_home(".cargo/config.toml", "[net]\nretry = 3\n");
    let read = "cat \"$CARGO_HOME/config.toml\"; echo ran";
    let network = ["--profile", "net-read-only"];
    let output = bash(&env, &network, read);
    assert_eq!(output.stdout, "[net]\nretry = 3\nran\n", "{output:#?}");
    let of_codex = |env: &TestEnv| {
        let mut reads = of_operation(env, "file_read");
        reads.retain(|r| r["target"] == "[HOME]/.cargo/config.toml");
        reads.retain(|r| r["evidence"] == "declared");
        reads
    };
    assert_eq!(of_codex(&env)[0]["decision"], "allowed");

    let config = env.home().join(".cargo/config.toml");
    let denied = [&network[..], &["--deny-read", config.to_str().unwrap()]].concat();
    let output = bash(&env, &denied, read);
    assert_eq!(output.stdout, "ran\n", "{output:#?}");
    assert!(
        output
            .stderr
            .contains("cargo's settings in '~/.cargo/config.toml' have no effect"),
        "{output:#?}"
    );
    assert_eq!(of_codex(&env)[1]["decision"], "denied");

    std::fs::write(&config, "#".repeat((1 << 20) + 1)).unwrap();
    let output = bash(&env, &network, read);
    assert_eq!(output.stdout, "ran\n", "{output:#?}");
    assert!(output.stderr.contains("larger than 1 MiB"), "{output:#?}");
}

#[test]
fn an_exec_grant_lets_one_program_start() {
    let env = TestEnv::new();
    let direct = ["sandbox", "--allow-exec", "tar", "--", "tar", "--version"];
    let output = run_codex(&env, &direct);
    assert_eq!(output.code, Some(0), "{output:#?}");
    let output = bash(&env, &["--allow-exec", "tar"], "tar --version");
    assert_eq!(output.code, Some(0), "{output:#?}");
    let output = bash(&env, &["--allow-exec", "tar"], "gzip --version");
    assert_ne!(output.code, Some(0), "{output:#?}");
    let recorded = changes(&env);
    assert!(
        recorded[0].starts_with("exec /") && recorded[0].ends_with("/tar"),
        "{recorded:?}"
    );
    let error = told_alone(
        &run_codex(&env, &["sandbox", "--allow-exec", "no-such", "--", "true"]),
        2,
    );
    assert!(error.contains("no-such"), "{error}");
}

#[test]
fn another_profile_is_recorded_before_anything_is_done() {
    let env = TestEnv::new();
    for profile in ["workspace-write", "trusted"] {
        assert_eq!(bash(&env, &["--profile", profile], "true").code, Some(0));
    }
    assert_eq!(bash(&env, &[], "true").code, Some(0));
    assert_eq!(changes(&env), ["profile WorkspaceWrite", "profile Trusted"]);
    let lines = env.audit_lines();
    assert_eq!(lines[0]["operation"], "profile_change");
    assert_eq!(lines[0]["profile"], "WorkspaceWrite");
}

#[test]
fn the_other_spellings_of_a_profile_mean_it() {
    let cases: [(&[&str], &str); 4] = [
        (&["--sandbox", "read-only"], "Offline"),
        (&["--sandbox", "workspace-write"], "WorkspaceWrite"),
        (&["--sandbox", "danger-full-access"], "Trusted"),
        (&["--full-auto"], "WorkspaceWrite"),
    ];
    for (flags, profile) in cases {
        let env = TestEnv::new();
        assert_eq!(bash(&env, flags, "true").code, Some(0));
        assert_eq!(env.audit_lines().last().unwrap()["profile"], profile);
    }
}

#[test]
fn a_project_cannot_widen_its_own_rights() {
    let env = TestEnv::new();
    env.write(
        ".codex/config.toml",
        "profile = \"trusted\"\nsandbox_mode = \"danger-full-access\"\nallow_write = [\"/\"]\n",
    );
    let output = bash(&env, &[], "echo x > new.txt");
    assert_ne!(output.code, Some(0), "{output:#?}");
    assert!(!env.workspace().join("new.txt").exists());
    assert_eq!(env.audit_lines()[0]["profile"], "Offline");
}

#[test]
fn exec_records_its_grants_as_well() {
    let env = TestEnv::new();
    let _server = model(&env, vec![says("x")]);
    let output = run(&mut exec(
        &env,
        &["--allow-exec", "tar", "--allow-write", "a", "hi"],
    ));
    assert_eq!(output.code, Some(0), "{output:#?}");
    let recorded = changes(&env);
    assert_eq!(recorded.len(), 2, "{recorded:?}");
    assert!(recorded.iter().any(|r| r.ends_with("/tar")), "{recorded:?}");
    assert!(
        recorded.iter().any(|r| r.ends_with("/workspace/a")),
        "{recorded:?}"
    );
}
