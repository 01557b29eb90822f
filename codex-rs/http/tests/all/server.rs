//! A server for one test: blocking sockets on threads of their own.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

/// One request as it was received.
pub(crate) struct Received {
    /// The request line and the headers, as sent.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

/// Reads one request; `None` when the client has gone.
pub(crate) fn read_request(stream: &mut impl Read) -> Option<Received> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    let mut received = Received {
        head: String::from_utf8(head).unwrap(),
        body: Vec::new(),
    };
    let length = received
        .header("content-length")
        .map_or(0, |text| text.parse().unwrap());
    received.body.resize(length, 0);
    stream.read_exact(&mut received.body).ok()?;
    Some(received)
}

/// Calls `serve` with every connection and its number, one after the other, and
/// gives the address and what `serve` returned.
pub(crate) fn listen<T: Send + 'static>(
    mut serve: impl FnMut(TcpStream, usize) -> T + Send + 'static,
) -> (String, Receiver<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (sender, results) = channel();
    thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            if sender.send(serve(stream.unwrap(), number)).is_err() {
                break;
            }
        }
    });
    (address, results)
}

/// Answers one request on every connection with `answer`, then closes it.
pub(crate) fn answering(answer: impl AsRef<[u8]> + Send + 'static) -> (String, Receiver<Received>) {
    listen(move |mut stream, _| {
        let request = read_request(&mut stream).unwrap();
        // A client that has read enough may be gone already.
        let _ = stream.write_all(answer.as_ref());
        request
    })
}

/// A port on which nothing listens.
pub(crate) fn closed_port() -> String {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string()
}
