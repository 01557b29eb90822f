//! Starting programs and loading code, where only listed programs may start.

use std::ffi::CStr;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use codex_protocol::decision::Effect;
use codex_protocol::request::{FileRead, ProcessSpawn, Requested as _};
use rustix::fs::{Access, AtFlags, CWD, Mode, OFlags};

use super::Supervisor;
use super::listener::Answer;
use super::paths::{Held, Place};
use super::task::{Errno, Task};
use crate::landlock::LIBRARY_TREES;

/// How much of a script's first line the kernel reads: `BINPRM_BUF_SIZE`, `linux/binfmts.h`.
const FIRST_LINE: usize = 256;

/// How many scripts may start one another before a program does: `exec_binprm`, `fs/exec.c`.
const MAX_SCRIPTS: usize = 5;

impl Supervisor<'_> {
    /// The kernel starts the program itself: what it may start by itself, raced or not, Landlock
    /// holds to the list and the loaders, and what a loader then loads comes to [`Self::map`].
    pub(super) fn execute(
        &mut self,
        task: Task,
        at: i32,
        path: u64,
        flags: i32,
    ) -> Result<Answer, Errno> {
        if self.is_first(task) {
            return Ok(Answer::Continue);
        }
        let text = task.path(path)?;
        self.still_waits()?;
        let finder = self.finder(task);
        let place = if text.is_empty() && flags & libc::AT_EMPTY_PATH != 0 {
            Place::Held(Held::new(task.file(at)?)?)
        } else if flags & libc::AT_SYMLINK_NOFOLLOW != 0 {
            finder.unfollowed(at, &text)?
        } else {
            finder.followed(at, &text)?
        };
        let program = match place {
            Place::Named(named, None) => return Err(named.missing()),
            Place::Named(named, Some(_)) => named.path,
            Place::Held(held) => held.path,
        };
        let read = FileRead {
            path: program.clone(),
        };
        self.permit_program(task, program, MAX_SCRIPTS)?;
        // What cannot be read cannot be started: Landlock sees to it, and this to its record.
        if self.decide(read.view()).effect == Effect::Deny {
            self.permit(task, read.view(), libc::EACCES)?;
        }
        Ok(Answer::Continue)
    }

    fn permit_program(
        &mut self,
        task: Task,
        program: PathBuf,
        scripts: usize,
    ) -> Result<(), Errno> {
        let interpreter = interpreter(&program);
        let request = spawn(program);
        self.permit(task, request.view(), libc::EACCES)?;
        let Some(interpreter) = interpreter else {
            return Ok(());
        };
        let scripts = scripts.checked_sub(1).ok_or(libc::ELOOP)?;
        // It is named as the kernel would read it: from the task's directory where it is relative.
        let Ok(text) = std::ffi::CString::new(interpreter) else {
            return Err(libc::ENOEXEC);
        };
        match self.finder(task).followed(libc::AT_FDCWD, &text)? {
            Place::Named(named, None) => Err(named.missing()),
            Place::Named(named, Some(_)) => self.permit_program(task, named.path, scripts),
            Place::Held(held) => self.permit_program(task, held.path, scripts),
        }
    }

    /// Code of a file put into memory: of a listed program, or of a library that this user cannot
    /// change.
    pub(super) fn map(&mut self, task: Task, fd: i32) -> Result<Answer, Errno> {
        let Ok(file) = task.file(fd) else {
            return Ok(Answer::Continue);
        };
        let held = Held::new(file)?;
        if is_library(&held) {
            return Ok(Answer::Continue);
        }
        let request = spawn(held.path);
        self.permit(task, request.view(), libc::EACCES)?;
        Ok(Answer::Continue)
    }
}

fn spawn(program: PathBuf) -> ProcessSpawn {
    ProcessSpawn {
        program,
        argv: Vec::new(),
        cwd: PathBuf::from("/"),
    }
}

/// What a script names in its first line, as the kernel reads it (execve(2), "Interpreter
/// scripts").
fn interpreter(program: &Path) -> Option<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = rustix::fs::openat(CWD, program, flags, Mode::empty()).ok()?;
    let mut line = Vec::new();
    std::fs::File::from(file)
        .take(FIRST_LINE as u64)
        .read_to_end(&mut line)
        .ok()?;
    let rest = line.strip_prefix(b"#!")?;
    let line = rest.split(|b| *b == b'\n').next()?;
    let mut words = line
        .split(|b| matches!(b, b' ' | b'\t' | 0))
        .filter(|w| !w.is_empty());
    words.next().map(<[u8]>::to_vec)
}

fn is_library(held: &Held) -> bool {
    if !LIBRARY_TREES.iter().any(|tree| held.path.starts_with(tree)) || held.stat.st_nlink == 0 {
        return false;
    }
    // Root owns them all, and has no way to write one here.
    if rustix::process::geteuid().is_root() {
        return true;
    }
    let writable =
        |path: &CStr| rustix::fs::accessat(CWD, path, Access::WRITE_OK, AtFlags::empty()).is_ok();
    let parent = held.path.parent().unwrap_or(Path::new("/"));
    let c_path = |path: &Path| std::ffi::CString::new(path.as_os_str().as_bytes());
    match (c_path(&held.path), c_path(parent)) {
        (Ok(file), Ok(directory)) => !writable(&file) && !writable(&directory),
        _ => false,
    }
}
