//! Each program does its everyday job, and each request of it stands in the log.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use codex_test_support::{RunOutput, TestEnv, run_for};

use crate::server::{Server, lay_out, script, serve};

/// How long one program may take: far above what a loaded machine needs.
const LIMIT: Duration = Duration::from_secs(120);

/// Where a program's files lie, asked of itself; it fails the test where there is none.
fn ask(what: &str, command: &[&str]) -> String {
    let output = Command::new(command[0]).args(&command[1..]).output();
    match output {
        Ok(output) if output.status.success() => {
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        }
        other => panic!("{what} is missing, which this test needs: {command:?} gave {other:?}"),
    }
}

/// Packages that are served, and an isolated home and workspace to fetch them into.
struct Bench {
    env: TestEnv,
    server: Server,
    root: tempfile::TempDir,
    posts: Vec<String>,
    /// Trees that hold the programs, where that is the home of whoever runs the tests.
    programs: Vec<PathBuf>,
}

impl Bench {
    fn new(posts: &[&str]) -> Self {
        let root = tempfile::tempdir().unwrap();
        let server = serve(root.path());
        lay_out(root.path(), server.port);
        std::fs::write(root.path().join("ca.pem"), &server.pem).unwrap();
        let env = TestEnv::new();
        env.write_home(
            ".gitconfig",
            "[user]\n\tname = T\n\temail = t@example.org\n",
        );
        Self {
            env,
            server,
            root,
            posts: posts.iter().map(|p| (*p).to_owned()).collect(),
            programs: Vec::new(),
        }
    }

    /// Lets commands read and run what lies in `tree`.
    fn with_programs_of(mut self, tree: String) -> Self {
        self.programs.push(tree.into());
        self
    }

    fn base(&self) -> String {
        format!("https://localhost:{}", self.server.port)
    }

    /// Runs a shell script in the sandbox, `@` for the server.
    fn run(&self, text: &str) -> RunOutput {
        let host = format!("localhost:{}", self.server.port);
        let mut command = self.env.command(Path::new(env!("CARGO_BIN_EXE_codex")));
        command.args([
            "sandbox",
            "--profile",
            "net-read-only",
            "--allow-write",
            ".",
        ]);
        command.args(["--allow-host", &host, "--allow-private-host", &host]);
        for post in &self.posts {
            command.args(["--allow-post", post]);
        }
        let mut path: Vec<PathBuf> = self.programs.iter().map(|tree| tree.join("bin")).collect();
        path.extend(["/usr/local/bin", "/usr/bin", "/bin"].map(PathBuf::from));
        for tree in &self.programs {
            command.arg("--allow-read").arg(tree);
        }
        command
            .args(["--", "sh", "-euc", &text.replace('@', &self.base())])
            // What codex itself trusts: the server's certificate, by the person's own variable.
            .env("SSL_CERT_FILE", self.root.path().join("ca.pem"))
            .env("PATH", std::env::join_paths(path).unwrap());
        run_for(&mut command, LIMIT)
    }

    /// Runs what has to succeed.
    #[track_caller]
    fn done(&self, text: &str) -> String {
        let ran = self.run(text);
        assert_eq!(ran.code, Some(0), "{text}: {ran:#?}\n{:#?}", self.records());
        ran.stdout
    }

    /// `decision rule target evidence` of each request.
    fn records(&self) -> Vec<String> {
        let records = self.env.audit_lines();
        let of_network = records
            .iter()
            .filter(|r| r["operation"] == "network_access");
        let line = |r: &serde_json::Value| {
            ["decision", "rule", "target", "evidence"]
                .map(|field| r[field].as_str().unwrap().to_owned())
                .join(" ")
        };
        of_network.map(line).collect()
    }

    /// What is expected is there, and every path that the server saw has its record.
    #[track_caller]
    fn check_records(&self, expected: &[&str]) {
        let records = self.records();
        for line in expected {
            let line = format!("{} declared", line.replace('@', &self.base()));
            assert!(records.contains(&line), "{line} in {records:#?}");
        }
        for seen in self.server.seen.lock().unwrap().iter() {
            let (method, path) = seen.split_once(' ').unwrap();
            let start = format!("allowed net.grant {method} {}{path}", self.base());
            let recorded = records.iter().any(|r| {
                r.strip_prefix(&start)
                    .is_some_and(|rest| rest.starts_with([' ', '?']))
            });
            assert!(recorded, "{seen} in {records:#?}");
        }
    }
}

#[test]
fn curl_reads_over_http_1_and_2_and_writes_nothing() {
    ask("curl", &["curl", "--version"]);
    let bench = Bench::new(&[]);
    let page = bench.done("curl -sSf --http1.1 @/docs/page.txt");
    assert_eq!(page, "a page\n".repeat(1000));
    let http2 = bench.run("curl --version | grep -q HTTP2").code == Some(0);
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
    let said = bench.run("curl -sS -i https://evil.test/ 2>&1").stdout;
    assert!(said.contains("x-proxy-error: approval.never"), "{said}");
    let hits = bench.server.seen.lock().unwrap().len();
    let direct = bench.run("curl -sSk --noproxy '*' @/docs/page.txt");
    assert_ne!(direct.code, Some(0), "{direct:?}");
    assert_eq!(
        bench.server.seen.lock().unwrap().len(),
        hits,
        "no way round"
    );
    let observed = bench.records().into_iter().any(|r| {
        r.starts_with("denied net.loopback ")
            && r.ends_with(&format!(":{} observed", bench.server.port))
    });
    assert!(observed, "{:#?}", bench.records());
    bench.check_records(&[
        "allowed net.grant GET @/docs/page.txt",
        "denied net.method POST @/docs/page.txt",
        "denied approval.never GET https://evil.test/",
    ]);
}

#[test]
fn git_clones_and_fetches_where_its_post_was_chosen_and_never_pushes() {
    ask("git", &["git", "--version"]);
    for chosen in [false, true] {
        let bench = Bench::new(if chosen { &["git-upload-pack"] } else { &[] });
        script(
            bench.root.path(),
            "git init -q -b main source; cd source; git config user.name t; git config user.email t@t
             git add .; git commit -qm one; cd ..; git clone -q --bare source git/demo.git",
        );
        let cloned = bench.run("git clone -q @/git/demo.git demo");
        if !chosen {
            assert_ne!(cloned.code, Some(0));
            bench.check_records(&["denied net.method POST @/git/demo.git/git-upload-pack"]);
            continue;
        }
        assert_eq!(cloned.code, Some(0), "{cloned:?}");
        assert_eq!(bench.done("cat demo/README"), "a repository\n");
        script(
            bench.root.path(),
            "cd source; echo more > MORE; git add .; git -c user.name=t -c user.email=t@t commit -qm two; git push -q ../git/demo.git main",
        );
        bench.done("cd demo; git pull -q; test -e MORE");
        let pushed = bench.run("cd demo; git commit -q --allow-empty -m x; git push -q");
        assert_ne!(pushed.code, Some(0), "{pushed:?}");
        bench.check_records(&[
            "allowed net.grant GET @/git/demo.git/info/refs?service=[REDACTED]",
            "allowed net.grant POST @/git/demo.git/git-upload-pack",
            "denied net.method POST @/git/demo.git/git-receive-pack",
        ]);
    }
}

#[test]
fn pip_downloads_and_installs() {
    let python = ask(
        "python3",
        &["python3", "-c", "import sys; print(sys.prefix)"],
    );
    ask("pip", &["python3", "-m", "pip", "--version"]);
    let bench = Bench::new(&[]).with_programs_of(python);
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
    let own = cache.contains("codex-net-") && cache.trim().ends_with("/cache/pip");
    assert!(own, "{cache}");
}

#[test]
fn npm_installs() {
    ask("npm", &["npm", "--version"]);
    let bench = Bench::new(&[]);
    script(
        bench.root.path(),
        "tar czf files/demo-1.0.0.tgz -C pack package",
    );
    bench.env.write(
        "package.json",
        r#"{"name":"p","version":"1.0.0","dependencies":{"demo":"^1.0.0"}}"#,
    );
    bench.done("npm install --no-fund --registry @/npm/ 2>&1");
    assert_eq!(bench.done("node -p \"require('demo')\""), "npm\n");
    let published = bench.run("npm publish --registry @/npm/ --//localhost/:_authToken=x 2>&1");
    assert_ne!(published.code, Some(0), "{published:?}");
    bench.check_records(&[
        "allowed net.grant GET @/npm/demo",
        "allowed net.grant GET @/files/demo-1.0.0.tgz",
    ]);
    let home = bench.env.home().join(".npm");
    assert!(!home.exists(), "npm's cache is the run's");
}

#[test]
fn cargo_fetches_and_builds() {
    let sysroot = ask("cargo", &["rustc", "--print", "sysroot"]);
    let bench = Bench::new(&[]).with_programs_of(sysroot);
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
    bench.env.write(
        "Cargo.toml",
        "[package]\nname = \"p\"\nversion = \"1.0.0\"\nedition = \"2021\"\n[dependencies]\ndemo = \"1\"\n",
    );
    bench.env.write(
        "src/main.rs",
        "fn main() { println!(\"{}\", demo::WORD); }\n",
    );
    bench.env.write(
        ".cargo/config.toml",
        format!(
            "[source.crates-io]\nreplace-with = \"here\"\n[source.here]\nregistry = \"sparse+https://localhost:{}/index/\"\n",
            bench.server.port
        ),
    );
    // One run: the cargo home is the run's own, and goes with it.
    let said = bench.done("cargo fetch -q; cargo run -q --offline");
    assert!(said.contains("crate\n"), "{said}");
    bench.check_records(&[
        "allowed net.grant GET @/index/config.json",
        "allowed net.grant GET @/index/de/mo/demo",
        "allowed net.grant GET @/files/demo-1.0.0.crate",
    ]);
    let home = bench.env.home().join(".cargo/registry");
    assert!(!home.exists(), "cargo's home is the run's");
}
