//! The sub-agents of a run: what each is made of, and how what they do is shown.

use std::env;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use codex_core::agents_md;
use codex_core::command::Workbench;
use codex_core::session::{Parts, TurnLimits};
use codex_core::store::{Header, Store};
use codex_protocol::event::{Event, ItemDetails};
use codex_protocol::model::{Item, Model, ModelStream, Prompt, ReasoningEffort};
use codex_protocol::permission::Permissions;
use codex_protocol::record::Recorder;
use codex_protocol::security_profile::SecurityProfile;
use codex_sandbox::private;
use codex_supervisor::approvals::Approvals;
use codex_supervisor::budget::Ledger;
use codex_supervisor::catalog::{Catalog, Kind as AgentKind};
use codex_supervisor::definitions::{Definitions, Sources};
use codex_supervisor::limits::Limits;
use codex_supervisor::mailbox::Mailbox;
use codex_supervisor::manager::{Equipment, Standing, SubAgentManager};
use codex_supervisor::message::Message;
use codex_supervisor::narrow::{Budget, Rights, Selection};
use codex_supervisor::outfit::{Order, Outfitter, Watcher};
use codex_supervisor::path::AgentPath;
use codex_supervisor::restart::RestartPolicy;
use codex_supervisor::worktree::Worktree;
use tokio_util::sync::CancellationToken;

use crate::args::Global;
use crate::config::{Instructions, environment};
use crate::equip::Equipped;
use crate::failure::{Failure, Kind, OrFail as _};
use crate::print;
use crate::provider::{self, Chosen, Recordings};
use crate::setup::{self, Base};

mod show;

pub(crate) use show::{figures, watcher};

/// What sub-agents are wanted in a run.
pub(crate) struct Wanted {
    pub(crate) base: Arc<Base>,
    pub(crate) watcher: Arc<dyn Watcher>,
    pub(crate) recordings: Recordings,
    /// Whether no session is kept.
    pub(crate) ephemeral: bool,
    pub(crate) limits: Limits,
    /// The types of agents.
    pub(crate) catalog: Catalog,
    /// Whoever answers what agents ask.
    pub(crate) approvals: Arc<Approvals>,
}

/// The main agent of a run, as far as sub-agents have to do with it.
pub(crate) struct Main<'m> {
    pub(crate) permissions: &'m Permissions,
    pub(crate) recorder: Arc<dyn Recorder>,
    pub(crate) workbench: &'m Arc<Workbench>,
    /// Ends the run.
    pub(crate) cancel: CancellationToken,
    /// What the run may use up.
    pub(crate) budget: Budget,
}

/// The sub-agents of a run.
pub(crate) struct Crew {
    pub(crate) manager: Arc<SubAgentManager>,
    /// The main agent's standing.
    pub(crate) main: Standing,
    /// The messages to the main agent.
    pub(crate) mailbox: Arc<Mailbox<Message>>,
    fitter: Arc<Fitter>,
}

impl Crew {
    /// A crew without an agent yet. `model` is what answers those that have no recording, and its
    /// name.
    pub(crate) fn new(
        wanted: Wanted,
        main: Main<'_>,
        model: Option<(Arc<dyn Model>, String)>,
        effort: Option<ReasoningEffort>,
    ) -> Result<Self, Failure> {
        let policy = main.permissions.policy();
        let directory = match policy.profile() {
            SecurityProfile::WorkspaceWrite | SecurityProfile::Trusted => {
                Some(Directory::new().or_fail(Kind::Work)?)
            }
            SecurityProfile::Offline | SecurityProfile::NetReadOnly => None,
        };
        let fitter = Arc::new(Fitter {
            base: wanted.base,
            model,
            effort,
            recordings: wanted.recordings,
            ephemeral: wanted.ephemeral,
            directory,
        });
        let equipment = Equipment {
            outfitter: Arc::clone(&fitter) as _,
            watcher: wanted.watcher,
            recorder: main.recorder,
            approvals: wanted.approvals,
            workbench: Arc::clone(main.workbench),
            catalog: wanted.catalog,
            limits: wanted.limits,
            restarts: RestartPolicy::default(),
        };
        let manager = SubAgentManager::new(equipment, main.cancel);
        let rights = Rights::new(policy.clone(), Selection::All, Selection::All, main.budget);
        let (standing, mailbox) =
            manager.main(rights, main.permissions.clone(), Ledger::root(main.budget));
        Ok(Self {
            manager,
            main: standing,
            mailbox,
            fitter,
        })
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        // Now, and not with the last agent's task, which may end after everything else.
        if let Some(directory) = &self.fitter.directory {
            drop(directory.take());
        }
    }
}

/// The types of agents that can be started here.
pub(crate) fn catalog(global: &Global, base: &Base) -> Result<(Catalog, Definitions), Failure> {
    let places = base.places();
    let all = Definitions::load(&Sources {
        codex_home: &base.codex_home,
        workspace: &places.workspace,
        home: places.home.as_deref(),
    });
    for warning in all.warnings() {
        print::warning(global.color, warning);
    }
    let search_path = env::var_os(environment::PATH).unwrap_or_default();
    let kinds = all.agents().map(|agent| {
        let definition = agent.definition.clone();
        let bounds = definition.request(&places.workspace, places.home.as_deref(), &search_path);
        bounds
            .or_fail(Kind::Usage)
            .map(|bounds| AgentKind { definition, bounds })
    });
    let kinds: Vec<AgentKind> = kinds.collect::<Result<_, _>>()?;
    Ok((Catalog::new(kinds), all))
}

/// Where agents that write get directories of their own: apart from the run's other temporary
/// files, since commands write those and codex would follow a link among them.
struct Directory {
    path: PathBuf,
    /// Removed when it is dropped.
    own: Mutex<Option<tempfile::TempDir>>,
}

impl Directory {
    fn new() -> io::Result<Self> {
        let own = setup::private_temp()?;
        Ok(Self {
            path: own.path().canonicalize()?,
            own: Mutex::new(Some(own)),
        })
    }

    fn take(&self) -> Option<tempfile::TempDir> {
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        own.take()
    }

    /// Makes a directory of this name, or of this name with a number, that was not there: what an
    /// earlier agent left is not another's.
    fn make(&self, name: &str) -> io::Result<PathBuf> {
        let mut directory = self.path.join(name);
        let mut number = 1_u32;
        loop {
            match fs::create_dir(&directory) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    number += 1;
                    directory = self.path.join(format!("{name}~{number}"));
                }
                made => return made.map(|()| directory),
            }
        }
    }
}

/// Makes the parts of agents' sessions.
struct Fitter {
    base: Arc<Base>,
    model: Option<(Arc<dyn Model>, String)>,
    effort: Option<ReasoningEffort>,
    recordings: Recordings,
    ephemeral: bool,
    /// Where the run writes nothing there is none.
    directory: Option<Directory>,
}

/// The name of an agent's recording and directory: its path below the main agent.
fn file_name(path: &AgentPath) -> String {
    let below = path
        .as_str()
        .split_once('/')
        .map_or("main", |(_, below)| below);
    below.replace('/', ".")
}

impl Fitter {
    fn chosen(&self, order: &Order<'_>) -> Result<Chosen, String> {
        let recordings = self.recordings.of(&file_name(order.path));
        let effort = order.definition.effort.or(self.effort);
        let wanted = order.definition.model.clone();
        let (model, name): (Box<dyn Model>, String) = match (&recordings.replay, &self.model) {
            (Some(path), _) => {
                let model = provider::replayed(path).map_err(|e| e.to_string())?;
                (model, "recording".to_owned())
            }
            (None, Some((model, name))) => (Box::new(SharedModel(Arc::clone(model))), name.clone()),
            (None, None) => return Err("there is no model to talk to".to_owned()),
        };
        let chosen = Chosen {
            model,
            model_name: wanted.unwrap_or(name),
            effort,
        };
        provider::recorded(chosen, &recordings).map_err(|e| e.to_string())
    }

    fn store(&self, order: &Order<'_>, chosen: &Chosen) -> Result<Option<Store>, String> {
        if self.ephemeral {
            return Ok(None);
        }
        let subject = order.permissions.subject();
        let header = Header {
            id: subject.session_id.clone(),
            created: jiff::Timestamp::now()
                .strftime("%Y-%m-%dT%H:%M:%SZ")
                .to_string(),
            cwd: order.permissions.policy().own().places.workspace.clone(),
            profile: subject.profile,
            provider: chosen.model.provider().to_owned(),
            model: chosen.model_name.clone(),
        };
        // Apart from the person's own, so that the newest of those is never an agent's.
        let directory = self.base.codex_home.join("sessions").join("agents");
        Store::create(&directory, header)
            .map(Some)
            .map_err(|e| e.to_string())
    }
}

impl Outfitter for Fitter {
    fn parts(&self, order: Order<'_>) -> Result<Parts, String> {
        let chosen = self.chosen(&order)?;
        let store = self.store(&order, &chosen)?;
        let permissions = order.permissions;
        let workspace = permissions.policy().own().places.workspace.clone();
        let equipped = Equipped::new(&self.base, &order.workbench, &workspace, &chosen.model_name);
        permissions.items().emit(Event::ThreadStarted {
            thread_id: permissions.subject().session_id.to_string(),
        });
        let mut items = Vec::new();
        if equipped.told != Instructions::None {
            let found = agents_md::load(&permissions, &self.base.codex_home, &workspace)
                .map_err(|e| e.to_string())?;
            for message in found.notices {
                let shown = permissions.items();
                shown.completed(shown.new_id(), ItemDetails::Error { message });
            }
            items.extend(found.text.map(Item::user));
        }
        let mut instructions = equipped.instructions(permissions.policy());
        if !order.definition.instructions.is_empty() {
            instructions.push('\n');
            instructions.push_str(&order.definition.instructions);
        }
        instructions.push_str(
            "\nYou are a sub-agent: your last message goes to whoever gave you the task. Keep it short and complete; \
             nobody can answer questions meanwhile. Do not commit: your changes are taken over as they are.\n",
        );
        Ok(Parts {
            permissions,
            model: chosen.model,
            model_name: chosen.model_name,
            tools: equipped.tools,
            compact_schemas: equipped.compact_schemas,
            instructions,
            effort: chosen.effort,
            output_schema: None,
            store,
            items,
            limits: TurnLimits::default(),
            context_window: equipped.context_window,
        })
    }

    fn new_id(&self) -> String {
        setup::new_id()
    }

    fn directory(&self, path: &AgentPath) -> io::Result<Option<PathBuf>> {
        let Some(own) = &self.directory else {
            return Ok(None);
        };
        let directory = own.make(&file_name(path))?;
        for below in Worktree::directories(&directory) {
            private::directory(&below)?;
        }
        Ok(Some(directory))
    }

    fn keep_directories(&self) {
        let own = self.directory.as_ref().and_then(Directory::take);
        own.map(tempfile::TempDir::keep);
    }
}

/// One model for several agents.
pub(crate) struct SharedModel(pub(crate) Arc<dyn Model>);

impl Model for SharedModel {
    fn provider(&self) -> &str {
        self.0.provider()
    }

    fn endpoint(&self) -> &str {
        self.0.endpoint()
    }

    fn stream(&self, prompt: Prompt) -> Box<dyn ModelStream + '_> {
        self.0.stream(prompt)
    }
}
