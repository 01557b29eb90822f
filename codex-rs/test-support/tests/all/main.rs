//! The test equipment tested: over plain sockets, with no client of the workspace.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "functions that tests share fail the test that calls them"
)]

mod client;
mod crowd;
mod env;
mod faults;
mod script;
mod wires;

/// Whether this fails the test that does it.
fn fails(act: impl FnOnce()) -> bool {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(act)).is_err()
}
