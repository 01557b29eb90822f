//! Requests that a lenient host answers, and that the proxy refuses and records. Each is first
//! sent to the host itself.

use std::io::Write as _;
use std::net::{IpAddr, TcpListener, TcpStream};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use codex_egress::Pass;
use codex_protocol::policy::Right;

use crate::world::{HIT, Origin, Setting, World, client_tls, connect, exchange};

/// `name | request line without URL prefix | headers after Host | body`; `@` is the host and port.
/// The proxy gets the target behind `http://@` on its port, and as it stands inside TLS.
const CASES: &[(&str, &str, &str, &str)] = &[
    ("post", "POST /", "Content-Length: 0", ""),
    ("post with a body", "POST /", "Content-Length: 3", "abc"),
    ("put", "PUT /", "Content-Length: 3", "abc"),
    ("delete", "DELETE /", "", ""),
    ("patch", "PATCH /", "Content-Length: 1", "a"),
    ("trace", "TRACE /", "", ""),
    ("webdav", "PROPFIND /", "", ""),
    ("webdav lock", "MKCOL /", "", ""),
    ("lower case", "get /", "", ""),
    ("made up", "GETX /", "", ""),
    ("body on get", "GET /", "Content-Length: 3", "abc"),
    ("body on head", "HEAD /", "Content-Length: 3", "abc"),
    ("body on options", "OPTIONS /", "Content-Length: 3", "abc"),
    (
        "chunks on get",
        "GET /",
        "Transfer-Encoding: chunked",
        "3\r\nabc\r\n0\r\n\r\n",
    ),
    (
        "length and chunks",
        "GET /",
        "Content-Length: 3\r\nTransfer-Encoding: chunked",
        "0\r\n\r\n",
    ),
    (
        "chunks and length",
        "GET /",
        "Transfer-Encoding: chunked\r\nContent-Length: 3",
        "0\r\n\r\n",
    ),
    (
        "two lengths",
        "GET /",
        "Content-Length: 0\r\nContent-Length: 3",
        "abc",
    ),
    ("list of lengths", "GET /", "Content-Length: 3, 3", "abc"),
    ("signed length", "GET /", "Content-Length: +3", "abc"),
    ("negative length", "GET /", "Content-Length: -1", ""),
    (
        "odd coding",
        "GET /",
        "Transfer-Encoding: xchunked",
        "0\r\n\r\n",
    ),
    (
        "two codings",
        "GET /",
        "Transfer-Encoding: chunked, identity",
        "0\r\n\r\n",
    ),
    (
        "space before colon",
        "GET /",
        "Transfer-Encoding : chunked",
        "0\r\n\r\n",
    ),
    ("folded header", "GET /", "X-A: a\r\n b", ""),
    (
        "websocket",
        "GET /",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: a\r\nSec-WebSocket-Version: 13",
        "",
    ),
    (
        "h2c",
        "GET /",
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__",
        "",
    ),
    ("websocket key alone", "GET /", "Sec-WebSocket-Key: a", ""),
    (
        "method override",
        "GET /",
        "X-HTTP-Method-Override: DELETE",
        "",
    ),
    ("method override 2", "GET /", "X-HTTP-Method: PUT", ""),
    ("method override 3", "GET /", "X-Method-Override: POST", ""),
    ("url override", "GET /", "X-Original-URL: /admin", ""),
    ("rewrite override", "GET /", "X-Rewrite-URL: /admin", ""),
    ("host override", "GET /", "X-Forwarded-Host: evil.test", ""),
    ("host override 2", "GET /", "Forwarded: host=evil.test", ""),
    ("host override 3", "GET /", "X-Host: evil.test", ""),
    ("second host", "GET /", "Host: evil.test", ""),
    ("second same host", "GET /", "Host: @", ""),
    ("nul in header", "GET /", "X-A: a\0b", ""),
    ("bell in header", "GET /", "X-A: a\x07b", ""),
    ("delete in header", "GET /", "X-A: a\x7fb", ""),
    ("bare return in header", "GET /", "X-A: a\rX-B: b", ""),
    ("nul in name", "GET /", "X\0A: b", ""),
    ("encoded nul", "GET /a%00b", "", ""),
    ("encoded line end", "GET /a%0d%0aX-A:%20b", "", ""),
    ("encoded line feed", "GET /a%0Ab", "", ""),
    ("encoded tab", "GET /a%09b", "", ""),
    ("backslash", "GET /a\\..\\b", "", ""),
    ("nul in path", "GET /a\0b", "", ""),
    ("bell in path", "GET /a\x07b", "", ""),
    ("letters beyond ascii", "GET /\u{e9}", "", ""),
    ("star", "OPTIONS *", "", ""),
];

/// Cases that are too long to write out.
fn long_cases() -> Vec<[String; 4]> {
    let of =
        |name: &str, line: String, headers: String| [name.to_owned(), line, headers, String::new()];
    let get = || "GET /".to_owned();
    vec![
        of(
            "long path",
            format!("GET /{}", "a".repeat(9000)),
            String::new(),
        ),
        of(
            "long query",
            format!("GET /?{}", "a".repeat(9000)),
            String::new(),
        ),
        of("long header", get(), format!("X-A: {}", "a".repeat(9000))),
        of(
            "many headers",
            get(),
            (0..120)
                .map(|n| format!("X-{n}: a\r\n"))
                .collect::<String>()
                .trim_end()
                .to_owned(),
        ),
        of(
            "long head",
            get(),
            (0..20)
                .map(|n| format!("X-{n}: {}\r\n", "a".repeat(4000)))
                .collect::<String>()
                .trim_end()
                .to_owned(),
        ),
    ]
}

#[test]
fn what_a_lenient_host_takes_is_refused_on_both_ways_and_recorded() {
    let mut attempts = 0;
    let plain = World::new(Origin::new(false, HIT), Setting::default());
    let tls = World::new(Origin::new(true, HIT), Setting::default());
    let mut faults = Vec::new();
    let mut check = |what: &str, world: &World, answer: &str, hits: usize, records: usize| {
        let refused = answer.starts_with("HTTP/1.1 403") && answer.contains("x-proxy-error: net.")
            || answer.starts_with("HTTP/1.1 400")
            || answer.starts_with("HTTP/1.1 431");
        let lines = wait_for_record(world, records);
        let recorded = lines.len() == records + 1 && lines[records].starts_with("denied net.");
        if !refused || !recorded || world.origin.hits() != hits {
            let new = lines.get(records..).unwrap_or_default();
            faults.push(format!("{what}: {answer:?}, {new:?}"));
        }
    };
    let short = CASES
        .iter()
        .map(|(a, b, c, d)| [*a, *b, *c, *d].map(str::to_owned));
    for [name, line, headers, body] in short.chain(long_cases()) {
        let (method, target) = line.split_once(' ').unwrap();
        for (way, world) in [("http", &plain), ("https", &tls)] {
            let host = format!("origin.test:{}", world.port());
            let request = |target: &str| {
                let headers = headers.replace('@', &host);
                let end = if headers.is_empty() { "" } else { "\r\n" };
                format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n{headers}{end}\r\n{body}")
            };
            let before = world.origin.hits();
            let direct = connect(world.origin.address);
            let direct = match way {
                "http" => exchange(direct, request(target).as_bytes()),
                _ => {
                    let root = world.origin.root.clone();
                    exchange(
                        client_tls(root, "origin.test", direct),
                        request(target).as_bytes(),
                    )
                }
            };
            assert!(
                direct.starts_with("HTTP/1.1 200"),
                "{name} works without the proxy: {direct:?}"
            );
            assert_eq!(world.origin.hits(), before + 1, "{name}");
            let records = world.records().len();
            let answer = match way {
                "http" => world.send(request(&format!("http://{host}{target}")).as_bytes()),
                _ => exchange(world.tls("origin.test"), request(target).as_bytes()),
            };
            check(
                &format!("{name} over {way}"),
                world,
                &answer,
                before + 1,
                records,
            );
            attempts += 1;
        }
    }
    assert!(attempts >= 110, "{attempts} attempts");
    assert!(
        faults.is_empty(),
        "{} of them:\n{}",
        faults.len(),
        faults.join("\n")
    );
}

/// The record of what could not be parsed is written after the answer.
fn wait_for_record(world: &World, before: usize) -> Vec<String> {
    let end = std::time::Instant::now() + crate::world::PATIENCE / 10;
    loop {
        let lines = world.records();
        if lines.len() > before || std::time::Instant::now() > end {
            return lines;
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}

/// Heads that name two hosts, none, or one in a way that servers differ on. `:@` is the port.
const TWO_HOSTS: &[&str] = &[
    "GET http://origin.test:@/ HTTP/1.1\r\nHost: evil.test",
    "GET http://origin.test:@/ HTTP/1.1\r\nHost: origin.test:1",
    "GET http://origin.test:@/ HTTP/1.1\r\nHost: ",
    "GET http://origin.test:@/ HTTP/1.1\r\nHost: origin.test:@:80",
    "GET http://origin.test:@/ HTTP/1.1\r\nHost: origin.test:@, evil.test",
    "GET http://origin.test:@/ HTTP/1.1\r\nHost: u@origin.test:@",
    "GET http://origin.test:@/ HTTP/1.1",
    "GET / HTTP/1.1\r\nHost: origin.test:@",
    "GET //origin.test:@/ HTTP/1.1\r\nHost: origin.test:@",
    "GET https://origin.test:@/ HTTP/1.1\r\nHost: origin.test:@",
    "GET ftp://origin.test:@/ HTTP/1.1\r\nHost: origin.test:@",
    "GET ws://origin.test:@/ HTTP/1.1\r\nHost: origin.test:@",
    "GET http://user:word@origin.test:@/ HTTP/1.1\r\nHost: origin.test:@",
    "GET http://origin.test:@@evil.test/ HTTP/1.1\r\nHost: evil.test",
    "GET http://evil.test:80@origin.test:@/ HTTP/1.1\r\nHost: origin.test:@",
    "CONNECT origin.test HTTP/1.1\r\nHost: origin.test:@",
    "CONNECT origin.test:@ HTTP/1.1\r\nHost: evil.test:@",
    "CONNECT origin.test:0 HTTP/1.1\r\nHost: origin.test:0",
    "CONNECT user@origin.test:@ HTTP/1.1\r\nHost: origin.test:@",
    "CONNECT origin.test:@ HTTP/1.1\r\nHost: origin.test:@\r\nContent-Length: 3",
];

#[test]
fn a_request_that_names_two_hosts_is_refused() {
    let world = World::new(Origin::new(false, HIT), Setting::default());
    let port = world.port().to_string();
    for (n, head) in TWO_HOSTS.iter().enumerate() {
        let head = head.replace(":@", &format!(":{port}"));
        let request = format!("{head}\r\n\r\n");
        let direct = exchange(connect(world.origin.address), request.as_bytes());
        assert!(direct.starts_with("HTTP/1.1 200"), "{head}: {direct}");
        assert_eq!(world.origin.hits(), n + 1);
        let before = world.records().len();
        let answer = world.send(request.as_bytes());
        let refused = answer.starts_with("HTTP/1.1 403") || answer.starts_with("HTTP/1.1 400");
        assert!(refused, "{head}: {answer}");
        let lines = wait_for_record(&world, before);
        assert!(
            lines[before..]
                .iter()
                .all(|l| l.starts_with("denied net.request")),
            "{lines:?}"
        );
        assert_eq!(lines.len(), before + 1, "{head}");
        assert_eq!(world.origin.hits(), n + 1, "{head}");
    }
}

/// Listens on every address of this machine, and says whether those of IPv6 are among them.
fn everywhere() -> (TcpListener, bool) {
    let v6 = TcpListener::bind("[::1]:0").is_ok();
    let all = if v6 { "[::]:0" } else { "0.0.0.0:0" };
    (TcpListener::bind(all).unwrap(), v6)
}

/// Ways to write this machine's loopback that the system's own resolver takes.
const DISGUISES: &[&str] = &[
    "2130706433",
    "0x7f000001",
    "0x7f.0.0.1",
    "0x7f.1",
    "017700000001",
    "0177.0.0.1",
    "0177.1",
    "127.1",
    "127.0.1",
    "127.0.0.1",
    "127.0.0.2",
    "127.255.255.254",
    "0",
    "0.0.0.0",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::1]",
    "[::]",
    "localhost",
];

/// Ways that only some resolvers take, or that lead elsewhere.
const ELSEWHERE: &[&str] = &[
    "127.0.0.1.",
    "origin.test.",
    "[64:ff9b::7f00:1]",
    "[fe80::1]",
    "169.254.169.254",
    "metadata.google.internal",
    "10.0.0.1",
    "192.168.0.1",
    "[fd00:ec2::254]",
    "\u{ff11}27.0.0.1",
];

#[test]
fn an_address_in_disguise_is_no_host() {
    let (everywhere, v6) = everywhere();
    let origin = Origin::on(everywhere, false, HIT);
    let world = World::new(origin, Setting::default());
    let port = world.port();
    let mut records = 0;
    for (host, reached) in DISGUISES
        .iter()
        .map(|h| (*h, true))
        .chain(ELSEWHERE.iter().map(|h| (*h, false)))
    {
        let authority = format!("{host}:{port}");
        let request = format!("GET / HTTP/1.1\r\nHost: {authority}\r\n\r\n");
        let before = world.origin.hits();
        let reached = reached && (v6 || !host.contains(':'));
        if reached {
            let name = host.trim_matches(['[', ']']);
            let stream = TcpStream::connect((name, port)).unwrap();
            let direct = exchange(stream, request.as_bytes());
            assert!(direct.starts_with("HTTP/1.1 200"), "{host}: {direct}");
        }
        for head in [
            format!("GET http://{authority}/ HTTP/1.1"),
            format!("CONNECT {authority} HTTP/1.1"),
        ] {
            let request = format!("{head}\r\nHost: {authority}\r\n\r\n");
            let mut stream = connect(world.proxy.address());
            let mut answer = exchange(&mut stream, request.as_bytes());
            if answer.starts_with("HTTP/1.1 200") {
                // What runs in it would be judged; nothing that is no TLS does.
                answer = exchange(stream, b"GET / HTTP/1.1\r\n\r\n");
                assert!(!answer.starts_with("HTTP/1.1 200"), "{head}: {answer}");
            } else {
                let refused =
                    answer.starts_with("HTTP/1.1 403") || answer.starts_with("HTTP/1.1 400");
                assert!(refused, "{head}: {answer}");
            }
            let lines = wait_for_record(&world, records);
            assert_eq!(lines.len(), records + 1, "{head}: {lines:?}");
            assert!(lines[records].starts_with("denied "), "{lines:?}");
            records += 1;
        }
        assert_eq!(world.origin.hits(), before + usize::from(reached), "{host}");
    }
    assert!(
        world.names.asked.lock().unwrap().is_empty(),
        "no name leaves"
    );
}

/// Addresses of this machine that a name could lead to.
const PRIVATE: &[&str] = &[
    "127.0.0.1",
    "127.1.2.3",
    "0.0.0.0",
    "::1",
    "::",
    "::ffff:127.0.0.1",
];

#[test]
fn a_name_that_leads_to_this_machine_is_refused_on_every_way() {
    for address in PRIVATE {
        let address: IpAddr = address.parse().unwrap();
        let (everywhere, v6) = everywhere();
        let origin = Origin::on(everywhere, false, HIT);
        let port = origin.address.port();
        let reached = v6 || address.is_ipv4();
        if reached {
            let stream = TcpStream::connect((address, port)).unwrap();
            let direct = exchange(stream, b"GET / HTTP/1.1\r\nHost: origin.test\r\n\r\n");
            assert!(direct.starts_with("HTTP/1.1 200"), "{address}: {direct}");
        }
        let setting = Setting {
            addresses: vec![address],
            allow_private: false,
            rights: vec![Right::Tunnel(format!("tunnel.test:{port}"))],
            ..Setting::default()
        };
        let world = World::new(origin, setting);
        let get = "/ HTTP/1.1\r\nHost: origin.test";
        let plain =
            world.send(format!("GET http://origin.test:{port}{get}:{port}\r\n\r\n").as_bytes());
        let inside = exchange(
            world.tls("origin.test"),
            format!("GET {get}:{port}\r\n\r\n").as_bytes(),
        );
        let tunnel = world.send(
            format!("CONNECT tunnel.test:{port} HTTP/1.1\r\nHost: tunnel.test:{port}\r\n\r\n")
                .as_bytes(),
        );
        for answer in [&plain, &inside, &tunnel] {
            assert!(
                answer.contains("x-proxy-error: net.address"),
                "{address}: {answer}"
            );
        }
        let denied = |r: &&String| r.starts_with("denied net.address ");
        assert_eq!(world.records().iter().filter(denied).count(), 3);
        assert_eq!(world.origin.hits(), usize::from(reached));
        assert_eq!(world.names.asked.lock().unwrap().len(), 2, "once a name");
    }
}

#[test]
fn a_host_that_the_networks_own_serves_may_be_private_where_that_was_said() {
    let origin = Origin::new(false, HIT);
    let port = origin.address.port();
    let setting = Setting {
        allow_private: false,
        rights: vec![
            Right::PrivateHost(format!("origin.test:{port}")),
            Right::Host(format!("other.test:{port}")),
        ],
        ..Setting::default()
    };
    let world = World::new(origin, setting);
    for (host, expected) in [
        ("origin.test", "200"),
        ("other.test", "403"),
        ("evil.test", "403"),
    ] {
        let request = format!("GET http://{host}:{port}/ HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n");
        let answer = world.send(request.as_bytes());
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {expected}")),
            "{host}: {answer}"
        );
    }
    assert_eq!(world.origin.hits(), 1);
}

#[test]
fn whoever_does_not_show_the_runs_pass_gets_nothing_and_a_record() {
    let pass = Pass::new().unwrap();
    let setting = Setting {
        pass: Some(pass),
        ..Setting::default()
    };
    let world = World::new(Origin::new(false, HIT), setting);
    let host = format!("origin.test:{}", world.port());
    let variables = world.proxy.variables();
    let (_, url) = variables.iter().find(|(n, _)| n == "http_proxy").unwrap();
    let (user, _) = url["http://".len()..].split_once('@').unwrap();
    assert!(user.len() > 20, "{url}");
    let right = format!("Proxy-Authorization: Basic {}\r\n", STANDARD.encode(user));
    let wrong = format!(
        "Proxy-Authorization: Basic {}\r\n",
        STANDARD.encode("codex:x")
    );
    let ask = |method: &str, shown: &str| {
        let target = if method == "CONNECT" {
            host.clone()
        } else {
            format!("http://{host}/")
        };
        format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n{shown}\r\n")
    };
    let longer = right.replace("\r\n", "AA\r\n");
    let bearer = right.replace("Basic", "Bearer");
    let shown = ["", &wrong, &longer, &bearer, "Proxy-Authorization: \r\n"];
    for (n, shown) in shown.iter().enumerate() {
        for (m, method) in ["GET", "CONNECT"].iter().enumerate() {
            let before = n * 2 + m;
            let answer = world.send(ask(method, shown).as_bytes());
            assert!(answer.starts_with("HTTP/1.1 407"), "{shown}: {answer}");
            assert!(answer.contains("proxy-authenticate: Basic"), "{answer}");
            let lines = wait_for_record(&world, before);
            assert_eq!(lines.len(), before + 1);
            assert!(
                lines[before].starts_with(&format!("denied net.request {method}")),
                "{lines:?}"
            );
        }
    }
    assert_eq!(world.origin.hits(), 0);
    let answer = world.send(ask("GET", &right).as_bytes());
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let seen = world.origin.seen.lock().unwrap()[0].to_ascii_lowercase();
    assert!(!seen.contains("authorization"), "{seen}");
}

#[test]
fn a_request_behind_another_is_judged_as_well() {
    let origin = Origin::new(false, "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nhit");
    let world = World::new(origin, Setting::default());
    let host = format!("origin.test:{}", world.port());
    let get = format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n");
    let post = format!("POST http://{host}/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n");
    let mut stream = connect(world.proxy.address());
    stream
        .write_all(format!("{get}\r\n{post}").as_bytes())
        .unwrap();
    assert!(exchange(&mut stream, b"").starts_with("HTTP/1.1 200"));
    let answer = exchange(&mut stream, b"");
    assert!(answer.contains("x-proxy-error: net.method"), "{answer}");
    assert_eq!(world.origin.hits(), 1);
}

#[test]
fn a_handshake_for_another_host_than_the_tunnels_is_refused() {
    let world = World::new(Origin::new(true, HIT), Setting::default());
    let port = world.port();
    let mut stream = connect(world.proxy.address());
    let open = format!("CONNECT origin.test:{port} HTTP/1.1\r\nHost: origin.test:{port}\r\n\r\n");
    let head = exchange(&mut stream, open.as_bytes());
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let root = world.proxy.authority_pem().as_bytes();
    let root = tokio_rustls::rustls::pki_types::pem::PemObject::from_pem_slice(root).unwrap();
    let mut other = client_tls(root, "evil.test", stream);
    // The leaf is for the tunnel's host, so an honest client stops here.
    assert!(
        other
            .write_all(b"GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n")
            .is_err()
    );
    let lines = wait_for_record(&world, 0);
    assert!(
        lines[0].starts_with("denied net.tunnel CONNECT"),
        "{lines:?}"
    );
    assert_eq!(world.origin.hits(), 0);
}

#[test]
fn a_host_inside_the_tunnel_must_be_the_tunnels() {
    let world = World::new(Origin::new(true, HIT), Setting::default());
    let port = world.port();
    for request in [
        "GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: origin.test\r\n\r\n".to_owned(),
        format!("GET https://evil.test/ HTTP/1.1\r\nHost: origin.test:{port}\r\n\r\n"),
        format!("GET http://origin.test:{port}/ HTTP/1.1\r\nHost: origin.test:{port}\r\n\r\n"),
        format!("CONNECT evil.test:443 HTTP/1.1\r\nHost: origin.test:{port}\r\n\r\n"),
    ] {
        let answer = exchange(world.tls("origin.test"), request.as_bytes());
        assert!(
            answer.contains("x-proxy-error: net.request"),
            "{request}: {answer}"
        );
    }
    assert_eq!(world.origin.hits(), 0);
}

#[test]
fn there_are_enough_kinds_of_abuse_that_work_without_the_proxy() {
    let kinds = [
        CASES.len(),
        long_cases().len(),
        TWO_HOSTS.len(),
        DISGUISES.len(),
        PRIVATE.len(),
    ];
    println!("{} kinds: {kinds:?}", kinds.iter().sum::<usize>());
    let mut names: Vec<&str> = CASES.iter().map(|(name, ..)| *name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), CASES.len(), "every name is there once");
    assert!(kinds.iter().sum::<usize>() >= 100);
}
