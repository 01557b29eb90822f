//! The process that stands over a command: codex's own helper, or whatever an agent is otherwise.

use super::attempt::{Attempt, Effect, workspace};

pub(super) const TABLE: &[Attempt] = &[
    workspace(
        "above: kill",
        "{a} above-kill",
        Effect::Exit,
        ("privilege", "kill ", "privilege.process"),
    ),
    workspace(
        "above: stop",
        "{a} above-stop",
        Effect::Exit,
        ("privilege", "kill ", "privilege.process"),
    ),
    workspace(
        "above: group",
        "{a} above-group",
        Effect::Exit,
        ("privilege", "kill ", "privilege.process"),
    ),
    workspace(
        "above: tkill",
        "{a} above-tkill",
        Effect::Exit,
        ("privilege", "tkill ", "privilege.process"),
    ),
    workspace(
        "above: tgkill",
        "{a} above-tgkill",
        Effect::Exit,
        ("privilege", "tgkill ", "privilege.process"),
    ),
    workspace(
        "above: sigqueue",
        "{a} above-sigqueue",
        Effect::Exit,
        ("privilege", "rt_sigqueueinfo ", "privilege.process"),
    ),
    workspace(
        "above: pidfd",
        "{a} above-pidfd",
        Effect::Exit,
        ("privilege", "pidfd_open ", "privilege.process"),
    ),
    workspace(
        "above: prlimit",
        "{a} above-prlimit",
        Effect::Exit,
        ("privilege", "prlimit ", "privilege.process"),
    ),
    workspace(
        "above: ptrace",
        "{a} above-ptrace",
        Effect::Exit,
        ("privilege", "ptrace ", "privilege.process"),
    ),
    workspace(
        "above: owner",
        "{a} above-owner",
        Effect::Exit,
        ("privilege", "fcntl(F_SETOWN) ", "privilege.process"),
    ),
    workspace(
        "above: owner-ex",
        "{a} above-owner-ex",
        Effect::Exit,
        ("privilege", "fcntl(F_SETOWN_EX) ", "privilege.process"),
    ),
    workspace(
        "above: siocspgrp",
        "{a} above-siocspgrp",
        Effect::Exit,
        ("privilege", "ioctl ", "privilege.process"),
    ),
    workspace(
        "above: nice",
        "{a} above-nice",
        Effect::Exit,
        ("privilege", "setpriority ", "privilege.process"),
    ),
    workspace(
        "above: memory",
        "{a} above-memory",
        Effect::Exit,
        ("file_write", "/mem", "fs.secret"),
    ),
    workspace(
        "above: score",
        "{a} above-score",
        Effect::Exit,
        ("file_write", "/oom_score_adj", "fs.outside"),
    ),
    workspace(
        "above: environ",
        "{a} above-environ",
        Effect::Exit,
        ("privilege", "open environ of ", "privilege.process"),
    )
    .flags(&["--audit-reads", "denied"]),
    workspace(
        "above: descriptors written",
        "{a} above-descriptors-write",
        Effect::Exit,
        ("privilege", "open fd of ", "privilege.process"),
    ),
    workspace(
        "above: descriptors",
        "{a} above-descriptors",
        Effect::Exit,
        ("privilege", "open fd of ", "privilege.process"),
    )
    .flags(&["--audit-reads", "denied"]),
];
