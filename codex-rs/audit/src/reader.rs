//! Reading the log line by line, in bounded memory.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _, Seek as _, SeekFrom, Take};
use std::path::Path;

use crate::file::{self, Locked, Share};
use crate::record::MAX_LINE;
use crate::{AuditError, Fault};

/// Read from the file at a time.
const BUFFER: usize = 128 << 10;

/// A line that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// Its number in the file, from 1.
    pub number: u64,
    /// Its bytes, without the line feed.
    pub bytes: &'a [u8],
    /// Whether a line feed ended it. Only the last can lack one.
    pub ended: bool,
}

/// Why a line could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file could not be read on.
    #[error("reading failed: {0}")]
    Io(#[from] io::Error),
    /// The line is longer than any record. Reading can go on with the next one.
    #[error("line {line} is longer than {MAX_LINE} bytes, which no record is")]
    TooLong {
        /// Which line.
        line: u64,
    },
}

/// Gives one line after the other.
#[derive(Debug)]
pub struct LineReader<R> {
    source: R,
    buffer: Vec<u8>,
    number: u64,
}

/// A log as it stood when it was opened.
pub type LogReader = LineReader<BufReader<Take<File>>>;

impl LogReader {
    /// Opens the log at `path` up to its present end: what is appended meanwhile is left out, so
    /// that a reader never meets half a line of a writer at work.
    ///
    /// # Errors
    /// When it cannot be opened or is not a regular file.
    pub fn open(path: &Path) -> Result<Self, AuditError> {
        let opened = || {
            let file = file::open_to_read(path)?;
            let length = length(&file)?;
            Ok(Self::new(BufReader::with_capacity(
                BUFFER,
                file.take(length),
            )))
        };
        opened().map_err(|fault: Fault| fault.at(path))
    }
}

/// How long the log is, between two lines of writers at work.
pub(crate) fn length(file: &File) -> Result<u64, Fault> {
    match Locked::take(file, Share::Shared) {
        // Some file systems cannot lock what is open for reading only.
        Ok(_) | Err(Fault::Lock(_)) => Ok(file.metadata().map_err(Fault::Read)?.len()),
        Err(fault) => Err(fault),
    }
}

/// The lines from offset `from` to offset `to` of `file`.
pub(crate) fn between(
    mut file: &File,
    from: u64,
    to: u64,
) -> Result<LineReader<BufReader<Take<&File>>>, Fault> {
    file.seek(SeekFrom::Start(from)).map_err(Fault::Read)?;
    let lines = file.take(to.saturating_sub(from));
    Ok(LineReader::new(BufReader::with_capacity(BUFFER, lines)))
}

impl<R: BufRead> LineReader<R> {
    /// Reads lines of `source`.
    pub fn new(source: R) -> Self {
        Self {
            source,
            buffer: Vec::new(),
            number: 0,
        }
    }

    /// The next line, or `None` at the end.
    ///
    /// # Errors
    /// When reading fails, or the line is longer than [`MAX_LINE`].
    pub fn next_line(&mut self) -> Result<Option<Line<'_>>, ReadError> {
        self.buffer.clear();
        let most = MAX_LINE as u64 + 1;
        let read = self
            .source
            .by_ref()
            .take(most)
            .read_until(b'\n', &mut self.buffer)?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        let ended = self.buffer.pop_if(|last| *last == b'\n').is_some();
        if self.buffer.len() > MAX_LINE {
            self.source.skip_until(b'\n')?;
            return Err(ReadError::TooLong { line: self.number });
        }
        Ok(Some(Line {
            number: self.number,
            bytes: &self.buffer,
            ended,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_with_their_numbers_and_a_long_one_is_named_and_passed() {
        let mut text = b"one\n\n".to_vec();
        text.resize(text.len() + MAX_LINE, b'x');
        text.push(b'\n');
        text.resize(text.len() + MAX_LINE + 1, b'y');
        text.extend_from_slice(b"\nlast");
        let mut lines = LineReader::new(text.as_slice());
        let mut seen = Vec::new();
        loop {
            match lines.next_line() {
                Ok(None) => break,
                Ok(Some(line)) => seen.push((line.number, line.bytes.len(), line.ended)),
                Err(ReadError::TooLong { line }) => seen.push((line, usize::MAX, true)),
                Err(ReadError::Io(e)) => panic!("{e}"),
            }
        }
        assert_eq!(
            seen,
            [
                (1, 3, true),
                (2, 0, true),
                (3, MAX_LINE, true),
                (4, usize::MAX, true),
                (5, 4, false)
            ]
        );
    }
}
