//! What git writes into the files that it obeys, and what it must not.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use codex_protocol::decision::Effect;
use codex_protocol::gate::moves_file_by_file;
use codex_protocol::git_config::judge;
use codex_protocol::policy::{Grant, GrantSource, Layer, Places, Policy, Right};
use codex_protocol::request::{GitConfigChange, GitPointer, Requested};
use codex_protocol::security_profile::SecurityProfile;

use super::decisions::decision;
use super::places::{policy, typed};

const CONFIG: &str = "[core]\n\tbare = false\n[remote \"origin\"]\n\turl = https://example.org/a\n";

#[test]
fn git_settings_are_decided_by_what_they_say() {
    let tracking = format!("{CONFIG}[branch \"b\"]\n\tremote = origin\n");
    let running = format!("{CONFIG}[core]\n\tfsmonitor = x\n");
    let offline = SecurityProfile::Offline;
    let workspace = SecurityProfile::WorkspaceWrite;
    let elsewhere = typed(Right::Write("/srv/elsewhere".into()));
    for (profile, path, old, new, rule) in [
        (
            workspace,
            "/srv/p/.git/config",
            Some(CONFIG),
            &tracking,
            "fs.workspace",
        ),
        (
            workspace,
            "/srv/p/.git/config",
            None,
            &tracking,
            "fs.workspace",
        ),
        (
            workspace,
            "/srv/p/.git/modules/a/config",
            None,
            &tracking,
            "fs.workspace",
        ),
        (
            workspace,
            "/srv/p/.git/worktrees/a/config.worktree",
            None,
            &tracking,
            "fs.workspace",
        ),
        (
            workspace,
            "/srv/elsewhere/q/.git/config",
            None,
            &tracking,
            "fs.grant",
        ),
        (workspace, "/srv/p/config", None, &running, "fs.workspace"),
        (
            workspace,
            "/srv/p/.git/config",
            Some(CONFIG),
            &running,
            "fs.protected",
        ),
        (
            workspace,
            "/srv/p/.git/config",
            None,
            &running,
            "fs.protected",
        ),
        (
            workspace,
            "/srv/p/.git/config",
            Some("["),
            &tracking,
            "fs.protected",
        ),
        (
            workspace,
            "/srv/p/.git/hooks/config",
            None,
            &tracking,
            "fs.protected",
        ),
        (
            workspace,
            "/srv/p/.git/CONFIG",
            None,
            &tracking,
            "fs.protected",
        ),
        (
            workspace,
            "/srv/p/.claude/.git/config",
            None,
            &tracking,
            "fs.protected",
        ),
        (
            workspace,
            "/srv/q/.git/config",
            None,
            &tracking,
            "fs.outside",
        ),
        (
            workspace,
            "/home/ada/.ssh/.git/config",
            None,
            &tracking,
            "fs.secret",
        ),
        (
            offline,
            "/srv/p/.git/config",
            Some(CONFIG),
            &tracking,
            "fs.read-only",
        ),
        (
            offline,
            "/srv/p/.git/config",
            Some(CONFIG),
            &running,
            "fs.protected",
        ),
        (
            SecurityProfile::Trusted,
            "/srv/p/.git/config",
            None,
            &running,
            "trusted",
        ),
    ] {
        let change = GitConfigChange {
            path: path.into(),
            old: old.map(Into::into),
            new: new.clone().into(),
        };
        let decided = decision(profile, std::slice::from_ref(&elsewhere), &change);
        assert_eq!(decided.rule.0, rule, "{path} {}", decided.reason);
        assert_eq!(change.view().operation().as_str(), "file_write");
        assert_eq!(change.view().target(), path);
    }
    let change = GitConfigChange {
        path: "/srv/p/.git/config".into(),
        old: None,
        new: running.into(),
    };
    assert_eq!(
        decision(workspace, &[], &change).explanation(),
        "WorkspaceWrite profile: this path is protected (git's setting 'core.fsmonitor' cannot be changed so) (to allow it: --allow-write /srv/p/.git/config)"
    );
}

#[test]
fn git_is_pointed_to_worktrees_and_submodules_alone() {
    for (path, content, rule) in [
        (
            "/srv/p/w/.git",
            "gitdir: /srv/p/.git/worktrees/w\n",
            "fs.workspace",
        ),
        (
            "/srv/p/w/.git",
            "gitdir: ../.git/worktrees/w\n",
            "fs.workspace",
        ),
        (
            "/srv/more/w/.git",
            "gitdir: /srv/p/.git/worktrees/w",
            "fs.workspace",
        ),
        (
            "/srv/p/a/.git",
            "gitdir: ../.git/modules/a/b\n",
            "fs.workspace",
        ),
        (
            "/srv/p/.git/worktrees/w/commondir",
            "../..\n",
            "fs.workspace",
        ),
        (
            "/srv/p/.git/modules/a/worktrees/w/commondir",
            "../..\n",
            "fs.workspace",
        ),
        ("/srv/p/w/.git", "gitdir: /srv/p/evil\n", "fs.protected"),
        (
            "/srv/p/w/.git",
            "gitdir: ../.git/worktrees/../../evil\n",
            "fs.protected",
        ),
        (
            "/srv/p/w/.git",
            "gitdir: ../.git/worktrees/w/x\n",
            "fs.protected",
        ),
        (
            "/srv/p/w/.git",
            "gitdir: ../.git/worktrees\n",
            "fs.protected",
        ),
        ("/srv/p/w/.git", "gitdir: ../.git/modules\n", "fs.protected"),
        ("/srv/p/w/.git", "gitdir: ../.git\n", "fs.protected"),
        (
            "/srv/p/w/.git",
            "gitdir: ../.GIT/worktrees/w\n",
            "fs.protected",
        ),
        (
            "/srv/p/w/.git",
            "gitdir: /srv/q/.git/worktrees/w\n",
            "fs.protected",
        ),
        ("/srv/p/w/.git", "../..\n", "fs.protected"),
        ("/srv/p/w/.git", "", "fs.protected"),
        (
            "/srv/p/.claude/.git",
            "gitdir: /srv/p/.git/worktrees/w\n",
            "fs.protected",
        ),
        (
            "/srv/p/.git/worktrees/w/commondir",
            "/srv/p/evil\n",
            "fs.protected",
        ),
        (
            "/srv/p/.git/worktrees/w/commondir",
            "../..\n\n",
            "fs.protected",
        ),
        ("/srv/p/.git/commondir", "../..\n", "fs.protected"),
        ("/srv/p/.git/hooks/pre-commit", "../..\n", "fs.protected"),
        (
            "/srv/q/w/.git",
            "gitdir: /srv/p/.git/worktrees/w\n",
            "fs.outside",
        ),
    ] {
        let pointer = GitPointer {
            path: path.into(),
            content: content.into(),
        };
        let decided = decision(SecurityProfile::WorkspaceWrite, &[], &pointer);
        assert_eq!(
            decided.rule.0, rule,
            "{path} {content:?} {}",
            decided.reason
        );
        let in_offline = decision(SecurityProfile::Offline, &[], &pointer);
        assert_eq!(in_offline.effect, Effect::Deny);
        assert_eq!(pointer.view().operation().as_str(), "file_write");
        assert_eq!(pointer.view().target(), path);
    }
}

#[test]
fn a_directory_comes_out_of_the_temporary_one_file_by_file() {
    let internal = Grant {
        right: Right::Write("/tmp/codex-run".into()),
        source: GrantSource::Internal,
    };
    let policy = policy(SecurityProfile::WorkspaceWrite, vec![internal]);
    let crosses = |from: &str, to: &str| moves_file_by_file(&policy, from.as_ref(), to.as_ref());
    assert!(crosses("/tmp/codex-run/x", "/srv/p/x"));
    assert!(!crosses("/srv/p/x", "/tmp/codex-run/x"));
    assert!(!crosses("/tmp/codex-run/x", "/tmp/codex-run/y"));
    assert!(!crosses("/srv/p/x", "/srv/more/x"));
}

/// A directory with a home of its own for git.
struct Stage(tempfile::TempDir);

impl Stage {
    fn new() -> Self {
        let stage = Self(tempfile::tempdir().unwrap());
        let settings = "[user]\nname = T\nemail = t@example.org\n[init]\ndefaultBranch = main\n[protocol \"file\"]\nallow = always\n";
        fs::write(stage.path(".gitconfig"), settings).unwrap();
        stage.git("init -q a");
        fs::write(stage.path("a/f"), "x").unwrap();
        stage.git("-C a add f");
        stage.git("-C a commit -qm first");
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn git(&self, arguments: &str) {
        let done = Command::new("git")
            .args(arguments.split(' '))
            .current_dir(self.0.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.0.path())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .output()
            .unwrap();
        assert!(done.status.success(), "{arguments}: {done:?}");
    }

    /// Every file of this name below.
    fn all(&self, name: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut todo = vec![self.0.path().to_owned()];
        while let Some(directory) = todo.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    todo.push(path);
                } else if path.ends_with(name) {
                    found.push(path);
                }
            }
        }
        found
    }
}

#[test]
fn what_git_itself_writes_in_new_repositories_is_let_through() {
    let stage = Stage::new();
    stage.git("clone -q a b");
    stage.git("clone -q --bare a c.git");
    stage.git("clone -q --mirror a d.git");
    stage.git("-C b submodule --quiet add ../a sub/one");
    stage.git("-C b worktree add -q ../w -b side");
    stage.git("-C b worktree add -q x -b other");
    stage.git("-C b sparse-checkout set sub");
    stage.git("-C b push -q -u origin main:published");
    stage.git("-C b remote add up https://example.org/a.git");
    stage.git("-C b config user.name T");
    let settings = [stage.all("config"), stage.all("config.worktree")].concat();
    assert_eq!(settings.len(), 6, "{settings:?}");
    for path in settings {
        let text = fs::read(&path).unwrap();
        assert_eq!(judge(&path, None, &text), Ok(()), "{}", path.display());
    }
    let pointers = [stage.all(".git"), stage.all("commondir")].concat();
    assert_eq!(pointers.len(), 5, "{pointers:?}");
    let places = Places {
        workspace: fs::canonicalize(stage.0.path()).unwrap(),
        ..Places::default()
    };
    let policy = Policy::new(Layer::new(SecurityProfile::WorkspaceWrite, places));
    for path in pointers {
        let pointer = GitPointer {
            content: fs::read(&path).unwrap(),
            path: fs::canonicalize(&path).unwrap(),
        };
        let decided = codex_protocol::gate::decide(&policy, pointer.view());
        assert_eq!(
            decided.effect,
            Effect::Allow,
            "{} {}",
            path.display(),
            decided.reason
        );
    }
}

#[test]
fn everyday_work_changes_settings_in_no_other_way() {
    let stage = Stage::new();
    stage.git("clone -q a b");
    let config = Path::new("b/.git/config");
    let read = || fs::read(stage.path("b/.git/config")).unwrap();
    for (work, changes, allowed) in [
        ("branch -q --track side main", true, true),
        ("switch -q side", false, true),
        ("branch -m side renamed", true, true),
        ("push -q -u origin renamed", true, true),
        ("branch --unset-upstream", true, true),
        ("switch -q --track -c again origin/main", true, true),
        ("branch -q -D renamed", false, true),
        ("config branch.again.rebase interactive", true, true),
        ("stash -q", false, true),
        ("worktree add -q ../w", false, true),
        ("worktree remove ../w", false, true),
        ("branch -q -m again last", true, true),
        ("branch -q -f main", false, true),
        ("switch -q main", false, true),
        ("branch -q -D last", true, true),
        ("remote set-url origin /evil", true, false),
        ("config alias.x !id", true, false),
        ("config --unset core.filemode", true, false),
    ] {
        let before = read();
        stage.git(&format!("-C b {work}"));
        let after = read();
        assert_eq!(before != after, changes, "{work}");
        assert_eq!(
            judge(config, Some(&before), &after).is_ok(),
            allowed,
            "{work}"
        );
    }
}
