//! One file to a definition, strictly: what is not understood is an error, since a limit that is
//! misspelled would otherwise be none.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use codex_protocol::glob::is_invisible;
use codex_protocol::hosts::HostRule;
use codex_protocol::model::ReasoningEffort;
use codex_protocol::security_profile::SecurityProfile;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{AgentDefinition, DefinitionError, GrantLimits};
use crate::narrow::{Budget, Selection};

/// The most bytes that a file may have. Real ones have a few thousand.
pub const MOST_BYTES: usize = 64 << 10;
/// The most bytes of instructions: they are sent with every request of the agent.
pub const MOST_INSTRUCTIONS: usize = 32 << 10;
/// The most characters of a description: the model is shown all of them.
pub const MOST_DESCRIPTION: usize = 400;
/// The most characters of a name of an agent, a tool or a server.
pub const MOST_NAME: usize = 64;
/// The most entries of a list.
pub const MOST_ENTRIES: usize = 64;
/// The most bytes of an entry of a list: `PATH_MAX` of Linux' `limits.h`.
const MOST_ENTRY: usize = 4096;
/// More than any run that makes sense: a week.
const MOST_SECONDS: u64 = 604_800;
/// More than any run that makes sense.
const MOST_TURNS: u64 = 10_000;
/// More than any run that makes sense.
const MOST_TOKENS: u64 = 1_000_000_000_000;

/// What a file may say, and what about it, for the page in `docs/`.
pub(super) const KEYS: &[(&str, &str)] = &[
    (
        "name",
        "the type's name: lower-case letters, digits, `-` and `_`. Without it, the file's name without `.toml`",
    ),
    (
        "description",
        "what it is for, in one line. The model chooses by it",
    ),
    (
        "instructions",
        "what it is told. Codex's `developer_instructions` is another spelling",
    ),
    (
        "profile",
        "`offline`, `workspace-write`, `net-read-only` or `trusted`. Without it, its parent's. Codex's `sandbox_mode` is another spelling",
    ),
    (
        "tools",
        "the tools that it can call. Without it, all that its parent has",
    ),
    (
        "mcp_servers",
        "the MCP servers whose tools it can call, by their names in your `config.toml`. Without it, all that its parent has",
    ),
    (
        "hosts",
        "the only hosts that it may read (`HOST`, `HOST:PORT`, `HOST/PATH`, `*.DOMAIN`); it needs a `profile` that confines, as the next three do. Without it, those of its parent. Without effect in this version: agents reach no hosts",
    ),
    (
        "allow_read",
        "what it keeps of the granted reads. Without it, all of them",
    ),
    (
        "allow_write",
        "what it keeps of the granted writes, or the only part of the workspace that it writes with `profile = \"offline\"`. Without it, all of them",
    ),
    (
        "allow_exec",
        "what it keeps of the granted programs. Without it, all of them",
    ),
    (
        "deny_read",
        "what it may not read although its parent may; needs such a `profile` too",
    ),
    (
        "pass_env",
        "what it keeps of the variables that are passed to commands beyond the usual. Without it, all of them",
    ),
    ("model", "the model. Without it, its parent's"),
    (
        "model_reasoning_effort",
        "`none`, `minimal`, `low`, `medium`, `high` or `xhigh`. Without it, as its parent",
    ),
    ("budget.turns", "the most model requests"),
    (
        "budget.tokens",
        "the most tokens read and written, all requests together",
    ),
    ("budget.seconds", "the most time, in seconds"),
];

/// Other spellings, of Codex's agent files.
const SPELLINGS: &[(&str, &str)] = &[
    ("developer_instructions", "instructions"),
    ("sandbox_mode", "profile"),
];

/// What Codex's agent files may say besides, without effect here.
pub(super) const UNUSED: &[&str] = &[
    "approval_policy",
    "model_provider",
    "model_reasoning_summary",
    "model_verbosity",
    "nickname_candidates",
    "service_tier",
    "skills",
    "web_search",
];

/// A file that was read.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Document {
    /// What it says. Texts that it does not have are empty.
    pub(super) definition: AgentDefinition,
    /// Keys of Codex's that it sets without effect.
    pub(super) unused: Vec<String>,
}

/// Reads a file's text. `stem` is the file's name without its ending; `file` is how people see
/// its path.
pub(super) fn read(text: &str, stem: &str, file: &Arc<str>) -> Result<Document, DefinitionError> {
    let in_file = |at: usize, what: String| {
        let (line, column) = position(text, at);
        DefinitionError::InFile {
            file: Arc::clone(file),
            line,
            column,
            what,
        }
    };
    if text.len() > MOST_BYTES {
        return Err(DefinitionError::File {
            file: Arc::clone(file),
            what: format!("is larger than {} KiB; shorten it", MOST_BYTES >> 10),
        });
    }
    let table = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(text.len(), |span| span.start);
        let message = match error.message().replace('\n', ", ") {
            message if message.is_empty() => "invalid TOML".to_owned(),
            message => message,
        };
        in_file(at, format!("not valid TOML: {message}; mend it there"))
    })?;
    let mut reader = Reader {
        definition: AgentDefinition {
            name: stem.to_owned(),
            description: String::new(),
            instructions: String::new(),
            tools: Selection::All,
            mcp_servers: Selection::All,
            profile: None,
            model: None,
            effort: None,
            budget: Budget::default(),
            hosts: None,
            grants: GrantLimits::default(),
        },
        given: BTreeSet::new(),
        needs_profile: None,
        unused: Vec::new(),
        first: None,
    };
    reader.table(table.get_ref());
    if let Some((at, what)) = reader.first {
        return Err(in_file(at, what));
    }
    let definition = reader.definition;
    let confines = definition
        .profile
        .is_some_and(|profile| profile != SecurityProfile::Trusted);
    if let Some((at, key)) = reader.needs_profile.filter(|_| !confines) {
        let what = format!(
            "'{key}' can only be enforced by a profile that confines; set 'profile' to offline, workspace-write or net-read-only"
        );
        return Err(in_file(at, what));
    }
    if !is_name(&definition.name) {
        return Err(DefinitionError::File {
            file: Arc::clone(file),
            what: format!("its name is no name of an agent: {NAME_RULE}; rename it, or set 'name'"),
        });
    }
    Ok(Document {
        definition,
        unused: reader.unused,
    })
}

const NAME_RULE: &str = "a name has lower-case letters, digits, '-' and '_', begins with a letter, is not 'main' and has 64 characters at most";

/// Whether `name` can be a type's.
pub(super) fn is_name(name: &str) -> bool {
    name.len() <= MOST_NAME
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b))
        // The agent that talks to the person.
        && name != "main"
}

/// Line, and column in characters, of a byte; both from 1.
fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..text.floor_char_boundary(at)).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
    (before.matches('\n').count() + 1, column)
}

/// Whether `c` could steer a terminal or hide what stands in a text: control characters other than
/// ends of lines and tabs, marks that turn the direction of text, invisible tag characters.
fn is_hidden(c: char) -> bool {
    (c.is_control() && !matches!(c, '\n' | '\t'))
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{e0000}'..='\u{e0fff}')
}

/// A foreign text as a message may show it.
fn shown(text: &str) -> String {
    let short: String = text.chars().take(MOST_NAME).collect();
    let more = if short.len() < text.len() { "…" } else { "" };
    format!("{short:?}{more}")
}

struct Reader {
    definition: AgentDefinition,
    given: BTreeSet<&'static str>,
    /// The first limit that only a profile can enforce.
    needs_profile: Option<(usize, &'static str)>,
    unused: Vec<String>,
    /// The error nearest to the beginning. The table comes sorted by name, not by place.
    first: Option<(usize, String)>,
}

impl Reader {
    fn complain(&mut self, at: usize, what: String) {
        if self.first.as_ref().is_none_or(|(first, _)| at < *first) {
            self.first = Some((at, what));
        }
    }

    fn table(&mut self, table: &DeTable<'_>) {
        for (name, value) in table {
            let at = name.span().start;
            let written = name.get_ref().as_ref();
            if UNUSED.contains(&written) {
                self.unused.push(written.to_owned());
                continue;
            }
            let same = SPELLINGS.iter().find(|(other, _)| *other == written);
            let own = same.map_or(written, |(_, own)| own);
            let known = KEYS.iter().map(|(key, _)| *key);
            let Some(key) = known.chain(["budget"]).find(|key| *key == own) else {
                self.complain(at, unknown(written, ""));
                continue;
            };
            if !self.given.insert(key) {
                let what = format!("'{key}' stands here in two spellings; remove one");
                self.complain(at, what);
                continue;
            }
            let checked = match (key, value.get_ref()) {
                ("budget", DeValue::Table(budget)) => {
                    self.budget(budget);
                    Ok(())
                }
                ("budget", other) => {
                    Err(not_a("a table with 'turns', 'tokens' or 'seconds'", other))
                }
                _ => self.key(key, written, value),
            };
            match checked {
                Ok(()) => {
                    let limits = [
                        "hosts",
                        "allow_read",
                        "allow_write",
                        "allow_exec",
                        "deny_read",
                    ];
                    if limits.contains(&key)
                        && self.needs_profile.is_none_or(|(first, _)| at < first)
                    {
                        self.needs_profile = Some((at, key));
                    }
                }
                Err(wrong) => {
                    let at = wrong.at.unwrap_or_else(|| value.span()).start;
                    self.complain(at, format!("'{written}' {}", wrong.what));
                }
            }
        }
    }

    fn key(
        &mut self,
        key: &'static str,
        written: &str,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<(), Wrong> {
        let inner = value.get_ref();
        let definition = &mut self.definition;
        match key {
            "name" => {
                let name = text(inner)?;
                if !is_name(name) {
                    return Err(format!("is {}; {NAME_RULE}", shown(name)).into());
                }
                definition.name = name.to_owned();
            }
            "description" => definition.description = description(inner)?,
            "instructions" => definition.instructions = instructions(inner)?,
            "profile" => definition.profile = Some(profile(written, inner)?),
            "model" => definition.model = Some(word(inner)?),
            "model_reasoning_effort" => definition.effort = Some(effort(inner)?),
            "tools" => definition.tools = Selection::Only(list(inner, name)?.into_iter().collect()),
            "mcp_servers" => self.definition.mcp_servers = self.mcp_servers(inner)?,
            "hosts" => {
                definition.hosts = Some(list(inner, |host| {
                    HostRule::parse(host)
                        .map(drop)
                        .map_err(|e| format!("has an entry that is no host: {e}"))
                })?);
            }
            "allow_read" => definition.grants.reads = Some(list(inner, plain)?),
            "allow_write" => definition.grants.writes = Some(list(inner, plain)?),
            "allow_exec" => definition.grants.programs = Some(list(inner, plain)?),
            "deny_read" => definition.grants.denied_reads = list(inner, plain)?,
            "pass_env" => definition.grants.variables = Some(list(inner, variable)?),
            _ => {
                return Err(
                    format!("is known and cannot be read; the keys are {}", keys("")).into(),
                );
            }
        }
        Ok(())
    }

    /// The servers' names. Codex's files have a table of them; what it says of a server is not
    /// read here, for servers are configured in one place.
    fn mcp_servers(&mut self, value: &DeValue<'_>) -> Result<Selection, Wrong> {
        let DeValue::Table(table) = value else {
            return Ok(Selection::Only(list(value, name)?.into_iter().collect()));
        };
        let mut names = BTreeSet::new();
        for server in table.keys().take(MOST_ENTRIES) {
            name(server.get_ref()).map_err(|what| Wrong {
                at: Some(server.span()),
                what,
            })?;
            let own = server.get_ref().clone().into_owned();
            self.unused.push(format!("mcp_servers.{own}"));
            names.insert(own);
        }
        Ok(Selection::Only(names))
    }

    fn budget(&mut self, table: &DeTable<'_>) {
        for (name, value) in table {
            let budget = &mut self.definition.budget;
            let read = match name.get_ref().as_ref() {
                "turns" => {
                    whole(value.get_ref(), MOST_TURNS).map(|n| budget.turns = u32::try_from(n).ok())
                }
                "tokens" => whole(value.get_ref(), MOST_TOKENS).map(|n| budget.tokens = Some(n)),
                "seconds" => whole(value.get_ref(), MOST_SECONDS)
                    .map(|n| budget.time = Some(Duration::from_secs(n))),
                other => {
                    self.complain(name.span().start, unknown(other, "budget."));
                    continue;
                }
            };
            if let Err(wrong) = read {
                let what = format!("'budget.{}' {}", name.get_ref(), wrong.what);
                self.complain(value.span().start, what);
            }
        }
    }
}

fn unknown(key: &str, table: &str) -> String {
    format!(
        "there is no key {}; the keys are {}",
        shown(&format!("{table}{key}")),
        keys(table)
    )
}

/// The keys of a table, for people.
fn keys(table: &str) -> String {
    let names: Vec<&str> = KEYS
        .iter()
        .filter(|(key, _)| key.starts_with(table))
        .map(|(key, _)| *key)
        .collect();
    names.join(", ")
}

/// What is wrong with a value, in words that go on after the key, and where if not at the value.
struct Wrong {
    at: Option<Range<usize>>,
    what: String,
}

impl From<String> for Wrong {
    fn from(what: String) -> Self {
        Self { at: None, what }
    }
}

fn not_a(expected: &str, value: &DeValue<'_>) -> Wrong {
    let kind = value.type_str();
    format!("has a value of the type {kind}; expected {expected}").into()
}

fn text<'v>(value: &'v DeValue<'_>) -> Result<&'v str, Wrong> {
    let text = value.as_str().ok_or_else(|| not_a("a string", value))?;
    if text.trim().is_empty() {
        return Err("is empty; give a value, or remove the key"
            .to_owned()
            .into());
    }
    if text.contains(is_hidden) {
        let what = "has control characters or marks that hide or turn text; remove them";
        return Err(what.to_owned().into());
    }
    Ok(text)
}

/// One line in which nothing is invisible.
fn line(value: &DeValue<'_>, most: usize) -> Result<String, Wrong> {
    let text = text(value)?.trim();
    if text.contains(|c: char| c.is_control() || is_invisible(c)) {
        let what = "has more than one line, or invisible characters; make it one plain line";
        return Err(what.to_owned().into());
    }
    if text.chars().count() > most {
        return Err(format!("has more than {most} characters; shorten it").into());
    }
    Ok(text.to_owned())
}

fn description(value: &DeValue<'_>) -> Result<String, Wrong> {
    line(value, MOST_DESCRIPTION)
}

fn word(value: &DeValue<'_>) -> Result<String, Wrong> {
    line(value, 200)
}

fn instructions(value: &DeValue<'_>) -> Result<String, Wrong> {
    // A multi-line string of a file with Windows' line ends has them.
    let text = match value.as_str() {
        Some(text) if text.contains("\r\n") => text.replace("\r\n", "\n"),
        _ => text(value)?.to_owned(),
    };
    if text.contains(is_hidden) {
        let what = "has control characters or marks that hide or turn text; remove them";
        return Err(what.to_owned().into());
    }
    if text.len() > MOST_INSTRUCTIONS {
        let most = MOST_INSTRUCTIONS >> 10;
        return Err(format!(
            "is longer than {most} KiB; shorten it, and let the agent read the rest from a file"
        )
        .into());
    }
    Ok(text.trim().to_owned())
}

fn profile(written: &str, value: &DeValue<'_>) -> Result<SecurityProfile, Wrong> {
    let word = text(value)?;
    if written == "sandbox_mode" {
        return SecurityProfile::from_sandbox_mode(word).ok_or_else(|| {
            format!(
                "is {}; the modes are read-only, workspace-write and danger-full-access",
                shown(word)
            )
            .into()
        });
    }
    word.parse().map_err(|_| {
        format!(
            "is {}; the profiles are offline, workspace-write, net-read-only and trusted",
            shown(word)
        )
        .into()
    })
}

fn effort(value: &DeValue<'_>) -> Result<ReasoningEffort, Wrong> {
    let word = text(value)?;
    Ok(match word {
        "none" => ReasoningEffort::None,
        "minimal" => ReasoningEffort::Minimal,
        "low" => ReasoningEffort::Low,
        "medium" => ReasoningEffort::Medium,
        "high" => ReasoningEffort::High,
        "xhigh" => ReasoningEffort::Xhigh,
        _ => {
            return Err(format!(
                "is {}; the efforts are none, minimal, low, medium, high and xhigh",
                shown(word)
            )
            .into());
        }
    })
}

fn whole(value: &DeValue<'_>, most: u64) -> Result<u64, Wrong> {
    let DeValue::Integer(integer) = value else {
        return Err(not_a("a whole number", value));
    };
    u64::from_str_radix(integer.as_str(), integer.radix())
        .ok()
        .filter(|n| (1..=most).contains(n))
        .ok_or_else(|| format!("is out of range; expected 1 to {most}").into())
}

/// The entries of a list, each once, in their order.
fn list(
    value: &DeValue<'_>,
    check: impl Fn(&str) -> Result<(), String>,
) -> Result<Vec<String>, Wrong> {
    let array = value
        .as_array()
        .ok_or_else(|| not_a("a list of strings", value))?;
    if array.len() > MOST_ENTRIES {
        return Err(format!("has more than {MOST_ENTRIES} entries; shorten it").into());
    }
    let mut entries: Vec<String> = Vec::new();
    for item in array {
        let at = |what| Wrong {
            at: Some(item.span()),
            what,
        };
        let entry = item
            .get_ref()
            .as_str()
            .ok_or_else(|| at("has an entry that is no string; put it in quotes".to_owned()))?;
        check(entry).map_err(at)?;
        if !entries.iter().any(|known| known == entry) {
            entries.push(entry.to_owned());
        }
    }
    Ok(entries)
}

/// An entry that is any text.
fn plain(entry: &str) -> Result<(), String> {
    let fits = !entry.is_empty()
        && entry.len() <= MOST_ENTRY
        && !entry.contains(|c: char| c.is_control() || is_invisible(c));
    match fits {
        true => Ok(()),
        false => Err(format!(
            "has an entry that is empty, longer than {MOST_ENTRY} bytes, or has characters that cannot be seen; correct it"
        )),
    }
}

/// An entry that is the name of a tool or a server.
fn name(entry: &str) -> Result<(), String> {
    let fits = !entry.is_empty()
        && entry.len() <= MOST_NAME
        && entry
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
    match fits {
        true => Ok(()),
        false => Err(format!(
            "has the entry {}, which is no name: letters, digits, '_', '-' and '.', {MOST_NAME} at most",
            shown(entry)
        )),
    }
}

/// An entry that is a pattern of variables.
fn variable(entry: &str) -> Result<(), String> {
    let fits = !entry.is_empty()
        && entry.len() <= 256
        && entry
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_*".contains(&b));
    match fits {
        true => Ok(()),
        false => Err(format!(
            "has the entry {}, which is no variable: letters, digits, '_', and '*' for any run of characters",
            shown(entry)
        )),
    }
}
