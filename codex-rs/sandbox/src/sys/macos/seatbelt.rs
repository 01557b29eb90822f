//! Entering a profile.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::io;
use std::ptr;

unsafe extern "C" {
    /// `sandbox_init`, header `sandbox.h`: confines the calling process for good by the profile's
    /// text, where the flags are 0.
    fn sandbox_init(profile: *const c_char, flags: u64, error: *mut *mut c_char) -> c_int;
    /// `sandbox_free_error`, header `sandbox.h`.
    fn sandbox_free_error(error: *mut c_char);
    /// `sandbox_check` of `libsystem_sandbox`: with no operation, whether the process is confined.
    fn sandbox_check(pid: libc::pid_t, operation: *const c_void, kind: c_int, ...) -> c_int;
}

/// Whether this process, and so what it starts, can enter a profile: one that is in a sandbox
/// already cannot enter another.
pub(super) fn can_be_entered() -> bool {
    // SAFETY: without an operation no further argument is read.
    unsafe { sandbox_check(libc::getpid(), ptr::null(), 0) == 0 }
}

/// Confines this process and all that it starts.
pub(super) fn enter(profile: &CStr) -> io::Result<()> {
    let mut error = ptr::null_mut();
    // SAFETY: the profile is a C string that outlives the call; what is told in `error` is freed
    // below.
    if unsafe { sandbox_init(profile.as_ptr(), 0, &raw mut error) } == 0 {
        return Ok(());
    }
    let cause = io::Error::last_os_error();
    if !error.is_null() {
        // SAFETY: the call has set it, and nobody else frees it.
        unsafe { sandbox_free_error(error) };
    }
    Err(match cause.raw_os_error() {
        // The compiler of profiles sets no error number.
        None | Some(0) => io::Error::from_raw_os_error(libc::EINVAL),
        Some(_) => cause,
    })
}
