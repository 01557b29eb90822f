//! `codex agents run`: real agents in real sandboxes, with real git underneath.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use codex_test_support::otlp::ReceivedMetric;
use codex_test_support::{
    AgentScripts, Collector, Item, Reply, RunOutput, ScriptedModel, TestEnv, json_lines, marker,
    run,
};
use serde_json::{Value, json};

use super::fixture::{
    KEY, Started, codex, denied, eventually, is_running, marked_seconds, of_operation, patch, says,
    shell, told,
};
use super::telemetry::span;

const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/demo");

/// A server for these agents, configured as the provider. Each agent is told from the others by
/// the marker in its task.
pub(super) fn crowd(env: &TestEnv, agents: &[(&str, Vec<Reply>)]) -> ScriptedModel {
    let mut scripts = AgentScripts::new();
    for (name, replies) in agents {
        scripts = scripts.agent(*name, replies.clone());
    }
    let server = ScriptedModel::start_many(scripts);
    env.write_config(format!(
        "model = \"m\"\nmodel_provider = \"test\"\n\n[model_providers.test]\n\
         base_url = \"{}\"\nenv_key = \"TEST_KEY\"\nwire_api = \"responses\"\n\
         request_max_retries = 0\nstream_max_retries = 0\n",
        server.base_url()
    ));
    server
}

/// A plan of agents: name, type, what it comes after.
fn plan(env: &TestEnv, agents: &[(&str, &str, &[&str])]) -> String {
    let text: String = agents
        .iter()
        .map(|(name, agent_type, after)| {
            format!(
                "[[agent]]\nname = '{name}'\ntype = '{agent_type}'\ntask = '{}'\nafter = {after:?}\n",
                marker(name)
            )
        })
        .collect();
    let path = env.root().join("plan.toml");
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

fn agents(env: &TestEnv, arguments: &[&str]) -> Command {
    let mut command = codex(env, &["agents", "run"]);
    command.env("TEST_KEY", KEY).args(arguments);
    command
}

fn git(env: &TestEnv, arguments: &[&str]) -> RunOutput {
    let mut command = env.command(Path::new("git"));
    command.args(["-c", "user.name=t", "-c", "user.email=t@localhost"]);
    let output = run(command.args(arguments));
    assert_eq!(output.code, Some(0), "{output:#?}");
    output
}

fn repository(env: &TestEnv) {
    env.write("f.txt", "one\ntwo\nthree\nfour\nfive\nsix\n");
    env.write(".gitignore", "ignored\n");
    git(env, &["init", "-q"]);
    git(env, &["add", "-A"]);
    git(env, &["commit", "-qm", "first"]);
}

fn edit(call_id: &str, from: &str, to: &str) -> Item {
    patch(
        call_id,
        &format!("*** Update File: f.txt\n@@\n-{from}\n+{to}\n"),
    )
}

/// What became of each agent, from the last event.
fn outcomes(events: &[Value]) -> Vec<(String, String)> {
    let last = events.last().expect("there are events");
    assert_eq!(last["type"], "agents.completed", "{last}");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let all = last["outcomes"].as_array().unwrap().iter();
    all.map(|o| (text(&o["name"]), text(&o["fate"]))).collect()
}

fn fates(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(a, b): &(&str, &str)| ((*a).to_owned(), (*b).to_owned());
    expected.iter().map(owned).collect()
}

#[test]
fn the_demo_plan_plays_with_and_without_a_repository() {
    for with_git in [false, true] {
        let env = TestEnv::new();
        for name in ["slug.sh", "test.sh", "NOTES.md"] {
            let text = fs::read(format!("{DEMO}/project/{name}")).unwrap();
            env.write(name, text);
        }
        if with_git {
            git(&env, &["init", "-q"]);
        }
        let plan = format!("{DEMO}/agents/plan.toml");
        let recordings = format!("{DEMO}/agents");
        let arguments = [
            &plan,
            "--replay",
            &recordings,
            "--profile",
            "workspace-write",
        ];
        let output = run(&mut agents(&env, &arguments));
        assert_eq!(output.code, Some(0), "{output:#?}");
        assert!(
            output.stdout.contains("## check\n\nAll four tests pass"),
            "{output:#?}"
        );
        assert!(output.stderr.contains("4 completed in"), "{output:#?}");
        assert!(output.stderr.contains("    merged slug.sh"), "{output:#?}");
        let tested = run(env.command(Path::new("sh")).arg("test.sh"));
        assert_eq!(tested.code, Some(0), "{tested:#?}");
        assert!(env.read("NOTES.md").contains("`hello-world`"));
        let denials = denied(&env);
        assert_eq!(denials.len(), 1, "{denials:#?}");
        assert_eq!(denials[0]["agent_type"], "review");
        assert_eq!(denials[0]["rule"], "fs.secret");
        let spawned: Vec<Value> = of_operation(&env, "agent_spawn");
        let merged = spawned
            .iter()
            .filter(|r| r["rule"] == "agent.merge")
            .count();
        assert_eq!(merged, 2);
        assert!(!env.workspace().join(".git/worktrees/work").exists());
        let verified = run(&mut codex(&env, &["audit", "verify"]));
        assert_eq!(verified.code, Some(0), "{verified:#?}");
    }
}

#[test]
fn writers_of_one_file_are_merged_in_order_and_a_conflict_is_kept() {
    let env = TestEnv::new();
    repository(&env);
    env.write("f.txt", "one\ntwo\nthree\nfour\nfive\nSIX, not committed\n");
    env.write("ignored", "stays\n");
    let writes = |from, to| vec![Reply::responses(vec![edit("c", from, to)]), says("done")];
    let _server = crowd(
        &env,
        &[
            ("a", writes("one", "one by a")),
            ("b", writes("four", "four by b")),
            ("c", writes("one", "one by c")),
            ("d", vec![says("never asked")]),
        ],
    );
    let plan = plan(
        &env,
        &[
            ("a", "code", &[]),
            ("b", "code", &[]),
            ("c", "code", &[]),
            ("d", "review", &["c"]),
        ],
    );
    let arguments = [
        &plan,
        "--json",
        "--profile",
        "workspace-write",
        "--on-failure",
        "continue",
    ];
    let output = run(&mut agents(&env, &arguments));
    assert_eq!(output.code, Some(1), "{output:#?}");
    let events = json_lines(&output.stdout);
    let error = events.iter().position(|e| e["type"] == "error").unwrap();
    assert_eq!(
        outcomes(&events[..error]),
        fates(&[
            ("a", "completed"),
            ("b", "completed"),
            ("c", "conflicted"),
            ("d", "skipped")
        ])
    );
    assert_eq!(
        env.read("f.txt"),
        "one by a\ntwo\nthree\nfour by b\nfive\nSIX, not committed\n"
    );
    let merged = &events[error - 1]["outcomes"][2]["report"]["merged"];
    assert_eq!(merged["conflicts"], json!(["f.txt"]));
    let kept = merged["kept"].as_str().unwrap();
    let shown = git(&env, &["show", &format!("{kept}:f.txt")]);
    assert!(shown.stdout.starts_with("one by c\ntwo\n"), "{shown:#?}");
    assert_eq!(git(&env, &["log", "--oneline"]).stdout.lines().count(), 1);
    assert_eq!(git(&env, &["worktree", "list"]).stdout.lines().count(), 1);
    let records = of_operation(&env, "agent_spawn");
    let conflict: Vec<&Value> = records
        .iter()
        .filter(|r| r["rule"] == "agent.merge" && r["decision"] == "denied")
        .collect();
    assert_eq!(conflict.len(), 1, "{records:#?}");
    assert_eq!(conflict[0]["target"], "main/c");

    for event in &events[1..error] {
        let agent = event["agent"].as_str().unwrap_or_else(|| panic!("{event}"));
        match agent {
            "main" => assert_eq!(event["parent"], Value::Null),
            _ => assert_eq!(event["parent"], "main", "{event}"),
        }
    }
    let states: Vec<&str> = events
        .iter()
        .filter(|e| e["type"] == "agent.state" && e["agent"] == "main/a")
        .map(|e| e["state"].as_str().unwrap())
        .collect();
    assert_eq!(states, ["running", "completed", "closed"]);
}

#[test]
fn work_that_git_cannot_look_at_is_kept_and_told() {
    let env = TestEnv::new();
    repository(&env);
    git(&env, &["config", "filter.x.required", "true"]);
    git(&env, &["config", "filter.x.clean", "/nonexistent/filter"]);
    let work =
        "echo '*.txt filter=x' > .gitattributes && echo done > new.txt && echo more >> f.txt";
    let _server = crowd(
        &env,
        &[(
            "a",
            vec![Reply::responses(vec![shell("c", work)]), says("done")],
        )],
    );
    let plan = plan(&env, &[("a", "code", &[])]);
    let output = run(&mut agents(
        &env,
        &[&plan, "--json", "--profile", "workspace-write"],
    ));
    assert_eq!(output.code, Some(1), "{output:#?}");
    let events = json_lines(&output.stdout);
    let last = events
        .iter()
        .find(|e| e["type"] == "agents.completed")
        .unwrap();
    let outcome = &last["outcomes"][0];
    assert_eq!(outcome["fate"], "conflicted", "{outcome}");
    let merged = &outcome["report"]["merged"];
    let why = merged["conflicts"][0].as_str().unwrap();
    assert!(why.contains("clean filter 'x' failed"), "{why}");
    let kept = Path::new(merged["kept"].as_str().unwrap());
    assert_eq!(fs::read_to_string(kept.join("new.txt")).unwrap(), "done\n");
    assert_eq!(env.read("f.txt"), "one\ntwo\nthree\nfour\nfive\nsix\n");
    fs::remove_dir_all(kept.ancestors().nth(2).unwrap()).unwrap();
}

#[test]
fn without_a_repository_what_does_not_fit_stays_in_a_directory() {
    let env = TestEnv::new();
    env.write("f.txt", "one\n");
    let writes = |to| vec![Reply::responses(vec![edit("c", "one", to)]), says("done")];
    let _server = crowd(&env, &[("a", writes("by a")), ("b", writes("by b"))]);
    let plan = plan(&env, &[("a", "code", &[]), ("b", "code", &[])]);
    let output = run(&mut agents(
        &env,
        &[&plan, "--json", "--profile", "workspace-write"],
    ));
    assert_eq!(output.code, Some(1), "{output:#?}");
    let events = json_lines(&output.stdout);
    let last = events
        .iter()
        .find(|e| e["type"] == "agents.completed")
        .unwrap();
    let kept = last["outcomes"][1]["report"]["merged"]["kept"]
        .as_str()
        .unwrap();
    assert_eq!(env.read("f.txt"), "by a\n");
    let kept = Path::new(kept);
    assert_eq!(fs::read_to_string(kept.join("f.txt")).unwrap(), "by b\n");
    fs::remove_dir_all(kept.ancestors().nth(2).unwrap()).unwrap();
}

#[test]
fn an_agent_that_cannot_begin_leaves_no_worktree() {
    let env = TestEnv::new();
    repository(&env);
    let _server = crowd(&env, &[("a", vec![says("never asked")])]);
    let sessions = env.codex_home().join("sessions");
    fs::create_dir_all(&sessions).unwrap();
    fs::write(sessions.join("agents"), "no directory").unwrap();
    let plan = plan(&env, &[("a", "code", &[])]);
    let output = run(&mut agents(&env, &[&plan, "--profile", "workspace-write"]));
    assert_eq!(output.code, Some(1), "{output:#?}");
    let made = of_operation(&env, "process_spawn");
    assert!(!made.is_empty(), "git made a worktree");
    assert_eq!(git(&env, &["worktree", "list"]).stdout.lines().count(), 1);
    assert!(!env.workspace().join(".git/worktrees/work").exists());
}

#[test]
fn what_a_failed_attempt_changed_is_kept_and_named() {
    let env = TestEnv::new();
    repository(&env);
    let _server = crowd(
        &env,
        &[(
            "a",
            vec![
                Reply::responses(vec![edit("c", "one", "one, first try")]),
                Reply::error_json(400, "invalid_request_error", "no"),
                Reply::responses(vec![edit("c", "one", "one, second try")]),
                says("done"),
            ],
        )],
    );
    let path = env.root().join("plan.toml");
    let text = format!(
        "[[agent]]\nname = 'a'\ntype = 'code'\ntask = '{}'\nretries = 1\n",
        marker("a")
    );
    fs::write(&path, text).unwrap();
    let output = run(&mut agents(
        &env,
        &[
            path.to_str().unwrap(),
            "--json",
            "--profile",
            "workspace-write",
        ],
    ));
    assert_eq!(output.code, Some(0), "{output:#?}");
    let events = json_lines(&output.stdout);
    let outcome = &events.last().unwrap()["outcomes"][0];
    assert_eq!(outcome["attempts"], 2, "{outcome}");
    assert!(env.read("f.txt").starts_with("one, second try\n"));
    let kept = outcome["earlier"][0].as_str().unwrap();
    let shown = git(&env, &["show", &format!("{kept}:f.txt")]);
    assert!(shown.stdout.starts_with("one, first try\n"), "{shown:#?}");
}

#[test]
fn agents_reach_neither_the_workspace_nor_one_another() {
    let env = TestEnv::new();
    repository(&env);
    let workspace = env.workspace();
    let tries = format!(
        "pwd; cd \"$TMPDIR\" && echo mine > own && cat own; \
         for f in {0}/f.txt {0}/.git/config ../../b/work/f.txt ../../b/temp/x ../../x; do \
         (echo bad >> $f) 2>/dev/null && echo \"WROTE $f\"; done; echo tried",
        workspace.display()
    );
    let until_b = "while [ ! -e ../../b/work/f.txt ]; do sleep 0.05; done; ";
    let command = format!("cd \"$TMPDIR\"; {until_b} {tries}");
    let _server = crowd(
        &env,
        &[
            (
                "a",
                vec![Reply::responses(vec![shell("c", &command)]), says("done")],
            ),
            (
                "b",
                vec![
                    Reply::responses(vec![shell("c", "sleep 2; cat f.txt")]),
                    says("done"),
                ],
            ),
            (
                "r",
                vec![
                    Reply::responses(vec![shell(
                        "c",
                        "echo bad > f.txt; echo bad > /tmp/bad-$$; echo tried",
                    )]),
                    says("done"),
                ],
            ),
        ],
    );
    let plan = plan(
        &env,
        &[("a", "code", &[]), ("b", "code", &[]), ("r", "review", &[])],
    );
    let output = run(&mut agents(
        &env,
        &[&plan, "--json", "--profile", "workspace-write"],
    ));
    assert_eq!(output.code, Some(0), "{output:#?}");
    let events = json_lines(&output.stdout);
    let printed = |agent: &str| -> String {
        let done = events.iter().find(|e| {
            e["type"] == "item.completed"
                && e["agent"] == agent
                && e["item"]["type"] == "command_execution"
        });
        done.unwrap()["item"]["aggregated_output"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let a = printed("main/a");
    assert!(a.contains("mine\ntried") && !a.contains("WROTE"), "{a}");
    assert!(a.contains("/a/temp"), "{a}");
    assert!(
        printed("main/b").contains("one\ntwo\n"),
        "{}",
        printed("main/b")
    );
    assert!(printed("main/r").contains("tried"), "{}", printed("main/r"));
    assert_eq!(env.read("f.txt"), "one\ntwo\nthree\nfour\nfive\nsix\n");
    let profiles: Vec<(Value, Value)> = of_operation(&env, "process_spawn")
        .iter()
        .filter(|r| r["agent_type"] != "main")
        .map(|r| (r["agent_type"].clone(), r["profile"].clone()))
        .collect();
    assert!(
        profiles.contains(&(json!("code"), json!("WorkspaceWrite"))),
        "{profiles:?}"
    );
    assert!(
        profiles.contains(&(json!("review"), json!("Offline"))),
        "{profiles:?}"
    );
}

#[test]
fn an_interrupted_run_ends_every_agent_and_loses_no_work() {
    let env = TestEnv::new();
    repository(&env);
    let marks = [marked_seconds(30), marked_seconds(30), marked_seconds(30)];
    let sleeps = |n: usize| {
        vec![
            Reply::responses(vec![edit("e", "six", "six, unfinished")]),
            Reply::responses(vec![shell("c", &format!("sleep {} & sleep {0}", marks[n]))]),
        ]
    };
    let _server = crowd(
        &env,
        &[("a", sleeps(0)), ("b", sleeps(1)), ("c", sleeps(2))],
    );
    let plan = plan(
        &env,
        &[("a", "code", &[]), ("b", "code", &[]), ("c", "code", &[])],
    );
    let place = env.root().join("run");
    let mut started = Started::new(
        &mut agents(&env, &[&plan, "--json", "--profile", "workspace-write"]),
        &place,
    );
    for mark in &marks {
        eventually("its command runs", || is_running(mark));
    }
    started.signal("INT");
    assert_eq!(started.code(), Some(130));
    for mark in &marks {
        assert!(!is_running(mark), "what an agent started ends with the run");
    }
    let events = json_lines(&fs::read_to_string(place.with_extension("out")).unwrap());
    let last = events
        .iter()
        .find(|e| e["type"] == "agents.completed")
        .unwrap();
    for outcome in last["outcomes"].as_array().unwrap() {
        assert_eq!(outcome["fate"], "interrupted", "{outcome}");
        let kept = outcome["report"]["merged"]["kept"].as_str().unwrap();
        let shown = git(&env, &["show", &format!("{kept}:f.txt")]);
        assert!(shown.stdout.ends_with("six, unfinished\n"), "{shown:#?}");
    }
    assert_eq!(env.read("f.txt"), "one\ntwo\nthree\nfour\nfive\nsix\n");
    for agent in ["main/a", "main/b", "main/c"] {
        let mut states = events
            .iter()
            .filter(|e| e["type"] == "agent.state" && e["agent"] == agent);
        assert_eq!(states.next_back().unwrap()["state"], "closed");
    }
    let verified = run(&mut codex(&env, &["audit", "verify"]));
    assert_eq!(verified.code, Some(0), "{verified:#?}");
}

#[test]
fn one_task_goes_to_several_types_and_budgets_hold() {
    let env = TestEnv::new();
    env.write("f", "x");
    let script: Vec<Reply> = (0..9)
        .map(|n| Reply::responses(vec![shell(&format!("c{n}"), "ls")]))
        .collect();
    let _server = crowd(&env, &[("t", script)]);
    let task = format!("look at {}", marker("t"));
    let arguments = [
        &task,
        "--agents",
        "review,security",
        "--max-turns",
        "5",
        "--on-failure",
        "continue",
        "--json",
    ];
    let output = run(&mut agents(&env, &arguments));
    assert_eq!(output.code, Some(1), "{output:#?}");
    let events = json_lines(&output.stdout);
    let last = events
        .iter()
        .find(|e| e["type"] == "agents.completed")
        .unwrap();
    assert_eq!(last["spent"]["turns"], 5, "{last}");
    let names: Vec<&Value> = last["outcomes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|o| &o["name"])
        .collect();
    assert_eq!(names, ["review", "security"]);
}

#[test]
fn a_run_of_agents_is_told_in_spans_and_logs() {
    let env = TestEnv::new();
    let collector = Collector::start(Vec::new());
    let _server = crowd(&env, &[("t", vec![says("done")])]);
    let task = marker("t");
    let mut command = agents(&env, &[&task, "--agents", "review", "--log-format", "json"]);
    let output = run(command.env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url()));
    assert_eq!(output.code, Some(0), "{output:#?}");
    let logged = output.stderr.lines().filter(|line| line.starts_with('{'));
    assert!(logged.count() > 0, "{output:#?}");
    let spans = collector.spans();
    let whole = span(&spans, "codex agents run");
    let agent = span(&spans, "invoke_agent review");
    assert_eq!(agent.trace_id, whole.trace_id);
}

#[test]
fn as_many_agents_are_told_as_are_at_work_and_none_after_the_end() {
    let env = TestEnv::new();
    let collector = Collector::start(Vec::new());
    let late = || says("late").delay(Duration::from_secs(600));
    // One fails at once, the others are at work until they are interrupted.
    let server = crowd(&env, &[("t", vec![Reply::text(400, "no"), late(), late()])]);
    let task = marker("t");
    let types = "review,security,docs";
    let rest = ["--agents", types, "--on-failure", "continue"];
    let mut command = agents(&env, &[&[task.as_str()], &rest[..]].concat());
    command
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url())
        .env("OTEL_METRIC_EXPORT_INTERVAL", "100");
    let active = |all: &[ReceivedMetric]| -> f64 {
        let told = all.iter().filter(|m| m.name == "codex.active_agents");
        told.flat_map(|m| &m.points).map(|point| point.sum).sum()
    };
    let mut started = Started::new(&mut command, &env.root().join("run"));
    collector.wait_until(Duration::from_secs(60), |collector| {
        server.turns_of("t").len() == 3
            && collector
                .metrics()
                .last()
                .is_some_and(|all| active(all) == 2.0)
    });
    started.signal("INT");
    assert_eq!(started.code(), Some(130));
    assert_eq!(active(collector.metrics().last().unwrap()), 0.0);
}

#[test]
fn what_cannot_be_run_is_told_before_anything_begins() {
    let env = TestEnv::new();
    let bad = env.root().join("bad.toml");
    fs::write(&bad, "[[agent]]\nname = 'a'\ntask = 't'\nafter = ['b']\n").unwrap();
    let bad = bad.display().to_string();
    let unknown = env.root().join("unknown.toml");
    fs::write(
        &unknown,
        "[[agent]]\nname = 'a'\ntask = 't'\ntype = 'wizard'\n",
    )
    .unwrap();
    let unknown = unknown.display().to_string();
    for (arguments, part) in [
        (vec![bad.as_str()], "there is no agent \"b\""),
        (vec!["missing.toml"], "cannot be used"),
        (
            vec![bad.as_str(), "--agents", "code"],
            "--agents is for a task",
        ),
        (vec![unknown.as_str()], "wizard"),
        (vec!["x", "--agents", "wizard"], "wizard"),
        (vec![" "], "the task is empty"),
        (vec!["x", "--replay", "nowhere"], "is not a directory"),
        (
            vec!["x", "--allow-host", "docs.rs"],
            "agents reach no hosts",
        ),
        (
            vec!["x", "--profile", "net-read-only"],
            "agents reach no hosts",
        ),
        (
            vec![
                "x",
                "--profile",
                "workspace-write",
                "--allow-preset",
                "cargo",
            ],
            "agents reach no hosts",
        ),
    ] {
        let output = run(&mut agents(&env, &arguments));
        let error = told(&output, 2);
        assert!(error.contains(part), "{part}: {error}");
    }
    assert!(of_operation(&env, "agent_spawn").is_empty());
}
