//! The names of what can be attempted, and how a record knows of it.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name { $($(#[$vmeta])* #[serde(rename = $text)] $variant,)+ }

        impl $name {
            /// Every value, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word used in logs, on the command line and in documentation.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            /// Reads the word back.
            #[must_use]
            pub fn from_word(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|v| v.as_str() == word)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(self.as_str()) }
        }
    };
}

words! {
    /// What is attempted.
    Operation {
        /// Reading a file's bytes or a directory's names.
        FileRead = "file_read",
        /// Creating, changing, moving or removing a file, or changing its metadata.
        FileWrite = "file_write",
        /// Reaching an address outside the sandbox.
        NetworkAccess = "network_access",
        /// Starting a program.
        ProcessSpawn = "process_spawn",
        /// Kernel surface, ptrace, signals to the outside, terminal injection.
        Privilege = "privilege",
        /// Calling a tool of an MCP server.
        McpToolCall = "mcp_tool_call",
        /// Calling a WASM plugin.
        PluginCall = "plugin_call",
        /// Sending the conversation to the configured model.
        ModelRequest = "model_request",
        /// Starting a sub-agent.
        AgentSpawn = "agent_spawn",
        /// A person's answer to a question of the gate.
        Approval = "approval",
        /// Another profile, a grant, or an accepted lower level for a run or session.
        ProfileChange = "profile_change",
        /// A limit on memory, processes, time or output was reached.
        ResourceLimit = "resource_limit",
        /// The log's own signature over what stands in it so far.
        Checkpoint = "checkpoint",
    }
}

words! {
    /// How the log knows.
    Evidence {
        /// The supervisor saw that very system call and its outcome.
        Observed = "observed",
        /// Our own code asked the gate.
        Declared = "declared",
        /// Guessed from an exit code or message, and shown as a guess.
        Inferred = "inferred",
    }
}

words! {
    /// How a recorded attempt ended.
    Outcome {
        /// It went ahead.
        Allowed = "allowed",
        /// It did not.
        Denied = "denied",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_back_and_equal_their_serialized_form() {
        for op in Operation::ALL {
            assert_eq!(Operation::from_word(op.as_str()), Some(*op));
            assert_eq!(serde_json::to_value(op).unwrap(), op.as_str());
        }
        assert_eq!(Operation::from_word("file_delete"), None);
    }
}
