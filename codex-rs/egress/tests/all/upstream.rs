//! Hosts behind the person's own proxy.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use codex_http::{ProxySettings, Secret, TrustRoots, Upstream};
use codex_protocol::policy::Right;

use crate::world::{HIT, Origin, PATIENCE, Setting, World, connect, exchange};

/// The person's proxy: tunnels lead to one address, whatever they name; a request for a whole URL
/// is answered. It remembers each head.
struct Corporate {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

fn head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    Some(String::from_utf8_lossy(&head).to_ascii_lowercase())
}

impl Corporate {
    fn new(leads_to: SocketAddr, status: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let corporate = Self {
            address: listener.local_addr().unwrap(),
            heads: Arc::default(),
        };
        let heads = Arc::clone(&corporate.heads);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let heads = Arc::clone(&heads);
                std::thread::spawn(move || {
                    stream.set_read_timeout(Some(PATIENCE)).unwrap();
                    let Some(head) = head(&mut stream) else {
                        return;
                    };
                    let tunnel = head.starts_with("connect ");
                    heads.lock().unwrap().push(head);
                    if !tunnel {
                        let _ = stream.write_all(HIT.as_bytes());
                        return;
                    }
                    let _ = write!(stream, "HTTP/1.1 {status}\r\n\r\n");
                    if status.starts_with("200") {
                        let mut host = TcpStream::connect(leads_to).unwrap();
                        let mut back = (host.try_clone().unwrap(), stream.try_clone().unwrap());
                        std::thread::spawn(move || std::io::copy(&mut back.0, &mut back.1));
                        let _ = std::io::copy(&mut stream, &mut host);
                    }
                });
            }
        });
        corporate
    }

    fn setting(&self, no_proxy: &str) -> Setting {
        let url = Some(Secret::new(format!("http://ada:word@{}", self.address)));
        let settings = ProxySettings {
            http: url.clone(),
            https: url,
            no_proxy: Some(no_proxy.to_owned()),
        };
        Setting {
            upstream: Some(Upstream::new(settings, TrustRoots::default())),
            ..Setting::default()
        }
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

const CREDENTIALS: &str = "proxy-authorization: basic ywrhondvcmq=\r\n";

fn get(world: &World, host: &str) -> String {
    let host = format!("{host}:{}", world.port());
    world.send(format!("GET http://{host}/a HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes())
}

#[test]
fn https_goes_through_a_tunnel_of_the_persons_proxy_and_is_still_looked_into() {
    let origin = Origin::new(true, HIT);
    let corporate = Corporate::new(origin.address, "200 OK");
    let world = World::new(origin, corporate.setting(""));
    let port = world.port();
    let ask = |method: &str| {
        let request = format!("{method} /b HTTP/1.1\r\nHost: origin.test:{port}\r\n\r\n");
        exchange(world.tls("origin.test"), request.as_bytes())
    };
    assert!(ask("GET").ends_with("hit"));
    assert!(ask("DELETE").starts_with("HTTP/1.1 403"));
    let heads = corporate.heads();
    assert_eq!(heads.len(), 1, "{heads:?}");
    assert!(heads[0].starts_with(&format!("connect origin.test:{port} http/1.1")));
    assert!(heads[0].contains(CREDENTIALS), "{heads:?}");
    let seen = world.origin.seen.lock().unwrap()[0].to_ascii_lowercase();
    assert!(!seen.contains("proxy-authorization"), "{seen}");
    assert!(world.names.asked.lock().unwrap().is_empty());
    let records = world.records();
    let allowed = format!("allowed net.grant GET https://origin.test:{port}/b");
    assert_eq!(records[0], allowed);
    assert!(records[1].starts_with("denied net.method"), "{records:?}");
}

#[test]
fn http_is_asked_of_the_persons_proxy_by_its_whole_url() {
    let origin = Origin::new(false, HIT);
    let corporate = Corporate::new(origin.address, "200 OK");
    let world = World::new(origin, corporate.setting(""));
    assert!(get(&world, "origin.test").ends_with("hit"));
    assert!(get(&world, "evil.test").starts_with("HTTP/1.1 403"));
    let heads = corporate.heads();
    assert_eq!(heads.len(), 1, "a denied host is told to nobody: {heads:?}");
    let line = format!("get http://origin.test:{}/a http/1.1\r\n", world.port());
    assert!(heads[0].starts_with(&line), "{heads:?}");
    assert!(heads[0].contains(CREDENTIALS), "{heads:?}");
    assert_eq!(world.origin.hits(), 0, "the proxy answered");
}

#[test]
fn hosts_that_the_person_excepts_are_reached_directly() {
    let origin = Origin::new(false, HIT);
    let corporate = Corporate::new(origin.address, "200 OK");
    let world = World::new(origin, corporate.setting("origin.test"));
    assert!(get(&world, "origin.test").ends_with("hit"));
    assert!(corporate.heads().is_empty());
    assert_eq!(world.origin.hits(), 1);
}

#[test]
fn a_granted_tunnel_runs_in_one_of_the_persons_proxy() {
    let origin = Origin::new(false, HIT);
    let corporate = Corporate::new(origin.address, "200 OK");
    let target = format!("origin.test:{}", origin.address.port());
    let setting = Setting {
        rights: vec![Right::Tunnel(target.clone())],
        ..corporate.setting("")
    };
    let world = World::exactly(origin, setting, None);
    let mut stream = connect(world.proxy.address());
    let open = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n");
    let answer = exchange(&mut stream, open.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(exchange(&mut stream, b"anything\r\n\r\n").ends_with("hit"));
    assert!(corporate.heads()[0].starts_with(&format!("connect {target} ")));
}

#[test]
fn what_the_persons_proxy_refuses_is_told_without_its_credentials() {
    let origin = Origin::new(true, HIT);
    let corporate = Corporate::new(origin.address, "407 No");
    let world = World::new(origin, corporate.setting(""));
    let request = format!(
        "GET / HTTP/1.1\r\nHost: origin.test:{}\r\n\r\n",
        world.port()
    );
    let answer = exchange(world.tls("origin.test"), request.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
    assert!(answer.contains("407"), "{answer}");
    for kept in ["word@", &corporate.address.to_string()] {
        assert!(!answer.contains(kept), "{answer}");
    }
    assert_eq!(world.origin.hits(), 0);
}
