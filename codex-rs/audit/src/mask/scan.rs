//! One pass over a text that finds what is to be masked.
//!
//! Each rule is tried where a byte can begin it, and looks ahead either a bounded way or over
//! what it then masks: so the pass is linear. Every place that is cut begins and ends beside an
//! ASCII byte or at an end of the text.

use std::ops::Range;

use super::names::{self, MAX_NAME};
use super::visible::{sequence_len, space_len};
use super::{HOME, REDACTED, USER, tokens};

/// Paths of which the next component is somebody's name.
const HOMES: &[&[u8]] = &[b"/home/", b"/Users/", b"\\Users\\", b"\\\\Users\\\\"];
/// How far the `@` after a password with a `/` in it is looked for.
const MAX_CREDENTIALS: usize = 256;
/// Words before the secret in an `Authorization` header.
const SCHEMES: &[&str] = &["basic", "bearer", "digest", "negotiate", "token", "apikey"];
/// The beginning of the note on what was cut off.
const CUT: &[u8] = "…[+".as_bytes();

/// `text` with its secrets masked, or `None` when it has none.
pub(super) fn scan(text: &str, home: Option<&str>) -> Option<String> {
    let mut scan = Scan {
        text: text.as_bytes(),
        home: home.map(str::as_bytes),
        at: 0,
        fresh: 0,
        cuts: Vec::new(),
    };
    scan.run();
    if scan.cuts.is_empty() {
        return None;
    }
    let mut masked = String::with_capacity(text.len());
    let mut copied = 0;
    for (range, with) in scan.cuts {
        masked.push_str(text.get(copied..range.start).unwrap_or_default());
        masked.push_str(with);
        copied = range.end;
    }
    masked.push_str(text.get(copied..).unwrap_or_default());
    Some(masked)
}

/// How far a value reaches that no quotes enclose.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// To white space or a quote that ends a word.
    Word,
    /// The same, but two words if the first is a scheme.
    Authorization,
    /// The same as a word, and to the next parameter.
    Query,
    /// To this quote, which stands before the name.
    Quote(u8),
    /// To the end of the line.
    Line,
}

/// A name before a `=`, a `:` or white space.
struct Name<'t> {
    text: &'t str,
    start: usize,
    /// A quote stands between the name and what follows.
    quoted: bool,
    /// White space stands there.
    spaced: bool,
}

struct Scan<'t> {
    text: &'t [u8],
    home: Option<&'t [u8]>,
    at: usize,
    /// The end of the last cut: what is before it is not looked at again.
    fresh: usize,
    cuts: Vec<(Range<usize>, &'static str)>,
}

impl<'t> Scan<'t> {
    fn run(&mut self) {
        while let Some(&byte) = self.text.get(self.at) {
            let at = self.at;
            self.look(byte);
            if self.at == at {
                self.at += 1;
            }
        }
    }

    fn look(&mut self, byte: u8) {
        if byte.is_ascii_alphanumeric() {
            if self.starts_word() {
                self.word();
            }
            return;
        }
        match byte {
            b'/' => self.path(),
            b'\\' => {
                if let Some(len) = sequence_len(self.rest(self.at)) {
                    // The letter that ends the sequence is no part of the word that follows.
                    self.at += len;
                    self.fresh = self.at;
                    return;
                }
                self.path();
                if self.at_space(self.at) > 0 || self.at_space(self.at + 1) > 0 {
                    self.flag();
                }
            }
            b' ' | b'"' | b'\'' => self.flag(),
            b'=' => self.assignment(),
            b':' if self.rest(self.at).starts_with(b"://") => self.url(),
            b':' => self.header(),
            b'-' => {
                if let Some(len) = tokens::private_key_len(self.rest(self.at)) {
                    self.cut(self.at..self.at + len, REDACTED);
                }
            }
            _ => {}
        }
    }

    fn rest(&self, at: usize) -> &'t [u8] {
        self.text.get(at..).unwrap_or_default()
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.text.get(at).copied()
    }

    /// The byte before `at`, unless it was masked.
    fn before(&self, at: usize) -> Option<u8> {
        let before = at.checked_sub(1).filter(|b| *b >= self.fresh)?;
        self.byte(before)
    }

    fn at_space(&self, at: usize) -> usize {
        space_len(self.rest(at))
    }

    fn skip_space(&self, mut at: usize) -> usize {
        loop {
            match self.at_space(at) {
                0 => return at,
                len => at += len,
            }
        }
    }

    fn cut(&mut self, range: Range<usize>, with: &'static str) {
        self.at = range.end;
        self.fresh = range.end;
        if self.text.get(range.clone()) != Some(with.as_bytes()) {
            self.cuts.push((range, with));
        }
    }

    fn starts_word(&self) -> bool {
        match self.before(self.at) {
            Some(b'n' | b'r' | b't') => self.before(self.at - 1) == Some(b'\\'),
            Some(b) => !b.is_ascii_alphanumeric() && b != b'_',
            None => true,
        }
    }

    fn word(&mut self) {
        const BEARER: &[u8] = b"bearer";
        let rest = self.rest(self.at);
        if let Some(len) = tokens::len_at(rest) {
            return self.cut(self.at..self.at + len, REDACTED);
        }
        let (Some(word), Some(b' ')) = (rest.get(..BEARER.len()), rest.get(BEARER.len())) else {
            return;
        };
        if word.eq_ignore_ascii_case(BEARER) {
            let start = self.at + BEARER.len() + 1;
            if let Some(len) = tokens::bearer_len(self.rest(start)) {
                self.cut(start..start + len, REDACTED);
            }
        }
    }

    /// `[HOME]` and `[USER]`.
    fn path(&mut self) {
        if !self.starts_path() {
            return;
        }
        let rest = self.rest(self.at);
        if let Some(home) = self.home
            && let Some(after) = rest.strip_prefix(home)
            && ends_component(after)
        {
            return self.cut(self.at..self.at + home.len(), HOME);
        }
        let Some(homes) = HOMES.iter().find(|homes| rest.starts_with(homes)) else {
            return;
        };
        let start = self.at + homes.len();
        let name = self.rest(start);
        let len = name.iter().take_while(|b| in_component(**b)).count();
        let dots = name[..len].iter().rev().take_while(|b| **b == b'.').count();
        if len > dots {
            self.cut(start..start + len - dots, USER);
        }
    }

    /// Whether an absolute path begins here: it is not in the middle of another one.
    fn starts_path(&self) -> bool {
        let back = |n: usize| self.at.checked_sub(n).and_then(|at| self.before(at));
        let ends = |b: Option<u8>| b.is_none_or(|b| !in_component(b) && b != b'/');
        match back(0) {
            // `//home/x` is `/home/x`, and so is `file:///home/x`; `http://home/x` is not.
            Some(b'/') => match back(1) {
                Some(b'/') => ends(back(2)),
                b => ends(b) && b != Some(b':'),
            },
            // `-I/home/x`.
            Some(b) if b.is_ascii_alphabetic() => back(1) == Some(b'-') && ends(back(2)),
            b => ends(b) || matches!(b, Some(b'@' | b'+' | b'%' | b'$' | b'#')),
        }
    }

    /// Credentials before the host.
    fn url(&mut self) {
        let start = self.at + 3;
        let rest = self.rest(start);
        // An address in brackets, or what has been masked.
        if rest.first() == Some(&b'[') {
            return;
        }
        let outside = |b: &u8| *b <= b' ' || matches!(b, b'"' | b'\'' | b'`' | b'<' | b'>' | b'\\');
        let inside = |b: &u8| !outside(b) && !matches!(b, b'/' | b'?' | b'#');
        let mut len = rest.iter().take_while(|b| inside(b)).count();
        let authority = &rest[..len];
        // `user:pa/ss@host`: what follows the colon is no port.
        let open = authority
            .iter()
            .position(|b| *b == b':')
            .is_some_and(|at| !authority[at + 1..].iter().all(u8::is_ascii_digit));
        if !authority.contains(&b'@') && open {
            let far = rest.iter().take(MAX_CREDENTIALS);
            len = far.take_while(|b| !outside(b)).count();
        }
        if let Some(at) = rest[..len].iter().rposition(|b| *b == b'@')
            && at > 0
        {
            self.cut(start..start + at, REDACTED);
        }
    }

    /// `NAME=value`, `--name=value`, `?name=value`, `name = value`.
    fn assignment(&mut self) {
        let next = self.byte(self.at + 1);
        if next == Some(b'=') {
            self.at += 2;
            return;
        }
        let Some(name) = self.name_before(self.at) else {
            return;
        };
        let before = self.before(name.start);
        let query = matches!(before, Some(b'?' | b'&'));
        let secret = names::is_secret(name.text) || (query && names::is_secret_in_query(name.text));
        if !secret {
            return;
        }
        let arrow = next == Some(b'>');
        let mut start = self.at + 1 + usize::from(arrow);
        if arrow || name.spaced {
            start = self.skip_space(start);
        }
        let reach = match before {
            _ if query => Reach::Query,
            Some(quote @ (b'"' | b'\'')) if !name.quoted => Reach::Quote(quote),
            _ => Reach::Word,
        };
        self.value(start, reach);
    }

    /// `Name: value`, `"name":"value"`, `name := value`.
    fn header(&mut self) {
        let Some(name) = self.name_before(self.at) else {
            return;
        };
        let next = self.byte(self.at + 1);
        let separates = name.quoted
            || self.at_space(self.at + 1) > 0
            || matches!(next, Some(b'"' | b'\'' | b'='));
        // Ids of rules have dots, and stand before a colon.
        if !separates || name.text.contains('.') || !names::is_secret(name.text) {
            return;
        }
        let start = self.skip_space(self.at + 1 + usize::from(next == Some(b'=')));
        let reach = match self.before(name.start) {
            Some(quote @ (b'"' | b'\'')) if !name.quoted => Reach::Quote(quote),
            _ if name.start == 0 => Reach::Line,
            _ => Reach::Authorization,
        };
        self.value(start, reach);
    }

    /// `--name value`, and the same in a list: `"--name", "value"`.
    fn flag(&mut self) {
        let Some(name) = self.name_before(self.at).filter(|n| !n.quoted && !n.spaced) else {
            return;
        };
        if self.before(name.start).is_some_and(in_component) {
            return;
        }
        let Some(value) = names::value_of_flag(name.text) else {
            return;
        };
        let quote = usize::from(matches!(self.byte(self.at), Some(b'"' | b'\'')));
        let mut start = self.at + quote;
        loop {
            start = match (self.byte(start), self.at_space(start)) {
                (_, len @ 1..) => start + len,
                (Some(b','), _) if quote == 1 => start + 1,
                // A line that goes on.
                (Some(b'\\'), _) if self.at_space(start + 1) > 0 => start + 1,
                _ => break,
            };
        }
        let none = matches!(
            self.byte(start),
            None | Some(b'-' | b'=' | b'|' | b'&' | b';' | b')' | b']' | b'}')
        );
        if none || start == self.at + quote {
            return;
        }
        if value == names::Value::Secret {
            return self.value(start, Reach::Word);
        }
        let quote = usize::from(matches!(self.byte(start), Some(b'"' | b'\'')));
        let word = start + quote..self.word_end(start + quote, |_| false);
        let text = self.text.get(word.clone()).unwrap_or_default();
        if let Some(user) = std::str::from_utf8(text).ok().and_then(names::user_of) {
            self.cut(word.start + user.len() + 1..word.end, REDACTED);
        }
    }

    fn name_before(&self, end: usize) -> Option<Name<'t>> {
        /// Longest alignment before a `=`.
        const MAX_SPACES: usize = 8;
        let spaces = (0..MAX_SPACES)
            .take_while(|n| self.before(end - n) == Some(b' '))
            .count();
        let mut end = end - spaces;
        let quoted = matches!(self.before(end), Some(b'"' | b'\''));
        if quoted {
            end -= 1;
            end -= usize::from(self.before(end) == Some(b'\\'));
        }
        let mut start = end;
        while self.before(start).is_some_and(in_name) && end - start < MAX_NAME {
            start -= 1;
        }
        let text = std::str::from_utf8(self.text.get(start..end)?).ok()?;
        (!text.is_empty()).then_some(Name {
            text,
            start,
            quoted,
            spaced: spaces > 0,
        })
    }

    /// Masks the value that begins at `start`.
    fn value(&mut self, start: usize, reach: Reach) {
        let range = self.quoted(start).unwrap_or_else(|| {
            let end = match reach {
                Reach::Word => self.word_end(start, |_| false),
                Reach::Authorization => self.authorization_end(start),
                Reach::Query => self.word_end(start, |b| matches!(b, b'&' | b'#')),
                Reach::Quote(quote) => self.find(start, |b| b == quote),
                Reach::Line => self.line_end(start),
            };
            start..end
        });
        let text = self.text.get(range.clone()).unwrap_or_default();
        if text.is_empty() || is_note(text) {
            self.at = range.end.max(self.at + 1);
            return;
        }
        self.cut(range, REDACTED);
    }

    /// What is between quotes that open at `start`, which may be escaped themselves.
    fn quoted(&self, start: usize) -> Option<Range<usize>> {
        let (quote, inside, escaped) = match self.rest(start) {
            [quote @ (b'"' | b'\'' | b'`'), ..] => (*quote, start + 1, false),
            [b'\\', quote @ (b'"' | b'\''), ..] => (*quote, start + 2, true),
            [b'$', b'\'', ..] => (b'\'', start + 2, false),
            _ => return None,
        };
        let mut at = inside;
        loop {
            match (self.byte(at), self.byte(at + 1)) {
                (None, _) => return Some(inside..at),
                (Some(b'\\'), Some(next)) if escaped && next == quote => return Some(inside..at),
                (Some(b'\\'), Some(next)) if next.is_ascii() => at += 2,
                (Some(b), _) if b == quote => return Some(inside..at),
                _ => at += 1,
            }
        }
    }

    fn find(&self, start: usize, ends: impl Fn(u8) -> bool) -> usize {
        let rest = self.rest(start);
        start + rest.iter().position(|b| ends(*b)).unwrap_or(rest.len())
    }

    fn word_end(&self, start: usize, also: impl Fn(u8) -> bool) -> usize {
        let mut at = start;
        while let Some(byte) = self.byte(at) {
            // `abc"def"` is one word to a shell; the quote in `'token=abc'` ends it.
            let quote = matches!(byte, b'"' | b'\'' | b'`')
                && !self
                    .byte(at + 1)
                    .is_some_and(|next| next.is_ascii_alphanumeric());
            if quote || also(byte) || self.at_space(at) > 0 {
                break;
            }
            at += 1;
        }
        at
    }

    fn authorization_end(&self, start: usize) -> usize {
        let end = self.word_end(start, |_| false);
        let word = self.text.get(start..end).unwrap_or_default();
        if SCHEMES
            .iter()
            .any(|scheme| word.eq_ignore_ascii_case(scheme.as_bytes()))
        {
            let second = self.skip_space(end);
            if second > end {
                return self.word_end(second, |_| false);
            }
        }
        end
    }

    fn line_end(&self, start: usize) -> usize {
        let mut at = start;
        while at < self.text.len() && self.at_space(at) < 2 {
            at += 1;
        }
        at
    }
}

/// Whether `text` is the note on what was cut off, or its first word, and nothing else: a secret
/// that begins like one is no note.
fn is_note(text: &[u8]) -> bool {
    text.strip_prefix(CUT).is_some_and(|rest| {
        let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        let unit = &rest[digits..];
        digits > 0 && (unit.is_empty() || unit == b" bytes]" || unit == b" entries]")
    })
}

fn in_name(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.')
}

/// Whether `b` is in the name of a file rather than around it, as far as one can tell.
fn in_component(b: u8) -> bool {
    in_name(b) || matches!(b, b'+' | b'@' | b'~' | b'%' | b'$' | b'#') || !b.is_ascii()
}

/// Whether a component ends where `after` begins.
fn ends_component(after: &[u8]) -> bool {
    match after {
        [] => true,
        // The end of a sentence.
        [b'.', rest @ ..] => rest.first().is_none_or(|b| !in_component(*b) && *b != b'/'),
        [b, ..] => !in_component(*b),
    }
}
