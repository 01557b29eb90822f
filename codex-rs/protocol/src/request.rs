//! Typed things that someone wants to do.
//!
//! Paths in a request are absolute and resolved (symlinks followed, no `.` or `..`); whoever
//! builds the request does that. The gate refuses a path that is not.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::operation::Operation;

/// Reading a file's bytes or a directory's names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRead {
    /// What is read.
    pub path: PathBuf,
}

/// In what way a file is to be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteKind {
    /// Make a new file or directory.
    Create,
    /// Replace or change the contents.
    Modify,
    /// Remove it.
    Delete,
    /// Give it another name, or put another file in its place.
    Rename,
    /// Change owner, mode, times or extended attributes.
    Metadata,
}

/// Creating, changing, moving or removing a file, or changing its metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileWrite {
    /// What is changed.
    pub path: PathBuf,
    /// How.
    pub kind: WriteKind,
}

/// Starting a program. `argv` stays a list from the model to the kernel: nothing joins it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessSpawn {
    /// The program's file.
    pub program: PathBuf,
    /// Arguments, the program's own name first.
    pub argv: Vec<OsString>,
    /// Working directory.
    pub cwd: PathBuf,
}

/// Reaching an address outside the sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkAccess {
    /// Host name or address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// Sending the conversation to the model that the person configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelRequest {
    /// The provider's name in the configuration.
    pub provider: String,
    /// The model's name.
    pub model: String,
    /// Where it is sent, without credentials or query; `replay` for a recording.
    pub endpoint: String,
}

/// Any request, borrowed: what the gate looks at.
#[derive(Clone, Copy, Debug)]
pub enum Request<'a> {
    /// See [`FileRead`].
    FileRead(&'a FileRead),
    /// See [`FileWrite`].
    FileWrite(&'a FileWrite),
    /// See [`ProcessSpawn`].
    ProcessSpawn(&'a ProcessSpawn),
    /// See [`NetworkAccess`].
    NetworkAccess(&'a NetworkAccess),
    /// See [`ModelRequest`].
    ModelRequest(&'a ModelRequest),
}

impl Request<'_> {
    /// What is attempted.
    #[must_use]
    pub fn operation(&self) -> Operation {
        match self {
            Self::FileRead(_) => Operation::FileRead,
            Self::FileWrite(_) => Operation::FileWrite,
            Self::ProcessSpawn(_) => Operation::ProcessSpawn,
            Self::NetworkAccess(_) => Operation::NetworkAccess,
            Self::ModelRequest(_) => Operation::ModelRequest,
        }
    }

    /// On what: a path, a program, or `host:port`. Not masked yet.
    #[must_use]
    pub fn target(&self) -> String {
        match self {
            Self::FileRead(r) => text(&r.path),
            Self::FileWrite(r) => text(&r.path),
            Self::ProcessSpawn(r) => text(&r.program),
            Self::NetworkAccess(r) if r.host.contains(':') => format!("[{}]:{}", r.host, r.port),
            Self::NetworkAccess(r) => format!("{}:{}", r.host, r.port),
            Self::ModelRequest(r) => format!("{} {} at {}", r.provider, r.model, r.endpoint),
        }
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// A request of one type, which the gate can look at.
pub trait Requested {
    /// The borrowed view of it.
    fn view(&self) -> Request<'_>;
}

macro_rules! requested {
    ($($name:ident),+) => {$(
        impl Requested for $name {
            fn view(&self) -> Request<'_> { Request::$name(self) }
        }
    )+};
}

requested!(
    FileRead,
    FileWrite,
    ProcessSpawn,
    NetworkAccess,
    ModelRequest
);
