//! No file names a path or a package registry of the machine it was written on.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::{env, fs};

use super::Violation;
use super::tree::{Tree, line_of};

/// Folders that the machines of this project's authors work in.
const FOLDERS: &[&str] = &["/work/", "/root/"];

/// Hosts that anyone may name.
const PUBLIC_HOSTS: &[&str] = &[
    "crates.io",
    "files.pythonhosted.org",
    "github.com",
    "index.crates.io",
    "proxy.golang.org",
    "pypi.org",
    "registry.npmjs.org",
    "static.crates.io",
];

/// What a lock file may give as the origin of a package.
const LOCKED: &[(&str, &str, &str)] = &[
    (
        "Cargo.lock",
        "source = \"",
        "registry+https://github.com/rust-lang/crates.io-index",
    ),
    (
        "package-lock.json",
        "\"resolved\": \"",
        "https://registry.npmjs.org/",
    ),
];

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for (path, text) in &tree.texts {
        for folder in FOLDERS {
            for at in absolute(text, folder) {
                let what = format!("a path under `{folder}`");
                let remedy = "use a relative path, or another folder in an example";
                found.push(Violation::new(path, line_of(text, at), what, remedy));
            }
        }
        for host in &tree.private_hosts {
            if let Some(at) = text.find(host.as_str()) {
                let what = "the package registry of this machine is named";
                found.push(Violation::new(
                    path,
                    line_of(text, at),
                    what,
                    "name the public one",
                ));
            }
        }
        for (name, key, origin) in LOCKED {
            if path.rsplit('/').next() != Some(name) {
                continue;
            }
            for (at, _) in text.match_indices(key) {
                let value = text.get(at + key.len()..).unwrap_or_default();
                if !value.starts_with(origin) {
                    let what = format!("a package that does not come from {origin}");
                    let remedy = "lock it again with the public registry";
                    found.push(Violation::new(path, line_of(text, at), what, remedy));
                }
            }
        }
    }
    found
}

/// Where `folder` is the start of a path, not the middle of one.
fn absolute<'a>(text: &'a str, folder: &'a str) -> impl Iterator<Item = usize> + 'a {
    text.match_indices(folder).map(|(at, _)| at).filter(|at| {
        let before = text
            .get(..*at)
            .and_then(|before| before.chars().next_back());
        !before.is_some_and(|c| c.is_alphanumeric() || "_.~-/})*$".contains(c))
    })
}

/// The hosts of the registries that this machine is configured to use, public ones left out.
pub(super) fn configured_hosts() -> BTreeSet<String> {
    let variables = env::vars_os().filter_map(|(name, value)| {
        let name = name.to_str()?.to_ascii_uppercase();
        let registry = name.ends_with("_INDEX")
            || name.ends_with("_INDEX_URL")
            || name.ends_with("CONFIG_REGISTRY")
            || name == "GOPROXY";
        if registry {
            value.into_string().ok()
        } else {
            None
        }
    });
    let home = env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let cargo = env::var_os("CARGO_HOME").map_or_else(|| home.join(".cargo"), PathBuf::from);
    let files = [
        cargo.join("config.toml"),
        home.join(".config/pip/pip.conf"),
        home.join(".pip/pip.conf"),
        PathBuf::from("/etc/pip.conf"),
    ];
    let contents = files
        .into_iter()
        .filter_map(|path| fs::read_to_string(path).ok());
    variables
        .chain(contents)
        .flat_map(|text| hosts(&text))
        .collect()
}

/// The hosts of the URLs in `text`, public and local ones left out.
fn hosts(text: &str) -> Vec<String> {
    let after_scheme = text.split("://").skip(1);
    after_scheme
        .filter_map(|rest| {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && !".-:@_".contains(c));
            let authority = rest.get(..end.unwrap_or(rest.len()))?;
            let host = authority.rsplit('@').next()?.split(':').next()?;
            // A host without a dot is too short a word to look for everywhere.
            let private = host.contains('.')
                && !PUBLIC_HOSTS.contains(&host)
                && !host.starts_with("127.")
                && !host.starts_with("0.0.0.0");
            private.then(|| host.to_owned())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::tree::fixture::{found, tree};
    use super::*;

    #[test]
    fn paths_of_a_machine_are_found() {
        let text = "a\nopen(\"/work/x\")\nHOME=/root/y";
        assert_eq!(found(check, &[("a.sh", text)]), ["a.sh:2", "a.sh:3"]);
    }

    #[test]
    fn other_paths_pass() {
        let text = "$HOME/work/x ~/work/y ../root/z /proc/1/root/w {root}/work/v /workspace/u";
        assert_eq!(found(check, &[("a.sh", text)]), [""; 0]);
    }

    #[test]
    fn registries_of_a_machine_are_found() {
        let mut tree = tree(&[("a.toml", "x\nindex = \"https://crates.example.net/index\"")]);
        assert_eq!(check(&tree), []);
        tree.private_hosts.insert("crates.example.net".to_owned());
        assert_eq!(check(&tree).len(), 1);
    }

    #[test]
    fn lock_files_name_the_public_registry() {
        let line = |origin: &str| format!("[[package]]\nsource = \"{origin}\"\n");
        let public = line("registry+https://github.com/rust-lang/crates.io-index");
        let other = line("registry+https://example.net/index");
        assert_eq!(found(check, &[("Cargo.lock", &public)]), [""; 0]);
        assert_eq!(found(check, &[("Cargo.lock", &other)]), ["Cargo.lock:2"]);
    }

    #[test]
    fn hosts_are_taken_from_urls_without_credentials() {
        let text = "a = \"https://user:word@pkg.example.net:8443/simple\"\n\
                    b = \"sparse+https://index.crates.io/\" c = http://127.0.0.1:3141/";
        assert_eq!(hosts(text), ["pkg.example.net"]);
    }
}
