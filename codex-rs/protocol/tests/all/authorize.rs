//! The way from a request to its record, and what does not come out at its end.

use std::sync::Mutex;

use codex_protocol::approval::Answer;
use codex_protocol::decision::{Effect, Remedy, rule};
use codex_protocol::gate::{Verdict, authorize};
use codex_protocol::ids::{AgentType, SessionId, TaskId};
use codex_protocol::operation::{Evidence, Operation, Outcome};
use codex_protocol::policy::Policy;
use codex_protocol::record::{Entry, Receipt, RecordError, Recorder, Subject};
use codex_protocol::request::{FileRead, FileWrite, NetworkAccess, Transport, WriteKind};
use codex_protocol::security_profile::SecurityProfile;
use serde_json::json;

use super::places::{layer, policy};

#[derive(Default)]
struct Log(Mutex<Vec<Entry>>);

impl Recorder for Log {
    fn append(&self, entry: &Entry) -> Result<Receipt, RecordError> {
        let mut entries = self.0.lock().unwrap();
        entries.push(entry.clone());
        Ok(Receipt {
            seq: Some(entries.len() as u64),
        })
    }

    fn mask(&self, text: &str) -> String {
        text.to_owned()
    }
}

struct FullDisk;

impl Recorder for FullDisk {
    fn append(&self, _: &Entry) -> Result<Receipt, RecordError> {
        Err(RecordError {
            path: "/var/log/codex.jsonl".to_owned(),
            cause: "no space left on device".to_owned(),
        })
    }

    fn mask(&self, text: &str) -> String {
        text.to_owned()
    }
}

fn subject() -> Subject {
    Subject {
        session_id: SessionId::new("session"),
        task_id: TaskId::new("task"),
        agent_type: AgentType::main(),
        profile: SecurityProfile::Offline,
    }
}

fn offline() -> Policy {
    policy(SecurityProfile::Offline, Vec::new())
}

fn read(path: &str) -> FileRead {
    FileRead { path: path.into() }
}

#[test]
fn a_refusal_is_recorded_as_denied_with_its_remedy() {
    let access = NetworkAccess {
        host: "example.com".to_owned(),
        port: 443,
        transport: Transport::Proxy,
    };
    let Verdict::Refused(refused) = authorize(&offline(), access.clone()) else {
        panic!("Offline reaches no network");
    };
    assert_eq!(refused.request, access);
    let log = Log::default();
    assert_eq!(refused.record(&log, &subject()).unwrap(), Some(1));
    let expected = Entry {
        subject: subject(),
        operation: Operation::NetworkAccess,
        target: "example.com:443".to_owned(),
        outcome: Outcome::Denied,
        reason:
            "Offline profile: the network cannot be reached (to allow it: --allow-host example.com)"
                .to_owned(),
        rule: "net.offline".to_owned(),
        evidence: Evidence::Declared,
        pid: None,
        exe: None,
        count: None,
        detail: None,
    };
    assert_eq!(*log.0.lock().unwrap(), [expected]);
}

#[test]
fn what_is_allowed_may_happen_once_it_is_recorded() {
    let Verdict::Authorized(authorized) = authorize(&offline(), read("/etc/passwd")) else {
        panic!("Offline reads ordinary files");
    };
    let log = Log::default();
    let recorded = authorized
        .record(&log, &subject(), Some(json!({ "tool": "read_file" })))
        .unwrap();
    assert_eq!(recorded.seq(), Some(1));
    assert_eq!(recorded.get().request(), &read("/etc/passwd"));
    let entries = log.0.lock().unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].operation, Operation::FileRead);
    assert_eq!(entries[0].target, "/etc/passwd");
    assert_eq!(entries[0].outcome, Outcome::Allowed);
    assert_eq!(entries[0].reason, "Offline profile: allowed");
    assert_eq!(entries[0].rule, "fs.read");
    assert_eq!(entries[0].detail, Some(json!({ "tool": "read_file" })));
}

#[test]
fn without_a_record_nothing_may_happen() {
    let Verdict::Authorized(authorized) = authorize(&offline(), read("/etc/passwd")) else {
        panic!("Offline reads ordinary files");
    };
    // `record` took the authorization and gave an error: neither it nor a `Recorded` is left.
    let error = authorized.record(&FullDisk, &subject(), None).unwrap_err();
    let text = error.to_string();
    for part in [
        "/var/log/codex.jsonl",
        "no space left on device",
        "--audit-log",
    ] {
        assert!(text.contains(part), "{text}");
    }
    let Verdict::Refused(refused) = authorize(&offline(), read("/etc/shadow")) else {
        panic!("password hashes are secret");
    };
    assert!(refused.record(&FullDisk, &subject()).is_err());
}

#[test]
fn an_approval_is_recorded_as_one_and_asks_for_nothing_more() {
    let Verdict::Pending(pending) = authorize(&offline(), read("/srv/p/.env")) else {
        panic!(".env files are asked for");
    };
    assert_eq!(pending.request(), &read("/srv/p/.env"));
    assert_eq!(pending.decision().effect, Effect::Ask);
    let authorized = pending.settle(Answer::Yes).unwrap();
    assert_eq!(authorized.decision().effect, Effect::Allow);
    let log = Log::default();
    authorized.record(&log, &subject(), None).unwrap();
    let entries = log.0.lock().unwrap();
    assert_eq!(entries[0].outcome, Outcome::Allowed);
    assert_eq!(entries[0].rule, rule::APPROVAL_GIVEN.0);
    assert_eq!(
        entries[0].reason,
        "Offline profile: a .env file often holds secrets; the person approved it"
    );
}

#[test]
fn where_nobody_approves_the_denial_keeps_its_remedy() {
    let Verdict::Pending(pending) = authorize(&offline(), read("/srv/p/.env")) else {
        panic!(".env files are asked for");
    };
    let refused = pending.settle(Answer::Nobody).unwrap_err();
    assert_eq!(refused.decision.effect, Effect::Deny);
    assert_eq!(
        refused.decision.remedy,
        Some(Remedy::AllowRead("/srv/p/.env".into()))
    );
    let log = Log::default();
    refused.record(&log, &subject()).unwrap();
    let entries = log.0.lock().unwrap();
    assert_eq!(entries[0].outcome, Outcome::Denied);
    assert_eq!(entries[0].rule, "approval.never");
    assert_eq!(
        entries[0].reason,
        "Offline profile: a .env file often holds secrets; nobody can be asked in this run, so it is denied \
         (to allow it: --allow-read /srv/p/.env)"
    );
}

#[test]
fn an_approval_in_a_child_does_not_reach_past_its_parent() {
    let parent = policy(SecurityProfile::Offline, Vec::new());
    let child = parent.narrow(layer(SecurityProfile::Trusted, Vec::new()));
    let write = FileWrite {
        path: "/srv/p/a".into(),
        kind: WriteKind::Modify,
    };
    assert!(matches!(authorize(&child, write), Verdict::Refused(_)));
    assert!(matches!(
        authorize(&child, read("/srv/p/.env")),
        Verdict::Pending(_)
    ));
    assert_eq!(child.profile(), SecurityProfile::Offline);
}
