//! A server of several package managers' protocols over TLS, as plain as they allow.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

/// Far beyond what anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server of `localhost`.
pub(crate) struct Server {
    pub(crate) port: u16,
    /// Method and path of what it was asked.
    pub(crate) seen: Arc<Mutex<Vec<String>>>,
    /// Its certificate, by which it is trusted.
    pub(crate) pem: String,
}

/// A request as a server's code sees it.
struct Asked {
    method: String,
    path: String,
    query: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Asked {
    fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// Status, type of content, content.
type Answer = (u16, String, Vec<u8>);

/// Serves files of `root`, and git repositories below `root/git` by `git http-backend`.
pub(crate) fn serve(root: &Path) -> Server {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = Server {
        port: listener.local_addr().unwrap().port(),
        seen: Arc::default(),
        pem: made.cert.pem(),
    };
    let (seen, root) = (Arc::clone(&server.seen), root.to_owned());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (config, root, seen) = (Arc::clone(&config), root.clone(), Arc::clone(&seen));
            std::thread::spawn(move || {
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                stream.set_nodelay(true).unwrap();
                let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), stream);
                while let Some(asked) = read_request(&mut stream) {
                    let line = format!("{} {}", asked.method, asked.path);
                    seen.lock().unwrap().push(line);
                    let (status, kind, body) = answer(&root, &asked);
                    let head = format!(
                        "HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n",
                        body.len()
                    );
                    let body = if asked.method == "HEAD" {
                        &[][..]
                    } else {
                        &body
                    };
                    if stream.write_all(&[head.as_bytes(), body].concat()).is_err() {
                        return;
                    }
                    let _ = stream.flush();
                }
            });
        }
    });
    server
}

fn read_request(stream: &mut impl Read) -> Option<Asked> {
    let mut byte = [0];
    let mut line = |stream: &mut dyn Read| -> Option<String> {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            stream.read_exact(&mut byte).ok()?;
            line.push(byte[0]);
        }
        line.truncate(line.len() - 2);
        String::from_utf8(line).ok()
    };
    let first = line(stream)?;
    let mut words = first.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let (path, query) = (path.to_owned(), query.to_owned());
    let mut headers = Vec::new();
    loop {
        let header = line(stream)?;
        if header.is_empty() {
            break;
        }
        let (name, value) = header.split_once(": ")?;
        headers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    let mut asked = Asked {
        method,
        path,
        query,
        headers,
        body: Vec::new(),
    };
    if asked.header("transfer-encoding") == Some("chunked") {
        loop {
            let length = usize::from_str_radix(&line(stream)?, 16).ok()?;
            let mut chunk = vec![0; length];
            stream.read_exact(&mut chunk).ok()?;
            asked.body.extend(chunk);
            line(stream)?;
            if length == 0 {
                break;
            }
        }
    } else if let Some(length) = asked.header("content-length") {
        asked.body = vec![0; length.parse().ok()?];
        stream.read_exact(&mut asked.body).ok()?;
    }
    Some(asked)
}

fn answer(root: &Path, asked: &Asked) -> Answer {
    if let Some(path) = asked.path.strip_prefix("/git") {
        return git(&root.join("git"), path, asked);
    }
    let mut file = root.join(asked.path.trim_matches('/'));
    if file.is_dir() {
        file.push("index");
    }
    let kind = match file.extension().and_then(|e| e.to_str()) {
        Some("whl" | "tgz" | "crate") => "application/octet-stream",
        Some("json") => "application/json",
        _ if asked.path.starts_with("/simple") => "text/html",
        _ => "text/plain",
    };
    match std::fs::read(&file) {
        Ok(body) => (200, kind.to_owned(), body),
        Err(_) => (404, "text/plain".to_owned(), b"none".to_vec()),
    }
}

/// RFC 3875, as far as `git http-backend` needs it.
fn git(repositories: &Path, path: &str, asked: &Asked) -> Answer {
    let mut child = Command::new("git");
    child
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", repositories)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_CONFIG_COUNT", "2")
        .env("GIT_CONFIG_KEY_0", "safe.directory")
        .env("GIT_CONFIG_VALUE_0", "*")
        .env("GIT_CONFIG_KEY_1", "http.receivepack")
        .env("GIT_CONFIG_VALUE_1", "true")
        .env("REQUEST_METHOD", &asked.method)
        .env("PATH_INFO", path)
        .env("QUERY_STRING", &asked.query)
        .env("CONTENT_LENGTH", asked.body.len().to_string())
        .env("REMOTE_ADDR", "127.0.0.1");
    for (variable, header) in [
        ("CONTENT_TYPE", "content-type"),
        ("HTTP_CONTENT_ENCODING", "content-encoding"),
        ("HTTP_GIT_PROTOCOL", "git-protocol"),
    ] {
        if let Some(value) = asked.header(header) {
            child.env(variable, value);
        }
    }
    child.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = child.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let body = asked.body.clone();
    let writing = std::thread::spawn(move || stdin.write_all(&body));
    let output = child.wait_with_output().unwrap().stdout;
    // Whoever has read enough may close early.
    let _ = writing.join().unwrap();
    let at = output.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
    let head = String::from_utf8_lossy(&output[..at]).into_owned();
    let value = |name: &str| {
        let line = head
            .lines()
            .find(|l| l.to_ascii_lowercase().starts_with(name));
        line.and_then(|l| l.split_once(": "))
            .map(|(_, v)| v.to_owned())
    };
    let status = value("status:").map_or(200, |s| s[..3].parse().unwrap());
    let kind = value("content-type:").unwrap_or_default();
    (status, kind, output[at + 4..].to_vec())
}

/// Lays out one package for each manager, and a repository. The commands are part of what a test
/// needs.
pub(crate) fn lay_out(root: &Path, port: u16) {
    let base = format!("https://localhost:{port}");
    let write = |path: &str, text: String| {
        let path: PathBuf = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("docs/page.txt", "a page\n".repeat(1000));

    // PEP 503's simple index and PEP 427's wheel.
    write(
        "simple/demo/index",
        "<a href=\"/files/demo-1.0-py3-none-any.whl\">demo</a>".to_owned(),
    );
    write("wheel/demo.py", "WORD = 'wheel'\n".to_owned());
    let meta = "wheel/demo-1.0.dist-info";
    write(
        &format!("{meta}/METADATA"),
        "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n".to_owned(),
    );
    write(
        &format!("{meta}/WHEEL"),
        "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n".to_owned(),
    );
    write(&format!("{meta}/RECORD"), "demo.py,,\n".to_owned());
    std::fs::create_dir_all(root.join("files")).unwrap();

    // npm's registry.
    write(
        "pack/package/package.json",
        r#"{"name":"demo","version":"1.0.0","main":"index.js"}"#.to_owned(),
    );
    write(
        "pack/package/index.js",
        "module.exports = 'npm'\n".to_owned(),
    );
    write(
        "npm/demo/index",
        format!(
            r#"{{"name":"demo","dist-tags":{{"latest":"1.0.0"}},"versions":{{"1.0.0":{{"name":"demo","version":"1.0.0","dist":{{"tarball":"{base}/files/demo-1.0.0.tgz"}}}}}}}}"#
        ),
    );

    // Cargo's sparse index.
    write(
        "crates/demo-1.0.0/Cargo.toml",
        "[package]\nname = \"demo\"\nversion = \"1.0.0\"\nedition = \"2021\"\n".to_owned(),
    );
    write(
        "crates/demo-1.0.0/src/lib.rs",
        "pub const WORD: &str = \"crate\";\n".to_owned(),
    );
    write(
        "index/config.json",
        format!(r#"{{"dl":"{base}/files/{{crate}}-{{version}}.crate"}}"#),
    );

    write("source/README", "a repository\n".to_owned());
}

/// Runs a shell script in `root`.
pub(crate) fn script(root: &Path, script: &str) -> String {
    let output = Command::new("sh")
        .args(["-euc", script])
        .current_dir(root)
        .env("HOME", root)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{script}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}
