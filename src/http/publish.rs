//! Publishing: `POST …/items` and `PUT …/items/{id}` (XEP-0060 §7.1).

use axum::body::Body;
use axum::http::header::{ETAG, LOCATION};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;

use crate::engine::{Answer, Answered, Position, Wrong};
use crate::http::body::{Kind, PAYLOAD_TYPES, receive, unsupported};
use crate::http::conditional::{self, Form, WriteCondition};
use crate::http::json::Object;
use crate::http::path::location;
use crate::http::problem::Problem;
use crate::http::query::Query;
use crate::http::routes::{Call, Scope, json};
use crate::pubsub::{ItemId, Media, NewItem, NodeId, NodeKey, Precondition, Published, Refusal, Reply, Verb};

/// Publishes under an id that the server makes.
pub(super) async fn post(call: &Call, node: NodeId, body: Body) -> Result<Response, Problem> {
    WriteCondition::refuse(&call.parts.headers)?;
    publish(call, node, None, WriteCondition::Simple(Precondition::None), body).await
}

/// Publishes under this id.
pub(super) async fn put(call: &Call, node: NodeId, item: ItemId, body: Body) -> Result<Response, Problem> {
    let condition = WriteCondition::read(&call.parts.headers)?;
    publish(call, node, Some(item), condition, body).await
}

async fn publish(
    call: &Call,
    node: NodeId,
    item: Option<ItemId>,
    condition: WriteCondition,
    body: Body,
) -> Result<Response, Problem> {
    let headers = &call.parts.headers;
    let create = Query::parse(call.parts.uri.query(), &["create"])?.boolean("create")?.unwrap_or(false);
    call.require(Scope::Publish, &node)?;
    if create {
        call.require(Scope::Manage, &node)?;
    }
    refuse_unkept_promises(headers)?;
    let kind = Kind::read(headers)?;
    let payload = {
        let received = receive(&call.door, headers, body).await?;
        match kind {
            None if received.bytes.is_empty() => None,
            None => return Err(unsupported(PAYLOAD_TYPES)),
            Some(kind) => Some(kind.payload(&received.bytes)?),
        }
    };
    let media = payload.as_ref().map(|payload| payload.media);
    let verb = |precondition| Verb::Publish {
        node: node.clone(),
        items: vec![NewItem { id: item.clone(), payload: payload.clone(), precondition }],
        options: None,
        create,
    };
    let answered = attempt(call, &node, condition, verb).await?;
    let at = answered.at;
    match (answered.answer, at) {
        (Answer::Reply(Reply::Published { items, .. }), Some(at)) => match items.as_slice() {
            [published] => Ok(success(call, &node, published, at, media)),
            _ => Err(Problem::internal("one item was published, and not one was answered")),
        },
        _ => Err(Problem::internal("a publish was answered with something else")),
    }
}

/// Asks for a write under a condition. Of several tags each is tried in turn, and each try is atomic.
pub(super) async fn attempt(
    call: &Call,
    node: &NodeId,
    condition: WriteCondition,
    verb: impl Fn(Precondition) -> Verb,
) -> Result<Answered, Problem> {
    let preconditions = match condition {
        WriteCondition::Simple(precondition) => vec![precondition],
        WriteCondition::Match(tags) => {
            conditional::candidates(&tags, &call.door.rooms.cursors, node_key(call, node).await?)
        }
    };
    for precondition in preconditions {
        match call.ask(verb(precondition)).await {
            Err(Wrong::Refused(Refusal::PreconditionFailed)) => {}
            outcome => return Ok(outcome?),
        }
    }
    Err(Refusal::PreconditionFailed.into())
}

/// Entity tags name positions of one incarnation of a node.
async fn node_key(call: &Call, node: &NodeId) -> Result<NodeKey, Problem> {
    match call.ask(Verb::Metadata { node: node.clone() }).await?.answer {
        Answer::Metadata { node, .. } => Ok(node.key),
        _ => Err(Problem::internal("metadata was answered with something else")),
    }
}

fn success(call: &Call, node: &NodeId, published: &Published, at: Position, media: Option<Media>) -> Response {
    let cursors = &call.door.rooms.cursors;
    // The position of this very publication; the log may be longer by now.
    let at = Position { node: at.node, seq: published.seq };
    let cursor = cursors.encode(at);
    let mut out = Vec::with_capacity(192);
    let mut object = Object::begin(&mut out);
    object.text("node", node.as_str());
    if let Some(id) = &published.id {
        object.text("id", id.as_str());
    }
    object.number("seq", published.seq.0);
    object.text("cursor", &cursor);
    object.plain("published", published.time);
    object.end();
    let status = if published.replaced { StatusCode::OK } else { StatusCode::CREATED };
    let mut response = json(status, out);
    let headers = response.headers_mut();
    if let Some(id) = &published.id {
        let location = HeaderValue::try_from(location(&call.service, node, Some(id)));
        headers.insert(LOCATION, location.expect("a location is percent-encoded"));
        let tag = conditional::entity_tag(cursors, at, media, Form::Native);
        headers.insert(ETAG, conditional::header(&tag));
    }
    call.mark(response, Some(at))
}

/// A header that promises the caller something must not be passed over in silence.
fn refuse_unkept_promises(headers: &HeaderMap) -> Result<(), Problem> {
    let unkept = ["idempotency-key", "ce-specversion"].into_iter().find(|name| headers.contains_key(*name));
    match unkept {
        None => Ok(()),
        Some(name) => {
            let detail = format!("this server does not honour the header {name} yet; nothing was done");
            Err(Problem::new(StatusCode::NOT_IMPLEMENTED, "not-offered", "Not offered", detail))
        }
    }
}
