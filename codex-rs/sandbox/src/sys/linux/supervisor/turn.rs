//! Calls that may block, which the kernel interrupts when they have had their turn.
//!
//! What a task's own socket says of blocking is the task's to change while we act on it, so that it
//! is not relied on.

use std::io;
use std::time::Duration;

use super::super::check;

/// How long a call may keep others waiting.
const TURN: Duration = Duration::from_millis(5);

extern "C" fn interrupt(_: libc::c_int) {}

/// Has the alarm interrupt calls, once for the process. It stays blocked outside of [`take`].
pub(super) fn prepare() -> io::Result<()> {
    // SAFETY: the structure is zeroed, which is an empty mask and no flags, so that calls are not
    // restarted; the handler does nothing.
    let set = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = interrupt as *const () as usize;
        libc::sigaction(libc::SIGALRM, &raw const action, std::ptr::null_mut())
    };
    check(set.into()).map(drop)
}

/// Makes the call; it gives `EINTR` where its turn was over.
pub(super) fn take<T>(call: impl FnOnce() -> T) -> T {
    // Again and again: the first may come before the call has begun.
    alarm(TURN);
    set_blocked(false);
    let result = call();
    set_blocked(true);
    alarm(Duration::ZERO);
    result
}

fn alarm(every: Duration) {
    let time = libc::timeval {
        tv_sec: 0,
        tv_usec: every.subsec_micros().into(),
    };
    let timer = libc::itimerval {
        it_interval: time,
        it_value: time,
    };
    // SAFETY: the structure outlives the call, which reads it. It fails for no such value.
    unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) };
}

fn set_blocked(blocked: bool) {
    let how = match blocked {
        true => libc::SIG_BLOCK,
        false => libc::SIG_UNBLOCK,
    };
    // SAFETY: the set is filled before use; this process has one thread.
    unsafe {
        let mut set = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), libc::SIGALRM);
        libc::sigprocmask(how, set.as_ptr(), std::ptr::null_mut());
    }
}
