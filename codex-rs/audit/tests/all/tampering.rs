//! A log that is changed behind its back.

use std::fs;

use codex_audit::chain::{self, GENESIS, Hash};
use codex_audit::checkpoint::Signatures;
use codex_audit::record::Record;
use codex_audit::verify::{Damage, Expected, Verdict, Whole, head, verify};
use codex_audit::writer::AuditLog;
use codex_protocol::record::{RecordError, Recorder};

use super::fixture::{broken, entry, lines, log_of, open, records, whole};

#[test]
fn a_whole_log_is_whole_and_grows() {
    let (_directory, path) = log_of(0);
    assert_eq!(
        whole(&path),
        Whole {
            records: 0,
            head: GENESIS,
            last_seq: 0,
            signatures: Signatures::default(),
        }
    );
    open(&path).append(&entry("a")).unwrap();
    open(&path).append(&entry("b")).unwrap();
    let found = whole(&path);
    assert_eq!((found.records, found.last_seq), (2, 2));
    assert_eq!(records(&path)[1].hash, found.head.as_str());
    let head = head(&path).unwrap();
    assert_eq!((head.seq, head.hash), (2, found.head));
}

#[test]
fn every_changed_byte_is_found() {
    let (_directory, path) = log_of(3);
    let good = fs::read(&path).unwrap();
    let second = lines(&path)[0].len() + 1;
    let third = second + lines(&path)[1].len() + 1;
    for at in second..third {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(&path, &bad).unwrap();
        let found = broken(&path);
        assert_eq!(found.line, 2, "byte {at}: {found:?}");
        // What does not even begin as a record is not taken for one that was edited.
        let beginning = r#"{"v":1,"seq":"#.len();
        let expected = if at - second < beginning {
            Damage::NotARecord
        } else {
            Damage::Edited
        };
        assert_eq!(found.what, expected, "byte {at}: {found:?}");
    }
}

#[test]
fn changed_lines_are_found_and_named() {
    let (_directory, path) = log_of(6);
    let good = lines(&path);
    let check = |order: &[usize], line: u64, seq: u64, what: Damage| {
        let picked: Vec<_> = order.iter().map(|n| good[n - 1].as_str()).collect();
        fs::write(&path, format!("{}\n", picked.join("\n"))).unwrap();
        let found = broken(&path);
        assert_eq!(
            (found.line, found.seq, found.what),
            (line, Some(seq), what),
            "{order:?}: {}",
            found.message
        );
    };
    check(&[2, 3, 4], 1, 1, Damage::Dropped);
    check(&[1, 2, 4, 5, 6], 3, 3, Damage::Dropped);
    check(&[1, 5, 6], 2, 2, Damage::Dropped);
    check(&[1, 3, 2, 4, 5, 6], 2, 2, Damage::Reordered);
    check(&[1, 2, 6, 3, 4, 5], 3, 3, Damage::Reordered);
    check(&[2, 1], 1, 1, Damage::Reordered);
    check(&[1, 2, 2, 3], 3, 2, Damage::Inserted);
    check(&[1, 2, 3, 1, 4], 4, 1, Damage::Inserted);

    let replace = |n: usize, with: &str| {
        let mut changed = good.clone();
        changed[n - 1] = with.to_owned();
        fs::write(&path, format!("{}\n", changed.join("\n"))).unwrap();
        broken(&path)
    };
    let edited = replace(3, &good[2].replace("/bin/3", "/bin/x"));
    assert_eq!((edited.line, edited.what), (3, Damage::Edited));
    let foreign = replace(3, "hello");
    assert_eq!((foreign.line, foreign.what), (3, Damage::NotARecord));
    let long = replace(3, &"x".repeat(2 << 20));
    assert_eq!((long.line, long.what), (3, Damage::NotARecord));

    // With a new hash, a record is whole in itself; the next one no longer follows it.
    let reseal = |line: &str, prev: &str| {
        let body = line.split(",\"prev\"").next().unwrap();
        let hash = chain::hash(&Hash::from_hex(prev.as_bytes()).unwrap(), body.as_bytes());
        format!("{body},\"prev\":\"{prev}\",\"hash\":\"{hash}\"}}")
    };
    let second = Record::parse(good[1].as_bytes()).unwrap();
    let forged = reseal(&good[2].replace("/bin/3", "/bin/x"), &second.hash);
    let found = replace(3, &forged);
    assert_eq!((found.line, found.what), (3, Damage::Edited));
    let renumbered = reseal(&good[2].replace("\"seq\":3", "\"seq\":9"), &second.hash);
    let found = replace(3, &renumbered);
    assert_eq!((found.line, found.what), (3, Damage::Edited));
    let no_json = reseal(
        &good[2].replace("\"timestamp\":", "\"timestamp\""),
        &second.hash,
    );
    let found = replace(3, &no_json);
    assert_eq!((found.line, found.what), (3, Damage::NotARecord));
    let inserted = reseal(&good[2].replace("/bin/3", "/bin/x"), &second.hash);
    let found = replace(2, &format!("{}\n{inserted}", good[1]));
    assert_eq!((found.line, found.what), (3, Damage::Inserted));
}

#[test]
fn a_cut_end_shows_only_against_a_head_kept_elsewhere() {
    let (_directory, path) = log_of(5);
    let kept = head(&path).unwrap();
    let good = fs::read_to_string(&path).unwrap();
    let cut: String = good.lines().take(3).map(|l| format!("{l}\n")).collect();
    fs::write(&path, &cut).unwrap();
    assert_eq!(whole(&path).last_seq, 3, "nothing in the file tells");
    let with_head = Expected {
        head: Some(kept.hash),
        ..Expected::default()
    };
    let with_seq = Expected {
        min_seq: Some(5),
        ..Expected::default()
    };
    for expected in [&with_head, &with_seq] {
        let Verdict::Broken(found) = verify(&path, expected).unwrap() else {
            panic!("{expected:?}");
        };
        assert_eq!(
            (found.line, found.seq, found.what),
            (4, Some(4), Damage::Cut)
        );
    }
    // Neither minds that the log has grown since.
    fs::write(&path, &good).unwrap();
    open(&path).append(&entry("more")).unwrap();
    for expected in [&with_head, &with_seq] {
        assert!(matches!(
            verify(&path, expected).unwrap(),
            Verdict::Whole(_)
        ));
    }
    // The middle of a line.
    for end in [good.len() - 1, good.len() - 2, good.len() - 400] {
        fs::write(&path, &good[..end]).unwrap();
        let found = broken(&path);
        assert_eq!(found.what, Damage::Cut, "{end}");
    }
}

#[test]
fn a_log_that_was_tampered_with_takes_no_more_records() {
    let (_directory, path) = log_of(3);
    let log = open(&path);
    log.append(&entry("mine")).unwrap();
    let good = fs::read_to_string(&path).unwrap();
    let refused = |log: &AuditLog| -> String {
        let RecordError { path: named, cause } = log.append(&entry("x")).unwrap_err();
        assert_eq!(named, path.display().to_string());
        cause
    };
    let cut: String = good.lines().take(2).map(|l| format!("{l}\n")).collect();
    fs::write(&path, &cut).unwrap();
    for _ in 0..2 {
        assert!(refused(&log).contains("cut or replaced"));
    }
    fs::write(&path, "").unwrap();
    assert!(refused(&log).contains("now it ends at 0"));
    fs::write(&path, &good).unwrap();
    assert_eq!(log.append(&entry("fine again")).unwrap().seq, Some(5));
    fs::remove_file(&path).unwrap();
    assert!(refused(&log).contains("removed"));
    assert_eq!(log.written().last_seq, Some(5));
}
