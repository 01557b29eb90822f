//! What a command's environment needs to find the proxy, and to trust it.

use std::io;
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

/// Variables that name a file of trusted certificates: OpenSSL, Node, Python's requests and pip,
/// cargo, git, curl, and the AWS and Deno tools.
const BUNDLE: &[&str] = &[
    "SSL_CERT_FILE",
    "NODE_EXTRA_CA_CERTS",
    "REQUESTS_CA_BUNDLE",
    "PIP_CERT",
    "CARGO_HTTP_CAINFO",
    "GIT_SSL_CAINFO",
    "CURL_CA_BUNDLE",
    "AWS_CA_BUNDLE",
    "DENO_CERT",
];

/// Variables of package managers' caches, and the directory of each below the run's own. Cargo's
/// also holds what it would otherwise read from the person's, which the sandbox may close.
const CACHES: &[(&str, &str)] = &[
    ("npm_config_cache", "npm"),
    ("PIP_CACHE_DIR", "pip"),
    ("CARGO_HOME", "cargo"),
    ("GOMODCACHE", "go-mod"),
    ("UV_CACHE_DIR", "uv"),
];

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

pub(crate) fn variables(directory: &Path, proxy: &str) -> Vec<(String, String)> {
    let path = |name: &str| directory.join(name).to_string_lossy().into_owned();
    let mut all: Vec<(String, String)> = Vec::new();
    all.extend(PROXY.iter().map(|n| ((*n).to_owned(), proxy.to_owned())));
    // A target that a program reached directly would meet the sandbox's wall and no reason.
    all.extend(["NO_PROXY", "no_proxy"].map(|n| (n.to_owned(), String::new())));
    all.extend(BUNDLE.iter().map(|n| ((*n).to_owned(), path(BUNDLE_FILE))));
    all.extend(CACHES.iter().map(|(n, d)| ((*n).to_owned(), path(d))));
    all
}
