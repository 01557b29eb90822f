//! What a command prints: read without end, kept within bounds, shown head and tail.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;

/// How much of an output the model gets at most, in bytes: half from its head, half from its
/// tail.
pub const SHOWN: usize = 16 << 10;

/// How much of an output is kept on disk at most, in bytes.
pub const KEPT: u64 = 64 << 20;

/// An output that is being read.
#[derive(Debug)]
pub struct Capture {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    total: u64,
    place: PathBuf,
    file: Option<File>,
    keeps: bool,
}

/// An output that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captured {
    /// Head and tail, with a line between them that says what was left out and where it is.
    pub text: String,
    /// How many bytes there were.
    pub total: u64,
    /// Where the whole is kept, if it did not fit.
    pub kept: Option<PathBuf>,
}

impl Capture {
    /// An output whose whole goes to `place` if it does not fit. Nothing is made there before.
    #[must_use]
    pub fn new(place: PathBuf) -> Self {
        Self {
            head: Vec::new(),
            tail: VecDeque::new(),
            total: 0,
            place,
            file: None,
            keeps: true,
        }
    }

    /// The next part of an output that `whole` has as well: nothing of it is kept on disk beside.
    #[must_use]
    pub fn part_of(whole: &Self) -> Self {
        Self {
            keeps: false,
            ..Self::new(whole.place.clone())
        }
    }

    /// Whether there is nothing in it yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// Takes the next bytes. That the whole cannot be kept on disk is no reason to lose what is
    /// shown, so it only shows in [`Captured::kept`].
    pub fn push(&mut self, bytes: &[u8]) {
        self.total += bytes.len() as u64;
        let (mut rest, half) = (bytes, SHOWN / 2);
        let room = half.saturating_sub(self.head.len()).min(rest.len());
        self.head.extend_from_slice(&rest[..room]);
        rest = &rest[room..];
        if rest.is_empty() {
            return;
        }
        if self.keeps && self.file.is_none() && self.total > SHOWN as u64 {
            self.file = self.start_keeping().ok();
        }
        self.tail.extend(rest);
        if let Some(file) = &mut self.file {
            let left = usize::try_from(KEPT.saturating_sub(self.total - bytes.len() as u64))
                .unwrap_or(usize::MAX);
            if file.write_all(&rest[..left.min(rest.len())]).is_err() {
                self.file = None;
            }
        }
        let surplus = self.tail.len().saturating_sub(half);
        self.tail.drain(..surplus);
    }

    fn start_keeping(&self) -> io::Result<File> {
        if let Some(directory) = self.place.parent() {
            fs::create_dir_all(directory)?;
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&self.place)?;
        file.write_all(&self.head)?;
        let (a, b) = self.tail.as_slices();
        file.write_all(a)?;
        file.write_all(b)?;
        Ok(file)
    }

    /// The output so far, cut to size. Bytes that are not UTF-8 are replaced, and escape
    /// sequences are taken out: they are for terminals, not for models.
    #[must_use]
    pub fn finish(self) -> Captured {
        self.so_far(&self)
    }

    /// The same of an output that goes on; `whole` is what it is a part of, or itself.
    #[must_use]
    pub fn so_far(&self, whole: &Self) -> Captured {
        let kept = whole.file.as_ref().map(|_| whole.place.clone());
        let (front, back) = self.tail.as_slices();
        let tail = [front, back].concat();
        let cut = self.total - (self.head.len() + tail.len()) as u64;
        let text = if cut == 0 {
            let whole = [self.head.as_slice(), &tail].concat();
            printable(&whole)
        } else {
            let place = kept.as_deref().map_or_else(
                || "it could not be kept".to_owned(),
                |p| format!("the whole is in {}", p.display()),
            );
            format!(
                "{}\n[… {cut} bytes left out; {place} …]\n{}",
                printable(&self.head),
                printable(&tail)
            )
        };
        Captured {
            text,
            total: self.total,
            kept,
        }
    }
}

/// The most that the model gets of any call, in bytes: about 20,000 tokens at four bytes each. Tools
/// have smaller limits of their own, and ways to ask for the rest.
pub const LARGEST: usize = 80 << 10;

/// The text cut to [`LARGEST`]: its head and its tail, with a line between them that says so.
#[must_use]
pub fn limited(text: String) -> String {
    if text.len() <= LARGEST {
        return text;
    }
    let head = &text[..text.floor_char_boundary(LARGEST / 2)];
    let tail = &text[text.ceil_char_boundary(text.len() - LARGEST / 2)..];
    let cut = text.len() - head.len() - tail.len();
    format!("{head}\n[… {cut} bytes left out; ask for less at a time …]\n{tail}")
}

/// The text that `bytes` hold, without escape sequences and control characters other than line
/// ends and tabs.
#[must_use]
pub fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut clean = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\u{1b}' => skip_escape(&mut rest),
            '\r' if rest.peek() == Some(&'\n') => {}
            '\n' | '\t' => clean.push(c),
            c if c.is_control() => {}
            c => clean.push(c),
        }
    }
    clean
}

/// Skips what follows an ESC: a CSI sequence up to its final byte, a string up to its end, or
/// one character (ECMA-48, 5th edition, sections 5.3 to 5.6).
fn skip_escape(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match rest.next() {
        Some('[') => while rest.next().is_some_and(|c| !('@'..='~').contains(&c)) {},
        Some(']' | 'P' | 'X' | '^' | '_') => {
            while let Some(c) = rest.next() {
                if c == '\u{7}' || (c == '\u{1b}' && rest.next_if_eq(&'\\').is_some()) {
                    break;
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_output_is_whole_and_leaves_nothing_on_disk() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("out/1.txt");
        let mut capture = Capture::new(place.clone());
        capture.push(b"a\r\n\x1b[31mred\x1b[0m\x1b]0;title\x07!");
        let captured = capture.finish();
        assert_eq!(captured.text, "a\nred!");
        assert_eq!(captured.kept, None);
        assert!(!place.exists());
    }

    #[test]
    fn no_result_is_longer_than_the_limit() {
        let short = "ä".repeat(LARGEST / 2);
        assert_eq!(limited(short.clone()), short);
        let long = limited(format!("a{}z", "ä".repeat(LARGEST)));
        assert!(long.len() < LARGEST + 100, "{}", long.len());
        assert!(long.starts_with("aä") && long.ends_with("äz"));
        assert!(long.contains("bytes left out"));
    }

    #[test]
    fn a_long_output_shows_both_ends_and_is_kept_whole() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("out/1.txt");
        let mut capture = Capture::new(place.clone());
        let whole: Vec<u8> = (0..20_000)
            .flat_map(|n| format!("{n}\n").into_bytes())
            .collect();
        for piece in whole.chunks(777) {
            capture.push(piece);
        }
        let captured = capture.finish();
        assert!(captured.text.starts_with("0\n1\n"));
        assert!(captured.text.ends_with("19998\n19999\n"));
        assert!(captured.text.contains("bytes left out"));
        assert!(captured.text.len() < SHOWN + 300);
        assert_eq!(captured.total, whole.len() as u64);
        assert_eq!(fs::read(captured.kept.unwrap()).unwrap(), whole);
    }
}
