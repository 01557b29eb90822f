//! What a session's events look like: lines of JSON for programs, progress on stderr for people.

use std::sync::{Mutex, PoisonError};

use codex_protocol::event::{ChangeKind, Event, EventSink, ItemDetails, Status};

use crate::print::{self, Painter, Style};

/// Prints each event as a line of JSON on stdout.
pub(crate) struct JsonLines;

impl EventSink for JsonLines {
    fn emit(&self, event: Event) {
        // Events hold strings, numbers and JSON values, all of which serialize.
        if let Ok(line) = serde_json::to_string(&event) {
            print::data(&line);
        }
    }
}

/// How many lines of a command's output are shown.
const OUTPUT_LINES: usize = 12;

/// Prints progress for people. A message is held back until something follows it: the last one
/// is the result, and goes to stdout.
pub(crate) struct People {
    painter: Painter,
    held: Mutex<Option<String>>,
}

impl People {
    pub(crate) fn new(painter: Painter) -> Self {
        Self {
            painter,
            held: Mutex::new(None),
        }
    }

    fn hold(&self, message: Option<String>) -> Option<String> {
        std::mem::replace(
            &mut *self.held.lock().unwrap_or_else(PoisonError::into_inner),
            message,
        )
    }

    fn step(&self, details: &ItemDetails, started: bool) {
        let paint = |style, text: &str| self.painter.paint(style, text);
        match details {
            ItemDetails::CommandExecution { command, .. } if started => {
                print::note(&format!("{} {}", paint(Style::Bold, "$"), visible(command)));
            }
            ItemDetails::CommandExecution {
                aggregated_output,
                exit_code,
                status,
                ..
            } => {
                for line in shortened(aggregated_output) {
                    print::note(&format!("  {}", paint(Style::Dim, &visible(&line))));
                }
                if *status != Status::Completed {
                    let how = exit_code.map_or_else(
                        || "did not run to its end".to_owned(),
                        |code| format!("exit code {code}"),
                    );
                    print::note(&format!("  {}", paint(Style::Bad, &how)));
                }
            }
            ItemDetails::FileChange { changes, status } if !started => {
                for change in changes {
                    let sign = match change.kind {
                        ChangeKind::Add => "+",
                        ChangeKind::Delete => "-",
                        ChangeKind::Update => "~",
                    };
                    let style = if *status == Status::Completed {
                        Style::Good
                    } else {
                        Style::Bad
                    };
                    let not = if *status == Status::Completed {
                        ""
                    } else {
                        " (not changed)"
                    };
                    print::note(&format!(
                        "{} {}{not}",
                        paint(style, sign),
                        visible(&change.path)
                    ));
                }
            }
            ItemDetails::Reasoning { text } => print::note(&paint(Style::Dim, &visible(text))),
            ItemDetails::PolicyDecision {
                operation,
                target,
                decision,
                reason,
                ..
            } => {
                let line = format!(
                    "{} {operation} {target}: {reason}",
                    paint(Style::Bad, decision)
                );
                print::note(&print::with_home(&line));
            }
            ItemDetails::Error { message } => print::note(&paint(Style::Bad, &visible(message))),
            _ => {}
        }
    }
}

impl EventSink for People {
    fn emit(&self, event: Event) {
        let message = match &event {
            Event::ItemCompleted { item } => match &item.details {
                ItemDetails::AgentMessage { text } => Some(text.clone()),
                _ => None,
            },
            Event::TurnCompleted { .. } => return,
            _ => None,
        };
        if let Some(earlier) = self.hold(message) {
            print::note(&visible(&earlier));
        }
        match &event {
            Event::ItemStarted { item } => self.step(&item.details, true),
            Event::ItemCompleted { item } => self.step(&item.details, false),
            Event::Error { message } => {
                print::note(&self.painter.paint(Style::Bad, &visible(message)))
            }
            _ => {}
        }
    }
}

/// The text with control characters other than line ends and tabs made visible: what a model or
/// a file says must not drive the terminal.
pub(crate) fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if (c.is_control() && c != '\n' && c != '\t') || is_bidi(c) {
            shown.extend(c.escape_unicode())
        } else {
            shown.push(c)
        }
    }
    shown
}

/// Characters that change the order in which others are shown (Unicode, UAX #9).
fn is_bidi(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{61c}')
}

fn shortened(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let mut shown: Vec<String> = lines
        .iter()
        .take(OUTPUT_LINES)
        .map(|l| (*l).to_owned())
        .collect();
    if let Some(left) = lines
        .len()
        .checked_sub(OUTPUT_LINES)
        .filter(|left| *left > 0)
    {
        shown.push(format!("… {left} more lines"));
    }
    shown
}
