//! Publishing: `POST …/items` and `PUT …/items/{id}` (XEP-0060 §7.1).

use axum::body::Body;
use axum::http::header::{ETAG, LOCATION};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;

use crate::engine::{Answer, Answered, Before, Once, Position, Wrong};
use crate::http::body::{Kind, PAYLOAD_TYPES, unsupported};
use crate::http::cloudevents::{self, Mode, Naming};
use crate::http::conditional::{self, Form, WriteCondition};
use crate::http::idempotency::{self, Fingerprint};
use crate::http::json::Object;
use crate::http::path::location;
use crate::http::problem::Problem;
use crate::http::query::Query;
use crate::http::routes::{Call, Scope, TIDINGS_CURSOR, json};
use crate::http::{batch, cloudevents::invalid_event};
use crate::payload::CloudEvent;
use crate::pubsub::{ItemId, Media, NewItem, NodeId, NodeKey, Payload, Precondition, Published, Refusal, Reply, Verb};

/// Publishes under an id that the server makes, or that the event names.
pub(super) async fn post(call: &Call, node: NodeId, body: Body) -> Result<Response, Problem> {
    WriteCondition::refuse(&call.parts.headers)?;
    let query = Query::parse(call.parts.uri.query(), &["create", "item"])?;
    let naming = Naming::read(query.text("item"))?;
    let create = may_publish(call, &node, &query)?;
    let mode = Mode::read(&call.parts.headers)?;
    if mode == Some(Mode::Batch) {
        return batch::events(call, node, create, naming, body).await;
    }
    let content = receive_content(call, mode, body).await?;
    let item = match &content {
        Content::Event(event) => naming.item(event)?,
        Content::Plain(_) if naming == Naming::Fresh => None,
        Content::Plain(_) => return Err(Problem::bad_request("the query parameter item is for CloudEvents")),
    };
    publish(call, node, item, WriteCondition::Simple(Precondition::None), create, content).await
}

/// Publishes under this id.
pub(super) async fn put(call: &Call, node: NodeId, item: ItemId, body: Body) -> Result<Response, Problem> {
    let condition = WriteCondition::read(&call.parts.headers)?;
    let create = may_publish(call, &node, &Query::parse(call.parts.uri.query(), &["create"])?)?;
    let mode = Mode::read(&call.parts.headers)?;
    if mode == Some(Mode::Batch) {
        return Err(Problem::bad_request("a batch of events cannot be put under one id: post it"));
    }
    let content = receive_content(call, mode, body).await?;
    publish(call, node, Some(item), condition, create, content).await
}

/// Whether the token covers a publish to this node, and whether it may create the node.
pub(super) fn may_publish(call: &Call, node: &NodeId, query: &Query<'_>) -> Result<bool, Problem> {
    let create = query.boolean("create")?.unwrap_or(false);
    call.require(Scope::Publish, node)?;
    if create {
        call.require(Scope::Manage, node)?;
    }
    Ok(create)
}

/// What a body holds for one item.
enum Content {
    Plain(Option<Payload>),
    Event(Box<CloudEvent>),
}

impl Content {
    fn payload(&self) -> Option<&Payload> {
        match self {
            Content::Plain(payload) => payload.as_ref(),
            Content::Event(event) => Some(&event.payload),
        }
    }
}

async fn receive_content(call: &Call, mode: Option<Mode>, body: Body) -> Result<Content, Problem> {
    let headers = &call.parts.headers;
    let kind = if mode.is_none() { Kind::read(headers)? } else { None };
    let received = call.receive(body).await?;
    if let Some(mode) = mode {
        let event = cloudevents::read(mode, headers, &received.bytes).map_err(|error| invalid_event(&error, ""))?;
        return Ok(Content::Event(Box::new(event)));
    }
    match kind {
        None if received.bytes.is_empty() => Ok(Content::Plain(None)),
        None => Err(unsupported(PAYLOAD_TYPES)),
        Some(kind) => Ok(Content::Plain(Some(kind.payload(&received.bytes)?))),
    }
}

async fn publish(
    call: &Call,
    node: NodeId,
    item: Option<ItemId>,
    condition: WriteCondition,
    create: bool,
    content: Content,
) -> Result<Response, Problem> {
    let headers = &call.parts.headers;
    let event_key = match &content {
        Content::Event(event) => Some(idempotency::event_key([(&*event.source, &*event.id)].into_iter())),
        Content::Plain(_) => None,
    };
    let payload = content.payload();
    // What names the item when an event does is a part of the event.
    let key = idempotency::key(headers)?.or(event_key);
    let once = key.map(|key| Once { key, fingerprint: fingerprint(call, item.as_ref(), create, payload) });
    let _held = once.as_ref().map(|once| call.door.in_flight.hold(call, &node, &once.key)).transpose()?;
    let media = payload.map(|payload| payload.media);
    let verb = |precondition| Verb::Publish {
        node: node.clone(),
        items: vec![NewItem { id: item.clone(), payload: payload.cloned(), precondition }],
        options: None,
        create,
    };
    let answered = attempt(call, &node, condition, once.as_ref(), verb).await?;
    let (items, at, again) = published(answered)?;
    let [published] = items.as_slice() else {
        return Err(Problem::internal("one item was published, and not one was answered"));
    };
    let response = success(call, &node, published, at, media);
    Ok(if again { idempotency::mark_replayed(response) } else { response })
}

/// What a publish was answered: the items, the position, and whether that was before.
pub(super) fn published(answered: Answered) -> Result<(Vec<Published>, Position, bool), Problem> {
    let (reply, again) = match answered.answer {
        Answer::Reply(reply) => (reply, false),
        Answer::Once(before) => match (idempotency::unusable(&before), before) {
            (Some(problem), _) => return Err(problem),
            (None, Before::Done(reply)) => (reply, true),
            (None, Before::Reused | Before::Exhausted) => {
                return Err(Problem::internal("a key that cannot be used was answered"));
            }
        },
        _ => return Err(Problem::internal("a publish was answered with something else")),
    };
    match (reply, answered.at) {
        (Reply::Published { items, .. }, Some(at)) => Ok((items, at, again)),
        _ => Err(Problem::internal("a publish was answered with something else")),
    }
}

/// Asks for a write under a condition. Of several tags each is tried in turn, and each try is atomic.
pub(super) async fn attempt(
    call: &Call,
    node: &NodeId,
    condition: WriteCondition,
    once: Option<&Once>,
    verb: impl Fn(Precondition) -> Verb,
) -> Result<Answered, Problem> {
    let preconditions = match condition {
        WriteCondition::Simple(precondition) => vec![precondition],
        WriteCondition::Match(tags) => {
            conditional::candidates(&tags, &call.door.rooms.cursors, node_key(call, node).await?)
        }
    };
    // A request that was done before is answered so, even where its condition names nothing any more.
    let preconditions = if preconditions.is_empty() && once.is_some() { vec![NEVER] } else { preconditions };
    for precondition in preconditions {
        match call.ask_once(verb(precondition), once.cloned()).await {
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

fn fingerprint(call: &Call, item: Option<&ItemId>, create: bool, payload: Option<&Payload>) -> [u8; 32] {
    let mut hash = Fingerprint::default().part(call.parts.method.as_str().as_bytes());
    hash = hash.part(item.map_or("", ItemId::as_str).as_bytes()).part(&[u8::from(create)]);
    for name in [axum::http::header::IF_MATCH, axum::http::header::IF_NONE_MATCH] {
        for value in call.parts.headers.get_all(&name) {
            hash = hash.part(name.as_str().as_bytes()).part(value.as_bytes());
        }
    }
    match payload {
        None => hash.part(b"").finish(),
        Some(payload) => hash.part(&[payload.media.code()]).part(&payload.xml).finish(),
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
    headers.insert(TIDINGS_CURSOR, HeaderValue::try_from(cursor).expect("a cursor is URL-safe"));
    response
}

/// No publication stands at the seq before the first.
const NEVER: Precondition = Precondition::At(NodeKey(0), crate::pubsub::Seq(0));
