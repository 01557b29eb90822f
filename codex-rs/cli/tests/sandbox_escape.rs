//! The catalogue of escapes: every attempt succeeds on the bare machine, has no effect when codex
//! confines it, and is in the audit log as what it was.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "the whole binary is tests"
)]

mod sandbox_escape {
    mod above;
    mod attempt;
    mod differences;
    mod files;
    mod kernel;
    mod lower_machines;
    mod machine;
    mod network;
    mod programs;
    mod protected;
    mod races;
    mod run;
    mod rungs;
    mod runs;
    mod secrets;
    mod suite;
    mod supervisor;
}
