//! Sub-agents: sessions of [`codex_core`] that work beside one another under a supervisor, each
//! inside rights and budgets that are no wider than its parent's.
//!
//! Messages go through bounded mailboxes. What must never be lost (a cancellation, an approval, a
//! final state) goes another way, which holds at most one of each and so cannot fill up: a token,
//! a question's own reply, a watched cell.

mod agent;
mod apart;
pub mod approvals;
pub mod budget;
pub mod catalog;
pub mod definitions;
pub mod graph;
pub mod limits;
pub mod mailbox;
pub mod manager;
pub mod message;
mod metered;
pub mod narrow;
pub mod outfit;
pub mod path;
pub mod plan;
pub mod report;
pub mod restart;
pub mod state;
pub mod tools;
pub mod worktree;

pub use agent::{NotIdle, SubAgent};
