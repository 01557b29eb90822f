//! Where a run takes place, looked up once and resolved, so that the gate can compare text.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use codex_protocol::policy::{Layer, Places, Policy};
use codex_protocol::programs;
use codex_protocol::secrets::PathPattern;
use codex_protocol::security_profile::SecurityProfile;

/// A directory that a run names and that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the {what} '{}' cannot be used: {cause}", .path.display())]
pub struct PlaceError {
    /// What it was meant to be.
    pub what: &'static str,
    /// As it was given.
    pub path: PathBuf,
    /// What the system said.
    pub cause: io::Error,
}

fn directory(what: &'static str, path: &Path) -> Result<PathBuf, PlaceError> {
    let failed = |cause| PlaceError {
        what,
        path: path.to_owned(),
        cause,
    };
    let found = path.canonicalize().map_err(failed)?;
    if !found.is_dir() {
        return Err(failed(io::ErrorKind::NotADirectory.into()));
    }
    Ok(found)
}

/// Resolves the directories of a run. `codex_home` need not exist yet.
///
/// # Errors
/// When the workspace or an added directory does not exist or is none.
pub fn places(
    workspace: &Path,
    added: &[PathBuf],
    home: Option<&Path>,
    codex_home: &Path,
) -> Result<Places, PlaceError> {
    let resolved = |path: &Path| {
        crate::paths::resolve(Path::new("/"), path).unwrap_or_else(|_| path.to_owned())
    };
    Ok(Places {
        workspace: directory("workspace", workspace)?,
        added: added
            .iter()
            .map(|dir| directory("added directory", dir))
            .collect::<Result<_, _>>()?,
        home: home.map(resolved),
        codex_home: resolved(codex_home),
        listed_programs: Vec::new(),
        listed_trees: Vec::new(),
    })
}

/// Looks for the listed programs, and names them in those layers of `policy` that have a list.
pub fn list_programs(policy: &mut Policy) {
    let has_list = |layer: &Layer| layer.profile == SecurityProfile::Offline;
    if policy.layers().any(has_list) {
        let trees: Vec<PathBuf> = programs::GIT_TREES
            .iter()
            .filter_map(|tree| Path::new(tree).canonicalize().ok())
            .collect();
        policy.list_programs(&listed_programs(), &trees);
    }
}

/// The policy layer of `profile` at `places`, with the places that secrets behind symlinks really
/// are at, and without the programs that [`list_programs`] finds.
#[must_use]
pub fn layer(profile: SecurityProfile, places: Places) -> Layer {
    let mut layer = Layer::new(profile, places);
    let behind_symlinks: Vec<PathPattern> = layer
        .secrets()
        .iter()
        .filter(|s| !s.name.contains('*'))
        .map(|s| s.parent.join(&s.name))
        .filter(|path| path.symlink_metadata().is_ok())
        .filter_map(|path| path.canonicalize().ok().filter(|real| *real != path))
        .filter_map(|real| PathPattern::exactly(&real))
        .collect();
    layer.add_secrets(behind_symlinks);
    layer
}

/// The listed names found in the system's directories, each at its resolved path.
fn listed_programs() -> Vec<PathBuf> {
    let mut directories: Vec<PathBuf> = Vec::new();
    for directory in programs::DIRECTORIES
        .iter()
        .filter_map(|d| Path::new(d).canonicalize().ok())
    {
        if !directories.contains(&directory) {
            directories.push(directory);
        }
    }
    let mut found = Vec::new();
    for path in directories.iter().flat_map(|d| candidates(d)) {
        // One look tells for each name whether it is there and whether it is a symlink.
        match path.symlink_metadata() {
            Ok(entry) if entry.is_symlink() => found.extend(path.canonicalize()),
            Ok(_) => found.push(path),
            Err(_) => {}
        }
    }
    // By bytes: comparing paths part by part takes ten times as long.
    found.sort_unstable_by(|a: &PathBuf, b| a.as_os_str().cmp(b.as_os_str()));
    found.dedup();
    found
}

/// The paths below `directory` at which a listed program could be. Looking for each name is
/// quicker than listing a directory of thousands, and slower than listing one of few names, which
/// its own size tells: that of one block.
fn candidates(directory: &Path) -> Vec<PathBuf> {
    const FEW: u64 = 4096;
    if directory.metadata().is_ok_and(|m| m.len() <= FEW)
        && let Ok(entries) = directory.read_dir()
    {
        let listed = |entry: &fs::DirEntry| {
            let name = entry.file_name();
            programs::listed().any(|l| name == l)
        };
        return entries.flatten().filter(listed).map(|e| e.path()).collect();
    }
    programs::listed()
        .map(|name| directory.join(name))
        .collect()
}

/// Finds a program as a shell would: a path is resolved from `cwd`, a name is looked up in
/// `search_path` (the value of `PATH`). What ends programs' names on this system (`.exe` on Windows)
/// may be left out.
#[must_use]
pub fn find_program(name: &Path, cwd: &Path, search_path: &std::ffi::OsStr) -> Option<PathBuf> {
    if name.components().count() > 1 || name.is_absolute() {
        return program(&cwd.join(name));
    }
    std::env::split_paths(search_path)
        .filter(|dir| dir.is_absolute())
        .find_map(|dir| program(&dir.join(name)))
}

/// The program of this name, which may lack what ends such names.
fn program(path: &Path) -> Option<PathBuf> {
    let file = |path: &Path| path.canonicalize().ok().filter(|p| p.is_file());
    let mut ended = path.as_os_str().to_owned();
    ended.push(std::env::consts::EXE_SUFFIX);
    file(path).or_else(|| file(Path::new(&ended)))
}
