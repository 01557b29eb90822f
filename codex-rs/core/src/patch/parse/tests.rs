use super::*;

fn operations(text: &str) -> Vec<Operation> {
    parse(text).unwrap().operations
}

/// The message of a patch with this body, and markers around it.
fn body_error(body: &str) -> String {
    parse(&format!("*** Begin Patch\n{body}*** End Patch\n"))
        .unwrap_err()
        .to_string()
}

fn chunk_lines(lines: &[&str]) -> Vec<ChunkLine> {
    lines
        .iter()
        .map(|line| {
            let text = line[1..].to_owned();
            match line.as_bytes()[0] {
                b'-' => ChunkLine::Remove(text),
                b'+' => ChunkLine::Add(text),
                _ => ChunkLine::Context(text),
            }
        })
        .collect()
}

#[test]
fn all_operations_in_order() {
    let patch = parse(
        "*** Begin Patch\n*** Add File: a b.txt\n+one\n+\n++\n*** Delete File: /x/../y\n\n*** Update File: src/m.rs\n*** Move to: src/n.rs\n@@ class A\n@@     def f():\n keep\n-old\n+new\n@@\n-z\n*** End of File\n*** End Patch",
    )
    .unwrap();
    assert_eq!(
        patch.operations,
        [
            Operation::Add {
                path: "a b.txt".into(),
                content: "one\n\n+\n".into()
            },
            Operation::Delete {
                path: "/x/../y".into()
            },
            Operation::Update {
                path: "src/m.rs".into(),
                move_to: Some("src/n.rs".into()),
                chunks: vec![
                    Chunk {
                        patch_line: 10,
                        context: vec!["class A".into(), "    def f():".into()],
                        lines: chunk_lines(&[" keep", "-old", "+new"]),
                        end_of_file: false,
                    },
                    Chunk {
                        patch_line: 15,
                        context: vec![],
                        lines: chunk_lines(&["-z"]),
                        end_of_file: true,
                    },
                ],
            },
        ]
    );
    let paths: Vec<_> = patch
        .paths()
        .iter()
        .map(|path| path.to_str().unwrap())
        .collect();
    assert_eq!(paths, ["a b.txt", "/x/../y", "src/m.rs", "src/n.rs"]);
}

#[test]
fn paths_are_listed_once() {
    let patch =
        parse("*** Begin Patch\n*** Delete File: a\n*** Add File: a\n*** End Patch").unwrap();
    assert_eq!(patch.paths(), [std::path::Path::new("a")]);
}

#[test]
fn heredocs_are_taken_off() {
    let plain = "*** Begin Patch\n*** Add File: f\n+EOF\n*** End Patch";
    let expected = operations(plain);
    for (open, close) in [
        ("<<'EOF'", "EOF"),
        ("<<EOF", "EOF"),
        ("<<\"PATCH\"", "PATCH"),
        ("apply_patch <<'EOF'", "EOF"),
        ("apply_patch << 'EOF'", " EOF "),
        ("<<-EOF", "EOF\n"),
    ] {
        assert_eq!(
            operations(&format!("{open}\n{plain}\n{close}")),
            expected,
            "{open}"
        );
    }
    assert_eq!(
        parse(&format!("<<'EOF'\n{plain}\n"))
            .unwrap_err()
            .to_string(),
        "patch line 5: found `*** End Patch`, expected the word that closes the heredoc around the patch"
    );
    assert!(parse("<<''\n").is_err());
    assert!(parse("<<EOF").is_err());
    assert!(parse("<<EOF\nEOF").is_err());
}

#[test]
fn a_crlf_patch_is_read_as_lines() {
    let text = "*** Begin Patch\n*** Update File: f\n@@ c\n a\n-b\n+c\n*** End of File\n*** Add File: g\n+h\n*** End Patch\n";
    assert_eq!(parse(&text.replace('\n', "\r\n")), parse(text));
    // Otherwise a carriage return is part of the line.
    let lone = operations("*** Begin Patch\n*** Add File: g\n+h\r\n*** End Patch\n");
    assert_eq!(
        lone,
        [Operation::Add {
            path: "g".into(),
            content: "h\r\n".into()
        }]
    );
}

#[test]
fn markers_in_content_are_content() {
    let update = operations(
        "*** Begin Patch\n*** Update File: f\n *** End Patch\n+*** End Patch\n *** End of File\n*** End Patch",
    );
    let Operation::Update { chunks, .. } = &update[0] else {
        panic!("not an update");
    };
    assert_eq!(
        chunks[0].lines,
        chunk_lines(&[" *** End Patch", "+*** End Patch", " *** End of File"])
    );
}

#[test]
fn blank_lines_after_additions_are_no_context() {
    let update = operations("*** Begin Patch\n*** Update File: f\n@@\n+x\n\n\n*** End Patch");
    let Operation::Update { chunks, .. } = &update[0] else {
        panic!("not an update");
    };
    assert_eq!(chunks[0].lines, chunk_lines(&["+x"]));
    let update = operations("*** Begin Patch\n*** Update File: f\n@@\n-x\n\n*** End Patch");
    let Operation::Update { chunks, .. } = &update[0] else {
        panic!("not an update");
    };
    assert_eq!(chunks[0].lines, chunk_lines(&["-x", " "]));
}

#[test]
fn a_move_needs_no_lines() {
    assert_eq!(
        operations("*** Begin Patch\n*** Update File: a\n*** Move to: b\n*** End Patch"),
        [Operation::Update {
            path: "a".into(),
            move_to: Some("b".into()),
            chunks: vec![]
        }]
    );
}

#[test]
fn errors_name_line_found_and_expected() {
    let table = [
        (
            "*** Frobnicate File: foo\n",
            "patch line 2: found `*** Frobnicate File: foo`, expected `*** Add File: PATH`",
        ),
        (
            "*** Add File: a\n+x\ny\n",
            "patch line 4: found `y`, expected another line of the added file",
        ),
        (
            "*** Add File: a\n+x\n\n+y\n",
            "patch line 5: found `+y`, expected another line of the added file",
        ),
        (
            "*** Delete File: a\n-x\n",
            "patch line 3: found `-x`, expected `*** Add File",
        ),
        (
            "*** Update File: f\n",
            "patch line 2: found `*** Update File: f`, expected the update to have lines",
        ),
        (
            "*** Update File: f\n@@\n",
            "patch line 3: found a chunk without lines",
        ),
        (
            "*** Update File: f\n@@\n-a\n@@ x\n\n*** End of File\n",
            "patch line 5: found a chunk without lines",
        ),
        (
            "*** Update File: f\n@@\n-a\noops\n",
            "patch line 5: found `oops`, expected a line that begins with ` ` (context)",
        ),
        (
            "*** Update File: f\noops\n",
            "patch line 3: found `oops`, expected a line that begins with",
        ),
        (
            "*** Update File: f\n-a\n*** End of File\n-b\n",
            "patch line 5: found `-b`, expected `@@` or",
        ),
        (
            "*** Update File: f\n@@x\n",
            "patch line 3: found `@@x`, expected `@@` alone",
        ),
        (
            "*** Update File: f\n@@ -1,2 +1,3 @@ fn x\n a\n",
            "this format has no line numbers",
        ),
        (
            "*** Add File:  \n",
            "patch line 2: found `*** Add File:  `, expected a path",
        ),
        ("*** Add File: a\0b\n", "expected a path without NUL"),
        (
            "*** Add File: a\n*** End Patch\n+x\n",
            "patch line 3: found `*** End Patch`, expected nothing after",
        ),
        (
            "*** Add File: \u{1b}[31m\n*** \u{1b}x\n",
            "patch line 3: found `*** \\u{1b}x`",
        ),
        ("\n \n", "the patch is empty"),
    ];
    for (body, expected) in table {
        let error = body_error(body);
        assert!(error.contains(expected), "{body:?}\n{error}\n{expected}");
    }
    let table = [
        (
            "",
            "patch line 1: found nothing, expected `*** Begin Patch`",
        ),
        (
            "\n\nhello",
            "patch line 3: found `hello`, expected `*** Begin Patch` as the first line",
        ),
        (
            "\n*** Begin Patch\n*** Add File: a\n+b",
            "patch line 4: found `+b`, expected `*** End Patch` as the last line",
        ),
        (
            "*** Begin Patch",
            "patch line 1: found `*** Begin Patch`, expected `*** End Patch` as the last line",
        ),
        (
            "<<EOF\n\n*** Begin Patch\n*** Zzz\n*** End Patch\nEOF",
            "patch line 4: found `*** Zzz`",
        ),
    ];
    for (text, expected) in table {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{text:?}\n{error}\n{expected}");
    }
}

#[test]
fn limits_hold() {
    let long = "x".repeat(MAX_PATCH_BYTES + 1);
    assert_eq!(
        parse(&long),
        Err(PatchError::PatchTooLarge {
            bytes: MAX_PATCH_BYTES + 1
        })
    );

    let deletes = |count: usize| {
        let body = "*** Delete File: a\n".repeat(count);
        parse(&format!("*** Begin Patch\n{body}*** End Patch"))
    };
    assert_eq!(
        deletes(MAX_OPERATIONS).unwrap().operations.len(),
        MAX_OPERATIONS
    );
    assert_eq!(
        deletes(MAX_OPERATIONS + 1),
        Err(PatchError::TooManyOperations {
            line: MAX_OPERATIONS + 2
        })
    );

    let path = "p".repeat(MAX_PATH_BYTES + 1);
    let error = body_error(&format!("*** Delete File: {path}\n"));
    assert!(error.contains(&format!("at most {MAX_PATH_BYTES} bytes")));
    assert!(error.len() < 500, "a long line is shortened: {error}");
}
