//! `write_file` and `edit_file`: write a whole file, or replace one text in it.

use std::path::PathBuf;

use codex_protocol::event::{ChangeKind, FileChange, ItemDetails, Status};
use codex_protocol::permission::{NotPermitted, Permissions};
use codex_protocol::request::{FileRead, FileWrite, WriteKind};
use codex_protocol::tool::{
    Access, BoxFuture, Fatal, Tool, ToolCall, ToolInput, ToolOutput, ToolSpec,
};
use serde::Deserialize;
use serde_json::json;

use super::{Stop, arguments, failed, resolve, settle};
use crate::{files, patch};

/// The tool that writes a whole file.
pub struct WriteFile {
    workspace: PathBuf,
}

/// The tool that replaces one text in a file.
pub struct EditFile {
    workspace: PathBuf,
}

#[derive(Deserialize)]
struct Whole {
    path: PathBuf,
    content: String,
}

#[derive(Deserialize)]
struct Edit {
    path: PathBuf,
    old_text: String,
    new_text: String,
    #[serde(default)]
    replace_all: bool,
}

impl WriteFile {
    /// Relative paths are seen from `workspace`.
    #[must_use]
    pub fn new(workspace: PathBuf) -> Self {
        Self { workspace }
    }

    async fn answer(&self, call: &ToolCall, permissions: &Permissions) -> Result<ToolOutput, Stop> {
        let whole: Whole = arguments("write_file", &call.arguments)?;
        let path = resolve(&self.workspace, &whole.path, permissions, "written")?;
        let shown = whole.path.display().to_string();
        let existed = path.exists();
        let change = Change {
            shown,
            path,
            existed,
            content: whole.content,
        };
        change.write(permissions).await
    }
}

impl EditFile {
    /// Relative paths are seen from `workspace`.
    #[must_use]
    pub fn new(workspace: PathBuf) -> Self {
        Self { workspace }
    }

    async fn answer(&self, call: &ToolCall, permissions: &Permissions) -> Result<ToolOutput, Stop> {
        let edit: Edit = arguments("edit_file", &call.arguments)?;
        let shown = edit.path.display().to_string();
        let path = resolve(&self.workspace, &edit.path, permissions, "edited")?;
        let recorded = permissions
            .require(FileRead { path: path.clone() }, None)
            .await?;
        let text = match files::read(&recorded).map(String::from_utf8) {
            Ok(Ok(text)) => text,
            Ok(Err(_)) => {
                return Ok(failed(format!(
                    "'{shown}' is not UTF-8 text, so it cannot be edited"
                )));
            }
            Err(e) => return Ok(failed(format!("'{shown}' cannot be read: {e}"))),
        };
        match replaced(&text, &edit) {
            Ok(content) => {
                Change {
                    shown,
                    path,
                    existed: true,
                    content,
                }
                .write(permissions)
                .await
            }
            Err(why) => Ok(failed(format!("'{shown}' was not changed: {why}"))),
        }
    }
}

/// The text with the edit made, or why it cannot be.
fn replaced(text: &str, edit: &Edit) -> Result<String, String> {
    if edit.old_text.is_empty() {
        return Err(
            "old_text is empty; give the text to replace, or use write_file for a new file"
                .to_owned(),
        );
    }
    if edit.old_text == edit.new_text {
        return Err("old_text and new_text are the same".to_owned());
    }
    match text.matches(&edit.old_text).count() {
        0 => Err(format!(
            "old_text is not in the file{}",
            patch::similar_lines(text, &edit.old_text)
        )),
        1 => Ok(text.replacen(&edit.old_text, &edit.new_text, 1)),
        _ if edit.replace_all => Ok(text.replace(&edit.old_text, &edit.new_text)),
        count => Err(format!(
            "old_text is in the file {count} times; give more of what is around it, or set replace_all"
        )),
    }
}

/// A file's new contents, on their way through the gate.
struct Change {
    shown: String,
    path: PathBuf,
    existed: bool,
    content: String,
}

impl Change {
    async fn write(self, permissions: &Permissions) -> Result<ToolOutput, Stop> {
        let (event_kind, kind, done) = if self.existed {
            (ChangeKind::Update, WriteKind::Modify, "changed")
        } else {
            (ChangeKind::Add, WriteKind::Create, "made")
        };
        let step = |status| ItemDetails::FileChange {
            changes: vec![FileChange {
                path: permissions.recorder().mask(&self.shown),
                kind: event_kind,
            }],
            status,
        };
        let items = permissions.items();
        let id = items.started(step(Status::InProgress));
        let request = FileWrite {
            path: self.path.clone(),
            kind,
        };
        let recorded = match permissions
            .require(request, Some(json!({ "phase": "intent" })))
            .await
        {
            Ok(recorded) => recorded,
            Err(error) => {
                let status = if matches!(error, NotPermitted::Denied { .. }) {
                    Status::Declined
                } else {
                    Status::Failed
                };
                items.completed(id, step(status));
                return Err(error.into());
            }
        };
        match files::write(&recorded, self.content.as_bytes()) {
            Ok(()) => {
                items.completed(id, step(Status::Completed));
                Ok(ToolOutput {
                    text: format!("{done} {}", self.shown),
                    success: true,
                })
            }
            Err(e) => {
                permissions
                    .record_outcome(&recorded, json!({ "failed": e.to_string() }))
                    .map_err(NotPermitted::from)?;
                items.completed(id, step(Status::Failed));
                Ok(failed(format!("'{}' cannot be written: {e}", self.shown)))
            }
        }
    }
}

impl Tool for WriteFile {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: "write_file".to_owned(),
            description: "Writes a whole file, replacing what was there.".to_owned(),
            input: ToolInput::Json(json!({
                "type": "object",
                "properties": {
                    "path": { "type": "string", "description": "Path, from the workspace." },
                    "content": { "type": "string", "description": "All of the file." }
                },
                "required": ["path", "content"],
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
}

impl Tool for EditFile {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: "edit_file".to_owned(),
            description: "Replaces a text in a file. The old text has to be there exactly once, unless replace_all is set."
                .to_owned(),
            input: ToolInput::Json(json!({
                "type": "object",
                "properties": {
                    "path": { "type": "string", "description": "Path, from the workspace." },
                    "old_text": { "type": "string", "description": "The text to replace, exactly as it stands." },
                    "new_text": { "type": "string", "description": "What to put in its place." },
                    "replace_all": { "type": "boolean", "description": "Replace every occurrence." }
                },
                "required": ["path", "old_text", "new_text"],
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
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(old: &str, new: &str, replace_all: bool) -> Edit {
        Edit {
            path: "f".into(),
            old_text: old.to_owned(),
            new_text: new.to_owned(),
            replace_all,
        }
    }

    #[test]
    fn one_place_is_replaced_and_everything_else_is_said() {
        let text = "fn alpha() {}\nfn beta() {}\nfn beta() {}\n";
        assert_eq!(
            replaced(text, &edit("alpha", "gamma", false)).unwrap(),
            text.replace("alpha", "gamma")
        );
        assert_eq!(
            replaced(text, &edit("beta", "b", true)).unwrap(),
            text.replace("beta", "b")
        );
        let many = replaced(text, &edit("beta", "b", false)).unwrap_err();
        assert!(many.contains("2 times"), "{many}");
        let missing = replaced(text, &edit("fn alpha(x) {}", "", false)).unwrap_err();
        assert!(
            missing.contains("fn alpha() {}"),
            "the nearest line is shown: {missing}"
        );
        assert!(replaced(text, &edit("", "x", false)).is_err());
        assert!(replaced(text, &edit("alpha", "alpha", false)).is_err());
    }

    // Few letters, so that texts are often in one another, once or more, or nearly.
    proptest::proptest! {
        #[test]
        fn an_edit_changes_what_is_there_once_or_says_why_not(
            text in "[ab \\n\u{e9}\r]{0,200}",
            old in "[ab \\n\u{e9}\r]{0,6}",
            new in "\\PC{0,6}",
            replace_all: bool,
        ) {
            let count = if old.is_empty() { 0 } else { text.matches(&old).count() };
            match replaced(&text, &edit(&old, &new, replace_all)) {
                Ok(edited) => {
                    assert!(count == 1 || (count > 1 && replace_all));
                    let (before, after) = text.split_once(&old).unwrap();
                    assert!(edited.starts_with(&format!("{before}{new}")));
                    if count == 1 {
                        assert_eq!(edited, format!("{before}{new}{after}"));
                    }
                }
                Err(why) => {
                    assert!(count == 0 || old == new || (count > 1 && !replace_all));
                    assert!(!why.is_empty() && why.len() < 8 << 10, "{}", why.len());
                }
            }
        }
    }
}
