//! What a person should know although it stops nothing.

use super::origin::Origin;
use super::text::dotted_excerpt;

/// Keys that one warning lists; of more, only the number is given.
const MOST_LISTED: usize = 12;

/// A key that nothing knows.
#[derive(Debug)]
pub(super) struct Unknown {
    pub(super) key: Vec<String>,
    pub(super) origin: Origin,
    /// What was probably meant.
    pub(super) near: Option<String>,
}

/// Warnings so far. Unknown keys end as one, and so do keys that a project cannot set.
#[derive(Debug, Default)]
pub(super) struct Warnings {
    said: Vec<String>,
    unknown: Vec<Unknown>,
    more_unknown: usize,
    ignored: Vec<(String, String)>,
    more_ignored: usize,
}

impl Warnings {
    pub(super) fn say(&mut self, warning: String) {
        self.said.push(warning);
    }

    /// Whether a suggestion for a further unknown key would still be listed.
    pub(super) fn suggests(&self) -> bool {
        self.unknown.len() < MOST_LISTED
    }

    pub(super) fn unknown(&mut self, unknown: Unknown) {
        if self.unknown.len() < MOST_LISTED {
            self.unknown.push(unknown);
        } else {
            self.more_unknown += 1;
        }
    }

    /// A project's file sets what it cannot. Tables are named, not each key in them.
    pub(super) fn ignored(&mut self, origin: &Origin, path: &[String]) {
        let file = match origin {
            Origin::Project(place) => place.file.to_string(),
            other => other.to_string(),
        };
        let key = match path {
            [first, second, ..] if first == "audit" => {
                dotted_excerpt([first.as_str(), second.as_str()])
            }
            [first, ..] => dotted_excerpt([first.as_str()]),
            [] => return,
        };
        let entry = (file, key);
        if self.ignored.contains(&entry) {
            return;
        }
        if self.ignored.len() < MOST_LISTED {
            self.ignored.push(entry);
        } else {
            self.more_ignored += 1;
        }
    }

    /// Everything, in the order to show it.
    pub(super) fn finish(mut self) -> Vec<String> {
        let more = |count: usize| match count {
            0 => String::new(),
            count => format!(" and {count} more"),
        };
        if !self.unknown.is_empty() {
            let listed: Vec<String> = self.unknown.iter().map(described).collect();
            self.said.push(format!(
                "unknown configuration without effect: {}{}",
                listed.join(", "),
                more(self.more_unknown)
            ));
        }
        if !self.ignored.is_empty() {
            let mut listed = String::new();
            let mut file = "";
            for (of, key) in &self.ignored {
                listed.push_str(if listed.is_empty() { "" } else { ", " });
                if of != file {
                    listed.push_str(&format!("in {of} "));
                    file = of;
                }
                listed.push_str(key);
            }
            self.said.push(format!(
                "a project's configuration can only tighten; ignored: {listed}{}. What you want of it belongs in your own config.toml",
                more(self.more_ignored)
            ));
        }
        self.said
    }
}

fn described(unknown: &Unknown) -> String {
    let key = dotted_excerpt(unknown.key.iter().map(String::as_str));
    let at = match &unknown.origin {
        Origin::Project(at) | Origin::User(at) | Origin::Managed(at) => at.to_string(),
        other => other.whereabouts(),
    };
    match &unknown.near {
        Some(near) => format!("'{key}' ({at}; did you mean '{near}'?)"),
        None => format!("'{key}' ({at})"),
    }
}
