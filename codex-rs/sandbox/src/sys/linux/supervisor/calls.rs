//! The calls that the supervisor acts on, by their numbers.

use super::super::numbers::{self, Found};

macro_rules! calls {
    ($($variant:ident = $name:literal,)+) => {
        /// A system call that is acted on. Others that come are refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Call { $($variant,)+ }

        const CALLS: &[(&str, Call)] = &[$(($name, Call::$variant),)+];
    };
}

calls! {
    Bind = "bind",
    Capset = "capset",
    Chmod = "chmod",
    Chown = "chown",
    Clone = "clone",
    Clone3 = "clone3",
    Connect = "connect",
    Creat = "creat",
    Execve = "execve",
    Execveat = "execveat",
    Fchmod = "fchmod",
    Fchmodat = "fchmodat",
    Fchmodat2 = "fchmodat2",
    Fchown = "fchown",
    Fchownat = "fchownat",
    Fcntl = "fcntl",
    Fork = "fork",
    Fremovexattr = "fremovexattr",
    Fsetxattr = "fsetxattr",
    Futimesat = "futimesat",
    Ioctl = "ioctl",
    IoprioSet = "ioprio_set",
    Kcmp = "kcmp",
    Kill = "kill",
    Lchown = "lchown",
    Link = "link",
    Linkat = "linkat",
    Lremovexattr = "lremovexattr",
    Lsetxattr = "lsetxattr",
    MigratePages = "migrate_pages",
    Mkdir = "mkdir",
    Mkdirat = "mkdirat",
    Mknod = "mknod",
    Mknodat = "mknodat",
    Mmap = "mmap",
    MovePages = "move_pages",
    Open = "open",
    Openat = "openat",
    Openat2 = "openat2",
    PidfdGetfd = "pidfd_getfd",
    PidfdOpen = "pidfd_open",
    Prctl = "prctl",
    Prlimit = "prlimit64",
    ProcessMadvise = "process_madvise",
    ProcessMrelease = "process_mrelease",
    ProcessVmReadv = "process_vm_readv",
    ProcessVmWritev = "process_vm_writev",
    Ptrace = "ptrace",
    Removexattr = "removexattr",
    Rename = "rename",
    Renameat = "renameat",
    Renameat2 = "renameat2",
    Rmdir = "rmdir",
    RtSigqueueinfo = "rt_sigqueueinfo",
    RtTgsigqueueinfo = "rt_tgsigqueueinfo",
    SchedSetaffinity = "sched_setaffinity",
    SchedSetattr = "sched_setattr",
    SchedSetparam = "sched_setparam",
    SchedSetscheduler = "sched_setscheduler",
    Sendmmsg = "sendmmsg",
    Sendmsg = "sendmsg",
    Sendto = "sendto",
    Setfsgid = "setfsgid",
    Setfsuid = "setfsuid",
    Setgid = "setgid",
    Setgroups = "setgroups",
    Setns = "setns",
    Setpriority = "setpriority",
    Setregid = "setregid",
    Setresgid = "setresgid",
    Setresuid = "setresuid",
    Setreuid = "setreuid",
    Setuid = "setuid",
    Setxattr = "setxattr",
    Socket = "socket",
    Socketpair = "socketpair",
    Symlink = "symlink",
    Symlinkat = "symlinkat",
    Tgkill = "tgkill",
    Tkill = "tkill",
    Truncate = "truncate",
    Umask = "umask",
    Unlink = "unlink",
    Unlinkat = "unlinkat",
    Unshare = "unshare",
    Utime = "utime",
    Utimensat = "utimensat",
    Utimes = "utimes",
    Vfork = "vfork",
}

/// Calls by number.
pub(super) struct Calls(Vec<Option<Call>>);

impl Calls {
    pub(super) fn new() -> Self {
        let mut by_number = Vec::new();
        for (name, call) in CALLS {
            let Found::Number(number) = numbers::find(name) else {
                continue;
            };
            let at = number as usize;
            if by_number.len() <= at {
                by_number.resize(at + 1, None);
            }
            if let Some(place) = by_number.get_mut(at) {
                *place = Some(*call);
            }
        }
        Self(by_number)
    }

    pub(super) fn find(&self, number: i32) -> Option<Call> {
        self.0.get(usize::try_from(number).ok()?).copied().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_has_a_number_somewhere() {
        for (name, _) in CALLS {
            assert_ne!(numbers::find(name), Found::Unknown, "{name}");
        }
    }
}
