//! Signals, limits and priorities of other processes, and how many there may be.

use codex_protocol::request::{ProcessControl, Requested as _, Resource, ResourceLimit};

use super::super::tree;
use super::Supervisor;
use super::listener::Answer;
use super::task::{Errno, Task};
use crate::plan::TASKS;

impl Supervisor<'_> {
    /// Whether the process or thread is one of the command's: below us, and not our own.
    pub(super) fn is_inside(&self, pid: i32) -> bool {
        let own = std::process::id().cast_signed();
        let mut at = pid;
        // The depth is bounded by the number of processes; what changes meanwhile ends it too.
        for _ in 0..tree::MAX_DEPTH {
            if self.is_own(at) {
                return false;
            }
            match tree::parent_of(at) {
                Some(parent) if parent == own => return true,
                Some(parent) if parent > 0 => at = parent,
                _ => return false,
            }
        }
        false
    }

    fn is_own(&self, pid: i32) -> bool {
        pid == std::process::id().cast_signed() || self.sockets.is_maker(pid)
    }

    /// A call that names one process or thread. 0 means the task itself.
    pub(super) fn control(&mut self, task: Task, call: &str, pid: i32) -> Result<Answer, Errno> {
        if pid == 0 || pid == task.tid || self.is_inside(pid) {
            return Ok(Answer::Continue);
        }
        if pid < 0 || tree::parent_of(pid).is_none() {
            // There is none, and the kernel says so.
            return Err(libc::ESRCH);
        }
        self.refuse_control(task, call, pid)
    }

    fn refuse_control(&mut self, task: Task, call: &str, pid: i32) -> Result<Answer, Errno> {
        let request = ProcessControl {
            call: call.to_owned(),
            pid: pid.unsigned_abs(),
        };
        self.permit(task, request.view(), libc::EPERM)?;
        Ok(Answer::Continue)
    }

    /// `kill(2)`: a process, a group or everybody.
    pub(super) fn signal(&mut self, task: Task, pid: i32, signal: i32) -> Result<Answer, Errno> {
        match pid {
            // The own group: Landlock leaves out who is outside the command's tree.
            0 => Ok(Answer::Continue),
            -1 => self.signal_everybody(task, signal),
            i32::MIN..-1 => self.signal_group(task, "kill", pid),
            _ => self.control(task, "kill", pid),
        }
    }

    fn signal_group(&mut self, task: Task, call: &str, negative: i32) -> Result<Answer, Errno> {
        let group = negative.unsigned_abs().cast_signed();
        let members = tree::group(group);
        if members.iter().any(|member| self.is_inside(*member))
            && !members.iter().any(|m| self.is_own(*m))
        {
            return Ok(Answer::Continue);
        }
        match members.is_empty() {
            true => Err(libc::ESRCH),
            false => self.refuse_control(task, call, group),
        }
    }

    /// Whom the kernel signals about a file: a process, a negative group, or nobody.
    pub(super) fn signal_owner(
        &mut self,
        task: Task,
        call: &str,
        owner: i32,
    ) -> Result<Answer, Errno> {
        match owner {
            i32::MIN..0 => self.signal_group(task, call, owner),
            _ => self.control(task, call, owner),
        }
    }

    /// The same of an owner in memory. Should it change after the look, Landlock still keeps
    /// signals inside the command's own tree, of which we are not a part (ABI 6).
    pub(super) fn own(&mut self, task: Task, call: &str, at: u64) -> Result<Answer, Errno> {
        let mut owner = [0; 4];
        task.read(at, &mut owner)?;
        self.still_waits()?;
        self.signal_owner(task, call, i32::from_ne_bytes(owner))
    }

    /// Tracing, reading and changing another process: refused of the command's own as well, since
    /// ours is among them.
    pub(super) fn touch(&mut self, task: Task, call: &str, pid: i32) -> Result<Answer, Errno> {
        if pid == 0 || pid == task.tid || self.is_inside(pid) {
            return self.refuse(task, call, Some(pid.to_string()), libc::EPERM);
        }
        if pid < 0 || tree::parent_of(pid).is_none() {
            return Err(libc::ESRCH);
        }
        self.refuse_control(task, call, pid)
    }

    /// The same of a process that is held by a descriptor.
    pub(super) fn touch_held(&mut self, task: Task, call: &str, fd: i32) -> Result<Answer, Errno> {
        match task.process_behind(fd) {
            Some(pid) if !self.is_inside(pid) && tree::parent_of(pid).is_some() => {
                self.refuse_control(task, call, pid)
            }
            _ => self.refuse(task, call, None, libc::EPERM),
        }
    }

    /// The kernel would count us among everybody.
    fn signal_everybody(&mut self, task: Task, signal: i32) -> Result<Answer, Errno> {
        let own = task.process();
        let mut found = false;
        for pid in tree::descendants() {
            // As in kill(2), the caller itself is left out.
            if self.is_own(pid) || Some(pid) == own {
                continue;
            }
            // SAFETY: the call takes numbers; the process is below us.
            found |= unsafe { libc::kill(pid, signal) } == 0;
        }
        match found {
            true => Ok(Answer::Value(0)),
            false => Err(libc::ESRCH),
        }
    }

    /// Whether the command has more processes and threads than any needs: it has to be ended then,
    /// and that is recorded.
    pub(in super::super) fn has_too_many(&mut self, first: i32) -> bool {
        if self.rules.tasks.is_some() {
            return false;
        }
        // What the machine has is quickly asked, and is what the command has at the least.
        let everywhere = rustix::system::sysinfo().procs;
        if u64::from(everywhere) <= TASKS || tree::population() <= TASKS {
            return false;
        }
        let request = ResourceLimit {
            resource: Resource::Processes,
            limit: TASKS,
        };
        let refused = self.permit(Task { tid: first }, request.view(), libc::EAGAIN);
        refused.is_err()
    }

    /// A new process or thread.
    pub(super) fn population(&mut self, task: Task) -> Result<Answer, Errno> {
        let Some(limit) = self.rules.tasks else {
            return Ok(Answer::Continue);
        };
        if self.tasks >= limit {
            // What has ended since the last count makes room.
            self.tasks = tree::population();
        }
        if self.tasks >= limit {
            let request = ResourceLimit {
                resource: Resource::Processes,
                limit,
            };
            self.permit(task, request.view(), libc::EAGAIN)?;
        }
        self.tasks += 1;
        Ok(Answer::Continue)
    }
}
