//! Secrets that can be told by their own shape.
//!
//! Modelled on the public rule sets of gitleaks and GitHub's secret scanning. Minimal lengths are
//! below what the issuers use, and nothing is demanded of what follows: a name that is masked for
//! nothing costs less than a key that is not.

/// A secret that begins with a fixed text.
struct Token {
    prefix: &'static str,
    /// What the rest consists of, and how much of it there must be.
    body: fn(u8) -> bool,
    min: usize,
}

const fn token(prefix: &'static str, body: fn(u8) -> bool, min: usize) -> Token {
    Token { prefix, body, min }
}

fn alnum(b: u8) -> bool {
    b.is_ascii_alphanumeric()
}

fn upper(b: u8) -> bool {
    b.is_ascii_uppercase() || b.is_ascii_digit()
}

/// base64url, and `_`, `-` as separators.
fn url64(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-')
}

fn dotted(b: u8) -> bool {
    url64(b) || b == b'.'
}

fn path(b: u8) -> bool {
    url64(b) || b == b'/'
}

const TOKENS: &[Token] = &[
    // Model providers.
    token("sk-", url64, 16),
    token("gsk_", alnum, 20),
    token("hf_", alnum, 20),
    token("xai-", alnum, 20),
    token("pplx-", alnum, 20),
    token("tvly-", url64, 20),
    // Forges and package registries.
    token("ghp_", alnum, 16),
    token("gho_", alnum, 16),
    token("ghu_", alnum, 16),
    token("ghs_", alnum, 16),
    token("ghr_", alnum, 16),
    token("github_pat_", url64, 16),
    token("glpat-", url64, 16),
    token("gldt-", url64, 16),
    token("glrt-", url64, 16),
    token("glptt-", url64, 16),
    token("npm_", alnum, 20),
    token("pypi-", url64, 16),
    token("rubygems_", alnum, 20),
    token("dckr_pat_", url64, 16),
    token("ATATT3", url64, 20),
    token("lin_api_", alnum, 20),
    // Clouds.
    token("AKIA", upper, 12),
    token("ASIA", upper, 12),
    token("AIza", url64, 20),
    token("ya29.", dotted, 20),
    token("GOCSPX-", url64, 16),
    token("dop_v1_", alnum, 20),
    token("hvs.", url64, 20),
    token("AGE-SECRET-KEY-1", upper, 20),
    // Services.
    token("xoxa-", url64, 10),
    token("xoxb-", url64, 10),
    token("xoxe-", url64, 10),
    token("xoxp-", url64, 10),
    token("xoxr-", url64, 10),
    token("xoxs-", url64, 10),
    token("xapp-", url64, 10),
    token("hooks.slack.com/services/", path, 10),
    token("sk_live_", alnum, 10),
    token("sk_test_", alnum, 10),
    token("rk_live_", alnum, 10),
    token("rk_test_", alnum, 10),
    token("whsec_", alnum, 16),
    token("SG.", dotted, 20),
    token("shpat_", alnum, 16),
    token("glsa_", url64, 16),
    token("figd_", url64, 16),
    token("sntrys_", url64, 16),
];

/// How a JSON object begins in base64: `{"`.
const JWT: &[u8] = b"eyJ";
/// Shortest header and payload of a JSON Web Token.
const JWT_HEADER: usize = 10;
const JWT_PAYLOAD: usize = 2;

/// The length of the secret that `text` begins with. Whoever asks makes sure that a word begins
/// there.
pub(super) fn len_at(text: &[u8]) -> Option<usize> {
    if text.starts_with(JWT) {
        return jwt_len(text);
    }
    let first = text.first()?;
    TOKENS.iter().find_map(|token| {
        if token.prefix.as_bytes().first() != Some(first) {
            return None;
        }
        let body = run(text.strip_prefix(token.prefix.as_bytes())?, token.body);
        (body >= token.min).then_some(token.prefix.len() + body)
    })
}

fn jwt_len(text: &[u8]) -> Option<usize> {
    let header = run(text, url64);
    let payload = run(text.get(header..)?.strip_prefix(b".")?, url64);
    if header < JWT_HEADER || payload < JWT_PAYLOAD {
        return None;
    }
    Some(run(text, dotted))
}

fn run(text: &[u8], class: fn(u8) -> bool) -> usize {
    text.iter().take_while(|b| class(**b)).count()
}

/// Whether `text` can be a bearer token: these have no prefix, so that only their length, or a
/// digit in them, tells them from a word.
pub(super) fn bearer_len(text: &[u8]) -> Option<usize> {
    let class = |b: u8| dotted(b) || matches!(b, b'~' | b'+' | b'/' | b'=');
    let len = run(text, class);
    let digit = text.iter().take(len).any(u8::is_ascii_digit);
    (len >= 20 || (len >= 8 && digit)).then_some(len)
}

/// The length of the PEM private key that `text` begins with, to the end of the text where its
/// own end is missing.
pub(super) fn private_key_len(text: &[u8]) -> Option<usize> {
    const BEGIN: &[u8] = b"-----BEGIN ";
    const KEY: &[u8] = b"PRIVATE KEY";
    const END: &[u8] = b"-----END ";
    const DASHES: &[u8] = b"-----";
    /// Longest kind of key between `BEGIN` and the dashes.
    const MAX_KIND: usize = 64;
    let kind = text.strip_prefix(BEGIN)?;
    let at = find(&kind[..kind.len().min(MAX_KIND)], KEY)?;
    if find(&kind[..at], DASHES).is_some() {
        return None;
    }
    let len = match find(text, END) {
        None => text.len(),
        Some(end) => {
            let after = end + END.len();
            let label = &text[after..text.len().min(after + MAX_KIND)];
            match find(label, DASHES) {
                Some(dashes) => after + dashes + DASHES.len(),
                None => after + run(label, |b| b.is_ascii()),
            }
        }
    };
    Some(len)
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|w| w == what)
}
