//! What a search has found so far: the first results in the order of paths, and no more.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// One result of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The line's number, from 1; the number of lines when they are counted; 0 for a name.
    pub line: u64,
    /// The line, cut to size and without escape sequences; empty otherwise.
    pub text: String,
}

/// What a search gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The results of each file, in the order of paths.
    pub files: Vec<(PathBuf, Vec<Hit>)>,
    /// Whether there are more results than were asked for.
    pub more: bool,
    /// How many paths were left out because the policy does not let them be read.
    pub closed: u64,
    /// How many paths could not be read, or not whole, for another reason.
    pub unread: u64,
    /// Whether the search stopped because there was too much to look at.
    pub unfinished: bool,
}

/// The results so far, shared by the threads.
pub(super) struct Kept {
    limit: usize,
    results: Mutex<Results>,
    /// Whether the limit is reached: then only what comes earlier in the order is of use.
    full: AtomicBool,
    pub(super) closed: AtomicU64,
    pub(super) unread: AtomicU64,
    pub(super) entries: AtomicU64,
    pub(super) unfinished: AtomicBool,
}

#[derive(Default)]
struct Results {
    files: BTreeMap<PathBuf, Vec<Hit>>,
    hits: usize,
    more: bool,
}

impl Kept {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            results: Mutex::default(),
            full: AtomicBool::new(false),
            closed: AtomicU64::new(0),
            unread: AtomicU64::new(0),
            entries: AtomicU64::new(0),
            unfinished: AtomicBool::new(false),
        }
    }

    fn results(&self) -> MutexGuard<'_, Results> {
        self.results.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a result at `path`, or below it, would still be among the first.
    pub(super) fn wants(&self, path: &Path) -> bool {
        if !self.full.load(Ordering::Relaxed) {
            return true;
        }
        let results = self.results();
        // The last file may have been cut: whether there is more behind it is known by then.
        let last = results.files.keys().next_back();
        last.is_none_or(|last| path < last.as_path()) || !results.more
    }

    /// Takes the results of one file: in the order of lines, and one more than the limit at most.
    pub(super) fn add(&self, path: PathBuf, hits: Vec<Hit>) {
        if hits.is_empty() {
            return;
        }
        let mut results = self.results();
        results.hits += hits.len();
        results.files.insert(path, hits);
        while results.hits > self.limit {
            results.more = true;
            let surplus = results.hits - self.limit;
            let Some(mut last) = results.files.last_entry() else {
                break;
            };
            let kept = last.get().len().saturating_sub(surplus);
            let dropped = last.get().len() - kept;
            last.get_mut().truncate(kept);
            if kept == 0 {
                last.remove();
            }
            results.hits -= dropped;
        }
        if results.hits == self.limit {
            self.full.store(true, Ordering::Relaxed);
        }
    }

    pub(super) fn into_found(self) -> Found {
        let results = self
            .results
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        Found {
            files: results.files.into_iter().collect(),
            more: results.more,
            closed: self.closed.into_inner(),
            unread: self.unread.into_inner(),
            unfinished: self.unfinished.into_inner(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_results_stay_in_whatever_order_they_come() {
        let hit = |line| Hit {
            line,
            text: String::new(),
        };
        let files = [("b", 2), ("a/z", 1), ("a", 1), ("c", 3)];
        let mut seen = Vec::new();
        for turn in 0..files.len() {
            let kept = Kept::new(3);
            let mut order = files;
            order.rotate_left(turn);
            for (path, count) in order {
                if kept.wants(Path::new(path)) {
                    kept.add(path.into(), (1..=count).map(hit).collect());
                }
            }
            seen.push(kept.into_found());
        }
        let paths: Vec<_> = seen[0]
            .files
            .iter()
            .map(|(p, h)| (p.to_str().unwrap(), h.len()))
            .collect();
        assert_eq!(paths, [("a", 1), ("a/z", 1), ("b", 1)]);
        assert!(seen.iter().all(|found| *found == seen[0] && found.more));
    }
}
