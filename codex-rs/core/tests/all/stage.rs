//! A tree to work in, and logs that watch what is done to it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use codex_core::command::Workbench;
use codex_core::{places, tools};
use codex_protocol::event::{Event, EventSink};
use codex_protocol::ids::{AgentType, SessionId, TaskId};
use codex_protocol::permission::{Items, NeverAsk, Permissions};
use codex_protocol::policy::Policy;
use codex_protocol::record::{Entry, Receipt, RecordError, Recorder, Subject};
use codex_protocol::security_profile::SecurityProfile;
use codex_protocol::tool::Tool;
use codex_sandbox::capability;

/// What each file of the tree holds, behind its own path: seen in an answer, the file was read.
pub(super) const CANARY: &str = "canary-of";

/// The files of the tree, from its root.
const FILES: &[&str] = &[
    "work/a.txt",
    "work/sub/b.txt",
    "work/sub/deep/c.txt",
    "work/.env",
    "work/.git/config",
    "outside/o.txt",
    "home/.ssh/key",
];

/// The name of what a started helper leaves.
const STARTED: &str = "helper-was-started";

pub(super) struct Stage {
    directory: tempfile::TempDir,
}

/// What can be told of the tree from outside: each path with its contents.
pub(super) type Tree = BTreeMap<PathBuf, Vec<u8>>;

impl Stage {
    pub(super) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        for file in FILES {
            let path = root.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, format!("{CANARY}-{file}\n")).unwrap();
        }
        symlink("../outside", root.join("work/out")).unwrap();
        symlink("../outside/o.txt", root.join("work/link.txt")).unwrap();
        let helper = root.join("helper");
        let script = format!("#!/bin/sh\n: > '{}'\n", root.join(STARTED).display());
        fs::write(&helper, script).unwrap();
        fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
        let stage = Self { directory };
        // Reading sets a file's time of access only where it is old (`relatime`).
        let long_ago = SystemTime::now() - Duration::from_hours(72);
        for path in tree(&stage.root()).into_keys() {
            if !path.is_symlink() {
                let times = fs::FileTimes::new().set_accessed(long_ago);
                fs::File::open(&path).unwrap().set_times(times).unwrap();
            }
        }
        stage
    }

    pub(super) fn root(&self) -> PathBuf {
        self.directory.path().canonicalize().unwrap()
    }

    pub(super) fn workspace(&self) -> PathBuf {
        self.root().join("work")
    }

    /// Every built-in tool, with a helper that starts nothing and leaves a mark.
    pub(super) fn tools(&self) -> Vec<Box<dyn Tool>> {
        tools::built_in(&Arc::new(self.workbench()), &self.workspace())
    }

    /// What commands would be run by.
    pub(super) fn workbench(&self) -> Workbench {
        Workbench {
            helper: self.root().join("helper"),
            capabilities: capability::probe(),
            accept: None,
            environment: vec![("PATH".into(), "/usr/bin:/bin".into())],
            set: Vec::new(),
            audit_reads: false,
            shared_memory: None,
            temp: None,
            outputs: self.root().join("home/.codex/outputs"),
            proxy: None,
            traceparent: || None,
        }
    }

    pub(super) fn permissions(
        &self,
        profile: SecurityProfile,
        recorder: Arc<dyn Recorder>,
        sink: Arc<dyn EventSink>,
    ) -> Permissions {
        let home = self.root().join("home");
        let places = places::places(&self.workspace(), &[], Some(&home), &home.join(".codex"));
        let subject = Subject {
            session_id: SessionId::new("s"),
            task_id: TaskId::new("t"),
            agent_type: AgentType::main(),
            profile,
        };
        Permissions::new(
            {
                let mut policy = Policy::new(places::layer(profile, places.unwrap()));
                places::list_programs(&mut policy);
                policy
            },
            subject,
            recorder,
            Arc::new(NeverAsk),
            Arc::new(Items::new(sink, 0)),
        )
    }

    /// Whether a process was started.
    pub(super) fn started(&self) -> bool {
        self.root().join(STARTED).exists()
    }

    /// The files and directories that were read since the stage was made. Empty on a file system
    /// that keeps no times of access.
    pub(super) fn read_paths(&self) -> Vec<PathBuf> {
        let long_ago = SystemTime::now() - Duration::from_hours(24);
        let was_read = |path: &PathBuf| {
            let accessed = path.symlink_metadata().and_then(|m| m.accessed());
            accessed.is_ok_and(|at| at > long_ago)
        };
        FILES
            .iter()
            .map(|file| self.root().join(file))
            .filter(|path| was_read(path))
            .collect()
    }
}

/// What is below `root`. Its own reading is not to be taken for a tool's, so files' times of
/// access are put back.
pub(super) fn tree(root: &Path) -> Tree {
    let mut found = Tree::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let metadata = path.symlink_metadata().unwrap();
            let contents = if metadata.is_dir() {
                open.push(path.clone());
                Vec::new()
            } else if metadata.is_symlink() {
                path.read_link()
                    .unwrap()
                    .into_os_string()
                    .into_encoded_bytes()
            } else {
                let contents = fs::read(&path).unwrap();
                let times = fs::FileTimes::new().set_accessed(metadata.accessed().unwrap());
                fs::File::open(&path).unwrap().set_times(times).unwrap();
                contents
            };
            found.insert(path, contents);
        }
    }
    found
}

/// A log that cannot be written.
pub(super) struct Refusing;

impl Recorder for Refusing {
    fn append(&self, _: &Entry) -> Result<Receipt, RecordError> {
        Err(RecordError {
            path: "the log".to_owned(),
            cause: "it is full".to_owned(),
        })
    }

    fn mask(&self, text: &str) -> String {
        text.to_owned()
    }
}

/// A log that keeps what it is given, with the tree as it was at that moment.
pub(super) struct Logging {
    root: PathBuf,
    pub(super) entries: Mutex<Vec<(Entry, Tree)>>,
}

impl Logging {
    pub(super) fn new(root: PathBuf) -> Self {
        Self {
            root,
            entries: Mutex::default(),
        }
    }
}

impl Recorder for Logging {
    fn append(&self, entry: &Entry) -> Result<Receipt, RecordError> {
        let mut entries = self.entries.lock().unwrap();
        entries.push((entry.clone(), tree(&self.root)));
        Ok(Receipt {
            seq: Some(entries.len() as u64),
        })
    }

    fn mask(&self, text: &str) -> String {
        text.to_owned()
    }
}

/// A sink that keeps events.
#[derive(Default)]
pub(super) struct Events(pub(super) Mutex<Vec<Event>>);

impl EventSink for Events {
    fn emit(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}
