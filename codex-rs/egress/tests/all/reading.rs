//! What gets through, and what the policy keeps out.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use codex_protocol::permission::{Answer, Approver, Question};
use codex_protocol::policy::Right;
use codex_protocol::security_profile::SecurityProfile;
use codex_protocol::tool::BoxFuture;

use crate::world::{HIT, Origin, Setting, World, exchange};

fn plain() -> World {
    World::new(Origin::new(false, HIT), Setting::default())
}

fn get(world: &World, host: &str, target: &str) -> String {
    let port = world.port();
    let request =
        format!("GET http://{host}:{port}{target} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n");
    world.send(request.as_bytes())
}

#[test]
fn a_granted_host_is_read_over_http_and_recorded_without_its_query() {
    let world = plain();
    let answer = get(&world, "origin.test", "/a?token=s3cret&x");
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with("hit"),
        "{answer}"
    );
    let port = world.port();
    assert_eq!(
        world.records(),
        [format!(
            "allowed net.grant GET http://origin.test:{port}/a?token=[REDACTED]&[REDACTED]"
        )]
    );
    let seen = world.origin.seen.lock().unwrap()[0].to_ascii_lowercase();
    assert!(
        seen.starts_with("get /a?token=s3cret&x http/1.1\r\n"),
        "{seen}"
    );
    assert!(
        seen.contains(&format!("host: origin.test:{port}\r\n")),
        "{seen}"
    );
}

#[test]
fn a_granted_host_is_read_over_https_which_the_proxy_looks_into() {
    let world = World::new(Origin::new(true, HIT), Setting::default());
    let port = world.port();
    let request = format!("GET /b HTTP/1.1\r\nHost: origin.test:{port}\r\n\r\n");
    let answer = exchange(world.tls("origin.test"), request.as_bytes());
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with("hit"),
        "{answer}"
    );
    assert_eq!(
        world.records(),
        [format!(
            "allowed net.grant GET https://origin.test:{port}/b"
        )]
    );
}

#[test]
fn a_host_that_cannot_prove_who_it_is_is_not_read() {
    let setting = Setting {
        trust_origin: false,
        ..Setting::default()
    };
    let world = World::new(Origin::new(true, HIT), setting);
    let request = format!(
        "GET /b HTTP/1.1\r\nHost: origin.test:{}\r\n\r\n",
        world.port()
    );
    let answer = exchange(world.tls("origin.test"), request.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
    assert!(
        answer.contains("x-proxy-error: unreachable: TLS"),
        "{answer}"
    );
    assert_eq!(world.origin.hits(), 0);
}

#[test]
fn a_refusal_says_rule_reason_and_remedy_and_nothing_is_resolved() {
    let world = plain();
    let port = world.port();
    let answer = get(&world, "secret-data.evil.test", "/");
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    assert!(
        answer.contains("x-proxy-error: approval.never: "),
        "{answer}"
    );
    let body: serde_json::Value =
        serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert_eq!(
        body["remedy"],
        format!("--allow-host secret-data.evil.test:{port}")
    );
    assert_eq!(body["rule"], "approval.never");
    assert_eq!(world.names.asked.lock().unwrap().len(), 0, "no name leaves");
    assert_eq!(
        world.records(),
        [format!(
            "denied approval.never GET http://secret-data.evil.test:{port}/"
        )]
    );
}

struct Says(Answer);

impl Approver for Says {
    fn ask(&self, question: Question) -> BoxFuture<'_, Answer> {
        assert!(question.target.starts_with("GET http://other.test:"));
        Box::pin(std::future::ready(self.0))
    }
}

#[test]
fn a_person_may_open_an_unknown_host_for_one_request() {
    for (answer, status, hits) in [(Answer::Yes, "200", 1), (Answer::No, "403", 0)] {
        let setting = Setting {
            approver: Arc::new(Says(answer)),
            ..Setting::default()
        };
        let world = World::new(Origin::new(false, HIT), setting);
        let got = get(&world, "other.test", "/");
        assert!(got.starts_with(&format!("HTTP/1.1 {status}")), "{got}");
        assert_eq!(world.origin.hits(), hits);
    }
}

#[test]
fn offline_reads_what_was_granted_and_nothing_else() {
    let setting = Setting {
        profile: SecurityProfile::Offline,
        ..Setting::default()
    };
    let world = World::new(Origin::new(false, HIT), setting);
    assert!(get(&world, "origin.test", "/").starts_with("HTTP/1.1 200"));
    assert!(get(&world, "docs.rs", "/").contains("x-proxy-error: net.offline"));
}

#[test]
fn what_is_denied_wins_over_what_is_granted() {
    let origin = Origin::new(false, HIT);
    let denied = format!("origin.test:{}/private", origin.address.port());
    let setting = Setting {
        rights: vec![Right::DenyHost(denied)],
        ..Setting::default()
    };
    let world = World::new(origin, setting);
    assert!(get(&world, "origin.test", "/public").starts_with("HTTP/1.1 200"));
    for path in [
        "/private",
        "/private/x",
        "/PRIVATE",
        "/%70rivate",
        "//private",
        "/a/../private",
    ] {
        let answer = get(&world, "origin.test", path);
        assert!(
            answer.contains("x-proxy-error: net.denied"),
            "{path}: {answer}"
        );
    }
    assert_eq!(world.origin.hits(), 1);
}

#[test]
fn without_a_record_nothing_is_sent() {
    let world = plain();
    world.log.full.store(true, Ordering::Relaxed);
    let answer = get(&world, "origin.test", "/");
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    let lost = world.proxy.lost();
    world.log.full.store(false, Ordering::Relaxed);
    let answer = get(&world, "origin.test", "/");
    assert!(answer.starts_with("HTTP/1.1 503"), "it stays so: {answer}");
    assert_eq!(world.origin.hits(), 0);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    assert_eq!(runtime.block_on(lost).cause, "full");
}

#[test]
fn a_name_that_leads_to_a_private_address_is_refused() {
    for address in [
        "127.0.0.1",
        "10.0.0.1",
        "169.254.169.254",
        "::1",
        "::ffff:127.0.0.1",
        "fd00::1",
    ] {
        let setting = Setting {
            addresses: vec!["1.1.1.1".parse().unwrap(), address.parse().unwrap()],
            allow_private: false,
            ..Setting::default()
        };
        let world = World::new(Origin::new(false, HIT), setting);
        let answer = get(&world, "origin.test", "/");
        assert!(
            answer.contains("x-proxy-error: net.address"),
            "{address}: {answer}"
        );
        // Looking a name up is an act, so the intent stands before it.
        let records = world.records();
        assert!(records[0].starts_with("allowed "), "{records:?}");
        assert!(
            records[1].starts_with("denied net.address GET"),
            "{records:?}"
        );
        assert_eq!(world.origin.hits(), 0);
    }
}

#[test]
fn an_address_that_was_granted_as_such_is_read() {
    let origin = Origin::new(false, HIT);
    let setting = Setting {
        allow_private: false,
        rights: vec![Right::Host(origin.address.to_string())],
        ..Setting::default()
    };
    let world = World::new(origin, setting);
    assert!(get(&world, "127.0.0.1", "/").starts_with("HTTP/1.1 200"));
}

#[test]
fn a_redirect_goes_back_to_the_client_and_is_judged_when_followed() {
    let redirect = "HTTP/1.1 302 Found\r\nlocation: http://evil.test/\r\ncontent-length: 0\r\nalt-svc: h3\r\nconnection: close\r\n\r\n";
    let world = World::new(Origin::new(false, redirect), Setting::default());
    let answer = get(&world, "origin.test", "/");
    assert!(answer.starts_with("HTTP/1.1 302") && answer.contains("location: http://evil.test/"));
    assert!(!answer.contains("alt-svc"), "{answer}");
    assert_eq!(world.origin.hits(), 1);
    assert!(get(&world, "evil.test", "/").starts_with("HTTP/1.1 403"));
}

#[test]
fn a_chunked_answer_is_passed_on() {
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n3\r\nhit\r\n0\r\n\r\n";
    let world = World::new(Origin::new(false, chunked), Setting::default());
    let answer = get(&world, "origin.test", "/");
    assert!(answer.contains("transfer-encoding: chunked"), "{answer}");
}

#[test]
fn a_tunnel_is_opened_only_where_it_was_granted_and_recorded_as_one() {
    let origin = Origin::new(false, HIT);
    let port = origin.address.port();
    let setting = Setting {
        rights: vec![Right::Tunnel(format!("origin.test:{port}"))],
        ..Setting::default()
    };
    let world = World::exactly(origin, setting, None);
    let mut stream = crate::world::connect(world.proxy.address());
    let connect =
        format!("CONNECT origin.test:{port} HTTP/1.1\r\nHost: origin.test:{port}\r\n\r\n");
    let head = exchange(&mut stream, connect.as_bytes());
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(exchange(&mut stream, b"anything\r\n\r\n").ends_with("hit"));
    assert_eq!(
        world.records(),
        [format!("allowed net.tunnel CONNECT origin.test:{port}")]
    );
}

#[test]
fn git_may_ask_for_packs_where_that_was_chosen() {
    for chosen in [true, false] {
        let rights = match chosen {
            true => vec![Right::ReadPost("git-upload-pack".to_owned())],
            false => Vec::new(),
        };
        let setting = Setting {
            rights,
            ..Setting::default()
        };
        let world = World::new(Origin::new(false, HIT), setting);
        let port = world.port();
        let request = format!(
            "POST http://origin.test:{port}/r.git/git-upload-pack HTTP/1.1\r\nHost: origin.test:{port}\r\nContent-Type: application/x-git-upload-pack-request\r\nContent-Length: 4\r\n\r\n0000"
        );
        let answer = world.send(request.as_bytes());
        assert_eq!(answer.starts_with("HTTP/1.1 200"), chosen, "{answer}");
        assert_eq!(world.origin.hits(), usize::from(chosen));
    }
}

#[test]
fn the_variables_name_the_proxy_and_a_file_that_holds_its_authority() {
    let world = plain();
    let variables = world.proxy.variables();
    let value = |name: &str| {
        let found = variables.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_str()).unwrap()
    };
    assert_eq!(
        value("https_proxy"),
        format!("http://{}", world.proxy.address())
    );
    assert_eq!(value("NO_PROXY"), "");
    assert!(value("PIP_CACHE_DIR").starts_with(world.directory.path().to_str().unwrap()));
    let bundle = std::fs::read_to_string(value("SSL_CERT_FILE")).unwrap();
    assert!(bundle.starts_with(world.proxy.authority_pem()));
    assert_eq!(bundle.matches("BEGIN CERTIFICATE").count(), 2);
}

#[test]
fn dropping_the_proxy_ends_its_connections() {
    let world = plain();
    let address = world.proxy.address();
    let mut open = crate::world::connect(address);
    assert!(get(&world, "origin.test", "/").starts_with("HTTP/1.1 200"));
    drop(world);
    let _ = open.write_all(b"GET http://origin.test/ HTTP/1.1\r\nHost: origin.test\r\n\r\n");
    assert_eq!(exchange(open, b""), "");
    assert!(std::net::TcpStream::connect(address).is_err());
}
