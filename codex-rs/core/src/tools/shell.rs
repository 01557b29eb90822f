//! `shell`: runs a command inside the sandbox.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use codex_protocol::event::{ItemDetails, Status};
use codex_protocol::permission::Permissions;
use codex_protocol::request::ProcessSpawn;
use codex_protocol::tool::{
    Access, BoxFuture, Fatal, Tool, ToolCall, ToolInput, ToolOutput, ToolSpec,
};
use codex_sandbox::spawn::{Outcome, SpawnError};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{arguments, failed, not_permitted};
use crate::command::{CommandError, Workbench, denied_text};
use crate::{paths, places};

/// How long a command may run if the call does not say.
const DEFAULT_TIMEOUT: Duration = Duration::from_mins(2);

/// How long a call may let a command run.
const LONGEST_TIMEOUT: Duration = Duration::from_mins(30);

/// The tool.
pub struct Shell {
    workbench: Arc<Workbench>,
    workspace: PathBuf,
}

/// What a call holds.
#[derive(Deserialize)]
struct Arguments {
    command: Command,
    workdir: Option<PathBuf>,
    timeout_ms: Option<u64>,
}

/// Models are told to give a string; some give the list that other agents take.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Command {
    Text(String),
    List(Vec<String>),
}

impl Command {
    /// As people read it.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::List(list) => list.join(" "),
        }
    }
}

impl Shell {
    /// Commands run below `workspace` unless they say otherwise.
    #[must_use]
    pub fn new(workbench: Arc<Workbench>, workspace: PathBuf) -> Self {
        Self {
            workbench,
            workspace,
        }
    }

    async fn answer(
        &self,
        call: &ToolCall,
        permissions: &Permissions,
    ) -> Result<ToolOutput, Fatal> {
        let arguments: Arguments = match arguments("shell", &call.arguments) {
            Ok(arguments) => arguments,
            Err(answer) => return Ok(answer),
        };
        let shown = permissions.recorder().mask(&arguments.command.shown());
        let step = |aggregated_output: &str, exit_code, status| ItemDetails::CommandExecution {
            command: shown.clone(),
            aggregated_output: aggregated_output.to_owned(),
            exit_code,
            status,
        };
        let items = permissions.items();
        let id = items.started(step("", None, Status::InProgress));
        let request = match request(
            &self.workbench,
            &self.workspace,
            &arguments.command,
            arguments.workdir.as_deref(),
        ) {
            Ok(request) => request,
            Err(answer) => {
                items.completed(id, step(&answer.text, None, Status::Failed));
                return Ok(answer);
            }
        };
        let detail = intent(&request);
        let recorded = match permissions.require(request, Some(detail)).await {
            Ok(recorded) => recorded,
            Err(error) => {
                let answer = not_permitted(error)?;
                items.completed(id, step(&answer.text, None, Status::Declined));
                return Ok(answer);
            }
        };
        let timeout = arguments
            .timeout_ms
            .map_or(DEFAULT_TIMEOUT, Duration::from_millis)
            .min(LONGEST_TIMEOUT);
        let ran = self
            .workbench
            .run(permissions, &recorded, timeout, &id)
            .await;
        let outcome = match &ran {
            Ok(ran) => json!(ran.outcome),
            Err(error) => json!({ "failed": error.to_string() }),
        };
        permissions.record_outcome(&recorded, outcome)?;
        Ok(match ran {
            Ok(ran) => {
                let success = ran.outcome == Outcome::Exited(0);
                let code = if let Outcome::Exited(code) = ran.outcome {
                    Some(code)
                } else {
                    None
                };
                let status = if success {
                    Status::Completed
                } else {
                    Status::Failed
                };
                items.completed(id, step(&ran.output.text, code, status));
                let described = describe(ran.outcome, timeout);
                let denied = denied_text(&ran.denied);
                ToolOutput {
                    text: format!("{described}\n{}{denied}", ran.output.text),
                    success,
                }
            }
            Err(CommandError::Spawn(SpawnError::NoRecord(error))) => return Err(error.into()),
            Err(error) => {
                items.completed(id, step(&error.to_string(), None, Status::Failed));
                failed(explain(&error))
            }
        })
    }
}

/// The request for a command, or what is wrong with it.
pub(super) fn request(
    workbench: &Workbench,
    workspace: &Path,
    command: &Command,
    workdir: Option<&Path>,
) -> Result<ProcessSpawn, ToolOutput> {
    let workdir = workdir.unwrap_or(Path::new("."));
    let cwd = paths::resolve(workspace, workdir)
        .ok()
        .filter(|dir| dir.is_dir())
        .ok_or_else(|| {
            failed(format!(
                "workdir '{}' is not a directory",
                workdir.display()
            ))
        })?;
    match command {
        Command::Text(text) => {
            let program = workbench
                .shell()
                .ok_or_else(|| failed("there is no bash and no sh on this machine"))?;
            let name = program.file_name().unwrap_or_default().to_owned();
            Ok(ProcessSpawn {
                program,
                argv: vec![name, "-c".into(), text.into()],
                cwd,
            })
        }
        Command::List(list) => {
            let name = list.first().ok_or_else(|| failed("the command is empty"))?;
            let program = places::find_program(Path::new(name), &cwd, workbench.search_path())
                .ok_or_else(|| failed(format!("there is no program '{name}'")))?;
            Ok(ProcessSpawn {
                program,
                argv: list.iter().map(OsString::from).collect(),
                cwd,
            })
        }
    }
}

/// What the log says of a command's intent.
pub(super) fn intent(request: &ProcessSpawn) -> Value {
    json!({ "phase": "intent", "argv": lossy(&request.argv), "cwd": request.cwd.to_string_lossy() })
}

fn lossy(argv: &[OsString]) -> Vec<String> {
    argv.iter()
        .map(|a| a.to_string_lossy().into_owned())
        .collect()
}

/// The first line of an answer: how the command ended.
fn describe(outcome: Outcome, timeout: Duration) -> String {
    match outcome {
        Outcome::TimedOut => format!(
            "timed out after {} s and was ended with all it started",
            timeout.as_secs_f32()
        ),
        other => other.to_string(),
    }
}

pub(super) fn explain(error: &CommandError) -> String {
    match error {
        CommandError::Spawn(SpawnError::Exec { .. }) => error.to_string(),
        other => format!("the command was not run: {other}"),
    }
}

impl Tool for Shell {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: "shell".to_owned(),
            description: "Runs a command string with bash -c (sh -c where there is no bash) and returns its exit code \
                          and output. Not a login shell and not interactive."
                .to_owned(),
            input: ToolInput::Json(json!({
                "type": "object",
                "properties": {
                    "command": { "type": "string", "description": "The command string." },
                    "workdir": { "type": "string", "description": "Directory to run in; the workspace by default." },
                    "timeout_ms": { "type": "integer", "description": "Milliseconds until it is ended; 120000 by default." }
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
        Box::pin(self.answer(call, permissions))
    }
}
