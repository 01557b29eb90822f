//! One attempt, run bare and run confined, and what is seen from outside.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use codex_test_support::{RunOutput, TestEnv, json_lines, run, run_for};
use serde_json::Value;

use super::attempt::{Attempt, Effect, Profile};

/// How long one attempt may take: far above what a loaded machine needs.
const LIMIT: Duration = Duration::from_secs(30);

/// What of a workspace WorkspaceWrite protects, whether or not it is there.
const PROTECTED: &[&str] = &[
    ".git/hooks",
    ".git/config",
    ".git/config.worktree",
    ".git/info/attributes",
    "nested/.git/hooks",
    "nested/.git/config",
    ".codex",
    ".mcp.json",
    ".claude",
    ".cursor",
    ".vscode",
    ".idea",
    ".devcontainer",
    ".husky",
    ".cargo/config.toml",
    ".envrc",
];

/// The programs of the suite, where every user can start them.
pub(super) struct Programs {
    pub(super) codex: PathBuf,
    /// `attempts`, which Offline is told to allow.
    pub(super) attempts: PathBuf,
    /// The same program as a file of its own, which nobody allows.
    tool: PathBuf,
}

impl Programs {
    /// Compiles them into `directory`.
    pub(super) fn build(codex: &Path, directory: &Path) -> Self {
        let source = directory.join("attempts.c");
        fs::write(&source, include_str!("attempts.c")).expect("a place for the programs");
        let attempts = directory.join("attempts");
        let library = directory.join("library.so");
        let compiled = run(Command::new("cc")
            .args(["-O1", "-w", "-pthread", "-o"])
            .args([&attempts, &source])
            .args(["-lrt", "-lresolv"]));
        assert_eq!(compiled.code, Some(0), "cc failed: {compiled:#?}");
        fs::write(
            directory.join("library.c"),
            "#include <unistd.h>\n__attribute__((constructor)) static void start(void) \
             { long n = write(1, \"program-ran\\n\", 12); (void)n; }\n",
        )
        .expect("a place for the programs");
        let compiled = run(Command::new("cc")
            .args(["-shared", "-fPIC", "-o"])
            .arg(&library)
            .arg(directory.join("library.c")));
        assert_eq!(compiled.code, Some(0), "cc failed: {compiled:#?}");
        let tool = directory.join("tool");
        let copied = run(Command::new("cp").args([&attempts, &tool]));
        assert_eq!(copied.code, Some(0), "{copied:#?}");
        for path in [directory, &attempts, &tool, &library] {
            fs::set_permissions(path, Permissions::from_mode(0o755)).expect("it is ours");
        }
        Self {
            codex: codex.to_owned(),
            attempts,
            tool,
        }
    }
}

/// What one run of an attempt came to.
pub(super) struct Outcome {
    pub(super) output: RunOutput,
    /// Whether the attempt had its effect.
    pub(super) effect: bool,
    /// What changed outside of what the profile allows.
    pub(super) changed: Vec<String>,
    /// The denials of the log.
    pub(super) denied: Vec<Value>,
    /// What the scripts' placeholders stood for.
    places: Vec<(&'static str, String)>,
}

impl Outcome {
    /// The text with its placeholders filled in.
    pub(super) fn fill(&self, text: &str) -> String {
        fill(&self.places, text)
    }
}

fn fill(places: &[(&'static str, String)], text: &str) -> String {
    let mut text = text.to_owned();
    for (name, value) in places {
        text = text.replace(name, value);
    }
    text
}

/// Who waits to be reached from inside.
struct Listeners {
    tcp: Vec<TcpListener>,
    udp: Vec<UdpSocket>,
    unix: Vec<UnixListener>,
    datagrams: UnixDatagram,
    port: u16,
}

impl Listeners {
    /// Listens on one port of both address families, and on sockets in `outside`.
    fn new(outside: &Path, name: &str) -> Self {
        // A port is free for one kind of socket and may be taken for another.
        let (port, tcp, udp) = (0..100)
            .find_map(|_| {
                let first = TcpListener::bind(("127.0.0.1", 0)).ok()?;
                let port = first.local_addr().ok()?.port();
                let tcp = vec![first, TcpListener::bind(("::1", port)).ok()?];
                let udp = vec![
                    UdpSocket::bind(("127.0.0.1", port)).ok()?,
                    UdpSocket::bind(("::1", port)).ok()?,
                ];
                Some((port, tcp, udp))
            })
            .expect("a port of loopback is free");
        let address = SocketAddr::from_abstract_name(name).expect("a short name");
        let unix = vec![
            UnixListener::bind(outside.join("s")).expect("a socket in the directory outside"),
            UnixListener::bind_addr(&address).expect("an abstract socket"),
        ];
        let datagrams = UnixDatagram::bind(outside.join("dgram")).expect("a socket outside");
        for socket in &tcp {
            socket.set_nonblocking(true).expect("a socket of ours");
        }
        for socket in &udp {
            socket.set_nonblocking(true).expect("a socket of ours");
        }
        for socket in &unix {
            socket.set_nonblocking(true).expect("a socket of ours");
        }
        datagrams.set_nonblocking(true).expect("a socket of ours");
        Self {
            tcp,
            udp,
            unix,
            datagrams,
            port,
        }
    }

    /// Whether anything came.
    fn heard(&self) -> bool {
        let mut buffer = [0; 64];
        self.tcp.iter().any(|s| s.accept().is_ok())
            || self.udp.iter().any(|s| s.recv(&mut buffer).is_ok())
            || self.unix.iter().any(|s| s.accept().is_ok())
            || self.datagrams.recv(&mut buffer).is_ok()
    }
}

/// A process of the same user outside the sandbox, ended when dropped.
struct Bystander(Child);

impl Bystander {
    fn start(programs: &Programs, env: &TestEnv, secret: &str) -> Self {
        let mut command = env.command(&programs.attempts);
        command
            .arg("bystander")
            .arg(env.home().join(".ssh/key"))
            .env("AGENT_TOKEN", secret)
            .stdout(Stdio::piped());
        let mut child = command.spawn().expect("the bystander starts");
        let stdout = child.stdout.take().expect("it is piped");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        assert_eq!(line, "ready\n");
        Self(child)
    }

    fn ended(&mut self) -> bool {
        // A signal is delivered a moment after it was sent.
        (0..5).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            self.0.try_wait().is_ok_and(|status| status.is_some())
        })
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Everything that shows a change of a file: kind and mode, owner, size, times, links, contents.
type Snapshot = BTreeMap<PathBuf, (u32, u32, u32, u64, i64, i64, u64, u64, Vec<u8>)>;

/// Looks at a tree, without `.codex` of a home.
fn look(path: &Path, found: &mut Snapshot) {
    let Ok(data) = path.symlink_metadata() else {
        return;
    };
    let mut text = Vec::new();
    if data.is_file()
        && let Ok(file) = fs::File::open(path)
    {
        let _ = file.take(4096).read_to_end(&mut text);
    }
    let time = |seconds: i64, part: i64| seconds * 1_000_000_000 + part;
    let state = (
        data.mode(),
        data.uid(),
        data.gid(),
        data.size(),
        time(data.mtime(), data.mtime_nsec()),
        time(data.ctime(), data.ctime_nsec()),
        data.nlink(),
        data.ino(),
        text,
    );
    found.insert(path.to_owned(), state);
    if data.is_dir() {
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            if !entry.path().ends_with("home/.codex") {
                look(&entry.path(), found);
            }
        }
    }
}

/// Ends the processes that have this argument; whether there was one.
fn end_marked(mark: &str) -> bool {
    let mut found = false;
    for entry in fs::read_dir("/proc")
        .expect("/proc can be listed")
        .flatten()
    {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let words = line.split(|&b| b == 0);
        if words.skip(1).any(|word| word == mark.as_bytes()) {
            found = true;
            run(Command::new("kill").arg("-9").arg(entry.file_name()));
        }
    }
    found
}

/// What must stay as it is under the profile.
fn snapshot(env: &TestEnv, profile: Profile) -> Snapshot {
    let mut found = Snapshot::new();
    look(&env.home(), &mut found);
    look(&env.root().join("outside"), &mut found);
    match profile {
        Profile::Offline => look(&env.workspace(), &mut found),
        Profile::WorkspaceWrite | Profile::NetReadOnly => {
            for path in PROTECTED {
                look(&env.workspace().join(path), &mut found);
            }
            // `.git` itself may be written in, not moved or replaced.
            for path in [".git", "nested/.git"] {
                let path = env.workspace().join(path);
                let inode = path.symlink_metadata().map_or(0, |data| data.ino());
                found.insert(path, (0, 0, 0, 0, 0, 0, 0, inode, Vec::new()));
            }
        }
    }
    found
}

/// Lays out what the attempts are made on.
fn lay_out(env: &TestEnv, programs: &Programs, secret: &str) {
    let outside = env.root().join("outside");
    fs::create_dir_all(outside.join("d")).expect("a directory");
    fs::create_dir_all(outside.join("full")).expect("a directory");
    for name in ["f", "g", "full/f"] {
        fs::write(outside.join(name), "original\n").expect("a file");
    }
    for name in ["f", "g", "sub/f", "p/f", "q/f"] {
        env.write(name, "original\n");
    }
    for repository in ["", "nested/"] {
        for (name, text) in [
            ("HEAD", "ref: refs/heads/main\n"),
            ("config", "[core]\n\tbare = false\n"),
            ("hooks/pre-commit.sample", "#!/bin/sh\n"),
            ("info/exclude", "# none\n"),
            ("refs/heads/.keep", ""),
            ("objects/.keep", ""),
        ] {
            env.write(format!("{repository}.git/{name}"), text);
        }
    }
    env.write(".env", format!("TOKEN={secret}\n"));
    env.write_home(".netrc", secret);
    env.write_home(".bashrc", "# mine\n");
    env.write_home(".config/systemd/user/x.conf", "# mine\n");
    env.write_home(".ssh/key", format!("{secret}\n"));
    let script = env.write_home(".ssh/run.sh", format!("#!/bin/sh\necho {secret}\n"));
    fs::set_permissions(&script, Permissions::from_mode(0o755)).expect("a file of ours");
    fs::write(env.root().join("tool.sh"), "echo program-ran\n").expect("a file");
    let script = env.write(
        "script.tool",
        format!("#!{}/tool ran\n", env.root().display()),
    );
    fs::set_permissions(&script, Permissions::from_mode(0o755)).expect("a file of ours");
    symlink(&outside, env.workspace().join("way")).expect("a symbolic link");
    symlink(env.home().join(".ssh/key"), env.workspace().join("look")).expect("a symbolic link");
    fs::hard_link(&programs.tool, env.root().join("tool")).expect("a link to the program");
    // Whatever the machine calls python: a program of that name which nothing allows.
    // Not in the workspace: runs at the same time change the links of the one file.
    fs::create_dir(env.root().join("bin")).expect("a directory");
    fs::hard_link(&programs.tool, env.root().join("bin/python")).expect("a link");
    symlink(env.root().join("tool"), env.workspace().join("tool-link")).expect("a symbolic link");
}

/// What an attempt runs on.
#[derive(Clone, Copy)]
pub(super) enum Machine<'a> {
    /// Without codex.
    Bare,
    /// Confined by codex, at this level if a lower one than is required is accepted.
    Confined(Option<&'static str>),
    /// The same, where features of the kernel are hidden from codex.
    Without(&'a Hidden),
}

/// What hides features of the kernel.
pub(super) struct Hidden {
    /// The outer filter with what it is told to hide, if anything.
    pub(super) filter: Option<(PathBuf, &'static [&'static str])>,
    /// What is preloaded to have an older Landlock.
    pub(super) library: Option<PathBuf>,
}

impl Machine<'_> {
    /// Codex, on this machine.
    fn codex(self, programs: &Programs, env: &TestEnv) -> Command {
        let Self::Without(hidden) = self else {
            return env.command(&programs.codex);
        };
        let mut command = match &hidden.filter {
            Some((filter, features)) => {
                let mut command = env.command(filter);
                command.args(*features).arg("--").arg(&programs.codex);
                command
            }
            None => env.command(&programs.codex),
        };
        if let Some(library) = &hidden.library {
            command.env("LD_PRELOAD", library);
        }
        command
    }
}

/// Runs the attempt once.
pub(super) fn once(programs: &Programs, attempt: &Attempt, machine: Machine<'_>) -> Outcome {
    let confined = !matches!(machine, Machine::Bare);
    let env = TestEnv::new();
    let name = env.root().file_name().expect("a name").to_string_lossy();
    let secret = format!("hidden-{name}");
    lay_out(&env, programs, &secret);
    let listeners = Listeners::new(&env.root().join("outside"), &secret);
    let mut bystander = Bystander::start(programs, &env, &secret);
    let library = programs.attempts.with_file_name("library.so");
    let mark = format!(
        "300.{}",
        secret
            .bytes()
            .map(u64::from)
            .fold(7, |h, b| (h * 257 + b) % 1_000_000_007)
    );
    let places = vec![
        ("{mark}", mark.clone()),
        ("{a}", programs.attempts.display().to_string()),
        ("{lib}", library.display().to_string()),
        ("{tool}", env.root().join("tool").display().to_string()),
        ("{ws}", env.workspace().display().to_string()),
        ("{out}", env.root().join("outside").display().to_string()),
        ("{home}", env.home().display().to_string()),
        ("{port}", listeners.port.to_string()),
        ("{abstract}", secret.clone()),
        ("{pid}", bystander.0.id().to_string()),
    ];
    let script = fill(&places, attempt.script);
    let words: Vec<&str> = if attempt.direct {
        script.split_whitespace().collect()
    } else {
        vec!["bash", "-c", &script]
    };
    let before = snapshot(&env, attempt.profile);
    let mut command = if confined {
        let mut command = machine.codex(programs, &env);
        command.args(["sandbox", "--profile", attempt.profile.flag()]);
        let accepted = match machine {
            Machine::Without(_) => Some("minimum"),
            Machine::Confined(accepted) => accepted,
            Machine::Bare => None,
        };
        if let Some(level) = accepted {
            command.args(["--accept-level", level]);
        }
        command
            .args(attempt.flags.iter().map(|flag| fill(&places, flag)))
            .args(["--timeout", "20", "--report", "json"])
            .arg("--allow-exec")
            .arg(&programs.attempts)
            .arg("--");
        command
    } else {
        let mut command = env.command(&programs.attempts);
        command.arg("agent");
        command
    };
    command.args(words).env("AGENT_TOKEN", &secret);
    for variable in attempt.environment {
        let (name, value) = variable.split_once('=').expect("NAME=VALUE");
        command.env(name, fill(&places, value));
    }
    let output = run_for(&mut command, LIMIT);
    let after = snapshot(&env, attempt.profile);
    let mut changed: Vec<String> = before
        .iter()
        .filter(|(path, state)| after.get(*path) != Some(*state))
        .map(|(path, _)| path.display().to_string())
        .collect();
    let new = after.keys().filter(|path| !before.contains_key(*path));
    changed.extend(new.map(|path| path.display().to_string()));
    let heard = listeners.heard();
    let ended = bystander.ended();
    let effect = match attempt.effect {
        Effect::Exit => output.code == Some(0),
        Effect::Files => !changed.is_empty(),
        Effect::Secret => output.stdout.contains(&secret),
        Effect::Heard => heard,
        Effect::Ran => output.stdout.contains("program-ran"),
        Effect::Ended => ended,
        Effect::Survives => end_marked(&mark),
    };
    let denied = if confined {
        records(programs, &env)
    } else {
        Vec::new()
    };
    Outcome {
        effect: effect
            || (confined && (!changed.is_empty() || heard || output.stdout.contains(&secret))),
        output,
        changed,
        denied,
        places,
    }
}

/// The denials, as `codex audit show` gives them.
fn records(programs: &Programs, env: &TestEnv) -> Vec<Value> {
    let shown = run(env
        .command(&programs.codex)
        .args(["audit", "show", "--json"]));
    assert_eq!(shown.code, Some(0), "{shown:#?}");
    let mut records = json_lines(&shown.stdout);
    records.retain(|record| record["decision"] == "denied");
    records
}
