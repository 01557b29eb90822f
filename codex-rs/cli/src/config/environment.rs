//! Every environment variable that the binary reads, by name.

/// Where codex keeps its own files. Default: `.codex` in the home directory.
pub(crate) const CODEX_HOME: &str = "CODEX_HOME";
/// The file that takes the audit log instead of `audit/` in [`CODEX_HOME`].
pub(crate) const CODEX_AUDIT_LOG: &str = "CODEX_AUDIT_LOG";
/// The home directory, which `~` in paths stands for.
pub(crate) const HOME: &str = "HOME";
/// Where programs are looked up.
pub(crate) const PATH: &str = "PATH";
/// The key of the `openai` provider.
pub(crate) const OPENAI_API_KEY: &str = "OPENAI_API_KEY";
/// The key of the `openai` provider where `OPENAI_API_KEY` is not set.
pub(crate) const CODEX_API_KEY: &str = "CODEX_API_KEY";
/// The key of the `anthropic` provider.
pub(crate) const ANTHROPIC_API_KEY: &str = "ANTHROPIC_API_KEY";
/// Where the `openai` provider is reached, with its `/v1`.
pub(crate) const OPENAI_BASE_URL: &str = "OPENAI_BASE_URL";
/// Where the `anthropic` provider is reached; a missing `/v1` is added.
pub(crate) const ANTHROPIC_BASE_URL: &str = "ANTHROPIC_BASE_URL";
/// Set and not empty: no colour, whatever the terminal (no-color.org).
pub(crate) const NO_COLOR: &str = "NO_COLOR";
/// Set and not `0`: colour also where the output is no terminal.
pub(crate) const CLICOLOR_FORCE: &str = "CLICOLOR_FORCE";
/// The proxy for `http` URLs of model providers, and of hosts that are read.
pub(crate) const HTTP_PROXY: &str = "HTTP_PROXY";
/// The proxy for `https` URLs of model providers, and of hosts that are read.
pub(crate) const HTTPS_PROXY: &str = "HTTPS_PROXY";
/// Hosts that are reached without a proxy.
pub(crate) const NO_PROXY: &str = "NO_PROXY";

/// Name and meaning of each.
pub(super) const VARIABLES: &[(&str, &str)] = &[
    (
        CODEX_HOME,
        "Where codex keeps its own files; default `~/.codex`.",
    ),
    (
        CODEX_AUDIT_LOG,
        "The file that takes the audit log; `--audit-log` goes before it.",
    ),
    (HOME, "The home directory, which `~` in paths stands for."),
    (PATH, "Where programs are looked up."),
    (OPENAI_API_KEY, "The key of the provider `openai`."),
    (
        CODEX_API_KEY,
        "The key of the provider `openai` where `OPENAI_API_KEY` is not set.",
    ),
    (ANTHROPIC_API_KEY, "The key of the provider `anthropic`."),
    (
        OPENAI_BASE_URL,
        "Where the provider `openai` is reached, with its `/v1`.",
    ),
    (
        ANTHROPIC_BASE_URL,
        "Where the provider `anthropic` is reached; a missing `/v1` is added.",
    ),
    (NO_COLOR, "Set and not empty: no colour."),
    (
        CLICOLOR_FORCE,
        "Set and not `0`: colour also where the output is no terminal.",
    ),
    (
        HTTP_PROXY,
        "The proxy for `http` URLs of model providers and of hosts that commands read; also read in lower case.",
    ),
    (
        HTTPS_PROXY,
        "The proxy for `https` URLs of model providers and of hosts that commands read; also read in lower case.",
    ),
    (
        NO_PROXY,
        "Hosts that are reached without a proxy; also read in lower case.",
    ),
];
