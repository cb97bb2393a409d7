//! Retrieving items: `GET …/items` and `GET …/items/{id}` (XEP-0060 §6.5).

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, VARY};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;

use crate::engine::{Answer, Answered, Position};
use crate::http::accept::item_form;
use crate::http::conditional::{self, Form, ReadCondition};
use crate::http::json::Object;
use crate::http::page::Paging;
use crate::http::problem::Problem;
use crate::http::query::Query;
use crate::http::routes::{Call, Scope, json, no_content};
use crate::http::watch;
use crate::jid::BareJid;
use crate::payload;
use crate::pubsub::{Edge, ItemId, Media, NodeId, Page, Refusal, Selection, Verb, View};
use crate::store::{Item, List};

/// One path, two readings: what is there, and what comes.
pub(super) async fn list_or_watch(call: Call, node: NodeId) -> Result<Response, Problem> {
    let parts = &call.parts;
    let query = Query::parse(parts.uri.query(), PARAMETERS)?;
    call.require(Scope::Read, &node)?;
    if query.boolean("watch")?.unwrap_or(false) {
        query.without(&["limit", "after", "before", "order"], "with watch=true")?;
        let wish = watch::Wish::read(&query, parts, &call.door.options)?;
        return watch::watch(call, node, wish).await;
    }
    query.without(watch::PARAMETERS, "without watch=true")?;
    list(&call, node, &Paging::read(&query, &call.door.options)?).await
}

async fn list(call: &Call, node: NodeId, paging: &Paging) -> Result<Response, Problem> {
    let verb = Verb::Items { node, selection: Selection::All, page: paging.page.clone(), view: View::default() };
    let answered = call.ask(verb).await?;
    let items = items(&answered)?;
    let Answer::Items { node, .. } = &answered.answer else { return Err(mistaken()) };
    let bytes: usize = items.entries.iter().filter_map(|item| item.payload.as_ref()).map(|held| held.xml.len()).sum();
    let mut out = Vec::with_capacity(256 + items.entries.len() * 160 + bytes);
    let mut object = Object::begin(&mut out);
    let mut array = object.array("items");
    for item in paging.ordered(items) {
        let mut entry = array.object();
        write_item(&mut entry, item, node.config.told_publisher(&item.fact.publisher));
        entry.end();
    }
    array.end();
    paging.write(&mut object, items);
    if let Some(at) = answered.at {
        object.text("cursor", &call.door.rooms.cursors.encode(at));
    }
    object.end();
    let mut response = json(StatusCode::OK, out);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static(REVALIDATE));
    Ok(call.mark(response, answered.at))
}

pub(super) async fn show(call: &Call, node: NodeId, item: ItemId) -> Result<Response, Problem> {
    Query::parse(call.parts.uri.query(), &[])?;
    call.require(Scope::Read, &node)?;
    let page = Page { max: 1, edge: Edge::First };
    let answered =
        call.ask(Verb::Items { node, selection: Selection::These(vec![item]), page, view: View::default() }).await?;
    let Answer::Items { node, list } = &answered.answer else { return Err(mistaken()) };
    let Some(item) = list.entries.first() else { return Err(Refusal::ItemAbsent.into()) };
    let headers = &call.parts.headers;
    let media = item.payload.as_ref().map(|held| held.media);
    let form = media.map_or(Form::Native, |media| item_form(headers, media));
    let at = Position { node: node.key, seq: item.fact.seq };
    let tag = conditional::entity_tag(&call.door.rooms.cursors, at, media, form);
    let mut response = match conditional::check_read(headers, &tag)? {
        ReadCondition::NotModified => {
            let mut response = no_content();
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        }
        ReadCondition::Holds => content(item, form),
    };
    let headers = response.headers_mut();
    headers.insert(ETAG, conditional::header(&tag));
    headers.insert(VARY, HeaderValue::from_static("accept"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(REVALIDATE));
    Ok(call.mark(response, answered.at))
}

fn content(item: &Item, form: Form) -> Response {
    let Some(held) = &item.payload else { return no_content() };
    let (content_type, bytes) = match form {
        Form::Native => payload::to_http(held),
        Form::Json => ("application/json", payload::to_json(held).into_bytes()),
    };
    let mut response = Response::new(Body::from(bytes));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

pub(super) fn items(answered: &Answered) -> Result<&List<Item>, Problem> {
    match &answered.answer {
        Answer::Items { list, .. } => Ok(list),
        _ => Err(mistaken()),
    }
}

/// A current item as it stands in a list.
fn write_item(object: &mut Object<'_>, item: &Item, publisher: Option<&BareJid>) {
    object.text("id", item.fact.id.as_str());
    object.number("seq", item.fact.seq.0);
    object.plain("published", item.fact.published);
    if let Some(publisher) = publisher {
        object.text("publisher", publisher.as_str());
    }
    if let Some(held) = &item.payload {
        object.text("type", media_type(held.media));
        object.raw("data", &payload::to_json(held));
    }
}

/// What an item without a payload lacks, a list leaves out.
fn media_type(media: Media) -> &'static str {
    match media {
        Media::Xml => "application/xml",
        Media::Atom => "application/atom+xml",
        Media::Json => "application/json",
        Media::Text => "text/plain",
    }
}

fn mistaken() -> Problem {
    Problem::internal("items were answered with something else")
}

/// Lists and watches share a path; each refuses the other's parameters.
const PARAMETERS: &[&str] =
    &["limit", "after", "before", "order", "watch", "since", "initial", "types", "timeout", "wait", "ticket"];
/// For the caller alone, and to be asked for again: rights may have changed.
const REVALIDATE: &str = "private, no-cache";
