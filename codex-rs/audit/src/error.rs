//! Why the log could not be used.

use std::io;
use std::path::{Path, PathBuf};

use codex_protocol::record::RecordError;

/// What is wrong with a log, and which log it is.
#[derive(Debug, thiserror::Error)]
#[error("the audit log '{}' cannot be used: {fault}; {}", path.display(), fault.remedy())]
pub struct AuditError {
    /// The log.
    pub path: PathBuf,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What can be wrong with a log.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The directory for it could not be made.
    #[error("its directory cannot be created: {0}")]
    Directory(io::Error),
    /// It could not be opened.
    #[error("it cannot be opened: {0}")]
    Open(io::Error),
    /// A symbolic link stands there: it could lead the records anywhere.
    #[error("it is a symbolic link")]
    Symlink,
    /// A directory, a device or a pipe stands there.
    #[error("it is not a regular file")]
    NotAFile,
    /// Somebody else could rewrite it.
    #[error("it belongs to user {owner}, and this is user {own}")]
    Owner {
        /// Who owns it.
        owner: u32,
        /// Who we are.
        own: u32,
    },
    /// Others could rewrite it.
    #[error("others than its owner can write to it (mode {0:o})")]
    Writable(u32),
    /// Its end is no record: either it is no log, or somebody wrote to it.
    #[error("its last line is not a record of codex")]
    Foreign,
    /// It was removed while open: records would go to a file without a name.
    #[error("it was removed while it was in use")]
    Removed,
    /// It ends before, or otherwise than, what this process wrote into it.
    #[error(
        "it was cut or replaced: this process wrote record {written}, and now it ends at {now}"
    )]
    Shrunk {
        /// The last record known to this process.
        written: u64,
        /// The last record there.
        now: u64,
    },
    /// Another process did not let go of it.
    #[error("another process has kept it locked for {0} seconds")]
    Busy(u64),
    /// The lock failed.
    #[error("it cannot be locked: {0}")]
    Lock(io::Error),
    /// It could not be read.
    #[error("reading it failed: {0}")]
    Read(io::Error),
    /// It could not be written; what had been written of the line was taken back.
    #[error("writing a record failed: {0}")]
    Write(io::Error),
    /// A record was written but may not outlive a power cut.
    #[error("bringing a record to the disk failed: {0}")]
    Sync(io::Error),
    /// The torn line that a killed process left could not be put aside.
    #[error("the torn last line cannot be moved to '{}': {source}", to.display())]
    Aside {
        /// Where it was to go.
        to: PathBuf,
        /// Why it could not.
        source: io::Error,
    },
    /// A full file could not be closed and followed by a new one.
    #[error("its full file cannot be closed as '{}': {source}", to.display())]
    Close {
        /// The name that it was to get.
        to: PathBuf,
        /// Why it could not.
        source: io::Error,
    },
    /// The key that signs checkpoints could not be used or made.
    #[error("the key '{}' that signs it cannot be used: {cause}", file.display())]
    Key {
        /// Where the key is.
        file: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// The record could not be put into words.
    #[error("the record cannot be serialized: {0}")]
    Serialize(serde_json::Error),
    /// The clock shows a time that no calendar has.
    #[error("the system clock is out of range")]
    Clock,
}

impl Fault {
    /// What a person can do about it.
    fn remedy(&self) -> &'static str {
        match self {
            Self::Directory(_) | Self::Open(_) => {
                "check that it exists and who may use it, or name another file with --audit-log"
            }
            Self::Symlink | Self::NotAFile => {
                "name the file itself with --audit-log, or move away what is there"
            }
            Self::Owner { .. } => "name a file of your own with --audit-log",
            Self::Writable(_) => "run `chmod go-w` on it if its contents can still be trusted",
            Self::Foreign | Self::Shrunk { .. } => {
                "look at it with `codex audit verify`, then move it away to start a new one"
            }
            Self::Removed => "start codex again; find out who removed it",
            Self::Busy(_) | Self::Lock(_) => {
                "find who holds it (`fuser` names the process), or name another file with --audit-log"
            }
            Self::Read(_)
            | Self::Write(_)
            | Self::Sync(_)
            | Self::Aside { .. }
            | Self::Close { .. } => {
                "free space or fix permissions there, or name another file with --audit-log"
            }
            Self::Key { .. } => {
                "fix its permissions; if it is lost, move it away, and the next run makes a new one"
            }
            Self::Serialize(_) => "report this as a bug",
            Self::Clock => "set the clock",
        }
    }

    /// This fault of the log at `path`.
    pub(crate) fn at(self, path: &Path) -> AuditError {
        AuditError {
            path: path.to_owned(),
            fault: self,
        }
    }

    /// As the answer to someone who wants to act.
    pub(crate) fn refuse(self, path: &Path) -> RecordError {
        RecordError {
            path: path.display().to_string(),
            cause: self.to_string(),
        }
    }
}
