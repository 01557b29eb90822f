//! The JSON Schema of `config.toml`, from the table of keys. `docs/config.schema.json` holds it.

use serde_json::{Map, Value, json};

use super::key::{Key, Kind, fits_profile};
use super::keys::{KEYS, UNUSED};
use super::words::ApprovalPolicy;

/// The schema (draft 2020-12). Editors can use it for completion and checks: unlike codex itself,
/// which warns of a key that it does not know, the schema refuses it.
pub(super) fn schema() -> Value {
    let mut root = Table::default();
    for key in KEYS {
        root.add(key.path, described(key));
    }
    for path in UNUSED {
        root.add(
            path,
            json!({ "description": "A setting of Codex's, without effect here." }),
        );
    }
    // A named profile has the top level's settings beside its own.
    let shared: Vec<(String, Node)> = root
        .properties
        .iter()
        .filter(|(name, _)| fits_profile(name))
        .map(|(name, _)| (name.clone(), Node::Value(reference(name))))
        .collect();
    let profiles = root
        .properties
        .iter_mut()
        .find(|(name, _)| name == "profiles");
    if let Some((_, Node::Table(profiles))) = profiles
        && let Some(Node::Table(profile)) = profiles.any.as_deref_mut()
    {
        profile.properties.extend(shared);
    }
    let definitions: Map<String, Value> = root
        .properties
        .iter()
        .map(|(name, node)| (name.clone(), node.schema()))
        .collect();
    let properties: Map<String, Value> = definitions
        .keys()
        .map(|name| (name.clone(), reference(name)))
        .collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "codex config.toml",
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
        "$defs": definitions,
    })
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{name}") })
}

enum Node {
    Value(Value),
    Table(Table),
}

#[derive(Default)]
struct Table {
    /// In the order of the table of keys.
    properties: Vec<(String, Node)>,
    /// What a name that the person chooses stands for.
    any: Option<Box<Node>>,
}

impl Table {
    fn add(&mut self, path: &str, schema: Value) {
        let (name, rest) = path
            .split_once('.')
            .map_or((path, None), |(n, rest)| (n, Some(rest)));
        let fresh = || Node::Table(Self::default());
        let node = if name == "*" {
            self.any.get_or_insert_with(|| Box::new(fresh())).as_mut()
        } else {
            let at = self.properties.iter().position(|(other, _)| other == name);
            let at = at.unwrap_or_else(|| {
                self.properties.push((name.to_owned(), fresh()));
                self.properties.len() - 1
            });
            match self.properties.get_mut(at) {
                Some((_, node)) => node,
                None => return,
            }
        };
        match (rest, node) {
            (Some(rest), Node::Table(table)) => table.add(rest, schema),
            (_, node) => *node = Node::Value(schema),
        }
    }
}

impl Node {
    fn schema(&self) -> Value {
        match self {
            Self::Value(value) => value.clone(),
            Self::Table(table) => {
                let properties: Map<String, Value> = table
                    .properties
                    .iter()
                    .map(|(name, node)| (name.clone(), node.schema()))
                    .collect();
                let others = table.any.as_ref().map_or(json!(false), |any| any.schema());
                json!({ "type": "object", "properties": properties, "additionalProperties": others })
            }
        }
    }
}

fn described(key: &Key) -> Value {
    let mut schema = Map::new();
    schema.insert("description".to_owned(), key.doc.into());
    if let Value::Object(kind) = of_kind(key.kind) {
        schema.extend(kind);
    }
    schema.into()
}

fn of_kind(kind: Kind) -> Value {
    let text = json!({ "type": "string", "minLength": 1 });
    match kind {
        Kind::Text | Kind::Path => text,
        Kind::Url => json!({ "type": "string", "pattern": "^https?://[^/\\s][^\\s]*$" }),
        Kind::Word(words, aliases) => {
            let aliases = aliases.iter().map(|(alias, _)| *alias);
            json!({ "enum": words.iter().copied().chain(aliases).collect::<Vec<_>>() })
        }
        Kind::Approval => {
            let aliases = ApprovalPolicy::ALIASES.iter().map(|(alias, _)| *alias);
            let words: Vec<_> = ApprovalPolicy::WORDS
                .iter()
                .copied()
                .chain(aliases)
                .collect();
            json!({ "anyOf": [{ "enum": words }, { "type": "object" }] })
        }
        Kind::Switch => json!({ "type": "boolean" }),
        Kind::Whole(least, most) => {
            json!({ "type": "integer", "minimum": least, "maximum": most })
        }
        Kind::Seconds => json!({ "type": "number", "minimum": 0, "maximum": 604_800 }),
        Kind::Texts | Kind::Paths | Kind::Patterns => json!({ "type": "array", "items": text }),
        Kind::Variables => json!({
            "type": "array",
            "items": { "type": "string", "pattern": "^[^?\\[{=\\u0000]+$" },
        }),
        Kind::Hosts => json!({
            "type": "array",
            "items": { "type": "string", "pattern": "^([Hh][Tt][Tt][Pp][Ss]?://)?[A-Za-z0-9._*:\\[\\]-]*[A-Za-z0-9\\]](/[!-~]*)?$" },
        }),
        Kind::Raw => json!({}),
    }
}
