//! One conversation: turns of model requests and tool calls, until the model has nothing more
//! to call.

use std::time::{Duration, Instant};

use codex_protocol::event::{ErrorMessage, Event, ItemDetails};
use codex_protocol::model::{
    Content, Item, Model, ModelError, ModelEvent, Prompt, ReasoningEffort, StopReason, Usage,
};
use codex_protocol::permission::{NotPermitted, Permissions};
use codex_protocol::record::RecordError;
use codex_protocol::request::ModelRequest;
use codex_protocol::tool::{Fatal, Tool, ToolCall, ToolOutput, ToolSpec};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::calls::{Answering, Repeats};
use crate::output_schema::OutputSchema;
use crate::profile::ForOneTurn;
use crate::spans;
use crate::store::{Line, Store, StoreError};

/// How far a turn may go.
#[derive(Clone, Copy, Debug)]
pub struct TurnLimits {
    /// Model requests.
    pub requests: u32,
    /// Tokens read and written, if limited.
    pub tokens: Option<u64>,
    /// Time, if limited.
    pub time: Option<Duration>,
}

/// How many model requests a turn may take unless a run says otherwise.
pub const DEFAULT_REQUESTS: u32 = 200;

impl Default for TurnLimits {
    fn default() -> Self {
        Self {
            requests: DEFAULT_REQUESTS,
            tokens: None,
            time: None,
        }
    }
}

/// How often the model may try again when its last message does not fit the schema.
const SCHEMA_RETRIES: u32 = 2;

/// How a turn ended well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TurnEnd {
    /// The model's last message.
    pub message: Option<String>,
    /// Tokens of the turn.
    pub usage: Usage,
}

/// Why a turn ended early.
#[derive(Debug, thiserror::Error)]
pub enum TurnError {
    /// The model's side failed.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A limit was reached.
    #[error("{0}")]
    Limit(String),
    /// The last message does not fit the schema, after all retries.
    #[error("the last message does not fit --output-schema:\n{0}")]
    Schema(String),
    /// The person interrupted it.
    #[error("interrupted")]
    Interrupted,
    /// The model request itself is not permitted.
    #[error("{0}")]
    NotPermitted(String),
    /// The log cannot be written.
    #[error(transparent)]
    NoRecord(#[from] RecordError),
    /// The session cannot be saved.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<Fatal> for TurnError {
    fn from(Fatal(error): Fatal) -> Self {
        Self::NoRecord(error)
    }
}

impl From<NotPermitted> for TurnError {
    fn from(error: NotPermitted) -> Self {
        match error {
            NotPermitted::Denied { decision, .. } => Self::NotPermitted(decision.explanation()),
            NotPermitted::NoRecord(error) => Self::NoRecord(error),
        }
    }
}

/// What a session is made of.
pub struct Parts {
    /// What tools and the model request ask.
    pub permissions: Permissions,
    /// The model.
    pub model: Box<dyn Model>,
    /// Its name.
    pub model_name: String,
    /// The tools it can call.
    pub tools: Vec<Box<dyn Tool>>,
    /// Whether tools are described by their required parameters alone, for small models.
    pub compact_schemas: bool,
    /// What it is told.
    pub instructions: String,
    /// How much it should think.
    pub effort: Option<ReasoningEffort>,
    /// A JSON Schema for the last message.
    pub output_schema: Option<OutputSchema>,
    /// Where the conversation is kept; `None` keeps nothing.
    pub store: Option<Store>,
    /// The conversation so far.
    pub items: Vec<Item>,
    /// How far a turn may go.
    pub limits: TurnLimits,
    /// Tokens that the model's window holds.
    pub context_window: u64,
}

/// A conversation at work.
pub struct Session {
    pub(crate) parts: Parts,
    /// How many items the last request and its answer had, and their tokens as the provider
    /// counted them.
    pub(crate) counted: Option<(usize, u64)>,
    /// What holds again after the turn.
    pub(crate) for_one_turn: Option<ForOneTurn>,
    /// What the model is to be told with the next input.
    pub(crate) note: Option<String>,
}

impl Session {
    /// A session that goes on from `parts.items`. Calls that a crash left open are answered as
    /// interrupted, since providers refuse a conversation with open calls.
    ///
    /// # Errors
    /// When those answers cannot be saved.
    pub fn new(parts: Parts) -> Result<Self, StoreError> {
        let mut session = Self {
            parts,
            counted: None,
            for_one_turn: None,
            note: None,
        };
        for call in open_calls(&session.parts.items) {
            session.push(output_item(&call, &interrupted()))?;
        }
        Ok(session)
    }

    /// Takes the person's input through to the model's last message.
    ///
    /// Every call that the model made is answered in the conversation, also when the turn ends
    /// early, so the session can always go on.
    ///
    /// # Errors
    /// [`TurnError`] says what ended it. The front end has been told by then.
    pub async fn turn(
        &mut self,
        input: Vec<Content>,
        interrupt: &CancellationToken,
    ) -> Result<TurnEnd, TurnError> {
        self.emit(Event::TurnStarted {});
        let mut usage = Usage::default();
        let deadline = self.parts.limits.time.map(|limit| Instant::now() + limit);
        let span = spans::task(&self.parts);
        let run = self.run(input, interrupt, deadline, &mut usage);
        let ended = run.instrument(span.clone()).await;
        let steps = self.parts.permissions.items().count();
        let saved = self.save(&Line::Turn { usage, steps });
        let ended = ended.and_then(|message| saved.map(|()| message).map_err(TurnError::from));
        let put_back = self.end_of_turn();
        let ended = ended.and_then(|message| put_back.map(|()| message).map_err(TurnError::from));
        spans::task_ended(&span, &ended, usage);
        match ended {
            Ok(message) => {
                self.emit(Event::TurnCompleted { usage });
                Ok(TurnEnd { message, usage })
            }
            Err(error) => {
                let message = error.to_string();
                self.emit(Event::TurnFailed {
                    error: ErrorMessage { message },
                });
                Err(error)
            }
        }
    }

    /// Ends what the tools' calls started and left at work, and gives the conversation as it
    /// stands.
    ///
    /// # Errors
    /// When the log did not take how something ended, beside the conversation.
    pub async fn end(self) -> (Vec<Item>, Result<(), Fatal>) {
        let mut ended = Ok(());
        for tool in &self.parts.tools {
            ended = ended.and(tool.end().await);
        }
        (self.parts.items, ended)
    }

    async fn run(
        &mut self,
        mut input: Vec<Content>,
        interrupt: &CancellationToken,
        deadline: Option<Instant>,
        usage: &mut Usage,
    ) -> Result<Option<String>, TurnError> {
        if let Some(text) = self.note.take() {
            input.insert(0, Content::Text { text });
        }
        self.push(Item::User { content: input })?;
        let mut repeats = Repeats::default();
        let mut misfits = 0;
        for _ in 0..self.parts.limits.requests {
            if let Some(limit) = self
                .parts
                .limits
                .tokens
                .filter(|limit| usage.total() >= *limit)
            {
                return Err(TurnError::Limit(format!(
                    "the turn has taken {} of {limit} tokens (--max-tokens)",
                    usage.total()
                )));
            }
            let answer = until(interrupt, deadline, self.answer(usage)).await??;
            usage.add(answer.usage);
            self.show(&answer.items);
            let asked = answer.usage.total();
            let held = self.parts.items.len() + answer.items.len();
            self.counted = (asked > 0).then_some((held, asked));
            let calls: Vec<ToolCall> = answer.items.iter().filter_map(as_call).collect();
            let message = answer.items.iter().rev().find_map(as_message);
            for item in answer.items {
                self.push(item)?;
            }
            if answer.stop == StopReason::Filtered {
                return Err(TurnError::Limit(
                    "the provider withheld the rest of the answer".to_owned(),
                ));
            }
            if calls.is_empty() {
                if answer.stop == StopReason::Length {
                    return Err(TurnError::Limit(
                        "the answer reached the limit on output tokens".to_owned(),
                    ));
                }
                let Err(errors) = self.check(message.as_deref()) else {
                    return Ok(message);
                };
                if misfits == SCHEMA_RETRIES {
                    return Err(TurnError::Schema(errors));
                }
                misfits += 1;
                self.push(Item::user(format!(
                    "Your message does not fit the JSON Schema that it has to fit:\n{errors}\n\
                     Answer with the corrected JSON and nothing else."
                )))?;
                continue;
            }
            self.answer_calls(&calls, &mut repeats, interrupt, deadline)
                .await?;
        }
        let limit = self.parts.limits.requests;
        Err(TurnError::Limit(format!(
            "the turn has made {limit} model request{} (--max-turns)",
            if limit == 1 { "" } else { "s" }
        )))
    }

    /// Checks the last message against the schema, if there is one.
    fn check(&self, message: Option<&str>) -> Result<(), String> {
        let schema = self.parts.output_schema.as_ref();
        schema.map_or(Ok(()), |schema| schema.check(message.unwrap_or_default()))
    }

    /// One request to the model with these items. Gives what it answered, not yet shown.
    pub(crate) async fn ask_model(
        &self,
        items: Vec<Item>,
        output_schema: Option<serde_json::Value>,
    ) -> Result<Answer, TurnError> {
        let span = spans::model_request(&self.parts);
        let asking = self.send_to_model(items, output_schema);
        let answered = asking.instrument(span.clone()).await;
        spans::model_answered(&span, &answered);
        answered
    }

    async fn send_to_model(
        &self,
        items: Vec<Item>,
        output_schema: Option<serde_json::Value>,
    ) -> Result<Answer, TurnError> {
        let parts = &self.parts;
        let request = ModelRequest {
            provider: parts.model.provider().to_owned(),
            model: parts.model_name.clone(),
            endpoint: parts.model.endpoint().to_owned(),
        };
        parts.permissions.require(request, None).await?;
        let prompt = Prompt {
            model: parts.model_name.clone(),
            instructions: parts.instructions.clone(),
            items,
            tools: parts
                .tools
                .iter()
                .map(|t| self.described(t.spec()))
                .collect(),
            effort: parts.effort,
            output_schema,
            cache_key: parts.permissions.subject().session_id.to_string(),
            max_output_tokens: None,
        };
        let mut stream = parts.model.stream(prompt);
        let mut items = Vec::new();
        // A provider's words may repeat what it was sent, or hold what drives a terminal.
        let masked = |text: &str| parts.permissions.recorder().mask(text);
        while let Some(event) = stream.next().await {
            let event = event.map_err(|error| ModelError {
                message: masked(&error.message),
                ..error
            })?;
            match event {
                ModelEvent::TextDelta(_) | ModelEvent::ReasoningDelta(_) => {}
                ModelEvent::Retrying {
                    reason,
                    attempt,
                    delay_ms,
                } => {
                    items.clear();
                    let seconds = Duration::from_millis(delay_ms).as_secs_f32();
                    let reason = masked(&reason);
                    let message = format!("{reason}; attempt {attempt} follows in {seconds:.1} s");
                    self.emit(Event::Error { message });
                }
                ModelEvent::Item(item) => items.push(item),
                ModelEvent::Completed { usage, stop } => {
                    return Ok(Answer { items, usage, stop });
                }
            }
        }
        Err(TurnError::Model(ModelError {
            kind: codex_protocol::model::ModelErrorKind::Protocol,
            message: "the model's answer ended without being complete".to_owned(),
        }))
    }

    pub(crate) fn described(&self, spec: ToolSpec) -> ToolSpec {
        if self.parts.compact_schemas {
            spec.compact()
        } else {
            spec
        }
    }

    /// Shows what the model said and thought. Calls show themselves when they run.
    fn show(&self, items: &[Item]) {
        let shown = self.parts.permissions.items();
        for item in items {
            let details = match item {
                Item::Assistant { text, .. } if !text.is_empty() => {
                    ItemDetails::AgentMessage { text: text.clone() }
                }
                Item::Reasoning { text, .. } if !text.is_empty() => {
                    ItemDetails::Reasoning { text: text.clone() }
                }
                _ => continue,
            };
            shown.completed(shown.new_id(), details);
        }
    }

    /// Runs the calls and puts an answer to each into the conversation.
    async fn answer_calls(
        &mut self,
        calls: &[ToolCall],
        repeats: &mut Repeats,
        interrupt: &CancellationToken,
        deadline: Option<Instant>,
    ) -> Result<(), TurnError> {
        let Parts {
            tools,
            permissions,
            store,
            items,
            ..
        } = &mut self.parts;
        let answering = Answering {
            tools,
            permissions,
            interrupt,
            deadline,
        };
        let answered = answering
            .answer(calls, repeats, |item| keep(store.as_mut(), items, item))
            .await;
        // Also of a turn that ended early: the outputs say that it follows.
        let shown: Vec<Content> = tools.iter().flat_map(|tool| tool.take_shown()).collect();
        if !shown.is_empty() {
            keep(store.as_mut(), items, Item::User { content: shown })?;
        }
        answered
    }

    fn push(&mut self, item: Item) -> Result<(), StoreError> {
        keep(self.parts.store.as_mut(), &mut self.parts.items, item)
    }

    pub(crate) fn save(&mut self, line: &Line) -> Result<(), StoreError> {
        self.parts
            .store
            .as_mut()
            .map_or(Ok(()), |store| store.append(line))
    }

    pub(crate) fn emit(&self, event: Event) {
        self.parts.permissions.items().emit(event);
    }
}

/// Puts an item into the conversation, once it is saved.
fn keep(store: Option<&mut Store>, items: &mut Vec<Item>, item: Item) -> Result<(), StoreError> {
    if let Some(store) = store {
        store.append(&Line::Item { item: item.clone() })?;
    }
    items.push(item);
    Ok(())
}

/// A complete answer of the model.
pub(crate) struct Answer {
    pub(crate) items: Vec<Item>,
    pub(crate) usage: Usage,
    pub(crate) stop: StopReason,
}

/// Runs `work` until it is done, the person interrupts, or the time is up. Either way early, the
/// work is dropped, which ends what it started.
pub(crate) async fn until<T>(
    interrupt: &CancellationToken,
    deadline: Option<Instant>,
    work: impl Future<Output = T>,
) -> Result<T, TurnError> {
    let time_up = async {
        match deadline {
            Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        () = interrupt.cancelled() => Err(TurnError::Interrupted),
        () = time_up => Err(TurnError::Limit("the turn has taken all of its time (--timeout)".to_owned())),
        done = work => Ok(done),
    }
}

fn as_call(item: &Item) -> Option<ToolCall> {
    if let Item::ToolCall { call, .. } = item {
        Some(call.clone())
    } else {
        None
    }
}

fn as_message(item: &Item) -> Option<String> {
    if let Item::Assistant { text, .. } = item {
        Some(text.clone())
    } else {
        None
    }
}

pub(crate) fn output_item(call: &ToolCall, output: &ToolOutput) -> Item {
    Item::ToolOutput {
        call_id: call.call_id.clone(),
        output: output.text.clone(),
        success: output.success,
        text: call.text,
    }
}

pub(crate) fn interrupted() -> ToolOutput {
    ToolOutput {
        text: "interrupted before it was done".to_owned(),
        success: false,
    }
}

/// Calls without an answer, in order.
fn open_calls(items: &[Item]) -> Vec<ToolCall> {
    let answered = |id: &str| {
        items
            .iter()
            .any(|i| matches!(i, Item::ToolOutput { call_id, .. } if call_id == id))
    };
    items
        .iter()
        .filter_map(as_call)
        .filter(|call| !answered(&call.call_id))
        .collect()
}
