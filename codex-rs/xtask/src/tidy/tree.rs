//! The files that the checks look at, read once.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::process::Command;

use super::source;
use crate::failure::Failure;
use crate::lexer;

/// The work tree: every tracked file, and every new one that is not ignored.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    /// Text files, by path from the root with `/` between components.
    pub(crate) texts: BTreeMap<String, String>,
    /// The Rust files among them, parted.
    pub(crate) rust: BTreeMap<String, RustFile>,
    /// The members of the workspace, by directory name under `codex-rs`.
    pub(crate) members: BTreeMap<String, Member>,
    /// Every path there is, directories and binary files among them.
    pub(crate) paths: BTreeSet<String>,
    /// Hosts of the package registries that this machine is configured to use instead of the
    /// public ones: none may be named in the tree.
    pub(crate) private_hosts: BTreeSet<String>,
}

/// A Rust file.
#[derive(Debug)]
pub(crate) struct RustFile {
    /// See [`lexer::Parted`].
    pub(crate) code: String,
    /// See [`lexer::Parted`].
    pub(crate) comments: String,
    /// Lines, as `wc -l` counts them.
    pub(crate) lines: usize,
    whole_file_is_test: bool,
    test_regions: Vec<Range<usize>>,
}

impl RustFile {
    fn new(text: &str) -> Self {
        let lexer::Parted { code, comments } = lexer::part(text);
        let tests = source::test_code(&code);
        Self {
            lines: text.lines().count(),
            whole_file_is_test: tests.whole,
            test_regions: tests.regions,
            code,
            comments,
        }
    }

    /// The line of a byte offset, from 1.
    pub(crate) fn line(&self, offset: usize) -> usize {
        line_of(&self.code, offset)
    }

    /// The code without what is compiled for tests only; offsets stay.
    pub(crate) fn shipped_code(&self) -> String {
        if self.whole_file_is_test {
            return String::new();
        }
        let mut code = self.code.clone().into_bytes();
        for region in &self.test_regions {
            for byte in code.get_mut(region.clone()).unwrap_or_default() {
                if *byte != b'\n' {
                    *byte = b' ';
                }
            }
        }
        String::from_utf8_lossy(&code).into_owned()
    }
}

/// A package of the workspace.
#[derive(Debug)]
pub(crate) struct Member {
    /// The path of its manifest.
    pub(crate) manifest_path: String,
    /// Its manifest.
    pub(crate) manifest: toml::Table,
    /// What it depends on.
    pub(crate) dependencies: Vec<Dependency>,
}

/// A line of a dependency table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dependency {
    /// The package's name, whatever it is called in the manifest.
    pub(crate) package: String,
    /// The directory under `codex-rs`, if it is a member of the workspace.
    pub(crate) member: Option<String>,
    /// Only for tests.
    pub(crate) dev: bool,
    /// The line in the manifest.
    pub(crate) line: usize,
}

impl Tree {
    /// Reads the tree at `root` as git sees it.
    pub(crate) fn load(root: &Path) -> Result<Self, Failure> {
        let arguments = [
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ];
        let command = format!("git {}", arguments.join(" "));
        let output = Command::new("git")
            .args(arguments)
            .current_dir(root)
            .output()
            .map_err(|source| Failure::Start {
                command: command.clone(),
                source,
            })?;
        if !output.status.success() {
            return Err(Failure::Program {
                command,
                status: output.status.to_string(),
                stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            });
        }
        let listing = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut tree = Self::read(root, listing.split('\0').filter(|path| !path.is_empty()))?;
        tree.private_hosts = super::machine::configured_hosts();
        Ok(tree)
    }

    /// Reads the named files. What is gone, is no plain file or is no UTF-8 has no text.
    pub(crate) fn read<'a>(
        root: &Path,
        listing: impl Iterator<Item = &'a str>,
    ) -> Result<Self, Failure> {
        let mut tree = Self::default();
        for path in listing {
            let full = root.join(path);
            let Ok(metadata) = fs::symlink_metadata(&full) else {
                continue;
            };
            tree.add_path(path);
            if !metadata.is_file() {
                continue;
            }
            let bytes = fs::read(&full).map_err(|source| Failure::read(&full, source))?;
            let Ok(text) = String::from_utf8(bytes) else {
                continue;
            };
            if path.ends_with(".rs") {
                tree.rust.insert(path.to_owned(), RustFile::new(&text));
            }
            tree.texts.insert(path.to_owned(), text);
        }
        tree.mark_test_files();
        tree.read_members()?;
        Ok(tree)
    }

    fn add_path(&mut self, path: &str) {
        let mut path = path;
        loop {
            self.paths.insert(path.to_owned());
            match path.rsplit_once('/') {
                Some((parent, _)) => path = parent,
                None => return,
            }
        }
    }

    /// Rust files that reach the people who install codex, with the code that is compiled for
    /// them: not tests, not the tools that are never shipped.
    pub(crate) fn shipped(&self) -> impl Iterator<Item = (&str, &RustFile)> {
        self.rust
            .iter()
            .filter(|(path, file)| !file.whole_file_is_test && !is_tool(path))
            .map(|(path, file)| (path.as_str(), file))
    }

    /// A file is a test when it lies under `tests/` or `benches/` of its package, or under a
    /// module that is declared for tests only.
    fn mark_test_files(&mut self) {
        let mut below = Vec::new();
        for (path, file) in &self.rust {
            for name in source::test_code(&file.code).modules {
                let (directory, stem) = path.rsplit_once('/').unwrap_or(("", path));
                let own = stem.trim_end_matches(".rs");
                let home = match own {
                    "lib" | "main" | "mod" => directory.to_owned(),
                    _ => format!("{directory}/{own}"),
                };
                below.push(format!("{home}/{name}"));
            }
        }
        for (path, file) in &mut self.rust {
            let in_test_folder = path
                .strip_prefix("codex-rs/")
                .and_then(|rest| rest.split('/').nth(1))
                .is_some_and(|folder| folder == "tests" || folder == "benches");
            let in_test_module = below.iter().any(|module| {
                path.strip_prefix(module.as_str())
                    .is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
            });
            file.whole_file_is_test |= in_test_folder || in_test_module;
        }
    }

    fn read_members(&mut self) -> Result<(), Failure> {
        let parse = |path: &str, text: &str| {
            text.parse::<toml::Table>()
                .map_err(|source| Failure::Manifest {
                    path: path.to_owned(),
                    source: Box::new(source),
                })
        };
        let root = match self.texts.get("Cargo.toml") {
            Some(text) => parse("Cargo.toml", text)?,
            None => toml::Table::new(),
        };
        let mut manifests = Vec::new();
        let mut directories = BTreeMap::new();
        for (path, text) in &self.texts {
            let inside = path
                .strip_prefix("codex-rs/")
                .and_then(|p| p.strip_suffix("/Cargo.toml"));
            let Some(directory) = inside.filter(|directory| !directory.contains('/')) else {
                continue;
            };
            let manifest = parse(path, text)?;
            if let Some(name) = text_at(&manifest, &["package", "name"]) {
                directories.insert(name.to_owned(), directory.to_owned());
            }
            manifests.push((directory.to_owned(), path.clone(), manifest, text.clone()));
        }
        for (directory, manifest_path, manifest, text) in manifests {
            let dependencies = dependencies(&manifest, &root, &directories, &text);
            self.members.insert(
                directory,
                Member {
                    manifest_path,
                    manifest,
                    dependencies,
                },
            );
        }
        Ok(())
    }
}

/// Whether `path` belongs to a package that is never shipped.
fn is_tool(path: &str) -> bool {
    [
        "codex-rs/test-support/",
        "codex-rs/benches/",
        "codex-rs/xtask/",
    ]
    .iter()
    .any(|tool| path.starts_with(tool))
}

/// The line of a byte offset in `text`, from 1.
pub(crate) fn line_of(text: &str, offset: usize) -> usize {
    1 + text
        .as_bytes()
        .iter()
        .take(offset)
        .filter(|byte| **byte == b'\n')
        .count()
}

fn text_at<'a>(table: &'a toml::Table, keys: &[&str]) -> Option<&'a str> {
    let (last, tables) = keys.split_last()?;
    let mut table = table;
    for key in tables {
        table = table.get(*key)?.as_table()?;
    }
    table.get(*last)?.as_str()
}

fn dependencies(
    manifest: &toml::Table,
    root: &toml::Table,
    directories: &BTreeMap<String, String>,
    text: &str,
) -> Vec<Dependency> {
    let targets = manifest.get("target").and_then(|value| value.as_table());
    let platforms = targets
        .into_iter()
        .flat_map(|table| table.values())
        .filter_map(|v| v.as_table());
    let mut found = Vec::new();
    for table in std::iter::once(manifest).chain(platforms) {
        for (kind, dev) in [
            ("dependencies", false),
            ("build-dependencies", false),
            ("dev-dependencies", true),
        ] {
            let Some(entries) = table.get(kind).and_then(|value| value.as_table()) else {
                continue;
            };
            for (name, entry) in entries {
                let renamed = entry.get("package").and_then(|value| value.as_str());
                let shared = || text_at(root, &["workspace", "dependencies", name, "package"]);
                let package = renamed.or_else(shared).unwrap_or(name).to_owned();
                let line = text
                    .lines()
                    .position(|line| {
                        let rest = line.trim_start().strip_prefix(name.as_str());
                        rest.is_some_and(|rest| rest.starts_with(['.', ' ', '=']))
                    })
                    .map_or(1, |found| found + 1);
                let member = directories.get(&package).cloned();
                found.push(Dependency {
                    package,
                    member,
                    dev,
                    line,
                });
            }
        }
    }
    found
}

#[cfg(test)]
pub(crate) mod fixture {
    //! A small tree on disk, as a check finds it.

    use super::*;

    /// Writes `files` to a temporary directory and reads them back as a tree.
    pub(crate) fn tree(files: &[(&str, &str)]) -> Tree {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let full = root.path().join(path);
            fs::create_dir_all(full.parent().unwrap()).unwrap();
            fs::write(full, text).unwrap();
        }
        Tree::read(root.path(), files.iter().map(|(path, _)| *path)).unwrap()
    }

    /// A manifest that no check finds fault with, and `rest` after it.
    pub(crate) fn manifest(name: &str, rest: &str) -> String {
        format!(
            "[package]\nname = \"codex-{name}\"\nversion.workspace = true\n\n\
             [lints]\nworkspace = true\n\n{rest}"
        )
    }

    /// `path:line` of what `check` finds in `files`.
    pub(crate) fn found(
        check: fn(&Tree) -> Vec<super::super::Violation>,
        files: &[(&str, &str)],
    ) -> Vec<String> {
        check(&tree(files))
            .iter()
            .map(|v| format!("{}:{}", v.path, v.line))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::fixture::{manifest, tree};
    use super::*;

    #[test]
    fn test_files_and_tools_are_not_shipped() {
        let tree = tree(&[
            (
                "codex-rs/core/src/lib.rs",
                "#[cfg(test)] mod checks;\nmod a;",
            ),
            ("codex-rs/core/src/checks.rs", "fn a() {}"),
            ("codex-rs/core/src/checks/deep.rs", "fn a() {}"),
            ("codex-rs/core/src/a.rs", "#[cfg(test)] mod tests;"),
            ("codex-rs/core/src/a/tests.rs", "fn a() {}"),
            ("codex-rs/core/src/a/real.rs", "fn a() {}"),
            ("codex-rs/core/tests/all.rs", "fn a() {}"),
            ("codex-rs/xtask/src/main.rs", "fn main() {}"),
        ]);
        let shipped: Vec<_> = tree.shipped().map(|(path, _)| path).collect();
        assert_eq!(
            shipped,
            [
                "codex-rs/core/src/a.rs",
                "codex-rs/core/src/a/real.rs",
                "codex-rs/core/src/lib.rs"
            ]
        );
    }

    #[test]
    fn dependencies_of_every_kind_are_seen_by_their_true_name() {
        let core = manifest(
            "core",
            "[dependencies]\ncodex-protocol.workspace = true\nwire = { package = \"codex-http\" }\n\
             [dev-dependencies]\ntempfile.workspace = true\n\
             [target.'cfg(unix)'.dependencies]\nalias.workspace = true\n",
        );
        let tree = tree(&[
            (
                "Cargo.toml",
                "[workspace.dependencies]\nalias = { package = \"libc\" }\n",
            ),
            ("codex-rs/core/Cargo.toml", &core),
            ("codex-rs/http/Cargo.toml", &manifest("http", "")),
        ]);
        let dependencies = &tree.members.get("core").unwrap().dependencies;
        let of = |package: &str| dependencies.iter().find(|d| d.package == package).unwrap();
        assert_eq!(of("codex-http").member.as_deref(), Some("http"));
        assert_eq!(of("codex-protocol").line, 9);
        assert!(of("tempfile").dev);
        assert!(!of("libc").dev);
    }

    #[test]
    fn a_missing_file_has_no_text() {
        let root = tempfile::tempdir().unwrap();
        let tree = Tree::read(root.path(), ["gone.rs"].into_iter()).unwrap();
        assert!(tree.paths.is_empty() && tree.texts.is_empty());
    }
}
