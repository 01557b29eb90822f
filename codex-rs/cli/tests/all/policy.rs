//! `codex policy` and `codex config`: what holds, and why.

use codex_test_support::TestEnv;
use serde_json::{Value, json};

use super::fixture::run_codex;

fn shown(env: &TestEnv, flags: &[&str]) -> Value {
    let output = run_codex(env, &[&["policy", "show", "--json"], flags].concat());
    assert_eq!(output.code, Some(0), "{output:#?}");
    serde_json::from_str(&output.stdout).expect("one JSON document")
}

#[test]
fn the_whole_policy_is_shown() {
    let env = TestEnv::new();
    let policy = shown(&env, &[]);
    assert_eq!(policy["v"], 1);
    assert_eq!(policy["profile"], "Offline");
    assert_eq!(policy["workspace"], json!([env.workspace()]));
    assert_eq!(policy["write"], json!([]));
    assert_eq!(policy["network"], "nothing");
    let fields = [
        "devices",
        "secrets",
        "env_files",
        "protected",
        "programs",
        "environment",
        "grants",
        "rules",
    ];
    for field in fields {
        assert!(!policy[field].is_null(), "{field}");
    }
    let secrets: Vec<&str> = policy["secrets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s.as_str().unwrap())
        .collect();
    for name in [
        ".ssh",
        ".aws",
        ".gnupg",
        ".netrc",
        ".npmrc",
        ".bash_history",
        ".config/gh",
        ".codex",
    ] {
        let path = env.home().join(name);
        assert!(
            secrets.contains(&path.to_str().unwrap()),
            "{name} in {secrets:#?}"
        );
    }
    assert!(secrets.contains(&"/etc/shadow"));
    let protected: Vec<&str> = policy["protected"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p["path"].as_str().unwrap())
        .collect();
    for path in [
        ".git/hooks",
        ".git/config",
        ".codex",
        ".mcp.json",
        ".vscode",
        ".envrc",
        ".cargo/config.toml",
    ] {
        assert!(protected.contains(&path), "{path} in {protected:#?}");
    }
    let listed = policy["programs"]["listed"].to_string();
    assert!(
        listed.contains("/cat\"") && !listed.contains("python"),
        "{listed}"
    );
    let never = policy["environment"]["never"].to_string();
    assert!(never.contains("LD_*") && never.contains("TOKEN"), "{never}");
}

#[test]
fn the_people_s_form_names_the_same() {
    let env = TestEnv::new();
    let output = run_codex(&env, &["policy", "show"]);
    assert_eq!(output.code, Some(0), "{output:#?}");
    let ssh = env.home().join(".ssh");
    for text in [
        "Offline",
        ssh.to_str().unwrap(),
        ".git/hooks",
        ".env",
        "fs.secret",
        "exec.unlisted",
    ] {
        assert!(output.stdout.contains(text), "{text} in {}", output.stdout);
    }
    assert_eq!(output.stderr, "");
}

#[test]
fn profile_and_grants_change_what_is_shown() {
    let env = TestEnv::new();
    let policy = shown(
        &env,
        &[
            "--profile",
            "workspace-write",
            "--allow-read",
            "/etc/shadow",
            "--pass-env",
            "MY_*",
        ],
    );
    assert_eq!(policy["profile"], "WorkspaceWrite");
    assert_eq!(policy["write"], json!([env.workspace()]));
    assert_eq!(policy["programs"], "any");
    assert!(
        policy["grants"].to_string().contains("/etc/shadow"),
        "{}",
        policy["grants"]
    );
    assert_eq!(policy["environment"]["added"], json!(["MY_*"]));
}

#[test]
fn the_gate_answers_with_rule_reason_and_exit_code() {
    let env = TestEnv::new();
    env.write_home(".ssh/id", "x");
    let ssh = env.home().join(".ssh/id");
    let ssh = ssh.to_str().unwrap();
    let cases: [(&[&str], i32, &str, &str); 16] = [
        (&["read", "README"], 0, "allow", "fs.read"),
        (&["read", "~/.ssh/id"], 3, "deny", "fs.secret"),
        (&["read", ssh], 3, "deny", "fs.secret"),
        (&["--allow-read", ssh, "read", ssh], 0, "allow", "fs.read"),
        (&["read", ".env"], 5, "ask", "fs.env-file"),
        (&["read", ".env.example"], 0, "allow", "fs.read"),
        (&["write", "a.txt"], 3, "deny", "fs.read-only"),
        (&["write", "/dev/null"], 0, "allow", "fs.device"),
        (
            &["--profile", "workspace-write", "write", "a.txt"],
            0,
            "allow",
            "fs.workspace",
        ),
        (
            &["--profile", "workspace-write", "write", ".git/hooks/x"],
            3,
            "deny",
            "fs.protected",
        ),
        (
            &["--profile", "workspace-write", "write", "../a.txt"],
            3,
            "deny",
            "fs.outside",
        ),
        (&["exec", "cat"], 0, "allow", "exec.listed"),
        (&["exec", "tar"], 3, "deny", "exec.unlisted"),
        (
            &["--profile", "workspace-write", "exec", "tar"],
            0,
            "allow",
            "exec.any",
        ),
        (&["connect", "example.org:443"], 3, "deny", "net.offline"),
        (
            &["--profile", "trusted", "connect", "[::1]:80"],
            0,
            "allow",
            "trusted",
        ),
    ];
    for (arguments, code, decision, rule) in cases {
        let arguments = [&["policy", "check"], arguments].concat();
        let output = run_codex(&env, &arguments);
        assert_eq!(output.code, Some(code), "{arguments:?}: {output:#?}");
        let text = format!("{decision} [{rule}] ");
        assert!(
            output.stdout.starts_with(&text),
            "{arguments:?}: {output:#?}"
        );
        let output = run_codex(&env, &[&arguments[..], &["--json"]].concat());
        let answer: Value = serde_json::from_str(&output.stdout).unwrap();
        assert_eq!(answer["v"], 1);
        assert_eq!(
            (&answer["decision"], &answer["rule"]),
            (&json!(decision), &json!(rule))
        );
        assert_eq!(output.code, Some(code));
    }
    assert_eq!(env.audit_lines().len(), 0, "asking is not acting");
}

#[test]
fn the_remedy_that_a_denial_names_works() {
    let env = TestEnv::new();
    let check = ["policy", "check", "--json", "exec", "tar"];
    let output = run_codex(&env, &check);
    let answer: Value = serde_json::from_str(&output.stdout).unwrap();
    let remedy: Vec<&str> = answer["remedy"].as_str().unwrap().split(' ').collect();
    let output = run_codex(&env, &[&check[..], &remedy].concat());
    assert_eq!(output.code, Some(0), "{remedy:?}: {output:#?}");
}

#[test]
fn the_configuration_is_shown_with_its_origins() {
    let env = TestEnv::new();
    env.write_config("model = \"from-user\"\nsandbox_mode = \"workspace-write\"\n");
    let output = run_codex(&env, &["config", "show", "--origin"]);
    assert_eq!(output.code, Some(0), "{output:#?}");
    let line = |key: &str, text: &str| -> String {
        let start = format!("{key} = ");
        text.lines()
            .find(|l| l.starts_with(&start))
            .unwrap_or_else(|| panic!("{key} in {text}"))
            .to_owned()
    };
    let model = line("model", &output.stdout);
    assert!(
        model.contains("from-user") && model.contains("config.toml:1"),
        "{model}"
    );
    assert!(line("web_search", &output.stdout).contains("default"));
    let profile = line("profile", &output.stdout);
    assert!(
        profile.contains("workspace-write") && profile.contains("config.toml:2"),
        "{profile}"
    );

    let output = run_codex(
        &env,
        &[
            "-m",
            "from-flag",
            "-c",
            "web_search=live",
            "config",
            "show",
            "--origin",
        ],
    );
    let model = line("model", &output.stdout);
    assert!(
        model.contains("from-flag") && !model.contains("config.toml"),
        "{model}"
    );

    let output = run_codex(&env, &["config", "show", "--origin", "--json"]);
    let document: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(document["v"], 1);
    let settings = document["settings"].as_array().unwrap();
    let found = settings.iter().find(|s| s["key"] == "model").unwrap();
    assert_eq!(found["value"], "from-user");

    let plain = run_codex(&env, &["config", "show"]);
    assert!(!plain.stdout.contains("config.toml:1"), "{plain:#?}");
}

#[test]
fn a_named_profile_extends_a_built_in_one() {
    let env = TestEnv::new();
    env.write_config(
        "[profiles.work]\nmodel = \"of-the-profile\"\nsandbox_mode = \"workspace-write\"\n",
    );
    assert_eq!(
        shown(&env, &["--profile", "work"])["profile"],
        "WorkspaceWrite"
    );
    let output = run_codex(&env, &["--profile", "work", "config", "show"]);
    assert!(output.stdout.contains("of-the-profile"), "{output:#?}");
}

fn checked(env: &TestEnv, flags: &[&str], target: &str) -> String {
    let output = run_codex(
        env,
        &[&["policy", "check"], flags, &["connect", target]].concat(),
    );
    let line = output.stdout.lines().next().unwrap_or_default();
    format!("{} {line}{}", output.code.unwrap_or(-1), output.stderr)
}

#[test]
fn hosts_that_were_granted_or_denied_are_judged_as_the_proxy_would() {
    let env = TestEnv::new();
    let net = &["-p", "net-read-only"][..];
    for (flags, target, expected) in [
        (&[][..], "docs.rs:443", "3 deny [net.offline]"),
        (net, "docs.rs:443", "0 allow [net.preset]"),
        (net, "https://docs.rs/tokio?x=1", "0 allow [net.preset]"),
        (net, "http://docs.rs/tokio", "5 ask [net.host]"),
        (net, "https://example.org", "5 ask [net.host]"),
        (
            &["--allow-host", "example.org/docs"],
            "https://example.org/docs/a",
            "0 allow [net.grant]",
        ),
        (
            &["--allow-host", "example.org/docs"],
            "https://example.org/",
            "3 deny [net.offline]",
        ),
        (
            &["--allow-preset", "cargo"],
            "https://crates.io/a",
            "0 allow [net.preset]",
        ),
        (
            &["--allow-preset", "cargo"],
            "https://pypi.org/a",
            "3 deny [net.offline]",
        ),
        (
            &["--allow-tunnel", "example.org:443"],
            "example.org:443",
            "0 allow [net.grant]",
        ),
        (
            &["--allow-tunnel", "example.org:443"],
            "https://example.org/",
            "3 deny [net.offline]",
        ),
        (
            &["-p", "net-read-only", "--deny-host", "docs.rs"],
            "https://docs.rs/",
            "3 deny [net.denied]",
        ),
        (
            &[
                "-c",
                "deny_host=['*.docs.example.org']",
                "--allow-host",
                "a.docs.example.org",
            ],
            "https://a.docs.example.org/",
            "3 deny [net.denied]",
        ),
        (
            &[
                "-p",
                "workspace-write",
                "-c",
                "sandbox_workspace_write.network_access=true",
            ],
            "https://docs.rs/",
            "0 allow [net.preset]",
        ),
    ] {
        let said = checked(&env, flags, target);
        assert!(said.starts_with(expected), "{flags:?} {target}: {said}");
    }
    for (flags, word) in [
        (&["--allow-host", "ftp://x"][..], "host rule"),
        (&["--allow-host", "*.com"], "many people's hosts"),
        (&["--allow-tunnel", "a.org/x"], "nobody sees paths"),
        (&["--allow-preset", "perl"], "is no preset; there are cargo"),
        (&["--allow-post", "all"], "git-upload-pack"),
        (&["-p", "trusted", "--deny-host", "a.org"], "Trusted"),
    ] {
        let said = checked(&env, flags, "a.org:443");
        assert!(
            !said.starts_with('0') && said.contains(word),
            "{flags:?}: {said}"
        );
    }
}

#[test]
fn the_policy_shows_presets_that_are_open_and_posts_that_were_chosen() {
    let env = TestEnv::new();
    let policy = shown(
        &env,
        &["--allow-preset", "cargo", "--allow-post", "npm-audit"],
    );
    let names: Vec<&str> = policy["network_presets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["cargo"]);
    assert_eq!(policy["grants"].as_array().unwrap().len(), 2);
    let text = run_codex(
        &env,
        &[
            "policy",
            "show",
            "--allow-post",
            "npm-audit",
            "--allow-host",
            "a.org",
        ],
    )
    .stdout;
    assert!(text.contains("POST npm-audit (chosen)"), "{text}");
    assert!(text.contains("POST git-upload-pack (not chosen)"), "{text}");
}

#[test]
fn a_host_that_was_approved_for_good_is_read_under_net_read_only_alone() {
    let env = TestEnv::new();
    env.write_config("approved_hosts = [\"https://example.org\"]\n");
    env.write(
        ".codex/config.toml",
        "approved_hosts = [\"https://evil.example\"]\n",
    );
    for (profile, url, code, rule) in [
        ("net-read-only", "https://example.org/x", 0, "net.grant"),
        ("net-read-only", "http://example.org/x", 5, "net.host"),
        ("net-read-only", "https://example.org:8443/", 5, "net.host"),
        ("net-read-only", "https://evil.example/", 5, "net.host"),
        ("workspace-write", "https://example.org/x", 3, "net.offline"),
        ("offline", "https://example.org/x", 3, "net.offline"),
    ] {
        let check = ["policy", "check", "--profile", profile, "connect", url];
        let output = run_codex(&env, &check);
        assert_eq!(output.code, Some(code), "{profile} {url} {output:#?}");
        assert!(output.stdout.contains(rule), "{profile} {url} {output:#?}");
        assert!(output.stderr.contains("approved_hosts"), "{output:#?}");
    }
}
