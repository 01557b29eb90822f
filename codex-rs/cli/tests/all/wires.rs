//! A whole turn with tool calls on each of the three wires.

use codex_test_support::{Item, Reply, ScriptedModel, TestEnv};
use serde_json::{Value, json};

use super::fixture::{completed, denied, exec_json, kinds};

/// The parts of a provider's API that a turn goes through.
struct Api {
    wire: &'static str,
    path: &'static str,
    reply: fn(Vec<Item>) -> Reply,
}

const APIS: [Api; 3] = [
    Api {
        wire: "responses",
        path: "/v1/responses",
        reply: Reply::responses,
    },
    Api {
        wire: "chat",
        path: "/v1/chat/completions",
        reply: Reply::chat,
    },
    Api {
        wire: "messages",
        path: "/v1/messages",
        reply: Reply::messages,
    },
];

#[test]
fn a_turn_runs_commands_edits_files_and_ends_on_every_wire() {
    for Api { wire, path, reply } in APIS {
        let env = TestEnv::new();
        env.write("greeting.txt", "Hello, wrold\n");
        let call = |id: &str, name: &str, arguments: Value| {
            Item::function_call(id, name, arguments.to_string())
        };
        let server = ScriptedModel::start(vec![
            reply(vec![
                call("one", "shell", json!({ "command": "cat greeting.txt" })),
                call("two", "list_dir", json!({})),
            ])
            .chunk_size(7),
            reply(vec![
                call(
                    "three",
                    "edit_file",
                    json!({ "path": "greeting.txt", "old_text": "wrold", "new_text": "world" }),
                ),
                call(
                    "four",
                    "write_file",
                    json!({ "path": "new/made.txt", "content": "made\n" }),
                ),
                call(
                    "five",
                    "write_file",
                    json!({ "path": "../outside.txt", "content": "no\n" }),
                ),
                call(
                    "six",
                    "update_plan",
                    json!({ "plan": [{ "step": "greet", "status": "completed" }] }),
                ),
            ]),
            reply(vec![Item::message("All done.")]),
        ]);
        env.write_config(format!(
            "model = \"m\"\nmodel_provider = \"test\"\n[model_providers.test]\nbase_url = \"{}\"\nwire_api = \"{wire}\"\n",
            server.base_url()
        ));
        let events = exec_json(&env, &["--profile", "workspace-write", "fix the greeting"]);
        server.assert_finished();
        assert!(
            server.turns().iter().all(|request| request.path == path),
            "{wire}"
        );

        assert_eq!(env.read("greeting.txt"), "Hello, world\n", "{wire}");
        assert_eq!(env.read("new/made.txt"), "made\n", "{wire}");
        assert!(!env.workspace().join("../outside.txt").exists(), "{wire}");
        let denials = denied(&env);
        assert_eq!(denials.len(), 1, "{wire}: {denials:?}");
        assert_eq!(denials[0]["operation"], "file_write");
        assert_eq!(denials[0]["rule"], "fs.outside");

        let ran = &completed(&events, "command_execution")[0];
        assert_eq!(ran["aggregated_output"], "Hello, wrold\n", "{wire}");
        assert_eq!(
            completed(&events, "agent_message")[0]["text"],
            "All done.",
            "{wire}"
        );
        assert_eq!(
            completed(&events, "todo_list")[0]["items"][0]["completed"],
            true,
            "{wire}"
        );
        assert_eq!(
            kinds(&events).last().map(String::as_str),
            Some("turn.completed"),
            "{wire}"
        );
        // What the tools answered went back to the model.
        let second = server.turns()[1].body.to_string();
        assert!(
            second.contains("Hello, wrold") && second.contains("greeting.txt"),
            "{wire}: {second}"
        );
        let third = server.turns()[2].body.to_string();
        assert!(
            third.contains("only the workspace can be written"),
            "{wire}: {third}"
        );
    }
}
