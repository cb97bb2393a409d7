//! What an endpoint is sent: an event of a node as a CloudEvent.

use crate::engine::Position;
use crate::payload::event_json;
use crate::pubsub::{Event, EventKind, NodeAddress};

/// What every event of a node says of where it is from.
pub(super) struct Place<'a> {
    pub(super) address: &'a NodeAddress,
    pub(super) id: &'a str,
    pub(super) cursor: &'a str,
    pub(super) at: Position,
}

pub(super) fn body(place: &Place<'_>, event: &Event) -> String {
    let mut attributes = head(place, event.kind.name());
    attributes.push(("time", event.time.to_string()));
    let payload = match &event.kind {
        EventKind::Published { item, publisher, payload, .. } => {
            attributes.extend(item.as_ref().map(|item| ("subject", item.to_string())));
            attributes.push(("publisher", publisher.to_string()));
            payload.as_ref()
        }
        EventKind::Retracted { item, .. } => {
            attributes.push(("subject", item.to_string()));
            None
        }
        EventKind::Purged | EventKind::Configured { .. } => None,
        EventKind::Associated { node, .. } | EventKind::Dissociated { node, .. } => {
            attributes.push(("subject", node.to_string()));
            None
        }
        EventKind::Deleted { redirect } => {
            attributes.extend(redirect.as_ref().map(|redirect| ("redirect", redirect.to_string())));
            None
        }
    };
    event_json(&attributes, payload)
}

/// Tells that events have been lost to the endpoint: they are no longer retained.
pub(super) fn reset(place: &Place<'_>) -> String {
    event_json(&head(place, "reset"), None)
}

/// Asks an endpoint whether it wants to be one.
pub(super) fn challenge(id: &str, address: &NodeAddress, challenge: &str) -> String {
    let attributes = [
        ("specversion", "1.0".to_owned()),
        ("id", id.to_owned()),
        ("source", source(address)),
        ("type", "tidings.challenge".to_owned()),
        ("challenge", challenge.to_owned()),
    ];
    event_json(&attributes, None)
}

fn head(place: &Place<'_>, name: &str) -> Vec<(&'static str, String)> {
    vec![
        ("specversion", "1.0".to_owned()),
        ("id", place.id.to_owned()),
        ("source", source(place.address)),
        ("type", format!("tidings.{name}")),
        ("sequence", place.at.seq.0.to_string()),
        ("cursor", place.cursor.to_owned()),
    ]
}

/// The node as a URI (XEP-0060 §12.22).
fn source(address: &NodeAddress) -> String {
    let mut source = format!("xmpp:{}?;node=", address.service);
    for byte in address.node.as_str().bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'/') {
            source.push(char::from(byte));
        } else {
            source.push_str(&format!("%{byte:02X}"));
        }
    }
    source
}
