//! What the tests of the binary have in common: a configured scripted model, and looking at what
//! a run left.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use codex_test_support::{
    Item, Received, Reply, RunOutput, ScriptedModel, TestEnv, json_lines, run,
};
use serde_json::Value;

/// The value of the key in the tests: nothing may ever show it.
pub(super) const KEY: &str = "placeholder-value-of-the-test-key-41d7";

/// How long to wait for what comes soon: far above what a loaded machine takes.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_codex"))
}

/// `codex` with these arguments.
#[track_caller]
pub(super) fn codex(env: &TestEnv, arguments: &[&str]) -> Command {
    let mut command = env.command(binary());
    command.args(arguments);
    command
}

/// Runs `codex` with these arguments.
#[track_caller]
pub(super) fn run_codex(env: &TestEnv, arguments: &[&str]) -> RunOutput {
    run(&mut codex(env, arguments))
}

/// A server that plays this script, configured as the provider; nothing is tried twice.
#[track_caller]
pub(super) fn model(env: &TestEnv, script: Vec<Reply>) -> ScriptedModel {
    model_with(
        env,
        script,
        "request_max_retries = 0\nstream_max_retries = 0\n",
    )
}

/// The same with further lines for the provider's table.
#[track_caller]
pub(super) fn model_with(env: &TestEnv, script: Vec<Reply>, more: &str) -> ScriptedModel {
    let server = ScriptedModel::start(script);
    env.write_config(format!(
        "model = \"m\"\nmodel_provider = \"test\"\n\n[model_providers.test]\n\
         base_url = \"{}\"\nenv_key = \"TEST_KEY\"\nwire_api = \"responses\"\n{more}",
        server.base_url()
    ));
    server
}

/// `codex exec` with these arguments and the provider's key.
#[track_caller]
pub(super) fn exec(env: &TestEnv, arguments: &[&str]) -> Command {
    let mut command = codex(env, &["exec"]);
    command.env("TEST_KEY", KEY).args(arguments);
    command
}

/// Runs `codex exec --json` with these arguments; its exit code has to be 0.
#[track_caller]
pub(super) fn exec_json(env: &TestEnv, arguments: &[&str]) -> Vec<Value> {
    let output = run(exec(env, &["--json"]).args(arguments));
    assert_eq!(output.code, Some(0), "{output:#?}");
    json_lines(&output.stdout)
}

/// A reply that says this and calls nothing.
pub(super) fn says(text: &str) -> Reply {
    Reply::responses(vec![Item::message(text)])
}

/// A reply that makes these calls.
pub(super) fn calls(items: Vec<Item>) -> Reply {
    Reply::responses(items)
}

/// A call of `shell` with a command string.
pub(super) fn shell(call_id: &str, command: &str) -> Item {
    Item::function_call(
        call_id,
        "shell",
        serde_json::json!({ "command": command }).to_string(),
    )
}

/// A call of `read_file`.
pub(super) fn read_file(call_id: &str, arguments: Value) -> Item {
    Item::function_call(call_id, "read_file", arguments.to_string())
}

/// A call of `apply_patch` with these lines between the patch's first and last.
pub(super) fn patch(call_id: &str, body: &str) -> Item {
    Item::custom_tool_call(
        call_id,
        "apply_patch",
        format!("*** Begin Patch\n{body}*** End Patch\n"),
    )
}

/// The outputs of calls that a request holds, as (`call_id`, text), in order.
pub(super) fn outputs(request: &Received) -> Vec<(String, String)> {
    let items = request.body["input"].as_array().expect("an input").iter();
    items
        .filter(|item| {
            item["type"]
                .as_str()
                .is_some_and(|t| t.ends_with("_call_output"))
        })
        .map(|item| {
            let text = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
            (text(&item["call_id"]), text(&item["output"]))
        })
        .collect()
}

/// The text that the call got back in the script's request of this index.
#[track_caller]
pub(super) fn output_of(server: &ScriptedModel, turn: usize, call_id: &str) -> String {
    let turns = server.turns();
    let request = turns
        .get(turn)
        .unwrap_or_else(|| panic!("there were {} requests", turns.len()));
    let found = outputs(request).into_iter().find(|(id, _)| id == call_id);
    found
        .unwrap_or_else(|| panic!("no output of {call_id} in {:#}", request.body))
        .1
}

/// The `type` of each event, with that of its item.
pub(super) fn kinds(events: &[Value]) -> Vec<String> {
    let kind = |event: &Value| {
        let of_event = event["type"].as_str().expect("an event has a type");
        match event["item"]["type"].as_str() {
            Some(of_item) => format!("{of_event} {of_item}"),
            None => of_event.to_owned(),
        }
    };
    events.iter().map(kind).collect()
}

/// The completed items of this type.
pub(super) fn completed(events: &[Value], kind: &str) -> Vec<Value> {
    events
        .iter()
        .filter(|e| e["type"] == "item.completed" && e["item"]["type"] == kind)
        .map(|e| e["item"].clone())
        .collect()
}

/// The records of the log that are denials.
#[track_caller]
pub(super) fn denied(env: &TestEnv) -> Vec<Value> {
    let mut records = env.audit_lines();
    records.retain(|record| record["decision"] == "denied");
    records
}

/// The records of the log of this operation.
#[track_caller]
pub(super) fn of_operation(env: &TestEnv, operation: &str) -> Vec<Value> {
    let mut records = env.audit_lines();
    records.retain(|record| record["operation"] == operation);
    records
}

/// The session files, in the order of their names.
pub(super) fn session_files(env: &TestEnv) -> Vec<PathBuf> {
    files_below(&env.codex_home().join("sessions"))
}

/// Every file below a directory, sorted; none if it is not there.
pub(super) fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten() {
        let path = entry.expect("a directory's entry").path();
        if path.is_dir() && !path.is_symlink() {
            found.extend(files_below(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// A running `codex`, killed when the test is done with it.
pub(super) struct Started(pub(super) Child);

impl Started {
    /// Starts it with its output going to files of this name beside the workspace.
    #[track_caller]
    pub(super) fn new(command: &mut Command, output: &Path) -> Self {
        let file = |ending: &str| {
            fs::File::create(output.with_extension(ending)).expect("a file for the output")
        };
        let child = command
            .stdin(Stdio::null())
            .stdout(file("out"))
            .stderr(file("err"))
            .spawn();
        Self(child.expect("codex can be started"))
    }

    /// Sends it a signal by name.
    #[track_caller]
    pub(super) fn signal(&self, name: &str) {
        let script = format!("kill -{name} {}", self.0.id());
        let output = run(Command::new("/bin/sh").args(["-c", &script]));
        assert_eq!(output.code, Some(0), "{output:?}");
    }

    /// Its exit code, once it ends.
    #[track_caller]
    pub(super) fn code(&mut self) -> Option<i32> {
        let mut status = None;
        eventually("codex ends", || {
            status = self.0.try_wait().expect("it can be waited for");
            status.is_some()
        });
        status.and_then(|status| status.code())
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until `holds` does.
#[track_caller]
pub(super) fn eventually(what: &str, holds: impl FnMut() -> bool) {
    within(PATIENCE, what, holds);
}

/// Waits for this long at most until `holds` does.
#[track_caller]
pub(super) fn within(limit: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !holds() {
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// A number of seconds, as `sleep` takes it, that no other process has in its arguments.
pub(super) fn marked_seconds(whole: u32) -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{whole}.{:07}{number:03}", std::process::id())
}

/// Whether a process has exactly this among its arguments: the program that waits, not the shell
/// whose script, or the codex whose command, says so.
pub(super) fn is_running(mark: &str) -> bool {
    let entries = fs::read_dir("/proc")
        .expect("/proc can be listed")
        .flatten();
    entries
        .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
        .any(|line| line.split(|&b| b == 0).any(|a| a == mark.as_bytes()))
}

/// The error that a failed run told on stderr: one line that begins with `codex:`.
#[track_caller]
pub(super) fn told(output: &RunOutput, code: i32) -> String {
    assert_eq!(output.code, Some(code), "{output:#?}");
    assert!(!output.stderr.contains("panicked"), "{output:#?}");
    let errors: Vec<&str> = output
        .stderr
        .lines()
        .filter(|line| line.starts_with("codex:") && !line.starts_with("codex: warning:"))
        .collect();
    assert_eq!(errors.len(), 1, "one error is told: {output:#?}");
    errors[0].to_owned()
}

/// The same of a run that failed before it began: nothing else is on stderr or stdout.
#[track_caller]
pub(super) fn told_alone(output: &RunOutput, code: i32) -> String {
    let error = told(output, code);
    assert_eq!(output.stderr, format!("{error}\n"), "{output:#?}");
    assert_eq!(output.stdout, "", "{output:#?}");
    error
}

/// An environment for whoever runs the test, and for root one of an ordinary user beside it.
pub(super) fn each_user() -> Vec<TestEnv> {
    let mut envs = vec![TestEnv::new()];
    match TestEnv::unprivileged() {
        Ok(env) => envs.push(env),
        Err(why) => assert!(why.to_string().contains("only root can"), "{why}"),
    }
    envs
}
