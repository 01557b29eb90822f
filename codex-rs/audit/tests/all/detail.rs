//! How much of each act is kept.

use codex_audit::detail::Detail;
use codex_audit::record::{MAX_LINE, Record};
use codex_audit::writer::{AuditLog, Options};
use codex_protocol::operation::Operation;
use codex_protocol::record::{Entry, Recorder as _};
use serde_json::json;

use super::fixture::{denied, entry, lines, records, whole};

/// What a log of this detail keeps of `entries`.
fn kept(detail: Detail, entries: &[Entry]) -> Vec<Record> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    let options = Options {
        detail,
        sync: |_| Ok(()),
        ..Options::default()
    };
    let log = AuditLog::open(&path, options).unwrap();
    for entry in entries {
        log.append(entry).unwrap();
    }
    whole(&path);
    assert!(lines(&path).iter().all(|line| line.len() < MAX_LINE));
    records(&path)
}

const ALL: [Detail; 3] = [Detail::Minimal, Detail::Normal, Detail::Full];

#[test]
fn each_level_keeps_what_the_one_below_it_keeps_and_more() {
    let spawn = Entry {
        exe: Some("/bin/sh".to_owned()),
        pid: Some(7),
        detail: Some(json!({
            "phase": "outcome", "intent": 3, "argv": ["tar", "--version"], "cwd": "/srv",
            "outcome": {"status": 1, "timed_out": false, "failed": "no such file"},
        })),
        ..denied(Operation::ProcessSpawn, "/bin/tar")
    };
    let fetch = entry("GET https://h.example/a/b?name=ada#part");
    let read = Entry {
        operation: Operation::FileRead,
        ..entry("/srv/notes")
    };
    let entries = [spawn.clone(), fetch.clone(), read];

    let minimal = kept(Detail::Minimal, &entries);
    let [spawned, fetched] = minimal.as_slice() else {
        panic!("{minimal:?}");
    };
    assert_eq!(
        spawned.detail,
        Some(
            json!({"phase": "outcome", "intent": 3, "outcome": {"status": 1, "timed_out": false}})
        )
    );
    assert_eq!((spawned.pid, &spawned.exe), (Some(7), &None));
    assert_eq!(
        (&*spawned.target, &*spawned.reason, &*spawned.rule),
        ("/bin/tar", &*spawn.reason, "net.offline")
    );
    assert_eq!(fetched.target, "GET https://h.example/a/b");
    assert_eq!(fetched.detail, None);

    let normal = kept(Detail::Normal, &entries);
    let [spawned, fetched] = normal.as_slice() else {
        panic!("{normal:?}");
    };
    assert_eq!((&spawned.detail, &spawned.exe), (&spawn.detail, &spawn.exe));
    assert_eq!(fetched.target, fetch.target);

    let full = kept(Detail::Full, &entries);
    assert_eq!(full.len(), 3);
    assert_eq!(full[0].detail, spawn.detail);
    assert_eq!(
        (full[2].operation, &*full[2].target),
        (Operation::FileRead, "/srv/notes")
    );
}

#[test]
fn the_length_of_what_is_kept_has_a_limit_at_each_level() {
    let long = "\"\\ ".repeat(30_000);
    let entry = Entry {
        reason: long.clone(),
        exe: Some(long.clone()),
        detail: Some(json!({ "all": vec![long.clone(); 256], "more": {"n": 1} })),
        ..entry(&long)
    };
    for (detail, limit) in ALL.into_iter().zip([256, 4096, 32768]) {
        let record = kept(detail, std::slice::from_ref(&entry)).remove(0);
        for text in [record.target, record.reason] {
            // Less by no more than the note that says how much is left out.
            assert!((limit - 32..=limit).contains(&text.len()), "{}", text.len());
        }
    }
}

#[test]
fn secrets_are_masked_at_each_level() {
    let canary = ["ghp_", "canary4canary5canary6canary7canary8x"].concat();
    let entry = Entry {
        reason: format!("because of {canary}"),
        exe: Some(format!("/bin/{canary}")),
        detail: Some(json!({"phase": canary, "argv": [canary], canary.clone(): 1})),
        ..entry(&format!("https://h.example/?token={canary}"))
    };
    for detail in ALL {
        let record = kept(detail, std::slice::from_ref(&entry)).remove(0);
        let line = serde_json::to_string(&record).unwrap();
        assert!(!line.contains("canary"), "{line}");
    }
}

/// Also of what no part of codex records yet.
#[test]
fn secrets_are_masked_whatever_the_operation_and_the_place() {
    let canary = "hunter2-canary";
    let mut entries = Vec::new();
    for operation in Operation::ALL {
        let text = format!("tool(--token {canary}, 'Authorization: Bearer {canary}')");
        entries.push(Entry {
            reason: format!("https://u:{canary}@h.example/?api_key={canary}"),
            rule: format!("token={canary}"),
            exe: Some(format!("/bin/x --password={canary}")),
            detail: Some(json!({
                "server": "files", "tool": "write", "phase": format!("secret={canary}"),
                "arguments": {"api_key": canary, "headers": {"Authorization": format!("Bearer {canary}")}},
                "argv": ["x", "--token", canary], "env": [format!("DB_PASSWORD={canary}")],
                "error": format!("GET https://h.example/?sig={canary} failed"),
            })),
            ..denied(*operation, &text)
        });
    }
    for detail in ALL {
        let records = kept(detail, &entries);
        assert_eq!(records.len(), Operation::ALL.len());
        for record in records {
            let line = serde_json::to_string(&record).unwrap();
            assert!(!line.contains("canary"), "{line}");
        }
    }
}
