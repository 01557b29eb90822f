//! Bounded mailboxes.
//!
//! A mailbox holds so many messages and no more. What happens to one for a full mailbox is the
//! mailbox's policy, and whoever sent it is told. Nothing else goes this way: a cancellation, an
//! approval or a final state never waits behind messages, and is never dropped for one.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, Semaphore, TryAcquireError};

/// How many messages a mailbox holds unless its run says otherwise.
pub const DEFAULT_CAPACITY: usize = 32;

/// What happens to a message for a full mailbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MailboxFullPolicy {
    /// Its sender waits for room, in the order of arrival.
    #[default]
    Block,
    /// The oldest message makes room.
    DropOldest,
    /// It is dropped itself.
    DropNew,
}

/// What became of a message when it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It is in the mailbox.
    Delivered,
    /// It is in the mailbox, and the oldest one was dropped for it.
    DroppedOldest,
    /// It was dropped: the mailbox is full.
    DroppedNew,
    /// It was dropped: nobody reads the mailbox any more.
    Closed,
}

/// What went through a mailbox: `sent = taken + dropped + undelivered` + what is in it now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Messages whose sending ended, however.
    pub sent: u64,
    /// Messages that were read.
    pub taken: u64,
    /// Messages dropped because the mailbox was full.
    pub dropped: u64,
    /// Messages that were in the mailbox when it was closed, or came later.
    pub undelivered: u64,
}

struct Shared<T> {
    policy: MailboxFullPolicy,
    inner: Mutex<Inner<T>>,
    /// A permit for each free place. Closed with the mailbox.
    room: Semaphore,
    arrived: Notify,
}

struct Inner<T> {
    queue: VecDeque<Letter<T>>,
    counts: Counts,
    closed: bool,
}

struct Letter<T> {
    message: T,
    /// Its sender's count of messages that were dropped after they had been taken in.
    lost: Arc<AtomicU64>,
}

/// The reading end; there is one. Dropping it closes the mailbox.
pub struct Mailbox<T>(Arc<Shared<T>>);

/// A sending end. Each clone has a count of its own losses.
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
    lost: Arc<AtomicU64>,
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            lost: Arc::default(),
        }
    }
}

/// Makes a mailbox for `capacity` messages, one at least.
#[must_use]
pub fn mailbox<T>(capacity: usize, policy: MailboxFullPolicy) -> (Sender<T>, Mailbox<T>) {
    let capacity = capacity.clamp(1, Semaphore::MAX_PERMITS);
    let shared = Arc::new(Shared {
        policy,
        inner: Mutex::new(Inner {
            queue: VecDeque::new(),
            counts: Counts::default(),
            closed: false,
        }),
        room: Semaphore::new(capacity),
        arrived: Notify::new(),
    });
    let sender = Sender {
        shared: Arc::clone(&shared),
        lost: Arc::default(),
    };
    (sender, Mailbox(shared))
}

impl<T> Shared<T> {
    fn inner(&self) -> MutexGuard<'_, Inner<T>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        self.room.close();
        let mut inner = self.inner();
        inner.closed = true;
        let left = std::mem::take(&mut inner.queue);
        inner.counts.undelivered += left.len() as u64;
        for letter in left {
            letter.lost.fetch_add(1, Ordering::Relaxed);
        }
        drop(inner);
        self.arrived.notify_waiters();
    }
}

impl<T> Sender<T> {
    /// Sends a message and says what became of it. Dropping the future before it is done sends
    /// nothing.
    pub async fn send(&self, message: T) -> Sent {
        let shared = &*self.shared;
        match (shared.room.try_acquire(), shared.policy) {
            (Ok(permit), _) => {
                permit.forget();
                self.put(message, None)
            }
            (Err(TryAcquireError::Closed), _) => self.count_closed(),
            (Err(TryAcquireError::NoPermits), MailboxFullPolicy::Block) => {
                let Ok(permit) = shared.room.acquire().await else {
                    return self.count_closed();
                };
                permit.forget();
                self.put(message, None)
            }
            (Err(TryAcquireError::NoPermits), policy) => self.put(message, Some(policy)),
        }
    }

    /// Sends a message where there is room, without waiting; one for which there is none is dropped,
    /// whatever the policy.
    pub fn send_if_room(&self, message: T) -> Sent {
        match self.shared.room.try_acquire() {
            Ok(permit) => {
                permit.forget();
                self.put(message, None)
            }
            Err(TryAcquireError::Closed) => self.count_closed(),
            Err(TryAcquireError::NoPermits) => self.put(message, Some(MailboxFullPolicy::DropNew)),
        }
    }

    /// How many of this sender's messages were dropped after [`Sender::send`] had said that they
    /// were in the mailbox.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// What went through the mailbox so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.shared.inner().counts
    }

    /// Puts a message in: into the place that a permit was taken for, or, where the mailbox was
    /// full, as `full` says.
    fn put(&self, message: T, full: Option<MailboxFullPolicy>) -> Sent {
        let shared = &*self.shared;
        let mut inner = shared.inner();
        inner.counts.sent += 1;
        if inner.closed {
            inner.counts.undelivered += 1;
            return Sent::Closed;
        }
        let mut sent = Sent::Delivered;
        if let Some(policy) = full {
            inner.counts.dropped += 1;
            // The queue is empty where every place is taken by a sender that is about to put its
            // message there: then there is no older one to drop.
            let oldest = (policy == MailboxFullPolicy::DropOldest)
                .then(|| inner.queue.pop_front())
                .flatten();
            let Some(oldest) = oldest else {
                return Sent::DroppedNew;
            };
            oldest.lost.fetch_add(1, Ordering::Relaxed);
            sent = Sent::DroppedOldest;
        }
        inner.queue.push_back(Letter {
            message,
            lost: Arc::clone(&self.lost),
        });
        drop(inner);
        shared.arrived.notify_one();
        sent
    }

    fn count_closed(&self) -> Sent {
        let mut inner = self.shared.inner();
        inner.counts.sent += 1;
        inner.counts.undelivered += 1;
        Sent::Closed
    }
}

impl<T> Mailbox<T> {
    /// The oldest message, once there is one. `None` when the mailbox is closed.
    pub async fn take(&self) -> Option<T> {
        loop {
            let arrived = self.0.arrived.notified();
            tokio::pin!(arrived);
            arrived.as_mut().enable();
            if let Some(message) = self.try_take() {
                return Some(message);
            }
            if self.0.inner().closed {
                return None;
            }
            arrived.await;
        }
    }

    /// The oldest message, if there is one.
    #[must_use]
    pub fn try_take(&self) -> Option<T> {
        let mut inner = self.0.inner();
        let letter = inner.queue.pop_front()?;
        inner.counts.taken += 1;
        drop(inner);
        self.0.room.add_permits(1);
        Some(letter.message)
    }

    /// How many messages are in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.inner().queue.len()
    }

    /// Whether there is no message in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What went through it so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.0.inner().counts
    }

    /// Closes it: what is in it is dropped, and whoever waits for room is told.
    pub fn close(&self) {
        self.0.close();
    }
}

impl<T> Drop for Mailbox<T> {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests;
