//! The process between codex and a command: it confines and starts the command, waits for it,
//! and ends what it started, also when codex itself is killed.

use std::ffi::{CString, OsStr};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use super::log::{self, Log};
use super::tree::{self, Reaped};
use super::{check, seatbelt};
use crate::plan::{Plan, Terminal};
use crate::seatbelt_log;
use crate::spawn::{self, Command, EXEC_STEP, Outcome};
use crate::wire::Message;
use codex_protocol::record::Observation;

/// The step that failed, and how.
type Failure = (&'static str, io::Error);

/// Runs the helper: `argv[2]` is the number of the control socket that codex passed on.
#[must_use]
pub fn run_helper() -> ExitCode {
    let Some(fd) = std::env::args()
        .nth(2)
        .and_then(|text| text.parse::<RawFd>().ok())
        .filter(|fd| *fd >= 3)
    else {
        return ExitCode::from(2);
    };
    // SAFETY: at this point no Rust value owns a descriptor above 2.
    unsafe { close_all_but(fd) };
    if super::set_inheritable(fd, false).is_err() {
        return ExitCode::from(2);
    }
    // SAFETY: codex passed this descriptor to us alone; nothing else in this process uses it.
    let mut control = unsafe { UnixStream::from_raw_fd(fd) };
    let plan: Result<Plan, Failure> =
        spawn::receive(&mut control).map_err(|cause| ("reading the plan", cause));
    let message = match plan.and_then(|plan| run(&mut control, &plan)) {
        Ok(outcome) => Message::Ended { outcome },
        Err((step, cause)) => Message::Failed {
            step: step.to_owned(),
            errno: cause.raw_os_error().unwrap_or(libc::EIO),
        },
    };
    // Codex may be gone; the tree is ended either way.
    if let Ok(mut line) = serde_json::to_vec(&message) {
        line.push(b'\n');
        let _ = control.write_all(&line);
    }
    ExitCode::SUCCESS
}

/// Closes what was inherited beside the streams and `kept`.
///
/// # Safety
/// No Rust value may own such a descriptor.
unsafe fn close_all_but(kept: RawFd) {
    // SAFETY: the calls take numbers; see above.
    unsafe {
        for fd in 3..libc::getdtablesize() {
            if fd != kept {
                libc::close(fd);
            }
        }
    }
}

/// The command in the kernel's form, and what it is confined by.
struct Program {
    profile: Option<CString>,
    program: CString,
    argv: Vec<CString>,
    environment: Vec<CString>,
    cwd: CString,
    terminal: Terminal,
    memory: Option<u64>,
}

fn c_string(text: &OsStr) -> Result<CString, Failure> {
    CString::new(text.as_bytes()).map_err(|e| ("reading the arguments", e.into()))
}

impl Program {
    fn new(plan: &Plan, command: &Command, tag: &str) -> Result<Self, Failure> {
        let tagged = |text: &str| crate::seatbelt::with_tag(text, seatbelt_log::TAG, tag);
        let profile = match &plan.confinement {
            None => None,
            // A confined plan without a profile was made for another system.
            Some(confinement) => match &confinement.seatbelt {
                Some(text) if confinement.beside > 0 => {
                    let listed = crate::seatbelt::listed(&command.listed, &command.trees)
                        .map_err(|e| ("naming the listed programs", io::Error::other(e)))?;
                    Some(c_string(OsStr::new(&tagged(&format!("{text}{listed}"))))?)
                }
                Some(text) => Some(c_string(OsStr::new(&tagged(text)))?),
                None => return Err(("reading the plan", io::ErrorKind::InvalidData.into())),
            },
        };
        let environment = plan.environment.iter().map(|(name, value)| {
            let mut text = name.clone();
            text.push("=");
            text.push(value);
            c_string(&text)
        });
        Ok(Self {
            profile,
            program: c_string(command.program.as_os_str())?,
            argv: command
                .argv
                .iter()
                .map(|a| c_string(a))
                .collect::<Result<_, _>>()?,
            environment: environment.collect::<Result<_, _>>()?,
            cwd: c_string(command.cwd.as_os_str())?,
            terminal: plan.terminal,
            memory: plan.limits.memory,
        })
    }
}

fn run(control: &mut UnixStream, plan: &Plan) -> Result<Outcome, Failure> {
    ignore_signals();
    // Until here nothing was done for a command, and codex may yet not permit one.
    let command = spawn::receive(control).map_err(|cause| ("waiting for the command", cause))?;
    let tag = log::tag();
    let program = Program::new(plan, &command, &tag)?;
    let mut log = plan.confinement.as_ref().and_then(|_| Log::start(tag));
    let deadline = plan.limits.timeout.map(|limit| Instant::now() + limit);
    let pid = start(&program)?;
    let outcome = watch(control, pid, deadline, &mut log);
    if let Some(log) = log {
        log.finish(&mut |observation| told(control, observation));
    }
    tree::end((plan.terminal == Terminal::None).then_some(pid));
    outcome.map_err(|cause| ("waiting for the command's end", cause))
}

/// The signals by which a terminal ends what runs in it.
const OF_A_TERMINAL: [i32; 4] = [libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGHUP];

/// A Ctrl-C in a shared terminal is the command's to act on; the helper stays to see it end.
fn ignore_signals() {
    for signal in OF_A_TERMINAL {
        // SAFETY: ignoring a signal touches no memory.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}

/// The steps of a process on its way to become the command, by their number on the pipe.
const STEPS: [&str; 6] = [
    "leaving the terminal",
    "limiting core dumps",
    "limiting memory",
    "entering the working directory",
    "entering the Seatbelt profile",
    EXEC_STEP,
];

/// Starts the command, and waits until it is the command or could not become it.
fn start(program: &Program) -> Result<i32, Failure> {
    let at = |step: &'static str| move |cause: io::Error| (step, cause);
    let (mut reader, mut writer) = io::pipe().map_err(at("making a pipe"))?;
    // SAFETY: this process has one thread, so the copy can go on as normal code.
    let pid = check(unsafe { libc::fork() }).map_err(at("making a process"))?;
    if pid == 0 {
        let (step, cause) = become_command(program);
        let errno = cause.raw_os_error().unwrap_or(libc::EIO);
        let mut report = [0; 5];
        report[0] = step;
        report[1..].copy_from_slice(&errno.to_le_bytes());
        let _ = writer.write_all(&report);
        // SAFETY: ends the copy at once, without running what the original still has to run.
        unsafe { libc::_exit(127) };
    }
    drop(writer);
    let mut report = Vec::new();
    let _ = reader.read_to_end(&mut report);
    match report[..] {
        [step, a, b, c, d] => {
            let step = STEPS.get(usize::from(step)).copied().unwrap_or("starting");
            let cause = io::Error::from_raw_os_error(i32::from_le_bytes([a, b, c, d]));
            Err((step, cause))
        }
        _ => Ok(pid),
    }
}

/// Becomes the command; returns only if that failed.
fn become_command(program: &Program) -> (u8, io::Error) {
    for signal in OF_A_TERMINAL.into_iter().chain([libc::SIGPIPE]) {
        // SAFETY: the default touches no memory.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    // SAFETY: no memory is touched.
    if program.terminal == Terminal::None && unsafe { libc::setsid() } < 0 {
        return (0, io::Error::last_os_error());
    }
    if let Err(cause) = limit(libc::RLIMIT_CORE, 0) {
        return (1, cause);
    }
    if let Some(Err(cause)) = program.memory.map(|bytes| limit(libc::RLIMIT_DATA, bytes)) {
        return (2, cause);
    }
    // SAFETY: the path is a C string that outlives the call.
    if unsafe { libc::chdir(program.cwd.as_ptr()) } != 0 {
        return (3, io::Error::last_os_error());
    }
    // SAFETY: the calls take numbers; descriptors are only marked.
    unsafe {
        for fd in 3..libc::getdtablesize() {
            libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC);
        }
    }
    if let Some(Err(cause)) = program.profile.as_deref().map(seatbelt::enter) {
        return (4, cause);
    }
    (5, exec(program))
}

fn limit(resource: i32, value: u64) -> io::Result<()> {
    let limit = libc::rlimit {
        rlim_cur: value,
        rlim_max: value,
    };
    // SAFETY: the structure outlives the call, which reads it.
    check(unsafe { libc::setrlimit(resource, &raw const limit) }).map(drop)
}

fn exec(program: &Program) -> io::Error {
    let pointers = |strings: &[CString]| -> Vec<*const libc::c_char> {
        let all = strings.iter().map(|s| s.as_ptr());
        all.chain([std::ptr::null()]).collect()
    };
    let (argv, environment) = (pointers(&program.argv), pointers(&program.environment));
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

/// Tells codex what was seen. If it is gone, the command is ended soon.
fn told(mut control: &UnixStream, observation: &Observation) {
    let observation = observation.clone();
    if let Ok(mut line) = serde_json::to_vec(&Message::Observed { observation }) {
        line.push(b'\n');
        let _ = control.write_all(&line);
    }
}

/// Waits for the command's end, the deadline, or codex's end, whichever is first.
fn watch(
    control: &UnixStream,
    pid: i32,
    deadline: Option<Instant>,
    log: &mut Option<Log>,
) -> io::Result<Outcome> {
    // SAFETY: the descriptor is new and owned here.
    let queue = unsafe { OwnedFd::from_raw_fd(check(libc::kqueue())?) };
    let wanted = [
        event(pid, libc::EVFILT_PROC, libc::NOTE_EXIT),
        event(control.as_raw_fd(), libc::EVFILT_READ, 0),
    ];
    let logged = log.as_ref().map(Log::descriptor);
    let logged_event = logged.map(|fd| event(fd, libc::EVFILT_READ, 0));
    for event in wanted.into_iter().chain(logged_event) {
        match wait(&queue, &[event], &mut [], Some(Duration::ZERO)) {
            // It has ended before it could be watched; `reap` tells.
            Err(e) if e.raw_os_error() == Some(libc::ESRCH) => {}
            other => drop(other?),
        }
    }
    loop {
        while let Reaped::Child(reaped, status) = tree::reap() {
            if reaped == pid {
                return Ok(outcome(status));
            }
        }
        let left = deadline.map(|d| d.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) {
            return Ok(Outcome::TimedOut);
        }
        let mut happened = [event(0, 0, 0); 3];
        let count = wait(&queue, &[], &mut happened, left)?;
        // Codex says nothing after the command: that it can be read means that it is closed.
        let codex = usize::try_from(control.as_raw_fd()).ok();
        if happened[..count]
            .iter()
            .any(|e| e.filter == libc::EVFILT_READ && Some(e.ident) == codex)
        {
            return Ok(Outcome::Ended);
        }
        if let Some(reader) = log
            && !reader.read(&mut |observation| told(control, observation))
        {
            // Its closed pipe could always be read.
            *log = None;
        }
    }
}

fn event(of: i32, filter: i16, what: u32) -> libc::kevent {
    libc::kevent {
        ident: usize::try_from(of).unwrap_or(0),
        filter,
        flags: libc::EV_ADD,
        fflags: what,
        data: 0,
        udata: std::ptr::null_mut(),
    }
}

/// Adds `wanted` to the queue, and takes what happened off it. That a signal came is no event.
fn wait(
    queue: &OwnedFd,
    wanted: &[libc::kevent],
    happened: &mut [libc::kevent],
    limit: Option<Duration>,
) -> io::Result<usize> {
    let limit = limit.map(|limit| libc::timespec {
        tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: limit.subsec_nanos().into(),
    });
    let length = |events: &[libc::kevent]| i32::try_from(events.len()).unwrap_or(0);
    let (adding, room) = (length(wanted), length(happened));
    // SAFETY: the arrays and the limit outlive the call, and their lengths are given.
    let count = unsafe {
        libc::kevent(
            queue.as_raw_fd(),
            wanted.as_ptr(),
            adding,
            happened.as_mut_ptr(),
            room,
            limit.as_ref().map_or(std::ptr::null(), std::ptr::from_ref),
        )
    };
    match check(count) {
        Ok(count) => Ok(usize::try_from(count).unwrap_or(0)),
        Err(e) if e.kind() == io::ErrorKind::Interrupted => Ok(0),
        Err(e) => Err(e),
    }
}

fn outcome(status: i32) -> Outcome {
    if libc::WIFSIGNALED(status) {
        Outcome::Signaled(libc::WTERMSIG(status))
    } else {
        Outcome::Exited(libc::WEXITSTATUS(status))
    }
}
