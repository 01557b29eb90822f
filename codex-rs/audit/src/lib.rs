//! The tamper-evident record of what was allowed and what was denied.
//!
//! [`writer::AuditLog`] is the one [`Recorder`](codex_protocol::record::Recorder) that makes
//! receipts: an entry is masked, chained to the line before it and appended under a lock that
//! every process on the log takes, and only then may what it tells of happen. If that fails, the
//! caller gets an error instead of a receipt: no record, no act.
//!
//! | module | holds |
//! |---|---|
//! | [`record`] | one line: its fields, their order, how it is read back |
//! | [`chain`] | what makes a changed line show |
//! | [`checkpoint`], [`note`] | what the log signs of itself, and in which form |
//! | [`mask`] | what keeps secrets, other people's names and terminal escapes out of it |
//! | [`detail`] | how much of each act is kept |
//! | [`writer`] | appending: locks, torn lines, durability, closing a full file |
//! | [`reader`], [`query`] | reading it back, line by line, and choosing lines |
//! | [`stats`], [`export`] | counting, and the forms that other tools read |
//! | [`schema`] | the format as a JSON Schema |
//! | [`verify`] | telling whether it is whole, and if not, where and how it was changed |
//!
//! Nothing here reads the environment, looks up a home directory or prints.

mod error;
mod file;
mod json;
mod notice;
mod segments;
mod sys;
mod tail;

pub mod chain;
pub mod checkpoint;
pub mod denials;
pub mod detail;
pub mod export;
pub mod key;
pub mod mask;
pub mod note;
pub mod query;
pub mod reader;
pub mod record;
pub mod schema;
pub mod stats;
pub mod verify;
pub mod writer;

pub use error::{AuditError, Fault};
