//! Model providers: the built-in ones, and what configuration makes of them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::environment::{
    ANTHROPIC_API_KEY, ANTHROPIC_BASE_URL, CODEX_API_KEY, OPENAI_API_KEY, OPENAI_BASE_URL,
};
use super::tree::Section;
use super::words::WireApi;

/// Codex's defaults: how often a request and an answer are tried again, and how long an answer
/// may be silent.
const REQUEST_RETRIES: u64 = 4;
const STREAM_RETRIES: u64 = 5;
const STREAM_IDLE_MS: u64 = 300_000;

/// A provider that can be reached. Not `Debug`: it holds secrets.
#[derive(Clone, PartialEq)]
pub(crate) struct Provider {
    /// What people see.
    pub(crate) display_name: String,
    /// With the version, without a slash at the end. `None` where a configured provider lacks it;
    /// such a one cannot be chosen.
    pub(crate) base_url: Option<String>,
    /// The variables that may hold the key; the first that is set does. Empty: no key is sent.
    pub(crate) env_keys: Vec<String>,
    /// How to get a key.
    pub(crate) env_key_instructions: Option<String>,
    /// The key itself, where the configuration holds it. Secret.
    pub(crate) bearer_token: Option<String>,
    /// The protocol.
    pub(crate) wire_api: WireApi,
    /// Headers. Secret.
    pub(crate) http_headers: BTreeMap<String, String>,
    /// Headers, and the variable that holds each one's value.
    pub(crate) env_http_headers: BTreeMap<String, String>,
    /// Parameters of every URL. Secret: some services take keys in them.
    pub(crate) query_params: BTreeMap<String, String>,
    /// Times that a failed request is tried again.
    pub(crate) request_max_retries: u64,
    /// Times that an answer which broke off is asked for again.
    pub(crate) stream_max_retries: u64,
    /// How long an answer may be silent before it counts as broken off.
    pub(crate) stream_idle_timeout: Duration,
    /// The model to ask where none is chosen.
    pub(crate) default_model: Option<&'static str>,
    /// The variable that says where it is, for error texts.
    pub(crate) base_url_variable: Option<&'static str>,
    /// What starts it, for error texts, where it is a local server.
    pub(crate) start_command: Option<&'static str>,
}

struct BuiltIn {
    name: &'static str,
    display_name: &'static str,
    base_url: &'static str,
    env_keys: &'static [&'static str],
    wire_api: WireApi,
    default_model: Option<&'static str>,
    base_url_variable: Option<&'static str>,
    start_command: Option<&'static str>,
}

/// The providers that need no configuration, in the order in which they are tried.
const BUILT_IN: &[BuiltIn] = &[
    BuiltIn {
        name: "openai",
        display_name: "OpenAI",
        base_url: "https://api.openai.com/v1",
        env_keys: OPENAI_KEYS,
        wire_api: WireApi::Responses,
        default_model: Some("gpt-5.5"),
        base_url_variable: Some(OPENAI_BASE_URL),
        start_command: None,
    },
    BuiltIn {
        name: "anthropic",
        display_name: "Anthropic",
        base_url: "https://api.anthropic.com/v1",
        env_keys: &[ANTHROPIC_API_KEY],
        wire_api: WireApi::Messages,
        default_model: Some("claude-sonnet-4-5"),
        base_url_variable: Some(ANTHROPIC_BASE_URL),
        start_command: None,
    },
    BuiltIn {
        name: "ollama",
        display_name: "Ollama",
        base_url: "http://127.0.0.1:11434/v1",
        env_keys: &[],
        wire_api: WireApi::Chat,
        default_model: None,
        base_url_variable: None,
        start_command: Some("ollama serve"),
    },
    BuiltIn {
        name: "lmstudio",
        display_name: "LM Studio",
        base_url: "http://127.0.0.1:1234/v1",
        env_keys: &[],
        wire_api: WireApi::Chat,
        default_model: None,
        base_url_variable: None,
        start_command: Some("lms server start"),
    },
    BuiltIn {
        name: "llamacpp",
        display_name: "llama.cpp",
        base_url: "http://127.0.0.1:8080/v1",
        env_keys: &[],
        wire_api: WireApi::Chat,
        default_model: None,
        base_url_variable: None,
        start_command: Some("llama-server -m MODEL.gguf"),
    },
];

const OPENAI_KEYS: &[&str] = &[OPENAI_API_KEY, CODEX_API_KEY];

/// The built-in providers' names, in the order in which they are tried where none is chosen.
pub(crate) fn built_in_names() -> impl Iterator<Item = &'static str> {
    BUILT_IN.iter().map(|provider| provider.name)
}

/// The built-in providers with what `configured` changes, and the configured ones.
pub(super) fn settle(configured: Section<'_>) -> BTreeMap<String, Provider> {
    let built_in = BUILT_IN.iter().map(|built_in| {
        let section = configured.section(built_in.name);
        (
            built_in.name.to_owned(),
            provider(built_in.name, Some(built_in), section),
        )
    });
    let others = configured
        .tables()
        .filter(|(name, _)| !built_in_names().any(|own| own == *name))
        .map(|(name, section)| (name.to_owned(), provider(name, None, section)));
    built_in.chain(others).collect()
}

fn provider(name: &str, built_in: Option<&BuiltIn>, section: Section<'_>) -> Provider {
    let env_keys = match section.text("env_key") {
        Some(key) => vec![key],
        None => {
            let openai = section.switch("requires_openai_auth") == Some(true);
            let own: &[&str] = built_in.map_or(&[], |built_in| built_in.env_keys);
            let keys = if openai { OPENAI_KEYS } else { own };
            keys.iter().map(|key| (*key).to_owned()).collect()
        }
    };
    Provider {
        display_name: section.text("name").unwrap_or_else(|| {
            built_in
                .map_or(name, |built_in| built_in.display_name)
                .to_owned()
        }),
        base_url: section
            .text("base_url")
            .or_else(|| built_in.map(|built_in| built_in.base_url.to_owned())),
        env_keys,
        env_key_instructions: section.text("env_key_instructions"),
        bearer_token: section.text("experimental_bearer_token"),
        wire_api: section
            .word("wire_api", WireApi::from_word)
            .unwrap_or(built_in.map_or(WireApi::Responses, |built_in| built_in.wire_api)),
        http_headers: section.map("http_headers"),
        env_http_headers: section.map("env_http_headers"),
        query_params: section.map("query_params"),
        request_max_retries: section
            .whole("request_max_retries")
            .unwrap_or(REQUEST_RETRIES),
        stream_max_retries: section
            .whole("stream_max_retries")
            .unwrap_or(STREAM_RETRIES),
        stream_idle_timeout: Duration::from_millis(
            section
                .whole("stream_idle_timeout_ms")
                .unwrap_or(STREAM_IDLE_MS),
        ),
        default_model: built_in.and_then(|b| b.default_model),
        base_url_variable: built_in.and_then(|b| b.base_url_variable),
        start_command: built_in.and_then(|b| b.start_command),
    }
}
