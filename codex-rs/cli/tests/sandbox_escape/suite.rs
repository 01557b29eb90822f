//! Runs the table, for whoever runs the test, and for root a second time as an ordinary user.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use codex_test_support::{NOBODY, json_lines, run, run_for};
use serde_json::Value;

use super::attempt::Attempt;
use super::machine::{LEVEL, REFUSED_ROOT, REFUSED_USER};
use super::run::{Machine, Outcome, Programs, once};
use super::{above, files, kernel, network, programs, protected, races, secrets};

/// Names the `codex` to test when the suite runs as another user, from a copy.
const BINARY: &str = "CODEX_ESCAPE_BINARY";

/// The `codex` to test.
pub(super) fn binary() -> PathBuf {
    std::env::var_os(BINARY)
        .map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_codex")), PathBuf::from)
}

/// Attempts at a time: most of an attempt is waiting.
pub(super) const WORKERS: usize = 3;

pub(super) fn table() -> Vec<Attempt> {
    let parts = [
        files::TABLE,
        protected::TABLE,
        secrets::TABLE,
        network::TABLE,
        programs::TABLE,
        kernel::TABLE,
        above::TABLE,
        races::TABLE,
        &network::beside_the_proxy(),
    ];
    parts.concat()
}

pub(super) fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|data| data.uid() == 0)
}

/// The denial that the attempt must have left, or what is wrong with the records.
pub(super) fn check_record(attempt: &Attempt, outcome: &Outcome) -> Result<(), String> {
    let Some((operation, target, rule)) = attempt.record else {
        return Ok(());
    };
    let evidence = if attempt.direct {
        "declared"
    } else {
        "observed"
    };
    // Records name the home so.
    let target = outcome.fill(&target.replace("{home}", "[HOME]"));
    let reason = format!("{} profile", attempt.profile.name());
    let text = |record: &Value, field: &str| record[field].as_str().unwrap_or("").to_owned();
    let found = outcome.denied.iter().any(|record| {
        text(record, "operation") == operation
            && text(record, "target").contains(&target)
            && text(record, "rule") == rule
            && text(record, "reason").starts_with(&reason)
            && text(record, "profile") == attempt.profile.name()
            && text(record, "evidence") == evidence
    });
    if found {
        return Ok(());
    }
    Err(format!(
        "no {evidence} denial {operation} {target} by {rule} for {reason:?} in {:?}",
        outcome
            .denied
            .iter()
            .map(|record| {
                let fields = ["operation", "target", "rule", "evidence"];
                fields.map(|field| text(record, field)).join(" ")
            })
            .collect::<Vec<_>>()
    ))
}

/// The level that codex says it enforced.
pub(super) fn level(outcome: &Outcome) -> Option<String> {
    let lines = outcome.output.stderr.lines();
    let mut reports = lines.filter(|l| l.contains("\"sandbox.report\""));
    let report = json_lines(reports.next_back()?).pop()?;
    Some(report["level"].as_str()?.to_owned())
}

/// What one attempt showed to be wrong.
#[derive(Default)]
struct Findings {
    refused: BTreeSet<(String, String)>,
    wrong: Vec<String>,
}

fn try_one(programs: &Programs, attempt: &Attempt, findings: &Mutex<Findings>) {
    let name = attempt.name;
    let mut wrong = Vec::new();
    // A race is not won every time, on the bare machine either.
    let bare = (0..attempt.times)
        .map(|_| once(programs, attempt, Machine::Bare))
        .find(|bare| bare.effect);
    if bare.is_none() {
        let bare = once(programs, attempt, Machine::Bare);
        let errno = bare.output.stdout.trim().to_owned();
        let mut findings = findings.lock().expect("no test panicked");
        findings.refused.insert((name.to_owned(), errno));
    }
    let mut got_through = false;
    // Each run of a race is denied something else: one of them has to be the whole denial.
    let mut recorded = Err("it was never held".to_owned());
    for _ in 0..attempt.times {
        let held = once(programs, attempt, Machine::Confined(None));
        let level = level(&held);
        if level.as_deref() != Some(LEVEL) {
            wrong.push(format!("{name}: level {level:?}: {:?}", held.output));
        }
        if held.effect {
            got_through = true;
            wrong.push(format!(
                "{name}: got through (changed {:?}): {:?}",
                held.changed, held.output
            ));
            break;
        } else if recorded.is_err() {
            recorded = check_record(attempt, &held);
        }
    }
    if attempt.flags.contains(&"--audit-reads") {
        // Unseen, it is refused all the same.
        let unseen = Attempt {
            flags: &[],
            ..*attempt
        };
        let held = once(programs, &unseen, Machine::Confined(None));
        if held.effect {
            wrong.push(format!("{name}: got through unseen: {:?}", held.output));
        }
    }
    if !got_through && let Err(why) = recorded {
        wrong.push(format!("{name}: {why}"));
    }
    findings
        .lock()
        .expect("no test panicked")
        .wrong
        .append(&mut wrong);
}

#[test]
fn every_attempt_succeeds_bare_fails_confined_and_is_recorded() {
    let codex = binary();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let programs = Programs::build(&codex, directory.path());
    let table = table();
    let names: BTreeSet<&str> = table.iter().map(|attempt| attempt.name).collect();
    assert_eq!(names.len(), table.len(), "every name is there once");
    assert!(names.len() >= 110, "{} mechanisms", names.len());
    let beside = names.iter().filter(|n| n.ends_with("beside the proxy"));
    assert!(beside.count() >= 25);
    let only = std::env::var("CODEX_ESCAPE_ONLY").unwrap_or_default();

    let (next, findings) = (AtomicUsize::new(0), Mutex::new(Findings::default()));
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some(attempt) = table.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if attempt.name.contains(&only) {
                        try_one(&programs, attempt, &findings);
                    }
                }
            });
        }
    });

    let Findings { refused, mut wrong } = findings.into_inner().expect("no test panicked");
    let list = if is_root() {
        REFUSED_ROOT
    } else {
        REFUSED_USER
    };
    let owned = |(name, errno): &(&str, &str)| ((*name).to_owned(), (*errno).to_owned());
    let expected: BTreeSet<_> = list.iter().map(owned).collect();
    for entry in refused.difference(&expected) {
        wrong.push(format!(
            "the bare machine refuses and is not said to: {entry:?}"
        ));
    }
    if only.is_empty() {
        for entry in expected.difference(&refused) {
            wrong.push(format!("the bare machine is said to refuse: {entry:?}"));
        }
    }
    println!(
        "{} mechanisms, {} refused by the bare machine",
        names.len(),
        refused.len()
    );
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn the_same_holds_for_an_ordinary_user() {
    if !is_root() {
        // The other test is the ordinary user's.
        return;
    }
    let directory = tempfile::tempdir().expect("a temporary directory");
    let place = |name: &str| directory.path().join(name);
    let me = std::env::current_exe().expect("this program has a path");
    for (from, to) in [
        (Path::new(env!("CARGO_BIN_EXE_codex")), place("codex")),
        (me.as_path(), place("suite")),
    ] {
        let copied = run(Command::new("cp").arg(from).arg(&to));
        assert_eq!(copied.code, Some(0), "{copied:#?}");
        fs::set_permissions(&to, Permissions::from_mode(0o755)).expect("our copy");
    }
    fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).expect("ours");
    for name in ["home", "tmp"] {
        fs::create_dir(place(name)).expect("a directory");
        std::os::unix::fs::chown(place(name), Some(NOBODY), Some(NOBODY)).expect("root may");
    }
    let id = NOBODY.to_string();
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid", &id, "--regid", &id, "--clear-groups"])
        .args(["--inh-caps", "-all", "--"])
        .arg(place("suite"))
        .args([
            "--nocapture",
            "--skip",
            "the_same_holds",
            "--skip",
            "lower_machines",
            "sandbox_escape",
        ])
        .env(BINARY, place("codex"))
        .env("HOME", place("home"))
        .env("TMPDIR", place("tmp"))
        .current_dir(place("tmp"));
    let output = run_for(&mut command, Duration::from_secs(900));
    assert!(
        output.code == Some(0) && output.stdout.contains(" 0 failed"),
        "as uid {NOBODY} (setpriv of util-linux is needed):\n{}\n{}",
        output.stdout,
        output.stderr
    );
    println!("{}", output.stdout);
}
