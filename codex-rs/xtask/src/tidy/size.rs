//! Files stay short enough to be read in one sitting (STYLE).

use super::Violation;
use super::tree::Tree;

/// Lines above which a file must be split.
const MOST: usize = 800;
/// Lines that nine files in ten must not exceed.
const MOST_P90: usize = 500;

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let long = tree.rust.iter().filter(|(_, file)| file.lines > MOST);
    long.map(|(path, file)| {
        let what = format!("{} lines, {MOST} at most", file.lines);
        Violation::new(path, MOST + 1, what, "split it by what its parts hold")
    })
    .collect()
}

pub(super) fn check_p90(tree: &Tree) -> Vec<Violation> {
    let sizes = sizes(tree);
    let over = p90(&sizes).filter(|(lines, _)| *lines > MOST_P90);
    over.map(|(lines, path)| {
        let what = format!("p90 of the lines of all Rust files is {lines}, {MOST_P90} at most");
        Violation::new(path, 1, what, "split the longest files")
    })
    .into_iter()
    .collect()
}

/// p90 and the longest file, for people.
pub(super) fn summary(tree: &Tree) -> String {
    let sizes = sizes(tree);
    match (p90(&sizes), sizes.last()) {
        (Some((p90, _)), Some((longest, path))) => {
            format!("lines of a Rust file: p90 {p90}, longest {longest} ({path})")
        }
        _ => "no Rust files".to_owned(),
    }
}

fn sizes(tree: &Tree) -> Vec<(usize, &str)> {
    let mut sizes: Vec<_> = tree
        .rust
        .iter()
        .map(|(path, file)| (file.lines, path.as_str()))
        .collect();
    sizes.sort_unstable();
    sizes
}

/// The smallest size that at least nine in ten do not exceed.
fn p90<'a>(sorted: &[(usize, &'a str)]) -> Option<(usize, &'a str)> {
    let rank = (sorted.len() * 9).div_ceil(10);
    sorted.get(rank.checked_sub(1)?).copied()
}

#[cfg(test)]
mod tests {
    use super::super::tree::fixture::{found, tree};
    use super::*;

    #[test]
    fn long_files_are_found() {
        let (long, fits) = ("\n".repeat(801), "\n".repeat(800));
        let files = [
            ("codex-rs/a/src/a.rs", long.as_str()),
            ("codex-rs/a/src/b.rs", &fits),
        ];
        assert_eq!(found(check, &files), ["codex-rs/a/src/a.rs:801"]);
    }

    #[test]
    fn p90_is_the_ninth_of_ten() {
        let (long, short) = ("\n".repeat(501), "\n".repeat(500));
        let names: Vec<_> = (0..10).map(|at| format!("{at}.rs")).collect();
        let with = |long_files: usize| -> Vec<(&str, &str)> {
            let text = |at| {
                if at < long_files {
                    long.as_str()
                } else {
                    short.as_str()
                }
            };
            names
                .iter()
                .enumerate()
                .map(|(at, name)| (name.as_str(), text(at)))
                .collect()
        };
        assert_eq!(found(check_p90, &with(1)), [""; 0]);
        assert_eq!(found(check_p90, &with(2)), ["0.rs:1"]);
        assert_eq!(found(check_p90, &[]), [""; 0]);
        assert!(summary(&tree(&with(1))).contains("p90 500, longest 501 (0.rs)"));
    }
}
