//! Programs that people use, through the proxy, against servers of package indexes on loopback.
//! `origin.test` is a name that only the proxy can look up, so whatever arrives came through it.
//!
//! A test whose programs are missing says so and passes; with `CODEX_REQUIRE_TOOLS=1` it fails.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "the whole binary is tests"
)]

mod clients;
mod server;
#[path = "../all/world.rs"]
#[allow(
    dead_code,
    reason = "the other binary's world, of which this one uses a part"
)]
mod world;
