//! `codex completion`, `codex man` and `--help`.

use codex_test_support::{TestEnv, run_with_stdin};

use super::fixture::{codex, run_codex, told_alone};

#[test]
fn a_completion_script_knows_the_commands_and_flags() {
    let env = TestEnv::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = run_codex(&env, &["completion", shell]);
        assert_eq!(output.code, Some(0), "{output:#?}");
        assert_eq!(output.stderr, "");
        for word in [
            "exec",
            "sandbox",
            "output-schema",
            "allow-exec",
            "completion",
        ] {
            assert!(output.stdout.contains(word), "{word} for {shell}");
        }
    }
    let script = run_codex(&env, &["completion", "bash"]).stdout;
    let check = "\nCOMP_WORDS=(codex sand); COMP_CWORD=1; _codex codex sand codex\necho \"${COMPREPLY[@]}\"\n";
    let mut bash = env.command(std::path::Path::new("/bin/bash"));
    let output = run_with_stdin(&mut bash, format!("{script}{check}"));
    assert_eq!(output.stdout.trim(), "sandbox", "{output:#?}");

    let output = run_codex(&env, &["completion", "tcsh"]);
    assert_eq!(output.code, Some(2), "{output:#?}");
}

#[test]
fn a_manual_page_is_there_for_every_command() {
    let env = TestEnv::new();
    let page = |arguments: &[&str]| {
        let output = run_codex(&env, arguments);
        assert_eq!(output.code, Some(0), "{output:#?}");
        output.stdout
    };
    let root = page(&["man"]);
    assert!(root.contains(".TH codex"), "{root}");
    assert!(
        root.contains("codex demo"),
        "its examples are there: {root}"
    );
    assert!(page(&["man", "exec"]).contains("output\\-schema"));
    assert!(page(&["man", "audit", "show"]).contains("denied"));
    let version = format!("1  \"codex {}\"", env!("CARGO_PKG_VERSION"));
    for command in [&["man"][..], &["man", "exec", "resume"]] {
        let page = page(command);
        assert!(page.contains(&version), "{page}");
    }
    let error = told_alone(&run_codex(&env, &["man", "exex"]), 2);
    assert!(
        error.contains("'exex'") && error.contains("exec, sandbox"),
        "{error}"
    );
}

#[test]
fn help_gives_examples_and_sets_the_flags_of_every_command_apart() {
    let env = TestEnv::new();
    for command in [
        &["exec"][..],
        &["sandbox"],
        &["agents", "run"],
        &["agents", "list"],
        &["doctor"],
        &["completion"],
        &["man"],
        &["policy", "check"],
    ] {
        let output = codex_test_support::run(codex(&env, command).arg("--help"));
        assert_eq!(output.code, Some(0), "{output:#?}");
        let text = output.stdout;
        let own = text.split("Examples:\n").nth(1).unwrap_or_default();
        let own = own.split("\nOptions of every command:").next();
        for line in own.into_iter().flat_map(str::lines) {
            assert!(line.chars().count() < 80, "{line}");
        }
        assert!(
            text.contains("Examples:\n  codex ") || text.contains("| codex "),
            "{text}"
        );
        let apart = text.find("\nOptions of every command:").expect("a heading");
        assert!(
            text.find("--profile").is_some_and(|at| at > apart),
            "{text}"
        );
    }
}
