//! The configuration: files, environment and flags, laid over one another, typed and settled.
//!
//! | module | holds |
//! |---|---|
//! | `keys`, `key`, `words`, `value` | the one table of settings, and what their values may be |
//! | `file`, `document`, `outside` | reading each source |
//! | `tree`, `profiles`, `rights` | laying them over one another; choosing and tightening rights |
//! | `settings`, `providers`, `show` | the result |
//! | `approved` | writing down what a person allowed for good |
//! | `origin`, `warning`, `text` | where a value comes from, and what to tell people |
//! | `schema`, `reference` | the JSON Schema and the page in `docs/`, which tests keep as the table of settings is |
//!
//! Precedence: flag, `-c`, environment, session, project, user, managed. A project's file and the
//! managed one only ever tighten.

mod approved;
mod document;
pub(crate) mod environment;
mod file;
mod key;
mod keys;
mod origin;
mod outside;
mod profiles;
mod providers;
mod rights;
mod settings;
mod show;
mod text;
mod tree;
mod value;
mod warning;
mod words;

#[cfg(test)]
mod reference;
#[cfg(test)]
mod schema;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

pub(crate) use approved::ApprovedHosts;
pub(crate) use origin::{ConfigError, Origin};
pub(crate) use outside::{Flags, Session};
pub(crate) use providers::built_in_names;
pub(crate) use rights::Rights;
pub(crate) use settings::{Config, Otel, ShellEnvironment};
pub(crate) use show::show;
pub(crate) use words::{
    ApprovalPolicy, AuditDetail, AuditReads, Instructions, ToolSchema, WebSearch, WireApi,
};

use document::Owner;
use profiles::{Rank, Sources};
use tree::Tree;
use value::Base;
use warning::Warnings;

/// Everything that settings are read from.
pub(crate) struct Inputs<'a> {
    /// Where codex keeps its own files.
    pub(crate) codex_home: &'a Path,
    /// The person's home.
    pub(crate) home: Option<&'a Path>,
    /// An administrator's file.
    pub(crate) managed: &'a Path,
    /// The directory that the run works in; its project's files are looked for around it.
    pub(crate) workspace: &'a Path,
    /// The directory that relative paths of flags are seen from.
    pub(crate) here: &'a Path,
    /// Looks up a variable of the environment.
    pub(crate) variable: &'a dyn Fn(&str) -> Option<OsString>,
    /// Every `-c key=value`.
    pub(crate) overrides: &'a [String],
    /// Flags of their own.
    pub(crate) flags: &'a Flags,
    /// What a resumed session ran with.
    pub(crate) session: &'a Session,
}

/// The configuration of a run.
pub(crate) struct Loaded {
    /// What holds.
    pub(crate) config: Config,
    /// Where each setting comes from, by its dotted key.
    pub(crate) origins: BTreeMap<String, Origin>,
    /// What a person should know.
    pub(crate) warnings: Vec<String>,
    tree: Tree,
}

/// Reads every source and settles what holds.
///
/// # Errors
/// When a source cannot be read or says something that cannot be meant. Unknown keys are warned
/// of.
pub(crate) fn load(inputs: &Inputs<'_>) -> Result<Loaded, ConfigError> {
    let mut warnings = Warnings::default();
    let home = inputs.home;
    let here = Base {
        folder: inputs.here,
        home,
    };
    let user_file = inputs.codex_home.join(file::FILE_NAME);
    let mut sources = Sources {
        managed: file::layer(inputs.managed, Owner::Managed, home, &mut warnings)?,
        projects: file::project_layers(inputs.workspace, inputs.codex_home, home, &mut warnings),
        stack: vec![
            (
                Rank::User,
                file::layer(&user_file, Owner::User, home, &mut warnings)?,
            ),
            (Rank::Session, outside::session(inputs.session)),
            (
                Rank::Environment,
                outside::environment(inputs.variable, here, &mut warnings)?,
            ),
            (
                Rank::Override,
                outside::overrides(inputs.overrides, here, &mut warnings)?,
            ),
            (Rank::Flag, outside::flags(inputs.flags, inputs.here)?),
        ],
    };
    let name = sources.select(&mut warnings)?;
    let mut tree = Tree::default();
    tree.lay(&sources.managed);
    for (_, layer) in &sources.stack {
        tree.lay(layer);
    }
    let mut origins = std::mem::take(&mut tree.origins);
    let tightened = sources.tighten(name, ApprovalPolicy::Never, &mut origins, &mut warnings)?;
    if let Some(warning) = settings::wants_more_environment(&tree) {
        warnings.say(warning);
    }
    let config = settings::settle(&tree, tightened);
    Ok(Loaded {
        config,
        origins,
        warnings: warnings.finish(),
        tree,
    })
}
