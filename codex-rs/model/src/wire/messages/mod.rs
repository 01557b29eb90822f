//! The Anthropic Messages API, version 2023-06-01: `POST {base_url}/messages`.
//!
//! Nothing is stored at the provider. Thinking comes back signed and is returned with the next
//! request by its own block, unchanged and in its place: newer models also check that nothing
//! before it has changed.

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
const NAME: &str = "messages";

/// The Messages wire.
pub(crate) struct Messages;

impl Wire for Messages {
    fn path(&self) -> &'static str {
        "messages"
    }

    /// The API's own documents give its base URL without the version, where others' include it:
    /// both are taken.
    fn path_under(&self, base_url: &str) -> &'static str {
        let after_scheme = base_url
            .split_once("://")
            .map_or(base_url, |(_, rest)| rest);
        let last = after_scheme.trim_end_matches('/').rsplit_once('/');
        let version = last.and_then(|(_, segment)| segment.strip_prefix('v'));
        if version.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit())) {
            self.path()
        } else {
            "v1/messages"
        }
    }

    fn key_header(&self) -> KeyHeader {
        KeyHeader {
            name: "x-api-key",
            prefix: "",
        }
    }

    fn headers(&self) -> &'static [(&'static str, &'static str)] {
        &[("anthropic-version", "2023-06-01")]
    }

    fn body(&self, prompt: &Prompt, _provider: &Provider) -> Result<Vec<u8>, serde_json::Error> {
        request::body(prompt)
    }

    fn decoder(&self) -> Box<dyn Decoder> {
        Box::<decode::MessagesDecoder>::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_version_is_added() {
        for (base_url, path) in [
            ("https://api.anthropic.com", "v1/messages"),
            ("https://api.anthropic.com/", "v1/messages"),
            ("https://api.anthropic.com/v1", "messages"),
            ("https://api.anthropic.com/v1/", "messages"),
            ("http://127.0.0.1:1234/v2beta", "messages"),
            ("https://host/anthropic", "v1/messages"),
            ("https://host/v", "v1/messages"),
            ("https://v1", "v1/messages"),
            ("https://host/vertex", "v1/messages"),
        ] {
            assert_eq!(Messages.path_under(base_url), path, "{base_url}");
        }
    }
}
