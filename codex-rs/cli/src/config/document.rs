//! A configuration document: TOML text to checked settings, each with its place.

use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::key::{Found, Kind, find, names_below};
use super::origin::{ConfigError, Origin, Place};
use super::text::{dotted_excerpt, nearest};
use super::tree::{Layer, Setting};
use super::value::{Base, Value, check, not_a};
use super::warning::{Unknown, Warnings};

/// Whose file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    Managed,
    User,
    /// Only what tightens is looked at; the rest is not even checked.
    Project,
}

/// A file's text, and what to call it.
#[derive(Clone, Debug)]
pub(super) struct Source<'a> {
    pub(super) file: Arc<str>,
    pub(super) text: &'a str,
    pub(super) owner: Owner,
    pub(super) base: Base<'a>,
}

/// Reads a whole file.
pub(super) fn read(source: &Source<'_>, warnings: &mut Warnings) -> Result<Layer, ConfigError> {
    let lines = Lines::new(source.text);
    let place = |at: usize| {
        let (line, column) = lines.position(at);
        Place {
            file: source.file.clone(),
            line,
            column,
        }
    };
    let parsed = DeTable::parse(source.text).map_err(|error| ConfigError::InFile {
        at: place(error.span().map_or(source.text.len(), |span| span.start)),
        what: syntax(&error),
    })?;
    let origin = |at: usize| match source.owner {
        Owner::Managed => Origin::Managed(place(at)),
        Owner::User => Origin::User(place(at)),
        Owner::Project => Origin::Project(place(at)),
    };
    let mut walk = Walk {
        base: source.base,
        origin: &origin,
        project: source.owner == Owner::Project,
        layer: Layer::default(),
        first: None,
        warnings,
    };
    walk.table(&mut Vec::new(), parsed.get_ref());
    match walk.first {
        Some((at, what)) => Err(ConfigError::InFile {
            at: place(at),
            what,
        }),
        None => Ok(walk.layer),
    }
}

/// Reads one value for the key at `path`, from elsewhere than a file.
///
/// # Errors
/// What is wrong with it, in words that begin with the key.
pub(super) fn read_value(
    path: &[String],
    value: &Spanned<DeValue<'_>>,
    base: Base<'_>,
    origin: &Origin,
    warnings: &mut Warnings,
) -> Result<Layer, String> {
    let mut walk = Walk {
        base,
        origin: &|_| origin.clone(),
        project: false,
        layer: Layer::default(),
        first: None,
        warnings,
    };
    // What comes before the key's last part may be unknown as well; say so once, for that part.
    let mut path = path.to_vec();
    for end in 1..path.len() {
        match path.get(..end).map(find) {
            Some(Found::Unused) => return Ok(walk.layer),
            Some(Found::Unknown) => path.truncate(end),
            _ => {}
        }
    }
    walk.value(&mut path, 0, value);
    match walk.first {
        Some((_, what)) => Err(what),
        None => Ok(walk.layer),
    }
}

/// A syntax error in one line.
fn syntax(error: &toml::de::Error) -> String {
    let mut message = error.message().replace('\n', ", ");
    if message.is_empty() {
        message = "invalid TOML".to_owned();
    }
    format!("not valid TOML: {message}")
}

struct Walk<'a, 'w> {
    base: Base<'a>,
    origin: &'a dyn Fn(usize) -> Origin,
    project: bool,
    layer: Layer,
    /// The error nearest to the beginning. The table comes sorted by name, not by place.
    first: Option<(usize, String)>,
    warnings: &'w mut Warnings,
}

impl Walk<'_, '_> {
    fn table(&mut self, path: &mut Vec<String>, table: &DeTable<'_>) {
        for (name, value) in table {
            path.push(name.get_ref().clone().into_owned());
            self.value(path, name.span().start, value);
            path.pop();
        }
    }

    fn value(&mut self, path: &mut Vec<String>, key_at: usize, value: &Spanned<DeValue<'_>>) {
        let found = find(path);
        match (found, value.get_ref()) {
            (Found::Table, DeValue::Table(table)) => self.table(path, table),
            (Found::Named, DeValue::Table(table)) => {
                self.layer.named.push((path.clone(), (self.origin)(key_at)));
                self.table(path, table);
            }
            (Found::Table | Found::Named, other) => {
                if self.project {
                    self.warnings.ignored(&(self.origin)(key_at), path);
                } else {
                    let what = not_a("a table", other).what;
                    self.complain(path, value.span(), &what);
                }
            }
            (Found::Key(key), _) if self.project && !(key.tightens && path.len() <= 2) => {
                self.warnings.ignored(&(self.origin)(key_at), path);
            }
            (Found::Key(key), inner) => match check(key.kind, inner, self.base) {
                Ok(checked) => {
                    let origin = (self.origin)(key_at);
                    if matches!(key.kind, Kind::Approval) && inner.is_table() {
                        self.warnings.say(format!(
                            "{}: the finer choices of '{}' are not told apart; it counts as on-request",
                            origin.whereabouts(),
                            key.path
                        ));
                    }
                    self.layer.settings.push(Setting {
                        path: aliased(path, &checked),
                        value: checked,
                        origin,
                    });
                }
                Err(complaint) => {
                    let at = complaint.at.unwrap_or_else(|| value.span());
                    self.complain(path, at, &complaint.what);
                }
            },
            (Found::Unused, _) => {
                if self.project {
                    self.warnings.ignored(&(self.origin)(key_at), path);
                }
            }
            (Found::Unknown, _) => self.unknown(path, key_at),
        }
    }

    fn complain(&mut self, path: &[String], at: Range<usize>, what: &str) {
        if self
            .first
            .as_ref()
            .is_none_or(|(first, _)| at.start < *first)
        {
            let key = dotted_excerpt(path.iter().map(String::as_str));
            self.first = Some((at.start, format!("'{key}' {what}")));
        }
    }

    fn unknown(&mut self, path: &[String], key_at: usize) {
        let origin = (self.origin)(key_at);
        let suggest = self.warnings.suggests();
        let near = path
            .split_last()
            .filter(|_| suggest)
            .and_then(|(name, parents)| {
                let near = nearest(name, names_below(parents))?;
                Some(dotted_excerpt(
                    parents.iter().map(String::as_str).chain([near]),
                ))
            });
        self.warnings.unknown(Unknown {
            key: path.to_vec(),
            origin,
            near,
        });
    }
}

/// The path under which a setting is kept: two spellings of one setting are kept as one.
fn aliased(path: &[String], value: &Value) -> Vec<String> {
    match (path, value) {
        ([start @ .., last], Value::Text(_)) if last == "openai_base_url" => {
            let own = ["model_providers", "openai", "base_url"].map(str::to_owned);
            start.iter().cloned().chain(own).collect()
        }
        _ => path.to_vec(),
    }
}

/// Where lines begin.
struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    fn new(text: &'t str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Self {
            text,
            starts: std::iter::once(0)
                .chain(ends.map(|(at, _)| at + 1))
                .collect(),
        }
    }

    /// Line, and column in characters, of a byte; both from 1.
    fn position(&self, at: usize) -> (usize, usize) {
        let line = self.starts.partition_point(|start| *start <= at).max(1);
        let start = self.starts.get(line - 1).copied().unwrap_or_default();
        let before = self
            .text
            .as_bytes()
            .get(start..at.min(self.text.len()))
            .unwrap_or_default();
        // Each character has one byte that does not continue another.
        let column = before.iter().filter(|byte| **byte & 0xC0 != 0x80).count() + 1;
        (line, column)
    }
}
