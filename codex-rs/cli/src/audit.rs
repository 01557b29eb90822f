//! `codex audit`: reading and checking the log.

use std::path::Path;
use std::process::ExitCode;
use std::time::SystemTime;

use codex_audit::chain::Link;
use codex_audit::query::{self, BadLine, Filter, Row, Since};
use codex_audit::record::Record;
use codex_audit::verify;
use codex_protocol::operation::{Operation, Outcome};
use serde_json::json;

use crate::args::{Audit, AuditHead, AuditShow, Global};
use crate::failure::{Failure, Kind, OrFail as _};
use crate::print::{self, Painter, Style};
use crate::setup;

mod reading;
mod signing;

pub(crate) fn run(global: &Global, command: &Audit) -> Result<ExitCode, Failure> {
    match command {
        Audit::Show(args) => show(global, args),
        Audit::Tail(args) => reading::tail(global, args),
        Audit::Stats(args) => reading::stats(global, args),
        Audit::Explain(args) => reading::explain(global, args),
        Audit::Verify(args) => signing::verify(global, args),
        Audit::Head(args) => head(global, args),
        Audit::Key(args) => signing::key(global, args),
        Audit::Export(args) => reading::export(global, args),
    }
}

fn show(global: &Global, args: &AuditShow) -> Result<ExitCode, Failure> {
    let operation = args.operation.as_deref().map(operation).transpose()?;
    let since = args
        .since
        .as_deref()
        .map(|text| Since::parse(text, SystemTime::now()))
        .transpose();
    let filter = Filter {
        denied: args.denied,
        operation,
        task: args.task.clone(),
        session: args.session.clone(),
        since: since.or_fail(Kind::Usage)?,
        limit: args.limit,
    };
    let path = setup::audit_path(global)?;
    if !path.exists() {
        return Ok(ExitCode::SUCCESS);
    }
    let painter = Painter::for_stdout(global.color);
    query::select(&path, &filter, |row| match row {
        Ok(Row { line, .. }) if args.json => print::data(&line),
        Ok(Row { record, .. }) => print::data(&human(painter, &record)),
        Err(bad) => warn(global, &bad),
    })
    .or_fail(Kind::Work)?;
    Ok(ExitCode::SUCCESS)
}

/// Says which line of the log is no record.
fn warn(global: &Global, bad: &BadLine) {
    let text = format!(
        "line {} of '{}': {}; 'codex audit verify' checks it",
        bad.line,
        bad.file.display(),
        bad.message
    );
    print::warning(global.color, &text);
}

/// Tells people the head of the log at `path`, at the end of a run that was asked to.
pub(crate) fn note_head(path: &Path) -> Result<(), Failure> {
    let Link { seq, hash } = verify::head(path).or_fail(Kind::Work)?;
    print::note(&format!("audit head: {seq} {hash}"));
    Ok(())
}

fn head(global: &Global, args: &AuditHead) -> Result<ExitCode, Failure> {
    let path = setup::audit_path(global)?;
    let Link { seq, hash } = verify::head(&path).or_fail(Kind::Work)?;
    if args.json {
        print::data(&json!({ "v": 1, "seq": seq, "head": hash.as_str() }).to_string());
    } else {
        print::data(&format!("{seq} {hash}"));
    }
    Ok(ExitCode::SUCCESS)
}

fn operation(word: &str) -> Result<Operation, Failure> {
    Operation::from_word(word).ok_or_else(|| {
        let known: Vec<&str> = Operation::ALL.iter().map(|o| o.as_str()).collect();
        Failure::usage(format!(
            "'{word}' is not an operation; the operations are {}",
            known.join(", ")
        ))
    })
}

/// One record in one line.
fn human(painter: Painter, record: &Record) -> String {
    let style = if record.decision == Outcome::Denied {
        Style::Bad
    } else {
        Style::Good
    };
    let phase = record
        .detail
        .as_ref()
        .and_then(|d| d.get("phase"))
        .and_then(|p| p.as_str());
    let what = match (phase, &record.detail) {
        (Some("outcome"), Some(detail)) => {
            format!("ended: {}", detail.get("outcome").unwrap_or(&json!(null)))
        }
        _ => print::with_home(&record.reason),
    };
    format!(
        "{:>6} {} {} {} {} {}",
        record.seq,
        painter.paint(Style::Dim, &record.timestamp),
        painter.paint(style, record.decision.as_str()),
        record.operation,
        record.target,
        painter.paint(
            Style::Dim,
            &format!("[{} {}] {what}", record.rule, record.evidence)
        ),
    )
}
