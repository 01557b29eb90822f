//! Commands that outlast the call that started them.
//!
//! Each has a task that reads what it prints, waits for its end, records that end, and tells the
//! front end. The task holds the command; when it is dropped, the command ends with it.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use codex_protocol::event::{ItemDetails, Status};
use codex_protocol::gate::Authorized;
use codex_protocol::permission::Permissions;
use codex_protocol::record::{Observation, RecordError, Recorded};
use codex_protocol::request::ProcessSpawn;
use codex_protocol::tool::Fatal;
use codex_sandbox::spawn::{Outcome, Running};
use codex_sandbox::streams::{Receiver, Sender};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span};

use super::shell::explain;
use crate::command::{CommandError, Refused, Started, denied_text};
use crate::output::Capture;
use crate::spans;

/// How many commands are at work side by side at most.
pub(super) const MOST: usize = 8;

/// How long a command has to be quiet before what it printed is given to the model: long enough
/// for a line to be whole, short enough not to be felt.
const QUIET: Duration = Duration::from_millis(100);

/// The commands of a session, by id. Those that ended stay until the model was told so, or until
/// another needs their place.
#[derive(Default)]
pub(super) struct Commands(Mutex<BTreeMap<String, Arc<Live>>>);

/// One command.
pub(super) struct Live {
    /// The id of its step, which is also its own: unique in the session, resumed or not.
    pub(super) id: String,
    shown: String,
    recorded: Recorded<Authorized<ProcessSpawn>>,
    permissions: Permissions,
    stdin: tokio::sync::Mutex<Option<Sender>>,
    state: Mutex<State>,
    changed: Notify,
    stop: CancellationToken,
    refused: Refused,
}

struct State {
    whole: Capture,
    fresh: Capture,
    last_read: Instant,
    ended: Option<Result<Outcome, String>>,
    unrecorded: Option<RecordError>,
}

/// What a command printed since it was last asked, and how it ended if it did.
pub(super) struct News {
    pub(super) text: String,
    pub(super) ended: Option<Result<Outcome, String>>,
}

impl Commands {
    fn map(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Live>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes room for one more. `Err` names those at work when there is none.
    pub(super) fn make_room(&self) -> Result<(), Vec<String>> {
        let mut map = self.map();
        if map.len() >= MOST {
            let ended = map.iter().find(|(_, live)| live.can_be_forgotten());
            let ended = ended.map(|(id, _)| id.clone());
            match ended {
                Some(id) => drop(map.remove(&id)),
                None => return Err(map.keys().cloned().collect()),
            }
        }
        Ok(())
    }

    /// The command of this id. `Err` names those there are.
    pub(super) fn get(&self, id: &str) -> Result<Arc<Live>, Vec<String>> {
        let map = self.map();
        let found = map.get(id).cloned();
        found.ok_or_else(|| map.keys().cloned().collect())
    }

    pub(super) fn insert(&self, live: Arc<Live>) {
        self.map().insert(live.id.clone(), live);
    }

    pub(super) fn forget(&self, id: &str) {
        self.map().remove(id);
    }

    /// Ends all of them and waits until each end is recorded.
    pub(super) async fn end(&self) -> Result<(), Fatal> {
        let all = std::mem::take(&mut *self.map());
        for live in all.values() {
            live.stop.cancel();
        }
        let mut ended = Ok(());
        for live in all.values() {
            live.until_ended().await;
            ended = ended.and(live.check());
        }
        ended
    }
}

impl Live {
    /// Takes charge of a started command. What it prints goes to `place` where it is too long.
    pub(super) fn begin(
        id: String,
        shown: String,
        recorded: Recorded<Authorized<ProcessSpawn>>,
        permissions: &Permissions,
        started: Started,
        place: PathBuf,
    ) -> Arc<Self> {
        let Started {
            running,
            stdin,
            stdout,
            span,
        } = started;
        let whole = Capture::new(place);
        let live = Arc::new(Self {
            id,
            shown,
            recorded,
            permissions: permissions.clone(),
            stdin: tokio::sync::Mutex::new(Some(stdin)),
            state: Mutex::new(State {
                fresh: Capture::part_of(&whole),
                whole,
                last_read: Instant::now(),
                ended: None,
                unrecorded: None,
            }),
            changed: Notify::new(),
            stop: CancellationToken::new(),
            refused: Refused::default(),
        });
        tokio::spawn(
            Arc::clone(&live)
                .attend(running, stdout, span.clone())
                .instrument(span),
        );
        live
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nothing of it is lost if it is forgotten. An end that could not be recorded has to
    /// end the run, so it stays until somebody is told.
    fn can_be_forgotten(&self) -> bool {
        let state = self.state();
        state.ended.is_some() && state.unrecorded.is_none()
    }

    /// The command's task.
    async fn attend(self: Arc<Self>, running: Running, mut stdout: Receiver, span: Span) {
        let observer = |observation: &Observation| {
            let recorded = self.refused.observe(&self.permissions, observation);
            self.changed.notify_waiters();
            recorded
        };
        let wait = async {
            tokio::select! {
                // Dropping the other branch is what ends the command's tree.
                () = self.stop.cancelled() => Ok(Outcome::Ended),
                outcome = running.wait_async(&observer) => outcome,
            }
        };
        let read = async {
            let mut buffer = [0; 16 << 10];
            loop {
                match stdout.read(&mut buffer).await? {
                    0 => return io::Result::Ok(()),
                    n => self.take(&buffer[..n]),
                }
            }
        };
        let (outcome, read) = tokio::join!(wait, read);
        let ended = outcome
            .map_err(CommandError::from)
            .and_then(|outcome| read.map(|()| outcome).map_err(CommandError::from));
        spans::command_ended(&span, ended.as_ref().map(|outcome| *outcome));
        let recorded = match &ended {
            Ok(outcome) => json!(outcome),
            Err(error) => json!({ "failed": error.to_string() }),
        };
        let recorded = self.permissions.record_outcome(&self.recorded, recorded);
        let (code, status) = match ended {
            Ok(Outcome::Exited(0)) => (Some(0), Status::Completed),
            Ok(Outcome::Exited(code)) => (Some(code), Status::Failed),
            _ => (None, Status::Failed),
        };
        let ended = ended.map_err(|error| explain(&error));
        let text = {
            let mut state = self.state();
            state.unrecorded = recorded.err();
            let text = match &ended {
                Ok(_) => state.whole.so_far(&state.whole).text,
                Err(error) => error.clone(),
            };
            state.ended = Some(ended);
            text
        };
        let details = self.step(text, code, status);
        self.permissions.items().completed(self.id.clone(), details);
        self.changed.notify_waiters();
    }

    fn take(&self, bytes: &[u8]) {
        let mut state = self.state();
        state.whole.push(bytes);
        state.fresh.push(bytes);
        state.last_read = Instant::now();
        drop(state);
        self.changed.notify_waiters();
    }

    fn step(
        &self,
        aggregated_output: String,
        exit_code: Option<i32>,
        status: Status,
    ) -> ItemDetails {
        ItemDetails::CommandExecution {
            command: self.shown.clone(),
            aggregated_output,
            exit_code,
            status,
        }
    }

    async fn until_ended(&self) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.state().ended.is_some() {
                return;
            }
            changed.await;
        }
    }

    /// Ends it with all it started.
    pub(super) async fn stop(&self) {
        self.stop.cancel();
        self.until_ended().await;
    }

    /// That its end is in the log, where it has ended.
    pub(super) fn check(&self) -> Result<(), Fatal> {
        self.state()
            .unrecorded
            .take()
            .map_or(Ok(()), |error| Err(Fatal(error)))
    }

    /// Records `chars` and gives them to the command, as far as it takes them until `deadline`.
    /// Says how many bytes it took.
    pub(super) async fn write(
        &self,
        chars: &str,
        close: bool,
        deadline: Instant,
    ) -> Result<Result<usize, io::Error>, Fatal> {
        let mut stdin = self.stdin.lock().await;
        let Some(pipe) = stdin.as_mut() else {
            let closed =
                || io::Error::new(io::ErrorKind::BrokenPipe, "its input was closed before");
            return Ok(if chars.is_empty() {
                Ok(0)
            } else {
                Err(closed())
            });
        };
        self.permissions
            .record_input(&self.recorded, json!({ "chars": chars, "close": close }))?;
        let mut done = 0;
        let written = timeout_at(deadline, async {
            while done < chars.len() {
                done += pipe.write(&chars.as_bytes()[done..]).await?;
            }
            io::Result::Ok(())
        });
        // Its end needs no waiting for: a command that has ended takes nothing.
        let written = tokio::select! {
            () = self.until_ended() => Ok(Err(io::Error::new(io::ErrorKind::BrokenPipe, "it has ended"))),
            written = written => written,
        };
        if close {
            *stdin = None;
        }
        Ok(match written {
            Ok(Err(error)) => Err(error),
            _ => Ok(done),
        })
    }

    /// Waits until it printed something and went quiet, or ended, or until `deadline`; then gives
    /// what is new.
    pub(super) async fn news(&self, deadline: Instant) -> News {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let quiet = {
                let state = self.state();
                if state.ended.is_some() {
                    break;
                }
                let silent = state.fresh.is_empty();
                (!silent).then(|| state.last_read + QUIET)
            };
            let until = quiet.map_or(deadline, |quiet| quiet.min(deadline));
            tokio::select! {
                () = changed => {}
                () = sleep_until(until) => break,
            }
        }
        let mut state = self.state();
        let next = Capture::part_of(&state.whole);
        let fresh = std::mem::replace(&mut state.fresh, next);
        let mut text = fresh.so_far(&state.whole).text;
        text.push_str(&denied_text(&self.refused.take()));
        let news = News {
            text,
            ended: state.ended.clone(),
        };
        let so_far = state.whole.so_far(&state.whole).text;
        drop(state);
        if news.ended.is_none() && !news.text.is_empty() {
            let details = self.step(so_far, None, Status::InProgress);
            self.permissions.items().updated(self.id.clone(), details);
        }
        news
    }
}
