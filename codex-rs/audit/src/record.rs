//! One line of the log.
//!
//! A line is one JSON object without spaces between its tokens. Its fields stand in this order,
//! and those marked `?` are left out where there is nothing to say:
//!
//! | field | what |
//! |---|---|
//! | `v` | version of the format: 1 |
//! | `seq` | number of the record, from 1, without gaps |
//! | `timestamp` | RFC 3339, UTC, milliseconds: `2026-01-02T03:04:05.678Z` |
//! | `session_id`, `task_id`, `agent_type` | on whose behalf |
//! | `profile` | the profile in force |
//! | `operation`, `target` | what was attempted, on what |
//! | `decision` | `allowed` or `denied` |
//! | `reason`, `rule` | why, in words and as a rule's id |
//! | `evidence` | how the log knows: `observed`, `declared` or `inferred` |
//! | `pid`?, `exe`? | the process that attempted it |
//! | `count`? | how many attempts the record stands for |
//! | `detail`? | an object with whatever else is known |
//! | `prev`, `hash` | the chain, see [`chain`](crate::chain) |
//!
//! Every text in it went through the [`Masker`]. Where a process was killed in the middle of a
//! line, the next record's `detail` has `recovered`, see [`writer`](crate::writer).

use std::borrow::Cow;
use std::time::SystemTime;

use codex_protocol::operation::{Evidence, Operation, Outcome};
use codex_protocol::record::Entry;
use codex_protocol::security_profile::SecurityProfile;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Fault;
use crate::detail::Detail;
use crate::mask::Masker;

/// The version of the format that this crate writes and reads.
pub const VERSION: u32 = 1;

/// The longest line that is read, in bytes: 1 MiB. What is written stays far below, since the
/// [`Masker`] bounds every text and the whole of `detail`.
pub const MAX_LINE: usize = 1 << 20;

/// Longest id, agent type or rule, in bytes: an id of ours has 36, and a hostile name must not
/// fill the log.
const MAX_ID: usize = 256;

/// A record as it was read. Serializing it gives the line again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Version of the format.
    pub v: u32,
    /// Number of the record.
    pub seq: u64,
    /// When it was written: RFC 3339, UTC, milliseconds.
    pub timestamp: String,
    /// The conversation.
    pub session_id: String,
    /// The unit of work.
    pub task_id: String,
    /// `main`, or a sub-agent's type.
    pub agent_type: String,
    /// The profile in force.
    pub profile: SecurityProfile,
    /// What was attempted.
    pub operation: Operation,
    /// On what, masked.
    pub target: String,
    /// How it ended.
    pub decision: Outcome,
    /// Why.
    pub reason: String,
    /// Which rule said so.
    pub rule: String,
    /// How the log knows.
    pub evidence: Evidence,
    /// The process that attempted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// That process's program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exe: Option<String>,
    /// How many attempts it stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// What else is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<Value>,
    /// The hash of the line before.
    pub prev: String,
    /// The hash of this line.
    pub hash: String,
}

impl Record {
    /// Reads one line. Does not check the chain.
    ///
    /// # Errors
    /// What is wrong with the line: not JSON, not a record, or of a later version.
    pub fn parse(line: &[u8]) -> Result<Self, String> {
        let record: Self = serde_json::from_slice(line).map_err(|e| e.to_string())?;
        if record.v != VERSION {
            return Err(format!(
                "version {} of the format, where this codex reads {VERSION}",
                record.v
            ));
        }
        Ok(record)
    }
}

/// An entry with all of its texts masked: all that is left to add is its place in the chain.
#[derive(Debug)]
pub(crate) struct Masked<'e> {
    pub(crate) entry: &'e Entry,
    session_id: Cow<'e, str>,
    task_id: Cow<'e, str>,
    agent_type: Cow<'e, str>,
    pub(crate) target: Cow<'e, str>,
    pub(crate) reason: Cow<'e, str>,
    pub(crate) rule: Cow<'e, str>,
    exe: Option<Cow<'e, str>>,
    detail: Option<Value>,
}

impl<'e> Masked<'e> {
    /// `entry` as `detail` says, masked.
    pub(crate) fn new(masker: &Masker, entry: &'e Entry, detail: Detail) -> Self {
        let subject = &entry.subject;
        let (text, room) = (detail.text(), detail.room());
        let kept = entry.detail.as_ref().and_then(|d| detail.keep(d));
        let exe = entry.exe.as_deref().filter(|_| detail > Detail::Minimal);
        Self {
            entry,
            session_id: masker.mask_to(subject.session_id.as_str(), MAX_ID),
            task_id: masker.mask_to(subject.task_id.as_str(), MAX_ID),
            agent_type: masker.mask_to(subject.agent_type.as_str(), MAX_ID),
            target: masker.mask_to(detail.target(&entry.target), text),
            reason: masker.mask_to(&entry.reason, text),
            rule: masker.mask_to(&entry.rule, MAX_ID),
            exe: exe.map(|exe| masker.mask_to(exe, text)),
            detail: kept.map(|d| masker.mask_detail_to(&d, text, room)),
        }
    }

    /// With one more thing to say in `detail`, if there is: not masked.
    pub(crate) fn with_detail(mut self, key: &str, value: Option<Value>) -> Self {
        let Some(value) = value else { return self };
        let mut detail = match self.detail.take() {
            Some(Value::Object(map)) => map,
            None => Map::new(),
            Some(other) => Map::from_iter([("value".to_owned(), other)]),
        };
        detail.insert(key.to_owned(), value);
        self.detail = Some(Value::Object(detail));
        self
    }

    /// With `detail` as it is, which is the log's own and holds nothing of anybody else, and with
    /// what there is to say of a torn line.
    pub(crate) fn with_own_detail(mut self, detail: Value, recovered: Option<Value>) -> Self {
        self.detail = Some(detail);
        self.with_detail("recovered", recovered)
    }

    /// Writes the body of the line, see [`chain`](crate::chain), over what is in `line`.
    pub(crate) fn write_body(
        &self,
        line: &mut Vec<u8>,
        seq: u64,
        now: SystemTime,
    ) -> Result<(), Fault> {
        let timestamp = timestamp(now).ok_or(Fault::Clock)?;
        let Entry {
            subject,
            operation,
            outcome,
            evidence,
            pid,
            count,
            ..
        } = self.entry;
        let body = Body {
            v: VERSION,
            seq,
            timestamp: &timestamp,
            session_id: &self.session_id,
            task_id: &self.task_id,
            agent_type: &self.agent_type,
            profile: subject.profile,
            operation: *operation,
            target: &self.target,
            decision: *outcome,
            reason: &self.reason,
            rule: &self.rule,
            evidence: *evidence,
            pid: *pid,
            exe: self.exe.as_deref(),
            count: *count,
            detail: self.detail.as_ref(),
        };
        line.clear();
        serde_json::to_writer(&mut *line, &body).map_err(Fault::Serialize)?;
        // The closing brace: the chain follows.
        line.pop();
        Ok(())
    }
}

/// [`Record`] without the chain, to write: the order of its fields is the order of the format.
#[derive(Serialize)]
struct Body<'a> {
    v: u32,
    seq: u64,
    timestamp: &'a str,
    session_id: &'a str,
    task_id: &'a str,
    agent_type: &'a str,
    profile: SecurityProfile,
    operation: Operation,
    target: &'a str,
    decision: Outcome,
    reason: &'a str,
    rule: &'a str,
    evidence: Evidence,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exe: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a Value>,
}

/// `time` as the log writes it. Such texts sort as the times do. `None` outside the years that
/// a calendar of four digits has.
pub(crate) fn timestamp(time: SystemTime) -> Option<String> {
    let time = Timestamp::try_from(time).ok()?;
    Some(format!("{time:.3}"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_timestamp_has_milliseconds_and_says_utc() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_767_323_045_678, "2026-01-02T03:04:05.678Z"),
        ] {
            let time = SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
            assert_eq!(timestamp(time).as_deref(), Some(text));
        }
        let fine = SystemTime::UNIX_EPOCH + Duration::from_nanos(1_999_999);
        assert_eq!(
            timestamp(fine).as_deref(),
            Some("1970-01-01T00:00:00.001Z"),
            "cut, not rounded into the future"
        );
    }

    #[test]
    fn a_later_version_is_named() {
        let line = format!(
            r#"{{"v":2,"seq":1,"timestamp":"t","session_id":"s","task_id":"t","agent_type":"main","profile":"Offline","operation":"file_read","target":"x","decision":"denied","reason":"r","rule":"r","evidence":"declared","prev":"{0}","hash":"{0}"}}"#,
            "0".repeat(64)
        );
        assert!(
            Record::parse(line.as_bytes())
                .unwrap_err()
                .contains("version 2")
        );
        let one = line.replacen('2', "1", 1);
        let record = Record::parse(one.as_bytes()).unwrap();
        assert_eq!(serde_json::to_string(&record).unwrap(), one);
    }
}
