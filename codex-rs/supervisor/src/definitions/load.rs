//! Where the files of definitions are, and who has a say in what.
//!
//! The person's file takes the place of a built-in type of the same name. A project's only narrows:
//! the type of the same name, or `general` for a new one. A file that is broken makes its type
//! unavailable, whoever wrote it: to go on without what it says could be to go on with more.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::de::DeTable;

use super::built_in::{self, GENERAL};
use super::document::{self, Document, MOST_BYTES};
use super::tighten::{Tightened, tighten};
use super::{Agent, DefinitionError, Origin};

/// The folder of definitions, in `CODEX_HOME` and in a project's `.codex`.
const FOLDER: &str = "agents";
/// The folder of a project's configuration.
const PROJECT_FOLDER: &str = ".codex";
/// The most definitions of one folder.
pub const MOST_FILES: usize = 64;
/// The most entries of a folder, whatever they are, that are looked through.
const MOST_ENTRIES: usize = 1024;
/// What one warning lists at most; of more, only the number is given.
const MOST_LISTED: usize = 12;

/// Where definitions are looked for. All paths are absolute.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a> {
    /// Where codex keeps its own files.
    pub codex_home: &'a Path,
    /// The directory that the run works in: its project's folders lie from the root of the
    /// repository down to it.
    pub workspace: &'a Path,
    /// The person's home, for paths as people see them.
    pub home: Option<&'a Path>,
}

/// Every type of agent of a run.
#[derive(Clone, Debug, Default)]
pub struct Definitions {
    /// In the order to show them: the built-in names, then the others by name.
    agents: Vec<Agent>,
    unusable: BTreeMap<String, DefinitionError>,
    warnings: Vec<String>,
}

/// A name under which there is no agent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAgent {
    /// Nothing has that name.
    #[error("there is no agent {name:?}; there are {}", known.join(", "))]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// Its file is broken.
    #[error("the agent '{name}' cannot be used until its file is mended: {error}")]
    Unusable {
        /// What was asked for.
        name: String,
        /// What is wrong with it.
        error: DefinitionError,
    },
}

impl Definitions {
    /// The built-in types alone.
    #[must_use]
    pub fn built_in() -> Self {
        let mut all = Self::default();
        for (name, text) in built_in::FILES {
            match document::read(text, name, &Arc::from(format!("built in {name}"))) {
                Ok(read) => all.agents.push(Agent {
                    definition: read.definition,
                    origin: Origin::BuiltIn,
                    narrowed: Vec::new(),
                }),
                Err(error) => all.unfit(name, error),
            }
        }
        all
    }

    /// The built-in types, the person's and the project's. What is wrong with a file never stops
    /// the others.
    #[must_use]
    pub fn load(sources: &Sources<'_>) -> Self {
        let mut all = Self::built_in();
        let mut ignored = Ignored::default();
        let own = sources.codex_home.join(FOLDER);
        for file in files(&own, Whose::Person, sources.home, &mut all.warnings) {
            all.take(&file);
        }
        for folder in project_folders(sources.workspace) {
            let own = folder.join(PROJECT_FOLDER);
            if is_same(&own, sources.codex_home) {
                continue;
            }
            for file in files(
                &own.join(FOLDER),
                Whose::Project,
                sources.home,
                &mut all.warnings,
            ) {
                all.narrow(&file, &mut ignored);
            }
        }
        all.warnings.extend(ignored.warning());
        let (first, mut rest): (Vec<Agent>, Vec<Agent>) =
            all.agents.into_iter().partition(|agent| {
                built_in::FILES
                    .iter()
                    .any(|(name, _)| *name == agent.definition.name)
            });
        rest.sort_by(|a, b| a.definition.name.cmp(&b.definition.name));
        all.agents = first.into_iter().chain(rest).collect();
        all
    }

    /// The agent of this name.
    ///
    /// # Errors
    /// That there is none, and which there are; or what is wrong with its file.
    pub fn get(&self, name: &str) -> Result<&Agent, NoAgent> {
        if let Some(error) = self.unusable.get(name) {
            return Err(NoAgent::Unusable {
                name: name.to_owned(),
                error: error.clone(),
            });
        }
        self.find(name).ok_or_else(|| NoAgent::Unknown {
            name: name.chars().take(document::MOST_NAME).collect(),
            known: self
                .agents()
                .map(|agent| agent.definition.name.clone())
                .collect(),
        })
    }

    /// Every agent that can be used, in the order to show them.
    pub fn agents(&self) -> impl Iterator<Item = &Agent> {
        self.agents.iter()
    }

    /// The names that cannot be used, and what is wrong with their files.
    pub fn unusable(&self) -> impl Iterator<Item = (&str, &DefinitionError)> {
        self.unusable
            .iter()
            .map(|(name, error)| (name.as_str(), error))
    }

    /// What a person should know although it stops nothing, one line each.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn find(&self, name: &str) -> Option<&Agent> {
        self.agents
            .iter()
            .find(|agent| agent.definition.name == name)
    }

    /// Takes away the agent of this name.
    fn unfit(&mut self, name: &str, error: DefinitionError) {
        self.agents.retain(|agent| agent.definition.name != name);
        // The first error is the one to mend first.
        self.unusable.entry(name.to_owned()).or_insert(error);
    }

    /// Takes away the agents that a broken file speaks of, as far as it can be told.
    fn broken(&mut self, found: &Found, error: &DefinitionError) {
        let named = found.text.as_ref().ok().and_then(|text| name_in(text));
        for name in named
            .iter()
            .map(String::as_str)
            .chain([found.stem.as_str()])
        {
            if document::is_name(name) {
                self.unfit(name, error.clone());
            }
        }
        self.warnings
            .push(format!("{error}; until then there is no such agent"));
    }

    fn read(&mut self, found: &Found) -> Option<Document> {
        let read = match &found.text {
            Ok(text) => document::read(text, &found.stem, &found.shown),
            Err(what) => Err(DefinitionError::File {
                file: Arc::clone(&found.shown),
                what: what.clone(),
            }),
        };
        match read {
            Ok(document) => {
                if !document.unused.is_empty() {
                    self.warnings.push(format!(
                        "{}: without effect here: {}",
                        found.shown,
                        listed(&document.unused)
                    ));
                }
                Some(document)
            }
            Err(error) => {
                self.broken(found, &error);
                None
            }
        }
    }

    /// A file of the person's.
    fn take(&mut self, found: &Found) {
        let Some(Document { definition, .. }) = self.read(found) else {
            return;
        };
        let incomplete = [
            ("description", &definition.description),
            ("instructions", &definition.instructions),
        ];
        if let Some((key, _)) = incomplete.iter().find(|(_, text)| text.is_empty()) {
            let error = DefinitionError::File {
                file: Arc::clone(&found.shown),
                what: format!("has no '{key}'; add it"),
            };
            self.broken(found, &error);
            return;
        }
        let name = definition.name.clone();
        if let Some(Origin::User(other)) = self.find(&name).map(|agent| &agent.origin) {
            let error = DefinitionError::File {
                file: Arc::clone(&found.shown),
                what: format!("defines '{name}', as {other} does; remove one of them"),
            };
            self.unfit(&name, error.clone());
            self.warnings
                .push(format!("{error}; until then there is no such agent"));
            return;
        }
        if self.unusable.contains_key(&name) {
            return;
        }
        self.agents.retain(|agent| agent.definition.name != name);
        self.agents.push(Agent {
            definition,
            origin: Origin::User(Arc::clone(&found.shown)),
            narrowed: Vec::new(),
        });
    }

    /// A file of a project's.
    fn narrow(&mut self, found: &Found, ignored: &mut Ignored) {
        let Some(Document { definition: by, .. }) = self.read(found) else {
            return;
        };
        if self.unusable.contains_key(&by.name) {
            return;
        }
        let base_name = match self.find(&by.name) {
            Some(_) => by.name.clone(),
            None => GENERAL.to_owned(),
        };
        let Some(base) = self.find(&base_name).cloned() else {
            let error = DefinitionError::File {
                file: Arc::clone(&found.shown),
                what: format!(
                    "can only narrow '{base_name}', which cannot be used; mend that first"
                ),
            };
            self.broken(found, &error);
            return;
        };
        let is_new = base_name != by.name;
        if is_new && by.description.is_empty() {
            let error = DefinitionError::File {
                file: Arc::clone(&found.shown),
                what: "has no 'description'; add it".to_owned(),
            };
            self.broken(found, &error);
            return;
        }
        let Tightened {
            mut definition,
            narrowed,
            ignored: more,
        } = tighten(&base.definition, &by, &found.shown);
        if is_new {
            definition.name.clone_from(&by.name);
            definition.description.clone_from(&by.description);
        }
        ignored.add(&found.shown, more);
        let agent = Agent {
            definition,
            origin: Origin::Project {
                file: Arc::clone(&found.shown),
                narrows: base_name,
                base: Box::new(base.origin),
            },
            narrowed: match is_new {
                true => narrowed,
                false => base.narrowed.into_iter().chain(narrowed).collect(),
            },
        };
        match self
            .agents
            .iter_mut()
            .find(|agent| agent.definition.name == by.name)
        {
            Some(own) => *own = agent,
            None => self.agents.push(agent),
        }
    }
}

/// The name that a broken file gives itself, if that much of it can be read.
fn name_in(text: &str) -> Option<String> {
    if text.len() > MOST_BYTES {
        return None;
    }
    let (table, _) = DeTable::parse_recoverable(text);
    let name = table.get_ref().get("name")?.get_ref().as_str()?.to_owned();
    document::is_name(&name).then_some(name)
}

/// What projects asked for in vain.
#[derive(Default)]
struct Ignored {
    entries: Vec<(Arc<str>, String)>,
    more: usize,
}

impl Ignored {
    fn add(&mut self, file: &Arc<str>, keys: Vec<String>) {
        for key in keys {
            match self.entries.len() < MOST_LISTED {
                true => self.entries.push((Arc::clone(file), key)),
                false => self.more += 1,
            }
        }
    }

    fn warning(self) -> Option<String> {
        if self.entries.is_empty() {
            return None;
        }
        let mut text = String::new();
        let mut last: Option<&Arc<str>> = None;
        for (file, key) in &self.entries {
            text.push_str(if text.is_empty() { "" } else { ", " });
            if last != Some(file) {
                text.push_str(&format!("in {file} "));
                last = Some(file);
            }
            text.push_str(&excerpt(key));
        }
        if self.more > 0 {
            text.push_str(&format!(" and {} more", self.more));
        }
        Some(format!(
            "a project's agents can only narrow; ignored: {text}. What you want of it belongs in your own agents folder"
        ))
    }
}

fn listed(names: &[String]) -> String {
    let first: Vec<String> = names.iter().take(MOST_LISTED).map(|n| excerpt(n)).collect();
    match names.len() - first.len() {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

/// A foreign text, cut where it is long.
fn excerpt(text: &str) -> String {
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// A file that was found.
struct Found {
    /// Its path, as people see it.
    shown: Arc<str>,
    /// Its name without the ending.
    stem: String,
    /// Its text, or why it has none.
    text: Result<String, String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// Symbolic links are followed: people keep such files elsewhere.
    Person,
    /// None is followed: a repository could let it point to anything.
    Project,
}

/// The definitions of a folder, by name. What cannot be looked through is told of.
fn files(
    folder: &Path,
    whose: Whose,
    home: Option<&Path>,
    warnings: &mut Vec<String>,
) -> Vec<Found> {
    let mut left_out = |why: String| {
        warnings.push(format!("{}: {why}; it is left out", shown(folder, home)));
        Vec::new()
    };
    if whose == Whose::Project {
        for part in [folder.parent().unwrap_or(folder), folder] {
            match fs::symlink_metadata(part) {
                Ok(found) if found.is_symlink() => {
                    return left_out(format!("{} is a symbolic link", shown(part, home)));
                }
                Ok(_) => {}
                Err(error) if is_absent(&error) => return Vec::new(),
                Err(error) => return left_out(format!("cannot be looked up: {error}")),
            }
        }
    }
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if is_absent(&error) => return Vec::new(),
        Err(error) => return left_out(format!("cannot be listed: {error}")),
    };
    let mut names = Vec::new();
    for (count, entry) in entries.enumerate() {
        if count >= MOST_ENTRIES {
            return left_out(format!("has more than {MOST_ENTRIES} entries"));
        }
        match entry {
            Ok(entry) => names.push(entry.path()),
            Err(error) => return left_out(format!("cannot be listed: {error}")),
        }
    }
    names.retain(|path| path.extension().is_some_and(|ending| ending == "toml"));
    if names.len() > MOST_FILES {
        return left_out(format!("has more than {MOST_FILES} agents"));
    }
    names.sort_unstable();
    names
        .into_iter()
        .map(|path| Found {
            shown: shown(&path, home),
            stem: path
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            text: text_of(&path, whose),
        })
        .collect()
}

/// A file's text, or what is wrong with the file and what to do.
fn text_of(path: &Path, whose: Whose) -> Result<String, String> {
    let failed = |error: std::io::Error| {
        format!("cannot be read: {error}; make it readable, or move it away")
    };
    let found = match whose {
        Whose::Person => fs::metadata(path),
        Whose::Project => fs::symlink_metadata(path),
    };
    let found = found.map_err(failed)?;
    // Before it is opened: opening a FIFO waits for a writer.
    if found.is_symlink() {
        return Err("is a symbolic link; put the file itself there".to_owned());
    }
    if !found.is_file() {
        return Err("is not a regular file; move it away".to_owned());
    }
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MOST_BYTES as u64 + 1).read_to_end(&mut bytes))
        .map_err(failed)?;
    if bytes.len() > MOST_BYTES {
        return Err(format!(
            "is larger than {} KiB; shorten it",
            MOST_BYTES >> 10
        ));
    }
    String::from_utf8(bytes).map_err(|_| "is not UTF-8; save it in that encoding".to_owned())
}

fn is_absent(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn is_same(a: &Path, b: &Path) -> bool {
    a == b || matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// From the root of the repository that `dir` lies in down to it; `dir` alone where there is none.
fn project_folders(dir: &Path) -> Vec<PathBuf> {
    // By its real path: above a symbolic link lies another project.
    let dir = &dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    let root = dir
        .ancestors()
        .find(|folder| fs::symlink_metadata(folder.join(".git")).is_ok())
        .unwrap_or(dir);
    let mut folders: Vec<PathBuf> = dir
        .ancestors()
        .take_while(|folder| folder.starts_with(root))
        .map(Path::to_owned)
        .collect();
    folders.reverse();
    folders
}

/// A path as people see it.
fn shown(path: &Path, home: Option<&Path>) -> Arc<str> {
    let at_home = home
        .filter(|home| home.parent().is_some())
        .and_then(|home| path.strip_prefix(home).ok());
    let text = match at_home {
        Some(rest) => format!("~/{}", rest.display()),
        None => path.display().to_string(),
    };
    // A file's name is foreign text as well.
    match text.contains(|c: char| c.is_control() || codex_protocol::glob::is_invisible(c)) {
        true => format!("{text:?}").into(),
        false => text.into(),
    }
}
