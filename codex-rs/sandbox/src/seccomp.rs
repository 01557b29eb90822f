//! The seccomp part of a plan, as data: which system calls are refused, with what error, and
//! when. Calls that the kernel gained after this table was written are refused as unknown.
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
    /// If it has any of these bits.
    HasAny(u32, u32),
    /// If those of its bits that are in the mask, the second number, equal the third.
    Masked(u32, u32, u32),
}

/// One refused call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// The call's name in the kernel's table.
    pub call: String,
    /// When it is refused.
    pub when: When,
    /// With what error.
    pub refusal: Refusal,
}

/// A filter: what is refused; everything else that was known when it was written is allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// Looked at in order; the first that fits answers.
    pub rules: Vec<Rule>,
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
/// `TIOCSTI`, `TIOCLINUX` and `TIOCSETD`: they type into a terminal or change its driver.
const TERMINAL_CONTROLS: [u32; 3] = [0x5412, 0x541c, 0x5423];
/// `FS_IOC_SETFLAGS`, `FS_IOC_FSSETXATTR` and `FS_IOC_SETVERSION`, header `linux/fs.h`.
const FILE_FLAG_CONTROLS: [u32; 3] = [0x4008_6602, 0x401c_5820, 0x4008_7602];

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

/// Calls whose absence libraries take as that of an older kernel.
const ABSENT: &[&str] = &[
    "clone3",
    "io_uring_setup",
    "io_uring_enter",
    "io_uring_register",
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
    "file_setattr",
    "fremovexattr",
    "fsetxattr",
    "futimesat",
    "lchown",
    "lremovexattr",
    "lsetxattr",
    "removexattr",
    "removexattrat",
    "setxattr",
    "setxattrat",
    "utime",
    "utimensat",
    "utimes",
];

/// The filter for a confined profile.
#[must_use]
pub fn filter(profile: SecurityProfile) -> Filter {
    let mut rules = Vec::new();
    let mut refuse = |calls: &[&str], when: When, refusal: Refusal| {
        rules.extend(calls.iter().map(|call| Rule {
            call: (*call).to_owned(),
            when,
            refusal,
        }));
    };
    refuse(PRIVILEGED, When::Always, Refusal::Eperm);
    refuse(ABSENT, When::Always, Refusal::Enosys);
    refuse(SHARED_BY_NAME, When::Always, Refusal::Enosys);
    refuse(&["clone"], When::HasAny(0, NAMESPACE_FLAGS), Refusal::Eperm);
    // Limits, processors and priority of another process; 0 means one's own. A thread that names
    // itself is refused too: a filter cannot tell whose number it is.
    let own_is_first = [
        "prlimit64",
        "sched_setaffinity",
        "sched_setattr",
        "sched_setparam",
        "sched_setscheduler",
    ];
    refuse(&own_is_first, When::Differs(0, 0), Refusal::Eperm);
    refuse(
        &["setpriority"],
        When::Differs(0, PRIO_PROCESS),
        Refusal::Eperm,
    );
    refuse(
        &["ioprio_set"],
        When::Differs(0, IOPRIO_WHO_PROCESS),
        Refusal::Eperm,
    );
    let own_is_second = ["setpriority", "ioprio_set"];
    refuse(&own_is_second, When::Differs(1, 0), Refusal::Eperm);
    // One end of a pair of datagram sockets can send to any address by name.
    refuse(
        &["socketpair"],
        When::Masked(1, SOCKET_TYPE, SOCK_DGRAM),
        Refusal::Eacces,
    );
    // Memory that can be started as a program.
    if profile == SecurityProfile::Offline {
        refuse(
            &["memfd_create", "memfd_secret"],
            When::Always,
            Refusal::Enosys,
        );
    }
    for control in TERMINAL_CONTROLS.into_iter().chain(FILE_FLAG_CONTROLS) {
        refuse(&["ioctl"], When::Equals(1, control), Refusal::Eperm);
    }
    // A socket pair has no address, so only `socket` leads out. Sockets inside the sandbox come
    // with the supervisor, which can see where they lead.
    refuse(
        &["socket"],
        When::Equals(0, AF_NETLINK),
        Refusal::Eafnosupport,
    );
    refuse(&["socket"], When::Always, Refusal::Eacces);
    // Where files may be written, so may their metadata, and a filter cannot see whose it is.
    if profile != SecurityProfile::WorkspaceWrite {
        refuse(METADATA, When::Always, Refusal::Eperm);
    }
    Filter { rules }
}
