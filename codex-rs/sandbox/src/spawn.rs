//! The one way to start a process.

use std::ffi::OsString;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use codex_protocol::gate::Authorized;
use codex_protocol::record::Recorded;
use codex_protocol::request::ProcessSpawn;
use serde::{Deserialize, Serialize};

use crate::plan::Plan;
use crate::sys::{self, Helper};
use crate::wire::{self, Message};

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
    /// The helper ended without saying how the command did; it had ended everything or the
    /// kernel had.
    #[error("the sandbox's helper ended early; the command was ended with it")]
    HelperLost,
}

/// The step whose failure is the program's own, not the sandbox's.
pub(crate) const EXEC_STEP: &str = "exec";

/// What travels to the helper.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    #[serde(with = "wire::path")]
    pub(crate) program: PathBuf,
    pub(crate) argv: Vec<OsString>,
    #[serde(with = "wire::path")]
    pub(crate) cwd: PathBuf,
    pub(crate) plan: Plan,
}

/// A command at work. Dropping it ends the command and everything that it started.
#[derive(Debug)]
pub struct Running {
    control: BufReader<UnixStream>,
    helper: Helper,
    program: PathBuf,
}

/// Starts the authorized and recorded `spawn` as `plan` says. `helper` is this binary.
///
/// Returns once the helper has the job; [`Running::wait`] or [`Running::wait_async`] tells
/// whether the command started and how it ended.
///
/// # Errors
/// When the helper cannot be started or does not take the job.
pub fn spawn(
    spawn: &Recorded<Authorized<ProcessSpawn>>,
    plan: Plan,
    streams: Streams,
    helper: &Path,
) -> Result<Running, SpawnError> {
    let job = job(spawn, plan);
    let (ours, theirs) = UnixStream::pair().map_err(setup("making the control socket"))?;
    let child =
        sys::start_helper(helper, theirs.as_fd(), streams).map_err(setup("starting the helper"))?;
    drop(theirs);
    let mut running = Running {
        control: BufReader::new(ours),
        helper: child,
        program: job.program.clone(),
    };
    let text = serde_json::to_vec(&job).map_err(|e| setup("writing the plan")(e.into()))?;
    let length = u32::try_from(text.len())
        .map_err(|_| setup("writing the plan")(io::ErrorKind::ArgumentListTooLong.into()))?;
    let socket = running.control.get_mut();
    socket
        .write_all(&length.to_le_bytes())
        .and_then(|()| socket.write_all(&text))
        .map_err(setup("writing the plan"))?;
    Ok(running)
}

/// The same for a command that shares our own streams, and quicker while this process has one
/// thread: a copy of it becomes the helper.
///
/// # Errors
/// As [`spawn`].
pub fn spawn_sharing_streams(
    recorded: &Recorded<Authorized<ProcessSpawn>>,
    plan: Plan,
    helper: &Path,
) -> Result<Running, SpawnError> {
    let job = job(recorded, plan);
    let (ours, theirs) = UnixStream::pair().map_err(setup("making the control socket"))?;
    if let Some(helper) = sys::copy_as_helper(theirs, &job).map_err(setup("starting the helper"))? {
        return Ok(Running {
            control: BufReader::new(ours),
            helper,
            program: job.program,
        });
    }
    let streams = Streams {
        stdin: Stdio::inherit(),
        stdout: Stdio::inherit(),
        stderr: Stdio::inherit(),
    };
    spawn(recorded, job.plan, streams, helper)
}

fn job(spawn: &Recorded<Authorized<ProcessSpawn>>, plan: Plan) -> Job {
    let request = spawn.get().request();
    Job {
        program: request.program.clone(),
        argv: request.argv.clone(),
        cwd: request.cwd.clone(),
        plan,
    }
}

fn setup(step: &str) -> impl FnOnce(io::Error) -> SpawnError {
    let step = step.to_owned();
    move |cause| SpawnError::Setup { step, cause }
}

impl Running {
    /// Waits until the command and all that it started have ended.
    ///
    /// # Errors
    /// When it did not start, or the helper was lost.
    pub fn wait(mut self) -> Result<Outcome, SpawnError> {
        let mut line = String::new();
        loop {
            line.clear();
            match self.control.read_line(&mut line) {
                Ok(0) | Err(_) => return self.lost(),
                Ok(_) => {}
            }
            if let Some(ended) = self.take(&line) {
                return ended;
            }
        }
    }

    /// The same, without blocking the runtime's thread.
    ///
    /// # Errors
    /// As [`Running::wait`].
    pub async fn wait_async(mut self) -> Result<Outcome, SpawnError> {
        use tokio::io::AsyncBufReadExt as _;
        let failed = |cause| SpawnError::Setup {
            step: "watching the helper".to_owned(),
            cause,
        };
        let socket = self.control.get_ref().try_clone().map_err(failed)?;
        socket.set_nonblocking(true).map_err(failed)?;
        let socket = tokio::net::UnixStream::from_std(socket).map_err(failed)?;
        let mut lines = tokio::io::BufReader::new(socket);
        let mut line = String::new();
        loop {
            line.clear();
            match lines.read_line(&mut line).await {
                Ok(0) | Err(_) => return self.lost(),
                Ok(_) => {}
            }
            if let Some(ended) = self.take(&line) {
                return ended;
            }
        }
    }

    fn take(&mut self, line: &str) -> Option<Result<Outcome, SpawnError>> {
        match serde_json::from_str(line) {
            Ok(Message::Started { .. }) => None,
            Ok(Message::Ended { outcome }) => Some(Ok(outcome)),
            Ok(Message::Failed { step, errno }) => {
                let cause = io::Error::from_raw_os_error(errno);
                let program = self.program.clone();
                Some(Err(if step == EXEC_STEP {
                    SpawnError::Exec { program, cause }
                } else {
                    SpawnError::Setup { step, cause }
                }))
            }
            Err(_) => Some(self.lost()),
        }
    }

    fn lost(&mut self) -> Result<Outcome, SpawnError> {
        Err(SpawnError::HelperLost)
    }
}

impl Drop for Running {
    /// Closing the control socket makes the helper end the command's whole tree and then itself.
    /// Waiting for it here keeps the promise that nothing outlives the call.
    fn drop(&mut self) {
        let _ = self.control.get_ref().shutdown(std::net::Shutdown::Both);
        self.helper.wait();
    }
}

/// Reads a job as [`spawn`] wrote it. The length is bounded: 64 MiB holds any argument list that
/// the kernel takes (`ARG_MAX` and the plan's paths).
pub(crate) fn read_job(control: &mut UnixStream) -> io::Result<Job> {
    const LIMIT: u32 = 64 << 20;
    let mut length = [0; 4];
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
