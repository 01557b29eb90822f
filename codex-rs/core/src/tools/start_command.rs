//! `start_command`, `write_stdin`, `stop_command`: commands that go on between calls.
//!
//! Three tools, in the shape of Codex's own pair: reading is writing nothing, so that a model
//! needs no fourth name for it, and stopping has a name of its own, so that no character sequence
//! has to mean it where there is no terminal.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use codex_protocol::event::{ItemDetails, Status};
use codex_protocol::permission::{NotPermitted, Permissions};
use codex_protocol::tool::{
    Access, BoxFuture, Fatal, Tool, ToolCall, ToolInput, ToolOutput, ToolSpec,
};
use codex_sandbox::spawn::Outcome;
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

use super::live::{Commands, Live, MOST, News};
use super::shell::{Command, explain, intent, request};
use super::{Stop, arguments, failed, not_permitted, settle};
use crate::command::Workbench;

/// How long a call waits for output if it does not say, in milliseconds.
const DEFAULT_WAIT: u64 = 2_000;

/// How long a call may wait, in milliseconds.
const LONGEST_WAIT: u64 = 300_000;

/// How much one call may write, in bytes: the log's bound for one text, so that what was written
/// can be read there.
const LARGEST_WRITE: usize = 4 << 10;

/// `start_command`.
pub struct StartCommand {
    workbench: Arc<Workbench>,
    workspace: PathBuf,
    commands: Arc<Commands>,
}

/// `write_stdin`.
pub struct WriteStdin {
    commands: Arc<Commands>,
}

/// `stop_command`.
pub struct StopCommand {
    commands: Arc<Commands>,
}

#[derive(Deserialize)]
struct Start {
    command: Command,
    workdir: Option<PathBuf>,
    wait_ms: Option<u64>,
}

#[derive(Deserialize)]
struct Write {
    id: String,
    #[serde(default)]
    chars: String,
    #[serde(default)]
    close: bool,
    wait_ms: Option<u64>,
}

#[derive(Deserialize)]
struct Stopped {
    id: String,
}

fn deadline(wait_ms: Option<u64>) -> Instant {
    Instant::now() + Duration::from_millis(wait_ms.unwrap_or(DEFAULT_WAIT).min(LONGEST_WAIT))
}

impl StartCommand {
    /// Commands run below `workspace` unless they say otherwise.
    #[must_use]
    pub(super) fn new(
        workbench: Arc<Workbench>,
        workspace: PathBuf,
        commands: Arc<Commands>,
    ) -> Self {
        Self {
            workbench,
            workspace,
            commands,
        }
    }

    async fn answer(&self, call: &ToolCall, permissions: &Permissions) -> Result<ToolOutput, Stop> {
        let arguments: Start = arguments("start_command", &call.arguments)?;
        let shown = permissions.recorder().mask(&arguments.command.shown());
        let items = permissions.items();
        let step = |text: &str, status| ItemDetails::CommandExecution {
            command: shown.clone(),
            aggregated_output: text.to_owned(),
            exit_code: None,
            status,
        };
        let id = items.started(step("", Status::InProgress));
        let fail = |text: String, status| {
            items.completed(id.clone(), step(&text, status));
            Stop::Answer(failed(text))
        };
        self.commands.make_room().map_err(|at_work| {
            let text = format!(
                "not started: {MOST} commands may be at work side by side; end one of {} with stop_command",
                at_work.join(", ")
            );
            fail(text, Status::Failed)
        })?;
        let request = request(
            &self.workbench,
            &self.workspace,
            &arguments.command,
            arguments.workdir.as_deref(),
        )
        .map_err(|answer| fail(answer.text, Status::Failed))?;
        let detail = intent(&request);
        let recorded = match permissions.require(request, Some(detail)).await {
            Ok(recorded) => recorded,
            Err(error @ NotPermitted::NoRecord(_)) => return Err(error.into()),
            Err(error) => {
                let answer = not_permitted(error).map_err(Stop::Fatal)?;
                return Err(fail(answer.text, Status::Declined));
            }
        };
        let started = match self.workbench.start(permissions.policy(), &recorded) {
            Ok(started) => started,
            Err(error) => {
                let outcome = json!({ "failed": error.to_string() });
                permissions
                    .record_outcome(&recorded, outcome)
                    .map_err(|error| Stop::Fatal(Fatal(error)))?;
                return Err(fail(explain(&error), Status::Failed));
            }
        };
        let place = self.workbench.outputs.join(format!("{id}.txt"));
        let live = Live::begin(
            id.clone(),
            shown.clone(),
            recorded,
            permissions,
            started,
            place,
        );
        self.commands.insert(Arc::clone(&live));
        let news = live.news(deadline(arguments.wait_ms)).await;
        tell(&self.commands, &live, &news, None)
    }
}

impl WriteStdin {
    /// Speaks to those of `commands`.
    #[must_use]
    pub(super) fn new(commands: Arc<Commands>) -> Self {
        Self { commands }
    }

    async fn answer(&self, call: &ToolCall) -> Result<ToolOutput, Stop> {
        let arguments: Write = arguments("write_stdin", &call.arguments)?;
        if arguments.chars.len() > LARGEST_WRITE {
            return Err(Stop::Answer(failed(format!(
                "nothing was written: one call may write {LARGEST_WRITE} bytes; write it in parts, or put it into a file"
            ))));
        }
        let live = find(&self.commands, &arguments.id)?;
        let deadline = deadline(arguments.wait_ms);
        let mut note = None;
        if !arguments.chars.is_empty() || arguments.close {
            let written = live
                .write(&arguments.chars, arguments.close, deadline)
                .await;
            note = match written.map_err(Stop::Fatal)? {
                Ok(done) if done < arguments.chars.len() => Some(format!(
                    "it took {done} of {} bytes and is not reading",
                    arguments.chars.len()
                )),
                Ok(_) => None,
                Err(_) if arguments.chars.is_empty() => None,
                Err(error) => Some(format!("nothing more could be written: {error}")),
            };
        }
        let news = live.news(deadline).await;
        tell(&self.commands, &live, &news, note)
    }
}

impl StopCommand {
    /// Ends those of `commands`.
    #[must_use]
    pub(super) fn new(commands: Arc<Commands>) -> Self {
        Self { commands }
    }

    async fn answer(&self, call: &ToolCall) -> Result<ToolOutput, Stop> {
        let arguments: Stopped = arguments("stop_command", &call.arguments)?;
        let live = find(&self.commands, &arguments.id)?;
        live.stop().await;
        let news = live.news(Instant::now()).await;
        let answer = tell(&self.commands, &live, &news, None)?;
        // That it had to be ended is what was asked for.
        Ok(ToolOutput {
            success: true,
            ..answer
        })
    }
}

fn find(commands: &Commands, id: &str) -> Result<Arc<Live>, Stop> {
    commands.get(id).map_err(|known| {
        let name: String = id.chars().take(64).collect();
        let known = if known.is_empty() {
            "none is at work".to_owned()
        } else {
            format!("there is {}", known.join(", "))
        };
        Stop::Answer(failed(format!(
            "there is no command '{}' any more: {known}. Commands end with codex, also when the \
             session is resumed later; start it again if it is needed",
            name.escape_debug()
        )))
    })
}

/// The answer to a call: what became of the command, what else is to be said, what it printed.
fn tell(
    commands: &Commands,
    live: &Live,
    news: &News,
    note: Option<String>,
) -> Result<ToolOutput, Stop> {
    let (state, success) = match &news.ended {
        None => (format!("command {} is running", live.id), true),
        Some(ended) => {
            commands.forget(&live.id);
            live.check().map_err(Stop::Fatal)?;
            match ended {
                Ok(outcome) => (
                    format!("command {} has ended: {outcome}", live.id),
                    *outcome == Outcome::Exited(0),
                ),
                Err(error) => (error.clone(), false),
            }
        }
    };
    let success = success && note.is_none();
    let note = note.map_or_else(String::new, |note| format!("; {note}"));
    Ok(ToolOutput {
        text: format!("{state}{note}\n{}", news.text),
        success,
    })
}

impl Tool for StartCommand {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: "start_command".to_owned(),
            description: "Starts a command that goes on between calls, such as a server, a watcher or a REPL, and \
                          returns its id and what it printed so far. Pipes, no terminal. For commands that end by \
                          themselves use shell. All end with the session."
                .to_owned(),
            input: ToolInput::Json(json!({
                "type": "object",
                "properties": {
                    "command": { "type": "string", "description": "The command string, for bash -c." },
                    "workdir": { "type": "string", "description": "Directory to run in; the workspace by default." },
                    "wait_ms": { "type": "integer", "description": "Milliseconds to wait for output; 2000 by default." }
                },
                "required": ["command"],
                "additionalProperties": false
            })),
        }
    }

    fn access(&self) -> Access {
        Access::Writes
    }

    fn call<'a>(
        &'a self,
        call: &'a ToolCall,
        permissions: &'a Permissions,
    ) -> BoxFuture<'a, Result<ToolOutput, Fatal>> {
        Box::pin(async move { settle(self.answer(call, permissions).await) })
    }

    fn end(&self) -> BoxFuture<'_, Result<(), Fatal>> {
        Box::pin(self.commands.end())
    }
}

impl Tool for WriteStdin {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: "write_stdin".to_owned(),
            description: "Writes to a started command's input and returns what it printed since the last call, and \
                          its exit code if it has ended. With empty chars it only reads."
                .to_owned(),
            input: ToolInput::Json(json!({
                "type": "object",
                "properties": {
                    "id": { "type": "string", "description": "The id that start_command gave." },
                    "chars": { "type": "string", "description": "What to write, line ends included; empty to read only." },
                    "close": { "type": "boolean", "description": "Whether to close its input afterwards." },
                    "wait_ms": { "type": "integer", "description": "Milliseconds to wait for output; 2000 by default." }
                },
                "required": ["id", "chars"],
                "additionalProperties": false
            })),
        }
    }

    fn access(&self) -> Access {
        Access::Writes
    }

    fn call<'a>(
        &'a self,
        call: &'a ToolCall,
        _: &'a Permissions,
    ) -> BoxFuture<'a, Result<ToolOutput, Fatal>> {
        Box::pin(async move { settle(self.answer(call).await) })
    }
}

impl Tool for StopCommand {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: "stop_command".to_owned(),
            description: "Ends a started command with everything it started, and returns the rest of what it printed."
                .to_owned(),
            input: ToolInput::Json(json!({
                "type": "object",
                "properties": {
                    "id": { "type": "string", "description": "The id that start_command gave." }
                },
                "required": ["id"],
                "additionalProperties": false
            })),
        }
    }

    fn access(&self) -> Access {
        Access::Writes
    }

    fn call<'a>(
        &'a self,
        call: &'a ToolCall,
        _: &'a Permissions,
    ) -> BoxFuture<'a, Result<ToolOutput, Fatal>> {
        Box::pin(async move { settle(self.answer(call).await) })
    }
}
