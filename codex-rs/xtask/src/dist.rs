//! `cargo xtask dist`: the static binary that is shipped.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::elf;
use crate::failure::Failure;

/// Builds the static binary for this host and proves that it is static.
pub(crate) fn run(root: &Path) -> Result<(), Failure> {
    let triple = host_triple()?;
    let arguments = build_arguments(&triple)?;
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let command = format!("cargo {}", arguments.join(" "));
    println!("{command}");
    let status = Command::new(cargo)
        .args(&arguments)
        .current_dir(root)
        // It would replace the flags given here, and with them the proof below.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .stdin(Stdio::null())
        .status()
        .map_err(|source| Failure::Start {
            command: command.clone(),
            source,
        })?;
    if !status.success() {
        let stderr = "see above".to_owned();
        return Err(Failure::Program {
            command,
            status: status.to_string(),
            stderr,
        });
    }
    let relative = format!("target/{triple}/release/codex");
    let path = root.join(&relative);
    let binary = fs::read(&path).map_err(|source| Failure::read(&path, source))?;
    println!("{}", describe(&relative, &binary)?);
    starts(&path)
}

/// Starts the binary: a C library that does not know packed relocations would link them, and
/// crash.
fn starts(path: &Path) -> Result<(), Failure> {
    let command = format!("{} --version", path.display());
    let output = Command::new(path)
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .map_err(|source| Failure::Start {
            command: command.clone(),
            source,
        })?;
    if output.status.success() {
        return Ok(());
    }
    Err(Failure::Program {
        command,
        status: output.status.to_string(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// Path, size and proof; refuses a binary that needs a loader.
fn describe(path: &str, binary: &[u8]) -> Result<String, Failure> {
    let headers = elf::headers(binary)
        .map_err(|what| Failure::Missing(format!("{path} is no binary to ship: {what}")))?;
    if headers.has_interpreter {
        return Err(Failure::Missing(format!(
            "{path} is not static: it has a PT_INTERP header; \
             check that no configuration replaces target.*.rustflags"
        )));
    }
    let stripped = if headers.has_symbols {
        "with symbols"
    } else {
        "stripped"
    };
    Ok(format!(
        "{path}: {} bytes, {stripped}, static (no PT_INTERP header)",
        binary.len()
    ))
}

/// The host whose toolchain links with the LLD that it brings.
const LINKED_BY_LLD: &str = "x86_64-unknown-linux-gnu";

/// What makes the binary smaller there, together by a sixth: relocations packed, functions of the
/// same code kept once, and no tables to unwind a stack by. Paths are the workspace's.
const SMALLER: [&str; 4] = [
    "link-arg=-Wl,--pack-dyn-relocs=relr",
    "link-arg=-Wl,--icf=all",
    "link-arg=-Wl,--no-eh-frame-hdr",
    "link-arg=-Wl,-T,codex-rs/xtask/src/no_unwinding.ld",
];

fn build_arguments(triple: &str) -> Result<Vec<String>, Failure> {
    if !triple.ends_with("-linux-gnu") {
        return Err(Failure::Unsupported(format!(
            "a static binary for {triple} is not supported, only for *-linux-gnu; \
             `cargo build --release -p codex-cli` builds a dynamic one"
        )));
    }
    let mut flags = vec!["target-feature=+crt-static"];
    if triple == LINKED_BY_LLD {
        flags.extend(SMALLER);
    }
    let flags: Vec<String> = flags
        .iter()
        .map(|flag| format!(r#""-C","{flag}""#))
        .collect();
    let flags = flags.join(",");
    let flags = format!("target.{triple}.rustflags=[{flags}]");
    let words = [
        "build",
        "--release",
        "--target",
        triple,
        "--config",
        &flags,
        "-p",
        "codex-cli",
    ];
    Ok(words.map(str::to_owned).to_vec())
}

fn host_triple() -> Result<String, Failure> {
    let command = "rustc -vV".to_owned();
    let output = Command::new(env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc")))
        .arg("-vV")
        .output()
        .map_err(|source| Failure::Start {
            command: command.clone(),
            source,
        })?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| Failure::Program {
        command,
        status: output.status.to_string(),
        stderr: "it names no host triple".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gnu_hosts_are_built_static_and_others_refused() {
        let arguments = build_arguments("aarch64-unknown-linux-gnu")
            .unwrap()
            .join(" ");
        assert!(arguments.contains(
            r#"--config target.aarch64-unknown-linux-gnu.rustflags=["-C","target-feature=+crt-static"]"#
        ));
        assert!(
            build_arguments("x86_64-apple-darwin")
                .unwrap_err()
                .to_string()
                .contains("darwin")
        );
    }

    #[test]
    fn only_elf_files_are_described() {
        assert!(describe("x", b"MZ").is_err());
    }
}
