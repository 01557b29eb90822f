//! The channel to a helper, pipes and signals.

use std::fs::{self, Metadata, OpenOptions};
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::path::Path;

use tokio::fs::File;
use tokio::io::BufReader;
use tokio::signal::windows::{CtrlBreak, CtrlC, CtrlClose, ctrl_break, ctrl_c, ctrl_close};

use crate::signals::Signal;

/// One end of the channel between codex and a helper: two pipes.
#[derive(Debug)]
pub(crate) struct Control {
    pub(super) reader: Option<PipeReader>,
    pub(super) writer: Option<PipeWriter>,
}

impl Read for Control {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.as_mut().map_or(Ok(0), |r| r.read(buffer))
    }
}

impl Write for Control {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let closed = || Err(io::ErrorKind::BrokenPipe.into());
        self.writer.as_mut().map_or_else(closed, |w| w.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Makes such a channel.
pub(crate) fn control_pair() -> io::Result<(Control, Control)> {
    let (our_reader, their_writer) = io::pipe()?;
    let (their_reader, our_writer) = io::pipe()?;
    let end = |reader, writer| Control {
        reader: Some(reader),
        writer: Some(writer),
    };
    Ok((end(our_reader, our_writer), end(their_reader, their_writer)))
}

/// The end that a helper is started with.
pub(crate) fn lend(control: &Control) -> &Control {
    control
}

/// Closes the channel: the helper reads its end.
pub(crate) fn close(control: &mut Control) {
    control.writer = None;
    control.reader = None;
}

/// What comes over the control pipes, line by line, without blocking the runtime's thread.
pub(crate) struct Lines(BufReader<File>);

impl Lines {
    pub(crate) fn of(control: &Control) -> io::Result<Self> {
        let Some(reader) = &control.reader else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        // A thread of the runtime's waits in it; it ends with the helper, at the latest.
        Ok(Self(BufReader::new(receiver(reader.try_clone()?)?)))
    }

    /// The next line. Empty at the end, and where nothing can be read.
    pub(crate) async fn next(&mut self) -> String {
        use tokio::io::AsyncBufReadExt as _;
        let mut line = String::new();
        let _ = self.0.read_line(&mut line).await;
        line
    }
}

/// The writing end of a pipe, for a runtime.
pub type Sender = File;
/// The reading end of a pipe, for a runtime.
pub type Receiver = File;

/// Hands the writing end to the runtime.
#[allow(
    clippy::unnecessary_wraps,
    reason = "the same signature on every platform"
)]
pub(crate) fn sender(writer: PipeWriter) -> io::Result<Sender> {
    let handle: std::os::windows::io::OwnedHandle = writer.into();
    Ok(File::from_std(handle.into()))
}

/// Hands the reading end to the runtime.
#[allow(
    clippy::unnecessary_wraps,
    reason = "the same signature on every platform"
)]
pub(crate) fn receiver(reader: PipeReader) -> io::Result<Receiver> {
    let handle: std::os::windows::io::OwnedHandle = reader.into();
    Ok(File::from_std(handle.into()))
}

/// What the console tells when a person or the system ends a process.
#[derive(Debug)]
pub(crate) struct Handlers {
    interrupt: CtrlC,
    stop: CtrlBreak,
    close: CtrlClose,
}

impl Handlers {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: ctrl_c()?,
            stop: ctrl_break()?,
            close: ctrl_close()?,
        })
    }

    pub(crate) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.stop.recv() => Signal::Terminate,
            _ = self.close.recv() => Signal::Terminate,
        }
    }
}

/// Leaves who may read a file that is made to what it inherits.
pub(crate) fn private_file(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

/// Makes a directory, and those above it; it inherits who may enter.
pub(crate) fn private_directory(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)
}

/// There are no modes: the directory's access list decides.
pub(crate) fn is_shared(_: &Metadata) -> bool {
    false
}
