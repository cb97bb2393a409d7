//! A watch as a body without an end: an event stream, or lines.
//!
//! Over HTTP/2 the connection polls the body when it has room. Over HTTP/1.1 a stream that has been
//! answered takes its connection over (`takeover`): what the HTTP library keeps for further requests
//! is given back, and a chunk is written as it stands, shared bytes and all.

use std::convert::Infallible;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, Stream};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};

use crate::http::Options;
use crate::http::problem::Problem;
use crate::http::watch::watcher::{News, Watcher};

/// A watcher whose transport is a stream of bytes.
pub(in crate::http) struct Streaming {
    watcher: Box<Watcher>,
    greeting: Option<Bytes>,
    over: bool,
}

impl Streaming {
    pub(super) fn new(watcher: Watcher) -> Self {
        let greeting = watcher.format.greeting(watcher.door.options.retry);
        Streaming { watcher: Box::new(watcher), greeting, over: false }
    }

    /// The stream as a body takes it.
    pub(super) fn into_stream(self) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
        stream::unfold(self, |mut streaming| async {
            let pieces = streaming.chunk().await?;
            Some((Ok(join(pieces)), streaming))
        })
    }

    /// Writes the stream to a connection whose response has begun with `Transfer-Encoding: chunked`,
    /// until its end or the peer's, and closes the connection.
    pub(in crate::http) async fn drive(mut self, mut io: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
        loop {
            let pieces = tokio::select! {
                biased;
                pieces = self.chunk() => pieces,
                () = peer_gone(&mut io) => return Ok(()),
            };
            match pieces {
                Some(pieces) => write_chunk(&mut io, &pieces).await?,
                None => break,
            }
        }
        io.write_all(b"0\r\n\r\n").await?;
        io.shutdown().await
    }

    /// The next pieces, as bytes of the stream; nothing at its end.
    async fn chunk(&mut self) -> Option<Vec<Bytes>> {
        if let Some(greeting) = self.greeting.take() {
            return Some(vec![greeting]);
        }
        if self.over {
            return None;
        }
        let format = self.watcher.format;
        match self.watcher.next().await {
            News::Pieces(pieces) => Some(pieces),
            News::Bookmark(cursor) => Some(vec![format.bookmark(&cursor)]),
            News::Idle(cursor) => Some(vec![format.idle(&cursor)]),
            News::Reset(gone) => Some(vec![format.reset(&gone)]),
            News::End(problem) => {
                self.over = true;
                Some(vec![format.end(&problem)])
            }
            News::Stopping => {
                self.over = true;
                Some(vec![format.farewell(retry(&self.watcher.door.options), &stopping())])
            }
            News::Over => None,
        }
    }
}

/// When each stream should come back after the server has stopped: another moment for each.
fn retry(options: &Options) -> Duration {
    let most = options.retry_closing_max.saturating_sub(options.retry);
    // Without randomness they all come back at once, which is no reason to fail.
    let share = f64::from(getrandom::u32().unwrap_or(0)) / f64::from(u32::MAX);
    options.retry + most.mul_f64(share)
}

pub(super) fn stopping() -> Problem {
    Problem::unavailable("stopping", "the server stops: come back in a moment", STOPPING_RETRY_SECONDS)
}

/// One frame of a body: small pieces are copied together, a single one goes as it is.
fn join(pieces: Vec<Bytes>) -> Bytes {
    let mut pieces = pieces.into_iter();
    match (pieces.next(), pieces.len()) {
        (None, _) => Bytes::new(),
        (Some(only), 0) => only,
        (Some(first), _) => {
            let mut joined = BytesMut::from(first);
            pieces.for_each(|piece| joined.extend_from_slice(&piece));
            joined.freeze()
        }
    }
}

/// One chunk (RFC 9112 §7.1) of these pieces, in as few writes as the socket allows.
async fn write_chunk(io: &mut (impl AsyncWrite + Unpin), pieces: &[Bytes]) -> io::Result<()> {
    let bytes: usize = pieces.iter().map(Bytes::len).sum();
    if bytes == 0 {
        // An empty chunk would end the body.
        return Ok(());
    }
    let size = format!("{bytes:x}\r\n");
    let whole = size.len() + bytes + CHUNK_END.len();
    let mut written = 0;
    while written < whole {
        // The slices stand on the stack of one poll, and not in every watcher.
        let more = std::future::poll_fn(|cx| {
            let parts = [size.as_bytes()].into_iter().chain(pieces.iter().map(|piece| &piece[..])).chain([CHUNK_END]);
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let count = remaining(parts, written, &mut slices);
            Pin::new(&mut *io).poll_write_vectored(cx, &slices[..count])
        });
        match more.await? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            more => written += more,
        }
    }
    io.flush().await
}

/// What follows the first `written` bytes of these parts, as far as there is room; how many slices.
fn remaining<'a>(parts: impl Iterator<Item = &'a [u8]>, written: usize, slices: &mut [IoSlice<'a>]) -> usize {
    let (mut skip, mut count) = (written, 0);
    for part in parts {
        if skip >= part.len() {
            skip -= part.len();
            continue;
        }
        let Some(slot) = slices.get_mut(count) else { break };
        *slot = IoSlice::new(&part[skip..]);
        skip = 0;
        count += 1;
    }
    count
}

/// Until the peer has closed its side, or says more than anybody has to say after such a request.
async fn peer_gone(io: &mut (impl AsyncRead + Unpin)) {
    let mut heard = 0;
    std::future::poll_fn(|cx| {
        loop {
            let mut bytes = [0; 64];
            let mut buf = ReadBuf::new(&mut bytes);
            match Pin::new(&mut *io).poll_read(cx, &mut buf) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(())) if buf.filled().is_empty() => return Poll::Ready(()),
                Poll::Ready(Ok(())) => heard += buf.filled().len(),
            }
            if heard > HEARD_MAX {
                return Poll::Ready(());
            }
        }
    })
    .await;
}

const CHUNK_END: &[u8] = b"\r\n";
/// Parts of one vectored write.
const SLICES_MAX: usize = 64;
/// What a peer may send beside a stream, and in vain: requests that it hoped to have answered later.
const HEARD_MAX: usize = 16 * 1024;
const STOPPING_RETRY_SECONDS: u64 = 2;
