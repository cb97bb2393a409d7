//! The answers of one connection of HTTP/2: handed on in pieces, as the peer makes room for them, and looked after where
//! they stand still.
//!
//! The HTTP library keeps whatever a body gives it until there is room, and takes a body that it has been given whole
//! for answered. So a body is given in pieces, the next only when there was room for the last; and a peer that makes
//! none is found out here, for its connection may be in the best of health otherwise.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

/// Of one connection; to be cloned and handed about.
#[derive(Clone)]
pub(super) struct Answers {
    began: Instant,
    // A std mutex: held to add one, and to look through them now and then.
    open: Arc<Mutex<Vec<Weak<AtomicU64>>>>,
}

/// A body that is given piece by piece.
struct Piecewise {
    body: Body,
    /// Of what the body has given last.
    rest: Bytes,
    began: Instant,
    /// When a piece was given and no other was asked for since, in milliseconds from the connection's beginning; 0 where
    /// the peer waits for us.
    given: Arc<AtomicU64>,
}

impl Answers {
    pub(super) fn new() -> Self {
        Answers { began: Instant::now(), open: Arc::default() }
    }

    pub(super) fn piecewise(&self, body: Body) -> Body {
        if body.is_end_stream() {
            return body;
        }
        let given = Arc::default();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|given| given.strong_count() > 0);
        open.push(Arc::downgrade(&given));
        Body::new(Piecewise { body, rest: Bytes::new(), began: self.began, given })
    }

    /// Whether one of them has waited for so long for its peer to make room.
    pub(super) fn stand_still(&self, patience: Duration) -> bool {
        let now = milliseconds(self.began);
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.iter().filter_map(Weak::upgrade).any(|given| {
            let given = given.load(Ordering::Relaxed);
            given > 0 && u128::from(now.saturating_sub(given)) > patience.as_millis()
        })
    }
}

impl HttpBody for Piecewise {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        // Until something is given, it is we who are waited for.
        self.given.store(0, Ordering::Relaxed);
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(frame) => return Poll::Ready(Some(Ok(frame))),
                },
                end => return Poll::Ready(end),
            }
        }
        let piece = self.rest.len().min(PIECE_BYTES);
        let piece = self.rest.split_to(piece);
        self.given.store(milliseconds(self.began).max(1), Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, hint) = (self.rest.len() as u64, self.body.size_hint());
        let mut whole = SizeHint::new();
        whole.set_lower(hint.lower() + rest);
        if let Some(upper) = hint.upper() {
            whole.set_upper(upper + rest);
        }
        whole
    }
}

fn milliseconds(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// A frame of the size that every peer takes (RFC 9113 §4.2).
const PIECE_BYTES: usize = 16 * 1024;
