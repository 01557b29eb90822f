//! The process between codex and a command: it confines and starts the command, waits for it,
//! and ends all that it started, also when codex itself is killed.

use std::borrow::Borrow;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

use super::setup::{self, Confinement, Failure, Program};
use super::supervisor::{self, Supervisor};
use super::tree::{self, Reaped};
use super::{check, execve, handover};
use crate::landlock::SCOPE_SIGNAL;
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
            tree::end(false);
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
    let mut confinement = setup::confinement(plan)?;
    if confinement.is_supervised() {
        refuse_sockets_as_streams()?;
        confinement.enter()?;
    }
    let layers = plan.confinement.iter().flat_map(|c| &c.rulesets);
    let fenced =
        confinement.is_supervised() && layers.into_iter().any(|l| l.scopes & SCOPE_SIGNAL != 0);
    // Until here nothing was done for a command, and codex may yet not permit one.
    let beside = plan.confinement.as_ref().map_or(0, |c| c.beside);
    let beside = handover::receive(control, beside).map_err(at("waiting for the command"))?;
    confinement.add(beside)?;
    let command: spawn::Command = spawn::receive(control).map_err(at("waiting for the command"))?;
    let deadline = plan.limits.timeout.map(|limit| Instant::now() + limit);
    let program = setup::program(&command)?;
    let supervision = plan
        .confinement
        .as_ref()
        .and_then(|c| Some((c, c.supervision.as_ref()?)));
    let (started, mut supervisor) = match supervision {
        None => (Started::unsupervised(&confinement, &program)?, None),
        Some((confined, rules)) => {
            let (started, listener) = Started::supervised(&confinement, &program)?;
            let control = control
                .try_clone()
                .map_err(at("sharing the control socket"))?;
            let first = started.pid;
            let mut rules = rules.clone();
            rules.policy.list_programs(&command.listed, &command.trees);
            let supervisor = Supervisor::new(rules, &confined.filter, listener, control, first)
                .map_err(at("preparing the supervisor"))?;
            (started, Some(supervisor))
        }
    };
    started.go()?;
    let watched = watch(
        control,
        &children,
        started.pid,
        deadline,
        supervisor.as_mut(),
    );
    if let Some(supervisor) = &mut supervisor {
        // Its process is ended here, where it is known which it is.
        supervisor.release();
    }
    tree::end(fenced);
    if let Some(mut supervisor) = supervisor {
        supervisor.finish();
    }
    let outcome = watched.map_err(at("waiting for the command's end"))?;
    started.exec_failure().map_or(Ok(outcome), Err)
}

/// A network socket as one of the streams would lead out of the private network, and a socket for
/// datagrams to any unix socket.
fn refuse_sockets_as_streams() -> Result<(), Failure> {
    for fd in 0..3 {
        // SAFETY: whatever these numbers are, they stay it while they are borrowed here.
        let stream = unsafe { BorrowedFd::borrow_raw(fd) };
        let Ok(domain) = rustix::net::sockopt::socket_domain(stream) else {
            continue;
        };
        let kind = rustix::net::sockopt::socket_type(stream);
        let is_unix = domain == rustix::net::AddressFamily::UNIX;
        if !is_unix || kind != Ok(rustix::net::SocketType::STREAM) {
            let step = "taking a network or datagram socket as a standard stream; use a pipe or file, which";
            return Err((step, io::ErrorKind::Unsupported.into()));
        }
    }
    Ok(())
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

/// What the process that becomes a supervised command is given, and gives back.
struct SupervisedStart<'a> {
    confinement: &'a Confinement,
    program: &'a Program,
    arguments: setup::Arguments<'a>,
    /// Written to when it asks about its calls from now on.
    ready: RawFd,
    /// Read from before it becomes the command.
    go: RawFd,
    /// The number of its listener, or why there is none.
    listener: Option<Result<RawFd, Failure>>,
    /// The error number with which becoming the command failed.
    exec_errno: AtomicI32,
}

/// Runs as [`become_command`]. The helper goes on once it is ready: from there on nothing may be
/// used that both would, such as the memory allocator or `errno`, so the kernel is called
/// directly.
extern "C" fn become_supervised(start: *mut libc::c_void) -> i32 {
    // SAFETY: until `ready` is written to, the helper waits; afterwards it only reads the atomic.
    let start = unsafe { &mut *start.cast::<SupervisedStart<'_>>() };
    start.listener = Some(setup::confine_supervised(start.confinement, start.program));
    let mut byte = [0_u8; 1];
    let arguments = &start.arguments;
    // SAFETY: both descriptors are in our copy of the helper's table.
    let (ready, go) = unsafe {
        (
            BorrowedFd::borrow_raw(start.ready),
            BorrowedFd::borrow_raw(start.go),
        )
    };
    if rustix::io::write(ready, &byte) != Ok(1) || rustix::io::read(go, &mut byte) != Ok(1) {
        return 127;
    }
    let errno = execve::call(
        arguments.program.as_ptr(),
        arguments.argv.as_ptr(),
        arguments.environment.as_ptr(),
    );
    start.exec_errno.store(errno, Ordering::Release);
    127
}

/// The process that becomes the command, and what it uses until it has.
struct Started<'a> {
    pid: i32,
    start: Option<Box<SupervisedStart<'a>>>,
    go: Option<io::PipeWriter>,
    _stack: Vec<u128>,
}

fn clone(
    stack: &mut [u128],
    flags: i32,
    run: extern "C" fn(*mut libc::c_void) -> i32,
    start: *mut libc::c_void,
) -> Result<i32, Failure> {
    let flags = flags | libc::CLONE_VM | libc::SIGCHLD;
    // SAFETY: the stack grows down from its end; it and the structure live until the process has
    // become the command or ended. This process has one thread and blocks every signal, so nothing
    // else runs in the shared memory.
    let pid = unsafe { libc::clone(run, stack.as_mut_ptr_range().end.cast(), flags, start) };
    check(pid.into()).map_err(|e| ("making a process", e))?;
    Ok(pid)
}

impl<'a> Started<'a> {
    /// Makes the process that becomes the command, and waits until it has or could not.
    ///
    /// As `vfork`: no page is copied, and what failed is left in memory.
    fn unsupervised(confinement: &Confinement, program: &Program) -> Result<Self, Failure> {
        let mut start = Start {
            confinement,
            program,
            failure: None,
        };
        let mut stack = vec![0_u128; STACK / size_of::<u128>()];
        let pid = clone(
            &mut stack,
            libc::CLONE_VFORK,
            become_command,
            (&raw mut start).cast(),
        )?;
        match start.failure {
            Some(failure) => Err(failure),
            None => Ok(Self {
                pid,
                start: None,
                go: None,
                _stack: stack,
            }),
        }
    }

    /// Makes the process that becomes a supervised command, and waits until it is about to; gives
    /// the descriptor through which it asks.
    fn supervised(
        confinement: &'a Confinement,
        program: &'a Program,
    ) -> Result<(Self, OwnedFd), Failure> {
        let at = |step: &'static str| move |cause: io::Error| (step, cause);
        let (mut ready, ready_writer) = io::pipe().map_err(at("making a pipe"))?;
        let (go_reader, go) = io::pipe().map_err(at("making a pipe"))?;
        let mut start = Box::new(SupervisedStart {
            confinement,
            program,
            arguments: setup::arguments(confinement, program),
            ready: ready_writer.as_raw_fd(),
            go: go_reader.as_raw_fd(),
            listener: None,
            exec_errno: AtomicI32::new(0),
        });
        let mut stack = vec![0_u128; STACK / size_of::<u128>()];
        let pid = clone(&mut stack, 0, become_supervised, (&raw mut *start).cast())?;
        // Where it ends before it is ready, this was the last writer.
        drop(ready_writer);
        let _ = ready
            .read(&mut [0])
            .map_err(at("waiting for the command's process"))?;
        let number = match start.listener.take() {
            Some(Ok(number)) => number,
            Some(Err(failure)) => return Err(failure),
            None => return Err(("making a process", io::ErrorKind::UnexpectedEof.into())),
        };
        let listener = take_descriptor(pid, number).map_err(at("taking the listener"))?;
        // Our memory holds the rights and whatever codex had when it was copied: the command, which
        // is in our own Landlock domain, must not read it.
        // SAFETY: prctl with these constants touches no memory.
        check(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) }.into())
            .map_err(at("closing our memory"))?;
        let started = Self {
            pid,
            start: Some(start),
            go: Some(go),
            _stack: stack,
        };
        Ok((started, listener))
    }

    /// Lets it become the command.
    fn go(&self) -> Result<(), Failure> {
        let Some(mut go) = self.go.as_ref() else {
            return Ok(());
        };
        go.write_all(&[0]).map_err(|e| ("starting the command", e))
    }

    /// Why it could not become the command.
    fn exec_failure(&self) -> Option<Failure> {
        let errno = self.start.as_ref()?.exec_errno.load(Ordering::Acquire);
        (errno != 0).then(|| (spawn::EXEC_STEP, io::Error::from_raw_os_error(errno)))
    }
}

/// Takes a copy of a child's descriptor.
fn take_descriptor(pid: i32, number: RawFd) -> io::Result<OwnedFd> {
    let pid = rustix::process::Pid::from_raw(pid).ok_or(io::ErrorKind::NotFound)?;
    let process = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())?;
    let flags = rustix::process::PidfdGetfdFlags::empty();
    Ok(rustix::process::pidfd_getfd(&process, number, flags)?)
}

/// How often it is looked whether a command has too many processes: a fork bomb makes some ten
/// thousand in a second. The look is one system call unless the machine has as many.
const COUNT: Duration = Duration::from_millis(100);

/// Waits for the command's end, the deadline, or codex's end, whichever is first; answers what the
/// command asks meanwhile.
fn watch(
    control: &UnixStream,
    children: &OwnedFd,
    pid: i32,
    deadline: Option<Instant>,
    mut supervisor: Option<&mut Supervisor<'_>>,
) -> io::Result<Outcome> {
    let mut counted = Instant::now();
    loop {
        while let Reaped::Child(reaped, status) = tree::reap() {
            if reaped == pid {
                return Ok(outcome(status));
            }
        }
        if let Some(supervisor) = supervisor.as_deref_mut()
            && counted.elapsed() > COUNT
        {
            counted = Instant::now();
            if supervisor.has_too_many(pid) {
                return Ok(Outcome::Ended);
            }
        }
        let left = deadline.map(|d| d.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) {
            return Ok(Outcome::TimedOut);
        }
        let again = supervisor
            .as_ref()
            .filter(|s| s.has_waiting())
            .map(|_| supervisor::AGAIN);
        let count = supervisor.as_ref().map(|_| COUNT);
        let wait = [left, again, count].into_iter().flatten().min();
        let listener = supervisor.as_ref().map_or(-1, |s| s.descriptor());
        let mut ready = [
            poll_for(children.as_raw_fd()),
            poll_for(control.as_raw_fd()),
            // A negative number is passed over (poll(2)).
            poll_for(listener),
        ];
        poll(&mut ready, wait)?;
        if ready[1].revents != 0 {
            // Codex says nothing after the plan: that it can be read means that it is closed.
            return Ok(Outcome::Ended);
        }
        if let Some(supervisor) = supervisor.as_deref_mut() {
            if ready[2].revents & libc::POLLIN != 0 {
                supervisor.serve()?;
            }
            supervisor.try_again();
        }
        if ready[0].revents != 0 {
            drain(children);
        }
    }
}

fn poll(wait: &mut [libc::pollfd], time: Option<Duration>) -> io::Result<()> {
    let milliseconds = time.map_or(-1, |left| {
        i32::try_from(left.as_millis().saturating_add(1)).unwrap_or(i32::MAX)
    });
    // SAFETY: the array outlives the call, and its length is given.
    let ready = unsafe { libc::poll(wait.as_mut_ptr(), wait.len() as libc::nfds_t, milliseconds) };
    match ready {
        0.. => Ok(()),
        _ => match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            error => Err(error),
        },
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
