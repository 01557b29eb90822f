//! The layers of configuration, and the profile that they choose.

use codex_protocol::security_profile::SecurityProfile;

use super::origin::{ConfigError, Origin};
use super::text::{alternatives, excerpt, nearest};
use super::tree::{Layer, Setting};
use super::value::Value;
use super::warning::Warnings;
use super::words::PROFILES;

/// How near to the run a layer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    Default,
    User,
    Session,
    Environment,
    Override,
    Flag,
}

/// The sources, each read.
pub(super) struct Sources {
    pub(super) managed: Layer,
    /// The outermost first.
    pub(super) projects: Vec<Layer>,
    /// What the person chose, the farthest first.
    pub(super) stack: Vec<(Rank, Layer)>,
}

impl Sources {
    /// Puts the settings of the selected named profile in their place: under the layer that chose
    /// it when that is a run's own, else over the person's file.
    pub(super) fn select(
        &mut self,
        warnings: &mut Warnings,
    ) -> Result<Option<String>, ConfigError> {
        self.warn_of_reserved_names(warnings);
        for setting in self.projects.iter().filter_map(|l| l.get(&["profile"])) {
            // A named profile is the person's, and is chosen by them.
            if profile_word(setting).is_none() {
                warnings.ignored(&setting.origin, &setting.path);
            }
        }
        let chosen = self
            .stack
            .iter()
            .rev()
            .find_map(|(rank, layer)| Some((*rank, layer.get(&["profile"]).and_then(text)?)));
        let Some((rank, (name, origin))) = chosen else {
            return Ok(None);
        };
        if name.parse::<SecurityProfile>().is_ok() {
            return Ok(None);
        }
        let Some(layer) = self.named(&name) else {
            return Err(self.no_such_profile(&name, &origin));
        };
        let before = if rank >= Rank::Override {
            Rank::Override
        } else {
            Rank::Session
        };
        let at = self
            .stack
            .iter()
            .position(|(of, _)| *of >= before)
            .unwrap_or(self.stack.len());
        let rank = if rank >= Rank::Override {
            Rank::Override
        } else {
            rank
        };
        self.stack.insert(at, (rank, layer));
        Ok(Some(name))
    }

    /// The layers that can define profiles, the farthest first.
    fn defining(&self) -> impl Iterator<Item = &Layer> {
        std::iter::once(&self.managed).chain(self.stack.iter().map(|(_, layer)| layer))
    }

    /// The settings of `[profiles.NAME]` as if they were the top level's.
    pub(super) fn named(&self, name: &str) -> Option<Layer> {
        let mut found = Layer::default();
        let mut exists = false;
        for layer in self.defining() {
            for setting in &layer.settings {
                if let Some(path) = below_profile(&setting.path, name) {
                    let path = path.to_vec();
                    found.settings.push(Setting {
                        path,
                        ..setting.clone()
                    });
                }
            }
            for (path, origin) in &layer.named {
                match below_profile(path, name) {
                    Some([]) => exists = true,
                    Some(path) => found.named.push((path.to_vec(), origin.clone())),
                    None => {}
                }
            }
        }
        (exists || !found.settings.is_empty()).then_some(found)
    }

    fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self
            .defining()
            .flat_map(|layer| &layer.named)
            .filter_map(|(path, _)| match path.as_slice() {
                [first, name] if first == "profiles" => Some(name.as_str()),
                _ => None,
            })
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    fn no_such_profile(&self, name: &str, origin: &Origin) -> ConfigError {
        let names = self.names();
        let hint = match nearest(name, PROFILES.iter().copied().chain(names.iter().copied())) {
            Some(near) => format!("did you mean {near}?"),
            None if names.is_empty() => format!("expected {}", alternatives(PROFILES)),
            None => {
                let named: Vec<String> = names.iter().take(12).map(|name| excerpt(name)).collect();
                format!(
                    "built in are {}; configured are {}",
                    PROFILES.join(", "),
                    named.join(", ")
                )
            }
        };
        ConfigError::about(
            origin,
            format!("there is no profile {}; {hint}", excerpt(name)),
        )
    }

    fn warn_of_reserved_names(&self, warnings: &mut Warnings) {
        for (path, origin) in self.defining().flat_map(|layer| &layer.named) {
            if let [first, name] = path.as_slice()
                && first == "profiles"
                && name.parse::<SecurityProfile>().is_ok()
            {
                warnings.say(format!(
                    "{}: the profile '{name}' is built in, so this table has no effect; give it another name",
                    origin.whereabouts()
                ));
            }
        }
    }
}

/// What is left of `path` below `profiles.NAME`.
pub(super) fn below_profile<'p>(path: &'p [String], name: &str) -> Option<&'p [String]> {
    match path {
        [first, second, rest @ ..] if first == "profiles" && second == name => Some(rest),
        _ => None,
    }
}

pub(super) fn text(setting: &Setting) -> Option<(String, Origin)> {
    match &setting.value {
        Value::Text(text) => Some((text.clone(), setting.origin.clone())),
        _ => None,
    }
}

pub(super) fn word<T>(
    layer: &Layer,
    path: &[&str],
    read: impl Fn(&str) -> Option<T>,
) -> Option<(T, Origin)> {
    let setting = layer.get(path)?;
    match &setting.value {
        Value::Word(word) => Some((read(word)?, setting.origin.clone())),
        Value::Text(text) => Some((read(text)?, setting.origin.clone())),
        _ => None,
    }
}

fn profile_word(setting: &Setting) -> Option<SecurityProfile> {
    text(setting).and_then(|(name, _)| name.parse().ok())
}

/// The profiles that a layer names, in the order in which they count.
fn profiles_of(layer: &Layer) -> impl Iterator<Item = (SecurityProfile, Origin)> {
    let built_in = |word: &str| word.parse().ok();
    [
        word(layer, &["profile"], built_in),
        word(layer, &["extends"], built_in),
        word(layer, &["sandbox_mode"], SecurityProfile::from_sandbox_mode),
    ]
    .into_iter()
    .flatten()
}

/// The profile that a layer of the person's chooses.
pub(super) fn profile_of(layer: &Layer) -> Option<(SecurityProfile, Origin)> {
    profiles_of(layer).next()
}

/// The profile that a layer which only narrows allows at most.
pub(super) fn bound_of(layer: &Layer) -> Option<(SecurityProfile, Origin)> {
    profiles_of(layer).reduce(|(a, at), (b, _)| (a.narrow(b), at))
}
