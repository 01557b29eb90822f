//! The budgets of DESIGN, section 10.

use super::report::{BARE, BWRAP, OURS, PEAK, PEER, Report, SANDBOX, SIZE, TURN, VERSION};

/// How a goal stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Met,
    Missed,
    NotMeasured,
}

impl Verdict {
    pub(super) fn word(self) -> &'static str {
        match self {
            Verdict::Met => "met",
            Verdict::Missed => "missed",
            Verdict::NotMeasured => "not measured",
        }
    }
}

/// A goal and what was reached.
#[derive(Debug)]
pub(super) struct Goal {
    pub(super) what: &'static str,
    pub(super) verdict: Verdict,
    /// For people.
    pub(super) measured: Option<String>,
    /// Said where nothing was measured.
    pub(super) without: &'static str,
}

#[derive(Clone, Copy)]
enum Unit {
    Megabytes,
    Milliseconds,
    Ratio,
}

/// `value` is bytes, microseconds or a ratio; `most` is in `unit`.
fn goal(what: &'static str, value: Option<f64>, most: f64, unit: Unit) -> Goal {
    let scaled = value.map(|value| match unit {
        Unit::Megabytes => value / 1e6,
        Unit::Milliseconds => value / 1e3,
        Unit::Ratio => value,
    });
    let name = match unit {
        Unit::Megabytes => " MB",
        Unit::Milliseconds => " ms",
        Unit::Ratio => " x",
    };
    Goal {
        what,
        verdict: match scaled {
            Some(value) if value <= most => Verdict::Met,
            Some(_) => Verdict::Missed,
            None => Verdict::NotMeasured,
        },
        measured: scaled.map(|value| format!("{value:.3}{name}, {most:.3}{name} at most")),
        without: "figure not available",
    }
}

fn elsewhere(what: &'static str, without: &'static str) -> Goal {
    Goal {
        what,
        verdict: Verdict::NotMeasured,
        measured: None,
        without,
    }
}

/// Above one of these the task fails.
pub(super) fn limits(report: &Report) -> Vec<Goal> {
    let ours = |group| report.value(group, OURS);
    vec![
        goal("binary", ours(SIZE), 15.0, Unit::Megabytes),
        goal("codex --version", ours(VERSION), 80.0, Unit::Milliseconds),
        goal("peak memory of a turn", ours(PEAK), 30.0, Unit::Megabytes),
    ]
}

/// Printed as met or missed.
pub(super) fn own(report: &Report) -> Vec<Goal> {
    let value = |group, name| report.value(group, name);
    let ratio = |group, other| Some(value(group, OURS)? / value(group, other)?);
    let beyond = |group: &str| Some(report.value(group, OURS)? - report.value(group, BARE)?);
    vec![
        goal(
            "binary, before the WASM rail",
            value(SIZE, OURS),
            8.0,
            Unit::Megabytes,
        ),
        goal(
            "codex --version beyond `true`",
            beyond(VERSION),
            2.0,
            Unit::Milliseconds,
        ),
        goal(
            "codex --version, a third of @openai/codex",
            ratio(VERSION, PEER),
            1.0 / 3.0,
            Unit::Ratio,
        ),
        goal(
            "codex sandbox, half of bwrap",
            ratio(SANDBOX, BWRAP),
            0.5,
            Unit::Ratio,
        ),
        goal(
            "codex sandbox, a fifteenth of @openai/codex",
            ratio(SANDBOX, PEER),
            1.0 / 15.0,
            Unit::Ratio,
        ),
        goal(
            "one scripted turn",
            value(TURN, OURS),
            60.0,
            Unit::Milliseconds,
        ),
        goal(
            "peak memory of a turn",
            value(PEAK, OURS),
            20.0,
            Unit::Megabytes,
        ),
        elsewhere(
            "one scripted turn, a seventh of @openai/codex",
            "not measured here: it needs a scripted model server",
        ),
        elsewhere(
            "a build in WorkspaceWrite, 1.05 x bare",
            "not measured here: it takes minutes",
        ),
        elsewhere(
            "idle interactive session, 15 MB",
            "not measured here: it needs a terminal",
        ),
    ]
}
