//! Calls put together from fragments, which servers cut and mark in different ways.

use codex_protocol::model::{Item, Native};
use codex_protocol::tool::ToolCall;
use serde_json::{Map, Value};

use super::{NAME, made_up_id};
use crate::fault::Fault;

/// The most calls of one answer: as many as the tools that OpenAI lets a request offer.
const MOST_CALLS: usize = 128;

/// The calls of one answer.
#[derive(Default)]
pub(super) struct Calls(Vec<Call>);

/// A call, as far as it came.
#[derive(Default)]
struct Call {
    index: Option<u64>,
    id: String,
    name: String,
    arguments: String,
    end: ObjectEnd,
    /// Fields that this wire does not name, such as Gemini's `extra_content` with a signature.
    extra: Map<String, Value>,
}

/// A fragment's known fields.
struct Fragment<'a> {
    index: Option<u64>,
    id: &'a str,
    name: &'a str,
    /// A server that sends an object sends it whole.
    arguments: String,
}

impl<'a> Fragment<'a> {
    fn of(value: &'a Value) -> Self {
        let function = &value["function"];
        Self {
            index: value["index"].as_u64(),
            id: value["id"].as_str().unwrap_or_default(),
            name: function["name"].as_str().unwrap_or_default(),
            arguments: match &function["arguments"] {
                Value::String(text) => text.clone(),
                Value::Null => String::new(),
                other => other.to_string(),
            },
        }
    }
}

impl Calls {
    /// Takes a fragment. `extra` are its fields that this wire does not name.
    pub(super) fn add(&mut self, value: &Value, extra: Map<String, Value>) -> Result<(), Fault> {
        let fragment = Fragment::of(value);
        let at = match self.find(&fragment) {
            Some(at) => at,
            None if fragment.index.is_none()
                && fragment.id.is_empty()
                && fragment.name.is_empty() =>
            {
                return Err(Fault::malformed(
                    "a fragment of the stream belongs to no tool call",
                ));
            }
            None if self.0.len() == MOST_CALLS => {
                return Err(Fault::malformed(format!(
                    "the answer has more than {MOST_CALLS} tool calls"
                )));
            }
            None => {
                self.0.push(Call {
                    index: fragment.index,
                    ..Call::default()
                });
                self.0.len() - 1
            }
        };
        let call = &mut self.0[at];
        // The first id stays: some servers send another one with each fragment.
        if call.id.is_empty() {
            call.id.push_str(fragment.id);
        }
        if call.name != fragment.name {
            call.name.push_str(fragment.name);
        }
        call.extra.extend(extra);
        call.argue(&fragment.arguments);
        Ok(())
    }

    /// The call that a fragment continues; `None` where it begins one.
    fn find(&self, fragment: &Fragment<'_>) -> Option<usize> {
        let by = |is: &dyn Fn(&Call) -> bool| self.0.iter().rposition(is);
        let at = if let Some(index) = fragment.index {
            by(&|call| call.index == Some(index))
        } else if !fragment.id.is_empty() {
            by(&|call| call.id == fragment.id)
                // An id of the fragment's own.
                .or_else(|| {
                    self.0
                        .len()
                        .checked_sub(1)
                        .filter(|_| fragment.name.is_empty())
                })
        } else {
            self.0.len().checked_sub(1)
        };
        at.filter(|&at| !self.0[at].is_over_before(fragment))
    }

    /// The calls of a complete answer. `seed` tells answers apart where ids must be made up.
    pub(super) fn finish(self, seed: &str) -> Result<Vec<Item>, Fault> {
        let mut ids: Vec<String> = Vec::new();
        let mut items = Vec::new();
        for (at, call) in self.0.into_iter().enumerate() {
            if call.name.is_empty() {
                return Err(Fault::malformed("a tool call of the stream has no name"));
            }
            let mut id = call.id;
            if id.is_empty() || ids.contains(&id) {
                id = made_up_id(&format!("{seed}/{at}/{}/{}", call.name, call.arguments));
            }
            ids.push(id.clone());
            let arguments = if call.arguments.trim().is_empty() {
                "{}".to_owned()
            } else {
                call.arguments
            };
            items.push(Item::ToolCall {
                call: ToolCall {
                    call_id: id,
                    name: call.name,
                    arguments,
                    text: false,
                },
                native: (!call.extra.is_empty()).then(|| Native {
                    wire: NAME.to_owned(),
                    value: Value::Object(call.extra),
                }),
            });
        }
        Ok(items)
    }
}

impl Call {
    /// Whether the fragment begins another call, at the same place: some servers give every call
    /// the index 0, or none.
    fn is_over_before(&self, fragment: &Fragment<'_>) -> bool {
        let renamed = fragment.name != self.name;
        if fragment.name.is_empty() {
            false
        } else if !fragment.id.is_empty() && !self.id.is_empty() {
            // Other servers make up an id for each fragment, but name the call only once.
            fragment.id != self.id && (renamed || self.end.reached)
        } else {
            let more = !fragment.arguments.trim().is_empty()
                && fragment.arguments != self.arguments
                && self.arguments != "{}";
            self.end.reached && (renamed || more)
        }
    }

    fn argue(&mut self, piece: &str) {
        // What is whole already is repeated by some servers; others begin with an empty object
        // before they send what belongs into it.
        if self.end.reached && !piece.trim().is_empty() {
            if piece == self.arguments {
                return;
            }
            if self.arguments == "{}" {
                self.arguments.clear();
                self.end = ObjectEnd::default();
            }
        }
        self.arguments.push_str(piece);
        self.end.pass(piece);
    }
}

/// Watches for the brace that ends an object, in pieces of JSON text.
#[derive(Default)]
struct ObjectEnd {
    depth: usize,
    in_string: bool,
    escaped: bool,
    reached: bool,
}

impl ObjectEnd {
    fn pass(&mut self, piece: &str) {
        for byte in piece.bytes() {
            if self.escaped {
                self.escaped = false;
                continue;
            }
            match byte {
                b'\\' => self.escaped = self.in_string,
                b'"' => self.in_string = !self.in_string,
                b'{' if !self.in_string => self.depth += 1,
                b'}' if !self.in_string => {
                    self.reached |= self.depth == 1;
                    self.depth = self.depth.saturating_sub(1);
                }
                _ => {}
            }
        }
    }
}
