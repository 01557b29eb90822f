//! Parts Rust source into code and comments, so that a check of code is not misled by a word in
//! a comment or in a string literal.

/// One source text, seen twice. Both have the bytes of the original at the original offsets, and
/// spaces elsewhere; line breaks stand in both.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Parted {
    /// Code, with the contents of string and character literals blanked (the quotes stay).
    pub(crate) code: String,
    /// Comments, doc comments among them.
    pub(crate) comments: String,
}

/// Parts `text`. Never fails: an unterminated literal or comment runs to the end.
pub(crate) fn part(text: &str) -> Parted {
    let mut lexer = Lexer {
        text: text.as_bytes(),
        at: 0,
        code: Vec::with_capacity(text.len()),
        comments: Vec::with_capacity(text.len()),
    };
    lexer.run();
    // Whole characters are either kept or blanked byte by byte, so nothing is lossy here.
    Parted {
        code: String::from_utf8_lossy(&lexer.code).into_owned(),
        comments: String::from_utf8_lossy(&lexer.comments).into_owned(),
    }
}

/// Whether `byte` can be inside an identifier.
pub(crate) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

#[derive(Clone, Copy)]
enum Kind {
    Code,
    Literal,
    Comment,
}

struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    code: Vec<u8>,
    comments: Vec<u8>,
}

impl Lexer<'_> {
    fn run(&mut self) {
        while let Some(byte) = self.peek(0) {
            match byte {
                b'/' if self.peek(1) == Some(b'/') => self.line_comment(),
                b'/' if self.peek(1) == Some(b'*') => self.block_comment(),
                b'"' => self.string(),
                b'\'' => self.quote(),
                b'r' if !self.follows_word_other_than(b"bc") => match self.raw_hashes() {
                    Some(hashes) => self.raw_string(hashes),
                    None => self.take(Kind::Code),
                },
                _ => self.take(Kind::Code),
            }
        }
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.text.get(self.at + ahead).copied()
    }

    fn take(&mut self, kind: Kind) {
        let Some(byte) = self.peek(0) else { return };
        let blank = if byte == b'\n' { b'\n' } else { b' ' };
        self.code.push(if matches!(kind, Kind::Code) {
            byte
        } else {
            blank
        });
        self.comments.push(if matches!(kind, Kind::Comment) {
            byte
        } else {
            blank
        });
        self.at += 1;
    }

    fn line_comment(&mut self) {
        while self.peek(0).is_some_and(|byte| byte != b'\n') {
            self.take(Kind::Comment);
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0_usize;
        loop {
            match (self.peek(0), self.peek(1)) {
                (Some(b'/'), Some(b'*')) => {
                    depth += 1;
                    self.take(Kind::Comment);
                }
                (Some(b'*'), Some(b'/')) => {
                    depth -= 1;
                    self.take(Kind::Comment);
                }
                (None, _) => return,
                _ => {}
            }
            self.take(Kind::Comment);
            if depth == 0 {
                return;
            }
        }
    }

    fn string(&mut self) {
        self.take(Kind::Code);
        while let Some(byte) = self.peek(0) {
            match byte {
                b'"' => return self.take(Kind::Code),
                b'\\' => {
                    self.take(Kind::Literal);
                    self.take(Kind::Literal);
                }
                _ => self.take(Kind::Literal),
            }
        }
    }

    /// The `r` of a raw string is either alone or after a `b` or `c` that itself starts a word.
    fn follows_word_other_than(&self, prefixes: &[u8]) -> bool {
        let before = |back: usize| self.at.checked_sub(back).and_then(|at| self.text.get(at));
        match before(1) {
            Some(byte) if prefixes.contains(byte) => before(2).is_some_and(|byte| is_word(*byte)),
            Some(byte) => is_word(*byte),
            None => false,
        }
    }

    /// How many `#` stand between this `r` and its quote; `None` when this is no raw string.
    fn raw_hashes(&self) -> Option<usize> {
        let hashes = self
            .text
            .get(self.at + 1..)?
            .iter()
            .take_while(|b| **b == b'#')
            .count();
        (self.peek(1 + hashes) == Some(b'"')).then_some(hashes)
    }

    fn raw_string(&mut self, hashes: usize) {
        for _ in 0..hashes + 2 {
            self.take(Kind::Code);
        }
        while let Some(byte) = self.peek(0) {
            if byte == b'"' && (1..=hashes).all(|ahead| self.peek(ahead) == Some(b'#')) {
                for _ in 0..=hashes {
                    self.take(Kind::Code);
                }
                return;
            }
            self.take(Kind::Literal);
        }
    }

    /// A character literal, or the start of a lifetime or label.
    fn quote(&mut self) {
        let length = match self.peek(1) {
            Some(b'\\') => {
                // Past the escaped character, which may itself be a quote.
                let rest = self.text.get(self.at + 3..).unwrap_or_default();
                rest.iter()
                    .position(|byte| *byte == b'\'')
                    .map(|found| found + 3)
            }
            Some(first) if first != b'\'' => {
                let rest = self.text.get(self.at + 2..).unwrap_or_default();
                let character = 2 + rest.iter().take_while(|byte| **byte & 0xC0 == 0x80).count();
                (self.peek(character) == Some(b'\'')).then_some(character)
            }
            _ => None,
        };
        self.take(Kind::Code);
        if let Some(length) = length {
            for _ in 1..length {
                self.take(Kind::Literal);
            }
            self.take(Kind::Code);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, code: &str) {
        let parted = part(text);
        assert_eq!(parted.code.trim_end(), code);
        assert_eq!(parted.code.len(), text.len(), "offsets must stay true");
        assert_eq!(parted.comments.len(), text.len(), "offsets must stay true");
    }

    #[test]
    fn comments_leave_the_code() {
        check("a // unsafe\nb", "a          \nb");
        check("a /* x /* y */ z */ b", "a                   b");
        check("/// unsafe\nfn f() {}", "          \nfn f() {}");
        check("a /* never closed", "a");
        assert_eq!(part("a // why\n").comments, "  // why\n");
        assert_eq!(part("\"// no\"").comments.trim(), "");
    }

    #[test]
    fn string_contents_are_blanked() {
        check(r#"f("unsafe \" { //") + 1"#, r#"f("              ") + 1"#);
        check(r##"f(r"a\") + 1"##, r##"f(r"  ") + 1"##);
        check(
            r####"f(br##"a "# b"##) + 1"####,
            r####"f(br##"      "##) + 1"####,
        );
        check(r#"f(b"ab", c"cd")"#, r#"f(b"  ", c"  ")"#);
        check("\"two\nlines\" x", "\"   \n     \" x");
        check("\"never closed { unsafe", "\"");
    }

    #[test]
    fn a_raw_identifier_and_a_word_that_ends_in_r_are_code() {
        check("r#type + 1", "r#type + 1");
        check("for\"x\"", "for\" \"");
    }

    #[test]
    fn character_literals_are_told_from_lifetimes() {
        check("f('\"', 'a', '{')", "f(' ', ' ', ' ')");
        check(r"f('\'', '\\', '\u{1F600}')", "f('  ', '  ', '         ')");
        check("f('é') \"x\"", "f('  ') \" \"");
        check("fn f<'a>(x: &'a str, y: &'static [u8]) { 'b: loop {} }", {
            "fn f<'a>(x: &'a str, y: &'static [u8]) { 'b: loop {} }"
        });
        check("<'a,'b>(\"x\")", "<'a,'b>(\" \")");
        check("b'x' 'y", "b' ' 'y");
    }
}
