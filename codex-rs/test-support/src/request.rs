//! Reading an HTTP/1.1 request, and what is kept of it.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use serde_json::Value;

use crate::crowd::Fault;

/// Longest request line and headers together, in bytes: far above what any client here sends.
const HEAD_LIMIT: usize = 64 * 1024;
/// Longest request body, in bytes: above a conversation with a few images.
const BODY_LIMIT: usize = 64 * 1024 * 1024;

/// What the server did with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answered {
    /// It got the reply with this index in the script, its agent's own if each has one, counted
    /// from 0.
    Script(usize),
    /// It asked for the list of models.
    Models,
    /// It came when every reply had been given; it got status 500.
    BeyondScript,
    /// A fault came instead of its reply, which stays for the next request.
    Fault(Fault),
    /// It does not fit the next reply, which stays for the next request; it got a status of the
    /// 400 range with this text.
    Refused(String),
}

/// A request as the server received it.
#[derive(Debug, Clone)]
pub struct Received {
    /// `GET`, `POST`, …
    pub method: String,
    /// The path without the query, such as `/v1/responses`.
    pub path: String,
    /// What follows the `?`, else empty.
    pub query: String,
    /// Headers by lower-case name; repeated ones joined with `, `.
    pub headers: BTreeMap<String, String>,
    /// The body as JSON; `Null` when it is empty or not JSON.
    pub body: Value,
    /// The body as it came.
    pub bytes: Vec<u8>,
    /// The agent whose request it is, where each has its own script.
    pub agent: Option<String>,
    /// What the server did with it.
    pub answered: Answered,
}

impl Received {
    /// A header's value by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// Why there is no next request on a connection.
pub(crate) enum NoRequest {
    /// The client closed it, or was silent until the time-out.
    Closed,
    /// What came is not a request this server understands.
    Malformed(String),
}

impl From<io::Error> for NoRequest {
    fn from(_: io::Error) -> Self {
        Self::Closed
    }
}

/// The next request on a connection.
pub(crate) fn read(reader: &mut BufReader<TcpStream>) -> Result<Received, NoRequest> {
    let mut left = HEAD_LIMIT;
    let request_line = read_line(reader, &mut left)?;
    let mut words = request_line.split(' ');
    let (Some(method), Some(target), Some("HTTP/1.1"), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(NoRequest::Malformed(format!(
            "not an HTTP/1.1 request line: {request_line:?}"
        )));
    };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));

    let mut headers: BTreeMap<String, String> = BTreeMap::new();
    loop {
        let line = read_line(reader, &mut left)?;
        if line.is_empty() {
            break;
        }
        let Some((name, value)) = line.split_once(':') else {
            return Err(NoRequest::Malformed(format!("not a header: {line:?}")));
        };
        let value = value.trim();
        headers
            .entry(name.to_ascii_lowercase())
            .and_modify(|all| {
                all.push_str(", ");
                all.push_str(value);
            })
            .or_insert_with(|| value.to_owned());
    }

    if headers
        .get("expect")
        .is_some_and(|value| value.eq_ignore_ascii_case("100-continue"))
    {
        reader
            .get_mut()
            .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let bytes = read_body(reader, &headers)?;
    Ok(Received {
        method: method.to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        headers,
        body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        bytes,
        agent: None,
        answered: Answered::BeyondScript,
    })
}

fn read_body(
    reader: &mut BufReader<TcpStream>,
    headers: &BTreeMap<String, String>,
) -> Result<Vec<u8>, NoRequest> {
    let mut body = Vec::new();
    if headers
        .get("transfer-encoding")
        .is_some_and(|value| value.eq_ignore_ascii_case("chunked"))
    {
        let mut head_left = HEAD_LIMIT;
        loop {
            let line = read_line(reader, &mut head_left)?;
            let digits = line.split(';').next().unwrap_or_default().trim();
            let Ok(size) = usize::from_str_radix(digits, 16) else {
                return Err(NoRequest::Malformed(format!("not a chunk size: {line:?}")));
            };
            if size == 0 {
                while !read_line(reader, &mut head_left)?.is_empty() {}
                return Ok(body);
            }
            read_exactly(reader, size, &mut body)?;
            // The size lines are not part of the head, whose limit they only borrow.
            head_left = HEAD_LIMIT;
            read_line(reader, &mut head_left)?;
        }
    }
    if let Some(value) = headers.get("content-length") {
        let Ok(size) = value.parse::<usize>() else {
            return Err(NoRequest::Malformed(format!(
                "not a content length: {value:?}"
            )));
        };
        read_exactly(reader, size, &mut body)?;
    }
    Ok(body)
}

fn read_exactly(
    reader: &mut BufReader<TcpStream>,
    size: usize,
    body: &mut Vec<u8>,
) -> Result<(), NoRequest> {
    if size > BODY_LIMIT.saturating_sub(body.len()) {
        return Err(NoRequest::Malformed(format!(
            "the body is longer than {BODY_LIMIT} bytes"
        )));
    }
    let read = reader.take(size as u64).read_to_end(body)?;
    if read < size {
        return Err(NoRequest::Closed);
    }
    Ok(())
}

/// A line without its end; `left` is what the head may still take, in bytes.
fn read_line(reader: &mut BufReader<TcpStream>, left: &mut usize) -> Result<String, NoRequest> {
    let mut line = Vec::new();
    let read = reader.take(*left as u64).read_until(b'\n', &mut line)?;
    *left -= read;
    if line.pop() != Some(b'\n') {
        return Err(if *left == 0 {
            NoRequest::Malformed(format!("the head is longer than {HEAD_LIMIT} bytes"))
        } else {
            NoRequest::Closed
        });
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(String::from_utf8_lossy(&line).into_owned())
}
