//! Going through a tree of files for a text or a name, on several threads.
//!
//! The tree is entered by the handle of a recorded request, and everything in it is opened from
//! the directory that holds it without following a symlink, so nothing outside is reached. What
//! the policy does not let be read is neither opened nor named.
//!
//! The results are the first ones in the order of paths, whatever order the threads come in.

mod ignored;
mod kept;
mod lines;
mod walk;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use codex_protocol::gate::Authorized;
use codex_protocol::policy::Policy;
use codex_protocol::record::Recorded;
use codex_protocol::request::FileRead;
use grep_regex::{RegexMatcher, RegexMatcherBuilder};
use ignore::overrides::{Override, OverrideBuilder};

pub use ignored::Ignored;
pub use kept::{Found, Hit};

/// The largest compiled form of a pattern, in bytes, and the largest cache of its automaton.
const LARGEST_PATTERN: usize = 8 << 20;

/// How many files and directories are looked at; then a search stops and says so.
pub const MOST_ENTRIES: u64 = 1_000_000;

/// How many directories deep a search goes. Each level may hold one directory open.
pub const DEEPEST: usize = 128;

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Lines of text files.
    Content,
    /// How many lines of each text file.
    Count,
    /// Paths of files, as seen from the root.
    Names,
}

/// A search, ready to be made.
pub struct Query {
    kind: Kind,
    matcher: RegexMatcher,
    globs: Override,
    limit: usize,
}

/// Why a search cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The pattern.
    #[error(
        "the pattern is no regular expression: {0}; put a backslash before ( [ {{ . * + ? | that stand for themselves"
    )]
    Pattern(String),
    /// The glob.
    #[error("the glob cannot be used: {0}")]
    Glob(String),
}

impl Query {
    /// Looks for the regular expression `pattern` (the `regex` crate's syntax) in files whose
    /// path fits `glob` as in a `.gitignore` (`!` excludes), and keeps `limit` results.
    ///
    /// # Errors
    /// [`QueryError`] says what of it cannot be used.
    pub fn new(
        kind: Kind,
        pattern: &str,
        ignore_case: bool,
        glob: Option<&str>,
        limit: usize,
    ) -> Result<Self, QueryError> {
        let mut builder = RegexMatcherBuilder::new();
        builder
            .case_insensitive(ignore_case)
            .multi_line(true)
            .size_limit(LARGEST_PATTERN)
            .dfa_size_limit(LARGEST_PATTERN);
        if kind != Kind::Names {
            builder.line_terminator(Some(b'\n'));
        }
        let matcher = builder
            .build(pattern)
            .map_err(|e| QueryError::Pattern(one_line(&e)))?;
        let mut globs = OverrideBuilder::new("");
        if let Some(glob) = glob.filter(|glob| !glob.is_empty()) {
            globs
                .add(glob)
                .map_err(|e| QueryError::Glob(one_line(&e)))?;
        }
        let globs = globs.build().map_err(|e| QueryError::Glob(one_line(&e)))?;
        Ok(Self {
            kind,
            matcher,
            globs,
            limit,
        })
    }
}

/// An error's text without line ends: the pattern it quotes is the model's own.
fn one_line(error: &dyn std::fmt::Display) -> String {
    error
        .to_string()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

/// Where a search takes place.
pub struct Place {
    /// What may be read.
    pub policy: Policy,
    /// The rules of `.gitignore` files above the root.
    pub above: Ignored,
}

/// Searches the file or tree of a recorded request until it is through or `stop` is set.
/// Paths in the result are seen from there; a single file has the empty path.
///
/// # Errors
/// When the root cannot be opened. What cannot be read below it is counted.
pub fn search(
    root: &Recorded<Authorized<FileRead>>,
    place: Place,
    query: &Query,
    stop: &AtomicBool,
) -> io::Result<Found> {
    walk::search(root, place, query, stop)
}

/// `root` and `relative` as one path.
fn joined(root: &Path, relative: &Path) -> PathBuf {
    if relative.as_os_str().is_empty() {
        root.to_owned()
    } else {
        root.join(relative)
    }
}
