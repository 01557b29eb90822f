//! The tools that every session has.

mod apply_patch;
mod list_dir;
mod live;
mod read_file;
mod search;
mod shell;
mod start_command;
mod update_plan;
mod view_image;
mod write_file;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use codex_protocol::permission::{NotPermitted, Permissions};
use codex_protocol::tool::{Fatal, Tool, ToolOutput};
use serde::de::DeserializeOwned;

use crate::command::Workbench;
use crate::paths;

pub use apply_patch::ApplyPatch;
pub use list_dir::ListDir;
pub use read_file::ReadFile;
pub use search::Search;
pub use shell::Shell;
pub use start_command::{StartCommand, StopCommand, WriteStdin};
pub use update_plan::UpdatePlan;
pub use view_image::ViewImage;
pub use write_file::{EditFile, WriteFile};

/// The largest argument text that a call may have, in bytes. A patch may be larger than a
/// command line, so this is the patch format's own limit.
const LARGEST_ARGUMENTS: usize = 10 << 20;

/// The built-in tools of a session that works in `workspace`; [`ViewImage`] is for models that
/// take images and comes beside them.
#[must_use]
pub fn built_in(workbench: &Arc<Workbench>, workspace: &Path) -> Vec<Box<dyn Tool>> {
    let commands = Arc::new(live::Commands::default());
    vec![
        Box::new(Shell::new(Arc::clone(workbench), workspace.to_owned())),
        Box::new(StartCommand::new(
            Arc::clone(workbench),
            workspace.to_owned(),
            Arc::clone(&commands),
        )),
        Box::new(WriteStdin::new(Arc::clone(&commands))),
        Box::new(StopCommand::new(commands)),
        Box::new(ReadFile::new(workspace.to_owned())),
        Box::new(ListDir::new(workspace.to_owned())),
        Box::new(Search::new(workspace.to_owned())),
        Box::new(ApplyPatch::new(workspace.to_owned())),
        Box::new(EditFile::new(workspace.to_owned())),
        Box::new(WriteFile::new(workspace.to_owned())),
        Box::new(UpdatePlan),
    ]
}

/// The path that a call names, as a request carries it, or what is wrong with it. `done` says what
/// was to be done with it.
fn resolve(
    workspace: &Path,
    path: &Path,
    permissions: &Permissions,
    done: &str,
) -> Result<PathBuf, ToolOutput> {
    let home = permissions.policy().own().places.home.as_deref();
    paths::resolve(workspace, &paths::expand_home(path, home))
        .map_err(|e| failed(format!("'{}' cannot be {done}: {e}", path.display())))
}

/// An answer that says what went wrong.
fn failed(text: impl Into<String>) -> ToolOutput {
    ToolOutput {
        text: text.into(),
        success: false,
    }
}

/// Why a tool stops short: with an answer that says so, or because the run must end.
enum Stop {
    Answer(ToolOutput),
    Fatal(Fatal),
}

impl From<ToolOutput> for Stop {
    fn from(answer: ToolOutput) -> Self {
        Self::Answer(answer)
    }
}

impl From<NotPermitted> for Stop {
    fn from(error: NotPermitted) -> Self {
        match not_permitted(error) {
            Ok(answer) => Self::Answer(answer),
            Err(fatal) => Self::Fatal(fatal),
        }
    }
}

/// What a call gives once it has stopped, short or not.
fn settle(done: Result<ToolOutput, Stop>) -> Result<ToolOutput, Fatal> {
    match done {
        Ok(answer) | Err(Stop::Answer(answer)) => Ok(answer),
        Err(Stop::Fatal(fatal)) => Err(fatal),
    }
}

/// What the model is told of a request without permission. The run goes on, unless the log is
/// what failed.
fn not_permitted(error: NotPermitted) -> Result<ToolOutput, Fatal> {
    match error {
        NotPermitted::NoRecord(error) => Err(Fatal(error)),
        NotPermitted::Denied { decision, .. } => Ok(failed(format!(
            "denied: {} [rule {}]. Do not try to get round this; go on without it, or tell the user what is needed.",
            decision.explanation(),
            decision.rule
        ))),
    }
}

/// Reads a call's arguments, or says what is wrong with them.
fn arguments<T: DeserializeOwned>(tool: &str, text: &str) -> Result<T, ToolOutput> {
    if text.len() > LARGEST_ARGUMENTS {
        return Err(failed(format!(
            "the arguments of {tool} are larger than {LARGEST_ARGUMENTS} bytes"
        )));
    }
    serde_json::from_str(text).map_err(|e| {
        failed(format!(
            "the arguments of {tool} are not what it takes: {e}"
        ))
    })
}
