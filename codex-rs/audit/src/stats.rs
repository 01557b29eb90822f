//! What is in a log, counted.

use std::collections::BTreeMap;
use std::path::Path;

use codex_protocol::operation::{Operation, Outcome};
use serde::Serialize;

use crate::AuditError;
use crate::query::{self, Filter};
use crate::record::Record;

/// So many different rules are counted by name: codex has far fewer, and a forged log must not
/// fill the memory. The rest is counted together, under [`OTHER_RULES`].
pub const MAX_RULES: usize = 256;

/// Stands for the rules beyond [`MAX_RULES`].
pub const OTHER_RULES: &str = "(others)";

/// Attempts of one operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Attempts {
    /// That went ahead.
    pub allowed: u64,
    /// That did not.
    pub denied: u64,
}

/// The counts. Attempts count as often as a record says; see [`Record::count`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// How many records were read.
    pub records: u64,
    /// Lines that are no record.
    pub bad_lines: u64,
    /// When the first record was written.
    pub first: Option<String>,
    /// When the last one was.
    pub last: Option<String>,
    /// Attempts by operation.
    pub operations: BTreeMap<Operation, Attempts>,
    /// Denied attempts by rule.
    pub denials_by_rule: BTreeMap<String, u64>,
}

impl Stats {
    /// Counts the records of the log at `path` that `filter` wants.
    ///
    /// # Errors
    /// When the log cannot be opened or read.
    pub fn of(path: &Path, filter: &Filter) -> Result<Self, AuditError> {
        let mut stats = Self::default();
        query::select(path, filter, |row| match row {
            Ok(row) => stats.add(row.record),
            Err(_) => stats.bad_lines += 1,
        })?;
        Ok(stats)
    }

    fn add(&mut self, record: Record) {
        let count = record.count.unwrap_or(1);
        self.records += 1;
        let attempts = self.operations.entry(record.operation).or_default();
        let number = match record.decision {
            Outcome::Allowed => &mut attempts.allowed,
            Outcome::Denied => &mut attempts.denied,
        };
        *number = number.saturating_add(count);
        if record.decision == Outcome::Denied {
            let known = self.denials_by_rule.len() < MAX_RULES
                || self.denials_by_rule.contains_key(&record.rule);
            let rule = if known {
                record.rule
            } else {
                OTHER_RULES.to_owned()
            };
            let number = self.denials_by_rule.entry(rule).or_default();
            *number = number.saturating_add(count);
        }
        self.first.get_or_insert_with(|| record.timestamp.clone());
        self.last = Some(record.timestamp);
    }
}
