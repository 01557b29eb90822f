//! Everything that telemetry may tell: metrics, spans, and the attributes of both.
//!
//! The tables are an allow-list. A field of a span or event that is not in [`ATTRIBUTES`] reaches
//! neither the log nor a collector, so a prompt or a file's content cannot, whatever a caller adds
//! to a span. `docs/observability.md` is made from the tables.
//!
//! Names are those of OpenTelemetry's semantic conventions for generative AI (repository
//! semantic-conventions-genai, 2026) where they have one; the others begin with `codex.` or are the
//! words of the audit log.

/// What a metric measures with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Instrument {
    /// A number that only grows.
    Counter,
    /// A number that goes up and down.
    UpDownCounter,
    /// A distribution, by these upper bounds.
    Histogram(&'static [f64]),
}

impl Instrument {
    /// Its name in OpenTelemetry.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "Counter",
            Self::UpDownCounter => "UpDownCounter",
            Self::Histogram(_) => "Histogram",
        }
    }
}

/// A metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// What it measures with.
    pub instrument: Instrument,
    /// Its unit, in UCUM.
    pub unit: &'static str,
    /// What it says.
    pub about: &'static str,
    /// The attributes that tell its series apart. One that has no value is left out.
    pub attributes: &'static [&'static str],
}

/// Seconds of one step. The convention's own boundaries.
const STEP_SECONDS: &[f64] = &[
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
];
/// Seconds of a task. The convention's own boundaries.
const TASK_SECONDS: &[f64] = &[
    0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 102.4, 204.8, 409.6,
];
/// Tokens. The convention's own boundaries.
const TOKENS: &[f64] = &[
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1024.0,
    4096.0,
    16384.0,
    65536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];

/// Tasks that ended.
pub const TASKS: Metric = Metric {
    name: "codex.tasks",
    instrument: Instrument::Counter,
    unit: "{task}",
    about: "Tasks that ended: turns of the main agent and of sub-agents.",
    attributes: &[AGENT, PROFILE, OUTCOME],
};
/// How long tasks took.
pub const TASK_DURATION: Metric = Metric {
    name: "gen_ai.invoke_agent.duration",
    instrument: Instrument::Histogram(TASK_SECONDS),
    unit: "s",
    about: "How long a task took, from the person's message to the last answer.",
    attributes: &[AGENT_NAME, MODEL, ERROR_TYPE],
};
/// Agents at work.
pub const ACTIVE_AGENTS: Metric = Metric {
    name: "codex.active_agents",
    instrument: Instrument::UpDownCounter,
    unit: "{agent}",
    about: "Agents at work at this moment.",
    attributes: &[AGENT],
};
/// Failures.
pub const ERRORS: Metric = Metric {
    name: "codex.errors",
    instrument: Instrument::Counter,
    unit: "{error}",
    about: "Tasks, model requests, tool calls and commands that ended in an error. A command that \
            exits with another code than 0 is none, nor is a denial.",
    attributes: &[OPERATION_NAME, ERROR_TYPE],
};
/// Denials.
pub const DENIALS: Metric = Metric {
    name: "codex.denials",
    instrument: Instrument::Counter,
    unit: "{denial}",
    about: "What was denied, as the audit log records it.",
    attributes: &[AGENT, PROFILE, OPERATION, RULE],
};
/// Tokens.
pub const TOKEN_USAGE: Metric = Metric {
    name: "gen_ai.client.token.usage",
    instrument: Instrument::Histogram(TOKENS),
    unit: "{token}",
    about: "Tokens read (cached ones included) and written by one model request.",
    attributes: &[OPERATION_NAME, PROVIDER, MODEL, TOKEN_TYPE],
};
/// How long model requests took.
pub const CHAT_DURATION: Metric = Metric {
    name: "gen_ai.client.operation.duration",
    instrument: Instrument::Histogram(STEP_SECONDS),
    unit: "s",
    about: "How long a model request took, to the end of its answer, retries included.",
    attributes: &[OPERATION_NAME, PROVIDER, MODEL, ERROR_TYPE],
};
/// Tool calls.
pub const TOOL_DURATION: Metric = Metric {
    name: "gen_ai.execute_tool.duration",
    instrument: Instrument::Histogram(STEP_SECONDS),
    unit: "s",
    about: "How long a tool call took; its count is the number of tool calls.",
    attributes: &[TOOL, AGENT_NAME, OUTCOME, ERROR_TYPE],
};

/// Every metric, in the order of the documentation.
pub const METRICS: &[Metric] = &[
    TASKS,
    TASK_DURATION,
    ACTIVE_AGENTS,
    ERRORS,
    DENIALS,
    TOKEN_USAGE,
    CHAT_DURATION,
    TOOL_DURATION,
];

/// A kind of span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanKind {
    /// Its name in the code and in the log.
    pub name: &'static str,
    /// The attribute whose value follows the name in what is exported.
    pub named_by: &'static str,
    /// Whether it waits for another program's answer: `CLIENT`, else `INTERNAL`.
    pub client: bool,
    /// What it is.
    pub about: &'static str,
    /// What it says beside what every span says.
    pub attributes: &'static [&'static str],
}

/// The span of a whole run.
pub const RUN: &str = "codex";
/// The span of a task.
pub const INVOKE_AGENT: &str = "invoke_agent";
/// The span of a model request.
pub const CHAT: &str = "chat";
/// The span of a tool call.
pub const EXECUTE_TOOL: &str = "execute_tool";
/// The span of a command.
pub const SANDBOXED_COMMAND: &str = "sandboxed_command";

/// Every kind of span, the outer before the inner.
pub const SPANS: &[SpanKind] = &[
    SpanKind {
        name: RUN,
        named_by: COMMAND,
        client: false,
        about: "A run of `codex exec`, `codex agents run` or `codex sandbox`. With `TRACEPARENT` in its environment it \
                is part of that trace.",
        attributes: &[COMMAND, AUDIT_HEAD],
    },
    SpanKind {
        name: INVOKE_AGENT,
        named_by: AGENT_NAME,
        client: false,
        about: "A task: one turn of an agent.",
        attributes: &[
            OPERATION_NAME,
            AGENT_NAME,
            CONVERSATION,
            PROVIDER,
            MODEL,
            INPUT_TOKENS,
            CACHED_TOKENS,
            OUTPUT_TOKENS,
            REASONING_TOKENS,
            OUTCOME,
            ERROR_TYPE,
        ],
    },
    SpanKind {
        name: CHAT,
        named_by: MODEL,
        client: true,
        about: "A model request, with its retries.",
        attributes: &[
            OPERATION_NAME,
            CONVERSATION,
            PROVIDER,
            MODEL,
            INPUT_TOKENS,
            CACHED_TOKENS,
            OUTPUT_TOKENS,
            REASONING_TOKENS,
            OUTCOME,
            ERROR_TYPE,
        ],
    },
    SpanKind {
        name: EXECUTE_TOOL,
        named_by: TOOL,
        client: false,
        about: "A tool call.",
        attributes: &[
            OPERATION_NAME,
            AGENT_NAME,
            TOOL,
            TOOL_TYPE,
            CALL_ID,
            OUTCOME,
            ERROR_TYPE,
        ],
    },
    SpanKind {
        name: SANDBOXED_COMMAND,
        named_by: EXECUTABLE,
        client: false,
        about: "A command inside the sandbox, from its start to the end of all it started. It finds \
                the span's `TRACEPARENT` in its environment.",
        attributes: &[OPERATION_NAME, EXECUTABLE, EXIT_CODE, OUTCOME, ERROR_TYPE],
    },
];

/// The attributes of every span, and of every line of the log: those of the span around it.
pub const EVERY_SPAN: &[&str] = &[TASK, AGENT, PROFILE, DECISION];

/// The unit of work.
pub const TASK: &str = "task_id";
/// Whose work.
pub const AGENT: &str = "agent";
/// The profile in force.
pub const PROFILE: &str = "profile";
/// What the gate said.
pub const DECISION: &str = "decision";
/// How it ended.
pub const OUTCOME: &str = "outcome";
/// What failed.
pub const ERROR_TYPE: &str = "error.type";
/// The name of the operation.
pub const OPERATION_NAME: &str = "gen_ai.operation.name";
/// Tokens read.
pub const INPUT_TOKENS: &str = "gen_ai.usage.input_tokens";
/// Tokens written.
pub const OUTPUT_TOKENS: &str = "gen_ai.usage.output_tokens";
/// Which of the two.
pub const TOKEN_TYPE: &str = "gen_ai.token.type";
/// What was attempted.
pub const OPERATION: &str = "operation";
/// Which rule said so.
pub const RULE: &str = "rule";
/// How many times.
pub const COUNT: &str = "count";
/// The file name of a program.
pub const EXECUTABLE: &str = "process.executable.name";
const AGENT_NAME: &str = "gen_ai.agent.name";
const CONVERSATION: &str = "gen_ai.conversation.id";
const PROVIDER: &str = "gen_ai.provider.name";
const MODEL: &str = "gen_ai.request.model";
const CACHED_TOKENS: &str = "gen_ai.usage.cache_read.input_tokens";
const REASONING_TOKENS: &str = "gen_ai.usage.reasoning.output_tokens";
const TOOL: &str = "gen_ai.tool.name";
const TOOL_TYPE: &str = "gen_ai.tool.type";
const CALL_ID: &str = "gen_ai.tool.call.id";
const EXIT_CODE: &str = "process.exit.code";
const COMMAND: &str = "codex.command";
const AUDIT_HEAD: &str = "codex.audit.head";
const TARGET: &str = "target";
const EVIDENCE: &str = "evidence";
const SEQ: &str = "seq";

/// Every attribute, and what it says.
pub const ATTRIBUTES: &[(&str, &str)] = &[
    (TASK, "The unit of work, as in the audit log."),
    (AGENT, "`main`, or a sub-agent's type."),
    (
        PROFILE,
        "The profile in force: `Offline`, `WorkspaceWrite`, `NetReadOnly` or `Trusted`.",
    ),
    (
        DECISION,
        "`denied` where the gate denied something that was asked for in the span, else `allowed`.",
    ),
    (
        OUTCOME,
        "`completed`, `failed`, `limit` (a limit of the turn), `refused` (by policy) or \
         `interrupted`.",
    ),
    (
        ERROR_TYPE,
        "What failed: of a model request `auth`, `rate_limit`, `context_too_long`, `rejected`, \
         `server`, `network`, `protocol`, `replay`, `not_permitted` or `no_record`; of a task also `limit`, `schema` \
         or `store`; of a tool call `no_record`; of a command \
         `cannot_enforce`, `spawn`, `no_record` or `output`.",
    ),
    (
        OPERATION_NAME,
        "`invoke_agent`, `chat`, `execute_tool` or `sandboxed_command`.",
    ),
    (AGENT_NAME, "The same as `agent`, by the convention's name."),
    (CONVERSATION, "The session's id."),
    (PROVIDER, "The provider's name in the configuration."),
    (MODEL, "The model's name."),
    (INPUT_TOKENS, "Tokens read, cached ones included."),
    (CACHED_TOKENS, "Of these, read from the provider's cache."),
    (OUTPUT_TOKENS, "Tokens written."),
    (REASONING_TOKENS, "Of these, thought."),
    (TOKEN_TYPE, "`input` or `output`."),
    (
        TOOL,
        "The tool's name; `_unknown` for one that does not exist.",
    ),
    (TOOL_TYPE, "Always `function`."),
    (
        CALL_ID,
        "The call's id, as the model gave it; left out if it is none of letters, digits, `-` and `_`.",
    ),
    (
        EXECUTABLE,
        "The file name of the program. Its arguments are never told.",
    ),
    (EXIT_CODE, "The code that it ended with by itself."),
    (COMMAND, "`exec`, `agents run` or `sandbox`."),
    (
        AUDIT_HEAD,
        "The audit log's last record when the run's work had ended, `SEQ HASH`: a head that is \
         kept elsewhere, for `codex audit verify --expect-head`.",
    ),
    (
        OPERATION,
        "Of a record: what was attempted, in the words of the audit log.",
    ),
    (TARGET, "Of a record: on what, masked as in the audit log."),
    (RULE, "Of a record: which rule said so."),
    (
        EVIDENCE,
        "Of a record: `observed`, `declared` or `inferred`.",
    ),
    (SEQ, "Of a record: its number in the audit log."),
    (COUNT, "Of a record: how many attempts it stands for."),
];

/// The attribute of this name.
pub(crate) fn attribute(name: &str) -> Option<&'static str> {
    ATTRIBUTES
        .iter()
        .map(|(known, _)| *known)
        .find(|known| *known == name)
}

/// The kind of the span of this name.
pub(crate) fn span(name: &str) -> Option<&'static SpanKind> {
    SPANS.iter().find(|kind| kind.name == name)
}

/// The part of `docs/observability.md` that is made from these tables.
#[must_use]
pub fn reference() -> String {
    let mut page = String::from(
        "### Metrics\n\n| metric | instrument | unit | attributes | what it says |\n|---|---|---|---|---|\n",
    );
    let listed = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|n| format!("`{n}`")).collect();
        names.join(", ")
    };
    for metric in METRICS {
        page.push_str(&format!(
            "| `{}` | {} | `{}` | {} | {} |\n",
            metric.name,
            metric.instrument.name(),
            metric.unit,
            listed(metric.attributes),
            metric.about
        ));
    }
    page.push_str("\nUpper bounds of the histograms:\n\n");
    for metric in METRICS {
        if let Instrument::Histogram(bounds) = metric.instrument {
            let bounds: Vec<String> = bounds.iter().map(f64::to_string).collect();
            page.push_str(&format!("- `{}`: {}\n", metric.name, bounds.join(", ")));
        }
    }
    page.push_str(&format!(
        "\n### Spans\n\nEvery span has {}, and beside them:\n\n| span | kind | attributes | what it is |\n|---|---|---|---|\n",
        listed(EVERY_SPAN)
    ));
    for span in SPANS {
        page.push_str(&format!(
            "| `{} {{{}}}` | {} | {} | {} |\n",
            span.name,
            span.named_by,
            if span.client { "CLIENT" } else { "INTERNAL" },
            listed(span.attributes),
            span.about
        ));
    }
    page.push_str(
        "\nA denial is also an event `denied` of the span in which it happened, with the attributes of a\nrecord.\n\n### Attributes\n\n| attribute | what it says |\n|---|---|\n",
    );
    for (name, about) in ATTRIBUTES {
        page.push_str(&format!("| `{name}` | {about} |\n"));
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_metric_or_span_names_is_an_attribute_with_a_meaning() {
        let of_metrics = METRICS.iter().flat_map(|m| m.attributes);
        let of_spans = SPANS
            .iter()
            .flat_map(|s| s.attributes.iter().chain([&s.named_by]));
        for name in of_metrics.chain(of_spans).chain(EVERY_SPAN) {
            assert!(attribute(name).is_some(), "{name} has no meaning");
        }
        for secret in ["prompt", "arguments", "output", "content", "text"] {
            assert_eq!(attribute(secret), None);
        }
    }
}
