//! What was typed. Nothing is looked up here; `setup` resolves what it means.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use codex_sandbox::report::Level;

/// The coding agent for the terminal that people can trust on their own machine.
#[derive(Debug, Parser)]
#[command(
    name = "codex",
    version,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "Examples:
  codex demo                                 watch it fix a bug, without a key
  codex exec --profile workspace-write 'make the tests pass'
  codex sandbox -- npm test                  run a command offline, read-only
  codex audit show --denied                  what was denied, and why
  codex policy check read ~/.ssh/id_ed25519  ask the gate

Offline and read-only unless --profile says otherwise. Every denial is in the
audit log; refused reads of commands are enforced, and in it with
--audit-reads denied."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags that every command takes.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Global {
    /// What `codex sandbox --audit-reads` says.
    #[arg(skip)]
    pub(crate) audit_reads: Option<String>,

    /// Work in this directory
    #[arg(short = 'C', long = "cd", value_name = "DIR", global = true)]
    pub(crate) cd: Option<PathBuf>,

    /// Profile: offline (default), workspace-write, net-read-only, trusted, or one of your config
    #[arg(short = 'p', long, value_name = "PROFILE", global = true)]
    pub(crate) profile: Option<String>,

    /// Another spelling of --profile
    #[arg(short = 's', long, value_name = "MODE", global = true, conflicts_with = "profile",
          value_parser = ["read-only", "workspace-write", "danger-full-access"])]
    pub(crate) sandbox: Option<String>,

    /// The workspace-write profile, and ask on request
    #[arg(long, global = true, conflicts_with_all = ["profile", "sandbox"])]
    pub(crate) full_auto: bool,

    /// The model to talk to
    #[arg(short, long, value_name = "MODEL", global = true)]
    pub(crate) model: Option<String>,

    /// The provider that serves it
    #[arg(long, value_name = "NAME", global = true)]
    pub(crate) provider: Option<String>,

    /// Set a configuration value for this run; the value is read as TOML, else as text
    #[arg(short, long = "config", value_name = "KEY=VALUE", global = true)]
    pub(crate) config: Vec<String>,

    /// When to ask: untrusted, on-request or never
    #[arg(short, long, value_name = "POLICY", global = true,
          value_parser = ["untrusted", "on-request", "on-failure", "never"])]
    pub(crate) ask_for_approval: Option<String>,

    /// Keep the audit log in this file
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) audit_log: Option<PathBuf>,

    /// Run although this machine enforces only this level of the profile (recorded)
    #[arg(long, value_name = "LEVEL", global = true, value_parser = ["minimum", "partial", "full"])]
    pub(crate) accept_level: Option<String>,

    /// Colour the output
    #[arg(long, value_name = "WHEN", global = true, default_value = "auto")]
    pub(crate) color: ColorChoice,

    /// Write a structured log to stderr in this form; RUST_LOG says what, else info
    #[arg(long, value_name = "FORM", global = true)]
    pub(crate) log_format: Option<LogForm>,

    /// Say on stderr how much of the profile is enforced, and what is not
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
}

impl Global {
    /// The accepted level; the parser has checked the word.
    pub(crate) fn accepted(&self) -> Option<Level> {
        self.accept_level
            .as_ref()
            .and_then(|word| word.parse().ok())
    }
}

/// The form of a line of the structured log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogForm {
    /// For people.
    Text,
    /// A JSON object.
    Json,
}

/// When to colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorChoice {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Rights beyond the profile, for one run. Each is recorded.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Grants for this run (each is recorded)")]
pub(crate) struct Grants {
    /// Let this program start (a path, or a name looked up in PATH)
    #[arg(long, value_name = "PROG")]
    pub(crate) allow_exec: Vec<PathBuf>,

    /// Make this path readable, also where it is a secret
    #[arg(long, value_name = "PATH")]
    pub(crate) allow_read: Vec<PathBuf>,

    /// Make this path unreadable
    #[arg(long, value_name = "PATH")]
    pub(crate) deny_read: Vec<PathBuf>,

    /// Make this path writable
    #[arg(long, value_name = "PATH")]
    pub(crate) allow_write: Vec<PathBuf>,

    /// Let this host be read through the proxy: HOST, HOST:PORT, HOST/PATH or *.DOMAIN
    #[arg(long, value_name = "HOST")]
    pub(crate) allow_host: Vec<String>,

    /// Let nothing reach this host, whatever else is granted
    #[arg(long, value_name = "HOST")]
    pub(crate) deny_host: Vec<String>,

    /// Let the hosts of a preset be read: cargo, npm, python and others that policy show names
    #[arg(long, value_name = "NAME")]
    pub(crate) allow_preset: Vec<String>,

    /// Let this host be reached by a tunnel that the proxy cannot look into (recorded as such)
    #[arg(long, value_name = "HOST")]
    pub(crate) allow_tunnel: Vec<String>,

    /// Let this host's name lead to a private address, as a network's own package index may
    #[arg(long, value_name = "HOST")]
    pub(crate) allow_private_host: Vec<String>,

    /// Let this named read use POST where its host may be read: git-upload-pack, npm-audit
    #[arg(long, value_name = "NAME")]
    pub(crate) allow_post: Vec<String>,

    /// Pass these variables on (a name, or a pattern with *)
    #[arg(long, value_name = "GLOB")]
    pub(crate) pass_env: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Do one task without asking, and print the last message
    #[command(visible_alias = "e")]
    Exec(Box<Exec>),
    /// Run any command inside a profile
    Sandbox(Sandbox),
    /// Sub-agents: run several beside one another, and see which types there are
    #[command(subcommand)]
    Agents(Agents),
    /// Read and check the audit log
    #[command(subcommand)]
    Audit(Audit),
    /// Show the policy, or ask it about one thing
    #[command(subcommand)]
    Policy(Policy),
    /// Show the configuration and where each value comes from
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Say what this machine can enforce of each profile, what is missing, and what to do
    Doctor(Doctor),
    /// Watch the agent fix a bug in a small project: the model is a recording, all else is real
    Demo(Demo),
    /// Print a shell's completion script
    Completion(Completion),
    /// Print a manual page, as roff
    Man(Man),
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  codex completion bash > ~/.local/share/bash-completion/completions/codex
  codex completion zsh > ~/.zfunc/_codex
  codex completion fish > ~/.config/fish/completions/codex.fish")]
pub(crate) struct Completion {
    /// The shell
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  codex man > codex.1
  codex man exec resume | man -l -")]
pub(crate) struct Man {
    /// The command whose page it is; codex itself by default
    #[arg(value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  codex exec 'explain what this project does'
  git diff | codex exec 'review this change'
  codex exec --json --profile workspace-write 'fix the test' > events.ndjson
  codex exec resume --last 'now add a test for it'

stdin is read when PROMPT is missing or '-', and added to PROMPT when it is
piped.
Exit: 0 done, 1 the work failed, 2 usage, 3 refused by policy, 4 the profile
cannot be enforced here, 130 interrupted.")]
pub(crate) struct Exec {
    #[command(subcommand)]
    pub(crate) resume: Option<ExecCommand>,

    /// The task; '-' reads it from stdin
    pub(crate) prompt: Option<String>,

    #[command(flatten)]
    pub(crate) flags: ExecFlags,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct ExecFlags {
    /// Print events as JSON lines
    #[arg(long, alias = "experimental-json", global = true)]
    pub(crate) json: bool,

    /// A JSON Schema that the last message must fit: the model may try three times, then the run
    /// fails with what does not fit
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) output_schema: Option<PathBuf>,

    /// Write the last message to this file
    #[arg(short, long, value_name = "FILE", global = true)]
    pub(crate) output_last_message: Option<PathBuf>,

    /// Another directory that counts as workspace
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) add_dir: Vec<PathBuf>,

    /// Show the model an image
    #[arg(short, long, value_name = "FILE", value_delimiter = ',', global = true)]
    pub(crate) image: Vec<PathBuf>,

    /// Stop after this many model requests
    #[arg(long, value_name = "N", global = true)]
    pub(crate) max_turns: Option<u32>,

    /// Stop after this many tokens, read and written
    #[arg(long, value_name = "N", global = true)]
    pub(crate) max_tokens: Option<u64>,

    /// Stop after this many seconds
    #[arg(long, value_name = "SECS", global = true, value_parser = seconds)]
    pub(crate) timeout: Option<std::time::Duration>,

    /// Print the audit log's head on stderr at the end, to keep elsewhere
    #[arg(long, global = true)]
    pub(crate) print_audit_head: bool,

    /// Play the model's side from a recording (with --sub-agents, a directory of NAME.ndjson files)
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) replay: Option<PathBuf>,

    /// Record the model's side (with --sub-agents, a directory)
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) record: Option<PathBuf>,

    /// Let the model start agents of its own, within its rights and limits ('codex agents list')
    #[arg(long, global = true)]
    pub(crate) sub_agents: bool,

    /// Keep no session
    #[arg(long, global = true)]
    pub(crate) ephemeral: bool,

    /// Do not warn where changes are made outside a git repository
    #[arg(long, global = true)]
    pub(crate) skip_git_repo_check: bool,

    #[command(flatten)]
    pub(crate) grants: Grants,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ExecCommand {
    /// Go on with an earlier session
    Resume(Resume),
}

#[derive(Args, Debug)]
pub(crate) struct Resume {
    /// The session's id, or the prompt with --last
    pub(crate) id: Option<String>,

    /// What to do next; '-' reads it from stdin
    pub(crate) prompt: Option<String>,

    /// The newest session
    #[arg(long)]
    pub(crate) last: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Agents {
    /// Show every type of agent, where it comes from and what was taken from it
    List(Box<AgentsList>),
    /// Run a plan of agents, or one task by several of them
    Run(Box<AgentsRun>),
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  codex agents run 'review the last commit' --agents review,security
  codex agents run plan.toml --profile workspace-write --max-concurrent 4
  codex agents run plan.toml --json > events.ndjson

A plan is a TOML file of [[agent]] tables: name, task, and if you like type,
after, retries, profile and budget (docs/agents.md). Agents that write do so in
a git worktree each; what they changed is taken over in the plan's order, and
what does not fit is kept and told.
Exit: 0 all done and taken over, 1 an agent failed or its changes did not fit,
2 usage, 3 refused by policy, 4 the profile cannot be enforced here,
130 interrupted.")]
pub(crate) struct AgentsRun {
    /// A plan (a file that ends in .toml), or a task
    #[arg(value_name = "PLAN.toml|TASK")]
    pub(crate) what: String,

    /// The types of the agents that do the task beside one another [default: general]
    #[arg(long, value_name = "TYPE", value_delimiter = ',')]
    pub(crate) agents: Vec<String>,

    /// How many agents work at a time [default: 8, or what the plan says]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) max_concurrent: Option<u16>,

    /// When an agent fails: stop the others, or continue with what does not come after it
    /// [default: stop, or what the plan says]
    #[arg(long, value_name = "WHAT")]
    pub(crate) on_failure: Option<OnFailureWord>,

    /// Print events as JSON lines, each with its agent and that agent's parent
    #[arg(long)]
    pub(crate) json: bool,

    /// Another directory that counts as workspace
    #[arg(long, value_name = "DIR")]
    pub(crate) add_dir: Vec<PathBuf>,

    /// Stop after this many model requests, of all agents together
    #[arg(long, value_name = "N")]
    pub(crate) max_turns: Option<u32>,

    /// Stop after this many tokens, read and written, of all agents together
    #[arg(long, value_name = "N")]
    pub(crate) max_tokens: Option<u64>,

    /// Stop after this many seconds
    #[arg(long, value_name = "SECS", value_parser = seconds)]
    pub(crate) timeout: Option<std::time::Duration>,

    /// Print the audit log's head on stderr at the end, to keep elsewhere
    #[arg(long)]
    pub(crate) print_audit_head: bool,

    /// Play the model's side from this directory: NAME.ndjson for each agent
    #[arg(long, value_name = "DIR")]
    pub(crate) replay: Option<PathBuf>,

    /// Record the model's side in this directory
    #[arg(long, value_name = "DIR")]
    pub(crate) record: Option<PathBuf>,

    /// Keep no sessions
    #[arg(long)]
    pub(crate) ephemeral: bool,

    #[command(flatten)]
    pub(crate) grants: Grants,
}

/// What follows when an agent fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnFailureWord {
    /// The others are ended.
    Stop,
    /// Only what comes after it does not begin.
    Continue,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  codex agents list
  codex agents list --profile workspace-write    what each type gets there
  codex agents list --json | jq '.agents[] | {name, origin}'

Your own types are files in ~/.codex/agents; a project's, in .codex/agents,
only narrow.")]
pub(crate) struct AgentsList {
    /// Print one JSON document
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) grants: Grants,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  codex sandbox -- ls -la
  codex sandbox --profile workspace-write -- make test
  codex sandbox --allow-exec python3 -- python3 script.py
  codex sandbox --profile net-read-only --allow-write . -- npm install
  codex sandbox --report json --timeout 60 -- ./build.sh

Exit: the command's own; 2 usage or configuration, 3 the run was refused or its
record cannot be written, 124 timeout, 125 the sandbox could not be set up,
126 the program was denied, 127 it was not found, 128+N it was ended by
signal N. When the command ends, all it started ends.")]
pub(crate) struct Sandbox {
    #[command(flatten)]
    pub(crate) grants: Grants,

    /// End the command after this many seconds
    #[arg(long, value_name = "SECS", value_parser = seconds)]
    pub(crate) timeout: Option<std::time::Duration>,

    /// Limit the private memory of each process, in bytes
    #[arg(long, value_name = "BYTES")]
    pub(crate) max_memory: Option<u64>,

    /// Limit how many processes there are at a time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_procs: Option<u32>,

    /// Whether to record refused reads as they happen
    #[arg(long, value_name = "WHAT", value_parser = ["denied", "off"])]
    pub(crate) audit_reads: Option<String>,

    /// Print the audit log's head on stderr after the command, to keep elsewhere
    #[arg(long)]
    pub(crate) print_audit_head: bool,

    /// How to report what was denied, on stderr after the command
    #[arg(long, value_name = "FORM", default_value = "text")]
    pub(crate) report: ReportForm,

    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    pub(crate) command: Vec<OsString>,
}

/// The form of a sandbox run's report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportForm {
    /// For people; nothing where nothing was denied.
    Text,
    /// One line of JSON.
    Json,
    /// Nothing.
    None,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// Print records, oldest first
    Show(AuditShow),
    /// Print the newest records, and with -f those that come
    Tail(AuditTail),
    /// Count attempts by operation, and denials by rule
    Stats(AuditStats),
    /// Say of one record what happened, why, and what would allow it
    Explain(AuditExplain),
    /// Check that the log is whole: exit 0, or 1 naming the first bad line
    Verify(AuditVerify),
    /// Print the number and hash of the last record, to keep elsewhere
    Head(AuditHead),
    /// Print the public key that the log is signed with, to keep elsewhere
    Key(AuditKey),
    /// Print all records in a form that other tools read
    Export(AuditExport),
}

#[derive(Args, Debug)]
pub(crate) struct AuditTail {
    /// Wait for more
    #[arg(long, short)]
    pub(crate) follow: bool,

    /// How many to begin with
    #[arg(long, short = 'n', value_name = "N", default_value_t = 10)]
    pub(crate) limit: usize,

    /// Print the lines of the log as they are
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct AuditStats {
    /// One JSON document
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct AuditExplain {
    /// The number of the record, as show prints it first
    pub(crate) seq: u64,
}

#[derive(Args, Debug)]
pub(crate) struct AuditHead {
    /// One JSON document
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct AuditKey {
    /// Put a new key in the place of the old one, which signs that
    #[arg(long)]
    pub(crate) new: bool,

    /// One JSON document
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct AuditExport {
    /// The form
    #[arg(long, value_enum)]
    pub(crate) format: ExportFormat,
}

/// The forms of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ExportFormat {
    /// The lines of the log as they are
    Jsonl,
    /// RFC 4180, with a header; no cell is a formula
    Csv,
    /// Events of the Open Cybersecurity Schema Framework 1.3.0, one a line
    Ocsf,
}

#[derive(Args, Debug)]
pub(crate) struct AuditShow {
    /// Denials only
    #[arg(long)]
    pub(crate) denied: bool,

    /// Records of this operation only, such as `file_write`
    #[arg(long, value_name = "OP")]
    pub(crate) operation: Option<String>,

    /// Records of this task only
    #[arg(long, value_name = "ID")]
    pub(crate) task: Option<String>,

    /// Records of this session only
    #[arg(long, value_name = "ID")]
    pub(crate) session: Option<String>,

    /// Records since this moment: RFC 3339, or 10m, 2h, 3d ago
    #[arg(long, value_name = "T")]
    pub(crate) since: Option<String>,

    /// The newest N records only
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,

    /// Print the lines of the log as they are
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct AuditVerify {
    /// A hash that some record must have: a head that was kept elsewhere
    #[arg(long, value_name = "HASH")]
    pub(crate) expect_head: Option<String>,

    /// The least sequence number that the last record must have
    #[arg(long, value_name = "N")]
    pub(crate) min_seq: Option<u64>,

    /// A key that must be among those that sign the log, as `codex audit key` prints it; repeatable.
    /// Without it, the key that is here
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Vec<String>,

    /// The oldest files of the log may have been moved elsewhere
    #[arg(long)]
    pub(crate) partial: bool,

    /// One JSON document
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Policy {
    /// Print the whole effective policy
    Show(PolicyShow),
    /// Ask the gate about one thing: exit 0 allowed, 3 denied, 5 it would ask
    #[command(after_help = "Examples:
  codex policy check read ~/.ssh/id_ed25519
  codex policy check --profile workspace-write write src/main.rs
  codex policy check exec python3
  codex policy check connect example.org:443
  codex policy check -p net-read-only connect https://docs.rs/tokio")]
    Check(PolicyCheck),
}

#[derive(Args, Debug)]
pub(crate) struct PolicyShow {
    /// One JSON document
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) grants: Grants,
}

#[derive(Args, Debug)]
pub(crate) struct PolicyCheck {
    /// What would be done
    pub(crate) verb: PolicyVerb,

    /// A path, a program, HOST:PORT, or a URL that would be read
    pub(crate) target: String,

    /// One JSON document
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) grants: Grants,
}

/// What `codex policy check` asks about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PolicyVerb {
    /// Reading a file.
    Read,
    /// Writing a file.
    Write,
    /// Starting a program.
    Exec,
    /// Reaching a host.
    Connect,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print every value
    Show(ConfigShow),
}

#[derive(Args, Debug)]
pub(crate) struct ConfigShow {
    /// And where each comes from
    #[arg(long)]
    pub(crate) origin: bool,

    /// One JSON document
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  codex doctor
  codex doctor -p workspace-write && codex exec -p workspace-write 'fix it'
  codex doctor --json

Exit: 0 the chosen profile can be enforced here, 4 it cannot.")]
pub(crate) struct Doctor {
    /// One JSON document
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Demo {
    /// Leave the demo's project where it is and say where
    #[arg(long)]
    pub(crate) keep: bool,
}

/// A positive number of seconds, also a fraction, at most a year.
fn seconds(text: &str) -> Result<std::time::Duration, String> {
    const YEAR: f64 = 31_536_000.0;
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= YEAR => {
            Ok(std::time::Duration::from_secs_f64(seconds))
        }
        _ => Err("give a positive number of seconds".to_owned()),
    }
}
