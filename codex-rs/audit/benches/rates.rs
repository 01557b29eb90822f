//! How fast the log is written and checked: `cargo bench -p codex-audit`.
//!
//! Logs are made in the system's temporary directory; set `TMPDIR` to measure another disk. Nothing
//! is brought to the disk while it is measured, but for one line that says so.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a program for people that measures"
)]

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};
use std::{env, fs};

use codex_audit::stats::Stats;
use codex_audit::verify::{Expected, Verdict, verify};
use codex_audit::writer::{AuditLog, Options};
use codex_protocol::ids::{AgentType, SessionId, TaskId};
use codex_protocol::operation::{Evidence, Operation, Outcome};
use codex_protocol::record::{Entry, Recorder as _, Subject};
use codex_protocol::security_profile::SecurityProfile;
use serde_json::json;

/// Records of the log that is verified.
const MANY: u64 = 400_000;
/// Records that each writer appends.
const EACH: u64 = 50_000;
const WRITERS: u64 = 8;
/// Each figure is the best of so many.
const ROUNDS: usize = 5;

/// Where a writer's process finds its log.
const LOG: &str = "CODEX_AUDIT_BENCH_LOG";

/// The intent of a command as `codex exec` records it.
fn entry() -> Entry {
    Entry {
        subject: Subject {
            session_id: SessionId::new("01a20d74-ed05-730e-8d26-8a136e9590b3"),
            task_id: TaskId::new("01a20d74-ed05-730e-8d26-8a136e9590b4"),
            agent_type: AgentType::main(),
            profile: SecurityProfile::WorkspaceWrite,
        },
        operation: Operation::ProcessSpawn,
        target: "/usr/bin/bash".to_owned(),
        outcome: Outcome::Allowed,
        reason: "WorkspaceWrite profile: programs may start inside the sandbox".to_owned(),
        rule: "exec.sandboxed".to_owned(),
        evidence: Evidence::Declared,
        pid: None,
        exe: None,
        count: None,
        detail: Some(json!({
            "phase": "intent",
            "argv": ["bash", "-c", "cargo test --workspace 2>&1 | tail -40"],
            "cwd": "/home/ada/src/project",
        })),
    }
}

fn open(path: &Path) -> AuditLog {
    let options = Options {
        home: Some("/home/ada".into()),
        key: Some(path.with_file_name("audit.key")),
        sync: |_| Ok(()),
        ..Options::default()
    };
    AuditLog::open(path, options).unwrap()
}

fn append(log: &AuditLog, count: u64) {
    let entry = entry();
    for _ in 0..count {
        log.append(&entry).unwrap();
    }
}

/// The shortest of several times.
fn best(mut timed: impl FnMut() -> Duration) -> Duration {
    (0..ROUNDS).map(|_| timed()).min().unwrap()
}

/// The time that this thread had a processor, for what uses one: other programs take part of it.
fn processor(done: impl FnOnce()) -> Duration {
    let spent = || -> Option<Duration> {
        let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        let nanoseconds = text.split(' ').next()?.parse().ok()?;
        Some(Duration::from_nanos(nanoseconds))
    };
    let before = spent();
    let passed = timed(done);
    match (before, spent()) {
        (Some(before), Some(after)) => after - before,
        _ => passed,
    }
}

fn timed(done: impl FnOnce()) -> Duration {
    let since = Instant::now();
    done();
    since.elapsed()
}

fn rate(what: &str, count: u64, time: Duration) {
    let each = time.as_secs_f64() * 1e6 / count as f64;
    let rate = count as f64 / time.as_secs_f64();
    println!("{what:<44} {each:>9.2} µs a record {rate:>12.0} records/s");
}

fn writer(path: &Path) -> Child {
    Command::new(env::current_exe().unwrap())
        .env(LOG, path)
        .spawn()
        .unwrap()
}

fn main() {
    if let Some(path) = env::var_os(LOG) {
        return append(&open(Path::new(&path)), EACH);
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    // `cargo bench -p codex-audit -- verify` leaves out the writers.
    if env::args().all(|argument| argument != "verify") {
        writing(&path);
    }
    verifying(&path);
}

fn writing(path: &Path) {
    let time = best(|| {
        let _ = fs::remove_file(path);
        let log = open(path);
        timed(|| append(&log, EACH))
    });
    rate("append, one writer, no fsync", EACH, time);

    let time = best(|| {
        let _ = fs::remove_file(path);
        drop(open(path));
        timed(|| {
            let writers: Vec<Child> = (0..WRITERS).map(|_| writer(path)).collect();
            for mut writer in writers {
                assert!(writer.wait().unwrap().success());
            }
        })
    });
    rate(
        "append, 8 processes on one log, no fsync",
        WRITERS * EACH,
        time,
    );

    let synced = Options {
        sync: File::sync_data,
        ..Options::default()
    };
    let log = AuditLog::open(&path.with_file_name("synced.jsonl"), synced).unwrap();
    let denied = Entry {
        outcome: Outcome::Denied,
        ..entry()
    };
    let time = timed(|| {
        for _ in 0..100 {
            log.append(&denied).unwrap();
        }
    });
    rate("append a denial, with fsync", 100, time);
}

fn verifying(path: &Path) {
    let _ = fs::remove_file(path);
    append(&open(path), MANY);
    let size = fs::metadata(path).unwrap().len();
    println!(
        "a log of {} MB, {} bytes a record:",
        size >> 20,
        size / MANY
    );
    let records = MANY + MANY / 1000;
    let time = best(|| {
        processor(|| {
            let verdict = verify(path, &Expected::default()).unwrap();
            assert!(matches!(verdict, Verdict::Whole(_)));
        })
    });
    rate("verify, one core", records, time);
    let time = best(|| {
        processor(|| {
            let stats = Stats::of(path, &Default::default()).unwrap();
            assert_eq!(stats.records, records);
        })
    });
    rate("read and count (audit stats), one core", records, time);

    let _ = fs::remove_file(path);
    let log = open(path);
    for _ in 0..5000 {
        append(&log, 2);
        log.checkpoint().unwrap();
    }
    let time = best(|| {
        processor(|| {
            let verdict = verify(path, &Expected::default()).unwrap();
            assert!(matches!(verdict, Verdict::Whole(_)));
        })
    });
    rate("verify, runs of two records and a checkpoint", 15_000, time);
}
