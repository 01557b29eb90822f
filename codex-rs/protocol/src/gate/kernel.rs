//! Kernel surface, kinds of sockets, other processes, the terminal, limits.

use super::Verdicts;
use crate::decision::{Decision, Rule, rule};
use crate::request::{Resource, ResourceLimit};
use crate::security_profile::SecurityProfile;

pub(super) fn call(verdict: Verdicts) -> Decision {
    let why = "the kernel's privileged calls are closed to commands";
    unless_trusted(verdict, rule::PRIVILEGE_KERNEL, why)
}

pub(super) fn socket(verdict: Verdicts) -> Decision {
    let why = "only sockets for TCP, UDP and unix streams can be made";
    unless_trusted(verdict, rule::NET_SOCKET, why)
}

pub(super) fn terminal(verdict: Verdicts) -> Decision {
    let why = "nothing can be typed into the terminal";
    unless_trusted(verdict, rule::PRIVILEGE_TERMINAL, why)
}

pub(super) fn process(verdict: Verdicts) -> Decision {
    let why = "processes outside the sandbox cannot be signalled, traced, read or changed";
    unless_trusted(verdict, rule::PRIVILEGE_PROCESS, why)
}

/// No grant opens these: each would give up more than the person can see from its name.
fn unless_trusted(verdict: Verdicts, rule: Rule, why: &str) -> Decision {
    match verdict.profile {
        SecurityProfile::Trusted => verdict.allow(rule::TRUSTED),
        _ => verdict.deny(rule, why, None),
    }
}

/// A limit holds in every profile that sets one.
pub(super) fn resource_limit(verdict: Verdicts, reached: &ResourceLimit) -> Decision {
    let limit = reached.limit;
    let (rule, why) = match reached.resource {
        Resource::Processes => (
            rule::RESOURCE_PROCESSES,
            format!("the limit of {limit} processes at one time is reached"),
        ),
        Resource::Memory => (
            rule::RESOURCE_MEMORY,
            format!("the limit of {limit} bytes of memory is reached"),
        ),
    };
    verdict.deny(rule, &why, None)
}
