//! Making, moving and removing names, on the task's behalf.

use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;

use codex_protocol::request::{FileRead, KernelCall, Requested as _, WriteKind};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RenameFlags, Stat};

use super::Supervisor;
use super::listener::Answer;
use super::paths::{Held, Named, Place, type_of};
use super::task::{Errno, Task, number};

/// A path in a call's arguments: where it starts, and its address.
#[derive(Clone, Copy)]
pub(super) struct Path {
    pub(super) at: i32,
    pub(super) address: u64,
}

const DONE: Answer = Answer::Value(0);

impl Supervisor<'_> {
    fn named(&self, task: Task, path: Path, not_a_name: Errno) -> Result<Named, Errno> {
        let text = task.path(path.address)?;
        self.still_waits()?;
        self.finder(task).named(path.at, &text, not_a_name)
    }

    /// A name that nothing has yet.
    fn free(&self, task: Task, path: Path) -> Result<Named, Errno> {
        let named = self.free_for_directory(task, path)?;
        match named.slash {
            true => Err(libc::ENOENT),
            false => Ok(named),
        }
    }

    /// The same, of which only a directory may be made if a slash follows it.
    fn free_for_directory(&self, task: Task, path: Path) -> Result<Named, Errno> {
        let named = self.named(task, path, libc::EEXIST)?;
        match named.stat()? {
            None => Ok(named),
            Some(_) => Err(libc::EEXIST),
        }
    }

    pub(super) fn make_directory(
        &mut self,
        task: Task,
        path: Path,
        mode: u32,
    ) -> Result<Answer, Errno> {
        let named = self.free_for_directory(task, path)?;
        self.permit_write(task, named.path.clone(), WriteKind::MakeDirectory)?;
        self.with_umask_of(task);
        let mode = Mode::from_raw_mode(mode & 0o7777);
        rustix::fs::mkdirat(&named.directory, &named.name, mode).map_err(number)?;
        self.made.add(&named.path);
        Ok(DONE)
    }

    pub(super) fn make_node(&mut self, task: Task, path: Path, mode: u32) -> Result<Answer, Errno> {
        let kind = match mode & libc::S_IFMT {
            0 => FileType::RegularFile,
            libc::S_IFDIR => return Err(libc::EPERM),
            bits => FileType::from_raw_mode(bits),
        };
        if matches!(kind, FileType::Symlink | FileType::Unknown) {
            return Err(libc::EINVAL);
        }
        let named = self.free(task, path)?;
        if matches!(kind, FileType::CharacterDevice | FileType::BlockDevice) {
            let request = KernelCall {
                call: "mknod".to_owned(),
                argument: Some("device".to_owned()),
            };
            self.permit(task, request.view(), libc::EPERM)?;
        }
        let write = match kind {
            FileType::RegularFile => WriteKind::Create,
            _ => WriteKind::Link,
        };
        self.permit_write(task, named.path.clone(), write)?;
        self.with_umask_of(task);
        let mode = Mode::from_raw_mode(mode & 0o7777);
        rustix::fs::mknodat(&named.directory, named.given(), kind, mode, 0).map_err(number)?;
        Ok(DONE)
    }

    pub(super) fn remove(
        &mut self,
        task: Task,
        path: Path,
        flags: AtFlags,
    ) -> Result<Answer, Errno> {
        let text = task.path(path.address)?;
        self.still_waits()?;
        let (not_a_name, write) = match flags.contains(AtFlags::REMOVEDIR) {
            true => (not_removable(text.to_bytes()), WriteKind::RemoveDirectory),
            false => (libc::EISDIR, WriteKind::Delete),
        };
        let named = self.finder(task).named(path.at, &text, not_a_name)?;
        if named.stat()?.is_none() {
            return Err(libc::ENOENT);
        }
        let write = self.made.removal(&named.path, write);
        self.permit_write(task, named.path.clone(), write)?;
        rustix::fs::unlinkat(&named.directory, named.given(), flags).map_err(number)?;
        self.made.remove(&named.path);
        Ok(DONE)
    }

    pub(super) fn rename(
        &mut self,
        task: Task,
        from: Path,
        to: Path,
        flags: RenameFlags,
    ) -> Result<Answer, Errno> {
        let known = RenameFlags::NOREPLACE | RenameFlags::EXCHANGE | RenameFlags::WHITEOUT;
        let exchange = flags.contains(RenameFlags::EXCHANGE);
        if !known.contains(flags) || exchange && flags != RenameFlags::EXCHANGE {
            return Err(libc::EINVAL);
        }
        // Both are looked up before either is judged.
        let from = self.named(task, from, libc::EBUSY);
        if from.as_ref().is_err_and(|errno| *errno != libc::EBUSY) {
            return from.map(|_| DONE);
        }
        let not_a_name = match flags.contains(RenameFlags::NOREPLACE) {
            true => libc::EEXIST,
            false => libc::EBUSY,
        };
        let to = self.named(task, to, not_a_name);
        if to.as_ref().is_err_and(|errno| *errno != not_a_name) {
            return to.map(|_| DONE);
        }
        let (from, to) = (from?, to?);
        let source = from.stat()?.ok_or(libc::ENOENT)?;
        let target = to.stat()?;
        match (exchange, target.is_some()) {
            (true, false) => return Err(libc::ENOENT),
            (false, true) if flags.contains(RenameFlags::NOREPLACE) => return Err(libc::EEXIST),
            _ => {}
        }
        if flags.contains(RenameFlags::WHITEOUT) {
            return Err(libc::EINVAL);
        }
        if flags.is_empty()
            && let Some(renamed) = self.rename_settings(task, &from, &to, &source)
        {
            return renamed.map(|()| DONE);
        }
        let is_directory = |stat: &Stat| type_of(stat) == FileType::Directory;
        let write = match is_directory(&source) || target.as_ref().is_some_and(is_directory) {
            true => WriteKind::RenameDirectory,
            false => WriteKind::Rename,
        };
        if write == WriteKind::RenameDirectory
            && (self.moves_file_by_file(&from.path, &to.path)
                || exchange && self.moves_file_by_file(&to.path, &from.path))
        {
            return Err(libc::EXDEV);
        }
        self.permit_write(task, from.path.clone(), write)?;
        self.permit_write(task, to.path.clone(), write)?;
        rustix::fs::renameat_with(
            &from.directory,
            from.given(),
            &to.directory,
            to.given(),
            flags,
        )
        .map_err(number)?;
        self.made.remove(&from.path);
        self.made.remove(&to.path);
        Ok(DONE)
    }

    pub(super) fn link(
        &mut self,
        task: Task,
        from: Path,
        to: Path,
        flags: AtFlags,
    ) -> Result<Answer, Errno> {
        if !(AtFlags::SYMLINK_FOLLOW | AtFlags::EMPTY_PATH).contains(flags) {
            return Err(libc::EINVAL);
        }
        let text = task.path(from.address)?;
        self.still_waits()?;
        let finder = self.finder(task);
        let source = if flags.contains(AtFlags::EMPTY_PATH) && text.is_empty() {
            Place::Held(Held::new(task.base(from.at)?)?)
        } else if flags.contains(AtFlags::SYMLINK_FOLLOW) {
            finder.followed(from.at, &text)?
        } else {
            finder.unfollowed(from.at, &text)?
        };
        let (path, kind) = match &source {
            Place::Named(named, None) => return Err(named.missing()),
            Place::Named(named, Some(stat)) => (named.path.clone(), type_of(stat)),
            Place::Held(held) => (held.path.clone(), type_of(&held.stat)),
        };
        let to = self.free(task, to)?;
        if kind == FileType::Directory {
            return Err(libc::EPERM);
        }
        // Under its other name the file could be read, and could be changed.
        let unlinked = matches!(&source, Place::Held(held) if held.stat.st_nlink == 0);
        if !unlinked {
            let read = FileRead { path: path.clone() };
            self.permit(task, read.view(), libc::EACCES)?;
            self.permit_write(task, path, WriteKind::Modify)?;
        }
        self.permit_write(task, to.path.clone(), WriteKind::Link)?;
        let linked = match &source {
            Place::Named(named, _) => rustix::fs::linkat(
                &named.directory,
                &named.name,
                &to.directory,
                to.given(),
                AtFlags::empty(),
            ),
            Place::Held(held) => {
                let follow = AtFlags::SYMLINK_FOLLOW;
                rustix::fs::linkat(CWD, held.link(), &to.directory, to.given(), follow)
            }
        };
        linked.map_err(number)?;
        Ok(DONE)
    }

    pub(super) fn symbolic_link(
        &mut self,
        task: Task,
        target: u64,
        path: Path,
    ) -> Result<Answer, Errno> {
        let target: CString = task.path(target)?;
        if target.is_empty() {
            return Err(libc::ENOENT);
        }
        let named = self.free(task, path)?;
        let write = WriteKind::symlink(OsStr::from_bytes(target.as_bytes()));
        self.permit_write(task, named.path.clone(), write)?;
        rustix::fs::symlinkat(&target, &named.directory, named.given()).map_err(number)?;
        Ok(DONE)
    }

    pub(super) fn truncate(
        &mut self,
        task: Task,
        path: Path,
        length: i64,
    ) -> Result<Answer, Errno> {
        let length = u64::try_from(length).map_err(|_| libc::EINVAL)?;
        let text = task.path(path.address)?;
        self.still_waits()?;
        let flags = OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = match self.finder(task).followed(path.at, &text)? {
            Place::Named(named, None) => return Err(named.missing()),
            Place::Named(named, Some(stat)) => {
                only_a_file(&stat)?;
                self.permit_write(task, named.path.clone(), WriteKind::Modify)?;
                let flags = flags | OFlags::NOFOLLOW;
                rustix::fs::openat(&named.directory, &named.name, flags, Mode::empty())
            }
            Place::Held(held) => {
                only_a_file(&held.stat)?;
                if !held.is_nameless() {
                    self.permit_write(task, held.path.clone(), WriteKind::Modify)?;
                }
                rustix::fs::openat(CWD, held.link(), flags, Mode::empty())
            }
        };
        rustix::fs::ftruncate(file.map_err(number)?, length).map_err(number)?;
        Ok(DONE)
    }
}

fn only_a_file(stat: &rustix::fs::Stat) -> Result<(), Errno> {
    match type_of(stat) {
        FileType::RegularFile => Ok(()),
        FileType::Directory => Err(libc::EISDIR),
        _ => Err(libc::EINVAL),
    }
}

/// Why a directory that a path does not name by a name of its own is not removed: rmdir(2).
fn not_removable(path: &[u8]) -> Errno {
    let length = path.iter().rposition(|b| *b != b'/').map_or(0, |at| at + 1);
    let trimmed = path.get(..length).unwrap_or_default();
    match trimmed {
        b"" => libc::EBUSY,
        _ if trimmed.ends_with(b"..") => libc::ENOTEMPTY,
        _ => libc::EINVAL,
    }
}
