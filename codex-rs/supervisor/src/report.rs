//! What an agent's turn came to, and what is shown of it to whoever gave the task.

use std::time::Duration;

use serde::Serialize;

use crate::budget::Spent;

/// How much of an agent's message its parent is shown, in bytes: room for a summary, and eight of
/// them do not fill a window.
pub const SUMMARY: usize = 4 << 10;

/// How a turn of an agent ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "ended", rename_all = "snake_case")]
pub enum Ended {
    /// Well.
    Completed,
    /// Early.
    Failed {
        /// Why, and what to do next.
        why: String,
    },
    /// From outside.
    Interrupted,
}

/// What a turn of an agent came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// How it ended.
    #[serde(flatten)]
    pub how: Ended,
    /// The agent's last message, whole.
    pub message: Option<String>,
    /// What the agent has used up since it began, its ended children's part among it.
    pub spent: Spent,
    /// How long the turn took.
    #[serde(rename = "seconds", serialize_with = "seconds")]
    pub time: Duration,
    /// How many requests were denied to it since it began.
    pub denials: u64,
    /// How often its turn was begun again after the model's side had failed.
    pub restarts: u32,
    /// The files that its patches changed.
    pub changes: Vec<String>,
    /// What became of its changes, where it has a worktree of its own.
    pub merged: Option<Merged>,
    /// Its session, which holds the whole conversation.
    pub session: String,
}

/// What became of an agent's changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Merged {
    /// Files that were taken over.
    pub files: Vec<String>,
    /// Files that both sides changed in ways that do not fit; nothing of the agent's is taken over
    /// then.
    pub conflicts: Vec<String>,
    /// Where the agent's whole change is kept, if it was not taken over: a git ref, or a directory.
    pub kept: Option<String>,
}

fn seconds<S: serde::Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64((time.as_secs_f64() * 1000.0).round() / 1000.0)
}

/// `text`, cut at a character's border to `most` bytes with a note of what is left out.
#[must_use]
pub fn bounded(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let cut = text.floor_char_boundary(most);
    let left = text.len() - cut;
    format!("{}\n[… {left} more bytes]", &text[..cut])
}

/// So many of something, which takes an s where it is not one.
#[must_use]
pub fn counted(number: impl Into<u64>, what: &str) -> String {
    match number.into() {
        1 => format!("1 {what}"),
        number => format!("{number} {what}s"),
    }
}

impl Report {
    /// The report as text for a model: bounded, with references to the whole.
    #[must_use]
    pub fn summary(&self) -> String {
        let mut text = match &self.how {
            Ended::Completed => "completed".to_owned(),
            Ended::Failed { why } => format!("failed: {}", bounded(why, SUMMARY / 4)),
            Ended::Interrupted => "interrupted".to_owned(),
        };
        text.push_str(&format!(
            " after {:.1} s, {} and {}",
            self.time.as_secs_f32(),
            counted(self.spent.turns, "model request"),
            counted(self.spent.tokens, "token")
        ));
        if self.denials > 0 {
            text.push_str(&format!(", {}", counted(self.denials, "denial")));
        }
        let list = |what: &str, files: &[String]| {
            let shown = files.join(", ");
            format!("\n{what}: {}", bounded(&shown, SUMMARY / 4))
        };
        if let Some(merged) = &self.merged {
            if !merged.files.is_empty() {
                text.push_str(&list("merged", &merged.files));
            }
            if !merged.conflicts.is_empty() {
                text.push_str(&list("NOT merged, conflicts", &merged.conflicts));
            }
            if let Some(kept) = &merged.kept {
                text.push_str(&format!("\nits changes are kept in {kept}"));
            }
        } else if !self.changes.is_empty() {
            text.push_str(&list("changed", &self.changes));
        }
        if let Some(message) = &self.message {
            text.push_str(&format!("\n\n{}", bounded(message, SUMMARY)));
        }
        text.push_str(&format!("\n[whole conversation: session {}]", self.session));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_bounded_and_says_where_the_whole_is() {
        let report = Report {
            how: Ended::Failed {
                why: "ß".repeat(100_000),
            },
            message: Some("日本".repeat(100_000)),
            spent: Spent {
                turns: 3,
                tokens: 9,
            },
            time: Duration::from_millis(1500),
            denials: 2,
            restarts: 0,
            changes: vec!["a".repeat(50); 1000],
            merged: None,
            session: "s1".to_owned(),
        };
        let text = report.summary();
        assert!(text.len() < 2 * SUMMARY, "{}", text.len());
        for part in [
            "after 1.5 s",
            "3 model requests",
            "9 tokens",
            "2 denials",
            "session s1",
        ] {
            assert!(text.contains(part), "{part}");
        }
        let counts = [0, 1, 2].map(|n: u64| counted(n, "agent"));
        assert_eq!(counts, ["0 agents", "1 agent", "2 agents"]);
        assert_eq!(bounded("ab", 2), "ab");
        assert_eq!(bounded("aß", 2), "a\n[… 2 more bytes]");
    }
}
