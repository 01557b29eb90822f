//! What holds a fork bomb until it is counted and ended.
//!
//! Whoever counts thousands of processes that all want to run gets a turn after all of them. So the
//! kernel is asked to hold an ordinary user to a number, which it does not do for root. A helper at
//! real-time priority would count in time there too, and makes every short command take twice as
//! long.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::plan::{Limits, TASKS};

/// How many more processes than [`TASKS`] the kernel lets a user have, so that it is the count
/// that ends the command, and is recorded, and not the kernel that makes it fail unseen.
const ROOM: u64 = 1024;

/// How many processes the command's user may have, where none but [`TASKS`] was asked for: with a
/// number of its own every new process is held to that.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Population(Option<u64>);

impl Population {
    /// What the processes of a plan are held to.
    pub(super) fn prepare(limits: &Limits) -> Self {
        if limits.tasks.is_some() {
            return Self::default();
        }
        // The user's others count too, and are no more than the machine has.
        let others = u64::from(rustix::system::sysinfo().procs);
        Self(Some(others + TASKS + ROOM))
    }

    /// Holds the process that becomes the command.
    pub(super) fn hold(self) -> rustix::io::Result<()> {
        let Self(Some(most)) = self else {
            return Ok(());
        };
        let own = getrlimit(Resource::Nproc);
        let least = |limit: Option<u64>| Some(limit.map_or(most, |limit| limit.min(most)));
        let limit = Rlimit {
            current: least(own.current),
            maximum: least(own.maximum),
        };
        setrlimit(Resource::Nproc, limit)
    }
}
