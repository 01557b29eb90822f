//! Answering the calls of one answer of the model.
//!
//! Neighbouring calls that change nothing run side by side, each other one alone. The answers go
//! into the conversation in the order of the calls, and every call gets one.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Instant;

use codex_protocol::model::Item;
use codex_protocol::permission::Permissions;
use codex_protocol::tool::{Access, BoxFuture, Fatal, Tool, ToolCall, ToolOutput};
use futures_util::{StreamExt as _, stream};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::output;
use crate::session::{TurnError, interrupted, output_item, until};
use crate::spans;
use crate::store::StoreError;

/// How many calls of one answer are run; the rest are answered with this limit.
const CALLS_PER_ANSWER: usize = 64;

/// How many calls run side by side: enough to hide waiting, few enough for a laptop.
const SIDE_BY_SIDE: usize = 8;

/// After how many times of the same in a row the model is told so. Twice can be a second look.
const REPEATS_TOLD: usize = 3;

/// After how many times of the same in a row the turn ends: three answers said so by then.
const REPEATS_ENDED: usize = 6;

/// The longest cycle that is noticed, in answers: A, B, C, A, B, C.
const LONGEST_CYCLE: usize = 3;

/// What the calls of an answer are run with.
pub(crate) struct Answering<'a> {
    pub(crate) tools: &'a [Box<dyn Tool>],
    pub(crate) permissions: &'a Permissions,
    pub(crate) interrupt: &'a CancellationToken,
    pub(crate) deadline: Option<Instant>,
}

impl Answering<'_> {
    /// Runs the calls and gives an answer to each to `push`, in order, also when the turn ends
    /// early.
    pub(crate) async fn answer(
        &self,
        calls: &[ToolCall],
        repeats: &mut Repeats,
        mut push: impl FnMut(Item) -> Result<(), StoreError>,
    ) -> Result<(), TurnError> {
        let mut stopped: Option<TurnError> = None;
        let mut all = DefaultHasher::new();
        let (run, beyond) = calls.split_at(calls.len().min(CALLS_PER_ANSWER));
        let mut left = run.len();
        for batch in run.chunk_by(|a, b| self.reads(a) && self.reads(b)) {
            // Boxed, so that the compiler sees that a turn may move between threads.
            let running: Vec<BoxFuture<'_, Result<ToolOutput, Fatal>>> = batch
                .iter()
                .map(|call| Box::pin(self.call(call)) as BoxFuture<'_, Result<ToolOutput, Fatal>>)
                .collect();
            let mut answers = Some(stream::iter(running).buffered(SIDE_BY_SIDE));
            for call in batch {
                let next = async {
                    match &mut answers {
                        Some(answers) => answers.next().await,
                        None => None,
                    }
                };
                let answered = until(self.interrupt, self.deadline, next).await;
                let mut output = match answered {
                    _ if stopped.is_some() => interrupted(),
                    Ok(Some(Ok(output))) => output,
                    // There is an answer for each call of the batch.
                    Ok(None) => interrupted(),
                    Ok(Some(Err(fatal))) => {
                        stopped = Some(fatal.into());
                        interrupted()
                    }
                    Err(early) => {
                        stopped = Some(early);
                        interrupted()
                    }
                };
                if stopped.is_some() {
                    // Ends what is still running.
                    answers = None;
                }
                output.text = output::limited(output.text);
                (&call.name, &call.arguments, &output.text).hash(&mut all);
                left -= 1;
                if left == 0 && stopped.is_none() {
                    let times = repeats.add(all.finish());
                    stopped = repeated(calls, times, &mut output);
                }
                push(output_item(call, &output))?;
            }
        }
        for call in beyond {
            let text = format!(
                "not run: one answer may hold {CALLS_PER_ANSWER} calls; make the rest in the next"
            );
            let output = ToolOutput {
                text,
                success: false,
            };
            push(output_item(call, &output))?;
        }
        stopped.map_or(Ok(()), Err)
    }

    fn tool(&self, call: &ToolCall) -> Option<&dyn Tool> {
        let tool = self.tools.iter().find(|t| t.spec().name == call.name);
        tool.map(|tool| &**tool)
    }

    /// Whether a call may run beside others. One of a tool that does not exist does nothing.
    fn reads(&self, call: &ToolCall) -> bool {
        self.tool(call)
            .is_none_or(|tool| tool.access() == Access::ReadOnly)
    }

    async fn call(&self, call: &ToolCall) -> Result<ToolOutput, Fatal> {
        let known = self.tool(call).is_some();
        let span = spans::tool_call(self.permissions, call, known);
        let answered = self.run(call).instrument(span.clone()).await;
        spans::tool_answered(&span, &answered);
        answered
    }

    async fn run(&self, call: &ToolCall) -> Result<ToolOutput, Fatal> {
        if let Some(tool) = self.tool(call) {
            return tool.call(call, self.permissions).await;
        }
        let known: Vec<String> = self.tools.iter().map(|t| t.spec().name).collect();
        let text = format!(
            "there is no tool '{}'; the tools are {}",
            short(&call.name),
            known.join(", ")
        );
        Ok(ToolOutput {
            text,
            success: false,
        })
    }
}

/// A name as the model wrote it, fit to be shown.
fn short(name: &str) -> String {
    let name: String = name.chars().take(64).collect();
    name.escape_debug().to_string()
}

/// Tells the model of a loop, and gives the reason to end it.
fn repeated(calls: &[ToolCall], times: usize, output: &mut ToolOutput) -> Option<TurnError> {
    if times < REPEATS_TOLD {
        return None;
    }
    output.text.push_str(&format!(
        "\n[the same calls have now given the same results {times} times in a row. Do something else, or say what \
         keeps you; after {REPEATS_ENDED} times the turn is ended]"
    ));
    (times >= REPEATS_ENDED).then(|| {
        let name = calls.first().map_or_else(String::new, |c| short(&c.name));
        TurnError::Limit(format!(
            "the model went round in a circle: the same calls ({name}) gave the same results {times} times in a row; \
             give it another task or more to go on, or use another model"
        ))
    })
}

/// What the last answers' calls were and gave, to notice when a model goes round in a circle.
///
/// A whole answer counts as one: a model may well make one call several times side by side.
#[derive(Default)]
pub(crate) struct Repeats {
    /// A fingerprint of each, the newest last.
    answers: VecDeque<u64>,
}

impl Repeats {
    /// Takes in an answer; gives how many times in a row the newest cycle has come.
    fn add(&mut self, answer: u64) -> usize {
        self.answers.push_back(answer);
        if self.answers.len() > LONGEST_CYCLE * REPEATS_ENDED {
            self.answers.pop_front();
        }
        (1..=LONGEST_CYCLE)
            .map(|length| self.cycles(length))
            .max()
            .unwrap_or(1)
    }

    /// How many times in a row the newest `length` answers have come.
    fn cycles(&self, length: usize) -> usize {
        let newest = self.answers.iter().rev();
        let before = newest.clone().skip(length);
        let same = newest.zip(before).take_while(|(a, b)| a == b).count();
        1 + same / length
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(answers: &[u64]) -> Vec<usize> {
        let mut repeats = Repeats::default();
        answers.iter().map(|a| repeats.add(*a)).collect()
    }

    #[test]
    fn circles_are_counted_whatever_their_length() {
        assert_eq!(times(&[1, 1, 1, 2, 1, 1]), [1, 2, 3, 1, 1, 2]);
        assert_eq!(times(&[1, 2, 1, 2, 1, 2]), [1, 1, 1, 2, 2, 3]);
        assert_eq!(times(&[1, 2, 3, 1, 2, 3, 1, 2, 3])[8], 3);
        assert_eq!(times(&[1, 2, 3, 4, 1, 2, 3, 4]), [1; 8]);
        assert_eq!(times(&[7; 40])[39], LONGEST_CYCLE * REPEATS_ENDED);
    }
}
