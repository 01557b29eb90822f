//! What the composition root hands in: models, tools and instructions for an agent, and whoever
//! watches.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use codex_core::command::Workbench;
use codex_core::session::Parts;
use codex_protocol::event::Event;
use codex_protocol::permission::Permissions;

use crate::definitions::AgentDefinition;
use crate::path::AgentPath;
use crate::report::Report;
use crate::state::State;

/// What an agent's session is to be made of.
pub struct Order<'o> {
    /// Where the agent stands.
    pub path: &'o AgentPath,
    /// Its type.
    pub definition: &'o AgentDefinition,
    /// What its tools ask: its own rights, on its own behalf.
    pub permissions: Permissions,
    /// What its commands have in common, with a temporary directory of its own.
    pub workbench: Arc<Workbench>,
}

/// Whoever makes the parts of sessions.
pub trait Outfitter: Send + Sync {
    /// The parts of an agent's session, with every tool that its run has; those that are not the
    /// agent's are taken out by the supervisor.
    ///
    /// # Errors
    /// What is missing, and what to do: no such model, no key.
    fn parts(&self, order: Order<'_>) -> Result<Parts, String>;

    /// A new id that sorts by time.
    fn new_id(&self) -> String;

    /// Makes a private directory for this agent with those of
    /// [`Worktree::directories`](crate::worktree::Worktree::directories) in it, removed when the
    /// run ends; `None` where the run's profile writes nothing.
    ///
    /// # Errors
    /// When the system refuses.
    fn directory(&self, path: &AgentPath) -> io::Result<Option<PathBuf>>;

    /// Keeps the directories beyond the run: there is something in them that is nowhere else.
    fn keep_directories(&self);
}

/// Whoever is told what agents do. Called in order for each agent, and never for long.
pub trait Watcher: Send + Sync {
    /// Takes an event of this agent's session.
    fn event(&self, path: &AgentPath, event: Event);

    /// Takes a new state of this agent, with what its turn came to where one ended.
    fn state(&self, path: &AgentPath, agent_type: &str, state: State, report: Option<&Report>);
}
