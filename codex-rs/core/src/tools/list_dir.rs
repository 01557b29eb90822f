//! `list_dir`: names what is in a directory.

use std::ffi::OsString;
use std::path::PathBuf;

use cap_std::fs::FileType;
use codex_protocol::permission::Permissions;
use codex_protocol::request::FileRead;
use codex_protocol::tool::{
    Access, BoxFuture, Fatal, Tool, ToolCall, ToolInput, ToolOutput, ToolSpec,
};
use serde::Deserialize;
use serde_json::json;

use super::{Stop, arguments, failed, resolve, settle};
use crate::files;

/// How many entries are named at most.
const MOST: usize = 1000;

/// The tool.
pub struct ListDir {
    workspace: PathBuf,
}

#[derive(Deserialize)]
struct Arguments {
    path: Option<PathBuf>,
}

impl ListDir {
    /// Relative paths are seen from `workspace`.
    #[must_use]
    pub fn new(workspace: PathBuf) -> Self {
        Self { workspace }
    }

    async fn answer(&self, call: &ToolCall, permissions: &Permissions) -> Result<ToolOutput, Stop> {
        let arguments: Arguments = arguments("list_dir", &call.arguments)?;
        let asked = arguments.path.unwrap_or_else(|| PathBuf::from("."));
        let path = resolve(&self.workspace, &asked, permissions, "listed")?;
        let recorded = permissions.require(FileRead { path }, None).await?;
        Ok(match files::list(&recorded) {
            Ok(entries) => ToolOutput {
                text: shown(entries),
                success: true,
            },
            Err(e) => failed(format!("'{}' cannot be listed: {e}", asked.display())),
        })
    }
}

/// One name a line, directories with a slash and symlinks with an at sign behind, sorted.
fn shown(entries: Vec<(OsString, FileType)>) -> String {
    let more = entries.len().saturating_sub(MOST);
    let name = |(name, kind): &(OsString, FileType)| {
        let sign = match kind {
            kind if kind.is_dir() => "/",
            kind if kind.is_symlink() => "@",
            _ => "",
        };
        // A name with a line end in it must not look like two.
        format!("{}{sign}", name.to_string_lossy().escape_debug())
    };
    let mut names: Vec<String> = entries.iter().map(name).collect();
    names.sort_unstable();
    names.truncate(MOST);
    if names.is_empty() {
        return "[the directory is empty]".to_owned();
    }
    if more > 0 {
        names.push(format!("[{more} more entries]"));
    }
    names.join("\n")
}

impl Tool for ListDir {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: "list_dir".to_owned(),
            description:
                "Lists a directory: one name a line, directories end with /, symlinks with @."
                    .to_owned(),
            input: ToolInput::Json(json!({
                "type": "object",
                "properties": {
                    "path": { "type": "string", "description": "Path, from the workspace or absolute; the workspace by default." }
                },
                "required": [],
                "additionalProperties": false
            })),
        }
    }

    fn access(&self) -> Access {
        Access::ReadOnly
    }

    fn call<'a>(
        &'a self,
        call: &'a ToolCall,
        permissions: &'a Permissions,
    ) -> BoxFuture<'a, Result<ToolOutput, Fatal>> {
        Box::pin(async move { settle(self.answer(call, permissions).await) })
    }
}
