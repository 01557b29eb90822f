//! Which paths in a workspace may not be written even where the workspace may: those that make a
//! later program run code, or that steer agents and editors. Data, printed by
//! `codex policy show`.

use std::borrow::Cow;
use std::path::{Components, Path};

use crate::glob;
use crate::request::WriteKind;

/// Names that are protected wherever they stand in a workspace, with everything below them,
/// whether or not they exist yet. Compared as [`glob::fold`] says on every system: some directories
/// fold case on systems that otherwise do not.
pub const NAMES: &[(&str, &str)] = &[
    (".codex", "codex's project configuration"),
    (".mcp.json", "MCP servers that agents start"),
    (".claude", "another agent's configuration"),
    (".cursor", "an editor's agent configuration"),
    (".vscode", "editor tasks"),
    (".idea", "editor tasks"),
    (".devcontainer", "container that editors start"),
    (".husky", "git hooks"),
    (".envrc", "shell code that direnv runs"),
];

/// Paths of two names, protected like [`NAMES`].
pub const PAIRS: &[(&str, &str, &str)] = &[
    (".cargo", "config.toml", "programs that cargo runs"),
    (".cargo", "config", "programs that cargo runs"),
];

/// Paths below a git directory that make git run programs: the files git obeys. `commondir` names
/// another directory whose `config` and `hooks` git then obeys instead (gitrepository-layout(5)).
pub const IN_GIT_DIRECTORY: &[(&str, &str)] = &[
    ("hooks", "programs that git runs"),
    ("config", "settings that name programs"),
    ("config.worktree", "settings that name programs"),
    ("info/attributes", "filters that name programs"),
    ("commondir", "the place of git's settings and hooks"),
];

/// Why `path` is protected although something below `tree`, in which it lies, may be written;
/// `None` if it is not. What is protected at or above `tree` itself does not count: whoever
/// granted that tree meant it.
///
/// A directory that may hold something protected may be made, but not moved: filled under a
/// harmless name, it could be put in its place. `.git` itself may not be made either, since a
/// file of that name points git anywhere.
#[must_use]
pub fn why(path: &Path, tree: &Path, kind: WriteKind) -> Option<&'static str> {
    let mut walk = Walk {
        rest: path.components(),
        taken: 0,
        tree: tree.components().count(),
        kind,
    };
    loop {
        let name = walk.step()?;
        let is = |wanted: &str| name.eq_ignore_ascii_case(wanted);
        if walk.counts()
            && let Some((_, why)) = NAMES.iter().find(|(n, _)| is(n))
        {
            return Some(why);
        }
        let pair = PAIRS
            .iter()
            .find(|(a, b, _)| is(a) && (walk.is_moved() || walk.leads_to(b)));
        if let Some((.., why)) = pair {
            return Some(why);
        }
        if is(".git") {
            if walk.is_end() && walk.counts() && kind != WriteKind::Metadata {
                return Some("the repository itself");
            }
            if let Some(why) = walk.in_git_directory() {
                return Some(why);
            }
        }
    }
}

/// A place on the way down a path.
#[derive(Clone)]
struct Walk<'p> {
    rest: Components<'p>,
    /// How many names have been passed.
    taken: usize,
    /// How many names the granted tree has.
    tree: usize,
    kind: WriteKind,
}

impl<'p> Walk<'p> {
    /// The next name, folded.
    fn step(&mut self) -> Option<Cow<'p, str>> {
        let name = self.rest.next()?.as_os_str().to_string_lossy();
        self.taken += 1;
        Some(match name {
            Cow::Borrowed(name) => glob::fold(name),
            Cow::Owned(name) => Cow::Owned(glob::fold(&name).into_owned()),
        })
    }

    /// Whether this place lies below the granted tree.
    fn counts(&self) -> bool {
        self.taken > self.tree
    }

    fn is_end(&self) -> bool {
        self.rest.clone().next().is_none()
    }

    /// Whether what stands here, and all below it, is given another name.
    fn is_moved(&self) -> bool {
        self.kind == WriteKind::Rename && self.is_end() && self.counts()
    }

    /// Whether `wanted`, seen from here, is what the path names, holds or lies below.
    fn leads_to(&self, wanted: &str) -> bool {
        let mut walk = self.clone();
        for (at, wanted) in wanted.split('/').enumerate() {
            match walk.step() {
                Some(name) if name.eq_ignore_ascii_case(wanted) => {}
                Some(_) => return false,
                None => return at > 0 && walk.is_moved(),
            }
        }
        walk.counts()
    }

    /// Why the path is protected, this place being a git directory.
    fn in_git_directory(&self) -> Option<&'static str> {
        const HOLDS: Option<&str> = Some("a directory that git obeys");
        let mut inner = self.clone();
        let first = inner.step()?;
        if first.eq_ignore_ascii_case("modules") {
            let mut submodule = inner.clone();
            submodule.step();
            if submodule.is_moved() {
                return HOLDS;
            }
            // A submodule's name may itself hold slashes, so its directory can start anywhere.
            loop {
                if let Some(why) = inner.obeyed() {
                    return Some(why);
                }
                inner.step()?;
            }
        }
        if first.eq_ignore_ascii_case("worktrees") {
            inner.step();
            if inner.is_moved() {
                return HOLDS;
            }
            // `git worktree add` makes this file; changed later, it would lead git elsewhere.
            if self.kind == WriteKind::Create && inner.leads_to("commondir") {
                return None;
            }
            return inner.obeyed();
        }
        self.obeyed()
    }

    fn obeyed(&self) -> Option<&'static str> {
        IN_GIT_DIRECTORY
            .iter()
            .find_map(|(path, why)| self.leads_to(path).then_some(*why))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use WriteKind::{Create, Delete, Metadata, Modify, Rename};

    fn is_protected(path: &str, tree: &str, kind: WriteKind) -> bool {
        why(&Path::new("/w").join(path), Path::new(tree), kind).is_some()
    }

    #[test]
    fn what_runs_code_later_is_protected_and_git_still_works() {
        for (path, expected) in [
            (".git/hooks", true),
            (".git/hooks/pre-commit", true),
            (".git/config", true),
            (".GIT/Config", true),
            (".git./hooks/x", true),
            (".g\u{200c}it/conﬁg", true),
            (".git/config.worktree", true),
            (".git/info/attributes", true),
            (".git/commondir", true),
            (".git/modules/a/b/hooks/post-checkout", true),
            (".git/modules/lib/config", true),
            (".git/worktrees/w/config.worktree", true),
            (".git/worktrees/w/commondir", true),
            ("vendor/lib/.git/hooks/x", true),
            ("vendor/.git/x/.git/hooks/x", true),
            (".vscode/tasks.json", true),
            ("sub/.envrc", true),
            (".cargo/config.toml", true),
            (".git", true),
            ("a/.git", true),
            (".git/index", false),
            (".git/index.lock", false),
            (".git/config.lock", false),
            (".git/objects/ab/cdef", false),
            (".git/refs/heads/hooks", false),
            (".git/refs/heads/config", false),
            (".git/info/exclude", false),
            (".git/modules/lib/index", false),
            (".git/worktrees/w/index", false),
            (".cargo/registry", false),
            ("config.toml", false),
            (".gitignore", false),
            ("src/hooks/a.rs", false),
            ("", false),
        ] {
            for kind in [Modify, Delete, Rename] {
                assert_eq!(is_protected(path, "/w", kind), expected, "{path} {kind:?}");
            }
        }
        assert!(is_protected(".git", "/w", Create));
        assert!(!is_protected(".git", "/w", Metadata));
        assert!(!is_protected(".git/worktrees/w/commondir", "/w", Create));
        assert!(is_protected(".git/commondir", "/w", Create));
    }

    #[test]
    fn directories_that_lead_to_protected_files_stay_in_place() {
        for path in [
            ".cargo",
            ".git/info",
            ".git/modules",
            ".git/modules/lib",
            ".git/modules/a/info",
            ".git/worktrees",
            ".git/worktrees/w",
        ] {
            assert!(is_protected(path, "/w", Rename), "{path}");
            for kind in [Create, Modify, Delete, Metadata] {
                assert!(!is_protected(path, "/w", kind), "{path} {kind:?}");
            }
        }
    }

    #[test]
    fn a_granted_tree_opens_only_what_is_protected_at_or_above_it() {
        for (path, tree, expected) in [
            (".git/hooks/x", "/w/.git", true),
            (".git/hooks/x", "/w/.git/hooks", false),
            (".git/hooks/x", "/w/.git/hooks/x", false),
            (".claude/work/a", "/w/.claude/work", false),
            (".claude/work/.envrc", "/w/.claude/work", true),
            (".git/hooks/.git/config", "/w/.git/hooks", true),
            (".git/modules/config", "/w/.git/modules/config", false),
            (".cargo/config.toml", "/w/.cargo", true),
        ] {
            assert_eq!(
                is_protected(path, tree, Modify),
                expected,
                "{path} in {tree}"
            );
        }
        assert!(!is_protected(".git", "/w/.git", Rename));
    }
}
