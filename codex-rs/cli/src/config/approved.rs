//! Hosts that a person allowed for good when they were asked: added to their own configuration,
//! whose other lines stay as they are.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use codex_protocol::hosts::HostRule;
use codex_protocol::permission::Keeper;
use toml::de::{DeTable, DeValue};

use super::file::{self, FILE_NAME, Unreadable};

/// The setting that holds them.
const KEY: &str = "approved_hosts";

/// The list of a person's own file.
pub(crate) struct ApprovedHosts {
    file: PathBuf,
}

impl ApprovedHosts {
    /// In the file of this `CODEX_HOME`, which is never in a workspace.
    pub(crate) fn new(codex_home: &Path) -> Self {
        Self {
            file: codex_home.join(FILE_NAME),
        }
    }

    fn add(&self, rule: &str) -> Result<(), String> {
        let failed = |error: io::Error| format!("'{}': {error}", self.file.display());
        // Another codex may be adding at the same time.
        let lock = File::create(self.file.with_extension("lock")).map_err(failed)?;
        lock.lock().map_err(failed)?;
        let bytes = file::read_bytes(&self.file).map_err(|unreadable| match unreadable {
            Unreadable::Io(error) => failed(error),
            Unreadable::Unfit(why) => format!("'{}' {why}", self.file.display()),
        })?;
        let old = String::from_utf8(bytes.unwrap_or_default())
            .map_err(|_| format!("'{}' is not UTF-8", self.file.display()))?;
        let new =
            with_host(&old, rule).map_err(|why| format!("'{}' {why}", self.file.display()))?;
        match new {
            Some(new) => replace(&self.file, &new).map_err(failed),
            None => Ok(()),
        }
    }
}

impl Keeper for ApprovedHosts {
    fn place(&self) -> String {
        format!("{KEY} in '{}'", self.file.display())
    }

    fn keep(&self, rule: &str) -> Result<(), String> {
        self.add(rule)
    }
}

/// The text of a configuration with `rule` in its list; `None` where it is there already.
fn with_host(text: &str, rule: &str) -> Result<Option<String>, String> {
    HostRule::parse(rule).map_err(|error| error.to_string())?;
    let parsed = DeTable::parse(text).map_err(|error| format!("cannot be read: {error}"))?;
    let item = format!("\"{rule}\"");
    let list = parsed.get_ref().get(KEY);
    let (at, insert) = match list.map(|list| (list.span(), list.get_ref())) {
        // Settings of the top level stand before the first table.
        None => {
            let after_mark = text.len() - text.trim_start_matches('\u{feff}').len();
            (after_mark, format!("{KEY} = [{item}]\n"))
        }
        Some((span, DeValue::Array(items))) => {
            if items.iter().any(|i| i.get_ref().as_str() == Some(rule)) {
                return Ok(None);
            }
            match items.iter().last() {
                Some(last) => (last.span().end, format!(", {item}")),
                None => (span.start + 1, item.clone()),
            }
        }
        Some(_) => return Err(format!("has a '{KEY}' that is no list")),
    };
    let Some((before, after)) = text.split_at_checked(at) else {
        return Err(format!("has a '{KEY}' that cannot be found again"));
    };
    let new = format!("{before}{insert}{after}");
    match is_old_and(text, &new, rule) {
        true => Ok(Some(new)),
        false => Err(format!(
            "cannot be changed safely; add {item} to its '{KEY}' yourself"
        )),
    }
}

/// Whether `new` says what `old` does and `rule` besides, and nothing else.
fn is_old_and(old: &str, new: &str, rule: &str) -> bool {
    let (Ok(mut old), Ok(new)) = (old.parse::<toml::Table>(), new.parse::<toml::Table>()) else {
        return false;
    };
    let list = old
        .entry(KEY)
        .or_insert_with(|| toml::Value::Array(Vec::new()));
    if let toml::Value::Array(list) = list {
        list.push(toml::Value::String(rule.to_owned()));
    }
    old == new
}

/// Puts `text` in the place of `file`, whole or not at all. A symlink stays one.
fn replace(file: &Path, text: &str) -> io::Result<()> {
    let target = match file.canonicalize() {
        Ok(target) => target,
        Err(error) if error.kind() == io::ErrorKind::NotFound => file.to_owned(),
        Err(error) => return Err(error),
    };
    let folder = target.parent().unwrap_or(&target);
    let mut new = tempfile::NamedTempFile::new_in(folder)?;
    new.write_all(text.as_bytes())?;
    if let Ok(old) = fs::metadata(&target) {
        new.as_file().set_permissions(old.permissions())?;
    }
    new.as_file().sync_all()?;
    new.persist(&target).map_err(|error| error.error)?;
    // The name lasts once its directory does; where directories cannot be opened, it does anyway.
    match File::open(folder) {
        Ok(folder) => folder.sync_all(),
        Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: &str = "https://docs.example.org";

    #[test]
    fn the_rest_of_the_file_stays_as_it_is() {
        for (old, new) in [
            ("", "approved_hosts = [\"https://docs.example.org\"]\n"),
            (
                "# mine\nmodel = 'm' # why\n[audit]\nreads = 'denied'\n",
                "approved_hosts = [\"https://docs.example.org\"]\n# mine\nmodel = 'm' # why\n[audit]\nreads = 'denied'\n",
            ),
            (
                "approved_hosts = []\nmodel = 'm'\n",
                "approved_hosts = [\"https://docs.example.org\"]\nmodel = 'm'\n",
            ),
            (
                "model = 'm'\napproved_hosts = [\n  'https://a.org', # once, in May\n]\n",
                "model = 'm'\napproved_hosts = [\n  'https://a.org', \"https://docs.example.org\", # once, in May\n]\n",
            ),
        ] {
            assert_eq!(with_host(old, RULE), Ok(Some(new.to_owned())), "{old}");
            assert_eq!(with_host(new, RULE), Ok(None), "{new}");
        }
    }

    #[test]
    fn what_cannot_be_understood_is_left_alone() {
        for bad in [
            "model = ",
            "approved_hosts = 'a.org'\n",
            "[approved_hosts]\nx = 1\n",
        ] {
            assert!(with_host(bad, RULE).is_err(), "{bad}");
        }
        assert!(with_host("", "a\"b").is_err());
    }

    #[test]
    fn several_add_at_once_and_nothing_is_lost() {
        let home = tempfile::tempdir().unwrap();
        let hosts = ApprovedHosts::new(home.path());
        std::thread::scope(|scope| {
            for n in 0..16 {
                let hosts = &hosts;
                scope.spawn(move || hosts.keep(&format!("https://h{n}.org")).unwrap());
            }
        });
        let text = fs::read_to_string(home.path().join(FILE_NAME)).unwrap();
        let table: toml::Table = text.parse().unwrap();
        assert_eq!(table[KEY].as_array().unwrap().len(), 16);
    }
}
