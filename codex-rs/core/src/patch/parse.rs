//! From the text a model wrote to a [`Patch`].

use std::path::PathBuf;

use super::{
    Chunk, ChunkLine, MAX_OPERATIONS, MAX_PATCH_BYTES, MAX_PATH_BYTES, Operation, Patch, PatchError,
};

const BEGIN: &str = "*** Begin Patch";
const END: &str = "*** End Patch";
const ADD: &str = "*** Add File:";
const DELETE: &str = "*** Delete File:";
const UPDATE: &str = "*** Update File:";
const MOVE: &str = "*** Move to:";
const END_OF_FILE: &str = "*** End of File";

const EXPECTED_HEADER: &str = "`*** Add File: PATH`, `*** Delete File: PATH`, `*** Update File: PATH` or, as the last line, `*** End Patch`";
const EXPECTED_AFTER_ADD: &str = "another line of the added file, which begins with `+` (an empty line is `+` alone), or a `*** ` header";
const EXPECTED_CHUNK_LINE: &str = "a line that begins with ` ` (context), `-` (removed) or `+` (added), or `@@`, or a `*** ` header";

/// Parses a patch.
///
/// White space around the markers and headers is tolerated, as are blank lines
/// between operations and a heredoc (`<<'EOF'` … `EOF`) around the whole. If
/// the `*** Begin Patch` line ends with CRLF, one carriage return is taken off
/// every line.
///
/// # Errors
/// [`PatchError::PatchTooLarge`], [`PatchError::TooManyOperations`],
/// [`PatchError::Empty`], or [`PatchError::Syntax`] with the line at fault.
pub fn parse(text: &str) -> Result<Patch, PatchError> {
    if text.len() > MAX_PATCH_BYTES {
        return Err(PatchError::PatchTooLarge { bytes: text.len() });
    }
    let mut lines = body(text)?;
    let mut operations = Vec::new();
    while let Some((line, raw)) = lines.next() {
        let header = raw.trim();
        if header.is_empty() {
            continue;
        }
        if operations.len() == MAX_OPERATIONS {
            return Err(PatchError::TooManyOperations { line });
        }
        operations.push(if let Some(path) = header.strip_prefix(ADD) {
            Operation::Add {
                path: file_path(line, raw, path)?,
                content: added_content(&mut lines),
            }
        } else if let Some(path) = header.strip_prefix(DELETE) {
            Operation::Delete {
                path: file_path(line, raw, path)?,
            }
        } else if let Some(path) = header.strip_prefix(UPDATE) {
            let path = file_path(line, raw, path)?;
            let move_to = moved_to(&mut lines)?;
            let chunks = chunks(&mut lines)?;
            if chunks.is_empty() && move_to.is_none() {
                return Err(PatchError::found_line(
                    line,
                    raw,
                    "the update to have lines: `@@`, then lines that begin with ` `, `-` or `+`",
                ));
            }
            Operation::Update {
                path,
                move_to,
                chunks,
            }
        } else {
            let expected = match operations.last() {
                _ if header == END => "nothing after `*** End Patch`",
                Some(Operation::Add { .. }) => EXPECTED_AFTER_ADD,
                _ => EXPECTED_HEADER,
            };
            return Err(PatchError::found_line(line, raw, expected));
        });
    }
    if operations.is_empty() {
        return Err(PatchError::Empty);
    }
    Ok(Patch { operations })
}

/// The lines between the markers, numbered as in the whole text.
#[derive(Clone)]
struct Lines<'a> {
    rest: &'a str,
    number: usize,
    strip_cr: bool,
}

impl<'a> Lines<'a> {
    fn peek(&self) -> Option<(usize, &'a str)> {
        self.clone().next()
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = (usize, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let (line, rest) = self.rest.split_once('\n').unwrap_or((self.rest, ""));
        let number = self.number;
        self.rest = rest;
        self.number += 1;
        let stripped = if self.strip_cr {
            line.strip_suffix('\r')
        } else {
            None
        };
        Some((number, stripped.unwrap_or(line)))
    }
}

/// Takes the heredoc and the markers off. The end marker is the last line, and
/// not the first one that reads like it: white space before it would make it
/// a context line otherwise.
fn body(text: &str) -> Result<Lines<'_>, PatchError> {
    let mut rest = text.trim_start();
    let mut number = line_of(text, text.len() - rest.len());
    let mut end = rest.trim_end().len();
    let mut first = rest.lines().next().unwrap_or_default();
    if let Some(word) = heredoc_word(first) {
        let (_, inner) = rest[..end].split_once('\n').unwrap_or_default();
        let last = inner.lines().next_back().unwrap_or_default();
        if last.trim() != word {
            return Err(PatchError::found_line(
                number + rest[..end].matches('\n').count(),
                last,
                "the word that closes the heredoc around the patch",
            ));
        }
        let inner = &inner[..inner.rfind('\n').unwrap_or(0)];
        number += line_of(inner, inner.len() - inner.trim_start().len());
        rest = inner.trim_start();
        end = rest.trim_end().len();
        first = rest.lines().next().unwrap_or_default();
    }
    let framed = &rest[..end];
    if first.trim() != BEGIN {
        return Err(if framed.is_empty() {
            syntax(number, "nothing", "`*** Begin Patch`")
        } else {
            PatchError::found_line(number, first, "`*** Begin Patch` as the first line")
        });
    }
    let last_start = framed.rfind('\n').map_or(0, |at| at + 1);
    let last = &framed[last_start..];
    if last.trim() != END {
        return Err(PatchError::found_line(
            number + framed.matches('\n').count(),
            last,
            "`*** End Patch` as the last line",
        ));
    }
    let start = framed.find('\n').map_or(end, |at| at + 1);
    Ok(Lines {
        rest: &framed[start..last_start],
        number: number + 1,
        strip_cr: framed[..start].ends_with("\r\n"),
    })
}

/// The number of the line that byte `offset` is on, from 1.
fn line_of(text: &str, offset: usize) -> usize {
    1 + text[..offset].matches('\n').count()
}

/// The closing word if `line` opens a heredoc, bare or as the input of the
/// `apply_patch` command.
fn heredoc_word(line: &str) -> Option<&str> {
    let line = line.trim();
    let line = ["apply_patch", "applypatch"]
        .iter()
        .find_map(|command| line.strip_prefix(command))
        .unwrap_or(line);
    let word = line.trim_start().strip_prefix("<<")?;
    let word = word.strip_prefix('-').unwrap_or(word).trim_start();
    let word = ['\'', '"']
        .iter()
        .find_map(|quote| word.strip_prefix(*quote)?.strip_suffix(*quote))
        .unwrap_or(word);
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (!word.is_empty() && word.chars().all(is_word)).then_some(word)
}

fn syntax(line: usize, found: &str, expected: &'static str) -> PatchError {
    PatchError::Syntax {
        line,
        found: found.to_owned(),
        expected,
    }
}

fn file_path(line: usize, raw: &str, path: &str) -> Result<PathBuf, PatchError> {
    let path = path.trim();
    if path.is_empty() {
        return Err(PatchError::found_line(line, raw, "a path after the colon"));
    }
    if path.len() > MAX_PATH_BYTES {
        return Err(PatchError::found_line(
            line,
            raw,
            "a path of at most 4096 bytes",
        ));
    }
    if path.contains('\0') {
        return Err(PatchError::found_line(
            line,
            raw,
            "a path without NUL bytes",
        ));
    }
    Ok(PathBuf::from(path))
}

fn added_content(lines: &mut Lines<'_>) -> String {
    let mut content = String::new();
    while let Some(text) = lines.peek().and_then(|(_, line)| line.strip_prefix('+')) {
        content.push_str(text);
        content.push('\n');
        lines.next();
    }
    content
}

fn moved_to(lines: &mut Lines<'_>) -> Result<Option<PathBuf>, PatchError> {
    let Some((number, raw)) = lines.peek() else {
        return Ok(None);
    };
    let Some(path) = raw.trim().strip_prefix(MOVE) else {
        return Ok(None);
    };
    lines.next();
    file_path(number, raw, path).map(Some)
}

fn chunks(lines: &mut Lines<'_>) -> Result<Vec<Chunk>, PatchError> {
    let mut chunks = Vec::new();
    while let Some((_, line)) = lines.peek() {
        if line.trim().is_empty() {
            lines.next();
        } else if line.starts_with("***") {
            break;
        } else {
            chunks.push(chunk(lines, chunks.is_empty())?);
        }
    }
    Ok(chunks)
}

/// Parses one chunk; only the first of an update may come without `@@`.
fn chunk(lines: &mut Lines<'_>, is_first: bool) -> Result<Chunk, PatchError> {
    let patch_line = lines.number;
    let mut context = Vec::new();
    let mut has_header = false;
    while let Some((number, line)) = lines.peek() {
        let Some(text) = line.strip_prefix("@@") else {
            break;
        };
        has_header = true;
        if !text.trim().is_empty() {
            context.push(chunk_context(number, line, text)?);
        }
        lines.next();
    }
    if let Some((number, line)) = lines.peek()
        && !has_header
        && !is_first
    {
        return Err(PatchError::found_line(
            number,
            line,
            "`@@` or a `*** ` header",
        ));
    }

    let mut found = Vec::new();
    let mut end_of_file = false;
    // Blank lines without the leading space that a context line should have.
    let mut trailing_blank = 0;
    while let Some((number, line)) = lines.peek() {
        if line.starts_with("@@") {
            break;
        }
        if line.starts_with("***") {
            if line.trim_end() == END_OF_FILE {
                end_of_file = true;
                lines.next();
            }
            break;
        }
        trailing_blank = if line.is_empty() {
            trailing_blank + 1
        } else {
            0
        };
        found.push(if line.is_empty() {
            ChunkLine::Context(String::new())
        } else if let Some(text) = line.strip_prefix(' ') {
            ChunkLine::Context(text.to_owned())
        } else if let Some(text) = line.strip_prefix('-') {
            ChunkLine::Remove(text.to_owned())
        } else if let Some(text) = line.strip_prefix('+') {
            ChunkLine::Add(text.to_owned())
        } else {
            return Err(PatchError::found_line(number, line, EXPECTED_CHUNK_LINE));
        });
        lines.next();
    }
    // After `+` lines alone, blank lines only set the next header apart. Taken
    // as context they would pull the addition to the file's first blank line.
    let marked = found.len() - trailing_blank;
    if found[..marked].iter().all(|line| line.old().is_none()) {
        found.truncate(marked);
    }
    if found.is_empty() {
        return Err(syntax(
            patch_line,
            "a chunk without lines",
            "at least one line that begins with ` `, `-` or `+`",
        ));
    }
    Ok(Chunk {
        patch_line,
        context,
        lines: found,
        end_of_file,
    })
}

/// `text` is what follows `@@` on `line`; not blank.
fn chunk_context(number: usize, line: &str, text: &str) -> Result<String, PatchError> {
    let Some(text) = text.strip_prefix(' ') else {
        return Err(PatchError::found_line(
            number,
            line,
            "`@@` alone, or `@@ ` and a line of the file",
        ));
    };
    // A diff's header would be looked for in the file and never found; say at
    // once what is wrong with it.
    let mut words = text.split_whitespace();
    let is_range = |word: Option<&str>, mark: char| {
        word.and_then(|word| word.strip_prefix(mark))
            .is_some_and(|range| {
                !range.is_empty() && range.chars().all(|c| c.is_ascii_digit() || c == ',')
            })
    };
    if is_range(words.next(), '-') && is_range(words.next(), '+') && words.next() == Some("@@") {
        return Err(PatchError::found_line(
            number,
            line,
            "`@@` alone, or `@@ ` and a line of the file; this format has no line numbers",
        ));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests;
