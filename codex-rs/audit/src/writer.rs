//! Appending to the log.
//!
//! Several processes write to one log. Each append takes an exclusive `flock`, looks whether the
//! file is as long as this process left it, and if not reads the last line to continue the chain
//! from there; then it writes one line in one call and lets go. A log that is shorter than this
//! process left it was tampered with: from then on nothing is recorded, so nothing is allowed.
//!
//! A process that is killed in the middle of a line leaves a torn one. The next to append moves
//! its bytes to `LOG.torn-N` and says so in its own record:
//! `"detail":{"recovered":{"bytes":123,"file":"…/audit.jsonl.torn-1"}}`. A line that could not be
//! written in full, because the disk is full say, is taken back at once.
//!
//! Denials, approvals and changes of profile are brought to the disk before `append` returns
//! (after the lock is released, so that others need not wait for the disk). Allowed reads of
//! files are not recorded.
//!
//! Every [`checkpoint::EVERY`] records, and where [`AuditLog::checkpoint`] asks for it, the log is
//! signed; that too is on the disk at once, and with it all that stands before.
//!
//! A file that is as large or as old as [`Rotation`] says is closed and followed by a new one,
//! under the lock, see [`segments`](crate::segments). Another process finds, once it has the lock,
//! that the log's name means another file, and goes on in that one.
//!
//! An [`AuditLog`] must not be used on both sides of a `fork`: the lock would be one and the same.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use codex_protocol::operation::{Evidence, Operation, Outcome};
use codex_protocol::record::{Entry, Receipt, RecordError, Recorder, Subject};
use serde_json::{Value, json};

use crate::chain::{self, Link};
use crate::denials::{Collected, Denials};
use crate::detail::Detail;
use crate::file::{self, Locked, Share};
use crate::mask::Masker;
use crate::note::PublicKey;
use crate::record::Masked;
use crate::segments::{self, Beginning};
use crate::tail::{self, Tail};
use crate::{AuditError, Fault, checkpoint, key};

/// The smallest size that a file is closed at, in bytes: what a directory full of files would cost
/// is more than what is won.
pub const SMALLEST_FILE: u64 = 64 << 10;
/// The youngest age that a file is closed at.
pub const YOUNGEST_FILE: Duration = Duration::from_secs(60);

/// What a log needs to know of its surroundings.
#[derive(Clone, Debug)]
pub struct Options {
    /// The home directory of the person, shown as `[HOME]`.
    pub home: Option<PathBuf>,
    /// The file with the key that signs the log, made when it is first needed. `None`: the log is
    /// not signed.
    pub key: Option<PathBuf>,
    /// How much of each act is kept.
    pub detail: Detail,
    /// When a file is full.
    pub rotation: Rotation,
    /// The clock that dates the records.
    pub clock: fn() -> SystemTime,
    /// What brings a file's contents to the disk.
    pub sync: fn(&File) -> io::Result<()>,
}

impl Default for Options {
    /// No home, no key, normal detail, one file, the system's clock and disk.
    fn default() -> Self {
        Self {
            home: None,
            key: None,
            detail: Detail::Normal,
            rotation: Rotation::default(),
            clock: SystemTime::now,
            sync: File::sync_data,
        }
    }
}

/// When a file of a log is closed and followed by a new one. `None`: never for this reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rotation {
    /// Once it has so many bytes; [`SMALLEST_FILE`] at least.
    pub size: Option<u64>,
    /// Once its first record is so old; [`YOUNGEST_FILE`] at least.
    pub age: Option<Duration>,
}

impl Rotation {
    fn is_due(self, length: u64, began: Option<Beginning>, clock: fn() -> SystemTime) -> bool {
        let large = self
            .size
            .is_some_and(|size| length >= size.max(SMALLEST_FILE));
        let old = self.age.is_some_and(|age| {
            let now = clock().duration_since(SystemTime::UNIX_EPOCH);
            let second = began.and_then(|began| u64::try_from(began.second).ok());
            let (Ok(now), Some(second)) = (now, second) else {
                return false;
            };
            now.as_secs() >= second.saturating_add(age.max(YOUNGEST_FILE).as_secs())
        });
        large || old
    }
}

/// Which records one [`AuditLog`] wrote. Records of other processes may stand between them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// The number of the first, if any.
    pub first_seq: Option<u64>,
    /// The number of the last.
    pub last_seq: Option<u64>,
}

/// The log, open for appending.
#[derive(Debug)]
pub struct AuditLog {
    path: PathBuf,
    options: Options,
    masker: Masker,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The file that the log's name meant when we last looked.
    file: Arc<File>,
    /// How it begins, where its age matters.
    began: Option<Beginning>,
    /// Whether a full file can be closed here.
    closes: bool,
    /// How long the file was, and its last record, when we last saw it.
    length: u64,
    link: Link,
    written: Written,
    /// On whose behalf the last record was, and the last checkpoint that was written by us.
    subject: Option<Subject>,
    signed: Option<u64>,
    denied: Collected,
    /// The line being made; kept for its memory.
    line: Vec<u8>,
}

impl AuditLog {
    /// Opens the log at `path`; makes it, for its owner only, if it is not there.
    ///
    /// # Errors
    /// When it cannot be made or opened, when it is not a file that only the caller can write,
    /// or when its end is no record.
    pub fn open(path: &Path, options: Options) -> Result<Self, AuditError> {
        Self::open_file(path, options).map_err(|fault| fault.at(path))
    }

    fn open_file(path: &Path, options: Options) -> Result<Self, Fault> {
        let file = file::open_to_append(path)?;
        let (length, link) = {
            let _locked = Locked::take(&file, Share::Exclusive)?;
            // A torn end stays until there is a record to tell of it; `whole` differs from the
            // length then, so that the first append looks again.
            let tail = tail::read_log(path, &file, file::length(&file)?)?;
            (tail.whole, tail.link)
        };
        let began = match options.rotation.age {
            Some(_) => segments::beginning(&file)?,
            None => None,
        };
        Ok(Self {
            path: path.to_owned(),
            masker: Masker::new(options.home.as_deref()),
            options,
            state: Mutex::new(State {
                file: Arc::new(file),
                began,
                closes: true,
                length,
                link,
                written: Written::default(),
                subject: None,
                signed: None,
                denied: Collected::default(),
                line: Vec::new(),
            }),
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What masks its texts, for whoever shows the same texts elsewhere.
    pub fn masker(&self) -> &Masker {
        &self.masker
    }

    /// Which records were written through this value.
    pub fn written(&self) -> Written {
        self.state().written
    }

    /// What of these was denied.
    pub fn denied(&self) -> Denials {
        self.state().denied.denials().clone()
    }

    /// Signs what was written through this value and is not signed yet, and brings it to the disk:
    /// for the end of a run. Answers the number of the checkpoint, if there was something to sign
    /// and there is a key to sign it with.
    ///
    /// # Errors
    /// When the key cannot be used or the record not be written.
    pub fn checkpoint(&self) -> Result<Option<u64>, AuditError> {
        let done = || {
            let mut guard = self.state();
            let state = &mut *guard;
            let (Some(key), Some(subject)) = (&self.options.key, state.subject.clone()) else {
                return Ok(None);
            };
            if state.signed == state.written.last_seq {
                return Ok(None);
            }
            let file = self.exclusively(state, &subject, |state, recovered| {
                let detail = checkpoint::detail(&state.link, &key::load_or_create(key)?, None);
                self.sign(state, &subject, "the run has ended", detail, recovered)
            })?;
            (self.options.sync)(&file).map_err(Fault::Sync)?;
            Ok(state.signed)
        };
        done().map_err(|fault: Fault| fault.at(&self.path))
    }

    /// Puts a new key in the place of the one that signs the log, and records that, signed by
    /// both. Where there was none, one is made.
    ///
    /// # Errors
    /// When there is no file for keys, one of the keys cannot be used, or the record cannot be
    /// written.
    pub fn change_key(&self, subject: &Subject) -> Result<PublicKey, AuditError> {
        let done = || {
            let path = self.options.key.as_deref().ok_or_else(|| Fault::Key {
                file: PathBuf::new(),
                cause: "no file for it is named".to_owned(),
            })?;
            let mut guard = self.state();
            let mut public = None;
            let file = self.exclusively(&mut guard, subject, |state, recovered| {
                let old = key::load(path)?;
                let (new, made) = key::write_new(path)?;
                let (why, detail) = match &old {
                    Some(old) => (
                        "a new key signs from here on",
                        checkpoint::detail(&state.link, old, Some(&new)),
                    ),
                    None => (
                        "the log has a key now",
                        checkpoint::detail(&state.link, &new, None),
                    ),
                };
                let file = Arc::clone(&state.file);
                self.sign(state, subject, why, detail, recovered)?;
                (self.options.sync)(&file).map_err(Fault::Sync)?;
                public = Some(new.public().clone());
                key::replace(path, &made)
            });
            file?;
            public.ok_or(Fault::Removed)
        };
        done().map_err(|fault: Fault| fault.at(&self.path))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in it is taken on trust: the next append compares it with the file.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, entry: &Entry) -> Result<u64, Fault> {
        let masked = Masked::new(&self.masker, entry, self.options.detail);
        let mut guard = self.state();
        let state = &mut *guard;
        let mut must_last = must_last(entry);
        let mut seq = 0;
        let file = self.exclusively(state, &entry.subject, |state, recovered| {
            let masked = masked.with_detail("recovered", recovered);
            seq = self.put(state, &masked)?;
            if state.subject.as_ref() != Some(&entry.subject) {
                state.subject = Some(entry.subject.clone());
            }
            if entry.outcome == Outcome::Denied {
                state.denied.add(&masked, seq);
            }
            if let Some(key) = &self.options.key
                && seq.is_multiple_of(checkpoint::EVERY)
            {
                let detail = checkpoint::detail(&state.link, &key::load_or_create(key)?, None);
                let why = format!("{} records more", checkpoint::EVERY);
                self.sign(state, &entry.subject, &why, detail, None)?;
                must_last = true;
            }
            Ok(())
        })?;
        drop(guard);
        if must_last {
            (self.options.sync)(&file).map_err(Fault::Sync)?;
        }
        Ok(seq)
    }

    /// Does `what` while no other process writes: `state` then tells where the log ends, and there
    /// is room in its file. `what` is told what to say of a torn line. Answers the file.
    fn exclusively(
        &self,
        state: &mut State,
        subject: &Subject,
        what: impl FnOnce(&mut State, Option<Value>) -> Result<(), Fault>,
    ) -> Result<Arc<File>, Fault> {
        loop {
            let file = Arc::clone(&state.file);
            let locked = Locked::take(&file, Share::Exclusive)?;
            if !file::is_at(&file, &self.path)? {
                // Closed, by another process or by ourselves in the round before.
                drop(locked);
                self.reopen(state)?;
                continue;
            }
            let recovered = self.catch_up(state)?;
            let Options {
                rotation, clock, ..
            } = &self.options;
            if recovered.is_none()
                && state.closes
                && rotation.is_due(state.length, state.began, *clock)
            {
                state.closes = self.close(state, subject)?;
                continue;
            }
            what(state, recovered)?;
            drop(locked);
            return Ok(file);
        }
    }

    fn reopen(&self, state: &mut State) -> Result<(), Fault> {
        let file = file::open_to_append(&self.path)?;
        if self.options.rotation.age.is_some() {
            state.began = segments::beginning(&file)?;
        }
        state.file = Arc::new(file);
        // None is as long as this: so its end is looked at.
        state.length = u64::MAX;
        Ok(())
    }

    /// Closes the full file and puts a new one in its place, see [`segments`]. Whether that can be
    /// done here.
    fn close(&self, state: &mut State, subject: &Subject) -> Result<bool, Fault> {
        let Some(began) = segments::beginning(&state.file)? else {
            return Ok(true);
        };
        let to = segments::closed_name(&self.path, began.seq);
        let fault = |source| Fault::Close {
            to: to.clone(),
            source,
        };
        (self.options.sync)(&state.file).map_err(Fault::Sync)?;
        let next = segments::next_name(&self.path);
        let mut detail = match &self.options.key {
            Some(key) => checkpoint::detail(&state.link, &key::load_or_create(key)?, None),
            None => json!({}),
        };
        let name = to.file_name().unwrap_or_default().to_string_lossy();
        detail["closed"] = json!(self.masker.mask(&name));
        let entry = checkpoint_entry(subject, "the file before this one is full", &state.link);
        let masked =
            Masked::new(&self.masker, &entry, Detail::Normal).with_own_detail(detail, None);
        let seq = state.link.seq + 1;
        masked.write_body(&mut state.line, seq, (self.options.clock)())?;
        chain::seal(&mut state.line, &state.link.hash);
        file::write_new(&next, &state.line).map_err(fault)?;
        if !file::link(&state.file, &self.path, &to).map_err(fault)? {
            // Nothing is lost with it: the record in it is not in the log.
            let _ = std::fs::remove_file(&next);
            return Ok(false);
        }
        file::rename(&next, &self.path).map_err(fault)?;
        state.note_written(seq);
        state.signed = Some(seq);
        Ok(true)
    }

    /// Writes the checkpoint that `detail` is of.
    fn sign(
        &self,
        state: &mut State,
        subject: &Subject,
        why: &str,
        detail: Value,
        recovered: Option<Value>,
    ) -> Result<(), Fault> {
        let entry = checkpoint_entry(subject, why, &state.link);
        let masked =
            Masked::new(&self.masker, &entry, Detail::Normal).with_own_detail(detail, recovered);
        let seq = self.put(state, &masked)?;
        state.signed = Some(seq);
        Ok(())
    }

    /// Appends one line.
    fn put(&self, state: &mut State, masked: &Masked<'_>) -> Result<u64, Fault> {
        let seq = state.link.seq + 1;
        masked.write_body(&mut state.line, seq, (self.options.clock)())?;
        let hash = chain::seal(&mut state.line, &state.link.hash);
        if let Err(e) = (&*state.file).write_all(&state.line) {
            // Half a line must not stay. If it cannot be taken back, the next append finds it
            // torn: the length that we remember is the one before it.
            let _ = state.file.set_len(state.length);
            return Err(Fault::Write(e));
        }
        if state.length == 0 && self.options.rotation.age.is_some() {
            state.began = segments::beginning(&state.file)?;
        }
        state.length += state.line.len() as u64;
        state.link = Link { seq, hash };
        state.note_written(seq);
        Ok(seq)
    }

    /// Takes in what others wrote since. Answers what to say of a torn line, if there was one.
    fn catch_up(&self, state: &mut State) -> Result<Option<Value>, Fault> {
        let length = file::length(&state.file)?;
        if length == state.length {
            return Ok(None);
        }
        let Tail { link, whole, torn } = tail::read_log(&self.path, &state.file, length)?;
        if link.seq < state.link.seq || (link.seq == state.link.seq && link != state.link) {
            return Err(Fault::Shrunk {
                written: state.link.seq,
                now: link.seq,
            });
        }
        let recovered = if torn.is_empty() {
            None
        } else {
            let to = file::put_aside(&self.path, &torn)?;
            state.file.set_len(whole).map_err(Fault::Write)?;
            let name = to.display().to_string();
            Some(json!({"bytes": torn.len(), "file": self.masker.mask(&name)}))
        };
        state.length = whole;
        state.link = link;
        Ok(recovered)
    }
}

impl State {
    fn note_written(&mut self, seq: u64) {
        self.written.first_seq.get_or_insert(seq);
        self.written.last_seq = Some(seq);
    }
}

impl Recorder for AuditLog {
    fn append(&self, entry: &Entry) -> Result<Receipt, RecordError> {
        if entry.operation == Operation::FileRead
            && entry.outcome == Outcome::Allowed
            && self.options.detail < Detail::Full
        {
            return Ok(Receipt { seq: None });
        }
        match self.write(entry) {
            Ok(seq) => {
                crate::notice::written(&self.masker, entry, seq);
                Ok(Receipt { seq: Some(seq) })
            }
            Err(fault) => Err(fault.refuse(&self.path)),
        }
    }

    fn mask(&self, text: &str) -> String {
        self.masker.mask(text).into_owned()
    }
}

/// A checkpoint of the log that ends with `link`, but for its detail.
fn checkpoint_entry(subject: &Subject, why: &str, link: &Link) -> Entry {
    Entry {
        subject: subject.clone(),
        operation: Operation::Checkpoint,
        target: format!("records up to {}", link.seq),
        outcome: Outcome::Allowed,
        reason: why.to_owned(),
        rule: checkpoint::RULE.to_owned(),
        evidence: Evidence::Declared,
        pid: None,
        exe: None,
        count: None,
        detail: None,
    }
}

/// Whether the record must be on the disk before anything else happens: those that somebody
/// will ask for after a crash, and that are rare.
fn must_last(entry: &Entry) -> bool {
    entry.outcome == Outcome::Denied
        || matches!(
            entry.operation,
            Operation::Approval | Operation::ProfileChange
        )
}
