//! What the checks ask of one Rust file: which of it is test code, and which paths it names.

use std::collections::HashMap;
use std::ops::Range;

use crate::lexer::is_word;

/// A path as written (`fs::write`), with its first segment replaced by what the file's imports
/// say it stands for (`std::fs::write`).
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NamedPath<'a> {
    /// The segments; the last is `*` for a glob import.
    pub(crate) segments: Vec<&'a str>,
    /// The byte offset of the first character.
    pub(crate) start: usize,
    /// The byte offset after the last character.
    pub(crate) end: usize,
}

impl NamedPath<'_> {
    /// Whether `wanted` stands somewhere in the path as consecutive segments.
    pub(crate) fn has(&self, wanted: &[&str]) -> bool {
        self.segments
            .windows(wanted.len())
            .any(|window| window == wanted)
    }

    /// Whether the path starts with `wanted`.
    pub(crate) fn starts_with(&self, wanted: &[&str]) -> bool {
        self.segments.starts_with(wanted)
    }

    /// The path in Rust's notation.
    pub(crate) fn text(&self) -> String {
        self.segments.join("::")
    }
}

/// Every path in `code` (comments and literals already blanked), imports expanded to one path for
/// each imported name. Scopes are not told apart: an import counts for the whole file.
pub(crate) fn named_paths(code: &str) -> Vec<NamedPath<'_>> {
    let mut found = Vec::new();
    let mut names: HashMap<&str, Vec<&str>> = HashMap::new();
    let mut scan = Scan { code, at: 0 };
    let mut uses = Vec::new();
    while let Some((start, word)) = scan.next_word() {
        if word == "use" && scan.peek() != Some(b'<') {
            let mut tree = Vec::new();
            scan.use_tree(&mut Vec::new(), &mut tree);
            for (path, name) in tree {
                names.insert(name, path.segments.clone());
                uses.push(path);
            }
            continue;
        }
        let mut segments = vec![word];
        let mut end = scan.at;
        while scan.skip("::") {
            let Some(segment) = scan.word() else { break };
            segments.push(segment);
            end = scan.at;
        }
        scan.at = end;
        if !is_method(code, start) {
            found.push(NamedPath {
                segments,
                start,
                end,
            });
        }
    }
    for path in &mut found {
        if let Some(full) = path.segments.first().and_then(|first| names.get(first)) {
            // `use crate::fs; fs::write` must not grow without end: one step is enough.
            path.segments.splice(0..1, full.iter().copied());
        }
    }
    found.extend(uses);
    found.sort_by_key(|path| path.start);
    found
}

fn is_method(code: &str, start: usize) -> bool {
    let before = code.get(..start).unwrap_or_default().trim_end();
    before.ends_with('.') && !before.ends_with("..")
}

struct Scan<'a> {
    code: &'a str,
    at: usize,
}

impl<'a> Scan<'a> {
    fn byte(&self) -> Option<u8> {
        self.code.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while self.byte().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    fn peek(&mut self) -> Option<u8> {
        self.space();
        self.byte()
    }

    fn skip(&mut self, wanted: &str) -> bool {
        self.space();
        let there = self
            .code
            .get(self.at..)
            .is_some_and(|rest| rest.starts_with(wanted));
        self.at += if there { wanted.len() } else { 0 };
        there
    }

    fn word(&mut self) -> Option<&'a str> {
        self.space();
        let rest = self.code.as_bytes().get(self.at..).unwrap_or_default();
        // `r#"` opens a raw string, `r#name` is a name.
        if rest.starts_with(b"r#") && rest.get(2).is_some_and(|byte| is_word(*byte)) {
            self.at += 2;
        }
        let start = self.at;
        while self.byte().is_some_and(is_word) {
            self.at += 1;
        }
        self.code
            .get(start..self.at)
            .filter(|word| !word.is_empty())
    }

    fn next_word(&mut self) -> Option<(usize, &'a str)> {
        while self.byte().is_some_and(|byte| !is_word(byte)) {
            self.at += 1;
        }
        let start = self.at;
        self.word().map(|word| (start, word))
    }

    /// One use-tree, its leaves pushed as path and imported name.
    fn use_tree(&mut self, prefix: &mut Vec<&'a str>, leaves: &mut Vec<(NamedPath<'a>, &'a str)>) {
        let depth = prefix.len();
        let start = {
            self.skip("::");
            self.space();
            self.at
        };
        loop {
            if self.skip("{") {
                // Ends also at the end of the text, so that broken code cannot hold us here.
                while !self.skip("}") && self.peek().is_some() {
                    let before = self.at;
                    self.use_tree(prefix, leaves);
                    self.skip(",");
                    if self.at == before {
                        break;
                    }
                }
                break;
            }
            let segment = if self.skip("*") {
                Some("*")
            } else {
                self.word()
            };
            let Some(segment) = segment else { break };
            if segment != "self" || prefix.is_empty() {
                prefix.push(segment);
            }
            if self.skip("::") {
                continue;
            }
            let end = self.at;
            let named = prefix.last().copied().unwrap_or_default();
            let mut ahead = Scan {
                code: self.code,
                at: self.at,
            };
            let name = if ahead.word() == Some("as") {
                let name = ahead.word().unwrap_or(named);
                self.at = ahead.at;
                name
            } else {
                named
            };
            leaves.push((
                NamedPath {
                    segments: prefix.clone(),
                    start,
                    end,
                },
                name,
            ));
            break;
        }
        prefix.truncate(depth);
    }
}

/// Attributes of the form `#[name(…)]` or `#![name(…)]` and macro calls `name!(…)`: the offset of
/// the name and what stands between the brackets.
pub(crate) fn calls_of<'a>(code: &'a str, name: &str) -> Vec<(usize, &'a str)> {
    words(code, name)
        .filter_map(|at| {
            let rest = code.get(at + name.len()..)?;
            let rest = rest.strip_prefix('!').unwrap_or(rest);
            let open = rest.trim_start();
            let opened = open.chars().next().filter(|c| "([{".contains(*c))?;
            let length = closing(open)?;
            Some((at, open.get(opened.len_utf8()..length)?))
        })
        .collect()
}

/// The offsets at which `word` stands as a whole word.
pub(crate) fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let bytes = code.as_bytes();
    let edge = move |at: Option<usize>| {
        at.and_then(|at| bytes.get(at))
            .is_none_or(|byte| !is_word(*byte))
    };
    code.match_indices(word)
        .map(|(at, _)| at)
        .filter(move |at| edge(at.checked_sub(1)) && edge(Some(at + word.len())))
}

/// The offset of the bracket that closes the one `text` starts with.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

/// The parts of a file that are compiled for tests only.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct TestCode {
    /// Byte ranges of items under `#[cfg(test)]`.
    pub(crate) regions: Vec<Range<usize>>,
    /// Names of modules declared as `#[cfg(test)] mod name;`.
    pub(crate) modules: Vec<String>,
    /// The file starts with `#![cfg(test)]`.
    pub(crate) whole: bool,
}

/// Finds the test code of a file.
pub(crate) fn test_code(code: &str) -> TestCode {
    let mut found = TestCode::default();
    for (at, predicate) in calls_of(code, "cfg") {
        if !is_test_only(predicate) {
            continue;
        }
        let before = code.get(..at).unwrap_or_default().trim_end();
        if before.ends_with("#![") {
            found.whole = true;
        } else if before.ends_with("#[") {
            let start = before.len() - "#[".len();
            let length = item_length(code.get(start..).unwrap_or_default());
            let item = code.get(start..start + length).unwrap_or_default();
            found.modules.extend(declared_module(item));
            found.regions.push(start..start + length);
        }
    }
    found
}

fn is_test_only(predicate: &str) -> bool {
    let predicate = predicate.trim();
    let all = predicate.starts_with("all") && words(predicate, "not").next().is_none();
    let any = words(predicate, "any").next().is_some();
    predicate == "test" || (all && !any && words(predicate, "test").next().is_some())
}

/// The length of the item that starts with the attribute at the start of `text`.
fn item_length(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut attribute = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'#' if depth == 0 => attribute = true,
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 && byte == b'}' {
                    return at + 1;
                }
                if depth == 0 && byte == b']' && attribute {
                    attribute = false;
                }
            }
            b';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The name in an item that ends in `mod name;`.
pub(crate) fn declared_module(item: &str) -> Option<String> {
    let declared = item.trim_end().strip_suffix(';')?.trim_end();
    let (before, name) = declared.rsplit_once(char::is_whitespace)?;
    let keyword = before
        .split(|c: char| c.is_whitespace() || c == ']')
        .next_back()?;
    (keyword == "mod").then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(code: &str) -> Vec<String> {
        named_paths(code).iter().map(NamedPath::text).collect()
    }

    #[test]
    fn imports_are_expanded_and_resolved() {
        let code = "use std::{fs, process::{Command as Cmd, self}};\nfs::write(); Cmd::new();";
        assert_eq!(
            texts(code),
            [
                "std::fs",
                "std::process::Command",
                "std::process",
                "std::fs::write",
                "std::process::Command::new"
            ]
        );
        assert_eq!(texts("use a::*;"), ["a::*"]);
        assert_eq!(texts("use ::std :: fs ;"), ["std::fs"]);
        assert_eq!(texts("::std::env::var(x)"), ["std::env::var", "x"]);
    }

    #[test]
    fn methods_and_captures_are_no_paths() {
        assert_eq!(texts("x.write()"), ["x"]);
        assert_eq!(texts("f(r#\"\"#); r#type::y"), ["f", "r", "type::y"]);
        assert_eq!(texts("x\n    .write()"), ["x"]);
        assert_eq!(texts("0..fs::y"), ["0", "fs::y"]);
        assert_eq!(texts("impl T + use<'a> {}"), ["impl", "T", "use", "a"]);
        assert_eq!(texts("mpsc::channel::<u8>()"), ["mpsc::channel", "u8"]);
    }

    #[test]
    fn broken_imports_end() {
        for code in [
            "use",
            "use a::{",
            "use a::{b, {",
            "use {,};",
            "use a::{b;",
            "use é::{",
        ] {
            named_paths(code);
        }
    }

    #[test]
    fn test_regions_end_with_their_item() {
        let code = "fn a() {}\n#[cfg(test)]\n#[x(y)]\nmod tests { fn b() { [1; 2]; } }\nfn c() {}";
        let found = test_code(code);
        assert_eq!(found.regions.len(), 1);
        let region = code.get(found.regions.first().cloned().unwrap()).unwrap();
        assert!(
            region.starts_with("#[cfg(test)]") && region.ends_with("} }"),
            "{region}"
        );

        let found = test_code("#[cfg(test)]\nuse a::b;\nfn c() {}");
        assert_eq!(found.regions.first(), Some(&(0..22)));
        assert_eq!(test_code("#[cfg(test)] mod tests;").modules, ["tests"]);
        assert_eq!(test_code("#[cfg(test)]mod t;").modules, ["t"]);
        assert!(test_code("#![cfg(test)]\nfn a() {}").whole);
        assert_eq!(
            test_code("#[cfg(all(test, target_os = \"\"))] fn a() {}")
                .regions
                .len(),
            1
        );
    }

    #[test]
    fn what_may_be_compiled_without_tests_is_no_test_code() {
        for code in [
            "#[cfg(not(test))] fn a() {}",
            "#[cfg(any(test, feature = \"\"))] fn a() {}",
        ] {
            assert_eq!(test_code(code), TestCode::default(), "{code}");
        }
        assert_eq!(
            test_code("#[cfg(all(not(test), x))] fn a() {}"),
            TestCode::default()
        );
    }

    #[test]
    fn calls_have_balanced_contents() {
        assert_eq!(calls_of("#[cfg(any(a, b))] x", "cfg"), [(2, "any(a, b)")]);
        assert_eq!(calls_of("if cfg!(unix) {}", "cfg"), [(3, "unix")]);
        assert_eq!(calls_of("cfg(never", "cfg"), []);
        assert_eq!(calls_of("mycfg(unix)", "cfg"), []);
    }
}
