//! Which model answers: a recording, what is configured, or the first that is there.

use std::fs::{self, OpenOptions};
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use codex_core::store::Header;
use codex_http::{Client, ClientOptions, ProxySettings, Secret, TrustRoots};
use codex_model::{Provider, RecordedModel, Replay, WireApi, http_model};
use codex_protocol::gate::Authorized;
use codex_protocol::model::{Model, ReasoningEffort};
use codex_protocol::permission::{NotPermitted, Permissions};
use codex_protocol::record::Recorded;
use codex_protocol::request::ModelRequest;
use codex_sandbox::private;
use serde_json::Value;

use crate::config::{self, Config};
use crate::failure::{Failure, Kind, OrFail as _};
use crate::setup::{Base, variable};

/// The model's side of a run.
pub(crate) struct Chosen {
    /// What answers.
    pub(crate) model: Box<dyn Model>,
    /// The model's name.
    pub(crate) model_name: String,
    /// How much it thinks.
    pub(crate) effort: Option<ReasoningEffort>,
}

/// How long a local server may take to accept a connection.
const LOCAL_PATIENCE: Duration = Duration::from_millis(200);

/// Where the model's side is recorded, or played from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recordings {
    /// Played from here: a file, or a directory with a file for each agent.
    pub(crate) replay: Option<PathBuf>,
    /// Written here, in the same way.
    pub(crate) record: Option<PathBuf>,
}

impl Recordings {
    /// Those of one agent: where there is a directory, the file in it that has the agent's name.
    pub(crate) fn of(&self, agent: &str) -> Self {
        let file = |path: &Option<PathBuf>| {
            let path = path.clone()?;
            Some(match path.is_dir() {
                true => path.join(format!("{agent}.ndjson")),
                false => path,
            })
        };
        Self {
            replay: file(&self.replay),
            record: file(&self.record),
        }
    }

    /// Refuses what is no directory where there are several agents.
    pub(crate) fn check_directories(&self) -> Result<(), Failure> {
        for directory in [&self.replay, &self.record].into_iter().flatten() {
            if !directory.is_dir() {
                return Err(Failure::usage(format!(
                    "'{}' is not a directory: agents have a recording each, NAME.ndjson in one directory",
                    directory.display()
                )));
            }
        }
        Ok(())
    }
}

/// Chooses the model. A resumed session goes on with its own unless this run names another.
pub(crate) fn choose(
    base: &Base,
    recordings: &Recordings,
    resumed: Option<&Header>,
    permissions: &Permissions,
) -> Result<Chosen, Failure> {
    let config = &base.loaded.config;
    let effort = config.reasoning_effort;
    if let Some(path) = &recordings.replay {
        let model = replayed(path)?;
        let model_name = config
            .model
            .clone()
            .unwrap_or_else(|| "recording".to_owned());
        return recorded(
            Chosen {
                model,
                model_name,
                effort,
            },
            recordings,
        );
    }
    let resumed_provider = resumed
        .map(|h| h.provider.clone())
        .filter(|p| config.providers.contains_key(p));
    let name = match config.model_provider.clone().or(resumed_provider) {
        Some(name) => name,
        None => first_available(base, permissions)?,
    };
    let provider = provider(base, &name)?;
    let model_name = match config.model.clone().or_else(|| {
        resumed
            .filter(|h| h.provider == name)
            .map(|h| h.model.clone())
    }) {
        Some(model) => model,
        None => default_model(config, &name)?,
    };
    let model = http_model(provider, client()).or_fail(Kind::Usage)?;
    recorded(
        Chosen {
            model: Box::new(model),
            model_name,
            effort,
        },
        recordings,
    )
}

/// A model that plays this recording.
pub(crate) fn replayed(path: &Path) -> Result<Box<dyn Model>, Failure> {
    Ok(Box::new(Replay::open(path).or_fail(Kind::Usage)?))
}

/// The model's side, recorded where that is wanted.
pub(crate) fn recorded(chosen: Chosen, recordings: &Recordings) -> Result<Chosen, Failure> {
    let Some(path) = &recordings.record else {
        return Ok(chosen);
    };
    let name = path.display().to_string();
    let mut options = OpenOptions::new();
    let file = private::file(options.create(true).append(true)).open(path);
    let file =
        file.map_err(|e| Failure::usage(format!("the recording '{name}' cannot be written: {e}")))?;
    let model = RecordedModel::new(chosen.model, name, file);
    Ok(Chosen {
        model: Box::new(model),
        ..chosen
    })
}

/// The one HTTP client, with the person's own proxy and trusted certificates.
pub(crate) fn client() -> Client {
    Client::new(ClientOptions {
        proxy: proxies(),
        roots: TrustRoots::default(),
    })
}

/// The person's own proxies.
pub(crate) fn proxies() -> ProxySettings {
    let either = |upper: &str| variable(upper).or_else(|| variable(&upper.to_ascii_lowercase()));
    ProxySettings {
        http: either(config::environment::HTTP_PROXY).map(Secret::new),
        https: either(config::environment::HTTPS_PROXY).map(Secret::new),
        no_proxy: either(config::environment::NO_PROXY),
    }
}

fn default_model(config: &Config, provider: &str) -> Result<String, Failure> {
    let default = config.providers.get(provider).and_then(|p| p.default_model);
    default.map(str::to_owned).ok_or_else(|| {
        Failure::usage(format!("no model is chosen for the provider '{provider}': name one with -m MODEL, or 'model' in config.toml"))
    })
}

/// The first built-in provider whose key is set, else the first local server that answers.
fn first_available(base: &Base, permissions: &Permissions) -> Result<String, Failure> {
    let config = &base.loaded.config;
    let built_in =
        || config::built_in_names().filter_map(|name| Some((name, config.providers.get(name)?)));
    for (name, provider) in built_in().filter(|(_, p)| !p.env_keys.is_empty()) {
        if key(&base.codex_home, &provider.env_keys)?.is_some() {
            return Ok(name.to_owned());
        }
    }
    for (name, provider) in built_in().filter(|(_, p)| p.env_keys.is_empty()) {
        let Some(base_url) = &provider.base_url else {
            continue;
        };
        let probe = ModelRequest {
            provider: name.to_owned(),
            model: "(whether a server is there)".to_owned(),
            endpoint: base_url.clone(),
        };
        match permissions.require_unasked(probe, None) {
            Ok(recorded) if answers(&recorded) => return Ok(name.to_owned()),
            Ok(_) | Err(NotPermitted::Denied { .. }) => {}
            Err(NotPermitted::NoRecord(error)) => return Err(Failure::refused(error)),
        }
    }
    Err(Failure::usage(
        "there is no model to talk to: set OPENAI_API_KEY or ANTHROPIC_API_KEY, start a local server (ollama serve, \
         LM Studio, llama-server), or name one with --provider; 'codex demo' needs none",
    ))
}

/// Whether something accepts connections at the host and port of a local server's URL.
fn answers(probe: &Recorded<Authorized<ModelRequest>>) -> bool {
    let endpoint = &probe.get().request().endpoint;
    let address = endpoint
        .strip_prefix("http://")
        .and_then(|rest| rest.split('/').next());
    let address: Option<SocketAddr> = address.and_then(|a| a.parse().ok());
    address.is_some_and(|a| TcpStream::connect_timeout(&a, LOCAL_PATIENCE).is_ok())
}

/// The configured provider with its key and headers.
fn provider(base: &Base, name: &str) -> Result<Provider, Failure> {
    let config: &Config = &base.loaded.config;
    let configured = config.providers.get(name).ok_or_else(|| {
        let known: Vec<&str> = config.providers.keys().map(String::as_str).collect();
        Failure::usage(format!(
            "there is no provider '{name}'; the providers are {}",
            known.join(", ")
        ))
    })?;
    let base_url = configured.base_url.clone().ok_or_else(|| {
        Failure::usage(format!(
            "the provider '{name}' has no base_url; add it to [model_providers.{name}]"
        ))
    })?;
    let wire = match configured.wire_api {
        config::WireApi::Responses => WireApi::Responses,
        config::WireApi::Chat => WireApi::Chat,
        config::WireApi::Messages => WireApi::Messages,
    };
    let mut provider = Provider::new(name, base_url, wire);
    provider.key_variables.clone_from(&configured.env_keys);
    provider.key = match &configured.bearer_token {
        Some(token) => Some(Secret::new(token.clone())),
        None => key(&base.codex_home, &configured.env_keys)?,
    };
    let from_environment = configured
        .env_http_headers
        .iter()
        .filter_map(|(header, name)| Some((header.clone(), variable(name)?)));
    let headers = configured
        .http_headers
        .clone()
        .into_iter()
        .chain(from_environment);
    provider.headers = headers
        .map(|(header, value)| (header, Secret::new(value)))
        .collect();
    provider.query = configured
        .query_params
        .clone()
        .into_iter()
        .map(|(name, value)| (name, Secret::new(value)))
        .collect();
    provider.request_max_retries =
        u32::try_from(configured.request_max_retries).unwrap_or(u32::MAX);
    provider.stream_max_retries = u32::try_from(configured.stream_max_retries).unwrap_or(u32::MAX);
    provider.stream_idle_timeout = configured.stream_idle_timeout;
    provider.base_url_variable = configured.base_url_variable.map(str::to_owned);
    provider.start_command = configured.start_command.map(str::to_owned);
    let sends_key = provider.key.is_some() || !provider.headers.is_empty();
    if !sends_key && let Some(first) = provider.key_variables.first() {
        let how = configured
            .env_key_instructions
            .clone()
            .unwrap_or_else(|| format!("set {first}"));
        return Err(Failure::usage(format!(
            "the provider '{name}' needs a key: {how}, or put {{\"{first}\": \"…\"}} into '{}' with mode 0600; 'codex demo' needs none",
            base.codex_home.join(KEY_FILES[0]).display()
        )));
    }
    Ok(provider)
}

/// Files in `CODEX_HOME` that may hold keys: a JSON object from a variable's name to its value.
/// The second is Codex's.
const KEY_FILES: [&str; 2] = ["auth", "auth.json"];

/// The first of these variables that is set, in the environment or a key file.
fn key(codex_home: &Path, names: &[String]) -> Result<Option<Secret>, Failure> {
    if let Some(value) = names.iter().find_map(|name| variable(name)) {
        return Ok(Some(Secret::new(value)));
    }
    for file in KEY_FILES {
        let path = codex_home.join(file);
        let keys = match read_keys(&path) {
            Ok(keys) => keys,
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => {
                return Err(Failure::usage(format!(
                    "the key file '{}' cannot be used: {e}",
                    path.display()
                )));
            }
        };
        if let Some(value) = names.iter().find_map(|name| keys.get(name)?.as_str()) {
            return Ok(Some(Secret::new(value.to_owned())));
        }
    }
    Ok(None)
}

fn read_keys(path: &Path) -> io::Result<Value> {
    if private::is_shared(&fs::metadata(path)?) {
        return Err(io::Error::other("others can read it; run chmod 600 on it"));
    }
    // What the parser says could quote the file, which holds keys.
    serde_json::from_str(&fs::read_to_string(path)?).map_err(|e| {
        io::Error::other(format!(
            "it is not a JSON object of names and keys (line {}, column {})",
            e.line(),
            e.column()
        ))
    })
}
