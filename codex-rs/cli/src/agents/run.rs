//! `codex agents run`: several agents beside one another, by a plan or on one task.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use codex_protocol::event::{Event, EventSink};
use codex_protocol::ids::SessionId;
use codex_protocol::model::Model;
use codex_protocol::record::Recorder;
use codex_supervisor::graph::{self, Fate, Options, Outcome};
use codex_supervisor::limits::Limits;
use codex_supervisor::narrow::Budget;
use codex_supervisor::plan::{self, OnFailure, Plan};
use codex_supervisor::report::{bounded, counted};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::args::{AgentsRun, Global, OnFailureWord};
use crate::crew::{self, Crew, Main, Wanted};
use crate::exec::{check_level, until_signalled};
use crate::failure::{Failure, Kind, OrFail as _};
use crate::print::{self, Painter, Style};
use crate::progress::{JsonLines, visible};
use crate::provider::{self, Recordings};
use crate::setup::{self, Base, NoSteps, Setup, Watch};
use crate::telemetry::Watched;

/// How many agents work at a time if neither the command line nor the plan says.
const MAX_CONCURRENT: usize = 8;

/// How much of a reason is shown in the summary, in bytes.
const SHOWN_REASON: usize = 300;

pub(super) fn run(global: &Global, args: &AgentsRun) -> Result<ExitCode, Failure> {
    let done = go(global, args);
    if let (Err(failure), true) = (&done, args.json) {
        JsonLines.emit(Event::Error {
            message: failure.to_string(),
        });
    }
    done
}

fn go(global: &Global, args: &AgentsRun) -> Result<ExitCode, Failure> {
    let plan = read(args)?;
    let base = Arc::new(Base::new(global, &args.grants, &args.add_dir)?);
    if base.policy.reaches_hosts() {
        return Err(Failure::usage(
            "agents reach no hosts in this version, and a command of theirs could not start where the run does: leave \
             out the profile net-read-only, --allow-host, --allow-preset and --allow-tunnel, and what config.toml says \
             of these ('codex policy show' tells what is in force); or run 'codex exec'",
        ));
    }
    let (catalog, definitions) = crew::catalog(global, &base)?;
    for node in plan.nodes() {
        definitions.get(&node.agent_type).or_fail(Kind::Usage)?;
    }
    let recordings = Recordings {
        replay: args.replay.clone(),
        record: args.record.clone(),
    };
    recordings.check_directories()?;
    let mut watched = Watched::begin(global, &base, "agents run");
    let painter = Painter::for_stderr(global.color);
    let sink: Arc<dyn EventSink> = match args.json {
        true => Arc::new(JsonLines),
        false => Arc::new(NoSteps),
    };
    let session = SessionId::new(setup::new_id());
    let watch = Watch {
        sink: Arc::clone(&sink),
        first_step: 0,
    };
    let setup = Setup::new(global, &base, session.clone(), watch)?;
    watched.connect(&setup.permissions)?;
    let mut model = None;
    let mut effort = base.loaded.config.reasoning_effort;
    if recordings.replay.is_none() {
        let chosen = provider::choose(&base, &Recordings::default(), None, &setup.permissions)?;
        effort = chosen.effort;
        model = Some((Arc::<dyn Model>::from(chosen.model), chosen.model_name));
    }
    check_level(global, &setup)?;
    if !args.json {
        let line = format!(
            "codex {} · profile {} · {} · session {session}",
            env!("CARGO_PKG_VERSION"),
            base.policy.profile(),
            counted(plan.nodes().len() as u64, "agent"),
        );
        print::note(&painter.paint(Style::Dim, &line));
    }
    sink.emit(Event::ThreadStarted {
        thread_id: session.to_string(),
    });

    let options = Options {
        max_concurrent: args
            .max_concurrent
            .map(usize::from)
            .or(plan.max_concurrent)
            .unwrap_or(MAX_CONCURRENT),
        on_failure: match args.on_failure {
            Some(OnFailureWord::Stop) => OnFailure::Stop,
            Some(OnFailureWord::Continue) => OnFailure::Continue,
            None => plan.on_failure.unwrap_or_default(),
        },
    };
    let usual = Limits::default();
    let wanted = Wanted {
        // Nobody is there to be asked.
        approvals: codex_supervisor::approvals::Approvals::nobody(),
        base: Arc::clone(&base),
        watcher: crew::watcher(args.json, painter, global.verbose),
        recordings,
        ephemeral: args.ephemeral,
        limits: Limits {
            // The plan's own never wait for a place that agents of theirs have taken.
            agents: options.max_concurrent + usual.agents,
            model_calls: options.max_concurrent.max(usual.model_calls),
            commands: options.max_concurrent.max(usual.commands),
            ..usual
        },
        catalog,
    };
    let recorder: Arc<dyn Recorder> = Arc::clone(&setup.log) as _;
    let (permissions, workbench, kept) = setup.into_parts();
    let cancel = CancellationToken::new();
    let main = Main {
        permissions: &permissions,
        recorder,
        workbench: &workbench,
        cancel: cancel.clone(),
        budget: Budget {
            turns: args.max_turns,
            tokens: args.max_tokens,
            time: args.timeout,
        },
    };
    let begun = Instant::now();
    let runtime = setup::runtime()?;
    let work = async {
        let crew = Crew::new(wanted, main, model, effort)?;
        let work = async {
            let outcomes = graph::run(&crew.manager, &crew.main, &plan, options).await;
            let left = crew.manager.shut_down(&crew.main).await;
            left.and(outcomes).map_err(Failure::refused)
        };
        let outcomes = until_signalled(&cancel, work).await??;
        Ok::<_, Failure>((outcomes, crew))
    };
    let ended = watched.span().in_scope(|| runtime.block_on(work));
    runtime.shutdown_background();
    let (outcomes, crew) = ended?;
    watched.finish()?;
    // Signs the log, whose head is told next.
    drop(kept);
    if args.print_audit_head {
        crate::audit::note_head(&base.audit_path)?;
    }
    tell(args, painter, &outcomes, begun, &crew);
    finish(&outcomes, cancel.is_cancelled())
}

fn read(args: &AgentsRun) -> Result<Plan, Failure> {
    let is_plan = Path::new(&args.what)
        .extension()
        .is_some_and(|ending| ending == "toml");
    if !is_plan {
        if args.what.trim().is_empty() {
            return Err(Failure::usage("the task is empty"));
        }
        let general = ["general".to_owned()];
        let types = match args.agents.is_empty() {
            true => general.as_slice(),
            false => &args.agents,
        };
        return Plan::one_task(&args.what, types).or_fail(Kind::Usage);
    }
    if !args.agents.is_empty() {
        return Err(Failure::usage(
            "--agents is for a task; a plan names the types of its own agents",
        ));
    }
    let failed = |e: &dyn std::fmt::Display| {
        Failure::usage(format!("the plan '{}' cannot be used: {e}", args.what))
    };
    let mut text = String::new();
    File::open(&args.what)
        .and_then(|file| {
            file.take(plan::LARGEST as u64 + 1)
                .read_to_string(&mut text)
        })
        .map_err(|e| failed(&e))?;
    Plan::parse(&text).map_err(|e| failed(&e))
}

/// The summary: for programs the last line of the events, for people a line an agent on stderr
/// and what the agents said on stdout.
fn tell(args: &AgentsRun, painter: Painter, outcomes: &[Outcome], begun: Instant, crew: &Crew) {
    let seconds = (begun.elapsed().as_secs_f64() * 1000.0).round() / 1000.0;
    let spent = crew.main.ledger.spent();
    let denials: u64 = outcomes
        .iter()
        .filter_map(|o| o.report.as_ref())
        .map(|r| r.denials)
        .sum();
    if args.json {
        let event = json!({
            "type": "agents.completed", "agent": "main", "parent": null, "seconds": seconds,
            "spent": spent, "denials": denials, "outcomes": outcomes,
        });
        print::data(&event.to_string());
        return;
    }
    let of_fate = |fate: Fate| {
        let n = outcomes.iter().filter(|o| o.fate == fate).count();
        (n > 0).then(|| format!("{n} {}", fate.as_str()))
    };
    let all = [
        Fate::Completed,
        Fate::Conflicted,
        Fate::Failed,
        Fate::Interrupted,
        Fate::Skipped,
    ];
    let counts: Vec<String> = all.into_iter().filter_map(of_fate).collect();
    let line = format!(
        "{} in {seconds:.1} s; {}, {}, {denials} denied",
        counts.join(", "),
        counted(spent.turns, "request"),
        counted(spent.tokens, "token")
    );
    print::note(&painter.paint(Style::Bold, &line));
    let widest = outcomes.iter().map(|o| o.name.len()).max().unwrap_or(0);
    for outcome in outcomes {
        let style = match outcome.fate {
            Fate::Completed => Style::Good,
            Fate::Skipped => Style::Dim,
            Fate::Conflicted | Fate::Failed | Fate::Interrupted => Style::Bad,
        };
        let mut line = format!("  {:widest$}  {}", outcome.name, outcome.fate.as_str());
        if let Some(report) = &outcome.report {
            line.push_str(&format!("  {}", crew::figures(report)));
        }
        if outcome.attempts > 1 {
            line.push_str(&format!(", {} attempts", outcome.attempts));
        }
        if let Some(why) = &outcome.why {
            line.push_str(&format!(": {}", bounded(why, SHOWN_REASON)));
        }
        print::note(&painter.paint(style, &visible(&line)));
        let merged = outcome.report.as_ref().and_then(|r| r.merged.as_ref());
        for (sign, files) in merged
            .into_iter()
            .flat_map(|m| [("merged", &m.files), ("NOT merged", &m.conflicts)])
        {
            for file in files {
                print::note(&visible(&format!("    {sign} {file}")));
            }
        }
        if let Some(kept) = merged.and_then(|m| m.kept.as_ref()) {
            print::note(&visible(&format!("    its changes are kept in {kept}")));
        }
        for kept in &outcome.earlier {
            print::note(&visible(&format!(
                "    the changes of an earlier attempt are kept in {kept}"
            )));
        }
    }
    for outcome in outcomes {
        let message = outcome.report.as_ref().and_then(|r| r.message.as_ref());
        if let Some(message) = message {
            print::data(&format!("## {}\n\n{message}\n", outcome.name));
        }
    }
}

fn finish(outcomes: &[Outcome], interrupted: bool) -> Result<ExitCode, Failure> {
    if interrupted {
        return Err(Failure::new(Kind::Interrupted, "interrupted"));
    }
    let bad: Vec<&str> = outcomes
        .iter()
        .filter(|o| o.fate != Fate::Completed)
        .map(|o| o.name.as_str())
        .collect();
    match bad.is_empty() {
        true => Ok(ExitCode::SUCCESS),
        false => Err(Failure::work(format!(
            "not all agents did their tasks: {}",
            bad.join(", ")
        ))),
    }
}
