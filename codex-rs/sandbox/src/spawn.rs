//! The one way to start a process.

use std::ffi::OsString;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use codex_protocol::gate::Authorized;
use codex_protocol::record::{Observation, RecordError, Recorded};
use codex_protocol::request::ProcessSpawn;
use codex_protocol::wire;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::plan::{Plan, Programs};
use crate::sys::{self, Control, Helper};
use crate::wire::Message;

/// The first argument that makes this binary a helper instead of an agent. Must be looked at
/// before anything else in `main`.
pub const HELPER_ARGUMENT: &str = "__sandbox-helper";

/// The command's three streams.
#[derive(Debug)]
pub struct Streams {
    /// Its input.
    pub stdin: Stdio,
    /// Its output.
    pub stdout: Stdio,
    /// Its error output.
    pub stderr: Stdio,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// By itself, with this code.
    Exited(i32),
    /// By this signal.
    Signaled(i32),
    /// It reached its limit of time and was ended.
    TimedOut,
    /// Whoever started it ended it.
    Ended,
}

impl Outcome {
    /// The exit status in a shell's terms: 128+N for signal N, 124 for a timeout.
    #[must_use]
    pub fn status(self) -> i32 {
        match self {
            Self::Exited(code) => code,
            Self::Signaled(signal) => 128 + signal,
            Self::TimedOut => 124,
            Self::Ended => 137,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exit code {code}"),
            Self::Signaled(signal) => write!(f, "ended by signal {signal}"),
            Self::TimedOut => f.write_str("timed out"),
            Self::Ended => f.write_str("ended by codex"),
        }
    }
}

/// A command that did not start.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// The confinement could not be set up, so nothing was started.
    #[error("the sandbox could not be set up: {step} failed: {cause}")]
    Setup {
        /// What was being done.
        step: String,
        /// What the system said.
        cause: io::Error,
    },
    /// The program could not be started.
    #[error("'{}' could not be started: {cause}", .program.display())]
    Exec {
        /// The program.
        program: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// What the command did could not be recorded, so it was ended.
    #[error(transparent)]
    NoRecord(#[from] RecordError),
    /// The helper ended without saying how the command did; it had ended everything or the
    /// kernel had.
    #[error("the sandbox's helper ended early; the command was ended with it")]
    HelperLost,
}

/// The step whose failure is the program's own, not the sandbox's.
pub(crate) const EXEC_STEP: &str = "exec";

/// What travels to the helper once it is permitted: the command itself.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Command {
    #[serde(with = "wire::path")]
    pub(crate) program: PathBuf,
    pub(crate) argv: Vec<OsString>,
    #[serde(with = "wire::path")]
    pub(crate) cwd: PathBuf,
    /// The listed programs that are there, and trees of them.
    #[serde(with = "wire::paths")]
    pub(crate) listed: Vec<PathBuf>,
    #[serde(with = "wire::paths")]
    pub(crate) trees: Vec<PathBuf>,
}

/// A helper that has the plan, makes the confinement ready, and waits for a command. Dropping it
/// ends it: without a permitted command nothing starts.
#[derive(Debug)]
pub struct Ready {
    control: BufReader<Control>,
    helper: Helper,
    /// The helper has said that all is ended.
    ended: bool,
}

/// A command at work. Dropping it ends the command and everything that it started.
#[derive(Debug)]
pub struct Running {
    ready: Ready,
    program: PathBuf,
}

/// Starts a helper that makes ready what `plan` says. `helper` is this binary.
///
/// # Errors
/// When the helper cannot be started or does not take the plan.
pub fn prepare(plan: &Plan, streams: Streams, helper: &Path) -> Result<Ready, SpawnError> {
    let (mut ours, theirs) = sys::control_pair().map_err(setup("making the control socket"))?;
    let helper = sys::start_helper(helper, sys::lend(&theirs), streams)
        .map_err(setup("starting the helper"))?;
    drop(theirs);
    send(&mut ours, plan).map_err(setup("writing the plan"))?;
    Ok(Ready::new(ours, helper))
}

/// The same for a command that shares our own streams, and quicker while this process has one
/// thread: a copy of it becomes the helper, and works while we go on.
///
/// # Errors
/// As [`prepare`].
pub fn prepare_sharing_streams(plan: &Plan, helper: &Path) -> Result<Ready, SpawnError> {
    let (ours, theirs) = sys::control_pair().map_err(setup("making the control socket"))?;
    if let Some(helper) = sys::copy_as_helper(theirs, plan).map_err(setup("starting the helper"))? {
        return Ok(Ready::new(ours, helper));
    }
    let streams = Streams {
        stdin: Stdio::inherit(),
        stdout: Stdio::inherit(),
        stderr: Stdio::inherit(),
    };
    prepare(plan, streams, helper)
}

/// Starts the authorized and recorded `spawn` as `plan` says. `helper` is this binary.
///
/// # Errors
/// As [`prepare`] and [`Ready::start`].
pub fn spawn(
    spawn: &Recorded<Authorized<ProcessSpawn>>,
    plan: &Plan,
    programs: &Programs,
    streams: Streams,
    helper: &Path,
) -> Result<Running, SpawnError> {
    prepare(plan, streams, helper)?.start(spawn, programs)
}

impl Ready {
    fn new(control: Control, helper: Helper) -> Self {
        Self {
            control: BufReader::new(control),
            helper,
            ended: false,
        }
    }

    /// Starts the authorized and recorded `spawn`. `programs` are those of the plan's policy.
    ///
    /// Returns once the helper has the command; [`Running::wait`] or [`Running::wait_async`] tells
    /// whether it started and how it ended.
    ///
    /// # Errors
    /// When the helper does not take the command.
    pub fn start(
        mut self,
        spawn: &Recorded<Authorized<ProcessSpawn>>,
        programs: &Programs,
    ) -> Result<Running, SpawnError> {
        let request = spawn.get().request();
        let command = Command {
            program: request.program.clone(),
            argv: request.argv.clone(),
            cwd: request.cwd.clone(),
            listed: programs.listed.clone(),
            trees: programs.trees.clone(),
        };
        let text = text(&command).map_err(setup("writing the command"))?;
        match sys::send_command(self.control.get_mut(), &text, &programs.rulesets) {
            // A helper that could not set up has said why and is gone: waiting tells.
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => {}
            sent => sent.map_err(setup("sending the command"))?,
        }
        Ok(Running {
            program: command.program,
            ready: self,
        })
    }
}

fn send(control: &mut Control, message: &impl Serialize) -> io::Result<()> {
    control.write_all(&text(message)?)
}

/// One message: its length as 4 bytes, little-endian, then JSON.
fn text(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut text = vec![0; LENGTH];
    serde_json::to_writer(&mut text, message)?;
    let length = u32::try_from(text.len() - LENGTH)
        .map_err(|_| io::Error::from(io::ErrorKind::ArgumentListTooLong))?;
    text[..LENGTH].copy_from_slice(&length.to_le_bytes());
    Ok(text)
}

/// The bytes of a message's length.
pub(crate) const LENGTH: usize = 4;

fn setup(step: &str) -> impl FnOnce(io::Error) -> SpawnError {
    let step = step.to_owned();
    move |cause| SpawnError::Setup { step, cause }
}

/// Takes what the sandbox saw, before the command goes on. An error ends the command.
pub type Observer<'o> = dyn Fn(&Observation) -> Result<(), RecordError> + Send + Sync + 'o;

impl Running {
    /// Waits until the command and all that it started have ended. `observer` records what was
    /// seen meanwhile.
    ///
    /// # Errors
    /// When it did not start, what was seen cannot be recorded, or the helper was lost.
    pub fn wait(mut self, observer: &Observer<'_>) -> Result<Outcome, SpawnError> {
        loop {
            let mut line = String::new();
            // What cannot be read is taken like a helper that says nothing.
            let _ = self.ready.control.read_line(&mut line);
            if let Some(ended) = self.take(&line, observer) {
                return ended;
            }
        }
    }

    /// The same, without blocking the runtime's thread.
    ///
    /// # Errors
    /// As [`Running::wait`].
    pub async fn wait_async(mut self, observer: &Observer<'_>) -> Result<Outcome, SpawnError> {
        let mut lines =
            sys::Lines::of(self.ready.control.get_ref()).map_err(setup("watching the helper"))?;
        loop {
            let line = lines.next().await;
            if let Some(ended) = self.take(&line, observer) {
                return ended;
            }
        }
    }

    /// Takes one message. `None` until the last.
    fn take(&mut self, line: &str, observer: &Observer<'_>) -> Option<Result<Outcome, SpawnError>> {
        match serde_json::from_str(line) {
            Ok(Message::Observed { observation }) => {
                observer(&observation).err().map(|error| Err(error.into()))
            }
            Ok(Message::Ended { outcome }) => {
                self.ready.ended = true;
                Some(Ok(outcome))
            }
            Ok(Message::Failed { step, errno }) => {
                let cause = io::Error::from_raw_os_error(errno);
                let program = self.program.clone();
                Some(Err(if step == EXEC_STEP {
                    SpawnError::Exec { program, cause }
                } else {
                    SpawnError::Setup { step, cause }
                }))
            }
            Err(_) => Some(Err(SpawnError::HelperLost)),
        }
    }
}

impl Drop for Ready {
    /// Closing the control socket makes the helper end the command's whole tree and then itself.
    /// Waiting for it here keeps the promise that nothing outlives the call.
    fn drop(&mut self) {
        sys::close(self.control.get_mut());
        self.helper.wait(self.ended);
    }
}

/// Reads a message as codex sent it. The length is bounded: 64 MiB holds any argument list that
/// the kernel takes (`ARG_MAX` and the plan's paths).
pub(crate) fn receive<T: DeserializeOwned>(control: &mut Control) -> io::Result<T> {
    const LIMIT: u32 = 64 << 20;
    let mut length = [0; LENGTH];
    control.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length);
    if length > LIMIT {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut text = vec![0; length as usize];
    control.read_exact(&mut text)?;
    Ok(serde_json::from_slice(&text)?)
}

/// How often a helper that is ending a tree looks again whether something was started meanwhile.
pub(crate) const SWEEP: Duration = Duration::from_millis(1);

/// So many different denials of one run are told one by one; further ones are counted by operation
/// and rule.
pub const MAX_DISTINCT_DENIALS: usize = 500;

/// So many written files of one run are named.
pub const MAX_WRITTEN_SHOWN: usize = 20;
