//! Hosts and sockets.

// Of core: an address as a value, with nothing that could reach one.
use core::net::IpAddr;

use super::{Verdicts, is_resolved};
use crate::decision::{Decision, Remedy, rule};
use crate::glob;
use crate::hosts::{self, HostRule};
use crate::policy::{GrantSource, Layer, Right, holds};
use crate::request::{NetworkAccess, NetworkRead, Transport, UnixAddress, UnixSocket};
use crate::security_profile::SecurityProfile;

pub(super) fn access(layer: &Layer, verdict: Verdicts, access: &NetworkAccess) -> Decision {
    let named = |text: &str| HostRule::parse(text).map(|r| r.names(&access.host, access.port));
    // A socket is of no scheme and shows no path: what is denied whole, over either scheme, is denied.
    let denied = |text: &String| {
        HostRule::parse(text).map_or(true, |rule| {
            rule.is_whole() && rule.names(&access.host, access.port)
        })
    };
    if layer
        .grants
        .iter()
        .any(|g| matches!(&g.right, Right::DenyHost(text) if denied(text)))
    {
        return verdict.deny(rule::NET_DENIED, "this host was denied for this run", None);
    }
    let is_one = |rules: &[String]| rules.iter().any(|text| named(text) == Ok(true));
    let beyond = layer
        .grants
        .iter()
        .any(|g| matches!(&g.right, Right::OnlyHosts(rules) if !is_one(rules)));
    if layer.profile == SecurityProfile::Trusted && !beyond {
        return verdict.allow(rule::TRUSTED);
    }
    let granted = layer.grants.iter().any(
        |g| matches!(&g.right, Right::Host(text) | Right::Tunnel(text) if named(text) == Ok(true)),
    );
    let preset = access.port == 443 && in_preset(layer, &access.host);
    let direct = access.transport != Transport::Proxy;
    if is_loopback(&access.host) && (direct || !granted) {
        let why = "the host's loopback cannot be reached; only servers that the command itself started can";
        return verdict.deny(rule::NET_LOOPBACK, why, None);
    }
    if beyond {
        return verdict.deny(rule::NET_HOST, NOT_AMONG_THE_ONLY, None);
    }
    let is_a_host = is_a_host(&access.host, access.port);
    if !direct && !is_a_host {
        return verdict.deny(rule::NET_REQUEST, NO_HOST, None);
    }
    if direct && (granted || preset) {
        let why = "this host is read through the proxy that codex names to programs (HTTPS_PROXY), not by a socket of their own";
        return verdict.deny(rule::NET_DIRECT, why, None);
    }
    if granted {
        return verdict.allow(rule::NET_GRANT);
    }
    if preset {
        return verdict.allow(rule::NET_PRESET);
    }
    let remedy = is_a_host.then(|| allow_host(&access.host, access.port));
    match layer.profile {
        SecurityProfile::NetReadOnly => {
            verdict.deny(rule::NET_HOST, "this host is not on the list", remedy)
        }
        _ => verdict.deny(rule::NET_OFFLINE, "the network cannot be reached", remedy),
    }
}

const NOT_AMONG_THE_ONLY: &str = "this host is none of those that the agent may reach";

const NO_HOST: &str = "that is no host and port that every resolver reads alike";

fn is_a_host(host: &str, port: u16) -> bool {
    port != 0 && hosts::canonical_host(host).is_some()
}

/// Whether `host` is in a preset that the profile or a grant opens.
fn in_preset(layer: &Layer, host: &str) -> bool {
    hosts::preset_of(host).is_some_and(|preset| {
        layer.profile == SecurityProfile::NetReadOnly
            || layer
                .grants
                .iter()
                .any(|g| matches!(&g.right, Right::Preset(name) if name == preset.name))
    })
}

/// The flag that opens a host.
fn allow_host(host: &str, port: u16) -> Remedy {
    Remedy::AllowHost(hosts::rule_for(host, port))
}

pub(super) fn read(layer: &Layer, verdict: Verdicts, read: &NetworkRead) -> Decision {
    let rights = || layer.grants.iter().map(|grant| &grant.right);
    let denied = |right: &Right| match right {
        Right::DenyHost(text) => HostRule::parse(text).map_or(true, |rule| rule.denies(read)),
        _ => false,
    };
    if rights().any(denied) {
        return verdict.deny(rule::NET_DENIED, "this host was denied for this run", None);
    }
    // A tunnel is seen by its host alone.
    let holds = |rule: &HostRule| match read.method == "CONNECT" {
        true => rule.names(&read.host, read.port),
        false => rule.allows(read),
    };
    let is_one = |rules: &[String]| {
        let mut rules = rules.iter().filter_map(|text| HostRule::parse(text).ok());
        rules.any(|rule| holds(&rule))
    };
    if rights().any(|right| matches!(right, Right::OnlyHosts(rules) if !is_one(rules))) {
        return verdict.deny(rule::NET_HOST, NOT_AMONG_THE_ONLY, None);
    }
    if layer.profile == SecurityProfile::Trusted {
        return verdict.allow(rule::TRUSTED);
    }
    if !is_a_host(&read.host, read.port) {
        return verdict.deny(rule::NET_REQUEST, NO_HOST, None);
    }
    if read.method == "CONNECT" {
        let tunnel = |right: &Right| match right {
            Right::Tunnel(text) => {
                HostRule::parse(text).is_ok_and(|rule| rule.names(&read.host, read.port))
            }
            _ => false,
        };
        return match rights().any(tunnel) {
            true => verdict.allow(rule::NET_TUNNEL),
            false => verdict.deny(
                rule::NET_TUNNEL,
                "no tunnel to this host was granted",
                Some(Remedy::AllowTunnel(hosts::rule_at(&read.host, read.port))),
            ),
        };
    }
    let post = hosts::read_post_of(read);
    let reads = hosts::READ_METHODS.contains(&read.method.as_str())
        || post.is_some_and(|post| {
            rights().any(|r| matches!(r, Right::ReadPost(name) if name == post.name))
        });
    if !reads {
        let why = "only GET, HEAD and OPTIONS are let through";
        return verdict.deny(
            rule::NET_METHOD,
            why,
            post.map(|post| Remedy::AllowPost(post.name.to_owned())),
        );
    }
    let granted = |right: &Right| match right {
        Right::Host(text) => HostRule::parse(text).is_ok_and(|rule| rule.allows(read)),
        _ => false,
    };
    if rights().any(granted) {
        return verdict.allow(rule::NET_GRANT);
    }
    if read.https && read.port == 443 && in_preset(layer, &read.host) {
        return verdict.allow(rule::NET_PRESET);
    }
    let remedy = allow_host(&read.host, read.port);
    if layer.profile != SecurityProfile::NetReadOnly {
        let why = "the network cannot be reached";
        return verdict.deny(rule::NET_OFFLINE, why, Some(remedy));
    }
    verdict.ask(rule::NET_HOST, "this host is not on the list", remedy)
}

/// Whether `host` is this machine itself. Linux takes the unspecified address for loopback when it
/// is connected to, and a mapped IPv4 address for what it maps.
fn is_loopback(host: &str) -> bool {
    if let Ok(address) = host.parse::<IpAddr>() {
        let address = address.to_canonical();
        return address.is_loopback() || address.is_unspecified();
    }
    // RFC 6761, section 6.3: so are the names below `localhost`.
    let name = host.trim_end_matches('.');
    let last = name.rsplit('.').next().unwrap_or(name);
    last.eq_ignore_ascii_case("localhost")
}

pub(super) fn unix_socket(layer: &Layer, verdict: Verdicts, socket: &UnixSocket) -> Decision {
    let path = match &socket.address {
        UnixAddress::Path(path) if !is_resolved(path) => return verdict.unresolved(),
        UnixAddress::Path(path) => Some(path),
        UnixAddress::Abstract(_) => None,
    };
    // A socket gives what its server knows, so what may not be read may not be spoken to.
    let denied = |path| {
        let mut denied = layer.denied_reads();
        denied.any(|denied| glob::below(path, denied).is_some())
    };
    if path.is_some_and(|path| denied(path)) {
        let why = "this path was denied for this run";
        return verdict.deny(rule::FS_DENIED, why, None);
    }
    if layer.profile == SecurityProfile::Trusted {
        return verdict.allow(rule::TRUSTED);
    }
    let Some(path) = path else {
        let why = "abstract unix sockets cannot be reached; use one in the workspace";
        return verdict.deny(rule::NET_UNIX, why, None);
    };
    if layer.is_secret(path) && !layer.places.workspaces().any(|w| layer.opens(w, path)) {
        let why = "sockets among secrets cannot be reached";
        return verdict.deny(rule::FS_SECRET, why, None);
    }
    let in_workspace = layer.places.workspaces().any(|w| holds(w, path));
    let private = layer.grants.iter().any(|grant| match &grant.right {
        Right::Write(tree) => grant.source == GrantSource::Internal && holds(tree, path),
        _ => false,
    });
    match layer.profile {
        SecurityProfile::Offline => {
            let remedy = in_workspace.then_some(Remedy::Profile(SecurityProfile::WorkspaceWrite));
            verdict.deny(rule::NET_UNIX, "no unix socket can be reached", remedy)
        }
        _ if in_workspace || private => verdict.allow(rule::NET_UNIX),
        _ => verdict.deny(
            rule::NET_UNIX,
            "only unix sockets in the workspace can be reached",
            None,
        ),
    }
}
