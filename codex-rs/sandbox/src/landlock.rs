//! The Landlock part of a plan, as data.
//!
//! Landlock only allows: a rule gives rights to a whole tree and nothing can be taken out of it
//! again. So what is subtracted (secrets) is left out by giving the rights to everything *beside*
//! it, and [`Rule::except`] carries what to leave out until the tree can be looked at.

use codex_protocol::gate::{READABLE_DEVICES, WRITABLE_DEVICES};
use codex_protocol::policy::{Layer, Right};
use codex_protocol::secrets::PathPattern;
use codex_protocol::security_profile::SecurityProfile;
use codex_protocol::wire;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

use crate::survey::Survey;

/// Rights on files. Values: kernel header `linux/landlock.h`, `LANDLOCK_ACCESS_FS_*`.
pub mod access {
    /// Start as a program.
    pub const EXECUTE: u64 = 1 << 0;
    /// Open for writing.
    pub const WRITE_FILE: u64 = 1 << 1;
    /// Open for reading.
    pub const READ_FILE: u64 = 1 << 2;
    /// List a directory.
    pub const READ_DIR: u64 = 1 << 3;
    /// Everything that makes or removes names: `REMOVE_DIR` (4) to `MAKE_SYM` (12).
    pub const CHANGE_NAMES: u64 = 0x1ff0;
    /// Making device nodes, which is never granted: `MAKE_CHAR` (6) and `MAKE_BLOCK` (11).
    pub const MAKE_DEVICES: u64 = 1 << 6 | 1 << 11;
    /// Move or link between directories (ABI 2).
    pub const REFER: u64 = 1 << 13;
    /// Cut to a length (ABI 3).
    pub const TRUNCATE: u64 = 1 << 14;
    /// Control codes on devices (ABI 5).
    pub const IOCTL_DEV: u64 = 1 << 15;

    /// Everything that reads.
    pub const READ: u64 = READ_FILE | READ_DIR;
    /// Everything that writes.
    pub const WRITE: u64 = WRITE_FILE | CHANGE_NAMES & !MAKE_DEVICES | REFER | TRUNCATE;

    /// Every right that a kernel with this version of the interface knows.
    #[must_use]
    pub fn known(abi: u32) -> u64 {
        match abi {
            0 => 0,
            1 => (1 << 13) - 1,
            2 => (1 << 14) - 1,
            3 | 4 => (1 << 15) - 1,
            _ => (1 << 16) - 1,
        }
    }
}

/// TCP rights: `LANDLOCK_ACCESS_NET_BIND_TCP` and `_CONNECT_TCP` (ABI 4).
pub const NET_TCP: u64 = 0b11;

/// `LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET` and `LANDLOCK_SCOPE_SIGNAL` (ABI 6).
pub const SCOPES: u64 = 0b11;

/// `LANDLOCK_SCOPE_SIGNAL`.
pub(crate) const SCOPE_SIGNAL: u64 = 0b10;

/// The version of the interface that has scopes.
pub(crate) const SCOPES_SINCE: u32 = 6;

/// Rights on one tree or file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// The tree or file. One that does not exist gives nothing.
    #[serde(with = "wire::path")]
    pub path: PathBuf,
    /// The rights, of those in [`access`].
    pub access: u64,
    /// What in it gets no rights.
    pub except: Vec<PathPattern>,
}

/// A ruleset: what it governs, and what it then allows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ruleset {
    /// The file rights that are denied unless a rule gives them.
    pub handled: u64,
    /// The TCP rights that are denied.
    pub network: u64,
    /// What cannot be reached outside the sandbox.
    pub scopes: u64,
    /// What is allowed.
    pub rules: Vec<Rule>,
}

/// Directories of libraries that belong to the system. Where only listed programs may start, code is
/// loaded from these alone, and only what the user cannot change.
pub(crate) const LIBRARY_TREES: &[&str] = &[
    "/lib",
    "/lib32",
    "/lib64",
    "/nix/store",
    "/usr/lib",
    "/usr/lib32",
    "/usr/lib64",
    "/usr/libexec",
    "/usr/local/lib",
];

/// The terminal of whoever asks. A password is asked for there, unseen.
const TERMINAL: &str = "/dev/tty";

/// Programs that the kernel itself opens to start a dynamic program. An allow-list has to hold
/// them, and so lets them be started by hand; the supervisor refuses that.
const LOADERS: &[&str] = &[
    "/lib64/ld-linux-x86-64.so.2",
    "/lib/ld-linux-aarch64.so.1",
    "/lib/ld-musl-x86_64.so.1",
    "/lib/ld-musl-aarch64.so.1",
];

/// Whether only listed programs may start in this layer.
#[must_use]
pub fn has_list(layer: &Layer) -> bool {
    layer.profile == SecurityProfile::Offline
}

/// What may be read of the person's own paths, granted and not denied again.
fn granted_reads<'l>(
    layer: &'l Layer,
    denied: &'l [PathPattern],
) -> impl Iterator<Item = &'l Path> {
    let granted = layer.granted_reads();
    granted.filter(|path| !denied.iter().any(|d| d.matches(path)))
}

fn denied(layer: &Layer) -> Vec<PathPattern> {
    let denied = layer.denied_reads();
    denied.filter_map(PathPattern::exactly).collect()
}

/// The ruleset for one layer of a policy, without what [`programs`] says.
#[must_use]
pub fn files(layer: &Layer, survey: &Survey, abi: u32, supervised: bool) -> Ruleset {
    let known = access::known(abi);
    let denied = denied(layer);
    let env_files = survey.env_files.iter();
    let secrets: Vec<PathPattern> = layer
        .secrets()
        .iter()
        .cloned()
        .chain(env_files.filter_map(|f| PathPattern::exactly(f)))
        .chain(denied.clone())
        .collect();
    let (handled, read) = match has_list(layer) {
        true => (known & !access::EXECUTE, access::READ),
        false => (known, access::READ | access::EXECUTE),
    };
    let devices = PathPattern {
        parent: "/dev".into(),
        name: "*".to_owned(),
        except: None,
    };
    let mut rules = Rules::of(handled);
    let closed: Vec<PathPattern> = secrets.iter().cloned().chain([devices]).collect();
    rules.add(Path::new("/"), read, &closed);
    for device in READABLE_DEVICES {
        rules.add(Path::new(device), access::READ, &[]);
    }
    // A grant of a secret itself opens it; `rules.add` drops the patterns that name the path.
    for path in granted_reads(layer, &denied) {
        rules.add(path, read, &secrets);
    }
    for device in WRITABLE_DEVICES {
        rules.add(
            Path::new(device),
            access::WRITE_FILE | access::TRUNCATE,
            &[],
        );
    }
    // Opened only where it is the terminal that the command shares; the control codes that type into
    // it or change its driver are refused by the filter.
    rules.add(Path::new(TERMINAL), access::IOCTL_DEV, &[]);
    for root in layer.write_roots() {
        rules.add(root, access::WRITE, layer.secrets());
    }
    Ruleset {
        handled,
        // A supervised command's sockets are in a network of their own, where its servers listen.
        network: if abi >= 4 && !supervised { NET_TCP } else { 0 },
        scopes: if abi >= SCOPES_SINCE { SCOPES } else { 0 },
        rules: rules.rules,
    }
}

/// Which programs may start in a layer where only listed ones may: made by codex, which looks for
/// them, while a helper makes the other ruleset. The kernel lets through what both allow.
#[must_use]
pub fn programs(layer: &Layer, abi: u32) -> Ruleset {
    // Moving files between directories is denied by a ruleset that does not speak of it.
    let handled = access::known(abi) & (access::EXECUTE | access::REFER);
    let mut rules = Rules::of(handled);
    rules.add(Path::new("/"), access::REFER, &[]);
    for path in startable(layer) {
        rules.add(path, access::EXECUTE, &[]);
    }
    Ruleset {
        handled,
        network: 0,
        scopes: 0,
        rules: rules.rules,
    }
}

/// What may start where only listed programs may.
fn startable(layer: &Layer) -> impl Iterator<Item = &Path> {
    let places = &layer.places;
    let listed = places.listed_programs.iter().chain(&places.listed_trees);
    let granted = layer.grants.iter().filter_map(|grant| match &grant.right {
        Right::Exec(path) | Right::ExecTree(path) => Some(path.as_path()),
        _ => None,
    });
    LOADERS
        .iter()
        .map(Path::new)
        .chain(listed.map(PathBuf::as_path))
        .chain(granted)
}

struct Rules {
    known: u64,
    rules: Vec<Rule>,
}

impl Rules {
    fn of(known: u64) -> Self {
        Self {
            known,
            rules: Vec::new(),
        }
    }

    fn add(&mut self, path: &Path, access: u64, except: &[PathPattern]) {
        let inside = |p: &&PathPattern| p.parent.starts_with(path) && !p.matches(path);
        let except = except.iter().filter(inside).cloned().collect();
        self.rules.push(Rule {
            path: path.to_owned(),
            access: access & self.known,
            except,
        });
    }
}
