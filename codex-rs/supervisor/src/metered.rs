//! A model and tools as an agent gets them: each request and each command passes the run's
//! turnstiles, and each request is taken from the agent's account.

use std::sync::Arc;

use codex_protocol::model::{
    Content, Model, ModelError, ModelErrorKind, ModelEvent, ModelStream, Prompt,
};
use codex_protocol::permission::Permissions;
use codex_protocol::tool::{Access, BoxFuture, Fatal, Tool, ToolCall, ToolOutput, ToolSpec};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::budget::Ledger;

/// A model whose requests pass a turnstile and are counted.
pub(crate) struct MeteredModel {
    model: Box<dyn Model>,
    turnstile: Arc<Semaphore>,
    ledger: Arc<Ledger>,
}

impl MeteredModel {
    /// `model`, through `turnstile`, on account of `ledger`.
    #[must_use]
    pub(crate) fn new(
        model: Box<dyn Model>,
        turnstile: Arc<Semaphore>,
        ledger: Arc<Ledger>,
    ) -> Self {
        Self {
            model,
            turnstile,
            ledger,
        }
    }
}

struct MeteredStream<'m> {
    of: &'m MeteredModel,
    prompt: Option<Prompt>,
    inner: Option<(Box<dyn ModelStream + 'm>, SemaphorePermit<'m>)>,
}

impl Model for MeteredModel {
    fn provider(&self) -> &str {
        self.model.provider()
    }

    fn endpoint(&self) -> &str {
        self.model.endpoint()
    }

    fn stream(&self, prompt: Prompt) -> Box<dyn ModelStream + '_> {
        Box::new(MeteredStream {
            of: self,
            prompt: Some(prompt),
            inner: None,
        })
    }
}

fn refused(message: impl ToString) -> ModelError {
    ModelError {
        kind: ModelErrorKind::Rejected,
        message: message.to_string(),
    }
}

impl ModelStream for MeteredStream<'_> {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<ModelEvent, ModelError>>> {
        Box::pin(async move {
            if let Some(prompt) = self.prompt.take() {
                let Ok(permit) = self.of.turnstile.acquire().await else {
                    return Some(Err(refused("the run is over")));
                };
                if let Err(exhausted) = self.of.ledger.spend_turn() {
                    return Some(Err(refused(exhausted)));
                }
                self.inner = Some((self.of.model.stream(prompt), permit));
            }
            let (stream, _) = self.inner.as_mut()?;
            let event = stream.next().await;
            if let Some(Ok(ModelEvent::Completed { usage, .. })) = &event {
                self.of.ledger.spend_tokens(usage.total());
            }
            if !matches!(event, Some(Ok(ref e)) if !matches!(e, ModelEvent::Completed { .. })) {
                // Lets the next one through: nothing more comes of this request.
                self.inner = None;
            }
            event
        })
    }
}

/// The tools that start commands.
pub(crate) const STARTS_COMMANDS: [&str; 2] = ["shell", "start_command"];

/// A tool that starts commands, behind the run's turnstile for them.
pub(crate) struct GatedTool {
    tool: Box<dyn Tool>,
    turnstile: Arc<Semaphore>,
}

impl GatedTool {
    /// `tool`, through `turnstile`.
    #[must_use]
    pub(crate) fn new(tool: Box<dyn Tool>, turnstile: Arc<Semaphore>) -> Self {
        Self { tool, turnstile }
    }
}

impl Tool for GatedTool {
    fn spec(&self) -> ToolSpec {
        self.tool.spec()
    }

    fn access(&self) -> Access {
        self.tool.access()
    }

    fn call<'a>(
        &'a self,
        call: &'a ToolCall,
        permissions: &'a Permissions,
    ) -> BoxFuture<'a, Result<ToolOutput, Fatal>> {
        Box::pin(async move {
            // A turnstile is closed when its run is over; the call is then about to be dropped.
            let Ok(_permit) = self.turnstile.acquire().await else {
                return Ok(ToolOutput {
                    text: "not run: the run is over".to_owned(),
                    success: false,
                });
            };
            self.tool.call(call, permissions).await
        })
    }

    fn take_shown(&self) -> Vec<Content> {
        self.tool.take_shown()
    }

    fn end(&self) -> BoxFuture<'_, Result<(), Fatal>> {
        self.tool.end()
    }
}
