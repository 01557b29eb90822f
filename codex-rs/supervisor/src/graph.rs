//! Runs a plan: agents side by side, each after those it comes after, their changes taken over in
//! the plan's order.

use std::sync::Arc;

use codex_protocol::security_profile::SecurityProfile;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use serde::Serialize;
use tracing::Instrument as _;

use crate::manager::{SpawnError, SpawnRequest, Standing, SubAgentManager, Writes};
use crate::narrow::RightsRequest;
use crate::path::AgentPath;
use crate::plan::{Node, OnFailure, Plan};
use crate::report::{Ended, Report, SUMMARY, bounded};
use crate::worktree::Take;

/// How an agent of a plan ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It did its task, and its changes are taken over.
    Completed,
    /// It did its task, and its changes do not fit what others changed; they are kept.
    Conflicted,
    /// It did not do its task, in any attempt.
    Failed,
    /// It was ended from outside.
    Interrupted,
    /// It did not begin: what it comes after failed, or the run was stopped.
    Skipped,
}

impl Fate {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Conflicted => "completed, not merged",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
            Self::Skipped => "skipped",
        }
    }
}

/// What became of an agent of a plan.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// Its name in the plan.
    pub name: String,
    /// Where its last attempt stood; `None` for one that did not begin.
    pub agent: Option<AgentPath>,
    /// How it ended.
    pub fate: Fate,
    /// Why, where it did not end well.
    pub why: Option<String>,
    /// How often it was begun.
    pub attempts: u32,
    /// What its last attempt came to.
    pub report: Option<Report>,
    /// Where the changes of its earlier attempts are kept: git refs, or directories.
    pub earlier: Vec<String>,
}

/// How a plan is run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How many agents work at a time, one at least.
    pub max_concurrent: usize,
    /// What follows a failure.
    pub on_failure: OnFailure,
}

/// Runs the plan to its end, or until `main` is cancelled. The outcomes are in the plan's order;
/// every agent has one.
///
/// # Errors
/// When the log cannot be written: the run has ended by then.
pub async fn run(
    manager: &Arc<SubAgentManager>,
    main: &Standing,
    plan: &Plan,
    options: Options,
) -> Result<Vec<Outcome>, String> {
    // The plan's own end, which is not the run's.
    let main = &Standing {
        cancel: main.cancel.child_token(),
        ..main.clone()
    };
    let mut graph = Graph {
        manager,
        main,
        plan,
        slots: plan.nodes().iter().map(|_| Slot::Waiting).collect(),
        stopped: false,
    };
    let mut working = FuturesUnordered::new();
    loop {
        if main.cancel.is_cancelled() {
            graph.stopped = true;
        }
        graph.skip();
        while working.len() < options.max_concurrent.max(1)
            && let Some(ready) = graph.ready()
        {
            let input = graph.input(ready);
            graph.slots[ready] = Slot::Working;
            let node = plan.nodes()[ready].clone();
            let name = node.name.to_string();
            // A task of its own: what it holds, a lock say, it gives back also while this waits for
            // something else.
            let work = attempts(Arc::clone(manager), main.clone(), node, input);
            let task = tokio::spawn(work.in_current_span());
            working.push(async move { (ready, task.await.unwrap_or_else(|_| broken(name))) });
        }
        let Some((n, outcome)) = working.next().await else {
            break;
        };
        graph.slots[n] = Slot::Done(outcome);
        graph.take_over().await;
        if options.on_failure == OnFailure::Stop && graph.has_failed() && !graph.stopped {
            graph.stopped = true;
            main.cancel.cancel();
        }
    }
    match manager.fatal() {
        Some(why) => Err(why),
        None => Ok(graph.outcomes()),
    }
}

enum Slot {
    Waiting,
    Working,
    /// It has ended, and what it changed is not taken over yet.
    Done(Outcome),
    Ended(Outcome),
}

struct Graph<'g> {
    manager: &'g Arc<SubAgentManager>,
    main: &'g Standing,
    plan: &'g Plan,
    slots: Vec<Slot>,
    stopped: bool,
}

impl Graph<'_> {
    fn fate(&self, n: usize) -> Option<Fate> {
        match &self.slots[n] {
            Slot::Ended(outcome) => Some(outcome.fate),
            _ => None,
        }
    }

    /// An agent that can begin.
    fn ready(&self) -> Option<usize> {
        if self.stopped {
            return None;
        }
        self.plan.order().iter().copied().find(|n| {
            let after = &self.plan.nodes()[*n].after;
            matches!(self.slots[*n], Slot::Waiting)
                && after.iter().all(|b| self.fate(*b) == Some(Fate::Completed))
        })
    }

    /// Says of those that cannot begin any more that they do not.
    fn skip(&mut self) {
        for n in self.plan.order() {
            if !matches!(self.slots[*n], Slot::Waiting) {
                continue;
            }
            let nodes = self.plan.nodes();
            let failed = nodes[*n].after.iter().find(|before| {
                self.fate(**before)
                    .is_some_and(|fate| fate != Fate::Completed)
            });
            let why = match (failed, self.stopped) {
                (Some(before), _) => format!("it comes after '{}'", nodes[*before].name),
                (None, true) => "the run was stopped".to_owned(),
                (None, false) => continue,
            };
            self.slots[*n] = Slot::Ended(Outcome {
                name: nodes[*n].name.to_string(),
                agent: None,
                fate: Fate::Skipped,
                why: Some(why),
                attempts: 0,
                report: None,
                earlier: Vec::new(),
            });
        }
    }

    fn writes(&self, node: &Node) -> bool {
        let kind = self.manager.catalog().get(&node.agent_type);
        let wanted = kind.ok().and_then(|kind| kind.bounds.profile);
        let own = self.main.rights.policy().profile();
        let profile = [wanted, node.profile]
            .into_iter()
            .flatten()
            .fold(own, SecurityProfile::narrow);
        matches!(
            profile,
            SecurityProfile::WorkspaceWrite | SecurityProfile::Trusted
        )
    }

    /// Takes over what has ended, in the plan's order: an agent's changes wait for those of every
    /// writer before it.
    async fn take_over(&mut self) {
        for n in self.plan.order() {
            let writes = self.writes(&self.plan.nodes()[*n]);
            if !matches!(self.slots[*n], Slot::Done(_)) {
                if writes && !matches!(self.slots[*n], Slot::Ended(_)) && !self.stopped {
                    // What comes later and writes has to wait for it; what only reads need not.
                    self.end_readers();
                    return;
                }
                continue;
            }
            let Slot::Done(mut outcome) = std::mem::replace(&mut self.slots[*n], Slot::Working)
            else {
                continue;
            };
            self.merge(&mut outcome).await;
            self.slots[*n] = Slot::Ended(outcome);
        }
    }

    fn end_readers(&mut self) {
        for n in 0..self.slots.len() {
            if self.writes(&self.plan.nodes()[n]) {
                continue;
            }
            match std::mem::replace(&mut self.slots[n], Slot::Working) {
                Slot::Done(outcome) => self.slots[n] = Slot::Ended(outcome),
                other => self.slots[n] = other,
            }
        }
    }

    async fn merge(&self, outcome: &mut Outcome) {
        let Some(path) = &outcome.agent else { return };
        let take = match outcome.fate {
            Fate::Completed => Take::Over,
            _ => Take::Keep,
        };
        let on_behalf = &self.main.permissions;
        let merged = self.manager.take_over(on_behalf, path, take).await;
        let conflicts = merged.as_ref().is_some_and(|merged| merged.kept.is_some());
        if outcome.fate == Fate::Completed && conflicts {
            outcome.fate = Fate::Conflicted;
            outcome.why = Some("its changes do not fit what others changed".to_owned());
        }
        if let (Some(report), Some(merged)) = (&mut outcome.report, merged) {
            report.merged = Some(merged);
        }
    }

    fn has_failed(&self) -> bool {
        self.slots.iter().any(|slot| match slot {
            Slot::Done(outcome) | Slot::Ended(outcome) => {
                !matches!(outcome.fate, Fate::Completed | Fate::Skipped)
            }
            _ => false,
        })
    }

    /// The task of an agent, with what those before it reported.
    fn input(&self, n: usize) -> String {
        let node = &self.plan.nodes()[n];
        let mut text = node.task.clone();
        for before in &node.after {
            let Slot::Ended(outcome) = &self.slots[*before] else {
                continue;
            };
            let message = outcome.report.as_ref().and_then(|r| r.message.as_deref());
            text.push_str(&format!(
                "\n\n[The agent '{}' did its task before you, and reported:]\n{}",
                outcome.name,
                bounded(message.unwrap_or("(nothing)"), SUMMARY)
            ));
        }
        text
    }

    fn outcomes(self) -> Vec<Outcome> {
        let ended = self.slots.into_iter().filter_map(|slot| match slot {
            Slot::Done(outcome) | Slot::Ended(outcome) => Some(outcome),
            Slot::Waiting | Slot::Working => None,
        });
        ended.collect()
    }
}

/// What is said of an agent whose task here broke down.
fn broken(name: String) -> Outcome {
    Outcome {
        name,
        agent: None,
        fate: Fate::Failed,
        why: Some("codex itself failed here; please report it".to_owned()),
        attempts: 1,
        report: None,
        earlier: Vec::new(),
    }
}

/// Begins an agent's task, and again while it fails and may.
async fn attempts(
    manager: Arc<SubAgentManager>,
    main: Standing,
    node: Node,
    task: String,
) -> Outcome {
    let mut outcome = Outcome {
        name: node.name.to_string(),
        agent: None,
        fate: Fate::Failed,
        why: None,
        attempts: 0,
        report: None,
        earlier: Vec::new(),
    };
    let kind = match manager.catalog().get(&node.agent_type) {
        Ok(kind) => kind.clone(),
        Err(why) => {
            outcome.why = Some(why);
            return outcome;
        }
    };
    while outcome.attempts <= node.retries {
        if outcome.attempts > 0
            && let Some(path) = &outcome.agent
        {
            // The attempt's changes are its own, and the next one begins without them.
            let kept = manager.take_over(&main.permissions, path, Take::Keep).await;
            let told = outcome.report.take().and_then(|report| report.merged);
            let kept = kept.or(told).and_then(|merged| merged.kept);
            outcome.earlier.extend(kept);
        }
        outcome.attempts += 1;
        let request = SpawnRequest {
            name: node.name.clone(),
            definition: kind.definition.clone(),
            bounds: kind.bounds.clone(),
            asked: RightsRequest {
                profile: node.profile,
                budget: node.budget,
                ..RightsRequest::default()
            },
            task: task.clone(),
            writes: Writes::ApartUntilTaken,
        };
        let agent = match manager.spawn(&main, request).await {
            Ok(agent) => agent,
            Err(error) => {
                outcome.why = Some(error.to_string());
                if let SpawnError::NoRecord(error) = error {
                    manager.fail(&codex_protocol::tool::Fatal(error));
                }
                return outcome;
            }
        };
        outcome.agent = Some(agent.path().clone());
        agent.done().await;
        // Its place is free for the next; its worktree stays until it is taken over.
        manager.end(agent.path()).await;
        let failed = manager.collect(&main.permissions, agent.path()).await;
        outcome.report = agent.report();
        let how = outcome.report.as_ref().map(|report| report.how.clone());
        (outcome.fate, outcome.why) = match how {
            Some(Ended::Completed) => (Fate::Completed, None),
            Some(Ended::Failed { why }) => (Fate::Failed, Some(why)),
            Some(Ended::Interrupted) | None => (Fate::Interrupted, None),
        };
        if let Some(failed) = failed {
            if outcome.fate == Fate::Completed {
                outcome.fate = Fate::Conflicted;
                outcome.why = Some("its changes could not be looked at".to_owned());
            }
            if let Some(report) = &mut outcome.report {
                report.merged = Some(failed);
            }
        }
        if outcome.fate != Fate::Failed || main.cancel.is_cancelled() {
            break;
        }
    }
    outcome
}
