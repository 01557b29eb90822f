//! The process between codex and a command: it confines and starts the command, waits for it,
//! and ends all that it started, also when codex itself is killed.

use std::borrow::Borrow;
use std::fs;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use super::check;
use super::setup::{self, Confinement, Failure, Program};
use super::tree::{self, Reaped};
use crate::plan::Plan;
use crate::spawn::{self, Outcome};
use crate::wire::Message;

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
    if own_descriptors(fd).is_err() {
        return ExitCode::from(2);
    }
    // SAFETY: codex passed this descriptor to us alone; nothing else in this process uses it.
    let mut control = unsafe { UnixStream::from_raw_fd(fd) };
    let plan: Result<Plan, Failure> =
        spawn::receive(&mut control).map_err(|cause| ("reading the plan", cause));
    serve(&mut control, plan);
    ExitCode::SUCCESS
}

/// Makes a copy of this process the helper, without starting the binary again: quicker, and
/// possible only while there is one thread, since a lock that another thread holds would stay
/// held in the copy. `None` where there are more.
pub(super) fn fork_helper(control: UnixStream, plan: &Plan) -> io::Result<Option<i32>> {
    if fs::read_dir("/proc/self/task")?.count() != 1 {
        return Ok(None);
    }
    // SAFETY: this process has one thread, so the copy can go on as normal code.
    let pid = unsafe { libc::fork() };
    check(pid.into())?;
    if pid != 0 {
        return Ok(Some(pid));
    }
    let mut control = control;
    // Nothing of ours is used from here on, so closing what Rust values own harms nobody.
    let plan = own_descriptors(control.as_raw_fd())
        .map(|()| plan)
        .map_err(|e| ("closing descriptors", e));
    serve(&mut control, plan);
    // SAFETY: ends the copy at once, without running what the original still has to run.
    unsafe { libc::_exit(0) };
}

fn serve(control: &mut UnixStream, plan: Result<impl Borrow<Plan>, Failure>) {
    let message = match plan.and_then(|plan| run(control, plan.borrow())) {
        Ok(outcome) => Message::Ended { outcome },
        Err((step, cause)) => {
            tree::end();
            Message::Failed {
                step: step.to_owned(),
                errno: cause.raw_os_error().unwrap_or(libc::EIO),
            }
        }
    };
    // Codex may be gone; the tree is ended either way.
    let _ = tell(control, &message);
}

/// Closes what was inherited beside the streams and the control socket, and keeps the latter
/// from being inherited further.
fn own_descriptors(control: RawFd) -> io::Result<()> {
    let control = control.cast_unsigned();
    let close = |first: u32, last: u32| {
        if first > last {
            return Ok(0);
        }
        // SAFETY: at this point no Rust value owns a descriptor above 2.
        check(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0_u32) })
    };
    close(3, control - 1)?;
    close(control + 1, u32::MAX)?;
    super::set_inheritable(control.cast_signed(), false)
}

fn tell(control: &mut UnixStream, message: &Message) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    control.write_all(&line)
}

fn run(control: &mut UnixStream, plan: &Plan) -> Result<Outcome, Failure> {
    let at = |step: &'static str| move |cause: io::Error| (step, cause);
    let children = block_signals().map_err(at("blocking signals"))?;
    tree::adopt_orphans().map_err(at("adopting orphans"))?;
    let confinement = setup::confinement(plan)?;
    // Until here nothing was done for a command, and codex may yet not permit one.
    let command = spawn::receive(control).map_err(at("waiting for the command"))?;
    let deadline = plan.limits.timeout.map(|limit| Instant::now() + limit);
    let pid = start(&confinement, &setup::program(&command)?)?;
    let outcome =
        watch(control, &children, pid, deadline).map_err(at("waiting for the command's end"))?;
    tree::end();
    Ok(outcome)
}

/// Blocks every signal, and gives a descriptor that becomes readable when a child changes. A
/// Ctrl-C in a shared terminal is then the command's to act on, and the helper stays to see it
/// end.
fn block_signals() -> io::Result<OwnedFd> {
    // SAFETY: the sets are filled before use; the descriptor is new and owned here.
    unsafe {
        let mut all = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigfillset(all.as_mut_ptr());
        check(libc::sigprocmask(libc::SIG_SETMASK, all.as_ptr(), std::ptr::null_mut()).into())?;
        let mut child = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigemptyset(child.as_mut_ptr());
        libc::sigaddset(child.as_mut_ptr(), libc::SIGCHLD);
        let fd = libc::signalfd(-1, child.as_ptr(), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
        check(fd.into())?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// The stack of the command's process before it is the command: what `setup` does there takes a
/// few kilobytes, and the arguments' pointers are on the heap.
const STACK: usize = 256 << 10;

/// What the process that becomes the command is given, and gives back.
struct Start<'a> {
    confinement: &'a Confinement,
    program: &'a Program,
    failure: Option<Failure>,
}

/// Runs on a stack of its own, in memory that it shares with the helper, which waits meanwhile.
extern "C" fn become_command(start: *mut libc::c_void) -> i32 {
    // SAFETY: `start` is the structure below, which nobody else touches until we have ended.
    let start = unsafe { &mut *start.cast::<Start<'_>>() };
    start.failure = Some(setup::become_command(start.confinement, start.program));
    127
}

/// Makes the process that becomes the command, and waits until it has or could not.
///
/// As `vfork`: no page is copied, and what failed is left in memory.
fn start(confinement: &Confinement, program: &Program) -> Result<i32, Failure> {
    let mut start = Start {
        confinement,
        program,
        failure: None,
    };
    let mut stack = vec![0_u128; STACK / size_of::<u128>()];
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: the stack grows down from its end and, as the structure, outlives the call, which
    // returns when the process has become the command or ended. This process has one thread and
    // blocks every signal, so nothing else runs in the shared memory.
    let pid = unsafe {
        let top = stack.as_mut_ptr_range().end;
        libc::clone(become_command, top.cast(), flags, (&raw mut start).cast())
    };
    check(pid.into()).map_err(|e| ("making a process", e))?;
    start.failure.take().map_or(Ok(pid), Err)
}

/// Waits for the command's end, the deadline, or codex's end, whichever is first.
fn watch(
    control: &UnixStream,
    children: &OwnedFd,
    pid: i32,
    deadline: Option<Instant>,
) -> io::Result<Outcome> {
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
        let mut wait = [
            poll_for(children.as_raw_fd()),
            poll_for(control.as_raw_fd()),
        ];
        let milliseconds = left.map_or(-1, |l| {
            i32::try_from(l.as_millis().saturating_add(1)).unwrap_or(i32::MAX)
        });
        // SAFETY: the array outlives the call, and its length is given.
        let ready =
            unsafe { libc::poll(wait.as_mut_ptr(), wait.len() as libc::nfds_t, milliseconds) };
        if ready < 0 && io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return Err(io::Error::last_os_error());
        }
        if wait[1].revents != 0 {
            // Codex says nothing after the plan: that it can be read means that it is closed.
            return Ok(Outcome::Ended);
        }
        drain(children);
    }
}

fn poll_for(fd: RawFd) -> libc::pollfd {
    libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    }
}

/// Takes the pending notices off the descriptor; what they are about is asked with `reap`.
fn drain(children: &OwnedFd) {
    let mut buffer = [0_u8; 1024];
    // SAFETY: the buffer outlives the call, which writes at most its length.
    while unsafe {
        libc::read(
            children.as_raw_fd(),
            buffer.as_mut_ptr().cast(),
            buffer.len(),
        )
    } > 0
    {}
}

fn outcome(status: i32) -> Outcome {
    if libc::WIFSIGNALED(status) {
        Outcome::Signaled(libc::WTERMSIG(status))
    } else {
        Outcome::Exited(libc::WEXITSTATUS(status))
    }
}
