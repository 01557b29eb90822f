//! Several writers at once, and one that runs out of room.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use std::{env, fs, thread};

use codex_audit::checkpoint::EVERY;
use codex_audit::key::public_key;
use codex_audit::query::{self, Filter};
use codex_audit::verify::{Damage, Expected, Verdict, verify};
use codex_audit::writer::{AuditLog, Options, Rotation, SMALLEST_FILE};
use codex_protocol::operation::Operation;
use codex_protocol::record::Recorder;

use super::fixture::{denied, entry, log_of, open, records, signed, verdict, whole};

/// Where the log is that [`writer_process`] appends to, and how many records.
const LOG: &str = "CODEX_AUDIT_TEST_LOG";

const RECORDS: &str = "CODEX_AUDIT_TEST_RECORDS";

/// How large a file of it gets, where it has an end.
const FILE: &str = "CODEX_AUDIT_TEST_FILE";

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
    let path = Path::new(&path);
    let options = Options {
        rotation: Rotation {
            size: env::var(FILE).ok().map(|size| size.parse().unwrap()),
            age: None,
        },
        ..signed(path.parent().unwrap())
    };
    let log = AuditLog::open(path, options).unwrap();
    for n in 0..records.parse().unwrap() {
        let target = format!("{writer}-{n}");
        let wanted = if n % 500 == 0 {
            denied(Operation::NetworkAccess, &target)
        } else {
            entry(&target)
        };
        log.append(&wanted).unwrap();
    }
}

/// The full name of [`denying_process`].
const DENYING: &str = "all::processes::denying_process";

/// Where the log is that [`denying_process`] appends to, and the name it writes under.
const DENYING_LOG: &str = "CODEX_AUDIT_TEST_DENYING_LOG";

/// Not a test of its own: denies without end, and says of each denial that it is recorded.
#[test]
fn denying_process() {
    let Some(path) = env::var_os(DENYING_LOG) else {
        return;
    };
    let name = env::var(RECORDS).unwrap();
    let log = small_files(Path::new(&path));
    for n in 0_u64.. {
        // Lines of many lengths: long ones are more likely to be torn.
        let padding = "/x y".repeat((n % 7 * 150) as usize);
        let target = format!("{name}-{n} {padding}");
        log.append(&denied(Operation::FileWrite, &target)).unwrap();
        eprintln!("recorded {name}-{n}.");
    }
}

/// A signed log whose files are closed as early as they can be.
fn small_files(path: &Path) -> AuditLog {
    let options = Options {
        rotation: Rotation {
            size: Some(SMALLEST_FILE),
            age: None,
        },
        ..signed(path.parent().unwrap())
    };
    AuditLog::open(path, options).unwrap()
}

/// Two processes at a time write to one log and are killed at any moment, 200 in all, also while
/// they sign it or close a file of it. What they said is recorded is in the log, once; the log is
/// whole but for a torn end, and that is moved aside and told of by the next record.
#[test]
fn no_acknowledged_denial_is_lost_to_a_kill() {
    const ROUNDS: u64 = 100;
    let (_directory, path) = log_of(0);
    small_files(&path).append(&entry("first")).unwrap();
    let program = env::current_exe().unwrap();
    let mut acknowledged = Vec::new();
    let mut torn = 0;
    let mut torn_at = None;
    for round in 0..ROUNDS {
        let mut children: Vec<_> = (0..2)
            .map(|n| {
                Command::new(&program)
                    .args(["--exact", DENYING, "--nocapture"])
                    .env(DENYING_LOG, &path)
                    .env(RECORDS, format!("{round}.{n}"))
                    .stdout(Stdio::null())
                    .stderr(Stdio::piped())
                    .spawn()
                    .unwrap()
            })
            .collect();
        let mut told: Vec<_> = children
            .iter_mut()
            .map(|child| BufReader::new(child.stderr.take().unwrap()))
            .collect();
        let mut first = String::new();
        if round % 2 == 0 {
            // However slow the machine is: these rounds are killed while they write.
            while !first.ends_with(".\n") {
                assert_ne!(told[0].read_line(&mut first).unwrap(), 0, "{first}");
            }
        }
        // A prime, so that no pattern repeats.
        thread::sleep(Duration::from_micros(round * 7919 % 13_000));
        for child in &mut children {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        for mut rest in told {
            let mut told = std::mem::take(&mut first);
            rest.read_to_string(&mut told).unwrap();
            let lines = told
                .split_inclusive('\n')
                .filter_map(|l| l.strip_suffix(".\n"));
            for line in lines {
                let target = line.strip_prefix("recorded ").expect(line);
                acknowledged.push(target.to_owned());
            }
        }
        if let Verdict::Broken(broken) = verdict(&path) {
            assert_eq!(broken.what, Damage::Cut, "{broken:?}");
            // On a slow machine nobody may have got to the log since the last round.
            let end = Some(fs::metadata(&path).unwrap().len());
            torn += usize::from(end != torn_at);
            torn_at = end;
        }
    }
    small_files(&path).append(&entry("last")).unwrap();
    assert!(whole(&path).signatures.checkpoints > 3);
    let mut records = Vec::new();
    query::select(&path, &Filter::default(), |row| {
        records.push(row.unwrap().record)
    })
    .unwrap();
    let recovered = records.iter().filter(|r| {
        let detail = r.detail.as_ref();
        detail.is_some_and(|detail| detail.get("recovered").is_some())
    });
    assert!(recovered.count() >= torn);
    let mut found = HashMap::new();
    for record in &records {
        let name = record.target.split(' ').next().unwrap();
        *found.entry(name).or_insert(0) += 1;
    }
    assert!(acknowledged.len() >= 50, "{}", acknowledged.len());
    for target in &acknowledged {
        assert_eq!(found.get(&**target), Some(&1), "{target}");
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

/// Eight processes write ten thousand records each, over many files: all are there, each writer's
/// in its order, and the log is whole and signed.
#[test]
fn processes_share_one_chain() {
    const WRITERS: usize = 8;
    const EACH: usize = 10_000;
    let (directory, path) = log_of(0);
    let program = env::current_exe().unwrap();
    let children: Vec<_> = (0..WRITERS)
        .map(|n| {
            let mut command = Command::new(&program);
            command.env(FILE, (2 << 20).to_string());
            writer(&mut command, &path, &format!("{n}:{EACH}"))
        })
        .collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let key = public_key(&directory.path().join("keys/audit.key")).unwrap();
    let expected = Expected {
        keys: key.into_iter().collect(),
        ..Expected::default()
    };
    let Verdict::Whole(found) = verify(&path, &expected).unwrap() else {
        panic!("{:?}", verdict(&path));
    };
    let signatures = found.signatures.checkpoints;
    assert!(signatures >= found.records / EVERY, "{signatures}");
    assert_eq!(found.records, (WRITERS * EACH) as u64 + signatures);
    assert!(fs::read_dir(directory.path()).unwrap().count() > 10);
    let mut next = [0; WRITERS];
    query::select(&path, &Filter::default(), |row| {
        let record = row.unwrap().record;
        if record.operation == Operation::Checkpoint {
            return;
        }
        let (writer, n) = record.target.split_once('-').unwrap();
        let due = &mut next[writer.parse::<usize>().unwrap()];
        assert_eq!(n, due.to_string(), "writer {writer}");
        *due += 1;
    })
    .unwrap();
    assert_eq!(next, [EACH; WRITERS]);
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
