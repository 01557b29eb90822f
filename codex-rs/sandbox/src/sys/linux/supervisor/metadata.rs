//! Changing owner, mode, times and attributes, on the task's behalf.

use std::ffi::{CStr, CString};

use codex_protocol::request::{FileWrite, Requested as _, WriteKind};
use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, Uid,
    XattrFlags,
};

use super::Supervisor;
use super::listener::Answer;
use super::names::Path;
use super::paths::{Held, Place, type_of};
use super::task::{Errno, Task, number};

const DONE: Answer = Answer::Value(0);

/// Limits of a name and a value: `XATTR_NAME_MAX` with its closing zero, `XATTR_SIZE_MAX`, header
/// `linux/limits.h`.
const NAME_MAX: usize = 256;
const VALUE_MAX: u64 = 65536;

/// The file whose metadata a call is about.
#[derive(Clone, Copy)]
pub(super) enum Subject {
    /// The task's descriptor.
    Descriptor(i32),
    /// A path, followed or not.
    Path(Path, Follow),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Follow {
    Yes,
    No,
    /// An empty path means the descriptor that it starts from.
    YesOrDescriptor,
    NoOrDescriptor,
}

impl Follow {
    /// As `AT_*` flags say it.
    pub(super) fn from_flags(flags: i32) -> Self {
        let follow = flags & libc::AT_SYMLINK_NOFOLLOW == 0;
        match (follow, flags & libc::AT_EMPTY_PATH != 0) {
            (true, false) => Self::Yes,
            (true, true) => Self::YesOrDescriptor,
            (false, false) => Self::No,
            (false, true) => Self::NoOrDescriptor,
        }
    }
}

/// How times are given.
#[derive(Clone, Copy)]
pub(super) enum Times {
    /// `struct utimbuf`: seconds.
    Seconds(u64),
    /// Two `struct timeval`: microseconds.
    Micro(u64),
    /// Two `struct timespec`: nanoseconds, with special values.
    Nano(u64),
}

impl Supervisor<'_> {
    /// The file, once the gate has permitted the change of its metadata.
    pub(super) fn subject(&mut self, task: Task, subject: Subject) -> Result<Held, Errno> {
        let held = match subject {
            Subject::Descriptor(fd) => {
                let file = self.copy(task, fd)?;
                let flags = rustix::fs::fcntl_getfl(&file).map_err(number)?;
                if flags.contains(OFlags::PATH) {
                    return Err(libc::EBADF);
                }
                Held::new(file)?
            }
            Subject::Path(path, follow) => self.find(task, path, follow)?,
        };
        if !held.is_nameless() {
            let request = FileWrite {
                path: held.path.clone(),
                kind: WriteKind::Metadata,
            };
            self.permit(task, request.view(), libc::EPERM)?;
        }
        Ok(held)
    }

    fn find(&self, task: Task, path: Path, follow: Follow) -> Result<Held, Errno> {
        let text = task.path(path.address)?;
        self.still_waits()?;
        let finder = self.finder(task);
        let place = match follow {
            Follow::YesOrDescriptor | Follow::NoOrDescriptor if text.is_empty() => {
                return Held::new(task.base(path.at)?);
            }
            Follow::Yes | Follow::YesOrDescriptor => finder.followed(path.at, &text)?,
            Follow::No | Follow::NoOrDescriptor => finder.unfollowed(path.at, &text)?,
        };
        match place {
            Place::Held(held) => Ok(held),
            Place::Named(named, None) => Err(named.missing()),
            Place::Named(named, Some(stat)) => named.hold(stat),
        }
    }

    pub(super) fn change_mode(
        &mut self,
        task: Task,
        subject: Subject,
        mode: u32,
    ) -> Result<Answer, Errno> {
        let held = self.subject(task, subject)?;
        if type_of(&held.stat) == FileType::Symlink {
            return Err(libc::EOPNOTSUPP);
        }
        let mode = Mode::from_raw_mode(mode & 0o7777);
        rustix::fs::chmod(held.link(), mode).map_err(number)?;
        Ok(DONE)
    }

    pub(super) fn change_owner(
        &mut self,
        task: Task,
        subject: Subject,
        user: u32,
        group: u32,
    ) -> Result<Answer, Errno> {
        let held = self.subject(task, subject)?;
        // All ones mean "leave it".
        let user = (user != u32::MAX).then(|| Uid::from_raw(user));
        let group = (group != u32::MAX).then(|| Gid::from_raw(group));
        rustix::fs::chownat(&held.file, c"", user, group, AtFlags::EMPTY_PATH).map_err(number)?;
        Ok(DONE)
    }

    pub(super) fn change_times(
        &mut self,
        task: Task,
        subject: Subject,
        times: Times,
    ) -> Result<Answer, Errno> {
        let times = read_times(task, times)?;
        self.still_waits()?;
        let [access, modification] = [&times.last_access, &times.last_modification];
        if access.tv_nsec == UTIME_OMIT && modification.tv_nsec == UTIME_OMIT {
            // Not even the file is looked for.
            return Ok(DONE);
        }
        let held = self.subject(task, subject)?;
        if type_of(&held.stat) == FileType::Symlink {
            rustix::fs::utimensat(&held.file, c"", &times, AtFlags::EMPTY_PATH).map_err(number)?;
        } else {
            rustix::fs::utimensat(CWD, held.link(), &times, AtFlags::empty()).map_err(number)?;
        }
        Ok(DONE)
    }

    pub(super) fn set_attribute(
        &mut self,
        task: Task,
        subject: Subject,
        name: u64,
        value: (u64, u64),
        flags: u32,
    ) -> Result<Answer, Errno> {
        if flags & !(XattrFlags::CREATE | XattrFlags::REPLACE).bits() != 0 {
            return Err(libc::EINVAL);
        }
        let name = attribute(task, name)?;
        let (address, size) = value;
        if size > VALUE_MAX {
            return Err(libc::E2BIG);
        }
        let mut value = vec![0; usize::try_from(size).unwrap_or_default()];
        task.read(address, &mut value)?;
        self.still_waits()?;
        let held = self.subject(task, subject)?;
        let flags = XattrFlags::from_bits_retain(flags);
        rustix::fs::setxattr(held.link(), &name, &value, flags).map_err(number)?;
        Ok(DONE)
    }

    pub(super) fn remove_attribute(
        &mut self,
        task: Task,
        subject: Subject,
        name: u64,
    ) -> Result<Answer, Errno> {
        let name = attribute(task, name)?;
        self.still_waits()?;
        let held = self.subject(task, subject)?;
        rustix::fs::removexattr(held.link(), name.as_c_str()).map_err(number)?;
        Ok(DONE)
    }
}

fn attribute(task: Task, address: u64) -> Result<CString, Errno> {
    let name = task.text(address, NAME_MAX, libc::ERANGE)?;
    match CStr::is_empty(&name) {
        true => Err(libc::ERANGE),
        false => Ok(name),
    }
}

fn read_times(task: Task, times: Times) -> Result<Timestamps, Errno> {
    let (address, count) = match times {
        Times::Seconds(address) => (address, 2),
        Times::Micro(address) | Times::Nano(address) => (address, 4),
    };
    if address == 0 {
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_NOW,
        };
        return Ok(Timestamps {
            last_access: now,
            last_modification: now,
        });
    }
    let mut bytes = [0; 32];
    let bytes = bytes.get_mut(..count * 8).unwrap_or_default();
    task.read(address, bytes)?;
    let mut numbers = [0_i64; 4];
    for (number, bytes) in numbers.iter_mut().zip(bytes.chunks_exact(8)) {
        *number = i64::from_ne_bytes(bytes.try_into().unwrap_or_default());
    }
    let [first, second, third, fourth] = numbers;
    let micro = |part: i64| match part {
        0..1_000_000 => Ok(part * 1000),
        _ => Err(libc::EINVAL),
    };
    let (access, modification) = match times {
        Times::Seconds(_) => ((first, 0), (second, 0)),
        Times::Micro(_) => ((first, micro(second)?), (third, micro(fourth)?)),
        Times::Nano(_) => ((first, second), (third, fourth)),
    };
    let time = |(tv_sec, tv_nsec)| Timespec { tv_sec, tv_nsec };
    Ok(Timestamps {
        last_access: time(access),
        last_modification: time(modification),
    })
}
