//! Watches the spans and events of the process: logs them, counts, and hands spans that end to the
//! exporter.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use codex_audit::mask::Masker;
use jiff::Timestamp;
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use crate::catalog::{self, SpanKind};
use crate::export::Shared;
use crate::log::{Line, Log};
use crate::otlp::{Ended, SpanEvent};
use crate::trace_context::{SpanId, TraceId, TraceParent};
use crate::value::{Value, Values, Visitor};

/// What is watched: the targets of this project's own code. No other crate's texts get anywhere.
const OURS: &str = "codex";

/// Where the audit log tells of its records.
const AUDIT: &str = "codex::audit";

/// The most events that one span keeps. OpenTelemetry's default (specification/trace/sdk.md).
const MAX_EVENTS: usize = 128;

/// A span that is open.
pub(crate) struct Open {
    kind: Option<&'static SpanKind>,
    trace: TraceId,
    id: SpanId,
    parent: Option<SpanId>,
    remote: bool,
    sampled: bool,
    start: u64,
    started: Instant,
    values: Values,
    events: Vec<SpanEvent>,
    dropped_events: u32,
    /// Its outcome is known: it was told of already. What happens in it from then on is not.
    ended: bool,
}

impl Open {
    /// What a child process is told of it.
    pub(crate) fn traceparent(&self) -> TraceParent {
        TraceParent {
            trace: self.trace,
            span: self.id,
            sampled: self.sampled,
        }
    }
}

/// The layer.
pub(crate) struct Observer {
    masker: Masker,
    log: Option<Log>,
    shared: Option<Arc<Shared>>,
}

impl Observer {
    pub(crate) fn new(masker: Masker, log: Option<Log>, shared: Option<Arc<Shared>>) -> Self {
        Self {
            masker,
            log,
            shared,
        }
    }

    fn wants(&self, metadata: &Metadata<'_>) -> bool {
        let exported = self.shared.is_some() && *metadata.level() <= Level::INFO;
        let logged = self.log.as_ref().is_some_and(|log| log.takes(metadata));
        metadata.target().starts_with(OURS) && (exported || logged)
    }

    fn visitor<'a>(
        &'a self,
        values: &'a mut Values,
        message: Option<&'a mut String>,
    ) -> Visitor<'a> {
        Visitor {
            masker: &self.masker,
            values,
            message,
        }
    }

    fn ended(&self, open: &mut Open, metadata: &Metadata<'_>) {
        if std::mem::replace(&mut open.ended, true) {
            return;
        }
        let took = open.started.elapsed();
        let mut values = open.values.clone();
        if open
            .kind
            .is_some_and(|k| k.attributes.contains(&catalog::OUTCOME))
            && values.get(catalog::OUTCOME).is_none()
        {
            // Nobody saw it end: whoever waited for it was told to stop.
            let interrupted = Value::Text("interrupted".to_owned());
            values.set(catalog::OUTCOME, interrupted);
        }
        if let Some(log) = self.log.as_ref().filter(|log| log.takes(metadata)) {
            log.write(&Line {
                time: Timestamp::now(),
                level: *metadata.level(),
                target: metadata.target(),
                message: "ended",
                span: Some(metadata.name()),
                took: Some(took),
                values: &values,
                context: None,
            });
        }
        let (Some(shared), Some(kind)) = (&self.shared, open.kind) else {
            return;
        };
        count(shared, kind, &values, took.as_secs_f64());
        if open.sampled {
            let name = match values.get(kind.named_by) {
                Some(value) => format!("{} {value}", kind.name),
                None => kind.name.to_owned(),
            };
            let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
            shared.push(Ended {
                trace: open.trace,
                id: open.id,
                parent: open.parent,
                remote: open.remote,
                name,
                client: kind.client,
                start: open.start,
                end: open.start.saturating_add(nanoseconds),
                failed: values.get(catalog::ERROR_TYPE).is_some(),
                values,
                events: std::mem::take(&mut open.events),
                dropped_events: open.dropped_events,
            });
        }
    }
}

/// Counts a span that has ended.
fn count(shared: &Shared, kind: &SpanKind, values: &Values, seconds: f64) {
    let metrics = &shared.metrics;
    match kind.name {
        catalog::INVOKE_AGENT => {
            metrics.add(&catalog::ACTIVE_AGENTS, -1, values);
            metrics.add(&catalog::TASKS, 1, values);
            metrics.observe(&catalog::TASK_DURATION, seconds, values);
        }
        catalog::CHAT => {
            metrics.observe(&catalog::CHAT_DURATION, seconds, values);
            for (kind, name) in [
                ("input", catalog::INPUT_TOKENS),
                ("output", catalog::OUTPUT_TOKENS),
            ] {
                if let Some(tokens) = values.number(name) {
                    let mut values = values.clone();
                    values.set(catalog::TOKEN_TYPE, Value::Text(kind.to_owned()));
                    // Exact up to 2^53.
                    metrics.observe(&catalog::TOKEN_USAGE, tokens as f64, &values);
                }
            }
        }
        catalog::EXECUTE_TOOL => metrics.observe(&catalog::TOOL_DURATION, seconds, values),
        _ => {}
    }
    if values.get(catalog::ERROR_TYPE).is_some() {
        metrics.add(&catalog::ERRORS, 1, values);
    }
}

/// Nanoseconds since 1970.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    })
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Observer {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.wants(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        let exported = match self.shared {
            Some(_) => LevelFilter::INFO,
            None => LevelFilter::OFF,
        };
        let logged = self.log.iter().flat_map(|log| {
            let default = log.targets.default_level();
            log.targets.iter().map(|(_, level)| level).chain(default)
        });
        logged.chain([exported]).max()
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut values = Values::default();
        attributes.record(&mut self.visitor(&mut values, None));
        let from_outside = self.shared.as_ref().and_then(|s| s.settings.parent);
        let (around, remote) = match span.parent() {
            Some(parent) => {
                let extensions = parent.extensions();
                let around = extensions.get::<Open>();
                if let Some(around) = around {
                    for name in [catalog::TASK, catalog::AGENT, catalog::PROFILE] {
                        if let (None, Some(value)) = (values.get(name), around.values.get(name)) {
                            values.set(name, value.clone());
                        }
                    }
                }
                (around.map(Open::traceparent), false)
            }
            None => (from_outside, from_outside.is_some()),
        };
        if values.get(catalog::DECISION).is_none() {
            values.set(catalog::DECISION, Value::Text("allowed".to_owned()));
        }
        let kind = catalog::span(attributes.metadata().name());
        if let (Some(shared), Some(catalog::INVOKE_AGENT)) = (&self.shared, kind.map(|k| k.name)) {
            shared.metrics.add(&catalog::ACTIVE_AGENTS, 1, &values);
        }
        let trace = around.map_or_else(TraceId::random, |around| around.trace);
        let sampled = |shared: &Arc<Shared>| {
            let settings = &shared.settings;
            settings.traces.is_some()
                && match around.filter(|_| !remote) {
                    Some(within) => within.sampled,
                    None => settings.sampler.samples(trace, around),
                }
        };
        span.extensions_mut().insert(Open {
            kind,
            trace,
            id: SpanId::random(),
            parent: around.map(|around| around.span),
            remote,
            sampled: self.shared.as_ref().is_some_and(sampled),
            start: now(),
            started: Instant::now(),
            values,
            events: Vec::new(),
            dropped_events: 0,
            ended: false,
        });
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(open) = span.extensions_mut().get_mut::<Open>() {
            values.record(&mut self.visitor(&mut open.values, None));
            if open.values.get(catalog::OUTCOME).is_some() {
                self.ended(open, span.metadata());
            }
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let metadata = event.metadata();
        let (mut values, mut message) = (Values::default(), String::new());
        event.record(&mut self.visitor(&mut values, Some(&mut message)));
        let denied = metadata.target() == AUDIT && values.text(catalog::DECISION) == Some("denied");
        if denied && let Some(shared) = &self.shared {
            let times = values.number(catalog::COUNT).unwrap_or(1);
            shared.metrics.add(&catalog::DENIALS, times, &values);
        }
        let span = context.event_span(event);
        if let Some(log) = self.log.as_ref().filter(|log| log.takes(metadata)) {
            let extensions = span.as_ref().map(|span| span.extensions());
            let around = extensions.as_ref().and_then(|e| e.get::<Open>());
            log.write(&Line {
                time: Timestamp::now(),
                level: *metadata.level(),
                target: metadata.target(),
                message: &message,
                span: span.as_ref().map(|span| span.name()),
                took: None,
                values: &values,
                context: around.map(|open| &open.values),
            });
        }
        if denied
            && let Some(span) = span
            && let Some(open) = span.extensions_mut().get_mut::<Open>()
        {
            open.values
                .set(catalog::DECISION, Value::Text("denied".to_owned()));
            if open.events.len() < MAX_EVENTS {
                open.events.push(SpanEvent {
                    time: now(),
                    name: "denied",
                    values,
                });
            } else {
                open.dropped_events = open.dropped_events.saturating_add(1);
            }
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else {
            return;
        };
        let open = span.extensions_mut().remove::<Open>();
        if let Some(mut open) = open {
            self.ended(&mut open, span.metadata());
        }
    }
}
