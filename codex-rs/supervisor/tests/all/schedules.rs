//! Many runs in many orders with faults thrown in: each has to end, and to account for everything.
//!
//! Time is the runtime's own and stands still while anything can go on, so that a run is decided
//! by its plan alone and a failing one is the same again.

use std::time::Duration;

use codex_protocol::model::ModelErrorKind;
use codex_supervisor::limits::Limits;
use codex_supervisor::mailbox::MailboxFullPolicy;
use codex_supervisor::manager::CLEAN_UP;
use codex_supervisor::narrow::Budget;
use codex_supervisor::path::AgentPath;
use codex_supervisor::state::State;
use proptest::prelude::*;
use serde_json::json;
use tokio::time::{Instant, timeout};

use super::fixture::{Run, Step, Wanted, say};

const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

fn step() -> impl Strategy<Value = Step> {
    let name = || prop::sample::select(NAMES.to_vec());
    prop_oneof![
        4 => (0_u64..3000).prop_map(Step::Slow),
        4 => (0_u64..5000).prop_map(|ms| Step::Call("work", json!({ "ms": ms }))),
        2 => (0_u64..5000).prop_map(|ms| Step::Call("shell", json!({ "ms": ms }))),
        2 => (0_u64..5000).prop_map(|ms| Step::Call("shell", json!({ "ms": ms, "killed": true }))),
        1 => Just(Step::Call("shell", json!({}))),
        1 => Just(Step::Call("no_such_tool", json!({}))),
        1 => Just(Step::Hang),
        2 => Just(Step::Drop),
        1 => Just(Step::Panic),
        2 => prop::sample::select(vec![
            ModelErrorKind::Network, ModelErrorKind::Server, ModelErrorKind::RateLimit,
            ModelErrorKind::Auth, ModelErrorKind::Rejected,
        ]).prop_map(Step::Fail),
        4 => name().prop_map(|name| Step::Call(
            "spawn_agent",
            json!({ "agent_type": "code", "task": "t", "name": name }),
        )),
        2 => Just(Step::Call("wait_agent", json!({ "timeout_secs": 20 }))),
        5 => name().prop_map(|name| Step::Call(
            "send_message",
            json!({ "agent": if name == "a" { "parent" } else { name }, "message": "m" }),
        )),
        1 => name().prop_map(|name| Step::Call(
            "followup_task",
            json!({ "agent": name, "task": "more" }),
        )),
        1 => name().prop_map(|name| Step::Call("close_agent", json!({ "agent": name }))),
        1 => Just(Step::Call("list_agents", json!({}))),
        2 => Just(say("done")),
    ]
}

/// What the person does meanwhile: after so many milliseconds, this to one of the agents.
#[derive(Clone, Debug)]
enum Act {
    Spawn(usize),
    Cancel(usize),
    Flood(usize, u8),
    FollowUp(usize),
    Drain,
    FailLog,
}

fn act() -> impl Strategy<Value = (u64, Act)> {
    let which = 0_usize..NAMES.len();
    let act = prop_oneof![
        6 => which.clone().prop_map(Act::Spawn),
        2 => which.clone().prop_map(Act::Cancel),
        2 => (which.clone(), 0_u8..6).prop_map(|(which, n)| Act::Flood(which, n)),
        1 => which.prop_map(Act::FollowUp),
        2 => Just(Act::Drain),
        1 => Just(Act::FailLog),
    ];
    (0_u64..4000, act)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_run_ends_and_accounts_for_everything(
        scripts in prop::collection::vec(prop::collection::vec(step(), 0..10), NAMES.len()),
        acts in prop::collection::vec(act(), 1..14),
        agents in 1_usize..7,
        mailbox in 1_usize..3,
        when_full in prop::sample::select(vec![
            MailboxFullPolicy::Block, MailboxFullPolicy::DropOldest, MailboxFullPolicy::DropNew,
        ]),
        (model_calls, commands, depth) in (1_usize..4, 1_usize..3, 1_u32..4),
        turns in prop::option::of(1_u32..60),
        fails_log in any::<bool>(),
    ) {
        super::fixture::quiet_panics();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let limits = Limits { agents, depth, model_calls, commands, mailbox, when_full };
            let budget = Budget { turns, ..Budget::default() };
            let run = Run::new(Wanted { limits, budget, ..Wanted::default() });
            for (name, steps) in NAMES.iter().zip(scripts) {
                run.script(name, steps);
            }
            let mut started = Vec::new();
            for (pause, act) in acts {
                tokio::time::sleep(Duration::from_millis(pause)).await;
                match act {
                    Act::Spawn(n) => started.extend(run.spawn(NAMES[n]).await),
                    Act::Cancel(n) => {
                        if let Some(agent) = run.manager.agent(&run.path(NAMES[n])) {
                            agent.cancel();
                            // A cancellation is never lost, whatever else goes on.
                            timeout(2 * CLEAN_UP, agent.closed()).await.expect("a cancelled agent ends");
                        }
                    }
                    Act::Flood(n, messages) => {
                        if let Some(agent) = run.manager.agent(&run.path(NAMES[n])) {
                            for _ in 0..messages {
                                let message = codex_supervisor::message::Message::new(AgentPath::main(), "m");
                                let sent = agent.inbox().send(message);
                                let _ = timeout(Duration::from_millis(100), sent).await;
                            }
                        }
                    }
                    Act::FollowUp(n) => {
                        if let Some(agent) = run.manager.agent(&run.path(NAMES[n])) {
                            let task = vec![codex_protocol::model::Content::Text { text: "more".to_owned() }];
                            let _ = agent.follow_up(task);
                        }
                    }
                    Act::Drain => while run.mailbox.try_take().is_some() {},
                    Act::FailLog if fails_log => *run.log.full_after.lock().unwrap() = Some(0),
                    Act::FailLog => {}
                }
                assert!(run.manager.active() <= agents);
                assert!(run.most_commands() <= commands);
            }
            // Whoever waits for one gets a state, within the longest wait and the restarts'.
            tokio::time::sleep(Duration::from_secs(60)).await;
            let begun = Instant::now();
            let ended = timeout(3 * CLEAN_UP, run.manager.shut_down(&run.main)).await;
            assert!(ended.is_ok(), "the run ends");
            assert!(begun.elapsed() <= 2 * CLEAN_UP, "{:?}", begun.elapsed());

            // Nothing is left: no place, no call, no agent that is anything but closed.
            assert_eq!(run.manager.active(), 0);
            assert_eq!(run.live(), 0);
            for agent in run.manager.below(&AgentPath::main()) {
                assert_eq!(agent.state(), State::Closed, "{}", agent.path());
                let mut state = State::Pending;
                for next in run.seen.of(agent.path()) {
                    assert!(state.may_become(next), "{}: {state} to {next}", agent.path());
                    state = next;
                }
                assert_eq!(state, State::Closed, "what was told of {} is how it is", agent.path());
                let counts = agent.inbox().counts();
                assert_eq!(counts.sent, counts.taken + counts.dropped + counts.undelivered);
            }
            if let Some(turns) = turns {
                assert!(run.ledger.spent().turns <= turns);
                assert_eq!(run.ledger.left().map_or(0, |l| l.turns.unwrap()), turns - run.ledger.spent().turns);
            }
            drop(started);
        });
    }
}
