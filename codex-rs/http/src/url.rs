//! The part of a URL that says whom to talk to.

use std::fmt;
use std::net::IpAddr;

use hyper::Uri;

use crate::HttpError;

/// One side of a connection: what the pool, the proxy rules and the error
/// messages speak about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) https: bool,
    /// Lower case, without the brackets of an IPv6 address.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Endpoint {
    /// Splits `url` into what goes into the request line and whom to send it to.
    pub(crate) fn parse(url: &str) -> Result<(Uri, Self), HttpError> {
        let bad = |reason: &str| HttpError::BadUrl {
            reason: reason.to_owned(),
        };
        let uri: Uri = url.parse().map_err(|error| HttpError::BadUrl {
            // The parser's messages are fixed texts that never quote the input.
            reason: format!("{error}"),
        })?;
        let https = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            Some(_) => return Err(bad("its scheme is neither http nor https")),
            None => return Err(bad("it has no scheme")),
        };
        let authority = uri.authority().ok_or_else(|| bad("it names no host"))?;
        if authority.as_str().contains('@') {
            return Err(bad(
                "it holds a user name or password, which belong in a header",
            ));
        }
        let host = authority.host();
        let port = match authority.as_str().strip_prefix(host) {
            Some("" | ":") => default_port(https),
            Some(rest) => rest
                .strip_prefix(':')
                .and_then(|digits| digits.parse().ok())
                .filter(|port| *port != 0)
                .ok_or_else(|| bad("its port is not a number from 1 to 65535"))?,
            None => return Err(bad("it names no host")),
        };
        let host = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_ascii_lowercase();
        if host.is_empty() {
            return Err(bad("it names no host"));
        }
        Ok((uri, Self { https, host, port }))
    }

    /// The host as an address, when it is written as one.
    pub(crate) fn ip(&self) -> Option<IpAddr> {
        self.host.parse::<IpAddr>().ok().map(|ip| ip.to_canonical())
    }

    /// Whether the target is this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        let name = self.host.trim_end_matches('.');
        name == "localhost"
            || name.ends_with(".localhost")
            || self.ip().is_some_and(|ip| ip.is_loopback())
    }

    /// The value of the `Host` header: the port only when it is not the default.
    pub(crate) fn host_header(&self) -> String {
        let shown = self.to_string();
        match shown.strip_suffix(&format!(":{}", default_port(self.https))) {
            Some(host) => host.to_owned(),
            None => shown,
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

fn default_port(https: bool) -> u16 {
    if https { 443 } else { 80 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str, expect: &str) {
        let got = match Endpoint::parse(url) {
            Ok((_, endpoint)) => format!(
                "{} {endpoint} host={} loopback={}",
                if endpoint.https { "https" } else { "http" },
                endpoint.host_header(),
                endpoint.is_loopback()
            ),
            Err(error) => {
                let text = error.to_string();
                assert!(!text.contains("hunter2"), "{text}");
                "error".to_owned()
            }
        };
        assert_eq!(got, expect, "{url}");
    }

    #[test]
    fn endpoints() {
        check(
            "https://API.Example/v1?k=v",
            "https api.example:443 host=api.example loopback=false",
        );
        check("http://h:8080", "http h:8080 host=h:8080 loopback=false");
        check("https://h:80/", "https h:80 host=h:80 loopback=false");
        check("http://h:/", "http h:80 host=h loopback=false");
        check(
            "http://[::1]:9/x",
            "http [::1]:9 host=[::1]:9 loopback=true",
        );
        check(
            "http://[::ffff:127.0.0.1]/",
            "http [::ffff:127.0.0.1]:80 host=[::ffff:127.0.0.1] loopback=true",
        );
        check(
            "http://127.9.9.9/",
            "http 127.9.9.9:80 host=127.9.9.9 loopback=true",
        );
        check(
            "http://a.localhost./",
            "http a.localhost.:80 host=a.localhost. loopback=true",
        );
        check(
            "http://notlocalhost/",
            "http notlocalhost:80 host=notlocalhost loopback=false",
        );
    }

    #[test]
    fn refused_urls() {
        for url in [
            "",
            "/path",
            "example.com",
            "ftp://h/",
            "http://",
            "http:///x",
            "http://u:hunter2@h/",
            "http://h:0/",
            "http://h:65536/",
            "http://h:hunter2/",
            "http://h/hunter2 space",
            "http://h/\r\nX-Evil: hunter2",
            "http://bücher.example/hunter2",
        ] {
            check(url, "error");
        }
    }
}
