//! A JSON Schema (the 2020-12 vocabulary, without what an answer's form does not need), checked when
//! it is read and then used to check values.
//!
//! Its own code, because the well-kept crates cost 1.5 MB of a binary that may have 8 MB. It fails
//! closed: a keyword it does not know is an error with its place, never ignored. The tests compare
//! its verdicts with the `jsonschema` crate's.

mod number;
mod pattern;
#[cfg(test)]
mod proptests;
mod run;

use std::collections::{HashMap, HashSet};

use grep_regex::RegexMatcher;
use serde_json::{Map, Value};

/// How deep schemas may lie within one another.
const DEEPEST: usize = 64;

/// How long the text of one error may be, in characters: it quotes the message.
const LONGEST: usize = 300;

/// The names of the types.
const TYPES: [&str; 7] = [
    "array", "boolean", "integer", "null", "number", "object", "string",
];

/// A schema whose every part is known to be supported and well formed.
pub(crate) struct Schema {
    value: Value,
    patterns: HashMap<String, RegexMatcher>,
}

impl Schema {
    /// Checks a schema.
    ///
    /// # Errors
    /// The place, a JSON Pointer, and what is wrong or not supported there.
    pub(crate) fn new(value: Value) -> Result<Self, String> {
        let mut walk = Walk::default();
        walk.schema(&value, "", 0)?;
        for (place, target) in &walk.references {
            if !walk.schemas.contains(target) {
                return Err(described(
                    place,
                    &format!("there is no schema at '#{target}' in this file"),
                ));
            }
        }
        walk.ends()?;
        Ok(Self {
            patterns: walk.patterns,
            value,
        })
    }

    /// The schema as it was given.
    pub(crate) fn value(&self) -> &Value {
        &self.value
    }

    /// Checks a value.
    ///
    /// # Errors
    /// The first errors, each with its place in the value.
    pub(crate) fn check(&self, value: &Value) -> Result<(), Vec<String>> {
        run::Run::new(self).check(value)
    }
}

/// An error and its place, a JSON Pointer.
fn described(place: &str, error: &str) -> String {
    let place = if place.is_empty() {
        "at the top"
    } else {
        place
    };
    let text: String = format!("{place}: {error}").chars().take(LONGEST).collect();
    text
}

/// The place of a member or an item.
fn within(place: &str, key: &str) -> String {
    format!("{place}/{}", key.replace('~', "~0").replace('/', "~1"))
}

/// One walk over all of a schema.
#[derive(Default)]
struct Walk {
    schemas: HashSet<String>,
    /// The place of each `$ref`, and where it leads.
    references: Vec<(String, String)>,
    /// From each schema to those that it holds against the same value.
    same: Vec<(String, String)>,
    patterns: HashMap<String, RegexMatcher>,
}

impl Walk {
    fn schema(&mut self, schema: &Value, place: &str, depth: usize) -> Result<(), String> {
        if depth > DEEPEST {
            return Err(described(
                place,
                &format!("schemas may lie {DEEPEST} deep, no deeper"),
            ));
        }
        match schema {
            Value::Bool(_) => {}
            Value::Object(keywords) => {
                for (keyword, value) in keywords {
                    let inner = within(place, keyword);
                    self.keyword(keyword, value, &inner, depth)?;
                    let targets = match (keyword.as_str(), value) {
                        ("not", _) => vec![inner],
                        ("anyOf" | "oneOf" | "allOf", Value::Array(schemas)) => (0..schemas.len())
                            .map(|index| within(&inner, &index.to_string()))
                            .collect(),
                        ("$ref", Value::String(target)) => {
                            vec![target.trim_start_matches('#').to_owned()]
                        }
                        _ => Vec::new(),
                    };
                    let edges = targets.into_iter().map(|to| (place.to_owned(), to));
                    self.same.extend(edges);
                }
            }
            _ => return Err(described(place, "a schema is an object or a boolean")),
        }
        self.schemas.insert(place.to_owned());
        Ok(())
    }

    fn keyword(
        &mut self,
        keyword: &str,
        value: &Value,
        place: &str,
        depth: usize,
    ) -> Result<(), String> {
        let wrong = |error: &str| Err(described(place, error));
        match keyword {
            "title" | "description" | "default" | "examples" | "$schema" | "$comment"
            | "format" | "deprecated" | "readOnly" | "writeOnly" | "const" => Ok(()),
            // Within the schema it would change what a reference is relative to.
            "$id" if depth == 0 => Ok(()),
            "$id" => wrong("'$id' is supported at the top only"),
            "type" => {
                let known = |name: &Value| name.as_str().is_some_and(|name| TYPES.contains(&name));
                match value {
                    Value::Array(names) if !names.is_empty() && names.iter().all(known) => Ok(()),
                    one if known(one) => Ok(()),
                    other => wrong(&format!("{other} is not a type")),
                }
            }
            "properties" | "$defs" | "definitions" => {
                for (name, schema) in object(value, place)? {
                    self.schema(schema, &within(place, name), depth + 1)?;
                }
                Ok(())
            }
            "patternProperties" => {
                for (name, schema) in object(value, place)? {
                    let place = within(place, name);
                    self.pattern(name, &place)?;
                    self.schema(schema, &place, depth + 1)?;
                }
                Ok(())
            }
            "additionalProperties" | "items" | "not" => self.schema(value, place, depth + 1),
            "prefixItems" | "anyOf" | "oneOf" | "allOf" => match value {
                Value::Array(schemas) if !schemas.is_empty() => {
                    for (index, schema) in schemas.iter().enumerate() {
                        self.schema(schema, &within(place, &index.to_string()), depth + 1)?;
                    }
                    Ok(())
                }
                _ => wrong("it has to be a list of schemas, with one at least"),
            },
            "required" => match value {
                Value::Array(names) if names.iter().all(Value::is_string) => Ok(()),
                _ => wrong("it has to be a list of names"),
            },
            "enum" if value.is_array() => Ok(()),
            "enum" => wrong("it has to be a list of values"),
            "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" => {
                if value.is_number() {
                    Ok(())
                } else {
                    wrong("it has to be a number")
                }
            }
            "multipleOf" => match value {
                Value::Number(step) if number::positive(step) => Ok(()),
                _ => wrong("it has to be a number above 0"),
            },
            "minLength" | "maxLength" | "minItems" | "maxItems" | "minProperties"
            | "maxProperties" => {
                if value.is_u64() {
                    Ok(())
                } else {
                    wrong("it has to be a whole number, 0 or more")
                }
            }
            "uniqueItems" if value.is_boolean() => Ok(()),
            "uniqueItems" => wrong("it has to be true or false"),
            "pattern" => match value {
                Value::String(pattern) => self.pattern(pattern, place),
                _ => wrong("it has to be a regular expression"),
            },
            "$ref" => match value.as_str().and_then(|target| target.strip_prefix('#')) {
                Some(target)
                    if !target.contains('%')
                        && (target.is_empty()
                            || target.starts_with("/$defs/")
                            || target.starts_with("/definitions/")) =>
                {
                    self.references.push((place.to_owned(), target.to_owned()));
                    Ok(())
                }
                _ => wrong("only '#', '#/$defs/...' and '#/definitions/...' are supported"),
            },
            _ => wrong(&format!("the keyword '{keyword}' is not supported")),
        }
    }

    /// Refuses references that lead round with no step into the value: a check would never end.
    fn ends(&self) -> Result<(), String> {
        let mut same: Vec<&(String, String)> = self.same.iter().collect();
        loop {
            let from: HashSet<&str> = same.iter().map(|(from, _)| from.as_str()).collect();
            let before = same.len();
            same.retain(|(_, to)| from.contains(to.as_str()));
            if same.len() == before {
                break;
            }
        }
        match same.first() {
            Some((from, _)) => Err(described(from, "its references lead round in a circle")),
            None => Ok(()),
        }
    }

    fn pattern(&mut self, pattern: &str, place: &str) -> Result<(), String> {
        let matcher = pattern::compile(pattern).map_err(|error| described(place, &error))?;
        self.patterns.insert(pattern.to_owned(), matcher);
        Ok(())
    }
}

fn object<'a>(value: &'a Value, place: &str) -> Result<&'a Map<String, Value>, String> {
    value
        .as_object()
        .ok_or_else(|| described(place, "it has to be an object"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn refused(schema: Value) -> String {
        Schema::new(schema).err().unwrap()
    }

    fn fits(schema: Value, value: Value) -> bool {
        Schema::new(schema).unwrap().check(&value).is_ok()
    }

    #[test]
    fn an_unknown_keyword_is_refused_wherever_it_is() {
        for (schema, place) in [
            (json!({"if": true}), "/if: "),
            (
                json!({"$defs": {"a/b": {"contains": {}}}}),
                "/$defs/a~1b/contains: ",
            ),
            (
                json!({"anyOf": [true, {"items": {"x": 1}}]}),
                "/anyOf/1/items/x: ",
            ),
            (json!({"items": [true]}), "/items: "),
            (json!({"not": {"$id": "b"}}), "/not/$id: "),
            (json!({"$ref": "#/$defs/none"}), "/$ref: "),
            (json!({"$ref": "http://127.0.0.1/"}), "/$ref: "),
            (json!({"multipleOf": 0}), "/multipleOf: "),
            (json!({"pattern": "("}), "/pattern: "),
            (
                json!({"patternProperties": {"(?=a)": true}}),
                "/patternProperties/(?=a): ",
            ),
        ] {
            let error = refused(schema);
            assert!(error.starts_with(place), "{error}");
        }
        let mut deep = json!(true);
        for _ in 0..=DEEPEST {
            deep = json!({ "not": deep });
        }
        assert!(refused(deep).contains("deep"));
    }

    #[test]
    fn a_schema_may_refer_to_itself_but_not_for_ever() {
        let tree = json!({"type": "object", "additionalProperties": {"$ref": "#"}});
        assert!(fits(tree.clone(), json!({"a": {"b": {}}})));
        assert!(!fits(tree, json!({"a": {"b": 1}})));
        for round in [
            json!({"$ref": "#"}),
            json!({"anyOf": [{"type": "null"}, {"not": {"$ref": "#"}}]}),
            json!({"items": {"$ref": "#/$defs/a"}, "$defs": {
                "a": {"allOf": [{"$ref": "#/$defs/b"}]}, "b": {"$ref": "#/$defs/a"}
            }}),
        ] {
            assert!(refused(round).contains("circle"));
        }
        let mut defs = json!({"d0": true});
        for n in 1..60 {
            let lower = json!({"$ref": format!("#/$defs/d{}", n - 1)});
            defs[format!("d{n}")] = json!({"allOf": [lower, lower]});
        }
        assert!(!fits(
            json!({"$ref": "#/$defs/d59", "$defs": defs}),
            json!(1)
        ));
    }

    #[test]
    fn numbers_are_compared_by_what_they_are() {
        assert!(fits(json!({"const": 1}), json!(1.0)));
        assert!(fits(json!({"type": "integer"}), json!(3.0)));
        assert!(fits(json!({"multipleOf": 0.1}), json!(0.3)));
        assert!(!fits(json!({"multipleOf": 0.1}), json!(0.35)));
        assert!(!fits(
            json!({"uniqueItems": true}),
            json!([{"a": 1, "b": 2}, {"b": 2.0, "a": 1}])
        ));
        assert!(!fits(
            json!({"maximum": 9_007_199_254_740_992_u64}),
            json!(9_007_199_254_740_993_u64)
        ));
        assert!(fits(json!({"minimum": -1e300}), json!(0)));
    }

    #[test]
    fn patterns_and_lengths_are_ecmascript_s_and_in_characters() {
        assert!(fits(json!({"maxLength": 2}), json!("äö")));
        assert!(fits(json!({"pattern": "^\\d+$"}), json!("12")));
        assert!(!fits(json!({"pattern": "^\\d+$"}), json!("١٢")));
        assert!(!fits(json!({"pattern": "^\\d+$"}), json!("12\n")));
        assert!(fits(json!({"pattern": "b"}), json!("abc")));
        assert!(fits(json!({"pattern": "^[\\w.-]+$"}), json!("a.b-c_d")));
    }

    #[test]
    fn errors_are_few_and_short() {
        let schema = Schema::new(json!({"items": {"type": "integer"}})).unwrap();
        let errors = schema
            .check(&json!(vec!["x".repeat(9999); 50]))
            .unwrap_err();
        assert_eq!(errors.len(), 10);
        assert!(errors.iter().all(|error| error.chars().count() <= LONGEST));
        assert!(errors[3].starts_with("/3: "), "{}", errors[3]);
    }
}
