//! Watching: `GET …/items?watch=true` of one node, `GET /v1/watch` of several, by event stream, lines,
//! WebSocket or long poll, with one cursor.
//!
//! What a caller wishes is read in `wish`; `begin` finds the places in the logs; `watcher` is the
//! engine that follows the logs from there on; `format` gives what it says the form of the transport;
//! `stream`, `poll` and `socket` are the transports. A watcher is a position in each log: a slow reader
//! keeps no events of its own, because nothing is encoded before its socket has taken what came before.

mod begin;
mod event;
mod format;
mod initial;
mod poll;
mod socket;
mod stream;
mod watcher;
mod watches;
mod wish;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue, Version};
use axum::response::Response;

use crate::http::problem::Problem;
use crate::http::query::Query;
use crate::http::routes::{Call, Scope};
use crate::http::serve::Link;
use crate::pubsub::NodeId;

use begin::Opening;
use format::Format;
use watcher::Watcher;
use wish::{EVENT_STREAM, NDJSON, Transport};

pub(super) use stream::Streaming;
pub(super) use watches::Watches;
pub(super) use wish::{PARAMETERS, Wish};

/// Begins to watch one node.
pub(super) async fn watch(call: Call, node: NodeId, wish: Wish) -> Result<Response, Problem> {
    answer(call, vec![node], wish).await
}

/// `GET /v1/watch`: several nodes of a service on one stream.
pub(super) async fn watch_several(call: Call) -> Result<Response, Problem> {
    let query = Query::parse_with(call.parts.uri.query(), SEVERAL_PARAMETERS, &["node"])?;
    let wish = Wish::read(&query, &call.parts, &call.door.options)?;
    let mut nodes: Vec<NodeId> = vec![];
    for text in query.texts("node") {
        let node = NodeId::parse(text).ok_or_else(|| Problem::bad_request(format!("{text:?} is no node id")))?;
        call.require(Scope::Read, &node)?;
        if !nodes.contains(&node) {
            nodes.push(node);
        }
    }
    let least = usize::from(wish.transport != Transport::WebSocket);
    if !(least..=NODES_MAX).contains(&nodes.len()) {
        let detail = format!("a watch takes from 1 to {NODES_MAX} nodes, each as a parameter node=…");
        return Err(Problem::bad_request(detail));
    }
    answer(call, nodes, wish).await
}

async fn answer(mut call: Call, nodes: Vec<NodeId>, wish: Wish) -> Result<Response, Problem> {
    let watching = call.door.watches.enter(&call.login.account)?;
    let (format, opening) = match wish.transport {
        Transport::EventStream => (Format::Blocks, Opening::InBand),
        Transport::Lines => (Format::Lines, Opening::Refused),
        Transport::WebSocket => (Format::Objects, Opening::Refused),
        Transport::LongPoll { .. } => (Format::Objects, Opening::OneAnswer),
    };
    let handshake = match wish.transport {
        Transport::WebSocket => Some(socket::Wanted::read(&mut call.parts)?),
        _ => None,
    };
    let mut watcher = Watcher::new(&call, &wish, format, watching);
    watcher.begin(&nodes, &wish.since, wish.initial, opening).await?;
    match (wish.transport, handshake) {
        (Transport::LongPoll { wait, preferred }, _) => poll::answer(watcher, wait, preferred).await,
        (Transport::WebSocket, Some(handshake)) => Ok(handshake.accept(call, watcher)),
        (Transport::Lines, _) => Ok(stream(call, watcher, NDJSON)),
        _ => Ok(stream(call, watcher, EVENT_STREAM)),
    }
}

fn stream(mut call: Call, watcher: Watcher, content_type: &'static str) -> Response {
    let streaming = Streaming::new(watcher);
    let takeover = call.parts.extensions.remove::<Link>().and_then(|link| link.takeover);
    let takeover = takeover.filter(|_| call.parts.version == Version::HTTP_11);
    let taken = takeover.is_some();
    let body = match takeover {
        Some(takeover) => takeover.park(streaming),
        None => Body::from_stream(streaming.into_stream()),
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // For proxies that would otherwise collect a stream before they pass it on.
    headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
    if taken {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// The query parameters of a watch of several nodes.
pub(super) const SEVERAL_PARAMETERS: &[&str] = &["node", "since", "initial", "types", "timeout", "wait", "ticket"];
pub(super) use crate::delivery::NODES_MAX;
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
