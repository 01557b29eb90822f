//! Checks and measurements of the project itself: `cargo xtask tidy | budget | dist |
//! check-platforms`.
//!
//! Never shipped, and nothing that is shipped depends on it.
#![allow(clippy::print_stdout, reason = "its results are for the terminal")]

mod budget;
mod dist;
mod elf;
mod failure;
mod lexer;
mod peak;
mod platforms;
mod tidy;

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::failure::Failure;

fn main() -> ExitCode {
    match run(env::args_os().skip(1).collect()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(failure) => {
            eprintln!("xtask: {failure}");
            ExitCode::from(if matches!(failure, Failure::Usage(_)) {
                2
            } else {
                1
            })
        }
    }
}

/// Whether the task found everything in order.
fn run(arguments: Vec<OsString>) -> Result<bool, Failure> {
    let Some((task, rest)) = arguments.split_first() else {
        return Err(Failure::Usage("no task given".to_owned()));
    };
    match (task.to_str(), rest) {
        (Some("tidy"), []) => tidy::run(&root()?),
        (Some("budget"), rest) => budget::run(&root()?, budget::Options::parse(rest)?),
        (Some("check-platforms"), []) => platforms::run(&root()?).map(|()| true),
        (Some("dist"), []) => dist::run(&root()?).map(|()| true),
        // Not for people: budget starts a fresh process for each measurement of memory.
        (Some(peak::TASK), command) => peak::run(command),
        _ => {
            let words: Vec<_> = arguments
                .iter()
                .map(|word| word.to_string_lossy())
                .collect();
            Err(Failure::Usage(format!(
                "unknown task `{}`",
                words.join(" ")
            )))
        }
    }
}

/// The root of the workspace: the nearest folder upwards that holds `Cargo.toml` and `codex-rs`.
fn root() -> Result<PathBuf, Failure> {
    let here = env::current_dir().map_err(|source| Failure::read(".", source))?;
    let found = here
        .ancestors()
        .find(|folder| folder.join("Cargo.toml").is_file() && folder.join("codex-rs").is_dir());
    found.map(PathBuf::from).ok_or_else(|| {
        Failure::Missing(format!(
            "no workspace at or above {}; run `cargo xtask` inside the repository",
            here.display()
        ))
    })
}
