//! Telemetry of real runs, as a collector and a reader of the log get it.

use std::collections::BTreeMap;

use codex_test_support::otlp::{ReceivedMetric, ReceivedSpan};
use codex_test_support::{Collector, Item, Reply, RunOutput, TestEnv, run};
use serde_json::{Value, json};

use super::fixture::{KEY, calls, codex, denied, exec, model, patch, says, shell};

/// Runs `codex exec` with the collector as its endpoint.
#[track_caller]
pub(super) fn watched(env: &TestEnv, collector: &Collector, arguments: &[&str]) -> RunOutput {
    run(exec(env, arguments).env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url()))
}

#[track_caller]
fn metric(all: &[ReceivedMetric], name: &str) -> ReceivedMetric {
    let found = all.iter().find(|m| m.name == name);
    let names: Vec<&str> = all.iter().map(|m| m.name.as_str()).collect();
    found
        .unwrap_or_else(|| panic!("no {name} in {names:?}"))
        .clone()
}

#[track_caller]
pub(super) fn span(spans: &[ReceivedSpan], name: &str) -> ReceivedSpan {
    let found = spans.iter().find(|s| s.name == name);
    let names: Vec<&str> = spans.iter().map(|s| s.name.as_str()).collect();
    found
        .unwrap_or_else(|| panic!("no {name} in {names:?}"))
        .clone()
}

/// The records of what telemetry itself asked for.
pub(super) fn exports(env: &TestEnv) -> Vec<Value> {
    let mut records = env.audit_lines();
    records.retain(|record| record["rule"] == "telemetry.configured");
    records
}

#[test]
fn a_run_is_told_in_metrics() {
    let env = TestEnv::new();
    let collector = Collector::start(Vec::new());
    let script = vec![
        calls(vec![
            shell("c1", "exit 3"),
            patch("c2", "*** Add File: new\n+text\n"),
        ]),
        calls(vec![Item::function_call("c3", "no_such_tool", "{}")]),
        says("Done."),
    ];
    let _server = model(&env, script);

    let output = watched(&env, &collector, &["do something"]);

    assert_eq!(output.code, Some(0), "{output:#?}");
    let exported = collector.metrics();
    assert_eq!(exported.len(), 1, "a short run sends its metrics once");
    let all = &exported[0];
    let shown: Vec<_> = all
        .iter()
        .map(|m| (m.name.as_str(), m.kind, m.unit.as_str(), m.monotonic))
        .collect();
    assert_eq!(
        shown,
        [
            ("codex.tasks", "sum", "{task}", true),
            ("gen_ai.invoke_agent.duration", "histogram", "s", false),
            ("codex.active_agents", "sum", "{agent}", false),
            ("codex.denials", "sum", "{denial}", true),
            ("gen_ai.client.token.usage", "histogram", "{token}", false),
            ("gen_ai.client.operation.duration", "histogram", "s", false),
            ("gen_ai.execute_tool.duration", "histogram", "s", false),
        ]
    );
    assert!(
        all.iter().all(|m| m.temporality == 2),
        "cumulative: {all:#?}"
    );

    let tasks = metric(all, "codex.tasks");
    let done = json!({ "agent": "main", "profile": "Offline", "outcome": "completed" });
    assert_eq!(tasks.points.len(), 1);
    assert_eq!(tasks.point(&done).sum, 1.0);
    let active = metric(all, "codex.active_agents");
    assert_eq!(active.point(&json!({ "agent": "main" })).sum, 0.0);
    let denials = metric(all, "codex.denials");
    let written = json!({
        "agent": "main", "profile": "Offline", "operation": "file_write", "rule": "fs.read-only"
    });
    assert_eq!(denials.points.len(), 1);
    assert_eq!(denials.point(&written).sum, 1.0);

    let duration = metric(all, "gen_ai.invoke_agent.duration");
    let task = duration.point(&json!({ "gen_ai.agent.name": "main", "gen_ai.request.model": "m" }));
    assert_eq!(
        (task.count, task.buckets.len(), task.bounds.len()),
        (1, 14, 13)
    );
    assert_eq!(task.buckets.iter().sum::<u64>(), 1);
    assert!(
        task.sum > 0.0 && task.min == task.sum && task.max == task.sum,
        "{task:?}"
    );
    assert!(task.start < task.time);

    // Three requests of the scripted model's 120 tokens read and 30 written.
    let tokens = metric(all, "gen_ai.client.token.usage");
    for (kind, sum) in [("input", 360.0), ("output", 90.0)] {
        let point = tokens.point(&json!({
            "gen_ai.operation.name": "chat", "gen_ai.provider.name": "test",
            "gen_ai.request.model": "m", "gen_ai.token.type": kind
        }));
        assert_eq!((point.count, point.sum), (3, sum));
    }
    let chats = metric(all, "gen_ai.client.operation.duration");
    assert_eq!(chats.points[0].count, 3);
    let tools = metric(all, "gen_ai.execute_tool.duration");
    let counts: BTreeMap<_, _> = tools
        .points
        .iter()
        .map(|p| {
            let text = |key: &str| p.attributes[key].as_str().unwrap().to_owned();
            ((text("gen_ai.tool.name"), text("outcome")), p.count)
        })
        .collect();
    let one = |name: &str| ((name.to_owned(), "failed".to_owned()), 1);
    assert_eq!(
        counts,
        BTreeMap::from([one("_unknown"), one("apply_patch"), one("shell")])
    );
    let service = &tasks.resource["service.name"];
    assert_eq!(
        (service, &tasks.resource["deployment.environment.name"]),
        (&json!("codex"), &json!("dev"))
    );
}

#[test]
fn a_run_is_told_in_one_trace_that_commands_can_join() {
    let env = TestEnv::new();
    let collector = Collector::start(Vec::new());
    let script = vec![
        calls(vec![shell("c1", "echo TP=$TRACEPARENT")]),
        calls(vec![patch("c2", "*** Add File: new\n+text\n")]),
        says("Done."),
    ];
    let server = model(&env, script);

    let output = watched(&env, &collector, &["do something"]);

    assert_eq!(output.code, Some(0), "{output:#?}");
    let spans = collector.spans();
    let mut names: Vec<&str> = spans.iter().map(|s| s.name.as_str()).collect();
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
    let run = span(&spans, "codex exec");
    let task = span(&spans, "invoke_agent main");
    let tool = span(&spans, "execute_tool shell");
    let refused = span(&spans, "execute_tool apply_patch");
    let command = span(&spans, "sandboxed_command bash");
    assert_eq!(run.parent_id, "");
    for (child, parent) in [
        (&task, &run),
        (&span(&spans, "chat m"), &task),
        (&tool, &task),
        (&refused, &task),
        (&command, &tool),
    ] {
        assert_eq!(child.parent_id, parent.span_id, "{}", child.name);
        assert!(
            child.start >= parent.start && child.end <= parent.end,
            "{}",
            child.name
        );
    }
    let records = env.audit_lines();
    for span in &spans {
        assert_eq!(span.trace_id, run.trace_id);
        assert_eq!(span.scope, "codex");
        assert_eq!(span.status, 0, "{span:#?}");
        assert_eq!(span.kind, if span.name == "chat m" { 3 } else { 1 });
        assert_eq!(
            span.attributes["task_id"], records[0]["task_id"],
            "{span:#?}"
        );
        assert_eq!(span.attributes["agent"], "main");
        assert_eq!(span.attributes["profile"], "Offline");
        let decision = if span.name == refused.name {
            "denied"
        } else {
            "allowed"
        };
        assert_eq!(span.attributes["decision"], decision, "{}", span.name);
    }
    assert_eq!(command.attributes["process.exit.code"], 0);
    assert_eq!(task.attributes["gen_ai.usage.input_tokens"], 360);
    assert_eq!(task.attributes["outcome"], "completed");
    // The denial stands in the trace as in the log.
    let (name, event) = &refused.events[0];
    let record = &denied(&env)[0];
    assert_eq!(name, "denied");
    for key in ["operation", "target", "rule", "evidence", "seq"] {
        assert_eq!(event[key], record[key], "{key}");
    }
    // The head that the trace keeps is a record of the log.
    let head = run.attributes["codex.audit.head"].as_str().unwrap();
    let (seq, hash) = head.split_once(' ').unwrap();
    let kept = records.iter().find(|r| r["hash"] == hash).unwrap();
    assert_eq!(kept["seq"].to_string(), seq);
    // What the command saw is its own span.
    let seen = format!("TP=00-{}-{}-01", command.trace_id, command.span_id);
    let told = String::from_utf8_lossy(&server.turns()[1].bytes).into_owned();
    assert!(told.contains(&seen), "{seen} in {told}");

    // Each place was asked of the gate, and what became of it is recorded.
    let recorded: Vec<_> = exports(&env)
        .into_iter()
        .map(|r| {
            (
                r["operation"].clone(),
                r["target"].clone(),
                r["detail"]["phase"].clone(),
            )
        })
        .collect();
    let at = |signal: &str, phase: &str| {
        let target = format!("POST {}/v1/{signal}", collector.url());
        (json!("network_access"), json!(target), json!(phase))
    };
    assert_eq!(
        recorded,
        [
            at("traces", "intent"),
            at("metrics", "intent"),
            at("traces", "outcome"),
            at("metrics", "outcome")
        ]
    );
    assert_eq!(
        exports(&env)[2]["detail"]["outcome"],
        json!({ "spans": 8, "spans_sent": 8, "spans_dropped": 0, "metrics_sent": 1, "metrics_failed": 0, "failure": null })
    );
}

#[test]
fn nothing_that_was_said_or_kept_secret_is_told() {
    let env = TestEnv::new();
    let collector = Collector::start(Vec::new());
    let secret = "ghp_0123456789abcdefghijklmnopqrstuvwxyzAB";
    env.write("notes.txt", "canary-of-a-file");
    let script = vec![
        calls(vec![shell("c1", "cat notes.txt; echo canary-of-a-command")]),
        calls(vec![patch(
            "c2",
            &format!("*** Add File: {secret}\n+canary-of-a-patch\n"),
        )]),
        calls(vec![Item::function_call(
            "c3 canary-of-an-id",
            "canary-of-a-tool",
            "{\"a\": \"canary-of-an-argument\"}",
        )]),
        says("canary-of-an-answer"),
    ];
    let _server = model(&env, script);

    let output = run(exec(&env, &["--log-format", "json", "canary-of-a-prompt"])
        .env("RUST_LOG", "trace")
        .env(
            "OTEL_EXPORTER_OTLP_HEADERS",
            "authorization=Bearer%20canary-of-a-header",
        )
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url()));

    assert_eq!(output.code, Some(0), "{output:#?}");
    let mut all: Vec<Vec<u8>> = collector.requests().into_iter().map(|r| r.bytes).collect();
    assert!(all.len() >= 2);
    let lines = output.stderr.lines().filter(|line| line.starts_with('{'));
    let logged: Vec<Value> = lines.map(|l| serde_json::from_str(l).unwrap()).collect();
    assert!(
        logged.iter().any(|line| line["message"] == "denied"),
        "{logged:#?}"
    );
    all.push(json!(logged).to_string().into_bytes());
    all.push(json!(exports(&env)).to_string().into_bytes());
    for bytes in &all {
        let text = String::from_utf8_lossy(bytes);
        for hidden in [
            secret,
            KEY,
            "canary-of-a-file",
            "canary-of-a-patch",
            "canary-of-a-tool",
            "canary-of-an-a",
            "canary-of-an-id",
            "canary-of-a-prompt",
            "canary-of-a-header",
        ] {
            assert!(!text.contains(hidden), "{hidden} in {text}");
        }
    }
    assert!(!String::from_utf8_lossy(&all[0]).contains("canary-of-a-command"));
    let sent = collector.requests();
    assert_eq!(
        sent[0].header("authorization"),
        Some("Bearer canary-of-a-header")
    );
    assert_eq!(
        sent[0].header("content-type"),
        Some("application/x-protobuf")
    );
}

#[test]
fn failures_are_counted_and_still_told() {
    let env = TestEnv::new();
    let collector = Collector::start(Vec::new());
    let _server = model(&env, vec![Reply::error_json(500, "server_error", "boom")]);

    let output = watched(&env, &collector, &["do something"]);

    assert_eq!(output.code, Some(1), "{output:#?}");
    let all = &collector.metrics()[0];
    let errors = metric(all, "codex.errors");
    for operation in ["chat", "invoke_agent"] {
        let point =
            errors.point(&json!({ "gen_ai.operation.name": operation, "error.type": "server" }));
        assert_eq!(point.sum, 1.0);
    }
    let failed = json!({ "agent": "main", "profile": "Offline", "outcome": "failed" });
    assert_eq!(metric(all, "codex.tasks").point(&failed).sum, 1.0);
    let task = span(&collector.spans(), "invoke_agent main");
    assert_eq!(
        (task.status, &task.attributes["error.type"]),
        (2, &json!("server"))
    );
}

#[test]
fn nothing_is_sent_unless_the_person_asks_for_it() {
    let env = TestEnv::new();
    let collector = Collector::start(Vec::new());
    let url = collector.url();
    env.write(
        ".codex/config.toml",
        format!(
            "[otel]\ntrace_exporter = {{ otlp-http = {{ endpoint = \"{url}/v1/traces\" }} }}\n"
        ),
    );
    let _server = model(&env, vec![says("Done."), says("Done.")]);

    let output = run(&mut exec(&env, &["do something"]));
    assert_eq!(output.code, Some(0), "{output:#?}");
    assert!(
        output.stderr.contains("otel"),
        "the project is told off: {output:#?}"
    );
    let output = run(exec(&env, &["do something"])
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &url)
        .env("OTEL_SDK_DISABLED", "true"));
    assert_eq!(output.code, Some(0), "{output:#?}");

    assert!(collector.requests().is_empty());
    assert!(exports(&env).is_empty());
    assert!(
        !output.stderr.contains("codex::"),
        "nothing is logged: {output:#?}"
    );
}

#[test]
fn the_persons_configuration_turns_it_on() {
    let env = TestEnv::new();
    let collector = Collector::start(Vec::new());
    let server = model(&env, vec![says("Done.")]);
    env.write_config(format!(
        "model = \"m\"\nmodel_provider = \"test\"\n[otel]\nenvironment = \"staging\"\nmetrics_exporter = \"none\"\n\
         trace_exporter = {{ otlp-http = {{ endpoint = \"{}/v1/traces?token=hush\", protocol = \"binary\", headers = \
         {{ x-key = \"hush\" }} }} }}\n[model_providers.test]\nbase_url = \"{}\"\nenv_key = \"TEST_KEY\"\nwire_api = \
         \"responses\"\n",
        collector.url(),
        server.base_url()
    ));

    let output = run(&mut exec(&env, &["do something"]));

    assert_eq!(output.code, Some(0), "{output:#?}");
    assert_eq!(collector.metrics().len(), 0);
    let run = span(&collector.spans(), "codex exec");
    assert_eq!(run.resource["deployment.environment.name"], "staging");
    let request = &collector.requests()[0];
    assert_eq!(
        (request.header("x-key"), request.query.as_str()),
        (Some("hush"), "token=hush")
    );
    let log = json!(env.audit_lines()).to_string();
    assert!(log.contains("/v1/traces") && !log.contains("hush"), "{log}");
}

#[test]
fn what_the_sandbox_refuses_a_command_stands_in_its_span() {
    let env = TestEnv::new();
    let collector = Collector::start(Vec::new());
    let script = vec![
        calls(vec![shell("c1", "echo text > new.txt")]),
        says("Done."),
    ];
    let _server = model(&env, script);

    let output = watched(&env, &collector, &["do something"]);

    assert_eq!(output.code, Some(0), "{output:#?}");
    let command = span(&collector.spans(), "sandboxed_command bash");
    assert_eq!(command.attributes["decision"], "denied");
    let target = json!(env.workspace().join("new.txt"));
    let written = command
        .events
        .iter()
        .find(|(_, event)| event["target"] == target);
    let (_, event) = written.unwrap_or_else(|| panic!("no {target} in {command:#?}"));
    let said = [&event["operation"], &event["rule"], &event["evidence"]];
    assert_eq!(said, ["file_write", "fs.read-only", "observed"]);
    let records = denied(&env);
    let record = records.iter().find(|record| record["target"] == target);
    assert_eq!(event["seq"], record.expect("the log has it too")["seq"]);
}

#[test]
fn a_command_that_goes_on_outlasts_the_call_that_started_it() {
    let env = TestEnv::new();
    let collector = Collector::start(Vec::new());
    let arguments = json!({ "command": "echo TP=$TRACEPARENT; sleep 600", "wait_ms": 20_000 });
    let start = Item::function_call("c1", "start_command", arguments.to_string());
    let script = vec![
        calls(vec![start]),
        calls(vec![shell("c2", "true")]),
        says("Done."),
    ];
    let server = model(&env, script);

    let output = watched(&env, &collector, &["do something"]);

    assert_eq!(output.code, Some(0), "{output:#?}");
    let spans = collector.spans();
    let tool = span(&spans, "execute_tool start_command");
    let found = spans.iter().find(|s| s.parent_id == tool.span_id);
    let command = found.expect("the command has a span");
    assert_eq!(command.name, "sandboxed_command bash");
    assert_eq!(command.attributes["outcome"], "interrupted");
    assert_eq!(tool.attributes["outcome"], "completed");
    let next = span(&spans, "execute_tool shell");
    assert!(
        tool.end <= next.start && next.end <= command.end,
        "{spans:#?}"
    );
    let seen = format!("TP=00-{}-{}-01", command.trace_id, command.span_id);
    let told = String::from_utf8_lossy(&server.turns()[1].bytes).into_owned();
    assert!(told.contains(&seen), "{seen} in {told}");
}

#[test]
fn a_sandboxed_command_joins_the_trace_it_is_started_in() {
    let env = TestEnv::new();
    let collector = Collector::start(Vec::new());
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let mut command = codex(
        &env,
        &["sandbox", "--", "sh", "-c", "echo $TRACEPARENT; exit 7"],
    );
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url());

    let output = run(command.env("TRACEPARENT", parent));

    assert_eq!(output.code, Some(7), "{output:#?}");
    let spans = collector.spans();
    let outer = span(&spans, "codex sandbox");
    let inner = span(&spans, "sandboxed_command sh");
    assert_eq!(outer.trace_id, "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(outer.parent_id, "00f067aa0ba902b7");
    assert_eq!(outer.flags, 0x301, "the parent is another process");
    assert_eq!(inner.parent_id, outer.span_id);
    assert_eq!(inner.attributes["process.exit.code"], 7);
    assert_eq!(
        output.stdout,
        format!("00-{}-{}-01\n", inner.trace_id, inner.span_id)
    );

    // The sampler decides for what has no parent.
    let output = run(command
        .env_remove("TRACEPARENT")
        .env("OTEL_TRACES_SAMPLER", "always_off"));
    assert_eq!((output.code, output.stdout.as_str()), (Some(7), "\n"));
    assert_eq!(collector.spans().len(), 2);
    command.env_remove("OTEL_TRACES_SAMPLER");

    // A caller that does not keep the trace gets none of ours, and the metrics all the same.
    let output = run(command.env("TRACEPARENT", parent.replace("b7-01", "b7-00")));
    assert_eq!(output.code, Some(7), "{output:#?}");
    assert_eq!(output.stdout, "\n");
    assert_eq!(collector.spans().len(), 2);
}

#[test]
fn the_log_is_lines_that_say_whose_they_are() {
    let env = TestEnv::new();
    let script = vec![
        calls(vec![patch("c1", "*** Add File: new\n+text\n")]),
        says("Done."),
    ];
    let _server = model(&env, [script.clone(), script].concat());

    let output = run(&mut exec(&env, &["--log-format", "json", "do something"]));

    assert_eq!(output.code, Some(0), "{output:#?}");
    assert_eq!(output.stdout, "Done.\n");
    let lines = output.stderr.lines().filter(|line| line.starts_with('{'));
    let lines: Vec<Value> = lines.map(|l| serde_json::from_str(l).unwrap()).collect();
    let said: Vec<_> = lines
        .iter()
        .map(|l| {
            (
                l["logger"].as_str().unwrap(),
                l["message"].as_str().unwrap(),
                l["span"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        said,
        [
            ("codex::model", "ended", "chat"),
            ("codex::audit", "denied", "execute_tool"),
            ("codex::tool", "ended", "execute_tool"),
            ("codex::model", "ended", "chat"),
            ("codex::session", "ended", "invoke_agent"),
            ("codex::run", "ended", "codex"),
        ]
    );
    for line in &lines {
        assert_eq!(line["v"], 1);
        assert_eq!(
            (&line["agent"], &line["profile"]),
            (&json!("main"), &json!("Offline"))
        );
        assert_eq!(line["task_id"], denied(&env)[0]["task_id"]);
        assert!(
            line["decision"] == "allowed" || line["decision"] == "denied",
            "{line}"
        );
    }

    let output = run(exec(&env, &["do something"]).env("RUST_LOG", "codex::audit=warn"));
    let logged: Vec<&str> = output
        .stderr
        .lines()
        .filter(|l| l.contains("codex::"))
        .collect();
    assert_eq!(logged.len(), 1, "{output:#?}");
    assert!(
        logged[0].contains(" WARN codex::audit denied ")
            && logged[0].contains(" rule=fs.read-only "),
        "{logged:?}"
    );
}

#[test]
fn directives_that_cannot_be_read_are_told() {
    let env = TestEnv::new();
    let _server = model(&env, vec![says("Done.")]);
    let output = run(exec(&env, &["do something"]).env("RUST_LOG", "codex[x]=y=z"));
    assert_eq!(output.code, Some(0), "{output:#?}");
    assert!(
        output.stderr.contains("RUST_LOG cannot be read"),
        "{output:#?}"
    );
}
