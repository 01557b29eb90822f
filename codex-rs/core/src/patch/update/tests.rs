use super::*;
use crate::patch::{Operation, parse};

fn chunks(body: &str) -> Vec<Chunk> {
    let text = format!("*** Begin Patch\n*** Update File: f\n{body}*** End Patch\n");
    match parse(&text).unwrap().operations.swap_remove(0) {
        Operation::Update { chunks, .. } => chunks,
        other => panic!("{other:?}"),
    }
}

fn updated(old: &str, body: &str) -> Result<String, PatchError> {
    update(old, &chunks(body), Path::new("f"))
}

#[track_caller]
fn check(old: &str, body: &str, expected: &str) {
    assert_eq!(
        updated(old, body)
            .map_err(|error| error.to_string())
            .as_deref(),
        Ok(expected)
    );
}

#[track_caller]
fn not_found(old: &str, body: &str) -> NotFound {
    match updated(old, body) {
        Err(PatchError::NotFound(error)) => *error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn context_keeps_the_bytes_of_the_file() {
    check(
        "\tif  x:   \n\t\told \u{2013} dash\n",
        "@@\n if  x:\n-old - dash\n+\t\tnew\n",
        "\tif  x:   \n\t\tnew\n",
    );
}

#[test]
fn chunks_go_forward() {
    check(
        "a\nb\na\nb\n",
        "@@\n a\n-b\n+1\n@@\n a\n-b\n+2\n",
        "a\n1\na\n2\n",
    );
    let error = not_found("a\nb\nc\n", "@@\n-b\n@@\n-a\n");
    assert_eq!(
        (error.chunk, error.searched_from, error.elsewhere),
        (2, 3, Some(1))
    );
}

#[test]
fn context_lines_are_sought_first() {
    let file = "class A\n  def f\n    x\n  def g\n    x\nclass B\n  def f\n    x\n";
    check(
        file,
        "@@ class B\n@@   def f\n-    x\n+    y\n",
        "class A\n  def f\n    x\n  def g\n    x\nclass B\n  def f\n    y\n",
    );
    // The `@@` line may be repeated as context.
    check("p\nq\n", "@@ p\n p\n-q\n+r\n", "p\nr\n");
    let error = not_found(file, "@@ class C\n-    x\n");
    assert_eq!(
        (error.wanted, error.lines),
        (Wanted::Context, vec!["class C".to_owned()])
    );
}

#[test]
fn additions_alone() {
    check("a\n", "@@\n+b\n", "a\nb\n");
    check("a\n\n", "@@\n+b\n", "a\n\nb\n");
    check("a", "@@\n+b\n", "a\nb\n");
    check("", "@@\n+b\n", "b\n");
    check("a\nb\n", "@@ a\n+x\n", "a\nx\nb\n");
    check("a\nb\n", "@@ a\n+x\n*** End of File\n", "a\nb\nx\n");
    // An addition at the end does not keep later chunks from the lines above.
    check("a\nb\n", "@@\n+c\n@@\n-a\n+z\n", "z\nb\nc\n");
    check("a\nb\n", "@@ a\n+x\n@@\n-b\n+y\n", "a\nx\ny\n");
}

#[test]
fn end_of_file_anchors() {
    check(
        "a\nb\na\nb\n",
        "@@\n a\n-b\n+c\n*** End of File\n",
        "a\nb\na\nc\n",
    );
    let error = not_found("a\nb\n", "@@\n-a\n*** End of File\n");
    assert!(error.at_end);
    assert_eq!(error.elsewhere, Some(1));
    assert_eq!(
        error.to_string(),
        "f: chunk 1 (patch line 3): these lines are not at the end of the file:\n    a\nThey stand at line 1. Take `*** End of File` out, or give the lines up to the end."
    );
}

#[test]
fn blank_ends_may_be_missing_from_the_file() {
    check("a\nb\nc\n", "@@\n-b\n+x\n\n@@\n-c\n+y\n", "a\nx\ny\n");
    check("a\nb\n", "@@\n-b\n-\n+x\n+\n", "a\nx\n");
    // A removed blank line is not waived in the middle of the file.
    not_found("a\nb\nc\n", "@@\n-b\n-\n+x\n");
    not_found("a\nb\n", "@@\n x\n\n");
}

#[test]
fn line_endings_stay() {
    check(
        "a\r\nb\r\nc\r\n",
        "@@\n a\n-b\n+x\n+y\n",
        "a\r\nx\r\ny\r\nc\r\n",
    );
    check("a\r\nb\r\n", "@@\n-a\r\n+x\r\n", "x\r\nb\r\n");
    check("a\r\nb", "@@\n-b\n+x\n", "a\r\nx\r\n");
    // Mixed: each line keeps its own, added lines follow the majority.
    check("a\r\nb\nc\nd\r\n", "@@\n b\n+x\n", "a\r\nb\nx\nc\nd\r\n");
    check("a\r\nb\nc\r\n", "@@\n b\n+x\n", "a\r\nb\nx\r\nc\r\n");
    // A carriage return inside a line is text.
    check("a\rb\nc\n", "@@\n a\rb\n-c\n+d\n", "a\rb\nd\n");
}

#[test]
fn the_end_gets_a_line_ending_only_with_a_change() {
    check("a\nb", "@@\n-a\n+x\n", "x\nb\n");
    check("a\nb", "@@\n b\n+c\n", "a\nb\nc\n");
    check("a\nb", "@@\n a\n", "a\nb");
    check("a\n", "@@\n-a\n", "");
}

#[test]
fn a_byte_order_mark_stays_first() {
    check("\u{FEFF}a\nb\n", "@@\n-a\n+x\n", "\u{FEFF}x\nb\n");
    check("\u{FEFF}a\n", "@@\n-a\n", "\u{FEFF}");
    check("\u{FEFF}", "@@\n+a\n", "\u{FEFF}a\n");
}

#[test]
fn a_miss_shows_wanted_and_nearest_lines() {
    let file = "use std::fs;\n\nfn main() {\n    let total = compute(1, 2);\n    println!(\"{total}\");\n}\n";
    let body = "@@\n fn main() {\n-    let total = compute(1);\n+    let total = compute(3);\n";
    assert_eq!(
        updated(file, body).unwrap_err().to_string(),
        "f: chunk 1 (patch line 3): these lines are not in the file from line 1 on:
    fn main() {
        let total = compute(1);
The nearest lines of the file are:
     3|fn main() {
     4|    let total = compute(1, 2);
Copy the lines as they stand in the file, without the numbers."
    );
    assert!(
        updated("", "@@\n-zzz\n")
            .unwrap_err()
            .to_string()
            .ends_with("The file has nothing similar. Read it again before the next patch.")
    );
}

#[test]
fn a_miss_is_short_whatever_was_wanted() {
    let body = format!(
        "@@\n{}",
        format!("-{}\n", "x\u{1b}".repeat(5_000)).repeat(500)
    );
    let old = format!("{}\n", "x\u{1b}".repeat(4_000)).repeat(500);
    let error = updated(&old, &body).unwrap_err().to_string();
    assert!(error.contains("(and 488 more)"));
    assert!(error.len() < 60_000, "{}", error.len());
    assert!(!error.contains('\u{1b}'));
}

#[test]
fn repeated_lines_are_searched_in_linear_time() {
    // Compared line by line this is 10^10 comparisons a pass.
    let old = "a\n".repeat(200_000);
    let body = format!("@@\n{}-b\n", "-a\n".repeat(100_000));
    not_found(&old, &body);
}

#[test]
fn many_far_chunks_spend_the_budget() {
    let old = "a\n".repeat(1_000);
    let mut chunk = chunks("@@\n-b\n");
    chunk[0].patch_line = 9;
    let error = update_within(&old, &chunk, Path::new("f"), &mut Budget::of(1_000)).unwrap_err();
    assert_eq!(
        error,
        PatchError::TooCostly {
            path: "f".into(),
            chunk: 1,
            patch_line: 9
        }
    );

    // Each chunk matches one line on, but only in the last pass, after three
    // that read all of the file.
    let old = "a\u{2013}\n".repeat(100_000);
    let result = updated(&old, &"@@\n-a-\n".repeat(100_000));
    assert!(
        matches!(result, Err(PatchError::TooCostly { chunk: 100.., .. })),
        "{result:?}"
    );
}

#[test]
fn large_files_are_refused() {
    let edits = chunks("@@\n+x\n");
    let bytes = "x".repeat(MAX_FILE_BYTES + 1);
    let lines = "\n".repeat(MAX_FILE_LINES + 1);
    for old in [bytes, lines] {
        assert_eq!(
            update(&old, &edits, Path::new("f")),
            Err(PatchError::FileTooLarge { path: "f".into() })
        );
    }
}
