//! What operators see: structured logs, and metrics and traces over OTLP.
//!
//! The code of the project tells of its work by `tracing` spans and events, which cost a load and a
//! comparison while nobody listens. This crate listens, if the person asked for it: [`install`]
//! gives `None` and does nothing where nothing was asked for.
//!
//! | module | holds |
//! |---|---|
//! | [`catalog`] | every metric, span and attribute: what is not there is not told |
//! | [`settings`] | the `OTEL_*` variables and the configuration's `[otel]` |
//! | [`log`] | the lines on stderr |
//!
//! Telemetry is a copy, never the record of truth: that is the audit log. It may lose things, which
//! is counted and told. It opens a connection only with a recorded permission of the gate
//! ([`Telemetry::connect`]), and its texts go through the audit log's masker.

mod export;
mod metrics;
mod observer;
mod otlp;
mod sampler;
mod trace_context;
mod value;
mod wire;

pub mod catalog;
pub mod log;
pub mod settings;

use std::fmt;
use std::sync::Arc;

use codex_audit::mask::Masker;
use codex_http::Client;
use codex_protocol::gate::Authorized;
use codex_protocol::record::Recorded;
use codex_protocol::request::TelemetryExport;
use tracing_subscriber::Registry;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan as _;

pub use export::{FLUSH, Summary};
use export::{Shared, Worker};
pub use trace_context::TraceParent;

use log::Log;
use observer::{Observer, Open};
use settings::{Destination, Settings};

/// Permission to send to one place, in the audit log.
pub type Permit = Recorded<Authorized<TelemetryExport>>;

/// Telemetry at work.
pub struct Telemetry {
    shared: Option<Arc<Shared>>,
    worker: Option<Worker>,
}

/// Begins to watch the process, where anything is to be logged or sent. Nothing is sent before
/// [`Telemetry::connect`].
///
/// # Errors
/// When somebody watches it already.
pub fn install(
    mut settings: Settings,
    log: Option<Log>,
    masker: Masker,
) -> Result<Option<Telemetry>, tracing::subscriber::SetGlobalDefaultError> {
    let shared = settings.is_on().then(|| {
        let id = trace_context::TraceId::random().0;
        let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        settings
            .resource
            .push(("service.instance.id".to_owned(), id));
        Arc::new(Shared::new(settings))
    });
    if shared.is_none() && log.is_none() {
        return Ok(None);
    }
    let observer = Observer::new(masker, log, shared.clone());
    tracing::subscriber::set_global_default(Registry::default().with(observer))?;
    Ok(Some(Telemetry {
        shared,
        worker: None,
    }))
}

impl Telemetry {
    /// Where it wants to send, for the gate.
    #[must_use]
    pub fn destinations(&self) -> Vec<TelemetryExport> {
        let settings = self.shared.as_ref().map(|shared| &shared.settings);
        let places = settings.into_iter().flat_map(|s| [&s.traces, &s.metrics]);
        let mut found: Vec<TelemetryExport> = Vec::new();
        for place in places.flatten() {
            let endpoint = place.shown().to_owned();
            if found.iter().all(|known| known.endpoint != endpoint) {
                found.push(TelemetryExport { endpoint });
            }
        }
        found
    }

    /// Begins to send to the places that there is a permit for.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn connect(&mut self, client: Client, permits: &[Permit]) -> std::io::Result<()> {
        let Some(shared) = &self.shared else {
            return Ok(());
        };
        let permitted = |place: &Option<Destination>| {
            place.clone().filter(|place| {
                permits
                    .iter()
                    .any(|permit| permit.get().request().endpoint == place.shown())
            })
        };
        let traces = permitted(&shared.settings.traces);
        let metrics = permitted(&shared.settings.metrics);
        if traces.is_some() || metrics.is_some() {
            self.worker = Some(Worker::start(Arc::clone(shared), client, traces, metrics)?);
        }
        Ok(())
    }

    /// Sends what is left, for [`FLUSH`] at most, and says what became of it all. `None` where
    /// nothing was to be sent.
    pub fn finish(self) -> Option<Summary> {
        let worker = self.worker?;
        Some(worker.finish(self.shared.as_deref()?))
    }
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telemetry")
            .field("sends", &self.worker.is_some())
            .finish_non_exhaustive()
    }
}

/// The `traceparent` of the current span, for a process that is about to be started. `None` where
/// no traces are sent.
#[must_use]
pub fn traceparent() -> Option<String> {
    tracing::dispatcher::get_default(|dispatch| {
        let registry = dispatch.downcast_ref::<Registry>()?;
        let current = dispatch.current_span();
        let span = registry.span(current.id()?)?;
        let extensions = span.extensions();
        let open = extensions.get::<Open>()?;
        let parent = open.traceparent();
        parent.sampled.then(|| parent.to_string())
    })
}
