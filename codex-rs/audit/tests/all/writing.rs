//! What is written, where, and what is never written.

use std::fs::{self, OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use codex_audit::chain::{self, GENESIS};
use codex_audit::record::Record;
use codex_audit::verify::Damage;
use codex_audit::writer::{AuditLog, Options, Written};
use codex_audit::{AuditError, Fault};
use codex_protocol::operation::Operation;
use codex_protocol::record::{Entry, Recorder};
use serde_json::json;

use super::fixture::{broken, denied, entry, log_of, open, records, whole};

#[test]
fn a_record_is_written_as_documented() {
    fn clock() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(1_767_323_045_678)
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("deep/er/audit.jsonl");
    let options = Options {
        home: Some(PathBuf::from("/home/ada")),
        clock,
        ..Options::default()
    };
    let log = AuditLog::open(&path, options).unwrap();
    let receipt = log
        .append(&Entry {
            target: "/home/ada/x".to_owned(),
            pid: Some(7),
            exe: Some("/home/bob/bin/x".to_owned()),
            count: Some(2),
            detail: Some(json!({"z": 1, "prev": "/home/ada", "hash": ["--token", "x"]})),
            ..denied(Operation::FileWrite, "")
        })
        .unwrap();
    assert_eq!(receipt.seq, Some(1));
    let body = r#"{"v":1,"seq":1,"timestamp":"2026-01-02T03:04:05.678Z","session_id":"session-1","task_id":"task-1","agent_type":"main","profile":"Offline","operation":"file_write","target":"[HOME]/x","decision":"denied","reason":"Offline profile: the network cannot be reached","rule":"net.offline","evidence":"observed","pid":7,"exe":"/home/[USER]/bin/x","count":2,"detail":{"z":1,"prev":"[HOME]","hash":["--token","[REDACTED]"]}"#;
    let hash = chain::hash(&GENESIS, body.as_bytes());
    let line = format!("{body},\"prev\":\"{GENESIS}\",\"hash\":\"{hash}\"}}");
    assert_eq!(fs::read_to_string(&path).unwrap(), format!("{line}\n"));
    let record = Record::parse(line.as_bytes()).unwrap();
    assert_eq!(serde_json::to_string(&record).unwrap(), line);

    let mode = |p: &Path| fs::metadata(p).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    assert_eq!(mode(&directory.path().join("deep")), 0o700);
}

#[test]
fn what_one_log_wrote_is_known_for_the_report() {
    let (_directory, path) = log_of(2);
    let log = open(&path);
    assert_eq!(log.written(), Written::default());
    let read = Entry {
        operation: Operation::FileRead,
        ..entry("/etc/hosts")
    };
    assert_eq!(log.append(&read).unwrap().seq, None);
    assert_eq!(log.append(&entry("/bin/ls")).unwrap().seq, Some(3));
    for _ in 0..2 {
        log.append(&denied(Operation::NetworkAccess, "u:1 --token x"))
            .unwrap();
    }
    let refused_read = denied(Operation::FileRead, "/etc/shadow");
    assert_eq!(log.append(&refused_read).unwrap().seq, Some(6));
    assert_eq!(
        log.written(),
        Written {
            first_seq: Some(3),
            last_seq: Some(6)
        }
    );
    let reported = serde_json::to_value(log.denied().list).unwrap();
    let reason = "Offline profile: the network cannot be reached";
    assert_eq!(
        reported,
        json!([
            {"operation": "network_access", "target": "u:1 --token [REDACTED]", "reason": reason,
             "rule": "net.offline", "evidence": "observed", "count": 2, "seq": 4},
            {"operation": "file_read", "target": "/etc/shadow", "reason": reason,
             "rule": "net.offline", "evidence": "observed", "count": 1, "seq": 6},
        ])
    );
    assert_eq!(whole(&path).records, 6);
    assert_eq!(log.mask("a\u{7}"), "a\\u{7}");
}

#[test]
fn a_torn_line_is_moved_aside_and_told_of() {
    let (directory, path) = log_of(3);
    let log = open(&path);
    let tear = |bytes: &[u8]| {
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(bytes).unwrap();
    };
    let torn = br#"{"v":1,"seq":4,"timestamp":"2026-"#;
    tear(torn);
    assert_eq!(broken(&path).what, Damage::Cut);
    // Opening alone changes nothing: there is no record yet to tell of it.
    let other = open(&path);
    assert_eq!(broken(&path).what, Damage::Cut);
    let aside = directory.path().join("audit.jsonl.torn-1");
    assert!(!aside.exists());

    let with_detail = Entry {
        detail: Some(json!({"cwd": "/"})),
        ..entry("after")
    };
    assert_eq!(log.append(&with_detail).unwrap().seq, Some(4));
    assert_eq!(fs::read(&aside).unwrap(), torn);
    tear(b"{\"v");
    assert_eq!(other.append(&entry("again")).unwrap().seq, Some(5));
    assert_eq!(whole(&path).records, 5);
    let told = |n: usize| records(&path)[n].detail.clone().unwrap();
    let second = directory.path().join("audit.jsonl.torn-2");
    assert_eq!(
        told(3),
        json!({"cwd": "/", "recovered": {"bytes": torn.len(), "file": aside}})
    );
    assert_eq!(told(4), json!({"recovered": {"bytes": 3, "file": second}}));
    assert_eq!(log.append(&entry("on")).unwrap().seq, Some(6));
    assert_eq!(records(&path)[5].detail, None);
}

#[test]
fn what_is_no_log_of_ours_is_refused_and_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let refused = |name: &str| -> AuditError {
        let error = AuditLog::open(&at(name), Options::default()).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(name) && text.contains("; "), "{text}");
        error
    };
    // Whatever the umask: that others can write to a file is looked at first.
    let own = |name: &str, text: &str| {
        fs::write(at(name), text).unwrap();
        fs::set_permissions(at(name), Permissions::from_mode(0o600)).unwrap();
    };
    own("notes", "my notes");
    assert!(matches!(refused("notes").fault, Fault::Foreign));
    assert_eq!(fs::read_to_string(at("notes")).unwrap(), "my notes");
    own("lines", "{}\n");
    assert!(matches!(refused("lines").fault, Fault::Foreign));

    fs::write(at("target"), "").unwrap();
    symlink(at("target"), at("link")).unwrap();
    assert!(matches!(refused("link").fault, Fault::Symlink));
    symlink(at("nowhere"), at("dangling")).unwrap();
    assert!(matches!(refused("dangling").fault, Fault::Symlink));
    assert!(!at("nowhere").exists());
    fs::create_dir(at("directory")).unwrap();
    assert!(matches!(refused("directory").fault, Fault::NotAFile));
    assert!(matches!(refused("notes/log").fault, Fault::Directory(_)));

    for mode in [0o620, 0o602, 0o666] {
        fs::write(at("open"), "").unwrap();
        fs::set_permissions(at("open"), Permissions::from_mode(mode)).unwrap();
        assert!(matches!(refused("open").fault, Fault::Writable(m) if m == mode));
    }
    let null = AuditLog::open(Path::new("/dev/null"), Options::default()).unwrap_err();
    // An ordinary user does not own it either way; what it is comes first.
    assert!(matches!(null.fault, Fault::NotAFile), "{null}");
}

#[test]
fn no_secret_reaches_the_file() {
    let canaries: Vec<String> = [
        ["sk-", "canary1canary2canary3"],
        ["ghp_", "canary4canary5canary6canary7canary8x"],
        ["gho_", "canary4canary5canary6canary7canary8y"],
        ["github_pat_", "11CANARY0canary_canary9canary"],
        ["AKIA", "CANARYCANARY1234"],
        ["xoxb-", "123456-canary-canary"],
        ["glpat-", "canary-canary-canary1"],
        ["npm_", "canary1canary2canary3canary4canary56"],
        ["pypi-", "AgEIcHlwaS5vcmccanarycanary"],
        ["AIza", "canarycanarycanarycanarycanarycanar"],
        [
            "ey",
            "JjYW5hcnkiOiJ4In0.eyJjYW5hcnkiOiJ5In0.canarycanarycanary",
        ],
    ]
    .iter()
    .map(|parts| parts.concat())
    .collect();
    let named = "hunter2-plain-canary";
    let (_directory, path) = log_of(0);
    let log = open(&path);
    let append = |text: String| {
        log.append(&Entry {
            target: text.clone(),
            reason: format!("because of {text}"),
            exe: Some(text.clone()),
            rule: text.clone(),
            detail: Some(json!({"argv": ["x", text.clone()], "in": {"deep": [{"er": text}]}})),
            ..entry("")
        })
        .unwrap();
    };
    for canary in &canaries {
        append(canary.clone());
        append(format!("run '{canary}' and\n{canary}\u{1b}[0m"));
    }
    for text in [
        format!("gh --token {named}"),
        format!("gh --password={named}"),
        format!("API_KEY={named} cmd"),
        format!("curl -H 'Authorization: Bearer {named}' x"),
        format!("curl https://user:{named}@example.org/"),
        format!("curl 'https://example.org/?a=b&access_token={named}&c=d'"),
        format!("{{\"password\": \"{named}\"}}"),
        format!("-----BEGIN {}\n{named}\n", "RSA PRIVATE KEY-----"),
    ] {
        append(text);
    }
    log.append(&Entry {
        detail: Some(json!({"argv": ["gh", "--token", named], "env": {"DB_PASSWORD": named}})),
        ..entry("gh")
    })
    .unwrap();
    let written = fs::read_to_string(&path).unwrap();
    for canary in canaries.iter().map(String::as_str).chain([named]) {
        assert!(!written.contains(canary), "{canary}");
    }
    assert!(written.lines().all(|l| !l.contains("canary")));
    assert!(!written.contains('\u{1b}') && !written.contains("\\u001b"));
    assert_eq!(whole(&path).records, 2 * 11 + 9);
}
