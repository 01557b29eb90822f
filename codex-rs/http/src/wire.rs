//! The byte stream under one HTTP connection, and when it last moved.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::rt::ReadBufCursor;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// Bytes taken from the socket at once. Larger reads gain nothing: a TLS record
/// holds at most 16 KiB (RFC 8446, section 5.1).
const READ_SIZE: usize = 16 * 1024;

/// A TCP stream, or a TLS stream over one, or a TLS stream over a proxy's.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A [`Stream`] of whichever kind a connection needed.
pub type BoxedStream = Box<dyn Stream>;

/// When a byte last moved, shared by the stream and whoever waits on it.
/// Uploading a large body slowly is not idleness, so both directions count.
#[derive(Clone, Debug)]
pub(crate) struct Activity {
    start: Instant,
    millis: Arc<AtomicU64>,
}

impl Activity {
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
            millis: Arc::default(),
        }
    }

    fn touch(&self) {
        let millis = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.millis.store(millis, Ordering::Relaxed);
    }

    /// The moment of the last byte, to the millisecond.
    pub(crate) fn last(&self) -> Instant {
        self.start + Duration::from_millis(self.millis.load(Ordering::Relaxed))
    }
}

/// Gives hyper a tokio stream. Reads go through a buffer of our own, because
/// handing over hyper's uninitialised one needs `unsafe`; the copy is small
/// beside the system call.
pub(crate) struct Wire {
    stream: BoxedStream,
    activity: Activity,
    buffer: Box<[u8]>,
}

impl Wire {
    pub(crate) fn new(stream: BoxedStream, activity: Activity) -> Self {
        Self {
            stream,
            activity,
            buffer: vec![0; READ_SIZE].into_boxed_slice(),
        }
    }
}

impl hyper::rt::Read for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let size = cursor.remaining().min(this.buffer.len());
        let mut read = ReadBuf::new(&mut this.buffer[..size]);
        ready!(Pin::new(&mut this.stream).poll_read(cx, &mut read))?;
        if !read.filled().is_empty() {
            this.activity.touch();
        }
        cursor.put_slice(read.filled());
        Poll::Ready(Ok(()))
    }
}

impl hyper::rt::Write for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.stream).poll_write(cx, bytes))?;
        this.activity.touch();
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.stream).poll_write_vectored(cx, slices))?;
        this.activity.touch();
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
