//! What git does to files that it obeys: carried out here with the very bytes that were judged.

use std::collections::HashSet;
use std::ffi::CString;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use codex_protocol::git_config::MAX_CONFIG;
use codex_protocol::protected;
use codex_protocol::request::{GitConfigChange, GitPointer, Requested as _, WriteKind};
use rustix::fs::{AtFlags, CWD, FileType, MemfdFlags, Mode, OFlags, Stat};

use super::Supervisor;
use super::paths::{Named, type_of};
use super::task::{Errno, PATH_MAX, Task, number};

/// So many directories of git's that the run made are remembered. Of later ones it is forgotten
/// that they are the run's own, which only ever makes the rules for them stricter.
const MAX_MADE: usize = 4096;

/// Git directories, and directories of git's in them, that the run itself made: their settings are
/// judged as new ones, and they may be removed again.
#[derive(Debug, Default)]
pub(super) struct Made(HashSet<PathBuf>);

impl Made {
    /// Remembers a new directory, if it is git's.
    pub(super) fn add(&mut self, path: &Path) {
        let is_gits = path.components().any(|name| name.as_os_str() == ".git");
        if is_gits && self.0.len() < MAX_MADE {
            self.0.insert(path.to_owned());
        }
    }

    /// Forgets what was removed or moved away, with all below it.
    pub(super) fn remove(&mut self, path: &Path) {
        self.0.retain(|made| !made.starts_with(path));
    }

    fn holds(&self, path: &Path) -> bool {
        self.0.contains(path)
    }

    /// How the removal of `path` is to be judged: what lies in a directory that the run made was
    /// made, or at least moved there, by the run.
    pub(super) fn removal(&self, path: &Path, usual: WriteKind) -> WriteKind {
        match path.ancestors().any(|above| self.holds(above)) {
            true => WriteKind::Discard,
            false => usual,
        }
    }
}

impl Supervisor<'_> {
    /// Renames new settings over git's own, if that is what is asked. `None` if it is not.
    pub(super) fn rename_settings(
        &mut self,
        task: Task,
        from: &Named,
        to: &Named,
        source: &Stat,
    ) -> Option<Result<(), Errno>> {
        let is_file = type_of(source) == FileType::RegularFile;
        (is_file && protected::is_settings(&to.path))
            .then(|| self.change_settings(task, from, to, source))
    }

    fn change_settings(
        &mut self,
        task: Task,
        from: &Named,
        to: &Named,
        source: &Stat,
    ) -> Result<(), Errno> {
        self.permit_write(task, from.path.clone(), WriteKind::Rename)?;
        let new = contents(from)?;
        let made = to
            .path
            .parent()
            .is_some_and(|directory| self.made.holds(directory));
        let old = match (made, to.stat()?) {
            (false, Some(_)) => Some(contents(to)?),
            // Settings that were not there, in a repository that was, change something too.
            (false, None) => Some(Vec::new()),
            (true, _) => None,
        };
        let request = GitConfigChange {
            path: to.path.clone(),
            old,
            new,
        };
        self.permit(task, request.view(), libc::EACCES)?;
        // The task may hold the judged file open: what becomes the settings is another one.
        let own = write_new(
            from,
            &request.new,
            Mode::from_raw_mode(source.st_mode & 0o7777),
        )?;
        let renamed = rustix::fs::renameat(&from.directory, &own, &to.directory, &to.name);
        let (left, result) = match renamed {
            Ok(()) => (from.name.as_bytes(), Ok(())),
            Err(error) => (own.as_bytes(), Err(number(error))),
        };
        let _ = rustix::fs::unlinkat(&from.directory, left, AtFlags::empty());
        result
    }

    /// Makes a file that points git to a worktree of this run's, if that is what is asked, and
    /// gives a file for what the task writes, which goes nowhere. `None` if it is not.
    pub(super) fn make_pointer(
        &mut self,
        task: Task,
        named: &Named,
        mode: Mode,
    ) -> Option<Result<OwnedFd, Errno>> {
        let content = self.pointer(&named.path)?;
        let request = GitPointer {
            path: named.path.clone(),
            content,
        };
        if let Err(errno) = self.permit(task, request.view(), libc::EACCES) {
            return Some(Err(errno));
        }
        self.with_umask_of(task);
        Some(write_pointer(named, &request.content, mode))
    }

    /// What git is about to write into `path`, which it makes.
    fn pointer(&self, path: &Path) -> Option<Vec<u8>> {
        let directory = path.parent()?;
        if path.ends_with("commondir") {
            return self.made.holds(directory).then(|| b"../..\n".to_vec());
        }
        if !path.ends_with(".git") {
            return None;
        }
        // `git worktree add` has noted in its own directory for whom that is (gitdir, in
        // gitrepository-layout(5)).
        let worktrees = self.made.0.iter().filter(|made| {
            made.parent()
                .is_some_and(|parent| parent.ends_with(".git/worktrees"))
        });
        let mut own = worktrees.filter(|made| {
            let noted = read_start(CWD, made.join("gitdir"), PATH_MAX).unwrap_or_default();
            noted.trim_ascii_end() == path.as_os_str().as_encoded_bytes()
        });
        let own = own.next()?;
        Some([b"gitdir: ", own.as_os_str().as_encoded_bytes(), b"\n"].concat())
    }
}

fn contents(named: &Named) -> Result<Vec<u8>, Errno> {
    // What is longer is refused as unreadable by whoever judges it.
    read_start(&named.directory, named.name.as_c_str(), MAX_CONFIG + 1)
}

/// Reads an ordinary file up to `limit` bytes, waiting for nobody: it is the task's.
fn read_start(
    directory: impl AsFd,
    name: impl rustix::path::Arg,
    limit: usize,
) -> Result<Vec<u8>, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = rustix::fs::openat(directory, name, flags, Mode::empty()).map_err(number)?;
    if type_of(&rustix::fs::fstat(&file).map_err(number)?) != FileType::RegularFile {
        return Err(libc::EACCES);
    }
    let mut text = Vec::new();
    let read = File::from(file).take(limit as u64).read_to_end(&mut text);
    read.map_err(|e| e.raw_os_error().unwrap_or(libc::EIO))?;
    Ok(text)
}

/// So many names are tried for a file that nothing else is.
const MAX_NAMES: usize = 16;

/// Writes a new file beside `named` and gives its name.
fn write_new(named: &Named, content: &[u8], mode: Mode) -> Result<CString, Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let mut made = Err(libc::EEXIST);
    for n in 0..MAX_NAMES {
        let name = [named.name.as_bytes(), format!(".judged{n}").as_bytes()].concat();
        let name = CString::new(name).map_err(|_| libc::EINVAL)?;
        made = rustix::fs::openat(&named.directory, &name, flags, mode)
            .map(|file| (name, file))
            .map_err(number);
        if made.as_ref().err() != Some(&libc::EEXIST) {
            break;
        }
    }
    let (name, file) = made?;
    rustix::fs::fchmod(&file, mode).map_err(number)?;
    let written = File::from(file).write_all(content);
    written.map_err(|e| e.raw_os_error().unwrap_or(libc::EIO))?;
    Ok(name)
}

fn write_pointer(named: &Named, content: &[u8], mode: Mode) -> Result<OwnedFd, Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = rustix::fs::openat(&named.directory, &named.name, flags, mode).map_err(number)?;
    let written = File::from(file).write_all(content);
    written.map_err(|e| e.raw_os_error().unwrap_or(libc::EIO))?;
    rustix::fs::memfd_create(c"git-pointer", MemfdFlags::CLOEXEC).map_err(number)
}
