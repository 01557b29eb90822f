//! A host that answers anything, a log, and clients that send exactly the bytes they are told.

use std::future::Future;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use codex_egress::{Limits, Options, Pass, Proxy, Resolver};
use codex_http::Upstream;
use codex_protocol::event::{Event, EventSink};
use codex_protocol::ids::{AgentType, SessionId, TaskId};
use codex_protocol::permission::{Approver, Items, Keeper, NeverAsk, Permissions};
use codex_protocol::policy::{Grant, GrantSource, Layer, Places, Policy, Right};
use codex_protocol::record::{Entry, Receipt, RecordError, Recorder, Subject};
use codex_protocol::security_profile::SecurityProfile;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
};

/// Far beyond what anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Default)]
pub(crate) struct Log {
    pub(crate) entries: Mutex<Vec<Entry>>,
    pub(crate) full: std::sync::atomic::AtomicBool,
}

impl Recorder for Log {
    fn append(&self, entry: &Entry) -> Result<Receipt, RecordError> {
        if self.full.load(Ordering::Relaxed) {
            return Err(RecordError {
                path: "log".to_owned(),
                cause: "full".to_owned(),
            });
        }
        let mut entries = self.entries.lock().unwrap();
        entries.push(entry.clone());
        Ok(Receipt {
            seq: Some(entries.len() as u64),
        })
    }

    fn mask(&self, text: &str) -> String {
        text.to_owned()
    }
}

struct NoSteps;

impl EventSink for NoSteps {
    fn emit(&self, _: Event) {}
}

/// Every name leads to the addresses it was given; what was asked is remembered.
pub(crate) struct Names {
    addresses: Vec<IpAddr>,
    pub(crate) asked: Mutex<Vec<String>>,
}

impl Resolver for Names {
    fn resolve<'a>(
        &'a self,
        host: &'a str,
    ) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>> {
        self.asked.lock().unwrap().push(host.to_owned());
        Box::pin(std::future::ready(Ok(self.addresses.clone())))
    }
}

/// A host on loopback that answers each connection once, whatever it is asked.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    pub(crate) hits: Arc<AtomicUsize>,
    pub(crate) seen: Arc<Mutex<Vec<String>>>,
    pub(crate) root: CertificateDer<'static>,
}

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

impl Origin {
    pub(crate) fn new(tls: bool, answer: &'static str) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), tls, answer)
    }

    pub(crate) fn on(listener: TcpListener, tls: bool, answer: &'static str) -> Self {
        let made = rcgen::generate_simple_self_signed(["origin.test".to_owned()]).unwrap();
        let root = made.cert.der().clone();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![root.clone()], key)
            .unwrap();
        let config = Arc::new(config);
        let origin = Self {
            address: listener.local_addr().unwrap(),
            hits: Arc::default(),
            seen: Arc::default(),
            root,
        };
        let (hits, seen) = (Arc::clone(&origin.hits), Arc::clone(&origin.seen));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (hits, seen, config) =
                    (Arc::clone(&hits), Arc::clone(&seen), Arc::clone(&config));
                std::thread::spawn(move || {
                    stream.set_read_timeout(Some(PATIENCE)).unwrap();
                    let mut stream: Box<dyn Stream> = match tls {
                        true => {
                            let tls = ServerConnection::new(config).unwrap();
                            Box::new(StreamOwned::new(tls, stream))
                        }
                        false => Box::new(stream),
                    };
                    let mut head = Vec::new();
                    let mut byte = [0];
                    while !head.ends_with(b"\r\n\r\n") {
                        match stream.read(&mut byte) {
                            Ok(1) => head.push(byte[0]),
                            _ => return,
                        }
                    }
                    hits.fetch_add(1, Ordering::SeqCst);
                    seen.lock()
                        .unwrap()
                        .push(String::from_utf8_lossy(&head).into_owned());
                    // The client may be gone.
                    let _ = stream.write_all(answer.as_bytes());
                    let _ = stream.flush();
                });
            }
        });
        origin
    }

    pub(crate) fn hits(&self) -> usize {
        self.hits.load(Ordering::SeqCst)
    }
}

pub(crate) const HIT: &str = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: close\r\n\r\nhit";

pub(crate) struct World {
    pub(crate) origin: Origin,
    pub(crate) proxy: Proxy,
    pub(crate) log: Arc<Log>,
    pub(crate) names: Arc<Names>,
    pub(crate) directory: tempfile::TempDir,
}

pub(crate) struct Setting {
    pub(crate) profile: SecurityProfile,
    pub(crate) rights: Vec<Right>,
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) allow_private: bool,
    pub(crate) trust_origin: bool,
    pub(crate) approver: Arc<dyn Approver>,
    pub(crate) keeper: Option<Arc<dyn Keeper>>,
    pub(crate) upstream: Option<Upstream>,
    pub(crate) limits: Limits,
    pub(crate) pass: Option<Pass>,
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            profile: SecurityProfile::NetReadOnly,
            rights: Vec::new(),
            addresses: vec![[127, 0, 0, 1].into()],
            allow_private: true,
            trust_origin: true,
            approver: Arc::new(NeverAsk),
            keeper: None,
            upstream: None,
            limits: Limits::default(),
            pass: None,
        }
    }
}

impl World {
    /// A world in which `origin.test` at the origin's port is granted beside `setting`'s rights.
    pub(crate) fn new(origin: Origin, setting: Setting) -> Self {
        let granted = Right::Host(format!("origin.test:{}", origin.address.port()));
        Self::exactly(origin, setting, Some(granted))
    }

    pub(crate) fn exactly(origin: Origin, setting: Setting, granted: Option<Right>) -> Self {
        let places = Places {
            workspace: "/srv/p".into(),
            codex_home: "/srv/codex".into(),
            ..Places::default()
        };
        let mut layer = Layer::new(setting.profile, places);
        layer.grants = setting
            .rights
            .into_iter()
            .chain(granted)
            .map(|right| Grant {
                right,
                source: GrantSource::CommandLine,
            })
            .collect();
        let log = Arc::new(Log::default());
        let subject = Subject {
            session_id: SessionId::new("s"),
            task_id: TaskId::new("t"),
            agent_type: AgentType::main(),
            profile: setting.profile,
        };
        let recorder: Arc<dyn Recorder> = Arc::clone(&log) as _;
        let items = Arc::new(Items::new(Arc::new(NoSteps), 0));
        let permissions = Permissions::new(
            Policy::new(layer),
            subject,
            recorder,
            setting.approver,
            items,
        );
        let permissions = match setting.keeper {
            Some(keeper) => permissions.with_keeper(keeper),
            None => permissions,
        };
        let names = Arc::new(Names {
            addresses: setting.addresses,
            asked: Mutex::default(),
        });
        let directory = tempfile::tempdir().unwrap();
        let mut options = Options::new(directory.path().to_owned());
        options.resolver = Arc::clone(&names) as _;
        options.allow_private = setting.allow_private;
        options.upstream = setting.upstream;
        options.limits = setting.limits;
        options.pass = setting.pass;
        options.roots = Some(match setting.trust_origin {
            true => vec![origin.root.clone()],
            false => Vec::new(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Proxy::start(listener, Arc::new(permissions), options).unwrap();
        Self {
            origin,
            proxy,
            log,
            names,
            directory,
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.origin.address.port()
    }

    /// Each record as `outcome rule target`.
    pub(crate) fn records(&self) -> Vec<String> {
        let entries = self.log.entries.lock().unwrap();
        let line = |e: &Entry| format!("{} {} {}", e.outcome, e.rule, e.target);
        entries.iter().map(line).collect()
    }

    /// Sends bytes to the proxy's port.
    pub(crate) fn send(&self, bytes: &[u8]) -> String {
        exchange(connect(self.proxy.address()), bytes)
    }

    /// Opens a tunnel to `origin.test` and, in it, TLS that trusts the session's authority and
    /// names `sni`.
    pub(crate) fn tls(&self, sni: &str) -> StreamOwned<ClientConnection, TcpStream> {
        let mut stream = connect(self.proxy.address());
        let port = self.port();
        let connect =
            format!("CONNECT origin.test:{port} HTTP/1.1\r\nHost: origin.test:{port}\r\n\r\n");
        stream.write_all(connect.as_bytes()).unwrap();
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        assert!(head.starts_with(b"HTTP/1.1 200"), "{head:?}");
        let authority = self.proxy.authority_pem().as_bytes();
        client_tls(
            CertificateDer::from_pem_slice(authority).unwrap(),
            sni,
            stream,
        )
    }
}

/// TLS that trusts one certificate.
pub(crate) fn client_tls(
    root: CertificateDer<'static>,
    name: &str,
    stream: TcpStream,
) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(root).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    StreamOwned::new(
        ClientConnection::new(Arc::new(config), name).unwrap(),
        stream,
    )
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends `bytes` and reads one answer: its head, and as much of a body as that announces.
pub(crate) fn exchange(mut stream: impl Read + Write, bytes: &[u8]) -> String {
    // Whoever refuses early may close early.
    let _ = stream.write_all(bytes);
    let _ = stream.flush();
    let mut answer = Vec::new();
    let mut byte = [0];
    while !answer.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => answer.push(byte[0]),
            _ => return String::from_utf8_lossy(&answer).into_owned(),
        }
    }
    let head = String::from_utf8_lossy(&answer).to_ascii_lowercase();
    let length = head
        .split("content-length: ")
        .nth(1)
        .and_then(|rest| rest.split('\r').next())
        .and_then(|length| length.parse::<usize>().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    if !bytes.starts_with(b"HEAD ") && stream.read_exact(&mut body).is_ok() {
        answer.extend(body);
    }
    String::from_utf8_lossy(&answer).into_owned()
}
