//! `<collection/>` of owners: a node comes into a collection, or goes out of it (XEP-0248 §7.5, §7.6).

use crate::pubsub::{NodeId, Verb};
use crate::xep::pubsub::{NS_OWNER, Words, configure, errors};
use crate::xep::{Entity, Extension, Feature, Work, bad_request};
use crate::xml::Element;
use crate::xmpp::{Condition, StanzaError};

pub(in crate::xep) const EXTENSION: Extension = Extension {
    number: 248,
    name: "PubSub Collection Nodes",
    version: "0.5.0",
    // Of services; accounts have none.
    features: &[
        Feature::always("http://jabber.org/protocol/pubsub#collections", &[Entity::Service]),
        Feature::always("http://jabber.org/protocol/pubsub#multi-collections", &[Entity::Service]),
    ],
    claims: &[],
};

pub(super) fn collection(words: &Words<'_>) -> Result<Work, StanzaError> {
    let collection = words.node()?;
    let mut children = words.verb.children();
    let (Some(word), None) = (children.next(), children.next()) else {
        return Err(bad_request("a node is associated or dissociated, one at a time"));
    };
    let node = child(word)?;
    let verb = if word.is("associate", NS_OWNER) {
        Verb::Associate { collection, node }
    } else if word.is("dissociate", NS_OWNER) {
        Verb::Dissociate { collection, node }
    } else {
        return Err(bad_request("a node is associated or dissociated"));
    };
    Ok(Work::ask(words.asked.request(verb), configure::done))
}

fn child(word: &Element) -> Result<NodeId, StanzaError> {
    match word.attr("node") {
        None | Some("") => Err(errors::node_required()),
        Some(node) => NodeId::parse(node).ok_or_else(|| StanzaError::new(Condition::ItemNotFound)),
    }
}
