//! `codex policy`: the rights of a run, and what the gate says of one request. `codex config`
//! beside it: where the rights come from.

use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use codex_core::{paths, places};
use codex_protocol::decision::{Decision, Effect, RULES};
use codex_protocol::gate::{self, WRITABLE_DEVICES};
use codex_protocol::policy::{Layer, Right};
use codex_protocol::request::{
    FileRead, FileWrite, NetworkAccess, NetworkRead, ProcessSpawn, Requested, Transport, WriteKind,
};
use codex_protocol::security_profile::SecurityProfile;
use codex_protocol::{environment, hosts, protected, secrets};
use serde_json::{Value, json};

use crate::args::{ConfigCommand, Global, Grants, Policy, PolicyCheck, PolicyShow, PolicyVerb};
use crate::config;
use crate::failure::{Failure, Kind, OrFail as _};
use crate::print::{self, Painter, Style};
use crate::setup::Base;

/// What `codex policy check` exits with where the gate denies, and where it would ask.
const DENIED: u8 = 3;
const WOULD_ASK: u8 = 5;

pub(crate) fn run(global: &Global, command: &Policy) -> Result<ExitCode, Failure> {
    match command {
        Policy::Show(args) => show(global, args),
        Policy::Check(args) => check(global, args),
    }
}

pub(crate) fn show_config(global: &Global, command: &ConfigCommand) -> Result<ExitCode, Failure> {
    let ConfigCommand::Show(args) = command;
    let base = Base::new(global, &Grants::default(), &[])?;
    for line in config::show(&base.loaded, args.origin, args.json) {
        print::data(&line);
    }
    Ok(ExitCode::SUCCESS)
}

fn check(global: &Global, args: &PolicyCheck) -> Result<ExitCode, Failure> {
    let base = Base::new(global, &args.grants, &[])?;
    let decision = decide(&base, args.verb, &args.target)?;
    if args.json {
        let remedy = decision.remedy.as_ref().map(ToString::to_string);
        print::data(&json!({ "v": 1, "decision": decision.effect, "rule": decision.rule, "reason": decision.reason, "remedy": remedy }).to_string());
    } else {
        let (style, word) = match decision.effect {
            Effect::Allow => (Style::Good, "allow"),
            Effect::Ask => (Style::Bold, "ask"),
            Effect::Deny => (Style::Bad, "deny"),
        };
        let painter = Painter::for_stdout(global.color);
        print::data(&format!(
            "{} [{}] {}",
            painter.paint(style, word),
            decision.rule,
            decision.explanation()
        ));
    }
    Ok(match decision.effect {
        Effect::Allow => ExitCode::SUCCESS,
        Effect::Ask => ExitCode::from(WOULD_ASK),
        Effect::Deny => ExitCode::from(DENIED),
    })
}

fn decide(base: &Base, verb: PolicyVerb, target: &str) -> Result<Decision, Failure> {
    let here = env::current_dir().or_fail(Kind::Usage)?;
    let workspace = &base.places().workspace;
    let path = || {
        let expanded = paths::expand_home(Path::new(target), base.places().home.as_deref());
        paths::resolve(workspace, &expanded)
            .map_err(|e| Failure::usage(format!("the path '{target}' cannot be looked up: {e}")))
    };
    let decided = |request: &dyn Requested| gate::decide(&base.policy, request.view());
    Ok(match verb {
        PolicyVerb::Read => decided(&FileRead { path: path()? }),
        PolicyVerb::Write => {
            let path = path()?;
            let kind = if path.exists() {
                WriteKind::Modify
            } else {
                WriteKind::Create
            };
            decided(&FileWrite { path, kind })
        }
        PolicyVerb::Exec => {
            let search_path = env::var_os(config::environment::PATH).unwrap_or_default();
            let program = places::find_program(Path::new(target), &here, &search_path)
                .ok_or_else(|| Failure::usage(format!("there is no program '{target}'")))?;
            decided(&ProcessSpawn {
                argv: vec![target.into()],
                program,
                cwd: workspace.clone(),
            })
        }
        PolicyVerb::Connect if target.contains("://") => {
            let read = a_read(target).ok_or_else(|| {
                Failure::usage(format!(
                    "'{target}' is no URL that can be read, such as https://example.org/docs"
                ))
            })?;
            decided(&read)
        }
        PolicyVerb::Connect => {
            let (host, port) = host_and_port(target).ok_or_else(|| {
                Failure::usage(format!(
                    "'{target}' is not HOST:PORT, such as example.org:443 or [::1]:80"
                ))
            })?;
            decided(&NetworkAccess {
                host,
                port,
                transport: Transport::Proxy,
            })
        }
    })
}

/// The GET of a URL, as a client would send it.
fn a_read(url: &str) -> Option<NetworkRead> {
    let (scheme, rest) = url.split_once("://")?;
    let https = match scheme {
        "https" => true,
        "http" => false,
        _ => return None,
    };
    let rest = rest.split('#').next()?;
    let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let with_port = match authority.ends_with(']') || !authority.contains(':') {
        true => format!("{authority}:{}", if https { 443 } else { 80 }),
        false => authority.to_owned(),
    };
    let (host, port) = host_and_port(&with_port)?;
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (target, None),
    };
    Some(NetworkRead {
        method: "GET".to_owned(),
        https,
        host,
        port,
        path: if path.is_empty() { "/" } else { path }.to_owned(),
        query,
    })
}

fn host_and_port(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let host = match host.strip_prefix('[') {
        Some(inner) => inner.strip_suffix(']')?,
        None if host.contains(':') => return None,
        None => host,
    };
    (!host.is_empty()).then_some((host.to_owned(), port.parse().ok()?))
}

fn show(global: &Global, args: &PolicyShow) -> Result<ExitCode, Failure> {
    let base = Base::new(global, &args.grants, &[])?;
    if args.json {
        let text = serde_json::to_string_pretty(&as_json(&base)).or_fail(Kind::Work)?;
        print::data(&text);
    } else {
        for line in as_text(&base, Painter::for_stdout(global.color)) {
            print::data(&line);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Names that are too long to spell out in the people's form.
fn texts(paths: &[PathBuf]) -> Vec<String> {
    paths.iter().map(|p| p.display().to_string()).collect()
}

fn secret_texts(layer: &Layer) -> Vec<String> {
    let text = |p: &secrets::PathPattern| {
        let except = p
            .except
            .as_ref()
            .map(|e| format!(" (except {})", e.display()))
            .unwrap_or_default();
        format!("{}{except}", p.parent.join(&p.name).display())
    };
    layer.secrets().iter().map(text).collect()
}

fn protected_texts() -> Vec<(String, &'static str)> {
    let names = protected::NAMES
        .iter()
        .map(|(name, why)| ((*name).to_owned(), *why));
    let pairs = protected::PAIRS
        .iter()
        .map(|(a, b, why)| (format!("{a}/{b}"), *why));
    let git = protected::IN_GIT_DIRECTORY
        .iter()
        .chain(protected::REMOTES_IN_GIT_DIRECTORY)
        .map(|(path, why)| (format!(".git/{path}"), *why));
    names
        .chain(pairs)
        .chain(git)
        .chain([
            (
                ".git (moved or replaced)".to_owned(),
                "the repository itself",
            ),
            (
                format!("{} (made outside .git)", protected::BARE_REPOSITORY.0),
                protected::BARE_REPOSITORY.1,
            ),
        ])
        .collect()
}

fn network_text(base: &Base) -> &'static str {
    match base.policy.profile() {
        SecurityProfile::Trusted => "everything",
        _ if base.policy.reaches_hosts() => {
            "GET, HEAD and OPTIONS to listed hosts through the egress proxy"
        }
        _ => "nothing",
    }
}

/// The presets that are open.
fn presets(layer: &Layer) -> impl Iterator<Item = &'static hosts::Preset> {
    let opened = |preset: &hosts::Preset| {
        layer.profile == SecurityProfile::NetReadOnly
            || layer
                .grants
                .iter()
                .any(|g| matches!(&g.right, Right::Preset(name) if name == preset.name))
    };
    hosts::PRESETS.iter().filter(move |preset| opened(preset))
}

/// Every preset and named POST there is, and whether it is open, where hosts are reached at all.
fn network_lines(base: &Base) -> Vec<String> {
    let layer = base.policy.own();
    let mut lines = vec![network_text(base).to_owned()];
    lines.extend(presets(layer).map(|p| format!("{}: {}", p.name, p.hosts.join(" "))));
    if !base.policy.reaches_hosts() {
        return lines;
    }
    lines.extend(hosts::READ_POSTS.iter().map(|post| {
        let chosen = layer
            .grants
            .iter()
            .any(|g| matches!(&g.right, Right::ReadPost(name) if name == post.name));
        let word = if chosen { "chosen" } else { "not chosen" };
        format!("POST {} ({word}): {}", post.name, post.what)
    }));
    lines
}

fn as_json(base: &Base) -> Value {
    let layer = base.policy.own();
    let places = &layer.places;
    let programs = match layer.profile {
        SecurityProfile::Offline => {
            json!({ "listed": texts(&places.listed_programs), "trees": texts(&places.listed_trees) })
        }
        _ => json!("any"),
    };
    json!({
        "v": 1,
        "profile": layer.profile,
        "workspace": places.workspaces().map(|w| w.display().to_string()).collect::<Vec<_>>(),
        "write": layer.write_roots().map(|w| w.display().to_string()).collect::<Vec<_>>(),
        "devices": WRITABLE_DEVICES,
        "secrets": secret_texts(layer),
        "env_files": { "ask": secrets::ENV_FILES, "except": secrets::ENV_FILE_TEMPLATES },
        "protected": protected_texts().iter().map(|(p, why)| json!({ "path": p, "why": why })).collect::<Vec<_>>(),
        "network": network_text(base),
        "network_presets": presets(layer).map(|p| json!({ "name": p.name, "hosts": p.hosts })).collect::<Vec<_>>(),
        "network_posts": hosts::READ_POSTS.iter().map(|p| json!({ "name": p.name, "what": p.what })).collect::<Vec<_>>(),
        "programs": programs,
        "environment": { "passed": environment::PASSED, "never": environment::NEVER, "added": layer.pass_env },
        "grants": layer.grants,
        "rules": RULES.iter().map(|(rule, what)| json!({ "rule": rule, "what": what })).collect::<Vec<_>>(),
    })
}

fn as_text(base: &Base, painter: Painter) -> Vec<String> {
    let layer = base.policy.own();
    let places = &layer.places;
    let mut lines = Vec::new();
    let mut section = |title: &str, entries: Vec<String>| {
        lines.push(painter.paint(Style::Bold, title));
        lines.extend(entries.into_iter().map(|e| format!("  {e}")));
    };
    section("profile", vec![layer.profile.to_string()]);
    section(
        "workspace",
        places
            .workspaces()
            .map(|w| w.display().to_string())
            .collect(),
    );
    let writes: Vec<String> = match layer.profile {
        SecurityProfile::Trusted => vec!["everything".to_owned()],
        _ => layer
            .write_roots()
            .map(|w| w.display().to_string())
            .chain(WRITABLE_DEVICES.iter().map(|d| (*d).to_owned()))
            .collect(),
    };
    section("writes", writes);
    if layer.profile != SecurityProfile::Trusted {
        section(
            "never written by codex's own tools (in a workspace, whether or not they exist)",
            protected_texts()
                .into_iter()
                .map(|(path, why)| format!("{path}: {why}"))
                .collect(),
        );
        section("never read", secret_texts(layer));
        section(
            "asked before they are read, and unreadable to commands",
            vec![format!(
                "{} in the workspace, except {}",
                secrets::ENV_FILES.join(", "),
                secrets::ENV_FILE_TEMPLATES.join(", ")
            )],
        );
    }
    section("network", network_lines(base));
    let programs = match layer.profile {
        SecurityProfile::Offline => texts(&places.listed_programs)
            .into_iter()
            .chain(
                texts(&places.listed_trees)
                    .into_iter()
                    .map(|t| format!("{t}/*")),
            )
            .collect(),
        _ => vec!["any".to_owned()],
    };
    section("programs", programs);
    section("environment passed", vec![environment::PASSED.join(" ")]);
    section(
        "environment never passed",
        vec![environment::NEVER.join(" ")],
    );
    if !layer.grants.is_empty() {
        section(
            "grants",
            layer
                .grants
                .iter()
                .map(|g| {
                    format!(
                        "{} ({})",
                        json!(g.right),
                        json!(g.source).as_str().unwrap_or_default()
                    )
                })
                .collect(),
        );
    }
    section(
        "rules",
        RULES
            .iter()
            .map(|(rule, what)| format!("{rule}: {what}"))
            .collect(),
    );
    lines
}
