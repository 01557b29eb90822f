//! What the server answers: a reply, its faults, and the bytes it comes to.

use std::time::Duration;

use serde_json::{Value, json};

use crate::item::{Item, Usage};
use crate::request::Received;
use crate::sse::Event;
use crate::wire::{Ending, Stream, Wire};

/// One answer of the script.
///
/// Made by a constructor that says what it holds, then changed by builder methods that say what
/// goes wrong with it. A *frame* below is what the builder methods count: one event of a stream
/// (an inserted one included), or the whole of any other body.
#[derive(Debug, Clone)]
pub struct Reply {
    body: Body,
    status: u16,
    headers: Vec<(String, String)>,
    usage: Usage,
    ending: Ending,
    insertions: Vec<(usize, Vec<u8>)>,
    cut: Option<Cut>,
    stall: Option<(usize, Duration)>,
    piece: Option<usize>,
    delay: Duration,
}

#[derive(Debug, Clone)]
enum Body {
    Stream(Wire, Vec<Item>),
    Text(&'static str, String),
    /// An error in the shape of the wire that the request asks for.
    Error {
        kind: String,
        message: String,
    },
    /// Instead of an HTTP response.
    Raw(Vec<u8>),
}

#[derive(Debug, Clone, Copy)]
enum Cut {
    AfterFrames(usize),
    AfterBytes(usize),
    /// The body ends as HTTP wants it, only too early.
    EndAfterFrames(usize),
}

/// One thing to do to the connection, in order.
#[derive(Debug, PartialEq)]
pub(crate) enum Step {
    Write(Vec<u8>),
    Pause(Duration),
}

/// A reply made ready for one request.
#[derive(Debug)]
pub(crate) struct Transmission {
    pub(crate) steps: Vec<Step>,
    /// Longest single write to the socket, in bytes.
    pub(crate) piece: usize,
    /// Whether the connection can carry another request afterwards.
    pub(crate) keep_alive: bool,
}

impl Reply {
    /// A stream of the OpenAI Responses API, for `POST /v1/responses` with `stream: true`.
    pub fn responses(items: Vec<Item>) -> Self {
        Self::stream(Wire::Responses, items)
    }

    /// A stream of the chat completions API, for `POST /v1/chat/completions` with `stream: true`.
    /// The counts come only if the request asks for them with `stream_options.include_usage`, as
    /// with the real servers.
    ///
    /// # Panics
    /// On an item that this wire does not have.
    #[track_caller]
    pub fn chat(items: Vec<Item>) -> Self {
        Self::stream(Wire::Chat, items)
    }

    /// A stream of the Anthropic Messages API, for `POST /v1/messages` with `stream: true`.
    ///
    /// # Panics
    /// On an item that this wire does not have.
    #[track_caller]
    pub fn messages(items: Vec<Item>) -> Self {
        Self::stream(Wire::Messages, items)
    }

    /// A plain text with this status, for any request.
    pub fn text(status: u16, text: impl Into<String>) -> Self {
        Self::of(status, Body::Text("text/plain; charset=utf-8", text.into()))
    }

    /// An error document in the shape of the API that the request asks for: `kind` is its
    /// `error.type`, such as `rate_limit_error`.
    pub fn error_json(status: u16, kind: impl Into<String>, message: impl Into<String>) -> Self {
        Self::of(
            status,
            Body::Error {
                kind: kind.into(),
                message: message.into(),
            },
        )
    }

    /// The error page of a gateway that knows nothing of the API behind it.
    pub fn html(status: u16) -> Self {
        let reason = reason(status);
        let page = format!(
            "<html>\r\n<head><title>{status} {reason}</title></head>\r\n<body>\r\n\
             <center><h1>{status} {reason}</h1></center>\r\n<hr><center>nginx</center>\r\n\
             </body>\r\n</html>\r\n"
        );
        Self::of(status, Body::Text("text/html", page))
    }

    /// These bytes instead of an HTTP response; then the connection is closed.
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self::of(0, Body::Raw(bytes.into()))
    }

    #[track_caller]
    fn stream(wire: Wire, items: Vec<Item>) -> Self {
        for item in &items {
            if let Some(why) = wire.lacks(item) {
                panic!("{why}: {item:?} cannot be sent on {}", wire.path());
            }
        }
        Self::of(200, Body::Stream(wire, items))
    }

    fn of(status: u16, body: Body) -> Self {
        Self {
            body,
            status,
            headers: Vec::new(),
            usage: Usage::default(),
            ending: Ending::Complete,
            insertions: Vec::new(),
            cut: None,
            stall: None,
            piece: None,
            delay: Duration::ZERO,
        }
    }

    /// Another HTTP status.
    pub fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// A header more, or another value for one that the server sends anyway.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Another body: this text, with its length declared.
    pub fn body(mut self, text: impl Into<String>) -> Self {
        self.body = Body::Text("text/plain; charset=utf-8", text.into());
        self
    }

    /// The token counts that a stream reports at its end.
    pub fn usage(mut self, usage: Usage) -> Self {
        self.usage = usage;
        self
    }

    /// The stream ends because the model ran out of output tokens: `response.incomplete`,
    /// `finish_reason: "length"` or `stop_reason: "max_tokens"`.
    pub fn out_of_tokens(mut self) -> Self {
        self.ending = Ending::OutOfTokens;
        self
    }

    /// After its items the stream ends with the wire's own error event.
    pub fn fails(mut self, code: impl Into<String>, message: impl Into<String>) -> Self {
        self.ending = Ending::Failed {
            code: code.into(),
            message: message.into(),
        };
        self
    }

    /// Puts an event before frame `at` (or last), as if the provider had invented it since.
    /// An empty `name` leaves the `event:` line out.
    pub fn insert_event(self, at: usize, name: &str, data: &Value) -> Self {
        let event = Event {
            name: (!name.is_empty()).then(|| name.to_owned()),
            data: data.to_string(),
        };
        self.insert_bytes(at, event.render())
    }

    /// Puts any bytes before frame `at` (or last): a comment, an event that is not JSON, garbage.
    /// They count as a frame for what is inserted, cut or stalled later.
    pub fn insert_bytes(mut self, at: usize, bytes: impl Into<Vec<u8>>) -> Self {
        self.insertions.push((at, bytes.into()));
        self
    }

    /// Closes the connection after `frames` whole frames, so that the body is visibly unfinished.
    /// With 0 only the head is sent.
    pub fn cut_after(mut self, frames: usize) -> Self {
        self.cut = Some(Cut::AfterFrames(frames));
        self
    }

    /// Closes the connection after `bytes` bytes of the body, wherever that is.
    pub fn cut_after_bytes(mut self, bytes: usize) -> Self {
        self.cut = Some(Cut::AfterBytes(bytes));
        self
    }

    /// Ends the body after `frames` frames in the way HTTP wants: only the missing last event
    /// tells that the stream is not whole.
    pub fn end_after(mut self, frames: usize) -> Self {
        self.cut = Some(Cut::EndAfterFrames(frames));
        self
    }

    /// Waits for `pause` after `frames` frames (0: after the head), then goes on.
    pub fn stall_after(mut self, frames: usize, pause: Duration) -> Self {
        self.stall = Some((frames, pause));
        self
    }

    /// Writes in pieces of `size` bytes, each flushed and each an HTTP chunk of its own, so that
    /// events and characters are split.
    ///
    /// # Panics
    /// When `size` is 0.
    #[track_caller]
    pub fn chunk_size(mut self, size: usize) -> Self {
        assert!(size > 0, "a chunk has one byte at least");
        self.piece = Some(size);
        self
    }

    /// Waits before the head is sent.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Why this reply is none to `request`.
    pub(crate) fn refuses(&self, request: &Received) -> Option<(u16, String)> {
        let Body::Stream(wire, _) = &self.body else {
            return None;
        };
        let refusal = |status, why: String| Some((status, why));
        if request.path != wire.path() {
            return refusal(
                404,
                format!(
                    "the next reply of the script is one to POST {}, not to {} {}",
                    wire.path(),
                    request.method,
                    request.path
                ),
            );
        }
        if request.method != "POST" {
            return refusal(405, format!("{} takes POST only", wire.path()));
        }
        if request.body.is_null() {
            return refusal(400, "the body is not JSON".to_owned());
        }
        if request.body["stream"] != json!(true) {
            return refusal(
                400,
                "the script's replies are streams, and this request does not say `stream: true`"
                    .to_owned(),
            );
        }
        None
    }

    /// The reply to `request`; `turn` is its index in the script.
    pub(crate) fn transmission(&self, request: &Received, turn: usize) -> Transmission {
        let mut steps = Vec::new();
        if !self.delay.is_zero() {
            steps.push(Step::Pause(self.delay));
        }

        let (content_type, mut frames) = match &self.body {
            Body::Raw(bytes) => {
                steps.push(Step::Write(bytes.clone()));
                return Transmission {
                    steps,
                    piece: self.piece.unwrap_or(usize::MAX),
                    keep_alive: false,
                };
            }
            Body::Text(content_type, text) => (*content_type, vec![text.clone().into_bytes()]),
            Body::Error { kind, message } => (
                "application/json",
                vec![error_document(&request.path, kind, message).into_bytes()],
            ),
            Body::Stream(wire, items) => {
                let stream = Stream {
                    items,
                    usage: self.usage,
                    ending: &self.ending,
                    request: &request.body,
                    turn,
                };
                let events = stream.events(*wire);
                (
                    "text/event-stream; charset=utf-8",
                    events.iter().map(Event::render).collect(),
                )
            }
        };
        for (at, bytes) in &self.insertions {
            frames.insert((*at).min(frames.len()), bytes.clone());
        }

        // A stream's length is not known beforehand; any other body's is, and is declared.
        let chunked = matches!(self.body, Body::Stream(..));
        let length: usize = frames.iter().map(Vec::len).sum();
        let close_asked = request
            .header("connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"));
        let keep_alive = self.cut.is_none() && !close_asked;
        steps.push(Step::Write(self.head(
            content_type,
            (!chunked).then_some(length),
            turn,
            close_asked,
        )));

        let whole = self.shorten(&mut frames);
        let stall = self
            .stall
            .map(|(after, pause)| (after.min(frames.len()), pause));
        let (before, after) = frames.split_at(stall.map_or(frames.len(), |(after, _)| after));
        self.push_body(&mut steps, before, chunked);
        if let Some((_, pause)) = stall {
            steps.push(Step::Pause(pause));
            self.push_body(&mut steps, after, chunked);
        }
        if chunked && whole {
            steps.push(Step::Write(b"0\r\n\r\n".to_vec()));
        }
        Transmission {
            steps,
            piece: self.piece.unwrap_or(usize::MAX),
            keep_alive,
        }
    }

    /// Takes away what a cut withholds; whether HTTP still gets its end.
    fn shorten(&self, frames: &mut Vec<Vec<u8>>) -> bool {
        match self.cut {
            None => true,
            Some(Cut::EndAfterFrames(count)) => {
                frames.truncate(count);
                true
            }
            Some(Cut::AfterFrames(count)) => {
                frames.truncate(count);
                false
            }
            Some(Cut::AfterBytes(count)) => {
                let mut left = count;
                frames.retain_mut(|frame| {
                    frame.truncate(left);
                    left -= frame.len();
                    !frame.is_empty()
                });
                false
            }
        }
    }

    fn push_body(&self, steps: &mut Vec<Step>, frames: &[Vec<u8>], chunked: bool) {
        let mut push = |bytes: &[u8]| {
            steps.push(Step::Write(if chunked {
                let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
                chunk.extend_from_slice(bytes);
                chunk.extend_from_slice(b"\r\n");
                chunk
            } else {
                bytes.to_vec()
            }));
        };
        match self.piece {
            // Pieces run across frames: an event's end and the next one's start come together.
            Some(size) => frames.concat().chunks(size).for_each(push),
            None => frames
                .iter()
                .filter(|frame| !frame.is_empty())
                .for_each(|frame| push(frame)),
        }
    }

    fn head(
        &self,
        content_type: &str,
        length: Option<usize>,
        turn: usize,
        close_asked: bool,
    ) -> Vec<u8> {
        let mut headers: Vec<(&str, String)> = vec![
            ("content-type", content_type.to_owned()),
            ("cache-control", "no-cache".to_owned()),
        ];
        if let Body::Stream(wire, _) = &self.body {
            headers.push((wire.request_id_header(), format!("req_{turn:08x}")));
        }
        headers.push(match length {
            Some(length) => ("content-length", length.to_string()),
            None => ("transfer-encoding", "chunked".to_owned()),
        });
        if close_asked {
            headers.push(("connection", "close".to_owned()));
        }
        headers.retain(|(name, _)| {
            !self
                .headers
                .iter()
                .any(|(own, _)| own.eq_ignore_ascii_case(name))
        });
        let mut head = format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        let own = self
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value));
        let all = headers.iter().map(|(name, value)| (*name, value));
        for (name, value) in all.chain(own) {
            head.push_str(name);
            head.push_str(": ");
            head.push_str(value);
            head.push_str("\r\n");
        }
        head.push_str("\r\n");
        head.into_bytes()
    }
}

fn error_document(path: &str, kind: &str, message: &str) -> String {
    if path == Wire::Messages.path() {
        json!({ "type": "error", "error": { "type": kind, "message": message } })
    } else {
        json!({ "error": { "message": message, "type": kind, "param": null, "code": null } })
    }
    .to_string()
}

/// The reason phrase of a status (RFC 9110, section 15; 429 and 529 from RFC 6585 and Anthropic's
/// API).
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        529 => "Overloaded",
        _ => "Scripted",
    }
}
