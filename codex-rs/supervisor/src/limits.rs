//! How many agents there may be, how deep, and how much they may do at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;

use crate::mailbox::{DEFAULT_CAPACITY, MailboxFullPolicy};

/// Limits of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Agents below the main one that exist at a time, idle ones among them.
    pub agents: usize,
    /// How many agents may stand one below the other, the main one not counted.
    pub depth: u32,
    /// Requests to models under way at a time.
    pub model_calls: usize,
    /// Calls that start commands under way at a time.
    pub commands: usize,
    /// Messages that a mailbox holds.
    pub mailbox: usize,
    /// What happens to a message for a full mailbox.
    pub when_full: MailboxFullPolicy,
}

impl Default for Limits {
    /// Eight agents: what a person can still follow, and a provider's usual limits allow.
    fn default() -> Self {
        Self {
            agents: 8,
            depth: 2,
            model_calls: 8,
            commands: 8,
            mailbox: DEFAULT_CAPACITY,
            when_full: MailboxFullPolicy::Block,
        }
    }
}

/// The places for agents. Each is free again when its [`Slot`] is dropped, however that comes.
#[derive(Clone, Debug)]
pub struct Slots {
    most: usize,
    taken: Arc<AtomicUsize>,
}

/// Every place is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there are {0} agents, which is the limit; close one first")]
pub struct Full(pub usize);

/// A place for an agent.
#[derive(Debug)]
pub struct Slot(Arc<AtomicUsize>);

impl Slots {
    /// So many places.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self {
            most,
            taken: Arc::default(),
        }
    }

    /// Takes a place.
    ///
    /// # Errors
    /// [`Full`] where there is none.
    pub fn take(&self) -> Result<Slot, Full> {
        let more = |n: usize| (n < self.most).then_some(n + 1);
        self.taken
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, more)
            .map(|_| Slot(Arc::clone(&self.taken)))
            .map_err(|_| Full(self.most))
    }

    /// How many are taken.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Acquire)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What all agents of a run pass one after another when they ask a model or start a command.
#[derive(Clone, Debug)]
pub struct Turnstiles {
    /// For requests to models.
    pub model_calls: Arc<Semaphore>,
    /// For calls that start commands.
    pub commands: Arc<Semaphore>,
}

impl Turnstiles {
    /// Turnstiles that let as many through as `limits` says, and one at least.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        let of = |n: usize| Arc::new(Semaphore::new(n.clamp(1, Semaphore::MAX_PERMITS)));
        Self {
            model_calls: of(limits.model_calls),
            commands: of(limits.commands),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_limited_and_free_themselves() {
        let slots = Slots::new(2);
        let first = slots.take().unwrap();
        let _second = slots.take().unwrap();
        assert_eq!(slots.take().unwrap_err(), Full(2));
        drop(first);
        assert_eq!(slots.taken(), 1);
        let unwound = std::panic::catch_unwind(|| {
            let _third = slots.take().unwrap();
            panic!("an agent breaks down");
        });
        assert!(unwound.is_err());
        assert_eq!(slots.taken(), 1);
        assert!(Slots::new(0).take().is_err());
    }
}
