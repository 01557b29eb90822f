//! From a filter's data to the kernel's instructions.
//!
//! The program format is classic BPF over `struct seccomp_data` (header `linux/seccomp.h`):
//! number at offset 0, architecture at 4, arguments of 8 bytes each from 16.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::RawFd;

use super::{check, numbers, supervisor};
use crate::seccomp::{Filter, Refusal, Rule, Then, When};

/// `AUDIT_ARCH_X86_64`, header `linux/audit.h`.
#[cfg(target_arch = "x86_64")]
pub(super) const ARCHITECTURE: u32 = 0xc000_003e;
/// `AUDIT_ARCH_AARCH64`.
#[cfg(target_arch = "aarch64")]
pub(super) const ARCHITECTURE: u32 = 0xc000_00b7;

/// The last call of the table that this was written against (Linux 6.17): `file_setattr`.
const LAST_KNOWN: u32 = 469;

const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const JUMP_IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const JUMP_IF_GREATER: u16 = (libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K) as u16;
const JUMP_IF_ANY: u16 = (libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16;
const JUMP_IF_AT_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
const MASK: u16 = (libc::BPF_ALU | libc::BPF_AND | libc::BPF_K) as u16;
const SKIP: u16 = (libc::BPF_JMP | libc::BPF_JA) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

const NUMBER: u32 = 0;
const ARCH: u32 = 4;

const ALLOW: libc::sock_filter = step(RETURN, libc::SECCOMP_RET_ALLOW);

const fn step(code: u16, k: u32) -> libc::sock_filter {
    libc::sock_filter {
        code,
        jt: 0,
        jf: 0,
        k,
    }
}

fn jump(code: u16, k: u32, if_true: u8, if_false: u8) -> libc::sock_filter {
    libc::sock_filter {
        code,
        jt: if_true,
        jf: if_false,
        k,
    }
}

/// The low half of an argument. Both supported architectures are little-endian.
fn argument(index: u32) -> u32 {
    16 + 8 * index
}

fn fail(refusal: Refusal) -> libc::sock_filter {
    let errno = supervisor::errno(refusal);
    step(RETURN, libc::SECCOMP_RET_ERRNO | errno.cast_unsigned())
}

const ASK: libc::sock_filter = step(RETURN, libc::SECCOMP_RET_USER_NOTIF);

fn answer(rule: &Rule) -> libc::sock_filter {
    match rule.then {
        Then::Fail => fail(rule.refusal),
        Then::Ask => ASK,
    }
}

/// Compiles the filter. Calls of another entry (32-bit, x32) and calls newer than the table are
/// refused as if the kernel did not have them.
///
/// # Errors
/// A rule that names a call which the table of numbers lacks: it must never be dropped in silence.
fn compile(filter: &Filter) -> io::Result<Vec<libc::sock_filter>> {
    let mut calls: BTreeMap<u32, Vec<&Rule>> = BTreeMap::new();
    for rule in &filter.rules {
        match numbers::find(&rule.call) {
            numbers::Found::Number(number) => calls.entry(number).or_default().push(rule),
            numbers::Found::NotOnThisArchitecture => {}
            numbers::Found::Unknown => {
                return Err(io::Error::other(format!(
                    "no number is known for the system call '{}'",
                    rule.call
                )));
            }
        }
    }
    let unknown = match filter.supervised {
        true => ASK,
        false => fail(Refusal::Enosys),
    };
    let mut program = vec![
        step(LOAD, ARCH),
        jump(JUMP_IF_EQUAL, ARCHITECTURE, 1, 0),
        unknown,
        step(LOAD, NUMBER),
        // x32 calls have bit 30 set and so are greater too.
        jump(JUMP_IF_GREATER, LAST_KNOWN, 0, 1),
        unknown,
    ];
    let calls: Vec<(u32, Vec<&Rule>)> = calls.into_iter().collect();
    program.extend(search(&calls));
    Ok(program)
}

/// Looks the number up by halving: the kernel runs the program for every number there is when it
/// is installed, so one test after the other would cost each command a tenth of a millisecond.
/// Every way through ends with an answer.
fn search(calls: &[(u32, Vec<&Rule>)]) -> Vec<libc::sock_filter> {
    match calls {
        [] => vec![ALLOW],
        [(number, rules)] => {
            let answers = answers(rules);
            let mut program = vec![jump(JUMP_IF_EQUAL, *number, 1, 0), ALLOW];
            program.extend(answers);
            program
        }
        _ => {
            let (lower, upper) = calls.split_at(calls.len() / 2);
            let first = upper.first().map_or(u32::MAX, |(number, _)| *number);
            let (lower, upper) = (search(lower), search(upper));
            // A condition can only skip 255 steps, so it skips one that skips as many as needed.
            let length = u32::try_from(lower.len()).unwrap_or(u32::MAX);
            let mut program = vec![jump(JUMP_IF_AT_LEAST, first, 0, 1), step(SKIP, length)];
            program.extend(lower);
            program.extend(upper);
            program
        }
    }
}

/// What one call is answered: by the first of its rules that fits.
fn answers(rules: &[&Rule]) -> Vec<libc::sock_filter> {
    let mut program = Vec::new();
    for rule in rules {
        let answer = answer(rule);
        match rule.when {
            When::Always => {
                program.push(answer);
                return program;
            }
            When::Equals(index, value) => program.extend([
                step(LOAD, argument(index)),
                jump(JUMP_IF_EQUAL, value, 0, 1),
                answer,
            ]),
            When::Differs(index, value) => program.extend([
                step(LOAD, argument(index)),
                jump(JUMP_IF_EQUAL, value, 1, 0),
                answer,
            ]),
            When::HasAny(index, bits) => program.extend([
                step(LOAD, argument(index)),
                jump(JUMP_IF_ANY, bits, 0, 1),
                answer,
            ]),
            When::Masked(index, mask, value) => program.extend([
                step(LOAD, argument(index)),
                step(MASK, mask),
                jump(JUMP_IF_EQUAL, value, 0, 1),
                answer,
            ]),
            When::NotNull(index) => program.extend([
                step(LOAD, argument(index)),
                jump(JUMP_IF_EQUAL, 0, 0, 2),
                step(LOAD, argument(index) + 4),
                jump(JUMP_IF_EQUAL, 0, 1, 0),
                answer,
            ]),
            When::HasAnyOfFile(index, bits, file) => program.extend([
                step(LOAD, argument(index)),
                jump(JUMP_IF_ANY, bits, 0, 3),
                step(LOAD, argument(file)),
                jump(JUMP_IF_AT_LEAST, NEGATIVE, 1, 0),
                answer,
            ]),
        }
    }
    program.push(ALLOW);
    program
}

/// From here on a 32-bit number is negative.
const NEGATIVE: u32 = 1 << 31;

/// A filter ready to be installed.
pub(super) struct Program(Vec<libc::sock_filter>);

impl Program {
    pub(super) fn new(filter: &Filter) -> io::Result<Self> {
        Ok(Self(compile(filter)?))
    }

    /// Filters the calling thread and all that it starts. Needs `no_new_privs`.
    pub(super) fn install(&self) -> io::Result<()> {
        self.set(0).map(drop)
    }

    /// The same, with a descriptor through which calls are asked about. It is closed when the
    /// thread starts a program.
    pub(super) fn install_with_listener(&self) -> io::Result<RawFd> {
        let listener = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
        let killable = libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
        // Linux 5.19 has the second flag: a signal then does not interrupt a call that is being
        // carried out.
        let fd = self
            .set(listener | killable)
            .or_else(|error| match error.raw_os_error() {
                Some(libc::EINVAL) => self.set(listener),
                _ => Err(error),
            })?;
        RawFd::try_from(fd).map_err(|_| io::ErrorKind::InvalidData.into())
    }

    fn set(&self, flags: libc::c_ulong) -> io::Result<i64> {
        let length =
            u16::try_from(self.0.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        let program = libc::sock_fprog {
            len: length,
            filter: self.0.as_ptr().cast_mut(),
        };
        // SAFETY: the program outlives the call, which only reads it.
        check(unsafe {
            libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_SET_MODE_FILTER,
                flags,
                &raw const program,
            )
        })
    }
}

/// Whether the kernel can answer filtered calls with errors.
pub(super) fn available() -> bool {
    has_action(libc::SECCOMP_RET_ERRNO)
}

/// Whether this process is filtered already.
pub(super) fn is_filtered() -> bool {
    // SAFETY: prctl with this constant touches no memory.
    unsafe { libc::prctl(libc::PR_GET_SECCOMP) != 0 }
}

/// Has the calling process ask about nothing, only to see whether it could. It has to end then.
pub(super) fn try_listener() -> io::Result<()> {
    // SAFETY: prctl with these constants touches no memory.
    check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }.into())?;
    let listener = Program(vec![ALLOW]).install_with_listener()?;
    // An outer filter may let this pass and not what comes next. To a call that does not exist the
    // kernel says so, where it knows what was asked.
    let unknown = libc::seccomp_notif_addfd {
        id: u64::MAX,
        flags: libc::SECCOMP_ADDFD_FLAG_SEND as u32,
        srcfd: listener.cast_unsigned(),
        newfd: 0,
        newfd_flags: 0,
    };
    let code = libc::SECCOMP_IOCTL_NOTIF_ADDFD;
    // SAFETY: the structure outlives the call, which reads it.
    let added = check(unsafe { libc::ioctl(listener, code, &raw const unknown) }.into());
    match added.err().and_then(|error| error.raw_os_error()) {
        Some(libc::ENOENT) => {}
        _ => return Err(io::ErrorKind::Unsupported.into()),
    }
    let own = rustix::process::getpid();
    let process = rustix::process::pidfd_open(own, rustix::process::PidfdFlags::empty())?;
    let flags = rustix::process::PidfdGetfdFlags::empty();
    drop(rustix::process::pidfd_getfd(&process, listener, flags)?);
    let (from, mut to) = ([1_u8], [0_u8]);
    let [local, remote] = [to.as_mut_ptr(), from.as_ptr().cast_mut()].map(|at| libc::iovec {
        iov_base: at.cast(),
        iov_len: 1,
    });
    let pid = own.as_raw_nonzero().get();
    // SAFETY: one byte of ours is copied to another.
    let read = unsafe { libc::process_vm_readv(pid, &raw const local, 1, &raw const remote, 1, 0) };
    check(read as i64).map(drop)
}

/// Whether the kernel can hand calls to another process.
pub(super) fn can_ask() -> bool {
    has_action(libc::SECCOMP_RET_USER_NOTIF)
}

fn has_action(action: u32) -> bool {
    // SAFETY: the kernel reads the one word that the pointer names.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_GET_ACTION_AVAIL,
            0_u32,
            &raw const action,
        )
    };
    answer == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use codex_protocol::security_profile::SecurityProfile;

    #[test]
    fn every_rule_has_a_number_and_the_program_fits() {
        let all = crate::seccomp::Watching {
            supervisor: true,
            reads: true,
            processes: true,
        };
        let profiles = [SecurityProfile::Offline, SecurityProfile::WorkspaceWrite];
        let both = profiles.map(|profile| [(profile, all), (profile, Default::default())]);
        for (profile, watching) in both.into_iter().flatten() {
            let program = compile(&crate::seccomp::filter(profile, watching)).unwrap();
            // BPF_MAXINSNS, header linux/bpf_common.h.
            assert!(program.len() <= 4096);
        }
        let unknown = crate::seccomp::Rule {
            call: "no_such_call".to_owned(),
            when: When::Always,
            then: Then::Fail,
            refusal: Refusal::Eperm,
        };
        let filter = Filter {
            rules: vec![unknown],
            supervised: false,
        };
        assert!(compile(&filter).is_err());
    }
}
