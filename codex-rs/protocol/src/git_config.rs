//! Which changes of git's settings name no program and lead git nowhere else, judged by what the
//! file says before and after.

mod read;

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

pub use read::{Entry, MAX_CONFIG, Unreadable, entries};

use crate::protected;
use crate::request::WriteKind;

/// Why new settings are not let through.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is not certain what git would read in them.
    #[error("git's settings there cannot be read with certainty")]
    Unreadable,
    /// This key may not be set, changed or removed, or not to this value.
    #[error("git's setting '{0}' cannot be changed so")]
    Key(String),
}

impl From<Unreadable> for Refused {
    fn from(_: Unreadable) -> Self {
        Self::Unreadable
    }
}

impl Refused {
    fn key(entry: &Entry) -> Self {
        Self::Key(String::from_utf8_lossy(&entry.key).into_owned())
    }
}

/// Decides whether the file `path`, a git directory's `config` or `config.worktree`, may come to
/// hold `new`. `old` is what it holds; `None` for a repository that this very run made, however
/// often it has changed the file since.
///
/// In a repository that was there, only `branch.*.remote`, `.merge` and `.rebase` may change, and a
/// branch may lose all its settings: this is what `git branch`, `switch`, `push -u` and `pull`
/// write. No other key is harmless there: `remote.*.url` would send the person's next push, and
/// whatever they fetch, elsewhere; every other key that commands commonly write either names a
/// program or is the person's choice. In one that the run made, an allow-list holds.
///
/// # Errors
/// [`Refused`] names the first key that may not be there.
pub fn judge(path: &Path, old: Option<&[u8]>, new: &[u8]) -> Result<(), Refused> {
    let new = entries(new)?;
    match old {
        None => {
            for entry in &new {
                if !is_allowed(path, entry, &new) {
                    return Err(Refused::key(entry));
                }
            }
            Ok(())
        }
        Some(old) => change(path, &entries(old)?, &new),
    }
}

/// Whether the settings of branches are all that changed, and the changed ones are harmless.
fn change(path: &Path, old: &[Entry], new: &[Entry]) -> Result<(), Refused> {
    let kept: BTreeSet<_> = new.iter().filter_map(Entry::branch).collect();
    let goes = |entry: &&Entry| match entry.branch() {
        Some(branch) => !is_tracking(entry) && kept.contains(branch),
        None => true,
    };
    let mut before = old.iter().filter(goes);
    let mut after = new.iter().filter(|entry| !is_tracking(entry));
    loop {
        match (before.next(), after.next()) {
            (None, None) => break,
            (Some(a), Some(b)) if a == b => {}
            (_, Some(entry)) | (Some(entry), None) => return Err(Refused::key(entry)),
        }
    }
    for entry in new.iter().filter(|entry| is_tracking(entry)) {
        if !old.contains(entry) && !is_allowed(path, entry, new) {
            return Err(Refused::key(entry));
        }
    }
    Ok(())
}

/// Whether this is one of the settings by which a branch follows another.
fn is_tracking(entry: &Entry) -> bool {
    entry.branch().is_some() && [&b"remote"[..], b"merge", b"rebase"].contains(&entry.name())
}

/// What a value may be.
#[derive(Clone, Copy)]
enum Value {
    /// A boolean, with or without a value, a number or a word.
    Word,
    /// Text that git shows or hands to no program.
    Text,
    /// A refspec, or the name of a ref.
    Ref,
    /// The name of a remote that the same file gives a URL, or `.`. Another name would be taken
    /// for a path, and a push to it would run that repository's hooks.
    Remote,
    /// Where a repository is.
    Url,
    /// A submodule's working tree.
    Worktree,
}

/// Keys that neither name a program nor make git obey another file (git-config(1), of git 2.47).
/// `*` stands for a subsection. Not here, among others: `core.fsmonitor`, `hooksPath`, `pager`,
/// `editor`, `sshCommand`, `attributesFile`, `include`, `includeIf`, `alias`, `filter`, `diff.*`,
/// `merge.*.driver`, `credential`, `http`, `url`, `gpg`, `protocol`, `remote.*.uploadpack`,
/// `receivepack`, `vcs`, `proxy` and `promisor` (which fetches unasked), `branch.*.mergeOptions`, `sequence.editor`.
const ALLOWED: &[(&str, Value)] = &[
    ("branch.*.description", Value::Text),
    ("branch.*.merge", Value::Ref),
    ("branch.*.rebase", Value::Word),
    ("branch.*.remote", Value::Remote),
    ("branch.*.pushremote", Value::Remote),
    ("color.ui", Value::Word),
    ("commit.gpgsign", Value::Word),
    ("core.abbrev", Value::Word),
    ("core.autocrlf", Value::Word),
    ("core.bare", Value::Word),
    ("core.compression", Value::Word),
    ("core.eol", Value::Word),
    ("core.filemode", Value::Word),
    ("core.ignorecase", Value::Word),
    ("core.logallrefupdates", Value::Word),
    ("core.precomposeunicode", Value::Word),
    ("core.preloadindex", Value::Word),
    ("core.quotepath", Value::Word),
    ("core.repositoryformatversion", Value::Word),
    ("core.safecrlf", Value::Word),
    ("core.sparsecheckout", Value::Word),
    ("core.sparsecheckoutcone", Value::Word),
    ("core.symlinks", Value::Word),
    ("core.untrackedcache", Value::Word),
    ("core.worktree", Value::Worktree),
    ("extensions.compatobjectformat", Value::Word),
    ("extensions.noop", Value::Word),
    ("extensions.objectformat", Value::Word),
    ("extensions.preciousobjects", Value::Word),
    ("extensions.refstorage", Value::Word),
    ("extensions.relativeworktrees", Value::Word),
    ("extensions.worktreeconfig", Value::Word),
    ("fetch.prune", Value::Word),
    ("gc.auto", Value::Word),
    ("init.defaultbranch", Value::Ref),
    ("merge.conflictstyle", Value::Word),
    ("merge.ff", Value::Word),
    ("pull.ff", Value::Word),
    ("pull.rebase", Value::Word),
    ("push.autosetupremote", Value::Word),
    ("push.default", Value::Word),
    ("rebase.autosquash", Value::Word),
    ("rebase.autostash", Value::Word),
    ("remote.*.fetch", Value::Ref),
    ("remote.*.mirror", Value::Word),
    ("remote.*.prune", Value::Word),
    ("remote.*.pushurl", Value::Url),
    ("remote.*.tagopt", Value::Text),
    ("remote.*.url", Value::Url),
    ("remote.pushdefault", Value::Remote),
    ("submodule.*.active", Value::Word),
    ("submodule.*.url", Value::Url),
    ("submodule.active", Value::Text),
    ("submodule.alternateerrorstrategy", Value::Word),
    ("submodule.alternatelocation", Value::Word),
    ("submodule.recurse", Value::Word),
    ("tag.gpgsign", Value::Word),
    ("user.email", Value::Text),
    ("user.name", Value::Text),
];

fn is_allowed(path: &Path, entry: &Entry, all: &[Entry]) -> bool {
    let Some(subsection) = entry.subsection().map(std::str::from_utf8).transpose().ok() else {
        return false;
    };
    if subsection.is_some_and(|name| name.is_empty() || name.chars().any(char::is_control)) {
        return false;
    }
    let allowed = ALLOWED.iter().find(|(key, _)| {
        let mut parts = key.split('.');
        let section = parts.next().unwrap_or_default();
        let name = parts.next_back().unwrap_or_default();
        entry.section() == section.as_bytes()
            && entry.name() == name.as_bytes()
            && parts.next().is_some() == subsection.is_some()
    });
    let Some((_, kind)) = allowed else {
        return false;
    };
    let Some(value) = &entry.value else {
        return matches!(kind, Value::Word);
    };
    let Ok(value) = std::str::from_utf8(value) else {
        return false;
    };
    if value.chars().any(char::is_control) {
        return false;
    }
    match kind {
        Value::Word => value
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-'),
        Value::Text => true,
        Value::Ref => !value.starts_with('-'),
        Value::Remote => value == "." || has_url(all, value),
        Value::Url => is_plain_url(value),
        Value::Worktree => is_submodule_tree(path, value),
    }
}

/// Whether `all` give the remote `name` a URL.
fn has_url(all: &[Entry], name: &str) -> bool {
    !name.starts_with('-')
        && all.iter().any(|entry| {
            entry.section() == b"remote"
                && entry.subsection() == Some(name.as_bytes())
                && entry.name() == b"url"
        })
}

/// Whether `url` is a path, or names a host by a transport that is git's own: no remote helper,
/// which `NAME::…` or an unknown scheme would start (gitremote-helpers(7)), and nothing that a
/// program could take for an option.
fn is_plain_url(url: &str) -> bool {
    let is_host = |authority: &str| {
        let host = authority.rsplit('@').next().unwrap_or_default();
        host.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[')
            && !authority.starts_with('-')
    };
    if url.contains("::") || url.starts_with('-') || url.is_empty() {
        return false;
    }
    if let Some((scheme, rest)) = url.split_once("://") {
        let authority = rest.split('/').next().unwrap_or_default();
        return match scheme {
            "http" | "https" | "ssh" | "git" => is_host(authority),
            "file" => authority.is_empty() && rest.starts_with('/'),
            _ => false,
        };
    }
    match url.split_once(':') {
        // A colon after a slash belongs to a path (git-clone(1), "GIT URLS").
        Some((host, path)) if !host.contains('/') => is_host(host) && !path.starts_with('-'),
        _ => true,
    }
}

/// Whether `value` leads from a submodule's git directory to a working tree inside that of the
/// repository that holds it. Anywhere else, the person's next checkout would write where the run
/// could not.
fn is_submodule_tree(path: &Path, value: &str) -> bool {
    let Some(directory) = path.parent() else {
        return false;
    };
    let names = |path: &Path| -> Option<Vec<String>> {
        path.components()
            .filter(|c| !matches!(c, Component::RootDir))
            .map(|c| c.as_os_str().to_str().map(str::to_owned))
            .collect()
    };
    let Some(mut tree) = names(directory) else {
        return false;
    };
    let Some(git) = tree.iter().position(|name| name == ".git") else {
        return false;
    };
    let modules = tree.get(git + 1).is_some_and(|name| name == "modules");
    if !modules || Path::new(value).is_absolute() {
        return false;
    }
    for component in Path::new(value).components() {
        match component {
            Component::ParentDir if !tree.is_empty() => drop(tree.pop()),
            Component::CurDir => {}
            Component::Normal(name) => match name.to_str() {
                Some(name) => tree.push(name.to_owned()),
                None => return false,
            },
            _ => return false,
        }
    }
    let root: PathBuf = directory.components().take(git + 1).collect();
    let tree: PathBuf = [Component::RootDir.as_os_str()]
        .into_iter()
        .chain(tree.iter().map(AsRef::as_ref))
        .collect();
    let in_git = |path: &Path| {
        let mut names = path.components().map(|c| c.as_os_str().to_string_lossy());
        names.any(|name| crate::glob::fold(&name).eq_ignore_ascii_case(".git"))
    };
    tree != root
        && tree.strip_prefix(&root).is_ok_and(|below| !in_git(below))
        && protected::why(&tree, &root, WriteKind::Modify).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(old: Option<&str>, new: &str) -> Result<(), Refused> {
        judge(
            Path::new("/w/.git/config"),
            old.map(str::as_bytes),
            new.as_bytes(),
        )
    }

    fn refused(key: &str) -> Result<(), Refused> {
        Err(Refused::Key(key.to_owned()))
    }

    /// As `git clone` writes it.
    const CLONED: &str = "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n\tlogallrefupdates = true\n[remote \"origin\"]\n\turl = /w/of\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n[branch \"main\"]\n\tremote = origin\n\tmerge = refs/heads/main\n";

    #[test]
    fn a_new_repository_gets_what_git_writes_and_nothing_that_runs() {
        assert_eq!(judged(None, CLONED), Ok(()));
        assert_eq!(judged(None, ""), Ok(()));
        for (line, key) in [
            ("[core]\nfsmonitor = x", "core.fsmonitor"),
            ("[CORE]HooksPath=/w/x", "core.hookspath"),
            ("[core]\nbare\npager = x", "core.pager"),
            ("[core]\nworktree = /home/ada", "core.worktree"),
            ("[core]\nworktree = ..", "core.worktree"),
            ("[alias]\nx = !id", "alias.x"),
            ("[include]\npath = x", "include.path"),
            (
                "[includeIf \"gitdir:/\"]\npath = x",
                "includeif.gitdir:/.path",
            ),
            ("[filter \"x\"]\nsmudge = x", "filter.x.smudge"),
            ("[filter.x]\nsmudge = x", "filter.x.smudge"),
            ("[remote \"o\"]\nuploadpack = x", "remote.o.uploadpack"),
            ("[remote \"o\"]\nvcs = x", "remote.o.vcs"),
            ("[remote]\nurl = x", "remote.url"),
            ("[remote \"\"]\nurl = x", "remote..url"),
            ("[branch \"m\"]\nmergeoptions = x", "branch.m.mergeoptions"),
            ("[branch \"m\"]\nremote = /w/evil", "branch.m.remote"),
            ("[branch \"m\"]\nremote = evil", "branch.m.remote"),
            ("[submodule \"m\"]\nupdate = !id", "submodule.m.update"),
            ("[user]\nname", "user.name"),
            ("[core]\nautocrlf = a b", "core.autocrlf"),
        ] {
            assert_eq!(judged(None, line), refused(key), "{line}");
        }
    }

    #[test]
    fn urls_start_no_helper_and_no_option() {
        for url in [
            "/w/of",
            "../of",
            "./a:b",
            "https://example.org/a.git",
            "ssh://git@example.org:22/a",
            "git@example.org:a/b.git",
            "git://[::1]/a".trim_end_matches("[::1]/a"),
            "file:///w/of",
            "C:/of",
        ] {
            let expected = url != "git://";
            assert_eq!(is_plain_url(url), expected, "{url}");
        }
        for url in [
            "ext::sh -c id",
            "fd::17",
            "a::b",
            "foo://example.org/",
            "-u",
            "ssh://-oProxyCommand=id/x",
            "ssh://git@-oProxyCommand=id/x",
            "-oProxyCommand=id:x",
            "git@-o:x",
            "example.org:-x",
            "file://example.org/x",
            "",
        ] {
            assert!(!is_plain_url(url), "{url}");
        }
    }

    #[test]
    fn a_submodule_leads_to_its_own_tree() {
        let judged = |path: &str, tree: &str| {
            let new = format!("[core]\nworktree = {tree}\n");
            judge(Path::new(path), None, new.as_bytes()).is_ok()
        };
        for (path, tree, expected) in [
            ("/w/.git/modules/sub/config", "../../../sub", true),
            ("/w/.git/modules/a/b/config", "../../../../a/b", true),
            (
                "/w/.git/modules/a/modules/b/config",
                "../../../../../a/b",
                true,
            ),
            ("/w/.git/modules/sub/config", "../../..", false),
            ("/w/.git/modules/sub/config", "../../../../home", false),
            ("/w/.git/modules/sub/config", "../../hooks", false),
            ("/w/.git/modules/sub/config", "../../../x/.GIT/hooks", false),
            ("/w/.git/modules/sub/config", "../../../.claude", false),
            ("/w/.git/modules/sub/config", "/w/sub", false),
            ("/w/.git/config", "../sub", false),
            ("/w/sub/config", "../sub", false),
        ] {
            assert_eq!(judged(path, tree), expected, "{path} {tree}");
        }
    }

    #[test]
    fn in_a_repository_that_was_there_branches_may_follow_others() {
        let with = |text: &str| judged(Some(CLONED), &format!("{CLONED}{text}"));
        for text in [
            "",
            "[branch \"side\"]\n\tremote = .\n\tmerge = refs/heads/main\n\trebase = true\n",
            "[branch \"side\"]\n\tremote = origin\n\tmerge = refs/heads/x\n",
        ] {
            assert_eq!(with(text), Ok(()), "{text}");
        }
        for (text, key) in [
            ("[user]\n\tname = x\n", "user.name"),
            ("[core]\n\tbare = false\n", "core.bare"),
            ("[remote \"x\"]\n\turl = /x\n", "remote.x.url"),
            ("[branch \"s\"]\n\tremote = x\n", "branch.s.remote"),
            (
                "[branch \"s\"]\n\tdescription = x\n",
                "branch.s.description",
            ),
            (
                "[branch \"main\"]\n\tpushremote = origin\n",
                "branch.main.pushremote",
            ),
        ] {
            assert_eq!(with(text), refused(key), "{text}");
        }
        let without = CLONED.split("[branch").next().unwrap_or_default();
        assert_eq!(judged(Some(CLONED), without), Ok(()));
        let redirected = CLONED.replace("/w/of", "/w/evil");
        assert_eq!(
            judged(Some(CLONED), &redirected),
            refused("remote.origin.url")
        );
        assert_eq!(
            judged(Some(CLONED), ""),
            refused("core.repositoryformatversion")
        );
        // What the person set stays, and moves nowhere else.
        let person = format!(
            "{CLONED}[alias]\n\tx = !id\n[branch \"b\"]\n\tmergeoptions = -s x\n\tremote = /p\n"
        );
        let tracked = format!("{person}[branch \"s\"]\n\tremote = origin\n");
        assert_eq!(judged(Some(&person), &tracked), Ok(()));
        let emptied = person.replace("\tmergeoptions = -s x\n", "");
        assert_eq!(
            judged(Some(&person), &emptied),
            refused("branch.b.mergeoptions")
        );
        let deleted = person.split("[branch \"b\"]").next().unwrap_or_default();
        assert_eq!(judged(Some(&person), deleted), Ok(()));
        let renamed = person.replace("\"b\"", "\"c\"");
        assert_eq!(
            judged(Some(&person), &renamed),
            refused("branch.c.mergeoptions")
        );
        assert_eq!(judged(Some("[core"), ""), Err(Refused::Unreadable));
    }
}
