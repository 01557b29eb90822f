//! Agents that write apart from their parents: where each works, and the way of its changes back.

use std::path::PathBuf;
use std::sync::Arc;

use codex_core::command::Workbench;
use codex_protocol::decision::rule;
use codex_protocol::operation::Outcome;
use codex_protocol::permission::Permissions;
use codex_protocol::policy::{GrantSource, Right};
use codex_protocol::security_profile::SecurityProfile;
use codex_protocol::tool::Fatal;
use serde_json::json;

use crate::manager::{SpawnError, SpawnRequest, Standing, SubAgentManager, Writes, lock};
use crate::narrow::{Rights, RightsRequest};
use crate::path::AgentPath;
use crate::report::Merged;
use crate::worktree::{Take, Worktree, WorktreeError};

impl SubAgentManager {
    /// Looks what an agent changed that was started to write apart until its changes are taken over,
    /// so that taking them over is quick. Gives what is to be told where that failed: they cannot
    /// be taken over then.
    pub async fn collect(&self, parent: &Permissions, path: &AgentPath) -> Option<Merged> {
        let worktree = self.worktree(path)?;
        self.collected(parent, path, &worktree).await
    }

    /// Takes over what was collected of an agent's changes, or keeps it, so that nothing is lost;
    /// `None` where there is nothing.
    pub async fn take_over(
        &self,
        parent: &Permissions,
        path: &AgentPath,
        take: Take,
    ) -> Option<Merged> {
        let worktree = self.worktree(path)?;
        self.put_away(parent, path, &worktree, take).await
    }

    fn worktree(&self, path: &AgentPath) -> Option<Arc<Worktree>> {
        lock(&self.roster).get(path)?.worktree.clone()
    }

    /// Collects the changes of an agent and puts them away.
    pub(crate) async fn merge(
        &self,
        parent: &Permissions,
        path: &AgentPath,
        worktree: &Worktree,
        take: Take,
    ) -> Option<Merged> {
        match self.collected(parent, path, worktree).await {
            Some(failed) => Some(failed),
            None => self.put_away(parent, path, worktree, take).await,
        }
    }

    /// Collects; gives what is to be told where that failed.
    async fn collected(
        &self,
        parent: &Permissions,
        path: &AgentPath,
        worktree: &Worktree,
    ) -> Option<Merged> {
        let error = worktree.collect(parent).await.err()?;
        Some(self.not_merged(parent, path, worktree, &error))
    }

    /// What is told where git failed: the worktree stays.
    fn not_merged(
        &self,
        parent: &Permissions,
        path: &AgentPath,
        worktree: &Worktree,
        error: &WorktreeError,
    ) -> Merged {
        self.note(error);
        let merged = Merged {
            conflicts: vec![error.to_string()],
            kept: Some(worktree.place().display().to_string()),
            ..Merged::default()
        };
        worktree.keep();
        self.equipment.outfitter.keep_directories();
        self.record_merge(parent, path, &merged);
        merged
    }

    /// Ends the run where what git did, or was to do, could not be recorded.
    pub(crate) fn note(&self, error: &WorktreeError) {
        if let WorktreeError::NoRecord(error) = error {
            self.fail(&Fatal(error.clone()));
        }
    }

    async fn put_away(
        &self,
        parent: &Permissions,
        path: &AgentPath,
        worktree: &Worktree,
        take: Take,
    ) -> Option<Merged> {
        let _one_at_a_time = self.merging.write().await;
        let merged = match worktree.merge(parent, take).await {
            Ok(merged) => merged,
            Err(error) => return Some(self.not_merged(parent, path, worktree, &error)),
        };
        if merged == Merged::default() {
            return None;
        }
        if merged.kept.is_some() && !worktree.is_lasting() {
            worktree.keep();
            self.equipment.outfitter.keep_directories();
        }
        self.record_merge(parent, path, &merged);
        Some(merged)
    }

    fn record_merge(&self, parent: &Permissions, path: &AgentPath, merged: &Merged) {
        let (outcome, why) = match merged.kept {
            None => (Outcome::Allowed, "its changes were taken over"),
            Some(_) => (
                Outcome::Denied,
                "its changes were not taken over, and are kept",
            ),
        };
        let detail =
            json!({ "files": merged.files, "conflicts": merged.conflicts, "kept": merged.kept });
        let told = self.record(parent, path, rule::AGENT_MERGE, outcome, why, Some(detail));
        if let Err(error) = told {
            self.fail(&Fatal(error));
        }
    }

    /// Where an agent works, and what that leaves of its rights.
    pub(crate) async fn place(
        &self,
        parent: &Standing,
        asked_for: &Rights,
        request: &SpawnRequest,
        path: &AgentPath,
    ) -> Result<Place, SpawnError> {
        let mut bounds = request.bounds.clone();
        let own = asked_for.policy().profile();
        let profile = own.narrow(bounds.profile.unwrap_or(own));
        let writes = matches!(
            profile,
            SecurityProfile::WorkspaceWrite | SecurityProfile::Trusted
        );
        let failed = |why: String| SpawnError::Failed(why);
        let directory = match writes {
            true => {
                let made = self.equipment.outfitter.directory(path);
                made.map_err(|e| failed(format!("the agent's directory cannot be made: {e}")))?
            }
            false => None,
        };
        let mut workbench = (*self.equipment.workbench).clone();
        workbench.outputs.push(path.as_str().replace('/', "-"));
        workbench.temp = directory.as_ref().map(|directory| directory.join("temp"));
        workbench.shared_memory.clone_from(&workbench.temp);
        // The proxy judges by its run's rights, and an agent's may be narrower: it gets no way to it.
        workbench.proxy = None;
        let mut worktree = None;
        if let (Some(directory), true) = (&directory, request.writes != Writes::InPlace) {
            let _no_merge = self.merging.read().await;
            let added = Worktree::add(
                &parent.permissions,
                &self.equipment.workbench,
                path,
                directory,
            )
            .await
            .map_err(|e| match e {
                WorktreeError::NoRecord(error) => error.into(),
                e => failed(format!("the agent gets no worktree: {e}")),
            })?;
            let mut places = parent.rights.policy().own().places.clone();
            places.workspace = added.place().to_owned();
            places.added.clear();
            bounds.places = Some(places);
            worktree = Some(Arc::new(added));
        }
        // What this run made for itself is its agents' one by one: none writes where another does.
        if profile != SecurityProfile::Trusted {
            let granted = asked_for
                .policy()
                .own()
                .grants
                .iter()
                .filter_map(|grant| match &grant.right {
                    Right::Write(path) if grant.source != GrantSource::Internal => {
                        Some(path.clone())
                    }
                    _ => None,
                })
                .collect();
            let mut kept: Vec<PathBuf> = bounds.writes.take().unwrap_or(granted);
            kept.extend(workbench.temp.clone());
            bounds.writes = Some(kept);
        }
        let rights = match &directory {
            Some(directory) => asked_for.with_own_place(directory),
            None => asked_for.clone(),
        };
        Ok(Place {
            rights,
            bounds,
            workbench: Arc::new(workbench),
            worktree,
        })
    }
}

/// Where an agent works.
pub(crate) struct Place {
    /// What it may do at most.
    pub(crate) rights: Rights,
    /// The most that it gets there.
    pub(crate) bounds: RightsRequest,
    pub(crate) workbench: Arc<Workbench>,
    pub(crate) worktree: Option<Arc<Worktree>>,
}
