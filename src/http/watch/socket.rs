//! The WebSocket (RFC 6455): the same objects, a message each. The client may begin to watch further
//! nodes, stop watching one, and say how far it has come.

use std::collections::HashMap;

use axum::http::header::SEC_WEBSOCKET_PROTOCOL;
use axum::http::request::Parts;
use axum::http::{Request, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Message, Utf8Bytes};

use crate::delivery::NODES_MAX;
use crate::http::json::Object;
use crate::http::problem::Problem;
use crate::http::routes::{Call, Scope};
use crate::http::serve::Link;
use crate::http::upgrade::{Handshake, listed};
use crate::http::watch::begin::Opening;
use crate::http::watch::format::Format;
use crate::http::watch::watcher::{News, Watcher};
use crate::http::watch::wish::{Since, not_a_cursor};
use crate::pubsub::{NodeId, NodeKey, Seq};

/// A handshake that asks for what is offered here.
pub(super) struct Wanted {
    handshake: Handshake,
    protocol: Option<&'static str>,
}

/// What a client says.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
enum Said {
    Subscribe {
        node: String,
        #[serde(default)]
        since: Option<String>,
        #[serde(default)]
        initial: bool,
    },
    Unsubscribe {
        node: String,
    },
    Ack {
        cursor: String,
    },
}

/// An open WebSocket.
struct Socket {
    call: Call,
    watcher: Watcher,
    stream: WebSocketStream<TokioIo<Upgraded>>,
    /// How far a client that acknowledges has come, in each log.
    acknowledged: Option<HashMap<NodeKey, Seq>>,
}

impl Wanted {
    /// A client may do without naming a subprotocol, but it cannot have another.
    pub(super) fn read(parts: &mut Parts) -> Result<Self, Problem> {
        let mut offered = listed(&parts.headers, SEC_WEBSOCKET_PROTOCOL).peekable();
        let protocol = offered.peek().is_some().then_some(PROTOCOL);
        if protocol.is_some() && !offered.any(|name| name == PROTOCOL) {
            return Err(Problem::bad_request(format!("the WebSocket's subprotocol is {PROTOCOL}")));
        }
        drop(offered);
        Ok(Wanted { handshake: Handshake::read(parts)?, protocol })
    }

    /// Answers, and serves the WebSocket once the answer is out.
    pub(super) fn accept(self, mut call: Call, watcher: Watcher) -> Response {
        let (upgrade, response) = self.handshake.accept(self.protocol);
        let place = call.parts.extensions.remove::<Link>().map(|link| link.place);
        // The head of the request is not needed any more, and would be kept for as long.
        call.parts = Request::new(()).into_parts().0;
        tokio::spawn(async move {
            let _place = place;
            let Ok(upgraded) = upgrade.await else { return };
            let config = WebSocketConfig::default()
                .read_buffer_size(READ_BUFFER_BYTES)
                .write_buffer_size(WRITE_BUFFER_BYTES)
                .max_message_size(Some(MESSAGE_BYTES_MAX))
                .max_frame_size(Some(MESSAGE_BYTES_MAX));
            let stream = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await;
            let socket = Socket { call, watcher, stream, acknowledged: None };
            if let Err(error) = Box::pin(socket.serve()).await {
                tracing::debug!(%error, "a WebSocket ended early");
            }
        });
        response
    }
}

impl Socket {
    async fn serve(mut self) -> Result<(), tungstenite::Error> {
        loop {
            let may_speak = self.may_speak();
            tokio::select! {
                biased;
                said = self.stream.next() => match said {
                    None => return Ok(()),
                    Some(Err(error)) => return self.give_up(error).await,
                    Some(Ok(Message::Text(text))) => {
                        let reply = self.hear(&text).await.unwrap_or_else(|problem| error(&problem));
                        self.stream.send(text_of(reply.into())).await?;
                    }
                    Some(Ok(Message::Binary(_))) => {
                        return self.close(CloseCode::Unsupported, "messages are text").await;
                    }
                    // The library answers pings and closings.
                    Some(Ok(Message::Close(_))) => return self.stream.flush().await,
                    Some(Ok(_)) => self.stream.flush().await?,
                },
                news = self.watcher.next(), if may_speak => {
                    if let Some((code, reason)) = self.tell(news).await? {
                        return self.close(code, reason).await;
                    }
                }
            }
        }
    }

    /// Says one thing; how to close where it was the last.
    async fn tell(&mut self, news: News) -> Result<Option<(CloseCode, &'static str)>, tungstenite::Error> {
        let (pieces, end) = match news {
            News::Pieces(pieces) => (pieces, None),
            News::Bookmark(cursor) => (vec![Format::Objects.bookmark(&cursor)], None),
            News::Idle(cursor) => (vec![Format::Objects.idle(&cursor)], None),
            News::Reset(gone) => (vec![Format::Objects.reset(&gone)], None),
            News::End(problem) => {
                let code = if problem.status.is_server_error() { CloseCode::Error } else { CloseCode::Policy };
                (vec![Format::Objects.end(&problem)], Some((code, problem.kind)))
            }
            News::Stopping => (vec![], Some((CloseCode::Restart, "stopping"))),
            News::Over => (vec![], Some((CloseCode::Normal, ""))),
        };
        for piece in pieces {
            self.stream.feed(text_of(piece)).await?;
        }
        self.stream.flush().await?;
        Ok(end)
    }

    /// Does what the client says; the object to answer with.
    async fn hear(&mut self, text: &str) -> Result<Vec<u8>, Problem> {
        let said: Said = serde_json::from_str(text)
            .map_err(|error| Problem::bad_request(format!("the message is not understood: {error}")))?;
        match said {
            Said::Subscribe { node, since, initial } => self.subscribe(&node, since.as_deref(), initial).await,
            Said::Unsubscribe { node } => {
                let node = node_id(&node)?;
                if !self.watcher.leave(&node) {
                    return Err(Problem::not_found("the node is not watched here").member("node", node.as_str()));
                }
                Ok(self.done("unsubscribed", &node))
            }
            Said::Ack { cursor } => {
                let positions = self.call.door.rooms.cursors.decode_all(&cursor).map_err(|_| not_a_cursor("ack"))?;
                let acknowledged = self.acknowledged.get_or_insert_default();
                for position in positions {
                    let seq = acknowledged.entry(position.node).or_insert(position.seq);
                    *seq = position.seq.max(*seq);
                }
                let known: Vec<NodeKey> = self.watcher.positions().map(|position| position.node).collect();
                acknowledged.retain(|node, _| known.contains(node));
                let mut out = vec![];
                let mut object = Object::begin(&mut out);
                object.text("type", "acknowledged");
                object.text("cursor", &cursor);
                object.end();
                Ok(out)
            }
        }
    }

    async fn subscribe(&mut self, node: &str, since: Option<&str>, initial: bool) -> Result<Vec<u8>, Problem> {
        let node = node_id(node)?;
        self.call.require(Scope::Read, &node)?;
        if self.watcher.watches(&node) {
            let detail = "the node is watched here already";
            let status = StatusCode::CONFLICT;
            let problem = Problem::new(status, "already-watched", "Already watched", detail);
            return Err(problem.member("node", node.as_str()));
        }
        if self.watcher.strands.len() >= NODES_MAX {
            return Err(Problem::bad_request(format!("a watch takes at most {NODES_MAX} nodes")));
        }
        let since = Since::read(since);
        if initial && since == Since::Earliest {
            return Err(Problem::bad_request("initial is what is there, earliest what led there: ask for one of them"));
        }
        self.watcher.begin(std::slice::from_ref(&node), &since, initial, Opening::OneAnswer).await?;
        Ok(self.done("subscribed", &node))
    }

    fn done(&self, what: &str, node: &NodeId) -> Vec<u8> {
        let mut out = vec![];
        let mut object = Object::begin(&mut out);
        object.text("type", what);
        object.text("node", node.as_str());
        object.text("cursor", &self.watcher.cursor());
        object.end();
        out
    }

    /// A client that acknowledges is not sent more than so much beyond what it has acknowledged.
    fn may_speak(&self) -> bool {
        let Some(acknowledged) = &self.acknowledged else { return true };
        let behind =
            |(node, seq): (NodeKey, Seq)| acknowledged.get(&node).map_or(0, |acked| seq.0.saturating_sub(acked.0));
        let positions = self.watcher.positions().map(|position| (position.node, position.seq));
        positions.map(behind).sum::<u64>() < UNACKNOWLEDGED_MAX
    }

    /// RFC 6455 §7.4.1: what the client did wrong, where it can still be told.
    async fn give_up(self, error: tungstenite::Error) -> Result<(), tungstenite::Error> {
        let code = match &error {
            tungstenite::Error::Capacity(_) => CloseCode::Size,
            tungstenite::Error::Protocol(_) => CloseCode::Protocol,
            tungstenite::Error::Utf8(_) => CloseCode::Invalid,
            _ => return Err(error),
        };
        self.close(code, "").await
    }

    async fn close(mut self, code: CloseCode, reason: &'static str) -> Result<(), tungstenite::Error> {
        self.stream.close(Some(CloseFrame { code, reason: reason.into() })).await?;
        // The other side answers, or is cut.
        let farewell = async { while let Some(Ok(_)) = self.stream.next().await {} };
        let _ = tokio::time::timeout(FAREWELL_TIME, farewell).await;
        Ok(())
    }
}

fn node_id(text: &str) -> Result<NodeId, Problem> {
    NodeId::parse(text).ok_or_else(|| Problem::bad_request("that is no valid node id"))
}

/// The client's message could not be served; the WebSocket goes on.
fn error(problem: &Problem) -> Vec<u8> {
    let mut out = vec![];
    let mut object = Object::begin(&mut out);
    object.text("type", "error");
    object.raw("problem", &String::from_utf8_lossy(&problem.to_json()));
    object.end();
    out
}

fn text_of(bytes: Bytes) -> Message {
    Message::Text(Utf8Bytes::try_from(bytes).expect("what we write is UTF-8"))
}

const PROTOCOL: &str = "tidings.v1";
/// What a client says is short; a composite cursor is the longest of it.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;
const READ_BUFFER_BYTES: usize = 4 * 1024;
/// Messages are collected up to here before they are written.
const WRITE_BUFFER_BYTES: usize = 64 * 1024;
/// How far a client that acknowledges is run ahead of, in events over all its nodes.
const UNACKNOWLEDGED_MAX: u64 = 1000;
/// For the other side's part of the closing handshake.
const FAREWELL_TIME: std::time::Duration = std::time::Duration::from_secs(1);
