//! `codex demo`, which needs no model, key or network.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use codex_test_support::{TestEnv, run};

use super::fixture::{codex, denied, files_below, run_codex};

/// What is below a directory, `CODEX_HOME` left out.
fn contents(env: &TestEnv, directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    files_below(directory)
        .into_iter()
        .filter(|path| !path.starts_with(env.codex_home()))
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect()
}

fn demo_shows_denials_and_ends_green(env: &TestEnv) {
    env.write_home(".ssh/id_ed25519", "the key's content");
    env.write("mine.txt", "mine");
    let before = (contents(env, &env.home()), contents(env, &env.workspace()));

    let output = run(&mut codex(env, &["demo"]));

    assert_eq!(output.code, Some(0), "{output:#?}");
    assert_eq!(output.stdout, "");
    for name in ["Hello World", "Release 2.0", "Hello,  World!", "  padded  "] {
        let line = format!("  ok      {name}");
        assert!(output.stderr.contains(&line), "{line} in {output:#?}");
    }
    assert!(!output.stderr.contains("the key's content"));
    let records = denied(env);
    let expected = [
        (
            "file_read",
            "fs.secret",
            "[HOME]/.ssh/id_ed25519",
            "declared",
        ),
        ("process_spawn", "exec.unlisted", "/tar", "declared"),
        ("network_access", "net.offline", "192.0.2.1:80", "observed"),
        ("file_write", "fs.read-only", "/slug.sh", "declared"),
    ];
    assert_eq!(records.len(), expected.len(), "{records:#?}");
    for (record, (operation, rule, target, evidence)) in records.iter().zip(expected) {
        assert_eq!(record["operation"], operation);
        assert_eq!(record["rule"], rule);
        assert_eq!(record["evidence"], evidence);
        assert_eq!(record["profile"], "Offline");
        assert!(
            record["target"].as_str().unwrap().ends_with(target),
            "{record}"
        );
        let reason = record["reason"].as_str().unwrap();
        assert!(reason.starts_with("Offline profile: "), "{reason}");
        // People read their home as they write it.
        let told = format!(
            "denied {operation} {}: {reason}",
            record["target"].as_str().unwrap()
        )
        .replace("[HOME]", "~");
        assert!(output.stderr.contains(&told), "{told:?} in {output:#?}");
    }
    let after = (contents(env, &env.home()), contents(env, &env.workspace()));
    assert_eq!(before, after, "nothing outside CODEX_HOME changes");

    let verified = run_codex(env, &["audit", "verify"]);
    assert_eq!(verified.code, Some(0), "{verified:#?}");
    assert!(verified.stdout.starts_with("whole: "), "{verified:#?}");
}

#[test]
fn the_demo_shows_denials_and_ends_green() {
    demo_shows_denials_and_ends_green(&TestEnv::new());
}

#[test]
fn the_demo_runs_for_an_ordinary_user() {
    match TestEnv::unprivileged() {
        Ok(env) => demo_shows_denials_and_ends_green(&env),
        // Then the test above ran as one.
        Err(why) => assert!(why.to_string().contains("only root can"), "{why}"),
    }
}

#[test]
fn the_demo_leaves_its_project_only_on_request() {
    let env = TestEnv::new();
    let temp = env.root().join("tmp");
    fs::create_dir(&temp).unwrap();
    let output = run(codex(&env, &["demo"]).env("TMPDIR", &temp));
    assert_eq!(output.code, Some(0), "{output:#?}");
    assert_eq!(
        fs::read_dir(&temp).unwrap().count(),
        0,
        "all is tidied away"
    );

    let output = run(codex(&env, &["demo", "--keep"]).env("TMPDIR", &temp));
    assert_eq!(output.code, Some(0), "{output:#?}");
    let kept: Vec<_> = fs::read_dir(&temp).unwrap().flatten().collect();
    assert_eq!(kept.len(), 1);
    let path = kept[0].path();
    assert!(
        output.stderr.contains(path.to_str().unwrap()),
        "{output:#?}"
    );
    let fixed = fs::read_to_string(path.join("slug.sh")).unwrap();
    assert!(fixed.contains("\\{1,\\}"), "{fixed}");
}
