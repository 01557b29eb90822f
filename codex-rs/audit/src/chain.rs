//! What binds each line to the one before it.
//!
//! A line is `BODY,"prev":"P","hash":"H"}` and a line feed. `BODY` begins
//! `{"v":1,"seq":N,"timestamp":"…"` and has no closing brace; the rest of the line has a fixed
//! length, so `BODY` is simply everything before it, whatever is in there. `P` and `H` are 64
//! lowercase hexadecimal digits each:
//!
//! * `P` is the `H` of the line before, and 64 zeros in the first line ([`GENESIS`]);
//! * `H` is SHA-256 over the bytes `codex-audit-v1`, a line feed, the 64 digits of `P`, a line
//!   feed, and the bytes of `BODY`.
//!
//! `seq` is 1 in the first line and one more in each line that follows.
//!
//! To check one line of a log without codex:
//!
//! ```text
//! printf 'codex-audit-v1\n%s\n%s' "$P" "$BODY" | sha256sum
//! ```
//!
//! What a chain cannot show: whoever can write the file can rewrite all that follows a line, or
//! cut whole lines off its end. Only a head kept elsewhere shows that; see
//! [`verify::Expected`](crate::verify::Expected).

use ring::digest::{Context, SHA256};

/// Separates these hashes from every other use of SHA-256, and names the format's version.
pub const TAG: &str = "codex-audit-v1\n";

/// Digits in a hash: 256 bits, four a digit.
pub const HASH_LEN: usize = 64;

/// The `prev` of the first line.
pub const GENESIS: Hash = Hash([b'0'; HASH_LEN]);

const PREV: &[u8] = b",\"prev\":\"";
const HASH: &[u8] = b"\",\"hash\":\"";
const END: &[u8] = b"\"}";
/// Bytes from the `,` before `"prev"` to the closing brace.
const LINKS_LEN: usize = PREV.len() + HASH_LEN + HASH.len() + HASH_LEN + END.len();

/// A hash as 64 lowercase hexadecimal digits: compared and stored as it is written.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash([u8; HASH_LEN]);

impl Hash {
    /// Reads 64 lowercase hexadecimal digits.
    #[must_use]
    pub fn from_hex(text: &[u8]) -> Option<Self> {
        let digits: [u8; HASH_LEN] = text.try_into().ok()?;
        // All of them, so that it can be done for many at a time.
        digits
            .iter()
            .fold(true, |all, d| {
                all & ((d.wrapping_sub(b'0') < 10) | (d.wrapping_sub(b'a') < 6))
            })
            .then_some(Self(digits))
    }

    /// The 32 bytes that the digits stand for.
    #[must_use]
    pub fn bytes(&self) -> [u8; HASH_LEN / 2] {
        let value = |digit: u8| match digit {
            b'0'..=b'9' => digit - b'0',
            _ => digit - b'a' + 10,
        };
        let mut bytes = [0; HASH_LEN / 2];
        for (byte, pair) in bytes.iter_mut().zip(self.0.chunks_exact(2)) {
            *byte = value(pair[0]) << 4 | value(pair[1]);
        }
        bytes
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Only digits get in; were it otherwise, an empty text equals no hash.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl std::fmt::Display for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::fmt::Debug for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where a chain stands: what the next line has to follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The number of the last record; 0 before the first.
    pub seq: u64,
    /// Its hash.
    pub hash: Hash,
}

impl Link {
    /// Before the first record.
    pub const GENESIS: Self = Self {
        seq: 0,
        hash: GENESIS,
    };
}

/// The hash of the line that has `body` and follows `prev`.
#[must_use]
pub fn hash(prev: &Hash, body: &[u8]) -> Hash {
    // In one piece: each update has its own cost.
    let mut head = [b'\n'; TAG.len() + HASH_LEN + 1];
    let (tag, rest) = head.split_at_mut(TAG.len());
    tag.copy_from_slice(TAG.as_bytes());
    rest[..HASH_LEN].copy_from_slice(&prev.0);
    let mut sha = Context::new(&SHA256);
    sha.update(&head);
    sha.update(body);
    let mut digits = [0; HASH_LEN];
    for (pair, byte) in digits.chunks_exact_mut(2).zip(sha.finish().as_ref()) {
        pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 0xf)]);
    }
    Hash(digits)
}

fn digit(nibble: u8) -> u8 {
    match nibble {
        0..=9 => b'0' + nibble,
        _ => b'a' + nibble - 10,
    }
}

/// Ends the line whose body is in `line`: appends `prev`, the hash and a line feed.
pub(crate) fn seal(line: &mut Vec<u8>, prev: &Hash) -> Hash {
    let hash = hash(prev, line);
    for part in [PREV, &prev.0, HASH, &hash.0, END, b"\n"] {
        line.extend_from_slice(part);
    }
    hash
}

/// A line taken apart; nothing of it is checked but its shape.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parts<'a> {
    /// What the hash is over, besides `prev`.
    pub(crate) body: &'a [u8],
    /// The record's number.
    pub(crate) seq: u64,
    /// The hash of the line before, as this line gives it.
    pub(crate) prev: Hash,
    /// The line's own hash, as it gives it.
    pub(crate) hash: Hash,
}

impl Parts<'_> {
    /// Whether the line's hash is the hash of the line.
    pub(crate) fn is_sealed(&self) -> bool {
        hash(&self.prev, self.body) == self.hash
    }

    /// What follows this line must follow this.
    pub(crate) fn link(&self) -> Link {
        Link {
            seq: self.seq,
            hash: self.hash,
        }
    }
}

/// Takes `line`, without its line feed, apart. `None` when it has not a record's shape.
pub(crate) fn split(line: &[u8]) -> Option<Parts<'_>> {
    let (body, links) = line.split_at_checked(line.len().checked_sub(LINKS_LEN)?)?;
    let links = links.strip_prefix(PREV)?;
    let (prev, links) = links.split_at_checked(HASH_LEN)?;
    let (hash, end) = links.strip_prefix(HASH)?.split_at_checked(HASH_LEN)?;
    if end != END {
        return None;
    }
    let rest = body.strip_prefix(START)?;
    let digits = rest.split(|b| *b == b',').next()?;
    // No record has leading zeros or a sign; 19 digits keep the number from overflowing.
    if digits.is_empty() || digits.len() > 19 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let seq = digits
        .iter()
        .fold(0, |n: u64, d| n * 10 + u64::from(d - b'0'));
    Some(Parts {
        body,
        seq,
        prev: Hash::from_hex(prev)?,
        hash: Hash::from_hex(hash)?,
    })
}

/// How every line of this version begins.
pub(crate) const START: &[u8] = b"{\"v\":1,\"seq\":";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_what_the_documentation_says() {
        let body = br#"{"v":1,"seq":1,"timestamp":"t","detail":{"x":1,"prev":"y"}"#;
        let mut line = body.to_vec();
        let sealed = seal(&mut line, &GENESIS);
        let text = String::from_utf8(line.clone()).unwrap();
        assert_eq!(
            text,
            format!(
                "{},\"prev\":\"{GENESIS}\",\"hash\":\"{sealed}\"}}\n",
                String::from_utf8_lossy(body)
            )
        );
        // Computed with `printf | sha256sum`, not with this crate.
        assert_eq!(
            sealed.as_str(),
            "b00cbfea7a93342e39f7dfcebd70f7069f54bb9254d4e15ca8b669045eb120bc"
        );
        let parts = split(line.strip_suffix(b"\n").unwrap()).unwrap();
        assert_eq!((parts.body, parts.seq), (&body[..], 1));
        assert_eq!((parts.prev, parts.hash), (GENESIS, sealed));
        assert!(parts.is_sealed());
    }

    #[test]
    fn other_shapes_are_no_records() {
        let mut line = br#"{"v":1,"seq":7,"timestamp":"t""#.to_vec();
        seal(&mut line, &GENESIS);
        line.pop();
        assert!(split(&line).is_some());
        let upper = line.to_ascii_uppercase();
        let no_number = String::from_utf8(line.clone())
            .unwrap()
            .replace(":7,", ":,");
        let huge = String::from_utf8(line.clone())
            .unwrap()
            .replace(":7,", ":99999999999999999999,");
        for other in [
            b"".as_slice(),
            b"{}",
            &line[1..],
            &line[..line.len() - 1],
            &upper,
            no_number.as_bytes(),
            huge.as_bytes(),
        ] {
            assert!(split(other).is_none(), "{}", String::from_utf8_lossy(other));
        }
    }
}
