//! What has to be looked at before a plan can be made: a workspace's `.env` files.

use std::path::{Path, PathBuf};

use codex_protocol::policy::Policy;
use codex_protocol::secrets;
use codex_protocol::security_profile::SecurityProfile;

/// How deep below a workspace `.env` files are looked for: beside its own files, and beside those
/// of the packages of a monorepo.
pub const DEPTH: usize = 3;

/// How many directory entries are looked at, the shallow ones first. Looking at this many takes
/// about 2 ms, before every command.
pub const ENTRIES: usize = 5_000;

/// Directories that hold other people's files, not the workspace's own settings.
const SKIPPED: &[&str] = &[
    ".git",
    "node_modules",
    "target",
    ".venv",
    "venv",
    "__pycache__",
    "dist",
    "build",
];

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// `.env` files that commands may not read.
    pub env_files: Vec<PathBuf>,
    /// Whether the workspace was larger than what was looked at.
    pub incomplete: bool,
}

/// Looks for `.env` files in the workspaces of a confined policy, [`DEPTH`] levels deep and
/// [`ENTRIES`] entries far.
#[must_use]
pub fn survey(policy: &Policy) -> Survey {
    let mut found = Survey::default();
    let confined = policy
        .layers()
        .filter(|l| l.profile != SecurityProfile::Trusted);
    let mut roots: Vec<&Path> = confined.flat_map(|l| l.places.workspaces()).collect();
    roots.dedup();
    let mut left = ENTRIES;
    for root in roots {
        walk(root, &mut left, &mut found);
    }
    found
}

/// Breadth first, so that a limit is reached in the depths and not beside the first large folder.
fn walk(root: &Path, left: &mut usize, found: &mut Survey) {
    let mut level = vec![root.to_owned()];
    for depth in 1..=DEPTH {
        let mut below = Vec::new();
        for directory in std::mem::take(&mut level) {
            // A directory that cannot be listed cannot be read by the command either.
            for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
                let Some(rest) = left.checked_sub(1) else {
                    found.incomplete = true;
                    return;
                };
                *left = rest;
                let name = entry.file_name();
                let name = name.to_string_lossy();
                if secrets::is_env_file(&name) {
                    found.env_files.push(entry.path());
                } else if depth < DEPTH
                    && !SKIPPED.contains(&&*name)
                    && entry.file_type().is_ok_and(|t| t.is_dir())
                {
                    below.push(entry.path());
                }
            }
        }
        level = below;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn env_files_are_found_and_templates_left() {
        let root = std::env::temp_dir().join(format!("codex-survey-{}", std::process::id()));
        for file in [
            "a/b/.env.local",
            ".env",
            ".env.example",
            "node_modules/x/.env",
        ] {
            let path = root.join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "X=1").unwrap();
        }
        let mut found = Survey::default();
        walk(&root, &mut ENTRIES.clone(), &mut found);
        found.env_files.sort();
        assert_eq!(
            found.env_files,
            [root.join(".env"), root.join("a/b/.env.local")]
        );
        let mut cut = Survey::default();
        walk(&root, &mut 1, &mut cut);
        assert!(cut.incomplete);
        std::fs::remove_dir_all(root).unwrap();
    }
}
