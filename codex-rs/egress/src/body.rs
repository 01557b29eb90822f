//! Bodies on their way to the client: streamed, never held.

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep};

type Failure = Box<dyn Error + Send + Sync>;

/// What the client gets.
pub(crate) enum Reply {
    /// The proxy's own words.
    Text(Option<Bytes>),
    /// The host's.
    Stream(Streamed),
}

/// A host's body, up to a size, and as long as it moves.
pub(crate) struct Streamed {
    inner: Incoming,
    left: u64,
    idle: Duration,
    deadline: Pin<Box<Sleep>>,
}

impl Streamed {
    pub(crate) fn new(inner: Incoming, limit: u64, idle: Duration) -> Self {
        Self {
            inner,
            left: limit,
            idle,
            deadline: Box::pin(tokio::time::sleep(idle)),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        let frame = match Pin::new(&mut self.inner).poll_frame(cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                ready!(self.deadline.as_mut().poll(cx));
                return Poll::Ready(Some(Err("the host sent nothing for too long".into())));
            }
        };
        let Some(Ok(frame)) = frame else {
            return Poll::Ready(frame.map(|f| f.map_err(Into::into)));
        };
        let length = frame.data_ref().map_or(0, Bytes::len);
        let length = u64::try_from(length).unwrap_or(u64::MAX);
        let Some(left) = self.left.checked_sub(length) else {
            return Poll::Ready(Some(Err(
                "the answer is longer than the proxy's limit".into()
            )));
        };
        self.left = left;
        self.deadline.as_mut().reset(Instant::now() + self.idle);
        Poll::Ready(Some(Ok(frame)))
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        match self.get_mut() {
            Self::Text(text) => Poll::Ready(text.take().map(|t| Ok(Frame::data(t)))),
            Self::Stream(streamed) => streamed.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Text(text) => text.is_none(),
            Self::Stream(streamed) => streamed.inner.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Text(text) => {
                let length = text.as_ref().map_or(0, Bytes::len);
                SizeHint::with_exact(u64::try_from(length).unwrap_or(u64::MAX))
            }
            Self::Stream(streamed) => streamed.inner.size_hint(),
        }
    }
}
