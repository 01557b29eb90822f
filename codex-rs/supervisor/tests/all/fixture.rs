//! A run with scripted models and tools that do nothing real: what is tested is who may do what
//! when, and that everything ends.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use codex_core::command::Workbench;
use codex_core::session::{Parts, TurnLimits};
use codex_core::tools::ReadFile;
use codex_protocol::event::Event;
use codex_protocol::ids::{AgentType, SessionId, TaskId};
use codex_protocol::model::{
    Item, Model, ModelError, ModelErrorKind, ModelEvent, ModelStream, Prompt, StopReason, Usage,
};
use codex_protocol::permission::{Items, NeverAsk, Permissions};
use codex_protocol::policy::{Layer, Places, Policy};
use codex_protocol::record::{Entry, Receipt, RecordError, Recorder, Subject};
use codex_protocol::security_profile::SecurityProfile;
use codex_protocol::tool::{
    Access, BoxFuture, Fatal, Tool, ToolCall, ToolInput, ToolOutput, ToolSpec,
};
use codex_sandbox::capability::Capabilities;
use codex_supervisor::SubAgent;
use codex_supervisor::approvals::Approvals;
use codex_supervisor::budget::Ledger;
use codex_supervisor::catalog::{Catalog, Kind};
use codex_supervisor::definitions::{AgentDefinition, GrantLimits};
use codex_supervisor::limits::Limits;
use codex_supervisor::manager::{
    Equipment, SpawnError, SpawnRequest, Standing, SubAgentManager, Writes,
};
use codex_supervisor::narrow::{Budget, Rights, RightsRequest, Selection};
use codex_supervisor::outfit::{Order, Outfitter, Watcher};
use codex_supervisor::path::{AgentName, AgentPath};
use codex_supervisor::report::Report;
use codex_supervisor::restart::RestartPolicy;
use codex_supervisor::state::State;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// One answer of a scripted model.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Says this and calls nothing.
    Say(String),
    /// Calls a tool with these arguments.
    Call(&'static str, Value),
    /// Takes this many milliseconds, then answers with the next step.
    Slow(u64),
    /// Fails so.
    Fail(ModelErrorKind),
    /// The stream ends without an end.
    Drop,
    /// Never answers.
    Hang,
    /// Breaks an invariant.
    Panic,
}

/// Keeps the texts of panics that are among the faults out of the way of the others'.
pub(super) fn quiet_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if panic.payload_as_str() != Some(PANIC) {
                usual(panic);
            }
        }));
    });
}

const PANIC: &str = "a panic for the test";

pub(super) fn say(text: &str) -> Step {
    Step::Say(text.to_owned())
}

type Script = Arc<Mutex<std::collections::VecDeque<Step>>>;

struct ScriptedModel {
    script: Script,
    prompts: Arc<Mutex<Vec<Prompt>>>,
}

struct ScriptedStream {
    events: Vec<Result<ModelEvent, ModelError>>,
    wait: Option<Duration>,
    panics: bool,
}

impl Model for ScriptedModel {
    fn provider(&self) -> &str {
        "scripted"
    }

    fn endpoint(&self) -> &str {
        "nowhere"
    }

    fn stream(&self, prompt: Prompt) -> Box<dyn ModelStream + '_> {
        let number = {
            let mut prompts = self.prompts.lock().unwrap();
            prompts.push(prompt);
            prompts.len()
        };
        let mut script = self.script.lock().unwrap();
        let mut wait = Duration::ZERO;
        let step = loop {
            match script.pop_front() {
                Some(Step::Slow(ms)) => wait += Duration::from_millis(ms),
                other => break other.unwrap_or_else(|| say("nothing left to say")),
            }
        };
        let completed = || {
            Ok(ModelEvent::Completed {
                usage: Usage {
                    input_tokens: 7,
                    output_tokens: 3,
                    ..Usage::default()
                },
                stop: StopReason::Done,
            })
        };
        let mut stream = ScriptedStream {
            events: Vec::new(),
            wait: Some(wait),
            panics: false,
        };
        let item = |item| Ok(ModelEvent::Item(item));
        match step {
            Step::Say(text) => {
                let native = None;
                stream.events = vec![item(Item::Assistant { text, native }), completed()];
            }
            Step::Call(name, arguments) => {
                let call = ToolCall {
                    call_id: format!("call_{number}"),
                    name: name.to_owned(),
                    arguments: arguments.to_string(),
                    text: false,
                };
                stream.events = vec![item(Item::ToolCall { call, native: None }), completed()];
            }
            Step::Fail(kind) => {
                let message = format!("{kind:?} for the test");
                stream.events = vec![Err(ModelError { kind, message })];
            }
            Step::Drop | Step::Slow(_) => {}
            Step::Hang => stream.wait = None,
            Step::Panic => stream.panics = true,
        }
        stream.events.reverse();
        Box::new(stream)
    }
}

impl ModelStream for ScriptedStream {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<ModelEvent, ModelError>>> {
        Box::pin(async move {
            if self.panics {
                std::panic::panic_any(PANIC);
            }
            match self.wait {
                Some(wait) => tokio::time::sleep(wait).await,
                None => std::future::pending().await,
            }
            self.wait = Some(Duration::ZERO);
            self.events.pop()
        })
    }
}

/// A tool whose calls take the time they say, or never end; those under way are counted.
struct Work {
    name: &'static str,
    live: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

struct Live(Arc<AtomicUsize>);

impl Drop for Live {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Tool for Work {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: self.name.to_owned(),
            description: "works".to_owned(),
            input: ToolInput::Json(json!({ "type": "object" })),
        }
    }

    fn access(&self) -> Access {
        Access::Writes
    }

    fn call<'a>(
        &'a self,
        call: &'a ToolCall,
        _: &'a Permissions,
    ) -> BoxFuture<'a, Result<ToolOutput, Fatal>> {
        Box::pin(async move {
            let live = self.live.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(live, Ordering::SeqCst);
            let _live = Live(Arc::clone(&self.live));
            let arguments: Value = serde_json::from_str(&call.arguments).unwrap_or_default();
            match arguments["ms"].as_u64() {
                Some(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
                None => std::future::pending().await,
            }
            let killed = arguments["killed"] == true;
            let text = if killed { "killed by signal 9" } else { "done" };
            Ok(ToolOutput {
                text: text.to_owned(),
                success: !killed,
            })
        })
    }
}

/// The log of a test: in memory, or broken.
#[derive(Default)]
pub(super) struct Log {
    pub(super) entries: Mutex<Vec<Entry>>,
    pub(super) full_after: Mutex<Option<usize>>,
}

impl Recorder for Log {
    fn append(&self, entry: &Entry) -> Result<Receipt, RecordError> {
        let mut entries = self.entries.lock().unwrap();
        if self
            .full_after
            .lock()
            .unwrap()
            .is_some_and(|most| entries.len() >= most)
        {
            return Err(RecordError {
                path: "log".to_owned(),
                cause: "no space left".to_owned(),
            });
        }
        entries.push(entry.clone());
        Ok(Receipt {
            seq: Some(entries.len() as u64),
        })
    }

    fn mask(&self, text: &str) -> String {
        text.to_owned()
    }
}

impl Log {
    /// The records of this rule.
    pub(super) fn of(&self, rule: &str) -> Vec<Entry> {
        let mut entries = self.entries.lock().unwrap().clone();
        entries.retain(|entry| entry.rule == rule);
        entries
    }
}

/// Every state that was told, in order.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) states: Mutex<Vec<(AgentPath, State, Option<Report>)>>,
    pub(super) events: Mutex<Vec<(AgentPath, Event)>>,
}

impl Watcher for Seen {
    fn event(&self, path: &AgentPath, event: Event) {
        self.events.lock().unwrap().push((path.clone(), event));
    }

    fn state(&self, path: &AgentPath, _: &str, state: State, report: Option<&Report>) {
        let told = (path.clone(), state, report.cloned());
        self.states.lock().unwrap().push(told);
    }
}

impl Seen {
    /// The states that an agent went through.
    pub(super) fn of(&self, path: &AgentPath) -> Vec<State> {
        let states = self.states.lock().unwrap();
        let own = states.iter().filter(|(p, _, _)| p == path);
        own.map(|(_, state, _)| *state).collect()
    }
}

struct Fitter {
    scripts: Mutex<BTreeMap<String, Script>>,
    prompts: Mutex<BTreeMap<String, Arc<Mutex<Vec<Prompt>>>>>,
    live: Arc<AtomicUsize>,
    commands: Arc<AtomicUsize>,
    most_commands: Arc<AtomicUsize>,
    ids: AtomicUsize,
    directory: Option<PathBuf>,
}

impl Outfitter for Fitter {
    fn parts(&self, order: Order<'_>) -> Result<Parts, String> {
        let name = order.path.name().to_owned();
        let script = self.scripts.lock().unwrap().get(&name).cloned();
        let prompts = {
            let mut all = self.prompts.lock().unwrap();
            Arc::clone(all.entry(name).or_default())
        };
        let workspace = order.permissions.policy().own().places.workspace.clone();
        let unused = Arc::new(AtomicUsize::new(0));
        Ok(Parts {
            permissions: order.permissions,
            model: Box::new(ScriptedModel {
                script: script.unwrap_or_default(),
                prompts,
            }),
            model_name: "m".to_owned(),
            tools: vec![
                Box::new(Work {
                    name: "work",
                    live: Arc::clone(&self.live),
                    most: unused,
                }),
                Box::new(Work {
                    name: "shell",
                    live: Arc::clone(&self.commands),
                    most: Arc::clone(&self.most_commands),
                }),
                Box::new(ReadFile::new(workspace)),
            ],
            compact_schemas: false,
            instructions: String::new(),
            effort: None,
            output_schema: None,
            store: None,
            items: Vec::new(),
            limits: TurnLimits::default(),
            context_window: 100_000,
        })
    }

    fn new_id(&self) -> String {
        format!("id-{:06}", self.ids.fetch_add(1, Ordering::SeqCst))
    }

    fn directory(&self, _: &AgentPath) -> io::Result<Option<PathBuf>> {
        Ok(self.directory.clone())
    }

    fn keep_directories(&self) {}
}

/// A run.
pub(super) struct Run {
    pub(super) manager: Arc<SubAgentManager>,
    pub(super) main: Standing,
    pub(super) mailbox: Arc<codex_supervisor::mailbox::Mailbox<codex_supervisor::message::Message>>,
    pub(super) log: Arc<Log>,
    pub(super) seen: Arc<Seen>,
    pub(super) ledger: Arc<Ledger>,
    fitter: Arc<Fitter>,
    _directory: tempfile::TempDir,
}

/// How a run is to be.
pub(super) struct Wanted {
    pub(super) limits: Limits,
    pub(super) budget: Budget,
    pub(super) profile: SecurityProfile,
    pub(super) approvals: Arc<Approvals>,
    /// Whether agents that write get a directory of their own.
    pub(super) apart: bool,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            budget: Budget::default(),
            profile: SecurityProfile::Offline,
            approvals: Approvals::nobody(),
            apart: false,
        }
    }
}

pub(super) fn definition(name: &str) -> AgentDefinition {
    AgentDefinition {
        name: name.to_owned(),
        description: format!("does {name}"),
        instructions: String::new(),
        tools: Selection::All,
        mcp_servers: Selection::All,
        profile: None,
        model: None,
        effort: None,
        budget: Budget::default(),
        hosts: None,
        grants: GrantLimits::default(),
    }
}

impl Run {
    pub(super) fn new(wanted: Wanted) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        std::fs::write(root.join(".env"), "A=1\n").unwrap();
        std::fs::write(root.join("file"), "text\n").unwrap();
        let places = Places {
            workspace: root.clone(),
            codex_home: "/nonexistent/codex-home".into(),
            ..Places::default()
        };
        let policy = Policy::new(Layer::new(wanted.profile, places));
        let log = Arc::new(Log::default());
        let seen = Arc::new(Seen::default());
        let fitter = Arc::new(Fitter {
            scripts: Mutex::default(),
            prompts: Mutex::default(),
            live: Arc::default(),
            commands: Arc::default(),
            most_commands: Arc::default(),
            ids: AtomicUsize::new(0),
            directory: wanted.apart.then(|| root.join("apart")),
        });
        let equipment = Equipment {
            outfitter: Arc::clone(&fitter) as _,
            watcher: Arc::clone(&seen) as _,
            recorder: Arc::clone(&log) as _,
            approvals: wanted.approvals,
            workbench: Arc::new(Workbench {
                proxy: None,
                shared_memory: None,
                traceparent: || None,
                helper: PathBuf::new(),
                capabilities: Capabilities::NONE,
                accept: None,
                environment: Vec::new(),
                set: Vec::new(),
                temp: None,
                audit_reads: false,
                outputs: root.join("outputs"),
            }),
            catalog: Catalog::new(["general", "code"].map(|name| Kind {
                definition: definition(name),
                bounds: RightsRequest::default(),
            })),
            limits: wanted.limits,
            restarts: RestartPolicy::default(),
        };
        let manager = SubAgentManager::new(equipment, CancellationToken::new());
        let subject = Subject {
            session_id: SessionId::new("main-session"),
            task_id: TaskId::new("main-task"),
            agent_type: AgentType::main(),
            profile: wanted.profile,
        };
        struct Nowhere;
        impl codex_protocol::event::EventSink for Nowhere {
            fn emit(&self, _: Event) {}
        }
        let permissions = Permissions::new(
            policy.clone(),
            subject,
            Arc::clone(&log) as _,
            Arc::new(NeverAsk),
            Arc::new(Items::new(Arc::new(Nowhere), 0)),
        );
        let ledger = Ledger::root(wanted.budget);
        let tools = Selection::only(
            ["work", "shell", "read_file"]
                .into_iter()
                .chain(codex_supervisor::tools::NAMES),
        );
        let rights = Rights::new(policy, tools, Selection::none(), wanted.budget);
        let (main, mailbox) = manager.main(rights, permissions, Arc::clone(&ledger));
        Self {
            manager,
            main,
            mailbox,
            log,
            seen,
            ledger,
            fitter,
            _directory: directory,
        }
    }

    /// What the agent of this name says and calls, in this order.
    pub(super) fn script(&self, name: &str, steps: Vec<Step>) {
        let script = Arc::new(Mutex::new(steps.into()));
        self.fitter
            .scripts
            .lock()
            .unwrap()
            .insert(name.to_owned(), script);
    }

    /// What the agent of this name was asked, in order.
    pub(super) fn prompts(&self, name: &str) -> Vec<Prompt> {
        let all = self.fitter.prompts.lock().unwrap();
        all.get(name)
            .map(|p| p.lock().unwrap().clone())
            .unwrap_or_default()
    }

    /// The text of the last outputs that the agent of this name got, and what else it was told.
    pub(super) fn told(&self, name: &str) -> String {
        let prompts = self.prompts(name);
        let items = &prompts.last().expect("it was asked").items;
        format!("{items:?}")
    }

    /// How many calls of tools are under way.
    pub(super) fn live(&self) -> usize {
        let live = [&self.fitter.live, &self.fitter.commands];
        live.iter().map(|n| n.load(Ordering::SeqCst)).sum()
    }

    /// How many commands were under way at the same time at most.
    pub(super) fn most_commands(&self) -> usize {
        self.fitter.most_commands.load(Ordering::SeqCst)
    }

    pub(super) fn request(&self, name: &str) -> SpawnRequest {
        SpawnRequest {
            name: AgentName::new(name).unwrap(),
            definition: definition("general"),
            bounds: RightsRequest::default(),
            asked: RightsRequest::default(),
            task: format!("the task of {name}"),
            writes: Writes::InPlace,
        }
    }

    pub(super) async fn spawn(&self, name: &str) -> Result<Arc<SubAgent>, SpawnError> {
        self.manager.spawn(&self.main, self.request(name)).await
    }

    /// Starts an agent with this script.
    pub(super) async fn start(&self, name: &str, steps: Vec<Step>) -> Arc<SubAgent> {
        self.script(name, steps);
        self.spawn(name).await.expect("it starts")
    }

    pub(super) fn path(&self, name: &str) -> AgentPath {
        AgentPath::main().child(&AgentName::new(name).unwrap())
    }
}
