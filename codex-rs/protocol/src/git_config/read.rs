//! What git reads in a file of settings (git-config(1), "Syntax"; `config.c` of git 2.47).
//!
//! Wherever git gives up, and wherever its versions differ, so does this.

/// Longest file that is looked into, bytes. Git's own is of a few hundred.
pub const MAX_CONFIG: usize = 1 << 20;

/// A file in which it is not certain what git reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("git's settings cannot be read with certainty")]
pub struct Unreadable;

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// `section.name` or `section.subsection.name`; section and name in lower case.
    pub key: Vec<u8>,
    /// The value; `None` where there is no `=`, which means true.
    pub value: Option<Vec<u8>>,
}

impl Entry {
    /// What stands before the first dot.
    #[must_use]
    pub fn section(&self) -> &[u8] {
        let dot = self.key.iter().position(|b| *b == b'.');
        &self.key[..dot.unwrap_or(self.key.len())]
    }

    /// What stands behind the last dot.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        let dot = self.key.iter().rposition(|b| *b == b'.');
        &self.key[dot.map_or(0, |dot| dot + 1)..]
    }

    /// What stands between them.
    #[must_use]
    pub fn subsection(&self) -> Option<&[u8]> {
        let (first, last) = (self.section().len(), self.key.len() - self.name().len());
        (first + 1 < last).then(|| &self.key[first + 1..last - 1])
    }

    /// The branch that the setting is of.
    #[must_use]
    pub fn branch(&self) -> Option<&[u8]> {
        self.subsection().filter(|_| self.section() == b"branch")
    }
}

/// Every setting in `text`, in order.
///
/// # Errors
/// [`Unreadable`] where git would refuse the file, where it holds a zero byte, a name before the
/// first section or a section without a name, or is longer than [`MAX_CONFIG`].
pub fn entries(text: &[u8]) -> Result<Vec<Entry>, Unreadable> {
    if text.len() > MAX_CONFIG || text.contains(&0) {
        return Err(Unreadable);
    }
    let mut reader = Reader {
        rest: text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text),
        ended: false,
    };
    let mut all = Vec::new();
    let mut section = Vec::new();
    loop {
        match reader.next() {
            c if is_space(c) => {}
            b'#' | b';' => while reader.next() != b'\n' {},
            b'[' => section = reader.section()?,
            c if c.is_ascii_alphabetic() && !section.is_empty() => {
                let mut key = section.clone();
                key.push(c.to_ascii_lowercase());
                let value = reader.setting(&mut key)?;
                all.push(Entry { key, value });
            }
            _ => return Err(Unreadable),
        }
        if reader.ended {
            return Ok(all);
        }
    }
}

/// Git's notion of white space, which has no vertical tab or form feed.
fn is_space(c: u8) -> bool {
    matches!(c, b' ' | b'\t' | b'\n' | b'\r')
}

fn is_key(c: u8) -> bool {
    c.is_ascii_alphanumeric() || c == b'-'
}

struct Reader<'t> {
    rest: &'t [u8],
    ended: bool,
}

impl Reader<'_> {
    /// The next byte; CR LF as one line feed, and line feeds without end at the end.
    fn next(&mut self) -> u8 {
        match self.rest {
            [b'\r', b'\n', rest @ ..] => {
                self.rest = rest;
                b'\n'
            }
            [c, rest @ ..] => {
                self.rest = rest;
                *c
            }
            [] => {
                self.ended = true;
                b'\n'
            }
        }
    }

    /// The rest of a section's header, as what stands before the names in it: `core.`.
    fn section(&mut self) -> Result<Vec<u8>, Unreadable> {
        let mut name = Vec::new();
        let mut c = loop {
            match self.next() {
                _ if self.ended => return Err(Unreadable),
                b']' if name.is_empty() => return Err(Unreadable),
                b']' => {
                    name.push(b'.');
                    return Ok(name);
                }
                c if is_space(c) => break c,
                c if is_key(c) || c == b'.' => name.push(c.to_ascii_lowercase()),
                _ => return Err(Unreadable),
            }
        };
        while is_space(c) {
            if c == b'\n' {
                return Err(Unreadable);
            }
            c = self.next();
        }
        // A header that has a dot before the quotes would be two subsections in one.
        if c != b'"' || name.is_empty() || name.contains(&b'.') {
            return Err(Unreadable);
        }
        name.push(b'.');
        loop {
            let c = match self.next() {
                b'"' => break,
                b'\\' => self.next(),
                c => c,
            };
            if c == b'\n' {
                return Err(Unreadable);
            }
            name.push(c);
        }
        if self.next() != b']' {
            return Err(Unreadable);
        }
        name.push(b'.');
        Ok(name)
    }

    /// The rest of a setting: of its name, which goes to `key`, and its value.
    fn setting(&mut self, key: &mut Vec<u8>) -> Result<Option<Vec<u8>>, Unreadable> {
        let mut c = self.next();
        while is_key(c) {
            key.push(c.to_ascii_lowercase());
            c = self.next();
        }
        while c == b' ' || c == b'\t' {
            c = self.next();
        }
        match c {
            b'\n' => Ok(None),
            b'=' => self.value().map(Some),
            _ => Err(Unreadable),
        }
    }

    fn value(&mut self) -> Result<Vec<u8>, Unreadable> {
        let mut value = Vec::new();
        // Where white space began that counts only if something follows.
        let mut kept = None;
        let mut quoted = false;
        loop {
            let c = self.next();
            match c {
                b'\n' if quoted => return Err(Unreadable),
                b'\n' => break,
                c if is_space(c) && !quoted => {
                    if !value.is_empty() {
                        kept.get_or_insert(value.len());
                        value.push(c);
                    }
                    continue;
                }
                b'#' | b';' if !quoted => {
                    while self.next() != b'\n' {}
                    break;
                }
                _ => kept = None,
            }
            match c {
                b'"' => quoted = !quoted,
                b'\\' => match self.next() {
                    b'\n' => {}
                    b't' => value.push(b'\t'),
                    b'b' => value.push(8),
                    b'n' => value.push(b'\n'),
                    c @ (b'\\' | b'"') => value.push(c),
                    _ => return Err(Unreadable),
                },
                c => value.push(c),
            }
        }
        value.truncate(kept.unwrap_or(value.len()));
        Ok(value)
    }
}
