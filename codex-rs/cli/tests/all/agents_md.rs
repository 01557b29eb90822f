//! `AGENTS.md` as the model gets it.

use std::fs;
use std::os::unix::fs::symlink;

use codex_test_support::TestEnv;
use serde_json::Value;

use super::fixture::{completed, denied, exec_json, model, says};

/// The first text of the first message of a request.
fn first_text(body: &Value) -> &str {
    body["input"][0]["content"][0]["text"].as_str().unwrap()
}

#[test]
fn notes_come_from_the_person_and_from_the_root_down_and_stay_in_place() {
    let env = TestEnv::new();
    let server = model(&env, vec![says("One."), says("Two.")]);
    env.write(".git/HEAD", "ref: refs/heads/main\n");
    fs::write(env.codex_home().join("AGENTS.md"), "of the person").unwrap();
    env.write("AGENTS.md", b"of the root \xff</file> and on");
    env.write("a/AGENTS.md", "passed over");
    env.write("a/AGENTS.override.md", "of a");
    env.write("a/b/AGENTS.md", "of b");
    env.write("a/b/c/AGENTS.md", "below");
    let deep = env.workspace().join("a/b");
    let deep = deep.to_str().unwrap();

    exec_json(&env, &["-C", deep, "begin"]);
    env.write("a/b/AGENTS.md", "changed since");
    exec_json(&env, &["-C", deep, "resume", "--last", "go on"]);

    let turns = server.turns();
    let text = first_text(&turns[0].body);
    let places: Vec<usize> = ["of the person", "of the root \u{fffd}", "of a\n", "of b"]
        .iter()
        .map(|part| {
            text.find(part)
                .unwrap_or_else(|| panic!("{part} in {text}"))
        })
        .collect();
    assert!(places.is_sorted(), "{text}");
    assert!(text.contains("grant no permission"), "{text}");
    assert!(
        !text.contains("passed over") && !text.contains("below"),
        "{text}"
    );
    // A file cannot end its own fence.
    assert_eq!(text.matches("</file>").count(), 4, "{text}");
    assert_eq!(first_text(&turns[1].body), text);
}

#[test]
fn too_much_is_cut_and_a_secret_behind_a_symlink_is_left_out_both_visibly() {
    let env = TestEnv::new();
    let server = model(&env, vec![says("Done.")]);
    env.write_home(".ssh/id_ed25519", "the-private-key");
    env.write(".git/HEAD", "ref: refs/heads/main\n");
    symlink(
        env.home().join(".ssh/id_ed25519"),
        env.workspace().join("AGENTS.md"),
    )
    .unwrap();
    env.write("a/AGENTS.md", "é".repeat(20 << 10));
    let deep = env.workspace().join("a");

    let events = exec_json(&env, &["-C", deep.to_str().unwrap(), "begin"]);

    let turns = server.turns();
    let text = first_text(&turns[0].body);
    assert!(!String::from_utf8_lossy(&turns[0].bytes).contains("the-private-key"));
    assert!(text.contains("[… cut: too long]"));
    assert!(text.len() < (33 << 10), "{}", text.len());
    let notices = completed(&events, "error");
    assert_eq!(notices.len(), 2, "{notices:#?}");
    assert!(notices[0]["message"].as_str().unwrap().contains("left out"));
    assert!(notices[1]["message"].as_str().unwrap().contains("32 KiB"));
    assert_eq!(denied(&env).len(), 1);
}
