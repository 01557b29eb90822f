//! Open connections: one in use, and the few that wait for the next request.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::Instant;

use crate::HttpError;
use crate::request::Payload;
use crate::url::Endpoint;
use crate::wire::{Activity, BoxedStream, Watched};

/// Waiting connections a client keeps. A turn has one model, plus an exporter.
const KEPT: usize = 4;

/// How long a connection waits for its next request. A tool call between two
/// model requests mostly takes less. Longer risks a connection that a router
/// on the way has silently forgotten, which shows only as an idle timeout.
const KEPT_FOR: Duration = Duration::from_secs(30);

/// What moves the bytes of a connection.
type Driver = http1::Connection<TokioIo<Watched<BoxedStream>>, Payload>;

/// One HTTP/1.1 connection. Nothing happens on it unless someone awaits
/// [`Connection::drive`]; dropping it closes the socket.
pub(crate) struct Connection {
    pub(crate) sender: http1::SendRequest<Payload>,
    /// `None` once the connection has ended.
    driver: Option<Pin<Box<Driver>>>,
    activity: Activity,
}

impl Connection {
    pub(crate) async fn open(stream: BoxedStream, target: &str) -> Result<Self, HttpError> {
        let activity = Activity::new();
        let watched = Watched {
            stream,
            activity: activity.clone(),
        };
        let (sender, driver) = http1::handshake(TokioIo::new(watched))
            .await
            .map_err(|error| HttpError::from_hyper(&error, target))?;
        Ok(Self {
            sender,
            driver: Some(Box::pin(driver)),
            activity,
        })
    }

    fn poll_driver(&mut self, cx: &mut Context<'_>) {
        // How it ended is told to whoever waits for the response or its body,
        // which dropping the driver wakes.
        if let Some(driver) = &mut self.driver
            && driver.as_mut().poll(cx).is_ready()
        {
            self.driver = None;
        }
    }

    /// Runs the connection until `wait` is done, or gives `None` when no byte
    /// has moved for `idle` while waiting.
    pub(crate) async fn drive<T>(
        &mut self,
        idle: Duration,
        wait: impl Future<Output = T>,
    ) -> Option<T> {
        let began = Instant::now();
        let mut wait = pin!(wait);
        let mut alarm = pin!(tokio::time::sleep_until(began + idle));
        poll_fn(|cx| {
            loop {
                self.poll_driver(cx);
                if let Poll::Ready(value) = wait.as_mut().poll(cx) {
                    return Poll::Ready(Some(value));
                }
                if alarm.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                // The alarm is only moved when it rings: moving it at every
                // byte would cost more than the byte.
                let deadline = self.activity.last().max(began) + idle;
                if deadline <= Instant::now() {
                    return Poll::Ready(None);
                }
                alarm.as_mut().reset(deadline);
            }
        })
        .await
    }

    /// Whether another request can be sent. Learns first what has arrived
    /// meanwhile, above all the peer's goodbye.
    async fn is_usable(&mut self) -> bool {
        poll_fn(|cx| {
            self.poll_driver(cx);
            Poll::Ready(())
        })
        .await;
        self.driver.is_some() && self.sender.is_ready()
    }
}

/// Whom a connection leads to: requests may share it only when all of this is
/// the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) target: Endpoint,
    pub(crate) proxy: Option<Endpoint>,
}

struct Waiting {
    route: Route,
    connection: Connection,
    since: Instant,
}

/// Connections that wait for their next request, the longest-waiting first.
#[derive(Default)]
pub(crate) struct Pool(Mutex<VecDeque<Waiting>>);

impl Pool {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Waiting>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection along `route` that still stands.
    pub(crate) async fn take(&self, route: &Route) -> Option<Connection> {
        let mut yielded = false;
        loop {
            let mut connection = {
                let mut waiting = self.lock();
                waiting.retain(|waiting| waiting.since.elapsed() < KEPT_FOR);
                let index = waiting
                    .iter()
                    .rposition(|waiting| waiting.route == *route)?;
                waiting.remove(index)?.connection
            };
            if !yielded {
                // Lets the runtime collect what the sockets have to say.
                tokio::task::yield_now().await;
                yielded = true;
            }
            if connection.is_usable().await {
                return Some(connection);
            }
        }
    }

    /// Keeps `connection` for the next request, unless it can't carry one.
    pub(crate) async fn put(&self, route: Route, mut connection: Connection) {
        if !connection.is_usable().await {
            return;
        }
        let mut waiting = self.lock();
        waiting.retain(|waiting| waiting.since.elapsed() < KEPT_FOR);
        if waiting.len() == KEPT {
            waiting.pop_front();
        }
        waiting.push_back(Waiting {
            route,
            connection,
            since: Instant::now(),
        });
    }
}
