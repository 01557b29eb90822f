//! What a command's environment needs to find the proxy, and to trust it.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio_rustls::rustls::pki_types::CertificateDer;

/// Variables that name the proxy, in the two spellings that programs look for.
const PROXY: &[&str] = &[
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
];

/// Variables that name a file of trusted certificates: OpenSSL, Node, Python's requests and pip, npm,
/// cargo, git, curl, and the AWS and Deno tools.
const BUNDLE: &[&str] = &[
    "SSL_CERT_FILE",
    "NODE_EXTRA_CA_CERTS",
    "REQUESTS_CA_BUNDLE",
    "PIP_CERT",
    "npm_config_cafile",
    "CARGO_HTTP_CAINFO",
    "GIT_SSL_CAINFO",
    "CURL_CA_BUNDLE",
    "AWS_CA_BUNDLE",
    "DENO_CERT",
];

/// Where a package manager keeps what it fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cache {
    /// The variable that moves it.
    pub variable: &'static str,
    /// Its name below the run's caches.
    pub directory: &'static str,
    /// Where it is by default, below the person's home.
    pub default: &'static str,
}

/// The caches that a run may move. Cargo's also holds what cargo would otherwise read from the
/// person's, which the sandbox may close.
pub const CACHES: &[Cache] = &[
    Cache {
        variable: "npm_config_cache",
        directory: "npm",
        default: ".npm",
    },
    Cache {
        variable: "PIP_CACHE_DIR",
        directory: "pip",
        default: ".cache/pip",
    },
    Cache {
        variable: "CARGO_HOME",
        directory: "cargo",
        default: ".cargo",
    },
    Cache {
        variable: "GOMODCACHE",
        directory: "go-mod",
        default: "go/pkg/mod",
    },
    Cache {
        variable: "UV_CACHE_DIR",
        directory: "uv",
        default: ".cache/uv",
    },
    Cache {
        variable: "YARN_CACHE_FOLDER",
        directory: "yarn",
        default: ".cache/yarn",
    },
];

/// The directory of caches below the run's own: the part of it that commands need to write.
pub const CACHE_DIRECTORY: &str = "cache";

/// The file of certificates below the run's directory.
const BUNDLE_FILE: &str = "ca-bundle.pem";

/// Writes what the variables name: the trusted roots and the session's authority, in `directory`.
pub(crate) fn write_bundle(
    directory: &Path,
    roots: &[CertificateDer<'static>],
    authority: &str,
) -> io::Result<()> {
    let mut text = authority.to_owned();
    for root in roots {
        text.push_str("-----BEGIN CERTIFICATE-----\n");
        let encoded = STANDARD.encode(root);
        let mut rest = encoded.as_str();
        // RFC 7468, section 2: 64 characters a line.
        while !rest.is_empty() {
            let (line, more) = rest.split_at(rest.len().min(64));
            text.push_str(line);
            text.push('\n');
            rest = more;
        }
        text.push_str("-----END CERTIFICATE-----\n");
    }
    std::fs::write(directory.join(BUNDLE_FILE), text)
}

/// The variables by which a command's programs find the proxy at `address`, trust the authority
/// whose certificate the proxy writes into `directory` when it starts, and keep in `directory` the
/// caches that are `moved`.
#[must_use]
pub fn variables(
    directory: &Path,
    address: SocketAddr,
    moved: impl Fn(&Cache) -> bool,
) -> Vec<(String, String)> {
    let proxy = format!("http://{address}");
    let path = |below: &Path| directory.join(below).to_string_lossy().into_owned();
    let mut all: Vec<(String, String)> = Vec::new();
    all.extend(PROXY.iter().map(|n| ((*n).to_owned(), proxy.clone())));
    // A target that a program reached directly would meet the sandbox's wall and no reason.
    all.extend(["NO_PROXY", "no_proxy"].map(|n| (n.to_owned(), String::new())));
    let bundle = path(Path::new(BUNDLE_FILE));
    all.extend(BUNDLE.iter().map(|n| ((*n).to_owned(), bundle.clone())));
    // Node's own fetch looks for proxies only when it is told to (Node 22.21 and 24).
    all.push(("NODE_USE_ENV_PROXY".to_owned(), "1".to_owned()));
    let caches = Path::new(CACHE_DIRECTORY);
    let moved = CACHES.iter().filter(|cache| moved(cache));
    all.extend(moved.map(|c| (c.variable.to_owned(), path(&caches.join(c.directory)))));
    all
}
