//! The tools with which a model starts agents of its own and works with them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use codex_core::paths;
use codex_protocol::decision::rule;
use codex_protocol::gate::Authorized;
use codex_protocol::ids::AgentType;
use codex_protocol::model::Content;
use codex_protocol::operation::Outcome;
use codex_protocol::permission::{NotPermitted, Permissions};
use codex_protocol::record::Recorded;
use codex_protocol::request::AgentSpawn;
use codex_protocol::security_profile::SecurityProfile;
use codex_protocol::tool::{
    Access, BoxFuture, Fatal, Tool, ToolCall, ToolInput, ToolOutput, ToolSpec,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::agent::SubAgent;
use crate::mailbox::{Mailbox, Sent};
use crate::manager::{SpawnError, SpawnRequest, Standing, SubAgentManager, Writes};
use crate::message::{self, Message};
use crate::narrow::{Budget, RightsRequest, Selection};
use crate::path::AgentName;
use crate::report::bounded;
use crate::state::State;

/// How long a message waits for room in a full mailbox: its reader is in a call of its own, or
/// about to be.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a wait for agents takes if the call does not say.
const DEFAULT_WAIT: Duration = Duration::from_mins(5);

/// How long a call may wait for agents.
const LONGEST_WAIT: Duration = Duration::from_mins(30);

/// How much of a task or a message its record has, in bytes.
const SHOWN: usize = 1000;

/// The largest argument text that a call may have, in bytes.
const LARGEST_ARGUMENTS: usize = 1 << 20;

/// What a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Spawn,
    Send,
    FollowUp,
    Wait,
    List,
    Close,
}

/// The names of the tools, for definitions and settings that choose among them.
pub const NAMES: [&str; 6] = [
    "spawn_agent",
    "send_message",
    "followup_task",
    "wait_agent",
    "list_agents",
    "close_agent",
];

struct AgentTool {
    act: Act,
    manager: Arc<SubAgentManager>,
    standing: Standing,
}

/// The tools of an agent of this standing: all of them where it may start agents, else what it
/// needs to tell its parent something.
pub(crate) fn for_agents(
    manager: &Arc<SubAgentManager>,
    standing: &Standing,
    may_start: bool,
) -> Vec<Box<dyn Tool>> {
    let acts: &[Act] = match (may_start, standing.path.parent()) {
        (true, _) => &[
            Act::Spawn,
            Act::Send,
            Act::FollowUp,
            Act::Wait,
            Act::List,
            Act::Close,
        ],
        (false, Some(_)) => &[Act::Send],
        (false, None) => &[],
    };
    let tool = |act: &Act| {
        Box::new(AgentTool {
            act: *act,
            manager: Arc::clone(manager),
            standing: standing.clone(),
        }) as Box<dyn Tool>
    };
    acts.iter().map(tool).collect()
}

/// Lets the first of the tools bring in the messages of this mailbox after each answer's calls.
pub(crate) fn reading(
    mut tools: Vec<Box<dyn Tool>>,
    mailbox: &Arc<Mailbox<Message>>,
) -> Vec<Box<dyn Tool>> {
    if let Some(first) = tools.first_mut() {
        let mailbox = Arc::clone(mailbox);
        let tool = std::mem::replace(first, Box::new(Nothing));
        *first = Box::new(ReadingTool { tool, mailbox });
    }
    tools
}

/// A tool that cannot be called, for the moment in which another takes its place.
struct Nothing;

impl Tool for Nothing {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: String::new(),
            description: String::new(),
            input: ToolInput::Text,
        }
    }

    fn access(&self) -> Access {
        Access::ReadOnly
    }

    fn call<'a>(
        &'a self,
        _: &'a ToolCall,
        _: &'a Permissions,
    ) -> BoxFuture<'a, Result<ToolOutput, Fatal>> {
        Box::pin(std::future::ready(Ok(failed("this tool does nothing"))))
    }
}

struct ReadingTool {
    tool: Box<dyn Tool>,
    mailbox: Arc<Mailbox<Message>>,
}

impl Tool for ReadingTool {
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
        self.tool.call(call, permissions)
    }

    fn take_shown(&self) -> Vec<Content> {
        let mut shown = self.tool.take_shown();
        shown.extend(message::drained(&self.mailbox));
        shown
    }

    fn end(&self) -> BoxFuture<'_, Result<(), Fatal>> {
        self.tool.end()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SpawnArguments {
    agent_type: String,
    task: String,
    name: Option<String>,
    profile: Option<String>,
    tools: Option<Vec<String>>,
    mcp_servers: Option<Vec<String>>,
    hosts: Option<Vec<String>>,
    allow_read: Option<Vec<PathBuf>>,
    allow_write: Option<Vec<PathBuf>>,
    allow_exec: Option<Vec<PathBuf>>,
    pass_env: Option<Vec<String>>,
    max_turns: Option<u32>,
    max_tokens: Option<u64>,
    timeout_secs: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ToldArguments {
    agent: String,
    #[serde(alias = "task", alias = "text")]
    message: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WaitArguments {
    #[serde(default)]
    agents: Vec<String>,
    timeout_secs: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CloseArguments {
    agent: String,
}

/// The profile that this word names on the command line.
#[must_use]
pub fn profile_of(word: &str) -> Option<SecurityProfile> {
    SecurityProfile::ALL
        .into_iter()
        .find(|profile| profile.flag() == word)
}

fn failed(text: impl Into<String>) -> ToolOutput {
    ToolOutput {
        text: text.into(),
        success: false,
    }
}

fn done(text: impl Into<String>) -> ToolOutput {
    ToolOutput {
        text: text.into(),
        success: true,
    }
}

impl AgentTool {
    async fn answer(&self, call: &ToolCall) -> Result<ToolOutput, Fatal> {
        let answered = match self.act {
            Act::Spawn => match self.arguments(call) {
                Ok(arguments) => self.spawn(arguments).await,
                Err(answer) => Err(answer),
            },
            Act::Send => match self.arguments(call) {
                Ok(arguments) => return self.send(arguments).await,
                Err(answer) => Err(answer),
            },
            Act::FollowUp => match self.arguments(call) {
                Ok(arguments) => return self.follow_up(arguments).await,
                Err(answer) => Err(answer),
            },
            Act::Wait => match self.arguments(call) {
                Ok(arguments) => self.wait(arguments).await,
                Err(answer) => Err(answer),
            },
            Act::List => Ok(done(self.list())),
            Act::Close => match self.arguments(call) {
                Ok(arguments) => self.close(arguments).await,
                Err(answer) => Err(answer),
            },
        };
        // A log that cannot be written ends the run by its token, which this call's turn has too.
        Ok(answered.unwrap_or_else(|answer| answer))
    }

    fn name(&self) -> &'static str {
        NAMES[self.act as usize]
    }

    fn arguments<T: DeserializeOwned>(&self, call: &ToolCall) -> Result<T, ToolOutput> {
        let text = if call.arguments.trim().is_empty() {
            "{}"
        } else {
            &call.arguments
        };
        if text.len() > LARGEST_ARGUMENTS {
            return Err(failed(format!(
                "the arguments of {} are larger than {LARGEST_ARGUMENTS} bytes",
                self.name()
            )));
        }
        serde_json::from_str(text).map_err(|e| {
            failed(format!(
                "the arguments of {} are not what it takes: {e}",
                self.name()
            ))
        })
    }

    /// The agent of this name below this one.
    fn agent(&self, name: &str) -> Result<Arc<SubAgent>, ToolOutput> {
        let own = &self.standing.path;
        let below = self.manager.below(own);
        let full = |agent: &Arc<SubAgent>| {
            let path = agent.path().as_str();
            path == name || path.strip_prefix(own.as_str()) == Some(&format!("/{name}"))
        };
        below
            .iter()
            .find(|agent| full(agent))
            .cloned()
            .ok_or_else(|| {
                let known: Vec<&str> = below.iter().map(|agent| agent.path().as_str()).collect();
                let known = match known.is_empty() {
                    true => "you have started none".to_owned(),
                    false => format!("yours are {}", known.join(", ")),
                };
                let name: String = name.chars().take(64).collect();
                failed(format!(
                    "there is no agent '{}'; {known}",
                    name.escape_debug()
                ))
            })
    }

    async fn spawn(&self, arguments: SpawnArguments) -> Result<ToolOutput, ToolOutput> {
        let kind = self
            .manager
            .catalog()
            .get(&arguments.agent_type)
            .map_err(failed)?
            .clone();
        let name = match &arguments.name {
            Some(name) => AgentName::new(name).map_err(|e| failed(e.to_string()))?,
            None => AgentName::from_words(&arguments.agent_type),
        };
        if arguments.task.trim().is_empty() {
            return Err(failed(
                "the task is empty: say what the agent is to do, and what to report",
            ));
        }
        let asked = self.asked(&arguments)?;
        let request = SpawnRequest {
            name,
            definition: kind.definition,
            bounds: kind.bounds,
            asked,
            task: arguments.task,
            writes: Writes::Apart,
        };
        match self.manager.spawn(&self.standing, request).await {
            Ok(agent) => Ok(done(format!(
                "started {}; wait_agent gives what it comes to",
                agent.path()
            ))),
            Err(SpawnError::Refused(reasons)) => Err(failed(format!(
                "denied: {}. Start it without that, do the work yourself, or tell the user what is needed.",
                reasons.join("; ")
            ))),
            Err(SpawnError::NoRecord(error)) => {
                let text = format!("not started: {error}");
                self.manager.fail(&Fatal(error));
                Err(failed(text))
            }
            Err(error) => Err(failed(format!("not started: {error}"))),
        }
    }

    fn asked(&self, arguments: &SpawnArguments) -> Result<RightsRequest, ToolOutput> {
        let profile = match &arguments.profile {
            None => None,
            Some(word) => Some(profile_of(word).ok_or_else(|| {
                failed("'profile' is one of offline, workspace-write, net-read-only and trusted")
            })?),
        };
        let names = |names: &Option<Vec<String>>| match names {
            None => Selection::All,
            Some(names) => Selection::only(names.iter().cloned()),
        };
        let places = &self.standing.rights.policy().own().places;
        let resolved = |list: &Option<Vec<PathBuf>>| -> Result<Option<Vec<PathBuf>>, ToolOutput> {
            let Some(list) = list else { return Ok(None) };
            let resolve = |path: &PathBuf| {
                let path = paths::expand_home(path, places.home.as_deref());
                paths::resolve(&places.workspace, &path)
                    .map_err(|e| failed(format!("'{}' cannot be granted: {e}", path.display())))
            };
            list.iter().map(resolve).collect::<Result<_, _>>().map(Some)
        };
        Ok(RightsRequest {
            profile,
            tools: names(&arguments.tools),
            mcp_servers: names(&arguments.mcp_servers),
            hosts: arguments.hosts.clone(),
            reads: resolved(&arguments.allow_read)?,
            writes: resolved(&arguments.allow_write)?,
            programs: resolved(&arguments.allow_exec)?,
            variables: arguments.pass_env.clone(),
            denied_reads: Vec::new(),
            budget: Budget {
                turns: arguments.max_turns,
                tokens: arguments.max_tokens,
                time: arguments.timeout_secs.map(Duration::from_secs),
            },
            places: None,
        })
    }

    async fn send(&self, arguments: ToldArguments) -> Result<ToolOutput, Fatal> {
        let own = &self.standing.path;
        let (to, agent_type, inbox) = match (arguments.agent.as_str(), own.parent()) {
            ("parent", Some(parent)) => {
                let agent = self.manager.agent(&parent);
                let agent_type = agent.map_or_else(
                    || AgentType::main().to_string(),
                    |agent| agent.agent_type().to_owned(),
                );
                (parent, agent_type, self.standing.parent_inbox.clone())
            }
            (name, _) => match self.agent(name) {
                Ok(agent) => (
                    agent.path().clone(),
                    agent.agent_type().to_owned(),
                    Some(agent.inbox().clone()),
                ),
                Err(answer) => return Ok(answer),
            },
        };
        let Some(inbox) = inbox else {
            return Ok(failed("there is nobody above to send this to"));
        };
        let what = AgentSpawn {
            path: to.to_string(),
            agent_type,
        };
        let detail = json!({ "phase": "message", "message": bounded(&arguments.message, SHOWN) });
        if let Err(answer) = self.permitted(what, detail).await? {
            return Ok(answer);
        }
        let message = Message::new(own.clone(), &arguments.message);
        let sent = tokio::time::timeout(PATIENCE, inbox.send(message)).await;
        let (answer, dropped) = match sent {
            Ok(Sent::Delivered) => (done(format!("delivered to {to}")), None),
            Ok(Sent::DroppedOldest) => (
                done(format!(
                    "delivered to {to}; its mailbox was full, and its oldest message was dropped for it"
                )),
                Some("the oldest message was dropped for a new one"),
            ),
            Ok(Sent::DroppedNew) => (
                failed(format!(
                    "not delivered: the mailbox of {to} is full; try again once it has read"
                )),
                Some("a new message was dropped"),
            ),
            Ok(Sent::Closed) => (
                failed(format!("not delivered: {to} has ended")),
                Some("its reader has ended"),
            ),
            Err(_) => (
                failed(format!(
                    "not delivered: the mailbox of {to} was full for {} s; try again once it has read",
                    PATIENCE.as_secs()
                )),
                Some("a new message waited for room in vain"),
            ),
        };
        if let Some(why) = dropped {
            let detail = json!({ "messages": inbox.counts() });
            let on_behalf = &self.standing.permissions;
            self.manager.record(
                on_behalf,
                &to,
                rule::AGENT_MAILBOX,
                Outcome::Denied,
                &format!("its mailbox: {why}"),
                Some(detail),
            )?;
        }
        Ok(answer)
    }

    async fn follow_up(&self, arguments: ToldArguments) -> Result<ToolOutput, Fatal> {
        let agent = match self.agent(&arguments.agent) {
            Ok(agent) => agent,
            Err(answer) => return Ok(answer),
        };
        let what = AgentSpawn {
            path: agent.path().to_string(),
            agent_type: agent.agent_type().to_owned(),
        };
        let detail = json!({ "phase": "follow_up", "task": bounded(&arguments.message, SHOWN) });
        let permitted = match self.permitted(what, detail).await? {
            Ok(permitted) => permitted,
            Err(answer) => return Ok(answer),
        };
        let task = vec![Content::Text {
            text: arguments.message,
        }];
        let Err(error) = agent.follow_up(task) else {
            return Ok(done(format!("{} is at it", agent.path())));
        };
        let outcome = json!({ "failed": error.to_string() });
        self.standing
            .permissions
            .record_outcome(&permitted, outcome)?;
        Ok(failed(format!("{}: {error}", agent.path())))
    }

    /// Asks for what has an agent do something, and writes it down; gives what is answered where
    /// that is denied.
    async fn permitted(
        &self,
        what: AgentSpawn,
        detail: Value,
    ) -> Result<Result<Recorded<Authorized<AgentSpawn>>, ToolOutput>, Fatal> {
        match self.standing.permissions.require(what, Some(detail)).await {
            Ok(permitted) => Ok(Ok(permitted)),
            Err(NotPermitted::Denied { decision, .. }) => {
                Ok(Err(failed(format!("denied: {}", decision.explanation()))))
            }
            Err(NotPermitted::NoRecord(error)) => Err(error.into()),
        }
    }

    async fn wait(&self, arguments: WaitArguments) -> Result<ToolOutput, ToolOutput> {
        let own = &self.standing.path;
        let agents: Vec<Arc<SubAgent>> = if arguments.agents.is_empty() {
            let children = self.manager.below(own).into_iter();
            children
                .filter(|agent| agent.path().parent().as_ref() == Some(own))
                .filter(|agent| agent.state() != State::Closed || agent.report().is_some())
                .collect()
        } else {
            let named = arguments.agents.iter().map(|name| self.agent(name));
            named.collect::<Result<_, _>>()?
        };
        if agents.is_empty() {
            return Err(failed(
                "there is no agent to wait for: you have started none",
            ));
        }
        let wait = arguments
            .timeout_secs
            .map_or(DEFAULT_WAIT, Duration::from_secs)
            .min(LONGEST_WAIT);
        let begun = Instant::now();
        let all = async {
            for agent in &agents {
                agent.done().await;
            }
        };
        let in_time = tokio::time::timeout(wait, all).await.is_ok();
        let mut text = String::new();
        for agent in &agents {
            let state = agent.state();
            text.push_str(&format!("## {} ({state})\n", agent.path()));
            match agent.report() {
                _ if state.is_at_work() => text.push_str(&format!(
                    "still at work after {:.1} s of waiting\n\n",
                    begun.elapsed().as_secs_f32()
                )),
                Some(report) => text.push_str(&format!("{}\n\n", report.summary())),
                None => text.push_str("ended before it began\n\n"),
            }
        }
        Ok(ToolOutput {
            text,
            success: in_time,
        })
    }

    fn list(&self) -> String {
        let agents = self.manager.below(&self.standing.path);
        if agents.is_empty() {
            return "no agents".to_owned();
        }
        let lines = agents.iter().map(|agent| {
            let counts = agent.inbox().counts();
            let unread = counts.sent - counts.taken - counts.dropped - counts.undelivered;
            let mut line = format!(
                "{} ({}): {}; {unread} unread",
                agent.path(),
                agent.agent_type(),
                agent.state()
            );
            if counts.dropped > 0 {
                line.push_str(&format!(", {} dropped", counts.dropped));
            }
            line.push_str(&format!("; task: {}", agent.task().replace('\n', " ")));
            line
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    async fn close(&self, arguments: CloseArguments) -> Result<ToolOutput, ToolOutput> {
        let agent = self.agent(&arguments.agent)?;
        self.manager.end(agent.path()).await;
        let came_to = agent
            .report()
            .map_or_else(|| "ended before it began".to_owned(), |r| r.summary());
        Ok(done(format!("closed {}; {came_to}", agent.path())))
    }

    fn description(&self) -> String {
        match self.act {
            Act::Spawn => {
                let kinds = self.manager.catalog().kinds();
                let kinds: Vec<String> = kinds
                    .map(|k| format!("- {}: {}", k.definition.name, k.definition.description))
                    .collect();
                format!(
                    "Starts an agent that works on a part of the task beside you, with your rights or fewer, and a \
                     part of your budget. Give it all it needs to know: it does not see this conversation. What it \
                     changes is merged into your workspace when it completes. Types:\n{}",
                    kinds.join("\n")
                )
            }
            Act::Send => "Sends a message to an agent that you started, or to \"parent\". It is read with the \
                          reader's next call, and does not wake one that has completed."
                .to_owned(),
            Act::FollowUp => "Gives another task to an agent that has completed or failed its last.".to_owned(),
            Act::Wait => "Waits until agents have done their tasks, all of yours by default, and gives what they came \
                          to."
                .to_owned(),
            Act::List => "Lists the agents that you started: state, unread messages, task.".to_owned(),
            Act::Close => "Ends an agent, its turn if one goes on, and all it started.".to_owned(),
        }
    }

    fn schema(&self) -> Value {
        let text = |what: &str| json!({ "type": "string", "description": what });
        let list = |what: &str| json!({ "type": "array", "items": { "type": "string" }, "description": what });
        let number = |what: &str| json!({ "type": "integer", "minimum": 1, "description": what });
        let (properties, required) = match self.act {
            Act::Spawn => (
                json!({
                    "agent_type": text("One of the types."),
                    "task": text("What it is to do and to report."),
                    "name": text("What to call it: a-z, 0-9, '-' and '_'."),
                    "profile": text("A narrower profile: offline, workspace-write, net-read-only or trusted."),
                    "tools": list("The only tools it gets."),
                    "mcp_servers": list("The only MCP servers it gets."),
                    "hosts": list("The only hosts it may read."),
                    "allow_read": list("Of your granted reads, these only."),
                    "allow_write": list("Of your granted writes, these only."),
                    "allow_exec": list("Of your granted programs, these only."),
                    "pass_env": list("Of the variables passed to you, these only."),
                    "max_turns": number("Model requests."),
                    "max_tokens": number("Tokens."),
                    "timeout_secs": number("Seconds.")
                }),
                json!(["agent_type", "task"]),
            ),
            Act::Send => (
                json!({ "agent": text("Its name or path, or parent."), "message": text("What to say.") }),
                json!(["agent", "message"]),
            ),
            Act::FollowUp => (
                json!({ "agent": text("Its name or path."), "task": text("What it is to do next.") }),
                json!(["agent", "task"]),
            ),
            Act::Wait => (
                json!({
                    "agents": list("Names or paths; all of yours by default."),
                    "timeout_secs": number("Seconds to wait; 300 by default.")
                }),
                json!([]),
            ),
            Act::List => (json!({}), json!([])),
            Act::Close => (
                json!({ "agent": text("Its name or path.") }),
                json!(["agent"]),
            ),
        };
        json!({
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": false
        })
    }
}

impl Tool for AgentTool {
    fn keeps_rights(&self) -> bool {
        true
    }

    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: self.name().to_owned(),
            description: self.description(),
            input: ToolInput::Json(self.schema()),
        }
    }

    fn access(&self) -> Access {
        match self.act {
            Act::List => Access::ReadOnly,
            _ => Access::Writes,
        }
    }

    fn call<'a>(
        &'a self,
        call: &'a ToolCall,
        _: &'a Permissions,
    ) -> BoxFuture<'a, Result<ToolOutput, Fatal>> {
        Box::pin(self.answer(call))
    }
}
