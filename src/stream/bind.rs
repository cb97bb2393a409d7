//! Resource binding (RFC 6120 §7), and the session request of RFC 3921 §3 that libraries still send.

use super::{BIND_NS, CLIENT_NS, SESSION_NS, STANZA_ERROR_NS};
use crate::jid::FullJid;
use crate::xml::Element;

/// Why a resource is not bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindRefusal {
    /// The resource cannot be processed: `bad-request`.
    BadRequest,
    /// Somebody has that resource, and keeps it: `conflict`.
    Conflict,
    /// The account has as many sessions as it may: `resource-constraint`.
    TooManySessions,
    /// `not-allowed`.
    NotAllowed,
}

/// A request to bind: the iq's id, and the resource where the client wants a certain one.
pub(super) struct BindRequest {
    pub id: Option<String>,
    pub resource: Option<String>,
}

impl BindRequest {
    pub fn read(stanza: &Element) -> Option<Self> {
        let bind = request(stanza, "bind", BIND_NS)?;
        // RFC 6120 §7.7.2.1: an empty resource should be made to conform; the server makes one.
        let resource = bind.child("resource", BIND_NS).map(Element::text).filter(|text| !text.is_empty());
        Some(BindRequest { id: stanza.attr("id").map(str::to_owned), resource })
    }
}

/// The answer to what is asked once more of a bound stream: to bind again is not allowed, and a
/// session there is already.
pub(super) fn late_answer(stanza: &Element) -> Option<Element> {
    let id = stanza.attr("id");
    if request(stanza, "bind", BIND_NS).is_some() {
        return Some(refused(id, BindRefusal::NotAllowed));
    }
    request(stanza, "session", SESSION_NS).map(|_| result(id))
}

pub(super) fn bound(id: Option<&str>, jid: &FullJid) -> Element {
    let jid = Element::new("jid", BIND_NS).with_text(jid.to_string());
    result(id).with_child(Element::new("bind", BIND_NS).with_child(jid))
}

/// The empty result of an iq.
fn result(id: Option<&str>) -> Element {
    Element::new("iq", CLIENT_NS).with_attr_opt("id", id).with_attr("type", "result")
}

/// RFC 6120 §7.6.2, §7.7.2.
pub(super) fn refused(id: Option<&str>, refusal: BindRefusal) -> Element {
    let (kind, condition) = match refusal {
        BindRefusal::BadRequest => ("modify", "bad-request"),
        BindRefusal::Conflict => ("modify", "conflict"),
        BindRefusal::TooManySessions => ("wait", "resource-constraint"),
        BindRefusal::NotAllowed => ("cancel", "not-allowed"),
    };
    let error =
        Element::new("error", CLIENT_NS).with_attr("type", kind).with_child(Element::new(condition, STANZA_ERROR_NS));
    Element::new("iq", CLIENT_NS).with_attr_opt("id", id).with_attr("type", "error").with_child(error)
}

fn request<'a>(stanza: &'a Element, name: &str, ns: &str) -> Option<&'a Element> {
    let set = stanza.is("iq", CLIENT_NS) && stanza.attr("type") == Some("set");
    set.then(|| stanza.child(name, ns)).flatten()
}
