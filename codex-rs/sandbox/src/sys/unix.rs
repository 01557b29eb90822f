//! What Linux and macOS have in common: sockets, pipes, signals and modes.

use std::fs::{DirBuilder, Metadata, OpenOptions};
use std::io::{self, PipeReader, PipeWriter};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;

use tokio::net::unix::pipe;
use tokio::signal::unix::{SignalKind, signal};

use crate::signals::Signal;

/// One end of the channel between codex and a helper.
pub(crate) type Control = UnixStream;

/// Makes such a channel.
pub(crate) fn control_pair() -> io::Result<(Control, Control)> {
    UnixStream::pair()
}

/// The end that a helper is started with.
pub(crate) fn lend(control: &Control) -> BorrowedFd<'_> {
    control.as_fd()
}

/// Closes the channel for both.
pub(crate) fn close(control: &mut Control) {
    // Fails where the other end is gone already, which is as good.
    let _ = control.shutdown(Shutdown::Both);
}

/// What comes over a control socket, line by line, without blocking the runtime's thread.
pub(crate) struct Lines(tokio::io::BufReader<tokio::net::UnixStream>);

impl Lines {
    pub(crate) fn of(control: &Control) -> io::Result<Self> {
        let socket = control.try_clone()?;
        socket.set_nonblocking(true)?;
        let socket = tokio::net::UnixStream::from_std(socket)?;
        Ok(Self(tokio::io::BufReader::new(socket)))
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
pub type Sender = pipe::Sender;
/// The reading end of a pipe, for a runtime.
pub type Receiver = pipe::Receiver;

/// Hands the writing end to the runtime.
pub(crate) fn sender(writer: PipeWriter) -> io::Result<Sender> {
    pipe::Sender::from_owned_fd(writer.into())
}

/// Hands the reading end to the runtime.
pub(crate) fn receiver(reader: PipeReader) -> io::Result<Receiver> {
    pipe::Receiver::from_owned_fd(reader.into())
}

/// The signals by which a person or a program ends another.
#[derive(Debug)]
pub(crate) struct Handlers {
    interrupt: tokio::signal::unix::Signal,
    quit: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Handlers {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    pub(crate) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.quit.recv() => Signal::Interrupt,
            _ = self.terminate.recv() => Signal::Terminate,
        }
    }
}

/// Lets only the owner read and write a file that is made.
pub(crate) fn private_file(options: &mut OpenOptions) -> &mut OpenOptions {
    options.mode(0o600)
}

/// Makes a directory, and those above it, that only its owner enters.
pub(crate) fn private_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Whether others than the owner may read or write the file.
pub(crate) fn is_shared(metadata: &Metadata) -> bool {
    metadata.mode() & 0o077 != 0
}
