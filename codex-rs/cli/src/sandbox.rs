//! `codex sandbox`: any command inside a profile.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use codex_audit::denials::{Denial, Denials};
use codex_core::places::find_program;
use codex_protocol::permission::{NotPermitted, Permissions};
use codex_protocol::record::Observation;
use codex_protocol::request::ProcessSpawn;
use codex_sandbox::plan::{Limits, Programs, Terminal};
use codex_sandbox::signals::{Signal, Signals};
use codex_sandbox::spawn::{self, Outcome, Ready, Running, SpawnError};
use serde_json::json;
use tracing::Span;

use crate::args::{Global, ReportForm, Sandbox};
use crate::failure::{Failure, Kind, OrFail as _};
use crate::print::{self, Painter, Style};
use codex_protocol::ids::SessionId;

use crate::setup::{self, Base, Bench, NoSteps, Setup, Watch};
use crate::telemetry::Watched;

/// The sandbox could not be set up.
const CANNOT_SET_UP: u8 = 125;
/// The program itself was denied.
const DENIED: u8 = 126;
/// The program was not found.
const NOT_FOUND: u8 = 127;
/// 128 and `SIGTERM`.
const TERMINATED: i32 = 143;

pub(crate) fn run(global: &Global, args: &Sandbox) -> Result<ExitCode, Failure> {
    // A failure to set up has this command's own code, so that it is told from the child's.
    let set_up = |failure: Failure| {
        print::error(global.color, &failure);
        ExitCode::from(CANNOT_SET_UP)
    };
    let global = &Global {
        audit_reads: args.audit_reads.clone(),
        ..global.clone()
    };
    let base = Base::without_programs(global, &args.grants, &[])?;
    // A run of `codex sandbox` is a conversation of its own.
    let mut bench = Bench::new(global, &base, SessionId::new(setup::new_id()))?;
    let limits = Limits {
        timeout: args.timeout,
        memory: args.max_memory,
        tasks: args.max_procs.map(u64::from),
    };
    let watched = Watched::begin(global, &base, "sandbox");
    let name = args.command.first().cloned().unwrap_or_default();
    let span = watched
        .span()
        .in_scope(|| codex_core::command::span(Path::new(&name)));
    let (plan, report) = match span.in_scope(|| bench.plan(Terminal::Shared, limits)) {
        Ok(planned) => planned,
        Err(error) => return Ok(set_up(Failure::work(error))),
    };
    // The confinement is made ready while we open the log; nothing starts before it is recorded.
    let ready = match spawn::prepare_sharing_streams(&plan, &codex_sandbox::this_binary()) {
        Ok(ready) => ready,
        Err(error) => return Ok(set_up(Failure::work(error))),
    };
    bench.list_programs();
    let watch = Watch {
        sink: Arc::new(NoSteps),
        first_step: 0,
    };
    let mut setup = match Setup::open(global, &base, bench, watch) {
        Err(failure) if failure.kind == Kind::CannotEnforce => return Ok(set_up(failure)),
        setup => setup?,
    };
    let mut watched = watched;
    watched.connect(&setup.permissions)?;
    let cwd = setup.places().workspace.clone();
    print::level(global, &report);
    let argv = args.command.clone();
    let Some(program) = find_program(Path::new(&name), &cwd, setup.workbench.search_path()) else {
        let named = setup
            .log
            .masker()
            .mask(&name.to_string_lossy())
            .into_owned();
        let told = format!("there is no program '{}'", print::with_home(&named));
        print::error(global.color, &Failure::work(told));
        return Ok(ExitCode::from(NOT_FOUND));
    };
    let ready = (ready, setup.workbench.programs(setup.permissions.policy()));
    let request = ProcessSpawn { program, argv, cwd };
    let code = span.in_scope(|| start(global, &setup, ready, request))?;
    drop(span);
    watched.finish()?;
    let profile = setup.permissions.policy().profile();
    // Signs the log, which the report and the head then cover.
    setup.end();
    let denials = setup.log.denied();
    match args.report {
        ReportForm::None => {}
        ReportForm::Text => report_text(global, &denials, setup.log.path()),
        ReportForm::Json => {
            let written = setup.log.written();
            print::note(&json!({
                "type": "sandbox.report", "v": 1, "profile": profile, "level": report.level, "exit": code,
                "denied": denials.list,
                "audit": { "path": setup.log.path(), "first_seq": written.first_seq, "last_seq": written.last_seq },
            }).to_string());
        }
    }
    if args.print_audit_head {
        crate::audit::note_head(setup.log.path())?;
    }
    Ok(ExitCode::from(code))
}

fn start(
    global: &Global,
    setup: &Setup,
    (ready, programs): (Ready, Programs),
    request: ProcessSpawn,
) -> Result<u8, Failure> {
    let argv: Vec<_> = request.argv.iter().map(|a| a.to_string_lossy()).collect();
    let detail = json!({ "phase": "intent", "argv": argv, "cwd": request.cwd.to_string_lossy() });
    let recorded = match setup.permissions.require_unasked(request, Some(detail)) {
        Ok(recorded) => recorded,
        Err(NotPermitted::Denied { .. }) => return Ok(DENIED),
        Err(NotPermitted::NoRecord(error)) => return Err(Failure::refused(error)),
    };
    // Handlers first, so that a signal meanwhile is not lost.
    let runtime = setup::runtime()?;
    let signals = {
        let _context = runtime.enter();
        Signals::handle().or_fail(Kind::Work)?
    };
    let lost = setup.lost();
    let ended = match ready.start(&recorded, &programs) {
        Ok(running) => runtime.block_on(async {
            tokio::select! {
                ended = watch(running, signals, &setup.permissions) => Ok(ended),
                // Dropping what is watched ends the command and all that it started.
                error = lost => Err(Failure::refused(error)),
            }
        })?,
        Err(error) => Err(error),
    };
    codex_core::command::tell_end(&Span::current(), ended.as_ref().map(|end| *end));
    let ended = match ended {
        Err(SpawnError::NoRecord(error)) => return Err(Failure::refused(error)),
        Ok(Outcome::Ended) => Ok(TERMINATED),
        Ok(end @ Outcome::TimedOut) => {
            let why = "the command was ended: its time was up (--timeout)";
            print::error(global.color, &Failure::work(why));
            Ok(end.status())
        }
        Ok(end) => Ok(end.status()),
        Err(error) => Err(error),
    };
    let outcome = match &ended {
        Ok(status) => json!({ "status": status }),
        Err(error) => json!({ "failed": error.to_string() }),
    };
    setup
        .permissions
        .record_outcome(&recorded, outcome)
        .map_err(Failure::refused)?;
    Ok(match ended {
        Ok(status) => u8::try_from(status).unwrap_or(u8::MAX),
        Err(error) => {
            let code = code_for(&error);
            print::error(global.color, &Failure::work(error));
            code
        }
    })
}

/// Waits for the command. Ctrl-C goes to it as well, and it may act on it as it likes; we stay to
/// see it end. A request to terminate ends it.
async fn watch(
    running: Running,
    mut signals: Signals,
    permissions: &Permissions,
) -> Result<Outcome, SpawnError> {
    let observer = |observation: &Observation| permissions.observe(observation);
    let wait = running.wait_async(&observer);
    tokio::pin!(wait);
    loop {
        tokio::select! {
            ended = &mut wait => return ended,
            signal = signals.next() => match signal {
                Signal::Interrupt => {}
                Signal::Terminate => return Ok(Outcome::Ended),
            },
        }
    }
}

/// A program that is there and cannot be executed is a shell's 126, one that is not its 127.
fn code_for(error: &SpawnError) -> u8 {
    match error {
        SpawnError::Exec { cause, .. } if cause.kind() == std::io::ErrorKind::NotFound => NOT_FOUND,
        SpawnError::Exec { .. } => DENIED,
        SpawnError::Setup { .. } | SpawnError::NoRecord(_) | SpawnError::HelperLost => {
            CANNOT_SET_UP
        }
    }
}

/// What was denied, why, and what would allow it, for people. Nothing where nothing was denied.
fn report_text(global: &Global, denials: &Denials, log: &Path) {
    let Some(Denial { seq, .. }) = denials.list.first() else {
        return;
    };
    let painter = Painter::for_stderr(global.color);
    print::note("");
    for denial in &denials.list {
        print::note(&denied_line(painter, denial));
    }
    if denials.more > 0 {
        print::note(&format!("  and {} more", denials.more));
    }
    let log: PathBuf = log.to_owned();
    print::note(&painter.paint(
        Style::Dim,
        &format!(
            "recorded in {} from record {seq} on (codex audit show --denied)",
            log.display()
        ),
    ));
}

/// One denial in one line. The reason ends with the smallest grant that would allow it.
pub(crate) fn denied_line(painter: Painter, denial: &Denial) -> String {
    let times = if denial.count > 1 {
        format!(" ({}×)", denial.count)
    } else {
        String::new()
    };
    let word = painter.paint(Style::Bad, "denied");
    let line = format!(
        "{word} {} {}{times}: {}",
        denial.operation, denial.target, denial.reason
    );
    print::with_home(&line)
}
