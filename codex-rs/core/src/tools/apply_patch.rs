//! `apply_patch`: edits files with a patch.
//!
//! Permission for every file is got before the first is touched, so that a patch which may not
//! do all it wants does nothing. Each intent is recorded right before its act.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use codex_protocol::event::{self, FileChange, ItemDetails, Status};
use codex_protocol::gate::Authorized;
use codex_protocol::permission::{NotPermitted, Permissions};
use codex_protocol::record::{RecordError, Recorded};
use codex_protocol::request::{FileRead, FileWrite, Requested, WriteKind};
use codex_protocol::tool::{
    Access, BoxFuture, Fatal, Tool, ToolCall, ToolInput, ToolOutput, ToolSpec,
};
use serde::Deserialize;
use serde_json::json;

use super::{arguments, failed, not_permitted};
use crate::patch::{self, ChangeKind, FileError, Operation, Patch, PatchFiles, PatchStatus};
use crate::{files, paths};

/// The tool.
pub struct ApplyPatch {
    workspace: PathBuf,
}

#[derive(Deserialize)]
struct Arguments {
    #[serde(alias = "patch")]
    input: String,
}

impl ApplyPatch {
    /// Relative paths are seen from `workspace`.
    #[must_use]
    pub fn new(workspace: PathBuf) -> Self {
        Self { workspace }
    }

    async fn answer(
        &self,
        call: &ToolCall,
        permissions: &Permissions,
    ) -> Result<ToolOutput, Fatal> {
        let text = if call.text {
            call.arguments.clone()
        } else {
            match arguments::<Arguments>("apply_patch", &call.arguments) {
                Ok(arguments) => arguments.input,
                Err(answer) => return Ok(answer),
            }
        };
        let patch = match patch::parse(&text) {
            Ok(patch) => patch,
            Err(error) => {
                return Ok(failed(format!(
                    "the patch cannot be read, nothing was changed: {error}"
                )));
            }
        };
        let step = |mut changes: Vec<FileChange>, status| {
            for change in &mut changes {
                change.path = permissions.recorder().mask(&change.path);
            }
            ItemDetails::FileChange { changes, status }
        };
        let items = permissions.items();
        let id = items.started(step(planned(&patch), Status::InProgress));
        let mut gated = Gated {
            permissions,
            workspace: &self.workspace,
            held: HashMap::new(),
            unrecorded: None,
        };
        match gated.authorize(&patch).await {
            Ok(()) => {}
            Err(Refusal::NotPermitted(error)) => {
                let answer = not_permitted(error)?;
                items.completed(id, step(planned(&patch), Status::Declined));
                return Ok(ToolOutput {
                    text: format!("nothing was changed; {}", answer.text),
                    ..answer
                });
            }
            Err(Refusal::Path(why)) => {
                items.completed(id, step(planned(&patch), Status::Failed));
                return Ok(failed(format!("nothing was changed: {why}")));
            }
        }
        let outcome = patch::apply(&patch, &mut gated);
        let success = outcome.status() != PatchStatus::Failed;
        let status = if success {
            Status::Completed
        } else {
            Status::Failed
        };
        let changed = outcome
            .changes
            .iter()
            .flat_map(|c| changes(&c.path, &c.kind))
            .collect();
        items.completed(id, step(changed, status));
        match gated.unrecorded {
            Some(error) => Err(Fatal(error)),
            None => Ok(ToolOutput {
                text: outcome.summary(),
                success,
            }),
        }
    }
}

fn changes(path: &Path, kind: &ChangeKind) -> Vec<FileChange> {
    let change = |path: &Path, kind| FileChange {
        path: path.to_string_lossy().into_owned(),
        kind,
    };
    match kind {
        ChangeKind::Add => vec![change(path, event::ChangeKind::Add)],
        ChangeKind::Update => vec![change(path, event::ChangeKind::Update)],
        ChangeKind::Delete => vec![change(path, event::ChangeKind::Delete)],
        ChangeKind::Move { from } => vec![
            change(from, event::ChangeKind::Delete),
            change(path, event::ChangeKind::Add),
        ],
    }
}

/// What the patch would change.
fn planned(patch: &Patch) -> Vec<FileChange> {
    let of = |operation: &Operation| match operation {
        Operation::Add { path, .. } => changes(path, &ChangeKind::Add),
        Operation::Delete { path } => changes(path, &ChangeKind::Delete),
        Operation::Update {
            path,
            move_to: Some(to),
            ..
        } => changes(to, &ChangeKind::Move { from: path.clone() }),
        Operation::Update { path, .. } => changes(path, &ChangeKind::Update),
    };
    patch.operations.iter().flat_map(of).collect()
}

/// What is done to a file.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Act {
    Read,
    Write,
    Remove,
}

/// A permission that waits for its act.
enum Held {
    Read(Authorized<FileRead>),
    Write(Authorized<FileWrite>),
}

enum Refusal {
    NotPermitted(NotPermitted),
    Path(String),
}

impl From<NotPermitted> for Refusal {
    fn from(error: NotPermitted) -> Self {
        Self::NotPermitted(error)
    }
}

/// The patch's files behind the gate.
struct Gated<'a> {
    permissions: &'a Permissions,
    workspace: &'a Path,
    /// For each path as the patch gives it: the permissions got and not used yet.
    held: HashMap<(PathBuf, Act), Vec<Held>>,
    /// Why the log failed, which ends the run.
    unrecorded: Option<RecordError>,
}

impl Gated<'_> {
    async fn authorize(&mut self, patch: &Patch) -> Result<(), Refusal> {
        for operation in &patch.operations {
            match operation {
                Operation::Add { path, .. } => self.want(path, Act::Write).await?,
                Operation::Delete { path } => self.want(path, Act::Remove).await?,
                Operation::Update { path, move_to, .. } => {
                    self.want(path, Act::Read).await?;
                    self.want(move_to.as_deref().unwrap_or(path), Act::Write)
                        .await?;
                    if move_to.is_some() {
                        self.want(path, Act::Remove).await?;
                    }
                }
            }
        }
        Ok(())
    }

    async fn want(&mut self, path: &Path, act: Act) -> Result<(), Refusal> {
        let resolve = if act == Act::Remove {
            paths::resolve_entry
        } else {
            paths::resolve
        };
        let resolved = resolve(self.workspace, path)
            .map_err(|e| Refusal::Path(format!("'{}': {e}", path.display())))?;
        let held = match act {
            Act::Read => Held::Read(
                self.permissions
                    .authorize(FileRead { path: resolved })
                    .await?,
            ),
            Act::Remove => {
                let request = FileWrite {
                    path: resolved,
                    kind: WriteKind::Delete,
                };
                Held::Write(self.permissions.authorize(request).await?)
            }
            Act::Write => {
                let kind = if resolved.exists() {
                    WriteKind::Modify
                } else {
                    WriteKind::Create
                };
                Held::Write(
                    self.permissions
                        .authorize(FileWrite {
                            path: resolved,
                            kind,
                        })
                        .await?,
                )
            }
        };
        self.held
            .entry((path.to_owned(), act))
            .or_default()
            .push(held);
        Ok(())
    }

    /// Takes the permission for an act; the engine does no act that the patch did not announce.
    fn take(&mut self, path: &Path, act: Act) -> Result<Held, FileError> {
        let held = self
            .held
            .get_mut(&(path.to_owned(), act))
            .and_then(Vec::pop);
        held.ok_or_else(|| FileError("no permission was got for this".to_owned()))
    }

    fn record<R: Requested>(
        &mut self,
        authorized: Authorized<R>,
    ) -> Result<Recorded<Authorized<R>>, FileError> {
        self.permissions
            .record(
                authorized,
                Some(json!({ "phase": "intent", "tool": "apply_patch" })),
            )
            .map_err(|error| {
                let text = FileError(error.to_string());
                self.unrecorded = Some(error);
                text
            })
    }

    fn change(
        &mut self,
        path: &Path,
        act: Act,
        change: impl FnOnce(&Recorded<Authorized<FileWrite>>) -> std::io::Result<()>,
    ) -> Result<(), FileError> {
        let Held::Write(authorized) = self.take(path, act)? else {
            return Err(FileError("no permission was got for this".to_owned()));
        };
        let recorded = self.record(authorized)?;
        change(&recorded).map_err(|cause| {
            let outcome = json!({ "failed": cause.to_string() });
            if let Err(error) = self.permissions.record_outcome(&recorded, outcome) {
                self.unrecorded = Some(error);
            }
            cause.into()
        })
    }
}

impl PatchFiles for Gated<'_> {
    fn read(&mut self, path: &Path) -> Result<Vec<u8>, FileError> {
        let Held::Read(authorized) = self.take(path, Act::Read)? else {
            return Err(FileError("no permission was got for this".to_owned()));
        };
        Ok(files::read(&self.record(authorized)?)?)
    }

    fn write(&mut self, path: &Path, content: &[u8]) -> Result<(), FileError> {
        self.change(path, Act::Write, |request| files::write(request, content))
    }

    fn remove(&mut self, path: &Path) -> Result<(), FileError> {
        self.change(path, Act::Remove, files::remove)
    }

    fn same_file(&mut self, a: &Path, b: &Path) -> bool {
        let real = |path| {
            paths::resolve_entry(self.workspace, path)
                .and_then(|p| files::identity(&p))
                .ok()
        };
        real(a).is_some_and(|id| real(b) == Some(id))
    }
}

impl Tool for ApplyPatch {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: "apply_patch".to_owned(),
            description: include_str!("apply_patch.md").to_owned(),
            input: ToolInput::Text,
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
