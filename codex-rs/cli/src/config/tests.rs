//! Every source together: who wins, who can only narrow, and what people are told.

mod hostile;
mod messages;
mod profiles;
mod schema;
mod shown;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use codex_protocol::security_profile::SecurityProfile;

use super::words::{AuditDetail, AuditReads, WebSearch};
use super::{ApprovalPolicy, ConfigError, Flags, Inputs, Loaded, Session, load};

/// A home, a repository in it, and a managed file.
struct Desk {
    dir: tempfile::TempDir,
}

/// What is given for one run.
#[derive(Clone, Default)]
struct Run {
    overrides: Vec<String>,
    flags: Flags,
    session: Session,
    variables: Vec<(&'static str, &'static str)>,
}

impl Run {
    fn with(overrides: &[&str]) -> Self {
        let overrides = overrides.iter().map(|text| (*text).to_owned()).collect();
        Self {
            overrides,
            ..Self::default()
        }
    }

    fn profile(name: &str) -> Self {
        Self {
            flags: Flags {
                profile: Some(name.to_owned()),
                ..Flags::default()
            },
            ..Self::default()
        }
    }
}

impl Desk {
    fn new() -> Self {
        let desk = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        fs::create_dir_all(desk.at("home/.codex")).unwrap();
        fs::create_dir_all(desk.at("home/repo/.git")).unwrap();
        fs::create_dir_all(desk.at("home/repo/deep")).unwrap();
        desk
    }

    fn user(text: &str) -> Self {
        let desk = Self::new();
        desk.write("home/.codex/config.toml", text);
        desk
    }

    /// The temporary directory's real path, as the project's files are found by it.
    fn at(&self, path: &str) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join(path)
    }

    fn write(&self, path: &str, bytes: impl AsRef<[u8]>) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn project(&self, text: &str) {
        self.write("home/repo/.codex/config.toml", text);
    }

    fn deeper_project(&self, text: &str) {
        self.write("home/repo/deep/.codex/config.toml", text);
    }

    fn managed(&self, text: &str) {
        self.write("managed.toml", text);
    }

    fn try_load(&self, run: &Run) -> Result<Loaded, ConfigError> {
        let variable = |name: &str| {
            let found = run.variables.iter().find(|(of, _)| *of == name);
            found.map(|(_, value)| OsString::from(value))
        };
        load(&Inputs {
            codex_home: &self.at("home/.codex"),
            home: Some(&self.at("home")),
            managed: &self.at("managed.toml"),
            workspace: &self.at("home/repo/deep"),
            here: &self.at("home/repo"),
            variable: &variable,
            overrides: &run.overrides,
            flags: &run.flags,
            session: &run.session,
        })
    }

    fn load_for(&self, run: &Run) -> Loaded {
        self.try_load(run).unwrap()
    }

    fn load(&self) -> Loaded {
        self.load_for(&Run::default())
    }

    fn error(&self, run: &Run) -> String {
        match self.try_load(run) {
            Ok(_) => panic!("it was loaded"),
            Err(error) => error.to_string(),
        }
    }
}

impl Loaded {
    fn origin(&self, key: &str) -> String {
        self.origins
            .get(key)
            .map_or_else(|| "default".to_owned(), ToString::to_string)
    }
}

#[test]
fn without_any_source_defaults_hold() {
    let loaded = Desk::new().load();
    let config = &loaded.config;
    assert_eq!(loaded.warnings, Vec::<String>::new());
    assert_eq!(config.rights.profile, SecurityProfile::Offline);
    assert_eq!(config.approval_policy, ApprovalPolicy::Never);
    assert_eq!(config.web_search, WebSearch::Disabled);
    assert_eq!(config.model, None);
    assert_eq!(loaded.origin("profile"), "default");
}

#[test]
fn whoever_is_nearer_to_the_run_wins() {
    let desk = Desk::new();
    let mut run = Run::default();
    let seen = |desk: &Desk, run: &Run| {
        let loaded = desk.load_for(run);
        (loaded.config.model.clone().unwrap(), loaded.origin("model"))
    };
    let managed = desk.at("managed.toml");
    desk.managed("model = 'managed'");
    assert_eq!(
        seen(&desk, &run),
        (
            "managed".into(),
            format!("managed ({}:1)", managed.display())
        )
    );
    desk.write("home/.codex/config.toml", "\n model = 'user'");
    let user = "user (~/.codex/config.toml:2)".to_owned();
    assert_eq!(seen(&desk, &run), ("user".into(), user.clone()));
    // A project has no say in this one.
    desk.project("model = 'project'");
    assert_eq!(seen(&desk, &run), ("user".into(), user));
    run.session.model = Some("session".to_owned());
    assert_eq!(seen(&desk, &run), ("session".into(), "session".into()));
    run.overrides = vec!["model=first".to_owned(), "model = \"override\"".to_owned()];
    assert_eq!(seen(&desk, &run), ("override".into(), "-c".into()));
    run.flags.model = Some("flag".to_owned());
    assert_eq!(seen(&desk, &run), ("flag".into(), "--model".into()));
}

#[test]
fn the_environment_goes_between_flags_and_files() {
    let desk = Desk::user("openai_base_url = 'https://file.example/v1/'\naudit.path = 'log'");
    let url = |run: &Run| {
        desk.load_for(run).config.providers["openai"]
            .base_url
            .clone()
    };
    assert_eq!(
        url(&Run::default()).as_deref(),
        Some("https://file.example/v1")
    );
    let mut run = Run {
        variables: vec![("OPENAI_BASE_URL", "https://variable.example/v1")],
        ..Run::default()
    };
    assert_eq!(url(&run).as_deref(), Some("https://variable.example/v1"));
    run.overrides = vec!["model_providers.openai.base_url=https://c.example".to_owned()];
    assert_eq!(url(&run).as_deref(), Some("https://c.example"));

    let path = |run: &Run| desk.load_for(run).config.audit.path.clone();
    assert_eq!(path(&run), Some(desk.at("home/.codex/log")));
    run.variables = vec![("CODEX_AUDIT_LOG", "v.jsonl")];
    assert_eq!(path(&run), Some(desk.at("home/repo/v.jsonl")));
    run.variables = vec![("CODEX_AUDIT_LOG", "")];
    assert_eq!(path(&run), Some(desk.at("home/.codex/log")));
    run.flags.audit_log = Some("f.jsonl".into());
    assert_eq!(path(&run), Some(desk.at("home/repo/f.jsonl")));

    let run = Run {
        variables: vec![("ANTHROPIC_BASE_URL", "nowhere")],
        ..Run::default()
    };
    assert_eq!(
        desk.error(&run),
        "ANTHROPIC_BASE_URL: 'model_providers.anthropic.base_url' is no URL; expected one that begins with http:// or https://"
    );
}

#[test]
fn a_whole_file_of_codex_is_read_without_a_warning() {
    let loaded = Desk::user(
        r#"
model = "gpt-5.5"
model_provider = "azure"
approval_policy = "on-failure"
sandbox_mode = "workspace-write"
model_reasoning_effort = "high"
model_reasoning_summary = "detailed"
model_verbosity = "low"
model_context_window = 400_000
web_search = "cached"
project_doc_max_bytes = 1000
notify = ["notify-send"]
file_opener = "vscode"
hide_agent_reasoning = true

[model_providers.azure]
name = "Azure"
base_url = "https://me.openai.azure.com/openai"
env_key = "AZURE_OPENAI_API_KEY"
wire_api = "responses"
query_params = { api-version = "2025-04-01-preview" }
http_headers = { "X-Team" = "core" }
env_http_headers = { "X-Feature" = "FEATURE" }
request_max_retries = 2
stream_max_retries = 3
stream_idle_timeout_ms = 60000

[mcp_servers.docs]
command = "npx"
args = ["-y", "docs-server"]
env = { TOKEN = "t" }
startup_timeout_sec = 20
tool_timeout_sec = 30.5
enabled = false
tools.search.approval_mode = "approve"

[projects."/srv/my.project"]
trust_level = "trusted"

[sandbox_workspace_write]
writable_roots = ["/srv/cache"]
exclude_slash_tmp = true

[shell_environment_policy]
inherit = "core"
exclude = ["AWS_*"]
set = { CI = "1" }

[otel]
environment = "staging"
exporter = { otlp-http = { endpoint = "https://o.example", headers = { "x-key" = "s" } } }

[history]
persistence = "none"

[tui]
notifications = ["agent-turn-complete"]

[tui.keymap]
anything = { at = "all" }

[features]
web_search = true

[profiles.fast]
model = "gpt-5.5-mini"
model_reasoning_effort = "low"
features.memories = true
"#,
    )
    .load();
    assert_eq!(loaded.warnings, Vec::<String>::new());
    let config = &loaded.config;
    assert_eq!(config.rights.profile, SecurityProfile::WorkspaceWrite);
    assert_eq!(config.rights.writable_roots, [Path::new("/srv/cache")]);
    assert_eq!(config.approval_policy, ApprovalPolicy::OnRequest);
    assert_eq!(config.web_search, WebSearch::Cached);
    assert_eq!(config.context_window, Some(400_000));
    let azure = &config.providers["azure"];
    assert_eq!(azure.env_keys, ["AZURE_OPENAI_API_KEY"]);
    assert_eq!(azure.query_params["api-version"], "2025-04-01-preview");
    assert_eq!(azure.http_headers["X-Team"], "core");
    assert_eq!(
        (azure.request_max_retries, azure.stream_max_retries),
        (2, 3)
    );
    assert_eq!(azure.stream_idle_timeout.as_secs(), 60);
    let docs = &config.mcp_servers["docs"];
    assert_eq!(docs.args, ["-y", "docs-server"]);
    assert_eq!(
        (
            docs.startup_timeout.as_secs(),
            docs.tool_timeout.as_millis()
        ),
        (20, 30_500)
    );
    assert!(!docs.enabled);
    assert!(config.projects.contains_key(Path::new("/srv/my.project")));
    assert!(config.shell_environment.keeps("PATH"));
    assert!(!config.shell_environment.keeps("CARGO_HOME"));
    assert_eq!(config.otel.environment, "staging");
}

#[test]
fn a_command_keeps_only_the_variables_that_are_left() {
    for (policy, kept, gone) in [
        ("", &["PATH", "CARGO_HOME"][..], &[][..]),
        ("inherit = 'none'", &[], &["PATH"]),
        ("exclude = ['cargo_*']", &["PATH"], &["CARGO_HOME"]),
        ("include_only = ['P*']", &["PATH"], &["HOME"]),
    ] {
        let loaded = Desk::user(&format!("[shell_environment_policy]\n{policy}")).load();
        let environment = &loaded.config.shell_environment;
        assert!(kept.iter().all(|name| environment.keeps(name)), "{policy}");
        assert!(!gone.iter().any(|name| environment.keeps(name)), "{policy}");
    }
}

#[test]
fn overrides_are_toml_or_plain_text() {
    let desk = Desk::new();
    let config = |given: &[&str]| desk.load_for(&Run::with(given)).config;
    assert_eq!(config(&["model=gpt-5.1"]).model.as_deref(), Some("gpt-5.1"));
    assert_eq!(config(&["model=5"]).model.as_deref(), Some("5"));
    assert_eq!(config(&["model='a b'"]).model.as_deref(), Some("a b"));
    let own = config(&["model_providers.own={ base_url = 'http://h/v1', wire_api = 'chat' }"]);
    assert_eq!(
        own.providers["own"].base_url.as_deref(),
        Some("http://h/v1")
    );
    let models = config(&["models.\"a.b\".tools=[\"shell\"]"]).models;
    assert_eq!(models["a.b"].tools, Some(vec!["shell".to_owned()]));
    let paths = config(&["deny_read=['x']", "audit.reads=denied"]);
    assert_eq!(paths.rights.deny_read, [desk.at("home/repo/x")]);
    assert_eq!(paths.audit.reads, Some(AuditReads::Denied));
    // Codex's own are known here as well.
    assert_eq!(
        desk.load_for(&Run::with(&["tui.theme=dark"]))
            .warnings
            .len(),
        0
    );
}

#[test]
fn what_any_file_denies_is_denied() {
    let desk = Desk::user("deny_read = ['/a']\nsecrets = ['~/keys/*.pem']\naudit.detail = 'full'");
    desk.managed("deny_read = ['/m']\naudit.detail = 'minimal'");
    desk.project("deny_read = ['generated', '/a']\nsecrets = ['*.key']\naudit.reads = 'denied'");
    let loaded = desk.load_for(&Run::with(&["deny_read=['/c']"]));
    let rights = &loaded.config.rights;
    let expected = ["/m", "/a", "/c"].map(PathBuf::from);
    assert_eq!(rights.deny_read[..3], expected);
    assert_eq!(rights.deny_read[3..], [desk.at("home/repo/generated")]);
    let secret = |path: &str| rights.secrets.iter().any(|s| s.matches(&desk.at(path)));
    assert!(secret("home/keys/a.pem") && secret("home/repo/b.key"));
    assert!(!secret("home/keys/a.pub") && !secret("home/repo/deep/b.key"));
    assert_eq!(loaded.config.audit.detail, AuditDetail::Full);
    assert_eq!(loaded.config.audit.reads, Some(AuditReads::Denied));
    assert_eq!(
        loaded.origin("deny_read[3]"),
        "project (~/repo/.codex/config.toml:1)"
    );
}
