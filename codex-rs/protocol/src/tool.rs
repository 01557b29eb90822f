//! Tools: what the model can call.

use std::future::Future;
use std::pin::Pin;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::Content;
use crate::permission::Permissions;
use crate::record::RecordError;

/// A boxed future, so that traits with async methods can be used as objects.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// How a tool takes its arguments.
#[derive(Clone, Debug, PartialEq)]
pub enum ToolInput {
    /// A JSON object that fits this JSON Schema.
    Json(Value),
    /// Plain text, for providers that have such tools; others get one string property, `input`.
    Text,
}

/// What the model is told about a tool.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolSpec {
    /// The name that the model calls.
    pub name: String,
    /// What it does, for the model.
    pub description: String,
    /// What it takes.
    pub input: ToolInput,
}

impl ToolSpec {
    /// The same tool with its required parameters alone: small models get lost in optional ones.
    #[must_use]
    pub fn compact(mut self) -> Self {
        if let ToolInput::Json(schema) = &mut self.input {
            let required = schema
                .get("required")
                .and_then(Value::as_array)
                .cloned()
                .unwrap_or_default();
            if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
                properties.retain(|name, _| required.iter().any(|r| r == name));
            }
        }
        self
    }
}

/// The model's call of a tool, complete: no fragment ever becomes one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The provider's id of the call, which its output has to name.
    pub call_id: String,
    /// The tool's name, as the model wrote it.
    pub name: String,
    /// The arguments as the model wrote them: JSON text, or plain text for a text tool.
    pub arguments: String,
    /// Whether the model called it as a text tool, so that its output goes back in that form.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub text: bool,
}

/// What goes back to the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolOutput {
    /// The text, already cut to size.
    pub text: String,
    /// Whether the call did what it was meant to.
    pub success: bool,
}

/// Whether calls of a tool may run beside one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It changes nothing.
    ReadOnly,
    /// It may change something, so it runs alone and in order.
    Writes,
}

/// A call that could not be answered because the log cannot be written: the run must end.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Fatal(#[from] pub RecordError);

/// Something the model can call. Built-in tools, MCP servers and plugins all stand behind it.
pub trait Tool: Send + Sync {
    /// What the model is told about it.
    fn spec(&self) -> ToolSpec;

    /// Whether calls may run beside one another.
    fn access(&self) -> Access;

    /// Answers a call. Dropping the future ends what it started, or leaves that to [`Tool::end`]. A tool acts only through
    /// `permissions`, tells the front end about its step, and answers whatever the arguments are:
    /// what it cannot do it says.
    ///
    /// # Errors
    /// [`Fatal`] alone; everything else is an answer to the model.
    fn call<'a>(
        &'a self,
        call: &'a ToolCall,
        permissions: &'a Permissions,
    ) -> BoxFuture<'a, Result<ToolOutput, Fatal>>;

    /// Gives, once, what the calls since the last time want shown to the model beside their
    /// outputs, in order: images, which not every provider takes within an output. In the
    /// conversation it follows the outputs of all calls of an answer.
    fn take_shown(&self) -> Vec<Content> {
        Vec::new()
    }

    /// Whether what calls start keeps rights of its own, which do not change with those that later
    /// calls are given: agents do.
    fn keeps_rights(&self) -> bool {
        false
    }

    /// Ends what was started by calls and outlasted them, and records how it ended. Called when
    /// the session ends, however it does.
    ///
    /// # Errors
    /// [`Fatal`] when that could not be recorded; everything is ended all the same.
    fn end(&self) -> BoxFuture<'_, Result<(), Fatal>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_compact_tool_has_its_required_parameters_alone() {
        let spec = ToolSpec {
            name: "shell".to_owned(),
            description: String::new(),
            input: ToolInput::Json(json!({
                "type": "object",
                "properties": { "command": { "type": "string" }, "timeout_ms": { "type": "integer" } },
                "required": ["command"]
            })),
        };
        let ToolInput::Json(schema) = spec.compact().input else {
            panic!()
        };
        assert_eq!(
            schema["properties"],
            json!({ "command": { "type": "string" } })
        );
    }
}
