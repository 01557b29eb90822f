//! What a command's environment needs to find the proxy, and to trust it.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;

use crate::session::EgressError;

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

/// What a client shows to prove that it belongs to the run: other people's programs on this machine
/// reach loopback as well.
#[derive(Clone, PartialEq, Eq)]
pub struct Pass(String);

/// The name beside the secret; it means nothing.
const PASS_USER: &str = "codex";

impl Pass {
    /// A new one, of 128 random bits.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn new() -> Result<Self, EgressError> {
        let mut bytes = [0; 16];
        ring::default_provider()
            .secure_random
            .fill(&mut bytes)
            .map_err(|_| EgressError::Random)?;
        Ok(Self(URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// Whether a value of `Proxy-Authorization` shows it.
    pub(crate) fn is_shown_by(&self, value: &[u8]) -> bool {
        let expected = STANDARD.encode(format!("{PASS_USER}:{}", self.0));
        let Some((scheme, shown)) = value.split_at_checked(6) else {
            return false;
        };
        // As long for every wrong value of this length.
        let differences = shown
            .iter()
            .zip(expected.as_bytes())
            .fold(0, |all, (a, b)| all | (a ^ b));
        scheme.eq_ignore_ascii_case(b"basic ") && shown.len() == expected.len() && differences == 0
    }
}

impl fmt::Debug for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pass")
    }
}

/// The variables by which a command's programs find the proxy at `address`, show `pass`, trust the authority
/// whose certificate the proxy writes into `directory` when it starts, and keep in `directory` the
/// caches that are `moved`.
#[must_use]
pub fn variables(
    directory: &Path,
    address: SocketAddr,
    pass: Option<&Pass>,
    moved: impl Fn(&Cache) -> bool,
) -> Vec<(String, String)> {
    let proxy = match pass {
        Some(Pass(secret)) => format!("http://{PASS_USER}:{secret}@{address}"),
        None => format!("http://{address}"),
    };
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
