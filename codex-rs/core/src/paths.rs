//! From a path as somebody wrote it to the path that a request carries.

use std::io;
use std::path::{Component, Path, PathBuf};

/// The longest path that is resolved, in bytes: `PATH_MAX` of Linux' `limits.h`. The directories of a
/// longer one could still be made one by one, and hardly any program could remove them.
pub const LONGEST: usize = 4096;

/// `path` with a leading `~` replaced by the person's home, as people and models write it.
#[must_use]
pub fn expand_home(path: &Path, home: Option<&Path>) -> PathBuf {
    match (path.strip_prefix("~"), home) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path.to_owned(),
    }
}

/// `path`, seen from `base`, with every symlink followed that exists.
///
/// What does not exist yet keeps its name below the deepest directory that does. A `..` after
/// such a name is refused, because where it leads depends on what the name will be.
///
/// # Errors
/// When a part cannot be looked up (no permission, a loop of symlinks, not a directory), or for
/// such a `..`, or for a NUL byte, or for a path longer than [`LONGEST`].
pub fn resolve(base: &Path, path: &Path) -> io::Result<PathBuf> {
    let whole = base.join(path);
    if whole.as_os_str().len() >= LONGEST {
        return Err(io::Error::new(
            io::ErrorKind::InvalidFilename,
            format!("it is longer than {LONGEST} bytes"),
        ));
    }
    let mut missing: Vec<&std::ffi::OsStr> = Vec::new();
    let mut at = whole.as_path();
    loop {
        match at.canonicalize() {
            Ok(mut found) => {
                found.extend(missing.iter().rev());
                return Ok(found);
            }
            // A symlink that leads nowhere is not a missing name: writing through it would make
            // a file at a place that nobody looked at.
            Err(e) if e.kind() == io::ErrorKind::NotFound && at.symlink_metadata().is_err() => {}
            Err(e) => return Err(e),
        }
        match (at.components().next_back(), at.parent()) {
            (Some(Component::Normal(name)), Some(parent)) => {
                missing.push(name);
                at = parent;
            }
            _ => {
                return Err(io::Error::new(
                    io::ErrorKind::NotFound,
                    "'..' after a directory that does not exist",
                ));
            }
        }
    }
}

/// The same for a name that is itself what matters: its directory is resolved, a symlink in its
/// last component is not followed.
///
/// # Errors
/// As [`resolve`], and for a path without a last name.
pub fn resolve_entry(base: &Path, path: &Path) -> io::Result<PathBuf> {
    let whole = base.join(path);
    match (whole.parent(), whole.file_name()) {
        (Some(parent), Some(name)) => Ok(resolve(base, parent)?.join(name)),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the path names no file",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_exists_is_followed_and_what_does_not_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        std::fs::create_dir(root.join("real")).unwrap();
        std::os::unix::fs::symlink("real", root.join("link")).unwrap();
        std::os::unix::fs::symlink("nowhere", root.join("dangling")).unwrap();
        std::os::unix::fs::symlink("loop", root.join("loop")).unwrap();

        assert_eq!(
            resolve(&root, Path::new("link/new/file")).unwrap(),
            root.join("real/new/file")
        );
        assert_eq!(
            resolve(&root, Path::new("./real/../link")).unwrap(),
            root.join("real")
        );
        assert_eq!(resolve(&root, Path::new("/")).unwrap(), Path::new("/"));
        assert!(resolve(&root, Path::new("new/../../etc/passwd")).is_err());
        assert!(resolve(&root, Path::new("dangling")).is_err());
        assert!(resolve(&root, Path::new("loop/x")).is_err());
        assert!(resolve(&root, Path::new("a\0b")).is_err());
        assert!(resolve(&root, Path::new(&"x/".repeat(LONGEST / 2))).is_err());
        assert_eq!(
            resolve_entry(&root, Path::new("link")).unwrap(),
            root.join("link")
        );
    }
}
