//! Everything that goes wrong, as `application/problem+json` (RFC 9457).
//!
//! This is the only place that turns a refusal or a failure into HTTP's words. No `match` here has a
//! catch-all arm: a new refusal does not compile until it is answered.

use std::borrow::Cow;

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::engine::Wrong;
use crate::http::json::Object;
use crate::payload::PayloadError;
use crate::pubsub::Refusal;
use crate::store::Failure;

/// One answer of failure: a stable kind, and what is particular to this time.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Problem {
    /// What follows `urn:tidings:problem:` in `type`. Never renamed: clients match on it.
    pub(super) kind: &'static str,
    pub(super) status: StatusCode,
    pub(super) title: &'static str,
    pub(super) detail: Cow<'static, str>,
    /// What few problems have; in a box, because results bear problems everywhere.
    more: Box<More>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct More {
    faults: Vec<Fault>,
    /// Further members, each with its text.
    members: Vec<(&'static str, String)>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// One thing that validation found (RFC 9457 §3.1): what, and where in the body.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fault {
    pub(super) detail: String,
    /// A JSON pointer (RFC 6901).
    pub(super) pointer: String,
}

impl Problem {
    pub(super) fn new(
        status: StatusCode,
        kind: &'static str,
        title: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Problem { kind, status, title, detail: detail.into(), more: Box::default() }
    }

    /// The request cannot be understood.
    pub(super) fn bad_request(detail: impl Into<Cow<'static, str>>) -> Self {
        Problem::new(StatusCode::BAD_REQUEST, "bad-request", "Bad request", detail)
    }

    /// The body is understood, and its content is not acceptable.
    pub(super) fn invalid(detail: impl Into<Cow<'static, str>>) -> Self {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-content", "Invalid content", detail)
    }

    pub(super) fn not_found(detail: impl Into<Cow<'static, str>>) -> Self {
        Problem::new(StatusCode::NOT_FOUND, "item-not-found", "Not found", detail)
    }

    pub(super) fn forbidden(detail: impl Into<Cow<'static, str>>) -> Self {
        Problem::new(StatusCode::FORBIDDEN, "forbidden", "Forbidden", detail)
    }

    pub(super) fn unavailable(kind: &'static str, detail: &'static str, seconds: u64) -> Self {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, kind, "Unavailable", detail).retry_after(seconds)
    }

    /// Our own mistake: something happened that the code says cannot.
    pub(super) fn internal(detail: &'static str) -> Self {
        tracing::error!(detail, "an HTTP request met a mistake of the server");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal error", detail)
    }

    pub(super) fn fault(mut self, pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        self.more.faults.push(Fault { detail: detail.into(), pointer: pointer.into() });
        self
    }

    /// The same, of a part of the body: its faults are at places within it.
    pub(super) fn within(mut self, place: &str) -> Self {
        for fault in &mut self.more.faults {
            fault.pointer.insert_str(0, place);
        }
        self
    }

    pub(super) fn faults(&self) -> &[Fault] {
        &self.more.faults
    }

    pub(super) fn member(mut self, name: &'static str, text: impl Into<String>) -> Self {
        self.more.members.push((name, text.into()));
        self
    }

    pub(super) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.more.headers.push((name, value));
        self
    }

    pub(super) fn retry_after(self, seconds: u64) -> Self {
        self.header(RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// RFC 9110 §11.6.1: what credentials would do.
    pub(super) fn challenge(self, scheme: HeaderValue) -> Self {
        self.header(WWW_AUTHENTICATE, scheme)
    }

    /// The JSON object, as it stands in a body and in a stream that is already open.
    pub(super) fn to_json(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        let mut object = Object::begin(&mut out);
        object.text("type", &format!("{TYPE_PREFIX}{}", self.kind));
        object.text("title", self.title);
        object.number("status", u64::from(self.status.as_u16()));
        object.text("detail", &self.detail);
        for (name, text) in &self.more.members {
            object.text(name, text);
        }
        if !self.more.faults.is_empty() {
            let mut faults = object.array("errors");
            for fault in &self.more.faults {
                let mut entry = faults.object();
                entry.text("detail", &fault.detail);
                entry.text("pointer", &fault.pointer);
                entry.end();
            }
            faults.end();
        }
        object.end();
        out
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.to_json()));
        *response.status_mut() = self.status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        for (name, value) in self.more.headers {
            response.headers_mut().append(name, value);
        }
        response
    }
}

impl From<Wrong> for Problem {
    fn from(wrong: Wrong) -> Self {
        match wrong {
            Wrong::Refused(refusal) => refusal.into(),
            Wrong::Failed(failure) => failure.into(),
            Wrong::Overloaded => Problem::unavailable(
                "overloaded",
                "the server has too much to do; nothing was done",
                OVERLOAD_RETRY_SECONDS,
            ),
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let (status, kind, title) = terms(&refusal);
        let mut problem = Problem::new(status, kind, title, detail(&refusal));
        if let Refusal::NodeGone { redirect: Some(redirect) } = &refusal {
            problem = problem.member("redirect", &**redirect);
        }
        if let Refusal::InvalidConfig { field, why } | Refusal::InvalidOptions { field, why } = &refusal {
            problem = problem.fault(format!("/{}", escape_pointer(field)), &**why);
        }
        problem
    }
}

/// The table of refusals: status, stable kind, title.
fn terms(refusal: &Refusal) -> (StatusCode, &'static str, &'static str) {
    use StatusCode as S;
    match refusal {
        Refusal::NodeAbsent => (S::NOT_FOUND, "item-not-found", "Not found"),
        Refusal::NodeGone { .. } => (S::GONE, "node-deleted", "Node deleted"),
        Refusal::NodeExists => (S::CONFLICT, "node-exists", "Node exists"),
        Refusal::NodeRequired => (S::BAD_REQUEST, "nodeid-required", "Node required"),
        Refusal::Forbidden => (S::FORBIDDEN, "forbidden", "Forbidden"),
        Refusal::Outcast => (S::FORBIDDEN, "outcast", "Forbidden"),
        Refusal::NotOnWhitelist => (S::FORBIDDEN, "closed-node", "Forbidden"),
        Refusal::PresenceRequired => (S::FORBIDDEN, "presence-subscription-required", "Forbidden"),
        Refusal::NotInRosterGroup => (S::FORBIDDEN, "not-in-roster-group", "Forbidden"),
        Refusal::SubscriptionRequired => (S::FORBIDDEN, "subscription-required", "Forbidden"),
        Refusal::SubscriptionPending => (S::CONFLICT, "pending-subscription", "Subscription pending"),
        Refusal::NotPending => (S::CONFLICT, "not-pending", "Not pending"),
        Refusal::NodeFull => (S::CONFLICT, "node-full", "Node full"),
        Refusal::MayNotCreate => (S::FORBIDDEN, "may-not-create", "Forbidden"),
        Refusal::RegistrationRequired => (S::FORBIDDEN, "registration-required", "Forbidden"),
        Refusal::ItemAbsent => (S::NOT_FOUND, "item-not-found", "Not found"),
        Refusal::ItemRequired => (S::UNPROCESSABLE_ENTITY, "item-required", "Invalid item"),
        Refusal::ItemForbidden => (S::UNPROCESSABLE_ENTITY, "item-forbidden", "Invalid item"),
        Refusal::PayloadRequired => (S::UNPROCESSABLE_ENTITY, "payload-required", "Invalid item"),
        Refusal::InvalidPayload { .. } => (S::UNPROCESSABLE_ENTITY, "invalid-payload", "Invalid payload"),
        Refusal::PayloadTooBig { .. } => (S::PAYLOAD_TOO_LARGE, "payload-too-big", "Payload too big"),
        Refusal::TooManyItems { .. } => (S::UNPROCESSABLE_ENTITY, "max-items-exceeded", "Too many items"),
        Refusal::DuplicateItem { .. } => (S::UNPROCESSABLE_ENTITY, "duplicate-item", "Invalid item"),
        Refusal::PreconditionFailed => (S::PRECONDITION_FAILED, "precondition-failed", "Precondition failed"),
        Refusal::OptionsMismatch { .. } => (S::CONFLICT, "precondition-not-met", "Options do not match"),
        Refusal::InvalidConfig { .. } => (S::UNPROCESSABLE_ENTITY, "invalid-config", "Invalid configuration"),
        Refusal::InvalidJid => (S::BAD_REQUEST, "invalid-jid", "Invalid JID"),
        Refusal::SubscriptionsClosed => (S::FORBIDDEN, "subscriptions-closed", "Subscriptions closed"),
        Refusal::NotSubscribed => (S::NOT_FOUND, "not-subscribed", "Not subscribed"),
        Refusal::InvalidSubId => (S::NOT_FOUND, "invalid-subid", "Invalid subid"),
        Refusal::SubIdRequired => (S::CONFLICT, "subid-required", "Subid required"),
        Refusal::InvalidOptions { .. } => (S::UNPROCESSABLE_ENTITY, "invalid-options", "Invalid subscription options"),
        Refusal::TooManySubscriptions => (S::CONFLICT, "too-many-subscriptions", "Too many subscriptions"),
        Refusal::LastOwner { .. } => (S::CONFLICT, "last-owner", "Last owner"),
        Refusal::InvalidChange { .. } => (S::UNPROCESSABLE_ENTITY, "invalid-change", "Invalid change"),
        Refusal::DuplicateChange { .. } => (S::BAD_REQUEST, "duplicate-change", "Duplicate change"),
        Refusal::NotPersistent => (S::CONFLICT, "persistent-items-unsupported", "Items are not kept"),
        Refusal::NotOfCollections { .. } => (S::CONFLICT, "not-of-collections", "Node is a collection"),
        Refusal::CollectionsUnsupported => (S::UNPROCESSABLE_ENTITY, "collections-unsupported", "No collections"),
        Refusal::InvalidGraph { .. } => (S::CONFLICT, "invalid-graph", "Impossible collection"),
        Refusal::TooManyChildren { .. } => (S::CONFLICT, "max-nodes-exceeded", "Collection full"),
        Refusal::NotAssociated => (S::CONFLICT, "not-associated", "Not associated"),
        Refusal::KeptByService => (S::FORBIDDEN, "kept-by-service", "Forbidden"),
        Refusal::InvalidAttachments { .. } => (S::UNPROCESSABLE_ENTITY, "invalid-attachments", "Invalid attachments"),
        Refusal::PageAbsent => (S::NOT_FOUND, "page-not-found", "No such page"),
    }
}

/// What is the matter this time.
fn detail(refusal: &Refusal) -> Cow<'static, str> {
    let text = match refusal {
        Refusal::NodeAbsent => "there is no such node",
        Refusal::NodeGone { .. } => "the node was deleted",
        Refusal::NodeExists => "a node of that name exists already",
        Refusal::NodeRequired => "the request names no node",
        Refusal::Forbidden => "your affiliation with the node does not allow that",
        Refusal::Outcast => "you are banned from the node",
        Refusal::NotOnWhitelist => "you are not on the node's whitelist",
        Refusal::PresenceRequired => "the node is for those who see its owner's presence",
        Refusal::NotInRosterGroup => "you are in none of the roster groups that the node is for",
        Refusal::SubscriptionRequired => "the node is for subscribers whom its owner has approved",
        Refusal::SubscriptionPending => "the node's owner has not answered yet",
        Refusal::NotPending => "nobody waits for that answer",
        Refusal::NodeFull => "the node holds as many items as it may",
        Refusal::MayNotCreate => "you may not create nodes here",
        Refusal::RegistrationRequired => "only those who have an account here may create nodes",
        Refusal::ItemAbsent => "there is no such item",
        Refusal::ItemRequired => "the request bears no item where it must",
        Refusal::ItemForbidden => "the node takes notifications without items only",
        Refusal::PayloadRequired => "the node wants a payload in each item",
        Refusal::InvalidPayload { why }
        | Refusal::InvalidChange { why, .. }
        | Refusal::InvalidGraph { why }
        | Refusal::InvalidAttachments { why } => why,
        Refusal::KeptByService => "the service keeps this node itself",
        Refusal::NotOfCollections { .. } => "a collection has no items",
        Refusal::CollectionsUnsupported => "accounts have no collections",
        Refusal::TooManyChildren { children_max } => {
            return format!("the collection holds at most {children_max} nodes").into();
        }
        Refusal::NotAssociated => "the node does not stand in the collection",
        Refusal::PayloadTooBig { bytes, bytes_max } => {
            return format!("the payload makes {bytes} bytes of XML; the node takes at most {bytes_max}").into();
        }
        Refusal::TooManyItems { items, items_max } => {
            return format!("{items} items; at most {items_max} are taken").into();
        }
        Refusal::DuplicateItem { item } => return format!("item {item} occurs twice").into(),
        Refusal::PreconditionFailed => PRECONDITION_FAILED,
        Refusal::OptionsMismatch { field } => {
            return format!("the node's {field} is not what the publish options ask for").into();
        }
        Refusal::InvalidConfig { field, why } | Refusal::InvalidOptions { field, why } => {
            return format!("{field}: {why}").into();
        }
        Refusal::InvalidJid => "the JID is not yours to speak for",
        Refusal::SubscriptionsClosed => "the node's owner has switched subscribing off",
        Refusal::NotSubscribed => "there is no such subscription",
        Refusal::InvalidSubId => "the subscription has another identifier",
        Refusal::SubIdRequired => "there are several subscriptions: name one",
        Refusal::TooManySubscriptions => "no more subscriptions are taken",
        Refusal::LastOwner { .. } => "a node keeps at least one owner",
        Refusal::DuplicateChange { jid } => return format!("{jid} occurs twice").into(),
        Refusal::NotPersistent => "the node does not keep items",
        Refusal::PageAbsent => PAGE_ABSENT,
    };
    text.into()
}

impl From<PayloadError> for Problem {
    fn from(error: PayloadError) -> Self {
        let text = error.to_string();
        let status = match error {
            PayloadError::Empty
            | PayloadError::NotUtf8
            | PayloadError::NotJson(_)
            | PayloadError::JsonTooDeep
            | PayloadError::NotXml(_)
            | PayloadError::NoNamespace
            | PayloadError::NotAtom
            | PayloadError::Character(_) => StatusCode::UNPROCESSABLE_ENTITY,
        };
        // Of the whole; what it is a part of says where it stands.
        Problem::new(status, "invalid-payload", "Invalid payload", text.clone()).fault("", text)
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        // The reason is for the operator's log; a caller can do nothing with it.
        match &failure {
            Failure::NoSuchEdge => {}
            failure => tracing::warn!(%failure, "an HTTP request met a failure of the storage"),
        }
        match failure {
            Failure::Stale => Problem::unavailable(
                "contention",
                "another writer was faster; nothing was done",
                OVERLOAD_RETRY_SECONDS,
            ),
            Failure::Full => Problem::new(
                StatusCode::INSUFFICIENT_STORAGE,
                "storage-full",
                "Storage full",
                "the server has no space left; nothing was stored",
            )
            .retry_after(FULL_RETRY_SECONDS),
            Failure::Refused(_) => {
                Problem::unavailable("storage-refused", "the storage refused; nothing was stored", RETRY_SECONDS)
            }
            Failure::Unknown(_) => Problem::unavailable(
                "outcome-unknown",
                "whether it was done is not known: read before you repeat",
                RETRY_SECONDS,
            ),
            Failure::Read(_) => Problem::unavailable("storage-unreadable", "the storage cannot be read", RETRY_SECONDS),
            Failure::NoSuchEdge => Refusal::PageAbsent.into(),
            Failure::Closed => Problem::unavailable("stopping", "the server stops; nothing was done", RETRY_SECONDS),
        }
    }
}

/// RFC 6901 §3.
pub(super) fn escape_pointer(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// What every `type` begins with.
pub(super) const TYPE_PREFIX: &str = "urn:tidings:problem:";
const PRECONDITION_FAILED: &str = "the item is not in the state that the request supposes";
const PAGE_ABSENT: &str = "the page begins at an entry that is not in the list any more: begin again, or at another";
const OVERLOAD_RETRY_SECONDS: u64 = 1;
const RETRY_SECONDS: u64 = 5;
const FULL_RETRY_SECONDS: u64 = 60;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::jid::BareJid;
    use crate::pubsub::{ItemId, Unchanged};

    fn every_refusal() -> Vec<(Refusal, u16, &'static str)> {
        let unchanged = || Unchanged::Affiliations(vec![]);
        vec![
            (Refusal::NodeAbsent, 404, "item-not-found"),
            (Refusal::NodeGone { redirect: None }, 410, "node-deleted"),
            (Refusal::NodeExists, 409, "node-exists"),
            (Refusal::NodeRequired, 400, "nodeid-required"),
            (Refusal::Forbidden, 403, "forbidden"),
            (Refusal::Outcast, 403, "outcast"),
            (Refusal::NotOnWhitelist, 403, "closed-node"),
            (Refusal::PresenceRequired, 403, "presence-subscription-required"),
            (Refusal::NotInRosterGroup, 403, "not-in-roster-group"),
            (Refusal::SubscriptionRequired, 403, "subscription-required"),
            (Refusal::SubscriptionPending, 409, "pending-subscription"),
            (Refusal::NotPending, 409, "not-pending"),
            (Refusal::NodeFull, 409, "node-full"),
            (Refusal::MayNotCreate, 403, "may-not-create"),
            (Refusal::RegistrationRequired, 403, "registration-required"),
            (Refusal::ItemAbsent, 404, "item-not-found"),
            (Refusal::ItemRequired, 422, "item-required"),
            (Refusal::ItemForbidden, 422, "item-forbidden"),
            (Refusal::PayloadRequired, 422, "payload-required"),
            (Refusal::InvalidPayload { why: "so" }, 422, "invalid-payload"),
            (Refusal::PayloadTooBig { bytes: 2, bytes_max: 1 }, 413, "payload-too-big"),
            (Refusal::TooManyItems { items: 2, items_max: 1 }, 422, "max-items-exceeded"),
            (Refusal::DuplicateItem { item: ItemId::parse("i").unwrap() }, 422, "duplicate-item"),
            (Refusal::PreconditionFailed, 412, "precondition-failed"),
            (Refusal::OptionsMismatch { field: Arc::from("f") }, 409, "precondition-not-met"),
            (Refusal::InvalidConfig { field: Arc::from("f"), why: Arc::from("so") }, 422, "invalid-config"),
            (Refusal::InvalidJid, 400, "invalid-jid"),
            (Refusal::SubscriptionsClosed, 403, "subscriptions-closed"),
            (Refusal::NotSubscribed, 404, "not-subscribed"),
            (Refusal::InvalidSubId, 404, "invalid-subid"),
            (Refusal::SubIdRequired, 409, "subid-required"),
            (Refusal::InvalidOptions { field: Arc::from("f"), why: Arc::from("so") }, 422, "invalid-options"),
            (Refusal::TooManySubscriptions, 409, "too-many-subscriptions"),
            (Refusal::LastOwner { unchanged: unchanged() }, 409, "last-owner"),
            (Refusal::InvalidChange { why: "so", unchanged: unchanged() }, 422, "invalid-change"),
            (Refusal::DuplicateChange { jid: BareJid::parse("a@b").unwrap().into() }, 400, "duplicate-change"),
            (Refusal::NotPersistent, 409, "persistent-items-unsupported"),
            (Refusal::NotOfCollections { feature: "publish" }, 409, "not-of-collections"),
            (Refusal::CollectionsUnsupported, 422, "collections-unsupported"),
            (Refusal::InvalidGraph { why: "so" }, 409, "invalid-graph"),
            (Refusal::TooManyChildren { children_max: 1 }, 409, "max-nodes-exceeded"),
            (Refusal::NotAssociated, 409, "not-associated"),
            (Refusal::KeptByService, 403, "kept-by-service"),
            (Refusal::InvalidAttachments { why: "x" }, 422, "invalid-attachments"),
            (Refusal::PageAbsent, 404, "page-not-found"),
        ]
    }

    #[test]
    fn every_refusal_has_its_status_and_its_stable_type() {
        for (refusal, status, kind) in every_refusal() {
            let shown = format!("{refusal:?}");
            let problem = Problem::from(refusal);
            let object: serde_json::Value = serde_json::from_slice(&problem.to_json()).unwrap();
            assert_eq!(object["type"], format!("urn:tidings:problem:{kind}"), "{shown}");
            assert_eq!(object["status"], status, "{shown}");
            assert!(object["title"].as_str().is_some_and(|title| !title.is_empty()), "{shown}");
            assert!(object["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{shown}");
            let response = problem.into_response();
            assert_eq!(response.status().as_u16(), status, "{shown}");
            assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        }
    }

    #[test]
    fn failures_say_honestly_what_was_done_and_when_to_come_back() {
        for (failure, status, kind) in [
            (Failure::Stale, 503, "contention"),
            (Failure::Full, 507, "storage-full"),
            (Failure::Refused("disk I/O error at /x".to_owned()), 503, "storage-refused"),
            (Failure::Unknown("broken at /x".to_owned()), 503, "outcome-unknown"),
            (Failure::Read("broken at /x".to_owned()), 503, "storage-unreadable"),
            (Failure::Closed, 503, "stopping"),
        ] {
            let problem = Problem::from(Wrong::Failed(failure));
            assert_eq!((problem.status.as_u16(), problem.kind), (status, kind));
            // Nobody is told "not done" where nobody knows, and nobody sees our insides.
            assert_eq!(
                problem.detail.contains("nothing was"),
                !matches!(kind, "outcome-unknown" | "storage-unreadable")
            );
            assert!(!problem.detail.contains("/x"));
            assert!(problem.into_response().headers().contains_key(RETRY_AFTER), "{kind}");
        }
        assert_eq!(Problem::from(Failure::NoSuchEdge).status.as_u16(), 404);
        let overloaded = Problem::from(Wrong::Overloaded);
        assert_eq!((overloaded.status.as_u16(), overloaded.kind), (503, "overloaded"));
    }

    #[test]
    fn particulars_are_members_of_the_object() {
        let gone = Problem::from(Refusal::NodeGone { redirect: Some(Arc::from("xmpp:pubsub.b?;node=x")) });
        let object: serde_json::Value = serde_json::from_slice(&gone.to_json()).unwrap();
        assert_eq!(object["redirect"], "xmpp:pubsub.b?;node=x");
        let invalid = Refusal::InvalidConfig { field: Arc::from("a/b~c"), why: Arc::from("no \"such\" field") };
        let object: serde_json::Value = serde_json::from_slice(&Problem::from(invalid).to_json()).unwrap();
        let expected = serde_json::json!([{"detail": "no \"such\" field", "pointer": "/a~1b~0c"}]);
        assert_eq!(object["errors"], expected);
    }

    #[test]
    fn payloads_that_are_none_are_the_callers_fault() {
        for error in [
            PayloadError::Empty,
            PayloadError::NotUtf8,
            PayloadError::NotJson("x".to_owned()),
            PayloadError::JsonTooDeep,
            PayloadError::NoNamespace,
            PayloadError::NotAtom,
            PayloadError::Character('\0'),
        ] {
            let problem = Problem::from(error);
            assert_eq!((problem.status.as_u16(), problem.kind), (422, "invalid-payload"));
        }
    }
}
