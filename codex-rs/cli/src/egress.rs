//! The proxy of a run that may reach hosts: its directory, its variables, its start and its end.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{ErrorKind, Read as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use codex_core::paths;
use codex_egress::{CACHE_DIRECTORY, CACHES, Cache, Options, Pass, Proxy};
use codex_http::{TrustRoots, Upstream};
use codex_protocol::decision::Effect;
use codex_protocol::gate;
use codex_protocol::hosts::{HostRule, PRESETS, READ_POSTS};
use codex_protocol::permission::{NotPermitted, Permissions};
use codex_protocol::policy::{Grant, GrantSource, Policy, Right};
use codex_protocol::record::RecordError;
use codex_protocol::request::{FileRead, FileWrite, Requested as _, WriteKind};
use codex_protocol::security_profile::SecurityProfile;
use serde_json::json;

use crate::args::{ColorChoice, Grants};
use crate::failure::{Failure, Kind, OrFail as _};
use crate::print;
use crate::provider;

/// The temporary directory below the run's own.
const TEMP_DIRECTORY: &str = "tmp";
/// The file of cargo's settings in its home.
const CARGO_CONFIG: &str = "config.toml";
/// The most bytes of a person's cargo configuration that are taken along.
const LARGEST_CARGO_CONFIG: u64 = 1 << 20;

/// A proxy that listens, and serves once the log is open.
pub(crate) struct Egress {
    /// Ended before its directory goes.
    proxy: Option<Proxy>,
    listener: Option<TcpListener>,
    address: SocketAddr,
    directory: PathBuf,
    temp: PathBuf,
    variables: Vec<(OsString, OsString)>,
    pass: Pass,
    /// The person's cargo configuration, and where commands of the run have it.
    cargo_config: Option<(PathBuf, PathBuf)>,
    /// Removed when the run ends.
    _kept: tempfile::TempDir,
}

impl Egress {
    /// Listens on a port of loopback and makes the run's directory. `environment` is what commands
    /// get a part of: where package managers keep their caches in directories that the policy lets
    /// them write, those stay.
    pub(crate) fn listen(
        policy: &Policy,
        environment: &[(OsString, OsString)],
    ) -> Result<Self, Failure> {
        let failed = |what: &str, error: std::io::Error| {
            Failure::new(
                Kind::CannotEnforce,
                format!("the egress proxy cannot {what}: {error}"),
            )
        };
        let kept = tempfile::Builder::new()
            .prefix("codex-net-")
            .tempdir()
            .map_err(|e| failed("make its directory", e))?;
        let directory = kept
            .path()
            .canonicalize()
            .map_err(|e| failed("make its directory", e))?;
        let temp = directory.join(TEMP_DIRECTORY);
        for made in [&temp, &directory.join(CACHE_DIRECTORY)] {
            fs::create_dir(made).map_err(|e| failed("make its directory", e))?;
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .map_err(|e| failed("listen on loopback", e))?;
        let address = listener
            .local_addr()
            .map_err(|e| failed("listen on loopback", e))?;
        let pass = Pass::new().or_fail(Kind::CannotEnforce)?;
        let moved = |cache: &Cache| !may_write(policy, environment, cache);
        let mut variables: Vec<(OsString, OsString)> =
            codex_egress::variables(&directory, address, Some(&pass), moved)
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect();
        let cargo = CACHES.iter().find(|cache| cache.variable == "CARGO_HOME");
        let mut cargo_config = None;
        if let Some(cargo) = cargo.filter(|cache| moved(cache)) {
            let to = directory.join(CACHE_DIRECTORY).join(cargo.directory);
            fs::create_dir(&to).map_err(|e| failed("prepare cargo's directory", e))?;
            let from = cache_path(policy, environment, cargo).and_then(|from| {
                let workspace = &policy.own().places.workspace;
                paths::resolve(workspace, &from.join(CARGO_CONFIG)).ok()
            });
            cargo_config = from.map(|from| (from, to.join(CARGO_CONFIG)));
        }
        let audits = |g: &Grant| matches!(&g.right, Right::ReadPost(name) if name == "npm-audit");
        if !policy.own().grants.iter().any(audits) {
            // npm would try after every install, and be denied.
            variables.push(("npm_config_audit".into(), "false".into()));
        }
        Ok(Self {
            proxy: None,
            listener: Some(listener),
            address,
            temp,
            variables,
            pass,
            directory,
            cargo_config,
            _kept: kept,
        })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// A temporary directory for profiles that have no other.
    pub(crate) fn temp(&self) -> &Path {
        &self.temp
    }

    /// The variables that commands get.
    pub(crate) fn variables(&self) -> &[(OsString, OsString)] {
        &self.variables
    }

    /// What commands need of the run's directory: to read the certificates, which they may not
    /// change, and to write caches and temporary files.
    pub(crate) fn rights(&self) -> Vec<Grant> {
        let caches = self.directory.join(CACHE_DIRECTORY);
        [
            Right::Read(self.directory.clone()),
            Right::Write(caches),
            Right::Write(self.temp.clone()),
        ]
        .into_iter()
        .map(|right| Grant {
            right,
            source: GrantSource::Internal,
        })
        .collect()
    }

    /// Serves, under these rights.
    pub(crate) fn start(
        &mut self,
        permissions: &Permissions,
        color: ColorChoice,
    ) -> Result<(), Failure> {
        let Some(listener) = self.listener.take() else {
            return Ok(());
        };
        let mut options = Options::new(self.directory.clone());
        options.pass = Some(self.pass.clone());
        options.upstream = Some(Upstream::new(provider::proxies(), TrustRoots::default()));
        let proxy = Proxy::start(listener, Arc::new(permissions.clone()), options)
            .or_fail(Kind::CannotEnforce)?;
        self.proxy = Some(proxy);
        if let Some((from, to)) = self.cargo_config.take() {
            let taken = take_cargo_config(permissions, &from, &to)?;
            if let Err(why) = taken {
                let from = permissions.recorder().mask(&from.to_string_lossy());
                let why = format!(
                    "cargo's settings in '{}' have no effect on this run's commands: {why}",
                    print::with_home(&from)
                );
                print::warning(color, &why);
            }
        }
        Ok(())
    }

    /// Waits for a record that the proxy could not write; `None` before it serves.
    pub(crate) fn lost(&self) -> Option<impl Future<Output = RecordError> + use<>> {
        self.proxy.as_ref().map(Proxy::lost)
    }
}

/// Where a package manager's cache is without us: by its variable, else below the person's home.
fn cache_path(
    policy: &Policy,
    environment: &[(OsString, OsString)],
    cache: &Cache,
) -> Option<PathBuf> {
    let named = environment
        .iter()
        .find(|(name, _)| name == cache.variable && policy.passes_variable(cache.variable));
    match named {
        Some((_, value)) => Some(PathBuf::from(value)),
        None => Some(policy.own().places.home.as_ref()?.join(cache.default)),
    }
}

/// Whether the policy lets commands write a cache where it is.
fn may_write(policy: &Policy, environment: &[(OsString, OsString)], cache: &Cache) -> bool {
    let Some(path) = cache_path(policy, environment, cache) else {
        return false;
    };
    let Ok(path) = paths::resolve(&policy.own().places.workspace, &path.join("x")) else {
        return false;
    };
    let write = FileWrite {
        path,
        kind: WriteKind::Create,
    };
    gate::decide(policy, write.view()).effect == Effect::Allow
}

/// Copies the person's cargo configuration, which says which registries stand for which, into a
/// cargo home of the run's own. Its credentials stay where they are. Gives why it was not copied,
/// for a run that goes on without it.
fn take_cargo_config(
    permissions: &Permissions,
    from: &Path,
    to: &Path,
) -> Result<Result<(), String>, Failure> {
    if fs::symlink_metadata(from).is_err_and(|e| e.kind() == ErrorKind::NotFound) {
        return Ok(Ok(()));
    }
    let read = FileRead {
        path: from.to_owned(),
    };
    let detail = json!({ "phase": "intent", "for": "a cargo home of the run's own" });
    match permissions.require_unasked(read, Some(detail)) {
        Ok(_) => Ok(copy(from, to)),
        Err(NotPermitted::Denied { decision, .. }) => Ok(Err(decision.explanation())),
        Err(NotPermitted::NoRecord(error)) => Err(Failure::refused(error)),
    }
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    // Before it is opened: a pipe would wait for whoever writes it.
    let found = fs::metadata(from).map_err(|e| e.to_string())?;
    if !found.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    let mut text = Vec::new();
    File::open(from)
        .and_then(|file| file.take(LARGEST_CARGO_CONFIG + 1).read_to_end(&mut text))
        .map_err(|e| e.to_string())?;
    if text.len() as u64 > LARGEST_CARGO_CONFIG {
        return Err(format!(
            "it is larger than {} MiB",
            LARGEST_CARGO_CONFIG >> 20
        ));
    }
    fs::write(to, text).map_err(|e| e.to_string())
}

/// What flags or the configuration say about hosts, as rights.
pub(crate) fn rights(grants: &Grants) -> Result<Vec<Right>, Failure> {
    let mut rights = Vec::new();
    let host = |text: &String| HostRule::parse(text).map(|_| text.clone());
    for text in &grants.deny_host {
        rights.push(Right::DenyHost(host(text).or_fail(Kind::Usage)?));
    }
    for text in &grants.allow_host {
        rights.push(Right::Host(host(text).or_fail(Kind::Usage)?));
    }
    for text in &grants.allow_tunnel {
        if text.contains('/') {
            return Err(Failure::usage(format!(
                "'{text}' has a path, and nobody sees paths in a tunnel; write HOST or HOST:PORT"
            )));
        }
        rights.push(Right::Tunnel(host(text).or_fail(Kind::Usage)?));
    }
    for text in &grants.allow_private_host {
        rights.push(Right::PrivateHost(host(text).or_fail(Kind::Usage)?));
    }
    for name in &grants.allow_preset {
        named("preset", name, PRESETS.iter().map(|p| p.name))?;
        rights.push(Right::Preset(name.clone()));
    }
    for name in &grants.allow_post {
        named("read by POST", name, READ_POSTS.iter().map(|p| p.name))?;
        rights.push(Right::ReadPost(name.clone()));
    }
    Ok(rights)
}

fn named(
    kind: &str,
    name: &str,
    mut known: impl Iterator<Item = &'static str> + Clone,
) -> Result<(), Failure> {
    let all: Vec<&str> = known.clone().collect();
    match known.any(|k| k == name) {
        true => Ok(()),
        false => Err(Failure::usage(format!(
            "'{name}' is no {kind}; there are {}",
            all.join(", ")
        ))),
    }
}

/// Every preset, where the person's configuration gives WorkspaceWrite the reads of NetReadOnly.
pub(crate) fn every_preset() -> impl Iterator<Item = Grant> {
    PRESETS.iter().map(|preset| Grant {
        right: Right::Preset(preset.name.to_owned()),
        source: GrantSource::UserConfig,
    })
}

/// Refuses a denial of hosts that nothing would enforce.
pub(crate) fn check(policy: &Policy) -> Result<(), Failure> {
    let denies = |g: &Grant| matches!(g.right, Right::DenyHost(_));
    let denied = policy.layers().any(|l| l.grants.iter().any(denies));
    if denied && policy.profile() == SecurityProfile::Trusted {
        return Err(Failure::new(
            Kind::CannotEnforce,
            "--deny-host cannot be enforced under the Trusted profile, which confines nothing; choose another profile, or leave it out",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;
    use std::sync::Mutex;
    use std::time::Duration;

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use codex_protocol::event::{Event, EventSink};
    use codex_protocol::ids::{AgentType, SessionId, TaskId};
    use codex_protocol::permission::{Answer, Approver, Items, NeverAsk, Question};
    use codex_protocol::policy::{Layer, Places};
    use codex_protocol::record::{Entry, Receipt, Recorder, Subject};
    use codex_protocol::tool::BoxFuture;

    use super::*;

    /// Takes so many records and no more.
    struct Log {
        entries: Mutex<Vec<String>>,
        most: usize,
    }

    impl Recorder for Log {
        fn append(&self, entry: &Entry) -> Result<Receipt, RecordError> {
            let mut entries = self.entries.lock().unwrap();
            if entries.len() == self.most {
                return Err(RecordError {
                    path: "log".to_owned(),
                    cause: "full".to_owned(),
                });
            }
            entries.push(format!("{} {}", entry.rule, entry.target));
            Ok(Receipt { seq: None })
        }

        fn mask(&self, text: &str) -> String {
            text.to_owned()
        }
    }

    struct Shown(Mutex<Vec<Event>>);

    impl EventSink for Shown {
        fn emit(&self, event: Event) {
            self.0.lock().unwrap().push(event);
        }
    }

    fn policy(home: &Path, rights: Vec<Right>) -> Policy {
        let places = Places {
            workspace: home.join("project"),
            home: Some(home.to_owned()),
            codex_home: home.join(".codex"),
            ..Places::default()
        };
        let mut layer = Layer::new(SecurityProfile::NetReadOnly, places);
        layer.grants = rights
            .into_iter()
            .map(|right| Grant {
                right,
                source: GrantSource::CommandLine,
            })
            .collect();
        Policy::new(layer)
    }

    fn permissions(policy: Policy, log: &Arc<Log>, shown: &Arc<Shown>) -> Permissions {
        let subject = Subject {
            session_id: SessionId::new("s"),
            task_id: TaskId::new("t"),
            agent_type: AgentType::main(),
            profile: policy.profile(),
        };
        let items = Arc::new(Items::new(Arc::clone(shown) as _, 0));
        let recorder: Arc<dyn Recorder> = Arc::clone(log) as _;
        Permissions::new(policy, subject, recorder, Arc::new(NeverAsk), items)
    }

    fn value<'e>(egress: &'e Egress, name: &str) -> Option<&'e Path> {
        let found = egress.variables().iter().find(|(n, _)| n == name);
        found.map(|(_, value)| Path::new(value))
    }

    fn get(egress: &Egress, host: &str) -> String {
        let mut stream = TcpStream::connect(egress.address()).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        let proxy = value(egress, "http_proxy").unwrap().to_str().unwrap();
        let (pass, _) = proxy["http://".len()..].split_once('@').unwrap();
        let head = format!(
            "GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nProxy-Authorization: Basic {}\r\n",
            STANDARD.encode(pass)
        );
        stream.write_all(format!("{head}\r\n").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn what_is_denied_is_recorded_and_shown_and_a_lost_record_is_told() {
        let home = tempfile::tempdir().unwrap();
        let policy = policy(home.path(), Vec::new());
        let log = Arc::new(Log {
            entries: Mutex::default(),
            most: 1,
        });
        let shown = Arc::new(Shown(Mutex::default()));
        let mut egress = Egress::listen(&policy, &[]).unwrap();
        assert!(egress.lost().is_none());
        egress
            .start(&permissions(policy, &log, &shown), ColorChoice::Never)
            .unwrap();
        let answer = get(&egress, "evil.test");
        assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
        let denied = ["approval.never GET http://evil.test/"];
        assert_eq!(*log.entries.lock().unwrap(), denied);
        assert_eq!(shown.0.lock().unwrap().len(), 1);

        let lost = egress.lost().unwrap();
        let answer = get(&egress, "evil.test");
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        let runtime = crate::setup::runtime().unwrap();
        assert_eq!(runtime.block_on(lost).cause, "full");
        let answer = get(&egress, "evil.test");
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");

        let address = egress.address();
        let directory = egress.directory.clone();
        drop(egress);
        assert!(TcpStream::connect(address).is_err() && !directory.exists());
    }

    /// Says always, and remembers what it was asked.
    struct SaysAlways(Mutex<Vec<Question>>);

    impl Approver for SaysAlways {
        fn ask(&self, question: Question) -> BoxFuture<'_, Answer> {
            self.0.lock().unwrap().push(question);
            Box::pin(std::future::ready(Answer::Always))
        }
    }

    #[test]
    fn a_host_that_is_allowed_for_good_stands_in_the_persons_configuration() {
        let home = tempfile::tempdir().unwrap();
        let codex_home = home.path().join(".codex");
        fs::create_dir(&codex_home).unwrap();
        let file = codex_home.join("config.toml");
        fs::write(&file, "model = 'm'\n").unwrap();
        let host = TcpListener::bind("127.0.0.1:0").unwrap();
        let name = host.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            for mut stream in host.incoming().flatten() {
                // Whoever asks has sent its whole head in one piece.
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n");
            }
        });
        let policy = policy(home.path(), Vec::new());
        let log = Arc::new(Log {
            entries: Mutex::default(),
            most: 9,
        });
        let shown = Arc::new(Shown(Mutex::default()));
        let asked = Arc::new(SaysAlways(Mutex::default()));
        let subject = permissions(policy.clone(), &log, &shown).subject().clone();
        let permissions = Permissions::new(
            policy.clone(),
            subject,
            Arc::clone(&log) as _,
            Arc::clone(&asked) as _,
            Arc::new(Items::new(Arc::clone(&shown) as _, 0)),
        )
        .with_keeper(Arc::new(crate::config::ApprovedHosts::new(&codex_home)));
        let mut egress = Egress::listen(&policy, &[]).unwrap();
        egress.start(&permissions, ColorChoice::Never).unwrap();
        for _ in 0..2 {
            let answer = get(&egress, &name);
            assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
        }
        assert_eq!(asked.0.lock().unwrap().len(), 1);
        let kept = format!("approved_hosts = [\"http://{name}\"]\nmodel = 'm'\n");
        assert_eq!(fs::read_to_string(&file).unwrap(), kept);
        let target = format!("GET http://{name}/");
        let records = [
            format!("approval.always network_access {target}"),
            format!("approval.always {target}"),
            format!("approval.always {target}"),
        ];
        assert_eq!(*log.entries.lock().unwrap(), records);
        // The answer is shown to whoever watches.
        assert_eq!(shown.0.lock().unwrap().len(), 1);
    }

    #[test]
    fn caches_move_unless_they_may_be_written_where_they_are() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path().canonicalize().unwrap();
        fs::create_dir_all(home.join(".cargo")).unwrap();
        fs::write(home.join(".cargo/config.toml"), "[net]\nretry = 3\n").unwrap();
        fs::write(home.join(".cargo/credentials.toml"), "secret").unwrap();
        let environment = [("UV_CACHE_DIR".into(), home.join("project/uv").into())];

        let own = policy(&home, Vec::new());
        let mut egress = Egress::listen(&own, &environment).unwrap();
        let log = Arc::new(Log {
            entries: Mutex::default(),
            most: 9,
        });
        let shown = Arc::new(Shown(Mutex::default()));
        egress
            .start(&permissions(own, &log, &shown), ColorChoice::Never)
            .unwrap();
        let read = format!("fs.read {}", home.join(".cargo/config.toml").display());
        assert_eq!(*log.entries.lock().unwrap(), [read]);
        let cargo = value(&egress, "CARGO_HOME").unwrap();
        assert!(cargo.starts_with(&egress.directory));
        let taken = fs::read_to_string(cargo.join("config.toml")).unwrap();
        assert_eq!(taken, "[net]\nretry = 3\n");
        assert!(!cargo.join("credentials.toml").exists());
        for name in ["npm_config_cache", "PIP_CACHE_DIR", "UV_CACHE_DIR"] {
            assert!(value(&egress, name).unwrap().starts_with(&egress.directory));
        }
        assert_eq!(value(&egress, "npm_config_audit"), Some(Path::new("false")));
        assert_eq!(value(&egress, "NO_PROXY"), Some(Path::new("")));
        let writable = egress.rights().into_iter().filter_map(|g| match g.right {
            Right::Write(path) => Some(path),
            _ => None,
        });
        let certificates = value(&egress, "SSL_CERT_FILE").unwrap();
        assert!(
            !writable
                .into_iter()
                .any(|tree| certificates.starts_with(tree))
        );

        let granted = vec![
            Right::Write(home.join(".cargo")),
            Right::Write(home.join(".npm")),
            Right::ReadPost("npm-audit".to_owned()),
            Right::DenyRead(home.join(".cargo/config.toml")),
        ];
        let egress = Egress::listen(&policy(&home, granted), &[]).unwrap();
        for kept in ["CARGO_HOME", "npm_config_cache", "npm_config_audit"] {
            assert_eq!(value(&egress, kept), None);
        }
    }
}
