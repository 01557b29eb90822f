//! A setting's value, checked against its kind.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use codex_protocol::hosts::{HostRule, HostRuleError};
use codex_protocol::secrets::PathPattern;
use toml::de::DeValue;

use super::key::Kind;
use super::text::{alternatives, excerpt};
use super::words::ApprovalPolicy;

/// More than any wait that makes sense: a week, in seconds.
const MOST_SECONDS: f64 = 604_800.0;

/// A value that fits its key's kind.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Text(String),
    Word(&'static str),
    Switch(bool),
    Whole(u64),
    Seconds(Duration),
    Texts(Vec<String>),
    Path(PathBuf),
    Paths(Vec<PathBuf>),
    Patterns(Vec<PathPattern>),
    Raw(toml::Value),
}

/// What paths in a source are relative to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Base<'a> {
    /// Absolute.
    pub(super) folder: &'a Path,
    pub(super) home: Option<&'a Path>,
}

/// What is wrong with a value, in words that go on after the key's name, and the part of the
/// source that it concerns if that is not the whole value.
#[derive(Debug)]
pub(super) struct Complaint {
    pub(super) at: Option<Range<usize>>,
    pub(super) what: String,
}

impl From<String> for Complaint {
    fn from(what: String) -> Self {
        Self { at: None, what }
    }
}

/// Reads `value` as `kind`. Values are only repeated in a complaint where the kind is a choice of
/// words, for anything else may be a secret.
pub(super) fn check(kind: Kind, value: &DeValue<'_>, base: Base<'_>) -> Result<Value, Complaint> {
    match kind {
        Kind::Text => text(value).map(|text| Value::Text(text.to_owned())),
        Kind::Url => url(text(value)?).map(Value::Text),
        Kind::Word(words, aliases) => word(value, words, aliases).map(Value::Word),
        Kind::Approval if value.is_table() => Ok(Value::Word(ApprovalPolicy::OnRequest.word())),
        Kind::Approval => {
            word(value, ApprovalPolicy::WORDS, ApprovalPolicy::ALIASES).map(Value::Word)
        }
        Kind::Switch => match value.as_bool() {
            Some(on) => Ok(Value::Switch(on)),
            None => Err(not_a("true or false", value)),
        },
        Kind::Whole(least, most) => whole(value, least, most).map(Value::Whole),
        Kind::Seconds => seconds(value).map(Value::Seconds),
        Kind::Texts => list(value, |text| Ok(text.to_owned())).map(Value::Texts),
        Kind::Variables => list(value, variable).map(Value::Texts),
        Kind::Hosts => list(value, host).map(Value::Texts),
        Kind::Path => path(text(value)?, base)
            .map(Value::Path)
            .map_err(Complaint::from),
        Kind::Paths => list(value, |text| path(text, base)).map(Value::Paths),
        Kind::Patterns => list(value, |text| pattern(text, base)).map(Value::Patterns),
        Kind::Raw => Ok(Value::Raw(raw(value))),
    }
}

/// What a value of `kind` is, for people.
pub(super) fn expected(kind: Kind) -> String {
    match kind {
        Kind::Text => "a string".to_owned(),
        Kind::Url => "an http or https URL".to_owned(),
        Kind::Word(words, _) => alternatives(words),
        Kind::Approval => alternatives(ApprovalPolicy::WORDS),
        Kind::Switch => "true or false".to_owned(),
        Kind::Whole(least, most) => format!("a whole number from {least} to {most}"),
        Kind::Seconds => format!("seconds from 0 to {MOST_SECONDS}"),
        Kind::Texts => "a list of strings".to_owned(),
        Kind::Variables => "a list of variable names, which may hold '*'".to_owned(),
        Kind::Hosts => "a list of hosts".to_owned(),
        Kind::Path => "a path".to_owned(),
        Kind::Paths => "a list of paths".to_owned(),
        Kind::Patterns => "a list of paths, of which the last part may hold '*'".to_owned(),
        Kind::Raw => "any value".to_owned(),
    }
}

/// That a value is of another type than `expected`.
pub(super) fn not_a(expected: &str, value: &DeValue<'_>) -> Complaint {
    let vowel = matches!(value, DeValue::Integer(_) | DeValue::Array(_));
    let article = if vowel { "an" } else { "a" };
    format!("is {article} {}; expected {expected}", value.type_str()).into()
}

fn text<'v>(value: &'v DeValue<'_>) -> Result<&'v str, Complaint> {
    match value.as_str() {
        Some("") => Err("is empty; give a value, or remove the key"
            .to_owned()
            .into()),
        Some(text) => Ok(text),
        None => Err(not_a("a string", value)),
    }
}

fn word(
    value: &DeValue<'_>,
    words: &'static [&'static str],
    aliases: &'static [(&'static str, &'static str)],
) -> Result<&'static str, Complaint> {
    let expected = alternatives(words);
    let Some(text) = value.as_str() else {
        return Err(not_a(&expected, value));
    };
    let alias = aliases.iter().find(|(alias, _)| *alias == text);
    let text = alias.map_or(text, |(_, word)| *word);
    let known = words.iter().find(|word| **word == text);
    known
        .copied()
        .ok_or_else(|| format!("is {}; expected {expected}", excerpt(text)).into())
}

fn whole(value: &DeValue<'_>, least: u64, most: u64) -> Result<u64, Complaint> {
    let expected = format!("a whole number from {least} to {most}");
    let Some(integer) = value.as_integer() else {
        return Err(not_a(&expected, value));
    };
    u64::from_str_radix(integer.as_str(), integer.radix())
        .ok()
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| format!("is out of range; expected {expected}").into())
}

fn seconds(value: &DeValue<'_>) -> Result<Duration, Complaint> {
    let number = match value {
        DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix())
            .ok()
            .map(|n| n as f64),
        DeValue::Float(float) => float.as_str().parse::<f64>().ok(),
        other => return Err(not_a("seconds", other)),
    };
    number
        .filter(|n| (0.0..=MOST_SECONDS).contains(n))
        .and_then(|n| Duration::try_from_secs_f64(n).ok())
        .ok_or_else(|| format!("is out of range; expected seconds from 0 to {MOST_SECONDS}").into())
}

fn list<T>(
    value: &DeValue<'_>,
    each: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, Complaint> {
    let Some(array) = value.as_array() else {
        return Err(not_a("a list of strings", value));
    };
    let item = |item: &toml::Spanned<DeValue<'_>>| {
        let read = text(item.get_ref()).and_then(|text| each(text).map_err(Complaint::from));
        read.map_err(|complaint| Complaint {
            at: Some(item.span()),
            what: format!("has an item that {}", complaint.what),
        })
    };
    array.iter().map(item).collect()
}

fn url(text: &str) -> Result<String, Complaint> {
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    let clean = !text.chars().any(|c| c.is_control() || c.is_whitespace());
    match rest {
        Some(rest) if clean && !rest.is_empty() && !rest.starts_with('/') => {
            Ok(text.trim_end_matches('/').to_owned())
        }
        _ => Err(
            "is no URL; expected one that begins with http:// or https://"
                .to_owned()
                .into(),
        ),
    }
}

fn variable(text: &str) -> Result<String, String> {
    if text.contains(['?', '[', '{', '=', '\0']) {
        return Err("is no name of a variable; only '*' stands for other characters".to_owned());
    }
    Ok(text.to_owned())
}

fn host(text: &str) -> Result<String, String> {
    let scheme = text.find("://").map_or(0, |at| at + 3);
    let end = text[scheme..]
        .find('/')
        .map_or(text.len(), |at| scheme + at);
    let (host, path) = text.split_at(end);
    // Schemes and names are alike in any case, paths are not.
    let rule = format!("{}{path}", host.to_ascii_lowercase());
    match HostRule::parse(&rule) {
        Ok(_) => Ok(rule),
        Err(HostRuleError::WildcardTooWide(_)) => {
            Err("names many people's hosts; a '*.' stands before a domain of one owner".to_owned())
        }
        Err(HostRuleError::Malformed(_)) => Err(
            "is no host; expected HOST, HOST:PORT, HOST/PATH or *.DOMAIN, or that after http:// or https://"
                .to_owned(),
        ),
    }
}

/// `text` as an absolute path.
fn path(text: &str, base: Base<'_>) -> Result<PathBuf, String> {
    if text.contains('\0') {
        return Err("holds a NUL, which no path does".to_owned());
    }
    let at_home = match text.strip_prefix('~') {
        Some("") => Some(""),
        Some(rest) if rest.starts_with('/') => Some(rest.trim_start_matches('/')),
        Some(_) => {
            return Err("begins with '~' and a name; write the home directory out".to_owned());
        }
        None => None,
    };
    match (at_home, base.home) {
        (None, _) => Ok(base.folder.join(text)),
        (Some(""), Some(home)) => Ok(home.to_owned()),
        (Some(rest), Some(home)) => Ok(home.join(rest)),
        (Some(_), None) => Err("begins with '~', but there is no home directory".to_owned()),
    }
}

fn pattern(text: &str, base: Base<'_>) -> Result<PathPattern, String> {
    let path = path(text, base)?;
    let pattern = PathPattern::exactly(&path)
        .ok_or_else(|| "names no file; expected a path below '/'".to_owned())?;
    if pattern.parent.to_string_lossy().contains('*') {
        return Err("has a '*' before its last part; only the last part may hold one".to_owned());
    }
    Ok(pattern)
}

/// `value` without its places. Its depth is bounded by the parser.
fn raw(value: &DeValue<'_>) -> toml::Value {
    match value {
        DeValue::String(text) => toml::Value::String(text.clone().into_owned()),
        DeValue::Integer(integer) => match i64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(number) => toml::Value::Integer(number),
            Err(_) => toml::Value::String(integer.as_str().to_owned()),
        },
        DeValue::Float(float) => toml::Value::Float(float.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(on) => toml::Value::Boolean(*on),
        DeValue::Datetime(when) => toml::Value::Datetime(*when),
        DeValue::Array(array) => {
            toml::Value::Array(array.iter().map(|item| raw(item.get_ref())).collect())
        }
        DeValue::Table(table) => toml::Value::Table(
            table
                .iter()
                .map(|(name, item)| (name.get_ref().clone().into_owned(), raw(item.get_ref())))
                .collect(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: Kind, source: &str) -> Result<Value, String> {
        let base = Base {
            folder: Path::new("/here"),
            home: Some(Path::new("/home/ada")),
        };
        let value = DeValue::parse(source).unwrap();
        check(kind, value.get_ref(), base).map_err(|complaint| complaint.what)
    }

    #[test]
    fn values_are_read_as_their_kind() {
        let texts = |texts: &[&str]| Value::Texts(texts.iter().map(|t| (*t).to_owned()).collect());
        for (kind, source, expected) in [
            (Kind::Text, "'x'", Value::Text("x".to_owned())),
            (
                Kind::Url,
                "'https://a.example/v1/'",
                Value::Text("https://a.example/v1".to_owned()),
            ),
            (
                Kind::Word(&["a", "b"], &[("c", "b")]),
                "'c'",
                Value::Word("b"),
            ),
            (Kind::Approval, "'on-failure'", Value::Word("on-request")),
            (
                Kind::Approval,
                "{ granular = { rules = true } }",
                Value::Word("on-request"),
            ),
            (Kind::Switch, "true", Value::Switch(true)),
            (Kind::Whole(1, 100), "0x10", Value::Whole(16)),
            (Kind::Whole(0, 100_000), "10_000", Value::Whole(10_000)),
            (
                Kind::Seconds,
                "1.5",
                Value::Seconds(Duration::from_millis(1500)),
            ),
            (Kind::Seconds, "2", Value::Seconds(Duration::from_secs(2))),
            (Kind::Variables, "['A_*']", texts(&["A_*"])),
            (Kind::Hosts, "['Docs.RS']", texts(&["docs.rs"])),
            (Kind::Path, "'~/x'", Value::Path("/home/ada/x".into())),
            (Kind::Path, "'x'", Value::Path("/here/x".into())),
            (
                Kind::Paths,
                "['/x', '~']",
                Value::Paths(vec!["/x".into(), "/home/ada".into()]),
            ),
            (
                Kind::Raw,
                "{ a = [1] }",
                Value::Raw("a = [1]".parse::<toml::Table>().unwrap().into()),
            ),
        ] {
            assert_eq!(read(kind, source), Ok(expected), "{kind:?} {source}");
        }
        let Ok(Value::Patterns(patterns)) = read(Kind::Patterns, "['~/keys/*.pem']") else {
            panic!("no pattern");
        };
        assert!(patterns[0].matches(Path::new("/home/ada/keys/a.pem")));
        assert!(!patterns[0].matches(Path::new("/home/ada/keys/a.pub")));
    }

    #[test]
    fn other_values_are_refused_with_what_to_write() {
        for (kind, source, expected) in [
            (Kind::Text, "1", "is an integer; expected a string"),
            (
                Kind::Text,
                "''",
                "is empty; give a value, or remove the key",
            ),
            (Kind::Switch, "'yes'", "is a string; expected true or false"),
            (
                Kind::Whole(1, 5),
                "0",
                "is out of range; expected a whole number from 1 to 5",
            ),
            (
                Kind::Whole(1, 5),
                "-1",
                "is out of range; expected a whole number from 1 to 5",
            ),
            (
                Kind::Whole(1, 5),
                "99999999999999999999999",
                "is out of range; expected a whole number from 1 to 5",
            ),
            (
                Kind::Seconds,
                "nan",
                "is out of range; expected seconds from 0 to 604800",
            ),
            (
                Kind::Seconds,
                "-1",
                "is out of range; expected seconds from 0 to 604800",
            ),
            (
                Kind::Word(&["a", "b"], &[]),
                "'c'",
                "is \"c\"; expected a or b",
            ),
            (
                Kind::Approval,
                "'maybe'",
                "is \"maybe\"; expected untrusted, on-request or never",
            ),
            (
                Kind::Texts,
                "'x'",
                "is a string; expected a list of strings",
            ),
            (
                Kind::Texts,
                "['x', 1]",
                "has an item that is an integer; expected a string",
            ),
            (
                Kind::Url,
                "'ftp://x'",
                "is no URL; expected one that begins with http:// or https://",
            ),
            (
                Kind::Hosts,
                "['ftp://x']",
                "has an item that is no host; expected HOST, HOST:PORT, HOST/PATH or *.DOMAIN, or that after http:// or https://",
            ),
            (
                Kind::Variables,
                "['A?']",
                "has an item that is no name of a variable; only '*' stands for other characters",
            ),
            (
                Kind::Path,
                "'~bob/x'",
                "begins with '~' and a name; write the home directory out",
            ),
            (
                Kind::Path,
                r#""a\u0000""#,
                "holds a NUL, which no path does",
            ),
            (
                Kind::Patterns,
                "['/a*/b']",
                "has an item that has a '*' before its last part; only the last part may hold one",
            ),
            (
                Kind::Patterns,
                "['/']",
                "has an item that names no file; expected a path below '/'",
            ),
        ] {
            assert_eq!(
                read(kind, source),
                Err(expected.to_owned()),
                "{kind:?} {source}"
            );
        }
    }
}
