//! What a scripted model says, independent of the wire that carries it.

use serde_json::Value;

/// One thing the scripted model puts out: a message, a tool call, a piece of reasoning.
#[derive(Debug, Clone)]
pub struct Item {
    pub(crate) kind: Kind,
}

#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Message {
        text: String,
    },
    FunctionCall {
        call_id: String,
        name: String,
        arguments: String,
    },
    CustomToolCall {
        call_id: String,
        name: String,
        input: String,
    },
    Reasoning {
        id: String,
        summary: String,
        encrypted_content: String,
    },
    Other(Value),
}

impl Item {
    /// Text of the assistant.
    pub fn message(text: impl Into<String>) -> Self {
        Self::of(Kind::Message { text: text.into() })
    }

    /// A call of a function tool. `arguments` is sent as it is, so that a test can also send what
    /// is not JSON. On the Messages wire it is a `tool_use` block.
    pub fn function_call(
        call_id: impl Into<String>,
        name: impl Into<String>,
        arguments: impl Into<String>,
    ) -> Self {
        Self::of(Kind::FunctionCall {
            call_id: call_id.into(),
            name: name.into(),
            arguments: arguments.into(),
        })
    }

    /// A call of a tool that takes free text. Only the Responses wire has it.
    pub fn custom_tool_call(
        call_id: impl Into<String>,
        name: impl Into<String>,
        input: impl Into<String>,
    ) -> Self {
        Self::of(Kind::CustomToolCall {
            call_id: call_id.into(),
            name: name.into(),
            input: input.into(),
        })
    }

    /// Reasoning. On the Messages wire it is a `thinking` block whose signature is
    /// `encrypted_content`; on the chat wire the `reasoning_content` that local servers send.
    pub fn reasoning(
        id: impl Into<String>,
        summary: impl Into<String>,
        encrypted_content: impl Into<String>,
    ) -> Self {
        Self::of(Kind::Reasoning {
            id: id.into(),
            summary: summary.into(),
            encrypted_content: encrypted_content.into(),
        })
    }

    /// An output item (Responses) or content block (Messages) of any other type, sent unchanged.
    pub fn other(value: Value) -> Self {
        Self::of(Kind::Other(value))
    }

    fn of(kind: Kind) -> Self {
        Self { kind }
    }
}

/// Token counts of one reply, in the Responses API's meaning: `input_tokens` includes
/// `cached_tokens`, `output_tokens` includes `reasoning_tokens`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt, cached ones included.
    pub input_tokens: u64,
    /// Tokens of the prompt that came from the provider's cache.
    pub cached_tokens: u64,
    /// Tokens put out, reasoning included.
    pub output_tokens: u64,
    /// Tokens spent on reasoning.
    pub reasoning_tokens: u64,
}

impl Default for Usage {
    /// Four different figures, so that a mixed-up field shows.
    fn default() -> Self {
        Self {
            input_tokens: 120,
            cached_tokens: 40,
            output_tokens: 30,
            reasoning_tokens: 10,
        }
    }
}

/// `text` in the order a model would stream it: in two pieces at least where it has two
/// characters, in about four characters each, and in 64 at most so that long texts stay quick.
pub(crate) fn pieces(text: &str) -> Vec<&str> {
    let characters = text.chars().count();
    let wanted = characters.div_ceil(4).clamp(2, 64);
    let size = characters.div_ceil(wanted).max(1);
    let mut out = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest
            .char_indices()
            .nth(size)
            .map_or(rest.len(), |(at, _)| at);
        let (piece, after) = rest.split_at(end);
        out.push(piece);
        rest = after;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::pieces;

    #[test]
    fn pieces_join_to_the_text_and_are_several() {
        for text in ["", "a", "ab", "grüße, 世界 🦀", &"x".repeat(10_000)] {
            let parts = pieces(text);
            assert_eq!(parts.concat(), text);
            assert_eq!(parts.len() > 1, text.chars().count() > 1, "{text:.20}");
            assert!(parts.len() <= 64);
        }
    }
}
