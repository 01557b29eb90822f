//! The `codex` binary: reads what was typed, resolves what it means, and only then builds
//! anything.

mod agents;
mod args;
mod audit;
mod config;
mod crew;
mod demo;
mod doctor;
mod egress;
mod equip;
mod exec;
mod failure;
mod image;
mod manual;
mod policy;
mod print;
mod progress;
mod provider;
mod sandbox;
mod setup;
mod telemetry;

use std::process::ExitCode;

use clap::Parser as _;

use args::{Cli, Command};

fn main() -> ExitCode {
    // The sandbox's helper is this binary started again. It must not read a configuration, build
    // a runtime or start a thread.
    if std::env::args_os()
        .nth(1)
        .is_some_and(|arg| arg == codex_sandbox::spawn::HELPER_ARGUMENT)
    {
        return codex_sandbox::run_helper();
    }
    let cli = Cli::parse();
    let global = &cli.global;
    let done = match cli.command {
        Command::Exec(exec) => exec::run(global, *exec),
        Command::Sandbox(sandbox) => sandbox::run(global, &sandbox),
        Command::Agents(command) => agents::run(global, &command),
        Command::Audit(command) => audit::run(global, &command),
        Command::Policy(command) => policy::run(global, &command),
        Command::Config(command) => policy::show_config(global, &command),
        Command::Doctor(doctor) => doctor::run(global, &doctor),
        Command::Demo(demo) => demo::run(global, &demo),
        Command::Completion(completion) => manual::completion(&completion),
        Command::Man(man) => manual::page(&man),
    };
    done.unwrap_or_else(|failure| {
        print::error(global.color, &failure);
        failure.code()
    })
}
