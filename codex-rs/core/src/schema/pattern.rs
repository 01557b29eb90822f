//! Regular expressions: ECMAScript's, as JSON Schema wants them, in the engine that `search` uses.
//! What the two read differently is rewritten, or refused.

use grep_regex::{RegexMatcher, RegexMatcherBuilder};

/// How much memory a compiled expression may take, in bytes.
const LARGEST: usize = 1024 * 1024;

/// Makes an expression ready.
///
/// # Errors
/// Why it cannot be used.
pub(super) fn compile(pattern: &str) -> Result<RegexMatcher, String> {
    let engine = translated(pattern)?;
    RegexMatcherBuilder::new()
        .size_limit(LARGEST)
        .dfa_size_limit(LARGEST)
        .build(&engine)
        .map_err(|error| format!("the pattern '{pattern}' cannot be used: {error}"))
}

fn translated(pattern: &str) -> Result<String, String> {
    let unsupported = |what: &str| {
        Err(format!(
            "the pattern '{pattern}' is not supported: write it without {what}"
        ))
    };
    let mut out = String::with_capacity(pattern.len());
    let mut chars = pattern.chars().peekable();
    let mut class = false;
    let mut before = ' ';
    while let Some(c) = chars.next() {
        let next = chars.peek().copied().unwrap_or(' ');
        match c {
            '\\' => {
                chars.next();
                match next {
                    'd' => out.push_str("[0-9]"),
                    'D' => out.push_str("[^0-9]"),
                    'w' => out.push_str("[0-9A-Za-z_]"),
                    'W' => out.push_str("[^0-9A-Za-z_]"),
                    's' => out.push_str("[\\s\\x{feff}--\\x{85}]"),
                    'S' => out.push_str("[^[\\s\\x{feff}--\\x{85}]]"),
                    't' | 'n' | 'r' | 'f' | 'v' => out.extend(['\\', next]),
                    _ if next.is_ascii_punctuation() && !matches!(next, '<' | '>') => {
                        out.extend(['\\', next]);
                    }
                    _ => return unsupported(&format!("'\\{next}'")),
                }
            }
            '[' if class => return unsupported("'[' within '[]'"),
            '[' => {
                class = true;
                out.push('[');
                if next == '^' {
                    chars.next();
                    out.push('^');
                }
                if chars.peek() == Some(&']') {
                    return unsupported("an empty '[]'");
                }
            }
            ']' if class => {
                class = false;
                out.push(']');
            }
            '&' | '-' | '~' if class && before == c => return unsupported("'&&', '--' or '~~'"),
            '(' if !class && next == '?' => {
                chars.next();
                if chars.next() != Some(':') {
                    return unsupported("groups other than '(...)' and '(?:...)'");
                }
                out.push_str("(?:");
            }
            '.' if !class => out.push_str("[^\\n\\r\\x{2028}\\x{2029}]"),
            _ => out.push(c),
        }
        before = c;
    }
    Ok(out)
}
