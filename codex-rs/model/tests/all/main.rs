//! The engine, recording and replay against a scripted server on loopback.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod chat;
mod failures;
mod messages;
mod record_replay;
mod schema;
mod turns;

use std::time::Duration;

use codex_http::{Client, ClientOptions, Secret};
use codex_model::{HttpModel, Provider, WireApi, http_model};
use codex_protocol::model::{
    Item, Model, ModelError, ModelEvent, Prompt, ReasoningEffort, StopReason,
};
use codex_protocol::tool::{ToolInput, ToolSpec};
use codex_test_support::ScriptedModel;
use serde_json::json;

/// The key of every test. No text may hold it.
const KEY: &str = "sk-test-0123456789";

fn provider(server: &ScriptedModel) -> Provider {
    let mut provider = Provider::new("scripted", server.base_url(), WireApi::Responses);
    provider.key_variables = vec!["SCRIPTED_API_KEY".to_owned()];
    provider.key = Some(Secret::new(KEY));
    provider
}

fn model(provider: Provider) -> HttpModel {
    http_model(provider, Client::new(ClientOptions::default())).unwrap()
}

fn tools() -> Vec<ToolSpec> {
    let tool = |name: &str, input| ToolSpec {
        name: name.to_owned(),
        description: format!("The tool {name}."),
        input,
    };
    vec![
        tool(
            "shell",
            ToolInput::Json(json!({
                "type": "object",
                "properties": { "command": { "type": "string" } },
                "required": ["command"],
            })),
        ),
        tool("apply_patch", ToolInput::Text),
    ]
}

fn prompt(items: Vec<Item>) -> Prompt {
    Prompt {
        model: "gpt-5".to_owned(),
        instructions: "Be brief.".to_owned(),
        items,
        tools: tools(),
        effort: Some(ReasoningEffort::Low),
        cache_key: "session-1".to_owned(),
        ..Prompt::default()
    }
}

/// Everything that came of one request.
#[derive(Debug, Default, PartialEq)]
struct Answer {
    /// Without the deltas of attempts that failed.
    text: String,
    reasoning: String,
    items: Vec<Item>,
    /// The attempt that comes next, the wait in milliseconds, and the reason.
    retries: Vec<(u32, u64, String)>,
    completed: Option<ModelEvent>,
    error: Option<ModelError>,
}

impl Answer {
    #[track_caller]
    fn failed(self) -> ModelError {
        assert_eq!((&self.items, &self.completed), (&vec![], &None));
        let error = self.error.expect("the request fails");
        assert!(!error.message.contains(KEY), "{}", error.message);
        error
    }

    fn stop(&self) -> Option<StopReason> {
        match &self.completed {
            Some(ModelEvent::Completed { stop, .. }) => Some(*stop),
            _ => None,
        }
    }
}

/// Plays a request to its end, checking what every stream promises.
async fn ask(model: &dyn Model, prompt: Prompt) -> Answer {
    let mut answer = Answer::default();
    let mut stream = model.stream(prompt);
    let all = async {
        while let Some(event) = stream.next().await {
            assert!(answer.completed.is_none() && answer.error.is_none());
            match event {
                Ok(ModelEvent::TextDelta(text)) => answer.text.push_str(&text),
                Ok(ModelEvent::ReasoningDelta(text)) => answer.reasoning.push_str(&text),
                Ok(ModelEvent::Item(item)) => answer.items.push(item),
                Ok(ModelEvent::Retrying {
                    reason,
                    attempt,
                    delay_ms,
                }) => {
                    assert!(answer.items.is_empty(), "an item is taken back");
                    answer.text.clear();
                    answer.reasoning.clear();
                    answer.retries.push((attempt, delay_ms, reason));
                }
                Ok(completed @ ModelEvent::Completed { .. }) => answer.completed = Some(completed),
                Err(error) => answer.error = Some(error),
            }
        }
        assert!(answer.completed.is_some() != answer.error.is_some());
        assert!(stream.next().await.is_none(), "a stream ends once");
    };
    tokio::time::timeout(Duration::from_secs(60), all)
        .await
        .expect("a request ends");
    answer
}
