//! A front end, scripted, whose person changes the profile between turns.

use std::sync::Arc;

use codex_core::places;
use codex_core::session::{Parts, Session, TurnLimits};
use codex_protocol::event::{Event, ItemDetails};
use codex_protocol::model::{
    Content, Item, Model, ModelError, ModelEvent, ModelStream, Prompt, StopReason, Usage,
};
use codex_protocol::operation::{Operation, Outcome};
use codex_protocol::permission::Permissions;
use codex_protocol::policy::Policy;
use codex_protocol::profile_change::ProfileChange;
use codex_protocol::security_profile::SecurityProfile;
use codex_protocol::tool::{
    Access, BoxFuture, Fatal, Tool, ToolCall, ToolInput, ToolOutput, ToolSpec,
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::stage::{Events, Logging, Refusing, Stage};

/// Writes, in each turn, the file that the person names.
struct Writer;

struct Answer(std::vec::IntoIter<ModelEvent>);

impl ModelStream for Answer {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<ModelEvent, ModelError>>> {
        Box::pin(std::future::ready(self.0.next().map(Ok)))
    }
}

impl Model for Writer {
    fn provider(&self) -> &str {
        "scripted"
    }

    fn endpoint(&self) -> &str {
        "nowhere"
    }

    fn stream(&self, prompt: Prompt) -> Box<dyn ModelStream + '_> {
        let mut events = Vec::new();
        if let Some(Item::User { content }) = prompt.items.last()
            && let Some(Content::Text { text }) = content.last()
        {
            let call = ToolCall {
                call_id: format!("call-{text}"),
                name: "write_file".to_owned(),
                arguments: json!({ "path": text, "content": "written" }).to_string(),
                text: false,
            };
            events.push(ModelEvent::Item(Item::ToolCall { call, native: None }));
        }
        events.push(ModelEvent::Completed {
            usage: Usage::default(),
            stop: StopReason::Done,
        });
        Box::new(Answer(events.into_iter()))
    }
}

struct Played {
    stage: Stage,
    log: Arc<Logging>,
    events: Arc<Events>,
    refused: Vec<String>,
    items: Vec<Item>,
}

/// Plays the script: a text is a turn's input, an object what the front end sends between turns.
fn play(profile: SecurityProfile, bound: Option<SecurityProfile>, script: &[Value]) -> Played {
    play_with(profile, bound, script, None)
}

fn play_with(
    profile: SecurityProfile,
    bound: Option<SecurityProfile>,
    script: &[Value],
    further: Option<Box<dyn Tool>>,
) -> Played {
    let stage = Stage::new();
    let log = Arc::new(Logging::new(stage.root()));
    let events = Arc::new(Events::default());
    let mut permissions =
        stage.permissions(profile, Arc::clone(&log) as _, Arc::clone(&events) as _);
    if let Some(bound) = bound {
        let own = permissions.policy().own().clone();
        let outer = places::layer(bound, own.places.clone());
        permissions = permissions.with_policy(Policy::new(outer).narrow(own));
    }
    let mut tools = stage.tools();
    tools.extend(further);
    let mut session = session(permissions, tools);
    let workbench = stage.workbench();
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    let mut refused = Vec::new();
    let items = runtime.block_on(async {
        for line in script {
            if let Some(text) = line.as_str() {
                let input = vec![Content::Text {
                    text: text.to_owned(),
                }];
                session
                    .turn(input, &CancellationToken::new())
                    .await
                    .unwrap();
                continue;
            }
            let change: ProfileChange = serde_json::from_str(&line.to_string()).unwrap();
            if let Err(error) = session.change_profile(&change, &workbench) {
                refused.push(error.to_string());
            }
        }
        session.end().await.0
    });
    Played {
        stage,
        log,
        events,
        refused,
        items,
    }
}

fn session(permissions: Permissions, tools: Vec<Box<dyn Tool>>) -> Session {
    let parts = Parts {
        permissions,
        model: Box::new(Writer),
        model_name: "m".to_owned(),
        tools,
        compact_schemas: false,
        instructions: String::new(),
        effort: None,
        output_schema: None,
        store: None,
        items: Vec::new(),
        limits: TurnLimits::default(),
        context_window: 100_000,
    };
    Session::new(parts).unwrap()
}

fn change(profile: &str, until: &str) -> Value {
    json!({ "profile": profile, "until": until, "front_end": "scripted" })
}

impl Played {
    fn written(&self, name: &str) -> bool {
        self.stage.workspace().join(name).exists()
    }

    /// The records of changes: target, outcome, rule, profile, and the detail.
    fn changes(&self) -> Vec<(String, Outcome, String, SecurityProfile, Value)> {
        let entries = self.log.entries.lock().unwrap();
        let changes = entries.iter().map(|(entry, _)| entry);
        changes
            .filter(|entry| entry.operation == Operation::ProfileChange)
            .map(|entry| {
                let detail = entry.detail.clone().unwrap();
                (
                    entry.target.clone(),
                    entry.outcome,
                    entry.rule.clone(),
                    entry.subject.profile,
                    detail,
                )
            })
            .collect()
    }

    /// Under which profile each write was decided, and how.
    fn writes(&self) -> Vec<(SecurityProfile, Outcome)> {
        let entries = self.log.entries.lock().unwrap();
        let writes = entries.iter().map(|(entry, _)| entry);
        writes
            .filter(|entry| entry.operation == Operation::FileWrite)
            .map(|entry| (entry.subject.profile, entry.outcome))
            .collect()
    }
}

const OFFLINE: SecurityProfile = SecurityProfile::Offline;
const WRITE: SecurityProfile = SecurityProfile::WorkspaceWrite;

#[test]
fn a_raise_holds_from_the_next_turn_to_the_sessions_end_and_is_recorded() {
    let played = play(
        OFFLINE,
        None,
        &[
            json!("one"),
            change("WorkspaceWrite", "end_of_session"),
            json!("two"),
            json!("three"),
            change("Offline", "end_of_session"),
            json!("four"),
        ],
    );
    assert_eq!(played.refused, Vec::<String>::new());
    let written = ["one", "two", "three", "four"].map(|name| played.written(name));
    assert_eq!(written, [false, true, true, false]);
    let profiles: Vec<_> = played.writes().into_iter().map(|(p, _)| p).collect();
    assert_eq!(profiles.first(), Some(&OFFLINE));
    assert!(profiles.contains(&WRITE));
    assert_eq!(profiles.last(), Some(&OFFLINE));
    let who = |from: &str| json!({ "from": from, "by": "scripted", "until": "end of session" });
    let expected = vec![
        (
            "profile WorkspaceWrite".to_owned(),
            Outcome::Allowed,
            "profile.chosen".to_owned(),
            WRITE,
            who("Offline"),
        ),
        (
            "profile Offline".to_owned(),
            Outcome::Allowed,
            "profile.chosen".to_owned(),
            OFFLINE,
            who("WorkspaceWrite"),
        ),
    ];
    assert_eq!(played.changes(), expected);
    let shown = played.events.0.lock().unwrap();
    let shown = shown.iter().filter(|event| {
        matches!(event, Event::ItemCompleted { item }
            if matches!(&item.details, ItemDetails::PolicyDecision { operation, decision, audit_seq, .. }
                if operation == "profile_change" && decision == "allowed" && audit_seq.is_some()))
    });
    assert_eq!(shown.count(), 2);
    // The model is told, once for each.
    let told = played.items.iter().filter(|item| {
        matches!(item, Item::User { content }
            if matches!(content.first(), Some(Content::Text { text }) if text.contains("It is now")))
    });
    assert_eq!(told.count(), 2);
}

#[test]
fn a_raise_for_one_turn_ends_with_it() {
    let played = play(
        OFFLINE,
        None,
        &[
            change("WorkspaceWrite", "end_of_turn"),
            json!("one"),
            json!("two"),
        ],
    );
    assert!(played.written("one"));
    assert!(!played.written("two"));
    let changes = played.changes();
    let rules: Vec<_> = changes.iter().map(|change| change.2.as_str()).collect();
    assert_eq!(rules, ["profile.chosen", "profile.ended"]);
    assert_eq!(changes[0].4["until"], "end of turn");
    assert_eq!(changes[1].3, OFFLINE);
}

#[test]
fn nothing_reaches_beyond_what_an_administrator_allows() {
    let played = play(
        OFFLINE,
        Some(OFFLINE),
        &[
            change("WorkspaceWrite", "end_of_session"),
            change("Trusted", "end_of_turn"),
            json!("one"),
        ],
    );
    assert!(!played.written("one"));
    assert_eq!(played.refused.len(), 2);
    assert!(
        played.refused[0].contains("beyond the bound"),
        "{:?}",
        played.refused
    );
    for (_, outcome, rule, profile, _) in played.changes() {
        assert_eq!(
            (outcome, rule.as_str(), profile),
            (Outcome::Denied, "profile.bound", OFFLINE)
        );
    }
    assert_eq!(played.changes().len(), 2);
}

#[test]
fn what_cannot_be_enforced_is_not_taken() {
    // Hosts are reached through a proxy, and this session has none.
    let played = play(
        OFFLINE,
        None,
        &[change("NetReadOnly", "end_of_session"), json!("one")],
    );
    assert!(
        played.refused[0].contains("egress proxy"),
        "{:?}",
        played.refused
    );
    assert!(!played.written("one"));
    let (_, outcome, rule, profile, _) = played.changes().pop().unwrap();
    assert_eq!(
        (outcome, rule.as_str(), profile),
        (Outcome::Denied, "profile.level", OFFLINE)
    );
}

/// As the tools of agents, which go on with the rights that they began with.
struct Keeps;

impl Tool for Keeps {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: "keeps".to_owned(),
            description: String::new(),
            input: ToolInput::Text,
        }
    }

    fn access(&self) -> Access {
        Access::Writes
    }

    fn keeps_rights(&self) -> bool {
        true
    }

    fn call<'a>(
        &'a self,
        _: &'a ToolCall,
        _: &'a Permissions,
    ) -> BoxFuture<'a, Result<ToolOutput, Fatal>> {
        Box::pin(std::future::ready(Ok(ToolOutput {
            text: String::new(),
            success: true,
        })))
    }
}

#[test]
fn where_rights_are_held_elsewhere_none_change() {
    let script = [change("Offline", "end_of_session")];
    let played = play_with(WRITE, None, &script, Some(Box::new(Keeps)));
    assert!(
        played.refused[0].contains("--profile offline"),
        "{:?}",
        played.refused
    );
    assert_eq!(played.changes()[0].1, Outcome::Denied);
}

#[test]
fn what_is_not_recorded_does_not_change() {
    let stage = Stage::new();
    let permissions = stage.permissions(OFFLINE, Arc::new(Refusing), Arc::new(Events::default()));
    let mut session = session(permissions, stage.tools());
    let change = serde_json::from_value(change("WorkspaceWrite", "end_of_session")).unwrap();
    assert!(session.change_profile(&change, &stage.workbench()).is_err());
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    let input = vec![Content::Text {
        text: "one".to_owned(),
    }];
    let interrupt = CancellationToken::new();
    assert!(runtime.block_on(session.turn(input, &interrupt)).is_err());
    assert!(!stage.workspace().join("one").exists());
}
