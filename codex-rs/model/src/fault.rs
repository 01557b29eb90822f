//! One failed attempt: what kind of failure, whether it passes, and what a person can do.

use std::time::Duration;

use codex_http::HttpError;
use codex_protocol::model::ModelErrorKind;

use crate::error_body::ErrorBody;

/// Whether the same request may succeed later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retry {
    /// It will not.
    Never,
    /// It may, after the time that the server asks for, if it does.
    After(Option<Duration>),
}

/// What a person can do about a failure. The words depend on the provider: see `explain`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Advice {
    /// The reason already says it.
    InReason,
    /// Give a key.
    MissingKey,
    /// Give another key.
    WrongKey,
    /// Start the server, or say where it is.
    Server,
    /// Check where requests go.
    Address,
    /// Check where requests go and which wire they use.
    BaseUrl,
    /// Check the model's name and where requests go.
    Model,
    /// Look at the account.
    Quota,
    /// Shorten the conversation.
    Shorten,
    /// Wait.
    Later,
    /// Change the request.
    Request,
}

/// One failed attempt. The reason may quote the server at length, and nothing has been removed
/// from it yet: only `explain` makes text for people.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fault {
    pub(crate) kind: ModelErrorKind,
    pub(crate) reason: String,
    pub(crate) retry: Retry,
    pub(crate) advice: Advice,
}

impl Fault {
    pub(crate) fn new(
        kind: ModelErrorKind,
        reason: impl Into<String>,
        retry: Retry,
        advice: Advice,
    ) -> Self {
        Self {
            kind,
            reason: reason.into(),
            retry,
            advice,
        }
    }

    /// The stream ended before the wire's last event.
    pub(crate) fn cut() -> Self {
        Self::new(
            ModelErrorKind::Network,
            "the stream ended before the answer was complete",
            Retry::After(None),
            Advice::Later,
        )
    }

    /// The stream holds what the wire does not allow. Transmission errors look like this, so it
    /// is worth another attempt.
    pub(crate) fn malformed(what: impl Into<String>) -> Self {
        Self::new(
            ModelErrorKind::Protocol,
            what,
            Retry::After(None),
            Advice::BaseUrl,
        )
    }

    /// The HTTP layer gave no response, or no further piece of its body.
    pub(crate) fn http(error: &HttpError, in_stream: bool) -> Self {
        let (kind, advice) = match error {
            HttpError::Refused { .. } => (ModelErrorKind::Network, Advice::Server),
            HttpError::Dns { .. } | HttpError::ConnectTimeout { .. } => {
                (ModelErrorKind::Network, Advice::Address)
            }
            HttpError::Protocol { .. } => (ModelErrorKind::Protocol, Advice::BaseUrl),
            HttpError::BadUrl { .. } | HttpError::BadHeader { .. } | HttpError::BadProxy { .. } => {
                (ModelErrorKind::Rejected, Advice::InReason)
            }
            _ => (ModelErrorKind::Network, Advice::InReason),
        };
        // Broken framing in the middle of a good answer is a transmission error; in place of an
        // answer it means that no HTTP server is there.
        let passes =
            error.is_transient() || (in_stream && matches!(error, HttpError::Protocol { .. }));
        let reason = match error {
            HttpError::Refused { target } => format!("{target} refused the connection"),
            other => other.to_string(),
        };
        let retry = if passes {
            Retry::After(None)
        } else {
            Retry::Never
        };
        Self::new(kind, reason, retry, advice)
    }

    /// An HTTP status other than 2xx. `asked` is what the response's headers ask to wait.
    pub(crate) fn status(status: u16, body: &ErrorBody, asked: Option<Duration>) -> Self {
        let reason = match body.message.as_str() {
            "" => format!("status {status}"),
            message => format!("status {status}: {message}"),
        };
        let retry = Retry::After(asked.or_else(|| hinted_wait(&body.message)));
        let class = match Class::of(body) {
            // A status that says clearly what it means counts more than a general code.
            Some(class @ (Class::Quota | Class::Context | Class::Model)) => class,
            _ => match status {
                401 | 403 => Class::Key,
                402 => Class::Quota,
                404 | 405 => Class::Model,
                413 => Class::Context,
                429 => Class::Rate,
                // 409 is a conflict with another request of the same account, which passes.
                408 | 409 | 500.. => Class::Server,
                300..=399 => {
                    return Self::new(
                        ModelErrorKind::Rejected,
                        format!("{reason}, a redirect, which is not followed with a key"),
                        Retry::Never,
                        Advice::BaseUrl,
                    );
                }
                _ => Class::Request,
            },
        };
        class.fault(reason, retry)
    }

    /// The provider reports a failure within its stream. `what` says which event did.
    pub(crate) fn reported(what: &str, body: &ErrorBody) -> Self {
        let message = match body.message.as_str() {
            "" => "no reason given",
            message => message,
        };
        let code = body.codes.first().map(|code| format!(" ({code})"));
        let reason = format!("{what}{}: {message}", code.unwrap_or_default());
        let retry = Retry::After(hinted_wait(&body.message));
        // The request was accepted: a failure that nobody explains is the provider's own.
        Class::of(body)
            .unwrap_or(Class::Server)
            .fault(reason, retry)
    }
}

/// What an error code means, on whatever wire it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Quota,
    Context,
    Model,
    Key,
    Rate,
    Server,
    Request,
}

/// Codes and types of the providers' error documents, as their API references list them and as
/// the local servers' sources have them.
const CODES: &[(Class, &[&str])] = &[
    (
        Class::Quota,
        &[
            "insufficient_quota",
            "usage_limit_reached",
            "usage_not_included",
            "billing_hard_limit_reached",
            "billing_not_active",
            "billing_error",
        ],
    ),
    (
        Class::Context,
        &[
            "context_length_exceeded",
            "exceed_context_size_error",
            "request_too_large",
        ],
    ),
    (
        Class::Model,
        &["model_not_found", "not_found_error", "DeploymentNotFound"],
    ),
    (
        Class::Key,
        &[
            "invalid_api_key",
            "authentication_error",
            "permission_error",
        ],
    ),
    (
        Class::Rate,
        &[
            "rate_limit_exceeded",
            "rate_limit_error",
            "too_many_requests",
        ],
    ),
    (
        Class::Server,
        &[
            "server_error",
            "internal_server_error",
            "api_error",
            "overloaded_error",
            "server_is_overloaded",
            "service_unavailable",
            "slow_down",
            "timeout_error",
        ],
    ),
    (
        Class::Request,
        &[
            "invalid_request_error",
            "invalid_prompt",
            "data_residency_mismatch",
            "bio_policy",
            "cyber_policy",
            "content_policy_violation",
            "invalid_image",
            "invalid_image_format",
            "invalid_base64_image",
            "invalid_image_url",
            "image_too_large",
            "image_too_small",
            "image_parse_error",
            "image_content_policy_violation",
            "invalid_image_mode",
            "image_file_too_large",
            "unsupported_image_media_type",
            "empty_image_file",
        ],
    ),
];

/// Words of messages whose code is only `invalid_request_error`, in lower case: OpenAI and vLLM,
/// llama.cpp, Anthropic, LM Studio.
const CONTEXT_WORDS: &[&str] = &[
    "maximum context length",
    "context window",
    "available context size",
    "prompt is too long",
    "exceeds the context length",
    "context length of only",
];
const QUOTA_WORDS: &[&str] = &["credit balance is too low", "exceeded your current quota"];

impl Class {
    fn of(body: &ErrorBody) -> Option<Self> {
        let by_code = body.codes.iter().find_map(|code| {
            let row = CODES
                .iter()
                .find(|(_, codes)| codes.contains(&code.as_str()));
            row.map(|(class, _)| *class)
        });
        if !matches!(by_code, None | Some(Self::Request | Self::Rate)) {
            return by_code;
        }
        let message = body.message.to_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
        if says(QUOTA_WORDS) {
            Some(Self::Quota)
        } else if by_code != Some(Self::Rate) && says(CONTEXT_WORDS) {
            Some(Self::Context)
        } else {
            by_code
        }
    }

    fn fault(self, reason: String, retry: Retry) -> Fault {
        let (kind, retry, advice) = match self {
            Self::Quota => (ModelErrorKind::RateLimit, Retry::Never, Advice::Quota),
            Self::Context => (
                ModelErrorKind::ContextTooLong,
                Retry::Never,
                Advice::Shorten,
            ),
            Self::Model => (ModelErrorKind::Rejected, Retry::Never, Advice::Model),
            Self::Key => (ModelErrorKind::Auth, Retry::Never, Advice::WrongKey),
            Self::Rate => (ModelErrorKind::RateLimit, retry, Advice::Later),
            Self::Server => (ModelErrorKind::Server, retry, Advice::Later),
            Self::Request => (ModelErrorKind::Rejected, Retry::Never, Advice::Request),
        };
        Fault::new(kind, reason, retry, advice)
    }
}

/// The wait that a message asks for in words, as OpenAI's do where no header can say it: "try
/// again in 1.898s", "… in 20ms", "… in 6m0s", "… in 35 seconds".
fn hinted_wait(message: &str) -> Option<Duration> {
    let lower = message.to_lowercase();
    let (_, mut rest) = lower.split_once("try again in ")?;
    let mut total = None;
    loop {
        let number_end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, after) = rest.split_at(number_end);
        let after = after.trim_start_matches(' ');
        let unit_end = after
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(after.len());
        let (unit, next) = after.split_at(unit_end);
        let seconds = match unit {
            "ms" | "millisecond" | "milliseconds" => 0.001,
            "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
            "m" | "min" | "minute" | "minutes" => 60.0,
            "h" | "hour" | "hours" => 3600.0,
            _ => return total,
        };
        let Ok(number) = number.trim_end_matches('.').parse::<f64>() else {
            return total;
        };
        let wait = Duration::try_from_secs_f64(number * seconds).unwrap_or(Duration::MAX);
        total = Some(total.unwrap_or(Duration::ZERO).saturating_add(wait));
        rest = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ModelErrorKind as Kind;

    fn body(code: &str, message: &str) -> ErrorBody {
        ErrorBody {
            codes: vec![code.to_owned()],
            message: message.to_owned(),
        }
    }

    #[test]
    #[rustfmt::skip]
    fn statuses_and_codes() {
        let passes = Retry::After(None);
        for (status, code, message, kind, retry, advice) in [
            (400, "", "", Kind::Rejected, Retry::Never, Advice::Request),
            (400, "context_length_exceeded", "", Kind::ContextTooLong, Retry::Never, Advice::Shorten),
            (400, "exceed_context_size_error", "", Kind::ContextTooLong, Retry::Never, Advice::Shorten),
            (400, "invalid_request_error", "prompt is too long: 9 > 8", Kind::ContextTooLong, Retry::Never, Advice::Shorten),
            (400, "BadRequestError", "This model's maximum context length is 9", Kind::ContextTooLong, Retry::Never, Advice::Shorten),
            (400, "invalid_request_error", "Your credit balance is too low", Kind::RateLimit, Retry::Never, Advice::Quota),
            (400, "model_not_found", "", Kind::Rejected, Retry::Never, Advice::Model),
            (401, "", "", Kind::Auth, Retry::Never, Advice::WrongKey),
            (402, "", "", Kind::RateLimit, Retry::Never, Advice::Quota),
            (403, "invalid_request_error", "", Kind::Auth, Retry::Never, Advice::WrongKey),
            (404, "", "", Kind::Rejected, Retry::Never, Advice::Model),
            (405, "", "", Kind::Rejected, Retry::Never, Advice::Model),
            (408, "", "", Kind::Server, passes, Advice::Later),
            (409, "", "", Kind::Server, passes, Advice::Later),
            (413, "", "", Kind::ContextTooLong, Retry::Never, Advice::Shorten),
            (422, "", "", Kind::Rejected, Retry::Never, Advice::Request),
            (429, "", "", Kind::RateLimit, passes, Advice::Later),
            (429, "rate_limit_exceeded", "context window", Kind::RateLimit, passes, Advice::Later),
            (429, "insufficient_quota", "", Kind::RateLimit, Retry::Never, Advice::Quota),
            (429, "usage_limit_reached", "", Kind::RateLimit, Retry::Never, Advice::Quota),
            (500, "", "", Kind::Server, passes, Advice::Later),
            (502, "", "", Kind::Server, passes, Advice::Later),
            (503, "", "", Kind::Server, passes, Advice::Later),
            (529, "overloaded_error", "", Kind::Server, passes, Advice::Later),
            (307, "", "", Kind::Rejected, Retry::Never, Advice::BaseUrl),
        ] {
            let fault = Fault::status(status, &body(code, message), None);
            assert_eq!(
                (fault.kind, fault.retry, fault.advice),
                (kind, retry, advice),
                "{status} {code} {message}"
            );
        }
    }

    #[test]
    fn the_header_wins_over_the_message() {
        let body = body("rate_limit_exceeded", "Please try again in 20s.");
        let second = Duration::from_secs(1);
        let asked = Fault::status(429, &body, Some(second)).retry;
        assert_eq!(asked, Retry::After(Some(second)));
        let hinted = Fault::status(429, &body, None).retry;
        assert_eq!(hinted, Retry::After(Some(second * 20)));
    }

    #[test]
    fn failures_in_a_stream() {
        for (code, kind, retries) in [
            ("rate_limit_exceeded", Kind::RateLimit, true),
            ("server_error", Kind::Server, true),
            ("something_new", Kind::Server, true),
            ("insufficient_quota", Kind::RateLimit, false),
            ("context_length_exceeded", Kind::ContextTooLong, false),
            ("invalid_prompt", Kind::Rejected, false),
        ] {
            let fault = Fault::reported("the response failed", &body(code, "m"));
            assert_eq!(
                (fault.kind, fault.retry != Retry::Never),
                (kind, retries),
                "{code}"
            );
            assert_eq!(fault.reason, format!("the response failed ({code}): m"));
        }
    }

    #[test]
    fn waits_in_words() {
        let ms = |ms| Some(Duration::from_millis(ms));
        for (text, expect) in [
            (
                "Rate limit reached. Please try again in 1.898s. Visit",
                ms(1898),
            ),
            ("Try again in 20ms", ms(20)),
            ("try again in 6m0s.", ms(360_000)),
            ("try again in 35 seconds.", ms(35_000)),
            ("try again in 1 minute", ms(60_000)),
            ("try again in a while", None),
            ("try again in 5", None),
            ("try again in 5 apples", None),
            ("try again in 1.2.3s", None),
            ("slow down", None),
            ("try again in 99999999999999999999999h", Some(Duration::MAX)),
        ] {
            assert_eq!(hinted_wait(text), expect, "{text}");
        }
    }
}
