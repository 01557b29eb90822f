//! The proxy between real sockets: what gets through, what does not, and what the log says.

// Clippy's own exception covers test functions, not what they share.
#![allow(clippy::unwrap_used)]

mod abuse;
mod approvals;
mod fuzz;
mod http2;
mod limits;
mod reading;
mod streams;
mod upstream;
mod world;
