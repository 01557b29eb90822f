//! Reading OTLP's messages, by the field numbers of opentelemetry-proto 1.x.
//!
//! Written from the definitions, not from what codex writes: `tests/observability.rs` of the binary
//! compares it with what a collector of others' makes of the same.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// Attributes by their keys.
pub type Attributes = BTreeMap<String, Value>;

/// A span as it was received.
#[derive(Clone, Debug, PartialEq)]
pub struct ReceivedSpan {
    /// In hexadecimal digits, as the other ids.
    pub trace_id: String,
    /// Its id.
    pub span_id: String,
    /// Its parent's id; empty where there is none.
    pub parent_id: String,
    /// Its name.
    pub name: String,
    /// 1 for internal, 3 for client.
    pub kind: u64,
    /// Nanoseconds since 1970.
    pub start: u64,
    /// Nanoseconds since 1970.
    pub end: u64,
    /// Its attributes.
    pub attributes: Attributes,
    /// The names and attributes of its events.
    pub events: Vec<(String, Attributes)>,
    /// 0 unset, 1 ok, 2 error.
    pub status: u64,
    /// Its flags.
    pub flags: u64,
    /// Whom it is from.
    pub resource: Attributes,
    /// The name of the scope.
    pub scope: String,
}

/// A metric as it was received.
#[derive(Clone, Debug, PartialEq)]
pub struct ReceivedMetric {
    /// Its name.
    pub name: String,
    /// What it says.
    pub description: String,
    /// Its unit.
    pub unit: String,
    /// `sum` or `histogram`.
    pub kind: &'static str,
    /// 1 for delta, 2 for cumulative.
    pub temporality: u64,
    /// Whether a sum only grows.
    pub monotonic: bool,
    /// One for each combination of attributes.
    pub points: Vec<ReceivedPoint>,
    /// Whom it is from.
    pub resource: Attributes,
}

/// A point of a metric.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReceivedPoint {
    /// Its attributes.
    pub attributes: Attributes,
    /// Nanoseconds since 1970.
    pub start: u64,
    /// Nanoseconds since 1970.
    pub time: u64,
    /// The sum: of a sum a whole number.
    pub sum: f64,
    /// How many values a distribution has.
    pub count: u64,
    /// How many in each bucket.
    pub buckets: Vec<u64>,
    /// The buckets' upper bounds.
    pub bounds: Vec<f64>,
    /// The smallest value.
    pub min: f64,
    /// The largest value.
    pub max: f64,
}

impl ReceivedMetric {
    /// The point with these attributes.
    ///
    /// # Panics
    /// When there is none.
    #[track_caller]
    pub fn point(&self, attributes: &Value) -> &ReceivedPoint {
        let found = self
            .points
            .iter()
            .find(|p| json!(p.attributes) == *attributes);
        found.unwrap_or_else(|| panic!("no point {attributes} in {self:#?}"))
    }
}

#[derive(Clone, Copy)]
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Field<'a> {
    #[track_caller]
    fn number(self) -> u64 {
        match self {
            Self::Number(number) => number,
            Self::Bytes(bytes) => panic!("{bytes:?} where a number belongs"),
        }
    }

    #[track_caller]
    fn bytes(self) -> &'a [u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Number(number) => panic!("{number} where bytes belong"),
        }
    }

    #[track_caller]
    fn text(self) -> String {
        String::from_utf8(self.bytes().to_vec()).expect("text is UTF-8")
    }

    #[track_caller]
    fn double(self) -> f64 {
        f64::from_bits(self.number())
    }
}

#[track_caller]
fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first().expect("a varint ends");
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return value;
        }
    }
    panic!("a varint has ten bytes at most");
}

#[track_caller]
fn take<'a>(bytes: &mut &'a [u8], length: u64) -> &'a [u8] {
    let length = usize::try_from(length).expect("a length");
    let (taken, rest) = bytes.split_at_checked(length).expect("a field is whole");
    *bytes = rest;
    taken
}

/// The fields of a message, in order.
#[track_caller]
fn fields(mut bytes: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes);
        let field = match tag & 7 {
            0 => Field::Number(varint(&mut bytes)),
            1 => Field::Number(eight(take(&mut bytes, 8))),
            2 => {
                let length = varint(&mut bytes);
                Field::Bytes(take(&mut bytes, length))
            }
            5 => {
                let mut padded = [0; 8];
                padded[..4].copy_from_slice(take(&mut bytes, 4));
                Field::Number(u64::from_le_bytes(padded))
            }
            form => panic!("form {form} is none of protocol buffers'"),
        };
        fields.push((tag >> 3, field));
    }
    fields
}

fn eight(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes.try_into().expect("eight bytes"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A `KeyValue`.
#[track_caller]
fn attribute(bytes: &[u8]) -> (String, Value) {
    let (mut key, mut value) = (String::new(), Value::Null);
    for (number, field) in fields(bytes) {
        match number {
            1 => key = field.text(),
            2 => {
                for (form, field) in fields(field.bytes()) {
                    value = match form {
                        1 => json!(field.text()),
                        2 => json!(field.number() == 1),
                        3 => json!(field.number().cast_signed()),
                        4 => json!(field.double()),
                        other => panic!("a value of form {other}"),
                    };
                }
            }
            other => panic!("a KeyValue has no field {other}"),
        }
    }
    (key, value)
}

/// The parts of a request: whom it is from, the scope's name, and each span or metric.
#[track_caller]
fn items(request: &[u8]) -> Vec<(Attributes, String, &[u8])> {
    let mut found = Vec::new();
    for (number, all) in fields(request) {
        assert_eq!(number, 1, "a request has one field");
        let all = fields(all.bytes());
        let mut resource = Attributes::new();
        for (_, field) in all.iter().filter(|(number, _)| *number == 1) {
            for (number, field) in fields(field.bytes()) {
                assert_eq!(number, 1, "a resource has attributes");
                resource.extend([attribute(field.bytes())]);
            }
        }
        for (_, scoped) in all.iter().filter(|(number, _)| *number == 2) {
            let mut scope = String::new();
            for (number, field) in fields(scoped.bytes()) {
                match number {
                    1 => {
                        for (number, field) in fields(field.bytes()) {
                            if number == 1 {
                                scope = field.text();
                            }
                        }
                    }
                    2 => found.push((resource.clone(), scope.clone(), field.bytes())),
                    3 => {}
                    other => panic!("a scope has no field {other}"),
                }
            }
        }
    }
    found
}

/// The spans of an `ExportTraceServiceRequest`.
///
/// # Panics
/// When it is none.
#[track_caller]
pub fn spans(request: &[u8]) -> Vec<ReceivedSpan> {
    let mut spans = Vec::new();
    for (resource, scope, bytes) in items(request) {
        let mut span = ReceivedSpan {
            trace_id: String::new(),
            span_id: String::new(),
            parent_id: String::new(),
            name: String::new(),
            kind: 0,
            start: 0,
            end: 0,
            attributes: Attributes::new(),
            events: Vec::new(),
            status: 0,
            flags: 0,
            resource,
            scope,
        };
        for (number, field) in fields(bytes) {
            match number {
                1 => span.trace_id = hex(field.bytes()),
                2 => span.span_id = hex(field.bytes()),
                3 => {}
                4 => span.parent_id = hex(field.bytes()),
                5 => span.name = field.text(),
                6 => span.kind = field.number(),
                7 => span.start = field.number(),
                8 => span.end = field.number(),
                9 => span.attributes.extend([attribute(field.bytes())]),
                10 | 12 | 14 => {}
                11 => span.events.push(event(field.bytes())),
                15 => {
                    for (number, field) in fields(field.bytes()) {
                        if number == 3 {
                            span.status = field.number();
                        }
                    }
                }
                16 => span.flags = field.number(),
                other => panic!("a span has no field {other}"),
            }
        }
        spans.push(span);
    }
    spans
}

fn event(bytes: &[u8]) -> (String, Attributes) {
    let (mut name, mut attributes) = (String::new(), Attributes::new());
    for (number, field) in fields(bytes) {
        match number {
            1 | 4 => {}
            2 => name = field.text(),
            3 => attributes.extend([attribute(field.bytes())]),
            other => panic!("an event has no field {other}"),
        }
    }
    (name, attributes)
}

/// The metrics of an `ExportMetricsServiceRequest`.
///
/// # Panics
/// When it is none.
#[track_caller]
pub fn metrics(request: &[u8]) -> Vec<ReceivedMetric> {
    let mut metrics = Vec::new();
    for (resource, _, bytes) in items(request) {
        let mut metric = ReceivedMetric {
            name: String::new(),
            description: String::new(),
            unit: String::new(),
            kind: "",
            temporality: 0,
            monotonic: false,
            points: Vec::new(),
            resource,
        };
        for (number, field) in fields(bytes) {
            match number {
                1 => metric.name = field.text(),
                2 => metric.description = field.text(),
                3 => metric.unit = field.text(),
                7 | 9 => {
                    metric.kind = if number == 7 { "sum" } else { "histogram" };
                    for (number, field) in fields(field.bytes()) {
                        match number {
                            1 => metric.points.push(point(field.bytes(), metric.kind)),
                            2 => metric.temporality = field.number(),
                            3 => metric.monotonic = field.number() == 1,
                            other => panic!("a {} has no field {other}", metric.kind),
                        }
                    }
                }
                12 => {}
                other => panic!("a metric of form {other}"),
            }
        }
        metrics.push(metric);
    }
    metrics
}

/// A `NumberDataPoint` or a `HistogramDataPoint`.
fn point(bytes: &[u8], kind: &str) -> ReceivedPoint {
    let mut point = ReceivedPoint::default();
    for (number, field) in fields(bytes) {
        match (kind, number) {
            (_, 2) => point.start = field.number(),
            (_, 3) => point.time = field.number(),
            ("sum", 4) => point.sum = field.double(),
            ("sum", 6) => point.sum = field.number().cast_signed() as f64,
            ("sum", 7) | ("histogram", 9) => point.attributes.extend([attribute(field.bytes())]),
            ("histogram", 4) => point.count = field.number(),
            ("histogram", 5) => point.sum = field.double(),
            ("histogram", 6) => point.buckets = field.bytes().chunks(8).map(eight).collect(),
            ("histogram", 7) => {
                let bits = field.bytes().chunks(8).map(eight);
                point.bounds = bits.map(f64::from_bits).collect();
            }
            ("histogram", 11) => point.min = field.double(),
            ("histogram", 12) => point.max = field.double(),
            (_, 8 | 10) => {}
            (kind, other) => panic!("a point of a {kind} has no field {other}"),
        }
    }
    point
}

/// An answer that rejects a part: `ExportTracePartialSuccess`, and the same for metrics.
pub(crate) fn rejection(count: u8, why: &str) -> Vec<u8> {
    assert!(count < 0x80 && why.len() < 0x70, "one byte holds them");
    let text = u8::try_from(why.len()).expect("checked above");
    let partial = [&[0x08, count, 0x12, text][..], why.as_bytes()].concat();
    let length = u8::try_from(partial.len()).expect("checked above");
    [&[0x0a, length][..], &partial].concat()
}
