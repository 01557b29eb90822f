//! How fast requests come.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Lets requests pass at a steady rate after a burst. Those that come faster wait in line.
pub(crate) struct Pace {
    /// Between two requests at the steady rate.
    every: Duration,
    /// How far ahead of the steady rate a burst may be.
    ahead: Duration,
    /// When the next request is due at the steady rate.
    next: Mutex<Instant>,
}

impl Pace {
    pub(crate) fn new(per_second: u32, burst: u32) -> Self {
        let every = Duration::from_secs(1) / per_second.max(1);
        Self {
            every,
            ahead: every * burst,
            next: Mutex::new(Instant::now()),
        }
    }

    /// How long the request that comes at `now` has to wait.
    fn wait_at(&self, now: Instant) -> Duration {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let due = (*next).max(now);
        *next = due + self.every;
        due.saturating_duration_since(now + self.ahead)
    }

    /// Waits for this request's turn.
    pub(crate) async fn turn(&self) {
        let wait = self.wait_at(Instant::now());
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_the_rest_waits_in_line() {
        let pace = Pace::new(10, 5);
        let now = Instant::now();
        let waits: Vec<u128> = (0..8).map(|_| pace.wait_at(now).as_millis()).collect();
        assert_eq!(waits[..6], [0; 6]);
        assert!(waits[6] > 0 && waits[7] >= waits[6] + 99, "{waits:?}");
        let later = now + Duration::from_secs(10);
        assert!(pace.wait_at(later).is_zero());
    }
}
