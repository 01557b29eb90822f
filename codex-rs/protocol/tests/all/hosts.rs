//! Host rules beside a plain reference that knows only the words of the documentation.

use codex_protocol::decision::Effect;
use codex_protocol::gate;
use codex_protocol::hosts::{HostRule, PRESETS};
use codex_protocol::policy::{Grant, GrantSource, Layer, Places, Policy, Right};
use codex_protocol::request::{NetworkRead, Requested as _};
use codex_protocol::security_profile::SecurityProfile;
use proptest::prelude::*;
use proptest::sample::select;

/// Pieces that rules, hosts and paths are put together from, so that they often nearly meet.
const PIECES: &[&str] = &[
    "example",
    "org",
    "com",
    "co",
    "uk",
    "a",
    "*",
    ".",
    ".",
    "/",
    "/",
    "..",
    "%2e",
    "%2f",
    ":",
    "443",
    "80",
    "127.0.0.1",
    "0x7f",
    "\\",
    "?",
    "#",
    "@",
    "[",
    "]",
    "::1",
    "docs",
    "https://",
    "http://",
    "é",
    "\0",
    "%",
];

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => proptest::collection::vec(select(PIECES), 0..8).prop_map(|p| p.concat()),
        1 => ".{0,24}",
    ]
}

fn host() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => select(&["example.org", "EXAMPLE.org", "a.example.org", "a.b.example.org",
            "evilexample.org", "example.org.", "example.org.evil.com", "127.0.0.1"][..])
            .prop_map(str::to_owned),
        1 => text(),
    ]
}

fn rule() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => select(&["example.org", "*.example.org", "example.org:8443", "example.org/docs",
            "*.example.org:80/docs/a", "127.0.0.1", "https://example.org",
            "http://example.org/docs", "https://*.example.org:8443"][..]).prop_map(str::to_owned),
        1 => text(),
    ]
}

fn path() -> impl Strategy<Value = String> {
    prop_oneof![
        1 => select(&["/", "/docs", "/docs/a", "/docs/../x", "/docs2"][..]).prop_map(str::to_owned),
        1 => text().prop_map(|t| format!("/{t}")),
    ]
}

/// What the documentation allows at most. It splits by hand and decodes nothing.
fn may_allow(rule: &str, read: &NetworkRead) -> bool {
    let (scheme, rule) = rule.split_once("://").unwrap_or(("", rule));
    let scheme_fits = match scheme {
        "" => true,
        "https" => read.https || read.method == "CONNECT",
        "http" => !read.https || read.method == "CONNECT",
        _ => false,
    };
    let (authority, prefix) = rule.split_at(rule.find('/').unwrap_or(rule.len()));
    let (name, port) = match authority.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') || name.ends_with(']') => (name, port),
        _ => (authority, ""),
    };
    let name = name
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_lowercase();
    let host = read.host.to_lowercase();
    let host_fits = match name.strip_prefix('*') {
        Some(domain) => {
            host.ends_with(domain) && host.len() > domain.len() && domain.matches('.').count() > 1
        }
        None => host == name,
    };
    let port_fits = match port {
        "" => read.port == 80 && scheme != "https" || read.port == 443 && scheme != "http",
        _ => port == read.port.to_string() || port.trim_start_matches('0') == read.port.to_string(),
    };
    let climbs = read.path.split('/').any(|s| s == "..")
        || read.path.contains('%') && read.path.to_lowercase().contains("%2");
    let prefix = prefix.trim_end_matches('/');
    let path_fits = prefix.is_empty()
        || !climbs && (read.path == prefix || read.path.starts_with(&format!("{prefix}/")));
    scheme_fits && host_fits && port_fits && path_fits
}

fn right() -> impl Strategy<Value = Right> {
    prop_oneof![
        3 => rule().prop_map(Right::Host),
        2 => rule().prop_map(Right::DenyHost),
        1 => rule().prop_map(Right::Tunnel),
        1 => select(&["git-upload-pack", "npm-audit", "other"][..])
            .prop_map(|n| Right::ReadPost(n.to_owned())),
        1 => select(&["cargo", "documentation", "all"][..]).prop_map(|n| Right::Preset(n.to_owned())),
    ]
}

fn read() -> impl Strategy<Value = NetworkRead> {
    let host = prop_oneof![3 => host(), 1 => select(&["crates.io", "docs.rs", "a.docs.rs"][..])
        .prop_map(str::to_owned)];
    let methods = &[
        "GET", "HEAD", "OPTIONS", "POST", "PUT", "TRACE", "CONNECT", "get", "GET ",
    ][..];
    let path = prop_oneof![4 => path(), 1 => Just("/docs/git-upload-pack".to_owned())];
    let ports = &[80_u16, 443, 8443, 0][..];
    let query = prop_oneof![Just(None), Just(Some("x".to_owned()))];
    (
        select(methods),
        any::<bool>(),
        host,
        select(ports),
        path,
        query,
    )
        .prop_map(|(method, https, host, port, path, query)| NetworkRead {
            method: method.to_owned(),
            https,
            host,
            port,
            path: if method == "CONNECT" {
                String::new()
            } else {
                path
            },
            query,
        })
}

/// A rule without its path.
fn whole(rule: &str) -> &str {
    let after = rule.find("://").map_or(0, |at| at + 3);
    let end = rule[after..].find('/').map_or(rule.len(), |at| after + at);
    &rule[..end]
}

/// Whether the documentation lets a layer allow this read, at most.
fn layer_may_allow(profile: SecurityProfile, rights: &[Right], read: &NetworkRead) -> bool {
    let denied = rights.iter().any(|r| match r {
        // A plain name that was denied is denied on its ports, and so is any text that is no rule.
        Right::DenyHost(text) if HostRule::parse(text).is_err() => true,
        Right::DenyHost(text) => {
            text.eq_ignore_ascii_case(&read.host) && [80, 443].contains(&read.port)
        }
        _ => false,
    });
    let any = |f: &dyn Fn(&str) -> bool| {
        rights
            .iter()
            .any(|r| matches!(r, Right::Host(text) if f(text)))
    };
    let preset = PRESETS.iter().any(|p| {
        let open = profile == SecurityProfile::NetReadOnly
            || rights.contains(&Right::Preset(p.name.to_owned()));
        open && p.hosts.contains(&read.host.to_lowercase().as_str())
    });
    let method = match read.method.as_str() {
        "GET" | "HEAD" | "OPTIONS" => true,
        "POST" => {
            read.path.ends_with("/git-upload-pack")
                && read.query.is_none()
                && rights.contains(&Right::ReadPost("git-upload-pack".to_owned()))
        }
        "CONNECT" => {
            let tunnel = |r: &Right| {
                matches!(r, Right::Tunnel(text)
                if may_allow(whole(text), read))
            };
            return !denied && rights.iter().any(tunnel);
        }
        _ => false,
    };
    let host = any(&|text| may_allow(text, read)) || preset && read.https && read.port == 443;
    !denied && method && host
}

/// `PROPTEST_CASES` for a longer run.
fn cases() -> u32 {
    let set = std::env::var("PROPTEST_CASES").ok();
    set.map_or(20_000, |n| n.parse().unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_rule_allows_what_the_reference_does_not(
        rule_text in rule(),
        host in host(),
        port in select(&[80_u16, 443, 8443, 0, 1][..]),
        path in path(),
        https in any::<bool>(),
    ) {
        let read = NetworkRead { method: "GET".to_owned(), https, host, port, path, query: None };
        if let Ok(rule) = HostRule::parse(&rule_text) {
            let allows = rule.allows(&read);
            prop_assert!(!allows || may_allow(&rule_text, &read), "{rule_text} allows {read:?}");
            prop_assert!(!allows || rule.denies(&read), "what a rule allows, the same rule denies");
        }
    }

    #[test]
    fn the_gate_lets_nothing_through_that_the_reference_does_not(
        layers in proptest::collection::vec(
            (select(&[SecurityProfile::Offline, SecurityProfile::WorkspaceWrite, SecurityProfile::NetReadOnly][..]),
                proptest::collection::vec(right(), 0..5)),
            1..3,
        ),
        read in read(),
    ) {
        let layer = |(profile, rights): &(SecurityProfile, Vec<Right>)| {
            let places = Places { workspace: "/srv/p".into(), ..Places::default() };
            let mut layer = Layer::new(*profile, places);
            layer.grants = rights.iter().cloned()
                .map(|right| Grant { right, source: GrantSource::CommandLine }).collect();
            layer
        };
        let first = Policy::new(layer(&layers[0]));
        let policy = layers[1..].iter().fold(first, |policy, l| policy.narrow(layer(l)));
        let effect = gate::decide(&policy, read.view()).effect;
        let may = layers.iter().all(|(profile, rights)| layer_may_allow(*profile, rights, &read));
        prop_assert!(effect != Effect::Allow || may, "{layers:?} allow {read:?}");
        // What a person may be asked is in NetReadOnly alone, and reads.
        let asks = layers.iter().any(|(profile, _)| *profile == SecurityProfile::NetReadOnly);
        prop_assert!(effect != Effect::Ask || asks && read.method != "CONNECT");
    }

    #[test]
    fn a_rule_that_covers_another_allows_all_that_it_allows(
        (outer, inner) in (near_rule(), near_rule()),
        host in select(&["a.example.org", "b.a.example.org", "example.org", "10.0.0.1"][..]),
        port in select(&[80_u16, 443, 8443][..]),
        path in select(&["/", "/a", "/a/b", "/ab", "//a", "/a/../b"][..]),
        https in any::<bool>(),
    ) {
        let (outer, inner) = (HostRule::parse(&outer).unwrap(), HostRule::parse(&inner).unwrap());
        let read = NetworkRead { method: "GET".to_owned(), https, host: host.to_owned(), port, path: path.to_owned(), query: None };
        if outer.covers(&inner) {
            prop_assert!(!inner.allows(&read) || outer.allows(&read), "{outer:?} {inner:?} {read:?}");
        }
        prop_assert!(inner.covers(&inner) && inner.allows(&inner.example()), "{inner:?}");
    }
}

/// Rules that often nearly meet.
fn near_rule() -> impl Strategy<Value = String> {
    let host = select(
        &[
            "example.org",
            "a.example.org",
            "*.example.org",
            "*.a.example.org",
            "10.0.0.1",
        ][..],
    );
    let port = select(&["", ":443", ":8443"][..]);
    let path = select(&["", "/", "/a", "/a/b", "/ab"][..]);
    let scheme = select(&["", "", "http://", "https://"][..]);
    (scheme, host, port, path)
        .prop_map(|(scheme, host, port, path)| format!("{scheme}{host}{port}{path}"))
}

#[test]
fn a_rule_covers_what_is_as_narrow_or_narrower() {
    for (outer, inner, expected) in [
        ("example.org", "example.org", true),
        ("example.org", "example.org:443", true),
        ("example.org:443", "example.org", false),
        ("example.org", "example.org:8443", false),
        ("*.example.org", "a.example.org", true),
        ("*.example.org", "*.a.example.org", true),
        ("*.example.org", "example.org", false),
        ("a.example.org", "*.example.org", false),
        ("example.org", "example.org/a", true),
        ("example.org/a", "example.org/a/b", true),
        ("example.org/a", "example.org/ab", false),
        ("example.org/a", "example.org", false),
        ("example.org", "https://example.org", true),
        ("https://example.org", "example.org", false),
        ("https://example.org", "https://example.org:443/a", true),
        ("https://example.org", "http://example.org", false),
        ("http://example.org:443", "https://example.org", false),
        ("example.org:443", "https://example.org", true),
    ] {
        let rule = |text| HostRule::parse(text).unwrap();
        assert_eq!(
            rule(outer).covers(&rule(inner)),
            expected,
            "{outer} {inner}"
        );
    }
}
