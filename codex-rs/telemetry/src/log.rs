//! The structured log on stderr: a line for each event and for each span that ends.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, json};
use tracing::{Level, Metadata};
use tracing_subscriber::filter::Targets;

use crate::value::{Value, Values};

/// What a line looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// For people.
    #[default]
    Text,
    /// A JSON object.
    Json,
}

/// What is logged, and how.
#[derive(Clone, Debug)]
pub struct Log {
    /// Which targets from which level on, as `RUST_LOG` says.
    pub targets: Targets,
    /// The form of a line.
    pub form: Form,
}

impl Log {
    /// Reads `RUST_LOG`'s directives: `LEVEL` or `TARGET=LEVEL`, separated by commas.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn parse(directives: &str, form: Form) -> Result<Self, String> {
        let targets = directives.parse().map_err(|error| {
            format!("{error}; give levels, or TARGET=LEVEL, with commas between")
        })?;
        Ok(Self { targets, form })
    }

    pub(crate) fn takes(&self, metadata: &Metadata<'_>) -> bool {
        self.targets
            .would_enable(metadata.target(), metadata.level())
    }

    /// Writes a line. `context` are the attributes of the span around it that it does not have
    /// itself.
    pub(crate) fn write(&self, line: &Line<'_>) {
        let mut text = match self.form {
            Form::Text => people(line),
            Form::Json => machine(line),
        };
        text.push('\n');
        // That nobody reads it is no failure.
        let _ = std::io::stderr().lock().write_all(text.as_bytes());
    }
}

/// What one line says. Every text in it is masked already.
pub(crate) struct Line<'a> {
    pub(crate) time: Timestamp,
    pub(crate) level: Level,
    pub(crate) target: &'a str,
    pub(crate) message: &'a str,
    /// The name of the span.
    pub(crate) span: Option<&'a str>,
    /// How long the span took, where it has ended.
    pub(crate) took: Option<Duration>,
    pub(crate) values: &'a Values,
    pub(crate) context: Option<&'a Values>,
}

impl Line<'_> {
    fn time(&self) -> String {
        format!("{:.3}", self.time)
    }

    fn fields(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        let around = self.context.into_iter().flat_map(Values::iter);
        let around = around.filter(|(name, _)| {
            crate::catalog::EVERY_SPAN.contains(name) && self.values.get(name).is_none()
        });
        self.values.iter().chain(around)
    }
}

fn people(line: &Line<'_>) -> String {
    let mut text = format!(
        "{} {:>5} {} {}",
        line.time(),
        line.level,
        line.target,
        line.message
    );
    // Writing to a `String` cannot fail.
    if let Some(span) = line.span {
        let _ = write!(text, " span={span}");
    }
    if let Some(took) = line.took {
        let _ = write!(text, " duration={:.6}s", took.as_secs_f64());
    }
    for (name, value) in line.fields() {
        let _ = match value {
            Value::Text(t) if t.is_empty() || t.contains([' ', '"', '=']) => {
                write!(text, " {name}={t:?}")
            }
            value => write!(text, " {name}={value}"),
        };
    }
    text
}

fn machine(line: &Line<'_>) -> String {
    let mut object = Map::new();
    object.insert("v".to_owned(), json!(1));
    object.insert("timestamp".to_owned(), json!(line.time()));
    object.insert("level".to_owned(), json!(line.level.as_str()));
    object.insert("logger".to_owned(), json!(line.target));
    object.insert("message".to_owned(), json!(line.message));
    if let Some(span) = line.span {
        object.insert("span".to_owned(), json!(span));
    }
    if let Some(took) = line.took {
        object.insert("duration".to_owned(), json!(took.as_secs_f64()));
    }
    for (name, value) in line.fields() {
        let value = match value {
            Value::Text(text) => json!(text),
            Value::Number(number) => json!(number),
        };
        object.insert(name.to_owned(), value);
    }
    serde_json::Value::Object(object).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{PROFILE, RULE, TASK};

    fn values(pairs: &[(&'static str, &str)]) -> Values {
        let mut values = Values::default();
        for (name, text) in pairs {
            values.set(name, Value::Text((*text).to_owned()));
        }
        values
    }

    #[test]
    fn a_line_has_what_the_span_around_it_says() {
        let own = values(&[(RULE, "net.offline"), ("target", "a b")]);
        let around = values(&[
            (TASK, "t"),
            (PROFILE, "Offline"),
            (RULE, "other"),
            ("seq", "1"),
        ]);
        let line = Line {
            time: Timestamp::UNIX_EPOCH,
            level: Level::WARN,
            target: "codex::audit",
            message: "denied",
            span: Some("execute_tool"),
            took: Some(Duration::from_millis(1500)),
            values: &own,
            context: Some(&around),
        };
        assert_eq!(
            people(&line),
            "1970-01-01T00:00:00.000Z  WARN codex::audit denied span=execute_tool duration=1.500000s \
             rule=net.offline target=\"a b\" task_id=t profile=Offline"
        );
        let object: serde_json::Value = serde_json::from_str(&machine(&line)).unwrap();
        assert_eq!(
            object,
            json!({
                "v": 1, "timestamp": "1970-01-01T00:00:00.000Z", "level": "WARN",
                "logger": "codex::audit", "message": "denied", "span": "execute_tool",
                "duration": 1.5, "rule": "net.offline", "target": "a b", "task_id": "t",
                "profile": "Offline"
            })
        );
    }

    #[test]
    fn directives_are_read_and_refused_with_a_reason() {
        assert!(Log::parse("info,codex::audit=debug", Form::Text).is_ok());
        let error = Log::parse("codex[span{x}]=what", Form::Json).unwrap_err();
        assert!(error.contains("TARGET=LEVEL"), "{error}");
    }
}
