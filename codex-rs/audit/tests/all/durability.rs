//! What is on the disk when, seen by what is asked of the disk.

use std::cell::Cell;
use std::fs::File;
use std::io;

use codex_audit::checkpoint::EVERY;
use codex_audit::writer::{AuditLog, Options, Rotation, SMALLEST_FILE};
use codex_protocol::operation::Operation;
use codex_protocol::record::{Entry, Recorder as _};

use super::fixture::{denied, entry, records, signed, whole};

thread_local! {
    /// How often the disk was asked to keep what it has, by this test.
    static SYNCED: Cell<u64> = const { Cell::new(0) };
    /// Whether the disk fails.
    static FAILS: Cell<bool> = const { Cell::new(false) };
}

fn disk(_: &File) -> io::Result<()> {
    if FAILS.get() {
        return Err(io::Error::other("the disk is gone"));
    }
    SYNCED.set(SYNCED.get() + 1);
    Ok(())
}

/// How often the disk was asked while this was done.
fn synced(done: impl FnOnce()) -> u64 {
    let before = SYNCED.get();
    done();
    SYNCED.get() - before
}

#[test]
fn denials_approvals_and_checkpoints_are_brought_to_the_disk_and_others_with_them() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    let options = Options {
        sync: disk,
        ..signed(directory.path())
    };
    let log = AuditLog::open(&path, options).unwrap();
    let append = |entry: &Entry| log.append(entry).map(drop);
    for operation in Operation::ALL {
        let asked = synced(|| append(&denied(*operation, "x")).unwrap());
        assert_eq!(asked, 1, "a denied {operation}");
        let allowed = Entry {
            operation: *operation,
            ..entry("x")
        };
        let kept = matches!(operation, Operation::Approval | Operation::ProfileChange);
        let asked = synced(|| append(&allowed).unwrap());
        assert_eq!(asked, u64::from(kept), "an allowed {operation}");
    }
    assert_eq!(synced(|| assert!(log.checkpoint().unwrap().is_some())), 1);
    assert_eq!(synced(|| assert!(log.checkpoint().unwrap().is_none())), 0);
    // Otherwise one checkpoint for many.
    let many = synced(|| (0..2 * EVERY).for_each(|_| append(&entry("x")).unwrap()));
    assert_eq!(many, 2);

    // What the disk does not keep must not be acted on; the record is there all the same.
    FAILS.set(true);
    let before = records(&path).len();
    for refused in [
        denied(Operation::FileWrite, "x"),
        Entry {
            operation: Operation::Approval,
            ..entry("x")
        },
    ] {
        let error = append(&refused).unwrap_err();
        assert!(error.cause.contains("the disk is gone"), "{error}");
    }
    append(&entry("x")).unwrap();
    log.checkpoint().unwrap_err();
    FAILS.set(false);
    assert_eq!(whole(&path).records, before as u64 + 4);
}

#[test]
fn a_file_is_on_the_disk_before_it_is_closed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    let options = Options {
        sync: disk,
        rotation: Rotation {
            size: Some(SMALLEST_FILE),
            age: None,
        },
        ..Options::default()
    };
    let log = AuditLog::open(&path, options).unwrap();
    let closed = directory.path().join("audit.jsonl.000000000001");
    while !closed.exists() {
        let before = SYNCED.get();
        FAILS.set(true);
        if let Err(error) = log.append(&entry(&"/x".repeat(400))) {
            assert!(error.cause.contains("the disk is gone"), "{error}");
            assert!(!closed.exists());
            FAILS.set(false);
            log.append(&entry("/x")).unwrap();
            assert_eq!(SYNCED.get(), before + 1);
        }
    }
    whole(&path);
}
