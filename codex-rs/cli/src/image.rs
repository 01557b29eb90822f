//! Images that the person shows the model.

use std::path::Path;

use codex_core::{image, paths};
use codex_protocol::model::Content;
use codex_protocol::permission::NotPermitted;
use codex_protocol::request::FileRead;

use crate::failure::{Failure, Kind, OrFail as _};
use crate::setup::{self, Setup};

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
    let image = image::read(&permitted).map_err(|e| failed(&e))?;
    Ok(image.content())
}
