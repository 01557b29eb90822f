//! Settings that come from no file: flags, `-c`, the environment, a resumed session.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use codex_protocol::security_profile::SecurityProfile;
use toml::de::{DeTable, DeValue};

use super::document::read_value;
use super::environment;
use super::origin::{ConfigError, Origin};
use super::text::excerpt;
use super::tree::Layer;
use super::value::{Base, Value};
use super::warning::Warnings;
use super::words::{ApprovalPolicy, AuditReads, sandbox_mode};

/// Flags that are settings.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flags {
    /// `--profile`: a built-in profile or a named one.
    pub(crate) profile: Option<String>,
    /// `--sandbox`, another spelling of `--profile` for three built-in ones.
    pub(crate) sandbox_mode: Option<SecurityProfile>,
    /// `--full-auto`: WorkspaceWrite and `on-request`, where no flag says otherwise.
    pub(crate) full_auto: bool,
    /// `--model`.
    pub(crate) model: Option<String>,
    /// `--provider`.
    pub(crate) provider: Option<String>,
    /// `--ask-for-approval`.
    pub(crate) ask_for_approval: Option<ApprovalPolicy>,
    /// `--audit-log`.
    pub(crate) audit_log: Option<PathBuf>,
    /// `--audit-reads`.
    pub(crate) audit_reads: Option<AuditReads>,
}

/// What a resumed session ran with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Session {
    /// A built-in profile or a named one.
    pub(crate) profile: Option<String>,
    /// The model.
    pub(crate) model: Option<String>,
    /// The provider.
    pub(crate) provider: Option<String>,
}

/// `--profile` and `--sandbox` name different built-in profiles.
fn disagree(flags: &Flags) -> Option<(SecurityProfile, SecurityProfile)> {
    let by_profile: SecurityProfile = flags.profile.as_ref()?.parse().ok()?;
    let by_sandbox = flags.sandbox_mode?;
    (by_profile != by_sandbox).then_some((by_profile, by_sandbox))
}

pub(super) fn flags(flags: &Flags, cwd: &Path) -> Result<Layer, ConfigError> {
    let mut layer = Layer::default();
    if let Some((by_profile, by_sandbox)) = disagree(flags) {
        return Err(ConfigError::Setting {
            whereabouts: "--sandbox".to_owned(),
            what: format!("asks for {by_sandbox} and --profile for {by_profile}; give one of them"),
        });
    }
    let mut text = |path: &[&str], value: &Option<String>, flag| {
        if let Some(value) = value {
            layer.set(path, Value::Text(value.clone()), Origin::Flag(flag));
        }
    };
    text(&["profile"], &flags.profile, "--profile");
    text(&["model"], &flags.model, "--model");
    text(&["model_provider"], &flags.provider, "--provider");

    let named = flags
        .profile
        .as_ref()
        .is_some_and(|name| name.parse::<SecurityProfile>().is_err());
    let (mode, flag) = match flags.sandbox_mode {
        Some(profile) => (sandbox_mode(profile), "--sandbox"),
        None if flags.full_auto && (flags.profile.is_none() || named) => {
            (sandbox_mode(SecurityProfile::WorkspaceWrite), "--full-auto")
        }
        None => (None, ""),
    };
    if let Some(mode) = mode {
        layer.set(&["sandbox_mode"], Value::Word(mode), Origin::Flag(flag));
    }
    let (approval, flag) = match flags.ask_for_approval {
        Some(policy) => (Some(policy), "--ask-for-approval"),
        None => (
            flags.full_auto.then_some(ApprovalPolicy::OnRequest),
            "--full-auto",
        ),
    };
    if let Some(policy) = approval {
        layer.set(
            &["approval_policy"],
            Value::Word(policy.word()),
            Origin::Flag(flag),
        );
    }
    if let Some(path) = &flags.audit_log {
        let path = Value::Path(cwd.join(path));
        layer.set(&["audit", "path"], path, Origin::Flag("--audit-log"));
    }
    if let Some(reads) = flags.audit_reads {
        let reads = Value::Word(reads.word());
        layer.set(&["audit", "reads"], reads, Origin::Flag("--audit-reads"));
    }
    Ok(layer)
}

pub(super) fn session(session: &Session) -> Layer {
    let mut layer = Layer::default();
    for (key, value) in [
        ("profile", &session.profile),
        ("model", &session.model),
        ("model_provider", &session.provider),
    ] {
        if let Some(value) = value {
            layer.set(&[key], Value::Text(value.clone()), Origin::Session);
        }
    }
    layer
}

/// Reads the variables that are settings. One that is empty counts as not set.
pub(super) fn environment(
    variable: &dyn Fn(&str) -> Option<OsString>,
    base: Base<'_>,
    warnings: &mut Warnings,
) -> Result<Layer, ConfigError> {
    let mut layer = Layer::default();
    if let Some(path) = variable(environment::CODEX_AUDIT_LOG).filter(|path| !path.is_empty()) {
        let origin = Origin::Environment(environment::CODEX_AUDIT_LOG);
        layer.set(
            &["audit", "path"],
            Value::Path(base.folder.join(path)),
            origin,
        );
    }
    for (name, provider) in [
        (environment::OPENAI_BASE_URL, "openai"),
        (environment::ANTHROPIC_BASE_URL, "anthropic"),
    ] {
        let Some(url) = variable(name).filter(|url| !url.is_empty()) else {
            continue;
        };
        let origin = Origin::Environment(name);
        let Ok(mut url) = url.into_string() else {
            return Err(ConfigError::about(
                &origin,
                "is not UTF-8; set it to a URL".to_owned(),
            ));
        };
        // The variable's other users add the version themselves.
        if provider == "anthropic" && !url.trim_end_matches('/').ends_with("/v1") {
            url = format!("{}/v1", url.trim_end_matches('/'));
        }
        let path = ["model_providers", provider, "base_url"].map(str::to_owned);
        let value = toml::Spanned::new(0..0, DeValue::String(url.into()));
        let read = read_value(&path, &value, base, &origin, warnings)
            .map_err(|what| ConfigError::about(&origin, what))?;
        layer.settings.extend(read.settings);
    }
    Ok(layer)
}

/// Reads every `-c key=value`; of two for one key, the later counts.
pub(super) fn overrides(
    given: &[String],
    base: Base<'_>,
    warnings: &mut Warnings,
) -> Result<Layer, ConfigError> {
    let mut layer = Layer::default();
    for entry in given {
        let failed = |what: String| ConfigError::about(&Origin::Override, what);
        let Some((key, text)) = entry.split_once('=') else {
            return Err(failed(format!(
                "{} has no '='; write key=value",
                excerpt(entry)
            )));
        };
        let Some(path) = key_path(key.trim()) else {
            return Err(failed(format!(
                "{} is no key; write dotted names, and quote a name that holds a dot",
                excerpt(key)
            )));
        };
        let read = |value: &toml::Spanned<DeValue<'_>>, warnings: &mut Warnings| {
            read_value(&path, value, base, &Origin::Override, warnings)
        };
        let plain = toml::Spanned::new(0..0, DeValue::String(text.into()));
        let value = match DeValue::parse(text.trim()) {
            // A name that only looks like a number is meant where a text is expected.
            Ok(value) => {
                read(&value, warnings).or_else(|what| read(&plain, warnings).map_err(|_| what))
            }
            Err(_) => read(&plain, warnings),
        };
        let value = value.map_err(failed)?;
        layer.settings.extend(value.settings);
        layer.named.extend(value.named);
    }
    Ok(layer)
}

/// The parts of a dotted key, as TOML reads them; where TOML does not, as between its dots.
fn key_path(key: &str) -> Option<Vec<String>> {
    // One line only, or a second key could follow.
    if key.is_empty() || key.contains(['\n', '\r', '=', '#']) {
        return None;
    }
    let document = format!("{key} = 0");
    if let Ok(parsed) = DeTable::parse(&document) {
        let mut path = Vec::new();
        let mut table = parsed.get_ref();
        while let Some((name, value)) = table.iter().next() {
            path.push(name.get_ref().clone().into_owned());
            match value.get_ref() {
                DeValue::Table(inner) => table = inner,
                _ => break,
            }
        }
        return Some(path);
    }
    let path: Vec<String> = key.split('.').map(str::to_owned).collect();
    (!key.contains(['"', '\'', '[']) && path.iter().all(|part| !part.is_empty())).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_overrides_are_split() {
        let parts = |key: &str| key_path(key).map(|path| path.join("|"));
        for (key, expected) in [
            ("model", Some("model")),
            ("a.b.c", Some("a|b|c")),
            ("models.\"gpt-5.1\".tools", Some("models|gpt-5.1|tools")),
            ("models.'a.b'.tools", Some("models|a.b|tools")),
            (
                "projects./srv/x.trust_level",
                Some("projects|/srv/x|trust_level"),
            ),
            ("", None),
            ("a..b", None),
            ("a\nb", None),
            ("\"a", None),
            ("[a]\nb", None),
        ] {
            assert_eq!(parts(key).as_deref(), expected, "{key}");
        }
    }
}
