//! The integration tests of `codex-core`, in one binary.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the whole binary is tests"
)]

mod all {
    mod calls;
    mod gate;
    mod patch_scenarios;
    mod profile_change;
    mod stage;
}
