//! Making a conversation shorter when it comes near the model's window.
//!
//! What stays after a summary is one message: the notes of `AGENTS.md`, the newest of what the
//! person said, and the summary. No call is left, so none is without its output.

use codex_protocol::model::{Content, Item};

use crate::{agents_md, window};

/// What the model is asked for when its conversation is to be replaced.
pub(crate) const REQUEST: &str = "\
The conversation is near the limit of what you can read, and will be replaced by your summary of it. \
Call no tool. Write what you need to finish the task without the conversation: the task and what the \
user decided; what is done, with the names of files and commands; what was found out; what is left, \
in order, and the next step. Be exact and brief.";

/// How a summary begins in the conversation that goes on from it.
const OPENING: &str = "<summary>\n";

/// How much of what the person said is kept, in tokens, at most.
const MOST_KEPT: u64 = 20_000;

/// What stands in the place of an output that was dropped.
const DROPPED: &str = "[this output was dropped to make room; make the call again if it is needed]";

/// What stands in the place of an image that was dropped.
const IMAGE_DROPPED: &str = "[an image was dropped to make room; view it again if it is needed]";

/// What stands where text was cut out.
const CUT: &str = "\n[… cut: longer than the model's window allows …]\n";

/// The conversation that goes on from a summary of `items`.
pub(crate) fn replacement(items: &[Item], summary: &str, window: u64) -> Vec<Item> {
    let texts = || {
        items.iter().flat_map(|item| match item {
            Item::User { content } => content.as_slice(),
            _ => &[],
        })
    };
    let notes = texts().find(
        |part| matches!(part, Content::Text { text } if text.starts_with(agents_md::OPENING)),
    );
    let mut left = (window / 8).min(MOST_KEPT);
    let mut kept = Vec::new();
    for part in texts().rev() {
        // An image has been looked at; the summary says what it showed.
        let Content::Text { text } = part else {
            continue;
        };
        if text.starts_with(agents_md::OPENING)
            || text.starts_with(OPENING)
            || text == IMAGE_DROPPED
        {
            continue;
        }
        let size = window::of_text(text);
        let whole = size <= left;
        let text = if whole { text.clone() } else { cut(text, left) };
        left = left.saturating_sub(size);
        kept.push(Content::Text { text });
        if !whole {
            break;
        }
    }
    kept.extend(notes.cloned());
    kept.reverse();
    let summary = cut(summary, window / 4);
    kept.push(Content::Text {
        text: format!(
            "{OPENING}What came before was replaced by this summary, which you wrote:\n{summary}\n</summary>\nGo on from here."
        ),
    });
    vec![Item::User { content: kept }]
}

/// Makes `items` take at most `budget` tokens as far as that can be done without taking a call
/// from its output: the oldest outputs are dropped, then the oldest images, then the longest texts are cut. Tells whether
/// anything changed.
pub(crate) fn shrink(items: &mut [Item], budget: u64) -> bool {
    let mut size = window::of_items(items);
    let mut changed = false;
    for item in items.iter_mut() {
        if size <= budget {
            return changed;
        }
        let before = window::of_item(item);
        match item {
            Item::ToolOutput { output, .. } if output.len() > DROPPED.len() => {
                DROPPED.clone_into(output);
            }
            _ => continue,
        }
        size -= before - window::of_item(item);
        changed = true;
    }
    for item in items.iter_mut() {
        let Item::User { content } = item else {
            continue;
        };
        for part in content {
            if size <= budget {
                return changed;
            }
            if !matches!(part, Content::Image { .. }) {
                continue;
            }
            *part = Content::Text {
                text: IMAGE_DROPPED.to_owned(),
            };
            size -= window::IMAGE - window::of_text(IMAGE_DROPPED);
            changed = true;
        }
    }
    for item in items.iter_mut() {
        let Item::User { content } = item else {
            continue;
        };
        for part in content {
            let Content::Text { text } = part else {
                continue;
            };
            let over = size.saturating_sub(budget);
            let before = window::of_text(text);
            if over == 0 || before < 256 {
                continue;
            }
            *text = cut(text, before.saturating_sub(over).max(128));
            let after = window::of_text(text);
            changed |= after < before;
            size -= before.saturating_sub(after);
        }
    }
    changed
}

/// The beginning and the end of `text`, of `tokens` tokens about, with a notice between.
fn cut(text: &str, tokens: u64) -> String {
    let most = usize::try_from(tokens.saturating_mul(3)).unwrap_or(usize::MAX);
    if text.len() <= most {
        return text.to_owned();
    }
    let half = most.saturating_sub(CUT.len()) / 2;
    let head = text
        .get(..text.floor_char_boundary(half))
        .unwrap_or_default();
    let tail = text
        .get(text.ceil_char_boundary(text.len() - half)..)
        .unwrap_or_default();
    format!("{head}{CUT}{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use codex_protocol::tool::ToolCall;

    fn call(id: &str) -> Item {
        Item::ToolCall {
            call: ToolCall {
                call_id: id.to_owned(),
                name: "shell".to_owned(),
                arguments: "{}".to_owned(),
                text: false,
            },
            native: None,
        }
    }

    fn output(id: &str, length: usize) -> Item {
        Item::ToolOutput {
            call_id: id.to_owned(),
            output: "é".repeat(length / 2),
            success: true,
            text: false,
        }
    }

    fn texts(items: &[Item]) -> Vec<&str> {
        let parts = items.iter().flat_map(|i| match i {
            Item::User { content } => content.as_slice(),
            _ => &[],
        });
        parts
            .filter_map(|p| match p {
                Content::Text { text } => Some(text.as_str()),
                Content::Image { .. } => None,
            })
            .collect()
    }

    #[test]
    fn a_summary_of_a_summary_keeps_the_notes_and_what_the_person_said_once() {
        let notes = format!("{}x</agents_md>", agents_md::OPENING);
        let first = Item::User {
            content: vec![
                Content::Text {
                    text: notes.clone(),
                },
                Content::Text {
                    text: "task".to_owned(),
                },
            ],
        };
        let once = replacement(&[first, call("a"), output("a", 50)], "one", 100_000);
        let mut more = once;
        more.push(Item::user("next"));
        let twice = replacement(&more, "two", 100_000);
        assert_eq!(twice.len(), 1);
        let texts = texts(&twice);
        assert_eq!(texts[..3], [notes.as_str(), "task", "next"]);
        assert!(texts[3].starts_with(OPENING) && texts[3].contains("two"));
        assert!(!texts[3].contains("one\n"));
        assert_eq!(texts.len(), 4);
    }

    #[test]
    fn the_newest_is_kept_and_what_is_too_long_is_cut_with_a_notice() {
        let items = [Item::user("old".repeat(9_000)), Item::user("new")];
        let kept = replacement(&items, &"s".repeat(90_000), 8_000);
        let texts = texts(&kept);
        assert!(texts[0].contains(CUT) && texts[1] == "new");
        assert!(
            window::of_items(&kept) < 4_000,
            "{}",
            window::of_items(&kept)
        );
    }

    #[test]
    fn the_oldest_outputs_go_first_and_every_call_keeps_one() {
        let mut items = vec![
            Item::user("task"),
            call("a"),
            output("a", 30_000),
            call("b"),
            output("b", 3_000),
        ];
        assert!(shrink(&mut items, 2_000));
        assert!(window::of_items(&items) <= 2_000);
        assert!(matches!(&items[2], Item::ToolOutput { output, .. } if output == DROPPED));
        assert_eq!(items[4], output("b", 3_000));
        assert!(!shrink(&mut items, 2_000), "there is nothing left to do");
    }

    #[test]
    fn the_oldest_images_go_before_text_is_cut_and_leave_no_word_of_the_person() {
        let image = || Content::Image {
            media_type: "image/png".to_owned(),
            data: "AAAA".to_owned(),
        };
        let mut items = vec![
            Item::user("task"),
            call("a"),
            output("a", 40),
            Item::User {
                content: vec![image(), image(), image()],
            },
        ];
        assert!(shrink(&mut items, 4_000));
        assert!(window::of_items(&items) <= 4_000);
        let Item::User { content } = &items[3] else {
            panic!()
        };
        assert_eq!(content[2], image(), "the newest stays");
        assert_eq!(texts(&items), ["task", IMAGE_DROPPED, IMAGE_DROPPED]);
        let kept = replacement(&items, "sum", 100_000);
        let texts = texts(&kept);
        assert!(
            texts[0] == "task" && texts[1].starts_with(OPENING),
            "{texts:?}"
        );
    }

    #[test]
    fn a_message_larger_than_the_window_is_cut() {
        let mut items = vec![Item::user("é".repeat(60_000))];
        assert!(shrink(&mut items, 2_000));
        assert!(window::of_items(&items) <= 2_000);
        assert!(texts(&items)[0].contains(CUT));
    }
}
