//! One sub-agent: what others see of it, and the task that does its work.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use codex_core::session::{Session, TurnError};
use codex_protocol::event::{ChangeKind, Event, EventSink, ItemDetails, Status};
use codex_protocol::ids::SessionId;
use codex_protocol::model::Content;
use codex_protocol::operation::Outcome;
use codex_protocol::permission::Permissions;
use codex_protocol::record::Recorded;
use codex_protocol::request::AgentSpawn;
use codex_protocol::tool::Fatal;
use codex_protocol::{decision::rule, gate::Authorized};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::budget::Ledger;
use crate::limits::Slot;
use crate::mailbox::{Mailbox, Sender};
use crate::manager::SubAgentManager;
use crate::message::{self, Message};
use crate::outfit::Watcher;
use crate::path::AgentPath;
use crate::report::{Ended, Report};
use crate::state::{State, StateCell};
use crate::worktree::{Take, Worktree};

/// How many changed files a report names.
const MOST_CHANGES: usize = 200;

/// What is told of an agent, and to whom.
pub(crate) struct Face {
    pub(crate) path: AgentPath,
    pub(crate) agent_type: String,
    pub(crate) state: StateCell,
    pub(crate) watcher: Arc<dyn Watcher>,
    denials: AtomicU64,
    changes: Mutex<BTreeSet<String>>,
    report: Mutex<Option<Report>>,
}

impl Face {
    pub(crate) fn new(path: AgentPath, agent_type: String, watcher: Arc<dyn Watcher>) -> Self {
        Self {
            path,
            agent_type,
            state: StateCell::default(),
            watcher,
            denials: AtomicU64::new(0),
            changes: Mutex::default(),
            report: Mutex::default(),
        }
    }

    /// Comes into a state, where the agent may, and tells.
    pub(crate) fn enter(&self, state: State) {
        if self.state.set(state) {
            let report = (!state.is_at_work() && state != State::Closed)
                .then(|| self.report())
                .flatten();
            self.watcher
                .state(&self.path, &self.agent_type, state, report.as_ref());
        }
    }

    fn report(&self) -> Option<Report> {
        lock(&self.report).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An agent's events on their way to whoever watches; what its report counts is counted here.
pub(crate) struct AgentSink(pub(crate) Arc<Face>);

impl EventSink for AgentSink {
    fn emit(&self, event: Event) {
        if let Event::ItemCompleted { item } = &event {
            match &item.details {
                ItemDetails::PolicyDecision { decision, .. }
                    if *decision == Outcome::Denied.as_str() =>
                {
                    self.0.denials.fetch_add(1, Ordering::Relaxed);
                }
                ItemDetails::FileChange {
                    changes,
                    status: Status::Completed,
                } => {
                    let mut known = lock(&self.0.changes);
                    for change in changes {
                        let sign = match change.kind {
                            ChangeKind::Add => '+',
                            ChangeKind::Delete => '-',
                            ChangeKind::Update => '~',
                        };
                        if known.len() < MOST_CHANGES {
                            known.insert(format!("{sign} {}", change.path));
                        }
                    }
                }
                _ => {}
            }
        }
        self.0.watcher.event(&self.0.path, event);
    }
}

/// A sub-agent, as its parent and the person see it.
pub struct SubAgent {
    pub(crate) face: Arc<Face>,
    pub(crate) session: SessionId,
    pub(crate) task: String,
    pub(crate) inbox: Sender<Message>,
    pub(crate) tasks: mpsc::Sender<Vec<Content>>,
    pub(crate) cancel: CancellationToken,
    pub(crate) abort: Mutex<Option<AbortHandle>>,
}

/// An agent that has no use for another task now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the agent is {0}: another task is for one that has completed or failed its last")]
pub struct NotIdle(pub State);

impl SubAgent {
    /// Where it stands.
    #[must_use]
    pub fn path(&self) -> &AgentPath {
        &self.face.path
    }

    /// Its type.
    #[must_use]
    pub fn agent_type(&self) -> &str {
        &self.face.agent_type
    }

    /// The beginning of its first task.
    #[must_use]
    pub fn task(&self) -> &str {
        &self.task
    }

    /// What it is doing.
    #[must_use]
    pub fn state(&self) -> State {
        self.face.state.get()
    }

    /// What its last turn came to.
    #[must_use]
    pub fn report(&self) -> Option<Report> {
        self.face.report()
    }

    /// Where messages to it go.
    #[must_use]
    pub fn inbox(&self) -> &Sender<Message> {
        &self.inbox
    }

    /// Its session's id.
    #[must_use]
    pub fn session(&self) -> &SessionId {
        &self.session
    }

    /// Waits until no turn of it goes on, and gives the state it is in then.
    pub async fn done(&self) -> State {
        self.face.state.until(|state| !state.is_at_work()).await
    }

    /// Waits until nothing of it is left at work.
    pub async fn closed(&self) {
        self.face.state.until(|state| state == State::Closed).await;
    }

    /// Gives it another task, after the one it has done.
    ///
    /// # Errors
    /// [`NotIdle`] while it works, and when it has ended.
    pub fn follow_up(&self, task: Vec<Content>) -> Result<(), NotIdle> {
        let state = self.state();
        if !matches!(state, State::Completed | State::Failed) || self.cancel.is_cancelled() {
            return Err(NotIdle(state));
        }
        self.tasks.try_send(task).map_err(|_| NotIdle(state))?;
        // At once, so that whoever waits for it from now on waits for this task.
        self.face.enter(State::Running);
        Ok(())
    }

    /// Ends it: its turn, its children, and all that they started. Saying so once is enough, and
    /// cannot fail; [`SubAgent::closed`] waits until it is done.
    pub fn cancel(&self) {
        self.cancel.cancel();
    }

    pub(crate) fn abort(&self) {
        if let Some(handle) = lock(&self.abort).take() {
            handle.abort();
        }
    }
}

/// Leaves the agent closed whatever happens to its task: a broken invariant that unwinds, or a
/// task that is dropped because it did not end in time.
struct AtTheEnd(Arc<Face>);

impl Drop for AtTheEnd {
    fn drop(&mut self) {
        let state = self.0.state.get();
        if state == State::Closed {
            return;
        }
        if state.is_at_work() {
            let mut report = lock(&self.0.report);
            if let Some(report) = report.as_mut() {
                report.how = Ended::Interrupted;
            }
            drop(report);
            self.0.enter(State::Interrupted);
        }
        self.0.enter(State::Closed);
    }
}

/// The work of one agent.
pub(crate) struct Work {
    pub(crate) agent: Arc<SubAgent>,
    pub(crate) session: Session,
    pub(crate) mailbox: Arc<Mailbox<Message>>,
    pub(crate) tasks: mpsc::Receiver<Vec<Content>>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) slot: Slot,
    pub(crate) manager: Arc<SubAgentManager>,
    /// The permission to be there, and whose record takes the outcome.
    pub(crate) spawned: Recorded<Authorized<AgentSpawn>>,
    pub(crate) parent: Permissions,
    pub(crate) parent_inbox: Sender<Message>,
    /// A place of its own whose changes are merged after each turn that ended well.
    pub(crate) worktree: Option<Arc<Worktree>>,
}

impl Work {
    pub(crate) async fn run(mut self, first: Vec<Content>) {
        let face = Arc::clone(&self.agent.face);
        let end = AtTheEnd(Arc::clone(&face));
        let mut input = Some(first);
        while let Some(content) = input.take() {
            if self.agent.cancel.is_cancelled() {
                break;
            }
            face.enter(State::Running);
            let report = self.turn(content).await;
            let state = match &report.how {
                Ended::Completed => State::Completed,
                Ended::Failed { .. } => State::Failed,
                Ended::Interrupted => State::Interrupted,
            };
            self.tell_parent(&report);
            *lock(&face.report) = Some(report);
            face.enter(state);
            if state == State::Interrupted {
                break;
            }
            input = tokio::select! {
                biased;
                () = self.agent.cancel.cancelled() => None,
                task = self.tasks.recv() => task,
            };
        }
        self.clean_up(&face).await;
        drop(end);
    }

    /// Ends what is left: children first, then what the session's own calls started.
    async fn clean_up(self, face: &Face) {
        let was_at_work = face.state.get().is_at_work();
        if was_at_work || face.state.get() == State::Interrupted {
            let why = "ended before it was done";
            let told = self.manager.record(
                &self.parent,
                &face.path,
                rule::AGENT_CANCEL,
                Outcome::Denied,
                why,
                None,
            );
            self.note_fatal(told.map_err(Fatal));
        }
        if was_at_work {
            face.enter(State::Interrupted);
        }
        self.agent.cancel.cancel();
        self.manager.end_below(&face.path).await;
        self.mailbox.close();
        let (_, ended) = self.session.end().await;
        let counts = self.mailbox.counts();
        let spent = self.ledger.spent();
        let how = face.report().map(|report| report.how);
        let outcome = json!({
            "last_turn": how, "turns": spent.turns, "tokens": spent.tokens,
            "denials": face.denials.load(Ordering::Relaxed), "messages": counts,
        });
        let recorded = self.parent.record_outcome(&self.spawned, outcome);
        for error in [ended.err(), recorded.err().map(Fatal)]
            .into_iter()
            .flatten()
        {
            self.manager.fail(&error);
        }
        drop(self.slot);
        face.enter(State::Closed);
    }

    fn note_fatal(&self, told: Result<(), Fatal>) {
        if let Err(error) = told {
            self.manager.fail(&error);
        }
    }

    /// Tells the parent of a failure it may not be waiting for. That its mailbox is full takes
    /// nothing away: the state and the report say so too.
    fn tell_parent(&self, report: &Report) {
        if let Ended::Failed { why } = &report.how {
            let text = format!("this agent has failed: {why}");
            let told = Message::new(self.agent.path().clone(), &text);
            self.parent_inbox.send_if_room(told);
        }
    }

    async fn turn(&mut self, content: Vec<Content>) -> Report {
        let begun = Instant::now();
        let restart = self.manager.restarts();
        let mut input = message::drained(&self.mailbox);
        input.extend(content);
        let mut restarts = 0;
        let mut message = None;
        let how = loop {
            match self.within_time(input).await {
                Some(Ok(said)) => {
                    message = said;
                    break Ended::Completed;
                }
                Some(Err(TurnError::Interrupted)) => break Ended::Interrupted,
                Some(Err(TurnError::NoRecord(error))) => {
                    let why = error.to_string();
                    self.manager.fail(&Fatal(error));
                    break Ended::Failed { why };
                }
                Some(Err(error)) => {
                    let Some(wait) = restart.wait(&error, restarts) else {
                        let why = error.to_string();
                        break Ended::Failed { why };
                    };
                    restarts += 1;
                    let waited = tokio::select! {
                        biased;
                        () = self.agent.cancel.cancelled() => false,
                        () = tokio::time::sleep(wait) => true,
                    };
                    if !waited {
                        break Ended::Interrupted;
                    }
                    let text = format!(
                        "[The connection to the model failed: {error}. It is tried again. Every call above has its \
                         answer; go on from where you stopped.]"
                    );
                    input = vec![Content::Text { text }];
                }
                None => {
                    let why = "its time is used up".to_owned();
                    break Ended::Failed { why };
                }
            }
        };
        let face = &self.agent.face;
        let mut report = Report {
            how,
            message,
            spent: self.ledger.spent(),
            time: begun.elapsed(),
            denials: face.denials.load(Ordering::Relaxed),
            restarts,
            changes: lock(&face.changes).iter().cloned().collect(),
            merged: None,
            session: self.agent.session.to_string(),
        };
        if let Some(worktree) = &self.worktree {
            let take = match report.how {
                Ended::Completed => Take::Over,
                // What an agent did before it failed is not taken over, and not lost.
                Ended::Failed { .. } | Ended::Interrupted => Take::Keep,
            };
            report.merged = self
                .manager
                .merge(&self.parent, self.agent.path(), worktree, take)
                .await;
            report.time = begun.elapsed();
        }
        report
    }

    /// A turn that ends when the agent's time is up, which is `None`.
    async fn within_time(
        &mut self,
        input: Vec<Content>,
    ) -> Option<Result<Option<String>, TurnError>> {
        let stop = self.agent.cancel.child_token();
        let deadline = self.ledger.deadline();
        let turn = self.session.turn(input, &stop);
        tokio::pin!(turn);
        let time_up = async {
            match deadline {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            ended = &mut turn => Some(ended.map(|end| end.message)),
            () = time_up => {
                stop.cancel();
                // Answers every open call, so that the conversation can be gone on with.
                let _ = turn.await;
                None
            }
        }
    }
}
