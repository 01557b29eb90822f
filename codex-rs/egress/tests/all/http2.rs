//! HTTP/2 on the client's side.

use std::sync::Arc;

use hyper::body::{Body as _, Bytes, Frame, Incoming};
use hyper::client::conn::http2;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::world::{HIT, Origin, Setting, World};

/// A body of some bytes, or none.
struct Sent(Option<Bytes>);

impl hyper::body::Body for Sent {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        std::task::Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }
}

async fn open(world: &World) -> http2::SendRequest<Sent> {
    let port = world.port();
    let mut stream = tokio::net::TcpStream::connect(world.proxy.address())
        .await
        .unwrap();
    let connect =
        format!("CONNECT origin.test:{port} HTTP/1.1\r\nHost: origin.test:{port}\r\n\r\n");
    stream.write_all(connect.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let mut roots = RootCertStore::empty();
    let authority = world.proxy.authority_pem().as_bytes();
    roots
        .add(CertificateDer::from_pem_slice(authority).unwrap())
        .unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let name = ServerName::try_from("origin.test").unwrap();
    let tls = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .unwrap();
    assert_eq!(tls.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(tls))
        .await
        .unwrap();
    tokio::spawn(connection);
    sender
}

async fn text(response: Response<Incoming>) -> String {
    let mut body = response.into_body();
    let mut text = Vec::new();
    while let Some(frame) =
        std::future::poll_fn(|cx| std::pin::Pin::new(&mut body).poll_frame(cx)).await
    {
        text.extend(frame.unwrap().into_data().unwrap_or_default());
    }
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn streams_are_judged_one_by_one() {
    let world = World::new(Origin::new(true, HIT), Setting::default());
    let port = world.port();
    let url = format!("https://origin.test:{port}/a");
    let sender = open(&world).await;
    let ask = |request: Request<Sent>| {
        let mut sender = sender.clone();
        async move { sender.send_request(request).await.unwrap() }
    };
    let get = || Request::get(&url).body(Sent(None)).unwrap();
    for _ in 0..2 {
        let (one, two) = tokio::join!(ask(get()), ask(get()));
        assert_eq!(
            (text(one).await, text(two).await),
            ("hit".into(), "hit".into())
        );
    }
    let refused = [
        Request::post(&url).body(Sent(None)).unwrap(),
        Request::get(&url)
            .body(Sent(Some(Bytes::from("abc"))))
            .unwrap(),
        Request::get("https://evil.test/").body(Sent(None)).unwrap(),
        Request::get(format!("http://origin.test:{port}/"))
            .body(Sent(None))
            .unwrap(),
        Request::get(&url)
            .header("host", "evil.test")
            .body(Sent(None))
            .unwrap(),
        Request::get(&url)
            .header("x-http-method-override", "PUT")
            .body(Sent(None))
            .unwrap(),
    ];
    let count = refused.len();
    for request in refused {
        let what = format!(
            "{} {} {:?}",
            request.method(),
            request.uri(),
            request.headers()
        );
        let response = ask(request).await;
        assert_eq!(response.status(), 403, "{what}");
        assert!(response.headers().contains_key("x-proxy-error"), "{what}");
    }
    assert_eq!(world.origin.hits(), 4);
    let records = world.records();
    let allowed = format!("allowed net.grant GET https://origin.test:{port}/a");
    assert!(records[..4].iter().all(|r| *r == allowed), "{records:?}");
    assert_eq!(records.len(), 4 + count);
    assert!(
        records[4..].iter().all(|r| r.starts_with("denied net.")),
        "{records:?}"
    );
}
