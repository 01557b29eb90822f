//! The integration tests of `codex-protocol`, in one binary.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the whole binary is tests"
)]

mod all {
    mod authorize;
    mod decisions;
    mod git_config;
    mod git_files;
    mod hosts;
    mod places;
    mod properties;
}
