//! Server-sent events: what the scripted server writes, and a strict reader for tests.
//!
//! The format is the WHATWG HTML standard's, section "Server-sent events".

use serde_json::Value;

/// One server-sent event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The `event:` line, which the chat wire does not send.
    pub name: Option<String>,
    /// The `data:` lines, joined with line feeds.
    pub data: String,
}

impl Event {
    /// An event named by the `type` of its data, as the Responses and Messages wires send it.
    pub(crate) fn typed(data: &Value) -> Self {
        Self {
            name: data["type"].as_str().map(str::to_owned),
            data: data.to_string(),
        }
    }

    /// An event without a name, as the chat wire sends it.
    pub(crate) fn unnamed(data: impl Into<String>) -> Self {
        Self {
            name: None,
            data: data.into(),
        }
    }

    /// The event as it goes over the wire, with the empty line that ends it.
    pub fn render(&self) -> Vec<u8> {
        let mut text = String::new();
        if let Some(name) = &self.name {
            text.push_str("event: ");
            text.push_str(name);
            text.push('\n');
        }
        for line in self.data.split('\n') {
            text.push_str("data: ");
            text.push_str(line);
            text.push('\n');
        }
        text.push('\n');
        text.into_bytes()
    }

    /// The data as JSON.
    ///
    /// # Panics
    /// When it is not JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        match serde_json::from_str(&self.data) {
            Ok(value) => value,
            Err(error) => panic!(
                "the data of this event is not JSON ({error}): {}",
                self.data
            ),
        }
    }
}

/// The whole events in `text`; an event that no empty line ends is left out, as the standard says.
///
/// # Panics
/// On any line that is neither `event:`, `data:`, a comment nor empty: this reader is there to
/// find what a lenient one would forgive.
#[track_caller]
pub fn parse(text: &str) -> Vec<Event> {
    let mut events = Vec::new();
    let mut name = None;
    let mut data: Vec<&str> = Vec::new();
    // What follows the last line feed is an unfinished line.
    let complete = text.rfind('\n').map_or("", |end| &text[..end]);
    for line in complete.split('\n') {
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.is_empty() {
            if !data.is_empty() {
                events.push(Event {
                    name: name.take(),
                    data: data.join("\n"),
                });
            }
            name = None;
            data.clear();
        } else if let Some(value) = line.strip_prefix("event:") {
            name = Some(value.strip_prefix(' ').unwrap_or(value).to_owned());
        } else if let Some(value) = line.strip_prefix("data:") {
            data.push(value.strip_prefix(' ').unwrap_or(value));
        } else if !line.starts_with(':') {
            panic!("not a line of an event stream: {line:?}");
        }
    }
    events
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn render_and_parse_agree_also_on_data_of_several_lines() {
        let event = Event {
            name: Some("greeting".to_owned()),
            data: "one\n\ntwo".to_owned(),
        };
        let text = String::from_utf8(event.render()).unwrap();
        assert_eq!(text, "event: greeting\ndata: one\ndata: \ndata: two\n\n");
        assert_eq!(parse(&text), vec![event]);
    }

    #[test]
    fn an_unfinished_event_is_left_out() {
        let events = parse(": hello\ndata: 1\n\ndata: 2\n");
        assert_eq!(events, vec![Event::unnamed("1")]);
        assert_eq!(parse("data: 1"), vec![]);
    }

    #[test]
    #[should_panic(expected = "not a line of an event stream")]
    fn foreign_lines_are_not_forgiven() {
        parse("HTTP/1.1 200 OK\n\n");
    }
}
