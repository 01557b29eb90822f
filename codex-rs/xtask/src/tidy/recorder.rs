//! A receipt of the audit log can be made by the audit log only.

use super::Violation;
use super::source::{named_paths, words};
use super::tree::Tree;

const HOME: &str = "codex-rs/audit/";

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for (path, file) in tree.shipped().filter(|(path, _)| !path.starts_with(HOME)) {
        let code = file.shipped_code();
        let aliases: Vec<usize> = named_paths(&code)
            .iter()
            .filter(|named| named.segments.last() == Some(&"Recorder"))
            .map(|named| named.end)
            .collect();
        for at in words(&code, "impl") {
            let Some(trait_end) = trait_end(&code, at) else {
                continue;
            };
            if aliases.contains(&trait_end) {
                found.push(Violation::new(
                    path,
                    file.line(at),
                    "`Recorder` is implemented outside the audit log",
                    "use the writer of codex-audit; only it makes receipts",
                ));
            }
        }
    }
    found
}

/// Where the path of the trait ends in the `impl` at `at`: before its arguments and the `for`.
fn trait_end(code: &str, at: usize) -> Option<usize> {
    let header = code.get(at..)?;
    let header = header.get(..header.find(['{', ';'])?)?;
    let until = words(header, "for").find(|found| {
        // `for<'a>` binds lifetimes and separates nothing.
        !header
            .get(found + "for".len()..)
            .unwrap_or_default()
            .trim_start()
            .starts_with('<')
    })?;
    let named = header.get(..until)?.trim_end();
    let named = match named.strip_suffix('>') {
        Some(_) => {
            let mut depth = 0_usize;
            let open = named.bytes().enumerate().rev().find(|(_, byte)| {
                match byte {
                    b'>' => depth += 1,
                    b'<' => depth -= 1,
                    _ => {}
                }
                depth == 0
            })?;
            named.get(..open.0)?.trim_end()
        }
        None => named,
    };
    Some(at + named.len())
}

#[cfg(test)]
mod tests {
    use super::super::tree::fixture::found;
    use super::*;

    #[track_caller]
    fn check_code(path: &str, code: &str, expected: usize) {
        let places = found(check, &[(path, code)]);
        assert_eq!(places.len(), expected, "{code}: {places:?}");
    }

    #[test]
    fn implementations_are_found() {
        let core = "codex-rs/core/src/lib.rs";
        check_code(core, "impl Recorder for Mine {}", 1);
        check_code(core, "impl<T> codex_protocol::Recorder for Mine<T> {}", 1);
        check_code(core, "impl Recorder<Vec<u8>> for Mine {}", 1);
        check_code(
            core,
            "use codex_protocol::Recorder as R;\nimpl R for Mine {}",
            1,
        );
        check_code(
            core,
            "impl<F: for<'a> Fn(&'a u8)> Recorder for Mine<F> {}",
            1,
        );
    }

    #[test]
    fn audit_tests_and_other_traits_pass() {
        let code = "impl Recorder for Mine {}";
        check_code("codex-rs/audit/src/writer.rs", code, 0);
        check_code("codex-rs/core/tests/all.rs", code, 0);
        let core = "codex-rs/core/src/lib.rs";
        check_code(core, &format!("#[cfg(test)]\nmod tests {{ {code} }}"), 0);
        check_code(core, "impl Recorder { }\nimpl Other for Recorder {}", 0);
        check_code(core, "fn f(r: impl Recorder) { for a in b {} }", 0);
        check_code(core, "impl From<a::b> > for", 0);
    }
}
