//! What a command tries on the helper that answers its calls, and through it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use codex_test_support::{RunOutput, TestEnv, json_lines, run, run_for};
use serde_json::Value;

use super::suite::binary;

/// How long one run may take: far above what a loaded machine needs.
const LIMIT: Duration = Duration::from_secs(60);

struct Place {
    env: TestEnv,
    tries: PathBuf,
}

impl Place {
    fn new() -> Self {
        let env = TestEnv::new();
        let tries = env.root().join("tries");
        let source =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sandbox_escape/supervisor.c");
        let mut compiler = Command::new("cc");
        compiler.arg("-o").arg(&tries).arg(source);
        let built = run(&mut compiler);
        assert_eq!(built.code, Some(0), "a C compiler is needed: {built:?}");
        Self { env, tries }
    }

    /// Bash under WorkspaceWrite, with `$t` for the tries and `$PPID` for the helper.
    fn run(&self, flags: &[&str], script: &str) -> RunOutput {
        let mut command = self.env.command(&binary());
        command
            .args(["sandbox", "--profile", "workspace-write", "--timeout", "20"])
            .args(flags)
            .args(["--", "bash", "-c"])
            .arg(format!("t={}; {script}", self.tries.display()));
        run_for(&mut command, LIMIT)
    }

    fn records(&self) -> Vec<Value> {
        let mut show = self.env.command(&binary());
        let shown = run(show.args(["audit", "show", "--json"]));
        assert_eq!(shown.code, Some(0), "{shown:?}");
        json_lines(&shown.stdout)
    }

    fn denied(&self, target: &str) -> bool {
        let records = self.records();
        records.iter().any(|record| {
            record["decision"] == "denied"
                && record["evidence"] == "observed"
                && record["target"]
                    .as_str()
                    .is_some_and(|t| t.contains(target))
        })
    }
}

#[test]
fn it_is_not_signalled_by_any_way_round() {
    let place = Place::new();
    let output = place.run(&[], "$t signal /proc/$PPID; touch answered; echo on");
    assert_eq!(
        (output.code, output.stdout.as_str()),
        (Some(0), "EPERM\non\n"),
        "{output:?}"
    );
    let output = place.run(&[], "$t group $PPID; touch answered; echo on");
    assert!(output.stdout.ends_with("on\n"), "{output:?}");
    assert_eq!(output.code, Some(0), "{output:?}");
}

#[test]
fn a_way_to_the_proxy_leads_nowhere_else() {
    let place = Place::new();
    let outside = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    outside.set_nonblocking(true).expect("a socket of ours");
    let port = outside.local_addr().expect("its address").port();
    let script = format!(
        "way=${{http_proxy#http://}}; place=${{way#*@}}; $t dissolve ${{place%:*}} ${{place#*:}} {port}"
    );
    let output = place.run(&["--allow-host", "example.org"], &script);
    assert_eq!(output.stdout, "EPERM\n", "{output:?}");
    assert!(outside.accept().is_err(), "nobody came");
    assert!(
        place.denied("connect(a socket outside"),
        "{:?}",
        place.records()
    );
}

#[test]
fn shared_memory_is_no_way_to_protected_paths() {
    let place = Place::new();
    fs::create_dir_all(place.env.workspace().join(".git/hooks")).expect("a directory");
    let script =
        "rmdir $TMPDIR/shm; ln -s $PWD/.git/hooks $TMPDIR/shm; echo x > /dev/shm/pre-commit";
    let output = place.run(&[], script);
    assert_ne!(output.code, Some(0), "{output:?}");
    assert!(!place.env.workspace().join(".git/hooks/pre-commit").exists());
}

#[test]
fn it_neither_waits_for_a_file_nor_reads_without_end() {
    let place = Place::new();
    for (n, gitdir) in ["mkfifo", "truncate -s 3G"].iter().enumerate() {
        let script = format!(
            "mkdir -p {n}/.git/worktrees/x {n}/sub; {gitdir} {n}/.git/worktrees/x/gitdir; \
             echo x > {n}/sub/.git; mkdir {n}/answered; echo on"
        );
        let output = place.run(&[], &script);
        assert!(output.stdout.ends_with("on\n"), "{output:?}");
        assert_eq!(output.code, Some(0), "{output:?}");
    }
}

#[test]
fn one_that_waits_keeps_nobody_else_waiting_and_counts_once() {
    let place = Place::new();
    let output = place.run(&[], "$t backlog $PWD/s; ls -d answered");
    assert_eq!(output.stdout, "done\nanswered\n", "{output:?}");
    let output = place.run(&[], "mkfifo pipe; $t wait pipe");
    assert_eq!(output.stdout, "done\n", "{output:?}");
    let records = place.records();
    let wrote = records.iter().rfind(|r| r["operation"] == "file_write");
    assert_eq!(
        wrote.expect("a sum of what was written")["count"],
        2,
        "{wrote:?}"
    );
}

#[test]
fn servers_for_datagrams_are_reached() {
    let place = Place::new();
    let output = place.run(&[], "$t datagrams");
    assert_eq!(output.stdout, "done\n", "{output:?}");
    assert!(!place.denied("4711"), "{:?}", place.records());
}
