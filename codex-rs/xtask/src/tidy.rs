//! The project's own rules (DESIGN, sections 5, 6 and 11) as checks of the source tree.
//!
//! A check is a function from the tree to violations and knows nothing of exceptions: those are
//! in [`exceptions`], each with its reason, and an exception that excuses nothing is a violation
//! itself.

mod exceptions;
mod gate;
mod layers;
mod leftovers;
mod links;
mod machine;
mod manifests;
mod names;
mod platform;
mod protocol;
mod queues;
mod recorder;
mod size;
mod source;
mod spawn;
mod tree;
mod unsafe_code;

use std::fmt;
use std::path::Path;

use self::exceptions::Exception;
use self::tree::Tree;
use crate::failure::Failure;

/// Something in the tree that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Violation {
    /// From the root, with `/` between components.
    path: String,
    /// From 1.
    line: usize,
    /// What is wrong.
    what: String,
    /// What to do about it.
    remedy: String,
}

impl Violation {
    fn new(path: &str, line: usize, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            what: what.into(),
            remedy: remedy.into(),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}: {}; {}",
            self.path, self.line, self.what, self.remedy
        )
    }
}

/// A rule.
struct Check {
    /// What it is called where its exceptions are listed.
    name: &'static str,
    run: fn(&Tree) -> Vec<Violation>,
    exceptions: &'static [Exception],
}

const CHECKS: &[Check] = &[
    Check {
        name: "layers",
        run: layers::check,
        exceptions: &[],
    },
    Check {
        name: "protocol",
        run: protocol::check,
        exceptions: &[],
    },
    Check {
        name: "platform",
        run: platform::check,
        exceptions: exceptions::PLATFORM,
    },
    Check {
        name: "unsafe code",
        run: unsafe_code::check,
        exceptions: exceptions::UNSAFE,
    },
    Check {
        name: "size",
        run: size::check,
        exceptions: exceptions::LONG_FILES,
    },
    Check {
        name: "p90 of sizes",
        run: size::check_p90,
        exceptions: &[],
    },
    Check {
        name: "names",
        run: names::check,
        exceptions: &[],
    },
    Check {
        name: "leftovers",
        run: leftovers::check,
        exceptions: &[],
    },
    Check {
        name: "queues",
        run: queues::check,
        exceptions: &[],
    },
    Check {
        name: "spawn",
        run: spawn::check,
        exceptions: exceptions::SPAWN,
    },
    Check {
        name: "gate",
        run: gate::check,
        exceptions: exceptions::GATE,
    },
    Check {
        name: "recorder",
        run: recorder::check,
        exceptions: &[],
    },
    Check {
        name: "manifests",
        run: manifests::check,
        exceptions: &[],
    },
    Check {
        name: "links",
        run: links::check,
        exceptions: &[],
    },
    Check {
        name: "machine",
        run: machine::check,
        exceptions: exceptions::MACHINE,
    },
];

/// Runs every check on the tree at `root` and prints what is wrong; whether nothing is.
pub(crate) fn run(root: &Path) -> Result<bool, Failure> {
    let tree = Tree::load(root)?;
    let mut violations: Vec<Violation> = CHECKS
        .iter()
        .flat_map(|check| exceptions::apply(check.name, check.exceptions, (check.run)(&tree)))
        .collect();
    violations.sort();
    for violation in &violations {
        println!("{violation}");
    }
    println!(
        "tidy: {} files, {} crates, {} checks: {} violations; {}",
        tree.texts.len(),
        tree.members.len(),
        CHECKS.len(),
        violations.len(),
        size::summary(&tree),
    );
    Ok(violations.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_violation_says_where_what_and_what_to_do() {
        let violation = Violation::new("a/b.rs", 3, "`x` is wrong", "write `y`");
        assert_eq!(violation.to_string(), "a/b.rs:3: `x` is wrong; write `y`");
    }

    #[test]
    fn a_tree_without_faults_passes_every_check() {
        let manifest = tree::fixture::manifest("protocol", "[dependencies]\nserde = \"1\"\n");
        let tree = tree::fixture::tree(&[
            ("Cargo.toml", "[workspace]\n"),
            ("README.md", "See [the code](codex-rs/protocol/src/lib.rs)."),
            ("codex-rs/protocol/Cargo.toml", &manifest),
            (
                "codex-rs/protocol/src/lib.rs",
                "//! Words.\npub fn a() -> &'static str { \"\" }\n",
            ),
        ]);
        for check in CHECKS {
            assert_eq!((check.run)(&tree), [], "{}", check.name);
        }
    }
}
