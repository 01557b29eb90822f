//! The attempts on machines that enforce less than this one: features of the kernel are hidden from
//! codex, and what each attempt comes to there is declared (`rungs.rs`). What is held though it is
//! declared open fails as what is open though it is declared held, so that the table stays true.
//!
//! Each machine is tried with every attempt that comes to something else there than most do, and
//! with a share of the others, another one on each. All of them, which takes some minutes:
//!
//! ```text
//! CODEX_ESCAPE_EVERY=1 cargo test -p codex-cli --test sandbox_escape lower_machines
//! ```
//!
//! `CODEX_ESCAPE_MACHINE` names a rung that this very machine stands on, with nothing hidden:
//! `scripts/boot-older-kernel` does that.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use codex_test_support::run;

use super::attempt::Attempt;
use super::machine::{REFUSED_ROOT, REFUSED_USER};
use super::run::{Hidden, Machine, Programs, once};
use super::rungs::{Comes, RUNGS, Rung};
use super::suite::{WORKERS, binary, check_record, is_root, level, table};

/// Of the attempts that come to what most do, one in so many is run on each machine.
const SHARE: usize = 8;

/// What hides features.
struct Hiding {
    directory: tempfile::TempDir,
}

impl Hiding {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let hiding = Self { directory };
        for (name, text) in [
            ("outer_filter.c", include_str!("../all/outer_filter.c")),
            ("older_landlock.c", include_str!("../all/older_landlock.c")),
        ] {
            fs::write(hiding.path(name), text).expect("a place for the programs");
        }
        let (filter, source) = (hiding.path("outer_filter"), hiding.path("outer_filter.c"));
        hiding.compile(&[], &filter, &source);
        hiding
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn compile(&self, flags: &[&str], program: &Path, source: &Path) {
        let compiled = run(Command::new("cc")
            .args(flags)
            .arg("-o")
            .args([program, source]));
        assert_eq!(compiled.code, Some(0), "cc failed: {compiled:#?}");
    }

    /// What makes this machine the rung's.
    fn of(&self, rung: &Rung) -> Hidden {
        let library = rung.landlock.map(|abi| {
            let library = self.path(&format!("older_landlock_{abi}.so"));
            let version = format!("-DABI={abi}");
            let flags = ["-shared", "-fPIC", &version];
            self.compile(&flags, &library, &self.path("older_landlock.c"));
            library
        });
        let filter = (!rung.lacks.is_empty()).then(|| (self.path("outer_filter"), rung.lacks));
        Hidden { filter, library }
    }
}

/// What an attempt came to, or what else was wrong.
fn try_at(
    programs: &Programs,
    attempt: &Attempt,
    rung: &Rung,
    machine: Machine<'_>,
) -> Result<(Comes, String), String> {
    let expected = rung.level(attempt.profile);
    let mut came = (Comes::Unseen, String::new());
    for _ in 0..attempt.times {
        let held = once(programs, attempt, machine);
        let level = level(&held);
        if level.as_deref() != expected {
            return Err(format!(
                "level {level:?} and not {expected:?}: {:?}",
                held.output
            ));
        }
        if expected.is_none() && !held.effect {
            let told = held.output.stderr.contains("cannot be enforced");
            if held.output.code != Some(125) || !told {
                return Err(format!("not refused: {:?}", held.output));
            }
            came = (Comes::Refused, String::new());
            continue;
        }
        if held.effect {
            return Ok((
                Comes::Through,
                format!("{:?} {:?}", held.changed, held.output),
            ));
        }
        if came.0 != Comes::Recorded {
            came = match check_record(attempt, &held) {
                Ok(()) => (Comes::Recorded, String::new()),
                Err(why) => (Comes::Unseen, why),
            };
        }
    }
    Ok(came)
}

/// What was wrong on one machine, and how many attempts came to what.
fn try_all(
    programs: &Programs,
    rung: &Rung,
    machine: Machine<'_>,
    attempts: &[Attempt],
) -> (Vec<String>, BTreeMap<Comes, usize>) {
    let own = matches!(machine, Machine::Confined(_));
    let (next, found) = (
        AtomicUsize::new(0),
        Mutex::<(Vec<_>, BTreeMap<_, _>)>::default(),
    );
    let one = |attempt: &Attempt| {
        let bare = || (0..attempt.times).any(|_| once(programs, attempt, Machine::Bare).effect);
        if own && !bare() {
            println!("{}: refused by the bare machine", attempt.name);
            return;
        }
        let declared = rung.declared(attempt);
        let came = try_at(programs, attempt, rung, machine);
        let mut found = found.lock().expect("no test panicked");
        let wrong = match came {
            Err(why) => why,
            Ok((came, why)) => {
                *found.1.entry(came).or_default() += 1;
                if came == declared {
                    return;
                }
                format!("{came:?}, declared {declared:?}: {why}")
            }
        };
        found
            .0
            .push(format!("{}: {}: {wrong}", rung.name, attempt.name));
    };
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some(attempt) = attempts.get(next.fetch_add(1, Ordering::Relaxed)) {
                    one(attempt);
                }
            });
        }
    });
    found.into_inner().expect("no test panicked")
}

#[test]
fn lower_machines_hold_what_is_declared() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let programs = Programs::build(&binary(), directory.path());
    let hiding = Hiding::new();
    let variable = |name| std::env::var(name).ok().filter(|text| !text.is_empty());
    let (own, only) = (
        variable("CODEX_ESCAPE_MACHINE"),
        variable("CODEX_ESCAPE_ONLY"),
    );
    let every = own.is_some() || only.is_some() || variable("CODEX_ESCAPE_EVERY").is_some();
    let refused = if is_root() {
        REFUSED_ROOT
    } else {
        REFUSED_USER
    };
    let mut wrong = Vec::new();
    let rungs = RUNGS.iter().enumerate();
    let rungs: Vec<_> = rungs
        .filter(|(_, rung)| own.as_ref().is_none_or(|own| rung.name == *own))
        .collect();
    assert!(!rungs.is_empty(), "no rung {own:?}");
    for (at, rung) in rungs {
        let mut attempts = table();
        let mut number = at;
        attempts.retain(|attempt| {
            // What the bare machine refuses shows nothing.
            if own.is_none() && refused.iter().any(|(name, _)| *name == attempt.name) {
                return false;
            }
            number += 1;
            let named = only.as_ref().is_none_or(|only| attempt.name.contains(only));
            let declared = rung.declared(attempt);
            let special = declared != rung.usual && declared != Comes::Refused;
            named && (every || special || number % SHARE == 0)
        });
        let start = std::time::Instant::now();
        let hidden = hiding.of(rung);
        let machine = match own {
            Some(_) => Machine::Confined(Some("minimum")),
            None => Machine::Without(&hidden),
        };
        let (mut found, count) = try_all(&programs, rung, machine, &attempts);
        let taken = start.elapsed().as_secs();
        println!(
            "{}: {} attempts, {count:?}, {taken} s",
            rung.name,
            attempts.len()
        );
        wrong.append(&mut found);
    }
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn what_is_declared_of_lower_machines_names_attempts() {
    let table = table();
    for rung in RUNGS {
        for (_, names) in rung.others {
            for name in *names {
                assert!(
                    table.iter().any(|attempt| attempt.name == *name),
                    "{}: no attempt {name:?}",
                    rung.name
                );
            }
        }
    }
}

/// What every attempt comes to where a feature is missing, counted.
fn counted() -> String {
    let mut table = table();
    // What not even root can do bare shows nothing.
    table.retain(|attempt| !REFUSED_ROOT.iter().any(|(name, _)| *name == attempt.name));
    let mut text =
        "| machine | held and recorded | held, not recorded | get through | no command starts |\n|---|---|---|---|---|\n"
            .to_owned();
    for rung in RUNGS {
        let count = |comes| table.iter().filter(|a| rung.declared(a) == comes).count();
        let all = [
            Comes::Recorded,
            Comes::Unseen,
            Comes::Through,
            Comes::Refused,
        ];
        let [recorded, unseen, through, refused] = all.map(count);
        text += &format!(
            "| {} | {recorded} | {unseen} | {through} | {refused} |\n",
            rung.name
        );
    }
    text
}

#[test]
fn the_page_of_levels_counts_what_is_declared() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/sandbox-degradation.md");
    let found = fs::read_to_string(&page).expect("the page");
    let start = "<!-- table: escapes -->\n";
    let (before, rest) = found.split_once(start).expect("a place for the table");
    let (_, after) = rest
        .split_once("<!-- end -->")
        .expect("an end of the table");
    let expected = format!("{before}{start}{}<!-- end -->{after}", counted());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&page, &expected).expect("our page");
    } else {
        assert!(
            found == expected,
            "run this test with UPDATE_DOCS=1 set to write it anew"
        );
    }
}
