//! Several items at once: `POST …/items:batch` with an array, all of it or nothing; and batches of
//! CloudEvents. The same path takes NDJSON, which `ndjson` reads.

use std::borrow::Cow;
use std::sync::Arc;

use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::engine::{Once, Position, Wrong};
use crate::http::body::{Kind, unsupported};
use crate::http::cloudevents::{Naming, invalid_event};
use crate::http::conditional::WriteCondition;
use crate::http::idempotency::{self, Fingerprint, KEY_BYTES_MAX};
use crate::http::json::Object;
use crate::http::problem::Problem;
use crate::http::publish::{may_publish, published};
use crate::http::query::Query;
use crate::http::routes::{Call, json};
use crate::http::{ndjson, pairs};
use crate::payload::{event_from_json, events_from_json};
use crate::pubsub::{ItemId, NewItem, NodeId, Payload, Precondition, Published, Refusal, Verb};

pub(super) async fn post(call: Call, node: NodeId, body: Body) -> Result<Response, Problem> {
    WriteCondition::refuse(&call.parts.headers)?;
    let query = Query::parse(call.parts.uri.query(), &["create", "item"])?;
    let create = may_publish(&call, &node, &query)?;
    let content_type = call.parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = content_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    if essence == EVENTS {
        let naming = Naming::read(query.text("item"))?;
        return events(&call, node, create, naming, body).await;
    }
    query.without(&["item"], "where no events are sent")?;
    match essence.as_str() {
        NDJSON => ndjson::stream(call, node, create, body),
        "application/json" => array(&call, node, create, body).await,
        _ => Err(unsupported(BATCH_TYPES)),
    }
}

/// A batch of CloudEvents: all of them or none.
pub(super) async fn events(
    call: &Call,
    node: NodeId,
    create: bool,
    naming: Naming,
    body: Body,
) -> Result<Response, Problem> {
    let received = call.receive(body).await?;
    let events = events_from_json(&received.bytes).map_err(|(at, error)| invalid_event(&error, &format!("/{at}")))?;
    let key = idempotency::event_key(events.iter().map(|event| (&*event.source, &*event.id)));
    let mut items = Vec::with_capacity(events.len());
    for (at, event) in events.into_iter().enumerate() {
        let id = naming.item(&event).map_err(|problem| problem.within(&format!("/{at}")))?;
        items.push(NewItem { id, payload: Some(event.payload), precondition: Precondition::None });
    }
    publish_all(call, node, create, items, Some(key)).await
}

async fn array(call: &Call, node: NodeId, create: bool, body: Body) -> Result<Response, Problem> {
    let received = call.receive(body).await?;
    let entries: Vec<&RawValue> = serde_json::from_slice(&received.bytes).map_err(pairs::malformed)?;
    let mut items = Vec::with_capacity(entries.len());
    for (at, entry) in entries.iter().enumerate() {
        let entry = Entry::read(entry.get().as_bytes()).map_err(|problem| problem.within(&format!("/{at}")))?;
        if entry.key.is_some() {
            let detail = "an array is one request: its idempotency key stands in the header";
            return Err(Problem::invalid(detail).fault(format!("/{at}/key"), detail));
        }
        items.push(NewItem { id: entry.id, payload: entry.payload, precondition: Precondition::None });
    }
    publish_all(call, node, create, items, None).await
}

async fn publish_all(
    call: &Call,
    node: NodeId,
    create: bool,
    items: Vec<NewItem>,
    event_key: Option<Arc<str>>,
) -> Result<Response, Problem> {
    if items.is_empty() {
        let detail = "the batch is empty";
        return Err(Problem::invalid(detail).fault("", detail));
    }
    let key = idempotency::key(&call.parts.headers)?.or(event_key);
    let once = key.map(|key| Once { key, fingerprint: fingerprint(create, &items) });
    let _held = once.as_ref().map(|once| call.door.in_flight.hold(call, &node, &once.key)).transpose()?;
    let verb = Verb::Publish { node: node.clone(), items: items.clone(), options: None, create };
    let answered = call.ask_once(verb, once).await.map_err(|wrong| placed(wrong, &items))?;
    let (published, at, again) = published(answered)?;
    let response = success(call, &node, &published, at);
    Ok(if again { idempotency::mark_replayed(response) } else { response })
}

fn fingerprint(create: bool, items: &[NewItem]) -> [u8; 32] {
    let mut hash = Fingerprint::default().part(b"batch").part(&[u8::from(create)]);
    for item in items {
        hash = hash.part(item.id.as_ref().map_or("", ItemId::as_str).as_bytes());
        hash = match &item.payload {
            None => hash.part(b""),
            Some(payload) => hash.part(&[payload.media.code()]).part(&payload.xml),
        };
    }
    hash.finish()
}

fn success(call: &Call, node: &NodeId, published: &[Published], at: Position) -> Response {
    let seq = published.last().map_or(at.seq, |last| last.seq);
    let at = Position { node: at.node, seq };
    let mut out = Vec::with_capacity(128 + published.len() * 128);
    let mut object = Object::begin(&mut out);
    object.text("node", node.as_str());
    object.text("cursor", &call.door.rooms.cursors.encode(at));
    let mut array = object.array("items");
    for item in published {
        let mut entry = array.object();
        if let Some(id) = &item.id {
            entry.text("id", id.as_str());
        }
        entry.number("seq", item.seq.0);
        entry.boolean("replaced", item.replaced);
        entry.plain("published", item.time);
        entry.end();
    }
    array.end();
    object.end();
    let status = if published.iter().all(|item| item.replaced) { StatusCode::OK } else { StatusCode::CREATED };
    call.mark(json(status, out), Some(at))
}

/// A refusal of a batch, with the place of the item that it is about.
fn placed(wrong: Wrong, items: &[NewItem]) -> Problem {
    let Wrong::Refused(refusal) = &wrong else { return wrong.into() };
    let at = match refusal {
        Refusal::DuplicateItem { item } => items.iter().rposition(|other| other.id.as_ref() == Some(item)),
        Refusal::PayloadRequired => items.iter().position(|item| item.payload.is_none()),
        Refusal::PayloadTooBig { bytes, .. } => {
            items.iter().position(|item| item.payload.as_ref().is_some_and(|held| held.xml.len() as u64 == *bytes))
        }
        _ => None,
    };
    let problem = Problem::from(wrong);
    match at {
        None => problem,
        Some(at) => {
            let detail = problem.detail.clone().into_owned();
            problem.fault(format!("/{at}"), detail)
        }
    }
}

/// One item of a batch, or one line of a stream.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: Option<ItemId>,
    pub(super) payload: Option<Payload>,
    pub(super) key: Option<Arc<str>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEntry<'a> {
    #[serde(borrow, default)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "type")]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    key: Option<Cow<'a, str>>,
}

/// `null` is data like any other; only its absence is none.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl Entry {
    /// Reads `{"id"?, "data", "type"?, "key"?}`: of JSON the data is a value, of all else a string.
    pub(super) fn read(json: &[u8]) -> Result<Self, Problem> {
        let malformed = |why: &dyn std::fmt::Display| {
            let detail = format!("an object of id, data and type is expected: {why}");
            Problem::invalid(detail.clone()).fault("", detail)
        };
        // The reader of structures would take an array of their members too.
        if json.trim_ascii_start().first() != Some(&b'{') {
            return Err(malformed(&"this is none"));
        }
        let raw: RawEntry<'_> = serde_json::from_slice(json).map_err(|error| malformed(&error))?;
        let fault = |member: &str, detail: &str| Problem::invalid(detail.to_owned()).fault(member, detail);
        let id = match raw.id {
            None => None,
            Some(id) => Some(ItemId::parse(&id).ok_or_else(|| fault("/id", "this cannot be the id of an item"))?),
        };
        let key = match raw.key {
            Some(key) if key.is_empty() || key.len() > KEY_BYTES_MAX => {
                return Err(fault("/key", &format!("a key has 1 to {KEY_BYTES_MAX} bytes")));
            }
            key => key.map(|key| Arc::from(format!("key:{key}"))),
        };
        let payload = match raw.data {
            None => None,
            Some(data) => Some(read_data(raw.kind.as_deref(), data)?),
        };
        Ok(Entry { id, payload, key })
    }

    /// What makes two lines the same one.
    pub(super) fn fingerprint(&self) -> [u8; 32] {
        let item = NewItem { id: self.id.clone(), payload: self.payload.clone(), precondition: Precondition::None };
        fingerprint(false, std::slice::from_ref(&item))
    }
}

fn read_data(media_type: Option<&str>, data: &RawValue) -> Result<Payload, Problem> {
    let media_type = media_type.unwrap_or("application/json");
    if media_type.trim().eq_ignore_ascii_case("application/cloudevents+json") {
        let event = event_from_json(data.get().as_bytes()).map_err(|error| invalid_event(&error, "/data"))?;
        return Ok(event.payload);
    }
    let kind = Kind::named(media_type).ok_or_else(|| {
        let detail = format!("{media_type:?} is not a type of payload");
        Problem::invalid(detail.clone()).fault("/type", detail)
    })?;
    let payload = match kind {
        Kind::Json => kind.payload(data.get().as_bytes()),
        Kind::Xml | Kind::Atom | Kind::Text => {
            let text: String = serde_json::from_str(data.get()).map_err(|_| {
                let detail = "of this type, data is a string";
                Problem::invalid(detail).fault("/data", detail)
            })?;
            kind.payload(text.as_bytes())
        }
    };
    payload.map_err(|error| Problem::from(error).within("/data"))
}

pub(super) const NDJSON: &str = "application/x-ndjson";
const EVENTS: &str = "application/cloudevents-batch+json";
const BATCH_TYPES: &str = "application/json, application/x-ndjson, application/cloudevents-batch+json";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_names_what_is_wrong_with_it() {
        for (json, pointer) in [
            ("[]", ""),
            ("{\"data\":1,\"data\":2}", ""),
            ("{\"data\":1,\"colour\":2}", ""),
            ("{\"data\":", ""),
            ("{\"id\":\"\",\"data\":1}", "/id"),
            ("{\"id\":7,\"data\":1}", ""),
            ("{\"data\":1,\"type\":\"image/png\"}", "/type"),
            ("{\"data\":1,\"type\":\"text/plain\"}", "/data"),
            ("{\"data\":\"<a/>\",\"type\":\"application/xml\"}", "/data"),
            ("{\"data\":{\"id\":\"1\"},\"type\":\"application/cloudevents+json\"}", "/data/specversion"),
            ("{\"data\":1,\"key\":\"\"}", "/key"),
        ] {
            let problem = Entry::read(json.as_bytes()).expect_err(json);
            assert_eq!(problem.status.as_u16(), 422, "{json}");
            assert_eq!(problem.faults()[0].pointer, pointer, "{json}");
        }
    }

    #[test]
    fn an_entry_holds_what_was_written() {
        let read = |json: &str| Entry::read(json.as_bytes()).unwrap();
        let shown = |entry: &Entry| crate::payload::to_json(entry.payload.as_ref().unwrap());
        assert_eq!(shown(&read("{\"data\":null}")), "null");
        assert_eq!(shown(&read("{\"data\":1e400,\"id\":\"a\\u00e9\"}")), "1e400");
        assert_eq!(read("{\"data\":1,\"id\":\"a\\u00e9\"}").id, ItemId::parse("aé"));
        assert_eq!(shown(&read("{\"data\":\"x\\ny\",\"type\":\"text/plain\"}")), "\"x\\ny\"");
        assert!(read("{\"id\":\"a\"}").payload.is_none());
    }
}
