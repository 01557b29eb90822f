//! Chat Completions: `POST {base_url}/chat/completions`, as OpenAI published it and as Ollama, LM
//! Studio, llama.cpp, vLLM and gateways serve it.
//!
//! The API has one message for all that a model says in a turn, and no items. Reading, its text
//! becomes one item, each call another, and what else the message holds (reasoning in whatever
//! field a server invented for it) a reasoning item before them; writing, they become one message
//! again.

mod calls;
mod decode;
#[cfg(test)]
mod decode_tests;
mod request;
#[cfg(test)]
mod request_tests;

use codex_protocol::model::Prompt;
use serde_json::{Map, Value};

use super::{Decoder, KeyHeader, Wire};
use crate::provider::Provider;

/// This wire's name in [`Native`](codex_protocol::model::Native) items. Their values are an
/// object of the fields that belong to no item: of the message, or of the call.
const NAME: &str = "chat";

/// Fields of a message that its items are made of, or that are not the model's words.
const MESSAGE_FIELDS: &[&str] = &[
    "role",
    "content",
    "refusal",
    "tool_calls",
    "function_call",
    "annotations",
    "audio",
    "obfuscation",
];

/// Fields of a call that its item is made of, or that say only where it stands.
const CALL_FIELDS: &[&str] = &["index", "id", "type", "function"];

/// The Chat Completions wire.
pub(crate) struct Chat;

impl Wire for Chat {
    fn path(&self) -> &'static str {
        "chat/completions"
    }

    fn key_header(&self) -> KeyHeader {
        KeyHeader {
            name: "authorization",
            prefix: "Bearer ",
        }
    }

    fn body(&self, prompt: &Prompt, provider: &Provider) -> Result<Vec<u8>, serde_json::Error> {
        request::body(prompt, provider)
    }

    fn decoder(&self) -> Box<dyn Decoder> {
        Box::<decode::ChatDecoder>::default()
    }
}

/// A call's id made from `seed`: the same for the same seed, on every system, for recordings.
/// FNV-1a of 64 bits, with its published parameters.
fn made_up_id(seed: &str) -> String {
    let hash = seed.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    format!("call_{hash:016x}")
}

/// Whether `text` is a JSON object, which is what a call's arguments have to be.
fn is_object(text: &str) -> bool {
    serde_json::from_str::<Map<String, Value>>(text).is_ok()
}
