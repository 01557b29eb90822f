//! File work inside this process, for permitted requests only.
//!
//! A request carries a resolved path. Between the decision and the act somebody may put a
//! symlink into that path, so every directory on the way is opened without following one, and
//! the file itself likewise: then what is opened is what was decided on, or nothing is.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::path::{Component, Path};
use std::sync::atomic::{AtomicU64, Ordering};

use cap_fs_ext::{DirExt, FollowSymlinks, OpenOptionsFollowExt, OpenOptionsSyncExt};
use cap_std::ambient_authority;
use cap_std::fs::{Dir, File, FileType, OpenOptions};
use codex_protocol::gate::Authorized;
use codex_protocol::record::Recorded;
use codex_protocol::request::{FileRead, FileWrite};

/// The largest file that is read into memory, in bytes.
pub const LARGEST: u64 = 32 << 20;

/// Tells the files that are being written from one another.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// The directory that holds `path`, and the name in it.
fn parent(path: &Path, make: bool) -> io::Result<(Dir, &OsStr)> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut dir = Dir::open_ambient_dir(root_of(path), ambient_authority())?;
    for component in path.parent().into_iter().flat_map(Path::components) {
        if let Component::Normal(part) = component {
            dir = match dir.open_dir_nofollow(part) {
                Err(e) if make && e.kind() == io::ErrorKind::NotFound => {
                    dir.create_dir(part)?;
                    dir.open_dir_nofollow(part)?
                }
                other => other?,
            };
        }
    }
    Ok((dir, name))
}

/// `/`, or the drive that the path starts with.
fn root_of(path: &Path) -> &Path {
    path.ancestors().last().unwrap_or(path)
}

fn open(path: &Path) -> io::Result<File> {
    let (dir, name) = parent(path, false)?;
    open_in(&dir, name)
}

/// Opens a regular file of `dir` for reading, without following a symlink. Nothing is waited for:
/// a pipe that nobody writes to is no regular file either.
///
/// # Errors
/// What the system says; that it is no regular file.
pub(crate) fn open_in(dir: &Dir, name: &OsStr) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).nonblock(true).follow(FollowSymlinks::No);
    let file = dir.open_with(name, &options)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(io::Error::new(
            io::ErrorKind::IsADirectory,
            "it is a directory",
        ));
    }
    if !metadata.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is not a regular file",
        ));
    }
    Ok(file)
}

/// Reads a whole file of at most [`LARGEST`] bytes.
///
/// # Errors
/// What the system says; that it is no regular file; that it is too large.
pub fn read(request: &Recorded<Authorized<FileRead>>) -> io::Result<Vec<u8>> {
    let file = open(&request.get().request().path)?;
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        let text = format!("it is larger than {} MiB", LARGEST >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    Ok(bytes)
}

/// Puts `contents` in the place of the file, or makes it, with the directories that lead there.
///
/// The file is whole at every moment, the old one or the new: the contents go to a new file
/// beside it, which takes its mode and then its name.
///
/// # Errors
/// What the system says; that there is something other than a regular file at the path.
pub fn write(request: &Recorded<Authorized<FileWrite>>, contents: &[u8]) -> io::Result<()> {
    let (dir, name) = parent(&request.get().request().path, true)?;
    let permissions = match dir.symlink_metadata(name) {
        Ok(old) if old.is_file() => Some(old.permissions()),
        Ok(_) => {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "it is not a regular file",
            ));
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        Err(e) => return Err(e),
    };
    let mut beside = OsStr::new(".").to_owned();
    beside.push(name);
    beside.push(format!(
        ".codex-{}-{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    ));
    let mut file = dir.open_with(&beside, OpenOptions::new().write(true).create_new(true))?;
    let written = permissions
        .map_or(Ok(()), |p| file.set_permissions(p))
        .and_then(|()| file.write_all(contents))
        .and_then(|()| dir.rename(&beside, &dir, name));
    if written.is_err() {
        // The first error is the one to tell; a file left beside is lesser than hiding it.
        let _ = dir.remove_file(&beside);
    }
    written
}

/// Removes a file; a symlink is removed itself. Never a directory.
///
/// # Errors
/// What the system says.
pub fn remove(request: &Recorded<Authorized<FileWrite>>) -> io::Result<()> {
    let (dir, name) = parent(&request.get().request().path, false)?;
    if dir.symlink_metadata(name)?.is_dir() {
        return Err(io::Error::new(
            io::ErrorKind::IsADirectory,
            "it is a directory",
        ));
    }
    dir.remove_file(name)
}

/// What tells a file from every other: device and number. Two paths with the same identity name
/// one file.
///
/// # Errors
/// What the system says.
pub fn identity(path: &Path) -> io::Result<(u64, u64)> {
    use cap_fs_ext::MetadataExt as _;
    let (dir, name) = parent(path, false)?;
    let metadata = dir.symlink_metadata(name)?;
    Ok((metadata.dev(), metadata.ino()))
}

/// What a permitted path names: the door to everything below it.
pub(crate) enum Opened {
    /// A directory. What is opened from it without following symlinks lies below it.
    Directory(Dir),
    /// A regular file.
    File(File),
}

/// Opens the file or directory of a request.
///
/// # Errors
/// What the system says; that it is neither.
pub(crate) fn open_either(request: &Recorded<Authorized<FileRead>>) -> io::Result<Opened> {
    let path = &request.get().request().path;
    let Some(name) = path.file_name() else {
        return Dir::open_ambient_dir(path, ambient_authority()).map(Opened::Directory);
    };
    let (dir, _) = parent(path, false)?;
    match dir.open_dir_nofollow(name) {
        Ok(found) => Ok(Opened::Directory(found)),
        Err(e) if e.kind() == io::ErrorKind::NotADirectory => open_in(&dir, name).map(Opened::File),
        Err(e) => Err(e),
    }
}

/// The entries of a directory, each with whether it is a directory and whether it is a symlink.
///
/// # Errors
/// What the system says.
pub fn list(request: &Recorded<Authorized<FileRead>>) -> io::Result<Vec<(OsString, FileType)>> {
    let Opened::Directory(directory) = open_either(request)? else {
        return Err(io::ErrorKind::NotADirectory.into());
    };
    let entries = directory.entries()?;
    entries
        .map(|entry| entry.and_then(|e| Ok((e.file_name(), e.file_type()?))))
        .collect()
}
