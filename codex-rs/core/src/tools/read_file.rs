//! `read_file`: reads lines of a text file.

use std::fmt::Write as _;
use std::path::PathBuf;

use codex_protocol::permission::Permissions;
use codex_protocol::request::FileRead;
use codex_protocol::tool::{
    Access, BoxFuture, Fatal, Tool, ToolCall, ToolInput, ToolOutput, ToolSpec,
};
use serde::Deserialize;
use serde_json::json;

use super::{Stop, arguments, failed, resolve, settle};
use crate::files;

/// How many lines are shown if the call does not say.
const DEFAULT_LINES: usize = 2000;

/// How much is shown at most, in bytes.
const SHOWN: usize = 64 << 10;

/// How much of one line is shown, in characters.
const LONGEST_LINE: usize = 2000;

/// The tool.
pub struct ReadFile {
    workspace: PathBuf,
}

#[derive(Deserialize)]
struct Arguments {
    path: PathBuf,
    offset: Option<usize>,
    limit: Option<usize>,
}

impl ReadFile {
    /// Relative paths are seen from `workspace`.
    #[must_use]
    pub fn new(workspace: PathBuf) -> Self {
        Self { workspace }
    }

    async fn answer(&self, call: &ToolCall, permissions: &Permissions) -> Result<ToolOutput, Stop> {
        let arguments: Arguments = arguments("read_file", &call.arguments)?;
        let shown = arguments.path.display().to_string();
        let path = resolve(&self.workspace, &arguments.path, permissions, "read")?;
        let recorded = permissions.require(FileRead { path }, None).await?;
        let bytes = match files::read(&recorded) {
            Ok(bytes) => bytes,
            Err(e) => return Ok(failed(format!("'{shown}' cannot be read: {e}"))),
        };
        if bytes.iter().take(8 << 10).any(|&b| b == 0) {
            return Ok(failed(format!(
                "'{shown}' is not text ({} bytes)",
                bytes.len()
            )));
        }
        let text = String::from_utf8_lossy(&bytes);
        Ok(number_lines(
            &text,
            arguments.offset.unwrap_or(1).max(1),
            arguments.limit.unwrap_or(DEFAULT_LINES),
        ))
    }
}

/// The lines from `offset`, each behind its number, and a last line that says how to read on.
fn number_lines(text: &str, offset: usize, limit: usize) -> ToolOutput {
    let total = text.lines().count();
    if total > 0 && offset > total {
        return failed(format!(
            "the file has {total} lines; line {offset} is beyond its end"
        ));
    }
    let mut shown = String::new();
    let mut next = offset;
    for line in text.lines().skip(offset - 1).take(limit) {
        if shown.len() > SHOWN {
            break;
        }
        let mut line_shown: String = line.chars().take(LONGEST_LINE).collect();
        if line_shown.len() < line.len() {
            line_shown.push_str(" [… line cut]");
        }
        // Writing to a string does not fail.
        let _ = writeln!(shown, "{next:>5}\t{line_shown}");
        next += 1;
    }
    if next <= total {
        let _ = write!(shown, "[{total} lines in all; go on with offset {next}]");
    }
    if total == 0 {
        shown.push_str("[the file is empty]");
    }
    ToolOutput {
        text: shown,
        success: true,
    }
}

impl Tool for ReadFile {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: "read_file".to_owned(),
            description:
                "Reads a text file and returns its lines, each behind its number and a tab."
                    .to_owned(),
            input: ToolInput::Json(json!({
                "type": "object",
                "properties": {
                    "path": { "type": "string", "description": "Path, from the workspace or absolute." },
                    "offset": { "type": "integer", "description": "First line, from 1." },
                    "limit": { "type": "integer", "description": "How many lines; 2000 by default." }
                },
                "required": ["path"],
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_numbered_and_the_rest_is_announced() {
        let output = number_lines("a\nb\nc\n", 2, 1);
        assert_eq!(
            output.text,
            "    2\tb\n[3 lines in all; go on with offset 3]"
        );
        assert!(!number_lines("a\n", 2, 1).success);
        assert_eq!(number_lines("", 1, 10).text, "[the file is empty]");
    }
}
