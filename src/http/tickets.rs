//! `POST /v1/tickets`: what a browser shows in the URL of an `EventSource` or a WebSocket.

use axum::body::Body;
use axum::http::header::CACHE_CONTROL;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::Response;
use serde::Deserialize;

use crate::access::{Login, TICKET_SECONDS_MAX};
use crate::http::Door;
use crate::http::auth::{Peer, denied};
use crate::http::body::{receive, require_json};
use crate::http::json::Object;
use crate::http::pairs::malformed;
use crate::http::path::{Plus, What, percent_decode};
use crate::http::problem::Problem;
use crate::http::query::Query;
use crate::http::routes::{Call, Scope, json};
use crate::jid::BareJid;
use crate::pubsub::NodeId;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TicketWish {
    nodes: Vec<String>,
    #[serde(default)]
    seconds: Option<u64>,
}

pub(super) async fn issue(call: &Call, body: Body) -> Result<Response, Problem> {
    Query::parse(call.parts.uri.query(), &[])?;
    require_json(&call.parts.headers, "application/json")?;
    let received = receive(&call.door, &call.parts.headers, body).await?;
    let wish: TicketWish = serde_json::from_slice(&received.bytes).map_err(malformed)?;
    if wish.nodes.is_empty() || wish.nodes.len() > crate::delivery::NODES_MAX {
        let detail = format!("a ticket is for 1 to {} nodes", crate::delivery::NODES_MAX);
        return Err(Problem::invalid(detail).fault("/nodes", "not as many as a ticket takes"));
    }
    for (number, text) in wish.nodes.iter().enumerate() {
        let wrong = || Problem::invalid("that is no node id").fault(format!("/nodes/{number}"), "no node id");
        call.require(Scope::Read, &NodeId::parse(text).ok_or_else(wrong)?)?;
    }
    let most = TICKET_SECONDS_MAX.unsigned_abs();
    let seconds = wish.seconds.unwrap_or(most);
    if !(1..=most).contains(&seconds) {
        let detail = format!("a ticket is good for 1 to {most} seconds");
        return Err(Problem::invalid(detail).fault("/seconds", "out of range"));
    }
    let issued = call.door.rooms.access.issue_ticket(&call.login, call.service_jid(), &wish.nodes, seconds);
    let issued = issued.map_err(|_| {
        let detail = "there are too many tickets that nobody has used";
        let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many-tickets", "Too many tickets", detail);
        problem.retry_after(RETRY_SECONDS)
    })?;
    let mut out = vec![];
    let mut object = Object::begin(&mut out);
    object.text("ticket", &issued.text);
    object.plain("expires", issued.expires);
    object.end();
    let mut response = json(StatusCode::CREATED, out);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Who is calling, if a watch was asked for with a ticket. Nothing else takes one.
pub(super) fn redeem(
    door: &Door,
    parts: &Parts,
    what: &What,
    service: &BareJid,
    peer: Peer,
) -> Result<Option<Login>, Problem> {
    if parts.method != Method::GET || !matches!(what, What::Items(_) | What::Watch) {
        return Ok(None);
    }
    let mut pairs = parts.uri.query().unwrap_or("").split('&');
    let Some(ticket) = pairs.find_map(|pair| pair.strip_prefix("ticket=")) else { return Ok(None) };
    if parts.headers.contains_key(axum::http::header::AUTHORIZATION) {
        return Err(Problem::bad_request("there is a ticket and an Authorization header: show one of them"));
    }
    let ticket = percent_decode(ticket, Plus::Space)?;
    door.rooms.access.redeem_ticket(&ticket, service).map(Some).map_err(|why| denied(why, peer))
}

/// Tickets that nobody uses are forgotten after a minute.
const RETRY_SECONDS: u64 = 10;
