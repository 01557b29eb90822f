//! A signed log over several files, tampered with at random.
//!
//! What has to hold of whatever comes out of it:
//!
//! * with a head that was kept elsewhere, every change is found;
//! * without one, what `verify` calls whole and signed up to record N is, up to there, what was
//!   written. A cut end, and what is put in its place, is all that stays.

use std::fs;
use std::path::{Path, PathBuf};

use codex_audit::chain::{self, GENESIS, Hash};
use codex_audit::checkpoint::Signatures;
use codex_audit::note::PrivateKey;
use codex_audit::verify::{Expected, Verdict, Whole, verify};
use codex_audit::writer::{AuditLog, Options, Rotation, SMALLEST_FILE};
use codex_protocol::operation::Operation;
use codex_protocol::record::Recorder as _;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::fixture::{base64_of, denied, entry, lines, signed};

/// One thing that is done to a log. Places are in the whole of it, whatever the file.
#[derive(Clone, Debug)]
enum Tamper {
    /// Other bits in one byte of a line.
    Edit(Index, Index, u8),
    /// Another target in a line.
    Forge(Index),
    Drop(Index),
    DropMany(Index, Index),
    Swap(Index, Index),
    /// A copy of one line before another.
    Insert(Index, Index),
    /// Everything from a line on is gone.
    Cut(Index),
    /// And a part of the line itself.
    CutWithin(Index, Index),
    DropFile(Index),
    SwapFiles(Index, Index),
    /// Everything from a line on is numbered and chained anew.
    Chain(Index),
    /// And its checkpoints are signed anew with another key.
    Sign(Index),
    /// Checkpoints are left out, and what follows is numbered and chained anew.
    Unsign(Index),
}

fn tampering() -> impl Strategy<Value = Vec<Tamper>> {
    let at = any::<Index>;
    let one = prop_oneof![
        (at(), at(), 1_u8..).prop_map(|(a, b, x)| Tamper::Edit(a, b, x)),
        at().prop_map(Tamper::Forge),
        at().prop_map(Tamper::Drop),
        (at(), at()).prop_map(|(a, b)| Tamper::DropMany(a, b)),
        (at(), at()).prop_map(|(a, b)| Tamper::Swap(a, b)),
        (at(), at()).prop_map(|(a, b)| Tamper::Insert(a, b)),
        at().prop_map(Tamper::Cut),
        (at(), at()).prop_map(|(a, b)| Tamper::CutWithin(a, b)),
        at().prop_map(Tamper::DropFile),
        (at(), at()).prop_map(|(a, b)| Tamper::SwapFiles(a, b)),
    ];
    let covering = prop_oneof![
        at().prop_map(Tamper::Chain),
        at().prop_map(Tamper::Sign),
        at().prop_map(Tamper::Unsign),
    ];
    // Whoever covers something up does it last.
    (
        prop::collection::vec(one, 1..3),
        prop::collection::vec(covering, 0..2),
    )
        .prop_map(|(what, covering)| [what, covering].concat())
}

/// A log's lines, with the file of each.
type Lines = Vec<(usize, Vec<u8>)>;

struct Log {
    directory: TempDir,
    files: Vec<PathBuf>,
    lines: Lines,
}

impl Log {
    /// Of some runs that end with a checkpoint each, and one that was killed.
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit.jsonl");
        for run in 0..8 {
            let options = Options {
                rotation: Rotation {
                    size: Some(SMALLEST_FILE),
                    age: None,
                },
                sync: |_| Ok(()),
                ..signed(directory.path())
            };
            let log = AuditLog::open(&path, options).unwrap();
            for n in 0..6 {
                let target = format!("/bin/{run}-{n}{}", "/x".repeat(1900));
                log.append(&entry(&target)).unwrap();
            }
            log.append(&denied(Operation::FileWrite, "/etc/x")).unwrap();
            if run < 7 {
                log.checkpoint().unwrap();
            }
        }
        let mut files: Vec<PathBuf> = fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|file| file.is_file() && *file != path)
            .collect();
        files.sort();
        files.push(path);
        assert!(files.len() >= 3, "{files:?}");
        let lines = files
            .iter()
            .enumerate()
            .flat_map(|(n, file)| lines(file).into_iter().map(move |l| (n, l.into_bytes())))
            .collect();
        Self {
            directory,
            files,
            lines,
        }
    }

    fn path(&self) -> &Path {
        self.files.last().unwrap()
    }

    fn write(&self, lines: &Lines, torn: bool) {
        for (n, file) in self.files.iter().enumerate() {
            let mut text = Vec::new();
            for (_, line) in lines.iter().filter(|(of, _)| *of == n) {
                text.extend_from_slice(line);
                text.push(b'\n');
            }
            if torn && lines.last().is_some_and(|(of, _)| *of == n) {
                text.pop();
            }
            if text.is_empty() && n + 1 < self.files.len() {
                let _ = fs::remove_file(file);
            } else {
                fs::write(file, text).unwrap();
            }
        }
    }

    fn verdict(&self, key: &PrivateKey, head: Option<Hash>) -> Verdict {
        let expected = Expected {
            head,
            keys: vec![key.public().clone()],
            ..Expected::default()
        };
        verify(self.path(), &expected).unwrap()
    }
}

fn body(line: &[u8]) -> &[u8] {
    const PREV: &[u8] = b",\"prev\"";
    let at = line.windows(PREV.len()).rposition(|w| w == PREV);
    &line[..at.unwrap_or(line.len())]
}

/// The lines from `from` on, numbered and chained anew; checkpoints signed by `key`, if given.
fn chain_anew(lines: &mut Lines, from: usize, key: Option<&PrivateKey>) {
    let hash_of = |line: &[u8]| {
        let at = line.len().checked_sub(66)?;
        Hash::from_hex(line.get(at..at + 64)?)
    };
    let mut prev = match from.checked_sub(1) {
        Some(before) => hash_of(&lines[before].1).unwrap_or(GENESIS),
        None => GENESIS,
    };
    for (n, (_, line)) in lines.iter_mut().enumerate().skip(from) {
        let text = String::from_utf8_lossy(body(line)).into_owned();
        let Some((_, rest)) = text.split_once(",\"timestamp\"") else {
            continue;
        };
        let mut body = format!("{{\"v\":1,\"seq\":{},\"timestamp\"{rest}", n + 1);
        if let Some(key) = key
            && let Ok(mut record) = serde_json::from_str::<Value>(&format!("{body}}}"))
            && record["operation"] == "checkpoint"
        {
            let text = format!(
                "{}\n{n}\n{}\n",
                key.public().name(),
                base64_of(&prev.bytes())
            );
            record["detail"]["key"] = json!(key.public().to_string());
            record["detail"]["note"] = json!(format!("{text}\n{}", key.sign(&text)));
            body = record.to_string();
            body.pop();
        }
        let hash = chain::hash(&prev, body.as_bytes());
        *line = format!("{body},\"prev\":\"{prev}\",\"hash\":\"{hash}\"}}").into_bytes();
        prev = hash;
    }
}

/// Does `what` to `lines`. Whether the last line lost its end.
fn tamper(lines: &mut Lines, files: usize, what: &Tamper, stranger: &PrivateKey) -> bool {
    if lines.is_empty() {
        return false;
    }
    let len = lines.len();
    let at = |index: &Index| index.index(len);
    match what {
        Tamper::Edit(line, byte, bits) => {
            let line = &mut lines[at(line)].1;
            if line.is_empty() {
                return false;
            }
            let byte = byte.index(line.len());
            line[byte] ^= bits;
        }
        Tamper::Forge(line) => {
            let line = &mut lines[at(line)].1;
            let text = String::from_utf8_lossy(line).into_owned();
            *line = text
                .replacen("\"target\":\"", "\"target\":\"!", 1)
                .into_bytes();
        }
        Tamper::Drop(line) => drop(lines.remove(at(line))),
        Tamper::DropMany(a, b) => {
            let (a, b) = (at(a).min(at(b)), at(a).max(at(b)));
            drop(lines.drain(a..b));
        }
        Tamper::Swap(a, b) => {
            let (a, b) = (at(a), at(b));
            let line = lines[a].1.clone();
            lines[a].1 = std::mem::replace(&mut lines[b].1, line);
        }
        Tamper::Insert(a, b) => {
            let (a, b) = (at(a), at(b));
            let line = lines[a].1.clone();
            let file = lines[b].0;
            lines.insert(b, (file, line));
        }
        Tamper::Cut(from) => lines.truncate(at(from)),
        Tamper::CutWithin(from, byte) => {
            lines.truncate(at(from) + 1);
            let line = &mut lines.last_mut().unwrap().1;
            let keep = byte.index(line.len().max(1));
            line.truncate(keep);
            return true;
        }
        Tamper::DropFile(file) => {
            let file = file.index(files);
            lines.retain(|(of, _)| *of != file);
        }
        Tamper::SwapFiles(a, b) => {
            let (a, b) = (a.index(files), b.index(files));
            for (of, _) in lines.iter_mut() {
                *of = match *of {
                    f if f == a => b,
                    f if f == b => a,
                    f => f,
                };
            }
            lines.sort_by_key(|(of, _)| *of);
        }
        Tamper::Chain(from) => chain_anew(lines, at(from), None),
        Tamper::Sign(from) => chain_anew(lines, at(from), Some(stranger)),
        Tamper::Unsign(from) => {
            let from = at(from);
            let checkpoint = b"\"operation\":\"checkpoint\"";
            let mut n = 0;
            lines.retain(|(_, line)| {
                n += 1;
                n <= from || !line.windows(checkpoint.len()).any(|w| w == checkpoint)
            });
            chain_anew(lines, from.min(lines.len()), None);
        }
    }
    false
}

#[test]
fn whatever_is_done_to_a_log_is_found_as_documented() {
    const CASES: u32 = 600;
    let log = Log::new();
    let text = fs::read_to_string(log.directory.path().join("keys/audit.key")).unwrap();
    let own = PrivateKey::parse(text.trim_end()).unwrap();
    let stranger = PrivateKey::generate().unwrap();
    let Verdict::Whole(Whole { head, .. }) = log.verdict(&own, None) else {
        panic!();
    };
    let good = &log.lines;
    let mut runner = TestRunner::new(Config {
        cases: CASES,
        failure_persistence: None,
        ..Config::default()
    });
    let (mut found, mut cut) = (0, 0);
    let cell = std::cell::RefCell::new((&mut found, &mut cut));
    let outcome = runner.run(&tampering(), |steps| {
        let mut lines = good.clone();
        let mut torn = false;
        for step in &steps {
            let tears = tamper(&mut lines, log.files.len(), step, &stranger);
            torn = (torn || tears) && !lines.is_empty();
        }
        log.write(&lines, torn);
        if !torn && lines == *good {
            return Ok(());
        }
        let with_head = log.verdict(&own, Some(head));
        prop_assert!(matches!(with_head, Verdict::Broken(_)), "{with_head:?}");
        match log.verdict(&own, None) {
            Verdict::Broken(_) => *cell.borrow_mut().0 += 1,
            Verdict::Whole(Whole {
                records,
                signatures: Signatures { signed_to, .. },
                ..
            }) => {
                *cell.borrow_mut().1 += 1;
                let signed = usize::try_from(signed_to).unwrap();
                prop_assert!(signed < lines.len() || lines.is_empty());
                prop_assert_eq!(records, lines.len() as u64);
                let texts = |lines: &Lines| -> Vec<Vec<u8>> {
                    lines.iter().take(signed).map(|(_, l)| l.clone()).collect()
                };
                prop_assert!(texts(&lines) == texts(good), "signed up to {signed}");
            }
        }
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
    assert!(
        found > CASES / 2 && cut > 10,
        "{found} found, {cut} cut or rewritten at the end"
    );
}
