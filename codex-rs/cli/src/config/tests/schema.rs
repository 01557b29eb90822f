//! The JSON Schema says of a file what reading it says.

use serde_json::Value;

use super::super::key::Kind;
use super::super::keys::KEYS;
use super::super::schema::schema;
use super::{Desk, Run};

/// Values that a kind takes, and some that it does not.
pub(super) struct Sample {
    pub(super) good: &'static [&'static str],
    bad: &'static [&'static str],
}

pub(super) fn samples(kind: Kind) -> Sample {
    let (good, bad): (&[&str], &[&str]) = match kind {
        Kind::Text | Kind::Path => (&["'x'"], &["''", "1", "['x']", "{ a = 1 }"]),
        Kind::Url => (
            &["'https://h.example/v1'", "'http://h'"],
            &["'h'", "'http:///x'", "'https://a b'", "3"],
        ),
        Kind::Word(words, _) => match words {
            ["offline", ..] => (
                &["'workspace-write'", "'WorkspaceWrite'"],
                &["'read-only'", "1"],
            ),
            ["read-only", ..] => (&["'workspace-write'"], &["'offline'", "true"]),
            ["none", "minimal", ..] => (&["'high'"], &["'most'"]),
            ["auto", ..] => (&["'concise'"], &["'x'"]),
            ["low", ..] => (&["'low'"], &["'x'"]),
            ["disabled", ..] => (&["'live'"], &["true"]),
            ["all", ..] => (&["'core'"], &["'x'"]),
            ["off", ..] => (&["'denied'"], &["false"]),
            ["minimal", ..] => (&["'full'"], &["'x'"]),
            ["responses", ..] => (&["'chat'"], &["'grpc'"]),
            ["full", "short", ..] => (&["'short'"], &["'x'"]),
            ["full", ..] => (&["'compact'"], &["'x'"]),
            ["trusted", ..] => (&["'untrusted'"], &["'x'"]),
            other => panic!("no sample of {other:?}"),
        },
        Kind::Approval => (
            &[
                "'on-failure'",
                "'untrusted'",
                "{ granular = { rules = true } }",
            ],
            &["'x'", "1", "[]"],
        ),
        Kind::Switch => (&["true", "false"], &["'true'", "1"]),
        Kind::Whole(..) => (&["1", "0x2"], &["-1", "1.5", "'1'", "99999999999"]),
        Kind::Seconds => (&["1", "2.5"], &["-1", "604801", "'1'"]),
        Kind::Texts | Kind::Paths => (&["['x', 'y']", "[]"], &["'x'", "[1]", "['']"]),
        Kind::Patterns => (&["['x/*.pem']"], &["'x'", "[1]", "['']"]),
        Kind::Variables => (&["['A_*']"], &["['A?']", "['A=1']", "'A'"]),
        Kind::Hosts => (
            &["['docs.rs', '[::1]', 'https://x/y']"],
            &["['ftp://x']", "['a b']"],
        ),
        Kind::Raw => (&["'none'", "{ a = { b = [1] } }"], &[]),
    };
    Sample { good, bad }
}

#[test]
fn every_setting_is_taken_by_both_or_by_neither() {
    let schema = schema();
    let desk = Desk::new();
    for key in KEYS {
        let Sample { good, bad } = samples(key.kind);
        let tried = good
            .iter()
            .map(|v| (*v, true))
            .chain(bad.iter().map(|v| (*v, false)));
        for (value, fits) in tried {
            // The profile's name is looked up; what the schema says is about its form only.
            let profiles = if key.path == "profile" {
                "profiles.x.model = 'm'\n"
            } else {
                ""
            };
            let path = key.path.replace('*', "any");
            let text = format!("{profiles}{path} = {value}\n");
            desk.write("home/.codex/config.toml", &text);
            let read = desk.try_load(&Run::default());
            assert_eq!(read.is_ok(), fits, "{text}: {:?}", read.err());
            let document = json_of(text.parse::<toml::Table>().unwrap().into());
            assert_eq!(accepts(&schema, &schema, &document), fits, "{text}");
        }
    }
}

#[test]
fn the_schema_knows_profiles_and_unused_settings_and_no_others() {
    let schema = schema();
    for (text, fits) in [
        (
            "profiles.x.model = 'm'\nprofiles.x.audit.detail = 'full'",
            true,
        ),
        ("profiles.x.profiles.y.extends = 'offline'", false),
        ("profiles.x.extends = 'own'", false),
        ("tui.theme = 'x'\nfeatures = {}", true),
        ("modle = 'm'", false),
        ("audit.detial = 'full'", false),
        ("model_providers.x.http_headers.A = 'b'", true),
    ] {
        let document = json_of(text.parse::<toml::Table>().unwrap().into());
        assert_eq!(accepts(&schema, &schema, &document), fits, "{text}");
    }
}

fn json_of(value: toml::Value) -> Value {
    match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => number.into(),
        toml::Value::Boolean(on) => on.into(),
        toml::Value::Datetime(when) => when.to_string().into(),
        toml::Value::Array(items) => items.into_iter().map(json_of).collect(),
        toml::Value::Table(table) => Value::Object(
            table
                .into_iter()
                .map(|(name, value)| (name, json_of(value)))
                .collect(),
        ),
    }
}

/// The part of JSON Schema that the schema uses; a word that is not known here fails.
fn accepts(root: &Value, schema: &Value, value: &Value) -> bool {
    if let Some(all) = schema.as_bool() {
        return all;
    }
    schema
        .as_object()
        .unwrap()
        .iter()
        .all(|(word, rule)| match word.as_str() {
            "$schema" | "$defs" | "title" | "description" | "additionalProperties" => true,
            "$ref" => accepts(
                root,
                root.pointer(&rule.as_str().unwrap()[1..]).unwrap(),
                value,
            ),
            "anyOf" => rule
                .as_array()
                .unwrap()
                .iter()
                .any(|one| accepts(root, one, value)),
            "enum" => rule.as_array().unwrap().contains(value),
            "type" => match rule.as_str().unwrap() {
                "string" => value.is_string(),
                "boolean" => value.is_boolean(),
                "integer" => value.is_i64() || value.is_u64(),
                "number" => value.is_number(),
                "array" => value.is_array(),
                "object" => value.is_object(),
                other => panic!("type {other}"),
            },
            "minLength" => value
                .as_str()
                .is_none_or(|text| text.len() as u64 >= rule.as_u64().unwrap()),
            "minimum" => value
                .as_f64()
                .is_none_or(|number| number >= rule.as_f64().unwrap()),
            "maximum" => value
                .as_f64()
                .is_none_or(|number| number <= rule.as_f64().unwrap()),
            "pattern" => value
                .as_str()
                .is_none_or(|text| fits_pattern(rule.as_str().unwrap(), text)),
            "items" => value
                .as_array()
                .is_none_or(|items| items.iter().all(|i| accepts(root, rule, i))),
            "properties" => value.as_object().is_none_or(|object| {
                object.iter().all(|(name, inner)| match rule.get(name) {
                    Some(known) => accepts(root, known, inner),
                    None => accepts(root, &schema["additionalProperties"], inner),
                })
            }),
            other => panic!("the schema's word {other} is not understood here"),
        })
}

/// The three patterns of the schema, each written out.
fn fits_pattern(pattern: &str, text: &str) -> bool {
    match pattern {
        "^https?://[^/\\s][^\\s]*$" => {
            let rest = text
                .strip_prefix("https://")
                .or_else(|| text.strip_prefix("http://"));
            rest.is_some_and(|r| {
                !r.is_empty() && !r.starts_with('/') && !r.contains(char::is_whitespace)
            })
        }
        "^[^?\\[{=\\u0000]+$" => !text.is_empty() && !text.contains(['?', '[', '{', '=', '\0']),
        "^([Hh][Tt][Tt][Pp][Ss]?://)?[A-Za-z0-9._*:\\[\\]-]*[A-Za-z0-9\\]](/[!-~]*)?$" => {
            let text = match text.split_once("://") {
                Some((scheme, rest)) if ["http", "https"].contains(&&*scheme.to_lowercase()) => {
                    rest
                }
                _ => text,
            };
            let (host, path) = text.split_at(text.find('/').unwrap_or(text.len()));
            host.ends_with(|c: char| c.is_ascii_alphanumeric() || c == ']')
                && host
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "._*:[]-".contains(c))
                && path.chars().all(|c| c.is_ascii_graphic())
        }
        other => panic!("pattern {other}"),
    }
}
