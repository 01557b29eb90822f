//! Sending: a queue with a bound, a thread of its own, and an end that comes in time.
//!
//! Whoever ends a span puts it into the queue and never waits: where the queue is full the span is
//! dropped and counted. The thread sends what waits every few seconds. When the run ends, it has
//! [`FLUSH`] for the rest; then the process goes on to its end whatever the collector does.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant, SystemTime};

use codex_http::Client;
use codex_http::retry::{Backoff, retry_after};
use tokio::sync::{Notify, watch};

use crate::metrics::{Metrics, since};
use crate::observer::now;
use crate::otlp::{self, Ended, Period};
use crate::settings::{Destination, Settings};

/// How long the end of a run may wait for the collector.
pub const FLUSH: Duration = Duration::from_secs(2);

/// How many spans one request holds. OpenTelemetry's default (OTEL_BSP_MAX_EXPORT_BATCH_SIZE).
const BATCH: usize = 512;

/// How much of a collector's answer is read, in bytes: a message of a few words is expected.
const LARGEST_ANSWER: usize = 64 << 10;

/// What is worth sending again (OTLP, "Retryable response codes").
const RETRYABLE: [u16; 4] = [429, 502, 503, 504];

/// What became of everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Spans that ended.
    pub spans: u64,
    /// Of these, taken by the collector.
    pub spans_sent: u64,
    /// Of these, dropped because too many waited.
    pub spans_dropped: u64,
    /// How often all metrics were sent and taken.
    pub metrics_sent: u64,
    /// How often they were not.
    pub metrics_failed: u64,
    /// Why something was not taken, the last time.
    pub failure: Option<String>,
}

impl Summary {
    /// Spans that the collector did not take, those dropped included.
    #[must_use]
    pub fn spans_lost(&self) -> u64 {
        self.spans.saturating_sub(self.spans_sent)
    }
}

/// What those who measure and the thread that sends have in common.
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) metrics: Metrics,
    /// Nanoseconds since 1970, when counting began.
    began: u64,
    waiting: Mutex<VecDeque<Ended>>,
    wake: Notify,
    summary: Mutex<Summary>,
}

impl Shared {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings,
            metrics: Metrics::default(),
            began: now(),
            waiting: Mutex::default(),
            wake: Notify::new(),
            summary: Mutex::default(),
        }
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<Ended>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn summary(&self) -> MutexGuard<'_, Summary> {
        self.summary.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a span that has ended. Never waits for the collector.
    pub(crate) fn push(&self, span: Ended) {
        let mut waiting = self.waiting();
        let fits = waiting.len() < self.settings.queue;
        if fits {
            waiting.push_back(span);
        }
        let many = waiting.len() >= BATCH;
        drop(waiting);
        let mut summary = self.summary();
        summary.spans += 1;
        summary.spans_dropped += u64::from(!fits);
        drop(summary);
        if many {
            self.wake.notify_one();
        }
    }

    fn batch(&self) -> Vec<Ended> {
        let mut waiting = self.waiting();
        let count = waiting.len().min(BATCH);
        waiting.drain(..count).collect()
    }
}

/// The thread that sends.
pub(crate) struct Worker {
    /// When the rest has to be sent, once the run has ended.
    stop: watch::Sender<Option<Instant>>,
    done: mpsc::Receiver<()>,
}

impl Worker {
    /// Starts it. `traces` and `metrics` are where it may send.
    pub(crate) fn start(
        shared: Arc<Shared>,
        client: Client,
        traces: Option<Destination>,
        metrics: Option<Destination>,
    ) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (stop, stopped) = watch::channel(None);
        let (finished, done) = mpsc::sync_channel(1);
        std::thread::Builder::new()
            .name("telemetry".to_owned())
            .spawn(move || {
                let sender = Sender {
                    shared,
                    client,
                    stop: stopped,
                };
                runtime.block_on(async {
                    tokio::join!(sender.traces(traces), sender.metrics(metrics))
                });
                // Nobody may be waiting any more.
                let _ = finished.send(());
                runtime.shutdown_background();
            })?;
        Ok(Self { stop, done })
    }

    /// Sends the rest, for [`FLUSH`] at most.
    pub(crate) fn finish(self, shared: &Shared) -> Summary {
        let deadline = Instant::now() + FLUSH;
        self.stop.send_replace(Some(deadline));
        // A little longer than the thread has itself, which then says what it could not send.
        let _ = self.done.recv_timeout(FLUSH + Duration::from_millis(100));
        shared.summary().clone()
    }
}

struct Sender {
    shared: Arc<Shared>,
    client: Client,
    stop: watch::Receiver<Option<Instant>>,
}

impl Sender {
    /// When the run has ended. Gives when the rest has to be sent.
    async fn stopped(&self) -> Instant {
        let mut stop = self.stop.clone();
        match stop.wait_for(Option::is_some).await {
            Ok(deadline) => deadline.unwrap_or_else(Instant::now),
            // Whoever could tell is gone.
            Err(_) => Instant::now(),
        }
    }

    fn has_stopped(&self) -> bool {
        self.stop.borrow().is_some()
    }

    async fn traces(&self, to: Option<Destination>) {
        let Some(to) = to else { return };
        let shared = &*self.shared;
        loop {
            let last = tokio::select! {
                () = tokio::time::sleep(shared.settings.schedule) => false,
                () = shared.wake.notified() => false,
                _ = self.stopped() => true,
            };
            loop {
                let spans = shared.batch();
                if spans.is_empty() {
                    break;
                }
                let body = otlp::traces(&shared.settings.resource, &spans);
                let sent = self.deliver(&to, body).await;
                let mut summary = shared.summary();
                match sent {
                    Ok((rejected, why)) => {
                        summary.spans_sent += (spans.len() as u64).saturating_sub(rejected);
                        if rejected > 0 {
                            summary.failure = Some(format!("it rejected {rejected} spans: {why}"));
                        }
                    }
                    Err(why) => summary.failure = Some(why),
                }
            }
            if last {
                return;
            }
        }
    }

    async fn metrics(&self, to: Option<Destination>) {
        let Some(to) = to else { return };
        let shared = &*self.shared;
        let delta = shared.settings.delta;
        // What the collector has, and since when: what it did not take is in the next export.
        let (mut told, mut before) = (shared.began, Metrics::default().snapshot());
        loop {
            let last = tokio::select! {
                () = tokio::time::sleep(shared.settings.interval) => false,
                _ = self.stopped() => true,
            };
            let time = Period {
                began: shared.began,
                told: delta.then_some(told),
                now: now(),
            };
            let all = shared.metrics.snapshot();
            let resource = &shared.settings.resource;
            let (body, points) = match delta {
                true => otlp::metrics(resource, &since(&before, all.clone()), time),
                false => otlp::metrics(resource, &all, time),
            };
            if points > 0 {
                let sent = self.deliver(&to, body).await;
                if sent.is_ok() {
                    (told, before) = (time.now, all);
                }
                let mut summary = shared.summary();
                match sent {
                    Ok((0, _)) => summary.metrics_sent += 1,
                    Ok((rejected, why)) => {
                        summary.metrics_failed += 1;
                        summary.failure = Some(format!("it rejected {rejected} points: {why}"));
                    }
                    Err(why) => {
                        summary.metrics_failed += 1;
                        summary.failure = Some(why);
                    }
                }
            }
            if last {
                return;
            }
        }
    }

    /// Sends one request, again where that may help, for as long as the settings and the end of
    /// the run allow. Gives what the collector rejects of it.
    async fn deliver(&self, to: &Destination, body: Vec<u8>) -> Result<(u64, String), String> {
        let last = RefCell::new(None);
        let ended = async {
            let deadline = self.stopped().await;
            tokio::time::sleep_until(deadline.into()).await;
        };
        let late = |limit: &str| {
            let last = last.borrow_mut().take();
            last.unwrap_or_else(|| format!("there was no answer within {limit}"))
        };
        tokio::select! {
            answer = self.attempts(to, body, &last) => answer.map(|answer| otlp::rejected(&answer)),
            () = tokio::time::sleep(to.timeout) => {
                Err(late(&format!("{} s", to.timeout.as_secs_f32())))
            }
            () = ended => Err(late(&format!("{} s of the run's end", FLUSH.as_secs()))),
        }
    }

    async fn attempts(
        &self,
        to: &Destination,
        body: Vec<u8>,
        last: &RefCell<Option<String>>,
    ) -> Result<Vec<u8>, String> {
        let request = to.request.clone().body(body);
        let backoff = Backoff {
            cap: Duration::from_secs(5),
            ..Backoff::default()
        };
        for retry in 0.. {
            let mut asked = None;
            let why = match self.client.send(request.clone()).await {
                Ok(mut response) if response.is_success() => {
                    let answer = response.read_capped(LARGEST_ANSWER).await;
                    return answer.map(|a| a.bytes).map_err(|e| e.to_string());
                }
                Ok(response) => {
                    let why = format!("it answered with status {}", response.status());
                    if !RETRYABLE.contains(&response.status()) {
                        return Err(why);
                    }
                    asked = retry_after(None, response.header("retry-after"), SystemTime::now());
                    why
                }
                // A collector that is not there is not waited for once the run has ended.
                Err(error) if error.is_transient() && !self.has_stopped() => error.to_string(),
                Err(error) => return Err(error.to_string()),
            };
            *last.borrow_mut() = Some(why);
            let jitter = f64::from(u8::from_ne_bytes([crate::trace_context::random()[0]])) / 255.0;
            tokio::time::sleep(backoff.delay(retry, jitter, asked)).await;
        }
        Err("it was tried too often".to_owned())
    }
}
