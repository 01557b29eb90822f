//! Applies a patch through a [`PatchFiles`], one operation after the other.

use std::fmt::Write as _;
use std::path::{Component, Path, PathBuf};

use super::matching::Budget;
use super::update::update_within;
use super::{Operation, Patch, PatchError, shown_path};

/// The files a patch is applied to. Paths come as the patch gives them: the
/// implementation resolves them and decides what is allowed.
pub trait PatchFiles {
    /// The bytes of the file. The implementation bounds how many it reads.
    ///
    /// # Errors
    /// The file is missing, is not a file, is not allowed, or cannot be read.
    fn read(&mut self, path: &Path) -> Result<Vec<u8>, FileError>;

    /// Creates the file or replaces its content, all or nothing, making the
    /// directories above it.
    ///
    /// # Errors
    /// Not allowed, or cannot be written.
    fn write(&mut self, path: &Path, content: &[u8]) -> Result<(), FileError>;

    /// Removes the file. A directory must be refused.
    ///
    /// # Errors
    /// The file is missing, is not a file, is not allowed, or cannot be removed.
    fn remove(&mut self, path: &Path) -> Result<(), FileError>;

    /// Whether both paths name one file, so that a move must not remove its
    /// source after writing its destination. Without an own implementation the
    /// paths are compared without their `.` parts; one that knows of links or
    /// of a file system that ignores case must look at the files.
    fn same_file(&mut self, a: &Path, b: &Path) -> bool {
        fn named(path: &Path) -> impl Iterator<Item = Component<'_>> {
            path.components().filter(|part| *part != Component::CurDir)
        }
        named(a).eq(named(b))
    }
}

/// Why a [`PatchFiles`] did not do what it was asked: its own words, shown to
/// the model after the path and the step.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FileError(pub String);

impl From<std::io::Error> for FileError {
    fn from(error: std::io::Error) -> Self {
        Self(error.to_string())
    }
}

/// How a file was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangeKind {
    /// Written as a whole, whether or not it was there before.
    Add,
    /// Edited.
    Update,
    /// Removed.
    Delete,
    /// Written here, edited or not, and removed there.
    Move {
        /// Where it was.
        from: PathBuf,
    },
}

/// One change to a file, done or not tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileChange {
    /// The file; for a move, its destination.
    pub path: PathBuf,
    /// What happened, or would have happened, to it.
    pub kind: ChangeKind,
}

/// What was being done when a patch failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Reading a file to update.
    Read,
    /// Computing its new text.
    Edit,
    /// Writing a file.
    Write,
    /// Removing a file.
    Remove,
}

/// Why a step failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FailureCause {
    /// The [`PatchFiles`] said no.
    #[error(transparent)]
    File(#[from] FileError),
    /// The patch does not fit the file.
    #[error(transparent)]
    Patch(#[from] PatchError),
    /// Only UTF-8 text can be updated.
    #[error(
        "the file is not UTF-8 text (byte {offset} is where it stops being that); a patch can add, delete or move it, but not edit it"
    )]
    NotUtf8 {
        /// The first byte that is not UTF-8, from 0.
        offset: usize,
    },
}

/// The operation that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatchFailure {
    /// Its index in [`Patch::operations`].
    pub operation: usize,
    /// The file that the failed step was about.
    pub path: PathBuf,
    /// The step.
    pub step: Step,
    /// The reason.
    pub cause: FailureCause,
}

/// Which of the three a patch came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatchStatus {
    /// All operations succeeded and at least one changed a file.
    Changed,
    /// All operations succeeded and every file was already as it should be.
    Unchanged,
    /// An operation failed; earlier changes stay.
    Failed,
}

/// What a patch did. Every operation is in one of the four fields.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PatchOutcome {
    /// The changes made, in order. They stay when a later operation fails. A
    /// move whose source could not be removed is the destination's
    /// [`ChangeKind::Add`] here, and the failure.
    pub changes: Vec<FileChange>,
    /// Updates whose result was the text that was there; nothing was written.
    pub unchanged: Vec<PathBuf>,
    /// What stopped the patch.
    pub failure: Option<PatchFailure>,
    /// The operations after the failed one.
    pub not_tried: Vec<FileChange>,
}

impl PatchOutcome {
    /// Changed, unchanged or failed.
    pub fn status(&self) -> PatchStatus {
        if self.failure.is_some() {
            PatchStatus::Failed
        } else if self.changes.is_empty() {
            PatchStatus::Unchanged
        } else {
            PatchStatus::Changed
        }
    }

    /// The outcome in words for the model: one line a file, marked A, M or D,
    /// in this order. Ends with a line feed.
    pub fn summary(&self) -> String {
        let mut out = String::new();
        let headline = match &self.failure {
            None if self.changes.is_empty() => {
                "No changes: the patch was applied and every file already is as it asks."
            }
            None => "Success. Updated the following files:",
            Some(failure) => {
                let step = match failure.step {
                    Step::Read => "read",
                    Step::Edit => "update",
                    Step::Write => "write",
                    Step::Remove => "remove",
                };
                let path = shown_path(&failure.path);
                let nth = failure.operation + 1;
                // Messages about the text name the file themselves.
                let _ = match &failure.cause {
                    FailureCause::Patch(error) => {
                        writeln!(out, "Failed at operation {nth}: could not {step} {error}")
                    }
                    cause => {
                        writeln!(
                            out,
                            "Failed at operation {nth}: could not {step} {path}: {cause}"
                        )
                    }
                };
                if self.changes.is_empty() {
                    "No files were changed."
                } else {
                    "These changes were made before and stay:"
                }
            }
        };
        let _ = writeln!(out, "{headline}");
        list(&mut out, &self.changes);
        if !self.unchanged.is_empty() {
            let _ = writeln!(out, "Already as the patch asks:");
            for path in &self.unchanged {
                let _ = writeln!(out, "  {}", shown_path(path));
            }
        }
        if !self.not_tried.is_empty() {
            let _ = writeln!(out, "Not tried:");
            list(&mut out, &self.not_tried);
        }
        out
    }
}

fn list(out: &mut String, changes: &[FileChange]) {
    for mark in ['A', 'M', 'D'] {
        for FileChange { path, kind } in changes {
            let (its_mark, from) = match kind {
                ChangeKind::Add => ('A', None),
                ChangeKind::Update => ('M', None),
                ChangeKind::Delete => ('D', None),
                ChangeKind::Move { from } => ('M', Some(from)),
            };
            if its_mark != mark {
                continue;
            }
            let _ = match from {
                None => writeln!(out, "{mark} {}", shown_path(path)),
                Some(from) => {
                    writeln!(
                        out,
                        "{mark} {} (moved from {})",
                        shown_path(path),
                        shown_path(from)
                    )
                }
            };
        }
    }
}

/// Applies `patch` to `files`, one operation after the other, until one fails.
///
/// An update whose result equals the file writes nothing. A move writes the
/// destination first and then removes the source, so that no step loses text.
pub fn apply(patch: &Patch, files: &mut dyn PatchFiles) -> PatchOutcome {
    let mut outcome = PatchOutcome::default();
    let mut budget = Budget::for_one_patch();
    for (nth, operation) in patch.operations.iter().enumerate() {
        let Err((path, step, cause)) = perform(operation, files, &mut budget, &mut outcome) else {
            continue;
        };
        outcome.failure = Some(PatchFailure {
            operation: nth,
            path: path.to_owned(),
            step,
            cause,
        });
        outcome.not_tried = patch.operations[nth + 1..].iter().map(planned).collect();
        break;
    }
    outcome
}

type Failed<'a> = (&'a Path, Step, FailureCause);

fn perform<'a>(
    operation: &'a Operation,
    files: &mut dyn PatchFiles,
    budget: &mut Budget,
    outcome: &mut PatchOutcome,
) -> Result<(), Failed<'a>> {
    match operation {
        Operation::Add { path, content } => write(files, path, content.as_bytes())?,
        Operation::Delete { path } => remove(files, path)?,
        Operation::Update {
            path,
            move_to,
            chunks,
        } => {
            let old = files
                .read(path)
                .map_err(|error| (path.as_path(), Step::Read, error.into()))?;
            let new = if chunks.is_empty() {
                None
            } else {
                let edited = edit(&old, chunks, path, budget);
                Some(edited.map_err(|cause| (path.as_path(), Step::Edit, cause))?)
            };
            let new = new.as_deref().map_or(old.as_slice(), str::as_bytes);
            let Some(to) = move_to.as_deref().filter(|to| !files.same_file(path, to)) else {
                if new == old.as_slice() {
                    outcome.unchanged.push(path.clone());
                    return Ok(());
                }
                write(files, path, new)?;
                outcome.changes.push(FileChange {
                    path: path.clone(),
                    kind: ChangeKind::Update,
                });
                return Ok(());
            };
            write(files, to, new)?;
            if let Err(failed) = remove(files, path) {
                outcome.changes.push(FileChange {
                    path: to.to_owned(),
                    kind: ChangeKind::Add,
                });
                return Err(failed);
            }
        }
    }
    outcome.changes.push(planned(operation));
    Ok(())
}

fn edit(
    old: &[u8],
    chunks: &[super::Chunk],
    path: &Path,
    budget: &mut Budget,
) -> Result<String, FailureCause> {
    let old = std::str::from_utf8(old).map_err(|error| FailureCause::NotUtf8 {
        offset: error.valid_up_to(),
    })?;
    Ok(update_within(old, chunks, path, budget)?)
}

fn write<'a>(files: &mut dyn PatchFiles, path: &'a Path, content: &[u8]) -> Result<(), Failed<'a>> {
    files
        .write(path, content)
        .map_err(|error| (path, Step::Write, error.into()))
}

fn remove<'a>(files: &mut dyn PatchFiles, path: &'a Path) -> Result<(), Failed<'a>> {
    files
        .remove(path)
        .map_err(|error| (path, Step::Remove, error.into()))
}

/// The change an operation makes when all of it succeeds.
fn planned(operation: &Operation) -> FileChange {
    let (path, kind) = match operation {
        Operation::Add { path, .. } => (path, ChangeKind::Add),
        Operation::Delete { path } => (path, ChangeKind::Delete),
        Operation::Update {
            path,
            move_to: None,
            ..
        } => (path, ChangeKind::Update),
        Operation::Update {
            path,
            move_to: Some(to),
            ..
        } => (to, ChangeKind::Move { from: path.clone() }),
    };
    FileChange {
        path: path.clone(),
        kind,
    }
}

#[cfg(test)]
mod tests;
