//! The file that holds the key that signs checkpoints. It is made when it is first needed, for
//! its owner only, and read anew each time, so that no process goes on with a key that another
//! one replaced.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

use crate::note::{PrivateKey, PublicKey};
use crate::{AuditError, Fault, sys};

/// Longer than a key in its file.
const MOST: u64 = 4096;

/// The public half of the key in the file at `path`; `None` if there is no such file.
///
/// # Errors
/// When it is there and cannot be used.
pub fn public_key(path: &Path) -> Result<Option<PublicKey>, AuditError> {
    let key = load(path).map_err(|fault| fault.at(path))?;
    Ok(key.map(|key| key.public().clone()))
}

/// The key in the file at `path`, made if there is none.
pub(crate) fn load_or_create(path: &Path) -> Result<PrivateKey, Fault> {
    match load(path)? {
        Some(key) => Ok(key),
        None => create(path),
    }
}

/// The key in the file at `path`; `None` if there is none.
///
/// # Errors
/// When it is there and cannot be used, or others than its owner can read it.
pub(crate) fn load(path: &Path) -> Result<Option<PrivateKey>, Fault> {
    let bad = |cause: String| Fault::Key {
        file: path.to_owned(),
        cause,
    };
    let file = match sys::open(OpenOptions::new().read(true), path) {
        Err(Fault::Open(e)) if e.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(|fault| bad(fault.to_string()))?,
    };
    let metadata = file.metadata().map_err(|e| bad(e.to_string()))?;
    if !metadata.is_file() {
        return Err(bad("it is not a regular file".to_owned()));
    }
    if !sys::is_private(&metadata) {
        return Err(bad("others can use it (chmod go= it)".to_owned()));
    }
    let mut text = String::new();
    file.take(MOST)
        .read_to_string(&mut text)
        .map_err(|e| bad(e.to_string()))?;
    let key = PrivateKey::parse(text.trim_end());
    key.map(Some)
        .ok_or_else(|| bad("it holds no key".to_owned()))
}

fn create(path: &Path) -> Result<PrivateKey, Fault> {
    create_by(path, sys::link)
}

/// `link` gives a file a second name, or says that the file system knows none.
fn create_by(
    path: &Path,
    link: impl FnOnce(&Path, &Path) -> io::Result<bool>,
) -> Result<PrivateKey, Fault> {
    let (key, made) = write_new(path)?;
    // A link, and no rename: of two processes that do this, the second must not win. Neither does
    // it where the file is written at its place, which another process can see half done there.
    let placed = link(&made, path).and_then(|linked| match linked {
        true => Ok(()),
        false => write(path, &key),
    });
    // It has its place, or is not wanted; a file left over does no harm.
    let _ = fs::remove_file(&made);
    match placed {
        Ok(()) => {
            sync_parent(path).map_err(|e| fault(path, &e))?;
            Ok(key)
        }
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {
            load(path)?.ok_or_else(|| fault(path, &e))
        }
        Err(e) => Err(fault(path, &e)),
    }
}

/// Writes the key into a file that was not there.
fn write(path: &Path, key: &PrivateKey) -> io::Result<()> {
    let mut file = sys::private(OpenOptions::new().write(true).create_new(true)).open(path)?;
    file.write_all(format!("{}\n", key.to_text()).as_bytes())?;
    file.sync_all()
}

/// A new key, in a file beside `path`.
pub(crate) fn write_new(path: &Path) -> Result<(PrivateKey, PathBuf), Fault> {
    let random = io::Error::other("the system gives no random numbers");
    let key = PrivateKey::generate().ok_or_else(|| fault(path, &random))?;
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".new-{}", std::process::id()));
    let made = PathBuf::from(name);
    let written = || {
        if let Some(parent) = path.parent() {
            sys::make_private_directory(parent)?;
        }
        // What a killed process of this number left.
        let _ = fs::remove_file(&made);
        write(&made, &key)
    };
    written().map_err(|e| fault(path, &e))?;
    Ok((key, made))
}

/// Puts the key that [`write_new`] made in the place of the one at `path`.
pub(crate) fn replace(path: &Path, made: &Path) -> Result<(), Fault> {
    crate::file::rename(made, path).map_err(|e| fault(path, &e))
}

/// Brings the name of the file to the disk: a key that is lost in a power cut cannot be named by
/// the one that follows it.
fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty());
    sys::sync_directory(parent.unwrap_or(Path::new(".")))
}

fn fault(path: &Path, error: &io::Error) -> Fault {
    Fault::Key {
        file: path.to_owned(),
        cause: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_files_have_one_name_a_key_is_made_once_too() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        let first = create_by(&path, |_, _| Ok(false)).unwrap();
        let second = create_by(&path, |_, _| Ok(false)).unwrap();
        assert_eq!(first.to_text(), second.to_text());
        let loaded = load_or_create(&path).unwrap();
        assert_eq!(first.to_text(), loaded.to_text());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
