//! What the attempts come to on machines that enforce less, declared: a difference fails either
//! way.

use super::attempt::{Attempt, Profile};

/// What an attempt comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Comes {
    /// It has no effect, and the log has the denial just as on a machine that enforces all.
    Recorded,
    /// It has no effect. The log does not have it, or not with its target.
    Unseen,
    /// It has its effect.
    Through,
    /// The profile cannot be enforced there: no command starts.
    Refused,
}

/// A machine.
pub(super) struct Rung {
    pub(super) name: &'static str,
    /// The features that it lacks, in the words of `outer_filter.c`.
    pub(super) lacks: &'static [&'static str],
    /// The version of Landlock, if not this machine's.
    pub(super) landlock: Option<u32>,
    /// The level of the Offline profile there.
    pub(super) offline: &'static str,
    /// The level of the WorkspaceWrite profile there.
    pub(super) workspace_write: &'static str,
    /// What most attempts come to.
    pub(super) usual: Comes,
    /// What others do, each list by name.
    pub(super) others: &'static [(Comes, &'static [&'static str])],
}

impl Rung {
    /// What this attempt comes to.
    pub(super) fn declared(&self, attempt: &Attempt) -> Comes {
        if self.level(attempt.profile).is_none() {
            return Comes::Refused;
        }
        let others = self.others.iter();
        let mut named = others.filter(|(_, names)| names.contains(&attempt.name));
        named.next().map_or(self.usual, |(comes, _)| *comes)
    }

    /// The level of a profile there. `None` where it is refused: the way to the egress proxy and to
    /// nothing else needs a network namespace and the supervisor.
    pub(super) fn level(&self, profile: Profile) -> Option<&'static str> {
        let needed = ["seccomp", "user-namespaces", "user-notification"];
        match profile {
            Profile::Offline => Some(self.offline),
            Profile::WorkspaceWrite => Some(self.workspace_write),
            Profile::NetReadOnly => {
                let lacks = self.lacks.iter().any(|feature| needed.contains(feature));
                (!lacks).then_some(self.workspace_write)
            }
        }
    }
}

/// An older Landlock beside a supervisor: what Landlock lacks, the supervisor sees to.
const fn landlock(name: &'static str, abi: u32, level: &'static str) -> Rung {
    Rung {
        name,
        lacks: &[],
        landlock: Some(abi),
        offline: level,
        workspace_write: level,
        usual: Comes::Recorded,
        others: &[],
    }
}

const fn lacking(
    name: &'static str,
    lacks: &'static [&'static str],
    level: &'static str,
    usual: Comes,
    others: &'static [(Comes, &'static [&'static str])],
) -> Rung {
    Rung {
        name,
        lacks,
        landlock: None,
        offline: level,
        workspace_write: level,
        usual,
        others,
    }
}

/// Nothing is denied here that has to be recorded, or the gate itself decides before anything
/// starts.
const NEEDS_NO_SUPERVISOR: &[&str] = &[
    "BASH_ENV from outside",
    "a daemon by a double fork",
    "a listener of one's own",
    "a secret variable",
    "a survivor by setsid",
    "an interpreter as the command",
    "an unlisted program as the command",
    "memory without a bound",
    "nohup",
];

/// Landlock takes nothing out of a tree that may be written.
const PROTECTED_PATHS: &[&str] = &[
    ".git exchanged",
    ".git moved away",
    "a git hook",
    "a git hook by link",
    "a git hook by rename",
    "a git hook by symbolic link",
    "a hook made executable",
    "a hook through a renamed parent",
    "a protected directory by rename",
    "a protected directory by symbolic link",
    "git attributes",
    "git config by an alias that runs",
    "git config by its lock",
    "git config of a worktree",
    "git config written",
    "protected: .cargo/config.toml",
    "protected: .claude/settings.json",
    "protected: .codex/config.toml",
    "protected: .cursor/mcp.json",
    "protected: .devcontainer/devcontainer.json",
    "protected: .envrc",
    "protected: .husky/pre-commit",
    "protected: .idea/workspace.xml",
    "protected: .mcp.json",
    "protected: .vscode/tasks.json",
    "race: a protected path",
    "race: a removal of a hook",
    "race: a symbolic link to a hook",
    "race: the new name of a rename",
    "the config of a nested repository",
    "the hook directory replaced",
    "the hook of a nested repository",
];

/// Landlock has no right for metadata, and the filter alone sees no path.
const METADATA: &[&str] = &[
    "file: chmod",
    "file: chown",
    "file: fchmod",
    "file: fchmodat2",
    "file: fsetxattr",
    "file: lchown",
    "file: lease",
    "file: setxattr",
    "file: utimes",
    "race: a change of mode",
    "race: a change of times",
];

/// Landlock lets the loader start, which it has to, and no rule of it is about code in memory.
const LOADED_CODE: &[&str] = &[
    "LD_PRELOAD set in the shell",
    "code mapped from a file",
    "enable -f",
    "the dynamic loader",
];

/// The call itself succeeds; nothing outside is reached with what it gives, since Landlock's scope
/// keeps signals in.
const HARMLESS_CALLS: &[&str] = &[
    "above: group",
    "above: owner",
    "above: owner-ex",
    "above: pidfd",
    "above: siocspgrp",
];

/// Recorded without the address, which is named only to a socket that there is; and a kernel
/// that makes no user namespaces refuses them before codex sees the call.
const WITHOUT_NAMESPACES: &[&str] = &[
    "a DNS look-up",
    "a TCP connect",
    "a host that is not this one",
    "kernel: clone-user",
    "kernel: clone3",
    "kernel: usernet",
    "kernel: userns",
    "network: any",
    "network: async",
    "network: fastopen",
    "network: fastopen-connect",
    "network: mapped",
    "network: mptcp",
    "network: sendmmsg",
    "network: sendmsg",
    "network: tcp4",
    "network: tcp6",
    "network: udp-connect",
    "network: udp-sendto",
    "network: udp6",
    "race: a connect",
    "race: a message",
    "race: a send",
    "the shell sends UDP",
];

/// Landlock has rules for TCP alone, and scopes for abstract sockets.
const NETWORK: &[&str] = &[
    "a DNS look-up",
    "a descriptor handed outside",
    "a host that is not this one",
    "io_uring",
    "network: fastopen",
    "network: mptcp",
    "network: pair-dgram",
    "network: sendmmsg",
    "network: sendmsg",
    "network: udp-connect",
    "network: udp-sendto",
    "network: udp6",
    "network: unix",
    "network: unix-dgram",
    "network: unix-symlink",
    "race: a message",
    "race: a send",
    "race: a socket among the hooks",
    "race: a unix socket",
    "socket: netlink",
    "socket: udplite",
    "socket: uevent",
    "socket: vsock",
    "the shell sends UDP",
];

/// What only a filter refuses.
const KERNEL: &[&str] = &[
    "a memfd",
    "a memfd by its name",
    "above: prlimit",
    "file: flags",
    "file: fsxattr",
    "kernel: add-key",
    "kernel: clone-user",
    "kernel: clone3",
    "kernel: fanotify",
    "kernel: i386",
    "kernel: keyctl",
    "kernel: ldt",
    "kernel: msg",
    "kernel: perf",
    "kernel: prlimit",
    "kernel: quotactl",
    "kernel: request-key",
    "kernel: sem",
    "kernel: shm",
    "kernel: userfaultfd",
    "kernel: usernet",
    "kernel: userns",
];

/// What gets through where nobody is asked.
const UNSUPERVISED: &[(Comes, &[&str])] = &[
    (Comes::Recorded, NEEDS_NO_SUPERVISOR),
    (Comes::Through, PROTECTED_PATHS),
    (Comes::Through, METADATA),
    (Comes::Through, LOADED_CODE),
    (Comes::Through, HARMLESS_CALLS),
];

/// What gets through where there is no filter either.
const UNFILTERED: &[(Comes, &[&str])] = &[
    (Comes::Recorded, NEEDS_NO_SUPERVISOR),
    (Comes::Through, PROTECTED_PATHS),
    (Comes::Through, METADATA),
    (Comes::Through, LOADED_CODE),
    (Comes::Through, HARMLESS_CALLS),
    (Comes::Through, NETWORK),
    (Comes::Through, KERNEL),
];

/// What a filter that sees no paths and no addresses refuses by itself.
const FILTER_ALONE: &[&str] = &[
    "a DNS look-up",
    "a TCP connect",
    "a descriptor handed outside",
    "a descriptor of a process outside",
    "a host that is not this one",
    "a memfd",
    "a memfd by its name",
    "above: descriptors",
    "above: descriptors written",
    "above: environ",
    "above: memory",
    "above: nice",
    "above: prlimit",
    "above: ptrace",
    "any process's environment",
    "file: bind",
    "file: device",
    "file: flags",
    "file: fsxattr",
    "file: openat2",
    "file: openat2-beneath",
    "io_uring",
    "kernel: acct",
    "kernel: add-key",
    "kernel: affinity",
    "kernel: bpf",
    "kernel: capset",
    "kernel: chroot",
    "kernel: clone-user",
    "kernel: clone3",
    "kernel: fanotify",
    "kernel: fsopen",
    "kernel: hostname",
    "kernel: i386",
    "kernel: ioprio",
    "kernel: kcmp",
    "kernel: keyctl",
    "kernel: ldt",
    "kernel: madvise",
    "kernel: migrate",
    "kernel: mntns",
    "kernel: mount",
    "kernel: mq",
    "kernel: msg",
    "kernel: netns",
    "kernel: open-tree",
    "kernel: perf",
    "kernel: pidns",
    "kernel: priority",
    "kernel: prlimit",
    "kernel: quotactl",
    "kernel: read-pidfd",
    "kernel: read-ptrace",
    "kernel: reboot",
    "kernel: request-key",
    "kernel: scheduler",
    "kernel: seize",
    "kernel: sem",
    "kernel: setgroups",
    "kernel: setns",
    "kernel: setns-pidfd",
    "kernel: setuid",
    "kernel: shm",
    "kernel: syslog",
    "kernel: time",
    "kernel: tiocsti",
    "kernel: userfaultfd",
    "kernel: usernet",
    "kernel: userns",
    "kernel: vm-read",
    "kernel: vm-write",
    "network: abstract",
    "network: any",
    "network: async",
    "network: fastopen",
    "network: fastopen-connect",
    "network: mapped",
    "network: mptcp",
    "network: pair-dgram",
    "network: sendmmsg",
    "network: sendmsg",
    "network: tcp4",
    "network: tcp6",
    "network: udp-connect",
    "network: udp-sendto",
    "network: udp6",
    "network: unix",
    "network: unix-dgram",
    "network: unix-symlink",
    "race: a connect",
    "race: a message",
    "race: a send",
    "race: a socket among the hooks",
    "race: a unix socket",
    "race: the name of a socket",
    "read: handle",
    "read: openat2",
    "socket: netlink",
    "socket: packet",
    "socket: raw",
    "socket: raw6",
    "socket: udplite",
    "socket: uevent",
    "socket: vsock",
    "socket: xdp",
    "the environment of the agent",
    "the memory of a process outside",
    "the root of a process outside",
    "the shell sends UDP",
];

/// The machines, as `docs/sandbox-degradation.md` names what they lack. Where neither Landlock nor
/// seccomp is there no command starts: `ladder.rs` tries every way to start one.
pub(super) const RUNGS: &[Rung] = &[
    landlock("Landlock ABI 6", 6, "full"),
    landlock("Landlock ABI 5", 5, "partial"),
    landlock("Landlock ABI 4", 4, "partial"),
    landlock("Landlock ABI 3", 3, "partial"),
    landlock("Landlock ABI 2", 2, "partial"),
    landlock("Landlock ABI 1", 1, "partial"),
    lacking(
        "no user namespaces",
        &["user-namespaces"],
        "partial",
        Comes::Recorded,
        &[(Comes::Unseen, WITHOUT_NAMESPACES)],
    ),
    lacking(
        "no user notification",
        &["user-notification"],
        "partial",
        Comes::Unseen,
        UNSUPERVISED,
    ),
    lacking(
        "neither user notification nor user namespaces",
        &["user-notification", "user-namespaces"],
        "partial",
        Comes::Unseen,
        UNSUPERVISED,
    ),
    lacking(
        "no Landlock",
        &["landlock"],
        "minimum",
        Comes::Recorded,
        // The supervisor looks at the name of a program, and then the kernel does.
        &[(Comes::Through, &["race: a program"])],
    ),
    lacking(
        "no seccomp filters",
        &["seccomp"],
        "minimum",
        Comes::Unseen,
        UNFILTERED,
    ),
    lacking(
        "neither Landlock nor user notification",
        &["landlock", "user-notification"],
        "minimum",
        Comes::Through,
        &[
            (Comes::Recorded, NEEDS_NO_SUPERVISOR),
            (Comes::Unseen, FILTER_ALONE),
        ],
    ),
];
