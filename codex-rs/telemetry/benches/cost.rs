//! What telemetry costs whoever is watched: nanoseconds for one span and for one denial, with nobody
//! watching and with everything on. Run it with `cargo bench -p codex-telemetry`.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program that prints what it measured"
)]

use std::hint::black_box;
use std::time::Instant;

use codex_audit::mask::Masker;
use codex_telemetry::settings::{Configured, Settings};
use tracing::field::Empty;

/// Spans that fit into the queue, so that none is dropped: what is measured is the whole way.
const TIMES: u32 = 50_000;

fn span() {
    let span = tracing::info_span!(
        target: "codex::tool",
        "execute_tool",
        task_id = "0197c0de-0000-7000-8000-000000000000",
        agent = "main",
        profile = "Offline",
        "gen_ai.operation.name" = "execute_tool",
        "gen_ai.tool.name" = "shell",
        outcome = Empty,
    );
    let _entered = span.enter();
    span.record("outcome", "completed");
    black_box(());
}

fn denial() {
    tracing::warn!(
        target: "codex::audit",
        decision = "denied",
        operation = "file_write",
        target = "src/main.rs",
        rule = "fs.read-only",
        evidence = "declared",
        seq = 7_u64,
        "denied"
    );
}

fn measure(what: &str, work: fn()) {
    let start = Instant::now();
    for _ in 0..TIMES {
        work();
    }
    let each = start.elapsed().as_nanos() / u128::from(TIMES);
    println!("{what}: {each} ns");
}

fn main() {
    measure("span, nobody watches", span);
    measure("denial, nobody watches", denial);
    let variable = |name: &str| match name {
        "OTEL_EXPORTER_OTLP_ENDPOINT" => Some("http://127.0.0.1:4318".to_owned()),
        "OTEL_BSP_MAX_QUEUE_SIZE" => Some("65536".to_owned()),
        _ => None,
    };
    let (settings, _) = Settings::read(&variable, &Configured::default());
    let installed = codex_telemetry::install(settings, None, Masker::default());
    let _telemetry = installed.unwrap().unwrap();
    measure("span, metrics and traces on", span);
    measure("denial, metrics and traces on", denial);
}
