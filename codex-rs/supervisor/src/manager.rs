//! Starts sub-agents, keeps account of them, and ends them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use codex_core::command::Workbench;
use codex_core::session::{DEFAULT_REQUESTS, Session, TurnLimits};
use codex_protocol::decision::{Rule, rule};
use codex_protocol::event::ItemDetails;
use codex_protocol::gate::Authorized;
use codex_protocol::ids::SessionId;
use codex_protocol::ids::{AgentType, TaskId};
use codex_protocol::model::Content;
use codex_protocol::operation::{Evidence, Operation, Outcome};
use codex_protocol::permission::{Items, NotPermitted, Permissions};
use codex_protocol::record::{Entry, RecordError, Recorder, Subject};
use codex_protocol::request::{AgentSpawn, Requested as _};
use codex_protocol::tool::{Fatal, Tool};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::agent::{AgentSink, Face, SubAgent, Work};
use crate::apart::Place;
use crate::approvals::{AgentApprover, Approvals};
use crate::budget::Ledger;
use crate::catalog::Catalog;
use crate::definitions::AgentDefinition;
use crate::limits::{Limits, Slot, Slots, Turnstiles};
use crate::mailbox::{Mailbox, Sender, mailbox};
use crate::message::Message;
use crate::metered::{GatedTool, MeteredModel, STARTS_COMMANDS};
use crate::narrow::{Refusal, Rights, RightsRequest};
use crate::outfit::{Order, Outfitter, Watcher};
use crate::path::{AgentName, AgentPath};
use crate::report::bounded;
use crate::restart::RestartPolicy;
use crate::tools;
use crate::worktree::Worktree;

/// How long agents have to end once they are told to: their turns end at once, their commands are
/// killed with all they started, and each end is recorded. What takes longer is dropped, which ends
/// its commands as well.
pub const CLEAN_UP: Duration = Duration::from_secs(5);

/// How many agents that have ended are still listed.
const MOST_LISTED: usize = 256;

/// How much of a task is shown in lists, in bytes.
const SHOWN_TASK: usize = 120;

/// What a manager works with.
pub struct Equipment {
    /// Makes sessions.
    pub outfitter: Arc<dyn Outfitter>,
    /// Is told what happens.
    pub watcher: Arc<dyn Watcher>,
    /// The log.
    pub recorder: Arc<dyn Recorder>,
    /// Takes agents' questions to whoever answers them.
    pub approvals: Arc<Approvals>,
    /// What commands of the run have in common.
    pub workbench: Arc<Workbench>,
    /// The types of agents.
    pub catalog: Catalog,
    /// How many, how deep.
    pub limits: Limits,
    /// What follows a failed turn.
    pub restarts: RestartPolicy,
}

/// What an agent has that starts others.
#[derive(Clone)]
pub struct Standing {
    /// Where it stands.
    pub path: AgentPath,
    /// What it may do.
    pub rights: Rights,
    /// What its acts are asked of, and recorded as.
    pub permissions: Permissions,
    /// What it may use up.
    pub ledger: Arc<Ledger>,
    /// Ends it, and with it all below it.
    pub cancel: CancellationToken,
    /// Where messages to it go.
    pub inbox: Sender<Message>,
    /// Where messages to its parent go, if it has one.
    pub parent_inbox: Option<Sender<Message>>,
}

/// A sub-agent to be started.
pub struct SpawnRequest {
    /// What it is called; numbered where another of its parent's has that name.
    pub name: AgentName,
    /// Its type.
    pub definition: AgentDefinition,
    /// The most that its type gets: it starts with what its parent has of that.
    pub bounds: RightsRequest,
    /// What whoever starts it asked for by name: all of it or no agent.
    pub asked: RightsRequest,
    /// What it is to do.
    pub task: String,
    /// Where an agent that writes does so.
    pub writes: Writes,
}

/// Where an agent that writes does so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writes {
    /// In a worktree of its own, taken over after each turn that ended well.
    Apart,
    /// The same, and whoever starts it takes its changes over.
    ApartUntilTaken,
    /// In its parent's workspace.
    InPlace,
}

/// What an agent has that may be started and is not at work yet.
struct Granted {
    path: AgentPath,
    authorized: Authorized<AgentSpawn>,
    ledger: Arc<Ledger>,
    slot: Slot,
    place: Place,
}

/// Why an agent was not started.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// It may not, for each of these reasons. They are recorded.
    #[error("{}", .0.join("; "))]
    Refused(Vec<String>),
    /// It cannot be.
    #[error("{0}")]
    Failed(String),
    /// The log cannot be written: the run has to end.
    #[error(transparent)]
    NoRecord(#[from] RecordError),
}

/// Starts sub-agents, keeps account of them, and ends them.
pub struct SubAgentManager {
    pub(crate) equipment: Equipment,
    slots: Slots,
    turnstiles: Turnstiles,
    pub(crate) roster: Mutex<BTreeMap<AgentPath, Listed>>,
    cancel: CancellationToken,
    /// One merge at a time, since each looks at the workspace first; what only looks at it may do so
    /// side by side.
    pub(crate) merging: tokio::sync::RwLock<()>,
    /// Why the whole run has to end.
    fatal: Mutex<Option<String>>,
}

pub(crate) struct Listed {
    pub(crate) agent: Arc<SubAgent>,
    pub(crate) worktree: Option<Arc<Worktree>>,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SubAgentManager {
    /// A manager whose agents all end when `cancel` is cancelled.
    #[must_use]
    pub fn new(equipment: Equipment, cancel: CancellationToken) -> Arc<Self> {
        Arc::new(Self {
            slots: Slots::new(equipment.limits.agents),
            turnstiles: Turnstiles::new(&equipment.limits),
            roster: Mutex::default(),
            merging: tokio::sync::RwLock::default(),
            fatal: Mutex::default(),
            equipment,
            cancel,
        })
    }

    /// The standing of the main agent, and its mailbox.
    #[must_use]
    pub fn main(
        &self,
        rights: Rights,
        permissions: Permissions,
        ledger: Arc<Ledger>,
    ) -> (Standing, Arc<Mailbox<Message>>) {
        let (inbox, mailbox) = self.mailbox();
        let standing = Standing {
            path: AgentPath::main(),
            rights,
            permissions,
            ledger,
            cancel: self.cancel.clone(),
            inbox,
            parent_inbox: None,
        };
        (standing, Arc::new(mailbox))
    }

    /// The limits in force.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.equipment.limits
    }

    /// The types of agents.
    #[must_use]
    pub fn catalog(&self) -> &Catalog {
        &self.equipment.catalog
    }

    /// How many agents there are, idle ones among them.
    #[must_use]
    pub fn active(&self) -> usize {
        self.slots.taken()
    }

    /// What all of the run's agents pass when they ask a model or start a command.
    #[must_use]
    pub fn turnstiles(&self) -> &Turnstiles {
        &self.turnstiles
    }

    /// Why the run has to end, if it has to: the log cannot be written.
    #[must_use]
    pub fn fatal(&self) -> Option<String> {
        lock(&self.fatal).clone()
    }

    pub(crate) fn restarts(&self) -> RestartPolicy {
        self.equipment.restarts
    }

    /// Ends the whole run: without a record nothing may be done.
    pub(crate) fn fail(&self, error: &Fatal) {
        lock(&self.fatal).get_or_insert_with(|| error.to_string());
        self.cancel.cancel();
    }

    fn mailbox(&self) -> (Sender<Message>, Mailbox<Message>) {
        mailbox(self.limits().mailbox, self.limits().when_full)
    }

    /// The agents below `path`, in the order of their paths.
    #[must_use]
    pub fn below(&self, path: &AgentPath) -> Vec<Arc<SubAgent>> {
        let roster = lock(&self.roster);
        let below = roster
            .iter()
            .filter(|(p, _)| p.is_within(path) && *p != path);
        below.map(|(_, listed)| Arc::clone(&listed.agent)).collect()
    }

    /// The agent at `path`.
    #[must_use]
    pub fn agent(&self, path: &AgentPath) -> Option<Arc<SubAgent>> {
        lock(&self.roster)
            .get(path)
            .map(|listed| Arc::clone(&listed.agent))
    }

    /// Starts an agent below `parent`. It is at work when this comes back.
    ///
    /// # Errors
    /// [`SpawnError`]: a refusal is recorded, for each right that was asked for and is not there.
    pub async fn spawn(
        self: &Arc<Self>,
        parent: &Standing,
        request: SpawnRequest,
    ) -> Result<Arc<SubAgent>, SpawnError> {
        let path = self.free_path(&parent.path, &request.name);
        let what = AgentSpawn {
            path: path.to_string(),
            agent_type: request.definition.name.clone(),
        };
        let refuse = |rule: Rule, why: &str| -> SpawnError {
            match parent.permissions.refuse(what.clone(), rule, why) {
                Ok(decision) => SpawnError::Refused(vec![decision.explanation()]),
                Err(error) => SpawnError::NoRecord(error),
            }
        };
        if self.cancel.is_cancelled() || parent.cancel.is_cancelled() {
            return Err(SpawnError::Failed("the run is about to end".to_owned()));
        }
        let most = self.limits().depth;
        if path.depth() > most {
            let why = format!(
                "agents stand {most} deep at most (its parent is {})",
                parent.path
            );
            return Err(refuse(rule::AGENT_LIMIT, &why));
        }
        let left = parent
            .ledger
            .left()
            .map_err(|e| refuse(rule::AGENT_LIMIT, &e.to_string()))?;
        let asked = parent.rights.clone().within(left).narrow(&request.asked);
        let asked_for = match asked.in_full() {
            Ok(rights) => rights,
            Err(refusals) => {
                let mut reasons = Vec::new();
                for refusal in &refusals {
                    reasons.push(self.record_refusal(&parent.permissions, refusal, &what)?);
                }
                return Err(SpawnError::Refused(reasons));
            }
        };
        let slot = self
            .slots
            .take()
            .map_err(|e| refuse(rule::AGENT_LIMIT, &e.to_string()))?;
        let wanted = request.bounds.budget.narrow(request.asked.budget);
        let parts = u32::try_from(self.limits().agents).unwrap_or(u32::MAX);
        let ledger = parent
            .ledger
            .divide(wanted, parts)
            .map_err(|e| refuse(rule::AGENT_LIMIT, &e.to_string()))?;

        // Before anything is made for it.
        let authorized = match parent.permissions.authorize(what).await {
            Ok(authorized) => authorized,
            Err(NotPermitted::Denied { decision, .. }) => {
                return Err(SpawnError::Refused(vec![decision.explanation()]));
            }
            Err(NotPermitted::NoRecord(error)) => return Err(error.into()),
        };
        let place = self.place(parent, &asked_for, &request, &path).await?;
        let worktree = place.worktree.clone();
        let granted = Granted {
            path,
            authorized,
            ledger,
            slot,
            place,
        };
        let begun = self.begin(parent, request, granted);
        if let (Err(_), Some(worktree)) = (&begun, worktree)
            && let Err(error) = worktree.remove(&parent.permissions).await
        {
            self.note(&error);
        }
        begun
    }

    /// Sets an agent to work that may be there and has its place.
    fn begin(
        self: &Arc<Self>,
        parent: &Standing,
        request: SpawnRequest,
        granted: Granted,
    ) -> Result<Arc<SubAgent>, SpawnError> {
        let Granted {
            path,
            authorized,
            ledger,
            slot,
            place,
        } = granted;
        let narrowed = place.rights.narrow(&place.bounds);
        let rights = narrowed.rights;
        for refusal in &narrowed.refused {
            self.record_refusal(&parent.permissions, refusal, authorized.request())?;
        }
        let session = SessionId::new(self.equipment.outfitter.new_id());
        let subject = Subject {
            session_id: session.clone(),
            task_id: TaskId::new(self.equipment.outfitter.new_id()),
            agent_type: AgentType::new(request.definition.name.clone()),
            profile: rights.policy().profile(),
        };
        let limit = ledger.limit();
        let detail = json!({
            "phase": "intent", "session_id": session.as_str(), "task_id": subject.task_id.as_str(),
            "parent": parent.path.as_str(), "profile": subject.profile.name(),
            "task": bounded(&request.task, 1000),
            "budget": { "turns": limit.turns, "tokens": limit.tokens, "seconds": limit.time.map(|t| t.as_secs()) },
            "narrowed": narrowed.refused.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "worktree": place.worktree.as_ref().map(|w| w.place().display().to_string()),
        });
        let spawned = parent.permissions.record(authorized, Some(detail))?;

        let face = Arc::new(Face::new(
            path.clone(),
            request.definition.name.clone(),
            Arc::clone(&self.equipment.watcher),
        ));
        let permissions = Permissions::new(
            rights.policy().clone(),
            subject,
            Arc::clone(&self.equipment.recorder),
            Arc::new(AgentApprover {
                face: Arc::clone(&face),
                approvals: Arc::clone(&self.equipment.approvals),
                turn: tokio::sync::Mutex::default(),
            }),
            Arc::new(Items::new(Arc::new(AgentSink(Arc::clone(&face))), 0)),
        );
        let order = Order {
            path: &path,
            definition: &request.definition,
            permissions: permissions.clone(),
            workbench: place.workbench,
        };
        let (inbox, mailbox) = self.mailbox();
        let mailbox = Arc::new(mailbox);
        let cancel = parent.cancel.child_token();
        let standing = Standing {
            path: path.clone(),
            rights,
            permissions: permissions.clone(),
            ledger: Arc::clone(&ledger),
            cancel: cancel.clone(),
            inbox: inbox.clone(),
            parent_inbox: Some(parent.inbox.clone()),
        };
        let failed = |why: String| -> SpawnError {
            let outcome = json!({ "failed": why });
            match parent.permissions.record_outcome(&spawned, outcome) {
                Ok(()) => SpawnError::Failed(why),
                Err(error) => SpawnError::NoRecord(error),
            }
        };
        let mut parts = self.equipment.outfitter.parts(order).map_err(failed)?;
        parts.tools = self.equip(parts.tools, &standing, &mailbox);
        parts.model = self.meter(parts.model, &ledger);
        parts.permissions = permissions;
        parts.limits = TurnLimits {
            requests: limit.turns.unwrap_or(DEFAULT_REQUESTS),
            tokens: None,
            time: None,
        };
        let session_at_work = Session::new(parts).map_err(|e| failed(e.to_string()))?;

        let (tasks, todo) = mpsc::channel(1);
        let agent = Arc::new(SubAgent {
            face,
            session,
            task: bounded(&request.task, SHOWN_TASK),
            inbox,
            tasks,
            cancel,
            abort: Mutex::default(),
        });
        self.list(&path, &agent, place.worktree.clone());
        let work = Work {
            agent: Arc::clone(&agent),
            session: session_at_work,
            mailbox,
            tasks: todo,
            ledger,
            slot,
            manager: Arc::clone(self),
            spawned,
            parent: parent.permissions.clone(),
            parent_inbox: parent.inbox.clone(),
            worktree: place.worktree.filter(|_| request.writes == Writes::Apart),
        };
        let first = vec![Content::Text { text: request.task }];
        // Told of as a part of the call that started it.
        let task = tokio::spawn(work.run(first).in_current_span());
        *lock(&agent.abort) = Some(task.abort_handle());
        Ok(agent)
    }

    /// `model` as an agent with this account gets it.
    #[must_use]
    pub fn meter(
        &self,
        model: Box<dyn codex_protocol::model::Model>,
        ledger: &Arc<Ledger>,
    ) -> Box<dyn codex_protocol::model::Model> {
        let turnstile = Arc::clone(&self.turnstiles.model_calls);
        Box::new(MeteredModel::new(model, turnstile, Arc::clone(ledger)))
    }

    /// The tools that an agent of this standing gets: those of `offered` that are its own, behind
    /// the turnstile where they start commands, and those for agents of its own.
    #[must_use]
    pub fn equip(
        self: &Arc<Self>,
        offered: Vec<Box<dyn Tool>>,
        standing: &Standing,
        mailbox: &Arc<Mailbox<Message>>,
    ) -> Vec<Box<dyn Tool>> {
        let own = standing.rights.tools().clone();
        let mut equipped: Vec<Box<dyn Tool>> = offered
            .into_iter()
            .filter(|tool| own.holds(&tool.spec().name))
            .map(|tool| {
                let starts = STARTS_COMMANDS.contains(&tool.spec().name.as_str());
                if starts {
                    let turnstile = Arc::clone(&self.turnstiles.commands);
                    Box::new(GatedTool::new(tool, turnstile)) as Box<dyn Tool>
                } else {
                    tool
                }
            })
            .collect();
        let may_start = standing.path.depth() < self.limits().depth;
        let for_agents = tools::for_agents(self, standing, may_start);
        equipped.extend(
            for_agents
                .into_iter()
                // Whatever its tools are, an agent may tell its parent something.
                .filter(|tool| own.holds(&tool.spec().name) || tool.spec().name == "send_message"),
        );
        tools::reading(equipped, mailbox)
    }

    /// Ends every agent below `path` and waits until nothing of them is left, for [`CLEAN_UP`] at
    /// most before what is left is dropped.
    pub async fn end_below(&self, path: &AgentPath) {
        self.end_all(self.below(path)).await;
    }

    /// Ends the agent at `path`, and those below it, as [`SubAgentManager::end_below`] does.
    pub async fn end(&self, path: &AgentPath) {
        let mut agents = self.below(path);
        agents.extend(self.agent(path));
        self.end_all(agents).await;
    }

    async fn end_all(&self, agents: Vec<Arc<SubAgent>>) {
        for agent in &agents {
            agent.cancel();
        }
        let all = async {
            for agent in &agents {
                agent.closed().await;
            }
        };
        if tokio::time::timeout(CLEAN_UP, all).await.is_err() {
            for agent in &agents {
                agent.abort();
            }
            for agent in &agents {
                agent.closed().await;
            }
        }
    }

    /// Ends every agent, and takes away the worktrees. Says why the run has to count as failed, if
    /// it has to.
    ///
    /// # Errors
    /// When the log could not be written.
    pub async fn shut_down(&self, main: &Standing) -> Result<(), String> {
        self.end_below(&AgentPath::main()).await;
        let listed: Vec<_> = lock(&self.roster)
            .values_mut()
            .filter_map(|listed| listed.worktree.take())
            .collect();
        for worktree in listed {
            // Without it being taken away the run is done all the same: it lies in a directory that
            // goes with the run. Not so without a record.
            if let Err(error) = worktree.remove(&main.permissions).await {
                self.note(&error);
            }
        }
        self.fatal().map_or(Ok(()), Err)
    }

    /// Writes down what befell an agent, on behalf of whoever it belongs to.
    pub(crate) fn record(
        &self,
        on_behalf: &Permissions,
        path: &AgentPath,
        rule: Rule,
        outcome: Outcome,
        why: &str,
        detail: Option<Value>,
    ) -> Result<(), RecordError> {
        let subject = on_behalf.subject().clone();
        let entry = Entry {
            operation: Operation::AgentSpawn,
            target: path.to_string(),
            outcome,
            reason: format!("{} profile: {why}", subject.profile),
            rule: rule.0.to_owned(),
            evidence: Evidence::Declared,
            pid: None,
            exe: None,
            count: None,
            detail,
            subject,
        };
        on_behalf.recorder().append(&entry).map(drop)
    }

    /// Records and shows that a right was refused; gives the reason.
    fn record_refusal(
        &self,
        on_behalf: &Permissions,
        refusal: &Refusal,
        what: &AgentSpawn,
    ) -> Result<String, RecordError> {
        let target = what.view().target();
        let entry = refusal.entry(on_behalf.subject(), &target);
        let receipt = on_behalf.recorder().append(&entry)?;
        let reason = on_behalf.recorder().mask(&entry.reason);
        let notice = ItemDetails::PolicyDecision {
            operation: entry.operation.to_string(),
            target: on_behalf.recorder().mask(&target),
            decision: entry.outcome.to_string(),
            reason: reason.clone(),
            rule: entry.rule,
            evidence: entry.evidence.to_string(),
            audit_seq: receipt.seq,
        };
        let items = on_behalf.items();
        items.completed(items.new_id(), notice);
        Ok(reason)
    }

    fn free_path(&self, parent: &AgentPath, name: &AgentName) -> AgentPath {
        let roster = lock(&self.roster);
        let first = parent.child(name);
        if !roster.contains_key(&first) {
            return first;
        }
        (2..)
            .map(|number| parent.child(&name.numbered(number)))
            .find(|path| !roster.contains_key(path))
            .unwrap_or(first)
    }

    fn list(&self, path: &AgentPath, agent: &Arc<SubAgent>, worktree: Option<Arc<Worktree>>) {
        let mut roster = lock(&self.roster);
        if roster.len() >= MOST_LISTED {
            // One whose worktree is still there is needed for taking it away.
            let ended =
                |l: &Listed| l.agent.state() == crate::state::State::Closed && l.worktree.is_none();
            let oldest = roster
                .iter()
                .filter(|(_, listed)| ended(listed))
                .min_by(|(_, a), (_, b)| a.agent.session().cmp(b.agent.session()))
                .map(|(path, _)| path.clone());
            if let Some(oldest) = oldest {
                roster.remove(&oldest);
            }
        }
        let agent = Arc::clone(agent);
        roster.insert(path.clone(), Listed { agent, worktree });
    }
}
