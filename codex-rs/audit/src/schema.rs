//! The format of a record as a JSON Schema. `docs/audit-record.schema.json` holds it.

use codex_protocol::operation::{Evidence, Operation, Outcome};
use codex_protocol::security_profile::SecurityProfile;
use serde_json::{Value, json};

use crate::record::VERSION;

/// The schema of one line of the log (JSON Schema, draft 2020-12).
#[must_use]
pub fn schema() -> Value {
    let hash =
        |what: &str| json!({ "type": "string", "pattern": "^[0-9a-f]{64}$", "description": what });
    let text = |what: &str| json!({ "type": "string", "description": what });
    let words = |words: Vec<&str>, what: &str| json!({ "enum": words, "description": what });
    let number = |least: u64, what: &str| json!({ "type": "integer", "minimum": least, "description": what });
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "codex audit record, version 1",
        "description": "One line of the audit log. The fields stand in this order.",
        "type": "object",
        "additionalProperties": false,
        "required": [
            "v", "seq", "timestamp", "session_id", "task_id", "agent_type", "profile", "operation",
            "target", "decision", "reason", "rule", "evidence", "prev", "hash",
        ],
        "properties": {
            "v": { "const": VERSION, "description": "The version of the format." },
            "seq": number(1, "The record's number: 1 in the first line and one more in each that follows."),
            "timestamp": {
                "type": "string",
                "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z$",
                "description": "When it was written: RFC 3339, UTC, milliseconds.",
            },
            "session_id": text("The conversation."),
            "task_id": text("The unit of work."),
            "agent_type": text("main, or a sub-agent's type."),
            "profile": words(SecurityProfile::ALL.iter().map(|p| p.name()).collect(), "The profile in force."),
            "operation": words(Operation::ALL.iter().map(|o| o.as_str()).collect(), "What was attempted."),
            "target": text("On what, masked."),
            "decision": words(Outcome::ALL.iter().map(|o| o.as_str()).collect(), "Whether it went ahead."),
            "reason": text("Why, in words a person can act on."),
            "rule": text("The id of the rule that said so."),
            "evidence": words(Evidence::ALL.iter().map(|e| e.as_str()).collect(), "How the log knows."),
            "pid": number(0, "The process that attempted it."),
            "exe": text("That process's program, masked."),
            "count": number(0, "How many attempts the record stands for; 1 where it is left out."),
            "detail": { "type": "object", "description": "What else is known, masked." },
            "prev": hash("The hash of the line before; 64 zeros in the first line."),
            "hash": hash("SHA-256 over a version tag, prev and the line up to prev."),
        },
    })
}
