//! Every crate takes its lints and its version from the workspace.

use super::Violation;
use super::tree::{Tree, line_of};

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for member in tree.members.values() {
        let path = &member.manifest_path;
        let text = tree.texts.get(path).map(String::as_str).unwrap_or_default();
        let line = |needle: &str| text.find(needle).map_or(1, |at| line_of(text, at));
        let inherits = |table: Option<&toml::Value>| {
            table
                .and_then(|value| value.get("workspace"))
                .and_then(toml::Value::as_bool)
                == Some(true)
        };
        if !inherits(member.manifest.get("lints")) {
            let what = "the lints are not the workspace's";
            found.push(Violation::new(
                path,
                line("[lints"),
                what,
                "write `[lints]` and `workspace = true`",
            ));
        }
        let version = member
            .manifest
            .get("package")
            .and_then(|package| package.get("version"));
        if !inherits(version) {
            let what = "the version is not the workspace's";
            let remedy = "write `version.workspace = true`";
            found.push(Violation::new(path, line("version"), what, remedy));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::tree::fixture::{found, manifest};
    use super::*;

    #[test]
    fn own_lints_and_versions_are_found() {
        let own = "[package]\nname = \"codex-a\"\nversion = \"1.0.0\"\n";
        let lints = "[package]\nversion.workspace = true\n[lints.rust]\nunsafe_code = \"allow\"\n";
        let files = [
            ("codex-rs/a/Cargo.toml", own),
            ("codex-rs/b/Cargo.toml", lints),
        ];
        assert_eq!(
            found(check, &files),
            [
                "codex-rs/a/Cargo.toml:1",
                "codex-rs/a/Cargo.toml:3",
                "codex-rs/b/Cargo.toml:3"
            ]
        );
    }

    #[test]
    fn inherited_ones_pass() {
        assert_eq!(
            found(check, &[("codex-rs/a/Cargo.toml", &manifest("a", ""))]),
            [""; 0]
        );
    }
}
