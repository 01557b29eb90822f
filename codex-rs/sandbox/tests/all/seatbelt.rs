//! Seatbelt profiles as text, and that no path breaks out of its quotes.

use std::path::PathBuf;

use codex_protocol::policy::{Grant, GrantSource, Policy, Right};
use codex_protocol::security_profile::SecurityProfile;
use codex_sandbox::seatbelt::{Run, Unspeakable, listed, profile};
use codex_sandbox::survey::Survey;
use proptest::prelude::*;

use crate::layer;

fn grant(right: Right) -> Grant {
    Grant {
        right,
        source: GrantSource::CommandLine,
    }
}

fn run() -> Run {
    Run {
        tag: "codex-0".to_owned(),
        proxy: None,
    }
}

#[test]
fn profiles_are_what_they_were() {
    for chosen in [
        SecurityProfile::Offline,
        SecurityProfile::WorkspaceWrite,
        SecurityProfile::NetReadOnly,
    ] {
        let mut layer = layer(chosen);
        layer.grants.extend([
            grant(Right::Read("/home/ada/.ssh/known_hosts".into())),
            grant(Right::DenyRead("/home/ada/project/private".into())),
        ]);
        let survey = Survey {
            env_files: vec!["/home/ada/project/.env".into()],
            incomplete: false,
        };
        let proxy = (chosen == SecurityProfile::NetReadOnly).then_some(49_152);
        let run = Run { proxy, ..run() };
        let places = layer.places.clone();
        let mut text = profile(&Policy::new(layer), &survey, &run).unwrap();
        if chosen == SecurityProfile::Offline {
            text += &listed(&places.listed_programs, &places.listed_trees).unwrap();
        }
        insta::assert_snapshot!(format!("seatbelt_{}", chosen.flag()), text);
    }
}

/// One expression of a profile.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Expression {
    Word(String),
    Text(String),
    List(Vec<Expression>),
}

/// Reads a profile as its compiler does: lists, words, and strings in which `\` escapes.
fn read(text: &str) -> Vec<Expression> {
    let mut stack = vec![Vec::new()];
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '(' => stack.push(Vec::new()),
            ')' => {
                let list = stack.pop().unwrap();
                stack.last_mut().unwrap().push(Expression::List(list));
            }
            '"' => {
                let mut value = String::new();
                loop {
                    match rest.next().unwrap() {
                        '"' => break,
                        '\\' => value.push(rest.next().unwrap()),
                        c => value.push(c),
                    }
                }
                stack.last_mut().unwrap().push(Expression::Text(value));
            }
            c if c.is_whitespace() => {}
            c => {
                let mut word = String::from(c);
                while let Some(c) = rest.next_if(|c| !c.is_whitespace() && !"()\"".contains(*c)) {
                    word.push(c);
                }
                stack.last_mut().unwrap().push(Expression::Word(word));
            }
        }
    }
    assert_eq!(stack.len(), 1, "the parentheses match");
    stack.pop().unwrap()
}

/// The expression with every text taken out.
fn shape(expression: &Expression) -> Expression {
    match expression {
        Expression::Word(word) => Expression::Word(word.clone()),
        Expression::Text(_) => Expression::Text(String::new()),
        Expression::List(list) => Expression::List(list.iter().map(shape).collect()),
    }
}

fn texts(expression: &Expression, found: &mut Vec<String>) {
    match expression {
        Expression::Word(_) => {}
        Expression::Text(text) => found.push(text.clone()),
        Expression::List(list) => list.iter().for_each(|e| texts(e, found)),
    }
}

fn with_path(path: &str) -> Result<Vec<Expression>, Unspeakable> {
    let mut layer = layer(SecurityProfile::WorkspaceWrite);
    let path = PathBuf::from(format!("/{path}"));
    layer.grants.extend([
        grant(Right::Read(path.clone())),
        grant(Right::DenyRead(path.clone())),
        grant(Right::Write(path.clone())),
        grant(Right::Exec(path)),
    ]);
    profile(&Policy::new(layer), &Survey::default(), &run()).map(|text| read(&text))
}

proptest! {
    #[test]
    fn no_path_breaks_out_of_its_quotes(path in "[^/\\x00]{1,40}") {
        prop_assume!(path != "." && path != "..");
        let plain = with_path("plain").unwrap();
        match with_path(&path) {
            Err(Unspeakable(_)) => prop_assert!(path.chars().any(char::is_control)),
            Ok(found) => {
                prop_assert!(!path.chars().any(char::is_control));
                let shapes = |all: &[Expression]| all.iter().map(shape).collect::<Vec<_>>();
                prop_assert_eq!(shapes(&found), shapes(&plain));
                let mut all = Vec::new();
                found.iter().for_each(|e| texts(e, &mut all));
                let wanted = format!("/{path}");
                prop_assert!(all.contains(&wanted), "{wanted} is named as it is");
            }
        }
    }

    #[test]
    fn no_tag_breaks_out_of_its_quotes(tag in ".{0,40}") {
        let policy = Policy::new(layer(SecurityProfile::Offline));
        let named = |tag: &str| {
            let run = Run { tag: tag.to_owned(), proxy: None };
            read(&profile(&policy, &Survey::default(), &run).unwrap())
        };
        let shapes = |all: Vec<Expression>| all.iter().map(shape).collect::<Vec<_>>();
        prop_assert_eq!(shapes(named(&tag)), shapes(named("a")));
    }
}

fn is_word(expression: &Expression, word: &str) -> bool {
    *expression == Expression::Word(word.to_owned())
}

/// The filters of each rule of this kind for an operation.
fn rules<'e>(
    all: &'e [Expression],
    kind: &'e str,
    operation: &'e str,
) -> impl Iterator<Item = Vec<&'e Expression>> {
    all.iter().filter_map(move |e| match e {
        Expression::List(list)
            if is_word(&list[0], kind) && list.iter().any(|e| is_word(e, operation)) =>
        {
            let filters = list.iter().filter(|e| match e {
                Expression::List(inner) => !is_word(&inner[0], "with"),
                _ => false,
            });
            Some(filters.collect())
        }
        _ => None,
    })
}

/// Whether the filter holds for a path: what `require-*`, `subpath`, `literal` and `regex` mean.
fn holds(filter: &Expression, path: &str) -> bool {
    let Expression::List(list) = filter else {
        panic!("a filter is a list: {filter:?}");
    };
    let text = || match &list[1] {
        Expression::Text(text) => text.as_str(),
        other => panic!("a text is expected: {other:?}"),
    };
    let Expression::Word(word) = &list[0] else {
        panic!("a filter begins with a word: {filter:?}");
    };
    match word.as_str() {
        "require-any" => list[1..].iter().any(|f| holds(f, path)),
        "require-all" => list[1..].iter().all(|f| holds(f, path)),
        "require-not" => !holds(&list[1], path),
        "literal" => path == text(),
        "subpath" => std::path::Path::new(path).starts_with(text()),
        "regex" => regex::Regex::new(text()).unwrap().is_match(path),
        other => panic!("no such filter: {other}"),
    }
}

/// Whether the profile allows the operation on a path.
fn allows(all: &[Expression], operation: &str, path: &str) -> bool {
    let fits = |kind| rules(all, kind, operation).any(|fs| fs.iter().all(|f| holds(f, path)));
    fits("allow") && !fits("deny")
}

fn planned(policy: &Policy) -> Vec<Expression> {
    let survey = Survey {
        env_files: vec!["/home/ada/project/.env".into()],
        incomplete: false,
    };
    let mut text = profile(policy, &survey, &run()).unwrap();
    let with_list = policy
        .layers()
        .find(|layer| layer.profile == SecurityProfile::Offline);
    if let Some(layer) = with_list {
        text += &listed(&layer.places.listed_programs, &layer.places.listed_trees).unwrap();
    }
    read(&text)
}

#[test]
fn protected_paths_and_secrets_stay_closed_in_any_spelling() {
    let mut layer = layer(SecurityProfile::WorkspaceWrite);
    layer.grants.extend([
        grant(Right::Read("/home/ada/.ssh/known_hosts".into())),
        grant(Right::Write("/home/ada/project/.husky".into())),
        grant(Right::DenyRead("/home/ada/project/private".into())),
    ]);
    let all = planned(&Policy::new(layer));
    for (path, expected) in [
        ("/home/ada/project/src/main.rs", true),
        ("/home/ada/project/.git/index", true),
        ("/home/ada/project/.git/refs/heads/config", true),
        ("/home/ada/project/.git/modules/lib/index", true),
        ("/home/ada/project/.gitignore", true),
        ("/home/ada/project/.husky/pre-commit", true),
        ("/dev/null", true),
        ("/home/ada/project/.git/hooks/pre-commit", false),
        ("/home/ada/project/.GIT/Hooks/pre-commit", false),
        ("/home/ada/project/.git/con\u{fb01}g", false),
        ("/home/ada/project/.git", false),
        ("/home/ada/project/.git/modules/a/b/config", false),
        ("/home/ada/project/vendor/lib/.git/config", false),
        ("/home/ada/project/.VSCode/tasks.json", false),
        ("/home/ada/project/.v\u{17f}code/tasks.json", false),
        ("/home/ada/project/sub/.envrc", false),
        ("/home/ada/project/.cargo/config.toml", false),
        ("/home/ada/project/.cargo", false),
        ("/home/ada/project/private/a", false),
        ("/home/ada/notes.txt", false),
        ("/home/ada/projects", false),
        ("/dev/disk0", false),
    ] {
        assert_eq!(allows(&all, "file-write*", path), expected, "write {path}");
    }
    for (path, expected) in [
        ("/etc/passwd", true),
        ("/home/ada/.bashrc", true),
        ("/home/ada/.ssh/known_hosts", true),
        ("/home/ada/project/.git/config", true),
        ("/dev/null", true),
        ("/dev/fd/3", true),
        ("/home/ada/.ssh/id_ed25519", false),
        ("/home/ada/.SSH/id_ed25519", false),
        ("/home/ada/.\u{df}h/id_ed25519", false),
        ("/home/ada/.cargo/credentials.toml", false),
        ("/home/ada/project/.env", false),
        ("/home/ada/project/.ENV", false),
        ("/home/ada/project/private/a", false),
        ("/System/Volumes/Data/home/ada/.ssh/id_ed25519", false),
        ("/private/etc/ssh/ssh_host_rsa_key", false),
        ("/home/bob/notes", false),
        ("/Users/bob/notes", false),
        ("/dev/disk0", false),
    ] {
        assert_eq!(allows(&all, "file-read*", path), expected, "read {path}");
    }
}

#[test]
fn each_profile_starts_and_reaches_what_it_may() {
    let of = |profile| planned(&Policy::new(layer(profile)));
    let offline = of(SecurityProfile::Offline);
    for (program, expected) in [
        ("/usr/bin/cat", true),
        ("/usr/lib/git-core/git-status", true),
        ("/usr/bin/python3", false),
        ("/usr/bin/cat/x", false),
    ] {
        assert_eq!(
            allows(&offline, "process-exec*", program),
            expected,
            "{program}"
        );
    }
    assert!(!allows(
        &offline,
        "file-map-executable",
        "/home/ada/project/evil.dylib"
    ));
    assert!(allows(
        &offline,
        "file-map-executable",
        "/usr/lib/libSystem.B.dylib"
    ));
    assert!(!allows(
        &offline,
        "file-write*",
        "/home/ada/project/src/main.rs"
    ));
    for operation in ["network-outbound", "network-bind"] {
        assert_eq!(
            rules(&offline, "allow", operation).count(),
            0,
            "{operation}"
        );
    }
    let writing = of(SecurityProfile::WorkspaceWrite);
    assert!(allows(
        &writing,
        "process-exec*",
        "/opt/homebrew/bin/python3"
    ));
    assert!(allows(
        &writing,
        "network-outbound",
        "/home/ada/project/server.sock"
    ));
    assert!(!allows(
        &writing,
        "network-outbound",
        "/var/run/docker.sock"
    ));
}

#[test]
fn every_layer_has_to_allow() {
    let inner = {
        let mut inner = layer(SecurityProfile::WorkspaceWrite);
        inner
            .grants
            .push(grant(Right::Exec("/usr/bin/python3".into())));
        inner
    };
    let policy = Policy::new(layer(SecurityProfile::Offline)).narrow(inner);
    let all = planned(&policy);
    assert!(allows(&all, "process-exec*", "/usr/bin/cat"));
    assert!(!allows(&all, "process-exec*", "/usr/bin/python3"));
    assert!(!allows(
        &all,
        "file-write*",
        "/home/ada/project/src/main.rs"
    ));
    assert_eq!(rules(&all, "allow", "network-outbound").count(), 0);
}
