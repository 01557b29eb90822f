//! `codex agents`: sub-agents, from the command line.

mod list;
mod run;

use std::process::ExitCode;

use crate::args::{Agents, Global};
use crate::failure::Failure;

pub(crate) fn run(global: &Global, command: &Agents) -> Result<ExitCode, Failure> {
    match command {
        Agents::List(args) => list::run(global, args),
        Agents::Run(args) => run::run(global, args),
    }
}
