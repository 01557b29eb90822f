//! What was measured, as a table and as JSON.

use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};

use super::goals::{self, Verdict};

/// The names of contenders.
pub(super) const OURS: &str = "codex";
pub(super) const BARE: &str = "bare";
pub(super) const FLOOR: &str = "floor";
pub(super) const BWRAP: &str = "bwrap";
pub(super) const PEER: &str = "@openai/codex";

/// The names of groups.
pub(super) const SIZE: &str = "size";
pub(super) const VERSION: &str = "version";
pub(super) const SANDBOX: &str = "sandbox";
pub(super) const TURN: &str = "turn";
pub(super) const PEAK: &str = "peak";

/// A measured value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Figure {
    Bytes(u64),
    Time { median: Duration, p90: Duration },
}

/// One contender's line.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    command: String,
    pub(super) outcome: Outcome,
}

/// What became of a measurement.
#[derive(Debug)]
pub(super) enum Outcome {
    Measured(Figure),
    /// A peer that is not there or does not run here.
    Unavailable(String),
    /// Our own program failed: the budget is not met.
    Failed(String),
}

impl Row {
    pub(super) fn measured(name: &'static str, command: String, figure: Figure) -> Self {
        Self {
            name,
            command,
            outcome: Outcome::Measured(figure),
        }
    }

    pub(super) fn unavailable(name: &'static str, reason: &str) -> Self {
        Self {
            name,
            command: String::new(),
            outcome: Outcome::Unavailable(reason.to_owned()),
        }
    }

    pub(super) fn failed(name: &'static str, command: String, reason: String) -> Self {
        Self {
            name,
            command,
            outcome: Outcome::Failed(reason),
        }
    }
}

/// Contenders that did the same.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    pub(super) rows: Vec<Row>,
}

/// Everything that was measured.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) runs: usize,
    pub(super) rows: Vec<Group>,
}

impl Report {
    /// What `name` reached in `group`: bytes, or the median in microseconds.
    pub(super) fn value(&self, group: &str, name: &str) -> Option<f64> {
        let group = self.rows.iter().find(|found| found.id == group)?;
        match group.rows.iter().find(|row| row.name == name)?.outcome {
            Outcome::Measured(Figure::Bytes(bytes)) => Some(bytes as f64),
            Outcome::Measured(Figure::Time { median, .. }) => Some(micros(median)),
            _ => None,
        }
    }

    /// Whether our program ran everywhere and no limit of the seed is exceeded.
    pub(super) fn is_within_limits(&self) -> bool {
        let failed = |row: &Row| matches!(row.outcome, Outcome::Failed(_));
        !self.rows.iter().flat_map(|group| &group.rows).any(failed)
            && goals::limits(self)
                .iter()
                .all(|goal| goal.verdict == Verdict::Met)
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let mut text = format!(
            "budget: medians and p90 of {} interleaved runs after a warm-up (a turn: {}); \
             MB = 1,000,000 bytes\n",
            self.runs,
            self.runs.div_ceil(4)
        );
        for group in &self.rows {
            let _ = writeln!(text, "\n{}", group.title);
            let ours = self.value(group.id, OURS);
            for row in &group.rows {
                let line = match &row.outcome {
                    Outcome::Measured(figure) => {
                        let other = self
                            .value(group.id, row.name)
                            .filter(|_| row.name != OURS && row.name != FLOOR);
                        let ratio = match (ours, other) {
                            (Some(ours), Some(other)) if other > 0.0 => {
                                format!("codex is {:.2} x", ours / other)
                            }
                            _ => String::new(),
                        };
                        format!("{:<24}{ratio:<18}{}", show(figure), row.command)
                    }
                    Outcome::Unavailable(reason) => reason.clone(),
                    Outcome::Failed(reason) => format!("FAILED: {reason}"),
                };
                let _ = writeln!(text, "  {:<15}{}", row.name, line.trim_end());
            }
        }
        for (title, goals) in [
            ("limits of the seed", goals::limits(self)),
            ("our own goals", goals::own(self)),
        ] {
            let _ = writeln!(text, "\n{title}");
            for goal in goals {
                let measured = goal.measured.unwrap_or_else(|| goal.without.to_owned());
                let _ = writeln!(
                    text,
                    "  {:<13}{}: {measured}",
                    goal.verdict.word(),
                    goal.what
                );
            }
        }
        text
    }

    /// For programs: one document with a version field.
    pub(super) fn json(&self) -> Value {
        let groups: Vec<Value> = self
            .rows
            .iter()
            .map(|group| {
                let rows: Vec<Value> = group.rows.iter().map(row_json).collect();
                json!({ "id": group.id, "rows": rows })
            })
            .collect();
        let verdicts = |goals: Vec<goals::Goal>| -> Vec<Value> {
            let goal = |goal: goals::Goal| {
                json!({ "what": goal.what, "verdict": goal.verdict.word(),
                        "measured": goal.measured })
            };
            goals.into_iter().map(goal).collect()
        };
        json!({
            "v": 1,
            "runs": self.runs,
            "groups": groups,
            "limits": verdicts(goals::limits(self)),
            "goals": verdicts(goals::own(self)),
            "within_limits": self.is_within_limits(),
        })
    }
}

fn row_json(row: &Row) -> Value {
    match &row.outcome {
        Outcome::Measured(Figure::Bytes(bytes)) => {
            json!({ "name": row.name, "command": row.command, "bytes": bytes })
        }
        Outcome::Measured(Figure::Time { median, p90 }) => {
            json!({ "name": row.name, "command": row.command,
                    "median_us": median.as_micros(), "p90_us": p90.as_micros() })
        }
        Outcome::Unavailable(reason) => json!({ "name": row.name, "unavailable": reason }),
        Outcome::Failed(reason) => {
            json!({ "name": row.name, "command": row.command, "failed": reason })
        }
    }
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn show(figure: &Figure) -> String {
    match figure {
        Figure::Bytes(bytes) => format!("{:.2} MB", *bytes as f64 / 1e6),
        Figure::Time { median, p90 } => {
            format!(
                "{:.2} ms, p90 {:.2}",
                micros(*median) / 1e3,
                micros(*p90) / 1e3
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(millis: u64) -> Figure {
        let median = Duration::from_millis(millis);
        Figure::Time {
            median,
            p90: median * 2,
        }
    }

    fn report(version: u64, peak: u64) -> Report {
        let row = |name, figure| Row::measured(name, format!("run {name}"), figure);
        let group = |id, rows| Group {
            id,
            title: id,
            rows,
        };
        Report {
            runs: 8,
            rows: vec![
                group(SIZE, vec![row(OURS, Figure::Bytes(7_000_000))]),
                group(VERSION, vec![row(BARE, time(1)), row(OURS, time(version))]),
                group(
                    SANDBOX,
                    vec![
                        row(OURS, time(2)),
                        row(BWRAP, time(5)),
                        Row::unavailable(PEER, "not installed"),
                    ],
                ),
                group(TURN, vec![row(OURS, time(50))]),
                group(PEAK, vec![row(OURS, Figure::Bytes(peak))]),
            ],
        }
    }

    #[test]
    fn the_table_has_figures_ratios_commands_and_verdicts() {
        let text = report(2, 9_000_000).text();
        let line = |needle: &str| text.lines().find(|line| line.contains(needle)).unwrap();
        assert!(line("run bwrap").contains("5.00 ms, p90 10.00"), "{text}");
        assert!(line("run bwrap").contains("codex is 0.40 x"), "{text}");
        assert!(line("@openai/codex  ").contains("not installed"), "{text}");
        assert!(line("half of bwrap").contains("met"), "{text}");
        assert!(line("a fifteenth").contains("not measured"), "{text}");
    }

    #[test]
    fn limits_decide_and_goals_do_not() {
        assert!(report(2, 9_000_000).is_within_limits());
        assert!(
            report(79, 29_000_000).is_within_limits(),
            "goals are missed, limits are kept"
        );
        assert!(!report(81, 9_000_000).is_within_limits());
        assert!(!report(2, 31_000_000).is_within_limits());
    }

    #[test]
    fn a_failure_of_ours_is_never_within_limits() {
        let mut failed = report(2, 9_000_000);
        failed.rows[3].rows = vec![Row::failed(OURS, "run".to_owned(), "no".to_owned())];
        assert!(!failed.is_within_limits());
        assert!(failed.text().contains("FAILED: no"));
        let mut absent = report(2, 9_000_000);
        absent.rows.remove(1);
        assert!(
            !absent.is_within_limits(),
            "what is not measured is not within its limit"
        );
    }

    #[test]
    fn json_carries_the_same() {
        let json = report(2, 9_000_000).json();
        assert_eq!(json["v"], 1);
        assert_eq!(json["within_limits"], true);
        assert_eq!(json["groups"][1]["rows"][1]["median_us"], 2000);
        assert_eq!(json["groups"][2]["rows"][2]["unavailable"], "not installed");
    }
}
