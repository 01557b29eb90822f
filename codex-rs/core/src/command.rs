//! Running a program inside the sandbox, and reading what it prints.

use std::ffi::{OsStr, OsString};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use codex_protocol::gate::Authorized;
use codex_protocol::permission::Permissions;
use codex_protocol::policy::Policy;
use codex_protocol::record::{Observation, RecordError, Recorded};
use codex_protocol::request::ProcessSpawn;
use codex_sandbox::capability::Capabilities;
use codex_sandbox::plan::{self, CannotEnforce, Limits, Plan, Programs, Terminal, Wishes};
use codex_sandbox::report::{Level, Report};
use codex_sandbox::spawn::{self, Outcome, Running, SpawnError, Streams};
use codex_sandbox::streams::{self, Receiver, Sender};
use codex_sandbox::survey;
use tokio::io::AsyncReadExt;
use tracing::{Instrument as _, Span};

use crate::output::{Capture, Captured};
use crate::spans;

/// The directory in the private temporary one that stands in for `/dev/shm`.
pub const SHARED_MEMORY: &str = "shm";

/// What commands of a run have in common.
#[derive(Clone, Debug)]
pub struct Workbench {
    /// This binary, which is also the sandbox's helper.
    pub helper: PathBuf,
    /// What the machine can enforce.
    pub capabilities: Capabilities,
    /// The level that the person accepts where it is lower than the profile requires.
    pub accept: Option<Level>,
    /// The environment that commands get a part of.
    pub environment: Vec<(OsString, OsString)>,
    /// Variables that they get with this value, whatever ours is.
    pub set: Vec<(OsString, OsString)>,
    /// The private temporary directory, where the profile writes at all.
    pub temp: Option<PathBuf>,
    /// The directory that stands in for `/dev/shm`, where the profile writes at all.
    pub shared_memory: Option<PathBuf>,
    /// Whether refused reads are recorded too.
    pub audit_reads: bool,
    /// Where outputs that are too long to show are kept.
    pub outputs: PathBuf,
    /// Where the egress proxy listens, where the policy reaches hosts.
    pub proxy: Option<SocketAddr>,
    /// Gives what a command is told of the trace that it is part of (its `TRACEPARENT`), inside
    /// the command's span.
    pub traceparent: fn() -> Option<String>,
}

/// The variable that tells a process of the trace that it is part of (OpenTelemetry, "Environment
/// variables as context propagation carriers").
pub const TRACEPARENT: &str = "TRACEPARENT";

/// A command at work, with its input and output.
#[derive(Debug)]
pub struct Started {
    /// The command. Dropping it ends the command and all that it started.
    pub running: Running,
    /// Its input.
    pub stdin: Sender,
    /// What it prints, both streams in the order they were written.
    pub stdout: Receiver,
    /// Its span, in which it is waited for.
    pub span: Span,
}

/// A command that could not be run.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The profile cannot be enforced here.
    #[error(transparent)]
    CannotEnforce(#[from] CannotEnforce),
    /// It did not start.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// Its output could not be read.
    #[error("the command's output could not be read: {0}")]
    Output(#[from] io::Error),
}

/// So many refusals are shown with a command's output; the log has all.
pub const MAX_DENIED_SHOWN: usize = 10;

/// How a command ended, what it printed, and what it was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// How it ended.
    pub outcome: Outcome,
    /// What the sandbox refused it, masked: one line each, at most [`MAX_DENIED_SHOWN`].
    pub denied: Vec<String>,
    /// Both streams in the order they were written.
    pub output: Captured,
}

/// The span of a command that is run otherwise than by a [`Workbench`].
#[must_use]
pub fn span(program: &Path) -> Span {
    spans::command(program)
}

/// Tells in its span how such a command ended.
pub fn tell_end(span: &Span, ended: Result<Outcome, &SpawnError>) {
    spans::outcome(span, ended.map_err(spans::spawn_failure));
}

impl Workbench {
    /// What confines the next command under `policy`.
    ///
    /// # Errors
    /// When the profile cannot be enforced here.
    pub fn plan(
        &self,
        policy: &Policy,
        terminal: Terminal,
        limits: Limits,
    ) -> Result<(Plan, Report), CannotEnforce> {
        let temp = self
            .temp
            .iter()
            .map(|temp| ("TMPDIR".into(), temp.clone().into_os_string()));
        let trace = (self.traceparent)().map(|trace| (TRACEPARENT.into(), trace.into()));
        let set = self.set.iter().cloned().chain(temp).chain(trace).collect();
        let wishes = Wishes {
            environment: self.environment.clone(),
            set,
            limits,
            terminal,
            accept: self.accept,
            audit_reads: self.audit_reads,
            shared_memory: self.shared_memory.clone(),
            proxy: self.proxy,
        };
        plan::plan(policy, self.capabilities, &survey::survey(policy), wishes)
    }

    /// What is made of the listed programs beside a plan.
    #[must_use]
    pub fn programs(&self, policy: &Policy) -> Programs {
        plan::programs(policy, self.capabilities)
    }

    /// The value of `PATH`.
    #[must_use]
    pub fn search_path(&self) -> &OsStr {
        let path = self.environment.iter().find(|(name, _)| name == "PATH");
        path.map_or(OsStr::new("/usr/bin:/bin"), |(_, value)| value)
    }

    /// The shell that runs command strings: `bash`, or `sh` where there is none.
    #[must_use]
    pub fn shell(&self) -> Option<PathBuf> {
        let find = |name: &str| {
            crate::places::find_program(Path::new(name), Path::new("/"), self.search_path())
        };
        find("bash").or_else(|| find("sh"))
    }

    /// Runs a recorded command to its end without a terminal or input. `name` tells its kept
    /// output from others'. Dropping the future ends the command and all that it started.
    ///
    /// # Errors
    /// When the profile cannot be enforced, or the command does not start.
    pub async fn run(
        &self,
        permissions: &Permissions,
        command: &Recorded<Authorized<ProcessSpawn>>,
        timeout: Duration,
        name: &str,
    ) -> Result<Ran, CommandError> {
        let span = spans::command(&command.get().request().program);
        let run = self.run_to_end(permissions, command, timeout, name);
        let ran = run.instrument(span.clone()).await;
        spans::command_ended(&span, ran.as_ref().map(|ran| ran.outcome));
        ran
    }

    async fn run_to_end(
        &self,
        permissions: &Permissions,
        command: &Recorded<Authorized<ProcessSpawn>>,
        timeout: Duration,
        name: &str,
    ) -> Result<Ran, CommandError> {
        let policy = permissions.policy();
        let (running, mut reader) = self.begin(policy, command, Some(timeout), Stdio::null())?;
        let refused = Refused::default();
        let observer = |observation: &Observation| refused.observe(permissions, observation);
        let mut capture = Capture::new(self.outputs.join(format!("{name}.txt")));
        let read = async {
            let mut buffer = [0; 16 << 10];
            loop {
                match reader.read(&mut buffer).await? {
                    0 => return io::Result::Ok(()),
                    n => capture.push(&buffer[..n]),
                }
            }
        };
        let (outcome, read) = tokio::join!(running.wait_async(&observer), read);
        let outcome = outcome?;
        read?;
        Ok(Ran {
            outcome,
            denied: refused.take(),
            output: capture.finish(),
        })
    }

    /// Starts a recorded command with a pipe as its input and one for both its outputs, without a
    /// terminal or a limit of time.
    ///
    /// # Errors
    /// When the profile cannot be enforced, or the helper does not start.
    pub fn start(
        &self,
        policy: &Policy,
        command: &Recorded<Authorized<ProcessSpawn>>,
    ) -> Result<Started, CommandError> {
        let span = spans::command(&command.get().request().program);
        let started = span.in_scope(|| {
            let (stdin, writer) = io::pipe()?;
            let writer = streams::sender(writer)?;
            let (running, reader) = self.begin(policy, command, None, stdin.into())?;
            Ok((running, writer, reader))
        });
        match started {
            Ok((running, stdin, stdout)) => Ok(Started {
                running,
                stdin,
                stdout,
                span,
            }),
            Err(error) => {
                spans::command_ended(&span, Err(&error));
                Err(error)
            }
        }
    }

    fn begin(
        &self,
        policy: &Policy,
        command: &Recorded<Authorized<ProcessSpawn>>,
        timeout: Option<Duration>,
        stdin: Stdio,
    ) -> Result<(Running, Receiver), CommandError> {
        let limits = Limits {
            timeout,
            ..Limits::default()
        };
        let (plan, _) = self.plan(policy, Terminal::None, limits)?;
        let (reader, writer) = io::pipe()?;
        let streams = Streams {
            stdin,
            stdout: writer.try_clone()?.into(),
            stderr: writer.into(),
        };
        let running = spawn::spawn(
            command,
            &plan,
            &self.programs(policy),
            streams,
            &self.helper,
        )?;
        Ok((running, streams::receiver(reader)?))
    }
}

/// Records what the sandbox sees of a command, and keeps the refusals for whoever ran it.
#[derive(Debug, Default)]
pub struct Refused(Mutex<Vec<String>>);

impl Refused {
    /// Records one observation.
    ///
    /// # Errors
    /// When the record cannot be written; the run must end.
    pub fn observe(
        &self,
        permissions: &Permissions,
        observation: &Observation,
    ) -> Result<(), RecordError> {
        permissions.observe(observation)?;
        let Observation::Denied(attempt) = observation else {
            return Ok(());
        };
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if attempt.count == 1 && lines.len() < MAX_DENIED_SHOWN {
            let line = format!(
                "{} {}: {}",
                attempt.operation, attempt.target, attempt.reason
            );
            lines.push(permissions.recorder().mask(&line));
        }
        Ok(())
    }

    /// What was refused since it was last taken.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What was refused, as a part of a tool's answer. Empty where nothing was.
#[must_use]
pub fn denied_text(denied: &[String]) -> String {
    match denied {
        [] => String::new(),
        lines => format!("\nThe sandbox denied:\n{}", lines.join("\n")),
    }
}
