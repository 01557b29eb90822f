//! Whether a log is whole, and if not, where and how it was changed.
//!
//! An edit, a line left out, put in or moved, and a torn end are found, with the first bad line,
//! and so is a file that is missing, or that another one took the place of. Checkpoints show a log
//! that was rewritten by someone who has not the key that signs it; see
//! [`checkpoint`](crate::checkpoint). What nothing in the log shows: that its end was cut off after
//! some checkpoint, and anything that the owner of the key does. For these, keep a head elsewhere
//! and pass it as [`Expected::head`].

use std::fmt;
use std::path::{Path, PathBuf};

use crate::chain::{self, Hash, Link, Parts, START};
use crate::checkpoint::{Checks, Signatures};
use crate::json::is_open_object;
use crate::note::PublicKey;
use crate::reader::{LogReader, ReadError};
use crate::{AuditError, Fault};

/// What is known of the log from elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// A hash that was the log's head once: it must be in the chain still. The log may have
    /// grown since.
    pub head: Option<Hash>,
    /// The log must reach to this record at least.
    pub min_seq: Option<u64>,
    /// Keys of which one must be among those that sign the log. Empty: any key will do, as long
    /// as each change of key is signed by the one before.
    pub keys: Vec<PublicKey>,
    /// The oldest files may have been moved elsewhere: the log may begin with the checkpoint that
    /// a file begins with.
    pub partial: bool,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(
    clippy::large_enum_variant,
    reason = "there is one, and it lives for a moment"
)]
pub enum Verdict {
    /// Every line is as it was written.
    Whole(Whole),
    /// Some line is not.
    Broken(Broken),
}

/// A log that is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whole {
    /// How many records it has.
    pub records: u64,
    /// The hash of the last.
    pub head: Hash,
    /// The number of the last; 0 if there is none.
    pub last_seq: u64,
    /// What of it is signed, and by whom.
    pub signatures: Signatures,
}

/// The first thing that is wrong with a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The file that it is in.
    pub file: PathBuf,
    /// The first bad line in that file, from 1.
    pub line: u64,
    /// The number of the record concerned, if known: of the first missing one where records are
    /// missing.
    pub seq: Option<u64>,
    /// What was done.
    pub what: Damage,
    /// The same in words.
    pub message: String,
}

/// What can have been done to a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// A record was changed.
    Edited,
    /// Records are missing before a line.
    Dropped,
    /// A record stands before one that it should follow.
    Reordered,
    /// A line was put in.
    Inserted,
    /// The end is missing.
    Cut,
    /// A line is nothing that codex writes.
    NotARecord,
    /// A checkpoint does not vouch for what stands before it, or not by the key that it should.
    BadSignature,
}

impl Damage {
    /// Every value.
    pub const ALL: &'static [Self] = &[
        Self::Edited,
        Self::Dropped,
        Self::Reordered,
        Self::Inserted,
        Self::Cut,
        Self::NotARecord,
        Self::BadSignature,
    ];

    /// The word for it on the command line and in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Edited => "edited",
            Self::Dropped => "dropped",
            Self::Reordered => "reordered",
            Self::Inserted => "inserted",
            Self::Cut => "cut",
            Self::NotARecord => "not_a_record",
            Self::BadSignature => "bad_signature",
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Verifies the log at `path`, as it stands now.
///
/// # Errors
/// When it cannot be opened or read. A log that was changed is no error but a verdict.
pub fn verify(path: &Path, expected: &Expected) -> Result<Verdict, AuditError> {
    let reader = LogReader::open(path)?;
    verify_lines(reader, expected).map_err(|e| Fault::Read(e).at(path))
}

/// Where the log at `path` ends: the number and hash of its last record, which is what to keep
/// elsewhere. Reads only the end.
///
/// # Errors
/// When it cannot be opened or read, or its end is no record.
pub fn head(path: &Path) -> Result<Link, AuditError> {
    let read = || {
        let file = crate::file::open_to_read(path)?;
        let length = file.metadata().map_err(Fault::Read)?.len();
        Ok(crate::tail::read_log(path, &file, length)?.link)
    };
    read().map_err(|fault: Fault| fault.at(path))
}

fn verify_lines(mut lines: LogReader, expected: &Expected) -> Result<Verdict, std::io::Error> {
    let mut chain = Chain {
        last: Link::GENESIS,
        before_last: Link::GENESIS,
        expected,
        checks: Checks::new(&expected.keys),
        head_seen: expected.head.is_none_or(|head| head == chain::GENESIS),
        records: 0,
        line: 0,
    };
    loop {
        let found = match lines.next_line() {
            Ok(None) => return Ok(chain.finish(lines.file())),
            Ok(Some(line)) if !line.ended => Err(Found::Broken {
                line: line.number,
                seq: None,
                what: Damage::Cut,
                message: format!(
                    "line {} was not written to its end: the process that wrote it was killed, or the file was cut",
                    line.number
                ),
            }),
            Ok(Some(line)) => {
                chain.line = line.number;
                chain.take(line.bytes)
            }
            Err(ReadError::TooLong { line }) => Err(Found::Broken {
                line,
                seq: None,
                what: Damage::NotARecord,
                message: ReadError::TooLong { line }.to_string(),
            }),
            Err(ReadError::Io(e)) => return Err(e),
        };
        match found {
            Ok(()) => {}
            Err(Found::Broken {
                line,
                seq,
                what,
                message,
            }) => {
                return Ok(Verdict::Broken(Broken {
                    file: lines.file().to_owned(),
                    line,
                    seq,
                    what,
                    message,
                }));
            }
            Err(Found::Gap { to }) => return Ok(Verdict::Broken(chain.gap(lines, to)?)),
        }
    }
}

/// What keeps a line from following.
enum Found {
    Broken {
        line: u64,
        seq: Option<u64>,
        what: Damage,
        message: String,
    },
    /// Records are missing before record `to`; they may yet come.
    Gap { to: u64 },
}

struct Chain<'e> {
    /// The last line's link, and the one of the line before it.
    last: Link,
    before_last: Link,
    expected: &'e Expected,
    checks: Checks<'e>,
    head_seen: bool,
    records: u64,
    /// The number of the line at hand, in its file.
    line: u64,
}

impl Chain<'_> {
    fn take(&mut self, line: &[u8]) -> Result<(), Found> {
        let Some(parts) = chain::split(line) else {
            return Err(self.no_record(line));
        };
        if !parts.is_sealed() {
            let message = format!("line {} does not have the hash of its contents", self.line);
            return Err(self.broken(Damage::Edited, parts.seq, message));
        }
        let begins_file = self.line == 1 && self.records == 0 && self.checks.may_be_one(line);
        if self.expected.partial && begins_file && parts.seq > 1 {
            self.last = Link {
                seq: parts.seq - 1,
                hash: parts.prev,
            };
            self.before_last = self.last;
        }
        let due = self.last.seq + 1;
        if parts.prev != self.last.hash || parts.seq != due {
            return Err(self.no_successor(&parts, due));
        }
        if !is_open_object(parts.body) {
            let message = format!("line {} is not valid JSON", self.line);
            return Err(self.broken(Damage::NotARecord, parts.seq, message));
        }
        if let Err(cause) = self.checks.take(line, &self.last) {
            let message = format!("the checkpoint in line {}: {cause}", self.line);
            return Err(self.broken(Damage::BadSignature, parts.seq, message));
        }
        self.before_last = self.last;
        self.last = parts.link();
        self.records += 1;
        self.head_seen |= self.expected.head == Some(parts.hash);
        Ok(())
    }

    fn no_record(&self, line: &[u8]) -> Found {
        let was_one = line.starts_with(START);
        let (what, message) = if was_one {
            let message = format!("line {} lost the shape of a record", self.line);
            (Damage::Edited, message)
        } else {
            let message = format!("line {} is nothing that this codex writes", self.line);
            (Damage::NotARecord, message)
        };
        Found::Broken {
            line: self.line,
            seq: was_one.then_some(self.last.seq + 1),
            what,
            message,
        }
    }

    /// Why a line that is whole in itself does not follow the one before it.
    fn no_successor(&self, parts: &Parts<'_>, due: u64) -> Found {
        let line = self.line;
        let seq = parts.seq;
        if parts.prev == self.last.hash {
            let message =
                format!("line {line} has number {seq} where {due} follows, and a new hash");
            return self.broken(Damage::Edited, seq, message);
        }
        if seq > due {
            return Found::Gap { to: seq };
        }
        if line == 1 && self.records == 0 {
            let message = "line 1 follows another record: the beginning is missing".to_owned();
            return self.broken(Damage::Dropped, seq, message);
        }
        if line > 1
            && seq < due
            && parts.hash != self.last.hash
            && parts.prev == self.before_last.hash
        {
            return Found::Broken {
                line: line - 1,
                seq: Some(self.last.seq),
                what: Damage::Inserted,
                message: format!(
                    "line {} was put in: line {line} follows the line before it",
                    line - 1
                ),
            };
        }
        if seq < due {
            // All records up to here were seen and are whole, so this one was there already.
            let message = format!("line {line} is record {seq} once more");
            return self.broken(Damage::Inserted, seq, message);
        }
        if line == 1 {
            let message = format!(
                "this file does not follow the one before it, which ends with record {} otherwise",
                self.last.seq
            );
            return self.broken(Damage::Edited, seq, message);
        }
        Found::Broken {
            line: line - 1,
            seq: Some(self.last.seq),
            what: Damage::Edited,
            message: format!(
                "line {} was rewritten with a new hash: line {line} follows another one",
                line - 1
            ),
        }
    }

    /// Whether the record that is due comes later, or never.
    fn gap(&self, mut lines: LogReader, to: u64) -> Result<Broken, std::io::Error> {
        let due = self.last.seq + 1;
        let file = lines.file().to_owned();
        let broken = |what, message| Broken {
            file: file.clone(),
            line: self.line,
            seq: Some(due),
            what,
            message,
        };
        loop {
            match lines.next_line() {
                Ok(Some(line)) => {
                    if chain::split(line.bytes).is_some_and(|parts| parts.seq == due) {
                        let message = format!(
                            "record {due} is in line {}, after record {to} in line {}",
                            line.number, self.line
                        );
                        return Ok(broken(Damage::Reordered, message));
                    }
                }
                Ok(None) => break,
                Err(ReadError::TooLong { .. }) => {}
                Err(ReadError::Io(e)) => return Err(e),
            }
        }
        let missing = match to - 1 {
            last if last == due => format!("record {due} is"),
            last => format!("records {due} to {last} are"),
        };
        let message = format!("{missing} missing before line {}", self.line);
        Ok(broken(Damage::Dropped, message))
    }

    fn finish(self, file: &Path) -> Verdict {
        let broken = |what, message| {
            Verdict::Broken(Broken {
                file: file.to_owned(),
                line: self.line + 1,
                seq: Some(self.last.seq + 1),
                what,
                message,
            })
        };
        let cut = |message| broken(Damage::Cut, message);
        if let Some(min) = self.expected.min_seq.filter(|min| *min > self.last.seq) {
            return cut(format!(
                "the log ends at record {}, where {min} is expected at least",
                self.last.seq
            ));
        }
        if let Some(head) = self.expected.head.filter(|_| !self.head_seen) {
            return cut(format!(
                "no record has the expected hash {head}: the log was cut before it, or rewritten"
            ));
        }
        match self.checks.finish(self.last.seq) {
            Err(message) => broken(Damage::BadSignature, message),
            Ok(signatures) => Verdict::Whole(Whole {
                records: self.records,
                head: self.last.hash,
                last_seq: self.last.seq,
                signatures,
            }),
        }
    }

    fn broken(&self, what: Damage, seq: u64, message: String) -> Found {
        Found::Broken {
            line: self.line,
            seq: Some(seq),
            what,
            message,
        }
    }
}
