//! Containers as data.

use std::path::Path;

use codex_protocol::policy::{Grant, GrantSource, Policy, Right};
use codex_protocol::security_profile::SecurityProfile;
use codex_sandbox::appcontainer::{Container, Kind, access, container};
use codex_sandbox::plan::Limits;
use codex_sandbox::survey::Survey;

use crate::layer;

fn planned(policy: &Policy) -> Container {
    let survey = Survey {
        env_files: vec!["/home/ada/project/.env".into()],
        incomplete: false,
    };
    let limits = Limits {
        memory: Some(1 << 30),
        ..Limits::default()
    };
    container(policy, &survey, limits, true)
}

fn granted(right: Right) -> Grant {
    Grant {
        right,
        source: GrantSource::CommandLine,
    }
}

#[test]
fn containers_are_what_they_were() {
    for chosen in [SecurityProfile::Offline, SecurityProfile::WorkspaceWrite] {
        let mut layer = layer(chosen);
        layer.grants.extend([
            granted(Right::Read("/home/ada/.ssh/known_hosts".into())),
            granted(Right::DenyRead("/home/ada/project/private".into())),
            granted(Right::Exec("/opt/tool/tool.exe".into())),
        ]);
        let planned = planned(&Policy::new(layer));
        let mut text = format!(
            "isolated {}, memory {:?}, desktop {:#x}, capabilities {:?}\n",
            planned.isolated, planned.job.memory, planned.job.desktop, planned.capabilities
        );
        for entry in &planned.entries {
            text += &format!(
                "{:?} {:#010x} {}{}\n",
                entry.kind,
                entry.rights,
                entry.path.display(),
                if entry.inherited { " and below" } else { "" }
            );
        }
        insta::assert_snapshot!(format!("container_{}", chosen.flag()), text);
    }
}

/// The rights that are left on a path: what is given to a tree that holds it, without what is
/// taken there.
fn rights(container: &Container, path: &str) -> u32 {
    let path = Path::new(path);
    let of = |kind| {
        let entries = container.entries.iter().filter(|e| e.kind == kind);
        entries
            .filter(|e| path == e.path || (e.inherited && path.starts_with(&e.path)))
            .fold(0, |all, e| all | e.rights)
    };
    of(Kind::Grant) & !of(Kind::Deny)
}

#[test]
fn what_is_not_given_is_closed_and_what_is_protected_stays() {
    let all = planned(&Policy::new(layer(SecurityProfile::WorkspaceWrite)));
    let project = "/home/ada/project";
    for (path, expected) in [
        ("src/main.rs", true),
        (".git/index", true),
        (".git/info/exclude", true),
        (".git/hooks/pre-commit", false),
        (".git/config", false),
        (".git/info/attributes", false),
        (".vscode/tasks.json", false),
        (".cargo/config.toml", false),
        (".env", false),
    ] {
        let left = rights(&all, &format!("{project}/{path}"));
        assert_eq!(
            left & access::WRITE == access::WRITE,
            expected,
            "write {path}"
        );
        let readable = left & access::READ == access::READ;
        assert_eq!(readable, path != ".env", "read {path}");
    }
    assert_eq!(rights(&all, "/home/ada/.ssh/id"), 0);
    assert_eq!(rights(&all, "/home/ada/notes.txt"), 0);
    for place in [".git", ".git/info", ".cargo"] {
        let left = rights(&all, &format!("{project}/{place}"));
        assert_eq!(left & access::DELETE, 0, "{place} keeps its place");
    }
    for entry in all.entries.iter().filter(|e| e.kind == Kind::Grant) {
        assert_eq!(entry.rights & access::NEVER, 0, "{entry:?}");
    }
}

#[test]
fn offline_writes_nothing_and_starts_nothing_of_the_workspace() {
    let all = planned(&Policy::new(layer(SecurityProfile::Offline)));
    let left = rights(&all, "/home/ada/project/tool.exe");
    assert_eq!(left & access::READ, access::READ);
    assert_eq!(left & (access::WRITE | access::EXECUTE) & !access::READ, 0);
    assert!(all.capabilities.is_empty(), "no capability, so no network");
}

#[test]
fn every_layer_has_to_give() {
    let mut inner = layer(SecurityProfile::WorkspaceWrite);
    inner.grants.push(granted(Right::Read("/srv/data".into())));
    let policy = Policy::new(layer(SecurityProfile::Offline)).narrow(inner);
    let all = planned(&policy);
    let left = rights(&all, "/home/ada/project/src/main.rs");
    assert_eq!(left & access::READ, access::READ);
    assert_eq!(left & access::WRITE & !access::READ, 0);
    assert_eq!(rights(&all, "/srv/data/a"), 0);
}

#[test]
fn without_containers_nothing_is_entered_anywhere() {
    let policy = Policy::new(layer(SecurityProfile::WorkspaceWrite));
    let bare = container(&policy, &Survey::default(), Limits::default(), false);
    assert!(!bare.isolated);
    assert!(bare.entries.is_empty());
}
