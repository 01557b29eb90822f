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
//! An [`AuditLog`] must not be used on both sides of a `fork`: the lock would be one and the same.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use codex_protocol::operation::{Operation, Outcome};
use codex_protocol::record::{Entry, Receipt, RecordError, Recorder};
use serde_json::{Value, json};

use crate::chain::{self, Link};
use crate::denials::{Collected, Denials};
use crate::file::{self, Locked, Share};
use crate::mask::Masker;
use crate::record::Masked;
use crate::tail::{self, Tail};
use crate::{AuditError, Fault};

/// What a log needs to know of its surroundings.
#[derive(Clone, Debug)]
pub struct Options {
    /// The home directory of the person, shown as `[HOME]`.
    pub home: Option<PathBuf>,
    /// The clock that dates the records.
    pub clock: fn() -> SystemTime,
}

impl Default for Options {
    /// No home, and the system's clock.
    fn default() -> Self {
        Self {
            home: None,
            clock: SystemTime::now,
        }
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
    file: File,
    masker: Masker,
    clock: fn() -> SystemTime,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// How long the file was, and its last record, when we last saw it.
    length: u64,
    link: Link,
    written: Written,
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
            let tail = tail::read(&file, file::length(&file)?)?;
            (tail.whole, tail.link)
        };
        Ok(Self {
            path: path.to_owned(),
            file,
            masker: Masker::new(options.home.as_deref()),
            clock: options.clock,
            state: Mutex::new(State {
                length,
                link,
                written: Written::default(),
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

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in it is taken on trust: the next append compares it with the file.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, entry: &Entry) -> Result<u64, Fault> {
        let mut masked = Masked::new(&self.masker, entry);
        let mut guard = self.state();
        let state = &mut *guard;
        let locked = Locked::take(&self.file, Share::Exclusive)?;
        if let Some(recovered) = self.catch_up(state)? {
            masked.add_detail("recovered", recovered);
        }
        let seq = state.link.seq + 1;
        masked.write_body(&mut state.line, seq, (self.clock)())?;
        let hash = chain::seal(&mut state.line, &state.link.hash);
        if let Err(e) = (&self.file).write_all(&state.line) {
            // Half a line must not stay. If it cannot be taken back, the next append finds it
            // torn: the length that we remember is the one before it.
            let _ = self.file.set_len(state.length);
            return Err(Fault::Write(e));
        }
        state.length += state.line.len() as u64;
        state.link = Link { seq, hash };
        drop(locked);
        state.written.first_seq.get_or_insert(seq);
        state.written.last_seq = Some(seq);
        if entry.outcome == Outcome::Denied {
            state.denied.add(&masked, seq);
        }
        drop(guard);
        if must_last(entry) {
            self.file.sync_data().map_err(Fault::Sync)?;
        }
        Ok(seq)
    }

    /// Takes in what others wrote since. Answers what to say of a torn line, if there was one.
    fn catch_up(&self, state: &mut State) -> Result<Option<Value>, Fault> {
        let length = file::length(&self.file)?;
        if length == state.length {
            return Ok(None);
        }
        let Tail { link, whole, torn } = tail::read(&self.file, length)?;
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
            self.file.set_len(whole).map_err(Fault::Write)?;
            let name = to.display().to_string();
            Some(json!({"bytes": torn.len(), "file": self.masker.mask(&name)}))
        };
        state.length = whole;
        state.link = link;
        Ok(recovered)
    }
}

impl Recorder for AuditLog {
    fn append(&self, entry: &Entry) -> Result<Receipt, RecordError> {
        if entry.operation == Operation::FileRead && entry.outcome == Outcome::Allowed {
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

/// Whether the record must be on the disk before anything else happens: those that somebody
/// will ask for after a crash, and that are rare.
fn must_last(entry: &Entry) -> bool {
    entry.outcome == Outcome::Denied
        || matches!(
            entry.operation,
            Operation::Approval | Operation::ProfileChange
        )
}
