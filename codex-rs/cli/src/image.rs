//! Images that the person shows the model.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use codex_core::{files, paths};
use codex_protocol::model::Content;
use codex_protocol::permission::NotPermitted;
use codex_protocol::request::FileRead;

use crate::failure::{Failure, Kind, OrFail as _};
use crate::setup::{self, Setup};

/// The kinds of image that models take, by the bytes that they begin with.
const KINDS: &[(&[u8], &str)] = &[
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"RIFF", "image/webp"),
];

/// Reads an image through the gate.
pub(crate) fn read(path: &Path, setup: &Setup) -> Result<Content, Failure> {
    let failed = |why: &dyn std::fmt::Display| {
        Failure::usage(format!(
            "the image '{}' cannot be used: {why}",
            path.display()
        ))
    };
    let here = std::env::current_dir().or_fail(Kind::Usage)?;
    let resolved = paths::resolve(&here, path).map_err(|e| failed(&e))?;
    let permitted =
        setup::runtime()?.block_on(setup.permissions.require(FileRead { path: resolved }, None));
    let permitted = permitted.map_err(|error| match error {
        NotPermitted::Denied { decision, .. } => Failure::refused(format!(
            "the image '{}': {}",
            path.display(),
            decision.explanation()
        )),
        NotPermitted::NoRecord(error) => Failure::refused(error),
    })?;
    let bytes = files::read(&permitted).map_err(|e| failed(&e))?;
    let kind = KINDS
        .iter()
        .find(|(start, _)| bytes.starts_with(start))
        .map(|(_, kind)| *kind);
    let media_type = kind
        .ok_or_else(|| failed(&"it is no PNG, JPEG, GIF or WebP"))?
        .to_owned();
    Ok(Content::Image {
        media_type,
        data: STANDARD.encode(bytes),
    })
}
