//! A crate that acts for the model has no way to write a file or open a socket that skips the
//! gate.

use super::Violation;
use super::source::named_paths;
use super::tree::Tree;

/// Packages whose every act is asked of the gate; `mcp-` stands for each that starts so.
const ASKING: &[&str] = &[
    "core/",
    "supervisor/",
    "tui/",
    "mcp-",
    "deep-research/",
    "wasm-plugin/",
];

/// Functions of `std::fs`, `tokio::fs` and `rustix::fs` that change something.
const WRITING: &[&str] = &[
    "*",
    "copy",
    "create_dir",
    "create_dir_all",
    "hard_link",
    "link",
    "linkat",
    "mkdir",
    "mkdirat",
    "open",
    "openat",
    "openat2",
    "remove_dir",
    "remove_dir_all",
    "remove_file",
    "rename",
    "renameat",
    "renameat_with",
    "set_permissions",
    "soft_link",
    "symlink",
    "symlinkat",
    "unlink",
    "unlinkat",
    "write",
    "DirBuilder",
    "OpenOptions",
];

const ACTS: &[&[&str]] = &[
    &["File", "create"],
    &["File", "create_new"],
    &["File", "options"],
    &["OpenOptions"],
    &["TcpStream", "connect"],
    &["TcpStream", "connect_timeout"],
    &["TcpSocket"],
    &["TcpListener", "bind"],
    &["UdpSocket", "bind"],
    &["UnixDatagram", "bind"],
    &["UnixDatagram", "unbound"],
    &["UnixListener", "bind"],
    &["UnixStream", "connect"],
    &["rustix", "net"],
    // The one door of cap-std.
    &["ambient_authority"],
];

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for (path, file) in tree.shipped().filter(|(path, _)| is_asking(path)) {
        for named in named_paths(&file.shipped_code()) {
            let writes = named
                .segments
                .windows(2)
                .any(|pair| matches!(pair, ["fs", act] if WRITING.contains(act)));
            if writes || ACTS.iter().any(|act| named.has(act)) {
                let what = format!("`{}` writes or connects past the gate", named.text());
                let remedy = "take a Recorded<Authorized<…>> request and the interface for it";
                found.push(Violation::new(path, file.line(named.start), what, remedy));
            }
        }
    }
    found.dedup();
    found
}

fn is_asking(path: &str) -> bool {
    let inside = path.strip_prefix("codex-rs/").unwrap_or_default();
    ASKING.iter().any(|package| inside.starts_with(package))
}

#[cfg(test)]
mod tests {
    use super::super::tree::fixture::found;
    use super::*;

    #[track_caller]
    fn check_code(path: &str, code: &str, expected: usize) {
        let places = found(check, &[(path, code)]);
        assert_eq!(places.len(), expected, "{code}: {places:?}");
    }

    #[test]
    fn acts_past_the_gate_are_found() {
        let core = "codex-rs/core/src/lib.rs";
        check_code(core, "fn f() { std::fs::write(\"\", \"\") }", 1);
        check_code(core, "use std::fs;\nfn f() { fs::remove_dir_all(\"\") }", 1);
        check_code(
            core,
            "use tokio::fs::rename as mv;\n\nfn f() { mv(\"\", \"\") }",
            2,
        );
        check_code(core, "use std::fs::File;\nfn f() { File::create(\"\") }", 1);
        check_code(core, "use std::fs::*;", 1);
        check_code(core, "fn f() { cap_std::ambient_authority() }", 1);
        check_code(
            "codex-rs/mcp-client/src/a.rs",
            "fn f() { TcpStream::connect(a) }",
            1,
        );
        check_code("codex-rs/tui/src/a.rs", "use std::fs::OpenOptions;", 1);
    }

    #[test]
    fn reading_tests_and_other_crates_pass() {
        let core = "codex-rs/core/src/lib.rs";
        check_code(
            core,
            "use std::fs::{self, File};\nfn f() { fs::read(\"\"); File::open(\"\") }",
            0,
        );
        check_code(
            core,
            "#[cfg(test)]\nmod t { fn f() { std::fs::write(\"\", \"\") } }",
            0,
        );
        check_code(core, "fn f() { out.write(b\"\"); fmt::write(a, b) }", 0);
        check_code(
            "codex-rs/audit/src/writer.rs",
            "fn f() { std::fs::write(\"\", \"\") }",
            0,
        );
    }
}
