//! Each program does its everyday job, and each request of it stands in the log.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use codex_egress::Pass;
use codex_protocol::policy::Right;

use crate::server::{lay_out, script, serve};
use crate::world::{Setting, World};

/// Set to `1`, a test whose programs are missing fails instead of being named.
const REQUIRE: &str = "CODEX_REQUIRE_TOOLS";

/// Whether every one of `tools` is there. What is not is said.
fn present(test: &str, tools: &[&str]) -> bool {
    let missing: Vec<&str> = tools
        .iter()
        .copied()
        .filter(|tool| {
            let check = format!("{tool} --version");
            let run = Command::new("sh").args(["-c", &check]).output().unwrap();
            !run.status.success()
        })
        .collect();
    if missing.is_empty() {
        return true;
    }
    let said = format!(
        "{test} needs {}, which cannot be run here",
        missing.join(", ")
    );
    assert!(std::env::var_os(REQUIRE).is_none_or(|v| v != "1"), "{said}");
    // Past the test harness, which would keep it for itself.
    let mut stderr = std::io::stderr();
    writeln!(stderr, "left out: {said}").unwrap();
    false
}

/// A world with laid-out packages, and a directory to work in.
struct Bench {
    world: World,
    root: tempfile::TempDir,
}

struct Ran {
    success: bool,
    text: String,
}

impl Bench {
    fn new(posts: &[&str]) -> Self {
        let root = tempfile::tempdir().unwrap();
        let origin = serve(root.path());
        lay_out(root.path(), origin.address.port());
        let setting = Setting {
            rights: posts
                .iter()
                .map(|p| Right::ReadPost((*p).to_owned()))
                .collect(),
            pass: Some(Pass::new().unwrap()),
            ..Setting::default()
        };
        let bench = Self {
            world: World::new(origin, setting),
            root,
        };
        std::fs::create_dir(bench.work()).unwrap();
        std::fs::create_dir(bench.root.path().join("home")).unwrap();
        bench
    }

    fn work(&self) -> std::path::PathBuf {
        self.root.path().join("work")
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.work().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Runs a shell script with the environment that a command gets, `@` for the server.
    fn run(&self, text: &str) -> Ran {
        let base = format!("https://origin.test:{}", self.world.port());
        let mut command = Command::new("sh");
        command
            .args(["-euc", &text.replace('@', &base)])
            .current_dir(self.work())
            .env_clear()
            .env("HOME", self.root.path().join("home"))
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("npm_config_audit", "false")
            .env("npm_config_update_notifier", "false");
        // Where rustup and pyenv keep what they stand for.
        for name in [
            "RUSTUP_HOME",
            "RUSTUP_TOOLCHAIN",
            "PYENV_ROOT",
            "PYENV_VERSION",
        ] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        if let (None, Some(home)) = (std::env::var_os("RUSTUP_HOME"), std::env::home_dir()) {
            command.env("RUSTUP_HOME", home.join(".rustup"));
        }
        command.envs(self.world.proxy.variables());
        let output = command.output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        Ran {
            success: output.status.success(),
            text: String::from_utf8_lossy(&text).into_owned(),
        }
    }

    /// Runs what has to succeed.
    fn done(&self, text: &str) -> String {
        let ran = self.run(text);
        let records = self.world.records().join("\n");
        assert!(ran.success, "{text}: {}\n{records}", ran.text);
        ran.text
    }

    /// Every path that the server saw has its record, and no record was left without a reason.
    fn check_records(&self, expected: &[&str]) {
        let records = self.world.records();
        let base = format!("https://origin.test:{}", self.world.port());
        for line in expected {
            let line = line.replace('@', &base);
            assert!(records.contains(&line), "{line} in {records:#?}");
        }
        for seen in self.world.origin.seen.lock().unwrap().iter() {
            let (method, path) = seen.split_once(' ').unwrap();
            let start = format!("allowed net.grant {method} {base}{path}");
            let recorded = records.iter().any(|r| {
                r.strip_prefix(&start)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('?'))
            });
            assert!(recorded, "{seen} in {records:#?}");
        }
    }
}

#[test]
fn curl_reads_over_http_1_and_2_and_writes_nothing() {
    if !present("curl", &["curl"]) {
        return;
    }
    let bench = Bench::new(&[]);
    let page = bench.done("curl -sSf --http1.1 @/docs/page.txt");
    assert_eq!(page, "a page\n".repeat(1000));
    let http2 = bench.run("curl --version | grep -q HTTP2").success;
    if http2 {
        let said =
            bench.done("curl -sSf --http2 -o /dev/null -w '%{http_version}' @/docs/page.txt");
        assert_eq!(said, "2");
    }
    for (flags, rule) in [
        ("-d x", "net.method"),
        ("-X DELETE", "net.method"),
        ("-T /dev/null", "net.method"),
        ("-H 'X-HTTP-Method-Override: PUT'", "net.request"),
        ("-X GET -d x", "net.request"),
    ] {
        let said = bench.done(&format!("curl -sS -i --http1.1 {flags} @/docs/page.txt"));
        assert!(
            said.contains("403") && said.contains(&format!("x-proxy-error: {rule}")),
            "{said}"
        );
    }
    let said = bench.run("curl -sS -i https://evil.test/").text;
    assert!(said.contains("x-proxy-error: approval.never"), "{said}");
    let direct = bench.run("curl -sS --noproxy '*' --cacert /dev/null @/docs/page.txt");
    assert!(!direct.success, "{}", direct.text);
    bench.check_records(&[
        "allowed net.grant GET @/docs/page.txt",
        "denied net.method POST @/docs/page.txt",
        "denied approval.never GET https://evil.test/",
    ]);
}

#[test]
fn git_clones_and_fetches_where_its_post_was_chosen_and_never_pushes() {
    if !present("git", &["git"]) {
        return;
    }
    for chosen in [false, true] {
        let bench = Bench::new(if chosen { &["git-upload-pack"] } else { &[] });
        script(
            bench.root.path(),
            "git init -q -b main source; cd source; git config user.name t; git config user.email t@t
             git add .; git commit -qm one; cd ..; git clone -q --bare source git/demo.git",
        );
        let cloned = bench.run("git clone -q @/git/demo.git demo");
        if !chosen {
            assert!(!cloned.success);
            bench.check_records(&["denied net.method POST @/git/demo.git/git-upload-pack"]);
            continue;
        }
        assert!(cloned.success, "{}", cloned.text);
        assert_eq!(bench.done("cat demo/README"), "a repository\n");
        script(
            bench.root.path(),
            "cd source; echo more > MORE; git add .; git -c user.name=t -c user.email=t@t commit -qm two; git push -q ../git/demo.git main",
        );
        bench.done("cd demo; git pull -q; test -e MORE");
        let pushed = bench.run("cd demo; git -c user.name=t -c user.email=t@t commit -q --allow-empty -m x; git push -q");
        assert!(!pushed.success);
        bench.check_records(&[
            "allowed net.grant GET @/git/demo.git/info/refs?service=[REDACTED]",
            "allowed net.grant POST @/git/demo.git/git-upload-pack",
            "denied net.method POST @/git/demo.git/git-receive-pack",
        ]);
    }
}

#[test]
fn pip_downloads_and_installs() {
    if !present("pip", &["python3", "python3 -m pip"]) {
        return;
    }
    let bench = Bench::new(&[]);
    script(
        bench.root.path(),
        "cd wheel; python3 -c \"
import zipfile, glob
with zipfile.ZipFile('../files/demo-1.0-py3-none-any.whl', 'w') as z:
    [z.write(n) for n in ['demo.py', *glob.glob('demo-1.0.dist-info/*')]]\"",
    );
    let pip = "python3 -m pip --disable-pip-version-check -q";
    bench.done(&format!(
        "{pip} download --no-deps -i @/simple demo; test -e demo-1.0-py3-none-any.whl"
    ));
    bench.done(&format!(
        "{pip} install --no-deps -i @/simple --target site demo"
    ));
    assert_eq!(
        bench.done("PYTHONPATH=site python3 -c 'import demo; print(demo.WORD)'"),
        "wheel\n"
    );
    bench.check_records(&[
        "allowed net.grant GET @/simple/demo/",
        "allowed net.grant GET @/files/demo-1.0-py3-none-any.whl",
    ]);
    let cache = bench.done("python3 -m pip --disable-pip-version-check cache dir");
    let own = bench.world.directory.path().join("cache/pip");
    assert_eq!(Path::new(cache.trim()), own);
}

#[test]
fn npm_installs() {
    if !present("npm", &["node", "npm", "tar"]) {
        return;
    }
    let bench = Bench::new(&[]);
    script(
        bench.root.path(),
        "tar czf files/demo-1.0.0.tgz -C pack package",
    );
    bench.write(
        "package.json",
        r#"{"name":"p","version":"1.0.0","dependencies":{"demo":"^1.0.0"}}"#,
    );
    bench.done("npm install --no-fund --registry @/npm/ 2>&1");
    assert_eq!(bench.done("node -p \"require('demo')\""), "npm\n");
    let published = bench.run("npm publish --registry @/npm/ --//origin.test/:_authToken=x 2>&1");
    assert!(!published.success, "{}", published.text);
    bench.check_records(&[
        "allowed net.grant GET @/npm/demo",
        "allowed net.grant GET @/files/demo-1.0.0.tgz",
    ]);
    let cache = bench.world.directory.path().join("cache/npm");
    assert!(cache.exists(), "npm's cache is the run's");
}

#[test]
fn cargo_fetches_and_builds() {
    if !present("cargo", &["cargo", "tar", "sha256sum"]) {
        return;
    }
    let bench = Bench::new(&[]);
    let sum = script(
        bench.root.path(),
        "tar czf files/demo-1.0.0.crate -C crates demo-1.0.0; sha256sum files/demo-1.0.0.crate | cut -d' ' -f1",
    );
    let entry = format!(
        r#"{{"name":"demo","vers":"1.0.0","deps":[],"cksum":"{}","features":{{}},"yanked":false}}"#,
        sum.trim()
    );
    let index = bench.root.path().join("index/de/mo");
    std::fs::create_dir_all(&index).unwrap();
    std::fs::write(index.join("demo"), entry + "\n").unwrap();
    bench.write(
        "Cargo.toml",
        "[package]\nname = \"p\"\nversion = \"1.0.0\"\nedition = \"2021\"\n[dependencies]\ndemo = \"1\"\n",
    );
    bench.write(
        "src/main.rs",
        "fn main() { println!(\"{}\", demo::WORD); }\n",
    );
    bench.write(
        ".cargo/config.toml",
        &format!(
            "[source.crates-io]\nreplace-with = \"here\"\n[source.here]\nregistry = \"sparse+https://origin.test:{}/index/\"\n",
            bench.world.port()
        ),
    );
    bench.done("cargo fetch -q");
    let said = bench.done("cargo run -q --offline");
    assert!(said.contains("crate\n"), "{said}");
    bench.check_records(&[
        "allowed net.grant GET @/index/config.json",
        "allowed net.grant GET @/index/de/mo/demo",
        "allowed net.grant GET @/files/demo-1.0.0.crate",
    ]);
    let home = bench.world.directory.path().join("cache/cargo/registry");
    assert!(home.exists(), "cargo's home is the run's");
}
