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

/// How long the file is now.
pub(crate) fn length(file: &File) -> Result<u64, Fault> {
    let metadata = file.metadata().map_err(Fault::Read)?;
    if sys::is_removed(&metadata) {
        return Err(Fault::Removed);
    }
    Ok(metadata.len())
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
