//! Connections that carry more than one request, and bodies that are longer than memory should
//! hold.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::world::{HIT, Origin, Setting, World, connect, exchange};

#[test]
fn both_connections_are_used_again() {
    let mut origin = Origin::new(false, HIT);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    origin.address = listener.local_addr().unwrap();
    let accepted = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&accepted);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            counted.fetch_add(1, Ordering::SeqCst);
            std::thread::spawn(move || {
                let mut head = Vec::new();
                let mut byte = [0];
                while stream.read(&mut byte).is_ok_and(|n| n == 1) {
                    head.push(byte[0]);
                    if head.ends_with(b"\r\n\r\n") {
                        head.clear();
                        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nhit";
                        if stream.write_all(answer).is_err() {
                            return;
                        }
                    }
                }
            });
        }
    });
    let world = World::new(origin, Setting::default());
    let host = format!("origin.test:{}", world.port());
    let mut client = connect(world.proxy.address());
    for n in 0..20 {
        let request = format!("GET http://{host}/{n} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let answer = exchange(&mut client, request.as_bytes());
        assert!(answer.ends_with("hit"), "{n}: {answer}");
    }
    assert_eq!(accepted.load(Ordering::SeqCst), 1);
    assert_eq!(world.records().len(), 20);
}

#[test]
fn a_read_on_a_connection_that_the_host_has_closed_is_sent_on_a_new_one() {
    let mut origin = Origin::new(false, HIT);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    origin.address = listener.local_addr().unwrap();
    let accepted = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&accepted);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            counted.fetch_add(1, Ordering::SeqCst);
            // It answers one request, takes another, and is gone.
            for answer in [&b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nhit"[..], b""] {
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
                    head.push(byte[0]);
                }
                let _ = stream.write_all(answer);
            }
        }
    });
    let setting = Setting {
        rights: vec![codex_protocol::policy::Right::ReadPost(
            "npm-audit".to_owned(),
        )],
        ..Setting::default()
    };
    let world = World::new(origin, setting);
    let host = format!("origin.test:{}", world.port());
    let mut client = connect(world.proxy.address());
    let get = format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n");
    for n in 1..=4 {
        let answer = exchange(&mut client, get.as_bytes());
        assert!(answer.ends_with("hit"), "{n}: {answer}");
        assert_eq!(accepted.load(Ordering::SeqCst), n);
    }
    // What may have changed something is not sent twice.
    let post = format!(
        "POST http://{host}/-/npm/v1/security/advisories/bulk HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}"
    );
    let answer = exchange(&mut client, post.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
    assert_eq!(accepted.load(Ordering::SeqCst), 4);
    assert_eq!(world.records().len(), 5, "one record a request");
}

#[test]
fn a_long_body_arrives_whole() {
    const LENGTH: usize = 32 << 20;
    let mut origin = Origin::new(false, HIT);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    origin.address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = [0; 4096];
        assert!(stream.read(&mut head).unwrap() > 0);
        write!(
            stream,
            "HTTP/1.1 200 OK\r\ncontent-length: {LENGTH}\r\n\r\n"
        )
        .unwrap();
        let block: Vec<u8> = (0..65536_u32).map(|n| (n % 251) as u8).collect();
        for _ in 0..LENGTH / block.len() {
            stream.write_all(&block).unwrap();
        }
    });
    let world = World::new(origin, Setting::default());
    let host = format!("origin.test:{}", world.port());
    let mut client = connect(world.proxy.address());
    let request =
        format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    client.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    let body = answer.len() - LENGTH;
    assert!(answer[..body].ends_with(b"\r\n\r\n"));
    let expected = |n: usize| (n % 65536 % 251) as u8;
    assert!(
        answer[body..]
            .iter()
            .enumerate()
            .all(|(n, b)| *b == expected(n))
    );
}
