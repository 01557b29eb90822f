//! `cargo xtask budget`: size, start-up, sandbox, a scripted turn and memory of the release build,
//! beside peers in the same run (DESIGN, section 10).
//!
//! Times on a shared machine drift by more than the differences that matter, so contenders run in
//! turns and are judged by ratio; only the seed's limits are absolute.

mod goals;
mod race;
mod report;

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use self::race::{Contender, Home, Measured};
use self::report::{Figure, Group, Report, Row};
use crate::elf;
use crate::failure::Failure;

/// The recorded model side of the scripted turn: one shell command, one closing message.
const REPLAY: &str = "codex-rs/xtask/data/one_command.replay.ndjson";
/// Names the native binary of the npm package `@openai/codex`.
const PEER: &str = "CODEX_PEER_OPENAI";
const NO_PEER: &str = "not installed: skipped, figure not available";

/// What was asked on the command line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    json: bool,
    codex: PathBuf,
    /// Timed runs of each contender for what takes milliseconds; a turn is timed a quarter as
    /// often.
    runs: usize,
}

impl Options {
    /// Reads `[--json] [--codex PATH] [--runs N]`.
    pub(crate) fn parse(arguments: &[OsString]) -> Result<Self, Failure> {
        let release = Path::new("target/release").join(format!("codex{}", env::consts::EXE_SUFFIX));
        let mut options = Self {
            json: false,
            codex: release,
            runs: 40,
        };
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            let mut value = || {
                words.next().ok_or_else(|| {
                    Failure::Usage(format!("{} needs a value", word.to_string_lossy()))
                })
            };
            match word.to_str() {
                Some("--json") => options.json = true,
                Some("--codex") => options.codex = PathBuf::from(value()?),
                Some("--runs") => {
                    let text = value()?.to_string_lossy().into_owned();
                    let runs = text.parse().ok().filter(|runs| (4..=10_000).contains(runs));
                    options.runs = runs.ok_or_else(|| {
                        Failure::Usage(format!("--runs {text}: give a number from 4 to 10000"))
                    })?;
                }
                _ => {
                    let word = word.to_string_lossy();
                    return Err(Failure::Usage(format!("budget does not know `{word}`")));
                }
            }
        }
        Ok(options)
    }
}

/// Measures, prints; whether everything could be measured and no limit of the seed is exceeded.
pub(crate) fn run(root: &Path, options: Options) -> Result<bool, Failure> {
    let codex = root.join(&options.codex);
    let binary = fs::read(&codex).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => Failure::Missing(format!(
            "no binary at {}; build it with `cargo build --release`, or name one with --codex",
            codex.display()
        )),
        _ => Failure::read(&codex, source),
    })?;
    let home = Home::new()?;
    let programs = Programs {
        shown: options.codex.display().to_string(),
        codex,
        nothing: find("true").ok_or_else(|| {
            Failure::Missing("no program `true` in PATH to compare with".to_owned())
        })?,
        bwrap: find("bwrap"),
        peer: env::var_os(PEER).map(PathBuf::from),
    };
    let rows = vec![
        size(&programs, &binary),
        version(&programs, &home, options.runs)?,
        sandbox(&programs, &home, options.runs)?,
        turn(&programs, &home, root, options.runs.div_ceil(4))?,
        peak(&programs, &home, root)?,
    ];
    let report = Report {
        runs: options.runs,
        rows,
    };
    if options.json {
        println!("{}", report.json());
    } else {
        print!("{}", report.text());
    }
    Ok(report.is_within_limits())
}

struct Programs {
    codex: PathBuf,
    /// As given, for the table.
    shown: String,
    nothing: PathBuf,
    bwrap: Option<PathBuf>,
    peer: Option<PathBuf>,
}

impl Programs {
    fn codex(&self, arguments: &[&str]) -> Contender {
        Contender::new(report::OURS, &self.codex, arguments).shown_as(&self.shown)
    }

    fn nothing(&self) -> Contender {
        Contender::new(report::BARE, &self.nothing, &[])
    }

    /// The peer's row, or that there is none.
    fn peer(&self, arguments: &[&str]) -> Result<Contender, Row> {
        let row = || Row::unavailable(report::PEER, &format!("{NO_PEER} ({PEER} names no binary)"));
        self.peer
            .as_ref()
            .filter(|path| path.is_file())
            .map(|path| {
                Contender::new(report::PEER, path, arguments).shown_as("$CODEX_PEER_OPENAI")
            })
            .ok_or_else(row)
    }
}

fn find(name: &str) -> Option<PathBuf> {
    let folders = env::var_os("PATH")?;
    let file = format!("{name}{}", env::consts::EXE_SUFFIX);
    env::split_paths(&folders)
        .map(|folder| folder.join(&file))
        .find(|path| path.is_file())
}

fn size(programs: &Programs, binary: &[u8]) -> Group {
    let state = match elf::headers(binary) {
        Ok(headers) => format!(
            "{}, {}",
            if headers.has_symbols {
                "with symbols"
            } else {
                "stripped"
            },
            if headers.has_interpreter {
                "dynamic"
            } else {
                "static"
            }
        ),
        Err(what) => format!("as built; {what}"),
    };
    let figure = Figure::Bytes(binary.len() as u64);
    let row = Row::measured(
        report::OURS,
        format!("{} ({state})", programs.shown),
        figure,
    );
    Group {
        id: report::SIZE,
        title: "size of the binary",
        rows: vec![row],
    }
}

fn version(programs: &Programs, home: &Home, runs: usize) -> Result<Group, Failure> {
    let field = vec![
        Ok(programs.nothing()),
        Ok(programs.codex(&["--version"])),
        programs.peer(&["--version"]),
    ];
    let rows = timed(field, home, runs)?;
    Ok(Group {
        id: report::VERSION,
        title: "start and print the version",
        rows,
    })
}

fn sandbox(programs: &Programs, home: &Home, runs: usize) -> Result<Group, Failure> {
    let nothing = programs.nothing.to_string_lossy();
    let bwrap = match &programs.bwrap {
        Some(path) => Ok(Contender::new(
            report::BWRAP,
            path,
            &[
                "--ro-bind",
                "/",
                "/",
                "--dev",
                "/dev",
                "--proc",
                "/proc",
                "--unshare-pid",
                "--unshare-net",
                &nothing,
            ],
        )),
        None => Err(Row::unavailable(report::BWRAP, NO_PEER)),
    };
    let field = vec![
        Ok(programs.nothing()),
        Ok(programs.codex(&["sandbox", "--profile", "offline", "--", &nothing])),
        bwrap,
        programs.peer(&["sandbox", "--", &nothing]),
    ];
    let rows = timed(field, home, runs)?;
    Ok(Group {
        id: report::SANDBOX,
        title: "a program that does nothing, in a sandbox",
        rows,
    })
}

fn turn_contender(programs: &Programs, root: &Path) -> Result<Contender, Row> {
    let replay = root.join(REPLAY);
    if !replay.is_file() {
        let reason = format!("{REPLAY} is missing: restore it");
        return Err(Row::failed(report::OURS, String::new(), reason));
    }
    let replay = replay.to_string_lossy();
    let arguments = [
        "exec",
        "--json",
        "--skip-git-repo-check",
        "--replay",
        &replay,
        "run true",
    ];
    let shown = format!(
        "{} exec --json --skip-git-repo-check --replay {REPLAY} \"run true\"",
        programs.shown
    );
    Ok(programs.codex(&arguments).with_command(shown))
}

fn turn(programs: &Programs, home: &Home, root: &Path, runs: usize) -> Result<Group, Failure> {
    let rows = timed(vec![turn_contender(programs, root)], home, runs)?;
    Ok(Group {
        id: report::TURN,
        title: "one scripted turn with one shell command",
        rows,
    })
}

fn peak(programs: &Programs, home: &Home, root: &Path) -> Result<Group, Failure> {
    /// Memory varies little: the highest of a few runs is the figure.
    const RUNS: usize = 5;
    let mut rows = Vec::new();
    let floor = Contender::new(report::FLOOR, &programs.nothing, &[]);
    for contender in [Ok(floor), turn_contender(programs, root)] {
        rows.push(match contender {
            Ok(contender) => {
                let figure = race::peak(&contender, home, RUNS)?;
                row(contender.name, contender.command, figure, |bytes| {
                    Figure::Bytes(*bytes)
                })
            }
            Err(row) => row,
        });
    }
    Ok(Group {
        id: report::PEAK,
        title: "peak memory of that turn: the biggest process of its tree, by getrusage; \
                the floor is what the method reads of a program that does nothing",
        rows,
    })
}

fn timed(
    field: Vec<Result<Contender, Row>>,
    home: &Home,
    runs: usize,
) -> Result<Vec<Row>, Failure> {
    let contenders: Vec<&Contender> = field
        .iter()
        .filter_map(|entry| entry.as_ref().ok())
        .collect();
    let mut measured = race::times(&contenders, home, runs)?.into_iter();
    let rows = field.into_iter().filter_map(|entry| match entry {
        Ok(contender) => measured.next().map(|times| {
            row(contender.name, contender.command, times, |times| {
                Figure::Time {
                    median: times.median,
                    p90: times.p90,
                }
            })
        }),
        Err(row) => Some(row),
    });
    Ok(rows.collect())
}

fn row<T>(
    name: &'static str,
    command: String,
    measured: Measured<T>,
    figure: impl Fn(&T) -> Figure,
) -> Row {
    match measured {
        Ok(value) => Row::measured(name, command, figure(&value)),
        // A peer that does not run here is no fault of ours.
        Err(reason) if name == report::OURS => {
            let reason = format!("`{command}` {reason}");
            Row::failed(name, command, reason)
        }
        Err(reason) => Row::unavailable(name, &format!("skipped: `{command}` {reason}")),
    }
}

/// A command line as one would type it.
fn typed(program: &OsStr, arguments: &[OsString]) -> String {
    let words = std::iter::once(program).chain(arguments.iter().map(OsString::as_os_str));
    words
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Options, Failure> {
        Options::parse(&words.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn options_are_read_and_unknown_ones_refused() {
        let options = parse(&["--json", "--codex", "x", "--runs", "8"]).unwrap();
        assert_eq!(
            options,
            Options {
                json: true,
                codex: "x".into(),
                runs: 8
            }
        );
        assert!(parse(&[]).unwrap().codex.starts_with("target/release"));
        for words in [&["--codex"][..], &["--runs", "3"], &["--runs", "x"], &["x"]] {
            assert!(matches!(parse(words), Err(Failure::Usage(_))), "{words:?}");
        }
    }
}
