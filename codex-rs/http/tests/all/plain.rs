//! Plain `http`, without a proxy.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use codex_http::{
    Capped, Client, ClientOptions, HttpError, Method, ProxySettings, Request, Secret, TrustRoots,
};

use crate::server::{answering, closed_port, listen, read_request};
use crate::{PATIENCE, body, client, get};

#[tokio::test]
async fn sends_what_was_asked_and_reads_the_answer() {
    let (address, requests) =
        answering("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello");
    let request = Request::new(Method::Post, &format!("http://{address}/v1/x?q=1"))
        .unwrap()
        .header("Content-Type", "application/json")
        .unwrap()
        .secret_header("Authorization", &Secret::new("sk-1").prefixed("Bearer "))
        .unwrap()
        .body(r#"{"a":1}"#);
    let mut response = client().send(request).await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(response.is_success());
    assert_eq!(response.header("CONTENT-TYPE"), Some("text/plain"));
    assert_eq!(body(&mut response).await.unwrap(), "hello");
    assert!(
        response.chunk().await.unwrap().is_none(),
        "the end stays the end"
    );

    let request = requests.recv_timeout(PATIENCE).unwrap();
    assert!(
        request.head.starts_with("POST /v1/x?q=1 HTTP/1.1\r\n"),
        "{}",
        request.head
    );
    assert_eq!(request.body, br#"{"a":1}"#);
    assert_eq!(request.header("host"), Some(address.as_str()));
    assert_eq!(request.header("content-length"), Some("7"));
    assert_eq!(request.header("authorization"), Some("Bearer sk-1"));
    let agent = format!("codex/{}", env!("CARGO_PKG_VERSION"));
    assert_eq!(request.header("user-agent"), Some(agent.as_str()));
    assert_eq!(request.header("cookie"), None);
}

#[tokio::test]
async fn an_empty_post_has_a_length_and_an_empty_path_is_the_root() {
    let (address, requests) = answering("HTTP/1.1 204 No Content\r\n\r\n");
    let request = Request::new(Method::Post, &format!("http://{address}"))
        .unwrap()
        .header("user-agent", "other/1")
        .unwrap();
    let mut response = client().send(request).await.unwrap();
    assert_eq!(
        (response.status(), body(&mut response).await.unwrap()),
        (204, String::new())
    );
    let request = requests.recv_timeout(PATIENCE).unwrap();
    assert!(
        request.head.starts_with("POST / HTTP/1.1\r\n"),
        "{}",
        request.head
    );
    assert_eq!(request.header("content-length"), Some("0"));
    assert_eq!(request.header("user-agent"), Some("other/1"));
}

#[tokio::test]
async fn a_chunked_stream_arrives_piece_by_piece() {
    let (go, gate) = channel();
    let (address, _requests) = listen(move |mut stream, _| {
        read_request(&mut stream).unwrap();
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            .unwrap();
        for piece in ["one", "two", "three"] {
            // Nothing is sent before the client has read what was sent before.
            gate.recv().unwrap();
            write!(stream, "{:x}\r\n{piece}\r\n", piece.len()).unwrap();
        }
        stream.write_all(b"0\r\nX-Trailer: 1\r\n\r\n").unwrap();
    });
    let mut response = client()
        .send(get(&format!("http://{address}/")))
        .await
        .unwrap();
    for piece in ["one", "two", "three"] {
        go.send(()).unwrap();
        assert_eq!(response.chunk().await.unwrap().unwrap(), piece);
    }
    assert!(response.chunk().await.unwrap().is_none());
}

#[tokio::test]
async fn a_cut_body_is_an_error_and_stays_one() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
    ] {
        let (address, _requests) = answering(answer);
        let mut response = client()
            .send(get(&format!("http://{address}/")))
            .await
            .unwrap();
        let (before, error) = body(&mut response).await.unwrap_err();
        assert_eq!(before, "hello", "{answer:?}");
        assert!(
            matches!(&error, HttpError::Cut { target } if *target == address),
            "{error:?}"
        );
        assert!(error.is_transient());
        assert!(matches!(response.chunk().await, Err(HttpError::Cut { .. })));
    }
}

#[tokio::test]
async fn a_connection_closed_before_or_within_the_headers_is_cut() {
    for answer in ["", "HTTP/1.1 200 OK\r\nContent-Le"] {
        let (address, _requests) = answering(answer);
        let error = client()
            .send(get(&format!("http://{address}/")))
            .await
            .unwrap_err();
        assert!(
            matches!(error, HttpError::Cut { .. }),
            "{answer:?} {error:?}"
        );
    }
}

#[tokio::test]
async fn a_body_without_length_ends_with_the_connection() {
    let (address, _requests) = answering("HTTP/1.1 200 OK\r\n\r\nhello");
    let mut response = client()
        .send(get(&format!("http://{address}/")))
        .await
        .unwrap();
    assert_eq!(body(&mut response).await.unwrap(), "hello");
}

#[tokio::test]
async fn silence_before_the_headers_or_within_the_body_is_an_idle_timeout() {
    let idle = Duration::from_millis(100);
    for (answer, in_body) in [
        ("", false),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", true),
    ] {
        let (done, hold) = channel::<()>();
        let (address, _requests) = listen(move |mut stream, _| {
            read_request(&mut stream).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            let _ = hold.recv();
        });
        let request = get(&format!("http://{address}/")).idle_timeout(idle);
        let error = match client().send(request).await {
            Ok(mut response) => {
                assert!(in_body);
                let (before, error) = body(&mut response).await.unwrap_err();
                assert_eq!(before, "hello");
                assert!(matches!(response.chunk().await, Err(HttpError::Cut { .. })));
                error
            }
            Err(error) => {
                assert!(!in_body);
                error
            }
        };
        assert!(
            matches!(&error, HttpError::IdleTimeout { target, after } if *target == address && *after == idle),
            "{error:?}"
        );
        drop(done);
    }
}

#[tokio::test]
async fn a_slow_stream_outlives_the_idle_time() {
    let idle = Duration::from_millis(1500);
    let (address, _requests) = listen(|mut stream, _| {
        read_request(&mut stream).unwrap();
        // Headers that trickle in for longer than the idle time, too.
        for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow".chunks(10) {
            thread::sleep(Duration::from_millis(500));
            stream.write_all(byte).unwrap();
        }
    });
    let request = get(&format!("http://{address}/")).idle_timeout(idle);
    let mut response = client().send(request).await.unwrap();
    assert_eq!(body(&mut response).await.unwrap(), "slow");
}

#[tokio::test]
async fn time_between_reads_is_not_idleness() {
    let (address, _requests) = answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    let request = get(&format!("http://{address}/")).idle_timeout(Duration::from_millis(200));
    let mut response = client().send(request).await.unwrap();
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(body(&mut response).await.unwrap(), "hello");
}

#[tokio::test]
async fn a_refused_port_says_so() {
    let address = closed_port();
    let error = client()
        .send(get(&format!("http://{address}/")))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, HttpError::Refused { target } if *target == address),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_name_that_cannot_exist_is_a_dns_error() {
    // A label may have 63 characters (RFC 1035), so no resolver asks anyone.
    let url = format!("http://{}.invalid:81/", "a".repeat(80));
    let error = client().send(get(&url)).await.unwrap_err();
    assert!(
        matches!(&error, HttpError::Dns { target, .. } if target.ends_with(":81")),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_redirect_is_returned_and_not_followed() {
    let (elsewhere, followed) = answering("HTTP/1.1 200 OK\r\n\r\n");
    let (address, _requests) = answering(format!(
        "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://{elsewhere}/\r\nContent-Length: 0\r\n\r\n"
    ));
    let mut response = client()
        .send(get(&format!("http://{address}/")))
        .await
        .unwrap();
    assert_eq!(response.status(), 307);
    assert_eq!(
        response.header("location"),
        Some(format!("http://{elsewhere}/").as_str())
    );
    assert_eq!(body(&mut response).await.unwrap(), "");
    assert!(followed.try_recv().is_err());
}

#[tokio::test]
async fn garbage_is_a_protocol_error() {
    for answer in [
        "SSH-2.0-OpenSSH_9.9\r\n\r\n".to_owned(),
        "\0\x01\x02\x03".to_owned(),
        "HTTP/1.1 2x0 OK\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab".to_owned(),
        format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(4 << 20)),
        format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(100_000)),
    ] {
        let shown = answer.chars().take(60).collect::<String>();
        let (address, _requests) = answering(answer);
        let error = client()
            .send(get(&format!("http://{address}/")))
            .await
            .unwrap_err();
        assert!(
            matches!(&error, HttpError::Protocol { target, .. } if *target == address),
            "{shown:?} {error:?}"
        );
        assert!(!error.is_transient());
    }
}

#[tokio::test]
async fn broken_chunk_framing_is_a_protocol_error() {
    for size in ["zz", "-5", "fffffffffffffffff", ""] {
        let (address, _requests) = answering(format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{size}\r\nhello\r\n0\r\n\r\n"
        ));
        let mut response = client()
            .send(get(&format!("http://{address}/")))
            .await
            .unwrap();
        let (_, error) = body(&mut response).await.unwrap_err();
        assert!(
            matches!(error, HttpError::Protocol { .. }),
            "{size:?} {error:?}"
        );
    }
}

#[tokio::test]
async fn a_huge_error_body_is_capped() {
    let (address, outcome) = listen(|mut stream, _| {
        read_request(&mut stream).unwrap();
        stream
            .write_all(b"HTTP/1.1 500 Oops\r\nContent-Length: 999999999999\r\n\r\n")
            .unwrap();
        // Ends only because the client closes the connection.
        while stream.write_all(&[b'x'; 65536]).is_ok() {}
    });
    let mut response = client()
        .send(get(&format!("http://{address}/")))
        .await
        .unwrap();
    assert_eq!(response.status(), 500);
    let capped = response.read_capped(100_000).await.unwrap();
    assert_eq!(
        capped,
        Capped {
            bytes: vec![b'x'; 100_000],
            cut: true
        }
    );
    outcome.recv_timeout(PATIENCE).unwrap();
    assert!(
        response.chunk().await.is_err(),
        "a cut body never looks complete"
    );
}

#[tokio::test]
async fn a_body_of_exactly_the_cap_is_not_cut() {
    let (address, _requests) = answering("HTTP/1.1 400 Bad\r\nContent-Length: 5\r\n\r\nhello");
    for (cap, bytes, cut) in [
        (4, "hell", true),
        (5, "hello", false),
        (6, "hello", false),
        (0, "", true),
    ] {
        let mut response = client()
            .send(get(&format!("http://{address}/")))
            .await
            .unwrap();
        let expect = Capped {
            bytes: bytes.into(),
            cut,
        };
        assert_eq!(response.read_capped(cap).await.unwrap(), expect);
    }
}

#[tokio::test]
async fn dropping_the_response_or_the_future_closes_the_connection() {
    let (address, closed) = listen(|mut stream, number| {
        read_request(&mut stream).unwrap();
        if number == 0 {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello")
                .unwrap();
        }
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
            .read(&mut [0])
            .map(|read| read == 0)
            .unwrap_or_else(|error| error.kind() == std::io::ErrorKind::ConnectionReset)
    });
    let client = client();
    let response = client
        .send(get(&format!("http://{address}/")))
        .await
        .unwrap();
    drop(response);
    assert!(closed.recv_timeout(PATIENCE).unwrap());

    let waiting = client.send(get(&format!("http://{address}/")));
    assert!(
        tokio::time::timeout(Duration::from_millis(200), waiting)
            .await
            .is_err()
    );
    assert!(closed.recv_timeout(PATIENCE).unwrap());
}

#[tokio::test]
async fn a_read_response_leaves_its_connection_to_the_next_request() {
    let (address, connections) = listen(|mut stream, _| {
        let mut requests = 0;
        while read_request(&mut stream).is_some() {
            requests += 1;
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
                .unwrap();
        }
        requests
    });
    let client = client();
    for _ in 0..3 {
        let mut response = client
            .send(get(&format!("http://{address}/")))
            .await
            .unwrap();
        assert_eq!(body(&mut response).await.unwrap(), "hello");
    }
    drop(client);
    assert_eq!(connections.recv_timeout(PATIENCE).unwrap(), 3);
}

#[tokio::test]
async fn a_kept_connection_that_the_server_closed_is_not_used() {
    let (address, requests) = answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    let client = client();
    for _ in 0..3 {
        let mut response = client
            .send(get(&format!("http://{address}/")))
            .await
            .unwrap();
        assert_eq!(body(&mut response).await.unwrap(), "hello");
        // The server reports after it has closed: its goodbye is on the way.
        requests.recv_timeout(PATIENCE).unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[test]
fn requests_can_be_sent_from_any_runtime_and_task() {
    let (address, _requests) = answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    let client = client();
    for _ in 0..2 {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let (client, url) = (client.clone(), format!("http://{address}/"));
        let task = runtime.spawn(async move {
            let mut response = client.send(get(&url)).await.unwrap();
            body(&mut response).await.unwrap()
        });
        assert_eq!(runtime.block_on(task).unwrap(), "hello");
    }
}

#[tokio::test]
async fn plain_http_neither_loads_certificates_nor_asks_a_proxy_on_loopback() {
    let (address, _requests) = answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    let missing = Some(PathBuf::from("no such directory/ca.pem"));
    let proxy = Some(Secret::new(format!("http://{}", closed_port())));
    let client = Client::new(ClientOptions {
        proxy: ProxySettings {
            http: proxy.clone(),
            https: proxy,
            no_proxy: None,
        },
        roots: TrustRoots {
            file: missing,
            dir: None,
        },
    });
    let mut response = client
        .send(get(&format!("http://{address}/")))
        .await
        .unwrap();
    assert_eq!(body(&mut response).await.unwrap(), "hello");
    let error = client
        .send(get(&format!("https://{address}/")))
        .await
        .unwrap_err();
    assert!(matches!(error, HttpError::Roots { .. }), "{error:?}");
}

#[test]
fn unusable_headers_are_refused_without_their_value() {
    for (name, value) in [
        ("x-key", "hunter2\r\nX-Evil: 1"),
        ("x-key", "hunter2\0"),
        ("x key", "hunter2"),
        ("x\r\n", "hunter2"),
        ("Content-Length", "hunter2"),
        ("Host", "hunter2"),
        ("transfer-encoding", "hunter2"),
    ] {
        let request = get("http://127.0.0.1/");
        let error = request
            .secret_header(name, &Secret::new(value))
            .unwrap_err();
        assert!(matches!(error, HttpError::BadHeader { .. }));
        let shown = format!("{error} {error:?}");
        assert!(
            !shown.contains("hunter2") && !shown.contains('\r'),
            "{shown}"
        );
    }
}

#[tokio::test]
async fn nothing_printed_holds_a_query_or_a_header() {
    let address = closed_port();
    let request = get(&format!("http://{address}/path?key=hunter2"))
        .secret_header("x-key", &Secret::new("hunter2"))
        .unwrap()
        .body("hunter2");
    let client = Client::new(ClientOptions {
        proxy: ProxySettings {
            http: Some(Secret::new("http://u:hunter2@p")),
            ..Default::default()
        },
        ..Default::default()
    });
    let shown = format!("{request:?} {client:?}");
    let error = client.send(request).await.unwrap_err();
    let shown = format!("{shown} {error} {error:?}");
    assert!(
        !shown.contains("hunter2") && shown.contains(&address),
        "{shown}"
    );
}
