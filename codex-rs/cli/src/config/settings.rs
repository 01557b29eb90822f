//! The configuration as the rest of the binary sees it: typed, and settled.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use codex_protocol::environment::PASSED;
use codex_protocol::glob;
use codex_protocol::model::ReasoningEffort;

use super::providers::{self, Provider};
use super::rights::{Rights, Tightened};
use super::tree::{Section, Tree};
use super::words::{
    ApprovalPolicy, AuditDetail, AuditReads, Inherit, Instructions, ReasoningSummary, ToolSchema,
    TrustLevel, Verbosity, WebSearch, effort,
};

/// Bytes of a project's `AGENTS.md` that a model is told, as in Codex.
const PROJECT_DOC_BYTES: u64 = 32 * 1024;
/// The size at which a file of the audit log is closed: some 250,000 records.
const AUDIT_FILE: u64 = 128 << 20;

/// Everything that is configured. Not `Debug`: it holds secrets.
#[derive(Clone, PartialEq)]
pub(crate) struct Config {
    /// What a run may do.
    pub(crate) rights: Rights,
    /// When a person is asked.
    pub(crate) approval_policy: ApprovalPolicy,
    /// What is recorded, and where.
    pub(crate) audit: Audit,
    /// Which variables commands get.
    pub(crate) shell_environment: ShellEnvironment,
    /// The model's name, if one is chosen.
    pub(crate) model: Option<String>,
    /// The provider's name, if one is chosen; then it is in `providers`.
    pub(crate) model_provider: Option<String>,
    /// The built-in providers and the configured ones, by name.
    pub(crate) providers: BTreeMap<String, Provider>,
    /// What is known of single models, by name.
    pub(crate) models: BTreeMap<String, ModelSettings>,
    /// How much the model thinks.
    pub(crate) reasoning_effort: Option<ReasoningEffort>,
    /// How it sums its reasoning up.
    pub(crate) reasoning_summary: ReasoningSummary,
    /// How long its answers are.
    pub(crate) verbosity: Option<Verbosity>,
    /// Tokens that any model's window holds, unless `models` says otherwise.
    pub(crate) context_window: Option<u64>,
    /// Tokens of a conversation from which on it is summed up.
    pub(crate) auto_compact_token_limit: Option<u64>,
    /// Search by the provider.
    pub(crate) web_search: WebSearch,
    /// Bytes of `AGENTS.md` that a model is told.
    pub(crate) project_doc_max_bytes: u64,
    /// MCP servers, by name.
    pub(crate) mcp_servers: BTreeMap<String, McpServer>,
    /// What the person said about projects, by their path.
    pub(crate) projects: BTreeMap<PathBuf, TrustLevel>,
    /// What is exported, and where to.
    pub(crate) otel: Otel,
}

/// What is recorded, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Audit {
    /// The log's file, where it was moved.
    pub(crate) path: Option<PathBuf>,
    /// Which reads are recorded; `None` is the profile's own choice.
    pub(crate) reads: Option<AuditReads>,
    /// How much of each act.
    pub(crate) detail: AuditDetail,
    /// The bytes at which a file is closed; `None` is never.
    pub(crate) max_size: Option<u64>,
    /// The age at which a file is closed; `None` is never.
    pub(crate) max_age: Option<Duration>,
}

/// What is known of one model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ModelSettings {
    /// The tools it is offered; `None` is all.
    pub(crate) tools: Option<Vec<String>>,
    /// How much it is told; `None` goes by its name, as `schema` does.
    pub(crate) instructions: Option<Instructions>,
    /// How tools are described to it.
    pub(crate) schema: Option<ToolSchema>,
    /// Tokens that its window holds.
    pub(crate) context_window: Option<u64>,
    /// Whether it takes images; `None` is what is known of its name.
    pub(crate) images: Option<bool>,
    /// The most tokens of one answer.
    pub(crate) max_output_tokens: Option<u64>,
}

/// An MCP server.
#[derive(Clone, PartialEq)]
pub(crate) struct McpServer {
    /// The program, if it speaks over its standard streams.
    pub(crate) command: Option<String>,
    /// Its arguments.
    pub(crate) args: Vec<String>,
    /// Variables that it gets. Secret.
    pub(crate) env: BTreeMap<String, String>,
    /// Where it starts.
    pub(crate) cwd: Option<PathBuf>,
    /// Where it is reached, if it speaks HTTP.
    pub(crate) url: Option<String>,
    /// The variable that holds its token.
    pub(crate) bearer_token_env_var: Option<String>,
    /// Headers. Secret.
    pub(crate) http_headers: BTreeMap<String, String>,
    /// Headers, and the variable that holds each one's value.
    pub(crate) env_http_headers: BTreeMap<String, String>,
    /// Whether it is used.
    pub(crate) enabled: bool,
    /// Whether a session fails without it.
    pub(crate) required: bool,
    /// The tools that a model is offered; `None` is all.
    pub(crate) enabled_tools: Option<Vec<String>>,
    /// Of those, the ones that it is not.
    pub(crate) disabled_tools: Vec<String>,
    /// How long it may take to start. Codex waits 10 s as well.
    pub(crate) startup_timeout: Duration,
    /// How long a call may take. Codex waits 60 s as well.
    pub(crate) tool_timeout: Duration,
}

/// What is exported. The exporters are in Codex's form, and may hold secrets.
#[derive(Clone, PartialEq)]
pub(crate) struct Otel {
    /// The environment's name in what is exported.
    pub(crate) environment: String,
    /// Whether prompts are exported as they are.
    pub(crate) log_user_prompt: bool,
    /// Where logs go.
    pub(crate) exporter: Option<toml::Value>,
    /// Where traces go.
    pub(crate) trace_exporter: Option<toml::Value>,
    /// Where metrics go.
    pub(crate) metrics_exporter: Option<toml::Value>,
}

/// Which of the variables that commands would get they do get.
#[derive(Clone, PartialEq)]
pub(crate) struct ShellEnvironment {
    /// What to start from.
    pub(crate) inherit: Inherit,
    /// Patterns of names that do not pass.
    pub(crate) exclude: Vec<String>,
    /// If not empty, patterns of the only names that pass.
    pub(crate) include_only: Vec<String>,
    /// Variables with the value that they get. Secret.
    pub(crate) set: BTreeMap<String, String>,
}

impl ShellEnvironment {
    /// What a shell cannot do without: Codex's `core`.
    const CORE: &[&str] = &[
        "HOME", "LOGNAME", "PATH", "SHELL", "USER", "USERNAME", "TMPDIR", "TEMP", "TMP",
    ];

    /// Whether a variable of this name may pass. It only ever takes away: whether it passes at all
    /// is the policy's to say. Names match in either case, as in Codex.
    #[must_use]
    pub(crate) fn keeps(&self, name: &str) -> bool {
        let any = |patterns: &[String]| patterns.iter().any(|p| glob::matches(p, name, true));
        let inherited = match self.inherit {
            Inherit::All => true,
            Inherit::Core => Self::CORE.contains(&name),
            Inherit::None => false,
        };
        inherited
            && !any(&self.exclude)
            && (self.include_only.is_empty() || any(&self.include_only))
    }
}

/// Reads what the layers amount to.
pub(super) fn settle(tree: &Tree, tightened: Tightened) -> Config {
    let root = tree.root();
    let environment = root.section("shell_environment_policy");
    let otel = root.section("otel");
    let audit = root.section("audit");
    Config {
        rights: tightened.rights,
        approval_policy: tightened.approval_policy,
        audit: Audit {
            path: audit.path("path"),
            reads: tightened.audit_reads,
            detail: tightened.audit_detail,
            max_size: Some(audit.whole("max_size").unwrap_or(AUDIT_FILE)).filter(|size| *size > 0),
            max_age: audit
                .whole("max_age")
                .filter(|days| *days > 0)
                .map(|days| Duration::from_secs(days * 24 * 60 * 60)),
        },
        shell_environment: ShellEnvironment {
            inherit: environment
                .word("inherit", Inherit::from_word)
                .unwrap_or(Inherit::All),
            exclude: environment.texts("exclude").unwrap_or_default(),
            include_only: environment.texts("include_only").unwrap_or_default(),
            set: environment.map("set"),
        },
        model: root.text("model"),
        model_provider: root.text("model_provider"),
        providers: providers::settle(root.section("model_providers")),
        models: named(root, "models", model),
        reasoning_effort: root.word("model_reasoning_effort", effort),
        reasoning_summary: root
            .word("model_reasoning_summary", ReasoningSummary::from_word)
            .unwrap_or(ReasoningSummary::Auto),
        verbosity: root.word("model_verbosity", Verbosity::from_word),
        context_window: root.whole("model_context_window"),
        auto_compact_token_limit: root.whole("model_auto_compact_token_limit"),
        web_search: root
            .word("web_search", WebSearch::from_word)
            .unwrap_or(WebSearch::Disabled),
        project_doc_max_bytes: root
            .whole("project_doc_max_bytes")
            .unwrap_or(PROJECT_DOC_BYTES),
        mcp_servers: named(root, "mcp_servers", mcp_server),
        projects: root
            .section("projects")
            .tables()
            .filter_map(|(path, project)| {
                Some((
                    path.into(),
                    project.word("trust_level", TrustLevel::from_word)?,
                ))
            })
            .collect(),
        otel: Otel {
            environment: otel.text("environment").unwrap_or_else(|| "dev".to_owned()),
            log_user_prompt: otel.switch("log_user_prompt").unwrap_or(false),
            exporter: otel.raw("exporter"),
            trace_exporter: otel.raw("trace_exporter"),
            metrics_exporter: otel.raw("metrics_exporter"),
        },
    }
}

fn named<T>(
    root: Section<'_>,
    table: &str,
    read: impl Fn(Section<'_>) -> T,
) -> BTreeMap<String, T> {
    let tables = root.section(table).tables();
    tables
        .map(|(name, section)| (name.to_owned(), read(section)))
        .collect()
}

fn model(section: Section<'_>) -> ModelSettings {
    ModelSettings {
        tools: section.texts("tools"),
        instructions: section.word("instructions", Instructions::from_word),
        schema: section.word("schema", ToolSchema::from_word),
        context_window: section.whole("context_window"),
        images: section.switch("images"),
        max_output_tokens: section.whole("max_output_tokens"),
    }
}

fn mcp_server(section: Section<'_>) -> McpServer {
    McpServer {
        command: section.text("command"),
        args: section.texts("args").unwrap_or_default(),
        env: section.map("env"),
        cwd: section.path("cwd"),
        url: section.text("url"),
        bearer_token_env_var: section.text("bearer_token_env_var"),
        http_headers: section.map("http_headers"),
        env_http_headers: section.map("env_http_headers"),
        enabled: section.switch("enabled").unwrap_or(true),
        required: section.switch("required").unwrap_or(false),
        enabled_tools: section.texts("enabled_tools"),
        disabled_tools: section.texts("disabled_tools").unwrap_or_default(),
        startup_timeout: section
            .seconds("startup_timeout_sec")
            .unwrap_or(Duration::from_secs(10)),
        tool_timeout: section
            .seconds("tool_timeout_sec")
            .unwrap_or(Duration::from_secs(60)),
    }
}

/// Whether a setting asks for more of the environment than commands ever get.
pub(super) fn wants_more_environment(tree: &Tree) -> Option<String> {
    let policy = tree.root().section("shell_environment_policy");
    let all =
        (policy.word("inherit", Inherit::from_word) == Some(Inherit::All)).then_some("inherit");
    let secrets = (policy.switch("ignore_default_excludes") == Some(true))
        .then_some("ignore_default_excludes");
    let key = all.or(secrets)?;
    let (_, origin) = policy.get(key)?;
    Some(format!(
        "{}: 'shell_environment_policy.{key}' gives codex's own list of {} names and patterns and no more; --pass-env NAME adds one",
        origin.whereabouts(),
        PASSED.len()
    ))
}
