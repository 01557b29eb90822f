//! Runs a job in the sandbox and compares what it came to with what it must come to.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use codex_test_support::{TestEnv, run, run_for};

use super::jobs::{OFFLINE, STUCK, WORKSPACE_WRITE};

/// How long one job may take: far above what a loaded machine needs.
const LIMIT: Duration = Duration::from_secs(120);

/// Set to `1`, a job whose tools are missing fails instead of being named.
const REQUIRE: &str = "CODEX_REQUIRE_TOOLS";

/// One job: a script for bash, run in a workspace that `lay_out` filled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Job {
    pub(super) name: &'static str,
    /// Programs beyond the usual shell tools, git, a C compiler and Rust.
    pub(super) tools: &'static [&'static str],
    pub(super) script: &'static str,
    /// Its whole stdout.
    pub(super) stdout: &'static str,
    /// A file of the workspace and its whole text afterwards.
    pub(super) file: Option<(&'static str, &'static str)>,
}

fn lay_out(env: &TestEnv) {
    env.write("a.txt", "one\ntwo\nthree\n");
    env.write("b.txt", "one\n2\nthree\n");
    env.write(
        "src/main.c",
        "#include <stdio.h>\nint main(void) { puts(\"built\"); }\n",
    );
    env.write("data.csv", "x,1\ny,2\nz,3\n");
    env.write("deep/er/c.txt", "below\n");
    env.write_home(
        ".gitconfig",
        "[user]\n\tname = T\n\temail = t@example.org\n[init]\n\tdefaultBranch = main\n",
    );
    let script = "git init -q && git add a.txt && git commit -qm first";
    let output = run(env.command(Path::new("/bin/sh")).args(["-c", script]));
    assert_eq!(output.code, Some(0), "{output:#?}");
}

fn present(tool: &str) -> bool {
    let script = format!("{tool} --version");
    let output = run(Command::new("/bin/sh").args(["-c", &script]));
    output.code == Some(0)
}

fn run_all(profile: &str, jobs: &[Job], least: usize) {
    assert!(jobs.len() >= least, "{} jobs", jobs.len());
    let found = run(Command::new("rustc").args(["--print", "sysroot"]));
    assert_eq!(found.code, Some(0), "{found:#?}");
    let sysroot = found.stdout.trim().to_owned();
    let (mut wrong, mut absent) = (Vec::new(), Vec::new());
    for job in jobs {
        if let Some(tool) = job.tools.iter().find(|tool| !present(tool)) {
            absent.push(format!("{} ({tool})", job.name));
            continue;
        }
        let env = TestEnv::new();
        lay_out(&env);
        let mut command = env.command(Path::new(env!("CARGO_BIN_EXE_codex")));
        // The toolchain lies in the home of who builds, which is another user's home to the test's
        // own; in one's own home it is readable without this.
        command
            .args([
                "sandbox",
                "--profile",
                profile,
                "--allow-read",
                &sysroot,
                "--",
            ])
            .args(["bash", "-c", job.script])
            .env(
                "PATH",
                format!("{sysroot}/bin:/usr/local/bin:/usr/bin:/bin"),
            );
        let output = run_for(&mut command, LIMIT);
        let mut why = Vec::new();
        if output.code != Some(0) {
            why.push(format!("exit {:?}", output.code));
        }
        if output.stdout != job.stdout {
            why.push(format!("expected on stdout {:?}", job.stdout));
        }
        if let Some((path, text)) = job.file {
            let found = std::fs::read_to_string(env.workspace().join(path)).ok();
            if found.as_deref() != Some(text) {
                why.push(format!("{path} holds {found:?}"));
            }
        }
        let stuck = STUCK.contains(&job.name);
        if !why.is_empty() && !stuck {
            wrong.push(format!("{}: {}: {output:?}", job.name, why.join(", ")));
        } else if why.is_empty() && stuck {
            wrong.push(format!(
                "{}: works now; take it off the list STUCK",
                job.name
            ));
        }
    }
    println!(
        "{profile}: {} jobs; without their tools: {absent:?}",
        jobs.len()
    );
    if std::env::var_os(REQUIRE).is_some_and(|value| value == "1") {
        assert!(absent.is_empty(), "tools are missing for {absent:?}");
    }
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn everyday_jobs_work_in_a_workspace() {
    run_all("workspace-write", WORKSPACE_WRITE, 30);
}

#[test]
fn reading_jobs_work_offline() {
    run_all("offline", OFFLINE, 15);
}
