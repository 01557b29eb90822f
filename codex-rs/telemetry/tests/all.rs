//! The documentation and the dashboard say what is told, and nothing else.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the whole binary is tests"
)]

mod all {
    mod dashboard;
    mod page;
}
