//! Bytes that are nearly requests. Whatever the proxy makes of them, what reaches the host is a read
//! of what was granted, by a reference that knows only the words of the documentation.

use std::sync::atomic::{AtomicUsize, Ordering};

use codex_protocol::policy::Right;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};

use crate::world::{HIT, Origin, Setting, World, connect, exchange};

/// `@` is the host and port that were granted.
const METHODS: &[&str] = &[
    "GET", "HEAD", "OPTIONS", "GET", "POST", "PUT", "CONNECT", "get", "G\0T", "", " GET", "PRI",
];
const TARGETS: &[&str] = &[
    "http://@/docs/a",
    "http://@/docs",
    "http://@/docs/%2e%2e/secret",
    "http://@/docs/../secret",
    "http://@/secret",
    "http://@//docs/a",
    "http://@/docs;/a",
    "http://@\\@evil.test/docs/a",
    "http://evil.test@@/docs/a",
    "http://@@evil.test/docs/a",
    "http://@.evil.test/docs/a",
    "http://evil.test/docs/a?@",
    "http://@/docs/a?q=\u{e9}",
    "http://@/docs/a#x",
    "https://@/docs/a",
    "HTTP://@/docs/a",
    "//@/docs/a",
    "/docs/a",
    "*",
    "@",
    "evil.test:443",
    "http://[::1]/docs/a",
];
const ENDS: &[&str] = &[
    " HTTP/1.1\r\n",
    " HTTP/1.0\r\n",
    " HTTP/2.0\r\n",
    " HTTP/1.1\n",
    " HTTP/1.1\r",
    "\r\n",
    "  HTTP/1.1\r\n",
    " HTTP/1.1 \r\n",
];
const HEADERS: &[&str] = &[
    "Host: @\r\n",
    "host:@\r\n",
    "Host: evil.test\r\n",
    "Host : @\r\n",
    "Content-Length: 3\r\n",
    "Content-Length: 0\r\n",
    "Content-Length: -1\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: x\r\n",
    "Upgrade: h2c\r\n",
    "Connection: close, host\r\n",
    "Connection: keep-alive\r\n",
    "X-HTTP-Method-Override: PUT\r\n",
    "X-Rewrite-URL: /secret\r\n",
    "X-A: a\r\n folded\r\n",
    "X-A: a\0b\r\n",
    "X-A: \u{e9}\r\n",
    "Accept: */*\r\n",
    ": empty\r\n",
    "no colon\r\n",
    "X-A: a\n",
];
const TAILS: &[&str] = &[
    "\r\n",
    "\r\nabc",
    "\r\n3\r\nabc\r\n0\r\n\r\n",
    "\n",
    "\r\n\r\n",
    "",
    "\r\nGET http://@/secret HTTP/1.1\r\nHost: @\r\n\r\n",
    "\r\nPOST http://@/docs/a HTTP/1.1\r\nHost: @\r\nContent-Length: 0\r\n\r\n",
];

/// Mostly the first of them, which is as it should be.
fn mostly(pieces: &'static [&'static str]) -> impl Strategy<Value = &'static str> + Clone {
    prop_oneof![3 => Just(pieces[0]), 2 => select(pieces)]
}

fn requests() -> impl Strategy<Value = Vec<u8>> {
    let pieces = (
        mostly(METHODS),
        mostly(TARGETS),
        mostly(ENDS),
        mostly(HEADERS),
        vec(select(HEADERS), 0..3),
        mostly(TAILS),
    );
    let nearly = pieces.prop_map(|(method, target, end, first, headers, tail)| {
        format!("{method} {target}{end}{first}{}{tail}", headers.concat()).into_bytes()
    });
    // One byte of it is another, now and then.
    let broken = (nearly.clone(), any::<prop::sample::Index>(), any::<u8>()).prop_map(
        |(mut bytes, at, byte)| {
            let at = at.index(bytes.len());
            bytes[at] = byte;
            bytes
        },
    );
    prop_oneof![6 => nearly, 3 => broken, 1 => vec(any::<u8>(), 0..200)]
}

/// Whether some server may take a path for one that is not below where it begins.
fn leads_elsewhere(path: &str) -> bool {
    let mut decoded = Vec::new();
    let mut rest = path.as_bytes();
    while let [first, after @ ..] = rest {
        let hex = |digits: &[u8]| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok();
        match (first, after.get(..2).and_then(hex)) {
            (b'%', Some(byte)) => {
                decoded.push(byte);
                rest = &after[2..];
            }
            _ => {
                decoded.push(*first);
                rest = after;
            }
        }
    }
    let hides = |byte: &u8| byte.is_ascii_control() || [b'\\', b'%', b';'].contains(byte);
    let climbs = |segment: &[u8]| [&b".."[..], b"."].contains(&segment);
    let slashes = |bytes: &[u8]| bytes.iter().filter(|b| **b == b'/').count();
    decoded.iter().any(hides)
        || decoded.split(|b| *b == b'/').any(climbs)
        || slashes(&decoded) != slashes(path.as_bytes())
}

/// What may reach the host, by the documentation: `head` is what the host saw.
fn is_a_granted_read(head: &str, host: &str) -> Result<(), String> {
    let fail = |what: &str| Err(format!("{what}: {head:?}"));
    let mut lines = head.trim_end_matches("\r\n").split("\r\n");
    let words: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
    let [method, target, "HTTP/1.1"] = words[..] else {
        return fail("no plain request line");
    };
    if !["GET", "HEAD", "OPTIONS"].contains(&method) {
        return fail("no read");
    }
    let path = target.split('?').next().unwrap_or_default();
    if path != "/docs" && !path.starts_with("/docs/") || leads_elsewhere(path) {
        return fail("not below what was granted");
    }
    let mut hosts = 0;
    for line in lines {
        let Some((name, value)) = line.split_once(": ") else {
            return fail("no plain header");
        };
        match name.to_ascii_lowercase().as_str() {
            "host" if value == host => hosts += 1,
            "host" => return fail("another host"),
            "content-length"
            | "transfer-encoding"
            | "upgrade"
            | "connection"
            | "x-http-method-override"
            | "x-rewrite-url" => return fail("a header that does not belong there"),
            // A byte that was changed can make up any other.
            name if name.bytes().all(|b| b.is_ascii_graphic()) => {}
            _ => return fail("a header that is none"),
        }
    }
    if hosts == 1 {
        Ok(())
    } else {
        fail("not one host")
    }
}

/// `PROPTEST_CASES` for a longer run.
fn cases() -> u32 {
    let set = std::env::var("PROPTEST_CASES").ok();
    set.map_or(4_000, |n| n.parse().unwrap())
}

#[test]
fn nothing_but_granted_reads_reaches_the_host_and_nothing_panics() {
    static PANICS: AtomicUsize = AtomicUsize::new(0);
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if std::thread::current().name() == Some("codex-egress") {
            PANICS.fetch_add(1, Ordering::SeqCst);
        }
        usual(info);
    }));
    let origin = Origin::new(false, HIT);
    let host = format!("origin.test:{}", origin.address.port());
    let setting = Setting {
        rights: vec![Right::Host(format!("{host}/docs"))],
        limits: codex_egress::Limits {
            rate: u32::MAX,
            requests: u64::MAX,
            head: std::time::Duration::from_millis(50),
            ..codex_egress::Limits::default()
        },
        ..Setting::default()
    };
    let world = World::exactly(origin, setting, None);
    let (reached, sent) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let mut runner = TestRunner::new(Config {
        cases: cases(),
        failure_persistence: None,
        ..Config::default()
    });
    runner
        .run(&requests(), |bytes| {
            let mut filled = Vec::new();
            for byte in bytes {
                match byte {
                    b'@' => filled.extend_from_slice(host.as_bytes()),
                    _ => filled.push(byte),
                }
            }
            sent.fetch_add(1, Ordering::SeqCst);
            exchange(connect(world.proxy.address()), &filled);
            for head in world.origin.seen.lock().unwrap().drain(..) {
                reached.fetch_add(1, Ordering::SeqCst);
                if let Err(why) = is_a_granted_read(&head, &host) {
                    let sent = String::from_utf8_lossy(&filled).into_owned();
                    return Err(TestCaseError::fail(format!("{why} came of {sent:?}")));
                }
            }
            prop_assert_eq!(PANICS.load(Ordering::SeqCst), 0);
            Ok(())
        })
        .unwrap();
    let reached = reached.load(Ordering::SeqCst);
    println!(
        "{} requests sent, {reached} reached the host, each as a granted read; no panic",
        sent.load(Ordering::SeqCst)
    );
    assert!(reached > 100, "too few of them are requests: {reached}");
    let records = world.records();
    let allowed = records.iter().filter(|r| r.starts_with("allowed ")).count();
    assert!(allowed >= reached, "each has its record");
}
