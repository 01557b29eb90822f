//! Characters that a terminal or a reader must not act on.

/// `text` with such characters spelled out, or `None` when it has none.
pub(super) fn escape(text: &str) -> Option<String> {
    if text.bytes().all(|b| matches!(b, b' '..=b'~')) || !text.contains(is_hidden) {
        return None;
    }
    let mut visible = String::with_capacity(text.len() + 32);
    for c in text.chars() {
        if is_hidden(c) {
            visible.extend(c.escape_unicode());
        } else {
            visible.push(c);
        }
    }
    Some(visible)
}

/// Control characters, and those of Unicode's Cf and Z categories that turn the reading
/// direction, break lines, or cannot be seen.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

/// The length of the white space that `text` begins with: a space, or an escaped tab, line feed,
/// vertical tab, form feed or carriage return. 0 if it begins with none.
pub(super) fn space_len(text: &[u8]) -> usize {
    match text {
        [b' ', ..] => 1,
        [
            b'\\',
            b'u',
            b'{',
            b'9' | b'a' | b'b' | b'c' | b'd',
            b'}',
            ..,
        ] => 5,
        _ => 0,
    }
}

/// The length of the escaped terminal sequence (`ESC [ … letter`) that `text` begins with.
pub(super) fn sequence_len(text: &[u8]) -> Option<usize> {
    const INTRODUCER: &[u8] = b"\\u{1b}[";
    let rest = text.strip_prefix(INTRODUCER)?;
    // Parameters are few; what goes on longer is no sequence.
    let parameters = rest
        .iter()
        .take(32)
        .take_while(|b| matches!(b, b'0'..=b'?'))
        .count();
    rest.get(parameters)
        .is_some_and(u8::is_ascii_alphabetic)
        .then_some(INTRODUCER.len() + parameters + 1)
}
