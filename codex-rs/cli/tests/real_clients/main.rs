//! Programs that people use, in `codex sandbox --profile net-read-only --allow-write .`, against servers
//! of package indexes on loopback. The sandbox reaches no port but the proxy's, so whatever arrives at
//! a server came through that.
//!
//! Needs curl, git, pip, npm and cargo: run by name, and it fails where one of them is missing.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "the whole binary is tests"
)]

mod clients;
mod server;
