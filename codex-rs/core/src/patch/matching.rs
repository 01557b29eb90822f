//! Where the lines of a chunk stand in a file.
//!
//! Four passes over the file, each laxer than the one before; the first pass
//! that finds the lines anywhere wins. Lines are compared by keyed 64-bit
//! hashes and the search is Knuth–Morris–Pratt, so one pass is linear in the
//! file and the chunk whatever they contain. A hit is confirmed on the text.

use std::borrow::Cow;
use std::hash::{BuildHasher, RandomState};

/// Bytes hashed and lines compared for one patch. Our own limit: about a second
/// of work, which only a patch made to be slow comes near.
const SEARCH_BUDGET: u64 = 1 << 28;

/// The work one patch may still cause. It bounds chunks × lines, which the
/// linear passes alone do not.
pub(super) struct Budget(u64);

/// The budget is spent.
#[derive(Debug)]
pub(super) struct TooCostly;

impl Budget {
    pub(super) fn for_one_patch() -> Self {
        Self(SEARCH_BUDGET)
    }

    #[cfg(test)]
    pub(super) fn of(steps: u64) -> Self {
        Self(steps)
    }

    /// Takes `steps` off, or fails if fewer are left.
    pub(super) fn charge(&mut self, steps: usize) -> Result<(), TooCostly> {
        self.0 = self.0.checked_sub(steps as u64).ok_or(TooCostly)?;
        Ok(())
    }
}

/// What a pass leaves out of the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pass {
    /// Nothing.
    Exact,
    /// White space at the end of a line.
    TrailingSpace,
    /// White space at both ends.
    SurroundingSpace,
    /// Also the difference between typographic punctuation and ASCII.
    Punctuation,
}

const PASSES: [Pass; 4] = [
    Pass::Exact,
    Pass::TrailingSpace,
    Pass::SurroundingSpace,
    Pass::Punctuation,
];

impl Pass {
    /// The part of `line` this pass compares.
    fn key(self, line: &str) -> Cow<'_, str> {
        match self {
            Self::Exact => line.into(),
            Self::TrailingSpace => line.trim_end().into(),
            Self::SurroundingSpace => line.trim().into(),
            Self::Punctuation if line.is_ascii() => line.trim().into(),
            Self::Punctuation => line.trim().chars().map(plain).collect::<String>().into(),
        }
    }
}

/// ASCII for the punctuation that editors and models put in its place.
fn plain(c: char) -> char {
    match c {
        // Hyphens and dashes, minus sign.
        '\u{2010}'..='\u{2015}' | '\u{2212}' => '-',
        // Single quotation marks.
        '\u{2018}'..='\u{201B}' => '\'',
        // Double quotation marks.
        '\u{201C}'..='\u{201F}' => '"',
        // No-break, typographic and ideographic spaces.
        '\u{00A0}' | '\u{2002}'..='\u{200A}' | '\u{202F}' | '\u{205F}' | '\u{3000}' => ' ',
        other => other,
    }
}

/// `line` without its line ending.
pub(super) fn without_ending(line: &str) -> &str {
    line.strip_suffix('\n')
        .map_or(line, |line| line.strip_suffix('\r').unwrap_or(line))
}

/// The lines of a file, searchable.
pub(super) struct Index<'a> {
    /// With their endings.
    lines: Vec<&'a str>,
    hasher: RandomState,
    /// A hash a line for each pass, once the pass was needed.
    hashes: [Option<Vec<u64>>; PASSES.len()],
}

impl<'a> Index<'a> {
    /// Of lines with their endings.
    pub(super) fn new(lines: Vec<&'a str>) -> Self {
        Self {
            lines,
            hasher: RandomState::new(),
            hashes: [const { None }; PASSES.len()],
        }
    }

    /// The lines, with their endings.
    pub(super) fn lines(&self) -> &[&'a str] {
        &self.lines
    }

    /// The first line, at `from` or after it, where `wanted` begins; with
    /// `at_end`, only where it ends the file. `wanted` must not be empty.
    pub(super) fn find(
        &mut self,
        wanted: &[&str],
        from: usize,
        at_end: bool,
        budget: &mut Budget,
    ) -> Result<Option<usize>, TooCostly> {
        let Some(last) = self.lines.len().checked_sub(wanted.len()) else {
            return Ok(None);
        };
        let from = if at_end && last >= from { last } else { from };
        if from > last {
            return Ok(None);
        }
        for (nth, pass) in PASSES.into_iter().enumerate() {
            let hasher = &self.hasher;
            let hash = |line: &str| hasher.hash_one(pass.key(line).as_ref());
            let hashes = match &mut self.hashes[nth] {
                Some(hashes) => hashes,
                none => {
                    budget.charge(self.lines.iter().map(|line| line.len()).sum())?;
                    none.insert(
                        self.lines
                            .iter()
                            .map(|line| hash(without_ending(line)))
                            .collect(),
                    )
                }
            };
            budget.charge(wanted.iter().map(|line| line.len() + 1).sum())?;
            let pattern: Vec<u64> = wanted.iter().map(|line| hash(line)).collect();
            let lines = &self.lines;
            let confirm = |at: usize| {
                lines[at..]
                    .iter()
                    .zip(wanted)
                    .all(|(line, wanted)| pass.key(without_ending(line)) == pass.key(wanted))
            };
            budget.charge(hashes.len() - from)?;
            if let Some(at) = search(&hashes[from..], &pattern, |at| confirm(from + at)) {
                return Ok(Some(from + at));
            }
        }
        Ok(None)
    }
}

/// The first place in `text` where `pattern` stands and `confirm` agrees.
/// Knuth–Morris–Pratt: linear in both.
fn search(text: &[u64], pattern: &[u64], confirm: impl Fn(usize) -> bool) -> Option<usize> {
    // borders[i]: the length of the longest proper prefix of the pattern that
    // is also a suffix of its first i + 1 elements.
    let mut borders = vec![0; pattern.len()];
    let mut matched = 0;
    for at in 1..pattern.len() {
        while matched > 0 && pattern[at] != pattern[matched] {
            matched = borders[matched - 1];
        }
        matched += usize::from(pattern[at] == pattern[matched]);
        borders[at] = matched;
    }
    matched = 0;
    for (at, value) in text.iter().enumerate() {
        while matched > 0 && *value != pattern[matched] {
            matched = borders[matched - 1];
        }
        matched += usize::from(*value == pattern[matched]);
        if matched == pattern.len() {
            let start = at + 1 - matched;
            if confirm(start) {
                return Some(start);
            }
            matched = borders[matched - 1];
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(file: &[&str], wanted: &[&str], from: usize, at_end: bool) -> Option<usize> {
        let mut budget = Budget::for_one_patch();
        Index::new(file.to_vec())
            .find(wanted, from, at_end, &mut budget)
            .unwrap()
    }

    #[test]
    fn passes_go_from_exact_to_lax() {
        let table: &[(&[&str], &str, Option<usize>)] = &[
            (&["x\n", "  foo  \n", "foo  \n", "foo\n"], "foo", Some(3)),
            (&["x\n", "  foo  \n", "foo  \n"], "foo", Some(2)),
            (&["x\n", "  foo  \n"], "foo", Some(1)),
            (&["x\n", "foo\n"], "\tfoo ", Some(1)),
            (
                &["a \u{2013} \u{201C}b\u{201D}\u{A0}it\u{2019}s\n"],
                "a - \"b\" it's",
                Some(0),
            ),
            (
                &["a - \"b\" it's\n"],
                "a \u{2212} \u{201E}b\u{201F}\u{3000}it\u{2018}s",
                Some(0),
            ),
            // White space inside a line counts, and so does case.
            (&["a  b\n"], "a b", None),
            (&["Foo\n"], "foo", None),
        ];
        for (file, wanted, expected) in table {
            assert_eq!(
                find(file, &[wanted], 0, false),
                *expected,
                "{file:?} {wanted:?}"
            );
        }
    }

    #[test]
    fn endings_are_no_part_of_a_line() {
        assert_eq!(
            find(&["a\r\n", "b\n", "c"], &["a", "b", "c"], 0, false),
            Some(0)
        );
    }

    #[test]
    fn start_and_end_bound_the_search() {
        let file = ["a\n", "b\n", "a\n", "b\n"];
        assert_eq!(find(&file, &["a", "b"], 0, false), Some(0));
        assert_eq!(find(&file, &["a", "b"], 1, false), Some(2));
        assert_eq!(find(&file, &["a", "b"], 0, true), Some(2));
        assert_eq!(find(&file, &["a", "b"], 3, false), None);
        assert_eq!(find(&file, &["a", "b"], 3, true), None);
        assert_eq!(find(&file, &["b", "a"], 0, true), None);
        assert_eq!(find(&[], &["a"], 0, false), None);
    }

    #[test]
    fn search_agrees_with_the_plain_loop() {
        // Every text and pattern over two letters up to these lengths.
        let words = |length: u32| {
            (0..1u64 << length)
                .map(move |bits| (0..length).map(|at| bits >> at & 1).collect::<Vec<u64>>())
        };
        for text in (0..=9).flat_map(words) {
            for pattern in (1..=4).flat_map(words) {
                let plain = text
                    .windows(pattern.len())
                    .position(|window| window == pattern);
                assert_eq!(
                    search(&text, &pattern, |_| true),
                    plain,
                    "{text:?} {pattern:?}"
                );
                // A hit that is not confirmed must not hide the next one.
                let second = text
                    .windows(pattern.len())
                    .enumerate()
                    .filter(|(_, window)| *window == pattern)
                    .map(|(at, _)| at)
                    .nth(1);
                assert_eq!(search(&text, &pattern, |at| Some(at) != plain), second);
            }
        }
    }

    #[test]
    fn a_spent_budget_is_an_error() {
        let mut index = Index::new(vec!["a\n"; 100]);
        assert!(index.find(&["b"], 0, false, &mut Budget::of(700)).is_err());
        assert!(index.find(&["b"], 0, false, &mut Budget::of(2_000)).is_ok());
    }
}
