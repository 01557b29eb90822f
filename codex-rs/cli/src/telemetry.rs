//! Telemetry of a run: from what the person configured to what is watched, and to the gate for
//! every place that it is sent to.

use std::path::PathBuf;

use codex_audit::mask::Masker;
use codex_audit::verify;
use codex_http::Secret;
use codex_protocol::permission::{NotPermitted, Permissions};
use codex_protocol::request::TelemetryExport;
use codex_telemetry::log::{Form, Log};
use codex_telemetry::settings::{Configured, Exporter, RUST_LOG, Settings};
use codex_telemetry::{FLUSH, Permit, Summary, Telemetry};
use serde_json::json;
use tracing::Span;
use tracing::field::Empty;

use crate::args::{ColorChoice, Global, LogForm};
use crate::config::Otel;
use crate::failure::Failure;
use crate::print;
use crate::provider;
use crate::setup::{Base, variable};

/// The telemetry of one run, which may well be none.
pub(crate) struct Watched {
    telemetry: Option<Telemetry>,
    connected: Option<Connected>,
    /// The run's own span.
    span: Span,
    log: PathBuf,
    color: ColorChoice,
}

/// What was permitted, for what has to be recorded at the end.
struct Connected {
    permissions: Permissions,
    permits: Vec<Permit>,
}

impl Watched {
    /// Begins to watch, if the person asked for it. `command` is the name of what runs.
    pub(crate) fn begin(global: &Global, base: &Base, command: &str) -> Self {
        let mut warnings = Vec::new();
        let log = log(global, &mut warnings);
        let configured = configured(&base.loaded.config.otel, &mut warnings);
        let (settings, more) = Settings::read(&variable, &configured);
        warnings.extend(more);
        for warning in warnings {
            print::warning(global.color, &warning);
        }
        let masker = Masker::new(base.places().home.as_deref());
        let telemetry = codex_telemetry::install(settings, log, masker).unwrap_or_else(|error| {
            print::warning(global.color, &format!("there is no telemetry: {error}"));
            None
        });
        let span = match &telemetry {
            Some(_) => tracing::info_span!(
                target: "codex::run",
                "codex",
                codex.command = command,
                codex.audit.head = Empty,
                task_id = Empty,
                agent = Empty,
                profile = Empty,
            ),
            None => Span::none(),
        };
        Self {
            telemetry,
            connected: None,
            span,
            log: base.audit_path.clone(),
            color: global.color,
        }
    }

    /// The run's own span. Everything that happens in the run happens in it.
    pub(crate) fn span(&self) -> &Span {
        &self.span
    }

    /// Asks the gate for every place that something is to be sent to, and begins to send to those
    /// it allows.
    pub(crate) fn connect(&mut self, permissions: &Permissions) -> Result<(), Failure> {
        let Some(telemetry) = &mut self.telemetry else {
            return Ok(());
        };
        let subject = permissions.subject();
        self.span.record("task_id", subject.task_id.as_str());
        self.span.record("agent", subject.agent_type.as_str());
        self.span
            .record("profile", tracing::field::display(subject.profile));
        let places: Vec<TelemetryExport> = telemetry.destinations();
        let mut permits = Vec::new();
        for place in places {
            match permissions.require_unasked(place, Some(json!({ "phase": "intent" }))) {
                Ok(permit) => permits.push(permit),
                Err(NotPermitted::Denied { .. }) => {}
                Err(NotPermitted::NoRecord(error)) => return Err(Failure::refused(error)),
            }
        }
        if let Err(error) = telemetry.connect(provider::client(), &permits) {
            let text = format!("no telemetry is sent: its thread cannot be started: {error}");
            print::warning(self.color, &text);
        }
        self.connected = Some(Connected {
            permissions: permissions.clone(),
            permits,
        });
        Ok(())
    }

    /// Ends it: sends what is left and records what became of it. Takes two seconds at most,
    /// whatever the collector does.
    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        self.end()
    }

    fn end(&mut self) -> Result<(), Failure> {
        let Some(telemetry) = self.telemetry.take() else {
            return Ok(());
        };
        // A log that cannot be read has no head to tell; whoever needs it asks `codex audit`.
        if self.connected.is_some()
            && let Ok(link) = verify::head(&self.log)
        {
            let head = format!("{} {}", link.seq, link.hash);
            self.span.record("codex.audit.head", head);
        }
        self.span = Span::none();
        let (Some(summary), Some(connected)) = (telemetry.finish(), self.connected.take()) else {
            return Ok(());
        };
        if let Some(text) = lost(&summary) {
            print::warning(self.color, &text);
        }
        for permit in &connected.permits {
            let outcome = json!({
                "spans": summary.spans, "spans_sent": summary.spans_sent,
                "spans_dropped": summary.spans_dropped, "metrics_sent": summary.metrics_sent,
                "metrics_failed": summary.metrics_failed, "failure": summary.failure,
            });
            connected
                .permissions
                .record_outcome(permit, outcome)
                .map_err(Failure::refused)?;
        }
        Ok(())
    }
}

impl Drop for Watched {
    /// Where a run ends early. What its record says of it cannot be told any more.
    fn drop(&mut self) {
        if let Err(failure) = self.end() {
            print::error(self.color, &failure);
        }
    }
}

/// What of it did not get to the collector, if anything.
fn lost(summary: &Summary) -> Option<String> {
    let mut what = Vec::new();
    if summary.spans_lost() > 0 {
        let dropped = match summary.spans_dropped {
            0 => String::new(),
            dropped => format!(" ({dropped} of them because too many waited)"),
        };
        what.push(format!(
            "{} of {} spans{dropped}",
            summary.spans_lost(),
            summary.spans
        ));
    }
    if summary.metrics_failed > 0 {
        what.push(match summary.metrics_sent {
            0 => "the metrics".to_owned(),
            _ => format!("{} exports of metrics", summary.metrics_failed),
        });
    }
    let why = match &summary.failure {
        Some(failure) => failure.clone(),
        None => format!(
            "the collector did not take them within {} s",
            FLUSH.as_secs()
        ),
    };
    (!what.is_empty()).then(|| {
        format!(
            "telemetry was lost: {}: {why}; check the OTEL_* variables and [otel]",
            what.join(" and ")
        )
    })
}

/// What is logged: what `RUST_LOG` says, and `info` where only the form was asked for.
fn log(global: &Global, warnings: &mut Vec<String>) -> Option<Log> {
    let form = match global.log_format {
        Some(LogForm::Json) => Form::Json,
        Some(LogForm::Text) | None => Form::Text,
    };
    let directives = match (variable(RUST_LOG), global.log_format) {
        (Some(directives), _) => directives,
        (None, Some(_)) => "info".to_owned(),
        (None, None) => return None,
    };
    match Log::parse(&directives, form) {
        Ok(log) => Some(log),
        Err(why) => {
            warnings.push(format!("nothing is logged: RUST_LOG cannot be read: {why}"));
            None
        }
    }
}

/// The configuration's `[otel]`, which is in Codex's form.
fn configured(otel: &Otel, warnings: &mut Vec<String>) -> Configured {
    if otel.exporter.as_ref().is_some_and(|value| !is_none(value)) {
        warnings.push(
            "otel.exporter is without effect: logs are not exported; --log-format json writes them, and the audit log \
             can be shipped as it is"
                .to_owned(),
        );
    }
    if otel.log_user_prompt {
        warnings
            .push("otel.log_user_prompt is without effect: no prompt is ever exported".to_owned());
    }
    let mut exporter = |name: &str, value: &Option<toml::Value>| {
        let value = value.as_ref().filter(|value| !is_none(value))?;
        let read = read_exporter(value);
        if read.is_none() {
            warnings.push(format!(
                "otel.{name} is without effect: it can be \"none\" or {{ otlp-http = {{ endpoint = \"URL\", protocol = \
                 \"binary\", headers = {{ NAME = \"VALUE\" }} }} }}"
            ));
        }
        read
    };
    Configured {
        traces: exporter("trace_exporter", &otel.trace_exporter),
        metrics: exporter("metrics_exporter", &otel.metrics_exporter),
        environment: Some(otel.environment.clone()),
    }
}

/// `statsig`, which Codex sends its own metrics to, is nowhere to send a person's.
fn is_none(value: &toml::Value) -> bool {
    matches!(value.as_str(), Some("none" | "statsig"))
}

fn read_exporter(value: &toml::Value) -> Option<Exporter> {
    let http = value.get("otlp-http")?;
    let binary = http
        .get("protocol")
        .is_none_or(|protocol| protocol.as_str() == Some("binary"));
    if !binary || http.get("tls").is_some() {
        return None;
    }
    let mut headers = Vec::new();
    if let Some(table) = http.get("headers") {
        for (name, value) in table.as_table()? {
            headers.push((name.clone(), Secret::new(value.as_str()?)));
        }
    }
    Some(Exporter {
        endpoint: http.get("endpoint")?.as_str()?.to_owned(),
        headers,
    })
}
