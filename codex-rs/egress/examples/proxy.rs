//! A proxy without a sandbox: to try programs and registries, not to confine anything. It prints the
//! variables as a shell takes them, and serves until its input ends.
//!
//! ```text
//! mkfifo hold; cargo run -p codex-egress --example proxy -- --allow-host example.org < hold > env.sh &
//! exec 3> hold; . ./env.sh; curl https://example.org/; exec 3>&-
//! ```
//!
//! The rights are NetReadOnly's. `--allow-host HOST`, `--allow-tunnel HOST`, `--allow-post NAME` and
//! `--deny-host HOST` are as those of `codex sandbox`; `--allow-private` lets every name lead to a
//! private address. The log stays where the last line says.

use std::error::Error;
use std::io::Write as _;
use std::net::TcpListener;
use std::sync::Arc;

use codex_audit::writer::{AuditLog, Options as LogOptions};
use codex_egress::{Options, Pass, Proxy};
use codex_protocol::event::{Event, EventSink};
use codex_protocol::ids::{AgentType, SessionId, TaskId};
use codex_protocol::permission::{Items, NeverAsk, Permissions};
use codex_protocol::policy::{Grant, GrantSource, Layer, Places, Policy, Right};
use codex_protocol::record::{Recorder, Subject};
use codex_protocol::security_profile::SecurityProfile;

struct NoSteps;

impl EventSink for NoSteps {
    fn emit(&self, _: Event) {}
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let mut rights = Vec::new();
    let mut allow_private = false;
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or("a flag needs a value");
        rights.push(match word.as_str() {
            "--allow-private" => {
                allow_private = true;
                continue;
            }
            "--allow-host" => Right::Host(value()?),
            "--deny-host" => Right::DenyHost(value()?),
            "--allow-tunnel" => Right::Tunnel(value()?),
            "--allow-post" => Right::ReadPost(value()?),
            other => return Err(format!("unknown flag {other}").into()),
        });
    }
    let mut layer = Layer::new(SecurityProfile::NetReadOnly, Places::default());
    layer.grants = rights
        .into_iter()
        .map(|right| Grant {
            right,
            source: GrantSource::CommandLine,
        })
        .collect();
    let directory = tempfile::Builder::new().prefix("codex-net-").tempdir()?;
    let log_path = directory.path().join("audit.jsonl");
    let log = Arc::new(AuditLog::open(&log_path, LogOptions::default())?);
    let subject = Subject {
        session_id: SessionId::new("example"),
        task_id: TaskId::new("example"),
        agent_type: AgentType::main(),
        profile: SecurityProfile::NetReadOnly,
    };
    let permissions = Permissions::new(
        Policy::new(layer),
        subject,
        Arc::clone(&log) as Arc<dyn Recorder>,
        Arc::new(NeverAsk),
        Arc::new(Items::new(Arc::new(NoSteps), 0)),
    );
    let mut options = Options::new(directory.path().to_owned());
    options.allow_private = allow_private;
    options.pass = Some(Pass::new()?);
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let proxy = Proxy::start(listener, Arc::new(permissions), options)?;

    let mut out = std::io::stdout().lock();
    for (name, value) in proxy.variables() {
        writeln!(out, "export {name}='{value}'")?;
    }
    out.flush()?;
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    drop(proxy);
    let mut report = std::io::stderr();
    for denial in &log.denied().list {
        let (target, count, reason) = (&denial.target, denial.count, &denial.reason);
        writeln!(report, "denied {target} ({count}×): {reason}")?;
    }
    let records = log.written().last_seq.unwrap_or(0);
    let kept = directory.keep().join("audit.jsonl");
    writeln!(report, "{records} records in {}", kept.display())?;
    Ok(())
}
