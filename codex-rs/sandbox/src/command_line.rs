//! One command line out of a list of arguments, as Windows wants it. Pure, and tested against a
//! reader of its own on every host.
//!
//! A process gets one text there and splits it itself; nearly all do it by the rules of
//! `CommandLineToArgvW`, which are followed here. `cmd.exe` does not, so batch files are not
//! started: no quoting keeps an argument to them from being read as commands.

use std::path::Path;

/// A list that no command line can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoCommandLine {
    /// An argument holds a NUL, which ends the text.
    #[error("an argument holds a NUL character")]
    Nul,
    /// The program's own name holds a quote, which cannot be escaped there.
    #[error("the program's name holds a quotation mark")]
    Quote,
    /// The program is a batch file.
    #[error(
        "a batch file cannot be given arguments safely; start cmd.exe with it if that is meant"
    )]
    Batch,
    /// The text would be longer than 32,766 UTF-16 units (`CreateProcessW`).
    #[error("the arguments are longer than 32,766 characters")]
    Long,
}

/// The longest command line in UTF-16 units, without the NUL at its end.
pub const LONGEST: usize = 32_766;

/// Joins the arguments, the program's own name first, as UTF-16 without a NUL at the end.
///
/// # Errors
/// Where the list cannot be carried so that the program gets what was meant.
pub fn join(program: &Path, arguments: &[Vec<u16>]) -> Result<Vec<u16>, NoCommandLine> {
    let ending = program
        .file_name()
        .map(|name| name.to_string_lossy().to_ascii_lowercase())
        .unwrap_or_default();
    // Windows drops dots and spaces from the end of a name.
    let ending = ending.trim_end_matches(['.', ' ']);
    if ending.ends_with(".bat") || ending.ends_with(".cmd") {
        return Err(NoCommandLine::Batch);
    }
    if arguments.iter().flatten().any(|unit| *unit == 0) {
        return Err(NoCommandLine::Nul);
    }
    let mut line = Vec::new();
    for (at, argument) in arguments.iter().enumerate() {
        if at == 0 {
            // Backslashes mean nothing in the first: it ends at the next quote.
            if argument.contains(&QUOTE) {
                return Err(NoCommandLine::Quote);
            }
            line.push(QUOTE);
            line.extend(argument);
            line.push(QUOTE);
            continue;
        }
        line.push(SPACE);
        push(&mut line, argument);
    }
    match line.len() {
        0..=LONGEST => Ok(line),
        _ => Err(NoCommandLine::Long),
    }
}

const QUOTE: u16 = b'"' as u16;
const SPACE: u16 = b' ' as u16;
const TAB: u16 = b'\t' as u16;
const BACKSLASH: u16 = b'\\' as u16;

/// Quotes where that is needed: `cmd.exe` knows its own switches only without.
fn push(line: &mut Vec<u16>, argument: &[u16]) {
    let splits = |unit: &u16| [QUOTE, SPACE, TAB].contains(unit);
    if !argument.is_empty() && !argument.iter().any(splits) {
        line.extend(argument);
        return;
    }
    line.push(QUOTE);
    let mut backslashes = 0;
    for &unit in argument {
        if unit == QUOTE {
            // As many again, and one for the quote itself.
            line.extend(std::iter::repeat_n(BACKSLASH, backslashes + 1));
        }
        backslashes = if unit == BACKSLASH {
            backslashes + 1
        } else {
            0
        };
        line.push(unit);
    }
    line.extend(std::iter::repeat_n(BACKSLASH, backslashes));
    line.push(QUOTE);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Splits as `CommandLineToArgvW` is documented to.
    fn split(line: &[u16]) -> Vec<Vec<u16>> {
        let mut rest = line.iter().copied().peekable();
        let mut found = vec![Vec::new()];
        assert_eq!(rest.next(), Some(QUOTE));
        for unit in rest.by_ref().take_while(|unit| *unit != QUOTE) {
            found[0].push(unit);
        }
        while rest.next_if_eq(&SPACE).is_some() {
            let (mut argument, mut quoted) = (Vec::new(), false);
            loop {
                let mut backslashes = 0;
                while rest.next_if_eq(&BACKSLASH).is_some() {
                    backslashes += 1;
                }
                if rest.next_if_eq(&QUOTE).is_some() {
                    argument.extend(std::iter::repeat_n(BACKSLASH, backslashes / 2));
                    match backslashes % 2 {
                        0 => quoted = !quoted,
                        _ => argument.push(QUOTE),
                    }
                    continue;
                }
                argument.extend(std::iter::repeat_n(BACKSLASH, backslashes));
                match rest.next_if(|unit| quoted || *unit != SPACE) {
                    Some(unit) => argument.push(unit),
                    None => break,
                }
            }
            found.push(argument);
        }
        found
    }

    fn units(text: &str) -> Vec<u16> {
        text.encode_utf16().collect()
    }

    fn joined(arguments: &[&str]) -> Result<String, NoCommandLine> {
        let arguments: Vec<_> = arguments.iter().map(|a| units(a)).collect();
        join(Path::new("p.exe"), &arguments).map(|line| String::from_utf16(&line).unwrap())
    }

    #[test]
    fn arguments_are_quoted_by_the_documented_rules() {
        for (arguments, expected) in [
            (&["p", "a b"][..], r#""p" "a b""#),
            (&["p", ""], r#""p" """#),
            (&["p", r#"say "hi""#], r#""p" "say \"hi\"""#),
            (&["p", r"C:\dir\"], r#""p" C:\dir\"#),
            (&["p", r"C:\my dir\"], r#""p" "C:\my dir\\""#),
            (&["cmd", "/c", "echo a & b"], r#""cmd" /c "echo a & b""#),
            (&["p", r#"a\\"b"#], r#""p" "a\\\\\"b""#),
            (&["p", "& del x"], r#""p" "& del x""#),
        ] {
            assert_eq!(joined(arguments).unwrap(), expected);
        }
    }

    #[test]
    fn what_cannot_be_carried_is_refused() {
        assert_eq!(joined(&["p", "a\0b"]), Err(NoCommandLine::Nul));
        assert_eq!(joined(&["p\"", "a"]), Err(NoCommandLine::Quote));
        assert_eq!(
            joined(&["p", &"x".repeat(LONGEST)]),
            Err(NoCommandLine::Long)
        );
        for batch in ["run.bat", "RUN.CMD", "run.bat. .", "run.cmd "] {
            assert_eq!(
                join(Path::new(batch), &[]),
                Err(NoCommandLine::Batch),
                "{batch}"
            );
        }
        assert!(join(Path::new("battery.exe"), &[]).is_ok());
    }

    proptest! {
        #[test]
        fn a_program_gets_what_was_meant(
            name in "[^\"\\x00]{0,20}",
            rest in prop::collection::vec("[a\\\\\" \\t&%^\u{e9}]{0,12}", 0..6),
        ) {
            let mut arguments = vec![units(&name)];
            arguments.extend(rest.iter().map(|a| units(a)));
            let line = join(Path::new("p.exe"), &arguments).unwrap();
            prop_assert_eq!(split(&line), arguments);
        }
    }
}
