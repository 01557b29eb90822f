//! What can be wrong with a patch, in words a model can repair it from.

use std::fmt;
use std::path::PathBuf;

use super::{MAX_FILE_BYTES, MAX_FILE_LINES, MAX_OPERATIONS, MAX_PATCH_BYTES, shown, shown_path};

/// The most characters of a line that a message shows.
const SHOWN_CHARS: usize = 200;

/// Why a patch cannot be parsed, or why a text cannot be edited with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// The text is longer than [`MAX_PATCH_BYTES`].
    #[error(
        "the patch is {bytes} bytes long, and {MAX_PATCH_BYTES} is the most; split it into several patches"
    )]
    PatchTooLarge {
        /// Its length.
        bytes: usize,
    },
    /// More than [`MAX_OPERATIONS`] files.
    #[error(
        "patch line {line}: the patch has more than {MAX_OPERATIONS} file operations; split it into several patches"
    )]
    TooManyOperations {
        /// The line of the first operation too many, from 1.
        line: usize,
    },
    /// Markers without an operation between them.
    #[error(
        "the patch is empty: put `*** Add File: PATH`, `*** Delete File: PATH` or `*** Update File: PATH` between `*** Begin Patch` and `*** End Patch`"
    )]
    Empty,
    /// A line that the format has no place for.
    #[error("patch line {line}: found {found}, expected {expected}")]
    Syntax {
        /// The line of the patch, from 1.
        line: usize,
        /// What stands there, shortened, in backquotes where it is quoted.
        found: String,
        /// What may stand there.
        expected: &'static str,
    },
    /// Lines of an update that the file does not have.
    #[error(transparent)]
    NotFound(Box<NotFound>),
    /// The file is larger than [`MAX_FILE_BYTES`] or [`MAX_FILE_LINES`].
    #[error(
        "{}: the file is too large to update with a patch (the most is {MAX_FILE_BYTES} bytes and {MAX_FILE_LINES} lines); edit it with a command instead",
        shown_path(.path)
    )]
    FileTooLarge {
        /// The file.
        path: PathBuf,
    },
    /// Finding the lines takes more work than a patch is given.
    #[error(
        "{}: chunk {chunk} (patch line {patch_line}): too much searching for one patch; split it into several patches, with context lines copied exactly",
        shown_path(.path)
    )]
    TooCostly {
        /// The file.
        path: PathBuf,
        /// Which chunk of the file's update, from 1.
        chunk: usize,
        /// Where the chunk begins in the patch, from 1.
        patch_line: usize,
    },
}

impl PatchError {
    /// A [`PatchError::Syntax`] that quotes the line found.
    pub(super) fn found_line(line: usize, found: &str, expected: &'static str) -> Self {
        Self::Syntax {
            line,
            found: format!("`{}`", shown(found, SHOWN_CHARS)),
            expected,
        }
    }
}

/// What part of a chunk is not in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// The text after `@@`.
    Context,
    /// The ` ` and `-` lines.
    Lines,
}

/// Lines of the file that resemble the ones looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    /// The number of the first line, from 1.
    pub first: usize,
    /// The lines, shortened for a message.
    pub lines: Vec<String>,
}

/// Lines of an update that the file does not have where they must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotFound {
    /// The file.
    pub path: PathBuf,
    /// Which chunk of the file's update, from 1.
    pub chunk: usize,
    /// Where the chunk begins in the patch, from 1.
    pub patch_line: usize,
    /// What was looked for.
    pub wanted: Wanted,
    /// Its first lines, at most [`NotFound::MAX_LINES`], shortened.
    pub lines: Vec<String>,
    /// How many more lines were looked for.
    pub omitted: usize,
    /// The first line of the file that could match, from 1.
    pub searched_from: usize,
    /// Whether the lines had to end the file.
    pub at_end: bool,
    /// Where the lines do stand, though not where they must be; from 1.
    pub elsewhere: Option<usize>,
    /// What the file has instead, best first; empty when nothing is similar.
    pub nearest: Vec<Region>,
}

impl NotFound {
    /// The most lines a message shows of what was looked for, and of each
    /// region of the file.
    pub const MAX_LINES: usize = 12;

    /// `lines` for a message.
    pub(super) fn shown_lines<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<String> {
        lines
            .take(Self::MAX_LINES)
            .map(|line| shown(line, SHOWN_CHARS))
            .collect()
    }
}

impl std::error::Error for NotFound {}

impl fmt::Display for NotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            chunk,
            patch_line,
            searched_from,
            ..
        } = self;
        write!(
            f,
            "{}: chunk {chunk} (patch line {patch_line}): ",
            shown_path(&self.path)
        )?;
        let what = match self.wanted {
            Wanted::Context => "the line given after `@@` is",
            Wanted::Lines => "these lines are",
        };
        if self.at_end {
            writeln!(f, "{what} not at the end of the file:")?;
        } else {
            writeln!(f, "{what} not in the file from line {searched_from} on:")?;
        }
        for line in &self.lines {
            writeln!(f, "    {line}")?;
        }
        if self.omitted > 0 {
            writeln!(f, "    (and {} more)", self.omitted)?;
        }
        if let Some(line) = self.elsewhere {
            return if self.at_end {
                write!(
                    f,
                    "They stand at line {line}. Take `*** End of File` out, or give the lines up to the end."
                )
            } else {
                write!(
                    f,
                    "They stand at line {line}, which is before the place reached. Put the chunks in the order of the file."
                )
            };
        }
        if self.nearest.is_empty() {
            return write!(
                f,
                "The file has nothing similar. Read it again before the next patch."
            );
        }
        writeln!(f, "The nearest lines of the file are:")?;
        for (nth, region) in self.nearest.iter().enumerate() {
            if nth > 0 {
                writeln!(f, "  or")?;
            }
            for (offset, line) in region.lines.iter().enumerate() {
                writeln!(f, "{:>6}|{line}", region.first + offset)?;
            }
        }
        write!(
            f,
            "Copy the lines as they stand in the file, without the numbers."
        )
    }
}
