//! `docs/configuration.md` and `docs/config.schema.json`, from the table of settings.
//!
//! The tests fail when a file is not what the table says; `UPDATE_DOCS=1` makes them write it.

use std::path::Path;
use std::{env, fs};

use super::environment::VARIABLES;
use super::key::{Key, Kind};
use super::keys::{KEYS, UNUSED};
use super::schema::schema;
use super::value::expected;

const INTRODUCTION: &str = "\
# Configuration

This page is made from the table of settings in the source; a test keeps it so.
[config.schema.json](config.schema.json) is the same table as a JSON Schema, for editors.

`config.toml` in `CODEX_HOME` (default `~/.codex`) is yours. A `config.toml` of Codex's is read as
it is. `codex config show --origin` prints every setting, its value and where it comes from.

## Who decides

From the strongest to the weakest:

1. a flag of its own (`--profile`, `--model`, …), then `-c key=value`, of which the value is TOML,
   or else plain text;
2. the environment;
3. the session that is resumed;
4. a project's `.codex/config.toml`, from the root of the repository down to the directory that
   codex works in;
5. your `config.toml`, in which the profile that is selected goes before the top level;
6. `/etc/codex/managed_config.toml`.

**A project's file only tightens.** Of it only the settings marked below count, and only where they
allow less, record more or hide more than your own file; each such file narrows on its own, so one
deeper in a project takes nothing back. What a flag, `-c` or a session says is your answer to it:
you are told that the project asked for less. Everything else in it is ignored, with one warning.
A file that is a symbolic link, no regular file or larger than 1 MiB is left out; one that is
broken counts as asking for `offline`.

**The managed file bounds.** What it says of the marked settings holds against everybody, flags
included; its other settings are the weakest of all.

| | order, from what allows most |
|---|---|
| `profile` | `trusted`, then `workspace-write` and `net-read-only`, which together leave `offline`, then `offline` |
| `approval_policy` | `on-request`, then `untrusted` and `never`. These two have no order: `never` runs unasked what `untrusted` asks about, and `untrusted` lets you allow what `never` denies. Beside a project's your own stays; the managed one wins |
| `audit.detail`, `audit.reads` | the later word records more |
| `deny_read`, `deny_host`, `secrets` | every file adds |

Where a profile is narrowed, the grants of a named one are not in force.

Paths may begin with `~`. Relative ones are seen from the folder of the file; in a project, from
the folder that holds `.codex`.

## Settings

";

/// The page.
fn page() -> String {
    let mut page = INTRODUCTION.to_owned();
    page.push_str(
        "| setting | takes | default | project | what it does |\n|---|---|---|---|---|\n",
    );
    for key in KEYS {
        let tightens = if key.tightens { "tightens" } else { "" };
        page.push_str(&format!(
            "| `{}` | {} | {} | {tightens} | {} |\n",
            key.path.replace('*', "NAME"),
            expected(key.kind),
            default(key),
            key.doc
        ));
    }
    page.push_str(
        "\n`[profiles.NAME]` also takes every setting of the top level but `profile`, `profiles` and\n\
         `projects`: those of Codex's profiles among them. `NAME` cannot be a built-in profile's.\n\n\
         ## Settings of Codex's without effect\n\n\
         They are known, so nothing warns of them:\n\n",
    );
    let unused: Vec<String> = UNUSED
        .iter()
        .map(|path| format!("`{}`", path.replace('*', "NAME")))
        .collect();
    page.push_str(&unused.join(", "));
    page.push_str(".\n\nAny other key gets one warning, with the name that was probably meant.\n");
    page.push_str("\n## Environment\n\n| variable | what it does |\n|---|---|\n");
    for (name, about) in VARIABLES.iter().chain(codex_telemetry::settings::VARIABLES) {
        page.push_str(&format!("| `{name}` | {about} |\n"));
    }
    page
}

fn default(key: &Key) -> String {
    let in_words = key.default.contains(' ') && !matches!(key.kind, Kind::Switch);
    match key.default {
        "" => String::new(),
        words if in_words => words.to_owned(),
        word => format!("`{word}`"),
    }
}

fn check(name: &str, expected: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../docs")
        .join(name);
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, expected).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == expected,
        "docs/{name} is not what the table of settings says; run the tests with UPDATE_DOCS=1"
    );
}

#[test]
fn the_page_is_up_to_date() {
    check("configuration.md", &page());
}

#[test]
fn the_schema_is_up_to_date() {
    let text = serde_json::to_string_pretty(&schema()).unwrap();
    check("config.schema.json", &format!("{text}\n"));
}
