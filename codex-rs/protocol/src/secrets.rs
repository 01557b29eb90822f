//! Which files are secrets. Data, printed by `codex policy show`.

use std::borrow::Cow;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::glob;
use crate::wire;

/// Every file below `parent` whose path goes on with a name that fits `name`, and everything
/// below that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathPattern {
    /// The directory that holds what is named.
    #[serde(with = "wire::path")]
    pub parent: PathBuf,
    /// A name, in which `*` stands for any run of characters.
    pub name: String,
    /// A directory that does not count although its name fits: one's own home among the homes.
    #[serde(with = "wire::optional_path")]
    pub except: Option<PathBuf>,
}

impl PathPattern {
    /// The pattern for exactly `path` and what is below it. `None` for `/`, which has no name.
    #[must_use]
    pub fn exactly(path: &Path) -> Option<Self> {
        Some(Self {
            parent: path.parent()?.to_owned(),
            name: path.file_name()?.to_string_lossy().into_owned(),
            except: None,
        })
    }

    /// Whether `path` is what the pattern names, or below it, in whatever spelling.
    #[must_use]
    pub fn matches(&self, path: &Path) -> bool {
        Name::below(path, &self.parent).is_some_and(|name| self.names(path, &name))
    }

    /// [`Self::matches`] for a `path` whose name below `self.parent` is known to be `name`.
    pub(crate) fn names(&self, path: &Path, name: &Name<'_>) -> bool {
        name.fits(&self.name)
            && self
                .except
                .as_ref()
                .is_none_or(|own| !path.starts_with(own))
    }

    /// Whether an entry of `parent` with this name is what the pattern names.
    #[must_use]
    pub fn fits_name(&self, name: &str) -> bool {
        Name::new(name.into()).fits(&self.name)
    }

    /// Whether what the pattern names lies somewhere below `path`.
    #[must_use]
    pub fn is_within(&self, path: &Path) -> bool {
        glob::below(&self.parent, path).is_some()
    }
}

/// A name to compare with many patterns.
pub(crate) struct Name<'n> {
    text: Cow<'n, str>,
    /// The folded form, where it differs.
    folded: Option<String>,
}

impl<'n> Name<'n> {
    fn new(text: Cow<'n, str>) -> Self {
        let folded = glob::fold(&text);
        let folded = (folded != text).then(|| folded.into_owned());
        Self { text, folded }
    }

    /// The first name of `path` below `parent`.
    pub(crate) fn below(path: &'n Path, parent: &Path) -> Option<Self> {
        match glob::below(path, parent)?.next()? {
            Component::Normal(name) => Some(Self::new(name.to_string_lossy())),
            _ => None,
        }
    }

    fn fits(&self, pattern: &str) -> bool {
        glob::matches(pattern, &self.text, true)
            || self
                .folded
                .as_ref()
                .is_some_and(|folded| glob::matches(pattern, folded, true))
    }
}

/// Secrets below a home directory: the path, and what it holds. A `*` may stand in the last
/// component.
pub const IN_HOME: &[(&str, &str)] = &[
    (".ssh", "SSH keys"),
    (".gnupg", "GnuPG keys"),
    (".aws", "AWS credentials"),
    (".azure", "Azure credentials"),
    (".config/gcloud", "Google Cloud credentials"),
    (".config/gh", "GitHub CLI token"),
    (".config/hub", "GitHub token"),
    (".config/glab-cli", "GitLab CLI token"),
    (".config/git/credentials", "git credentials"),
    (".config/rclone", "rclone remotes' credentials"),
    (".config/op", "1Password CLI"),
    (".config/sops", "sops keys"),
    (".kube", "Kubernetes credentials"),
    (".docker/config.json", "container registry credentials"),
    (
        ".config/containers/auth.json",
        "container registry credentials",
    ),
    (".netrc", "machine passwords"),
    ("_netrc", "machine passwords"),
    (".pgpass", "PostgreSQL passwords"),
    (".my.cnf", "MySQL passwords"),
    (".git-credentials", "git credentials"),
    (".npmrc", "npm token"),
    (".yarnrc.yml", "yarn token"),
    (".pypirc", "PyPI token"),
    (".gem/credentials", "RubyGems token"),
    (".cargo/credentials*", "crates.io token"),
    (".m2/settings*.xml", "Maven passwords"),
    (".gradle/gradle.properties", "Gradle passwords"),
    (".terraform.d/credentials*", "Terraform token"),
    (".terraformrc", "Terraform token"),
    (".vault-token", "Vault token"),
    (".password-store", "password store"),
    (".local/share/keyrings", "keyring"),
    (".local/share/kwalletd", "keyring"),
    ("Library/Keychains", "keyring"),
    (".bash_history", "shell history"),
    (".zsh_history", "shell history"),
    (".histfile", "shell history"),
    (".local/share/fish/fish_history", "shell history"),
    (".python_history", "interpreter history"),
    (".node_repl_history", "interpreter history"),
    (".psql_history", "database history"),
    (".mysql_history", "database history"),
    (".rediscli_history", "database history"),
    (".mozilla", "browser profile"),
    (".config/google-chrome*", "browser profile"),
    (".config/chromium*", "browser profile"),
    (".config/BraveSoftware", "browser profile"),
    (".config/microsoft-edge*", "browser profile"),
    (
        "Library/Application Support/Google/Chrome",
        "browser profile",
    ),
    ("Library/Application Support/Firefox", "browser profile"),
    (".claude/.credentials.json", "another agent's credentials"),
    (".claude.json", "another agent's credentials"),
    (".gemini/oauth_creds.json", "another agent's credentials"),
    (".config/github-copilot", "another agent's credentials"),
    (
        ".local/share/opencode/auth.json",
        "another agent's credentials",
    ),
    (".codex", "codex's own keys, sessions and audit log"),
];

/// Secrets at fixed places.
pub const AT_PATHS: &[(&str, &str)] = &[
    ("/run/secrets", "mounted secrets"),
    ("/var/run/secrets", "mounted secrets"),
    ("/etc/shadow", "password hashes"),
    ("/etc/shadow-", "password hashes"),
    ("/etc/gshadow", "password hashes"),
    ("/etc/gshadow-", "password hashes"),
    ("/etc/ssl/private", "private keys"),
    ("/etc/ssh/ssh_host_*_key", "host keys"),
    ("/etc/sudoers", "privilege configuration"),
    ("/etc/sudoers.d", "privilege configuration"),
    ("/var/spool/cron", "users' scheduled jobs"),
];

/// Directories whose entries are people's homes; all but one's own count as secrets.
pub const HOMES: &[&str] = &["/home", "/var/home", "/Users"];

/// Files of `/proc` that show what a process holds: its environment, where keys are, and memory.
/// The system keeps a confined command from those of others; this is for what reads in codex's
/// own process.
pub const PROCESS_FILES: &[&str] = &["environ", "mem"];

/// Whether `path` shows what a process, or the kernel, holds: one of [`PROCESS_FILES`] of any
/// process or thread, or `/proc/kcore`.
#[must_use]
pub fn is_process_file(path: &Path) -> bool {
    let Ok(rest) = path.strip_prefix("/proc") else {
        return false;
    };
    let mut names = rest.components().map(Component::as_os_str);
    match (names.next(), names.next(), names.next(), names.next()) {
        (Some(name), None, ..) => name == "kcore",
        (Some(_), Some(name), None, _) => PROCESS_FILES.iter().any(|f| name == *f),
        (Some(_), Some(task), Some(_), Some(name)) => {
            task == "task" && PROCESS_FILES.iter().any(|f| name == *f)
        }
        _ => false,
    }
}

/// Names of files in a workspace that often hold secrets: in-process tools ask before they read
/// them, and commands cannot read those that exist when they start.
pub const ENV_FILES: &[&str] = &[".env", ".env.*"];

/// Names that fit [`ENV_FILES`] and hold no secrets by convention.
pub const ENV_FILE_TEMPLATES: &[&str] = &[
    ".env.example",
    ".env.sample",
    ".env.template",
    ".env.dist",
    ".env.defaults",
];

/// Whether a file of this name in a workspace counts as holding secrets.
#[must_use]
pub fn is_env_file(name: &str) -> bool {
    let spelled = Name::new(name.into());
    ENV_FILES.iter().any(|p| spelled.fits(p))
        && !ENV_FILE_TEMPLATES
            .iter()
            .any(|t| t.eq_ignore_ascii_case(name))
}

/// The secrets at fixed places and below `home`.
pub(crate) fn own(home: Option<&Path>) -> impl Iterator<Item = PathPattern> {
    let in_home = home.into_iter().flat_map(|home| {
        IN_HOME
            .iter()
            .filter_map(|(path, _)| PathPattern::exactly(&home.join(path)))
    });
    let at_paths = AT_PATHS
        .iter()
        .filter_map(|(path, _)| PathPattern::exactly(Path::new(path)));
    in_home.chain(at_paths)
}

/// The secrets of a person whose home is `home` and whose codex keeps its own under
/// `codex_home`.
#[must_use]
pub fn patterns(home: Option<&Path>, codex_home: &Path) -> Vec<PathPattern> {
    let home = home.filter(|home| home.is_absolute());
    let mut found: Vec<_> = own(home).collect();
    found.extend(HOMES.iter().map(|parent| {
        PathPattern {
            parent: PathBuf::from(parent),
            name: "*".to_owned(),
            // A home of `/`, which some services have, must not except every other.
            except: home
                .filter(|home| home.starts_with(parent) && *home != Path::new(parent))
                .map(Path::to_owned),
        }
    }));
    if home.is_none_or(|home| !home.starts_with("/root")) {
        found.extend(PathPattern::exactly(Path::new("/root")));
    }
    let codex_home = PathPattern::exactly(codex_home);
    found.extend(codex_home.filter(|pattern| !found.contains(pattern)));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_components() {
        let found = patterns(Some(Path::new("/home/ada")), Path::new("/home/ada/.codex"));
        let secret = |p: &str| found.iter().any(|s| s.matches(Path::new(p)));
        for path in [
            "/home/ada/.ssh",
            "/home/ada/.ssh/id_ed25519",
            "/home/ada/.SSH/id",
            "/Home/ADA/.Config/GH/hosts.yml",
            "/home/ada/.\u{df}h/id",
            "/home/ada/.ssh./id",
            "/home/ada/.cargo/credentials.toml",
            "/home/ada/.codex/audit/audit.jsonl",
            "/home/bob",
            "/home/bob/notes",
            "/root/x",
            "/etc/shadow",
            "/etc/shadow-",
            "/run/secrets/token",
        ] {
            assert!(secret(path), "{path}");
        }
        for path in [
            "/home/ada",
            "/home/ada/.sshrc",
            "/home/ada/.cargo/config.toml",
            "/home",
            "/etc/passwd",
            "/",
        ] {
            assert!(!secret(path), "{path}");
        }
    }

    #[test]
    fn a_home_that_holds_others_does_not_open_them() {
        for home in ["/", "/home", "relative", ""] {
            let found = patterns(Some(Path::new(home)), Path::new("/var/lib/codex"));
            for path in ["/home/bob/notes", "/root/x", "/etc/shadow"] {
                assert!(
                    found.iter().any(|s| s.matches(Path::new(path))),
                    "{home} {path}"
                );
            }
        }
    }

    #[test]
    fn files_that_show_what_a_process_holds_are_known() {
        for (path, expected) in [
            ("/proc/17/environ", true),
            ("/proc/self/environ", true),
            ("/proc/17/task/18/mem", true),
            ("/proc/kcore", true),
            ("/proc/17/status", false),
            ("/proc/17/task/18/stat", false),
            ("/proc/mem", false),
            ("/srv/proc/17/environ", false),
            ("/proc", false),
        ] {
            assert_eq!(is_process_file(Path::new(path)), expected, "{path}");
        }
    }

    #[test]
    fn env_files_are_told_from_their_templates() {
        for (name, expected) in [
            (".env", true),
            (".env.local", true),
            (".ENV", true),
            (".env.", true),
            (".e\u{200c}nv", true),
            (".env.example", false),
            (".envrc", false),
            ("env", false),
        ] {
            assert_eq!(is_env_file(name), expected, "{name}");
        }
    }
}
