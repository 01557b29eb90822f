//! Where a rule does not hold, and why.

use super::Violation;

/// A file, or a directory with its `/` at the end, in which a rule does not hold.
#[derive(Debug)]
pub(super) struct Exception {
    /// From the root.
    pub(super) path: &'static str,
    /// Why the rule cannot hold there.
    pub(super) reason: &'static str,
}

const fn except(path: &'static str, reason: &'static str) -> Exception {
    Exception { path, reason }
}

/// Code and dependencies that differ by platform, outside `codex-rs/sandbox/src/sys/`.
pub(super) const PLATFORM: &[Exception] = &[
    except(
        "codex-rs/audit/src/sys/mod.rs",
        "the log is opened by each system's own rules, and sandbox lies on the same layer",
    ),
    except(
        "codex-rs/sandbox/Cargo.toml",
        "the enforcers of each platform are its dependencies",
    ),
    except(
        "codex-rs/xtask/Cargo.toml",
        "peak memory of a child is asked of getrusage, on Unix",
    ),
    except(
        "codex-rs/xtask/src/peak.rs",
        "peak memory of a child is asked of getrusage, on Unix",
    ),
];

/// `unsafe` outside `codex-rs/sandbox/src/sys/`.
pub(super) const UNSAFE: &[Exception] = &[];

/// Files above the limit of lines.
pub(super) const LONG_FILES: &[Exception] = &[];

/// Starting a process outside `codex-rs/sandbox/src/sys/`.
pub(super) const SPAWN: &[Exception] = &[];

/// Writing a file or opening a socket in a crate that must ask the gate.
pub(super) const GATE: &[Exception] = &[
    except(
        "codex-rs/core/src/files.rs",
        "the interface that takes recorded requests",
    ),
    except(
        "codex-rs/core/src/store.rs",
        "the session's own file, in codex's own directory",
    ),
    except(
        "codex-rs/core/src/output.rs",
        "outputs that are too long to show, in codex's own directory",
    ),
];

/// Words that look like a path or a registry of one machine.
pub(super) const MACHINE: &[Exception] = &[
    except(
        "codex-rs/protocol/src/secrets.rs",
        "the home of root holds secrets on any machine",
    ),
    except(
        "codex-rs/xtask/src/tidy/machine.rs",
        "it names what it looks for",
    ),
];

/// Drops the violations that an exception excuses, and adds one for each exception that excuses
/// nothing.
pub(super) fn apply(
    check: &str,
    exceptions: &[Exception],
    violations: Vec<Violation>,
) -> Vec<Violation> {
    let excuses = |exception: &Exception, violation: &Violation| {
        let folder = exception.path.ends_with('/') && violation.path.starts_with(exception.path);
        folder || violation.path == exception.path
    };
    let unused = exceptions.iter().filter(|exception| {
        exception.reason.is_empty() || !violations.iter().any(|v| excuses(exception, v))
    });
    let unused: Vec<_> = unused
        .map(|exception| {
            Violation::new(
                "codex-rs/xtask/src/tidy/exceptions.rs",
                1,
                format!(
                    "the exception `{}` of `{check}` excuses nothing",
                    exception.path
                ),
                "remove it, or give its reason",
            )
        })
        .collect();
    let mut left = violations;
    left.retain(|violation| {
        !exceptions
            .iter()
            .any(|exception| excuses(exception, violation))
    });
    left.extend(unused);
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(exceptions: &[Exception], paths: &[&str]) -> Vec<String> {
        let violations = paths
            .iter()
            .map(|path| Violation::new(path, 1, "", ""))
            .collect();
        apply("size", exceptions, violations)
            .into_iter()
            .map(|v| v.path)
            .collect()
    }

    #[test]
    fn an_exception_covers_its_file_or_its_folder_only() {
        assert_eq!(
            left(&[except("a/b.rs", "r")], &["a/b.rs", "a/c.rs"]),
            ["a/c.rs"]
        );
        assert_eq!(left(&[except("a/", "r")], &["a/b.rs", "ab.rs"]), ["ab.rs"]);
        assert_eq!(left(&[except("a", "r")], &["a", "a/b.rs"]), ["a/b.rs"]);
    }

    #[test]
    fn an_unused_exception_and_one_without_a_reason_are_violations() {
        let here = "codex-rs/xtask/src/tidy/exceptions.rs";
        assert_eq!(left(&[except("a", "r")], &["b"]), ["b", here]);
        assert_eq!(left(&[except("a", "")], &["a"]), [here]);
    }
}
