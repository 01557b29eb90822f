//! Requests through a proxy. The targets have names that resolve nowhere, so a
//! request that went past the proxy could not succeed.

use std::io::Write;
use std::sync::Arc;

use codex_http::{Client, ClientOptions, HttpError, ProxySettings, Secret};

use crate::server::{answering, closed_port, listen, read_request};
use crate::tls::Identity;
use crate::{PATIENCE, body, get};

fn through(address: &str) -> ProxySettings {
    let setting = Some(Secret::new(format!("http://user:hunter2@{address}")));
    ProxySettings {
        http: setting.clone(),
        https: setting,
        no_proxy: None,
    }
}

fn client(proxy: ProxySettings) -> Client {
    Client::new(ClientOptions {
        proxy,
        ..Default::default()
    })
}

/// `user:hunter2` in base64.
const CREDENTIALS: &str = "Basic dXNlcjpodW50ZXIy";

#[tokio::test]
async fn http_is_forwarded_with_the_whole_url() {
    let (address, requests) = answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    let url = "http://target.invalid:8080/a?b=c";
    let mut response = client(through(&address)).send(get(url)).await.unwrap();
    assert_eq!(body(&mut response).await.unwrap(), "hello");
    let request = requests.recv_timeout(PATIENCE).unwrap();
    assert!(
        request.head.starts_with(&format!("GET {url} HTTP/1.1\r\n")),
        "{}",
        request.head
    );
    assert_eq!(request.header("host"), Some("target.invalid:8080"));
    assert_eq!(request.header("proxy-authorization"), Some(CREDENTIALS));
}

#[tokio::test]
async fn https_goes_through_a_tunnel_and_the_target_sees_no_proxy_credentials() {
    let identity = Arc::new(Identity::new("target.invalid"));
    let server = Arc::clone(&identity);
    let (address, requests) = listen(move |mut stream, _| {
        let connect = read_request(&mut stream).unwrap();
        stream
            .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
            .unwrap();
        let mut stream = server.accept(stream);
        let inner = read_request(&mut stream).unwrap();
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
            .unwrap();
        (connect, inner)
    });
    let client = identity.client(through(&address));
    let mut response = client.send(get("https://target.invalid/a")).await.unwrap();
    assert_eq!(body(&mut response).await.unwrap(), "hello");
    let (connect, inner) = requests.recv_timeout(PATIENCE).unwrap();
    assert!(
        connect
            .head
            .starts_with("CONNECT target.invalid:443 HTTP/1.1\r\n")
    );
    assert_eq!(connect.header("host"), Some("target.invalid:443"));
    assert_eq!(connect.header("proxy-authorization"), Some(CREDENTIALS));
    assert!(
        inner.head.starts_with("GET /a HTTP/1.1\r\n"),
        "{}",
        inner.head
    );
    assert_eq!(inner.header("host"), Some("target.invalid"));
    assert_eq!(inner.header("proxy-authorization"), None);
}

#[tokio::test]
async fn a_proxy_that_refuses_or_babbles() {
    let endless = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(64 << 10));
    for (answer, expect) in [
        (
            "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
            "refused 407",
        ),
        (
            "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 3\r\n\r\nbad",
            "refused 502",
        ),
        ("SSH-2.0-x\r\n\r\n", "protocol"),
        ("HTTP/1.1 200 OK\r\n\r\nearly", "protocol"),
        (endless.as_str(), "protocol"),
        ("", "cut"),
        ("HTTP/1.1 200 OK\r\n", "cut"),
    ] {
        let (address, _requests) = answering(answer.to_owned());
        let error = client(through(&address))
            .send(get("https://target.invalid/"))
            .await
            .unwrap_err();
        let got = match &error {
            HttpError::ProxyRefused {
                proxy,
                target,
                status,
            } => {
                assert_eq!(
                    (proxy.as_str(), target.as_str()),
                    (&*address, "target.invalid:443")
                );
                format!("refused {status}")
            }
            HttpError::Protocol { target, .. } if *target == address => "protocol".to_owned(),
            HttpError::Cut { target } if *target == address => "cut".to_owned(),
            other => format!("{other:?}"),
        };
        assert_eq!(got, expect, "{:?}", &answer[..answer.len().min(40)]);
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}

#[tokio::test]
async fn a_proxy_that_is_not_there_is_named() {
    let address = closed_port();
    let error = client(through(&address))
        .send(get("https://target.invalid/"))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, HttpError::Refused { target } if *target == address),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_proxy_of_an_unknown_kind_is_an_error_not_a_direct_connection() {
    let setting = Some(Secret::new("socks5://user:hunter2@127.0.0.1:1080"));
    let proxy = ProxySettings {
        https: setting,
        ..Default::default()
    };
    let error = client(proxy)
        .send(get("https://target.invalid/"))
        .await
        .unwrap_err();
    assert!(matches!(error, HttpError::BadProxy { .. }), "{error:?}");
    assert!(!error.to_string().contains("hunter2"));
}
