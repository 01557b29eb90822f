//! The signals by which a person or a program ends this one.

use std::io;

use crate::sys::Handlers;

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Ctrl-C or its like in a terminal, which the processes in the foreground get as well.
    Interrupt,
    /// To end, by another program or the system.
    Terminate,
}

/// Signals that are handled from now on instead of ending the process.
#[derive(Debug)]
pub struct Signals(Handlers);

impl Signals {
    /// Handles them. Needs a tokio runtime's context.
    ///
    /// # Errors
    /// When the system refuses a handler.
    pub fn handle() -> io::Result<Self> {
        Handlers::new().map(Self)
    }

    /// Waits for the next one. Dropping the future loses none.
    pub async fn next(&mut self) -> Signal {
        self.0.next().await
    }
}
