//! From what was typed and configured to a run: its places, rights, log and workbench.

use std::env;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use codex_audit::detail::Detail;
use codex_audit::mask::Masker;
use codex_audit::note::PublicKey;
use codex_audit::writer::{AuditLog, Options, Rotation};
use codex_core::command::{SHARED_MEMORY, Workbench};
use codex_core::{agents_md, paths, places};
use codex_protocol::event::EventSink;
use codex_protocol::ids::{AgentType, SessionId, TaskId};
use codex_protocol::operation::{Evidence, Operation, Outcome};
use codex_protocol::permission::{Items, NeverAsk, Permissions};
use codex_protocol::policy::{Grant, GrantSource, Layer, Places, Policy, Right};
use codex_protocol::record::{Entry, RecordError, Recorder as _, Subject};
use codex_protocol::secrets::PathPattern;
use codex_protocol::security_profile::SecurityProfile;
use codex_sandbox::capability;
use codex_sandbox::plan::{CannotEnforce, Limits, Plan, Terminal};
use codex_sandbox::report::Report;
use serde_json::json;

use crate::args::{ColorChoice, Global, Grants};
use crate::config::{
    self, ApprovedHosts, AuditDetail, AuditReads, Config, Flags, Inputs, Loaded, Rights,
    ShellEnvironment, WebSearch, environment,
};
use crate::egress::{self, Egress};
use crate::failure::{Failure, Kind, OrFail as _};
use crate::print;

/// An administrator's configuration, which bounds everybody's.
const MANAGED: &str = "/etc/codex/managed_config.toml";

/// What a command knows before it does anything: the configuration and the rights.
pub(crate) struct Base {
    /// The configuration.
    pub(crate) loaded: Loaded,
    /// The rights.
    pub(crate) policy: Policy,
    /// Where codex keeps its own files.
    pub(crate) codex_home: PathBuf,
    /// Where the log is.
    pub(crate) audit_path: PathBuf,
}

/// The person's home and the directory of codex's own files.
fn homes() -> Result<(Option<PathBuf>, PathBuf), Failure> {
    let home = env::home_dir().filter(|h| h.is_absolute());
    let codex_home = match (
        env::var_os(environment::CODEX_HOME).filter(|v| !v.is_empty()),
        &home,
    ) {
        (Some(dir), _) => PathBuf::from(dir),
        (None, Some(home)) => home.join(".codex"),
        (None, None) => {
            return Err(Failure::usage(
                "there is no home directory: set HOME, or CODEX_HOME to a directory for codex's own files",
            ));
        }
    };
    let here = env::current_dir().or_fail(Kind::Usage)?;
    let codex_home = paths::resolve(&here, &codex_home).map_err(|e| {
        Failure::usage(format!(
            "CODEX_HOME '{}' cannot be used: {e}",
            codex_home.display()
        ))
    })?;
    Ok((home, codex_home))
}

/// Where the log is, for commands that only read it.
pub(crate) fn audit_path(global: &Global) -> Result<PathBuf, Failure> {
    let (home, codex_home) = homes()?;
    // No project has a say in where the log is, so none is read.
    let loaded = load(global, home.as_deref(), &codex_home, Path::new("/"))?;
    Ok(log_path(&loaded, &codex_home))
}

/// Where the key is that signs the log.
fn key_path(codex_home: &Path) -> PathBuf {
    codex_home.join("keys").join("audit.key")
}

/// Where the key is that signs the log, for commands that only read it.
pub(crate) fn key_file() -> Result<PathBuf, Failure> {
    Ok(key_path(&homes()?.1))
}

/// Puts a new key in the place of the one that signs the log.
pub(crate) fn change_audit_key(global: &Global, grants: &Grants) -> Result<PublicKey, Failure> {
    let base = Base::new(global, grants, &[])?;
    let home = base.places().home.clone();
    let log = AuditLog::open(&base.audit_path, log_options(&base, home)).or_fail(Kind::Refused)?;
    let subject = Subject {
        task_id: TaskId::new(new_id()),
        session_id: SessionId::new(new_id()),
        agent_type: AgentType::main(),
        profile: base.policy.profile(),
    };
    log.change_key(&subject).or_fail(Kind::Refused)
}

/// What a log is opened with to write to it.
fn log_options(base: &Base, home: Option<PathBuf>) -> Options {
    let audit = &base.loaded.config.audit;
    Options {
        home,
        key: Some(key_path(&base.codex_home)),
        detail: match audit.detail {
            AuditDetail::Minimal => Detail::Minimal,
            AuditDetail::Normal => Detail::Normal,
            AuditDetail::Full => Detail::Full,
        },
        rotation: Rotation {
            size: audit.max_size,
            age: audit.max_age,
        },
        ..Options::default()
    }
}

fn log_path(loaded: &Loaded, codex_home: &Path) -> PathBuf {
    loaded
        .config
        .audit
        .path
        .clone()
        .unwrap_or_else(|| codex_home.join("audit").join("audit.jsonl"))
}

fn load(
    global: &Global,
    home: Option<&Path>,
    codex_home: &Path,
    workspace: &Path,
) -> Result<Loaded, Failure> {
    let here = env::current_dir().or_fail(Kind::Usage)?;
    let flags = flags(global);
    let inputs = Inputs {
        codex_home,
        home,
        managed: Path::new(MANAGED),
        workspace,
        here: &here,
        variable: &|name| env::var_os(name),
        overrides: &global.config,
        flags: &flags,
        session: &config::Session::default(),
    };
    let loaded = config::load(&inputs).or_fail(Kind::Usage)?;
    for warning in loaded
        .warnings
        .iter()
        .cloned()
        .chain(without_effect(&loaded.config))
    {
        print::warning(global.color, &warning);
    }
    Ok(loaded)
}

/// Settings that this version reads and does not act on yet: whoever made them should know.
fn without_effect(config: &Config) -> Option<String> {
    let settings = [
        (config.web_search != WebSearch::Disabled, "web_search"),
        (!config.mcp_servers.is_empty(), "mcp_servers"),
    ];
    let named: Vec<&str> = settings
        .iter()
        .filter(|(set, _)| *set)
        .map(|(_, name)| *name)
        .collect();
    (!named.is_empty()).then(|| {
        format!(
            "not there yet in this version, so without effect: {}",
            named.join(", ")
        )
    })
}

/// The flags that are settings. The parser has checked their words.
fn flags(global: &Global) -> Flags {
    Flags {
        profile: global.profile.clone(),
        sandbox_mode: global
            .sandbox
            .as_deref()
            .and_then(SecurityProfile::from_sandbox_mode),
        full_auto: global.full_auto,
        model: global.model.clone(),
        provider: global.provider.clone(),
        ask_for_approval: global
            .ask_for_approval
            .as_deref()
            .and_then(|word| word.parse().ok()),
        audit_log: global.audit_log.clone(),
        audit_reads: global
            .audit_reads
            .as_deref()
            .and_then(AuditReads::from_word),
    }
}

impl Base {
    /// Reads the configuration and resolves places and rights. Refuses a workspace that holds too
    /// much.
    pub(crate) fn new(
        global: &Global,
        grants: &Grants,
        added: &[PathBuf],
    ) -> Result<Self, Failure> {
        let mut base = Self::without_programs(global, grants, added)?;
        places::list_programs(&mut base.policy);
        Ok(base)
    }

    /// The same before the listed programs are looked for, which a helper can be started without.
    pub(crate) fn without_programs(
        global: &Global,
        grants: &Grants,
        added: &[PathBuf],
    ) -> Result<Self, Failure> {
        let base = Self::anywhere(global, grants, added)?;
        if base.loaded.config.rights.profile != SecurityProfile::Trusted {
            base.places().check_workspaces().or_fail(Kind::Refused)?;
        }
        Ok(base)
    }

    /// The same for what only looks: also where no run would be allowed.
    pub(crate) fn anywhere(
        global: &Global,
        grants: &Grants,
        added: &[PathBuf],
    ) -> Result<Self, Failure> {
        let (home, codex_home) = homes()?;
        let here = env::current_dir().or_fail(Kind::Usage)?;
        let workspace = global
            .cd
            .as_deref()
            .map_or_else(|| here.clone(), |dir| here.join(dir));
        let loaded = load(global, home.as_deref(), &codex_home, &workspace)?;
        let rights = &loaded.config.rights;
        let added: Vec<PathBuf> = added
            .iter()
            .map(|dir| here.join(dir))
            .chain(rights.writable_roots.iter().cloned())
            .collect();
        let places = places::places(&workspace, &added, home.as_deref(), &codex_home)
            .or_fail(Kind::Usage)?;
        let audit_path = log_path(&loaded, &codex_home);
        let mut layer = places::layer(rights.profile, places);
        let log = paths::resolve(&here, &audit_path).unwrap_or_else(|_| audit_path.clone());
        layer.add_secrets(PathPattern::exactly(&log));
        // Its closed files, and what a killed process left.
        let mut beside = log.into_os_string();
        beside.push(".*");
        layer.add_secrets(PathPattern::exactly(Path::new(&beside)));
        layer.add_secrets(rights.secrets.iter().cloned());
        add_grants(
            &mut layer,
            &from_config(rights),
            GrantSource::UserConfig,
            &here,
        )?;
        if rights.network_reads {
            layer.grants.extend(egress::every_preset());
        }
        add_grants(&mut layer, grants, GrantSource::CommandLine, &here)?;
        warn_of_missing(global, &layer);
        let policy = match rights.bound {
            // What an administrator allows at most is the outermost layer: no grant reaches
            // beyond it.
            Some(bound) => Policy::new(places::layer(bound, layer.places.clone())).narrow(layer),
            None => Policy::new(layer),
        };
        egress::check(&policy)?;
        Ok(Self {
            policy,
            codex_home,
            audit_path,
            loaded,
        })
    }

    /// Where the run takes place.
    pub(crate) fn places(&self) -> &Places {
        &self.policy.own().places
    }
}

fn from_config(rights: &Rights) -> Grants {
    Grants {
        allow_exec: rights.allow_exec.iter().map(PathBuf::from).collect(),
        allow_read: rights.allow_read.clone(),
        deny_read: rights.deny_read.clone(),
        allow_write: rights.allow_write.clone(),
        allow_host: [rights.allow_host.as_slice(), &rights.approved_hosts].concat(),
        deny_host: rights.deny_host.clone(),
        allow_preset: rights.allow_preset.clone(),
        allow_tunnel: rights.allow_tunnel.clone(),
        allow_private_host: rights.allow_private_host.clone(),
        allow_post: rights.allow_post.clone(),
        pass_env: rights.pass_env.clone(),
    }
}

/// Adds what was granted. A path is resolved now, so that the grant is of what it names now.
fn add_grants(
    layer: &mut Layer,
    grants: &Grants,
    source: GrantSource,
    here: &Path,
) -> Result<(), Failure> {
    let resolve = |path: &PathBuf| {
        let expanded = paths::expand_home(path, layer.places.home.as_deref());
        paths::resolve(here, &expanded).map_err(|e| {
            Failure::usage(format!(
                "the path '{}' cannot be granted: {e}",
                path.display()
            ))
        })
    };
    let mut rights = Vec::new();
    for path in &grants.allow_read {
        rights.push(Right::Read(resolve(path)?));
    }
    for path in &grants.deny_read {
        rights.push(Right::DenyRead(resolve(path)?));
    }
    for path in &grants.allow_write {
        rights.push(Right::Write(resolve(path)?));
    }
    let search_path = env::var_os(environment::PATH).unwrap_or_default();
    for program in &grants.allow_exec {
        let found = places::find_program(program, here, &search_path).ok_or_else(|| {
            Failure::usage(format!(
                "there is no program '{}' to allow",
                program.display()
            ))
        })?;
        rights.push(Right::Exec(found));
    }
    rights.extend(egress::rights(grants)?);
    layer
        .grants
        .extend(rights.into_iter().map(|right| Grant { right, source }));
    layer.pass_env.extend(grants.pass_env.iter().cloned());
    Ok(())
}

/// Tells of reads that were granted by a flag and are of nothing: a slip of the pen mostly.
fn warn_of_missing(global: &Global, layer: &Layer) {
    for grant in &layer.grants {
        let (Right::Read(path), GrantSource::CommandLine) = (&grant.right, grant.source) else {
            continue;
        };
        let found = std::fs::symlink_metadata(path);
        if found.is_err_and(|e| e.kind() == ErrorKind::NotFound) {
            let masker = Masker::new(layer.places.home.as_deref());
            let path = masker.mask(&path.to_string_lossy()).into_owned();
            let text = format!(
                "there is nothing at '{}' to allow the reading of (--allow-read)",
                print::with_home(&path)
            );
            print::warning(global.color, &text);
        }
    }
}

/// A run that can act: the log is open, what widens it is recorded.
pub(crate) struct Setup {
    /// What the run asks before it acts.
    pub(crate) permissions: Permissions,
    /// What commands have in common.
    pub(crate) workbench: Arc<Workbench>,
    /// The log.
    pub(crate) log: Arc<AuditLog>,
    /// Ended and removed when the run ends.
    kept: Kept,
}

/// What happens when a run ends, however it ends: the log is signed.
struct Ending {
    log: Arc<AuditLog>,
    color: ColorChoice,
}

impl Drop for Ending {
    fn drop(&mut self) {
        if let Err(error) = self.log.checkpoint() {
            print::warning(
                self.color,
                &format!("what this run did is recorded but not signed: {error}"),
            );
        }
    }
}

/// What a run holds until its end.
pub(crate) struct Kept {
    /// The proxy, where hosts may be reached.
    pub(crate) egress: Option<Egress>,
    /// Once the log is open.
    ending: Option<Ending>,
    /// Removed when the run ends.
    _temp: Option<tempfile::TempDir>,
}

impl Kept {
    /// As [`Setup::lost`].
    pub(crate) fn lost(&self) -> impl Future<Output = RecordError> + use<> {
        let lost = self.egress.as_ref().and_then(Egress::lost);
        async move {
            match lost {
                Some(lost) => lost.await,
                None => std::future::pending().await,
            }
        }
    }
}

/// Who watches a run.
pub(crate) struct Watch {
    /// Whoever takes its events.
    pub(crate) sink: Arc<dyn EventSink>,
    /// The number of its first step.
    pub(crate) first_step: u64,
}

/// A sink for runs without steps.
pub(crate) struct NoSteps;

impl EventSink for NoSteps {
    fn emit(&self, _: codex_protocol::event::Event) {}
}

/// A new id that sorts by time.
pub(crate) fn new_id() -> String {
    uuid::Uuid::now_v7().to_string()
}

/// What a run has before its log is open, when it cannot act yet.
pub(crate) struct Bench {
    policy: Policy,
    session: SessionId,
    workbench: Arc<Workbench>,
    kept: Kept,
}

impl Bench {
    /// Makes the private temporary directory, where there is one, takes the environment, and
    /// listens for the proxy, where hosts may be reached.
    pub(crate) fn new(global: &Global, base: &Base, session: SessionId) -> Result<Self, Failure> {
        let mut layer = base.policy.own().clone();
        let temp = match base.policy.profile() {
            SecurityProfile::WorkspaceWrite => Some(private_temp().or_fail(Kind::Work)?),
            _ => None,
        };
        let temp_path = temp
            .as_ref()
            .map(|t| t.path().canonicalize())
            .transpose()
            .or_fail(Kind::Work)?;
        if let Some(temp) = &temp_path {
            std::fs::create_dir(temp.join(SHARED_MEMORY)).or_fail(Kind::Work)?;
        }
        let outputs = base.codex_home.join("outputs").join(session.as_str());
        let internal = |right| Grant {
            right,
            source: GrantSource::Internal,
        };
        layer.grants.push(internal(Right::Read(outputs.clone())));
        // The person's notes for agents lie in codex's own directory, which is a secret otherwise.
        let notes = agents_md::file_in(&layer.places.codex_home);
        layer
            .grants
            .extend(notes.map(|path| internal(Right::Read(path))));
        layer
            .grants
            .extend(temp_path.clone().map(|path| internal(Right::Write(path))));
        let environment = kept_environment(&base.loaded.config.shell_environment);
        let mut set = set_environment(&base.loaded.config.shell_environment);
        let egress = match base.policy.reaches_hosts() {
            true => Some(Egress::listen(&base.policy, &environment)?),
            false => None,
        };
        if let Some(egress) = &egress {
            layer.grants.extend(egress.rights());
            set.extend(egress.variables().iter().cloned());
        }
        let workbench = Arc::new(Workbench {
            helper: codex_sandbox::this_binary(),
            capabilities: capability::probe(),
            accept: global.accepted(),
            environment,
            set,
            audit_reads: base.loaded.config.audit.reads == Some(AuditReads::Denied),
            shared_memory: temp_path.as_ref().map(|temp| temp.join(SHARED_MEMORY)),
            temp: temp_path.or_else(|| egress.as_ref().map(|e| e.temp().to_owned())),
            outputs,
            proxy: egress.as_ref().map(Egress::address),
            traceparent: codex_telemetry::traceparent,
        });
        Ok(Self {
            policy: base.policy.with_own(layer),
            session,
            workbench,
            kept: Kept {
                egress,
                ending: None,
                _temp: temp,
            },
        })
    }

    /// Looks for the listed programs, of a base without them.
    pub(crate) fn list_programs(&mut self) {
        places::list_programs(&mut self.policy);
    }

    /// What confines the command of a run that has one.
    pub(crate) fn plan(
        &self,
        terminal: Terminal,
        limits: Limits,
    ) -> Result<(Plan, Report), CannotEnforce> {
        self.workbench.plan(&self.policy, terminal, limits)
    }
}

impl Setup {
    /// A run of this conversation that can act.
    pub(crate) fn new(
        global: &Global,
        base: &Base,
        session: SessionId,
        watch: Watch,
    ) -> Result<Self, Failure> {
        Self::open(global, base, Bench::new(global, base, session)?, watch)
    }

    /// Opens the log and records what the person widened.
    pub(crate) fn open(
        global: &Global,
        base: &Base,
        bench: Bench,
        watch: Watch,
    ) -> Result<Self, Failure> {
        let Bench {
            policy,
            session,
            workbench,
            mut kept,
        } = bench;
        let options = log_options(base, policy.own().places.home.clone());
        let log = Arc::new(AuditLog::open(&base.audit_path, options).or_fail(Kind::Refused)?);
        let subject = Subject {
            task_id: TaskId::new(new_id()),
            session_id: session,
            agent_type: AgentType::main(),
            profile: policy.profile(),
        };
        let configured = &base.loaded.config.rights.pass_env;
        record_widening(global, &log, &subject, policy.own(), configured)?;
        let items = Arc::new(Items::new(watch.sink, watch.first_step));
        let recorder: Arc<dyn codex_protocol::record::Recorder> = Arc::clone(&log) as _;
        let approver = Arc::new(NeverAsk);
        let mut permissions = Permissions::new(policy, subject, recorder, approver, items);
        // Beside what an administrator allows at most, a rule of the person's own opens nothing.
        let bound = base.loaded.config.rights.bound;
        if bound.is_none_or(|bound| bound == SecurityProfile::Trusted) {
            permissions = permissions.with_keeper(Arc::new(ApprovedHosts::new(&base.codex_home)));
        }
        kept.ending = Some(Ending {
            log: Arc::clone(&log),
            color: global.color,
        });
        if let Some(egress) = &mut kept.egress {
            egress.start(&permissions, global.color)?;
        }
        Ok(Self {
            permissions,
            workbench,
            log,
            kept,
        })
    }

    /// Where the run takes place.
    pub(crate) fn places(&self) -> &Places {
        &self.permissions.policy().own().places
    }

    /// Ends what has to end before the log's head is told: it is signed.
    pub(crate) fn end(&mut self) {
        self.kept.ending = None;
    }

    /// The run's parts, and what has to be kept until it has ended.
    pub(crate) fn into_parts(self) -> (Permissions, Arc<Workbench>, Kept) {
        (self.permissions, self.workbench, self.kept)
    }

    /// Waits for a record that the proxy could not write, after which the run must end. Without a
    /// proxy, for ever.
    pub(crate) fn lost(&self) -> impl Future<Output = RecordError> + use<> {
        self.kept.lost()
    }
}

/// Our environment as far as the person's configuration lets commands have it; what the policy
/// holds back is taken out later.
fn kept_environment(configured: &ShellEnvironment) -> Vec<(OsString, OsString)> {
    env::vars_os()
        .filter(|(name, _)| name.to_str().is_some_and(|name| configured.keeps(name)))
        .collect()
}

/// The variables that the person's configuration sets for commands.
fn set_environment(configured: &ShellEnvironment) -> Vec<(OsString, OsString)> {
    configured
        .set
        .iter()
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}

/// The runtime, built when something has to wait.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .or_fail(Kind::Work)
}

/// A directory of our own for temporary files, removed when it is dropped.
pub(crate) fn private_temp() -> std::io::Result<tempfile::TempDir> {
    tempfile::Builder::new().prefix("codex-").tempdir()
}

/// Records a profile other than the default, each grant, and an accepted lower level: what a run
/// was given stands in the log before what it did with it. `configured` are the variables that the
/// person's configuration passes.
fn record_widening(
    global: &Global,
    log: &AuditLog,
    subject: &Subject,
    layer: &Layer,
    configured: &[String],
) -> Result<(), Failure> {
    let record = |target: String, rule: &str, reason: String| {
        let entry = Entry {
            subject: subject.clone(),
            operation: Operation::ProfileChange,
            target,
            outcome: Outcome::Allowed,
            reason,
            rule: rule.to_owned(),
            evidence: Evidence::Declared,
            pid: None,
            exe: None,
            count: None,
            detail: Some(json!({ "until": "end of run" })),
        };
        log.append(&entry).map(drop).map_err(Failure::refused)
    };
    let profile = subject.profile;
    if profile != SecurityProfile::default() {
        record(
            format!("profile {profile}"),
            "profile.chosen",
            format!("{profile} profile: chosen for this run"),
        )?;
    }
    let granted = |kind: &str, what: &str, source: GrantSource| {
        let source = match source {
            GrantSource::UserConfig => "the person's configuration",
            _ => "the command line",
        };
        record(
            format!("{kind} {what}"),
            "profile.grant",
            format!("{profile} profile: granted by {source}"),
        )
    };
    for grant in layer
        .grants
        .iter()
        .filter(|g| g.source != GrantSource::Internal)
    {
        let (kind, what) = match &grant.right {
            Right::Read(path) => ("read", path.display().to_string()),
            Right::DenyRead(path) => ("deny read", path.display().to_string()),
            Right::Write(path) => ("write", path.display().to_string()),
            Right::Exec(path) | Right::ExecTree(path) => ("exec", path.display().to_string()),
            Right::Host(host) => ("host", host.clone()),
            Right::DenyHost(host) => ("deny host", host.clone()),
            Right::OnlyHosts(hosts) => ("only hosts", hosts.join(" ")),
            Right::Tunnel(host) => ("tunnel", host.clone()),
            Right::ReadPost(name) => ("read by POST", name.clone()),
            Right::PrivateHost(host) => ("private addresses of", host.clone()),
            Right::Preset(name) => ("preset", name.clone()),
        };
        granted(kind, &what, grant.source)?;
    }
    for name in &layer.pass_env {
        let source = match configured.contains(name) {
            true => GrantSource::UserConfig,
            false => GrantSource::CommandLine,
        };
        granted("variable", name, source)?;
    }
    if let Some(level) = global.accepted() {
        record(
            format!("level {level}"),
            "profile.level",
            format!("{profile} profile: level {level} accepted for this run"),
        )?;
    }
    Ok(())
}

/// The environment, for those that look for a model.
pub(crate) fn variable(name: &str) -> Option<String> {
    env::var_os(name)
        .map(OsString::into_string)
        .and_then(Result::ok)
        .filter(|value| !value.is_empty())
}
