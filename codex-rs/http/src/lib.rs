//! The one HTTP client of the project, its one secret type, and the
//! server-sent-events parser.
//!
//! What is deliberately absent: redirects (a 3xx is returned as it is, so that
//! a credential never travels to a host nobody named), cookies, decompression,
//! HTTP/2 (every provider speaks HTTP/1.1, and one stream a connection is all a
//! turn needs), background tasks (a connection is driven by whoever awaits its
//! response, so dropping the response ends it), and any reading of the
//! environment other than what the platform's certificate search does.
//!
//! TLS is set up when the first `https` URL is used, never before.

mod client;
mod connect;
mod error;
mod pool;
mod proxy;
mod request;
mod response;
pub mod retry;
mod secret;
pub mod sse;
mod tls;
mod upstream;
mod url;
mod wire;

pub use client::{Client, ClientOptions};
pub use error::HttpError;
pub use hyper::HeaderMap;
pub use hyper::body::Bytes;
pub use proxy::ProxySettings;
pub use request::{DEFAULT_CONNECT_TIMEOUT, DEFAULT_IDLE_TIMEOUT, Method, Request, USER_AGENT};
pub use response::{Capped, Response};
pub use secret::Secret;
pub use tls::TrustRoots;
pub use upstream::{Through, Upstream};
pub use wire::{Activity, BoxedStream, Stream, Watched};
