//! What an error document says, whoever wrote it.

use serde_json::Value;

/// The bytes of an error document that are read. Gateways' pages stay below it.
pub(crate) const ERROR_BODY_LIMIT: usize = 64 * 1024;

/// The codes and the message of an error document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ErrorBody {
    /// What programs read: `code`, then `type`.
    pub(crate) codes: Vec<String>,
    /// What people read. Not limited, and not yet free of anything secret.
    pub(crate) message: String,
}

impl ErrorBody {
    /// Reads a document: JSON in any of the providers' shapes, HTML, or plain text.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        if let Ok(value @ (Value::Object(_) | Value::Array(_))) = serde_json::from_str(&text) {
            let mut body = Self::from_value(&value);
            if body.message.is_empty() {
                body.message = clean(&value.to_string());
            }
            return body;
        }
        let text = if looks_like_html(&text) {
            html_text(&text)
        } else {
            text.into_owned()
        };
        Self {
            codes: Vec::new(),
            message: clean(&text),
        }
    }

    /// Reads a JSON document: `{"error":{"code","type","message"}}` (OpenAI, Anthropic, llama.cpp,
    /// LM Studio), `{"error":"…"}` (Ollama), `{"message","code"}` (old vLLM, and the `error` event
    /// of the Responses wire), `{"detail":…}` (FastAPI servers), or one of these in an array
    /// (Google). The message is empty where there is none.
    pub(crate) fn from_value(value: &Value) -> Self {
        let value = match value {
            Value::Array(list) => list.first().unwrap_or(&Value::Null),
            other => other,
        };
        let inner = match &value["error"] {
            Value::String(message) => {
                return Self {
                    codes: Vec::new(),
                    message: clean(message),
                };
            }
            error @ Value::Object(_) => error,
            _ => value,
        };
        let codes = ["code", "type"].iter().filter_map(|field| {
            let code = inner[*field].as_str()?;
            // On an envelope, the type only says that this is an error.
            (code != "error").then(|| clean(code))
        });
        let message = ["message", "detail"]
            .iter()
            .find_map(|field| match &inner[*field] {
                Value::String(text) => Some(clean(text)),
                Value::Null => None,
                other => Some(clean(&other.to_string())),
            });
        Self {
            codes: codes.collect(),
            message: message.unwrap_or_default(),
        }
    }
}

/// One line without control characters, so that no terminal obeys a server. Marks that reorder
/// text go too.
pub(crate) fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let reorders = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if c.is_whitespace() {
            if !out.is_empty() && !out.ends_with(' ') {
                out.push(' ');
            }
        } else if !c.is_control() && !reorders {
            out.push(c);
        }
    }
    if out.ends_with(' ') {
        out.pop();
    }
    out
}

/// At most `limit` bytes of `text`, with a mark where something is missing.
pub(crate) fn cap(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(limit);
    format!("{}…", text[..end].trim_end())
}

pub(crate) fn looks_like_html(text: &str) -> bool {
    let start = text.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
    ["<!doctype", "<html", "<head", "<body", "<center", "<h1"]
        .iter()
        .any(|tag| {
            start
                .get(..tag.len())
                .is_some_and(|begin| begin.eq_ignore_ascii_case(tag))
        })
}

/// A page's title, or where it has none, its text.
fn html_text(page: &str) -> String {
    // Lower-casing ASCII only keeps every byte in its place.
    let lower = page.to_ascii_lowercase();
    let title = element(page, &lower, "title").map(str::trim);
    let text = match title {
        Some(title) if !title.is_empty() => title.to_owned(),
        _ => without_tags(page, &lower),
    };
    [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#39;", "'"),
        ("&nbsp;", " "),
        ("&amp;", "&"),
    ]
    .iter()
    .fold(text, |text, (entity, plain)| text.replace(entity, plain))
}

/// What stands between the first `<name …>` and its end.
fn element<'a>(page: &'a str, lower: &str, name: &str) -> Option<&'a str> {
    let tag = lower.find(&format!("<{name}"))?;
    let start = tag + lower.get(tag..)?.find('>')? + 1;
    let end = start + lower.get(start..)?.find(&format!("</{name}"))?;
    page.get(start..end)
}

fn without_tags(page: &str, lower: &str) -> String {
    let mut out = String::new();
    let mut at = 0;
    while let Some(open) = page[at..].find('<').map(|found| at + found) {
        out.push_str(&page[at..open]);
        out.push(' ');
        // What these hold is no text of the page.
        let skipped = ["script", "style"]
            .iter()
            .find(|name| lower[open + 1..].starts_with(**name));
        let close = match skipped {
            Some(name) => lower[open..].find(&format!("</{name}")),
            None => Some(0),
        };
        let end = close.and_then(|close| {
            let from = open + close;
            page[from..].find('>').map(|found| from + found + 1)
        });
        match end {
            Some(end) => at = end,
            None => return out,
        }
    }
    out.push_str(&page[at..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    #[rustfmt::skip]
    fn documents() {
        for (document, codes, message) in [
            (r#"{"error":{"message":"bad","type":"invalid_request_error","param":null,"code":null}}"#, vec!["invalid_request_error"], "bad"),
            (r#"{"error":{"message":"bad","type":"t","code":"c"}}"#, vec!["c", "t"], "bad"),
            (r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#, vec!["overloaded_error"], "Overloaded"),
            (r#"{"type":"error","code":"server_error","message":"m","param":null}"#, vec!["server_error"], "m"),
            (r#"{"error":{"code":400,"message":"m","type":"exceed_context_size_error"}}"#, vec!["exceed_context_size_error"], "m"),
            (r#"{"error":"model 'x' not found"}"#, vec![], "model 'x' not found"),
            (r#"{"object":"error","message":"m","type":"BadRequestError","code":400}"#, vec!["BadRequestError"], "m"),
            (r#"{"detail":"Not Found"}"#, vec![], "Not Found"),
            (r#"{"detail":[{"loc":["body"],"msg":"field required"}]}"#, vec![], r#"[{"loc":["body"],"msg":"field required"}]"#),
            (r#"[{"error":{"code":404,"message":"m","status":"NOT_FOUND"}}]"#, vec![], "m"),
            (r#"{"why":"unknown shape"}"#, vec![], r#"{"why":"unknown shape"}"#),
            ("[]", vec![], "[]"),
            ("", vec![], ""),
            ("upstream\r\n  connect\terror\u{1b}[2J\u{202e}", vec![], "upstream connect error[2J"),
            ("<html>\r\n<head><title>502 Bad Gateway</title></head><body>x</body></html>", vec![], "502 Bad Gateway"),
            ("<!DOCTYPE html><title lang=en>\n A &amp; B </title>", vec![], "A & B"),
            ("<html><style>p{}</style><body><h1>No</h1><script>if(a<b){}</script><p>such page", vec![], "No such page"),
            ("<html><script>never closed", vec![], ""),
            ("<html", vec![], ""),
        ] {
            let body = ErrorBody::parse(document.as_bytes());
            assert_eq!(body.codes, codes, "{document}");
            assert_eq!(body.message, message, "{document}");
        }
    }

    #[test]
    fn a_cap_falls_between_characters() {
        assert_eq!(cap("héé", 2), "h…");
        assert_eq!(cap("héé", 3), "hé…");
        assert_eq!(cap("héé", 5), "héé");
    }

    proptest! {
        #[test]
        fn any_document_is_read_without_panic(text in "(<[a-zA-Z!/]{0,7}>?|[a-zé \u{1b}]|title|script|>){0,30}") {
            let body = ErrorBody::parse(text.as_bytes());
            prop_assert!(!body.message.contains(char::is_control));
            let _ = ErrorBody::parse(format!("<html>{text}").as_bytes());
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let body = ErrorBody::parse(&bytes);
            prop_assert!(!body.message.contains(char::is_control));
        }
    }
}
