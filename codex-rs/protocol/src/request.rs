//! Typed things that someone wants to do.
//!
//! Paths in a request are absolute and resolved (symlinks followed, no `.` or `..`); whoever
//! builds the request does that. The gate refuses a path that is not.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Component, Path, PathBuf};

use crate::hosts;
use crate::operation::Operation;

/// Reading a file's bytes or a directory's names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRead {
    /// What is read.
    pub path: PathBuf,
}

/// In what way a file is to be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteKind {
    /// Make a new file.
    Create,
    /// Make a new directory.
    MakeDirectory,
    /// Make another name for a file (a hard link), a pipe, socket or device, or a symlink that
    /// leads to its own directory: see [`WriteKind::symlink`].
    Link,
    /// Make a symlink that leads elsewhere.
    Symlink,
    /// Replace or change the contents.
    Modify,
    /// Remove what is no directory.
    Delete,
    /// Remove a directory, which the system does to empty ones alone.
    RemoveDirectory,
    /// Remove what this very run made. Whoever asks has seen it made.
    Discard,
    /// Give it another name, or put another file in its place. Asked of either end, and of both
    /// ends twice where they are exchanged.
    Rename,
    /// The same of a directory with all that it holds.
    RenameDirectory,
    /// Change owner, mode, times or extended attributes.
    Metadata,
}

impl WriteKind {
    /// Every kind.
    pub const ALL: [Self; 11] = [
        Self::Create,
        Self::MakeDirectory,
        Self::Link,
        Self::Symlink,
        Self::Modify,
        Self::Delete,
        Self::RemoveDirectory,
        Self::Discard,
        Self::Rename,
        Self::RenameDirectory,
        Self::Metadata,
    ];

    /// The kind of making a symlink that holds `text`. One plain name leads no further than to a
    /// neighbour, as git's own try whether symlinks work does.
    #[must_use]
    pub fn symlink(text: &OsStr) -> Self {
        let mut names = Path::new(text).components();
        match (names.next(), names.next()) {
            (Some(Component::Normal(name)), None) if name == text => Self::Link,
            _ => Self::Symlink,
        }
    }

    /// Whether something gets another name.
    #[must_use]
    pub fn is_move(self) -> bool {
        matches!(self, Self::Rename | Self::RenameDirectory)
    }
}

/// Creating, changing, moving or removing a file, or changing its metadata.
///
/// A call that touches two names is two requests or more, all of which have to be allowed:
///
/// - a rename: both names as [`WriteKind::Rename`], or [`WriteKind::RenameDirectory`] where either
///   is a directory; then also [`moves_file_by_file`](crate::gate::moves_file_by_file), each way
///   where the two are exchanged;
/// - a hard link: its source as [`FileRead`] and as [`WriteKind::Modify`], since what cannot be
///   read or written under one name must not be under another; its target as [`WriteKind::Link`];
/// - binding a unix socket: [`UnixSocket`], and its path as [`WriteKind::Link`];
/// - opening for writing: [`WriteKind::Create`] where nothing is there and it would be made, else
///   [`WriteKind::Modify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileWrite {
    /// What is changed.
    pub path: PathBuf,
    /// How.
    pub kind: WriteKind,
}

/// Putting new settings into the place of a git directory's `config` or `config.worktree`, which
/// git does by renaming `config.lock`.
///
/// Whoever acts on it puts a file of their own with these very bytes there: the one that was judged
/// may be written to meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitConfigChange {
    /// The settings' file.
    pub path: PathBuf,
    /// What it holds; `None` for a repository that this very run made, also where it has changed
    /// the file since.
    pub old: Option<Vec<u8>>,
    /// What it is to hold.
    pub new: Vec<u8>,
}

/// Making or replacing a file that points git to another directory: a `.git` that is a file, as
/// worktrees and submodules have it, or a worktree's `commondir`.
///
/// Git makes these by opening and writing, so whoever acts on it writes these very bytes, and what
/// the program writes goes nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitPointer {
    /// The file.
    pub path: PathBuf,
    /// What it is to hold.
    pub content: Vec<u8>,
}

/// Starting a program. `argv` stays a list from the model to the kernel: nothing joins it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessSpawn {
    /// The program's file.
    pub program: PathBuf,
    /// Arguments, the program's own name first.
    pub argv: Vec<OsString>,
    /// Working directory.
    pub cwd: PathBuf,
}

/// How an address is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Through codex's own proxy, which looks into what is asked.
    Proxy,
    /// A program's own TCP connection.
    Tcp,
    /// A program's own UDP datagrams.
    Udp,
    /// A program's own socket of another protocol: its name.
    Other(String),
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Proxy => "proxy",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Other(name) => name,
        })
    }
}

/// Reaching an address outside the sandbox. What a command's own servers listen on inside it is
/// not outside, so nobody asks for that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkAccess {
    /// Host name or address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// How.
    pub transport: Transport,
}

/// The name of a unix socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnixAddress {
    /// A file.
    Path(PathBuf),
    /// A name in the abstract namespace (unix(7)), without its leading zero byte.
    Abstract(Vec<u8>),
}

/// Connecting to a unix socket, binding one, or sending to one. Binding to a path makes a file as
/// well: that is asked as [`FileWrite`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnixSocket {
    /// Its name.
    pub address: UnixAddress,
}

/// One of the kernel's calls that no command needs and that reach beyond it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelCall {
    /// Its name, as in the manual: `mount`.
    pub call: String,
    /// What was asked of it, where that is what makes it privileged: `AF_PACKET` of `socket`.
    pub argument: Option<String>,
}

/// Making a socket of a kind that leads past what is judged: raw ones, other families, datagrams
/// between processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketKind {
    /// The call: `socket`, `socketpair`.
    pub call: String,
    /// Its family, and its type where that is what is refused: `AF_INET, SOCK_RAW`.
    pub kind: String,
}

/// Putting characters into a terminal as if a person had typed them, or driving its console.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TerminalControl {
    /// The request of `ioctl`: `TIOCSTI`.
    pub control: String,
}

/// Signalling, tracing, reading or changing a process outside the sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessControl {
    /// The call: `kill`.
    pub call: String,
    /// The process, as the caller names it.
    pub pid: u32,
}

/// What there is only so much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Processes and threads at one time.
    Processes,
    /// Bytes of memory.
    Memory,
}

/// Going beyond a limit of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResourceLimit {
    /// Of what.
    pub resource: Resource,
    /// The limit that was reached.
    pub limit: u64,
}

/// Reading one URL through the proxy, or asking it for a tunnel (method `CONNECT`, path empty).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkRead {
    /// The method, as it was sent.
    pub method: String,
    /// Whether the connection to the host is TLS.
    pub https: bool,
    /// Host name or address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// The path, as it was sent: percent-encoded, with its leading slash.
    pub path: String,
    /// What follows `?`, if anything does.
    pub query: Option<String>,
}

impl NetworkRead {
    /// `https://host[:port]/path?name=[REDACTED]`: values of a query are never shown, since a
    /// reader may have put anything into them. What has no `=` may be a value itself.
    #[must_use]
    pub fn url(&self) -> String {
        let (scheme, usual) = match self.https {
            true => ("https", 443),
            false => ("http", 80),
        };
        let host = match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        };
        let port = match self.port == usual {
            true => String::new(),
            false => format!(":{}", self.port),
        };
        let mut url = format!("{scheme}://{host}{port}{}", self.path);
        for (n, part) in self.query.iter().flat_map(|q| q.split('&')).enumerate() {
            url.push(if n == 0 { '?' } else { '&' });
            if let Some((name, _)) = part.split_once('=') {
                url.push_str(name);
                url.push('=');
            }
            url.push_str("[REDACTED]");
        }
        url
    }
}

/// Sending the conversation to the model that the person configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelRequest {
    /// The provider's name in the configuration.
    pub provider: String,
    /// The model's name.
    pub model: String,
    /// Where it is sent, without credentials or query; `replay` for a recording.
    pub endpoint: String,
}

/// Sending metrics and traces of the run to the collector that the person configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TelemetryExport {
    /// Where they are sent, without credentials or query.
    pub endpoint: String,
}

/// Starting a sub-agent. Its rights have been narrowed from its parent's by then, so that it can do
/// nothing that its parent could not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentSpawn {
    /// Where it stands: its parent's path and its own name.
    pub path: String,
    /// Its type.
    pub agent_type: String,
}

/// Any request, borrowed: what the gate looks at.
#[derive(Clone, Copy, Debug)]
pub enum Request<'a> {
    /// See [`FileRead`].
    FileRead(&'a FileRead),
    /// See [`FileWrite`].
    FileWrite(&'a FileWrite),
    /// See [`GitConfigChange`].
    GitConfigChange(&'a GitConfigChange),
    /// See [`GitPointer`].
    GitPointer(&'a GitPointer),
    /// See [`ProcessSpawn`].
    ProcessSpawn(&'a ProcessSpawn),
    /// See [`NetworkAccess`].
    NetworkAccess(&'a NetworkAccess),
    /// See [`NetworkRead`].
    NetworkRead(&'a NetworkRead),
    /// See [`UnixSocket`].
    UnixSocket(&'a UnixSocket),
    /// See [`SocketKind`].
    SocketKind(&'a SocketKind),
    /// See [`KernelCall`].
    KernelCall(&'a KernelCall),
    /// See [`TerminalControl`].
    TerminalControl(&'a TerminalControl),
    /// See [`ProcessControl`].
    ProcessControl(&'a ProcessControl),
    /// See [`ResourceLimit`].
    ResourceLimit(&'a ResourceLimit),
    /// See [`ModelRequest`].
    ModelRequest(&'a ModelRequest),
    /// See [`TelemetryExport`].
    TelemetryExport(&'a TelemetryExport),
    /// See [`AgentSpawn`].
    AgentSpawn(&'a AgentSpawn),
}

impl Request<'_> {
    /// What is attempted.
    #[must_use]
    pub fn operation(&self) -> Operation {
        match self {
            Self::FileRead(_) => Operation::FileRead,
            Self::FileWrite(_) | Self::GitConfigChange(_) | Self::GitPointer(_) => {
                Operation::FileWrite
            }
            Self::ProcessSpawn(_) => Operation::ProcessSpawn,
            Self::NetworkAccess(_)
            | Self::NetworkRead(_)
            | Self::UnixSocket(_)
            | Self::SocketKind(_)
            | Self::TelemetryExport(_) => Operation::NetworkAccess,
            Self::KernelCall(_) | Self::TerminalControl(_) | Self::ProcessControl(_) => {
                Operation::Privilege
            }
            Self::ResourceLimit(_) => Operation::ResourceLimit,
            Self::ModelRequest(_) => Operation::ModelRequest,
            Self::AgentSpawn(_) => Operation::AgentSpawn,
        }
    }

    /// On what: a path, a program, `host:port`, `GET https://host/path`, `unix:/path`,
    /// `unix:@name`, `mount`, `socket(AF_PACKET)`, `kill 17`. Not masked yet.
    #[must_use]
    pub fn target(&self) -> String {
        match self {
            Self::FileRead(r) => text(&r.path),
            Self::FileWrite(r) => text(&r.path),
            Self::GitConfigChange(r) => text(&r.path),
            Self::GitPointer(r) => text(&r.path),
            Self::ProcessSpawn(r) => text(&r.program),
            Self::NetworkAccess(r) if r.host.contains(':') => format!("[{}]:{}", r.host, r.port),
            Self::NetworkAccess(r) => format!("{}:{}", r.host, r.port),
            Self::NetworkRead(r) if r.path.is_empty() => {
                format!("{} {}:{}", r.method, r.host, r.port)
            }
            Self::NetworkRead(r) => format!("{} {}", r.method, r.url()),
            Self::UnixSocket(r) => match &r.address {
                UnixAddress::Path(path) => format!("unix:{}", path.display()),
                UnixAddress::Abstract(name) => format!("unix:@{}", String::from_utf8_lossy(name)),
            },
            Self::SocketKind(r) => format!("{}({})", r.call, r.kind),
            Self::KernelCall(r) => match &r.argument {
                Some(argument) => format!("{}({argument})", r.call),
                None => r.call.clone(),
            },
            Self::TerminalControl(r) => format!("ioctl({})", r.control),
            Self::ProcessControl(r) => format!("{} {}", r.call, r.pid),
            Self::ResourceLimit(r) => match r.resource {
                Resource::Processes => format!("{} processes", r.limit),
                Resource::Memory => format!("{} bytes of memory", r.limit),
            },
            Self::ModelRequest(r) => format!("{} {} at {}", r.provider, r.model, r.endpoint),
            Self::TelemetryExport(r) => format!("POST {}", r.endpoint),
            Self::AgentSpawn(r) => format!("{} ({})", r.path, r.agent_type),
        }
    }
}

impl Request<'_> {
    /// What a yes beyond this once would hold for: a rule of the host over this scheme and at this
    /// port. `None` where a person is asked each time.
    #[must_use]
    pub fn lasting(&self) -> Option<String> {
        match self {
            Self::NetworkRead(r) => Some(hosts::rule_of(r.https, &r.host, r.port)),
            _ => None,
        }
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// A request of one type, which the gate can look at.
pub trait Requested {
    /// The borrowed view of it.
    fn view(&self) -> Request<'_>;
}

macro_rules! requested {
    ($($name:ident),+) => {$(
        impl Requested for $name {
            fn view(&self) -> Request<'_> { Request::$name(self) }
        }
    )+};
}

requested!(
    FileRead,
    FileWrite,
    GitConfigChange,
    GitPointer,
    ProcessSpawn,
    NetworkAccess,
    NetworkRead,
    UnixSocket,
    SocketKind,
    KernelCall,
    TerminalControl,
    ProcessControl,
    ResourceLimit,
    ModelRequest,
    TelemetryExport,
    AgentSpawn
);
