//! Changes of user, groups and capabilities. Without capabilities the kernel refuses all that would
//! give anything; it does so unseen, hence the look.

use super::Supervisor;
use super::listener::Answer;
use super::task::{Errno, Task};

/// Versions of `capset(2)`, header `linux/capability.h`: the first takes one set of three words,
/// the others two.
const VERSION_1: u32 = 0x1998_0330;

impl Supervisor<'_> {
    pub(super) fn change_users(
        &mut self,
        task: Task,
        call: &str,
        ids: &[u64],
    ) -> Result<Answer, Errno> {
        self.change_ids(task, call, "Uid:", ids)
    }

    pub(super) fn change_groups(
        &mut self,
        task: Task,
        call: &str,
        ids: &[u64],
    ) -> Result<Answer, Errno> {
        self.change_ids(task, call, "Gid:", ids)
    }

    /// To what the task is already, or may go back to, it may change.
    fn change_ids(
        &mut self,
        task: Task,
        call: &str,
        field: &str,
        ids: &[u64],
    ) -> Result<Answer, Errno> {
        let own = own_ids(task, field);
        let ids: Vec<u32> = ids.iter().map(|id| *id as u32).collect();
        // All ones mean "leave it".
        if ids.iter().all(|id| *id == u32::MAX || own.contains(id)) {
            return Ok(Answer::Continue);
        }
        let texts: Vec<String> = ids.iter().map(|id| id.cast_signed().to_string()).collect();
        self.refuse(task, call, Some(texts.join(", ")), libc::EPERM)
    }

    /// `setfsuid` and `setfsgid` know no errors: they give the id that was in force.
    pub(super) fn change_file_user(
        &mut self,
        task: Task,
        call: &str,
        field: &str,
        id: u64,
    ) -> Result<Answer, Errno> {
        match self.change_ids(task, call, field, &[id]) {
            Ok(answer) => Ok(answer),
            Err(errno) => {
                let current = own_ids(task, field).last().copied();
                current.map(|id| Answer::Value(id.into())).ok_or(errno)
            }
        }
    }

    pub(super) fn change_capabilities(
        &mut self,
        task: Task,
        header: u64,
        sets: u64,
    ) -> Result<Answer, Errno> {
        let mut version = [0; 4];
        task.read(header, &mut version)?;
        if sets == 0 {
            return Ok(Answer::Continue);
        }
        let count = if u32::from_ne_bytes(version) == VERSION_1 {
            1
        } else {
            2
        };
        let mut asked = 0_u64;
        for n in 0..count {
            let mut set = [0; 12];
            task.read(sets.saturating_add(n * 12), &mut set)?;
            for word in set.chunks_exact(4) {
                let word = u32::from_ne_bytes(word.try_into().unwrap_or_default());
                asked |= u64::from(word) << (32 * n);
            }
        }
        let own = ["CapPrm:", "CapInh:"].map(|set| {
            let text = task.status(set).unwrap_or_default();
            u64::from_str_radix(&text, 16).unwrap_or_default()
        });
        let more = asked & !(own[0] | own[1]);
        match more {
            0 => Ok(Answer::Continue),
            _ => self.refuse(task, "capset", Some(format!("{more:#x}")), libc::EPERM),
        }
    }
}

/// Real, effective, saved and file system's id, in this order.
fn own_ids(task: Task, field: &str) -> Vec<u32> {
    let text = task.status(field).unwrap_or_default();
    text.split_whitespace()
        .filter_map(|id| id.parse().ok())
        .collect()
}
