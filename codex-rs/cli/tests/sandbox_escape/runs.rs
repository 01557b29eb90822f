//! Whole runs: what wears codex down, what ends it, and what has to go on working.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use codex_test_support::{RunOutput, TestEnv, json_lines, run, run_for};
use serde_json::Value;

use super::run::Programs;
use super::suite::binary;

/// How long one run may take: far above what a loaded machine needs.
const LIMIT: Duration = Duration::from_secs(120);

struct Place {
    env: TestEnv,
    programs: Programs,
    _directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let programs = Programs::build(&binary(), directory.path());
        let env = TestEnv::new();
        fs::create_dir(env.root().join("outside")).expect("a directory");
        Self {
            env,
            programs,
            _directory: directory,
        }
    }

    fn outside(&self) -> PathBuf {
        self.env.root().join("outside")
    }

    /// Bash under WorkspaceWrite, with `$a` for the program of attempts and `$out` for what lies
    /// outside.
    fn command(&self, flags: &[&str], script: &str) -> Command {
        self.command_reporting("json", flags, script)
    }

    fn command_reporting(&self, report: &str, flags: &[&str], script: &str) -> Command {
        let mut command = self.env.command(&self.programs.codex);
        let attempts = self.programs.attempts.display();
        let out = self.outside();
        command
            .args([
                "sandbox",
                "--profile",
                "workspace-write",
                "--report",
                report,
            ])
            .args(flags)
            .args(["--", "bash", "-c"])
            .arg(format!("a={attempts}; out={}; {script}", out.display()));
        command
    }

    fn run(&self, flags: &[&str], script: &str) -> RunOutput {
        let output = run_for(&mut self.command(flags, script), LIMIT);
        assert!(output.stderr.contains("\"level\":\"full\""), "{output:?}");
        output
    }

    fn denied(&self) -> Vec<Value> {
        let shown = run(self
            .env
            .command(&self.programs.codex)
            .args(["audit", "show", "--json"]));
        assert_eq!(shown.code, Some(0), "{shown:#?}");
        let mut records = json_lines(&shown.stdout);
        records.retain(|record| record["decision"] == "denied");
        records
    }
}

#[test]
fn a_flood_of_denials_fills_neither_the_log_nor_the_memory() {
    let place = Place::new();
    let output = place.run(&[], "$a flood $out 20000");
    assert_eq!(output.code, Some(0), "{output:?}");
    let denied = place.denied();
    let sums: Vec<&Value> = denied
        .iter()
        .filter(|r| r["detail"]["summed"].is_string())
        .collect();
    assert_eq!((denied.len(), sums.len()), (501, 1), "{sums:?}");
    assert_eq!(sums[0]["count"], 19_500);
    let peak = output.stdout.split_whitespace().nth(1);
    let peak: u64 = peak
        .and_then(|kb| kb.parse().ok())
        .expect("a size in kilobytes");
    assert!(peak < 64 << 10, "the helper took {peak} kB");
}

#[test]
fn processes_are_counted_and_thousands_work() {
    let place = Place::new();
    let output = place.run(&[], "$a forks 2000");
    assert_eq!(output.stdout, "2000\n", "{output:?}");
    assert_eq!(place.denied().len(), 0);
    let output = place.run(&["--max-procs", "64"], "$a forks 2000");
    let made: u32 = output.stdout.trim().parse().expect("a number");
    assert!((32..64).contains(&made), "{output:?}");
    let denied = place.denied();
    assert!(
        denied
            .iter()
            .any(|r| r["operation"] == "resource_limit" && r["rule"] == "resource.processes"),
        "{denied:?}"
    );
    // A bomb does no more than its limit lets it, and is gone with its run.
    let output = place.run(&["--max-procs", "64", "--timeout", "2"], "$a bomb");
    assert_eq!(output.code, Some(124), "{output:?}");
}

#[test]
fn a_fork_bomb_is_ended_and_recorded_without_a_flag() {
    let place = Place::new();
    let started = Instant::now();
    let output = place.run(&["--timeout", "100"], "$a swarm 5000");
    // Its own end would be 142 after a minute, the deadline's 124.
    assert_eq!(output.code, Some(143), "{output:?}");
    assert!(started.elapsed() < Duration::from_secs(60));
    let denied = place.denied();
    let limits = denied.iter().filter(|r| r["operation"] == "resource_limit");
    let limits: Vec<&Value> = limits.collect();
    assert_eq!(limits.len(), 1, "{denied:?}");
    assert_eq!(limits[0]["target"], "4096 processes");
    assert_eq!(limits[0]["rule"], "resource.processes");
    assert_eq!(limits[0]["evidence"], "observed");
    assert!(!anything_runs_in(
        &place.env.workspace().display().to_string()
    ));
    // The machine is as before.
    let output = place.run(&[], "$a forks 100");
    assert_eq!(output.stdout, "100\n", "{output:?}");
}

#[test]
fn a_signal_to_everybody_reaches_those_inside() {
    let place = Place::new();
    let mut bystander = place
        .env
        .command(&PathBuf::from("/bin/sleep"))
        .arg("60")
        .spawn()
        .expect("it starts");
    let output = place.run(&[], "sleep 60 & $a everybody; wait");
    assert_eq!(output.code, Some(137), "{output:?}");
    assert!(bystander.try_wait().expect("it is ours").is_none());
    bystander.kill().expect("it is ours");
    bystander.wait().expect("it is ours");
}

/// A process that does not outlive its test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The process that a running codex watches its command by.
fn helper_of(codex: &Child) -> u32 {
    let children = format!("/proc/{0}/task/{0}/children", codex.id());
    eventually(|| {
        let children = fs::read_to_string(&children).unwrap_or_default();
        children
            .split_whitespace()
            .next()
            .and_then(|pid| pid.parse().ok())
    })
}

#[track_caller]
fn eventually<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < Duration::from_secs(20), "it never came");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn signal(pid: u32, name: &str) {
    let sent = run(Command::new("kill").args([format!("-{name}"), pid.to_string()]));
    assert_eq!(sent.code, Some(0), "{sent:?}");
}

/// Writes into the workspace, and tries to outside, again and again: as the command, as its child
/// and as a daemon.
const BUSY: &str = "w() { i=0; while :; do i=$((i+1)); echo $i > $1; echo x > $out/$1; done; }; \
     w daemon </dev/null >/dev/null 2>&1 & (w child 2>/dev/null) & w command 2>/dev/null";

fn size(path: PathBuf) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[test]
fn without_its_helper_a_command_ends_and_gets_nothing() {
    for name in ["KILL", "STOP"] {
        let place = Place::new();
        let mut command = place.command(&[], BUSY);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut codex = Ended(command.spawn().expect("codex starts"));
        let files = ["daemon", "child", "command"].map(|n| place.env.workspace().join(n));
        for file in &files {
            eventually(|| (!size(file.clone()).is_empty()).then_some(()));
        }
        let helper = helper_of(&codex.0);
        signal(helper, name);
        if name == "STOP" {
            // Who has to ask waits.
            std::thread::sleep(Duration::from_millis(300));
            let before = files.clone().map(size);
            std::thread::sleep(Duration::from_millis(300));
            assert_eq!(before, files.clone().map(size));
            signal(helper, "KILL");
        }
        let status = codex.0.wait().expect("it is ours");
        assert_eq!(status.code(), Some(125), "SIG{name}");
        // What could still run, gets no call carried out that it has to ask for.
        std::thread::sleep(Duration::from_millis(300));
        let before = files.clone().map(size);
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(before, files.map(size), "SIG{name}");
        let outside = fs::read_dir(place.outside()).expect("a directory").count();
        assert_eq!(outside, 0, "SIG{name}");
        let left = place.env.workspace().display().to_string();
        eventually(|| (!anything_runs_in(&left)).then_some(()));
    }
}

/// Whether a process has its working directory there.
fn anything_runs_in(directory: &str) -> bool {
    let entries = fs::read_dir("/proc")
        .expect("/proc can be listed")
        .flatten();
    entries
        .filter_map(|entry| fs::read_link(entry.path().join("cwd")).ok())
        .any(|cwd| cwd.starts_with(directory))
}

#[test]
fn what_needs_no_right_works_inside() {
    let place = Place::new();
    let output = place.run(
        &[],
        "$a own-filter mine && $a pass-inside passed && $a pipe-waits pipe opened && cat mine passed \
         && ln -s /proc/self way && for p in /proc/./self/fd/1 way/fd/1 /proc/self/fd/1; do echo $p > $p; done",
    );
    assert_eq!(output.code, Some(0), "{output:?}");
    assert_eq!(
        output.stdout,
        "escaped\nescaped\n/proc/./self/fd/1\nway/fd/1\n/proc/self/fd/1\n"
    );
    assert_eq!(place.denied().len(), 0);
}

#[test]
fn shared_memory_is_each_runs_own() {
    let place = Place::new();
    let name = format!("codex-escape-{}", std::process::id());
    let output = place.run(
        &[],
        &format!("echo x > /dev/shm/{name} && test ! -e /dev/shm/other"),
    );
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(!PathBuf::from("/dev/shm").join(&name).exists());
    let output = place.run(&[], &format!("set -C; echo x > /dev/shm/{name}"));
    assert_eq!(output.code, Some(0), "a run sees another's: {output:?}");
}

#[test]
fn names_that_drive_a_terminal_reach_none() {
    let place = Place::new();
    let hostile = "\u{1b}]0;x\u{7}\u{1b}[2J\u{202e}\u{9b}31m\n";
    let script = "echo x > \"$out/$(printf '\\033]0;x\\007\\033[2J\\342\\200\\256\\302\\23331m\\nz')\"; true";
    for report in ["json", "text"] {
        let mut command = place.command_reporting(report, &[], script);
        let output = run_for(&mut command, LIMIT);
        let codex_says = output
            .stderr
            .lines()
            .filter(|line| !line.starts_with("bash:"));
        for line in codex_says {
            let raw = line
                .chars()
                .find(|c| hostile.contains(*c) && !c.is_alphanumeric() && !"[];".contains(*c));
            assert_eq!(raw, None, "{line:?}");
        }
    }
    let seq = place.denied()[0]["seq"].to_string();
    for arguments in [
        &["audit", "show"][..],
        &["audit", "show", "--json"],
        &["audit", "explain", &seq],
    ] {
        let shown = run(place.env.command(&place.programs.codex).args(arguments));
        assert!(
            !shown
                .stdout
                .contains(['\u{1b}', '\u{7}', '\u{202e}', '\u{9b}']),
            "{arguments:?}"
        );
        assert!(
            shown.stdout.contains("outside/"),
            "{arguments:?}: {shown:?}"
        );
    }
}

#[test]
fn a_sandbox_in_a_sandbox_says_what_it_enforces() {
    let place = Place::new();
    let codex = place.programs.codex.display();
    // The outer run keeps its log closed to the inner one, which needs one of its own.
    let inner = format!("{codex} sandbox --profile workspace-write -- true; echo $?");
    let output = place.run(&[], &inner);
    assert_eq!(output.stdout, "3\n", "{output:?}");
    let inner = format!(
        "mkdir -m 700 $TMPDIR/home; CODEX_HOME=$TMPDIR/home {codex} sandbox \
         --profile workspace-write --report json --accept-level partial \
         -- bash -c \"echo x > $out/new; echo in > here\""
    );
    let output = run_for(&mut place.command(&[], &inner), LIMIT);
    assert!(
        output.stderr.contains("\"level\":\"partial\""),
        "{output:?}"
    );
    assert!(!place.outside().join("new").exists());
    assert_eq!(place.env.read("here"), "in\n");
}
