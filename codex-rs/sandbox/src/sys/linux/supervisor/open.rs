//! Opening files for writing, on the task's behalf.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use codex_protocol::request::{FileRead, FileWrite, ProcessControl, Requested as _, WriteKind};
use rustix::event::{PollFd, PollFlags};
use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::pipe::SpliceFlags;

use super::Supervisor;
use super::listener::Answer;
use super::paths::{Finder, Held, Named, Place, type_of};
use super::task::{Errno, Task, number};

/// The arguments of a call that opens.
pub(super) struct Opening {
    /// The directory that the path starts from.
    pub(super) at: i32,
    /// The path's address.
    pub(super) path: u64,
    /// Flags.
    pub(super) flags: i32,
    /// The new file's mode.
    pub(super) mode: u32,
}

/// A name for what has none, in a directory: of no rule's concern, and writable where others are.
const UNNAMED: &str = "(unnamed)";

/// The terminal of whoever opens it. Ours is the task's where both are in one session.
const TERMINAL: &str = "/dev/tty";

/// What of `/proc/PID` tells what a process holds: all that the kernel shows only to whom may
/// trace it (`ptrace_may_access`, `fs/proc`).
const PROCESS_FILES: &[&str] = &[
    "auxv",
    "clear_refs",
    "cwd",
    "environ",
    "exe",
    "fd",
    "fdinfo",
    "io",
    "map_files",
    "maps",
    "mem",
    "ns",
    "numa_maps",
    "pagemap",
    "personality",
    "root",
    "smaps",
    "smaps_rollup",
    "stack",
    "syscall",
];

/// The process and the file of it that a path names, if it is one of those.
fn process_file(path: &Path) -> Option<(i32, &str)> {
    let mut names = path.strip_prefix("/proc").ok()?.iter();
    let pid = names.next()?.to_str()?.parse().ok()?;
    let mut name = names.next()?.to_str()?;
    if name == "task" {
        names.next()?;
        name = names.next()?.to_str()?;
    }
    PROCESS_FILES.contains(&name).then_some((pid, name))
}

/// Whether somebody has a pipe open for writing, or had since we opened it.
fn was_written_to(pipe: &OwnedFd) -> Result<bool, Errno> {
    let mut asked = [PollFd::new(pipe, PollFlags::IN)];
    let now = rustix::event::Timespec::default();
    if rustix::event::poll(&mut asked, Some(&now)).map_err(number)? > 0 {
        return Ok(true);
    }
    // Empty either way; only where there is a writer is there something to wait for.
    let (_reader, writer) = rustix::pipe::pipe().map_err(number)?;
    match rustix::pipe::tee(pipe, &writer, 1, SpliceFlags::NONBLOCK) {
        Ok(copied) => Ok(copied > 0),
        Err(rustix::io::Errno::AGAIN) => Ok(true),
        Err(error) => Err(number(error)),
    }
}

impl Opening {
    fn has(&self, flag: i32) -> bool {
        self.flags & flag == flag
    }

    fn writes(&self) -> bool {
        self.flags & libc::O_ACCMODE != libc::O_RDONLY
            || self.flags & (libc::O_CREAT | libc::O_TRUNC) != 0
    }

    /// Refuses what the kernel refuses without a look at the path (`build_open_flags`,
    /// `fs/open.c`).
    fn check(&self) -> Result<(), Errno> {
        let unnamed = self.has(libc::O_TMPFILE & !libc::O_DIRECTORY);
        let reads_only = self.flags & libc::O_ACCMODE == libc::O_RDONLY;
        if self.has(libc::O_CREAT | libc::O_DIRECTORY)
            || unnamed && (reads_only || !self.has(libc::O_DIRECTORY))
        {
            return Err(libc::EINVAL);
        }
        Ok(())
    }

    /// The flags with which we open: never following, never getting a terminal, and never waiting
    /// for the other end of what is no ordinary file.
    fn ours(&self, kind: FileType) -> OFlags {
        let mut flags = self.flags | libc::O_CLOEXEC | libc::O_NOCTTY | libc::O_NOFOLLOW;
        if kind != FileType::RegularFile {
            flags |= libc::O_NONBLOCK;
        }
        OFlags::from_bits_retain(flags.cast_unsigned())
    }

    /// Whether to try again later: what is opened is a pipe that nobody reads yet.
    fn waits_for_reader(&self, kind: FileType, error: rustix::io::Errno) -> bool {
        kind == FileType::Fifo && error == rustix::io::Errno::NXIO && !self.has(libc::O_NONBLOCK)
    }
}

impl Opening {
    fn opened(&self, file: OwnedFd) -> Answer {
        Answer::Descriptor {
            file,
            close_on_exec: self.has(libc::O_CLOEXEC),
        }
    }

    /// The same, with the flag taken off that kept us from waiting.
    fn opened_as(&self, kind: FileType, file: OwnedFd) -> Result<Answer, Errno> {
        if kind != FileType::RegularFile && !self.has(libc::O_NONBLOCK) {
            let flags = rustix::fs::fcntl_getfl(&file).map_err(number)?;
            rustix::fs::fcntl_setfl(&file, flags - OFlags::NONBLOCK).map_err(number)?;
        }
        Ok(self.opened(file))
    }
}

/// `struct open_how`, openat2(2): flags, mode, resolve. Longer ones are of newer kernels.
const OPEN_HOW: usize = 24;

impl Supervisor<'_> {
    /// `openat2` is said not to be there, so that libraries call `openat`; what it asks for and is
    /// refused is recorded all the same. What is plain is carried out.
    pub(super) fn open_how(
        &mut self,
        task: Task,
        at: i32,
        path: u64,
        (how, size): (u64, u64),
    ) -> Result<Answer, Errno> {
        if size < OPEN_HOW as u64 {
            return Err(libc::EINVAL);
        }
        let mut bytes = [0; OPEN_HOW];
        task.read(how, &mut bytes)?;
        let mut words = bytes
            .chunks_exact(8)
            .map(|word| u64::from_ne_bytes(word.try_into().unwrap_or_default()));
        let mut word = || words.next().unwrap_or_default();
        let (flags, mode, resolve) = (word(), word(), word());
        let opening = Opening {
            at,
            path,
            flags: flags as u32 as i32,
            mode: mode as u32,
        };
        if resolve != 0 && opening.writes() && !opening.has(libc::O_PATH) {
            let path = task.path(path)?;
            self.still_waits()?;
            let path = match self.finder(task).followed(at, &path)? {
                Place::Named(named, _) => named.path,
                Place::Held(held) => held.path,
            };
            self.permit_write(task, path, WriteKind::Modify)?;
            return Err(libc::ENOSYS);
        }
        match self.open(task, &opening)? {
            // What the kernel reads of the flags after our look could have changed.
            Answer::Continue => Err(libc::ENOSYS),
            answer => Ok(answer),
        }
    }

    pub(super) fn open(&mut self, task: Task, opening: &Opening) -> Result<Answer, Errno> {
        if opening.has(libc::O_PATH) {
            // Gives no right to the file.
            return Ok(Answer::Continue);
        }
        opening.check()?;
        let path = task.path(opening.path)?;
        self.still_waits()?;
        let finder = self.finder(task);
        if opening.has(libc::O_CREAT) && path.to_bytes().ends_with(b"/") {
            let is_directory = match opening.has(libc::O_EXCL) {
                true => libc::EEXIST,
                false => libc::EISDIR,
            };
            finder.named(opening.at, &path, is_directory)?;
            return Err(libc::EISDIR);
        }
        let exclusive = opening.has(libc::O_CREAT | libc::O_EXCL);
        let place = if exclusive || opening.has(libc::O_NOFOLLOW) {
            finder.unfollowed(opening.at, &path)
        } else {
            finder.to_open(opening.at, &path)
        };
        if matches!(place, Err(libc::EACCES)) {
            // Of a process outside, not even what is there can be looked at.
            let closed = self.finder(task).where_closed(opening.at, &path)?;
            self.permit_process_file(task, &closed)?;
        }
        if !opening.writes() {
            return self.read(task, opening, place);
        }
        match place? {
            Place::Held(held) if opening.has(libc::O_TMPFILE) => {
                self.open_unnamed(task, opening, held.path.join(UNNAMED), &held.link())
            }
            Place::Held(held) => self.open_held(task, opening, &held),
            Place::Named(named, Some(stat))
                if opening.has(libc::O_TMPFILE) && type_of(&stat) == FileType::Directory =>
            {
                let held = named.hold(stat)?;
                self.open_unnamed(task, opening, held.path.join(UNNAMED), &held.link())
            }
            Place::Named(named, stat) => {
                let kind = stat.as_deref().map(type_of);
                self.open_named(task, opening, &named, kind)
            }
        }
    }

    /// A read that is watched so that its refusal is seen. Landlock refuses it by itself, so what
    /// is allowed may go on in the kernel. Where there is no Landlock, it is carried out here.
    fn read(
        &mut self,
        task: Task,
        opening: &Opening,
        place: Result<Place, Errno>,
    ) -> Result<Answer, Errno> {
        if !self.rules.walled {
            return self.read_for(task, opening, place?);
        }
        let path = match place {
            Ok(Place::Named(named, Some(_))) => named.path,
            Ok(Place::Held(held)) if !held.is_nameless() => held.path,
            // The kernel says what is wrong.
            _ => return Ok(Answer::Continue),
        };
        self.permit_read(task, path)?;
        Ok(Answer::Continue)
    }

    /// Opens for reading.
    fn read_for(&mut self, task: Task, opening: &Opening, place: Place) -> Result<Answer, Errno> {
        let (kind, file) = match place {
            Place::Named(named, stat) => {
                let kind = match stat {
                    Some(stat) => type_of(&stat),
                    None => return Err(named.missing()),
                };
                if named.path == Path::new(TERMINAL) && !task.shares_our_terminal() {
                    return Err(libc::ENXIO);
                }
                self.permit_read(task, named.path.clone())?;
                let flags = opening.ours(kind);
                let given = named.given();
                (
                    kind,
                    rustix::fs::openat(&named.directory, &given, flags, Mode::empty()),
                )
            }
            Place::Held(held) => {
                if !held.is_nameless() {
                    self.permit_read(task, held.path.clone())?;
                }
                let kind = type_of(&held.stat);
                let flags = opening.ours(kind) - OFlags::NOFOLLOW;
                (
                    kind,
                    rustix::fs::openat(CWD, held.link(), flags, Mode::empty()),
                )
            }
        };
        let mut file = file.map_err(number)?;
        if kind == FileType::Fifo && !opening.has(libc::O_NONBLOCK) {
            let current = self.current;
            let held = self.pipes.iter().position(|(id, _)| *id == current);
            if let Some(at) = held {
                file = self.pipes.swap_remove(at).1;
            }
            if !was_written_to(&file)? {
                self.pipes.push((current, file));
                return Ok(Answer::Later);
            }
        }
        opening.opened_as(kind, file)
    }

    fn permit_read(&mut self, task: Task, path: PathBuf) -> Result<(), Errno> {
        self.permit_process_file(task, &path)?;
        let is_env_file = self.rules.env_files.contains(&path);
        let request = FileRead { path };
        let decision = self.decide(request.view());
        // Of what is asked for elsewhere, only what Landlock keeps closed is refused here.
        let refused = match decision.effect {
            codex_protocol::decision::Effect::Allow => false,
            codex_protocol::decision::Effect::Ask => is_env_file,
            codex_protocol::decision::Effect::Deny => true,
        };
        if !refused {
            return Ok(());
        }
        self.denials.add(task, request.view(), &decision);
        Err(libc::EACCES)
    }

    /// What a process outside holds is nobody's here.
    fn permit_process_file(&mut self, task: Task, path: &Path) -> Result<(), Errno> {
        match process_file(path) {
            Some((pid, name)) if !self.is_inside(pid) => {
                let request = ProcessControl {
                    call: format!("open {name} of"),
                    pid: pid.unsigned_abs(),
                };
                self.permit(task, request.view(), libc::EACCES)
            }
            _ => Ok(()),
        }
    }

    fn open_unnamed(
        &mut self,
        task: Task,
        opening: &Opening,
        path: PathBuf,
        link: &str,
    ) -> Result<Answer, Errno> {
        self.permit_write(task, path, WriteKind::Create)?;
        self.with_umask_of(task);
        let mode = Mode::from_raw_mode(opening.mode & 0o7777);
        let flags = opening.ours(FileType::RegularFile) - OFlags::NOFOLLOW;
        let file = rustix::fs::openat(CWD, link, flags, mode).map_err(number)?;
        Ok(opening.opened(file))
    }

    /// Opens once more what the task holds by a descriptor.
    fn open_held(&mut self, task: Task, opening: &Opening, held: &Held) -> Result<Answer, Errno> {
        if opening.has(libc::O_CREAT | libc::O_EXCL) {
            return Err(libc::EEXIST);
        }
        if opening.has(libc::O_DIRECTORY) && type_of(&held.stat) != FileType::Directory {
            return Err(libc::ENOTDIR);
        }
        if type_of(&held.stat) == FileType::Directory {
            return Err(libc::EISDIR);
        }
        if !held.is_nameless() {
            self.permit_write(task, held.path.clone(), WriteKind::Modify)?;
        }
        let kind = type_of(&held.stat);
        let flags = opening.ours(kind) - OFlags::CREATE - OFlags::NOFOLLOW;
        match rustix::fs::openat(CWD, held.link(), flags, Mode::empty()) {
            Err(error) if opening.waits_for_reader(kind, error) => Ok(Answer::Later),
            opened => opening.opened_as(kind, opened.map_err(number)?),
        }
    }

    fn open_named(
        &mut self,
        task: Task,
        opening: &Opening,
        named: &Named,
        kind: Option<FileType>,
    ) -> Result<Answer, Errno> {
        let creates = opening.has(libc::O_CREAT);
        match kind {
            None | Some(_) if named.slash && creates => return Err(libc::EISDIR),
            Some(_) if opening.has(libc::O_CREAT | libc::O_EXCL) => return Err(libc::EEXIST),
            Some(FileType::Directory) => return Err(libc::EISDIR),
            Some(_) if named.slash || opening.has(libc::O_DIRECTORY) => {
                return Err(libc::ENOTDIR);
            }
            Some(FileType::Symlink) => return Err(libc::ELOOP),
            // Where it cannot be looked at, it is judged all the same.
            None if !creates && named.stat()?.is_none() => return Err(libc::ENOENT),
            _ => {}
        }
        let write = match kind {
            Some(_) => WriteKind::Modify,
            None => WriteKind::Create,
        };
        if write == WriteKind::Create
            && let Some(made) =
                self.make_pointer(task, named, Mode::from_raw_mode(opening.mode & 0o7777))
        {
            return made.map(|file| opening.opened(file));
        }
        if named.path == Path::new(TERMINAL) && !task.shares_our_terminal() {
            return Err(libc::ENXIO);
        }
        self.permit_write(task, named.path.clone(), write)?;
        let mut mode = Mode::empty();
        if creates {
            self.with_umask_of(task);
            mode = Mode::from_raw_mode(opening.mode & 0o7777);
        }
        let kind = kind.unwrap_or(FileType::RegularFile);
        let flags = opening.ours(kind);
        match rustix::fs::openat(&named.directory, &named.name, flags, mode) {
            Err(error) if opening.waits_for_reader(kind, error) => Ok(Answer::Later),
            opened => opening.opened_as(kind, opened.map_err(number)?),
        }
    }

    /// Asks the gate for a write, and records a refusal.
    pub(super) fn permit_write(
        &mut self,
        task: Task,
        path: PathBuf,
        kind: WriteKind,
    ) -> Result<(), Errno> {
        let request = FileWrite { path, kind };
        self.permit(task, request.view(), libc::EACCES)
    }

    pub(super) fn finder(&self, task: Task) -> Finder<'_> {
        Finder {
            task,
            shared_memory: self.rules.shared_memory.as_deref(),
        }
    }
}
