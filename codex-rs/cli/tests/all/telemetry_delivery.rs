//! How telemetry gets to a collector, and what becomes of it when it does not.

use std::time::{Duration, Instant};

use codex_test_support::otlp::ReceivedMetric;
use codex_test_support::{Collector, CollectorReply, TestEnv, run};

use super::fixture::{PATIENCE, Started, calls, exec, model, says, shell};
use super::telemetry::{exports, span, watched};

#[test]
fn a_collector_that_asks_for_patience_gets_it_once_more() {
    let env = TestEnv::new();
    let busy = CollectorReply::Status(503, "retry-after: 0\r\n");
    let collector = Collector::start(vec![busy.clone(), busy, CollectorReply::Accept]);
    let _server = model(&env, vec![says("Done.")]);

    let output = watched(&env, &collector, &["do something"]);

    assert_eq!(output.code, Some(0), "{output:#?}");
    assert!(!output.stderr.contains("telemetry was lost"), "{output:#?}");
    assert_eq!(collector.requests().len(), 4, "two were sent again");
    assert_eq!(exports(&env)[2]["detail"]["outcome"]["spans_sent"], 3);
}

#[test]
fn what_a_collector_does_not_take_is_told_and_recorded() {
    for (reply, sent, why) in [
        (CollectorReply::Status(400, ""), 2, "status 400"),
        (CollectorReply::Reject(1, "too old"), 2, "too old"),
    ] {
        let env = TestEnv::new();
        let collector = Collector::start(vec![reply]);
        let _server = model(&env, vec![says("Done.")]);

        let output = watched(&env, &collector, &["do something"]);

        assert_eq!(output.code, Some(0), "{output:#?}");
        assert_eq!(collector.requests().len(), sent, "nothing was sent again");
        assert!(output.stderr.contains("telemetry was lost"), "{output:#?}");
        assert!(output.stderr.contains(why), "{output:#?}");
        let outcome = &exports(&env)[2]["detail"]["outcome"];
        assert!(
            outcome["failure"].as_str().unwrap().contains(why),
            "{outcome}"
        );
    }
}

#[test]
fn a_dead_or_silent_collector_does_not_keep_a_run() {
    let silent = Collector::start(vec![CollectorReply::Silence]);
    let closed = "http://127.0.0.1:9".to_owned();
    for url in [silent.url(), closed] {
        let env = TestEnv::new();
        let _server = model(&env, vec![says("Done.")]);
        let start = Instant::now();
        let output = run(exec(&env, &["do something"])
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", &url)
            .env("OTEL_EXPORTER_OTLP_TIMEOUT", "60000"));
        // Two seconds are promised. Without the promise it would be the minute of the time-out.
        assert!(start.elapsed() < Duration::from_secs(30));
        assert_eq!(output.code, Some(0), "{output:#?}");
        assert_eq!(output.stdout, "Done.\n");
        let lost = "telemetry was lost: 3 of 3 spans and the metrics";
        assert!(output.stderr.contains(lost), "{output:#?}");
        assert_eq!(exports(&env)[2]["detail"]["outcome"]["spans_sent"], 0);
    }
}

#[test]
fn spans_that_do_not_fit_the_queue_are_counted() {
    let env = TestEnv::new();
    let collector = Collector::start(Vec::new());
    let _server = model(&env, vec![says("Done.")]);

    let output = run(exec(&env, &["do something"])
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url())
        .env("OTEL_BSP_SCHEDULE_DELAY", "60000")
        .env("OTEL_BSP_MAX_QUEUE_SIZE", "1"));

    assert_eq!(output.code, Some(0), "{output:#?}");
    assert_eq!(collector.spans().len(), 1);
    let lost = "telemetry was lost: 2 of 3 spans (2 of them because too many waited)";
    assert!(output.stderr.contains(lost), "{output:#?}");
}

#[test]
fn a_long_run_is_told_while_it_goes_on() {
    let env = TestEnv::new();
    let collector = Collector::start(Vec::new());
    let active = |all: &[ReceivedMetric]| {
        let found = all.iter().find(|m| m.name == "codex.active_agents");
        found.map(|m| m.points[0].sum)
    };
    let _server = model(&env, vec![says("Late.").delay(Duration::from_secs(600))]);
    let mut command = exec(&env, &["--timeout", "600", "do something"]);
    command
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url())
        .env("OTEL_METRIC_EXPORT_INTERVAL", "100");
    let mut child = Started::new(&mut command, &env.root().join("run"));

    collector.wait_until(PATIENCE, |c| {
        c.metrics().iter().any(|all| active(all) == Some(1.0))
    });
    child.signal("INT");
    assert_eq!(child.code(), Some(130));

    assert_eq!(active(collector.metrics().last().unwrap()), Some(0.0));
    let task = span(&collector.spans(), "invoke_agent main");
    assert_eq!(task.attributes["outcome"], "interrupted");
}

#[test]
fn what_was_counted_since_the_last_export_adds_up() {
    let env = TestEnv::new();
    let collector = Collector::start(Vec::new());
    let script = vec![
        calls(vec![shell("c1", "true")]),
        says("Done.").delay(Duration::from_millis(600)),
    ];
    let _server = model(&env, script);

    let output = run(exec(&env, &["do something"])
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url())
        .env("OTEL_METRIC_EXPORT_INTERVAL", "100")
        .env("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta"));

    assert_eq!(output.code, Some(0), "{output:#?}");
    let exports = collector.metrics();
    assert!(exports.len() > 1, "{exports:#?}");
    let all = exports.concat();
    let points = |name: &str| -> Vec<_> {
        let of_name = all.iter().filter(|m| m.name == name);
        of_name.flat_map(|m| m.points.clone()).collect()
    };
    for metric in &all {
        let delta = metric.name != "codex.active_agents";
        assert_eq!(
            metric.temporality,
            if delta { 1 } else { 2 },
            "{}",
            metric.name
        );
    }
    let chats = points("gen_ai.client.operation.duration");
    assert_eq!(chats.iter().map(|p| p.count).sum::<u64>(), 2);
    assert!(
        chats.len() == 2 && chats[0].time <= chats[1].start,
        "{chats:#?}"
    );
    assert_eq!(points("gen_ai.execute_tool.duration").len(), 1);
    let tasks = points("codex.tasks");
    assert_eq!((tasks.len(), tasks[0].sum), (1, 1.0));
    assert_eq!(
        points("codex.active_agents").last().map(|p| p.sum),
        Some(0.0)
    );
}
