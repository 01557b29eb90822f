//! Plans are data: what they hold is the same on every host, and stands here to be read.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "the whole binary is tests"
)]

mod all {
    mod appcontainer;
    mod pages;
    mod seatbelt;
}

use std::path::PathBuf;

use codex_protocol::policy::{Grant, GrantSource, Layer, Places, Policy, Right};
use codex_protocol::security_profile::SecurityProfile;
use codex_sandbox::capability::Capabilities;
use codex_sandbox::plan::{self, CannotEnforce, Limits, Plan, Terminal, Wishes};
use codex_sandbox::report::Level;
use codex_sandbox::seccomp::Watching;
use codex_sandbox::survey::Survey;

fn layer(profile: SecurityProfile) -> Layer {
    Layer::new(
        profile,
        Places {
            workspace: "/home/ada/project".into(),
            home: Some("/home/ada".into()),
            codex_home: "/home/ada/.codex".into(),
            listed_programs: vec!["/usr/bin/cat".into(), "/usr/bin/dash".into()],
            listed_trees: vec!["/usr/lib/git-core".into()],
            ..Places::default()
        },
    )
}

fn wishes() -> Wishes {
    Wishes {
        environment: [
            ("PATH", "/usr/bin"),
            ("OPENAI_API_KEY", "k"),
            ("LD_PRELOAD", "x"),
        ]
        .map(|(n, v)| (n.into(), v.into()))
        .to_vec(),
        set: vec![("TMPDIR".into(), "/tmp/private".into())],
        limits: Limits::default(),
        terminal: Terminal::None,
        accept: None,
        audit_reads: false,
        shared_memory: None,
        proxy: None,
    }
}

fn kernel(landlock_abi: u32) -> Capabilities {
    Capabilities {
        landlock_abi,
        seccomp: true,
        user_notification: true,
        network_namespace: true,
        ..Capabilities::NONE
    }
}

/// A plan in a form to be read: one line a rule, with what it leaves out only counted.
fn shown(profile: SecurityProfile, abi: u32) -> String {
    let mut layer = layer(profile);
    let grant = |right| Grant {
        right,
        source: GrantSource::CommandLine,
    };
    layer
        .grants
        .push(grant(Right::Read("/home/ada/.ssh/known_hosts".into())));
    layer
        .grants
        .push(grant(Right::DenyRead("/home/ada/project/private".into())));
    layer.grants.push(grant(Right::Write("/srv/out".into())));
    let survey = Survey {
        env_files: vec![PathBuf::from("/home/ada/project/.env")],
        incomplete: false,
    };
    let policy = Policy::new(layer);
    let (plan, report) = plan::plan(&policy, kernel(abi), &survey, wishes()).unwrap();
    let programs = plan::programs(&policy, kernel(abi));
    let confinement = plan.confinement.unwrap();
    let mut text = format!(
        "level {}\nenvironment {:?}\n",
        report.level, plan.environment
    );
    for ruleset in confinement.rulesets.iter().chain(&programs.rulesets) {
        text += &format!(
            "handled {:#x}, network {:#x}, scopes {:#x}\n",
            ruleset.handled, ruleset.network, ruleset.scopes
        );
        for rule in &ruleset.rules {
            text += &format!(
                "{:#06x} {} except {}\n",
                rule.access,
                rule.path.display(),
                rule.except.len()
            );
        }
    }
    text
}

#[test]
fn rulesets_by_profile_and_kernel() {
    insta::assert_snapshot!("offline_abi7", shown(SecurityProfile::Offline, 7));
    insta::assert_snapshot!(
        "workspace_write_abi7",
        shown(SecurityProfile::WorkspaceWrite, 7)
    );
    insta::assert_snapshot!(
        "workspace_write_abi3",
        shown(SecurityProfile::WorkspaceWrite, 3)
    );
}

#[test]
fn filters_by_profile() {
    for profile in [SecurityProfile::Offline, SecurityProfile::WorkspaceWrite] {
        for supervisor in [false, true] {
            let watching = Watching {
                supervisor,
                processes: true,
                reads: false,
            };
            let filter = codex_sandbox::seccomp::filter(profile, watching);
            let lines: Vec<String> = filter
                .rules
                .iter()
                .map(|r| format!("{} {:?} {:?} {:?}", r.call, r.when, r.then, r.refusal))
                .collect();
            let name = match supervisor {
                true => format!("filter_{}_supervised", profile.flag()),
                false => format!("filter_{}", profile.flag()),
            };
            insta::assert_snapshot!(name, lines.join("\n"));
        }
    }
}

#[test]
fn a_machine_that_does_too_little_is_refused_unless_that_is_accepted() {
    let plan = |abi, accept| {
        let policy = Policy::new(layer(SecurityProfile::Offline));
        plan::plan(
            &policy,
            kernel(abi),
            &Survey::default(),
            Wishes { accept, ..wishes() },
        )
    };
    assert_eq!(plan(7, None).unwrap().1.level, Level::Full);
    assert_eq!(plan(4, None).unwrap().1.level, Level::Partial);
    let refused = plan(0, None).unwrap_err();
    assert!(
        matches!(
            &refused,
            CannotEnforce::Level {
                level: Level::Minimum,
                ..
            }
        ),
        "{refused}"
    );
    assert!(
        refused.to_string().contains("--accept-level minimum"),
        "{refused}"
    );
    assert!(
        plan(0, Some(Level::Partial)).is_err(),
        "accepting partial does not accept minimum"
    );
    let (accepted, report) = plan(0, Some(Level::Minimum)).unwrap();
    assert_eq!(report.level, Level::Minimum);
    assert!(
        !accepted.confinement.unwrap().filter.rules.is_empty(),
        "what can be enforced still is"
    );
}

#[test]
fn a_profile_whose_proxy_is_missing_is_refused_in_every_layer() {
    let direct = Policy::new(layer(SecurityProfile::NetReadOnly));
    let below =
        Policy::new(layer(SecurityProfile::Trusted)).narrow(layer(SecurityProfile::NetReadOnly));
    let mut granted = layer(SecurityProfile::Offline);
    granted.grants.push(Grant {
        right: Right::Host("docs.rs".to_owned()),
        source: GrantSource::CommandLine,
    });
    for policy in [direct, below, Policy::new(granted)] {
        let plan = |proxy, capabilities| {
            let wishes = Wishes { proxy, ..wishes() };
            plan::plan(&policy, capabilities, &Survey::default(), wishes)
        };
        let missing = plan(None, kernel(7)).unwrap_err();
        assert!(matches!(missing, CannotEnforce::NoProxy { .. }));
        let proxy = Some(([127, 0, 0, 1], 3128).into());
        for lacking in [
            Capabilities {
                user_notification: false,
                ..kernel(7)
            },
            Capabilities {
                network_namespace: false,
                ..kernel(7)
            },
        ] {
            let refused = plan(proxy, lacking).unwrap_err();
            assert!(matches!(refused, CannotEnforce::NoSupervisor { .. }));
        }
        let (plan, _) = plan(proxy, kernel(7)).unwrap();
        assert_eq!(reached(&plan), proxy);
    }
}

#[test]
fn a_proxy_is_in_no_plan_that_reaches_no_host() {
    for profile in [SecurityProfile::Offline, SecurityProfile::Trusted] {
        let wishes = Wishes {
            proxy: Some(([127, 0, 0, 1], 3128).into()),
            ..wishes()
        };
        let policy = Policy::new(layer(profile));
        let (plan, _) = plan::plan(&policy, kernel(7), &Survey::default(), wishes).unwrap();
        assert_eq!(reached(&plan), None);
    }
}

/// The one address outside that a command may connect to.
fn reached(plan: &Plan) -> Option<std::net::SocketAddr> {
    plan.confinement.as_ref()?.supervision.as_ref()?.proxy
}

#[test]
fn each_layer_of_a_policy_is_a_ruleset_of_its_own() {
    let policy =
        Policy::new(layer(SecurityProfile::WorkspaceWrite)).narrow(layer(SecurityProfile::Offline));
    let (plan, _) = plan::plan(&policy, kernel(7), &Survey::default(), wishes()).unwrap();
    assert_eq!(plan.confinement.unwrap().rulesets.len(), 2);
    let trusted = Policy::new(layer(SecurityProfile::Trusted));
    let (plan, _) = plan::plan(&trusted, Capabilities::NONE, &Survey::default(), wishes()).unwrap();
    assert!(plan.confinement.is_none());
}

#[test]
fn a_workspace_that_was_not_seen_whole_is_told() {
    let policy = Policy::new(layer(SecurityProfile::Offline));
    let missing = |incomplete| {
        let survey = Survey {
            incomplete,
            ..Survey::default()
        };
        plan::plan(&policy, kernel(7), &survey, wishes())
            .unwrap()
            .1
            .missing
            .len()
    };
    assert_eq!(missing(true), missing(false) + 1);
}
