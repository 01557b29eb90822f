//! Model providers: one engine over HTTP, a wire for each API, recording and replay.
//!
//! [`http_model`] joins a [`Provider`], which is plain data, with the wire that it speaks and the
//! one HTTP client. Everything that is alike on every wire is in the engine: sending, retries,
//! `Retry-After`, idle and cut streams, limits, error texts. A wire is pure: a prompt becomes the
//! bytes of a request, and server-sent events become model events.
//!
//! What is deliberately absent: reading the environment or a key file (the caller does, and gives
//! a [`Secret`](codex_http::Secret)), executing anything, and any item handed out of a response
//! that did not complete.

mod engine;
mod error;
mod error_body;
mod explain;
mod fault;
mod provider;
mod record;
pub mod recording;
mod replay;
mod wire;

pub use engine::{HttpModel, MAX_RESPONSE_BYTES, http_model};
pub use error::SetupError;
pub use provider::{
    DEFAULT_REQUEST_RETRIES, DEFAULT_STREAM_IDLE_TIMEOUT, DEFAULT_STREAM_RETRIES, Provider, WireApi,
};
pub use record::RecordedModel;
pub use replay::Replay;
