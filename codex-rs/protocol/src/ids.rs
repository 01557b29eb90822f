//! Names of things that live longer than one call.
//!
//! They are opaque text here; whoever owns the clock and the randomness makes them.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Takes `text` as the id.
            pub fn new(text: impl Into<String>) -> Self { Self(text.into()) }

            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str { &self.0 }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(&self.0) }
        }
    };
}

id! {
    /// One conversation.
    SessionId
}
id! {
    /// The unit of work that a record belongs to: a turn of the main agent, a sub-agent, or one
    /// run of `codex sandbox`.
    TaskId
}
id! {
    /// `main`, or a sub-agent's type.
    AgentType
}

impl AgentType {
    /// The agent that talks to the person.
    #[must_use]
    pub fn main() -> Self {
        Self::new("main")
    }
}
