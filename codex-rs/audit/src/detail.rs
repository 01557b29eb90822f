//! How much of each act the log keeps: the setting `audit.detail`.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::mask::{MAX_DETAIL, MAX_TEXT};

/// How much of each act a log keeps, from less to more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Detail {
    /// What was decided on what. Of `detail` only its numbers, switches and `phase`; no `exe`; no
    /// query in a URL; texts of 256 bytes.
    Minimal,
    /// All that is known, in texts of [`MAX_TEXT`] and a `detail` of [`MAX_DETAIL`] bytes. Allowed
    /// reads of files are not recorded.
    #[default]
    Normal,
    /// And what codex itself was allowed to read, with eight times as long texts and a four times
    /// as large `detail`.
    Full,
}

impl Detail {
    /// Longest text, in bytes.
    pub(crate) fn text(self) -> usize {
        match self {
            Self::Minimal => 256,
            Self::Normal => MAX_TEXT,
            Self::Full => 8 * MAX_TEXT,
        }
    }

    /// Most bytes of text in one `detail`. What is written of it stays below the longest line
    /// even where every byte of it has to be escaped.
    pub(crate) fn room(self) -> usize {
        match self {
            Self::Minimal | Self::Normal => MAX_DETAIL,
            Self::Full => 4 * MAX_DETAIL,
        }
    }

    /// What is kept of `detail`.
    pub(crate) fn keep(self, detail: &Value) -> Option<Cow<'_, Value>> {
        match self {
            Self::Minimal => numbers(detail).map(Cow::Owned),
            Self::Normal | Self::Full => Some(Cow::Borrowed(detail)),
        }
    }

    /// What is kept of `target`.
    pub(crate) fn target(self, target: &str) -> &str {
        match self {
            Self::Minimal if target.contains("://") => {
                target.split(['?', '#']).next().unwrap_or(target)
            }
            _ => target,
        }
    }
}

/// The numbers and switches in `value`, and the word of ours that says which part of an act a
/// record tells of.
fn numbers(value: &Value) -> Option<Value> {
    match value {
        Value::Number(_) | Value::Bool(_) => Some(value.clone()),
        Value::Object(map) => {
            let kept: Map<String, Value> = map
                .iter()
                .filter_map(|(name, value)| {
                    let value = match value {
                        Value::String(_) if name == "phase" => Some(value.clone()),
                        value => numbers(value),
                    };
                    Some((name.clone(), value?))
                })
                .collect();
            (!kept.is_empty()).then_some(Value::Object(kept))
        }
        Value::Null | Value::String(_) | Value::Array(_) => None,
    }
}
