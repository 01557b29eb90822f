//! `codex doctor`: what this machine can enforce of each profile, what is missing, and what to do.

use std::env::consts::{ARCH, OS};
use std::process::ExitCode;

use codex_core::places;
use codex_protocol::policy::Policy;
use codex_protocol::security_profile::SecurityProfile;
use codex_sandbox::capability::{self, Capabilities};
use codex_sandbox::doctor::{Examination, Finding, examine};
use codex_sandbox::measure::{NOT_RUN, was_run_on};
use codex_sandbox::survey::survey;
use serde_json::{Value, json};

use crate::args::{Doctor, Global, Grants};
use crate::failure::{Failure, Kind};
use crate::print::{self, Painter, Style};
use crate::setup::Base;

/// Everything that is reported.
struct Report {
    /// What was found by trying the calls.
    capabilities: Capabilities,
    /// Each profile, the most confined first.
    profiles: Vec<Examination>,
    /// The profile that a run would have here.
    chosen: SecurityProfile,
    /// Why a run in this directory is refused whatever the machine can do.
    workspace: Option<String>,
}

pub(crate) fn run(global: &Global, args: &Doctor) -> Result<ExitCode, Failure> {
    let report = look(global)?;
    if args.json {
        print::data(&as_json(&report).to_string());
    } else {
        let painter = Painter::for_stdout(global.color);
        for line in as_text(&report, painter, global.verbose) {
            print::data(&line);
        }
    }
    let refused = report
        .profiles
        .iter()
        .any(|p| p.profile == report.chosen && p.refused.is_some());
    Ok(match refused {
        true => ExitCode::from(Kind::CannotEnforce as u8),
        false => ExitCode::SUCCESS,
    })
}

fn look(global: &Global) -> Result<Report, Failure> {
    let base = Base::anywhere(global, &Grants::default(), &[])?;
    let found = capability::probe();
    let chosen = base.policy.profile();
    let examine_profile = |profile| {
        let policy = match profile == chosen {
            // With its own grants and in its own place.
            true => base.policy.clone(),
            false => Policy::new(places::layer(profile, base.places().clone())),
        };
        examine(&policy, found, &survey(&policy), global.accepted())
    };
    Ok(Report {
        capabilities: found,
        profiles: SecurityProfile::ALL
            .into_iter()
            .map(examine_profile)
            .collect(),
        chosen,
        workspace: base
            .places()
            .check_workspaces()
            .err()
            .filter(|_| chosen != SecurityProfile::Trusted)
            .map(|e| e.to_string()),
    })
}

fn as_json(report: &Report) -> Value {
    let profiles = report.profiles.iter().map(|p| {
        json!({
            "profile": p.profile,
            "chosen": p.profile == report.chosen,
            "level": p.level,
            "required": p.required,
            "runs": p.refused.is_none(),
            "refused": p.refused,
            "wanted": p.findings,
        })
    });
    json!({
        "v": 1,
        "platform": { "os": OS, "processor": ARCH, "tested": tested() },
        "capabilities": report.capabilities,
        "workspace_refused": report.workspace,
        "profiles": profiles.collect::<Vec<_>>(),
    })
}

fn tested() -> &'static str {
    match was_run_on(OS, ARCH) {
        true => "escape tests were run on this platform",
        false => NOT_RUN,
    }
}

/// What is enforced is listed for the chosen profile alone, unless `all` of it is wanted.
fn as_text(report: &Report, painter: Painter, all: bool) -> Vec<String> {
    let bold = |text: &str| painter.paint(Style::Bold, text);
    let mut lines = vec![format!("{}  {OS} {ARCH}: {}", bold("machine"), tested())];
    let found = report.capabilities.found().into_iter();
    lines.extend(found.map(|(name, value)| format!("  {name}: {value}")));
    if let Some(why) = &report.workspace {
        lines.push(String::new());
        lines.push(format!("{}  {why}", bold("directory")));
    }
    for examined in &report.profiles {
        lines.push(String::new());
        lines.push(heading(report, examined, painter));
        let whole = all || examined.profile == report.chosen;
        let shown = examined.findings.iter().filter(|f| whole || !f.enforced);
        lines.extend(shown.flat_map(|f| finding(f, painter)));
    }
    lines
}

fn heading(report: &Report, examined: &Examination, painter: Painter) -> String {
    let name = painter.paint(Style::Bold, examined.profile.name());
    let chosen = match examined.profile == report.chosen {
        true => " (chosen)",
        false => "",
    };
    let runs = match &examined.refused {
        None => painter.paint(Style::Good, "runs"),
        Some(why) => format!("{}: {why}", painter.paint(Style::Bad, "refused")),
    };
    if examined.profile == SecurityProfile::Trusted {
        return format!("{name}{chosen}  confines nothing; {runs}");
    }
    format!(
        "{name}{chosen}  level {}, {} required; {runs}",
        examined.level, examined.required
    )
}

fn finding(finding: &Finding, painter: Painter) -> Vec<String> {
    let word = match finding.enforced {
        true => painter.paint(Style::Good, "enforced"),
        false => painter.paint(Style::Bad, "missing "),
    };
    let mut lines = vec![format!("  {word}  {} ({})", finding.wanted, finding.by)];
    lines.extend(finding.consequence.map(|c| format!("            so {c}")));
    lines.extend(finding.remedy.map(|r| format!("            to do: {r}")));
    lines
}
