//! Landlock's three system calls, and the walk that turns "this tree except …" into rules.
//!
//! Raw calls instead of a crate: plans carry rights as data that every host can make, the level
//! was judged before, and nothing here may quietly do less than the plan says.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use codex_protocol::secrets::PathPattern;

use super::check;
use crate::landlock::{Ruleset, access};

/// `struct landlock_ruleset_attr`, header `linux/landlock.h`, ABI 6.
#[repr(C)]
struct RulesetAttributes {
    handled_access_fs: u64,
    handled_access_net: u64,
    scoped: u64,
}

/// `struct landlock_path_beneath_attr`, which the kernel declares packed.
#[repr(C, packed)]
struct PathBeneath {
    allowed_access: u64,
    parent_fd: i32,
}

/// `LANDLOCK_CREATE_RULESET_VERSION`.
const VERSION: u32 = 1;
/// `LANDLOCK_RULE_PATH_BENEATH`.
const PATH_BENEATH: u32 = 1;

/// Rights that a rule on something other than a directory may give.
const FILE_RIGHTS: u64 =
    access::EXECUTE | access::WRITE_FILE | access::READ_FILE | access::TRUNCATE | access::IOCTL_DEV;

/// The version of the interface; 0 where the call is missing or Landlock is switched off.
pub(super) fn abi() -> u32 {
    let none = std::ptr::null::<RulesetAttributes>();
    // SAFETY: with this flag the kernel reads no attributes.
    let version =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, none, 0_usize, VERSION) };
    u32::try_from(version).unwrap_or(0)
}

/// Makes the ruleset.
pub(super) fn build(ruleset: &Ruleset) -> io::Result<OwnedFd> {
    let attributes = RulesetAttributes {
        handled_access_fs: ruleset.handled,
        handled_access_net: ruleset.network,
        scoped: ruleset.scopes,
    };
    // A kernel refuses a structure longer than it knows unless the rest is zero, which it is
    // where the plan was made for that kernel.
    let size = size_of::<RulesetAttributes>();
    // SAFETY: the pointer and size describe `attributes`, which outlives the call.
    let fd = check(unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            &raw const attributes,
            size,
            0_u32,
        )
    })?;
    let fd = i32::try_from(fd).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    // SAFETY: the kernel has just given this descriptor to us.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    for rule in &ruleset.rules {
        let mut except = Vec::new();
        for text in &rule.except {
            let pattern = PathPattern::from(text);
            if exists(&pattern) {
                except.push(pattern);
            }
        }
        allow(&fd, &rule.path, None, rule.access, &except)?;
    }
    Ok(fd)
}

/// Whether there is anything that the pattern could name. One with a star is taken to name
/// something if its directory exists.
fn exists(pattern: &PathPattern) -> bool {
    let at = if pattern.name.contains('*') {
        pattern.parent.clone()
    } else {
        pattern.parent.join(&pattern.name)
    };
    fs::symlink_metadata(at).is_ok()
}

/// Gives `rights` on `path` and all below it except what the patterns name: below a directory
/// that holds such a thing, each of the other entries gets a rule of its own. Listing is given
/// all the same, since a directory's names cannot be given without those below it.
fn allow(
    ruleset: &OwnedFd,
    path: &Path,
    kind: Option<fs::FileType>,
    rights: u64,
    except: &[PathPattern],
) -> io::Result<()> {
    let inside: Vec<&PathPattern> = except
        .iter()
        .filter(|p| p.parent.starts_with(path))
        .collect();
    if inside.is_empty() {
        return add(ruleset, path, kind, rights);
    }
    add(ruleset, path, kind, rights & access::READ_DIR)?;
    // What cannot be listed cannot be told from what is excepted, so it gets nothing.
    let Ok(entries) = fs::read_dir(path) else {
        return Ok(());
    };
    for entry in entries.flatten() {
        let child = entry.path();
        let kind = entry.file_type().ok();
        // A symlink needs no rule: what it leads to has its own, or none.
        if kind.is_some_and(|t| t.is_symlink()) || inside.iter().any(|p| p.matches(&child)) {
            continue;
        }
        let below: Vec<PathPattern> = inside
            .iter()
            .filter(|p| p.parent.starts_with(&child))
            .map(|p| (*p).clone())
            .collect();
        allow(ruleset, &child, kind, rights, &below)?;
    }
    Ok(())
}

/// Adds one rule. `kind` is what the path is, where that is known already.
fn add(ruleset: &OwnedFd, path: &Path, kind: Option<fs::FileType>, rights: u64) -> io::Result<()> {
    if rights == 0 {
        return Ok(());
    }
    let Ok(name) = CString::new(path.as_os_str().as_bytes()) else {
        return Ok(());
    };
    // SAFETY: `name` is a C string that outlives the call.
    let fd = unsafe { libc::open(name.as_ptr(), libc::O_PATH | libc::O_CLOEXEC) };
    if fd < 0 {
        // What is not there, or may not be looked up, gets no rights; that only narrows.
        return Ok(());
    }
    // SAFETY: the descriptor was just opened and is owned here.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let for_files = rights & FILE_RIGHTS;
    let directory = match kind {
        Some(kind) => kind.is_dir(),
        None => for_files == rights || is_directory(&fd)?,
    };
    let rights = if directory { rights } else { for_files };
    if rights == 0 {
        return Ok(());
    }
    let beneath = PathBeneath {
        allowed_access: rights,
        parent_fd: fd.as_raw_fd(),
    };
    // SAFETY: the structure outlives the call and has the layout of the kernel's.
    let added = check(unsafe {
        libc::syscall(
            libc::SYS_landlock_add_rule,
            ruleset.as_raw_fd(),
            PATH_BENEATH,
            &raw const beneath,
            0_u32,
        )
    });
    match added {
        // The kernel takes no rules on pipes, sockets and its own pseudo files; without one they
        // stay closed.
        Err(e) if e.raw_os_error() == Some(libc::EBADFD) => Ok(()),
        other => other.map(drop),
    }
}

fn is_directory(fd: &OwnedFd) -> io::Result<bool> {
    let mut status = std::mem::MaybeUninit::<libc::stat>::uninit();
    // SAFETY: the kernel fills the structure if it returns zero.
    check(unsafe { libc::fstat(fd.as_raw_fd(), status.as_mut_ptr()) }.into())?;
    // SAFETY: it returned zero.
    let status = unsafe { status.assume_init() };
    Ok(status.st_mode & libc::S_IFMT == libc::S_IFDIR)
}

/// Confines the calling thread and all that it starts. Needs `no_new_privs`.
pub(super) fn restrict(ruleset: &OwnedFd) -> io::Result<()> {
    // SAFETY: the call takes a descriptor and flags.
    check(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0_u32) })
        .map(drop)
}
