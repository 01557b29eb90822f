//! `codex agents list`: which types of agents there are, from where, and with what.

use std::fs;
use std::path::Path;

use codex_test_support::TestEnv;
use serde_json::{Value, json};

use super::fixture::run_codex;

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn list(env: &TestEnv, flags: &[&str]) -> (Value, String) {
    let output = run_codex(env, &[&["agents", "list", "--json"], flags].concat());
    assert_eq!(output.code, Some(0), "{output:#?}");
    (serde_json::from_str(&output.stdout).unwrap(), output.stderr)
}

fn named<'l>(list: &'l Value, name: &str) -> &'l Value {
    let agents = list["agents"].as_array().unwrap();
    agents
        .iter()
        .find(|agent| agent["name"] == name)
        .unwrap_or_else(|| panic!("{name} in {list:#}"))
}

#[test]
fn the_built_in_types_are_listed_with_what_they_get_here() {
    let env = TestEnv::new();
    let (all, warnings) = list(&env, &[]);
    assert_eq!(warnings, "");
    assert_eq!(all["v"], 1);
    assert_eq!(all["agents"].as_array().unwrap().len(), 9);
    assert_eq!(all["unusable"], json!([]));
    let code = named(&all, "code");
    assert_eq!(code["origin"], json!({ "kind": "built_in" }));
    assert_eq!(code["profile"], "WorkspaceWrite");
    assert_eq!(code["here"]["profile"], "Offline");
    assert_eq!(code["here"]["refused"][0]["right"], "profile");
    assert_eq!(code["budget"]["seconds"], 1800);
    assert_eq!(code["without_effect"], json!([]));
    assert_eq!(
        named(&all, "research")["without_effect"],
        json!(["the network of its profile: agents reach no hosts"])
    );
    assert_eq!(named(&all, "general")["tools"], "all");
    assert_eq!(named(&all, "general")["profile"], Value::Null);

    let (all, _) = list(&env, &["--profile", "workspace-write"]);
    assert_eq!(
        named(&all, "code")["here"],
        json!({ "profile": "WorkspaceWrite", "refused": [] })
    );
    assert_eq!(
        named(&all, "review")["here"],
        json!({ "profile": "Offline", "refused": [] })
    );
    assert_eq!(named(&all, "general")["here"]["profile"], "WorkspaceWrite");
}

#[test]
fn the_persons_and_the_projects_files_are_told_apart() {
    let env = TestEnv::new();
    write(
        &env.codex_home().join("agents/mine.toml"),
        "description = 'Mine.'\ninstructions = 'x'\nmodel = 'm'\nprofile = 'offline'\nallow_exec = ['cat']\n",
    );
    write(&env.codex_home().join("agents/docs.toml"), "tool = []\n");
    write(
        &env.workspace().join(".codex/agents/code.toml"),
        "profile = 'trusted'\ntools = ['shell', 'read_file']\n",
    );
    let (all, warnings) = list(&env, &["--profile", "workspace-write"]);
    assert_eq!(named(&all, "mine")["origin"]["kind"], "user");
    assert_eq!(named(&all, "mine")["model"], "m");
    let (offline, _) = list(&env, &[]);
    let here = json!({ "profile": "Offline", "refused": [] });
    assert_eq!(
        named(&offline, "mine")["here"],
        here,
        "cat is a listed program"
    );
    let code = named(&all, "code");
    assert_eq!(code["origin"]["kind"], "project");
    assert_eq!(code["origin"]["narrows"], "code");
    assert_eq!(code["origin"]["base"]["kind"], "built_in");
    assert_eq!(code["tools"], json!(["read_file", "shell"]));
    assert!(
        code["narrowed"][0]
            .as_str()
            .unwrap()
            .starts_with("tools: without apply_patch, ")
    );
    assert_eq!(all["unusable"][0]["name"], "docs");
    assert!(
        warnings.contains("a project's agents can only narrow; ignored: in "),
        "{warnings}"
    );
    assert!(warnings.contains("profile trusted"), "{warnings}");
    assert!(
        warnings.contains("docs.toml:1:1: there is no key \"tool\"; the keys are"),
        "{warnings}"
    );

    let output = run_codex(&env, &["agents", "list"]);
    assert_eq!(output.code, Some(0), "{output:#?}");
    for expected in [
        "code  project (",
        "  narrowed by the project: tools: without apply_patch, ",
        "  not here: the profile 'WorkspaceWrite' was asked for, and the parent has Offline\n",
        "mine  user (~/.codex/agents/mine.toml)\n  Mine.\n  offline, all tools, model m\n",
        "docs  cannot be used\n",
    ] {
        assert!(
            output.stdout.contains(expected),
            "{expected}: {}",
            output.stdout
        );
    }
}

#[test]
fn a_name_cannot_steer_the_terminal() {
    let env = TestEnv::new();
    write(
        &env.workspace().join(".codex/agents/\u{1b}[2Jx.toml"),
        "description = \"\\u001b[2J\"\n",
    );
    let output = run_codex(&env, &["agents", "list"]);
    assert_eq!(output.code, Some(0), "{output:#?}");
    assert!(
        !output.stdout.contains('\u{1b}') && !output.stderr.contains('\u{1b}'),
        "{output:#?}"
    );
    assert!(output.stderr.contains("remove them"), "{output:#?}");
}

#[test]
fn a_file_that_cannot_be_kept_takes_only_its_own_type_away() {
    let env = TestEnv::new();
    write(
        &env.workspace().join(".codex/agents/code.toml"),
        "profile = 'offline'\ndeny_read = ['nothing/../x']\n",
    );
    let (all, _) = list(&env, &[]);
    assert_eq!(all["agents"].as_array().unwrap().len(), 8);
    assert_eq!(all["unusable"][0]["name"], "code");
    let error = all["unusable"][0]["error"].as_str().unwrap();
    assert!(
        error.contains("its 'deny_read' names \"nothing/../x\""),
        "{error}"
    );
}
