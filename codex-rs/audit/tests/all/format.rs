//! The published schema, the counts and the exports, against records as they are written.

use std::fs;
use std::path::{Path, PathBuf};

use codex_audit::export::{CSV_HEADER, csv, ocsf};
use codex_audit::query::{self, Filter, Follow};
use codex_audit::schema::schema;
use codex_audit::stats::Stats;
use codex_protocol::operation::{Evidence, Operation, Outcome};
use codex_protocol::record::{Entry, Recorder};
use codex_protocol::security_profile::SecurityProfile;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::fixture::{denied, entry, lines, log_of, open, records};

/// A log with a record of every operation, allowed and denied, under every profile, with and
/// without what is optional.
fn every_operation() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    let log = open(&path);
    for (n, operation) in Operation::ALL.iter().enumerate() {
        let mut allowed = Entry {
            operation: *operation,
            ..entry("/srv/a")
        };
        allowed.subject.profile = SecurityProfile::ALL[n % 4];
        log.append(&allowed).unwrap();
        log.append(&Entry {
            evidence: Evidence::ALL[n % 3],
            pid: Some(4711),
            exe: Some("/usr/bin/x".to_owned()),
            count: Some(3),
            detail: Some(json!({ "argv": ["x", "y"] })),
            ..denied(*operation, "h.example:443")
        })
        .unwrap();
    }
    (directory, path)
}

/// Whether `record` has the fields that `schema` wants, in its order, each as it says.
fn fits(schema: &Value, record: &Value) -> Result<(), String> {
    let record = record.as_object().ok_or("no object")?;
    let properties = schema["properties"].as_object().unwrap();
    for name in schema["required"].as_array().unwrap() {
        let name = name.as_str().unwrap();
        record.get(name).ok_or(format!("no {name}"))?;
    }
    let mut rest = properties.keys();
    for (name, value) in record {
        rest.find(|n| *n == name)
            .ok_or(format!("{name} is unknown or not in its place"))?;
        let property = &properties[name];
        let fine = property.get("const").is_none_or(|c| c == value)
            && property
                .get("enum")
                .is_none_or(|words| words.as_array().unwrap().contains(value))
            && match property["type"].as_str() {
                Some("string") => value.is_string(),
                Some("integer") => value.as_u64() >= property["minimum"].as_u64(),
                Some("object") => value.is_object(),
                _ => true,
            }
            && match property["pattern"].as_str() {
                Some("^[0-9a-f]{64}$") => value.as_str().is_some_and(|text| {
                    text.len() == 64 && text.bytes().all(|b| b"0123456789abcdef".contains(&b))
                }),
                Some(_) => value.as_str().is_some_and(|text| {
                    let form = "0000-00-00T00:00:00.000Z";
                    text.len() == form.len()
                        && text.bytes().zip(form.bytes()).all(|(b, f)| {
                            if f == b'0' {
                                b.is_ascii_digit()
                            } else {
                                b == f
                            }
                        })
                }),
                None => true,
            };
        if !fine {
            return Err(format!("{name} cannot be {value}"));
        }
    }
    Ok(())
}

#[test]
fn records_of_every_operation_fit_the_schema() {
    let (_directory, path) = every_operation();
    let schema = schema();
    let mut seen = Vec::new();
    for line in lines(&path) {
        let record: Value = serde_json::from_str(&line).unwrap();
        fits(&schema, &record).unwrap_or_else(|e| panic!("{e}: {line}"));
        seen.push(record["operation"].as_str().unwrap().to_owned());
        for (name, value) in [
            ("v", json!(2)),
            ("seq", json!(0)),
            ("operation", json!("x")),
            ("hash", json!("0")),
            ("timestamp", json!("now")),
            ("new", json!(1)),
        ] {
            let mut other = record.clone();
            other[name] = value;
            assert!(fits(&schema, &other).is_err(), "{name}");
        }
    }
    for operation in Operation::ALL {
        assert!(seen.iter().any(|s| s == operation.as_str()), "{operation}");
    }
}

#[test]
fn the_published_schema_is_this_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/audit-record.schema.json");
    let text = format!("{}\n", serde_json::to_string_pretty(&schema()).unwrap());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &text).unwrap();
    }
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        text,
        "run this test with UPDATE_DOCS=1 set to write it anew"
    );
}

#[test]
fn attempts_are_counted_as_often_as_they_came() {
    let (_directory, path) = every_operation();
    let stats = Stats::of(&path, &Filter::default()).unwrap();
    // An allowed read is not recorded.
    assert_eq!(stats.records, 2 * Operation::ALL.len() as u64 - 1);
    let spawns = stats.operations[&Operation::ProcessSpawn];
    assert_eq!((spawns.allowed, spawns.denied), (1, 3));
    assert_eq!(stats.operations[&Operation::FileRead].allowed, 0);
    let denied = 3 * Operation::ALL.len() as u64;
    assert_eq!(stats.denials_by_rule["net.offline"], denied);
    assert_eq!((stats.bad_lines, stats.first.is_some()), (0, true));
}

/// The cells of a line of CSV in which every cell is quoted.
fn cells(line: &str) -> Vec<String> {
    let mut cells = Vec::new();
    let mut rest = line.strip_prefix('"').unwrap();
    let mut cell = String::new();
    loop {
        let (text, after) = rest.split_once('"').unwrap();
        cell.push_str(text);
        let next = after.chars().next();
        match next {
            Some('"') => {
                cell.push('"');
                rest = &after[1..];
            }
            Some(',') => {
                cells.push(std::mem::take(&mut cell));
                rest = after.strip_prefix(",\"").unwrap();
            }
            None => {
                cells.push(cell);
                return cells;
            }
            Some(other) => panic!("{other:?} after a cell: {line}"),
        }
    }
}

#[test]
fn no_cell_of_the_csv_is_a_formula_or_leaves_its_cell() {
    let (_directory, path) = log_of(0);
    let log = open(&path);
    for target in [
        "=1+1",
        "+1",
        "-1",
        "@a",
        "  =1",
        "＝1",
        "a\",\"b",
        "/plain, too",
    ] {
        log.append(&entry(target)).unwrap();
    }
    let columns = CSV_HEADER.split(',').count();
    let expected = [
        "'=1+1",
        "'+1",
        "'-1",
        "'@a",
        "'  =1",
        "'＝1",
        "a\"\",\"\"b",
        "/plain, too",
    ];
    for (record, expected) in records(&path).iter().zip(expected) {
        let line = csv(record);
        let cell = format!(",\"{expected}\",\"allowed\",");
        assert!(line.contains(&cell), "{line}");
        let cells = cells(&line);
        assert_eq!(cells.len(), columns, "{line}");
        assert_eq!(cells[7].trim_start_matches('\''), record.target);
    }
}

#[test]
fn every_record_is_an_ocsf_event_of_its_class() {
    let (_directory, path) = every_operation();
    for record in records(&path) {
        let event = ocsf(&record);
        let class = event["class_uid"].as_u64().unwrap();
        let (expected, object) = match record.operation {
            Operation::FileRead | Operation::FileWrite => (1001, "file"),
            Operation::Privilege => (1003, "kernel"),
            Operation::ProcessSpawn | Operation::ResourceLimit => (1007, "process"),
            Operation::NetworkAccess => (4001, "dst_endpoint"),
            _ => (6003, "api"),
        };
        assert_eq!(class, expected);
        assert!(event[object].is_object(), "{event}");
        assert_eq!(event["category_uid"], class / 1000);
        let activity = event["activity_id"].as_u64().unwrap();
        assert_eq!(event["type_uid"], class * 100 + activity);
        let denied = record.decision == Outcome::Denied;
        assert_eq!(event["action_id"], if denied { 2 } else { 1 });
        assert!(event["time"].as_i64().unwrap() > 1_700_000_000_000);
        assert_eq!(event["unmapped"]["hash"], record.hash);
        if class == 4001 && denied {
            let target = json!({ "hostname": "h.example", "port": 443 });
            assert_eq!(event["dst_endpoint"], target);
        }
    }
}

#[test]
fn the_newest_are_found_from_the_end_over_many_blocks() {
    let (_directory, path) = log_of(0);
    let log = open(&path);
    let long = "/x y".repeat(900);
    for n in 0..300 {
        let target = format!("{n}{long}");
        if n % 100 == 7 {
            log.append(&denied(Operation::Privilege, &target)).unwrap();
        } else {
            log.append(&entry(&target)).unwrap();
        }
    }
    for (denied, limit, expected) in [
        (false, 3, vec![298, 299, 300]),
        (false, 0, vec![]),
        (true, 2, vec![108, 208]),
        (true, 9, vec![8, 108, 208]),
        (false, 1000, (1..=300).collect()),
    ] {
        let filter = Filter {
            denied,
            limit: Some(limit),
            ..Filter::default()
        };
        let mut found = Vec::new();
        query::select(&path, &filter, |row| found.push(row.unwrap().record.seq)).unwrap();
        assert_eq!(found, expected);
    }
    let row = query::find(&path, 208).unwrap().unwrap();
    assert!(row.record.target.starts_with("207/x"));
    assert_eq!(query::find(&path, 301).unwrap(), None);
}

#[test]
fn what_is_appended_is_followed_and_a_cut_is_told() {
    let (_directory, path) = log_of(3);
    let log = open(&path);
    let mut follow = Follow::from_end(&path).unwrap();
    let poll = |follow: &mut Follow| {
        let mut found = Vec::new();
        let polled = follow.poll(|row| found.push(row.unwrap().record.seq));
        polled.map(|()| found)
    };
    assert_eq!(poll(&mut follow).unwrap(), [0; 0]);
    log.append(&entry("a")).unwrap();
    log.append(&entry("b")).unwrap();
    assert_eq!(poll(&mut follow).unwrap(), [4, 5]);
    assert_eq!(poll(&mut follow).unwrap(), [0; 0]);
    let first = fs::read_to_string(&path)
        .unwrap()
        .lines()
        .next()
        .unwrap()
        .len();
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(first as u64 + 1).unwrap();
    let error = poll(&mut follow).unwrap_err().to_string();
    assert!(error.contains("cut or replaced"), "{error}");
}
