//! `view_image`: what is shown to models that take images, and to whom it is not offered.

use std::fs::File;

use codex_test_support::{Item, Reply, ScriptedModel, TestEnv};
use serde_json::{Value, json};

use super::fixture::{calls, denied, exec_json, output_of, outputs, says};

/// How a PNG begins.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";

/// The same in base64.
const PNG_BASE64: &str = "iVBORw0KGgoAAAANSUhEUg==";

/// How a JPEG begins.
const JPEG: &[u8] = b"\xff\xd8\xff\xe0";

/// The same in base64.
const JPEG_BASE64: &str = "/9j/4A==";

fn view(id: &str, path: &str) -> Item {
    Item::function_call(id, "view_image", json!({ "path": path }).to_string())
}

/// A server with this script, and a model that is said to take images or not.
fn server(env: &TestEnv, wire: &str, settings: &str, script: Vec<Reply>) -> ScriptedModel {
    let server = ScriptedModel::start(script);
    env.write_config(format!(
        "model = \"m\"\nmodel_provider = \"test\"\n[models.m]\n{settings}\n[model_providers.test]\n\
         base_url = \"{}\"\nwire_api = \"{wire}\"\n",
        server.base_url()
    ));
    server
}

/// The last of a request's array of this name.
fn end<'a>(body: &'a Value, list: &str, count: usize) -> &'a [Value] {
    let all = body[list].as_array().expect("a conversation");
    &all[all.len() - count..]
}

#[test]
fn the_image_follows_the_outputs_in_each_wires_own_form() {
    let png = format!("data:image/png;base64,{PNG_BASE64}");
    let jpeg = format!("data:image/jpeg;base64,{JPEG_BASE64}");
    type Of = fn(Vec<Item>) -> Reply;
    for (wire, reply) in [
        ("responses", Reply::responses as Of),
        ("chat", Reply::chat as Of),
        ("messages", Reply::messages as Of),
    ] {
        let env = TestEnv::new();
        env.write("a.png", PNG);
        env.write("b.jpg", JPEG);
        let script = vec![
            reply(vec![view("c1", "a.png"), view("c2", "b.jpg")]),
            reply(vec![Item::message("Two images.")]),
        ];
        let server = server(&env, wire, "images = true", script);
        exec_json(&env, &["look"]);
        server.assert_finished();
        let body = &server.turns()[1].body;
        let told = |output: &Value, n: u32| {
            let text = output.to_string();
            assert!(text.contains(&format!("image {n} after")), "{wire}: {text}");
        };
        match wire {
            "responses" => {
                let [one, two, shown] = end(body, "input", 3) else {
                    panic!("{body}")
                };
                assert_eq!(
                    (&one["call_id"], &two["call_id"]),
                    (&json!("c1"), &json!("c2"))
                );
                told(&one["output"], 1);
                told(&two["output"], 2);
                assert_eq!(shown["role"], "user");
                let images = shown["content"].as_array().unwrap();
                assert_eq!(images.len(), 2);
                assert_eq!(images[0]["type"], "input_image");
                assert_eq!(images[0]["image_url"], json!(png));
                assert_eq!(images[1]["image_url"], json!(jpeg));
            }
            "chat" => {
                let [one, two, shown] = end(body, "messages", 3) else {
                    panic!("{body}")
                };
                assert_eq!(
                    (&one["role"], &two["role"]),
                    (&json!("tool"), &json!("tool"))
                );
                told(&one["content"], 1);
                told(&two["content"], 2);
                assert_eq!(
                    *shown,
                    json!({ "role": "user", "content": [
                        { "type": "image_url", "image_url": { "url": png } },
                        { "type": "image_url", "image_url": { "url": jpeg } },
                    ] })
                );
            }
            _ => {
                let last = &end(body, "messages", 1)[0];
                assert_eq!(last["role"], "user");
                let blocks = last["content"].as_array().unwrap();
                assert_eq!(blocks.len(), 4, "{last}");
                assert_eq!(blocks[0]["type"], "tool_result");
                told(&blocks[0]["content"], 1);
                told(&blocks[1]["content"], 2);
                assert_eq!(
                    blocks[2],
                    json!({ "type": "image", "source":
                        { "type": "base64", "media_type": "image/png", "data": PNG_BASE64 } })
                );
                assert_eq!(blocks[3]["source"]["data"], JPEG_BASE64);
            }
        }
    }
}

#[test]
fn a_resumed_session_still_holds_the_image() {
    let env = TestEnv::new();
    env.write("a.png", PNG);
    let script = vec![
        calls(vec![view("c1", "a.png")]),
        says("Seen."),
        says("Yes."),
    ];
    let server = server(&env, "responses", "images = true", script);
    exec_json(&env, &["look"]);
    exec_json(&env, &["resume", "--last", "still there?"]);
    server.assert_finished();
    let turns = server.turns();
    let (before, after) = (&turns[1].body["input"], &turns[2].body["input"]);
    let before = before.as_array().unwrap();
    assert!(before.last().unwrap().to_string().contains(PNG_BASE64));
    assert_eq!(before[..], after.as_array().unwrap()[..before.len()]);
}

#[test]
fn what_is_no_image_too_large_too_many_or_secret_is_answered_and_not_shown() {
    let env = TestEnv::new();
    env.write("a.png", PNG);
    env.write("text.png", "no image");
    env.write_home(".ssh/key.png", PNG);
    let large = File::create(env.write("large.png", PNG)).unwrap();
    large.set_len((32 << 20) + 1).unwrap();
    let script = vec![
        calls(vec![
            view("text", "text.png"),
            view("large", "large.png"),
            view("none", "none.png"),
            view("dir", "."),
            view("secret", "~/.ssh/key.png"),
        ]),
        calls((0..5).map(|n| view(&format!("c{n}"), "a.png")).collect()),
        says("Done."),
    ];
    let server = server(&env, "responses", "images = true", script);
    exec_json(&env, &["look"]);
    server.assert_finished();
    for (id, part) in [
        ("text", "it is no PNG, JPEG, GIF or WebP"),
        ("large", "it is larger than 32 MiB"),
        ("none", "'none.png' cannot be viewed"),
        ("dir", "cannot be viewed"),
        ("secret", "denied: "),
    ] {
        let told = output_of(&server, 1, id);
        assert!(told.contains(part), "{id}: {told}");
    }
    let turns = server.turns();
    assert_eq!(outputs(&turns[1]).len(), 5);
    assert!(!turns[1].body.to_string().contains("input_image"));
    let denials = denied(&env);
    assert_eq!(denials.len(), 1, "{denials:?}");
    assert_eq!(denials[0]["operation"], "file_read");
    // Four images in one answer, and the fifth is told so.
    assert!(output_of(&server, 2, "c3").contains("image 4"));
    let fifth = output_of(&server, 2, "c4");
    assert!(fifth.contains("may view 4 images"), "{fifth}");
    let text = turns[2].body.to_string();
    assert_eq!(text.matches("\"input_image\"").count(), 4);
}

#[test]
fn it_is_offered_to_models_that_take_images_alone() {
    for (model, settings, offered) in [
        ("m", "", false),
        ("m", "images = true", true),
        ("gpt-5.1", "", true),
        ("gpt-5.1", "images = false", false),
        ("gpt-5.1", "tools = [\"shell\"]", false),
    ] {
        let env = TestEnv::new();
        env.write("a.png", PNG);
        let server = ScriptedModel::start(vec![calls(vec![view("c1", "a.png")]), says("Done.")]);
        env.write_config(format!(
            "model = \"{model}\"\nmodel_provider = \"test\"\n[models.\"{model}\"]\n{settings}\n\
             [model_providers.test]\nbase_url = \"{}\"\nwire_api = \"responses\"\n",
            server.base_url()
        ));
        exec_json(&env, &["look"]);
        server.assert_finished();
        let turns = server.turns();
        let tools = turns[0].body["tools"].to_string();
        assert_eq!(tools.contains("view_image"), offered, "{model} {settings}");
        let shown = turns[1].body.to_string().contains("input_image");
        assert_eq!(shown, offered, "{model} {settings}");
        if !offered {
            let told = output_of(&server, 1, "c1");
            assert!(told.contains("there is no tool 'view_image'"), "{told}");
        }
    }
}
