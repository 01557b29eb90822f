//! Sub-agents: sessions of [`codex_core`] that work beside one another under a supervisor, each
//! inside rights and budgets that are no wider than its parent's.

pub mod definitions;
pub mod narrow;
