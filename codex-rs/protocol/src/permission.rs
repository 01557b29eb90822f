//! The way of a request from a tool to its permission: the gate, a person where the gate asks,
//! the log, and the front end's notice, in this order and in one place.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

pub use crate::approval::{Answer, Approver, Keeper, NeverAsk, Question};
use crate::approval::{Approvals, Forgets};
use crate::decision::{Decision, Effect, Rule};
use crate::event::{Event, EventSink, ItemDetails, ThreadItem};
use crate::gate::{self, Authorized, Pending, Refused, Verdict};
use crate::operation::{Evidence, Operation, Outcome};
use crate::policy::Policy;
use crate::record::{
    Attempt, Entry, Observation, Receipt, RecordError, Recorded, Recorder, Subject,
};
use crate::request::Requested;

/// Numbers the steps of a session and hands them to its front end.
pub struct Items {
    sink: Arc<dyn EventSink>,
    next: AtomicU64,
}

impl Items {
    /// Steps are numbered from `first`, so that a resumed session goes on counting.
    pub fn new(sink: Arc<dyn EventSink>, first: u64) -> Self {
        Self {
            sink,
            next: AtomicU64::new(first),
        }
    }

    /// A new step's id.
    pub fn new_id(&self) -> String {
        format!("item_{}", self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// How many steps have been numbered, those of earlier runs included.
    pub fn count(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }

    /// Announces a step that goes on, and gives its id.
    pub fn started(&self, details: ItemDetails) -> String {
        let id = self.new_id();
        self.sink.emit(Event::ItemStarted {
            item: ThreadItem {
                id: id.clone(),
                details,
            },
        });
        id
    }

    /// Announces how far a step is.
    pub fn updated(&self, id: String, details: ItemDetails) {
        self.sink.emit(Event::ItemUpdated {
            item: ThreadItem { id, details },
        });
    }

    /// Announces how a step ended.
    pub fn completed(&self, id: String, details: ItemDetails) {
        self.sink.emit(Event::ItemCompleted {
            item: ThreadItem { id, details },
        });
    }

    /// Announces anything else.
    pub fn emit(&self, event: Event) {
        self.sink.emit(event);
    }
}

/// A request that got no permission.
#[derive(Debug)]
pub enum NotPermitted {
    /// The gate or a person said no; it is recorded, and the run goes on.
    Denied {
        /// Why, and what would allow it.
        decision: Decision,
        /// Where it stands in the log.
        seq: Option<u64>,
    },
    /// The log cannot be written; the run must end.
    NoRecord(RecordError),
}

impl From<RecordError> for NotPermitted {
    fn from(error: RecordError) -> Self {
        Self::NoRecord(error)
    }
}

/// What tools ask before they act. A clone has the same rights, log and steps: it is for work that
/// outlasts a call.
#[derive(Clone)]
pub struct Permissions {
    policy: Policy,
    subject: Subject,
    recorder: Arc<dyn Recorder>,
    approver: Arc<dyn Approver>,
    approvals: Approvals,
    items: Arc<Items>,
}

/// What became of a request before anybody was asked.
#[derive(Debug)]
pub enum Considered<R> {
    /// The gate allowed it, or an answer that still holds did.
    Authorized(Authorized<R>),
    /// A person has to be asked this.
    Asks(Pending<R>, Question),
}

impl Permissions {
    /// Permissions under `policy` for whatever is done on the subject's behalf.
    pub fn new(
        policy: Policy,
        subject: Subject,
        recorder: Arc<dyn Recorder>,
        approver: Arc<dyn Approver>,
        items: Arc<Items>,
    ) -> Self {
        Self {
            policy,
            subject,
            recorder,
            approver,
            approvals: Approvals::new(),
            items,
        }
    }

    /// The same, where answers for good can be kept.
    #[must_use]
    pub fn with_keeper(mut self, keeper: Arc<dyn Keeper>) -> Self {
        self.approvals.keeper = Some(keeper);
        self
    }

    /// The same log, subject and steps under another policy: for what has other rights on the same
    /// subject's behalf.
    #[must_use]
    pub fn with_policy(&self, policy: Policy) -> Self {
        Self {
            policy,
            ..self.clone()
        }
    }

    /// The same run under another policy, whose profile its records name from now on.
    #[must_use]
    pub fn changed_to(&self, policy: Policy) -> Self {
        let mut changed = self.with_policy(policy);
        changed.subject.profile = changed.policy.profile();
        changed
    }

    /// The rights in force.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// On whose behalf.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// The log.
    pub fn recorder(&self) -> &dyn Recorder {
        &*self.recorder
    }

    /// The steps shown to the front end.
    pub fn items(&self) -> &Items {
        &self.items
    }

    /// Writes what the sandbox saw to the log, and shows a denial when it comes first.
    ///
    /// # Errors
    /// When the record cannot be written; the run must end.
    pub fn observe(&self, observation: &Observation) -> Result<(), RecordError> {
        let entry = self.observed(observation);
        let Receipt { seq } = self.recorder.append(&entry)?;
        // What is counted again at a command's end was shown when it came.
        if matches!(observation, Observation::Denied(attempt) if attempt.count == 1) {
            let notice = ItemDetails::PolicyDecision {
                operation: entry.operation.to_string(),
                target: self.recorder.mask(&entry.target),
                decision: entry.outcome.to_string(),
                reason: self.recorder.mask(&entry.reason),
                rule: entry.rule,
                evidence: entry.evidence.to_string(),
                audit_seq: seq,
            };
            self.items.completed(self.items.new_id(), notice);
        }
        Ok(())
    }

    fn observed(&self, observation: &Observation) -> Entry {
        let denied = |attempt: &Attempt, detail| Entry {
            subject: self.subject.clone(),
            operation: attempt.operation,
            target: attempt.target.clone(),
            outcome: Outcome::Denied,
            reason: attempt.reason.clone(),
            rule: attempt.rule.clone(),
            evidence: Evidence::Observed,
            pid: attempt.pid,
            exe: attempt.exe.clone(),
            count: (attempt.count != 1).then_some(attempt.count),
            detail,
        };
        match observation {
            Observation::Denied(attempt) => denied(attempt, None),
            Observation::DeniedMore(attempt) => denied(
                attempt,
                Some(json!({ "summed": "targets beyond the limit of one run" })),
            ),
            Observation::Wrote {
                count,
                first,
                rule,
                reason,
            } => Entry {
                subject: self.subject.clone(),
                operation: Operation::FileWrite,
                target: first.first().cloned().unwrap_or_default(),
                outcome: Outcome::Allowed,
                reason: reason.clone(),
                rule: rule.clone(),
                evidence: Evidence::Observed,
                pid: None,
                exe: None,
                count: Some(*count),
                detail: Some(json!({ "first": first })),
            },
        }
    }

    /// Takes `request` through the gate, a person if the gate asks, and the log. `detail` is
    /// written beside the intent.
    ///
    /// # Errors
    /// [`NotPermitted::Denied`] goes back to whoever asked; [`NotPermitted::NoRecord`] ends the run.
    pub async fn require<R: Requested>(
        &self,
        request: R,
        detail: Option<Value>,
    ) -> Result<Recorded<Authorized<R>>, NotPermitted> {
        Ok(self.record(self.authorize(request).await?, detail)?)
    }

    /// Writes the intent of an authorized request to the log.
    ///
    /// # Errors
    /// When the record cannot be written; the run must end.
    pub fn record<R: Requested>(
        &self,
        authorized: Authorized<R>,
        detail: Option<Value>,
    ) -> Result<Recorded<Authorized<R>>, RecordError> {
        authorized.record(&*self.recorder, &self.subject, detail)
    }

    /// Writes what became of a recorded request: `detail` says so.
    ///
    /// # Errors
    /// When the record cannot be written; the run must end.
    pub fn record_outcome<R: Requested>(
        &self,
        recorded: &Recorded<Authorized<R>>,
        detail: Value,
    ) -> Result<(), RecordError> {
        recorded
            .get()
            .record_outcome(&*self.recorder, &self.subject, recorded.seq(), detail)
    }

    /// Writes what is about to be given to a running process that was permitted.
    ///
    /// # Errors
    /// When the record cannot be written; the run must end and nothing be given.
    pub fn record_input<R: Requested>(
        &self,
        recorded: &Recorded<Authorized<R>>,
        input: Value,
    ) -> Result<(), RecordError> {
        recorded
            .get()
            .record_input(&*self.recorder, &self.subject, recorded.seq(), input)
    }

    /// As [`Permissions::require`] where nobody can be asked and nothing may wait: what would ask
    /// is denied.
    ///
    /// # Errors
    /// As [`Permissions::require`].
    pub fn require_unasked<R: Requested>(
        &self,
        request: R,
        detail: Option<Value>,
    ) -> Result<Recorded<Authorized<R>>, NotPermitted> {
        match self.consider(request)? {
            Considered::Authorized(authorized) => Ok(self.record(authorized, detail)?),
            Considered::Asks(pending, _) => {
                let authorized = self.settle(pending, Answer::Nobody)?;
                Ok(self.record(authorized, detail)?)
            }
        }
    }

    /// Takes `request` through the gate, and a person if the gate asks. A denial is recorded and
    /// shown.
    ///
    /// # Errors
    /// As [`Permissions::require`].
    pub async fn authorize<R: Requested>(&self, request: R) -> Result<Authorized<R>, NotPermitted> {
        match self.consider(request)? {
            Considered::Authorized(authorized) => Ok(authorized),
            Considered::Asks(pending, question) => {
                let answer = self.ask(question.clone()).await;
                let answer = self.take_answer(&question, answer)?;
                self.settle(pending, answer)
            }
        }
    }

    /// Takes `request` through the gate, and tells what a person has to be asked. An answer that
    /// holds already is not asked for again. A denial is recorded and shown.
    ///
    /// # Errors
    /// As [`Permissions::require`].
    pub fn consider<R: Requested>(&self, request: R) -> Result<Considered<R>, NotPermitted> {
        match gate::authorize(&self.policy, request) {
            Verdict::Authorized(authorized) => Ok(Considered::Authorized(authorized)),
            Verdict::Refused(refused) => Err(self.deny(refused)?),
            Verdict::Pending(pending) => {
                let view = pending.request().view();
                let question = Question {
                    operation: view.operation(),
                    target: self.recorder.mask(&view.target()),
                    reason: pending.decision().explanation(),
                    lasting: view.lasting(),
                    always: self.approvals.keeper.is_some(),
                };
                match self.standing(&question) {
                    Some(answer) => self.settle(pending, answer).map(Considered::Authorized),
                    None => Ok(Considered::Asks(pending, question)),
                }
            }
        }
    }

    /// An answer that holds for this question already.
    #[must_use]
    pub fn standing(&self, question: &Question) -> Option<Answer> {
        self.approvals.standing(question.lasting.as_ref())
    }

    /// Puts a question to the front end and waits for as long as that does. What comes back goes to
    /// [`take_answer`](Self::take_answer).
    pub async fn ask(&self, question: Question) -> Answer {
        self.approver.ask(question).await
    }

    /// Records an answer, once for all whom it concerns, remembers what holds for the session, and
    /// keeps what holds for good. Gives what the answer counts as: what cannot be kept holds for the
    /// session, and where nothing can hold longer, a yes is for this once.
    ///
    /// # Errors
    /// When the record cannot be written; the run must end.
    pub fn take_answer(&self, question: &Question, answer: Answer) -> Result<Answer, RecordError> {
        let answer = match (answer, &question.lasting, &self.approvals.keeper) {
            (Answer::Nobody, _, _) => return Ok(answer),
            (Answer::Session | Answer::Always, None, _) => Answer::Yes,
            (Answer::Always, Some(_), None) => Answer::Session,
            _ => answer,
        };
        self.record_answer(question, answer, None)?;
        let (Answer::Session | Answer::Always, Some(lasting)) = (answer, &question.lasting) else {
            return Ok(answer);
        };
        self.approvals.remember(lasting.clone(), answer);
        let kept = match (&self.approvals.keeper, answer) {
            (Some(keeper), Answer::Always) => keeper.keep(lasting),
            _ => Ok(()),
        };
        if let Err(why) = kept {
            // The person said yes to more, so the session is within it.
            self.approvals.remember(lasting.clone(), Answer::Session);
            let why = format!("it cannot be kept for good: {why}");
            self.record_answer(question, Answer::Session, Some(&why))?;
            return Ok(Answer::Session);
        }
        Ok(answer)
    }

    /// What an answer makes of the request that waited for it. A denial is recorded and shown.
    ///
    /// # Errors
    /// As [`Permissions::require`].
    pub fn settle<R: Requested>(
        &self,
        pending: Pending<R>,
        answer: Answer,
    ) -> Result<Authorized<R>, NotPermitted> {
        match pending.settle(answer) {
            Ok(authorized) => Ok(authorized),
            Err(refused) => Err(self.deny(refused)?),
        }
    }

    /// Records and shows a denial of `request` by whoever acts on it, for what the gate cannot
    /// see: the address behind a name, say. It can only deny.
    ///
    /// # Errors
    /// When the record cannot be written; the run must end.
    pub fn refuse<R: Requested>(
        &self,
        request: R,
        rule: Rule,
        why: &str,
    ) -> Result<Decision, RecordError> {
        let decision = Decision {
            effect: Effect::Deny,
            rule,
            reason: format!("{} profile: {why}", self.subject.profile).into(),
            remedy: None,
        };
        self.deny(Refused {
            request,
            decision: decision.clone(),
        })?;
        Ok(decision)
    }

    /// Records and shows a denial.
    fn deny<R: Requested>(&self, refused: Refused<R>) -> Result<NotPermitted, RecordError> {
        let seq = refused.record(&*self.recorder, &self.subject)?;
        let view = refused.request.view();
        let notice = ItemDetails::PolicyDecision {
            operation: view.operation().to_string(),
            target: self.recorder.mask(&view.target()),
            decision: Outcome::Denied.to_string(),
            reason: self.recorder.mask(&refused.decision.explanation()),
            rule: refused.decision.rule.to_string(),
            evidence: Evidence::Declared.to_string(),
            audit_seq: seq,
        };
        self.items.completed(self.items.new_id(), notice);
        Ok(NotPermitted::Denied {
            decision: refused.decision,
            seq,
        })
    }

    fn record_answer(
        &self,
        question: &Question,
        answer: Answer,
        because: Option<&str>,
    ) -> Result<(), RecordError> {
        let keeper = self.approvals.keeper.as_deref().unwrap_or(&Forgets);
        let mut detail = answer.detail(self.approver.who(), question, keeper);
        if let (Some(because), Some(detail)) = (because, detail.as_object_mut()) {
            detail.insert("because".to_owned(), json!(because));
        }
        let target = format!("{} {}", question.operation, question.target);
        let reason = format!("{}; {}", question.reason, answer.explanation());
        let receipt = self.recorder.append(&Entry {
            subject: self.subject.clone(),
            operation: Operation::Approval,
            target: target.clone(),
            outcome: answer.outcome(),
            reason: reason.clone(),
            rule: answer.rule().0.to_owned(),
            evidence: Evidence::Declared,
            pid: None,
            exe: None,
            count: None,
            detail: Some(detail),
        })?;
        let notice = ItemDetails::PolicyDecision {
            operation: Operation::Approval.to_string(),
            target,
            decision: answer.outcome().to_string(),
            reason: self.recorder.mask(&reason),
            rule: answer.rule().to_string(),
            evidence: Evidence::Declared.to_string(),
            audit_seq: receipt.seq,
        };
        self.items.completed(self.items.new_id(), notice);
        Ok(())
    }
}
