//! How each platform opens a file that is one person's own. One selection point; the same names
//! and signatures behind it.

#[cfg(unix)]
mod unix;
#[cfg(unix)]
use unix as platform;

#[cfg(windows)]
mod windows;
#[cfg(windows)]
use windows as platform;

pub(crate) use platform::{
    check_owner, is_private, is_removed, is_same, link, make_private_directory, open, private,
    read_exact_at, sync_directory,
};
