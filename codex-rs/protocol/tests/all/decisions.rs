//! Tables of requests and what each profile decides, to be read beside the documentation of the
//! profiles.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::path::PathBuf;

use codex_protocol::decision::{Decision, Effect};
use codex_protocol::gate::decide;
use codex_protocol::policy::{Grant, GrantSource, Policy, Right};
use codex_protocol::request::{
    FileRead, FileWrite, KernelCall, ModelRequest, NetworkAccess, NetworkRead, ProcessControl,
    ProcessSpawn, Requested, Resource, ResourceLimit, SocketKind, TerminalControl, Transport,
    UnixAddress, UnixSocket, WriteKind,
};
use codex_protocol::security_profile::SecurityProfile;

use super::places::{places, policy, typed};

/// Requests, one a line. A line that begins with `--` replaces the grants for those after it.
const REQUESTS: &str = "
--none
read /
read /etc/passwd
read /usr/lib/libc.so
read /srv/p
read /srv/p/src/main.rs
read /srv/p/.git/config
read /srv/elsewhere/notes
read /home/ada
read /home/ada/notes
read /home/ada/.config/tool.toml
read /home/ada/.ssh
read /home/ada/.ssh/id_ed25519
read /home/ada/.SSH/id_ed25519
read /home/ada//.ssh/id_ed25519/
read /Home/Ada/.Config/GH/hosts.yml
read /home/ada/.sshrc
read /home/ada/.cargo/credentials.toml
read /home/ada/.cargo/config.toml
read /home/ada/.bash_history
read /home/ada/.claude.json
read /home/ada/.codex/audit/audit.jsonl
read /home
read /home/bob
read /home/bob/notes
read /Users/bob/notes
read /var/home/bob/notes
read /root
read /run/secrets/token
read /etc/shadow
read /etc/ssh/ssh_host_rsa_key
read /etc/ssh/ssh_host_rsa_key.pub
read /proc/17/status
read /proc/17/environ
read /proc/17/task/18/mem
read /srv/p/.env
read /srv/p/sub/.env.local
read /srv/p/.ENV
read /srv/p/.env.example
read /srv/p/.envrc
read /srv/more/.env
read /srv/elsewhere/.env
read src/main.rs
read /srv/p/../p/src/main.rs
read /srv/p/./src//main.rs

create /srv/p/src/new.rs
modify /srv/p/src/main.rs
delete /srv/p/src/main.rs
rename /srv/p/src/main.rs
metadata /srv/p/src/main.rs
modify /srv/more/a
create /srv/elsewhere/a
modify /srv/elsewhere/a
delete /srv/elsewhere/a
rename /srv/elsewhere/a
metadata /srv/elsewhere/a
modify /srv/pp/a
modify /etc/passwd
modify /home/ada/.bashrc
modify /home/ada/.ssh/authorized_keys
modify /home/bob/a
modify /home/ada/.codex/config.toml
delete /srv/p
rename /srv/p
rename /srv
metadata /srv/p
rename /home/ada/.config
create /srv/p/.git
modify /srv/p/.git
delete /srv/p/.git
rename /srv/p/.git
metadata /srv/p/.git
mkdir /srv/p/new/.git
symlink /srv/p/new/.git
link /srv/p/new/.git
mkdir /srv/p/.git/hooks
create /srv/p/.git/hooks/pre-commit.sample
metadata /srv/p/.git/hooks/pre-commit.sample
metadata /srv/p/.git/config
link /srv/p/.git/config
symlink /srv/p/.git/info
link /srv/p/.git/tAb3xYz
discard /srv/p/.git/hooks/pre-commit
discard /srv/p
rmdir /srv/p
rmdir /srv/p/.git
rename-dir /srv
rename-dir /home/ada/.config
rename-dir /srv/p/.git/modules/a/b
mkdir /srv/p/.claude
link /srv/p/hard
symlink /srv/p/soft
mkdir /srv/elsewhere/d
create /srv/p/.git/hooks/pre-commit
metadata /srv/p/.git/hooks/pre-commit
rename /srv/p/.git/config
create /srv/p/.git/config.lock
create /srv/p/.git/commondir
modify /srv/p/.GIT/Hooks/x
modify /srv/p/vendor/lib/.git/hooks/x
modify /srv/p/.git/modules/lib/config
rename /srv/p/.git/modules/lib
create /srv/p/.git/worktrees/w/commondir
delete /srv/p/.git/worktrees/w/commondir
modify /srv/p/.git/worktrees/w/commondir
modify /srv/p/.git/info/attributes
rename /srv/p/.git/info
modify /srv/p/.git/index
rename /srv/p/.git/index
create /srv/p/.git/objects/ab/cd
create /srv/p/.git/refs/heads/hooks
create /srv/p/evil/HEAD
modify /srv/p/evil/HEAD
create /srv/p/.codex/config.toml
create /srv/p/.mcp.json
create /srv/p/.claude/settings.json
create /srv/p/sub/.vscode/tasks.json
create /srv/p/.envrc
create /srv/p/.cargo/config.toml
rename /srv/p/.cargo
create /srv/p/.cargo
create /srv/p/.gitignore
modify /srv/p/.env
rename /srv/p/.env
modify /dev/null
create /dev/null
metadata /dev/null
modify /dev/sda
modify /dev/tty
modify /tmp/codex-run/a
modify a
modify /srv/p/../x

spawn /usr/bin/ls
spawn /usr/bin/git
spawn /usr/lib/git-core/git-remote-https
spawn /usr/lib/git-core-evil/x
spawn /usr/bin/python3
spawn /srv/p/ls
spawn ls

connect example.com:443
connect 127.0.0.1:80
connect ::1:80
connect localhost:80
tcp 127.0.0.1:80
tcp ::1:80
tcp ::ffff:127.0.0.1:80
udp 0.0.0.0:53
tcp 93.184.216.34:443
udp 8.8.8.8:53
udp 8.8.8.8:0
sctp 8.8.8.8:1
unix /srv/p/s
unix /srv/more/s
unix /srv/p/../s
unix /tmp/codex-run/s
unix /run/docker.sock
unix /home/ada/.gnupg/S.gpg-agent
unix @/tmp/.X11-unix/X0
kernel mount
socket AF_PACKET
terminal TIOCSTI
kill 17
limit processes 2000
limit memory 1048576
model
telemetry

--allow-read /home/ada/.ssh/known_hosts
read /home/ada/.ssh/known_hosts
read /home/ada/.ssh/id_ed25519
modify /home/ada/.ssh/known_hosts
--allow-read /home/ada/.ssh
read /home/ada/.ssh/id_ed25519
--allow-read /home/ada
read /home/ada/notes
read /home/ada/.ssh/id_ed25519
--allow-read /
read /home/ada/.ssh/id_ed25519
read /srv/p/.env
read /proc/17/environ
--allow-read /home/bob
read /home/bob/notes
--allow-read /srv/p
read /srv/p/.env
--allow-read /srv/p/.env
read /srv/p/.env
read /srv/p/sub/.env
rename /srv/p/.env
--deny-read /srv/p/private
read /srv/p/private
read /srv/p/private/a
read /srv/p/Private/a
read /srv/p/privateer
modify /srv/p/private/a
rename /srv/p/private/a
rename /srv/p/private
--deny-read /srv/p/private --allow-read /srv/p/private/a
read /srv/p/private/a

--allow-write /srv/elsewhere
modify /srv/elsewhere/a
modify /srv/elsewhere
modify /srv/p/a
read /srv/elsewhere/a
create /srv/elsewhere/.git/hooks/x
create /srv/elsewhere/.cargo/config.toml
--allow-write /srv/p
modify /srv/p/a
modify /srv/p/.git/hooks/x
delete /srv/p
--allow-write /srv/p/.git
create /srv/p/.git
modify /srv/p/.git/index
create /srv/p/.git/hooks/x
rename /srv/p/.git/config
--allow-write /srv/p/.git/hooks
create /srv/p/.git/hooks/x
modify /srv/p/.git/config
--allow-write /home/ada
modify /home/ada/.bashrc
modify /home/ada/.ssh/authorized_keys
modify /home/ada/.codex/config.toml
rename /home/ada/.config
modify /home/ada/q/.git/config
--allow-write /home/ada/.ssh/known_hosts
modify /home/ada/.ssh/known_hosts
modify /home/ada/.ssh/authorized_keys
read /home/ada/.ssh/known_hosts
--allow-write /srv/p/.env
rename /srv/p/.env
--allow-write /
modify /etc/passwd
modify /etc/shadow
modify /SRV/P/.git/hooks/x
rename /srv
--internal /tmp/codex-run
create /tmp/codex-run/a
unix /tmp/codex-run/s
create /tmp/codex-run/repo/.git/hooks/x
create /tmp/other
--internal /srv
create /srv/p/.git/hooks/x
create /srv/scratch

--allow-exec /usr/bin/python3
spawn /usr/bin/python3
spawn /usr/bin/python3.12
--allow-exec-tree /srv/tools
spawn /srv/tools/bin/x
spawn /srv/tools2/x
--allow-host example.com
connect example.com:443
connect EXAMPLE.com:80
connect www.example.com:443
connect example.com.evil.org:443
tcp example.com:443
net GET https://example.com/a
net HEAD http://EXAMPLE.com/a
net OPTIONS https://example.com/a
net POST https://example.com/a
net get https://example.com/a
net CONNECT https://example.com
net GET https://example.com:8443/
net GET https://www.example.com/
--allow-host 127.0.0.1
connect 127.0.0.1:80
tcp 127.0.0.1:80
--allow-write /run
unix /run/docker.sock
--deny-read /srv/p/private
unix /srv/p/private/s

--none
connect docs.rs:443
connect docs.rs:80
tcp docs.rs:443
net GET https://docs.rs/serde
net GET http://docs.rs/serde
net GET https://docs.rs:8443/serde
net DELETE https://docs.rs/serde
net CONNECT https://docs.rs
net GET https://evil.docs.rs/

--allow-host *.example.org/read
net GET https://a.example.org/read/x
net GET https://a.example.org/write/x
net GET https://a.example.org/read/../write
net GET https://example.org/read

--allow-host example.org --deny-host example.org/private
net GET https://example.org/public
net GET https://example.org/private/x
net GET https://example.org/%70rivate/x

--deny-host docs.rs
connect docs.rs:443
net GET https://docs.rs/

--tunnel example.org
net CONNECT https://example.org
net GET https://example.org/
net CONNECT https://example.net

--allow-host example.org --read-post git-upload-pack
net POST https://example.org/a/git-upload-pack
net POST https://example.org/a/git-receive-pack
net POST https://example.net/a/git-upload-pack

--only-hosts docs.rs
connect docs.rs:443
connect crates.io:443
net GET https://docs.rs/serde
net GET https://crates.io/
net GET https://example.com/
--only-hosts docs.rs/serde --allow-host docs.rs
net GET https://docs.rs/serde/latest
net GET https://docs.rs/tokio
--only-hosts not-a-rule: --allow-host example.com
connect example.com:443
net GET https://example.com/
--only-hosts docs.rs --tunnel example.org
net CONNECT https://example.org
";

fn grants(line: &str) -> Vec<Grant> {
    let words: Vec<_> = line.split(' ').filter(|w| *w != "--none").collect();
    words
        .chunks(2)
        .map(|pair| match pair {
            ["--allow-read", path] => typed(Right::Read(path.into())),
            ["--deny-read", path] => typed(Right::DenyRead(path.into())),
            ["--allow-write", path] => typed(Right::Write(path.into())),
            ["--allow-exec", path] => typed(Right::Exec(path.into())),
            ["--allow-exec-tree", path] => typed(Right::ExecTree(path.into())),
            ["--allow-host", host] => typed(Right::Host((*host).to_owned())),
            ["--deny-host", rule] => typed(Right::DenyHost((*rule).to_owned())),
            ["--only-hosts", rule] => typed(Right::OnlyHosts(vec![(*rule).to_owned()])),
            ["--tunnel", rule] => typed(Right::Tunnel((*rule).to_owned())),
            ["--read-post", name] => typed(Right::ReadPost((*name).to_owned())),
            ["--internal", path] => Grant {
                right: Right::Write(path.into()),
                source: GrantSource::Internal,
            },
            other => panic!("{other:?} is no grant"),
        })
        .collect()
}

fn request(line: &str) -> Box<dyn Requested> {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    let path = PathBuf::from(rest);
    let write = |kind| {
        Box::new(FileWrite {
            path: path.clone(),
            kind,
        })
    };
    match word {
        "read" => Box::new(FileRead { path }),
        "create" => write(WriteKind::Create),
        "modify" => write(WriteKind::Modify),
        "delete" => write(WriteKind::Delete),
        "rename" => write(WriteKind::Rename),
        "rename-dir" => write(WriteKind::RenameDirectory),
        "mkdir" => write(WriteKind::MakeDirectory),
        "rmdir" => write(WriteKind::RemoveDirectory),
        "discard" => write(WriteKind::Discard),
        "link" => write(WriteKind::Link),
        "symlink" => write(WriteKind::Symlink),
        "metadata" => write(WriteKind::Metadata),
        "spawn" => Box::new(ProcessSpawn {
            program: path,
            argv: vec![rest.into()],
            cwd: places().workspace,
        }),
        "connect" | "tcp" | "udp" | "sctp" => {
            let (host, port) = rest.rsplit_once(':').unwrap();
            Box::new(NetworkAccess {
                host: host.to_owned(),
                port: port.parse().unwrap(),
                transport: match word {
                    "connect" => Transport::Proxy,
                    "tcp" => Transport::Tcp,
                    "udp" => Transport::Udp,
                    other => Transport::Other(other.to_owned()),
                },
            })
        }
        "unix" => Box::new(UnixSocket {
            address: match rest.strip_prefix('@') {
                Some(name) => UnixAddress::Abstract(name.into()),
                None => UnixAddress::Path(path),
            },
        }),
        "kernel" => {
            let (call, argument) = match rest.split_once(' ') {
                Some((call, argument)) => (call, Some(argument.to_owned())),
                None => (rest, None),
            };
            Box::new(KernelCall {
                call: call.to_owned(),
                argument,
            })
        }
        "socket" => Box::new(SocketKind {
            call: word.to_owned(),
            kind: rest.to_owned(),
        }),
        "terminal" => Box::new(TerminalControl {
            control: rest.to_owned(),
        }),
        "kill" => Box::new(ProcessControl {
            call: word.to_owned(),
            pid: rest.parse().unwrap(),
        }),
        "limit" => {
            let (resource, limit) = rest.split_once(' ').unwrap();
            Box::new(ResourceLimit {
                resource: match resource {
                    "processes" => Resource::Processes,
                    _ => Resource::Memory,
                },
                limit: limit.parse().unwrap(),
            })
        }
        "net" => {
            let (method, url) = rest.split_once(' ').unwrap();
            let (scheme, rest) = url.split_once("://").unwrap();
            let https = scheme == "https";
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            let usual = if https { 443 } else { 80 };
            let (host, port) = match authority.split_once(':') {
                Some((host, port)) => (host, port.parse().unwrap()),
                None => (authority, usual),
            };
            Box::new(NetworkRead {
                method: method.to_owned(),
                https,
                host: host.to_owned(),
                port,
                path: path.to_owned(),
                query: None,
            })
        }
        "model" => Box::new(ModelRequest {
            provider: "openai".to_owned(),
            model: "some".to_owned(),
            endpoint: "https://example.com/v1".to_owned(),
        }),
        "telemetry" => Box::new(codex_protocol::request::TelemetryExport {
            endpoint: "https://example.com/v1/traces".to_owned(),
        }),
        other => panic!("{other:?} is no request"),
    }
}

fn rows(mut row: impl FnMut(&str, &[Grant], &dyn Requested)) {
    let mut granted = Vec::new();
    for line in REQUESTS.lines() {
        if line.starts_with("--") {
            granted = grants(line);
            row(line, &granted, request("model").as_ref());
        } else if !line.is_empty() {
            row(line, &granted, request(line).as_ref());
        }
    }
}

pub(super) fn decision(
    profile: SecurityProfile,
    granted: &[Grant],
    request: &dyn Requested,
) -> Decision {
    decide(&policy(profile, granted.to_vec()), request.view())
}

fn snapshot(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

#[test]
fn every_profile_decides_as_documented() {
    let mut table = format!("{:<44}", "");
    for profile in SecurityProfile::ALL {
        write!(table, " {:<20}", profile.name()).unwrap();
    }
    rows(|line, granted, request| {
        if line.starts_with("--") {
            write!(table, "\n\n{line}").unwrap();
            return;
        }
        write!(table, "\n{line:<44}").unwrap();
        for profile in SecurityProfile::ALL {
            let decision = decision(profile, granted, request);
            let effect = match decision.effect {
                Effect::Allow => "yes",
                Effect::Ask => "ask",
                Effect::Deny => "-",
            };
            write!(table, " {effect:<3} {:<16}", decision.rule.0).unwrap();
        }
    });
    let table: Vec<_> = table.lines().map(str::trim_end).collect();
    snapshot("decisions", &table.join("\n"));
}

#[test]
fn every_denial_says_which_profile_why_and_what_would_allow_it() {
    let mut seen = HashSet::new();
    let mut table = String::new();
    for profile in SecurityProfile::ALL {
        rows(|line, granted, request| {
            if line.starts_with("--") {
                return;
            }
            let decision = decision(profile, granted, request);
            let start = format!("{} profile: ", profile.name());
            assert!(decision.reason.starts_with(&start), "{}", decision.reason);
            if decision.effect == Effect::Allow {
                assert_eq!(decision.remedy, None, "{line}");
                return;
            }
            // One row stands for all that get the same reason and the same kind of remedy.
            let kind = decision.remedy.as_ref().map(std::mem::discriminant);
            if seen.insert((decision.reason.clone(), kind)) {
                writeln!(table, "{line}\n    {}", decision.explanation()).unwrap();
            }
        });
    }
    snapshot("explanations", &table);
}

#[test]
fn targets_say_on_what() {
    for (line, operation, target) in [
        (
            "tcp 93.184.216.34:443",
            "network_access",
            "93.184.216.34:443",
        ),
        ("udp ::1:53", "network_access", "[::1]:53"),
        ("unix /srv/p/s", "network_access", "unix:/srv/p/s"),
        ("unix @a", "network_access", "unix:@a"),
        ("kernel mount", "privilege", "mount"),
        ("socket AF_PACKET", "network_access", "socket(AF_PACKET)"),
        ("terminal TIOCSTI", "privilege", "ioctl(TIOCSTI)"),
        ("kill 17", "privilege", "kill 17"),
        ("limit processes 2000", "resource_limit", "2000 processes"),
        ("limit memory 5", "resource_limit", "5 bytes of memory"),
    ] {
        let request = request(line);
        let view = request.view();
        assert_eq!(view.operation().as_str(), operation, "{line}");
        assert_eq!(view.target(), target, "{line}");
    }
}

#[test]
fn of_equally_strict_layers_the_outermost_answers() {
    let outer = policy(SecurityProfile::WorkspaceWrite, Vec::new());
    let inner = super::places::layer(SecurityProfile::Offline, Vec::new());
    let both: Policy = outer.narrow(inner);
    let reason = |line| decide(&both, request(line).view()).reason;
    assert!(reason("connect example.com:443").starts_with("WorkspaceWrite profile: "));
    assert!(reason("modify /srv/p/a").starts_with("Offline profile: "));
    assert!(reason("read /etc/passwd").starts_with("WorkspaceWrite profile: "));
}
