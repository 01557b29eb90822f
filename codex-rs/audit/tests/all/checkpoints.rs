//! What the log signs of itself, and what that shows.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use codex_audit::chain::{self, GENESIS, Hash};
use codex_audit::checkpoint::{EVERY, MOST_UNSIGNED};
use codex_audit::note::{PrivateKey, PublicKey};
use codex_audit::record::Record;
use codex_audit::verify::{Broken, Damage, Expected, Verdict, Whole, verify};
use codex_audit::writer::{AuditLog, Options};
use codex_protocol::operation::Operation;
use codex_protocol::record::{Entry, Recorder as _};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::fixture::{base64_of, entry, lines, open, records, signed, whole};

/// A signed log of one run with `n` records and a checkpoint.
fn signed_log(n: u64) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    run_of(directory.path(), n);
    (directory, path)
}

fn run_of(directory: &Path, n: u64) {
    let log = AuditLog::open(&directory.join("audit.jsonl"), signed(directory)).unwrap();
    for i in 0..n {
        log.append(&entry(&format!("/bin/{i}"))).unwrap();
    }
    log.checkpoint().unwrap();
}

fn key_of(directory: &Path) -> PrivateKey {
    let text = fs::read_to_string(directory.join("keys/audit.key")).unwrap();
    PrivateKey::parse(text.trim_end()).unwrap()
}

fn verdict_by(path: &Path, keys: &[&PublicKey]) -> Verdict {
    let expected = Expected {
        keys: keys.iter().copied().cloned().collect(),
        ..Expected::default()
    };
    verify(path, &expected).unwrap()
}

#[track_caller]
fn whole_by(path: &Path, keys: &[&PublicKey]) -> Whole {
    match verdict_by(path, keys) {
        Verdict::Whole(whole) => whole,
        Verdict::Broken(broken) => panic!("{broken:?}"),
    }
}

#[track_caller]
fn broken_by(path: &Path, keys: &[&PublicKey]) -> Broken {
    match verdict_by(path, keys) {
        Verdict::Broken(broken) => broken,
        Verdict::Whole(whole) => panic!("{whole:?}"),
    }
}

/// Writes `bodies` as a log whose chain is whole.
fn chained(path: &Path, bodies: impl IntoIterator<Item = String>) {
    let mut prev = GENESIS;
    let mut log = String::new();
    for body in bodies {
        let hash = chain::hash(&prev, body.as_bytes());
        log.push_str(&format!(
            "{body},\"prev\":\"{prev}\",\"hash\":\"{hash}\"}}\n"
        ));
        prev = hash;
    }
    fs::write(path, log).unwrap();
}

fn body(line: &str) -> String {
    line[..line.rfind(",\"prev\"").unwrap()].to_owned()
}

#[test]
fn the_end_of_a_run_is_signed_in_the_documented_form() {
    let (directory, path) = signed_log(3);
    let key = key_of(directory.path());
    let records = records(&path);
    let [.., third, last] = records.as_slice() else {
        panic!("{records:?}");
    };
    assert_eq!((last.seq, last.operation), (4, Operation::Checkpoint));
    assert_eq!(last.session_id, "session-1");
    let detail = last.detail.as_ref().unwrap();
    assert_eq!(detail["key"], key.public().to_string());
    let note = detail["note"].as_str().unwrap();
    let head = Hash::from_hex(third.hash.as_bytes()).unwrap();
    let hash = base64_of(&head.bytes());
    let text = format!("{}\n3\n{hash}\n", key.public().name());
    assert_eq!(note, format!("{text}\n{}", key.sign(&text)));

    let found = whole_by(&path, &[key.public()]).signatures;
    assert_eq!((found.checkpoints, found.signed_to), (1, 3));
    assert_eq!(found.key.as_ref(), Some(key.public()));
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(directory.path().join("keys/audit.key")), 0o600);
    assert_eq!(mode(directory.path().join("keys")), 0o700);
    let files = fs::read_dir(directory.path().join("keys")).unwrap();
    assert_eq!(files.count(), 1, "nothing is left of making the key");

    // The next run goes on with the same key; one that wrote nothing signs nothing.
    run_of(directory.path(), 0);
    run_of(directory.path(), 1);
    let found = whole_by(&path, &[key.public()]);
    assert_eq!((found.records, found.signatures.signed_to), (6, 5));
    assert_eq!(found.signatures.checkpoints, 2);
}

#[test]
fn a_long_run_is_signed_every_thousand_records_whoever_writes_them() {
    let (directory, path) = signed_log(0);
    let one = AuditLog::open(&path, signed(directory.path())).unwrap();
    let two = AuditLog::open(&path, signed(directory.path())).unwrap();
    for n in 0..2 * EVERY {
        let log = if n % 3 == 0 { &one } else { &two };
        log.append(&entry("/bin/x")).unwrap();
    }
    one.checkpoint().unwrap();
    two.checkpoint().unwrap();
    let signing = records(&path)
        .iter()
        .filter(|r| r.operation == Operation::Checkpoint)
        .map(|r| r.seq)
        .collect::<Vec<_>>();
    // The one whose last record called for a checkpoint has nothing left to sign.
    assert_eq!(signing, [EVERY + 1, 2 * EVERY + 1, 2 * EVERY + 3]);
    let key = key_of(directory.path());
    assert_eq!(whole_by(&path, &[key.public()]).signatures.checkpoints, 3);
}

#[test]
fn a_log_that_is_rewritten_without_the_key_is_found_out() {
    let (directory, path) = signed_log(5);
    run_of(directory.path(), 5);
    let key = key_of(directory.path());
    let good = lines(&path);
    let at = |n: usize| body(&good[n]);
    // Everything after the edit is chained anew: only the signature is in the way.
    let edited = |n: usize| {
        let bodies = (0..good.len()).map(at).enumerate();
        bodies.map(move |(i, body)| {
            if i == n {
                body.replace("\"target\":\"", "\"target\":\"/")
            } else {
                body
            }
        })
    };
    for (n, line) in [(0, 6), (4, 6), (6, 12), (10, 12)] {
        chained(&path, edited(n));
        let found = broken_by(&path, &[]);
        assert_eq!(
            (found.what, found.line),
            (Damage::BadSignature, line),
            "{n}: {found:?}"
        );
        assert_eq!(found.file, path);
    }
    // The checkpoints are left out, and the records counted anew.
    let unsigned: Vec<String> = (0..good.len())
        .map(at)
        .filter(|body| !body.contains("\"operation\":\"checkpoint\""))
        .enumerate()
        .map(|(n, body)| {
            let (_, rest) = body.split_once(",\"timestamp\"").unwrap();
            format!("{{\"v\":1,\"seq\":{},\"timestamp\"{rest}", n + 1)
        })
        .collect();
    chained(&path, unsigned);
    let found = whole_by(&path, &[key.public()]).signatures;
    assert_eq!((found.checkpoints, found.signed_to), (0, 0), "and says so");

    // Signed with another key, from the start.
    let (other, forged) = signed_log(5);
    fs::copy(&forged, &path).unwrap();
    assert_eq!(
        whole_by(&path, &[]).signatures.checkpoints,
        1,
        "not to be told apart"
    );
    let found = broken_by(&path, &[key.public()]);
    assert_eq!(found.what, Damage::BadSignature);
    assert!(
        found
            .message
            .contains("no checkpoint is signed by an expected key")
    );
    // And from somewhere in the middle.
    fs::write(&path, format!("{}\n", good.join("\n"))).unwrap();
    let theirs = Options {
        key: Some(other.path().join("keys/audit.key")),
        ..Options::default()
    };
    let log = AuditLog::open(&path, theirs).unwrap();
    log.append(&entry("/bin/forged")).unwrap();
    log.checkpoint().unwrap();
    for keys in [&[][..], &[key.public()]] {
        let found = broken_by(&path, keys);
        assert_eq!((found.what, found.line), (Damage::BadSignature, 14));
        assert!(
            found.message.contains("names no other"),
            "{}",
            found.message
        );
    }
    let both = whole_by(&path, &[key.public(), key_of(other.path()).public()]);
    let [change] = both.signatures.changes.as_slice() else {
        panic!("{both:?}");
    };
    assert_eq!((change.seq, change.vouched), (14, false));
}

#[test]
fn a_checkpoint_of_another_log_or_place_does_not_hold() {
    let (directory, path) = signed_log(2);
    run_of(directory.path(), 2);
    let key = key_of(directory.path());
    let good = lines(&path);
    let change = |from: &str, to: &str| {
        let mut bodies: Vec<String> = good.iter().map(|l| body(l)).collect();
        assert!(bodies[2].contains(from), "{}", bodies[2]);
        bodies[2] = bodies[2].replacen(from, to, 1);
        chained(&path, bodies);
        let found = broken_by(&path, &[]);
        assert_eq!(
            (found.what, found.line),
            (Damage::BadSignature, 3),
            "{found:?}"
        );
        found.message
    };
    let first = Record::parse(good[2].as_bytes()).unwrap();
    let detail = |record: &Record, name: &str| record.detail.as_ref().unwrap()[name].clone();
    let as_json = |value: &Value| serde_json::to_string(value).unwrap();
    let note = as_json(&detail(&first, "note"));
    let second = Record::parse(good[5].as_bytes()).unwrap();
    assert!(change(&note, &as_json(&detail(&second, "note"))).contains("something else"));
    assert!(change("\\n\\n", "\\nmore\\n\\n").contains("more than a checkpoint"));
    assert!(change("— ", "- ").contains("form"));
    let signature = note.rsplit(' ').next().unwrap();
    let other = key.sign("something else\n");
    let other = other.trim_end().rsplit(' ').next().unwrap();
    assert!(change(signature.split('\\').next().unwrap(), other).contains("does not hold"));
    let stranger = PrivateKey::generate().unwrap();
    let own = as_json(&json!(key.public().to_string()));
    change(&own, &as_json(&json!(stranger.public().to_string())));
    change(&own, "\"no key\"");
}

#[test]
fn a_key_is_replaced_by_one_that_it_names() {
    let (directory, path) = signed_log(2);
    let first = key_of(directory.path());
    let log = AuditLog::open(&path, signed(directory.path())).unwrap();
    let second = log.change_key(&entry("").subject).unwrap();
    assert_eq!(key_of(directory.path()).public(), &second);
    log.append(&entry("/bin/x")).unwrap();
    log.checkpoint().unwrap();
    // Whichever of the two one kept elsewhere, it leads to the other.
    for keys in [&[][..], &[first.public()], &[&second]] {
        let found = whole_by(&path, keys).signatures;
        assert_eq!((found.checkpoints, found.key.as_ref()), (3, Some(&second)));
        let [change] = found.changes.as_slice() else {
            panic!("{found:?}");
        };
        assert_eq!(
            (change.seq, change.vouched, &change.key),
            (4, true, &second)
        );
    }
    // The first one signs no more.
    fs::write(
        directory.path().join("keys/audit.key"),
        format!("{}\n", first.to_text()),
    )
    .unwrap();
    run_of(directory.path(), 1);
    assert_eq!(broken_by(&path, &[]).what, Damage::BadSignature);
}

#[test]
fn a_lost_key_is_followed_by_one_that_must_be_expected() {
    let (directory, path) = signed_log(2);
    let first = key_of(directory.path());
    fs::remove_file(directory.path().join("keys/audit.key")).unwrap();
    run_of(directory.path(), 2);
    let second = key_of(directory.path());
    assert_ne!(first.public(), second.public());
    assert_eq!(broken_by(&path, &[]).what, Damage::BadSignature);
    assert_eq!(
        broken_by(&path, &[first.public()]).what,
        Damage::BadSignature
    );
    let found = whole_by(&path, &[second.public()]).signatures;
    assert!(!found.changes[0].vouched);
}

#[test]
fn a_signed_log_with_a_long_unsigned_end_is_found_out() {
    let (directory, path) = signed_log(2);
    let key = key_of(directory.path());
    let log = open(&path);
    for _ in 0..=MOST_UNSIGNED {
        log.append(&entry("/bin/x")).unwrap();
    }
    assert_eq!(whole(&path).signatures.signed_to, 2);
    let found = broken_by(&path, &[key.public()]);
    assert_eq!(found.what, Damage::BadSignature);
    assert!(found.message.contains("records 3 to"), "{}", found.message);
}

#[test]
fn a_key_that_cannot_be_used_or_that_others_can_read_is_refused() {
    let (directory, path) = signed_log(1);
    let file = directory.path().join("keys/audit.key");
    let good = fs::read_to_string(&file).unwrap();
    let refused = || {
        let log = AuditLog::open(&path, signed(directory.path())).unwrap();
        log.append(&entry("/bin/x")).unwrap();
        log.checkpoint().unwrap_err().to_string()
    };
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(refused().contains("others can use it"));
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&file, "PRIVATE+KEY+x").unwrap();
    let told = refused();
    assert!(
        told.contains("holds no key") && told.contains("audit.key"),
        "{told}"
    );
    assert!(!told.contains(good.rsplit('+').next().unwrap()));
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    refused();
    // A record that calls for a checkpoint is refused with it.
    let log = AuditLog::open(&path, signed(directory.path())).unwrap();
    let refused = (0..EVERY).find_map(|_| log.append(&entry("/bin/x")).err());
    assert!(refused.unwrap().cause.contains("the key"));
}

#[test]
fn the_words_of_a_checkpoint_in_another_record_are_no_checkpoint() {
    let (_directory, path) = signed_log(0);
    let log = open(&path);
    log.append(&Entry {
        detail: Some(json!({"operation": "checkpoint", "key": "x", "note": "y"})),
        ..entry("/bin/\"operation\":\"checkpoint\"")
    })
    .unwrap();
    assert!(lines(&path)[0].contains("\"operation\":\"checkpoint\""));
    assert_eq!(whole(&path).signatures.checkpoints, 0);
}
