//! The three streaming wires: what each provider's server sends for the same items.

mod chat;
mod messages;
mod responses;

use serde_json::Value;

use crate::item::{Item, Kind, Usage};
use crate::sse::Event;

/// When every scripted reply was made, in Unix seconds: fixed, so that runs are alike.
const CREATED: u64 = 1_760_000_000;

/// Which provider's streaming API a reply is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    Responses,
    Chat,
    Messages,
}

impl Wire {
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Responses => "/v1/responses",
            Self::Chat => "/v1/chat/completions",
            Self::Messages => "/v1/messages",
        }
    }

    /// The header in which this provider sends the request's id.
    pub(crate) fn request_id_header(self) -> &'static str {
        match self {
            Self::Responses | Self::Chat => "x-request-id",
            Self::Messages => "request-id",
        }
    }

    /// Why this wire cannot carry `item`.
    pub(crate) fn lacks(self, item: &Item) -> Option<&'static str> {
        match (self, &item.kind) {
            (Self::Chat | Self::Messages, Kind::CustomToolCall { .. }) => {
                Some("only the Responses wire has custom tool calls")
            }
            (Self::Chat, Kind::Other(_)) => Some("the chat wire has no items"),
            _ => None,
        }
    }
}

/// How a stream ends.
#[derive(Debug, Clone)]
pub(crate) enum Ending {
    Complete,
    OutOfTokens,
    Failed { code: String, message: String },
}

/// All that decides a stream's events.
pub(crate) struct Stream<'a> {
    pub(crate) items: &'a [Item],
    pub(crate) usage: Usage,
    pub(crate) ending: &'a Ending,
    /// The request's body: a stream repeats its model, and options in it decide what is sent.
    pub(crate) request: &'a Value,
    /// The reply's index in the script; ids are made from it.
    pub(crate) turn: usize,
}

impl Stream<'_> {
    pub(crate) fn events(&self, wire: Wire) -> Vec<Event> {
        match wire {
            Wire::Responses => responses::events(self),
            Wire::Chat => chat::events(self),
            Wire::Messages => messages::events(self),
        }
    }

    fn model(&self) -> &str {
        self.request["model"].as_str().unwrap_or("scripted")
    }

    /// An id that is the same in every run and differs within one.
    fn id(&self, prefix: &str, index: usize) -> String {
        format!("{prefix}{:08x}{index:08x}", self.turn)
    }

    fn calls_a_tool(&self) -> bool {
        self.items.iter().any(|item| {
            matches!(
                item.kind,
                Kind::FunctionCall { .. } | Kind::CustomToolCall { .. }
            )
        })
    }
}
