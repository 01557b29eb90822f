//! Whether a line is JSON, without making anything of it: verifying a log looks at every byte of
//! it, and this is most of what it does beside hashing.

/// Deepest nesting that is taken for JSON, as in serde_json.
const MAX_DEPTH: u32 = 127;

/// Whether `text` is an object (RFC 8259, in UTF-8) with a member at least and without the closing
/// brace: a line as far as its hash goes. What follows there has a fixed form.
pub(crate) fn is_open_object(text: &[u8]) -> bool {
    Rest(text).open_object().is_some() && std::str::from_utf8(text).is_ok()
}

/// What is left to look at. Each step takes what it knows, or says `None`.
struct Rest<'t>(&'t [u8]);

impl Rest<'_> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then_some(())
    }

    fn space(&mut self) {
        while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] = self.0 {
            self.0 = rest;
        }
    }

    fn value(&mut self, depth: u32) -> Option<()> {
        self.space();
        match self.next()? {
            b'"' => self.string(),
            b'{' if depth < MAX_DEPTH => self.object(depth + 1),
            b'[' if depth < MAX_DEPTH => self.array(depth + 1),
            b't' => self.word(b"rue"),
            b'f' => self.word(b"alse"),
            b'n' => self.word(b"ull"),
            b'-' => {
                let first = self.next()?;
                self.number(first)
            }
            first => self.number(first),
        }
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        self.0 = self.0.strip_prefix(word)?;
        Some(())
    }

    fn open_object(&mut self) -> Option<()> {
        self.take(b'{')?;
        loop {
            self.member(1)?;
            if self.0.is_empty() {
                return Some(());
            }
            self.take(b',')?;
        }
    }

    fn member(&mut self, depth: u32) -> Option<()> {
        self.space();
        self.take(b'"')?;
        self.string()?;
        self.space();
        self.take(b':')?;
        self.value(depth)?;
        self.space();
        Some(())
    }

    fn object(&mut self, depth: u32) -> Option<()> {
        self.space();
        if let [b'}', rest @ ..] = self.0 {
            self.0 = rest;
            return Some(());
        }
        loop {
            self.member(depth)?;
            match self.next()? {
                b',' => {}
                b'}' => return Some(()),
                _ => return None,
            }
        }
    }

    fn array(&mut self, depth: u32) -> Option<()> {
        self.space();
        if let [b']', rest @ ..] = self.0 {
            self.0 = rest;
            return Some(());
        }
        loop {
            self.value(depth)?;
            self.space();
            match self.next()? {
                b',' => {}
                b']' => return Some(()),
                _ => return None,
            }
        }
    }

    /// After the opening quote.
    fn string(&mut self) -> Option<()> {
        loop {
            while let Some((word, rest)) = self.0.split_first_chunk() {
                let special = special(u64::from_le_bytes(*word));
                if special != 0 {
                    self.0 = self.0.get(special.trailing_zeros() as usize / 8..)?;
                    break;
                }
                self.0 = rest;
            }
            match self.next()? {
                b'"' => return Some(()),
                b'\\' => self.escape()?,
                0..0x20 => return None,
                _ => {}
            }
        }
    }

    fn escape(&mut self) -> Option<()> {
        match self.next()? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(()),
            b'u' => {
                let (digits, rest) = self.0.split_first_chunk::<4>()?;
                self.0 = rest;
                digits.iter().all(u8::is_ascii_hexdigit).then_some(())
            }
            _ => None,
        }
    }

    /// After its sign, if any, and its first digit.
    fn number(&mut self, first: u8) -> Option<()> {
        match first {
            b'0' => {}
            b'1'..=b'9' => _ = self.digits(),
            _ => return None,
        }
        if let [b'.', rest @ ..] = self.0 {
            self.0 = rest;
            (self.digits() > 0).then_some(())?;
        }
        if let [b'e' | b'E', rest @ ..] = self.0 {
            self.0 = match rest {
                [b'+' | b'-', rest @ ..] => rest,
                rest => rest,
            };
            (self.digits() > 0).then_some(())?;
        }
        Some(())
    }

    fn digits(&mut self) -> usize {
        let digits = self.0.iter().take_while(|b| b.is_ascii_digit()).count();
        self.0 = self.0.get(digits..).unwrap_or_default();
        digits
    }
}

/// Has the high bit of the lowest byte set that is a quote, a backslash or below 0x20; bits above
/// that one may be set too. "Determine if a word has a byte less than n" and "equal to n", Sean
/// Anderson, Bit Twiddling Hacks.
fn special(word: u64) -> u64 {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGH: u64 = u64::from_le_bytes([0x80; 8]);
    let below = |n: u8, word: u64| word.wrapping_sub(ONES * u64::from(n)) & !word;
    let is = |n: u8| below(1, word ^ (ONES * u64::from(n)));
    (below(0x20, word) | is(b'"') | is(b'\\')) & HIGH
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::de::{DeserializeOwned, IgnoredAny};
    use serde_json::Value;

    use super::*;

    /// Whether serde_json takes `text` and a closing brace.
    fn judged<T: DeserializeOwned>(text: &[u8]) -> bool {
        serde_json::from_slice::<T>(&[text, b"}"].concat()).is_ok()
    }

    fn member(value: &str) -> Vec<u8> {
        format!("{{\"a\":{value}").into_bytes()
    }

    #[test]
    fn what_is_json_and_what_is_not() {
        for (text, is) in [
            ("{}", true),
            (" [ ] ", true),
            (
                r#"{"a":[1,-0.5e+3,true,false,null,"\u00e9\n\\é"],"b":{}}"#,
                true,
            ),
            (r#""12345678""#, true),
            (r#""1234567\"""#, true),
            ("0", true),
            ("", false),
            ("{", false),
            ("{}x", false),
            ("{,}", false),
            (r#"{"a"}"#, false),
            (r#"{"a":1,}"#, false),
            ("[1,]", false),
            ("[1 2]", false),
            ("01", false),
            ("1.", false),
            ("-", false),
            ("1e", false),
            ("+1", false),
            (r#""a"#, false),
            (r#""1234567"#, false),
            (r#""\x""#, false),
            (r#""\u12g4""#, false),
            ("\"a\u{1}\"", false),
            ("\"12345678\u{1f}\"", false),
            ("tru", false),
            ("nan", false),
        ] {
            assert_eq!(is_open_object(&member(text)), is, "{text}");
            assert_eq!(judged::<Value>(&member(text)), is, "{text}");
        }
        for text in [
            "",
            "{",
            "[1",
            "\"a\":1",
            "{\"a\":1}",
            "{\"a\":1,",
            "{\"a\"",
            " {\"a\":1",
        ] {
            assert!(!is_open_object(text.as_bytes()), "{text}");
        }
        assert!(!is_open_object(b"{\"a\":\"\xff\""));
        for depth in [120, 126, 127, 200_000] {
            let text = member(&("[".repeat(depth) + &"]".repeat(depth)));
            assert_eq!(is_open_object(&text), depth <= 126, "{depth}");
            assert_eq!(judged::<Value>(&text), depth <= 126, "{depth}");
        }
    }

    const RECORD: &str = r#"{"v":1,"seq":12,"timestamp":"2026-01-02T03:04:05.678Z","target":"a \"b\" \\ é \u001b","pid":7,"detail":{"argv":["x","-y",""],"ok":true,"n":-1.5e3},"exe":"/bin/x""#;

    proptest! {
        #[test]
        fn it_judges_as_serde_json_does(
            from in 0..RECORD.len(),
            len in 0..12_usize,
            put in prop::collection::vec(
                prop_oneof![
                    prop::sample::select(b"{}[]\":,\\u0-1.eE tfn\n".to_vec()),
                    any::<u8>(),
                ],
                0..6,
            ),
        ) {
            let mut text = RECORD.as_bytes().to_vec();
            text.splice(from..(from + len).min(text.len()), put);
            // A number that no float holds, and half a pair of surrogates, are JSON all the same.
            let lenient = judged::<IgnoredAny>(&text) && std::str::from_utf8(&text).is_ok();
            // A line begins with its brace, and has a member before it ends.
            let begins = text.first() == Some(&b'{') && text != b"{";
            let found = is_open_object(&text);
            prop_assert!(found == (lenient && begins), "{:?}", String::from_utf8_lossy(&text));
            prop_assert!(!(begins && judged::<Value>(&text)) || found);
        }

        #[test]
        fn a_special_byte_is_found_where_it_is(word in any::<[u8; 8]>()) {
            let is_special = |b: &u8| matches!(b, b'"' | b'\\' | 0..0x20);
            let found = special(u64::from_le_bytes(word));
            match word.iter().position(is_special) {
                Some(at) => prop_assert_eq!(found.trailing_zeros() as usize / 8, at),
                None => prop_assert_eq!(found, 0),
            }
        }
    }
}
