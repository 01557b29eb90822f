//! What depends on the machine and on this version, declared: a difference fails, nothing skips.

/// The level that runs are enforced at. At `full`, the record of every denial is asserted.
pub(super) const LEVEL: &str = "partial";

/// What the bare machine refuses root, and how.
pub(super) const REFUSED_ROOT: &[(&str, &str)] = &[
    ("kernel: delete-module", "ENOSYS"),
    ("kernel: init-module", "ENOSYS"),
    ("kernel: ioperm", "ENOSYS"),
    ("kernel: iopl", "ENOSYS"),
    ("kernel: kexec", "ENOSYS"),
    ("kernel: pivot-root", "EBUSY"),
    ("kernel: swapon", "EINVAL"),
    ("kernel: tioclinux", "ENOTTY"),
    ("kernel: x32", "ENOSYS"),
    ("socket: alg", "EAFNOSUPPORT"),
    ("socket: bluetooth", "EAFNOSUPPORT"),
    ("socket: can", "EAFNOSUPPORT"),
    ("socket: icmp", "EACCES"),
    ("socket: key", "EAFNOSUPPORT"),
    ("socket: sctp", "EPROTONOSUPPORT"),
];

/// What the bare machine refuses an ordinary user, and how.
pub(super) const REFUSED_USER: &[(&str, &str)] = &[];

/// What still gets through. An entry that is held has to be taken off.
pub(super) const OPEN: &[&str] = &[
    "file: chmod",
    "file: fchmod",
    "file: fchmodat2",
    "file: chown",
    "file: lchown",
    "file: utimes",
    "file: setxattr",
    "file: fsetxattr",
    "a git hook",
    "a git hook by link",
    "the hook directory replaced",
    "a git hook by symbolic link",
    "a hook made executable",
    "git config written",
    "git config by its lock",
    "git config by an alias that runs",
    "git config of a worktree",
    "git attributes",
    ".git moved away",
    ".git exchanged",
    "the hook of a nested repository",
    "the config of a nested repository",
    "a hook through a renamed parent",
    "protected: .vscode/tasks.json",
    "protected: .envrc",
    "protected: .mcp.json",
    "protected: .claude/settings.json",
    "protected: .codex/config.toml",
    "protected: .cursor/mcp.json",
    "protected: .devcontainer/devcontainer.json",
    "protected: .idea/workspace.xml",
    "protected: .husky/pre-commit",
    "protected: .cargo/config.toml",
    "a protected directory by rename",
    "a protected directory by symbolic link",
    "network: pair-dgram",
    "the dynamic loader",
    "a memfd by its name",
    "a memfd",
    "LD_PRELOAD set in the shell",
    "enable -f",
    "code mapped from a file",
];

/// What still gets through now and then: races are not lost every time.
pub(super) const OPEN_RACES: &[&str] = &[
    "race: a protected path",
    "race: a symbolic link to a hook",
    "race: the new name of a rename",
    "race: a change of mode",
];
