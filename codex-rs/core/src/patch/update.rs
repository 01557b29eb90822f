//! The new text of a file from its old text and the chunks of an update.

use std::path::Path;

use super::error::{NotFound, PatchError, Wanted};
use super::matching::{Budget, Index, TooCostly};
use super::nearest::nearest;
use super::{Chunk, ChunkLine, MAX_FILE_BYTES, MAX_FILE_LINES};

/// How many copied bytes are as much work as one byte hashed. Our own estimate.
const COPIED_BYTES_A_STEP: usize = 8;

/// Computes the text of a file after an update; `path` is for messages only.
///
/// Each chunk is looked for after the one before. A byte order mark at the
/// beginning stays and is no part of the first line. See the
/// [module](super) for line endings.
///
/// # Errors
/// [`PatchError::NotFound`] with the nearest lines, [`PatchError::TooCostly`]
/// or [`PatchError::FileTooLarge`].
pub fn update(old: &str, chunks: &[Chunk], path: &Path) -> Result<String, PatchError> {
    update_within(old, chunks, path, &mut Budget::for_one_patch())
}

/// [`update`] with what is left of a patch's budget.
pub(super) fn update_within(
    old: &str,
    chunks: &[Chunk],
    path: &Path,
    budget: &mut Budget,
) -> Result<String, PatchError> {
    let too_large = || PatchError::FileTooLarge {
        path: path.to_owned(),
    };
    if old.len() > MAX_FILE_BYTES {
        return Err(too_large());
    }
    let (mark, text) = match old.strip_prefix('\u{FEFF}') {
        Some(text) => ("\u{FEFF}", text),
        None => ("", old),
    };
    let lines: Vec<&str> = text
        .split_inclusive('\n')
        .take(MAX_FILE_LINES + 1)
        .collect();
    if lines.len() > MAX_FILE_LINES {
        return Err(too_large());
    }
    let ending = ending_of(&lines);
    // Splitting and writing out cost something also where nothing is searched.
    if let Some(first) = chunks.first() {
        let spent = budget.charge(old.len() / COPIED_BYTES_A_STEP);
        spent.map_err(|TooCostly| too_costly(path, 0, first))?;
    }

    let mut file = File {
        index: Index::new(lines),
        reached: 0,
        budget,
    };
    let mut edits = Vec::new();
    for (nth, chunk) in chunks.iter().enumerate() {
        edits.push(file.locate(chunk).map_err(|error| match error {
            Miss::TooCostly => too_costly(path, nth, chunk),
            Miss::NotFound(mut not_found) => {
                not_found.path = path.to_owned();
                not_found.chunk = nth + 1;
                PatchError::NotFound(not_found)
            }
        })?);
    }
    let changes = |edit: &Edit<'_>| {
        edit.lines
            .iter()
            .any(|line| !matches!(line, ChunkLine::Context(_)))
    };
    if !edits.iter().any(changes) {
        return Ok(old.to_owned());
    }
    // Additions at the end may come before chunks that stand further up. The
    // sort is stable: edits at the same line keep the order of the patch.
    edits.sort_by_key(|edit| edit.at);
    Ok(rewrite(mark, file.index.lines(), &edits, ending))
}

fn too_costly(path: &Path, nth: usize, chunk: &Chunk) -> PatchError {
    PatchError::TooCostly {
        path: path.to_owned(),
        chunk: nth + 1,
        patch_line: chunk.patch_line,
    }
}

/// The ending that added lines get: CRLF if most lines have it.
fn ending_of(lines: &[&str]) -> &'static str {
    let with_feed = lines.iter().filter(|line| line.ends_with('\n')).count();
    let with_both = lines.iter().filter(|line| line.ends_with("\r\n")).count();
    if with_both * 2 > with_feed {
        "\r\n"
    } else {
        "\n"
    }
}

/// A chunk with its place.
struct Edit<'c> {
    /// The index of the first old line, or where the additions go.
    at: usize,
    lines: Vec<&'c ChunkLine>,
}

enum Miss {
    TooCostly,
    /// Without path and chunk number.
    NotFound(Box<NotFound>),
}

impl From<TooCostly> for Miss {
    fn from(_: TooCostly) -> Self {
        Self::TooCostly
    }
}

/// The file that chunks are looked for in, one after the other.
struct File<'a, 'b> {
    index: Index<'a>,
    /// The index of the first line that no chunk has passed yet.
    reached: usize,
    budget: &'b mut Budget,
}

impl File<'_, '_> {
    fn locate<'c>(&mut self, chunk: &'c Chunk) -> Result<Edit<'c>, Miss> {
        for text in &chunk.context {
            let wanted = [text.as_str()];
            match self.index.find(&wanted, self.reached, false, self.budget)? {
                Some(at) => self.reached = at + 1,
                None => return Err(self.miss(chunk, Wanted::Context, &wanted)),
            }
        }
        let lines: Vec<&ChunkLine> = chunk.lines.iter().collect();
        let wanted: Vec<&str> = lines.iter().filter_map(|line| line.old()).collect();
        if wanted.is_empty() {
            let at = if chunk.context.is_empty() || chunk.end_of_file {
                self.index.lines().len()
            } else {
                self.reached
            };
            return Ok(Edit { at, lines });
        }
        if let Some(at) = self.find(chunk, &wanted)? {
            self.reached = at + wanted.len();
            return Ok(Edit { at, lines });
        }
        if let Some((lines, at_end)) = without_last_blank(&lines) {
            let shorter: Vec<&str> = lines.iter().filter_map(|line| line.old()).collect();
            let at_end = at_end || chunk.end_of_file;
            if let Some(at) = self
                .index
                .find(&shorter, self.reached, at_end, self.budget)?
            {
                self.reached = at + shorter.len();
                return Ok(Edit { at, lines });
            }
        }
        Err(self.miss(chunk, Wanted::Lines, &wanted))
    }

    fn find(&mut self, chunk: &Chunk, wanted: &[&str]) -> Result<Option<usize>, TooCostly> {
        let at_end = chunk.end_of_file;
        let found = self.index.find(wanted, self.reached, at_end, self.budget)?;
        // Models repeat the `@@` line as the first context line.
        if found.is_none() && !chunk.context.is_empty() {
            return self
                .index
                .find(wanted, self.reached - 1, at_end, self.budget);
        }
        Ok(found)
    }

    fn miss(&mut self, chunk: &Chunk, part: Wanted, wanted: &[&str]) -> Miss {
        let at_end = chunk.end_of_file && part == Wanted::Lines;
        // The failure is certain; a spent budget only makes it less helpful.
        let elsewhere = self
            .index
            .find(wanted, 0, false, self.budget)
            .unwrap_or(None);
        let nearest = match elsewhere {
            Some(_) => Vec::new(),
            None => nearest(self.index.lines(), wanted),
        };
        Miss::NotFound(Box::new(NotFound {
            path: Default::default(),
            chunk: 0,
            patch_line: chunk.patch_line,
            wanted: part,
            lines: NotFound::shown_lines(wanted.iter().copied()),
            omitted: wanted.len().saturating_sub(NotFound::MAX_LINES),
            searched_from: self.reached + 1,
            at_end,
            elsewhere: elsewhere.map(|at| at + 1),
            nearest,
        }))
    }
}

/// The chunk's lines without a blank end that the file may not have, and
/// whether the rest must then end the file. None if nothing can go.
///
/// Blank context lines at the end set the next header apart as often as they
/// are context. A removed blank line is only let go at the end of the file,
/// where the last line ending looks like an empty line; with it goes the added
/// blank line that stands for the same.
fn without_last_blank<'c>(lines: &[&'c ChunkLine]) -> Option<(Vec<&'c ChunkLine>, bool)> {
    let mut lines = lines.to_vec();
    let whole = lines.len();
    while lines
        .last()
        .is_some_and(|line| matches!(line, ChunkLine::Context(text) if text.is_empty()))
    {
        lines.pop();
    }
    let mut at_end = false;
    if lines.len() == whole {
        let last_old = lines.iter().rposition(|line| line.old().is_some())?;
        if !matches!(lines[last_old], ChunkLine::Remove(text) if text.is_empty()) {
            return None;
        }
        at_end = true;
        lines.remove(last_old);
        if matches!(lines.last(), Some(ChunkLine::Add(text)) if text.is_empty()) {
            lines.pop();
        }
    }
    lines
        .iter()
        .any(|line| line.old().is_some())
        .then_some((lines, at_end))
}

/// Puts the text together; `edits` are in the order of the file and apart.
fn rewrite(mark: &str, lines: &[&str], edits: &[Edit<'_>], ending: &str) -> String {
    let mut out = Output {
        text: mark.to_owned(),
        mark: mark.len(),
        ending,
    };
    let mut at = 0;
    for edit in edits {
        lines[at..edit.at].iter().for_each(|line| out.keep(line));
        at = edit.at;
        for line in &edit.lines {
            match line {
                ChunkLine::Context(_) => {
                    out.keep(lines[at]);
                    at += 1;
                }
                ChunkLine::Remove(_) => at += 1,
                ChunkLine::Add(text) => out.add(text),
            }
        }
    }
    lines[at..].iter().for_each(|line| out.keep(line));
    out.end_line();
    out.text
}

struct Output<'a> {
    text: String,
    /// The length of the byte order mark, which is no line.
    mark: usize,
    ending: &'a str,
}

impl Output<'_> {
    /// Ends the last line if it has no ending yet.
    fn end_line(&mut self) {
        if self.text.len() > self.mark && !self.text.ends_with('\n') {
            self.text.push_str(self.ending);
        }
    }

    /// A line of the file, with its own ending.
    fn keep(&mut self, line: &str) {
        self.end_line();
        self.text.push_str(line);
    }

    fn add(&mut self, text: &str) {
        self.end_line();
        // A patch may write the carriage return of a CRLF file out.
        let text = match self.ending {
            "\r\n" => text.strip_suffix('\r').unwrap_or(text),
            _ => text,
        };
        self.text.push_str(text);
        self.text.push_str(self.ending);
    }
}

#[cfg(test)]
mod tests;
