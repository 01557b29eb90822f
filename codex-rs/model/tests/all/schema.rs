//! Whether a request fits OpenAI's published description (`tests/data/openai_schema`).
//!
//! A checker for just the keywords that its schemas use, which panics on any other: the general
//! ones need fifty to eighty further packages.

use std::sync::OnceLock;

use serde_json::{Map, Value, json};

const TEXT: &str = include_str!("../data/openai_schema/schema.json");

/// Keywords that say nothing about whether a value is valid.
const ANNOTATIONS: &[&str] = &[
    "default",
    "deprecated",
    "discriminator",
    "format",
    "x-oaiSupportedSDKs",
    "x-oaiTypeLabel",
    "x-stainless-skip",
];

fn document() -> &'static Value {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    DOCUMENT.get_or_init(|| serde_json::from_str(TEXT).unwrap())
}

/// Asserts that `body` is a `CreateResponse`, and what the schema leaves out: that every output
/// names its call.
#[track_caller]
pub(crate) fn assert_valid_request(body: &Value) {
    if let Err(why) = check(
        &json!({ "$ref": "#/components/schemas/CreateResponse" }),
        body,
        "",
    ) {
        panic!("the request does not fit its description: {why}\n{body:#}");
    }
    for item in body["input"].as_array().unwrap() {
        let kind = item["type"].as_str().unwrap();
        // `Item`'s alternatives overlap and hardly require anything: ask for the very one.
        let name = match (kind, item["role"].as_str(), item["content"].is_string()) {
            ("message", Some("user"), false) => "InputMessage",
            ("message", Some("assistant"), false) => "OutputMessage",
            ("message", _, _) => "EasyInputMessage",
            ("reasoning", ..) => "ReasoningItem",
            ("function_call", ..) => "FunctionToolCall",
            ("custom_tool_call", ..) => "CustomToolCall",
            ("function_call_output", ..) => "FunctionCallOutputItemParam",
            ("custom_tool_call_output", ..) => "CustomToolCallOutput",
            ("program", ..) => "ProgramItemParam",
            _ => panic!("an item of the type {kind}"),
        };
        let schema = json!({ "$ref": format!("#/components/schemas/{name}") });
        if let Err(why) = check(&schema, item, "") {
            panic!("not a valid {name}: {why}\n{item:#}");
        }
        if kind.ends_with("_output") {
            assert!(
                item["call_id"].is_string(),
                "an output without its call: {item}"
            );
        }
    }
    for tool in body["tools"].as_array().unwrap() {
        let name = if tool["type"] == "custom" {
            "CustomToolParam"
        } else {
            "FunctionTool"
        };
        let schema = json!({ "$ref": format!("#/components/schemas/{name}") });
        check(&schema, tool, "").unwrap();
    }
}

pub(crate) fn check(schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    let schema = match schema {
        Value::Object(schema) => schema,
        Value::Bool(true) => return Ok(()),
        other => panic!("not a schema: {other}"),
    };
    if value.is_null() && schema.get("nullable") == Some(&json!(true)) {
        return Ok(());
    }
    for (keyword, rule) in schema {
        keyword_holds(keyword, rule, schema, value, at).map_err(|why| {
            if why.starts_with('/') {
                why
            } else {
                format!("{at}/: {why}")
            }
        })?;
    }
    Ok(())
}

fn keyword_holds(
    keyword: &str,
    rule: &Value,
    schema: &Map<String, Value>,
    value: &Value,
    at: &str,
) -> Result<(), String> {
    let list = || rule.as_array().unwrap();
    let number = || rule.as_f64().unwrap();
    let holds = |holds: bool| {
        let shown: String = value.to_string().chars().take(80).collect();
        if holds {
            Ok(())
        } else {
            Err(format!("{keyword} {rule} refuses {shown}"))
        }
    };
    let characters = value.as_str().map(|text| text.chars().count() as f64);
    let elements = value.as_array().map(|items| items.len() as f64);
    match keyword {
        "$ref" => {
            let pointer = rule.as_str().unwrap().strip_prefix('#').unwrap();
            check(document().pointer(pointer).unwrap(), value, at)
        }
        "type" => holds(match rule.as_str().unwrap() {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "null" => value.is_null(),
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            other => panic!("an unknown type {other}"),
        }),
        "enum" => holds(list().contains(value)),
        "required" => {
            let missing = list()
                .iter()
                .find(|name| value.get(name.as_str().unwrap()).is_none());
            match missing {
                Some(name) if value.is_object() => Err(format!("{name} is missing")),
                _ => Ok(()),
            }
        }
        "properties" => rule
            .as_object()
            .unwrap()
            .iter()
            .try_for_each(|(name, schema)| match value.get(name) {
                Some(value) => check(schema, value, &format!("{at}/{name}")),
                None => Ok(()),
            }),
        "additionalProperties" => {
            let known = schema.get("properties").and_then(Value::as_object);
            let others = value.as_object().into_iter().flatten();
            let mut others =
                others.filter(|(name, _)| known.is_none_or(|known| !known.contains_key(*name)));
            match rule {
                Value::Bool(false) => holds(others.next().is_none()),
                rule => {
                    others.try_for_each(|(name, value)| check(rule, value, &format!("{at}/{name}")))
                }
            }
        }
        "items" => value
            .as_array()
            .into_iter()
            .flatten()
            .enumerate()
            .try_for_each(|(index, item)| check(rule, item, &format!("{at}/{index}"))),
        "allOf" => list()
            .iter()
            .try_for_each(|schema| check(schema, value, at)),
        // The alternatives of its `oneOf` overlap (see the schema's README).
        "anyOf" | "oneOf" => {
            let whys: Vec<String> = list()
                .iter()
                .map_while(|schema| check(schema, value, at).err())
                .collect();
            if whys.len() < list().len() {
                Ok(())
            } else {
                Err(format!(
                    "{at}/: no alternative of {}: {}",
                    whys.len(),
                    whys.join(" | ")
                ))
            }
        }
        "minLength" => holds(characters.is_none_or(|length| length >= number())),
        "maxLength" => holds(characters.is_none_or(|length| length <= number())),
        "minItems" => holds(elements.is_none_or(|length| length >= number())),
        "maxItems" => holds(elements.is_none_or(|length| length <= number())),
        "minimum" => holds(value.as_f64().is_none_or(|value| value >= number())),
        "maximum" => holds(value.as_f64().is_none_or(|value| value <= number())),
        "maxProperties" => holds(
            value
                .as_object()
                .is_none_or(|map| map.len() as f64 <= number()),
        ),
        "pattern" if rule == "^[a-zA-Z0-9_-]+$" => holds(value.as_str().is_none_or(|text| {
            !text.is_empty()
                && text
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "_-".contains(c))
        })),
        "propertyNames" => value
            .as_object()
            .into_iter()
            .flatten()
            .try_for_each(|(name, _)| check(rule, &json!(name), at)),
        "nullable" => Ok(()),
        other if ANNOTATIONS.contains(&other) => Ok(()),
        other => panic!("an unknown keyword {other}"),
    }
}

#[test]
fn the_checker_refuses_what_is_wrong() {
    let valid = json!({ "model": "m", "input": [{ "type": "function_call", "call_id": "c",
        "name": "n", "arguments": "{}" }], "stream": true,
        "tools": [{ "type": "function", "name": "n", "strict": false, "parameters": {} }] });
    let request = json!({ "$ref": "#/components/schemas/CreateResponse" });
    check(&request, &valid, "").unwrap();
    for (pointer, wrong) in [
        ("/stream", json!("yes")),
        ("/input", json!(7)),
        (
            "/input/0",
            json!({ "type": "function_call", "call_id": "c" }),
        ),
        ("/input/0/arguments", json!({})),
        ("/tools/0/type", json!("functional")),
    ] {
        let mut body = valid.clone();
        *body.pointer_mut(pointer).unwrap() = wrong;
        assert!(check(&request, &body, "").is_err(), "{pointer}");
    }
    let mut short = valid;
    short["max_output_tokens"] = json!(15);
    assert!(check(&request, &short, "").is_err());
}
