//! Several writers at once, and one that runs out of room.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::{env, thread};

use codex_protocol::operation::Operation;
use codex_protocol::record::Recorder;

use super::fixture::{denied, entry, log_of, open, records, whole};

/// Where the log is that [`writer_process`] appends to, and how many records.
const LOG: &str = "CODEX_AUDIT_TEST_LOG";

const RECORDS: &str = "CODEX_AUDIT_TEST_RECORDS";

#[test]
fn threads_and_separate_logs_share_one_chain() {
    const EACH: usize = 100;
    let (_directory, path) = log_of(0);
    let shared = open(&path);
    thread::scope(|scope| {
        for thread in 0..4 {
            let (path, shared) = (&path, &shared);
            scope.spawn(move || {
                let own = open(path);
                for n in 0..EACH {
                    let log = if n % 2 == 0 { &own } else { shared };
                    log.append(&entry(&format!("{thread}-{n}"))).unwrap();
                }
            });
        }
    });
    all_there(&path, 4, EACH);
}

/// Every record of every writer is there once, and in the order in which it wrote them.
#[track_caller]
fn all_there(path: &Path, writers: usize, each: usize) {
    assert_eq!(whole(path).records, (writers * each) as u64);
    let records = records(path);
    for writer in 0..writers {
        let prefix = format!("{writer}-");
        let own = records
            .iter()
            .filter_map(|r| r.target.strip_prefix(&prefix));
        let expected = (0..each).map(|n| n.to_string());
        assert!(own.eq(expected), "writer {writer}");
    }
}

/// The full name of [`writer_process`].
const WRITER: &str = "all::processes::writer_process";

/// Not a test of its own: what the processes run that the tests start.
#[test]
fn writer_process() {
    let Some(path) = env::var_os(LOG) else { return };
    let records = env::var(RECORDS).unwrap();
    let (writer, records) = records.split_once(':').unwrap();
    let log = open(Path::new(&path));
    for n in 0..records.parse().unwrap() {
        let target = format!("{writer}-{n}");
        let wanted = if n % 50 == 0 {
            denied(Operation::NetworkAccess, &target)
        } else {
            entry(&target)
        };
        log.append(&wanted).unwrap();
    }
}

fn writer(program: &mut Command, path: &Path, records: &str) -> Child {
    program
        .args(["--exact", WRITER, "--nocapture"])
        .env(LOG, path)
        .env(RECORDS, records)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn processes_share_one_chain() {
    const EACH: usize = 300;
    let (_directory, path) = log_of(0);
    let program = env::current_exe().unwrap();
    let children: Vec<_> = (0..4)
        .map(|n| writer(&mut Command::new(&program), &path, &format!("{n}:{EACH}")))
        .collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    all_there(&path, 4, EACH);
}

/// A limit on the size of files stands for a full disk: the kernel writes what still fits, then
/// nothing.
#[test]
fn a_full_disk_is_an_error_and_leaves_no_half_record() {
    let (_directory, path) = log_of(0);
    let mut shell = Command::new("sh");
    // Ignored, so that the write fails and the process is not killed.
    let script = "trap '' XFSZ; ulimit -f 8; exec \"$0\" \"$@\"";
    shell.args(["-c", script]).arg(env::current_exe().unwrap());
    let output = writer(&mut shell, &path, "0:1000")
        .wait_with_output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(told.contains("RecordError"), "{told}");
    assert!(told.contains("writing a record failed"), "{told}");
    let found = whole(&path);
    assert!(found.records > 2 && found.records < 50, "{found:?}");
    // With room again, the chain goes on where it was.
    let seq = open(&path).append(&entry("more")).unwrap().seq;
    assert_eq!(seq, Some(found.last_seq + 1));
    assert_eq!(records(&path).last().unwrap().detail, None);
    assert_eq!(whole(&path).records, found.records + 1);
}
