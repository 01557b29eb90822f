//! Where a log ends, found without reading all of it.

use std::fs::File;
use std::path::Path;

use crate::Fault;
use crate::chain::{self, Link, START};
use crate::record::MAX_LINE;
use crate::{segments, sys};

/// How much is read at first: several ordinary records.
const FIRST_LOOK: u64 = 4 << 10;
/// The last line and a torn one after it, each as long as lines get.
const MOST: u64 = 2 * (MAX_LINE as u64 + 1);

/// Where a log ends.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Tail {
    /// The last whole record.
    pub(crate) link: Link,
    /// Bytes up to the end of that record.
    pub(crate) whole: u64,
    /// What stands after it: a line that a killed process did not finish. Empty as a rule.
    pub(crate) torn: Vec<u8>,
}

/// Finds the end of the log at `path`, whose own file is `file` with `length` bytes. A file without
/// a record yet goes on from the last one that was closed.
pub(crate) fn read_log(path: &Path, file: &File, length: u64) -> Result<Tail, Fault> {
    let mut tail = read(file, length)?;
    if tail.link == Link::GENESIS
        && let Some((_, closed)) = segments::closed(path)?.last()
    {
        let closed = crate::file::open_to_read(closed)?;
        let length = closed.metadata().map_err(Fault::Read)?.len();
        tail.link = read(&closed, length)?.link;
    }
    Ok(tail)
}

/// Finds the end of the first `length` bytes of `file`.
///
/// A file whose end is no record is refused: it may be anything, and the torn end of it is not
/// ours to move.
pub(crate) fn read(file: &File, length: u64) -> Result<Tail, Fault> {
    let mut look = FIRST_LOOK.min(length);
    loop {
        let from = length - look;
        let mut bytes = vec![0; usize::try_from(look).map_err(|_| Fault::Foreign)?];
        sys::read_exact_at(file, &mut bytes, from).map_err(Fault::Read)?;
        if let Some(tail) = find(&bytes, from)? {
            return Ok(tail);
        }
        if look >= MOST {
            return Err(Fault::Foreign);
        }
        look = (look * 8).min(MOST).min(length);
    }
}

/// Looks for the end in `bytes`, which begin at offset `from` of the file. `None`: more is needed.
fn find(bytes: &[u8], from: u64) -> Result<Option<Tail>, Fault> {
    let line_feed = |bytes: &[u8]| bytes.iter().rposition(|b| *b == b'\n');
    let (lines, torn) = match line_feed(bytes) {
        Some(at) => bytes.split_at(at + 1),
        None if from == 0 => (&[][..], bytes),
        None => return Ok(None),
    };
    // What a killed process left is the beginning of a record.
    let beginning = &torn[..torn.len().min(START.len())];
    if torn.len() > MAX_LINE || !START.starts_with(beginning) {
        return Err(Fault::Foreign);
    }
    let link = match lines.split_last() {
        None => Link::GENESIS,
        Some((_, lines)) => {
            let start = match line_feed(lines) {
                Some(at) => at + 1,
                None if from == 0 => 0,
                None => return Ok(None),
            };
            chain::split(&lines[start..]).ok_or(Fault::Foreign)?.link()
        }
    };
    Ok(Some(Tail {
        link,
        whole: from + lines.len() as u64,
        torn: torn.to_vec(),
    }))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::chain::{GENESIS, seal};

    fn tail_of(bytes: &[u8]) -> Result<Tail, Fault> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        read(&file, bytes.len() as u64)
    }

    fn line(seq: u64, padding: usize) -> (Vec<u8>, Link) {
        let mut line = format!("{{\"v\":1,\"seq\":{seq},\"x\":\"{}\"", "x".repeat(padding));
        let mut bytes = std::mem::take(&mut line).into_bytes();
        let hash = seal(&mut bytes, &GENESIS);
        (bytes, Link { seq, hash })
    }

    #[test]
    fn the_last_record_is_found_however_long_it_is() {
        assert_eq!(tail_of(b"").unwrap().link, Link::GENESIS);
        for padding in [0, 3900, 4096, 40_000, MAX_LINE - 400] {
            for before in [0, 1, 5000] {
                let mut log = line(1, before).0;
                let (last, link) = line(2, padding);
                log.extend_from_slice(&last);
                for torn in ["", "{", "{\"v\":1,\"seq\":3,\"timest"] {
                    let whole = log.len() as u64;
                    let mut log = log.clone();
                    log.extend_from_slice(torn.as_bytes());
                    let torn = torn.as_bytes().to_vec();
                    assert_eq!(tail_of(&log).unwrap(), Tail { link, whole, torn });
                }
            }
        }
    }

    #[test]
    fn a_file_that_is_no_log_is_refused() {
        let (record, _) = line(1, 0);
        let mut after = record.clone();
        after.extend_from_slice(b"notes");
        for foreign in [
            b"notes".as_slice(),
            b"notes\n",
            b"\n",
            &[b'{'; 3],
            &after,
            &[b'\n'; 100],
            &vec![b'a'; 3 * MAX_LINE],
        ] {
            assert!(matches!(tail_of(foreign), Err(Fault::Foreign)));
        }
        let mut endless = START.to_vec();
        endless.resize(3 * MAX_LINE, b'1');
        assert!(matches!(tail_of(&endless), Err(Fault::Foreign)));
    }
}
