//! A collector of others' gets the metrics and traces of real runs.
//!
//! `rotel` (PyPI) receives what codex sends, reads it with the official definitions, and sends what
//! it understood on to a receiver of the test's. Not part of `cargo test`, since it needs `rotel`:
//!
//! ```sh
//! python3 -m venv target/ci-tools/venv && target/ci-tools/venv/bin/pip install rotel==0.0.1a15
//! cargo test -p codex-cli --test observability
//! ```
//!
//! or name its `rotel-agent` in `CODEX_TEST_ROTEL`. `.ci/run` does the former.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the whole binary is tests"
)]

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use codex_test_support::otlp::{ReceivedMetric, ReceivedPoint, ReceivedSpan};
use codex_test_support::{Collector, Item, Reply, ScriptedModel, TestEnv, run};
use serde_json::{Value, json};

/// Far above what a loaded machine takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where `rotel-agent` is.
fn rotel_agent() -> PathBuf {
    if let Some(path) = std::env::var_os("CODEX_TEST_ROTEL") {
        return path.into();
    }
    let lib = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/ci-tools/venv/lib");
    let pythons = fs::read_dir(&lib).into_iter().flatten().flatten();
    let found = pythons
        .map(|python| python.path().join("site-packages/rotel/rotel-agent"))
        .find(|agent| agent.exists());
    found.unwrap_or_else(|| {
        panic!(
            "there is no rotel-agent below {}: run\n  python3 -m venv target/ci-tools/venv && \
             target/ci-tools/venv/bin/pip install rotel==0.0.1a15\nor name one in CODEX_TEST_ROTEL",
            lib.display()
        )
    })
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// A running `rotel`, ended when the test is.
struct Rotel {
    child: Child,
    url: String,
}

impl Rotel {
    /// Starts one that sends everything on to `collector`.
    fn start(env: &TestEnv, collector: &Collector) -> Self {
        let (http, grpc) = (free_port(), free_port());
        let output = env.root().join("rotel.out");
        let file = || fs::File::create(&output).unwrap();
        let child = Command::new(rotel_agent())
            .args([
                "start",
                "--exporter",
                "otlp",
                "--otlp-exporter-protocol",
                "http",
            ])
            .args(["--otlp-exporter-endpoint", &collector.url()])
            .args(["--otlp-http-endpoint", &format!("127.0.0.1:{http}")])
            .args(["--otlp-grpc-endpoint", &format!("127.0.0.1:{grpc}")])
            .arg("--pid-file")
            .arg(env.root().join("rotel.pid"))
            .arg("--log-file")
            .arg(env.root().join("rotel.log"))
            .env_clear()
            .stdin(Stdio::null())
            .stdout(file())
            .stderr(file())
            .spawn()
            .expect("rotel can be started");
        let mut rotel = Self {
            child,
            url: format!("http://127.0.0.1:{http}"),
        };
        let start = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, http)).is_err() {
            let ended = rotel.child.try_wait().unwrap();
            let said = fs::read_to_string(&output).unwrap_or_default();
            assert_eq!(ended, None, "rotel ended: {said}");
            assert!(start.elapsed() < PATIENCE, "rotel does not listen: {said}");
            thread::sleep(Duration::from_millis(20));
        }
        rotel
    }
}

impl Drop for Rotel {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs `codex exec` against this script.
fn exec(env: &TestEnv, rotel: &Rotel, script: Vec<Reply>) -> Option<i32> {
    let server = ScriptedModel::start(script);
    env.write_config(format!(
        "model = \"m\"\nmodel_provider = \"test\"\n\n[model_providers.test]\nbase_url = \"{}\"\nenv_key = \
         \"TEST_KEY\"\nwire_api = \"responses\"\nrequest_max_retries = 0\n",
        server.base_url()
    ));
    let mut command = env.command(Path::new(env!("CARGO_BIN_EXE_codex")));
    let output = run(command
        .args(["exec", "do something"])
        .env("TEST_KEY", "placeholder")
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &rotel.url));
    assert!(!output.stderr.contains("telemetry was lost"), "{output:#?}");
    output.code
}

fn shell(call_id: &str, command: &str) -> Item {
    Item::function_call(call_id, "shell", json!({ "command": command }).to_string())
}

/// The points of this metric that have these attributes, over all runs.
fn points<'a>(all: &'a [ReceivedMetric], name: &str, attributes: &Value) -> Vec<&'a ReceivedPoint> {
    let of_name = all.iter().filter(|metric| metric.name == name);
    let points = of_name.flat_map(|metric| &metric.points);
    points
        .filter(|point| json!(point.attributes) == *attributes)
        .collect()
}

/// The kind, unit and whether it only grows, which each export of the metric has to agree on.
fn form<'a>(all: &'a [ReceivedMetric], name: &str) -> (&'a str, &'a str, bool) {
    let forms: Vec<_> = all
        .iter()
        .filter(|metric| metric.name == name)
        .map(|m| (m.kind, m.unit.as_str(), m.monotonic))
        .collect();
    assert!(!forms.is_empty(), "no {name} in {all:#?}");
    assert!(forms.iter().all(|form| *form == forms[0]), "{forms:?}");
    forms[0]
}

fn named<'a>(spans: &'a [ReceivedSpan], name: &str) -> &'a ReceivedSpan {
    let found = spans.iter().find(|span| span.name == name);
    found.unwrap_or_else(|| panic!("no {name} in {spans:#?}"))
}

#[test]
fn a_collector_of_others_gets_the_five_metrics_and_a_whole_trace() {
    let env = TestEnv::new();
    let collector = Collector::start(Vec::new());
    let rotel = Rotel::start(&env, &collector);

    let write = "*** Begin Patch\n*** Add File: new\n+text\n*** End Patch\n";
    let script = vec![
        Reply::responses(vec![shell("c1", "echo one")]),
        Reply::responses(vec![Item::custom_tool_call("c2", "apply_patch", write)]),
        Reply::responses(vec![Item::message("Done.")]),
    ];
    assert_eq!(exec(&env, &rotel, script), Some(0));
    let failing = vec![Reply::error_json(500, "server_error", "boom")];
    assert_eq!(exec(&env, &rotel, failing), Some(1));
    collector.wait_until(PATIENCE, |c| {
        let metrics = c.metrics().concat();
        let ended = metrics.iter().filter(|m| m.name == "codex.tasks").count();
        ended == 2 && c.spans().len() == 8 + 3
    });

    let all = collector.metrics().concat();
    assert_eq!(form(&all, "codex.tasks"), ("sum", "{task}", true));
    assert_eq!(
        form(&all, "gen_ai.invoke_agent.duration"),
        ("histogram", "s", false)
    );
    assert_eq!(form(&all, "codex.active_agents"), ("sum", "{agent}", false));
    assert_eq!(form(&all, "codex.errors"), ("sum", "{error}", true));
    assert_eq!(form(&all, "codex.denials"), ("sum", "{denial}", true));
    assert_eq!(
        form(&all, "gen_ai.client.token.usage"),
        ("histogram", "{token}", false)
    );
    assert_eq!(
        form(&all, "gen_ai.execute_tool.duration"),
        ("histogram", "s", false)
    );

    for outcome in ["completed", "failed"] {
        let ended = json!({ "agent": "main", "profile": "Offline", "outcome": outcome });
        let found: Vec<_> = points(&all, "codex.tasks", &ended)
            .iter()
            .map(|p| p.sum)
            .collect();
        assert_eq!(found, [1.0], "{outcome}");
    }
    let task = json!({ "gen_ai.agent.name": "main", "gen_ai.request.model": "m" });
    let duration = points(&all, "gen_ai.invoke_agent.duration", &task)[0];
    assert_eq!(
        (
            duration.count,
            duration.bounds.len(),
            duration.buckets.len()
        ),
        (1, 13, 14)
    );
    assert_eq!(duration.bounds[0], 0.1);
    assert!(duration.sum > 0.0 && duration.sum < PATIENCE.as_secs_f64());
    let active = points(&all, "codex.active_agents", &json!({ "agent": "main" }));
    assert!(active.iter().all(|point| point.sum == 0.0), "{active:?}");
    let error = json!({ "gen_ai.operation.name": "chat", "error.type": "server" });
    assert_eq!(points(&all, "codex.errors", &error)[0].sum, 1.0);
    let denial = json!({
        "agent": "main", "profile": "Offline", "operation": "file_write", "rule": "fs.read-only"
    });
    assert_eq!(points(&all, "codex.denials", &denial)[0].sum, 1.0);
    let written = json!({
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "test",
        "gen_ai.request.model": "m", "gen_ai.token.type": "output"
    });
    let tokens = points(&all, "gen_ai.client.token.usage", &written)[0];
    assert_eq!(
        (tokens.count, tokens.sum, tokens.min, tokens.max),
        (3, 90.0, 30.0, 30.0)
    );

    let spans = collector.spans();
    let command = named(&spans, "sandboxed_command bash").clone();
    let trace: Vec<ReceivedSpan> = spans
        .into_iter()
        .filter(|span| span.trace_id == command.trace_id)
        .collect();
    let mut names: Vec<&str> = trace.iter().map(|s| s.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "chat m",
            "chat m",
            "chat m",
            "codex exec",
            "execute_tool apply_patch",
            "execute_tool shell",
            "invoke_agent main",
            "sandboxed_command bash"
        ]
    );
    for (child, parent) in [
        ("sandboxed_command bash", "execute_tool shell"),
        ("execute_tool shell", "invoke_agent main"),
        ("execute_tool apply_patch", "invoke_agent main"),
        ("chat m", "invoke_agent main"),
        ("invoke_agent main", "codex exec"),
    ] {
        let (child, parent) = (named(&trace, child), named(&trace, parent));
        assert_eq!(child.parent_id, parent.span_id, "{}", child.name);
        assert_eq!(child.resource["service.name"], "codex");
    }
    let refused = named(&trace, "execute_tool apply_patch");
    assert_eq!(refused.attributes["decision"], "denied");
    assert_eq!(refused.events[0].0, "denied");
    assert_eq!(named(&trace, "chat m").kind, 3);
    assert_eq!(command.attributes["process.exit.code"], 0);
    assert!(command.end > command.start);
}
