//! Definitions as people and repositories write them.

mod folders;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use codex_protocol::hosts::HostRule;
use codex_protocol::model::ReasoningEffort;
use codex_protocol::security_profile::SecurityProfile;
use proptest::prelude::*;

use super::document;
use super::{Agent, AgentDefinition, Definitions, MOST_BYTES, MOST_ENTRIES};
use crate::narrow::{Budget, Selection};

fn read(text: &str) -> Result<AgentDefinition, String> {
    document::read(text, "mine", &Arc::from("mine.toml"))
        .map(|document| document.definition)
        .map_err(|error| error.to_string())
}

#[track_caller]
fn wrong(text: &str, expected: &str) {
    let error = read(text).expect_err(text);
    assert!(error.starts_with(expected), "{error}");
}

#[test]
fn a_file_says_what_an_agent_is() {
    let definition = read(
        r#"
name = "sql_reviewer"
description = "Reads migrations."
instructions = """
Look for locks.
"""
profile = "net-read-only"
model = "small"
model_reasoning_effort = "xhigh"
tools = ["read_file", "search", "read_file"]
mcp_servers = []
hosts = ["docs.rs", "*.docs.example.org"]
allow_read = ["~/.pgpass"]
allow_write = []
allow_exec = ["psql"]
deny_read = ["fixtures/real"]
pass_env = ["PG*"]

[budget]
turns = 10
tokens = 1_500_000
seconds = 60
"#,
    )
    .unwrap();
    assert_eq!(definition.name, "sql_reviewer");
    assert_eq!(definition.instructions, "Look for locks.");
    assert_eq!(definition.profile, Some(SecurityProfile::NetReadOnly));
    assert_eq!(definition.model.as_deref(), Some("small"));
    assert_eq!(definition.effort, Some(ReasoningEffort::Xhigh));
    assert_eq!(definition.tools, Selection::only(["read_file", "search"]));
    assert_eq!(definition.mcp_servers, Selection::none());
    assert_eq!(definition.hosts.unwrap(), ["docs.rs", "*.docs.example.org"]);
    assert_eq!(definition.grants.reads.unwrap(), ["~/.pgpass"]);
    assert_eq!(definition.grants.writes.unwrap(), Vec::<String>::new());
    assert_eq!(definition.grants.programs.unwrap(), ["psql"]);
    assert_eq!(definition.grants.variables.unwrap(), ["PG*"]);
    assert_eq!(definition.grants.denied_reads, ["fixtures/real"]);
    let budget = Budget {
        turns: Some(10),
        tokens: Some(1_500_000),
        time: Some(Duration::from_secs(60)),
    };
    assert_eq!(definition.budget, budget);
}

#[test]
fn what_is_left_out_is_the_parents() {
    let definition = read("description = 'd'\ninstructions = 'i'").unwrap();
    assert_eq!(definition.name, "mine");
    assert_eq!(definition.tools, Selection::All);
    assert_eq!(definition.mcp_servers, Selection::All);
    assert_eq!(definition.profile, None);
    assert_eq!(definition.hosts, None);
    assert_eq!(definition.budget, Budget::default());
}

#[test]
fn a_file_of_codex_is_read() {
    let text = r#"
name = "pr_explorer"
description = "Explores."
nickname_candidates = ["Ada"]
model_reasoning_effort = "medium"
sandbox_mode = "read-only"
developer_instructions = "Stay in exploration mode."
[mcp_servers.docs]
url = "https://example.org/mcp"
"#;
    let read = document::read(text, "x", &Arc::from("x.toml")).unwrap();
    assert_eq!(read.definition.profile, Some(SecurityProfile::Offline));
    assert_eq!(read.definition.instructions, "Stay in exploration mode.");
    assert_eq!(read.definition.mcp_servers, Selection::only(["docs"]));
    let mut unused = read.unused;
    unused.sort();
    assert_eq!(unused, ["mcp_servers.docs", "nickname_candidates"]);
}

#[test]
fn what_is_not_understood_is_an_error_with_its_place() {
    wrong(
        "description = 'd'\n  tool = ['shell']\n",
        "mine.toml:2:3: there is no key \"tool\"; the keys are name, description,",
    );
    wrong(
        "[budget]\nturn = 3\n",
        "mine.toml:2:1: there is no key \"budget.turn\"; the keys are budget.turns, budget.tokens, budget.seconds",
    );
    wrong(
        "tools = 'all'\n",
        "mine.toml:1:9: 'tools' has a value of the type string; expected a list of strings",
    );
    wrong(
        "tools = ['shell', 3]\n",
        "mine.toml:1:19: 'tools' has an entry that is no string",
    );
    wrong(
        "tools = ['rm -rf']\n",
        "mine.toml:1:10: 'tools' has the entry \"rm -rf\", which is no name",
    );
    wrong(
        "profile = 'read-only'\n",
        "mine.toml:1:11: 'profile' is \"read-only\"; the profiles are offline, ",
    );
    wrong(
        "sandbox_mode = 'none'\n",
        "mine.toml:1:16: 'sandbox_mode' is \"none\"; the modes are read-only, ",
    );
    wrong(
        "profile = 'offline'\nsandbox_mode = 'read-only'\n",
        "mine.toml:2:1: 'profile' stands here in two spellings",
    );
    wrong(
        "model_reasoning_effort = 'max'\n",
        "mine.toml:1:26: 'model_reasoning_effort' is \"max\"; the efforts are",
    );
    wrong(
        "budget = 3\n",
        "mine.toml:1:10: 'budget' has a value of the type integer",
    );
    for turns in ["0", "-1", "10001", "99999999999999999999"] {
        wrong(
            &format!("[budget]\nturns = {turns}\n"),
            "mine.toml:2:9: 'budget.turns' is out of range; expected 1 to 10000",
        );
    }
    wrong(
        "instructions = ' '\n",
        "mine.toml:1:16: 'instructions' is empty",
    );
    wrong(
        "description = \"a\\nb\"\n",
        "mine.toml:1:15: 'description' has more than one line",
    );
    wrong(
        "profile = 'offline'\nhosts = ['ftp://docs.rs']\n",
        "mine.toml:2:10: 'hosts' has an entry that is no host: 'ftp://docs.rs'",
    );
    wrong(
        "name = 'main'\n",
        "mine.toml:1:8: 'name' is \"main\"; a name has",
    );
    wrong(
        "name = 'Code Reviewer'\n",
        "mine.toml:1:8: 'name' is \"Code Reviewer\"; a name has",
    );
    wrong("= 3\n", "mine.toml:1:1: not valid TOML: ");
    wrong(
        "a = 1\na = 2\n",
        "mine.toml:2:1: not valid TOML: duplicate key",
    );
    let error = document::read("", "../x", &Arc::from("f")).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("f: its name is no name of an agent"),
        "{error}"
    );
}

#[test]
fn a_limit_that_nothing_would_enforce_is_an_error() {
    for key in ["hosts", "allow_read", "allow_write", "allow_exec"] {
        for profile in ["", "profile = 'trusted'\n"] {
            let text = format!("{profile}{key} = []\n");
            let error = read(&text).unwrap_err();
            assert!(
                error.contains(&format!(
                    "'{key}' can only be enforced by a profile that confines"
                )),
                "{error}"
            );
        }
        assert!(read(&format!("{key} = []\nprofile = 'offline'\n")).is_ok());
    }
}

#[test]
fn text_that_hides_something_is_refused() {
    for hidden in ["\\u202e", "\\U000e0041", "\\u001b[2J", "\\u0000"] {
        let error = read(&format!("instructions = \"a{hidden}b\"")).unwrap_err();
        assert!(error.contains("hide or turn text"), "{error}");
    }
    // A zero-width space is only invisible where it stands in one line that people choose by.
    assert!(read("instructions = \"a\\u200bb\"").is_ok());
    assert!(read("description = \"a\\u200bb\"").is_err());
}

#[test]
fn nothing_is_unlimited() {
    let entries = vec!["'a'"; MOST_ENTRIES + 1].join(",");
    wrong(
        &format!("tools = [{entries}]"),
        "mine.toml:1:9: 'tools' has more than 64 entries",
    );
    wrong(
        &format!("description = '{}'", "a".repeat(401)),
        "mine.toml:1:15: 'description' has more than 400 characters",
    );
    wrong(
        &format!("instructions = '{}'", "a".repeat(40_000)),
        "mine.toml:1:16: 'instructions' is longer than 32 KiB",
    );
    wrong(
        &"#".repeat(MOST_BYTES + 1),
        "mine.toml: is larger than 64 KiB",
    );
    wrong(&format!("tools = {}", "[".repeat(30_000)), "mine.toml:1:");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the text is, it gives a definition or one line about what is wrong.
    #[test]
    fn any_text_is_answered(pieces in proptest::collection::vec(prop_oneof![
        proptest::sample::select(&["name", "tools", "hosts", "budget", "profile", "mcp_servers", " = ", "[", "]", "\n", "'", "\"", "\"\"\"", "{", "}", "turns", ".", ",", "1", "offline", "'''"][..]).prop_map(str::to_owned),
        ".{0,8}",
    ], 0..40)) {
        match read(&pieces.concat()) {
            Ok(definition) => prop_assert!(document::is_name(&definition.name)),
            Err(error) => prop_assert!(!error.contains('\n'), "{error}"),
        }
    }
}

#[test]
fn the_built_in_types_are_whole() {
    let all = Definitions::built_in();
    assert_eq!(all.unusable().collect::<Vec<_>>(), []);
    let names: Vec<&str> = all.agents().map(|a| a.definition.name.as_str()).collect();
    let expected = [
        "code",
        "test",
        "review",
        "security",
        "docs",
        "debug",
        "performance",
        "research",
        "general",
    ];
    assert_eq!(names, expected);
    for Agent { definition, .. } in all.agents() {
        let name = &definition.name;
        assert!(!definition.description.is_empty(), "{name}");
        assert!(definition.instructions.len() > 400, "{name}");
        assert!(
            definition.instructions.len() < 2_000,
            "{name}: sent with every request"
        );
        let Budget {
            turns,
            tokens,
            time,
        } = definition.budget;
        assert!(
            turns.is_some() && tokens.is_some() && time.is_some(),
            "{name}"
        );
        assert_eq!(
            definition.model, None,
            "{name}: which models there are is not known"
        );
    }
    for name in ["review", "security", "research"] {
        let definition = &all.get(name).unwrap().definition;
        let writers = ["apply_patch", "edit_file", "write_file"];
        assert!(
            writers.iter().all(|tool| !definition.tools.holds(tool)),
            "{name}"
        );
        assert!(
            matches!(
                definition.profile,
                Some(SecurityProfile::Offline | SecurityProfile::NetReadOnly)
            ),
            "{name}"
        );
        assert_eq!(definition.grants.writes, Some(Vec::new()), "{name}");
        assert_eq!(definition.mcp_servers, Selection::none(), "{name}");
    }
}

fn some_list(pool: &'static [&'static str]) -> impl Strategy<Value = Option<Vec<String>>> {
    let entry = proptest::sample::select(pool).prop_map(str::to_owned);
    proptest::option::of(proptest::collection::vec(entry, 0..4))
}

fn some_selection() -> impl Strategy<Value = Selection> {
    some_list(&["a", "b", "c"]).prop_map(|list| list.map_or(Selection::All, Selection::only))
}

fn some_budget() -> impl Strategy<Value = Budget> {
    let limit = || proptest::option::of(1_u32..5);
    (limit(), limit(), limit()).prop_map(|(turns, tokens, time)| Budget {
        turns,
        tokens: tokens.map(u64::from),
        time: time.map(|n| Duration::from_secs(n.into())),
    })
}

fn some_definition() -> impl Strategy<Value = AgentDefinition> {
    const HOSTS: &[&str] = &[
        "docs.rs",
        "docs.rs/a",
        "*.example.org",
        "a.example.org",
        "*.a.example.org",
    ];
    const PATHS: &[&str] = &["a", "a/b", "ab", "a/../b", "/", "/srv"];
    let lists = (
        some_list(HOSTS),
        some_list(PATHS),
        some_list(PATHS),
        some_list(&["x", "y"]),
    );
    let profile = proptest::option::of(proptest::sample::select(&SecurityProfile::ALL[..]));
    let whole = (
        some_selection(),
        some_selection(),
        profile,
        some_budget(),
        any::<bool>(),
    );
    (lists, whole).prop_map(
        |((hosts, reads, writes, programs), (tools, mcp_servers, profile, budget, texts))| {
            let text = if texts { "words" } else { "" };
            AgentDefinition {
                name: "x".to_owned(),
                description: text.to_owned(),
                instructions: text.to_owned(),
                tools,
                mcp_servers,
                profile,
                model: texts.then(|| "m".to_owned()),
                effort: texts.then_some(ReasoningEffort::High),
                budget,
                hosts,
                grants: super::GrantLimits {
                    reads,
                    writes: writes.clone(),
                    variables: programs.clone(),
                    programs,
                    denied_reads: writes.unwrap_or_default(),
                },
            }
        },
    )
}

/// Whether every entry of `less` is, or lies below, one of `more`; `None` is all that there is.
fn is_within(less: &Option<Vec<String>>, more: &Option<Vec<String>>) -> bool {
    let (Some(less), more) = (less, more) else {
        return more.is_none();
    };
    less.iter().all(|entry| {
        more.as_ref().is_none_or(|more| {
            more.iter().any(|one| {
                one == entry || Path::new(entry).starts_with(one) && !entry.contains("..")
            })
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_file_of_a_project_ever_adds(base in some_definition(), by in some_definition()) {
        let left = super::tighten::tighten(&base, &by, "f").definition;
        for parent in SecurityProfile::ALL {
            let under = |profile: Option<SecurityProfile>| profile.map_or(parent, |own| parent.narrow(own));
            let (less, more) = (under(left.profile), under(base.profile));
            prop_assert_eq!(less.narrow(more), less);
            prop_assert!(by.profile.is_none_or(|asked| less.narrow(asked) == less));
        }
        prop_assert!(left.tools.is_within(&base.tools) && left.tools.is_within(&by.tools));
        prop_assert!(left.mcp_servers.is_within(&base.mcp_servers) && left.mcp_servers.is_within(&by.mcp_servers));
        prop_assert!(left.budget.is_within(base.budget) && left.budget.is_within(by.budget));
        for (less, more) in [
            (&left.grants.reads, &base.grants.reads),
            (&left.grants.writes, &base.grants.writes),
            (&left.grants.programs, &base.grants.programs),
            (&left.grants.variables, &base.grants.variables),
        ] {
            prop_assert!(is_within(less, more), "{less:?} {more:?}");
        }
        let rule = |text: &String| HostRule::parse(text).unwrap();
        for host in left.hosts.iter().flatten() {
            let may = base.hosts.as_ref().is_none_or(|own| own.iter().any(|one| rule(one).allows(&rule(host).example())));
            prop_assert!(may, "{host} of {:?}", base.hosts);
        }
        prop_assert!(left.hosts.is_some() || base.hosts.is_none());
        let denied = |definition: &AgentDefinition| definition.grants.denied_reads.iter().all(|path| left.grants.denied_reads.contains(path));
        prop_assert!(denied(&base) && denied(&by));
        prop_assert_eq!(&left.model, &base.model);
        prop_assert_eq!(left.effort, base.effort);
        prop_assert!(left.instructions.starts_with(&base.instructions));
    }
}
