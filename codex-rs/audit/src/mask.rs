//! What keeps secrets, names of people and terminal escapes out of the log, and out of whatever
//! else shows the same texts.
//!
//! Three things happen to a text, in this order:
//!
//! 1. control characters, escape sequences and characters that are invisible or turn the reading
//!    direction become visible: `\u{1b}`;
//! 2. what looks like a secret becomes `[REDACTED]`, the person's home `[HOME]`, and the name in
//!    another home `[USER]`;
//! 3. what is too long is cut, which shows as `…[+N bytes]`.
//!
//! Masking a masked text changes nothing. The work is linear in the length of the text, of which
//! 64 KiB are looked at and 4 KiB kept.
//!
//! Secrets are found by their own shape (the table in `mask/tokens.rs`), by the name in front of them
//! (`--token X`, `API_KEY=X`, `password: X`, `?sig=X`; words in `mask/names.rs`), as credentials in a
//! URL, and as PEM private keys. A secret without any of these, such as one that stands alone as
//! an argument, cannot be told from other text.

mod names;
mod scan;
mod tokens;
mod visible;

use std::borrow::Cow;
use std::path::Path;

use serde_json::{Map, Value};

/// Stands for a secret.
pub const REDACTED: &str = "[REDACTED]";
/// Stands for the person's home directory.
pub const HOME: &str = "[HOME]";
/// Stands for the name in the path of another home directory.
pub const USER: &str = "[USER]";

/// Longest text that is kept, in bytes.
pub const MAX_TEXT: usize = 4 << 10;
/// Most bytes of text that are kept of one `detail`, over all its strings and keys.
pub const MAX_DETAIL: usize = 64 << 10;
/// Most values in one array or object.
pub const MAX_ENTRIES: usize = 256;
/// Most values in one `detail`, over all its arrays and objects.
pub const MAX_VALUES: usize = 4096;
/// Deepest nesting of a `detail`.
pub const MAX_DEPTH: usize = 16;

/// Longest key of an object that is kept, in bytes.
const MAX_KEY: usize = 256;
/// Longest text that is looked at.
const MAX_INPUT: usize = 64 << 10;
/// The longest `…[+N bytes]`.
const MARKER: usize = "…[+18446744073709551615 bytes]".len();
/// Most passes over a text. The last one finds nothing to change: that is what makes masking
/// final. Three sufficed for each of 30,000 random texts made of what the rules look for; a text
/// that needs more than this is made to fool the masker, and is masked as a whole.
const ROUNDS: usize = 5;

/// Masks texts for one person.
#[derive(Clone, Debug, Default)]
pub struct Masker {
    /// The home directory, without a slash at its end.
    home: Option<String>,
}

impl Masker {
    /// A masker that shows `home` as `[HOME]`. A home that is not absolute, or `/`, is none.
    #[must_use]
    pub fn new(home: Option<&Path>) -> Self {
        let home = home.filter(|h| h.is_absolute()).map(|home| {
            let home = home.to_string_lossy();
            let home = visible::escape(&home).unwrap_or_else(|| home.into_owned());
            home.trim_end_matches('/').to_owned()
        });
        Self {
            home: home.filter(|h| !h.is_empty()),
        }
    }

    /// `text` without secrets, in at most [`MAX_TEXT`] bytes.
    #[must_use]
    pub fn mask<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.mask_to(text, MAX_TEXT)
    }

    /// `text` without secrets, in at most `limit` bytes (64 at least).
    #[must_use]
    pub fn mask_to<'t>(&self, text: &'t str, limit: usize) -> Cow<'t, str> {
        let limit = limit.max(2 * MARKER);
        let (text, mut left_out) = head(text);
        let mut text = Cow::Borrowed(text);
        for _ in 0..ROUNDS {
            match self.once(&text, limit, left_out) {
                Some(masked) => text = Cow::Owned(masked),
                None => return text,
            }
            left_out = 0;
        }
        Cow::Borrowed(REDACTED)
    }

    /// `None`: nothing is to change.
    fn once(&self, text: &str, limit: usize, left_out: usize) -> Option<String> {
        let escaped = visible::escape(text);
        let visible = escaped.as_deref().unwrap_or(text);
        let masked = scan::scan(visible, self.home.as_deref());
        let shown = masked.as_deref().unwrap_or(visible);
        cut(shown, limit, left_out).or(masked).or(escaped)
    }

    /// The arguments of a command, each masked, where one can tell what the next one is.
    #[must_use]
    pub fn mask_argv<S: AsRef<str>>(&self, argv: &[S]) -> Vec<String> {
        let mut masked = Vec::with_capacity(argv.len().min(MAX_ENTRIES));
        let mut before = "";
        for (n, argument) in argv.iter().map(AsRef::as_ref).enumerate() {
            if n + 1 == MAX_ENTRIES && argv.len() > MAX_ENTRIES {
                masked.push(more_entries(argv.len() - n));
                break;
            }
            masked.push(self.argument(before, argument, MAX_TEXT).into_owned());
            before = argument;
        }
        masked
    }

    fn argument<'t>(&self, before: &str, argument: &'t str, limit: usize) -> Cow<'t, str> {
        match names::value_of_flag(before) {
            Some(names::Value::Secret) if !argument.is_empty() => Cow::Borrowed(REDACTED),
            Some(names::Value::UserAndPassword) => match names::user_of(argument) {
                Some(user) => Cow::Owned(format!("{}:{REDACTED}", self.mask_to(user, limit))),
                None => self.mask_to(argument, limit),
            },
            _ => self.mask_to(argument, limit),
        }
    }

    /// `detail` with every text in it masked, and bounded in every direction. What is left out
    /// shows.
    #[must_use]
    pub fn mask_detail(&self, detail: &Value) -> Value {
        self.mask_detail_to(detail, MAX_TEXT, MAX_DETAIL)
    }

    /// As [`Masker::mask_detail`], with `text` bytes of each text and `bytes` of all of them.
    #[must_use]
    pub fn mask_detail_to(&self, detail: &Value, text: usize, bytes: usize) -> Value {
        let mut room = Room {
            text,
            bytes,
            values: MAX_VALUES,
        };
        self.value(detail, &mut room, 0)
    }

    fn value(&self, value: &Value, room: &mut Room, depth: usize) -> Value {
        match value {
            Value::String(text) => Value::String(room.take(self.mask_to(text, room.text))),
            Value::Array(list) if depth < MAX_DEPTH => self.array(list, room, depth),
            Value::Object(map) if depth < MAX_DEPTH => self.object(map, room, depth),
            Value::Array(_) | Value::Object(_) => Value::String("…[nested too deeply]".to_owned()),
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        }
    }

    fn array(&self, list: &[Value], room: &mut Room, depth: usize) -> Value {
        let mut masked = Vec::new();
        let mut before = "";
        for (n, value) in list.iter().enumerate() {
            if !room.enter(n, list.len()) {
                masked.push(Value::String(more_entries(list.len() - n)));
                break;
            }
            let text = value.as_str();
            masked.push(match text {
                Some(text) => Value::String(room.take(self.argument(before, text, room.text))),
                None => self.value(value, room, depth + 1),
            });
            before = text.unwrap_or_default();
        }
        Value::Array(masked)
    }

    fn object(&self, map: &Map<String, Value>, room: &mut Room, depth: usize) -> Value {
        let mut masked = Map::new();
        for (n, (key, value)) in map.iter().enumerate() {
            if !room.enter(n, map.len()) {
                masked.insert("…".to_owned(), Value::String(more_entries(map.len() - n)));
                break;
            }
            let secret = names::is_secret(key)
                && match value {
                    Value::Null | Value::Bool(_) => false,
                    Value::String(text) => !text.is_empty(),
                    Value::Number(_) | Value::Array(_) | Value::Object(_) => true,
                };
            let value = if secret {
                Value::String(REDACTED.to_owned())
            } else {
                self.value(value, room, depth + 1)
            };
            masked.insert(room.take(self.mask_to(key, MAX_KEY)), value);
        }
        Value::Object(masked)
    }
}

/// What is left of the bounds of one `detail`.
struct Room {
    /// Longest text.
    text: usize,
    bytes: usize,
    values: usize,
}

impl Room {
    /// Whether the `n`th of `len` values still fits. Where not all do, the last place is for the
    /// note that says so.
    fn enter(&mut self, n: usize, len: usize) -> bool {
        let fits = n + usize::from(len > MAX_ENTRIES) < MAX_ENTRIES && self.values > 0;
        self.values = self.values.saturating_sub(1);
        fits
    }

    fn take(&mut self, text: Cow<'_, str>) -> String {
        if text.len() > self.bytes {
            return format!("…[+{} bytes]", text.len());
        }
        self.bytes -= text.len();
        text.into_owned()
    }
}

fn more_entries(n: usize) -> String {
    format!("…[+{n} entries]")
}

/// As much of `text` as is looked at, and how many bytes are not. Ends between two words if it
/// can, so that no secret is halved and then not recognized.
fn head(text: &str) -> (&str, usize) {
    if text.len() <= MAX_INPUT {
        return (text, 0);
    }
    let head = &text[..text.floor_char_boundary(MAX_INPUT)];
    let end = head.rfind(char::is_whitespace).unwrap_or(head.len());
    (&head[..end], text.len() - end)
}

/// Cuts `text` to `limit` bytes with the marker. `None`: it fits, and nothing was `left_out`.
fn cut(text: &str, limit: usize, left_out: usize) -> Option<String> {
    if text.len() <= limit && left_out == 0 {
        return None;
    }
    let mut end = text.floor_char_boundary((limit - MARKER).min(text.len()));
    // Half a `[REDACTED]` would be taken for text.
    let last = text.floor_char_boundary(end.saturating_sub(REDACTED.len()));
    if end < text.len()
        && let Some(open) = text[last..end].rfind('[')
        && !text[last + open..end].contains(']')
    {
        end = last + open;
    }
    let dropped = text.len() - end + left_out;
    Some(format!("{}…[+{dropped} bytes]", &text[..end]))
}

#[cfg(test)]
mod tests;
