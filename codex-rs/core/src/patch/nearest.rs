//! The lines of a file that most resemble the ones a chunk looked for.

use super::error::{NotFound, Region};
use super::matching::without_ending;

/// How many of the wanted lines are compared with the file.
const SAMPLES: usize = 8;
/// How much of a line is compared, in bytes.
const COMPARED_BYTES: usize = 160;
/// The most bytes compared in all; a large file gets fewer samples.
const COMPARED_TOTAL: usize = 64 << 20;
/// Below this share of common byte pairs two lines are not similar at all:
/// unrelated lines of source text reach about a third.
const SIMILAR: f32 = 0.5;
/// The share of the wanted text a region must resemble to be shown.
const SHOWN: f32 = 0.4;
/// A line counts by its length, up to this many bytes, so that a `}` says less
/// than a statement.
const FULL_WEIGHT_BYTES: usize = 40;
/// How good a second region must be, beside the best.
const SECOND: f32 = 0.8;

/// What of `text` most resembles `wanted`, in words that go on after a complaint that it is not
/// there; empty where nothing does.
#[must_use]
pub fn similar_lines(text: &str, wanted: &str) -> String {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let wanted: Vec<&str> = wanted.lines().collect();
    match nearest(&lines, &wanted).first() {
        None => String::new(),
        Some(region) => format!(
            "; most like it, from line {}:\n{}",
            region.first,
            region.lines.join("\n")
        ),
    }
}

/// Finds up to two regions of `lines` (with their endings) that resemble
/// `wanted`, best first.
///
/// A region is as long as `wanted`; it scores the sum over sampled lines of the
/// share of byte pairs (Dice's coefficient) common to the wanted line and the
/// line at the same place in the region.
pub(super) fn nearest(lines: &[&str], wanted: &[&str]) -> Vec<Region> {
    let bytes: usize = lines
        .iter()
        .map(|line| line.len().min(COMPARED_BYTES))
        .sum();
    let samples = (COMPARED_TOTAL / bytes.max(1)).clamp(1, SAMPLES);
    let mut scores = vec![0f32; lines.len()];
    let mut full = 0f32;
    let mut pairs = Pairs::new();
    for (offset, text) in wanted
        .iter()
        .enumerate()
        .filter(|(_, text)| !text.trim().is_empty())
        .take(samples)
    {
        let weight = text.trim().len().min(FULL_WEIGHT_BYTES) as f32;
        full += weight;
        pairs.set(text);
        for (start, line) in lines.iter().skip(offset).enumerate() {
            let similarity = pairs.similarity(without_ending(line));
            if similarity >= SIMILAR {
                scores[start] += weight * similarity;
            }
        }
    }
    let best = |without: Option<usize>| {
        let near = |start: usize| without.is_some_and(|other| start.abs_diff(other) < wanted.len());
        let mut best: Option<(usize, f32)> = None;
        for (start, score) in scores.iter().copied().enumerate() {
            if best.is_none_or(|(_, highest)| score > highest) && !near(start) {
                best = Some((start, score));
            }
        }
        best
    };
    let Some((first, high)) =
        best(None).filter(|(_, score)| *score > 0.0 && *score >= SHOWN * full)
    else {
        return Vec::new();
    };
    let second = best(Some(first)).filter(|(_, score)| *score >= SECOND * high);
    std::iter::once(first)
        .chain(second.map(|(start, _)| start))
        .map(|start| Region {
            first: start + 1,
            lines: NotFound::shown_lines(
                lines[start..]
                    .iter()
                    .take(wanted.len())
                    .map(|line| without_ending(line)),
            ),
        })
        .collect()
}

/// How often each pair of neighbouring bytes is in one text. Pairs share 4,096
/// counters: a collision makes lines look a little more alike, no more.
struct Pairs {
    counts: [u8; 4096],
    total: usize,
    /// The counters to restore after a comparison.
    taken: Vec<usize>,
}

impl Pairs {
    fn new() -> Self {
        Self {
            counts: [0; 4096],
            total: 0,
            taken: Vec::new(),
        }
    }

    /// Both ends count as line feeds, so that a text of one byte has pairs too.
    fn of(text: &str) -> impl Iterator<Item = usize> {
        let text = text.trim().as_bytes();
        let text = &text[..text.len().min(COMPARED_BYTES)];
        let mut before = b'\n';
        text.iter()
            .chain(std::iter::once(&b'\n'))
            .map(move |&byte| {
                let pair = (usize::from(before) * 31 + usize::from(byte) * 7) % 4096;
                before = byte;
                pair
            })
    }

    fn set(&mut self, text: &str) {
        self.counts = [0; 4096];
        self.total = 0;
        for pair in Self::of(text) {
            self.counts[pair] = self.counts[pair].saturating_add(1);
            self.total += 1;
        }
    }

    /// Dice's coefficient with the text set before, from 0 to 1.
    fn similarity(&mut self, text: &str) -> f32 {
        let mut total = 0;
        for pair in Self::of(text) {
            total += 1;
            if self.counts[pair] > 0 {
                self.counts[pair] -= 1;
                self.taken.push(pair);
            }
        }
        let common = self.taken.len();
        for pair in self.taken.drain(..) {
            self.counts[pair] += 1;
        }
        2.0 * common as f32 / (self.total + total) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn starts(file: &str, wanted: &[&str]) -> Vec<usize> {
        let lines: Vec<&str> = file.split_inclusive('\n').collect();
        nearest(&lines, wanted)
            .iter()
            .map(|region| region.first)
            .collect()
    }

    const FILE: &str = "fn alpha() {\n    let total = compute(1);\n}\n\nfn beta() {\n    let sum = add(2, 3);\n    print(sum);\n}\n";

    #[test]
    fn a_changed_word_is_near() {
        assert_eq!(starts(FILE, &["    let total = compute(2);"]), [2]);
        assert_eq!(
            starts(FILE, &["fn beta(x: u8) {", "    let sum = add(2, 4);"]),
            [5]
        );
    }

    #[test]
    fn the_place_in_the_chunk_counts() {
        // The `}` alone would fit twice; the other lines say which.
        assert_eq!(starts(FILE, &["    print(sums);", "}"]), [7]);
    }

    #[test]
    fn nothing_similar_is_nothing() {
        assert!(starts(FILE, &["zzzzzz qqqqq wwwww"]).is_empty());
        assert!(starts("", &["a"]).is_empty());
        assert!(starts(FILE, &["", "  "]).is_empty());
    }

    #[test]
    fn equally_good_places_are_both_shown() {
        assert_eq!(
            starts("value = 1\nx\ny\nvalue = 2\n", &["value = 3"]),
            [1, 4]
        );
    }

    #[test]
    fn regions_are_capped() {
        let file = "line\n".repeat(100);
        let lines: Vec<&str> = file.split_inclusive('\n').collect();
        let found = nearest(&lines, &vec!["lines"; 60]);
        assert_eq!(found[0].lines.len(), NotFound::MAX_LINES);
    }
}
