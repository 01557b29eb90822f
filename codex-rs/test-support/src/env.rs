//! A home, a `CODEX_HOME` and a workspace of a test's own.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;
use tempfile::TempDir;

use crate::process::{json_lines, run};

/// The user and group id of `nobody` on Linux: the kernel's overflow id
/// (`/proc/sys/kernel/overflowuid`), which owns nothing.
pub const NOBODY: u32 = 65534;

/// Why tests cannot run as [`NOBODY`] here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unavailable(String);

impl std::fmt::Display for Unavailable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "cannot run as uid {NOBODY}: {}", self.0)
    }
}

impl std::error::Error for Unavailable {}

/// Directories of a test's own, gone when it is dropped:
///
/// ```text
/// home/           HOME
/// home/.codex/    CODEX_HOME
/// workspace/      where commands run
/// ```
#[derive(Debug)]
pub struct TestEnv {
    // Removes everything when dropped.
    _directory: TempDir,
    /// The path without symbolic links, so that a test can compare it with what a program prints.
    root: PathBuf,
    /// Who owns the tree and runs the commands, if not whoever runs the test.
    owner: Option<u32>,
    /// Programs copied to where the owner can reach them, by their origin.
    programs: Mutex<BTreeMap<PathBuf, PathBuf>>,
}

impl TestEnv {
    /// Makes the directories, in the system's place for temporary files.
    ///
    /// # Panics
    /// When that fails, or when that place lies below the real home, whose own rules would then
    /// hold in the workspace.
    #[track_caller]
    #[expect(
        clippy::new_without_default,
        reason = "making directories is nothing to do by default"
    )]
    pub fn new() -> Self {
        let directory = tempfile::Builder::new()
            .prefix("codex-test-")
            .tempdir()
            .expect("a test needs a temporary directory");
        let root = directory
            .path()
            .canonicalize()
            .expect("a temporary directory has a path");
        if let Some(home) = std::env::var_os("HOME").map(PathBuf::from)
            && home.parent().is_some()
        {
            let home = home.canonicalize().unwrap_or(home);
            assert!(
                !root.starts_with(&home),
                "temporary directories lie below the home {}: set TMPDIR to a place outside of it",
                home.display()
            );
        }
        let env = Self {
            _directory: directory,
            root,
            owner: None,
            programs: Mutex::default(),
        };
        for made in [env.codex_home(), env.workspace()] {
            fs::create_dir_all(made).expect("a test needs its directories");
        }
        env
    }

    /// The same for uid and gid 65534, who owns the tree and runs the commands: for a test that
    /// runs as root and must show what an ordinary user gets.
    ///
    /// # Errors
    /// When the test does not run as root, or that user cannot get to the tree, or there is no
    /// `setpriv`. A test that does not run as root has an ordinary user in [`TestEnv::new`].
    #[track_caller]
    pub fn unprivileged() -> Result<Self, Unavailable> {
        let mut env = Self::new();
        let uid = fs::metadata(&env.root)
            .map_err(|error| Unavailable(format!("the temporary directory is gone: {error}")))?
            .uid();
        if uid != 0 {
            return Err(Unavailable(format!(
                "only root can become another user, and this test runs as uid {uid}"
            )));
        }
        env.owner = Some(NOBODY);
        fs::set_permissions(&env.root, Permissions::from_mode(0o755))
            .expect("root can change its directory");
        for made in [env.home(), env.codex_home(), env.workspace()] {
            chown(&made, Some(NOBODY), Some(NOBODY)).map_err(|error| {
                Unavailable(format!("{} cannot be given away: {error}", made.display()))
            })?;
        }
        // Shows at once whether every directory above lets that user pass.
        let tried = env
            .wrapper()
            .args(["/bin/sh", "-c", "cd \"$1\"", "sh"])
            .arg(env.workspace())
            .stdin(Stdio::null())
            .output()
            .map_err(|error| Unavailable(format!("`setpriv` cannot be started: {error}")))?;
        if !tried.status.success() {
            return Err(Unavailable(format!(
                "that user does not reach {}: {}",
                env.workspace().display(),
                String::from_utf8_lossy(&tried.stderr).trim()
            )));
        }
        Ok(env)
    }

    /// The directory that holds all others.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `HOME`.
    pub fn home(&self) -> PathBuf {
        self.root.join("home")
    }

    /// `CODEX_HOME`.
    pub fn codex_home(&self) -> PathBuf {
        self.root.join("home/.codex")
    }

    /// Where commands run.
    pub fn workspace(&self) -> PathBuf {
        self.root.join("workspace")
    }

    /// The program, to be run in the workspace with `PATH`, `HOME`, `CODEX_HOME`,
    /// `LANG=C.UTF-8` and no other variable. In an environment made by
    /// [`TestEnv::unprivileged`] it runs as [`NOBODY`].
    ///
    /// # Panics
    /// When the program cannot be copied to where that user reaches it.
    #[track_caller]
    pub fn command(&self, program: &Path) -> Command {
        if self.owner.is_some() {
            return self.command_as_nobody(program);
        }
        let mut command = Command::new(program);
        self.prepare(&mut command);
        command
    }

    /// The program as [`NOBODY`], without supplementary groups or capabilities, otherwise as
    /// [`TestEnv::command`]. It runs from a copy: a build directory may be closed to that user.
    ///
    /// # Panics
    /// When this environment was not made by [`TestEnv::unprivileged`], or the program cannot be
    /// copied.
    #[track_caller]
    pub fn command_as_nobody(&self, program: &Path) -> Command {
        assert!(
            self.owner.is_some(),
            "this environment belongs to whoever runs the test: make it by TestEnv::unprivileged"
        );
        let mut command = self.wrapper();
        command.arg(self.reachable(program));
        command
    }

    /// Writes a file of the workspace, with the directories above it; gives its path.
    ///
    /// # Panics
    /// When that fails, or `relative` leads out of the workspace.
    #[track_caller]
    pub fn write(&self, relative: impl AsRef<Path>, text: impl AsRef<[u8]>) -> PathBuf {
        self.write_below(&self.workspace(), relative.as_ref(), text.as_ref())
    }

    /// Writes a file of the home, as [`TestEnv::write`] does for the workspace.
    ///
    /// # Panics
    /// When that fails, or `relative` leads out of the home.
    #[track_caller]
    pub fn write_home(&self, relative: impl AsRef<Path>, text: impl AsRef<[u8]>) -> PathBuf {
        self.write_below(&self.home(), relative.as_ref(), text.as_ref())
    }

    /// Writes `config.toml` of the `CODEX_HOME`.
    ///
    /// # Panics
    /// When that fails.
    #[track_caller]
    pub fn write_config(&self, toml: impl AsRef<str>) -> PathBuf {
        let text = toml.as_ref().as_bytes();
        self.write_below(&self.codex_home(), Path::new("config.toml"), text)
    }

    /// Reads a file of the workspace.
    ///
    /// # Panics
    /// When there is no such file, or it is not UTF-8.
    #[track_caller]
    pub fn read(&self, relative: impl AsRef<Path>) -> String {
        let path = self.workspace().join(relative);
        match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) => panic!("{} cannot be read: {error}", path.display()),
        }
    }

    /// The records of the audit log: every line of `CODEX_HOME/audit/*.jsonl`, files in the order
    /// of their names. Without a log there are none.
    ///
    /// # Panics
    /// When a file cannot be read, or a line is not JSON.
    #[track_caller]
    pub fn audit_lines(&self) -> Vec<Value> {
        let Ok(entries) = fs::read_dir(self.codex_home().join("audit")) else {
            return Vec::new();
        };
        let mut files: Vec<PathBuf> = entries
            .map(|entry| entry.expect("the audit directory can be read").path())
            .filter(|path| path.extension().is_some_and(|ending| ending == "jsonl"))
            .collect();
        files.sort();
        let mut lines = Vec::new();
        for file in files {
            match fs::read_to_string(&file) {
                Ok(text) => lines.extend(json_lines(&text)),
                Err(error) => panic!("{} cannot be read: {error}", file.display()),
            }
        }
        lines
    }

    /// `setpriv`, told to become [`NOBODY`] and run what its further arguments say.
    ///
    /// The standard library's `uid` and `gid` would keep root's supplementary groups.
    fn wrapper(&self) -> Command {
        let id = NOBODY.to_string();
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid", &id, "--regid", &id, "--clear-groups"])
            .args(["--inh-caps", "-all", "--"]);
        self.prepare(&mut command);
        command
    }

    fn prepare(&self, command: &mut Command) {
        command
            .env_clear()
            .env(
                "PATH",
                std::env::var_os("PATH").unwrap_or_else(|| OsString::from("/usr/bin:/bin")),
            )
            .env("HOME", self.home())
            .env("CODEX_HOME", self.codex_home())
            .env("LANG", "C.UTF-8")
            .current_dir(self.workspace());
    }

    /// A copy of the program that every user can run.
    #[track_caller]
    fn reachable(&self, program: &Path) -> PathBuf {
        let mut programs = self.programs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(copy) = programs.get(program) {
            return copy.clone();
        }
        // Numbered, for programs of the same name from different places.
        let directory = self.root.join(format!("bin/{}", programs.len()));
        let name = program.file_name().expect("a program has a name");
        let copy = directory.join(name);
        fs::create_dir_all(&directory).expect("a directory for the copied program");
        // Copied by another process: while this one held the copy open for writing, a child that
        // another thread starts would inherit it, and running the copy could fail as "text busy".
        let copied = run(Command::new("cp").arg("--").arg(program).arg(&copy));
        assert!(
            copied.code == Some(0),
            "{} cannot be copied to {}: {}",
            program.display(),
            copy.display(),
            copied.stderr
        );
        for path in [&self.root.join("bin"), &directory, &copy] {
            fs::set_permissions(path, Permissions::from_mode(0o755))
                .expect("the copied program can be opened to everyone");
        }
        programs.insert(program.to_owned(), copy.clone());
        copy
    }

    #[track_caller]
    fn write_below(&self, base: &Path, relative: &Path, text: &[u8]) -> PathBuf {
        assert!(
            relative
                .components()
                .all(|part| matches!(part, Component::Normal(_) | Component::CurDir)),
            "{} leads out of {}",
            relative.display(),
            base.display()
        );
        let path = base.join(relative);
        let parent = path.parent().expect("a file lies in a directory");
        let written = fs::create_dir_all(parent).and_then(|()| fs::write(&path, text));
        if let Err(error) = written {
            panic!("{} cannot be written: {error}", path.display());
        }
        if let Some(owner) = self.owner {
            for made in path.ancestors().take_while(|above| *above != base) {
                chown(made, Some(owner), Some(owner)).expect("root can give away its files");
            }
        }
        path
    }
}
