//! Sessions on disk: one file each, one JSON object a line, only ever appended to.
//!
//! A line that a crash cut short is the last one; it is left out when the session is read and
//! cut off before anything is added.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use codex_protocol::ids::SessionId;
use codex_protocol::model::{Item, Usage};
use codex_protocol::security_profile::SecurityProfile;
use codex_sandbox::private;
use serde::{Deserialize, Serialize};

/// The first line: what the session is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Its id.
    pub id: SessionId,
    /// When it began, RFC 3339.
    pub created: String,
    /// Where.
    pub cwd: PathBuf,
    /// Under which profile it began. A resumed session does not inherit it: rights are given
    /// anew for each run.
    pub profile: SecurityProfile,
    /// The model's provider.
    pub provider: String,
    /// The model.
    pub model: String,
}

/// A line of a session's file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Line {
    /// The first.
    Session {
        /// The form of the file.
        v: u32,
        /// What the session is.
        #[serde(flatten)]
        header: Header,
    },
    /// An item of the conversation.
    Item {
        /// The item.
        item: Item,
    },
    /// The conversation was made shorter: what was kept takes the place of every item above.
    Compacted {
        /// What was kept.
        items: Vec<Item>,
    },
    /// A turn ended.
    Turn {
        /// Tokens that it took.
        usage: Usage,
        /// How many steps have been shown so far, so that their numbers go on.
        steps: u64,
    },
}

/// The form of the file that this version writes and reads.
const VERSION: u32 = 1;

/// A session that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The system refused.
    #[error("the session file '{}' cannot be {what}: {cause}", .path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// There is no such session.
    #[error("there is no session '{id}' in '{}'; 'codex exec resume --last' takes the newest", .directory.display())]
    NotFound {
        /// What was asked for.
        id: String,
        /// Where.
        directory: PathBuf,
    },
    /// There is no session at all.
    #[error("there is no session to resume in '{}'", .0.display())]
    Empty(PathBuf),
    /// A line is not what a session holds.
    #[error("the session file '{}' is damaged in line {line}: {cause}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        cause: String,
    },
    /// Another process has it open.
    #[error("the session '{0}' is in use by another codex")]
    InUse(String),
}

/// What a session's file says.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// What the session is.
    pub header: Header,
    /// The conversation so far.
    pub items: Vec<Item>,
    /// How many steps have been shown.
    pub steps: u64,
}

/// A session's file, open for adding to.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    file: File,
}

impl Store {
    /// Makes the file of a new session.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn create(directory: &Path, header: Header) -> Result<Self, StoreError> {
        let path = directory.join(format!("{}.jsonl", header.id));
        let failed = |what| {
            let path = path.clone();
            move |cause| StoreError::Io { what, path, cause }
        };
        private::directory(directory).map_err(failed("made"))?;
        let mut options = OpenOptions::new();
        options.read(true).append(true).create_new(true);
        let file = private::file(&mut options)
            .open(&path)
            .map_err(failed("made"))?;
        let mut store = Self { path, file };
        store.lock()?;
        store.append(&Line::Session { v: VERSION, header })?;
        Ok(store)
    }

    /// Opens a session to go on with it: by its id, or the newest.
    ///
    /// # Errors
    /// When there is none, it is damaged, or in use.
    pub fn resume(directory: &Path, id: Option<&str>) -> Result<(Self, Stored), StoreError> {
        let path = find(directory, id)?;
        let failed = |what| {
            let path = path.clone();
            move |cause| StoreError::Io { what, path, cause }
        };
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .open(&path)
            .map_err(failed("opened"))?;
        let mut store = Self {
            path: path.clone(),
            file,
        };
        store.lock()?;
        let mut text = Vec::new();
        store.file.read_to_end(&mut text).map_err(failed("read"))?;
        let whole = text
            .iter()
            .rposition(|&b| b == b'\n')
            .map_or(0, |at| at + 1);
        if whole < text.len() {
            store
                .file
                .set_len(whole as u64)
                .map_err(failed("repaired"))?;
            store
                .file
                .seek(io::SeekFrom::End(0))
                .map_err(failed("repaired"))?;
            text.truncate(whole);
        }
        let stored = parse(&path, &text)?;
        Ok((store, stored))
    }

    fn lock(&self) -> Result<(), StoreError> {
        match self.file.try_lock() {
            Ok(()) => Ok(()),
            Err(TryLockError::WouldBlock) => {
                let name = self
                    .path
                    .file_stem()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned();
                Err(StoreError::InUse(name))
            }
            Err(TryLockError::Error(cause)) => Err(StoreError::Io {
                what: "locked",
                path: self.path.clone(),
                cause,
            }),
        }
    }

    /// Adds a line, whole or not at all.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn append(&mut self, line: &Line) -> Result<(), StoreError> {
        let failed = |cause| StoreError::Io {
            what: "written",
            path: self.path.clone(),
            cause,
        };
        let mut text = serde_json::to_vec(line).map_err(|e| failed(e.into()))?;
        text.push(b'\n');
        self.file.write_all(&text).map_err(failed)
    }

    /// Where the session is kept.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The file of the session with this id, or of the newest: ids begin with the time.
fn find(directory: &Path, id: Option<&str>) -> Result<PathBuf, StoreError> {
    let names = fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| e.path());
    let mut sessions: Vec<PathBuf> = names
        .filter(|p| p.extension().is_some_and(|e| e == "jsonl"))
        .collect();
    sessions.sort();
    match id {
        None => sessions
            .pop()
            .ok_or_else(|| StoreError::Empty(directory.to_owned())),
        Some(id) => sessions
            .into_iter()
            .find(|p| p.file_stem().is_some_and(|s| s == id))
            .ok_or_else(|| StoreError::NotFound {
                id: id.to_owned(),
                directory: directory.to_owned(),
            }),
    }
}

fn parse(path: &Path, text: &[u8]) -> Result<Stored, StoreError> {
    let damaged = |line: usize, cause: String| StoreError::Damaged {
        path: path.to_owned(),
        line,
        cause,
    };
    let mut stored: Option<Stored> = None;
    for (at, line) in text
        .split(|&b| b == b'\n')
        .enumerate()
        .filter(|(_, l)| !l.is_empty())
    {
        let line: Line =
            serde_json::from_slice(line).map_err(|e| damaged(at + 1, e.to_string()))?;
        match (line, &mut stored) {
            (Line::Session { v: VERSION, header }, none @ None) => {
                *none = Some(Stored {
                    header,
                    items: Vec::new(),
                    steps: 0,
                });
            }
            (Line::Session { v, .. }, None) => {
                return Err(damaged(
                    at + 1,
                    format!("its form is version {v}, this codex reads {VERSION}"),
                ));
            }
            (Line::Item { item }, Some(stored)) => stored.items.push(item),
            (Line::Compacted { items }, Some(stored)) => stored.items = items,
            (Line::Turn { steps, .. }, Some(stored)) => stored.steps = steps,
            _ => {
                return Err(damaged(
                    at + 1,
                    "it does not begin with one session line".to_owned(),
                ));
            }
        }
    }
    stored.ok_or_else(|| damaged(1, "it is empty".to_owned()))
}
