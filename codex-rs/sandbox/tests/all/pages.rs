//! The tables of `docs/security-profiles.md` and `docs/sandbox-degradation.md` come from the gate
//! and from the reports. With `UPDATE_DOCS=1` the tests write them anew.

use std::fs;
use std::path::Path;

use codex_protocol::decision::{Decision, Effect};
use codex_protocol::gate;
use codex_protocol::policy::Policy;
use codex_protocol::request::{
    FileRead, FileWrite, NetworkAccess, NetworkRead, ProcessSpawn, Requested, Transport, WriteKind,
};
use codex_protocol::security_profile::SecurityProfile;
use codex_sandbox::capability::Capabilities;
use codex_sandbox::ladder::{MACOS, RUNGS, Rung, WINDOWS};
use codex_sandbox::measure::{MEASURES, Platform};
use codex_sandbox::plan;
use codex_sandbox::report;
use codex_sandbox::survey::Survey;

use crate::{layer, wishes};

/// The rows of a table, its heading first.
fn table(rows: &[Vec<String>]) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let Some((heading, rows)) = rows.split_first() else {
        return String::new();
    };
    let mut text = line(heading);
    text += &format!("|{}\n", "---|".repeat(heading.len()));
    text.extend(rows.iter().map(|row| line(row)));
    text
}

fn words(cells: &[&str]) -> Vec<String> {
    cells.iter().map(|c| (*c).to_owned()).collect()
}

/// Things that people want to know of a profile, as the gate is asked them.
fn questions() -> Vec<(&'static str, Box<dyn Requested>)> {
    let read = |path: &str| Box::new(FileRead { path: path.into() });
    let write = |path: &str| {
        Box::new(FileWrite {
            path: path.into(),
            kind: WriteKind::Modify,
        })
    };
    let start = |program: &str| {
        Box::new(ProcessSpawn {
            program: program.into(),
            argv: vec![program.into()],
            cwd: "/home/ada/project".into(),
        })
    };
    let get = |host: &str| {
        Box::new(NetworkRead {
            method: "GET".to_owned(),
            https: true,
            host: host.to_owned(),
            port: 443,
            path: "/".to_owned(),
            query: None,
        })
    };
    let reach = |host: &str| {
        Box::new(NetworkAccess {
            host: host.to_owned(),
            port: 443,
            transport: Transport::Tcp,
        })
    };
    vec![
        (
            "read a file of the workspace",
            read("/home/ada/project/src/main.rs"),
        ),
        ("read a file of the system", read("/etc/passwd")),
        (
            "read a secret, `~/.ssh` say",
            read("/home/ada/.ssh/id_ed25519"),
        ),
        (
            "read the workspace's `.env`",
            read("/home/ada/project/.env"),
        ),
        (
            "write in the workspace",
            write("/home/ada/project/src/main.rs"),
        ),
        (
            "write `.git/hooks` and other protected paths",
            write("/home/ada/project/.git/hooks/pre-commit"),
        ),
        ("write elsewhere", write("/home/ada/notes.txt")),
        ("write `/dev/null`", write("/dev/null")),
        ("start a listed program, `cat` say", start("/usr/bin/cat")),
        ("start another program", start("/usr/bin/python3")),
        ("read a package index", get("crates.io")),
        ("read another host", get("example.org")),
        ("connect to another host", reach("example.org")),
    ]
}

fn decide(profile: SecurityProfile, request: &dyn Requested) -> Decision {
    gate::decide(&Policy::new(layer(profile)), request.view())
}

fn profiles() -> String {
    let names = SecurityProfile::ALL.iter().map(|p| p.name().to_owned());
    let mut rows = vec![
        std::iter::once(String::new())
            .chain(names)
            .collect::<Vec<_>>(),
    ];
    for (question, request) in questions() {
        let answers = SecurityProfile::ALL.iter().map(|profile| {
            let decision = decide(*profile, &*request);
            let word = match decision.effect {
                Effect::Allow => "yes",
                Effect::Ask => "asks",
                Effect::Deny => "no",
            };
            format!("{word} (`{}`)", decision.rule)
        });
        rows.push(
            std::iter::once(question.to_owned())
                .chain(answers)
                .collect(),
        );
    }
    table(&rows)
}

/// Of each answer that is no: why, and the least that would allow it.
fn reasons() -> String {
    let mut rows = vec![words(&[
        "to",
        "under",
        "is refused because",
        "the least that allows it",
    ])];
    for (question, request) in questions() {
        let mut told: Vec<(String, Vec<&str>, String)> = Vec::new();
        for profile in SecurityProfile::ALL {
            let decision = decide(profile, &*request);
            if decision.effect == Effect::Allow {
                continue;
            }
            let prefix = format!("{profile} profile: ");
            let reason = decision.reason.trim_start_matches(&prefix).to_owned();
            let remedy = decision
                .remedy
                .map_or_else(|| "nothing".to_owned(), |r| format!("`{r}`"));
            match told
                .iter_mut()
                .find(|(r, _, m)| (r, m) == (&reason, &remedy))
            {
                Some((_, profiles, _)) => profiles.push(profile.name()),
                None => told.push((reason, vec![profile.name()], remedy)),
            }
        }
        rows.extend(told.into_iter().map(|(reason, under, remedy)| {
            vec![question.to_owned(), under.join(", "), reason, remedy]
        }));
    }
    table(&rows)
}

/// What is wanted on a platform, what enforces it, and what follows where it is missing.
fn measures(platform: Platform) -> String {
    let mut rows = vec![words(&[
        "wanted",
        "enforced by",
        "without it",
        "level",
        "to do",
    ])];
    let none = Capabilities {
        platform,
        ..Capabilities::NONE
    };
    for measure in MEASURES.iter().filter(|m| m.platform == platform) {
        let everything_missing = measure
            .profiles
            .iter()
            .flat_map(|p| report::assess(*p, none).missing);
        let missing = everything_missing
            .chain([report::UNSEEN_FILES])
            .find(|m| m.feature == measure.feature);
        let (consequence, level) = missing.map_or(("", ""), |m| (m.consequence, m.level.as_str()));
        rows.push(words(&[
            measure.wanted,
            measure.feature,
            consequence,
            level,
            measure.remedy,
        ]));
    }
    table(&rows)
}

/// Each kind of machine, from the top down.
fn rungs(all: &[Rung]) -> String {
    let confined = [SecurityProfile::Offline, SecurityProfile::WorkspaceWrite];
    let mut rows = vec![words(&[
        "machine",
        "Offline",
        "WorkspaceWrite",
        "and is missing, beside what the rung above is",
    ])];
    let mut above: Vec<&str> = Vec::new();
    for rung in all {
        let answers = confined.map(|profile| {
            let policy = Policy::new(layer(profile));
            let planned = |accept| {
                let wishes = plan::Wishes { accept, ..wishes() };
                plan::plan(&policy, rung.capabilities, &Survey::default(), wishes).is_ok()
            };
            let level = report::assess(profile, rung.capabilities).level;
            match (planned(None), planned(Some(level))) {
                (true, _) => format!("{level}: runs"),
                (false, true) => format!("{level}: refused unless accepted"),
                (false, false) => format!("{level}: no command starts, whatever is accepted"),
            }
        });
        let missing = report::assess(SecurityProfile::WorkspaceWrite, rung.capabilities).missing;
        let missing: Vec<&str> = missing.iter().map(|m| m.feature).collect();
        let new: Vec<&str> = missing
            .iter()
            .copied()
            .filter(|m| !above.contains(m))
            .collect();
        let mut row = vec![rung.name.to_owned()];
        row.extend(answers);
        row.push(if new.is_empty() {
            "nothing".to_owned()
        } else {
            new.join(", ")
        });
        rows.push(row);
        above = missing;
    }
    table(&rows)
}

/// Compares what stands between `<!-- table: NAME -->` and `<!-- end -->` with each table.
fn check(page: &str, tables: &[(&str, String)]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../docs")
        .join(page);
    let found = fs::read_to_string(&path).unwrap();
    let mut expected = found.clone();
    for (name, table) in tables {
        let start = format!("<!-- table: {name} -->\n");
        let (before, rest) = expected
            .split_once(&start)
            .unwrap_or_else(|| panic!("docs/{page} has no place for the table {name}"));
        let (_, after) = rest.split_once("<!-- end -->").unwrap();
        expected = format!("{before}{start}{table}<!-- end -->{after}");
    }
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &expected).unwrap();
        return;
    }
    assert!(
        found == expected,
        "docs/{page} is not what the code says; run this test with UPDATE_DOCS=1 set to write it anew"
    );
}

#[test]
fn the_page_of_profiles_says_what_the_gate_says() {
    check(
        "security-profiles.md",
        &[("profiles", profiles()), ("reasons", reasons())],
    );
}

#[test]
fn the_page_of_levels_says_what_the_reports_say() {
    check(
        "sandbox-degradation.md",
        &[
            ("linux", measures(Platform::Linux)),
            ("rungs", rungs(RUNGS)),
            ("macos", measures(Platform::MacOs)),
            ("macos rungs", rungs(MACOS)),
            ("windows", measures(Platform::Windows)),
            ("windows rungs", rungs(WINDOWS)),
        ],
    );
}
