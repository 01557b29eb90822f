//! The operating system's side of a profile: what this machine can enforce, what a run needs
//! enforced, and the one way to start a process.
//!
//! ```text
//! capability::probe ─┐
//! survey::survey ────┼─▶ plan::plan (pure) ──▶ Plan + Report ──▶ spawn::spawn ──▶ outcome
//! policy ────────────┘
//! ```
//!
//! A plan is data that every host can make and print; only `sys` turns it into system calls.
//! A command runs below a helper process of its own (this same binary, started again) which
//! applies the plan, waits, and ends everything that the command started. The helper is also
//! where a supervisor of the command's system calls belongs: it is single-threaded, holds none
//! of the agent's secrets, and the agent's death ends it.

pub mod appcontainer;
pub mod capability;
pub mod command_line;
pub mod doctor;
pub mod elsewhere;
pub mod ladder;
pub mod landlock;
pub mod measure;
pub mod plan;
pub mod private;
pub mod report;
pub mod seatbelt;
pub mod seatbelt_log;
pub mod seccomp;
pub mod signals;
pub mod spawn;
pub mod streams;
pub mod survey;
mod sys;
mod wire;

pub use sys::{run_helper, this_binary};
