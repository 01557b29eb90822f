//! The proxy behind `NetReadOnly` and `--allow-host`: the one thing outside that a sandboxed tree
//! may reach. It reads allowed hosts over HTTP and, with a certificate authority made for the
//! session, looks into HTTPS, so that method, host and path rules hold there too.
//!
//! Each request is a [`NetworkRead`](codex_protocol::request::NetworkRead) that goes through the
//! gate, a person if the gate asks, and the log, before its host's name is resolved. Without a
//! record nothing is sent.
//!
//! What is deliberately absent: following redirects (the client's next request is judged
//! again), caching, decompression, credentials of its own, and any reading of the environment
//! other than what the platform's certificate search does. Nothing runs until
//! [`Proxy::start`], and nothing is left after the [`Proxy`] is dropped.

mod address;
mod approval;
mod authority;
mod body;
mod environment;
mod inspect;
mod lookup;
mod origin;
mod reply;
mod serve;
mod session;
mod traffic;

pub use address::{Resolver, SystemResolver, is_public};
pub use environment::{CACHE_DIRECTORY, CACHES, Cache, Pass, variables};
pub use serve::Proxy;
pub use session::{EgressError, Limits, Options};
