//! Inbound webhooks as publishers: `POST /v1/hooks/{source}`.
//!
//! A source is configured with a scheme, its secrets, the account that publishes and the node that is
//! published to. The signature is the credential: nothing of the body is read before it is found
//! right, and a delivery that was seen before is answered and not published again.

mod scheme;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use crate::engine::Once;
use crate::http::Door;
use crate::http::body::{Kind, PAYLOAD_TYPES, receive, unsupported};
use crate::http::idempotency::{self, Fingerprint, hex};
use crate::http::json::Object;
use crate::http::path::no_such_path;
use crate::http::problem::Problem;
use crate::http::publish::published;
use crate::http::query::Query;
use crate::http::routes::json;
use crate::jid::BareJid;
use crate::payload::event_from_parts;
use crate::pubsub::{Caller, ItemId, NewItem, NodeId, Payload, Precondition, Request, Role, Verb};

pub use scheme::{Algorithm, Encoding, Generic, Scheme, Secret};
use scheme::{Delivery, Part, Rejected, parts};

/// A sender of webhooks, and what becomes of what it sends.
#[derive(Clone, Debug)]
pub struct Hook {
    /// The last segment of the path.
    pub source: String,
    pub scheme: Scheme,
    /// Two of them during a rotation.
    pub secrets: Vec<Secret>,
    /// How far the time that was signed may be from now.
    pub tolerance_seconds: i64,
    /// The node, as a template: text with `{event}`, `{id}` and JSON pointers into the body, such as
    /// `{/repository/full_name}`.
    pub node: String,
    /// The item, by the same rule; without one each delivery is an item of its own.
    pub item: Option<String>,
    /// In whose name it is published; its affiliations decide.
    pub account: BareJid,
    /// Whether nodes that are not there are created, where the account may.
    pub create: bool,
    pub form: HookForm,
}

/// What is published of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookForm {
    /// The body as it came.
    Body,
    /// A CloudEvent whose data it is.
    CloudEvent,
}

/// Braces of a template, as far as they can be judged without a delivery; what is wrong otherwise.
pub fn check_template(template: &str) -> Result<(), String> {
    for part in parts(template) {
        match part {
            Part::Text(text) if text.contains(['{', '}']) => return Err(format!("{text:?} has a brace too many")),
            Part::Text(_) => {}
            Part::Named(name) if name == "event" || name == "id" || name.starts_with('/') => {}
            Part::Named(name) => return Err(format!("{{{name}}} is none of {{event}}, {{id}} and {{/json/pointer}}")),
        }
    }
    Ok(())
}

/// A delivery of a webhook.
pub(super) async fn receive_hook(door: &Door, parts: &Parts, source: &str, body: Body) -> Result<Response, Problem> {
    Query::parse(parts.uri.query(), &[])?;
    let hook = door.options.hooks.iter().find(|hook| hook.source == source).ok_or_else(no_such_path)?;
    let received = receive(door, &parts.headers, body).await?;
    let now = door.rooms.clock.now().seconds();
    let delivery = hook
        .scheme
        .verify(&parts.headers, &received.bytes, &hook.secrets, now, hook.tolerance_seconds)
        .map_err(|rejected| rejection(source, rejected))?;
    let told = door.admit(&hook.account, received.bytes.len() as u64)?;
    let said = Said::read(hook, delivery, &received.bytes);
    if let Some(challenge) = said.challenge(hook) {
        return Ok(told.mark(plain(challenge)));
    }
    let published = async {
        require_enabled(door, hook).await?;
        let kind = Kind::read(&parts.headers)?;
        publish(door, hook, &said, kind, &received.bytes).await
    };
    Ok(told.mark(published.await.unwrap_or_else(IntoResponse::into_response)))
}

/// Nothing is published in the name of an account that was disabled.
async fn require_enabled(door: &Door, hook: &Hook) -> Result<(), Problem> {
    match door.rooms.access.account(&hook.account).await {
        Ok(Some(account)) if account.disabled => {
            Err(Problem::forbidden("the account in whose name this source publishes is disabled"))
        }
        Ok(_) => Ok(()),
        Err(_) => Err(Problem::unavailable("storage-unreadable", "the storage cannot be read", 5)),
    }
}

fn rejection(source: &str, rejected: Rejected) -> Problem {
    let (status, kind, title, why) = match rejected {
        Rejected::Unproven(why) => (StatusCode::UNAUTHORIZED, "signature-invalid", "Signature invalid", why),
        Rejected::Malformed(why) => (StatusCode::BAD_REQUEST, "bad-request", "Bad request", why),
    };
    tracing::info!(source, why, "a webhook was not taken");
    let problem = Problem::new(status, kind, title, why);
    match rejected {
        // RFC 9110 §11.6.1: an answer of 401 names what would do.
        Rejected::Unproven(_) => problem.challenge(HeaderValue::from_static("Signature realm=\"tidings\"")),
        Rejected::Malformed(_) => problem,
    }
}

/// What a delivery that is proven says.
struct Said {
    /// Absent where the body is not JSON.
    body: Option<Value>,
    event: String,
    id: String,
}

impl Said {
    fn read(hook: &Hook, delivery: Delivery, bytes: &[u8]) -> Self {
        let body: Option<Value> = serde_json::from_slice(bytes).ok();
        let of = |pointer: &str| body.as_ref().and_then(|body| body.pointer(pointer)?.as_str()).map(str::to_owned);
        let event = match &hook.scheme {
            Scheme::StandardWebhooks | Scheme::Stripe => of("/type"),
            Scheme::Slack => of("/event/type").or_else(|| of("/type")),
            Scheme::GitHub | Scheme::Shopify | Scheme::GitLab | Scheme::Hmac(_) => delivery.event,
        };
        let id = match &hook.scheme {
            Scheme::Stripe => of("/id"),
            Scheme::Slack => of("/event_id"),
            Scheme::StandardWebhooks | Scheme::GitHub | Scheme::Shopify | Scheme::GitLab | Scheme::Hmac(_) => {
                delivery.id
            }
        };
        // A delivery without a name is named by what was signed.
        let unnamed = || {
            let time = delivery.time.as_deref().unwrap_or("");
            hex(&Fingerprint::default().part(time.as_bytes()).part(bytes).finish())
        };
        Said { event: event.unwrap_or_default(), id: id.filter(|id| !id.is_empty()).unwrap_or_else(unnamed), body }
    }

    /// Slack asks once whether the endpoint is there.
    fn challenge(&self, hook: &Hook) -> Option<String> {
        let body = self.body.as_ref().filter(|_| hook.scheme == Scheme::Slack)?;
        let asks = body.get("type")?.as_str()? == "url_verification";
        asks.then(|| body.get("challenge")?.as_str().map(str::to_owned)).flatten()
    }

    fn fill(&self, template: &str) -> Result<String, Problem> {
        let mut filled = String::new();
        for part in parts(template) {
            match part {
                Part::Text(text) => filled.push_str(text),
                Part::Named("event") if self.event.is_empty() => {
                    return Err(Problem::invalid("the delivery names no event, and its target is named by one"));
                }
                Part::Named("event") => filled.push_str(&self.event),
                Part::Named("id") => filled.push_str(&self.id),
                Part::Named(pointer) => match self.body.as_ref().and_then(|body| body.pointer(pointer)) {
                    Some(Value::String(text)) => filled.push_str(text),
                    Some(Value::Bool(flag)) => filled.push_str(&flag.to_string()),
                    Some(Value::Number(number)) if number.is_i64() || number.is_u64() => {
                        filled.push_str(&number.to_string());
                    }
                    _ => {
                        let detail = "the target of this source is named by what stands here, and it names nothing";
                        return Err(Problem::invalid(detail).fault(pointer, detail));
                    }
                },
            }
        }
        Ok(filled)
    }
}

async fn publish(door: &Door, hook: &Hook, said: &Said, kind: Option<Kind>, bytes: &[u8]) -> Result<Response, Problem> {
    let node = NodeId::parse(&said.fill(&hook.node)?)
        .ok_or_else(|| Problem::invalid("what the delivery says does not make a node's name"))?;
    let item = match &hook.item {
        None => None,
        Some(template) => Some(
            ItemId::parse(&said.fill(template)?)
                .ok_or_else(|| Problem::invalid("what the delivery says does not make an item's name"))?,
        ),
    };
    let payload = payload(hook, said, kind, bytes)?;
    let items = vec![NewItem { id: item, payload: Some(payload), precondition: Precondition::None }];
    let name = Fingerprint::default().part(hook.source.as_bytes()).part(said.id.as_bytes()).finish();
    // Whatever it bears: a delivery of that name was published.
    let once = Once { key: Arc::from(format!("hook:{}", hex(&name))), fingerprint: [0; 32] };
    let request = Request {
        caller: Caller { jid: hook.account.clone().into(), role: Role::Account },
        service: door.service.clone(),
        verb: Verb::Publish { node: node.clone(), items, options: None, create: hook.create },
    };
    let (items, _, again) = published(door.rooms.engine.ask_once(request, once).await?)?;
    let mut out = Vec::with_capacity(128);
    let mut object = Object::begin(&mut out);
    object.text("node", node.as_str());
    if let Some(item) = items.first() {
        if let Some(id) = &item.id {
            object.text("id", id.as_str());
        }
        object.number("seq", item.seq.0);
    }
    object.end();
    let response = json(StatusCode::OK, out);
    Ok(if again { idempotency::mark_replayed(response) } else { response })
}

fn payload(hook: &Hook, said: &Said, kind: Option<Kind>, bytes: &[u8]) -> Result<Payload, Problem> {
    let kind = kind.ok_or_else(|| unsupported(PAYLOAD_TYPES))?;
    let payload = kind.payload(bytes)?;
    if hook.form == HookForm::Body {
        return Ok(payload);
    }
    let event = if said.event.is_empty() { "delivery" } else { &said.event };
    let attributes = [
        ("specversion", "1.0".to_owned()),
        ("id", said.id.clone()),
        ("source", format!("/v1/hooks/{}", hook.source)),
        ("type", format!("{}.{event}", hook.source)),
    ];
    let attributes = attributes.map(|(name, value)| (name.to_owned(), value));
    let media_type = match kind {
        Kind::Json => "application/json",
        Kind::Xml => "application/xml",
        Kind::Atom => "application/atom+xml",
        Kind::Text => "text/plain",
    };
    let event = event_from_parts(&attributes, Some(media_type), bytes);
    event.map(|event| event.payload).map_err(|error| Problem::invalid(error.to_string()))
}

fn plain(text: String) -> Response {
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
