//! Text that must not be shown.

use std::fmt;

/// What a [`Secret`] prints.
const REDACTED: &str = "[REDACTED]";

/// A key, token or password. `Debug` and `Display` print `[REDACTED]`, so that a
/// secret that ends up in an error, a log line or a derived `Debug` shows
/// nothing. There is deliberately no `PartialEq`, `Deref` or serialisation:
/// every place that needs the text calls [`Secret::expose`] and can be found.
///
/// The memory is not wiped on drop: the HTTP and TLS layers below copy header
/// values into buffers of their own, so wiping this copy would promise too much.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Wraps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// A secret that starts with `prefix`, for instance `Bearer ` before a key.
    pub fn prefixed(&self, prefix: &str) -> Self {
        Self(format!("{prefix}{}", self.0))
    }

    /// Whether the text is empty, which usually means that nobody set it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_nothing_of_the_text() {
        let secret = Secret::new("sk-abc").prefixed("Bearer ");
        assert_eq!(secret.expose(), "Bearer sk-abc");
        assert_eq!(
            format!("{secret} {secret:?} {secret:#?}"),
            "[REDACTED] [REDACTED] [REDACTED]"
        );
        assert_eq!(format!("{:?}", Some(&secret)), "Some([REDACTED])");
    }
}
