//! The JSON Schema that a turn's last message has to fit.

use std::fmt;

use serde_json::Value;

use crate::schema::Schema;

/// A schema, ready to check messages with. References lead within the schema only: nothing is
/// fetched.
pub struct OutputSchema(Schema);

impl OutputSchema {
    /// Makes a schema ready.
    ///
    /// # Errors
    /// What is wrong with the schema or not supported, and where in it.
    pub fn new(value: Value) -> Result<Self, String> {
        Schema::new(value).map(Self)
    }

    /// The schema as it was given.
    #[must_use]
    pub fn value(&self) -> &Value {
        self.0.value()
    }

    /// Checks a message.
    ///
    /// # Errors
    /// What does not fit and where, a line each.
    pub fn check(&self, message: &str) -> Result<(), String> {
        let value: Value =
            serde_json::from_str(message).map_err(|error| format!("it is not JSON: {error}"))?;
        self.0.check(&value).map_err(|errors| errors.join("\n"))
    }
}

impl fmt::Debug for OutputSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OutputSchema").field(self.value()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_message_is_told_every_error_with_its_place() {
        let schema = OutputSchema::new(json!({
            "type": "object",
            "properties": { "n": { "type": "integer" }, "s": { "$ref": "#/$defs/short" } },
            "required": ["n"],
            "additionalProperties": false,
            "$defs": { "short": { "type": "string", "maxLength": 3 } }
        }))
        .unwrap();
        assert_eq!(schema.check(r#"{"n": 1, "s": "abc"}"#), Ok(()));
        let errors = schema.check(r#"{"n": "x", "s": "abcd"}"#).unwrap_err();
        assert!(
            errors.contains("/n: ") && errors.contains("/s: "),
            "{errors}"
        );
        assert!(schema.check("{").unwrap_err().contains("not JSON"));
    }

    #[test]
    fn a_schema_that_is_none_or_leads_outside_is_refused_with_its_place() {
        let error = OutputSchema::new(json!({ "properties": { "n": { "type": "int" } } }));
        let error = error.unwrap_err();
        assert!(error.contains("/properties/n/type"), "{error}");
        for outside in ["http://127.0.0.1:9/s.json", "file:///etc/hostname"] {
            assert!(OutputSchema::new(json!({ "$ref": outside })).is_err());
        }
    }
}
