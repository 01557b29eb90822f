//! The supervisor: it is asked about every system call of a command that writes a file, makes or
//! changes a name, reaches a socket, another process or the kernel's privileged surface, and
//! decides with the gate what becomes of it.
//!
//! What Landlock does not itself forbid is never let through after a look at the task's memory,
//! which the task could change meanwhile: the call is carried out here, on what was copied and
//! judged. That makes no deputy of us, since we are in the task's own Landlock domain, have its
//! user and groups, no capability, and take its mask for new files.
//!
//! One at a time: of the tasks in the sandbox nobody can change a name between our look and our
//! act, because they would have to ask us.

mod address;
mod calls;
mod denials;
mod git;
mod identity;
mod listener;
mod maker;
mod metadata;
mod names;
mod open;
mod paths;
mod processes;
mod programs;
mod sockets;
mod task;
mod turn;

use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use codex_protocol::decision::{Decision, Effect};
use codex_protocol::gate;
use codex_protocol::request::{KernelCall, Request, Requested as _, TerminalControl};
use rustix::fs::{AtFlags, Mode, RenameFlags};

use super::numbers::{self, Found};
use super::seccomp::ARCHITECTURE;
use crate::plan::Supervision;
use crate::seccomp::{Filter, Refusal, names_of_bits};
use calls::{Call, Calls};
use denials::Denials;
use git::Made;
use listener::{Answer, Listener, Notification};
use metadata::{Follow, Subject, Times};
use names::Path;
use open::Opening;
use sockets::Sockets;
use task::{Errno, Task};

/// `AUDIT_ARCH_I386`, header `linux/audit.h`.
const I386: u32 = 0x4000_0003;

/// `__X32_SYSCALL_BIT`, header `asm/unistd.h`.
const X32: u32 = 0x4000_0000;

/// How soon what had to wait is tried again.
pub(super) const AGAIN: Duration = Duration::from_millis(2);

/// How long those that wait are tried again at a time.
const PATIENCE: Duration = Duration::from_millis(20);

/// Answers the calls of one command's tree.
pub(super) struct Supervisor<'p> {
    rules: Supervision,
    filter: &'p Filter,
    listener: Listener,
    calls: Calls,
    denials: Denials,
    sockets: Sockets,
    made: Made,
    /// Calls that would have blocked.
    waiting: Vec<Notification>,
    /// Of those, the ones that open a named pipe for reading, which a writer finds open meanwhile.
    pipes: Vec<(u64, OwnedFd)>,
    /// The call being answered.
    current: u64,
    /// The process that becomes the command, until it has: what it starts was recorded already.
    first: Option<i32>,
    /// The mask for new files that we have now, and that tasks start with.
    umask: u32,
    initial_umask: u32,
    /// Whether any task has changed its mask.
    umasks_differ: bool,
    /// How many processes and threads there may be now, at most.
    tasks: u64,
}

impl<'p> Supervisor<'p> {
    /// Serves `listener`, and tells of denials on `control`. `first` is the process that becomes
    /// the command.
    pub(super) fn new(
        rules: Supervision,
        filter: &'p Filter,
        listener: OwnedFd,
        control: UnixStream,
        first: i32,
    ) -> io::Result<Self> {
        turn::prepare()?;
        let umask = rustix::process::umask(Mode::empty());
        rustix::process::umask(umask);
        Ok(Self {
            rules,
            filter,
            listener: Listener::new(listener),
            calls: Calls::new(),
            denials: Denials::new(control),
            sockets: Sockets::default(),
            made: Made::default(),
            waiting: Vec::new(),
            pipes: Vec::new(),
            current: 0,
            first: Some(first),
            umask: umask.as_raw_mode(),
            initial_umask: umask.as_raw_mode(),
            umasks_differ: false,
            tasks: 1,
        })
    }

    pub(super) fn descriptor(&self) -> RawFd {
        self.listener.descriptor()
    }

    /// Whether something waits to be tried again.
    pub(super) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Answers one call that is there.
    pub(super) fn serve(&mut self) -> io::Result<()> {
        if let Some(notification) = self.listener.receive()? {
            self.answer(notification);
        }
        Ok(())
    }

    /// Tries again what would have blocked.
    pub(super) fn try_again(&mut self) {
        let begun = Instant::now();
        let mut waiting = std::mem::take(&mut self.waiting).into_iter();
        for notification in waiting.by_ref() {
            if self.listener.waits(notification.id) {
                self.answer(notification);
            }
            // Others ask meanwhile, and there is a deadline.
            if begun.elapsed() > PATIENCE {
                break;
            }
        }
        // Those that had no turn come first the next time.
        self.waiting.splice(0..0, waiting);
        let listener = &self.listener;
        self.pipes.retain(|(id, _)| listener.waits(*id));
    }

    /// Gives up the private network, before what is left of the command is ended.
    pub(super) fn release(&mut self) {
        self.sockets = Sockets::default();
    }

    /// Tells what is still to be told, at the command's end.
    pub(super) fn finish(&mut self) {
        self.denials.finish();
    }

    fn answer(&mut self, notification: Notification) {
        self.current = notification.id;
        let answer = self.judge(&notification).unwrap_or_else(Answer::Errno);
        let done = matches!(answer, Answer::Value(_) | Answer::Descriptor { .. });
        self.denials.carried_out(done);
        if matches!(answer, Answer::Later) {
            self.waiting.push(notification);
            return;
        }
        self.listener.answer(notification.id, &answer);
    }

    /// What was read is the task's only if it still waits.
    fn still_waits(&self) -> Result<(), Errno> {
        match self.listener.waits(self.current) {
            true => Ok(()),
            // Nobody gets this answer.
            false => Err(libc::EINTR),
        }
    }

    /// A copy of the task's descriptor, which was its own when it was copied.
    fn copy(&self, task: Task, fd: i32) -> Result<OwnedFd, Errno> {
        let copy = task.copy(fd)?;
        self.still_waits()?;
        Ok(copy)
    }

    fn decide(&self, request: Request<'_>) -> Decision {
        gate::decide(&self.rules.policy, request)
    }

    fn moves_file_by_file(&self, from: &std::path::Path, to: &std::path::Path) -> bool {
        gate::moves_file_by_file(&self.rules.policy, from, to)
    }

    /// Lets a request pass that the gate allows; records any other, and gives `errno` for it.
    fn permit(&mut self, task: Task, request: Request<'_>, errno: Errno) -> Result<(), Errno> {
        let decision = self.decide(request);
        if decision.effect == Effect::Allow {
            self.denials.permitted(request, decision);
            return Ok(());
        }
        self.denials.add(task, request, &decision);
        Err(errno)
    }

    fn is_first(&mut self, task: Task) -> bool {
        self.first.take_if(|first| *first == task.tid).is_some()
    }

    /// Takes the task's mask for new files as ours.
    fn with_umask_of(&mut self, task: Task) {
        let mask = match self.umasks_differ {
            false => self.initial_umask,
            // What cannot be known makes files for their owner alone.
            true => task.umask().unwrap_or(0o077),
        };
        if mask != self.umask {
            rustix::process::umask(Mode::from_raw_mode(mask));
            self.umask = mask;
        }
    }

    fn judge(&mut self, notification: &Notification) -> Result<Answer, Errno> {
        let task = Task {
            tid: notification.tid,
        };
        if notification.architecture != ARCHITECTURE {
            let entry = match notification.architecture {
                I386 => "i386",
                _ => "another entry's",
            };
            let call = format!("{entry} call {}", notification.number);
            return self.refuse(task, &call, None, libc::ENOSYS);
        }
        let Some(call) = self.calls.find(notification.number) else {
            return self.refuse_number(task, notification);
        };
        self.act(task, call, notification)
    }

    fn act(
        &mut self,
        task: Task,
        call: Call,
        notification: &Notification,
    ) -> Result<Answer, Errno> {
        const HERE: i32 = libc::AT_FDCWD;
        let [a, b, c, d, e, _] = notification.arguments;
        // The kernel takes the low half of what it declares as `int`.
        let int = |argument: u64| argument as u32 as i32;
        let path = |at: i32, address: u64| Path { at, address };
        let here = |address: u64| path(HERE, address);
        let at_flags = |argument: u64| AtFlags::from_bits_retain(argument as u32);
        let open = |at, path, flags, mode: u64| Opening {
            at,
            path,
            flags,
            mode: mode as u32,
        };
        let subject = |at: u64, address: u64, flags: u64| {
            Subject::Path(path(int(at), address), Follow::from_flags(int(flags)))
        };
        let follow_flags = match call {
            Call::Fchmodat2 => int(d),
            Call::Fchownat => int(e),
            Call::Utimensat if b != 0 || int(a) == HERE => int(d),
            _ => 0,
        };
        if follow_flags & !(libc::AT_SYMLINK_NOFOLLOW | libc::AT_EMPTY_PATH) != 0 {
            return Err(libc::EINVAL);
        }
        let followed = |address: u64| Subject::Path(here(address), Follow::Yes);
        let itself = |address: u64| Subject::Path(here(address), Follow::No);
        let descriptor = |fd: u64| Subject::Descriptor(int(fd));
        match call {
            Call::Open => self.open(task, &open(HERE, a, int(b), c)),
            Call::Openat => self.open(task, &open(int(a), b, int(c), d)),
            Call::Openat2 => self.open_how(task, int(a), b, (c, d)),
            Call::Creat => {
                let flags = libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC;
                self.open(task, &open(HERE, a, flags, b))
            }
            Call::Truncate => self.truncate(task, here(a), b.cast_signed()),
            Call::Mkdir => self.make_directory(task, here(a), b as u32),
            Call::Mkdirat => self.make_directory(task, path(int(a), b), c as u32),
            Call::Mknod => self.make_node(task, here(a), b as u32),
            Call::Mknodat => self.make_node(task, path(int(a), b), c as u32),
            Call::Unlink => self.remove(task, here(a), AtFlags::empty()),
            Call::Unlinkat if c as u32 & !AtFlags::REMOVEDIR.bits() != 0 => Err(libc::EINVAL),
            Call::Unlinkat => self.remove(task, path(int(a), b), at_flags(c)),
            Call::Rmdir => self.remove(task, here(a), AtFlags::REMOVEDIR),
            Call::Rename => self.rename(task, here(a), here(b), RenameFlags::empty()),
            Call::Renameat => {
                let (from, to) = (path(int(a), b), path(int(c), d));
                self.rename(task, from, to, RenameFlags::empty())
            }
            Call::Renameat2 => {
                let (from, to) = (path(int(a), b), path(int(c), d));
                self.rename(task, from, to, RenameFlags::from_bits_retain(e as u32))
            }
            Call::Link => self.link(task, here(a), here(b), AtFlags::empty()),
            Call::Linkat => {
                let (from, to) = (path(int(a), b), path(int(c), d));
                self.link(task, from, to, at_flags(e))
            }
            Call::Symlink => self.symbolic_link(task, a, here(b)),
            Call::Symlinkat => self.symbolic_link(task, a, path(int(b), c)),
            Call::Chmod => self.change_mode(task, followed(a), b as u32),
            Call::Fchmod => self.change_mode(task, descriptor(a), b as u32),
            Call::Fchmodat => self.change_mode(task, subject(a, b, 0), c as u32),
            Call::Fchmodat2 => self.change_mode(task, subject(a, b, d), c as u32),
            Call::Chown => self.change_owner(task, followed(a), b as u32, c as u32),
            Call::Lchown => self.change_owner(task, itself(a), b as u32, c as u32),
            Call::Fchown => self.change_owner(task, descriptor(a), b as u32, c as u32),
            Call::Fchownat => self.change_owner(task, subject(a, b, e), c as u32, d as u32),
            Call::Utime => self.change_times(task, followed(a), Times::Seconds(b)),
            Call::Utimes => self.change_times(task, followed(a), Times::Micro(b)),
            Call::Futimesat if b == 0 && int(a) != HERE => {
                self.change_times(task, descriptor(a), Times::Micro(c))
            }
            Call::Futimesat => self.change_times(task, subject(a, b, 0), Times::Micro(c)),
            Call::Utimensat if b == 0 && int(a) != HERE && d as u32 != 0 => Err(libc::EINVAL),
            Call::Utimensat if b == 0 && int(a) != HERE => {
                self.change_times(task, descriptor(a), Times::Nano(c))
            }
            Call::Utimensat => self.change_times(task, subject(a, b, d), Times::Nano(c)),
            Call::Setxattr => self.set_attribute(task, followed(a), b, (c, d), e as u32),
            Call::Lsetxattr => self.set_attribute(task, itself(a), b, (c, d), e as u32),
            Call::Fsetxattr => self.set_attribute(task, descriptor(a), b, (c, d), e as u32),
            Call::Removexattr => self.remove_attribute(task, followed(a), b),
            Call::Lremovexattr => self.remove_attribute(task, itself(a), b),
            Call::Fremovexattr => self.remove_attribute(task, descriptor(a), b),
            Call::Umask => {
                self.umasks_differ = true;
                Ok(Answer::Continue)
            }
            Call::Execve => self.execute(task, HERE, a, 0),
            Call::Execveat => self.execute(task, int(a), b, int(e)),
            Call::Mmap => self.map(task, int(e)),
            Call::Socket => self.socket(task, int(a), int(b), int(c)),
            Call::Socketpair => self.refuse_socket(task, "socketpair", int(a), int(b)),
            Call::Connect => self.connect(task, int(a), b, c),
            Call::Bind => self.bind(task, int(a), b, c),
            Call::Sendto => self.send(task, int(a), e, notification.arguments[5], int(d)),
            Call::Sendmsg => self.send_messages(task, int(a), b, 1, int(c)),
            Call::Sendmmsg => self.send_messages(task, int(a), b, c, int(d)),
            Call::Kill => self.signal(task, int(a), int(b)),
            Call::Tkill => self.control(task, "tkill", int(a)),
            Call::Tgkill => self.control(task, "tgkill", int(b)),
            Call::RtSigqueueinfo => self.control(task, "rt_sigqueueinfo", int(a)),
            Call::RtTgsigqueueinfo => self.control(task, "rt_tgsigqueueinfo", int(b)),
            Call::PidfdOpen => self.control(task, "pidfd_open", int(a)),
            // Reading another's limits changes nothing.
            Call::Prlimit if c == 0 => Ok(Answer::Continue),
            Call::Prlimit => self.control(task, "prlimit", int(a)),
            Call::SchedSetaffinity => self.control(task, "sched_setaffinity", int(a)),
            Call::SchedSetattr => self.control(task, "sched_setattr", int(a)),
            Call::SchedSetparam => self.control(task, "sched_setparam", int(a)),
            Call::SchedSetscheduler => self.control(task, "sched_setscheduler", int(a)),
            // Only one process is named; groups and users hold others.
            Call::Setpriority if int(a) == 0 => self.control(task, "setpriority", int(b)),
            Call::IoprioSet if int(a) == 1 => self.control(task, "ioprio_set", int(b)),
            Call::Setpriority | Call::IoprioSet => self.refuse_number(task, notification),
            Call::Clone if names_of_bits(a as u32).is_some() => {
                self.refuse(task, "clone", names_of_bits(a as u32), libc::EPERM)
            }
            Call::Clone3 => self.refuse_namespaces(task, a, b),
            Call::Clone | Call::Fork | Call::Vfork => self.population(task),
            Call::Unshare => self.refuse(task, "unshare", names_of_bits(a as u32), libc::EPERM),
            // Who could not be looked into would get nothing done.
            Call::Prctl if b == 0 => Ok(Answer::Value(0)),
            Call::Prctl => Ok(Answer::Continue),
            Call::Ptrace => self.touch(task, "ptrace", int(b)),
            Call::ProcessVmReadv => self.touch(task, "process_vm_readv", int(a)),
            Call::ProcessVmWritev => self.touch(task, "process_vm_writev", int(a)),
            Call::MigratePages => self.touch(task, "migrate_pages", int(a)),
            Call::MovePages => self.touch(task, "move_pages", int(a)),
            Call::Kcmp if self.is_inside(int(a)) => self.touch(task, "kcmp", int(b)),
            Call::Kcmp => self.touch(task, "kcmp", int(a)),
            Call::PidfdGetfd => self.touch_held(task, "pidfd_getfd", int(a)),
            Call::ProcessMadvise => self.touch_held(task, "process_madvise", int(a)),
            Call::ProcessMrelease => self.touch_held(task, "process_mrelease", int(a)),
            Call::Setns => self.touch_held(task, "setns", int(a)),
            Call::Setuid => self.change_users(task, "setuid", &[a]),
            Call::Setreuid => self.change_users(task, "setreuid", &[a, b]),
            Call::Setresuid => self.change_users(task, "setresuid", &[a, b, c]),
            Call::Setfsuid => self.change_file_user(task, "setfsuid", "Uid:", a),
            Call::Setgid => self.change_groups(task, "setgid", &[a]),
            Call::Setregid => self.change_groups(task, "setregid", &[a, b]),
            Call::Setresgid => self.change_groups(task, "setresgid", &[a, b, c]),
            Call::Setfsgid => self.change_file_user(task, "setfsgid", "Gid:", a),
            Call::Setgroups => self.refuse(task, "setgroups", None, libc::EPERM),
            Call::Capset => self.change_capabilities(task, a, b),
            Call::Ioctl if OWNER_CODES.contains(&(b as u32)) => self.own(task, "ioctl", c),
            Call::Ioctl => self.refuse_control_code(task, int(a), b as u32),
            Call::Fcntl => match int(b) {
                libc::F_SETOWN => self.signal_owner(task, "fcntl(F_SETOWN)", int(c)),
                F_SETOWN_EX => self.own(task, "fcntl(F_SETOWN_EX)", c.saturating_add(4)),
                other => {
                    let name = fcntl_name(other).to_owned();
                    self.refuse(task, "fcntl", Some(name), libc::EPERM)
                }
            },
        }
    }

    /// `clone3` is said not to be there: libraries then call `clone`, whose flags are in registers.
    fn refuse_namespaces(&mut self, task: Task, at: u64, size: u64) -> Result<Answer, Errno> {
        let mut flags = [0; 8];
        // `CLONE_ARGS_SIZE_VER0`, header `linux/sched.h`.
        if size < 64 {
            return Err(libc::EINVAL);
        }
        task.read(at, &mut flags)?;
        match names_of_bits(u64::from_ne_bytes(flags) as u32) {
            Some(names) => self.refuse(task, "clone3", Some(names), libc::EPERM),
            None => Err(libc::ENOSYS),
        }
    }

    fn refuse_control_code(&mut self, task: Task, fd: i32, code: u32) -> Result<Answer, Errno> {
        let Some((name, types)) = crate::seccomp::control(code) else {
            return Ok(Answer::Continue);
        };
        if !types {
            // Which file's, is what is asked first.
            self.subject(task, Subject::Descriptor(fd))?;
            return self.refuse(task, "ioctl", Some(name.to_owned()), libc::EPERM);
        }
        let request = TerminalControl {
            control: name.to_owned(),
        };
        self.permit(task, request.view(), libc::EPERM)?;
        Ok(Answer::Continue)
    }

    /// Refuses a call that is acted on nowhere, as the filter says.
    fn refuse_number(&mut self, task: Task, notification: &Notification) -> Result<Answer, Errno> {
        let number = notification.number.cast_unsigned();
        let rule = self
            .filter
            .rules
            .iter()
            .find(|rule| numbers::find(&rule.call) == Found::Number(number));
        match rule {
            Some(rule) => {
                let (call, errno) = (rule.call.clone(), errno(rule.refusal));
                self.refuse(task, &call, None, errno)
            }
            None if number & X32 != 0 => {
                let call = format!("x32 call {}", number & !X32);
                self.refuse(task, &call, None, libc::ENOSYS)
            }
            None => self.refuse(
                task,
                &format!("call {number}, which is unknown"),
                None,
                libc::ENOSYS,
            ),
        }
    }

    fn refuse(
        &mut self,
        task: Task,
        call: &str,
        argument: Option<String>,
        errno: Errno,
    ) -> Result<Answer, Errno> {
        let request = KernelCall {
            call: call.to_owned(),
            argument,
        };
        self.permit(task, request.view(), errno)?;
        // No layer that is confined allows one.
        Err(errno)
    }
}

/// The error that a refused call gets.
pub(super) fn errno(refusal: Refusal) -> Errno {
    match refusal {
        Refusal::Eperm => libc::EPERM,
        Refusal::Eacces => libc::EACCES,
        Refusal::Enosys => libc::ENOSYS,
        Refusal::Eafnosupport => libc::EAFNOSUPPORT,
    }
}

/// `F_SETOWN_EX`, and the codes of `ioctl` that mean `F_SETOWN`: headers `linux/fcntl.h`,
/// `asm-generic/sockios.h`.
const F_SETOWN_EX: i32 = 15;
const OWNER_CODES: [u32; 2] = [0x8901, 0x8902];

fn fcntl_name(command: i32) -> &'static str {
    match command {
        libc::F_SETLEASE => "F_SETLEASE",
        _ => "F_SETSIG",
    }
}
