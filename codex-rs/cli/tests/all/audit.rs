//! `codex audit` on the log of a real run.

use codex_test_support::{TestEnv, json_lines};
use serde_json::Value;

use super::fixture::run_codex;

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
