//! A plan: agents, their tasks, and which of them go before which.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use codex_protocol::security_profile::SecurityProfile;
use serde::Deserialize;

use crate::narrow::Budget;
use crate::path::AgentName;
use crate::tools::profile_of;

/// The largest plan file, in bytes.
pub const LARGEST: usize = 1 << 20;

/// The most agents of a plan.
pub const MOST_AGENTS: usize = 64;

/// The most further attempts that a plan can give an agent.
pub const MOST_RETRIES: u32 = 5;

/// What follows when an agent fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// The others are ended, and what has not begun does not begin.
    #[default]
    Stop,
    /// Only what comes after it does not begin.
    Continue,
}

/// An agent of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// What it is called.
    pub name: AgentName,
    /// Its type.
    pub agent_type: String,
    /// What it is to do.
    pub task: String,
    /// The agents that have to have done theirs, by their place in the plan.
    pub after: Vec<usize>,
    /// How often a new agent begins the task again after one failed.
    pub retries: u32,
    /// A profile narrower than its type's.
    pub profile: Option<SecurityProfile>,
    /// How far it may go, if not as far as its type.
    pub budget: Budget,
}

/// A plan that can be run: every name is known and nothing waits for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    nodes: Vec<Node>,
    order: Vec<usize>,
    /// What follows a failure, if the plan says so.
    pub on_failure: Option<OnFailure>,
    /// How many agents work at a time, if the plan says so.
    pub max_concurrent: Option<usize>,
}

/// What is wrong with a plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// It is not TOML, or not what a plan holds.
    #[error("{0}")]
    Syntax(String),
    /// It is too large, or has no agent.
    #[error("{0}")]
    Size(String),
    /// An agent of it.
    #[error("agent '{agent}': {what}")]
    Agent {
        /// Its name, or number.
        agent: String,
        /// What is wrong with it.
        what: String,
    },
    /// Agents that wait for one another.
    #[error("these agents wait for one another: {}", .0.join(" -> "))]
    Circle(Vec<String>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    on_failure: Option<OnFailure>,
    max_concurrent: Option<usize>,
    #[serde(default)]
    agent: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    #[serde(rename = "type")]
    agent_type: Option<String>,
    task: String,
    #[serde(default)]
    after: Vec<String>,
    #[serde(default)]
    retries: u32,
    profile: Option<String>,
    #[serde(default)]
    budget: Limits,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Limits {
    turns: Option<u32>,
    tokens: Option<u64>,
    seconds: Option<u64>,
}

impl Plan {
    /// Reads a plan file's text.
    ///
    /// # Errors
    /// [`PlanError`] says what is wrong, and where.
    pub fn parse(text: &str) -> Result<Self, PlanError> {
        if text.len() > LARGEST {
            return Err(PlanError::Size(format!(
                "it is larger than {} KiB",
                LARGEST >> 10
            )));
        }
        let file: File =
            toml::from_str(text).map_err(|e| PlanError::Syntax(e.to_string().trim().to_owned()))?;
        if file.max_concurrent == Some(0) {
            return Err(PlanError::Syntax("max_concurrent is at least 1".to_owned()));
        }
        let names: BTreeMap<&str, usize> = file
            .agent
            .iter()
            .enumerate()
            .map(|(n, entry)| (entry.name.as_str(), n))
            .collect();
        let mut nodes = Vec::new();
        for (n, entry) in file.agent.iter().enumerate() {
            nodes.push(node(n, entry, &names)?);
        }
        Ok(Self {
            on_failure: file.on_failure,
            max_concurrent: file.max_concurrent,
            ..Self::new(nodes)?
        })
    }

    /// One task for an agent of each of these types, beside one another.
    ///
    /// # Errors
    /// [`PlanError`], for too many types or none.
    pub fn one_task(task: &str, types: &[String]) -> Result<Self, PlanError> {
        let mut used = BTreeSet::new();
        let mut nodes = Vec::new();
        for agent_type in types {
            let plain = AgentName::from_words(agent_type);
            let name = (2..=MOST_AGENTS + 1).fold(plain.clone(), |name, number| {
                match used.contains(&name) {
                    true => plain.numbered(number),
                    false => name,
                }
            });
            used.insert(name.clone());
            nodes.push(Node {
                name,
                agent_type: agent_type.clone(),
                task: task.to_owned(),
                after: Vec::new(),
                retries: 0,
                profile: None,
                budget: Budget::default(),
            });
        }
        Self::new(nodes)
    }

    /// The plan of these agents.
    fn new(nodes: Vec<Node>) -> Result<Self, PlanError> {
        if nodes.is_empty() {
            let what = "it has no agent: add [[agent]] with a name and a task";
            return Err(PlanError::Size(what.to_owned()));
        }
        if nodes.len() > MOST_AGENTS {
            return Err(PlanError::Size(format!(
                "it has {} agents, and {MOST_AGENTS} are the limit",
                nodes.len()
            )));
        }
        let order = order(&nodes)?;
        Ok(Self {
            nodes,
            order,
            on_failure: None,
            max_concurrent: None,
        })
    }

    /// The agents, as the plan lists them.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Their places in the order in which changes are taken over: each after those it comes after,
    /// otherwise as the plan lists them.
    #[must_use]
    pub fn order(&self) -> &[usize] {
        &self.order
    }
}

fn node(n: usize, entry: &Entry, names: &BTreeMap<&str, usize>) -> Result<Node, PlanError> {
    let bad = |what: String| PlanError::Agent {
        agent: entry
            .name
            .chars()
            .take(64)
            .collect::<String>()
            .escape_debug()
            .to_string(),
        what,
    };
    let name = AgentName::new(&entry.name).map_err(|e| bad(e.to_string()))?;
    if names.get(entry.name.as_str()) != Some(&n) {
        return Err(bad("there are two of this name".to_owned()));
    }
    if entry.task.trim().is_empty() {
        return Err(bad("its task is empty".to_owned()));
    }
    if entry.retries > MOST_RETRIES {
        return Err(bad(format!("retries is at most {MOST_RETRIES}")));
    }
    let mut after = Vec::new();
    for before in &entry.after {
        let at = names.get(before.as_str()).ok_or_else(|| {
            let known: Vec<&str> = names.keys().copied().collect();
            bad(format!(
                "after: there is no agent {before:?}; the agents are {}",
                known.join(", ")
            ))
        })?;
        if !after.contains(at) {
            after.push(*at);
        }
    }
    let profile = match &entry.profile {
        None => None,
        Some(word) => Some(profile_of(word).ok_or_else(|| {
            bad(format!(
                "profile: {word:?} is none of offline, workspace-write, net-read-only and trusted"
            ))
        })?),
    };
    Ok(Node {
        name,
        agent_type: entry
            .agent_type
            .clone()
            .unwrap_or_else(|| "general".to_owned()),
        task: entry.task.clone(),
        after,
        retries: entry.retries,
        profile,
        budget: Budget {
            turns: entry.budget.turns,
            tokens: entry.budget.tokens,
            time: entry.budget.seconds.map(Duration::from_secs),
        },
    })
}

fn order(nodes: &[Node]) -> Result<Vec<usize>, PlanError> {
    let mut order: Vec<usize> = Vec::with_capacity(nodes.len());
    while order.len() < nodes.len() {
        let next = (0..nodes.len()).find(|n| {
            !order.contains(n) && nodes[*n].after.iter().all(|before| order.contains(before))
        });
        match next {
            Some(next) => order.push(next),
            None => return Err(PlanError::Circle(circle(nodes, &order))),
        }
    }
    Ok(order)
}

/// A circle among the agents that are not in `order`: each of them waits for another such.
fn circle(nodes: &[Node], order: &[usize]) -> Vec<String> {
    let waits_for = |n: usize| {
        let mut before = nodes[n].after.iter().copied();
        before.find(|before| !order.contains(before))
    };
    let mut way: Vec<usize> = (0..nodes.len())
        .filter(|n| !order.contains(n))
        .take(1)
        .collect();
    while let Some(next) = way.last().and_then(|last| waits_for(*last)) {
        if let Some(begins) = way.iter().position(|n| *n == next) {
            way.drain(..begins);
            way.push(next);
            break;
        }
        way.push(next);
    }
    way.into_iter().map(|n| nodes[n].name.to_string()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_plan_is_read_and_ordered() {
        let plan = Plan::parse(
            "on_failure = 'continue'\nmax_concurrent = 2\n\
             [[agent]]\nname = 'test'\ntype = 'test'\ntask = 't'\nafter = ['fix', 'docs']\nretries = 1\n\
             budget = { turns = 5, seconds = 60 }\n\
             [[agent]]\nname = 'fix'\ntask = 'f'\nprofile = 'offline'\n\
             [[agent]]\nname = 'docs'\ntask = 'd'\nafter = ['fix']\n",
        )
        .unwrap();
        assert_eq!(plan.order(), [1, 2, 0]);
        assert_eq!(plan.nodes()[0].after, [1, 2]);
        assert_eq!(plan.nodes()[0].budget.time, Some(Duration::from_secs(60)));
        assert_eq!(plan.nodes()[1].agent_type, "general");
        assert_eq!(plan.nodes()[1].profile, Some(SecurityProfile::Offline));
        assert_eq!(
            (plan.on_failure, plan.max_concurrent),
            (Some(OnFailure::Continue), Some(2))
        );
    }

    #[test]
    fn what_is_wrong_is_said() {
        let agent =
            |name: &str, more: &str| format!("[[agent]]\nname = '{name}'\ntask = 't'\n{more}\n");
        for (text, part) in [
            (String::new(), "it has no agent"),
            ("x = 1".to_owned(), "unknown field `x`"),
            ("[[agent]]\nname = 'a'".to_owned(), "missing field `task`"),
            ("[[agent".to_owned(), "TOML parse error at line 1"),
            (agent("A", ""), "cannot be an agent's name"),
            (agent("a", "") + &agent("a", ""), "two of this name"),
            (
                agent("a", "after = ['b']"),
                "there is no agent \"b\"; the agents are a",
            ),
            (agent("a", "profile = 'root'"), "\"root\" is none of"),
            (agent("a", "retries = 9"), "at most 5"),
            (agent("a", "").replace("'t'", "' '"), "its task is empty"),
            (agent("a", "after = ['a']"), "wait for one another: a -> a"),
            (
                agent("x", "after = ['a']")
                    + &agent("a", "after = ['b']")
                    + &agent("b", "after = ['a']"),
                "wait for one another: a -> b -> a",
            ),
            (
                "max_concurrent = 0\n".to_owned() + &agent("a", ""),
                "at least 1",
            ),
            (" ".repeat(LARGEST + 1), "larger than 1024 KiB"),
            (
                (0..65).map(|n| agent(&format!("a{n}"), "")).collect(),
                "65 agents",
            ),
        ] {
            let error = Plan::parse(&text).unwrap_err().to_string();
            assert!(error.contains(part), "{part}: {error}");
        }
    }

    #[test]
    fn one_task_names_agents_by_their_types() {
        let types = ["review", "review", "security"].map(str::to_owned);
        let plan = Plan::one_task("look", &types).unwrap();
        let names: Vec<&str> = plan.nodes().iter().map(|n| n.name.as_str()).collect();
        assert_eq!(names, ["review", "review-2", "security"]);
        assert!(Plan::one_task("look", &[]).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[a-z\\[\\]= '\n{}0-9]{0,200}") {
            let _ = Plan::parse(&text);
        }

        /// Whatever waits for whatever: an order that keeps it, or a circle that is one.
        #[test]
        fn the_order_keeps_what_comes_before(edges in prop::collection::vec((0_usize..8, 0_usize..8), 0..20)) {
            let mut text = String::new();
            for n in 0..8 {
                let after: Vec<String> = edges.iter().filter(|(a, _)| *a == n).map(|(_, b)| format!("'a{b}'")).collect();
                text += &format!("[[agent]]\nname = 'a{n}'\ntask = 't'\nafter = [{}]\n", after.join(", "));
            }
            match Plan::parse(&text) {
                Ok(plan) => {
                    let place = |n: usize| plan.order().iter().position(|o| *o == n).unwrap();
                    for (a, b) in edges {
                        prop_assert!(place(b) < place(a));
                    }
                }
                Err(PlanError::Circle(names)) => {
                    prop_assert!(names.len() > 1 && names.first() == names.last());
                    for pair in names.windows(2) {
                        let number = |name: &String| name[1..].parse::<usize>().unwrap();
                        prop_assert!(edges.contains(&(number(&pair[0]), number(&pair[1]))));
                    }
                }
                Err(other) => prop_assert!(false, "{other}"),
            }
        }
    }
}
