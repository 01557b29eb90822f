//! Programs that are not on the list.

use super::attempt::{Attempt, Effect, offline};

pub(super) const TABLE: &[Attempt] = &[
    offline(
        "an unlisted program as the command",
        "{tool} ran",
        Effect::Ran,
        ("process_spawn", "{tool}", "exec.unlisted"),
    )
    .direct(),
    offline(
        "an unlisted program",
        "{tool} ran",
        Effect::Ran,
        ("process_spawn", "{tool}", "exec.unlisted"),
    ),
    offline(
        "a symbolic link to one",
        "{ws}/tool-link ran",
        Effect::Ran,
        ("process_spawn", "{tool}", "exec.unlisted"),
    ),
    offline(
        "a script of one",
        "{ws}/script.tool ran",
        Effect::Ran,
        ("process_spawn", "{ws}/script.tool", "exec.unlisted"),
    ),
    offline(
        "a granted script of one",
        "{ws}/script.tool ran",
        Effect::Ran,
        ("process_spawn", "{tool}", "exec.unlisted"),
    )
    .flags(&["--allow-exec", "{ws}/script.tool"]),
    offline(
        "env -S",
        "env -S \"{tool} ran\"",
        Effect::Ran,
        ("process_spawn", "{tool}", "exec.unlisted"),
    ),
    offline(
        "xargs",
        "echo ran | xargs {tool}",
        Effect::Ran,
        ("process_spawn", "{tool}", "exec.unlisted"),
    ),
    offline(
        "find -exec",
        "find {ws}/f -exec {tool} ran \\;",
        Effect::Ran,
        ("process_spawn", "{tool}", "exec.unlisted"),
    ),
    offline(
        "exec of the shell",
        "exec {tool} ran",
        Effect::Ran,
        ("process_spawn", "{tool}", "exec.unlisted"),
    ),
    offline(
        "another argv[0]",
        "exec -a sh {tool} ran",
        Effect::Ran,
        ("process_spawn", "{tool}", "exec.unlisted"),
    ),
    offline(
        "a git alias",
        "cd {ws}; git -c \"alias.x=!{tool} ran\" x",
        Effect::Ran,
        ("process_spawn", "{tool}", "exec.unlisted"),
    ),
    offline(
        "a git diff driver",
        "cd {ws}; GIT_EXTERNAL_DIFF=\"{tool} ran\" git diff --no-index f script.tool",
        Effect::Ran,
        ("process_spawn", "{tool}", "exec.unlisted"),
    ),
    offline(
        "awk system",
        "awk \"BEGIN { system(\\\"{tool} ran\\\") }\"",
        Effect::Ran,
        ("process_spawn", "{tool}", "exec.unlisted"),
    ),
    offline(
        "sed e",
        "echo x | sed \"1e {tool} ran\"",
        Effect::Ran,
        ("process_spawn", "{tool}", "exec.unlisted"),
    ),
    offline(
        "the dynamic loader",
        "$(ls /lib64/ld-linux-* /lib/ld-linux-* 2>/dev/null | head -n 1) {tool} ran",
        Effect::Ran,
        ("process_spawn", "/ld-linux-", "exec.unlisted"),
    ),
    offline(
        "a memfd",
        "{a} exec-memfd {tool}",
        Effect::Ran,
        ("privilege", "memfd_create", "privilege.kernel"),
    ),
    offline(
        "a memfd by its name",
        "{a} exec-memfd {tool} x",
        Effect::Ran,
        ("privilege", "memfd_create", "privilege.kernel"),
    ),
    offline(
        "execveat of a descriptor",
        "{a} exec-empty-path {tool}",
        Effect::Ran,
        ("process_spawn", "{tool}", "exec.unlisted"),
    ),
    offline(
        "/proc/self/fd",
        "{a} exec-proc-fd {tool}",
        Effect::Ran,
        ("process_spawn", "{tool}", "exec.unlisted"),
    ),
    offline(
        "fork and exec",
        "{a} fork-exec {tool}",
        Effect::Ran,
        ("process_spawn", "{tool}", "exec.unlisted"),
    ),
    offline(
        "LD_PRELOAD set in the shell",
        "LD_PRELOAD={lib} cat /dev/null",
        Effect::Ran,
        ("process_spawn", "{lib}", "exec.unlisted"),
    ),
    offline(
        "enable -f",
        "enable -f {lib} nothing; true",
        Effect::Ran,
        ("process_spawn", "{lib}", "exec.unlisted"),
    ),
    offline(
        "code mapped from a file",
        "{a} exec-map {tool}",
        Effect::Exit,
        ("process_spawn", "{tool}", "exec.unlisted"),
    ),
    offline(
        "an interpreter as the command",
        "perl -e 1",
        Effect::Exit,
        ("process_spawn", "perl", "exec.unlisted"),
    )
    .direct(),
    offline(
        "an interpreter in a shell",
        "echo 'print(1)' | perl -e 1",
        Effect::Exit,
        ("process_spawn", "perl", "exec.unlisted"),
    ),
    offline(
        "bash -c 'python malicious.py'",
        "cd {ws}/../bin; PATH=$PWD:$PATH; bash -c 'python malicious.py'",
        Effect::Ran,
        ("process_spawn", "/bin/python", "exec.unlisted"),
    ),
];
