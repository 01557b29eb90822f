//! Machines that enforce less than this one, imitated by an outer filter that makes system calls
//! fail: what `codex doctor` says of each, and what runs there. A lower level never passes
//! silently.

use std::fs::{self, Permissions};
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::Command;

use codex_test_support::{Item, RunOutput, TestEnv, json_lines, run};
use serde_json::{Value, json};

use super::fixture::{KEY, binary, exec, model, of_operation, output_of, says, shell, told};

/// What one kind of machine is expected to do.
struct Rung {
    /// The features that it lacks, in the words of the program that hides them.
    lacks: &'static [&'static str],
    /// The version of Landlock, where it is an older one.
    landlock: Option<u32>,
    /// The level of each confined profile.
    level: &'static str,
    /// Whether that is enough to run without the person's consent.
    runs: bool,
    /// Whether a command starts once the person accepts the lowest level.
    accepted: bool,
    /// A part of what is told where it does not run.
    told: &'static str,
    /// Features that the report has to name as missing.
    missing: &'static [&'static str],
    /// The attempts of [`ATTEMPTS`] that get through once the lowest level is accepted.
    open: &'static [&'static str],
}

/// What a command under the Offline profile may not do, and a script that does it. `$PORT` takes
/// datagrams.
const ATTEMPTS: &[(&str, &str)] = &[
    ("write a file", "echo x > made"),
    ("read a secret", "grep -q 'the secret' ~/.ssh/id_test"),
    ("start an unlisted program", "~/unlisted"),
    ("send a datagram", "echo x > /dev/udp/127.0.0.1/$PORT"),
    ("change a mode", "chmod 600 notes.txt"),
];

/// A machine with an older Landlock.
const fn older(abi: u32, level: &'static str, missing: &'static [&'static str]) -> Rung {
    Rung {
        lacks: &[],
        landlock: Some(abi),
        level,
        runs: true,
        accepted: true,
        told: "",
        missing,
        open: &[],
    }
}

/// What this version makes of each kind of machine, this one first.
const RUNGS: &[Rung] = &[
    Rung {
        lacks: &[],
        landlock: None,
        level: "full",
        runs: true,
        accepted: true,
        told: "",
        missing: &[],
        open: &[],
    },
    older(6, "full", &[]),
    older(5, "partial", &["Landlock's scopes (ABI 6)"]),
    older(4, "partial", &["Landlock's device control right (ABI 5)"]),
    older(3, "partial", &["Landlock's device control right (ABI 5)"]),
    older(2, "partial", &["Landlock's truncate right (ABI 3)"]),
    older(1, "partial", &["Landlock's refer right (ABI 2)"]),
    Rung {
        lacks: &["user-notification"],
        landlock: None,
        level: "partial",
        runs: true,
        accepted: true,
        told: "",
        missing: &["a supervisor of system calls"],
        open: &[],
    },
    Rung {
        lacks: &["user-namespaces"],
        landlock: None,
        level: "partial",
        runs: true,
        accepted: true,
        told: "",
        missing: &["a network of the command's own"],
        open: &[],
    },
    Rung {
        lacks: &["landlock"],
        landlock: None,
        level: "minimum",
        runs: false,
        accepted: true,
        told: "without Landlock",
        missing: &["Landlock"],
        // The supervisor, which alone sees to files there.
        open: &[],
    },
    Rung {
        lacks: &["landlock", "user-notification"],
        landlock: None,
        level: "minimum",
        runs: false,
        accepted: true,
        told: "without Landlock commands read secrets",
        missing: &["Landlock", "a supervisor of system calls"],
        open: &["write a file", "read a secret", "start an unlisted program"],
    },
    Rung {
        lacks: &["seccomp"],
        landlock: None,
        level: "minimum",
        runs: false,
        accepted: true,
        told: "without seccomp filters",
        missing: &["seccomp filters"],
        open: &["send a datagram", "change a mode"],
    },
    Rung {
        lacks: &["landlock", "seccomp"],
        landlock: None,
        level: "minimum",
        runs: false,
        accepted: false,
        told: "without Landlock",
        missing: &["Landlock", "seccomp filters"],
        open: &[],
    },
];

/// The program that hides features.
fn outer_filter(env: &TestEnv) -> PathBuf {
    let program = env.root().join("outer_filter");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/all/outer_filter.c");
    let compiled = run(Command::new("cc").arg("-o").arg(&program).arg(source));
    assert_eq!(compiled.code, Some(0), "{compiled:#?}");
    program
}

/// What is preloaded to have an older Landlock.
fn older_landlock(env: &TestEnv, abi: u32) -> PathBuf {
    let library = env.root().join(format!("older_landlock_{abi}.so"));
    if !library.exists() {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/all/older_landlock.c");
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-o"]).arg(&library);
        let compiled = run(compiler.arg(format!("-DABI={abi}")).arg(source));
        assert_eq!(compiled.code, Some(0), "{compiled:#?}");
    }
    library
}

/// `codex` on such a machine, with its first arguments still to come.
fn codex_on(env: &TestEnv, rung: &Rung) -> Command {
    let mut command = env.command(&env.root().join("outer_filter"));
    command.args(rung.lacks).arg("--").arg(binary());
    if let Some(abi) = rung.landlock {
        command.env("LD_PRELOAD", older_landlock(env, abi));
    }
    command
}

fn codex_without(env: &TestEnv, rung: &Rung, arguments: &[&str]) -> RunOutput {
    run(codex_on(env, rung).args(arguments))
}

/// The reported state of a profile.
fn state<'r>(report: &'r Value, profile: &str) -> &'r Value {
    let profiles = report["profiles"].as_array().unwrap();
    profiles.iter().find(|p| p["profile"] == profile).unwrap()
}

#[test]
fn the_doctor_says_what_each_machine_enforces() {
    let env = TestEnv::new();
    outer_filter(&env);
    for rung in RUNGS {
        let output = codex_without(&env, rung, &["doctor", "--json"]);
        let context = format!(
            "without {:?}, Landlock {:?}: {output:#?}",
            rung.lacks, rung.landlock
        );
        assert_eq!(
            output.code,
            Some(if rung.runs { 0 } else { 4 }),
            "{context}"
        );
        let report = json_lines(&output.stdout).pop().unwrap();
        assert_eq!(report["v"], 1);
        for profile in ["Offline", "WorkspaceWrite"] {
            let state = state(&report, profile);
            assert_eq!(state["level"], rung.level, "{profile} {context}");
            assert_eq!(state["required"], "partial", "{context}");
            assert_eq!(state["runs"], rung.runs, "{profile} {context}");
            let refused = state["refused"].as_str().unwrap_or_default();
            assert!(refused.contains(rung.told), "{context}");
            for feature in rung.missing {
                let wanted = state["wanted"].as_array().unwrap();
                let missing = wanted.iter().find(|w| w["by"] == *feature).unwrap();
                assert_eq!(missing["enforced"], false, "{feature} {context}");
                for part in ["wanted", "consequence", "remedy"] {
                    assert!(
                        missing[part].as_str().is_some_and(|t| !t.is_empty()),
                        "{context}"
                    );
                }
            }
        }
        assert_eq!(state(&report, "Trusted")["runs"], true);

        let accepted = codex_without(&env, rung, &["doctor", "--accept-level", "minimum"]);
        let expected = if rung.accepted { 0 } else { 4 };
        assert_eq!(accepted.code, Some(expected), "{accepted:#?}");
        for feature in rung.missing {
            assert!(accepted.stdout.contains(feature), "{accepted:#?}");
        }
    }
}

#[test]
fn a_lower_level_never_passes_silently() {
    let env = TestEnv::new();
    outer_filter(&env);
    for rung in RUNGS {
        let context = format!("without {:?}, Landlock {:?}", rung.lacks, rung.landlock);
        let output = codex_without(
            &env,
            rung,
            &["sandbox", "--report", "json", "--", "echo", "ran"],
        );
        if rung.runs {
            assert_eq!(output.stdout, "ran\n", "{context}: {output:#?}");
            let report = json_lines(&output.stderr).pop().unwrap();
            assert_eq!(report["level"], rung.level, "{context}");
            continue;
        }
        let error = told(&output, 125);
        assert!(error.contains(rung.told), "{context}: {error}");
        assert!(
            error.contains("--accept-level minimum"),
            "{context}: {error}"
        );
        assert_eq!(output.stdout, "", "{context}");

        let arguments = ["sandbox", "--accept-level", "minimum", "--report", "json"];
        let command = [&arguments[..], &["--", "echo", "ran"]].concat();
        let output = codex_without(&env, rung, &command);
        if !rung.accepted {
            let error = told(&output, 125);
            assert!(error.contains("none is started"), "{context}: {error}");
            assert_eq!(output.stdout, "", "{context}");
            continue;
        }
        assert_eq!(output.stdout, "ran\n", "{context}: {output:#?}");
        let report = json_lines(&output.stderr).pop().unwrap();
        assert_eq!(report["level"], "minimum", "{context}");
        let accepted = of_operation(&env, "profile_change").pop().unwrap();
        assert_eq!(accepted["rule"], "profile.level", "{accepted}");
        assert_eq!(accepted["target"], "level minimum", "{accepted}");
        assert_eq!(accepted["detail"]["until"], "end of run", "{accepted}");
    }
}

/// Whether the attempt got through, as the command `bash` and its leading words run it.
fn got_through(env: &TestEnv, command: &mut Command, script: &str) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    let taker = UdpSocket::bind("127.0.0.1:0").unwrap();
    taker.set_nonblocking(true).unwrap();
    let port = taker.local_addr().unwrap().port();
    let notes = env.write("notes.txt", "x");
    fs::set_permissions(&notes, Permissions::from_mode(0o640)).unwrap();
    let script = script.replace("$PORT", &port.to_string());
    let output = run(command.args(["bash", "-c", &script]));
    // What it says itself, and what it left.
    let left = || {
        env.workspace().join("made").exists()
            || fs::metadata(&notes).unwrap().permissions().mode() & 0o777 == 0o600
            || taker.recv(&mut [0; 8]).is_ok()
    };
    let only_says =
        !script.contains("made") && !script.contains("chmod") && !script.contains("udp");
    let through = left() || (only_says && output.code == Some(0));
    let _ = fs::remove_file(env.workspace().join("made"));
    through
}

#[test]
fn what_a_lower_level_lets_through_is_what_was_declared() {
    let env = TestEnv::new();
    let filter = outer_filter(&env);
    env.write_home(".ssh/id_test", "the secret\n");
    let unlisted = env.home().join("unlisted");
    fs::copy("/bin/true", &unlisted).unwrap();
    for (name, script) in ATTEMPTS {
        let mut bare = env.command(&filter);
        assert!(
            got_through(&env, bare.args(["--"]), script),
            "{name} does nothing, bare"
        );
    }
    for rung in RUNGS {
        let through = |script: &str| {
            let mut command = codex_on(&env, rung);
            command.args([
                "sandbox",
                "--accept-level",
                "minimum",
                "--report",
                "none",
                "--",
            ]);
            got_through(&env, &mut command, script)
        };
        let open = ATTEMPTS.iter().filter(|(_, script)| through(script));
        let open: Vec<&str> = open.map(|(name, _)| *name).collect();
        assert_eq!(
            open, rung.open,
            "without {:?}, Landlock {:?}",
            rung.lacks, rung.landlock
        );
    }
}

#[test]
fn an_agents_run_is_refused_before_the_model_is_asked() {
    let env = TestEnv::new();
    outer_filter(&env);
    let server = model(&env, vec![says("never said")]);
    for rung in RUNGS.iter().filter(|r| !r.runs) {
        let mut command = codex_on(&env, rung);
        let output = run(command.args(["exec", "do it"]).env("TEST_KEY", KEY));
        let error = told(&output, 4);
        assert!(error.contains(rung.told), "{error}");
    }
    assert_eq!(server.turns().len(), 0);
}

#[test]
fn where_nothing_can_be_enforced_codexs_own_tools_work_and_no_command_starts() {
    let env = TestEnv::new();
    outer_filter(&env);
    env.write("notes.txt", "the text\n");
    let server = model(
        &env,
        vec![
            super::fixture::calls(vec![
                shell("c1", "echo started > started.txt; echo started"),
                super::fixture::read_file("c2", json!({ "path": "notes.txt" })),
                Item::function_call(
                    "c3",
                    "write_file",
                    json!({ "path": "made.txt", "content": "x" }).to_string(),
                ),
            ]),
            says("done"),
        ],
    );
    let mut command = env.command(&env.root().join("outer_filter"));
    command.args(["landlock", "seccomp", "--"]).arg(binary());
    let arguments = ["exec", "--accept-level", "minimum", "do it"];
    let output = run(command.args(arguments).env("TEST_KEY", KEY));
    assert_eq!(output.code, Some(0), "{output:#?}");
    assert!(output.stderr.contains("none is started"), "{output:#?}");
    assert!(output_of(&server, 1, "c1").contains("none is started"));
    assert!(output_of(&server, 1, "c2").contains("the text"));
    assert!(output_of(&server, 1, "c3").contains("no file can be written"));
    for made in ["started.txt", "made.txt"] {
        assert!(!env.workspace().join(made).exists(), "{made}");
    }
    // The same with a machine that confines: the command runs.
    let server = model(
        &env,
        vec![
            super::fixture::calls(vec![shell("c1", "echo started")]),
            says("done"),
        ],
    );
    let output = run(&mut exec(&env, &["do it"]));
    assert_eq!(output.code, Some(0), "{output:#?}");
    assert!(output_of(&server, 1, "c1").contains("started"));
}

#[test]
fn the_doctor_speaks_to_people_and_looks_where_no_run_is_allowed() {
    let env = TestEnv::new();
    outer_filter(&env);
    let lower = RUNGS.iter().find(|r| r.lacks == ["user-notification"]);
    let output = codex_without(&env, lower.unwrap(), &["doctor"]);
    assert_eq!(output.code, Some(0), "{output:#?}");
    for part in [
        "Offline (chosen)",
        "enforced",
        "missing",
        "to do:",
        "NetReadOnly",
        "Trusted",
    ] {
        assert!(output.stdout.contains(part), "{part} in {output:#?}");
    }
    assert_eq!(output.stderr, "");
    let home = env.home().to_str().unwrap().to_owned();
    let output = super::fixture::run_codex(&env, &["doctor", "-C", &home]);
    assert_eq!(output.code, Some(0), "{output:#?}");
    assert!(output.stdout.contains("home directory"), "{output:#?}");
    let output = super::fixture::run_codex(&env, &["doctor", "--profile", "net-read-only"]);
    assert_eq!(output.code, Some(0), "{output:#?}");
    let runs = "NetReadOnly (chosen)  level full, partial required; runs";
    assert!(output.stdout.contains(runs), "{output:#?}");
    assert!(!env.codex_home().join("audit").exists(), "it only looks");
}

#[test]
fn ordinary_work_goes_on_without_landlock() {
    let env = TestEnv::new();
    outer_filter(&env);
    let rung = RUNGS.iter().find(|r| r.lacks == ["landlock"]).unwrap();
    let script = "set -e; git init -q; echo text > a; git add a; \
        git -c user.name=x -c user.email=x@x commit -qm one; \
        sort < a | tee b | cat - <(echo more); mkdir d; mv b d; ls d; find . -name b -type f; \
        exec 3< a; read -r line <&3; echo $line; cat /proc/self/comm; head -c 0 /dev/urandom; \
        test ! -e none; ! cat none 2> /dev/null; cat < /dev/null; \
        mkfifo p; (echo sent > p) & sleep 0.2; cat p; wait";
    let output = codex_without(
        &env,
        rung,
        &[
            "sandbox",
            "--profile",
            "workspace-write",
            "--accept-level",
            "minimum",
            "--report",
            "none",
            "--",
            "bash",
            "-c",
            script,
        ],
    );
    assert_eq!(output.code, Some(0), "{output:#?}");
    assert_eq!(
        output.stdout, "text\nmore\nb\n./d/b\ntext\ncat\nsent\n",
        "{output:#?}"
    );
}
