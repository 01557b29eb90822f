//! The files that one log consists of.
//!
//! Records go to the log's own file. When that is full it is closed: it gets the name
//! `LOG.N`, where `N` is the number of its first record in twelve digits, and a new file takes its
//! place, whose first record follows its last. So the names sort as the records do. Closed files
//! are never written to, renamed or removed by codex.
//!
//! A file is closed in steps of which each leaves a whole log behind if it is the last:
//!
//! 1. `LOG.next` is written with the record that follows;
//! 2. the log's file gets its second name, `LOG.N`;
//! 3. `LOG.next` is renamed to the log's own name, and so takes it from the closed file.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::chain::START;
use crate::{Fault, file, sys};

/// Digits in the name of a closed file.
const DIGITS: usize = 12;

/// Where the file of `log` that begins with record `first` goes when it is closed.
pub(crate) fn closed_name(log: &Path, first: u64) -> PathBuf {
    beside(log, &format!(".{first:0DIGITS$}"))
}

/// Where the file that is to follow is written.
pub(crate) fn next_name(log: &Path) -> PathBuf {
    beside(log, ".next")
}

fn beside(log: &Path, ending: &str) -> PathBuf {
    let mut name = log.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// How a file begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Beginning {
    /// The number of its first record.
    pub(crate) seq: u64,
    /// When that was written, in whole seconds since 1970.
    pub(crate) second: i64,
}

/// How `file` begins; `None` if it has no record yet.
pub(crate) fn beginning(file: &File) -> Result<Option<Beginning>, Fault> {
    /// More than the two first fields take.
    const LOOK: usize = 128;
    let length = file.metadata().map_err(Fault::Read)?.len();
    let mut bytes = [0; LOOK];
    let bytes = match usize::try_from(length) {
        Ok(0) => return Ok(None),
        Ok(length) if length < LOOK => &mut bytes[..length],
        _ => &mut bytes[..],
    };
    sys::read_exact_at(file, bytes, 0).map_err(Fault::Read)?;
    let rest = bytes.strip_prefix(START).ok_or(Fault::Foreign)?;
    let fields = || {
        let (seq, rest) = std::str::from_utf8(rest).ok()?.split_once(',')?;
        let time = rest.strip_prefix("\"timestamp\":\"")?.split('"').next()?;
        let time: jiff::Timestamp = time.parse().ok()?;
        Some(Beginning {
            seq: seq.parse().ok()?,
            second: time.as_second(),
        })
    };
    fields().map(Some).ok_or(Fault::Foreign)
}

/// The closed files of `log`, oldest first.
pub(crate) fn closed(log: &Path) -> Result<Vec<(u64, PathBuf)>, Fault> {
    let directory = match log.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let Some(name) = log.file_name() else {
        return Ok(Vec::new());
    };
    let entries = match fs::read_dir(directory) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(Fault::Directory)?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(Fault::Directory)?;
        if let Some(first) = first_of(&entry.file_name(), name) {
            found.push((first, directory.join(entry.file_name())));
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// The number in `name`, if it is that of a closed file of the log called `log`.
fn first_of(name: &OsStr, log: &OsStr) -> Option<u64> {
    let digits = name
        .as_encoded_bytes()
        .strip_prefix(log.as_encoded_bytes())?;
    let digits = digits.strip_prefix(b".")?;
    if digits.len() < DIGITS || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The files of a log as it stands now.
#[derive(Debug)]
pub(crate) struct Segments {
    /// The closed ones, oldest first, each with the number that its name gives it.
    pub(crate) closed: Vec<(u64, PathBuf)>,
    /// The one that is written to, and how long it is.
    pub(crate) open: File,
    pub(crate) length: u64,
}

impl Segments {
    /// Looks them up. What is appended or closed meanwhile is left out.
    pub(crate) fn of(log: &Path) -> Result<Self, Fault> {
        loop {
            let open = file::open_to_read(log)?;
            let length = crate::reader::length(&open)?;
            let own = open.metadata().map_err(Fault::Read)?;
            let mut closed = closed(log)?;
            if !file::is_at(&open, log)? {
                // It was closed meanwhile: the list may have it, and not what follows it.
                continue;
            }
            // It has its second name already where closing it was broken off.
            closed.retain(|(_, path)| {
                let other = path.symlink_metadata();
                other.map_or(true, |other| !sys::is_same(&other, &own))
            });
            return Ok(Self {
                closed,
                open,
                length,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closed_files_are_known_by_their_names() {
        let log = Path::new("/x/audit.jsonl");
        let name = closed_name(log, 1234);
        assert_eq!(name, Path::new("/x/audit.jsonl.000000001234"));
        let first = |name: &str| first_of(OsStr::new(name), OsStr::new("audit.jsonl"));
        assert_eq!(first("audit.jsonl.000000001234"), Some(1234));
        assert_eq!(first("audit.jsonl.1234567890123"), Some(1_234_567_890_123));
        for other in [
            "audit.jsonl",
            "audit.jsonl.next",
            "audit.jsonl.torn-1",
            "audit.jsonl.1234",
            "audit.jsonl.00000000123x",
            "other.jsonl.000000001234",
        ] {
            assert_eq!(first(other), None, "{other}");
        }
    }
}
