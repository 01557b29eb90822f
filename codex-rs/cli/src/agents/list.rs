//! `codex agents list`: the types of agents, and what each would get here.

use std::env;
use std::process::ExitCode;

use codex_protocol::security_profile::SecurityProfile;
use codex_supervisor::definitions::{Agent, AgentDefinition, Definitions, Origin, Sources};
use codex_supervisor::narrow::{Budget, Narrowed, Rights, Selection};
use codex_supervisor::report::counted;
use serde_json::{Value, json};

use crate::args::{AgentsList, Global};
use crate::config::environment;
use crate::failure::{Failure, Kind, OrFail as _};
use crate::print::{self, Painter, Style};
use crate::setup::Base;

pub(crate) fn run(global: &Global, args: &AgentsList) -> Result<ExitCode, Failure> {
    let base = Base::new(global, &args.grants, &[])?;
    let places = base.places();
    let all = Definitions::load(&Sources {
        codex_home: &base.codex_home,
        workspace: &places.workspace,
        home: places.home.as_deref(),
    });
    for warning in all.warnings() {
        print::warning(global.color, warning);
    }
    // Which tools and servers a run has, and how far it may go, is only known when it starts.
    let mut policy = base.policy.clone();
    codex_core::places::list_programs(&mut policy);
    let here = Rights::new(policy, Selection::All, Selection::All, Budget::default());
    let search_path = env::var_os(environment::PATH).unwrap_or_default();
    let mut listed = Vec::new();
    let mut unusable: Vec<(&str, String)> = all
        .unusable()
        .map(|(name, error)| (name, error.to_string()))
        .collect();
    for agent in all.agents() {
        let definition = &agent.definition;
        match definition.request(&places.workspace, places.home.as_deref(), &search_path) {
            Ok(request) => listed.push((agent, here.narrow(&request))),
            Err(error) => unusable.push((&definition.name, error.to_string())),
        }
    }
    if args.json {
        let document = as_json(&listed, &unusable, all.warnings());
        let text = serde_json::to_string_pretty(&document).or_fail(Kind::Work)?;
        print::data(&text);
    } else {
        let painter = Painter::for_stdout(global.color);
        for line in as_text(&listed, &unusable, painter) {
            print::data(&line);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn names(selection: &Selection) -> Value {
    match selection {
        Selection::All => json!("all"),
        Selection::Only(names) => json!(names),
    }
}

fn origin(origin: &Origin) -> Value {
    match origin {
        Origin::BuiltIn => json!({ "kind": "built_in" }),
        Origin::User(file) => json!({ "kind": "user", "file": &**file }),
        Origin::Project {
            file,
            narrows,
            base,
        } => {
            let base = self::origin(base);
            json!({ "kind": "project", "file": &**file, "narrows": narrows, "base": base })
        }
    }
}

fn budget(budget: Budget) -> Value {
    json!({
        "turns": budget.turns,
        "tokens": budget.tokens,
        "seconds": budget.time.map(|time| time.as_secs()),
    })
}

/// What a type asks for that this version gives no agent: the proxy judges by the rights of its run.
fn without_effect(definition: &AgentDefinition) -> Vec<&'static str> {
    let profile = definition.profile == Some(SecurityProfile::NetReadOnly);
    let hosts = definition.hosts.as_ref().is_some_and(|h| !h.is_empty());
    let mut all = Vec::new();
    all.extend(profile.then_some("the network of its profile: agents reach no hosts"));
    all.extend(hosts.then_some("its hosts: agents reach none"));
    all
}

fn as_json(
    listed: &[(&Agent, Narrowed)],
    unusable: &[(&str, String)],
    warnings: &[String],
) -> Value {
    let agents: Vec<Value> = listed
        .iter()
        .map(|(agent, here)| {
            let definition = &agent.definition;
            let refused: Vec<Value> = here
                .refused
                .iter()
                .map(|r| json!({ "right": r.kind.as_str(), "wanted": r.wanted, "why": r.to_string() }))
                .collect();
            json!({
                "name": definition.name,
                "description": definition.description,
                "origin": origin(&agent.origin),
                "profile": definition.profile,
                "tools": names(&definition.tools),
                "mcp_servers": names(&definition.mcp_servers),
                "hosts": definition.hosts,
                "model": definition.model,
                "effort": definition.effort,
                "budget": budget(definition.budget),
                "narrowed": agent.narrowed,
                "without_effect": without_effect(definition),
                "here": { "profile": here.rights.policy().profile(), "refused": refused },
                "instructions": definition.instructions,
            })
        })
        .collect();
    let unusable: Vec<Value> = unusable
        .iter()
        .map(|(name, error)| json!({ "name": name, "error": error }))
        .collect();
    json!({ "v": 1, "agents": agents, "unusable": unusable, "warnings": warnings })
}

fn as_text(
    listed: &[(&Agent, Narrowed)],
    unusable: &[(&str, String)],
    painter: Painter,
) -> Vec<String> {
    let mut lines = Vec::new();
    for (agent, here) in listed {
        let definition = &agent.definition;
        lines.push(format!(
            "{}  {}",
            painter.paint(Style::Bold, &definition.name),
            painter.paint(Style::Dim, &agent.origin.to_string())
        ));
        lines.push(format!("  {}", definition.description));
        lines.push(format!("  {}", rights(definition, here)));
        for line in &agent.narrowed {
            lines.push(format!("  narrowed by the project: {line}"));
        }
        for what in without_effect(definition) {
            lines.push(format!("  without effect in this version: {what}"));
        }
        for refusal in &here.refused {
            lines.push(format!("  not here: {refusal}"));
        }
    }
    for (name, error) in unusable {
        lines.push(format!(
            "{}  {}",
            painter.paint(Style::Bold, name),
            painter.paint(Style::Bad, "cannot be used")
        ));
        lines.push(format!("  {error}"));
    }
    lines
}

/// The profile here, the tools and the limits, in one line.
fn rights(definition: &AgentDefinition, here: &Narrowed) -> String {
    let mut parts = vec![here.rights.policy().profile().flag().to_owned()];
    parts.push(match &definition.tools {
        Selection::All => "all tools".to_owned(),
        Selection::Only(names) if names.is_empty() => "no tools".to_owned(),
        Selection::Only(names) => names.iter().cloned().collect::<Vec<_>>().join(" "),
    });
    let budget = definition.budget;
    parts.extend(budget.turns.map(|n| counted(n, "request")));
    parts.extend(budget.tokens.map(|n| counted(n, "token")));
    parts.extend(budget.time.map(|t| format!("{} s", t.as_secs())));
    parts.extend(definition.model.as_ref().map(|m| format!("model {m}")));
    parts.join(", ")
}
