//! The agent: a session's loop, its tools, its store.
//!
//! This crate touches no terminal, reads no environment variable and knows no provider: the
//! composition root hands everything in.

pub mod agents_md;
mod calls;
pub mod command;
mod compact;
mod compaction;
pub mod files;
pub mod image;
pub mod instructions;
pub mod output;
pub mod output_schema;
pub mod patch;
pub mod paths;
pub mod places;
mod profile;
mod schema;
pub mod search;
pub mod session;
pub mod small_models;
mod spans;
pub mod store;
pub mod tools;
pub mod window;
