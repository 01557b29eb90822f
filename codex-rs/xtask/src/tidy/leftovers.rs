//! Nothing is left for later: no stubs, no ignored tests, no notes to oneself.

use super::Violation;
use super::source::words;
use super::tree::Tree;

const MACROS: &[&str] = &["todo", "unimplemented", "dbg"];
const NOTES: &[&str] = &["TODO", "FIXME", "XXX"];
/// Ends of paths of code that is not Rust.
const OTHER_CODE: &[&str] = &[
    ".toml", ".sh", ".py", ".js", ".ts", ".yml", ".yaml", ".ci/run",
];

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for (path, file) in &tree.rust {
        for name in MACROS {
            for at in words(&file.code, name) {
                let rest = file
                    .code
                    .get(at + name.len()..)
                    .unwrap_or_default()
                    .trim_start();
                if rest.starts_with('!') && !rest.starts_with("!=") {
                    let what = format!("`{name}!` is left in the code");
                    found.push(Violation::new(path, file.line(at), what, "finish it"));
                }
            }
        }
        for at in words(&file.code, "ignore") {
            let before = file.code.get(..at).unwrap_or_default().trim_end();
            if before.ends_with("#[") {
                let what = "a test is ignored";
                let remedy = "let it run everywhere, or remove it";
                found.push(Violation::new(path, file.line(at), what, remedy));
            }
        }
        notes(path, &file.comments, &mut found);
    }
    for (path, text) in &tree.texts {
        if OTHER_CODE.iter().any(|end| path.ends_with(end)) {
            notes(path, text, &mut found);
        }
    }
    found
}

fn notes(path: &str, text: &str, found: &mut Vec<Violation>) {
    for note in NOTES {
        for at in words(text, note) {
            let what = format!("a note `{note}`");
            let remedy = "do it, or say in an issue what is open";
            found.push(Violation::new(
                path,
                super::tree::line_of(text, at),
                what,
                remedy,
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tree::fixture::found;
    use super::*;

    #[test]
    fn leftovers_are_found() {
        let note = ["// TO", "DO: later\n"].concat();
        let code = format!("{note}fn f() {{ todo!() }}\nfn g() {{ dbg!(1) }}\n#[ignore = \"\"]\n");
        let files = [("codex-rs/a/src/lib.rs", code.as_str()), (".ci/run", &note)];
        let at = |line| format!("codex-rs/a/src/lib.rs:{line}");
        assert_eq!(
            found(check, &files),
            [at(2), at(3), at(4), at(1), ".ci/run:1".to_owned()]
        );
    }

    #[test]
    fn finished_code_passes() {
        let code = "/// `todo!` in words.\nfn todo() { if dbg != 1 { ignore(\"TODO\") } }";
        assert_eq!(found(check, &[("codex-rs/a/src/lib.rs", code)]), [""; 0]);
    }
}
