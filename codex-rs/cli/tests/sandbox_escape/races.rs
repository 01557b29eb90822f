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
    workspace(
        "race: the source of a link",
        "touch {ws}/okayoka; {a} race-link-source {ws}/okayoka {out}/g {ws}/taken",
        Effect::Files,
        ("file_write", "{out}/g", "fs.outside"),
    )
    .race(),
    workspace(
        "race: a new symbolic link",
        "{a} race-symlink {ws}/okayoka {out}/made x",
        Effect::Files,
        ("file_write", "{out}/made", "fs.outside"),
    )
    .race(),
    workspace(
        "race: the old name of a rename",
        "{a} race-rename-from {ws}/okayoka {out}/g {ws}/taken",
        Effect::Files,
        ("file_write", "{out}/g", "fs.outside"),
    )
    .race(),
    workspace(
        "race: a new directory",
        "{a} race-mkdir {ws}/okayoka {out}/made",
        Effect::Files,
        ("file_write", "{out}/made", "fs.outside"),
    )
    .race(),
    workspace(
        "race: a removal",
        "{a} race-unlink {ws}/okayoka {out}/g",
        Effect::Files,
        ("file_write", "{out}/g", "fs.outside"),
    )
    .race(),
    workspace(
        "race: a removal of a hook",
        "{a} race-unlink {ws}/okayoka {ws}/.git/hooks/pre-commit.sample",
        Effect::Files,
        ("file_write", "pre-commit.sample", "fs.protected"),
    )
    .race(),
    workspace(
        "race: a truncation",
        "touch {ws}/okayoka; {a} race-truncate {ws}/okayoka {out}/g",
        Effect::Files,
        ("file_write", "{out}/g", "fs.outside"),
    )
    .race(),
    workspace(
        "race: a change of times",
        "touch {ws}/okayoka; {a} race-times {ws}/okayoka {out}/g",
        Effect::Files,
        ("file_write", "{out}/g", "fs.outside"),
    )
    .race(),
    workspace(
        "race: the flags of openat2",
        "touch {ws}/okayoka; {a} race-openat2 {ws}/okayoka {out}/g",
        Effect::Files,
        ("file_write", "{out}/g", "fs.outside"),
    )
    .race(),
    workspace(
        "race: the name of a socket",
        "{a} race-bind {ws}/okay {out}/made",
        Effect::Files,
        ("network_access", "unix:{out}/made", "net.unix"),
    )
    .race(),
    workspace(
        "race: a socket among the hooks",
        "{a} race-bind {ws}/.git/notes-x {ws}/.git/hooks/x",
        Effect::Files,
        ("file_write", "{ws}/.git/hooks/x", "fs.protected"),
    )
    .race(),
    offline(
        "race: a message",
        "{a} race-sendmsg {port}",
        Effect::Heard,
        ("network_access", "127.0.0.1:{port}", "net.loopback"),
    )
    .race(),
    silent(
        Profile::WorkspaceWrite,
        "a listener of one's own",
        "{a} own-listener",
        Effect::Exit,
    ),
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
