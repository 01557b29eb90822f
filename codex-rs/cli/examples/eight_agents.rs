//! Measures eight agents beside one another, against eight processes of `codex exec`:
//!
//! ```sh
//! cargo run -p codex-cli --example eight_agents -- target/release/codex
//! ```
//!
//! The models are scripted and slow, the repository and the commands are real. Printed are the
//! wall time over that of the slowest agent, and the peak resident memory of the codex process (or
//! the sum over the processes) as the kernel counts it (`VmHWM`), without that of the commands.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a measurement prints, and fails loudly"
)]

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use codex_test_support::{AgentScripts, Item, Reply, ScriptedModel, TestEnv, json_lines, marker};

const AGENTS: usize = 8;

/// How long the model thinks before each of its three answers.
const THINKS: Duration = Duration::from_millis(1500);

const FILES: usize = 500;

fn main() {
    let codex = env::args_os()
        .nth(1)
        .map_or_else(|| PathBuf::from("target/release/codex"), PathBuf::from);
    let codex = codex
        .canonicalize()
        .expect("name the codex binary: eight_agents PATH");
    for (agent_type, profile) in [("review", "offline"), ("code", "workspace-write")] {
        println!("eight agents of type {agent_type}, profile {profile}:");
        together(&codex, agent_type, profile);
        apart(&codex, profile);
    }
}

fn names() -> Vec<String> {
    (0..AGENTS).map(|n| format!("a{n}")).collect()
}

/// A repository of some size, and a server that plays every agent's model.
fn equipment() -> (TestEnv, ScriptedModel) {
    let env = TestEnv::new();
    for n in 0..FILES {
        let text = format!("line one of {n}\nline two\n").repeat(20);
        env.write(format!("src/d{}/f{n}.txt", n % 20), text);
    }
    for arguments in [
        &["init", "-q"][..],
        &["add", "-A"],
        &[
            "-c",
            "user.name=t",
            "-c",
            "user.email=t@localhost",
            "commit",
            "-qm",
            "first",
        ],
    ] {
        let done = env.command(Path::new("git")).args(arguments).status();
        assert!(done.expect("git is there").success());
    }
    let mut scripts = AgentScripts::new();
    for (n, name) in names().into_iter().enumerate() {
        let call = |id: &str, command: String| {
            let arguments = serde_json::json!({ "command": command }).to_string();
            Reply::responses(vec![Item::function_call(id, "shell", arguments)]).delay(THINKS)
        };
        let replies = vec![
            call(
                "c1",
                format!("git log --oneline | head -n 3; grep -rc 'of {n}' src | wc -l"),
            ),
            call("c2", "find src -type f | xargs cat | wc -c".to_owned()),
            Reply::responses(vec![Item::message("done")]).delay(THINKS),
        ];
        scripts = scripts.agent(name, replies);
    }
    let server = ScriptedModel::start_many(scripts);
    env.write_config(format!(
        "model = \"m\"\nmodel_provider = \"test\"\n\n[model_providers.test]\n\
         base_url = \"{}\"\nenv_key = \"TEST_KEY\"\nwire_api = \"responses\"\n",
        server.base_url()
    ));
    (env, server)
}

fn together(codex: &Path, agent_type: &str, profile: &str) {
    let (env, server) = equipment();
    let plan: String = names()
        .iter()
        .map(|name| {
            format!(
                "[[agent]]\nname = '{name}'\ntype = '{agent_type}'\ntask = '{}'\n",
                marker(name)
            )
        })
        .collect();
    let path = env.root().join("plan.toml");
    fs::write(&path, plan).expect("a plan can be written");
    let out = env.root().join("out");
    let mut command = env.command(codex);
    command
        .args(["agents", "run", "--json", "--profile", profile])
        .arg(&path)
        .env("TEST_KEY", "placeholder")
        .stdout(fs::File::create(&out).expect("a file for the events"))
        .stderr(Stdio::null());
    let begun = Instant::now();
    let peaks = peaks(vec![command.spawn().expect("codex starts")]);
    let wall = begun.elapsed().as_secs_f64();
    server.assert_finished();
    let events = json_lines(&fs::read_to_string(&out).expect("there are events"));
    let last = events.last().expect("there are events");
    let outcomes = last["outcomes"].as_array().expect("the run has ended");
    let seconds = outcomes
        .iter()
        .map(|o| o["report"]["seconds"].as_f64().expect("it did its task"));
    let slowest = seconds.fold(0.0, f64::max);
    println!(
        "  one process:     {wall:.2} s, slowest agent {slowest:.2} s, ratio {:.2}; peak {:.1} MB",
        wall / slowest,
        peaks.iter().sum::<f64>()
    );
}

fn apart(codex: &Path, profile: &str) {
    let (env, server) = equipment();
    let begun = Instant::now();
    let children = names()
        .iter()
        .map(|name| {
            let mut command = env.command(codex);
            command
                .args(["exec", "--profile", profile])
                .arg(marker(name))
                .env("TEST_KEY", "placeholder")
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            command.spawn().expect("codex starts")
        })
        .collect();
    let peaks = peaks(children);
    let wall = begun.elapsed().as_secs_f64();
    server.assert_finished();
    println!(
        "  eight processes: {wall:.2} s; peak of all {:.1} MB",
        peaks.iter().sum::<f64>()
    );
}

/// Waits for the processes; gives the peak memory of each, in megabytes of 10^6 bytes.
fn peaks(children: Vec<Child>) -> Vec<f64> {
    let mut left: Vec<(Child, f64)> = children.into_iter().map(|child| (child, 0.0)).collect();
    let mut ended = Vec::new();
    while !left.is_empty() {
        left.retain_mut(|(child, peak)| {
            *peak = peak.max(high_water(child.id()).unwrap_or(0.0));
            let Some(status) = child.try_wait().expect("it can be waited for") else {
                return true;
            };
            assert!(status.success(), "codex failed: {status}");
            ended.push(*peak);
            false
        });
        thread::sleep(Duration::from_millis(10));
    }
    ended
}

/// `VmHWM` of `proc_pid_status(5)`, in megabytes.
fn high_water(pid: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024.0 / 1e6)
}
