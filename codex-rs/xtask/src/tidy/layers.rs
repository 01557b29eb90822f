//! An edge between crates points only to a lower layer (DESIGN, section 5).

use super::Violation;
use super::tree::{Dependency, Tree};

/// Where a crate stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Layer(u8),
    /// Never shipped: may lean on anything, nothing may lean on it but tests.
    Tool,
}

const LAYERS: &[(&str, Place)] = &[
    ("protocol", Place::Layer(0)),
    ("http", Place::Layer(1)),
    ("sandbox", Place::Layer(1)),
    ("audit", Place::Layer(1)),
    ("model", Place::Layer(2)),
    ("egress", Place::Layer(2)),
    ("telemetry", Place::Layer(2)),
    ("wasm-plugin", Place::Layer(2)),
    ("mcp-client", Place::Layer(2)),
    ("core", Place::Layer(3)),
    ("supervisor", Place::Layer(4)),
    ("deep-research", Place::Layer(4)),
    ("mcp-server", Place::Layer(5)),
    ("tui", Place::Layer(5)),
    ("cli", Place::Layer(6)),
    ("test-support", Place::Tool),
    ("benches", Place::Tool),
    ("xtask", Place::Tool),
];

/// What `core` is given by `cli` and therefore may not name, though it lies lower.
const INJECTED_INTO_CORE: &[&str] = &[
    "http",
    "model",
    "egress",
    "telemetry",
    "wasm-plugin",
    "mcp-client",
];

fn place(member: &str) -> Option<Place> {
    LAYERS
        .iter()
        .find(|(name, _)| *name == member)
        .map(|(_, place)| *place)
}

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for (name, member) in &tree.members {
        let path = &member.manifest_path;
        let Some(own) = place(name) else {
            found.push(Violation::new(
                path,
                1,
                format!("`{name}` has no layer"),
                "give it one in DESIGN section 5 and in xtask's layer table",
            ));
            continue;
        };
        for dependency in &member.dependencies {
            if let Some((what, remedy)) = fault(name, own, dependency) {
                found.push(Violation::new(path, dependency.line, what, remedy));
            }
        }
    }
    found
}

fn fault(name: &str, own: Place, dependency: &Dependency) -> Option<(String, &'static str)> {
    let package = dependency.package.as_str();
    if name == "protocol" && !dependency.dev && is_tokio(package) {
        return Some((
            format!("`protocol` depends on `{package}`"),
            "protocol is pure: move what needs a runtime to a higher layer",
        ));
    }
    let other = dependency.member.as_deref()?;
    let leans = format!("`{name}` depends on `{other}`");
    if other == "telemetry" && name != "cli" {
        return Some((
            leans,
            "only cli links telemetry: emit protocol events instead",
        ));
    }
    let below = match (own, place(other)?) {
        (Place::Tool, _) => return None,
        (_, Place::Tool) if dependency.dev => return None,
        (_, Place::Tool) => {
            return Some((leans, "tools are never shipped: make it a dev-dependency"));
        }
        (Place::Layer(own), Place::Layer(below)) => below < own,
    };
    if !below {
        return Some((
            leans,
            "an edge points to a lower layer only: share a trait in protocol",
        ));
    }
    if dependency.dev {
        return None;
    }
    if name == "tui" && other != "protocol" {
        return Some((
            leans,
            "tui knows protocol only: let cli hand it what it needs",
        ));
    }
    if name == "core" && INJECTED_INTO_CORE.contains(&other) {
        return Some((leans, "core is given this by cli: take a protocol trait"));
    }
    None
}

fn is_tokio(package: &str) -> bool {
    package == "tokio" || package.starts_with("tokio-")
}

#[cfg(test)]
mod tests {
    use super::super::tree::fixture;
    use super::*;

    /// Line 9 is the first dependency of a fixture.
    #[track_caller]
    fn check_edge(name: &str, rest: &str, expected: usize) {
        let mut files: Vec<(String, String)> = LAYERS
            .iter()
            .map(|(other, _)| {
                let text = fixture::manifest(other, if *other == name { rest } else { "" });
                (format!("codex-rs/{other}/Cargo.toml"), text)
            })
            .collect();
        files.push((format!("codex-rs/{name}/src/lib.rs"), String::new()));
        let files: Vec<_> = files
            .iter()
            .map(|(a, b)| (a.as_str(), b.as_str()))
            .collect();
        let place = format!("codex-rs/{name}/Cargo.toml:9");
        assert_eq!(
            fixture::found(check, &files),
            vec![place; expected],
            "{name}: {rest}"
        );
    }

    #[test]
    fn edges_point_down_only() {
        check_edge("model", "[dependencies]\ncodex-http.workspace = true\n", 0);
        check_edge("http", "[dependencies]\ncodex-model.workspace = true\n", 1);
        check_edge("http", "[dependencies]\ncodex-audit.workspace = true\n", 1);
        check_edge(
            "http",
            "[build-dependencies]\ncodex-audit.workspace = true\n",
            1,
        );
        check_edge(
            "http",
            "[dev-dependencies]\ncodex-audit.workspace = true\n",
            1,
        );
        check_edge(
            "protocol",
            "[dependencies]\nx = { package = \"codex-http\" }\n",
            1,
        );
    }

    #[test]
    fn tools_are_for_tests() {
        check_edge(
            "audit",
            "[dev-dependencies]\ncodex-test-support.workspace = true\n",
            0,
        );
        check_edge(
            "audit",
            "[dependencies]\ncodex-test-support.workspace = true\n",
            1,
        );
        check_edge("benches", "[dependencies]\ncodex-cli.workspace = true\n", 0);
    }

    #[test]
    fn core_and_tui_and_telemetry_are_kept_apart() {
        check_edge("core", "[dependencies]\ncodex-audit.workspace = true\n", 0);
        check_edge("core", "[dependencies]\ncodex-http.workspace = true\n", 1);
        check_edge(
            "core",
            "[dependencies]\ncodex-mcp-client.workspace = true\n",
            1,
        );
        check_edge(
            "tui",
            "[dependencies]\ncodex-protocol.workspace = true\n",
            0,
        );
        check_edge("tui", "[dependencies]\ncodex-core.workspace = true\n", 1);
        check_edge(
            "cli",
            "[dependencies]\ncodex-telemetry.workspace = true\n",
            0,
        );
        check_edge(
            "mcp-server",
            "[dependencies]\ncodex-telemetry.workspace = true\n",
            1,
        );
        check_edge(
            "benches",
            "[dependencies]\ncodex-telemetry.workspace = true\n",
            1,
        );
    }

    #[test]
    fn protocol_has_no_runtime() {
        check_edge("protocol", "[dependencies]\ntokio.workspace = true\n", 1);
        check_edge(
            "protocol",
            "[dev-dependencies]\ntokio.workspace = true\n",
            0,
        );
        check_edge("protocol", "[dependencies]\nserde.workspace = true\n", 0);
    }

    #[test]
    fn every_crate_has_a_layer() {
        let manifest = fixture::manifest("new", "");
        let found = fixture::found(check, &[("codex-rs/new/Cargo.toml", &manifest)]);
        assert_eq!(found, ["codex-rs/new/Cargo.toml:1"]);
    }
}
