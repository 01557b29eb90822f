//! Contenders that run in turns, each alone, and what is measured of them.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::typed;
use crate::failure::Failure;
use crate::peak;

/// Untimed runs of each contender before the timed ones.
const WARM_UP: usize = 3;

/// What was measured, or why nothing was.
pub(super) type Measured<T> = Result<T, String>;

/// A command in the race.
#[derive(Debug)]
pub(super) struct Contender {
    pub(super) name: &'static str,
    /// As one would type it.
    pub(super) command: String,
    program: PathBuf,
    arguments: Vec<OsString>,
}

impl Contender {
    pub(super) fn new(name: &'static str, program: &Path, arguments: &[&str]) -> Self {
        let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        let command = typed(program.as_os_str(), &arguments);
        Self {
            name,
            command,
            program: program.to_owned(),
            arguments,
        }
    }

    /// The same, with the program printed as `program`.
    pub(super) fn shown_as(mut self, program: &str) -> Self {
        self.command = typed(program.as_ref(), &self.arguments);
        self
    }

    /// The same, with the whole command printed as `command`.
    pub(super) fn with_command(mut self, command: String) -> Self {
        self.command = command;
        self
    }

    fn command(&self, home: &Home) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        home.prepare(&mut command, self.name);
        command
    }
}

/// Where contenders run: a workspace of their own, and for each a `CODEX_HOME` beside it (a
/// workspace that holds `CODEX_HOME` is refused). Removed at the end.
#[derive(Debug)]
pub(super) struct Home {
    folder: PathBuf,
}

impl Home {
    pub(super) fn new() -> Result<Self, Failure> {
        let folder = env::temp_dir().join(format!("codex-budget-{}", std::process::id()));
        let home = Self { folder };
        fs::create_dir(&home.folder).map_err(|source| Failure::write(&home.folder, source))?;
        let workspace = home.workspace();
        fs::create_dir(&workspace).map_err(|source| Failure::write(&workspace, source))?;
        Ok(home)
    }

    fn workspace(&self) -> PathBuf {
        self.folder.join("workspace")
    }

    fn prepare(&self, command: &mut Command, name: &str) {
        let home = self.folder.join(name.replace('/', "-"));
        // A failure shows in the contender's own error.
        let _ = fs::create_dir_all(&home);
        command
            .current_dir(self.workspace())
            .env("CODEX_HOME", home)
            .env_remove("CODEX_AUDIT_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Wall time from before the start to after the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) median: Duration,
    pub(super) p90: Duration,
}

impl Times {
    fn of(mut samples: Vec<Duration>) -> Option<Self> {
        samples.sort_unstable();
        let rank = |tenths: usize| (samples.len() * tenths).div_ceil(10).checked_sub(1);
        Some(Self {
            median: *samples.get(rank(5)?)?,
            p90: *samples.get(rank(9)?)?,
        })
    }
}

/// Runs each contender `runs` times, in turns. One that fails leaves the race.
pub(super) fn times(
    contenders: &[&Contender],
    home: &Home,
    runs: usize,
) -> Result<Vec<Measured<Times>>, Failure> {
    let mut samples: Vec<Measured<Vec<Duration>>> = contenders
        .iter()
        .map(|contender| rehearse(contender, home).map(|()| Vec::new()))
        .collect();
    for _ in 0..runs {
        for (contender, samples) in contenders.iter().zip(&mut samples) {
            let Ok(taken) = samples else { continue };
            let mut command = contender.command(home);
            let start = Instant::now();
            let status = command.status();
            let took = start.elapsed();
            match status {
                Ok(status) if status.success() => taken.push(took),
                Ok(status) => *samples = Err(format!("failed in a timed run ({status})")),
                Err(source) => *samples = Err(format!("cannot be started: {source}")),
            }
        }
    }
    let of = |samples: Vec<Duration>| Times::of(samples).ok_or_else(|| "was not run".to_owned());
    Ok(samples
        .into_iter()
        .map(|samples| samples.and_then(of))
        .collect())
}

/// The warm-up, which also finds out whether the contender works here at all.
fn rehearse(contender: &Contender, home: &Home) -> Measured<()> {
    for _ in 0..WARM_UP {
        let output = contender
            .command(home)
            .stderr(Stdio::piped())
            .output()
            .map_err(|source| format!("cannot be started: {source}"))?;
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr);
            let said = stderr
                .lines()
                .find(|line| !line.trim().is_empty())
                .unwrap_or("nothing");
            return Err(format!("failed ({}), saying: {said}", output.status));
        }
    }
    Ok(())
}

/// The highest peak memory of `runs` runs, in bytes. See [`peak`] for what it counts.
pub(super) fn peak(
    contender: &Contender,
    home: &Home,
    runs: usize,
) -> Result<Measured<u64>, Failure> {
    let this = env::current_exe().map_err(|source| Failure::read("this program", source))?;
    let mut highest = 0;
    for _ in 0..runs {
        let mut command = Command::new(&this);
        command
            .arg(peak::TASK)
            .arg(&contender.program)
            .args(&contender.arguments);
        home.prepare(&mut command, contender.name);
        let output = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .output()
            .map_err(|source| Failure::Start {
                command: this.display().to_string(),
                source,
            })?;
        let printed = String::from_utf8_lossy(&output.stdout);
        match printed.trim().parse::<u64>() {
            Ok(bytes) if output.status.success() => highest = highest.max(bytes),
            _ => {
                let said = String::from_utf8_lossy(&output.stderr);
                return Ok(Err(format!("failed ({}) {}", output.status, said.trim())));
            }
        }
    }
    Ok(Ok(highest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_and_the_ninth_of_ten_are_taken() {
        let samples = (1..=10).rev().map(Duration::from_millis).collect();
        let times = Times::of(samples).unwrap();
        assert_eq!(times.median, Duration::from_millis(5));
        assert_eq!(times.p90, Duration::from_millis(9));
        assert_eq!(Times::of(Vec::new()), None);
    }

    #[test]
    fn a_contender_that_fails_says_what_it_said() {
        let home = Home::new().unwrap();
        let shell = Path::new("/bin/sh");
        let works = Contender::new("a", shell, &["-c", "test -d \"$CODEX_HOME\""]);
        let fails = Contender::new("b", shell, &["-c", "echo reason >&2; exit 3"]);
        let missing = Contender::new("c", Path::new("/no/such/program"), &[]);
        let measured = times(&[&works, &fails, &missing], &home, 4).unwrap();
        assert!(measured[0].is_ok(), "{measured:?}");
        assert!(
            measured[1].as_ref().unwrap_err().contains("saying: reason"),
            "{measured:?}"
        );
        assert!(
            measured[2]
                .as_ref()
                .unwrap_err()
                .contains("cannot be started"),
            "{measured:?}"
        );
        let folder = home.folder.clone();
        drop(home);
        assert!(!folder.exists());
    }
}
