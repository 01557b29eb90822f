//! What the log signs of itself.
//!
//! A checkpoint is a record like any other, with operation `checkpoint`, and vouches for all that
//! stands before it. Its `detail` has `note`, a signed note ([`note`](crate::note)), and `key`,
//! the public key that it is signed with. The text of the note has the form of
//! <https://c2sp.org/tlog-checkpoint>:
//!
//! ```text
//! codex-audit-v1/0123456789abcdef        the name of the key
//! 1000                                   how many records stand before it
//! 7hPs…=                                 the hash of the last of these, in base64
//! ```
//!
//! That hash is the head of the chain and not the root of a Merkle tree; the name says which
//! format it is. Where one key takes another's place, a fourth line, `next KEY`, names the new
//! one, and both have signed.
//!
//! There is a checkpoint after every record whose number is a multiple of [`EVERY`], at the end of
//! a run, and when a file is closed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem;
use serde_json::{Value, json};

use codex_protocol::operation::Operation;

use crate::chain::Link;
use crate::note::{Note, PrivateKey, PublicKey};
use crate::record::Record;

/// Records from one checkpoint to the next, at most, while a process writes. A signature costs
/// some 20 microseconds and the disk's own time to keep it: a thousand records spread that thin,
/// and are few enough to look through by eye.
pub const EVERY: u64 = 1000;

/// Records at the end that may be without a signature in a log that is signed: a process that is
/// killed right after the one that calls for a checkpoint leaves it to the next one due.
pub const MOST_UNSIGNED: u64 = 2 * EVERY;

/// Which rule its records name.
pub(crate) const RULE: &str = "audit.checkpoint";

/// Begins the line that names the key that follows.
const NEXT: &str = "next ";

/// The `detail` of the checkpoint that follows `link`, signed by `key`, and by `next` where that
/// one takes its place.
pub(crate) fn detail(link: &Link, key: &PrivateKey, next: Option<&PrivateKey>) -> Value {
    let mut text = text(link, key.public());
    if let Some(next) = next {
        text.push_str(&format!("{NEXT}{}\n", next.public()));
    }
    let mut note = format!("{text}\n{}", key.sign(&text));
    if let Some(next) = next {
        note.push_str(&next.sign(&text));
    }
    json!({ "key": key.public().to_string(), "note": note })
}

fn text(link: &Link, key: &PublicKey) -> String {
    let hash = STANDARD.encode(link.hash.bytes());
    format!("{}\n{}\n{hash}\n", key.name(), link.seq)
}

/// One key taking another's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyChange {
    /// The record that is the first to be signed by it.
    pub seq: u64,
    /// The key that signs from there on.
    pub key: PublicKey,
    /// Whether the key before it says so. Otherwise it is taken for it because it was expected.
    pub vouched: bool,
}

/// Whose signatures a log has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signatures {
    /// How many checkpoints were found. Each signature holds.
    pub checkpoints: u64,
    /// The last record that is vouched for; 0 if none is.
    pub signed_to: u64,
    /// The key that signed last.
    pub key: Option<PublicKey>,
    /// The changes of key.
    pub changes: Vec<KeyChange>,
}

/// More changes of key than a log has. A forged one must not fill the memory.
const MOST_CHANGES: usize = 1000;

/// Checks the checkpoints of one log, in their order.
#[derive(Debug)]
pub(crate) struct Checks<'e> {
    expected: &'e [PublicKey],
    found: Signatures,
    /// Whether an expected key is among those that signed.
    anchored: bool,
    /// Finds what may be a checkpoint.
    marks: memmem::Finder<'static>,
}

impl<'e> Checks<'e> {
    pub(crate) fn new(expected: &'e [PublicKey]) -> Self {
        Self {
            expected,
            found: Signatures::default(),
            anchored: expected.is_empty(),
            marks: memmem::Finder::new(br#""operation":"checkpoint""#),
        }
    }

    /// Whether `line` may be a checkpoint. Every checkpoint may be one.
    pub(crate) fn may_be_one(&self, line: &[u8]) -> bool {
        self.marks.find(line).is_some()
    }

    /// Checks `line`, which follows `before` as the chain wants it, if it is a checkpoint.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn take(&mut self, line: &[u8], before: &Link) -> Result<(), String> {
        if !self.may_be_one(line) {
            return Ok(());
        }
        // The words may stand in the detail of another record.
        match Record::parse(line) {
            Ok(record) if record.operation != Operation::Checkpoint => Ok(()),
            Ok(record) => self.check(&record, before),
            Err(cause) => Err(format!("it cannot be read: {cause}")),
        }
    }

    fn check(&mut self, record: &Record, before: &Link) -> Result<(), String> {
        let text_of = |name: &str| record.detail.as_ref()?.get(name)?.as_str();
        let (Some(key), Some(note)) = (text_of("key"), text_of("note")) else {
            // A file that was closed by a writer without a key says only that.
            return Ok(());
        };
        let key = PublicKey::parse(key).map_err(|e| e.to_string())?;
        let note = Note::parse(note).ok_or("its note has not the form of one")?;
        let rest = note
            .text
            .strip_prefix(&text(before, &key))
            .ok_or("it vouches for something else than what stands before it")?;
        let next = match rest.strip_prefix(NEXT) {
            Some(next) => {
                let next = next.strip_suffix('\n').ok_or("its note has an open line")?;
                Some(PublicKey::parse(next).map_err(|e| e.to_string())?)
            }
            None if rest.is_empty() => None,
            None => return Err("its note says more than a checkpoint does".to_owned()),
        };
        self.accept(&key, record.seq)?;
        for key in std::iter::once(&key).chain(&next) {
            if !key.signed(&note) {
                return Err(format!("the signature of {} does not hold", key.name()));
            }
        }
        if let Some(next) = next {
            self.anchored |= self.expected.contains(&next);
            self.change(next, record.seq, true)?;
        }
        self.found.checkpoints += 1;
        self.found.signed_to = before.seq;
        Ok(())
    }

    /// Whether `key` may sign record `seq`.
    fn accept(&mut self, key: &PublicKey, seq: u64) -> Result<(), String> {
        self.anchored |= self.expected.contains(key);
        match &self.found.key {
            Some(known) if known == key => Ok(()),
            None => {
                self.found.key = Some(key.clone());
                Ok(())
            }
            Some(_) if self.expected.contains(key) => self.change(key.clone(), seq, false),
            Some(known) => Err(format!(
                "it is signed by {}, where {} signed before and names no other",
                key.name(),
                known.name()
            )),
        }
    }

    fn change(&mut self, key: PublicKey, seq: u64, vouched: bool) -> Result<(), String> {
        if self.found.changes.len() == MOST_CHANGES {
            return Err(format!("there are more than {MOST_CHANGES} changes of key"));
        }
        self.found.key = Some(key.clone());
        self.found.changes.push(KeyChange { seq, key, vouched });
        Ok(())
    }

    /// What is there, of a log whose last record is `last`.
    ///
    /// # Errors
    /// What is missing.
    pub(crate) fn finish(self, last: u64) -> Result<Signatures, String> {
        let Signatures {
            checkpoints,
            signed_to,
            ..
        } = self.found;
        if !self.anchored && checkpoints > 0 {
            return Err(
                "no checkpoint is signed by an expected key: the log was written elsewhere, or rewritten"
                    .to_owned(),
            );
        }
        if !self.expected.is_empty() && last - signed_to > MOST_UNSIGNED {
            return Err(format!(
                "no signature vouches for records {} to {last}, where every {EVERY} records there is one",
                signed_to + 1
            ));
        }
        Ok(self.found)
    }
}
