//! What an entry of the table says.
//!
//! In scripts: `{a}` is the program of `attempts.c`, `{tool}` one that nothing allows, `{ws}` the
//! workspace, `{out}` a directory outside, `{home}` the home, `{pid}` a process outside, `{port}`
//! a port of loopback that is listened on, `{abstract}` an abstract socket's name, `{lib}` a
//! library that says when it was loaded, `{mark}` seconds to sleep that no other process sleeps.

/// The profile that an attempt is confined by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Profile {
    Offline,
    WorkspaceWrite,
    NetReadOnly,
}

impl Profile {
    pub(super) fn flag(self) -> &'static str {
        match self {
            Self::Offline => "offline",
            Self::WorkspaceWrite => "workspace-write",
            Self::NetReadOnly => "net-read-only",
        }
    }

    /// As records and reasons name it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Offline => "Offline",
            Self::WorkspaceWrite => "WorkspaceWrite",
            Self::NetReadOnly => "NetReadOnly",
        }
    }
}

/// What an attempt that succeeds leaves to be seen from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing: the call itself is what must not succeed, and the exit code is 0 if it did.
    Exit,
    /// A file changed that the profile does not let be changed.
    Files,
    /// The secret is on stdout.
    Secret,
    /// A listener outside was reached.
    Heard,
    /// A program or library ran that the profile does not let run.
    Ran,
    /// The process outside ended.
    Ended,
    /// A process outlives the run.
    Survives,
}

/// The record that a denial must leave: operation, part of the target, rule.
pub(super) type Expected = (&'static str, &'static str, &'static str);

/// One mechanism.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt {
    pub(super) name: &'static str,
    pub(super) profile: Profile,
    pub(super) script: &'static str,
    pub(super) effect: Effect,
    /// None where nothing is denied: the environment is scrubbed, the process ended.
    pub(super) record: Option<Expected>,
    /// Whether the gate decides it before anything starts, so that the evidence is `declared`.
    pub(super) direct: bool,
    /// How often it is run confined: races 20 times.
    pub(super) times: u32,
    /// `NAME=VALUE` in the environment of codex.
    pub(super) environment: &'static [&'static str],
    /// Further flags of `codex sandbox`.
    pub(super) flags: &'static [&'static str],
}

const fn entry(
    profile: Profile,
    name: &'static str,
    script: &'static str,
    effect: Effect,
    record: Option<Expected>,
) -> Attempt {
    Attempt {
        name,
        profile,
        script,
        effect,
        record,
        direct: false,
        times: 1,
        environment: &[],
        flags: &[],
    }
}

/// A shell script under Offline.
pub(super) const fn offline(
    name: &'static str,
    script: &'static str,
    effect: Effect,
    record: Expected,
) -> Attempt {
    entry(Profile::Offline, name, script, effect, Some(record))
}

/// A shell script under WorkspaceWrite.
pub(super) const fn workspace(
    name: &'static str,
    script: &'static str,
    effect: Effect,
    record: Expected,
) -> Attempt {
    entry(Profile::WorkspaceWrite, name, script, effect, Some(record))
}

/// A shell script that leaves no denial when it is held.
pub(super) const fn silent(
    profile: Profile,
    name: &'static str,
    script: &'static str,
    effect: Effect,
) -> Attempt {
    entry(profile, name, script, effect, None)
}

impl Attempt {
    /// The words themselves are the command, without a shell.
    pub(super) const fn direct(mut self) -> Self {
        self.direct = true;
        self
    }

    pub(super) const fn race(mut self) -> Self {
        self.times = 20;
        self
    }

    pub(super) const fn environment(mut self, variables: &'static [&'static str]) -> Self {
        self.environment = variables;
        self
    }

    pub(super) const fn flags(mut self, flags: &'static [&'static str]) -> Self {
        self.flags = flags;
        self
    }
}
