//! `--record`: writes down what a model answers.

use std::fmt;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

use codex_protocol::model::{
    Item, Model, ModelError, ModelErrorKind, ModelEvent, ModelStream, Prompt,
};
use codex_protocol::tool::BoxFuture;

use crate::recording::{Expected, ExpectedCall, Line, MAX_LINE_BYTES, VERSION, answered};

/// A model whose complete responses are written down, one line each.
///
/// A recording holds the conversation's contents: whoever opens the file keeps it from others
/// (mode 0600). Keys and requests are not in it.
pub struct RecordedModel {
    model: Box<dyn Model>,
    name: String,
    file: Mutex<Box<dyn Write + Send>>,
}

impl RecordedModel {
    /// Records `model` to `file`; `name` is the file's, for error texts. Each line is written by
    /// one call and flushed.
    pub fn new(
        model: Box<dyn Model>,
        name: impl Into<String>,
        file: impl Write + Send + 'static,
    ) -> Self {
        Self {
            model,
            name: name.into(),
            file: Mutex::new(Box::new(file)),
        }
    }

    fn write(&self, line: &Line) -> Result<(), ModelError> {
        let failed = |why: String| ModelError {
            kind: ModelErrorKind::Replay,
            message: format!(
                "the recording {} can't be written: {why}; free space or choose another file for \
                 --record",
                self.name
            ),
        };
        let mut text = serde_json::to_vec(line).map_err(|error| failed(error.to_string()))?;
        if text.len() > MAX_LINE_BYTES {
            return Err(failed(format!(
                "a response takes {} bytes, of {MAX_LINE_BYTES} at most",
                text.len()
            )));
        }
        text.push(b'\n');
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(&text)
            .and_then(|()| file.flush())
            .map_err(|error| failed(error.to_string()))
    }
}

impl fmt::Debug for RecordedModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordedModel")
            .field("provider", &self.model.provider())
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Model for RecordedModel {
    fn provider(&self) -> &str {
        self.model.provider()
    }

    fn endpoint(&self) -> &str {
        self.model.endpoint()
    }

    fn stream(&self, prompt: Prompt) -> Box<dyn ModelStream + '_> {
        // How a call went is left out: the same recording then plays where a command fails, and
        // under other profiles, which is what replays are for.
        let expects = answered(&prompt.items)
            .into_iter()
            .map(|answered| {
                Expected::Call(ExpectedCall {
                    call_id: answered.call_id,
                    tool: answered.tool,
                    success: None,
                })
            })
            .collect();
        Box::new(RecordedStream {
            model: self,
            stream: self.model.stream(prompt),
            expects,
            items: Vec::new(),
            failed: false,
        })
    }
}

struct RecordedStream<'a> {
    model: &'a RecordedModel,
    stream: Box<dyn ModelStream + 'a>,
    expects: Vec<Expected>,
    items: Vec<Item>,
    failed: bool,
}

impl ModelStream for RecordedStream<'_> {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<ModelEvent, ModelError>>> {
        Box::pin(async move {
            if self.failed {
                return None;
            }
            let event = self.stream.next().await?;
            match &event {
                Ok(ModelEvent::Item(item)) => self.items.push(item.clone()),
                Ok(ModelEvent::Retrying { .. }) => self.items.clear(),
                Ok(ModelEvent::Completed { usage, stop }) => {
                    let line = Line {
                        v: VERSION,
                        expects: Some(std::mem::take(&mut self.expects)),
                        items: std::mem::take(&mut self.items),
                        usage: *usage,
                        stop: (*stop).into(),
                    };
                    // A recording with a hole would play another conversation.
                    if let Err(error) = self.model.write(&line) {
                        self.failed = true;
                        return Some(Err(error));
                    }
                }
                _ => {}
            }
            Some(event)
        })
    }
}
