//! The words every other crate shares, and the one decision.
//!
//! This crate is the pure centre: no file system, no network, no clock, no runtime, no
//! platform switch. Paths are compared as text; whoever builds a request resolves them first.
//!
//! A request's way through the types is the product's promise in short:
//!
//! ```text
//! request ──gate::authorize──▶ Authorized<R> ──record──▶ Recorded<Authorized<R>> ──▶ the act
//!                 └─▶ Pending (someone must be asked)      └─▶ no record, no act
//!                 └─▶ Refused
//! ```
//!
//! Only [`gate`] can make an [`Authorized`](gate::Authorized), and only a
//! [`Recorder`](record::Recorder) can turn it into a [`Recorded`](record::Recorded). Whatever
//! starts a process or touches a file takes nothing else.

pub mod approval;
pub mod decision;
pub mod environment;
pub mod event;
pub mod gate;
pub mod git_config;
pub mod glob;
pub mod hosts;
pub mod ids;
pub mod model;
pub mod operation;
pub mod permission;
pub mod policy;
pub mod profile_change;
pub mod programs;
pub mod protected;
pub mod record;
pub mod request;
pub mod secrets;
pub mod security_profile;
pub mod tool;
pub mod wire;
