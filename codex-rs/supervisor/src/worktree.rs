//! A worktree of its own for an agent that writes, and the way of its changes back.
//!
//! Git reads configuration of the workspace, so it runs inside the sandbox, under the rights of the
//! agent's parent, and each run of it is a recorded command like any other. A workspace without a
//! repository of its own gets one beside it, which makes the worktree a copy.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use codex_core::command::{CommandError, SHARED_MEMORY, Workbench};
use codex_protocol::permission::{NotPermitted, Permissions};
use codex_protocol::record::RecordError;
use codex_protocol::request::ProcessSpawn;
use codex_sandbox::spawn::{Outcome, SpawnError};
use serde_json::json;

use crate::path::AgentPath;
use crate::report::{Merged, bounded};

const SCRIPT: &str = include_str!("worktree/script.sh");

/// How long git may take: a large workspace is read whole.
const PATIENCE: Duration = Duration::from_mins(10);

/// A worktree that could not be made, or changes that could not be taken over.
#[derive(Debug, thiserror::Error)]
pub enum WorktreeError {
    /// The run's own rights do not allow it.
    #[error("git is not permitted: {0}")]
    NotPermitted(String),
    /// The log cannot be written: the run has to end.
    #[error(transparent)]
    NoRecord(#[from] RecordError),
    /// Git, or the shell that runs it, is not there or failed.
    #[error("{0}")]
    Failed(String),
}

/// A place for an agent to write in, apart from its parent's.
#[derive(Debug)]
pub struct Worktree {
    workbench: Arc<Workbench>,
    workspace: PathBuf,
    store: PathBuf,
    place: PathBuf,
    /// What was made for this agent.
    directory: PathBuf,
    scratch: PathBuf,
    temp: PathBuf,
    admin: PathBuf,
    state: Mutex<State>,
    reference: String,
    /// Whether the store lies in the workspace and outlasts the run.
    lasting: bool,
}

#[derive(Clone, Debug, Default)]
struct State {
    /// The commit that the agent's changes are seen from.
    base: String,
    /// The commit that has those which were collected and not put away yet.
    collected: Option<String>,
    /// Whether something of the agent's is in the place and nowhere else.
    kept: bool,
}

/// What to do with an agent's changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    /// Take them over; keep them where they conflict.
    Over,
    /// Keep them only.
    Keep,
}

impl Worktree {
    /// Makes a worktree in `directory`, which has to be the agent's alone and there, holding
    /// whatever `workspace` holds now that git does not ignore.
    ///
    /// # Errors
    /// [`WorktreeError`].
    pub async fn add(
        permissions: &Permissions,
        workbench: &Arc<Workbench>,
        path: &AgentPath,
        directory: &Path,
    ) -> Result<Self, WorktreeError> {
        let workspace = permissions.policy().own().places.workspace.clone();
        let own = workspace.join(".git");
        let lasting = own.is_dir();
        let store = if lasting {
            own
        } else {
            directory.join("store")
        };
        let session = permissions.subject().session_id.as_str();
        let mut worktree = Self {
            workbench: Arc::clone(workbench),
            workspace,
            store,
            place: directory.join("work"),
            directory: directory.to_owned(),
            scratch: directory.join("scratch"),
            temp: directory.join("temp"),
            admin: PathBuf::new(),
            state: Mutex::default(),
            reference: format!("refs/codex/agents/{session}/{path}"),
            lasting,
        };
        let arguments = [
            worktree.workspace.clone(),
            worktree.place.clone(),
            worktree.scratch.clone(),
        ];
        let lines = worktree.git(permissions, "add", &arguments, &[]).await?;
        let value = |name: &str| {
            let found = lines.iter().find_map(|line| line.strip_prefix(name));
            found.map(str::to_owned).ok_or_else(|| {
                WorktreeError::Failed(format!(
                    "git made no worktree at '{}': {}",
                    worktree.place.display(),
                    bounded(&lines.join("; "), 400)
                ))
            })
        };
        let (base, admin) = (value("base ")?, value("admin ")?);
        worktree.admin = PathBuf::from(admin);
        worktree.state().base = base;
        Ok(worktree)
    }

    /// What has to be there before [`Worktree::add`] in a directory that is to be an agent's own.
    #[must_use]
    pub fn directories(directory: &Path) -> [PathBuf; 2] {
        let temp = directory.join("temp");
        [directory.join("scratch"), temp.join(SHARED_MEMORY)]
    }

    /// Where the agent works.
    #[must_use]
    pub fn place(&self) -> &Path {
        &self.place
    }

    /// Its commands' directory for temporary files.
    #[must_use]
    pub fn temp(&self) -> &Path {
        &self.temp
    }

    /// Whether what is kept outlasts the run by itself, as refs of the person's repository do.
    #[must_use]
    pub fn is_lasting(&self) -> bool {
        self.lasting
    }

    /// Looks what the agent changed since it began or since the last time that it was taken over;
    /// whether there is anything. It touches nothing that others work with.
    ///
    /// # Errors
    /// [`WorktreeError`].
    pub async fn collect(&self, permissions: &Permissions) -> Result<bool, WorktreeError> {
        let base = self.state().base.clone();
        let paths = [self.place.clone(), self.scratch.clone(), self.admin.clone()];
        let lines = self.git(permissions, "collect", &paths, &[&base]).await?;
        let theirs = lines.iter().find_map(|line| line.strip_prefix("theirs "));
        let collected = match (theirs, lines.iter().any(|line| line == "unchanged")) {
            (Some(theirs), _) => Some(theirs.to_owned()),
            (None, true) => None,
            (None, false) => {
                return Err(WorktreeError::Failed(format!(
                    "git did not say what changed in '{}': {}",
                    self.place.display(),
                    bounded(&lines.join("; "), 400)
                )));
            }
        };
        let changed = collected.is_some();
        self.state().collected = collected;
        Ok(changed)
    }

    /// Takes over what was collected, whole or not at all. Nothing where nothing was.
    ///
    /// # Errors
    /// [`WorktreeError`]; the workspace is as it was then.
    pub async fn merge(
        &self,
        permissions: &Permissions,
        take: Take,
    ) -> Result<Merged, WorktreeError> {
        let mut merged = Merged::default();
        let State {
            base, collected, ..
        } = self.state().clone();
        let Some(theirs) = collected else {
            return Ok(merged);
        };
        let paths = [self.workspace.clone(), self.scratch.clone()];
        let how = match take {
            Take::Over => "take",
            Take::Keep => "keep",
        };
        let more = [base.as_str(), &theirs, &self.reference, how];
        let mut taken = false;
        for line in self.git(permissions, "merge", &paths, &more).await? {
            match line.split_once(' ') {
                None if line == "merged" => taken = true,
                Some(("file", file)) => merged.files.push(file.to_owned()),
                Some(("conflict", file)) => merged.conflicts.push(file.to_owned()),
                Some(("kept", reference)) => {
                    merged.kept = Some(match self.lasting {
                        true => reference.to_owned(),
                        false => self.place.display().to_string(),
                    });
                }
                _ => {}
            }
        }
        if !taken && merged.kept.is_none() {
            return Err(WorktreeError::Failed(
                "git did not say whether it merged".to_owned(),
            ));
        }
        let mut state = self.state();
        state.collected = None;
        if taken {
            state.base = theirs;
        }
        Ok(merged)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that something of the agent's is in its place and nowhere else: it stays from now on.
    pub(crate) fn keep(&self) {
        self.state().kept = true;
    }

    /// Takes the worktree away. What was kept stays.
    ///
    /// # Errors
    /// [`WorktreeError`].
    pub async fn remove(&self, permissions: &Permissions) -> Result<(), WorktreeError> {
        if self.state().kept {
            return Ok(());
        }
        let arguments = [self.place.clone(), self.admin.clone()];
        self.git(permissions, "remove", &arguments, &[])
            .await
            .map(drop)
    }

    async fn git(
        &self,
        permissions: &Permissions,
        action: &str,
        paths: &[PathBuf],
        more: &[&str],
    ) -> Result<Vec<String>, WorktreeError> {
        let search = self.workbench.search_path();
        let sh = codex_core::places::find_program(Path::new("sh"), Path::new("/"), search);
        let program = sh.ok_or_else(|| {
            WorktreeError::Failed("there is no sh on this machine to run git with".to_owned())
        })?;
        let mut argv: Vec<OsString> = ["sh", "-c", SCRIPT, "codex-worktree", action]
            .map(OsString::from)
            .to_vec();
        argv.push(self.store.clone().into_os_string());
        argv.extend(paths.iter().map(|path| path.clone().into_os_string()));
        argv.extend(more.iter().map(OsString::from));
        let shown: Vec<String> = argv
            .iter()
            .skip(3)
            .map(|argument| argument.to_string_lossy().into_owned())
            .collect();
        let request = ProcessSpawn {
            program,
            argv,
            cwd: self.workspace.clone(),
        };
        let detail =
            json!({ "phase": "intent", "argv": shown, "script": "codex's own, for git worktrees" });
        // The agent's place is not its parent's to write otherwise, and no other agent's is now.
        let policy = permissions.policy().with_own_place(&self.directory);
        let permissions = &permissions.with_policy(policy);
        let recorded =
            permissions
                .require(request, Some(detail))
                .await
                .map_err(|error| match error {
                    NotPermitted::Denied { decision, .. } => {
                        WorktreeError::NotPermitted(decision.explanation())
                    }
                    NotPermitted::NoRecord(error) => error.into(),
                })?;
        let ran = self
            .workbench
            .run(permissions, &recorded, PATIENCE, "worktree")
            .await;
        let outcome = match &ran {
            Ok(ran) => json!(ran.outcome),
            Err(error) => json!({ "failed": error.to_string() }),
        };
        permissions.record_outcome(&recorded, outcome)?;
        let ran = ran.map_err(|error| match error {
            CommandError::Spawn(SpawnError::NoRecord(error)) => error.into(),
            error => WorktreeError::Failed(error.to_string()),
        })?;
        if ran.outcome != Outcome::Exited(0) {
            return Err(WorktreeError::Failed(format!(
                "git could not {action} the worktree '{}' ({}): {}",
                self.place.display(),
                ran.outcome,
                bounded(ran.output.text.trim(), 1000)
            )));
        }
        Ok(ran.output.text.lines().map(str::to_owned).collect())
    }
}
