//! Every queue has a bound (DESIGN, section 6).

use super::Violation;
use super::source::named_paths;
use super::tree::Tree;

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for (path, file) in tree.shipped() {
        let code = file.shipped_code();
        for named in named_paths(&code) {
            let last = named.segments.last().copied().unwrap_or_default();
            let rest = code.get(named.end..).unwrap_or_default().trim_start();
            let called = rest.starts_with('(') || rest.starts_with("::");
            let unbounded = match last {
                "unbounded_channel" => true,
                "unbounded" => called || named.segments.len() > 1,
                // The standard library's takes no capacity, tokio's takes one.
                "channel" => {
                    named.starts_with(&["std", "sync", "mpsc"])
                        || (named.has(&["mpsc", "channel"]) && takes_nothing(rest))
                }
                _ => false,
            };
            if unbounded {
                let what = format!("`{}` makes a queue without a bound", named.text());
                let remedy = "give it a capacity, and say what happens when it is full";
                found.push(Violation::new(path, file.line(named.start), what, remedy));
            }
        }
    }
    found.dedup();
    found
}

/// Whether `rest` is an empty argument list, after an optional turbofish.
fn takes_nothing(rest: &str) -> bool {
    let arguments = match rest.strip_prefix("::") {
        Some(turbofish) => turbofish
            .split_once(">(")
            .map_or("", |(_, arguments)| arguments),
        None => rest.strip_prefix('(').unwrap_or("x"),
    };
    arguments.trim_start().starts_with(')')
}

#[cfg(test)]
mod tests {
    use super::super::tree::fixture::found;
    use super::*;

    #[track_caller]
    fn check_code(code: &str, expected: usize) {
        let places = found(check, &[("codex-rs/core/src/lib.rs", code)]);
        assert_eq!(places.len(), expected, "{code}: {places:?}");
    }

    #[test]
    fn queues_without_a_bound_are_found() {
        check_code("fn f() { tokio::sync::mpsc::unbounded_channel() }", 1);
        check_code("fn f() { std::sync::mpsc::channel() }", 1);
        check_code("use super::*;\nfn f() { mpsc::channel::<Vec<u8>>() }", 1);
        check_code("use std::sync::mpsc;\nfn f() { mpsc::channel::<u8>() }", 1);
        check_code(
            "use std::sync::mpsc::channel as queue;\n\nfn f() { queue() }",
            2,
        );
        check_code("fn f() { flume::unbounded() }", 1);
        check_code(
            "use crossbeam_channel::{bounded, unbounded};\n\nfn f() { unbounded() }",
            2,
        );
    }

    #[test]
    fn bounded_queues_and_tests_pass() {
        check_code(
            "use tokio::sync::mpsc;\nfn f() { mpsc::channel(8); mpsc::channel::<u8>(8) }",
            0,
        );
        check_code(
            "fn f() { std::sync::mpsc::sync_channel(1); VecDeque::new() }",
            0,
        );
        check_code("fn f() { let unbounded = range.unbounded(); }", 0);
        check_code(
            "#[cfg(test)]\nmod tests { fn f() { std::sync::mpsc::channel() } }",
            0,
        );
    }
}
