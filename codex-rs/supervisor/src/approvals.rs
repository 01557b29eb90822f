//! Questions of a run's agents to whoever answers for the run.
//!
//! A question is an event of the agent that asks, with an id; the answer comes back by that id, to
//! the one who asked. Each agent asks one question at a time, so that there are never more open ones
//! than agents, and no queue that an answer could get lost in.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use codex_protocol::approval::{Answer, Approver, Question};
use codex_protocol::event::{ApprovalRequest, Event, Resolution};
use codex_protocol::tool::BoxFuture;
use tokio::sync::oneshot;

use crate::agent::Face;
use crate::state::State;

/// How long a question stays open: as long as a person may be away for a moment.
pub const PATIENCE: Duration = Duration::from_mins(10);

/// The open questions of a run's agents.
#[derive(Debug)]
pub struct Approvals {
    /// `None` where nobody can be asked.
    patience: Option<Duration>,
    asked: AtomicU64,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    questions: BTreeMap<String, oneshot::Sender<Answer>>,
    /// Whoever answered has gone.
    closed: bool,
}

/// There is no open question with this id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no question '{0}' is open: it is answered, its time is up, or whoever asked has ended")]
pub struct NotOpen(pub String);

impl Approvals {
    /// Nobody can be asked: what would ask is denied at once.
    #[must_use]
    pub fn nobody() -> Arc<Self> {
        Self::with(None)
    }

    /// A question waits so long for its answer, and is a denial then.
    #[must_use]
    pub fn within(patience: Duration) -> Arc<Self> {
        Self::with(Some(patience))
    }

    fn with(patience: Option<Duration>) -> Arc<Self> {
        Arc::new(Self {
            patience,
            asked: AtomicU64::new(0),
            open: Mutex::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers the question with this id.
    ///
    /// # Errors
    /// [`NotOpen`] where nobody waits for it any more: the answer has no effect.
    pub fn answer(&self, id: &str, answer: Answer) -> Result<(), NotOpen> {
        let question = self.lock().questions.remove(id);
        let given = question.and_then(|question| question.send(answer).ok());
        given.ok_or_else(|| NotOpen(id.to_owned()))
    }

    /// The ids of the questions that wait for an answer.
    #[must_use]
    pub fn open(&self) -> Vec<String> {
        self.lock().questions.keys().cloned().collect()
    }

    /// Whoever answered has gone: what waits and what would ask from now on is denied.
    pub fn close(&self) {
        let mut open = self.lock();
        open.closed = true;
        open.questions.clear();
    }

    /// Opens a question; `None` where nobody can be asked.
    fn ask(&self) -> Option<(String, Duration, oneshot::Receiver<Answer>)> {
        let patience = self.patience?;
        let mut open = self.lock();
        if open.closed {
            return None;
        }
        let id = format!("approval_{}", self.asked.fetch_add(1, Ordering::Relaxed));
        let (question, answer) = oneshot::channel();
        open.questions.insert(id.clone(), question);
        Some((id, patience, answer))
    }
}

/// One agent's way to whoever answers for the run: one question at a time, and its state shows that
/// it waits.
pub(crate) struct AgentApprover {
    pub(crate) face: Arc<Face>,
    pub(crate) approvals: Arc<Approvals>,
    pub(crate) turn: tokio::sync::Mutex<()>,
}

/// A question that an agent waits with. It ends with its turn as well, also where that is dropped in
/// the middle of it.
struct Waiting<'a> {
    of: &'a AgentApprover,
    id: String,
    resolution: Resolution,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.of.approvals.lock().questions.remove(&self.id);
        let face = &self.of.face;
        face.watcher.event(
            &face.path,
            Event::ApprovalResolved {
                id: std::mem::take(&mut self.id),
                resolution: self.resolution,
            },
        );
        if face.state.get() == State::WaitingForApproval {
            face.enter(State::Running);
        }
    }
}

impl Approver for AgentApprover {
    fn ask(&self, question: Question) -> BoxFuture<'_, Answer> {
        Box::pin(async move {
            let _one_at_a_time = self.turn.lock().await;
            let Some((id, patience, answer)) = self.approvals.ask() else {
                return Answer::Nobody;
            };
            let mut waiting = Waiting {
                of: self,
                id: id.clone(),
                resolution: Resolution::Withdrawn,
            };
            self.face.enter(State::WaitingForApproval);
            let approval = ApprovalRequest {
                id,
                operation: question.operation.to_string(),
                target: question.target,
                reason: question.reason,
                lasting: question.lasting,
                seconds: patience.as_secs(),
            };
            let event = Event::ApprovalRequested { approval };
            self.face.watcher.event(&self.face.path, event);
            let (answer, resolution) = match tokio::time::timeout(patience, answer).await {
                Ok(Ok(answer)) => (answer, Resolution::Answered),
                // Whoever answered has gone, or was not there in time.
                Ok(Err(_)) | Err(_) => (Answer::Unanswered, Resolution::Unanswered),
            };
            waiting.resolution = resolution;
            answer
        })
    }
}
