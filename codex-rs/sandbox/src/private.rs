//! Files and directories of codex's own that other users do not read.
//!
//! On Unix that is their mode. On Windows they inherit the access list of the directory that they
//! lie in: below a person's profile it names the person, the system and administrators.

use std::fs::{Metadata, OpenOptions};
use std::io;
use std::path::Path;

use crate::sys;

/// Lets only the owner read and write a file that `options` make. No change to one that exists.
pub fn file(options: &mut OpenOptions) -> &mut OpenOptions {
    sys::private_file(options)
}

/// Makes a directory, and those above it, that only its owner enters.
///
/// # Errors
/// When the system refuses.
pub fn directory(path: &Path) -> io::Result<()> {
    sys::private_directory(path)
}

/// Whether a file's mode lets others than its owner read or write it. Never so on Windows, where
/// the directory decides.
#[must_use]
pub fn is_shared(metadata: &Metadata) -> bool {
    sys::is_shared(metadata)
}
