//! When a turn that failed is gone on with.
//!
//! Only a failure of the model's side that passes is one to restart after. It can come only
//! between calls: by then every call of the conversation has its answer, so nothing is half done
//! and nothing is done twice. A tool is never called again by the supervisor.

use std::time::Duration;

use codex_core::session::TurnError;
use codex_protocol::model::ModelErrorKind;

/// How often, and after what wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestartPolicy {
    /// How often a turn is gone on with.
    pub most: u32,
    /// The wait before the first time; doubled for each further one.
    pub first_wait: Duration,
    /// The longest wait.
    pub longest_wait: Duration,
}

impl Default for RestartPolicy {
    /// Twice: the model's side has made its own retries by then.
    fn default() -> Self {
        Self {
            most: 2,
            first_wait: Duration::from_secs(2),
            longest_wait: Duration::from_secs(60),
        }
    }
}

impl RestartPolicy {
    /// How long to wait before going on, if the turn is to be gone on with: it failed with `error`
    /// after `made` restarts.
    #[must_use]
    pub fn wait(&self, error: &TurnError, made: u32) -> Option<Duration> {
        let TurnError::Model(error) = error else {
            return None;
        };
        let passes = matches!(
            error.kind,
            ModelErrorKind::RateLimit
                | ModelErrorKind::Server
                | ModelErrorKind::Network
                | ModelErrorKind::Protocol
        );
        (passes && made < self.most).then(|| {
            let factor = 1_u32.checked_shl(made).unwrap_or(u32::MAX);
            self.first_wait
                .saturating_mul(factor)
                .min(self.longest_wait)
        })
    }
}

#[cfg(test)]
mod tests {
    use codex_protocol::model::ModelError;

    use super::*;

    fn failed(kind: ModelErrorKind) -> TurnError {
        TurnError::Model(ModelError {
            kind,
            message: "m".to_owned(),
        })
    }

    #[test]
    fn only_what_passes_is_tried_again_and_ever_later() {
        let policy = RestartPolicy {
            most: 40,
            ..RestartPolicy::default()
        };
        let waits: Vec<u64> = [0, 1, 2, 5, 39]
            .iter()
            .map(|made| policy.wait(&failed(ModelErrorKind::Network), *made))
            .map(|wait| wait.unwrap().as_secs())
            .collect();
        assert_eq!(waits, [2, 4, 8, 60, 60]);
        assert_eq!(policy.wait(&failed(ModelErrorKind::Network), 40), None);
        for kind in [
            ModelErrorKind::Auth,
            ModelErrorKind::Rejected,
            ModelErrorKind::Replay,
            ModelErrorKind::ContextTooLong,
        ] {
            assert_eq!(policy.wait(&failed(kind), 0), None, "{kind:?}");
        }
        assert_eq!(policy.wait(&TurnError::Interrupted, 0), None);
        assert_eq!(policy.wait(&TurnError::Limit(String::new()), 0), None);
    }
}
