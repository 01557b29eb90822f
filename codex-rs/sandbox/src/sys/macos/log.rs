//! The system's log, read while a command runs, for what the kernel's sandbox denied to it.

use std::io::{self, Read as _};
use std::os::fd::{AsRawFd, RawFd};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use codex_protocol::record::Observation;

use super::check;
use crate::seatbelt_log::{self, LONGEST_LINE};

/// How long the reader has to begin. The command waits for that, since what is denied before is
/// never shown.
const BEGINNING: Duration = Duration::from_secs(2);

/// How long messages may come after the command's end: the log hands them on with some delay.
const DELAY: Duration = Duration::from_millis(500);

/// How often it is looked whether something came.
const PAUSE: Duration = Duration::from_millis(10);

/// What marks the messages of this helper's one command.
pub(super) fn tag() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |since| since.as_nanos());
    format!("codex-{}-{now}", std::process::id())
}

/// The reader at work: a child of the helper, ended with what else it started.
pub(super) struct Log {
    reader: Child,
    output: ChildStdout,
    tag: String,
    /// What came of a line that has not ended.
    line: Vec<u8>,
}

impl Log {
    /// Starts reading. `None` where the log is not shown to this user: then nothing is recorded of
    /// what the kernel denies, and the report says that it may be so.
    pub(super) fn start(tag: String) -> Option<Self> {
        let [program, arguments @ ..] = seatbelt_log::command_line(&tag);
        let mut reader = Command::new(program)
            .args(arguments)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let output = reader.stdout.take()?;
        let mut log = Self {
            reader,
            output,
            tag,
            line: Vec::new(),
        };
        log.begins().then_some(log)
    }

    /// Waits for the line that says what is selected, the first that is written.
    fn begins(&mut self) -> bool {
        // SAFETY: the call takes numbers, of a descriptor that we own.
        let set = unsafe { libc::fcntl(self.output.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
        let begun = Instant::now();
        while check(set).is_ok() && begun.elapsed() < BEGINNING {
            let mut bytes = [0; 1024];
            match self.output.read(&mut bytes) {
                Ok(0) => return false,
                Ok(count) if bytes[..count].contains(&b'\n') => return true,
                Err(e) if e.kind() != io::ErrorKind::WouldBlock => return false,
                _ => std::thread::sleep(PAUSE),
            }
        }
        false
    }

    /// The descriptor that can be read when something came.
    pub(super) fn descriptor(&self) -> RawFd {
        self.output.as_raw_fd()
    }

    /// Hands what came to `tell`. False once nothing more will.
    pub(super) fn read(&mut self, tell: &mut dyn FnMut(&Observation)) -> bool {
        let mut bytes = [0; 16 << 10];
        loop {
            match self.output.read(&mut bytes) {
                Ok(0) => return false,
                Ok(count) => bytes[..count]
                    .iter()
                    .for_each(|byte| self.take(*byte, tell)),
                Err(e) => return e.kind() == io::ErrorKind::WouldBlock,
            }
        }
    }

    fn take(&mut self, byte: u8, tell: &mut dyn FnMut(&Observation)) {
        if byte != b'\n' {
            // One byte beyond the limit marks a line as too long to be looked at.
            if self.line.len() <= LONGEST_LINE {
                self.line.push(byte);
            }
            return;
        }
        let line = std::mem::take(&mut self.line);
        if let Some(denied) = seatbelt_log::read(&String::from_utf8_lossy(&line), &self.tag) {
            tell(&Observation::Denied(denied.attempt()));
        }
    }

    /// Takes what still comes, and ends the reader.
    pub(super) fn finish(mut self, tell: &mut dyn FnMut(&Observation)) {
        let ended = Instant::now();
        while self.read(tell) && ended.elapsed() < DELAY {
            std::thread::sleep(PAUSE);
        }
        let _ = self.reader.kill();
        let _ = self.reader.wait();
    }
}
