//! Files that mean harm: none stops more than it must, and no project's file widens anything.

use std::fs;

use codex_protocol::security_profile::SecurityProfile;
use proptest::prelude::*;

use super::super::keys::{KEYS, UNUSED};
use super::super::words::AuditReads;
use super::schema::samples;
use super::{Desk, Run};
use crate::config::Config;

#[test]
fn nesting_and_size_have_limits() {
    for text in [
        format!("a = {}", "[".repeat(1 << 19)),
        format!("a = {}1{}", "[".repeat(1 << 18), "]".repeat(1 << 18)),
        format!("a = {}", "{a=".repeat(1 << 18)),
        format!("{}a = 1", "a.".repeat(1 << 18)),
        format!("[{}a]", "a.".repeat(1 << 18)),
        "model = 'a\0b'".to_owned(),
        "[model\n".repeat(1 << 17),
        "\"\\uD800\" = 1".to_owned(),
        format!("model = '{}", "x".repeat(1 << 19)),
    ] {
        let error = Desk::user(&text).error(&Run::default());
        assert!(
            error.starts_with("~/.codex/config.toml:") && error.len() < 500,
            "{error}"
        );
    }
    // Much, but nothing wrong with it.
    for text in [
        (0..40_000)
            .map(|n| format!("k{n} = 1\n"))
            .collect::<String>(),
        format!("deny_read = [{}]", "'/x',".repeat(100_000)),
        (0..8000)
            .map(|n| format!("[models.m{n}]\nschema = 'full'\n"))
            .collect::<String>(),
        "\n".repeat(1 << 20),
        format!("\"{}\" = 1", "k".repeat(1 << 19)),
    ] {
        let warnings = Desk::user(&text).load().warnings;
        assert!(warnings.iter().all(|warning| warning.len() < 2000));
    }
}

#[test]
fn a_project_file_that_is_no_plain_file_is_left_out() {
    let desk = Desk::user("profile = 'workspace-write'");
    let path = desk.at("home/repo/.codex/config.toml");
    let folder = desk.at("home/repo/.codex");
    let seen = |expected: &str| {
        let loaded = desk.load();
        assert_eq!(loaded.warnings.len(), 1, "{:?}", loaded.warnings);
        assert!(
            loaded.warnings[0].contains(expected),
            "{:?}",
            loaded.warnings
        );
        assert_eq!(
            loaded.config.rights.profile,
            SecurityProfile::WorkspaceWrite
        );
    };
    desk.write("other/config.toml", "profile = 'offline'");
    fs::create_dir_all(&folder).unwrap();
    std::os::unix::fs::symlink(desk.at("other/config.toml"), &path).unwrap();
    seen("the file is a symbolic link; it is left out");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    seen("is a directory, not a file; it is left out");
    fs::remove_dir_all(&folder).unwrap();
    std::os::unix::fs::symlink(desk.at("other"), &folder).unwrap();
    seen("its folder is a symbolic link; it is left out");
    fs::remove_file(&folder).unwrap();
    desk.project(&"#".repeat((1 << 20) + 1));
    seen("is larger than 1048576 bytes; it is left out");
    // Whoever opens a socket's or a FIFO's name would fail or wait.
    fs::remove_file(&path).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
    seen("is not a regular file; it is left out");
}

#[test]
fn a_broken_project_file_narrows_and_the_others_still_count() {
    for broken in [
        &b"profile = "[..],
        b"\xff",
        b"sandbox_mode = 'x'",
        b"deny_read = 3",
    ] {
        let desk = Desk::user("profile = 'trusted'");
        desk.project("deny_read = ['/x']");
        desk.write("home/repo/deep/.codex/config.toml", broken);
        let loaded = desk.load();
        assert_eq!(loaded.config.rights.profile, SecurityProfile::Offline);
        assert_eq!(loaded.config.rights.deny_read.len(), 1);
        assert!(
            loaded
                .origin("profile")
                .starts_with("project (~/repo/deep/")
        );
        assert!(
            loaded.warnings[0].contains("until it is mended"),
            "{:?}",
            loaded.warnings
        );
    }
}

#[test]
fn the_persons_own_folder_is_no_project() {
    let desk = Desk::user("profile = 'trusted'\nmodel = 'm'");
    fs::create_dir(desk.at("home/.git")).unwrap();
    fs::remove_dir(desk.at("home/repo/.git")).unwrap();
    assert_eq!(desk.load().warnings, Vec::<String>::new());
    // Above the repository, nothing is read.
    let desk = Desk::user("profile = 'trusted'");
    desk.write(".codex/config.toml", "profile = 'offline'");
    assert_eq!(desk.load().config.rights.profile, SecurityProfile::Trusted);
}

/// What a person may have configured.
const PERSONS: &[&str] = &[
    "",
    "profile = 'trusted'\napproval_policy = 'on-request'",
    "profile = 'net-read-only'\napproval_policy = 'untrusted'\naudit.detail = 'full'",
    "sandbox_mode = 'workspace-write'\n[sandbox_workspace_write]\nwritable_roots = ['/r']\nnetwork_access = true",
    "profile = 'work'\ndeny_read = ['/d']\n[profiles.work]\nextends = 'workspace-write'\nallow_write = ['/w']\n\
     allow_read = ['/a']\nallow_exec = ['python3']\nallow_host = ['docs.rs']\npass_env = ['A']",
    "model = 'm'\nsecrets = ['/s']\naudit.reads = 'denied'\n[model_providers.x]\nbase_url = 'https://x.example'",
];
const MANAGED: &[&str] = &[
    "",
    "profile = 'workspace-write'",
    "approval_policy = 'never'\ndeny_read = ['/m']",
];

/// A line of a project's file: a setting with a value that it takes or not, or anything else.
fn line() -> impl Strategy<Value = String> {
    let mut lines: Vec<String> = Vec::new();
    for key in KEYS {
        for path in [key.path.to_owned(), format!("profiles.work.{}", key.path)] {
            let path = path.replace('*', "work");
            lines.extend(
                samples(key.kind)
                    .good
                    .iter()
                    .map(|value| format!("{path} = {value}")),
            );
        }
    }
    for profile in SecurityProfile::ALL {
        // Often, as it is what matters.
        lines.extend(std::iter::repeat_n(
            format!("profile = '{}'", profile.flag()),
            20,
        ));
    }
    for policy in ["untrusted", "on-request", "never"] {
        lines.extend(std::iter::repeat_n(
            format!("approval_policy = '{policy}'"),
            20,
        ));
    }
    for mode in ["read-only", "workspace-write", "danger-full-access"] {
        lines.extend(std::iter::repeat_n(format!("sandbox_mode = '{mode}'"), 20));
    }
    for path in UNUSED {
        lines.push(format!("{} = 1", path.replace('*', "work")));
    }
    lines.extend(
        [
            "audit.detail = 'minimal'",
            "audit.reads = 'off'",
            "x = ",
            "profile = 'work'",
        ]
        .map(str::to_owned),
    );
    proptest::sample::select(lines)
}

/// Whether everything that `with` allows, `without` allows as well, and it says the same of
/// everything else.
fn at_most(with: &Config, without: &Config) -> Result<(), TestCaseError> {
    let (narrow, wide) = (&with.rights, &without.rights);
    prop_assert_eq!(narrow.profile.narrow(wide.profile), narrow.profile);
    let all = wide.profile == SecurityProfile::Trusted;
    fn within<T: PartialEq>(some: &[T], of: &[T]) -> bool {
        some.iter().all(|item| of.contains(item))
    }
    prop_assert!(all || within(&narrow.allow_read, &wide.allow_read));
    prop_assert!(all || within(&narrow.allow_write, &wide.allow_write));
    prop_assert!(all || within(&narrow.writable_roots, &wide.writable_roots));
    prop_assert!(all || within(&narrow.allow_exec, &wide.allow_exec));
    prop_assert!(all || within(&narrow.allow_host, &wide.allow_host));
    prop_assert!(all || !narrow.network_reads || wide.network_reads);
    prop_assert!(within(&narrow.pass_env, &wide.pass_env));
    prop_assert!(within(&wide.deny_read, &narrow.deny_read));
    prop_assert!(within(&wide.secrets, &narrow.secrets));
    prop_assert!(narrow.bound == wide.bound);
    prop_assert!(with.approval_policy.within(without.approval_policy));
    prop_assert!(with.audit.detail >= without.audit.detail);
    let denied = Some(AuditReads::Denied);
    prop_assert!(with.audit.reads == without.audit.reads || with.audit.reads == denied);
    let mut rest = with.clone();
    rest.rights = without.rights.clone();
    rest.approval_policy = without.approval_policy;
    rest.audit.detail = without.audit.detail;
    rest.audit.reads = without.audit.reads;
    prop_assert!(rest == *without);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_project_file_widens_anything(
        person in proptest::sample::select(PERSONS),
        managed in proptest::sample::select(MANAGED),
        outer in prop::collection::vec(line(), 0..4),
        inner in prop::collection::vec(line(), 0..4),
        flagged in any::<bool>(),
    ) {
        let desk = Desk::user(person);
        desk.managed(managed);
        let run = if flagged { Run::profile("workspace-write") } else { Run::default() };
        let without = desk.load_for(&run).config;
        desk.project(&outer.join("\n"));
        let with_outer = desk.load_for(&run).config;
        at_most(&with_outer, &without)?;
        desk.deeper_project(&inner.join("\n"));
        at_most(&desk.load_for(&run).config, &with_outer)?;
    }

    #[test]
    fn nothing_makes_reading_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        lines in prop::collection::vec(line(), 0..6),
        tokens in prop::collection::vec(
            proptest::sample::select(vec![
                "[", "]", "{", "}", "=", ".", ",", "\n", "'", "\"\"\"", "#", "model", "profiles",
                "work", "deny_read", "audit", "0x", "1", "é", "\\u", "true", "1979-05-27", " ",
            ]),
            0..40,
        ),
        at in any::<prop::sample::Index>(),
    ) {
        let desk = Desk::new();
        let mut mixed = lines.join("\n").into_bytes();
        let at = at.index(mixed.len() + 1);
        mixed.splice(at..at, tokens.concat().into_bytes());
        for text in [bytes, mixed] {
            desk.write("home/.codex/config.toml", &text);
            desk.write("home/repo/.codex/config.toml", &text);
            if let Err(error) = desk.try_load(&Run::default()) {
                let error = error.to_string();
                prop_assert!(!error.chars().any(char::is_control), "{error:?}");
            }
            let text = String::from_utf8_lossy(&text).into_owned();
            let _ = Desk::new().try_load(&Run { overrides: vec![text], ..Run::default() });
        }
    }
}
