//! What the person wants to be told, and where it is sent: the standard `OTEL_*` variables, and
//! the configuration's `[otel]` for what they leave open.
//!
//! Off unless an endpoint is named. What cannot be used is off as well, with a warning: telemetry
//! never fails a run.

use std::fmt;
use std::time::Duration;

use codex_http::{Method, Request, Secret};

use crate::sampler::Sampler;
use crate::trace_context::TraceParent;

/// `OTEL_SDK_DISABLED`.
pub const DISABLED: &str = "OTEL_SDK_DISABLED";
/// `RUST_LOG`.
pub const RUST_LOG: &str = "RUST_LOG";
/// `TRACEPARENT`.
pub const TRACEPARENT: &str = "TRACEPARENT";

/// `OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE`.
const TEMPORALITY: &str = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE";

const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
const SAMPLER_ARGUMENT: &str = "OTEL_TRACES_SAMPLER_ARG";

/// Name and meaning of every variable of the environment that telemetry reads.
pub const VARIABLES: &[(&str, &str)] = &[
    (
        RUST_LOG,
        "What is logged to stderr: `info`, or `codex::audit=debug,codex=warn`; off by default.",
    ),
    (
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "The collector of metrics and traces, to which `/v1/metrics` and `/v1/traces` are added.",
    ),
    (
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        "Where traces go, as it is; goes before `OTEL_EXPORTER_OTLP_ENDPOINT`, as all \
         `…_TRACES_…` and `…_METRICS_…` do.",
    ),
    (
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
        "Where metrics go, as it is.",
    ),
    (
        "OTEL_EXPORTER_OTLP_HEADERS",
        "Headers for the collector: `name=value,name=value`, percent-encoded. Also for one signal: \
         `OTEL_EXPORTER_OTLP_TRACES_HEADERS`, `OTEL_EXPORTER_OTLP_METRICS_HEADERS`.",
    ),
    (
        "OTEL_EXPORTER_OTLP_TIMEOUT",
        "How long one export may take, its retries included, in milliseconds; default 10000, at \
         most 60000. Also `…_TRACES_TIMEOUT`, `…_METRICS_TIMEOUT`.",
    ),
    (
        "OTEL_EXPORTER_OTLP_PROTOCOL",
        "Has to be `http/protobuf`, which is the default. Also `…_TRACES_PROTOCOL`, \
         `…_METRICS_PROTOCOL`.",
    ),
    (
        "OTEL_TRACES_EXPORTER",
        "`none` sends no traces; `otlp` sends them, to `http://localhost:4318` if nothing else is \
         named.",
    ),
    ("OTEL_METRICS_EXPORTER", "The same for metrics."),
    (
        SAMPLER,
        "Which traces are sent: `parentbased_always_on`, which is the default, \
         `parentbased_always_off`, `parentbased_traceidratio`, or the same without `parentbased_`.",
    ),
    (
        SAMPLER_ARGUMENT,
        "The ratio of `traceidratio`, from 0 to 1; default 1.",
    ),
    (DISABLED, "`true` sends nothing."),
    (
        "OTEL_SERVICE_NAME",
        "The name in what is sent; default `codex`.",
    ),
    (
        "OTEL_RESOURCE_ATTRIBUTES",
        "Further attributes of what is sent: `name=value,name=value`, percent-encoded.",
    ),
    (
        "OTEL_METRIC_EXPORT_INTERVAL",
        "How often metrics are sent during a run, in milliseconds; default 60000, at least 100.",
    ),
    (
        TEMPORALITY,
        "`delta` sends what was counted since the last export, and `cumulative`, which is the \
         default, since the start of the run.",
    ),
    (
        "OTEL_BSP_SCHEDULE_DELAY",
        "How often traces are sent during a run, in milliseconds; default 5000, at least 100.",
    ),
    (
        "OTEL_BSP_MAX_QUEUE_SIZE",
        "How many spans may wait to be sent; default 2048, at most 65536. What does not fit is \
         counted and told.",
    ),
    (
        TRACEPARENT,
        "The trace that a run is part of, where traces are sent (W3C Trace Context).",
    ),
];

/// An exporter of the configuration's.
#[derive(Clone, Debug, Default)]
pub struct Exporter {
    /// Where it sends.
    pub endpoint: String,
    /// With which headers.
    pub headers: Vec<(String, Secret)>,
}

/// What the configuration says.
#[derive(Clone, Debug, Default)]
pub struct Configured {
    /// Where traces go.
    pub traces: Option<Exporter>,
    /// Where metrics go.
    pub metrics: Option<Exporter>,
    /// The environment's name in what is sent.
    pub environment: Option<String>,
}

/// A collector's place for one signal.
#[derive(Clone, Debug)]
pub struct Destination {
    /// What is sent but for its body.
    pub(crate) request: Request,
    /// How long one export may take, retries included.
    pub(crate) timeout: Duration,
    shown: String,
}

impl Destination {
    fn new(url: &str, headers: &[(String, Secret)], timeout: Duration) -> Result<Self, String> {
        let failed = |error: codex_http::HttpError| error.to_string();
        let mut request = Request::new(Method::Post, url)
            .and_then(|request| request.header("content-type", "application/x-protobuf"))
            .map_err(failed)?
            .connect_timeout(timeout)
            .idle_timeout(timeout);
        for (name, value) in headers {
            request = request.secret_header(name, value).map_err(failed)?;
        }
        Ok(Self {
            request,
            timeout,
            shown: url.split(['?', '#']).next().unwrap_or_default().to_owned(),
        })
    }

    /// Its URL without a query, in which there may be a secret.
    #[must_use]
    pub fn shown(&self) -> &str {
        &self.shown
    }
}

/// What is sent where.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where traces go.
    pub traces: Option<Destination>,
    /// Where metrics go.
    pub metrics: Option<Destination>,
    /// The attributes of the process.
    pub(crate) resource: Vec<(String, String)>,
    /// How many spans may wait.
    pub(crate) queue: usize,
    /// How often traces are sent.
    pub(crate) schedule: Duration,
    /// How often metrics are sent.
    pub(crate) interval: Duration,
    /// Whether what is sent of them is what was counted since the last time.
    pub(crate) delta: bool,
    /// Which traces are sent.
    pub(crate) sampler: Sampler,
    /// The trace that the run is part of.
    pub(crate) parent: Option<TraceParent>,
}

/// A signal, by its names in variables and URLs.
#[derive(Clone, Copy)]
enum Signal {
    Traces,
    Metrics,
}

impl Signal {
    fn upper(self) -> &'static str {
        match self {
            Self::Traces => "TRACES",
            Self::Metrics => "METRICS",
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
        })
    }
}

struct Reader<'a> {
    variable: &'a dyn Fn(&str) -> Option<String>,
    warnings: Vec<String>,
}

impl Settings {
    /// Reads them from the environment, by `variable`, and from the configuration. Gives what
    /// there is to be warned of beside them.
    pub fn read(
        variable: &dyn Fn(&str) -> Option<String>,
        configured: &Configured,
    ) -> (Self, Vec<String>) {
        let mut reader = Reader {
            variable,
            warnings: Vec::new(),
        };
        let on = !reader
            .get(DISABLED)
            .is_some_and(|v| v.eq_ignore_ascii_case("true"));
        let traces = on
            .then(|| reader.destination(Signal::Traces, configured.traces.as_ref()))
            .flatten();
        let metrics = on
            .then(|| reader.destination(Signal::Metrics, configured.metrics.as_ref()))
            .flatten();
        let mut settings = Self {
            traces,
            metrics,
            resource: Vec::new(),
            queue: 0,
            schedule: Duration::ZERO,
            interval: Duration::ZERO,
            delta: false,
            sampler: Sampler::default(),
            parent: None,
        };
        if settings.is_on() {
            let milliseconds = |reader: &mut Reader<'_>, name, default, most| {
                Duration::from_millis(reader.number(name, default, 100..=most))
            };
            settings.resource = reader.resource(configured);
            settings.queue =
                usize::try_from(reader.number("OTEL_BSP_MAX_QUEUE_SIZE", 2048, 1..=65_536))
                    .unwrap_or(2048);
            settings.schedule =
                milliseconds(&mut reader, "OTEL_BSP_SCHEDULE_DELAY", 5_000, 3_600_000);
            settings.interval = milliseconds(
                &mut reader,
                "OTEL_METRIC_EXPORT_INTERVAL",
                60_000,
                3_600_000,
            );
            settings.delta = reader.delta();
            match reader.sampler() {
                Some(sampler) => settings.sampler = sampler,
                // More would be sent than was asked for.
                None => settings.traces = None,
            }
            reader.without_effect();
            settings.parent = reader
                .get(TRACEPARENT)
                .and_then(|text| TraceParent::parse(&text));
        }
        (settings, reader.warnings)
    }

    /// Whether anything is sent.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.traces.is_some() || self.metrics.is_some()
    }
}

impl Reader<'_> {
    fn get(&self, name: &str) -> Option<String> {
        (self.variable)(name).filter(|value| !value.is_empty())
    }

    /// The variable of the signal, or else of both.
    fn of_signal(&self, signal: Signal, what: &str) -> Option<(String, bool)> {
        let own = format!("OTEL_EXPORTER_OTLP_{}_{what}", signal.upper());
        let value = self.get(&own).map(|value| (value, true));
        value.or_else(|| {
            let shared = self.get(&format!("OTEL_EXPORTER_OTLP_{what}"))?;
            Some((shared, false))
        })
    }

    fn off(&mut self, signal: Signal, why: impl fmt::Display) {
        self.warnings.push(format!("no {signal} are sent: {why}"));
    }

    fn destination(
        &mut self,
        signal: Signal,
        configured: Option<&Exporter>,
    ) -> Option<Destination> {
        let chosen = self.get(&format!("OTEL_{}_EXPORTER", signal.upper()));
        match chosen.as_deref() {
            Some("none") => return None,
            None | Some("otlp") => {}
            Some(_) => {
                let name = format!("OTEL_{}_EXPORTER", signal.upper());
                self.off(signal, format!("{name} can be 'otlp' or 'none'"));
                return None;
            }
        }
        let (url, from_environment) = match self.of_signal(signal, "ENDPOINT") {
            Some((url, true)) => (url, true),
            Some((url, false)) => (format!("{}/v1/{signal}", url.trim_end_matches('/')), true),
            None => match configured {
                Some(exporter) => (exporter.endpoint.clone(), false),
                None if chosen.is_some() => (format!("http://localhost:4318/v1/{signal}"), true),
                None => return None,
            },
        };
        if let Some((protocol, _)) = self.of_signal(signal, "PROTOCOL")
            && protocol != "http/protobuf"
        {
            let why = "codex speaks OTLP as http/protobuf only; name such an endpoint (port 4318 of most collectors)";
            self.off(signal, why);
            return None;
        }
        let headers = match (self.of_signal(signal, "HEADERS"), configured) {
            (Some((text, _)), _) => match pairs(&text) {
                Some(pairs) => pairs
                    .into_iter()
                    .map(|(name, value)| (name, Secret::new(value)))
                    .collect(),
                None => {
                    self.off(signal, "the headers are not 'name=value,name=value'");
                    return None;
                }
            },
            (None, Some(exporter)) if !from_environment => exporter.headers.clone(),
            (None, _) => Vec::new(),
        };
        let timeout = match self.of_signal(signal, "TIMEOUT") {
            Some((text, own)) => {
                let name = match own {
                    true => format!("OTEL_EXPORTER_OTLP_{}_TIMEOUT", signal.upper()),
                    false => "OTEL_EXPORTER_OTLP_TIMEOUT".to_owned(),
                };
                self.read_number(&name, &text, 10_000, 1..=60_000)
            }
            None => 10_000,
        };
        match Destination::new(&url, &headers, Duration::from_millis(timeout)) {
            Ok(destination) => Some(destination),
            Err(why) => {
                self.off(signal, format!("the endpoint cannot be used: {why}"));
                None
            }
        }
    }

    fn number(&mut self, name: &str, default: u64, range: std::ops::RangeInclusive<u64>) -> u64 {
        match self.get(name) {
            Some(text) => self.read_number(name, &text, default, range),
            None => default,
        }
    }

    fn read_number(
        &mut self,
        name: &str,
        text: &str,
        default: u64,
        range: std::ops::RangeInclusive<u64>,
    ) -> u64 {
        match text.trim().parse::<u64>() {
            Ok(number) => number.clamp(*range.start(), *range.end()),
            Err(_) => {
                self.warnings
                    .push(format!("{name} is not a whole number; {default} is used"));
                default
            }
        }
    }

    /// `lowmemory` differs from `delta` only for instruments that there are none of here.
    fn delta(&mut self) -> bool {
        let Some(text) = self.get(TEMPORALITY) else {
            return false;
        };
        let word = text.to_ascii_lowercase();
        if !matches!(word.as_str(), "cumulative" | "delta" | "lowmemory") {
            self.warnings.push(format!(
                "{TEMPORALITY} can be 'cumulative' or 'delta'; 'cumulative' is used"
            ));
        }
        matches!(word.as_str(), "delta" | "lowmemory")
    }

    /// `None` is one that there is none of here.
    fn sampler(&mut self) -> Option<Sampler> {
        let Some(name) = self.get(SAMPLER) else {
            return Some(Sampler::default());
        };
        let argument = self.get(SAMPLER_ARGUMENT);
        let sampler = Sampler::parse(name.trim(), argument.as_deref().map(str::trim));
        if sampler.is_none() {
            let why = format!(
                "{SAMPLER} can be 'always_on', 'always_off' or 'traceidratio', each with 'parentbased_' in front, and \
                 {SAMPLER_ARGUMENT} a ratio from 0 to 1"
            );
            self.off(Signal::Traces, why);
        }
        sampler
    }

    /// Tells of standard variables that are set and ask for what is not done.
    fn without_effect(&mut self) {
        const NAMES: [&str; 3] = ["CERTIFICATE", "CLIENT_KEY", "CLIENT_CERTIFICATE"];
        let mut set: Vec<String> = Vec::new();
        for signal in [Signal::Traces, Signal::Metrics] {
            for name in NAMES {
                if let Some((_, own)) = self.of_signal(signal, name) {
                    set.push(match own {
                        true => format!("OTEL_EXPORTER_OTLP_{}_{name}", signal.upper()),
                        false => format!("OTEL_EXPORTER_OTLP_{name}"),
                    });
                }
            }
        }
        set.sort();
        set.dedup();
        if !set.is_empty() {
            self.warnings.push(format!(
                "without effect: {}; the system's certificates are used",
                set.join(", ")
            ));
        }
    }

    fn resource(&mut self, configured: &Configured) -> Vec<(String, String)> {
        let mut resource: Vec<(String, String)> = [
            ("service.name", "codex"),
            ("service.version", env!("CARGO_PKG_VERSION")),
            ("telemetry.sdk.name", "codex"),
            ("telemetry.sdk.language", "rust"),
            ("telemetry.sdk.version", env!("CARGO_PKG_VERSION")),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
        let mut set = |name: &str, value: String| {
            resource.retain(|(known, _)| known != name);
            resource.push((name.to_owned(), value));
        };
        if let Some(environment) = &configured.environment {
            set("deployment.environment.name", environment.clone());
        }
        if let Some(text) = self.get("OTEL_RESOURCE_ATTRIBUTES") {
            match pairs(&text) {
                Some(pairs) => pairs
                    .into_iter()
                    .for_each(|(name, value)| set(&name, value)),
                // The specification has all of it ignored then.
                None => self.warnings.push(
                    "OTEL_RESOURCE_ATTRIBUTES is not 'name=value,name=value'; it is left out"
                        .to_owned(),
                ),
            }
        }
        if let Some(name) = self.get("OTEL_SERVICE_NAME") {
            set("service.name", name);
        }
        resource
    }
}

/// `name=value,name=value`, as in W3C Baggage: percent-encoded, without properties.
fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    text.split(',')
        .filter(|part| !part.trim().is_empty())
        .map(|part| {
            let (name, value) = part.split_once('=')?;
            let name = decoded(name.trim())?;
            (!name.is_empty()).then_some((name, decoded(value.trim())?))
        })
        .collect()
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let value = digit(rest.next())? << 4 | digit(rest.next())?;
                u8::try_from(value).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests;
