//! What an agent may use up, divided from what its parent has.
//!
//! A child's part is held back from its parent when it is given, and what the child left comes
//! back when it ends: whatever a tree of agents does, it stays within what its root was given.
//! Tokens are known only once a request has been answered, so each agent can go over by its last
//! request; that counts against its parent too.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use crate::narrow::Budget;
use crate::report::counted;

/// What has been used up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Spent {
    /// Requests to the model.
    pub turns: u32,
    /// Tokens, read and written.
    pub tokens: u64,
}

/// What there is nothing left of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Exhausted {
    /// Requests to the model.
    #[error("the budget of {} is used up", counted(*.0, "model request"))]
    Turns(u32),
    /// Tokens.
    #[error("the budget of {} is used up", counted(*.0, "token"))]
    Tokens(u64),
    /// Time.
    #[error("the time is used up")]
    Time,
}

/// An agent's account.
pub struct Ledger {
    limit: Budget,
    deadline: Option<Instant>,
    book: Mutex<Book>,
    parent: Option<Arc<Ledger>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Book {
    spent: Spent,
    /// What children that have not ended were given.
    held: Spent,
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger")
            .field("limit", &self.limit)
            .field("spent", &self.spent())
            .finish_non_exhaustive()
    }
}

impl Ledger {
    /// The account of an agent without a parent. Its time begins now.
    #[must_use]
    pub fn root(limit: Budget) -> Arc<Self> {
        Arc::new(Self {
            limit,
            deadline: after(limit.time),
            book: Mutex::default(),
            parent: None,
        })
    }

    /// Gives a child a part: what it wants, as far as there is that much left; where it wants
    /// nothing in particular, one of `parts` equal parts of what is left.
    ///
    /// # Errors
    /// [`Exhausted`] where nothing is left to give.
    pub fn divide(self: &Arc<Self>, wanted: Budget, parts: u32) -> Result<Arc<Self>, Exhausted> {
        let mut book = self.book();
        let left = self.left_in(&book)?;
        let parts = parts.max(1);
        let deadline = match (self.deadline, after(wanted.time)) {
            (Some(own), Some(wanted)) => Some(own.min(wanted)),
            (own, wanted) => own.or(wanted),
        };
        let limit = Budget {
            turns: part(left.turns, wanted.turns, |left| (left / parts).max(1)),
            tokens: part(left.tokens, wanted.tokens, |left| {
                (left / u64::from(parts)).max(1)
            }),
            time: deadline.map(|at| at.saturating_duration_since(Instant::now())),
        };
        book.held.turns += held(limit.turns, self.limit.turns);
        book.held.tokens += held(limit.tokens, self.limit.tokens);
        Ok(Arc::new(Self {
            limit,
            deadline,
            book: Mutex::default(),
            parent: Some(Arc::clone(self)),
        }))
    }

    /// What was given.
    #[must_use]
    pub fn limit(&self) -> Budget {
        self.limit
    }

    /// What has been used up, by children that have ended too.
    #[must_use]
    pub fn spent(&self) -> Spent {
        self.book().spent
    }

    /// When its time is up.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// What is left to use or to give.
    ///
    /// # Errors
    /// [`Exhausted`] where something is used up.
    pub fn left(&self) -> Result<Budget, Exhausted> {
        self.left_in(&self.book())
    }

    /// Takes one request from the account.
    ///
    /// # Errors
    /// [`Exhausted`] where there is none left, or nothing of something else.
    pub fn spend_turn(&self) -> Result<(), Exhausted> {
        let mut book = self.book();
        self.left_in(&book)?;
        book.spent.turns += 1;
        Ok(())
    }

    /// Takes the tokens of an answered request from the account.
    pub fn spend_tokens(&self, tokens: u64) {
        let mut book = self.book();
        book.spent.tokens = book.spent.tokens.saturating_add(tokens);
    }

    fn left_in(&self, book: &Book) -> Result<Budget, Exhausted> {
        let used = (
            book.spent.turns.saturating_add(book.held.turns),
            book.spent.tokens.saturating_add(book.held.tokens),
        );
        let turns = self.limit.turns.map(|limit| limit.saturating_sub(used.0));
        let tokens = self.limit.tokens.map(|limit| limit.saturating_sub(used.1));
        let time = self
            .deadline
            .map(|at| at.saturating_duration_since(Instant::now()));
        match (turns, tokens, time) {
            (Some(0), _, _) => Err(Exhausted::Turns(self.limit.turns.unwrap_or(0))),
            (_, Some(0), _) => Err(Exhausted::Tokens(self.limit.tokens.unwrap_or(0))),
            (_, _, Some(Duration::ZERO)) => Err(Exhausted::Time),
            _ => Ok(Budget {
                turns,
                tokens,
                time,
            }),
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        let Some(parent) = &self.parent else { return };
        let spent = self.spent();
        let mut book = parent.book();
        book.held.turns -= held(self.limit.turns, parent.limit.turns);
        book.held.tokens -= held(self.limit.tokens, parent.limit.tokens);
        book.spent.turns = book.spent.turns.saturating_add(spent.turns);
        book.spent.tokens = book.spent.tokens.saturating_add(spent.tokens);
    }
}

/// What a child is given of something of which there is so much left.
fn part<T: Ord + Copy>(left: Option<T>, wanted: Option<T>, equal: impl Fn(T) -> T) -> Option<T> {
    match (left, wanted) {
        (None, wanted) => wanted,
        (Some(left), Some(wanted)) => Some(wanted.min(left)),
        (Some(left), None) => Some(equal(left)),
    }
}

/// How much of its part a child holds back from a parent whose own is limited.
fn held<T: Default>(part: Option<T>, own: Option<T>) -> T {
    own.and(part).unwrap_or_default()
}

/// The moment this far from now. One too far to be named is none.
fn after(time: Option<Duration>) -> Option<Instant> {
    time.and_then(|time| Instant::now().checked_add(time))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn turns(turns: u32) -> Budget {
        Budget {
            turns: Some(turns),
            ..Budget::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_child_gets_no_more_than_is_left_and_gives_back_what_it_leaves() {
        let root = Ledger::root(Budget {
            turns: Some(10),
            tokens: Some(1000),
            time: Some(Duration::from_secs(60)),
        });
        let child = root.divide(turns(99), 2).unwrap();
        assert_eq!(child.limit().turns, Some(10));
        assert_eq!(child.limit().tokens, Some(500));
        assert_eq!(root.spend_turn(), Err(Exhausted::Turns(10)));
        for _ in 0..4 {
            child.spend_turn().unwrap();
        }
        child.spend_tokens(700);
        assert_eq!(child.spend_turn(), Err(Exhausted::Tokens(500)));
        drop(child);
        assert_eq!((root.spent().turns, root.spent().tokens), (4, 700));
        assert_eq!(root.left().unwrap().turns, Some(6));
        assert_eq!(root.left().unwrap().tokens, Some(300));

        tokio::time::advance(Duration::from_secs(59)).await;
        let wanted = Budget {
            time: Some(Duration::from_secs(5)),
            ..Budget::default()
        };
        let late = root.divide(wanted, 2).unwrap();
        assert_eq!(late.limit().time, Some(Duration::from_secs(1)));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(late.spend_turn(), Err(Exhausted::Time));
        assert!(root.divide(Budget::default(), 2).is_err());
    }

    proptest! {
        /// Whatever a tree of agents does, the root's limit on requests holds.
        #[test]
        fn no_tree_takes_more_than_its_root_has(
            limit in 0_u32..40,
            steps in prop::collection::vec((0_usize..6, 0_u8..4, prop::option::of(0_u32..60)), 0..200),
        ) {
            let root = Ledger::root(turns(limit));
            let mut live = vec![root.clone()];
            let mut made = 0;
            for (at, what, wanted) in steps {
                let at = at % live.len();
                match what {
                    0 => {
                        let wanted = Budget { turns: wanted, ..Budget::default() };
                        if live.len() < 6 && let Ok(child) = live[at].divide(wanted, 3) {
                            live.push(child);
                        }
                    }
                    1 if at > 0 => drop(live.remove(at)),
                    _ => made += u32::from(live[at].spend_turn().is_ok()),
                }
            }
            live.truncate(1);
            prop_assert!(made <= limit, "{made} of {limit}");
            prop_assert_eq!(root.spent().turns, made);
            prop_assert_eq!(root.left().map_or(0, |left| left.turns.unwrap()), limit - made);
        }
    }
}
