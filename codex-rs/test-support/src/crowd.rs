//! Scripts for many agents at once, and faults that come by chance.
//!
//! Agents ask in any order, so one line of replies would mix them up. Here each has its own: a
//! request belongs to the agent whose [`marker`] comes first in its conversation, which is where
//! the agent's task stands; what it says of others comes later.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::reply::Reply;
use crate::request::{Answered, Received};

/// What a task must contain for its agent's requests to be told from others'.
pub fn marker(agent: &str) -> String {
    format!("{OPENING}{agent}]")
}

const OPENING: &str = "[agent ";

/// Something that goes wrong instead of the next reply, which stays for the next request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Status 500 with an error document.
    ServerError,
    /// Status 429 with `retry-after: 0`.
    RateLimit,
    /// The reply begins, and the connection is closed in its middle.
    Dropped,
    /// The reply begins, nothing comes for [`Faults::stall`], and the connection is closed.
    Stalled,
}

impl Fault {
    /// Every kind.
    pub const ALL: [Self; 4] = [
        Self::ServerError,
        Self::RateLimit,
        Self::Dropped,
        Self::Stalled,
    ];
}

/// Which faults come, and how often. What becomes of an agent's request number N depends on the
/// seed, the agent and N alone, so that a run can be had again however its agents interleave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults {
    /// Another number, other chances.
    pub seed: u64,
    /// How many requests in a hundred meet a fault.
    pub percent: u64,
    /// The kinds that come, each as often. Empty: none comes.
    pub kinds: Vec<Fault>,
    /// The most faults that one agent meets in a row.
    pub most_in_a_row: usize,
    /// The longest that the server thinks before it answers. Below what the client waits for, or a
    /// reply is given to nobody.
    pub most_delay: Duration,
    /// How long a stalled reply is silent.
    pub stall: Duration,
}

impl Faults {
    /// Delays of up to 20 ms and a fault of any kind for one request in five, two in a row at
    /// most.
    pub fn seeded(seed: u64) -> Self {
        Self {
            seed,
            percent: 20,
            kinds: Fault::ALL.to_vec(),
            most_in_a_row: 2,
            most_delay: Duration::from_millis(20),
            stall: Duration::from_millis(50),
        }
    }
}

/// The scripts of many agents.
#[derive(Debug, Clone, Default)]
pub struct AgentScripts {
    scripts: BTreeMap<String, Script>,
    faults: Option<Faults>,
}

#[derive(Debug, Clone, Default)]
struct Script {
    replies: VecDeque<Reply>,
    given: usize,
    asked: u64,
    faults_in_a_row: usize,
}

impl AgentScripts {
    /// No script yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The replies to the agent with this [`marker`], in order.
    pub fn agent(mut self, name: impl Into<String>, replies: Vec<Reply>) -> Self {
        self.push(&name.into(), replies);
        self
    }

    /// Lets these faults come.
    pub fn faults(mut self, faults: Faults) -> Self {
        self.faults = Some(faults);
        self
    }

    pub(crate) fn push(&mut self, agent: &str, replies: Vec<Reply>) {
        let script = self.scripts.entry(agent.to_owned()).or_default();
        script.replies.extend(replies);
    }

    /// How many replies have not been given yet.
    pub(crate) fn remaining(&self) -> usize {
        self.scripts
            .values()
            .map(|script| script.replies.len())
            .sum()
    }

    /// Decides on the answer to a request, and takes it from its agent's script if it is one of
    /// its replies.
    pub(crate) fn choose(&mut self, request: &mut Received) -> (Answered, Reply) {
        let refusal = |why: String| {
            let reply = Reply::error_json(500, "script_over", why);
            (Answered::BeyondScript, reply)
        };
        let Some(agent) = agent_of(request) else {
            return refusal(format!(
                "no task with a marker such as '{}'",
                marker("name")
            ));
        };
        request.agent = Some(agent.clone());
        let Some(script) = self.scripts.get_mut(&agent) else {
            return refusal(format!("there is no script for the agent '{agent}'"));
        };
        let Some(next) = script.replies.front() else {
            let given = script.given;
            return refusal(format!(
                "the agent '{agent}' was given all of its {given} replies"
            ));
        };
        if let Some((status, why)) = next.refuses(request) {
            let reply = Reply::error_json(status, "invalid_request_error", why.clone());
            return (Answered::Refused(why), reply);
        }
        let mut delay = Duration::ZERO;
        if let Some(faults) = &self.faults {
            let mut chance = Chance::new(faults.seed, &agent, script.asked);
            script.asked += 1;
            delay = chance.up_to(faults.most_delay);
            if chance.below(100) < faults.percent
                && script.faults_in_a_row < faults.most_in_a_row
                && let Some(fault) = chance.one_of(&faults.kinds)
            {
                script.faults_in_a_row += 1;
                let reply = faulty(next, fault, faults.stall, &mut chance).delay(delay);
                return (Answered::Fault(fault), reply);
            }
            script.faults_in_a_row = 0;
        }
        let turn = script.given;
        script.given += 1;
        // `front` has just shown that there is one.
        let reply = script.replies.pop_front().expect("a next reply");
        let reply = match delay.is_zero() {
            true => reply,
            false => reply.delay(delay),
        };
        (Answered::Script(turn), reply)
    }
}

fn faulty(next: &Reply, fault: Fault, stall: Duration, chance: &mut Chance) -> Reply {
    // Every reply of a stream has more frames, so that its end never comes.
    let frames = usize::try_from(chance.below(3)).unwrap_or(0);
    match fault {
        Fault::ServerError => Reply::error_json(500, "server_error", "a fault of the test"),
        Fault::RateLimit => Reply::error_json(429, "rate_limit_error", "a fault of the test")
            .header("retry-after", "0"),
        Fault::Dropped => next.clone().cut_after(frames),
        Fault::Stalled => next.clone().cut_after(frames).stall_after(frames, stall),
    }
}

/// The agent whose marker comes first in the conversation of a request.
fn agent_of(request: &Received) -> Option<String> {
    let body = &request.body;
    let conversation = ["input", "messages"]
        .iter()
        .find_map(|key| body.get(*key))?;
    let text = conversation.to_string();
    let (_, rest) = text.split_once(OPENING)?;
    let (name, _) = rest.split_once(']')?;
    Some(name.to_owned())
}

/// SplitMix64 (Steele, Lea and Flood, 2014).
struct Chance(u64);

impl Chance {
    fn new(seed: u64, agent: &str, asked: u64) -> Self {
        let mut chance = Self(seed);
        for part in agent.bytes().map(u64::from).chain([asked]) {
            chance.0 = chance.next() ^ part;
        }
        chance
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, which is not 0. That some come more often by a hair matters nothing.
    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn up_to(&mut self, most: Duration) -> Duration {
        let micros = u64::try_from(most.as_micros()).unwrap_or(u64::MAX - 1);
        Duration::from_micros(self.below(micros + 1))
    }

    fn one_of(&mut self, kinds: &[Fault]) -> Option<Fault> {
        let count = u64::try_from(kinds.len()).ok().filter(|count| *count > 0)?;
        kinds.get(usize::try_from(self.below(count)).ok()?).copied()
    }
}
