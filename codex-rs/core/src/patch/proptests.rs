//! Properties of the parser and the editor over generated input.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::{FileError, PatchFiles, apply, parse};

#[derive(Default)]
struct Memory(BTreeMap<PathBuf, Vec<u8>>);

impl PatchFiles for Memory {
    fn read(&mut self, path: &Path) -> Result<Vec<u8>, FileError> {
        self.0
            .get(path)
            .cloned()
            .ok_or_else(|| FileError("missing".into()))
    }

    fn write(&mut self, path: &Path, content: &[u8]) -> Result<(), FileError> {
        self.0.insert(path.to_owned(), content.to_vec());
        Ok(())
    }

    fn remove(&mut self, path: &Path) -> Result<(), FileError> {
        self.0
            .remove(path)
            .map(drop)
            .ok_or_else(|| FileError("missing".into()))
    }
}

/// What becomes of one line of the old text.
#[derive(Debug, Clone)]
enum LineEdit {
    Keep,
    Remove,
    Replace(Vec<String>),
    Before(Vec<String>),
}

fn line() -> impl Strategy<Value = String> {
    // A small alphabet, so that lines repeat and pass for marks and headers.
    prop_oneof![
        "[ab]{0,2}",
        "[-+@* a\u{2013}]{0,4}",
        Just("*** End Patch".to_owned()),
        Just("*** End of File".to_owned()),
        Just("@@".to_owned()),
    ]
}

fn line_edit() -> impl Strategy<Value = LineEdit> {
    prop_oneof![
        3 => Just(LineEdit::Keep),
        1 => Just(LineEdit::Remove),
        1 => prop::collection::vec(line(), 1..3).prop_map(LineEdit::Replace),
        1 => prop::collection::vec(line(), 1..3).prop_map(LineEdit::Before),
    ]
}

/// The chunk lines of `edit` on `old`, and the new lines.
fn edited(old: &str, edit: &LineEdit) -> (String, Vec<String>) {
    let added = |lines: &[String]| {
        lines
            .iter()
            .map(|line| format!("+{line}\n"))
            .collect::<String>()
    };
    match edit {
        LineEdit::Keep => (format!(" {old}\n"), vec![old.to_owned()]),
        LineEdit::Remove => (format!("-{old}\n"), vec![]),
        LineEdit::Replace(new) => (format!("-{old}\n{}", added(new)), new.clone()),
        LineEdit::Before(new) => {
            let mut lines = new.clone();
            lines.push(old.to_owned());
            (format!("{} {old}\n", added(new)), lines)
        }
    }
}

fn joined(lines: &[String], ending: &str) -> String {
    lines.iter().map(|line| format!("{line}{ending}")).collect()
}

fn applied(old: &str, body: &str) -> Result<String, String> {
    let text = format!("*** Begin Patch\n*** Update File: f\n{body}*** End Patch");
    let patch = parse(&text).map_err(|error| error.to_string())?;
    let mut files = Memory::default();
    files.0.insert("f".into(), old.into());
    let outcome = apply(&patch, &mut files);
    match outcome.failure {
        Some(_) => Err(outcome.summary()),
        None => Ok(String::from_utf8(files.0.remove(Path::new("f")).unwrap()).unwrap()),
    }
}

const VALID: &str = "*** Begin Patch\n*** Add File: a\n+x\n+\n*** Update File: f\n*** Move to: g\n@@ def f\n@@\n a\n-b\n+c\n*** End of File\n@@ z\n-y\n\n+x\n*** Delete File: d\n*** End Patch\n";

proptest! {
    #[test]
    fn any_text_parses_or_fails(text in any::<String>()) {
        let _ = parse(&text);
        let _ = parse(&format!("*** Begin Patch\n{text}\n*** End Patch"));
        let _ = parse(&format!("<<EOF\n{text}\nEOF"));
    }

    #[test]
    fn mutated_patches_parse_and_apply_or_fail(
        mutations in prop::collection::vec((any::<prop::sample::Index>(), 0..3u8, line()), 1..6),
        file in prop::collection::vec(line(), 0..8),
        crlf in any::<bool>(),
    ) {
        let mut lines: Vec<String> = VALID.lines().map(str::to_owned).collect();
        for (at, kind, with) in mutations {
            let at = at.index(lines.len());
            match kind {
                0 if lines.len() > 1 => drop(lines.remove(at)),
                1 => lines.insert(at, with),
                _ => {
                    let mut chars: Vec<char> = lines[at].chars().collect();
                    let cut = with.chars().count().min(chars.len());
                    chars.splice(..cut, with.chars().rev());
                    lines[at] = chars.into_iter().collect();
                }
            }
        }
        let ending = if crlf { "\r\n" } else { "\n" };
        if let Ok(patch) = parse(&joined(&lines, ending)) {
            let mut files = Memory::default();
            files.0.insert("f".into(), joined(&file, ending).into());
            files.0.insert("d".into(), b"\xff".to_vec());
            let outcome = apply(&patch, &mut files);
            let told = outcome.changes.len() + outcome.unchanged.len() + outcome.not_tried.len();
            // A move that failed to remove its source is a change too.
            prop_assert!(told + usize::from(outcome.failure.is_some()) >= patch.operations.len());
            prop_assert!(!outcome.summary().is_empty());
        }
    }

    /// One chunk over the whole file, whose lines may repeat.
    #[test]
    fn a_chunk_of_the_whole_file_gives_the_new_text(
        edits in prop::collection::vec((line(), line_edit()), 1..30),
        crlf in any::<bool>(),
    ) {
        let ending = if crlf { "\r\n" } else { "\n" };
        let old: Vec<String> = edits.iter().map(|(line, _)| line.clone()).collect();
        let mut body = "@@\n".to_owned();
        let mut new = Vec::new();
        for (line, edit) in &edits {
            let (chunk, lines) = edited(line, edit);
            body.push_str(&chunk);
            new.extend(lines);
        }
        body.push_str("*** End of File\n");
        prop_assert_eq!(applied(&joined(&old, ending), &body), Ok(joined(&new, ending)));
    }

    /// A chunk for each edited line of a file whose lines differ.
    #[test]
    fn many_small_chunks_give_the_new_text(
        edits in prop::collection::vec(line_edit(), 1..30),
        crlf in any::<bool>(),
    ) {
        let ending = if crlf { "\r\n" } else { "\n" };
        let old: Vec<String> = (0..edits.len()).map(|nth| format!("line {nth}")).collect();
        let mut body = String::new();
        let mut new = Vec::new();
        for (line, edit) in old.iter().zip(&edits) {
            let (chunk, lines) = edited(line, edit);
            if !matches!(edit, LineEdit::Keep) {
                body.push_str("@@\n");
                body.push_str(&chunk);
            }
            new.extend(lines);
        }
        prop_assume!(!body.is_empty());
        prop_assert_eq!(applied(&joined(&old, ending), &body), Ok(joined(&new, ending)));
    }
}
