//! A front end that answers by a script, asked by the real proxy about hosts that are on no list.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use codex_egress::Limits;
use codex_protocol::operation::Operation;
use codex_protocol::permission::{Answer, Approver, Keeper, Question};
use codex_protocol::policy::Right;
use codex_protocol::tool::BoxFuture;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::world::{HIT, Origin, PATIENCE, Setting, World, connect, exchange};

/// Answers in this order, each when it is let go; after the last, never.
struct FrontEnd {
    answers: Mutex<VecDeque<Answer>>,
    go: Semaphore,
    asked: Mutex<Vec<Question>>,
    withdrawn: AtomicUsize,
}

/// Counts a question that is dropped without its answer.
struct Shown<'f>(&'f FrontEnd, bool);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        if !self.1 {
            self.0.withdrawn.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl Approver for FrontEnd {
    fn ask(&self, question: Question) -> BoxFuture<'_, Answer> {
        Box::pin(async move {
            self.asked.lock().unwrap().push(question);
            let mut shown = Shown(self, false);
            self.go.acquire().await.unwrap().forget();
            let next = self.answers.lock().unwrap().pop_front();
            let Some(answer) = next else {
                return std::future::pending().await;
            };
            shown.1 = true;
            answer
        })
    }

    fn who(&self) -> &str {
        "a script"
    }
}

impl FrontEnd {
    /// Answers at once, so often.
    fn answering(answers: &[Answer]) -> Arc<Self> {
        let front_end = Self::waiting(answers);
        front_end.go.add_permits(answers.len());
        front_end
    }

    fn waiting(answers: &[Answer]) -> Arc<Self> {
        Arc::new(Self {
            answers: Mutex::new(answers.iter().copied().collect()),
            go: Semaphore::new(0),
            asked: Mutex::default(),
            withdrawn: AtomicUsize::new(0),
        })
    }

    fn asked(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        asked.iter().map(|q| q.target.clone()).collect()
    }

    fn wait_for_questions(&self, count: usize) {
        until(|| self.asked().len() >= count);
    }
}

fn until(done: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < end, "it does not come to it");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Keeps rules in memory, or says why not.
struct Kept(Mutex<Result<Vec<String>, String>>);

impl Keeper for Kept {
    fn place(&self) -> String {
        "a list".to_owned()
    }

    fn keep(&self, rule: &str) -> Result<(), String> {
        match &mut *self.0.lock().unwrap() {
            Ok(rules) => rules.push(rule.to_owned()),
            Err(why) => return Err(why.clone()),
        }
        Ok(())
    }
}

fn keeper() -> Arc<Kept> {
    Arc::new(Kept(Mutex::new(Ok(Vec::new()))))
}

fn world(front_end: &Arc<FrontEnd>, keeper: Option<Arc<Kept>>) -> World {
    let setting = Setting {
        approver: Arc::clone(front_end) as _,
        keeper: keeper.map(|k| k as _),
        ..Setting::default()
    };
    World::new(Origin::new(false, HIT), setting)
}

/// Starts a request of `other.test`; its answer comes when it is waited for.
fn start(world: &World, path: &str) -> JoinHandle<String> {
    let (address, port) = (world.proxy.address(), world.port());
    let request =
        format!("GET http://other.test:{port}{path} HTTP/1.1\r\nHost: other.test:{port}\r\n\r\n");
    std::thread::spawn(move || exchange(connect(address), request.as_bytes()))
}

fn get(world: &World, path: &str) -> String {
    start(world, path).join().unwrap()
}

/// The details of the answers that were recorded.
fn answers(world: &World) -> Vec<Value> {
    let entries = world.log.entries.lock().unwrap();
    let of_approval = entries
        .iter()
        .filter(|e| e.operation == Operation::Approval);
    of_approval.map(|e| e.detail.clone().unwrap()).collect()
}

#[test]
fn a_yes_for_once_is_for_one_request() {
    let front_end = FrontEnd::answering(&[Answer::Yes, Answer::No]);
    let world = world(&front_end, Some(keeper()));
    let port = world.port();
    assert!(get(&world, "/a?k=v").starts_with("HTTP/1.1 200"));
    let answer = get(&world, "/a?k=v");
    assert!(
        answer.contains("x-proxy-error: approval.refused: "),
        "{answer}"
    );
    let target = format!("GET http://other.test:{port}/a?k=[REDACTED]");
    assert_eq!(front_end.asked(), [target.clone(), target.clone()]);
    let question = front_end.asked.lock().unwrap()[0].clone();
    assert_eq!(question.lasting, Some(format!("http://other.test:{port}")));
    assert!(question.always);
    assert_eq!(
        world.records(),
        [
            format!("allowed approval.given network_access {target}"),
            format!("allowed approval.given {target}"),
            format!("denied approval.refused network_access {target}"),
            format!("denied approval.refused {target}"),
        ]
    );
    assert_eq!(
        answers(&world),
        [
            json!({ "answer": "once", "who": "a script", "covers": target, "until": "this request has ended" }),
            json!({ "answer": "no", "who": "a script", "covers": target, "until": "it is asked again" }),
        ]
    );
    assert_eq!(world.origin.hits(), 1);
}

#[test]
fn a_yes_for_the_session_is_for_one_host_scheme_and_port() {
    let front_end = FrontEnd::answering(&[Answer::Session, Answer::No, Answer::No]);
    let world = world(&front_end, Some(keeper()));
    let port = world.port();
    for path in ["/a", "/b", "/c?d"] {
        assert!(get(&world, path).starts_with("HTTP/1.1 200"), "{path}");
    }
    assert_eq!(front_end.asked().len(), 1);
    assert_eq!(
        answers(&world),
        [json!({
            "answer": "session", "who": "a script", "covers": format!("http://other.test:{port}"),
            "until": "the session ends",
        })]
    );
    let records = world.records();
    let rules: Vec<&str> = records
        .iter()
        .map(|r| r.split(' ').nth(1).unwrap())
        .collect();
    assert_eq!(rules, ["approval.session"; 4]);
    // Its other methods are no wider than those of any host, and another port, host or scheme asks.
    let post = format!(
        "POST http://other.test:{port}/ HTTP/1.1\r\nHost: other.test:{port}\r\nContent-Length: 0\r\n\r\n"
    );
    assert!(
        world
            .send(post.as_bytes())
            .contains("x-proxy-error: net.method")
    );
    for host in ["other.test:1", "sub.other.test"] {
        let request = format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let answer = world.send(request.as_bytes());
        assert!(
            answer.contains("x-proxy-error: approval.refused"),
            "{answer}"
        );
    }
    let asked = front_end.asked();
    assert_eq!(
        asked[1..],
        ["GET http://other.test:1/", "GET http://sub.other.test/"]
    );
    assert_eq!(world.origin.hits(), 3);
}

#[test]
fn over_https_another_question_is_asked_than_over_http() {
    let front_end = FrontEnd::answering(&[Answer::Session, Answer::Session]);
    let setting = Setting {
        approver: Arc::clone(&front_end) as _,
        ..Setting::default()
    };
    let world = World::exactly(Origin::new(true, HIT), setting, None);
    let port = world.port();
    let plain =
        format!("GET http://origin.test:{port}/ HTTP/1.1\r\nHost: origin.test:{port}\r\n\r\n");
    // The host speaks TLS alone, so that is allowed and comes to nothing.
    assert!(world.send(plain.as_bytes()).starts_with("HTTP/1.1 502"));
    for _ in 0..2 {
        let request = format!("GET / HTTP/1.1\r\nHost: origin.test:{port}\r\n\r\n");
        let answer = exchange(world.tls("origin.test"), request.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    let schemes = [
        format!("GET http://origin.test:{port}/"),
        format!("GET https://origin.test:{port}/"),
    ];
    assert_eq!(front_end.asked(), schemes);
}

#[test]
fn a_yes_for_good_is_kept_once_or_holds_for_the_session() {
    let front_end = FrontEnd::answering(&[Answer::Always]);
    let kept = keeper();
    let world = world(&front_end, Some(Arc::clone(&kept)));
    let rule = format!("http://other.test:{}", world.port());
    for _ in 0..2 {
        assert!(get(&world, "/").starts_with("HTTP/1.1 200"));
    }
    assert_eq!(*kept.0.lock().unwrap(), Ok(vec![rule.clone()]));
    assert_eq!(
        answers(&world),
        [
            json!({ "answer": "always", "who": "a script", "covers": rule, "until": "it is removed from a list" })
        ]
    );
    assert!(world.records()[2].starts_with("allowed approval.always GET"));

    let front_end = FrontEnd::answering(&[Answer::Always]);
    let full = Arc::new(Kept(Mutex::new(Err("the disk is full".to_owned()))));
    let world = self::world(&front_end, Some(full));
    for _ in 0..2 {
        assert!(get(&world, "/").starts_with("HTTP/1.1 200"));
    }
    let answers = answers(&world);
    assert_eq!(answers.len(), 2);
    assert_eq!(answers[0]["answer"], "always");
    assert_eq!(answers[1]["answer"], "session");
    assert_eq!(
        answers[1]["because"],
        "it cannot be kept for good: the disk is full"
    );

    let front_end = FrontEnd::answering(&[Answer::Always]);
    let world = self::world(&front_end, None);
    assert!(get(&world, "/").starts_with("HTTP/1.1 200"));
    assert!(!front_end.asked.lock().unwrap()[0].always);
    assert_eq!(self::answers(&world)[0]["answer"], "session");
}

#[test]
fn whoever_comes_while_the_question_is_open_waits_for_its_answer() {
    for (answer, status) in [(Answer::Session, "200"), (Answer::No, "403")] {
        let front_end = FrontEnd::waiting(&[answer]);
        let world = world(&front_end, None);
        let first = start(&world, "/a");
        front_end.wait_for_questions(1);
        let others: Vec<_> = ["/a", "/b", "/c"].map(|path| start(&world, path)).into();
        std::thread::sleep(Duration::from_millis(100));
        assert_eq!(world.names.asked.lock().unwrap().len(), 0, "no name leaves");
        front_end.go.add_permits(1);
        for got in std::iter::once(first).chain(others) {
            let got = got.join().unwrap();
            assert!(got.starts_with(&format!("HTTP/1.1 {status}")), "{got}");
        }
        assert_eq!(front_end.asked().len(), 1);
        assert_eq!(answers(&world).len(), 1, "one answer, one record");
        assert_eq!(world.records().len(), 5, "each request has its own");
    }
}

#[test]
fn a_yes_for_once_is_for_all_who_wait_with_the_same_request_and_for_no_other() {
    let front_end = FrontEnd::waiting(&[Answer::Yes, Answer::No]);
    let world = world(&front_end, None);
    let first = start(&world, "/a");
    front_end.wait_for_questions(1);
    let same = start(&world, "/a");
    let other = start(&world, "/b");
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(front_end.asked().len(), 1, "never two at once");
    front_end.go.add_permits(1);
    for got in [first, same] {
        assert!(got.join().unwrap().starts_with("HTTP/1.1 200"));
    }
    front_end.wait_for_questions(2);
    assert!(front_end.asked()[1].ends_with("/b"));
    front_end.go.add_permits(1);
    assert!(other.join().unwrap().starts_with("HTTP/1.1 403"));
    assert_eq!(world.origin.hits(), 2);
}

#[test]
fn a_question_outlives_the_client_that_asked_it() {
    let front_end = FrontEnd::waiting(&[Answer::Session]);
    let world = world(&front_end, None);
    let port = world.port();
    {
        use std::io::Write as _;
        let mut gone = connect(world.proxy.address());
        let request =
            format!("GET http://other.test:{port}/ HTTP/1.1\r\nHost: other.test:{port}\r\n\r\n");
        gone.write_all(request.as_bytes()).unwrap();
        front_end.wait_for_questions(1);
    }
    let again = start(&world, "/");
    std::thread::sleep(Duration::from_millis(100));
    front_end.go.add_permits(1);
    assert!(again.join().unwrap().starts_with("HTTP/1.1 200"));
    assert_eq!(front_end.asked().len(), 1);
    assert_eq!(front_end.withdrawn.load(Ordering::SeqCst), 0);
}

#[test]
fn a_question_that_nobody_answers_ends_as_a_no_and_is_withdrawn() {
    let front_end = FrontEnd::waiting(&[]);
    let setting = Setting {
        approver: Arc::clone(&front_end) as _,
        limits: Limits {
            approval: Duration::from_millis(50),
            ..Limits::default()
        },
        ..Setting::default()
    };
    let world = World::new(Origin::new(false, HIT), setting);
    let answer = get(&world, "/");
    assert!(
        answer.starts_with("HTTP/1.1 403")
            && answer.contains("x-proxy-error: approval.unanswered: "),
        "{answer}"
    );
    assert!(answer.contains("--allow-host other.test:"), "{answer}");
    until(|| front_end.withdrawn.load(Ordering::SeqCst) == 1);
    assert_eq!(answers(&world)[0]["answer"], "unanswered");
    let records = world.records();
    assert!(
        records
            .iter()
            .all(|r| r.starts_with("denied approval.unanswered ")),
        "{records:?}"
    );
    assert_eq!(world.origin.hits(), 0);
    assert_eq!(world.names.asked.lock().unwrap().len(), 0);
    // Nothing of it stays: the host is asked for again.
    get(&world, "/");
    assert_eq!(front_end.asked().len(), 2);
    assert_eq!(Limits::default().approval, Duration::from_secs(120));
}

#[test]
fn a_person_is_not_asked_about_any_number_of_hosts_at_once() {
    let front_end = FrontEnd::waiting(&[]);
    let world = world(&front_end, None);
    let ask = |n: usize| {
        let address = world.proxy.address();
        let request = format!("GET http://h{n}.test/ HTTP/1.1\r\nHost: h{n}.test\r\n\r\n");
        std::thread::spawn(move || exchange(connect(address), request.as_bytes()))
    };
    let waiting: Vec<_> = (0..32).map(ask).collect();
    front_end.wait_for_questions(32);
    let answer = ask(32).join().unwrap();
    assert!(
        answer.contains("x-proxy-error: approval.unanswered: "),
        "{answer}"
    );
    assert_eq!(front_end.asked().len(), 32);
    drop(world);
    for one in waiting {
        assert_eq!(one.join().unwrap(), "", "the run's end ends them");
    }
    assert_eq!(front_end.withdrawn.load(Ordering::SeqCst), 32);
}

#[test]
fn what_is_denied_is_not_asked_for_whatever_was_answered() {
    let front_end = FrontEnd::answering(&[Answer::Session]);
    let origin = Origin::new(false, HIT);
    let denied = format!("other.test:{}/private", origin.address.port());
    let setting = Setting {
        approver: Arc::clone(&front_end) as _,
        rights: vec![Right::DenyHost(denied)],
        ..Setting::default()
    };
    let world = World::new(origin, setting);
    assert!(get(&world, "/").starts_with("HTTP/1.1 200"));
    assert!(get(&world, "/private/x").contains("x-proxy-error: net.denied"));
    assert_eq!(front_end.asked().len(), 1);
}

#[test]
fn an_approved_name_may_still_not_lead_to_a_private_address() {
    let front_end = FrontEnd::answering(&[Answer::Session]);
    let setting = Setting {
        approver: Arc::clone(&front_end) as _,
        allow_private: false,
        ..Setting::default()
    };
    let world = World::new(Origin::new(false, HIT), setting);
    assert!(get(&world, "/").contains("x-proxy-error: net.address"));
    assert_eq!(world.origin.hits(), 0);
}
