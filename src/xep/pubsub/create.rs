//! `<create/>` (XEP-0060 §8.1).

use crate::engine::Answer;
use crate::pubsub::{NodeId, Reply, Verb};
use crate::xep::pubsub::{NS_PUBSUB, Words, configuration, errors};
use crate::xep::{Body, Work, bad_request};
use crate::xml::Element;
use crate::xmpp::{Condition, StanzaError};

pub(super) fn create(words: &Words<'_>) -> Result<Work, StanzaError> {
    let not_acceptable = || StanzaError::new(Condition::NotAcceptable);
    let node = match words.verb.attr("node") {
        None => None,
        // XEP-0060 §8.1.1.
        Some("") => return Err(errors::with_condition(not_acceptable(), "nodeid-required")),
        Some(node) => {
            let parsed = NodeId::parse(node);
            Some(parsed.ok_or_else(|| not_acceptable().with_text("a node cannot have this name"))?)
        }
    };
    let config = match words.companion {
        None => Vec::new(),
        // XEP-0060 §8.1.3.
        Some(configure) if configure.attr("node").is_some() || !words.companion_follows() => {
            return Err(bad_request("the configuration follows the creation and names no node"));
        }
        Some(configure) => configuration(configure)?.unwrap_or_default(),
    };
    let request = words.asked.request(Verb::Create { node, config });
    Ok(Work::ask(request, |answered| {
        let Answer::Reply(Reply::Created { node }) = answered.answer else { return None };
        let created = Element::new("create", NS_PUBSUB).with_attr("node", node.as_str());
        Some(Body::Element(Element::new("pubsub", NS_PUBSUB).with_child(created)))
    }))
}
