//! What sub-agents' events look like: lines of JSON that name the agent and its parent, and lines
//! for people that begin with the agent's name.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use codex_protocol::event::{ChangeKind, Event, ItemDetails, Status};
use codex_supervisor::outfit::Watcher;
use codex_supervisor::path::AgentPath;
use codex_supervisor::report::{Ended, Report, bounded, counted};
use codex_supervisor::state::State;
use serde_json::{Value, json};

use crate::print::{self, Painter, Style};
use crate::progress::visible;

/// How much of a reason is shown in an agent's line, in bytes.
const SHOWN_REASON: usize = 300;

/// Shows what sub-agents do, as lines of JSON on stdout or for people on stderr.
pub(crate) fn watcher(json: bool, painter: Painter, verbose: bool) -> Arc<dyn Watcher> {
    match json {
        true => Arc::new(Lines),
        false => Arc::new(People {
            painter,
            verbose,
            begun: Mutex::default(),
        }),
    }
}

/// Names the agent and its parent in an event.
fn named(mut event: Value, path: &AgentPath) -> Value {
    if let Some(fields) = event.as_object_mut() {
        fields.insert("agent".to_owned(), json!(path));
        fields.insert("parent".to_owned(), json!(path.parent()));
    }
    event
}

struct Lines;

impl Watcher for Lines {
    fn event(&self, path: &AgentPath, event: Event) {
        if let Ok(event) = serde_json::to_value(&event) {
            print::data(&named(event, path).to_string());
        }
    }

    fn state(&self, path: &AgentPath, agent_type: &str, state: State, report: Option<&Report>) {
        let mut event = json!({ "type": "agent.state", "agent_type": agent_type, "state": state });
        if let (Some(fields), Some(report)) = (event.as_object_mut(), report) {
            fields.insert("report".to_owned(), json!(report));
        }
        print::data(&named(event, path).to_string());
    }
}

struct People {
    painter: Painter,
    verbose: bool,
    /// How often each agent has begun a task.
    begun: Mutex<BTreeMap<AgentPath, u32>>,
}

impl People {
    fn line(&self, path: &AgentPath, style: Style, text: &str) {
        let name = path
            .as_str()
            .split_once('/')
            .map_or("main", |(_, name)| name);
        let name = self.painter.paint(Style::Bold, name);
        let text = self.painter.paint(style, &visible(text));
        print::note(&format!("{name}: {text}"));
    }
}

/// What an agent's turn came to, in one line.
pub(crate) fn figures(report: &Report) -> String {
    let mut text = format!(
        "{:.1} s, {}, {}",
        report.time.as_secs_f32(),
        counted(report.spent.turns, "request"),
        counted(report.spent.tokens, "token")
    );
    let files = report
        .merged
        .as_ref()
        .map_or(report.changes.len(), |merged| merged.files.len());
    if files > 0 {
        text.push_str(&format!(", {files} changed"));
    }
    if report.denials > 0 {
        text.push_str(&format!(", {} denied", report.denials));
    }
    if report.restarts > 0 {
        text.push_str(&format!(
            ", model tried again {}",
            counted(report.restarts, "time")
        ));
    }
    text
}

impl Watcher for People {
    fn event(&self, path: &AgentPath, event: Event) {
        match event {
            Event::Error { message } => self.line(path, Style::Bad, &message),
            Event::ItemStarted { item } if self.verbose => {
                if let ItemDetails::CommandExecution { command, .. } = item.details {
                    self.line(path, Style::Dim, &format!("$ {command}"));
                }
            }
            Event::ItemCompleted { item } => match item.details {
                ItemDetails::PolicyDecision {
                    operation,
                    target,
                    decision,
                    reason,
                    ..
                } => {
                    let line = format!("{decision} {operation} {target}: {reason}");
                    self.line(path, Style::Bad, &print::with_home(&line));
                }
                ItemDetails::Error { message } => self.line(path, Style::Bad, &message),
                ItemDetails::FileChange {
                    changes,
                    status: Status::Completed,
                } if self.verbose => {
                    for change in changes {
                        let sign = match change.kind {
                            ChangeKind::Add => "+",
                            ChangeKind::Delete => "-",
                            ChangeKind::Update => "~",
                        };
                        self.line(path, Style::Good, &format!("{sign} {}", change.path));
                    }
                }
                _ => {}
            },
            _ => {}
        }
    }

    fn state(&self, path: &AgentPath, agent_type: &str, state: State, report: Option<&Report>) {
        let figures = report.map(figures).unwrap_or_default();
        match (state, report.map(|report| &report.how)) {
            (State::Running, _) => {
                let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
                let times = begun.entry(path.clone()).or_default();
                *times += 1;
                let text = match *times {
                    1 => format!("started ({agent_type})"),
                    _ => "goes on".to_owned(),
                };
                self.line(path, Style::Dim, &text);
            }
            (State::WaitingForApproval, _) => self.line(path, Style::Bold, "waits for approval"),
            (State::Failed, Some(Ended::Failed { why })) => {
                let why = bounded(why, SHOWN_REASON);
                self.line(path, Style::Bad, &format!("failed ({figures}): {why}"));
            }
            (State::Completed, _) => {
                self.line(path, Style::Good, &format!("completed ({figures})"));
            }
            (State::Failed | State::Interrupted, _) => {
                self.line(path, Style::Bad, &format!("{state} ({figures})"));
            }
            (State::Pending | State::Closed, _) => {}
        }
    }
}
