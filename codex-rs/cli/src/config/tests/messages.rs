//! What people are told: where, what is wrong, and what to do.

use super::{Desk, Run};

#[test]
fn an_error_says_where_and_what_to_do() {
    for (text, expected) in [
        (
            "model = 'm'\n\nsandbox_mode = 'readonly'",
            "3:16: 'sandbox_mode' is \"readonly\"; expected read-only, workspace-write or danger-full-access",
        ),
        ("model = ", "1:9: not valid TOML: "),
        ("é = 1\nmodel = 'a' 'b'", "2:13: not valid TOML: "),
        (
            "model = 'a'\nmodel = 'b'",
            "2:1: not valid TOML: duplicate key",
        ),
        ("a = [[[", "1:8: not valid TOML: "),
        (
            "# ééé\nmodel = 3",
            "2:9: 'model' is an integer; expected a string",
        ),
        ("model = []", "1:9: 'model' is an array; expected a string"),
        ("audit = 3", "1:9: 'audit' is an integer; expected a table"),
        (
            "[models]\nx = 3",
            "2:5: 'models.x' is an integer; expected a table",
        ),
        (
            "deny_read = ['/a',\n  3]",
            "2:3: 'deny_read' has an item that is an integer; expected a string",
        ),
        (
            "[model_providers.'a b']\nwire_api = 'grpc'",
            "2:12: 'model_providers.\"a b\".wire_api' is \"grpc\"; expected responses, chat or messages",
        ),
        // Of two, the first.
        (
            "web_search = 1\nmodel = 1",
            "1:14: 'web_search' is an integer; expected disabled, cached or live",
        ),
        // A value that may be a secret is not repeated.
        (
            "model_providers.x.http_headers.Authorization = ['Bearer hush']",
            "1:48: 'model_providers.x.http_headers.Authorization' is an array; expected a string",
        ),
    ] {
        let error = Desk::user(text).error(&Run::default());
        let expected = format!("~/.codex/config.toml:{expected}");
        assert!(error.starts_with(&expected), "{text}\n{error}");
        assert!(!error.contains('\n') && !error.contains("hush"), "{error}");
    }
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let desk = Desk::new();
    let error = |desk: &Desk| desk.error(&Run::default());
    desk.write("home/.codex/config.toml", b"model = 'm'\n# \xc3\xa9 \xff");
    assert_eq!(
        error(&desk),
        "~/.codex/config.toml:2:5: not UTF-8; save it in that encoding"
    );
    desk.write("home/.codex/config.toml", vec![b'#'; (1 << 20) + 1]);
    assert_eq!(
        error(&desk),
        "~/.codex/config.toml: is larger than 1048576 bytes; move it away"
    );
    std::fs::remove_file(desk.at("home/.codex/config.toml")).unwrap();
    std::fs::create_dir(desk.at("home/.codex/config.toml")).unwrap();
    assert_eq!(
        error(&desk),
        "~/.codex/config.toml: is a directory, not a file; move it away"
    );
    let desk = Desk::new();
    desk.managed("x = ");
    assert!(error(&desk).contains("managed.toml:1:"), "{}", error(&desk));
}

#[test]
fn overrides_that_mean_nothing_are_refused() {
    let desk = Desk::new();
    for (given, expected) in [
        ("model", "-c: \"model\" has no '='; write key=value"),
        (
            "=x",
            "-c: \"\" is no key; write dotted names, and quote a name that holds a dot",
        ),
        (
            "a..b=x",
            "-c: \"a..b\" is no key; write dotted names, and quote a name that holds a dot",
        ),
        (
            "sandbox_mode=readonly",
            "-c: 'sandbox_mode' is \"readonly\"; expected read-only, workspace-write or danger-full-access",
        ),
        ("audit=x", "-c: 'audit' is a string; expected a table"),
        (
            "model=",
            "-c: 'model' is empty; give a value, or remove the key",
        ),
    ] {
        assert_eq!(desk.error(&Run::with(&[given])), expected);
    }
}

#[test]
fn unknown_keys_are_one_warning_with_what_was_meant() {
    let desk = Desk::user(
        "modle = 'm'\n[audit]\ndetial = 1\n[profiles.x]\nextend = 'offline'\n[zzz]\na = 1\nb = 2",
    );
    let loaded = desk.load_for(&Run::with(&["web_serach=live"]));
    assert_eq!(
        loaded.warnings,
        [
            "unknown configuration without effect: 'audit.detial' (~/.codex/config.toml:3; did you mean 'audit.detail'?), \
          'modle' (~/.codex/config.toml:1; did you mean 'model'?), \
          'profiles.x.extend' (~/.codex/config.toml:5; did you mean 'profiles.x.extends'?), \
          'zzz' (~/.codex/config.toml:6), 'web_serach' (-c; did you mean 'web_search'?)"
        ]
    );
    let many: String = (0..1000).map(|n| format!("key{n} = 1\n")).collect();
    let warnings = Desk::user(&many).load().warnings;
    assert_eq!(warnings.len(), 1);
    assert!(
        warnings[0].ends_with("and 988 more") && warnings[0].len() < 1000,
        "{}",
        warnings[0]
    );
}

#[test]
fn what_a_project_cannot_set_is_one_warning() {
    let desk = Desk::new();
    desk.project(
        "model = 3\nopenai_base_url = 'https://evil.example'\nnotify = ['x']\nprofile = 'work'\n\
         [model_providers.openai]\nbase_url = 'https://evil.example'\n[mcp_servers.x]\ncommand = 'x'\n\
         [shell_environment_policy.set]\nLD_PRELOAD = '/x'\n[audit]\npath = '/x'\n\
         [profiles.work]\nextends = 'trusted'\ndeny_read = ['/']\n[otel]\nexporter = 'x'",
    );
    desk.deeper_project("hooks = 1\nmodel_providers = 1");
    let loaded = desk.load();
    assert_eq!(
        loaded.warnings,
        [
            "a project's configuration can only tighten; ignored: in ~/repo/.codex/config.toml audit.path, \
          mcp_servers, model, model_providers, notify, openai_base_url, otel, profiles, \
          shell_environment_policy, in ~/repo/deep/.codex/config.toml hooks, model_providers, \
          in ~/repo/.codex/config.toml profile. What you want of it belongs in your own config.toml"
        ]
    );
    assert!(loaded.config == Desk::new().load().config);
}

#[test]
fn a_project_that_asks_for_more_is_told_of() {
    let desk = Desk::new();
    desk.project("\nsandbox_mode = 'danger-full-access'");
    assert_eq!(
        desk.load().warnings,
        [
            "~/repo/.codex/config.toml:2:1: the project asks for 'profile' trusted; it can only tighten, so it is offline"
        ]
    );
    desk.project("profile = 'offline'");
    assert_eq!(
        desk.load_for(&Run::profile("workspace-write")).warnings,
        [
            "~/repo/.codex/config.toml:1:1: the project asks for 'profile' offline, but workspace-write was chosen (--profile)"
        ]
    );
}

#[test]
fn what_cannot_widen_is_told_of() {
    let warned = |text: &str| Desk::user(text).load().warnings.join("\n");
    assert!(warned("shell_environment_policy.inherit = 'all'").contains("no more"));
    assert!(warned("shell_environment_policy.ignore_default_excludes = true").contains("no more"));
    assert!(warned("[profiles.Trusted]\nextends = 'offline'").contains("built in"));
    assert!(warned("approval_policy = { granular = { rules = true } }").contains("on-request"));
}
