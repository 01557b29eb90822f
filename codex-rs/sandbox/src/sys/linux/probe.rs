//! What this machine can do, found by trying.

use super::{check, landlock, seccomp};
use crate::capability::Capabilities;

pub(super) fn capabilities() -> Capabilities {
    Capabilities {
        landlock_abi: landlock::abi(),
        seccomp: seccomp::available(),
        user_notification: can_supervise(),
        network_namespace: can_make_network(),
        ..Capabilities::NONE
    }
}

/// Yama keeps processes from looking into any other from this value on: kernel documentation,
/// `admin-guide/LSM/Yama.rst`.
const NOBODY_BUT_ADMINISTRATORS: u64 = 2;

fn can_supervise() -> bool {
    let closed =
        setting("kernel/yama/ptrace_scope").is_some_and(|s| s >= NOBODY_BUT_ADMINISTRATORS);
    // Of several listeners the kernel allows one, and an outer filter may allow none: where there
    // is a filter already, it has to be tried.
    seccomp::can_ask() && !closed && (!seccomp::is_filtered() || succeeds(0, listen))
}

/// Whether a process without privileges can make a network namespace, which comes with a user
/// namespace of its own.
///
/// Trying it takes the kernel a millisecond, so it is tried only where an outer filter may have a
/// say; else the settings are asked that can forbid it (namespaces(7), Debian's and Ubuntu's
/// additions). Where something else does, the first socket that a command asks for is refused, and
/// recorded so.
fn can_make_network() -> bool {
    let forbidden = setting("user/max_user_namespaces") == Some(0)
        || setting("user/max_net_namespaces") == Some(0)
        || setting("kernel/unprivileged_userns_clone") == Some(0)
        || setting("kernel/apparmor_restrict_unprivileged_userns") == Some(1);
    !forbidden
        && (!seccomp::is_filtered() || succeeds(libc::CLONE_NEWUSER | libc::CLONE_NEWNET, end))
}

/// A number of `/proc/sys`. `None` where the kernel has no such setting.
fn setting(name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/sys/{name}")).ok()?;
    text.trim().parse().ok()
}

extern "C" fn end(_: *mut libc::c_void) -> i32 {
    0
}

extern "C" fn listen(_: *mut libc::c_void) -> i32 {
    match seccomp::try_listener() {
        Ok(()) => 0,
        Err(_) => 1,
    }
}

/// Whether a short-lived process made with these flags ends well.
fn succeeds(flags: i32, run: extern "C" fn(*mut libc::c_void) -> i32) -> bool {
    let mut stack = vec![0_u128; (16 << 10) / size_of::<u128>()];
    let flags = flags | libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: the stack grows down from its end and outlives the call, which returns when the
    // process has ended. What it runs only calls the kernel.
    let pid = unsafe {
        let top = stack.as_mut_ptr_range().end;
        libc::clone(run, top.cast(), flags, std::ptr::null_mut())
    };
    if check(pid.into()).is_err() {
        return false;
    }
    let mut status = 0;
    // SAFETY: the status is written to a variable that outlives the call.
    let waited = unsafe { libc::waitpid(pid, &raw mut status, 0) };
    waited == pid && libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0
}
