//! `codex exec`: one task without asking.

use std::fs::{self, OpenOptions};
use std::io::{self, IsTerminal as _, Read as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use codex_core::agents_md;
use codex_core::output_schema::OutputSchema;
use codex_core::session::{Parts, Session, TurnEnd, TurnError, TurnLimits};
use codex_core::store::{Header, Store, Stored};
use codex_protocol::event::{Event, EventSink, ItemDetails};
use codex_protocol::ids::SessionId;
use codex_protocol::model::{Content, Item, Model};
use codex_protocol::record::Recorder;
use codex_protocol::security_profile::SecurityProfile;
use codex_sandbox::plan::{self, CannotEnforce, Terminal};
use codex_sandbox::signals::Signals;
use codex_supervisor::limits::Limits;
use codex_supervisor::narrow::Budget;
use tokio_util::sync::CancellationToken;

use crate::args::{Exec, ExecCommand, ExecFlags, Global};
use crate::config::Instructions;
use crate::crew::{self, Crew, Main, SharedModel};
use crate::equip::Equipped;
use crate::failure::{Failure, Kind, OrFail as _};
use crate::print::{self, Painter, Style};
use crate::progress::{JsonLines, People};
use crate::provider::{self, Recordings};
use crate::setup::{self, Base, Setup, Watch};
use crate::telemetry::Watched;

/// The largest prompt that is read from stdin, in bytes.
const LARGEST_PROMPT: u64 = 16 << 20;

/// The session to go on with.
enum Which {
    New,
    Newest,
    Id(String),
}

pub(crate) fn run(global: &Global, args: Exec) -> Result<ExitCode, Failure> {
    let flags = &args.flags;
    let (which, prompt) = match args.resume {
        None => (Which::New, args.prompt),
        Some(ExecCommand::Resume(r)) if r.last => (Which::Newest, r.prompt.or(r.id)),
        Some(ExecCommand::Resume(r)) => {
            let id =
                r.id.ok_or_else(|| Failure::usage("name the session to resume, or use --last"))?;
            (Which::Id(id), r.prompt)
        }
    };
    let done = go(global, flags, &which, prompt);
    if let (Err(failure), true) = (&done, flags.json) {
        JsonLines.emit(Event::Error {
            message: failure.to_string(),
        });
    }
    done
}

fn go(
    global: &Global,
    flags: &ExecFlags,
    which: &Which,
    prompt: Option<String>,
) -> Result<ExitCode, Failure> {
    let base = Arc::new(Base::new(global, &flags.grants, &flags.add_dir)?);
    let mut watched = Watched::begin(global, &base, "exec");
    let recordings = Recordings {
        replay: flags.replay.clone(),
        record: flags.record.clone(),
    };
    if flags.sub_agents {
        recordings.check_directories()?;
    }
    let schema = flags
        .output_schema
        .as_deref()
        .map(read_schema)
        .transpose()?;
    if let Some(file) = &flags.output_last_message {
        check_writable(file).map_err(|e| {
            Failure::usage(format!(
                "the last message cannot be written to '{}': {e}",
                file.display()
            ))
        })?;
    }
    let prompt = read_prompt(prompt)?;
    let directory = base.codex_home.join("sessions");
    let resumed = match which {
        Which::New => None,
        Which::Newest => Some(Store::resume(&directory, None).or_fail(Kind::Usage)?),
        Which::Id(id) => Some(Store::resume(&directory, Some(id)).or_fail(Kind::Usage)?),
    };
    warn_without_git(global, flags, &base);
    if flags.sub_agents && base.policy.reaches_hosts() {
        print::warning(
            global.color,
            "this run reaches hosts, and agents do not in this version: agents that the model starts can read and \
             patch files here, but start no command",
        );
    }

    let session = resumed.as_ref().map_or_else(
        || SessionId::new(setup::new_id()),
        |(_, stored)| stored.header.id.clone(),
    );
    let sink: Arc<dyn EventSink> = if flags.json {
        Arc::new(JsonLines)
    } else {
        Arc::new(People::new(Painter::for_stderr(global.color)))
    };
    let first_step = resumed.as_ref().map_or(0, |(_, stored)| stored.steps);
    let setup = Setup::new(
        global,
        &base,
        session.clone(),
        Watch {
            sink: Arc::clone(&sink),
            first_step,
        },
    )?;
    watched.connect(&setup.permissions)?;
    let earlier = resumed.as_ref().map(|(_, stored)| &stored.header);
    let mut own = recordings.of("main");
    if flags.sub_agents {
        // The model is the agents' too, and what they say has files of its own.
        own.record = None;
    }
    let chosen = provider::choose(&base, &own, earlier, &setup.permissions)?;
    check_level(global, &setup)?;

    if !flags.json {
        let painter = Painter::for_stderr(global.color);
        let line = format!(
            "codex {} · profile {} · {} from {} · session {session}",
            env!("CARGO_PKG_VERSION"),
            base.policy.profile(),
            chosen.model_name,
            chosen.model.provider(),
        );
        print::note(&painter.paint(Style::Dim, &line));
    }
    sink.emit(Event::ThreadStarted {
        thread_id: session.to_string(),
    });
    let (store, items) = open_store(flags, &base, &chosen, session, resumed)?;
    let input = content(prompt, flags, &setup)?;
    let crew = if flags.sub_agents {
        let painter = Painter::for_stderr(global.color);
        Some(crew::Wanted {
            // Nobody is there to be asked.
            approvals: codex_supervisor::approvals::Approvals::nobody(),
            watcher: crew::watcher(flags.json, painter, global.verbose),
            recordings,
            ephemeral: flags.ephemeral,
            limits: Limits::default(),
            catalog: crew::catalog(global, &base)?.0,
            base: Arc::clone(&base),
        })
    } else {
        None
    };
    let conversation = Conversation {
        chosen,
        store,
        items,
        schema,
        limits: limits(flags),
        crew,
    };
    let run = || converse(&base, setup, conversation, input);
    let (ended, _) = watched.span().in_scope(run)?;
    watched.finish()?;
    if flags.print_audit_head {
        crate::audit::note_head(&base.audit_path)?;
    }
    finish(flags, ended)
}

/// Tells of a profile that cannot be enforced before the model is asked, not with the first
/// command.
pub(crate) fn check_level(global: &Global, setup: &Setup) -> Result<(), Failure> {
    let planned = setup.workbench.plan(
        setup.permissions.policy(),
        Terminal::None,
        plan::Limits::default(),
    );
    match planned {
        Ok((_, report)) => print::level(global, &report),
        // The person accepted that: codex's own tools stand behind the gate, and each command is
        // refused.
        Err(error @ CannotEnforce::Nothing(_)) => {
            print::warning(global.color, &error.to_string());
        }
        Err(error) => return Err(Failure::new(Kind::CannotEnforce, error)),
    }
    Ok(())
}

/// What a turn goes on from.
pub(crate) struct Conversation {
    /// The model's side.
    pub(crate) chosen: provider::Chosen,
    /// Where it is kept.
    pub(crate) store: Option<Store>,
    /// What was said so far.
    pub(crate) items: Vec<Item>,
    /// What the last message has to fit.
    pub(crate) schema: Option<OutputSchema>,
    /// How far the turn may go.
    pub(crate) limits: TurnLimits,
    /// The sub-agents that the model may start, if it may.
    pub(crate) crew: Option<crew::Wanted>,
}

/// Runs one turn to its end, or to a person's Ctrl-C. Gives the conversation back beside how the
/// turn ended.
pub(crate) fn converse(
    base: &Base,
    setup: Setup,
    conversation: Conversation,
    mut input: Vec<Content>,
) -> Result<(Result<TurnEnd, TurnError>, Vec<Item>), Failure> {
    let workspace = base.places().workspace.clone();
    let recorder: Arc<dyn Recorder> = Arc::clone(&setup.log) as _;
    let (permissions, workbench, kept) = setup.into_parts();
    let mut equipped = Equipped::new(
        base,
        &workbench,
        &workspace,
        &conversation.chosen.model_name,
    );
    if conversation.items.is_empty() && equipped.told != Instructions::None {
        let found = agents_md::load(&permissions, &base.places().codex_home, &workspace)
            .map_err(Failure::refused)?;
        for message in found.notices {
            let shown = permissions.items();
            shown.completed(shown.new_id(), ItemDetails::Error { message });
        }
        // In the person's first message, so that it stays where it is in every request.
        input.splice(0..0, found.text.map(|text| Content::Text { text }));
    }
    let interrupt = CancellationToken::new();
    let mut model = conversation.chosen.model;
    let mut crew = None;
    if let Some(wanted) = conversation.crew {
        let shared: Arc<dyn Model> = Arc::from(model);
        let main = Main {
            permissions: &permissions,
            recorder,
            workbench: &workbench,
            cancel: interrupt.clone(),
            budget: budget(&conversation.limits),
        };
        let side = Some((Arc::clone(&shared), conversation.chosen.model_name.clone()));
        let own = provider::Chosen {
            model: Box::new(SharedModel(shared)),
            model_name: conversation.chosen.model_name.clone(),
            effort: conversation.chosen.effort,
        };
        let own = provider::recorded(own, &wanted.recordings.of("main"))?;
        let made = Crew::new(wanted, main, side, conversation.chosen.effort)?;
        model = made.manager.meter(own.model, &made.main.ledger);
        equipped.tools = made
            .manager
            .equip(equipped.tools, &made.main, &made.mailbox);
        crew = Some(made);
    }
    let parts = Parts {
        instructions: equipped.instructions(permissions.policy()),
        compact_schemas: equipped.compact_schemas,
        tools: equipped.tools,
        permissions,
        model,
        model_name: conversation.chosen.model_name,
        effort: conversation.chosen.effort,
        output_schema: conversation.schema,
        store: conversation.store,
        items: conversation.items,
        limits: conversation.limits,
        context_window: equipped.context_window,
    };
    let runtime = setup::runtime()?;
    let ended = runtime.block_on(async {
        let mut session = Session::new(parts).or_fail(Kind::Work)?;
        let turn = async {
            let turn = session.turn(input, &interrupt);
            let lost = kept.lost();
            tokio::pin!(turn, lost);
            let mut unrecorded = None;
            loop {
                tokio::select! {
                    ended = &mut turn => break unrecorded.map_or(ended, Err),
                    error = &mut lost, if unrecorded.is_none() => {
                        unrecorded = Some(TurnError::from(error));
                        interrupt.cancel();
                    }
                }
            }
        };
        let mut ended = until_signalled(&interrupt, turn).await?;
        if let Some(crew) = &crew {
            // However the turn ended, no agent goes on behind it.
            let left = crew.manager.shut_down(&crew.main).await;
            if let (Err(why), Ok(_)) = (left, &ended) {
                ended = Err(TurnError::NotPermitted(why));
            }
        }
        let (items, left) = session.end().await;
        Ok((
            ended.and_then(|end| left.map(|()| end).map_err(TurnError::from)),
            items,
        ))
    });
    // A resolver that hangs in its own thread must not keep us from ending.
    runtime.shutdown_background();
    ended
}

/// Runs the work to its end; a person's Ctrl-C, or a request to end, interrupts it.
pub(crate) async fn until_signalled<T>(
    interrupt: &CancellationToken,
    work: impl Future<Output = T>,
) -> Result<T, Failure> {
    let mut signals = Signals::handle().or_fail(Kind::Work)?;
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return Ok(done),
            _ = signals.next() => interrupt.cancel(),
        }
    }
}

/// A turn's limits, as what a tree of agents may use up.
fn budget(limits: &TurnLimits) -> Budget {
    Budget {
        turns: Some(limits.requests),
        tokens: limits.tokens,
        time: limits.time,
    }
}

fn finish(flags: &ExecFlags, ended: Result<TurnEnd, TurnError>) -> Result<ExitCode, Failure> {
    let end = ended.map_err(|error| {
        let kind = match &error {
            TurnError::Interrupted => Kind::Interrupted,
            TurnError::NotPermitted(_) | TurnError::NoRecord(_) => Kind::Refused,
            TurnError::Model(_)
            | TurnError::Limit(_)
            | TurnError::Schema(_)
            | TurnError::Store(_) => Kind::Work,
        };
        Failure::new(kind, error)
    })?;
    let message = end.message.unwrap_or_default();
    if !flags.json {
        print::data(&message);
    }
    // Last, so that what cannot be kept there is not lost.
    if let Some(file) = &flags.output_last_message {
        fs::write(file, &message).map_err(|e| {
            Failure::work(format!(
                "the last message cannot be written to '{}': {e}",
                file.display()
            ))
        })?;
    }
    Ok(ExitCode::SUCCESS)
}

fn limits(flags: &ExecFlags) -> TurnLimits {
    let default = TurnLimits::default();
    TurnLimits {
        requests: flags.max_turns.unwrap_or(default.requests),
        tokens: flags.max_tokens,
        time: flags.timeout,
    }
}

fn open_store(
    flags: &ExecFlags,
    base: &Base,
    chosen: &provider::Chosen,
    id: SessionId,
    resumed: Option<(Store, Stored)>,
) -> Result<(Option<Store>, Vec<Item>), Failure> {
    if let Some((store, stored)) = resumed {
        return Ok(((!flags.ephemeral).then_some(store), stored.items));
    }
    if flags.ephemeral {
        return Ok((None, Vec::new()));
    }
    let header = Header {
        id,
        created: jiff::Timestamp::now()
            .strftime("%Y-%m-%dT%H:%M:%SZ")
            .to_string(),
        cwd: base.places().workspace.clone(),
        profile: base.policy.profile(),
        provider: chosen.model.provider().to_owned(),
        model: chosen.model_name.clone(),
    };
    let store = Store::create(&base.codex_home.join("sessions"), header).or_fail(Kind::Work)?;
    Ok((Some(store), Vec::new()))
}

/// The task, from the argument, stdin, or both.
fn read_prompt(argument: Option<String>) -> Result<String, Failure> {
    let piped = || -> Result<String, Failure> {
        let mut text = Vec::new();
        let read = io::stdin()
            .lock()
            .take(LARGEST_PROMPT + 1)
            .read_to_end(&mut text);
        read.map_err(|e| Failure::usage(format!("the prompt cannot be read from stdin: {e}")))?;
        if text.len() as u64 > LARGEST_PROMPT {
            return Err(Failure::usage(format!(
                "what stdin holds is larger than {} MiB",
                LARGEST_PROMPT >> 20
            )));
        }
        String::from_utf8(text).map_err(|_| Failure::usage("what stdin holds is not UTF-8 text"))
    };
    let from_terminal = io::stdin().is_terminal();
    let prompt = match argument {
        Some(text) if text != "-" => {
            let added = if from_terminal {
                String::new()
            } else {
                piped()?
            };
            if added.trim().is_empty() {
                text
            } else {
                format!("{text}\n\n<stdin>\n{added}\n</stdin>")
            }
        }
        None if from_terminal => {
            return Err(Failure::usage(
                "there is no task: give one as an argument or on stdin, as in: codex exec 'make the tests pass'",
            ));
        }
        _ => piped()?,
    };
    if prompt.trim().is_empty() {
        return Err(Failure::usage("the task is empty"));
    }
    Ok(prompt)
}

/// Whether something can be written there, before anything is spent on it. Leaves there what was.
fn check_writable(file: &Path) -> io::Result<()> {
    match fs::metadata(file) {
        // A link to what is not there yet: trying would leave something.
        Err(_) if file.is_symlink() => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            OpenOptions::new().write(true).create_new(true).open(file)?;
            fs::remove_file(file)
        }
        Ok(found) if found.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Ok(found) if found.is_file() => OpenOptions::new().write(true).open(file).map(drop),
        // Whoever reads from a pipe would see it end.
        Ok(_) => Ok(()),
        Err(e) => Err(e),
    }
}

fn read_schema(path: &Path) -> Result<OutputSchema, Failure> {
    let failed = |e: &dyn std::fmt::Display| {
        Failure::usage(format!(
            "the schema '{}' cannot be used: {e}",
            path.display()
        ))
    };
    let text = fs::read_to_string(path).map_err(|e| failed(&e))?;
    let value = serde_json::from_str(&text).map_err(|e| failed(&e))?;
    OutputSchema::new(value).map_err(|e| failed(&e))
}

fn content(prompt: String, flags: &ExecFlags, setup: &Setup) -> Result<Vec<Content>, Failure> {
    let mut parts = vec![Content::Text { text: prompt }];
    for image in &flags.image {
        parts.push(crate::image::read(image, setup)?);
    }
    Ok(parts)
}

/// Changes outside a repository cannot be looked at or taken back with git, which people learn
/// too late.
fn warn_without_git(global: &Global, flags: &ExecFlags, base: &Base) {
    let writes = matches!(
        base.policy.profile(),
        SecurityProfile::WorkspaceWrite | SecurityProfile::Trusted
    );
    let in_repository = base
        .places()
        .workspace
        .ancestors()
        .any(|dir| dir.join(".git").exists());
    if writes && !in_repository && !flags.skip_git_repo_check {
        let text = "the workspace is not in a git repository, so changes cannot be taken back with git (--skip-git-repo-check silences this)";
        print::warning(global.color, text);
    }
}
