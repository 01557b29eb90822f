//! `search`: finds text in files, or files by name.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use codex_protocol::decision::Effect;
use codex_protocol::gate;
use codex_protocol::permission::Permissions;
use codex_protocol::request::{FileRead, Request};
use codex_protocol::tool::{
    Access, BoxFuture, Fatal, Tool, ToolCall, ToolInput, ToolOutput, ToolSpec,
};
use serde::Deserialize;
use serde_json::json;

use super::{Stop, arguments, failed, resolve, settle};
use crate::files;
use crate::search::{self, Found, Ignored, Kind, Place, Query};

/// How many results are given if the call does not say.
const DEFAULT_LIMIT: usize = 100;

/// How many results are given at most.
const MOST: usize = 1000;

/// How much is shown at most, in bytes.
const SHOWN: usize = 32 << 10;

/// The tool.
pub struct Search {
    workspace: PathBuf,
}

#[derive(Deserialize)]
struct Arguments {
    pattern: String,
    path: Option<PathBuf>,
    glob: Option<String>,
    #[serde(default)]
    mode: Mode,
    #[serde(default)]
    ignore_case: bool,
    limit: Option<usize>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mode {
    #[default]
    Content,
    Count,
    Names,
}

impl Search {
    /// Relative paths are seen from `workspace`.
    #[must_use]
    pub fn new(workspace: PathBuf) -> Self {
        Self { workspace }
    }

    async fn answer(&self, call: &ToolCall, permissions: &Permissions) -> Result<ToolOutput, Stop> {
        let arguments: Arguments = arguments("search", &call.arguments)?;
        let asked = arguments.path.unwrap_or_else(|| PathBuf::from("."));
        let kind = match arguments.mode {
            Mode::Content => Kind::Content,
            Mode::Count => Kind::Count,
            Mode::Names => Kind::Names,
        };
        let limit = arguments.limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MOST);
        let query = Query::new(
            kind,
            &arguments.pattern,
            arguments.ignore_case,
            arguments.glob.as_deref(),
            limit,
        )
        .map_err(|e| failed(e.to_string()))?;
        let path = resolve(&self.workspace, &asked, permissions, "searched")?;
        let root = path
            .strip_prefix(&self.workspace)
            .map_or_else(|_| path.clone(), Path::to_owned);
        let recorded = permissions
            .require(FileRead { path: path.clone() }, None)
            .await?;
        let place = Place {
            above: self.rules_above(&path, permissions).await?,
            policy: permissions.policy().clone(),
        };
        let stop = StopWhenDropped(Arc::new(AtomicBool::new(false)));
        let stopped = Arc::clone(&stop.0);
        let searching =
            tokio::task::spawn_blocking(move || search::search(&recorded, place, &query, &stopped));
        Ok(match searching.await {
            Ok(Ok(found)) => ToolOutput {
                text: shown(&found, kind, &root, limit),
                success: true,
            },
            Ok(Err(e)) => failed(format!("'{}' cannot be searched: {e}", asked.display())),
            Err(e) => failed(format!("the search broke off: {e}")),
        })
    }

    /// The rules of `.gitignore` files between the workspace and `root`.
    async fn rules_above(&self, root: &Path, permissions: &Permissions) -> Result<Ignored, Stop> {
        let mut rules = Ignored::default();
        let Ok(below) = root.strip_prefix(&self.workspace) else {
            return Ok(rules);
        };
        let mut directory = self.workspace.clone();
        for name in below {
            let path = directory.join(".gitignore");
            let read = FileRead { path };
            let is_there = read.path.symlink_metadata().is_ok_and(|m| m.is_file());
            let decision = gate::decide(permissions.policy(), Request::FileRead(&read));
            if is_there && decision.effect == Effect::Allow {
                let recorded = permissions.require(read, None).await?;
                if let (Ok(text), Ok(root)) =
                    (files::read(&recorded), root.strip_prefix(&directory))
                {
                    rules = rules.with_above(root, &text);
                }
            }
            directory.push(name);
        }
        Ok(rules)
    }
}

/// Ends a search whose answer nobody waits for any more.
struct StopWhenDropped(Arc<AtomicBool>);

impl Drop for StopWhenDropped {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The results, one a line, and what there is to know about what is not among them.
fn shown(found: &Found, kind: Kind, root: &Path, limit: usize) -> String {
    let mut text = String::new();
    let mut cut = found.more;
    'files: for (path, hits) in &found.files {
        let path = if path.as_os_str().is_empty() {
            root.to_owned()
        } else {
            root.join(path)
        };
        // A name with a line end or an escape sequence in it must look like what it is.
        let path = path.to_string_lossy().escape_debug().to_string();
        for hit in hits {
            if text.len() > SHOWN {
                cut = true;
                break 'files;
            }
            // Writing to a string does not fail.
            let _ = match kind {
                Kind::Content => writeln!(text, "{path}:{}:{}", hit.line, hit.text),
                Kind::Count => writeln!(text, "{path}:{}", hit.line),
                Kind::Names => writeln!(text, "{path}"),
            };
        }
    }
    if found.files.is_empty() {
        text.push_str("[nothing found]\n");
    }
    if cut {
        let _ = writeln!(
            text,
            "[more was found than is shown, limit {limit}: narrow it with path, glob or a longer pattern, or use mode count]"
        );
    }
    if found.unfinished {
        let most = search::MOST_ENTRIES;
        let _ = writeln!(
            text,
            "[not finished: more than {most} files and directories; name a path further down]"
        );
    }
    if found.closed > 0 {
        let _ = writeln!(
            text,
            "[{} paths left out: not permitted to be read]",
            found.closed
        );
    }
    if found.unread > 0 {
        let _ = writeln!(
            text,
            "[{} paths could not be read, or not whole]",
            found.unread
        );
    }
    text.truncate(text.trim_end().len());
    text
}

impl Tool for Search {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: "search".to_owned(),
            description:
                "Searches the text files of a directory (recursively, without what .gitignore names and binary files) \
                 for a regular expression, or finds files by name. Gives path:line:text."
                    .to_owned(),
            input: ToolInput::Json(json!({
                "type": "object",
                "properties": {
                    "pattern": { "type": "string", "description": "Regular expression." },
                    "path": { "type": "string", "description": "File or directory, from the workspace or absolute; the workspace by default." },
                    "glob": { "type": "string", "description": "Only files that fit, as in .gitignore: *.rs, src/**, !*.lock." },
                    "mode": { "type": "string", "enum": ["content", "count", "names"], "description": "content: matching lines, the default; count: how many lines in which files; names: files whose path matches." },
                    "ignore_case": { "type": "boolean" },
                    "limit": { "type": "integer", "description": "How many results; 100 by default." }
                },
                "required": ["pattern"],
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
