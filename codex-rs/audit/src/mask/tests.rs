use std::path::Path;

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn masker() -> Masker {
    Masker::new(Some(Path::new("/home/ada")))
}

#[track_caller]
fn check(text: &str, masked: &str) {
    assert_eq!(masker().mask(text), masked, "of {text}");
    assert_eq!(masker().mask(masked), masked, "again");
}

/// `parts` joined: a token of a known shape that stands whole in a file would set off the
/// scanners of forges.
fn fake(parts: &[&str]) -> String {
    parts.concat()
}

#[test]
fn homes_are_masked_at_component_boundaries_only() {
    check("/home/ada", "[HOME]");
    check("/home/ada/x", "[HOME]/x");
    check("/home/adam/x", "/home/[USER]/x");
    check("/home/ada.bak", "/home/[USER]");
    check("/home/ada-2/x", "/home/[USER]/x");
    check("/home/adä/x", "/home/[USER]/x");
    check("/home/bob", "/home/[USER]");
    check("/Users/bob/Library", "/Users/[USER]/Library");
    check(r"C:\Users\bob\x", r"C:\Users\[USER]\x");
    check("/mnt/home/ada/x", "/mnt/home/ada/x");
    check("./home/ada", "./home/ada");
    check("/home", "/home");
    check("/home/", "/home/");
    check("/home/..", "/home/..");
    check("wrote /home/ada.", "wrote [HOME].");
    check(
        "cp '/home/ada/a' \"/home/bob/b\"",
        "cp '[HOME]/a' \"/home/[USER]/b\"",
    );
    check(
        "PATH=/bin:/home/ada/bin:/home/ada",
        "PATH=/bin:[HOME]/bin:[HOME]",
    );
    check("cc -I/home/ada/include", "cc -I[HOME]/include");
    check("file:///home/ada/x", "file://[HOME]/x");
    check("//home/ada/x", "/[HOME]/x");
    check("http://home/ada", "http://home/ada");
    let elsewhere = Masker::new(Some(Path::new("/srv/people/eve/")));
    assert_eq!(elsewhere.mask("/srv/people/eve/x"), "[HOME]/x");
    assert_eq!(elsewhere.mask("/srv/people/evelyn"), "/srv/people/evelyn");
    for none in ["/", "", "home"] {
        assert_eq!(
            Masker::new(Some(Path::new(none))).mask("/x home/y"),
            "/x home/y"
        );
    }
}

#[test]
fn flags_assignments_and_headers_lose_their_values() {
    check("gh --token abc pr", "gh --token [REDACTED] pr");
    check("gh --token 'a b' pr", "gh --token '[REDACTED]' pr");
    check("x --password=abc y", "x --password=[REDACTED] y");
    check(
        "x --password=\"a \\\" b\" y",
        "x --password=\"[REDACTED]\" y",
    );
    check("x --api-key=", "x --api-key=");
    check("x --token --verbose", "x --token --verbose");
    check("x --token\\\n  abc y", "x --token\\\\u{a}  [REDACTED] y");
    check("x --password-stdin < f", "x --password-stdin < f");
    check("x --max-tokens 100", "x --max-tokens 100");
    check("API_KEY=abc cmd", "API_KEY=[REDACTED] cmd");
    check(
        "A=1 DB_PASSWORD='x y' cmd",
        "A=1 DB_PASSWORD='[REDACTED]' cmd",
    );
    check("TOKEN= cmd", "TOKEN= cmd");
    check("TOKEN=ab\"cd\"e cmd", "TOKEN=[REDACTED] cmd");
    check("password = abc # old", "password = [REDACTED] # old");
    check("if token == abc", "if token == abc");
    check("{:token => \"abc\"}", "{:token => \"[REDACTED]\"}");
    check("token := \"abc\"", "token := \"[REDACTED]\"");
    check(
        "curl -H 'Authorization: Bearer abc' https://x.org",
        "curl -H 'Authorization: [REDACTED]' https://x.org",
    );
    check("-H \"X-Api-Key: a b\" z", "-H \"X-Api-Key: [REDACTED]\" z");
    check(
        "sent Authorization: Basic YTpi to x",
        "sent Authorization: [REDACTED] to x",
    );
    check("Cookie: a=b; c=d", "Cookie: [REDACTED]");
    check(
        "Cookie: a=b\r\nHost: x",
        "Cookie: [REDACTED]\\u{d}\\u{a}Host: x",
    );
    check("say bearer aaaa1111bbbb.", "say bearer [REDACTED]");
    check("bearer tokens are fine", "bearer tokens are fine");
    check(
        "{\"token\":\"x\",\"n\":1}",
        "{\"token\":\"[REDACTED]\",\"n\":1}",
    );
    check(
        r#"{\"token\": \"x\", \"n\":1}"#,
        r#"{\"token\": \"[REDACTED]\", \"n\":1}"#,
    );
    check(
        "[\"--token\", \"x\", \"y\"]",
        "[\"--token\", \"[REDACTED]\", \"y\"]",
    );
    check("curl -u ada:abc x", "curl -u ada:[REDACTED] x");
    check("docker run -u 10:20 x", "docker run -u 10:20 x");
    check("auth:443", "auth:443");
    check("rule fs.secret: unreadable", "rule fs.secret: unreadable");
    check(
        "Offline profile: secrets and credentials are unreadable (to allow it: --allow-read /x)",
        "Offline profile: secrets and credentials are unreadable (to allow it: --allow-read /x)",
    );
}

#[test]
fn urls_lose_credentials_and_secret_parameters() {
    check("https://u:p@x.org/y", "https://[REDACTED]@x.org/y");
    check("https://u:p/a@x.org/y", "https://[REDACTED]@x.org/y");
    check("postgres://u@db/x", "postgres://[REDACTED]@db/x");
    check("https://x.org:8080/@scope/p", "https://x.org:8080/@scope/p");
    check("https://[::1]:80/x", "https://[::1]:80/x");
    check(
        "https://x.org/?a=1&token=t&b=2",
        "https://x.org/?a=1&token=[REDACTED]&b=2",
    );
    check("https://x.org/?sig=t#f", "https://x.org/?sig=[REDACTED]#f");
    check("sort --key=2", "sort --key=2");
}

#[test]
fn tokens_are_known_by_their_shape() {
    let body = "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8";
    for prefix in [
        "sk-",
        "sk-ant-api03-",
        "sk-proj-",
        "ghp_",
        "gho_",
        "ghs_",
        "github_pat_",
        "glpat-",
        "npm_",
        "pypi-",
        "xoxb-",
        "xoxp-",
        "xoxa-",
        "AIza",
        "hf_",
        "sk_live_",
    ] {
        let token = fake(&[prefix, body]);
        check(&token, "[REDACTED]");
        check(&format!("echo {token}, then"), "echo [REDACTED], then");
        check(&format!("\"{token}\""), "\"[REDACTED]\"");
        check(&format!("a\\n{token}"), "a\\n[REDACTED]");
        check(
            &format!("\u{1b}[31m{token}\u{1b}[0m"),
            "\\u{1b}[31m[REDACTED]\\u{1b}[0m",
        );
    }
    check(&fake(&["AK", "IAIOSFODNN7EXAMPLE"]), "[REDACTED]");
    check(
        &fake(&["ey", "JhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dBjftJeZ4CVP x"]),
        "[REDACTED] x",
    );
    check(
        &fake(&["https://hooks.slack", ".com/services/T0/B0/abcdef"]),
        "https://[REDACTED]",
    );
    let key = fake(&[
        "-----BEGIN OPENSSH PRI",
        "VATE KEY-----\nabc\n-----END OPENSSH PRI",
        "VATE KEY-----",
    ]);
    check(&format!("a {key} b"), "a [REDACTED] b");
    check(&key[..50], "[REDACTED]");
    check("-----BEGIN CERTIFICATE-----", "-----BEGIN CERTIFICATE-----");
    check(
        "task-force-and-a-long-name-of-it",
        "task-force-and-a-long-name-of-it",
    );
    check(
        "npm_config_registry_and_so_on",
        "npm_config_registry_and_so_on",
    );
}

#[test]
fn what_a_terminal_acts_on_is_shown_instead() {
    check("a\u{1b}]0;x\u{7}b", "a\\u{1b}]0;x\\u{7}b");
    check("a\r\nb\tc", "a\\u{d}\\u{a}b\\u{9}c");
    check(
        "x\u{202e}y\u{2066}z\u{200b}",
        "x\\u{202e}y\\u{2066}z\\u{200b}",
    );
    check("\u{9b}31m", "\\u{9b}31m");
    check("naïve 日本 🦀", "naïve 日本 🦀");
}

#[test]
fn long_texts_are_cut_visibly() {
    let long = "x".repeat(5000);
    let masked = masker().mask(&long);
    assert!(masked.len() <= MAX_TEXT);
    let kept = masked.bytes().take_while(|b| *b == b'x').count();
    assert_eq!(
        masked,
        format!("{}…[+{} bytes]", "x".repeat(kept), 5000 - kept)
    );
    let exact = "y".repeat(MAX_TEXT);
    assert_eq!(masker().mask(&exact), exact);
    // A secret at the end of what is looked at is not halved, and one across the cut not shown.
    for at in [
        MAX_TEXT - 60,
        MAX_TEXT - 40,
        MAX_TEXT - 20,
        MAX_INPUT - 20,
        MAX_INPUT - 4,
    ] {
        let text = format!(
            "{} --token hunter2 {}",
            "é ".repeat(at / 3),
            "z".repeat(MAX_INPUT)
        );
        let masked = masker().mask(&text);
        assert!(!masked.contains("hunter"), "{at}");
        assert!(masked.ends_with(" bytes]") && masked.len() <= MAX_TEXT);
        assert_eq!(masker().mask(&masked), masked);
    }
}

#[test]
fn details_are_masked_throughout_and_bounded() {
    let detail = json!({
        "argv": ["curl", "-H", "Authorization: Bearer x", "--token", "hunter2", "-u", "a:hunter2", "/home/ada/f"],
        "env": {"API_KEY": "hunter2", "nested": [{"password": ["hunter2"], "ok": true}]},
        "pin": {"secret": 1234, "secret_count": 3},
        "a\u{1b}b": null,
    });
    assert_eq!(
        masker().mask_detail(&detail),
        json!({
            "argv": ["curl", "-H", "Authorization: [REDACTED]", "--token", "[REDACTED]", "-u", "a:[REDACTED]", "[HOME]/f"],
            "env": {"API_KEY": "[REDACTED]", "nested": [{"password": "[REDACTED]", "ok": true}]},
            "pin": {"secret": "[REDACTED]", "secret_count": 3},
            "a\\u{1b}b": null,
        })
    );
    let list = masker().mask_detail(&json!(vec!["x"; 300]));
    let list = list.as_array().unwrap();
    assert_eq!((list.len(), &list[255]), (256, &json!("…[+45 entries]")));
    assert_eq!(masker().mask_argv(&vec!["x"; 300])[255], "…[+45 entries]");
    assert_eq!(
        masker().mask_argv(&["--auth", "x", "y"]),
        ["--auth", "[REDACTED]", "y"]
    );

    let mut deep = json!("x");
    for _ in 0..100 {
        deep = json!([deep]);
    }
    let wide = json!(vec![json!(vec!["y".repeat(9000); 256]); 256]);
    for large in [deep, wide] {
        let masked = serde_json::to_string(&masker().mask_detail(&large)).unwrap();
        assert!(masked.len() < 4 * MAX_DETAIL, "{}", masked.len());
    }
}

#[test]
fn hostile_texts_take_linear_time() {
    // Each of these repeats the beginning of a rule. Quadratic work on 64 KiB would take minutes
    // in a debug build and over this many texts.
    for part in [
        "://a:b/",
        "eyJ.",
        "eyJaaaaaaaaaa.",
        "-----BEGIN ",
        "token=",
        "token=\"",
        "--token ",
        "a=",
        "/home/",
        "\\u{1b}[",
        "bearer ",
        "\"token\":",
        "-u a:",
        "sk-",
        "'",
        "\\\"",
        "/",
        "\u{202e}",
        "-",
        "--token\\\u{a}",
        "//",
        "password:",
    ] {
        let text = part.repeat(MAX_INPUT / part.len());
        let masked = masker().mask(&text);
        assert_eq!(masker().mask(&masked), masked, "{part}");
    }
}

/// Texts made of what the rules look for.
fn hostile() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just("/home/ada"),
        Just("/home/"),
        Just("/"),
        Just("//"),
        Just("://"),
        Just("@"),
        Just(":"),
        Just(" "),
        Just("="),
        Just("\""),
        Just("'"),
        Just("\\"),
        Just("--token"),
        Just("PASSWORD"),
        Just("-u"),
        Just("Authorization"),
        Just("Bearer "),
        Just("eyJhbGciOiJI."),
        Just("sk-"),
        Just("aaaaaaaaaaaaaaaaaaaaaaaa"),
        Just("AKIA"),
        Just("[REDACTED]"),
        Just("[HOME]"),
        Just("["),
        Just("…[+3 bytes]"),
        Just("-----BEGIN "),
        Just("PRIVATE KEY"),
        Just("-----END "),
        Just("\n"),
        Just("\u{1b}[3m"),
        Just("\u{202e}"),
        Just("?"),
        Just("&"),
        Just("ä"),
        Just(","),
        Just("a"),
        Just("."),
        Just("1"),
        Just("x:y"),
        Just("#"),
        Just("\\Users\\"),
    ];
    proptest::collection::vec(part, 0..24).prop_map(|parts| parts.concat())
}

#[test]
fn a_secret_that_begins_like_the_note_on_a_cut_is_masked() {
    for text in [
        "--token: …[+3 bytes] GITHUB_TOKEN=hunter2zz",
        "password=…[+hunter2zz",
        "password=…[+3hunter2zz",
        "password: …[+3 bytes]hunter2zz",
    ] {
        let masked = masker().mask(text).into_owned();
        assert!(!masked.contains("hunter2zz"), "{masked}");
    }
}

proptest! {
    #[test]
    fn masking_is_bounded_visible_and_final(text in prop_oneof![hostile(), ".*", "[ -~\\n]{0,200}"], limit in 64usize..300) {
        let masked = masker().mask_to(&text, limit);
        prop_assert!(masked.len() <= limit.max(2 * MARKER));
        prop_assert!(!masked.contains(char::is_control), "{:?}", masked);
        prop_assert_eq!(masker().mask_to(&masked, limit), &*masked);
    }

    #[test]
    fn a_secret_after_its_name_never_shows(before in hostile(), after in hostile()) {
        let text = format!("{before} GITHUB_TOKEN=hunter2zz {after}");
        prop_assert!(!masker().mask(&text).contains("hunter2zz"));
    }

    #[test]
    fn only_whole_components_are_the_home(next in "[a-zA-Z0-9_-]{1,8}", rest in "(/[a-z]{1,8}){0,3}") {
        let text = format!("/srv/ada{next}{rest}");
        let masker = Masker::new(Some(Path::new("/srv/ada")));
        prop_assert_eq!(masker.mask(&text), &*text);
        let inside = format!("/srv/ada/{next}{rest}");
        let masked = format!("[HOME]/{next}{rest}");
        prop_assert_eq!(masker.mask(&inside), &*masked);
    }
}
