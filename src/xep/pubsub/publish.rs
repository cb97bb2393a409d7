//! `<publish/>` (XEP-0060 §7.1).

use crate::engine::Answer;
use crate::payload;
use crate::pubsub::{ItemId, NewItem, Payload, Precondition, Published, RawField, Reply, Verb};
use crate::xep::pubsub::{NS_PUBLISH_OPTIONS, NS_PUBSUB, Words, errors, submitted};
use crate::xep::{Body, Work, bad_request};
use crate::xml::{Element, Node};
use crate::xmpp::{Form, StanzaError};

pub(super) fn publish(words: &Words<'_>) -> Result<Work, StanzaError> {
    let node = words.node()?;
    let items = words.children("item").map(item).collect::<Result<Vec<NewItem>, StanzaError>>()?;
    let options = words.companion.map(options).transpose()?;
    let verb = Verb::Publish { node: node.clone(), items, options, create: false };
    Ok(Work::ask(words.asked.request(verb), move |answered| {
        let Answer::Reply(Reply::Published { items, .. }) = answered.answer else { return None };
        let item = |published: &Published| {
            let id = published.id.as_ref()?;
            Some(Element::new("item", NS_PUBSUB).with_attr("id", id.as_str()))
        };
        let publish = Element::new("publish", NS_PUBSUB).with_attr("node", node.as_str());
        let publish = publish.with_children(items.iter().filter_map(item));
        Some(Body::Element(Element::new("pubsub", NS_PUBSUB).with_child(publish)))
    }))
}

/// What the sender says beside id and payload (`publisher` above all) is not looked at: that is the
/// service's to say (XEP-0060 §7.1.2.3).
fn item(item: &Element) -> Result<NewItem, StanzaError> {
    let id = match item.attr("id") {
        None => None,
        Some(id) => Some(ItemId::parse(id).ok_or_else(|| bad_request("an item cannot have this id"))?),
    };
    Ok(NewItem { id, payload: payload(item)?, precondition: Precondition::None })
}

/// XEP-0060 §7.1.3.6: one element, and nothing beside it.
fn payload(item: &Element) -> Result<Option<Payload>, StanzaError> {
    let written = |node: &Node| matches!(node, Node::Text(text) if !text.trim_ascii().is_empty());
    if item.nodes().iter().any(written) {
        return Err(errors::invalid_payload("text stands beside the payload"));
    }
    let mut payloads = item.children();
    match (payloads.next(), payloads.next()) {
        (None, _) => Ok(None),
        (Some(payload), None) => {
            let made = payload::from_element(payload);
            made.map(Some).map_err(|error| errors::invalid_payload(error.to_string()))
        }
        (Some(_), Some(_)) => Err(errors::invalid_payload("an item has one payload")),
    }
}

/// XEP-0060 §7.1.5: the form must be there, and must say of what kind it is.
fn options(options: &Element) -> Result<Vec<RawField>, StanzaError> {
    let named = Form::within(options).is_ok_and(|form| form.is_some_and(|form| form.form_type().is_some()));
    match submitted(options, NS_PUBLISH_OPTIONS)? {
        Some(fields) if named => Ok(fields),
        _ => Err(bad_request("publish options are a form of their own kind")),
    }
}
