//! XEP-0312: PubSub Since. Whoever says in its first presence for how long it was away is shown what it has missed;
//! `delivery` finds it.

use crate::xep::{Entity, Extension, Feature};
use crate::xmpp::Presence;

pub(super) const EXTENSION: Extension = Extension {
    number: 312,
    name: "PubSub Since",
    version: "0.3",
    features: &[Feature::always("http://jabber.org/protocol/pubsub#since", &[Entity::Service, Entity::Account])],
    claims: &[],
};

/// For how many seconds somebody says to have been away. What is no number says nothing.
pub fn away_seconds(presence: &Presence) -> Option<u64> {
    presence.content.child("ago", "urn:xmpp:ago:0")?.attr("secs")?.trim().parse().ok()
}
