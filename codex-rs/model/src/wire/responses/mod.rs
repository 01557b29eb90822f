//! The OpenAI Responses API, as of its published description: `POST {base_url}/responses`.
//!
//! Nothing is stored at the provider (`store: false`), so reasoning comes back encrypted and is
//! returned with the next request, by its item's own form.

mod decode;
#[cfg(test)]
mod decode_tests;
mod request;
#[cfg(test)]
mod request_tests;

use codex_protocol::model::Prompt;

use super::{Decoder, KeyHeader, Wire};
use crate::provider::Provider;

/// This wire's name in [`Native`](codex_protocol::model::Native) items.
const NAME: &str = "responses";

/// The Responses wire.
pub(crate) struct Responses;

impl Wire for Responses {
    fn path(&self) -> &'static str {
        "responses"
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
        Box::<decode::ResponsesDecoder>::default()
    }
}
