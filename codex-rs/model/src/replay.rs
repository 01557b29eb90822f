//! `--replay`: a model that says what a recording holds, if the conversation still fits.

use std::collections::{HashSet, VecDeque};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use codex_protocol::model::{
    Item, Model, ModelError, ModelErrorKind, ModelEvent, ModelStream, Prompt,
};
use codex_protocol::tool::{BoxFuture, ToolCall, ToolInput};

use crate::error::SetupError;
use crate::recording::{
    Answered, Expected, Line, MAX_LINE_BYTES, MAX_RECORDING_BYTES, VERSION, answered,
};

/// The name of this model's provider, and in place of an address.
const NAME: &str = "replay";

/// A model that plays a recording: its first request gets the first line, and so on. The format
/// is described in [`recording`](crate::recording), and can be written by hand.
#[derive(Debug)]
pub struct Replay {
    name: String,
    responses: Vec<Response>,
    /// Which response comes next.
    next: Mutex<usize>,
}

#[derive(Debug)]
struct Response {
    /// Its line in the file, from 1.
    number: usize,
    line: Line,
}

impl Replay {
    /// Reads the recording at `path`, whole, and checks every line before the first is played.
    ///
    /// # Errors
    /// [`SetupError::Unreadable`] and [`SetupError::Recording`].
    pub fn open(path: &Path) -> Result<Self, SetupError> {
        let name = path.display().to_string();
        match File::open(path) {
            Ok(file) => Self::read(name, BufReader::new(file)),
            Err(source) => Err(SetupError::Unreadable { name, source }),
        }
    }

    /// Reads a recording; `name` is the file's, for error texts.
    ///
    /// # Errors
    /// As for [`Replay::open`].
    pub fn read(name: impl Into<String>, mut file: impl BufRead) -> Result<Self, SetupError> {
        let name = name.into();
        let mut responses = Vec::new();
        let mut total = 0;
        for number in 1.. {
            let mut text = Vec::new();
            // One more than allowed, and a line feed.
            let limit = MAX_LINE_BYTES as u64 + 2;
            let read = file.by_ref().take(limit).read_until(b'\n', &mut text);
            match read {
                Ok(0) => break,
                Ok(read) => total += read,
                Err(source) => return Err(SetupError::Unreadable { name, source }),
            }
            let bad = |what: String| SetupError::Recording {
                name: name.clone(),
                reason: format!("line {number}: {what}"),
            };
            if text.last() == Some(&b'\n') {
                text.pop();
            }
            if text.len() > MAX_LINE_BYTES {
                return Err(bad(format!("it is longer than {MAX_LINE_BYTES} bytes")));
            }
            if total > MAX_RECORDING_BYTES {
                return Err(bad(format!(
                    "the recording is longer than {MAX_RECORDING_BYTES} bytes"
                )));
            }
            if text.trim_ascii().is_empty() {
                continue;
            }
            let line = parse(&text).map_err(bad)?;
            responses.push(Response { number, line });
        }
        if responses.is_empty() {
            return Err(SetupError::Recording {
                name,
                reason: "it holds no response; make one with --record".to_owned(),
            });
        }
        Ok(Self {
            name,
            responses,
            next: Mutex::new(0),
        })
    }

    /// Takes the next response, if the conversation fits it.
    fn take(&self, prompt: &Prompt) -> Result<&Response, ModelError> {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(response) = self.responses.get(*next) else {
            return Err(self.misfit(format!(
                "has {} response{}, and the conversation asks for one more; record it again \
                 with --record",
                self.responses.len(),
                if self.responses.len() == 1 { "" } else { "s" },
            )));
        };
        check(&response.line, prompt).map_err(|why| {
            self.misfit(format!(
                "does not fit at line {}: {why}; record it again with --record, or change that \
                 line",
                response.number
            ))
        })?;
        *next += 1;
        Ok(response)
    }

    fn misfit(&self, what: String) -> ModelError {
        ModelError {
            kind: ModelErrorKind::Replay,
            message: format!("the recording {} {what}", self.name),
        }
    }
}

fn parse(text: &[u8]) -> Result<Line, String> {
    let line: Line = serde_json::from_slice(text)
        .map_err(|error| format!("it is not a complete response ({error}); repair or remove it"))?;
    if line.v != VERSION {
        return Err(format!(
            "its format has version {}, and this codex plays version {VERSION}",
            line.v
        ));
    }
    let mut ids = HashSet::new();
    for item in &line.items {
        match item {
            Item::Assistant { .. } | Item::Reasoning { .. } => {}
            Item::ToolCall { call, .. } if call.call_id.is_empty() || call.name.is_empty() => {
                return Err("it has a tool call without a call_id or a name".to_owned());
            }
            Item::ToolCall { call, .. } => {
                if !ids.insert(&call.call_id) {
                    return Err(format!(
                        "it has two calls with the call_id {}",
                        call.call_id
                    ));
                }
            }
            Item::User { .. } | Item::ToolOutput { .. } => {
                return Err(
                    "it holds what a model does not say: only items of the types \
                            assistant, reasoning and tool_call are played"
                        .to_owned(),
                );
            }
        }
    }
    Ok(line)
}

/// Why the conversation does not fit this response.
fn check(line: &Line, prompt: &Prompt) -> Result<(), String> {
    if let Some(expects) = &line.expects {
        check_outputs(expects, &answered(&prompt.items))?;
    }
    for item in &line.items {
        if let Item::ToolCall { call, .. } = item {
            check_call(call, prompt)?;
        }
    }
    Ok(())
}

fn check_outputs(expects: &[Expected], outputs: &[Answered]) -> Result<(), String> {
    let id = |expected: &Expected| match expected {
        Expected::Id(id) => id.clone(),
        Expected::Call(call) => call.call_id.clone(),
    };
    let mut wanted: Vec<String> = expects.iter().map(id).collect();
    let mut got: Vec<String> = outputs
        .iter()
        .map(|output| output.call_id.clone())
        .collect();
    wanted.sort();
    got.sort();
    if wanted != got {
        return Err(format!(
            "it answers {}, and the newest {}",
            list(&wanted, "the output of no call", "the output of"),
            list(&got, "items are no outputs", "outputs are of"),
        ));
    }
    for expected in expects {
        let Expected::Call(call) = expected else {
            continue;
        };
        let output = outputs.iter().find(|output| output.call_id == call.call_id);
        let tool = output.and_then(|output| output.tool.as_deref());
        if let Some(wanted) = call.tool.as_deref()
            && tool != Some(wanted)
        {
            return Err(format!(
                "call {} was of the tool {wanted}, and is now of {}",
                call.call_id,
                tool.unwrap_or("no known tool")
            ));
        }
        let success = output.map(|output| output.success);
        if call.success.is_some() && call.success != success {
            let went = |success| match success {
                Some(true) => "succeeded",
                _ => "failed",
            };
            return Err(format!(
                "call {} {} when it was recorded, and {} now",
                call.call_id,
                went(call.success),
                went(success)
            ));
        }
    }
    Ok(())
}

fn list(ids: &[String], none: &str, some: &str) -> String {
    if ids.is_empty() {
        none.to_owned()
    } else {
        format!("{some} {}", ids.join(", "))
    }
}

fn check_call(call: &ToolCall, prompt: &Prompt) -> Result<(), String> {
    let tools = &prompt.tools;
    let Some(tool) = tools.iter().find(|tool| tool.name == call.name) else {
        let offered: Vec<&str> = tools.iter().map(|tool| tool.name.as_str()).collect();
        return Err(format!(
            "it calls the tool {}, which is not offered; offered are: {}",
            call.name,
            if offered.is_empty() {
                "none".to_owned()
            } else {
                offered.join(", ")
            }
        ));
    };
    match tool.input {
        ToolInput::Json(_) if call.text => Err(format!(
            "it calls the tool {} with plain text, and the tool takes JSON",
            call.name
        )),
        // A provider without text tools calls them with JSON.
        ToolInput::Json(_) | ToolInput::Text => Ok(()),
    }
}

impl Model for Replay {
    fn provider(&self) -> &str {
        NAME
    }

    fn endpoint(&self) -> &str {
        NAME
    }

    fn stream(&self, prompt: Prompt) -> Box<dyn ModelStream + '_> {
        Box::new(ReplayStream {
            replay: self,
            prompt: Some(prompt),
            out: VecDeque::new(),
        })
    }
}

struct ReplayStream<'a> {
    replay: &'a Replay,
    prompt: Option<Prompt>,
    out: VecDeque<ModelEvent>,
}

impl ModelStream for ReplayStream<'_> {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<ModelEvent, ModelError>>> {
        Box::pin(async move {
            if let Some(prompt) = self.prompt.take() {
                match self.replay.take(&prompt) {
                    Ok(response) => self.out = events(&response.line),
                    Err(error) => return Some(Err(error)),
                }
            }
            self.out.pop_front().map(Ok)
        })
    }
}

/// In the order in which a provider's answer is handed out: what is shown, then the items.
fn events(line: &Line) -> VecDeque<ModelEvent> {
    let mut out = VecDeque::new();
    for item in &line.items {
        match item {
            Item::Assistant { text, .. } if !text.is_empty() => {
                out.push_back(ModelEvent::TextDelta(text.clone()));
            }
            Item::Reasoning { text, .. } if !text.is_empty() => {
                out.push_back(ModelEvent::ReasoningDelta(text.clone()));
            }
            _ => {}
        }
    }
    out.extend(line.items.iter().cloned().map(ModelEvent::Item));
    out.push_back(ModelEvent::Completed {
        usage: line.usage,
        stop: line.stop.into(),
    });
    out
}
