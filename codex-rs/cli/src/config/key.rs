//! The shape of a setting: what its key is called, what its value may be, who may set it.

use super::keys::{KEYS, UNUSED};

/// What a value may be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// Any text but an empty one.
    Text,
    /// An `http` or `https` URL.
    Url,
    /// One of these words, or a word that is read as one of them.
    Word(
        &'static [&'static str],
        &'static [(&'static str, &'static str)],
    ),
    /// An approval policy: a word, or Codex's table of finer choices, read as `on-request`.
    Approval,
    /// `true` or `false`.
    Switch,
    /// A whole number within these bounds.
    Whole(u64, u64),
    /// Seconds, also with a fraction.
    Seconds,
    /// A list of texts.
    Texts,
    /// A list of names of environment variables in which `*` stands for any run of characters.
    Variables,
    /// A list of host names.
    Hosts,
    /// A path; `~` and relative ones are resolved.
    Path,
    /// A list of paths.
    Paths,
    /// A list of paths whose last part may hold `*`.
    Patterns,
    /// Anything, kept as it is.
    Raw,
}

/// A setting.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    /// Its dotted path; `*` stands for any name.
    pub(super) path: &'static str,
    pub(super) kind: Kind,
    /// What holds where nothing sets it, in words.
    pub(super) default: &'static str,
    /// Whether a project's or the managed file can narrow what others set. Such a file cannot set
    /// any other key (project) or gives it its lowest value (managed).
    pub(super) tightens: bool,
    /// Whether the value is nobody else's business.
    pub(super) secret: bool,
    /// What it does, for people.
    pub(super) doc: &'static str,
}

/// A setting without a default that the person's own file sets.
pub(super) const fn key(path: &'static str, kind: Kind, doc: &'static str) -> Key {
    Key {
        path,
        kind,
        default: "",
        tightens: false,
        secret: false,
        doc,
    }
}

impl Key {
    pub(super) const fn default(mut self, default: &'static str) -> Self {
        self.default = default;
        self
    }

    pub(super) const fn tightens(mut self) -> Self {
        self.tightens = true;
        self
    }

    pub(super) const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }
}

/// What the table says about a path.
#[derive(Clone, Copy, Debug)]
pub(super) enum Found {
    /// A setting.
    Key(&'static Key),
    /// The last part names one of a kind of table that the person names: `[profiles.work]`.
    Named,
    /// A table that holds settings.
    Table,
    /// Codex's, without effect here; whatever is below it is not looked at.
    Unused,
    Unknown,
}

/// The table in which a named profile holds the settings of the top level again.
const PROFILES: &str = "profiles";

/// Whether a named profile can hold the top level's `first`.
pub(super) fn fits_profile(first: &str) -> bool {
    !matches!(first, "profile" | PROFILES | "projects" | "approved_hosts")
}

/// Looks up a path.
pub(super) fn find(path: &[String]) -> Found {
    let own = find_own(path);
    match (own, path) {
        (Found::Unknown, [first, _, rest @ ..]) if first == PROFILES && !rest.is_empty() => {
            match rest.first() {
                Some(inner) if fits_profile(inner) => find_own(rest),
                _ => Found::Unknown,
            }
        }
        _ => own,
    }
}

fn find_own(path: &[String]) -> Found {
    let mut found = Found::Unknown;
    for key in KEYS {
        match fit(key.path, path) {
            Fit::Whole => return Found::Key(key),
            Fit::Begins { named: true } => found = Found::Named,
            Fit::Begins { named: false } => found = Found::Table,
            Fit::Not => {}
        }
    }
    if UNUSED
        .iter()
        .any(|unused| matches!(fit(unused, path), Fit::Whole))
    {
        return Found::Unused;
    }
    found
}

enum Fit {
    Whole,
    Begins { named: bool },
    Not,
}

/// Whether `path` is what `pattern` describes, or its beginning.
fn fit(pattern: &str, path: &[String]) -> Fit {
    // Most patterns differ at once, and a hostile file has many keys.
    if path
        .first()
        .is_some_and(|first| !pattern.starts_with(first.as_str()))
    {
        return Fit::Not;
    }
    let mut parts = pattern.split('.');
    let mut named = false;
    for name in path {
        match parts.next() {
            Some("*") => named = true,
            Some(part) if part == name => named = false,
            _ => return Fit::Not,
        }
    }
    match parts.next() {
        None => Fit::Whole,
        Some(_) => Fit::Begins { named },
    }
}

/// The names that may stand below `path`.
pub(super) fn names_below(path: &[String]) -> Vec<&'static str> {
    let mut names = own_names_below(path);
    if let [first, _, rest @ ..] = path
        && first == PROFILES
    {
        names.extend(
            own_names_below(rest)
                .into_iter()
                .filter(|name| fits_profile(name)),
        );
    }
    names
}

fn own_names_below(path: &[String]) -> Vec<&'static str> {
    let mut names: Vec<&str> = Vec::new();
    for pattern in KEYS
        .iter()
        .map(|key| key.path)
        .chain(UNUSED.iter().copied())
    {
        if let Fit::Begins { .. } = fit(pattern, path)
            && let Some(name) = pattern.split('.').nth(path.len())
            && name != "*"
            && names.last() != Some(&name)
        {
            names.push(name);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(dotted: &str) -> Vec<String> {
        dotted.split('.').map(str::to_owned).collect()
    }

    #[test]
    fn paths_are_looked_up() {
        let said = |dotted: &str| match find(&path(dotted)) {
            Found::Key(key) => key.path,
            Found::Named => "named",
            Found::Table => "table",
            Found::Unused => "unused",
            Found::Unknown => "unknown",
        };
        for (dotted, expected) in [
            ("model", "model"),
            ("models", "table"),
            ("models.x", "named"),
            ("models.x.tools", "models.*.tools"),
            ("models.x.tool", "unknown"),
            ("model_providers.x.http_headers", "table"),
            (
                "model_providers.x.http_headers.A",
                "model_providers.*.http_headers.*",
            ),
            ("profiles.x", "named"),
            ("profiles.x.extends", "profiles.*.extends"),
            ("profiles.x.model", "model"),
            ("profiles.x.profile", "unknown"),
            ("profiles.x.profiles.y.extends", "unknown"),
            ("profiles.x.tui", "unused"),
            ("extends", "unknown"),
            ("tui", "unused"),
            ("nothing", "unknown"),
        ] {
            assert_eq!(said(dotted), expected, "{dotted}");
        }
    }

    #[test]
    fn names_below_a_table_are_listed_for_suggestions() {
        assert!(names_below(&[]).contains(&"model"));
        assert!(names_below(&[]).contains(&"tui"));
        assert!(names_below(&path("audit")).contains(&"detail"));
        let profile = names_below(&path("profiles.x"));
        assert!(profile.contains(&"extends") && profile.contains(&"sandbox_mode"));
        assert!(!profile.contains(&"profiles"));
    }

    #[test]
    fn no_key_is_also_a_table_or_listed_twice() {
        let all: Vec<&str> = KEYS
            .iter()
            .map(|k| k.path)
            .chain(UNUSED.iter().copied())
            .collect();
        for (at, one) in all.iter().enumerate() {
            for (other_at, other) in all.iter().enumerate() {
                assert!(at == other_at || one != other, "{one} twice");
                assert!(
                    !other.starts_with(&format!("{one}.")),
                    "{other} is below {one}"
                );
            }
        }
    }

    #[test]
    fn every_key_says_what_it_does() {
        for key in KEYS {
            assert!(key.doc.ends_with('.'), "{}", key.path);
            assert!(
                !key.doc.contains('|') && !key.doc.contains('\n'),
                "{}",
                key.path
            );
        }
    }
}
