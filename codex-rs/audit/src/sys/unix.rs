//! Unix: modes, owners, and opening without following a link.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::Fault;

/// Only the owner reads and writes.
const FILE_MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o700;
/// Every permission of group and others.
const OTHERS: u32 = 0o077;
/// Write permission of group and others.
const OTHERS_WRITE: u32 = 0o022;

/// Makes a directory, and those above it, that only its owner enters.
pub(crate) fn make_private_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(DIRECTORY_MODE)
        .create(path)
}

/// Lets only the owner read a file that is made.
pub(crate) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options.mode(FILE_MODE)
}

/// Opens a file that is none of: a link, a pipe that would be waited for, a terminal.
pub(crate) fn open(options: &mut OpenOptions, path: &Path) -> Result<File, Fault> {
    // NONBLOCK: a pipe that stands there is refused and not waited for.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    private(options)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
        .map_err(|e| match Errno::from_io_error(&e) {
            Some(Errno::LOOP) => Fault::Symlink,
            Some(Errno::ISDIR | Errno::NXIO) => Fault::NotAFile,
            _ => Fault::Open(e),
        })
}

/// Refuses a file that is another user's, or that others may write.
pub(crate) fn check_owner(metadata: &Metadata) -> Result<(), Fault> {
    let own = rustix::process::geteuid().as_raw();
    let owner = metadata.uid();
    if owner != own {
        return Err(Fault::Owner { owner, own });
    }
    if metadata.mode() & OTHERS_WRITE != 0 {
        return Err(Fault::Writable(metadata.mode() & 0o7777));
    }
    Ok(())
}

/// Whether nobody but its owner, who we are, can use a file.
pub(crate) fn is_private(metadata: &Metadata) -> bool {
    metadata.uid() == rustix::process::geteuid().as_raw() && metadata.mode() & OTHERS == 0
}

/// Whether these are of one file.
pub(crate) fn is_same(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Gives the file at `path` a second name. `false`: this file system knows none.
pub(crate) fn link(path: &Path, second: &Path) -> io::Result<bool> {
    match fs::hard_link(path, second) {
        Ok(()) => Ok(true),
        Err(e) => match Errno::from_io_error(&e) {
            Some(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS) => Ok(false),
            _ => Err(e),
        },
    }
}

/// Whether an open file has no name any more.
pub(crate) fn is_removed(metadata: &Metadata) -> bool {
    metadata.nlink() == 0
}

/// Brings a directory's entries to the disk.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Fills `buffer` with what stands at `offset`, wherever the file's position is.
pub(crate) fn read_exact_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    file.read_exact_at(buffer, offset)
}
