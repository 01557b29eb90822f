//! No tool reaches the file system or a process without a record, whatever it is called with.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use codex_protocol::operation::{Operation, Outcome};
use codex_protocol::record::{Entry, Recorder};
use codex_protocol::security_profile::SecurityProfile;
use codex_protocol::tool::{Fatal, ToolCall, ToolOutput};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::stage::{CANARY, Events, Logging, Refusing, Stage, Tree, tree};

/// Pieces of paths: what is there, what is not, and ways out.
const PIECES: &[&str] = &[
    "a.txt",
    "sub",
    "b.txt",
    "deep",
    "c.txt",
    "..",
    ".",
    "",
    "out",
    "o.txt",
    "link.txt",
    ".git",
    "config",
    "hooks",
    ".env",
    "new",
    "home",
    ".ssh",
    "key",
    "outside",
    "a\u{0}b",
    "é\u{202e}",
];

fn path() -> impl Strategy<Value = String> {
    let inside = vec(select(PIECES), 0..4).prop_map(|pieces| pieces.join("/"));
    prop_oneof![
        6 => select(&["a.txt", "sub/b.txt", "sub", ".", "sub/deep", "new.txt", "new/dir/x"][..])
            .prop_map(str::to_owned),
        6 => inside,
        1 => Just("~/.ssh/key".to_owned()),
        1 => Just("x".repeat(5000)),
    ]
}

/// Words that are in files and patterns alike.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        select(&["canary", "canary-of-work/a.txt", "", "(", "\n", "x{9}{9}"][..])
            .prop_map(str::to_owned),
        ".{0,12}",
    ]
}

fn patch() -> impl Strategy<Value = String> {
    let part = (0..4u8, path(), path(), text()).prop_map(|(kind, path, to, line)| {
        let line = line.replace('\n', " ");
        match kind {
            0 => format!("*** Add File: {path}\n+{line}\n"),
            1 => format!("*** Delete File: {path}\n"),
            2 => format!("*** Update File: {path}\n@@\n-canary-of-work/{path}\n+{line}\n"),
            _ => format!(
                "*** Update File: {path}\n*** Move to: {to}\n@@\n-canary-of-work/{path}\n+{line}\n"
            ),
        }
    });
    vec(part, 1..4).prop_map(|parts| format!("*** Begin Patch\n{}*** End Patch\n", parts.concat()))
}

/// An object with the parameters that tools have: each takes its own and leaves the rest.
fn parameters() -> impl Strategy<Value = Value> {
    (
        (path(), path(), text(), text()),
        (patch(), any::<bool>(), 0..20u32),
        select(&["content", "count", "names", "?"][..]),
        select(vec![
            json!("echo x"),
            json!(["ls", "-l"]),
            json!([]),
            json!(""),
        ]),
    )
        .prop_map(
            |((path, workdir, text, new), (patch, flag, number), mode, command)| {
                let mut object = json!({
                    "path": path, "pattern": text, "mode": mode, "limit": number, "offset": number,
                    "content": new, "old_text": text, "new_text": new, "replace_all": flag,
                    "input": patch, "command": command, "ignore_case": flag,
                    "plan": [{ "step": text, "status": "pending" }],
                });
                if flag {
                    object["workdir"] = json!(workdir);
                }
                object
            },
        )
}

fn arguments() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => parameters().prop_map(|object| object.to_string()),
        1 => ".{0,40}",
        1 => Just("[".repeat(100_000)),
        1 => Just(r#"{"path":"\ud800","pattern":"x","command":"\udfff"}"#.to_owned()),
        1 => Just(r#"{"path":7,"pattern":null,"command":{},"input":[],"plan":{}}"#.to_owned()),
    ]
}

/// Calls the tool of this index.
fn call(
    stage: &Stage,
    which: usize,
    arguments: String,
    profile: SecurityProfile,
    recorder: Arc<dyn Recorder>,
) -> (String, Result<ToolOutput, Fatal>) {
    let tools = stage.tools();
    let tool = &tools[which % tools.len()];
    let name = tool.spec().name;
    let permissions = stage.permissions(profile, recorder, Arc::new(Events::default()));
    let call = ToolCall {
        call_id: "c".to_owned(),
        name: name.clone(),
        arguments,
        text: false,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let done = runtime.block_on(tool.call(&call, &permissions));
    (name, done)
}

fn is_allowed(entry: &Entry, operation: Operation) -> bool {
    entry.operation == operation && entry.outcome == Outcome::Allowed
}

/// The paths in which two trees differ.
fn changed(before: &Tree, after: &Tree) -> Vec<PathBuf> {
    let either = before.keys().chain(after.keys());
    let mut paths: Vec<PathBuf> = either
        .filter(|path| before.get(*path) != after.get(*path))
        .cloned()
        .collect();
    paths.dedup();
    paths
}

/// Whether writing `target` explains that `path` changed: it is that, or leads there.
fn explains(target: &str, path: &Path) -> bool {
    Path::new(target).starts_with(path)
}

fn profiles() -> impl Strategy<Value = SecurityProfile> {
    select(&[SecurityProfile::WorkspaceWrite, SecurityProfile::Offline][..])
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 250,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn without_a_log_no_tool_does_anything(
        which in any::<usize>(),
        arguments in arguments(),
        profile in profiles(),
    ) {
        let stage = Stage::new();
        let before = tree(&stage.root());
        let (name, done) = call(&stage, which, arguments, profile, Arc::new(Refusing));
        prop_assert_eq!(changed(&before, &tree(&stage.root())), Vec::<PathBuf>::new(), "{}", name);
        prop_assert!(!stage.started(), "{} started a process", name);
        prop_assert_eq!(stage.read_paths(), Vec::<PathBuf>::new(), "{} read", name);
        if let Ok(answer) = done {
            prop_assert!(name == "update_plan" || !answer.success, "{}: {}", name, answer.text);
        }
    }

    #[test]
    fn every_effect_has_its_record_before_it(
        which in any::<usize>(),
        arguments in arguments(),
        profile in profiles(),
    ) {
        let stage = Stage::new();
        let log = Arc::new(Logging::new(stage.root()));
        let mut before = tree(&stage.root());
        let recorder: Arc<dyn Recorder> = Arc::clone(&log) as _;
        let (name, done) = call(&stage, which, arguments, profile, recorder);
        let read = stage.read_paths();
        let mut entries = log.entries.lock().unwrap();
        let of = |entries: &[(Entry, Tree)], operation| -> Vec<String> {
            let allowed = entries.iter().filter(|(e, _)| is_allowed(e, operation));
            allowed.map(|(e, _)| e.target.clone()).collect()
        };
        let spawned = !of(&entries, Operation::ProcessSpawn).is_empty();
        prop_assert!(spawned || !stage.started(), "{} started a process", name);

        // Each state of the tree is explained by the records up to then.
        let end = entries.last().map(|(e, _)| (e.clone(), tree(&stage.root())));
        let states = entries.len();
        entries.extend(end);
        if states == 0 {
            prop_assert_eq!(changed(&before, &tree(&stage.root())), Vec::<PathBuf>::new());
        }
        for at in 0..entries.len() {
            let writes = of(&entries[..at.min(states)], Operation::FileWrite);
            let spawns = of(&entries[..at.min(states)], Operation::ProcessSpawn);
            for path in changed(&before, &entries[at].1) {
                let written = writes.iter().any(|target| explains(target, &path));
                prop_assert!(written || !spawns.is_empty(), "{}: {:?} without a record", name, path);
            }
            before = entries[at].1.clone();
        }

        let mut reads = of(&entries, Operation::FileRead);
        // A file that was replaced is new, and looks as if it had been read.
        reads.extend(of(&entries, Operation::FileWrite));
        let text = done.map(|answer| answer.text).unwrap_or_default();
        for path in read {
            let recorded = reads.iter().any(|target| path.starts_with(target));
            prop_assert!(recorded || spawned, "{} read {:?} without a record", name, path);
        }
        for secret in ["work/.env", "home/.ssh/key"] {
            let marked = format!("{CANARY}-{secret}");
            prop_assert!(!text.contains(&marked), "{}: {}", name, text);
        }
    }
}

#[test]
fn the_watch_sees_a_read() {
    let stage = Stage::new();
    std::fs::read(stage.workspace().join("a.txt")).unwrap();
    let seen = stage.read_paths();
    // A file system that keeps no times of access sees nothing; it never sees another file.
    assert!(
        seen.is_empty() || seen == [stage.workspace().join("a.txt")],
        "{seen:?}"
    );
}
