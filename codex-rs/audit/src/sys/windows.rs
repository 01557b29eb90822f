//! Windows: access lists instead of modes. Files below a person's profile inherit a list that
//! names the person, the system and administrators; nothing is added to it here, so a log that is
//! put elsewhere is as private as its directory is.
//!
//! Not run on this platform: type-checked only.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::windows::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use crate::Fault;

/// `FILE_FLAG_OPEN_REPARSE_POINT`, header `winbase.h`: a link is opened itself, not followed.
const OPEN_REPARSE_POINT: u32 = 0x0020_0000;
/// `FILE_ATTRIBUTE_REPARSE_POINT`, header `winnt.h`.
const IS_REPARSE_POINT: u32 = 0x400;
/// `FILE_SHARE_READ | FILE_SHARE_WRITE`, header `winnt.h`. Without `FILE_SHARE_DELETE`, nobody
/// removes or renames the file while it is open.
const SHARE_READ_WRITE: u32 = 0x1 | 0x2;

/// Makes a directory, and those above it; it inherits who may enter.
pub(crate) fn make_private_directory(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)
}

/// Leaves who may read a file that is made to what it inherits.
pub(crate) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

/// Opens a file that is no link and no directory, and keeps it from being removed meanwhile.
pub(crate) fn open(options: &mut OpenOptions, path: &Path) -> Result<File, Fault> {
    let file = options
        .custom_flags(OPEN_REPARSE_POINT)
        .share_mode(SHARE_READ_WRITE)
        .open(path)
        .map_err(|e| match fs::symlink_metadata(path) {
            Ok(found) if found.is_dir() => Fault::NotAFile,
            _ => Fault::Open(e),
        })?;
    let metadata = file.metadata().map_err(Fault::Open)?;
    match metadata.file_attributes() & IS_REPARSE_POINT {
        0 => Ok(file),
        _ => Err(Fault::Symlink),
    }
}

/// Who owns a file cannot be told without a system call of its own; what keeps others out is the
/// directory that it lies in.
pub(crate) fn check_owner(_: &Metadata) -> Result<(), Fault> {
    Ok(())
}

/// Nothing is looked at, as in [`check_owner`].
pub(crate) fn is_private(_: &Metadata) -> bool {
    true
}

/// A name cannot come to mean another file while the file is open, see [`SHARE_READ_WRITE`].
pub(crate) fn is_same(_: &Metadata, _: &Metadata) -> bool {
    true
}

/// For the same reason a log's file cannot be closed and followed by another one: it stays one.
#[expect(
    clippy::unnecessary_wraps,
    reason = "the same signature on every platform"
)]
pub(crate) fn link(_: &Path, _: &Path) -> io::Result<bool> {
    Ok(false)
}

/// An open file cannot lose its name: it was opened so that nobody may remove it.
pub(crate) fn is_removed(_: &Metadata) -> bool {
    false
}

/// The file system writes its own journal of names; a directory cannot be flushed alone.
pub(crate) fn sync_directory(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Fills `buffer` with what stands at `offset`, wherever the file's position is.
pub(crate) fn read_exact_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    let mut read = 0;
    while read < buffer.len() {
        match file.seek_read(&mut buffer[read..], offset + read as u64) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => read += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}
