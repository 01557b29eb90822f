//! A module is named for the thing it holds (STYLE).

use super::Violation;
use super::source::words;
use super::tree::Tree;

const BANNED: &[&str] = &[
    "util",
    "utils",
    "utilities",
    "helper",
    "helpers",
    "common",
    "misc",
];
const REMEDY: &str = "name it for the thing it holds";

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for (path, file) in &tree.rust {
        let components = path
            .split('/')
            .map(|part| part.strip_suffix(".rs").unwrap_or(part));
        for name in components.filter(|name| BANNED.contains(name)) {
            found.push(Violation::new(
                path,
                1,
                format!("a file or folder `{name}`"),
                REMEDY,
            ));
        }
        for at in words(&file.code, "mod") {
            let rest = file
                .code
                .get(at + "mod".len()..)
                .unwrap_or_default()
                .trim_start();
            let name = rest
                .split(|c: char| !c.is_alphanumeric() && c != '_')
                .next();
            if let Some(name) = name.filter(|name| BANNED.contains(name)) {
                let what = format!("a module `{name}`");
                found.push(Violation::new(path, file.line(at), what, REMEDY));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::tree::fixture::found;
    use super::*;

    #[test]
    fn empty_names_are_found() {
        let files = [
            ("codex-rs/core/src/utils.rs", ""),
            ("codex-rs/core/tests/common/mod.rs", ""),
            ("codex-rs/core/src/lib.rs", "mod chain;\nmod helpers { }"),
        ];
        assert_eq!(
            found(check, &files),
            [
                "codex-rs/core/src/lib.rs:2",
                "codex-rs/core/src/utils.rs:1",
                "codex-rs/core/tests/common/mod.rs:1"
            ]
        );
    }

    #[test]
    fn full_names_pass() {
        let files = [(
            "codex-rs/core/src/commonmark.rs",
            "// mod utils;\nmod mod_utils_x;",
        )];
        assert_eq!(found(check, &files), [""; 0]);
    }
}
