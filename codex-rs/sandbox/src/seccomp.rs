//! The seccomp part of a plan, as data: which system calls are refused or handed to the
//! supervisor, and when. Calls that the kernel gained after this table was written are refused as
//! unknown.
//!
//! Names, not numbers: numbers belong to an architecture and are looked up when the filter is
//! built.

use codex_protocol::security_profile::SecurityProfile;
use serde::{Deserialize, Serialize};

/// The error that a refused call gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// "Operation not permitted".
    Eperm,
    /// "Permission denied".
    Eacces,
    /// "Function not implemented": libraries then try an older call.
    Enosys,
    /// "Address family not supported": resolvers then go on without netlink.
    Eafnosupport,
}

/// When a call is refused, by one of its arguments. Values are compared as 32 bits: all
/// arguments named here are `int` or flags of that width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum When {
    /// Always.
    Always,
    /// If the argument with this index equals the value.
    Equals(u32, u32),
    /// If it does not.
    Differs(u32, u32),
    /// If the argument with this index, all 64 bits of it, is not zero: a pointer to something.
    NotNull(u32),
    /// If the one argument has any of the bits and the other, which is an `int`, is not negative:
    /// index, bits, index of the other.
    HasAnyOfFile(u32, u32, u32),
    /// If it has any of these bits.
    HasAny(u32, u32),
    /// If those of its bits that are in the mask, the second number, equal the third.
    Masked(u32, u32, u32),
}

/// What becomes of a call that a rule fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Then {
    /// It fails with the rule's error, and nobody sees it.
    Fail,
    /// The supervisor answers it; where it refuses what it acts on nowhere, with the rule's error.
    Ask,
}

/// One call that is not simply let through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// The call's name in the kernel's table.
    pub call: String,
    /// When the rule fits.
    pub when: When,
    /// What then happens.
    pub then: Then,
    /// With what error it is refused.
    pub refusal: Refusal,
}

/// A filter; what it has no rule for and what was known when it was written is let through.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// Looked at in order; the first that fits answers.
    pub rules: Vec<Rule>,
    /// Whether the supervisor is asked: calls of other entries and unknown ones then go to it, to
    /// be recorded. Else they fail as if the kernel did not have them.
    pub supervised: bool,
}

/// What a filter depends on beside the profile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watching {
    /// There is a supervisor to ask.
    pub supervisor: bool,
    /// It is to see refused reads too.
    pub reads: bool,
    /// It is to count processes.
    pub processes: bool,
}

/// Namespace flags of `clone`: `CLONE_NEWTIME` to `CLONE_NEWNET`, header `linux/sched.h`.
const NAMESPACE_FLAGS: u32 = 0x7e02_0080;
/// `PRIO_PROCESS`, header `linux/resource.h`.
const PRIO_PROCESS: u32 = 0;
/// `IOPRIO_WHO_PROCESS`, header `linux/ioprio.h`.
const IOPRIO_WHO_PROCESS: u32 = 1;
/// `SOCK_TYPE_MASK` and `SOCK_DGRAM`, header `linux/net.h`.
const SOCKET_TYPE: u32 = 0xf;
const SOCK_DGRAM: u32 = 2;
/// `AF_NETLINK`, header `linux/socket.h`.
const AF_NETLINK: u32 = 16;
/// `SOCK_RAW`, which for unix sockets means datagrams as well (`unix_create`, `net/unix`).
const SOCK_RAW: u32 = 3;
/// `AF_UNIX`, header `linux/socket.h`.
const AF_UNIX: u32 = 1;
/// `PROT_EXEC`, header `asm-generic/mman-common.h`.
const PROT_EXEC: u32 = 4;
/// `PR_SET_DUMPABLE`, header `linux/prctl.h`.
const PR_SET_DUMPABLE: u32 = 4;
/// `F_SETOWN`, `F_SETSIG`, `F_SETOWN_EX` and `F_SETLEASE`, header `linux/fcntl.h`: the first three
/// have the kernel send a signal to a process, the last makes whoever opens a file wait.
const FILE_CONTROLS: [u32; 4] = [8, 10, 15, 1024];
/// `FIOSETOWN` and `SIOCSPGRP`, header `asm-generic/sockios.h`: the same as `F_SETOWN`.
const OWNER_CONTROLS: [u32; 2] = [0x8901, 0x8902];
/// Flags with which an open can write: access mode, `O_CREAT`, `O_TRUNC`.
const WRITING: u32 = 0o3 | 0o100 | 0o1000;

/// `ioctl` codes that are refused, and whether they type into a terminal or drive it; the others
/// change what a file is, or make and remove trees, with no right to write and past Landlock. A
/// snapshot shows secrets under another name. Headers `linux/fs.h`, `linux/btrfs.h`.
const CONTROLS: &[(u32, &str, bool)] = &[
    (0x5412, "TIOCSTI", true),
    (0x541c, "TIOCLINUX", true),
    (0x5423, "TIOCSETD", true),
    (0x4008_6602, "FS_IOC_SETFLAGS", false),
    (0x401c_5820, "FS_IOC_FSSETXATTR", false),
    (0x4008_7602, "FS_IOC_SETVERSION", false),
    (0x4080_6685, "FS_IOC_ENABLE_VERITY", false),
    (0x800c_6613, "FS_IOC_SET_ENCRYPTION_POLICY", false),
    (0x5000_9401, "BTRFS_IOC_SNAP_CREATE", false),
    (0x5000_940e, "BTRFS_IOC_SUBVOL_CREATE", false),
    (0x5000_940f, "BTRFS_IOC_SNAP_DESTROY", false),
    (0x5000_9417, "BTRFS_IOC_SNAP_CREATE_V2", false),
    (0x5000_9418, "BTRFS_IOC_SUBVOL_CREATE_V2", false),
    (0x4008_941a, "BTRFS_IOC_SUBVOL_SETFLAGS", false),
    (0x5000_943f, "BTRFS_IOC_SNAP_DESTROY_V2", false),
];

/// The name of a refused `ioctl` code, and whether it drives a terminal.
pub(crate) fn control(code: u32) -> Option<(&'static str, bool)> {
    let (_, name, types) = CONTROLS.iter().find(|(known, ..)| *known == code)?;
    Some((name, *types))
}

/// Namespace flags by name, header `linux/sched.h`.
const NAMESPACES: &[(u32, &str)] = &[
    (0x80, "CLONE_NEWTIME"),
    (0x2_0000, "CLONE_NEWNS"),
    (0x200_0000, "CLONE_NEWCGROUP"),
    (0x400_0000, "CLONE_NEWUTS"),
    (0x800_0000, "CLONE_NEWIPC"),
    (0x1000_0000, "CLONE_NEWUSER"),
    (0x2000_0000, "CLONE_NEWPID"),
    (0x4000_0000, "CLONE_NEWNET"),
];

/// The namespace flags among these bits, by name. `None` where there are none.
pub(crate) fn names_of_bits(bits: u32) -> Option<String> {
    let names = NAMESPACES.iter().filter(|(bit, _)| bits & bit != 0);
    let names: Vec<&str> = names.map(|(_, name)| *name).collect();
    (!names.is_empty()).then(|| names.join("|"))
}

/// Calls that reach kernel surface which no command of an agent needs.
const PRIVILEGED: &[&str] = &[
    "acct",
    "add_key",
    "adjtimex",
    "bpf",
    "chroot",
    "clock_adjtime",
    "clock_settime",
    "delete_module",
    "fanotify_init",
    "finit_module",
    "fsconfig",
    "fsmount",
    "fsopen",
    "fspick",
    "init_module",
    "ioperm",
    "iopl",
    "kcmp",
    "kexec_file_load",
    "kexec_load",
    "keyctl",
    "lookup_dcookie",
    "migrate_pages",
    "modify_ldt",
    "mount",
    "mount_setattr",
    "move_mount",
    "move_pages",
    "nfsservctl",
    "open_by_handle_at",
    "open_tree",
    "open_tree_attr",
    "perf_event_open",
    "pidfd_getfd",
    "pivot_root",
    "process_madvise",
    "process_mrelease",
    "process_vm_readv",
    "process_vm_writev",
    "ptrace",
    "quotactl",
    "quotactl_fd",
    "reboot",
    "request_key",
    "setdomainname",
    "sethostname",
    "setns",
    "settimeofday",
    "swapoff",
    "swapon",
    "syslog",
    "umount2",
    "unshare",
    "userfaultfd",
    "vhangup",
];

/// Calls whose absence libraries take as that of an older kernel, and then make an older one,
/// whose arguments a filter can see. The supervisor looks whether they ask for what is refused.
const ABSENT: &[&str] = &["clone3", "openat2"];

/// Calls that carry out others unseen.
const UNSEEN: &[&str] = &["io_uring_setup", "io_uring_enter", "io_uring_register"];

/// Calls that make, change and remove names. Where there is no supervisor, Landlock alone judges
/// them.
const NAMES: &[&str] = &[
    "creat",
    "link",
    "linkat",
    "mkdir",
    "mkdirat",
    "mknod",
    "mknodat",
    "rename",
    "renameat",
    "renameat2",
    "rmdir",
    "symlink",
    "symlinkat",
    "truncate",
    "umask",
    "unlink",
    "unlinkat",
];

/// Calls that reach a process by its number.
const SIGNALS: &[&str] = &[
    "kill",
    "pidfd_open",
    "rt_sigqueueinfo",
    "rt_tgsigqueueinfo",
    "tgkill",
    "tkill",
];

/// Changes of user, groups and capabilities. The kernel refuses them by itself, unseen, to whom has
/// no capability.
const IDENTITY: &[&str] = &[
    "capset",
    "setfsgid",
    "setfsuid",
    "setgid",
    "setgroups",
    "setregid",
    "setresgid",
    "setresuid",
    "setreuid",
    "setuid",
];

/// Memory and messages shared by name with processes outside.
const SHARED_BY_NAME: &[&str] = &[
    "mq_getsetattr",
    "mq_notify",
    "mq_open",
    "mq_timedreceive",
    "mq_timedsend",
    "mq_unlink",
    "msgctl",
    "msgget",
    "msgrcv",
    "msgsnd",
    "semctl",
    "semget",
    "semop",
    "semtimedop",
    "shmat",
    "shmctl",
    "shmdt",
    "shmget",
];

/// Changes of owner, mode, times and attributes, none of which Landlock governs.
const METADATA: &[&str] = &[
    "chmod",
    "chown",
    "fchmod",
    "fchmodat",
    "fchmodat2",
    "fchown",
    "fchownat",
    "fremovexattr",
    "fsetxattr",
    "futimesat",
    "lchown",
    "lremovexattr",
    "lsetxattr",
    "removexattr",
    "setxattr",
    "utime",
    "utimensat",
    "utimes",
];

/// Metadata calls too new for anything to depend on them.
const NEW_METADATA: &[&str] = &["file_setattr", "removexattrat", "setxattrat"];

/// The filter for a confined profile.
#[must_use]
pub fn filter(profile: SecurityProfile, watching: Watching) -> Filter {
    let mut rules = Rules {
        rules: Vec::new(),
        // What is refused in any case is recorded where somebody sees it.
        refused: match watching.supervisor {
            true => Then::Ask,
            false => Then::Fail,
        },
    };
    rules.refuse(PRIVILEGED, When::Always, Refusal::Eperm);
    rules.refuse(ABSENT, When::Always, Refusal::Enosys);
    rules.refuse(UNSEEN, When::Always, Refusal::Enosys);
    rules.refuse(SHARED_BY_NAME, When::Always, Refusal::Enosys);
    rules.refuse(&["clone"], When::HasAny(0, NAMESPACE_FLAGS), Refusal::Eperm);
    // Limits, processors and priority of another process; 0 means one's own. A thread that names
    // itself is refused too where nobody is asked: a filter cannot tell whose number it is.
    let own_is_first = [
        "prlimit64",
        "sched_setaffinity",
        "sched_setattr",
        "sched_setparam",
        "sched_setscheduler",
    ];
    rules.refuse(&own_is_first, When::Differs(0, 0), Refusal::Eperm);
    rules.refuse(
        &["setpriority"],
        When::Differs(0, PRIO_PROCESS),
        Refusal::Eperm,
    );
    rules.refuse(
        &["ioprio_set"],
        When::Differs(0, IOPRIO_WHO_PROCESS),
        Refusal::Eperm,
    );
    let own_is_second = ["setpriority", "ioprio_set"];
    rules.refuse(&own_is_second, When::Differs(1, 0), Refusal::Eperm);
    // A unix socket that takes an address with each message could name one outside, and be given
    // it after a look. A pair has no address, but datagrams can be sent from one end to any.
    rules.refuse(&["socketpair"], When::Differs(0, AF_UNIX), Refusal::Eacces);
    for datagrams in [SOCK_DGRAM, SOCK_RAW] {
        let when = When::Masked(1, SOCKET_TYPE, datagrams);
        rules.refuse(&["socketpair"], when, Refusal::Eacces);
    }
    // Memory that can be started as a program.
    if profile == SecurityProfile::Offline {
        rules.refuse(
            &["memfd_create", "memfd_secret"],
            When::Always,
            Refusal::Enosys,
        );
    }
    for (control, ..) in CONTROLS {
        rules.refuse(&["ioctl"], When::Equals(1, *control), Refusal::Eperm);
    }
    if watching.supervisor {
        watch(&mut rules, profile, watching);
    } else {
        rules.refuse(
            &["socket"],
            When::Equals(0, AF_NETLINK),
            Refusal::Eafnosupport,
        );
        rules.refuse(&["socket"], When::Always, Refusal::Eacces);
        // Where files may be written, so may their metadata, and a filter cannot see whose it is.
        if profile != SecurityProfile::WorkspaceWrite {
            rules.refuse(METADATA, When::Always, Refusal::Eperm);
            rules.refuse(NEW_METADATA, When::Always, Refusal::Eperm);
        }
    }
    Filter {
        rules: rules.rules,
        supervised: watching.supervisor,
    }
}

/// What is allowed or not by what it is about, which only the supervisor can see.
fn watch(rules: &mut Rules, profile: SecurityProfile, watching: Watching) {
    let when_opening = |flags| match watching.reads {
        true => When::Always,
        false => When::HasAny(flags, WRITING),
    };
    rules.refuse(&["open"], when_opening(1), Refusal::Eacces);
    rules.refuse(&["openat"], when_opening(2), Refusal::Eacces);
    rules.refuse(NAMES, When::Always, Refusal::Eacces);
    rules.refuse(METADATA, When::Always, Refusal::Eperm);
    rules.refuse(NEW_METADATA, When::Always, Refusal::Enosys);
    rules.refuse(SIGNALS, When::Always, Refusal::Eperm);
    rules.refuse(IDENTITY, When::Always, Refusal::Eperm);
    for control in OWNER_CONTROLS {
        rules.refuse(&["ioctl"], When::Equals(1, control), Refusal::Eperm);
    }
    for control in FILE_CONTROLS {
        rules.refuse(&["fcntl"], When::Equals(1, control), Refusal::Eperm);
    }
    rules.refuse(&["prctl"], When::Equals(0, PR_SET_DUMPABLE), Refusal::Eperm);
    rules.refuse(&["socket"], When::Differs(0, AF_UNIX), Refusal::Eacces);
    for datagrams in [SOCK_DGRAM, SOCK_RAW] {
        let when = When::Masked(1, SOCKET_TYPE, datagrams);
        rules.refuse(&["socket"], when, Refusal::Eacces);
    }
    rules.refuse(&["bind", "connect"], When::Always, Refusal::Eacces);
    rules.refuse(&["sendto"], When::NotNull(4), Refusal::Eacces);
    rules.refuse(&["sendmsg", "sendmmsg"], When::Always, Refusal::Eacces);
    // Starting a script or program reads it.
    if profile == SecurityProfile::Offline || watching.reads {
        rules.refuse(&["execve", "execveat"], When::Always, Refusal::Eacces);
    }
    if profile == SecurityProfile::Offline {
        rules.refuse(
            &["mmap"],
            When::HasAnyOfFile(2, PROT_EXEC, 4),
            Refusal::Eacces,
        );
    }
    if watching.processes {
        rules.refuse(&["clone", "fork", "vfork"], When::Always, Refusal::Eacces);
    }
}

struct Rules {
    rules: Vec<Rule>,
    refused: Then,
}

impl Rules {
    fn refuse(&mut self, calls: &[&str], when: When, refusal: Refusal) {
        self.add(calls, when, self.refused, refusal);
    }

    fn add(&mut self, calls: &[&str], when: When, then: Then, refusal: Refusal) {
        self.rules.extend(calls.iter().map(|call| Rule {
            call: (*call).to_owned(),
            when,
            then,
            refusal,
        }));
    }
}
