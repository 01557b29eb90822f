//! A process can be started in one place only, behind the gate and the audit log.

use super::Violation;
use super::platform::HOME;
use super::source::named_paths;
use super::tree::Tree;

/// System interfaces that start or replace a process.
const SYSTEM: &[&str] = &[
    "fork",
    "vfork",
    "clone",
    "clone3",
    "execl",
    "execle",
    "execlp",
    "execv",
    "execve",
    "execveat",
    "execvp",
    "execvpe",
    "fexecve",
    "popen",
    "posix_spawn",
    "posix_spawnp",
    "system",
];

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for (path, file) in tree.shipped().filter(|(path, _)| !path.starts_with(HOME)) {
        for named in named_paths(&file.shipped_code()) {
            let command = !named.starts_with(&["clap"])
                && (named.has(&["Command", "new"]) || named.has(&["process", "Command"]));
            let last = named.segments.last().copied().unwrap_or_default();
            let system = named.starts_with(&["libc"]) && SYSTEM.contains(&last);
            let extension = last == "CommandExt";
            if command || system || extension {
                let what = format!("`{}` starts a process past the gate", named.text());
                let remedy = "ask the gate and use codex_sandbox's spawn \
                              (for clap's type, import `clap::Command`)";
                found.push(Violation::new(path, file.line(named.start), what, remedy));
            }
        }
    }
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::super::tree::fixture::found;
    use super::*;

    #[track_caller]
    fn check_code(path: &str, code: &str, expected: usize) {
        let places = found(check, &[(path, code)]);
        assert_eq!(places.len(), expected, "{code}: {places:?}");
    }

    #[test]
    fn starting_a_process_is_found() {
        let core = "codex-rs/core/src/lib.rs";
        check_code(core, "fn f() { std::process::Command::new(\"\") }", 1);
        check_code(core, "use super::*;\nfn f() { Command::new(\"\") }", 1);
        check_code(
            core,
            "use tokio::process::Command as C;\n\nfn f() { C::new(\"\") }",
            2,
        );
        check_code(
            core,
            "use tokio::process;\nfn f() { process::Command::new(\"\") }",
            1,
        );
        check_code(core, "fn f() { libc::execve() }", 1);
        check_code(
            "codex-rs/sandbox/src/plan.rs",
            "fn f() { Command::new(\"\") }",
            1,
        );
    }

    #[test]
    fn their_home_tests_tools_and_clap_pass() {
        let code = "fn f() { std::process::Command::new(\"\") }";
        check_code("codex-rs/sandbox/src/sys/linux/spawn.rs", code, 0);
        check_code("codex-rs/core/tests/all.rs", code, 0);
        check_code("codex-rs/xtask/src/main.rs", code, 0);
        check_code("codex-rs/test-support/src/lib.rs", code, 0);
        let core = "codex-rs/core/src/lib.rs";
        check_code(core, &format!("#[cfg(test)]\nmod tests {{ {code} }}"), 0);
        check_code(
            core,
            "use clap::Command;\nfn f() { Command::new(\"\"); std::process::id() }",
            0,
        );
        check_code(core, "fn f() { clap::Command::new(\"\") }", 0);
    }
}
