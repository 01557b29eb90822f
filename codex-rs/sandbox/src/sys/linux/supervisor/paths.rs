//! From what a task calls a file to the file that it means.
//!
//! A path is walked to a directory that is held open, and a name in it. What is decided about the
//! directory's true name stays true while the name is acted on: of the sandboxed tasks only the
//! supervisor changes names, one at a time, and with this very directory.

use std::ffi::{CStr, CString, OsStr, OsString};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat};

use super::task::{Errno, Task, number};

/// How many symbolic links the kernel follows in one path: `MAXSYMLINKS`, `linux/namei.h`.
const MAX_LINKS: usize = 40;

/// Where POSIX shared memory lives by name: shm_overview(7).
const SHARED_MEMORY: &str = "/dev/shm";

/// A name in a directory.
#[derive(Debug)]
pub(super) struct Named {
    /// The directory.
    pub(super) directory: OwnedFd,
    /// The name in it, without a slash.
    pub(super) name: CString,
    /// The file's true path.
    pub(super) path: PathBuf,
    /// A slash followed it, so only a directory is meant.
    pub(super) slash: bool,
}

impl Named {
    /// What stands there, links not followed. `None` where nothing does.
    pub(super) fn stat(&self) -> Result<Option<Stat>, Errno> {
        match rustix::fs::statat(&self.directory, &self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(rustix::io::Errno::NOENT) => Ok(None),
            Err(error) => Err(number(error)),
        }
    }

    /// Why nothing was found there.
    pub(super) fn missing(&self) -> Errno {
        self.stat().err().unwrap_or(libc::ENOENT)
    }

    /// Holds what stands there, and is no symbolic link that is followed.
    pub(super) fn hold(self, stat: Box<Stat>) -> Result<Held, Errno> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.directory, &self.name, flags, Mode::empty());
        Ok(Held {
            file: file.map_err(number)?,
            path: self.path,
            stat,
        })
    }

    /// The name as the task gave it, so that the kernel judges a slash behind it as it does.
    pub(super) fn given(&self) -> CString {
        if !self.slash {
            return self.name.clone();
        }
        let mut name = self.name.as_bytes().to_vec();
        name.push(b'/');
        CString::new(name).unwrap_or_else(|_| self.name.clone())
    }
}

/// What a path leads to.
#[derive(Debug)]
pub(super) enum Place {
    /// A name, which is no symbolic link and may not exist.
    Named(Named, Option<Box<Stat>>),
    /// A file that is already held: a directory called `.`, or what a descriptor in `/proc` is.
    Held(Held),
}

impl Place {
    fn directory_if_slash(self) -> Result<Self, Errno> {
        match &self {
            Self::Named(named, Some(stat))
                if named.slash && type_of(stat) != FileType::Directory =>
            {
                Err(libc::ENOTDIR)
            }
            _ => Ok(self),
        }
    }
}

/// A file held by a descriptor without the right to use it.
#[derive(Debug)]
pub(super) struct Held {
    /// The descriptor.
    pub(super) file: OwnedFd,
    /// Its true path; relative for what is no file in any directory, such as `pipe:[17]`.
    pub(super) path: PathBuf,
    /// What it is.
    pub(super) stat: Box<Stat>,
}

impl Held {
    pub(super) fn new(file: OwnedFd) -> Result<Self, Errno> {
        let stat = rustix::fs::fstat(&file).map_err(number)?;
        let mut path = true_path(&file)?;
        if stat.st_nlink == 0 {
            path = without_deleted(path);
        }
        Ok(Self {
            file,
            path,
            stat: Box::new(stat),
        })
    }

    /// A path in `/proc` that leads to the very file.
    pub(super) fn link(&self) -> String {
        format!("/proc/self/fd/{}", self.file.as_raw_fd())
    }

    /// Whether it is one of those that lie in no directory: pipes, sockets, anonymous memory.
    pub(super) fn is_nameless(&self) -> bool {
        let anonymous =
            self.stat.st_nlink == 0 && self.path.as_os_str().as_bytes().starts_with(b"/memfd:");
        anonymous || !self.path.is_absolute()
    }
}

/// What the kernel adds to the name of a file that has none any more.
const DELETED: &[u8] = b" (deleted)";

fn without_deleted(path: PathBuf) -> PathBuf {
    let bytes = path.into_os_string().into_vec();
    let kept = bytes.strip_suffix(DELETED).map(<[u8]>::to_vec);
    PathBuf::from(OsString::from_vec(kept.unwrap_or(bytes)))
}

fn true_path(file: &OwnedFd) -> Result<PathBuf, Errno> {
    let link = format!("/proc/self/fd/{}", file.as_raw_fd());
    let path = rustix::fs::readlinkat(CWD, link, Vec::new()).map_err(number)?;
    Ok(PathBuf::from(OsString::from_vec(path.into_bytes())))
}

pub(super) fn type_of(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// Finds files for one task.
#[derive(Clone, Copy, Debug)]
pub(super) struct Finder<'a> {
    pub(super) task: Task,
    /// The directory that stands in for the shared memory that is everybody's.
    pub(super) shared_memory: Option<&'a Path>,
}

/// What a walk up to the last name found.
enum Last {
    Name(Named),
    /// The path ends with the directory itself.
    Directory(OwnedFd),
}

impl Finder<'_> {
    /// The name that `path` ends with, not followed. `not_a_name` is the error where it ends with
    /// a directory itself: `/`, `.` or `..`.
    pub(super) fn named(self, at: i32, path: &CStr, not_a_name: Errno) -> Result<Named, Errno> {
        match self.last(&self.start(at, path)?, path)? {
            Last::Name(named) => Ok(named),
            Last::Directory(_) => Err(not_a_name),
        }
    }

    /// What `path` leads to, links followed.
    pub(super) fn followed(self, at: i32, path: &CStr) -> Result<Place, Errno> {
        self.to_open(at, path)?.directory_if_slash()
    }

    /// The same, also where a slash follows what is no directory: whoever makes files finds
    /// something else wrong with that.
    pub(super) fn to_open(self, at: i32, path: &CStr) -> Result<Place, Errno> {
        let start = self.start(at, path)?;
        self.follow(self.last(&start, path)?, MAX_LINKS)
    }

    /// What `path` leads to, its last name not followed.
    pub(super) fn unfollowed(self, at: i32, path: &CStr) -> Result<Place, Errno> {
        match self.last(&self.start(at, path)?, path)? {
            Last::Directory(file) => Held::new(file).map(Place::Held),
            // A slash behind it means the directory that a link leads to.
            Last::Name(named) if named.slash => self
                .follow(Last::Name(named), MAX_LINKS)?
                .directory_if_slash(),
            Last::Name(named) => {
                let stat = named.stat()?.map(Box::new);
                Ok(Place::Named(named, stat))
            }
        }
    }

    /// Where a path that cannot be followed ends: the first name that is closed.
    pub(super) fn where_closed(self, at: i32, path: &CStr) -> Result<PathBuf, Errno> {
        let start = self.start(at, path)?;
        let path = self.translated(path.to_bytes());
        let mut reached = match &start {
            Start::Root => PathBuf::from("/"),
            Start::Directory(base) => true_path(base)?,
        };
        let mut end = 0;
        for part in path.split_inclusive(|b| *b == b'/') {
            end += part.len();
            let name = part.strip_suffix(b"/").unwrap_or(part);
            match self.directory(&start, path.get(..end)) {
                Ok(directory) => reached = true_path(&directory)?,
                Err(_) => return Ok(reached.join(OsStr::from_bytes(name))),
            }
        }
        Ok(reached)
    }

    fn follow(self, last: Last, links: usize) -> Result<Place, Errno> {
        let named = match last {
            Last::Directory(file) => return Held::new(file).map(Place::Held),
            Last::Name(named) => named,
        };
        let stat = match named.stat() {
            // What may not be looked at is judged by its name.
            Err(libc::EACCES) => None,
            other => other?,
        };
        let kind = stat.as_ref().map(type_of);
        if kind != Some(FileType::Symlink) {
            return Ok(Place::Named(named, stat.map(Box::new)));
        }
        if is_process_file(&named.directory) {
            if of_ourselves(&named.path).is_some() {
                // We may go there, and the task may not.
                return Err(libc::EACCES);
            }
            // Such a link is no text to read but a file to go to.
            let flags = OFlags::PATH | OFlags::CLOEXEC;
            let file = rustix::fs::openat(&named.directory, &named.name, flags, Mode::empty());
            return Held::new(file.map_err(number)?).map(Place::Held);
        }
        let links = links.checked_sub(1).ok_or(libc::ELOOP)?;
        let link = rustix::fs::readlinkat(&named.directory, &named.name, Vec::new());
        let mut link = link.map_err(number)?;
        if named.slash {
            let mut bytes = link.into_bytes();
            bytes.push(b'/');
            link = CString::new(bytes).map_err(|_| libc::ENOENT)?;
        }
        self.follow(self.last(&Start::Directory(named.directory), &link)?, links)
    }

    fn start(self, at: i32, path: &CStr) -> Result<Start, Errno> {
        match path.to_bytes().first() {
            None => Err(libc::ENOENT),
            Some(b'/') => Ok(Start::Root),
            Some(_) => self.task.base(at).map(Start::Directory),
        }
    }

    /// Walks to the last name of `path`.
    fn last(self, start: &Start, path: &CStr) -> Result<Last, Errno> {
        let path = self.translated(path.to_bytes());
        let bytes = path.as_slice();
        let length = bytes
            .iter()
            .rposition(|b| *b != b'/')
            .map_or(0, |at| at + 1);
        let (trimmed, rest) = bytes.split_at(length);
        let slash = !rest.is_empty();
        let (parent, name) = match trimmed.iter().rposition(|b| *b == b'/') {
            Some(at) => {
                let (parent, name) = trimmed.split_at(at + 1);
                // With the dot it is a directory that may be searched, or none to name a file in.
                (Some([parent, b"."].concat()), name)
            }
            None => (None, trimmed),
        };
        if matches!(name, b"" | b"." | b"..") {
            let whole: &[u8] = if trimmed.is_empty() { b"/" } else { trimmed };
            return self.directory(start, Some(whole)).map(Last::Directory);
        }
        let mut directory = self.directory(start, parent.as_deref())?;
        let mut within = true_path(&directory)?;
        if let Some(rest) = of_ourselves(&within)
            && !names_us(bytes)
        {
            // By some way round, the path says `self`.
            let meant = Path::new("/proc")
                .join(self.task.tid.to_string())
                .join(rest);
            directory = open_directory(CWD, meant.as_os_str().as_bytes())?;
            within = true_path(&directory)?;
        }
        let path = within.join(OsStr::from_bytes(name));
        let name = CString::new(name).map_err(|_| libc::ENOENT)?;
        let mut named = Named {
            directory,
            name,
            path,
            slash,
        };
        if let Some(own) = self.shared_memory
            && within == Path::new(SHARED_MEMORY)
        {
            // Commands may write beside it: what stands there now may be a link to anywhere.
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let directory = rustix::fs::openat(CWD, own, flags, Mode::empty());
            named.directory = directory.map_err(number)?;
            named.path =
                true_path(&named.directory)?.join(OsStr::from_bytes(named.name.as_bytes()));
        }
        Ok(Last::Name(named))
    }

    fn directory(self, start: &Start, path: Option<&[u8]>) -> Result<OwnedFd, Errno> {
        match (start, path) {
            (Start::Directory(base), Some(path)) => {
                open_directory(rustix::fd::AsFd::as_fd(base), path)
            }
            (Start::Root, path) => open_directory(CWD, path.unwrap_or(b"/")),
            // What is no directory, or may not be searched, holds no names.
            (Start::Directory(base), None) => open_directory(rustix::fd::AsFd::as_fd(base), b"."),
        }
    }

    /// Whether the kernel, asked by us, would walk this path to where it was found for the task.
    pub(super) fn takes_as_given(self, path: &CStr) -> bool {
        let path = path.to_bytes();
        !["/proc", "/dev"]
            .iter()
            .any(|place| path.starts_with(place.as_bytes()))
    }

    /// The path with what means "the task itself" replaced: in us it would mean ourselves.
    fn translated(self, path: &[u8]) -> Vec<u8> {
        let tid = self.task.tid;
        let own = [
            ("/proc/self", format!("/proc/{tid}")),
            ("/proc/thread-self", format!("/proc/{tid}")),
            ("/dev/fd", format!("/proc/{tid}/fd")),
            ("/dev/stdin", format!("/proc/{tid}/fd/0")),
            ("/dev/stdout", format!("/proc/{tid}/fd/1")),
            ("/dev/stderr", format!("/proc/{tid}/fd/2")),
        ];
        for (name, means) in own {
            if let Some(rest) = path.strip_prefix(name.as_bytes())
                && rest.first().is_none_or(|b| *b == b'/')
            {
                return [means.as_bytes(), rest].concat();
            }
        }
        path.to_vec()
    }
}

/// Where a walk starts.
enum Start {
    Root,
    Directory(OwnedFd),
}

fn open_directory(base: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(base, path, flags, Mode::empty()).map_err(number)
}

/// What of this very process a path in `/proc` names.
fn of_ourselves(path: &Path) -> Option<&Path> {
    let own = path.strip_prefix("/proc").ok()?;
    own.strip_prefix(std::process::id().to_string()).ok()
}

/// Whether the path names this process by its number.
fn names_us(path: &[u8]) -> bool {
    let own = std::process::id().to_string();
    path.split(|b| *b == b'/')
        .any(|name| name == own.as_bytes())
}

/// Whether the directory belongs to `/proc`: `PROC_SUPER_MAGIC`, header `linux/magic.h`.
fn is_process_file(directory: &OwnedFd) -> bool {
    rustix::fs::fstatfs(directory).is_ok_and(|s| s.f_type == libc::PROC_SUPER_MAGIC)
}
