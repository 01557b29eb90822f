//! Choosing records.

use std::collections::VecDeque;
use std::io::BufRead;
use std::path::Path;
use std::time::{Duration, SystemTime};

use codex_protocol::operation::{Operation, Outcome};
use jiff::Timestamp;

use crate::reader::{LineReader, LogReader, ReadError};
use crate::record::{self, Record};
use crate::{AuditError, Fault};

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
    /// Its number, from 1.
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
    let reader = LogReader::open(path)?;
    select_lines(reader, filter, each).map_err(|e| Fault::Read(e).at(path))
}

/// As [`select`], of lines from anywhere.
///
/// # Errors
/// When reading fails.
pub fn select_lines<R: BufRead>(
    mut lines: LineReader<R>,
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
            Err(message) => each(Err(BadLine { line, message })),
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
