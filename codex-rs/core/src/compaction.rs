//! When a session makes its conversation shorter, and how it goes on.

use codex_protocol::event::ItemDetails;
use codex_protocol::model::{Item, ModelError, ModelErrorKind, Usage};

use crate::session::{Answer, Session, TurnError};
use crate::store::Line;
use crate::{compact, window};

impl Session {
    /// The next answer of the model. The conversation is made shorter before it where it is near
    /// the window, and once more where the provider finds it too long all the same.
    pub(crate) async fn answer(&mut self, usage: &mut Usage) -> Result<Answer, TurnError> {
        let most = window::threshold(self.parts.context_window);
        if self.tokens() > most {
            self.compact(usage).await?;
        }
        let schema = self.parts.output_schema.as_ref();
        let schema = schema.map(|schema| schema.value().clone());
        match self
            .ask_model(self.parts.items.clone(), schema.clone())
            .await
        {
            Err(TurnError::Model(ModelError {
                kind: ModelErrorKind::ContextTooLong,
                ..
            })) => {
                self.compact(usage).await?;
                self.ask_model(self.parts.items.clone(), schema).await
            }
            other => other,
        }
    }

    /// Replaces the conversation by the model's own summary of it and the newest of what the
    /// person said. Where no summary can be had, the oldest outputs of tools are dropped instead.
    /// The front end is told, and the session's file says what was kept. What the summary takes
    /// is added to `usage`.
    ///
    /// # Errors
    /// When the request is not permitted, or cannot be recorded or saved.
    pub async fn compact(&mut self, usage: &mut Usage) -> Result<(), TurnError> {
        let before = self.tokens();
        let limit = self.parts.context_window;
        let mut asked = self.parts.items.clone();
        let request = Item::user(compact::REQUEST);
        // Only what does not fit any more is touched, so that the provider's cache keeps its hits.
        if before > window::threshold(limit) + limit / 20 {
            let room = window::threshold(limit).saturating_sub(self.fixed_tokens());
            compact::shrink(&mut asked, room.saturating_sub(window::of_item(&request)));
        }
        asked.push(request);
        let (items, how) = match self.ask_model(asked, None).await {
            Ok(answer) => {
                usage.add(answer.usage);
                match summary(&answer.items) {
                    Some(text) => (
                        compact::replacement(&self.parts.items, &text, limit),
                        "its older part was replaced by a summary".to_owned(),
                    ),
                    None => self.shrunk("the model gave no summary"),
                }
            }
            Err(TurnError::Model(error)) => self.shrunk(&format!("no summary: {error}")),
            Err(other) => return Err(other),
        };
        self.save(&Line::Compacted {
            items: items.clone(),
        })?;
        self.parts.items = items;
        self.counted = None;
        let after = self.tokens();
        let message = format!(
            "the conversation came near the model's window ({before} of {limit} tokens, estimated): {how}; {after} now"
        );
        let shown = self.parts.permissions.items();
        shown.completed(shown.new_id(), ItemDetails::Error { message });
        Ok(())
    }

    /// The conversation with its oldest outputs dropped, and how that came.
    fn shrunk(&self, why: &str) -> (Vec<Item>, String) {
        let mut items = self.parts.items.clone();
        let room = window::threshold(self.parts.context_window).saturating_sub(self.fixed_tokens());
        let how = if compact::shrink(&mut items, room / 2) {
            format!("{why}, so the oldest outputs of tools were dropped and long texts cut")
        } else {
            format!("{why}, and nothing in it can be dropped")
        };
        (items, how)
    }

    /// How many tokens the next request has: what the provider counted last, and an estimate of
    /// what came since.
    fn tokens(&self) -> u64 {
        let items = &self.parts.items;
        match self.counted {
            Some((held, counted)) if held <= items.len() => {
                counted + window::of_items(items.get(held..).unwrap_or_default())
            }
            _ => self.fixed_tokens() + window::of_items(items),
        }
    }

    /// What every request takes beside the conversation: instructions and tools, estimated.
    fn fixed_tokens(&self) -> u64 {
        let tools = self.parts.tools.iter().map(|tool| {
            let spec = self.described(tool.spec());
            window::of_text(&format!("{spec:?}"))
        });
        window::of_text(&self.parts.instructions) + tools.sum::<u64>()
    }
}

/// The text of an answer, if it has any.
fn summary(items: &[Item]) -> Option<String> {
    let texts: Vec<&str> = items
        .iter()
        .filter_map(|item| match item {
            Item::Assistant { text, .. } => Some(text.trim()),
            _ => None,
        })
        .filter(|text| !text.is_empty())
        .collect();
    (!texts.is_empty()).then(|| texts.join("\n\n"))
}
