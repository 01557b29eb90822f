//! What the command's process does to itself between being made and becoming the command. Runs
//! in a process with one thread, so nothing here has to fear a lock that another thread held.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;

use rustix::process::{Resource, Rlimit, setrlimit};

use super::population::Population;
use super::seccomp::Program as Filter;
use super::{check, landlock};
use crate::landlock::{Ruleset, SCOPE_SIGNAL, SCOPES_SINCE};
use crate::plan::{Plan, Terminal};
use crate::spawn::{Command, EXEC_STEP};

/// What a plan amounts to, made before there is a command, so that what can fail early does.
pub(super) struct Confinement {
    rulesets: Vec<OwnedFd>,
    /// For a supervised command alone, which is in our domain otherwise: it signals nobody outside
    /// its own tree, and does not look into us. Where Landlock has scopes (ABI 6).
    fence: Option<OwnedFd>,
    filter: Option<Filter>,
    environment: Vec<CString>,
    terminal: Terminal,
    memory: Option<u64>,
    population: Population,
    confined: bool,
    /// Whether a supervisor is asked. It is in the command's own Landlock domain, which it enters
    /// before there is a command.
    supervised: bool,
    /// The group of processes that the command belongs to, if it has no session of its own.
    group: i32,
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
    let supervised = confinement.is_some_and(|c| c.supervision.is_some());
    if confinement.is_some_and(|c| c.filter.supervised) != supervised {
        // Nobody would answer, or nobody would ask.
        return Err(("reading the plan", io::ErrorKind::InvalidData.into()));
    }
    if confinement.is_some() {
        empty_bounding_set();
    }
    // SAFETY: the call takes nothing.
    let group = unsafe { libc::getpgrp() };
    let mut rulesets = Vec::new();
    for ruleset in confinement.iter().flat_map(|c| &c.rulesets) {
        rulesets.push(landlock::build(ruleset).map_err(|e| ("building the Landlock ruleset", e))?);
    }
    let fence = match supervised && landlock::abi() >= SCOPES_SINCE {
        true => {
            let signals = Ruleset {
                handled: 0,
                network: 0,
                scopes: SCOPE_SIGNAL,
                rules: Vec::new(),
            };
            let built = landlock::build(&signals);
            Some(built.map_err(|e| ("building the Landlock ruleset", e))?)
        }
        false => None,
    };
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
        fence,
        filter,
        environment,
        terminal: plan.terminal,
        memory: plan.limits.memory,
        population: match supervised {
            true => Population::prepare(&plan.limits),
            false => Population::default(),
        },
        confined: confinement.is_some(),
        supervised,
        group,
    })
}

impl Confinement {
    /// Takes the rulesets that codex made.
    pub(super) fn add(&mut self, rulesets: Vec<OwnedFd>) -> Result<(), Failure> {
        if self.supervised {
            restrict_to(&rulesets)?;
        }
        self.rulesets.extend(rulesets);
        Ok(())
    }

    /// Whether a supervisor is asked.
    pub(super) fn is_supervised(&self) -> bool {
        self.supervised
    }

    /// Confines the supervisor as the command: what it does on its behalf is nothing that the
    /// command could not do. In a group of processes of its own, since a command may signal its
    /// own.
    pub(super) fn enter(&self) -> Result<(), Failure> {
        // SAFETY: the call takes numbers.
        check(unsafe { libc::setpgid(0, 0) }.into()).map_err(|e| ("leaving the group", e))?;
        self.restrict()
    }

    fn restrict(&self) -> Result<(), Failure> {
        let at = |step: &'static str| move |cause: io::Error| (step, cause);
        drop_capabilities().map_err(at("dropping capabilities"))?;
        // SAFETY: prctl with these constants touches no memory.
        check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }.into())
            .map_err(at("giving up new privileges"))?;
        restrict_to(&self.rulesets)
    }
}

fn restrict_to(rulesets: &[OwnedFd]) -> Result<(), Failure> {
    for ruleset in rulesets {
        landlock::restrict(ruleset).map_err(|e| ("entering the Landlock domain", e))?;
    }
    Ok(())
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
    let install = |filter: &Filter| filter.install().map(drop);
    match confine(confinement, program, install) {
        Err(failure) => failure,
        Ok(_) => {
            let Arguments {
                program,
                argv,
                environment,
            } = arguments(confinement, program);
            // SAFETY: the arrays end with a null pointer and outlive the call.
            unsafe { libc::execve(program.as_ptr(), argv.as_ptr(), environment.as_ptr()) };
            (EXEC_STEP, io::Error::last_os_error())
        }
    }
}

/// Does all but to become the command, and gives the number of the descriptor through which the
/// supervisor is asked.
pub(super) fn confine_supervised(
    confinement: &Confinement,
    program: &Program,
) -> Result<RawFd, Failure> {
    let listener = confine(confinement, program, Filter::install_with_listener)?;
    listener.ok_or((
        "installing the seccomp filter",
        io::ErrorKind::NotFound.into(),
    ))
}

fn confine<T>(
    confinement: &Confinement,
    program: &Program,
    install: impl Fn(&Filter) -> io::Result<T>,
) -> Result<Option<T>, Failure> {
    let at = |step: &'static str| move |cause: io::Error| (step, cause);
    default_signals();
    // The helper ends the command; should the helper itself be killed, the kernel does.
    // SAFETY: prctl with these constants touches no memory.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) }.into())
        .map_err(at("tying to the helper"))?;
    if confinement.terminal == Terminal::None {
        // SAFETY: no memory is touched.
        check(unsafe { libc::setsid() }.into()).map_err(at("leaving the terminal"))?;
    } else if confinement.supervised {
        // SAFETY: the call takes numbers.
        check(unsafe { libc::setpgid(0, confinement.group) }.into())
            .map_err(at("joining the terminal's group"))?;
    }
    limit(Resource::Core, 0).map_err(at("limiting core dumps"))?;
    if let Some(bytes) = confinement.memory {
        limit(Resource::Data, bytes).map_err(at("limiting memory"))?;
    }
    let held = confinement.population.hold();
    held.map_err(|e| ("limiting processes", e.into()))?;
    // SAFETY: the path is a C string that outlives the call.
    check(unsafe { libc::chdir(program.cwd.as_ptr()) }.into())
        .map_err(at("entering the working directory"))?;
    if confinement.confined && !confinement.supervised {
        confinement.restrict()?;
    }
    if let Some(fence) = &confinement.fence {
        landlock::restrict(fence).map_err(at("entering the Landlock domain"))?;
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
    let filter = confinement.filter.as_ref();
    let installed = filter.map(install).transpose();
    installed.map_err(at("installing the seccomp filter"))
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

fn limit(resource: Resource, value: u64) -> io::Result<()> {
    let limit = Rlimit {
        current: Some(value),
        maximum: Some(value),
    };
    Ok(setrlimit(resource, limit)?)
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

/// What `execve` takes, made before the process that calls it is.
pub(super) struct Arguments<'a> {
    /// The program's path.
    pub(super) program: &'a CString,
    /// Pointers to the arguments, and a null pointer.
    pub(super) argv: Vec<*const libc::c_char>,
    /// The same of the environment.
    pub(super) environment: Vec<*const libc::c_char>,
}

pub(super) fn arguments<'a>(confinement: &'a Confinement, program: &'a Program) -> Arguments<'a> {
    let pointers = |strings: &[CString]| -> Vec<*const libc::c_char> {
        let strings = strings.iter().map(|s| s.as_ptr());
        strings.chain([std::ptr::null()]).collect()
    };
    Arguments {
        program: &program.program,
        argv: pointers(&program.argv),
        environment: pointers(&confinement.environment),
    }
}
