//! Rules of hosts that may be read through the proxy, and the presets of `NetReadOnly`.

// Of core: an address as a value, with nothing that could reach one.
use core::net::IpAddr;

use crate::request::NetworkRead;

/// Methods that read. RFC 9110, section 9.2.1, calls them safe; TRACE is left out because it
/// echoes what a server added.
pub const READ_METHODS: &[&str] = &["GET", "HEAD", "OPTIONS"];

/// Ports that a rule without a port means: http and https.
pub const DEFAULT_PORTS: [u16; 2] = [80, 443];

/// Longest name of a host (RFC 1035, section 2.3.4, without the root's dot).
pub const MAX_HOST: usize = 253;

/// How `git clone` and `git fetch` over HTTP ask for packs.
pub const GIT_UPLOAD_PACK: &str = "git-upload-pack";

/// A read that needs POST. Off unless chosen by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadPost {
    /// What it is called where it is chosen.
    pub name: &'static str,
    /// How its path ends.
    pub path_end: &'static str,
    /// The type of the content that is sent.
    pub content_type: &'static str,
    /// What it is for, and what it tells the host.
    pub what: &'static str,
}

/// Every named read that needs POST. What is sent is in no log: its length is limited by the proxy.
pub const READ_POSTS: &[ReadPost] = &[
    // gitprotocol-http(5), "Smart Service git-upload-pack".
    ReadPost {
        name: GIT_UPLOAD_PACK,
        path_end: "/git-upload-pack",
        content_type: "application/x-git-upload-pack-request",
        what: "git clone and fetch: names of the commits that are wanted and had",
    },
    // npm's bulk advisories, which `npm audit` and `npm install` ask for.
    ReadPost {
        name: "npm-audit",
        path_end: "/-/npm/v1/security/advisories/bulk",
        content_type: "application/json",
        what: "npm audit: names and versions of what the project uses",
    },
];

/// The named read that a POST is, by its path.
#[must_use]
pub fn read_post_of(read: &NetworkRead) -> Option<&'static ReadPost> {
    READ_POSTS.iter().find(|post| {
        read.method == "POST" && read.path.ends_with(post.path_end) && read.query.is_none()
    })
}

/// Hosts that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preset {
    /// What they are for.
    pub name: &'static str,
    /// Their names. Each is read over https, port 443.
    pub hosts: &'static [&'static str],
}

/// What `NetReadOnly` reads without being asked. No host that shows many people's uploads at paths
/// the reader chooses is here, unless that is what it is for, as with package indexes.
pub const PRESETS: &[Preset] = &[
    Preset {
        name: "cargo",
        hosts: &["crates.io", "index.crates.io", "static.crates.io"],
    },
    Preset {
        name: "rustup",
        hosts: &["static.rust-lang.org"],
    },
    Preset {
        name: "python",
        hosts: &["pypi.org", "files.pythonhosted.org"],
    },
    Preset {
        name: "npm",
        hosts: &["registry.npmjs.org", "registry.yarnpkg.com"],
    },
    Preset {
        name: "go",
        hosts: &["proxy.golang.org", "sum.golang.org"],
    },
    Preset {
        name: "maven",
        hosts: &["repo.maven.apache.org", "repo1.maven.org"],
    },
    Preset {
        name: "rubygems",
        hosts: &["rubygems.org", "index.rubygems.org"],
    },
    Preset {
        name: "documentation",
        hosts: &[
            "developer.mozilla.org",
            "doc.rust-lang.org",
            "docs.python.org",
            "docs.rs",
            "go.dev",
            "nodejs.org",
            "pkg.go.dev",
        ],
    },
];

/// The preset that holds `host`.
#[must_use]
pub fn preset_of(host: &str) -> Option<&'static Preset> {
    PRESETS
        .iter()
        .find(|preset| preset.hosts.iter().any(|h| h.eq_ignore_ascii_case(host)))
}

/// Suffixes below which strangers register names, beside those whose shape tells it. A wildcard
/// right below one would name many people's hosts. From the public suffix list's best known
/// entries; what is missing here costs a wildcard that the person typed, not a default.
const SHARED_SUFFIXES: &[&str] = &[
    "amazonaws.com",
    "appspot.com",
    "azureedge.net",
    "azurewebsites.net",
    "blob.core.windows.net",
    "blogspot.com",
    "cloudfront.net",
    "core.windows.net",
    "deno.dev",
    "firebaseapp.com",
    "fly.dev",
    "github.io",
    "githubusercontent.com",
    "gitlab.io",
    "googleapis.com",
    "herokuapp.com",
    "myshopify.com",
    "netlify.app",
    "ngrok.io",
    "ngrok-free.app",
    "onrender.com",
    "pages.dev",
    "r2.dev",
    "readthedocs.io",
    "run.app",
    "s3.amazonaws.com",
    "surge.sh",
    "trycloudflare.com",
    "vercel.app",
    "web.app",
    "workers.dev",
];

/// Second labels that registries of countries sell names below (`co.uk`, `com.au`).
const REGISTRY_LABELS: &[&str] = &[
    "ac", "co", "com", "edu", "go", "gob", "gov", "gv", "ltd", "mil", "ne", "net", "nom", "or",
    "org", "plc", "sch",
];

/// A rule that cannot be understood, or would name more than anybody means.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostRuleError {
    /// Not a host.
    #[error(
        "'{0}' is no host rule; write HOST, HOST:PORT, HOST/PATH or *.DOMAIN, also with http:// or https:// before it, without user or query"
    )]
    Malformed(String),
    /// A wildcard below a suffix that many people share.
    #[error(
        "'*.{0}' would name many people's hosts; a wildcard may stand only below a domain that one owner registered, such as *.docs.example.org"
    )]
    WildcardTooWide(String),
}

/// One host, or the hosts below a domain; a scheme; a port; a prefix of paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostRule {
    /// `None` names both.
    https: Option<bool>,
    host: String,
    below: bool,
    port: Option<u16>,
    path: Option<String>,
}

impl HostRule {
    /// Reads `[http[s]://][*.]HOST[:PORT][/PATH]`; an IPv6 address stands in brackets.
    ///
    /// # Errors
    /// [`HostRuleError`] says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, HostRuleError> {
        let malformed = || HostRuleError::Malformed(text.to_owned());
        let (https, rest) = match text.split_once("://") {
            Some(("https", rest)) => (Some(true), rest),
            Some(("http", rest)) => (Some(false), rest),
            Some(_) => return Err(malformed()),
            None => (None, text),
        };
        let (authority, path) = match rest.find('/') {
            Some(at) => (&rest[..at], Some(rest[at..].to_owned())),
            None => (rest, None),
        };
        if path.as_deref().is_some_and(|p| !is_plain_path(p)) {
            return Err(malformed());
        }
        let (host, port) = split_port(authority).ok_or_else(malformed)?;
        let (host, below) = match host.strip_prefix("*.") {
            Some(domain) => (domain, true),
            None => (host, false),
        };
        let host = canonical_host(host).ok_or_else(malformed)?;
        if below && !may_have_wildcard(&host) {
            return Err(HostRuleError::WildcardTooWide(host));
        }
        let path = path.filter(|p| p != "/");
        Ok(Self {
            https,
            host,
            below,
            port,
            path,
        })
    }

    /// Whether it names this host and port, for some path at least.
    #[must_use]
    pub fn names(&self, host: &str, port: u16) -> bool {
        let Some(host) = canonical_host(host) else {
            return false;
        };
        let host_matches = match self.below {
            true => host
                .strip_suffix(&self.host)
                .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
            false => host == self.host,
        };
        host_matches && self.ports().contains(&port)
    }

    /// The ports that it names.
    fn ports(&self) -> &[u16] {
        match (&self.port, self.https) {
            (Some(own), _) => core::slice::from_ref(own),
            (None, Some(true)) => &DEFAULT_PORTS[1..],
            (None, Some(false)) => &DEFAULT_PORTS[..1],
            (None, None) => &DEFAULT_PORTS,
        }
    }

    fn has_scheme(&self, https: bool) -> bool {
        self.https.is_none_or(|own| own == https)
    }

    /// Whether it names every path of what it names.
    pub(crate) fn is_whole(&self) -> bool {
        self.path.is_none()
    }

    /// Whether an allowing rule holds this read. A path that a server might read as another one
    /// (`..`, `//`, `\`, an encoded slash) is below no prefix.
    #[must_use]
    pub fn allows(&self, read: &NetworkRead) -> bool {
        self.names(&read.host, read.port)
            && self.has_scheme(read.https)
            && self
                .path
                .as_deref()
                .is_none_or(|prefix| is_plain_path(&read.path) && is_below(&read.path, prefix))
    }

    /// Whether this rule, as an allowing one, allows whatever `other` allows.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let below = |host: &str| {
            host.strip_suffix(&self.host)
                .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
        };
        let host = match (self.below, other.below) {
            (false, false) => other.host == self.host,
            (false, true) => false,
            (true, false) => below(&other.host),
            (true, true) => other.host == self.host || below(&other.host),
        };
        let scheme = self.https.is_none() || self.https == other.https;
        let own = self.ports();
        let port = other.ports().iter().all(|port| own.contains(port));
        let path = match (&self.path, &other.path) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(prefix), Some(path)) => is_below(path, prefix),
        };
        scheme && host && port && path
    }

    /// A read that this rule allows, for asking a gate whether it would be allowed. `https` where it
    /// names no scheme, and below a wildcard a name that hardly any other rule names.
    #[must_use]
    pub fn example(&self) -> NetworkRead {
        NetworkRead {
            method: "GET".to_owned(),
            https: self.https.unwrap_or(true),
            host: match self.below {
                true => format!("any-name-below.{}", self.host),
                false => self.host.clone(),
            },
            port: self.ports().last().copied().unwrap_or(443),
            path: self.path.clone().unwrap_or_else(|| "/".to_owned()),
            query: None,
        }
    }

    /// Whether a denying rule holds this read: also where the path could be read as one below its
    /// prefix.
    #[must_use]
    pub fn denies(&self, read: &NetworkRead) -> bool {
        self.names(&read.host, read.port)
            // A tunnel is of no scheme.
            && (read.method == "CONNECT" || self.has_scheme(read.https))
            && self.path.as_deref().is_none_or(|prefix| {
                !is_plain_path(&read.path)
                    || read.path.contains('%')
                    || is_below(
                        &read.path.to_ascii_lowercase(),
                        &prefix.to_ascii_lowercase(),
                    )
            })
    }
}

/// The rule that names this host over this scheme and at this port, and nothing else:
/// `https://example.org`, `http://example.org:8080`.
#[must_use]
pub fn rule_of(https: bool, host: &str, port: u16) -> String {
    let (scheme, usual) = match https {
        true => ("https", 443),
        false => ("http", 80),
    };
    let rule = rule_at(host, port);
    match port == usual {
        true => format!(
            "{scheme}://{}",
            rule.rsplit_once(':').map_or("", |(host, _)| host)
        ),
        false => format!("{scheme}://{rule}"),
    }
}

/// The rule that names this host at this port, and no other.
#[must_use]
pub fn rule_at(host: &str, port: u16) -> String {
    match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    }
}

/// The rule that names this host, with the port where it is not a usual one.
#[must_use]
pub fn rule_for(host: &str, port: u16) -> String {
    let rule = rule_at(host, port);
    match DEFAULT_PORTS.contains(&port) {
        true => rule
            .rsplit_once(':')
            .map_or_else(String::new, |(host, _)| host.to_owned()),
        false => rule,
    }
}

/// Splits `HOST[:PORT]` or `[V6][:PORT]`.
fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let port = |text: &str| match text.bytes().all(|b| b.is_ascii_digit()) {
        true => text.parse::<u16>().ok().filter(|port| *port > 0),
        false => None,
    };
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        return match rest {
            "" => Some((host, None)),
            _ => Some((host, Some(port(rest.strip_prefix(':')?)?))),
        };
    }
    match authority.split_once(':') {
        None => Some((authority, None)),
        Some((host, rest)) => Some((host, Some(port(rest)?))),
    }
}

/// A host as rules compare it: lower case, and nothing that a resolver could read otherwise than
/// we do. `None` for what is no host name and no address in its one canonical form: `0x7f.1`,
/// `017700000001`, `2130706433`, names with an empty label or with other characters.
#[must_use]
pub fn canonical_host(host: &str) -> Option<String> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Some(address.to_string());
    }
    let host = host.to_ascii_lowercase();
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    // A last label that begins with a digit is read as a number by some resolvers (the URL
    // Standard's "ends in a number" check); no top-level domain does.
    let last_is_name = host
        .rsplit('.')
        .next()
        .is_some_and(|last| !last.starts_with(|c: char| c.is_ascii_digit()));
    (host.len() <= MAX_HOST && host.split('.').all(label) && last_is_name).then_some(host)
}

/// Whether names below `domain` belong to one owner, as far as its shape and our list tell.
fn may_have_wildcard(domain: &str) -> bool {
    let labels: Vec<&str> = domain.split('.').collect();
    let country_registry = matches!(labels[..], [second, top]
        if top.len() == 2 && (second.len() <= 2 || REGISTRY_LABELS.contains(&second)));
    // `*.s3.eu-west-1.amazonaws.com` is as shared as `*.amazonaws.com`.
    let shared = SHARED_SUFFIXES.iter().any(|suffix| {
        domain == *suffix
            || (domain.ends_with(".amazonaws.com") || domain.ends_with(".windows.net"))
    });
    labels.len() >= 2 && domain.parse::<IpAddr>().is_err() && !country_registry && !shared
}

/// Whether every server reads this path alike: it starts with a slash, names no directory twice
/// and hides no separator.
fn is_plain_path(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    path.starts_with('/')
        && ![
            "//", "\\", "%2f", "%5c", "%2e", "%00", "%25", ";", "?", "#", "*",
        ]
        .iter()
        .any(|bad| lower.contains(bad))
        && !path
            .split('/')
            .any(|segment| segment == "." || segment == "..")
        // A `%` that begins no escape is one to who decodes twice: `%%32e` becomes `%2e`.
        && lower.split('%').skip(1).all(|after| {
            let digits = after.as_bytes().iter().take(2);
            digits.filter(|b| b.is_ascii_hexdigit()).count() == 2
        })
        && path.bytes().all(|b| b.is_ascii_graphic())
}

/// Whether `path` is `prefix` or lies below it, whole segments compared.
fn is_below(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix.trim_end_matches('/'))
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(host: &str, port: u16, path: &str) -> NetworkRead {
        NetworkRead {
            method: "GET".to_owned(),
            https: true,
            host: host.to_owned(),
            port,
            path: path.to_owned(),
            query: None,
        }
    }

    #[track_caller]
    fn check(rule: &str, host: &str, port: u16, path: &str, expected: bool) {
        let rule = HostRule::parse(rule).unwrap();
        assert_eq!(rule.allows(&read(host, port, path)), expected, "{rule:?}");
    }

    #[test]
    fn a_rule_names_one_host_or_those_below_a_domain() {
        check("example.org", "example.org", 443, "/", true);
        check("example.org", "EXAMPLE.ORG", 80, "/", true);
        check("example.org", "example.org", 8080, "/", false);
        check("example.org:8080", "example.org", 8080, "/", true);
        check("example.org:8080", "example.org", 443, "/", false);
        check("example.org", "www.example.org", 443, "/", false);
        check("example.org", "example.org.evil.net", 443, "/", false);
        check("example.org", "example.org.", 443, "/", false);
        check("*.example.org", "a.b.example.org", 443, "/", true);
        check("*.example.org", "example.org", 443, "/", false);
        check("*.example.org", "evilexample.org", 443, "/", false);
        check("[::1]:8080", "::1", 8080, "/", true);
        check("127.0.0.1:1", "127.0.0.1", 1, "/", true);
        check("127.0.0.1:1", "2130706433", 1, "/", false);
    }

    #[test]
    fn a_prefix_holds_whole_segments_of_plain_paths() {
        check("example.org/docs", "example.org", 443, "/docs", true);
        check("example.org/docs", "example.org", 443, "/docs/a", true);
        check("example.org/docs/", "example.org", 443, "/docs/a", true);
        check("example.org/docs", "example.org", 443, "/docs2", false);
        check("example.org/docs", "example.org", 443, "/Docs", false);
        for trick in [
            "/docs/../x",
            "/docs/%2e%2e/x",
            "/docs/%%32e%%32e/x",
            "/docs/%",
            "/docs/%2",
            "/docs/%g0",
            "/docs//x",
            "/docs/..%2fx",
            "/docs\\..\\x",
            "/docs/%252e%252e/x",
            "/docs/..;/x",
        ] {
            check("example.org/docs", "example.org", 443, trick, false);
        }
    }

    #[test]
    fn a_denying_rule_also_holds_what_could_be_read_as_its_path() {
        let rule = HostRule::parse("example.org/private").unwrap();
        for (path, expected) in [
            ("/private/x", true),
            ("/PRIVATE", true),
            ("/%70rivate", true),
            ("/a/../private", true),
            ("//private", true),
            ("/privately", false),
            ("/public", false),
        ] {
            assert_eq!(
                rule.denies(&read("example.org", 443, path)),
                expected,
                "{path}"
            );
        }
    }

    #[test]
    fn wildcards_stand_only_below_what_one_owner_registered() {
        for wide in [
            "*.com",
            "*.co.uk",
            "*.com.au",
            "*.github.io",
            "*.s3.eu-west-1.amazonaws.com",
            "*.a.blob.core.windows.net",
        ] {
            assert!(
                matches!(
                    HostRule::parse(wide),
                    Err(HostRuleError::WildcardTooWide(_))
                ),
                "{wide}"
            );
        }
        for good in [
            "*.example.com",
            "*.docs.example.co.uk",
            "*.someone.github.io",
        ] {
            assert!(HostRule::parse(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for bad in [
            "",
            "*",
            "*.",
            "ftp://example.org",
            "https://",
            "HTTPS://example.org",
            "https://https://example.org",
            "https://a@b.org",
            "a@b.org",
            "example.org:0",
            "example.org:99999",
            "example.org:",
            "example.org/?q",
            "exa mple.org",
            "example..org",
            "0x7f.0.0.1",
            "127.1",
            "2130706433",
            "127.0.0.1.",
            "017700000001",
            "[::1",
            "::1",
            "a*.example.org",
            "example.org/../x",
            "*.127.0.0.1",
        ] {
            assert!(HostRule::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_rule_with_a_scheme_names_that_one_alone() {
        for (https, host, port, expected) in [
            (true, "example.org", 443, "https://example.org"),
            (false, "example.org", 80, "http://example.org"),
            (true, "example.org", 80, "https://example.org:80"),
            (false, "::1", 8080, "http://[::1]:8080"),
        ] {
            let rule = rule_of(https, host, port);
            assert_eq!(rule, expected);
            let rule = HostRule::parse(&rule).unwrap();
            for other in [true, false] {
                for at in [80, 443, 8080] {
                    let read = NetworkRead {
                        https: other,
                        ..read(host, at, "/x")
                    };
                    let is_it = other == https && at == port;
                    assert_eq!(rule.allows(&read), is_it, "{expected} {read:?}");
                    assert_eq!(rule.denies(&read), is_it, "{expected} {read:?}");
                }
            }
            assert!(rule.allows(&rule.example()));
        }
    }

    #[test]
    fn presets_are_rules() {
        for host in PRESETS.iter().flat_map(|p| p.hosts) {
            assert!(
                HostRule::parse(host).is_ok_and(|r| r.names(host, 443)),
                "{host}"
            );
            assert!(preset_of(host).is_some());
        }
        assert_eq!(preset_of("www.docs.rs"), None);
    }
}
