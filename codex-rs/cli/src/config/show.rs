//! `codex config show`: every setting, its value, and where it comes from.

use std::path::Path;

use serde_json::{Value as Json, json};

use super::Loaded;
use super::environment::VARIABLES;
use super::key::{Found, Key, Kind, find};
use super::keys::KEYS;
use super::origin::Origin;
use super::text::{dotted, harmless};
use super::tree::Section;
use super::value::{Value, expected};

/// What stands in the place of a value that is nobody else's business.
const MASKED: &str = "[REDACTED]";

/// The settings as lines: `key = value`, and the origin where it is asked for; or one JSON
/// document. A value in round brackets says in words what holds where nothing is set.
#[must_use]
pub(crate) fn show(loaded: &Loaded, with_origin: bool, as_json: bool) -> Vec<String> {
    let rows = rows(loaded);
    if as_json {
        let values: Vec<Json> = rows
            .iter()
            .map(|row| {
                json!({
                    "key": row.key, "value": row.value, "origin": row.origin,
                    "takes": expected(row.about.kind), "default": row.about.default,
                    "about": row.about.doc,
                })
            })
            .collect();
        let variables: Vec<Json> = VARIABLES
            .iter()
            .map(|(name, about)| json!({ "name": name, "about": about }))
            .collect();
        let document = json!({ "v": 1, "settings": values, "environment": variables });
        return vec![harmless(&document.to_string())];
    }
    let line = |row: &Row| {
        let value = match &row.value {
            Json::Null => format!("({})", row.about.default),
            value => harmless(&value.to_string()),
        };
        match with_origin {
            true => format!("{} = {value}  # {}", row.key, row.origin),
            false => format!("{} = {value}", row.key),
        }
    };
    rows.iter().map(line).collect()
}

struct Row {
    about: &'static Key,
    key: String,
    /// `null` where nothing is set and the default is a matter of words.
    value: Json,
    origin: String,
}

impl Row {
    fn new(about: &'static Key, path: &[String], value: Json, origin: String) -> Self {
        let key = dotted(path.iter().map(String::as_str));
        let value = match value {
            // The default hides nothing of anybody's.
            _ if about.secret && origin != Origin::Default.to_string() => json!(MASKED),
            Json::String(url) if matches!(about.kind, Kind::Url) => json!(without_secrets(&url)),
            value => value,
        };
        Self {
            about,
            key,
            value,
            origin,
        }
    }
}

fn rows(loaded: &Loaded) -> Vec<Row> {
    let mut rows = Vec::new();
    let settled = settled(loaded);
    for key in KEYS.iter().filter(|key| !key.path.contains('*')) {
        let path: Vec<String> = key.path.split('.').map(str::to_owned).collect();
        let set = match settled.iter().find(|(of, _, _)| *of == path) {
            Some((_, value, origin)) => Some((value.clone(), origin.clone())),
            None => held_at(loaded.tree.root(), &path),
        };
        if let Some((value, origin)) = set {
            rows.push(Row::new(key, &path, value, origin));
        } else if !key.default.is_empty() {
            let value = default_value(key);
            rows.push(Row::new(key, &path, value, Origin::Default.to_string()));
        }
    }
    for (path, value, origin) in settled {
        if let Found::Key(key) = find(&path)
            && key.path.contains('*')
        {
            rows.push(Row::new(key, &path, value, origin));
        }
    }
    tables(loaded.tree.root(), &mut Vec::new(), &mut rows);
    rows
}

/// The settings in which more than one source has a say, as they came out, and those that are in
/// force only under one profile.
fn settled(loaded: &Loaded) -> Vec<(Vec<String>, Json, String)> {
    let config = &loaded.config;
    let rights = &config.rights;
    let mut settled = Vec::new();
    let mut add = |path: &[&str], value: Json, origin: String| {
        let path = path.iter().map(|part| (*part).to_owned()).collect();
        settled.push((path, value, origin));
    };
    let origin = |key: &str| {
        let origin = loaded.origins.get(key);
        origin.map_or_else(|| Origin::Default.to_string(), Origin::to_string)
    };
    // Each item of a list that every source adds to has its own.
    let origins = |key: &str, count: usize| {
        let mut all: Vec<String> = (0..count)
            .map(|at| origin(&format!("{key}[{at}]")))
            .collect();
        all.dedup();
        all.join("; ")
    };
    let profile = rights.name.as_deref().unwrap_or(rights.profile.flag());
    add(&["profile"], json!(profile), origin("profile"));
    let (key, policy) = ("approval_policy", config.approval_policy.word());
    add(&[key], json!(policy), origin(key));
    let (key, detail) = ("audit.detail", config.audit.detail.word());
    add(&["audit", "detail"], json!(detail), origin(key));
    if let Some(reads) = config.audit.reads {
        add(
            &["audit", "reads"],
            json!(reads.word()),
            origin("audit.reads"),
        );
    }
    if !rights.deny_read.is_empty() {
        let (paths, from) = (
            &rights.deny_read,
            origins("deny_read", rights.deny_read.len()),
        );
        add(&["deny_read"], texts(paths), from);
    }
    if !rights.deny_host.is_empty() {
        let (hosts, from) = (
            &rights.deny_host,
            origins("deny_host", rights.deny_host.len()),
        );
        add(&["deny_host"], texts(hosts), from);
    }
    if !rights.secrets.is_empty() {
        let patterns: Vec<_> = rights
            .secrets
            .iter()
            .map(|p| p.parent.join(&p.name))
            .collect();
        let from = origins("secrets", patterns.len());
        add(&["secrets"], texts(&patterns), from);
    }
    let at = "sandbox_workspace_write";
    let key = "writable_roots";
    let from = match rights.writable_roots.is_empty() {
        true => Origin::Default.to_string(),
        false => origin(&dotted([at, key])),
    };
    add(&[at, key], texts(&rights.writable_roots), from);
    let key = "network_access";
    let from = match rights.network_reads {
        true => origin(&dotted([at, key])),
        false => Origin::Default.to_string(),
    };
    add(&[at, key], json!(rights.network_reads), from);
    if let Some(name) = rights.name.as_deref() {
        add(
            &["profiles", name, "extends"],
            json!(rights.profile.flag()),
            origin("profile"),
        );
        for (key, granted) in [
            ("allow_read", texts(&rights.allow_read)),
            ("allow_write", texts(&rights.allow_write)),
            ("allow_exec", texts(&rights.allow_exec)),
            ("allow_host", texts(&rights.allow_host)),
            ("allow_preset", texts(&rights.allow_preset)),
            ("allow_tunnel", texts(&rights.allow_tunnel)),
            ("allow_private_host", texts(&rights.allow_private_host)),
            ("allow_post", texts(&rights.allow_post)),
            ("pass_env", texts(&rights.pass_env)),
        ] {
            if granted != json!([]) {
                let path = ["profiles", name, key];
                add(&path, granted, origin(&dotted(path)));
            }
        }
    }
    settled
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
                    rows.push(Row::new(key, path, as_json(value), origin.to_string()));
                }
            }
            None => tables(section.section(name), path, rows),
        }
        path.pop();
    }
}

fn held_at(root: Section<'_>, path: &[String]) -> Option<(Json, String)> {
    let (last, parents) = path.split_last()?;
    let section = parents
        .iter()
        .fold(root, |section, name| section.section(name));
    let (value, origin) = section.get(last)?;
    Some((as_json(value), origin.to_string()))
}

/// What holds where nothing is set; `null` where the table of settings says it in words.
fn default_value(key: &Key) -> Json {
    match key.kind {
        Kind::Switch => json!(key.default == "true"),
        Kind::Whole(..) | Kind::Seconds => key
            .default
            .parse::<u64>()
            .map_or(Json::Null, |number| json!(number)),
        _ if key.default.contains(' ') => Json::Null,
        _ => json!(key.default),
    }
}

fn texts<T: AsRef<Path>>(texts: &[T]) -> Json {
    let text = |text: &T| text.as_ref().display().to_string();
    json!(texts.iter().map(text).collect::<Vec<_>>())
}

fn as_json(value: &Value) -> Json {
    match value {
        Value::Text(text) => json!(text),
        Value::Word(word) => json!(word),
        Value::Switch(on) => json!(on),
        Value::Whole(number) => json!(number),
        Value::Seconds(seconds) => json!(seconds.as_secs_f64()),
        Value::Texts(list) => texts(list),
        Value::Path(path) => json!(path.display().to_string()),
        Value::Paths(paths) => texts(paths),
        Value::Patterns(patterns) => {
            let paths: Vec<_> = patterns.iter().map(|p| p.parent.join(&p.name)).collect();
            texts(&paths)
        }
        Value::Raw(raw) => json!(raw.to_string()),
    }
}

/// A URL without what may hold a key: its user and its query.
fn without_secrets(url: &str) -> String {
    let (url, query) = match url.split_once('?') {
        Some((url, _)) => (url, format!("?{MASKED}")),
        None => (url, String::new()),
    };
    let Some((scheme, rest)) = url.split_once("://") else {
        return format!("{url}{query}");
    };
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = match host.rsplit_once('@') {
        Some((_, host)) => format!("{MASKED}@{host}"),
        None => host.to_owned(),
    };
    format!("{scheme}://{host}{path}{query}")
}

#[cfg(test)]
mod tests {
    use super::without_secrets;

    #[test]
    fn urls_are_shown_without_secrets() {
        for (url, expected) in [
            ("https://a.example/v1", "https://a.example/v1"),
            (
                "https://me:pass@a.example/v1",
                "https://[REDACTED]@a.example/v1",
            ),
            (
                "https://a.example/v1?key=x@y",
                "https://a.example/v1?[REDACTED]",
            ),
            ("https://a.example", "https://a.example"),
        ] {
            assert_eq!(without_secrets(url), expected);
        }
    }
}
