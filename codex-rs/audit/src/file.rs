//! Opening the file so that nobody else can have a hand in it, and locking it.

use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::Fault;
use crate::sys::{self, open};

/// How long a process waits for the lock. A holder keeps it for some microseconds; one that was
/// stopped while holding it must not hang everybody else, so they refuse instead.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_millis(1);

/// Opens the log for appending, and makes it, and its directory, if need be.
pub(crate) fn open_to_append(path: &Path) -> Result<File, Fault> {
    if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        sys::make_private_directory(parent).map_err(Fault::Directory)?;
    }
    let mut options = OpenOptions::new();
    // Not `create` at once: a file that is made has a directory entry to bring to the disk.
    options.read(true).append(true);
    let file = match open(&mut options, path) {
        Err(Fault::Open(e)) if e.kind() == ErrorKind::NotFound => create(&mut options, path)?,
        other => other?,
    };
    sys::check_owner(&regular(&file)?)?;
    Ok(file)
}

fn create(options: &mut OpenOptions, path: &Path) -> Result<File, Fault> {
    match open(options.create_new(true), path) {
        Ok(file) => {
            let parent = path.parent().filter(|p| !p.as_os_str().is_empty());
            sys::sync_directory(parent.unwrap_or(Path::new("."))).map_err(Fault::Sync)?;
            Ok(file)
        }
        // Another process was quicker.
        Err(Fault::Open(e)) if e.kind() == ErrorKind::AlreadyExists => {
            open(options.create_new(false), path)
        }
        Err(fault) => Err(fault),
    }
}

/// Opens the log for reading.
pub(crate) fn open_to_read(path: &Path) -> Result<File, Fault> {
    let file = open(OpenOptions::new().read(true), path)?;
    regular(&file)?;
    Ok(file)
}

fn regular(file: &File) -> Result<Metadata, Fault> {
    let metadata = file.metadata().map_err(Fault::Open)?;
    if metadata.is_file() {
        Ok(metadata)
    } else {
        Err(Fault::NotAFile)
    }
}

/// Whether `path` names the file that is open, and not another one that took its place.
pub(crate) fn is_at(file: &File, path: &Path) -> Result<bool, Fault> {
    let there = match path.symlink_metadata() {
        Err(e) if e.kind() == ErrorKind::NotFound => return Err(Fault::Removed),
        there => there.map_err(Fault::Read)?,
    };
    let own = file.metadata().map_err(Fault::Read)?;
    Ok(sys::is_same(&there, &own))
}

/// How long the file is now.
pub(crate) fn length(file: &File) -> Result<u64, Fault> {
    let metadata = file.metadata().map_err(Fault::Read)?;
    if sys::is_removed(&metadata) {
        return Err(Fault::Removed);
    }
    Ok(metadata.len())
}

/// Makes the file at `path` with `bytes`, for its owner only, in the place of what a killed
/// process left there, and brings it to the disk.
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut file = sys::private(OpenOptions::new().write(true).create_new(true)).open(path)?;
    io::Write::write_all(&mut file, bytes)?;
    file.sync_all()
}

/// Gives the file at `path`, which is `file`, a second name. Whether it has it now: some file
/// systems know no second names.
pub(crate) fn link(file: &File, path: &Path, second: &Path) -> io::Result<bool> {
    match sys::link(path, second) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {
            // Of a process that was killed before it went on, or of something else.
            if sys::is_same(&file.metadata()?, &second.symlink_metadata()?) {
                Ok(true)
            } else {
                Err(e)
            }
        }
        linked => linked,
    }
}

/// Gives the file at `from` the name `to`, in the place of what has it, and brings that to the
/// disk.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    let parent = to.parent().filter(|p| !p.as_os_str().is_empty());
    sys::sync_directory(parent.unwrap_or(Path::new(".")))
}

/// Puts `bytes` into a new file beside the log, `LOG.torn-N` with the first free N.
pub(crate) fn put_aside(log: &Path, bytes: &[u8]) -> Result<PathBuf, Fault> {
    /// So many torn lines say that something else is wrong.
    const MOST: u32 = 1000;
    let name = |n: u32| {
        let mut name = log.as_os_str().to_owned();
        name.push(format!(".torn-{n}"));
        PathBuf::from(name)
    };
    for n in 1..=MOST {
        let to = name(n);
        let mut options = OpenOptions::new();
        let written = sys::private(options.write(true).create_new(true))
            .open(&to)
            .and_then(|mut file| {
                let written = io::Write::write_all(&mut file, bytes).and_then(|()| file.sync_all());
                if written.is_err() {
                    // Half of it would be taken for all of it. The first error is the one told.
                    let _ = fs::remove_file(&to);
                }
                written
            });
        match written {
            Ok(()) => return Ok(to),
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            Err(source) => return Err(Fault::Aside { to, source }),
        }
    }
    Err(Fault::Aside {
        to: name(MOST),
        source: ErrorKind::AlreadyExists.into(),
    })
}

/// Who may hold a lock beside us.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Share {
    /// Nobody.
    Exclusive,
    /// Others that only read.
    Shared,
}

/// A lock on the whole file, against every other open of it in this and any process. Held by
/// the open file and not by the process: a child that inherits the file does not prolong it.
#[derive(Debug)]
pub(crate) struct Locked<'f>(&'f File);

impl<'f> Locked<'f> {
    /// Waits for the lock.
    pub(crate) fn take(file: &'f File, share: Share) -> Result<Self, Fault> {
        let try_once = || match share {
            Share::Exclusive => file.try_lock(),
            Share::Shared => file.try_lock_shared(),
        };
        let mut pause = Duration::ZERO;
        let mut since = None;
        loop {
            match try_once() {
                Ok(()) => return Ok(Self(file)),
                Err(TryLockError::Error(e)) if e.kind() == ErrorKind::Interrupted => {}
                Err(TryLockError::Error(e)) => return Err(Fault::Lock(e)),
                Err(TryLockError::WouldBlock) => {
                    if since.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
                        return Err(Fault::Busy(PATIENCE.as_secs()));
                    }
                    thread::sleep(pause);
                    pause = (pause * 2 + Duration::from_micros(5)).min(LONGEST_PAUSE);
                }
            }
        }
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        // Cannot fail on a lock that is held; closing the file lets go of it in any case.
        let _ = self.0.unlock();
    }
}
