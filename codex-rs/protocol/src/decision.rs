//! What the gate answers.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fmt::{self, Write as _};
use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize, de};

use crate::glob;
use crate::security_profile::SecurityProfile;
use crate::wire;

/// How far a request gets. The order is by strictness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// It may go ahead, once it is recorded.
    Allow,
    /// A person has to be asked; where there is none, it is denied.
    Ask,
    /// It may not.
    Deny,
}

/// A rule's id: stable, so that logs, documentation and scripts can name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct Rule(pub &'static str);

/// Only the rules in [`RULES`] are read back.
impl<'de> Deserialize<'de> for Rule {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let id = Cow::<'_, str>::deserialize(from)?;
        let known = RULES.iter().find(|(rule, _)| rule.0 == id);
        known
            .map(|(rule, _)| *rule)
            .ok_or_else(|| de::Error::custom("there is no such rule"))
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Every rule, with one line of what it says. Printed by `codex policy show`.
pub const RULES: &[(Rule, &str)] = &[
    (rule::TRUSTED, "the Trusted profile allows it"),
    (
        rule::REQUEST_PATH,
        "a path in a request must be absolute and resolved",
    ),
    (rule::FS_READ, "files other than secrets may be read"),
    (
        rule::FS_SECRET,
        "secrets and other agents' credentials may not be read or written",
    ),
    (
        rule::FS_ENV_FILE,
        "reading a .env file of the workspace is asked for",
    ),
    (rule::FS_DENIED, "the person denied this path"),
    (rule::FS_GRANT, "the person granted this path"),
    (
        rule::FS_DEVICE,
        "devices that keep nothing, such as /dev/null, may be used, and no others",
    ),
    (rule::FS_READ_ONLY, "the profile writes no files"),
    (
        rule::FS_WORKSPACE,
        "the workspace and the private temporary directory may be written",
    ),
    (
        rule::FS_OUTSIDE,
        "files outside the workspace may not be written",
    ),
    (
        rule::FS_PROTECTED,
        "files that would run code later or steer agents may not be written",
    ),
    (rule::EXEC_ANY, "any program may start inside the sandbox"),
    (rule::EXEC_LISTED, "the program is on the profile's list"),
    (
        rule::EXEC_UNLISTED,
        "the program is not on the profile's list",
    ),
    (rule::EXEC_GRANT, "the person granted this program"),
    (rule::NET_OFFLINE, "the profile reaches no network"),
    (rule::NET_HOST, "the host is not on the list of hosts"),
    (
        rule::NET_PRESET,
        "the host belongs to a preset of the profile or the person",
    ),
    (rule::NET_DENIED, "the person denied this host"),
    (rule::NET_METHOD, "only GET, HEAD and OPTIONS read"),
    (
        rule::NET_TUNNEL,
        "a tunnel that cannot be looked into is granted by name",
    ),
    (
        rule::NET_REQUEST,
        "a request must be one that every server reads alike",
    ),
    (
        rule::NET_ADDRESS,
        "a host's name must not lead to a private address",
    ),
    (rule::NET_GRANT, "the host is on the list of hosts"),
    (
        rule::NET_DIRECT,
        "what the network may be reached for goes through the proxy, not by a program's own socket",
    ),
    (
        rule::NET_LOOPBACK,
        "the host's own servers are not reached, only those that a command started itself",
    ),
    (
        rule::NET_UNIX,
        "unix sockets are reached in the workspace and the private temporary directory alone",
    ),
    (
        rule::NET_SOCKET,
        "sockets other than those for TCP, UDP and unix streams are closed to commands",
    ),
    (
        rule::PRIVILEGE_KERNEL,
        "the kernel's privileged calls are closed to commands",
    ),
    (
        rule::PRIVILEGE_TERMINAL,
        "nothing is typed into the person's terminal",
    ),
    (
        rule::PRIVILEGE_PROCESS,
        "processes outside the sandbox are not signalled, traced, read or changed",
    ),
    (
        rule::RESOURCE_PROCESSES,
        "a run has only so many processes at one time",
    ),
    (rule::RESOURCE_MEMORY, "a run has only so much memory"),
    (rule::MODEL_CONFIGURED, "the person configured this model"),
    (
        rule::TELEMETRY_CONFIGURED,
        "the person configured this collector of telemetry",
    ),
    (
        rule::APPROVAL_NEVER,
        "the approval policy is never, so what would ask is denied",
    ),
    (rule::APPROVAL_REFUSED, "the person refused"),
    (rule::APPROVAL_GIVEN, "the person approved"),
    (
        rule::APPROVAL_SESSION,
        "the person approved this host for the session",
    ),
    (
        rule::APPROVAL_ALWAYS,
        "the person approved this host for good",
    ),
    (
        rule::APPROVAL_UNANSWERED,
        "nobody answered in time, or too many questions were open",
    ),
    (
        rule::AGENT_RIGHTS,
        "a sub-agent gets no right that its parent does not have",
    ),
    (
        rule::AGENT_SPAWN,
        "a sub-agent may start, within its parent's rights",
    ),
    (
        rule::AGENT_LIMIT,
        "there are so many sub-agents, so deep, and with so much of the budget",
    ),
    (
        rule::AGENT_CANCEL,
        "a sub-agent was ended before it was done",
    ),
    (
        rule::AGENT_MAILBOX,
        "a message to an agent was dropped: its mailbox was full or closed",
    ),
    (
        rule::AGENT_MERGE,
        "what a sub-agent changed was merged, or kept where it conflicts",
    ),
];

/// The rules' ids.
pub mod rule {
    use super::Rule;

    /// The Trusted profile allows it.
    pub const TRUSTED: Rule = Rule("trusted");
    /// A path that is relative or unresolved.
    pub const REQUEST_PATH: Rule = Rule("request.path");
    /// Ordinary reads.
    pub const FS_READ: Rule = Rule("fs.read");
    /// Secrets.
    pub const FS_SECRET: Rule = Rule("fs.secret");
    /// `.env` files of the workspace.
    pub const FS_ENV_FILE: Rule = Rule("fs.env-file");
    /// `--deny-read`.
    pub const FS_DENIED: Rule = Rule("fs.denied");
    /// `--allow-read`, `--allow-write`.
    pub const FS_GRANT: Rule = Rule("fs.grant");
    /// `/dev/null` and its like.
    pub const FS_DEVICE: Rule = Rule("fs.device");
    /// A profile without writes.
    pub const FS_READ_ONLY: Rule = Rule("fs.read-only");
    /// Writes inside the workspace.
    pub const FS_WORKSPACE: Rule = Rule("fs.workspace");
    /// Writes outside the workspace.
    pub const FS_OUTSIDE: Rule = Rule("fs.outside");
    /// Protected paths.
    pub const FS_PROTECTED: Rule = Rule("fs.protected");
    /// Any program.
    pub const EXEC_ANY: Rule = Rule("exec.any");
    /// A listed program.
    pub const EXEC_LISTED: Rule = Rule("exec.listed");
    /// An unlisted program.
    pub const EXEC_UNLISTED: Rule = Rule("exec.unlisted");
    /// `--allow-exec`.
    pub const EXEC_GRANT: Rule = Rule("exec.grant");
    /// No network.
    pub const NET_OFFLINE: Rule = Rule("net.offline");
    /// An unlisted host.
    pub const NET_HOST: Rule = Rule("net.host");
    /// A host of a preset.
    pub const NET_PRESET: Rule = Rule("net.preset");
    /// A denied host.
    pub const NET_DENIED: Rule = Rule("net.denied");
    /// A method that writes.
    pub const NET_METHOD: Rule = Rule("net.method");
    /// An opaque tunnel.
    pub const NET_TUNNEL: Rule = Rule("net.tunnel");
    /// A malformed or ambiguous request.
    pub const NET_REQUEST: Rule = Rule("net.request");
    /// A private address behind a name.
    pub const NET_ADDRESS: Rule = Rule("net.address");
    /// A listed host.
    pub const NET_GRANT: Rule = Rule("net.grant");
    /// A program's own socket where the proxy is the way.
    pub const NET_DIRECT: Rule = Rule("net.direct");
    /// The host's loopback.
    pub const NET_LOOPBACK: Rule = Rule("net.loopback");
    /// Unix sockets.
    pub const NET_UNIX: Rule = Rule("net.unix");
    /// Other kinds of sockets.
    pub const NET_SOCKET: Rule = Rule("net.socket");
    /// Kernel surface.
    pub const PRIVILEGE_KERNEL: Rule = Rule("privilege.kernel");
    /// Terminal injection.
    pub const PRIVILEGE_TERMINAL: Rule = Rule("privilege.terminal");
    /// Processes outside.
    pub const PRIVILEGE_PROCESS: Rule = Rule("privilege.process");
    /// Too many processes.
    pub const RESOURCE_PROCESSES: Rule = Rule("resource.processes");
    /// Too much memory.
    pub const RESOURCE_MEMORY: Rule = Rule("resource.memory");
    /// The configured model.
    pub const MODEL_CONFIGURED: Rule = Rule("model.configured");
    /// The configured collector of telemetry.
    pub const TELEMETRY_CONFIGURED: Rule = Rule("telemetry.configured");
    /// Nobody may be asked.
    pub const APPROVAL_NEVER: Rule = Rule("approval.never");
    /// The person said no.
    pub const APPROVAL_REFUSED: Rule = Rule("approval.refused");
    /// The person said yes.
    pub const APPROVAL_GIVEN: Rule = Rule("approval.given");
    /// The person said yes for the session.
    pub const APPROVAL_SESSION: Rule = Rule("approval.session");
    /// The person said yes for good.
    pub const APPROVAL_ALWAYS: Rule = Rule("approval.always");
    /// Nobody said anything in time.
    pub const APPROVAL_UNANSWERED: Rule = Rule("approval.unanswered");
    /// A sub-agent that asks for more than its parent has.
    pub const AGENT_RIGHTS: Rule = Rule("agent.rights");
    /// A sub-agent within its parent's rights.
    pub const AGENT_SPAWN: Rule = Rule("agent.spawn");
    /// No place, depth or budget for another sub-agent.
    pub const AGENT_LIMIT: Rule = Rule("agent.limit");
    /// A sub-agent ended from outside.
    pub const AGENT_CANCEL: Rule = Rule("agent.cancel");
    /// A message that was dropped.
    pub const AGENT_MAILBOX: Rule = Rule("agent.mailbox");
    /// A sub-agent's changes.
    pub const AGENT_MERGE: Rule = Rule("agent.merge");
}

/// The smallest step that would allow what was not allowed. Displays as what to type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Remedy {
    /// Make this path readable for one run.
    AllowRead(#[serde(with = "wire::path")] PathBuf),
    /// Make this path writable for one run.
    AllowWrite(#[serde(with = "wire::path")] PathBuf),
    /// Let this program start for one run.
    AllowExec(#[serde(with = "wire::path")] PathBuf),
    /// Let this host be read for one run.
    AllowHost(String),
    /// Let this host be reached by a tunnel for one run.
    AllowTunnel(String),
    /// Let this named read use POST for one run.
    AllowPost(String),
    /// Run under another profile.
    Profile(SecurityProfile),
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AllowRead(path) => write!(f, "--allow-read {}", shell_word(path)),
            Self::AllowWrite(path) => write!(f, "--allow-write {}", shell_word(path)),
            Self::AllowExec(path) => write!(f, "--allow-exec {}", shell_word(path)),
            Self::AllowHost(host) => write!(f, "--allow-host {}", shell_word(host)),
            Self::AllowTunnel(host) => write!(f, "--allow-tunnel {}", shell_word(host)),
            Self::AllowPost(name) => write!(f, "--allow-post {name}"),
            Self::Profile(profile) => write!(f, "--profile {}", profile.flag()),
        }
    }
}

/// The text as a person could paste it into a shell (bash, zsh, ksh). What cannot be seen or is
/// not UTF-8 is escaped, so that a hostile name neither drives the terminal that shows it nor
/// passes for another.
fn shell_word(text: impl AsRef<OsStr>) -> String {
    let text = text.as_ref();
    let hidden = |c: char| c.is_control() || glob::is_invisible(c);
    let plain = |c: char| (c.is_alphanumeric() && !hidden(c)) || "/._-+@%:,=~".contains(c);
    if let Some(text) = text.to_str() {
        if !text.is_empty() && text.chars().all(plain) {
            return text.to_owned();
        }
        if !text.chars().any(hidden) {
            return format!("'{}'", text.replace('\'', r"'\''"));
        }
    }
    let mut word = String::from("$'");
    let escape = |word: &mut String, bytes: &[u8]| {
        for byte in bytes {
            // Writing to a String cannot fail.
            let _ = write!(word, "\\x{byte:02x}");
        }
    };
    for chunk in text.as_encoded_bytes().utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\'' | '\\' => word.extend(['\\', c]),
                c if hidden(c) => escape(&mut word, c.encode_utf8(&mut [0; 4]).as_bytes()),
                c => word.push(c),
            }
        }
        escape(&mut word, chunk.invalid());
    }
    word.push('\'');
    word
}

/// The gate's answer to one request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// How far it gets.
    pub effect: Effect,
    /// Which rule said so.
    pub rule: Rule,
    /// Why, beginning with the profile's name, in words a person can act on.
    pub reason: Cow<'static, str>,
    /// What would allow it, where something short of another design would.
    pub remedy: Option<Remedy>,
}

impl Decision {
    /// The reason and the remedy in one line: the one text that reports, the log's `explain` and
    /// the model all get.
    #[must_use]
    pub fn explanation(&self) -> String {
        match &self.remedy {
            Some(remedy) => format!("{} (to allow it: {remedy})", self.reason),
            None => self.reason.clone().into_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remedy_can_be_pasted_and_hides_nothing() {
        for (path, expected) in [
            ("/srv/a-b/c.rs", "/srv/a-b/c.rs"),
            ("/srv/\u{e9}t\u{e9}", "/srv/\u{e9}t\u{e9}"),
            ("/srv/a b", "'/srv/a b'"),
            ("/srv/it's", r"'/srv/it'\''s'"),
            ("/srv/$(reboot)", "'/srv/$(reboot)'"),
            ("/srv/\u{1b}[2J\n'", r"$'/srv/\x1b[2J\x0a\''"),
            ("/srv/a\u{202e}b", r"$'/srv/a\xe2\x80\xaeb'"),
            ("", "''"),
        ] {
            let remedy = Remedy::AllowRead(path.into());
            assert_eq!(remedy.to_string(), format!("--allow-read {expected}"));
        }
        let host = Remedy::AllowHost("a;reboot".to_owned());
        assert_eq!(host.to_string(), "--allow-host 'a;reboot'");
    }

    #[test]
    fn a_remedy_names_a_path_that_is_not_utf_8_exactly() {
        // Only Unix has such names; elsewhere serde gives none.
        let name = serde_json::json!({ "Unix": b"/srv/caf\xe9".as_slice() });
        let Ok(name) = serde_json::from_value::<std::ffi::OsString>(name) else {
            return;
        };
        let remedy = Remedy::AllowWrite(name.into());
        assert_eq!(remedy.to_string(), r"--allow-write $'/srv/caf\xe9'");
    }
}
