//! Where requests go and how: plain data, filled in by the caller.

use std::time::Duration;

use codex_http::{DEFAULT_IDLE_TIMEOUT, Secret};

/// How often a request that did not begin to be answered is made again, unless the provider's
/// configuration says otherwise. Codex's default of `request_max_retries`.
pub const DEFAULT_REQUEST_RETRIES: u32 = 4;

/// How often a request whose answer broke off is made again, unless the provider's configuration
/// says otherwise. Codex's default of `stream_max_retries`.
pub const DEFAULT_STREAM_RETRIES: u32 = 5;

/// How long a stream may be silent, unless the provider's configuration says otherwise. Codex's
/// default of `stream_idle_timeout_ms`.
pub const DEFAULT_STREAM_IDLE_TIMEOUT: Duration = DEFAULT_IDLE_TIMEOUT;

/// The API that a provider speaks: `wire_api` in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireApi {
    /// OpenAI Responses.
    Responses,
    /// Chat Completions, as OpenAI and most local servers have it.
    Chat,
    /// Anthropic Messages.
    Messages,
}

impl WireApi {
    /// Every wire.
    pub const ALL: [Self; 3] = [Self::Responses, Self::Chat, Self::Messages];

    /// Its name in the configuration and in [`Native`](codex_protocol::model::Native) items.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Responses => "responses",
            Self::Chat => "chat",
            Self::Messages => "messages",
        }
    }

    /// The wire of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|wire| wire.as_str() == name)
    }
}

/// A provider of models. `Debug` shows no secret.
#[derive(Clone, Debug)]
pub struct Provider {
    /// Its name in the configuration.
    pub name: String,
    /// Where its API lives, without a query: the wire's path is appended.
    pub base_url: String,
    /// What it speaks.
    pub wire: WireApi,
    /// The environment variables that may hold its key, the preferred one first. When there are
    /// any, a request without a key fails before it is sent, naming them.
    pub key_variables: Vec<String>,
    /// The key.
    pub key: Option<Secret>,
    /// Headers to add to each request. They replace the wire's own; one that carries credentials
    /// makes the key unnecessary.
    pub headers: Vec<(String, Secret)>,
    /// Query parameters to add to each request's URL, not yet encoded.
    pub query: Vec<(String, Secret)>,
    /// The environment variable that overrides `base_url`, for error texts.
    pub base_url_variable: Option<String>,
    /// What starts the server, for error texts, where it is a local one.
    pub start_command: Option<String>,
    /// Whether it takes tools whose input is plain text. Others get a JSON tool instead.
    pub text_tools: bool,
    /// How often a request is made again that failed before its answer began.
    pub request_max_retries: u32,
    /// How often a request is made again whose answer broke off, stalled or was malformed.
    pub stream_max_retries: u32,
    /// How long the server may be silent, before its answer and within it.
    pub stream_idle_timeout: Duration,
}

impl Provider {
    /// A provider that needs no key, with the default retries and timeouts.
    pub fn new(name: impl Into<String>, base_url: impl Into<String>, wire: WireApi) -> Self {
        Self {
            name: name.into(),
            base_url: base_url.into(),
            wire,
            key_variables: Vec::new(),
            key: None,
            headers: Vec::new(),
            query: Vec::new(),
            base_url_variable: None,
            start_command: None,
            // Text tools are a part of this API; the others have none in general use.
            text_tools: wire == WireApi::Responses,
            request_max_retries: DEFAULT_REQUEST_RETRIES,
            stream_max_retries: DEFAULT_STREAM_RETRIES,
            stream_idle_timeout: DEFAULT_STREAM_IDLE_TIMEOUT,
        }
    }

    /// Everything that no text for people may hold.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &Secret> {
        let headers = self.headers.iter().chain(&self.query);
        self.key.iter().chain(headers.map(|(_, value)| value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wires_have_names() {
        for wire in WireApi::ALL {
            assert_eq!(WireApi::parse(wire.as_str()), Some(wire));
        }
        assert_eq!(WireApi::parse("grpc"), None);
    }

    #[test]
    fn debug_shows_no_secret() {
        let mut provider = Provider::new("p", "http://h", WireApi::Responses);
        provider.key = Some(Secret::new("hidden-1"));
        provider
            .headers
            .push(("a".to_owned(), Secret::new("hidden-2")));
        provider
            .query
            .push(("b".to_owned(), Secret::new("hidden-3")));
        assert!(!format!("{provider:?}").contains("hidden"));
        assert_eq!(provider.secrets().count(), 3);
    }
}
