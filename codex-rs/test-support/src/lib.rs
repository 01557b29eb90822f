//! What the integration tests of the workspace share.
//!
//! [`ScriptedModel`] plays the model's side over loopback HTTP, in the three wire formats and with
//! every fault a test asks for. [`Collector`] is an OTLP receiver. [`TestEnv`] is a home, a `CODEX_HOME` and a workspace of a test's
//! own, and [`run`] runs a program there without ever hanging.
//!
//! This crate depends on no other crate of the workspace: it must be able to tell when one of them
//! reads or writes a wire wrongly.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test's own equipment reports that it is broken by failing the test"
)]

mod collector;
mod crowd;
mod env;
mod item;
pub mod otlp;
mod process;
mod reply;
mod request;
mod server;
pub mod sse;
mod wire;

pub use collector::{Collector, CollectorReply};
pub use crowd::{AgentScripts, Fault, Faults, marker};
pub use env::{NOBODY, TestEnv, Unavailable};
pub use item::{Item, Usage};
pub use process::{RunOutput, json_lines, run, run_for, run_with_stdin};
pub use reply::Reply;
pub use request::{Answered, Received};
pub use server::ScriptedModel;
