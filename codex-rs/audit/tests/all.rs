//! The integration tests of `codex-audit`, in one binary.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the whole binary is tests"
)]

mod all {
    mod checkpoints;
    mod detail;
    mod durability;
    mod fixture;
    mod format;
    mod fuzz;
    mod processes;
    mod reading;
    mod rotation;
    mod tampering;
    mod writing;
}
