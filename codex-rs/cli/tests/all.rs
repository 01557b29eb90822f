//! The integration tests of the `codex` binary, in one binary.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the whole binary is tests"
)]

mod all {
    mod bad_input;
    mod commands;
    mod demo;
    mod exec;
    mod fixture;
    mod interrupts;
    mod policy;
    mod provider_faults;
    mod sandbox;
    mod sandbox_grants;
    mod search;
    mod tools;
    mod wires;
}
