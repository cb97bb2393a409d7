//! A pipe with what is on its way out, polled in both directions by the one task that owns it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};

use super::framing;
use super::pipe::{Carrier, Io};

pub(super) struct Wire {
    carrier: Carrier,
    out: OutQueue,
    /// Bytes were handed to the pipe that it may still hold back.
    unflushed: bool,
    /// What was read and not taken yet.
    input: Vec<u8>,
}

/// What a poll of the wire came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moved {
    /// There is input to take.
    Read,
    /// Some of what was queued has gone.
    Wrote,
    /// The peer will send nothing more.
    Ended,
}

/// Pieces of output, in order; large ones are shared with other sessions.
#[derive(Default)]
struct OutQueue {
    pieces: VecDeque<Bytes>,
    bytes: usize,
}

impl Wire {
    pub fn new(carrier: Carrier) -> Self {
        Wire { carrier, out: OutQueue::default(), unflushed: false, input: Vec::new() }
    }

    /// Whether every element is a message of its own (RFC 7395).
    pub fn is_framed(&self) -> bool {
        matches!(self.carrier, Carrier::Messages(_))
    }

    /// Queues an element that comes in two pieces.
    pub fn push_two(&mut self, head: Bytes, body: Bytes) {
        if self.is_framed() {
            self.push(Bytes::from([&head[..], &body[..]].concat()));
        } else {
            self.push(head);
            self.push(body);
        }
    }

    /// Queues one whole element, or the header or end of the stream.
    pub fn push(&mut self, piece: Bytes) {
        let piece = if self.is_framed() { framing::document(piece) } else { piece };
        if !piece.is_empty() {
            self.out.bytes += piece.len();
            self.out.pieces.push_back(piece);
        }
    }

    /// Bytes that the pipe has not taken yet.
    pub fn queued(&self) -> usize {
        self.out.bytes
    }

    pub fn input(&self) -> &[u8] {
        &self.input
    }

    /// Drops what has been taken from the front of the input.
    pub fn consume(&mut self, bytes: usize) {
        if bytes == self.input.len() {
            // An idle session holds no buffer.
            self.input = Vec::new();
        } else {
            self.input.drain(..bytes);
        }
    }

    /// Has the transport ask whether the peer is there, where it can.
    pub fn probe(&mut self) -> bool {
        let Carrier::Messages(messages) = &mut self.carrier else { return false };
        let probed = messages.probe();
        self.unflushed |= probed;
        probed
    }

    /// Gives the pipe back, for another layer to be put upon it.
    pub fn into_io(self) -> Option<Box<dyn Io>> {
        match self.carrier {
            Carrier::Bytes(io) => Some(io),
            Carrier::Messages(_) => None,
        }
    }

    /// Writes what is queued, and reads where `reading`. Ready as soon as anything has moved.
    pub fn poll(&mut self, cx: &mut Context<'_>, reading: bool) -> Poll<io::Result<Moved>> {
        let mut wrote = false;
        while self.out.bytes > 0 {
            match self.poll_write(cx) {
                Poll::Ready(Ok(())) => wrote = true,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => break,
            }
        }
        if self.out.bytes == 0 && self.unflushed {
            match self.carrier.poll_flush(cx) {
                Poll::Ready(Ok(())) => self.unflushed = false,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {}
            }
        }
        if reading && let Poll::Ready(moved) = self.poll_read(cx) {
            return Poll::Ready(moved);
        }
        if wrote { Poll::Ready(Ok(Moved::Wrote)) } else { Poll::Pending }
    }

    /// Waits until everything that was queued has left.
    pub async fn flush(&mut self) -> io::Result<()> {
        std::future::poll_fn(|cx| {
            while self.out.bytes > 0 {
                ready!(self.poll_write(cx))?;
            }
            self.carrier.poll_flush(cx)
        })
        .await
    }

    /// Says that nothing more will be written (a TLS close_notify where there is TLS).
    pub async fn shutdown(&mut self) -> io::Result<()> {
        std::future::poll_fn(|cx| match &mut self.carrier {
            Carrier::Bytes(io) => Pin::new(io).poll_shutdown(cx),
            Carrier::Messages(messages) => messages.poll_close(cx),
        })
        .await
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let written = match &mut self.carrier {
            Carrier::Bytes(io) => {
                let mut slices = [IoSlice::new(&[]); SLICES_MAX];
                let count = self.out.chunks_vectored(&mut slices);
                ready!(Pin::new(io).poll_write_vectored(cx, &slices[..count]))?
            }
            Carrier::Messages(messages) => {
                ready!(messages.poll_ready(cx))?;
                let message = self.out.pieces.front().cloned().unwrap_or_default();
                let bytes = message.len();
                messages.send(message)?;
                bytes
            }
        };
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.unflushed = true;
        self.out.advance(written);
        Poll::Ready(Ok(()))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Moved>> {
        let io = match &mut self.carrier {
            Carrier::Bytes(io) => io,
            // One message at a time: what was read must be taken before the next.
            Carrier::Messages(_) if !self.input.is_empty() => return Poll::Pending,
            Carrier::Messages(messages) => {
                return Poll::Ready(Ok(match ready!(messages.poll_receive(cx))? {
                    Some(message) => {
                        self.input = message.into();
                        Moved::Read
                    }
                    None => Moved::Ended,
                }));
            }
        };
        SCRATCH.with_borrow_mut(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            ready!(Pin::new(io).poll_read(cx, &mut buffer))?;
            if buffer.filled().is_empty() {
                return Poll::Ready(Ok(Moved::Ended));
            }
            self.input.extend_from_slice(buffer.filled());
            Poll::Ready(Ok(Moved::Read))
        })
    }
}

impl Carrier {
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Carrier::Bytes(io) => Pin::new(io).poll_flush(cx),
            Carrier::Messages(messages) => messages.poll_flush(cx),
        }
    }
}

impl Buf for OutQueue {
    fn remaining(&self) -> usize {
        self.bytes
    }

    fn chunk(&self) -> &[u8] {
        self.pieces.front().map_or(&[], |piece| piece)
    }

    fn advance(&mut self, mut count: usize) {
        self.bytes -= count;
        while count > 0 {
            let Some(first) = self.pieces.front_mut() else { return };
            if count < first.len() {
                first.advance(count);
                return;
            }
            count -= first.len();
            self.pieces.pop_front();
        }
        if self.pieces.is_empty() && self.pieces.capacity() > PIECES_KEPT {
            self.pieces = VecDeque::new();
        }
    }

    fn chunks_vectored<'a>(&'a self, into: &mut [IoSlice<'a>]) -> usize {
        let mut count = 0;
        for (slice, piece) in into.iter_mut().zip(&self.pieces) {
            *slice = IoSlice::new(piece);
            count += 1;
        }
        count
    }
}

thread_local! {
    /// What is read goes here first, so that a session that waits holds no read buffer.
    static SCRATCH: RefCell<[u8; READ_BYTES]> = const { RefCell::new([0; READ_BYTES]) };
}

const READ_BYTES: usize = 16 << 10;
const SLICES_MAX: usize = 64;
/// The most pieces for which an idle session keeps room.
const PIECES_KEPT: usize = 8;
