//! Everyday jobs that have to work in the sandbox without a grant: a sandbox that is in the way is
//! switched off.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "the whole binary is tests"
)]

mod workflows {
    mod job;
    mod jobs;
}
