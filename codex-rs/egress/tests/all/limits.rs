//! What is spent at most: time, bytes, connections, requests.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use codex_egress::Limits;
use codex_protocol::policy::Right;

use crate::world::{HIT, Origin, Setting, World, connect, exchange};

const SHORT: Duration = Duration::from_millis(300);

fn world(limits: Limits, rights: Vec<Right>) -> World {
    let setting = Setting {
        limits,
        rights,
        ..Setting::default()
    };
    World::new(Origin::new(false, HIT), setting)
}

fn get(world: &World) -> String {
    let host = format!("origin.test:{}", world.port());
    world.send(format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes())
}

/// A host that takes a connection, says this once it is asked anything, and holds it.
fn holding(says: &'static [u8]) -> Origin {
    let mut origin = Origin::new(false, HIT);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    origin.address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for mut stream in listener.incoming().flatten() {
            if !says.is_empty() {
                assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
                stream.write_all(says).unwrap();
            }
            held.push(stream);
        }
    });
    origin
}

#[test]
fn a_tunnel_in_which_nothing_moves_ends() {
    let origin = holding(b"");
    let target = format!("origin.test:{}", origin.address.port());
    let setting = Setting {
        limits: Limits {
            idle: SHORT,
            ..Limits::default()
        },
        rights: vec![Right::Tunnel(target.clone())],
        ..Setting::default()
    };
    let world = World::exactly(origin, setting, None);
    let mut stream = connect(world.proxy.address());
    let open = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n");
    assert!(exchange(&mut stream, open.as_bytes()).starts_with("HTTP/1.1 200"));
    // As long as something moves, it stays.
    for _ in 0..5 {
        std::thread::sleep(SHORT / 3);
        stream.write_all(b"x").unwrap();
    }
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
}

#[test]
fn a_host_that_does_not_answer_is_a_timeout() {
    let setting = Setting {
        limits: Limits {
            answer: SHORT,
            ..Limits::default()
        },
        ..Setting::default()
    };
    let world = World::new(holding(b""), setting);
    let answer = get(&world);
    assert!(answer.starts_with("HTTP/1.1 504"), "{answer}");
    assert!(answer.contains("x-proxy-error: timeout"), "{answer}");
}

/// What comes until the connection ends, which it has to.
fn until_the_end(stream: &mut impl Read) -> Vec<u8> {
    let mut answer = Vec::new();
    if let Err(error) = stream.read_to_end(&mut answer) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{answer:?}");
    }
    answer
}

#[test]
fn an_answer_that_stops_or_is_too_long_is_cut() {
    let stops = &b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc"[..];
    let whole = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabcdefghi";
    for (says, response_bytes, gets) in [
        (stops, 9, Some("abc")),
        (whole, 9, Some("abcdefghi")),
        (whole, 5, None),
    ] {
        let setting = Setting {
            limits: Limits {
                idle: SHORT,
                response_bytes,
                ..Limits::default()
            },
            ..Setting::default()
        };
        let world = World::new(holding(says), setting);
        let host = format!("origin.test:{}", world.port());
        let mut stream = connect(world.proxy.address());
        write!(
            stream,
            "GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let answer = String::from_utf8(until_the_end(&mut stream)).unwrap();
        let body = answer.split_once("\r\n\r\n").map(|(_, body)| body);
        match gets {
            Some(gets) => {
                assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
                assert_eq!(body, Some(gets));
            }
            // Cut, not ended: the client sees less than it was told, or nothing.
            None => assert!(body.is_none_or(|body| body.len() <= 5), "{answer}"),
        }
    }
}

#[test]
fn a_head_that_does_not_come_ends_the_connection() {
    let limits = Limits {
        head: SHORT,
        ..Limits::default()
    };
    let world = world(limits, Vec::new());
    let mut stream = connect(world.proxy.address());
    stream.write_all(b"GET http://origin.test/ HT").unwrap();
    let answer = until_the_end(&mut stream);
    assert!(!answer.starts_with(b"HTTP/1.1 200"), "{answer:?}");
    assert_eq!(world.origin.hits(), 0);
}

#[test]
fn what_runs_in_a_connect_counts_as_a_connection() {
    let setting = Setting {
        limits: Limits {
            connections: 1,
            ..Limits::default()
        },
        ..Setting::default()
    };
    let world = World::new(Origin::new(true, HIT), setting);
    let mut held = world.tls("origin.test");
    // The handshake happens with the first byte.
    held.write_all(b"GET").unwrap();
    let mut second = connect(world.proxy.address());
    second.set_read_timeout(Some(SHORT)).unwrap();
    second
        .write_all(b"GET http://evil.test/ HTTP/1.1\r\nHost: evil.test\r\n\r\n")
        .unwrap();
    assert!(second.read(&mut [0]).is_err(), "it waits");
    drop(held);
    second
        .set_read_timeout(Some(crate::world::PATIENCE))
        .unwrap();
    assert!(exchange(second, b"").starts_with("HTTP/1.1 403"));
}

#[test]
fn a_session_has_so_many_requests_and_no_more() {
    let limits = Limits {
        requests: 2,
        ..Limits::default()
    };
    let world = world(limits, Vec::new());
    for _ in 0..2 {
        assert!(get(&world).starts_with("HTTP/1.1 200"));
    }
    let answer = get(&world);
    assert!(answer.contains("x-proxy-error: net.request"), "{answer}");
    assert_eq!(world.origin.hits(), 2);
}

#[test]
fn requests_that_come_too_fast_wait() {
    let limits = Limits {
        rate: 10,
        burst: 1,
        ..Limits::default()
    };
    let world = world(limits, Vec::new());
    let start = Instant::now();
    for _ in 0..6 {
        assert!(get(&world).starts_with("HTTP/1.1 200"));
    }
    assert!(start.elapsed() >= SHORT, "{:?}", start.elapsed());
}

#[test]
fn what_a_named_read_sends_has_a_limit_however_its_length_is_told() {
    // A host that answers once the whole body has come.
    let mut origin = Origin::new(false, HIT);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    origin.address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut seen = Vec::new();
            let mut byte = [0];
            while !seen.ends_with(b"\r\n0\r\n\r\n") && !seen.ends_with(b"\r\n\r\n0000") {
                match stream.read(&mut byte) {
                    Ok(1) => seen.push(byte[0]),
                    _ => break,
                }
            }
            if seen.ends_with(b"0\r\n\r\n") || seen.ends_with(b"0000") {
                let _ = stream.write_all(HIT.as_bytes());
            }
        }
    });
    let setting = Setting {
        limits: Limits {
            request_bytes: 1000,
            ..Limits::default()
        },
        rights: vec![Right::ReadPost("git-upload-pack".to_owned())],
        ..Setting::default()
    };
    let world = World::new(origin, setting);
    let host = format!("origin.test:{}", world.port());
    let post = |framing: &str, body: &str| {
        let head = format!(
            "POST http://{host}/r/git-upload-pack HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/x-git-upload-pack-request\r\n{framing}\r\n\r\n{body}"
        );
        world.send(head.as_bytes())
    };
    let chunked = |length: usize| format!("{length:x}\r\n{}\r\n0\r\n\r\n", "a".repeat(length));
    assert!(post("Content-Length: 4", "0000").starts_with("HTTP/1.1 200"));
    assert!(post("Transfer-Encoding: chunked", &chunked(900)).starts_with("HTTP/1.1 200"));
    let answer = post("Content-Length: 2000", &"a".repeat(2000));
    assert!(answer.contains("x-proxy-error: net.request"), "{answer}");
    let answer = post("Transfer-Encoding: chunked", &chunked(2000));
    assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
}
