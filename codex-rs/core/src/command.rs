//! Running a program inside the sandbox, and reading what it prints.

use std::ffi::{OsStr, OsString};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use codex_protocol::gate::Authorized;
use codex_protocol::policy::Policy;
use codex_protocol::record::Recorded;
use codex_protocol::request::ProcessSpawn;
use codex_sandbox::capability::Capabilities;
use codex_sandbox::plan::{self, CannotEnforce, Limits, Plan, Terminal, Wishes};
use codex_sandbox::report::{Level, Report};
use codex_sandbox::spawn::{self, Outcome, Running, SpawnError, Streams};
use codex_sandbox::survey;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

use crate::output::{Capture, Captured};

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
    /// Where outputs that are too long to show are kept.
    pub outputs: PathBuf,
    /// Where the egress proxy listens, where the policy reaches hosts.
    pub proxy: Option<SocketAddr>,
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

/// How a command ended, and what it printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// How it ended.
    pub outcome: Outcome,
    /// Both streams in the order they were written.
    pub output: Captured,
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
        let set = self.set.iter().cloned().chain(temp).collect();
        let wishes = Wishes {
            environment: self.environment.clone(),
            set,
            limits,
            terminal,
            accept: self.accept,
            proxy: self.proxy,
        };
        plan::plan(policy, self.capabilities, &survey::survey(policy), wishes)
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
        policy: &Policy,
        command: &Recorded<Authorized<ProcessSpawn>>,
        timeout: Duration,
        name: &str,
    ) -> Result<Ran, CommandError> {
        let (running, mut reader) = self.begin(policy, command, Some(timeout), Stdio::null())?;
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
        let (outcome, read) = tokio::join!(running.wait_async(), read);
        let outcome = outcome?;
        read?;
        Ok(Ran {
            outcome,
            output: capture.finish(),
        })
    }

    /// Starts a recorded command with a pipe as its input and one for both its outputs, without a
    /// terminal or a limit of time. Dropping the first value ends the command and all that it
    /// started.
    ///
    /// # Errors
    /// When the profile cannot be enforced, or the helper does not start.
    pub fn start(
        &self,
        policy: &Policy,
        command: &Recorded<Authorized<ProcessSpawn>>,
    ) -> Result<(Running, pipe::Sender, pipe::Receiver), CommandError> {
        let (stdin, writer) = io::pipe()?;
        let writer = pipe::Sender::from_owned_fd(writer.into())?;
        let (running, reader) = self.begin(policy, command, None, stdin.into())?;
        Ok((running, writer, reader))
    }

    fn begin(
        &self,
        policy: &Policy,
        command: &Recorded<Authorized<ProcessSpawn>>,
        timeout: Option<Duration>,
        stdin: Stdio,
    ) -> Result<(Running, pipe::Receiver), CommandError> {
        let limits = Limits {
            timeout,
            memory: None,
        };
        let (plan, _) = self.plan(policy, Terminal::None, limits)?;
        let (reader, writer) = io::pipe()?;
        let streams = Streams {
            stdin,
            stdout: writer.try_clone()?.into(),
            stderr: writer.into(),
        };
        let running = spawn::spawn(command, &plan, streams, &self.helper)?;
        Ok((running, pipe::Receiver::from_owned_fd(reader.into())?))
    }
}
