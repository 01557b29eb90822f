//! Writing to people and programs: stdout is data, stderr is for people.

use std::env;
use std::io::{self, IsTerminal as _, Write as _};

use codex_sandbox::report::Report;

use crate::args::{ColorChoice, Global};
use crate::config::environment;
use crate::failure::Failure;

/// A style of text on a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// Less important.
    Dim,
    /// More important.
    Bold,
    /// Went well.
    Good,
    /// Was denied or went wrong.
    Bad,
}

/// Colours texts, or leaves them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Painter {
    colored: bool,
}

impl Painter {
    /// For stderr. `CLICOLOR_FORCE` and `NO_COLOR` as described at bixense.com/clicolors and
    /// no-color.org.
    pub(crate) fn for_stderr(choice: ColorChoice) -> Self {
        Self {
            colored: colored(choice, io::stderr().is_terminal()),
        }
    }

    /// For stdout.
    pub(crate) fn for_stdout(choice: ColorChoice) -> Self {
        Self {
            colored: colored(choice, io::stdout().is_terminal()),
        }
    }

    /// The text in this style.
    pub(crate) fn paint(self, style: Style, text: &str) -> String {
        if !self.colored {
            return text.to_owned();
        }
        let code = match style {
            Style::Dim => "2",
            Style::Bold => "1",
            Style::Good => "32",
            Style::Bad => "31",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

fn colored(choice: ColorChoice, terminal: bool) -> bool {
    let set = |name| env::var_os(name).is_some_and(|value| !value.is_empty() && value != "0");
    match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto if env::var_os(environment::NO_COLOR).is_some_and(|v| !v.is_empty()) => {
            false
        }
        ColorChoice::Auto => terminal || set(environment::CLICOLOR_FORCE),
    }
}

/// Writes a line of data. Whoever reads may stop reading: that is quiet, and ends the program as
/// it would any filter.
pub(crate) fn data(line: &str) {
    let mut out = io::stdout().lock();
    if out
        .write_all(line.as_bytes())
        .and_then(|()| out.write_all(b"\n"))
        .and_then(|()| out.flush())
        .is_err()
    {
        std::process::exit(0);
    }
}

/// Writes a line for people. That nobody reads it is no failure.
pub(crate) fn note(line: &str) {
    let mut err = io::stderr().lock();
    let _ = err
        .write_all(line.as_bytes())
        .and_then(|()| err.write_all(b"\n"));
}

/// A masked text with the person's home as a shell knows it, so that what it suggests can be
/// typed.
pub(crate) fn with_home(masked: &str) -> String {
    masked.replace(codex_audit::mask::HOME, "~")
}

/// With `-v`: how much of the profile is enforced, and what is not.
pub(crate) fn level(global: &Global, report: &Report) {
    if !global.verbose {
        return;
    }
    let painter = Painter::for_stderr(global.color);
    note(&painter.paint(Style::Dim, &format!("level {}", report.level)));
    for missing in &report.missing {
        let line = format!("  without {}: {}", missing.feature, missing.consequence);
        note(&painter.paint(Style::Dim, &line));
    }
}

/// Says why a command failed.
pub(crate) fn error(color: ColorChoice, failure: &Failure) {
    let painter = Painter::for_stderr(color);
    note(&format!(
        "{} {failure}",
        painter.paint(Style::Bad, "codex:")
    ));
}

/// Says something a person should know although the run goes on.
pub(crate) fn warning(color: ColorChoice, text: &str) {
    let painter = Painter::for_stderr(color);
    note(&format!(
        "{} {text}",
        painter.paint(Style::Bold, "codex: warning:")
    ));
}
