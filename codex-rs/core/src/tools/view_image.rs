//! `view_image`: shows the model an image from a file.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use codex_protocol::model::Content;
use codex_protocol::permission::Permissions;
use codex_protocol::request::FileRead;
use codex_protocol::tool::{
    Access, BoxFuture, Fatal, Tool, ToolCall, ToolInput, ToolOutput, ToolSpec,
};
use serde::Deserialize;
use serde_json::json;

use super::{Stop, arguments, failed, resolve, settle};
use crate::{files, image};

/// How many images the calls of one answer may show.
const PER_ANSWER: usize = 4;

/// How many bytes of images a run may show: every request carries all of them again, and providers
/// refuse requests of more than some tens of megabytes.
const PER_RUN: u64 = files::LARGEST;

/// The tool.
pub struct ViewImage {
    workspace: PathBuf,
    shown: Mutex<Shown>,
}

#[derive(Default)]
struct Shown {
    /// What the calls since the last answer want shown, in order.
    waiting: Vec<Content>,
    /// The bytes of all images so far.
    bytes: u64,
}

#[derive(Deserialize)]
struct Arguments {
    path: PathBuf,
}

impl ViewImage {
    /// Relative paths are seen from `workspace`.
    #[must_use]
    pub fn new(workspace: PathBuf) -> Self {
        Self {
            workspace,
            shown: Mutex::default(),
        }
    }

    async fn answer(&self, call: &ToolCall, permissions: &Permissions) -> Result<ToolOutput, Stop> {
        let arguments: Arguments = arguments("view_image", &call.arguments)?;
        let name = arguments.path.display().to_string();
        let path = resolve(&self.workspace, &arguments.path, permissions, "viewed")?;
        let recorded = permissions.require(FileRead { path }, None).await?;
        let image = image::read(&recorded)
            .map_err(|e| failed(format!("'{name}' cannot be viewed: {e}")))?;
        let size = image.bytes.len() as u64;
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.waiting.len() >= PER_ANSWER {
            return Err(failed(format!(
                "'{name}' is not shown: one answer may view {PER_ANSWER} images; view it in the next"
            ))
            .into());
        }
        if shown.bytes + size > PER_RUN {
            return Err(failed(format!(
                "'{name}' ({size} bytes) is not shown: the images of a run may have {} MiB together; make a smaller copy, or go on without it",
                PER_RUN >> 20
            ))
            .into());
        }
        shown.bytes += size;
        shown.waiting.push(image.content());
        Ok(ToolOutput {
            text: format!(
                "'{name}' ({}, {size} bytes) follows as image {} after the outputs of these calls",
                image.media_type,
                shown.waiting.len()
            ),
            success: true,
        })
    }
}

impl Tool for ViewImage {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: "view_image".to_owned(),
            description: "Shows you an image file (PNG, JPEG, GIF or WebP).".to_owned(),
            input: ToolInput::Json(json!({
                "type": "object",
                "properties": {
                    "path": { "type": "string", "description": "Path, from the workspace or absolute." }
                },
                "required": ["path"],
                "additionalProperties": false
            })),
        }
    }

    /// Alone and in order, since the outputs tell images apart by their order.
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

    fn take_shown(&self) -> Vec<Content> {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut shown.waiting)
    }
}
