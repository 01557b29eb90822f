//! The `apply_patch` format: parse it, compute edited texts, apply it.
//!
//! ```text
//! *** Begin Patch
//! *** Add File: new.txt
//! +content
//! *** Update File: src/a.rs
//! *** Move to: src/b.rs
//! @@ fn main() {
//!      context
//! -removed
//! +added
//! *** End of File
//! *** Delete File: old.txt
//! *** End Patch
//! ```
//!
//! Nothing here touches the file system: [`apply`] asks a [`PatchFiles`] for
//! every read, write and removal, so the caller can put each one before the
//! permission gate. Paths are passed on exactly as the patch gives them;
//! absolute paths and `..` are for the [`PatchFiles`] to judge.
//!
//! The behaviour is fixed by the scenarios in
//! `tests/data/apply_patch_scenarios`. Where those are silent, the rules are:
//!
//! - Context lines keep the file's own bytes, also when they only matched
//!   loosely; `-` lines are dropped and `+` lines inserted.
//! - A line's ending is kept with the line. Added lines get the ending most
//!   lines of the file have (CRLF only when CRLF is in the majority).
//! - A chunk of only `+` lines goes to the end of the file, or straight after
//!   its `@@ context` line if it has one.
//! - An update that adds or removes a line leaves the file ending with a line
//!   ending. An update with context lines only changes nothing.
//! - A move without chunks is a plain rename, of any bytes.

mod apply;
mod error;
mod matching;
mod nearest;
mod parse;
#[cfg(test)]
mod proptests;
mod update;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

pub use apply::{
    ChangeKind, FailureCause, FileChange, FileError, PatchFailure, PatchFiles, PatchOutcome,
    PatchStatus, Step, apply,
};
pub use error::{NotFound, PatchError, Region, Wanted};
pub use nearest::similar_lines;
pub use parse::parse;
pub use update::update;

/// The longest patch that is parsed, in bytes. Our own limit: far above what a
/// model's reply can hold, low enough that the parsed form stays in memory.
pub const MAX_PATCH_BYTES: usize = 10 << 20;

/// The most file operations in one patch. Our own limit: each one is a separate
/// request to the permission gate.
pub const MAX_OPERATIONS: usize = 1_000;

/// The longest path in a patch, in bytes: `PATH_MAX` of `linux/limits.h`.
pub const MAX_PATH_BYTES: usize = 4_096;

/// The largest file that can be updated in place, in bytes. Our own limit.
pub const MAX_FILE_BYTES: usize = 32 << 20;

/// The most lines of a file that can be updated in place. Our own limit: the
/// line index takes up to 48 bytes a line.
pub const MAX_FILE_LINES: usize = 2_000_000;

/// A parsed patch; it has at least one operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    /// What to do, in the order of the patch.
    pub operations: Vec<Operation>,
}

impl Patch {
    /// Every path the patch can read, write or remove, in the order of the
    /// patch and without repeats; destinations of moves included.
    pub fn paths(&self) -> Vec<&Path> {
        let mut seen = HashSet::new();
        self.operations
            .iter()
            .flat_map(Operation::paths)
            .filter(|path| seen.insert(*path))
            .collect()
    }
}

/// One file operation of a patch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Write a new file, or overwrite the one that is there.
    Add {
        /// The file, as the patch gives it.
        path: PathBuf,
        /// The whole text; every line ends with a line feed.
        content: String,
    },
    /// Remove a file; a directory or a missing file is an error.
    Delete {
        /// The file, as the patch gives it.
        path: PathBuf,
    },
    /// Edit a file, move it, or both.
    Update {
        /// The file, as the patch gives it.
        path: PathBuf,
        /// Where the edited file goes; what is there is overwritten.
        move_to: Option<PathBuf>,
        /// The edits, in the order of the file. Empty only with `move_to`.
        chunks: Vec<Chunk>,
    },
}

impl Operation {
    /// The paths this operation can read, write or remove: one, or source and
    /// destination of a move.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        let (path, to) = match self {
            Self::Add { path, .. } | Self::Delete { path } => (path, None),
            Self::Update { path, move_to, .. } => (path, move_to.as_deref()),
        };
        std::iter::once(path.as_path()).chain(to)
    }
}

/// One edit of an update: a run of neighbouring lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// The line of the patch the chunk begins on, from 1.
    pub patch_line: usize,
    /// The texts after `@@`, looked for one after the other before the lines.
    pub context: Vec<String>,
    /// The lines; never empty.
    pub lines: Vec<ChunkLine>,
    /// Whether `*** End of File` follows: the old lines must end the file.
    pub end_of_file: bool,
}

/// One line of a chunk, without its mark and its line ending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChunkLine {
    /// In the file, and stays.
    Context(String),
    /// In the file, and goes.
    Remove(String),
    /// Not in the file, and comes.
    Add(String),
}

impl ChunkLine {
    /// The text, where the line must be in the file before the edit.
    fn old(&self) -> Option<&str> {
        match self {
            Self::Context(text) | Self::Remove(text) => Some(text),
            Self::Add(_) => None,
        }
    }
}

/// `text` for one line of a message: at most `max` characters, control
/// characters escaped so that a patch cannot write to a terminal.
fn shown(text: &str, max: usize) -> String {
    let mut out = String::new();
    for (count, c) in text.chars().enumerate() {
        if count == max {
            out.push('…');
            break;
        }
        if c.is_control() && c != '\t' {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// A path for a message; see [`shown`].
fn shown_path(path: &Path) -> String {
    shown(&path.to_string_lossy(), MAX_PATH_BYTES)
}
