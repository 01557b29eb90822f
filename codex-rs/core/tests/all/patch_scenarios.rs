//! Runs every scenario of `tests/data/apply_patch_scenarios`.
//!
//! A scenario fixes the tree before and after; a patch that fails and one that
//! does nothing can leave the same tree, so which ones fail is listed here.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use codex_core::patch::{FileError, PatchFiles, PatchStatus, apply, parse};

/// How a scenario has to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Changed,
    /// Not a patch: nothing may be tried.
    Invalid,
    /// A patch that fails while it is applied.
    Failed,
}

const SCENARIOS: [(&str, End); 23] = [
    ("001_add_file", End::Changed),
    ("002_multiple_operations", End::Changed),
    ("003_multiple_chunks", End::Changed),
    ("004_move_to_new_directory", End::Changed),
    ("005_rejects_empty_patch", End::Invalid),
    ("006_rejects_missing_context", End::Failed),
    ("007_rejects_missing_file_delete", End::Failed),
    ("008_rejects_empty_update_hunk", End::Invalid),
    ("009_requires_existing_file_for_update", End::Failed),
    ("010_move_overwrites_existing_destination", End::Changed),
    ("011_add_overwrites_existing_file", End::Changed),
    ("012_delete_directory_fails", End::Failed),
    ("013_rejects_invalid_hunk_header", End::Invalid),
    ("014_update_file_appends_trailing_newline", End::Changed),
    (
        "015_failure_after_partial_success_leaves_changes",
        End::Failed,
    ),
    ("016_pure_addition_update_chunk", End::Changed),
    ("017_whitespace_padded_hunk_header", End::Changed),
    ("018_whitespace_padded_patch_markers", End::Changed),
    ("019_unicode_simple", End::Changed),
    ("020_delete_file_success", End::Changed),
    ("020_whitespace_padded_patch_marker_lines", End::Changed),
    ("021_update_file_deletion_only", End::Changed),
    ("022_update_file_end_of_file_marker", End::Changed),
];

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/apply_patch_scenarios")
}

/// The directory a patch is applied in.
struct Directory<'a>(&'a Path);

impl PatchFiles for Directory<'_> {
    fn read(&mut self, path: &Path) -> Result<Vec<u8>, FileError> {
        Ok(fs::read(self.0.join(path))?)
    }

    fn write(&mut self, path: &Path, content: &[u8]) -> Result<(), FileError> {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap())?;
        Ok(fs::write(path, content)?)
    }

    fn remove(&mut self, path: &Path) -> Result<(), FileError> {
        Ok(fs::remove_file(self.0.join(path))?)
    }
}

/// Every path below `root`: the bytes of a file, or None for a directory.
fn tree(root: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut entries = BTreeMap::new();
    let mut pending = vec![root.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let content = if path.is_dir() {
                pending.push(path.clone());
                None
            } else {
                Some(fs::read(&path).unwrap())
            };
            entries.insert(path.strip_prefix(root).unwrap().to_owned(), content);
        }
    }
    entries
}

fn fill(root: &Path, entries: BTreeMap<PathBuf, Option<Vec<u8>>>) {
    // Sorted: a directory comes before what is in it.
    for (path, content) in entries {
        match content {
            None => fs::create_dir(root.join(path)).unwrap(),
            Some(content) => fs::write(root.join(path), content).unwrap(),
        }
    }
}

/// Runs the patch of a scenario in `root`.
fn run(scenario: &Path, root: &Path) -> End {
    let text = fs::read_to_string(scenario.join("patch.txt")).unwrap();
    let Ok(patch) = parse(&text) else {
        return End::Invalid;
    };
    let outcome = apply(&patch, &mut Directory(root));
    match outcome.status() {
        PatchStatus::Changed => End::Changed,
        PatchStatus::Failed => End::Failed,
        PatchStatus::Unchanged => panic!("no scenario leaves the files alone: {outcome:?}"),
    }
}

#[test]
fn every_scenario_is_listed() {
    let mut found: Vec<String> = fs::read_dir(data())
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    found.sort();
    let listed: Vec<&str> = SCENARIOS.iter().map(|(name, _)| *name).collect();
    assert_eq!(found, listed);
    assert_eq!(found.len(), 23);
}

#[test]
fn every_scenario_ends_as_expected() {
    let mut wrong = Vec::new();
    for (name, end) in SCENARIOS {
        let scenario = data().join(name);
        let root = tempfile::tempdir().unwrap();
        let input = scenario.join("input");
        if input.exists() {
            fill(root.path(), tree(&input));
        }
        let got = run(&scenario, root.path());
        if got != end {
            wrong.push(format!("{name}: expected {end:?}, got {got:?}"));
        }
        if tree(root.path()) != tree(&scenario.join("expected")) {
            wrong.push(format!("{name}: the files differ from expected/"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
