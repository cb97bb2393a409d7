//! What a session over HTTP looks like to the code of sessions: a pipe of messages.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::time::{Instant, Sleep};

use super::{One, Table};
use crate::session::Messages;

pub(super) struct BoshCarrier {
    one: Arc<One>,
    table: Arc<Table>,
    /// Runs while the client has no request with us.
    silence: Option<Pin<Box<Sleep>>>,
}

impl BoshCarrier {
    pub fn new(one: Arc<One>, table: Arc<Table>) -> Self {
        BoshCarrier { one, table, silence: None }
    }

    /// Whether the client has been away for too long.
    fn poll_gone(&mut self, cx: &mut Context<'_>, at: Option<Instant>) -> Poll<()> {
        let Some(at) = at else {
            self.silence = None;
            return Poll::Pending;
        };
        let silence = self.silence.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
        if silence.deadline() != at {
            silence.as_mut().reset(at);
        }
        silence.as_mut().poll(cx)
    }
}

impl Messages for BoshCarrier {
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        let gone_at = {
            let mut state = self.one.lock();
            if let Some(message) = state.take_inbound(Instant::now()) {
                return Poll::Ready(Ok(Some(message)));
            }
            if state.is_over() {
                return Poll::Ready(Ok(None));
            }
            state.reader = Some(cx.waker().clone());
            state.gone_at()
        };
        match self.poll_gone(cx, gone_at) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) if self.one.lock().abandon(Instant::now()) => Poll::Ready(Ok(None)),
            // Somebody has come in this very moment, and has woken us.
            Poll::Ready(()) => Poll::Pending,
        }
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let gone_at = {
            let mut state = self.one.lock();
            if state.is_over() {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            if !state.is_full(Instant::now()) {
                return Poll::Ready(Ok(()));
            }
            state.writer = Some(cx.waker().clone());
            state.gone_at()
        };
        match self.poll_gone(cx, gone_at) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) if self.one.lock().abandon(Instant::now()) => {
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
            Poll::Ready(()) => Poll::Pending,
        }
    }

    fn send(&mut self, message: Bytes) -> io::Result<()> {
        self.one.lock().say(message);
        Ok(())
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // What was taken waits with us, in bounds, until it is fetched.
        self.one.lock().flush(Instant::now());
        Poll::Ready(Ok(()))
    }

    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn probe(&mut self) -> bool {
        // A request that waits with us is the sign of life; without one, inactivity is what counts.
        self.one.lock().probe();
        true
    }
}

impl Drop for BoshCarrier {
    fn drop(&mut self) {
        let (told, inactivity) = {
            let mut state = self.one.lock();
            (state.close(Instant::now()), state.terms.inactivity)
        };
        let (one, table) = (self.one.clone(), self.table.clone());
        match tokio::runtime::Handle::try_current() {
            // Why it ended waits for the client's next request, for as long as that could be on its way.
            Ok(runtime) if !told => drop(runtime.spawn(async move {
                tokio::time::sleep(inactivity).await;
                table.remove(&one.sid);
            })),
            _ => table.remove(&one.sid),
        }
    }
}
