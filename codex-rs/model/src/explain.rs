//! A fault in words, with what to do next. The one place where a failure becomes text that people
//! see, and so the one place that keeps secrets out of it.

use codex_protocol::model::ModelError;

use crate::error_body::cap;
use crate::fault::{Advice, Fault};
use crate::provider::Provider;

/// The bytes of a provider's own words that an error shows.
const SHOWN: usize = 2 * 1024;

/// The bytes that the reason of a retry shows: it is one line among others.
const SHOWN_IN_RETRY: usize = 300;

/// The shortest secret that is removed from texts: shorter ones (a header's `true`, say) are no
/// secrets, and removing them would garble the text.
const SHORTEST_SECRET: usize = 6;

/// What stands where a secret stood.
const REDACTED: &str = "[REDACTED]";

/// The error for people, after `attempts` attempts.
pub(crate) fn error(
    provider: &Provider,
    endpoint: &str,
    fault: &Fault,
    attempts: u32,
) -> ModelError {
    let reason = shown(provider, &fault.reason, SHOWN);
    let mut message = format!("{} ({endpoint}): {reason}", provider.name);
    if attempts > 1 {
        message.push_str(&format!(" (after {attempts} attempts)"));
    }
    if let Some(advice) = advice(provider, fault.advice) {
        message.push_str("; ");
        message.push_str(&advice);
    }
    ModelError {
        kind: fault.kind,
        message,
    }
}

/// The reason of a retry.
pub(crate) fn retry(provider: &Provider, fault: &Fault) -> String {
    shown(provider, &fault.reason, SHOWN_IN_RETRY)
}

/// Removes secrets first and cuts then, so that no cut leaves half a secret.
fn shown(provider: &Provider, reason: &str, limit: usize) -> String {
    let mut text = reason.to_owned();
    for secret in provider.secrets() {
        let secret = secret.expose().trim();
        // A header's value may be a scheme and the key.
        for part in [secret, secret.rsplit(' ').next().unwrap_or_default()] {
            if part.len() >= SHORTEST_SECRET && text.contains(part) {
                text = text.replace(part, REDACTED);
            }
        }
    }
    cap(&text, limit)
}

fn advice(provider: &Provider, advice: Advice) -> Option<String> {
    let setting = |key: &str| format!("{key} of [model_providers.{}]", provider.name);
    let base_url = match &provider.base_url_variable {
        Some(variable) => variable.clone(),
        None => setting("base_url"),
    };
    let keys = match provider.key_variables.as_slice() {
        [] => setting("env_key"),
        names => names.join(" or "),
    };
    Some(match advice {
        Advice::InReason => return None,
        Advice::MissingKey => format!("set {keys}"),
        Advice::WrongKey if provider.key.is_none() && provider.key_variables.is_empty() => {
            format!(
                "name the variable that holds its key in {}",
                setting("env_key")
            )
        }
        Advice::WrongKey => format!("set {keys} to a key that may use this model"),
        Advice::Server => match &provider.start_command {
            Some(command) => {
                format!("start it with `{command}`, or set {base_url} to where it listens")
            }
            None => format!("check that the server runs, and {base_url}"),
        },
        Advice::Address => format!("check {base_url}"),
        Advice::BaseUrl => format!(
            "check {base_url}, and that its wire_api is `{}`",
            provider.wire.as_str()
        ),
        Advice::Model => format!("check the model's name (-m), and {base_url}"),
        Advice::Quota => {
            "check the plan and billing of this account, or use another provider".to_owned()
        }
        Advice::Shorten => "shorten the conversation with /compact, or start a new one".to_owned(),
        Advice::Later => "try again later".to_owned(),
        Advice::Request => {
            "change what the provider names; `codex config show --origin` lists the settings"
                .to_owned()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Retry;
    use crate::provider::WireApi;
    use codex_http::Secret;
    use codex_protocol::model::ModelErrorKind;

    fn fault(reason: &str, advice: Advice) -> Fault {
        Fault::new(ModelErrorKind::Auth, reason, Retry::Never, advice)
    }

    fn say(provider: &Provider, advice: Advice) -> String {
        error(provider, "E", &fault("R", advice), 1).message
    }

    #[test]
    #[rustfmt::skip]
    fn advice_names_what_to_set() {
        let openai = Provider {
            key_variables: ["OPENAI_API_KEY", "CODEX_API_KEY"].map(str::to_owned).to_vec(),
            base_url_variable: Some("OPENAI_BASE_URL".to_owned()),
            ..Provider::new("openai", "https://h/v1", WireApi::Responses)
        };
        let ollama = Provider {
            start_command: Some("ollama serve".to_owned()),
            ..Provider::new("ollama", "http://h/v1", WireApi::Chat)
        };
        let own = Provider::new("own", "http://h", WireApi::Responses);
        for (provider, advice, expect) in [
            (&openai, Advice::InReason, "openai (E): R"),
            (&openai, Advice::MissingKey, "openai (E): R; set OPENAI_API_KEY or CODEX_API_KEY"),
            (&openai, Advice::WrongKey, "openai (E): R; set OPENAI_API_KEY or CODEX_API_KEY to a key that may use this model"),
            (&openai, Advice::Server, "openai (E): R; check that the server runs, and OPENAI_BASE_URL"),
            (&ollama, Advice::Server, "ollama (E): R; start it with `ollama serve`, or set base_url of [model_providers.ollama] to where it listens"),
            (&own, Advice::Model, "own (E): R; check the model's name (-m), and base_url of [model_providers.own]"),
            (&own, Advice::WrongKey, "own (E): R; name the variable that holds its key in env_key of [model_providers.own]"),
            (&own, Advice::BaseUrl, "own (E): R; check base_url of [model_providers.own], and that its wire_api is `responses`"),
        ] {
            assert_eq!(say(provider, advice), expect);
        }
    }

    #[test]
    fn secrets_are_removed_before_the_text_is_cut() {
        let mut provider = Provider::new("p", "http://h", WireApi::Responses);
        provider.key = Some(Secret::new("sk-0123456789"));
        provider.headers = vec![
            (
                "authorization".to_owned(),
                Secret::new("Bearer other-key-1"),
            ),
            ("x-flag".to_owned(), Secret::new("on")),
        ];
        // The key would be cut in its middle.
        let padding = "x".repeat(SHOWN - 6);
        let reason = format!("{padding}sk-0123456789 on other-key-1");
        let message = error(&provider, "E", &fault(&reason, Advice::InReason), 3).message;
        assert_eq!(
            message,
            format!("p (E): {padding}[REDAC… (after 3 attempts)")
        );

        let short = fault("key sk-0123456789, other-key-1, on", Advice::InReason);
        assert_eq!(retry(&provider, &short), "key [REDACTED], [REDACTED], on");
    }
}
