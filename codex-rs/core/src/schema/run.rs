//! One check of a value.

use std::cmp::Ordering;
use std::collections::HashSet;

use grep_matcher::Matcher;
use serde_json::{Map, Number, Value};

use super::{LONGEST, Schema, described, number, within};

/// How many errors are told.
const TOLD: usize = 10;

/// How many schemas may be under way at once: the value's own depth, 128 at most in `serde_json`,
/// with references between.
const DEEPEST: usize = 320;

/// How many schemas are tried in one check: references that fork could take for ever.
const STEPS: usize = 1_000_000;

/// A check under way.
pub(super) struct Run<'a> {
    schema: &'a Schema,
    steps: usize,
    /// Why there is no verdict. It stands above the errors, which `not` would turn round.
    stopped: Option<&'static str>,
}

/// Where a check is: in the value, and how deep.
#[derive(Clone, Copy)]
struct At<'a> {
    place: &'a str,
    depth: usize,
}

impl At<'_> {
    fn fail(&self, errors: &mut Vec<String>, text: &str) {
        if errors.len() < TOLD {
            errors.push(described(self.place, text));
        }
    }
}

impl<'a> Run<'a> {
    pub(super) fn new(schema: &'a Schema) -> Self {
        Self {
            schema,
            steps: 0,
            stopped: None,
        }
    }

    pub(super) fn check(mut self, value: &Value) -> Result<(), Vec<String>> {
        let mut errors = Vec::new();
        let top = At {
            place: "",
            depth: 0,
        };
        self.schema(&self.schema.value, value, top, &mut errors);
        if let Some(reason) = self.stopped {
            return Err(vec![described("", reason)]);
        }
        if errors.is_empty() {
            Ok(())
        } else {
            Err(errors)
        }
    }

    fn schema(&mut self, schema: &'a Value, value: &Value, at: At<'_>, errors: &mut Vec<String>) {
        self.steps += 1;
        if self.steps > STEPS {
            self.stopped = Some("it cannot be checked: the schema takes too many steps");
        } else if at.depth > DEEPEST {
            self.stopped = Some("it cannot be checked: the schema's references go too deep");
        }
        if self.stopped.is_some() {
            return;
        }
        let at = At {
            depth: at.depth + 1,
            ..at
        };
        match schema {
            Value::Bool(true) => {}
            Value::Object(keywords) => {
                for (keyword, wanted) in keywords {
                    self.applied(keyword, wanted, value, at, errors);
                    if let Some(text) = self.misfit(keyword, wanted, value) {
                        at.fail(errors, &text);
                    }
                }
                match value {
                    Value::Object(members) => self.members(keywords, members, at, errors),
                    Value::Array(items) => self.items(keywords, items, at, errors),
                    _ => {}
                }
            }
            _ => at.fail(errors, "nothing is allowed here"),
        }
    }

    fn fits(&mut self, schema: &'a Value, value: &Value, at: At<'_>) -> Result<(), Vec<String>> {
        let mut errors = Vec::new();
        self.schema(schema, value, at, &mut errors);
        if errors.is_empty() {
            Ok(())
        } else {
            Err(errors)
        }
    }

    /// The keywords that hold schemas for the same value.
    fn applied(
        &mut self,
        keyword: &str,
        wanted: &'a Value,
        value: &Value,
        at: At<'_>,
        errors: &mut Vec<String>,
    ) {
        let schemas = wanted.as_array().map_or(&[][..], Vec::as_slice);
        match keyword {
            "$ref" => {
                let target = wanted.as_str().and_then(|target| target.strip_prefix('#'));
                match target.and_then(|target| self.schema.value.pointer(target)) {
                    Some(schema) => self.schema(schema, value, at, errors),
                    None => at.fail(errors, "the schema's reference leads nowhere"),
                }
            }
            "not" if self.fits(wanted, value, at).is_ok() => {
                at.fail(errors, &format!("it must not fit {wanted}"));
            }
            "allOf" => {
                for schema in schemas {
                    self.schema(schema, value, at, errors);
                }
            }
            "anyOf" | "oneOf" => {
                let mut fitting = 0;
                let mut misfits = Vec::new();
                for schema in schemas {
                    match self.fits(schema, value, at) {
                        Ok(()) => fitting += 1,
                        Err(errors) => misfits.extend(errors.into_iter().next()),
                    }
                }
                if fitting == 0 {
                    let misfits = misfits.join("; ");
                    at.fail(errors, &format!("it fits no part of {keyword}: {misfits}"));
                } else if fitting > 1 && keyword == "oneOf" {
                    let text = format!("it fits {fitting} parts of oneOf and may fit one only");
                    at.fail(errors, &text);
                }
            }
            _ => {}
        }
    }

    fn members(
        &mut self,
        keywords: &'a Map<String, Value>,
        members: &Map<String, Value>,
        at: At<'_>,
        errors: &mut Vec<String>,
    ) {
        let named = keywords.get("properties").and_then(Value::as_object);
        let patterned = keywords.get("patternProperties").and_then(Value::as_object);
        let others = keywords.get("additionalProperties");
        for (name, value) in members {
            let place = within(at.place, name);
            let here = At {
                place: &place,
                ..at
            };
            let mut known = false;
            if let Some(schema) = named.and_then(|named| named.get(name)) {
                known = true;
                self.schema(schema, value, here, errors);
            }
            for (pattern, schema) in patterned.into_iter().flatten() {
                if self.matches(pattern, name) {
                    known = true;
                    self.schema(schema, value, here, errors);
                }
            }
            match others {
                Some(Value::Bool(false)) if !known => {
                    here.fail(errors, "a property of this name is not allowed");
                }
                Some(schema) if !known => self.schema(schema, value, here, errors),
                _ => {}
            }
        }
    }

    fn items(
        &mut self,
        keywords: &'a Map<String, Value>,
        items: &[Value],
        at: At<'_>,
        errors: &mut Vec<String>,
    ) {
        let first = keywords.get("prefixItems").and_then(Value::as_array);
        let first = first.map_or(&[][..], Vec::as_slice);
        let rest = keywords.get("items");
        for (index, value) in items.iter().enumerate() {
            if let Some(schema) = first.get(index).or(rest) {
                let place = within(at.place, &index.to_string());
                let here = At {
                    place: &place,
                    ..at
                };
                self.schema(schema, value, here, errors);
            }
        }
    }

    /// What an expression that does not run says is no match, and stops the check.
    fn matches(&mut self, pattern: &str, text: &str) -> bool {
        let found = self
            .schema
            .patterns
            .get(pattern)
            .and_then(|matcher| matcher.is_match(text.as_bytes()).ok());
        if found.is_none() {
            self.stopped = Some("it cannot be checked: a pattern of the schema does not run");
        }
        found.unwrap_or(false)
    }

    /// The keywords that say something of the value itself. Gives what is wrong.
    fn misfit(&mut self, keyword: &str, wanted: &Value, value: &Value) -> Option<String> {
        let wrong = match keyword {
            "type" => !match wanted {
                Value::Array(names) => names.iter().any(|name| is(value, name)),
                name => is(value, name),
            },
            "const" => number::canonical(wanted) != number::canonical(value),
            "enum" => {
                let value = number::canonical(value);
                !wanted
                    .as_array()?
                    .iter()
                    .any(|one| number::canonical(one) == value)
            }
            "required" => {
                let members = value.as_object()?;
                let missing: Vec<&str> = wanted
                    .as_array()?
                    .iter()
                    .filter_map(Value::as_str)
                    .filter(|name| !members.contains_key(*name))
                    .collect();
                return (!missing.is_empty())
                    .then(|| format!("required but missing: '{}'", missing.join("', '")));
            }
            "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" => {
                outside(keyword, value.as_number()?, wanted.as_number()?)
            }
            "multipleOf" => !number::multiple(value.as_number()?, wanted.as_number()?),
            "pattern" => !self.matches(wanted.as_str()?, value.as_str()?),
            "minLength" => below(value.as_str()?.chars().count(), wanted),
            "maxLength" => above(value.as_str()?.chars().count(), wanted),
            "minItems" => below(value.as_array()?.len(), wanted),
            "maxItems" => above(value.as_array()?.len(), wanted),
            "minProperties" => below(value.as_object()?.len(), wanted),
            "maxProperties" => above(value.as_object()?.len(), wanted),
            "uniqueItems" if wanted == &Value::Bool(true) => {
                let mut seen = HashSet::new();
                let items = value.as_array()?;
                !items
                    .iter()
                    .all(|item| seen.insert(number::canonical(item)))
            }
            _ => false,
        };
        wrong.then(|| {
            // The value comes second, so that the cut never takes what is asked.
            let quoted: String = value.to_string().chars().take(LONGEST / 3).collect();
            format!("{keyword} has to be {wanted}, but this is {quoted}")
        })
    }
}

fn is(value: &Value, name: &Value) -> bool {
    match name.as_str() {
        Some("array") => value.is_array(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.as_number().is_some_and(number::whole),
        Some("null") => value.is_null(),
        Some("number") => value.is_number(),
        Some("object") => value.is_object(),
        Some("string") => value.is_string(),
        _ => false,
    }
}

fn outside(keyword: &str, value: &Number, bound: &Number) -> bool {
    let order = number::compare(value, bound);
    !match keyword {
        "minimum" => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
        "maximum" => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        "exclusiveMinimum" => order == Some(Ordering::Greater),
        _ => order == Some(Ordering::Less),
    }
}

fn below(count: usize, wanted: &Value) -> bool {
    wanted.as_u64().is_none_or(|wanted| (count as u64) < wanted)
}

fn above(count: usize, wanted: &Value) -> bool {
    wanted.as_u64().is_none_or(|wanted| (count as u64) > wanted)
}
