//! The messages of OTLP 1.x: `ExportTraceServiceRequest`, `ExportMetricsServiceRequest`, and what
//! their answers say. Field numbers are those of opentelemetry-proto.

use std::collections::BTreeMap;

use crate::catalog::{Instrument, METRICS, Metric};
use crate::metrics::{Labels, OVERFLOW, Point, is_told_by_delta};
use crate::trace_context::{SpanId, TraceId};
use crate::value::{Value, Values};
use crate::wire::{Field, Message, fields};

/// `AGGREGATION_TEMPORALITY_DELTA`.
const DELTA: u64 = 1;
/// `AGGREGATION_TEMPORALITY_CUMULATIVE`.
const CUMULATIVE: u64 = 2;
/// `SPAN_KIND_INTERNAL` and `SPAN_KIND_CLIENT`.
const KIND: [u64; 2] = [1, 3];
/// `STATUS_CODE_ERROR`.
const ERROR: u64 = 2;
/// The bit of a span's flags that says that its parent's process is known to be another or not, and
/// the one that says it is (`SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK`, `…_IS_REMOTE_MASK`).
const HAS_IS_REMOTE: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;
/// `sampled` in the flags of W3C Trace Context, which are the lowest byte.
const SAMPLED: u32 = 1;

/// A span that has ended.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    pub(crate) trace: TraceId,
    pub(crate) id: SpanId,
    pub(crate) parent: Option<SpanId>,
    /// Whether the parent is another process's.
    pub(crate) remote: bool,
    pub(crate) name: String,
    pub(crate) client: bool,
    /// Nanoseconds since 1970.
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) values: Values,
    pub(crate) events: Vec<SpanEvent>,
    pub(crate) dropped_events: u32,
    pub(crate) failed: bool,
}

/// Something that happened in a span.
#[derive(Clone, Debug)]
pub(crate) struct SpanEvent {
    pub(crate) time: u64,
    pub(crate) name: &'static str,
    pub(crate) values: Values,
}

/// Whom all of it is from: attributes of the process.
pub(crate) type Resource = [(String, String)];

fn text_attribute(message: &mut Message, field: u32, key: &str, text: &str) {
    message.message(field, |pair| {
        pair.bytes(1, key);
        pair.message(2, |value| value.bytes(1, text));
    });
}

fn attributes(message: &mut Message, field: u32, values: &Values) {
    for (key, value) in values.iter() {
        match value {
            Value::Text(text) => text_attribute(message, field, key, text),
            Value::Number(number) => message.message(field, |pair| {
                pair.bytes(1, key);
                pair.message(2, |value| value.number(3, number.cast_unsigned()));
            }),
        }
    }
}

/// `ResourceSpans` or `ResourceMetrics` with one scope, which have the same numbers.
fn request(resource: &Resource, write: impl FnOnce(&mut Message)) -> Vec<u8> {
    let mut request = Message::default();
    request.message(1, |all| {
        all.message(1, |message| {
            for (key, text) in resource {
                text_attribute(message, 1, key, text);
            }
        });
        all.message(2, |scoped| {
            scoped.message(1, |scope| {
                scope.bytes(1, "codex");
                scope.bytes(2, env!("CARGO_PKG_VERSION"));
            });
            write(scoped);
        });
    });
    request.into_bytes()
}

/// The request that sends these spans.
pub(crate) fn traces(resource: &Resource, spans: &[Ended]) -> Vec<u8> {
    request(resource, |scoped| {
        for span in spans {
            scoped.message(2, |message| write_span(message, span));
        }
    })
}

fn write_span(message: &mut Message, span: &Ended) {
    message.bytes(1, span.trace.0);
    message.bytes(2, span.id.0);
    if let Some(parent) = span.parent {
        message.bytes(4, parent.0);
    }
    message.bytes(5, &span.name);
    message.number(6, KIND[usize::from(span.client)]);
    message.fixed64(7, span.start);
    message.fixed64(8, span.end);
    attributes(message, 9, &span.values);
    for event in &span.events {
        message.message(11, |inner| {
            inner.fixed64(1, event.time);
            inner.bytes(2, event.name);
            attributes(inner, 3, &event.values);
        });
    }
    if span.dropped_events > 0 {
        message.number(12, u64::from(span.dropped_events));
    }
    if span.failed {
        message.message(15, |status| status.number(3, ERROR));
    }
    let remote = if span.remote { IS_REMOTE } else { 0 };
    message.fixed32(16, SAMPLED | HAS_IS_REMOTE | remote);
}

/// From when on something was counted and until when, in nanoseconds since 1970.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Period {
    /// When counting began.
    pub(crate) began: u64,
    /// When it was last told, where only what came after that is.
    pub(crate) told: Option<u64>,
    /// Now.
    pub(crate) now: u64,
}

/// The request that sends what was counted, and how many points it has.
pub(crate) fn metrics(
    resource: &Resource,
    counted: &[BTreeMap<Labels, Point>],
    time: Period,
) -> (Vec<u8>, usize) {
    let request = request(resource, |scoped| {
        for (metric, series) in METRICS.iter().zip(counted) {
            if !series.is_empty() {
                scoped.message(2, |message| write_metric(message, metric, series, time));
            }
        }
    });
    (request, counted.iter().map(BTreeMap::len).sum())
}

fn write_metric(
    message: &mut Message,
    metric: &Metric,
    series: &BTreeMap<Labels, Point>,
    time: Period,
) {
    let (temporality, start) = match time.told {
        Some(told) if is_told_by_delta(metric) => (DELTA, told),
        _ => (CUMULATIVE, time.began),
    };
    message.bytes(1, metric.name);
    message.bytes(2, metric.about);
    message.bytes(3, metric.unit);
    let (field, monotonic, bounds): (u32, _, &[f64]) = match metric.instrument {
        Instrument::Counter => (7, true, &[]),
        Instrument::UpDownCounter => (7, false, &[]),
        Instrument::Histogram(bounds) => (9, false, bounds),
    };
    message.message(field, |data| {
        for (labels, point) in series {
            data.message(1, |message| {
                write_point(message, labels, point, bounds, start, time.now)
            });
        }
        data.number(2, temporality);
        if monotonic {
            data.number(3, 1);
        }
    });
}

fn write_point(
    message: &mut Message,
    labels: &Labels,
    point: &Point,
    bounds: &[f64],
    start: u64,
    now: u64,
) {
    let field = match point {
        Point::Sum(_) => 7,
        Point::Histogram { .. } => 9,
    };
    match labels {
        Some(labels) => {
            for (key, text) in labels {
                text_attribute(message, field, key, text);
            }
        }
        None => message.message(field, |pair| {
            pair.bytes(1, OVERFLOW);
            pair.message(2, |value| value.number(2, 1));
        }),
    }
    message.fixed64(2, start);
    message.fixed64(3, now);
    match point {
        Point::Sum(sum) => message.fixed64(6, sum.cast_unsigned()),
        Point::Histogram {
            buckets,
            count,
            sum,
            min,
            max,
        } => {
            message.fixed64(4, *count);
            message.double(5, *sum);
            message.packed64(6, buckets.iter().copied());
            message.packed64(7, bounds.iter().map(|bound| bound.to_bits()));
            if min.is_finite() && max.is_finite() {
                message.double(11, *min);
                message.double(12, *max);
            }
        }
    }
}

/// How many of a request's spans or points the collector's answer rejects, and why.
pub(crate) fn rejected(answer: &[u8]) -> (u64, String) {
    let mut rejected = (0, String::new());
    for (number, value) in fields(answer) {
        let (1, Field::Bytes(partial)) = (number, value) else {
            continue;
        };
        for field in fields(partial) {
            match field {
                (1, Field::Number(count)) => rejected.0 = count,
                (2, Field::Bytes(text)) => rejected.1 = String::from_utf8_lossy(text).into_owned(),
                _ => {}
            }
        }
    }
    rejected
}
