//! `unsafe` lives under `codex-rs/sandbox/src/sys/`.

use super::Violation;
use super::platform::HOME;
use super::source::{calls_of, words};
use super::tree::Tree;

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for (path, file) in tree.rust.iter().filter(|(path, _)| !path.starts_with(HOME)) {
        let mut add = |at, what| {
            let remedy = "use a safe interface, or move it to codex-rs/sandbox/src/sys/";
            found.push(Violation::new(path, file.line(at), what, remedy));
        };
        for at in words(&file.code, "unsafe") {
            add(at, "`unsafe` outside its home");
        }
        for level in ["allow", "warn", "expect"] {
            for (at, lints) in calls_of(&file.code, level) {
                if words(lints, "unsafe_code").next().is_some() {
                    add(at, "the lint `unsafe_code` is lowered outside its home");
                }
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
    fn unsafe_and_its_lint_are_found() {
        let code = "#![allow(dead_code, unsafe_code)]\nfn f() { unsafe { g() } }";
        let places = found(check, &[("codex-rs/core/src/lib.rs", code)]);
        assert_eq!(
            places,
            ["codex-rs/core/src/lib.rs:2", "codex-rs/core/src/lib.rs:1"]
        );
    }

    #[test]
    fn words_and_stricter_lints_pass() {
        let code = "#![forbid(unsafe_code)]\n// unsafe\nfn f<'unsafe_>() { g(\"unsafe\", '\"') }\n\
                    /* unsafe */ fn not_unsafe() { r#\"unsafe \"\"# }";
        let home = "fn f() { unsafe { g() } }";
        let files = [
            ("codex-rs/core/src/lib.rs", code),
            ("codex-rs/sandbox/src/sys/linux.rs", home),
        ];
        assert_eq!(found(check, &files), [""; 0]);
    }
}
