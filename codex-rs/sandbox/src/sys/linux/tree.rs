//! Ending everything that a command started.

use std::fs;
use std::io;

use crate::spawn::SWEEP;

/// Makes orphans below this process its children, so that none gets away.
pub(super) fn adopt_orphans() -> io::Result<()> {
    // SAFETY: prctl with these constants touches no memory.
    super::check(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }.into()).map(drop)
}

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

/// Kills every process below this one until there is none. What is started meanwhile is killed
/// in the next round; what is orphaned comes here, so a round never has to guess.
pub(super) fn end() {
    loop {
        loop {
            match reap() {
                Reaped::Child(..) => {}
                Reaped::NoneYet => break,
                Reaped::NoChildren => return,
            }
        }
        for pid in descendants() {
            // SAFETY: the call takes numbers. The pid cannot have been given to a stranger: it is
            // below us until we reap it.
            unsafe { libc::kill(pid, libc::SIGKILL) };
        }
        std::thread::sleep(SWEEP);
    }
}

/// The processes below this one, parents before children.
fn descendants() -> Vec<i32> {
    let mut parents: Vec<(i32, i32)> = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else {
            continue;
        };
        let Some(parent) = parent_of(pid) else {
            continue;
        };
        parents.push((pid, parent));
    }
    let mut found = vec![i32::try_from(std::process::id()).unwrap_or(i32::MAX)];
    let mut at = 0;
    while let Some(&parent) = found.get(at) {
        found.extend(
            parents
                .iter()
                .filter(|(_, p)| *p == parent)
                .map(|(pid, _)| *pid),
        );
        at += 1;
    }
    found.split_off(1)
}

/// The fourth field of `/proc/PID/stat`; the second is a name in parentheses that may itself
/// hold anything, so fields are counted from the last one.
fn parent_of(pid: i32) -> Option<i32> {
    let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let after_name = text.iter().rposition(|&b| b == b')')? + 1;
    let rest = std::str::from_utf8(text.get(after_name..)?).ok()?;
    rest.split_ascii_whitespace().nth(1)?.parse().ok()
}
