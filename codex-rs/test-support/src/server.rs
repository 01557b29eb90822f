//! The scripted model: an HTTP/1.1 server on loopback that gives out replies in order.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, BufReader, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::json;

use crate::crowd::{AgentScripts, Fault};
use crate::reply::{Reply, Step};
use crate::request::{self, Answered, NoRequest, Received};

/// How long a socket may be silent or refuse bytes before its thread gives it up.
const SOCKET_TIMEOUT: Duration = Duration::from_secs(60);

/// A model provider that answers what a test told it to.
///
/// Requests get the script's replies in the order they arrive, over any number of connections.
/// `GET /v1/models` gets a short list and takes no reply. Dropping the server closes every
/// connection, in the middle of a reply too, and waits for its threads.
#[derive(Debug)]
pub struct ScriptedModel {
    shared: Arc<Shared>,
    address: SocketAddr,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Signalled when a request was received, and when the server stops.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    script: VecDeque<Reply>,
    /// Where each agent has its own script, `script` is empty.
    crowd: Option<AgentScripts>,
    given: usize,
    requests: Vec<Received>,
    stopping: bool,
    /// The open connections by number, to be closed when the server stops.
    connections: BTreeMap<u64, TcpStream>,
    threads: Vec<JoinHandle<()>>,
}

impl ScriptedModel {
    /// Starts a server on a free port of 127.0.0.1.
    ///
    /// # Panics
    /// When no port or thread can be had.
    #[track_caller]
    pub fn start(script: Vec<Reply>) -> Self {
        Self::serve(State {
            script: script.into(),
            ..State::default()
        })
    }

    /// Starts a server for many agents at once, each with its own script.
    ///
    /// # Panics
    /// When no port or thread can be had.
    #[track_caller]
    pub fn start_many(scripts: AgentScripts) -> Self {
        Self::serve(State {
            crowd: Some(scripts),
            ..State::default()
        })
    }

    #[track_caller]
    fn serve(state: State) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .expect("the scripted model needs a port on 127.0.0.1");
        let address = listener
            .local_addr()
            .expect("a bound listener has an address");
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            changed: Condvar::new(),
        });
        let acceptor = thread::Builder::new()
            .name("scripted-model".to_owned())
            .spawn({
                let shared = Arc::clone(&shared);
                move || accept(&listener, &shared)
            })
            .expect("the scripted model needs a thread");
        Self {
            shared,
            address,
            acceptor: Some(acceptor),
        }
    }

    /// `http://127.0.0.1:PORT/v1`: what the OpenAI wires call the base URL.
    pub fn base_url(&self) -> String {
        format!("{}/v1", self.root_url())
    }

    /// `http://127.0.0.1:PORT`: what the Messages wire calls the base URL.
    pub fn root_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Adds a reply to the end of the script.
    pub fn push(&self, reply: Reply) {
        self.shared.lock().script.push_back(reply);
    }

    /// Adds a reply to the end of this agent's script.
    ///
    /// # Panics
    /// When agents have no scripts of their own here.
    #[track_caller]
    pub fn push_to(&self, agent: &str, reply: Reply) {
        let mut state = self.shared.lock();
        let crowd = state.crowd.as_mut().expect("a server with agents' scripts");
        crowd.push(agent, vec![reply]);
    }

    /// The requests of this agent that got a reply of its script, in order.
    pub fn turns_of(&self, agent: &str) -> Vec<Received> {
        let mut turns = self.turns();
        turns.retain(|request| request.agent.as_deref() == Some(agent));
        turns
    }

    /// The faults that came so far, each with its agent, in order.
    pub fn faults(&self) -> Vec<(String, Fault)> {
        let fault = |request: &Received| match request.answered {
            Answered::Fault(fault) => Some((request.agent.clone()?, fault)),
            _ => None,
        };
        self.shared
            .lock()
            .requests
            .iter()
            .filter_map(fault)
            .collect()
    }

    /// Every request received so far, in order, whatever its answer was.
    pub fn requests(&self) -> Vec<Received> {
        self.shared.lock().requests.clone()
    }

    /// The requests that got a reply of the script; the one at index N got reply N.
    pub fn turns(&self) -> Vec<Received> {
        let mut turns = self.requests();
        turns.retain(|request| matches!(request.answered, Answered::Script(_)));
        turns
    }

    /// How many replies have not been given yet.
    pub fn remaining(&self) -> usize {
        let state = self.shared.lock();
        let of_agents = state.crowd.as_ref().map_or(0, AgentScripts::remaining);
        state.script.len() + of_agents
    }

    /// Waits until `count` requests got a reply of the script, and gives them.
    ///
    /// # Panics
    /// When that has not happened `within` this time.
    #[track_caller]
    pub fn wait_for_turns(&self, count: usize, within: Duration) -> Vec<Received> {
        let (state, waited) = self
            .shared
            .changed
            .wait_timeout_while(self.shared.lock(), within, |state| state.given < count)
            .unwrap_or_else(PoisonError::into_inner);
        let given = state.given;
        drop(state);
        assert!(
            !waited.timed_out(),
            "the scripted model got {given} of {count} requests within {within:?}"
        );
        self.turns()
    }

    /// Asserts that every reply was given and that no request came beside the script.
    ///
    /// # Panics
    /// When a reply is left, or a request was refused or came beyond the script.
    #[track_caller]
    pub fn assert_finished(&self) {
        let strays: Vec<String> = self
            .requests()
            .iter()
            .filter(|request| {
                matches!(
                    request.answered,
                    Answered::BeyondScript | Answered::Refused(_)
                )
            })
            .map(|request| {
                format!(
                    "{} {}: {:?}",
                    request.method, request.path, request.answered
                )
            })
            .collect();
        let remaining = self.remaining();
        assert!(
            remaining == 0 && strays.is_empty(),
            "the script was not followed: {remaining} replies left, requests beside it: {strays:#?}"
        );
    }
}

impl Drop for ScriptedModel {
    fn drop(&mut self) {
        {
            let mut state = self.shared.lock();
            state.stopping = true;
            for connection in state.connections.values() {
                let _ = connection.shutdown(Shutdown::Both);
            }
        }
        self.shared.changed.notify_all();
        // The acceptor sees `stopping` when one more connection wakes it. Were that refused, a
        // join would wait for ever.
        if TcpStream::connect_timeout(&self.address, SOCKET_TIMEOUT).is_ok()
            && let Some(acceptor) = self.acceptor.take()
        {
            let _ = acceptor.join();
        }
        // No thread is added any more: the acceptor is gone.
        let threads = std::mem::take(&mut self.shared.lock().threads);
        for thread in threads {
            let _ = thread.join();
        }
    }
}

impl Shared {
    /// A test that panicked while it held the lock left the state whole: nothing here is
    /// half-written between two statements.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits, unless the server stops meanwhile; whether it still runs.
    fn pause(&self, duration: Duration) -> bool {
        let (state, _) = self
            .changed
            .wait_timeout_while(self.lock(), duration, |state| !state.stopping)
            .unwrap_or_else(PoisonError::into_inner);
        !state.stopping
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for number in 0.. {
        let accepted = listener.accept();
        let mut state = shared.lock();
        if state.stopping {
            return;
        }
        let Ok((stream, _)) = accepted else {
            // Out of descriptors, most likely: others may be closed soon.
            drop(state);
            thread::sleep(Duration::from_millis(10));
            continue;
        };
        let Ok(registered) = stream.try_clone() else {
            continue;
        };
        let started = thread::Builder::new()
            .name(format!("scripted-model-{number}"))
            .spawn({
                let shared = Arc::clone(shared);
                move || {
                    // A client that went away ends its connection, nothing else.
                    let _ = serve(&stream, &shared);
                    // The registered clone keeps the socket open: close it for the client to see.
                    let _ = stream.shutdown(Shutdown::Both);
                    shared.lock().connections.remove(&number);
                }
            });
        // The thread waits for this lock before it unregisters itself.
        if let Ok(thread) = started {
            state.connections.insert(number, registered);
            state.threads.retain(|thread| !thread.is_finished());
            state.threads.push(thread);
        }
    }
}

/// Answers the requests of one connection until it ends.
fn serve(stream: &TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(SOCKET_TIMEOUT))?;
    stream.set_write_timeout(Some(SOCKET_TIMEOUT))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let transmission = match request::read(&mut reader) {
            Err(NoRequest::Closed) => return Ok(()),
            Err(NoRequest::Malformed(why)) => {
                let refusal = format!("HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n{why}");
                return (&mut &*stream).write_all(refusal.as_bytes());
            }
            Ok(mut request) => {
                let mut state = shared.lock();
                let (answered, reply) = choose(&mut state, &mut request);
                let turn = match answered {
                    Answered::Script(turn) => turn,
                    _ => state.requests.len(),
                };
                let transmission = reply.transmission(&request, turn);
                state.requests.push(Received {
                    answered,
                    ..request
                });
                transmission
            }
        };
        shared.changed.notify_all();
        for step in &transmission.steps {
            match step {
                Step::Pause(duration) => {
                    if !shared.pause(*duration) {
                        return Ok(());
                    }
                }
                Step::Write(bytes) => {
                    for piece in bytes.chunks(transmission.piece) {
                        (&mut &*stream).write_all(piece)?;
                    }
                }
            }
        }
        if !transmission.keep_alive {
            return Ok(());
        }
    }
}

/// Decides on the answer to a request, and takes it from the script if it is one of its replies.
fn choose(state: &mut State, request: &mut Received) -> (Answered, Reply) {
    if request.method == "GET" && request.path == "/v1/models" {
        return (Answered::Models, model_list());
    }
    if let Some(crowd) = &mut state.crowd {
        let (answered, reply) = crowd.choose(request);
        state.given += usize::from(matches!(answered, Answered::Script(_)));
        return (answered, reply);
    }
    let Some(next) = state.script.front() else {
        let message = format!(
            "the script is over: all of its {} replies were given before this {} {}",
            state.given, request.method, request.path
        );
        let reply = Reply::error_json(500, "script_over", message);
        return (Answered::BeyondScript, reply);
    };
    if let Some((status, why)) = next.refuses(request) {
        let reply = Reply::error_json(status, "invalid_request_error", why.clone());
        return (Answered::Refused(why), reply);
    }
    let turn = state.given;
    state.given += 1;
    // `front` has just shown that there is one.
    let reply = state.script.pop_front().expect("a next reply");
    (Answered::Script(turn), reply)
}

fn model_list() -> Reply {
    let model = |id: &str| {
        json!({
            "id": id, "object": "model", "created": 1_760_000_000_u64, "owned_by": "scripted",
        })
    };
    let list = json!({
        "object": "list",
        "data": [model("scripted-large"), model("scripted-small")],
    });
    Reply::text(200, list.to_string()).header("content-type", "application/json")
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::item::Item;

    #[test]
    fn drop_ends_every_thread_and_breaks_off_a_stall() {
        let stalled = Reply::responses(vec![Item::message("never whole")])
            .stall_after(1, Duration::from_secs(3600));
        let model = ScriptedModel::start(vec![stalled]);
        let address = model.address();
        let mut silent = TcpStream::connect(address).unwrap();
        let mut waiting = TcpStream::connect(address).unwrap();
        waiting
            .write_all(
                b"POST /v1/responses HTTP/1.1\r\nhost: x\r\ncontent-length: 15\r\n\r\n\
                  {\"stream\":true}",
            )
            .unwrap();
        model.wait_for_turns(1, Duration::from_secs(30));

        let shared = Arc::downgrade(&model.shared);
        drop(model);
        assert!(shared.upgrade().is_none(), "a thread still runs");
        assert!(TcpStream::connect(address).is_err(), "it still listens");
        assert_eq!(silent.read(&mut [0; 16]).unwrap_or(0), 0);
        let mut rest = Vec::new();
        let _ = waiting.read_to_end(&mut rest);
        assert!(!String::from_utf8_lossy(&rest).contains("response.completed"));
    }
}
