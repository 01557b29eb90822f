//! Questions about hosts that are on no list: one at a time for each of them, whoever else waits for
//! the answer, and none for ever.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Waker};

use codex_protocol::gate::Authorized;
use codex_protocol::permission::{Answer, Considered, NotPermitted, Question};
use codex_protocol::record::RecordError;
use codex_protocol::request::NetworkRead;
use tokio::sync::watch;

use crate::session::Session;

/// Hosts that may be asked about at once. What asks about a further one meanwhile is denied: it is
/// a program that tries names, and a person answers none of so many.
const MOST_OPEN: usize = 32;

type Answered = Option<Result<Answer, RecordError>>;

/// The questions that are open.
#[derive(Default)]
pub(crate) struct Questions {
    /// By what their answers may hold for.
    open: Mutex<HashMap<String, Open>>,
}

struct Open {
    target: String,
    answered: watch::Receiver<Answered>,
}

/// Closes a question, also where asking it panicked.
struct Closing {
    session: Arc<Session>,
    key: String,
}

impl Drop for Closing {
    fn drop(&mut self) {
        let questions = &self.session.questions;
        let mut open = questions
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        open.remove(&self.key);
    }
}

/// Takes `read` through the gate, and to a person where the gate asks.
pub(crate) async fn authorize(
    session: &Arc<Session>,
    read: NetworkRead,
) -> Result<Authorized<NetworkRead>, NotPermitted> {
    match session.permissions.consider(read)? {
        Considered::Authorized(authorized) => Ok(authorized),
        Considered::Asks(pending, question) => {
            let answer = answer(session, question).await?;
            session.permissions.settle(pending, answer)
        }
    }
}

/// The answer to `question`, which is put only where nobody is asked about the same host already.
/// A yes for once is for one target: whoever waited with another asks next.
async fn answer(session: &Arc<Session>, question: Question) -> Result<Answer, RecordError> {
    let key = question
        .lasting
        .clone()
        .unwrap_or_else(|| question.target.clone());
    loop {
        let (mut answered, same) = match join(session, &key, &question) {
            Joined::Open(answered, same) => (answered, same),
            Joined::Settled(answer) => return Ok(answer),
        };
        let answered = match answered.wait_for(Option::is_some).await {
            Ok(answered) => answered.clone(),
            Err(_) => None,
        };
        // None: asking broke off, so that nobody answered.
        match answered.unwrap_or(Ok(Answer::Unanswered)) {
            Ok(Answer::Yes) if !same => {}
            answer => return answer,
        }
    }
}

enum Joined {
    /// Somebody is being asked; whether it is about the same target.
    Open(watch::Receiver<Answered>, bool),
    /// Nobody has to be, or can be.
    Settled(Answer),
}

/// Joins the open question about this host, or opens it. It is put by a task of its own: whoever
/// asked may leave, and their next try finds the question still open.
fn join(session: &Arc<Session>, key: &str, question: &Question) -> Joined {
    let mut open = session
        .questions
        .open
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    if let Some(open) = open.get(key) {
        return Joined::Open(open.answered.clone(), open.target == question.target);
    }
    if let Some(answer) = session.permissions.standing(question) {
        return Joined::Settled(answer);
    }
    if open.len() >= MOST_OPEN {
        return Joined::Settled(Answer::Unanswered);
    }
    let (tell, answered) = watch::channel(None);
    let entry = Open {
        target: question.target.clone(),
        answered: answered.clone(),
    };
    open.insert(key.to_owned(), entry);
    drop(open);
    let closing = Closing {
        session: Arc::clone(session),
        key: key.to_owned(),
    };
    let permissions = Arc::clone(&session.permissions);
    let limit = session.limits.approval;
    let question = question.clone();
    let mut asking = Box::pin(async move {
        let asked = permissions.ask(question.clone());
        let answer = tokio::time::timeout(limit, asked)
            .await
            .unwrap_or(Answer::Unanswered);
        let taken = permissions.take_answer(&question, answer);
        // Whoever comes now finds what holds, or asks anew.
        drop(closing);
        tell.send_replace(Some(taken));
    });
    // Where nobody can be asked the answer is there at once, and no question stays open.
    let now = asking
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()));
    if now.is_pending() {
        tokio::spawn(asking);
    }
    Joined::Open(answered, true)
}
