//! What the command's process does to itself between being made and becoming the command. Runs
//! in a process with one thread, so nothing here has to fear a lock that another thread held.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

use super::seccomp::Program as Filter;
use super::{check, landlock};
use crate::plan::{Plan, Terminal};
use crate::spawn::{Command, EXEC_STEP};

/// What a plan amounts to, made before there is a command, so that what can fail early does.
pub(super) struct Confinement {
    rulesets: Vec<OwnedFd>,
    filter: Option<Filter>,
    environment: Vec<CString>,
    terminal: Terminal,
    memory: Option<u64>,
    confined: bool,
}

/// The command in the kernel's form.
pub(super) struct Program {
    program: CString,
    argv: Vec<CString>,
    cwd: CString,
}

/// The step that failed, and how.
pub(super) type Failure = (&'static str, io::Error);

fn c_string(text: &OsStr) -> Result<CString, Failure> {
    CString::new(text.as_bytes()).map_err(|e| ("reading the arguments", e.into()))
}

pub(super) fn confinement(plan: &Plan) -> Result<Confinement, Failure> {
    let confinement = plan.confinement.as_ref();
    if confinement.is_some() {
        empty_bounding_set();
    }
    let mut rulesets = Vec::new();
    for ruleset in confinement.iter().flat_map(|c| &c.rulesets) {
        rulesets.push(landlock::build(ruleset).map_err(|e| ("building the Landlock ruleset", e))?);
    }
    let filter = match confinement {
        Some(c) if !c.filter.rules.is_empty() => {
            Some(Filter::new(&c.filter).map_err(|e| ("building the seccomp filter", e))?)
        }
        _ => None,
    };
    let mut environment = Vec::with_capacity(plan.environment.len());
    for (name, value) in &plan.environment {
        let mut text = name.clone();
        text.push("=");
        text.push(value);
        environment.push(c_string(&text)?);
    }
    Ok(Confinement {
        rulesets,
        filter,
        environment,
        terminal: plan.terminal,
        memory: plan.limits.memory,
        confined: confinement.is_some(),
    })
}

pub(super) fn program(command: &Command) -> Result<Program, Failure> {
    Ok(Program {
        program: c_string(command.program.as_os_str())?,
        argv: command
            .argv
            .iter()
            .map(|a| c_string(a))
            .collect::<Result<_, _>>()?,
        cwd: c_string(command.cwd.as_os_str())?,
    })
}

/// Becomes the command; returns only if that failed.
pub(super) fn become_command(confinement: &Confinement, program: &Program) -> Failure {
    match confine(confinement, program) {
        Err(failure) => failure,
        Ok(()) => (EXEC_STEP, exec(program, &confinement.environment)),
    }
}

fn confine(confinement: &Confinement, program: &Program) -> Result<(), Failure> {
    let at = |step: &'static str| move |cause: io::Error| (step, cause);
    default_signals();
    // The helper ends the command; should the helper itself be killed, the kernel does.
    // SAFETY: prctl with these constants touches no memory.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) }.into())
        .map_err(at("tying to the helper"))?;
    if confinement.terminal == Terminal::None {
        // SAFETY: no memory is touched.
        check(unsafe { libc::setsid() }.into()).map_err(at("leaving the terminal"))?;
    }
    limit(libc::RLIMIT_CORE, 0).map_err(at("limiting core dumps"))?;
    if let Some(bytes) = confinement.memory {
        limit(libc::RLIMIT_DATA, bytes).map_err(at("limiting memory"))?;
    }
    // SAFETY: the path is a C string that outlives the call.
    check(unsafe { libc::chdir(program.cwd.as_ptr()) }.into())
        .map_err(at("entering the working directory"))?;
    if confinement.confined {
        drop_capabilities().map_err(at("dropping capabilities"))?;
        // SAFETY: prctl with these constants touches no memory.
        check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }.into())
            .map_err(at("giving up new privileges"))?;
        for ruleset in &confinement.rulesets {
            landlock::restrict(ruleset).map_err(at("entering the Landlock domain"))?;
        }
    }
    // Marked, not closed: the pipe that reports a failed exec must live until exec works.
    // SAFETY: the call takes numbers; descriptors are only marked.
    check(unsafe {
        libc::syscall(
            libc::SYS_close_range,
            3_u32,
            u32::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    })
    .map_err(at("closing descriptors"))?;
    if let Some(filter) = &confinement.filter {
        filter
            .install()
            .map_err(at("installing the seccomp filter"))?;
    }
    Ok(())
}

/// Rust ignores `SIGPIPE`, codex handles what ends it, the helper blocks everything: none of this
/// is the command's. What else our caller ignores stays ignored, as under any shell.
fn default_signals() {
    // SAFETY: the set is filled before use.
    unsafe {
        for signal in [libc::SIGPIPE, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM] {
            libc::signal(signal, libc::SIG_DFL);
        }
        let mut none = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigemptyset(none.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut());
    }
}

fn limit(resource: libc::__rlimit_resource_t, value: u64) -> io::Result<()> {
    let limit = libc::rlimit {
        rlim_cur: value,
        rlim_max: value,
    };
    // SAFETY: the structure outlives the call, which reads it.
    check(unsafe { libc::setrlimit(resource, &raw const limit) }.into()).map(drop)
}

/// `struct __user_cap_header_struct` and twice `struct __user_cap_data_struct`, header
/// `linux/capability.h`, version 3.
#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: i32,
}

/// `CAP_LAST_CAP` of Linux 6.18, with room for some more.
const LAST_CAPABILITY: u64 = 47;

const CAPABILITY_VERSION_3: u32 = 0x2008_0522;

/// Empties the set of capabilities that anything this process starts could ever gain. Done by the
/// helper, which needs none of them later, while it waits for a command.
fn empty_bounding_set() {
    for capability in 0..=LAST_CAPABILITY {
        // SAFETY: prctl with numbers touches no memory. It fails where the kernel has no such
        // capability, or where we have no right to drop it and therefore none to keep.
        if unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) } != 0 {
            return;
        }
    }
}

/// Root in a sandbox keeps its user id and none of its powers.
fn drop_capabilities() -> io::Result<()> {
    // SAFETY: prctl with numbers touches no memory; it fails on kernels without ambient
    // capabilities, where there are none.
    unsafe {
        libc::prctl(
            libc::PR_CAP_AMBIENT,
            libc::PR_CAP_AMBIENT_CLEAR_ALL,
            0,
            0,
            0,
        )
    };
    let header = CapabilityHeader {
        version: CAPABILITY_VERSION_3,
        pid: 0,
    };
    let none = [0_u32; 6];
    // SAFETY: both structures have the kernel's layout and outlive the call.
    check(unsafe { libc::syscall(libc::SYS_capset, &raw const header, none.as_ptr()) }).map(drop)
}

fn exec(program: &Program, environment: &[CString]) -> io::Error {
    let pointers = |strings: &[CString]| -> Vec<*const libc::c_char> {
        strings
            .iter()
            .map(|s| s.as_ptr())
            .chain([std::ptr::null()])
            .collect()
    };
    let (argv, environment) = (pointers(&program.argv), pointers(environment));
    // SAFETY: the arrays end with a null pointer and outlive the call.
    unsafe {
        libc::execve(
            program.program.as_ptr(),
            argv.as_ptr(),
            environment.as_ptr(),
        )
    };
    io::Error::last_os_error()
}
