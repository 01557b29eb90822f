//! `codex demo`: a real turn on a small project. Only the model's words are recorded.

use std::fs;
use std::io::BufReader;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use codex_audit::denials::Denials;
use codex_audit::verify::{self, Expected, Verdict};
use codex_core::session::TurnLimits;
use codex_model::Replay;
use codex_protocol::ids::SessionId;
use codex_protocol::model::{Content, Item};
use codex_protocol::security_profile::SecurityProfile;
use codex_sandbox::plan::{Limits, Terminal};
use similar::TextDiff;

use crate::args::{Demo, Global, Grants};
use crate::exec::{self, Conversation};
use crate::failure::{Failure, Kind, OrFail as _};
use crate::print::{self, Painter, Style};
use crate::progress::People;
use crate::provider::Chosen;
use crate::sandbox::denied_line;
use crate::setup::{self, Base, Setup, Watch};

/// The project, and the recordings of the model's side under each profile.
const PROJECT: &[(&str, &str)] = &[
    ("slug.sh", include_str!("../demo/project/slug.sh")),
    ("test.sh", include_str!("../demo/project/test.sh")),
    ("NOTES.md", include_str!("../demo/project/NOTES.md")),
];
const OFFLINE: &str = include_str!("../demo/offline.ndjson");
const WORKSPACE_WRITE: &str = include_str!("../demo/workspace_write.ndjson");

/// The file that the bug is in, and the call whose success means that the tests pass.
const BUGGY: &str = "slug.sh";
const TEST_CALL: &str = "test";

pub(crate) fn run(global: &Global, args: &Demo) -> Result<ExitCode, Failure> {
    let project = tempfile::Builder::new()
        .prefix("codex-demo-")
        .tempdir()
        .or_fail(Kind::Work)?;
    for (name, text) in PROJECT {
        fs::write(project.path().join(name), text).or_fail(Kind::Work)?;
    }
    let painter = Painter::for_stderr(global.color);
    let say = |text: &str| print::note(&painter.paint(Style::Bold, text));
    say("A small project with a failing test, and an agent that is to fix it.");
    print::note(
        "The model's words are recorded. Everything else is real: tools, sandbox, denials, log.\n",
    );

    let act = |profile: SecurityProfile,
               recording: &'static str,
               request: &str,
               items: Vec<Item>,
               first_step: u64| {
        let session = SessionId::new(setup::new_id());
        turn(
            global,
            project.path(),
            profile,
            recording,
            request,
            items,
            session,
            first_step,
        )
    };
    say("1. Under the Offline profile, which is the default");
    let offline = act(
        SecurityProfile::Offline,
        OFFLINE,
        "Make the tests of this project pass.",
        Vec::new(),
        0,
    )?;

    say(
        "\n2. You would now decide. The demo plays your part and grants WorkspaceWrite for one run",
    );
    let granted = act(
        SecurityProfile::WorkspaceWrite,
        WORKSPACE_WRITE,
        "Go on under WorkspaceWrite.",
        offline.items,
        offline.steps,
    )?;
    let green = granted.items.iter().any(
        |i| matches!(i, Item::ToolOutput { call_id, success: true, .. } if call_id == TEST_CALL),
    );

    say("\n3. What was denied, as the log has it");
    for denial in offline.denied.list.iter().chain(&granted.denied.list) {
        print::note(&denied_line(painter, denial));
    }
    print::note(
        "The connection attempt was a system call of bash; the sandbox's supervisor saw it and refused it.",
    );

    say("\n4. What was changed");
    show_diff(painter, project.path())?;

    say("\n5. Whether the log is whole");
    let whole =
        match verify::verify(&offline.audit_path, &Expected::default()).or_fail(Kind::Work)? {
            Verdict::Whole(whole) => {
                print::note(&format!(
                    "{} records, whole; head {}",
                    whole.records, whole.head
                ));
                true
            }
            Verdict::Broken(broken) => {
                print::note(&painter.paint(Style::Bad, &broken.message));
                false
            }
        };
    print::note(&painter.paint(Style::Dim, "codex audit show --denied, codex audit verify"));
    if args.keep {
        print::note(&format!("The project is in {}", project.keep().display()));
    }
    match (green, whole) {
        (true, true) => {
            say("\nThe tests pass. Now with a model of yours: codex exec --help");
            Ok(ExitCode::SUCCESS)
        }
        (false, _) => Err(Failure::work("the demo's tests do not pass")),
        (_, false) => Err(Failure::work(
            "the audit log is not whole; 'codex audit verify' says where",
        )),
    }
}

/// What is left of one turn.
struct Act {
    items: Vec<Item>,
    steps: u64,
    denied: Denials,
    audit_path: std::path::PathBuf,
}

#[allow(
    clippy::too_many_arguments,
    reason = "the two acts differ in just these"
)]
fn turn(
    global: &Global,
    project: &Path,
    profile: SecurityProfile,
    recording: &'static str,
    request: &str,
    items: Vec<Item>,
    session: SessionId,
    first_step: u64,
) -> Result<Act, Failure> {
    let global = Global {
        cd: Some(project.to_owned()),
        profile: Some(profile.flag().to_owned()),
        sandbox: None,
        full_auto: false,
        ..global.clone()
    };
    let base = Base::new(&global, &Grants::default(), &[])?;
    let painter = Painter::for_stderr(global.color);
    let sink = Arc::new(People::new(painter));
    let setup = Setup::new(&global, &base, session, Watch { sink, first_step })?;
    setup
        .workbench
        .plan(
            setup.permissions.policy(),
            Terminal::None,
            Limits::default(),
        )
        .or_fail(Kind::CannotEnforce)?;
    print::note(&format!("{} {request}", painter.paint(Style::Bold, ">")));
    let log = Arc::clone(&setup.log);
    let replay = Replay::read("the demo's recording", BufReader::new(recording.as_bytes()))
        .or_fail(Kind::Work)?;
    let conversation = Conversation {
        chosen: Chosen {
            model: Box::new(replay),
            model_name: "recording".to_owned(),
            effort: None,
        },
        store: None,
        items,
        schema: None,
        limits: TurnLimits::default(),
        crew: None,
    };
    let input = vec![Content::Text {
        text: request.to_owned(),
    }];
    let (ended, items) = exec::converse(&base, setup, conversation, input)?;
    let end = ended.or_fail(Kind::Work)?;
    print::note(&end.message.unwrap_or_default());
    Ok(Act {
        steps: first_step + items.len() as u64,
        items,
        denied: log.denied(),
        audit_path: base.audit_path,
    })
}

fn show_diff(painter: Painter, project: &Path) -> Result<(), Failure> {
    let before = PROJECT
        .iter()
        .find(|(name, _)| *name == BUGGY)
        .map_or("", |(_, text)| text);
    let after = fs::read_to_string(project.join(BUGGY)).or_fail(Kind::Work)?;
    let diff = TextDiff::from_lines(before, after.as_str());
    for line in diff.unified_diff().header(BUGGY, BUGGY).to_string().lines() {
        let style = match line.as_bytes().first() {
            Some(b'+') => Style::Good,
            Some(b'-') => Style::Bad,
            _ => Style::Dim,
        };
        print::note(&painter.paint(style, line));
    }
    Ok(())
}
