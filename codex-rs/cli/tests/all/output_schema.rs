//! `codex exec --output-schema`.

use codex_test_support::{TestEnv, run};
use serde_json::json;

use super::fixture::{exec, model, says, told, told_alone};

fn schema(env: &TestEnv) -> String {
    let schema = json!({
        "type": "object",
        "properties": { "count": { "type": "integer" } },
        "required": ["count"],
        "additionalProperties": false
    });
    let path = env.write_home("schema.json", schema.to_string());
    path.to_str().unwrap().to_owned()
}

#[test]
fn the_model_is_told_what_does_not_fit_and_tries_again() {
    let env = TestEnv::new();
    let script = vec![
        says("There are three."),
        says(r#"{"count":"three"}"#),
        says(r#"{"count":3}"#),
    ];
    let server = model(&env, script);

    let output = run(&mut exec(
        &env,
        &["--output-schema", &schema(&env), "count"],
    ));

    assert_eq!(output.code, Some(0), "{output:#?}");
    assert_eq!(output.stdout, "{\"count\":3}\n");
    server.assert_finished();
    let turns = server.turns();
    let said = |turn: usize| {
        let last = turns[turn].body["input"]
            .as_array()
            .unwrap()
            .last()
            .cloned();
        last.unwrap().to_string()
    };
    assert!(said(1).contains("not JSON"), "{}", said(1));
    assert!(said(2).contains("/count: "), "{}", said(2));
}

#[test]
fn a_message_that_never_fits_fails_the_run_with_the_errors() {
    let env = TestEnv::new();
    let wrong = || says(r#"{"count":"three"}"#);
    let server = model(&env, vec![wrong(), wrong(), wrong()]);

    let output = run(&mut exec(
        &env,
        &["--output-schema", &schema(&env), "count"],
    ));

    told(&output, 1);
    assert!(output.stderr.contains("/count: "), "{output:#?}");
    assert_eq!(output.stdout, "");
    server.assert_finished();
}

#[test]
fn a_schema_that_is_none_or_not_supported_is_a_usage_error_with_its_place() {
    let env = TestEnv::new();
    let server = model(&env, vec![]);
    for (schema, place) in [
        (
            r#"{"properties":{"n":{"type":"int"}}}"#,
            "/properties/n/type",
        ),
        (r#"{"items":{"contains":{}}}"#, "/items/contains"),
        (r#"{"$ref":"http://127.0.0.1:9/s.json"}"#, "/$ref"),
    ] {
        let path = env.write_home("schema.json", schema);

        let output = run(&mut exec(
            &env,
            &["--output-schema", path.to_str().unwrap(), "count"],
        ));

        let error = told_alone(&output, 2);
        assert!(error.contains(place), "{error}");
    }
    assert!(server.requests().is_empty());
}
