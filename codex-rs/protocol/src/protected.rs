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

/// Why git's settings are protected. [`git_config::judge`](crate::git_config::judge) knows which
/// changes name none.
pub const SETTINGS: &str = "settings that name programs";

/// Paths below a git directory that make git run programs: the files git obeys. `commondir` names
/// another directory whose `config` and `hooks` git then obeys instead (gitrepository-layout(5)).
pub const IN_GIT_DIRECTORY: &[(&str, &str)] = &[
    ("hooks", "programs that git runs"),
    ("config", SETTINGS),
    ("config.worktree", SETTINGS),
    ("info/attributes", "filters that name programs"),
    ("commondir", "the place of git's settings and hooks"),
];

/// Why `path` is protected although something below `tree`, in which it lies, may be written;
/// `None` if it is not. What is protected at or above `tree` itself does not count: whoever
/// granted that tree meant it.
///
/// A directory that may hold something protected may be made, but nothing that already holds
/// something may be put in its place: filled under a harmless name, it would be obeyed. `.git`
/// itself may be a new directory, whose settings and hooks are protected from then on, and no file
/// or symlink, which would point git anywhere.
///
/// Removing an empty directory, and what the run itself made, leaves nothing that is obeyed.
#[must_use]
pub fn why(path: &Path, tree: &Path, kind: WriteKind) -> Option<&'static str> {
    if matches!(kind, WriteKind::RemoveDirectory | WriteKind::Discard) {
        return None;
    }
    let mut walk = Walk {
        rest: path.components(),
        taken: 0,
        tree: tree.components().count(),
        kind,
    };
    let mut in_repository = false;
    loop {
        let name = walk.step()?;
        let is = |wanted: &str| is_named(&name, wanted);
        let (head, why) = BARE_REPOSITORY;
        if name == head && !in_repository && walk.comes_to_be() {
            return Some(why);
        }
        if walk.counts()
            && let Some((_, why)) = NAMES.iter().find(|(n, _)| is(n))
        {
            return Some(why);
        }
        let pair = PAIRS
            .iter()
            .find(|(a, b, _)| is(a) && (walk.is_put_there() || walk.leads_to(b)));
        if let Some((.., why)) = pair {
            return Some(why);
        }
        if is(".git") {
            in_repository = true;
            if walk.is_end() && walk.counts() && !walk.keeps_the_repository() {
                return Some("the repository itself");
            }
            if let Some(why) = walk.in_git_directory() {
                return Some(why);
            }
        }
    }
}

/// A file of this name makes git take the directory that holds it for a repository, if there are
/// `objects` and `refs` beside it, and obey `config` and `hooks` there, which have ordinary names.
/// Outside `.git`, no such file can be made or put in place. Compared with its letters' case: `head`
/// is a common name. Directories that fold case are therefore a known limit of this one.
pub const BARE_REPOSITORY: (&str, &str) = (
    "HEAD",
    "it would make git take this directory for a repository",
);

/// Further files of a git directory itself: each names a repository to which git pushes where its
/// settings name none, and whose hooks then run (gitrepository-layout(5)).
pub const REMOTES_IN_GIT_DIRECTORY: &[(&str, &str)] = &[
    ("remotes", "places that git pushes to"),
    ("branches", "places that git pushes to"),
];

/// Whether `path` is protected as a git directory's settings are, and for no other reason.
#[must_use]
pub fn is_settings(path: &Path) -> bool {
    let is_named = ["config", "config.worktree"]
        .iter()
        .any(|n| path.ends_with(n));
    is_named && why(path, Path::new(""), WriteKind::Modify) == Some(SETTINGS)
}

/// Whether a folded name is, or could be Windows' short one for, what is protected.
fn is_named(name: &str, wanted: &str) -> bool {
    name.eq_ignore_ascii_case(wanted) || glob::is_short_for(name, wanted)
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

    /// Whether what stands here is moved away, or something that was made elsewhere comes here.
    fn is_put_there(&self) -> bool {
        let put = matches!(self.kind, WriteKind::Link | WriteKind::Symlink) || self.kind.is_move();
        put && self.is_end() && self.counts()
    }

    /// Whether a file may come to be here, or be put here in another's place.
    fn comes_to_be(&self) -> bool {
        let made = matches!(
            self.kind,
            WriteKind::Create | WriteKind::Link | WriteKind::Symlink | WriteKind::Rename
        );
        made && self.is_end() && self.counts()
    }

    /// Whether `.git`, which stands here, is after the change what it was, or nothing, or a
    /// repository whose settings and hooks were protected from its start. What can be deleted is a
    /// file: a worktree's or submodule's, which `git worktree remove` deletes.
    fn keeps_the_repository(&self) -> bool {
        matches!(
            self.kind,
            WriteKind::Metadata | WriteKind::MakeDirectory | WriteKind::Delete
        )
    }

    /// Whether `wanted`, seen from here, is what the path names, holds or lies below.
    fn leads_to(&self, wanted: &str) -> bool {
        let mut walk = self.clone();
        for (at, wanted) in wanted.split('/').enumerate() {
            match walk.step() {
                Some(name) if is_named(&name, wanted) => {}
                Some(_) => return false,
                None => return at > 0 && walk.is_put_there(),
            }
        }
        walk.counts()
    }

    /// Why the path is protected, this place being a git directory.
    fn in_git_directory(&self) -> Option<&'static str> {
        let mut inner = self.clone();
        let first = inner.step()?;
        if first.eq_ignore_ascii_case("modules") {
            return inner.in_modules();
        }
        if !is_named(&first, "worktrees") {
            return self.names_remote().or_else(|| self.obeyed());
        }
        inner.step();
        if inner.is_put_there() {
            return HOLDS;
        }
        let mut nested = inner.clone();
        if nested.step()?.eq_ignore_ascii_case("modules") {
            return nested.in_modules();
        }
        // `git worktree remove` deletes what `git worktree add` made. Neither can be made anew with
        // other contents but by way of the gate.
        let removable = ["commondir", "config.worktree"];
        if self.kind == WriteKind::Delete && removable.iter().any(|name| inner.leads_to(name)) {
            return None;
        }
        inner.obeyed()
    }

    /// Why the path is protected, this place being where submodules' git directories are.
    fn in_modules(&self) -> Option<&'static str> {
        let mut inner = self.clone();
        inner.step();
        if inner.is_put_there() {
            return HOLDS;
        }
        // A submodule's name may itself hold slashes, so its directory can start anywhere. Git
        // moves no directory here.
        let whole = matches!(self.kind, WriteKind::RenameDirectory | WriteKind::Symlink);
        if whole && self.taken + self.rest.clone().count() > self.tree {
            return HOLDS;
        }
        let mut inner = self.clone();
        let mut submodule = inner.clone();
        submodule.step();
        if let Some(why) = submodule.names_remote() {
            return Some(why);
        }
        loop {
            if let Some(why) = inner.obeyed() {
                return Some(why);
            }
            inner.step()?;
        }
    }

    fn names_remote(&self) -> Option<&'static str> {
        let (_, why) = REMOTES_IN_GIT_DIRECTORY
            .iter()
            .find(|(path, _)| self.leads_to(path))?;
        // `git init` makes an empty directory.
        let makes_it = self.kind == WriteKind::MakeDirectory && self.rest.clone().count() == 1;
        (!makes_it).then_some(*why)
    }

    fn obeyed(&self) -> Option<&'static str> {
        let (_, why) = IN_GIT_DIRECTORY
            .iter()
            .find(|(path, _)| self.leads_to(path))?;
        (!self.is_harmless()).then_some(*why)
    }

    /// What `git init` and `git clone` do to files that git obeys, and what changes nothing that it
    /// would obey.
    fn is_harmless(&self) -> bool {
        let mut inner = self.clone();
        let Some(first) = inner.step() else {
            return false;
        };
        match self.kind {
            WriteKind::MakeDirectory => first.eq_ignore_ascii_case("hooks") && inner.is_end(),
            // Git runs hooks by their exact names (githooks(5)), none of which has a dot. Only new
            // ones: whoever makes a hook of a sample that was there trusts what it says.
            WriteKind::Create if first.eq_ignore_ascii_case("hooks") => {
                let name = inner.rest.next().and_then(|name| name.as_os_str().to_str());
                inner.is_end() && name.is_some_and(is_sample)
            }
            // `git init` tries whether the mode of `config` can be changed.
            WriteKind::Metadata => {
                ["config", "config.worktree"]
                    .iter()
                    .any(|name| first.eq_ignore_ascii_case(name))
                    && inner.is_end()
            }
            _ => false,
        }
    }
}

const HOLDS: Option<&str> = Some("a directory that git obeys");

/// Whether no file system takes this name for that of a hook, as it might `pre-push:x.sample`.
fn is_sample(name: &str) -> bool {
    name.strip_suffix(".sample").is_some_and(|stem| {
        stem.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    use WriteKind::{
        Create, Delete, Discard, Link, MakeDirectory, Metadata, Modify, RemoveDirectory, Rename,
        RenameDirectory, Symlink,
    };

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
            ("GIT~1/hooks/x", true),
            ("git~1", true),
            ("sub/VSCODE~1/tasks.json", true),
            ("MCP~1.JSO", true),
            (".cargo/CONFIG~1.TOM", true),
            ("git~1/index", false),
            ("notes~1.txt", false),
            (".g\u{200c}it/conﬁg", true),
            (".git/config.worktree", true),
            (".git/info/attributes", true),
            (".git/commondir", true),
            (".git/modules/a/b/hooks/post-checkout", true),
            (".git/modules/lib/config", true),
            (".git/worktrees/w/config.worktree", true),
            (".git/worktrees/w/commondir", true),
            (".git/remotes/origin", true),
            (".git/branches/origin", true),
            (".git/modules/lib/remotes/origin", true),
            (".git/refs/remotes/origin/main", false),
            (".git/modules/lib/refs/remotes/origin/main", false),
            (".git/WORKTR~1/w/commondir", true),
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
            for kind in [Create, Modify, Link, Rename] {
                assert_eq!(is_protected(path, "/w", kind), expected, "{path} {kind:?}");
            }
            for kind in [Symlink, RenameDirectory] {
                let expected = expected || path.contains("modules/");
                assert_eq!(is_protected(path, "/w", kind), expected, "{path} {kind:?}");
            }
            for kind in [RemoveDirectory, Discard] {
                assert!(!is_protected(path, "/w", kind), "{path} {kind:?}");
            }
            let removed_by_git = [
                ".git",
                "git~1",
                ".git/WORKTR~1/w/commondir",
                "a/.git",
                ".git/worktrees/w/commondir",
                ".git/worktrees/w/config.worktree",
            ];
            let expected = expected && !removed_by_git.contains(&path);
            assert_eq!(is_protected(path, "/w", Delete), expected, "{path}");
        }
    }

    #[test]
    fn git_makes_and_removes_repositories_and_worktrees() {
        for (path, kind) in [
            (".git", MakeDirectory),
            ("a/.git", MakeDirectory),
            (".git", Metadata),
            (".git/hooks", MakeDirectory),
            (".git/hooks/pre-commit.sample", Create),
            (".git/info", MakeDirectory),
            (".git/info/exclude", Create),
            (".git/config", Metadata),
            (".git/config.lock", Metadata),
            (".git/tAb3xYz", Link),
            (".git/modules/lib", MakeDirectory),
            (".git/modules/lib/hooks", MakeDirectory),
            (".git/branches", MakeDirectory),
            (".git/modules/lib/branches", MakeDirectory),
            (".git/modules/lib/hooks/update.sample", Create),
            (".git/modules/lib/tAb3xYz", Link),
            (".git/modules/lib/objects/ab/cd", Link),
            (".git/modules/a/b/refs/heads/main", Rename),
            (".git/worktrees", MakeDirectory),
            (".git/worktrees/w", MakeDirectory),
            (".git/worktrees/w/gitdir", Create),
            (".git/worktrees/w/commondir", Delete),
            (".git/worktrees/w/config.worktree", Delete),
            ("wt/.git", Delete),
        ] {
            assert!(!is_protected(path, "/w", kind), "{path} {kind:?}");
        }
        for (path, kind) in [
            (".git/hooks/pre-commit", MakeDirectory),
            (".git/hooks/pre-commit.sample", Modify),
            (".git/hooks/pre-commit.sample", Metadata),
            (".git/hooks/pre-commit.sample", Delete),
            (".git/hooks/pre-commit.sample", Rename),
            (".git/hooks/pre-commit.sample", Link),
            (".git/hooks/pre-commit:.sample", Create),
            (".git/hooks/a/b.sample", Create),
            (".git/hooks/pre-commit", Metadata),
            (".git/config", MakeDirectory),
            (".git/info/attributes", Metadata),
            (".git/worktrees/w/commondir", Create),
            (".git/worktrees/w/modules/lib/config", Create),
            (".git/worktrees/w/modules/lib", Symlink),
            (".git/modules/a/b", RenameDirectory),
            (".git/modules/a/b", Symlink),
            (".git/modules/lib/worktrees/w/commondir", Create),
            (".claude", MakeDirectory),
        ] {
            assert!(is_protected(path, "/w", kind), "{path} {kind:?}");
        }
    }

    #[test]
    fn no_directory_becomes_a_bare_repository() {
        for kind in [Create, Link, Symlink, Rename] {
            for path in ["HEAD", "evil/HEAD", "evil.git/HEAD."] {
                assert!(is_protected(path, "/w", kind), "{path} {kind:?}");
            }
            for path in [
                ".git/HEAD",
                ".git/refs/remotes/origin/HEAD",
                ".git/worktrees/w/HEAD",
                "src/head",
                "HEAD/a",
                "HEADER",
                "a/HEAD.lock",
            ] {
                assert!(!is_protected(path, "/w", kind), "{path} {kind:?}");
            }
            assert!(!is_protected("evil.git/HEAD", "/w/evil.git/HEAD", kind));
        }
        for kind in [Modify, Delete, Metadata, MakeDirectory] {
            assert!(!is_protected("evil/HEAD", "/w", kind), "{kind:?}");
        }
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
            for kind in [Rename, RenameDirectory, Link, Symlink] {
                assert!(is_protected(path, "/w", kind), "{path} {kind:?}");
            }
            for kind in [Create, MakeDirectory, Modify, Delete, Metadata] {
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
