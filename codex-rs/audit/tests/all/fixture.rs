//! Logs to test with.

use std::fs;
use std::path::{Path, PathBuf};

use codex_audit::record::Record;
use codex_audit::verify::{Broken, Expected, Verdict, Whole, verify};
use codex_audit::writer::{AuditLog, Options};
use codex_protocol::ids::{AgentType, SessionId, TaskId};
use codex_protocol::operation::{Evidence, Operation, Outcome};
use codex_protocol::record::{Entry, Recorder, Subject};
use codex_protocol::security_profile::SecurityProfile;
use tempfile::TempDir;

pub(super) fn entry(target: &str) -> Entry {
    Entry {
        subject: Subject {
            session_id: SessionId::new("session-1"),
            task_id: TaskId::new("task-1"),
            agent_type: AgentType::main(),
            profile: SecurityProfile::Offline,
        },
        operation: Operation::ProcessSpawn,
        target: target.to_owned(),
        outcome: Outcome::Allowed,
        reason: "Offline profile: allowed".to_owned(),
        rule: "exec.listed".to_owned(),
        evidence: Evidence::Declared,
        pid: None,
        exe: None,
        count: None,
        detail: None,
    }
}

pub(super) fn denied(operation: Operation, target: &str) -> Entry {
    Entry {
        operation,
        outcome: Outcome::Denied,
        reason: "Offline profile: the network cannot be reached".to_owned(),
        rule: "net.offline".to_owned(),
        evidence: Evidence::Observed,
        ..entry(target)
    }
}

pub(super) fn open(path: &Path) -> AuditLog {
    AuditLog::open(path, Options::default()).unwrap()
}

/// What signs the log beside it with the key `key` in `directory`.
pub(super) fn signed(directory: &Path) -> Options {
    Options {
        key: Some(directory.join("keys/audit.key")),
        ..Options::default()
    }
}

/// A log with `n` records, in a directory that goes with the test.
pub(super) fn log_of(n: usize) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    let log = open(&path);
    for i in 1..=n {
        log.append(&entry(&format!("/bin/{i}"))).unwrap();
    }
    (directory, path)
}

pub(super) fn verdict(path: &Path) -> Verdict {
    verify(path, &Expected::default()).unwrap()
}

#[track_caller]
pub(super) fn whole(path: &Path) -> Whole {
    match verdict(path) {
        Verdict::Whole(whole) => whole,
        Verdict::Broken(broken) => panic!("{broken:?}"),
    }
}

#[track_caller]
pub(super) fn broken(path: &Path) -> Broken {
    match verdict(path) {
        Verdict::Broken(broken) => broken,
        Verdict::Whole(whole) => panic!("{whole:?}"),
    }
}

pub(super) fn lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(str::to_owned).collect()
}

pub(super) fn records(path: &Path) -> Vec<Record> {
    let lines = lines(path);
    let read = lines.iter().map(|l| Record::parse(l.as_bytes()).unwrap());
    read.collect()
}

/// RFC 4648, not by the crate that the log uses.
pub(super) fn base64_of(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let word =
            group.iter().fold(0_u32, |w, b| w << 8 | u32::from(*b)) << (8 * (3 - group.len()));
        for n in 0..4 {
            text.push(if n <= group.len() {
                DIGITS[(word >> (18 - 6 * n) & 63) as usize].into()
            } else {
                '='
            });
        }
    }
    text
}
