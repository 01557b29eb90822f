//! `docs/codex-dashboard.json`: a Grafana dashboard over Prometheus.

use std::fs;
use std::path::Path;

use codex_telemetry::catalog::{Instrument, METRICS, Metric};
use serde_json::Value;

/// A metric's series in Prometheus (OpenTelemetry, "Prometheus and OpenMetrics compatibility"):
/// dots become underscores, units in words are added and those in braces are not, and what only
/// grows ends with `_total`.
fn series(metric: &Metric) -> Vec<String> {
    let name = metric.name.replace('.', "_");
    let unit = if metric.unit == "s" { "_seconds" } else { "" };
    match metric.instrument {
        Instrument::Counter => vec![format!("{name}{unit}_total")],
        Instrument::UpDownCounter => vec![format!("{name}{unit}")],
        Instrument::Histogram(_) => ["bucket", "sum", "count"]
            .map(|part| format!("{name}{unit}_{part}"))
            .into(),
    }
}

/// The words of an expression that could be names of series.
fn names(expression: &str) -> impl Iterator<Item = &str> {
    expression
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.starts_with("codex_") || word.starts_with("gen_ai_"))
}

#[test]
fn the_dashboard_shows_every_metric_by_labels_that_it_has() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/codex-dashboard.json");
    let dashboard: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|p| p["targets"].as_array().unwrap());
    let expressions: Vec<&str> = targets.map(|t| t["expr"].as_str().unwrap()).collect();
    for metric in METRICS {
        let of_metric = series(metric);
        let shown = |e: &&&str| names(e).any(|word| of_metric.iter().any(|s| s == word));
        assert!(
            expressions.iter().any(|e| shown(&e)),
            "no panel shows {}",
            metric.name
        );
    }
    for expression in expressions {
        let metric = METRICS.iter().find(|m| {
            let of_metric = series(m);
            names(expression).any(|word| of_metric.iter().any(|s| s == word))
        });
        let metric = metric.unwrap_or_else(|| panic!("{expression} shows nothing that is told"));
        for by in expression.split("by (").skip(1) {
            for label in by.split(')').next().unwrap().split(',').map(str::trim) {
                let known = metric
                    .attributes
                    .iter()
                    .any(|a| a.replace('.', "_") == label);
                assert!(
                    known || label == "le",
                    "{} has no {label}: {expression}",
                    metric.name
                );
            }
        }
        // A run's series often has one point, of which a rate is nothing.
        assert!(!expression.contains("rate("), "{expression}");
    }
}
