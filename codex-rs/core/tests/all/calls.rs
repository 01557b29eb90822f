//! Calls of one answer: which run side by side, and in which order the answers come.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use codex_core::session::{Parts, Session, TurnError, TurnLimits};
use codex_protocol::model::{
    Item, Model, ModelError, ModelEvent, ModelStream, Prompt, StopReason, Usage,
};
use codex_protocol::permission::Permissions;
use codex_protocol::security_profile::SecurityProfile;
use codex_protocol::tool::{
    Access, BoxFuture, Fatal, Tool, ToolCall, ToolInput, ToolOutput, ToolSpec,
};
use tokio::sync::Barrier;
use tokio_util::sync::CancellationToken;

use super::stage::{Events, Logging, Stage};

/// Makes these calls, then says that it is done.
struct Scripted(Vec<(&'static str, &'static str)>);

struct Answer(std::vec::IntoIter<ModelEvent>);

impl ModelStream for Answer {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<ModelEvent, ModelError>>> {
        Box::pin(std::future::ready(self.0.next().map(Ok)))
    }
}

impl Model for Scripted {
    fn provider(&self) -> &str {
        "scripted"
    }

    fn endpoint(&self) -> &str {
        "nowhere"
    }

    fn stream(&self, prompt: Prompt) -> Box<dyn ModelStream + '_> {
        let answered = prompt
            .items
            .iter()
            .any(|item| matches!(item, Item::ToolOutput { .. }));
        let call = |(id, name): &(&str, &str)| {
            let call = ToolCall {
                call_id: (*id).to_owned(),
                name: (*name).to_owned(),
                arguments: String::new(),
                text: false,
            };
            ModelEvent::Item(Item::ToolCall { call, native: None })
        };
        let mut events: Vec<ModelEvent> = if answered {
            Vec::new()
        } else {
            self.0.iter().map(call).collect()
        };
        events.push(ModelEvent::Completed {
            usage: Usage::default(),
            stop: StopReason::Done,
        });
        Box::new(Answer(events.into_iter()))
    }
}

/// Waits for as many others of its kind as the barrier wants, or forever.
struct Meets {
    access: Access,
    barrier: Barrier,
    journal: Arc<Mutex<Vec<String>>>,
}

impl Tool for Meets {
    fn spec(&self) -> ToolSpec {
        let name = match self.access {
            Access::ReadOnly => "reads",
            Access::Writes => "writes",
        };
        ToolSpec {
            name: name.to_owned(),
            description: String::new(),
            input: ToolInput::Text,
        }
    }

    fn access(&self) -> Access {
        self.access
    }

    fn call<'a>(
        &'a self,
        call: &'a ToolCall,
        _: &'a Permissions,
    ) -> BoxFuture<'a, Result<ToolOutput, Fatal>> {
        Box::pin(async move {
            let note = |what: &str| {
                let line = format!("{what} {}", call.call_id);
                self.journal.lock().unwrap().push(line);
            };
            note("start");
            // The last to come is the first to end.
            let leads = self.barrier.wait().await.is_leader();
            if !leads {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            note("end");
            Ok(ToolOutput {
                text: format!("answer to {}", call.call_id),
                success: true,
            })
        })
    }
}

/// The answers as the conversation holds them, the journal, and how the turn ended.
fn turn(
    calls: &[(&'static str, &'static str)],
    readers: usize,
    interrupt_after: Option<Duration>,
) -> (Vec<(String, String)>, Vec<String>, Option<TurnError>) {
    let stage = Stage::new();
    let journal = Arc::new(Mutex::new(Vec::new()));
    let tool = |access, number| -> Box<dyn Tool> {
        Box::new(Meets {
            access,
            barrier: Barrier::new(number),
            journal: Arc::clone(&journal),
        })
    };
    let log = Arc::new(Logging::new(stage.root()));
    let parts = Parts {
        permissions: stage.permissions(SecurityProfile::Offline, log, Arc::new(Events::default())),
        model: Box::new(Scripted(calls.to_vec())),
        model_name: "m".to_owned(),
        tools: vec![tool(Access::ReadOnly, readers), tool(Access::Writes, 1)],
        compact_schemas: false,
        instructions: String::new(),
        effort: None,
        output_schema: None,
        store: None,
        items: Vec::new(),
        limits: TurnLimits::default(),
        context_window: 100_000,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (ended, items) = runtime.block_on(async {
        let mut session = Session::new(parts).unwrap();
        let interrupt = CancellationToken::new();
        let stop = async {
            match interrupt_after {
                Some(after) => tokio::time::sleep(after).await,
                None => std::future::pending().await,
            }
            interrupt.cancel();
            std::future::pending::<()>().await;
        };
        let ended = tokio::select! {
            ended = session.turn(Vec::new(), &interrupt) => ended,
            () = stop => unreachable!(),
        };
        (ended, session.end().await.0)
    });
    let answers = items.into_iter().filter_map(|item| match item {
        Item::ToolOutput {
            call_id, output, ..
        } => Some((call_id, output)),
        _ => None,
    });
    let journal = journal.lock().unwrap().clone();
    (answers.collect(), journal, ended.err())
}

#[test]
fn readers_meet_and_writers_are_alone() {
    let calls = [
        ("r1", "reads"),
        ("r2", "reads"),
        ("r3", "reads"),
        ("w1", "writes"),
        ("w2", "writes"),
    ];
    // Each reader waits until all three are at work: one after the other would hang.
    let (answers, journal, ended) = turn(&calls, 3, None);
    assert!(ended.is_none(), "{ended:?}");
    let expected: Vec<(String, String)> = calls
        .iter()
        .map(|(id, _)| ((*id).to_owned(), format!("answer to {id}")))
        .collect();
    assert_eq!(answers, expected);
    assert_eq!(journal[..3], ["start r1", "start r2", "start r3"]);
    assert_eq!(
        journal[6..],
        ["start w1", "end w1", "start w2", "end w2"],
        "{journal:?}"
    );
}

#[test]
fn readers_do_not_pass_a_writer() {
    let calls = [("r1", "reads"), ("w1", "writes"), ("r2", "reads")];
    let (answers, journal, ended) = turn(&calls, 1, None);
    assert!(ended.is_none() && answers.len() == 3);
    assert_eq!(
        journal,
        [
            "start r1", "end r1", "start w1", "end w1", "start r2", "end r2"
        ]
    );
}

#[test]
fn an_interrupted_turn_answers_every_call() {
    let calls = [("r1", "reads"), ("r2", "reads"), ("w1", "writes")];
    let (answers, journal, ended) = turn(&calls, 3, Some(Duration::from_millis(50)));
    assert!(matches!(ended, Some(TurnError::Interrupted)), "{ended:?}");
    let ids: Vec<&str> = answers.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(ids, ["r1", "r2", "w1"]);
    assert!(answers.iter().all(|(_, text)| text.contains("interrupted")));
    assert_eq!(journal, ["start r1", "start r2"]);
}
