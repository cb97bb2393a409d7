//! Outbound webhooks of a node: `…/webhooks` and what is below it.

use std::sync::Arc;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, LOCATION};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::Deserialize;

use crate::delivery::webhook::{NewWebhook, NotCreated, Refused, Replay, Shown, Webhooks, secret_key, secret_text};
use crate::delivery::{CursorError, Cursors};
use crate::engine::{Answer, Position, Wrong};
use crate::http::Door;
use crate::http::body::require_json;
use crate::http::json::Object;
use crate::http::pairs::malformed;
use crate::http::path::{HookPlace, location};
use crate::http::problem::Problem;
use crate::http::query::Query;
use crate::http::routes::{Call, Scope, json, no_content};
use crate::pubsub::{EventKind, Node, NodeId, Refusal, Seq, Verb};
use crate::store::{Attempted, Parked, Webhook};

/// Everything below `…/webhooks`.
pub(super) async fn answer(
    call: &Call,
    node: NodeId,
    place: HookPlace,
    method: &axum::http::Method,
    body: Body,
) -> Result<Response, Problem> {
    use axum::http::Method;
    call.require(Scope::Manage, &node)?;
    let webhooks = &call.door.rooms.webhooks;
    let known: &'static [&'static str] = if matches!(place, HookPlace::Dead(_)) { &["after", "limit"] } else { &[] };
    let query = Query::parse(call.parts.uri.query(), known)?;
    let (id, rest) = match place {
        HookPlace::All if method == Method::POST => return create(call, webhooks, node, body).await,
        HookPlace::All => return list(call, webhooks, node).await,
        HookPlace::One(id) => (id, Rest::Itself),
        HookPlace::Dead(id) => (id, Rest::Dead),
        HookPlace::Replay(id) => (id, Rest::Replay),
    };
    let webhook = find(call, webhooks, &node, &id).await?;
    match (rest, method) {
        (Rest::Dead, _) => dead(webhooks, &webhook, &query).await,
        (Rest::Replay, _) => replay(call, webhooks, &webhook, body).await,
        (Rest::Itself, &Method::DELETE) => {
            webhooks.remove(&webhook.id).await?;
            Ok(no_content())
        }
        (Rest::Itself, &Method::PATCH) => {
            let change: Change = read(call, body).await?;
            if !change.enabled {
                return Err(
                    Problem::invalid("an endpoint is enabled, or deleted").fault("/enabled", "true is expected")
                );
            }
            webhooks.enable(&webhook.id).await?;
            let webhook = find(call, webhooks, &node, &id).await?;
            shown(call, &webhooks.show(webhook).await?)
        }
        (Rest::Itself, _) => shown(call, &webhooks.show(webhook).await?),
    }
}

enum Rest {
    Itself,
    Dead,
    Replay,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    url: String,
    #[serde(default)]
    types: Vec<String>,
    #[serde(default)]
    secret: Option<String>,
    #[serde(default)]
    mode: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    enabled: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Again {
    #[serde(default)]
    seq: Option<u64>,
    #[serde(default)]
    after: Option<String>,
}

async fn read<T: serde::de::DeserializeOwned>(call: &Call, body: Body) -> Result<T, Problem> {
    require_json(&call.parts.headers, "application/json")?;
    let received = call.receive(body).await?;
    serde_json::from_slice(&received.bytes).map_err(malformed)
}

async fn create(call: &Call, webhooks: &Webhooks, node: NodeId, body: Body) -> Result<Response, Problem> {
    // Whoever is given the events of a node for good must be one who may read them now.
    call.require(Scope::Read, &node)?;
    let wish: Wish = read(call, body).await?;
    let fault = |pointer: &str, detail: &str| Problem::invalid(detail.to_owned()).fault(pointer, detail);
    for (at, name) in wish.types.iter().enumerate() {
        if !EventKind::NAMES.contains(&name.as_str()) || wish.types[..at].contains(name) {
            let detail = format!("one of {}, once", EventKind::NAMES.join(", "));
            return Err(fault(&format!("/types/{at}"), &detail));
        }
    }
    let key = match wish.secret.as_deref().map(secret_key) {
        None => None,
        Some(Some(key)) => Some(key),
        Some(None) => return Err(fault("/secret", "whsec_ and 24 to 64 bytes in Base64 are expected")),
    };
    let ordered = match wish.mode.as_deref() {
        None | Some("ordered") => true,
        Some("parallel") => false,
        Some(_) => return Err(fault("/mode", "ordered or parallel is expected")),
    };
    let new = NewWebhook {
        owner: call.caller(),
        service: call.service_jid(),
        node: node.clone(),
        url: wish.url,
        types: wish.types,
        key,
        ordered,
    };
    let webhook = webhooks.create(new).await.map_err(not_created)?;
    let mut out = Vec::with_capacity(512);
    let mut object = Object::begin(&mut out);
    write(&mut object, &call.door.rooms.cursors, &webhook);
    object.text("secret", &secret_text(&webhook.key));
    object.end();
    let mut response = json(StatusCode::CREATED, out);
    let at = format!("{}/webhooks/{}", location(&call.service, &node, None), webhook.id);
    response.headers_mut().insert(LOCATION, HeaderValue::try_from(at).expect("a location is percent-encoded"));
    // The only time that the secret is shown.
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

fn not_created(why: NotCreated) -> Problem {
    let text = why.to_string();
    let unprocessable = |kind, title| {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, kind, title, text.clone()).fault("/url", text.clone())
    };
    match why {
        NotCreated::Wrong(wrong) => wrong.into(),
        NotCreated::Target(Refused::Url(_) | Refused::Address(_) | Refused::Unresolved) => {
            unprocessable("target-refused", "Target refused")
        }
        NotCreated::Challenge(_) => unprocessable("challenge-failed", "Challenge failed"),
        NotCreated::TooMany(_) => Problem::new(StatusCode::CONFLICT, "too-many-webhooks", "Too many webhooks", text),
    }
}

async fn list(call: &Call, webhooks: &Webhooks, node: NodeId) -> Result<Response, Problem> {
    let (node, owns) = judge(call, &node).await?;
    let mut out = Vec::with_capacity(256);
    let mut object = Object::begin(&mut out);
    let mut array = object.array("webhooks");
    for webhook in webhooks.of(&node).await?.iter().filter(|webhook| owns || webhook.owner == call.login.account) {
        let mut entry = array.object();
        write(&mut entry, &call.door.rooms.cursors, webhook);
        entry.end();
    }
    array.end();
    object.end();
    Ok(json(StatusCode::OK, out))
}

/// One that the caller may see: its own, or any of a node of its own.
async fn find(call: &Call, webhooks: &Webhooks, node: &NodeId, id: &str) -> Result<Webhook, Problem> {
    let absent = || Problem::not_found("there is no such webhook");
    let webhook = webhooks.find(id).await?.ok_or_else(absent)?;
    let here = webhook.address.node == *node && webhook.address.service == call.service_jid();
    let mine = webhook.owner == call.login.account || call.login.admin;
    if here && (mine || judge(call, node).await?.1) { Ok(webhook) } else { Err(absent()) }
}

/// The node, and whether it is the caller's.
async fn judge(call: &Call, node: &NodeId) -> Result<(Arc<Node>, bool), Problem> {
    let found = match call.ask(Verb::Metadata { node: node.clone() }).await?.answer {
        Answer::Metadata { node, .. } => node,
        _ => return Err(Problem::internal("metadata was answered with something else")),
    };
    match call.ask(Verb::Configuration { node: node.clone() }).await {
        Ok(_) => Ok((found, true)),
        Err(Wrong::Refused(Refusal::NodeAbsent | Refusal::NodeGone { .. })) => Err(Refusal::NodeAbsent.into()),
        Err(Wrong::Refused(_)) => Ok((found, false)),
        Err(wrong) => Err(wrong.into()),
    }
}

async fn dead(webhooks: &Webhooks, webhook: &Webhook, query: &Query<'_>) -> Result<Response, Problem> {
    let after = Seq(query.number("after", 0, u64::MAX >> 1)?.unwrap_or(0));
    let limit = query.number("limit", 0, DEAD_MAX)?.unwrap_or(DEAD);
    let letters = webhooks.dead_letters(&webhook.id, after, limit as usize).await?;
    let mut out = Vec::with_capacity(256);
    let mut object = Object::begin(&mut out);
    let mut array = object.array("dead");
    let (mut bytes, mut last) = (0, None);
    for Parked { seq, attempts, error, body, .. } in &letters {
        if bytes >= DEAD_BYTES_MAX {
            break;
        }
        (bytes, last) = (bytes + body.len(), Some(*seq));
        let mut entry = array.object();
        entry.number("seq", seq.0);
        entry.number("attempts", u64::from(*attempts));
        entry.text("error", error);
        entry.raw("event", &String::from_utf8_lossy(body));
        entry.end();
    }
    array.end();
    let whole = (letters.len() as u64) < limit && last == letters.last().map(|letter| letter.seq);
    if let Some(last) = last.filter(|_| !whole) {
        object.number("next", last.0);
    }
    object.end();
    Ok(json(StatusCode::OK, out))
}

async fn replay(call: &Call, webhooks: &Webhooks, webhook: &Webhook, body: Body) -> Result<Response, Problem> {
    let again: Again = read(call, body).await?;
    let replay = match (again.seq, again.after.as_deref()) {
        (Some(seq), None) => Replay::One(Seq(seq)),
        (None, Some("earliest")) => Replay::After(Seq(0)),
        (None, Some(cursor)) => {
            Replay::After(call.door.rooms.cursors.decode(cursor, webhook.node).map_err(|error| {
                let detail = match error {
                    CursorError::NotACursor => "this is not a cursor",
                    CursorError::Gone => "this cursor is not of this node",
                };
                Problem::invalid(detail).fault("/after", detail)
            })?)
        }
        _ => return Err(Problem::invalid("either seq, of a dead letter, or after, a cursor or earliest, is expected")),
    };
    if !webhooks.replay(&webhook.id, replay).await? {
        return Err(Problem::not_found("there is no such dead letter"));
    }
    let mut response = no_content();
    *response.status_mut() = StatusCode::ACCEPTED;
    Ok(response)
}

/// `GET /v1/webhooks/keys`: what verifies the `v1a` signature of every delivery, as a key set (RFC 7517, RFC 8037)
/// and as Standard Webhooks writes it.
pub(super) fn keys(door: &Door, parts: &axum::http::request::Parts) -> Result<Response, Problem> {
    Query::parse(parts.uri.query(), &[])?;
    let key = door.rooms.webhooks.public_key();
    let mut out = Vec::with_capacity(256);
    let mut object = Object::begin(&mut out);
    let mut keys = object.array("keys");
    let mut entry = keys.object();
    entry.text("kty", "OKP");
    entry.text("crv", "Ed25519");
    entry.text("alg", "EdDSA");
    entry.text("use", "sig");
    entry.text("x", &URL_SAFE_NO_PAD.encode(key));
    entry.text("whpk", &format!("whpk_{}", STANDARD.encode(key)));
    entry.end();
    keys.end();
    object.end();
    let mut response = json(StatusCode::OK, out);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
    Ok(response)
}

fn shown(call: &Call, shown: &Shown) -> Result<Response, Problem> {
    let mut out = Vec::with_capacity(1024);
    let mut object = Object::begin(&mut out);
    write(&mut object, &call.door.rooms.cursors, &shown.webhook);
    object.number("retrying", shown.retrying);
    object.number("dead", shown.dead);
    object.text("breaker", if shown.breaker_open { "open" } else { "closed" });
    let mut log = object.array("log");
    for Attempted { seq, attempt, time, took_ms, outcome, success, .. } in &shown.log {
        let mut entry = log.object();
        entry.number("seq", seq.0);
        entry.number("attempt", u64::from(*attempt));
        entry.plain("time", time);
        entry.number("milliseconds", *took_ms);
        entry.text("outcome", outcome);
        entry.boolean("success", *success);
        entry.end();
    }
    log.end();
    object.end();
    Ok(json(StatusCode::OK, out))
}

fn write(object: &mut Object<'_>, cursors: &Cursors, webhook: &Webhook) {
    object.text("id", &webhook.id);
    object.text("node", webhook.address.node.as_str());
    object.text("url", &webhook.url);
    object.text("owner", webhook.owner.as_str());
    let mut types = object.array("types");
    webhook.types.iter().for_each(|name| types.text(name));
    types.end();
    object.text("mode", if webhook.ordered { "ordered" } else { "parallel" });
    object.plain("created", webhook.created);
    object.boolean("enabled", webhook.disabled.is_none());
    if let Some(why) = &webhook.disabled {
        object.text("disabled", why);
    }
    if let Some(since) = webhook.failing_since {
        object.plain("failing_since", since);
    }
    object.text("cursor", &cursors.encode(Position { node: webhook.node, seq: webhook.position }));
}

/// Dead letters of one answer, when nothing else is asked for, and at most.
const DEAD: u64 = 20;
const DEAD_MAX: u64 = 100;
/// No letter is added to an answer that has so many bytes of them.
const DEAD_BYTES_MAX: usize = 1 << 20;
