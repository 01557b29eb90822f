//! Images that a model is shown, from files that may be read.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use codex_protocol::gate::Authorized;
use codex_protocol::model::Content;
use codex_protocol::record::Recorded;
use codex_protocol::request::FileRead;

use crate::files;

/// Model families by the beginning of the name (after a `vendor/`), and whether they take images;
/// the longest match counts. Sources: the vendors' model pages and the published model cards. What
/// is not here takes none: a server refuses the whole conversation over an image that its model
/// cannot take.
const FAMILIES: &[(&str, bool)] = &[
    // platform.openai.com/docs/models
    ("gpt-5", true),
    ("gpt-4.1", true),
    ("gpt-4o", true),
    ("gpt-4-turbo", true),
    ("codex-mini", true),
    ("o1", true),
    ("o1-mini", false),
    ("o1-preview", false),
    ("o3", true),
    ("o3-mini", false),
    ("o4-mini", true),
    // docs.anthropic.com/en/docs/about-claude/models
    ("claude", true),
    ("claude-2", false),
    ("claude-instant", false),
    // The model cards of each family.
    ("gemma3", true),
    ("gemma-3", true),
    ("gemma3:270m", false),
    ("gemma3:1b", false),
    ("gemma-3-270m", false),
    ("gemma-3-1b", false),
    ("gemma3n", false),
    ("gemma-3n", false),
    ("llama4", true),
    ("llama-4", true),
    ("llama3.2-vision", true),
    ("llama-3.2-11b-vision", true),
    ("llama-3.2-90b-vision", true),
    ("pixtral", true),
    ("qwen2-vl", true),
    ("qwen2.5vl", true),
    ("qwen2.5-vl", true),
    ("qwen3-vl", true),
];

/// Whether a model takes images, by its name.
#[must_use]
pub fn taken_by(model: &str) -> bool {
    let name = model.rsplit('/').next().unwrap_or(model);
    let name = name.to_ascii_lowercase();
    FAMILIES
        .iter()
        .filter(|(family, _)| name.starts_with(family))
        .max_by_key(|(family, _)| family.len())
        .is_some_and(|(_, takes)| *takes)
}

/// The media type of an image of a kind that models take, by the bytes that it begins with.
#[must_use]
pub fn media_type(bytes: &[u8]) -> Option<&'static str> {
    if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        Some("image/png")
    } else if bytes.starts_with(b"\xff\xd8\xff") {
        Some("image/jpeg")
    } else if bytes.starts_with(b"GIF87a") || bytes.starts_with(b"GIF89a") {
        Some("image/gif")
    } else if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
        Some("image/webp")
    } else {
        None
    }
}

/// An image that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Its media type, `image/png` say.
    pub media_type: &'static str,
    /// Its bytes, as the file holds them.
    pub bytes: Vec<u8>,
}

impl Image {
    /// The image as a part of what a model is told.
    #[must_use]
    pub fn content(&self) -> Content {
        Content::Image {
            media_type: self.media_type.to_owned(),
            data: STANDARD.encode(&self.bytes),
        }
    }
}

/// Reads an image of at most [`files::LARGEST`] bytes.
///
/// # Errors
/// What [`files::read`] gives; that it is of no kind that models take.
pub fn read(request: &Recorded<Authorized<FileRead>>) -> io::Result<Image> {
    let bytes = files::read(request)?;
    let media_type = media_type(&bytes).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "it is no PNG, JPEG, GIF or WebP",
        )
    })?;
    Ok(Image { media_type, bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_by_their_first_bytes() {
        for (bytes, kind) in [
            (&b"\x89PNG\r\n\x1a\n..."[..], Some("image/png")),
            (b"\xff\xd8\xff\xe0", Some("image/jpeg")),
            (b"GIF89a...", Some("image/gif")),
            (b"RIFF\x04\0\0\0WEBPVP8 ", Some("image/webp")),
            (b"RIFF\x04\0\0\0WAVEfmt ", None),
            (b"RIFF", None),
            (b"GIF8", None),
            (b"<svg/>", None),
            (b"", None),
        ] {
            assert_eq!(media_type(bytes), kind, "{bytes:?}");
        }
    }

    #[test]
    fn the_longest_family_name_says_whether_images_are_taken() {
        for (name, takes) in [
            ("gpt-5.1-codex", true),
            ("openai/gpt-4o-mini", true),
            ("gpt-oss:20b", false),
            ("o3-mini", false),
            ("o3", true),
            ("claude-sonnet-4-5", true),
            ("claude-2.1", false),
            ("Qwen/Qwen2.5-VL-7B-Instruct", true),
            ("qwen2.5-coder:7b", false),
            ("gemma3:4b", true),
            ("gemma3:1b", false),
            ("something-else", false),
            ("", false),
        ] {
            assert_eq!(taken_by(name), takes, "{name}");
        }
    }
}
