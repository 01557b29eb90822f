//! Sending, streaming and trying again: the same for every wire.

use std::collections::VecDeque;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::pin::Pin;
use std::time::{Duration, SystemTime};

use codex_http::retry::{Backoff, MAX_RETRY_AFTER, retry_after};
use codex_http::sse::{SseEvent, SseParser};
use codex_http::{Bytes, Client, HttpError, Method, Request, Response};
use codex_protocol::model::{
    Item, Model, ModelError, ModelErrorKind, ModelEvent, ModelStream, Prompt,
};
use codex_protocol::tool::BoxFuture;
use tokio::time::{Sleep, sleep, timeout};

use crate::error::SetupError;
use crate::error_body::{ERROR_BODY_LIMIT, ErrorBody, clean};
use crate::explain;
use crate::fault::{Advice, Fault, Retry};
use crate::provider::{Provider, WireApi};
use crate::wire::{Decoder, Wire, wire_for};

/// The bytes that one response may take. The largest honest ones, which repeat every item with
/// its encrypted reasoning at the end, stay below a few megabytes.
pub const MAX_RESPONSE_BYTES: usize = 32 * 1024 * 1024;

/// The most retries of either kind that count, whatever is configured: Codex's limit.
const MOST_RETRIES: u32 = 100;

/// How long the text of an error may take: it is only there to be shown.
const ERROR_BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the end of a complete answer may take, so that its connection can be used again.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(20);

/// The bytes of a request id that an error shows.
const REQUEST_ID_SHOWN: usize = 100;

/// A provider's model over HTTP.
pub struct HttpModel {
    provider: Provider,
    wire: &'static dyn Wire,
    client: Client,
    /// Without credentials or query.
    endpoint: String,
    /// Everything of a request but its body.
    request: Request,
    /// Whether the provider wants a key and has none.
    key_missing: bool,
}

/// The model that `provider` describes. Nothing is sent or read, and no TLS is built, before the
/// first request.
///
/// A key that is missing is no error here but of the first request, so that a configuration can
/// be looked at without one.
///
/// # Errors
/// When the provider's URL or headers cannot be used, or its wire is not built in.
pub fn http_model(provider: Provider, client: Client) -> Result<HttpModel, SetupError> {
    let wire = wire_for(provider.wire).ok_or_else(|| SetupError::Wire {
        provider: provider.name.clone(),
        wire: provider.wire.as_str(),
        known: WireApi::ALL
            .into_iter()
            .filter(|wire| wire_for(*wire).is_some())
            .map(WireApi::as_str)
            .collect::<Vec<_>>()
            .join(", "),
    })?;
    let base_url = |reason: String| SetupError::BaseUrl {
        provider: provider.name.clone(),
        reason,
    };
    if provider.base_url.contains(['?', '#']) {
        return Err(base_url(
            "it has a query or a fragment; put queries into query_params".to_owned(),
        ));
    }
    let endpoint = format!(
        "{}/{}",
        provider.base_url.trim_end_matches('/'),
        wire.path_under(&provider.base_url)
    );
    let mut url = endpoint.clone();
    for (index, (name, value)) in provider.query.iter().enumerate() {
        url.push(if index == 0 { '?' } else { '&' });
        percent_encode(name, &mut url);
        url.push('=');
        percent_encode(value.expose(), &mut url);
    }
    let request = Request::new(Method::Post, &url).map_err(|error| match error {
        HttpError::BadUrl { reason } => {
            base_url(format!("{reason}; give one like https://host/v1"))
        }
        other => base_url(other.to_string()),
    })?;
    let request = headers(request, &provider, wire).map_err(|source| SetupError::Header {
        provider: provider.name.clone(),
        source,
    })?;
    let key_header = wire.key_header().name;
    let key_missing = !provider.key_variables.is_empty()
        && provider.key.as_ref().is_none_or(|key| key.is_empty())
        && !provider
            .headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case(key_header));
    Ok(HttpModel {
        wire,
        client,
        endpoint,
        request: request.idle_timeout(provider.stream_idle_timeout),
        key_missing,
        provider,
    })
}

fn headers(
    mut request: Request,
    provider: &Provider,
    wire: &dyn Wire,
) -> Result<Request, HttpError> {
    request = request
        .header("content-type", "application/json")?
        .header("accept", "text/event-stream")?;
    for (name, value) in wire.headers() {
        request = request.header(name, value)?;
    }
    if let Some(key) = provider.key.as_ref().filter(|key| !key.is_empty()) {
        let header = wire.key_header();
        request = request.secret_header(header.name, &key.prefixed(header.prefix))?;
    }
    for (name, value) in &provider.headers {
        request = request.secret_header(name, value)?;
    }
    Ok(request)
}

/// Everything but RFC 3986's unreserved characters.
fn percent_encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
}

impl fmt::Debug for HttpModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpModel")
            .field("provider", &self.provider)
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

impl Model for HttpModel {
    fn provider(&self) -> &str {
        &self.provider.name
    }

    fn endpoint(&self) -> &str {
        &self.endpoint
    }

    fn stream(&self, prompt: Prompt) -> Box<dyn ModelStream + '_> {
        Box::new(HttpStream {
            model: self,
            body: Bytes::new(),
            state: State::New(Box::new(prompt)),
            out: VecDeque::new(),
            request_retries: 0,
            stream_retries: 0,
        })
    }
}

/// One request with its retries. Every wait is held here and not in the future of `next`, so that
/// dropping that future loses nothing, and dropping this ends everything.
struct HttpStream<'a> {
    model: &'a HttpModel,
    body: Bytes,
    state: State<'a>,
    /// What was decoded and not handed out: of one piece of the body, or of a complete answer.
    out: VecDeque<ModelEvent>,
    request_retries: u32,
    stream_retries: u32,
}

enum State<'a> {
    New(Box<Prompt>),
    Waiting(Pin<Box<Sleep>>),
    Sending(BoxFuture<'a, Result<Response, Fault>>),
    Reading(Box<Reading>),
    Ended,
}

/// Where an attempt failed; each place has its own number of retries.
#[derive(Clone, Copy)]
enum Place {
    Request,
    Stream,
}

impl ModelStream for HttpStream<'_> {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<ModelEvent, ModelError>>> {
        Box::pin(async move {
            loop {
                if let Some(event) = self.out.pop_front() {
                    return Some(Ok(event));
                }
                let failed = match &mut self.state {
                    State::Ended => return None,
                    State::New(prompt) => match body(self.model, prompt) {
                        Ok(body) => {
                            self.body = body;
                            self.send();
                            None
                        }
                        Err(fault) => Some((Place::Request, fault)),
                    },
                    State::Waiting(sleep) => {
                        sleep.await;
                        self.send();
                        None
                    }
                    State::Sending(sending) => match sending.await {
                        Ok(response) => {
                            let decoder = self.model.wire.decoder();
                            let reading = Reading::new(response, decoder);
                            self.state = State::Reading(Box::new(reading));
                            None
                        }
                        Err(fault) => Some((Place::Request, fault)),
                    },
                    State::Reading(reading) => match reading.advance(&mut self.out).await {
                        Ok(Progress::Going) => None,
                        Ok(Progress::Completed) => {
                            if let State::Reading(reading) =
                                std::mem::replace(&mut self.state, State::Ended)
                            {
                                reading.drain().await;
                            }
                            None
                        }
                        Err(fault) => Some((Place::Stream, fault)),
                    },
                };
                if let Some((place, fault)) = failed
                    && let Some(error) = self.fail(place, fault)
                {
                    return Some(Err(error));
                }
            }
        })
    }
}

fn body(model: &HttpModel, prompt: &Prompt) -> Result<Bytes, Fault> {
    if model.key_missing {
        return Err(Fault::new(
            ModelErrorKind::Auth,
            "there is no key for this provider",
            Retry::Never,
            Advice::MissingKey,
        ));
    }
    match model.wire.body(prompt, &model.provider) {
        Ok(body) => Ok(Bytes::from(body)),
        Err(error) => Err(Fault::new(
            ModelErrorKind::Rejected,
            format!("the conversation can't be written as JSON: {error}"),
            Retry::Never,
            Advice::InReason,
        )),
    }
}

impl HttpStream<'_> {
    fn send(&mut self) {
        let model = self.model;
        let request = model.request.clone().body(self.body.clone());
        self.state = State::Sending(Box::pin(async move {
            let sent = model.client.send(request).await;
            accept(sent.map_err(|error| Fault::http(&error, false))?).await
        }));
    }

    /// Prepares the next attempt, or gives the error that ends the stream. What the failed
    /// attempt decoded and nobody saw yet goes with it.
    fn fail(&mut self, place: Place, fault: Fault) -> Option<ModelError> {
        let provider = &self.model.provider;
        let (retries, most) = match place {
            Place::Request => (&mut self.request_retries, provider.request_max_retries),
            Place::Stream => (&mut self.stream_retries, provider.stream_max_retries),
        };
        let too_long = |asked: Duration| asked > MAX_RETRY_AFTER;
        let give_up = match fault.retry {
            Retry::Never => true,
            Retry::After(asked) => {
                *retries >= most.min(MOST_RETRIES) || asked.is_some_and(too_long)
            }
        };
        if give_up {
            self.state = State::Ended;
            self.out.clear();
            let attempts = 1 + self.request_retries + self.stream_retries;
            let fault = name_long_wait(fault);
            let endpoint = &self.model.endpoint;
            return Some(explain::error(provider, endpoint, &fault, attempts));
        }
        let asked = match fault.retry {
            Retry::After(asked) => asked,
            Retry::Never => None,
        };
        let delay = Backoff::default().delay(*retries, jitter(), asked);
        *retries += 1;
        self.out.clear();
        self.out.push_back(ModelEvent::Retrying {
            reason: explain::retry(provider, &fault),
            attempt: 1 + self.request_retries + self.stream_retries,
            delay_ms: u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
        });
        self.state = State::Waiting(Box::pin(sleep(delay)));
        None
    }
}

/// Says so where the server asks for a longer wait than anyone would sit through.
fn name_long_wait(mut fault: Fault) -> Fault {
    if let Retry::After(Some(asked)) = fault.retry
        && asked > MAX_RETRY_AFTER
    {
        fault.reason = format!(
            "it asks to wait for {} seconds, longer than codex waits ({}): {}",
            asked.as_secs(),
            MAX_RETRY_AFTER.as_secs(),
            fault.reason
        );
    }
    fault
}

/// A random number from 0 to 1. The standard library seeds its hash maps from the system's
/// randomness, which is plenty for a wait.
fn jitter() -> f64 {
    let bits = RandomState::new().build_hasher().finish();
    f64::from(u32::try_from(bits >> 32).unwrap_or(0)) / f64::from(u32::MAX)
}

/// The response, if it is the stream that was asked for.
async fn accept(mut response: Response) -> Result<Response, Fault> {
    let status = response.status();
    let content_type = response.header("content-type").unwrap_or_default();
    let content_type = content_type.to_ascii_lowercase();
    // Other types are read as a stream all the same: some servers send none, or a wrong one.
    let is_document = content_type.contains("html") || content_type.contains("json");
    if response.is_success() && !is_document {
        return Ok(response);
    }
    let asked = retry_after(
        response.header("retry-after-ms"),
        response.header("retry-after"),
        SystemTime::now(),
    );
    let id = ["x-request-id", "request-id"]
        .iter()
        .find_map(|name| response.header(name))
        .map(|id| clean(id).chars().take(REQUEST_ID_SHOWN).collect::<String>());
    let read = timeout(ERROR_BODY_TIMEOUT, response.read_capped(ERROR_BODY_LIMIT)).await;
    let body = match read {
        Ok(Ok(capped)) => ErrorBody::parse(&capped.bytes),
        // The status says enough.
        _ => ErrorBody::default(),
    };
    let mut fault = if !response.is_success() {
        Fault::status(status, &body, asked)
    } else if body.codes.is_empty() {
        Fault::new(
            ModelErrorKind::Protocol,
            format!(
                "it answered with a document ({content_type}) instead of a stream: {}",
                body.message
            ),
            Retry::Never,
            Advice::BaseUrl,
        )
    } else {
        Fault::reported("it answered with an error", &body)
    };
    if let Some(id) = id.filter(|id| !id.is_empty()) {
        fault.reason.push_str(&format!(" [request {id}]"));
    }
    Err(fault)
}

/// Items that are whole, of an answer that is not. They are handed out when it is, so that a
/// retry takes nothing back.
#[derive(Default)]
struct Held(Vec<Item>);

impl Held {
    /// Passes deltas on and keeps items back, until the answer is complete.
    fn hand_out(&mut self, decoded: Vec<ModelEvent>, out: &mut VecDeque<ModelEvent>) -> Progress {
        for event in decoded {
            match event {
                ModelEvent::Item(item) => self.0.push(item),
                ModelEvent::Completed { .. } => {
                    out.extend(self.0.drain(..).map(ModelEvent::Item));
                    out.push_back(event);
                    return Progress::Completed;
                }
                delta => out.push_back(delta),
            }
        }
        Progress::Going
    }
}

/// A response that is being read.
struct Reading {
    response: Response,
    parser: SseParser,
    decoder: Box<dyn Decoder>,
    held: Held,
    bytes: usize,
    events: usize,
}

enum Progress {
    Going,
    Completed,
}

impl Reading {
    fn new(response: Response, decoder: Box<dyn Decoder>) -> Self {
        Self {
            response,
            parser: SseParser::default(),
            decoder,
            held: Held::default(),
            bytes: 0,
            events: 0,
        }
    }

    /// Takes the next piece of the body.
    async fn advance(&mut self, out: &mut VecDeque<ModelEvent>) -> Result<Progress, Fault> {
        let chunk = self.response.chunk().await;
        let Some(chunk) = chunk.map_err(|error| Fault::http(&error, true))? else {
            if self.events == 0 && self.bytes > 0 {
                return Err(Fault::malformed(format!(
                    "it sent {} bytes that hold no event",
                    self.bytes
                )));
            }
            let mut decoded = Vec::new();
            self.decoder.end(&mut decoded)?;
            return match self.held.hand_out(decoded, out) {
                Progress::Completed => Ok(Progress::Completed),
                Progress::Going => Err(Fault::cut()),
            };
        };
        self.bytes = self.bytes.saturating_add(chunk.len());
        if self.bytes > MAX_RESPONSE_BYTES {
            return Err(too_large(format!(
                "the answer is larger than {MAX_RESPONSE_BYTES} bytes"
            )));
        }
        let mut events: Vec<SseEvent> = Vec::new();
        let parsed = self.parser.push(&chunk, &mut events);
        self.events += events.len();
        for event in &events {
            let mut decoded = Vec::new();
            self.decoder.event(event, &mut decoded)?;
            if let Progress::Completed = self.held.hand_out(decoded, out) {
                return Ok(Progress::Completed);
            }
        }
        match parsed {
            Ok(()) => Ok(Progress::Going),
            Err(error) => Err(too_large(error.to_string())),
        }
    }

    /// Reads what follows a complete answer, usually nothing but the body's end, so that the
    /// connection can serve the next request.
    async fn drain(mut self: Box<Self>) {
        let rest = async { while let Ok(Some(_)) = self.response.chunk().await {} };
        // Whoever has more to say is not waited for: dropping the response ends it.
        let _ = timeout(DRAIN_TIMEOUT, rest).await;
    }
}

fn too_large(reason: String) -> Fault {
    Fault::new(
        ModelErrorKind::Protocol,
        reason,
        Retry::Never,
        Advice::BaseUrl,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use codex_protocol::model::{StopReason, Usage};

    #[test]
    fn items_come_when_the_answer_is_complete() {
        let delta = ModelEvent::TextDelta("a".to_owned());
        let item = |text: &str| ModelEvent::Item(Item::user(text));
        let completed = ModelEvent::Completed {
            usage: Usage::default(),
            stop: StopReason::Done,
        };
        let mut held = Held::default();
        let mut out = VecDeque::new();
        let going = held.hand_out(vec![item("1"), delta.clone()], &mut out);
        assert!(matches!(going, Progress::Going));
        assert_eq!(out.len(), 1);
        assert_eq!(out[0], delta);
        let ended = held.hand_out(vec![item("2"), completed.clone()], &mut out);
        assert!(matches!(ended, Progress::Completed));
        assert_eq!(out, [delta, item("1"), item("2"), completed]);
    }

    #[test]
    fn jitter_is_a_share() {
        for _ in 0..100 {
            assert!((0.0..=1.0).contains(&jitter()));
        }
    }
}
