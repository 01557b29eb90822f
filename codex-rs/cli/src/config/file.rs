//! Reading configuration files, and finding a project's.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use codex_protocol::security_profile::SecurityProfile;

use super::document::{self, Owner, Source};
use super::origin::{ConfigError, Origin, Place};
use super::tree::Layer;
use super::value::{Base, Value};
use super::warning::Warnings;

/// The most bytes that a configuration file may have. Real ones have a few thousand.
const MOST_BYTES: u64 = 1 << 20;

/// The folder of a project's configuration, and the file in it.
const PROJECT_FOLDER: &str = ".codex";
/// The file in [`PROJECT_FOLDER`] and in `CODEX_HOME`.
pub(super) const FILE_NAME: &str = "config.toml";

/// Reads the managed or the person's own file. An absent one says nothing.
pub(super) fn layer(
    path: &Path,
    owner: Owner,
    home: Option<&Path>,
    warnings: &mut Warnings,
) -> Result<Layer, ConfigError> {
    let file = shown(path, home);
    let failed = |what: String| ConfigError::File {
        file: file.clone(),
        what,
    };
    let bytes = match read_bytes(path) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Ok(Layer::default()),
        Err(Unreadable::Io(error)) => {
            return Err(failed(format!(
                "cannot be read: {error}; make it readable, or move it away"
            )));
        }
        Err(Unreadable::Unfit(why)) => return Err(failed(format!("{why}; move it away"))),
    };
    let folder = path.parent().unwrap_or(path);
    parse(&bytes, owner, file, Base { folder, home }, warnings)
}

/// Reads the files of the project around `dir`, the outermost first.
///
/// A file that is reached through a symbolic link, is no file or is too large says nothing, with
/// a warning: a repository could let it point to anything, and whoever opens a FIFO waits.
/// One that is broken stops nothing either, for whoever writes in a workspace could break it; so
/// that it takes nothing away, it counts as asking for the narrowest profile.
pub(super) fn project_layers(
    dir: &Path,
    codex_home: &Path,
    home: Option<&Path>,
    warnings: &mut Warnings,
) -> Vec<Layer> {
    let mut layers = Vec::new();
    for folder in project_folders(dir) {
        let path = folder.join(PROJECT_FOLDER).join(FILE_NAME);
        let bytes = match read_in_project(&folder, codex_home) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => continue,
            Err(why) => {
                let why = match why {
                    Unreadable::Io(error) => format!("cannot be read: {error}"),
                    Unreadable::Unfit(why) => why,
                };
                warnings.say(format!("{}: {why}; it is left out", shown(&path, home)));
                continue;
            }
        };
        let file = shown(&path, home);
        let base = Base {
            folder: &folder,
            home,
        };
        let read = parse(&bytes, Owner::Project, Arc::clone(&file), base, warnings);
        layers.push(read.unwrap_or_else(|error| {
            warnings.say(format!(
                "{error}; until it is mended, it is taken to ask for the offline profile"
            ));
            narrowest(file, &error)
        }));
    }
    layers
}

/// What a broken file counts as.
fn narrowest(file: Arc<str>, error: &ConfigError) -> Layer {
    let at = match error {
        ConfigError::InFile { at, .. } => at.clone(),
        _ => Place {
            file,
            line: 1,
            column: 1,
        },
    };
    let mut layer = Layer::default();
    let profile = SecurityProfile::default().flag().to_owned();
    layer.set(&["profile"], Value::Text(profile), Origin::Project(at));
    layer
}

/// From the root of the repository that `dir` lies in down to it; `dir` alone where there is none.
fn project_folders(dir: &Path) -> Vec<PathBuf> {
    // By its real path: above a symbolic link lies another project.
    let dir = &dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    let root = dir
        .ancestors()
        .find(|folder| fs::symlink_metadata(folder.join(".git")).is_ok());
    let Some(root) = root else {
        return vec![dir.to_owned()];
    };
    let mut folders: Vec<PathBuf> = dir
        .ancestors()
        .take_while(|folder| folder.starts_with(root))
        .map(Path::to_owned)
        .collect();
    folders.reverse();
    folders
}

pub(super) enum Unreadable {
    Io(std::io::Error),
    Unfit(String),
}

impl From<std::io::Error> for Unreadable {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

fn read_in_project(folder: &Path, codex_home: &Path) -> Result<Option<Vec<u8>>, Unreadable> {
    let own = folder.join(PROJECT_FOLDER);
    let path = own.join(FILE_NAME);
    for (part, at) in [("its folder", &own), ("the file", &path)] {
        match fs::symlink_metadata(at) {
            Ok(found) if found.is_symlink() => {
                return Err(Unreadable::Unfit(format!("{part} is a symbolic link")));
            }
            Ok(_) => {}
            Err(error) if absent(&error) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
    // At home the person's own folder has the same name; it is no project's.
    let same = own == codex_home
        || matches!((own.canonicalize(), codex_home.canonicalize()), (Ok(a), Ok(b)) if a == b);
    if same {
        return Ok(None);
    }
    read_bytes(&path)
}

pub(super) fn read_bytes(path: &Path) -> Result<Option<Vec<u8>>, Unreadable> {
    let found = match fs::metadata(path) {
        Ok(found) => found,
        Err(error) if absent(&error) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    // Before it is opened: opening a FIFO waits for a writer.
    if found.is_dir() {
        return Err(Unreadable::Unfit("is a directory, not a file".to_owned()));
    }
    if !found.is_file() {
        return Err(Unreadable::Unfit("is not a regular file".to_owned()));
    }
    let large = || Unreadable::Unfit(format!("is larger than {MOST_BYTES} bytes"));
    if found.len() > MOST_BYTES {
        return Err(large());
    }
    let mut bytes = Vec::new();
    File::open(path)?
        .take(MOST_BYTES + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(large());
    }
    Ok(Some(bytes))
}

fn absent(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn parse(
    bytes: &[u8],
    owner: Owner,
    file: Arc<str>,
    base: Base<'_>,
    warnings: &mut Warnings,
) -> Result<Layer, ConfigError> {
    match std::str::from_utf8(bytes) {
        Ok(text) => document::read(
            &Source {
                file,
                text,
                owner,
                base,
            },
            warnings,
        ),
        Err(error) => {
            let valid = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let text = String::from_utf8_lossy(valid);
            let line_start = text.rfind('\n').map_or(0, |at| at + 1);
            let column = text.get(line_start..).unwrap_or_default().chars().count() + 1;
            let line = text.matches('\n').count() + 1;
            Err(ConfigError::InFile {
                at: Place { file, line, column },
                what: "not UTF-8; save it in that encoding".to_owned(),
            })
        }
    }
}

/// A path as people see it.
pub(super) fn shown(path: &Path, home: Option<&Path>) -> Arc<str> {
    let at_home = home
        .filter(|home| home.parent().is_some())
        .and_then(|h| path.strip_prefix(h).ok());
    let text = match at_home {
        Some(rest) => format!("~/{}", rest.display()),
        None => path.display().to_string(),
    };
    // A directory's name is foreign text as well.
    match text.chars().any(char::is_control) {
        true => super::text::quoted(&text).into(),
        false => text.into(),
    }
}
