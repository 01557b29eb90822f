//! The rights that the gate reads and the sandbox enforces: a profile, a place, and what a
//! person granted for one run.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::hosts::HostRule;
use crate::secrets::{self, Name, PathPattern};
use crate::security_profile::SecurityProfile;
use crate::wire;

/// Who widened a right, so that every grant remembers why it exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantSource {
    /// A flag of this run.
    CommandLine,
    /// The person's own configuration file; never a project's.
    UserConfig,
    /// A person's answer while the run went on.
    Approval,
    /// codex itself needs it: the private temporary directory, say.
    Internal,
    /// A sub-agent's type names it; its parent's layers bound it.
    AgentDefinition,
}

/// One right that is wider, or narrower, than the profile's own. Paths are absolute and resolved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Right {
    /// This file or tree may be read, also where it is, or lies in, a secret. Secrets further down
    /// in it stay closed.
    Read(#[serde(with = "wire::path")] PathBuf),
    /// This file or tree may not be read, nor given another name under which it could be. Wins
    /// over every grant.
    DenyRead(#[serde(with = "wire::path")] PathBuf),
    /// This file or tree may be written. What is protected or secret in it stays so; what is so at
    /// or above it is opened.
    Write(#[serde(with = "wire::path")] PathBuf),
    /// This program may start.
    Exec(#[serde(with = "wire::path")] PathBuf),
    /// Programs of this tree may start.
    ExecTree(#[serde(with = "wire::path")] PathBuf),
    /// What this [`HostRule`](crate::hosts::HostRule) names may be read through the proxy. A text
    /// that is no rule names nothing.
    Host(String),
    /// What this rule names may not be reached. Wins over every grant and preset; a text that is
    /// no rule denies every host, so that a slip never opens one.
    DenyHost(String),
    /// What none of these rules names may not be reached, whatever is granted or a preset: an
    /// empty list leaves no host. A text that is no rule names nothing.
    OnlyHosts(Vec<String>),
    /// This host may be reached by a tunnel that the proxy cannot look into.
    Tunnel(String),
    /// This named read of [`READ_POSTS`](crate::hosts::READ_POSTS) may use POST where its host
    /// may be read.
    ReadPost(String),
    /// The names of hosts that this rule names may lead to private addresses, where the network
    /// that the person is in serves them so. It opens no host.
    PrivateHost(String),
    /// The hosts of this one of the [`PRESETS`](crate::hosts::PRESETS) may be read, as they may
    /// under NetReadOnly.
    Preset(String),
}

/// A [`Right`] and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// What is granted.
    pub right: Right,
    /// By whom.
    pub source: GrantSource,
}

/// Where a run takes place. Paths are absolute and resolved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Places {
    /// The directory that the agent works in.
    #[serde(with = "wire::path")]
    pub workspace: PathBuf,
    /// Further directories that count as workspace (`--add-dir`).
    #[serde(with = "wire::paths")]
    pub added: Vec<PathBuf>,
    /// The person's home, if there is one.
    #[serde(with = "wire::optional_path")]
    pub home: Option<PathBuf>,
    /// Where codex keeps its own files.
    #[serde(with = "wire::path")]
    pub codex_home: PathBuf,
    /// The programs of [`programs::listed`](crate::programs::listed) found on this machine, each
    /// at its resolved path.
    #[serde(with = "wire::paths")]
    pub listed_programs: Vec<PathBuf>,
    /// The trees of [`programs::GIT_TREES`](crate::programs::GIT_TREES) found on this machine.
    #[serde(with = "wire::paths")]
    pub listed_trees: Vec<PathBuf>,
}

/// A directory that cannot be a workspace, because writing in it would reach what the workspace
/// is meant to be kept apart from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WorkspaceRefused {
    /// A path that is relative, or empty.
    #[error("the workspace '{}' is not an absolute path; name a project directory with -C DIR", .0.display())]
    Relative(PathBuf),
    /// The root of the file system.
    #[error("the workspace is '/', which holds everything; name a project directory with -C DIR")]
    Root,
    /// A home directory, or a directory that holds homes.
    #[error("the workspace '{}' is or holds a home directory; name a project directory with -C DIR", .0.display())]
    Home(PathBuf),
    /// It holds, or lies in, the directory of codex's own keys and log.
    #[error("the workspace '{}' holds or lies in codex's own directory '{}'; name another with -C DIR, or set CODEX_HOME", .0.display(), .1.display())]
    CodexHome(PathBuf, PathBuf),
    /// It is, or lies in, what holds secrets.
    #[error("the workspace '{}' is or lies in '{}', which holds secrets; name a project directory with -C DIR", .0.display(), .1.display())]
    Secret(PathBuf, PathBuf),
}

impl Places {
    /// Refuses a workspace that is relative, is `/`, is or holds a home directory, touches
    /// `CODEX_HOME`, or lies among secrets.
    ///
    /// # Errors
    /// [`WorkspaceRefused`] says which of them it is.
    pub fn check_workspaces(&self) -> Result<(), WorkspaceRefused> {
        for workspace in self.named_workspaces() {
            if workspace.is_relative() {
                return Err(WorkspaceRefused::Relative(workspace.to_owned()));
            }
            if workspace.parent().is_none() {
                return Err(WorkspaceRefused::Root);
            }
            let homes = secrets::HOMES.iter().map(Path::new);
            let a_home = |w: &Path| {
                homes.clone().any(|h| w == h || w.parent() == Some(h)) || w == Path::new("/root")
            };
            if a_home(workspace) || self.home.as_ref().is_some_and(|h| h.starts_with(workspace)) {
                return Err(WorkspaceRefused::Home(workspace.to_owned()));
            }
            if self.codex_home.starts_with(workspace) || workspace.starts_with(&self.codex_home) {
                return Err(WorkspaceRefused::CodexHome(
                    workspace.to_owned(),
                    self.codex_home.clone(),
                ));
            }
            let home = self.home.as_deref();
            if let Some(secret) = secrets::own(home).find(|s| s.matches(workspace)) {
                return Err(WorkspaceRefused::Secret(
                    workspace.to_owned(),
                    secret.parent.join(secret.name),
                ));
            }
        }
        Ok(())
    }

    /// The workspace and the directories added to it. A relative or empty path, which would
    /// hold anything, is none.
    pub fn workspaces(&self) -> impl Iterator<Item = &Path> {
        self.named_workspaces().filter(|w| w.is_absolute())
    }

    fn named_workspaces(&self) -> impl Iterator<Item = &Path> {
        std::iter::once(&self.workspace)
            .chain(&self.added)
            .map(PathBuf::as_path)
    }
}

/// One layer of rights: a profile at a place, with grants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    /// The built-in profile that it starts from.
    pub profile: SecurityProfile,
    /// Where.
    pub places: Places,
    /// What was granted or denied beyond the profile.
    pub grants: Vec<Grant>,
    /// Patterns of environment variables added with `--pass-env`.
    pub pass_env: Vec<String>,
    /// Sorted by parent, so that a path is compared with each parent once.
    secrets: Vec<PathPattern>,
}

impl Layer {
    /// The profile's own rights at these places.
    #[must_use]
    pub fn new(profile: SecurityProfile, places: Places) -> Self {
        let secrets = secrets::patterns(places.home.as_deref(), &places.codex_home);
        let mut layer = Self {
            profile,
            places,
            grants: Vec::new(),
            pass_env: Vec::new(),
            secrets: Vec::new(),
        };
        layer.add_secrets(secrets);
        layer
    }

    /// Counts these paths as secrets too: the audit log where it was moved, the person's own.
    pub fn add_secrets(&mut self, patterns: impl IntoIterator<Item = PathPattern>) {
        self.secrets.extend(patterns);
        self.secrets
            .sort_by(|a, b| a.parent.as_os_str().cmp(b.parent.as_os_str()));
    }

    /// Everything that counts as secret, other than `.env` files and what
    /// [`is_process_file`](secrets::is_process_file) knows.
    #[must_use]
    pub fn secrets(&self) -> &[PathPattern] {
        &self.secrets
    }

    /// Whether `path` is a secret or below one.
    #[must_use]
    pub fn is_secret(&self, path: &Path) -> bool {
        secrets::is_process_file(path) || self.secrets_over(path).next().is_some()
    }

    /// Whether whoever granted `tree` opened the secret `path` with it: every pattern that makes
    /// `path` a secret makes `tree` one too. A grant of an ordinary tree opens no secret in it.
    #[must_use]
    pub fn opens(&self, tree: &Path, path: &Path) -> bool {
        holds(tree, path)
            && self.secrets_over(path).all(|secret| secret.matches(tree))
            && (!secrets::is_process_file(path) || tree == path)
    }

    /// Whether a secret lies somewhere below `path`.
    #[must_use]
    pub fn holds_secrets(&self, path: &Path) -> bool {
        self.secrets.iter().any(|secret| secret.is_within(path))
    }

    fn secrets_over<'a>(&'a self, path: &'a Path) -> impl Iterator<Item = &'a PathPattern> {
        let mut last: Option<(&Path, Option<Name<'a>>)> = None;
        self.secrets.iter().filter(move |secret| {
            let parent = secret.parent.as_path();
            if last
                .as_ref()
                .is_none_or(|(p, _)| p.as_os_str() != parent.as_os_str())
            {
                last = Some((parent, Name::below(path, parent)));
            }
            let name = last.as_ref().and_then(|(_, name)| name.as_ref());
            name.is_some_and(|name| secret.names(path, name))
        })
    }

    /// The paths granted for reading, the workspaces among them: whoever works in a directory
    /// may read it, even if it lies in another person's home.
    pub fn granted_reads(&self) -> impl Iterator<Item = &Path> {
        let granted = self.grants.iter().filter_map(|g| match &g.right {
            Right::Read(path) => Some(path.as_path()),
            _ => None,
        });
        self.places.workspaces().chain(granted)
    }

    /// The paths that may not be read whatever else is granted.
    pub fn denied_reads(&self) -> impl Iterator<Item = &Path> {
        self.grants.iter().filter_map(|g| match &g.right {
            Right::DenyRead(path) => Some(path.as_path()),
            _ => None,
        })
    }

    /// The paths granted for writing beyond the profile's own.
    pub fn granted_writes(&self) -> impl Iterator<Item = &Path> {
        self.grants.iter().filter_map(|g| match &g.right {
            Right::Write(path) => Some(path.as_path()),
            _ => None,
        })
    }

    /// Every tree in which something may be written.
    pub fn write_roots(&self) -> impl Iterator<Item = &Path> {
        let own =
            (self.profile == SecurityProfile::WorkspaceWrite).then(|| self.places.workspaces());
        own.into_iter().flatten().chain(self.granted_writes())
    }

    /// `path` as seen from the workspace that it lies in.
    #[must_use]
    pub fn in_workspace<'p>(&self, path: &'p Path) -> Option<&'p Path> {
        self.places
            .workspaces()
            .find_map(|w| path.strip_prefix(w).ok())
    }
}

/// Whether `path` is `tree` or lies in it. A relative or empty tree holds nothing.
pub(crate) fn holds(tree: &Path, path: &Path) -> bool {
    tree.is_absolute() && path.starts_with(tree)
}

/// The rights of a run: every layer has to allow what is asked.
///
/// A child gets its parent's layers and one more, so narrowing can never grant, whatever the
/// added layer says.
///
/// It can be written as JSON for a process that decides alike: nothing that a policy does without
/// is left out, so that a shortened text is no policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    outer: Vec<Layer>,
    own: Layer,
}

impl Policy {
    /// A policy of one layer.
    #[must_use]
    pub fn new(layer: Layer) -> Self {
        Self {
            outer: Vec::new(),
            own: layer,
        }
    }

    /// This policy where `path` may be written as well: in every layer, since codex made what is
    /// there for itself and no layer can have known of it.
    #[must_use]
    pub fn with_own_place(&self, path: &Path) -> Self {
        let mut policy = self.clone();
        for layer in policy.outer.iter_mut().chain([&mut policy.own]) {
            layer.grants.push(Grant {
                right: Right::Write(path.to_owned()),
                source: GrantSource::Internal,
            });
        }
        policy
    }

    /// This policy, within which `requested` holds as well.
    #[must_use]
    pub fn narrow(&self, requested: Layer) -> Self {
        let mut outer = self.outer.clone();
        outer.push(self.own.clone());
        Self {
            outer,
            own: requested,
        }
    }

    /// The same policy with another innermost layer, for a run that adds what it needs itself.
    #[must_use]
    pub fn with_own(&self, own: Layer) -> Self {
        Self {
            outer: self.outer.clone(),
            own,
        }
    }

    /// Says which programs are there to be started in layers where only listed ones may.
    pub fn list_programs(&mut self, programs: &[PathBuf], trees: &[PathBuf]) {
        for layer in self.outer.iter_mut().chain([&mut self.own]) {
            if layer.profile == SecurityProfile::Offline {
                layer.places.listed_programs = programs.to_vec();
                layer.places.listed_trees = trees.to_vec();
            }
        }
    }

    /// The layers, the outermost first. Never empty.
    pub fn layers(&self) -> impl Iterator<Item = &Layer> {
        self.outer.iter().chain(std::iter::once(&self.own))
    }

    /// The innermost layer: where the run takes place.
    #[must_use]
    pub fn own(&self) -> &Layer {
        &self.own
    }

    /// The profile that the layers amount to, as logs name it.
    #[must_use]
    pub fn profile(&self) -> SecurityProfile {
        self.outer
            .iter()
            .fold(self.own.profile, |narrowest, layer| {
                narrowest.narrow(layer.profile)
            })
    }

    /// Whether hosts are reached through the proxy: by a profile that reads the network or a grant
    /// of a host, where the profile does not reach everything anyway.
    #[must_use]
    pub fn reaches_hosts(&self) -> bool {
        let granted = |g: &Grant| {
            matches!(
                g.right,
                Right::Host(_) | Right::Tunnel(_) | Right::Preset(_)
            )
        };
        self.profile() != SecurityProfile::Trusted
            && self.layers().any(|layer| {
                layer.profile == SecurityProfile::NetReadOnly || layer.grants.iter().any(granted)
            })
    }

    /// Whether the name `host` may lead to a private address.
    #[must_use]
    pub fn may_be_private(&self, host: &str, port: u16) -> bool {
        let named = |g: &Grant| match &g.right {
            Right::PrivateHost(text) => {
                HostRule::parse(text).is_ok_and(|rule| rule.names(host, port))
            }
            _ => false,
        };
        self.layers().all(|layer| layer.grants.iter().any(named))
    }

    /// Whether an environment variable of this name reaches a command.
    #[must_use]
    pub fn passes_variable(&self, name: &str) -> bool {
        self.layers()
            .all(|layer| crate::environment::passes(name, &layer.pass_env))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workspace_that_reaches_too_far_is_refused() {
        let check = |workspace: &str| {
            Places {
                workspace: workspace.into(),
                home: Some("/home/ada".into()),
                codex_home: "/home/ada/.codex".into(),
                ..Places::default()
            }
            .check_workspaces()
        };
        assert_eq!(check("/"), Err(WorkspaceRefused::Root));
        for home in ["/home/ada", "/home", "/home/bob", "/root"] {
            assert_eq!(check(home), Err(WorkspaceRefused::Home(home.into())));
        }
        for own in ["/home/ada/.codex", "/home/ada/.codex/sessions"] {
            assert!(
                matches!(check(own), Err(WorkspaceRefused::CodexHome(..))),
                "{own}"
            );
        }
        for secret in ["/home/ada/.ssh", "/home/ada/.config/gh/x", "/run/secrets/x"] {
            assert!(
                matches!(check(secret), Err(WorkspaceRefused::Secret(..))),
                "{secret}"
            );
        }
        for relative in ["", "project"] {
            assert_eq!(
                check(relative),
                Err(WorkspaceRefused::Relative(relative.into()))
            );
        }
        for fine in ["/home/ada/project", "/srv/project", "/tmp/x"] {
            assert_eq!(check(fine), Ok(()));
        }
    }

    #[test]
    fn an_empty_or_relative_place_holds_nothing() {
        for tree in ["", "srv", "."] {
            assert!(!holds(Path::new(tree), Path::new("/srv/p")), "{tree}");
            let places = Places {
                workspace: tree.into(),
                added: vec!["/srv/p".into()],
                ..Places::default()
            };
            let workspaces: Vec<_> = places.workspaces().collect();
            assert_eq!(workspaces, [Path::new("/srv/p")]);
        }
    }

    #[test]
    fn a_granted_secret_opens_no_other_secret_in_it() {
        let mut layer = Layer::new(SecurityProfile::Offline, Places::default());
        layer.add_secrets(PathPattern::exactly(Path::new("/home/bob/p/keys")));
        let opens = |tree, path| layer.opens(Path::new(tree), Path::new(path));
        assert!(opens("/home/bob", "/home/bob/p/a"));
        assert!(!opens("/home/bob", "/home/bob/p/keys/k"));
        assert!(opens("/home/bob/p/keys", "/home/bob/p/keys/k"));
        assert!(!opens("/home", "/home/bob/p/a"));
    }
}
