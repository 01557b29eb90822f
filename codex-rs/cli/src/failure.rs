//! Every way a command can fail, folded into the exit codes of the command line's contract.

use std::fmt;
use std::process::ExitCode;

/// What kind of failure; each kind has one exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The work failed.
    Work = 1,
    /// What was typed or configured does not make sense.
    Usage = 2,
    /// The run itself is refused by policy, or its record cannot be written.
    Refused = 3,
    /// The profile cannot be enforced on this machine.
    CannotEnforce = 4,
    /// A person interrupted it.
    Interrupted = 130,
}

/// A failed command: one line that says what failed, on what, why, and what to do next.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(kind: Kind, message: impl fmt::Display) -> Self {
        Self {
            kind,
            message: message.to_string(),
        }
    }

    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self::new(Kind::Usage, message)
    }

    pub(crate) fn work(message: impl fmt::Display) -> Self {
        Self::new(Kind::Work, message)
    }

    pub(crate) fn refused(message: impl fmt::Display) -> Self {
        Self::new(Kind::Refused, message)
    }

    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(self.kind as u8)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The message may hold names that came from outside; none of them drives the terminal.
        for c in self.message.chars() {
            if c.is_control() && c != '\n' {
                write!(f, "{}", c.escape_default())?
            } else {
                write!(f, "{c}")?
            }
        }
        Ok(())
    }
}

/// Fails with the error's own text.
pub(crate) trait OrFail<T> {
    /// Gives the value, or the error as a failure of this kind.
    fn or_fail(self, kind: Kind) -> Result<T, Failure>;
}

impl<T, E: fmt::Display> OrFail<T> for Result<T, E> {
    fn or_fail(self, kind: Kind) -> Result<T, Failure> {
        self.map_err(|error| Failure::new(kind, error))
    }
}
