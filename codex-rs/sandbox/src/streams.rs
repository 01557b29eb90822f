//! Pipes between a runtime and a command.

use std::io::{self, PipeReader, PipeWriter};

pub use crate::sys::{Receiver, Sender};

/// Hands the writing end of a pipe to the runtime, in whose context this is called.
///
/// # Errors
/// When the runtime cannot take it.
pub fn sender(writer: PipeWriter) -> io::Result<Sender> {
    crate::sys::sender(writer)
}

/// Hands the reading end of a pipe to the runtime, in whose context this is called.
///
/// # Errors
/// When the runtime cannot take it.
pub fn receiver(reader: PipeReader) -> io::Result<Receiver> {
    crate::sys::receiver(reader)
}
