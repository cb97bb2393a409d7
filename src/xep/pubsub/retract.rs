//! `<retract/>` (XEP-0060 §7.2).

use crate::engine::Answer;
use crate::pubsub::{ItemId, Precondition, Reply, Verb};
use crate::xep::pubsub::{Words, errors, item_id};
use crate::xep::{Body, Work, bad_request};
use crate::xmpp::{Condition, StanzaError};

pub(super) fn retract(words: &Words<'_>) -> Result<Work, StanzaError> {
    let node = words.node()?;
    // XEP-0060 §7.2.2.1, in the forms of xs:boolean.
    let notify = match words.verb.attr("notify") {
        None => None,
        Some("true" | "1") => Some(true),
        Some("false" | "0") => Some(false),
        Some(_) => return Err(bad_request("notify is true or false")),
    };
    let mut items: Vec<ItemId> = Vec::new();
    for item in words.children("item") {
        items.push(item_id(item)?.ok_or_else(|| StanzaError::new(Condition::ItemNotFound))?);
    }
    // XEP-0060 §7.2.3.4.
    if items.is_empty() {
        return Err(errors::with_condition(bad_request("an item is needed"), "item-required"));
    }
    let verb = Verb::Retract { node, items, notify, precondition: Precondition::None };
    Ok(Work::ask(words.asked.request(verb), |answered| {
        matches!(answered.answer, Answer::Reply(Reply::Retracted)).then_some(Body::Empty)
    }))
}
