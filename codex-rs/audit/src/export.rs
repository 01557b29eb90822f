//! Records in the forms that other tools read.

use codex_protocol::operation::{Operation, Outcome};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::record::Record;

/// The version of the Open Cybersecurity Schema Framework that [`ocsf`] follows
/// (schema.ocsf.io/1.3.0).
pub const OCSF_VERSION: &str = "1.3.0";

/// The first line of a CSV export.
pub const CSV_HEADER: &str = "seq,timestamp,session_id,task_id,agent_type,profile,operation,target,decision,reason,rule,evidence,pid,exe,count,detail,prev,hash";

/// One record as a line of CSV (RFC 4180, without the line end; every cell quoted).
///
/// A cell that a spreadsheet would take for a formula gets an apostrophe in front, as OWASP's
/// page on CSV injection has it.
#[must_use]
pub fn csv(record: &Record) -> String {
    let number = |n: Option<u64>| n.map(|n| n.to_string()).unwrap_or_default();
    let detail = record.detail.as_ref().map(Value::to_string);
    let cells = [
        &record.seq.to_string(),
        &record.timestamp,
        &record.session_id,
        &record.task_id,
        &record.agent_type,
        record.profile.name(),
        record.operation.as_str(),
        &record.target,
        record.decision.as_str(),
        &record.reason,
        &record.rule,
        record.evidence.as_str(),
        &number(record.pid.map(u64::from)),
        record.exe.as_deref().unwrap_or_default(),
        &number(record.count),
        detail.as_deref().unwrap_or_default(),
        &record.prev,
        &record.hash,
    ];
    let mut line = String::new();
    for (n, cell) in cells.into_iter().enumerate() {
        if n > 0 {
            line.push(',');
        }
        line.push('"');
        // Leading spaces are dropped by some importers before they look for a formula; the
        // full-width forms are taken for the plain ones by others.
        let formula = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];
        if cell.trim_start_matches(' ').starts_with(formula) {
            line.push('\'');
        }
        line.push_str(&cell.replace('"', "\"\""));
        line.push('"');
    }
    line
}

/// One record as an OCSF event. What OCSF has no field for is under `unmapped`.
///
/// | operation | class |
/// |---|---|
/// | `file_read`, `file_write` | File System Activity (1001) |
/// | `privilege` | Kernel Activity (1003) |
/// | `process_spawn`, `resource_limit` | Process Activity (1007) |
/// | `network_access` | Network Activity (4001) |
/// | the others | API Activity (6003) |
#[must_use]
pub fn ocsf(record: &Record) -> Value {
    let denied = record.decision == Outcome::Denied;
    // 99 is "other", which every class has.
    let (class, activity) = match record.operation {
        Operation::FileRead => (1001, 2),
        Operation::FileWrite => (1001, 3),
        Operation::Privilege => (1003, 4),
        Operation::ProcessSpawn => (1007, 1),
        Operation::ResourceLimit => (1007, 99),
        // Refuse, or open.
        Operation::NetworkAccess => (4001, if denied { 5 } else { 1 }),
        Operation::McpToolCall
        | Operation::PluginCall
        | Operation::ModelRequest
        | Operation::AgentSpawn
        | Operation::Approval
        | Operation::ProfileChange
        | Operation::Checkpoint => (6003, 99),
    };
    let time = record.timestamp.parse::<Timestamp>().ok();
    let mut event = json!({
        "class_uid": class,
        "category_uid": class / 1000,
        "activity_id": activity,
        "type_uid": class * 100 + activity,
        "time": time.map(Timestamp::as_millisecond),
        // Low, or informational.
        "severity_id": if denied { 2 } else { 1 },
        "status_id": if denied { 2 } else { 1 },
        "status_detail": record.reason,
        "action_id": if denied { 2 } else { 1 },
        "disposition_id": if denied { 2 } else { 1 },
        "count": record.count.unwrap_or(1),
        "metadata": {
            "version": OCSF_VERSION,
            "product": { "name": "codex", "vendor_name": "codex" },
            "profiles": ["security_control"],
            "uid": record.hash,
            "sequence": record.seq,
            "correlation_uid": record.session_id,
        },
        "actor": {
            "app_name": record.agent_type,
            "session": { "uid": record.session_id },
            "process": { "pid": record.pid, "file": record.exe.as_deref().map(file) },
        },
        "firewall_rule": { "uid": record.rule, "name": record.rule },
        "unmapped": {
            "task_id": record.task_id,
            "profile": record.profile.name(),
            "operation": record.operation.as_str(),
            "target": record.target,
            "evidence": record.evidence.as_str(),
            "detail": record.detail,
            "prev": record.prev,
            "hash": record.hash,
        },
    });
    let target = record.target.as_str();
    let (key, object) = match class {
        1001 => ("file", file(target)),
        1003 => ("kernel", json!({ "name": target, "type_id": 99 })),
        1007 => ("process", json!({ "cmd_line": target })),
        4001 => ("dst_endpoint", endpoint(target)),
        _ => ("api", json!({ "operation": record.operation.as_str() })),
    };
    event[key] = object;
    if class == 6003 {
        event["src_endpoint"] = json!({ "name": "codex" });
    } else {
        // The log says nothing of the machine it is on.
        event["device"] = json!({ "type_id": 0 });
    }
    event
}

fn file(path: &str) -> Value {
    let name = path.rsplit('/').find(|part| !part.is_empty());
    json!({ "name": name.unwrap_or(path), "path": path, "type_id": 0 })
}

fn endpoint(target: &str) -> Value {
    let (host, port) = target.rsplit_once(':').unwrap_or((target, ""));
    match port.parse::<u16>() {
        Ok(port) => json!({ "hostname": host, "port": port }),
        Err(_) => json!({ "hostname": target }),
    }
}
