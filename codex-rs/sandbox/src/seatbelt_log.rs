//! What the macOS kernel's sandbox reports of denials, read from the system's log. Pure: `sys/macos`
//! runs `log stream --style ndjson` and hands its lines here.
//!
//! The kernel writes such a message for a system call that it has just refused, so what is read
//! here is observed. It is not complete: the log drops messages under load and joins repeated
//! ones. That nothing was read does not show that nothing was denied, and reports say so.

use codex_protocol::operation::Operation;
use codex_protocol::record::Attempt;
use serde::Deserialize;

/// The longest line that is looked at, in bytes: a path of the greatest length (`PATH_MAX`, 1,024
/// on macOS) with room for JSON's escapes and the record's other fields.
pub const LONGEST_LINE: usize = 32 << 10;

/// A denial that the kernel reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// In the words of our own log.
    pub operation: Operation,
    /// In the kernel's words: `file-write-create`, say.
    pub call: String,
    /// What it was tried on: a path, an address, or nothing where the kernel names none.
    pub target: String,
    /// The process, by the name that it gave itself.
    pub process: String,
    /// Its id.
    pub pid: u32,
    /// How often; more than once where the log joined reports.
    pub count: u64,
}

/// What selects the messages of a run, in the language of `log stream --predicate`. Only the
/// kernel's own count: any process may log a text like them.
#[must_use]
pub fn predicate(tag: &str) -> String {
    let tag: String = tag
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '-')
        .collect();
    format!("processID == 0 AND sender == \"Sandbox\" AND eventMessage ENDSWITH \"{tag}\"")
}

/// What reads the log: a program of the system and its arguments. The first line that it writes says
/// what is selected; each further one is a message. It is shown to administrators alone.
#[must_use]
pub fn command_line(tag: &str) -> [String; 6] {
    [
        "/usr/bin/log".to_owned(),
        "stream".to_owned(),
        "--style".to_owned(),
        "ndjson".to_owned(),
        "--predicate".to_owned(),
        predicate(tag),
    ]
}

impl Denied {
    /// As it is recorded. The kernel names what it denied, and not the rule of ours that it comes
    /// from.
    #[must_use]
    pub fn attempt(self) -> Attempt {
        Attempt {
            operation: self.operation,
            reason: format!("denied by the system's sandbox ({})", self.call),
            target: match self.target.is_empty() {
                true => self.call,
                false => self.target,
            },
            rule: RULE.to_owned(),
            pid: Some(self.pid),
            exe: Some(self.process),
            count: self.count,
        }
    }
}

/// What marks messages in the profile of a plan. The helper puts one of its own command's there.
pub const TAG: &str = "codex";

/// The rule that records of such denials name.
pub const RULE: &str = "seatbelt";

/// The fields of a line that are looked at.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    event_message: String,
    #[serde(rename = "processID")]
    process_id: u64,
    sender_image_path: String,
}

/// The kernel's extension that reports.
const SENDER: &str = "/System/Library/Extensions/Sandbox.kext/";

/// Reads a line of `log stream --style ndjson`. `None` for everything that is not the kernel's
/// report of a denial in the run that `tag` marks.
#[must_use]
pub fn read(line: &str, tag: &str) -> Option<Denied> {
    if line.len() > LONGEST_LINE || tag.is_empty() {
        return None;
    }
    let line: Line = serde_json::from_str(line).ok()?;
    if line.process_id != 0 || !line.sender_image_path.starts_with(SENDER) {
        return None;
    }
    let message = line.event_message.strip_suffix(tag)?;
    // The tag is a line or a word of its own, so that no longer tag ends with it.
    let message = message.strip_suffix(['\n', ' '])?.trim_end();
    let (count, report) = match message.split_once(" for Sandbox: ") {
        Some((joined, report)) => {
            let number = joined
                .strip_suffix(" duplicate reports")
                .or_else(|| joined.strip_suffix(" duplicate report"))?;
            (number.parse().ok()?, report)
        }
        None => (1, message.strip_prefix("Sandbox: ")?),
    };
    parse(report, count)
}

/// Reads `NAME(PID) deny(N) CALL TARGET`. A process chooses its own name; with a misleading one it
/// only misleads about itself, in its own run.
fn parse(report: &str, count: u64) -> Option<Denied> {
    const DENY: &str = ") deny(";
    let at = report.find(DENY)?;
    let (process, pid) = report[..at].rsplit_once('(')?;
    let (_, what) = report[at + DENY.len()..].split_once(") ")?;
    let (call, target) = what.split_once(' ').unwrap_or((what, ""));
    if call.is_empty() || !call.chars().all(is_call_character) {
        return None;
    }
    Some(Denied {
        operation: operation(call),
        call: call.to_owned(),
        target: target.to_owned(),
        process: process.to_owned(),
        pid: pid.parse().ok()?,
        count,
    })
}

fn is_call_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-*".contains(c)
}

fn operation(call: &str) -> Operation {
    let begins = |prefix: &str| call.starts_with(prefix);
    if begins("file-read") || call == "file-map-executable" || call == "file-test-existence" {
        Operation::FileRead
    } else if begins("file-write") || matches!(call, "file-link" | "file-clone" | "file-mknod") {
        Operation::FileWrite
    } else if begins("network") || call == "system-socket" {
        Operation::NetworkAccess
    } else if begins("process-exec") {
        Operation::ProcessSpawn
    } else {
        Operation::Privilege
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(message: &str) -> String {
        serde_json::json!({
            "timestamp": "2025-01-02 03:04:05.000000+0000",
            "processID": 0,
            "processImagePath": "/kernel",
            "senderImagePath": format!("{SENDER}Contents/MacOS/Sandbox"),
            "subsystem": "com.apple.sandbox.reporting",
            "category": "violation",
            "eventMessage": message,
        })
        .to_string()
    }

    #[test]
    fn the_kernels_reports_are_read() {
        for (message, expected) in [
            (
                "Sandbox: bash(4242) deny(1) file-write-create /private/tmp/a b\ncodex-7",
                (
                    "bash",
                    4242,
                    Operation::FileWrite,
                    "file-write-create",
                    "/private/tmp/a b",
                    1,
                ),
            ),
            (
                "Sandbox: my (odd) tool(7) deny(1) file-read-data /Users/ada/.ssh/id codex-7",
                (
                    "my (odd) tool",
                    7,
                    Operation::FileRead,
                    "file-read-data",
                    "/Users/ada/.ssh/id",
                    1,
                ),
            ),
            (
                "12 duplicate reports for Sandbox: curl(9) deny(1) network-outbound 192.0.2.1:443\ncodex-7",
                (
                    "curl",
                    9,
                    Operation::NetworkAccess,
                    "network-outbound",
                    "192.0.2.1:443",
                    12,
                ),
            ),
            (
                "1 duplicate report for Sandbox: sh(9) deny(1) process-exec* /usr/bin/perl\ncodex-7",
                (
                    "sh",
                    9,
                    Operation::ProcessSpawn,
                    "process-exec*",
                    "/usr/bin/perl",
                    1,
                ),
            ),
            (
                "Sandbox: sh(9) deny(1) system-privilege\ncodex-7",
                ("sh", 9, Operation::Privilege, "system-privilege", "", 1),
            ),
        ] {
            let (process, pid, operation, call, target, count) = expected;
            let denied = Denied {
                operation,
                call: call.to_owned(),
                target: target.to_owned(),
                process: process.to_owned(),
                pid,
                count,
            };
            assert_eq!(read(&line(message), "codex-7"), Some(denied), "{message}");
        }
    }

    #[test]
    fn what_was_denied_is_recorded_as_it_was_named() {
        let of = |text: &str| read(&line(&format!("{text}\ncodex-7")), "codex-7").unwrap();
        let written = of("2 duplicate reports for Sandbox: sh(9) deny(1) file-write-create /tmp/a");
        let expected = Attempt {
            operation: Operation::FileWrite,
            target: "/tmp/a".to_owned(),
            rule: "seatbelt".to_owned(),
            reason: "denied by the system's sandbox (file-write-create)".to_owned(),
            pid: Some(9),
            exe: Some("sh".to_owned()),
            count: 2,
        };
        assert_eq!(written.attempt(), expected);
        let without_target = of("Sandbox: sh(9) deny(1) system-privilege").attempt();
        assert_eq!(without_target.target, "system-privilege");
        let [program, .., predicate] = command_line("codex-7");
        assert_eq!(program, "/usr/bin/log");
        assert!(predicate.ends_with("ENDSWITH \"codex-7\""), "{predicate}");
    }

    #[test]
    fn what_others_say_is_no_report() {
        let report = "Sandbox: sh(9) deny(1) file-read-data /etc/x";
        let own = format!("{report}\ncodex-7");
        assert!(read(&line(&own), "codex-7").is_some());
        let from = |field: &str, value: serde_json::Value| {
            let mut whole: serde_json::Value = serde_json::from_str(&line(&own)).unwrap();
            whole[field] = value;
            whole.to_string()
        };
        for other in [
            line(report),
            line(&format!("{report}\ncodex-17")),
            line(&format!("{report}\nxcodex-7")),
            line("Sandbox: sh(9) allow file-read-data /etc/x\ncodex-7"),
            line("codex-7"),
            from("processID", 501.into()),
            from("senderImagePath", "/tmp/Sandbox.kext/".into()),
            own.clone(),
            "Filtering the log data using \"eventMessage\"".to_owned(),
            format!("{}{}", line(&own), " ".repeat(LONGEST_LINE)),
        ] {
            assert_eq!(read(&other, "codex-7"), None, "{other}");
        }
        assert_eq!(read(&line(report), ""), None, "no tag is no run");
        assert!(!predicate("a\" OR \"\" == \"").contains("OR \""));
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_harm(text in ".{0,200}", tag in ".{0,10}") {
            let _ = read(&text, &tag);
            let _ = read(&line(&format!("{text}\n{tag}")), &tag);
            let _ = read(&line(&format!("Sandbox: {text}\n{tag}")), &tag);
        }

        #[test]
        fn a_path_is_kept_as_it_is(path in "/[^\\x00]{0,60}[^\\x00\\s]") {
            let message = format!("Sandbox: sh(9) deny(1) file-read-data {path}\ncodex-7");
            let denied = read(&line(&message), "codex-7").unwrap();
            prop_assert_eq!(denied.target, path);
        }
    }
}
