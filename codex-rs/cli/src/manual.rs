//! `codex completion` and `codex man`: both made from the command line's own definition.

use std::process::ExitCode;

use clap::CommandFactory as _;

use crate::args::{Cli, Completion, Man};
use crate::failure::{Failure, Kind, OrFail as _};
use crate::print;

/// Prints the completion script of a shell.
pub(crate) fn completion(args: &Completion) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "codex", &mut script);
    print_whole(&script);
    Ok(ExitCode::SUCCESS)
}

/// Prints the manual page of a command.
pub(crate) fn page(args: &Man) -> Result<ExitCode, Failure> {
    let mut command = Cli::command();
    command.build();
    let mut name = "codex".to_owned();
    for part in &args.command {
        let Some(found) = command.find_subcommand(part).cloned() else {
            let known: Vec<&str> = command
                .get_subcommands()
                .map(clap::Command::get_name)
                .collect();
            let what = if known.is_empty() {
                "it has none".to_owned()
            } else {
                format!("its commands are {}", known.join(", "))
            };
            return Err(Failure::usage(format!(
                "there is no manual page: {name} has no command '{}'; {what}",
                part.escape_debug()
            )));
        };
        name = format!("{name}-{}", found.get_name());
        command = found;
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(command)
        .title(name)
        // A command below the first has no version of its own.
        .source(format!("codex {}", env!("CARGO_PKG_VERSION")))
        .render(&mut page)
        .or_fail(Kind::Work)?;
    print_whole(&page);
    Ok(ExitCode::SUCCESS)
}

fn print_whole(text: &[u8]) {
    print::data(String::from_utf8_lossy(text).trim_end());
}
