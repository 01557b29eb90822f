//! The way of a request from a tool to its permission: the gate, a person where the gate asks,
//! the log, and the front end's notice, in this order and in one place.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

use crate::decision::{Decision, Effect, Rule, rule};
use crate::event::{Event, EventSink, ItemDetails, ThreadItem};
use crate::gate::{self, Authorized, Pending, Refused, Verdict};
use crate::operation::{Evidence, Operation, Outcome};
use crate::policy::Policy;
use crate::record::{
    Attempt, Entry, Observation, Receipt, RecordError, Recorded, Recorder, Subject,
};
use crate::request::Requested;
use crate::tool::BoxFuture;

/// A question to a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// What is attempted.
    pub operation: Operation,
    /// On what, masked.
    pub target: String,
    /// Why it is asked, and what would allow it for good.
    pub reason: String,
}

/// A person's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// This once.
    Yes,
    /// No.
    No,
    /// Nobody can be asked: there is no front end, or its policy is `never`.
    Nobody,
}

/// Whoever puts questions to a person.
pub trait Approver: Send + Sync {
    /// Asks, and waits for the answer.
    fn ask(&self, question: Question) -> BoxFuture<'_, Answer>;
}

/// The approver where there is nobody: what would ask is denied.
#[derive(Clone, Copy, Debug, Default)]
pub struct NeverAsk;

impl Approver for NeverAsk {
    fn ask(&self, _: Question) -> BoxFuture<'_, Answer> {
        Box::pin(std::future::ready(Answer::Nobody))
    }
}

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
    items: Arc<Items>,
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
            items,
        }
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
        match gate::authorize(&self.policy, request) {
            Verdict::Authorized(authorized) => Ok(self.record(authorized, detail)?),
            Verdict::Pending(pending) => Err(self.deny(nobody(pending))?),
            Verdict::Refused(refused) => Err(self.deny(refused)?),
        }
    }

    /// Takes `request` through the gate, and a person if the gate asks. A denial is recorded and
    /// shown.
    ///
    /// # Errors
    /// As [`Permissions::require`].
    pub async fn authorize<R: Requested>(&self, request: R) -> Result<Authorized<R>, NotPermitted> {
        let refused = match gate::authorize(&self.policy, request) {
            Verdict::Authorized(authorized) => return Ok(authorized),
            Verdict::Refused(refused) => refused,
            Verdict::Pending(pending) => {
                let view = pending.request().view();
                let question = Question {
                    operation: view.operation(),
                    target: self.recorder.mask(&view.target()),
                    reason: pending.decision().explanation(),
                };
                let answer = self.approver.ask(question.clone()).await;
                match answer {
                    Answer::Yes => {
                        self.record_answer(&question, Outcome::Allowed, rule::APPROVAL_GIVEN)?;
                        return Ok(pending.approve());
                    }
                    Answer::No => {
                        self.record_answer(&question, Outcome::Denied, rule::APPROVAL_REFUSED)?;
                        pending.refuse(rule::APPROVAL_REFUSED, "the person refused")
                    }
                    Answer::Nobody => nobody(pending),
                }
            }
        };
        Err(self.deny(refused)?)
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
        outcome: Outcome,
        rule: Rule,
    ) -> Result<(), RecordError> {
        let receipt = self.recorder.append(&Entry {
            subject: self.subject.clone(),
            operation: Operation::Approval,
            target: format!("{} {}", question.operation, question.target),
            outcome,
            reason: question.reason.clone(),
            rule: rule.0.to_owned(),
            evidence: Evidence::Declared,
            pid: None,
            exe: None,
            count: None,
            detail: None,
        })?;
        let notice = ItemDetails::PolicyDecision {
            operation: Operation::Approval.to_string(),
            target: format!("{} {}", question.operation, question.target),
            decision: outcome.to_string(),
            reason: self.recorder.mask(&question.reason),
            rule: rule.to_string(),
            evidence: Evidence::Declared.to_string(),
            audit_seq: receipt.seq,
        };
        self.items.completed(self.items.new_id(), notice);
        Ok(())
    }
}

/// What would be asked where there is nobody.
fn nobody<R: Requested>(pending: Pending<R>) -> Refused<R> {
    pending.refuse(
        rule::APPROVAL_NEVER,
        "nobody can be asked in this run, so it is denied",
    )
}
