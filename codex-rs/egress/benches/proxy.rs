//! What the proxy costs, beside a direct connection and any other proxy, in the same run.
//!
//! ```text
//! cargo bench -p codex-egress --bench proxy
//! CODEX_BENCH_OTHER=http://127.0.0.1:8080 CODEX_BENCH_OTHER_CA=ca.pem cargo bench …
//! ```
//!
//! A server on loopback sends 1 GiB, as fast as the machine can and, `paced`, as fast as a network
//! of 2.5 Gbit/s, and small answers on one warm connection. Each way is taken in
//! turns and told by its median. The proxy is a process of its own, with a real log, so that its
//! memory can be read. `scripts/bench-egress` sets up another proxy from its registry.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement")]

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use codex_audit::writer::{AuditLog, Options as LogOptions};
use codex_egress::{Options, Proxy};
use codex_protocol::event::{Event, EventSink};
use codex_protocol::ids::{AgentType, SessionId, TaskId};
use codex_protocol::permission::{Items, NeverAsk, Permissions};
use codex_protocol::policy::{Grant, GrantSource, Layer, Places, Policy, Right};
use codex_protocol::record::Subject;
use codex_protocol::security_profile::SecurityProfile;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
};

const LARGE: usize = 1 << 30;
const SMALL: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nhit";
/// What the paced host sends in a second, in bytes: 2.5 Gbit/s, a fast network's.
const PACE: f64 = 312.5e6;
/// Downloads by each way; the middle one counts.
const DOWNLOADS: usize = 3;
/// Small requests by each way in one turn, and turns.
const REQUESTS: usize = 500;
const TURNS: usize = 7;

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

fn main() {
    let mut words = std::env::args().skip(1);
    if words.next().as_deref() == Some("--serve") {
        return serve_proxy(&words.collect::<Vec<_>>());
    }
    let directory = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let ca = directory.path().join("origin.pem");
    std::fs::write(&ca, made.cert.pem()).unwrap();
    let key = made.signing_key.serialize_der();
    let origin = Arc::new(
        ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![made.cert.der().clone()],
                PrivateKeyDer::try_from(key).unwrap(),
            )
            .unwrap(),
    );
    let plain = serve(None, None);
    let paced = serve(Some(Arc::clone(&origin)), Some(PACE));
    let tls = serve(Some(origin), None);
    let (mut child, ours) = start_proxy(directory.path(), &ca, &[plain, tls, paced]);
    let mut ways = vec![
        Way {
            name: "direct",
            proxy: None,
            ca: ca.clone(),
        },
        ours,
    ];
    if let Ok(url) = std::env::var("CODEX_BENCH_OTHER") {
        let address = url.trim_start_matches("http://").trim_end_matches('/');
        let other_ca = std::env::var("CODEX_BENCH_OTHER_CA").map_or(ca, PathBuf::from);
        ways.push(Way {
            name: "other",
            proxy: Some(address.parse().unwrap()),
            ca: other_ca,
        });
        wait_for(address);
    }

    println!(
        "{:>8} {:>6} {:>12} {:>12} {:>8}",
        "way", "", "1 GiB", "median", "ratio"
    );
    for (what, scheme, port) in [
        ("http", "http", plain),
        ("https", "https", tls),
        ("paced", "https", paced),
    ] {
        let mut speeds = vec![Vec::new(); ways.len()];
        for _ in 0..DOWNLOADS {
            for (way, speeds) in ways.iter().zip(&mut speeds) {
                let start = Instant::now();
                download(
                    &mut *way.open(scheme, port),
                    &way.target(scheme, port, "/large"),
                );
                speeds.push(LARGE as f64 / start.elapsed().as_secs_f64() / 1e6);
            }
        }
        let medians: Vec<f64> = speeds.into_iter().map(median).collect();
        for (way, speed) in ways.iter().zip(&medians) {
            println!(
                "{:>8} {what:>6} {:>12} {speed:>7.0} MB/s {:>8.2}",
                way.name,
                "",
                speed / medians[0]
            );
        }
    }
    println!(
        "{:>8} {:>6} {:>12} {:>12} {:>8}",
        "way", "", "small, warm", "median", "added"
    );
    for (scheme, port) in [("http", plain), ("https", tls)] {
        let mut times = vec![Vec::new(); ways.len()];
        for _ in 0..TURNS {
            for (way, times) in ways.iter().zip(&mut times) {
                let mut stream = way.open(scheme, port);
                let target = way.target(scheme, port, "/small");
                small(&mut *stream, &target);
                for _ in 0..REQUESTS {
                    let start = Instant::now();
                    small(&mut *stream, &target);
                    times.push(start.elapsed().as_secs_f64() * 1e3);
                }
            }
        }
        let medians: Vec<f64> = times.into_iter().map(median).collect();
        for (way, time) in ways.iter().zip(&medians) {
            println!(
                "{:>8} {scheme:>6} {:>12} {time:>9.3} ms {:>+8.3}",
                way.name,
                "",
                time - medians[0]
            );
        }
    }
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
    let peak = status.lines().find(|l| l.starts_with("VmHWM:"));
    println!(
        "the proxy's memory at its highest: {}",
        peak.unwrap_or("not known on this system")
    );
    child.kill().unwrap();
    child.wait().unwrap();
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Serves whatever is asked: `/large`, or three bytes.
fn serve(tls: Option<Arc<ServerConfig>>, pace: Option<f64>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let tls = tls.clone();
            std::thread::spawn(move || {
                stream.set_nodelay(true).unwrap();
                match tls {
                    Some(config) => {
                        let mut tls = ServerConnection::new(config).unwrap();
                        tls.set_buffer_limit(Some(1 << 20));
                        answer(StreamOwned::new(tls, stream), pace);
                    }
                    None => answer(stream, pace),
                }
            });
        }
    });
    port
}

fn answer(mut stream: impl Stream, pace: Option<f64>) {
    let block = vec![7; 256 << 10];
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read(&mut buffer) {
                Ok(n) if n > 0 => head.extend_from_slice(&buffer[..n]),
                _ => return,
            }
        }
        let large = head.windows(7).any(|w| w == b" /large");
        head.clear();
        let sent = match large {
            false => stream.write_all(SMALL),
            true => write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {LARGE}\r\n\r\n").and_then(
                |()| {
                    let start = Instant::now();
                    (1..=LARGE / block.len()).try_for_each(|n| {
                        stream.write_all(&block)?;
                        let due =
                            pace.map(|p| Duration::from_secs_f64((n * block.len()) as f64 / p));
                        let early = due.and_then(|due| due.checked_sub(start.elapsed()));
                        std::thread::sleep(early.unwrap_or_default());
                        Ok(())
                    })
                },
            ),
        };
        if sent.and_then(|()| stream.flush()).is_err() {
            return;
        }
    }
}

/// How a host is reached.
struct Way {
    name: &'static str,
    proxy: Option<SocketAddr>,
    ca: PathBuf,
}

impl Way {
    fn open(&self, scheme: &str, port: u16) -> Box<dyn Stream> {
        let address = self.proxy.unwrap_or(([127, 0, 0, 1], port).into());
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        if scheme == "http" {
            return Box::new(stream);
        }
        if self.proxy.is_some() {
            let host = format!("localhost:{port}");
            write!(stream, "CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n").unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") {
                stream.read_exact(&mut byte).unwrap();
                head.push(byte[0]);
            }
            assert!(
                head.starts_with(b"HTTP/1.1 200"),
                "{}",
                String::from_utf8_lossy(&head)
            );
        }
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(&self.ca).unwrap())
            .unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        let tls = ClientConnection::new(Arc::new(config), name).unwrap();
        Box::new(StreamOwned::new(tls, stream))
    }

    fn target(&self, scheme: &str, port: u16, path: &str) -> String {
        let whole = scheme == "http" && self.proxy.is_some();
        let before = if whole {
            format!("http://localhost:{port}")
        } else {
            String::new()
        };
        format!("GET {before}{path} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n")
    }
}

/// Reads up to the end of a head; gives what was read beyond it.
fn head(stream: &mut dyn Stream, buffer: &mut [u8]) -> (usize, usize) {
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..]).unwrap();
        assert!(read > 0, "the connection ended");
        filled += read;
        if let Some(at) = buffer[..filled].windows(4).position(|w| w == b"\r\n\r\n") {
            let text = String::from_utf8_lossy(&buffer[..at]);
            assert!(text.starts_with("HTTP/1.1 200"), "{text}");
            return (at + 4, filled);
        }
    }
}

fn download(stream: &mut dyn Stream, request: &str) {
    stream.write_all(request.as_bytes()).unwrap();
    stream.flush().unwrap();
    let mut buffer = vec![0; 256 << 10];
    let (end, filled) = head(stream, &mut buffer);
    let mut left = LARGE - (filled - end);
    while left > 0 {
        let read = stream.read(&mut buffer).unwrap();
        assert!(read > 0, "the connection ended");
        left -= read;
    }
}

fn small(stream: &mut dyn Stream, request: &str) {
    stream.write_all(request.as_bytes()).unwrap();
    stream.flush().unwrap();
    let mut buffer = [0; 4096];
    let (end, mut filled) = head(stream, &mut buffer);
    while filled < end + 3 {
        filled += stream.read(&mut buffer[filled..]).unwrap();
    }
}

fn start_proxy(directory: &Path, ca: &Path, ports: &[u16]) -> (std::process::Child, Way) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .arg("--serve")
        .args([directory, ca])
        .args(ports.iter().map(u16::to_string))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let address = lines.next().unwrap().unwrap();
    let way = Way {
        name: "codex",
        proxy: Some(address.parse().unwrap()),
        ca: directory.join("session.pem"),
    };
    (child, way)
}

struct NoSteps;

impl EventSink for NoSteps {
    fn emit(&self, _: Event) {}
}

fn serve_proxy(words: &[String]) {
    let [directory, ca, ports @ ..] = words else {
        return;
    };
    let directory = Path::new(directory);
    let mut layer = Layer::new(SecurityProfile::NetReadOnly, Places::default());
    layer.grants = ports
        .iter()
        .map(|port| Grant {
            right: Right::Host(format!("localhost:{port}")),
            source: GrantSource::CommandLine,
        })
        .collect();
    let log = AuditLog::open(&directory.join("audit.jsonl"), LogOptions::default()).unwrap();
    let subject = Subject {
        session_id: SessionId::new("bench"),
        task_id: TaskId::new("bench"),
        agent_type: AgentType::main(),
        profile: SecurityProfile::NetReadOnly,
    };
    let permissions = Permissions::new(
        Policy::new(layer),
        subject,
        Arc::new(log),
        Arc::new(NeverAsk),
        Arc::new(Items::new(Arc::new(NoSteps), 0)),
    );
    let mut options = Options::new(directory.to_owned());
    options.allow_private = true;
    options.roots = Some(vec![CertificateDer::from_pem_file(ca).unwrap()]);
    // The line that waits is not what is measured.
    options.limits.rate = u32::MAX;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = Proxy::start(listener, Arc::new(permissions), options).unwrap();
    std::fs::write(directory.join("session.pem"), proxy.authority_pem()).unwrap();
    println!("{}", proxy.address());
    loop {
        std::thread::park();
    }
}

fn wait_for(address: &str) {
    let end = Instant::now() + Duration::from_secs(30);
    while TcpStream::connect(address).is_err() {
        assert!(Instant::now() < end, "no proxy at {address}");
        std::thread::sleep(Duration::from_millis(100));
    }
}
