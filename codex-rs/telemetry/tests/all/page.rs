//! `docs/observability.md`.

use std::path::Path;
use std::{env, fs};

use codex_telemetry::catalog;
use codex_telemetry::settings::VARIABLES;

const BEGIN: &str = "<!-- tables -->\n";
const END: &str = "<!-- end of tables -->\n";

fn docs(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../docs")
        .join(name)
}

#[test]
fn the_tables_of_the_page_are_those_of_the_source() {
    let path = docs("observability.md");
    let found = fs::read_to_string(&path).unwrap();
    let (before, rest) = found.split_once(BEGIN).expect("the page has tables");
    let (_, after) = rest.split_once(END).expect("the tables end");
    let expected = format!("{before}{BEGIN}\n{}\n{END}{after}", catalog::reference());
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &expected).unwrap();
        return;
    }
    assert!(
        found == expected,
        "docs/observability.md is not what the tables say; run the tests with UPDATE_DOCS=1"
    );
}

#[test]
fn every_variable_stands_in_the_list_of_variables() {
    let page = fs::read_to_string(docs("configuration.md")).unwrap();
    for (name, about) in VARIABLES {
        assert!(page.contains(&format!("| `{name}` | {about} |")), "{name}");
    }
}
