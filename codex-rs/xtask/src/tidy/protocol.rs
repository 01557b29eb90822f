//! `protocol` is pure: no files, no sockets, no processes, no environment, no runtime, no platform.

use super::Violation;
use super::source::{calls_of, named_paths};
use super::tree::Tree;

const SOURCE: &str = "codex-rs/protocol/src/";
const BANNED: &[&[&str]] = &[
    &["std", "fs"],
    &["std", "net"],
    &["std", "process"],
    &["std", "env"],
    &["tokio"],
];

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for (path, file) in tree
        .rust
        .iter()
        .filter(|(path, _)| path.starts_with(SOURCE))
    {
        for named in named_paths(&file.code) {
            if BANNED.iter().any(|banned| named.starts_with(banned)) {
                found.push(Violation::new(
                    path,
                    file.line(named.start),
                    format!("protocol names `{}`", named.text()),
                    "protocol is pure: do this in a higher layer and pass the result",
                ));
            }
        }
        for name in ["cfg", "cfg_attr"] {
            for (at, predicate) in calls_of(&file.code, name) {
                if predicate.contains("target_") {
                    found.push(Violation::new(
                        path,
                        file.line(at),
                        "protocol differs by platform",
                        "move what differs to codex-rs/sandbox/src/sys/",
                    ));
                }
            }
        }
    }
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::super::tree::fixture::found;
    use super::*;

    #[test]
    fn impure_code_is_found() {
        let code = "use std::{fmt, env};\nfn f() { std::fs::read(\"\"); }\n\
                    #[cfg(target_os = \"linux\")]\nuse tokio::sync;\nuse std::process;";
        let places = found(check, &[("codex-rs/protocol/src/lib.rs", code)]);
        let lines: Vec<_> = places.iter().filter_map(|p| p.rsplit(':').next()).collect();
        assert_eq!(lines, ["1", "2", "4", "5", "3"]);
    }

    #[test]
    fn pure_code_passes_and_other_crates_are_free() {
        let pure = "use std::fmt; // std::fs\nfn f() { env!(\"X\"); mine::process(); }";
        let files = [
            ("codex-rs/protocol/src/lib.rs", pure),
            ("codex-rs/core/src/lib.rs", "use std::fs;"),
        ];
        assert_eq!(found(check, &files), [""; 0]);
    }
}
