//! The proxy's own answers: short, and the same for a person, an agent and a script.

use codex_protocol::decision::Decision;
use hyper::body::Bytes;
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::json;

use crate::body::Reply;

/// The header that tells the proxy's answers from a host's.
const ERROR_HEADER: &str = "x-proxy-error";

/// 403 with the rule, the reason and what would allow it. `target` is masked.
pub(crate) fn denied(decision: &Decision, target: &str, reason: &str) -> Response<Reply> {
    let remedy = decision.remedy.as_ref().map(ToString::to_string);
    let body = json!({
        "v": 1, "error": "denied", "rule": decision.rule, "reason": reason, "remedy": remedy, "target": target,
    });
    own(
        StatusCode::FORBIDDEN,
        &format!("{}: {reason}", decision.rule),
        &body,
    )
}

/// A request that was allowed and came to nothing.
pub(crate) fn failed(
    status: StatusCode,
    error: &str,
    reason: &str,
    target: &str,
) -> Response<Reply> {
    let body = json!({ "v": 1, "error": error, "reason": reason, "target": target });
    own(status, &format!("{error}: {reason}"), &body)
}

fn own(status: StatusCode, line: &str, body: &serde_json::Value) -> Response<Reply> {
    let line: String = line
        .chars()
        .map(|c| {
            if c.is_ascii_graphic() || c == ' ' {
                c
            } else {
                '?'
            }
        })
        .take(1024)
        .collect();
    let mut response = Response::new(Reply::Text(Some(Bytes::from(format!("{body}\n")))));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let json = HeaderValue::from_static("application/json");
    headers.insert(header::CONTENT_TYPE, json);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(value) = HeaderValue::from_str(&line) {
        headers.insert(ERROR_HEADER, value);
    }
    response
}

/// 407, for a client that did not show the run's pass. Some try without one first.
pub(crate) fn unproved(target: &str) -> Response<Reply> {
    let why = "the request shows no credentials of this run: use the proxy's URL with its user and password";
    let mut response = failed(
        StatusCode::PROXY_AUTHENTICATION_REQUIRED,
        "unproved",
        why,
        target,
    );
    let challenge = HeaderValue::from_static("Basic realm=\"codex\"");
    response
        .headers_mut()
        .insert(header::PROXY_AUTHENTICATE, challenge);
    response
}

/// An empty answer that lets a CONNECT begin.
pub(crate) fn connected() -> Response<Reply> {
    Response::new(Reply::Text(None))
}
