//! What an agent is doing, and who may see it.

use std::fmt;

use serde::Serialize;
use tokio::sync::watch;

/// What an agent is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It has a place and has not begun.
    Pending,
    /// A turn goes on.
    Running,
    /// A turn waits for a person's answer.
    WaitingForApproval,
    /// Its turn was ended from outside.
    Interrupted,
    /// Its turn ended well; it can be given another task.
    Completed,
    /// Its turn ended early; it can be given another task.
    Failed,
    /// It has ended: nothing of it is left at work.
    Closed,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 7] = [
        Self::Pending,
        Self::Running,
        Self::WaitingForApproval,
        Self::Interrupted,
        Self::Completed,
        Self::Failed,
        Self::Closed,
    ];

    /// Whether an agent in this state may come into `next`.
    #[must_use]
    pub fn may_become(self, next: Self) -> bool {
        use State::{Closed, Completed, Failed, Interrupted, Pending, Running, WaitingForApproval};
        match self {
            Pending => matches!(next, Running | Interrupted | Failed | Closed),
            Running => matches!(next, WaitingForApproval | Interrupted | Completed | Failed),
            WaitingForApproval => matches!(next, Running | Interrupted | Failed),
            Completed | Failed => matches!(next, Running | Interrupted | Closed),
            Interrupted => next == Closed,
            Closed => false,
        }
    }

    /// Whether a turn goes on or is about to.
    #[must_use]
    pub fn is_at_work(self) -> bool {
        matches!(
            self,
            Self::Pending | Self::Running | Self::WaitingForApproval
        )
    }

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::WaitingForApproval => "waiting for approval",
            Self::Interrupted => "interrupted",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Closed => "closed",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An agent's state, watched by any number. It holds the newest alone, so that whoever looks late
/// sees how things stand and nothing queues up.
#[derive(Debug)]
pub struct StateCell(watch::Sender<State>);

impl Default for StateCell {
    fn default() -> Self {
        Self(watch::Sender::new(State::Pending))
    }
}

impl StateCell {
    /// The state now.
    #[must_use]
    pub fn get(&self) -> State {
        *self.0.borrow()
    }

    /// Comes into `next`, if the agent may. Says whether it did.
    pub fn set(&self, next: State) -> bool {
        self.0.send_if_modified(|state| {
            let may = state.may_become(next);
            if may {
                *state = next;
            }
            may
        })
    }

    /// Waits until the state is one that `wanted` says yes to, and gives it.
    pub async fn until(&self, mut wanted: impl FnMut(State) -> bool) -> State {
        let mut watched = self.0.subscribe();
        match watched.wait_for(|state| wanted(*state)).await {
            Ok(state) => *state,
            // The sender is `self`, which is borrowed for as long as this waits.
            Err(_) => self.get(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_agent_stays_closed_and_every_other_can_end() {
        for state in State::ALL {
            assert!(!State::Closed.may_become(state));
            let ends = state == State::Closed
                || state.may_become(State::Closed)
                || State::ALL
                    .iter()
                    .any(|s| state.may_become(*s) && s.may_become(State::Closed));
            assert!(ends, "{state}");
        }
    }

    #[tokio::test]
    async fn a_late_watcher_sees_the_newest_state() {
        let cell = StateCell::default();
        assert!(cell.set(State::Running) && !cell.set(State::Closed) && cell.set(State::Completed));
        assert_eq!(cell.until(|s| !s.is_at_work()).await, State::Completed);
        assert!(cell.set(State::Closed) && !cell.set(State::Running));
        assert_eq!(cell.get(), State::Closed);
    }
}
