//! `cargo xtask check-platforms`: type-checks the binary for the systems it cannot be run on here.
//!
//! Nothing is linked, so neither a linker nor the systems' own libraries are needed. The build
//! scripts of C dependencies compile all the same; they are given a compiler that makes empty
//! files, which a check never looks into.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::failure::Failure;

/// The systems, by the names of their targets.
const TARGETS: [&str; 2] = ["x86_64-pc-windows-msvc", "aarch64-apple-darwin"];

/// What stands in for compilers and archivers: it makes the files that it is told to write.
/// `-o FILE` is the Unix spelling, `-FoFILE` and `-out:FILE` are Windows'.
const COMPILER: &str = r#"#!/bin/sh
last=
for word; do
    case $last in -o) : >"$word" ;; esac
    case $word in
    [-/]Fo*) : >"${word#?Fo}" ;;
    [-/]out:* | [-/]OUT:*) : >"${word#?????}" ;;
    esac
    last=$word
done
"#;

/// Checks every target, and says which ones passed.
pub(crate) fn run(root: &Path) -> Result<(), Failure> {
    add_targets(root)?;
    let compiler = compiler(root)?;
    for target in TARGETS {
        let arguments = ["clippy", "--target", target, "-p", "codex-cli"];
        // What only Linux's enforcer uses of the plans, which every host makes, is unused there.
        let warnings = ["--", "-D", "warnings", "-A", "dead_code"];
        let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
        let mut command = Command::new(cargo);
        command.args(arguments).args(warnings).current_dir(root);
        let suffix = target.replace('-', "_");
        for tool in ["CC", "CXX", "AR"] {
            command.env(format!("{tool}_{suffix}"), &compiler);
        }
        // Apple's would be looked up with a tool of Apple's.
        command.env("SDKROOT", root);
        complete(&mut command)?;
        println!("{target}: type-checked; nothing was run there");
    }
    Ok(())
}

/// Has rustup fetch the targets' standard libraries, where they are not there yet.
fn add_targets(root: &Path) -> Result<(), Failure> {
    let sysroot = {
        let mut command = Command::new("rustc");
        command.args(["--print", "sysroot"]).current_dir(root);
        let output = command.output().map_err(|source| start(&command, source))?;
        PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
    };
    let there = |target: &&str| sysroot.join("lib/rustlib").join(target).is_dir();
    let missing: Vec<&str> = TARGETS.into_iter().filter(|t| !there(t)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut command = Command::new("rustup");
    command.args(["target", "add"]).args(missing);
    complete(command.current_dir(root))
}

fn compiler(root: &Path) -> Result<PathBuf, Failure> {
    let folder = root.join("target/check-platforms");
    let path = folder.join("compiler");
    let written = fs::create_dir_all(&folder).and_then(|()| fs::write(&path, COMPILER));
    written.map_err(|source| Failure::write(&path, source))?;
    complete(Command::new("chmod").arg("+x").arg(&path))?;
    Ok(path)
}

fn start(command: &Command, source: std::io::Error) -> Failure {
    Failure::Start {
        command: shown(command),
        source,
    }
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(|w| w.to_string_lossy()).collect();
    words.join(" ")
}

fn complete(command: &mut Command) -> Result<(), Failure> {
    let status = command.stdin(Stdio::null()).status();
    let status = status.map_err(|source| start(command, source))?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::Program {
        command: shown(command),
        status: status.to_string(),
        stderr: "see above".to_owned(),
    })
}
