//! Health, for whoever runs the server: `/livez` and `/readyz`, without credentials and without detail.

use std::time::Duration;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use tokio::time::timeout;

use crate::engine::Wrong;
use crate::http::Door;
use crate::pubsub::{Caller, Edge, Page, Request, Role, Verb};
use crate::store::Failure;

/// Fails only when nothing runs at all: whoever asks this restarts what does not answer, and a
/// storage that is away for a moment is no reason for that.
pub(super) fn live() -> Response {
    plain(StatusCode::OK, "ok\n")
}

/// Fails as soon as requests would: the server stops, or its storage does not answer in time.
pub(super) async fn ready(door: &Door) -> Response {
    let refused = |why| plain(StatusCode::SERVICE_UNAVAILABLE, why);
    if door.closing.is_cancelled() {
        return refused("stopping\n");
    }
    let caller = Caller { jid: door.service.clone().into(), role: Role::Admin };
    // The count of the nodes is read from the storage itself, by the way that every request goes.
    let verb = Verb::Nodes { page: Page { max: 0, edge: Edge::First } };
    let request = Request { caller, service: door.service.clone(), verb };
    match timeout(READY_TIME, door.rooms.engine.ask(request)).await {
        Err(_) => refused("the storage does not answer\n"),
        Ok(Err(Wrong::Failed(Failure::Full))) => refused("the storage is full\n"),
        Ok(Err(Wrong::Failed(_))) => refused("the storage fails\n"),
        Ok(Err(Wrong::Overloaded)) => refused("overloaded\n"),
        Ok(Ok(_) | Err(Wrong::Refused(_))) => plain(StatusCode::OK, "ready\n"),
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// A storage that needs longer for one number is not fit for requests.
const READY_TIME: Duration = Duration::from_secs(2);
