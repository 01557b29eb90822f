//! Many agents at once, and faults by chance.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use codex_test_support::{
    AgentScripts, Answered, Fault, Faults, Item, Reply, ScriptedModel, marker,
};
use serde_json::{Value, json};

use crate::client::post;
use crate::fails;

fn says(text: &str) -> Reply {
    Reply::responses(vec![Item::message(text)])
}

fn task(agent: &str, more: &str) -> Value {
    json!({
        "stream": true,
        "instructions": format!("You are one of many, {} say.", marker("nobody")),
        "input": [
            { "role": "user", "content": format!("{} do your part", marker(agent)) },
            { "role": "assistant", "content": more },
        ],
    })
}

/// Asks until a reply of the script came; its text.
fn ask(model: &ScriptedModel, agent: &str) -> String {
    for _ in 0..20 {
        let response = post(model, "/v1/responses", &task(agent, &marker("other")));
        if response.status == 200 && response.whole {
            return response.text();
        }
    }
    panic!("no reply to {agent}");
}

#[test]
fn each_agent_gets_its_own_replies_in_order() {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let scripts = names.iter().fold(AgentScripts::new(), |scripts, name| {
        let replies = (0..5).map(|n| says(&format!("{name}{n}"))).collect();
        scripts.agent(*name, replies)
    });
    let model = ScriptedModel::start_many(scripts);
    thread::scope(|scope| {
        for name in names {
            let model = &model;
            scope.spawn(move || {
                for n in 0..5 {
                    let text = ask(model, name);
                    assert!(text.contains(&format!("\"text\":\"{name}{n}\"")), "{text}");
                }
            });
        }
    });
    model.assert_finished();
    assert_eq!(model.turns().len(), 40);
    let of_c = model.turns_of("c");
    assert_eq!(of_c.len(), 5);
    assert_eq!(of_c[4].answered, Answered::Script(4));
    assert_eq!(of_c[4].agent.as_deref(), Some("c"));

    model.push_to("c", says("more"));
    assert_eq!(model.remaining(), 1);
    assert!(ask(&model, "c").contains("more"));
}

#[test]
fn whoever_has_no_script_is_told() {
    let model = ScriptedModel::start_many(AgentScripts::new().agent("a", vec![says("x")]));
    for (body, expected) in [
        (task("z", ""), "there is no script for the agent 'z'"),
        (
            json!({ "stream": true, "input": "do it" }),
            "no task with a marker",
        ),
    ] {
        let response = post(&model, "/v1/responses", &body);
        assert_eq!(response.status, 500);
        assert!(response.text().contains(expected), "{}", response.text());
    }
    ask(&model, "a");
    let response = post(&model, "/v1/responses", &task("a", ""));
    assert!(response.text().contains("was given all of its 1 replies"));
    assert!(fails(|| model.assert_finished()));
}

fn run(seed: u64) -> Vec<(String, Fault)> {
    let names = ["a", "b", "c"];
    let scripts = names.iter().fold(AgentScripts::new(), |scripts, name| {
        let replies = (0..20).map(|n| says(&format!("{name}{n}"))).collect();
        scripts.agent(*name, replies)
    });
    let faults = Faults {
        percent: 50,
        most_delay: Duration::from_millis(1),
        stall: Duration::from_millis(2),
        ..Faults::seeded(seed)
    };
    let model = ScriptedModel::start_many(scripts.faults(faults));
    thread::scope(|scope| {
        for name in names {
            let model = &model;
            scope.spawn(move || {
                for n in 0..20 {
                    let text = ask(model, name);
                    assert!(text.contains(&format!("\"text\":\"{name}{n}\"")), "{text}");
                }
            });
        }
    });
    model.assert_finished();
    let mut faults = model.faults();
    // In the order of each agent: the agents themselves interleave.
    faults.sort_by(|(a, _), (b, _)| a.cmp(b));
    faults
}

#[test]
fn faults_of_each_kind_come_and_the_same_seed_brings_the_same() {
    let first = run(7);
    assert!(first.len() > 20, "{first:?}");
    let kinds: BTreeSet<Fault> = first.iter().map(|(_, fault)| *fault).collect();
    assert_eq!(kinds.len(), Fault::ALL.len(), "{kinds:?}");
    assert_eq!(run(7), first);
    assert_ne!(run(8), first);
}

#[test]
fn faults_are_what_they_say() {
    for (fault, status) in [
        (Fault::ServerError, 500),
        (Fault::RateLimit, 429),
        (Fault::Dropped, 200),
        (Fault::Stalled, 200),
    ] {
        let faults = Faults {
            percent: 100,
            kinds: vec![fault],
            most_in_a_row: 1,
            ..Faults::seeded(1)
        };
        let scripts = AgentScripts::new()
            .agent("a", vec![says("kept")])
            .faults(faults);
        let model = ScriptedModel::start_many(scripts);
        let response = post(&model, "/v1/responses", &task("a", ""));
        assert_eq!(response.status, status, "{fault:?}");
        assert_eq!(response.whole, status != 200, "{fault:?}");
        assert!(!response.text().contains("response.completed"), "{fault:?}");
        assert_eq!(model.faults(), [("a".to_owned(), fault)]);
        // Not given away: the next request gets it.
        assert!(ask(&model, "a").contains("kept"));
        model.assert_finished();
    }
}
