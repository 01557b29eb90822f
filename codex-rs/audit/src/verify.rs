//! Whether a log is whole, and if not, where and how it was changed.
//!
//! An edit, a line left out, put in or moved, and a torn end are found, with the first bad line.
//! Two things are not to be found in the file alone, since whoever can write it can do them
//! without a trace: rewriting everything from some line on, and cutting whole lines off the end.
//! For these, keep a head elsewhere and pass it as [`Expected::head`].

use std::fmt;
use std::io::BufRead;
use std::path::Path;

use serde::de::IgnoredAny;

use crate::chain::{self, Hash, Link, Parts, START};
use crate::reader::{LineReader, LogReader, ReadError};
use crate::{AuditError, Fault};

/// What is known of the log from elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// A hash that was the log's head once: it must be in the chain still. The log may have
    /// grown since.
    pub head: Option<Hash>,
    /// The log must reach to this record at least.
    pub min_seq: Option<u64>,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every line is as it was written.
    Whole(Whole),
    /// Some line is not.
    Broken(Broken),
}

/// A log that is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whole {
    /// How many records it has.
    pub records: u64,
    /// The hash of the last.
    pub head: Hash,
    /// The number of the last; 0 if there is none.
    pub last_seq: u64,
}

/// The first thing that is wrong with a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The first bad line, from 1.
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
        Ok(crate::tail::read(&file, length)?.link)
    };
    read().map_err(|fault: Fault| fault.at(path))
}

/// Verifies the lines that `lines` gives.
///
/// # Errors
/// When reading fails.
pub fn verify_lines<R: BufRead>(
    mut lines: LineReader<R>,
    expected: &Expected,
) -> Result<Verdict, std::io::Error> {
    let mut chain = Chain {
        last: Link::GENESIS,
        before_last: Link::GENESIS,
        expected,
        head_seen: expected.head.is_none_or(|head| head == chain::GENESIS),
        line: 0,
    };
    loop {
        let found = match lines.next_line() {
            Ok(None) => return Ok(chain.finish()),
            Ok(Some(line)) if !line.ended => Err(Found::Broken(Broken {
                line: line.number,
                seq: None,
                what: Damage::Cut,
                message: format!(
                    "line {} was not written to its end: the process that wrote it was killed, or the file was cut",
                    line.number
                ),
            })),
            Ok(Some(line)) => {
                chain.line = line.number;
                chain.take(line.bytes)
            }
            Err(ReadError::TooLong { line }) => Err(Found::Broken(Broken {
                line,
                seq: None,
                what: Damage::NotARecord,
                message: ReadError::TooLong { line }.to_string(),
            })),
            Err(ReadError::Io(e)) => return Err(e),
        };
        match found {
            Ok(()) => {}
            Err(Found::Broken(broken)) => return Ok(Verdict::Broken(broken)),
            Err(Found::Gap { to }) => return Ok(Verdict::Broken(chain.gap(lines, to)?)),
        }
    }
}

/// What keeps a line from following.
enum Found {
    Broken(Broken),
    /// Records are missing before record `to`; they may yet come.
    Gap {
        to: u64,
    },
}

struct Chain<'e> {
    /// The last line's link, and the one of the line before it.
    last: Link,
    before_last: Link,
    expected: &'e Expected,
    head_seen: bool,
    /// The number of the line at hand.
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
        let due = self.last.seq + 1;
        if parts.prev != self.last.hash || parts.seq != due {
            return Err(self.no_successor(&parts, due));
        }
        if serde_json::from_slice::<IgnoredAny>(line).is_err() {
            let message = format!("line {} is not valid JSON", self.line);
            return Err(self.broken(Damage::NotARecord, parts.seq, message));
        }
        self.before_last = self.last;
        self.last = parts.link();
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
        Found::Broken(Broken {
            line: self.line,
            seq: was_one.then_some(self.last.seq + 1),
            what,
            message,
        })
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
        if line == 1 {
            let message = "line 1 follows another record: the beginning is missing".to_owned();
            return self.broken(Damage::Dropped, seq, message);
        }
        if seq < due && parts.hash != self.last.hash && parts.prev == self.before_last.hash {
            return Found::Broken(Broken {
                line: line - 1,
                seq: Some(self.last.seq),
                what: Damage::Inserted,
                message: format!(
                    "line {} was put in: line {line} follows the line before it",
                    line - 1
                ),
            });
        }
        if seq < due {
            // All records up to here were seen and are whole, so this one was there already.
            let message = format!("line {line} is record {seq} once more");
            return self.broken(Damage::Inserted, seq, message);
        }
        Found::Broken(Broken {
            line: line - 1,
            seq: Some(self.last.seq),
            what: Damage::Edited,
            message: format!(
                "line {} was rewritten with a new hash: line {line} follows another one",
                line - 1
            ),
        })
    }

    /// Whether the record that is due comes later, or never.
    fn gap<R: BufRead>(&self, mut lines: LineReader<R>, to: u64) -> Result<Broken, std::io::Error> {
        let due = self.last.seq + 1;
        let broken = |what, message| Broken {
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

    fn finish(self) -> Verdict {
        let cut = |message| {
            Verdict::Broken(Broken {
                line: self.line + 1,
                seq: Some(self.last.seq + 1),
                what: Damage::Cut,
                message,
            })
        };
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
        Verdict::Whole(Whole {
            records: self.line,
            head: self.last.hash,
            last_seq: self.last.seq,
        })
    }

    fn broken(&self, what: Damage, seq: u64, message: String) -> Found {
        Found::Broken(Broken {
            line: self.line,
            seq: Some(seq),
            what,
            message,
        })
    }
}
