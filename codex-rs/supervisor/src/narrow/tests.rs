//! No child has what its parent lacks, however it asks and however deep it is.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use codex_protocol::decision::{Effect, rule};
use codex_protocol::gate::decide;
use codex_protocol::ids::{AgentType, SessionId, TaskId};
use codex_protocol::operation::{Operation, Outcome};
use codex_protocol::policy::{Grant, GrantSource, Layer, Places, Policy, Right};
use codex_protocol::record::Subject;
use codex_protocol::request::{
    FileRead, FileWrite, GitPointer, KernelCall, NetworkAccess, NetworkRead, ProcessControl,
    ProcessSpawn, Requested, Transport, UnixAddress, UnixSocket, WriteKind,
};
use codex_protocol::security_profile::SecurityProfile;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::{Budget, RightKind, Rights, RightsRequest, Selection};

fn places() -> Places {
    Places {
        workspace: "/srv/p".into(),
        added: vec!["/srv/more".into()],
        home: Some("/home/ada".into()),
        codex_home: "/home/ada/.codex".into(),
        listed_programs: vec!["/usr/bin/git".into()],
        listed_trees: vec![],
    }
}

fn root(profile: SecurityProfile, rights: Vec<Right>) -> Rights {
    let mut layer = Layer::new(profile, places());
    layer.grants = rights
        .into_iter()
        .map(|right| Grant {
            right,
            source: GrantSource::CommandLine,
        })
        .collect();
    layer.pass_env = vec!["PG*".to_owned(), "TOKEN".to_owned()];
    Rights::new(
        Policy::new(layer),
        Selection::only(["read_file", "shell"]),
        Selection::only(["docs"]),
        Budget {
            turns: Some(10),
            tokens: Some(1000),
            time: Some(Duration::from_secs(60)),
        },
    )
}

fn effect(rights: &Rights, request: &dyn Requested) -> Effect {
    decide(rights.policy(), request.view()).effect
}

fn read(path: &str) -> FileRead {
    FileRead { path: path.into() }
}

fn write(path: &str) -> FileWrite {
    FileWrite {
        path: path.into(),
        kind: WriteKind::Create,
    }
}

fn get(host: &str) -> NetworkRead {
    NetworkRead {
        method: "GET".to_owned(),
        https: true,
        host: host.to_owned(),
        port: 443,
        path: "/".to_owned(),
        query: None,
    }
}

fn start(program: &str) -> ProcessSpawn {
    ProcessSpawn {
        program: program.into(),
        argv: vec![OsString::from(program)],
        cwd: "/srv/p".into(),
    }
}

/// Asks for too much of one kind, and for nothing that the parent has.
fn too_much(kind: RightKind) -> RightsRequest {
    let none = RightsRequest::default();
    let budget = Budget::default();
    match kind {
        RightKind::Profile => RightsRequest {
            profile: Some(SecurityProfile::Trusted),
            ..none
        },
        RightKind::Tool => RightsRequest {
            tools: Selection::only(["write_file"]),
            ..none
        },
        RightKind::McpServer => RightsRequest {
            mcp_servers: Selection::only(["mail"]),
            ..none
        },
        RightKind::Host => RightsRequest {
            hosts: Some(vec!["example.org".to_owned()]),
            ..none
        },
        RightKind::Read => RightsRequest {
            reads: Some(vec!["/home/ada/.ssh/id".into()]),
            ..none
        },
        RightKind::Write => RightsRequest {
            writes: Some(vec!["/etc".into()]),
            ..none
        },
        RightKind::Program => RightsRequest {
            programs: Some(vec!["/usr/bin/python3".into()]),
            ..none
        },
        RightKind::Variable => RightsRequest {
            variables: Some(vec!["AWS_*".to_owned()]),
            ..none
        },
        RightKind::Turns => RightsRequest {
            budget: Budget {
                turns: Some(11),
                ..budget
            },
            ..none
        },
        RightKind::Tokens => RightsRequest {
            budget: Budget {
                tokens: Some(1001),
                ..budget
            },
            ..none
        },
        RightKind::Time => RightsRequest {
            budget: Budget {
                time: Some(Duration::from_secs(61)),
                ..budget
            },
            ..none
        },
        RightKind::Workspace => RightsRequest {
            places: Some(Places {
                workspace: "/home/ada/.ssh".into(),
                ..places()
            }),
            ..none
        },
    }
}

#[test]
fn more_than_the_parent_has_is_refused_for_each_kind_of_right() {
    let parent = root(SecurityProfile::Offline, Vec::new());
    let subject = Subject {
        session_id: SessionId::new("s"),
        task_id: TaskId::new("t"),
        agent_type: AgentType::main(),
        profile: SecurityProfile::Offline,
    };
    for kind in RightKind::ALL {
        let request = too_much(kind);
        let narrowed = parent.narrow(&request);
        let [refusal] = &narrowed.refused[..] else {
            panic!("{kind}: {:?}", narrowed.refused);
        };
        assert_eq!(refusal.kind, kind);
        let entry = refusal.entry(&subject, "review");
        assert_eq!(entry.operation, Operation::AgentSpawn, "{kind}");
        assert_eq!(entry.outcome, Outcome::Denied, "{kind}");
        assert_eq!(entry.rule, rule::AGENT_RIGHTS.0);
        assert_eq!(entry.target, "review");
        let begins = format!("Offline profile: the {kind} '");
        assert!(entry.reason.starts_with(&begins), "{}", entry.reason);
        assert_eq!(entry.detail.unwrap()["right"], kind.as_str());
        assert_eq!(parent.narrow(&request).in_full(), Err(narrowed.refused));
    }
}

#[test]
fn nothing_asked_for_is_all_that_the_parent_has() {
    let rights = vec![
        Right::Read("/home/ada/.ssh".into()),
        Right::Write("/srv/out".into()),
        Right::Host("example.org".to_owned()),
        Right::Exec("/usr/bin/python3".into()),
    ];
    let parent = root(SecurityProfile::Offline, rights);
    let child = parent.narrow(&RightsRequest::default()).in_full().unwrap();
    assert_eq!(effect(&child, &read("/home/ada/.ssh/id")), Effect::Allow);
    assert_eq!(effect(&child, &write("/srv/out/x")), Effect::Allow);
    assert_eq!(effect(&child, &get("example.org")), Effect::Allow);
    assert_eq!(effect(&child, &start("/usr/bin/python3")), Effect::Allow);
    assert_eq!(effect(&child, &start("/usr/bin/perl")), Effect::Deny);
    assert!(child.policy().passes_variable("PGHOST"));
    assert_eq!(child.tools(), parent.tools());
    assert_eq!(child.mcp_servers(), parent.mcp_servers());
    assert_eq!(child.budget(), parent.budget());
}

#[test]
fn a_list_is_all_that_is_left_of_its_kind() {
    let rights = vec![
        Right::Read("/home/ada/.ssh".into()),
        Right::Write("/srv/out".into()),
        Right::Exec("/usr/bin/python3".into()),
    ];
    let parent = root(SecurityProfile::NetReadOnly, rights);
    let request = RightsRequest {
        reads: Some(Vec::new()),
        writes: Some(vec!["/srv/out/some".into()]),
        programs: Some(Vec::new()),
        hosts: Some(vec!["docs.rs".to_owned()]),
        variables: Some(vec!["TOKEN".to_owned()]),
        denied_reads: vec!["/srv/p/private".into()],
        ..RightsRequest::default()
    };
    let child = parent.narrow(&request).in_full().unwrap();
    for (path, may) in [
        ("/home/ada/.ssh/id", false),
        ("/srv/p/private/x", false),
        ("/srv/p/x", true),
    ] {
        assert_eq!(effect(&child, &read(path)) == Effect::Allow, may, "{path}");
    }
    for (path, may) in [
        ("/srv/out/some/x", true),
        ("/srv/out/x", false),
        ("/srv/p/x", false),
    ] {
        assert_eq!(effect(&child, &write(path)) == Effect::Allow, may, "{path}");
    }
    for (host, may) in [
        ("docs.rs", true),
        ("crates.io", false),
        ("example.org", false),
    ] {
        assert_eq!(effect(&child, &get(host)) == Effect::Allow, may, "{host}");
        let access = NetworkAccess {
            host: host.to_owned(),
            port: 443,
            transport: Transport::Proxy,
        };
        assert_eq!(effect(&child, &access) == Effect::Allow, may, "{host}");
    }
    assert!(child.policy().passes_variable("TOKEN"));
    assert!(!child.policy().passes_variable("PGHOST"));

    // A child of the child has no way back to what was left out.
    let request = RightsRequest {
        hosts: Some(vec!["docs.rs".to_owned(), "crates.io".to_owned()]),
        reads: Some(vec!["/home/ada/.ssh".into()]),
        variables: Some(vec!["PG*".to_owned()]),
        ..RightsRequest::default()
    };
    let narrowed = child.narrow(&request);
    let kinds: Vec<RightKind> = narrowed.refused.iter().map(|r| r.kind).collect();
    assert_eq!(
        kinds,
        [RightKind::Read, RightKind::Host, RightKind::Variable]
    );
    assert_eq!(effect(&narrowed.rights, &get("crates.io")), Effect::Deny);
    assert_eq!(effect(&narrowed.rights, &get("docs.rs")), Effect::Allow);
}

#[test]
fn a_reader_may_write_one_directory_where_its_parent_writes_the_workspace() {
    let parent = root(SecurityProfile::WorkspaceWrite, Vec::new());
    let request = RightsRequest {
        profile: Some(SecurityProfile::Offline),
        writes: Some(vec!["/srv/p/docs".into()]),
        ..RightsRequest::default()
    };
    let child = parent.narrow(&request).in_full().unwrap();
    assert_eq!(child.policy().profile(), SecurityProfile::Offline);
    assert_eq!(effect(&child, &write("/srv/p/docs/a.md")), Effect::Allow);
    assert_eq!(effect(&child, &write("/srv/p/src/a.rs")), Effect::Deny);
}

#[test]
fn an_offline_child_of_a_profile_without_a_list_starts_the_listed_programs() {
    let mut bare = places();
    bare.listed_programs = Vec::new();
    let layer = Layer::new(SecurityProfile::WorkspaceWrite, bare);
    let parent = Rights::new(
        Policy::new(layer),
        Selection::All,
        Selection::All,
        Budget::default(),
    );
    let request = RightsRequest {
        profile: Some(SecurityProfile::Offline),
        ..RightsRequest::default()
    };
    let child = parent.narrow(&request).in_full().unwrap();
    let listed = &child.policy().own().places.listed_programs;
    assert!(!listed.is_empty());
    let one = listed[0].to_str().unwrap();
    assert_eq!(effect(&child, &start(one)), Effect::Allow);
    assert_eq!(effect(&child, &start("/srv/p/a.out")), Effect::Deny);
}

#[test]
fn limits_that_trusted_cannot_enforce_leave_offline() {
    let parent = root(SecurityProfile::Trusted, Vec::new());
    let limited = [
        RightsRequest {
            hosts: Some(Vec::new()),
            ..RightsRequest::default()
        },
        RightsRequest {
            writes: Some(Vec::new()),
            ..RightsRequest::default()
        },
        RightsRequest {
            denied_reads: vec!["/srv/p/private".into()],
            ..RightsRequest::default()
        },
    ];
    for request in limited {
        let narrowed = parent.narrow(&request);
        assert_eq!(narrowed.rights.policy().profile(), SecurityProfile::Offline);
        assert_eq!(narrowed.refused[0].kind, RightKind::Profile);
    }
}

#[test]
fn a_child_works_where_its_parent_may_or_stays_where_its_parent_is() {
    let parent = root(SecurityProfile::WorkspaceWrite, Vec::new());
    let at = |workspace: &str| RightsRequest {
        places: Some(Places {
            workspace: workspace.into(),
            added: Vec::new(),
            ..places()
        }),
        ..RightsRequest::default()
    };
    let child = parent.narrow(&at("/srv/p/trees/one")).in_full().unwrap();
    assert_eq!(
        child.policy().own().places.workspace,
        PathBuf::from("/srv/p/trees/one")
    );
    assert_eq!(effect(&child, &write("/srv/p/trees/one/x")), Effect::Allow);
    assert_eq!(effect(&child, &write("/srv/p/x")), Effect::Deny);
    assert_eq!(effect(&child, &read("/home/ada/.ssh/id")), Effect::Deny);

    let narrowed = parent.narrow(&at("/srv/elsewhere"));
    assert_eq!(narrowed.refused[0].kind, RightKind::Workspace);
    assert_eq!(narrowed.rights.policy().own().places, places());
}

#[test]
fn a_budget_shrinks_with_what_is_left() {
    let parent = root(SecurityProfile::Offline, Vec::new());
    let left = parent.clone().within(Budget {
        turns: Some(3),
        ..Budget::default()
    });
    assert_eq!(left.budget().turns, Some(3));
    assert_eq!(left.budget().tokens, Some(1000));
    assert!(left.budget().is_within(parent.budget()));
    assert!(!parent.budget().is_within(left.budget()));
}

const PATHS: &[&str] = &[
    "/",
    "/srv",
    "/srv/p",
    "/srv/p/a",
    "/srv/p/.env",
    "/srv/p/.git/hooks/x",
    "/srv/more",
    "/srv/out",
    "/srv/out/x",
    "/home/ada",
    "/home/ada/.ssh",
    "/home/ada/.ssh/id",
    "/home/ada/.codex/auth",
    "/home/ada/x",
    "/etc/shadow",
    "/tmp/run",
    "/usr/bin/git",
    "/usr/bin/python3",
    "/dev/null",
];

const HOSTS: &[&str] = &[
    "docs.rs",
    "crates.io",
    "example.org",
    "a.example.org",
    "b.a.example.org",
    "10.0.0.1",
];

const HOST_RULES: &[&str] = &[
    "docs.rs",
    "crates.io",
    "example.org",
    "*.example.org",
    "a.example.org:8443",
    "example.org/a",
    "10.0.0.1",
    "*",
];

fn path() -> impl Strategy<Value = PathBuf> {
    select(PATHS).prop_map(PathBuf::from)
}

fn host_rule() -> impl Strategy<Value = String> {
    select(HOST_RULES).prop_map(str::to_owned)
}

fn profile() -> impl Strategy<Value = SecurityProfile> {
    select(&SecurityProfile::ALL[..])
}

fn right() -> impl Strategy<Value = Right> {
    prop_oneof![
        path().prop_map(Right::Read),
        path().prop_map(Right::DenyRead),
        path().prop_map(Right::Write),
        path().prop_map(Right::Exec),
        path().prop_map(Right::ExecTree),
        host_rule().prop_map(Right::Host),
        host_rule().prop_map(Right::DenyHost),
        host_rule().prop_map(Right::Tunnel),
        vec(host_rule(), 0..3).prop_map(Right::OnlyHosts),
    ]
}

fn selection() -> impl Strategy<Value = Selection> {
    let names = vec(select(&["a", "b", "c", "d"][..]), 0..4);
    option::of(names).prop_map(|names| names.map_or(Selection::All, Selection::only))
}

fn budget() -> impl Strategy<Value = Budget> {
    (
        option::of(0_u32..9),
        option::of(0_u64..9),
        option::of(0_u64..9),
    )
        .prop_map(|(turns, tokens, time)| Budget {
            turns,
            tokens,
            time: time.map(Duration::from_secs),
        })
}

fn some_places() -> impl Strategy<Value = Places> {
    (path(), vec(path(), 0..2)).prop_map(|(workspace, added)| Places {
        workspace,
        added,
        ..places()
    })
}

fn parent() -> impl Strategy<Value = Rights> {
    let source = select(&[GrantSource::CommandLine, GrantSource::Internal][..]);
    let grants = vec((right(), source), 0..5);
    (profile(), grants, selection(), selection(), budget()).prop_map(
        |(profile, grants, tools, servers, budget)| {
            let mut layer = Layer::new(profile, places());
            layer.grants = grants
                .into_iter()
                .map(|(right, source)| Grant { right, source })
                .collect();
            layer.pass_env = vec!["PG*".to_owned()];
            Rights::new(Policy::new(layer), tools, servers, budget)
        },
    )
}

fn asked() -> impl Strategy<Value = RightsRequest> {
    let lists = (
        option::of(vec(host_rule(), 0..4)),
        option::of(vec(path(), 0..4)),
        option::of(vec(path(), 0..4)),
        option::of(vec(path(), 0..4)),
        option::of(vec(
            select(&["PG*", "*", "TOKEN", "PATH"][..]).prop_map(str::to_owned),
            0..3,
        )),
        vec(path(), 0..2),
    );
    let whole = (
        option::of(profile()),
        selection(),
        selection(),
        budget(),
        option::of(some_places()),
    );
    (lists, whole).prop_map(
        |(
            (hosts, reads, writes, programs, variables, denied_reads),
            (profile, tools, mcp_servers, budget, places),
        )| RightsRequest {
            profile,
            tools,
            mcp_servers,
            hosts,
            reads,
            writes,
            programs,
            variables,
            denied_reads,
            budget,
            places,
        },
    )
}

fn act() -> impl Strategy<Value = Act> {
    let kind = select(
        &[
            WriteKind::Create,
            WriteKind::Modify,
            WriteKind::Delete,
            WriteKind::Rename,
            WriteKind::Metadata,
        ][..],
    );
    let port = select(&[443_u16, 80, 8443][..]);
    let method = select(&["GET", "POST", "CONNECT"][..]);
    let web_path = select(&["/", "/a", "/a/b", "/b"][..]);
    prop_oneof![
        path().prop_map(|path| Act(Box::new(FileRead { path }))),
        path().prop_map(|path| Act(Box::new(UnixSocket {
            address: UnixAddress::Path(path)
        }))),
        path().prop_map(|path| Act(Box::new(GitPointer {
            path,
            content: b"ref: refs/heads/main\n".to_vec()
        }))),
        any::<bool>().prop_map(|kernel| match kernel {
            true => Act(Box::new(KernelCall {
                call: "mount".to_owned(),
                argument: None
            })),
            false => Act(Box::new(ProcessControl {
                call: "kill".to_owned(),
                pid: 1
            })),
        }),
        (path(), kind).prop_map(|(path, kind)| Act(Box::new(FileWrite { path, kind }))),
        (path(), path()).prop_map(|(program, cwd)| Act(Box::new(ProcessSpawn {
            program,
            argv: Vec::new(),
            cwd
        }))),
        (select(HOSTS), port.clone()).prop_map(|(host, port)| Act(Box::new(NetworkAccess {
            host: host.to_owned(),
            port,
            transport: Transport::Proxy
        }))),
        (select(HOSTS), port, method, web_path).prop_map(|(host, port, method, path)| Act(
            Box::new(NetworkRead {
                method: method.to_owned(),
                https: port != 80,
                host: host.to_owned(),
                port,
                path: path.to_owned(),
                query: None,
            })
        )),
    ]
}

/// A request of any type.
struct Act(Box<dyn Requested>);

impl std::fmt::Debug for Act {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.0.view())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_chain_of_spawns_ever_grants(
        root in parent(),
        chain in vec(asked(), 1..5),
        acts in vec(act(), 1..40),
    ) {
        let mut parent = root;
        for request in chain {
            let narrowed = parent.narrow(&request);
            let child = &narrowed.rights;
            for act in &acts {
                let (own, childs) = (effect(&parent, &*act.0), effect(child, &*act.0));
                prop_assert!(childs >= own, "{:?} is {own:?} for the parent and {childs:?} for the child, of {request:?}", act.0.view());
            }
            let (own, childs) = (parent.policy().profile(), child.policy().profile());
            prop_assert_eq!(own.narrow(childs), childs);
            prop_assert!(child.tools().is_within(parent.tools()));
            prop_assert!(child.mcp_servers().is_within(parent.mcp_servers()));
            prop_assert!(child.budget().is_within(parent.budget()));
            for variable in ["PGHOST", "TOKEN", "AWS_SECRET_ACCESS_KEY", "PATH"] {
                prop_assert!(parent.policy().passes_variable(variable) || !child.policy().passes_variable(variable), "{variable}");
            }
            // What is asked for holds as a limit as well.
            prop_assert!(child.tools().is_within(&request.tools));
            prop_assert!(child.mcp_servers().is_within(&request.mcp_servers));
            prop_assert!(child.budget().is_within(request.budget));
            if let Some(hosts) = &request.hosts {
                for host in HOSTS {
                    let named = |text: &String| codex_protocol::hosts::HostRule::parse(text).is_ok_and(|rule| rule.names(host, 443));
                    prop_assert!(effect(child, &get(host)) != Effect::Allow || hosts.iter().any(named), "{host}");
                }
            }
            for denied in &request.denied_reads {
                let read = FileRead { path: denied.clone() };
                prop_assert!(effect(child, &read) != Effect::Allow, "{}", denied.display());
            }
            // Nothing is taken away without a word.
            if let Some(wanted) = request.profile.filter(|_| narrowed.refused.is_empty()) {
                prop_assert_eq!(childs, wanted);
            }
            parent = narrowed.rights;
        }
    }
}
