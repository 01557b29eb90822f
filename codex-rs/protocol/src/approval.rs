//! What a person is asked, what they may answer, and how long an answer holds.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use crate::decision::{Rule, rule};
use crate::operation::{Operation, Outcome};
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
    /// The [`HostRule`](crate::hosts::HostRule) that [`Answer::Session`] and [`Answer::Always`] hold
    /// for: one host over one scheme at one port. `None`: every yes is for this once.
    pub lasting: Option<String>,
    /// Whether [`Answer::Always`] can be kept. Where it cannot, it counts as [`Answer::Session`].
    pub always: bool,
}

/// A person's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// This once: for this operation on this target.
    Yes,
    /// For [`Question::lasting`], until the session ends. Kept in memory.
    Session,
    /// For [`Question::lasting`], for good: kept in the person's own configuration.
    Always,
    /// No.
    No,
    /// The time to answer ended, or the question could not be put. Counts as no.
    Unanswered,
    /// Nobody can be asked: there is no front end, or its policy is `never`.
    Nobody,
}

impl Answer {
    /// Whether it allows.
    #[must_use]
    pub fn allows(self) -> bool {
        matches!(self, Self::Yes | Self::Session | Self::Always)
    }

    /// The rule under which it decides.
    pub(crate) fn rule(self) -> Rule {
        match self {
            Self::Yes => rule::APPROVAL_GIVEN,
            Self::Session => rule::APPROVAL_SESSION,
            Self::Always => rule::APPROVAL_ALWAYS,
            Self::No => rule::APPROVAL_REFUSED,
            Self::Unanswered => rule::APPROVAL_UNANSWERED,
            Self::Nobody => rule::APPROVAL_NEVER,
        }
    }

    /// What it says of what it decides, after the reason for asking.
    pub(crate) fn explanation(self) -> &'static str {
        match self {
            Self::Yes => "the person approved it",
            Self::Session => "the person approved this host for the session",
            Self::Always => "the person approved this host for good",
            Self::No => "the person refused",
            Self::Unanswered => {
                "nobody answered in time, or too many questions were open, so it is denied"
            }
            Self::Nobody => "nobody can be asked in this run, so it is denied",
        }
    }

    pub(crate) fn outcome(self) -> Outcome {
        match self.allows() {
            true => Outcome::Allowed,
            false => Outcome::Denied,
        }
    }

    /// The answer as the log has it: its word, who gave it, for what and until when.
    pub(crate) fn detail(self, who: &str, question: &Question, keeper: &dyn Keeper) -> Value {
        let (word, until) = match self {
            Self::Yes => ("once", "this request has ended".to_owned()),
            Self::Session => ("session", "the session ends".to_owned()),
            Self::Always => ("always", format!("it is removed from {}", keeper.place())),
            Self::No => ("no", "it is asked again".to_owned()),
            Self::Unanswered | Self::Nobody => ("unanswered", "it is asked again".to_owned()),
        };
        let covers = match (self, &question.lasting) {
            (Self::Session | Self::Always, Some(rule)) => rule,
            _ => &question.target,
        };
        json!({ "answer": word, "who": who, "covers": covers, "until": until })
    }
}

/// Whoever puts questions to a person.
pub trait Approver: Send + Sync {
    /// Asks, and waits for the answer. A future that is dropped withdraws its question: whoever
    /// asked has gone, or the time to answer has ended.
    fn ask(&self, question: Question) -> BoxFuture<'_, Answer>;

    /// Who answers, for the log.
    fn who(&self) -> &str {
        "the person"
    }
}

/// The approver where there is nobody: what would ask is denied.
#[derive(Clone, Copy, Debug, Default)]
pub struct NeverAsk;

impl Approver for NeverAsk {
    fn ask(&self, _: Question) -> BoxFuture<'_, Answer> {
        Box::pin(std::future::ready(Answer::Nobody))
    }
}

/// Keeps what a person allowed for good, in their own configuration and never in a project's.
pub trait Keeper: Send + Sync {
    /// Where, for people and the log: a setting and a file.
    fn place(&self) -> String;

    /// Adds this rule of a host. When it returns, a crash does not lose it.
    ///
    /// # Errors
    /// Says why it cannot be kept.
    fn keep(&self, rule: &str) -> Result<(), String>;
}

/// Keeps nothing: no answer holds longer than the session.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Forgets;

impl Keeper for Forgets {
    fn place(&self) -> String {
        "nowhere".to_owned()
    }

    fn keep(&self, _: &str) -> Result<(), String> {
        Err("there is nowhere to keep it".to_owned())
    }
}

/// The answers of a session that hold for more than one request.
#[derive(Clone)]
pub(crate) struct Approvals {
    given: Arc<Mutex<BTreeMap<String, Answer>>>,
    /// `None` where nothing can be kept.
    pub(crate) keeper: Option<Arc<dyn Keeper>>,
}

impl Approvals {
    pub(crate) fn new() -> Self {
        Self {
            given: Arc::default(),
            keeper: None,
        }
    }

    /// The answer that holds for `lasting` already.
    pub(crate) fn standing(&self, lasting: Option<&String>) -> Option<Answer> {
        let given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        given.get(lasting?).copied()
    }

    pub(crate) fn remember(&self, lasting: String, answer: Answer) {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        given.insert(lasting, answer);
    }
}
