//! What this room says on the wire.

use bytes::Bytes;

use crate::im::{RosterItem, Word};
use crate::jid::{BareJid, FullJid, Jid};
use crate::xml::{Element, escape_attribute};
use crate::xmpp::{Condition, Message, MessageType, NS_CLIENT, Presence, PresenceType, StanzaError};

/// The presence of a session, ready to be addressed to many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spoken {
    stanza: Bytes,
    attentive: bool,
}

impl Spoken {
    /// Whatever `to` the stanza bears is left out.
    pub fn of(presence: Presence) -> Self {
        let shown = presence.content.child("show", NS_CLIENT).map(Element::text);
        let away = matches!(shown.as_deref(), Some("away" | "xa"));
        let attentive = presence.kind == PresenceType::Available && !away;
        Spoken { stanza: wire_bytes(&Presence { to: None, ..presence }.into_element()), attentive }
    }

    /// What is said for a session that did not say it itself (RFC 6121 §4.5.2).
    pub fn unavailable(full: &FullJid) -> Self {
        let gone = Element::new("presence", NS_CLIENT)
            .with_attr("from", full.to_string())
            .with_attr("type", PresenceType::Unavailable.as_str());
        Spoken { stanza: wire_bytes(&gone), attentive: false }
    }

    pub fn to(&self, to: &Jid) -> Bytes {
        let rest = &self.stanza[START.len()..];
        let mut bytes = Vec::with_capacity(rest.len() + 64);
        bytes.extend_from_slice(START);
        bytes.extend_from_slice(b" to='");
        escape_attribute(&mut bytes, &to.to_string());
        bytes.push(b'\'');
        bytes.extend_from_slice(rest);
        Bytes::from(bytes)
    }

    /// Whether it says that somebody is there: available, and neither away nor for longer (RFC 6121
    /// §4.7.2.1).
    pub fn is_attentive(&self) -> bool {
        self.attentive
    }

    pub fn to_bare(&self, to: &BareJid) -> Bytes {
        self.to(&Jid::Bare(to.clone()))
    }
}

/// An element of our streams, whose default namespace is `jabber:client`.
pub fn wire_bytes(element: &Element) -> Bytes {
    let mut bytes = Vec::with_capacity(256);
    element.write(&mut bytes, NS_CLIENT);
    Bytes::from(bytes)
}

/// An entry as it stands in a roster (RFC 6121 §2.1.2).
pub fn roster_item(item: &RosterItem) -> Element {
    let subscription = match (item.links.to, item.links.from) {
        (false, false) => "none",
        (true, false) => "to",
        (false, true) => "from",
        (true, true) => "both",
    };
    let groups = item.groups.iter().map(|group| Element::new("group", NS_ROSTER).with_text(&**group));
    Element::new("item", NS_ROSTER)
        .with_attr("jid", item.jid.to_string())
        .with_attr_opt("name", item.name.as_deref())
        .with_attr("subscription", subscription)
        .with_attr_opt("ask", item.links.pending_out.then_some("subscribe"))
        .with_attr_opt("approved", item.links.approved.then_some("true"))
        .with_children(groups)
}

/// What tells an interested session of a change (RFC 6121 §2.1.6).
pub fn roster_push(to: &FullJid, item: Element, version: &str) -> Bytes {
    let query = Element::new("query", NS_ROSTER).with_attr("ver", version).with_child(item);
    push(to, &format!("r{version}"), query)
}

pub fn removed_item(jid: &BareJid) -> Element {
    Element::new("item", NS_ROSTER).with_attr("jid", jid.to_string()).with_attr("subscription", "remove")
}

pub fn push(to: &FullJid, id: &str, content: Element) -> Bytes {
    let iq = Element::new("iq", NS_CLIENT)
        .with_attr("from", to.bare().to_string())
        .with_attr("to", to.to_string())
        .with_attr("id", id)
        .with_attr("type", "set");
    wire_bytes(&iq.with_child(content))
}

/// A word of subscription, stamped with bare addresses (RFC 6121 §3).
pub fn subscription(word: Word, from: &BareJid, to: &BareJid, said: Option<&Presence>) -> Bytes {
    let content = said.map_or_else(|| Element::new("presence", NS_CLIENT), |said| said.content.clone());
    let stanza = Presence {
        id: said.and_then(|said| said.id.clone()),
        from: Some(Jid::Bare(from.clone())),
        to: Some(Jid::Bare(to.clone())),
        kind: presence_type(word),
        priority: 0,
        content,
    };
    wire_bytes(&stanza.into_element())
}

/// Presence that says no more than its type, as probes are answered.
pub fn mere_presence(kind: PresenceType, from: &Jid, to: &Jid, id: Option<&str>) -> Bytes {
    let kind = Some(kind).filter(|kind| *kind != PresenceType::Available).map(PresenceType::as_str);
    let stanza = Element::new("presence", NS_CLIENT)
        .with_attr("from", from.to_string())
        .with_attr("to", to.to_string())
        .with_attr_opt("id", id)
        .with_attr_opt("type", kind);
    wire_bytes(&stanza)
}

pub fn word(kind: PresenceType) -> Option<Word> {
    match kind {
        PresenceType::Subscribe => Some(Word::Subscribe),
        PresenceType::Subscribed => Some(Word::Subscribed),
        PresenceType::Unsubscribe => Some(Word::Unsubscribe),
        PresenceType::Unsubscribed => Some(Word::Unsubscribed),
        PresenceType::Available | PresenceType::Error | PresenceType::Probe | PresenceType::Unavailable => None,
    }
}

fn presence_type(word: Word) -> PresenceType {
    match word {
        Word::Subscribe => PresenceType::Subscribe,
        Word::Subscribed => PresenceType::Subscribed,
        Word::Unsubscribe => PresenceType::Unsubscribe,
        Word::Unsubscribed => PresenceType::Unsubscribed,
    }
}

pub fn message_error(message: Message, error: &StanzaError) -> Bytes {
    let mut content = message.content;
    content.push(error.to_element(NS_CLIENT));
    let error = Message { id: message.id, from: message.to, to: message.from, kind: MessageType::Error, content };
    wire_bytes(&error.into_element())
}

pub fn presence_error(stanza: Presence, error: &StanzaError) -> Bytes {
    let mut content = stanza.content;
    content.push(error.to_element(NS_CLIENT));
    let error =
        Presence { id: stanza.id, from: stanza.to, to: stanza.from, kind: PresenceType::Error, priority: 0, content };
    wire_bytes(&error.into_element())
}

/// What a sender is told who has blocked the receiver (XEP-0191 §3.3).
pub fn blocked_by_sender() -> StanzaError {
    StanzaError::new(Condition::NotAcceptable)
        .with_type(crate::xmpp::ErrorType::Cancel)
        .with_application(Element::new("blocked", "urn:xmpp:blocking:errors"))
}

pub const NS_ROSTER: &str = "jabber:iq:roster";
const START: &[u8] = b"<presence";
