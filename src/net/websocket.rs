//! WebSockets as carriers of streams (RFC 6455, RFC 7395): one text message, one element.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use futures_util::{Sink as _, Stream as _};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use super::gate::{Gate, Pending};
use crate::counts::SessionKind;
use crate::session::{Carrier, Io, Messages, Pipe, Sessions};
use crate::stream::Secured;

/// Speaks with the peer of a WebSocket whose handshake is done, until one of both ends it.
pub async fn websocket<S: Io + 'static>(
    socket: S,
    peer: SocketAddr,
    secure: bool,
    gate: Arc<Gate>,
    sessions: Sessions,
) {
    // The connection was let in by the HTTP listener: only those on their way are counted here.
    let entered = gate.enter(peer, Instant::now()).inspect_err(|held| gate.hit(held.by));
    let Ok(pending) = entered else {
        return tracing::info!(%peer, "too many connections of one address open streams");
    };
    let known = Arc::new(AtomicBool::new(false));
    let (bytes, bytes_unknown) = (sessions.message_bytes_max(), sessions.message_bytes_unauthenticated_max());
    let metered = Metered { socket, known: known.clone(), unfinished: 0, unknown_max: bytes_unknown };
    let carrier = Carrier::Messages(Box::new(WebSocket::new(metered, bytes).await));
    let unauthenticated: Option<Box<dyn Send>> = Some(Box::new(Unknown { _pending: pending, known }));
    sessions
        .run(Pipe {
            kind: SessionKind::WebSocket,
            carrier,
            peer,
            upgrade: None,
            clear: !secure,
            secured: Secured::default(),
            unauthenticated,
        })
        .await;
}

/// A connection's place among those unauthenticated; when it is given back, the peer has said who it is.
struct Unknown {
    _pending: Pending,
    known: Arc<AtomicBool>,
}

impl Drop for Unknown {
    fn drop(&mut self) {
        self.known.store(true, Ordering::Release);
    }
}

/// A socket of whose peer, until it has said who it is, no large message is collected.
struct Metered<S> {
    socket: S,
    known: Arc<AtomicBool>,
    /// Bytes read since the last message was whole.
    unfinished: usize,
    unknown_max: usize,
}

impl<S> Metered<S> {
    fn exceeded(&self) -> bool {
        self.unfinished > self.unknown_max && !self.known.load(Ordering::Acquire)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(cx, buf))?;
        self.unfinished += buf.filled().len() - before;
        Poll::Ready(if self.exceeded() { Err(io::ErrorKind::InvalidData.into()) } else { Ok(()) })
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

struct WebSocket<S> {
    stream: WebSocketStream<Metered<S>>,
    /// We have said why it ends; the peer is not listened to any more.
    over: bool,
}

impl<S: Io> WebSocket<S> {
    async fn new(socket: Metered<S>, message_bytes_max: usize) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(0)
            .max_write_buffer_size(usize::MAX)
            .max_message_size(Some(message_bytes_max))
            .max_frame_size(Some(message_bytes_max));
        WebSocket { stream: WebSocketStream::from_raw_socket(socket, Role::Server, Some(config)).await, over: false }
    }

    /// Ends the connection for what the peer did; what could not be understood is lost.
    fn refuse(
        &mut self,
        cx: &mut Context<'_>,
        code: CloseCode,
        reason: &'static str,
    ) -> Poll<io::Result<Option<Bytes>>> {
        self.over = true;
        let frame = CloseFrame { code, reason: Utf8Bytes::from_static(reason) };
        if Pin::new(&mut self.stream).start_send(Message::Close(Some(frame))).is_ok() {
            let _ = Pin::new(&mut self.stream).poll_flush(cx);
        }
        Poll::Ready(Ok(None))
    }
}

impl<S: Io> Messages for WebSocket<S> {
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        loop {
            if self.over {
                return Poll::Ready(Ok(None));
            }
            let came = ready!(Pin::new(&mut self.stream).poll_next(cx));
            if self.stream.get_ref().exceeded() {
                return self.refuse(cx, CloseCode::Size, "too large");
            }
            if matches!(came, Some(Ok(_))) {
                self.stream.get_mut().unfinished = 0;
            }
            match came {
                None => return Poll::Ready(Ok(None)),
                Some(Ok(Message::Text(text))) => return Poll::Ready(Ok(Some(Bytes::from(text)))),
                // The library answers pings and closes.
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => return Poll::Ready(Ok(Some(Bytes::new()))),
                Some(Ok(Message::Frame(_))) => {}
                Some(Ok(Message::Close(_))) => {
                    let _ = Pin::new(&mut self.stream).poll_flush(cx);
                    return Poll::Ready(Ok(None));
                }
                // RFC 7395 §3.2.
                Some(Ok(Message::Binary(_))) => return self.refuse(cx, CloseCode::Unsupported, "text is expected"),
                Some(Err(Error::Capacity(_))) => return self.refuse(cx, CloseCode::Size, "too large"),
                Some(Err(Error::Utf8(_))) => return self.refuse(cx, CloseCode::Invalid, "not UTF-8"),
                Some(Err(Error::Protocol(_))) => {
                    return self.refuse(cx, CloseCode::Protocol, "not a WebSocket's frames");
                }
                Some(Err(error)) => return Poll::Ready(Err(told(error))),
            }
        }
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // What was taken must have left before more is: nothing piles up here.
        ready!(Pin::new(&mut self.stream).poll_flush(cx)).map_err(told)?;
        Pin::new(&mut self.stream).poll_ready(cx).map_err(told)
    }

    fn send(&mut self, message: Bytes) -> io::Result<()> {
        let text = Utf8Bytes::try_from(message).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        Pin::new(&mut self.stream).start_send(Message::Text(text)).map_err(told)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx).map_err(told)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx).map_err(told)
    }

    fn probe(&mut self) -> bool {
        Pin::new(&mut self.stream).start_send(Message::Ping(Bytes::new())).is_ok()
    }
}

fn told(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        other => io::Error::other(other),
    }
}

/// An idle connection holds so much.
const READ_BUFFER_BYTES: usize = 1 << 10;

#[cfg(test)]
mod tests {
    use futures_util::{SinkExt as _, StreamExt as _};

    use super::*;

    /// What becomes of a message of 100,000 bytes: what is received, and with what the peer is told to go.
    async fn large(authenticated: bool) -> (Option<usize>, Option<CloseCode>) {
        let (near, far) = tokio::io::duplex(1 << 10);
        let known = Arc::new(AtomicBool::new(authenticated));
        let metered = Metered { socket: near, known, unfinished: 0, unknown_max: 10_000 };
        let mut server = WebSocket::new(metered, 200_000).await;
        let client = WebSocketStream::from_raw_socket(far, Role::Client, None).await;
        let (mut sending, mut hearing) = client.split();
        let send = tokio::spawn(async move { sending.send(Message::text("x".repeat(100_000))).await });
        let received = std::future::poll_fn(|cx| server.poll_receive(cx)).await.unwrap();
        let told = match received {
            Some(_) => None,
            None => match hearing.next().await {
                Some(Ok(Message::Close(Some(frame)))) => Some(frame.code),
                _ => None,
            },
        };
        send.abort();
        (received.map(|bytes| bytes.len()), told)
    }

    #[tokio::test]
    async fn a_large_message_is_collected_only_of_those_who_are_known() {
        assert_eq!(large(true).await, (Some(100_000), None));
        assert_eq!(large(false).await, (None, Some(CloseCode::Size)));
    }
}
