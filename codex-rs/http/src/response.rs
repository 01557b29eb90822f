//! What came back.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::HeaderMap;
use hyper::body::{Body as _, Bytes, Incoming};

use crate::HttpError;
use crate::pool::{Connection, Pool, Route};

/// A response whose headers have arrived and whose body has not been read yet.
/// Dropping it closes the connection, so the server learns that nobody listens.
pub struct Response {
    status: u16,
    headers: HeaderMap,
    body: Body,
    idle: Duration,
    route: Route,
    pool: Arc<Pool>,
}

enum Body {
    /// Both are boxed: a response moves often, its connection never.
    Open(Box<(Incoming, Connection)>),
    Ended,
    Failed,
}

/// The start of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capped {
    /// The first bytes, at most as many as asked for.
    pub bytes: Vec<u8>,
    /// Whether there was more.
    pub cut: bool,
}

impl Response {
    pub(crate) fn new(
        answer: hyper::Response<Incoming>,
        connection: Connection,
        idle: Duration,
        route: Route,
        pool: Arc<Pool>,
    ) -> Self {
        let (head, incoming) = answer.into_parts();
        Self {
            status: head.status.as_u16(),
            headers: head.headers,
            body: Body::Open(Box::new((incoming, connection))),
            idle,
            route,
            pool,
        }
    }

    /// The HTTP status, from 100 to 999. A 3xx is not followed.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Whether the status is 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The first header of that name, in any case, if its value is ASCII text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// All headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The next piece of the body as it arrived, never empty, or `None` at its
    /// proper end.
    ///
    /// # Errors
    /// [`HttpError::IdleTimeout`] when nothing comes for the request's idle
    /// time, [`HttpError::Cut`] when the connection ends before the body does,
    /// [`HttpError::Protocol`] when the body's framing is broken. After an error
    /// every further call is [`HttpError::Cut`]: a broken body never looks
    /// complete.
    ///
    /// A body with neither a length nor chunks ends where the connection does
    /// (RFC 9112, section 6.3), so over plain `http` its cut can't be seen here.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, HttpError> {
        let target = self.route.target.to_string();
        let (incoming, connection) = match &mut self.body {
            Body::Open(open) => (&mut open.0, &mut open.1),
            Body::Ended => return Ok(None),
            Body::Failed => return Err(HttpError::Cut { target }),
        };
        loop {
            let next = poll_fn(|cx| Pin::new(&mut *incoming).poll_frame(cx));
            let error = match connection.drive(self.idle, next).await {
                Some(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) if !data.is_empty() => return Ok(Some(data)),
                    // Trailers say nothing that anyone here asks for.
                    _ => continue,
                },
                Some(None) => break,
                Some(Some(Err(error))) => HttpError::from_hyper(&error, &target),
                None => HttpError::IdleTimeout {
                    target,
                    after: self.idle,
                },
            };
            self.body = Body::Failed;
            return Err(error);
        }
        if let Body::Open(open) = std::mem::replace(&mut self.body, Body::Ended) {
            self.pool.put(self.route.clone(), open.1).await;
        }
        Ok(None)
    }

    /// Reads the body up to `limit` bytes. When there is more, the rest is not
    /// read and the connection is closed; later calls then give an error.
    ///
    /// # Errors
    /// As for [`Response::chunk`].
    pub async fn read_capped(&mut self, limit: usize) -> Result<Capped, HttpError> {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            let room = limit - bytes.len();
            if chunk.len() > room {
                bytes.extend_from_slice(&chunk[..room]);
                self.body = Body::Failed;
                return Ok(Capped { bytes, cut: true });
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(Capped { bytes, cut: false })
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Response headers can carry session tokens, so they are left out.
        write!(f, "Response({} from {})", self.status, self.route.target)
    }
}
