//! Signed notes and their keys, as <https://c2sp.org/signed-note> has them.
//!
//! A note is a text of whole lines, an empty line, and a line for each signature:
//!
//! ```text
//! — NAME BASE64(key id, 4 bytes, and the Ed25519 signature over the text, 64 bytes)
//! ```
//!
//! A public key is written `NAME+ID+BASE64(0x01 and the key, 32 bytes)`, where `ID` is the first
//! four bytes of SHA-256 over the name, a line feed, `0x01` and the key, in hexadecimal digits. A
//! private key is written `PRIVATE+KEY+NAME+ID+BASE64(0x01 and the seed, 32 bytes)`. Other tools
//! for signed notes read both.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

/// Bytes of a public key, and of the seed that makes a pair.
const KEY_LEN: usize = 32;
const SIGNATURE_LEN: usize = 64;
/// The signed-note specification's number for Ed25519.
const ED25519_TYPE: u8 = 1;
/// Begins a line with a signature: an em dash and a space.
const SIGNATURE_LINE: &str = "— ";
const PRIVATE: &str = "PRIVATE+KEY+";
/// Begins the names of our keys; what follows tells one key from another.
const NAME: &str = "codex-audit-v1/";
/// More signatures than a note of ours ever has: a forged one must not cost more to read.
const MOST_SIGNATURES: usize = 4;

/// What checks the signatures of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    name: String,
    id: [u8; 4],
    bytes: [u8; KEY_LEN],
}

/// A text that is no public key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no key: give it as `codex audit key` prints it, NAME+ID+KEY")]
pub struct BadKey(pub String);

impl PublicKey {
    fn new(name: String, bytes: [u8; KEY_LEN]) -> Self {
        let mut hashed = name.clone().into_bytes();
        hashed.extend_from_slice(&[b'\n', ED25519_TYPE]);
        hashed.extend_from_slice(&bytes);
        let hash = digest(&SHA256, &hashed);
        let mut id = [0; 4];
        for (to, from) in id.iter_mut().zip(hash.as_ref()) {
            *to = *from;
        }
        Self { name, id, bytes }
    }

    /// Reads the form that [`fmt::Display`] writes.
    ///
    /// # Errors
    /// When it is none, of another algorithm, or its id is not its own.
    pub fn parse(text: &str) -> Result<Self, BadKey> {
        let read = || {
            // A key in base64 may have a `+` in it.
            let mut parts = text.splitn(3, '+');
            let (name, id, key) = (parts.next()?, parts.next()?, parts.next()?);
            let key = Self::new(checked_name(name)?.to_owned(), key_bytes(key)?);
            (id == hex(key.id)).then_some(key)
        };
        read().ok_or_else(|| BadKey(text.to_owned()))
    }

    /// The key's name, which has no space and no `+`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether `note` has a signature of this key over its text.
    #[must_use]
    pub fn signed(&self, note: &Note<'_>) -> bool {
        let own = note
            .signatures
            .iter()
            .find(|s| s.name == self.name && s.id == self.id);
        own.is_some_and(|own| {
            UnparsedPublicKey::new(&ED25519, &self.bytes)
                .verify(note.text.as_bytes(), &own.signature)
                .is_ok()
        })
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}+{}+{}",
            self.name,
            hex(self.id),
            encoded_key(&self.bytes)
        )
    }
}

/// What makes signatures. Shows nothing of itself.
pub struct PrivateKey {
    pair: Ed25519KeyPair,
    seed: [u8; KEY_LEN],
    public: PublicKey,
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({})", self.public.name)
    }
}

impl PrivateKey {
    /// A new key. `None`: the system gives no random numbers.
    #[must_use]
    pub fn generate() -> Option<Self> {
        let mut seed = [0; KEY_LEN];
        SystemRandom::new().fill(&mut seed).ok()?;
        Self::from_seed(seed, None)
    }

    fn from_seed(seed: [u8; KEY_LEN], name: Option<&str>) -> Option<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).ok()?;
        let public: [u8; KEY_LEN] = pair.public_key().as_ref().try_into().ok()?;
        let name = match name {
            Some(name) => name.to_owned(),
            None => {
                let hash = digest(&SHA256, &public);
                let digits = hash.as_ref().iter().take(8).map(|b| format!("{b:02x}"));
                format!("{NAME}{}", digits.collect::<String>())
            }
        };
        Some(Self {
            pair,
            seed,
            public: PublicKey::new(name, public),
        })
    }

    /// Reads the form that [`PrivateKey::to_text`] writes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix(PRIVATE)?.splitn(3, '+');
        let (name, id, seed) = (parts.next()?, parts.next()?, parts.next()?);
        let key = Self::from_seed(key_bytes(seed)?, Some(checked_name(name)?))?;
        (id == hex(key.public.id)).then_some(key)
    }

    /// The key in one line, without a line feed: a secret.
    #[must_use]
    pub fn to_text(&self) -> String {
        let (name, id) = (&self.public.name, hex(self.public.id));
        format!("{PRIVATE}{name}+{id}+{}", encoded_key(&self.seed))
    }

    /// The other half.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The line that signs `text`, with its line feed.
    #[must_use]
    pub fn sign(&self, text: &str) -> String {
        let mut bytes = self.public.id.to_vec();
        bytes.extend_from_slice(self.pair.sign(text.as_bytes()).as_ref());
        let signature = STANDARD.encode(bytes);
        format!("{SIGNATURE_LINE}{} {signature}\n", self.public.name)
    }
}

/// A note that was taken apart. Nothing of it is checked but its form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note<'n> {
    /// What is signed: whole lines.
    pub text: &'n str,
    signatures: Vec<Signature<'n>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Signature<'n> {
    name: &'n str,
    id: [u8; 4],
    signature: [u8; SIGNATURE_LEN],
}

impl<'n> Note<'n> {
    /// Takes `note` apart. `None`: it has not the form of one.
    #[must_use]
    pub fn parse(note: &'n str) -> Option<Self> {
        let end = note.rfind("\n\n")?;
        let (text, lines) = (note.get(..=end)?, note.get(end + 2..)?);
        let mut signatures = Vec::new();
        for line in lines.strip_suffix('\n')?.split('\n') {
            if signatures.len() == MOST_SIGNATURES {
                return None;
            }
            let (name, signature) = line.strip_prefix(SIGNATURE_LINE)?.split_once(' ')?;
            let bytes = STANDARD.decode(signature).ok()?;
            let (id, signature) = bytes.split_first_chunk()?;
            signatures.push(Signature {
                name: checked_name(name)?,
                id: *id,
                signature: signature.try_into().ok()?,
            });
        }
        Some(Self { text, signatures })
    }
}

/// A name is neither empty nor does it have what separates it from its neighbours.
fn checked_name(name: &str) -> Option<&str> {
    let fine = !name.is_empty() && !name.contains(|c: char| c == '+' || c.is_whitespace());
    fine.then_some(name)
}

fn hex(id: [u8; 4]) -> String {
    format!("{:08x}", u32::from_be_bytes(id))
}

fn encoded_key(bytes: &[u8; KEY_LEN]) -> String {
    STANDARD.encode([&[ED25519_TYPE], bytes.as_slice()].concat())
}

fn key_bytes(text: &str) -> Option<[u8; KEY_LEN]> {
    match STANDARD.decode(text).ok()?.split_first()? {
        (&ED25519_TYPE, key) => key.try_into().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the specification's text, not made by this crate.
    const PUBLISHED_KEY: &str =
        "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
    const PUBLISHED: &str = "This is an example message.\n\n— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";

    #[test]
    fn the_published_example_is_read_and_its_signature_holds() {
        let key = PublicKey::parse(PUBLISHED_KEY).unwrap();
        assert_eq!(key.to_string(), PUBLISHED_KEY);
        let note = Note::parse(PUBLISHED).unwrap();
        assert_eq!(note.text, "This is an example message.\n");
        assert!(key.signed(&note));
        let changed = PUBLISHED.replace("message", "massage");
        assert!(!key.signed(&Note::parse(&changed).unwrap()));
    }

    #[test]
    fn a_new_key_signs_and_is_read_back_and_no_other_key_takes_its_place() {
        let key = PrivateKey::generate().unwrap();
        let other = PrivateKey::generate().unwrap();
        assert_ne!(key.public(), other.public());
        let again = PrivateKey::parse(&key.to_text()).unwrap();
        assert_eq!(again.public(), key.public());
        assert_eq!(
            PublicKey::parse(&key.public().to_string()).as_ref(),
            Ok(key.public())
        );
        let text = "a\nb\n";
        let signed = format!("{text}\n{}", key.sign(text));
        let note = Note::parse(&signed).unwrap();
        assert!(key.public().signed(&note) && !other.public().signed(&note));
        let both = format!("{signed}{}", other.sign(text));
        let note = Note::parse(&both).unwrap();
        assert!(key.public().signed(&note) && other.public().signed(&note));
        let named = format!("{key:?}");
        assert!(
            named.len() < 60 && !key.to_text().contains(&named),
            "{named}"
        );
    }

    #[test]
    fn what_is_no_key_and_no_note_is_refused() {
        for text in [
            "",
            "a+b",
            "example.com/foo+530d903b+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
            "example.com/fo o+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
            "example.com/foo+530d903a+BekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
            "example.com/foo+530d903a+Aeky",
        ] {
            assert!(PublicKey::parse(text).is_err(), "{text}");
            assert!(PrivateKey::parse(&format!("{PRIVATE}{text}")).is_none());
        }
        let line = PUBLISHED.lines().last().unwrap();
        for note in [
            "".to_owned(),
            "\n\n".to_owned(),
            PUBLISHED.trim_end().to_owned(),
            PUBLISHED.replace("— ", "- "),
            PUBLISHED.replace("Uw2Q", "Uw2"),
            PUBLISHED.replace("\n\n", "\n"),
            format!("{PUBLISHED}{}", format!("{line}\n").repeat(MOST_SIGNATURES)),
        ] {
            assert!(Note::parse(&note).is_none(), "{note}");
        }
    }
}
