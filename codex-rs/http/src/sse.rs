//! Server-sent events, parsed as they arrive (WHATWG HTML, section 9.2.6,
//! "Interpreting an event stream").

use std::time::Duration;

/// The bytes that one event may take unless the caller says otherwise. A model's
/// final event repeats the whole response, encrypted reasoning included, which
/// runs to megabytes.
pub const DEFAULT_EVENT_LIMIT: usize = 16 * 1024 * 1024;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SseEvent {
    /// Its type; `message` when the stream names none.
    pub event: String,
    /// Its data; several `data` lines are joined by line feeds.
    pub data: String,
    /// The last event id the stream set, on this event or an earlier one; empty
    /// when it set none.
    pub id: String,
}

/// A stream that can't be read further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SseError {
    /// One event is larger than the parser's limit.
    #[error("an event of the stream is larger than {limit} bytes; the stream can't be read on")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
}

/// The state between two pieces of a stream.
///
/// What stands at the end of the stream without a blank line behind it is not an
/// event, as the specification wants: it may have been cut.
#[derive(Debug)]
pub struct SseParser {
    limit: usize,
    /// The line that has begun and not ended.
    line: Vec<u8>,
    /// No line has ended yet, so the next one may begin with a byte order mark.
    at_start: bool,
    /// The last byte was a CR, so an LF now belongs to the same line end.
    after_cr: bool,
    event: String,
    /// Every `data` line with a line feed behind it: empty means no data line.
    data: String,
    id: String,
    retry: Option<Duration>,
    failed: bool,
}

impl Default for SseParser {
    fn default() -> Self {
        Self::new(DEFAULT_EVENT_LIMIT)
    }
}

impl SseParser {
    /// A parser that allows `limit` bytes for one event, its field names and a
    /// comment between events included.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            line: Vec::new(),
            at_start: true,
            after_cr: false,
            event: String::new(),
            data: String::new(),
            id: String::new(),
            retry: None,
            failed: false,
        }
    }

    /// Takes the next bytes of the stream, split anywhere, and appends the
    /// events that they complete to `events`. Invalid UTF-8 becomes U+FFFD.
    ///
    /// # Errors
    /// [`SseError::TooLarge`], now and on every later call. What was appended
    /// before stands.
    pub fn push(&mut self, bytes: &[u8], events: &mut Vec<SseEvent>) -> Result<(), SseError> {
        if self.failed {
            return Err(SseError::TooLarge { limit: self.limit });
        }
        let result = self.parse(bytes, events);
        if result.is_err() {
            self.failed = true;
            self.line = Vec::new();
            self.data = String::new();
        }
        result
    }

    /// The reconnection time that the stream asked for last.
    pub fn retry(&self) -> Option<Duration> {
        self.retry
    }

    fn parse(&mut self, mut bytes: &[u8], events: &mut Vec<SseEvent>) -> Result<(), SseError> {
        if let Some((first, rest)) = bytes.split_first() {
            if self.after_cr && *first == b'\n' {
                bytes = rest;
            }
            self.after_cr = false;
        }
        while let Some(end) = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            let (head, tail) = bytes.split_at(end);
            self.check_size(self.line.len() + head.len())?;
            if self.line.is_empty() {
                self.end_line(head, events)?;
            } else {
                let mut line = std::mem::take(&mut self.line);
                line.extend_from_slice(head);
                self.end_line(&line, events)?;
            }
            bytes = match tail {
                [b'\r', b'\n', rest @ ..] => rest,
                [b'\r'] => {
                    self.after_cr = true;
                    &[]
                }
                [_, rest @ ..] => rest,
                [] => &[],
            };
        }
        self.check_size(self.line.len() + bytes.len())?;
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn check_size(&self, line: usize) -> Result<(), SseError> {
        let size = line
            .saturating_add(self.data.len())
            .saturating_add(self.event.len());
        if size > self.limit {
            Err(SseError::TooLarge { limit: self.limit })
        } else {
            Ok(())
        }
    }

    fn end_line(&mut self, line: &[u8], events: &mut Vec<SseEvent>) -> Result<(), SseError> {
        let line = match line.strip_prefix(BYTE_ORDER_MARK) {
            Some(rest) if self.at_start => rest,
            _ => line,
        };
        self.at_start = false;
        if line.is_empty() {
            self.dispatch(events);
            return Ok(());
        }
        let (name, value) = match line.iter().position(|byte| *byte == b':') {
            // A comment; it keeps the connection alive and says nothing.
            Some(0) => return Ok(()),
            Some(colon) => {
                let value = &line[colon + 1..];
                (&line[..colon], value.strip_prefix(b" ").unwrap_or(value))
            }
            None => (line, &line[line.len()..]),
        };
        // A line end is ASCII, so it can't stand inside a character: decoding
        // line by line gives what decoding the whole stream would.
        let value = String::from_utf8_lossy(value);
        match name {
            b"data" => {
                self.data.push_str(&value);
                self.data.push('\n');
            }
            b"event" => self.event = value.into_owned(),
            b"id" if !value.contains('\0') => self.id = value.into_owned(),
            b"retry" => self.retry = milliseconds(&value).or(self.retry),
            _ => {}
        }
        // A replaced byte takes three, so the size can exceed the line's.
        self.check_size(0)
    }

    fn dispatch(&mut self, events: &mut Vec<SseEvent>) {
        let mut data = std::mem::take(&mut self.data);
        let mut event = std::mem::take(&mut self.event);
        if data.pop().is_none() {
            return;
        }
        if event.is_empty() {
            event.push_str("message");
        }
        events.push(SseEvent {
            event,
            data,
            id: self.id.clone(),
        });
    }
}

fn milliseconds(value: &str) -> Option<Duration> {
    let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    if digits {
        value.parse().ok().map(Duration::from_millis)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(pieces: &[&[u8]], limit: usize) -> (Vec<SseEvent>, Result<(), SseError>) {
        let mut parser = SseParser::new(limit);
        let mut events = Vec::new();
        let mut result = Ok(());
        for piece in pieces {
            result = parser.push(piece, &mut events);
        }
        (events, result)
    }

    /// Every event as `type|data|id`, whether the stream comes whole or byte by byte.
    fn check(stream: impl AsRef<[u8]>, expect: &[&str]) {
        let stream = stream.as_ref();
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        for pieces in [&[stream][..], &bytes] {
            let (events, result) = parse(pieces, 1000);
            result.unwrap();
            let shown: Vec<String> = events
                .iter()
                .map(|e| format!("{}|{}|{}", e.event, e.data, e.id))
                .collect();
            assert_eq!(shown, expect, "{:?}", String::from_utf8_lossy(stream));
        }
    }

    #[test]
    fn streams() {
        check("", &[]);
        check("data: a\n\n", &["message|a|"]);
        check("data:a\n\n", &["message|a|"]);
        check("data:  a\n\n", &["message| a|"]);
        check("event: x\ndata: a\n\n", &["x|a|"]);
        check("data: a\ndata: b\n\n", &["message|a\nb|"]);
        check("data\n\ndata\ndata\n\n", &["message||", "message|\n|"]);
        check("data:\n\n", &["message||"]);
        check("event: x\n\ndata: a\n\n", &["message|a|"]);
        check("event: x\ndata: a\n\ndata: b\n\n", &["x|a|", "message|b|"]);
        check("event: x\nevent\ndata: a\n\n", &["message|a|"]);
        check(": hello\ndata: a\n:\n\n", &["message|a|"]);
        check("data: a:b: c\n\n", &["message|a:b: c|"]);
        check(" data: a\n\nDATA: a\n\nother: a\n\n", &[]);
    }

    #[test]
    fn line_ends() {
        check("data: a\r\rdata: b\r\r", &["message|a|", "message|b|"]);
        check(
            "data: a\r\n\r\ndata: b\r\n\r\n",
            &["message|a|", "message|b|"],
        );
        check("data: a\n\rdata: b\r\n\n", &["message|a|", "message|b|"]);
        check("data: a\rdata: b\n\r\n", &["message|a\nb|"]);
        check("data: a\u{2028}b\n\n", &["message|a\u{2028}b|"]);
    }

    #[test]
    fn an_unfinished_event_is_not_dispatched() {
        check("data: a\n\ndata: b\n", &["message|a|"]);
        check("data: a\n\ndata: b", &["message|a|"]);
    }

    #[test]
    fn ids() {
        check(
            "id: 1\ndata: a\n\ndata: b\n\nid\ndata: c\n\n",
            &["message|a|1", "message|b|1", "message|c|"],
        );
        check("id: 1\n\ndata: a\n\n", &["message|a|1"]);
        check("id: 1\nid: 2\0\ndata: a\n\n", &["message|a|1"]);
    }

    #[test]
    fn byte_order_mark_at_the_start_only() {
        check("\u{FEFF}data: a\n\n", &["message|a|"]);
        check("\u{FEFF}\u{FEFF}data: a\n\n", &[]);
        check("data: a\n\n\u{FEFF}data: b\n\n", &["message|a|"]);
        check("\n\u{FEFF}data: b\n\n", &[]);
    }

    #[test]
    fn invalid_utf8_is_replaced() {
        check(
            b"data: a\xFFb\xE2\x82\n\ndata: \xF0\x9F\x98\x80\n\n",
            &["message|a\u{FFFD}b\u{FFFD}|", "message|😀|"],
        );
    }

    #[test]
    fn retry_takes_digits_only() {
        for (line, expect) in [
            ("retry: 250\n", Some(250)),
            ("retry: 250\nretry: x\n", Some(250)),
            ("retry: -1\n", None),
            ("retry: 1.5\n", None),
            ("retry\n", None),
            ("retry: 99999999999999999999999\n", None),
        ] {
            let mut parser = SseParser::default();
            parser.push(line.as_bytes(), &mut Vec::new()).unwrap();
            assert_eq!(
                parser.retry(),
                expect.map(Duration::from_millis),
                "{line:?}"
            );
        }
    }

    #[test]
    fn too_large_is_an_error_that_stays() {
        let limit = 20;
        let too_large = Err(SseError::TooLarge { limit });
        for (stream, expect) in [
            ("data: 12345678901234\n\n", Ok(())),
            ("data: 123456789012345\n\n", too_large),
            ("data: 12345678901234567890", too_large),
            ("data: 1234567\ndata: 1234567\n\n", too_large),
            (": a comment that is too long\n", too_large),
            ("event: 1234567\ndata: 12345678\n", too_large),
            ("data: 1\n\ndata: 2\n\ndata: 3\n\ndata: 4\n\n", Ok(())),
        ] {
            assert_eq!(parse(&[stream.as_bytes()], limit).1, expect, "{stream}");
        }
        assert_eq!(
            parse(&[b"data: \xFF\xFF\xFF\xFF\xFF\xFF\xFF\n"], limit).1,
            too_large
        );
        let (events, result) = parse(
            &[
                b"data: a\n\ndata: 123456789012345678901",
                b"\n\ndata: b\n\n",
            ],
            limit,
        );
        assert_eq!((events.len(), result), (1, too_large));
    }

    /// The specification's own words, over a whole stream that is within limits.
    fn reference(stream: &[u8]) -> Vec<SseEvent> {
        let text = String::from_utf8_lossy(stream);
        let text = text.strip_prefix('\u{FEFF}').unwrap_or(&text);
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        let mut lines: Vec<&str> = text.split('\n').collect();
        lines.pop();
        let (mut events, mut id) = (Vec::new(), String::new());
        let (mut event, mut data) = (String::new(), Vec::new());
        for line in lines {
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match name {
                "" if line.is_empty() => {
                    if !data.is_empty() {
                        let event = if event.is_empty() {
                            "message".into()
                        } else {
                            event.clone()
                        };
                        events.push(SseEvent {
                            event,
                            data: data.join("\n"),
                            id: id.clone(),
                        });
                    }
                    event.clear();
                    data.clear();
                }
                "data" => data.push(value.to_owned()),
                "event" => event = value.to_owned(),
                "id" if !value.contains('\0') => id = value.to_owned(),
                _ => {}
            }
        }
        events
    }

    /// Streams made of the pieces that matter, so that events are common.
    fn stream() -> impl Strategy<Value = Vec<u8>> {
        let pieces: Vec<&'static [u8]> = vec![
            b"data:",
            b"data: ",
            b"data",
            b"event: e",
            b"id: 1",
            b"id",
            b"retry: 5",
            b":",
            b" ",
            b"\n",
            b"\n\n",
            b"\r",
            b"\r\n",
            b"\r\r",
            b"\0",
            b"x",
            b"\xEF\xBB\xBF",
            b"\xEF",
            b"\xFF",
            "é😀".as_bytes(),
            b"\xF0\x9F",
        ];
        prop::collection::vec(prop::sample::select(pieces), 0..60).prop_map(|list| list.concat())
    }

    fn split<'a>(stream: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
        let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        places.extend([0, stream.len()]);
        places.sort_unstable();
        places
            .windows(2)
            .map(|pair| &stream[pair[0]..pair[1]])
            .collect()
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same(
            stream in stream(),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
            limit in 8usize..200,
        ) {
            let whole = parse(&[&stream], limit);
            prop_assert_eq!(parse(&split(&stream, &cuts), limit), whole);
        }

        #[test]
        fn agrees_with_the_specification(stream in stream()) {
            let (events, result) = parse(&[&stream], DEFAULT_EVENT_LIMIT);
            prop_assert_eq!(result, Ok(()));
            prop_assert_eq!(events, reference(&stream));
        }

        #[test]
        fn random_bytes_never_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let whole = parse(&[&bytes], 64);
            prop_assert_eq!(parse(&split(&bytes, &cuts), 64), whole);
        }
    }
}
