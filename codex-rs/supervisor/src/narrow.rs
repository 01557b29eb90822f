//! What a sub-agent may do, which is never more than its parent may.
//!
//! [`Rights`] are made whole once, for the main agent; from then on there is only
//! [`Rights::narrow`]. Whatever a child's type or whoever starts it asks for, it gets what its
//! parent has of that. What it does not get is named, right by right, as a [`Refusal`], so that
//! the caller can record it and, where somebody asked for it by name, not start the child at all.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use codex_protocol::decision::{Effect, rule};
use codex_protocol::gate;
use codex_protocol::hosts::HostRule;
use codex_protocol::operation::{Evidence, Operation, Outcome};
use codex_protocol::policy::{Grant, GrantSource, Layer, Places, Policy, Right};
use codex_protocol::record::{Entry, Subject};
use codex_protocol::request::{FileRead, FileWrite, ProcessSpawn, Requested, WriteKind};
use codex_protocol::security_profile::SecurityProfile;

/// Some of the things that have a name: tools, MCP servers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Selection {
    /// Whatever there is.
    #[default]
    All,
    /// These and no others; an empty one is none at all.
    Only(BTreeSet<String>),
}

impl Selection {
    /// These names and no others.
    pub fn only<T: Into<String>>(names: impl IntoIterator<Item = T>) -> Self {
        Self::Only(names.into_iter().map(Into::into).collect())
    }

    /// Nothing.
    #[must_use]
    pub fn none() -> Self {
        Self::Only(BTreeSet::new())
    }

    /// Whether `name` is among them.
    #[must_use]
    pub fn holds(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.contains(name),
        }
    }

    /// What is in both.
    #[must_use]
    pub fn narrow(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::All, narrower) | (narrower, Self::All) => narrower.clone(),
            (Self::Only(a), Self::Only(b)) => Self::Only(a & b),
        }
    }

    /// Whether everything in it is in `other` too.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::All) => true,
            (Self::All, Self::Only(_)) => false,
            (Self::Only(a), Self::Only(b)) => a.is_subset(b),
        }
    }

    /// The names in it that `other` lacks. [`Self::All`] names none: it is whatever there is.
    fn beyond<'s>(&'s self, other: &'s Self) -> impl Iterator<Item = &'s String> {
        let names = match self {
            Self::All => None,
            Self::Only(names) => Some(names),
        };
        names
            .into_iter()
            .flatten()
            .filter(|name| !other.holds(name))
    }
}

/// How far an agent may go before it is stopped. `None` is no limit of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// Model requests.
    pub turns: Option<u32>,
    /// Tokens read and written, all requests together.
    pub tokens: Option<u64>,
    /// Time from its start.
    pub time: Option<Duration>,
}

/// The smaller of two limits.
fn least<T: Ord>(a: Option<T>, b: Option<T>) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, other) => one.or(other),
    }
}

/// Whether the limit `a` is `b`'s or a smaller one.
fn is_at_most<T: Ord>(a: Option<T>, b: Option<T>) -> bool {
    match (a, b) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(a), Some(b)) => a <= b,
    }
}

impl Budget {
    /// The smaller of each limit.
    #[must_use]
    pub fn narrow(self, other: Self) -> Self {
        Self {
            turns: least(self.turns, other.turns),
            tokens: least(self.tokens, other.tokens),
            time: least(self.time, other.time),
        }
    }

    /// Whether none of its limits is larger than `other`'s.
    #[must_use]
    pub fn is_within(self, other: Self) -> bool {
        is_at_most(self.turns, other.turns)
            && is_at_most(self.tokens, other.tokens)
            && is_at_most(self.time, other.time)
    }
}

/// What an agent may do, and how far it may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rights {
    policy: Policy,
    tools: Selection,
    mcp_servers: Selection,
    budget: Budget,
}

/// What a child is to have of its parent's rights. What is `None` or [`Selection::All`] is: all
/// that the parent has of it. A list is all that is left of its kind, an empty one nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RightsRequest {
    /// The profile.
    pub profile: Option<SecurityProfile>,
    /// The tools that it can call.
    pub tools: Selection,
    /// The MCP servers whose tools it can call.
    pub mcp_servers: Selection,
    /// Rules of the hosts that may be read: no other is, whether by a grant or by a preset of the
    /// profile.
    pub hosts: Option<Vec<String>>,
    /// Granted reads, of secrets say. Absolute and resolved, as all paths here.
    pub reads: Option<Vec<PathBuf>>,
    /// Granted writes beyond the profile's own.
    pub writes: Option<Vec<PathBuf>>,
    /// Granted programs beyond the profile's list.
    pub programs: Option<Vec<PathBuf>>,
    /// Patterns of environment variables that are passed beyond the usual.
    pub variables: Option<Vec<String>>,
    /// Paths that it may not read although its parent may.
    pub denied_reads: Vec<PathBuf>,
    /// How far it may go.
    pub budget: Budget,
    /// Where it works, if not where its parent does: a worktree that is to be merged.
    pub places: Option<Places>,
}

/// A kind of right that a child can be refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RightKind {
    /// The profile.
    Profile,
    /// A tool.
    Tool,
    /// An MCP server.
    McpServer,
    /// A host to read from.
    Host,
    /// A granted read.
    Read,
    /// A granted write.
    Write,
    /// A granted program.
    Program,
    /// A pattern of environment variables.
    Variable,
    /// Model requests.
    Turns,
    /// Tokens.
    Tokens,
    /// Time.
    Time,
    /// The directory to work in.
    Workspace,
}

impl RightKind {
    /// Every kind.
    pub const ALL: [Self; 12] = [
        Self::Profile,
        Self::Tool,
        Self::McpServer,
        Self::Host,
        Self::Read,
        Self::Write,
        Self::Program,
        Self::Variable,
        Self::Turns,
        Self::Tokens,
        Self::Time,
        Self::Workspace,
    ];

    /// The word for it in records and reasons.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Profile => "profile",
            Self::Tool => "tool",
            Self::McpServer => "mcp_server",
            Self::Host => "host",
            Self::Read => "read",
            Self::Write => "write",
            Self::Program => "program",
            Self::Variable => "variable",
            Self::Turns => "turns",
            Self::Tokens => "tokens",
            Self::Time => "time",
            Self::Workspace => "workspace",
        }
    }
}

impl fmt::Display for RightKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A right that was asked for and that the parent does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {kind} '{wanted}' was asked for, and the parent {has}")]
pub struct Refusal {
    /// Which kind of right.
    pub kind: RightKind,
    /// What was asked for, as the request says it. Not masked yet.
    pub wanted: String,
    /// What the parent has of it, so that it reads on after "the parent".
    pub has: String,
}

impl Refusal {
    /// The denial as the log keeps it. `child` is the type that was to be started, `subject` the
    /// parent on whose behalf.
    #[must_use]
    pub fn entry(&self, subject: &Subject, child: &str) -> Entry {
        Entry {
            subject: subject.clone(),
            operation: Operation::AgentSpawn,
            target: child.to_owned(),
            outcome: Outcome::Denied,
            reason: format!("{} profile: {self}", subject.profile),
            rule: rule::AGENT_RIGHTS.0.to_owned(),
            evidence: Evidence::Declared,
            pid: None,
            exe: None,
            count: None,
            detail: Some(serde_json::json!({
                "right": self.kind.as_str(),
                "wanted": self.wanted,
            })),
        }
    }
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Narrowed {
    /// What the child gets: nothing that the parent lacks.
    pub rights: Rights,
    /// What it was to have and does not get.
    pub refused: Vec<Refusal>,
}

impl Narrowed {
    /// The rights, where they are all that was asked for.
    ///
    /// For what somebody asked for by name, a model in its call say: less than that is not what
    /// was meant. What a definition says is the most that an agent gets, so that there the child
    /// starts with what is left.
    ///
    /// # Errors
    /// Every right that the parent lacks.
    pub fn in_full(self) -> Result<Rights, Vec<Refusal>> {
        match self.refused.is_empty() {
            true => Ok(self.rights),
            false => Err(self.refused),
        }
    }
}

impl Rights {
    /// The rights of the main agent. Nothing else has rights that were not narrowed.
    #[must_use]
    pub fn new(policy: Policy, tools: Selection, mcp_servers: Selection, budget: Budget) -> Self {
        Self {
            policy,
            tools,
            mcp_servers,
            budget,
        }
    }

    /// These rights, for an agent that gets `directory` to work in: codex made it, for this agent
    /// alone. What is narrowed from them is all that the agent gets of it.
    pub(crate) fn with_own_place(&self, directory: &Path) -> Self {
        Self {
            policy: self.policy.with_own_place(directory),
            ..self.clone()
        }
    }

    /// What the gate reads and the sandbox enforces.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The tools that it can call.
    #[must_use]
    pub fn tools(&self) -> &Selection {
        &self.tools
    }

    /// The MCP servers whose tools it can call.
    #[must_use]
    pub fn mcp_servers(&self) -> &Selection {
        &self.mcp_servers
    }

    /// How far it may go.
    #[must_use]
    pub fn budget(&self) -> Budget {
        self.budget
    }

    /// The same rights within this budget as well: what is left of a parent's when a child starts.
    #[must_use]
    pub fn within(mut self, budget: Budget) -> Self {
        self.budget = self.budget.narrow(budget);
        self
    }

    /// The part of `request` that these rights hold.
    ///
    /// The child's policy is this one with one more layer, so that whatever the layer says, the
    /// gate never allows the child what it denies here. What this run made for itself, its private
    /// temporary directory above all, the child may use as well, unless its writes are limited.
    #[must_use]
    pub fn narrow(&self, request: &RightsRequest) -> Narrowed {
        let mut asking = Asking {
            parent: self,
            refused: Vec::new(),
        };
        let profile = asking.profile(request);
        let places = asking.places(request, profile);
        let layer = asking.layer(request, profile, places);
        asking.names(RightKind::Tool, &request.tools, &self.tools);
        asking.names(
            RightKind::McpServer,
            &request.mcp_servers,
            &self.mcp_servers,
        );
        asking.budget(request.budget);
        let refused = asking.refused;
        Narrowed {
            rights: Self {
                policy: self.policy.narrow(layer),
                tools: self.tools.narrow(&request.tools),
                mcp_servers: self.mcp_servers.narrow(&request.mcp_servers),
                budget: self.budget.narrow(request.budget),
            },
            refused,
        }
    }
}

impl RightsRequest {
    /// Whether it leaves something out that only a sandbox can enforce.
    fn limits_a_sandbox(&self) -> bool {
        let lists = [&self.reads, &self.writes, &self.programs];
        self.hosts.is_some()
            || lists.iter().any(|list| list.is_some())
            || !self.denied_reads.is_empty()
    }
}

/// A request on its way through the parent's rights.
struct Asking<'p> {
    parent: &'p Rights,
    refused: Vec<Refusal>,
}

impl Asking<'_> {
    fn refuse(&mut self, kind: RightKind, wanted: impl Into<String>, has: impl Into<String>) {
        self.refused.push(Refusal {
            kind,
            wanted: wanted.into(),
            has: has.into(),
        });
    }

    fn profile(&mut self, request: &RightsRequest) -> SecurityProfile {
        let own = self.parent.policy.profile();
        let wanted = request.profile.unwrap_or(own);
        let narrowed = own.narrow(wanted);
        if narrowed != wanted {
            self.refuse(RightKind::Profile, wanted.name(), format!("has {own}"));
        }
        if narrowed == SecurityProfile::Trusted && request.limits_a_sandbox() {
            let has = "has nothing that could enforce the limits asked for beside it";
            self.refuse(RightKind::Profile, narrowed.name(), has);
            return SecurityProfile::Offline;
        }
        narrowed
    }

    fn allows(&self, request: &dyn Requested) -> bool {
        gate::decide(&self.parent.policy, request.view()).effect == Effect::Allow
    }

    fn may_read(&self, path: &Path) -> bool {
        self.allows(&FileRead {
            path: path.to_owned(),
        })
    }

    /// Whether files below `directory` may be made.
    fn may_write_below(&self, directory: &Path) -> bool {
        self.allows(&FileWrite {
            path: directory.join("new-file"),
            kind: WriteKind::Create,
        })
    }

    fn places(&mut self, request: &RightsRequest, profile: SecurityProfile) -> Places {
        let own = &self.parent.policy.own().places;
        let Some(places) = &request.places else {
            return own.clone();
        };
        let writes = profile == SecurityProfile::WorkspaceWrite;
        let mut all_fine = true;
        for workspace in std::iter::once(&places.workspace).chain(&places.added) {
            if !self.may_read(workspace) || (writes && !self.may_write_below(workspace)) {
                let wanted = workspace.display().to_string();
                self.refuse(RightKind::Workspace, wanted, "cannot work there");
                all_fine = false;
            }
        }
        match all_fine {
            true => places.clone(),
            false => own.clone(),
        }
    }

    /// The innermost layer of the child's policy.
    fn layer(
        &mut self,
        request: &RightsRequest,
        profile: SecurityProfile,
        places: Places,
    ) -> Layer {
        let own = self.parent.policy.own();
        let looked_up = profile != SecurityProfile::Offline || !places.listed_programs.is_empty();
        let mut layer = match looked_up {
            true => Layer::new(profile, places),
            // The parent's profile has no list of programs, so nobody has looked for them yet.
            false => {
                let mut own = Policy::new(codex_core::places::layer(profile, places));
                codex_core::places::list_programs(&mut own);
                own.own().clone()
            }
        };
        let missing: Vec<_> = own
            .secrets()
            .iter()
            .filter(|secret| !layer.secrets().contains(secret))
            .cloned()
            .collect();
        layer.add_secrets(missing);
        let kept = |grant: &&Grant| match &grant.right {
            Right::Read(_) => grant.source == GrantSource::Internal || request.reads.is_none(),
            Right::Write(_) => request.writes.is_none(),
            Right::Exec(_) | Right::ExecTree(_) => request.programs.is_none(),
            // What is no longer among the only hosts is denied whatever is granted.
            Right::Host(_) | Right::Tunnel(_) | Right::ReadPost(_) => true,
            Right::PrivateHost(_) | Right::Preset(_) => true,
            Right::DenyRead(_) | Right::DenyHost(_) | Right::OnlyHosts(_) => true,
        };
        layer.grants = own.grants.iter().filter(kept).cloned().collect();
        let mut add = |right| {
            layer.grants.push(Grant {
                right,
                source: GrantSource::AgentDefinition,
            });
        };
        for path in request.reads.iter().flatten() {
            match self.may_read(path) {
                true => add(Right::Read(path.clone())),
                false => self.refuse(RightKind::Read, path.display().to_string(), CANNOT_READ),
            }
        }
        for path in request.writes.iter().flatten() {
            let file = FileWrite {
                path: path.clone(),
                kind: WriteKind::Modify,
            };
            match self.allows(&file) || self.may_write_below(path) {
                true => add(Right::Write(path.clone())),
                false => self.refuse(RightKind::Write, path.display().to_string(), CANNOT_WRITE),
            }
        }
        for path in request.programs.iter().flatten() {
            let start = ProcessSpawn {
                program: path.clone(),
                argv: Vec::new(),
                cwd: own.places.workspace.clone(),
            };
            match self.allows(&start) {
                true => add(Right::Exec(path.clone())),
                false => self.refuse(RightKind::Program, path.display().to_string(), CANNOT_START),
            }
        }
        if let Some(hosts) = &request.hosts {
            let kept: Vec<String> = hosts
                .iter()
                .filter(|text| self.host(text))
                .cloned()
                .collect();
            kept.iter().cloned().map(Right::Host).for_each(&mut add);
            add(Right::OnlyHosts(kept));
        }
        for path in &request.denied_reads {
            add(Right::DenyRead(path.clone()));
        }
        layer.pass_env = match &request.variables {
            None => own.pass_env.clone(),
            Some(patterns) => patterns
                .iter()
                .filter(|pattern| self.variable(pattern))
                .cloned()
                .collect(),
        };
        layer
    }

    /// Whether the parent may read what this rule names; a refusal where it may not.
    fn host(&mut self, text: &str) -> bool {
        let may = match HostRule::parse(text) {
            Ok(rule) => self.allows(&rule.example()),
            Err(_) => false,
        };
        if !may {
            self.refuse(RightKind::Host, text, "cannot read it");
        }
        may
    }

    /// Whether the parent's commands get the variables of this pattern; a refusal where not.
    fn variable(&mut self, pattern: &str) -> bool {
        let policy = &self.parent.policy;
        let may = match pattern.contains('*') {
            true => policy
                .layers()
                .all(|layer| layer.pass_env.iter().any(|own| own == pattern)),
            false => policy.passes_variable(pattern),
        };
        if !may {
            self.refuse(RightKind::Variable, pattern, "is not given it");
        }
        may
    }

    fn names(&mut self, kind: RightKind, wanted: &Selection, own: &Selection) {
        for name in wanted.beyond(own) {
            self.refuse(kind, name, "does not have it");
        }
    }

    fn budget(&mut self, wanted: Budget) {
        let own = self.parent.budget;
        if let (Some(wanted), Some(left)) = (wanted.turns, own.turns)
            && wanted > left
        {
            self.refuse(RightKind::Turns, wanted.to_string(), format!("has {left}"));
        }
        if let (Some(wanted), Some(left)) = (wanted.tokens, own.tokens)
            && wanted > left
        {
            self.refuse(RightKind::Tokens, wanted.to_string(), format!("has {left}"));
        }
        if let (Some(wanted), Some(left)) = (wanted.time, own.time)
            && wanted > left
        {
            let text = |time: Duration| format!("{} s", time.as_secs());
            self.refuse(RightKind::Time, text(wanted), format!("has {}", text(left)));
        }
    }
}

const CANNOT_READ: &str = "cannot read it";
const CANNOT_WRITE: &str = "cannot write it";
const CANNOT_START: &str = "cannot start it";

#[cfg(test)]
mod tests;
