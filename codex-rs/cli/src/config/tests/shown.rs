//! `codex config show`.

use super::super::keys::KEYS;
use super::super::show;
use super::schema::{Sample, samples};
use super::{Desk, Run};

#[test]
fn every_setting_that_is_set_is_shown_with_its_place() {
    let mut text = String::new();
    let mut expected = Vec::new();
    for key in KEYS {
        let Sample { good, .. } = samples(key.kind);
        // The profile is the one that is defined here.
        let value = if key.path == "profile" {
            "'NAME'"
        } else {
            good[0]
        };
        text.push_str(&format!("{} = {value}\n", key.path.replace('*', "NAME")));
        let shown = match key.path {
            "openai_base_url" => "model_providers.openai.base_url".to_owned(),
            // What it sets is the profile.
            "sandbox_mode" => continue,
            path => path.replace('*', "NAME"),
        };
        expected.push(shown);
    }
    let loaded = Desk::user(&text).load();
    let lines = show(&loaded, true, false);
    for key in expected {
        let start = format!("{key} = ");
        let line = lines.iter().find(|line| line.starts_with(&start));
        let line = line.unwrap_or_else(|| panic!("{key} in {lines:#?}"));
        assert!(line.contains("  # user (~/.codex/config.toml:"), "{line}");
    }
}

#[test]
fn secrets_are_masked() {
    let loaded = Desk::user(
        "[model_providers.x]\nbase_url = 'https://me:hush@h.example/v1?key=hush'\nhttp_headers.A = 'hush'\n\
         query_params.k = 'hush'\nexperimental_bearer_token = 'hush'\n[mcp_servers.x]\nenv.A = 'hush'\n\
         http_headers.A = 'hush'\nurl = 'https://u:hush@h.example'\n[shell_environment_policy]\nset.A = 'hush'\n\
         [otel]\nexporter = { otlp-http = { headers = { a = 'hush' } } }",
    )
    .load();
    for json in [false, true] {
        let text = show(&loaded, true, json).join("\n");
        assert!(!text.contains("hush"), "{text}");
        assert!(text.matches("[REDACTED]").count() >= 9, "{text}");
    }
}

#[test]
fn names_and_values_cannot_steer_a_terminal() {
    let loaded =
        Desk::user("model = \"a\u{9b}2J\"\n[models.\"x\u{9b}y.z\"]\ninstructions = 'short'\n")
            .load();
    for json in [false, true] {
        let text = show(&loaded, true, json).join("\n");
        assert!(
            !text.chars().any(|c| c.is_control() && c != '\n'),
            "{text:?}"
        );
        assert!(text.contains("\\u009B"), "{text}");
    }
}

#[test]
fn what_is_in_force_is_shown_and_not_what_was_asked_for() {
    let desk = Desk::user(
        "sandbox_mode = 'workspace-write'\n[sandbox_workspace_write]\nwritable_roots = ['/r']\nnetwork_access = true",
    );
    let line = |run: &Run, key: &str| {
        let lines = show(&desk.load_for(run), true, false);
        let start = format!("{key} = ");
        lines
            .into_iter()
            .find(|line| line.starts_with(&start))
            .unwrap()
    };
    let run = Run::default();
    let roots = "sandbox_workspace_write.writable_roots";
    assert_eq!(
        line(&run, roots),
        format!("{roots} = [\"/r\"]  # user (~/.codex/config.toml:3)")
    );
    desk.project("profile = 'offline'\ndeny_read = ['/p']");
    assert_eq!(line(&run, roots), format!("{roots} = []  # default"));
    assert_eq!(
        line(&run, "sandbox_workspace_write.network_access")
            .split("  ")
            .next(),
        Some("sandbox_workspace_write.network_access = false")
    );
    assert_eq!(
        line(&run, "profile"),
        "profile = \"offline\"  # project (~/repo/.codex/config.toml:1)"
    );
    assert_eq!(
        line(&run, "deny_read"),
        "deny_read = [\"/p\"]  # project (~/repo/.codex/config.toml:2)"
    );
    assert_eq!(
        line(&run, "model"),
        "model = (the provider's own)  # default"
    );
    assert_eq!(
        line(&run, "project_doc_max_bytes"),
        "project_doc_max_bytes = 32768  # default"
    );
}
