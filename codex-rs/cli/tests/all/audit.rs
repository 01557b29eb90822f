//! `codex audit` on the log of a real run.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use codex_test_support::{RunOutput, TestEnv, json_lines, run};
use serde_json::{Value, json};

use super::fixture::{binary, each_user, run_codex, told};

#[track_caller]
fn audit(env: &TestEnv, arguments: &[&str]) -> String {
    let output = run_codex(env, &[&["audit"], arguments].concat());
    assert_eq!(output.code, Some(0), "{output:#?}");
    output.stdout
}

#[test]
fn a_log_is_counted_explained_exported_and_its_head_is_known_again() {
    let env = TestEnv::new();
    // No program of the Offline list.
    let refused = run_codex(&env, &["sandbox", "--", "tar", "--version"]);
    assert_eq!(refused.code, Some(126), "{refused:#?}");
    let ran = run_codex(&env, &["sandbox", "--print-audit-head", "--", "true"]);
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    let records = json_lines(&audit(&env, &["show", "--json"]));
    let last = records.last().unwrap();

    let head = audit(&env, &["head"]);
    assert_eq!(ran.stderr, format!("audit head: {head}"));
    let (seq, hash) = head.trim().split_once(' ').unwrap();
    assert_eq!(
        (seq, Some(hash)),
        (&*last["seq"].to_string(), last["hash"].as_str())
    );
    audit(&env, &["verify", "--expect-head", hash, "--min-seq", seq]);

    let denied = records.iter().find(|r| r["decision"] == "denied").unwrap();
    let stats: Value = serde_json::from_str(&audit(&env, &["stats", "--json"])).unwrap();
    assert_eq!(stats["records"], records.len());
    let rule = denied["rule"].as_str().unwrap();
    assert!(
        stats["denials_by_rule"][rule].as_u64() >= Some(1),
        "{stats}"
    );
    assert!(audit(&env, &["stats"]).contains(rule));

    let explained = audit(&env, &["explain", &denied["seq"].to_string()]);
    assert!(explained.contains(rule), "{explained}");
    let reason = denied["reason"].as_str().unwrap();
    let why = reason.split(" (to allow it: ").next().unwrap();
    assert!(explained.contains(why), "{explained}");
    let missing = run_codex(&env, &["audit", "explain", "999999"]);
    assert_eq!(missing.code, Some(2), "{missing:#?}");

    assert_eq!(
        json_lines(&audit(&env, &["export", "--format", "jsonl"])),
        records
    );
    let csv = audit(&env, &["export", "--format", "csv"]);
    assert_eq!(csv.lines().count(), records.len() + 1);
    let events = json_lines(&audit(&env, &["export", "--format", "ocsf"]));
    assert_eq!(events.len(), records.len());
    assert!(events.iter().any(|e| e["action_id"] == 2));

    let newest = json_lines(&audit(&env, &["tail", "-n", "2", "--json"]));
    assert_eq!(newest, records[records.len() - 2..]);
}

#[track_caller]
fn verified(env: &TestEnv, arguments: &[&str], code: i32) -> Value {
    let output = run_codex(env, &[&["audit", "verify", "--json"], arguments].concat());
    assert_eq!(output.code, Some(code), "{output:#?}");
    serde_json::from_str(&output.stdout).unwrap()
}

fn ran(env: &TestEnv, arguments: &[&str]) {
    let output = run_codex(env, &[&["sandbox"], arguments, &["--", "true"]].concat());
    assert_eq!(output.code, Some(0), "{output:#?}");
}

#[test]
fn every_run_is_signed_and_another_key_is_found_out() {
    let env = TestEnv::new();
    let none = run_codex(&env, &["audit", "key"]);
    assert_eq!(none.code, Some(1), "{none:#?}");
    ran(&env, &[]);
    ran(&env, &[]);
    let key = audit(&env, &["key"]).trim().to_owned();
    let found = verified(&env, &[], 0);
    assert_eq!(found["key"], key);
    assert_eq!(
        (&found["checkpoints"], &found["signed_to"]),
        (&2.into(), &5.into())
    );
    verified(&env, &["--key", &key], 0);
    let told = audit(&env, &["verify"]);
    assert!(
        told.contains("signed up to record 5") && told.contains("not proved"),
        "{told}"
    );
    let kept = env.codex_home().join("keys/audit.key");
    let mode = fs::metadata(&kept).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);

    // Nothing that runs inside reads it, whatever the profile but Trusted.
    let secret = fs::read_to_string(&kept).unwrap();
    let script = format!("cat {0}; cat < {0}; head -c 9 {0}", kept.display());
    for profile in ["offline", "workspace-write"] {
        let output = run_codex(
            &env,
            &["sandbox", "--profile", profile, "--", "bash", "-c", &script],
        );
        let all = format!("{}{}", output.stdout, output.stderr);
        assert!(
            !all.contains(secret.trim_end()) && !all.contains("PRIVATE"),
            "{all}"
        );
    }

    // A key that the old one names.
    let second = audit(&env, &["key", "--new"]).trim().to_owned();
    assert_ne!(second, key);
    ran(&env, &[]);
    let found = verified(&env, &[], 0);
    assert_eq!(found["key"], second);
    assert_eq!(found["key_changes"][0]["vouched"], true);
    verified(&env, &["--key", &key], 0);

    // A log of the same records by somebody else.
    let other = TestEnv::new();
    ran(&other, &[]);
    let theirs = fs::read(other.codex_home().join("audit/audit.jsonl")).unwrap();
    let log = env.codex_home().join("audit/audit.jsonl");
    let own = fs::read(&log).unwrap();
    fs::write(&log, theirs).unwrap();
    let found = verified(&env, &[], 1);
    assert_eq!(found["damage"], "bad_signature");
    fs::write(&log, own).unwrap();
    let wrong = run_codex(&env, &["audit", "verify", "--key", "x"]);
    assert_eq!(wrong.code, Some(2), "{wrong:#?}");
}

#[test]
fn a_large_log_is_continued_in_further_files_that_are_all_read() {
    let env = TestEnv::new();
    env.write_config("[audit]\nmax_size = 65536\ndetail = \"full\"\n");
    let long = "x y ".repeat(5000);
    for _ in 0..4 {
        let output = run_codex(&env, &["sandbox", "--", "echo", &long]);
        assert_eq!(output.code, Some(0), "{output:#?}");
    }
    let closed = fs::read_dir(env.codex_home().join("audit"))
        .unwrap()
        .count()
        - 1;
    assert!(closed >= 1, "{closed}");
    let found = verified(&env, &[], 0);
    let records = json_lines(&audit(&env, &["show", "--json"]));
    assert_eq!(found["records"], records.len());
    assert!(
        records
            .iter()
            .map(|r| r["seq"].as_u64())
            .eq((1..=records.len() as u64).map(Some))
    );
    let count = |arguments: &[&str]| audit(&env, arguments).lines().count();
    assert_eq!(count(&["export", "--format", "jsonl"]), records.len());
    assert_eq!(count(&["tail", "-n", "1000", "--json"]), records.len());
    let stats: Value = serde_json::from_str(&audit(&env, &["stats", "--json"])).unwrap();
    assert_eq!(stats["records"], records.len());
    assert!(audit(&env, &["explain", "1"]).contains("echo"));
    // Nothing inside reads a closed file either.
    let script = format!("cat {}/audit/*", env.codex_home().display());
    let output = run_codex(&env, &["sandbox", "--", "bash", "-c", &script]);
    assert!(!output.stdout.contains("\"seq\""), "{output:#?}");
}

#[test]
fn the_log_keeps_as_much_detail_as_is_asked_for() {
    let arguments = |detail: &str| {
        let env = TestEnv::new();
        ran(&env, &["-c", &format!("audit.detail={detail}")]);
        env.audit_lines()[0]["detail"].clone()
    };
    assert_eq!(arguments("minimal"), json!({ "phase": "intent" }));
    assert_eq!(arguments("normal")["argv"], json!(["true"]));
    assert_eq!(arguments("full")["argv"], json!(["true"]));
}

/// What `codex sandbox` does when it would make a directory, as a shell with these words before it
/// starts it.
fn makes_a_directory(env: &TestEnv, before: &str) -> RunOutput {
    let script = format!("{before}; exec \"$0\" \"$@\"");
    let mut command = env.command(Path::new("/bin/sh"));
    command.args(["-c", &script]).arg(binary());
    command.args([
        "sandbox",
        "--profile",
        "workspace-write",
        "--",
        "mkdir",
        "made",
    ]);
    run(&mut command)
}

#[test]
fn nothing_is_done_where_the_log_has_no_room_or_may_not_be_written() {
    let env = TestEnv::new();
    // A limit on the size of files stands for a full disk.
    let output = makes_a_directory(&env, "trap '' XFSZ; ulimit -f 0");
    let error = told(&output, 3);
    assert!(error.contains("free space"), "{error}");
    assert!(!env.workspace().join("made").exists());
    // Half a record at most was written, and is gone.
    assert_eq!(makes_a_directory(&env, ":").code, Some(0));
    assert_eq!(verified(&env, &[], 0)["records"], env.audit_lines().len());

    // Permissions do not hold root back, so this is for an ordinary user.
    let env = each_user().pop().unwrap();
    let shut = |path: &str, mode| {
        let path = env.codex_home().join(path);
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    };
    shut("", 0o500);
    told(&makes_a_directory(&env, ":"), 3);
    shut("", 0o700);
    assert_eq!(makes_a_directory(&env, ":").code, Some(0));
    fs::remove_dir(env.workspace().join("made")).unwrap();
    shut("audit/audit.jsonl", 0o400);
    let error = told(&makes_a_directory(&env, ":"), 3);
    assert!(error.contains("cannot be opened"), "{error}");
    assert!(!env.workspace().join("made").exists());
    // A run whose key is gone and cannot be made is recorded, and says that it is not signed.
    shut("audit/audit.jsonl", 0o600);
    fs::remove_file(env.codex_home().join("keys/audit.key")).unwrap();
    shut("keys", 0o500);
    let output = makes_a_directory(&env, ":");
    assert_eq!(output.code, Some(0), "{output:#?}");
    assert!(output.stderr.contains("not signed"), "{output:#?}");
    shut("keys", 0o700);
}
