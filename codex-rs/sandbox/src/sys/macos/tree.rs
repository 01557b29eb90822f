//! Ending what a command started.
//!
//! macOS gives orphans to its first process, not to us. Found are the processes below this one and
//! those of the command's session; what has left both is not, and outlives the command, confined
//! as it was.

use std::io;

use crate::spawn::SWEEP;

/// A child that was waited for.
pub(super) enum Reaped {
    /// This one ended, with this raw status.
    Child(i32, i32),
    /// There are children, and none has ended.
    NoneYet,
    /// There are no children.
    NoChildren,
}

/// Takes one ended child, without waiting.
pub(super) fn reap() -> Reaped {
    let mut status = 0;
    // SAFETY: the status is written to a variable that outlives the call.
    match unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) } {
        0 => Reaped::NoneYet,
        pid if pid > 0 => Reaped::Child(pid, status),
        _ => Reaped::NoChildren,
    }
}

/// Kills what can be found of the command's tree until nothing is. `session`: of a command that has
/// one of its own.
pub(super) fn end(session: Option<i32>) {
    loop {
        let children = loop {
            match reap() {
                Reaped::Child(..) => {}
                Reaped::NoneYet => break true,
                Reaped::NoChildren => break false,
            }
        };
        let found = members(session).unwrap_or_default();
        if !children && found.is_empty() {
            return;
        }
        for pid in found {
            // SAFETY: the call takes numbers.
            unsafe { libc::kill(pid, libc::SIGKILL) };
        }
        std::thread::sleep(SWEEP);
    }
}

/// The processes below this one, and those of the session.
fn members(session: Option<i32>) -> io::Result<Vec<i32>> {
    let own = std::process::id().cast_signed();
    let mut found = vec![own];
    let all: Vec<(i32, i32)> = pids()?
        .into_iter()
        .filter_map(|pid| Some((pid, parent_of(pid)?)))
        .collect();
    let mut at = 0;
    while let Some(&parent) = found.get(at) {
        let below = all.iter().filter(|(pid, p)| *p == parent && *pid != own);
        let new: Vec<i32> = below.map(|(pid, _)| *pid).collect();
        found.extend(new.into_iter().filter(|pid| *pid > 1));
        at += 1;
    }
    if let Some(session) = session {
        // SAFETY: the call takes a number.
        let of_session = |pid: i32| unsafe { libc::getsid(pid) } == session;
        found.extend(
            all.iter()
                .map(|(pid, _)| *pid)
                .filter(|pid| *pid > 1 && of_session(*pid)),
        );
    }
    found.retain(|pid| *pid != own);
    Ok(found)
}

/// Every process that the system names.
fn pids() -> io::Result<Vec<i32>> {
    // SAFETY: without a buffer, the call gives the number of processes.
    let count = super::check(unsafe { libc::proc_listallpids(std::ptr::null_mut(), 0) })?;
    // Room for those that are started meanwhile.
    let mut pids = vec![0_i32; usize::try_from(count).unwrap_or(0) + 64];
    let bytes = i32::try_from(size_of_val(&pids[..])).unwrap_or(i32::MAX);
    // SAFETY: the buffer outlives the call, which writes at most its length.
    let count = super::check(unsafe { libc::proc_listallpids(pids.as_mut_ptr().cast(), bytes) })?;
    pids.truncate(usize::try_from(count).unwrap_or(0));
    Ok(pids)
}

/// Who started the process, or took it over.
fn parent_of(pid: i32) -> Option<i32> {
    let mut info = std::mem::MaybeUninit::<libc::proc_bsdinfo>::uninit();
    let size = i32::try_from(size_of::<libc::proc_bsdinfo>()).ok()?;
    // SAFETY: the structure outlives the call, which writes at most its size.
    let written = unsafe {
        libc::proc_pidinfo(
            pid,
            libc::PROC_PIDTBSDINFO,
            0,
            info.as_mut_ptr().cast(),
            size,
        )
    };
    if written != size {
        return None;
    }
    // SAFETY: all of it was written.
    i32::try_from(unsafe { info.assume_init() }.pbi_ppid).ok()
}
