//! What holds for every policy and every request.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use codex_protocol::decision::{Decision, Effect, Remedy, Rule};
use codex_protocol::gate::{WRITABLE_DEVICES, decide, reads_all_below};
use codex_protocol::policy::{Grant, GrantSource, Layer, Places, Policy, Right};
use codex_protocol::request::{
    FileRead, FileWrite, GitConfigChange, GitPointer, KernelCall, ModelRequest, NetworkAccess,
    ProcessControl, ProcessSpawn, Request, Requested, Resource, ResourceLimit, SocketKind,
    TerminalControl, Transport, UnixAddress, UnixSocket, WriteKind,
};
use codex_protocol::secrets::{PathPattern, is_env_file};
use codex_protocol::security_profile::SecurityProfile;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::places::{self, layer, places, typed};

/// Where paths begin: near everything that a rule speaks of.
const ROOTS: &[&str] = &[
    "/",
    "/srv",
    "/srv/p",
    "/srv/p/.git",
    "/srv/p/.git/modules/lib",
    "/srv/p/.claude/work",
    "/srv/more",
    "/home",
    "/home/ada",
    "/home/ada/.config",
    "/home/ada/.ssh",
    "/home/ada/.codex",
    "/home/bob/p",
    "/etc",
    "/dev",
    "/tmp/run",
    "/usr/bin",
    "/usr/lib/git-core",
];

const NAMES: &[&str] = &[
    ".git",
    "hooks",
    "config",
    "config.worktree",
    "commondir",
    "info",
    "attributes",
    "modules",
    "worktrees",
    "lib",
    ".cargo",
    "config.toml",
    ".claude",
    ".envrc",
    ".env",
    ".env.local",
    ".env.example",
    ".ssh",
    "id",
    ".config",
    "gh",
    ".codex",
    "auth",
    "shadow",
    "null",
    "p",
    "ada",
    "bob",
    "a",
    "git",
    "python3",
    "pre-commit.sample",
    ".GIT",
    "H\u{f6}oks",
    ".\u{df}h",
    "x y",
];

fn path() -> impl Strategy<Value = PathBuf> {
    (select(ROOTS), vec(select(NAMES), 0..4)).prop_map(|(root, names)| {
        let mut path = PathBuf::from(root);
        path.extend(names);
        path
    })
}

/// A file name of these bytes, where the system has such names.
fn os_string(bytes: Vec<u8>) -> OsString {
    let text = String::from_utf8_lossy(&bytes).into_owned();
    // serde builds an `OsString` of any bytes on Unix and refuses elsewhere.
    serde_json::from_value(serde_json::json!({ "Unix": bytes })).unwrap_or_else(|_| text.into())
}

/// Anything at all: not UTF-8, relative, with `..`, `//` and dots.
fn wild_path() -> impl Strategy<Value = PathBuf> {
    let piece = prop_oneof![
        select(
            &[
                "..", ".", "", "/", "//", "\0", ".git", ".env", "~", ":", "C:", "..."
            ][..]
        )
        .prop_map(|text| text.as_bytes().to_vec()),
        select(NAMES).prop_map(|text| text.as_bytes().to_vec()),
        vec(any::<u8>(), 0..6),
        ".{0,6}".prop_map(String::into_bytes),
    ];
    (any::<bool>(), vec(piece, 0..8)).prop_map(|(absolute, pieces)| {
        let mut bytes = if absolute { b"/".to_vec() } else { Vec::new() };
        bytes.extend(pieces.join(&b'/'));
        PathBuf::from(os_string(bytes))
    })
}

fn any_path() -> impl Strategy<Value = PathBuf> {
    prop_oneof![4 => path(), 1 => wild_path()]
}

fn host() -> impl Strategy<Value = String> {
    prop_oneof![
        select(
            &[
                "example.com",
                "docs.rs",
                "localhost",
                "::1",
                "0.0.0.0",
                "",
                "a;b"
            ][..]
        )
        .prop_map(str::to_owned),
        ".{0,8}",
    ]
}

fn profile() -> impl Strategy<Value = SecurityProfile> {
    select(&SecurityProfile::ALL[..])
}

fn write_kind() -> impl Strategy<Value = WriteKind> {
    select(&WriteKind::ALL[..])
}

#[derive(Clone, Debug)]
enum Any {
    Read(FileRead),
    Write(FileWrite),
    Config(GitConfigChange),
    Pointer(GitPointer),
    Spawn(ProcessSpawn),
    Network(NetworkAccess),
    Unix(UnixSocket),
    Kernel(KernelCall),
    Socket(SocketKind),
    Terminal(TerminalControl),
    Process(ProcessControl),
    Limit(ResourceLimit),
    Model(ModelRequest),
}

impl Requested for Any {
    fn view(&self) -> Request<'_> {
        match self {
            Self::Read(r) => r.view(),
            Self::Write(r) => r.view(),
            Self::Config(r) => r.view(),
            Self::Pointer(r) => r.view(),
            Self::Spawn(r) => r.view(),
            Self::Network(r) => r.view(),
            Self::Unix(r) => r.view(),
            Self::Kernel(r) => r.view(),
            Self::Socket(r) => r.view(),
            Self::Terminal(r) => r.view(),
            Self::Process(r) => r.view(),
            Self::Limit(r) => r.view(),
            Self::Model(r) => r.view(),
        }
    }
}

fn request() -> impl Strategy<Value = Any> {
    prop_oneof![
        3 => any_path().prop_map(|path| Any::Read(FileRead { path })),
        6 => (any_path(), write_kind())
            .prop_map(|(path, kind)| Any::Write(FileWrite { path, kind })),
        1 => (any_path(), option::of(settings()), settings())
            .prop_map(|(path, old, new)| Any::Config(GitConfigChange { path, old, new })),
        1 => (any_path(), pointer_text())
            .prop_map(|(path, content)| Any::Pointer(GitPointer { path, content })),
        2 => (any_path(), any_path()).prop_map(|(program, cwd)| Any::Spawn(ProcessSpawn {
            program,
            argv: Vec::new(),
            cwd,
        })),
        2 => (host(), any::<u16>(), transport()).prop_map(|(host, port, transport)| {
            Any::Network(NetworkAccess { host, port, transport })
        }),
        1 => unix_address().prop_map(|address| Any::Unix(UnixSocket { address })),
        1 => beyond_a_command(),
        1 => host().prop_map(|host| Any::Model(ModelRequest {
            provider: host.clone(),
            model: host.clone(),
            endpoint: host,
        })),
    ]
}

fn settings() -> impl Strategy<Value = Vec<u8>> {
    let lines = [
        "[core]\n",
        "bare = true\n",
        "fsmonitor = x\n",
        "[branch \"b\"]\n",
        "merge = refs/heads/b\n",
        "[",
    ];
    vec(select(lines.to_vec()), 0..4).prop_map(|lines| lines.concat().into())
}

fn pointer_text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(b"../..\n".to_vec()),
        path().prop_map(|path| format!("gitdir: {}\n", path.display()).into()),
    ]
}

fn transport() -> impl Strategy<Value = Transport> {
    prop_oneof![
        2 => Just(Transport::Proxy),
        1 => Just(Transport::Tcp),
        1 => Just(Transport::Udp),
        1 => host().prop_map(Transport::Other),
    ]
}

fn unix_address() -> impl Strategy<Value = UnixAddress> {
    prop_oneof![
        3 => any_path().prop_map(UnixAddress::Path),
        1 => vec(any::<u8>(), 0..6).prop_map(UnixAddress::Abstract),
    ]
}

fn beyond_a_command() -> impl Strategy<Value = Any> {
    (
        host(),
        option::of(host()),
        any::<u32>(),
        any::<u64>(),
        0..6_u8,
    )
        .prop_map(|(call, argument, pid, limit, which)| match which {
            0 => Any::Kernel(KernelCall { call, argument }),
            1 => Any::Terminal(TerminalControl { control: call }),
            5 => Any::Socket(SocketKind {
                call: call.clone(),
                kind: call,
            }),
            2 => Any::Process(ProcessControl { call, pid }),
            3 => Any::Limit(ResourceLimit {
                resource: Resource::Processes,
                limit,
            }),
            _ => Any::Limit(ResourceLimit {
                resource: Resource::Memory,
                limit,
            }),
        })
}

fn widening() -> impl Strategy<Value = Grant> {
    let right = prop_oneof![
        any_path().prop_map(Right::Read),
        any_path().prop_map(Right::Write),
        any_path().prop_map(Right::Exec),
        any_path().prop_map(Right::ExecTree),
        host().prop_map(Right::Host),
    ];
    let sources = [
        GrantSource::CommandLine,
        GrantSource::UserConfig,
        GrantSource::Approval,
        GrantSource::Internal,
    ];
    (right, select(sources.to_vec())).prop_map(|(right, source)| Grant { right, source })
}

fn denied_read() -> impl Strategy<Value = Grant> {
    any_path().prop_map(|path| typed(Right::DenyRead(path)))
}

fn some_places() -> impl Strategy<Value = Places> {
    let at = (
        any_path(),
        vec(any_path(), 0..2),
        option::of(any_path()),
        any_path(),
    );
    let programs = (vec(any_path(), 0..3), vec(any_path(), 0..2));
    let anywhere =
        (at, programs).prop_map(|((workspace, added, home, codex_home), programs)| Places {
            workspace,
            added,
            home,
            codex_home,
            listed_programs: programs.0,
            listed_trees: programs.1,
        });
    prop_oneof![Just(places()), anywhere]
}

fn some_layer() -> impl Strategy<Value = Layer> {
    let grants = vec(prop_oneof![5 => widening(), 1 => denied_read()], 0..4);
    (profile(), some_places(), grants, vec(path(), 0..2)).prop_map(
        |(profile, places, grants, secrets)| {
            let mut layer = Layer::new(profile, places);
            layer.add_secrets(secrets.iter().filter_map(|p| PathPattern::exactly(p)));
            layer.grants = grants;
            layer
        },
    )
}

fn some_policy() -> impl Strategy<Value = Policy> {
    vec(some_layer(), 1..5).prop_map(|layers| chain(&layers))
}

fn chain(layers: &[Layer]) -> Policy {
    let outermost = Policy::new(layers[0].clone());
    layers[1..]
        .iter()
        .fold(outermost, |policy, layer| policy.narrow(layer.clone()))
}

fn effect(policy: &Policy, request: &Any) -> Effect {
    decide(policy, request.view()).effect
}

fn alone(layer: &Layer, request: &Any) -> Decision {
    decide(&Policy::new(layer.clone()), request.view())
}

/// The request as a program makes it once a host is granted to it.
fn through_the_proxy(mut request: Any) -> Any {
    if let Any::Network(access) = &mut request {
        access.transport = Transport::Proxy;
    }
    request
}

/// The layer after a person did what the remedy says.
fn after(remedy: Remedy, layer: &Layer) -> Layer {
    let mut layer = layer.clone();
    match remedy {
        Remedy::AllowRead(path) => layer.grants.push(typed(Right::Read(path))),
        Remedy::AllowWrite(path) => layer.grants.push(typed(Right::Write(path))),
        Remedy::AllowExec(path) => layer.grants.push(typed(Right::Exec(path))),
        Remedy::AllowHost(host) => layer.grants.push(typed(Right::Host(host))),
        Remedy::AllowTunnel(host) => layer.grants.push(typed(Right::Tunnel(host))),
        Remedy::AllowPost(name) => layer.grants.push(typed(Right::ReadPost(name.to_owned()))),
        Remedy::Profile(profile) => layer.profile = profile,
    }
    layer
}

#[test]
fn half_a_policy_is_none_and_only_known_rules_are_read() {
    let whole = serde_json::to_value(places::policy(SecurityProfile::Trusted, Vec::new())).unwrap();
    assert!(serde_json::from_value::<Policy>(whole.clone()).is_ok());
    for (part, name) in [
        ("", "outer"),
        ("", "own"),
        ("/own", "profile"),
        ("/own", "grants"),
        ("/own", "secrets"),
        ("/own", "places"),
        ("/own/places", "workspace"),
        ("/own/places", "home"),
    ] {
        let mut half = whole.clone();
        let part = half.pointer_mut(part).unwrap().as_object_mut().unwrap();
        assert!(part.remove(name).is_some(), "{name}");
        assert!(serde_json::from_value::<Policy>(half).is_err(), "{name}");
    }
    assert!(serde_json::from_str::<Rule>("\"net.unix\"").is_ok());
    assert!(serde_json::from_str::<Rule>("\"net.unicorn\"").is_err());
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_request_gets_a_decision_that_explains_itself(
        policy in some_policy(),
        request in request(),
    ) {
        let decision = decide(&policy, request.view());
        let profiles = SecurityProfile::ALL.map(|p| format!("{p} profile: "));
        prop_assert!(profiles.iter().any(|start| decision.reason.starts_with(start)));
        prop_assert_eq!(decision.effect == Effect::Allow, decision.reason.ends_with(": allowed"));
        prop_assert!(decision.effect == Effect::Deny || decision.effect == Effect::Allow
            || decision.remedy.is_some(), "what is asked can also be granted beforehand");
        prop_assert!(!decision.explanation().contains(char::is_control));
    }

    #[test]
    fn a_policy_decides_alike_in_another_process(
        policy in some_policy(),
        request in request(),
    ) {
        let text = serde_json::to_string(&policy).unwrap();
        let read: Policy = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(&read, &policy);
        let decision = decide(&read, request.view());
        prop_assert_eq!(&decision, &decide(&policy, request.view()));
        let text = serde_json::to_string(&decision).unwrap();
        prop_assert_eq!(serde_json::from_str::<Decision>(&text).unwrap(), decision);
    }

    #[test]
    fn a_tree_that_may_be_read_whole_holds_nothing_closed(
        policy in some_policy(),
        directory in any_path(),
        names in vec(select(NAMES), 1..4),
    ) {
        let last = names[names.len() - 1];
        if reads_all_below(&policy, &directory) && !is_env_file(last) {
            let mut path = directory;
            path.extend(names);
            let read = Any::Read(FileRead { path });
            prop_assert_eq!(effect(&policy, &read), Effect::Allow, "{:?}", read);
        }
    }

    #[test]
    fn narrowing_never_grants(
        policy in some_policy(),
        requested in some_layer(),
        request in request(),
    ) {
        let narrowed = policy.narrow(requested.clone());
        prop_assert!(effect(&narrowed, &request) >= effect(&policy, &request));
        prop_assert!(effect(&narrowed, &request) >= alone(&requested, &request).effect);
        prop_assert_eq!(
            narrowed.profile(),
            policy.profile().narrow(requested.profile)
        );
    }

    #[test]
    fn a_chain_is_as_strict_as_its_strictest_layer(
        layers in vec(some_layer(), 1..6),
        request in request(),
    ) {
        let strictest = layers.iter().map(|l| alone(l, &request).effect).max();
        prop_assert_eq!(Some(effect(&chain(&layers), &request)), strictest);
    }

    #[test]
    fn a_grant_takes_nothing_away(
        layer in some_layer(),
        grant in widening(),
        request in request(),
    ) {
        let mut granted = layer.clone();
        granted.grants.push(grant);
        prop_assert!(alone(&granted, &request).effect <= alone(&layer, &request).effect);
    }

    #[test]
    fn a_denied_read_forbids_reads_and_moves_and_nothing_else(
        layer in some_layer(),
        grant in denied_read(),
        request in request(),
    ) {
        let mut denied = layer.clone();
        denied.grants.push(grant);
        let (before, after) = (alone(&layer, &request), alone(&denied, &request));
        match &request {
            Any::Read(_)
            | Any::Unix(_)
            | Any::Write(FileWrite {
                kind: WriteKind::Rename | WriteKind::RenameDirectory, ..
            })
            | Any::Config(_) => {
                prop_assert!(after.effect >= before.effect);
            }
            _ => prop_assert_eq!(after, before),
        }
    }

    #[test]
    fn a_denied_read_holds_whatever_else_is_granted(
        mut layer in some_layer(),
        denied in path(),
        names in vec(select(NAMES), 0..3),
    ) {
        layer.grants.insert(0, typed(Right::DenyRead(denied.clone())));
        layer.grants.push(typed(Right::Read("/".into())));
        layer.grants.push(typed(Right::Read(denied.clone())));
        let mut path = denied;
        path.extend(names);
        let read = Any::Read(FileRead { path });
        prop_assert_eq!(alone(&layer, &read).effect, Effect::Deny);
    }

    #[test]
    fn the_default_profile_writes_nothing_and_reaches_nothing(
        places in some_places(),
        path in any_path(),
        kind in write_kind(),
        host in host(),
        port in any::<u16>(),
        transport in transport(),
        address in unix_address(),
    ) {
        let layer = Layer::new(SecurityProfile::default(), places);
        let device = kind == WriteKind::Modify
            && WRITABLE_DEVICES.iter().any(|d| path == Path::new(d));
        let write = Any::Write(FileWrite { path, kind });
        let expected = if device { Effect::Allow } else { Effect::Deny };
        prop_assert_eq!(alone(&layer, &write).effect, expected);
        let access = Any::Network(NetworkAccess { host, port, transport });
        prop_assert_eq!(alone(&layer, &access).effect, Effect::Deny);
        let unix = Any::Unix(UnixSocket { address });
        prop_assert_eq!(alone(&layer, &unix).effect, Effect::Deny);
    }

    #[test]
    fn nothing_beyond_a_command_is_granted(layer in some_layer(), request in beyond_a_command()) {
        let decision = alone(&layer, &request);
        let trusted = layer.profile == SecurityProfile::Trusted && !matches!(request, Any::Limit(_));
        prop_assert_eq!(decision.effect == Effect::Allow, trusted);
        prop_assert_eq!(decision.remedy, None);
    }

    #[test]
    fn no_socket_of_a_program_itself_reaches_a_host(
        layer in some_layer(),
        host in host(),
        port in any::<u16>(),
        transport in select(vec![Transport::Tcp, Transport::Udp, Transport::Other("sctp".into())]),
    ) {
        prop_assume!(layer.profile != SecurityProfile::Trusted);
        let access = Any::Network(NetworkAccess { host, port, transport });
        prop_assert_eq!(alone(&layer, &access).effect, Effect::Deny);
    }

    #[test]
    fn what_a_denial_suggests_allows_that_very_request(
        layer in some_layer(),
        request in request(),
    ) {
        let decision = alone(&layer, &request);
        if let Some(remedy) = decision.remedy {
            let after = alone(&after(remedy.clone(), &layer), &through_the_proxy(request));
            prop_assert_eq!(after.effect, Effect::Allow, "after {}: {}", remedy, after.explanation());
        }
    }

    #[test]
    fn in_a_chain_each_suggestion_takes_one_layer_out_of_the_way(
        mut layers in vec(some_layer(), 1..6),
        request in request().prop_map(through_the_proxy),
    ) {
        for _ in 0..layers.len() {
            let decision = decide(&chain(&layers), request.view());
            let Some(remedy) = decision.remedy else {
                break;
            };
            let answers = |layer: &&mut Layer| alone(layer, &request).effect == decision.effect;
            let layer = layers.iter_mut().find(answers).unwrap();
            *layer = after(remedy, layer);
        }
        let last = decide(&chain(&layers), request.view());
        prop_assert!(last.effect == Effect::Allow || last.remedy.is_none());
    }

    #[test]
    fn another_spelling_opens_nothing(
        profile in profile(),
        path in path(),
        kind in write_kind(),
        at in 0_usize..8,
        spell in select(&[
            str::to_uppercase as fn(&str) -> String,
            |name| format!("{name}."),
            |name| format!("{name}:stream"),
            |name| name.replace('i', "\u{200c}i"),
            |name| name.replace("ss", "\u{df}"),
            |name| name.replace('k', "\u{212a}"),
        ][..]),
    ) {
        let spelled: PathBuf = path
            .components()
            .enumerate()
            .map(|(i, c)| match c.as_os_str().to_str() {
                Some(name) if i == at && i > 0 => spell(name).into(),
                _ => c.as_os_str().to_owned(),
            })
            .collect();
        let layer = layer(profile, Vec::new());
        let of = |path: &PathBuf| {
            let read = Any::Read(FileRead { path: path.clone() });
            let write = Any::Write(FileWrite { path: path.clone(), kind });
            (alone(&layer, &read).effect, alone(&layer, &write).effect)
        };
        let ((read, write), (read_spelled, write_spelled)) = (of(&path), of(&spelled));
        prop_assert!(read_spelled >= read, "{}", spelled.display());
        prop_assert!(write_spelled >= write, "{}", spelled.display());
    }
}
