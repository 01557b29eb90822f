//! Records that are asked for.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use codex_audit::Fault;
use codex_audit::query::{self, BadLine, Filter, Row, Since};
use codex_audit::writer::{AuditLog, Options};
use codex_protocol::ids::{SessionId, TaskId};
use codex_protocol::operation::Operation;
use codex_protocol::record::Recorder;

use super::fixture::{denied, entry, lines};

fn select(path: &Path, filter: &Filter) -> (Vec<Row>, Vec<BadLine>) {
    let (mut rows, mut bad) = (Vec::new(), Vec::new());
    query::select(path, filter, |found| match found {
        Ok(row) => rows.push(row),
        Err(line) => bad.push(line),
    })
    .unwrap();
    (rows, bad)
}

#[test]
fn records_are_chosen_by_every_filter() {
    fn clock() -> SystemTime {
        use std::sync::atomic::{AtomicU64, Ordering};
        static MINUTE: AtomicU64 = AtomicU64::new(0);
        let minutes = MINUTE.fetch_add(1, Ordering::Relaxed);
        SystemTime::UNIX_EPOCH + Duration::from_secs(60 * minutes)
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let options = Options {
        clock,
        ..Options::default()
    };
    let log = AuditLog::open(&path, options).unwrap();
    for n in 0..10 {
        let mut entry = if n % 2 == 0 {
            entry(&n.to_string())
        } else {
            denied(Operation::NetworkAccess, &n.to_string())
        };
        entry.subject.task_id = TaskId::new(format!("task-{}", n % 3));
        entry.subject.session_id = SessionId::new(format!("session-{}", n / 5));
        log.append(&entry).unwrap();
    }
    let check = |filter: Filter, expected: &[u64]| {
        let (rows, bad) = select(&path, &filter);
        let found: Vec<_> = rows.iter().map(|row| row.record.seq).collect();
        assert_eq!((found.as_slice(), bad.len()), (expected, 0), "{filter:?}");
        let lines = lines(&path);
        for row in rows {
            assert_eq!(row.line, lines[row.record.seq as usize - 1]);
        }
    };
    let all = Filter::default;
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(60 * 9);
    let since = |text| Some(Since::parse(text, now).unwrap());
    check(all(), &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    check(
        Filter {
            denied: true,
            ..all()
        },
        &[2, 4, 6, 8, 10],
    );
    check(
        Filter {
            operation: Some(Operation::ProcessSpawn),
            ..all()
        },
        &[1, 3, 5, 7, 9],
    );
    check(
        Filter {
            task: Some("task-0".into()),
            ..all()
        },
        &[1, 4, 7, 10],
    );
    check(
        Filter {
            session: Some("session-1".into()),
            ..all()
        },
        &[6, 7, 8, 9, 10],
    );
    check(
        Filter {
            since: since("2m"),
            ..all()
        },
        &[8, 9, 10],
    );
    check(
        Filter {
            since: since("1970-01-01T00:08:00Z"),
            ..all()
        },
        &[9, 10],
    );
    check(
        Filter {
            limit: Some(3),
            ..all()
        },
        &[8, 9, 10],
    );
    check(
        Filter {
            limit: Some(0),
            ..all()
        },
        &[],
    );
    check(
        Filter {
            denied: true,
            limit: Some(2),
            task: Some("task-0".into()),
            ..all()
        },
        &[4, 10],
    );

    // A bad line is told of and does not end the reading.
    let mut changed = lines(&path);
    changed[4] = "nonsense".to_owned();
    fs::write(&path, changed.join("\n")).unwrap();
    let (rows, bad) = select(&path, &all());
    assert_eq!(rows.len(), 9);
    assert_eq!(bad[0].line, 5);
    let missing = query::select(&directory.path().join("none"), &all(), |_| {}).unwrap_err();
    assert!(matches!(missing.fault, Fault::Open(_)));
}
