//! What the supervisor tells codex of a command: each denial as it happens, and at the end how
//! often the same ones came, and what was written.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use codex_protocol::decision::{Decision, Rule, rule};
use codex_protocol::operation::Operation;
use codex_protocol::record::{Attempt, Observation};
use codex_protocol::request::Request;

use super::task::Task;
use crate::spawn::{MAX_DISTINCT_DENIALS, MAX_WRITTEN_SHOWN};
use crate::wire::Message;

/// What makes two denials the same.
type Key = (Operation, &'static str, String);

/// Collects and tells.
pub(super) struct Denials {
    control: UnixStream,
    /// Each with how often it came after it was told.
    again: BTreeMap<Key, Attempt>,
    /// Those beyond the limit, by operation and rule.
    summed: BTreeMap<(Operation, &'static str), Attempt>,
    /// Writes that were permitted in the call being answered.
    pending: Vec<(PathBuf, Decision)>,
    written: u64,
    first_written: Vec<PathBuf>,
    /// Why the first was allowed.
    allowed: Option<Decision>,
}

impl Denials {
    pub(super) fn new(control: UnixStream) -> Self {
        Self {
            control,
            again: BTreeMap::new(),
            summed: BTreeMap::new(),
            pending: Vec::new(),
            written: 0,
            first_written: Vec::new(),
            allowed: None,
        }
    }

    /// Tells of a denial, before the task is answered.
    pub(super) fn add(&mut self, task: Task, request: Request<'_>, decision: &Decision) {
        let Rule(rule) = decision.rule;
        let key = (request.operation(), rule, request.target());
        let full = self.again.len() >= MAX_DISTINCT_DENIALS;
        let (operation, _, target) = &key;
        let attempt = |count| Attempt {
            operation: *operation,
            target: target.clone(),
            rule: rule.to_owned(),
            reason: decision.explanation(),
            pid: u32::try_from(task.process().unwrap_or(task.tid)).ok(),
            exe: task.program().map(|p| p.to_string_lossy().into_owned()),
            count,
        };
        if full && !self.again.contains_key(&key) {
            let sum = self.summed.entry((*operation, rule));
            sum.or_insert_with(|| attempt(0)).count += 1;
            return;
        }
        let first = attempt(1);
        match self.again.entry(key) {
            Entry::Occupied(known) => {
                known.into_mut().count += 1;
                return;
            }
            Entry::Vacant(new) => {
                new.insert(Attempt {
                    count: 0,
                    ..first.clone()
                });
            }
        }
        self.tell(Observation::Denied(first));
    }

    /// Takes note of a write that was allowed and is about to be carried out.
    pub(super) fn permitted(&mut self, request: Request<'_>, decision: Decision) {
        let path = match request {
            Request::FileWrite(write) => &write.path,
            Request::GitConfigChange(change) => &change.path,
            Request::GitPointer(pointer) => &pointer.path,
            _ => return,
        };
        if decision.rule != rule::FS_DEVICE {
            self.pending.push((path.clone(), decision));
        }
    }

    /// Counts what was permitted since the last time, if it was carried out.
    pub(super) fn carried_out(&mut self, done: bool) {
        let pending = std::mem::take(&mut self.pending);
        for (path, decision) in pending.into_iter().filter(|_| done) {
            self.written += 1;
            self.allowed.get_or_insert(decision);
            if self.first_written.len() < MAX_WRITTEN_SHOWN && !self.first_written.contains(&path) {
                self.first_written.push(path);
            }
        }
    }

    /// Tells what is still to be told.
    pub(super) fn finish(&mut self) {
        let again = std::mem::take(&mut self.again).into_values();
        for attempt in again.filter(|attempt| attempt.count > 0) {
            self.tell(Observation::Denied(attempt));
        }
        for attempt in std::mem::take(&mut self.summed).into_values() {
            self.tell(Observation::DeniedMore(attempt));
        }
        if let Some(Decision { rule, reason, .. }) = self.allowed.take() {
            let first = self.first_written.iter();
            let wrote = Observation::Wrote {
                count: self.written,
                first: first.map(|p| p.to_string_lossy().into_owned()).collect(),
                rule: rule.0.to_owned(),
                reason: reason.into_owned(),
            };
            self.tell(wrote);
        }
    }

    fn tell(&mut self, observation: Observation) {
        let message = Message::Observed { observation };
        let Ok(mut line) = serde_json::to_vec(&message) else {
            return;
        };
        line.push(b'\n');
        // Where codex is gone, so is the log, and the tree is about to be ended.
        let _ = self.control.write_all(&line);
    }
}
