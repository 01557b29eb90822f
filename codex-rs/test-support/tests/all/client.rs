//! An HTTP client that shows what really came over the socket.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use codex_test_support::{ScriptedModel, sse};
use serde_json::Value;

/// A response taken apart.
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    /// The HTTP chunks, or the whole body as one when it was not chunked.
    pub(crate) chunks: Vec<Vec<u8>>,
    /// Whether the body had the end that HTTP asks for.
    pub(crate) whole: bool,
}

impl Response {
    pub(crate) fn body(&self) -> Vec<u8> {
        self.chunks.concat()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body()).unwrap()
    }

    pub(crate) fn events(&self) -> Vec<sse::Event> {
        sse::parse(&self.text())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body()).unwrap()
    }
}

pub(crate) fn connect(model: &ScriptedModel) -> TcpStream {
    let stream = TcpStream::connect(model.address()).unwrap();
    // Against a server that hangs; far above what any test here takes.
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    stream
}

/// Sends a request and gives every byte until the server closes.
pub(crate) fn exchange(model: &ScriptedModel, request: &str) -> Vec<u8> {
    let mut stream = connect(model);
    stream.write_all(request.as_bytes()).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    bytes
}

pub(crate) fn post_text(path: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n\
         Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

pub(crate) fn post(model: &ScriptedModel, path: &str, body: &Value) -> Response {
    take_apart(&exchange(model, &post_text(path, &body.to_string())))
}

pub(crate) fn get(model: &ScriptedModel, path: &str) -> Response {
    let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    take_apart(&exchange(model, &request))
}

pub(crate) fn take_apart(bytes: &[u8]) -> Response {
    let (head, mut rest) = split_once(bytes, b"\r\n\r\n").unwrap();
    let head = String::from_utf8(head.to_vec()).unwrap();
    let status = head
        .strip_prefix("HTTP/1.1 ")
        .and_then(|line| line.get(..3))
        .unwrap()
        .parse()
        .unwrap();
    let mut chunks = Vec::new();
    let whole;
    if head.contains("transfer-encoding: chunked") {
        loop {
            let Some((size, after)) = split_once(rest, b"\r\n") else {
                assert!(rest.is_empty(), "half a chunk size");
                whole = false;
                break;
            };
            let size = usize::from_str_radix(std::str::from_utf8(size).unwrap(), 16).unwrap();
            assert_eq!(&after[size..size + 2], b"\r\n", "a chunk without its end");
            rest = &after[size + 2..];
            if size == 0 {
                assert!(rest.is_empty(), "bytes after the last chunk");
                whole = true;
                break;
            }
            chunks.push(after[..size].to_vec());
        }
    } else {
        let length: usize = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .unwrap()
            .parse()
            .unwrap();
        whole = rest.len() == length;
        chunks.push(rest.to_vec());
    }
    Response {
        status,
        head,
        chunks,
        whole,
    }
}

fn split_once<'a>(bytes: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = bytes
        .windows(separator.len())
        .position(|window| window == separator)?;
    Some((&bytes[..at], &bytes[at + separator.len()..]))
}
