//! The tables of `docs/agents.md`, from the built-in files and the table of keys.
//!
//! The tests fail when the page says otherwise; `UPDATE_DOCS=1` makes them write it.

use std::path::Path;
use std::{env, fs};

use super::document::{KEYS, UNUSED};
use super::{AgentDefinition, Definitions};
use crate::narrow::Selection;
use crate::report::counted;

fn built_in() -> String {
    let mut table = String::from(
        "| type | what it is for | profile | tools | at most |\n|---|---|---|---|---|\n",
    );
    for agent in Definitions::built_in().agents() {
        let definition = &agent.definition;
        let profile = match definition.profile {
            Some(profile) => format!("`{}`", profile.flag()),
            None => "its parent's".to_owned(),
        };
        table.push_str(&format!(
            "| `{}` | {} | {profile} | {} | {} |\n",
            definition.name,
            definition.description,
            tools(&definition.tools),
            most(definition)
        ));
    }
    table
}

fn tools(tools: &Selection) -> String {
    match tools {
        Selection::All => "all of its parent's".to_owned(),
        Selection::Only(names) => {
            let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
            names.join(", ")
        }
    }
}

fn most(definition: &AgentDefinition) -> String {
    let budget = definition.budget;
    let mut limits = Vec::new();
    limits.extend(budget.turns.map(|n| counted(n, "request")));
    limits.extend(
        budget
            .tokens
            .map(|n| format!("{:.1} million tokens", n as f64 / 1e6)),
    );
    limits.extend(budget.time.map(|t| format!("{} minutes", t.as_secs() / 60)));
    limits.join(", ")
}

fn keys() -> String {
    let mut table = String::from("| key | what it says |\n|---|---|\n");
    for (key, about) in KEYS {
        table.push_str(&format!("| `{key}` | {about} |\n"));
    }
    let unused: Vec<String> = UNUSED.iter().map(|key| format!("`{key}`")).collect();
    table.push_str(&format!(
        "\nCodex's {} are known and have no effect; a warning says so. Any other key is an error.\n",
        unused.join(", ")
    ));
    table
}

#[track_caller]
fn check(name: &str, expected: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/agents.md");
    let page = fs::read_to_string(&path).unwrap();
    let (begin, end) = (
        format!("<!-- {name} -->\n"),
        format!("<!-- end of {name} -->"),
    );
    let from = page.find(&begin).expect("the page has the place") + begin.len();
    let to = page.find(&end).expect("the page has the place's end");
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, format!("{}{expected}{}", &page[..from], &page[to..])).unwrap();
        return;
    }
    assert!(
        page[from..to] == *expected,
        "docs/agents.md is not what the definitions say; run the tests with UPDATE_DOCS=1 and --test-threads=1"
    );
}

#[test]
fn the_page_lists_the_built_in_types() {
    check("built-in types", &built_in());
}

#[test]
fn the_page_lists_the_keys() {
    check("keys of a definition", &keys());
}
