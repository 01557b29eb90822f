//! Which profile holds, and that nobody widens it who may only narrow.

use codex_protocol::security_profile::SecurityProfile::{
    self, NetReadOnly, Offline, Trusted, WorkspaceWrite,
};

use super::super::words::ApprovalPolicy::{self, Never, OnRequest, Untrusted};
use super::{Desk, Flags, Run};

/// Loads with these files; `-` is none.
fn desk(user: &str, project: &str, managed: &str) -> Desk {
    let desk = Desk::user(user);
    desk.project(project);
    desk.managed(managed);
    desk
}

#[test]
fn profiles_are_chosen_and_narrowed() {
    let flag = Run::profile;
    let session = |name: &str| {
        let mut run = Run::default();
        run.session.profile = Some(name.to_owned());
        run
    };
    let full_auto = Run {
        flags: Flags {
            full_auto: true,
            ..Flags::default()
        },
        ..Run::default()
    };
    let none = Run::default;
    for (user, project, managed, run, expected, origin) in [
        ("", "", "", none(), Offline, "default"),
        (
            "sandbox_mode = 'read-only'",
            "",
            "",
            none(),
            Offline,
            "user",
        ),
        (
            "sandbox_mode = 'workspace-write'",
            "",
            "",
            none(),
            WorkspaceWrite,
            "user",
        ),
        (
            "sandbox_mode = 'danger-full-access'",
            "",
            "",
            none(),
            Trusted,
            "user",
        ),
        (
            "profile = 'net-read-only'",
            "",
            "",
            none(),
            NetReadOnly,
            "user",
        ),
        // Ours goes before Codex's in one file.
        (
            "profile = 'offline'\nsandbox_mode = 'workspace-write'",
            "",
            "",
            none(),
            Offline,
            "user",
        ),
        // The nearer choice.
        (
            "profile = 'trusted'",
            "",
            "",
            session("offline"),
            Offline,
            "session",
        ),
        (
            "profile = 'trusted'",
            "",
            "",
            flag("workspace-write"),
            WorkspaceWrite,
            "--profile",
        ),
        (
            "",
            "",
            "",
            Run::with(&["sandbox_mode=workspace-write"]),
            WorkspaceWrite,
            "-c",
        ),
        ("", "", "", full_auto.clone(), WorkspaceWrite, "--full-auto"),
        // A project narrows the person's file and the default, and nothing else.
        (
            "profile = 'trusted'",
            "profile = 'offline'",
            "",
            none(),
            Offline,
            "project",
        ),
        (
            "profile = 'trusted'",
            "sandbox_mode = 'workspace-write'",
            "",
            none(),
            WorkspaceWrite,
            "project",
        ),
        (
            "profile = 'offline'",
            "profile = 'trusted'",
            "",
            none(),
            Offline,
            "user",
        ),
        (
            "",
            "sandbox_mode = 'danger-full-access'",
            "",
            none(),
            Offline,
            "default",
        ),
        (
            "profile = 'workspace-write'",
            "profile = 'net-read-only'",
            "",
            none(),
            Offline,
            "project",
        ),
        (
            "",
            "profile = 'offline'",
            "",
            flag("trusted"),
            Trusted,
            "--profile",
        ),
        (
            "",
            "profile = 'offline'",
            "",
            session("workspace-write"),
            WorkspaceWrite,
            "session",
        ),
        // The managed file bounds everybody, and widens nothing.
        ("", "", "profile = 'trusted'", none(), Offline, "default"),
        (
            "",
            "",
            "profile = 'workspace-write'",
            flag("trusted"),
            WorkspaceWrite,
            "managed",
        ),
        (
            "",
            "",
            "sandbox_mode = 'read-only'",
            full_auto,
            Offline,
            "managed",
        ),
        (
            "profile = 'trusted'",
            "",
            "profile = 'offline'",
            Run::with(&["profile=trusted"]),
            Offline,
            "managed",
        ),
    ] {
        let loaded = desk(user, project, managed).load_for(&run);
        let at = format!("{user} / {project} / {managed}: {:?}", loaded.warnings);
        assert_eq!(loaded.config.rights.profile, expected, "{at}");
        assert!(
            loaded.origin("profile").starts_with(origin),
            "{} {at}",
            loaded.origin("profile")
        );
    }
}

#[test]
fn approval_is_chosen_and_narrowed() {
    let policy = |policy: ApprovalPolicy| format!("approval_policy = '{}'", policy.word());
    for (user, project, managed, expected) in [
        (Some(OnRequest), Some(Untrusted), None, Untrusted),
        (Some(OnRequest), Some(Never), None, Never),
        (Some(Never), Some(OnRequest), None, Never),
        (Some(Untrusted), Some(OnRequest), None, Untrusted),
        // No order: a project changes nothing, the managed file has its way.
        (Some(Never), Some(Untrusted), None, Never),
        (Some(Untrusted), Some(Never), None, Untrusted),
        (Some(Untrusted), None, Some(Never), Never),
        (Some(OnRequest), None, Some(Untrusted), Untrusted),
        (Some(Never), None, Some(OnRequest), Never),
        (None, Some(OnRequest), None, Never),
    ] {
        let file = |of: Option<ApprovalPolicy>| of.map(policy).unwrap_or_default();
        let loaded = desk(&file(user), &file(project), &file(managed)).load();
        let found = loaded.config.approval_policy;
        assert_eq!(found, expected, "{user:?} {project:?} {managed:?}");
    }
    let mut run = Run::default();
    run.flags.full_auto = true;
    assert_eq!(Desk::new().load_for(&run).config.approval_policy, OnRequest);
    run.flags.ask_for_approval = Some(Untrusted);
    assert_eq!(Desk::new().load_for(&run).config.approval_policy, Untrusted);
}

#[test]
fn a_deeper_project_cannot_take_back() {
    let desk = desk("profile = 'trusted'", "profile = 'workspace-write'", "");
    desk.deeper_project("profile = 'trusted'\ndeny_read = ['x']");
    let loaded = desk.load();
    assert_eq!(loaded.config.rights.profile, WorkspaceWrite);
    assert_eq!(
        loaded.config.rights.deny_read,
        [desk.at("home/repo/deep/x")]
    );
    assert_eq!(loaded.warnings.len(), 1, "{:?}", loaded.warnings);
    desk.deeper_project("profile = 'offline'");
    let loaded = desk.load();
    assert_eq!(loaded.config.rights.profile, Offline);
    assert_eq!(
        loaded.origin("profile"),
        "project (~/repo/deep/.codex/config.toml:1)"
    );
}

const WORK: &str = "
model = 'top'
[profiles.work]
extends = 'workspace-write'
model = 'work'
allow_read = ['~/notes']
allow_write = ['/srv/out']
allow_exec = ['python3']
allow_host = ['docs.rs']
pass_env = ['MY_*']
deny_read = ['/srv/out/private']
[profiles.codex]
approval_policy = 'on-request'
[profiles.codex.sandbox_workspace_write]
writable_roots = ['/srv/roots']
";

#[test]
fn a_named_profile_adds_to_a_built_in_one() {
    let desk = Desk::user(WORK);
    let loaded = desk.load_for(&Run::profile("work"));
    let rights = &loaded.config.rights;
    assert_eq!(
        (rights.profile, rights.name.as_deref()),
        (WorkspaceWrite, Some("work"))
    );
    assert_eq!(rights.allow_read, [desk.at("home/notes")]);
    assert_eq!(rights.allow_write, [std::path::Path::new("/srv/out")]);
    assert_eq!(
        (&rights.allow_exec[..], &rights.allow_host[..]),
        (&["python3".to_owned()][..], &["docs.rs".to_owned()][..])
    );
    assert_eq!(rights.pass_env, ["MY_*"]);
    assert_eq!(rights.deny_read, [std::path::Path::new("/srv/out/private")]);
    assert_eq!(loaded.config.model.as_deref(), Some("work"));
    assert_eq!(
        loaded.origin("profiles.work.allow_write"),
        "user (~/.codex/config.toml:7)"
    );

    // Its other settings rank where it was chosen: over a session's, under -c.
    let mut run = Run::profile("work");
    run.session.model = Some("session".to_owned());
    assert_eq!(desk.load_for(&run).config.model.as_deref(), Some("work"));
    run.overrides = vec!["model=c".to_owned()];
    assert_eq!(desk.load_for(&run).config.model.as_deref(), Some("c"));
    desk.write("home/.codex/config.toml", format!("profile = 'work'{WORK}"));
    run = Run::default();
    assert_eq!(desk.load_for(&run).config.model.as_deref(), Some("work"));
    run.session.model = Some("session".to_owned());
    assert_eq!(desk.load_for(&run).config.model.as_deref(), Some("session"));
}

#[test]
fn a_profile_of_codex_keeps_the_top_level_below_it() {
    let desk = Desk::user(&format!("sandbox_mode = 'workspace-write'{WORK}"));
    let loaded = desk.load_for(&Run::profile("codex"));
    let config = &loaded.config;
    assert_eq!(config.rights.profile, WorkspaceWrite);
    assert_eq!(
        config.rights.writable_roots,
        [std::path::Path::new("/srv/roots")]
    );
    assert_eq!(config.approval_policy, OnRequest);
    assert_eq!(config.model.as_deref(), Some("top"));
    assert_eq!(
        desk.load_for(&Run::with(&["profile=codex"]))
            .config
            .rights
            .name
            .as_deref(),
        Some("codex")
    );
}

#[test]
fn grants_end_where_their_profile_is_narrowed() {
    let granted = |desk: &Desk, run: &Run| {
        let loaded = desk.load_for(run);
        let rights = loaded.config.rights;
        let any = !rights.allow_write.is_empty() || !rights.pass_env.is_empty();
        // What is denied stays so.
        assert_eq!(rights.deny_read.len(), 1);
        (
            rights.profile,
            any,
            loaded.warnings.iter().any(|w| w.contains("allow_write")),
        )
    };
    let chosen = format!("profile = 'work'{WORK}");
    let by_project = desk(&chosen, "profile = 'offline'", "");
    assert_eq!(
        granted(&by_project, &Run::default()),
        (Offline, false, true)
    );
    let same = desk(&chosen, "profile = 'workspace-write'", "");
    assert_eq!(
        granted(&same, &Run::default()),
        (WorkspaceWrite, true, false)
    );
    let bounded = desk(&chosen, "", "profile = 'workspace-write'");
    assert_eq!(
        granted(&bounded, &Run::profile("work")),
        (WorkspaceWrite, false, true)
    );
    assert_eq!(bounded.load().config.rights.bound, Some(WorkspaceWrite));
    let mut run = Run::profile("work");
    run.flags.sandbox_mode = Some(SecurityProfile::Offline);
    assert_eq!(granted(&desk(WORK, "", ""), &run), (Offline, false, true));
    // The managed file's own grants are within its bound.
    let own = desk(
        "",
        "",
        "profile = 'workspace-write'\n[profiles.team]\nextends = 'workspace-write'\nallow_write = ['/t']\ndeny_read = ['/t/x']",
    );
    assert_eq!(
        granted(&own, &Run::profile("team")),
        (WorkspaceWrite, true, false)
    );
}

#[test]
fn network_access_gives_reads_at_most() {
    let text = "[sandbox_workspace_write]\nnetwork_access = true";
    for (mode, expected, warned) in [
        ("workspace-write", (WorkspaceWrite, true), true),
        ("read-only", (Offline, false), false),
        ("danger-full-access", (Trusted, false), false),
    ] {
        let loaded = Desk::user(&format!("sandbox_mode = '{mode}'\n{text}")).load();
        let rights = &loaded.config.rights;
        assert_eq!((rights.profile, rights.network_reads), expected, "{mode}");
        let said = loaded
            .warnings
            .iter()
            .any(|w| w.contains("GET, HEAD and OPTIONS"));
        assert_eq!(said, warned, "{mode}: {:?}", loaded.warnings);
    }
    let bounded = desk(
        &format!("sandbox_mode = 'workspace-write'\n{text}"),
        "",
        "profile = 'workspace-write'",
    );
    assert!(!bounded.load().config.rights.network_reads);
}

#[test]
fn profiles_that_are_not_there_are_named() {
    let desk = Desk::user(WORK);
    for (run, expected) in [
        (
            Run::profile("wrok"),
            "--profile: there is no profile \"wrok\"; did you mean work?",
        ),
        (
            Run::profile("zzz"),
            "--profile: there is no profile \"zzz\"; built in are offline, workspace-write, net-read-only, trusted; configured are \"codex\", \"work\"",
        ),
        (
            Run::with(&["profile=Oflfine"]),
            "-c: there is no profile \"Oflfine\"; did you mean offline?",
        ),
    ] {
        assert_eq!(desk.error(&run), expected);
    }
    let mut run = Run::profile("offline");
    run.flags.sandbox_mode = Some(Trusted);
    assert_eq!(
        desk.error(&run),
        "--sandbox: asks for Trusted and --profile for Offline; give one of them"
    );
    let gone = Desk::user("model = 'm'\nprofile = 'gone'");
    assert_eq!(
        gone.error(&Run::default()),
        "~/.codex/config.toml:2:1: there is no profile \"gone\"; expected offline, workspace-write, net-read-only or trusted"
    );
    // Whoever names another one does not stumble over it.
    assert_eq!(
        gone.load_for(&Run::profile("offline"))
            .config
            .rights
            .profile,
        Offline
    );
    let managed = super::Desk::new();
    managed.managed("profile = 'x'\n[profiles.x]\nmodel = 'm'");
    assert!(
        managed
            .error(&Run::default())
            .contains("gives no 'extends'")
    );
    managed.managed("profile = 'x'\n[profiles.x]\nextends = 'workspace-write'");
    assert_eq!(
        managed
            .load_for(&Run::profile("trusted"))
            .config
            .rights
            .profile,
        WorkspaceWrite
    );
}
