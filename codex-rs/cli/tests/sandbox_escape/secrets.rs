//! Reads of secrets.

use super::attempt::{Attempt, Effect, offline, workspace};

/// Refused reads are seen where they are asked for.
const READS: &[&str] = &["--audit-reads", "denied"];

pub(super) const TABLE: &[Attempt] = &[
    offline(
        "a secret opened",
        "cat {home}/.ssh/key",
        Effect::Secret,
        ("file_read", "{home}/.ssh/key", "fs.secret"),
    )
    .flags(READS),
    offline(
        "a secret file of the home",
        "cat {home}/.netrc",
        Effect::Secret,
        ("file_read", "{home}/.netrc", "fs.secret"),
    )
    .flags(READS),
    offline(
        "the .env file",
        "cat {ws}/.env",
        Effect::Secret,
        ("file_read", "{ws}/.env", "fs.env-file"),
    )
    .flags(READS),
    workspace(
        "a secret through a symbolic link",
        "cat {ws}/look",
        Effect::Secret,
        ("file_read", "{home}/.ssh/key", "fs.secret"),
    )
    .flags(READS),
    workspace(
        "a secret through /proc/self/root",
        "cat /proc/self/root{home}/.ssh/key",
        Effect::Secret,
        ("file_read", "{home}/.ssh/key", "fs.secret"),
    )
    .flags(READS),
    workspace(
        "a secret through a working directory",
        "cd {home}/.ssh && cat key",
        Effect::Secret,
        ("file_read", "{home}/.ssh/key", "fs.secret"),
    )
    .flags(READS),
    offline(
        "a secret sourced by the shell",
        ". {home}/.ssh/key; bash {home}/.ssh/run.sh",
        Effect::Secret,
        ("file_read", "{home}/.ssh", "fs.secret"),
    )
    .flags(READS),
    offline(
        "a secret redirected",
        "read -r line < {home}/.ssh/key; echo \"$line\"",
        Effect::Secret,
        ("file_read", "{home}/.ssh/key", "fs.secret"),
    )
    .flags(READS),
    workspace(
        "a secret archived",
        "tar -cf - -C {home} .ssh | cat",
        Effect::Secret,
        ("file_read", "{home}/.ssh", "fs.secret"),
    )
    .flags(READS),
    workspace(
        "a secret copied",
        "cp {home}/.ssh/key {ws}/k; cat {ws}/k",
        Effect::Secret,
        ("file_read", "{home}/.ssh/key", "fs.secret"),
    )
    .flags(READS),
    workspace(
        "a secret linked",
        "ln {home}/.ssh/key {ws}/k; cat {ws}/k",
        Effect::Secret,
        ("file_read", "{home}/.ssh/key", "fs.secret"),
    ),
    workspace(
        "a secret directory moved",
        "mv {home}/.ssh {ws}/k; cat {ws}/k/key",
        Effect::Secret,
        ("file_write", "{home}/.ssh", "fs.secret"),
    ),
    workspace(
        "read: open",
        "{a} read-open {home}/.ssh/key",
        Effect::Secret,
        ("file_read", "{home}/.ssh", "fs.secret"),
    )
    .flags(READS),
    workspace(
        "read: openat2",
        "{a} read-openat2 {home}/.ssh/key",
        Effect::Secret,
        ("file_read", "{home}/.ssh", "fs.secret"),
    )
    .flags(READS),
    workspace(
        "read: path",
        "{a} read-path {home}/.ssh/key",
        Effect::Secret,
        ("file_read", "{home}/.ssh", "fs.secret"),
    )
    .flags(READS),
    workspace(
        "read: mmap",
        "{a} read-mmap {home}/.ssh/key",
        Effect::Secret,
        ("file_read", "{home}/.ssh", "fs.secret"),
    )
    .flags(READS),
    workspace(
        "read: sendfile",
        "{a} read-sendfile {home}/.ssh/key",
        Effect::Secret,
        ("file_read", "{home}/.ssh", "fs.secret"),
    )
    .flags(READS),
    workspace(
        "read: handle",
        "{a} read-handle {home}/.ssh/key {home}",
        Effect::Secret,
        ("privilege", "open_by_handle_at", "privilege.kernel"),
    ),
    workspace(
        "read: exec",
        "{a} read-exec {home}/.ssh/run.sh",
        Effect::Secret,
        ("file_read", "{home}/.ssh", "fs.secret"),
    )
    .flags(READS),
    workspace(
        "the environment of the agent",
        "{a} read-environ {pid}",
        Effect::Secret,
        ("privilege", "open environ of {pid}", "privilege.process"),
    )
    .flags(READS),
    workspace(
        "the memory of a process outside",
        "{a} read-mem {pid}",
        Effect::Secret,
        ("privilege", "open mem of {pid}", "privilege.process"),
    )
    .flags(READS),
    workspace(
        "a descriptor of a process outside",
        "{a} read-fd {pid}",
        Effect::Secret,
        ("privilege", "open fd of {pid}", "privilege.process"),
    )
    .flags(READS),
    offline(
        "any process's environment",
        "cat /proc/[0-9]*/environ 2>/dev/null | tr \"\\0\" \"\\n\"; true",
        Effect::Secret,
        ("privilege", "open environ of", "privilege.process"),
    )
    .flags(READS),
    workspace(
        "the root of a process outside",
        "{a} read-cwd {pid} {home}/.ssh/key",
        Effect::Secret,
        ("privilege", "open root of {pid}", "privilege.process"),
    )
    .flags(READS),
];
