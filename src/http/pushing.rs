//! The socket of an HTTP connection, and who is told how it fares.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use crate::http::heads::{Fault, Heads, NONSENSE};
use crate::http::takeover::Takeover;

/// A stream that is given up when its peer takes nothing for too long.
pub(super) struct Pushing<S> {
    stream: S,
    /// What was read of it before, and is to be read first.
    read: Vec<u8>,
    /// Runs while something waits to be written.
    stalled: Option<Pin<Box<Sleep>>>,
    patience: Duration,
    /// Told whenever everything that was written has gone to the socket.
    takeover: Option<Takeover>,
    /// Where requests are told apart by lines.
    heads: Option<Box<Heads>>,
    broken: Broken,
}

/// Whether the peer has said something that is no request to anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Broken {
    No,
    /// The reader is still to be given something that it cannot mistake.
    Untold,
    Told,
}

impl<S> Pushing<S> {
    pub(super) fn new(stream: S, read: Vec<u8>, patience: Duration) -> Self {
        Pushing { stream, read, stalled: None, patience, takeover: None, heads: None, broken: Broken::No }
    }

    /// The same for HTTP/1.1, where a stream may take the connection over.
    pub(super) fn of_requests(stream: S, read: Vec<u8>, patience: Duration, takeover: Takeover) -> Self {
        let heads = Some(Box::default());
        Pushing { takeover: Some(takeover), heads, ..Pushing::new(stream, read, patience) }
    }

    /// Nothing that is a request will come any more.
    pub(super) fn no_more_requests(mut self) -> Self {
        self.heads = None;
        self
    }

    /// Looks at what was read. What is wrong, and all that follows it, nobody sees.
    fn check(&mut self, read: &mut [u8]) {
        if let Some(heads) = &mut self.heads
            && let Err(Fault(at)) = heads.pass(read)
        {
            read[at..].fill(NONSENSE[0]);
            self.broken = Broken::Untold;
        }
    }

    fn watch<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let patience = self.patience;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(patience)));
        match stalled.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer takes nothing"))),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Pushing<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.broken {
            Broken::No => {}
            Broken::Untold => {
                let count = NONSENSE.len().min(buf.remaining());
                buf.put_slice(&NONSENSE[..count]);
                self.broken = Broken::Told;
                return Poll::Ready(Ok(()));
            }
            Broken::Told => return Poll::Ready(Ok(())),
        }
        if !self.read.is_empty() {
            let count = self.read.len().min(buf.remaining());
            let before = buf.filled().len();
            buf.put_slice(&self.read[..count]);
            self.read.drain(..count);
            if self.read.is_empty() {
                self.read = Vec::new();
            }
            self.check(&mut buf.filled_mut()[before..]);
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.check(&mut buf.filled_mut()[before..]);
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Pushing<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.watch(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        // The HTTP library flushes the socket when its own buffer is empty.
        if let (Poll::Ready(Ok(())), Some(takeover)) = (&flushed, &self.takeover) {
            takeover.flushed();
        }
        self.watch(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let closed = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.watch(cx, closed)
    }
}
