//! The types of agents of a run.

use std::collections::BTreeMap;

use crate::definitions::AgentDefinition;
use crate::narrow::RightsRequest;

/// A type of agent, ready to be started.
#[derive(Clone, Debug)]
pub struct Kind {
    /// What it is.
    pub definition: AgentDefinition,
    /// The most that it gets, with its paths resolved.
    pub bounds: RightsRequest,
}

/// The types of agents of a run, by name.
#[derive(Clone, Debug, Default)]
pub struct Catalog(BTreeMap<String, Kind>);

impl Catalog {
    /// These types.
    pub fn new(kinds: impl IntoIterator<Item = Kind>) -> Self {
        let by_name = |kind: Kind| (kind.definition.name.clone(), kind);
        Self(kinds.into_iter().map(by_name).collect())
    }

    /// The type of this name.
    ///
    /// # Errors
    /// The names there are.
    pub fn get(&self, name: &str) -> Result<&Kind, String> {
        self.0.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.0.keys().map(String::as_str).collect();
            format!(
                "there is no agent type '{}'; the types are {}",
                name.chars().take(64).collect::<String>().escape_debug(),
                known.join(", ")
            )
        })
    }

    /// The types, in the order of their names.
    pub fn kinds(&self) -> impl Iterator<Item = &Kind> {
        self.0.values()
    }
}
