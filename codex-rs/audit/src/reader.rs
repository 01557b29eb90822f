//! Reading the log line by line, in bounded memory.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _, Seek as _, SeekFrom, Take};
use std::path::{Path, PathBuf};

use memchr::memchr;

use crate::file::{self, Locked, Share};
use crate::record::MAX_LINE;
use crate::segments::Segments;
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
    /// A line that did not lie in the source's own buffer as a whole.
    buffer: Vec<u8>,
    /// Bytes of the source's buffer that the last line took.
    taken: usize,
    number: u64,
}

/// A log as it stood when it was opened, over all of its files.
#[derive(Debug)]
pub struct LogReader {
    /// The files to come, the first of them last.
    files: Vec<(PathBuf, Source)>,
    path: PathBuf,
    lines: LineReader<BufReader<Take<File>>>,
}

/// Where the bytes of a file come from.
#[derive(Debug)]
enum Source {
    /// It is closed, and opened when its turn comes.
    Closed,
    /// It is written to: up to where it ended.
    Open(File, u64),
}

impl LogReader {
    /// Opens the log at `path` up to its present end: what is appended meanwhile is left out, so
    /// that a reader never meets half a line of a writer at work.
    ///
    /// # Errors
    /// When it cannot be opened or is not a regular file.
    pub fn open(path: &Path) -> Result<Self, AuditError> {
        Self::open_at(path, 0)
    }

    /// As [`LogReader::open`], without the files that end before record `seq`.
    ///
    /// # Errors
    /// As [`LogReader::open`].
    pub fn open_at(path: &Path, seq: u64) -> Result<Self, AuditError> {
        let opened = || {
            let Segments {
                mut closed,
                open,
                length,
            } = Segments::of(path)?;
            let passed = closed.iter().filter(|(first, _)| *first <= seq).count();
            closed.drain(..passed.saturating_sub(1));
            let mut files = vec![(path.to_owned(), Source::Open(open, length))];
            let closed = closed.into_iter().rev();
            files.extend(closed.map(|(_, path)| (path, Source::Closed)));
            let (path, first) = files.pop().ok_or(Fault::Removed)?;
            let lines = lines_of(&path, first)?;
            Ok(Self { files, path, lines })
        };
        opened().map_err(|fault: Fault| fault.at(path))
    }

    /// The file that the last line came from.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.path
    }

    /// The next line, or `None` at the end of the last file. Lines are numbered in each file.
    ///
    /// # Errors
    /// When reading fails, or the line is longer than [`MAX_LINE`].
    pub fn next_line(&mut self) -> Result<Option<Line<'_>>, ReadError> {
        while self.lines.is_at_end()? {
            let Some((path, source)) = self.files.pop() else {
                return Ok(None);
            };
            self.lines = lines_of(&path, source).map_err(|fault| match fault {
                Fault::Open(e) | Fault::Read(e) => ReadError::Io(e),
                other => ReadError::Io(io::Error::other(other.to_string())),
            })?;
            self.path = path;
        }
        self.lines.next_line()
    }
}

fn lines_of(path: &Path, source: Source) -> Result<LineReader<BufReader<Take<File>>>, Fault> {
    let (file, length) = match source {
        Source::Open(file, length) => (file, length),
        Source::Closed => {
            let file = file::open_to_read(path)?;
            let length = file.metadata().map_err(Fault::Read)?.len();
            (file, length)
        }
    };
    let source = BufReader::with_capacity(BUFFER, file.take(length));
    Ok(LineReader::new(source))
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
            taken: 0,
            number: 0,
        }
    }

    fn is_at_end(&mut self) -> Result<bool, io::Error> {
        self.source.consume(std::mem::take(&mut self.taken));
        Ok(self.source.fill_buf()?.is_empty())
    }

    /// The next line, or `None` at the end.
    ///
    /// # Errors
    /// When reading fails, or the line is longer than [`MAX_LINE`].
    pub fn next_line(&mut self) -> Result<Option<Line<'_>>, ReadError> {
        self.source.consume(std::mem::take(&mut self.taken));
        // Most lines are handed out where they were read to.
        if let Some(end) = memchr(b'\n', self.source.fill_buf()?)
            && end <= MAX_LINE
        {
            self.taken = end + 1;
            self.number += 1;
            let bytes = self.source.fill_buf()?.get(..end).unwrap_or_default();
            return Ok(Some(Line {
                number: self.number,
                bytes,
                ended: true,
            }));
        }
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
