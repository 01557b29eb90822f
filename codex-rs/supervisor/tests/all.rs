//! The integration tests of the supervisor, in one binary.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the whole binary is tests"
)]

mod all {
    mod agents;
    mod fixture;
    mod graphs;
    mod schedules;
}
