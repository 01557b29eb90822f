//! The one function that turns a request into a decision. There is no second door.

mod git;
mod kernel;
mod network;

use std::borrow::Cow;
use std::path::{Component, Path};

use crate::approval::Answer;
use crate::decision::{Decision, Effect, Remedy, Rule, rule};
use crate::glob;
use crate::operation::{Evidence, Outcome};
use crate::policy::{GrantSource, Layer, Policy, Right, holds};
use crate::protected;
use crate::record::{Entry, RecordError, Recorded, Recorder, Subject};
use crate::request::{
    FileRead, FileWrite, ModelRequest, ProcessSpawn, Request, Requested, TelemetryExport, WriteKind,
};
use crate::secrets;
use crate::security_profile::SecurityProfile;

/// Files that may be written in every profile because they keep nothing.
pub const WRITABLE_DEVICES: &[&str] = &[
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
    // The terminal that the command shares with the person anyway.
    "/dev/tty",
];

/// Devices that may be read: they hold nothing of this machine's.
pub const READABLE_DEVICES: &[&str] = &[
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
    "/dev/tty",
    "/dev/shm",
];

/// Decides `request` under `policy`: the strictest answer of any layer, and of equally strict
/// ones the outermost, which is the one that a person has to change.
#[must_use]
pub fn decide(policy: &Policy, request: Request<'_>) -> Decision {
    let mut strictest: Option<Decision> = None;
    for layer in policy.layers() {
        let decision = decide_in(layer, request);
        if strictest
            .as_ref()
            .is_none_or(|s| decision.effect > s.effect)
        {
            strictest = Some(decision);
        }
    }
    // A policy has at least one layer; were it ever empty, nothing would be allowed.
    strictest.unwrap_or_else(|| Decision {
        effect: Effect::Deny,
        rule: rule::REQUEST_PATH,
        reason: "no policy is in force".into(),
        remedy: None,
    })
}

fn decide_in(layer: &Layer, request: Request<'_>) -> Decision {
    let verdict = Verdicts {
        profile: layer.profile,
    };
    match request {
        Request::FileRead(read) => file_read(layer, verdict, read),
        Request::FileWrite(write) => file_write(layer, verdict, write),
        Request::GitConfigChange(change) => git::config_change(layer, verdict, change),
        Request::GitPointer(pointer) => git::pointer(layer, verdict, pointer),
        Request::ProcessSpawn(spawn) => process_spawn(layer, verdict, spawn),
        Request::NetworkAccess(access) => network::access(layer, verdict, access),
        Request::NetworkRead(read) => network::read(layer, verdict, read),
        Request::UnixSocket(socket) => network::unix_socket(layer, verdict, socket),
        Request::SocketKind(_) => kernel::socket(verdict),
        Request::KernelCall(_) => kernel::call(verdict),
        Request::TerminalControl(_) => kernel::terminal(verdict),
        Request::ProcessControl(_) => kernel::process(verdict),
        Request::ResourceLimit(limit) => kernel::resource_limit(verdict, limit),
        Request::ModelRequest(model) => model_request(verdict, model),
        Request::TelemetryExport(export) => telemetry_export(verdict, export),
        // What an agent may do is decided request by request, under its own narrower policy.
        Request::AgentSpawn(_) => verdict.allow(rule::AGENT_SPAWN),
    }
}

/// Makes decisions whose reasons begin with the profile's name.
#[derive(Clone, Copy)]
struct Verdicts {
    profile: SecurityProfile,
}

impl Verdicts {
    fn allow(self, rule: Rule) -> Decision {
        Decision {
            effect: Effect::Allow,
            rule,
            // Said for most system calls of a command: nothing is allocated.
            reason: Cow::Borrowed(match self.profile {
                SecurityProfile::Offline => "Offline profile: allowed",
                SecurityProfile::WorkspaceWrite => "WorkspaceWrite profile: allowed",
                SecurityProfile::NetReadOnly => "NetReadOnly profile: allowed",
                SecurityProfile::Trusted => "Trusted profile: allowed",
            }),
            remedy: None,
        }
    }

    fn ask(self, rule: Rule, why: &str, remedy: Remedy) -> Decision {
        Decision {
            effect: Effect::Ask,
            ..self.deny(rule, why, Some(remedy))
        }
    }

    fn unresolved(self) -> Decision {
        self.deny(
            rule::REQUEST_PATH,
            "the path is not absolute and resolved",
            None,
        )
    }

    fn deny(self, rule: Rule, why: &str, remedy: Option<Remedy>) -> Decision {
        Decision {
            effect: Effect::Deny,
            rule,
            reason: format!("{} profile: {why}", self.profile).into(),
            remedy,
        }
    }
}

/// Whether a path is absolute and names each directory once, as a request's paths must.
fn is_resolved(path: &Path) -> bool {
    path.is_absolute()
        && path
            .components()
            .all(|c| !matches!(c, Component::ParentDir | Component::CurDir))
}

/// Whether `path` has the name of a file that often holds secrets, lies in a workspace, and none
/// of `grants` names it or another such file above it.
fn is_env_file<'g>(layer: &Layer, path: &Path, mut grants: impl Iterator<Item = &'g Path>) -> bool {
    let named = |p: &Path| {
        p.file_name()
            .is_some_and(|n| secrets::is_env_file(&n.to_string_lossy()))
    };
    named(path)
        && layer
            .places
            .workspaces()
            .any(|w| glob::below(path, w).is_some())
        && !grants.any(|granted| holds(granted, path) && named(granted))
}

fn file_read(layer: &Layer, verdict: Verdicts, read: &FileRead) -> Decision {
    let path = &read.path;
    if !is_resolved(path) {
        return verdict.unresolved();
    }
    if layer
        .denied_reads()
        .any(|denied| glob::below(path, denied).is_some())
    {
        return verdict.deny(
            rule::FS_DENIED,
            "reading this path was denied for this run",
            None,
        );
    }
    if layer.profile == SecurityProfile::Trusted {
        return verdict.allow(rule::TRUSTED);
    }
    if layer.is_secret(path) && !layer.granted_reads().any(|tree| layer.opens(tree, path)) {
        return verdict.deny(
            rule::FS_SECRET,
            "secrets and credentials are unreadable",
            Some(Remedy::AllowRead(path.clone())),
        );
    }
    let grants = layer.grants.iter().filter_map(|g| match &g.right {
        Right::Read(granted) => Some(granted.as_path()),
        _ => None,
    });
    if is_closed_device(path) && !grants.clone().any(|tree| path.starts_with(tree)) {
        let why = "disks, memory, cameras and other terminals cannot be read";
        return verdict.deny(rule::FS_DEVICE, why, Some(Remedy::AllowRead(path.clone())));
    }
    if is_env_file(layer, path, grants) {
        let remedy = Remedy::AllowRead(path.clone());
        return verdict.ask(rule::FS_ENV_FILE, "a .env file often holds secrets", remedy);
    }
    verdict.allow(rule::FS_READ)
}

/// Whether every file below `directory`, reached without a symlink, gets [`Effect::Allow`] for
/// reading, those named as [`secrets::is_env_file`] knows aside: what goes through a tree need
/// then not ask for each. `false` where that is not certain.
#[must_use]
pub fn reads_all_below(policy: &Policy, directory: &Path) -> bool {
    let is_root = directory.parent().is_none();
    let shows_the_system = ["/dev", "/proc"]
        .iter()
        .any(|place| glob::below(directory, Path::new(place)).is_some());
    let request = FileRead {
        path: directory.to_owned(),
    };
    let holds_closed = |layer: &Layer| {
        let trusted = layer.profile == SecurityProfile::Trusted;
        let denied = layer
            .denied_reads()
            .any(|denied| glob::below(denied, directory).is_some());
        denied || (!trusted && (is_root || shows_the_system || layer.holds_secrets(directory)))
    };
    decide(policy, request.view()).effect == Effect::Allow && !policy.layers().any(holds_closed)
}

/// Whether a directory may be moved from `from` to `to` only file by file, so that each name is
/// decided: out of codex's own temporary directory, in which nothing is protected, it could carry
/// hooks and settings to where they are obeyed. Whoever is asked to move it says that the two lie on
/// different file systems, as `mv` and build tools expect, and then copy.
#[must_use]
pub fn moves_file_by_file(policy: &Policy, from: &Path, to: &Path) -> bool {
    let unprotected = |layer: &Layer, path: &Path| {
        let internal = layer.grants.iter().any(|grant| match &grant.right {
            Right::Write(tree) => grant.source == GrantSource::Internal && holds(tree, path),
            _ => false,
        });
        layer.profile == SecurityProfile::Trusted
            || (internal && !layer.places.workspaces().any(|w| holds(w, path)))
    };
    policy
        .layers()
        .any(|layer| unprotected(layer, from) && !unprotected(layer, to))
}

/// Whether a path is a device other than those that hold nothing of this machine's.
fn is_closed_device(path: &Path) -> bool {
    // As everywhere, what denies compares without regard to case, what allows compares exactly.
    glob::below(path, Path::new("/dev")).is_some_and(|mut rest| rest.next().is_some())
        && !READABLE_DEVICES
            .iter()
            .any(|device| path.starts_with(device))
}

fn file_write(layer: &Layer, verdict: Verdicts, write: &FileWrite) -> Decision {
    let path = &write.path;
    if !is_resolved(path) {
        return verdict.unresolved();
    }
    // What cannot be read cannot be moved: the next command would read it under its new name.
    let moves = write.kind.is_move();
    let either_way = |denied| glob::below(path, denied).or_else(|| glob::below(denied, path));
    if moves && layer.denied_reads().any(|d| either_way(d).is_some()) {
        return verdict.deny(
            rule::FS_DENIED,
            "what may not be read in this run cannot be moved",
            None,
        );
    }
    if layer.profile == SecurityProfile::Trusted {
        return verdict.allow(rule::TRUSTED);
    }
    if write.kind == WriteKind::Modify
        && WRITABLE_DEVICES
            .iter()
            .any(|device| path == Path::new(device))
    {
        return verdict.allow(rule::FS_DEVICE);
    }
    if moves && layer.holds_secrets(path) {
        return verdict.deny(
            rule::FS_SECRET,
            "a directory that holds secrets cannot be moved",
            None,
        );
    }
    let takes_away = match write.kind {
        WriteKind::Delete | WriteKind::RemoveDirectory | WriteKind::Discard => true,
        kind => kind.is_move(),
    };
    if takes_away && layer.places.workspaces().any(|w| w.starts_with(path)) {
        return verdict.deny(
            rule::FS_PROTECTED,
            "the workspace itself cannot be moved or removed",
            None,
        );
    }
    if layer.is_secret(path) {
        let mut trees = layer.places.workspaces().chain(layer.granted_writes());
        if !trees.any(|tree| layer.opens(tree, path)) {
            return verdict.deny(
                rule::FS_SECRET,
                "secrets and credentials cannot be written",
                Some(Remedy::AllowWrite(path.clone())),
            );
        }
    }
    let moves_env_file = moves && is_env_file(layer, path, layer.granted_writes());
    let remedy = || Remedy::AllowWrite(path.clone());
    match writable(layer, write) {
        Writable::Yes(_) if moves_env_file => verdict.ask(
            rule::FS_ENV_FILE,
            "a .env file often holds secrets, and could be read under another name",
            remedy(),
        ),
        Writable::Yes(rule) => verdict.allow(rule),
        Writable::InWorkspace if layer.profile == SecurityProfile::Offline && !moves_env_file => {
            verdict.deny(
                rule::FS_READ_ONLY,
                "no file can be written",
                Some(Remedy::Profile(SecurityProfile::WorkspaceWrite)),
            )
        }
        Writable::Protected(why) => verdict.deny(
            rule::FS_PROTECTED,
            &format!("this path is protected ({why})"),
            Some(remedy()),
        ),
        Writable::InWorkspace | Writable::No => {
            let (rule, why) = match layer.profile {
                SecurityProfile::WorkspaceWrite => {
                    (rule::FS_OUTSIDE, "only the workspace can be written")
                }
                _ => (rule::FS_READ_ONLY, "no file can be written"),
            };
            verdict.deny(rule, why, Some(remedy()))
        }
    }
}

/// What the trees of a layer say of a write. Any of them suffices, so that a grant never takes
/// away what another gives.
enum Writable {
    /// A tree that may be written holds the path, and it is not protected there.
    Yes(Rule),
    /// The same of a workspace, which this profile does not write.
    InWorkspace,
    /// It is protected in every tree that holds it.
    Protected(&'static str),
    /// No tree holds it.
    No,
}

fn writable(layer: &Layer, write: &FileWrite) -> Writable {
    let path = &write.path;
    let mut otherwise = Writable::No;
    for tree in layer.places.workspaces().filter(|w| holds(w, path)) {
        match protected::why(path, tree, write.kind) {
            None if layer.profile == SecurityProfile::WorkspaceWrite => {
                return Writable::Yes(rule::FS_WORKSPACE);
            }
            None => otherwise = Writable::InWorkspace,
            Some(why) if matches!(otherwise, Writable::No) => otherwise = Writable::Protected(why),
            Some(_) => {}
        }
    }
    let in_workspace = !matches!(otherwise, Writable::No);
    for grant in &layer.grants {
        let Right::Write(tree) = &grant.right else {
            continue;
        };
        if !holds(tree, path) {
            continue;
        }
        let internal = grant.source == GrantSource::Internal;
        let why = match internal && !in_workspace {
            // Nothing in codex's own temporary directory outlives the run.
            true => None,
            false => protected::why(path, tree, write.kind),
        };
        match why {
            None if internal => return Writable::Yes(rule::FS_WORKSPACE),
            None => return Writable::Yes(rule::FS_GRANT),
            Some(why) if matches!(otherwise, Writable::No) => otherwise = Writable::Protected(why),
            Some(_) => {}
        }
    }
    otherwise
}

fn process_spawn(layer: &Layer, verdict: Verdicts, spawn: &ProcessSpawn) -> Decision {
    let program = &spawn.program;
    if !is_resolved(program) || !is_resolved(&spawn.cwd) {
        return verdict.unresolved();
    }
    match layer.profile {
        SecurityProfile::Trusted => return verdict.allow(rule::TRUSTED),
        SecurityProfile::WorkspaceWrite | SecurityProfile::NetReadOnly => {
            return verdict.allow(rule::EXEC_ANY);
        }
        SecurityProfile::Offline => {}
    }
    let granted = layer.grants.iter().any(|g| match &g.right {
        Right::Exec(path) => program == path,
        Right::ExecTree(tree) => holds(tree, program),
        _ => false,
    });
    if granted {
        return verdict.allow(rule::EXEC_GRANT);
    }
    let places = &layer.places;
    if places.listed_programs.contains(program)
        || places.listed_trees.iter().any(|t| holds(t, program))
    {
        return verdict.allow(rule::EXEC_LISTED);
    }
    verdict.deny(
        rule::EXEC_UNLISTED,
        "this program is not on the list of programs that may start",
        Some(Remedy::AllowExec(program.clone())),
    )
}

/// The person configured the model, so every profile allows it: Offline keeps files and commands
/// from the network, not the conversation from the model.
fn model_request(verdict: Verdicts, _request: &ModelRequest) -> Decision {
    verdict.allow(rule::MODEL_CONFIGURED)
}

/// The person configured the collector; no project can. Like the model it is codex's own to reach,
/// not the agent's, in every profile.
fn telemetry_export(verdict: Verdicts, _export: &TelemetryExport) -> Decision {
    verdict.allow(rule::TELEMETRY_CONFIGURED)
}

/// A request that the gate, or a person whom it asked, allowed. Only this module makes one.
#[derive(Debug)]
pub struct Authorized<R> {
    request: R,
    decision: Decision,
}

impl<R: Requested> Authorized<R> {
    /// What may be done.
    pub fn request(&self) -> &R {
        &self.request
    }

    /// Why it may.
    pub fn decision(&self) -> &Decision {
        &self.decision
    }

    /// Writes the intent to the log, which is what allows it to happen.
    ///
    /// # Errors
    /// When the record cannot be written. The request is then lost with it: no record, no act.
    pub fn record(
        self,
        recorder: &dyn Recorder,
        subject: &Subject,
        detail: Option<serde_json::Value>,
    ) -> Result<Recorded<Self>, RecordError> {
        let entry = Entry {
            detail,
            ..entry(
                subject,
                self.request.view(),
                &self.decision,
                Outcome::Allowed,
            )
        };
        let receipt = recorder.append(&entry)?;
        Ok(Recorded::new(self, receipt))
    }
}

impl<R: Requested> Authorized<R> {
    /// Writes what became of the request whose intent stands at `intent`.
    ///
    /// # Errors
    /// When the record cannot be written; the run must then stop.
    pub fn record_outcome(
        &self,
        recorder: &dyn Recorder,
        subject: &Subject,
        intent: Option<u64>,
        outcome: serde_json::Value,
    ) -> Result<(), RecordError> {
        let detail =
            serde_json::json!({ "phase": "outcome", "intent": intent, "outcome": outcome });
        self.record_phase(recorder, subject, detail)
    }

    /// Writes what is about to be given to the running process whose intent stands at `intent`.
    ///
    /// # Errors
    /// When the record cannot be written; nothing may be given to it then.
    pub fn record_input(
        &self,
        recorder: &dyn Recorder,
        subject: &Subject,
        intent: Option<u64>,
        input: serde_json::Value,
    ) -> Result<(), RecordError> {
        let detail = serde_json::json!({ "phase": "input", "intent": intent, "input": input });
        self.record_phase(recorder, subject, detail)
    }

    fn record_phase(
        &self,
        recorder: &dyn Recorder,
        subject: &Subject,
        detail: serde_json::Value,
    ) -> Result<(), RecordError> {
        let detail = Some(detail);
        let entry = Entry {
            detail,
            ..entry(
                subject,
                self.request.view(),
                &self.decision,
                Outcome::Allowed,
            )
        };
        recorder.append(&entry).map(drop)
    }
}

/// A request that a person has to be asked about.
#[derive(Debug)]
pub struct Pending<R> {
    request: R,
    decision: Decision,
}

impl<R: Requested> Pending<R> {
    /// What is asked for.
    pub fn request(&self) -> &R {
        &self.request
    }

    /// Why it has to be asked.
    pub fn decision(&self) -> &Decision {
        &self.decision
    }

    /// What the answer makes of it.
    ///
    /// # Errors
    /// [`Refused`], where the answer does not allow.
    pub fn settle(self, answer: Answer) -> Result<Authorized<R>, Refused<R>> {
        let reason = format!("{}; {}", self.decision.reason, answer.explanation()).into();
        let (request, rule) = (self.request, answer.rule());
        match answer.allows() {
            true => Ok(Authorized {
                request,
                decision: Decision {
                    effect: Effect::Allow,
                    rule,
                    reason,
                    remedy: None,
                },
            }),
            false => Err(Refused {
                request,
                decision: Decision {
                    effect: Effect::Deny,
                    rule,
                    reason,
                    remedy: self.decision.remedy,
                },
            }),
        }
    }
}

/// A request that may not happen.
#[derive(Debug)]
pub struct Refused<R> {
    /// What was asked for.
    pub request: R,
    /// Why it may not.
    pub decision: Decision,
}

impl<R: Requested> Refused<R> {
    /// Writes the denial to the log and gives its sequence number.
    ///
    /// # Errors
    /// When the record cannot be written; the run must then stop.
    pub fn record(
        &self,
        recorder: &dyn Recorder,
        subject: &Subject,
    ) -> Result<Option<u64>, RecordError> {
        let entry = entry(
            subject,
            self.request.view(),
            &self.decision,
            Outcome::Denied,
        );
        Ok(recorder.append(&entry)?.seq)
    }
}

fn entry(subject: &Subject, request: Request<'_>, decision: &Decision, outcome: Outcome) -> Entry {
    Entry {
        subject: subject.clone(),
        operation: request.operation(),
        target: request.target(),
        outcome,
        reason: decision.explanation(),
        rule: decision.rule.0.to_owned(),
        evidence: Evidence::Declared,
        pid: None,
        exe: None,
        count: None,
        detail: None,
    }
}

/// What became of a request at the gate.
#[derive(Debug)]
pub enum Verdict<R> {
    /// It may happen once it is recorded.
    Authorized(Authorized<R>),
    /// A person has to be asked.
    Pending(Pending<R>),
    /// It may not happen.
    Refused(Refused<R>),
}

/// Takes a request through the gate.
#[must_use]
pub fn authorize<R: Requested>(policy: &Policy, request: R) -> Verdict<R> {
    let decision = decide(policy, request.view());
    match decision.effect {
        Effect::Allow => Verdict::Authorized(Authorized { request, decision }),
        Effect::Ask => Verdict::Pending(Pending { request, decision }),
        Effect::Deny => Verdict::Refused(Refused { request, decision }),
    }
}
