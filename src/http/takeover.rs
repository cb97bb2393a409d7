//! How a stream takes its HTTP/1.1 connection over.
//!
//! A connection that serves requests keeps buffers for requests to come, and a stream has none to
//! come. So the handler parks the stream here and answers with a body that says nothing. When the
//! connection has written the head, and nothing else waits to be written, it is taken apart and the
//! stream is given the socket.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame};

use crate::http::watch::Streaming;

/// Between the handler of a request and its connection. One for each connection.
#[derive(Clone, Default)]
pub(super) struct Takeover {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    parked: Option<Streaming>,
    /// The connection has begun to ask for the body: the head stands in its buffer.
    asked: bool,
    /// And that buffer has been written.
    flushed: bool,
}

impl Takeover {
    /// Parks a stream; the body to answer with.
    pub(super) fn park(self, streaming: Streaming) -> Body {
        self.lock().parked = Some(streaming);
        Body::new(Parked(self))
    }

    /// The connection's buffer has been written to the socket.
    pub(super) fn flushed(&self) {
        let mut state = self.lock();
        state.flushed = state.asked;
    }

    /// The stream whose turn it is.
    pub(super) fn take(&self) -> Option<Streaming> {
        let mut state = self.lock();
        if state.flushed { state.parked.take() } else { None }
    }

    // A std mutex: held for an assignment, never across an await.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A body that never says anything.
struct Parked(Takeover);

impl HttpBody for Parked {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.lock().asked = true;
        Poll::Pending
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        // The connection ended before the stream could take it over.
        if !self.0.lock().flushed {
            self.0.lock().parked = None;
        }
    }
}
