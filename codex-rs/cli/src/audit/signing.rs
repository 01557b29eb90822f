//! `codex audit verify` and `key`: whether the log is whole, and by whose signature.

use std::process::ExitCode;

use codex_audit::chain::Hash;
use codex_audit::checkpoint::Signatures;
use codex_audit::key::public_key;
use codex_audit::note::PublicKey;
use codex_audit::verify::{self, Expected, Verdict, Whole};
use serde_json::json;

use crate::args::{AuditKey, AuditVerify, Global, Grants};
use crate::failure::{Failure, Kind, OrFail as _};
use crate::print::{self, Painter, Style};
use crate::setup;

pub(super) fn key(global: &Global, args: &AuditKey) -> Result<ExitCode, Failure> {
    let key = if args.new {
        setup::change_audit_key(global, &Grants::default())?
    } else {
        let file = setup::key_file()?;
        public_key(&file).or_fail(Kind::Work)?.ok_or_else(|| {
            Failure::work(format!(
                "there is no key in '{}' yet; the first run makes it, or `codex audit key --new`",
                file.display()
            ))
        })?
    };
    if args.json {
        print::data(&json!({ "v": 1, "key": key.to_string() }).to_string());
    } else {
        print::data(&key.to_string());
    }
    Ok(ExitCode::SUCCESS)
}

/// The keys that one of those that sign the log has to be: those that were named, else the one
/// that is here.
fn expected_keys(global: &Global, args: &AuditVerify) -> Result<Vec<PublicKey>, Failure> {
    if !args.key.is_empty() {
        let keys = args.key.iter().map(|text| PublicKey::parse(text));
        return keys.collect::<Result<_, _>>().or_fail(Kind::Usage);
    }
    match public_key(&setup::key_file()?) {
        Ok(key) => Ok(key.into_iter().collect()),
        Err(error) => {
            print::warning(
                global.color,
                &format!("{error}; without it, any key that signs the log is taken"),
            );
            Ok(Vec::new())
        }
    }
}

pub(super) fn verify(global: &Global, args: &AuditVerify) -> Result<ExitCode, Failure> {
    let head = args.expect_head.as_deref().map(|text| {
        Hash::from_hex(text.as_bytes()).ok_or_else(|| {
            Failure::usage(format!(
                "'{text}' is no head: give 64 hexadecimal digits, as `codex audit head` prints them"
            ))
        })
    });
    let expected = Expected {
        head: head.transpose()?,
        min_seq: args.min_seq,
        keys: expected_keys(global, args)?,
        partial: args.partial,
    };
    let path = setup::audit_path(global)?;
    let verdict = verify::verify(&path, &expected).or_fail(Kind::Work)?;
    let painter = Painter::for_stdout(global.color);
    match verdict {
        Verdict::Whole(whole) => {
            if args.json {
                print::data(&document(&whole));
            } else {
                print::data(&format!(
                    "{}: {} records, the last is {}, head {}",
                    painter.paint(Style::Good, "whole"),
                    whole.records,
                    whole.last_seq,
                    whole.head
                ));
                for line in limits(&whole, &expected) {
                    print::data(&line);
                }
            }
            Ok(ExitCode::SUCCESS)
        }
        Verdict::Broken(broken) => {
            if args.json {
                print::data(&json!({ "v": 1, "whole": false, "file": broken.file, "line": broken.line, "seq": broken.seq, "damage": broken.what.as_str(), "message": broken.message }).to_string());
            } else {
                print::data(&format!(
                    "{}: {} ({})",
                    painter.paint(Style::Bad, broken.what.as_str()),
                    broken.message,
                    broken.file.display()
                ));
            }
            Ok(ExitCode::from(1))
        }
    }
}

fn document(whole: &Whole) -> String {
    let Signatures {
        checkpoints,
        signed_to,
        key,
        changes,
    } = &whole.signatures;
    let changes: Vec<_> = changes
        .iter()
        .map(|c| json!({ "seq": c.seq, "key": c.key.to_string(), "vouched": c.vouched }))
        .collect();
    json!({
        "v": 1, "whole": true, "records": whole.records, "last_seq": whole.last_seq,
        "head": whole.head.as_str(), "checkpoints": checkpoints, "signed_to": signed_to,
        "key": key.as_ref().map(ToString::to_string), "key_changes": changes,
    })
    .to_string()
}

/// What is signed, and what a whole log does not prove.
fn limits(whole: &Whole, expected: &Expected) -> Vec<String> {
    let signatures = &whole.signatures;
    let mut lines = Vec::new();
    match &signatures.key {
        Some(key) => lines.push(format!(
            "signed up to record {} by {} ({} checkpoints)",
            signatures.signed_to,
            key.name(),
            signatures.checkpoints
        )),
        None => {
            lines.push("not signed: whoever can write the file can rewrite all of it".to_owned())
        }
    }
    for change in &signatures.changes {
        let how = if change.vouched {
            "as the key before it says"
        } else {
            "and no key before it says so: was it lost?"
        };
        lines.push(format!(
            "from record {} on {} signs, {how}",
            change.seq,
            change.key.name()
        ));
    }
    if signatures.key.is_some() && expected.keys.is_empty() {
        lines.push(
            "not proved: that the key is yours; give the one that you kept elsewhere with --key"
                .to_owned(),
        );
    }
    if expected.head.is_none() && expected.min_seq.is_none() {
        lines.push(
            "not proved: that nothing was cut off the end, nor anything against whoever can read the key; keep heads elsewhere for --expect-head (codex audit head)"
                .to_owned(),
        );
    }
    lines
}
