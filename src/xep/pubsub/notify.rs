//! How an event looks on the wire (XEP-0060 §7.1.2, §7.2.2, §8.2.5.3, §8.4.2, §8.5.2).
//!
//! A notification is a [`head`], which is the watch's own, and a [`body`], which all watchers of the
//! node share. Both are bytes for a stream whose namespace is `jabber:client`.

use std::sync::Arc;

use bytes::Bytes;

use crate::engine::{Answer, Answered, Entry};
use crate::jid::{BareJid, Jid};
use crate::pubsub::{
    Event, EventKind, ItemId, Node, NodeAddress, NodeConfig, NodeKey, NotificationType, Payload, Seq, shows,
};
use crate::store::Item;
use crate::time::Timestamp;
use crate::xep::pubsub::{NS_EVENT, form};
use crate::xml::escape_attribute;
use crate::xmpp::NS_DELAY;

/// Whether the subscribers of a node are told of this event at all.
pub fn shown(entry: &Entry) -> bool {
    shows(&entry.config, &entry.event)
}

/// The beginning of a notification: up to and with the addresses.
pub fn head(from: &BareJid, to: &Jid) -> Bytes {
    let mut out = Vec::with_capacity(64);
    out.extend_from_slice(b"<message");
    attribute(&mut out, "from", from.as_str());
    attribute(&mut out, "to", &to.to_string());
    Bytes::from(out)
}

/// The rest of it, made once for all watchers.
pub fn body(entry: &Entry) -> &Bytes {
    entry.xmpp.get_or_init(|| Told::of(entry).write(None))
}

/// The rest of a notification that comes late, with the time of its event (XEP-0203).
pub fn delayed(entry: &Entry) -> Bytes {
    Told::of(entry).write(Some(entry.event.time))
}

/// The rest of a notification of a current item, for one who has just subscribed (XEP-0060 §6.1.7).
pub fn last_item(node: &Node, item: &Item) -> Bytes {
    let event = Event {
        seq: item.fact.seq,
        time: item.fact.published,
        kind: EventKind::Published {
            item: Some(item.fact.id.clone()),
            publisher: item.fact.publisher.clone(),
            payload: item.payload.clone(),
            replaces: None,
        },
    };
    let address = Arc::new(node.address.clone());
    Told { key: node.key, address: &address, event: &event, config: &node.config }.write(Some(event.time))
}

/// The whole notification of the last item, out of what the engine answered when it was asked for
/// the newest one. Nothing where there is none, or where it is newer than the subscription: then it
/// comes by itself.
pub(in crate::xep) fn last_message(answered: &Answered, to: &Jid, subscribed_at: Seq) -> Option<Bytes> {
    let Answer::Items { node, list } = &answered.answer else { return None };
    let item = list.entries.last().filter(|item| item.fact.seq <= subscribed_at)?;
    let mut message = head(&node.address.service, to).to_vec();
    message.extend_from_slice(&last_item(node, item));
    Some(Bytes::from(message))
}

/// An item with its publisher, in the namespace in which it stands. The publisher is told wherever an
/// item is, and as the bare JID whose rights were used (XEP-0060 §7.1.2.3).
pub(super) fn write_item(out: &mut Vec<u8>, id: &ItemId, publisher: &BareJid, payload: Option<&Payload>) {
    out.extend_from_slice(b"<item");
    attribute(out, "id", id.as_str());
    attribute(out, "publisher", publisher.as_str());
    match payload {
        None => out.extend_from_slice(b"/>"),
        Some(payload) => {
            out.push(b'>');
            out.extend_from_slice(&payload.xml);
            out.extend_from_slice(b"</item>");
        }
    }
}

/// An event that is being told.
struct Told<'a> {
    key: NodeKey,
    address: &'a NodeAddress,
    event: &'a Event,
    config: &'a NodeConfig,
}

impl<'a> Told<'a> {
    fn of(entry: &'a Entry) -> Self {
        Told { key: entry.key, address: &entry.address, event: &entry.event, config: &entry.config }
    }

    fn write(&self, sent: Option<Timestamp>) -> Bytes {
        let payload = match &self.event.kind {
            EventKind::Published { payload: Some(payload), .. } => payload.xml.len(),
            _ => 0,
        };
        let mut out = Vec::with_capacity(payload + 512);
        attribute(&mut out, "type", self.message_type());
        // An event has one id, however often it is sent: the key is of this incarnation of the node
        // (XEP-0060 §12.4).
        attribute(&mut out, "id", &format!("e{}-{}", self.key.0, self.event.seq.0));
        out.extend_from_slice(b"><event xmlns='");
        out.extend_from_slice(NS_EVENT.as_bytes());
        out.extend_from_slice(b"'>");
        self.write_event(&mut out);
        out.extend_from_slice(b"</event>");
        if let Some(sent) = sent {
            out.extend_from_slice(b"<delay xmlns='");
            out.extend_from_slice(NS_DELAY.as_bytes());
            out.push(b'\'');
            attribute(&mut out, "from", self.address.service.as_str());
            attribute(&mut out, "stamp", &sent.to_string());
            out.extend_from_slice(b"/>");
        }
        out.extend_from_slice(b"</message>");
        Bytes::from(out)
    }

    fn message_type(&self) -> &'static str {
        match self.config.notification_type {
            NotificationType::Normal => "normal",
            NotificationType::Headline => "headline",
        }
    }

    fn write_event(&self, out: &mut Vec<u8>) {
        match &self.event.kind {
            // XEP-0060 §4.3: a transient node that does not deliver payloads has no items either.
            EventKind::Published { item: None, .. } => self.write_about(out, "items", |_| {}),
            EventKind::Published { item: Some(id), publisher, payload, .. } => {
                let payload = payload.as_ref().filter(|_| self.config.deliver_payloads);
                self.write_about(out, "items", |out| write_item(out, id, publisher, payload));
            }
            EventKind::Retracted { item, .. } => self.write_about(out, "items", |out| {
                out.extend_from_slice(b"<retract");
                attribute(out, "id", item.as_str());
                out.extend_from_slice(b"/>");
            }),
            EventKind::Purged => self.write_about(out, "purge", |_| {}),
            // XEP-0060 §8.2.5.3: with the form where payloads are delivered.
            EventKind::Configured { config } => self.write_about(out, "configuration", |out| {
                if self.config.deliver_payloads {
                    form::as_told(config).to_element().write(out, NS_EVENT);
                }
            }),
            EventKind::Deleted { redirect } => self.write_about(out, "delete", |out| {
                if let Some(uri) = redirect {
                    out.extend_from_slice(b"<redirect");
                    attribute(out, "uri", uri);
                    out.extend_from_slice(b"/>");
                }
            }),
        }
    }

    fn write_about(&self, out: &mut Vec<u8>, name: &str, inside: impl FnOnce(&mut Vec<u8>)) {
        out.push(b'<');
        out.extend_from_slice(name.as_bytes());
        attribute(out, "node", self.address.node.as_str());
        out.push(b'>');
        inside(out);
        out.extend_from_slice(b"</");
        out.extend_from_slice(name.as_bytes());
        out.push(b'>');
    }
}

fn attribute(out: &mut Vec<u8>, name: &str, value: &str) {
    out.push(b' ');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"='");
    escape_attribute(out, value);
    out.push(b'\'');
}
