//! Which files a project does not want to be searched: `.gitignore` and `.ignore`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

/// The files with such rules, the later overruling the earlier (as ripgrep has it).
pub(super) const FILES: [&str; 2] = [".gitignore", ".ignore"];

/// How much of such a file is obeyed, in bytes: its patterns are compiled.
pub(super) const LARGEST: u64 = 64 << 10;

/// The rules in force in a directory: its own, and those of the directories above it.
#[derive(Clone, Default)]
pub struct Ignored(Option<Arc<Level>>);

struct Level {
    /// Where the rules stand, as seen from the root of the search.
    base: Base,
    rules: Gitignore,
    above: Ignored,
}

enum Base {
    /// This many directories above the root, which lies there under this path.
    Above(PathBuf),
    /// In this directory below the root.
    Below(PathBuf),
}

impl Ignored {
    /// Adds the rules in `text`, which stand in a directory in which the root of the search has
    /// the path `root`.
    #[must_use]
    pub fn with_above(&self, root: &Path, text: &[u8]) -> Self {
        self.with(Base::Above(root.to_owned()), text)
    }

    /// Adds the rules in `text`, which stand in `directory` as seen from the root.
    pub(super) fn with_below(&self, directory: &Path, text: &[u8]) -> Self {
        self.with(Base::Below(directory.to_owned()), text)
    }

    fn with(&self, base: Base, text: &[u8]) -> Self {
        let mut builder = GitignoreBuilder::new("");
        for line in String::from_utf8_lossy(text).lines() {
            // A line that is no pattern says nothing, as in git.
            let _ = builder.add_line(None, line);
        }
        match builder.build() {
            Ok(rules) if !rules.is_empty() => Self(Some(Arc::new(Level {
                base,
                rules,
                above: self.clone(),
            }))),
            _ => self.clone(),
        }
    }

    /// Whether the rules leave out what has this path from the root.
    pub(super) fn leaves_out(&self, path: &Path, is_dir: bool) -> bool {
        let mut next = &self.0;
        while let Some(level) = next {
            let matched = match &level.base {
                Base::Above(root) => level.rules.matched(root.join(path), is_dir).map(drop),
                Base::Below(directory) => {
                    let seen = path.strip_prefix(directory).unwrap_or(path);
                    level.rules.matched(seen, is_dir).map(drop)
                }
            };
            match matched {
                Match::Ignore(()) => return true,
                Match::Whitelist(()) => return false,
                Match::None => next = &level.above.0,
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_rule_counts() {
        let above = Ignored::default().with_above(Path::new("sub"), b"/sub/built\n*.log\n");
        let below = above.with_below(Path::new("a"), b"!keep.log\n/b\n# c\n");
        for (path, is_dir, expected) in [
            ("built", true, true),
            ("x.log", false, true),
            ("a/x.log", false, true),
            ("a/keep.log", false, false),
            ("a/b", true, true),
            ("a/c/b", true, false),
            ("c", false, false),
        ] {
            assert_eq!(
                below.leaves_out(Path::new(path), is_dir),
                expected,
                "{path}"
            );
        }
    }
}
