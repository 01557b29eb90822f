//! The `search` tool, called by a scripted model.

use std::fs;
use std::os::unix::fs::symlink;

use codex_test_support::{Item, TestEnv, run};
use serde_json::{Value, json};

use super::fixture::{calls, denied, exec_json, model, output_of, says};

/// What `search` answers to each of these arguments, under these flags.
#[track_caller]
fn found(env: &TestEnv, flags: &[&str], arguments: &[Value]) -> Vec<String> {
    let ids: Vec<String> = (0..arguments.len()).map(|n| format!("s{n}")).collect();
    let call = |(id, arguments): (&String, &Value)| {
        Item::function_call(id.as_str(), "search", arguments.to_string())
    };
    let items = ids.iter().zip(arguments).map(call).collect();
    let server = model(env, vec![calls(items), says("Done.")]);
    exec_json(env, &[flags, &["go"]].concat());
    ids.iter().map(|id| output_of(&server, 1, id)).collect()
}

#[test]
fn text_and_names_are_found_in_the_order_of_paths() {
    let env = TestEnv::new();
    env.write("b.txt", "one needle\nnone\nNeedle two\n");
    env.write("a/z.rs", "let needle = 1;\n");
    env.write("a/sub/y.rs", "needle\nneedle\n");
    env.write(".hidden/x.rs", "needle\n");
    env.write("a.rs", "needle a");
    env.write("binary", b"needle\0\n");
    env.write(".git/HEAD", "needle\n");
    env.write(".gitignore", "/built\n*.log\n");
    env.write("built/out.rs", "needle\n");
    env.write("a/x.log", "needle\n");
    let texts = found(
        &env,
        &[],
        &[
            json!({ "pattern": "needle" }),
            json!({ "pattern": "^needle$", "path": "a", "mode": "count" }),
            json!({ "pattern": "needle", "ignore_case": true, "glob": "*.txt" }),
            json!({ "pattern": r"y\.rs$|^b\.", "mode": "names" }),
            json!({ "pattern": "needle", "limit": 2 }),
            json!({ "pattern": "nowhere" }),
            json!({ "pattern": "needle", "path": "a/z.rs" }),
            json!({ "pattern": "needle", "path": "built" }),
            json!({ "pattern": "(" }),
            json!({ "pattern": "x", "glob": "[" }),
            json!({ "pattern": "x", "path": "missing" }),
            json!({ "pattern": "needle", "glob": "!*.rs" }),
        ],
    );
    assert_eq!(
        texts[0],
        ".hidden/x.rs:1:needle\na/sub/y.rs:1:needle\na/sub/y.rs:2:needle\na/z.rs:1:let needle = 1;\n\
         a.rs:1:needle a\nb.txt:1:one needle"
    );
    assert_eq!(texts[1], "a/sub/y.rs:2");
    assert_eq!(texts[2], "b.txt:1:one needle\nb.txt:3:Needle two");
    assert_eq!(texts[3], "a/sub/y.rs\nb.txt");
    assert!(
        texts[4].starts_with(".hidden/x.rs:1:needle\na/sub/y.rs:1:needle\n[more was found"),
        "{}",
        texts[4]
    );
    assert_eq!(texts[5], "[nothing found]");
    assert_eq!(texts[6], "a/z.rs:1:let needle = 1;");
    assert_eq!(texts[7], "built/out.rs:1:needle");
    assert!(texts[8].contains("no regular expression"), "{}", texts[8]);
    assert!(texts[9].contains("glob"), "{}", texts[9]);
    assert!(texts[10].contains("missing"), "{}", texts[10]);
    assert_eq!(texts[11], "b.txt:1:one needle");
    assert_eq!(denied(&env), Vec::<Value>::new());
}

#[test]
fn what_may_not_be_read_is_neither_found_nor_named() {
    let env = TestEnv::new();
    env.write("open.txt", "canary open\n");
    env.write(".env", "canary=dotenv\n");
    env.write("sub/.env.local", "canary=dotenv\n");
    env.write("sub/.env.example", "canary=template\n");
    env.write("private/deep/file.txt", "canary denied\n");
    let secret = env.write_home(".ssh/key", "canary key\n");
    symlink(&secret, env.workspace().join("link.txt")).unwrap();
    symlink(env.home().join(".ssh"), env.workspace().join("linked")).unwrap();
    symlink("/", env.workspace().join("everything")).unwrap();
    let private = env.workspace().join("private");
    let home = env.home().to_str().unwrap().to_owned();
    let flags = ["--deny-read", private.to_str().unwrap()];
    let texts = found(
        &env,
        &flags,
        &[
            json!({ "pattern": "canary" }),
            json!({ "pattern": "", "mode": "names" }),
            json!({ "pattern": "canary", "path": home, "mode": "content" }),
            json!({ "pattern": "canary", "path": "linked" }),
            json!({ "pattern": "canary", "path": "private/deep" }),
            json!({ "pattern": "canary", "path": ".env" }),
            json!({ "pattern": "canary", "path": "~/.ssh" }),
        ],
    );
    assert_eq!(
        texts[0],
        "open.txt:1:canary open\nsub/.env.example:1:canary=template\n\
         [3 paths left out: not permitted to be read]"
    );
    assert_eq!(
        texts[1],
        "open.txt\nsub/.env.example\n[3 paths left out: not permitted to be read]"
    );
    assert!(!texts[2].contains("key"), "{}", texts[2]);
    for denied in &texts[3..] {
        assert!(denied.starts_with("denied: "), "{denied}");
        assert!(!denied.contains("canary"), "{denied}");
    }
    assert_eq!(denied(&env).len(), 4);
}

#[test]
fn hostile_trees_are_searched_within_bounds() {
    let env = TestEnv::new();
    let mut deep = env.workspace();
    for _ in 0..200 {
        deep.push("d");
    }
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("far.txt"), "needle\n").unwrap();
    env.write("long.txt", "x".repeat(9 << 20));
    env.write(
        "escape\u{1b}[2J\nname.txt",
        "needle \u{1b}]0;owned\u{7}end\n",
    );
    for n in 0..2000 {
        env.write(format!("many/{n:04}.txt"), "needle\n".repeat(3));
    }
    let fifo = env.workspace().join("fifo.txt");
    let made = run(std::process::Command::new("mkfifo").arg(&fifo));
    assert_eq!(made.code, Some(0), "{made:?}");
    let texts = found(
        &env,
        &["--timeout", "60"],
        &[
            json!({ "pattern": "needle|xx", "limit": 5000 }),
            json!({ "pattern": "needle", "path": "fifo.txt" }),
            json!({ "pattern": "(?s).*needle.*", "path": "many", "limit": 1 }),
            json!({ "pattern": "(a{1000}){1000}" }),
        ],
    );
    assert!(texts[0].len() < 34 << 10, "{}", texts[0].len());
    assert!(!texts[0].contains('\u{1b}') && !texts[0].contains('\u{7}'));
    assert!(
        texts[0].starts_with(r"escape\u{1b}[2J\nname.txt:1:needle end"),
        "{:.80}",
        texts[0]
    );
    assert!(texts[0].contains("[more was found"), "{}", texts[0]);
    assert!(texts[1].contains("not a regular file"), "{}", texts[1]);
    assert!(
        texts[2].starts_with("many/0000.txt:1:needle\n"),
        "{}",
        texts[2]
    );
    assert!(texts[3].contains("pattern"), "{}", texts[3]);
}
