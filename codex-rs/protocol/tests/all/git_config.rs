//! What our reader sees in a file of git's settings beside what git itself sees.

use std::io::Write as _;
use std::process::{Command, Stdio};

use codex_protocol::git_config::{Entry, entries, judge};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// Pieces that files are put together from, so that they often nearly mean something.
const PIECES: &[&str] = &[
    "[core]",
    "[core]",
    "[branch \"b\"]",
    "[branch \"b\"]",
    "[remote \"o\"]",
    "[a.B]",
    "[A \"B.c\"]",
    "[",
    "]",
    "\"",
    "\\",
    "\n",
    "\n",
    "\n",
    "\n",
    "\r\n",
    "\r",
    " ",
    "\t",
    "\u{b}",
    "\u{c}",
    "=",
    "=",
    " = ",
    "#",
    ";",
    "bare",
    "bare = true\n",
    "url",
    "fetch=+refs/*:refs/*\n",
    "remote = o\n",
    "x-1",
    "X",
    "1",
    "-",
    "_",
    ".",
    ",",
    "\\n",
    "\\t",
    "\\b",
    "\\\"",
    "\\\\",
    "\\\n",
    "\\\r\n",
    "\\x",
    "\u{feff}",
    "\0",
    "é",
    "  ",
    "a b",
    "\"a  b\"",
    "\" #\"",
    "include",
    "[core]fsmonitor=x\n",
    "true",
];

fn file() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        20 => select(PIECES).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 1..3),
    ];
    let start = select(
        &[
            "",
            "[core]\n",
            "[core]\nbare = ",
            "\u{feff}[core]\n",
            "[branch \"b\"]\n",
        ][..],
    );
    (start, vec(piece, 0..16))
        .prop_map(|(start, pieces)| [start.as_bytes(), &pieces.concat()].concat())
}

/// What `git config --list` says; `None` where it fails.
fn git_sees(text: &[u8]) -> Option<Vec<Entry>> {
    let mut git = Command::new("git")
        .args(["config", "--file", "-", "--no-includes", "--list", "-z"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("git is there");
    // Git may give up before it has read everything.
    let _ = git.stdin.take().unwrap().write_all(text);
    let output = git.wait_with_output().unwrap();
    output.status.success().then(|| {
        let mut lines: Vec<_> = output.stdout.split(|b| *b == 0).collect();
        assert_eq!(lines.pop(), Some(&b""[..]));
        let entry = |line: &[u8]| match line.iter().position(|b| *b == b'\n') {
            Some(at) => Entry {
                key: line[..at].to_vec(),
                value: Some(line[at + 1..].to_vec()),
            },
            None => Entry {
                key: line.to_vec(),
                value: None,
            },
        };
        lines.into_iter().map(entry).collect()
    })
}

#[test]
fn ordinary_files_are_read_as_git_reads_them() {
    for text in [
        "",
        "[core]\n\tbare = false\n",
        "\u{feff}[Core]\r\nBare=no # so\r\n[a \"B \\\" \\x\"] k = \"v # \" w ; c",
        "[a.B.c]k\nl=\nm = a\\\n  b\\n\\t\\b\\\\ \n",
        "[a]k=  a  b\tc  \n# [b]\n;\n[c]",
    ] {
        let seen = git_sees(text.as_bytes()).unwrap();
        assert_eq!(entries(text.as_bytes()), Ok(seen), "{text:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1_500,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn what_is_read_is_what_git_reads(text in file()) {
        if let Ok(read) = entries(&text) {
            prop_assert_eq!(Some(read), git_sees(&text));
        }
    }

    #[test]
    fn a_judgement_never_fails_and_what_is_new_is_harmless(old in file(), new in file()) {
        let path = std::path::Path::new("/srv/p/.git/config");
        for old in [None, Some(&old[..])] {
            if judge(path, old, &new).is_ok() {
                for entry in git_sees(&new).unwrap() {
                    let known = old.is_some_and(|old| entries(old).unwrap().contains(&entry));
                    let runs = entry.key.ends_with(b"fsmonitor") || entry.key.starts_with(b"include");
                    prop_assert!(known || !runs, "{:?}", entry);
                }
            }
        }
    }
}
