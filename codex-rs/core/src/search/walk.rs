//! The way through the tree, on several threads.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read as _};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use cap_fs_ext::DirExt as _;
use cap_std::fs::Dir;
use codex_protocol::decision::Effect;
use codex_protocol::gate::{self, Authorized};
use codex_protocol::policy::Policy;
use codex_protocol::record::Recorded;
use codex_protocol::request::{FileRead, Request};
use codex_protocol::secrets;
use grep_matcher::Matcher as _;

use super::ignored::{self, Ignored};
use super::kept::{Found, Hit, Kept};
use super::lines::Lines;
use super::{DEEPEST, Kind, MOST_ENTRIES, Place, Query, joined};
use crate::files::{self, Opened};

/// How many threads search at most.
const THREADS: usize = 8;

/// How many files one thread takes at a time.
const FILES_AT_A_TIME: usize = 64;

/// Git's own directory is no text of the project's.
const GIT: &str = ".git";

pub(super) fn search(
    root: &Recorded<Authorized<FileRead>>,
    place: Place,
    query: &Query,
    stop: &AtomicBool,
) -> io::Result<Found> {
    let opened = files::open_either(root)?;
    let root = root.get().request().path.as_path();
    let search = Search {
        root,
        policy: &place.policy,
        query,
        stop,
        kept: Kept::new(query.limit),
        queue: Queue::default(),
    };
    let dir = match opened {
        Opened::File(file) => {
            search.one_file(file.into_std())?;
            return Ok(search.kept.into_found());
        }
        Opened::Directory(dir) => dir,
    };
    search.directory(Folder {
        open: gate::reads_all_below(&place.policy, root),
        dir,
        path: PathBuf::new(),
        ignored: place.above,
        depth: 0,
    });
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    thread::scope(|scope| {
        for _ in 1..threads.min(THREADS) {
            scope.spawn(|| search.work());
        }
        search.work();
    });
    Ok(search.kept.into_found())
}

/// A directory that is open, and what holds in it.
struct Folder {
    dir: Dir,
    /// From the root of the search.
    path: PathBuf,
    ignored: Ignored,
    /// Whether everything below may be read, so that the gate need not be asked for each.
    open: bool,
    depth: usize,
}

/// What a thread takes next. A directory is opened only when its turn comes, so that few are
/// open at a time.
enum Work {
    Directory(Arc<Folder>, OsString),
    Files(Arc<Folder>, Vec<OsString>),
}

#[derive(Default)]
struct Queue {
    state: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    /// What comes first in the order of paths is at the end.
    stack: Vec<Work>,
    /// How many threads are at work, each of which may add some.
    busy: usize,
}

impl Queue {
    fn add(&self, work: impl IntoIterator<Item = Work>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.stack.extend(work);
        drop(state);
        self.changed.notify_all();
    }

    /// The next work; `None` when there is none and nobody is left to add any.
    fn take(&self) -> Option<Work> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(work) = state.stack.pop() {
                state.busy += 1;
                return Some(work);
            }
            if state.busy == 0 {
                return None;
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn done(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.busy -= 1;
        if state.busy == 0 {
            drop(state);
            self.changed.notify_all();
        }
    }
}

struct Search<'s> {
    root: &'s Path,
    policy: &'s Policy,
    query: &'s Query,
    stop: &'s AtomicBool,
    kept: Kept,
    queue: Queue,
}

impl Search<'_> {
    fn lines(&self) -> Lines<'_> {
        let query = self.query;
        Lines::new(&query.matcher, query.kind, query.limit, self.stop)
    }

    fn one_file(&self, file: std::fs::File) -> io::Result<()> {
        let hits = match self.query.kind {
            Kind::Content | Kind::Count => self.lines().of(file)?,
            Kind::Names => {
                let name = self.root.file_name().unwrap_or_default();
                self.name_hits(Path::new(name))
            }
        };
        self.kept.add(PathBuf::new(), hits);
        Ok(())
    }

    fn work(&self) {
        let mut lines = self.lines();
        while let Some(work) = self.queue.take() {
            match work {
                _ if self.is_stopped() => {}
                Work::Directory(parent, name) => self.enter(&parent, &name),
                Work::Files(folder, names) => {
                    for name in &names {
                        if self.is_stopped() {
                            break;
                        }
                        self.file(&folder, name, &mut lines);
                    }
                }
            }
            self.queue.done();
        }
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.kept.unfinished.load(Ordering::Relaxed)
    }

    /// Whether the policy lets this path from the root be read. What it does not is counted.
    fn may_read(&self, folder: &Folder, path: &Path, name: &OsStr) -> bool {
        if folder.open && !secrets::is_env_file(&name.to_string_lossy()) {
            return true;
        }
        let read = FileRead {
            path: joined(self.root, path),
        };
        let allowed = gate::decide(self.policy, Request::FileRead(&read)).effect == Effect::Allow;
        if !allowed {
            self.kept.closed.fetch_add(1, Ordering::Relaxed);
        }
        allowed
    }

    fn enter(&self, parent: &Folder, name: &OsStr) {
        let path = parent.path.join(name);
        if !self.kept.wants(&path) || !self.may_read(parent, &path, name) {
            return;
        }
        if parent.depth >= DEEPEST {
            self.kept.unread.fetch_add(1, Ordering::Relaxed);
            return;
        }
        match parent.dir.open_dir_nofollow(name) {
            Ok(dir) => self.directory(Folder {
                open: parent.open || gate::reads_all_below(self.policy, &joined(self.root, &path)),
                dir,
                path,
                ignored: parent.ignored.clone(),
                depth: parent.depth + 1,
            }),
            Err(_) => {
                self.kept.unread.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Puts what a directory holds into the queue.
    fn directory(&self, mut folder: Folder) {
        let Ok(entries) = folder.dir.entries() else {
            self.kept.unread.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let mut directories = Vec::new();
        let mut names = Vec::new();
        let mut rules = [false; ignored::FILES.len()];
        for entry in entries {
            let known = entry.and_then(|entry| Ok((entry.file_name(), entry.file_type()?)));
            let Ok((name, kind)) = known else {
                self.kept.unread.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            if self.kept.entries.fetch_add(1, Ordering::Relaxed) >= MOST_ENTRIES {
                self.kept.unfinished.store(true, Ordering::Relaxed);
                return;
            }
            if kind.is_dir() && name != GIT {
                directories.push(name);
            } else if kind.is_file() {
                for (is_there, file) in rules.iter_mut().zip(ignored::FILES) {
                    *is_there |= name == file;
                }
                names.push(name);
            }
        }
        for (_, file) in rules
            .iter()
            .zip(ignored::FILES)
            .filter(|(there, _)| **there)
        {
            self.obey(&mut folder, OsStr::new(file));
        }
        let is_kept = |name: &OsString, is_dir: bool| {
            let path = folder.path.join(name);
            let globs = self.query.globs.matched(&path, is_dir);
            !globs.is_ignore()
                && (globs.is_whitelist() || !folder.ignored.leaves_out(&path, is_dir))
        };
        directories.retain(|name| is_kept(name, true));
        names.retain(|name| is_kept(name, false));
        // What comes first is taken from the end.
        directories.sort_unstable_by(|a, b| b.cmp(a));
        names.sort_unstable_by(|a, b| b.cmp(a));
        let folder = Arc::new(folder);
        let directories = directories
            .into_iter()
            .map(|name| Work::Directory(Arc::clone(&folder), name));
        let files = names.chunks(FILES_AT_A_TIME).map(|names| {
            let names = names.iter().rev().cloned().collect();
            Work::Files(Arc::clone(&folder), names)
        });
        self.queue.add(directories.chain(files));
    }

    /// Takes in the rules of a file that says what is to be left out.
    fn obey(&self, folder: &mut Folder, name: &OsStr) {
        if !self.may_read(folder, &folder.path.join(name), name) {
            return;
        }
        let mut text = Vec::new();
        let read = files::open_in(&folder.dir, name)
            .and_then(|file| file.take(ignored::LARGEST).read_to_end(&mut text));
        if read.is_ok() {
            folder.ignored = folder.ignored.with_below(&folder.path, &text);
        }
    }

    fn file(&self, folder: &Folder, name: &OsStr, lines: &mut Lines<'_>) {
        let path = folder.path.join(name);
        if !self.kept.wants(&path) || !self.may_read(folder, &path, name) {
            return;
        }
        if self.query.kind == Kind::Names {
            let hits = self.name_hits(&path);
            self.kept.add(path, hits);
            return;
        }
        let found = files::open_in(&folder.dir, name).and_then(|file| lines.of(file.into_std()));
        match found {
            Ok(hits) => self.kept.add(path, hits),
            Err(_) => {
                self.kept.unread.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn name_hits(&self, path: &Path) -> Vec<Hit> {
        let matcher = &self.query.matcher;
        match matcher.is_match(path.to_string_lossy().as_bytes()) {
            Ok(true) => vec![Hit {
                line: 0,
                text: String::new(),
            }],
            _ => Vec::new(),
        }
    }
}
