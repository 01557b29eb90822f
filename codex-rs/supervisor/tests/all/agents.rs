//! Agents one by one: what each is told, refused and left with.

use std::sync::Arc;
use std::time::Duration;

use codex_protocol::approval::Answer;
use codex_protocol::event::{ApprovalRequest, Event, Resolution};
use codex_protocol::model::{Content, ModelErrorKind};
use codex_protocol::operation::Outcome;
use codex_protocol::record::Entry;
use codex_protocol::security_profile::SecurityProfile;
use codex_supervisor::SubAgent;
use codex_supervisor::approvals::Approvals;
use codex_supervisor::limits::Limits;
use codex_supervisor::mailbox::MailboxFullPolicy;
use codex_supervisor::manager::{CLEAN_UP, SpawnError, SpawnRequest, Writes};
use codex_supervisor::narrow::{Budget, RightsRequest, Selection};
use codex_supervisor::path::AgentPath;
use codex_supervisor::report::Ended;
use codex_supervisor::state::State;
use serde_json::json;
use tokio::time::{Instant, timeout};

use super::fixture::{Run, Step, Wanted, say};

fn text(text: &str) -> Vec<Content> {
    vec![Content::Text {
        text: text.to_owned(),
    }]
}

#[tokio::test(start_paused = true)]
async fn an_agent_does_one_task_after_another_and_gives_its_place_back() {
    let run = Run::new(Wanted::default());
    let agent = run.start("a", vec![say("one"), say("two")]).await;
    assert_eq!(run.manager.active(), 1);
    assert_eq!(agent.done().await, State::Completed);
    assert_eq!(agent.report().unwrap().message.as_deref(), Some("one"));
    agent.follow_up(text("more")).unwrap();
    assert!(agent.follow_up(text("too early")).is_err());
    assert_eq!(agent.done().await, State::Completed);
    let report = agent.report().unwrap();
    assert_eq!(report.message.as_deref(), Some("two"));
    assert_eq!((report.spent.turns, report.spent.tokens), (2, 20));
    assert!(run.told("a").contains("the task of a") && run.told("a").contains("more"));

    run.manager.end(agent.path()).await;
    assert_eq!(agent.state(), State::Closed);
    assert_eq!(run.manager.active(), 0);
    assert!(agent.follow_up(text("too late")).is_err());
    use State::{Closed, Completed, Running};
    assert_eq!(
        run.seen.of(agent.path()),
        [Running, Completed, Running, Completed, Closed]
    );
    assert_eq!(run.ledger.spent().turns, 2);

    let records = run.log.of("agent.spawn");
    assert_eq!(records.len(), 2, "the intent and the outcome");
    assert_eq!(records[0].target, "main/a (general)");
    assert_eq!(records[0].subject.agent_type.as_str(), "main");
    assert_eq!(records[1].detail.as_ref().unwrap()["outcome"]["turns"], 2);
    let requests = run.log.of("model.configured");
    assert!(
        requests
            .iter()
            .all(|r| r.subject.agent_type.as_str() == "general")
    );
    let detail = records[0].detail.as_ref().unwrap();
    assert_eq!(detail["task_id"], requests[0].subject.task_id.as_str());
    assert_eq!(
        detail["session_id"],
        requests[0].subject.session_id.as_str()
    );
}

#[tokio::test(start_paused = true)]
async fn more_agents_than_there_is_room_for_are_refused_with_a_record() {
    let limits = Limits {
        agents: 2,
        ..Limits::default()
    };
    let run = Run::new(Wanted {
        limits,
        ..Wanted::default()
    });
    let first = run.start("a", vec![Step::Hang]).await;
    let second = run.start("a", vec![Step::Hang]).await;
    assert_eq!(second.path().as_str(), "main/a-2");
    let refused = run.spawn("c").await;
    assert!(matches!(refused, Err(SpawnError::Refused(_))));
    let records = run.log.of("agent.limit");
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].outcome, Outcome::Denied);
    assert!(
        records[0].reason.contains("2 agents"),
        "{}",
        records[0].reason
    );

    run.manager.end(first.path()).await;
    run.script("c", vec![say("ok")]);
    assert!(run.spawn("c").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn more_than_the_parent_has_is_refused_with_a_record_for_each_kind_of_right() {
    let budget = Budget {
        turns: Some(10),
        tokens: Some(1000),
        time: Some(Duration::from_secs(60)),
    };
    let run = Run::new(Wanted {
        budget,
        ..Wanted::default()
    });
    let one = |name: &str| Some(vec![name.to_owned()]);
    let path = |path: &str| Some(vec![path.into()]);
    let all = || RightsRequest::default();
    let cases = [
        (
            "profile",
            RightsRequest {
                profile: Some(SecurityProfile::Trusted),
                ..all()
            },
        ),
        (
            "tool",
            RightsRequest {
                tools: Selection::only(["root_shell"]),
                ..all()
            },
        ),
        (
            "mcp_server",
            RightsRequest {
                mcp_servers: Selection::only(["db"]),
                ..all()
            },
        ),
        (
            "host",
            RightsRequest {
                hosts: one("example.com"),
                ..all()
            },
        ),
        (
            "read",
            RightsRequest {
                reads: path("/etc/shadow"),
                ..all()
            },
        ),
        (
            "write",
            RightsRequest {
                writes: path("/srv"),
                ..all()
            },
        ),
        (
            "program",
            RightsRequest {
                programs: path("/usr/bin/unlisted"),
                ..all()
            },
        ),
        (
            "variable",
            RightsRequest {
                variables: one("AWS_*"),
                ..all()
            },
        ),
        (
            "turns",
            RightsRequest {
                budget: Budget {
                    turns: Some(11),
                    ..Budget::default()
                },
                ..all()
            },
        ),
        (
            "tokens",
            RightsRequest {
                budget: Budget {
                    tokens: Some(1001),
                    ..Budget::default()
                },
                ..all()
            },
        ),
        (
            "time",
            RightsRequest {
                budget: Budget {
                    time: Some(Duration::from_secs(61)),
                    ..Budget::default()
                },
                ..all()
            },
        ),
    ];
    for (n, (kind, asked)) in cases.into_iter().enumerate() {
        let mut request = run.request("a");
        request.asked = asked;
        let refused = run.manager.spawn(&run.main, request).await;
        assert!(matches!(refused, Err(SpawnError::Refused(_))), "{kind}");
        let records = run.log.of("agent.rights");
        assert_eq!(records.len(), n + 1, "{kind}");
        let last = records.last().unwrap();
        assert!(
            last.reason.contains(&format!("the {kind} '")),
            "{}",
            last.reason
        );
        assert_eq!(last.outcome, Outcome::Denied);
    }
    assert!(run.log.of("agent.spawn").is_empty());
    assert_eq!(run.manager.active(), 0);
    assert_eq!(run.ledger.left().unwrap().turns, Some(10));
}

#[tokio::test(start_paused = true)]
async fn a_child_stops_where_its_part_of_the_budget_ends() {
    let budget = Budget {
        turns: Some(20),
        ..Budget::default()
    };
    let run = Run::new(Wanted {
        budget,
        ..Wanted::default()
    });
    let mut request = run.request("a");
    request.bounds.budget.turns = Some(3);
    request.bounds.budget.time = Some(Duration::from_secs(100));
    let calls = vec![Step::Call("work", json!({ "ms": 1 })); 5];
    run.script("a", calls);
    let agent = run.manager.spawn(&run.main, request).await.unwrap();
    assert_eq!(agent.done().await, State::Failed);
    assert_eq!(agent.report().unwrap().spent.turns, 3);
    run.manager.end(agent.path()).await;
    assert_eq!(run.ledger.left().unwrap().turns, Some(17));

    let mut request = run.request("slow");
    request.bounds.budget.time = Some(Duration::from_secs(100));
    run.script("slow", vec![Step::Hang]);
    let begun = Instant::now();
    let agent = run.manager.spawn(&run.main, request).await.unwrap();
    assert_eq!(agent.done().await, State::Failed);
    assert_eq!(begun.elapsed().as_secs(), 100);
    let how = agent.report().unwrap().how;
    assert!(
        matches!(&how, Ended::Failed { why } if why.contains("time")),
        "{how:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_failed_model_is_tried_again_and_calls_are_not_made_twice() {
    let run = Run::new(Wanted::default());
    let steps = vec![
        Step::Call("work", json!({ "ms": 10 })),
        Step::Fail(ModelErrorKind::Network),
        Step::Drop,
        say("done after all"),
    ];
    let agent = run.start("a", steps).await;
    let other = run.start("b", vec![Step::Fail(ModelErrorKind::Auth)]).await;
    let third = run
        .start("c", vec![Step::Fail(ModelErrorKind::Server); 9])
        .await;
    assert_eq!(agent.done().await, State::Completed);
    let report = agent.report().unwrap();
    assert_eq!((report.restarts, report.spent.turns), (2, 4));
    let told = run.told("a");
    assert_eq!(
        told.matches("ToolCall {").count(),
        2,
        "a call and its wrapper: {told}"
    );
    assert_eq!(other.done().await, State::Failed);
    assert_eq!(other.report().unwrap().restarts, 0);
    assert_eq!(third.done().await, State::Failed);
    assert_eq!(third.report().unwrap().restarts, 2);
    // Escalation: whoever started them is told, also without waiting.
    assert_eq!(run.mailbox.len(), 2);
    third.follow_up(text("again")).unwrap();
    assert_eq!(third.done().await, State::Failed);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_agent_takes_its_children_and_their_calls_with_it() {
    let run = Run::new(Wanted::default());
    let spawn = |name: &str| {
        Step::Call(
            "spawn_agent",
            json!({ "agent_type": "code", "task": "t", "name": name }),
        )
    };
    run.script("child", vec![Step::Call("work", json!({}))]);
    run.script("idle", vec![say("done")]);
    let steps = vec![
        spawn("child"),
        spawn("idle"),
        Step::Call("wait_agent", json!({})),
    ];
    let lead = run.start("lead", steps).await;
    let bystander = run
        .start("bystander", vec![Step::Slow(60_000), say("fine")])
        .await;
    while run.live() == 0 || run.manager.active() < 4 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    lead.cancel();
    timeout(CLEAN_UP, lead.closed())
        .await
        .expect("within the stated time");
    assert_eq!((run.live(), run.manager.active()), (0, 1));
    for name in ["child", "idle"] {
        let path = lead
            .path()
            .child(&codex_supervisor::path::AgentName::new(name).unwrap());
        assert_eq!(
            run.manager.agent(&path).unwrap().state(),
            State::Closed,
            "{name}"
        );
    }
    let cancelled = run.log.of("agent.cancel");
    let mut cancelled: Vec<&str> = cancelled.iter().map(|r| r.target.as_str()).collect();
    cancelled.sort_unstable();
    assert_eq!(
        cancelled,
        ["main/lead", "main/lead/child"],
        "the idle one was done"
    );
    assert_eq!(bystander.done().await, State::Completed);
}

#[tokio::test(start_paused = true)]
async fn one_that_breaks_down_leaves_nothing_behind() {
    let run = Run::new(Wanted::default());
    super::fixture::quiet_panics();
    let agent = run.start("a", vec![Step::Panic]).await;
    agent.closed().await;
    assert_eq!(
        run.seen.of(agent.path()),
        [State::Running, State::Interrupted, State::Closed]
    );
    assert_eq!(run.manager.active(), 0);
    let other = run.start("b", vec![say("fine")]).await;
    assert_eq!(other.done().await, State::Completed);
}

#[tokio::test(start_paused = true)]
async fn without_a_log_the_whole_run_ends() {
    let run = Run::new(Wanted::default());
    let waiting = run.start("a", vec![Step::Hang]).await;
    while run.prompts("a").is_empty() {
        tokio::task::yield_now().await;
    }
    *run.log.full_after.lock().unwrap() = Some(0);
    run.script("b", vec![say("never")]);
    assert!(matches!(run.spawn("b").await, Err(SpawnError::NoRecord(_))));
    *run.log.full_after.lock().unwrap() = None;
    let other = run
        .start(
            "c",
            vec![Step::Call("read_file", json!({ "path": "file" }))],
        )
        .await;
    *run.log.full_after.lock().unwrap() = Some(0);
    other.closed().await;
    waiting.closed().await;
    assert!(
        run.manager
            .shut_down(&run.main)
            .await
            .unwrap_err()
            .contains("no space left")
    );
    assert_eq!(run.manager.active(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_worktree_that_cannot_be_recorded_ends_the_run() {
    let run = Run::new(Wanted {
        profile: SecurityProfile::WorkspaceWrite,
        apart: true,
        ..Wanted::default()
    });
    *run.log.full_after.lock().unwrap() = Some(0);
    let request = SpawnRequest {
        writes: Writes::Apart,
        ..run.request("a")
    };
    let spawned = run.manager.spawn(&run.main, request).await;
    assert!(matches!(spawned, Err(SpawnError::NoRecord(_))));
}

/// The questions that agents put to the front end so far, each with its agent.
fn asked(run: &Run) -> Vec<(AgentPath, ApprovalRequest)> {
    let events = run.seen.events.lock().unwrap();
    let questions = events.iter().filter_map(|(path, event)| match event {
        Event::ApprovalRequested { approval } => Some((path.clone(), approval.clone())),
        _ => None,
    });
    questions.collect()
}

/// How the question of this agent came to its end.
fn resolved(run: &Run, agent: &SubAgent) -> Vec<Resolution> {
    let events = run.seen.events.lock().unwrap();
    let own = events.iter().filter(|(path, _)| path == agent.path());
    let ends = own.filter_map(|(_, event)| match event {
        Event::ApprovalResolved { resolution, .. } => Some(*resolution),
        _ => None,
    });
    ends.collect()
}

/// Waits until agents have asked so many questions.
async fn questions(run: &Run, count: usize) -> Vec<(AgentPath, ApprovalRequest)> {
    while asked(run).len() < count {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    asked(run)
}

fn asking(patience: Duration) -> (Run, Arc<Approvals>) {
    let approvals = Approvals::within(patience);
    let run = Run::new(Wanted {
        approvals: Arc::clone(&approvals),
        ..Wanted::default()
    });
    (run, approvals)
}

fn read_secret() -> Step {
    Step::Call("read_file", json!({ "path": ".env" }))
}

#[tokio::test(start_paused = true)]
async fn a_front_end_answers_what_children_ask_by_the_questions_id() {
    use State::{Completed, Interrupted, Running, WaitingForApproval};
    let (run, approvals) = asking(Duration::from_secs(600));
    let agent = run.start("a", vec![read_secret(), say("read it")]).await;
    let refused = run.start("b", vec![read_secret(), say("not read")]).await;
    let waits = run.start("c", vec![read_secret()]).await;
    let questions = questions(&run, 3).await;
    for (of, question) in &questions {
        assert!(question.target.ends_with(".env"), "{question:?}");
        assert_eq!(
            (question.operation.as_str(), question.seconds),
            ("file_read", 600)
        );
        let state = [&agent, &refused, &waits]
            .into_iter()
            .find(|a| a.path() == of);
        assert_eq!(state.unwrap().state(), WaitingForApproval);
    }
    let id_of = |agent: &SubAgent| {
        let own = questions.iter().find(|(of, _)| of == agent.path());
        own.unwrap().1.id.clone()
    };
    // One is cancelled while it waits: its question is withdrawn, and an answer comes too late.
    waits.cancel();
    waits.closed().await;
    assert_eq!(resolved(&run, &waits), [Resolution::Withdrawn]);
    let late = approvals.answer(&id_of(&waits), Answer::Yes).unwrap_err();
    assert!(late.to_string().contains(&id_of(&waits)), "{late}");
    assert!(run.seen.of(waits.path()).contains(&Interrupted));
    // The others are answered in the other order, and each gets its own answer.
    approvals.answer(&id_of(&refused), Answer::No).unwrap();
    approvals.answer(&id_of(&agent), Answer::Yes).unwrap();
    assert!(approvals.answer(&id_of(&agent), Answer::No).is_err());
    assert_eq!(agent.done().await, Completed);
    assert_eq!(refused.done().await, Completed);
    assert!(run.told("a").contains("A=1"), "{}", run.told("a"));
    assert!(!run.told("b").contains("A=1"), "{}", run.told("b"));
    assert_eq!(
        run.seen.of(agent.path()),
        [Running, WaitingForApproval, Running, Completed]
    );
    for agent in [&agent, &refused] {
        assert_eq!(resolved(&run, agent), [Resolution::Answered]);
    }
    assert!(approvals.open().is_empty());
    let given = run.log.of("approval.given");
    assert!(!given.is_empty());
    let of_agents = |r: &Entry| r.subject.agent_type.as_str() == "general";
    assert!(given.iter().all(of_agents));
}

#[tokio::test(start_paused = true)]
async fn a_question_that_nobody_answers_is_a_denial_and_the_child_goes_on() {
    let (run, approvals) = asking(Duration::from_secs(30));
    let agent = run.start("a", vec![read_secret(), say("without")]).await;
    assert_eq!(agent.done().await, State::Completed);
    assert_eq!(resolved(&run, &agent), [Resolution::Unanswered]);
    assert!(!run.told("a").contains("A=1"));
    assert!(!run.log.of("approval.unanswered").is_empty());
    // The front end goes while one waits: it does not wait for its time to end.
    let waits = run.start("b", vec![read_secret(), say("without")]).await;
    let begun = Instant::now();
    questions(&run, 2).await;
    approvals.close();
    assert_eq!(waits.done().await, State::Completed);
    assert!(begun.elapsed() < Duration::from_secs(30));
    // Whoever asks afterwards is told at once that there is nobody.
    let later = run.start("c", vec![read_secret(), say("without")]).await;
    assert_eq!(later.done().await, State::Completed);
    assert!(resolved(&run, &later).is_empty());
}

#[tokio::test(start_paused = true)]
async fn commands_and_model_requests_pass_their_turnstiles() {
    let limits = Limits {
        commands: 2,
        model_calls: 1,
        ..Limits::default()
    };
    let run = Run::new(Wanted {
        limits,
        ..Wanted::default()
    });
    let begun = Instant::now();
    let mut agents = Vec::new();
    for name in ["a", "b", "c", "d", "e", "f"] {
        let steps = vec![
            Step::Slow(1000),
            Step::Call("shell", json!({ "ms": 10_000 })),
            say("done"),
        ];
        agents.push(run.start(name, steps).await);
    }
    for agent in &agents {
        assert_eq!(agent.done().await, State::Completed);
    }
    assert_eq!(run.most_commands(), 2);
    assert!(
        begun.elapsed() >= Duration::from_secs(31),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_model_works_with_agents_of_its_own() {
    let run = Run::new(Wanted::default());
    run.script(
        "helper",
        vec![say("found it in file 7"), say("and in file 9")],
    );
    let call = |name, arguments| Step::Call(name, arguments);
    let lead = run
        .start(
            "lead",
            vec![
                call(
                    "spawn_agent",
                    json!({ "agent_type": "code", "task": "look", "name": "helper" }),
                ),
                call("wait_agent", json!({})),
                call(
                    "followup_task",
                    json!({ "agent": "helper", "task": "look again" }),
                ),
                call("wait_agent", json!({ "agents": ["helper"] })),
                call("list_agents", json!({})),
                call("close_agent", json!({ "agent": "main/lead/helper" })),
                call(
                    "send_message",
                    json!({ "agent": "helper", "message": "are you there" }),
                ),
                call(
                    "spawn_agent",
                    json!({ "agent_type": "code", "task": "x", "profile": "trusted" }),
                ),
                call(
                    "spawn_agent",
                    json!({ "agent_type": "nobody", "task": "x" }),
                ),
                call("close_agent", json!({ "agent": "../main" })),
                call("wait_agent", json!({ "unknown": 1 })),
                call(
                    "send_message",
                    json!({ "agent": "parent", "message": "half done" }),
                ),
                say("finished"),
            ],
        )
        .await;
    assert_eq!(lead.done().await, State::Completed);
    let told = run.told("lead");
    for part in [
        "started main/lead/helper",
        "found it in file 7",
        "and in file 9",
        "session id-",
        "main/lead/helper (code): completed; 0 unread",
        "closed main/lead/helper",
        "not delivered: main/lead/helper has ended",
        "denied: Offline profile: the profile 'Trusted' was asked for",
        "there is no agent type 'nobody'; the types are code, general",
        "there is no agent '../main'",
        "the arguments of wait_agent are not what it takes",
        "delivered to main",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert_eq!(run.mailbox.len(), 1);
    assert_eq!(run.log.of("agent.mailbox").len(), 1);
    let acts: Vec<(String, String)> = run
        .log
        .of("agent.spawn")
        .iter()
        .filter_map(|entry| {
            let detail = entry.detail.as_ref()?;
            let text = detail.get("message").or(detail.get("task"))?;
            let phase = detail["phase"].as_str()?;
            Some((format!("{phase} {}", entry.target), text.to_string()))
        })
        .collect();
    let expected = [
        ("intent main/lead (general)", "\"the task of lead\""),
        ("intent main/lead/helper (code)", "\"look\""),
        ("follow_up main/lead/helper (code)", "\"look again\""),
        ("message main/lead/helper (code)", "\"are you there\""),
        ("message main (main)", "\"half done\""),
    ]
    .map(|(what, text)| (what.to_owned(), text.to_owned()));
    assert_eq!(acts, expected);
    // The helper stands as deep as agents may, so it can only talk to its parent.
    let tools = &run.prompts("helper")[0].tools;
    let names: Vec<&str> = tools.iter().map(|t| t.name.as_str()).collect();
    assert_eq!(names, ["work", "shell", "read_file", "send_message"]);
}

#[tokio::test(start_paused = true)]
async fn a_full_mailbox_is_told_to_the_model_and_recorded_under_each_policy() {
    for (policy, told, dropped) in [
        (MailboxFullPolicy::Block, "was full for 30 s", 0),
        (
            MailboxFullPolicy::DropOldest,
            "its oldest message was dropped",
            1,
        ),
        (MailboxFullPolicy::DropNew, "is full; try again", 1),
    ] {
        let limits = Limits {
            mailbox: 2,
            when_full: policy,
            ..Limits::default()
        };
        let run = Run::new(Wanted {
            limits,
            ..Wanted::default()
        });
        let send = |n: u32| {
            Step::Call(
                "send_message",
                json!({ "agent": "parent", "message": format!("m{n}") }),
            )
        };
        let steps = vec![send(1), send(2), send(3), say("done")];
        let agent = run.start("a", steps).await;
        assert_eq!(agent.done().await, State::Completed);
        assert!(
            run.told("a").contains(told),
            "{policy:?}: {}",
            run.told("a")
        );
        assert_eq!(run.mailbox.counts().dropped, dropped, "{policy:?}");
        assert_eq!(run.mailbox.len(), 2);
        assert_eq!(run.log.of("agent.mailbox").len(), 1, "{policy:?}");
        let first = run.mailbox.try_take().unwrap().content();
        let expected = if policy == MailboxFullPolicy::DropOldest {
            "m2"
        } else {
            "m1"
        };
        assert!(
            format!("{first:?}").contains(expected),
            "{policy:?}: {first:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_reaches_a_working_agent_with_its_next_call() {
    let run = Run::new(Wanted::default());
    let steps = vec![
        Step::Call("work", json!({ "ms": 1000 })),
        Step::Call("read_file", json!({ "path": "file" })),
        say("done"),
    ];
    let agent = run.start("a", steps).await;
    while run.live() == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let message =
        codex_supervisor::message::Message::new(run.main.path.clone(), "use the other file");
    agent.inbox().send(message).await;
    assert_eq!(agent.done().await, State::Completed);
    let second = format!("{:?}", run.prompts("a")[1].items);
    assert!(
        second.contains("[message from the agent main]\\nuse the other file"),
        "{second}"
    );
}
