//! `https`, with certificates made for the test.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use codex_http::{Client, ClientOptions, HttpError, ProxySettings, TrustRoots};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::server::{answering, listen, read_request};
use crate::{PATIENCE, body, client, get};

/// A certificate for `name`, and a client that trusts it and nothing else.
pub(crate) struct Identity {
    config: Arc<ServerConfig>,
    roots: tempfile::NamedTempFile,
}

impl Identity {
    pub(crate) fn new(name: &str) -> Self {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        let mut roots = tempfile::NamedTempFile::new().unwrap();
        roots.write_all(made.cert.pem().as_bytes()).unwrap();
        let chain: Vec<CertificateDer<'static>> = vec![made.cert.der().clone()];
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        Self {
            config: Arc::new(config),
            roots,
        }
    }

    pub(crate) fn client(&self, proxy: ProxySettings) -> Client {
        let file = Some(self.roots.path().to_owned());
        Client::new(ClientOptions {
            proxy,
            roots: TrustRoots { file, dir: None },
        })
    }

    pub(crate) fn accept(&self, stream: TcpStream) -> StreamOwned<ServerConnection, TcpStream> {
        StreamOwned::new(
            ServerConnection::new(Arc::clone(&self.config)).unwrap(),
            stream,
        )
    }

    /// Answers over TLS; with `goodbye`, says properly that it closes.
    fn serve(self, answer: &'static str, goodbye: bool) -> (String, Receiver<()>) {
        listen(move |stream, _| {
            let mut stream = self.accept(stream);
            if read_request(&mut stream).is_some() {
                stream.write_all(answer.as_bytes()).unwrap();
                if goodbye {
                    stream.conn.send_close_notify();
                }
                stream.flush().unwrap();
            }
        })
    }
}

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

#[tokio::test]
async fn a_trusted_server_answers() {
    let identity = Identity::new("127.0.0.1");
    let client = identity.client(ProxySettings::default());
    let (address, _done) = identity.serve(HELLO, true);
    let mut response = client
        .send(get(&format!("https://{address}/")))
        .await
        .unwrap();
    assert_eq!(body(&mut response).await.unwrap(), "hello");
}

#[tokio::test]
async fn an_untrusted_server_or_another_name_is_a_tls_error() {
    let other = Identity::new("127.0.0.1");
    let trusted = other.client(ProxySettings::default());
    let (address, _done) = Identity::new("127.0.0.1").serve(HELLO, true);
    let error = trusted
        .send(get(&format!("https://{address}/")))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, HttpError::Tls { target, .. } if *target == address),
        "{error:?}"
    );
    assert!(!error.is_transient());

    let elsewhere = Identity::new("elsewhere.example");
    let client = elsewhere.client(ProxySettings::default());
    let (address, _done) = elsewhere.serve(HELLO, true);
    let error = client
        .send(get(&format!("https://{address}/")))
        .await
        .unwrap_err();
    assert!(matches!(error, HttpError::Tls { .. }), "{error:?}");
}

#[tokio::test]
async fn a_stream_cut_without_a_goodbye_is_an_error() {
    // Without a length only TLS itself can tell an end from a cut.
    for (goodbye, complete) in [(true, true), (false, false)] {
        let identity = Identity::new("127.0.0.1");
        let client = identity.client(ProxySettings::default());
        let (address, _done) = identity.serve("HTTP/1.1 200 OK\r\n\r\nhello", goodbye);
        let mut response = client
            .send(get(&format!("https://{address}/")))
            .await
            .unwrap();
        match body(&mut response).await {
            Ok(text) => assert!(complete && text == "hello"),
            Err((text, error)) => {
                assert!(!complete && text == "hello");
                assert!(matches!(error, HttpError::Cut { .. }), "{error:?}");
            }
        }
    }
}

#[tokio::test]
async fn https_to_a_plain_port_is_a_tls_error() {
    let (address, _requests) = listen(|mut stream, _| {
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            .unwrap();
    });
    let identity = Identity::new("127.0.0.1");
    let client = identity.client(ProxySettings::default());
    let error = client
        .send(get(&format!("https://{address}/")))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, HttpError::Tls { target, .. } if *target == address),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_stalled_handshake_is_a_connect_timeout() {
    let (done, hold) = std::sync::mpsc::channel::<()>();
    let (address, _requests) = listen(move |_stream, _| {
        let _ = hold.recv();
    });
    let after = Duration::from_millis(100);
    let request = get(&format!("https://{address}/")).connect_timeout(after);
    let identity = Identity::new("127.0.0.1");
    let error = identity
        .client(ProxySettings::default())
        .send(request)
        .await
        .unwrap_err();
    assert!(
        matches!(&error, HttpError::ConnectTimeout { target, after: got } if *target == address && *got == after),
        "{error:?}"
    );
    drop(done);
}

#[tokio::test]
async fn roots_that_hold_no_certificate_are_an_error_that_names_the_way_out() {
    let empty = tempfile::NamedTempFile::new().unwrap();
    let file = Some(empty.path().to_owned());
    let client = Client::new(ClientOptions {
        roots: TrustRoots { file, dir: None },
        ..Default::default()
    });
    let (address, _requests) = answering("");
    let error = client
        .send(get(&format!("https://{address}/")))
        .await
        .unwrap_err();
    assert!(matches!(error, HttpError::Roots { .. }), "{error:?}");
    assert!(error.to_string().contains("SSL_CERT_FILE"));
}

#[tokio::test]
async fn a_plain_client_is_not_fooled_by_a_tls_port() {
    let (address, _done) = Identity::new("127.0.0.1").serve(HELLO, true);
    let request = get(&format!("http://{address}/")).idle_timeout(PATIENCE);
    let error = client().send(request).await.unwrap_err();
    assert!(
        matches!(error, HttpError::Protocol { .. } | HttpError::Cut { .. }),
        "{error:?}"
    );
}
