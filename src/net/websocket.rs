//! WebSockets as carriers of streams (RFC 6455, RFC 7395): one text message, one element.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use futures_util::{Sink as _, Stream as _};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use super::gate::Gate;
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
    let Ok(pending) = gate.enter(peer, Instant::now()) else {
        return tracing::info!(%peer, "too many connections of one address open streams");
    };
    let bytes = sessions.message_bytes_max();
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(usize::MAX)
        .max_message_size(Some(bytes))
        .max_frame_size(Some(bytes));
    let stream = WebSocketStream::from_raw_socket(socket, Role::Server, Some(config)).await;
    let carrier = Carrier::Messages(Box::new(WebSocket { stream, over: false }));
    let unauthenticated: Option<Box<dyn Send>> = Some(Box::new(pending));
    sessions
        .run(Pipe { carrier, peer, upgrade: None, clear: !secure, secured: Secured::default(), unauthenticated })
        .await;
}

struct WebSocket<S> {
    stream: WebSocketStream<S>,
    /// We have said why it ends; the peer is not listened to any more.
    over: bool,
}

impl<S: Io> WebSocket<S> {
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
            match ready!(Pin::new(&mut self.stream).poll_next(cx)) {
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
