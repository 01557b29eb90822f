//! What the supervisor carries out on a command's behalf is what the kernel would have done: random
//! calls give the same results, errors and files as they do without a sandbox.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use codex_test_support::{TestEnv, run, run_for};

use super::suite::binary;

/// How many sequences, and how many calls in each.
const SEEDS: u64 = 40;
const CALLS: u32 = 400;

/// How long one sequence may take: far above what a loaded machine needs.
const LIMIT: Duration = Duration::from_secs(60);

/// Runs a sequence; confined if there is a `codex` to do so. Root has no powers either way.
fn sequence(program: &Path, codex: Option<&Path>, seed: u64) -> String {
    let env = TestEnv::new();
    let is_root = fs::metadata("/proc/self").is_ok_and(|data| data.uid() == 0);
    let mut words: Vec<&str> = Vec::new();
    if is_root {
        words.extend(["setpriv", "--bounding-set", "-all", "--inh-caps", "-all"]);
    }
    if let Some(codex) = codex {
        words.push(codex.to_str().expect("a plain path"));
        words.extend([
            "sandbox",
            "--profile",
            "workspace-write",
            "--report",
            "json",
        ]);
        words.push("--");
    }
    let (seed, calls) = (seed.to_string(), CALLS.to_string());
    words.extend([program.to_str().expect("a plain path"), &seed, &calls]);
    let (first, rest) = words.split_first().expect("there is a command");
    let output = run_for(env.command(Path::new(first)).args(rest), LIMIT);
    assert_eq!(output.code, Some(0), "{output:?}");
    if codex.is_some() {
        assert!(output.stderr.contains("\"level\":\"full\""), "{output:?}");
    }
    output.stdout
}

#[test]
fn calls_about_files_come_to_the_same_confined_and_bare() {
    let codex = binary();
    let directory = tempfile::tempdir().expect("a temporary directory");
    fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).expect("it is ours");
    let source = directory.path().join("differences.c");
    fs::write(&source, include_str!("differences.c")).expect("a place for the program");
    let program = directory.path().join("differences");
    let compiled = run(Command::new("cc")
        .args(["-O1", "-w", "-o"])
        .args([&program, &source]));
    assert_eq!(compiled.code, Some(0), "cc failed: {compiled:#?}");
    let only = std::env::var("CODEX_DIFFERENCES_SEED").ok();
    let seeds = match only.and_then(|seed| seed.parse().ok()) {
        Some(seed) => seed..seed + 1,
        None => 0..SEEDS,
    };
    let mut differences = Vec::new();
    for seed in seeds {
        let bare = sequence(&program, None, seed);
        let confined = sequence(&program, Some(&codex), seed);
        if bare == confined {
            continue;
        }
        let lines = bare.lines().zip(confined.lines());
        let first = lines.into_iter().find(|(bare, confined)| bare != confined);
        differences.push(format!("seed {seed}: {first:?}"));
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
