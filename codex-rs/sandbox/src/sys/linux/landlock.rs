//! Landlock's three system calls, and the walk that turns "this tree except …" into rules.
//!
//! Raw calls instead of a crate: plans carry rights as data that every host can make, the level
//! was judged before, and nothing here may quietly do less than the plan says.

use std::ffi::{CString, OsStr};
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use codex_protocol::glob;
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
    let ruleset_fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let mut builder = Builder {
        ruleset: ruleset_fd.as_raw_fd(),
        opened: Vec::new(),
        parent: None,
    };
    for rule in &ruleset.rules {
        let patterns = rule.except.iter().filter(|p| is_readable_secret(p));
        let except: Vec<PathPattern> = patterns.cloned().collect();
        builder.allow(&rule.path, None, rule.access, &except)?;
    }
    Ok(ruleset_fd)
}

/// Whether there is anything that the pattern names and that this user could read: what is
/// closed by its mode needs no rules beside it, and those for `/etc` alone are hundreds.
fn is_readable_secret(pattern: &PathPattern) -> bool {
    if !pattern.name.contains('*') {
        return may_read(&pattern.parent.join(&pattern.name));
    }
    let entries = fs::read_dir(&pattern.parent)
        .into_iter()
        .flatten()
        .flatten();
    let mut named = entries
        .map(|e| e.path())
        .filter(|path| pattern.matches(path));
    named.any(|path| may_read(&path))
}

/// Whether this user could read the file, or enter or list the directory. What cannot be asked
/// for counts as readable, unless it is not there.
fn may_read(path: &Path) -> bool {
    let Ok(name) = CString::new(path.as_os_str().as_bytes()) else {
        return false;
    };
    let may = |mode| {
        // SAFETY: `name` is a C string that outlives the call.
        unsafe { libc::faccessat(libc::AT_FDCWD, name.as_ptr(), mode, libc::AT_EACCESS) == 0 }
    };
    if may(libc::R_OK) {
        return true;
    }
    match io::Error::last_os_error().raw_os_error() {
        Some(libc::ENOENT | libc::ENOTDIR) => false,
        Some(libc::EACCES) => may(libc::X_OK),
        _ => true,
    }
}

/// Adds rules to a ruleset. The files that rules name stay open until the end and are closed
/// together: one call instead of hundreds.
struct Builder {
    ruleset: i32,
    opened: Vec<i32>,
    /// The directory that the last rule's path was in, so that the next need not be looked up
    /// from the root.
    parent: Option<(PathBuf, OwnedFd)>,
}

impl Drop for Builder {
    fn drop(&mut self) {
        self.close();
    }
}

/// How many files stay open at most: well below the usual limit of 1,024.
const MOST_OPEN: usize = 512;

impl Builder {
    fn close(&mut self) {
        self.opened.sort_unstable();
        for run in self.opened.chunk_by(|a, b| a + 1 == *b) {
            if let (Some(first), Some(last)) = (run.first(), run.last()) {
                // SAFETY: these descriptors were opened here and are known to nobody else.
                unsafe { libc::syscall(libc::SYS_close_range, *first, *last, 0_u32) };
            }
        }
        self.opened.clear();
    }

    /// Gives `rights` on `path` and all below it except what the patterns name: below a directory
    /// that holds such a thing, each of the other entries gets a rule of its own. Listing is given
    /// all the same, since a directory's names cannot be given without those below it.
    fn allow(
        &mut self,
        path: &Path,
        kind: Option<fs::FileType>,
        rights: u64,
        except: &[PathPattern],
    ) -> io::Result<()> {
        // Patterns that name entries of this directory, and those that name something deeper.
        let here: Vec<&PathPattern> = except.iter().filter(|p| p.parent == path).collect();
        let deeper: Vec<(&Path, &PathPattern)> = except
            .iter()
            .filter_map(|p| Some((p.parent.strip_prefix(path).ok()?, p)))
            .filter(|(rest, _)| !rest.as_os_str().is_empty())
            .collect();
        if here.is_empty() && deeper.is_empty() {
            return self.add(path, kind, rights);
        }
        self.add(path, kind, rights & access::READ_DIR)?;
        // What cannot be listed cannot be told from what is excepted, so it gets nothing.
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            let (name, child, kind) = (entry.file_name(), entry.path(), entry.file_type().ok());
            let text = name.to_string_lossy();
            // A symlink needs no rule: what it leads to has its own, or none.
            if kind.is_some_and(|t| t.is_symlink())
                || here
                    .iter()
                    .any(|p| glob::matches(&p.name, &text, true) && p.matches(&child))
            {
                continue;
            }
            let leads_to = |rest: &Path| {
                rest.iter()
                    .next()
                    .is_some_and(|n| n.eq_ignore_ascii_case(&name))
            };
            let below: Vec<PathPattern> = deeper
                .iter()
                .filter(|(rest, _)| leads_to(rest))
                .map(|(_, pattern)| (*pattern).clone())
                .collect();
            self.allow(&child, kind, rights, &below)?;
        }
        Ok(())
    }

    fn look_up(&mut self, path: &Path) -> Option<i32> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return open_path(libc::AT_FDCWD, path.as_os_str());
        };
        let same = |(last, _): &(PathBuf, OwnedFd)| last.as_os_str() == parent.as_os_str();
        if !self.parent.as_ref().is_some_and(same) {
            let fd = open_path(libc::AT_FDCWD, parent.as_os_str())?;
            // SAFETY: the kernel has just given this descriptor to us.
            let fd = unsafe { OwnedFd::from_raw_fd(fd) };
            self.parent = Some((parent.to_owned(), fd));
        }
        let (_, parent) = self.parent.as_ref()?;
        open_path(parent.as_raw_fd(), name)
    }

    /// Adds one rule. `kind` is what the path is, where that is known already.
    fn add(&mut self, path: &Path, kind: Option<fs::FileType>, rights: u64) -> io::Result<()> {
        if rights == 0 {
            return Ok(());
        }
        // What is not there, or may not be looked up, gets no rights; that only narrows.
        let Some(fd) = self.look_up(path) else {
            return Ok(());
        };
        if self.opened.len() >= MOST_OPEN {
            self.close();
        }
        self.opened.push(fd);
        let for_files = rights & FILE_RIGHTS;
        let directory = match kind {
            Some(kind) => kind.is_dir(),
            None => for_files == rights || is_directory(fd)?,
        };
        let rights = if directory { rights } else { for_files };
        if rights == 0 {
            return Ok(());
        }
        let beneath = PathBeneath {
            allowed_access: rights,
            parent_fd: fd,
        };
        // SAFETY: the structure outlives the call and has the layout of the kernel's.
        let added = check(unsafe {
            libc::syscall(
                libc::SYS_landlock_add_rule,
                self.ruleset,
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
}

fn open_path(directory: i32, path: &OsStr) -> Option<i32> {
    let name = CString::new(path.as_bytes()).ok()?;
    // SAFETY: `name` is a C string that outlives the call.
    let fd = unsafe { libc::openat(directory, name.as_ptr(), libc::O_PATH | libc::O_CLOEXEC) };
    (fd >= 0).then_some(fd)
}

fn is_directory(fd: i32) -> io::Result<bool> {
    let mut status = std::mem::MaybeUninit::<libc::stat>::uninit();
    // SAFETY: the kernel fills the structure if it returns zero.
    check(unsafe { libc::fstat(fd, status.as_mut_ptr()) }.into())?;
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
