//! Requests that a lenient host answers, and that the proxy refuses and records. Each is first
//! sent to the host itself.

use std::io::Write as _;

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

#[test]
fn what_a_lenient_host_takes_is_refused_on_both_ways_and_recorded() {
    let plain = World::new(Origin::new(false, HIT), Setting::default());
    let tls = World::new(Origin::new(true, HIT), Setting::default());
    let mut faults = Vec::new();
    let mut check = |what: &str, world: &World, answer: &str, hits: usize, records: usize| {
        let refused = answer.starts_with("HTTP/1.1 403") && answer.contains("x-proxy-error: net.")
            || answer.starts_with("HTTP/1.1 400");
        let lines = wait_for_record(world, records);
        let recorded = lines.len() == records + 1 && lines[records].starts_with("denied net.");
        if !refused || !recorded || world.origin.hits() != hits {
            let new = lines.get(records..).unwrap_or_default();
            faults.push(format!("{what}: {answer:?}, {new:?}"));
        }
    };
    for (name, line, headers, body) in CASES {
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
        }
    }
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

#[test]
fn a_request_that_names_two_hosts_is_refused() {
    let world = World::new(Origin::new(false, HIT), Setting::default());
    let port = world.port();
    for head in [
        format!("GET http://origin.test:{port}/ HTTP/1.1\r\nHost: evil.test\r\n"),
        format!("GET http://origin.test:{port}/ HTTP/1.1\r\nHost: origin.test:1\r\n"),
        format!("GET http://origin.test:{port}/ HTTP/1.1\r\nHost: \r\n"),
        format!("GET http://origin.test:{port}/ HTTP/1.1\r\n"),
        format!("GET / HTTP/1.1\r\nHost: origin.test:{port}\r\n"),
        format!("GET https://origin.test:{port}/ HTTP/1.1\r\nHost: origin.test:{port}\r\n"),
        format!("GET ftp://origin.test:{port}/ HTTP/1.1\r\nHost: origin.test:{port}\r\n"),
        format!(
            "GET http://user:word@origin.test:{port}/ HTTP/1.1\r\nHost: origin.test:{port}\r\n"
        ),
        format!("GET http://origin.test:{port}@evil.test/ HTTP/1.1\r\nHost: evil.test\r\n"),
        format!("CONNECT origin.test HTTP/1.1\r\nHost: origin.test:{port}\r\n"),
        format!("CONNECT origin.test:{port} HTTP/1.1\r\nHost: evil.test:{port}\r\n"),
        "CONNECT origin.test:0 HTTP/1.1\r\nHost: origin.test:0\r\n".to_owned(),
        format!("CONNECT user@origin.test:{port} HTTP/1.1\r\nHost: origin.test:{port}\r\n"),
    ] {
        let before = world.records().len();
        let answer = world.send(format!("{head}\r\n").as_bytes());
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
    }
    assert_eq!(world.origin.hits(), 0);
}

#[test]
fn an_address_in_disguise_is_no_host() {
    let world = World::new(Origin::new(false, HIT), Setting::default());
    for host in [
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "017700000001",
        "0177.0.0.1",
        "127.1",
        "127.0.1",
        "127.0.0.1.",
        "origin.test.",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "127.0.0.1",
        "[::1]",
        "localhost",
        "169.254.169.254",
    ] {
        let port = world.port();
        let authority = format!("{host}:{port}");
        let answer = world.send(
            format!("GET http://{authority}/ HTTP/1.1\r\nHost: {authority}\r\n\r\n").as_bytes(),
        );
        assert!(answer.starts_with("HTTP/1.1 403"), "{host}: {answer}");
    }
    assert_eq!(world.records().len(), 15);
    assert!(
        world
            .records()
            .iter()
            .all(|line| line.starts_with("denied "))
    );
    assert_eq!(world.names.asked.lock().unwrap().len(), 0);
    assert_eq!(world.origin.hits(), 0);
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
