//! Tells whoever watches the process of each record that was written: a `tracing` event, for logs,
//! metrics and traces. It is a masked copy. What is true is the log.

use codex_protocol::operation::Outcome;
use codex_protocol::record::Entry;
use tracing::{Level, enabled, event};

use crate::mask::Masker;

macro_rules! tell {
    ($level:expr, $masker:expr, $entry:expr, $seq:expr) => {
        if enabled!(target: "codex::audit", $level) {
            let entry = $entry;
            let subject = &entry.subject;
            event!(
                target: "codex::audit",
                $level,
                task_id = subject.task_id.as_str(),
                agent = subject.agent_type.as_str(),
                profile = %subject.profile,
                decision = entry.outcome.as_str(),
                operation = entry.operation.as_str(),
                target = &*$masker.mask(&entry.target),
                rule = entry.rule.as_str(),
                evidence = entry.evidence.as_str(),
                seq = $seq,
                count = entry.count,
                "{}",
                entry.outcome
            );
        }
    };
}

/// The record of `entry` has this number. Denials are warnings, the rest is for looking closely.
pub(crate) fn written(masker: &Masker, entry: &Entry, seq: u64) {
    match entry.outcome {
        Outcome::Denied => tell!(Level::WARN, masker, entry, seq),
        Outcome::Allowed => tell!(Level::DEBUG, masker, entry, seq),
    }
}
