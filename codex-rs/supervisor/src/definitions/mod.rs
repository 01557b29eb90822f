//! The types of agents: built in, the person's own, and a project's.
//!
//! | module | holds |
//! |---|---|
//! | `document` | one file to a definition, or what is wrong with it |
//! | `load` | where the files are, and who has a say in what |
//! | `tighten` | what is left of a definition beside a project's |
//! | `built_in` | those that come with codex |

mod built_in;
mod document;
mod load;
mod tighten;

#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use codex_core::{paths, places};

use codex_protocol::model::ReasoningEffort;
use codex_protocol::security_profile::SecurityProfile;

use crate::narrow::{Budget, RightsRequest, Selection};

pub use built_in::GENERAL;
pub use document::{MOST_BYTES, MOST_DESCRIPTION, MOST_ENTRIES, MOST_INSTRUCTIONS, MOST_NAME};
pub use load::{Definitions, MOST_FILES, NoAgent, Sources};

/// A type of agent. What it says of rights is the most that such an agent gets: its parent's
/// rights bound it.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentDefinition {
    /// The name, which is also the `agent_type` of its records.
    pub name: String,
    /// What it is for, in one line: for people, and for the model that chooses one.
    pub description: String,
    /// What it is told, beside what every agent is told about its rights.
    pub instructions: String,
    /// The tools that it can call.
    pub tools: Selection,
    /// The MCP servers whose tools it can call.
    pub mcp_servers: Selection,
    /// The profile; `None` is its parent's.
    pub profile: Option<SecurityProfile>,
    /// The model; `None` is its parent's.
    pub model: Option<String>,
    /// How much it thinks; `None` is as much as its parent.
    pub effort: Option<ReasoningEffort>,
    /// How far it may go.
    pub budget: Budget,
    /// Rules of the only hosts that it may read; `None` is those of its parent.
    pub hosts: Option<Vec<String>>,
    /// What it keeps of the grants.
    pub grants: GrantLimits,
}

/// What an agent keeps of what was granted beyond the profile. `None` is all that its parent has,
/// an empty list is nothing. Paths are as they were written: relative ones are seen from the
/// workspace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GrantLimits {
    /// `allow_read`.
    pub reads: Option<Vec<String>>,
    /// `allow_write`.
    pub writes: Option<Vec<String>>,
    /// `allow_exec`: paths, or names looked up in `PATH`.
    pub programs: Option<Vec<String>>,
    /// `pass_env`: patterns of variables.
    pub variables: Option<Vec<String>>,
    /// `deny_read`: what it may not read although its parent may.
    pub denied_reads: Vec<String>,
}

/// Where a definition comes from. Displays as `codex agents list` prints it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It comes with codex.
    BuiltIn,
    /// The person's file, as people see its path: `~` stands for the home directory.
    User(Arc<str>),
    /// A project's file, beside the definition that it narrows.
    Project {
        /// The file.
        file: Arc<str>,
        /// The name of the type that it can only narrow: its own, or `general`.
        narrows: String,
        /// Where that comes from.
        base: Box<Origin>,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => f.write_str("built in"),
            Self::User(file) => write!(f, "user ({file})"),
            Self::Project {
                file,
                narrows,
                base,
            } => write!(f, "project ({file}), which narrows {narrows} ({base})"),
        }
    }
}

/// A definition that can be used, and how it came to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Agent {
    /// What holds.
    pub definition: AgentDefinition,
    /// Where it comes from.
    pub origin: Origin,
    /// What a project's files took from the definition that they narrow, one line each.
    pub narrowed: Vec<String>,
}

/// What is wrong with a file. One line: where, what, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DefinitionError {
    /// What the file says.
    #[error("{file}:{line}:{column}: {what}")]
    InFile {
        /// The file, as people see its path.
        file: Arc<str>,
        /// From 1.
        line: usize,
        /// In characters, from 1.
        column: usize,
        /// What is wrong, and what to do.
        what: String,
    },
    /// The file itself.
    #[error("{file}: {what}")]
    File {
        /// Which, as people see its path.
        file: Arc<str>,
        /// Why it cannot be used, and what to do.
        what: String,
    },
}

/// A path of a definition that cannot be looked up, so that what it denies could not be denied.
#[derive(Debug, thiserror::Error)]
#[error(
    "the agent '{agent}' cannot be started: its '{key}' names {entry:?}, which cannot be looked up: {cause}; correct its file"
)]
pub struct Unresolved {
    /// The agent's name.
    pub agent: String,
    /// The key.
    pub key: &'static str,
    /// What it says.
    pub entry: String,
    /// What the system says.
    pub cause: std::io::Error,
}

impl AgentDefinition {
    /// What it asks of its parent, for a run in `workspace`. A program that is not there is left
    /// out, as is a path to be kept that cannot be looked up. `search_path` is the value of `PATH`.
    ///
    /// # Errors
    /// [`Unresolved`] where a path to be denied cannot be looked up.
    pub fn request(
        &self,
        workspace: &Path,
        home: Option<&Path>,
        search_path: &OsStr,
    ) -> Result<RightsRequest, Unresolved> {
        let resolve =
            |entry: &String| paths::resolve(workspace, &paths::expand_home(Path::new(entry), home));
        let kept = |list: &Option<Vec<String>>| -> Option<Vec<PathBuf>> {
            let list = list.as_ref()?;
            Some(list.iter().flat_map(resolve).collect())
        };
        let program =
            |entry: &String| places::find_program(Path::new(entry), workspace, search_path);
        let denied_reads = self.grants.denied_reads.iter().map(|entry| {
            resolve(entry).map_err(|cause| Unresolved {
                agent: self.name.clone(),
                key: "deny_read",
                entry: entry.clone(),
                cause,
            })
        });
        Ok(RightsRequest {
            profile: self.profile,
            tools: self.tools.clone(),
            mcp_servers: self.mcp_servers.clone(),
            hosts: self.hosts.clone(),
            reads: kept(&self.grants.reads),
            writes: kept(&self.grants.writes),
            programs: self
                .grants
                .programs
                .as_ref()
                .map(|list| list.iter().filter_map(program).collect()),
            variables: self.grants.variables.clone(),
            denied_reads: denied_reads.collect::<Result<_, _>>()?,
            budget: self.budget,
            places: None,
        })
    }
}
