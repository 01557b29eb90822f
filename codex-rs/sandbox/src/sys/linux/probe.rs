//! What this machine can do, found by trying.

use super::{check, landlock, seccomp};
use crate::capability::Capabilities;

pub(super) fn capabilities() -> Capabilities {
    Capabilities {
        landlock_abi: landlock::abi(),
        seccomp: seccomp::available(),
        user_notification: can_supervise(),
        network_namespace: can_make_network(),
    }
}

/// Yama keeps processes from looking into any other from this value on: kernel documentation,
/// `admin-guide/LSM/Yama.rst`.
const NOBODY_BUT_ADMINISTRATORS: u32 = 2;

fn can_supervise() -> bool {
    let yama = std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope");
    let closed = yama.is_ok_and(|text| {
        let scope: Result<u32, _> = text.trim().parse();
        scope.map_or(true, |scope| scope >= NOBODY_BUT_ADMINISTRATORS)
    });
    // Of several listeners the kernel allows one, and an outer filter may allow none: where there
    // is a filter already, it has to be tried.
    seccomp::can_ask() && !closed && (!seccomp::is_filtered() || succeeds(0, listen))
}

/// Network namespaces come with a user namespace of one's own.
fn can_make_network() -> bool {
    succeeds(libc::CLONE_NEWUSER, end)
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
