//! The one table of settings: their types, defaults, meanings and who may set them. What is known,
//! what a project may tighten, the JSON Schema and the reference page all come from here.

use super::key::{Key, Kind, key};
use super::words::{
    AuditDetail, AuditReads, EFFORTS, Inherit, Instructions, PROFILE_ALIASES, PROFILES,
    ReasoningSummary, SANDBOX_MODES, ToolSchema, TrustLevel, Verbosity, WebSearch, WireApi,
};

/// More tokens than any model's window holds.
const MOST_TOKENS: u64 = 1_000_000_000;
/// Codex's own limit of retries.
const MOST_RETRIES: u64 = 100;
/// A day, in milliseconds.
const MOST_WAITING: u64 = 86_400_000;

const fn words(of: &'static [&'static str]) -> Kind {
    Kind::Word(of, &[])
}

/// Every setting that has an effect.
pub(super) const KEYS: &[Key] = &[
    key("model", Kind::Text, "The model's name.").default("the provider's own"),
    key(
        "model_provider",
        Kind::Text,
        "The provider: `openai`, `anthropic`, `ollama`, `lmstudio`, `llamacpp` or one of `[model_providers]`.",
    )
    .default("the first whose key is set, else the first local server that answers"),
    key(
        "model_reasoning_effort",
        words(EFFORTS),
        "How much the model thinks.",
    )
    .default("the model's own"),
    key(
        "model_reasoning_summary",
        words(ReasoningSummary::WORDS),
        "How the model sums up its reasoning.",
    )
    .default("auto"),
    key(
        "model_verbosity",
        words(Verbosity::WORDS),
        "How long answers are.",
    )
    .default("the model's own"),
    key(
        "model_context_window",
        Kind::Whole(1, MOST_TOKENS),
        "The tokens that the model's window holds.",
    )
    .default("the model's own"),
    key(
        "model_auto_compact_token_limit",
        Kind::Whole(1, MOST_TOKENS),
        "The tokens of a conversation from which on it is summed up.",
    ),
    key(
        "web_search",
        words(WebSearch::WORDS),
        "Search by the model's provider; off in Offline whatever stands here.",
    )
    .default("disabled"),
    key(
        "openai_base_url",
        Kind::Url,
        "Another spelling of `model_providers.openai.base_url`.",
    ),
    key(
        "project_doc_max_bytes",
        Kind::Whole(0, 1 << 20),
        "The bytes of a project's `AGENTS.md` that the model is told.",
    )
    .default("32768"),
    key(
        "profile",
        Kind::Text,
        "What an agent may do: `offline`, `workspace-write`, `net-read-only`, `trusted`, or one of `[profiles]`. A project can name a built-in one, to narrow.",
    )
    .default("offline")
    .tightens(),
    key(
        "sandbox_mode",
        words(SANDBOX_MODES),
        "Codex's spelling of a profile: `read-only` is Offline, `workspace-write` is WorkspaceWrite, `danger-full-access` is Trusted. `profile` in the same file goes before it.",
    )
    .tightens(),
    key(
        "approval_policy",
        Kind::Approval,
        "When a person is asked: before everything not known to be harmless (`untrusted`), where the gate says so (`on-request`, also spelled `on-failure`), or never, so that what would ask is denied.",
    )
    .default("never")
    .tightens(),
    key(
        "deny_read",
        Kind::Paths,
        "Files and trees that may not be read, whatever else is granted. Every file adds to it.",
    )
    .tightens(),
    key(
        "deny_host",
        Kind::Hosts,
        "Hosts that may not be reached, whatever else is granted: `HOST`, `HOST:PORT`, `HOST/PATH` or `*.DOMAIN`. Every file adds to it.",
    )
    .tightens(),
    key(
        "approved_hosts",
        Kind::Hosts,
        "Hosts that may be read under NetReadOnly since you answered `always` when you were asked about them: `https://HOST[:PORT]`.",
    ),
    key(
        "secrets",
        Kind::Patterns,
        "Further paths that count as secrets; `*` may stand in the last part. Every file adds to it.",
    )
    .tightens(),
    key(
        "sandbox_workspace_write.writable_roots",
        Kind::Paths,
        "Trees that WorkspaceWrite may write beside the workspace.",
    ),
    key(
        "sandbox_workspace_write.network_access",
        Kind::Switch,
        "Gives WorkspaceWrite the network reads of NetReadOnly, and no more.",
    )
    .default("false"),
    key(
        "shell_environment_policy.inherit",
        words(Inherit::WORDS),
        "Which variables commands get: codex's own list (`all` is no more than that), `core` of it, or none.",
    )
    .default("all"),
    key(
        "shell_environment_policy.exclude",
        Kind::Variables,
        "Variables that commands do not get.",
    ),
    key(
        "shell_environment_policy.include_only",
        Kind::Variables,
        "If set, commands get only these, as far as they get them at all.",
    ),
    key(
        "shell_environment_policy.ignore_default_excludes",
        Kind::Switch,
        "Without effect when true: names that look like secrets never pass on their own.",
    )
    .default("false"),
    key(
        "shell_environment_policy.set.*",
        Kind::Text,
        "A variable that commands get with this value.",
    )
    .secret(),
    key(
        "audit.path",
        Kind::Path,
        "The file that takes the audit log.",
    )
    .default("a file in `audit/` of CODEX_HOME"),
    key(
        "audit.max_size",
        Kind::Whole(0, 1 << 36),
        "The bytes at which a file of the audit log is closed and the next one begun; 0: never. No file is closed below 65536.",
    )
    .default("134217728, which is 128 MiB"),
    key(
        "audit.max_age",
        Kind::Whole(0, 36_500),
        "The days after which a file of the audit log is closed and the next one begun; 0: never.",
    )
    .default("0"),
    key(
        "audit.reads",
        words(AuditReads::WORDS),
        "Whether refused reads of commands are recorded as they happen; slower where many files are read.",
    )
    .default("the profile's own")
    .tightens(),
    key(
        "audit.detail",
        words(AuditDetail::WORDS),
        "How much of each act the log keeps: what was decided, all of it, or more of it and what codex read too.",
    )
    .default("normal")
    .tightens(),
    key(
        "profiles.*.extends",
        Kind::Word(PROFILES, PROFILE_ALIASES),
        "The built-in profile that this one starts from.",
    )
    .default("its `sandbox_mode`, else that of the top level, else offline"),
    key(
        "profiles.*.allow_read",
        Kind::Paths,
        "Files and trees that may be read although they are secrets.",
    ),
    key(
        "profiles.*.allow_write",
        Kind::Paths,
        "Files and trees that may be written.",
    ),
    key(
        "profiles.*.allow_exec",
        Kind::Texts,
        "Programs that may start: paths, or names looked up in PATH.",
    ),
    key(
        "profiles.*.allow_host",
        Kind::Hosts,
        "Hosts that may be read (GET, HEAD, OPTIONS) through the proxy: `HOST`, `HOST:PORT`, `HOST/PATH` or `*.DOMAIN`.",
    ),
    key(
        "profiles.*.allow_preset",
        Kind::Texts,
        "Presets of hosts that may be read, such as `cargo`; `codex policy show -p net-read-only` names them.",
    ),
    key(
        "profiles.*.allow_tunnel",
        Kind::Hosts,
        "Hosts that may be reached by a tunnel that the proxy cannot look into.",
    ),
    key(
        "profiles.*.allow_private_host",
        Kind::Hosts,
        "Hosts whose names may lead to private addresses, as those of a network's own package index may. It opens no host.",
    ),
    key(
        "profiles.*.allow_post",
        Kind::Texts,
        "Named reads that may use POST where their host may be read: `git-upload-pack`, `npm-audit`.",
    ),
    key(
        "profiles.*.pass_env",
        Kind::Variables,
        "Variables that commands get beside codex's own list; one that looks like a secret only by its full name.",
    ),
    key(
        "model_providers.*.name",
        Kind::Text,
        "What people see.",
    ),
    key(
        "model_providers.*.base_url",
        Kind::Url,
        "Where it is reached, up to and with the version: `https://example.com/v1`.",
    ),
    key(
        "model_providers.*.env_key",
        Kind::Text,
        "The environment variable that holds the key.",
    ),
    key(
        "model_providers.*.env_key_instructions",
        Kind::Text,
        "How to get a key, for people who have none.",
    ),
    key(
        "model_providers.*.experimental_bearer_token",
        Kind::Text,
        "The key itself; an environment variable is safer.",
    )
    .secret(),
    key(
        "model_providers.*.requires_openai_auth",
        Kind::Switch,
        "Uses the key of `openai` where `env_key` is not set.",
    )
    .default("false"),
    key(
        "model_providers.*.wire_api",
        words(WireApi::WORDS),
        "The protocol that it speaks.",
    )
    .default("responses"),
    key(
        "model_providers.*.http_headers.*",
        Kind::Text,
        "A header that every request has.",
    )
    .secret(),
    key(
        "model_providers.*.env_http_headers.*",
        Kind::Text,
        "A header that has the value of this environment variable, where it is set.",
    ),
    key(
        "model_providers.*.query_params.*",
        Kind::Text,
        "A parameter that every URL has.",
    )
    .secret(),
    key(
        "model_providers.*.request_max_retries",
        Kind::Whole(0, MOST_RETRIES),
        "How often a failed request is tried again.",
    )
    .default("4"),
    key(
        "model_providers.*.stream_max_retries",
        Kind::Whole(0, MOST_RETRIES),
        "How often an answer that broke off is asked for again.",
    )
    .default("5"),
    key(
        "model_providers.*.stream_idle_timeout_ms",
        Kind::Whole(1, MOST_WAITING),
        "Milliseconds without a word after which an answer counts as broken off.",
    )
    .default("300000"),
    key(
        "models.*.tools",
        Kind::Texts,
        "The tools that this model is offered.",
    )
    .default("all; few for small models, which their names tell"),
    key(
        "models.*.instructions",
        words(Instructions::WORDS),
        "How much this model is told about its work.",
    )
    .default("`full`; less for small models, which their names tell"),
    key(
        "models.*.schema",
        words(ToolSchema::WORDS),
        "How tools are described to this model; `compact` leaves out optional parameters.",
    )
    .default("`full`; less for small models, which their names tell"),
    key(
        "models.*.context_window",
        Kind::Whole(1, MOST_TOKENS),
        "The tokens that this model's window holds.",
    )
    .default("`model_context_window`"),
    key(
        "models.*.images",
        Kind::Switch,
        "Whether this model takes images; then it is offered `view_image`. Of a name that is not known, `false`.",
    )
    .default("by the model's name"),
    key(
        "models.*.max_output_tokens",
        Kind::Whole(1, MOST_TOKENS),
        "The most tokens that one answer of this model may take.",
    ),
    key(
        "mcp_servers.*.command",
        Kind::Text,
        "The program of an MCP server that speaks over its standard streams.",
    ),
    key("mcp_servers.*.args", Kind::Texts, "Its arguments."),
    key(
        "mcp_servers.*.env.*",
        Kind::Text,
        "A variable that it gets with this value.",
    )
    .secret(),
    key(
        "mcp_servers.*.cwd",
        Kind::Path,
        "The directory that it starts in.",
    )
    .default("the workspace"),
    key(
        "mcp_servers.*.url",
        Kind::Url,
        "Where an MCP server that speaks HTTP is reached.",
    ),
    key(
        "mcp_servers.*.bearer_token_env_var",
        Kind::Text,
        "The environment variable that holds its token.",
    ),
    key(
        "mcp_servers.*.http_headers.*",
        Kind::Text,
        "A header that every request to it has.",
    )
    .secret(),
    key(
        "mcp_servers.*.env_http_headers.*",
        Kind::Text,
        "A header that has the value of this environment variable, where it is set.",
    ),
    key(
        "mcp_servers.*.enabled",
        Kind::Switch,
        "Whether it is used at all.",
    )
    .default("true"),
    key(
        "mcp_servers.*.required",
        Kind::Switch,
        "Whether a session fails without it.",
    )
    .default("false"),
    key(
        "mcp_servers.*.enabled_tools",
        Kind::Texts,
        "The tools of it that a model is offered.",
    )
    .default("all"),
    key(
        "mcp_servers.*.disabled_tools",
        Kind::Texts,
        "Of those, the ones that it is not.",
    ),
    key(
        "mcp_servers.*.startup_timeout_sec",
        Kind::Seconds,
        "How long it may take to start.",
    )
    .default("10"),
    key(
        "mcp_servers.*.tool_timeout_sec",
        Kind::Seconds,
        "How long a call of a tool may take.",
    )
    .default("60"),
    key(
        "projects.*.trust_level",
        words(TrustLevel::WORDS),
        "What you said about a project, by its path. It grants nothing.",
    ),
    key(
        "otel.environment",
        Kind::Text,
        "The environment's name in what is exported.",
    )
    .default("dev"),
    key(
        "otel.exporter",
        Kind::Raw,
        "Where logs are exported to, in Codex's form.",
    )
    .default("none")
    .secret(),
    key(
        "otel.trace_exporter",
        Kind::Raw,
        "Where traces are exported to, in Codex's form.",
    )
    .default("none")
    .secret(),
    key(
        "otel.metrics_exporter",
        Kind::Raw,
        "Where metrics are exported to, in Codex's form.",
    )
    .default("none")
    .secret(),
    key(
        "otel.log_user_prompt",
        Kind::Switch,
        "Whether prompts are exported as they are.",
    )
    .default("false"),
];

/// Codex's keys that have no effect here, so that a shared file needs no change. Each counts with
/// everything below it.
pub(super) const UNUSED: &[&str] = &[
    "agents",
    "allow_login_shell",
    "analytics",
    "approvals_reviewer",
    "apps",
    "apps_mcp_product_sku",
    "audio",
    "auto_review",
    "background_terminal_max_timeout",
    "chatgpt_base_url",
    "check_for_update_on_startup",
    "cli_auth_credentials_store",
    "compact_prompt",
    "debug",
    "default_permissions",
    "desktop",
    "developer_instructions",
    "disable_paste_burst",
    "disable_response_storage",
    "experimental_compact_prompt_file",
    "experimental_instructions_file",
    "experimental_realtime_start_instructions",
    "experimental_realtime_ws_backend_prompt",
    "experimental_realtime_ws_base_url",
    "experimental_realtime_ws_model",
    "experimental_realtime_ws_startup_context",
    "experimental_thread_config_endpoint",
    "experimental_thread_store",
    "experimental_use_unified_exec_tool",
    "features",
    "feedback",
    "file_opener",
    "forced_chatgpt_workspace_id",
    "forced_login_method",
    "ghost_snapshot",
    "hide_agent_reasoning",
    "history",
    "hooks",
    "include_apps_instructions",
    "include_collaboration_mode_instructions",
    "include_environment_context",
    "include_permissions_instructions",
    "instructions",
    "log_dir",
    "marketplaces",
    "mcp_oauth_callback_port",
    "mcp_oauth_callback_url",
    "mcp_oauth_credentials_store",
    "memories",
    "model_auto_compact_token_limit_scope",
    "model_catalog_json",
    "model_instructions_file",
    "model_supports_reasoning_summaries",
    "notice",
    "notify",
    "oss_provider",
    "permissions",
    "personality",
    "plan_mode_reasoning_effort",
    "plugins",
    "project_doc_fallback_filenames",
    "project_root_markers",
    "realtime",
    "review_model",
    "service_tier",
    "show_raw_agent_reasoning",
    "skills",
    "sqlite_home",
    "suppress_unstable_features_warning",
    "tool_output_token_limit",
    "tool_suggest",
    "tools",
    "tui",
    "windows",
    "mcp_servers.*.default_tools_approval_mode",
    "mcp_servers.*.env_vars",
    "mcp_servers.*.environment_id",
    "mcp_servers.*.name",
    "mcp_servers.*.oauth",
    "mcp_servers.*.oauth_resource",
    "mcp_servers.*.scopes",
    "mcp_servers.*.startup_timeout_ms",
    "mcp_servers.*.supports_parallel_tool_calls",
    "mcp_servers.*.tools",
    "model_providers.*.auth",
    "model_providers.*.aws",
    "model_providers.*.supports_websockets",
    "model_providers.*.websocket_connect_timeout_ms",
    "otel.span_attributes",
    "otel.tracestate",
    "sandbox_workspace_write.exclude_slash_tmp",
    "sandbox_workspace_write.exclude_tmpdir_env_var",
    "shell_environment_policy.experimental_use_profile",
];
