//! Small models are told less, unless their settings say otherwise.

use codex_test_support::{ScriptedModel, TestEnv};
use serde_json::Value;

use super::fixture::{exec_json, says};

/// The request that a model of this name gets, with these settings.
fn asked(model: &str, settings: &str) -> Value {
    let env = TestEnv::new();
    let server = ScriptedModel::start(vec![says("Done.")]);
    env.write_config(format!(
        "model = \"{model}\"\nmodel_provider = \"test\"\n[model_providers.test]\n\
         base_url = \"{}\"\nwire_api = \"responses\"\n{settings}",
        server.base_url()
    ));
    exec_json(&env, &["go"]);
    server.turns()[0].body.clone()
}

fn tools(request: &Value) -> Vec<&str> {
    let tools = request["tools"].as_array().expect("tools").iter();
    tools.map(|tool| tool["name"].as_str().unwrap()).collect()
}

fn optional_parameters(request: &Value) -> usize {
    let tools = request["tools"].as_array().expect("tools").iter();
    tools
        .map(|tool| {
            let count = |v: &Value| v.as_object().map_or(0, serde_json::Map::len);
            let properties = count(&tool["parameters"]["properties"]);
            properties
                - tool["parameters"]["required"]
                    .as_array()
                    .map_or(0, Vec::len)
        })
        .sum()
}

#[test]
fn the_size_in_a_name_decides_until_a_setting_does() {
    let told = |request: &Value| request["instructions"].as_str().unwrap_or_default().len();
    let large = asked("large", "");
    let small = asked("qwen3:1.7b", "");
    assert_eq!(
        tools(&small),
        ["shell", "read_file", "edit_file", "write_file"]
    );
    assert_eq!(optional_parameters(&small), 0);
    assert!(optional_parameters(&large) > 0);
    assert!(0 < told(&small) && told(&small) < told(&large) / 2);

    let picker = asked("needle3", "");
    assert_eq!((tools(&picker), told(&picker)), (vec!["shell"], 0));

    let settings = "[models.\"qwen3:1.7b\"]\ntools = [\"shell\"]\ninstructions = \"full\"\nschema = \"full\"\n";
    let chosen = asked("qwen3:1.7b", settings);
    assert_eq!(tools(&chosen), ["shell"]);
    assert!(optional_parameters(&chosen) > 0);
    assert!(told(&chosen) > told(&small));
}
