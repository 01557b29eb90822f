//! A log over several files.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use codex_audit::query::{self, Filter, Follow};
use codex_audit::stats::Stats;
use codex_audit::verify::{Damage, Expected, Verdict, head, verify};
use codex_audit::writer::{AuditLog, Options, Rotation, SMALLEST_FILE};
use codex_protocol::operation::Operation;
use codex_protocol::record::Recorder as _;
use tempfile::TempDir;

use super::fixture::{broken, denied, entry, lines, open, signed, whole};

/// Of every 20 records, one is denied.
fn append(log: &AuditLog, numbers: std::ops::Range<u64>) {
    for n in numbers {
        let target = format!("/bin/{n}{}", "/x".repeat(500));
        let entry = if n % 20 == 7 {
            denied(Operation::Privilege, &target)
        } else {
            entry(&target)
        };
        log.append(&entry).unwrap();
    }
}

fn small(directory: &Path) -> Options {
    Options {
        rotation: Rotation {
            size: Some(SMALLEST_FILE),
            age: None,
        },
        ..signed(directory)
    }
}

/// Files of a log that was written by two processes' worth of writers; the open one comes last.
fn files_of_a_long_log() -> (TempDir, PathBuf, Vec<PathBuf>) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    let one = AuditLog::open(&path, small(directory.path())).unwrap();
    let two = AuditLog::open(&path, small(directory.path())).unwrap();
    for n in 0..60 {
        let log = if n % 3 == 0 { &one } else { &two };
        append(log, 4 * n..4 * n + 4);
    }
    two.checkpoint().unwrap();
    let files = files(&path);
    assert!(files.len() > 3, "{files:?}");
    (directory, path, files)
}

fn files(path: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(path.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|p| {
            p != path
                && p.extension()
                    .is_some_and(|e| e.as_encoded_bytes()[0].is_ascii_digit())
        })
        .collect();
    files.sort();
    files.push(path.to_owned());
    files
}

#[test]
fn a_full_file_is_closed_and_the_chain_goes_on_in_the_next() {
    let (directory, path, files) = files_of_a_long_log();
    let all: Vec<String> = files.iter().flat_map(|file| lines(file)).collect();
    let found = whole(&path);
    assert_eq!(found.records, all.len() as u64);
    assert_eq!(found.last_seq, found.records);
    // One closes each file, one ends the run.
    assert_eq!(found.signatures.checkpoints, files.len() as u64);
    for file in &files[..files.len() - 1] {
        let length = fs::metadata(file).unwrap().len();
        assert!(
            (SMALLEST_FILE..SMALLEST_FILE + 8192).contains(&length),
            "{length}"
        );
        let first = lines(file)[0]
            .split(',')
            .nth(1)
            .unwrap()
            .replace("\"seq\":", "");
        assert!(
            file.to_str()
                .unwrap()
                .ends_with(&format!(".{:0>12}", first))
        );
    }
    let names: Vec<_> = fs::read_dir(directory.path()).unwrap().collect();
    assert_eq!(
        names.len(),
        files.len() + 1,
        "the key's directory and nothing else"
    );

    // All that reads it reads all of it.
    let select = |filter: &Filter| {
        let mut seen = Vec::new();
        query::select(&path, filter, |row| seen.push(row.unwrap().line)).unwrap();
        seen
    };
    assert_eq!(select(&Filter::default()), all);
    for limit in [1, 100, all.len(), all.len() + 5] {
        let newest = select(&Filter {
            limit: Some(limit),
            ..Filter::default()
        });
        assert_eq!(newest, all[all.len().saturating_sub(limit)..]);
    }
    let denied = Filter {
        denied: true,
        limit: Some(1000),
        ..Filter::default()
    };
    assert_eq!(select(&denied).len(), 12);
    for seq in [1, 50, 120, found.last_seq] {
        let row = query::find(&path, seq).unwrap().unwrap();
        assert_eq!(row.line, all[seq as usize - 1]);
    }
    assert_eq!(query::find(&path, found.last_seq + 1).unwrap(), None);
    let stats = Stats::of(&path, &Filter::default()).unwrap();
    assert_eq!((stats.records, stats.bad_lines), (found.records, 0));
    assert_eq!(head(&path).unwrap().hash, found.head);
}

#[test]
fn a_file_that_is_missing_swapped_cut_or_changed_is_found_out() {
    let (_directory, path, files) = files_of_a_long_log();
    let [first, second, third, ..] = files.as_slice() else {
        panic!();
    };
    let aside = path.with_extension("aside");
    let check = |what: Damage, file: &Path| {
        let found = broken(&path);
        assert_eq!(
            (found.what, found.file.as_path()),
            (what, file),
            "{found:?}"
        );
    };
    fs::rename(second, &aside).unwrap();
    check(Damage::Dropped, third);
    // Another one in its place.
    fs::copy(third, second).unwrap();
    check(Damage::Dropped, second);
    fs::copy(first, second).unwrap();
    check(Damage::Inserted, second);
    // Two that changed places.
    fs::copy(third, second).unwrap();
    let kept = fs::read(third).unwrap();
    fs::copy(&aside, third).unwrap();
    check(Damage::Reordered, second);
    fs::write(third, kept).unwrap();
    // Cut at its end, and at its beginning.
    let text = fs::read_to_string(&aside).unwrap();
    let end = text.trim_end().rfind('\n').unwrap() + 1;
    fs::write(second, &text[..end]).unwrap();
    check(Damage::Dropped, third);
    fs::write(second, &text[..text.len() - 3]).unwrap();
    check(Damage::Cut, second);
    let begin = text.find('\n').unwrap() + 1;
    fs::write(second, &text[begin..]).unwrap();
    check(Damage::Dropped, second);
    fs::write(second, text.replacen("/bin/", "/Bin/", 1)).unwrap();
    check(Damage::Edited, second);
    fs::write(second, &text).unwrap();
    whole(&path);
    // The last record of a closed file, chained anew by somebody without the key.
    let last = text[end..].replace("/x/x", "/y/y");
    let body = &last[..last.rfind(",\"prev\"").unwrap()];
    let prev = &last[last.rfind(",\"prev\":\"").unwrap() + 9..][..64];
    let prev = codex_audit::chain::Hash::from_hex(prev.as_bytes()).unwrap();
    let hash = codex_audit::chain::hash(&prev, body.as_bytes());
    let forged = format!("{body},\"prev\":\"{prev}\",\"hash\":\"{hash}\"}}\n");
    fs::write(second, format!("{}{forged}", &text[..end])).unwrap();
    check(Damage::Edited, third);
}

#[test]
fn the_oldest_files_can_be_kept_elsewhere() {
    let (_directory, path, files) = files_of_a_long_log();
    let last = whole(&path);
    fs::remove_file(&files[0]).unwrap();
    let found = broken(&path);
    assert_eq!(
        (found.what, found.line, &found.file),
        (Damage::Dropped, 1, &files[1])
    );
    let partial = Expected {
        partial: true,
        ..Expected::default()
    };
    let Verdict::Whole(rest) = verify(&path, &partial).unwrap() else {
        panic!();
    };
    assert_eq!((rest.last_seq, rest.head), (last.last_seq, last.head));
    assert!(rest.records < last.records);
    // But not with a beginning that is no file's.
    let text = fs::read_to_string(&files[1]).unwrap();
    fs::write(&files[1], &text[text.find('\n').unwrap() + 1..]).unwrap();
    let Verdict::Broken(found) = verify(&path, &partial).unwrap() else {
        panic!();
    };
    assert_eq!(found.what, Damage::Dropped);
}

#[test]
fn an_old_file_is_closed_too() {
    static NOW: AtomicU64 = AtomicU64::new(1_767_323_045);
    fn clock() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(NOW.load(Ordering::Relaxed))
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    let options = Options {
        rotation: Rotation {
            size: None,
            age: Some(Duration::from_secs(3600)),
        },
        clock,
        ..Options::default()
    };
    let log = AuditLog::open(&path, options.clone()).unwrap();
    append(&log, 0..3);
    NOW.fetch_add(3599, Ordering::Relaxed);
    append(&log, 3..5);
    assert_eq!(files(&path).len(), 1);
    NOW.fetch_add(1, Ordering::Relaxed);
    append(&log, 5..6);
    assert_eq!(files(&path).len(), 2);
    // Of what another process wrote, the age is read.
    NOW.fetch_add(3599, Ordering::Relaxed);
    append(&AuditLog::open(&path, options.clone()).unwrap(), 6..7);
    assert_eq!(files(&path).len(), 2);
    NOW.fetch_add(1, Ordering::Relaxed);
    append(&AuditLog::open(&path, options).unwrap(), 7..8);
    assert_eq!(files(&path).len(), 3);
    assert_eq!(whole(&path).records, 8 + 2);
}

#[test]
fn what_follows_a_log_follows_it_into_the_next_files() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    let log = AuditLog::open(&path, small(directory.path())).unwrap();
    append(&log, 0..1);
    let mut follow = Follow::from_end(&path).unwrap();
    let mut seen = Vec::new();
    // The second step closes more than one file between two looks.
    for to in [20, 300, 310] {
        append(&log, seen.len() as u64..to);
        follow
            .poll(|row| seen.push(row.unwrap().record.seq))
            .unwrap();
    }
    assert!(files(&path).len() > 3);
    assert!(
        seen.iter().copied().eq(2..=whole(&path).last_seq),
        "{seen:?}"
    );
}

/// What a process leaves that is killed between two of the steps.
#[test]
fn closing_that_was_broken_off_is_taken_up_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    append(&open(&path), 0..80);
    let before = whole(&path);
    // After the first step, and after the second.
    fs::write(directory.path().join("audit.jsonl.next"), "half a rec").unwrap();
    whole(&path);
    fs::hard_link(&path, directory.path().join("audit.jsonl.000000000001")).unwrap();
    assert_eq!(whole(&path), before, "the same records are not read twice");
    append(
        &AuditLog::open(&path, small(directory.path())).unwrap(),
        80..81,
    );
    assert_eq!(files(&path).len(), 2);
    assert_eq!(whole(&path).records, before.records + 2);
    assert!(!directory.path().join("audit.jsonl.next").exists());

    // Somebody else's file under the name that a closed one would get is left alone.
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    append(&open(&path), 0..80);
    fs::write(directory.path().join("audit.jsonl.000000000001"), "mine").unwrap();
    let log = AuditLog::open(&path, small(directory.path())).unwrap();
    let refused = log.append(&entry("x")).unwrap_err();
    assert!(refused.cause.contains("cannot be closed"), "{refused}");
    assert_eq!(
        fs::read(directory.path().join("audit.jsonl.000000000001")).unwrap(),
        b"mine"
    );
}

#[test]
fn a_log_whose_open_file_was_moved_away_goes_on_from_the_closed_ones() {
    let (directory, path, files) = files_of_a_long_log();
    let last = lines(&files[files.len() - 2]).len();
    fs::remove_file(&path).unwrap();
    let log = AuditLog::open(&path, small(directory.path())).unwrap();
    append(&log, 0..1);
    let found = whole(&path);
    assert_eq!(found.records, found.last_seq);
    assert!(last > 10 && found.records > last as u64);
}
