//! Rulesets that codex makes while the helper makes others, on their way to it.

use std::io::{self, IoSlice, IoSliceMut, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};

use super::landlock;
use crate::landlock::Ruleset;

/// So many layers of Landlock a process can be in: `LANDLOCK_MAX_NUM_LAYERS`, kernel source,
/// `security/landlock/limits.h`.
const MOST: usize = 16;

/// Makes the rulesets and sends them, and then the command.
pub(crate) fn send_command(
    control: &mut UnixStream,
    command: &[u8],
    beside: &[Ruleset],
) -> io::Result<()> {
    let made: Vec<OwnedFd> = beside
        .iter()
        .map(landlock::build)
        .collect::<io::Result<_>>()?;
    if made.len() > MOST {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    if !made.is_empty() {
        let descriptors: Vec<_> = made.iter().map(AsFd::as_fd).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
        let mut rights = SendAncillaryBuffer::new(&mut space);
        if !rights.push(SendAncillaryMessage::ScmRights(&descriptors)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let byte = [IoSlice::new(&[0])];
        rustix::net::sendmsg(control.as_fd(), &byte, &mut rights, SendFlags::NOSIGNAL)?;
    }
    control.write_all(command)
}

/// Takes as many rulesets as the plan says.
pub(super) fn receive(control: &UnixStream, count: usize) -> io::Result<Vec<OwnedFd>> {
    if count == 0 {
        return Ok(Vec::new());
    }
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut rights = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC;
    let mut bytes = [IoSliceMut::new(&mut byte)];
    rustix::net::recvmsg(control.as_fd(), &mut bytes, &mut rights, flags)?;
    let mut received = Vec::new();
    for message in rights.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            received.extend(descriptors);
        }
    }
    match received.len() == count {
        true => Ok(received),
        // Nothing starts with fewer walls than were planned.
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}
