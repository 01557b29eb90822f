//! Names and paths of agents.

use std::fmt;

use serde::Serialize;

/// The longest name, in bytes: it is shown in every line about its agent.
pub const LONGEST_NAME: usize = 40;

/// A name that an agent cannot have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' cannot be an agent's name: use 1 to {LONGEST_NAME} of a-z, 0-9, '-' and '_', with a letter first"
)]
pub struct BadName(String);

/// What an agent is called among its parent's: a file name on every system, one word in a shell.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct AgentName(String);

impl AgentName {
    /// Takes `text` as a name.
    ///
    /// # Errors
    /// [`BadName`] where it is none.
    pub fn new(text: &str) -> Result<Self, BadName> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
        let fits = (1..=LONGEST_NAME).contains(&text.len())
            && text.bytes().all(plain)
            && text.as_bytes().first().is_some_and(u8::is_ascii_lowercase);
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadName(text.chars().take(LONGEST_NAME).collect()))
        }
    }

    /// The name made of whatever the text has that may be in one.
    #[must_use]
    pub fn from_words(text: &str) -> Self {
        let word: String = text
            .to_ascii_lowercase()
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .skip_while(|c| !c.is_ascii_lowercase())
            .take(LONGEST_NAME - 4)
            .collect();
        let word = word.trim_end_matches('-');
        Self(if word.is_empty() { "agent" } else { word }.to_owned())
    }

    /// This name with a number behind it, to tell it from another's.
    #[must_use]
    pub fn numbered(&self, number: usize) -> Self {
        let kept: String = self.0.chars().take(LONGEST_NAME - 5).collect();
        Self(format!("{kept}-{number}"))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AgentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where an agent stands below the main one: `main`, `main/fix`, `main/fix/check`. Unique in a
/// run, also after its agent has ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct AgentPath(String);

impl AgentPath {
    /// The agent that talks to the person.
    #[must_use]
    pub fn main() -> Self {
        Self("main".to_owned())
    }

    /// The child of this name.
    #[must_use]
    pub fn child(&self, name: &AgentName) -> Self {
        Self(format!("{}/{name}", self.0))
    }

    /// The agent that started this one; `None` for the main one.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        self.0
            .rsplit_once('/')
            .map(|(parent, _)| Self(parent.to_owned()))
    }

    /// How many agents are above it.
    #[must_use]
    pub fn depth(&self) -> u32 {
        u32::try_from(self.0.matches('/').count()).unwrap_or(u32::MAX)
    }

    /// Whether this agent is `other` or somewhere below it.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        self.0
            .strip_prefix(&other.0)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// The last name of the path.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AgentPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_words_of_a_shell_and_of_a_file_system() {
        for good in ["a", "fix-2", "the_tests"] {
            assert_eq!(AgentName::new(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            "-a",
            "2nd",
            "A",
            "a/b",
            "..",
            "a b",
            "\u{1b}",
            &"a".repeat(41),
        ] {
            assert!(AgentName::new(bad).is_err(), "{bad:?}");
        }
        for text in ["Fix the parser!", "../../etc", "", "日本", &"x".repeat(99)] {
            let name = AgentName::from_words(text).numbered(12);
            assert!(AgentName::new(name.as_str()).is_ok(), "{name}");
        }
    }

    #[test]
    fn paths_know_what_is_above_them() {
        let main = AgentPath::main();
        let fix = main.child(&AgentName::new("fix").unwrap());
        let check = fix.child(&AgentName::new("check").unwrap());
        assert_eq!(check.as_str(), "main/fix/check");
        assert_eq!((check.parent(), main.parent()), (Some(fix.clone()), None));
        assert_eq!((main.depth(), check.depth(), check.name()), (0, 2, "check"));
        assert!(check.is_within(&fix) && fix.is_within(&fix) && !fix.is_within(&check));
        let fixed = main.child(&AgentName::new("fixed").unwrap());
        assert!(!fixed.is_within(&fix));
    }
}
