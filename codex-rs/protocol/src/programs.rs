//! Which programs the Offline profile starts. Data, printed by `codex policy show`.
//!
//! This is a spawn policy, not code control: an interpreter on the list can still compute.

/// Shells.
pub const SHELLS: &[&str] = &["sh", "bash", "dash"];

/// Programs of GNU coreutils (9.1) that read, print, compute and compare.
pub const COREUTILS: &[&str] = &[
    "[",
    "arch",
    "b2sum",
    "base32",
    "base64",
    "basename",
    "basenc",
    "cat",
    "chcon",
    "chgrp",
    "chmod",
    "chown",
    "cksum",
    "comm",
    "cp",
    "csplit",
    "cut",
    "date",
    "dd",
    "df",
    "dir",
    "dircolors",
    "dirname",
    "du",
    "echo",
    "env",
    "expand",
    "expr",
    "factor",
    "false",
    "fmt",
    "fold",
    "groups",
    "head",
    "hostid",
    "id",
    "install",
    "join",
    "kill",
    "link",
    "ln",
    "logname",
    "ls",
    "md5sum",
    "mkdir",
    "mkfifo",
    "mknod",
    "mktemp",
    "mv",
    "nice",
    "nl",
    "nohup",
    "nproc",
    "numfmt",
    "od",
    "paste",
    "pathchk",
    "pinky",
    "pr",
    "printenv",
    "printf",
    "ptx",
    "pwd",
    "readlink",
    "realpath",
    "rm",
    "rmdir",
    "seq",
    "sha1sum",
    "sha224sum",
    "sha256sum",
    "sha384sum",
    "sha512sum",
    "shred",
    "shuf",
    "sleep",
    "sort",
    "split",
    "stat",
    "stdbuf",
    "stty",
    "sum",
    "sync",
    "tac",
    "tail",
    "tee",
    "test",
    "timeout",
    "touch",
    "tr",
    "true",
    "truncate",
    "tsort",
    "tty",
    "uname",
    "unexpand",
    "uniq",
    "unlink",
    "uptime",
    "users",
    "vdir",
    "wc",
    "who",
    "whoami",
    "yes",
];

/// Programs that search, filter, compare and show text.
pub const TEXT: &[&str] = &[
    "grep", "egrep", "fgrep", "rg", "find", "xargs", "sed", "awk", "gawk", "mawk", "diff", "diff3",
    "cmp", "sdiff", "file", "jq", "less", "more", "tree", "which",
];

/// Version control.
pub const GIT: &[&str] = &["git"];

/// Directories from which alone a listed name counts: a user cannot put a program there.
pub const DIRECTORIES: &[&str] = &["/usr/local/bin", "/usr/bin", "/bin"];

/// Directories of git's own helper programs, from which git may start what it needs.
pub const GIT_TREES: &[&str] = &[
    "/usr/lib/git-core",
    "/usr/libexec/git-core",
    "/usr/local/lib/git-core",
    "/usr/local/libexec/git-core",
];

/// Every listed name.
pub fn listed() -> impl Iterator<Item = &'static str> {
    [SHELLS, COREUTILS, TEXT, GIT]
        .into_iter()
        .flatten()
        .copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interpreters_other_than_shells_and_filters_are_not_listed() {
        let names: Vec<_> = listed().collect();
        for absent in [
            "perl", "python3", "python", "node", "ruby", "gcc", "cc", "make", "curl", "ssh",
            "sudo", "su",
        ] {
            assert!(!names.contains(&absent), "{absent}");
        }
        for present in ["sh", "bash", "ls", "git", "rg", "sed"] {
            assert!(names.contains(&present), "{present}");
        }
    }
}
