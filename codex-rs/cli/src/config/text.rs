//! Foreign text as a person may safely see it.

/// Characters of one foreign text that a message shows.
const MOST_SHOWN: usize = 60;

/// Whether a terminal or a reader could be fooled by `c`: control characters, and marks that turn
/// the direction of text.
fn tricks(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// `text` as a TOML basic string, with everything escaped that could steer a terminal.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if tricks(c) => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// JSON or TOML with everything escaped that could steer a terminal. Such characters stand only
/// inside strings there, and both have this escape.
pub(super) fn harmless(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if tricks(c) {
            out.push_str(&format!("\\u{:04X}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out
}

/// `text` quoted, and cut where it is long.
pub(super) fn excerpt(text: &str) -> String {
    match text.char_indices().nth(MOST_SHOWN) {
        Some((end, _)) => format!("{}…", quoted(text.get(..end).unwrap_or_default())),
        None => quoted(text),
    }
}

/// A key's parts as TOML would write them: bare where that is possible, dotted.
pub(super) fn dotted<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    joined(parts, quoted)
}

/// The same for a message: a long part is cut.
pub(super) fn dotted_excerpt<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    joined(parts, excerpt)
}

fn joined<'a>(parts: impl IntoIterator<Item = &'a str>, quote: fn(&str) -> String) -> String {
    let mut out = String::new();
    for part in parts {
        if !out.is_empty() {
            out.push('.');
        }
        let bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if !part.is_empty() && part.len() <= MOST_SHOWN && part.chars().all(bare) {
            out.push_str(part);
        } else {
            out.push_str(&quote(part));
        }
    }
    out
}

/// `a, b or c`.
pub(super) fn alternatives(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

/// The candidate that `word` most likely stands for: at most two edits away and fewer than its
/// length, or with one of the two beginning with the other.
pub(super) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    /// No key is longer; what is gets no suggestion, so that the work stays small.
    const LONGEST: usize = 40;
    if word.len() > LONGEST {
        return None;
    }
    let word = word.to_lowercase();
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let edits = edits(&word, candidate);
        let shorter = word.len().min(candidate.len());
        let begins = shorter >= 3 && (word.starts_with(candidate) || candidate.starts_with(&*word));
        let near = edits <= 2 && edits < shorter;
        if (near || begins) && best.is_none_or(|(least, _)| edits < least) {
            best = Some((edits, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// The Levenshtein distance in bytes.
fn edits(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (y, cell) in b.iter().zip(row.iter_mut().skip(1)) {
            let above = *cell;
            let replaced = diagonal + usize::from(x != y);
            left = replaced.min(above + 1).min(left + 1);
            *cell = left;
            diagonal = above;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found() {
        let names = ["model", "model_provider", "profile", "notify", "audit"];
        for (word, expected) in [
            ("modle", Some("model")),
            ("Model", Some("model")),
            ("profil", Some("profile")),
            ("models", Some("model")),
            ("model_prov", Some("model_provider")),
            ("zzz", None),
            ("", None),
            ("é", None),
        ] {
            assert_eq!(nearest(word, names), expected, "{word}");
        }
        assert_eq!(nearest(&"m".repeat(1 << 20), names), None);
    }

    #[test]
    fn edits_are_counted() {
        for (a, b, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "abc", 0),
            ("abc", "acb", 2),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(edits(a, b), expected, "{a} {b}");
            assert_eq!(edits(b, a), expected, "{b} {a}");
        }
    }

    #[test]
    fn foreign_text_cannot_steer_a_terminal() {
        assert_eq!(
            quoted("a\u{1b}[2J\u{9b}\u{202e}\"\\\n"),
            r#""a\u001B[2J\u009B\u202E\"\\\n""#
        );
        assert_eq!(harmless("\"\u{9b}2J\""), r#""\u009B2J""#);
        assert_eq!(
            dotted(["models", "gpt-5.1", "tools"]),
            r#"models."gpt-5.1".tools"#
        );
        assert_eq!(excerpt(&"é".repeat(70)).chars().count(), 63);
    }
}
