//! What a session tells of its work to whoever watches the process: `tracing` spans of tasks, model
//! requests, tool calls and commands. Nothing is told of what was said: no prompt, no arguments, no
//! output. Without a watcher a span costs a load and a comparison.
//!
//! The outcome is recorded last: it ends the span for whoever watches, also where something inside
//! it goes on.

use std::path::Path;

use codex_protocol::model::{ModelErrorKind, Usage};
use codex_protocol::permission::Permissions;
use codex_protocol::tool::{Fatal, ToolCall, ToolOutput};
use codex_sandbox::spawn::{Outcome, SpawnError};
use tracing::field::Empty;
use tracing::{Span, info_span};

use crate::command::CommandError;
use crate::session::{Answer, Parts, TurnError};

/// The name of a tool that does not exist: the model's own word could be anything.
const UNKNOWN_TOOL: &str = "_unknown";

/// The longest id of a call that is told, in bytes: twice what providers are known to use.
const LONGEST_ID: usize = 128;

/// The span of a turn.
pub(crate) fn task(parts: &Parts) -> Span {
    let subject = parts.permissions.subject();
    info_span!(
        target: "codex::session",
        "invoke_agent",
        task_id = subject.task_id.as_str(),
        agent = subject.agent_type.as_str(),
        profile = %subject.profile,
        "gen_ai.operation.name" = "invoke_agent",
        "gen_ai.agent.name" = subject.agent_type.as_str(),
        "gen_ai.conversation.id" = subject.session_id.as_str(),
        "gen_ai.provider.name" = parts.model.provider(),
        "gen_ai.request.model" = parts.model_name,
        "gen_ai.usage.input_tokens" = Empty,
        "gen_ai.usage.cache_read.input_tokens" = Empty,
        "gen_ai.usage.output_tokens" = Empty,
        "gen_ai.usage.reasoning.output_tokens" = Empty,
        "error.type" = Empty,
        outcome = Empty,
    )
}

/// How the turn ended.
pub(crate) fn task_ended<T>(span: &Span, ended: &Result<T, TurnError>, usage: Usage) {
    tokens(span, usage);
    fail_or(span, ended.as_ref().err().and_then(failure));
    span.record(
        "outcome",
        match ended {
            Ok(_) => "completed",
            Err(TurnError::Interrupted) => "interrupted",
            Err(TurnError::Limit(_)) => "limit",
            Err(TurnError::NotPermitted(_)) => "refused",
            Err(_) => "failed",
        },
    );
}

/// The span of a model request.
pub(crate) fn model_request(parts: &Parts) -> Span {
    let subject = parts.permissions.subject();
    info_span!(
        target: "codex::model",
        "chat",
        task_id = subject.task_id.as_str(),
        agent = subject.agent_type.as_str(),
        profile = %subject.profile,
        "gen_ai.operation.name" = "chat",
        "gen_ai.conversation.id" = subject.session_id.as_str(),
        "gen_ai.provider.name" = parts.model.provider(),
        "gen_ai.request.model" = parts.model_name,
        "gen_ai.usage.input_tokens" = Empty,
        "gen_ai.usage.cache_read.input_tokens" = Empty,
        "gen_ai.usage.output_tokens" = Empty,
        "gen_ai.usage.reasoning.output_tokens" = Empty,
        "error.type" = Empty,
        outcome = Empty,
    )
}

/// How the model request ended.
pub(crate) fn model_answered(span: &Span, answered: &Result<Answer, TurnError>) {
    match answered {
        // A provider that counts nothing says 0.
        Ok(answer) if answer.usage.total() > 0 => tokens(span, answer.usage),
        _ => {}
    }
    fail_or(span, answered.as_ref().err().and_then(failure));
    let outcome = match answered {
        Ok(_) => "completed",
        Err(TurnError::NotPermitted(_)) => "refused",
        Err(_) => "failed",
    };
    span.record("outcome", outcome);
}

/// The span of a tool call.
pub(crate) fn tool_call(permissions: &Permissions, call: &ToolCall, known: bool) -> Span {
    let subject = permissions.subject();
    info_span!(
        target: "codex::tool",
        "execute_tool",
        task_id = subject.task_id.as_str(),
        agent = subject.agent_type.as_str(),
        profile = %subject.profile,
        "gen_ai.operation.name" = "execute_tool",
        "gen_ai.agent.name" = subject.agent_type.as_str(),
        "gen_ai.tool.name" = if known { call.name.as_str() } else { UNKNOWN_TOOL },
        "gen_ai.tool.type" = "function",
        "gen_ai.tool.call.id" = plain(&call.call_id),
        "error.type" = Empty,
        outcome = Empty,
    )
}

/// How the tool call ended.
pub(crate) fn tool_answered(span: &Span, answered: &Result<ToolOutput, Fatal>) {
    fail_or(span, answered.as_ref().err().map(|Fatal(_)| "no_record"));
    let outcome = match answered {
        Ok(output) if output.success => "completed",
        _ => "failed",
    };
    span.record("outcome", outcome);
}

/// The span of a command.
pub(crate) fn command(program: &Path) -> Span {
    let name = program.file_name().unwrap_or_default();
    info_span!(
        target: "codex::command",
        "sandboxed_command",
        "gen_ai.operation.name" = "sandboxed_command",
        "process.executable.name" = &*name.to_string_lossy(),
        "process.exit.code" = Empty,
        "error.type" = Empty,
        outcome = Empty,
    )
}

/// How the command ended.
pub(crate) fn command_ended(span: &Span, ended: Result<Outcome, &CommandError>) {
    outcome(
        span,
        ended.map_err(|error| match error {
            CommandError::CannotEnforce(_) => "cannot_enforce",
            CommandError::Spawn(error) => spawn_failure(error),
            CommandError::Output(_) => "output",
        }),
    );
}

/// What failed where a command was not run to its end.
pub(crate) fn spawn_failure(error: &SpawnError) -> &'static str {
    match error {
        SpawnError::NoRecord(_) => "no_record",
        SpawnError::Setup { .. } | SpawnError::Exec { .. } | SpawnError::HelperLost => "spawn",
    }
}

/// How a command ended, or what failed.
pub(crate) fn outcome(span: &Span, ended: Result<Outcome, &'static str>) {
    fail_or(span, ended.err());
    if let Ok(Outcome::Exited(code)) = ended {
        span.record("process.exit.code", code);
    }
    let outcome = match ended {
        Ok(Outcome::Exited(0)) => "completed",
        Ok(Outcome::TimedOut) => "limit",
        Ok(Outcome::Ended) => "interrupted",
        Ok(Outcome::Exited(_) | Outcome::Signaled(_)) | Err(_) => "failed",
    };
    span.record("outcome", outcome);
}

/// An id as providers make them. The model's own text could be anything.
fn plain(id: &str) -> Option<&str> {
    let known = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    (id.len() <= LONGEST_ID && id.bytes().all(known)).then_some(id)
}

fn tokens(span: &Span, usage: Usage) {
    span.record("gen_ai.usage.input_tokens", usage.input_tokens);
    span.record(
        "gen_ai.usage.cache_read.input_tokens",
        usage.cached_input_tokens,
    );
    span.record("gen_ai.usage.output_tokens", usage.output_tokens);
    span.record(
        "gen_ai.usage.reasoning.output_tokens",
        usage.reasoning_output_tokens,
    );
}

fn fail_or(span: &Span, failure: Option<&'static str>) {
    if let Some(failure) = failure {
        span.record("error.type", failure);
    }
}

/// The kind of an error; `None` where a person ended the turn.
fn failure(error: &TurnError) -> Option<&'static str> {
    Some(match error {
        TurnError::Model(error) => match error.kind {
            ModelErrorKind::Auth => "auth",
            ModelErrorKind::RateLimit => "rate_limit",
            ModelErrorKind::ContextTooLong => "context_too_long",
            ModelErrorKind::Rejected => "rejected",
            ModelErrorKind::Server => "server",
            ModelErrorKind::Network => "network",
            ModelErrorKind::Protocol => "protocol",
            ModelErrorKind::Replay => "replay",
        },
        TurnError::Limit(_) => "limit",
        TurnError::Schema(_) => "schema",
        TurnError::Interrupted => return None,
        TurnError::NotPermitted(_) => "not_permitted",
        TurnError::NoRecord(_) => "no_record",
        TurnError::Store(_) => "store",
    })
}
