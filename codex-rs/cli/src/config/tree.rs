//! Settings of several sources laid over each other.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::key::{Found, Key, find};
use super::origin::Origin;
use super::text::dotted;
use super::value::Value;

/// One setting of one source.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    pub(super) path: Vec<String>,
    pub(super) value: Value,
    pub(super) origin: Origin,
}

/// The settings of one source, in no order that matters: a source says each thing once.
#[derive(Clone, Debug, Default)]
pub(super) struct Layer {
    pub(super) settings: Vec<Setting>,
    /// The tables that the person named, also empty ones, and where.
    pub(super) named: Vec<(Vec<String>, Origin)>,
}

impl Layer {
    /// Adds a setting.
    pub(super) fn set(&mut self, path: &[&str], value: Value, origin: Origin) {
        let path = path.iter().map(|part| (*part).to_owned()).collect();
        self.settings.push(Setting {
            path,
            value,
            origin,
        });
    }

    /// The setting at `path`; of several, the last.
    pub(super) fn get(&self, path: &[&str]) -> Option<&Setting> {
        self.settings
            .iter()
            .rev()
            .find(|setting| setting.path == path)
    }
}

/// A setting, or a table of them: a table has nothing held, a setting nothing below.
#[derive(Debug, Default)]
struct Node {
    held: Option<(Value, Origin)>,
    below: BTreeMap<String, Node>,
}

impl Node {
    fn at<'p>(&mut self, path: impl IntoIterator<Item = &'p String>) -> &mut Self {
        path.into_iter().fold(self, |node, name| {
            node.below.entry(name.clone()).or_default()
        })
    }
}

/// What is in force once every source is laid over those below it.
#[derive(Debug, Default)]
pub(super) struct Tree {
    root: Node,
    /// The origin of each setting, by its dotted key.
    pub(super) origins: BTreeMap<String, Origin>,
}

impl Tree {
    /// Lays `layer` over what is there. What can be tightened, and the definitions of profiles,
    /// are left out: they are not settled by who is on top.
    pub(super) fn lay(&mut self, layer: &Layer) {
        let defines = |path: &[String]| path.first().is_some_and(|first| first == "profiles");
        for (path, _) in layer.named.iter().filter(|(path, _)| !defines(path)) {
            self.root.at(path);
        }
        for setting in layer
            .settings
            .iter()
            .filter(|setting| !defines(&setting.path))
        {
            let Found::Key(Key {
                tightens: false, ..
            }) = find(&setting.path)
            else {
                continue;
            };
            let held = (setting.value.clone(), setting.origin.clone());
            self.root.at(&setting.path).held = Some(held);
            let key = dotted(setting.path.iter().map(String::as_str));
            self.origins.insert(key, setting.origin.clone());
        }
    }

    /// Everything.
    pub(super) fn root(&self) -> Section<'_> {
        Section(Some(&self.root))
    }
}

/// A table of what is in force; reading from one that is not there gives nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Section<'t>(Option<&'t Node>);

impl<'t> Section<'t> {
    pub(super) fn section(self, name: &str) -> Self {
        Self(self.0.and_then(|node| node.below.get(name)))
    }

    /// The tables in this one.
    pub(super) fn tables(self) -> impl Iterator<Item = (&'t str, Section<'t>)> {
        self.names()
            .filter(|(_, section)| section.0.is_some_and(|node| node.held.is_none()))
    }

    fn names(self) -> impl Iterator<Item = (&'t str, Section<'t>)> {
        let below = self.0.into_iter().flat_map(|node| &node.below);
        below.map(|(name, node)| (name.as_str(), Section(Some(node))))
    }

    /// The names in this table.
    pub(super) fn all_names(self) -> impl Iterator<Item = &'t str> {
        self.names().map(|(name, _)| name)
    }

    pub(super) fn get(self, name: &str) -> Option<(&'t Value, &'t Origin)> {
        self.section(name)
            .0?
            .held
            .as_ref()
            .map(|(value, origin)| (value, origin))
    }

    pub(super) fn text(self, name: &str) -> Option<String> {
        match self.get(name)?.0 {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        }
    }

    pub(super) fn word<T>(self, name: &str, read: impl Fn(&str) -> Option<T>) -> Option<T> {
        match self.get(name)?.0 {
            Value::Word(word) => read(word),
            _ => None,
        }
    }

    pub(super) fn switch(self, name: &str) -> Option<bool> {
        match self.get(name)?.0 {
            Value::Switch(on) => Some(*on),
            _ => None,
        }
    }

    pub(super) fn whole(self, name: &str) -> Option<u64> {
        match self.get(name)?.0 {
            Value::Whole(number) => Some(*number),
            _ => None,
        }
    }

    pub(super) fn seconds(self, name: &str) -> Option<Duration> {
        match self.get(name)?.0 {
            Value::Seconds(seconds) => Some(*seconds),
            _ => None,
        }
    }

    pub(super) fn texts(self, name: &str) -> Option<Vec<String>> {
        match self.get(name)?.0 {
            Value::Texts(texts) => Some(texts.clone()),
            _ => None,
        }
    }

    pub(super) fn path(self, name: &str) -> Option<PathBuf> {
        match self.get(name)?.0 {
            Value::Path(path) => Some(path.clone()),
            _ => None,
        }
    }

    pub(super) fn raw(self, name: &str) -> Option<toml::Value> {
        match self.get(name)?.0 {
            Value::Raw(raw) => Some(raw.clone()),
            _ => None,
        }
    }

    /// The texts of the table `name`, by their names.
    pub(super) fn map(self, name: &str) -> BTreeMap<String, String> {
        let table = self.section(name);
        let texts = table.names().map(|(name, _)| name);
        texts
            .filter_map(|name| Some((name.to_owned(), table.text(name)?)))
            .collect()
    }
}
