//! The matching lines of one file.

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};

use grep_matcher::Matcher;
use grep_regex::RegexMatcher;
use grep_searcher::{BinaryDetection, Searcher, SearcherBuilder, Sink, SinkFinish, SinkMatch};

use super::{Hit, Kind};
use crate::output;

/// How much of a line is shown, in bytes.
const LONGEST_LINE: usize = 300;

/// How much of a line is shown before its first match, where it is cut.
const BEFORE_MATCH: usize = 80;

/// The longest line that is searched, in bytes: a searcher holds a whole line.
const LARGEST_LINE: usize = 4 << 20;

/// Searches files one after the other; each thread has its own.
pub(super) struct Lines<'q> {
    searcher: Searcher,
    matcher: &'q RegexMatcher,
    kind: Kind,
    limit: usize,
    stop: &'q AtomicBool,
}

impl<'q> Lines<'q> {
    pub(super) fn new(
        matcher: &'q RegexMatcher,
        kind: Kind,
        limit: usize,
        stop: &'q AtomicBool,
    ) -> Self {
        let searcher = SearcherBuilder::new()
            .line_number(true)
            .binary_detection(BinaryDetection::quit(0))
            .heap_limit(Some(LARGEST_LINE))
            .build();
        Self {
            searcher,
            matcher,
            kind,
            limit,
            stop,
        }
    }

    /// The results of a text file; none of one that holds a zero byte.
    ///
    /// # Errors
    /// What the system says, that a line is too long, or that the search was stopped.
    pub(super) fn of(&mut self, file: impl Read) -> io::Result<Vec<Hit>> {
        let reader = Stoppable {
            file,
            stop: self.stop,
        };
        let mut sink = Collect {
            matcher: self.matcher,
            most: match self.kind {
                // One more tells whether there are more.
                Kind::Content => self.limit + 1,
                Kind::Count | Kind::Names => usize::MAX,
            },
            count: 0,
            keep: self.kind == Kind::Content,
            hits: Vec::new(),
        };
        self.searcher
            .search_reader(self.matcher, reader, &mut sink)?;
        Ok(match self.kind {
            Kind::Count if sink.count > 0 => vec![Hit {
                line: sink.count,
                text: String::new(),
            }],
            _ => sink.hits,
        })
    }
}

struct Stoppable<'s, R> {
    file: R,
    stop: &'s AtomicBool,
}

impl<R: Read> Read for Stoppable<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(io::Error::other("the search was stopped"));
        }
        self.file.read(buffer)
    }
}

struct Collect<'q> {
    matcher: &'q RegexMatcher,
    most: usize,
    count: u64,
    keep: bool,
    hits: Vec<Hit>,
}

impl Sink for Collect<'_> {
    type Error = io::Error;

    fn matched(&mut self, _: &Searcher, found: &SinkMatch<'_>) -> io::Result<bool> {
        self.count += 1;
        if self.keep {
            self.hits.push(Hit {
                line: found.line_number().unwrap_or_default(),
                text: shown(self.matcher, found.bytes()),
            });
        }
        Ok(self.hits.len() < self.most)
    }

    fn finish(&mut self, _: &Searcher, end: &SinkFinish) -> io::Result<()> {
        if end.binary_byte_offset().is_some() {
            self.hits.clear();
            self.count = 0;
        }
        Ok(())
    }
}

/// The line as it is shown: the part with the first match, without what drives a terminal.
fn shown(matcher: &RegexMatcher, line: &[u8]) -> String {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.len() <= LONGEST_LINE {
        return output::printable(line);
    }
    let at = matcher.find(line).ok().flatten().map_or(0, |m| m.start());
    let start = at.saturating_sub(BEFORE_MATCH);
    let end = (start + LONGEST_LINE).min(line.len());
    let dots = |cut: bool| if cut { "[…]" } else { "" };
    format!(
        "{}{}{}",
        dots(start > 0),
        output::printable(&line[start..end]),
        dots(end < line.len())
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits(kind: Kind, limit: usize, text: &[u8]) -> Vec<Hit> {
        let matcher = RegexMatcher::new("needle").unwrap();
        let stop = AtomicBool::new(false);
        Lines::new(&matcher, kind, limit, &stop).of(text).unwrap()
    }

    #[test]
    fn long_lines_are_cut_around_the_match() {
        let line = format!("{}\u{1b}[31mneedle{}", "a".repeat(5000), "b".repeat(5000));
        let found = hits(Kind::Content, 9, line.as_bytes());
        assert!(found[0].text.len() < LONGEST_LINE + 20);
        assert!(found[0].text.contains("aneedleb"), "{}", found[0].text);
        assert!(found[0].text.starts_with("[…]") && found[0].text.ends_with("[…]"));
    }

    #[test]
    fn lines_are_counted_and_binary_files_give_nothing() {
        let text = b"needle\nx\nneedle\r\nneedle";
        assert_eq!(hits(Kind::Count, 1, text)[0].line, 3);
        let found = hits(Kind::Content, 1, text);
        assert_eq!((found.len(), found[1].line), (2, 3));
        assert_eq!(hits(Kind::Content, 9, b"needle\n\0"), []);
        assert_eq!(hits(Kind::Count, 9, b"needle\n\0"), []);
    }

    /// Lines without end, of which the eleventh reading stops the search.
    struct Endless<'s>(u32, &'s AtomicBool);

    impl Read for Endless<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0 += 1;
            self.1.store(self.0 > 10, Ordering::Relaxed);
            buffer.fill(b'\n');
            Ok(buffer.len())
        }
    }

    #[test]
    fn a_search_within_a_file_can_be_stopped() {
        let matcher = RegexMatcher::new("needle").unwrap();
        let stop = AtomicBool::new(false);
        let mut lines = Lines::new(&matcher, Kind::Content, 9, &stop);
        assert!(lines.of(Endless(0, &stop)).is_err());
    }
}
