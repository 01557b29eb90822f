//! `execve` without the C library: it keeps its error numbers in memory that the process which
//! becomes a command shares with the helper.

/// Becomes the program; returns the error number if that failed.
///
/// Both arrays end with a null pointer.
#[cfg(target_arch = "x86_64")]
pub(super) fn call(
    program: *const libc::c_char,
    argv: *const *const libc::c_char,
    environment: *const *const libc::c_char,
) -> i32 {
    let result: i64;
    // SAFETY: the kernel reads what the pointers name, and overwrites no register but these.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") libc::SYS_execve => result,
            in("rdi") program,
            in("rsi") argv,
            in("rdx") environment,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    errno(result)
}

/// Becomes the program; returns the error number if that failed.
///
/// Both arrays end with a null pointer.
#[cfg(target_arch = "aarch64")]
pub(super) fn call(
    program: *const libc::c_char,
    argv: *const *const libc::c_char,
    environment: *const *const libc::c_char,
) -> i32 {
    let result: i64;
    // SAFETY: the kernel reads what the pointers name, and overwrites no register but this.
    unsafe {
        std::arch::asm!(
            "svc 0",
            in("x8") libc::SYS_execve,
            inlateout("x0") program as i64 => result,
            in("x1") argv,
            in("x2") environment,
            options(nostack),
        );
    }
    errno(result)
}

fn errno(result: i64) -> i32 {
    i32::try_from(-result).unwrap_or(libc::EIO)
}
