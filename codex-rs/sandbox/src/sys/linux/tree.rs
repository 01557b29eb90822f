//! Ending everything that a command started.

use std::collections::HashMap;
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
///
/// `fenced` says that we are in a Landlock domain of our own that lets no signal out, and all that
/// is below us with us.
pub(super) fn end(fenced: bool) {
    let mut at_once = fenced;
    loop {
        loop {
            match reap() {
                Reaped::Child(..) => {}
                Reaped::NoneYet => break,
                Reaped::NoChildren => return,
            }
        }
        if std::mem::take(&mut at_once) {
            kill_domain();
        }
        for pid in descendants() {
            // SAFETY: the call takes numbers. The pid cannot have been given to a stranger: it is
            // below us until we reap it.
            unsafe { libc::kill(pid, libc::SIGKILL) };
        }
        std::thread::sleep(SWEEP);
    }
}

/// Kills everybody whom our Landlock domain lets us signal, which are those below us. One call, in
/// which nobody can fork: to look for the processes of a fork bomb takes longer than it needs to
/// make others.
fn kill_domain() {
    // SAFETY: the calls take numbers. Should a signal reach our parent, which is outside, then it
    // would reach strangers too.
    unsafe {
        if libc::kill(libc::getppid(), 0) != 0 {
            libc::kill(-1, libc::SIGKILL);
        }
    }
}

/// Ends what a helper left behind that was itself killed: it came to this process, which adopts
/// orphans for that. Of our children those are the ones that are filtered more than we are.
pub(super) fn end_orphans() {
    let own = std::process::id().cast_signed();
    let filters = filters_of(own);
    loop {
        let children = listed().into_iter().filter(|child| child.parent == own);
        let orphans: Vec<i32> = children
            .map(|child| child.pid)
            .filter(|pid| filters_of(*pid) > filters)
            .collect();
        if orphans.is_empty() {
            return;
        }
        for pid in orphans {
            // SAFETY: the calls take numbers and a null pointer for a status nobody needs; an
            // unreaped child's pid is nobody else's. What is below it comes to us in turn.
            unsafe {
                libc::kill(pid, libc::SIGKILL);
                libc::waitpid(pid, std::ptr::null_mut(), libc::WNOHANG);
            }
        }
        std::thread::sleep(SWEEP);
    }
}

/// By how many seccomp filters a process is held: proc_pid_status(5).
fn filters_of(pid: i32) -> u32 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let count = text
        .lines()
        .find_map(|line| line.strip_prefix("Seccomp_filters:"));
    count.and_then(|n| n.trim().parse().ok()).unwrap_or(0)
}

/// How deep a tree is followed: the kernel has no more processes than this, `PID_MAX_LIMIT`,
/// header `linux/threads.h`.
pub(super) const MAX_DEPTH: usize = 4 << 20;

/// One process, as `/proc` lists it.
struct Listed {
    pid: i32,
    parent: i32,
    group: i32,
    threads: u64,
}

/// The processes below this one, parents before children.
pub(super) fn descendants() -> Vec<i32> {
    below(&listed()).map(|process| process.pid).collect()
}

/// How many processes and threads there are below this one.
pub(super) fn population() -> u64 {
    below(&listed()).map(|process| process.threads).sum()
}

/// The processes of a group.
pub(super) fn group(group: i32) -> Vec<i32> {
    let members = listed().into_iter().filter(|p| p.group == group);
    members.map(|process| process.pid).collect()
}

fn listed() -> Vec<Listed> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(stat).collect()
}

fn below(listed: &[Listed]) -> impl Iterator<Item = &Listed> {
    let mut children: HashMap<i32, Vec<&Listed>> = HashMap::new();
    for process in listed {
        children.entry(process.parent).or_default().push(process);
    }
    let mut found: Vec<&Listed> = Vec::new();
    let mut next = children.remove(&std::process::id().cast_signed());
    let mut at = 0;
    while let Some(more) = next {
        found.extend(more);
        next = loop {
            let Some(process) = found.get(at) else {
                break None;
            };
            at += 1;
            if let Some(more) = children.remove(&process.pid) {
                break Some(more);
            }
        };
    }
    found.into_iter()
}

/// The parent of a process or thread. `None` where there is no such process.
pub(super) fn parent_of(pid: i32) -> Option<i32> {
    stat(pid).map(|process| process.parent)
}

/// Fields of `/proc/PID/stat` (proc_pid_stat(5)): the second is a name in parentheses that may
/// itself hold anything, so fields are counted from the last one.
fn stat(pid: i32) -> Option<Listed> {
    let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let after_name = text.iter().rposition(|&b| b == b')')? + 1;
    let rest = std::str::from_utf8(text.get(after_name..)?).ok()?;
    // The third field comes first here.
    let mut fields = rest.split_ascii_whitespace().skip(1);
    Some(Listed {
        pid,
        parent: fields.next()?.parse().ok()?,
        group: fields.next()?.parse().ok()?,
        threads: fields.nth(14)?.parse().ok()?,
    })
}
