use std::collections::BTreeMap;

use super::*;
use crate::patch::parse;

/// Files in memory, a log of what was asked, and paths that refuse a step.
#[derive(Default)]
struct Memory {
    files: BTreeMap<PathBuf, Vec<u8>>,
    refused: Vec<(&'static str, &'static str)>,
    asked: Vec<String>,
}

impl Memory {
    fn new(files: &[(&str, &[u8])]) -> Self {
        Self {
            files: files
                .iter()
                .map(|(path, content)| (path.into(), content.to_vec()))
                .collect(),
            ..Self::default()
        }
    }

    fn ask(&mut self, step: &str, path: &Path) -> Result<(), FileError> {
        self.asked.push(format!("{step} {}", path.display()));
        if self
            .refused
            .iter()
            .any(|(s, p)| *s == step && Path::new(p) == path)
        {
            return Err(FileError(format!("no {step} here")));
        }
        Ok(())
    }

    fn missing() -> FileError {
        FileError("no such file".to_owned())
    }

    fn text(&self, path: &str) -> Option<&str> {
        self.files
            .get(Path::new(path))
            .map(|bytes| std::str::from_utf8(bytes).unwrap())
    }
}

impl PatchFiles for Memory {
    fn read(&mut self, path: &Path) -> Result<Vec<u8>, FileError> {
        self.ask("read", path)?;
        self.files.get(path).cloned().ok_or_else(Self::missing)
    }

    fn write(&mut self, path: &Path, content: &[u8]) -> Result<(), FileError> {
        self.ask("write", path)?;
        self.files.insert(path.to_owned(), content.to_vec());
        Ok(())
    }

    fn remove(&mut self, path: &Path) -> Result<(), FileError> {
        self.ask("remove", path)?;
        self.files.remove(path).map(drop).ok_or_else(Self::missing)
    }
}

fn run(memory: &mut Memory, body: &str) -> PatchOutcome {
    let patch = parse(&format!("*** Begin Patch\n{body}*** End Patch\n")).unwrap();
    apply(&patch, memory)
}

#[test]
fn success_lists_every_change() {
    let mut memory = Memory::new(&[
        ("m", b"a\n"),
        ("d", b"x"),
        ("from", b"a\n"),
        ("same", b"a\n"),
    ]);
    let outcome = run(
        &mut memory,
        "*** Delete File: d\n*** Update File: m\n-a\n+b\n*** Update File: from\n*** Move to: to\n-a\n+c\n*** Update File: same\n a\n*** Add File: new\n+n\n",
    );
    assert_eq!(outcome.status(), PatchStatus::Changed);
    assert_eq!(
        outcome.summary(),
        "Success. Updated the following files:\nA new\nM m\nM to (moved from from)\nD d\nAlready as the patch asks:\n  same\n"
    );
    assert_eq!(
        memory.asked,
        [
            "remove d",
            "read m",
            "write m",
            "read from",
            "write to",
            "remove from",
            "read same",
            "write new"
        ]
    );
    assert_eq!(memory.text("to"), Some("c\n"));
}

#[test]
fn a_patch_that_asks_for_what_is_there_writes_nothing() {
    let mut memory = Memory::new(&[("f", b"a\nb")]);
    let outcome = run(&mut memory, "*** Update File: f\n@@\n a\n b\n");
    assert_eq!(outcome.status(), PatchStatus::Unchanged);
    assert_eq!(outcome.unchanged, [PathBuf::from("f")]);
    assert_eq!(memory.asked, ["read f"]);
    assert!(outcome.summary().starts_with("No changes: "));

    let outcome = run(&mut memory, "*** Update File: f\n@@\n-a\n+a\n b\n");
    assert_eq!(
        outcome.status(),
        PatchStatus::Changed,
        "the last line gets its ending"
    );
    let outcome = run(&mut memory, "*** Update File: f\n@@\n-a\n+a\n");
    assert_eq!(outcome.status(), PatchStatus::Unchanged);
}

#[test]
fn a_failure_tells_done_failed_and_not_tried() {
    let mut memory = Memory::new(&[("last", b"")]);
    let outcome = run(
        &mut memory,
        "*** Add File: first\n+a\n*** Update File: gone\n-a\n+b\n*** Delete File: last\n*** Update File: x\n*** Move to: y\n",
    );
    assert_eq!(outcome.status(), PatchStatus::Failed);
    let failure = outcome.failure.as_ref().unwrap();
    assert_eq!((failure.operation, failure.step), (1, Step::Read));
    assert_eq!(failure.cause, FailureCause::File(Memory::missing()));
    assert_eq!(
        outcome.summary(),
        "Failed at operation 2: could not read gone: no such file\nThese changes were made before and stay:\nA first\nNot tried:\nM y (moved from x)\nD last\n"
    );
    assert_eq!(memory.text("first"), Some("a\n"));
    assert_eq!(memory.text("last"), Some(""));
}

#[test]
fn a_miss_names_the_file_once() {
    let mut memory = Memory::new(&[("f", b"abcdef\n")]);
    let outcome = run(&mut memory, "*** Update File: f\n-abcdeg\n");
    assert_eq!(outcome.failure.as_ref().unwrap().step, Step::Edit);
    let summary = outcome.summary();
    assert!(
        summary.starts_with("Failed at operation 1: could not update f: chunk 1 (patch line 3): "),
        "{summary}"
    );
    assert!(summary.contains("     1|abcdef\n"), "{summary}");
    assert!(summary.ends_with("No files were changed.\n"), "{summary}");
}

#[test]
fn refusals_carry_their_own_words() {
    for (step, expected, left) in [
        (
            "write",
            "Failed at operation 1: could not write to: no write here\nNo files were changed.\n",
            false,
        ),
        (
            "remove",
            "Failed at operation 1: could not remove from: no remove here\nThese changes were made before and stay:\nA to\n",
            true,
        ),
    ] {
        let mut memory = Memory::new(&[("from", b"a\n")]);
        memory.refused = vec![("write", "to"), ("remove", "from")];
        memory.refused.retain(|(refused, _)| *refused == step);
        let outcome = run(
            &mut memory,
            "*** Update File: from\n*** Move to: to\n-a\n+b\n",
        );
        assert_eq!(outcome.summary(), expected);
        assert_eq!(memory.text("from"), Some("a\n"), "the source stays");
        assert_eq!(memory.text("to").is_some(), left);
    }
}

#[test]
fn a_move_onto_itself_removes_nothing() {
    let mut memory = Memory::new(&[("f", b"a\n")]);
    let outcome = run(
        &mut memory,
        "*** Update File: f\n*** Move to: ./f\n-a\n+b\n",
    );
    assert_eq!(
        outcome.changes,
        [FileChange {
            path: "f".into(),
            kind: ChangeKind::Update
        }]
    );
    assert_eq!(memory.text("f"), Some("b\n"));
    let outcome = run(&mut memory, "*** Update File: f\n*** Move to: f\n");
    assert_eq!(outcome.status(), PatchStatus::Unchanged);
    assert_eq!(memory.text("f"), Some("b\n"));
}

#[test]
fn bytes_that_are_no_text_can_be_moved_and_deleted_but_not_edited() {
    let mut memory = Memory::new(&[("b", b"ab\xff\n")]);
    let outcome = run(&mut memory, "*** Update File: b\n-ab\n");
    let cause = outcome.failure.unwrap().cause;
    assert_eq!(cause, FailureCause::NotUtf8 { offset: 2 });
    assert!(cause.to_string().contains("not UTF-8"));

    let outcome = run(&mut memory, "*** Update File: b\n*** Move to: c\n");
    let from = "b".into();
    assert_eq!(
        outcome.changes,
        [FileChange {
            path: "c".into(),
            kind: ChangeKind::Move { from }
        }]
    );
    assert_eq!(memory.files[Path::new("c")], b"ab\xff\n");
    assert_eq!(
        run(&mut memory, "*** Delete File: c\n").status(),
        PatchStatus::Changed
    );
    assert!(memory.files.is_empty());
}

#[test]
fn operations_see_the_ones_before() {
    let mut memory = Memory::default();
    let outcome = run(
        &mut memory,
        "*** Add File: f\n+a\n*** Update File: f\n-a\n+b\n*** Update File: f\n-b\n+c\n",
    );
    assert_eq!(outcome.status(), PatchStatus::Changed);
    assert_eq!(memory.text("f"), Some("c\n"));
}

#[test]
fn one_budget_serves_the_whole_patch() {
    // Each update alone is cheap; a thousand of them are not.
    let mut memory = Memory::new(&[("f", "x".repeat(1 << 20).as_bytes())]);
    let outcome = run(&mut memory, &"*** Update File: f\n@@\n-y\n+z\n".repeat(2));
    assert!(matches!(
        outcome.failure.unwrap().cause,
        FailureCause::Patch(PatchError::NotFound(_))
    ));

    let long = "x".repeat(1 << 20);
    let mut memory = Memory::new(&[("f", format!("{long}\na\n").as_bytes())]);
    let outcome = run(&mut memory, &"*** Update File: f\n@@\n a\n".repeat(1_000));
    let failure = outcome.failure.unwrap();
    assert!(matches!(
        failure.cause,
        FailureCause::Patch(PatchError::TooCostly { .. })
    ));
    assert!(failure.operation > 100, "{}", failure.operation);

    // Additions search nothing, but each writes the file out again.
    let mut memory = Memory::new(&[("f", "x".repeat(30 << 20).as_bytes())]);
    let outcome = run(&mut memory, &"*** Update File: f\n@@\n+z\n".repeat(100));
    let failure = outcome.failure.unwrap();
    assert!(matches!(
        failure.cause,
        FailureCause::Patch(PatchError::TooCostly { .. })
    ));
    assert!(failure.operation > 10, "{}", failure.operation);
}
