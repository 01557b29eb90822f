//! The built-in tools, called by a scripted model.

use std::fs;
use std::os::unix::fs::symlink;

use codex_test_support::{Item, TestEnv};
use serde_json::{Value, json};

use super::fixture::{
    calls, completed, denied, exec_json, model, output_of, patch, read_file, says, shell,
};

/// What the model is told of these calls, made in one answer, and the events of the run.
#[track_caller]
fn told(
    env: &TestEnv,
    arguments: &[&str],
    items: Vec<Item>,
    ids: &[&str],
) -> (Vec<String>, Vec<Value>) {
    let server = model(env, vec![calls(items), says("Done.")]);
    let events = exec_json(env, &[arguments, &["go"]].concat());
    let texts = ids.iter().map(|id| output_of(&server, 1, id)).collect();
    (texts, events)
}

/// The same for patches under workspace-write.
#[track_caller]
fn patched(env: &TestEnv, bodies: &[&str]) -> (Vec<String>, Vec<Value>) {
    let ids: Vec<String> = (0..bodies.len()).map(|n| format!("p{n}")).collect();
    let items = ids.iter().zip(bodies).map(|(id, body)| patch(id, body));
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    told(
        env,
        &["--profile", "workspace-write"],
        items.collect(),
        &ids,
    )
}

#[test]
fn read_file_numbers_lines_and_says_what_it_cannot_read() {
    let env = TestEnv::new();
    env.write("text.txt", "alpha\nbeta\ngamma\n");
    env.write("binary", b"\x7fELF\0\0\0");
    env.write("sub/inner.txt", "inner");
    env.write("empty", "");
    let items = vec![
        read_file("whole", json!({ "path": "text.txt" })),
        read_file(
            "part",
            json!({ "path": "./sub/../text.txt", "offset": 2, "limit": 1 }),
        ),
        read_file("beyond", json!({ "path": "text.txt", "offset": 9 })),
        read_file("binary", json!({ "path": "binary" })),
        read_file("directory", json!({ "path": "sub" })),
        read_file("missing", json!({ "path": "nowhere/x" })),
        read_file("empty", json!({ "path": "empty" })),
        read_file("zero", json!({ "path": "text.txt", "offset": 0 })),
        read_file("nul", json!({ "path": "a\u{0}b" })),
    ];
    let ids = [
        "whole",
        "part",
        "beyond",
        "binary",
        "directory",
        "missing",
        "empty",
        "zero",
        "nul",
    ];
    let (texts, _) = told(&env, &[], items, &ids);
    assert_eq!(texts[0], "    1\talpha\n    2\tbeta\n    3\tgamma\n");
    assert_eq!(
        texts[1],
        "    2\tbeta\n[3 lines in all; go on with offset 3]"
    );
    assert!(texts[2].contains("3 lines"), "{}", texts[2]);
    assert!(texts[3].contains("not text"), "{}", texts[3]);
    assert!(texts[4].contains("directory"), "{}", texts[4]);
    assert!(texts[5].contains("nowhere/x"), "{}", texts[5]);
    assert!(texts[6].contains("empty"), "{}", texts[6]);
    assert_eq!(texts[7], texts[0]);
    assert!(texts[8].contains("cannot be read"), "{}", texts[8]);
    assert_eq!(denied(&env), Vec::<Value>::new());
}

#[test]
fn secrets_are_not_read_by_any_name() {
    let env = TestEnv::new();
    let secret = env.write_home(".ssh/key", "the key's content");
    env.write(".env", "PASSWORD=the key's content");
    env.write(".env.example", "PASSWORD=");
    symlink(&secret, env.workspace().join("link")).unwrap();
    symlink(env.home().join(".ssh"), env.workspace().join("dir")).unwrap();
    symlink(".env", env.workspace().join("plain.txt")).unwrap();
    let absolute = secret.to_str().unwrap();
    let cases = [
        ("home", "~/.ssh/key", "fs.secret"),
        ("absolute", absolute, "fs.secret"),
        ("link", "link", "fs.secret"),
        ("through", "dir/key", "fs.secret"),
        ("up", "../home/.ssh/key", "fs.secret"),
        ("env", ".env", "approval.never"),
        ("env_link", "plain.txt", "approval.never"),
    ];
    let mut items: Vec<Item> = cases
        .iter()
        .map(|(id, path, _)| read_file(id, json!({ "path": path })))
        .collect();
    items.push(read_file("example", json!({ "path": ".env.example" })));
    items.push(shell("cat", "cat ~/.ssh/key link dir/key .env plain.txt"));
    let ids: Vec<&str> = cases
        .iter()
        .map(|c| c.0)
        .chain(["example", "cat"])
        .collect();
    let (texts, events) = told(&env, &[], items, &ids);

    for (text, (id, _, rule)) in texts.iter().zip(cases) {
        assert!(
            text.starts_with("denied: Offline profile: "),
            "{id}: {text}"
        );
        assert!(text.contains(&format!("[rule {rule}]")), "{id}: {text}");
    }
    assert!(texts[7].contains("PASSWORD="), "{}", texts[7]);
    assert!(!json!(events).to_string().contains("the key's content"));
    assert!(!texts.concat().contains("the key's content"), "{texts:#?}");
    let records = denied(&env);
    let rules: Vec<&str> = records
        .iter()
        .map(|r| r["rule"].as_str().unwrap())
        .collect();
    let expected: Vec<&str> = cases.iter().map(|c| c.2).collect();
    assert_eq!(rules, expected);
    assert_eq!(completed(&events, "policy_decision").len(), cases.len());
}

#[test]
fn a_granted_secret_is_read() {
    let env = TestEnv::new();
    env.write_home(".ssh/key", "granted");
    env.write(".env", "also granted");
    let key = env.home().join(".ssh/key");
    let arguments = [
        "--allow-read",
        key.to_str().unwrap(),
        "--allow-read",
        ".env",
    ];
    let items = vec![
        read_file("key", json!({ "path": "~/.ssh/key" })),
        read_file("env", json!({ "path": ".env" })),
    ];
    let (texts, _) = told(&env, &arguments, items, &["key", "env"]);
    assert_eq!(texts[0], "    1\tgranted\n");
    assert_eq!(texts[1], "    1\talso granted\n");
}

#[test]
fn patches_add_update_move_and_delete() {
    let env = TestEnv::new();
    env.write("old.txt", "one\ntwo\nthree\n");
    env.write("move.txt", "here\n");
    env.write("gone.txt", "x\n");
    let body = "*** Add File: sub/new.txt\n+first\n+second\n\
                *** Update File: old.txt\n@@\n one\n-two\n+zwei\n three\n\
                *** Update File: move.txt\n*** Move to: sub/moved.txt\n@@\n-here\n+there\n\
                *** Delete File: gone.txt\n";
    let (texts, events) = patched(&env, &[body]);
    assert_eq!(env.read("sub/new.txt"), "first\nsecond\n", "{texts:?}");
    assert_eq!(env.read("old.txt"), "one\nzwei\nthree\n");
    assert_eq!(env.read("sub/moved.txt"), "there\n");
    assert!(!env.workspace().join("move.txt").exists());
    assert!(!env.workspace().join("gone.txt").exists());
    let change = &completed(&events, "file_change")[0];
    assert_eq!(change["status"], "completed");
    let mut changes: Vec<(String, String)> = change["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| (c["kind"].to_string(), c["path"].to_string()))
        .collect();
    changes.sort();
    let expected = [
        ("add", "sub/moved.txt"),
        ("add", "sub/new.txt"),
        ("delete", "gone.txt"),
        ("delete", "move.txt"),
        ("update", "old.txt"),
    ];
    let expected: Vec<(String, String)> = expected
        .iter()
        .map(|(kind, path)| (format!("\"{kind}\""), format!("\"{path}\"")))
        .collect();
    assert_eq!(changes, expected);
    let left: Vec<_> = super::fixture::files_below(&env.workspace());
    assert_eq!(left.len(), 3, "nothing is left beside: {left:?}");
}

#[test]
fn patches_do_not_reach_protected_or_outside_paths() {
    let env = TestEnv::new();
    env.write(".git/config", "[core]\n");
    env.write("inside.txt", "inside\n");
    fs::create_dir(env.root().join("outside")).unwrap();
    symlink(env.root().join("outside"), env.workspace().join("way")).unwrap();
    let absolute = env.root().join("absolute.txt");
    let add = |path: &str| format!("*** Add File: {path}\n+x\n");
    let cases = [
        (add(".git/hooks/pre-commit"), "fs.protected"),
        (
            "*** Update File: .git/config\n@@\n-[core]\n+[alias]\n".to_owned(),
            "fs.protected",
        ),
        (add(".codex/config.toml"), "fs.protected"),
        (add("sub/.VSCode/tasks.json"), "fs.protected"),
        (add("../outside.txt"), "fs.outside"),
        (add(absolute.to_str().unwrap()), "fs.outside"),
        (add("way/x.txt"), "fs.outside"),
        (add("../home/.ssh/authorized_keys"), "fs.secret"),
        (add("../home/.codex/config.toml"), "fs.secret"),
        // What is allowed beside it is not done either.
        (
            format!("{}{}", add("allowed.txt"), add("../outside.txt")),
            "fs.outside",
        ),
        (
            "*** Update File: inside.txt\n*** Move to: ../moved.txt\n@@\n-inside\n+x\n".to_owned(),
            "fs.outside",
        ),
    ];
    let bodies: Vec<&str> = cases.iter().map(|c| c.0.as_str()).collect();
    let before = super::fixture::files_below(&env.workspace());
    let (texts, events) = patched(&env, &bodies);
    for (text, (body, rule)) in texts.iter().zip(&cases) {
        assert!(
            text.starts_with("nothing was changed; denied: "),
            "{body}: {text}"
        );
        assert!(text.contains(&format!("[rule {rule}]")), "{body}: {text}");
    }
    assert_eq!(super::fixture::files_below(&env.workspace()), before);
    assert_eq!(env.read(".git/config"), "[core]\n");
    assert_eq!(env.read("inside.txt"), "inside\n");
    assert!(!absolute.exists() && !env.root().join("outside.txt").exists());
    assert!(!env.root().join("moved.txt").exists());
    assert_eq!(
        super::fixture::files_below(&env.root().join("outside")).len(),
        0
    );
    assert!(!env.home().join(".ssh").exists());
    assert_eq!(denied(&env).len(), cases.len());
    for change in completed(&events, "file_change") {
        assert_eq!(change["status"], "declined");
    }
}

#[test]
fn a_patch_that_fails_half_way_says_what_it_did() {
    let env = TestEnv::new();
    env.write("b.txt", "real\n");
    let body = "*** Add File: a.txt\n+made\n*** Update File: b.txt\n@@\n-imagined\n+x\n";
    let (texts, events) = patched(&env, &[body]);
    let change = &completed(&events, "file_change")[0];
    assert_eq!(change["status"], "failed");
    assert_eq!(env.read("b.txt"), "real\n");
    assert!(
        texts[0].contains("b.txt") && texts[0].contains("imagined"),
        "{}",
        texts[0]
    );
    // Files are changed in the patch's order, and what was done stays and is named.
    assert_eq!(env.read("a.txt"), "made\n");
    assert!(texts[0].contains("a.txt"), "{}", texts[0]);
    assert_eq!(
        change["changes"],
        json!([{ "path": "a.txt", "kind": "add" }])
    );
}

#[test]
fn a_long_output_is_cut_and_its_whole_can_be_read() {
    let env = TestEnv::new();
    let script = vec![calls(vec![shell("long", "seq 1 20000")]), says("Seen.")];
    let server = model(&env, script);
    exec_json(&env, &["go"]);
    let text = output_of(&server, 1, "long");
    assert!(
        text.contains("\n1\n2\n") && text.ends_with("19999\n20000\n"),
        "{text:.200}"
    );
    let place = text
        .split("the whole is in ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next())
        .expect("the place of the whole");
    assert!(text.len() < 17_000, "{}", text.len());
    server.push(calls(vec![
        shell("tail", &format!("wc -l < {place}; sed -n 10000p {place}")),
        read_file(
            "read",
            json!({ "path": place, "offset": 10_000, "limit": 1 }),
        ),
    ]));
    server.push(says("Done."));
    exec_json(&env, &["resume", "--last", "go on"]);
    let last = server.turns().pop().unwrap();
    let answers = super::fixture::outputs(&last);
    let of = |id: &str| answers.iter().find(|(i, _)| i == id).unwrap().1.clone();
    assert!(of("tail").contains("20000\n10000\n"), "{}", of("tail"));
    assert!(of("read").contains("10000\t10000"), "{}", of("read"));
}

#[test]
fn shell_takes_lists_directories_and_time_limits() {
    let env = TestEnv::new();
    env.write("sub/file", "x");
    let call = |id: &str, arguments: Value| Item::function_call(id, "shell", arguments.to_string());
    let items = vec![
        call("list", json!({ "command": ["echo", "a b", "$HOME"] })),
        call("dir", json!({ "command": "pwd", "workdir": "sub" })),
        call("nodir", json!({ "command": "pwd", "workdir": "nowhere" })),
        call(
            "slow",
            json!({ "command": "echo begun; sleep 30", "timeout_ms": 300 }),
        ),
        call("missing", json!({ "command": ["no-such-program"] })),
        call("nothing", json!({ "command": [] })),
        call("stdin", json!({ "command": "cat; tty; echo end" })),
    ];
    let ids = [
        "list", "dir", "nodir", "slow", "missing", "nothing", "stdin",
    ];
    let (texts, events) = told(&env, &[], items, &ids);
    assert!(texts[0].contains("a b $HOME\n"), "{}", texts[0]);
    let sub = env.workspace().join("sub");
    assert!(texts[1].contains(sub.to_str().unwrap()), "{}", texts[1]);
    assert!(texts[2].contains("nowhere"), "{}", texts[2]);
    assert!(
        texts[3].contains("timed out") && texts[3].contains("begun"),
        "{}",
        texts[3]
    );
    assert!(texts[4].contains("no-such-program"), "{}", texts[4]);
    assert!(texts[5].contains("empty"), "{}", texts[5]);
    assert!(
        texts[6].contains("not a tty") && texts[6].contains("end"),
        "{}",
        texts[6]
    );
    for item in completed(&events, "command_execution") {
        assert_ne!(item["status"], "in_progress");
    }
}
