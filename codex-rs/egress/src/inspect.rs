//! From a request as it came to the typed one that the gate judges, or the reason why servers
//! could read it in more than one way.

use codex_protocol::hosts::{READ_METHODS, canonical_host, read_post_of};
use codex_protocol::request::NetworkRead;
use hyper::body::{Body, Incoming};
use hyper::header::{self, HeaderMap};
use hyper::{Method, Request, Uri, Version};

/// Longest path and query, in bytes. Servers commonly stop at 8 KiB.
const MAX_TARGET: usize = 8 << 10;
/// Most bytes of all headers together.
pub(crate) const MAX_HEAD: usize = 64 << 10;
/// Most bytes of one header's value.
const MAX_VALUE: usize = 8 << 10;

/// Headers by which a server may be told to treat a request as another one than it is.
const OVERRIDES: &[&str] = &[
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "x-original-url",
    "x-original-method",
    "x-rewrite-url",
    "x-original-host",
    "x-forwarded-host",
    "x-host",
    "forwarded",
];

/// Over what a request came.
#[derive(Clone, Debug)]
pub(crate) enum Via {
    /// The proxy's own port: absolute-form requests and CONNECT.
    Port,
    /// A CONNECT that the proxy looks into.
    Intercepted {
        /// The canonical host that CONNECT named.
        host: String,
        /// Its port.
        port: u16,
        /// Whether the TLS handshake named another host.
        other_name: bool,
    },
}

/// The request for the gate and the log, and what is wrong with it, if anything is.
pub(crate) fn inspect(
    via: &Via,
    request: &Request<Incoming>,
) -> (NetworkRead, Option<&'static str>) {
    let ends = request.body().is_end_stream();
    inspect_parts(
        via,
        request.method(),
        request.uri(),
        request.version(),
        request.headers(),
        ends,
    )
}

fn inspect_parts(
    via: &Via,
    method: &Method,
    uri: &Uri,
    version: Version,
    headers: &HeaderMap,
    no_body: bool,
) -> (NetworkRead, Option<&'static str>) {
    let (mut fault, https, host, port) = match via {
        Via::Port => {
            let default = if *method == Method::CONNECT { 0 } else { 80 };
            match authority_of(uri.authority().map_or("", |a| a.as_str()), default) {
                Some((host, port)) => (None, false, host, port),
                None => (Some(NO_HOST), false, "invalid".to_owned(), 0),
            }
        }
        Via::Intercepted {
            host,
            port,
            other_name,
        } => {
            let fault =
                other_name.then_some("the TLS handshake names another host than CONNECT did");
            (fault, true, host.clone(), *port)
        }
    };
    let path = match *method == Method::CONNECT {
        true => String::new(),
        false => uri.path().to_owned(),
    };
    let read = NetworkRead {
        method: method.as_str().to_owned(),
        https,
        host,
        port,
        path,
        query: uri.query().map(str::to_owned),
    };
    fault = fault
        .or_else(|| target_fault(via, method, uri, &read))
        .or_else(|| host_fault(uri, version, headers, &read))
        .or_else(|| header_fault(headers))
        .or_else(|| body_fault(&read, headers, no_body));
    (read, fault)
}

const NO_HOST: &str =
    "it names no host that every resolver reads alike (http://HOST/PATH, or CONNECT HOST:PORT)";

/// `HOST[:PORT]` as a canonical host and a port; no default of 0 is a port.
fn authority_of(text: &str, default: u16) -> Option<(String, u16)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            (
                host,
                rest.strip_prefix(':').or(rest.is_empty().then_some(""))?,
            )
        }
        None => text.split_once(':').unwrap_or((text, "")),
    };
    let port = match port {
        "" => default,
        _ if port.bytes().all(|b| b.is_ascii_digit()) => port.parse().ok()?,
        _ => return None,
    };
    let bracketed = text.starts_with('[');
    let host = canonical_host(host).filter(|h| h.contains(':') == bracketed)?;
    (port != 0).then_some((host, port))
}

fn target_fault(via: &Via, method: &Method, uri: &Uri, read: &NetworkRead) -> Option<&'static str> {
    if *method == Method::CONNECT {
        return matches!(via, Via::Intercepted { .. }).then_some("CONNECT inside a tunnel");
    }
    let expected = match via {
        Via::Port => Some("http"),
        Via::Intercepted { .. } => Some("https"),
    };
    let scheme = uri.scheme_str();
    if scheme != expected && (scheme.is_some() || matches!(via, Via::Port)) {
        return Some(
            "its URL must begin with http:// on the proxy's port and https:// in a tunnel",
        );
    }
    let target = uri.path_and_query().map_or("", |p| p.as_str());
    if target.len() > MAX_TARGET {
        return Some("its URL is longer than 8 KiB");
    }
    if !read.path.starts_with('/') || !target.bytes().all(|b| b.is_ascii_graphic()) {
        return Some("its path has characters that no URL has, or does not begin with /");
    }
    let lower = read.path.to_ascii_lowercase();
    let hidden = ["%00", "%0a", "%0d", "%09", "%7f", "\\"];
    if hidden.iter().any(|h| lower.contains(h)) {
        return Some("its path hides a control character or a backslash");
    }
    None
}

fn host_fault(
    uri: &Uri,
    version: Version,
    headers: &HeaderMap,
    read: &NetworkRead,
) -> Option<&'static str> {
    let usual = match (read.method == "CONNECT", read.https) {
        (true, _) => 443,
        (false, true) => 443,
        (false, false) => 80,
    };
    let same = |text: &str| {
        authority_of(text, usual).is_some_and(|(h, p)| h == read.host && p == read.port)
    };
    let mut hosts = headers.get_all(header::HOST).iter();
    let first = hosts.next();
    if hosts.next().is_some() {
        return Some("it has more than one Host header");
    }
    if first.is_some_and(|host| !host.to_str().is_ok_and(same)) {
        return Some("its Host header names another host than its URL");
    }
    if first.is_none() && version == Version::HTTP_11 {
        return Some("it has no Host header");
    }
    if uri.authority().is_some_and(|a| !same(a.as_str())) {
        return Some("its authority is another host, or carries credentials");
    }
    if version == Version::HTTP_2 && uri.authority().is_none() {
        return Some("it has no :authority");
    }
    None
}

fn header_fault(headers: &HeaderMap) -> Option<&'static str> {
    if headers.contains_key(header::UPGRADE) || headers.contains_key("http2-settings") {
        return Some("upgrades and WebSockets are not reads");
    }
    if headers.contains_key("sec-websocket-key") || headers.contains_key("sec-websocket-version") {
        return Some("upgrades and WebSockets are not reads");
    }
    if OVERRIDES.iter().any(|name| headers.contains_key(*name)) {
        return Some("it has a header by which servers are told of another method, host or path");
    }
    if headers.values().any(|value| value.len() > MAX_VALUE) {
        return Some("a header is longer than 8 KiB");
    }
    let length = |(name, value): (&header::HeaderName, &header::HeaderValue)| {
        name.as_str().len() + value.len()
    };
    if headers.iter().map(length).sum::<usize>() > MAX_HEAD {
        return Some("its headers together are longer than 64 KiB");
    }
    let control = |b: &u8| (*b < b' ' && *b != b'\t') || *b == 0x7f;
    if headers
        .values()
        .any(|value| value.as_bytes().iter().any(control))
    {
        return Some("a header has control characters");
    }
    None
}

fn body_fault(read: &NetworkRead, headers: &HeaderMap, no_body: bool) -> Option<&'static str> {
    let lengths = headers.get_all(header::CONTENT_LENGTH).iter().count();
    let coded = headers.get_all(header::TRANSFER_ENCODING).iter().count();
    if lengths + coded > 1 {
        return Some("it says in more than one way how long its body is");
    }
    let declared = coded > 0
        || headers
            .get(header::CONTENT_LENGTH)
            .is_some_and(|length| length.as_bytes() != b"0");
    if (READ_METHODS.contains(&read.method.as_str()) || read.method == "CONNECT")
        && (!no_body && read.method != "CONNECT" || declared)
    {
        return Some("a read has no body");
    }
    let typed = |as_type: &str| {
        headers
            .get(header::CONTENT_TYPE)
            .is_some_and(|t| t.as_bytes() == as_type.as_bytes())
    };
    if read_post_of(read).is_some_and(|post| !typed(post.content_type)) {
        return Some("the named read that it looks like sends another type of content");
    }
    None
}

/// Headers of one connection (RFC 9110, section 7.6.1), which go no further, and those that would
/// show or keep the proxy.
const HOP_BY_HOP: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    // The next request would go round the proxy, over QUIC.
    "alt-svc",
];

/// Takes out what belongs to one connection, and what `Connection` says does.
pub(crate) fn strip(headers: &mut HeaderMap) {
    let named: Vec<String> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    for name in named
        .iter()
        .map(String::as_str)
        .chain(HOP_BY_HOP.iter().copied())
    {
        headers.remove(name);
    }
}
