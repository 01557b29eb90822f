//! What differs by platform lives under `codex-rs/sandbox/src/sys/`.

use super::Violation;
use super::source::{calls_of, words};
use super::tree::{Tree, line_of};

/// The one place for platform code, `unsafe` and starting processes.
pub(super) const HOME: &str = "codex-rs/sandbox/src/sys/";

const REMEDY: &str = "move what differs by platform to codex-rs/sandbox/src/sys/";

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for (path, file) in tree.rust.iter().filter(|(path, _)| !path.starts_with(HOME)) {
        let conditions = ["cfg", "cfg_attr", "cfg_select"]
            .into_iter()
            .flat_map(|name| calls_of(&file.code, name))
            .filter(|(_, predicate)| names_platform(predicate));
        for (at, _) in conditions {
            found.push(Violation::new(
                path,
                file.line(at),
                "code differs by platform",
                REMEDY,
            ));
        }
    }
    for member in tree.members.values() {
        let targets = member
            .manifest
            .get("target")
            .and_then(|value| value.as_table());
        for target in targets.into_iter().flat_map(|table| table.keys()) {
            let path = &member.manifest_path;
            let text = tree.texts.get(path).map(String::as_str).unwrap_or_default();
            let line = text.find("[target.").map_or(1, |at| line_of(text, at));
            let what = format!("dependencies differ by platform ({target})");
            found.push(Violation::new(
                path,
                line,
                what,
                "let codex-sandbox hold them",
            ));
        }
    }
    found
}

fn names_platform(predicate: &str) -> bool {
    let whole = ["unix", "windows"]
        .iter()
        .any(|word| words(predicate, word).next().is_some());
    whole || predicate.contains("target_")
}

#[cfg(test)]
mod tests {
    use super::super::tree::fixture::{found, manifest};
    use super::*;

    #[test]
    fn conditions_outside_their_home_are_found() {
        let code = "#[cfg(unix)]\nfn a() {}\n#[cfg(not(windows))]\nfn b() {}\n\
                    #![cfg_attr(target_os = \"linux\", x)]\nfn c() { cfg!(any(target_env = \"\")) }";
        let lines: Vec<_> = found(check, &[("codex-rs/core/src/lib.rs", code)]);
        let at = |line| format!("codex-rs/core/src/lib.rs:{line}");
        assert_eq!(lines, [at(1), at(3), at(6), at(5)]);
    }

    #[test]
    fn their_home_other_conditions_and_comments_pass() {
        let files = [
            (
                "codex-rs/sandbox/src/sys/mod.rs",
                "#[cfg(target_os = \"linux\")] mod linux;",
            ),
            (
                "codex-rs/core/src/lib.rs",
                "#[cfg(feature = \"unix\")] // cfg(unix)\nfn a() {}",
            ),
        ];
        assert_eq!(found(check, &files), [""; 0]);
    }

    #[test]
    fn dependencies_by_platform_are_found() {
        let text = manifest("core", "[target.'cfg(unix)'.dependencies]\nlibc = \"1\"\n");
        assert_eq!(
            found(check, &[("codex-rs/core/Cargo.toml", &text)]),
            ["codex-rs/core/Cargo.toml:8"]
        );
    }
}
