//! Verdicts beside the `jsonschema` crate's, on schemas and values made up together.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::Schema;

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-4_i64..8).prop_map(Value::from),
        (-8_i64..16).prop_map(|n| Value::from(n as f64 / 2.0)),
        "[abä1 ]{0,3}".prop_map(Value::from),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec(("[abc]", inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// One keyword and what it says.
fn plain() -> impl Strategy<Value = (&'static str, Value)> {
    let kind = prop::sample::select(super::TYPES.to_vec());
    let pattern = prop::sample::select(vec!["^a", "b$", "^[^a\\d]*$", "\\s", "\\S\\W", "a.|1{2}"]);
    let count = prop::sample::select(vec![
        "minLength",
        "maxLength",
        "minItems",
        "maxItems",
        "minProperties",
        "maxProperties",
    ]);
    let bound = prop::sample::select(vec![
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
    ]);
    prop_oneof![
        4 => kind.clone().prop_map(|kind| ("type", json!(kind))),
        1 => prop::collection::hash_set(kind, 1..4)
            .prop_map(|kinds| ("type", json!(kinds.into_iter().collect::<Vec<_>>()))),
        4 => (count, 0..4).prop_map(|(keyword, n)| (keyword, json!(n))),
        2 => (bound, -8..16).prop_map(|(keyword, n)| (keyword, json!(f64::from(n) / 2.0))),
        1 => prop::sample::select(vec![json!(1), json!(2), json!(0.5), json!(1.5)])
            .prop_map(|step| ("multipleOf", step)),
        1 => pattern.prop_map(|pattern| ("pattern", json!(pattern))),
        1 => any::<bool>().prop_map(|unique| ("uniqueItems", json!(unique))),
        1 => value().prop_map(|value| ("const", value)),
        1 => prop::collection::vec(scalar(), 1..5).prop_map(|values| ("enum", json!(values))),
        1 => prop::collection::hash_set("[abc]", 0..3)
            .prop_map(|names| ("required", json!(names.into_iter().collect::<Vec<_>>()))),
    ]
}

fn schema() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        Just(json!({ "$ref": "#/$defs/a" })),
        prop::collection::vec(plain(), 0..3).prop_map(|keywords| keywords.into_iter().collect()),
    ];
    leaf.prop_recursive(3, 16, 3, |inner| {
        let one = prop::sample::select(vec!["additionalProperties", "items", "not"]);
        let many = prop::sample::select(vec!["prefixItems", "anyOf", "oneOf", "allOf"]);
        let named = prop::sample::select(vec!["properties", "patternProperties"]);
        let members = prop::collection::vec(("[abc]", inner.clone()), 1..4)
            .prop_map(|members| Value::Object(members.into_iter().collect()));
        let nested = prop_oneof![
            (one, inner.clone()),
            (
                many,
                prop::collection::vec(inner, 1..4).prop_map(Value::from)
            ),
            (named, members),
        ];
        prop::collection::vec(prop_oneof![2 => nested, 1 => plain()], 1..4)
            .prop_map(|keywords| keywords.into_iter().collect())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn verdicts_are_the_reference_s(schema in schema(), value in value()) {
        let whole = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "allOf": [schema],
            "$defs": { "a": { "type": ["integer", "string", "object"], "properties": {
                "a": { "$ref": "#/$defs/a" }
            } } }
        });
        let reference = jsonschema::validator_for(&whole).unwrap();
        let ours = Schema::new(whole).unwrap();
        prop_assert_eq!(
            ours.check(&value).is_ok(),
            reference.is_valid(&value),
            "{:?}", ours.check(&value)
        );
    }

    #[test]
    fn no_schema_makes_it_panic(schema in value(), keyword in plain(), value in value()) {
        let odd = json!({ keyword.0: schema, "items": value, "not": { "enum": [keyword.1] } });
        if let Ok(schema) = Schema::new(odd) {
            let _verdict = schema.check(&value);
        }
    }
}
