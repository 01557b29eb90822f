//! `codex audit tail`, `stats`, `explain`, `export`: reading the log for people and other tools.

use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use codex_audit::export;
use codex_audit::query::{self, BadLine, Filter, Follow, Row};
use codex_audit::record::Record;
use codex_audit::stats::Stats;
use codex_protocol::decision::RULES;
use codex_protocol::operation::Evidence;
use serde_json::json;

use super::{human, warn};
use crate::args::{AuditExplain, AuditExport, AuditStats, AuditTail, ExportFormat, Global};
use crate::failure::{Failure, Kind, OrFail as _};
use crate::print::{self, Painter};
use crate::setup;

/// How often a log that is followed is looked at.
const PAUSE: Duration = Duration::from_millis(200);

pub(super) fn tail(global: &Global, args: &AuditTail) -> Result<ExitCode, Failure> {
    let path = setup::audit_path(global)?;
    if !path.exists() && !args.follow {
        return Ok(ExitCode::SUCCESS);
    }
    while !path.exists() {
        thread::sleep(PAUSE);
    }
    let painter = Painter::for_stdout(global.color);
    let each = |row: Result<Row, BadLine>| match row {
        Ok(Row { line, .. }) if args.json => print::data(&line),
        Ok(Row { record, .. }) => print::data(&human(painter, &record)),
        Err(bad) => warn(global, &bad),
    };
    // First where to go on: a record that is written meanwhile is then shown, or known by its
    // number as shown already.
    let mut follow = args
        .follow
        .then(|| Follow::from_end(&path))
        .transpose()
        .or_fail(Kind::Work)?;
    let filter = Filter {
        limit: Some(args.limit),
        ..Filter::default()
    };
    let mut shown = 0;
    query::select(&path, &filter, |row| {
        if let Ok(row) = &row {
            shown = row.record.seq;
        }
        each(row);
    })
    .or_fail(Kind::Work)?;
    while let Some(follow) = &mut follow {
        follow
            .poll(|row| {
                if row.as_ref().map_or(true, |row| row.record.seq > shown) {
                    each(row);
                }
            })
            .or_fail(Kind::Work)?;
        thread::sleep(PAUSE);
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn stats(global: &Global, args: &AuditStats) -> Result<ExitCode, Failure> {
    let path = setup::audit_path(global)?;
    let stats = if path.exists() {
        Stats::of(&path, &Filter::default()).or_fail(Kind::Work)?
    } else {
        Stats::default()
    };
    if args.json {
        let document = json!({
            "v": 1,
            "records": stats.records,
            "bad_lines": stats.bad_lines,
            "first": stats.first,
            "last": stats.last,
            "operations": stats.operations,
            "denials_by_rule": stats.denials_by_rule,
        });
        print::data(&document.to_string());
        return Ok(ExitCode::SUCCESS);
    }
    let span = match (&stats.first, &stats.last) {
        (Some(first), Some(last)) => format!(", from {first} to {last}"),
        _ => String::new(),
    };
    print::data(&format!("{} records{span}", stats.records));
    if stats.bad_lines > 0 {
        print::data(&format!(
            "{} lines are no records; 'codex audit verify' names the first",
            stats.bad_lines
        ));
    }
    for (operation, attempts) in &stats.operations {
        print::data(&format!(
            "  {:<16} {:>9} allowed {:>9} denied",
            operation.as_str(),
            attempts.allowed,
            attempts.denied
        ));
    }
    if !stats.denials_by_rule.is_empty() {
        print::data("denied by rule");
    }
    for (rule, count) in &stats.denials_by_rule {
        print::data(&format!("  {rule:<16} {count:>9}"));
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn explain(global: &Global, args: &AuditExplain) -> Result<ExitCode, Failure> {
    let path = setup::audit_path(global)?;
    let found = query::find(&path, args.seq).or_fail(Kind::Work)?;
    let Some(Row { record, .. }) = found else {
        return Err(Failure::usage(format!(
            "the audit log has no record {}; `codex audit head` prints the number of the last",
            args.seq
        )));
    };
    for (name, text) in explained(&record) {
        print::data(&format!("{name:<10} {text}"));
    }
    Ok(ExitCode::SUCCESS)
}

fn explained(record: &Record) -> Vec<(&'static str, String)> {
    // The reason and what would allow it are one text in the log: see `Decision::explanation`.
    let (reason, remedy) = match record.reason.rsplit_once(" (to allow it: ") {
        Some((reason, rest)) => (reason, rest.strip_suffix(')')),
        None => (record.reason.as_str(), None),
    };
    let known = RULES.iter().find(|(rule, _)| rule.0 == record.rule);
    let rule = match known {
        Some((rule, says)) => format!("{rule}: {says}"),
        None => record.rule.clone(),
    };
    let evidence = match record.evidence {
        Evidence::Observed => "the supervisor saw that very system call and its outcome",
        Evidence::Declared => "codex itself asked the gate",
        Evidence::Inferred => "guessed from an exit code or message",
    };
    let mut lines = vec![
        ("record", format!("{}, {}", record.seq, record.timestamp)),
        (
            "what",
            format!(
                "{} {}: {}",
                record.decision, record.operation, record.target
            ),
        ),
        ("why", reason.to_owned()),
        ("rule", rule),
        ("known by", format!("{}: {evidence}", record.evidence)),
        (
            "who",
            format!(
                "agent {}, profile {}, task {}, session {}",
                record.agent_type, record.profile, record.task_id, record.session_id
            ),
        ),
    ];
    match (record.pid, &record.exe) {
        (Some(pid), Some(exe)) => lines.push(("process", format!("{pid}, {exe}"))),
        (Some(pid), None) => lines.push(("process", pid.to_string())),
        (None, Some(exe)) => lines.push(("process", exe.clone())),
        (None, None) => {}
    }
    if let Some(count) = record.count {
        lines.push(("how often", count.to_string()));
    }
    if let Some(detail) = &record.detail {
        lines.push(("detail", detail.to_string()));
    }
    if let Some(remedy) = remedy {
        lines.push(("to allow", print::with_home(remedy)));
    }
    lines
}

pub(super) fn export(global: &Global, args: &AuditExport) -> Result<ExitCode, Failure> {
    if args.format == ExportFormat::Csv {
        print::data(export::CSV_HEADER);
    }
    let path = setup::audit_path(global)?;
    if !path.exists() {
        return Ok(ExitCode::SUCCESS);
    }
    query::select(&path, &Filter::default(), |row| match row {
        Ok(row) => print::data(&match args.format {
            ExportFormat::Jsonl => row.line,
            ExportFormat::Csv => export::csv(&row.record),
            ExportFormat::Ocsf => export::ocsf(&row.record).to_string(),
        }),
        Err(bad) => warn(global, &bad),
    })
    .or_fail(Kind::Work)?;
    Ok(ExitCode::SUCCESS)
}
