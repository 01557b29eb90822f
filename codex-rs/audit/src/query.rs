//! Choosing records.

use std::collections::VecDeque;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use codex_protocol::operation::{Operation, Outcome};
use jiff::Timestamp;

use crate::reader::{self, LogReader, ReadError};
use crate::record::{self, MAX_LINE, Record};
use crate::segments::{self, Segments};
use crate::{AuditError, Fault, chain, file, sys, tail};

/// Which records are wanted: those that fit all that is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only what was denied.
    pub denied: bool,
    /// Only this operation.
    pub operation: Option<Operation>,
    /// Only of this task.
    pub task: Option<String>,
    /// Only of this session.
    pub session: Option<String>,
    /// Only from this moment on.
    pub since: Option<Since>,
    /// Only the newest so many.
    pub limit: Option<usize>,
}

impl Filter {
    /// Whether `record` is wanted, but for the limit.
    #[must_use]
    pub fn matches(&self, record: &Record) -> bool {
        let is = |wanted: &Option<String>, text: &str| wanted.as_deref().is_none_or(|w| w == text);
        (!self.denied || record.decision == Outcome::Denied)
            && self.operation.is_none_or(|o| o == record.operation)
            && is(&self.task, &record.task_id)
            && is(&self.session, &record.session_id)
            && self.since.as_ref().is_none_or(|s| s.0 <= record.timestamp)
    }
}

/// A moment, as the log writes it: such texts sort as the moments do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Since(String);

/// A text that names no moment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is no time; give how long ago, such as 90s, 10m, 2h, 1d or 1w, or a moment such as 2026-01-02 or 2026-01-02T03:04:05Z"
)]
pub struct BadSince(pub String);

impl Since {
    /// Reads `text`: a time back from `now` (`90s`, `10m`, `2h`, `1d`, `1w`), RFC 3339, or a date,
    /// which is its beginning in UTC.
    ///
    /// # Errors
    /// When it is none of these, or before the beginning of time.
    pub fn parse(text: &str, now: SystemTime) -> Result<Self, BadSince> {
        ago(text)
            .and_then(|ago| now.checked_sub(ago))
            .or_else(|| {
                let moment: Timestamp = text
                    .parse()
                    .or_else(|_| format!("{text}T00:00:00Z").parse())
                    .ok()?;
                moment.try_into().ok()
            })
            .and_then(record::timestamp)
            .map(Self)
            .ok_or_else(|| BadSince(text.to_owned()))
    }
}

fn ago(text: &str) -> Option<Duration> {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let seconds = match &text[number.len()..] {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        "w" => 7 * 24 * 60 * 60,
        _ => return None,
    };
    if !number.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number: u64 = number.parse().ok()?;
    number.checked_mul(seconds).map(Duration::from_secs)
}

/// A record that was asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The line as it stands in the log.
    pub line: String,
    /// What it says.
    pub record: Record,
}

/// A line that could not be read as a record. Showing a log does not end at one; verifying does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLine {
    /// The file that it is in.
    pub file: PathBuf,
    /// Its number in that file, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub message: String,
}

/// Gives `each` the records of the log at `path` that `filter` wants, oldest first, and the
/// lines that cannot be read. Keeps no more in memory than the limit asks for.
///
/// # Errors
/// When the log cannot be opened or read.
pub fn select(
    path: &Path,
    filter: &Filter,
    each: impl FnMut(Result<Row, BadLine>),
) -> Result<(), AuditError> {
    let mut each = each;
    if let Some(limit) = filter.limit
        && let Some(rows) = newest(path, filter, limit)?
    {
        rows.into_iter().for_each(|row| each(Ok(row)));
        return Ok(());
    }
    let reader = LogReader::open(path)?;
    select_lines(reader, filter, each).map_err(|e| Fault::Read(e).at(path))
}

/// The newest `limit` records that `filter` wants, read from the end of the log. `None` where a
/// line on the way is no record: then only reading from the start can say which line it is.
fn newest(path: &Path, filter: &Filter, limit: usize) -> Result<Option<Vec<Row>>, AuditError> {
    let read = || {
        let Segments {
            closed,
            open,
            length,
        } = Segments::of(path)?;
        let mut rows = Vec::new();
        let mut all_records = newest_of(&open, length, filter, limit, &mut rows)?;
        for (_, path) in closed.iter().rev() {
            if !all_records || rows.len() >= limit {
                break;
            }
            let file = file::open_to_read(path)?;
            let length = file.metadata().map_err(Fault::Read)?.len();
            all_records = newest_of(&file, length, filter, limit, &mut rows)?;
        }
        rows.reverse();
        Ok(all_records.then_some(rows))
    };
    read().map_err(|fault: Fault| fault.at(path))
}

/// Adds to `rows`, newest first, what `filter` wants of the first `length` bytes of `file`, until
/// they are `limit`. Whether all that was read were records.
fn newest_of(
    file: &File,
    length: u64,
    filter: &Filter,
    limit: usize,
    rows: &mut Vec<Row>,
) -> Result<bool, Fault> {
    /// Read at a time.
    const BLOCK: u64 = 128 << 10;
    let mut start = length;
    // What was read and not yet taken apart: from `start` on.
    let mut bytes = Vec::new();
    while rows.len() < limit {
        let before = bytes.iter().rposition(|b| *b == b'\n');
        // A line feed ends the line before it, so the last one but one begins the last line.
        let begin = before.and_then(|end| bytes[..end].iter().rposition(|b| *b == b'\n'));
        let begin = match begin {
            Some(at) => at + 1,
            None if start == 0 => 0,
            None if bytes.len() > MAX_LINE + 1 => return Ok(false),
            None => {
                let more = BLOCK.min(start);
                start -= more;
                let mut block = vec![0; usize::try_from(more).unwrap_or_default()];
                sys::read_exact_at(file, &mut block, start).map_err(Fault::Read)?;
                block.append(&mut bytes);
                bytes = block;
                continue;
            }
        };
        if bytes.is_empty() {
            break;
        }
        let Some(read) = bytes[begin..].strip_suffix(b"\n").map(row) else {
            return Ok(false);
        };
        match read {
            Ok(row) if filter.matches(&row.record) => rows.push(row),
            Ok(_) => {}
            Err(_) => return Ok(false),
        }
        bytes.truncate(begin);
    }
    Ok(true)
}

/// The record with this number, if the log at `path` has it. Reads only the file that it is in,
/// and no further than it.
///
/// # Errors
/// When the log cannot be opened or read.
pub fn find(path: &Path, seq: u64) -> Result<Option<Row>, AuditError> {
    let mut lines = LogReader::open_at(path, seq)?;
    loop {
        match lines.next_line() {
            Ok(None) => return Ok(None),
            Ok(Some(line)) => {
                if chain::split(line.bytes).is_some_and(|parts| parts.seq == seq)
                    && let Ok(row) = row(line.bytes)
                {
                    return Ok(Some(row));
                }
            }
            Err(ReadError::TooLong { .. }) => {}
            Err(ReadError::Io(e)) => return Err(Fault::Read(e).at(path)),
        }
    }
}

/// What is appended to a log from some moment on.
#[derive(Debug)]
pub struct Follow {
    path: PathBuf,
    file: File,
    offset: u64,
    seq: u64,
}

impl Follow {
    /// From the present end of the log at `path`.
    ///
    /// # Errors
    /// When it cannot be opened or read, or its end is no record.
    pub fn from_end(path: &Path) -> Result<Self, AuditError> {
        let opened = || {
            let file = file::open_to_read(path)?;
            let tail = tail::read_log(path, &file, reader::length(&file)?)?;
            Ok((file, tail))
        };
        let (file, tail) = opened().map_err(|fault: Fault| fault.at(path))?;
        Ok(Self {
            path: path.to_owned(),
            file,
            offset: tail.whole,
            seq: tail.link.seq,
        })
    }

    /// Gives `each` what was appended since. Does not wait for more.
    ///
    /// # Errors
    /// When it cannot be read, or was cut or replaced.
    pub fn poll(&mut self, each: impl FnMut(Result<Row, BadLine>)) -> Result<(), AuditError> {
        self.advance(each).map_err(|fault| fault.at(&self.path))
    }

    fn advance(&mut self, mut each: impl FnMut(Result<Row, BadLine>)) -> Result<(), Fault> {
        // In this order: a file that another one has followed gets no more records.
        let followed = !file::is_at(&self.file, &self.path)?;
        self.read_on(&mut each)?;
        if !followed {
            return Ok(());
        }
        let Segments { closed, open, .. } = Segments::of(&self.path)?;
        for (first, path) in closed {
            if first > self.seq {
                self.go_on_in(file::open_to_read(&path)?, &mut each)?;
            }
        }
        self.go_on_in(open, &mut each)
    }

    fn go_on_in(
        &mut self,
        file: File,
        each: &mut impl FnMut(Result<Row, BadLine>),
    ) -> Result<(), Fault> {
        if let Some(begins) = segments::beginning(&file)?
            && begins.seq <= self.seq
        {
            return Err(Fault::Shrunk {
                written: self.seq,
                now: begins.seq,
            });
        }
        self.file = file;
        self.offset = 0;
        self.read_on(each)
    }

    fn read_on(&mut self, each: &mut impl FnMut(Result<Row, BadLine>)) -> Result<(), Fault> {
        let length = file::length(&self.file)?;
        if length < self.offset {
            let now = tail::read(&self.file, length)?.link.seq;
            let written = self.seq;
            return Err(Fault::Shrunk { written, now });
        }
        let mut lines = reader::between(&self.file, self.offset, length)?;
        loop {
            match lines.next_line() {
                Ok(Some(line)) if line.ended => {
                    self.offset += line.bytes.len() as u64 + 1;
                    let number = self.seq + 1;
                    let read = row(line.bytes);
                    self.seq = read.as_ref().map_or(number, |row| row.record.seq);
                    each(read.map_err(|message| BadLine {
                        file: self.path.clone(),
                        line: number,
                        message,
                    }));
                }
                // A line that is still being written is for the next time.
                Ok(_) => return Ok(()),
                Err(ReadError::TooLong { .. }) => return Err(Fault::Foreign),
                Err(ReadError::Io(e)) => return Err(Fault::Read(e)),
            }
        }
    }
}

fn select_lines(
    mut lines: LogReader,
    filter: &Filter,
    mut each: impl FnMut(Result<Row, BadLine>),
) -> Result<(), std::io::Error> {
    let mut newest: VecDeque<Row> = VecDeque::new();
    loop {
        let (line, read) = match lines.next_line() {
            Ok(None) => break,
            Ok(Some(line)) => (line.number, row(line.bytes)),
            Err(ReadError::TooLong { line }) => {
                (line, Err(ReadError::TooLong { line }.to_string()))
            }
            Err(ReadError::Io(e)) => return Err(e),
        };
        match read {
            Ok(row) if !filter.matches(&row.record) => {}
            Ok(row) => match filter.limit {
                None => each(Ok(row)),
                Some(limit) => {
                    newest.push_back(row);
                    if newest.len() > limit {
                        newest.pop_front();
                    }
                }
            },
            Err(message) => each(Err(BadLine {
                file: lines.file().to_owned(),
                line,
                message,
            })),
        }
    }
    newest.into_iter().for_each(|row| each(Ok(row)));
    Ok(())
}

fn row(bytes: &[u8]) -> Result<Row, String> {
    let line = std::str::from_utf8(bytes).map_err(|e| e.to_string())?;
    let record = Record::parse(bytes)?;
    let line = line.to_owned();
    Ok(Row { line, record })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_read_in_every_spelling() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_323_045);
        for (text, moment) in [
            ("0s", "2026-01-02T03:04:05.000Z"),
            ("90s", "2026-01-02T03:02:35.000Z"),
            ("10m", "2026-01-02T02:54:05.000Z"),
            ("2h", "2026-01-02T01:04:05.000Z"),
            ("1d", "2026-01-01T03:04:05.000Z"),
            ("1w", "2025-12-26T03:04:05.000Z"),
            ("2026-01-02", "2026-01-02T00:00:00.000Z"),
            ("2026-01-02T03:04:05+01:00", "2026-01-02T02:04:05.000Z"),
            ("2026-01-02T03:04:05.5Z", "2026-01-02T03:04:05.500Z"),
        ] {
            assert_eq!(
                Since::parse(text, now),
                Ok(Since(moment.to_owned())),
                "{text}"
            );
        }
        for text in [
            "",
            "m",
            "-1m",
            "+1m",
            "1.5h",
            "1y",
            "10 m",
            "99999999999999999999d",
            "18446744073709551615w",
            "yesterday",
            "2026-13-01",
            "1é",
        ] {
            assert!(Since::parse(text, now).is_err(), "{text}");
        }
    }
}
