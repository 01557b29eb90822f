//! Plans: what begins when, and what becomes of what comes after a failure.

use std::time::Duration;

use codex_protocol::model::ModelErrorKind;
use codex_supervisor::graph::{self, Fate, Options, Outcome};
use codex_supervisor::plan::{OnFailure, Plan};
use codex_supervisor::state::State;
use serde_json::json;

use super::fixture::{Run, Step, Wanted, say};

const OPTIONS: Options = Options {
    max_concurrent: 8,
    on_failure: OnFailure::Stop,
};

fn plan(agents: &[(&str, &[&str], u32)]) -> Plan {
    let text: String = agents
        .iter()
        .map(|(name, after, retries)| {
            format!(
                "[[agent]]\nname = '{name}'\ntask = 'do {name}'\nafter = {after:?}\nretries = {retries}\n"
            )
        })
        .collect();
    Plan::parse(&text).expect("the plan is one")
}

async fn go(run: &Run, plan: &Plan, options: Options) -> Vec<Outcome> {
    graph::run(&run.manager, &run.main, plan, options)
        .await
        .expect("the log is written")
}

fn fates(outcomes: &[Outcome]) -> Vec<Fate> {
    outcomes.iter().map(|outcome| outcome.fate).collect()
}

/// The agents in the order in which they began.
fn begun(run: &Run) -> Vec<String> {
    let states = run.seen.states.lock().unwrap();
    let running = states
        .iter()
        .filter(|(_, state, _)| *state == State::Running);
    running.map(|(path, _, _)| path.name().to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn agents_begin_after_those_before_them_and_know_what_they_reported() {
    let run = Run::new(Wanted::default());
    run.script("a", vec![Step::Slow(1000), say("a found X")]);
    run.script("b", vec![Step::Slow(2000), say("b found Y")]);
    run.script("c", vec![say("c is done")]);
    let plan = plan(&[("c", &["a", "b"], 0), ("a", &[], 0), ("b", &[], 0)]);
    let begins = tokio::time::Instant::now();
    let outcomes = go(&run, &plan, OPTIONS).await;
    assert_eq!(fates(&outcomes), [Fate::Completed; 3]);
    assert_eq!(
        begins.elapsed(),
        Duration::from_secs(2),
        "a and b side by side"
    );
    assert_eq!(begun(&run), ["a", "b", "c"]);
    let told = run.told("c");
    assert!(told.contains("do c") && told.contains("a found X") && told.contains("b found Y"));
    assert_eq!(run.manager.active(), 0);

    let run = Run::new(Wanted::default());
    for name in ["a", "b"] {
        run.script(name, vec![Step::Slow(1000), say("ok")]);
    }
    let one_by_one = Options {
        max_concurrent: 1,
        ..OPTIONS
    };
    let begins = tokio::time::Instant::now();
    go(&run, &plan, one_by_one).await;
    assert_eq!(begins.elapsed(), Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn a_failure_stops_the_others_or_only_what_comes_after_it() {
    for on_failure in [OnFailure::Stop, OnFailure::Continue] {
        let run = Run::new(Wanted::default());
        run.script(
            "bad",
            vec![Step::Slow(1000), Step::Fail(ModelErrorKind::Auth)],
        );
        run.script(
            "slow",
            vec![Step::Call("work", json!({ "ms": 60_000 })), say("ok")],
        );
        let plan = plan(&[
            ("bad", &[], 0),
            ("next", &["bad"], 0),
            ("after", &["next"], 0),
            ("slow", &[], 0),
            ("late", &["slow"], 0),
        ]);
        let options = Options {
            on_failure,
            ..OPTIONS
        };
        let outcomes = go(&run, &plan, options).await;
        use Fate::{Completed, Failed, Interrupted, Skipped};
        let expected = match on_failure {
            OnFailure::Stop => [Failed, Skipped, Skipped, Interrupted, Skipped],
            OnFailure::Continue => [Failed, Skipped, Skipped, Completed, Completed],
        };
        assert_eq!(fates(&outcomes), expected, "{on_failure:?}");
        assert!(outcomes[1].why.as_ref().unwrap().contains("'bad'"));
        assert_eq!((run.live(), run.manager.active()), (0, 0));
        assert!(!run.main.cancel.is_cancelled(), "the run itself goes on");
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_is_begun_again_by_a_new_agent() {
    let run = Run::new(Wanted::default());
    run.script("a", vec![Step::Fail(ModelErrorKind::Rejected)]);
    run.script("a-2", vec![Step::Fail(ModelErrorKind::Rejected)]);
    run.script("a-3", vec![say("at last")]);
    run.script("b", vec![say("b")]);
    let plan = plan(&[("a", &[], 2), ("b", &["a"], 0)]);
    let outcomes = go(&run, &plan, OPTIONS).await;
    assert_eq!(fates(&outcomes), [Fate::Completed; 2]);
    assert_eq!(outcomes[0].attempts, 3);
    assert_eq!(outcomes[0].agent.as_ref().unwrap().as_str(), "main/a-3");
    assert!(run.told("b").contains("at last"));
}

#[tokio::test(start_paused = true)]
async fn a_plan_cancelled_in_its_middle_accounts_for_every_agent() {
    let run = Run::new(Wanted::default());
    run.script("done", vec![say("ok")]);
    run.script("busy", vec![Step::Call("shell", json!({}))]);
    let plan = plan(&[
        ("done", &[], 0),
        ("busy", &["done"], 3),
        ("never", &["busy"], 0),
    ]);
    let cancel = run.main.cancel.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(5)).await;
        cancel.cancel();
    });
    let outcomes = go(&run, &plan, OPTIONS).await;
    assert_eq!(
        fates(&outcomes),
        [Fate::Completed, Fate::Interrupted, Fate::Skipped]
    );
    assert_eq!(outcomes[1].attempts, 1);
    assert_eq!((run.live(), run.manager.active()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_type_and_a_wider_profile_fail_their_agent_alone() {
    let run = Run::new(Wanted::default());
    run.script("fine", vec![say("ok")]);
    let plan = Plan::parse(
        "[[agent]]\nname = 'a'\ntype = 'wizard'\ntask = 't'\n\
         [[agent]]\nname = 'b'\ntask = 't'\nprofile = 'trusted'\n\
         [[agent]]\nname = 'fine'\ntask = 't'\n",
    )
    .unwrap();
    let options = Options {
        on_failure: OnFailure::Continue,
        ..OPTIONS
    };
    let outcomes = go(&run, &plan, options).await;
    assert_eq!(
        fates(&outcomes),
        [Fate::Failed, Fate::Failed, Fate::Completed]
    );
    assert!(
        outcomes[0]
            .why
            .as_ref()
            .unwrap()
            .contains("no agent type 'wizard'")
    );
    assert!(
        outcomes[1]
            .why
            .as_ref()
            .unwrap()
            .contains("profile 'Trusted'")
    );
    assert_eq!(run.log.of("agent.rights").len(), 1);
}
