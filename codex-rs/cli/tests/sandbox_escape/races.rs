//! What changes while it is looked at, and what outlives a run.

use super::attempt::{Attempt, Effect, Profile, offline, silent, workspace};

pub(super) const TABLE: &[Attempt] = &[
    workspace(
        "race: a path outside",
        "{a} race-write {ws}/okayoka {out}/escap",
        Effect::Files,
        ("file_write", "{out}/escap", "fs.outside"),
    )
    .race(),
    workspace(
        "race: a protected path",
        "{a} race-write {ws}/.git/notes/xx {ws}/.git/hooks/xx",
        Effect::Files,
        ("file_write", "{ws}/.git/hooks/xx", "fs.protected"),
    )
    .race(),
    workspace(
        "race: a symbolic link",
        "touch {ws}/in; {a} race-link {ws}/in {out}/f {ws}/turn",
        Effect::Files,
        ("file_write", "{out}/f", "fs.outside"),
    )
    .race(),
    workspace(
        "race: a symbolic link to a hook",
        "touch {ws}/in; {a} race-link {ws}/in {ws}/.git/hooks/x {ws}/turn",
        Effect::Files,
        ("file_write", "{ws}/.git/hooks/x", "fs.protected"),
    )
    .race(),
    workspace(
        "race: directories change places",
        "{a} race-directory {ws}/p {ws}/way",
        Effect::Files,
        ("file_write", "{out}/f", "fs.outside"),
    )
    .race(),
    workspace(
        "race: the new name of a rename",
        "{a} race-rename {ws}/.git/notes-x {ws}/.git/hooks/x {ws}/sub/from",
        Effect::Files,
        ("file_write", "{ws}/.git/hooks/x", "fs.protected"),
    )
    .race(),
    workspace(
        "race: a change of mode",
        "{a} race-chmod {ws}/okayoka {out}/full/f",
        Effect::Files,
        ("file_write", "{out}/full/f", "fs.outside"),
    )
    .race(),
    workspace(
        "race: a read",
        "{a} race-read {home}/.bash_p {home}/.ssh/key",
        Effect::Secret,
        ("file_read", "{home}/.ssh/key", "fs.secret"),
    )
    .flags(&["--audit-reads", "denied"])
    .race(),
    offline(
        "race: a program",
        "{a} race-exec /usr/bin/true {tool}",
        Effect::Ran,
        ("process_spawn", "{tool}", "exec.unlisted"),
    )
    .race(),
    workspace(
        "race: a unix socket",
        "{a} race-unix {ws}/ssssss {out}/s",
        Effect::Heard,
        ("network_access", "{out}/s", "net.unix"),
    )
    .race(),
    workspace(
        "race: a connect",
        "{a} race-connect {port}",
        Effect::Heard,
        ("network_access", "127.0.0.1:{port}", "net.loopback"),
    )
    .race(),
    offline(
        "race: a send",
        "{a} race-send {port}",
        Effect::Heard,
        ("network_access", "127.0.0.1:{port}", "net.loopback"),
    )
    .race(),
    silent(
        Profile::WorkspaceWrite,
        "a survivor by setsid",
        "setsid sleep {mark} >/dev/null 2>&1 </dev/null & sleep 0.1",
        Effect::Survives,
    ),
    silent(
        Profile::WorkspaceWrite,
        "a daemon by a double fork",
        "( ( sleep {mark} >/dev/null 2>&1 </dev/null & ) & ); sleep 0.1",
        Effect::Survives,
    ),
    silent(
        Profile::WorkspaceWrite,
        "nohup",
        "nohup sleep {mark} >/dev/null 2>&1 </dev/null & sleep 0.1",
        Effect::Survives,
    ),
    silent(
        Profile::Offline,
        "BASH_ENV from outside",
        "true",
        Effect::Ran,
    )
    .environment(&["BASH_ENV={tool}.sh"]),
    silent(
        Profile::Offline,
        "a secret variable",
        "echo \"$API_TOKEN\"",
        Effect::Secret,
    )
    .environment(&["API_TOKEN={abstract}"]),
    silent(
        Profile::WorkspaceWrite,
        "memory without a bound",
        "head -c 400M /dev/zero | tail > /dev/null; exit ${PIPESTATUS[1]}",
        Effect::Exit,
    )
    .flags(&["--max-memory", "100000000"]),
];
