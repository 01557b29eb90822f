//! What was denied in one run, for the report at its end.

use std::collections::HashMap;

use codex_protocol::operation::{Evidence, Operation};
use serde::Serialize;

use crate::record::Masked;

/// So many different denials are kept with their texts. A run that is denied more than this is
/// summed up; the log has each of them.
pub const MAX_DENIALS: usize = 1000;

/// One denial, as the log has it: masked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Denial {
    /// What was attempted.
    pub operation: Operation,
    /// On what.
    pub target: String,
    /// Why it was denied.
    pub reason: String,
    /// Which rule said so.
    pub rule: String,
    /// How the log knows.
    pub evidence: Evidence,
    /// How many times.
    pub count: u64,
    /// The number of its first record.
    pub seq: u64,
}

/// What was denied, in the order of the first record of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Denials {
    /// At most [`MAX_DENIALS`], each with how often it came.
    pub list: Vec<Denial>,
    /// Attempts that were denied beyond those in the list.
    pub more: u64,
}

/// Collects [`Denials`].
#[derive(Debug, Default)]
pub(crate) struct Collected {
    denials: Denials,
    places: HashMap<(Operation, String, String), usize>,
}

impl Collected {
    pub(crate) fn add(&mut self, masked: &Masked<'_>, seq: u64) {
        let entry = masked.entry;
        let count = entry.count.unwrap_or(1);
        let target = masked.target.as_ref().to_owned();
        let key = (entry.operation, target, masked.rule.as_ref().to_owned());
        let Denials { list, more } = &mut self.denials;
        if let Some(known) = self.places.get(&key).and_then(|at| list.get_mut(*at)) {
            known.count = known.count.saturating_add(count);
            return;
        }
        if list.len() >= MAX_DENIALS {
            *more = more.saturating_add(count);
            return;
        }
        list.push(Denial {
            operation: key.0,
            target: key.1.clone(),
            reason: masked.reason.as_ref().to_owned(),
            rule: key.2.clone(),
            evidence: entry.evidence,
            count,
            seq,
        });
        self.places.insert(key, list.len() - 1);
    }

    pub(crate) fn denials(&self) -> &Denials {
        &self.denials
    }
}
