//! `codex config show`: every setting, its value, and where it comes from.

use serde_json::{Value as Json, json};

use super::Loaded;
use super::environment::VARIABLES;
use super::key::{Found, Key, find};
use super::keys::KEYS;
use super::origin::Origin;
use super::tree::Section;
use super::value::{Value, expected};

/// What stands in the place of a value that is nobody else's business.
const MASKED: &str = "[REDACTED]";

/// The settings as lines: `key = value`, and the origin where it is asked for; or one JSON
/// document.
#[must_use]
pub(crate) fn show(loaded: &Loaded, with_origin: bool, as_json: bool) -> Vec<String> {
    let rows = rows(loaded);
    if as_json {
        let values: Vec<Json> = rows
            .iter()
            .map(|row| {
                json!({
                    "key": row.key, "value": row.value, "origin": row.origin.to_string(),
                    "takes": expected(row.about.kind), "about": row.about.doc,
                })
            })
            .collect();
        let variables: Vec<Json> = VARIABLES
            .iter()
            .map(|(name, about)| json!({ "name": name, "about": about }))
            .collect();
        return vec![json!({ "v": 1, "settings": values, "environment": variables }).to_string()];
    }
    let line = |row: &Row| match with_origin {
        true => format!("{} = {}  # {}", row.key, row.value, row.origin),
        false => format!("{} = {}", row.key, row.value),
    };
    rows.iter().map(line).collect()
}

struct Row {
    about: &'static Key,
    key: String,
    value: Json,
    origin: Origin,
}

fn rows(loaded: &Loaded) -> Vec<Row> {
    let mut rows = Vec::new();
    let effective = effective(loaded);
    let origin = |key: &str| loaded.origins.get(key).cloned().unwrap_or(Origin::Default);
    for key in KEYS.iter().filter(|key| !key.path.contains('*')) {
        let held = effective
            .iter()
            .find(|(path, _)| *path == key.path)
            .map(|(_, value)| value.clone());
        let held = held.or_else(|| {
            value_at(
                loaded.tree.root(),
                &mut key.path.split('.').map(str::to_owned),
            )
        });
        match held {
            Some(value) => {
                let value = if key.secret { json!(MASKED) } else { value };
                rows.push(Row {
                    about: key,
                    key: key.path.to_owned(),
                    value,
                    origin: origin(key.path),
                });
            }
            None if !key.default.is_empty() => {
                rows.push(Row {
                    about: key,
                    key: key.path.to_owned(),
                    value: json!(key.default),
                    origin: Origin::Default,
                });
            }
            None => {}
        }
    }
    let mut path = Vec::new();
    tables(loaded.tree.root(), &mut path, &mut rows);
    rows
}

/// The settings that more than one source has a say in, as they came out.
fn effective(loaded: &Loaded) -> Vec<(&'static str, Json)> {
    let config = &loaded.config;
    let paths = |paths: &[std::path::PathBuf]| {
        json!(
            paths
                .iter()
                .map(|p| p.display().to_string())
                .collect::<Vec<_>>()
        )
    };
    vec![
        ("profile", json!(config.rights.profile.flag())),
        ("approval_policy", json!(config.approval_policy.word())),
        ("audit.detail", json!(config.audit.detail.word())),
        ("deny_read", paths(&config.rights.deny_read)),
    ]
}

/// The settings of tables that the person named.
fn tables(section: Section<'_>, path: &mut Vec<String>, rows: &mut Vec<Row>) {
    for name in section.all_names() {
        path.push(name.to_owned());
        match section.get(name) {
            Some((value, origin)) => {
                if let Found::Key(key) = find(path)
                    && key.path.contains('*')
                {
                    let value = if key.secret {
                        json!(MASKED)
                    } else {
                        text(value)
                    };
                    rows.push(Row {
                        about: key,
                        key: path.join("."),
                        value,
                        origin: origin.clone(),
                    });
                }
            }
            None => tables(section.section(name), path, rows),
        }
        path.pop();
    }
}

fn value_at(section: Section<'_>, path: &mut dyn Iterator<Item = String>) -> Option<Json> {
    let mut section = section;
    let mut name = path.next()?;
    for next in path {
        section = section.section(&name);
        name = next;
    }
    section.get(&name).map(|(value, _)| text(value))
}

fn text(value: &Value) -> Json {
    match value {
        Value::Text(text) => json!(text),
        Value::Word(word) => json!(word),
        Value::Switch(on) => json!(on),
        Value::Whole(number) => json!(number),
        Value::Seconds(seconds) => json!(seconds.as_secs_f64()),
        Value::Texts(texts) => json!(texts),
        Value::Path(path) => json!(path.display().to_string()),
        Value::Paths(paths) => json!(
            paths
                .iter()
                .map(|p| p.display().to_string())
                .collect::<Vec<_>>()
        ),
        Value::Patterns(patterns) => {
            json!(
                patterns
                    .iter()
                    .map(|p| p.parent.join(&p.name).display().to_string())
                    .collect::<Vec<_>>()
            )
        }
        Value::Raw(raw) => json!(raw.to_string()),
    }
}
