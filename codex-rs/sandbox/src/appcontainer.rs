//! The Windows part of a plan: an AppContainer's grants, its token, and the Job Object that holds a
//! command's processes. Pure, so that every host makes and tests it; only `sys/windows` turns it
//! into calls.
//!
//! An AppContainer opens only what names it, or names every container: the system's own programs
//! and libraries, and nothing of a person's. So there is no list of secrets to subtract from
//! "everything"; what a command may use is granted to it by an entry in the access lists, and
//! taken back when it ended. Access lists belong to files, not to names: no other spelling, and no
//! short name (`GIT~1`), gets round them.

use std::path::{Path, PathBuf};

use codex_protocol::policy::{Layer, Policy, Right};
use codex_protocol::protected;
use codex_protocol::security_profile::SecurityProfile;
use serde::{Deserialize, Serialize};

use crate::plan::Limits;
use crate::survey::Survey;
use codex_protocol::wire;

/// Rights on files. Values: header `winnt.h`.
pub mod access {
    /// `FILE_GENERIC_READ`.
    pub const READ: u32 = 0x0012_0089;
    /// `FILE_GENERIC_EXECUTE`.
    pub const EXECUTE: u32 = 0x0012_00a0;
    /// `FILE_GENERIC_WRITE` and `DELETE`.
    pub const WRITE: u32 = 0x0012_0116 | DELETE;
    /// `DELETE`: to remove a file, or to give it another name.
    pub const DELETE: u32 = 0x0001_0000;
    /// `FILE_DELETE_CHILD`, `WRITE_DAC` and `WRITE_OWNER`: never granted. The first removes what
    /// is denied by way of its directory, the others change who may do what.
    pub const NEVER: u32 = 0x40 | 0x0004_0000 | 0x0008_0000;
    /// What changes a file or its place: taken from what is protected.
    pub const CHANGE: u32 = 0x0000_0116 | DELETE | NEVER;
    /// Everything (`FILE_ALL_ACCESS`): taken from what may not be read.
    pub const ALL: u32 = 0x001f_01ff;
}

/// What an entry of an access list does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// Gives the rights.
    Grant,
    /// Takes them, whatever gives them.
    Deny,
}

/// One entry that the container gets in the access list of a file or directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Of what. One that does not exist gets none.
    #[serde(with = "wire::path")]
    pub path: PathBuf,
    /// To give or to take.
    pub kind: Kind,
    /// The rights, of those in [`access`].
    pub rights: u32,
    /// Whether it holds for everything below as well.
    pub inherited: bool,
}

/// What the Job Object holds a command's processes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The most private memory of each process, in bytes (`JOB_OBJECT_LIMIT_PROCESS_MEMORY`).
    pub memory: Option<u64>,
    /// What its processes may not do to the desktop: `JOB_OBJECT_UILIMIT_*`, header `winnt.h`.
    pub desktop: u32,
}

/// Every restriction of the desktop: handles of other jobs' windows, the clipboard both ways,
/// system parameters, display settings, global atoms, switching desktops, and ending the session.
pub const WHOLE_DESKTOP: u32 = 0xff;

/// Everything that confines a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// Whether there is an AppContainer; without one, only the token and the job confine.
    pub isolated: bool,
    /// What the container is given and denied, in this order.
    pub entries: Vec<Entry>,
    /// The capabilities of the container, none of which is ever network access: what is missing
    /// here cannot be reached.
    pub capabilities: Vec<String>,
    /// The job.
    pub job: Job,
}

/// Plans the container of a command under `policy`. `isolated`: whether the system has
/// AppContainers.
#[must_use]
pub fn container(policy: &Policy, survey: &Survey, limits: Limits, isolated: bool) -> Container {
    let confined: Vec<&Layer> = policy
        .layers()
        .filter(|l| l.profile != SecurityProfile::Trusted)
        .collect();
    let mut entries = Vec::new();
    if isolated {
        entries.extend(grants(&confined));
        entries.extend(denials(policy, &confined, survey));
    }
    Container {
        isolated,
        entries,
        capabilities: Vec::new(),
        job: Job {
            memory: limits.memory,
            desktop: WHOLE_DESKTOP,
        },
    }
}

/// What every layer gives. A path counts as given by a layer where one of its trees holds it.
fn grants(layers: &[&Layer]) -> Vec<Entry> {
    let holds = |trees: &[(PathBuf, u32)], path: &Path, rights: u32| {
        trees
            .iter()
            .any(|(tree, given)| path.starts_with(tree) && given & rights == rights)
    };
    let each: Vec<Vec<(PathBuf, u32)>> = layers.iter().map(|layer| trees(layer)).collect();
    let mut found: Vec<Entry> = Vec::new();
    for (path, rights) in each.iter().flatten() {
        let by_all = each.iter().all(|trees| holds(trees, path, *rights));
        if by_all && !found.iter().any(|e| e.path == *path && e.rights == *rights) {
            found.push(Entry {
                path: path.clone(),
                kind: Kind::Grant,
                rights: *rights,
                inherited: true,
            });
        }
    }
    found
}

/// The trees that a layer opens, and with what rights.
fn trees(layer: &Layer) -> Vec<(PathBuf, u32)> {
    let listed_only = layer.profile == SecurityProfile::Offline;
    let read = match listed_only {
        // Programs of the workspace do not start; those of the system cannot be told apart.
        true => access::READ,
        false => access::READ | access::EXECUTE,
    };
    let mut trees: Vec<(PathBuf, u32)> = layer
        .granted_reads()
        .map(|path| (path.to_owned(), read))
        .collect();
    trees.extend(
        layer
            .write_roots()
            .map(|path| (path.to_owned(), access::WRITE)),
    );
    for grant in &layer.grants {
        if let Right::Exec(path) | Right::ExecTree(path) = &grant.right {
            trees.push((path.clone(), access::READ | access::EXECUTE));
        }
    }
    trees
}

/// What is taken out of what was given: secrets in it, what was denied, and what is protected.
fn denials(policy: &Policy, layers: &[&Layer], survey: &Survey) -> Vec<Entry> {
    let unreadable = |path: &Path| Entry {
        path: path.to_owned(),
        kind: Kind::Deny,
        rights: access::ALL,
        inherited: true,
    };
    let mut found: Vec<Entry> = survey.env_files.iter().map(|f| unreadable(f)).collect();
    let opened = |path: &Path| layers.iter().any(|l| l.granted_reads().any(|r| r == path));
    found.retain(|entry| !opened(&entry.path));
    for layer in layers {
        let given: Vec<PathBuf> = trees(layer).into_iter().map(|(path, _)| path).collect();
        let inside = layer.secrets().iter().filter(|secret| {
            !secret.name.contains('*') && given.iter().any(|tree| secret.is_within(tree))
        });
        let paths = inside.map(|secret| secret.parent.join(&secret.name));
        found.extend(paths.filter(|p| !opened(p)).map(|p| unreadable(&p)));
        for root in layer.write_roots() {
            found.extend(protected_in(root));
        }
    }
    found.extend(
        policy
            .layers()
            .flat_map(Layer::denied_reads)
            .map(unreadable),
    );
    found
}

/// The protected paths of a writable tree. Those that do not exist when a command starts get no
/// entry, and can be made by it; that is reported as missing.
fn protected_in(root: &Path) -> Vec<Entry> {
    let fixed = |path: PathBuf, inherited| Entry {
        path,
        kind: Kind::Deny,
        rights: access::CHANGE,
        inherited,
    };
    let mut found: Vec<Entry> = protected::NAMES
        .iter()
        .map(|(name, _)| fixed(root.join(name), true))
        .collect();
    for (folder, name, _) in protected::PAIRS {
        found.push(fixed(root.join(folder).join(name), true));
    }
    let git = root.join(".git");
    for (path, _) in protected::IN_GIT_DIRECTORY {
        let path = path.split('/').fold(git.clone(), |at, name| at.join(name));
        found.push(fixed(path, true));
    }
    // Not inherited: what lies in these changes, but they keep their places.
    for place in [git.clone(), git.join("info"), root.join(".cargo")] {
        found.push(Entry {
            path: place,
            kind: Kind::Deny,
            rights: access::DELETE,
            inherited: false,
        });
    }
    found
}
