//! How many tokens models take, and how many a conversation has.

use codex_protocol::model::{Content, Item};

/// The window of a model that nobody knows: what current local models have at least. A larger one
/// is only compacted earlier than need be.
pub const FALLBACK: u64 = 32_768;

/// Windows by the beginning of the model's name (after a `vendor/`), the longest match first
/// within a family. Sources: the vendors' model pages and the `max_position_embeddings` of the
/// published `config.json`, where several sizes of a family differ the smallest.
const WINDOWS: &[(&str, u64)] = &[
    // platform.openai.com/docs/models
    ("gpt-oss", 131_072),
    ("gpt-5-chat", 128_000),
    ("gpt-5", 400_000),
    ("gpt-4.1", 1_047_576),
    ("gpt-4o", 128_000),
    ("gpt-4-turbo", 128_000),
    ("gpt-4", 8_192),
    ("gpt-3.5", 16_385),
    ("codex-mini", 200_000),
    ("o1-mini", 128_000),
    ("o1", 200_000),
    ("o3", 200_000),
    ("o4-mini", 200_000),
    // docs.anthropic.com/en/docs/about-claude/models
    ("claude", 200_000),
    // Published config.json of each family.
    ("qwen3-coder", 262_144),
    ("qwen3", 40_960),
    ("qwen2", 32_768),
    ("qwq", 40_960),
    ("llama4", 131_072),
    ("llama-4", 131_072),
    ("llama3.1", 131_072),
    ("llama-3.1", 131_072),
    ("llama3.2", 131_072),
    ("llama-3.2", 131_072),
    ("llama3.3", 131_072),
    ("llama-3.3", 131_072),
    ("llama3", 8_192),
    ("llama-3", 8_192),
    ("llama2", 4_096),
    ("llama-2", 4_096),
    ("codellama", 16_384),
    ("devstral", 131_072),
    ("codestral", 32_768),
    ("mistral-nemo", 131_072),
    ("mistral", 32_768),
    ("mixtral", 32_768),
    ("ministral", 32_768),
    ("gemma3:270m", 32_768),
    ("gemma3:1b", 32_768),
    ("gemma-3-270m", 32_768),
    ("gemma-3-1b", 32_768),
    ("gemma3n", 32_768),
    ("gemma-3n", 32_768),
    ("gemma3", 131_072),
    ("gemma-3", 131_072),
    ("gemma", 8_192),
    ("phi4-mini", 131_072),
    ("phi-4-mini", 131_072),
    ("phi4", 16_384),
    ("phi-4", 16_384),
    ("phi3", 4_096),
    ("phi-3", 4_096),
    ("deepseek-coder", 16_384),
    ("deepseek-r1-distill-llama-8b", 131_072),
    ("deepseek", 65_536),
    ("smollm3", 65_536),
    ("smollm2", 8_192),
    ("smollm", 2_048),
    ("granite", 131_072),
    ("starcoder2", 16_384),
];

/// The tokens that a model's window holds, by its name.
#[must_use]
pub fn of_model(name: &str) -> u64 {
    let name = name.rsplit('/').next().unwrap_or(name).to_ascii_lowercase();
    WINDOWS
        .iter()
        .filter(|(family, _)| name.starts_with(family))
        .max_by_key(|(family, _)| family.len())
        .map_or(FALLBACK, |(_, window)| *window)
}

/// From how many tokens on a conversation is compacted: a tenth of the window is left free for
/// the answer, and of a small window a quarter, up to 8,192 tokens.
#[must_use]
pub fn threshold(window: u64) -> u64 {
    window - (window / 10).max((window / 4).min(8_192))
}

/// Bytes of a token: English and code have about four; fewer estimates more tokens, which errs
/// to the safe side.
const BYTES_PER_TOKEN: u64 = 3;

/// What an image takes at most of the large providers (1568 × 1568 pixels at 750 a token).
pub(crate) const IMAGE: u64 = 3_300;

/// What an item takes beside its text.
const FRAME: u64 = 8;

/// At least how many tokens this text has, estimated upwards.
#[must_use]
pub fn of_text(text: &str) -> u64 {
    (text.len() as u64).div_ceil(BYTES_PER_TOKEN)
}

/// The tokens of an item, estimated upwards.
#[must_use]
pub fn of_item(item: &Item) -> u64 {
    let native = |native: &Option<codex_protocol::model::Native>| {
        native.as_ref().map_or(0, |n| of_text(&n.value.to_string()))
    };
    FRAME
        + match item {
            Item::User { content } => content
                .iter()
                .map(|part| match part {
                    Content::Text { text } => of_text(text),
                    Content::Image { .. } => IMAGE,
                })
                .sum(),
            Item::Assistant { text, native: n } | Item::Reasoning { text, native: n } => {
                of_text(text).max(native(n))
            }
            Item::ToolCall { call, native: n } => {
                (of_text(&call.name) + of_text(&call.arguments)).max(native(n))
            }
            Item::ToolOutput { output, .. } => of_text(output),
        }
}

/// The tokens of items, estimated upwards.
#[must_use]
pub fn of_items(items: &[Item]) -> u64 {
    items.iter().map(of_item).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_family_name_gives_the_window() {
        for (name, window) in [
            ("gpt-5.1-codex", 400_000),
            ("gpt-5-chat-latest", 128_000),
            ("gpt-oss:20b", 131_072),
            ("openai/gpt-4o-mini", 128_000),
            ("claude-sonnet-4-5", 200_000),
            ("Qwen/Qwen3-Coder-30B", 262_144),
            ("qwen2.5-coder:7b", 32_768),
            ("SmolLM2-135M-Instruct", 8_192),
            ("gemma3:4b", 131_072),
            ("something-else", FALLBACK),
            ("", FALLBACK),
        ] {
            assert_eq!(of_model(name), window, "{name}");
        }
    }

    #[test]
    fn room_for_an_answer_is_left_in_every_window() {
        assert_eq!(threshold(200_000), 180_000);
        assert_eq!(threshold(8_192), 6_144);
        assert_eq!(threshold(1), 1);
        assert_eq!(threshold(0), 0);
    }

    #[test]
    fn estimates_are_not_below_four_bytes_a_token() {
        let item = Item::user("x".repeat(4000));
        assert!(of_item(&item) > 1000);
    }
}
