//! Files that git obeys, decided by what they are to hold.

use std::path::{Component, Path, PathBuf};

use super::{Verdicts, file_write};
use crate::decision::{Decision, Effect, Remedy, rule};
use crate::git_config;
use crate::policy::Layer;
use crate::protected;
use crate::request::{FileWrite, GitConfigChange, GitPointer, WriteKind};

pub(super) fn config_change(
    layer: &Layer,
    verdict: Verdicts,
    change: &GitConfigChange,
) -> Decision {
    let path = change.path.as_path();
    let decision = write(layer, verdict, path, WriteKind::Rename);
    if !is_protected(&decision) || !protected::is_settings(path) {
        return decision;
    }
    match (
        git_config::judge(path, change.old.as_deref(), &change.new),
        path.parent(),
    ) {
        // May the repository be written at all?
        (Ok(()), Some(directory)) => write(layer, verdict, directory, WriteKind::MakeDirectory),
        (Ok(()), None) => decision,
        (Err(refused), _) => verdict.deny(
            rule::FS_PROTECTED,
            &format!("this path is protected ({refused})"),
            Some(Remedy::AllowWrite(path.to_owned())),
        ),
    }
}

pub(super) fn pointer(layer: &Layer, verdict: Verdicts, pointer: &GitPointer) -> Decision {
    let path = pointer.path.as_path();
    let decision = write(layer, verdict, path, WriteKind::Create);
    let Some(directory) = path.parent().filter(|_| is_protected(&decision)) else {
        return decision;
    };
    let content = pointer
        .content
        .strip_suffix(b"\n")
        .unwrap_or(&pointer.content);
    let makes = |path: &Path| write(layer, verdict, path, WriteKind::MakeDirectory);
    if is_commondir(path) && content == b"../.." {
        return makes(directory);
    }
    let target = content
        .strip_prefix(b"gitdir: ")
        .and_then(|target| std::str::from_utf8(target).ok())
        .and_then(|target| git_directory(directory, target));
    match target {
        Some(target) if path.ends_with(".git") && makes(&target).effect == Effect::Allow => {
            makes(path)
        }
        _ => verdict.deny(
            rule::FS_PROTECTED,
            "this path is protected (git may be pointed to the workspace's own worktrees and submodules alone)",
            Some(Remedy::AllowWrite(path.to_owned())),
        ),
    }
}

fn write(layer: &Layer, verdict: Verdicts, path: &Path, kind: WriteKind) -> Decision {
    let path = path.to_owned();
    file_write(layer, verdict, &FileWrite { path, kind })
}

fn is_protected(decision: &Decision) -> bool {
    decision.effect == Effect::Deny && decision.rule == rule::FS_PROTECTED
}

/// Whether this is `commondir` of a worktree, from which `../..` is the repository that has it.
fn is_commondir(path: &Path) -> bool {
    let mut names = path.components().map(Component::as_os_str).rev();
    let file = names.next().is_some_and(|name| name == "commondir");
    names.next();
    file && names.next().is_some_and(|name| name == "worktrees")
        && (names.clone().next().is_some_and(|name| name == ".git")
            || is_module(&names.rev().collect::<PathBuf>()))
}

/// What `target` is, seen from `directory`, if it is where git keeps worktrees and submodules of a
/// repository: everything obeyed in there is protected, whatever its name.
fn git_directory(directory: &Path, target: &str) -> Option<PathBuf> {
    let mut path = directory.to_owned();
    for component in Path::new(target).components() {
        match component {
            Component::RootDir | Component::Normal(_) => path.push(component),
            Component::ParentDir => drop(path.pop()),
            Component::CurDir => {}
            Component::Prefix(_) => return None,
        }
    }
    let mut names = path.components().map(Component::as_os_str);
    names.find(|name| *name == ".git")?;
    let is_worktree = names.next().is_some_and(|name| name == "worktrees")
        && names.next().is_some()
        && names.next().is_none();
    (is_worktree || is_module(&path)).then_some(path)
}

/// Whether this is somewhere below `.git/modules`.
fn is_module(path: &Path) -> bool {
    let mut names = path.components().map(Component::as_os_str);
    names.any(|name| name == ".git")
        && names.next().is_some_and(|name| name == "modules")
        && names.next().is_some()
}
