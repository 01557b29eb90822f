//! Messages between agents.

use codex_protocol::model::Content;

use crate::mailbox::Mailbox;
use crate::path::AgentPath;
use crate::report::bounded;

/// The longest message, in bytes; the rest is left out and counted. With 32 in a mailbox, that is
/// half a megabyte for each agent at most.
pub const LONGEST: usize = 16 << 10;

/// What one agent says to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    from: AgentPath,
    text: String,
}

impl Message {
    /// `text`, cut to size.
    #[must_use]
    pub fn new(from: AgentPath, text: &str) -> Self {
        Self {
            from,
            text: bounded(text, LONGEST),
        }
    }

    /// The message as the model that gets it is shown it.
    #[must_use]
    pub fn content(&self) -> Content {
        Content::Text {
            text: format!("[message from the agent {}]\n{}", self.from, self.text),
        }
    }
}

/// Takes every message there is.
pub(crate) fn drained(mailbox: &Mailbox<Message>) -> Vec<Content> {
    std::iter::from_fn(|| mailbox.try_take())
        .map(|message| message.content())
        .collect()
}
