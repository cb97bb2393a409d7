//! Where streams of XMPP begin over HTTP: the handshake of a WebSocket (RFC 7395 §3.1), which is then
//! handed to whoever speaks XMPP; requests that are one stream together (XEP-0124), handed on the same
//! way; and how to find both (XEP-0156).
//!
//! Not here: what is said on it.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HOST, SEC_WEBSOCKET_PROTOCOL, UPGRADE,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;

use crate::http::Door;
use crate::http::body::receive;
use crate::http::problem::Problem;
use crate::http::routes::{method_not_allowed, peer};
use crate::http::serve::Link;
use crate::http::upgrade::{Handshake, listed};

/// Those who speak XMPP.
pub struct Streams {
    pub sockets: TakeSocket,
    pub posts: TakePost,
}

/// Takes over a WebSocket whose handshake is done, with its peer, whether TLS protects it, and what is
/// to be held for as long as it is open.
pub type TakeSocket = Box<dyn Fn(TokioIo<Upgraded>, SocketAddr, bool, Box<dyn Send>) + Send + Sync>;

/// Answers what was posted, in its time, by a peer, over TLS or not.
pub type TakePost = Box<dyn Fn(Bytes, SocketAddr, bool) -> Pin<Box<dyn Future<Output = Posted> + Send>> + Send + Sync>;

/// What a post is answered.
pub struct Posted {
    pub status: u16,
    pub media: Arc<str>,
    pub body: Bytes,
}

/// Whether a path is one of these, which any page may use.
pub(super) fn is_ours(door: &Door, path: &str) -> bool {
    door.streams.get().is_some() && [SOCKET, HOST_META, HOST_META_JSON].contains(&path)
}

/// Whether it is where requests that are a stream together are posted.
pub(super) fn is_post(door: &Door, path: &str) -> bool {
    door.streams.get().is_some() && path == POSTS
}

/// XEP-0124 §5: an answer is HTML's or XML's as the client wants it, and none is to be kept.
pub(super) async fn post(door: &Door, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    if parts.method != Method::POST {
        return method_not_allowed(&["POST"]).into_response();
    }
    let bytes = match receive(door, &parts.headers, body).await {
        Ok(received) => received.bytes,
        Err(problem) => return problem.into_response(),
    };
    let (peer, streams) = (peer(&parts), door.streams.get().cloned());
    let Some(streams) = streams else { return Problem::not_found("no streams are offered").into_response() };
    let answering = (streams.posts)(bytes, peer.address, peer.secure);
    drop(parts);
    let posted = answering.await;
    let mut response = Response::new(Body::from(posted.body));
    *response.status_mut() = StatusCode::from_u16(posted.status).unwrap_or(StatusCode::OK);
    let headers = response.headers_mut();
    if let Ok(media) = HeaderValue::from_str(&posted.media) {
        headers.insert(CONTENT_TYPE, media);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Answers a request to one of these paths.
pub(super) fn answer(door: &Door, request: Request) -> Response {
    let path = request.uri().path();
    let socket = path == SOCKET;
    let json = path == HOST_META_JSON;
    let (mut parts, _) = request.into_parts();
    if parts.method != Method::GET && (socket || parts.method != Method::HEAD) {
        return method_not_allowed(&["GET"]).into_response();
    }
    let answered = if socket { open(door, &mut parts) } else { host_meta(door, &parts, json) };
    answered.unwrap_or_else(IntoResponse::into_response)
}

/// RFC 6455 §4.2, RFC 7395 §3.1.
fn open(door: &Door, parts: &mut Parts) -> Result<Response, Problem> {
    let headers = &parts.headers;
    if !lists(headers, UPGRADE, "websocket") || !lists(headers, CONNECTION, "upgrade") {
        let problem = Problem::new(
            StatusCode::UPGRADE_REQUIRED,
            "upgrade-required",
            "A WebSocket is needed",
            "streams of XMPP begin here with the handshake of a WebSocket",
        );
        return Err(problem.header(UPGRADE, HeaderValue::from_static("websocket")));
    }
    if !lists(headers, SEC_WEBSOCKET_PROTOCOL, "xmpp") {
        return Err(Problem::bad_request("Sec-WebSocket-Protocol must name xmpp"));
    }
    let (upgrade, response) = Handshake::read(parts)?.accept(Some("xmpp"));
    let peer = peer(parts);
    let streams = door.streams.get().cloned();
    let place = parts.extensions.remove::<Link>().map(|link| link.place);
    tokio::spawn(async move {
        match (upgrade.await, streams) {
            (Ok(upgraded), Some(streams)) => {
                (streams.sockets)(TokioIo::new(upgraded), peer.address, peer.secure, Box::new(place));
            }
            (Err(error), _) => tracing::debug!(%error, peer = %peer.address, "a WebSocket did not come about"),
            (_, None) => {}
        }
    });
    Ok(response)
}

/// XEP-0156 §2.2: where a stream can be had over HTTP, at the host that was asked.
fn host_meta(door: &Door, parts: &Parts, json: bool) -> Result<Response, Problem> {
    let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
    if host.is_empty() || host.len() > HOST_BYTES_MAX || !host.bytes().all(plain) {
        return Err(Problem::bad_request("the Host header must name this server"));
    }
    let name = host.rsplit_once(':').map_or(host, |(name, port)| if port.ends_with(']') { host } else { name });
    if !door.options.domains.iter().any(|domain| domain.eq_ignore_ascii_case(name)) {
        return Err(Problem::not_found("no XMPP is served for the host of this request"));
    }
    // A proxy that speaks TLS in front of us hands on what came to it.
    let secure = peer(parts).secure || parts.headers.get("x-forwarded-proto").is_some_and(|proto| proto == "https");
    let s = if secure { "s" } else { "" };
    let links = [("websocket", format!("ws{s}://{host}{SOCKET}")), ("xbosh", format!("http{s}://{host}{POSTS}"))];
    let (media, body) = if json {
        let links = links.map(|(kind, href)| format!("{{\"rel\":\"{RELATION}{kind}\",\"href\":\"{href}\"}}"));
        ("application/json", format!("{{\"links\":[{}]}}\n", links.join(",")))
    } else {
        let head = "<?xml version='1.0' encoding='utf-8'?>\n<XRD xmlns='http://docs.oasis-open.org/ns/xri/xrd-1.0'>";
        let links = links.map(|(kind, href)| format!("<Link rel='{RELATION}{kind}' href='{href}'/>"));
        ("application/xrd+xml", format!("{head}{}</XRD>\n", links.concat()))
    };
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media));
    // XEP-0156 §3: clients that are web pages of other hosts look here, and here alone.
    response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    Ok(response)
}

/// Whether a header names a token, alone or in a list, in whatever case.
fn lists(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    listed(headers, name).any(|named| named.eq_ignore_ascii_case(token))
}

const SOCKET: &str = "/xmpp-websocket";
const POSTS: &str = "/http-bind";
const HOST_META: &str = "/.well-known/host-meta";
const HOST_META_JSON: &str = "/.well-known/host-meta.json";
const RELATION: &str = "urn:xmpp:alt-connections:";
/// A domain name and a port.
const HOST_BYTES_MAX: usize = 262;
