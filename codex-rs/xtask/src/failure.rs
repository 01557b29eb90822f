//! Why a task could not be carried out.

use std::io;
use std::path::PathBuf;

/// A task that could not be carried out. A check that finds violations is not one of these.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The command line made no sense.
    #[error(
        "{0}\nusage: cargo xtask tidy | budget [--json] [--codex PATH] [--runs N] | dist | check-platforms"
    )]
    Usage(String),
    /// A file could not be read or written.
    #[error("{what} {}: {source}", path.display())]
    File {
        what: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    /// A manifest is not valid TOML.
    #[error("{path}: not valid TOML: {source}; correct it and run this again")]
    Manifest {
        path: String,
        source: Box<toml::de::Error>,
    },
    /// A program could not be started.
    #[error("cannot start `{command}`: {source}; check that it is installed and in PATH")]
    Start { command: String, source: io::Error },
    /// A program ran and reported failure.
    #[error("`{command}` failed ({status}): {stderr}")]
    Program {
        command: String,
        status: String,
        stderr: String,
    },
    /// Something that must exist first does not.
    #[error("{0}")]
    Missing(String),
    /// The host cannot do this.
    #[error("{0}")]
    Unsupported(String),
}

impl Failure {
    /// A failed read of `path`.
    pub(crate) fn read(path: impl Into<PathBuf>, source: io::Error) -> Self {
        Failure::File {
            what: "cannot read",
            path: path.into(),
            source,
        }
    }

    /// A failed write of `path`.
    pub(crate) fn write(path: impl Into<PathBuf>, source: io::Error) -> Self {
        Failure::File {
            what: "cannot write",
            path: path.into(),
            source,
        }
    }
}
