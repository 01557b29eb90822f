//! What attributes hold: texts, masked and bounded, and whole numbers.

use std::fmt;

use codex_audit::mask::Masker;
use tracing::field::{Field, Visit};

use crate::catalog;

/// The longest text of an attribute, in bytes: a path fits, a file's content does not.
const MAX_TEXT: usize = 1 << 10;

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// A text.
    Text(String),
    /// A whole number.
    Number(i64),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => number.fmt(f),
        }
    }
}

/// Attributes, in the order in which they were given first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Values(Vec<(&'static str, Value)>);

impl Values {
    /// The value of this attribute.
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.0
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value)
    }

    /// Its text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        match self.get(name)? {
            Value::Text(text) => Some(text),
            Value::Number(_) => None,
        }
    }

    /// Its number.
    pub(crate) fn number(&self, name: &str) -> Option<i64> {
        match self.get(name)? {
            Value::Number(number) => Some(*number),
            Value::Text(_) => None,
        }
    }

    /// Sets it.
    pub(crate) fn set(&mut self, name: &'static str, value: Value) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name, value)),
        }
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        self.0.iter().map(|(name, value)| (*name, value))
    }
}

/// Takes the fields of a span or event that are in the catalog.
pub(crate) struct Visitor<'a> {
    pub(crate) masker: &'a Masker,
    pub(crate) values: &'a mut Values,
    /// An event's own text; a span has none.
    pub(crate) message: Option<&'a mut String>,
}

impl Visitor<'_> {
    fn text(&mut self, field: &Field, text: &str) {
        if field.name() == "message" {
            if let Some(message) = &mut self.message {
                **message = self.masker.mask_to(text, MAX_TEXT).into_owned();
            }
        } else if let Some(name) = catalog::attribute(field.name()) {
            let masked = self.masker.mask_to(text, MAX_TEXT).into_owned();
            self.values.set(name, Value::Text(masked));
        }
    }
}

impl Visit for Visitor<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        if let Some(name) = catalog::attribute(field.name()) {
            self.values.set(name, Value::Number(value));
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.record_i64(field, i64::try_from(value).unwrap_or(i64::MAX));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field, &format!("{value:?}"));
    }
}
