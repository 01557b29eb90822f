//! Whether a request goes through a proxy, and through which.

use std::net::IpAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::url::Endpoint;
use crate::wire::BoxedStream;
use crate::{HttpError, Secret, USER_AGENT};

/// Bytes that a proxy's answer to CONNECT may take. Proxies answer in a few
/// hundred; an error page behind the headers is not read.
const CONNECT_ANSWER_LIMIT: usize = 16 * 1024;

/// The proxies to use, as the person set them. The library reads no
/// environment: the caller fills this in. Loopback targets never go through a
/// proxy, whatever stands here.
#[derive(Clone, Debug, Default)]
pub struct ProxySettings {
    /// For `http` URLs: the value of `HTTP_PROXY`. Like `https`,
    /// `[http[s]://][user:password@]host[:port]`; secret for its password.
    pub http: Option<Secret>,
    /// For `https` URLs: the value of `HTTPS_PROXY`.
    pub https: Option<Secret>,
    /// Targets to reach directly: the value of `NO_PROXY`. Names (which include
    /// their subdomains), addresses and CIDR blocks, each with an optional
    /// `:port`, separated by commas or spaces; `*` means all.
    pub no_proxy: Option<String>,
}

/// A proxy's address and what to show it.
#[derive(Clone, Debug)]
pub(crate) struct Proxy {
    pub(crate) endpoint: Endpoint,
    /// The value of `Proxy-Authorization`.
    pub(crate) credentials: Option<Secret>,
}

impl ProxySettings {
    /// The proxy for `target`, or `None` for a direct connection.
    pub(crate) fn proxy_for(&self, target: &Endpoint) -> Result<Option<Proxy>, HttpError> {
        let setting = if target.https {
            &self.https
        } else {
            &self.http
        };
        match setting {
            Some(setting) if !setting.expose().trim().is_empty() && !self.bypasses(target) => {
                Proxy::parse(setting.expose().trim()).map(Some)
            }
            _ => Ok(None),
        }
    }

    fn bypasses(&self, target: &Endpoint) -> bool {
        target.is_loopback()
            || self
                .no_proxy
                .as_deref()
                .unwrap_or_default()
                .split(|c: char| c == ',' || c.is_whitespace())
                .any(|rule| rule_matches(rule, target))
    }
}

fn rule_matches(rule: &str, target: &Endpoint) -> bool {
    if rule.is_empty() {
        return false;
    }
    let (rule, port) = split_port(rule);
    if port.is_some_and(|port| port != target.port) {
        return false;
    }
    if rule == "*" {
        return true;
    }
    if let Some(ip) = target.ip() {
        return block_holds(rule, ip);
    }
    let name = target.host.trim_end_matches('.');
    let rule = rule
        .strip_prefix("*.")
        .unwrap_or(rule)
        .trim_matches('.')
        .to_ascii_lowercase();
    !rule.is_empty()
        && name
            .strip_suffix(&rule)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// Splits a rule's port off. A bare IPv6 address has more than one colon and no port.
fn split_port(rule: &str) -> (&str, Option<u16>) {
    if let Some((host, rest)) = rule.strip_prefix('[').and_then(|rule| rule.split_once(']')) {
        return (
            host,
            rest.strip_prefix(':').and_then(|port| port.parse().ok()),
        );
    }
    match rule.split_once(':') {
        Some((host, port)) if !port.contains(':') => match port.parse() {
            Ok(port) => (host, Some(port)),
            Err(_) => (rule, None),
        },
        _ => (rule, None),
    }
}

/// Whether `block`, an address or a CIDR block, holds `ip`.
fn block_holds(block: &str, ip: IpAddr) -> bool {
    let (base, length) = match block.split_once('/') {
        Some((base, length)) => (base, length.parse::<u32>().ok()),
        None => (block, Some(128)),
    };
    let (Ok(base), Some(length)) = (base.parse::<IpAddr>(), length) else {
        return false;
    };
    let (base, ip, width) = match (base.to_canonical(), ip) {
        (IpAddr::V4(base), IpAddr::V4(ip)) => {
            (u128::from(base.to_bits()), u128::from(ip.to_bits()), 32)
        }
        (IpAddr::V6(base), IpAddr::V6(ip)) => (base.to_bits(), ip.to_bits(), 128),
        _ => return false,
    };
    let ignored = width - length.min(width);
    // Shifting all 128 bits out overflows; a block of length 0 holds everything.
    (base ^ ip).checked_shr(ignored).unwrap_or(0) == 0
}

impl Proxy {
    fn parse(setting: &str) -> Result<Self, HttpError> {
        let bad = |reason: String| HttpError::BadProxy { reason };
        let (scheme, rest) = setting.split_once("://").unwrap_or(("http", setting));
        let scheme = scheme.to_ascii_lowercase();
        if scheme != "http" && scheme != "https" {
            return Err(bad("only http and https proxies are supported".to_owned()));
        }
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        let (_, endpoint) = Endpoint::parse(&format!("{scheme}://{host}/")).map_err(|error| {
            bad(match error {
                HttpError::BadUrl { reason } => reason,
                other => other.to_string(),
            })
        })?;
        let credentials = user.map(|user| {
            let mut user = percent_decode(user);
            if !user.contains(&b':') {
                user.push(b':');
            }
            Secret::new(format!("Basic {}", base64(&user)))
        });
        Ok(Self {
            endpoint,
            credentials,
        })
    }

    /// Asks the proxy behind `stream` for a tunnel to `target` (RFC 9110,
    /// section 9.3.6).
    pub(crate) async fn open_tunnel(
        &self,
        target: &Endpoint,
        stream: &mut BoxedStream,
    ) -> Result<(), HttpError> {
        let proxy = self.endpoint.to_string();
        let mut request =
            format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nUser-Agent: {USER_AGENT}\r\n");
        if let Some(credentials) = &self.credentials {
            request.push_str("Proxy-Authorization: ");
            request.push_str(credentials.expose());
            request.push_str("\r\n");
        }
        request.push_str("\r\n");
        let cut = |_| HttpError::Cut {
            target: proxy.clone(),
        };
        stream.write_all(request.as_bytes()).await.map_err(cut)?;
        stream.flush().await.map_err(cut)?;

        let mut answer = Vec::new();
        let head = loop {
            let mut chunk = [0; 1024];
            let read = stream.read(&mut chunk).await.map_err(cut)?;
            if read == 0 {
                return Err(HttpError::Cut { target: proxy });
            }
            answer.extend_from_slice(&chunk[..read]);
            if let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            if answer.len() > CONNECT_ANSWER_LIMIT {
                return Err(HttpError::Protocol {
                    target: proxy,
                    reason: "the proxy's answer to CONNECT does not end".to_owned(),
                });
            }
        };
        match connect_status(&answer) {
            // Bytes behind the headers would be the target speaking before the
            // TLS client did, which no TLS server does.
            Some(200..=299) if answer.len() == head => Ok(()),
            Some(200..=299) | None => Err(HttpError::Protocol {
                target: proxy,
                reason: "the proxy's answer to CONNECT is malformed".to_owned(),
            }),
            Some(status) => Err(HttpError::ProxyRefused {
                proxy,
                target: target.to_string(),
                status,
            }),
        }
    }
}

/// The status in `HTTP/1.1 200 …`.
fn connect_status(answer: &[u8]) -> Option<u16> {
    let rest = answer
        .strip_prefix(b"HTTP/1.1 ")
        .or(answer.strip_prefix(b"HTTP/1.0 "))?;
    let digits = rest.get(..3)?;
    let known_end = matches!(rest.get(3), Some(b' ' | b'\r'));
    if !known_end || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Decodes `%41` to `A`; a `%` that starts no such triple stands for itself.
fn percent_decode(text: &str) -> Vec<u8> {
    let hex = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match (byte, hex(bytes.get(at + 1)), hex(bytes.get(at + 2))) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high * 16 + low) as u8);
                at += 3;
            }
            _ => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    decoded
}

/// Base64 with padding (RFC 4648, section 4): proxy credentials are all that
/// needs it here.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |index: usize| u32::from(group.get(index).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for index in 0..4 {
            if index > group.len() {
                text.push('=');
            } else {
                let six = bits >> (18 - 6 * index) & 63;
                text.push(char::from(ALPHABET[six as usize]));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn via(setting: &str, no_proxy: &str, url: &str) -> String {
        let settings = ProxySettings {
            http: Some(Secret::new(setting)),
            https: None,
            no_proxy: Some(no_proxy.to_owned()),
        };
        let (_, target) = Endpoint::parse(url).unwrap();
        match settings.proxy_for(&target) {
            Ok(Some(proxy)) => {
                let credentials = proxy.credentials.as_ref().map_or("", Secret::expose);
                format!("{} {credentials}", proxy.endpoint)
                    .trim_end()
                    .to_owned()
            }
            Ok(None) => "direct".to_owned(),
            Err(error) => {
                let text = error.to_string();
                assert!(!text.contains("hunter2"), "{text}");
                "error".to_owned()
            }
        }
    }

    #[test]
    fn settings() {
        for (setting, expect) in [
            ("http://p:3128", "p:3128"),
            ("p:3128", "p:3128"),
            ("HTTP://p", "p:80"),
            ("https://p/", "p:443"),
            ("http://[::1]:3128", "[::1]:3128"),
            (
                "http://Aladdin:open%20sesame@p:1",
                "p:1 Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
            ),
            ("http://a@b:c@p:1", "p:1 Basic YUBiOmM="),
            ("http://user@p:1", "p:1 Basic dXNlcjo="),
            ("", "direct"),
            (" ", "direct"),
            ("socks5://u:hunter2@p:1080", "error"),
            ("http://u:hunter2@p:99999", "error"),
            ("http://u:hunter2@", "error"),
        ] {
            assert_eq!(
                via(setting, "", "http://target.example/"),
                expect,
                "{setting}"
            );
        }
    }

    #[test]
    fn no_proxy_rules() {
        for (rules, url, direct) in [
            ("", "http://a.example/", false),
            ("*", "http://a.example/", true),
            ("example", "http://a.example/", true),
            ("a.example", "http://a.example/", true),
            ("A.Example.", "http://a.example./", true),
            (".example", "http://a.example/", true),
            ("*.example", "http://a.example/", true),
            ("b.example, a.example", "http://a.example/", true),
            ("b.example a.example", "http://a.example/", true),
            ("xample", "http://a.example/", false),
            ("a.example:8080", "http://a.example/", false),
            ("a.example:8080", "http://a.example:8080/", true),
            (".", "http://a.example/", false),
            (",,", "http://a.example/", false),
            ("10.0.0.0/8", "http://10.1.2.3/", true),
            ("10.0.0.0/8", "http://11.1.2.3/", false),
            ("0.0.0.0/0", "http://11.1.2.3/", true),
            ("10.1.2.3", "http://10.1.2.3/", true),
            ("10.1.2.3:81", "http://10.1.2.3/", false),
            ("10.0.0.0/x", "http://10.1.2.3/", false),
            ("10.0.0.0/99", "http://10.0.0.0/", true),
            ("fd00::/8", "http://[fd12::1]/", true),
            ("::/0", "http://[fd12::1]/", true),
            ("fe80::/10", "http://[fd12::1]/", false),
            ("[fd12::1]:80", "http://[fd12::1]/", true),
            ("10.0.0.0/8", "http://ten.example/", false),
            ("", "http://localhost:1/", true),
            ("", "http://127.0.0.1/", true),
            ("", "http://[::1]/", true),
        ] {
            let expect = if direct { "direct" } else { "p:1" };
            assert_eq!(via("http://p:1", rules, url), expect, "{rules:?} {url}");
        }
    }

    #[test]
    fn the_setting_of_the_other_scheme_does_not_count() {
        assert_eq!(via("http://p:1", "", "https://a.example/"), "direct");
    }

    #[test]
    fn connect_answers() {
        for (answer, expect) in [
            ("HTTP/1.1 200 Connection established\r\n\r\n", Some(200)),
            ("HTTP/1.0 407 \r\n", Some(407)),
            ("HTTP/1.1 204\r\n", Some(204)),
            ("HTTP/1.1 2000\r\n", None),
            ("HTTP/1.1 +20 x\r\n", None),
            ("SSH-2.0-x\r\n", None),
            ("HTTP/1.1 20", None),
            ("", None),
        ] {
            assert_eq!(connect_status(answer.as_bytes()), expect, "{answer:?}");
        }
    }

    #[test]
    fn percent_and_base64() {
        assert_eq!(percent_decode("a%3Ab%zz%4"), b"a:b%zz%4");
        for (text, expect) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
        ] {
            assert_eq!(base64(text.as_bytes()), expect);
        }
    }
}
